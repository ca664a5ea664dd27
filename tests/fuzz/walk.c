/*
 * Path walks and changes of the tree, on a tmpfs: libFuzzer draws names over a small alphabet, so that
 * links, loops, "..", renames into one's own child and mounts in between all come up.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/fuzz/input.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

#define NAME_LEN 40

static const char *next_name(char *buf)
{
	static const char *const parts[] = {"/", "a", "b", "..", ".", "/a/", "c", "//", "../../", "/b/a",
					    "/l", "a/b", "/a/../", "x", "/c/l/", ""};
	size_t used = 0, len;
	unsigned n = next_byte() % 6;

	for (unsigned i = 0; i <= n; i++) {
		const char *part = parts[next_byte() & 15];

		len = strlen(part);
		if (used + len >= NAME_LEN)
			break;
		memcpy(buf + used, part, len);
		used += len;
	}
	buf[used] = '\0';
	return buf;
}

static void with_path(const struct op_ctx *ctx, unsigned op, const char *name, const char *other)
{
	struct path path, place;
	struct kstat st;
	char *text;

	if (path_lookup(ctx, NULL, name, op & 1 ? LOOKUP_FOLLOW : 0, &path))
		return;
	switch (op >> 1 & 7) {
	case 0: (void)vfs_getattr(ctx, &path, &st, STATX_BASIC_STATS, 0); break;
	case 1:
		if (!vfs_readlink(ctx, &path, &text))
			free(text);
		break;
	case 2: (void)vfs_link(ctx, &path, NULL, other); break;
	case 3:
		if (inode_is_dir(path.dentry->inode))
			fs_set_cwd(ctx->fs, &path);
		break;
	case 4: (void)vfs_mount(ctx, "none", &path, "tmpfs", 0, NULL); break;
	case 5: (void)vfs_umount(ctx, &path, MNT_DETACH); break;
	case 6:
		if (!path_lookup(ctx, NULL, other, 0, &place)) {
			(void)vfs_bind_mount(ctx, &path, &place, op & 1);
			path_put(&place);
		}
		break;
	case 7:
		if (!path_lookup(ctx, NULL, other, 0, &place)) {
			(void)vfs_move_mount(ctx, &path, &place);
			path_put(&place);
		}
		break;
	}
	text = d_path(&path, &path);
	free(text);
	path_put(&path);
}

static void open_and_close(const struct op_ctx *ctx, const char *name, unsigned op)
{
	static const unsigned flags[] = {O_RDONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_PATH,
					 O_DIRECTORY, O_NOFOLLOW, O_RDWR | O_TRUNC, O_TMPFILE | O_RDWR};
	struct open_args args = {.flags = flags[op & 7] | O_NONBLOCK, .mode = 0644,
				 .resolve = op & 8 ? LOOKUP_BENEATH : op & 16 ? LOOKUP_IN_ROOT : 0};
	struct file *file;

	if (vfs_open(ctx, NULL, name, &args, &file) == 0)
		file_put(file);
}

static void one_operation(const struct op_ctx *ctx)
{
	char a[NAME_LEN + 1], b[NAME_LEN + 1];
	unsigned what = next_byte(), op = next_byte();
	const char *name = next_name(a), *other = next_name(b);

	switch (what % 10) {
	case 0: (void)vfs_mkdir(ctx, NULL, name, 0755); break;
	case 1: (void)vfs_symlink(ctx, NULL, name, other); break;
	case 2: (void)vfs_unlink(ctx, NULL, name); break;
	case 3: (void)vfs_rmdir(ctx, NULL, name); break;
	case 4: (void)vfs_rename(ctx, NULL, name, NULL, other, op & 7); break;
	case 5: (void)vfs_mknod(ctx, NULL, name, op & 1 ? S_IFIFO | 0644 : S_IFREG | 0644, 0); break;
	case 6:
	case 7: open_and_close(ctx, name, op); break;
	default: with_path(ctx, op, name, other);
	}
}

static struct mnt_ns *new_namespace(const struct op_ctx *ctx)
{
	struct fs_context *fc;
	struct mount *mnt;

	if (fs_context_new(&tmpfs_fs_type, 0, &fc) || fs_context_get_tree(ctx, fc) ||
	    mount_create(fc, 0, &mnt))
		abort();
	fs_context_free(fc);
	return mnt_ns_new(mnt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cred *cred = cred_new(0, 0, NULL, 0);
	struct op_ctx ctx = {.cred = cred, .tid = 2, .tgid = 2, .fsize_limit = UINT64_MAX};
	static int registered;
	struct mnt_ns *ns;

	if (!registered++)
		filesystem_register(&tmpfs_fs_type);
	ns = new_namespace(&ctx);
	ctx.fs = fs_struct_new(ns);
	input_begin(data, size);
	for (int i = 0; input_len && i < 64; i++)
		one_operation(&ctx);
	fs_struct_put(ctx.fs);
	mnt_ns_put(ns);
	cred_put(cred);
	return 0;
}

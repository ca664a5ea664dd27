/*
 * Mount options: the string that mount(2) takes, for file systems that a guest may mount, and the same
 * for a remount. The first byte chooses the file system, the rest is the string; an odd byte behind a
 * comma stands for one of the known words.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devfuse/dev.h"
#include "fusefs/fusefs_type.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/superblock.h"

#define TEXT_MAX 2000

static const char *const words[] = {
	"fd=", "rootmode=40000", "rootmode=", "user_id=", "group_id=0", "max_read=", "blksize=512",
	"allow_other", "default_permissions", "keep", "source=", "subtype=", "size=", "size=50%",
	"nr_inodes=1k", "nr_blocks=", "mode=1777", "uid=0", "gid=", "huge=never", "ro", "sync", "mpol=",
};

/* The string to parse; returns it, zero-terminated, in `text`. */
static void make_text(const uint8_t *data, size_t size, char *text)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used < TEXT_MAX - 40; i++) {
		text[used++] = (char)data[i];
		if (data[i] != ',' || i + 1 == size)
			continue;
		i++;
		if (data[i] % 2)
			used += (size_t)sprintf(text + used, "%s",
						words[data[i] / 2 % (sizeof(words) / sizeof(*words))]);
	}
	text[used] = '\0';
}

static void mount_once(const struct op_ctx *ctx, struct filesystem_type *type, const char *text)
{
	struct fs_context *fc, *again;

	if (fs_context_new(type, 0, &fc))
		return;
	if (fs_context_parse_monolithic(ctx, fc, text) == 0 && fs_context_get_tree(ctx, fc) == 0 &&
	    fs_context_for_reconfigure(fc->root->sb, 0, &again) == 0) {
		if (fs_context_parse_monolithic(ctx, again, text) == 0)
			(void)fs_context_reconfigure(ctx, again);
		fs_context_free(again);
	}
	fs_context_free(fc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"fuse", "fusectl", "tmpfs"};
	struct cred *cred = cred_new(0, 0, NULL, 0);
	struct op_ctx ctx = {.cred = cred, .tid = 2, .tgid = 2, .fsize_limit = UINT64_MAX};
	struct filesystem_type *type;
	static int registered;
	char text[TEXT_MAX];

	if (!registered++) {
		filesystem_register(&tmpfs_fs_type);
		if (devfuse_init() || fusefs_init())
			abort();
	}
	if (size > 1) {
		const char *name = names[data[0] % 3];

		type = filesystem_find(name, strlen(name));
		make_text(data + 1, size - 1, text);
		mount_once(&ctx, type, text);
	}
	cred_put(cred);
	return 0;
}

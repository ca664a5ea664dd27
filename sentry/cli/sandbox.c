#include "sentry/cli/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devfuse/dev.h"
#include "fusefs/cuse_type.h"
#include "fusefs/fusefs_type.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/log.h"
#include "vfs/cred.h"
#include "vfs/dev/mem.h"
#include "vfs/fs/devfs.h"
#include "vfs/fs/devpts.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay.h"
#include "vfs/fs/procfs.h"
#include "vfs/fs/sysfs.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"
#include "vfs/tty/tty.h"

static int complain(const char *option, const char *what, int err)
{
	fprintf(stderr, "fusebox: --%s: '%s': %s\n", option, what, strerror(-err));
	return -1;
}

int sandbox_register(void)
{
	int err;

	filesystem_register(&sysfs_type);
	filesystem_register(&tmpfs_fs_type);
	filesystem_register(&procfs_type);
	filesystem_register(&devfs_type);
	filesystem_register(&devpts_type);
	mem_devices_register();
	tty_devices_register();
	devpts_devices_register();
	err = devfuse_init();
	if (!err)
		err = fusefs_init();
	if (!err)
		err = cuse_init();
	return err;
}

void sandbox_ctx(struct fs_struct *fs, const struct cred *cred, struct op_ctx *ret_ctx)
{
	*ret_ctx = (struct op_ctx){ .cred = cred, .fs = fs, .fsize_limit = UINT64_MAX };
}

/* A detached mount of the root of sb; takes the reference of sb. */
static int mount_of(struct superblock *sb, unsigned flags, struct mount **ret_mount)
{
	struct fs_context fc = { .root = sb->root };
	int err = mount_create(&fc, flags | MNT_RELATIME, ret_mount);

	superblock_put(sb);
	return err;
}

/* A superblock of a registered type. */
static int superblock_of(const struct op_ctx *ctx, const char *type, const char *data,
			 struct superblock **ret_sb)
{
	struct fs_context *fc;
	int err = fs_context_new(filesystem_find(type, strlen(type)), 0, &fc);

	if (err)
		return err;
	fc->source = strdup(type);
	err = fs_context_parse_monolithic(ctx, fc, data);
	if (!err)
		err = fs_context_get_tree(ctx, fc);
	if (!err)
		*ret_sb = superblock_get(fc->root->sb);
	fs_context_free(fc);
	return err;
}

static int root_superblock(const struct op_ctx *ctx, const struct run_config *config,
			   struct superblock **ret_sb)
{
	struct superblock *lower, *upper;
	struct stat st;
	int err;

	if (stat(config->root, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	err = hostfs_mount(ctx, config->root, config->root_mode != ROOT_RW, &lower);
	if (err || config->root_mode != ROOT_OVERLAY) {
		if (!err)
			*ret_sb = lower;
		return err;
	}
	err = superblock_of(ctx, "tmpfs", "mode=755", &upper);
	if (!err) {
		err = overlay_mount(ctx, lower, upper, ret_sb);
		superblock_put(upper);
	}
	superblock_put(lower);
	return err;
}

/* Makes the directories of an absolute path; those that exist are fine. */
static int make_directories(const struct op_ctx *ctx, const char *path)
{
	cleanup_free char *copy = strdup(path);
	char *end = copy;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	while (!err && *end) {
		end += strspn(end, "/");
		end += strcspn(end, "/");
		char kept = *end;

		*end = 0;
		err = vfs_mkdir(ctx, NULL, copy, 0755);
		if (err == -EEXIST)
			err = 0;
		*end = kept;
	}
	return err;
}

static int make_file(const struct op_ctx *ctx, const char *path)
{
	cleanup_free char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int err = 0;

	if (!slash)
		return -ENOMEM;
	if (slash != dir) {
		*slash = 0;
		err = make_directories(ctx, dir);
	}
	return err ? err : vfs_mknod(ctx, NULL, path, S_IFREG | 0644, 0);
}

/* The place where something is to be mounted; made if it is missing and can be made. */
static int mountpoint(const struct op_ctx *ctx, const char *path, bool directory,
		      struct path *ret_path)
{
	int err = path_lookup(ctx, NULL, path, LOOKUP_FOLLOW, ret_path);

	if (err != -ENOENT)
		return err;
	err = directory ? make_directories(ctx, path) : make_file(ctx, path);
	return err ? err : path_lookup(ctx, NULL, path, LOOKUP_FOLLOW, ret_path);
}

static int mount_type(const struct op_ctx *ctx, const char *type, const char *where,
		      unsigned long flags, const char *data)
{
	struct path path;
	int err = mountpoint(ctx, where, true, &path);

	if (err)
		return err;
	err = vfs_mount(ctx, type, &path, type, flags, data);
	path_put(&path);
	return err;
}

struct system_mount {
	const char *type, *where;
	unsigned long flags;
	const char *data;
};

#define NO_EXEC_SUID_DEV (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const struct system_mount system_mounts[] = {
	{ "proc", "/proc", NO_EXEC_SUID_DEV, NULL },
	{ "sysfs", "/sys", NO_EXEC_SUID_DEV, NULL },
	{ "fusectl", "/sys/fs/fuse/connections", NO_EXEC_SUID_DEV, NULL },
	{ "devtmpfs", "/dev", MS_NOSUID, "mode=755" },
	{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666" },
	{ "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777" },
};

static int mount_system(const struct op_ctx *ctx)
{
	for (size_t i = 0; i < sizeof(system_mounts) / sizeof(system_mounts[0]); i++) {
		const struct system_mount *row = &system_mounts[i];
		int err = mount_type(ctx, row->type, row->where, row->flags, row->data);

		if (err)
			return complain("root", row->where, err);
	}
	return 0;
}

/*
 * fusermount3 and others count mounts in /etc/mtab: where the host has none, as a container made of
 * packages alone, there is one in the writable layer. Nothing depends on it: errors do not count.
 */
static void link_mtab(const struct op_ctx *ctx, const struct run_config *config)
{
	if (config->root_mode == ROOT_OVERLAY)
		(void)vfs_symlink(ctx, NULL, "/etc/mtab", "../proc/self/mounts");
}

static int mount_bind(const struct op_ctx *ctx, const struct bind_option *bind)
{
	struct superblock *sb;
	struct mount *mnt;
	struct stat st;
	struct path path;
	int err;

	if (stat(bind->source, &st))
		return complain("bind", bind->source, -errno);
	err = mountpoint(ctx, bind->target, S_ISDIR(st.st_mode), &path);
	if (err)
		return complain("bind", bind->target, err);
	err = hostfs_mount(ctx, bind->source, bind->read_only, &sb);
	if (!err)
		hostfs_set_cache(sb, 0); /* the host may change it at any time */
	if (!err)
		err = mount_of(sb, MNT_NODEV | (bind->read_only ? MNT_READONLY : 0), &mnt);
	if (!err) {
		err = mount_attach(ctx->fs->ns, mnt, &path);
		if (err)
			mount_put(mnt);
	}
	path_put(&path);
	return err ? complain("bind", bind->source, err) : 0;
}

static int mount_all(const struct op_ctx *ctx, const struct run_config *config)
{
	int err = mount_system(ctx);

	link_mtab(ctx, config);
	for (size_t i = 0; !err && i < config->nr_tmpfs; i++) {
		err = mount_type(ctx, "tmpfs", config->tmpfs[i], MS_NOSUID | MS_NODEV, "mode=1777");
		if (err)
			err = complain("tmpfs", config->tmpfs[i], err);
	}
	for (size_t i = 0; !err && i < config->nr_binds; i++)
		err = mount_bind(ctx, &config->binds[i]);
	return err;
}

/* The directory asked for; else the host's own when it exists inside; else the root. */
static int change_directory(const struct op_ctx *ctx, const struct run_config *config)
{
	cleanup_free char *host_cwd = config->chdir ? NULL : getcwd(NULL, 0);
	const char *name = config->chdir ? config->chdir : host_cwd;
	struct path path;
	int err;

	if (!name || (!config->chdir && strcmp(config->root, "/") != 0))
		return 0;
	err = path_lookup(ctx, NULL, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);
	if (err)
		return config->chdir ? complain("chdir", name, err) : 0;
	fs_set_cwd(ctx->fs, &path);
	path_put(&path);
	return 0;
}

int sandbox_build(const struct run_config *config, struct fs_struct **ret_fs)
{
	struct cred *root = cred_new(0, 0, NULL, 0);
	struct superblock *sb;
	struct mount *mnt;
	struct mnt_ns *ns;
	struct fs_struct *fs;
	struct op_ctx ctx;
	int err;

	if (!root)
		return complain("root", config->root, -ENOMEM);
	sandbox_ctx(NULL, root, &ctx);
	err = root_superblock(&ctx, config, &sb);
	if (!err)
		err = mount_of(sb, config->root_mode == ROOT_RO ? MNT_READONLY : 0, &mnt);
	if (err) {
		cred_put(root);
		return complain("root", config->root, err);
	}
	ns = mnt_ns_new(mnt);
	fs = ns ? fs_struct_new(ns) : NULL;
	mnt_ns_put(ns);
	if (!fs) {
		cred_put(root);
		return complain("root", config->root, -ENOMEM);
	}
	ctx.fs = fs;
	err = mount_all(&ctx, config);
	if (!err)
		err = change_directory(&ctx, config);
	cred_put(root);
	if (err) {
		fs_struct_put(fs);
		return err;
	}
	*ret_fs = fs;
	return 0;
}

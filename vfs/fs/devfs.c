/*
 * devfs: not a file system of its own but a tmpfs, populated. Guests with the privilege may then
 * make, remove and link nodes in it as in any tmpfs.
 *
 * There is one for the whole sandbox, as on Linux, made by the first mount and kept: a device that
 * appears later gets its node there, visible at once in every mount of it.
 */
#include "vfs/fs/devfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "sentry/base/wait.h"
#include "vfs/attr.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

/* Modes are meant as written, whatever the caller's umask. */
static int set_mode(const struct op_ctx *ctx, const struct path *dev, const char *name,
		    uint32_t mode)
{
	struct iattr attr = {.valid = ATTR_MODE, .mode = mode};
	struct path path;
	int err = path_lookup(ctx, dev, name, 0, &path);

	if (err)
		return err;
	err = notify_change(ctx, &path, &attr);
	path_put(&path);
	return err;
}

static int make_node(const struct op_ctx *ctx, const struct path *dir, const char *name,
		     uint32_t mode, dev_t rdev)
{
	int err = vfs_mknod(ctx, dir, name, S_IFCHR | mode, rdev);

	return err ? err : set_mode(ctx, dir, name, mode);
}

static int make_dir(const struct op_ctx *ctx, const struct path *dev, const char *name,
		    uint32_t mode)
{
	int err = vfs_mkdir(ctx, dev, name, mode);

	return err ? err : set_mode(ctx, dev, name, mode);
}

static int make_devices(const struct op_ctx *ctx, const struct path *dev)
{
	struct chrdev_info info;
	dev_t rdev = 0;
	int err = 0;

	while (!err && chrdev_next(&rdev, &info))
		err = make_node(ctx, dev, info.name, info.mode, rdev);
	return err;
}

int devfs_populate(const struct op_ctx *ctx, const struct path *dev)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
		{"ptmx", "pts/ptmx"},
	};
	static const struct {
		const char *name;
		uint32_t mode;
	} dirs[] = {{"pts", 0755}, {"shm", 01777}, {"mqueue", 01777}};
	int err = make_devices(ctx, dev);

	for (size_t i = 0; !err && i < sizeof(links) / sizeof(links[0]); i++)
		err = vfs_symlink(ctx, dev, links[i].name, links[i].target);
	for (size_t i = 0; !err && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		err = make_dir(ctx, dev, dirs[i].name, dirs[i].mode);
	return err;
}

static int devfs_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			     const struct fs_parameter *param)
{
	static const char *const known[] = {"mode", "size", "nr_inodes", "uid", "gid"};

	(void)ctx;
	(void)fc;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(param->key, known[i]) == 0)
			return 0;
	return -ENOPARAM;
}

/* --- the one instance ---------------------------------------------------------------------- */

/* Guards the rest, and the order of mount, node_add and node_remove. */
static struct sleep_mutex devfs_lock = {0, WAITQ_INIT(devfs_lock.waiters)};
static struct op_ctx devfs_ctx; /* root of the guest, in a namespace that holds only devfs */
static bool devfs_made;

static int mount_tmpfs(const struct op_ctx *ctx, struct mount **ret_mount)
{
	struct filesystem_type *tmpfs = filesystem_find("tmpfs", strlen("tmpfs"));
	struct fs_context *inner;
	int err;

	if (!tmpfs)
		return -ENODEV;
	err = fs_context_new(tmpfs, 0, &inner);
	if (err)
		return err;
	err = fs_context_parse_monolithic(ctx, inner, "mode=755");
	if (!err)
		err = fs_context_get_tree(ctx, inner);
	if (!err)
		err = mount_create(inner, 0, ret_mount);
	fs_context_free(inner);
	return err;
}

/* The instance, in a namespace of its own. */
static int devfs_make(const struct op_ctx *ctx)
{
	struct op_ctx own = {.fsize_limit = UINT64_MAX};
	struct path root = {NULL, NULL};
	struct cred *cred = NULL;
	struct mnt_ns *ns;
	struct mount *mnt;
	int err = mount_tmpfs(ctx, &mnt);

	if (err)
		return err;
	ns = mnt_ns_new(mnt);
	own.fs = ns ? fs_struct_new(ns) : NULL;
	own.cred = cred = cred_new(0, 0, NULL, 0);
	mnt_ns_put(ns);
	err = own.fs && cred ? 0 : -ENOMEM;
	if (!err) {
		fs_get_root(own.fs, &root);
		err = devfs_populate(&own, &root);
		path_put(&root);
	}
	if (err) {
		fs_struct_put(own.fs);
		cred_put(cred);
		return err;
	}
	devfs_ctx = own;
	devfs_made = true;
	return 0;
}

static int devfs_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct path root = {NULL, NULL};
	int err = 0;

	sleep_mutex_lock(&devfs_lock);
	if (!devfs_made)
		err = devfs_make(ctx);
	if (!err) {
		fs_get_root(devfs_ctx.fs, &root);
		superblock_get(root.mnt->sb);
		fc->root = dentry_get(root.dentry);
		path_put(&root);
	}
	sleep_mutex_unlock(&devfs_lock);
	return err;
}

/* Directories of "a/b/c" (cf. create_path()). */
static void make_parents(char *name)
{
	for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)make_dir(&devfs_ctx, NULL, name, 0755); /* may be there */
		*slash = '/';
	}
}

int devfs_node_add(const char *name, uint32_t mode, dev_t rdev)
{
	char *copy = strdup(name);
	int err = 0;

	if (!copy)
		return -ENOMEM;
	sleep_mutex_lock(&devfs_lock);
	if (devfs_made) {
		make_parents(copy);
		err = make_node(&devfs_ctx, NULL, copy, mode, rdev);
	}
	sleep_mutex_unlock(&devfs_lock);
	free(copy);
	return err;
}

/* Still the node that was made, and not what a guest has put there meanwhile (cf. dev_mynode()). */
static bool is_node(const char *name, dev_t rdev)
{
	struct path path;
	bool same;

	if (path_lookup(&devfs_ctx, NULL, name, 0, &path))
		return false;
	same = S_ISCHR(path.dentry->inode->mode) && path.dentry->inode->rdev == rdev;
	path_put(&path);
	return same;
}

void devfs_node_remove(const char *name, dev_t rdev)
{
	char *copy = strdup(name), *slash;

	sleep_mutex_lock(&devfs_lock);
	if (copy && devfs_made && is_node(copy, rdev) && !vfs_unlink(&devfs_ctx, NULL, copy))
		while ((slash = strrchr(copy, '/'))) {
			*slash = '\0';
			if (vfs_rmdir(&devfs_ctx, NULL, copy))
				break;
		}
	sleep_mutex_unlock(&devfs_lock);
	free(copy);
}

static const struct fs_context_ops devfs_context_ops = {
	.parse_param = devfs_parse_param,
	.get_tree = devfs_get_tree,
};

static int devfs_init_fs_context(struct fs_context *fc)
{
	fc->op = &devfs_context_ops;
	return 0;
}

struct filesystem_type devfs_type = {
	.name = "devtmpfs",
	.fs_flags = 0,
	.init_fs_context = devfs_init_fs_context,
};

/*
 * The "fuseblk" file system type. The sandbox has no block devices, so its mounts fail, and they do
 * so as Linux's fail for each kind of source (cf. get_tree_bdev(), lookup_bdev()).
 */
#include <errno.h>

#include "fusefs/fusefs.h"
#include "vfs/mount.h"
#include "vfs/namei.h"

static int look_at_device(const struct op_ctx *ctx, const char *source)
{
	struct path path;
	int err = path_lookup(ctx, NULL, source, LOOKUP_FOLLOW, &path);

	if (err)
		return err;
	if ((path.dentry->inode->mode & S_IFMT) != S_IFBLK)
		err = -ENOTBLK;
	else if (mount_flags(path.mnt) & MNT_NODEV)
		err = -EACCES;
	else
		err = -ENXIO; /* a node, and no device behind it */
	path_put(&path);
	return err;
}

int fuseblk_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	if (!fc->source || !*fc->source) {
		fc_error(fc, "No source specified");
		return -EINVAL;
	}
	return look_at_device(ctx, fc->source);
}

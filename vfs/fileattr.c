/* The rules of fileattr.h, cf. fs/file_attr.c. */
#include "vfs/fileattr.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stddef.h>

#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/namei.h"
#include "vfs/perm.h"

static const struct {
	uint32_t flag, xflag;
} attr_map[] = {
	{ FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE },
	{ FS_APPEND_FL, FS_XFLAG_APPEND },
	{ FS_SYNC_FL, FS_XFLAG_SYNC },
	{ FS_NOATIME_FL, FS_XFLAG_NOATIME },
	{ FS_NODUMP_FL, FS_XFLAG_NODUMP },
	{ FS_DAX_FL, FS_XFLAG_DAX },
	{ FS_PROJINHERIT_FL, FS_XFLAG_PROJINHERIT },
};
#define NR_ATTRS (sizeof(attr_map) / sizeof(attr_map[0]))

/* What both forms can say. */
static void common_bits(uint32_t *ret_flags, uint32_t *ret_xflags)
{
	*ret_flags = *ret_xflags = 0;
	for (size_t n = 0; n < NR_ATTRS; n++) {
		*ret_flags |= attr_map[n].flag;
		*ret_xflags |= attr_map[n].xflag;
	}
}

void fileattr_fill_flags(struct fileattr *fa, uint32_t flags)
{
	*fa = (struct fileattr){ .by_flags = true, .flags = flags };
	for (size_t n = 0; n < NR_ATTRS; n++)
		if (flags & attr_map[n].flag)
			fa->xflags |= attr_map[n].xflag;
}

void fileattr_fill_xflags(struct fileattr *fa, uint32_t xflags)
{
	*fa = (struct fileattr){ .xflags = xflags };
	for (size_t n = 0; n < NR_ATTRS; n++)
		if (xflags & attr_map[n].xflag)
			fa->flags |= attr_map[n].flag;
}

int vfs_fileattr_get(const struct op_ctx *ctx, const struct path *path, struct fileattr *fa)
{
	const struct inode_ops *op = path->dentry->inode->op;

	return op && op->fileattr_get ? op->fileattr_get(ctx, path->dentry, fa) : -EOPNOTSUPP;
}

static void keep_the_rest(struct fileattr *fa, const struct fileattr *old)
{
	uint32_t flags, xflags;

	common_bits(&flags, &xflags);
	if (!fa->by_flags) {
		fa->flags |= old->flags & ~flags;
		return;
	}
	fa->xflags |= old->xflags & ~xflags;
	fa->extsize = old->extsize;
	fa->nextents = old->nextents;
	fa->projid = old->projid;
	fa->cowextsize = old->cowextsize;
}

static int set_locked(const struct op_ctx *ctx, const struct path *path, struct fileattr *fa)
{
	struct fileattr old = { .by_flags = false }; /* the form that says more */
	int err = vfs_fileattr_get(ctx, path, &old);

	if (err)
		return err;
	keep_the_rest(fa, &old);
	if (((old.flags ^ fa->flags) & (FS_IMMUTABLE_FL | FS_APPEND_FL)) &&
	    !ctx_capable(ctx, CAP_LINUX_IMMUTABLE))
		return -EPERM;
	return path->dentry->inode->op->fileattr_set(ctx, path->dentry, fa);
}

int vfs_fileattr_set(const struct op_ctx *ctx, const struct path *path, struct fileattr *fa)
{
	struct inode *inode = path->dentry->inode;
	int err;

	if (!inode->op || !inode->op->fileattr_set)
		return -EOPNOTSUPP;
	if (!inode_owner_or_capable(ctx, inode))
		return -EPERM;
	inode_lock(inode);
	err = set_locked(ctx, path, fa);
	inode_unlock(inode);
	return err;
}

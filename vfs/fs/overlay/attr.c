/* Attributes, symlink targets and extended attributes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "sentry/base/cleanup.h"
#include "vfs/attr.h"
#include "vfs/dentry.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/mount.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

int ovl_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;
	struct ovl_inode *node = ovl_i(inode);
	int err;

	(void)ctx;
	(void)mask;
	if (!(flags & AT_STATX_DONT_SYNC)) {
		err = ovl_refresh(inode);
		if (err)
			return err;
	}
	generic_fillattr(inode, ret_stat);
	ret_stat->blksize = 4096;
	if (node->pages && ovl_has(node, OVL_DATA)) {
		ret_stat->size = (uint64_t)pagecache_size(node->pages);
		ret_stat->blocks = pagecache_blocks(node->pages);
	}
	return 0;
}

/* A walk that starts at a root, cwd or dirfd revalidates no entry for it. */
int ovl_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	int err = ovl_refresh(inode);

	return err ? err : generic_permission(ctx, inode, mask);
}

static int set_size(struct inode *inode, struct dentry *dentry, int64_t size)
{
	struct ovl_inode *node = ovl_i(inode);
	int64_t old = inode_size(inode);
	int err;

	if (!inode_is_reg(inode))
		return -EINVAL;
	err = ovl_copy_up(dentry, size); /* what is cut off need not be copied */
	if (!err)
		err = pagecache_truncate(node->pages, size);
	if (err)
		return err;
	inode_set_size(inode, size);
	if (size != old)
		inode_touch(inode, S_MTIME | S_CTIME);
	return 0;
}

static int remove_caps(struct inode *inode)
{
	static const char name[] = "security.capability";
	struct ovl_inode *node = ovl_i(inode);
	struct ovl_info *info = ovl_info(inode->sb);
	int err;

	if (ovl_has(node, OVL_NOCAPS))
		return 0;
	err = ovl_own_xattrs(inode);
	if (err)
		return err;
	fb_mutex_lock(&info->lock);
	(void)simple_xattr_set(&node->xattrs, name, NULL, 0, 0);
	fb_mutex_unlock(&info->lock);
	atomic_fetch_or(&node->state, OVL_NOCAPS);
	return 0;
}

void ovl_strip_privileges(const struct op_ctx *ctx, struct inode *inode)
{
	uint32_t strip;

	/* Not worth failing the write over: without memory the capabilities stay in force. */
	(void)remove_caps(inode);
	if (!(inode->mode & (S_ISUID | S_ISGID)) || ctx_capable(ctx, CAP_FSETID))
		return;
	fb_mutex_lock(&inode->attr_lock);
	strip = inode->mode & S_ISUID;
	if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		strip |= S_ISGID;
	__atomic_store_n(&inode->mode, inode->mode & ~strip, __ATOMIC_RELAXED);
	fb_mutex_unlock(&inode->attr_lock);
}

int ovl_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = dentry->inode;
	int err;

	err = ovl_refresh(inode);
	if (!err)
		err = setattr_prepare(ctx, inode, attr);
	if (!err)
		err = ovl_copy_up(dentry, -1);
	if (!err && (attr->valid & ATTR_SIZE))
		err = set_size(inode, dentry, attr->size);
	if (err)
		return err;
	/* chown takes file capabilities away, and so does a change of the content. */
	if ((attr->valid & (ATTR_UID | ATTR_GID | ATTR_SIZE)) && inode_is_reg(inode))
		(void)remove_caps(inode);
	setattr_copy(ctx, inode, attr);
	return 0;
}

int ovl_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
		 char **ret_target, struct path *ret_path)
{
	struct ovl_inode *node = ovl_i(inode);

	(void)ctx;
	(void)dentry;
	(void)ret_path;
	if (node->lower)
		return hostfs_get_target(node->lower, ret_target);
	*ret_target = strdup(node->target);
	return *ret_target ? 0 : -ENOMEM;
}

ssize_t ovl_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name, void *value,
		     size_t size)
{
	struct ovl_inode *node = ovl_i(dentry->inode);
	struct ovl_info *info = ovl_info(dentry->sb);
	ssize_t n;

	(void)ctx;
	if (!xattr_name_in_memory(name))
		return -EOPNOTSUPP;
	if (!ovl_has(node, OVL_XATTR)) {
		n = hostfs_inode_getxattr(node->lower, name, value, size);
		/* It could have been set here: it just has not been. */
		return n == -EOPNOTSUPP ? -ENODATA : n;
	}
	fb_mutex_lock(&info->lock);
	n = simple_xattr_get(&node->xattrs, name, value, size);
	fb_mutex_unlock(&info->lock);
	return n;
}

ssize_t ovl_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size)
{
	struct ovl_inode *node = ovl_i(dentry->inode);
	struct ovl_info *info = ovl_info(dentry->sb);
	ssize_t n;

	(void)ctx;
	if (!ovl_has(node, OVL_XATTR))
		return hostfs_inode_listxattr(node->lower, list, size);
	fb_mutex_lock(&info->lock);
	n = simple_xattr_list(&node->xattrs, list, size);
	fb_mutex_unlock(&info->lock);
	return n;
}

static int set_xattr(struct dentry *dentry, const char *name, const void *value, size_t size,
		     int flags)
{
	struct ovl_inode *node = ovl_i(dentry->inode);
	struct ovl_info *info = ovl_info(dentry->sb);
	int err;

	if (!xattr_name_in_memory(name))
		return -EOPNOTSUPP;
	err = ovl_copy_up(dentry, -1);
	if (!err)
		err = ovl_own_xattrs(dentry->inode);
	if (err)
		return err;
	fb_mutex_lock(&info->lock);
	err = simple_xattr_set(&node->xattrs, name, value, size, flags);
	fb_mutex_unlock(&info->lock);
	if (err)
		return err;
	if (value && strcmp(name, "security.capability") == 0)
		atomic_fetch_and(&node->state, ~(unsigned)OVL_NOCAPS);
	inode_touch(dentry->inode, S_CTIME);
	return 0;
}

int ovl_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		 const void *value, size_t size, int flags)
{
	(void)ctx;
	/* Counted when set and given back with the object: good enough to bound a guest. */
	if (!ovl_charge(ovl_i(dentry->inode), size + strlen(name) + OVL_ENTRY_BYTES))
		return -ENOSPC;
	/* NULL would mean removal. */
	return set_xattr(dentry, name, value ? value : "", size, flags);
}

int ovl_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name)
{
	(void)ctx;
	return set_xattr(dentry, name, NULL, 0, XATTR_REPLACE);
}

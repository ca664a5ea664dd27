/* Attributes and extended attributes of tmpfs inodes; symlinks and special files. */
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"
#include "vfs/mount.h"
#include "vfs/perm.h"

#define FILE_CAPS "security.capability"

void tmpfs_remove_privs(const struct op_ctx *ctx, struct inode *inode)
{
	struct tmpfs_info *info = tmpfs_info(inode->sb);
	uint32_t kill = 0;

	if (tmpfs_i(inode)->xattrs.first) {
		fb_mutex_lock(&info->lock);
		(void)simple_xattr_set(&tmpfs_i(inode)->xattrs, FILE_CAPS, NULL, 0, 0);
		fb_mutex_unlock(&info->lock);
	}
	if (!(inode->mode & (S_ISUID | S_ISGID)) || ctx_capable(ctx, CAP_FSETID))
		return;
	fb_mutex_lock(&inode->attr_lock);
	if (inode->mode & S_ISUID)
		kill |= S_ISUID;
	/* Without group execute it is a mark for mandatory locking and stays. */
	if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		kill |= S_ISGID;
	inode->mode &= ~kill;
	fb_mutex_unlock(&inode->attr_lock);
}

static int set_size(struct inode *inode, int64_t size)
{
	int64_t old = pagecache_size(&tmpfs_i(inode)->pages);
	int err = pagecache_truncate(&tmpfs_i(inode)->pages, size);

	if (err)
		return tmpfs_host_error(err);
	inode_set_size(inode, size);
	if (size != old)
		inode_touch(inode, S_MTIME | S_CTIME);
	return 0;
}

int tmpfs_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = dentry->inode;
	int err = setattr_prepare(ctx, inode, attr);

	if (!err && (attr->valid & ATTR_SIZE) && inode_is_reg(inode))
		err = set_size(inode, attr->size);
	if (err)
		return err;
	setattr_copy(ctx, inode, attr);
	return attr->valid & ATTR_MODE ? tmpfs_acl_chmod(inode) : 0;
}

int tmpfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		  uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;

	(void)ctx;
	(void)mask;
	(void)flags;
	generic_fillattr(inode, ret_stat);
	if (inode_is_reg(inode))
		ret_stat->blocks = pagecache_blocks(&tmpfs_i(inode)->pages);
	else if (inode_is_lnk(inode) && inode->size >= TMPFS_LONG_LINK)
		ret_stat->blocks = PAGECACHE_PAGE / 512;
	return 0;
}

/* ---- extended attributes ---- */

ssize_t tmpfs_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		       void *value, size_t size)
{
	struct tmpfs_info *info = tmpfs_info(dentry->sb);
	ssize_t ret;

	(void)ctx;
	if (!xattr_name_in_memory(name))
		return -EOPNOTSUPP;
	fb_mutex_lock(&info->lock);
	ret = simple_xattr_get(&tmpfs_i(dentry->inode)->xattrs, name, value, size);
	fb_mutex_unlock(&info->lock);
	return ret;
}

/* value NULL: remove. The bytes count as file data does. */
static int change_xattr(struct inode *inode, const char *name, const void *value, size_t size,
			int flags)
{
	struct tmpfs_info *info = tmpfs_info(inode->sb);
	struct simple_xattrs *attrs = &tmpfs_i(inode)->xattrs;
	uint64_t reserved = value ? simple_xattr_cost(name, size) : 0;
	size_t before, after;
	int err;

	if (!xattr_name_in_memory(name))
		return -EOPNOTSUPP;
	/* First as much as it can become, then what it is. */
	if (!pagecache_limit_charge(&info->blocks, reserved))
		return -ENOSPC;
	fb_mutex_lock(&info->lock);
	before = attrs->total;
	err = simple_xattr_set(attrs, name, value, size, flags);
	after = attrs->total;
	fb_mutex_unlock(&info->lock);
	pagecache_limit_uncharge(&info->blocks, reserved + before - after);
	if (!err)
		inode_touch(inode, S_CTIME);
	return err;
}

int tmpfs_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		   const void *value, size_t size, int flags)
{
	(void)ctx;
	return change_xattr(dentry->inode, name, value ? value : "", size, flags);
}

int tmpfs_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name)
{
	(void)ctx;
	return change_xattr(dentry->inode, name, NULL, 0, 0);
}

/* Names of trusted.* are for administrators' eyes only, xattr(7). */
static size_t hide_trusted(char *list, size_t len)
{
	size_t from = 0, to = 0;

	while (from < len) {
		size_t n = strlen(list + from) + 1;

		if (strncmp(list + from, "trusted.", 8) != 0) {
			memmove(list + to, list + from, n);
			to += n;
		}
		from += n;
	}
	return to;
}

ssize_t tmpfs_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size)
{
	struct tmpfs_info *info = tmpfs_info(dentry->sb);
	struct simple_xattrs *attrs = &tmpfs_i(dentry->inode)->xattrs;
	char *all = NULL;
	char names[TMPFS_ACL_NAMES];
	size_t acls = tmpfs_acl_list(dentry->inode, names);
	ssize_t len;

	if (!attrs->first && !acls)
		return 0;
	fb_mutex_lock(&info->lock);
	len = simple_xattr_list(attrs, NULL, 0) + (ssize_t)acls;
	all = malloc((size_t)len);
	if (!all)
		len = -ENOMEM;
	else if (attrs->first)
		(void)simple_xattr_list(attrs, all + acls, (size_t)len - acls);
	fb_mutex_unlock(&info->lock);
	if (all && acls)
		memcpy(all, names, acls);
	if (len > 0 && !ctx_capable(ctx, CAP_SYS_ADMIN))
		len = (ssize_t)hide_trusted(all, (size_t)len);
	if (len > 0 && size != 0) {
		if ((size_t)len > size)
			len = -ERANGE;
		else
			memcpy(list, all, (size_t)len);
	}
	free(all);
	return len;
}

/* ---- symlinks ---- */

static int tmpfs_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
			  char **ret_target, struct path *ret_path)
{
	char *copy = strdup(tmpfs_i(inode)->target);

	(void)ctx;
	(void)dentry;
	(void)ret_path;
	if (!copy)
		return -ENOMEM;
	*ret_target = copy;
	return 0;
}

#define COMMON_OPS                                                                                 \
	.setattr = tmpfs_setattr, .getattr = tmpfs_getattr, .getxattr = tmpfs_getxattr,            \
	.setxattr = tmpfs_setxattr, .listxattr = tmpfs_listxattr, .removexattr = tmpfs_removexattr
#define ACL_OPS .get_acl = tmpfs_get_acl, .set_acl = tmpfs_set_acl

const struct inode_ops tmpfs_file_inode_ops = { COMMON_OPS, ACL_OPS };
const struct inode_ops tmpfs_special_inode_ops = { COMMON_OPS, ACL_OPS };
const struct inode_ops tmpfs_link_inode_ops = { .get_link = tmpfs_get_link, COMMON_OPS };

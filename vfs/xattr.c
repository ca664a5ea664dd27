/*
 * Extended attributes: the name space rules of xattr(7), and the list that keeps them in memory.
 */
#include "vfs/xattr.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "sentry/base/err.h"
#include "vfs/acl.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/ops.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536
#define XATTR_LIST_MAX 65536

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* ---- who may ---- */

/* user.*: only where the mode bits can be trusted to say who may write (xattr(7)). */
static int user_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	if (!inode_is_reg(inode) && !inode_is_dir(inode))
		return mask & MAY_WRITE ? -EPERM : -ENODATA;
	if (inode_is_dir(inode) && (inode->mode & S_ISVTX) && (mask & MAY_WRITE) &&
	    !inode_owner_or_capable(ctx, inode))
		return -EPERM;
	return 0;
}

/* cf. xattr_permission() */
static int xattr_permission(const struct op_ctx *ctx, struct inode *inode, const char *name,
			    unsigned mask)
{
	int err;

	/* security.* and system.* are judged by whoever gives them a meaning. */
	if (has_prefix(name, "security.") || has_prefix(name, "system."))
		return 0;
	if (has_prefix(name, "trusted.")) {
		if (!ctx_capable(ctx, CAP_SYS_ADMIN))
			return mask & MAY_WRITE ? -EPERM : -ENODATA;
		return 0;
	}
	if (has_prefix(name, "user.")) {
		err = user_permission(ctx, inode, mask);
		if (err)
			return err;
	}
	return inode_permission(ctx, inode, mask);
}

/* cf. cap_inode_setxattr() */
static int security_permission(const struct op_ctx *ctx, const char *name)
{
	if (!has_prefix(name, "security."))
		return 0;
	if (strcmp(name, "security.capability") == 0)
		return ctx_capable(ctx, CAP_SETFCAP) ? 0 : -EPERM;
	return ctx_capable(ctx, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static int check_name(const char *name)
{
	size_t len = strnlen(name, XATTR_NAME_MAX + 1);

	return len == 0 || len > XATTR_NAME_MAX ? -ERANGE : 0;
}

static int check_change(const struct op_ctx *ctx, const struct path *path, const char *name)
{
	int err;

	if ((path->mnt && (__atomic_load_n(&path->mnt->flags, __ATOMIC_RELAXED) & MNT_READONLY)) ||
	    (path->dentry->sb->flags & SB_RDONLY))
		return -EROFS;
	err = xattr_permission(ctx, path->dentry->inode, name, MAY_WRITE);
	return err ? err : security_permission(ctx, name);
}

/* ---- the calls ---- */

ssize_t vfs_getxattr(const struct op_ctx *ctx, const struct path *path, const char *name,
		     void *value, size_t size)
{
	struct inode *inode = path->dentry->inode;
	ssize_t ret = check_name(name);
	enum acl_type type;

	if (!ret)
		ret = xattr_permission(ctx, inode, name, MAY_READ);
	if (ret)
		return ret;
	if (acl_xattr_name(name, &type))
		return vfs_get_acl(ctx, path->dentry, type, value, size);
	if (!inode->op || !inode->op->getxattr)
		return -EOPNOTSUPP;
	if (size > XATTR_SIZE_MAX)
		size = XATTR_SIZE_MAX;
	ret = inode->op->getxattr(ctx, path->dentry, name, value, size);
	/* A value that grew past every buffer, cf. do_getxattr(). */
	return ret == -ERANGE && size >= XATTR_SIZE_MAX ? -E2BIG : ret;
}

static int set_acl(const struct op_ctx *ctx, const struct path *path, enum acl_type type,
		   const void *value, size_t size)
{
	int err;

	inode_lock(path->dentry->inode);
	err = vfs_set_acl(ctx, path->dentry, type, value, size);
	inode_unlock(path->dentry->inode);
	return err;
}

int vfs_setxattr(const struct op_ctx *ctx, const struct path *path, const char *name,
		 const void *value, size_t size, int flags)
{
	struct inode *inode = path->dentry->inode;
	enum acl_type type;
	int err;

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	err = check_name(name);
	if (err)
		return err;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	err = check_change(ctx, path, name);
	if (err)
		return err;
	if (acl_xattr_name(name, &type))
		return set_acl(ctx, path, type, value, size);
	if (!inode->op || !inode->op->setxattr)
		return -EOPNOTSUPP;
	inode_lock(inode);
	err = inode->op->setxattr(ctx, path->dentry, name, value ? value : "", size, flags);
	inode_unlock(inode);
	return err;
}

ssize_t vfs_listxattr(const struct op_ctx *ctx, const struct path *path, char *list, size_t size)
{
	struct inode *inode = path->dentry->inode;
	ssize_t ret;

	if (!inode->op || !inode->op->listxattr)
		return 0;
	if (size > XATTR_LIST_MAX)
		size = XATTR_LIST_MAX;
	ret = inode->op->listxattr(ctx, path->dentry, list, size);
	return ret == -ERANGE && size >= XATTR_LIST_MAX ? -E2BIG : ret;
}

int vfs_removexattr(const struct op_ctx *ctx, const struct path *path, const char *name)
{
	struct inode *inode = path->dentry->inode;
	int err = check_name(name);
	enum acl_type type;

	if (!err)
		err = check_change(ctx, path, name);
	if (err)
		return err;
	if (acl_xattr_name(name, &type))
		return set_acl(ctx, path, type, NULL, 0);
	if (!inode->op || !inode->op->removexattr)
		return -EOPNOTSUPP;
	inode_lock(inode);
	err = inode->op->removexattr(ctx, path->dentry, name);
	inode_unlock(inode);
	return err;
}

/* ---- in memory ---- */

bool xattr_name_in_memory(const char *name)
{
	return has_prefix(name, "user.") || has_prefix(name, "trusted.") ||
	       has_prefix(name, "security.");
}

struct simple_xattr {
	struct simple_xattr *next;
	size_t size;
	char *name; /* behind the value, in the same block */
	unsigned char value[];
};

size_t simple_xattr_cost(const char *name, size_t size)
{
	return sizeof(struct simple_xattr) + size + strlen(name) + 1;
}

static struct simple_xattr **simple_find(struct simple_xattrs *attrs, const char *name)
{
	struct simple_xattr **link = &attrs->first;

	while (*link && strcmp((*link)->name, name) != 0)
		link = &(*link)->next;
	return link;
}

ssize_t simple_xattr_get(struct simple_xattrs *attrs, const char *name, void *value, size_t size)
{
	struct simple_xattr *attr = *simple_find(attrs, name);

	if (!attr)
		return -ENODATA;
	if (size != 0) {
		if (size < attr->size)
			return -ERANGE;
		if (attr->size != 0)
			memcpy(value, attr->value, attr->size);
	}
	return (ssize_t)attr->size;
}

static struct simple_xattr *simple_new(const char *name, const void *value, size_t size)
{
	struct simple_xattr *attr = malloc(simple_xattr_cost(name, size));

	if (!attr)
		return NULL;
	attr->next = NULL;
	attr->size = size;
	attr->name = (char *)attr->value + size;
	if (size != 0)
		memcpy(attr->value, value, size);
	memcpy(attr->name, name, strlen(name) + 1);
	return attr;
}

static void simple_remove(struct simple_xattrs *attrs, struct simple_xattr **link)
{
	struct simple_xattr *attr = *link;

	attrs->total -= simple_xattr_cost(attr->name, attr->size);
	*link = attr->next;
	free(attr);
}

int simple_xattr_set(struct simple_xattrs *attrs, const char *name, const void *value, size_t size,
		     int flags)
{
	struct simple_xattr **link = simple_find(attrs, name), *attr;
	size_t cost = simple_xattr_cost(name, size);

	if (*link && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!*link && (!value || (flags & XATTR_REPLACE)))
		return -ENODATA;
	if (!value) {
		simple_remove(attrs, link);
		return 0;
	}
	if (cost > SIMPLE_XATTRS_MAX || attrs->total > SIMPLE_XATTRS_MAX - cost)
		return -ENOSPC;
	attr = simple_new(name, value, size);
	if (!attr)
		return -ENOMEM;
	/* In the old one's place: the order of names does not change. */
	if (*link)
		simple_remove(attrs, link);
	attr->next = *link;
	*link = attr;
	attrs->total += cost;
	return 0;
}

ssize_t simple_xattr_list(struct simple_xattrs *attrs, char *list, size_t size)
{
	const struct simple_xattr *attr;
	size_t used = 0;

	for (attr = attrs->first; attr; attr = attr->next) {
		size_t len = strlen(attr->name) + 1;

		if (size != 0) {
			if (len > size - used)
				return -ERANGE;
			memcpy(list + used, attr->name, len);
		}
		used += len;
	}
	return (ssize_t)used;
}

void simple_xattrs_free(struct simple_xattrs *attrs)
{
	while (attrs->first)
		simple_remove(attrs, &attrs->first);
}

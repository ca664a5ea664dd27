/*
 * POSIX ACLs (F124). The daemon keeps them, as extended attributes, and inheritance and the mode
 * are its business. With POSIX_ACL they count for permission checks and are cached until the
 * attributes are asked for again; without they just pass by.
 */
#include <linux/capability.h>
#include <stdlib.h>

#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "vfs/acl.h"
#include "vfs/cred.h"
#include "vfs/dentry.h"
#include "vfs/perm.h"

/* F124. Not of the root: Linux sets it up before it knows of POSIX_ACL. */
static bool cacheable(const struct inode *inode)
{
	return fuse_conn_has(fuse_conn_of(inode), FUSE_POSIX_ACL) &&
	       fuse_nodeid(inode) != FUSE_ROOT_ID;
}

static bool enforced(const struct inode *inode)
{
	return fuse_conn_has(fuse_conn_of(inode), FUSE_POSIX_ACL);
}

void fuse_forget_acls(struct inode *inode)
{
	if (enforced(inode))
		acl_store_forget(&fuse_i(inode)->acls, inode);
}

/* It has answered a GETXATTR with ENOSYS. */
static bool no_xattrs(const struct inode *inode)
{
	return atomic_load(&fuse_conn_of(inode)->enosys) >> FUSE_GETXATTR & 1;
}

/* The daemon's list as it is now. */
static int ask(const struct op_ctx *ctx, struct inode *inode, enum acl_type type,
	       struct acl **ret_acl)
{
	cleanup_free char *value = malloc(FUSE_PAGE);
	ssize_t n;

	if (!value)
		return -ENOMEM;
	n = fuse_query_xattr(ctx, inode, acl_name(type), value, FUSE_PAGE);
	if (n > 0)
		return acl_from_xattr(value, (size_t)n, ret_acl);
	*ret_acl = NULL;
	if (n == 0 || n == -ENODATA ||
	    (n == -EOPNOTSUPP && no_xattrs(inode)))
		return 0;
	return n == -ERANGE ? -E2BIG : (int)n;
}

/* True with *ret_acl when it is known; else *ret_changes goes to remember(). */
static bool recall(struct inode *inode, enum acl_type type, struct acl **ret_acl,
		   unsigned *ret_changes)
{
	struct acl_store *store = &fuse_i(inode)->acls;
	bool known;

	fb_mutex_lock(&inode->attr_lock);
	known = store->known[type];
	*ret_changes = store->changes;
	if (known)
		*ret_acl = acl_get(store->acl[type]);
	fb_mutex_unlock(&inode->attr_lock);
	return known;
}

static void remember(struct inode *inode, enum acl_type type, struct acl *acl, unsigned changes)
{
	struct acl_store *store = &fuse_i(inode)->acls;

	fb_mutex_lock(&inode->attr_lock);
	if (!store->known[type] && store->changes == changes) {
		store->acl[type] = acl_get(acl);
		store->known[type] = true;
	}
	fb_mutex_unlock(&inode->attr_lock);
}

int fuse_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type, bool to_judge,
		 struct acl **ret_acl)
{
	bool cached = cacheable(inode);
	unsigned changes = 0;
	int err;

	*ret_acl = NULL;
	if (to_judge && !enforced(inode))
		return 0; /* the daemon judges */
	if (cached && recall(inode, type, ret_acl, &changes))
		return 0;
	if (fuse_is_bad(inode))
		return -EIO;
	err = ask(ctx, inode, type, ret_acl);
	if (!err && cached)
		remember(inode, type, *ret_acl, changes);
	return err;
}

static int send_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type,
		    const struct acl *acl)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)acl_to_xattr(acl, NULL, 0)};
	cleanup_free char *value = malloc(FUSE_PAGE);

	if (in.size > FUSE_PAGE)
		return -E2BIG;
	if (!value)
		return -ENOMEM;
	(void)acl_to_xattr(acl, value, FUSE_PAGE);
	if (enforced(inode) && !cred_in_group(ctx->cred, inode->gid) &&
	    !ctx_capable(ctx, CAP_FSETID))
		in.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID;
	return fuse_send_setxattr(ctx, inode, acl_name(type), &in, value);
}

int fuse_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		 struct acl *acl)
{
	struct inode *inode = dentry->inode;
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (acl)
		err = send_acl(ctx, inode, type, acl);
	else
		err = fuse_removexattr(ctx, dentry, acl_name(type));
	if (enforced(inode)) {
		fuse_forget_acls(inode);
		fuse_stale(inode, FUSE_STALE_ALL);
	}
	return err;
}

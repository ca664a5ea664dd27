/* ACLs of tmpfs: kept with the inode, counted like its extended attributes. */
#include <linux/capability.h>
#include <string.h>

#include "sentry/base/err.h"
#include "vfs/acl.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"
#include "vfs/perm.h"

int tmpfs_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type, bool to_judge,
		  struct acl **ret_acl)
{
	(void)ctx;
	(void)to_judge;
	*ret_acl = acl_store_get(&tmpfs_i(inode)->acls, inode, type);
	return 0;
}

/* Takes acl, also on failure. Whoever changes lists holds the inode's lock, or has a new inode. */
static int replace(struct inode *inode, enum acl_type type, struct acl *acl)
{
	struct tmpfs_info *info = tmpfs_info(inode->sb);
	struct acl_store *store = &tmpfs_i(inode)->acls;
	size_t old;

	if (!pagecache_limit_charge(&info->blocks, acl_bytes(acl))) {
		acl_put(acl);
		return -ENOSPC;
	}
	fb_mutex_lock(&inode->attr_lock);
	old = acl_bytes(store->acl[type]);
	fb_mutex_unlock(&inode->attr_lock);
	acl_store_set(store, inode, type, acl);
	pagecache_limit_uncharge(&info->blocks, old);
	return 0;
}

/* The mode says what the list says; the set-gid bit is not everybody's (posix_acl_update_mode()) */
static void update_mode(const struct op_ctx *ctx, struct inode *inode, const struct acl *acl)
{
	uint32_t mode;

	fb_mutex_lock(&inode->attr_lock);
	mode = inode->mode;
	(void)acl_to_mode(acl, &mode);
	if (!cred_in_group(ctx->cred, inode->gid) && !ctx_capable(ctx, CAP_FSETID))
		mode &= ~(uint32_t)S_ISGID;
	__atomic_store_n(&inode->mode, mode, __ATOMIC_RELAXED);
	fb_mutex_unlock(&inode->attr_lock);
}

int tmpfs_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		  struct acl *acl)
{
	struct inode *inode = dentry->inode;
	uint32_t ignored = 0;
	bool needed = type == ACL_DEFAULT || !acl_to_mode(acl, &ignored);
	int err = replace(inode, type, needed ? acl_get(acl) : NULL);

	if (err)
		return err;
	if (type == ACL_ACCESS)
		update_mode(ctx, inode, acl);
	inode_touch(inode, S_CTIME);
	return 0;
}

int tmpfs_acl_chmod(struct inode *inode)
{
	struct acl *old = acl_store_get(&tmpfs_i(inode)->acls, inode, ACL_ACCESS), *acl;
	int err;

	if (!old)
		return 0;
	err = acl_chmod(old, inode_mode(inode), &acl);
	if (!err)
		err = replace(inode, ACL_ACCESS, acl);
	acl_put(old);
	return err;
}

int tmpfs_acl_init(struct inode *inode, struct acl *acls[ACL_TYPES])
{
	int err = 0;

	for (int type = 0; type < ACL_TYPES; type++) {
		if (!acls[type])
			continue;
		if (!err)
			err = replace(inode, (enum acl_type)type, acls[type]);
		else
			acl_put(acls[type]);
	}
	return err;
}

size_t tmpfs_acl_list(struct inode *inode, char list[TMPFS_ACL_NAMES])
{
	struct acl_store *store = &tmpfs_i(inode)->acls;
	size_t len = 0;

	fb_mutex_lock(&inode->attr_lock);
	for (int type = 0; type < ACL_TYPES; type++) {
		const char *name = acl_name((enum acl_type)type);

		if (!store->acl[type])
			continue;
		memcpy(list + len, name, strlen(name) + 1);
		len += strlen(name) + 1;
	}
	fb_mutex_unlock(&inode->attr_lock);
	return len;
}

void tmpfs_acl_free(struct inode *inode)
{
	struct acl_store *store = &tmpfs_i(inode)->acls;

	for (int type = 0; type < ACL_TYPES; type++)
		pagecache_limit_uncharge(&tmpfs_info(inode->sb)->blocks,
					 acl_bytes(store->acl[type]));
	acl_store_free(store);
}

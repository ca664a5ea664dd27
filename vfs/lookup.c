/*
 * One name in one directory: the cache with revalidation, else the file system, once per name
 * however many ask at the same time.
 */
#include <errno.h>

#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/namei_internal.h"
#include "vfs/superblock.h"

static bool needs_revalidate(const struct dentry *dentry)
{
	return dentry->op && dentry->op->revalidate;
}

/* Keeps *dentry (1) or drops it and clears it (0, -errno). */
static int revalidate_or_put(const struct op_ctx *ctx, struct dentry *dir, unsigned flags,
			     struct dentry **dentry)
{
	int valid = 1;

	if (needs_revalidate(*dentry))
		valid = (*dentry)->op->revalidate(ctx, dir, *dentry, flags);
	if (valid > 0)
		return 1;
	if (valid == 0)
		d_invalidate(*dentry);
	dentry_put(*dentry);
	*dentry = NULL;
	return valid;
}

int lookup_begin_locked(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
			unsigned flags, struct dentry **ret_dentry)
{
	struct dentry *dentry;
	int err;

	if (!dir->inode || !dir->inode->op || !dir->inode->op->lookup)
		return -ENOTDIR;
	if (dentry_test(dir, DENTRY_DEAD))
		return -ENOENT;
	if (name->len > dir->sb->name_max)
		return -ENAMETOOLONG;
	do {
		err = d_alloc_parallel(dir, name, &dentry);
		if (err)
			return err;
		if (dentry_test(dentry, DENTRY_IN_LOOKUP))
			break; /* ours: nobody else is handed one in this state */
		err = revalidate_or_put(ctx, dir, flags, &dentry);
		if (err < 0)
			return err;
	} while (!dentry);
	*ret_dentry = dentry;
	return 0;
}

int lookup_finish_locked(const struct op_ctx *ctx, struct dentry *dir, unsigned flags,
			 struct dentry **dentry)
{
	struct dentry *alias = NULL;
	int err;

	err = dir->inode->op->lookup(ctx, dir->inode, *dentry, flags, &alias);
	d_lookup_done(*dentry);
	if (err || alias) {
		dentry_put(*dentry);
		*dentry = alias;
	}
	return err;
}

int lookup_one_locked(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
		      unsigned flags, struct dentry **ret_dentry)
{
	struct dentry *dentry;
	int err;

	err = lookup_begin_locked(ctx, dir, name, flags, &dentry);
	if (!err && dentry_test(dentry, DENTRY_IN_LOOKUP))
		err = lookup_finish_locked(ctx, dir, flags, &dentry);
	if (!err)
		*ret_dentry = dentry;
	return err;
}

int lookup_one(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
	       unsigned flags, struct dentry **ret_dentry)
{
	struct dentry *dentry = dentry_find(dir, name);
	int err;

	/* RESOLVE_CACHED must not wait, and a revalidation may ask a daemon. */
	if ((flags & LOOKUP_CACHED) && (!dentry || needs_revalidate(dentry))) {
		dentry_put(dentry);
		return -EAGAIN;
	}
	if (dentry) {
		err = revalidate_or_put(ctx, dir, flags, &dentry);
		if (err < 0)
			return err;
	}
	if (!dentry) {
		err = inode_lock_shared_killable(dir->inode);
		if (err)
			return err;
		err = lookup_one_locked(ctx, dir, name, flags, &dentry);
		inode_unlock_shared(dir->inode);
		if (err)
			return err;
	}
	*ret_dentry = dentry;
	return 0;
}

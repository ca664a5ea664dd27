/*
 * rename(2) and renameat2(2): two directories, up to four inode locks, and the checks that keep
 * the tree a tree. cf. do_renameat2() and vfs_rename() in fs/namei.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>

#include "vfs/ctx.h"
#include "vfs/dentry_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/namei_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

struct rename {
	const struct op_ctx *ctx;
	unsigned flags;	 /* RENAME_* */
	unsigned lookup; /* LOOKUP_REVAL */
	struct path old_dir, new_dir;
	struct qstr old_last, new_last;
	bool old_slashes, new_slashes;
	struct dentry *old, *new;
	struct inode *lock_first, *lock_second; /* of source and target; may be NULL */
	struct inode *target; /* what was replaced; counted, dropped after the locks */
	struct dentry *trap;  /* the entry of one directory on the way to the other */
};

/* The ancestor of `dentry` (or itself) whose parent is `dir`, or NULL. Rename lock held. */
static struct dentry *ancestor_in(const struct dentry *dir, struct dentry *dentry)
{
	struct dentry *found = NULL;

	fb_mutex_lock(&dcache_lock);
	for (; !dentry_is_root(dentry); dentry = dentry->parent) {
		if (dentry->parent == dir) {
			found = dentry;
			break;
		}
	}
	fb_mutex_unlock(&dcache_lock);
	return found;
}

static int lock_in_order(struct inode *first, struct inode *second)
{
	int err = inode_lock_killable(first);

	if (err)
		return err;
	err = inode_lock_killable(second);
	if (err)
		inode_unlock(first);
	return err;
}

/* Ancestor first, else by address; cross-directory renames exclude each other (lock_rename()). */
static int rename_lock_dirs(struct rename *r)
{
	struct dentry *old_dir = r->old_dir.dentry, *new_dir = r->new_dir.dentry;
	struct sleep_mutex *rename_lock = &old_dir->sb->rename_lock;
	int err;

	r->trap = NULL;
	if (old_dir != new_dir && old_dir->inode == new_dir->inode)
		return -ESTALE; /* two dentries of one directory: the cache is out of date */
	if (old_dir == new_dir)
		return inode_lock_killable(old_dir->inode);
	err = sleep_mutex_lock_killable(rename_lock);
	if (err)
		return err;
	r->trap = ancestor_in(old_dir, new_dir);
	if (r->trap) {
		err = lock_in_order(old_dir->inode, new_dir->inode);
	} else {
		r->trap = ancestor_in(new_dir, old_dir);
		if (r->trap || new_dir->inode < old_dir->inode)
			err = lock_in_order(new_dir->inode, old_dir->inode);
		else
			err = lock_in_order(old_dir->inode, new_dir->inode);
	}
	if (err)
		sleep_mutex_unlock(rename_lock);
	return err;
}

static void rename_unlock_dirs(struct rename *r)
{
	struct dentry *old_dir = r->old_dir.dentry, *new_dir = r->new_dir.dentry;

	inode_unlock(old_dir->inode);
	if (new_dir == old_dir)
		return;
	inode_unlock(new_dir->inode);
	sleep_mutex_unlock(&old_dir->sb->rename_lock);
}

/*
 * What moves and what is replaced. A directory is locked only where it must be: when it changes its
 * parent, or is replaced; directories are ordered by the tree, and a lock on more of them could
 * close a cycle with rmdir (Documentation/filesystems/directory-locking). Files go by address.
 */
static void choose_victims(struct rename *r)
{
	struct inode *source = r->old->inode, *target = r->new->inode;
	bool across = r->old_dir.dentry != r->new_dir.dentry;
	bool source_is_dir = inode_is_dir(source), target_is_dir = target && inode_is_dir(target);

	r->lock_first = r->lock_second = NULL;
	if (!source_is_dir && !target_is_dir) {
		r->lock_first = source < target || !target ? source : target;
		r->lock_second = r->lock_first == source ? target : source;
		return;
	}
	/* Directories before files. */
	if (source_is_dir && across)
		r->lock_first = source;
	if (target_is_dir && (across || !(r->flags & RENAME_EXCHANGE)))
		r->lock_second = target;
	if (!source_is_dir) {
		r->lock_first = r->lock_second;
		r->lock_second = source;
	} else if (target && !target_is_dir) {
		r->lock_second = target;
	}
}

static int lock_victims(struct rename *r)
{
	int err = 0;

	choose_victims(r);
	if (r->lock_first)
		err = inode_lock_killable(r->lock_first);
	if (err || !r->lock_second)
		return err;
	err = inode_lock_killable(r->lock_second);
	if (err && r->lock_first)
		inode_unlock(r->lock_first);
	return err;
}

static void unlock_victims(struct rename *r)
{
	if (r->lock_second)
		inode_unlock(r->lock_second);
	if (r->lock_first)
		inode_unlock(r->lock_first);
}

static int rename_lookup(struct rename *r)
{
	int err;

	err = lookup_one_locked(r->ctx, r->old_dir.dentry, &r->old_last, r->lookup, &r->old);
	if (err)
		return err;
	/* What is exchanged is as any other name. */
	return lookup_one_locked(r->ctx, r->new_dir.dentry, &r->new_last,
				 r->flags & RENAME_EXCHANGE ? r->lookup
							    : r->lookup | LOOKUP_RENAME_TARGET,
				 &r->new);
}

/* What do_renameat2() checks between lookup and vfs_rename(). */
static int rename_check(const struct rename *r)
{
	bool exchange = (r->flags & RENAME_EXCHANGE) != 0;

	if (!d_is_positive(r->old))
		return -ENOENT;
	if ((r->flags & RENAME_NOREPLACE) && d_is_positive(r->new))
		return -EEXIST;
	if (exchange) {
		if (!d_is_positive(r->new))
			return -ENOENT;
		if (!inode_is_dir(r->new->inode) && r->new_slashes)
			return -ENOTDIR;
	}
	if (!inode_is_dir(r->old->inode)) {
		if (r->old_slashes || (!exchange && r->new_slashes))
			return -ENOTDIR;
	}
	if (r->old == r->trap)
		return -EINVAL;
	if (r->new == r->trap)
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int rename_may(const struct rename *r)
{
	bool is_dir = inode_is_dir(r->old->inode), exchange = (r->flags & RENAME_EXCHANGE) != 0;
	int err;

	err = may_delete(r->ctx, r->old_dir.dentry, r->old, is_dir);
	if (err)
		return err;
	if (!d_is_positive(r->new))
		err = may_create(r->ctx, r->new_dir.dentry, r->new);
	else
		err = may_delete(r->ctx, r->new_dir.dentry, r->new,
				 exchange ? inode_is_dir(r->new->inode) : is_dir);
	if (err)
		return err;
	if (!r->old_dir.dentry->inode->op->rename)
		return -EPERM;
	/* A directory that changes its parent has its ".." rewritten. */
	if (r->old_dir.dentry == r->new_dir.dentry)
		return 0;
	if (is_dir)
		err = inode_permission(r->ctx, r->old->inode, MAY_WRITE);
	if (!err && exchange && inode_is_dir(r->new->inode))
		err = inode_permission(r->ctx, r->new->inode, MAY_WRITE);
	return err;
}

static bool mounted_here(const struct op_ctx *ctx, struct dentry *dentry)
{
	return ctx->fs && mount_is_local(ctx->fs->ns, dentry);
}

static int rename_do_locked(struct rename *r)
{
	struct inode *old_dir = r->old_dir.dentry->inode, *new_dir = r->new_dir.dentry->inode;
	bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
	int err;

	if (mounted_here(r->ctx, r->old) || mounted_here(r->ctx, r->new))
		return -EBUSY;
	err = old_dir->op->rename(r->ctx, old_dir, r->old, new_dir, r->new, r->flags);
	if (err)
		return err;
	if (!exchange && d_is_positive(r->new)) {
		if (inode_is_dir(r->new->inode)) {
			d_shrink_children(r->new);
			d_mark_dead(r->new);
		}
		mount_detach_dentry(r->new);
	}
	d_move(r->old, r->new, exchange);
	return 0;
}

/* cf. vfs_rename() */
static int rename_do(struct rename *r)
{
	struct inode *source = r->old->inode, *target = r->new->inode;
	int err;

	if (source == target)
		return 0; /* two names of one file: POSIX wants nothing done */
	err = rename_may(r);
	if (!err)
		err = lock_victims(r);
	if (err)
		return err;
	if (target)
		r->target = inode_get(target);
	err = rename_do_locked(r);
	unlock_victims(r);
	return err;
}

static int rename_in_dirs(struct rename *r)
{
	int err;

	if (r->old_dir.mnt != r->new_dir.mnt)
		return -EXDEV;
	err = mount_want_write(&r->old_dir);
	if (!err)
		err = rename_lock_dirs(r);
	if (err)
		return err;
	err = rename_lookup(r);
	if (!err)
		err = rename_check(r);
	if (!err)
		err = rename_do(r);
	rename_unlock_dirs(r);
	dentry_put(r->old);
	dentry_put(r->new);
	inode_put(r->target);
	return err;
}

static int rename_try(const struct op_ctx *ctx, const struct path *old_base, const char *old_name,
		      const struct path *new_base, const char *new_name, unsigned flags,
		      unsigned lookup)
{
	struct rename r = {.ctx = ctx, .flags = flags, .lookup = lookup};
	enum last_type old_type, new_type;
	int err;

	err = path_parent(ctx, old_base, old_name, lookup, &r.old_dir, &r.old_last, &old_type,
			  &r.old_slashes);
	if (err)
		return err;
	err = path_parent(ctx, new_base, new_name, lookup, &r.new_dir, &r.new_last, &new_type,
			  &r.new_slashes);
	if (err)
		goto out;
	if (r.old_dir.mnt != r.new_dir.mnt)
		err = -EXDEV;
	else if (old_type != LAST_NORM)
		err = -EBUSY;
	else if (new_type != LAST_NORM)
		err = (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
	else
		err = rename_in_dirs(&r);
	path_put(&r.new_dir);
out:
	path_put(&r.old_dir);
	return err;
}

int vfs_rename(const struct op_ctx *ctx, const struct path *old_base, const char *old_name,
	       const struct path *new_base, const char *new_name, unsigned flags)
{
	int err;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE))
		return -EINVAL;
	if ((flags & RENAME_WHITEOUT) && !ctx_capable(ctx, CAP_MKNOD))
		return -EPERM;
	err = rename_try(ctx, old_base, old_name, new_base, new_name, flags, 0);
	if (err == -ESTALE)
		err = rename_try(ctx, old_base, old_name, new_base, new_name, flags, LOOKUP_REVAL);
	return err;
}

/*
 * Changes to the mount tree as system calls ask for them: attach, bind, move, flags, umount,
 * pivot_root. mount_cmd.c takes mount(2)'s flags apart and calls these.
 *
 * Attaching locks the mountpoint's inode, so that it is not removed meanwhile, then the tree.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/mount.h>

#include "sentry/base/cleanup.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/dentry_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/mount_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

bool may_mount(const struct op_ctx *ctx)
{
	return ctx_capable(ctx, CAP_SYS_ADMIN);
}

static bool path_is_mounted(const struct path *path)
{
	return path->mnt && path->dentry == path->mnt->root;
}

/* cf. check_mnt(): part of the caller's tree, not detached and not another namespace's. */
static bool mount_is_callers(const struct op_ctx *ctx, const struct mount *mnt)
{
	struct mnt_ns *ns = mount_ns(mnt);

	return ns && ctx->fs && ns == ctx->fs->ns;
}

/* The top of the stack on `where`, with its inode and the mount tree locked. */
static int mountpoint_lock(const struct path *where, struct path *ret_top)
{
	for (;;) {
		struct path top = *where;
		int err;

		path_get(&top);
		path_follow_down(&top);
		err = inode_lock_killable(top.dentry->inode);
		if (err) {
			path_put(&top);
			return err;
		}
		fb_mutex_lock(&mount_lock);
		if (dentry_test(top.dentry, DENTRY_DEAD) ||
		    (!inode_is_dir(top.dentry->inode) && d_unlinked(top.dentry)))
			err = -ENOENT;
		if (!err && !mount_at_locked(top.mnt, top.dentry)) {
			*ret_top = top;
			return 0;
		}
		fb_mutex_unlock(&mount_lock);
		inode_unlock(top.dentry->inode);
		path_put(&top);
		if (err)
			return err;
	}
}

static void mountpoint_unlock(struct path *top)
{
	fb_mutex_unlock(&mount_lock);
	inode_unlock(top->dentry->inode);
	path_put(top);
}

static int attach_check_locked(struct mnt_ns *ns, struct mount *mnt, const struct path *top)
{
	struct inode *root = mnt->root->inode;

	if (top->mnt->ns != ns || !root || inode_is_lnk(root))
		return -EINVAL;
	if (inode_is_dir(root) != inode_is_dir(top->dentry->inode))
		return -ENOTDIR;
	if (!mnt->ns && mount_tree_count_locked(mnt) + (size_t)ns->nr_mounts > MOUNTS_MAX)
		return -ENOSPC;
	return 0;
}

static void attach_locked(struct mnt_ns *ns, struct mount *mnt, const struct path *top)
{
	mount_link_locked(mnt, top->mnt, top->dentry);
	if (mnt->ns != ns) /* a move within the namespace keeps its place in /proc/mounts */
		mount_tree_set_ns_locked(mnt, ns);
	mnt_ns_touch_locked(ns);
}

int mount_attach(struct mnt_ns *ns, struct mount *mnt, const struct path *where)
{
	struct path top;
	int err;

	if (!where->mnt)
		return -EINVAL;
	err = mountpoint_lock(where, &top);
	if (err)
		return err;
	err = mnt->parent || mnt->ns ? -EINVAL : attach_check_locked(ns, mnt, &top);
	if (!err)
		attach_locked(ns, mnt, &top);
	mountpoint_unlock(&top);
	return err;
}

int mount_clone(const struct path *from, bool recursive, struct mount **ret_mount)
{
	struct detach_list list = DETACH_LIST_INIT(list);
	struct mount *copy = NULL;
	int err;

	if (!from->mnt)
		return -EINVAL;
	fb_mutex_lock(&mount_lock);
	err = from->mnt->unbindable
		      ? -EINVAL
		      : mount_tree_copy_locked(from->mnt, from->dentry, recursive, false, &copy);
	if (err && copy)
		mount_tree_detach_locked(copy, &list);
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
	if (!err)
		*ret_mount = copy;
	return err;
}

int vfs_bind_mount(const struct op_ctx *ctx, const struct path *from, const struct path *where,
		   bool recursive)
{
	struct mount *copy;
	int err;

	if (!may_mount(ctx))
		return -EPERM;
	if (!from->mnt || !mount_is_callers(ctx, from->mnt) || !where->mnt ||
	    !mount_is_callers(ctx, where->mnt))
		return -EINVAL;
	err = mount_clone(from, recursive, &copy);
	if (err)
		return err;
	err = mount_attach(ctx->fs->ns, copy, where);
	if (err)
		mount_put(copy);
	return err;
}

/* Under the mount lock; cf. do_move_mount(). */
static int move_check_locked(const struct op_ctx *ctx, const struct path *from,
			     const struct path *top)
{
	struct mount *mnt = from->mnt;

	if (mnt->parent ? !mount_is_callers(ctx, mnt) : mnt->ns != NULL)
		return -EINVAL; /* elsewhere, or the root of a namespace */
	if (!mount_is_callers(ctx, top->mnt))
		return -EINVAL;
	if (inode_is_dir(mnt->root->inode) != inode_is_dir(top->dentry->inode))
		return -EINVAL;
	if (mount_is_below_locked(mnt, top->mnt))
		return -ELOOP;
	return attach_check_locked(ctx->fs->ns, mnt, top);
}

int vfs_move_mount(const struct op_ctx *ctx, const struct path *from, const struct path *where)
{
	struct list_node dentries = LIST_INIT(dentries);
	struct path top;
	int err;

	if (!may_mount(ctx))
		return -EPERM;
	if (!path_is_mounted(from) || !where->mnt)
		return -EINVAL;
	err = mountpoint_lock(where, &top);
	if (err)
		return err;
	err = move_check_locked(ctx, from, &top);
	if (!err) {
		if (from->mnt->parent)
			mount_unlink_locked(from->mnt, &dentries);
		else
			mount_get(from->mnt); /* for the tree */
		attach_locked(ctx->fs->ns, from->mnt, &top);
	}
	mountpoint_unlock(&top);
	dentry_dispose(&dentries);
	return err;
}

int vfs_mount_set_flags(const struct op_ctx *ctx, const struct path *where, unsigned set,
			unsigned clear, bool recursive)
{
	struct mount *top = where->mnt, *mnt;
	int err = 0;

	if (!may_mount(ctx))
		return -EPERM;
	if (!path_is_mounted(where))
		return -EINVAL;
	fb_mutex_lock(&mount_lock);
	if (top->ns && !mount_is_callers(ctx, top))
		err = -EINVAL;
	for (mnt = err ? NULL : top; mnt; mnt = recursive ? mount_tree_next_locked(top, mnt) : NULL)
		__atomic_store_n(&mnt->flags, (mnt->flags & ~clear) | set, __ATOMIC_RELAXED);
	if (!err && top->ns)
		mnt_ns_touch_locked(top->ns);
	fb_mutex_unlock(&mount_lock);
	return err;
}

/* umount. */

static int umount_check_locked(const struct op_ctx *ctx, struct mount *mnt, int flags)
{
	bool busy = ref_read(&mnt->ref) - mnt->observers > 2 || !list_empty(&mnt->children);

	if (!mount_is_callers(ctx, mnt) || !mnt->parent)
		return -EINVAL;
	if (flags & MNT_DETACH)
		return 0;
	if (busy)
		return -EBUSY;
	/*
	 * The first MNT_EXPIRE marks, the second one without a use between them unmounts. A put
	 * counts the mark down; the first one will be that of this very call's path.
	 */
	if ((flags & MNT_EXPIRE) && !__atomic_exchange_n(&mnt->expiry_mark, 2, __ATOMIC_RELAXED))
		return -EAGAIN;
	return 0;
}

static int umount_top(const struct op_ctx *ctx, const struct path *where, int flags)
{
	struct detach_list list = DETACH_LIST_INIT(list);
	struct superblock *sb = where->mnt->sb;
	int err;

	if ((flags & MNT_FORCE) && mount_is_callers(ctx, where->mnt) && sb->op &&
	    sb->op->umount_begin)
		sb->op->umount_begin(sb);
	mapped_reap(ctx, sb);
	fb_mutex_lock(&mount_lock);
	err = umount_check_locked(ctx, where->mnt, flags);
	if (!err) {
		mnt_ns_touch_locked(where->mnt->ns);
		mount_tree_detach_locked(where->mnt, &list);
	}
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
	return err;
}

int vfs_umount(const struct op_ctx *ctx, const struct path *where, int umount_flags)
{
	struct path top = *where;
	int err;

	if (umount_flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	if (!may_mount(ctx))
		return -EPERM;
	if ((umount_flags & MNT_EXPIRE) && (umount_flags & (MNT_FORCE | MNT_DETACH)))
		return -EINVAL;
	/* "." does not look at what is mounted on it; umount does (LOOKUP_MOUNTPOINT). */
	if (dentry_test(where->dentry, DENTRY_MOUNTED)) {
		path_get(&top);
		if (path_follow_down(&top)) {
			err = umount_top(ctx, &top, umount_flags);
			path_put(&top);
			return err;
		}
		path_put(&top); /* a second reference would count as a use */
	}
	return path_is_mounted(where) ? umount_top(ctx, where, umount_flags) : -EINVAL;
}

/* pivot_root. */

/* Is `path` at or below `place`, crossing mounts? Mount lock held (cf. is_path_reachable()). */
static bool path_is_reachable_locked(const struct path *path, const struct path *place)
{
	const struct mount *mnt = path->mnt;
	const struct dentry *dentry = path->dentry;
	bool below;

	while (mnt != place->mnt && mnt->parent) {
		dentry = mnt->mountpoint;
		mnt = mnt->parent;
	}
	if (mnt != place->mnt)
		return false;
	fb_mutex_lock(&dcache_lock);
	below = dentry_is_ancestor_locked(place->dentry, dentry);
	fb_mutex_unlock(&dcache_lock);
	return below;
}

static int pivot_check_locked(const struct op_ctx *ctx, const struct path *root,
			      const struct path *new_root, const struct path *top_old)
{
	struct mount *new_mnt = new_root->mnt;

	if (!mount_is_callers(ctx, root->mnt) || !mount_is_callers(ctx, new_mnt) ||
	    !mount_is_callers(ctx, top_old->mnt))
		return -EINVAL;
	if (d_unlinked(new_root->dentry))
		return -ENOENT;
	if (new_mnt == root->mnt || top_old->mnt == root->mnt)
		return -EBUSY;
	if (!path_is_mounted(root) || !path_is_mounted(new_root) || !new_mnt->parent)
		return -EINVAL;
	if (!path_is_reachable_locked(top_old, new_root) ||
	    !path_is_reachable_locked(new_root, root))
		return -EINVAL;
	return 0;
}

/*
 * The new root takes the old root's place. Unlike Linux we have no rootfs below the first root of
 * a namespace, so that one may be pivoted away from too.
 */
static void pivot_locked(struct mount *root, struct mount *new_mnt, const struct path *top_old,
			 struct list_node *dentries)
{
	struct mount *parent = root->parent;
	struct dentry *place = root->mountpoint;
	struct mnt_ns *ns = new_mnt->ns;

	mount_unlink_locked(new_mnt, dentries);
	if (parent) {
		fb_mutex_lock(&dcache_lock);
		place->count++;
		fb_mutex_unlock(&dcache_lock);
		mount_unlink_locked(root, dentries);
		mount_link_locked(new_mnt, parent, place);
		fb_mutex_lock(&dcache_lock);
		dentry_put_locked(place, dentries);
		fb_mutex_unlock(&dcache_lock);
	} else {
		ns->root = new_mnt;
	}
	mount_link_locked(root, top_old->mnt, top_old->dentry);
	mnt_ns_touch_locked(ns);
}

int vfs_pivot_root(const struct op_ctx *ctx, const struct path *new_root,
		   const struct path *put_old)
{
	struct list_node dentries = LIST_INIT(dentries);
	struct path root, top;
	int err;

	if (!may_mount(ctx))
		return -EPERM;
	if (!inode_is_dir(new_root->dentry->inode) || !inode_is_dir(put_old->dentry->inode))
		return -ENOTDIR;
	fs_get_root(ctx->fs, &root);
	err = mountpoint_lock(put_old, &top);
	if (err)
		goto out;
	err = pivot_check_locked(ctx, &root, new_root, &top);
	if (!err)
		pivot_locked(root.mnt, new_root->mnt, &top, &dentries);
	mountpoint_unlock(&top);
	dentry_dispose(&dentries);
	if (!err)
		fs_struct_replace_all(&root, new_root);
out:
	path_put(&root);
	return err;
}

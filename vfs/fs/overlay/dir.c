/*
 * Names. A directory's own table answers first; what it does not know, the lower directory
 * decides. The VFS holds the locks of the directories that change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/cleanup.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

static void trust(struct dentry *dentry)
{
	int64_t until = clock_monotonic_ns() + ovl_info(dentry->sb)->cache_ns;

	__atomic_store_n(&dentry->fs_time_ns, (uint64_t)until, __ATOMIC_RELAXED);
}

/* What `name` means now; returns a reference. */
static int find(struct inode *dir, const char *name, size_t len, struct inode **ret_inode)
{
	struct inode *lower_dir = ovl_i(dir)->lower, *lower;
	int err;

	if (ovl_table_find(dir, name, len, ret_inode))
		return *ret_inode ? 0 : -ENOENT;
	if (!lower_dir)
		return -ENOENT;
	err = hostfs_lookup_inode(lower_dir, name, len, &lower);
	return err ? err : ovl_iget(dir->sb, lower, ret_inode);
}

static int ovl_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      unsigned flags, struct dentry **ret_alias)
{
	struct inode *inode = NULL;
	int err;

	(void)ctx;
	(void)flags;
	if (dentry->name_len > 255)
		return -ENAMETOOLONG;
	err = find(dir, dentry->name, dentry->name_len, &inode);
	if (err && err != -ENOENT)
		return err;
	if (err)
		inode = NULL;
	trust(dentry);
	if (inode && inode_is_dir(inode))
		return d_splice_alias(dentry, inode, ret_alias);
	d_add(dentry, inode);
	return 0;
}

/* Does the name still mean the inode (NULL: nothing)? */
static bool still_means(struct inode *dir, const char *name, struct inode *inode)
{
	struct inode *lower_dir = ovl_i(dir)->lower, *now;
	size_t len = strlen(name);
	bool same;

	if (ovl_table_find(dir, name, len, &now)) {
		same = now == inode;
		inode_put(now);
		return same;
	}
	if (!lower_dir)
		return inode == NULL;
	if (inode && !ovl_i(inode)->lower)
		return false;
	same = hostfs_check_name(lower_dir, name, len, inode ? ovl_i(inode)->lower : NULL) == 1;
	if (same && inode)
		ovl_sync_attrs(inode);
	return same;
}

static int ovl_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			  unsigned flags)
{
	cleanup_free char *name = NULL;

	(void)ctx;
	/* What happens on the host below a guest's mount must not take the mount away. */
	if (dentry_test(dentry, DENTRY_MOUNTED))
		return 1;
	if (!(flags & LOOKUP_REVAL) &&
	    (uint64_t)clock_monotonic_ns() < __atomic_load_n(&dentry->fs_time_ns, __ATOMIC_RELAXED))
		return 1;
	name = dentry_name(dentry);
	if (!name)
		return -ENOMEM;
	/* A negative entry may turn positive meanwhile. */
	if (!still_means(dir->inode, name, __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE)))
		return 0;
	trust(dentry);
	return 1;
}

/* A directory's names or times are about to change. */
static int prepare_dir(struct inode *dir)
{
	int err = ovl_table_prepare(dir);

	return err ? err : ovl_own_attrs(dir);
}

static void dir_changed(struct inode *dir)
{
	inode_touch(dir, S_MTIME | S_CTIME);
}

/* A subdirectory came or went. Host file systems that do not count them show 1: so do we. */
static void count_subdir(struct inode *dir, int delta)
{
	if (dir->nlink >= 2)
		inode_add_nlink(dir, delta);
}

/* Gives the dentry's name to inode (a reference is taken for the table and one for the dentry). */
static int add_name(struct inode *dir, struct dentry *dentry, struct inode *inode)
{
	struct ovl_entry *entry;
	int err;

	if (dentry->name_len > 255)
		return -ENAMETOOLONG;
	err = prepare_dir(dir);
	if (err)
		return err;
	entry = ovl_entry_new(dentry->name, dentry->name_len);
	if (!entry)
		return -ENOMEM;
	ovl_table_set(dir, entry, inode);
	dir_changed(dir);
	trust(dentry);
	d_instantiate(dentry, inode_get(inode));
	return 0;
}

/* A new object under a new name. `target` for symlinks. */
static int make(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry, uint32_t mode,
		dev_t rdev, const char *target)
{
	struct inode *inode;
	int err;

	err = ovl_new_inode(ctx, dir->sb, dir, mode, rdev, &inode);
	if (err)
		return err;
	if (target) {
		ovl_i(inode)->target = strdup(target);
		inode->size = (int64_t)strlen(target);
		if (!ovl_i(inode)->target)
			err = -ENOMEM;
	}
	if (!err)
		err = add_name(dir, dentry, inode);
	if (!err && S_ISDIR(mode))
		count_subdir(dir, 1);
	inode_put(inode);
	return err;
}

static int ovl_create(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      uint32_t mode, bool excl)
{
	(void)excl;
	return make(ctx, dir, dentry, S_IFREG | (mode & 07777), 0, NULL);
}

static int ovl_mkdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode)
{
	return make(ctx, dir, dentry, S_IFDIR | (mode & 07777), 0, NULL);
}

static int ovl_mknod(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode, dev_t rdev)
{
	return make(ctx, dir, dentry, mode, rdev, NULL);
}

static int ovl_symlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       const char *target)
{
	return make(ctx, dir, dentry, S_IFLNK | 0777, 0, target);
}

static int ovl_tmpfile(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       struct file *file, uint32_t mode)
{
	struct inode *inode;
	int err;

	err = ovl_new_inode(ctx, dir->sb, dir, S_IFREG | (mode & 07777), 0, &inode);
	if (err)
		return err;
	inode_add_nlink(inode, -1);
	d_instantiate(dentry, inode);
	return file_finish_open(ctx, file, dentry);
}

static int ovl_link(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		    struct dentry *dentry)
{
	struct inode *inode = old->inode;
	int err;

	(void)ctx;
	err = ovl_own_attrs(inode);
	if (!err)
		err = add_name(dir, dentry, inode);
	if (err)
		return err;
	inode_add_nlink(inode, 1);
	inode_touch(inode, S_CTIME);
	return 0;
}

/* The entry that makes a name mean nothing; NULL when the lower layer has no such name either. */
static int whiteout_for(struct inode *dir, struct dentry *dentry, struct ovl_entry **ret_entry)
{
	struct inode *lower_dir = ovl_i(dir)->lower;

	*ret_entry = NULL;
	/* An error hides the name as well: it must not come back. */
	if (!lower_dir || hostfs_exists(lower_dir, dentry->name, dentry->name_len) == 0)
		return 0;
	*ret_entry = ovl_entry_new(dentry->name, dentry->name_len);
	return *ret_entry ? 0 : -ENOMEM;
}

static void clear_name(struct inode *dir, struct dentry *dentry, struct ovl_entry *whiteout)
{
	if (whiteout)
		ovl_table_set(dir, whiteout, NULL);
	else
		ovl_table_remove(dir, dentry->name, dentry->name_len);
}

/* One name less, or all of them; without one the object lives only as long as it is used. */
static void drop_links(struct inode *inode, bool all)
{
	inode_add_nlink(inode, all ? -(int)inode->nlink : -1);
	inode_touch(inode, S_CTIME);
	if (inode->nlink == 0)
		ovl_unpin(inode);
}

/* Who loses one of several names must be remembered with the ones that are left. */
static int prepare_victim(struct inode *inode)
{
	int err = ovl_refresh(inode);

	if (err == -ESTALE || err == -ENOENT)
		err = 0; /* gone on the host already */
	if (err)
		return err;
	if (inode_is_dir(inode) || inode->nlink <= 1) {
		err = ovl_own_attrs_unpinned(inode);
		return err == -ESTALE || err == -ENOENT ? 0 : err;
	}
	return ovl_own_attrs(inode);
}

static int remove_name(struct inode *dir, struct dentry *dentry)
{
	struct inode *victim = dentry->inode;
	struct ovl_entry *whiteout;
	int err;

	err = prepare_dir(dir);
	if (!err)
		err = prepare_victim(victim);
	if (!err)
		err = whiteout_for(dir, dentry, &whiteout);
	if (err)
		return err;
	clear_name(dir, dentry, whiteout);
	dir_changed(dir);
	trust(dentry);
	return 0;
}

static int ovl_unlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	int err;

	(void)ctx;
	err = remove_name(dir, dentry);
	if (!err)
		drop_links(dentry->inode, false);
	return err;
}

static int ovl_rmdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	int err;

	(void)ctx;
	err = ovl_check_empty(dentry->inode);
	if (!err)
		err = remove_name(dir, dentry);
	if (err)
		return err;
	drop_links(dentry->inode, true);
	count_subdir(dir, -1);
	return 0;
}

/* ".." of a directory that moved or went counts in its parent. */
static void count_moved_dirs(struct inode *old_dir, struct inode *inode, struct inode *new_dir,
			     struct inode *target, bool exchange)
{
	bool moved = inode_is_dir(inode), lost = target && inode_is_dir(target);

	if (moved) {
		count_subdir(old_dir, -1);
		count_subdir(new_dir, 1);
	}
	if (lost) {
		count_subdir(new_dir, -1);
		if (exchange)
			count_subdir(old_dir, 1);
	}
}

static int prepare_rename(struct inode *old_dir, struct inode *inode, struct inode *new_dir,
			  struct inode *target, bool exchange)
{
	int err;

	err = prepare_dir(old_dir);
	if (!err)
		err = prepare_dir(new_dir);
	if (!err)
		err = ovl_own_attrs(inode);
	if (err || !target)
		return err;
	if (exchange)
		return ovl_own_attrs(target);
	if (inode_is_dir(target))
		err = ovl_check_empty(target);
	return err ? err : prepare_victim(target);
}

static int ovl_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
		      struct inode *new_dir, struct dentry *new_dentry, unsigned flags)
{
	struct inode *inode = old_dentry->inode, *target = new_dentry->inode;
	bool exchange = flags & RENAME_EXCHANGE;
	struct ovl_entry *new_entry, *old_entry = NULL;
	int err;

	(void)ctx;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (new_dentry->name_len > 255)
		return -ENAMETOOLONG;
	err = prepare_rename(old_dir, inode, new_dir, target, exchange);
	if (err)
		return err;
	new_entry = ovl_entry_new(new_dentry->name, new_dentry->name_len);
	if (!new_entry)
		return -ENOMEM;
	if (exchange)
		old_entry = ovl_entry_new(old_dentry->name, old_dentry->name_len);
	else
		err = whiteout_for(old_dir, old_dentry, &old_entry);
	if (err || (exchange && !old_entry)) {
		free(new_entry);
		return -ENOMEM;
	}
	/* Nothing fails from here on. */
	ovl_table_set(new_dir, new_entry, inode);
	if (exchange)
		ovl_table_set(old_dir, old_entry, target);
	else
		clear_name(old_dir, old_dentry, old_entry);
	if (target && !exchange)
		drop_links(target, inode_is_dir(target));
	else if (target)
		inode_touch(target, S_CTIME);
	count_moved_dirs(old_dir, inode, new_dir, target, exchange);
	inode_touch(inode, S_CTIME);
	dir_changed(old_dir);
	dir_changed(new_dir);
	return 0;
}

const struct dentry_ops ovl_dops = {
	.revalidate = ovl_revalidate,
};

const struct inode_ops ovl_dir_iops = {
	.lookup = ovl_lookup,
	.create = ovl_create,
	.mkdir = ovl_mkdir,
	.mknod = ovl_mknod,
	.symlink = ovl_symlink,
	.link = ovl_link,
	.unlink = ovl_unlink,
	.rmdir = ovl_rmdir,
	.rename = ovl_rename,
	.tmpfile = ovl_tmpfile,
	.permission = ovl_permission,
	.setattr = ovl_setattr,
	.getattr = ovl_getattr,
	.getxattr = ovl_getxattr,
	.setxattr = ovl_setxattr,
	.listxattr = ovl_listxattr,
	.removexattr = ovl_removexattr,
};

const struct inode_ops ovl_file_iops = {
	.setattr = ovl_setattr,
	.getattr = ovl_getattr,
	.getxattr = ovl_getxattr,
	.setxattr = ovl_setxattr,
	.listxattr = ovl_listxattr,
	.removexattr = ovl_removexattr,
};

const struct inode_ops ovl_symlink_iops = {
	.get_link = ovl_get_link,
	.setattr = ovl_setattr,
	.getattr = ovl_getattr,
	.getxattr = ovl_getxattr,
	.setxattr = ovl_setxattr,
	.listxattr = ovl_listxattr,
	.removexattr = ovl_removexattr,
};

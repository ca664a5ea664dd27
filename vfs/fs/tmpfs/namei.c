/* Directories of tmpfs: lookup, making and removing names, rename, readdir. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"
#include "vfs/readdir.h"

static struct tmpfs_dirent *find(struct inode *dir, const struct dentry *dentry)
{
	return dirtable_find(&tmpfs_i(dir)->dir, dentry->name, dentry->name_len, dentry->hash);
}

static struct tmpfs_dirent *dirent_for(const struct dentry *dentry)
{
	return dirent_new(dentry->name, dentry->name_len, dentry->hash);
}

/* With the lock held, as the next one. There is room for it. */
static void add_entry(struct inode *dir, struct tmpfs_dirent *dirent)
{
	dirtable_insert(&tmpfs_i(dir)->dir, dirent);
	tmpfs_i(dirent->inode)->home = dir;
}

static void remove_entry(struct inode *dir, struct tmpfs_dirent *dirent)
{
	struct tmpfs_inode *ti = tmpfs_i(dirent->inode);

	dirtable_remove(&tmpfs_i(dir)->dir, dirent);
	if (ti->home == dir)
		ti->home = NULL;
}

/* What a change of its entries does to a directory. */
static void dir_changed(struct inode *dir, int entries, int subdirs)
{
	fb_mutex_lock(&dir->attr_lock);
	dir->size += (int64_t)entries * TMPFS_DIRENT_SIZE;
	dir->nlink += (uint32_t)subdirs;
	fb_mutex_unlock(&dir->attr_lock);
	inode_touch(dir, S_MTIME | S_CTIME);
}

/* ---- lookup ---- */

static int tmpfs_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			unsigned flags, struct dentry **ret_alias)
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	struct tmpfs_dirent *dirent;
	struct inode *inode = NULL;

	(void)ctx;
	(void)flags;
	if (dentry->name_len > TMPFS_NAME_MAX)
		return -ENAMETOOLONG;
	fb_mutex_lock(&info->lock);
	dirent = find(dir, dentry);
	if (dirent)
		inode = inode_get(dirent->inode);
	fb_mutex_unlock(&info->lock);
	if (inode && inode_is_dir(inode))
		return d_splice_alias(dentry, inode, ret_alias);
	d_add(dentry, inode);
	return 0;
}

/* ---- making names ---- */

/* Enters inode under dentry's name; the entry takes a reference of its own. */
static int dir_enter(struct inode *dir, struct dentry *dentry, struct inode *inode)
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	struct tmpfs_dirent *dirent;
	int err;

	if (dentry->name_len > TMPFS_NAME_MAX)
		return -ENAMETOOLONG;
	dirent = dirent_for(dentry);
	if (!dirent)
		return -ENOMEM;
	fb_mutex_lock(&info->lock);
	if (dir->nlink == 0)
		err = -ENOENT;
	else if (find(dir, dentry))
		err = -EEXIST;
	else
		err = dirtable_reserve(&tmpfs_i(dir)->dir);
	if (!err) {
		dirent->inode = inode_get(inode);
		add_entry(dir, dirent);
	}
	fb_mutex_unlock(&info->lock);
	if (err)
		dirent_free(dirent);
	else
		dir_changed(dir, 1, inode_is_dir(inode) ? 1 : 0);
	return err;
}

/* Makes an inode and its name. Takes `target` (of a symlink) in any case. */
static int make(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry, uint32_t mode,
		dev_t rdev, char *target)
{
	struct inode *inode;
	int err = tmpfs_inode_new(ctx, dir->sb, dir, mode, rdev, &inode);

	if (err) {
		free(target);
		return err;
	}
	if (target) {
		tmpfs_i(inode)->target = target;
		inode->size = (int64_t)strlen(target);
	}
	err = dir_enter(dir, dentry, inode);
	if (err) {
		if (target)
			tmpfs_i(inode)->target = NULL;
		free(target);
		inode_put(inode);
		return err;
	}
	d_instantiate(dentry, inode);
	return 0;
}

static int tmpfs_create(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			uint32_t mode, bool excl)
{
	(void)excl;
	return make(ctx, dir, dentry, S_IFREG | (mode & 07777), 0, NULL);
}

static int tmpfs_mkdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       uint32_t mode)
{
	return make(ctx, dir, dentry, S_IFDIR | (mode & 07777), 0, NULL);
}

static int tmpfs_mknod(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       uint32_t mode, dev_t rdev)
{
	return make(ctx, dir, dentry, mode, rdev, NULL);
}

static int tmpfs_symlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 const char *target)
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	size_t len = strlen(target);
	char *copy;
	int err;

	if (len >= 4096)
		return -ENAMETOOLONG;
	if (len >= TMPFS_LONG_LINK && !pagecache_limit_charge(&info->blocks, PAGECACHE_PAGE))
		return -ENOSPC;
	copy = strdup(target);
	/* On success the charge is the inode's. */
	err = copy ? make(ctx, dir, dentry, S_IFLNK | 0777, 0, copy) : -ENOMEM;
	if (err && len >= TMPFS_LONG_LINK)
		pagecache_limit_uncharge(&info->blocks, PAGECACHE_PAGE);
	return err;
}

/* O_TMPFILE: an inode without a name; linkat(2) may give it one later. */
static int tmpfs_tmpfile(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 struct file *file, uint32_t mode)
{
	struct inode *inode;
	int err = tmpfs_inode_new(ctx, dir->sb, dir, S_IFREG | (mode & 07777), 0, &inode);

	if (err)
		return err;
	inode->nlink = 0;
	d_instantiate(dentry, inode);
	return file_finish_open(ctx, file, dentry);
}

/*
 * cf. shmem_link(): each further name is charged like an inode, because it costs memory like one.
 * The first name of an O_TMPFILE inode has been paid for with the inode.
 */
static int tmpfs_link(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		      struct dentry *dentry)
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	struct inode *inode = old->inode;
	bool charge = inode->nlink > 0;
	int err;

	(void)ctx;
	if (charge) {
		err = tmpfs_reserve_inode(info);
		if (err)
			return err;
	}
	err = dir_enter(dir, dentry, inode);
	if (err) {
		if (charge)
			tmpfs_release_inode(info);
		return err;
	}
	inode_add_nlink(inode, 1);
	inode_touch(inode, S_CTIME);
	d_instantiate(dentry, inode_get(inode));
	return 0;
}

/* ---- removing names ---- */

/* The inode has lost a name; drops the reference that the entry held. */
static void name_gone(struct inode *inode)
{
	if (inode_is_dir(inode)) {
		inode_add_nlink(inode, -(int)inode->nlink);
	} else {
		if (inode->nlink > 1)
			tmpfs_release_inode(tmpfs_info(inode->sb));
		inode_add_nlink(inode, -1);
	}
	inode_touch(inode, S_CTIME);
	inode_put(inode);
}

static int remove_name(struct inode *dir, struct dentry *dentry)
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	struct tmpfs_dirent *dirent;
	struct inode *inode;
	int err = 0;

	fb_mutex_lock(&info->lock);
	dirent = find(dir, dentry);
	if (!dirent)
		err = -ENOENT;
	else if (inode_is_dir(dirent->inode) && tmpfs_i(dirent->inode)->dir.nr > 0)
		err = -ENOTEMPTY;
	else
		remove_entry(dir, dirent);
	fb_mutex_unlock(&info->lock);
	if (err)
		return err;
	inode = dirent->inode;
	dirent_free(dirent);
	dir_changed(dir, -1, inode_is_dir(inode) ? -1 : 0);
	name_gone(inode);
	return 0;
}

static int tmpfs_unlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	(void)ctx;
	return remove_name(dir, dentry);
}

static int tmpfs_rmdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	(void)ctx;
	return remove_name(dir, dentry);
}

/* ---- rename ---- */

static int exchange(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
		    struct dentry *new_dentry)
{
	struct tmpfs_info *info = tmpfs_info(old_dir->sb);
	struct tmpfs_dirent *a, *b;
	struct inode *swap;
	int moved = 0;

	fb_mutex_lock(&info->lock);
	a = find(old_dir, old_dentry);
	b = find(new_dir, new_dentry);
	if (!a || !b) {
		fb_mutex_unlock(&info->lock);
		return -ENOENT;
	}
	swap = a->inode;
	a->inode = b->inode;
	b->inode = swap;
	tmpfs_i(a->inode)->home = old_dir;
	tmpfs_i(b->inode)->home = new_dir;
	/* How many subdirectories new_dir wins. */
	moved = inode_is_dir(b->inode) - inode_is_dir(a->inode);
	inode_touch(a->inode, S_CTIME);
	inode_touch(b->inode, S_CTIME);
	fb_mutex_unlock(&info->lock);
	dir_changed(old_dir, 0, -moved);
	dir_changed(new_dir, 0, moved);
	return 0;
}

/* What a rename puts in place; made before anything is changed, because it may fail. */
struct rename_parts {
	struct tmpfs_dirent *fresh; /* the new name */
	struct tmpfs_dirent
		*whiteout; /* what stays under the old one; NULL without RENAME_WHITEOUT */
};

static void rename_parts_free(struct rename_parts *parts)
{
	if (parts->whiteout)
		inode_put(parts->whiteout->inode);
	dirent_free(parts->whiteout);
	dirent_free(parts->fresh);
}

/* A whiteout is a character device 0:0, rename(2). */
static int rename_parts_new(const struct op_ctx *ctx, struct inode *old_dir,
			    struct dentry *old_dentry, struct dentry *new_dentry, bool whiteout,
			    struct rename_parts *parts)
{
	struct inode *inode;
	int err = 0;

	*parts = (struct rename_parts){ .fresh = dirent_for(new_dentry) };
	if (!parts->fresh)
		return -ENOMEM;
	if (whiteout) {
		err = tmpfs_inode_new(ctx, old_dir->sb, old_dir, S_IFCHR, 0, &inode);
		if (!err) {
			parts->whiteout = dirent_for(old_dentry);
			if (parts->whiteout)
				parts->whiteout->inode = inode;
			else
				inode_put(inode);
		}
		if (!err && !parts->whiteout)
			err = -ENOMEM;
	}
	if (err)
		rename_parts_free(parts);
	return err;
}

/*
 * The change itself, with the lock held. *ret_victim: entry that was replaced, or NULL. Both names
 * of one inode: *ret_old stays NULL and nothing changes, rename(2).
 */
static int rename_locked(struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
			 struct dentry *new_dentry, bool noreplace, struct rename_parts *parts,
			 struct tmpfs_dirent **ret_old, struct tmpfs_dirent **ret_victim)
{
	struct tmpfs_dirtable *from = &tmpfs_i(old_dir)->dir, *to = &tmpfs_i(new_dir)->dir;
	struct tmpfs_dirent *old = find(old_dir, old_dentry), *victim = find(new_dir, new_dentry);

	if (!old || new_dir->nlink == 0)
		return -ENOENT;
	*ret_old = *ret_victim = NULL;
	if (victim && noreplace)
		return -EEXIST;
	if (victim && victim->inode == old->inode)
		return 0;
	if (victim && inode_is_dir(victim->inode) && tmpfs_i(victim->inode)->dir.nr > 0)
		return -ENOTEMPTY;
	if (dirtable_reserve(to) || dirtable_reserve(from))
		return -ENOMEM;
	if (victim)
		remove_entry(new_dir, victim);
	remove_entry(old_dir, old);
	parts->fresh->inode = old->inode;
	add_entry(new_dir, parts->fresh);
	if (parts->whiteout)
		add_entry(old_dir, parts->whiteout);
	*ret_old = old;
	*ret_victim = victim;
	return 0;
}

static int tmpfs_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
			struct inode *new_dir, struct dentry *new_dentry, unsigned flags)
{
	struct tmpfs_info *info = tmpfs_info(old_dir->sb);
	struct tmpfs_dirent *old = NULL, *victim = NULL;
	struct rename_parts parts;
	bool whiteout = (flags & RENAME_WHITEOUT) != 0;
	int err, subdir;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE)
		return exchange(old_dir, old_dentry, new_dir, new_dentry);
	if (new_dentry->name_len > TMPFS_NAME_MAX)
		return -ENAMETOOLONG;
	err = rename_parts_new(ctx, old_dir, old_dentry, new_dentry, whiteout, &parts);
	if (err)
		return err;
	fb_mutex_lock(&info->lock);
	err = rename_locked(old_dir, old_dentry, new_dir, new_dentry,
			    (flags & RENAME_NOREPLACE) != 0, &parts, &old, &victim);
	fb_mutex_unlock(&info->lock);
	if (err || !old) {
		rename_parts_free(&parts);
		return err;
	}
	subdir = inode_is_dir(old->inode) ? 1 : 0;
	inode_touch(old->inode, S_CTIME);
	dirent_free(old);
	dir_changed(old_dir, whiteout ? 0 : -1, -subdir);
	dir_changed(new_dir, 1, subdir);
	if (victim) {
		dir_changed(new_dir, -1, inode_is_dir(victim->inode) ? -1 : 0);
		name_gone(victim->inode);
		dirent_free(victim);
	}
	return 0;
}

/* ---- readdir ---- */

static int tmpfs_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct tmpfs_info *info = tmpfs_info(file->inode->sb);
	const struct tmpfs_dirtable *dir = &tmpfs_i(file->inode)->dir;
	char name[TMPFS_NAME_MAX];

	(void)ctx;
	if (!dir_emit_dots(file, dc))
		return 0;
	for (;;) {
		struct tmpfs_dirent *dirent;
		unsigned type = 0;
		uint64_t ino = 0;
		size_t len = 0;

		/* Copied out: emit may reach into guest memory. */
		fb_mutex_lock(&info->lock);
		dirent = dirtable_next(dir, dc->pos);
		if (dirent) {
			len = dirent->len;
			memcpy(name, dirent->name, len);
			ino = dirent->inode->ino;
			type = (dirent->inode->mode & S_IFMT) >> 12; /* IFTODT() */
			dc->pos = dirent->off;
		}
		fb_mutex_unlock(&info->lock);
		if (!dirent || !dir_emit(dc, name, len, ino, type))
			return 0;
		dc->pos++;
	}
}

const struct file_ops tmpfs_dir_ops = {
	.iterate = tmpfs_iterate,
	.llseek = cookie_dir_llseek,
	.fsync = noop_fsync,
};

const struct inode_ops tmpfs_dir_inode_ops = {
	.lookup = tmpfs_lookup,
	.create = tmpfs_create,
	.mkdir = tmpfs_mkdir,
	.mknod = tmpfs_mknod,
	.symlink = tmpfs_symlink,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rmdir = tmpfs_rmdir,
	.rename = tmpfs_rename,
	.tmpfile = tmpfs_tmpfile,
	.setattr = tmpfs_setattr,
	.getattr = tmpfs_getattr,
	.getxattr = tmpfs_getxattr,
	.setxattr = tmpfs_setxattr,
	.listxattr = tmpfs_listxattr,
	.removexattr = tmpfs_removexattr,
	.get_acl = tmpfs_get_acl,
	.set_acl = tmpfs_set_acl,
};

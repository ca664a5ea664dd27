/*
 * Making and removing names: mkdir, mknod, symlink, link, unlink, rmdir, and readlink. rename.c
 * has rename. The checks and their order are those of fs/namei.c, because programs depend on
 * which of several errors they get.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/namei_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

int may_create(const struct op_ctx *ctx, struct dentry *dir, const struct dentry *child)
{
	if (d_is_positive(child))
		return -EEXIST;
	if (dentry_test(dir, DENTRY_DEAD))
		return -ENOENT;
	return inode_permission(ctx, dir->inode, MAY_WRITE | MAY_EXEC);
}

/* In a sticky directory only the owner of the file or of the directory removes a name. */
static int check_sticky(const struct op_ctx *ctx, struct inode *dir, struct inode *inode)
{
	if (!(inode_mode(dir) & S_ISVTX) || inode_owner_or_capable(ctx, inode) ||
	    inode_owner_or_capable(ctx, dir))
		return 0;
	return -EPERM;
}

int may_delete(const struct op_ctx *ctx, struct dentry *dir, const struct dentry *victim,
	       bool isdir)
{
	int err;

	if (!d_is_positive(victim))
		return -ENOENT;
	err = inode_permission(ctx, dir->inode, MAY_WRITE | MAY_EXEC);
	if (!err)
		err = check_sticky(ctx, dir->inode, victim->inode);
	if (err)
		return err;
	if (isdir && !inode_is_dir(victim->inode))
		return -ENOTDIR;
	if (isdir && dentry_is_root(victim))
		return -EBUSY;
	if (!isdir && inode_is_dir(victim->inode))
		return -EISDIR;
	return dentry_test(dir, DENTRY_DEAD) ? -ENOENT : 0;
}

/* A name that is about to be made: its directory is locked until create_end(). */
struct creation {
	struct path dir;
	struct dentry *dentry; /* negative */
};

static void create_end(struct creation *c)
{
	inode_unlock(c->dir.dentry->inode);
	dentry_put(c->dentry);
	path_put(&c->dir);
}

static int create_lookup_locked(const struct op_ctx *ctx, const struct qstr *last, bool slashes,
				bool want_dir, unsigned flags, struct creation *c)
{
	int err;

	err = lookup_one_locked(ctx, c->dir.dentry, last, flags | LOOKUP_CREATE | LOOKUP_EXCL,
				&c->dentry);
	if (err)
		return err;
	if (d_is_positive(c->dentry))
		err = -EEXIST;
	else if (slashes && !want_dir)
		err = -ENOENT; /* "new/" can only become a directory */
	else
		err = mount_want_write(&c->dir);
	if (!err)
		err = may_create(ctx, c->dir.dentry, c->dentry);
	return err;
}

/* cf. filename_create(); want_dir: trailing slashes are fine. */
static int create_begin(const struct op_ctx *ctx, const struct path *base, const char *name,
			bool want_dir, unsigned flags, struct creation *ret)
{
	struct creation c = {.dentry = NULL};
	enum last_type type;
	struct qstr last;
	bool slashes;
	int err;

	err = path_parent(ctx, base, name, flags, &c.dir, &last, &type, &slashes);
	if (err)
		return err;
	err = type == LAST_NORM ? inode_lock_killable(c.dir.dentry->inode) : -EEXIST;
	if (err) {
		path_put(&c.dir);
		return err;
	}
	err = create_lookup_locked(ctx, &last, slashes, want_dir, flags, &c);
	if (err)
		create_end(&c);
	else
		*ret = c;
	return err;
}

/* Runs a try once more, trusting no cache, when the first one met a stale entry. */
#define RETRY_ESTALE(call)                                                                         \
	({                                                                                         \
		unsigned flags = 0;                                                                \
		int err_ = (call);                                                                 \
		if (err_ == -ESTALE) {                                                             \
			flags = LOOKUP_REVAL;                                                      \
			err_ = (call);                                                             \
		}                                                                                  \
		err_;                                                                              \
	})

static int mkdir_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		     uint32_t mode, unsigned flags)
{
	struct creation c;
	struct inode *dir;
	int err;

	err = create_begin(ctx, base, name, true, flags, &c);
	if (err)
		return err;
	dir = c.dir.dentry->inode;
	mode = mode_after_umask(ctx, c.dir.dentry, mode & (0777 | S_ISVTX));
	err = dir->op->mkdir ? dir->op->mkdir(ctx, dir, c.dentry, mode) : -EPERM;
	create_end(&c);
	return err;
}

int vfs_mkdir(const struct op_ctx *ctx, const struct path *base, const char *name, uint32_t mode)
{
	return RETRY_ESTALE(mkdir_try(ctx, base, name, mode, flags));
}

/* mode with a type; 0 means regular. cf. may_mknod() */
static int mknod_check(const struct op_ctx *ctx, uint32_t *mode, dev_t rdev)
{
	switch (*mode & S_IFMT) {
	case 0:
		*mode |= S_IFREG;
		return 0;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFCHR:
		if (rdev == 0) /* a whiteout is harmless */
			return 0;
		__attribute__((fallthrough));
	case S_IFBLK:
		return ctx_capable(ctx, CAP_MKNOD) ? 0 : -EPERM;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

static int mknod_locked(const struct op_ctx *ctx, struct creation *c, uint32_t mode, dev_t rdev)
{
	struct inode *dir = c->dir.dentry->inode;

	mode = mode_after_umask(ctx, c->dir.dentry, mode);
	if (S_ISREG(mode))
		return dir->op->create ? dir->op->create(ctx, dir, c->dentry, mode, true) : -EACCES;
	return dir->op->mknod ? dir->op->mknod(ctx, dir, c->dentry, mode, rdev) : -EPERM;
}

/* ret_path may be NULL. */
static int mknod_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		     uint32_t mode, dev_t rdev, struct path *ret_path, unsigned flags)
{
	struct creation c;
	int err;

	err = create_begin(ctx, base, name, false, flags, &c);
	if (err)
		return err;
	err = mknod_locked(ctx, &c, mode, rdev);
	if (!err && ret_path) {
		*ret_path = (struct path){c.dir.mnt, c.dentry};
		if (d_is_positive(c.dentry))
			path_get(ret_path);
		else
			err = -ESTALE;
	}
	create_end(&c);
	return err;
}

int vfs_mknod(const struct op_ctx *ctx, const struct path *base, const char *name, uint32_t mode,
	      dev_t rdev)
{
	int err = mknod_check(ctx, &mode, rdev);

	return err ? err : RETRY_ESTALE(mknod_try(ctx, base, name, mode, rdev, NULL, flags));
}

int vfs_mknod_path(const struct op_ctx *ctx, const struct path *base, const char *name,
		   uint32_t mode, dev_t rdev, struct path *ret_path)
{
	int err = mknod_check(ctx, &mode, rdev);

	return err ? err : mknod_try(ctx, base, name, mode, rdev, ret_path, 0);
}

static int symlink_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		       const char *target, unsigned flags)
{
	struct creation c;
	struct inode *dir;
	int err;

	err = create_begin(ctx, base, name, false, flags, &c);
	if (err)
		return err;
	dir = c.dir.dentry->inode;
	err = dir->op->symlink ? dir->op->symlink(ctx, dir, c.dentry, target) : -EPERM;
	create_end(&c);
	return err;
}

int vfs_symlink(const struct op_ctx *ctx, const struct path *base, const char *name,
		const char *target)
{
	if (!*target)
		return -ENOENT;
	return RETRY_ESTALE(symlink_try(ctx, base, name, target, flags));
}

/*
 * fs.protected_hardlinks is always on: only what one owns, or could read and write anyway and is
 * no door to other rights, can be linked (cf. may_linkat(), safe_hardlink_source()).
 */
static int may_link_source(const struct op_ctx *ctx, struct inode *inode)
{
	uint32_t mode = inode_mode(inode);

	if (inode_owner_or_capable(ctx, inode))
		return 0;
	if (!S_ISREG(mode) || (mode & S_ISUID) ||
	    (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		return -EPERM;
	return inode_permission(ctx, inode, MAY_READ | MAY_WRITE) ? -EPERM : 0;
}

/* cf. vfs_link(); the directory is locked. */
static int link_locked(const struct op_ctx *ctx, const struct path *old, struct creation *c)
{
	struct inode *dir = c->dir.dentry->inode, *inode = old->dentry->inode;
	bool gone;
	int err;

	if (!inode)
		return -ENOENT;
	if (old->mnt != c->dir.mnt || inode->sb != dir->sb)
		return -EXDEV;
	err = may_link_source(ctx, inode);
	if (err)
		return err;
	if (inode_is_dir(inode) || !dir->op->link)
		return -EPERM;
	err = inode_lock_killable(inode);
	if (err)
		return err;
	fb_mutex_lock(&inode->attr_lock);
	gone = inode->nlink == 0 && !inode->linkable;
	fb_mutex_unlock(&inode->attr_lock);
	err = gone ? -ENOENT : dir->op->link(ctx, old->dentry, dir, c->dentry);
	if (!err) {
		fb_mutex_lock(&inode->attr_lock);
		inode->linkable = false;
		fb_mutex_unlock(&inode->attr_lock);
	}
	inode_unlock(inode);
	return err;
}

static int link_try(const struct op_ctx *ctx, const struct path *old, const struct path *base,
		    const char *name, unsigned flags)
{
	struct creation c;
	int err;

	err = create_begin(ctx, base, name, false, flags, &c);
	if (err)
		return err;
	err = link_locked(ctx, old, &c);
	create_end(&c);
	return err;
}

int vfs_link(const struct op_ctx *ctx, const struct path *old, const struct path *base,
	     const char *name)
{
	return RETRY_ESTALE(link_try(ctx, old, base, name, flags));
}

/* Removal. */

static bool mounted_here(const struct op_ctx *ctx, struct dentry *dentry)
{
	return ctx->fs && mount_is_local(ctx->fs->ns, dentry);
}

/* Directory and victim locked; mounts of other namespaces on the victim go away with it. */
static int unlink_locked(const struct op_ctx *ctx, struct inode *dir, struct dentry *victim)
{
	int err;

	if (mounted_here(ctx, victim))
		return -EBUSY;
	err = dir->op->unlink(ctx, dir, victim);
	if (!err)
		mount_detach_dentry(victim);
	return err;
}

static int rmdir_locked(const struct op_ctx *ctx, struct inode *dir, struct dentry *victim)
{
	int err;

	if (mounted_here(ctx, victim))
		return -EBUSY;
	err = dir->op->rmdir(ctx, dir, victim);
	if (err)
		return err;
	d_shrink_children(victim);
	d_mark_dead(victim);
	mount_detach_dentry(victim);
	return 0;
}

static int remove_locked(const struct op_ctx *ctx, struct dentry *dir, struct dentry *victim,
			 bool isdir)
{
	struct inode *inode = victim->inode, *dir_inode = dir->inode;
	int err;

	err = may_delete(ctx, dir, victim, isdir);
	if (err)
		return err;
	if (isdir ? !dir_inode->op->rmdir : !dir_inode->op->unlink)
		return -EPERM;
	err = inode_lock_killable(inode);
	if (err)
		return err;
	err = isdir ? rmdir_locked(ctx, dir_inode, victim) : unlink_locked(ctx, dir_inode, victim);
	inode_unlock(inode);
	if (!err)
		d_delete(victim);
	return err;
}

/* unlink("x/") says what stands in the way: cf. the slashes: label of do_unlinkat() */
static int unlink_slashes_error(const struct dentry *dentry)
{
	if (!d_is_positive(dentry))
		return -ENOENT;
	return inode_is_dir(dentry->inode) ? -EISDIR : -ENOTDIR;
}

static int remove_in(const struct op_ctx *ctx, const struct path *dir, const struct qstr *last,
		     bool slashes, bool isdir, unsigned flags)
{
	struct dentry *victim = NULL;
	struct inode *inode = NULL;
	int err;

	err = mount_want_write(dir);
	if (!err)
		err = inode_lock_killable(dir->dentry->inode);
	if (err)
		return err;
	err = lookup_one_locked(ctx, dir->dentry, last, flags, &victim);
	if (!err) {
		if (d_is_positive(victim))
			inode = inode_get(victim->inode);
		if (slashes && !isdir)
			err = unlink_slashes_error(victim);
		else
			err = remove_locked(ctx, dir->dentry, victim, isdir);
	}
	inode_unlock(dir->dentry->inode);
	/* Outside of the lock: it may be the last reference, and eviction takes its time. */
	dentry_put(victim);
	inode_put(inode);
	return err;
}

static int last_type_error(enum last_type type, bool isdir)
{
	if (type == LAST_NORM)
		return 0;
	if (!isdir)
		return -EISDIR;
	if (type == LAST_DOTDOT)
		return -ENOTEMPTY;
	return type == LAST_DOT ? -EINVAL : -EBUSY;
}

static int remove_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		      bool isdir, unsigned flags)
{
	enum last_type type;
	struct path dir;
	struct qstr last;
	bool slashes;
	int err;

	err = path_parent(ctx, base, name, flags, &dir, &last, &type, &slashes);
	if (err)
		return err;
	err = last_type_error(type, isdir);
	if (!err)
		err = remove_in(ctx, &dir, &last, slashes, isdir, flags);
	path_put(&dir);
	return err;
}

int vfs_unlink(const struct op_ctx *ctx, const struct path *base, const char *name)
{
	return RETRY_ESTALE(remove_try(ctx, base, name, false, flags));
}

int vfs_rmdir(const struct op_ctx *ctx, const struct path *base, const char *name)
{
	return RETRY_ESTALE(remove_try(ctx, base, name, true, flags));
}

/* readlink */

int vfs_readlink(const struct op_ctx *ctx, const struct path *path, char **ret_target)
{
	struct inode *inode = path->dentry->inode;
	struct path jump = {NULL, NULL}, root;
	char *target = NULL;
	int err;

	if (!inode || !inode->op)
		return -EINVAL;
	if (!inode->op->readlink && (!inode_is_lnk(inode) || !inode->op->get_link))
		return -EINVAL;
	touch_atime(path);
	if (inode->op->readlink)
		return inode->op->readlink(ctx, path->dentry, ret_target);
	err = inode->op->get_link(ctx, path->dentry, inode, &target, &jump);
	if (err)
		return err;
	if (!target && jump.dentry) {
		if (!ctx->fs) {
			path_put(&jump);
			return -ENOENT;
		}
		fs_get_root(ctx->fs, &root);
		target = d_path(&jump, &root);
		path_put(&root);
		path_put(&jump);
	}
	if (!target)
		return -ENOMEM;
	*ret_target = target;
	return 0;
}

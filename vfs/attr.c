/*
 * Reading and changing attributes: what stat shows, who may change what (cf. fs/attr.c), and the
 * size change of truncate(2).
 */
#include "vfs/attr.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/stat.h>
#include <signal.h>
#include <stddef.h>

#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#define ATTR_TIMES (ATTR_ATIME | ATTR_MTIME | ATTR_CTIME)

/* Reading. */

void generic_fillattr(struct inode *inode, struct kstat *ret_stat)
{
	struct kstat *st = ret_stat;

	*st = (struct kstat){
		.result_mask = STATX_BASIC_STATS | STATX_BTIME,
		.ino = inode->ino,
		.rdev = inode->rdev,
		.blksize = inode->sb ? inode->sb->blksize : 4096,
		.dev = inode->sb ? inode->sb->dev : 0,
	};
	fb_mutex_lock(&inode->attr_lock);
	st->mode = inode->mode;
	st->nlink = inode->nlink;
	st->uid = inode->uid;
	st->gid = inode->gid;
	st->size = (uint64_t)inode->size;
	st->blocks = inode->blocks;
	st->atime = inode->atime;
	st->mtime = inode->mtime;
	st->ctime = inode->ctime;
	st->btime = inode->btime;
	fb_mutex_unlock(&inode->attr_lock);
}

int vfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;
	struct kstat st;
	int err = 0;

	if (!inode)
		return -ENOENT;
	if (inode->op && inode->op->getattr)
		err = inode->op->getattr(ctx, path, &st, mask, flags);
	else
		generic_fillattr(inode, &st);
	if (err)
		return err;
	if (inode->sb)
		st.dev = inode->sb->dev;
	if (path->mnt) {
		st.mnt_id = (uint64_t)path->mnt->id;
		st.result_mask |= STATX_MNT_ID;
		st.attributes_mask |= STATX_ATTR_MOUNT_ROOT;
		if (path->dentry == path->mnt->root)
			st.attributes |= STATX_ATTR_MOUNT_ROOT;
	}
	*ret_stat = st;
	return 0;
}

/* The rules of setattr. */

static int chown_check(const struct op_ctx *ctx, struct inode *inode, const struct iattr *attr)
{
	struct kstat st;
	bool owner, free_uid, free_gid;

	generic_fillattr(inode, &st);
	owner = ctx->cred->fsuid == st.uid;
	free_uid = owner && attr->uid == st.uid;
	free_gid = owner && (attr->gid == st.gid || cred_in_group(ctx->cred, attr->gid));

	if ((attr->valid & ATTR_UID) && !free_uid && !ctx_capable(ctx, CAP_CHOWN))
		return -EPERM;
	if ((attr->valid & ATTR_GID) && !free_gid && !ctx_capable(ctx, CAP_CHOWN))
		return -EPERM;
	return 0;
}

static gid_t inode_gid(struct inode *inode)
{
	gid_t gid;

	fb_mutex_lock(&inode->attr_lock);
	gid = inode->gid;
	fb_mutex_unlock(&inode->attr_lock);
	return gid;
}

/* What needs no look at the caller. cf. inode_newsize_ok() */
static int newsize_check(const struct op_ctx *ctx, struct inode *inode, int64_t size)
{
	if (size < 0)
		return -EINVAL;
	if (size <= inode_size(inode))
		return 0;
	if ((uint64_t)size > ctx->fsize_limit) {
		if (ctx->ops && ctx->ops->signal)
			ctx->ops->signal(ctx, SIGXFSZ);
		return -EFBIG;
	}
	return inode->sb && size > inode->sb->max_bytes ? -EFBIG : 0;
}

int setattr_prepare(const struct op_ctx *ctx, struct inode *inode, struct iattr *attr)
{
	unsigned valid = attr->valid;
	int err;

	if (valid & ATTR_SIZE) {
		err = newsize_check(ctx, inode, attr->size);
		if (err)
			return err;
	}
	if (valid & ATTR_FORCE)
		return 0;
	err = chown_check(ctx, inode, attr);
	if (err)
		return err;
	if (valid & ATTR_MODE) {
		gid_t gid = (valid & ATTR_GID) ? attr->gid : inode_gid(inode);

		if (!inode_owner_or_capable(ctx, inode))
			return -EPERM;
		/* A foreign group's set-gid bit is not the owner's to give. */
		if (!cred_in_group(ctx->cred, gid) && !ctx_capable(ctx, CAP_FSETID))
			attr->mode &= ~(uint32_t)S_ISGID;
	}
	if ((valid & (ATTR_MTIME_SET | ATTR_ATIME_SET)) && !inode_owner_or_capable(ctx, inode))
		return -EPERM;
	return 0;
}

static struct timespec now_at_gran(const struct inode *inode)
{
	int64_t now = clock_realtime_ns();
	long gran = inode->sb && inode->sb->time_gran_ns ? (long)inode->sb->time_gran_ns : 1;
	struct timespec ts = {.tv_sec = now / 1000000000, .tv_nsec = now % 1000000000};

	ts.tv_nsec -= ts.tv_nsec % gran;
	return ts;
}

void setattr_copy(const struct op_ctx *ctx, struct inode *inode, const struct iattr *attr)
{
	(void)ctx;
	fb_mutex_lock(&inode->attr_lock);
	if (attr->valid & ATTR_UID)
		inode->uid = attr->uid;
	if (attr->valid & ATTR_GID)
		inode->gid = attr->gid;
	if (attr->valid & ATTR_ATIME)
		inode->atime = attr->atime;
	if (attr->valid & ATTR_MTIME)
		inode->mtime = attr->mtime;
	if (attr->valid & ATTR_CTIME)
		inode->ctime = attr->ctime;
	if (attr->valid & ATTR_MODE)
		__atomic_store_n(&inode->mode, (inode->mode & S_IFMT) | (attr->mode & 07777),
				 __ATOMIC_RELAXED);
	fb_mutex_unlock(&inode->attr_lock);
}

/* utimes with times of one's choice is the owner's; "now" also whoever may write. */
static int may_set_times(const struct op_ctx *ctx, struct inode *inode, unsigned valid)
{
	if (!(valid & ATTR_TOUCH) || inode_owner_or_capable(ctx, inode))
		return 0;
	return inode_permission(ctx, inode, MAY_WRITE);
}

static void fill_times(struct inode *inode, struct iattr *attr)
{
	struct timespec now = now_at_gran(inode);

	attr->ctime = now;
	if (!(attr->valid & ATTR_ATIME_SET))
		attr->atime = now;
	if (!(attr->valid & ATTR_MTIME_SET))
		attr->mtime = now;
}

/* cf. setattr_should_drop_sgid(): without group execute it once meant mandatory locking. */
static bool should_drop_sgid(const struct op_ctx *ctx, struct inode *inode, uint32_t mode)
{
	if (!(mode & S_ISGID))
		return false;
	return (mode & S_IXGRP) ||
	       (!cred_in_group(ctx->cred, inode_gid(inode)) && !ctx_capable(ctx, CAP_FSETID));
}

unsigned setattr_drop_suidgid(const struct op_ctx *ctx, struct inode *inode)
{
	uint32_t mode = inode_mode(inode);
	unsigned kill = mode & S_ISUID ? ATTR_KILL_SUID : 0;

	if (should_drop_sgid(ctx, inode, mode))
		kill |= ATTR_KILL_SGID;
	return kill && S_ISREG(mode) && !ctx_capable(ctx, CAP_FSETID) ? kill : 0;
}

/*
 * ATTR_KILL_* (a truncate or chown) become a mode change where there is something to strip, and
 * are cleared where there is not. They stay set beside ATTR_MODE: a file system whose server strips
 * the bits itself wants to know.
 */
static void kill_to_mode(const struct op_ctx *ctx, struct inode *inode, struct iattr *attr)
{
	uint32_t old = inode_mode(inode), mode = old;

	if ((attr->valid & ATTR_KILL_SUID) && (mode & S_ISUID))
		mode &= ~(uint32_t)S_ISUID;
	else
		attr->valid &= ~(unsigned)ATTR_KILL_SUID;
	if ((attr->valid & ATTR_KILL_SGID) && should_drop_sgid(ctx, inode, mode))
		mode &= ~(uint32_t)S_ISGID;
	else
		attr->valid &= ~(unsigned)ATTR_KILL_SGID;
	if (mode != old) {
		attr->valid |= ATTR_MODE;
		attr->mode = mode & 07777;
	}
}

static int generic_setattr(const struct op_ctx *ctx, struct inode *inode, struct iattr *attr)
{
	int err = setattr_prepare(ctx, inode, attr);

	if (err)
		return err;
	if (attr->valid & ATTR_SIZE)
		inode_set_size(inode, attr->size);
	setattr_copy(ctx, inode, attr);
	return 0;
}

static int notify_change_locked(const struct op_ctx *ctx, const struct path *path,
				struct iattr *attr)
{
	struct inode *inode = path->dentry->inode;
	int err;

	if ((attr->valid & ATTR_MODE) && inode_is_lnk(inode))
		return -EOPNOTSUPP;
	err = may_set_times(ctx, inode, attr->valid);
	if (err)
		return err;
	fill_times(inode, attr);
	if (attr->valid & (ATTR_KILL_SUID | ATTR_KILL_SGID)) {
		if (attr->valid & ATTR_MODE)
			return -EINVAL;
		kill_to_mode(ctx, inode, attr);
	}
	if (!(attr->valid & ~(unsigned)(ATTR_FORCE | ATTR_FILE | ATTR_OPEN | ATTR_TOUCH)))
		return 0;
	if (inode->op && inode->op->setattr)
		return inode->op->setattr(ctx, path->dentry, attr);
	return generic_setattr(ctx, inode, attr);
}

int notify_change(const struct op_ctx *ctx, const struct path *path, struct iattr *attr)
{
	struct inode *inode = path->dentry->inode;
	int err;

	err = mount_want_write(path);
	if (err)
		return err;
	/* chown of a program clears its set-id bits, root's chown too (cf. chown_common()). */
	if ((attr->valid & (ATTR_UID | ATTR_GID)) && !inode_is_dir(inode))
		attr->valid |= ATTR_KILL_SUID | ATTR_KILL_SGID;
	if (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_SIZE | ATTR_ATIME | ATTR_MTIME))
		attr->valid |= ATTR_CTIME;
	err = inode_lock_killable(inode);
	if (err)
		return err;
	err = notify_change_locked(ctx, path, attr);
	inode_unlock(inode);
	return err;
}

/* Truncation. */

int do_truncate(const struct op_ctx *ctx, const struct path *path, int64_t size, unsigned valid,
		struct file *file)
{
	struct iattr attr = {.valid = ATTR_SIZE | valid, .size = size, .file = file};

	if (size < 0)
		return -EINVAL;
	if (file)
		attr.valid |= ATTR_FILE;
	/* Whoever may write may also make the file lose these bits (cf.
	 * dentry_needs_remove_privs()) */
	if ((inode_mode(path->dentry->inode) & (S_ISUID | S_ISGID)) &&
	    !ctx_capable(ctx, CAP_FSETID))
		attr.valid |= ATTR_KILL_SUID | ATTR_KILL_SGID | ATTR_FORCE;
	return notify_change(ctx, path, &attr);
}

int vfs_truncate(const struct op_ctx *ctx, const struct path *path, int64_t size)
{
	struct inode *inode = path->dentry->inode;
	int err;

	if (size < 0)
		return -EINVAL;
	if (inode_is_dir(inode))
		return -EISDIR;
	if (!inode_is_reg(inode))
		return -EINVAL;
	err = mount_want_write(path);
	if (!err)
		err = inode_permission(ctx, inode, MAY_WRITE);
	if (!err)
		err = mapped_get_write_access(ctx, inode);
	if (err)
		return err;
	err = do_truncate(ctx, path, size, 0, NULL);
	inode_put_write_access(inode);
	return err;
}

int vfs_ftruncate(const struct op_ctx *ctx, struct file *file, int64_t size)
{
	if (size < 0)
		return -EINVAL;
	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (!inode_is_reg(file->inode) || !(file->fmode & FMODE_WRITE))
		return -EINVAL;
	return do_truncate(ctx, &file->path, size, ATTR_MTIME | ATTR_CTIME, file);
}

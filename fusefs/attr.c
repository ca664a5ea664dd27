/* GETATTR, STATX, SETATTR and permissions (matrix 6.2, 6.3, 6.15). */
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>

#include "devfuse/params.h"
#include "fusefs/fusefs.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/mount.h"
#include "vfs/perm.h"

/* F40: a stranger could learn from a daemon what it does, or be misled by it. */
bool fuse_allowed(const struct op_ctx *ctx, const struct fuse_super *fs)
{
	const struct cred *cred = ctx->cred;

	if (fs->allow_other || !cred)
		return true;
	if (atomic_load_explicit(&fuse_params.allow_sys_admin_access, memory_order_relaxed) &&
	    ctx_capable(ctx, CAP_SYS_ADMIN))
		return true;
	return cred->euid == fs->user_id && cred->suid == fs->user_id && cred->uid == fs->user_id &&
	       cred->egid == fs->group_id && cred->sgid == fs->group_id &&
	       cred->gid == fs->group_id;
}

/* Where no daemon could learn anything, a set-uid mount helper may prepare for the next one. */
static bool may_look(const struct op_ctx *ctx, const struct inode *inode)
{
	return fuse_allowed(ctx, fuse_of(inode)) || fuse_is_vacant_root(inode);
}

/* The daemon's attributes are not to be used: the inode is dead for us (section 9). */
static int reject_attributes(struct inode *inode)
{
	fuse_make_bad(inode);
	return -EIO;
}

static bool attr_matches(const struct inode *inode, const struct fuse_attr *attr)
{
	return fuse_attr_valid(attr) && ((inode->mode ^ attr->mode) & S_IFMT) == 0;
}

/* What stat(2) shows, from the cache. */
static void fill_stat(struct inode *inode, struct kstat *stat, uint32_t mask)
{
	struct fuse_inode *fi = fuse_i(inode);

	generic_fillattr(inode, stat);
	fb_mutex_lock(&inode->attr_lock);
	stat->mode = fi->shown_mode;
	stat->blksize = fi->shown_blksize;
	stat->result_mask = STATX_BASIC_STATS;
	if ((mask & STATX_BTIME) && fi->btime_valid) {
		stat->btime = inode->btime;
		stat->result_mask |= STATX_BTIME;
	} else {
		memset(&stat->btime, 0, sizeof(stat->btime));
	}
	fb_mutex_unlock(&inode->attr_lock);
}

/* F23: who has asked is shown the answer, be it out of date; what is ours (F27) stays so. */
static void fill_answer(struct inode *inode, struct kstat *stat, const struct fuse_attr *attr)
{
	fill_stat(inode, stat, 0);
	stat->ino = attr->ino;
	stat->mode = (stat->mode & S_IFMT) | (attr->mode & 07777);
	stat->nlink = attr->nlink;
	stat->uid = attr->uid;
	stat->gid = attr->gid;
	stat->blocks = attr->blocks;
	stat->blksize = fuse_shown_blksize(inode->sb, attr->blksize);
	stat->atime = fuse_wire_time(attr->atime, attr->atimensec);
	if (fuse_is_writeback(inode))
		return;
	stat->size = attr->size;
	stat->mtime = fuse_wire_time(attr->mtime, attr->mtimensec);
	stat->ctime = fuse_wire_time(attr->ctime, attr->ctimensec);
}

/* stat: filled in, unless it is NULL. */
static int do_getattr(const struct op_ctx *ctx, struct inode *inode, struct fuse_file *ff,
		      struct kstat *stat)
{
	uint64_t version = fuse_attr_version(inode);
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;
	struct fuse_args args;
	ssize_t err;

	memset(&out, 0, sizeof(out));
	fuse_forget_acls(inode); /* F31 */
	fuse_args_init(&args, FUSE_GETATTR, inode);
	if (ff && inode_is_reg(inode)) {
		in.getattr_flags = FUSE_GETATTR_FH;
		in.fh = ff->fh;
		fuse_args_pin_file(&args, ff, &in.fh);
	}
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, inode, &args);
	if (err < 0)
		return (int)err;
	if (!attr_matches(inode, &out.attr))
		return reject_attributes(inode);
	fuse_change_attributes(inode, &out.attr,
			       fuse_expiry_ns(out.attr_valid, out.attr_valid_nsec), version);
	if (stat)
		fill_answer(inode, stat, &out.attr);
	return 0;
}

static void attr_from_statx(const struct fuse_statx *sx, struct fuse_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->ino = sx->ino;
	attr->size = sx->size;
	attr->blocks = sx->blocks;
	attr->atime = (uint64_t)sx->atime.tv_sec;
	attr->mtime = (uint64_t)sx->mtime.tv_sec;
	attr->ctime = (uint64_t)sx->ctime.tv_sec;
	attr->atimensec = sx->atime.tv_nsec;
	attr->mtimensec = sx->mtime.tv_nsec;
	attr->ctimensec = sx->ctime.tv_nsec;
	attr->mode = sx->mode;
	attr->nlink = sx->nlink;
	attr->uid = sx->uid;
	attr->gid = sx->gid;
	attr->blksize = sx->blksize;
}

static bool statx_matches(const struct inode *inode, const struct fuse_statx *sx)
{
	if ((sx->mask & STATX_TYPE) &&
	    (!fuse_valid_type(sx->mode) || ((inode->mode ^ sx->mode) & S_IFMT)))
		return false;
	return !(sx->mask & STATX_SIZE) || sx->size <= INT64_MAX;
}

/* Kept from an answer that has all of the basic attributes. */
static void keep_btime(struct inode *inode, const struct fuse_statx *sx)
{
	if (!(sx->mask & STATX_BTIME))
		return;
	fb_mutex_lock(&inode->attr_lock);
	inode->btime = fuse_wire_time((uint64_t)sx->btime.tv_sec, sx->btime.tv_nsec);
	fuse_i(inode)->btime_valid = true;
	fb_mutex_unlock(&inode->attr_lock);
}

/* F22. -ENOSYS: the daemon has no STATX, ask with GETATTR. */
static int do_statx(const struct op_ctx *ctx, struct inode *inode, struct kstat *stat)
{
	uint64_t version = fuse_attr_version(inode);
	struct fuse_statx_in in = {.sx_mask = STATX_BASIC_STATS | STATX_BTIME};
	struct fuse_statx_out out;
	struct fuse_attr attr;
	struct fuse_args args;
	ssize_t err;

	memset(&out, 0, sizeof(out));
	fuse_forget_acls(inode);
	fuse_args_init(&args, FUSE_STATX, inode);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, inode, &args);
	if (err < 0)
		return (int)err;
	if (!statx_matches(inode, &out.stat))
		return reject_attributes(inode);
	attr_from_statx(&out.stat, &attr);
	if ((out.stat.mask & STATX_BASIC_STATS) == STATX_BASIC_STATS) {
		fuse_change_attributes(inode, &attr,
				       fuse_expiry_ns(out.attr_valid, out.attr_valid_nsec),
				       version);
		keep_btime(inode, &out.stat);
	}
	fill_answer(inode, stat, &attr);
	stat->btime = fuse_wire_time((uint64_t)out.stat.btime.tv_sec, out.stat.btime.tv_nsec);
	stat->result_mask = (out.stat.mask & (STATX_BASIC_STATS | STATX_BTIME)) | STATX_TYPE;
	return 0;
}

static bool needs_refresh(struct inode *inode, uint32_t mask)
{
	struct fuse_inode *fi = fuse_i(inode);
	bool stale;

	if (fuse_is_vacant_root(inode))
		return false;
	if (fuse_is_writeback(inode)) /* F27 */
		mask &= ~(uint32_t)(STATX_SIZE | STATX_MTIME | STATX_CTIME);
	fb_mutex_lock(&inode->attr_lock);
	stale = (fi->stale_mask & mask) || clock_monotonic_ns() > fi->attr_expiry_ns;
	fb_mutex_unlock(&inode->attr_lock);
	return stale;
}

int fuse_update_attributes(const struct op_ctx *ctx, struct inode *inode, struct fuse_file *ff,
			   uint32_t mask)
{
	return needs_refresh(inode, mask) ? do_getattr(ctx, inode, ff, NULL) : 0;
}

int fuse_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		 uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;
	bool refresh;
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (!may_look(ctx, inode)) { /* F30 */
		if (mask)
			return -EACCES;
		memset(ret_stat, 0, sizeof(*ret_stat));
		return 0;
	}
	refresh = (flags & AT_STATX_FORCE_SYNC) ||
		  (!(flags & AT_STATX_DONT_SYNC) && needs_refresh(inode, mask & STATX_BASIC_STATS));
	if (!refresh) {
		fill_stat(inode, ret_stat, mask);
		return 0;
	}
	err = mask & STATX_BTIME ? do_statx(ctx, inode, ret_stat) : -ENOSYS;
	return err == -ENOSYS ? do_getattr(ctx, inode, NULL, ret_stat) : err;
}

/* --- set-id bits -------------------------------------------------------------------------- */

bool fuse_daemon_kills(const struct op_ctx *ctx, const struct fuse_super *fs)
{
	return fuse_conn_has(fs->conn, FUSE_HANDLE_KILLPRIV_V2) && ctx->cred &&
	       !ctx_capable(ctx, CAP_FSETID);
}

uint32_t fuse_kill_on_open(const struct op_ctx *ctx, const struct fuse_super *fs, uint32_t flags)
{
	return (flags & O_TRUNC) && fuse_daemon_kills(ctx, fs) ? FUSE_OPEN_KILL_SUIDGID : 0;
}

/* --- SETATTR ------------------------------------------------------------------------------ */

/* mtime of a truncation by descriptor is the daemon's business (6.15). */
static bool sends_mtime(unsigned valid)
{
	if (valid & ATTR_MTIME_SET)
		return true;
	return !(valid & ATTR_OPEN) && !((valid & ATTR_SIZE) && (valid & ATTR_FILE));
}

/* ours: times are kept here, and told as they are. */
static void fill_setattr(struct fuse_setattr_in *in, const struct inode *inode,
			 const struct iattr *attr, bool ours)
{
	unsigned valid = attr->valid;

	if (valid & ATTR_MODE) {
		in->valid |= FATTR_MODE;
		in->mode = (inode_mode(inode) & S_IFMT) | attr->mode; /* as Linux: with the type */
	}
	if (valid & ATTR_UID) {
		in->valid |= FATTR_UID;
		in->uid = attr->uid;
	}
	if (valid & ATTR_GID) {
		in->valid |= FATTR_GID;
		in->gid = attr->gid;
	}
	if (valid & ATTR_SIZE) {
		in->valid |= FATTR_SIZE;
		in->size = (uint64_t)attr->size;
	}
	if (valid & ATTR_ATIME) {
		in->valid |= FATTR_ATIME | (valid & ATTR_ATIME_SET ? 0 : FATTR_ATIME_NOW);
		in->atime = (uint64_t)attr->atime.tv_sec;
		in->atimensec = (uint32_t)attr->atime.tv_nsec;
	}
	if ((valid & ATTR_CTIME) && ours) {
		in->valid |= FATTR_CTIME;
		in->ctime = (uint64_t)attr->ctime.tv_sec;
		in->ctimensec = (uint32_t)attr->ctime.tv_nsec;
	}
	if ((valid & ATTR_MTIME) && (ours || sends_mtime(valid))) {
		bool now = !(valid & ATTR_MTIME_SET) && !ours;

		in->valid |= FATTR_MTIME | (now ? FATTR_MTIME_NOW : 0);
		in->mtime = (uint64_t)attr->mtime.tv_sec;
		in->mtimensec = (uint32_t)attr->mtime.tv_nsec;
	}
}

/* The reply is applied in any case; but if something else changed meanwhile, only until asked. */
static void apply_setattr(struct inode *inode, const struct fuse_attr_out *out, uint64_t version,
			  bool truncate)
{
	int64_t expiry = fuse_expiry_ns(out->attr_valid, out->attr_valid_nsec);
	bool raced;

	fb_mutex_lock(&inode->attr_lock);
	if (truncate)
		fuse_i(inode)->size_changing--;
	raced = fuse_i(inode)->attr_version > version;
	fb_mutex_unlock(&inode->attr_lock);
	fuse_change_attributes(inode, &out->attr, raced ? 0 : expiry, 0);
}

/* F27: what we keep ourselves follows the SETATTR that has told it. */
static void apply_ours(struct inode *inode, const struct iattr *attr)
{
	int64_t old_size;

	fb_mutex_lock(&inode->attr_lock);
	old_size = inode->size;
	if (attr->valid & ATTR_SIZE)
		inode->size = attr->size;
	if (attr->valid & ATTR_MTIME)
		inode->mtime = attr->mtime;
	if (attr->valid & ATTR_CTIME)
		inode->ctime = attr->ctime;
	fb_mutex_unlock(&inode->attr_lock);
	if ((attr->valid & ATTR_SIZE) && attr->size < old_size)
		fuse_cache_truncate(&fuse_i(inode)->cache, attr->size);
}

/* Applies the answer, too. */
static int request_setattr(const struct op_ctx *ctx, struct inode *inode, const struct iattr *attr)
{
	struct fuse_super *fs = fuse_of(inode);
	bool truncate = (attr->valid & ATTR_SIZE) != 0;
	struct fuse_setattr_in in = {0};
	struct fuse_attr_out out;
	struct fuse_args args;
	uint64_t version;
	int64_t old_size;
	ssize_t err;

	memset(&out, 0, sizeof(out));
	fuse_args_init(&args, FUSE_SETATTR, inode);
	fill_setattr(&in, inode, attr, fuse_is_writeback(inode));
	if ((attr->valid & (ATTR_UID | ATTR_GID)) && !inode_is_dir(inode) &&
	    fuse_conn_has(fs->conn, FUSE_HANDLE_KILLPRIV_V2))
		in.valid |= FATTR_KILL_SUIDGID; /* 6.15: whoever asks */
	if (truncate) {
		if (fuse_daemon_kills(ctx, fs))
			in.valid |= FATTR_KILL_SUIDGID;
		in.valid |= FATTR_LOCKOWNER;
		in.lock_owner = fuse_lock_owner(fs, ctx->files);
		/* F57: not even the handle of the open that truncates */
		if ((attr->valid & ATTR_FILE) && attr->file && !(attr->valid & ATTR_OPEN)) {
			struct fuse_file *ff = attr->file->private;

			in.valid |= FATTR_FH;
			in.fh = ff->fh;
			fuse_args_pin_file(&args, ff, &in.fh);
		}
		fuse_size_changing(inode, 1);
	}
	version = fuse_attr_version(inode);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, inode, &args);
	if (err >= 0)
		fuse_forget_acls(inode); /* the daemon's list follows the mode */
	if (err >= 0 && !attr_matches(inode, &out.attr))
		err = reject_attributes(inode);
	if (err < 0) {
		if (truncate)
			fuse_size_changing(inode, -1);
		if (err == -EINTR)
			fuse_stale(inode, FUSE_STALE_ALL);
		return (int)err;
	}
	old_size = inode_size(inode);
	apply_setattr(inode, &out, version, truncate);
	if (fuse_is_writeback(inode))
		apply_ours(inode, attr);
	if (truncate)
		fuse_cache_grow(&fuse_i(inode)->cache, old_size, inode_size(inode));
	return 0;
}

#define FLUSHED_FIRST (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME_SET | ATTR_MTIME_SET)

/* F27: a change of the size changes the times that are ours, also where the caller names none. */
static void date_truncation(struct inode *inode, struct iattr *attr)
{
	if (!fuse_is_writeback(inode) || attr->size == inode_size(inode))
		return;
	if (!(attr->valid & ATTR_MTIME))
		attr->mtime = attr->ctime;
	attr->valid |= ATTR_MTIME | ATTR_CTIME;
}

/* F26: what is cached of a file of another size is not believed; what is dirty goes first. */
static void drop_after_truncation(const struct op_ctx *ctx, struct inode *inode)
{
	(void)fuse_write_pages(ctx, inode, 0, INT64_MAX); /* its error is remembered */
	fuse_cache_drop(&fuse_i(inode)->cache);
}

static int do_setattr(const struct op_ctx *ctx, struct inode *inode, struct iattr *attr)
{
	struct fuse_super *fs = fuse_of(inode);
	bool truncate = (attr->valid & ATTR_SIZE) != 0;
	int64_t size;
	int err;

	if (!fs->default_permissions)
		attr->valid |= ATTR_FORCE; /* F46 */
	err = setattr_prepare(ctx, inode, attr);
	if (err)
		return err;
	/* F57: the OPEN has carried O_TRUNC already. */
	if ((attr->valid & ATTR_OPEN) && fuse_conn_has(fs->conn, FUSE_ATOMIC_O_TRUNC))
		return 0;
	/* What the daemon knows of it already shall not come after this, and undo it. */
	if (fuse_is_writeback(inode) && (attr->valid & FLUSHED_FIRST) &&
	    fuse_writeback(ctx, inode) == -EINTR)
		return -EINTR;
	if (!truncate)
		return request_setattr(ctx, inode, attr);
	date_truncation(inode, attr);
	if (fuse_hold_writes(inode)) /* F93 */
		return -EINTR;
	size = inode_size(inode);
	err = request_setattr(ctx, inode, attr);
	fuse_resume_writes(inode);
	if (!err && size != attr->size)
		drop_after_truncation(ctx, inode);
	return err;
}

int fuse_kill_capability(const struct op_ctx *ctx, struct dentry *dentry)
{
	static const char caps[] = "security.capability";
	ssize_t n = fuse_getxattr(ctx, dentry, caps, NULL, 0);

	if (n > 0)
		n = fuse_removexattr(ctx, dentry, caps);
	return n == -EINTR ? -EINTR : 0;
}

int fuse_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = dentry->inode;
	struct fuse_super *fs = fuse_of(inode);
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (!fuse_allowed(ctx, fs))
		return -EACCES;
	/* cf. notify_change(): chown and truncation take the capability away, chown always tries */
	if ((attr->valid & (ATTR_UID | ATTR_GID)) && !inode_is_dir(inode)) {
		attr->valid |= ATTR_KILL_SUID | ATTR_KILL_SGID;
		err = fuse_kill_capability(ctx, dentry);
		if (err)
			return err;
	} else if ((attr->valid & ATTR_SIZE) && !atomic_load(&fuse_i(inode)->nosec)) {
		err = fuse_kill_capability(ctx, dentry);
		if (err)
			return err;
	}
	if (attr->valid & (ATTR_KILL_SUID | ATTR_KILL_SGID)) {
		unsigned kill = attr->valid & (ATTR_KILL_SUID | ATTR_KILL_SGID);
		bool daemon = fuse_conn_has(fs->conn, FUSE_HANDLE_KILLPRIV) ||
			      fuse_conn_has(fs->conn, FUSE_HANDLE_KILLPRIV_V2);
		uint32_t mode;

		attr->valid &= ~(unsigned)(ATTR_KILL_SUID | ATTR_KILL_SGID | ATTR_MODE);
		if (!daemon) {
			/* The bits may have changed behind our back: ask, then strip what is there.
			 */
			err = do_getattr(ctx, inode,
					 attr->valid & ATTR_FILE ? attr->file->private : NULL, NULL);
			if (err)
				return err;
			mode = inode->mode;
			if (kill & ATTR_KILL_SUID)
				mode &= ~(uint32_t)S_ISUID;
			if ((kill & ATTR_KILL_SGID) && (mode & S_IXGRP))
				mode &= ~(uint32_t)S_ISGID;
			if (mode != inode->mode) {
				attr->mode = mode & 07777;
				attr->valid |= ATTR_MODE;
			}
		}
		if (!(attr->valid & ~(unsigned)(ATTR_FILE | ATTR_FORCE)) && !daemon)
			return 0;
	}
	return do_setattr(ctx, inode, attr);
}

int fuse_kill_suid(const struct op_ctx *ctx, struct inode *inode)
{
	unsigned kill = setattr_drop_suidgid(ctx, inode);
	struct iattr attr = {.valid = ATTR_FORCE | kill};
	struct dentry *dentry;
	int err;

	if (!kill)
		return 0;
	dentry = d_find_alias(inode);
	if (!dentry)
		return 0;
	err = fuse_setattr(ctx, dentry, &attr);
	dentry_put(dentry);
	return err;
}

/* --- permissions -------------------------------------------------------------------------- */

#define PERM_MASK (STATX_MODE | STATX_UID | STATX_GID)

static int send_access(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	struct fuse_access_in in = {.mask = mask & (MAY_READ | MAY_WRITE | MAY_EXEC)};
	struct fuse_args args;

	if (fuse_is_vacant_root(inode))
		return 0;
	fuse_args_init(&args, FUSE_ACCESS, inode);
	fuse_args_in(&args, &in, sizeof(in));
	return (int)fuse_send(ctx, inode, &args);
}

/* F43 */
static int check_default(const struct op_ctx *ctx, struct inode *inode, unsigned mask,
			 bool refreshed)
{
	int err = generic_permission(ctx, inode, mask);

	if (err != -EACCES || refreshed)
		return err;
	err = do_getattr(ctx, inode, NULL, NULL);
	return err ? err : generic_permission(ctx, inode, mask);
}

/* F44: some x bit is enough, whoever asks. */
static int check_exec(const struct op_ctx *ctx, struct inode *inode, bool refreshed)
{
	int err;

	if (inode->mode & 0111)
		return 0;
	if (refreshed)
		return -EACCES;
	err = do_getattr(ctx, inode, NULL, NULL);
	if (err)
		return err;
	return inode->mode & 0111 ? 0 : -EACCES;
}

int fuse_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	struct fuse_super *fs = fuse_of(inode);
	bool exec = (mask & MAY_EXEC) && inode_is_reg(inode), refreshed = false;
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (!may_look(ctx, inode))
		return -EACCES; /* F41 */
	if ((fs->default_permissions || exec) && needs_refresh(inode, PERM_MASK)) {
		err = do_getattr(ctx, inode, NULL, NULL);
		if (err)
			return err;
		refreshed = true;
	}
	if (fs->default_permissions)
		return check_default(ctx, inode, mask, refreshed);
	if (mask & (MAY_ACCESS | MAY_CHDIR))
		return send_access(ctx, inode, mask);
	return exec ? check_exec(ctx, inode, refreshed) : 0;
}

/*
 * Names: LOOKUP and the life of cached entries (matrix 6.1), and the operations that make, move
 * and remove them (6.13).
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/namei.h"
#include "vfs/perm.h"

/* --- entries ------------------------------------------------------------------------------ */

void fuse_entry_set(struct dentry *dentry, int64_t expiry_ns, uint64_t epoch)
{
	__atomic_store_n(&dentry->fs_epoch, epoch, __ATOMIC_RELAXED);
	__atomic_store_n(&dentry->fs_time_ns, (uint64_t)expiry_ns, __ATOMIC_RELAXED);
	d_clear_expired(dentry);
}

static bool entry_expired(const struct dentry *dentry)
{
	return clock_monotonic_ns() >
	       (int64_t)__atomic_load_n(&dentry->fs_time_ns, __ATOMIC_RELAXED);
}

static int64_t entry_expiry(const struct fuse_entry_out *out)
{
	return fuse_expiry_ns(out->entry_valid, out->entry_valid_nsec);
}

static int64_t attr_expiry(const struct fuse_entry_out *out)
{
	return fuse_expiry_ns(out->attr_valid, out->attr_valid_nsec);
}

void fuse_entry_expire(struct dentry *dentry)
{
	__atomic_store_n(&dentry->fs_time_ns, 0, __ATOMIC_RELAXED);
}

/* The daemon said that our picture of this name is wrong. */
static void entry_invalidate(struct dentry *dentry)
{
	fuse_entry_expire(dentry);
	d_invalidate(dentry);
}

static uint64_t current_epoch(const struct inode *dir)
{
	return atomic_load(&fuse_of(dir)->epoch);
}

void fuse_dir_changed(struct inode *dir)
{
	fuse_stale(dir, STATX_BASIC_STATS); /* F25: its link count, too */
	atomic_fetch_add(&fuse_i(dir)->dir_changes, 1);
}

int fuse_send_lookup(const struct op_ctx *ctx, struct inode *dir, const char *name,
		     struct fuse_entry_out *ret_out, unsigned *ret_incarnation)
{
	struct fuse_args args;
	int err;

	memset(ret_out, 0, sizeof(*ret_out));
	fuse_args_init(&args, FUSE_LOOKUP, dir);
	fuse_args_name(&args, name);
	fuse_args_out(&args, ret_out, sizeof(*ret_out));
	err = (int)fuse_send(ctx, dir, &args);
	*ret_incarnation = args.incarnation;
	return err;
}

/* 1 = the same object, refreshed; 0 = look it up afresh; -ENOMEM, -EINTR. F04-F06. */
static int revalidate_positive(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			       struct inode *inode)
{
	uint64_t epoch = current_epoch(dir), version = fuse_attr_version(dir);
	struct fuse_entry_out out;
	char *name = dentry_name(dentry);
	unsigned incarnation;
	int err;

	if (!name)
		return -ENOMEM;
	err = fuse_send_lookup(ctx, dir, name, &out, &incarnation);
	free(name);
	if (err == -ENOMEM || err == -EINTR)
		return err;
	if (err || out.nodeid == 0)
		return 0;
	if (out.nodeid != fuse_nodeid(inode) || incarnation != fuse_i(inode)->incarnation) {
		fuse_forget_one(dir->sb, out.nodeid, incarnation); /* F05 */
		return 0;
	}
	fuse_count_lookup(inode);
	if (!fuse_attr_valid(&out.attr) || fuse_stale_inode(inode, out.generation, &out.attr))
		return 0;
	fuse_forget_acls(inode);
	fuse_change_attributes(inode, &out.attr, attr_expiry(&out), version);
	fuse_entry_set(dentry, entry_expiry(&out), epoch);
	return 1;
}

static int fuse_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			   unsigned flags)
{
	struct inode *inode = __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE);
	int err;

	if (inode && fuse_is_bad(inode))
		return 0;
	err = inode ? fuse_inode_revive(ctx, inode) : 0;
	if (err)
		return err == -ENOMEM || err == -EINTR ? err : 0;
	if (__atomic_load_n(&dentry->fs_epoch, __ATOMIC_RELAXED) < current_epoch(dir->inode))
		return 0; /* F08 */
	if (entry_expired(dentry) ||
	    (flags & (LOOKUP_EXCL | LOOKUP_REVAL | LOOKUP_RENAME_TARGET)))
		return inode ? revalidate_positive(ctx, dir->inode, dentry, inode) : 0;
	if (inode && atomic_load_explicit(&fuse_i(inode)->from_plus, memory_order_relaxed) &&
	    atomic_exchange(&fuse_i(inode)->from_plus, false))
		atomic_store(&fuse_i(dir->inode)->want_plus, true); /* F74 */
	return 1;
}

/* F14 */
static int dir_lock(struct inode *dir, bool *ret_locked)
{
	*ret_locked = !fuse_conn_has(fuse_conn_of(dir), FUSE_PARALLEL_DIROPS);
	if (*ret_locked && sleep_mutex_lock_killable(&fuse_i(dir)->dir_mutex))
		return -EINTR;
	return 0;
}

static void dir_unlock(struct inode *dir, bool locked)
{
	if (locked)
		sleep_mutex_unlock(&fuse_i(dir)->dir_mutex);
}

/* The inode of an entry reply, or NULL for a negative one. Checks of section 9, LOOKUP. */
int fuse_inode_of_entry(struct superblock *sb, struct fuse_entry_out *out, unsigned incarnation,
			uint64_t version, uint64_t evicted, struct inode **ret_inode)
{
	*ret_inode = NULL;
	if (out->nodeid == 0)
		return 0;
	if (!fuse_attr_valid(&out->attr))
		return -EIO;
	if (out->nodeid == FUSE_ROOT_ID)
		out->generation = 0;
	return fuse_iget(sb, out->nodeid, out->generation, incarnation, &out->attr,
			 attr_expiry(out), version, evicted, ret_inode);
}

static int do_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     struct dentry **ret_alias)
{
	struct fuse_super *fs = fuse_of(dir);
	uint64_t epoch = current_epoch(dir), version = fuse_attr_version(dir);
	uint64_t evicted = atomic_load(&fs->evict_count);
	struct fuse_entry_out out;
	struct inode *inode = NULL;
	int64_t expiry = 0;
	unsigned incarnation;
	int err = fuse_send_lookup(ctx, dir, dentry->name, &out, &incarnation);

	if (err && err != -ENOENT)
		return err;
	if (!err) {
		expiry = entry_expiry(&out);
		err = fuse_inode_of_entry(dir->sb, &out, incarnation, version, evicted, &inode);
		if (err)
			return err;
		if (inode && out.nodeid == FUSE_ROOT_ID) {
			inode_put(inode);
			return -EIO;
		}
	}
	fuse_entry_set(dentry, expiry, epoch); /* F03: ENOENT is not remembered */
	if (inode)
		atomic_store(&fuse_i(dir)->want_plus, true);
	err = d_splice_alias(dentry, inode, ret_alias);
	if (!err && *ret_alias)
		fuse_entry_set(*ret_alias, expiry, epoch);
	return err;
}

static int fuse_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       unsigned flags, struct dentry **ret_alias)
{
	bool locked;
	int err;

	(void)flags;
	*ret_alias = NULL;
	if (fuse_is_bad(dir))
		return -EIO;
	if (dentry->name_len > dir->sb->name_max)
		return -ENAMETOOLONG; /* F15 */
	err = dir_lock(dir, &locked);
	if (err)
		return err;
	err = do_lookup(ctx, dir, dentry, ret_alias);
	dir_unlock(dir, locked);
	return err;
}

/* --- making names ------------------------------------------------------------------------- */

static uint32_t caller_umask(const struct op_ctx *ctx)
{
	return ctx->fs ? fs_umask(ctx->fs) : 0;
}

/* F54 */
static uint32_t mask_mode(const struct op_ctx *ctx, const struct inode *dir, uint32_t mode)
{
	if (!fuse_conn_has(fuse_conn_of(dir), FUSE_DONT_MASK))
		mode &= ~(caller_umask(ctx) & 0777);
	return mode;
}

/* F160: what is not a fresh object of the wanted type is refused, and not forgotten either. */
static bool new_entry_ok(const struct fuse_entry_out *out, uint32_t type)
{
	return out->nodeid != 0 && out->nodeid != FUSE_ROOT_ID && fuse_attr_valid(&out->attr) &&
	       (out->attr.mode & S_IFMT) == type;
}

/* Binds the dentry to what was made. */
static int add_new_entry(struct inode *dir, struct dentry *dentry, struct fuse_entry_out *out,
			 unsigned incarnation, uint64_t epoch)
{
	struct dentry *alias = NULL;
	struct inode *inode;
	int err = fuse_iget(dir->sb, out->nodeid, out->generation, incarnation, &out->attr,
			    attr_expiry(out), 0, atomic_load(&fuse_of(dir)->evict_count), &inode);

	if (err) {
		fuse_forget_one(dir->sb, out->nodeid, incarnation);
		return err;
	}
	fuse_entry_set(dentry, entry_expiry(out), epoch);
	if (!inode_is_dir(inode)) {
		d_instantiate(dentry, inode);
		return 0;
	}
	err = d_splice_alias(dentry, inode, &alias);
	dentry_put(alias);
	return err;
}

/* MKNOD, MKDIR, SYMLINK, LINK: args has all but the answer. */
static int create_entry(const struct op_ctx *ctx, struct fuse_args *args, struct inode *dir,
			struct dentry *dentry, uint32_t type)
{
	uint64_t epoch = current_epoch(dir);
	struct fuse_entry_out out;
	int err;

	if (fuse_is_bad(dir))
		return -EIO;
	memset(&out, 0, sizeof(out));
	fuse_args_out(args, &out, sizeof(out));
	err = (int)fuse_send(ctx, dir, args);
	if (err == -EEXIST)
		entry_invalidate(dentry);
	if (err)
		return err;
	if (!new_entry_ok(&out, type))
		return -EIO;
	err = add_new_entry(dir, dentry, &out, args->incarnation, epoch);
	fuse_dir_changed(dir);
	return err;
}

static int fuse_mknod(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      uint32_t mode, dev_t rdev)
{
	struct fuse_mknod_in in = {0};
	struct fuse_create_ext ext;
	struct fuse_args args;

	in.mode = mask_mode(ctx, dir, mode);
	in.rdev = fuse_encode_dev(major(rdev), minor(rdev));
	in.umask = caller_umask(ctx);
	fuse_args_init(&args, FUSE_MKNOD, dir);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_name(&args, dentry->name);
	fuse_args_create_ext(&args, ctx, dir, &ext);
	return create_entry(ctx, &args, dir, dentry, mode & S_IFMT);
}

/* After CREATE was answered with ENOSYS: MKNOD, and the VFS opens it. */
static int fuse_create(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       uint32_t mode, bool excl)
{
	(void)excl;
	return fuse_mknod(ctx, dir, dentry, (mode & 07777) | S_IFREG, 0);
}

static int fuse_mkdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      uint32_t mode)
{
	struct fuse_mkdir_in in;
	struct fuse_create_ext ext;
	struct fuse_args args;

	in.mode = mask_mode(ctx, dir, mode & 07777);
	in.umask = caller_umask(ctx);
	fuse_args_init(&args, FUSE_MKDIR, dir);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_name(&args, dentry->name);
	fuse_args_create_ext(&args, ctx, dir, &ext);
	return create_entry(ctx, &args, dir, dentry, S_IFDIR);
}

static int fuse_symlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			const char *target)
{
	struct fuse_create_ext ext;
	struct fuse_args args;

	fuse_args_init(&args, FUSE_SYMLINK, dir);
	fuse_args_name(&args, dentry->name);
	fuse_args_name(&args, target);
	fuse_args_create_ext(&args, ctx, dir, &ext);
	return create_entry(ctx, &args, dir, dentry, S_IFLNK);
}

static int fuse_link(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		     struct dentry *dentry)
{
	struct inode *inode = old->inode;
	struct fuse_link_in in = {fuse_nodeid(inode)};
	struct fuse_args args;
	int err;

	fuse_args_init(&args, FUSE_LINK, dir);
	fuse_args_pin(&args, inode, &in.oldnodeid);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_name(&args, dentry->name);
	err = create_entry(ctx, &args, dir, dentry, inode->mode & S_IFMT);
	if (err == 0 && fuse_is_writeback(inode)) /* otherwise the answer had fresh attributes */
		fuse_ctime_changed(ctx, inode);
	if (err == -EINTR)
		fuse_stale(inode, FUSE_STALE_ALL);
	return err;
}

/* --- open(O_CREAT) ------------------------------------------------------------------------ */

struct create_reply {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	uint32_t flags;	      /* O_* that were sent */
	unsigned incarnation; /* of the daemon that answered */
};

/* Sends CREATE or TMPFILE. ff is filled in on success. */
static int send_create(const struct op_ctx *ctx, uint32_t opcode, struct inode *dir,
		       const char *name, struct file *file, uint32_t mode,
		       struct create_reply *ret_reply)
{
	struct fuse_create_in in = {0};
	struct fuse_create_ext ext;
	struct fuse_args args;
	int err;

	memset(ret_reply, 0, sizeof(*ret_reply));
	in.flags = fuse_open_flags(fuse_of(dir), file) |
		   (atomic_load(&file->flags) & (unsigned)(O_CREAT | O_EXCL | O_TRUNC));
	in.mode = mask_mode(ctx, dir, (mode & 07777) | S_IFREG);
	in.umask = caller_umask(ctx);
	if (!(in.flags & O_EXCL))
		in.open_flags = fuse_kill_on_open(ctx, fuse_of(dir), in.flags);
	fuse_args_init(&args, opcode, dir);
	args.open_flags = in.flags;
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_name(&args, name);
	fuse_args_create_ext(&args, ctx, dir, &ext);
	fuse_args_out(&args, &ret_reply->entry, sizeof(ret_reply->entry));
	fuse_args_out(&args, &ret_reply->open, sizeof(ret_reply->open));
	err = (int)fuse_send(ctx, dir, &args);
	if (err)
		return err;
	ret_reply->flags = in.flags;
	ret_reply->incarnation = args.incarnation;
	return new_entry_ok(&ret_reply->entry, S_IFREG) ? 0 : -EIO; /* F53 */
}

static int create_and_open(const struct op_ctx *ctx, uint32_t opcode, struct inode *dir,
			   struct dentry *dentry, struct file *file, uint32_t mode)
{
	const char *name = opcode == FUSE_TMPFILE ? "/" : dentry->name; /* A05 */
	uint64_t epoch = current_epoch(dir);
	struct create_reply reply;
	struct fuse_file *ff;
	int err = send_create(ctx, opcode, dir, name, file, mode, &reply);

	if (err == -EEXIST)
		entry_invalidate(dentry);
	if (err)
		return err;
	err = add_new_entry(dir, dentry, &reply.entry, reply.incarnation, epoch);
	if (err)
		return err; /* the daemon's open file leaks, as in Linux for want of memory */
	ff = fuse_file_new(dentry->inode, false);
	if (!ff)
		return -ENOMEM;
	ff->fh = reply.open.fh;
	ff->nodeid = reply.entry.nodeid;
	ff->incarnation = reply.incarnation;
	ff->reopen_flags = reply.flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC);
	ff->release.flags = reply.flags; /* in case the open is refused */
	ff->open_flags = reply.open.open_flags;
	ff->backing_id = reply.open.backing_id;
	ff->opened = true;
	fuse_dir_changed(dir);
	file->private = ff; /* fuse_file_open() finds it there and does not ask again */
	err = file_finish_open(ctx, file, dentry);
	if (err && file->private) {
		file->private = NULL;
		fuse_file_put(ff);
	}
	return err;
}

static int fuse_atomic_open(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			    struct file *file, uint32_t mode, bool *ret_created)
{
	struct dentry *alias = NULL;
	int err;

	if (fuse_is_bad(dir))
		return -EIO;
	if (dentry_test(dentry, DENTRY_IN_LOOKUP)) { /* F52: is it there? */
		err = fuse_lookup(ctx, dir, dentry, LOOKUP_CREATE, &alias);
		if (err)
			return err;
		dentry_put(alias);
		if (alias)
			return -ESTALE; /* a directory, now under this name: walk again */
		if (d_is_positive(dentry))
			return -ENOTATOMIC; /* the VFS opens what exists */
	}
	if (!(atomic_load(&file->flags) & O_CREAT))
		return -ENOTATOMIC;
	err = create_and_open(ctx, FUSE_CREATE, dir, dentry, file, mode);
	if (err == -ENOSYS)
		return -ENOTATOMIC;
	if (!err)
		*ret_created = true;
	return err;
}

static int fuse_tmpfile(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			struct file *file, uint32_t mode)
{
	return create_and_open(ctx, FUSE_TMPFILE, dir, dentry, file, mode);
}

/* --- removing and moving ------------------------------------------------------------------ */

/* F162 */
static void entry_unlinked(const struct op_ctx *ctx, struct dentry *dentry, bool is_dir)
{
	struct inode *inode = dentry->inode;

	fuse_bump_version(inode);
	fb_mutex_lock(&inode->attr_lock);
	if (is_dir)
		inode->nlink = 0;
	else if (inode->nlink > 0)
		inode->nlink--;
	fb_mutex_unlock(&inode->attr_lock);
	fuse_ctime_changed(ctx, inode);
	fuse_entry_expire(dentry);
}

static int remove_entry(const struct op_ctx *ctx, uint32_t opcode, struct inode *dir,
			struct dentry *dentry)
{
	struct fuse_args args;
	int err;

	if (fuse_is_bad(dir))
		return -EIO;
	fuse_args_init(&args, opcode, dir);
	fuse_args_pin(&args, dentry->inode, NULL);
	fuse_args_name(&args, dentry->name);
	err = (int)fuse_send(ctx, dir, &args);
	if (err == 0) {
		fuse_dir_changed(dir);
		entry_unlinked(ctx, dentry, opcode == FUSE_RMDIR);
	} else if (err == -EINTR || err == -ENOENT) {
		entry_invalidate(dentry);
	}
	return err;
}

static int fuse_unlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	return remove_entry(ctx, FUSE_UNLINK, dir, dentry);
}

static int fuse_rmdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	return remove_entry(ctx, FUSE_RMDIR, dir, dentry);
}

static int send_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
		       struct inode *new_dir, struct dentry *new_dentry, unsigned flags)
{
	struct fuse_rename2_in in2 = {fuse_nodeid(new_dir), flags, 0};
	struct fuse_rename_in in = {fuse_nodeid(new_dir)};
	struct fuse_args args;

	if (flags && fuse_conn_of(old_dir)->minor < 23)
		return -EINVAL;
	fuse_args_init(&args, flags ? FUSE_RENAME2 : FUSE_RENAME, old_dir);
	fuse_args_pin(&args, new_dir, flags ? &in2.newdir : &in.newdir);
	fuse_args_pin(&args, old_dentry->inode, NULL);
	if (flags)
		fuse_args_in(&args, &in2, sizeof(in2));
	else
		fuse_args_in(&args, &in, sizeof(in));
	fuse_args_name(&args, old_dentry->name);
	fuse_args_name(&args, new_dentry->name);
	return (int)fuse_send(ctx, old_dir, &args);
}

static int fuse_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
		       struct inode *new_dir, struct dentry *new_dentry, unsigned flags)
{
	int err;

	if (fuse_is_bad(old_dir) || fuse_is_bad(new_dir))
		return -EIO;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL; /* F163 */
	err = send_rename(ctx, old_dir, old_dentry, new_dir, new_dentry, flags);
	if (err == 0) {
		fuse_ctime_changed(ctx, old_dentry->inode);
		if ((flags & RENAME_EXCHANGE) && d_is_positive(new_dentry))
			fuse_ctime_changed(ctx, new_dentry->inode);
		fuse_dir_changed(old_dir);
		if (new_dir != old_dir)
			fuse_dir_changed(new_dir);
		if (!(flags & RENAME_EXCHANGE) && d_is_positive(new_dentry))
			entry_unlinked(ctx, new_dentry, inode_is_dir(new_dentry->inode));
	} else if (err == -EINTR || err == -ENOENT) {
		entry_invalidate(old_dentry);
		if (d_is_positive(new_dentry))
			entry_invalidate(new_dentry);
	}
	return err;
}

/* --- symlinks ----------------------------------------------------------------------------- */

void fuse_forget_link(struct inode *inode)
{
	char *target;

	fb_mutex_lock(&inode->attr_lock);
	target = fuse_i(inode)->target;
	fuse_i(inode)->target = NULL;
	fb_mutex_unlock(&inode->attr_lock);
	free(target);
}

/* A copy of what is cached; NULL: nothing is, or there is no memory for it. */
static char *cached_link(struct inode *inode)
{
	char *copy = NULL;

	fb_mutex_lock(&inode->attr_lock);
	if (fuse_i(inode)->target)
		copy = strdup(fuse_i(inode)->target);
	fb_mutex_unlock(&inode->attr_lock);
	return copy;
}

/* F168: kept until the inode goes, or the daemon says that its data is not valid any more. */
static void cache_link(struct inode *inode, const char *target)
{
	char *copy = strdup(target);

	fb_mutex_lock(&inode->attr_lock);
	if (!fuse_i(inode)->target) {
		fuse_i(inode)->target = copy;
		copy = NULL;
	}
	fb_mutex_unlock(&inode->attr_lock);
	free(copy);
}

static int send_readlink(const struct op_ctx *ctx, struct inode *inode, char **ret_target)
{
	struct fuse_args args;
	ssize_t len;
	char *target = malloc(FUSE_PAGE);

	if (!target)
		return -ENOMEM;
	fuse_args_init(&args, FUSE_READLINK, inode);
	fuse_args_out(&args, target, FUSE_PAGE - 1);
	len = fuse_send(ctx, inode, &args);
	fuse_accessed(inode);
	if (len < 0) {
		free(target);
		return (int)len;
	}
	target[len] = '\0';
	*ret_target = target;
	return 0;
}

static int fuse_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
			 char **ret_target, struct path *ret_path)
{
	bool cached = fuse_conn_has(fuse_conn_of(inode), FUSE_CACHE_SYMLINKS);
	int err;

	(void)dentry;
	(void)ret_path;
	if (fuse_is_bad(inode))
		return -EIO;
	if (cached) {
		*ret_target = cached_link(inode);
		if (*ret_target)
			return 0;
	}
	err = send_readlink(ctx, inode, ret_target);
	if (!err && cached)
		cache_link(inode, *ret_target);
	return err;
}

#define COMMON_METHODS                                                                             \
	.permission = fuse_permission, .getattr = fuse_getattr, .setattr = fuse_setattr,           \
	.getxattr = fuse_getxattr, .setxattr = fuse_setxattr, .listxattr = fuse_listxattr,         \
	.removexattr = fuse_removexattr

/* Not of symlinks. */
#define DATA_METHODS                                                                                \
	.get_acl = fuse_get_acl, .set_acl = fuse_set_acl, .fileattr_get = fuse_fileattr_get,       \
	.fileattr_set = fuse_fileattr_set

const struct inode_ops fuse_file_inode_ops = {COMMON_METHODS, DATA_METHODS};

const struct inode_ops fuse_symlink_inode_ops = {
	COMMON_METHODS,
	.get_link = fuse_get_link,
};

const struct dentry_ops fuse_dentry_ops = {
	.revalidate = fuse_revalidate,
	.expired = entry_expired,
};

const struct inode_ops fuse_dir_inode_ops = {
	DATA_METHODS,
	COMMON_METHODS,		 .lookup = fuse_lookup, .atomic_open = fuse_atomic_open,
	.create = fuse_create,	 .mkdir = fuse_mkdir,	.mknod = fuse_mknod,
	.symlink = fuse_symlink, .link = fuse_link,	.unlink = fuse_unlink,
	.rmdir = fuse_rmdir,	 .rename = fuse_rename, .tmpfile = fuse_tmpfile,
};

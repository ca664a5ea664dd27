/*
 * open(2) but for the descriptor: flags, lookup or creation of the last component, permission,
 * truncation. cf. path_openat() in fs/namei.c; file.c has the end that all opens share.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "sentry/base/err.h"
#include "vfs/attr.h"
#include "vfs/chrdev.h"
#include "vfs/ctx.h"
#include "vfs/dentry_internal.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/namei_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#define TMPFILE_BIT  (O_TMPFILE & ~O_DIRECTORY)
#define O_PATH_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_PATH)

/* One open(2) on its way. */
struct open_req {
	unsigned flags;	 /* O_* */
	unsigned lookup; /* LOOKUP_* */
	unsigned acc;	 /* MAY_* the file itself must grant */
	uint32_t mode;	 /* of a new file, umask not applied, with S_IFREG */
	bool exec;
};

uint32_t mode_after_umask(const struct op_ctx *ctx, const struct dentry *dir, uint32_t mode)
{
	if (!ctx->fs || (sb_flags(dir->sb) & SB_POSIXACL))
		return mode;
	return mode & ~fs_umask(ctx->fs);
}

static unsigned acc_of_flags(unsigned flags)
{
	static const unsigned acc[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
				       MAY_READ | MAY_WRITE};
	unsigned result = acc[flags & O_ACCMODE];

	if (flags & O_TRUNC)
		result |= MAY_WRITE;
	if (flags & O_APPEND)
		result |= MAY_APPEND;
	return result;
}

/* cf. build_open_flags() */
static int open_req_init(struct open_req *req, const struct open_args *args)
{
	unsigned flags = (unsigned)args->flags & ~(unsigned)O_CLOEXEC;

	if ((flags & TMPFILE_BIT) &&
	    ((flags & (O_TMPFILE | O_CREAT)) != O_TMPFILE || !(acc_of_flags(flags) & MAY_WRITE)))
		return -EINVAL;
	if (flags & O_PATH)
		flags &= O_PATH_FLAGS;
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	if ((args->resolve & LOOKUP_CACHED) && (flags & (O_TRUNC | O_CREAT | TMPFILE_BIT)))
		return -EAGAIN;
	*req = (struct open_req){.flags = flags,
				 .lookup = args->resolve,
				 .acc = (flags & O_PATH) ? 0 : acc_of_flags(flags),
				 .mode = (args->mode & 07777) | S_IFREG,
				 .exec = args->exec};
	if (args->exec)
		req->acc = MAY_EXEC;
	if (flags & O_DIRECTORY)
		req->lookup |= LOOKUP_DIRECTORY;
	/* O_EXCL never follows: a symlink exists. */
	if (!(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL))
		req->lookup |= LOOKUP_FOLLOW;
	if (!(flags & O_PATH))
		req->lookup |= LOOKUP_OPEN;
	if (flags & O_CREAT)
		req->lookup |= LOOKUP_CREATE | ((flags & O_EXCL) ? LOOKUP_EXCL : 0);
	return 0;
}

/* cf. may_open(); acc 0 for a file that this call has made. */
static int may_open(const struct op_ctx *ctx, const struct path *path, unsigned acc,
		    unsigned *flags)
{
	struct inode *inode = path->dentry->inode;
	unsigned mnt_flags = path->mnt ? mount_flags(path->mnt) : 0;
	int err;

	switch (inode_mode(inode) & S_IFMT) {
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		if (acc & MAY_WRITE)
			return -EISDIR;
		if (acc & MAY_EXEC)
			return -EACCES;
		break;
	case S_IFBLK:
	case S_IFCHR:
		if (mnt_flags & MNT_NODEV || (inode->sb && (sb_flags(inode->sb) & SB_NODEV)))
			return -EACCES;
		__attribute__((fallthrough));
	case S_IFIFO:
	case S_IFSOCK:
		if (acc & MAY_EXEC)
			return -EACCES;
		*flags &= ~(unsigned)O_TRUNC;
		break;
	case S_IFREG:
		if ((acc & MAY_EXEC) &&
		    ((mnt_flags & MNT_NOEXEC) || (inode->sb && (sb_flags(inode->sb) & SB_NOEXEC))))
			return -EACCES;
		break;
	default:
		return -ENXIO; /* an eventfd and its like, by way of /proc/PID/fd */
	}
	err = inode_permission(ctx, inode, MAY_OPEN | acc);
	if (err)
		return err;
	if ((*flags & O_NOATIME) && !inode_owner_or_capable(ctx, inode))
		return -EPERM;
	if ((acc & MAY_WRITE) && (inode_is_reg(inode) || inode_is_dir(inode)))
		return mount_want_write(path);
	return 0;
}

/* File systems that leave fop of FIFOs and devices to us get the common ones. */
static void default_fop(struct inode *inode)
{
	if (!inode->fop)
		__atomic_store_n(&inode->fop, special_fops(inode_mode(inode)), __ATOMIC_RELEASE);
}

static int truncate_opened(const struct op_ctx *ctx, struct file *file)
{
	int err;

	if (!(file->fmode & FMODE_WRITER)) {
		err = mapped_get_write_access(ctx, file->inode);
		if (err)
			return err;
	}
	err = do_truncate(ctx, &file->path, 0, ATTR_MTIME | ATTR_CTIME | ATTR_OPEN, file);
	if (!(file->fmode & FMODE_WRITER))
		inode_put_write_access(file->inode);
	return err;
}

/* cf. do_open(): opens what the walk has found or this call has just made. */
static int open_found(const struct op_ctx *ctx, const struct path *path, const struct open_req *req,
		      bool created, struct file **ret_file)
{
	struct inode *inode = path->dentry->inode;
	unsigned flags = req->flags, acc = created ? 0 : req->acc;
	struct file *file;
	int err;

	if (created) {
		flags &= ~(unsigned)O_TRUNC;
	} else if (flags & O_CREAT) {
		if (flags & O_EXCL)
			return -EEXIST;
		if (inode_is_dir(inode))
			return -EISDIR;
	}
	if ((req->lookup & LOOKUP_DIRECTORY) && !inode_is_dir(inode))
		return -ENOTDIR;
	if (!(flags & O_PATH)) {
		err = may_open(ctx, path, acc, &flags);
		if (err)
			return err;
		default_fop(inode);
	}
	err = file_new(ctx, path, flags, &file);
	if (err)
		return err;
	if (req->exec)
		file->fmode |= FMODE_EXEC;
	err = file_do_open(ctx, file);
	if (!err && (flags & O_TRUNC) && !(flags & O_PATH) && inode_is_reg(inode))
		err = truncate_opened(ctx, file);
	if (err)
		file_put(file);
	else
		*ret_file = file;
	return err;
}

int dentry_open(const struct op_ctx *ctx, const struct path *path, unsigned flags,
		struct file **ret_file)
{
	struct file *file;
	int err = file_new(ctx, path, flags, &file);

	if (err)
		return err;
	file->fmode |= FMODE_KERNEL;
	err = file_do_open(ctx, file);
	if (err)
		file_put(file);
	else
		*ret_file = file;
	return err;
}

int vfs_open_path(const struct op_ctx *ctx, const struct path *path, unsigned flags,
		  struct file **ret_file)
{
	struct open_args args = {.flags = flags & ~(unsigned)(O_CREAT | O_EXCL)};
	struct open_req req;
	int err = open_req_init(&req, &args);

	return err ? err : open_found(ctx, path, &req, false, ret_file);
}

/* Creation. */

/* May the directory get a new file? cf. may_o_create() */
static int may_create_file(const struct op_ctx *ctx, const struct path *dir)
{
	int err = mount_want_write(dir);

	return err ? err : inode_permission(ctx, dir->dentry->inode, MAY_WRITE | MAY_EXEC);
}

/* -ENOTATOMIC: the file system wants lookup + create + open. Directory locked. */
static int open_atomic_locked(const struct op_ctx *ctx, const struct path *dir,
			      struct dentry *dentry, const struct open_req *req,
			      struct file **ret_file, bool *ret_created)
{
	struct inode *inode = dir->dentry->inode;
	struct path place = {dir->mnt, dentry};
	uint32_t mode = mode_after_umask(ctx, dir->dentry, req->mode);
	struct file *file;
	int err;

	if (!inode->op->atomic_open)
		return -ENOTATOMIC;
	err = file_new(ctx, &place, req->flags, &file);
	if (err)
		return err;
	*ret_created = false;
	err = inode->op->atomic_open(ctx, inode, dentry, file, mode, ret_created);
	if (!err && !(file->fmode & FMODE_OPENED))
		err = -EIO; /* the method promised it */
	if (err) {
		file_put(file);
		return err;
	}
	*ret_file = file;
	return 0;
}

static int create_locked(const struct op_ctx *ctx, const struct path *dir, struct dentry *dentry,
			 const struct open_req *req)
{
	struct inode *inode = dir->dentry->inode;

	if (!inode->op->create)
		return -EACCES;
	return inode->op->create(ctx, inode, dentry, mode_after_umask(ctx, dir->dentry, req->mode),
				 (req->flags & O_EXCL) != 0);
}

struct create_result {
	struct dentry *dentry; /* found or made; counted */
	struct file *file;     /* opened already, by atomic_open */
	bool created;
};

/* cf. lookup_open(); directory locked exclusively. */
static int lookup_or_create_locked(const struct op_ctx *ctx, const struct path *dir,
				   const struct qstr *name, const struct open_req *req,
				   struct create_result *ret)
{
	struct dentry *dentry;
	int err, create_err;

	err = lookup_begin_locked(ctx, dir->dentry, name, req->lookup, &dentry);
	if (err)
		return err;
	ret->dentry = dentry;
	if (d_is_positive(dentry))
		return 0;
	create_err = may_create_file(ctx, dir);
	err = -ENOTATOMIC;
	if (!create_err)
		err = open_atomic_locked(ctx, dir, dentry, req, &ret->file, &ret->created);
	if (err == -ENOTATOMIC && dentry_test(dentry, DENTRY_IN_LOOKUP))
		err = lookup_finish_locked(ctx, dir->dentry, req->lookup, &ret->dentry);
	else if (err == -ENOTATOMIC)
		err = 0;
	else
		d_lookup_done(dentry);
	if (err || ret->file || d_is_positive(ret->dentry))
		return err;
	if (create_err)
		return create_err;
	err = create_locked(ctx, dir, ret->dentry, req);
	if (!err && !d_is_positive(ret->dentry))
		err = -ESTALE; /* the file system bound another dentry to it: look again */
	ret->created = !err;
	return err;
}

static int lookup_or_create(const struct op_ctx *ctx, const struct path *dir,
			    const struct qstr *name, const struct open_req *req,
			    struct create_result *ret)
{
	struct inode *inode = dir->dentry->inode;
	int err;

	*ret = (struct create_result){0};
	err = inode_lock_killable(inode);
	if (err)
		return err;
	err = lookup_or_create_locked(ctx, dir, name, req, ret);
	inode_unlock(inode);
	if (err) {
		dentry_put(ret->dentry);
		ret->dentry = NULL;
	}
	return err;
}

/* The end of an open by atomic_open: if it found the file, our checks come after the fact. */
static int finish_atomic(const struct op_ctx *ctx, struct create_result *made,
			 const struct open_req *req, struct file **ret_file)
{
	unsigned flags = req->flags;
	int err = 0;

	if (!made->created)
		err = may_open(ctx, &made->file->path, req->acc, &flags);
	if (!err && !made->created && (flags & O_TRUNC) && inode_is_reg(made->file->inode))
		err = truncate_opened(ctx, made->file);
	dentry_put(made->dentry);
	if (err)
		file_put(made->file);
	else
		*ret_file = made->file;
	return err;
}

/* The last component with O_CREAT. *ret_body as walk_last(); *ret_file set when it is done. */
static int open_create_last(struct walk *walk, const struct open_req *req, const char **ret_body,
			    struct file **ret_file)
{
	struct create_result made;
	int err;

	*ret_body = NULL;
	if (walk->last_type != LAST_NORM) {
		err = walk_last(walk, ret_body);
		return err ? err : -EISDIR;
	}
	if (walk_has_slashes(walk))
		return -EISDIR;
	err = lookup_or_create(walk->ctx, &walk->path, &walk->last, req, &made);
	if (err)
		return err;
	if (made.file)
		return finish_atomic(walk->ctx, &made, req, ret_file);
	err = walk_step(walk, made.dentry, (walk->flags & LOOKUP_FOLLOW) != 0, ret_body);
	if (err || *ret_body)
		return err;
	err = walk_complete(walk);
	return err ? err : open_found(walk->ctx, &walk->path, req, made.created, ret_file);
}

static int open_create(struct walk *walk, const char *name, const struct open_req *req,
		       struct file **ret_file)
{
	int err;

	/* Most such files exist: the log that is appended to, the file that is replaced. */
	if (!(req->flags & O_EXCL) && name[strlen(name) - 1] != '/') {
		err = walk_fast(walk, &name, true);
		if (!err)
			return open_found(walk->ctx, &walk->path, req, false, ret_file);
		if (err < 0 && err != -ENOENT)
			return err;
	}
	do {
		err = walk_parent(walk, name);
		if (!err)
			err = open_create_last(walk, req, &name, ret_file);
	} while (!err && name);
	return err;
}

/* O_TMPFILE. */

static void name_tmpfile(struct dentry *dentry)
{
	char name[32];
	char *copy, *old;

	(void)snprintf(name, sizeof(name), "#%llu", (unsigned long long)dentry->inode->ino);
	copy = strdup(name);
	if (!copy)
		return;
	fb_mutex_lock(&dcache_lock);
	old = dentry->name;
	dentry->name = copy;
	dentry->name_len = (uint32_t)strlen(copy);
	fb_mutex_unlock(&dcache_lock);
	free(old);
}

static int tmpfile_locked(const struct op_ctx *ctx, const struct path *dir, struct dentry *dentry,
			  const struct open_req *req, struct file **ret_file)
{
	struct inode *inode = dir->dentry->inode;
	struct path place = {dir->mnt, dentry};
	struct file *file;
	int err;

	err = file_new(ctx, &place, req->flags & ~(unsigned)O_EXCL, &file);
	if (err)
		return err;
	err = inode->op->tmpfile(ctx, inode, dentry, file,
				 mode_after_umask(ctx, dir->dentry, req->mode));
	if (!err && !(file->fmode & FMODE_OPENED))
		err = -EIO;
	if (err) {
		file_put(file);
		return err;
	}
	if (dentry->inode) {
		name_tmpfile(dentry);
		fb_mutex_lock(&dentry->inode->attr_lock);
		dentry->inode->linkable = !(req->flags & O_EXCL);
		fb_mutex_unlock(&dentry->inode->attr_lock);
	}
	*ret_file = file;
	return 0;
}

static int open_tmpfile(struct walk *walk, const char *name, const struct open_req *req,
			struct file **ret_file)
{
	const struct op_ctx *ctx = walk->ctx;
	struct dentry *dentry;
	struct inode *dir;
	struct qstr q;
	int err;

	err = walk_all(walk, name);
	if (err)
		return err;
	dir = walk->path.dentry->inode;
	err = may_create_file(ctx, &walk->path);
	if (!err && (!dir->op || !dir->op->tmpfile))
		err = -EOPNOTSUPP;
	if (err)
		return err;
	qstr_init(&q, "#", 1);
	dentry = d_alloc(walk->path.dentry, &q);
	if (!dentry)
		return -ENOMEM;
	err = inode_lock_killable(dir);
	if (!err) {
		err = tmpfile_locked(ctx, &walk->path, dentry, req, ret_file);
		inode_unlock(dir);
	}
	dentry_put(dentry);
	return err;
}

static int open_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		    const struct open_req *req, struct file **ret_file)
{
	struct walk walk;
	int err;

	err = walk_begin(&walk, ctx, base, name, req->lookup);
	if (err) {
		walk_end(&walk);
		return err;
	}
	if (req->flags & TMPFILE_BIT) {
		err = open_tmpfile(&walk, name, req, ret_file);
	} else if (req->flags & O_CREAT) {
		err = open_create(&walk, name, req, ret_file);
	} else {
		err = walk_all(&walk, name);
		if (!err)
			err = open_found(ctx, &walk.path, req, false, ret_file);
	}
	walk_end(&walk);
	return err;
}

/* execveat(2) with AT_EMPTY_PATH: the file behind the descriptor, whatever that was opened for. */
static int open_empty(const struct op_ctx *ctx, const struct path *base,
		      const struct open_req *req, struct file **ret_file)
{
	struct path path;
	int err;

	if (req->flags & (O_CREAT | TMPFILE_BIT))
		return -ENOENT;
	err = path_lookup(ctx, base, "", req->lookup, &path);
	if (err)
		return err;
	err = open_found(ctx, &path, req, false, ret_file);
	path_put(&path);
	return err;
}

int vfs_open(const struct op_ctx *ctx, const struct path *base, const char *name,
	     const struct open_args *args, struct file **ret_file)
{
	struct open_req req;
	int err = open_req_init(&req, args);

	if (err)
		return err;
	if (!*name)
		return req.lookup & LOOKUP_EMPTY ? open_empty(ctx, base, &req, ret_file) : -ENOENT;
	err = open_try(ctx, base, name, &req, ret_file);
	if (err == -ESTALE) {
		req.lookup |= LOOKUP_REVAL;
		err = open_try(ctx, base, name, &req, ret_file);
	}
	return err;
}

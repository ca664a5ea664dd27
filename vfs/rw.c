/*
 * Reading and writing open files: the rules that come before a file's own methods (cf. vfs_read()
 * in fs/read_write.c), positions, limits, allocation.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/rw_internal.h"
#include "vfs/superblock.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

typedef ssize_t (*rw_method)(const struct op_ctx *ctx, struct file *file, struct io_iter *iter,
			     int64_t *pos, int rwf);

static bool is_stream(const struct file *file)
{
	return file->op->no_position || (file->fmode & FMODE_STREAM);
}

static bool can_seek(const struct file *file)
{
	return !is_stream(file) && !(file->fmode & FMODE_NOSEEK);
}

/* Of pread(2) and pwrite(2). */
static bool takes_position(const struct file *file)
{
	return can_seek(file) || file->op->any_position;
}

/* Only where two calls must not interleave: POSIX wants it for regular files (cf. fdget_pos()). */
static bool locks_position(const struct file *file)
{
	return !is_stream(file) && (inode_is_reg(file->inode) || inode_is_dir(file->inode));
}

/* RWF_ATOMIC, RWF_DONTCACHE and what is newer: no file of ours has them, kiocb_set_rw_flags(). */
static int check_rwf(int rwf)
{
	const int known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;

	if (rwf & ~known)
		return -EOPNOTSUPP;
	if ((rwf & RWF_APPEND) && (rwf & RWF_NOAPPEND))
		return -EINVAL;
	return 0;
}

static int check_read(const struct file *file, int rwf)
{
	if ((file->fmode & FMODE_PATH) || !(file->fmode & FMODE_READ))
		return -EBADF;
	if (!file->op->read_iter)
		return inode_is_dir(file->inode) ? -EISDIR : -EINVAL;
	return check_rwf(rwf);
}

static int check_write(const struct file *file, int rwf)
{
	if ((file->fmode & FMODE_PATH) || !(file->fmode & FMODE_WRITE))
		return -EBADF;
	if (!file->op->write_iter)
		return -EINVAL;
	return check_rwf(rwf);
}

/* A position and a length that fit into a file offset (cf. rw_verify_area()). */
static int check_area(int64_t pos, size_t len)
{
	if (pos < 0 || len > (uint64_t)(INT64_MAX - pos))
		return -EINVAL;
	return 0;
}

static void raise_signal(const struct op_ctx *ctx, int signo)
{
	if (ctx->ops && ctx->ops->signal)
		ctx->ops->signal(ctx, signo);
}

int write_limit(const struct op_ctx *ctx, struct file *file, int64_t pos, size_t *len)
{
	int64_t max_bytes = file->inode->sb->max_bytes;
	uint64_t max = max_bytes > 0 ? (uint64_t)max_bytes : INT64_MAX;

	if (!inode_is_reg(file->inode))
		return 0;
	if ((uint64_t)pos >= ctx->fsize_limit) {
		raise_signal(ctx, SIGXFSZ);
		return -EFBIG;
	}
	if (ctx->fsize_limit < max)
		max = ctx->fsize_limit;
	if ((uint64_t)pos >= max)
		return -EFBIG;
	if (max - (uint64_t)pos < *len)
		*len = max - (uint64_t)pos;
	return 0;
}

/* One transfer at a position of the caller's (NULL: a stream). */
static ssize_t read_at(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
		       int64_t *pos, int rwf)
{
	int err = 0;

	if (to->count > RW_MAX)
		iter_truncate(to, RW_MAX);
	if (pos)
		err = check_area(*pos, to->count);
	return err ? err : file->op->read_iter(ctx, file, to, pos, rwf);
}

/* An append is measured at the size of this moment; the file system takes it under its lock. */
static bool appends(const struct file *file, int rwf)
{
	return (rwf & RWF_APPEND) ||
	       ((atomic_load(&file->flags) & O_APPEND) && !(rwf & RWF_NOAPPEND));
}

static ssize_t write_at(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			int64_t *pos, int rwf)
{
	size_t len;
	int err = 0;

	if (from->count > RW_MAX)
		iter_truncate(from, RW_MAX);
	len = from->count;
	if (pos)
		err = check_area(*pos, len);
	if (!err && pos && len)
		err = write_limit(ctx, file, appends(file, rwf) ? inode_size(file->inode) : *pos,
				  &len);
	if (err)
		return err;
	iter_truncate(from, len);
	return file->op->write_iter(ctx, file, from, pos, rwf);
}

/*
 * At the file's own position. The lock is taken killably: its holder may wait for a FUSE daemon
 * that never answers.
 */
static ssize_t rw_current(const struct op_ctx *ctx, struct file *file, struct io_iter *iter,
			  int rwf, rw_method transfer)
{
	bool lock = locks_position(file);
	int64_t pos;
	ssize_t ret;

	if (is_stream(file))
		return transfer(ctx, file, iter, NULL, rwf);
	if (lock) {
		int err = sleep_mutex_lock_killable(&file->pos_lock);

		if (err)
			return err;
	}
	pos = __atomic_load_n(&file->pos, __ATOMIC_RELAXED);
	ret = transfer(ctx, file, iter, &pos, rwf);
	if (ret >= 0)
		__atomic_store_n(&file->pos, pos, __ATOMIC_RELAXED);
	if (lock)
		sleep_mutex_unlock(&file->pos_lock);
	return ret;
}

ssize_t vfs_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to)
{
	int err = check_read(file, 0);

	return err ? err : rw_current(ctx, file, to, 0, read_at);
}

ssize_t vfs_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from)
{
	int err = check_write(file, 0);

	return err ? err : rw_current(ctx, file, from, 0, write_at);
}

ssize_t vfs_pread(const struct op_ctx *ctx, struct file *file, struct io_iter *to, int64_t pos,
		  int rwf)
{
	int err = check_read(file, rwf);

	if (pos == -1)
		return err ? err : rw_current(ctx, file, to, rwf, read_at);
	if (pos < 0)
		return -EINVAL;
	if (!(file->fmode & FMODE_PATH) && !takes_position(file))
		return -ESPIPE;
	return err ? err : read_at(ctx, file, to, &pos, rwf);
}

/* In the order of do_preadv() and vfs_readv(). Directories have a method there, which refuses. */
int vfs_check_vectored(const struct file *file, unsigned need, int64_t pos)
{
	bool able = need == FMODE_READ ? file->op->read_iter || inode_is_dir(file->inode)
				       : file->op->write_iter != NULL;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (pos != -1 && !takes_position(file))
		return -ESPIPE;
	if (!(file->fmode & need))
		return -EBADF;
	return able ? 0 : -EINVAL;
}

ssize_t vfs_splice_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			int64_t pos)
{
	int err;

	if (!file->op->splice_read || !takes_position(file))
		return vfs_pread(ctx, file, to, pos, 0);
	err = check_read(file, 0);
	if (!err)
		err = check_area(pos, to->count);
	return err ? err : file->op->splice_read(ctx, file, to, &pos, 0);
}

ssize_t vfs_pwrite(const struct op_ctx *ctx, struct file *file, struct io_iter *from, int64_t pos,
		   int rwf)
{
	int err = check_write(file, rwf);

	if (pos == -1)
		return err ? err : rw_current(ctx, file, from, rwf, write_at);
	if (pos < 0)
		return -EINVAL;
	if (!(file->fmode & FMODE_PATH) && !takes_position(file))
		return -ESPIPE;
	return err ? err : write_at(ctx, file, from, &pos, rwf);
}

/*
 * All of len or up to the end of the file: callers look at headers and do not want to loop over
 * file systems that answer short.
 */
ssize_t kernel_read(const struct op_ctx *ctx, struct file *file, void *buf, size_t len, int64_t pos)
{
	struct io_iter iter;
	size_t done = 0;

	if (!(file->fmode & (FMODE_READ | FMODE_EXEC)) || (file->fmode & FMODE_PATH))
		return -EBADF;
	if (!file->op->read_iter)
		return inode_is_dir(file->inode) ? -EISDIR : -EINVAL;
	while (done < len) {
		ssize_t n;

		iter_init_mem(&iter, (char *)buf + done, len - done);
		n = read_at(ctx, file, &iter, is_stream(file) ? NULL : &pos, 0);
		if (n <= 0)
			return done > 0 ? (ssize_t)done : n;
		done += (size_t)n;
		/* To ask for more would have a FUSE daemon asked for the size once more. */
		if (inode_is_reg(file->inode) && pos == inode_size(file->inode))
			break;
	}
	return (ssize_t)done;
}

ssize_t kernel_write(const struct op_ctx *ctx, struct file *file, const void *buf, size_t len,
		     int64_t pos)
{
	/* The iterator type serves both directions; a write only reads from it. */
	char *bytes = (char *)(uintptr_t)buf;
	struct io_iter iter;
	size_t done = 0;
	int err = check_write(file, 0);

	if (err)
		return err;
	while (done < len) {
		ssize_t n;

		iter_init_mem(&iter, bytes + done, len - done);
		n = write_at(ctx, file, &iter, is_stream(file) ? NULL : &pos, 0);
		if (n <= 0)
			return done > 0 ? (ssize_t)done : n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- positions ---- */

int64_t vfs_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	int64_t ret;
	int err;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (whence < 0 || whence > SEEK_HOLE)
		return -EINVAL;
	/* Some files without a position take an lseek all the same: noop_llseek(). */
	if (!file->op->llseek || (file->fmode & FMODE_NOSEEK) ||
	    ((file->fmode & FMODE_STREAM) && !file->op->no_position))
		return -ESPIPE;
	err = sleep_mutex_lock_killable(&file->pos_lock);
	if (err)
		return err;
	ret = file->op->llseek(ctx, file, offset, whence);
	sleep_mutex_unlock(&file->pos_lock);
	return ret;
}

int noop_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
	       bool datasync)
{
	(void)ctx;
	(void)file;
	(void)start;
	(void)end;
	(void)datasync;
	return 0;
}

int64_t noop_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	(void)ctx;
	(void)file;
	(void)offset;
	(void)whence;
	return 0;
}

/* Called through vfs_llseek() with the position lock held (cf. generic_file_llseek_size()). */
int64_t generic_file_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	int64_t size = inode_size(file->inode);
	int64_t max = file->inode->sb->max_bytes, base = 0;

	(void)ctx;
	if (max <= 0)
		max = INT64_MAX;
	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = file->pos;
		break;
	case SEEK_END:
		base = size;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (offset < 0 || offset >= size)
			return -ENXIO;
		if (whence == SEEK_HOLE)
			offset = size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &offset) || offset < 0 || offset > max)
		return -EINVAL;
	file->pos = offset;
	return offset;
}

/* ---- allocation and stable storage ---- */

int vfs_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
	      bool datasync)
{
	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (!file->op->fsync)
		return -EINVAL;
	return file->op->fsync(ctx, file, start, end, datasync);
}

/* cf. generic_fadvise(): an offset is a number without sign there, so -1 is behind all bytes. */
int vfs_fadvise(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t len,
		int advice)
{
	if (S_ISFIFO(file->inode->mode))
		return -ESPIPE;
	if (len < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE)
		return -EINVAL;
	if (!file->op->fadvise || (file->fmode & FMODE_PATH))
		return 0;
	return file->op->fadvise(ctx, file, offset < 0 ? INT64_MAX : offset, len, advice);
}

/* Which modes exist and go together (cf. vfs_fallocate() in fs/open.c). */
static int check_falloc_mode(int mode)
{
	const int flags = FALLOC_FL_KEEP_SIZE;

	switch (mode & ~flags) {
	case 0:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_UNSHARE_RANGE:
		return 0;
	case FALLOC_FL_PUNCH_HOLE:
		return mode & FALLOC_FL_KEEP_SIZE ? 0 : -EOPNOTSUPP;
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return mode & FALLOC_FL_KEEP_SIZE ? -EOPNOTSUPP : 0;
	default:
		return -EOPNOTSUPP;
	}
}

int vfs_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
		  int64_t len)
{
	struct inode *inode = file->inode;
	uint64_t end;
	int err;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (offset < 0 || len <= 0)
		return -EINVAL;
	err = check_falloc_mode(mode);
	if (err)
		return err;
	if (!(file->fmode & FMODE_WRITE))
		return -EBADF;
	if (S_ISFIFO(inode->mode))
		return -ESPIPE;
	if (inode_is_dir(inode))
		return -EISDIR;
	if (!inode_is_reg(inode) && !S_ISBLK(inode->mode))
		return -ENODEV;
	end = (uint64_t)offset + (uint64_t)len;
	if (end > INT64_MAX || (inode->sb->max_bytes > 0 && end > (uint64_t)inode->sb->max_bytes))
		return -EFBIG;
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > ctx->fsize_limit &&
	    end > (uint64_t)inode_size(inode)) {
		raise_signal(ctx, SIGXFSZ);
		return -EFBIG;
	}
	if (!file->op->fallocate)
		return -EOPNOTSUPP;
	return file->op->fallocate(ctx, file, mode, offset, len);
}

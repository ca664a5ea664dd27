/*
 * File data: READ and WRITE, through the page cache or straight to the daemon, split by max_read,
 * max_write and max_pages (matrix 6.6), and mapping (6.7).
 *
 * The cache is write-through: a write(2) returns when the daemon has the bytes, and only then are
 * they taken over into cached pages.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fusefs/fusefs.h"
#include "sentry/base/iobuf.h"
#include "sentry/base/iter.h"
#include "vfs/attr.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/perm.h"

#define MAX_TRIES    100 /* to read a page that is invalidated all the time */
#define COPY_BYTES   131072u /* of a write to the writeback cache, at a time */
#define WIRE_DSYNC   0x1000u
#define WIRE_SYNC    0x101000u

/* Most bytes of one READ, WRITE. At least a page. */
size_t fuse_read_limit(const struct fuse_super *fs)
{
	size_t limit = (size_t)fs->conn->max_pages * FUSE_PAGE;

	if (limit > fs->max_read)
		limit = fs->max_read;
	return limit < FUSE_PAGE ? FUSE_PAGE : limit;
}

size_t fuse_write_limit(const struct fuse_super *fs)
{
	size_t limit = (size_t)fs->conn->max_pages * FUSE_PAGE;

	if (limit > fs->conn->max_write)
		limit = fs->conn->max_write;
	return limit < FUSE_PAGE ? FUSE_PAGE : limit;
}

/* --- READ --------------------------------------------------------------------------------- */

void fuse_read_args(struct file *file, struct fuse_args *args, struct fuse_read_in *in, void *buf,
		    size_t len, int64_t pos)
{
	struct fuse_file *ff = file->private;

	*in = (struct fuse_read_in){.fh = ff->fh, .offset = (uint64_t)pos, .size = (uint32_t)len};
	in->flags = fuse_wire_flags(file);
	fuse_args_init(args, FUSE_READ, ff->inode);
	fuse_args_pin_file(args, ff, &in->fh);
	fuse_args_in(args, in, sizeof(*in));
	fuse_args_out(args, buf, len);
}

void fuse_read_owner(const struct op_ctx *ctx, const struct file *file, struct fuse_read_in *in)
{
	in->read_flags = FUSE_READ_LOCKOWNER;
	in->lock_owner = fuse_lock_owner(fuse_of(file->inode), ctx->files);
}

ssize_t fuse_read_request(const struct op_ctx *ctx, struct file *file, void *buf, size_t len,
			  int64_t pos, bool with_owner)
{
	struct fuse_file *ff = file->private;
	struct fuse_read_in in;
	struct fuse_args args;

	fuse_read_args(file, &args, &in, buf, len, pos);
	if (with_owner)
		fuse_read_owner(ctx, file, &in);
	return fuse_send(ctx, ff->inode, &args);
}

void fuse_size_seen(struct inode *inode, int64_t size, uint64_t version)
{
	struct fuse_inode *fi = fuse_i(inode);
	bool shrunk = false;

	if (fuse_is_writeback(inode))
		return;
	fb_mutex_lock(&inode->attr_lock);
	if (fi->attr_version <= version && !fi->size_changing && size < inode->size) {
		fi->attr_version = atomic_fetch_add(&fuse_of(inode)->attr_version, 1) + 1;
		inode->size = size;
		shrunk = true;
	}
	fb_mutex_unlock(&inode->attr_lock);
	if (shrunk)
		fuse_stale(inode, STATX_SIZE | STATX_BLOCKS);
}

/*
 * Asks the daemon for the pages of one fill. *ret_buf: all of its bytes, zeros behind the end of
 * file; the caller frees it. Bytes of the fill, or -errno.
 */
static ssize_t fill_pages(const struct op_ctx *ctx, struct file *file, struct fuse_fill *fill,
			  char **ret_buf)
{
	struct inode *inode = file->inode;
	struct fuse_cache *cache = &fuse_i(inode)->cache;
	uint64_t version = fuse_attr_version(inode);
	size_t len = (size_t)(fill->end - fill->first) * FUSE_PAGE;
	int64_t pos = fill->first * FUSE_PAGE;
	char *buf = iobuf_alloc(len);
	ssize_t got = buf ? fuse_read_request(ctx, file, buf, len, pos, false) : -ENOMEM;

	if (got < 0) {
		(void)fuse_cache_end_fill(cache, fill, NULL, 0);
		iobuf_free(buf);
		return got;
	}
	(void)fuse_cache_end_fill(cache, fill, buf, (size_t)got);
	if ((size_t)got < len) {
		memset(buf + got, 0, len - (size_t)got);
		fuse_size_seen(inode, pos + got, version);
	}
	fuse_accessed(inode); /* F25 */
	*ret_buf = buf;
	return (ssize_t)len;
}

/*
 * Gets missing pages and hands `want` bytes (or fewer) of them to the reader. What else is missing
 * of the window is asked for, too: the reader finds it there, or waits for it.
 */
static ssize_t read_missing(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			    int64_t pos, size_t want, int64_t size)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;
	cleanup_iobuf char *buf = NULL;
	struct fuse_fill fill;
	int64_t first = pos / FUSE_PAGE, end = fuse_readahead_miss(file, pos, to->count, size);
	int64_t limit = first + (int64_t)(fuse_read_limit(fuse_of(file->inode)) / FUSE_PAGE);
	ssize_t len;
	size_t skip;
	int err = fuse_cache_begin_fill(cache, first, end < limit ? end : limit, &fill);

	if (err)
		return err == 1 ? 0 : err;
	len = fill_pages(ctx, file, &fill, &buf);
	if (len < 0)
		return len;
	if (!fuse_cache_lazy(cache))
		fuse_readahead_pages(ctx, file, fill.end, end);
	fuse_readahead_hit(ctx, file, pos, want);
	skip = (size_t)(pos % FUSE_PAGE);
	size = inode_size(file->inode); /* a short answer has lowered it */
	if (pos >= size)
		return 0;
	if ((int64_t)want > size - pos)
		want = (size_t)(size - pos);
	if (want > (size_t)len - skip)
		want = (size_t)len - skip;
	if (iter_to(to, buf + skip, want) != want)
		return -EFAULT;
	return (ssize_t)want;
}

static ssize_t cached_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			   int64_t *pos)
{
	struct fuse_file *ff = file->private;
	struct inode *inode = file->inode;
	ssize_t done = 0, n = 0;
	int64_t size;

	while (to->count > 0) {
		size_t want = to->count;

		size = inode_size(inode);
		if (*pos >= size)
			break;
		if ((int64_t)want > size - *pos)
			want = (size_t)(size - *pos);
		fuse_readahead_hit(ctx, file, *pos, want);
		n = fuse_cache_read(&fuse_i(inode)->cache, to, *pos, want);
		if (n == 0)
			n = read_missing(ctx, file, to, *pos, want, size);
		if (n < 0)
			break;
		*pos += n;
		done += n;
	}
	if (done > 0)
		fuse_readahead_passed(ff, *pos);
	return done > 0 ? done : n < 0 ? n : 0;
}

/* F84, F85 */
static ssize_t direct_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			   int64_t *pos)
{
	size_t limit = fuse_read_limit(fuse_of(file->inode));
	size_t size = to->count < limit ? to->count : limit;
	cleanup_iobuf char *buf = iobuf_alloc(size);
	ssize_t done = 0, n = 0;

	if (!buf)
		return -ENOMEM;
	while (to->count > 0) {
		size_t want = to->count < size ? to->count : size;

		n = fuse_read_request(ctx, file, buf, want, *pos, true);
		if (n <= 0)
			break;
		if (iter_to(to, buf, (size_t)n) != (size_t)n) {
			n = -EFAULT;
			break;
		}
		*pos += n;
		done += n;
		if ((size_t)n < want)
			break;
	}
	fuse_accessed(file->inode);
	return done > 0 ? done : n;
}

static bool in_parallel(const struct file *file, size_t len, size_t limit)
{
	return len > limit && fuse_conn_has(fuse_conn_of(file->inode), FUSE_ASYNC_DIO);
}

/* F85. With ASYNC_DIO no request is wholly behind the end of the file. */
static ssize_t o_direct_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			     int64_t *pos)
{
	struct fuse_super *fs = fuse_of(file->inode);
	int64_t room = inode_size(file->inode) - *pos, most = fs->conn->max_pages * (int64_t)FUSE_PAGE;
	size_t asked = to->count;
	ssize_t n;

	if (room <= 0)
		return 0;
	if (!in_parallel(file, asked, fuse_read_limit(fs)))
		return direct_read(ctx, file, to, pos);
	if (room < (int64_t)asked) /* cf. fuse_round_up() */
		iter_truncate(to, (size_t)((room + most - 1) / most * most));
	n = to->count > fuse_read_limit(fs) ? fuse_direct_read(ctx, file, to, pos)
					    : direct_read(ctx, file, to, pos);
	to->count = asked - (n > 0 ? (size_t)n : 0);
	return n;
}

/* By way of the cache, or with O_DIRECT past it. */
static ssize_t read_known(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			  int64_t *pos)
{
	struct inode *inode = file->inode;
	ssize_t err = 0;

	if (fuse_conn_has(fuse_conn_of(inode), FUSE_AUTO_INVAL_DATA) ||
	    (int64_t)to->count > inode_size(inode) - *pos) /* F80 */
		err = fuse_update_attributes(ctx, inode, file->private, STATX_SIZE);
	if (err < 0 || to->count == 0)
		return err;
	if (!(atomic_load(&file->flags) & O_DIRECT))
		return cached_read(ctx, file, to, pos);
	err = fuse_write_size(ctx, inode); /* F84 */
	return err < 0 ? err : o_direct_read(ctx, file, to, pos);
}

ssize_t fuse_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
		       int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;
	int64_t stream_pos = 0;

	(void)rwf;
	if (fuse_is_bad(file->inode))
		return -EIO;
	if (!pos)
		pos = &stream_pos;
	if (fuse_is_passthrough(ff))
		return to->count > 0 ? fuse_passthrough_read(ctx, file, to, pos, rwf) : 0;
	if (ff->open_flags & FOPEN_DIRECT_IO) {
		ssize_t err = to->count > 0 ? fuse_write_size(ctx, file->inode) : 0; /* F84 */

		return err < 0 ? err : direct_read(ctx, file, to, pos);
	}
	return read_known(ctx, file, to, pos);
}

/* As Linux: what is cached is believed. */
ssize_t fuse_splice_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;

	if (fuse_is_bad(file->inode) || fuse_is_passthrough(ff) ||
	    (ff->open_flags & FOPEN_DIRECT_IO) || (atomic_load(&file->flags) & O_DIRECT))
		return fuse_read_iter(ctx, file, to, pos, rwf);
	return cached_read(ctx, file, to, pos);
}

/* --- WRITE -------------------------------------------------------------------------------- */

void fuse_write_args(const struct op_ctx *ctx, struct file *file, struct fuse_args *args,
		     struct fuse_write_in *in, struct fuse_write_out *out, const void *buf,
		     size_t len, int64_t pos, int rwf, bool direct)
{
	struct fuse_file *ff = file->private;

	*in = (struct fuse_write_in){.fh = ff->fh, .offset = (uint64_t)pos, .size = (uint32_t)len};
	in->flags = fuse_wire_flags(file);
	if (rwf & RWF_DSYNC)
		in->flags |= WIRE_DSYNC;
	if (rwf & RWF_SYNC)
		in->flags |= WIRE_SYNC;
	if (direct) {
		in->write_flags = FUSE_WRITE_LOCKOWNER;
		in->lock_owner = fuse_lock_owner(fuse_of(ff->inode), ctx->files);
		if (ctx->cred && !ctx_capable(ctx, CAP_FSETID))
			in->write_flags |= FUSE_WRITE_KILL_SUIDGID; /* 6.15 */
	} else if (fuse_daemon_kills(ctx, fuse_of(ff->inode))) {
		in->write_flags |= FUSE_WRITE_KILL_SUIDGID;
	}
	fuse_args_init(args, FUSE_WRITE, ff->inode);
	fuse_args_pin_file(args, ff, &in->fh);
	fuse_args_in(args, in, sizeof(*in));
	fuse_args_in(args, buf, len);
	fuse_args_out(args, out, sizeof(*out));
}

static ssize_t write_request(const struct op_ctx *ctx, struct file *file, const void *buf,
			     size_t len, int64_t pos, int rwf, bool direct)
{
	struct fuse_write_in in;
	struct fuse_write_out out = {0};
	struct fuse_args args;
	ssize_t err;

	fuse_write_args(ctx, file, &args, &in, &out, buf, len, pos, rwf, direct);
	err = fuse_send(ctx, file->inode, &args);
	if (err < 0)
		return err;
	return out.size > len ? -EIO : (ssize_t)out.size; /* F87 */
}

void fuse_size_written(struct inode *inode, int64_t end, bool dates)
{
	fuse_bump_version(inode);
	fb_mutex_lock(&inode->attr_lock);
	if (end > inode->size)
		inode->size = end;
	fb_mutex_unlock(&inode->attr_lock);
	if (dates)
		fuse_stale(inode, FUSE_STALE_MODSIZE);
	else
		fuse_stale_undated(inode, FUSE_STALE_MODSIZE);
}

/* The daemon has taken these bytes. */
static void written(struct file *file, const char *buf, size_t len, int64_t pos, bool direct)
{
	struct fuse_file *ff = file->private;
	struct inode *inode = file->inode;
	struct fuse_cache *cache = &fuse_i(inode)->cache;
	int64_t end = pos + (int64_t)len, old_size = inode_size(inode);

	fuse_cache_grow(cache, old_size, end);
	if (direct && !fuse_cache_tracked(cache))
		fuse_cache_invalidate(cache, pos, end);
	else
		fuse_cache_write(cache, buf, len, pos, old_size);
	fuse_size_written(inode, end, !(ff->open_flags & FOPEN_DIRECT_IO));
}

/* Bytes of the next WRITE at pos: whole pages but for the first and last one. */
static size_t write_chunk(const struct fuse_super *fs, int64_t pos, size_t left, bool direct)
{
	size_t in_page = (size_t)(pos % FUSE_PAGE);
	size_t limit = fuse_write_limit(fs);

	if (!direct) {
		if (!fuse_conn_has(fs->conn, FUSE_BIG_WRITES))
			limit = FUSE_PAGE - in_page;
		else if (limit > (size_t)fs->conn->max_pages * FUSE_PAGE - in_page)
			limit = (size_t)fs->conn->max_pages * FUSE_PAGE - in_page;
	}
	return left < limit ? left : limit;
}

/* One WRITE. The daemon's file and the cache are written before a page that a mapping changed is. */
static ssize_t write_some(const struct op_ctx *ctx, struct file *file, const char *buf, size_t len,
			  int64_t pos, int rwf, bool direct)
{
	struct inode *inode = file->inode;
	ssize_t n;

	if (!direct && fuse_hold_writes(inode))
		return -EINTR;
	n = write_request(ctx, file, buf, len, pos, rwf, direct);
	if (n > 0)
		written(file, buf, (size_t)n, pos, direct);
	if (!direct)
		fuse_resume_writes(inode);
	return n == 0 && !direct ? -EIO : n;
}

/* F84, F86: the same loop for both; they differ in the cache and in a WRITE that takes nothing. */
static ssize_t write_loop(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf, bool direct)
{
	struct inode *inode = file->inode;
	struct fuse_super *fs = fuse_of(inode);
	size_t size = fuse_write_limit(fs);
	cleanup_iobuf char *buf = NULL;
	ssize_t done = 0, n = 0;

	if (from->count < size)
		size = from->count;
	buf = iobuf_alloc(size);
	if (!buf)
		return -ENOMEM;
	while (from->count > 0) {
		size_t want =
			write_chunk(fs, *pos, from->count < size ? from->count : size, direct);
		size_t got = iter_from(from, buf, want);

		if (got == 0) {
			n = -EFAULT;
			break;
		}
		n = write_some(ctx, file, buf, got, *pos, rwf, direct);
		if (n <= 0)
			break;
		*pos += n;
		done += n;
		if ((size_t)n < got || got < want)
			break;
	}
	return done > 0 ? done : n;
}

/* F89, 6.15: what a write by somebody else than root takes away from the file. */
int fuse_remove_privs(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_inode *fi = fuse_i(file->inode);
	int err;

	if (atomic_load(&fi->nosec))
		return 0;
	err = fuse_kill_capability(ctx, file->path.dentry);
	if (!err)
		err = fuse_kill_suid(ctx, file->inode);
	/* F31: remembered until the attributes are taken over afresh (cf. inode_has_no_xattr()). */
	if (!err && !(inode_mode(file->inode) & (S_ISUID | S_ISGID)) &&
	    fuse_conn_has(fuse_conn_of(file->inode), FUSE_HANDLE_KILLPRIV_V2))
		atomic_store(&fi->nosec, true);
	return err;
}

/* F25: how far a WRITE came that has failed is not known. */
static void write_failed(struct inode *inode)
{
	fuse_bump_version(inode);
	fuse_stale(inode, fuse_is_writeback(inode) ? STATX_BLOCKS : FUSE_STALE_MODSIZE);
}

/* Bytes into the cache; what is missing of the first and the last page is read first. */
static int dirty(const struct op_ctx *ctx, struct file *file, const char *buf, size_t len,
		 int64_t pos)
{
	struct inode *inode = file->inode;
	struct fuse_cache *cache = &fuse_i(inode)->cache;
	int64_t size = inode_size(inode), end = pos + (int64_t)len, missing;
	int err = -EAGAIN;

	/* Again when it was invalidated since it was read. */
	for (int tries = 0; err == -EAGAIN && tries < MAX_TRIES; tries++) {
		while ((missing = fuse_cache_missing(cache, pos, len, size)) >= 0 &&
		       tries++ < MAX_TRIES) {
			err = fuse_fill_range(ctx, file, missing, missing + 1);
			if (err)
				return err;
		}
		fuse_cache_grow(cache, size, end);
		err = fuse_cache_dirty(cache, buf, len, pos, size);
	}
	if (err)
		return err == -EAGAIN ? -EIO : err;
	fb_mutex_lock(&inode->attr_lock);
	if (end > inode->size)
		inode->size = end;
	fb_mutex_unlock(&inode->attr_lock);
	return 0;
}

/* F90: the daemon gets it later. */
static ssize_t write_back(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos)
{
	struct inode *inode = file->inode;
	size_t size = from->count < COPY_BYTES ? from->count : COPY_BYTES;
	cleanup_iobuf char *buf = iobuf_alloc(size);
	ssize_t done = 0, n = buf ? 0 : -ENOMEM;

	while (n >= 0 && from->count > 0) {
		struct iter_mark mark = iter_save(from);
		size_t got = iter_from(from, buf, from->count < size ? from->count : size);

		n = got ? dirty(ctx, file, buf, got, *pos) : -EFAULT;
		if (n < 0) {
			iter_restore(from, mark);
			break;
		}
		*pos += (int64_t)got;
		done += (ssize_t)got;
		n = fuse_writeback_later(ctx, inode);
	}
	if (done > 0) {
		fuse_bump_version(inode);
		fuse_stale(inode, STATX_MTIME | STATX_CTIME);
	}
	return done > 0 ? done : n;
}

/* F133, F134: what the daemon has to know it will be asked for. */
static ssize_t write_passthrough(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				 int64_t *pos, int rwf)
{
	ssize_t ret = fuse_remove_privs(ctx, file);

	if (!ret)
		ret = fuse_passthrough_write(ctx, file, from, pos, rwf);
	if (ret > 0)
		fuse_size_written(file->inode, *pos, true);
	return ret;
}

/* F85, in parallel. What is mapped has to be taken from the daemon again. */
static ssize_t o_direct_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			      int64_t *pos, int rwf)
{
	struct inode *inode = file->inode;
	int64_t start = *pos, end = start + (int64_t)from->count, old_size = inode_size(inode);
	ssize_t ret = fuse_direct_write(ctx, file, from, pos, rwf);

	if (ret > 0) {
		fuse_cache_grow(&fuse_i(inode)->cache, old_size, end);
		fuse_size_written(inode, end, true);
	}
	fuse_replaced(ctx, file, start, end);
	return ret;
}

/* F92: only a WRITE can tell the daemon to take set-id bits away. */
static bool must_write_through(const struct op_ctx *ctx, struct inode *inode)
{
	return !fuse_is_writeback(inode) ||
	       (fuse_conn_has(fuse_conn_of(inode), FUSE_HANDLE_KILLPRIV_V2) &&
		setattr_drop_suidgid(ctx, inode));
}

/* What comes before a write of these bytes; `direct`: past the cache. 0 or -errno. */
static int prepare_write(const struct op_ctx *ctx, struct file *file, int64_t pos,
			 const struct io_iter *from, bool direct)
{
	struct fuse_file *ff = file->private;
	int err = 0;

	if (!(ff->open_flags & FOPEN_DIRECT_IO))
		err = fuse_remove_privs(ctx, file);
	if (err)
		return err;
	if (direct)
		return fuse_write_pages(ctx, file->inode, pos, fuse_range_end(pos, from->count)); /* F84 */
	return fuse_cache_wait(&fuse_i(file->inode)->cache, pos, from->count);
}

static ssize_t write_locked(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			    int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;
	struct inode *inode = file->inode;
	unsigned flags = atomic_load(&file->flags);
	bool daemons = ff->open_flags & FOPEN_DIRECT_IO;
	bool direct = daemons || (flags & O_DIRECT);
	bool extends, through;
	ssize_t ret;
	int err = 0;

	if (!daemons && fuse_is_writeback(inode)) { /* F90 */
		err = fuse_update_attributes(ctx, inode, ff, STATX_MODE);
		if (err)
			return err;
	}
	through = direct || must_write_through(ctx, inode);
	if ((flags & O_APPEND) || (rwf & RWF_APPEND))
		*pos = inode_size(inode); /* F88 */
	err = prepare_write(ctx, file, *pos, from, direct);
	if (err)
		return err;
	if (!through)
		return write_back(ctx, file, from, pos);
	extends = !direct && (int64_t)from->count > inode_size(inode) - *pos; /* F23 */
	if (extends)
		fuse_size_changing(inode, 1);
	if (direct && !(ff->open_flags & FOPEN_DIRECT_IO) &&
	    in_parallel(file, from->count, fuse_write_limit(fuse_of(inode))))
		ret = o_direct_write(ctx, file, from, pos, rwf);
	else
		ret = write_loop(ctx, file, from, pos, rwf, direct);
	if (extends)
		fuse_size_changing(inode, -1);
	if (ret <= 0)
		write_failed(inode);
	return ret;
}

/* F95: only a writer that stays within the file. */
static bool may_go_beside(const struct file *file, const struct io_iter *from, int64_t pos)
{
	const struct fuse_file *ff = file->private;
	unsigned flags = atomic_load(&((struct file *)(uintptr_t)file)->flags);

	return (ff->open_flags & FOPEN_PARALLEL_DIRECT_WRITES) && !ff->backing &&
	       !(flags & O_APPEND) && (int64_t)from->count <= inode_size(file->inode) - pos;
}

/*
 * False: the file is open in a cached way, too. Who is counted must not wait for the lock or for held
 * writes: an open that waits for the count may hold these (cf. fuse_dio_lock()).
 */
static bool write_beside(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			 int64_t *pos, int rwf, ssize_t *ret_done)
{
	struct inode *inode = file->inode;
	ssize_t ret;

	inode_lock_shared(inode);
	ret = fuse_write_pages(ctx, inode, *pos, fuse_range_end(*pos, from->count)); /* F84 */
	if (!ret && !fuse_uncached_begin(inode)) {
		inode_unlock_shared(inode);
		return false;
	}
	if (!ret) {
		ret = write_loop(ctx, file, from, pos, rwf, true);
		fuse_uncached_end(inode);
	}
	if (ret <= 0)
		write_failed(inode);
	inode_unlock_shared(inode);
	*ret_done = ret;
	return true;
}

/* What comes before the count is looked at (cf. fuse_cache_write_iter()). */
static int write_nothing(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_file *ff = file->private;

	if (fuse_is_passthrough(ff) || (ff->open_flags & FOPEN_DIRECT_IO) ||
	    !fuse_is_writeback(file->inode))
		return 0;
	return fuse_update_attributes(ctx, file->inode, ff, STATX_MODE); /* F90 */
}

ssize_t fuse_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;
	struct inode *inode = file->inode;
	unsigned flags = atomic_load(&file->flags);
	int64_t stream_pos = 0;
	ssize_t ret;
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (from->count == 0)
		return write_nothing(ctx, file);
	if (!pos)
		pos = &stream_pos;
	if (may_go_beside(file, from, *pos) && write_beside(ctx, file, from, pos, rwf, &ret))
		return ret;
	if (sleep_rwlock_write_lock_killable(&inode->lock))
		return -EINTR;
	if (fuse_is_passthrough(ff))
		ret = write_passthrough(ctx, file, from, pos, rwf);
	else
		ret = write_locked(ctx, file, from, pos, rwf);
	inode_unlock(inode);
	if (ret > 0 && !(ff->open_flags & FOPEN_DIRECT_IO) &&
	    ((flags & O_DSYNC) || (rwf & (RWF_DSYNC | RWF_SYNC)))) {
		bool full = (flags & O_SYNC) == O_SYNC || (rwf & RWF_SYNC);

		err = fuse_file_fsync(ctx, file, 0, INT64_MAX, !full);
		if (err)
			return err;
	}
	return ret;
}

/* --- mmap --------------------------------------------------------------------------------- */

#define SPARSE_BYTES (8LL << 20)  /* from there on it pays to ask for holes first */
#define LAZY_BYTES   (32LL << 20) /* from there on a mapping is filled as it is used */
#define LAZY_WINDOW  (4LL << 20)  /* at a time */

/* The missing pages of [pos, end) that the daemon calls a hole, if any: where the next data is. */
static int64_t skip_hole(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;
	int64_t data = fuse_seek_request(ctx, file->private, pos, SEEK_DATA);
	int64_t page = pos / FUSE_PAGE, last;
	struct fuse_fill fill;

	last = data == -ENXIO || data >= end ? fuse_pages_up(end) : data / FUSE_PAGE;
	if (page >= last)
		return pos;
	while (page < last) {
		int err = fuse_cache_begin_fill(cache, page, last, &fill);

		if (err < 0)
			return err;
		if (err == 0)
			fuse_cache_end_hole(cache, &fill);
		page = err ? page + 1 : fill.end;
	}
	return fuse_page_pos(page);
}

/* How far the daemon says that data goes; the end if it does not say. */
static int64_t data_end(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end)
{
	int64_t hole = fuse_seek_request(ctx, file->private, pos, SEEK_HOLE);

	return hole <= pos || hole > end ? end : hole;
}

/* One run of missing pages. Where it ends, or pos if nothing was filled, or -errno. */
static int64_t fill_run(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;
	int64_t limit = (int64_t)(fuse_read_limit(fuse_of(file->inode)) / FUSE_PAGE);
	int64_t first = pos / FUSE_PAGE, last = fuse_pages_up(end);
	struct fuse_fill fill;
	char *buf;
	ssize_t n = fuse_cache_begin_fill(cache, first, last < first + limit ? last : first + limit,
					  &fill);

	if (n == 1)
		return pos;
	if (n == 0)
		n = fill_pages(ctx, file, &fill, &buf);
	if (n < 0)
		return n;
	iobuf_free(buf);
	/* Invalidated meanwhile: once more. */
	return fuse_cache_valid(cache, pos, 1) ? fuse_page_pos(fill.end) : pos;
}

/*
 * From pos on, in order: what is missing below `goal`, and behind that, up to `end`, what costs
 * nothing because it is there or is a hole.
 */
static int fill(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t goal,
		int64_t end)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;
	bool sparse = end - pos >= SPARSE_BYTES;
	int64_t data = 0; /* up to where there is data, as far as we know */
	int tries = 0;

	while (pos < end && pos < inode_size(file->inode)) {
		size_t valid = fuse_cache_valid(cache, pos, (size_t)(end - pos));
		int64_t next;

		if (valid > 0) {
			pos += (int64_t)valid;
			continue;
		}
		if (sparse && pos >= data) {
			next = skip_hole(ctx, file, pos, end);
			if (next == -EINTR)
				return -EINTR;
			sparse = next >= 0; /* else it has to be read, all of it */
			if (sparse) {
				pos = next;
				data = pos < end ? data_end(ctx, file, pos, end) : end;
				continue;
			}
		}
		if (pos >= goal)
			return 0;
		next = fill_run(ctx, file, pos, sparse && data < goal ? data : goal);
		if (next < 0)
			return (int)next;
		if (next == pos && ++tries == MAX_TRIES)
			return -EIO;
		pos = next;
	}
	return 0;
}

int fuse_fill_range(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end)
{
	return fill(ctx, file, pos, end, end);
}

int fuse_fill_lazily(const struct op_ctx *ctx, struct file *file, int64_t offset)
{
	int64_t size = inode_size(file->inode), goal = offset / LAZY_WINDOW * LAZY_WINDOW;
	int64_t frontier = fuse_cache_frontier(&fuse_i(file->inode)->cache);

	goal = goal > size - LAZY_WINDOW ? size : goal + LAZY_WINDOW;
	/* mmap(2) may be run again and again until it finds nothing to wait for. */
	return frontier < goal ? fill(ctx, file, frontier, goal, size) : 0;
}

static int64_t end_of(const struct file *file, const struct mmap_request *req)
{
	int64_t size = inode_size(file->inode), end = fuse_range_end(req->offset, req->length);

	return end < size ? end : size;
}

/*
 * A large mapping is filled as it is used, from its beginning on. Not one of a program: what is run
 * is used here and there. Not with a writeback cache, which may store far behind the frontier.
 */
static void begin_lazily(struct file *file, const struct mmap_request *req)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;
	int64_t len = end_of(file, req) - req->offset;

	if (fuse_cache_lazy(cache) || len < LAZY_BYTES || req->offset > LAZY_WINDOW ||
	    (req->prot & PROT_EXEC) || (req->flags & (MAP_POPULATE | MAP_LOCKED)) || fuse_is_writeback(file->inode) ||
	    !mapped_can_fault() || fuse_cache_valid(cache, req->offset, (size_t)len) == (size_t)len)
		return;
	(void)fuse_cache_begin_lazy(cache);
}

/* Missing pages of the request's range are read now, unless they are left to the first touch. */
static int fill_request(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req)
{
	int64_t end = end_of(file, req), frontier;
	int err;

	if (!fuse_cache_lazy(&fuse_i(file->inode)->cache))
		return fuse_fill_range(ctx, file, req->offset, end);
	if (end <= req->offset)
		return 0;
	err = fuse_fill_lazily(ctx, file, req->offset);
	frontier = fuse_cache_frontier(&fuse_i(file->inode)->cache);
	if (err || frontier <= req->offset)
		return err;
	/* Nobody would notice that something before it is missing. */
	return fuse_fill_range(ctx, file, req->offset, end < frontier ? end : frontier);
}

/* The pages must still be there when the mapping gets them: an invalidation may have come between. */
static int lend_pages(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		      bool write, int *ret_hostfd)
{
	struct inode *inode = file->inode;
	int err = -EAGAIN;

	for (int tries = 0; err == -EAGAIN && tries < MAX_TRIES; tries++) {
		err = fill_request(ctx, file, req);
		if (!err)
			err = fuse_cache_hostfd(&fuse_i(inode)->cache, req->offset,
						end_of(file, req), inode_size(inode), write,
						fuse_mapping_key(file->private), ret_hostfd);
	}
	return err == -EAGAIN ? -EIO : err;
}

static int map_read_only(const struct op_ctx *ctx, struct file *file,
			 const struct mmap_request *req, int *ret_hostfd)
{
	int err = lend_pages(ctx, file, req, false, ret_hostfd);

	/* no read-only view to be had; a private one changes nothing */
	if (err == -EACCES && (req->flags & MAP_TYPE) == MAP_PRIVATE)
		err = lend_pages(ctx, file, req, true, ret_hostfd);
	return err;
}

/* The file stays open as long as it is mapped, and may have to be read. */
static int map_reading(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		       int *ret_hostfd)
{
	struct fuse_inode *fi = fuse_i(file->inode);
	int err;

	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return -EINTR;
	err = fuse_mapping_begin(file->inode, file, false);
	if (err) /* not to be watched: all at once, then */
		fuse_cache_unwatch(&fi->cache);
	if (!err || err == -EACCES)
		err = map_read_only(ctx, file, req, ret_hostfd);
	sleep_mutex_unlock(&fi->writeback_mutex);
	return err;
}

/*
 * All mappings of a file that is open for writing: the descriptor stays at the guest's number, and
 * mprotect(2) may make any shared one writable later. -EACCES: not to be had.
 */
static int map_writable(const struct op_ctx *ctx, struct file *file,
			const struct mmap_request *req, int *ret_hostfd)
{
	struct inode *inode = file->inode;
	struct fuse_inode *fi = fuse_i(inode);
	int err;

	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return -EINTR;
	err = fuse_mapping_begin(inode, file, true);
	if (!err)
		err = lend_pages(ctx, file, req, true, ret_hostfd);
	sleep_mutex_unlock(&fi->writeback_mutex);
	return err;
}

int fuse_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
	      int *ret_hostfd)
{
	struct fuse_file *ff = file->private;
	struct inode *inode = file->inode;
	bool shared = (req->flags & MAP_TYPE) != MAP_PRIVATE;
	int err;

	if (fuse_is_bad(inode))
		return -EIO;
	if (ff->backing)
		return fuse_passthrough_mmap(ctx, file, req, ret_hostfd);
	if (ff->open_flags & FOPEN_DIRECT_IO) { /* F100 */
		if (shared && !fuse_conn_has(fuse_conn_of(inode), FUSE_DIRECT_IO_ALLOW_MMAP))
			return -ENODEV;
		if (shared && fuse_cached_begin(ff)) /* F131 */
			return -ENODEV;
		fuse_cache_drop(&fuse_i(inode)->cache);
	}
	begin_lazily(file, req);
	if (file->fmode & FMODE_WRITE) {
		err = map_writable(ctx, file, req, ret_hostfd);
		if (err != -EACCES || (shared && (req->prot & PROT_WRITE)))
			return err == -EACCES ? -ENODEV : err;
	}
	return map_reading(ctx, file, req, ret_hostfd);
}

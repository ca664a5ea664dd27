/*
 * Moving bytes from file to file: copy_file_range(2), sendfile(2), splice(2). All of them go
 * through a buffer of ours; what differs is how much is read at once and what a short write means.
 *
 * What was read from a stream (a pipe, a socket, /dev/fuse) cannot be given back. So room in the
 * target is asked for first, no more is read than will fit, and should a target take less after
 * all, the rest is written as soon as it can be, even if the caller asked not to wait: bytes are
 * never lost to a full target. They are lost when the target fails (EPIPE, EIO), where Linux would
 * leave them in a source pipe.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/bounce.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/file/pipe.h"
#include "vfs/inode.h"
#include "vfs/poll.h"
#include "vfs/rw_internal.h"

/*
 * The most that one splice moves at once. A FUSE daemon expects a whole message from one splice of
 * /dev/fuse: 1 MiB of data and a header page.
 */
#define SPLICE_MAX  ((size_t)2 << 20)
#define PIPE_ATOMIC 4096 /* PIPE_BUF: room that POLLOUT promises */

/* One end of a transfer. */
struct end {
	struct file *file;
	bool stream;
	bool own_pos; /* pos is the file's own and goes back there */
	int64_t pos;
};

static void end_init(struct end *end, struct file *file, const int64_t *pos)
{
	end->file = file;
	end->stream = file->op->no_position || (file->fmode & (FMODE_STREAM | FMODE_NOSEEK));
	end->own_pos = !pos && !end->stream;
	end->pos = pos ? *pos : 0;
	if (end->own_pos) {
		sleep_mutex_lock(&file->pos_lock);
		end->pos = file->pos;
		sleep_mutex_unlock(&file->pos_lock);
	}
}

static void end_finish(struct end *end, int64_t *pos)
{
	if (pos) {
		*pos = end->pos;
	} else if (end->own_pos) {
		sleep_mutex_lock(&end->file->pos_lock);
		end->file->pos = end->pos;
		sleep_mutex_unlock(&end->file->pos_lock);
	}
}

static ssize_t end_read(const struct op_ctx *ctx, struct end *end, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	if (end->stream)
		return vfs_read(ctx, end->file, &iter);
	return vfs_splice_read(ctx, end->file, &iter, end->pos);
}

/* nowait: a pipe takes what it has room for and no more */
static ssize_t end_write(const struct op_ctx *ctx, struct end *end, void *buf, size_t len,
			 bool nowait)
{
	struct io_iter iter;
	ssize_t n;

	iter_init_mem(&iter, buf, len);
	if (end->stream && nowait && pipe_is(end->file))
		return vfs_pwrite(ctx, end->file, &iter, -1, RWF_NOWAIT);
	if (end->stream)
		return vfs_write(ctx, end->file, &iter);
	n = vfs_pwrite(ctx, end->file, &iter, end->pos, 0);
	if (n > 0)
		end->pos += n;
	return n;
}

/* Waits for `events`; 0, -EAGAIN when it should not wait, -ERESTARTSYS. */
static int wait_ready(const struct op_ctx *ctx, struct file *file, unsigned events, bool nonblock)
{
	struct poll_item item = { file, events, 0 };
	int n = vfs_poll_items(ctx, &item, 1, nonblock ? -1 : WAIT_FOREVER);

	if (n == 0)
		return -EAGAIN;
	return n == -ERESTARTNOHAND ? -ERESTARTSYS : n < 0 ? n : 0;
}

/*
 * Writes all that was read. Returns what got through; an error only when that is nothing. The
 * waits for a full nonblocking target end on a signal, as every wait must: then the rest is gone.
 */
static ssize_t write_out(const struct op_ctx *ctx, struct end *out, unsigned char *buf, size_t len,
			 bool rest_can_wait)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = end_write(ctx, out, buf + done, len - done, rest_can_wait);

		if (n > 0) {
			done += (size_t)n;
			if (rest_can_wait)
				break;
			continue;
		}
		if (n != -EAGAIN || rest_can_wait || wait_ready(ctx, out->file, POLLOUT, false))
			return done > 0 ? (ssize_t)done : n;
	}
	return (ssize_t)done;
}

/* ---- copy_file_range ---- */

/* cf. generic_copy_file_checks() */
static int copy_checks(const struct op_ctx *ctx, struct file *in, int64_t pos_in, struct file *out,
		       int64_t pos_out, size_t *len)
{
	int64_t size_in;
	int err;

	if ((in->fmode & FMODE_PATH) || (out->fmode & FMODE_PATH))
		return -EBADF;
	if (inode_is_dir(in->inode) || inode_is_dir(out->inode))
		return -EISDIR;
	if (!inode_is_reg(in->inode) || !inode_is_reg(out->inode))
		return -EINVAL;
	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE) ||
	    (atomic_load(&out->flags) & O_APPEND))
		return -EBADF;
	/* As numbers without sign; then the ends of both files; and only then (rw_verify_area()) the signs. */
	if ((uint64_t)pos_in + *len < *len || (uint64_t)pos_out + *len < *len)
		return -EOVERFLOW;
	size_in = inode_size(in->inode);
	if (pos_in >= size_in)
		*len = 0;
	else if ((uint64_t)(size_in - pos_in) < *len)
		*len = (size_t)(size_in - pos_in);
	err = pos_out < 0 ? 0 : write_limit(ctx, out, pos_out, len);
	if (!err && (pos_in < 0 || pos_out < 0))
		err = -EINVAL;
	if (err)
		return err;
	if (*len > RW_MAX)
		*len = RW_MAX;
	if (in->inode == out->inode && pos_out < pos_in + (int64_t)*len &&
	    pos_in < pos_out + (int64_t)*len)
		return -EINVAL;
	return 0;
}

static ssize_t copy_buffered(const struct op_ctx *ctx, struct end *in, struct end *out, size_t len)
{
	struct bounce bounce;
	ssize_t err = 0;
	size_t done = 0;

	if (bounce_get(&bounce, len))
		return -ENOMEM;
	while (done < len) {
		size_t want = len - done < bounce.size ? len - done : bounce.size;
		ssize_t n = end_read(ctx, in, bounce.buf, want);

		if (n > 0)
			n = write_out(ctx, out, bounce.buf, (size_t)n, true);
		if (n <= 0) {
			err = n;
			break;
		}
		in->pos += n;
		done += (size_t)n;
		if (waiter_pending(waiter_self(), WAIT_KILLABLE))
			break;
	}
	bounce_put(&bounce);
	return done > 0 ? (ssize_t)done : err;
}

ssize_t vfs_copy_file_range(const struct op_ctx *ctx, struct file *in, int64_t *pos_in,
			    struct file *out, int64_t *pos_out, size_t len, unsigned flags)
{
	struct end from, to;
	ssize_t ret;
	int err;

	if (flags)
		return -EINVAL;
	end_init(&from, in, pos_in);
	end_init(&to, out, pos_out);
	err = copy_checks(ctx, in, from.pos, out, to.pos, &len);
	if (err || len == 0)
		return err;
	ret = -EOPNOTSUPP;
	if (out->op->copy_file_range && out->op->copy_file_range == in->op->copy_file_range) {
		ret = out->op->copy_file_range(ctx, in, from.pos, out, to.pos, len, flags);
		if (ret > 0) {
			from.pos += ret;
			to.pos += ret;
		}
	}
	if (ret == -EOPNOTSUPP || ret == -EXDEV)
		ret = copy_buffered(ctx, &from, &to, len);
	if (ret > 0) {
		end_finish(&from, pos_in);
		end_finish(&to, pos_out);
	}
	return ret;
}

/* ---- splice and sendfile ---- */

static int splice_checks(struct file *in, struct file *out)
{
	if ((in->fmode & FMODE_PATH) || (out->fmode & FMODE_PATH))
		return -EBADF;
	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE))
		return -EBADF;
	if (!in->op->read_iter || !out->op->write_iter)
		return -EINVAL;
	if (atomic_load(&out->flags) & O_APPEND)
		return -EINVAL;
	/* Both ends of one pipe, splice(2). */
	if (pipe_is(in) && pipe_is(out) && in->inode->pipe == out->inode->pipe)
		return -EINVAL;
	return 0;
}

/*
 * How much to read so that `out` takes it all. A source with a position is not asked: what is left
 * over is read again. A pipe, and a socket that does not want to wait, promise PIPE_BUF when they
 * are writable. A device (/dev/fuse) gives whole messages only and needs the whole pipe; daemons
 * keep that pipe empty.
 */
static size_t room_in(const struct end *in, const struct end *out, size_t len, bool nonblock)
{
	size_t room = SPLICE_MAX;

	if (in->stream && pipe_is(out->file))
		room = S_ISCHR(in->file->inode->mode) ? (size_t)pipe_size(out->file) : PIPE_ATOMIC;
	else if (in->stream && nonblock && S_ISSOCK(out->file->inode->mode))
		room = PIPE_ATOMIC;
	return len < room ? len : room;
}

/* One read and its write. 0 = end of the source. */
static ssize_t splice_step(const struct op_ctx *ctx, struct end *in, struct end *out,
			   unsigned char *buf, size_t len, bool nonblock)
{
	ssize_t n;
	int err;

	if (out->stream) {
		bool nowait = nonblock || file_nonblock(out->file);

		err = wait_ready(ctx, out->file, POLLOUT, nowait);
		if (err)
			return err;
		len = room_in(in, out, len, nowait);
	}
	if (in->stream && nonblock) {
		err = wait_ready(ctx, in->file, POLLIN, true);
		if (err)
			return err;
	}
	n = end_read(ctx, in, buf, len);
	if (n <= 0)
		return n;
	n = write_out(ctx, out, buf, (size_t)n, !in->stream);
	if (n > 0 && !in->stream)
		in->pos += n;
	return n;
}

/*
 * splice(2) moves what one step gives; sendfile(2), where neither end is a pipe or the source is a
 * regular file and the target is no pipe, goes on to the end of `len`.
 */
ssize_t vfs_splice(const struct op_ctx *ctx, struct file *in, int64_t *pos_in, struct file *out,
		   int64_t *pos_out, size_t len, unsigned flags)
{
	bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0, pipes = pipe_is(in) || pipe_is(out);
	struct end from, to;
	unsigned char *buf;
	size_t done = 0, size;
	ssize_t n = 0;
	int err = splice_checks(in, out);

	if (err || len == 0)
		return err;
	end_init(&from, in, pos_in);
	end_init(&to, out, pos_out);
	if ((from.stream && pos_in) || (to.stream && pos_out))
		return -ESPIPE;
	if (out->op->splice_whole && pipe_is(in) && pipe_bytes(in) < len)
		return -EINVAL; /* nothing is taken */
	if (len > RW_MAX)
		len = RW_MAX;
	size = pipes ? SPLICE_MAX : BOUNCE_MAX;
	if (len < size)
		size = len;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	while (done < len) {
		/* Once something has moved, a splice does not wait for more. */
		n = splice_step(ctx, &from, &to, buf, len - done < size ? len - done : size,
				nonblock || (pipes && done > 0));
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((pipes && from.stream) || waiter_pending(waiter_self(), WAIT_INTERRUPTIBLE))
			break;
	}
	free(buf);
	if (done == 0)
		return n;
	end_finish(&from, pos_in);
	end_finish(&to, pos_out);
	return (ssize_t)done;
}

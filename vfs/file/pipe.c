/*
 * Pipes and FIFOs. One lock per pipe; readers and writers sleep on a queue each, exclusively, so
 * that one write wakes one reader (cf. fs/pipe.c).
 *
 * Who must be woken, so that a wake-up is rare on the fast path:
 *   - readers, when the pipe was empty before a write, or somebody polls it (edge-triggered epoll
 *     wants to hear of every write);
 *   - writers, when the room passes PIPE_BUF, which is also where POLLOUT begins;
 *   - the next sleeper of one's own kind, by one that has slept itself (an exclusive wake-up came
 *     to it alone) and leaves something to do.
 */
#include "vfs/file/pipe.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/ops.h"
#include "vfs/perm.h"
#include "vfs/poll.h"

#define PIPE_PAGE	     4096u
#define PIPE_DEFAULT_SIZE    65536u
#define PIPE_MAX_SIZE	     (1u << 20) /* /proc/sys/fs/pipe-max-size; more with CAP_SYS_RESOURCE */
#define PIPE_ABSOLUTE_MAX    (1u << 24) /* nobody gets more */
#define PIPE_KEEP	     16384u	/* a larger ring is freed when the pipe runs empty */
#define PIPE_SPLICE_NONBLOCK 2u		/* SPLICE_F_NONBLOCK */

#define POLL_READABLE (POLLIN | POLLRDNORM)
#define POLL_WRITABLE (POLLOUT | POLLWRNORM)

/* The end of a message written with O_DIRECT, counted in bytes since the pipe was made. */
struct packet {
	struct list_node node;
	uint64_t end;
};

struct pipe {
	struct fb_mutex lock; /* RANK_PIPE: guards all below unless said otherwise */
	struct waitq readers, writers;
	unsigned nr_readers, nr_writers;
	unsigned r_counter, w_counter; /* opens ever: what the other side's open waits for */
	unsigned char *ring;	       /* `alloc` bytes, a power of two or NULL; owned */
	size_t alloc, head, len;       /* bytes; head: index of the oldest byte */
	size_t capacity;	       /* F_GETPIPE_SZ */
	uint64_t taken;		       /* bytes ever taken out, for packet.end */
	struct list_node packets;
	size_t nr_packets;
	bool polled;	/* somebody polls: wake readers on every write */
	bool anon;	/* pipe(2), not a FIFO: open does not wait; constant */
	unsigned files; /* open files; guarded by inode->attr_lock */
};

static struct pipe *pipe_new(bool anon)
{
	struct pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return NULL;
	fb_mutex_init(&pipe->lock, RANK_PIPE);
	waitq_init(&pipe->readers);
	waitq_init(&pipe->writers);
	list_init(&pipe->packets);
	pipe->capacity = PIPE_DEFAULT_SIZE;
	pipe->anon = anon;
	pipe->files = 1;
	return pipe;
}

static void pipe_free(struct pipe *pipe)
{
	struct packet *packet, *tmp;

	list_for_each_safe (packet, tmp, &pipe->packets, node)
		free(packet);
	free(pipe->ring);
	fb_mutex_destroy(&pipe->lock);
	free(pipe);
}

static void pipe_put(struct pipe *pipe, struct inode *inode)
{
	bool last;

	fb_mutex_lock(&inode->attr_lock);
	last = --pipe->files == 0;
	if (last)
		inode->pipe = NULL;
	fb_mutex_unlock(&inode->attr_lock);
	if (last)
		pipe_free(pipe);
}

/* ---- the ring; the pipe's lock is held ---- */

static size_t pipe_room(const struct pipe *pipe)
{
	/* Each packet takes a page slot, as in Linux: tiny packets must not cost without limit. */
	if (pipe->nr_packets >= pipe->capacity / PIPE_PAGE)
		return 0;
	return pipe->capacity - pipe->len;
}

static bool pipe_writable(const struct pipe *pipe)
{
	return pipe_room(pipe) >= PIPE_BUF;
}

static int ring_reserve(struct pipe *pipe, size_t extra)
{
	size_t alloc = pipe->alloc ? pipe->alloc : PIPE_PAGE, first;
	unsigned char *ring;

	while (alloc < pipe->len + extra)
		alloc *= 2;
	if (alloc == pipe->alloc)
		return 0;
	ring = malloc(alloc);
	if (!ring)
		return -ENOMEM;
	if (pipe->len) {
		first = pipe->alloc - pipe->head;
		if (first > pipe->len)
			first = pipe->len;
		memcpy(ring, pipe->ring + pipe->head, first);
		memcpy(ring + first, pipe->ring, pipe->len - first);
	}
	free(pipe->ring);
	pipe->ring = ring;
	pipe->alloc = alloc;
	pipe->head = 0;
	return 0;
}

/* The `len` bytes that start `skip` bytes after the head (or free space behind the data). */
static size_t ring_segs(const struct pipe *pipe, size_t skip, size_t len, struct iovec segs[2])
{
	size_t at = (pipe->head + skip) & (pipe->alloc - 1), first = pipe->alloc - at;

	if (first > len)
		first = len;
	segs[0] = (struct iovec){pipe->ring + at, first};
	segs[1] = (struct iovec){pipe->ring, len - first};
	return first < len ? 2 : 1;
}

/*
 * Moves `len` bytes (they fit) from the iterator into the ring. `whole`: all or nothing. Returns
 * bytes, -EFAULT, -ENOMEM.
 */
static ssize_t ring_push(struct pipe *pipe, struct io_iter *from, size_t len, bool whole)
{
	struct iovec segs[2];
	size_t nr, got;
	int err;

	err = ring_reserve(pipe, len);
	if (err)
		return err;
	nr = ring_segs(pipe, pipe->len, len, segs);
	got = iter_from(from, segs[0].iov_base, segs[0].iov_len);
	if (nr == 2 && got == segs[0].iov_len)
		got += iter_from(from, segs[1].iov_base, segs[1].iov_len);
	if (got == 0 || (whole && got < len))
		return -EFAULT;
	pipe->len += got;
	return (ssize_t)got;
}

static void ring_drop(struct pipe *pipe, size_t len)
{
	pipe->taken += len;
	pipe->len -= len;
	pipe->head = (pipe->head + len) & (pipe->alloc - 1);
	if (pipe->len)
		return;
	pipe->head = 0;
	if (pipe->alloc > PIPE_KEEP) {
		free(pipe->ring);
		pipe->ring = NULL;
		pipe->alloc = 0;
	}
}

/* Moves up to one message, or what there is, into the iterator. Bytes or -EFAULT. */
static ssize_t ring_pop(struct pipe *pipe, struct io_iter *to)
{
	struct packet *packet = NULL;
	struct iovec segs[2];
	size_t avail = pipe->len, len, nr, got;

	if (!list_empty(&pipe->packets)) {
		packet = list_first(&pipe->packets, struct packet, node);
		avail = (size_t)(packet->end - pipe->taken);
	}
	len = avail < to->count ? avail : to->count;
	nr = ring_segs(pipe, 0, len, segs);
	got = iter_to(to, segs[0].iov_base, segs[0].iov_len);
	if (nr == 2 && got == segs[0].iov_len)
		got += iter_to(to, segs[1].iov_base, segs[1].iov_len);
	if (got == 0)
		return -EFAULT;
	if (packet) {
		/* What does not fit into the reader's buffer is lost (pipe(2), O_DIRECT). */
		list_del(&packet->node);
		free(packet);
		pipe->nr_packets--;
		ring_drop(pipe, avail);
	} else {
		ring_drop(pipe, got);
	}
	return (ssize_t)got;
}

/* One O_DIRECT message of at most PIPE_BUF bytes. */
static ssize_t ring_push_packet(struct pipe *pipe, struct io_iter *from)
{
	struct packet *packet = malloc(sizeof(*packet));
	ssize_t n;

	if (!packet)
		return -ENOMEM;
	n = ring_push(pipe, from, from->count < PIPE_BUF ? from->count : PIPE_BUF, true);
	if (n < 0) {
		free(packet);
		return n;
	}
	packet->end = pipe->taken + pipe->len;
	list_add_tail(&pipe->packets, &packet->node);
	pipe->nr_packets++;
	return n;
}

/* ---- read and write ---- */

static ssize_t pipe_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos, int rwf)
{
	struct pipe *pipe = file->private;
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	bool was_writable, wake_writers = false, waited = false, wake_next;
	ssize_t ret = 0;

	(void)ctx, (void)pos;
	if (to->count == 0)
		return 0;
	fb_mutex_lock(&pipe->lock);
	while (pipe->len == 0) {
		if (pipe->nr_writers == 0)
			goto out;
		waited = !nowait;
		ret = nowait ? -EAGAIN
			     : waitq_wait_exclusive(&pipe->readers, POLLIN, &pipe->lock,
						    WAIT_INTERRUPTIBLE, WAIT_FOREVER);
		/* Woken and interrupted at once: the bytes come first, the wake-up is ours. */
		if (ret < 0 && pipe->len == 0)
			goto out;
	}
	was_writable = pipe_writable(pipe);
	ret = ring_pop(pipe, to);
	wake_writers = !was_writable && pipe_writable(pipe);
out:
	wake_next = waited && pipe->len > 0;
	fb_mutex_unlock(&pipe->lock);
	if (wake_writers)
		waitq_wake(&pipe->writers, POLL_WRITABLE);
	if (wake_next)
		waitq_wake(&pipe->readers, POLL_READABLE);
	return ret;
}

static ssize_t pipe_broken(const struct op_ctx *ctx)
{
	if (ctx->ops && ctx->ops->signal)
		ctx->ops->signal(ctx, SIGPIPE);
	return -EPIPE;
}

/*
 * Puts as much as fits. Returns bytes, 0 = must wait, -errno. Up to PIPE_BUF bytes go in one
 * piece (pipe(7)).
 */
static ssize_t pipe_fill(struct pipe *pipe, struct file *file, struct io_iter *from, bool atomic)
{
	size_t room = pipe_room(pipe), len = from->count;

	if (atomic_load_explicit(&file->flags, memory_order_relaxed) & O_DIRECT) {
		if (room < (len < PIPE_BUF ? len : PIPE_BUF))
			return 0;
		return ring_push_packet(pipe, from);
	}
	if (room < len) {
		if (atomic || room == 0)
			return 0;
		len = room;
	}
	if (!list_empty(&pipe->packets)) {
		/* Bytes behind messages: make them one of their own, or they would glue. */
		return ring_push_packet(pipe, from);
	}
	return ring_push(pipe, from, len, atomic);
}

static ssize_t pipe_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf)
{
	struct pipe *pipe = file->private;
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	bool atomic = from->count <= PIPE_BUF, broken = false, waited = false;
	bool wake_readers, wake_next;
	ssize_t done = 0, n = 0;

	(void)pos;
	if (from->count == 0)
		return 0;
	fb_mutex_lock(&pipe->lock);
	wake_readers = pipe->polled;
	for (;;) {
		broken = pipe->nr_readers == 0;
		if (broken)
			break;
		wake_readers |= pipe->len == 0;
		n = pipe_fill(pipe, file, from, atomic);
		if (n > 0)
			done += n;
		if (n < 0 || from->count == 0)
			break;
		if (n > 0)
			continue;
		if (nowait) {
			n = -EAGAIN;
			break;
		}
		if (done)
			waitq_wake(&pipe->readers, POLL_READABLE);
		waited = true;
		n = waitq_wait_exclusive(&pipe->writers, POLLOUT, &pipe->lock, WAIT_INTERRUPTIBLE,
					 WAIT_FOREVER);
		if (n < 0)
			break;
	}
	wake_next = waited && pipe_writable(pipe);
	fb_mutex_unlock(&pipe->lock);
	if (done && wake_readers)
		waitq_wake(&pipe->readers, POLL_READABLE);
	if (wake_next)
		waitq_wake(&pipe->writers, POLL_WRITABLE);
	if (done && !pipe->anon)
		inode_touch(file->inode, S_MTIME | S_CTIME);
	if (broken)
		n = pipe_broken(ctx);
	return done ? done : n;
}

static unsigned pipe_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct pipe *pipe = file->private;
	unsigned mask = 0;

	(void)ctx;
	if (file->fmode & FMODE_READ)
		poll_wait(table, file, &pipe->readers);
	if (file->fmode & FMODE_WRITE)
		poll_wait(table, file, &pipe->writers);
	fb_mutex_lock(&pipe->lock);
	if (table)
		pipe->polled = true;
	if (file->fmode & FMODE_READ) {
		if (pipe->len)
			mask |= POLL_READABLE;
		/* pos: w_counter of an open that did not wait; no hang-up before a first writer. */
		if (!pipe->nr_writers && file->pos != (int64_t)pipe->w_counter)
			mask |= POLLHUP;
	}
	if (file->fmode & FMODE_WRITE) {
		if (pipe_writable(pipe))
			mask |= POLL_WRITABLE;
		/* With both ends in one file Linux reports no POLLERR either: it is a reader. */
		if (!pipe->nr_readers)
			mask |= POLLERR;
	}
	fb_mutex_unlock(&pipe->lock);
	return mask;
}

static long pipe_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct pipe *pipe = file->private;
	int len;

	if (cmd != FIONREAD)
		return -ENOTTY;
	fb_mutex_lock(&pipe->lock);
	len = (int)pipe->len;
	fb_mutex_unlock(&pipe->lock);
	return ioctl_copy_out(ctx, arg, &len, sizeof(len));
}

/* ---- open and release ---- */

/* The pipe of a FIFO's inode, made by its first open; counts a file. */
static struct pipe *fifo_pipe_get(struct inode *inode)
{
	struct pipe *fresh = pipe_new(false), *pipe;

	fb_mutex_lock(&inode->attr_lock);
	pipe = inode->pipe;
	if (pipe) {
		pipe->files++;
	} else {
		pipe = inode->pipe = fresh;
		fresh = NULL;
	}
	fb_mutex_unlock(&inode->attr_lock);
	if (fresh)
		pipe_free(fresh);
	return pipe;
}

/* Drops one reader and/or writer; tells the sleepers of both sides. */
static void pipe_leave(struct pipe *pipe, unsigned fmode)
{
	bool gone = false;

	fb_mutex_lock(&pipe->lock);
	if (fmode & FMODE_READ)
		gone |= --pipe->nr_readers == 0;
	if (fmode & FMODE_WRITE)
		gone |= --pipe->nr_writers == 0;
	fb_mutex_unlock(&pipe->lock);
	if (!gone)
		return;
	waitq_wake_all(&pipe->readers, POLL_READABLE | POLLHUP);
	waitq_wake_all(&pipe->writers, POLL_WRITABLE | POLLERR);
}

/* Waits until somebody opens the other end (again), cf. wait_for_partner(). */
static int fifo_wait_partner(struct pipe *pipe, const unsigned *counter)
{
	unsigned seen = *counter;
	int err = 0;

	while (!err && seen == *counter)
		err = waitq_wait(&pipe->readers, 0, &pipe->lock, WAIT_INTERRUPTIBLE, WAIT_FOREVER);
	return seen == *counter ? err : 0;
}

/* Counts the opener in. The pipe's lock is held. */
static void fifo_enter(struct pipe *pipe, unsigned fmode)
{
	bool first = false;

	if (fmode & FMODE_READ) {
		pipe->r_counter++;
		first |= pipe->nr_readers++ == 0;
	}
	if (fmode & FMODE_WRITE) {
		pipe->w_counter++;
		first |= pipe->nr_writers++ == 0;
	}
	if (first)
		waitq_wake_all(&pipe->readers, 0);
}

/* The rule of fifo(7) for one who has entered: may it go on, or must it wait? Locked. */
static int fifo_meet(struct pipe *pipe, unsigned fmode, struct file *file)
{
	if (pipe->anon) /* /proc/PID/fd/N of a pipe opens at once */
		return 0;
	if (fmode == FMODE_WRITE && !pipe->nr_readers)
		return fifo_wait_partner(pipe, &pipe->r_counter);
	if (fmode != FMODE_READ || pipe->nr_writers)
		return 0;
	if (!file_nonblock(file))
		return fifo_wait_partner(pipe, &pipe->w_counter);
	file->pos = (int64_t)pipe->w_counter; /* for pipe_poll() */
	return 0;
}

static int fifo_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	unsigned fmode = file->fmode & (FMODE_READ | FMODE_WRITE);
	struct pipe *pipe = fifo_pipe_get(inode);
	int err;

	(void)ctx;
	if (!pipe)
		return -ENOMEM;
	fb_mutex_lock(&pipe->lock);
	if (fmode == FMODE_WRITE && !pipe->anon && file_nonblock(file) && !pipe->nr_readers) {
		fb_mutex_unlock(&pipe->lock);
		pipe_put(pipe, inode);
		return -ENXIO;
	}
	fifo_enter(pipe, fmode);
	file->pos = 0;
	err = fifo_meet(pipe, fmode, file);
	fb_mutex_unlock(&pipe->lock);
	if (err) {
		pipe_leave(pipe, fmode);
		pipe_put(pipe, inode);
		return err;
	}
	file->private = pipe;
	file->fmode |= FMODE_STREAM;
	return 0;
}

static void pipe_release(const struct op_ctx *ctx, struct file *file)
{
	struct pipe *pipe = file->private;

	(void)ctx;
	pipe_leave(pipe, file->fmode);
	pipe_put(pipe, file->inode);
}

/* The writing end shares the inode of the reading end: both show one "pipe:[N]". */
static int pipe_open_writer(const struct op_ctx *ctx, struct file *reader, unsigned flags,
			    struct file **ret_file)
{
	struct pipe *pipe = reader->private;
	struct inode *inode = reader->inode;
	struct file *file;
	int err;

	err = file_new(ctx, &reader->path, O_WRONLY | flags, &file);
	if (err)
		return err;
	fb_mutex_lock(&inode->attr_lock);
	inode->pipe = pipe;
	pipe->files++;
	fb_mutex_unlock(&inode->attr_lock);
	pipe->nr_writers = 1;
	pipe->w_counter = 1;
	file->op = &fifo_ops;
	file->private = pipe;
	file->fmode |= FMODE_WRITE | FMODE_STREAM | FMODE_OPENED;
	*ret_file = file;
	return 0;
}

int pipe_create(const struct op_ctx *ctx, unsigned flags, struct file *ret_files[2])
{
	struct file *reader, *writer;
	struct pipe *pipe;
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	flags &= ~(unsigned)O_CLOEXEC;
	pipe = pipe_new(true);
	if (!pipe)
		return -ENOMEM;
	pipe->nr_readers = pipe->r_counter = 1;
	err = file_new_anon(ctx, "pipe:[%lu]", S_IFIFO | 0600, &fifo_ops, pipe, O_RDONLY | flags,
			    &reader);
	if (err) {
		pipe_free(pipe);
		return err;
	}
	reader->inode->fop = &fifo_ops; /* for an open through /proc/PID/fd */
	reader->fmode |= FMODE_STREAM;
	err = pipe_open_writer(ctx, reader, flags, &writer);
	if (err) {
		file_put(reader);
		return err;
	}
	ret_files[0] = reader;
	ret_files[1] = writer;
	return 0;
}

/* ---- size, splice ---- */

bool pipe_is(const struct file *file)
{
	return file->op == &fifo_ops;
}

size_t pipe_bytes(struct file *file)
{
	struct pipe *pipe = file->private;
	size_t len;

	fb_mutex_lock(&pipe->lock);
	len = pipe->len;
	fb_mutex_unlock(&pipe->lock);
	return len;
}

uint64_t pipe_place(struct file *file)
{
	struct pipe *pipe = file->private;
	uint64_t place;

	if (!pipe->anon)
		return 0;
	fb_mutex_lock(&pipe->lock);
	place = pipe->taken + pipe->len;
	fb_mutex_unlock(&pipe->lock);
	return place;
}

void pipe_replace(struct file *file, uint64_t place, const void *buf, size_t len)
{
	struct pipe *pipe = file->private;
	struct iovec segs[2];

	fb_mutex_lock(&pipe->lock);
	if (place >= pipe->taken && place - pipe->taken + len <= pipe->len) {
		ring_segs(pipe, (size_t)(place - pipe->taken), len, segs);
		memcpy(segs[0].iov_base, buf, segs[0].iov_len);
		memcpy(segs[1].iov_base, (const char *)buf + segs[0].iov_len, segs[1].iov_len);
	}
	fb_mutex_unlock(&pipe->lock);
}

long pipe_size(struct file *file)
{
	struct pipe *pipe = file->private;
	long size;

	if (!pipe_is(file))
		return -EBADF;
	fb_mutex_lock(&pipe->lock);
	size = (long)pipe->capacity;
	fb_mutex_unlock(&pipe->lock);
	return size;
}

long pipe_set_size(const struct op_ctx *ctx, struct file *file, unsigned long size_bytes)
{
	struct pipe *pipe = file->private;
	size_t capacity = PIPE_PAGE;
	long ret;

	if (!pipe_is(file))
		return -EBADF;
	if (size_bytes > INT_MAX)
		return -EINVAL;
	if (size_bytes > PIPE_MAX_SIZE && !ctx_capable(ctx, CAP_SYS_RESOURCE))
		return -EPERM;
	if (size_bytes > PIPE_ABSOLUTE_MAX)
		return -ENOMEM;
	while (capacity < size_bytes)
		capacity *= 2;
	fb_mutex_lock(&pipe->lock);
	if (capacity < pipe->len || capacity / PIPE_PAGE < pipe->nr_packets) {
		ret = -EBUSY;
	} else {
		pipe->capacity = capacity;
		ret = (long)capacity;
	}
	fb_mutex_unlock(&pipe->lock);
	if (ret > 0)
		waitq_wake_all(&pipe->writers, POLL_WRITABLE);
	return ret;
}

/* Waits until `in` has bytes; 1 = it has, 0 = end of file, -errno. */
static int tee_wait_input(struct pipe *in, bool nowait)
{
	int ret = 1;

	fb_mutex_lock(&in->lock);
	while (in->len == 0) {
		ret = 0;
		if (in->nr_writers == 0)
			break;
		ret = nowait ? -EAGAIN
			     : waitq_wait(&in->readers, POLLIN, &in->lock, WAIT_INTERRUPTIBLE,
					  WAIT_FOREVER);
		if (ret)
			break;
		ret = 1;
	}
	fb_mutex_unlock(&in->lock);
	return ret;
}

/* Waits until `out` has room; 1 = it has, -errno (-EPIPE without the signal). */
static int tee_wait_output(struct pipe *out, bool nowait)
{
	int ret = 1;

	fb_mutex_lock(&out->lock);
	while (ret == 1) {
		if (out->nr_readers == 0)
			ret = -EPIPE;
		else if (pipe_room(out))
			break;
		else if (nowait)
			ret = -EAGAIN;
		else
			ret = waitq_wait(&out->writers, POLLOUT, &out->lock, WAIT_INTERRUPTIBLE,
					 WAIT_FOREVER);
		if (ret == 0)
			ret = 1;
	}
	fb_mutex_unlock(&out->lock);
	return ret;
}

/* Copies ring to ring; 0 = the state changed since the waits: start again. */
static ssize_t tee_copy(struct pipe *in, struct pipe *out, size_t len)
{
	struct io_iter iter;
	struct iovec segs[2];
	ssize_t n = 0;
	size_t nr;

	fb_mutex_lock_pair(&in->lock, &out->lock);
	if (len > in->len)
		len = in->len;
	if (len > pipe_room(out))
		len = pipe_room(out);
	if (len && out->nr_readers) {
		nr = ring_segs(in, 0, len, segs);
		iter_init_segs(&iter, NULL, NULL, segs, nr, len);
		n = list_empty(&out->packets) ? ring_push(out, &iter, len, true)
					      : ring_push_packet(out, &iter);
	}
	fb_mutex_unlock_pair(&in->lock, &out->lock);
	if (n > 0)
		waitq_wake(&out->readers, POLL_READABLE);
	return n;
}

ssize_t pipe_tee(const struct op_ctx *ctx, struct file *in_file, struct file *out_file, size_t len,
		 unsigned flags)
{
	struct pipe *in = in_file->private, *out = out_file->private;
	bool nowait = flags & PIPE_SPLICE_NONBLOCK;
	ssize_t n = 0;
	int ret;

	if (!pipe_is(in_file) || !pipe_is(out_file) || in == out)
		return -EINVAL;
	if (!(in_file->fmode & FMODE_READ) || !(out_file->fmode & FMODE_WRITE))
		return -EBADF;
	while (len && n == 0) {
		ret = tee_wait_input(in, nowait || file_nonblock(in_file));
		if (ret <= 0)
			return ret;
		ret = tee_wait_output(out, nowait || file_nonblock(out_file));
		if (ret == -EPIPE)
			return pipe_broken(ctx);
		if (ret < 0)
			return ret;
		n = tee_copy(in, out, len);
	}
	return n;
}

const struct file_ops fifo_ops = {
	.open = fifo_open,
	.read_iter = pipe_read,
	.write_iter = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
	.nowait = true,
	.no_position = true,
};

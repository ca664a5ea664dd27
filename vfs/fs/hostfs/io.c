/*
 * Bytes between host files and io_iters. Memory of our own is handed to the host directly; guest
 * memory goes through a bounce buffer. A read that would wait for the disk lets other fibers run.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "sentry/base/blocking.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/bounce.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"

#define IOV_BATCH 16
/* From here on a write may be throttled by the host's dirty limits for long. */
#define SLOW_WRITE_BYTES (64u << 10)

/* One preadv2; first without waiting for the disk. */
static ssize_t read_once(struct hostfs_inode *hi, int hostfd, const struct iovec *iov, int nr,
			 int64_t pos, int rwf)
{
	ssize_t n;

	if (!atomic_load_explicit(&hi->no_nowait, memory_order_relaxed)) {
		n = HOST(preadv2(hostfd, iov, nr, pos, RWF_NOWAIT));
		if (n >= 0)
			return n;
		if (n == -EOPNOTSUPP)
			atomic_store_explicit(&hi->no_nowait, true, memory_order_relaxed);
		else if (n != -EAGAIN)
			return n;
	}
	if (rwf & RWF_NOWAIT)
		return -EAGAIN;
	blocking_begin();
	n = HOST(preadv2(hostfd, iov, nr, pos, 0));
	blocking_end();
	return n;
}

/* Nothing can follow: saves the read that would return 0. Short reads are legal anyway. */
static bool at_known_end(struct hostfs_inode *hi, int64_t pos)
{
	return pos >= inode_size(&hi->inode);
}

static ssize_t read_own(struct hostfs_inode *hi, int hostfd, struct io_iter *to, int64_t pos,
			int rwf)
{
	struct iovec iov[IOV_BATCH];
	ssize_t n, done = 0;
	size_t len;
	int nr;

	while ((nr = (int)iter_own_segs(to, SIZE_MAX, iov, IOV_BATCH, &len)) > 0) {
		n = read_once(hi, hostfd, iov, nr, pos + done, rwf);
		if (n <= 0)
			return done ? done : n;
		iter_advance(to, (size_t)n);
		done += n;
		if ((size_t)n < len && at_known_end(hi, pos + done))
			break;
	}
	return done;
}

ssize_t hostfs_io_read(struct hostfs_inode *hi, int hostfd, struct io_iter *to, int64_t pos,
		       int rwf)
{
	struct bounce bounce;
	ssize_t n, done = 0;
	int err;

	if (to->count == 0)
		return 0;
	if (!to->ops)
		return read_own(hi, hostfd, to, pos, rwf);
	err = bounce_get(&bounce, to->count);
	if (err)
		return err;
	while (to->count > 0) {
		size_t copied, want = to->count < bounce.size ? to->count : bounce.size;
		struct iovec iov = {bounce.buf, want};

		n = read_once(hi, hostfd, &iov, 1, pos + done, rwf);
		if (n <= 0) {
			done = done ? done : n;
			break;
		}
		copied = iter_to(to, bounce.buf, (size_t)n);
		if (copied == 0 && done == 0)
			done = -EFAULT;
		else
			done += (ssize_t)copied;
		if (copied < (size_t)n || ((size_t)n < want && at_known_end(hi, pos + done)))
			break;
	}
	bounce_put(&bounce);
	return done;
}

static ssize_t write_once(int hostfd, const struct iovec *iov, int nr, size_t len, int64_t pos,
			  int rwf)
{
	bool slow = len >= SLOW_WRITE_BYTES || (rwf & (RWF_SYNC | RWF_DSYNC));
	ssize_t n;

	if (slow)
		blocking_begin();
	n = HOST(pwritev2(hostfd, iov, nr, pos, rwf));
	if (slow)
		blocking_end();
	return n;
}

static ssize_t write_own(int hostfd, struct io_iter *from, int64_t pos, int rwf)
{
	struct iovec iov[IOV_BATCH];
	ssize_t n, done = 0;
	size_t len;
	int nr;

	while ((nr = (int)iter_own_segs(from, SIZE_MAX, iov, IOV_BATCH, &len)) > 0) {
		n = write_once(hostfd, iov, nr, len, pos + done, rwf);
		if (n < 0)
			return done ? done : n;
		iter_advance(from, (size_t)n);
		done += n;
		if ((size_t)n < len)
			break;
	}
	return done;
}

ssize_t hostfs_io_write(int hostfd, struct io_iter *from, int64_t pos, int rwf)
{
	struct bounce bounce;
	ssize_t n, done = 0;
	int err;

	/* What the host would refuse on a descriptor that is not ours to ask. */
	rwf &= RWF_SYNC | RWF_DSYNC | RWF_APPEND;
	if (from->count == 0)
		return 0;
	if (!from->ops)
		return write_own(hostfd, from, pos, rwf);
	err = bounce_get(&bounce, from->count);
	if (err)
		return err;
	while (from->count > 0) {
		struct iter_mark mark = iter_save(from);
		size_t want = from->count < bounce.size ? from->count : bounce.size;
		size_t got = iter_from(from, bounce.buf, want);
		struct iovec iov = {bounce.buf, got};

		n = got ? write_once(hostfd, &iov, 1, got, pos + done, rwf) : -EFAULT;
		if (n < 0) {
			iter_restore(from, mark);
			done = done ? done : n;
			break;
		}
		done += n;
		if ((size_t)n < got) { /* the host took less: give the rest back */
			iter_restore(from, mark);
			iter_advance(from, (size_t)n);
		}
		if ((size_t)n < want)
			break;
	}
	bounce_put(&bounce);
	return done;
}

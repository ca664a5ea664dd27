/* eventfd(2): see eventfd.h. One queue for readers, writers and pollers (cf. fs/eventfd.c). */
#include "vfs/file/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ops.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"

struct eventfd {
	struct fb_mutex lock; /* RANK_PIPE: guards count */
	struct waitq wq;
	uint64_t count; /* UINT64_MAX only after eventfd_signal() overflowed: POLLERR */
	bool semaphore; /* constant */
};

static const struct file_ops eventfd_ops;

static ssize_t eventfd_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
				 int64_t *pos, int rwf)
{
	struct eventfd *efd = file->private;
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	uint64_t value;
	bool more;
	int err = 0;

	(void)ctx, (void)pos;
	if (to->count < sizeof(value))
		return -EINVAL;
	fb_mutex_lock(&efd->lock);
	while (efd->count == 0) {
		err = nowait ? -EAGAIN
			     : waitq_wait_exclusive(&efd->wq, POLLIN, &efd->lock,
						    WAIT_INTERRUPTIBLE, WAIT_FOREVER);
		if (err && efd->count == 0) {
			fb_mutex_unlock(&efd->lock);
			return err;
		}
	}
	value = efd->semaphore ? 1 : efd->count;
	efd->count -= value;
	more = efd->count > 0;
	fb_mutex_unlock(&efd->lock);
	waitq_wake(&efd->wq, POLLOUT);
	/* A write wakes one reader; of a semaphore it may have been meant for more. */
	if (more)
		waitq_wake(&efd->wq, POLLIN);
	return iter_to(to, &value, sizeof(value)) == sizeof(value) ? (ssize_t)sizeof(value)
								   : -EFAULT;
}

static ssize_t eventfd_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				  int64_t *pos, int rwf)
{
	struct eventfd *efd = file->private;
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	uint64_t value;
	int err = 0;

	(void)ctx, (void)pos;
	if (from->count < sizeof(value))
		return -EINVAL;
	if (iter_from(from, &value, sizeof(value)) != sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	fb_mutex_lock(&efd->lock);
	while (UINT64_MAX - efd->count <= value) {
		if (!err)
			err = nowait ? -EAGAIN
				     : waitq_wait(&efd->wq, POLLOUT, &efd->lock, WAIT_INTERRUPTIBLE,
						  WAIT_FOREVER);
		if (err && UINT64_MAX - efd->count <= value) {
			fb_mutex_unlock(&efd->lock);
			return err;
		}
	}
	efd->count += value;
	fb_mutex_unlock(&efd->lock);
	waitq_wake(&efd->wq, POLLIN);
	return sizeof(value);
}

static unsigned eventfd_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct eventfd *efd = file->private;
	unsigned mask = 0;

	(void)ctx;
	poll_wait(table, file, &efd->wq);
	fb_mutex_lock(&efd->lock);
	if (efd->count > 0)
		mask |= POLLIN;
	if (efd->count == UINT64_MAX)
		mask |= POLLERR;
	if (efd->count < UINT64_MAX - 1)
		mask |= POLLOUT;
	fb_mutex_unlock(&efd->lock);
	return mask;
}

static void eventfd_release(const struct op_ctx *ctx, struct file *file)
{
	struct eventfd *efd = file->private;

	(void)ctx;
	fb_mutex_destroy(&efd->lock);
	free(efd);
}

static void eventfd_show_fdinfo(struct file *file, struct strbuf *out)
{
	struct eventfd *efd = file->private;
	uint64_t count;

	fb_mutex_lock(&efd->lock);
	count = efd->count;
	fb_mutex_unlock(&efd->lock);
	strbuf_printf(out, "eventfd-count: %16llx\n", (unsigned long long)count);
	strbuf_printf(out, "eventfd-semaphore: %d\n", efd->semaphore);
}

int eventfd_new(const struct op_ctx *ctx, unsigned initval, unsigned flags, struct file **ret_file)
{
	struct eventfd *efd;
	int err;

	if (flags & ~(unsigned)(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC))
		return -EINVAL;
	efd = calloc(1, sizeof(*efd));
	if (!efd)
		return -ENOMEM;
	fb_mutex_init(&efd->lock, RANK_PIPE);
	waitq_init(&efd->wq);
	efd->count = initval;
	efd->semaphore = flags & EFD_SEMAPHORE;
	err = file_new_anon(ctx, "eventfd", 0600, &eventfd_ops, efd,
			    O_RDWR | (flags & EFD_NONBLOCK), ret_file);
	if (err) {
		fb_mutex_destroy(&efd->lock);
		free(efd);
	}
	return err;
}

bool eventfd_is(const struct file *file)
{
	return file->op == &eventfd_ops;
}

int eventfd_signal(struct file *file, uint64_t n)
{
	struct eventfd *efd = file->private;

	if (!eventfd_is(file))
		return -EINVAL;
	fb_mutex_lock(&efd->lock);
	efd->count = UINT64_MAX - efd->count < n ? UINT64_MAX : efd->count + n;
	fb_mutex_unlock(&efd->lock);
	waitq_wake(&efd->wq, POLLIN);
	return 0;
}

static const struct file_ops eventfd_ops = {
	.read_iter = eventfd_read_iter,
	.write_iter = eventfd_write_iter,
	.poll = eventfd_poll,
	.release = eventfd_release,
	.show_fdinfo = eventfd_show_fdinfo,
	.llseek = noop_llseek,
	.nowait = true,
	.no_position = true,
};

/*
 * timerfd_create(2): see timerfd.h.
 *
 * Every clock is turned into CLOCK_MONOTONIC when the timer is armed. As in Linux an interval
 * timer that nobody reads is not re-armed: the expirations that were missed are counted when
 * somebody reads or asks (cf. timerfd_tmrproc() and timerfd_read_iter() in fs/timerfd.c), so a
 * nanosecond interval costs nothing.
 */
#include "vfs/file/timerfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ops.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"

#define NSEC_PER_SEC 1000000000LL

struct timerfd {
	struct fb_mutex lock; /* RANK_PIPE: guards all below but timer and clockid */
	struct waitq wq;
	struct fb_timer timer;
	int64_t next_ns;     /* monotonic time of the next expiration; 0 = disarmed */
	int64_t interval_ns; /* 0 = one shot */
	uint64_t ticks;	     /* expirations not read yet */
	unsigned settime_flags;
	int clockid; /* constant */
};

static const struct file_ops timerfd_ops;

static int64_t clock_now(int clockid)
{
	struct timespec ts;

	(void)clock_gettime(clockid, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Counts what has expired up to `now` and moves next_ns past it. The lock is held. */
static void timerfd_forward(struct timerfd *tfd, int64_t now)
{
	uint64_t n;

	if (!tfd->next_ns || now < tfd->next_ns)
		return;
	if (!tfd->interval_ns) {
		tfd->ticks++;
		tfd->next_ns = 0;
		return;
	}
	n = (uint64_t)((now - tfd->next_ns) / tfd->interval_ns) + 1;
	tfd->ticks += n;
	if (__builtin_add_overflow(tfd->next_ns, (int64_t)n * tfd->interval_ns, &tfd->next_ns))
		tfd->next_ns = INT64_MAX;
}

/* The reactor's callback. */
static void timerfd_fire(struct fb_timer *timer)
{
	struct timerfd *tfd = container_of(timer, struct timerfd, timer);
	int64_t now = clock_monotonic_ns();
	bool expired;

	fb_mutex_lock(&tfd->lock);
	/* timerfd_arm() may have set a later time while this callback was on its way. */
	expired = tfd->next_ns && now >= tfd->next_ns;
	if (expired)
		timerfd_forward(tfd, now);
	fb_mutex_unlock(&tfd->lock);
	if (expired)
		waitq_wake(&tfd->wq, POLLIN);
}

/* Takes the expirations; re-arms an interval timer. The lock is held. */
static uint64_t timerfd_take(struct timerfd *tfd)
{
	uint64_t ticks;

	timerfd_forward(tfd, clock_monotonic_ns());
	ticks = tfd->ticks;
	tfd->ticks = 0;
	if (ticks && tfd->next_ns)
		fb_timer_arm(&tfd->timer, tfd->next_ns);
	return ticks;
}

static ssize_t timerfd_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			    int64_t *pos, int rwf)
{
	struct timerfd *tfd = file->private;
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	uint64_t ticks;
	int err = 0;

	(void)ctx, (void)pos;
	if (to->count < sizeof(ticks))
		return -EINVAL;
	fb_mutex_lock(&tfd->lock);
	while ((ticks = timerfd_take(tfd)) == 0 && !err)
		err = nowait ? -EAGAIN
			     : waitq_wait(&tfd->wq, POLLIN, &tfd->lock, WAIT_INTERRUPTIBLE,
					  WAIT_FOREVER);
	fb_mutex_unlock(&tfd->lock);
	if (ticks == 0)
		return err;
	return iter_to(to, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks)
								   : -EFAULT;
}

static unsigned timerfd_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct timerfd *tfd = file->private;
	unsigned mask;

	(void)ctx;
	poll_wait(table, file, &tfd->wq);
	fb_mutex_lock(&tfd->lock);
	mask = tfd->ticks ? POLLIN : 0;
	fb_mutex_unlock(&tfd->lock);
	return mask;
}

static void timerfd_release(const struct op_ctx *ctx, struct file *file)
{
	struct timerfd *tfd = file->private;

	(void)ctx;
	fb_timer_cancel(&tfd->timer);
	fb_mutex_destroy(&tfd->lock);
	free(tfd);
}

static struct timespec ns_to_timespec(int64_t ns)
{
	return (struct timespec){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
}

/* Time that is left, and the interval. The lock is held. */
static void timerfd_get_locked(struct timerfd *tfd, struct itimerspec *ret)
{
	int64_t now = clock_monotonic_ns(), left = 0;

	if (tfd->next_ns && now >= tfd->next_ns) {
		timerfd_forward(tfd, now);
		if (tfd->next_ns)
			fb_timer_arm(&tfd->timer, tfd->next_ns);
	}
	if (tfd->next_ns)
		left = tfd->next_ns > now ? tfd->next_ns - now : 1;
	ret->it_value = ns_to_timespec(left);
	ret->it_interval = ns_to_timespec(tfd->interval_ns);
}

static void timerfd_show_fdinfo(struct file *file, struct strbuf *out)
{
	struct timerfd *tfd = file->private;
	struct itimerspec value;
	unsigned long long ticks;
	unsigned flags;

	fb_mutex_lock(&tfd->lock);
	timerfd_get_locked(tfd, &value);
	ticks = tfd->ticks;
	flags = tfd->settime_flags;
	fb_mutex_unlock(&tfd->lock);
	strbuf_printf(out,
		      "clockid: %d\nticks: %llu\nsettime flags: 0%o\nit_value: (%lld, %ld)\n"
		      "it_interval: (%lld, %ld)\n",
		      tfd->clockid, ticks, flags, (long long)value.it_value.tv_sec,
		      value.it_value.tv_nsec, (long long)value.it_interval.tv_sec,
		      value.it_interval.tv_nsec);
}

int timerfd_new(const struct op_ctx *ctx, int clockid, unsigned flags, struct file **ret_file)
{
	struct timerfd *tfd;
	int err;

	if (flags & ~(unsigned)(TFD_NONBLOCK | TFD_CLOEXEC))
		return -EINVAL;
	if (clockid == CLOCK_REALTIME_ALARM || clockid == CLOCK_BOOTTIME_ALARM)
		return -EPERM;
	if (clockid != CLOCK_MONOTONIC && clockid != CLOCK_REALTIME && clockid != CLOCK_BOOTTIME)
		return -EINVAL;
	tfd = calloc(1, sizeof(*tfd));
	if (!tfd)
		return -ENOMEM;
	fb_mutex_init(&tfd->lock, RANK_PIPE);
	waitq_init(&tfd->wq);
	fb_timer_init(&tfd->timer, timerfd_fire);
	tfd->clockid = clockid;
	err = file_new_anon(ctx, "timerfd", 0600, &timerfd_ops, tfd,
			    O_RDWR | (flags & TFD_NONBLOCK), ret_file);
	if (err) {
		fb_mutex_destroy(&tfd->lock);
		free(tfd);
	}
	return err;
}

/* 0 and *ret_ns, saturated as Linux does (KTIME_MAX); -EINVAL. */
static int timespec_to_ns(const struct timespec *ts, int64_t *ret_ns)
{
	if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= NSEC_PER_SEC)
		return -EINVAL;
	if (ts->tv_sec >= INT64_MAX / NSEC_PER_SEC)
		*ret_ns = INT64_MAX;
	else
		*ret_ns = ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec;
	return 0;
}

/* The monotonic time of the first expiration; at least 1, as 0 means disarmed. */
static int64_t first_expiry(const struct timerfd *tfd, unsigned flags, int64_t value_ns)
{
	int64_t now = clock_monotonic_ns(), at;

	if (flags & TFD_TIMER_ABSTIME) {
		if (tfd->clockid == CLOCK_MONOTONIC)
			return value_ns;
		value_ns -= clock_now(tfd->clockid);
	}
	if (__builtin_add_overflow(now, value_ns, &at))
		return INT64_MAX;
	return at > 0 ? at : 1;
}

int timerfd_arm(struct file *file, unsigned flags, const struct itimerspec *value,
		struct itimerspec *ret_old)
{
	struct timerfd *tfd = file->private;
	int64_t value_ns, interval_ns;

	if (file->op != &timerfd_ops)
		return -EINVAL;
	if (flags & ~(unsigned)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	if (timespec_to_ns(&value->it_value, &value_ns) ||
	    timespec_to_ns(&value->it_interval, &interval_ns))
		return -EINVAL;
	/* Outside the lock, which the callback takes. */
	fb_timer_cancel(&tfd->timer);
	fb_mutex_lock(&tfd->lock);
	if (ret_old)
		timerfd_get_locked(tfd, ret_old);
	tfd->ticks = 0;
	tfd->settime_flags = flags;
	tfd->interval_ns = interval_ns;
	tfd->next_ns = value_ns ? first_expiry(tfd, flags, value_ns) : 0;
	if (tfd->next_ns)
		fb_timer_arm(&tfd->timer, tfd->next_ns);
	fb_mutex_unlock(&tfd->lock);
	/* timerfd_get_locked() may have armed the old time: cancelling again would race with the
	 * line above, and timerfd_fire() ignores what comes too early. */
	return 0;
}

int timerfd_setting(struct file *file, struct itimerspec *ret_value)
{
	struct timerfd *tfd = file->private;

	if (file->op != &timerfd_ops)
		return -EINVAL;
	fb_mutex_lock(&tfd->lock);
	timerfd_get_locked(tfd, ret_value);
	fb_mutex_unlock(&tfd->lock);
	return 0;
}

static const struct file_ops timerfd_ops = {
	.read_iter = timerfd_read,
	.poll = timerfd_poll,
	.release = timerfd_release,
	.show_fdinfo = timerfd_show_fdinfo,
	.llseek = noop_llseek,
	.nowait = true,
	.no_position = true,
};

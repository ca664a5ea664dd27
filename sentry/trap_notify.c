/*
 * The seccomp user notification backend (seccomp_unotify(2)).
 *
 * The listener is used with SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: from RECV on, nothing but
 * SIGKILL disturbs the waiting task, so SEND succeeds exactly when the answer was delivered. The
 * wake-up is synchronous: guest and sentry take turns on one core.
 */
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/lane/lane.h"
#include "sentry/sched/sched.h"
#include "sentry/selftest.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

static int listener = -1;

static int notify_start(int listener_hostfd)
{
	listener = listener_hostfd;
	/* Slower without (Linux < 6.6), but right. */
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP))
		fb_log(LOG_INFO, "the host has no synchronous wake-up: calls cost more");
	return 0;
}

/* The leader's RECV ends by itself, with the last guest; the descriptor goes with the process. */
static void notify_stop(void)
{
}

static int notify_send(uint64_t id, int64_t result, uint32_t flags)
{
	struct seccomp_notif_resp resp = { .id = id, .flags = flags };

	if (result < 0 && result >= -4095)
		resp.error = (int)result;
	else
		resp.val = result;
	return (int)HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp));
}

/* Ordered by the call itself: it is answered before the next one of the task can come. */
static uint64_t cookie_of(struct task *task)
{
	return atomic_load_explicit(&task->call.cookie, memory_order_relaxed);
}

static int notify_reply(struct task *task, int64_t result)
{
	return notify_send(cookie_of(task), result, 0);
}

static int notify_reply_native(struct task *task)
{
	return notify_send(cookie_of(task), 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* INTERRUPT first: the raw restart code must meet a task that is certain to stop. */
static int notify_move_to_stop(struct task *task)
{
	long err = HOST(ptrace(PTRACE_INTERRUPT, task->tid, 0, 0));

	if (err)
		return (int)err;
	return notify_send(cookie_of(task), -ERESTARTNOINTR, 0);
}

static int notify_plant_fd(struct task *task, int hostfd, int fd)
{
	struct seccomp_notif_addfd add = {
		.id = cookie_of(task),
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)hostfd,
		.newfd = (uint32_t)fd,
		.newfd_flags = 02000000, /* O_CLOEXEC */
	};
	long n = HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add));

	return n < 0 ? (int)n : 0;
}

static bool notify_receive(void)
{
	struct seccomp_notif notif;
	struct call_entry entry;
	struct task *task;
	long err;

	memset(&notif, 0, sizeof(notif));
	if (!sched_receive_begin())
		return true;
	err = HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif));
	sched_receive_end();
	if (err == -EINTR)
		return true;
	if (err == -ENOENT) /* interrupted before we had it; or for ever: no guest is left */
		return !tracer_all_gone();
	if (err)
		return false;
	task = task_get_by_tid((pid_t)notif.pid);
	if (!task) {
		fb_log(LOG_WARN, "system call %d of unknown task %d", notif.data.nr,
		       (int)notif.pid);
		(void)notify_send(notif.id, -ENOSYS, 0);
		return true;
	}
	lane_take_all();
	entry.nr = notif.data.nr;
	memcpy(entry.args, notif.data.args, sizeof(entry.args));
	entry.ip_gva = notif.data.instruction_pointer;
	entry.cookie = notif.id;
	call_begin(task, &entry);
	task_put(task);
	return true;
}

static bool notify_pending(void)
{
	struct pollfd pollfd = { .fd = listener, .events = POLLIN };

	return poll(&pollfd, 1, 0) > 0;
}

static int notify_probe(const char **ret_reason)
{
	return selftest_notify(ret_reason);
}

const struct trap_backend trap_notify = {
	.name = "notify",
	.probe = notify_probe,
	.filter_flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
	.wants_listener = true,
	.start = notify_start,
	.stop = notify_stop,
	.receive = notify_receive,
	.pending = notify_pending,
	.reply = notify_reply,
	.reply_native = notify_reply_native,
	.move_to_stop = notify_move_to_stop,
	.plant_fd = notify_plant_fd,
};

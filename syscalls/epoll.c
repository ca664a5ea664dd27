/* epoll(7): the instance is vfs/file/epoll.h's, here are its calls. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "sentry/base/err.h"
#include "sentry/call.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/poll.h"
#include "vfs/file.h"
#include "vfs/file/epoll.h"

#define EVENTS_STACK 32
#define EVENTS_MAX   4096 /* per call; what does not fit stays ready */

static int64_t create_common(struct task *task, unsigned flags)
{
	struct file *file;
	int err;

	if (flags & ~(unsigned)EPOLL_CLOEXEC)
		return -EINVAL;
	err = epoll_new(task_ctx(task), flags, &file);
	return err ? err : task_install(task, file, flags & EPOLL_CLOEXEC);
}

int64_t sys_epoll_create(struct task *task, const uint64_t *args)
{
	return (int)args[0] <= 0 ? -EINVAL : create_common(task, 0);
}

int64_t sys_epoll_create1(struct task *task, const uint64_t *args)
{
	return create_common(task, (unsigned)args[0]);
}

int64_t sys_epoll_ctl(struct task *task, const uint64_t *args)
{
	int op = (int)args[1], fd = (int)args[2];
	struct epoll_event event;
	struct file *epfile, *file;
	int64_t result;

	if (op != EPOLL_CTL_DEL && copy_from_guest(task, &event, args[3], sizeof(event)))
		return -EFAULT;
	epfile = task_file(task, (int)args[0]);
	file = task_file(task, fd);
	if (!epfile || !file)
		result = -EBADF;
	else if (!epoll_is(epfile))
		result = -EINVAL;
	else
		result = epoll_control(task_ctx(task), epfile, op, file, fd,
				       op == EPOLL_CTL_DEL ? NULL : &event);
	file_put(epfile);
	file_put(file);
	return result;
}

static int64_t collect(struct task *task, struct file *epfile, gva_t events_gva, int max,
		       int64_t deadline_ns)
{
	struct epoll_event few[EVENTS_STACK], *events = few;
	int64_t n;

	if (max > EVENTS_MAX)
		max = EVENTS_MAX;
	if (max > EVENTS_STACK) {
		events = malloc((size_t)max * sizeof(*events));
		if (!events)
			return -ENOMEM;
	}
	n = epoll_collect(task_ctx(task), epfile, events, max, deadline_ns);
	if (n > 0 && copy_to_guest(task, events_gva, events, (size_t)n * sizeof(*events)))
		n = -EFAULT;
	if (events != few)
		free(events);
	/* epoll_wait is never restarted (signal(7)). */
	return err_is_restart(n) ? -EINTR : n;
}

static int64_t wait_common(struct task *task, const uint64_t *args, int64_t deadline_ns)
{
	int max = (int)args[2];
	struct file *epfile;
	int64_t result;

	if (max <= 0 || max > (int)(INT_MAX / sizeof(struct epoll_event)))
		return -EINVAL;
	epfile = task_file(task, (int)args[0]);
	if (!epfile)
		return -EBADF;
	if (!epoll_is(epfile))
		result = -EINVAL;
	else
		result = collect(task, epfile, args[1], max, deadline_ns);
	file_put(epfile);
	return result;
}

int64_t sys_epoll_wait(struct task *task, const uint64_t *args)
{
	return wait_common(task, args, deadline_after_ms((int)args[3]));
}

int64_t sys_epoll_pwait(struct task *task, const uint64_t *args)
{
	int err = use_sigmask(task, args[4], args[5]);

	return err ? err : wait_common(task, args, deadline_after_ms((int)args[3]));
}

int64_t sys_epoll_pwait2(struct task *task, const uint64_t *args)
{
	int64_t deadline_ns = WAIT_FOREVER;
	struct timespec ts;
	int err = 0;

	if (args[3]) {
		err = copy_timespec_from_guest(task, args[3], &ts);
		if (err)
			return err;
		deadline_ns = deadline_after(&ts);
	}
	err = use_sigmask(task, args[4], args[5]);
	return err ? err : wait_common(task, args, deadline_ns);
}

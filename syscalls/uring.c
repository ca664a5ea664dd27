/* io_uring_setup(2), io_uring_enter(2), io_uring_register(2). The rings are in vfs/uring. */
#include "syscalls/uring.h"

#include <signal.h>

#include "sentry/base/err.h"
#include "sentry/sched/sched.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/poll.h"
#include "vfs/file.h"
#include "vfs/uring/uring.h"

#define ENTER_FLAGS                                                                                \
	(IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT |                  \
	 IORING_ENTER_EXT_ARG | IORING_ENTER_ABS_TIMER | IORING_ENTER_NO_IOWAIT)
#define NSEC_PER_SEC 1000000000LL

void uring_init(void)
{
	static const struct uring_hooks hooks = {
		.spawn = sched_spawn,
		.openat = open_named,
		.statx = statx_named,
	};

	uring_set_hooks(&hooks);
}

/* The caller's record, made when it is needed first. */
static struct uring_task *task_uring(struct task *task)
{
	if (!task->uring)
		task->uring = uring_task_new();
	return task->uring;
}

int64_t sys_io_uring_setup(struct task *task, const uint64_t *args)
{
	struct io_uring_params params;
	struct file *file;
	int err;

	if (copy_from_guest(task, &params, args[1], sizeof(params)))
		return -EFAULT;
	for (size_t i = 0; i < sizeof(params.resv) / sizeof(params.resv[0]); i++)
		if (params.resv[i])
			return -EINVAL;
	if (!task_uring(task))
		return -ENOMEM;
	err = uring_new(task_ctx(task), task->uring, (unsigned)args[0], &params, &file);
	if (err)
		return err;
	if (copy_to_guest(task, args[1], &params, sizeof(params))) {
		file_put(file);
		return -EFAULT;
	}
	return task_install(task, file, true);
}

/* ---- enter ---- */

struct enter_wait {
	gva_t sigmask_gva;
	uint64_t sigmask_size;
	int64_t deadline_ns;
};

static int get_deadline(struct task *task, gva_t ts_gva, bool absolute, int64_t *ret_ns)
{
	struct __kernel_timespec ts;
	int64_t ns;

	if (copy_from_guest(task, &ts, ts_gva, sizeof(ts)))
		return -EFAULT;
	/* cf. timespec64_to_ktime(): no check, and it saturates. */
	if (ts.tv_sec >= INT64_MAX / NSEC_PER_SEC / 2)
		ns = INT64_MAX / 2;
	else if (ts.tv_sec < 0)
		ns = 0;
	else
		ns = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec % NSEC_PER_SEC;
	if (!absolute)
		ns += clock_monotonic_ns();
	*ret_ns = ns > 0 ? ns : 1;
	return 0;
}

/* args 4 and 5: a signal mask, or a struct with a mask and a time; cf. io_get_ext_arg(). */
static int get_wait(struct task *task, const uint64_t *args, unsigned flags,
		    struct enter_wait *ret_wait)
{
	struct io_uring_getevents_arg ext;

	*ret_wait = (struct enter_wait){ args[4], args[5], WAIT_FOREVER };
	if (!(flags & IORING_ENTER_EXT_ARG))
		return 0;
	if (args[5] != sizeof(ext))
		return -EINVAL;
	if (copy_from_guest(task, &ext, args[4], sizeof(ext)))
		return -EFAULT;
	/* The newer min_wait_usec: only with IORING_FEAT_MIN_TIMEOUT. */
	if (ext.pad)
		return -EINVAL;
	ret_wait->sigmask_gva = ext.sigmask;
	ret_wait->sigmask_size = ext.sigmask_sz;
	if (!ext.ts)
		return 0;
	return get_deadline(task, ext.ts, flags & IORING_ENTER_ABS_TIMER, &ret_wait->deadline_ns);
}

static int wait_for(struct task *task, struct file *file, const uint64_t *args, unsigned flags)
{
	struct enter_wait wait;
	int err = get_wait(task, args, flags, &wait);

	if (!err)
		err = use_sigmask(task, wait.sigmask_gva, wait.sigmask_size);
	return err ? err : uring_wait(file, (unsigned)args[2], wait.deadline_ns);
}

static int64_t enter(struct task *task, struct file *file, const uint64_t *args)
{
	const unsigned nr = (unsigned)args[1], flags = (unsigned)args[3];
	int64_t submitted = 0, err;

	if (!uring_is(file))
		return -EOPNOTSUPP;
	if (!task_uring(task))
		return -ENOMEM;
	err = uring_check_task(file, task->uring, nr > 0);
	if (err && (nr > 0 || err == -EBADFD || (flags & IORING_ENTER_GETEVENTS)))
		return err;
	if (nr) {
		submitted = uring_submit(task_ctx(task), task->uring, file, nr);
		/* What could not be taken is told before anything is waited for. */
		if (submitted != nr)
			return submitted;
	}
	if (!(flags & IORING_ENTER_GETEVENTS))
		return submitted;
	err = wait_for(task, file, args, flags);
	return submitted ? submitted : err;
}

int64_t sys_io_uring_enter(struct task *task, const uint64_t *args)
{
	struct file *file;
	int64_t result;

	if ((unsigned)args[3] & ~ENTER_FLAGS)
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	result = enter(task, file, args);
	file_put(file);
	return result;
}

int64_t sys_io_uring_register(struct task *task, const uint64_t *args)
{
	struct file *file;
	int64_t result;

	if (!task_uring(task))
		return -ENOMEM;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	if (!uring_is(file))
		result = -EOPNOTSUPP;
	else
		result = uring_register(task_ctx(task), task->uring, file, (unsigned)args[1],
					args[2], (unsigned)args[3]);
	file_put(file);
	return result;
}

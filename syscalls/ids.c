/*
 * Calls that name processes and that the host answers: process ids, groups, scheduling. In a pid
 * namespace of their own the guests see nobody else, and all of these pass. Without one, an id
 * that is no guest's must look as if nobody had it. The same for System V IPC, which the filter
 * lets pass only in an IPC namespace of the sandbox's own.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/signal.h"

#define IOPRIO_WHO_PROCESS 1

/* 0 is the caller. */
static bool id_is_visible(struct task *task, int id)
{
	struct task *other;

	if (!id || own_pid_ns(task))
		return true;
	other = task_get_by_guest_tid(id);
	task_put(other);
	return other != NULL;
}

static int64_t native_for(struct task *task, int id)
{
	return id_is_visible(task, id) ? CALL_NATIVE : -ESRCH;
}

/* (which, who) of setpriority(2): groups and users may reach beyond the sandbox. */
static int64_t native_for_which(struct task *task, bool is_process, int who)
{
	if (!is_process && !own_pid_ns(task))
		return -EPERM;
	return native_for(task, who);
}

int64_t sys_getpid(struct task *task, const uint64_t *args)
{
	(void)args;
	return process_guest_pid(task->process);
}

int64_t sys_gettid(struct task *task, const uint64_t *args)
{
	(void)args;
	return task_guest_tid(task);
}

/* Who is not in the sandbox is 0, as a parent outside the pid namespace. */
int64_t sys_getppid(struct task *task, const uint64_t *args)
{
	struct process *parent;
	int64_t result = CALL_NATIVE;

	(void)args;
	if (own_pid_ns(task))
		return CALL_NATIVE;
	parent = task->process->parent;
	if (!parent)
		result = 0;
	return result;
}

int64_t sys_getpgrp(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return CALL_NATIVE;
}

int64_t sys_getpgid(struct task *task, const uint64_t *args)
{
	return native_for(task, (int)args[0]);
}

int64_t sys_getsid(struct task *task, const uint64_t *args)
{
	return native_for(task, (int)args[0]);
}

int64_t sys_set_tid_address(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return CALL_NATIVE;
}

int64_t sys_getpriority(struct task *task, const uint64_t *args)
{
	return native_for_which(task, (int)args[0] == PRIO_PROCESS, (int)args[1]);
}

int64_t sys_setpriority(struct task *task, const uint64_t *args)
{
	return native_for_which(task, (int)args[0] == PRIO_PROCESS, (int)args[1]);
}

int64_t sys_ioprio_get(struct task *task, const uint64_t *args)
{
	return native_for_which(task, (int)args[0] == IOPRIO_WHO_PROCESS, (int)args[1]);
}

int64_t sys_ioprio_set(struct task *task, const uint64_t *args)
{
	return native_for_which(task, (int)args[0] == IOPRIO_WHO_PROCESS, (int)args[1]);
}

int64_t sys_sched_of(struct task *task, const uint64_t *args)
{
	return native_for(task, (int)args[0]);
}

/*
 * Negative clocks are processes' and threads' (MAKE_PROCESS_CPUCLOCK() of the kernel's
 * posix-timers_types.h): the complement of the id above three bits of kind. The host tells
 * everybody the time of any process.
 */
int64_t sys_clock_of(struct task *task, const uint64_t *args)
{
	const int kind_mask = 7, kind_fd = 3;
	int clock = (int)args[0];

	if (clock >= 0)
		return CALL_NATIVE;
	if ((clock & kind_mask) == kind_fd) /* devices; none is ours */
		return -EINVAL;
	return id_is_visible(task, ~(clock >> 3)) ? CALL_NATIVE : -EINVAL;
}

/* What arrives here has not passed the filter. */
int64_t sys_ipc(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return -ENOSYS;
}

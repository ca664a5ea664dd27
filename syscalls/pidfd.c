/* pidfd_open(2) and pidfd_getfd(2); sending through one is in signal.c. */
#include <fcntl.h>

#include "sentry/base/err.h"
#include "sentry/procinfo.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/pidfd.h"

#include <linux/capability.h>

static void process_ref(void *process)
{
	process_get(process);
}

static void process_unref(void *process)
{
	process_put(process);
}

static bool process_has_exited(void *process)
{
	return ((struct process *)process)->exited;
}

/* The host's parent reaps natively, and nobody tells us: no POLLHUP, and the number stays. */
static bool process_was_reaped(void *process)
{
	(void)process;
	return false;
}

static pid_t process_number(void *process)
{
	return process_guest_pid(process);
}

static struct waitq *process_queue(void *process)
{
	return &((struct process *)process)->exit_waiters;
}

static const struct pidfd_ops process_pidfd_ops = {
	.get = process_ref,
	.put = process_unref,
	.pid = process_number,
	.exited = process_has_exited,
	.reaped = process_was_reaped,
	.queue = process_queue,
};

int64_t sys_pidfd_open(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[1];
	int pid = (int)args[0], err;
	struct process *process;
	struct file *file;

	if (flags & ~(unsigned)O_NONBLOCK) /* PIDFD_THREAD among them */
		return -EINVAL;
	if (pid <= 0)
		return -EINVAL;
	process = process_get_by_guest_pid(pid);
	if (!process) {
		struct task *thread = task_get_by_guest_tid(pid);

		task_put(thread);
		return thread ? -EINVAL : -ESRCH; /* a thread, not a leader (pidfd_open(2)) */
	}
	err = pidfd_create(task_ctx(task), process, &process_pidfd_ops, flags, &file);
	process_put(process);
	return err ? err : task_install(task, file, true);
}

/* PTRACE_MODE_ATTACH_REALCREDS, as far as credentials go (ptrace(2)). */
static bool may_attach(struct task *task, struct task *target)
{
	const struct cred *cred = task->cred, *other;
	bool ok;

	if (task->process == target->process || cred_capable(cred, CAP_SYS_PTRACE))
		return true;
	other = task_get_cred(target);
	ok = cred->uid == other->uid && cred->uid == other->euid && cred->uid == other->suid &&
	     cred->gid == other->gid && cred->gid == other->egid && cred->gid == other->sgid &&
	     !(other->cap_permitted & ~cred->cap_permitted);
	cred_put(other);
	return ok && target->process->dumpable;
}

int64_t sys_pidfd_getfd(struct task *task, const uint64_t *args)
{
	struct file *pidfd, *file = NULL;
	struct fdtable *files = NULL;
	struct process *process;
	struct task *target;
	int64_t result = 0;

	if (args[2])
		return -EINVAL;
	pidfd = task_file(task, (int)args[0]);
	if (!pidfd)
		return -EBADF;
	process = pidfd_process(pidfd);
	target = process ? process_task(process) : NULL;
	if (!process)
		result = -EBADF;
	else if (!target)
		result = -ESRCH;
	else if (!may_attach(task, target))
		result = -EPERM;
	else /* it may exec or exit meanwhile */
		files = procinfo_files(target);
	if (files) {
		file = fdtable_file_raw(files, (int)args[1]);
		fdtable_put(task_ctx(task), files);
	}
	task_put(target);
	file_put(pidfd);
	if (result)
		return result;
	return file ? task_install(task, file, true) : -EBADF;
}

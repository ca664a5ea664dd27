/*
 * Sending signals. The host knows only its own ids, so permission is decided here with our
 * credentials (kill(2)), on register arguments alone; then the call continues natively.
 *
 * Without a pid namespace the guests' ids are the host's: an id that is no guest's must look as
 * if nobody had it.
 */
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/hostproc.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/signal.h"
#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/file/pidfd.h"

bool own_pid_ns(struct task *task)
{
	return process_guest_pid(task->process) != task->process->pid;
}

/* cf. kill_ok_by_cred() and check_kill_permission(). */
static bool may_signal(struct task *task, struct task *target, int signo)
{
	const struct cred *cred = task->cred, *other;
	bool ok;

	if (task->process == target->process || cred_capable(cred, CAP_KILL))
		return true;
	other = task_get_cred(target);
	ok = cred->euid == other->suid || cred->euid == other->uid || cred->uid == other->suid ||
	     cred->uid == other->uid;
	cred_put(other);
	if (!ok && signo == SIGCONT)
		ok = getsid(task->tid) == getsid(target->tid);
	return ok;
}

static bool may_signal_process(struct task *task, struct process *process, int signo)
{
	struct task *target = process_task(process);
	bool ok = !target || may_signal(task, target, signo);

	task_put(target);
	return ok;
}

/*
 * Without a namespace a dead guest that nobody has waited for is known to the host alone: whoever
 * signals it succeeds, and nothing happens. Its parent must be one of ours.
 */
static int64_t kill_zombie(pid_t host_pid)
{
	struct process *parent;
	char stat[512], state;
	const char *end;
	int ppid;

	if (hostproc_read(host_pid, "stat", stat, sizeof(stat)) <= 0)
		return -ESRCH;
	end = strrchr(stat, ')'); /* the name before it may hold anything */
	if (!end || sscanf(end + 1, " %c %d", &state, &ppid) != 2 || state != 'Z')
		return -ESRCH;
	parent = process_get_by_guest_pid(ppid);
	process_put(parent);
	return parent ? 0 : -ESRCH;
}

/* Asked just before it is sent. */
static bool may_send(struct task *task, struct process *process, int signo)
{
	if (!may_signal_process(task, process, signo))
		return false;
	if (signo == SIGKILL)
		process_kill_exit(process);
	return true;
}

static int64_t kill_one(struct task *task, pid_t pid, int signo)
{
	struct process *process = process_get_by_guest_pid(pid);
	struct task *thread = NULL;
	bool ok;

	if (!process) {
		/* kill(2) takes the id of any thread for its process. */
		thread = task_get_by_guest_tid(pid);
		if (!thread)
			return own_pid_ns(task) ? CALL_NATIVE : kill_zombie(pid);
		process = process_get(thread->process);
		task_put(thread);
	}
	ok = may_send(task, process, signo);
	process_put(process);
	return ok ? CALL_NATIVE : -EPERM;
}

/* Who a signal to many goes to. */
struct audience {
	pid_t host_pgid; /* 0: everybody but the caller and the first process */
	int members, permitted;
};

static bool in_audience(struct task *task, const struct audience *who, struct process *process)
{
	if (who->host_pgid)
		return getpgid(process->pid) == who->host_pgid;
	return process != task->process && process_guest_pid(process) != 1;
}

/* Counts, or sends: with `send` each permitted member gets signo. */
static void walk_audience(struct task *task, struct audience *who, int signo, bool send)
{
	struct process *process = NULL;

	who->members = who->permitted = 0;
	while ((process = process_next(process))) {
		if (!in_audience(task, who, process))
			continue;
		who->members++;
		if (!may_send(task, process, signo))
			continue;
		who->permitted++;
		if (send && signo)
			(void)task_signal_process(process, signo);
	}
}

static int64_t kill_many(struct task *task, struct audience *who, int signo)
{
	walk_audience(task, who, signo, false);
	if (!who->members)
		return who->host_pgid && own_pid_ns(task) ? CALL_NATIVE : -ESRCH;
	if (!who->permitted)
		return -EPERM;
	if (who->host_pgid && who->permitted == who->members && own_pid_ns(task))
		return CALL_NATIVE;
	walk_audience(task, who, signo, true);
	return 0;
}

int64_t sys_kill(struct task *task, const uint64_t *args)
{
	struct audience who = {.host_pgid = 0};
	int pid = (int)args[0], signo = (int)args[1];

	if (signo < 0 || signo > 64)
		return -EINVAL;
	if (pid > 0)
		return kill_one(task, pid, signo);
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == 0) {
		who.host_pgid = getpgid(task->process->pid);
	} else if (pid < -1) {
		who.host_pgid = host_pid_of(-pid);
		if (!who.host_pgid)
			return own_pid_ns(task) ? CALL_NATIVE : -ESRCH;
	}
	return kill_many(task, &who, signo);
}

static int64_t kill_thread(struct task *task, int tgid, int tid, int signo)
{
	struct task *target;
	int64_t result = CALL_NATIVE;

	if (tid <= 0 || signo < 0 || signo > 64)
		return -EINVAL;
	if (tid == task_guest_tid(task))
		return CALL_NATIVE;
	target = task_get_by_guest_tid(tid);
	if (!target)
		return own_pid_ns(task) ? CALL_NATIVE : -ESRCH;
	if (tgid && process_guest_pid(target->process) != tgid)
		result = -ESRCH;
	else if (!may_signal(task, target, signo))
		result = -EPERM;
	else if (signo == SIGKILL)
		process_kill_exit(target->process);
	task_put(target);
	return result;
}

int64_t sys_tkill(struct task *task, const uint64_t *args)
{
	return kill_thread(task, 0, (int)args[0], (int)args[1]);
}

int64_t sys_tgkill(struct task *task, const uint64_t *args)
{
	if ((int)args[0] <= 0)
		return -EINVAL;
	return kill_thread(task, (int)args[0], (int)args[1], (int)args[2]);
}

int64_t sys_rt_sigqueueinfo(struct task *task, const uint64_t *args)
{
	int pid = (int)args[0], signo = (int)args[1];

	if (signo < 0 || signo > 64)
		return -EINVAL;
	return pid > 0 ? kill_one(task, pid, signo) : -ESRCH;
}

int64_t sys_rt_tgsigqueueinfo(struct task *task, const uint64_t *args)
{
	if ((int)args[0] <= 0)
		return -EINVAL;
	return kill_thread(task, (int)args[0], (int)args[1], (int)args[2]);
}

/* Sent by the sentry itself: the receiver sees no sender's id. */
int64_t sys_pidfd_send_signal(struct task *task, const uint64_t *args)
{
	int signo = (int)args[1];
	struct process *process;
	struct file *file;
	int64_t result;

	if (args[3]) /* PIDFD_SIGNAL_THREAD and its kin, Linux 6.9 */
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	process = pidfd_process(file);
	if (!process)
		result = -EBADF;
	else if (signo < 0 || signo > 64)
		result = -EINVAL;
	else if (process->exited)
		result = -ESRCH;
	else if (!may_send(task, process, signo))
		result = -EPERM;
	else
		result = signo ? task_signal_process(process, signo) : 0;
	file_put(file);
	return result;
}

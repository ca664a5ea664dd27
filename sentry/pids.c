/*
 * Process ids on both sides of the guests' pid namespace, and signals to them.
 *
 * The kernel translates where it can (nsfs ioctls of Linux 6.11); before that the NSpid line of
 * /proc/PID/status tells. Results are remembered per task.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/hostproc.h"
#include "sentry/task.h"

/* linux/nsfs.h of Linux 6.11; older headers lack them. */
#define FB_NS_GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)
#define FB_NS_GET_PID_IN_PIDNS _IOR(0xb7, 0x8, int)

static bool own_pid_ns;	       /* the guests are numbered in a namespace of their own */
static int pid_ns_hostfd = -1; /* that one; < 0: the host's /proc has to tell */

void task_set_pid_ns(int ns_hostfd)
{
	own_pid_ns = true;
	pid_ns_hostfd = ns_hostfd;
}

/* "NSpid:\t<outer>\t<inner>": the last number is the guest's. */
static pid_t guest_pid_from_status(pid_t host_pid)
{
	char status[4096], *line, *tab;

	if (hostproc_read(host_pid, "status", status, sizeof(status)) <= 0)
		return 0;
	line = strstr(status, "\nNSpid:");
	if (!line)
		return 0;
	line++;
	line[strcspn(line, "\n")] = 0;
	tab = strrchr(line, '\t');
	return tab ? (pid_t)strtol(tab + 1, NULL, 10) : 0;
}

pid_t guest_pid_of(pid_t host_pid)
{
	long pid;

	if (host_pid <= 0)
		return 0;
	if (!own_pid_ns)
		return host_pid;
	pid = HOST(ioctl(pid_ns_hostfd, FB_NS_GET_PID_IN_PIDNS, host_pid));
	if (pid_ns_hostfd < 0)
		pid = -ENOTTY;
	if (pid > 0)
		return (pid_t)pid;
	return pid == -ENOTTY ? guest_pid_from_status(host_pid) : 0;
}

pid_t host_pid_of(pid_t guest_pid)
{
	struct task *task;
	pid_t host_pid;
	long pid;

	if (guest_pid <= 0)
		return 0;
	if (!own_pid_ns)
		return guest_pid;
	pid = HOST(ioctl(pid_ns_hostfd, FB_NS_GET_PID_FROM_PIDNS, guest_pid));
	if (pid_ns_hostfd < 0)
		pid = -ENOTTY;
	if (pid > 0)
		return (pid_t)pid;
	if (pid != -ENOTTY)
		return 0;
	task = task_get_by_guest_tid(guest_pid);
	host_pid = task ? task->tid : 0;
	task_put(task);
	return host_pid;
}

pid_t task_guest_tid(struct task *task)
{
	int pid = atomic_load_explicit(&task->guest_tid, memory_order_relaxed);

	if (pid == 0) {
		pid = guest_pid_of(task->tid);
		atomic_store_explicit(&task->guest_tid, pid, memory_order_relaxed);
	}
	return pid;
}

pid_t process_guest_pid(struct process *process)
{
	int pid = atomic_load_explicit(&process->guest_pid, memory_order_relaxed);

	if (pid == 0) {
		pid = guest_pid_of(process->pid);
		atomic_store_explicit(&process->guest_pid, pid, memory_order_relaxed);
	}
	return pid;
}

int task_signal_thread(struct task *task, int signo)
{
	if (atomic_load(&task->dead))
		return -ESRCH;
	return (int)HOST(syscall(SYS_tgkill, task->process->pid, task->tid, signo));
}

int task_signal_process(struct process *process, int signo)
{
	return process->exited ? -ESRCH : (int)HOST(kill(process->pid, signo));
}

/*
 * A group is named by the id of its first leader, which may be gone; its members are found by
 * asking each process, so that the host's groups outside the sandbox are never reached.
 */
int task_signal_pgrp(pid_t guest_pgid, int signo)
{
	struct process *process = NULL;
	int err = -ESRCH;

	while ((process = process_next(process))) {
		pid_t pgid = (pid_t)HOST(getpgid(process->pid));

		if (pgid > 0 && guest_pid_of(pgid) == guest_pgid &&
		    task_signal_process(process, signo) == 0)
			err = 0;
	}
	return err;
}

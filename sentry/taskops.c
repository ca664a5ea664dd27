/*
 * The table of vfs/tasks.h: process groups and sessions are the host's, since guests are native
 * processes; ids are translated on the way. Groups are found by asking each guest process, so that
 * nothing outside the sandbox is ever meant.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/hostproc.h"
#include "sentry/procinfo.h"
#include "sentry/task.h"
#include "vfs/ctx.h"
#include "vfs/tasks.h"

static int ops_signal_process(pid_t pid, int signo)
{
	struct process *process = process_get_by_guest_pid(pid);
	int err = -ESRCH;

	if (process)
		err = task_signal_process(process, signo);
	process_put(process);
	return err;
}

static void ops_comm(pid_t pid, char ret_comm[16])
{
	pid_t host_pid = host_pid_of(pid);

	if (!host_pid || hostproc_read(host_pid, "comm", ret_comm, 16) <= 0)
		snprintf(ret_comm, 16, "?");
	ret_comm[strcspn(ret_comm, "\n")] = 0;
}

static pid_t ops_getpgid(pid_t pid)
{
	pid_t host_pid = host_pid_of(pid);

	return host_pid ? guest_pid_of((pid_t)HOST(getpgid(host_pid))) : 0;
}

static pid_t ops_getsid(pid_t pid)
{
	pid_t host_pid = host_pid_of(pid);

	return host_pid ? guest_pid_of((pid_t)HOST(getsid(host_pid))) : 0;
}

static bool in_group(const struct process *process, pid_t pgid)
{
	return guest_pid_of((pid_t)HOST(getpgid(process->pid))) == pgid;
}

static pid_t ops_pgrp_session(pid_t pgid)
{
	struct process *process = NULL;
	pid_t sid = 0;

	while (!sid && (process = process_next(process)))
		if (in_group(process, pgid))
			sid = guest_pid_of((pid_t)HOST(getsid(process->pid)));
	process_put(process);
	return sid;
}

/* Does the parent keep the group from being orphaned? (POSIX, "Orphaned Process Group") */
static bool parent_cares(const struct process *process)
{
	pid_t parent = procinfo_host_ppid(process->pid);

	return parent && HOST(getpgid(parent)) != HOST(getpgid(process->pid)) &&
	       HOST(getsid(parent)) == HOST(getsid(process->pid));
}

static bool ops_pgrp_orphaned(pid_t pgid)
{
	struct process *process = NULL;
	bool orphaned = true;

	while (orphaned && (process = process_next(process)))
		if (in_group(process, pgid) && parent_cares(process))
			orphaned = false;
	process_put(process);
	return orphaned;
}

/* A mask of /proc/PID/status, by its line's name with the newline before it. */
static uint64_t status_mask(const char *status, const char *line)
{
	const char *found = strstr(status, line);

	return found ? strtoull(found + strlen(line), NULL, 16) : 0;
}

static bool ops_signal_ignored(const struct op_ctx *ctx, int signo)
{
	const struct task *task = ctx->task;
	uint64_t bit = 1ull << (signo - 1), masks = 0;
	char *status = malloc(4096);

	if (task && status && hostproc_read(task->tid, "status", status, 4096) > 0)
		masks = status_mask(status, "\nSigBlk:") | status_mask(status, "\nSigIgn:");
	free(status);
	return masks & bit;
}

static const struct vfs_task_ops task_ops = {
	.signal_pgrp = task_signal_pgrp,
	.signal_process = ops_signal_process,
	.comm = ops_comm,
	.getpgid = ops_getpgid,
	.getsid = ops_getsid,
	.pgrp_session = ops_pgrp_session,
	.pgrp_orphaned = ops_pgrp_orphaned,
	.signal_ignored_or_blocked = ops_signal_ignored,
};

void taskops_init(void)
{
	vfs_set_task_ops(&task_ops);
}

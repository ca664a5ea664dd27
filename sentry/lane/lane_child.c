/* Processes that come from one with a lane, or share its memory: they have nothing of it. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>

#include "sentry/hostproc.h"
#include "sentry/lane/lane_internal.h"
#include "sentry/procinfo.h"
#include "sentry/task.h"
#include "sentry/trap.h"
#include "vfs/strbuf.h"

/* One memory for two processes. */

bool lane_shares_memory(struct process *process)
{
	bool shares;

	fb_mutex_lock(&process->lock);
	shares = process->vm_children > 0 || process->vm_parent;
	fb_mutex_unlock(&process->lock);
	return shares;
}

/* vfork(2) and its kin: two processes with one memory, until one of them has another. */
static void share_memory(struct process *parent, struct process *child)
{
	child->vm_parent = process_get(parent); /* which nobody else sees yet */
	fb_mutex_lock(&parent->lock);
	parent->vm_children++;
	fb_mutex_unlock(&parent->lock);
}

/* One with such children of its own leaves them to its parent, which then never gets rid of them. */
void lane_unshare(struct process *process)
{
	struct process *parent = NULL;
	bool has_children;

	fb_mutex_lock(&process->lock);
	has_children = process->vm_children > 0;
	parent = process->vm_parent;
	process->vm_parent = NULL;
	process->vm_children = 0;
	fb_mutex_unlock(&process->lock);
	if (!parent)
		return;
	fb_mutex_lock(&parent->lock);
	if (!has_children && parent->vm_children > 0)
		parent->vm_children--;
	fb_mutex_unlock(&parent->lock);
	process_put(parent);
}

/* Birth and exec. */

void lane_fork(struct task *parent, struct task *child, uint64_t flags)
{
	struct process *process = parent->process;
	struct lane *lane;

	if (!lane_enabled())
		return;
	if ((flags & CLONE_VM) && child->process != process)
		share_memory(process, child->process);
	fb_mutex_lock(&process->lock);
	lane = lane_get(process->lane);
	fb_mutex_unlock(&process->lock);
	if (!lane)
		return;
	child->lane = lane_thread_new();
	if (!child->lane) { /* it would jump into memory that it does not have */
		(void)task_signal_thread(child, SIGKILL);
		lane_put(lane);
		return;
	}
	child->lane->born_of = lane_get(lane);
	child->lane->copied = !(flags & CLONE_VM);
	if (child->lane->copied) {
		lane_put(lane);
		return;
	}
	if (child->process != process) {
		fb_mutex_lock(&child->process->lock);
		child->process->lane = lane_get(lane);
		fb_mutex_unlock(&child->process->lock);
	}
	lane_put(lane);
}

/* Can this process, which should not, change the lane's memory? */
static bool reaches_lane(pid_t tid, const struct lane *lane)
{
	struct strbuf maps = STRBUF_INIT;
	struct procmap map;
	char name[64], target[64];
	bool reaches = true; /* unless it is known that it does not */
	const char *text;

	snprintf(name, sizeof(name), "%d/fd/%d", (int)tid, trap_reserved_fd(RESERVED_LANE));
	if (hostproc_readlink(name, target, sizeof(target)) > 0 && strstr(target, LANE_NAME))
		return true;
	if (procinfo_read(tid, "maps", &maps) == 0 && !maps.failed) {
		reaches = false;
		text = maps.buf;
		while (procmaps_next(&text, &map))
			reaches |= map.start < lane->gva + LANE_BYTES && map.end > lane->gva;
	}
	strbuf_free(&maps);
	return reaches;
}

void lane_birth(struct task *child)
{
	struct lane_thread *thread = child->lane;
	struct lane *lane = thread ? thread->born_of : NULL;
	struct user_regs_struct regs;

	if (!lane)
		return;
	thread->born_of = NULL;
	if (ptrace(PTRACE_GETREGS, child->tid, 0, &regs) == 0 &&
	    regs.gs_base - (lane->gva + LANE_CODE_BYTES) < LANE_PAGE) {
		regs.gs_base = 0;
		(void)ptrace(PTRACE_SETREGS, child->tid, 0, &regs);
	}
	if (thread->copied) {
		lane_restore(child->tid, lane);
		/* Forked while its parent was being armed: what it has got must mean nothing. */
		if (reaches_lane(child->tid, lane))
			atomic_store(&lane->broken, true);
	}
	lane_put(lane);
}

void lane_process_exec(struct task *task)
{
	struct process *process = task->process;
	struct lane *lane;

	lane_leave(task);
	if (task->lane) { /* a new program, a new beginning */
		task->lane->refused = task->lane->serves = task->lane->stop_wanted = false;
		memset(task->lane->candidates, 0, sizeof(task->lane->candidates));
	}
	lane_unshare(process);
	fb_mutex_lock(&process->lock);
	lane = process->lane;
	process->lane = NULL;
	fb_mutex_unlock(&process->lock);
	lane_put(lane);
}

/*
 * A thread that stops is moved out of the lane: handlers, the freezer and whoever looks at its registers
 * find it in, before or behind its system call. Where it was and the state of its slot tell how far it had
 * come; the labels are those of lane_code.c.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "sentry/base/err.h"
#include "sentry/lane/lane_code.h"
#include "sentry/lane/lane_slot.h"

static bool in_code(const struct lane *lane, uint64_t rip, const char *from, const char *to)
{
	uint64_t at = rip - lane->gva;

	return at >= (uint64_t)(from - lane_code) && at < (uint64_t)(to - lane_code);
}

/* Some are scratch for a while. */
static void restore_args(const struct lane_thread *thread, struct user_regs_struct *regs)
{
	regs->rdi = atomic_load(slot_u64(thread, SLOT_ARGS));
	regs->rsi = atomic_load(slot_u64(thread, SLOT_ARGS + 8));
	regs->rdx = atomic_load(slot_u64(thread, SLOT_ARGS + 16));
	regs->r10 = atomic_load(slot_u64(thread, SLOT_ARGS + 24));
	regs->r8 = atomic_load(slot_u64(thread, SLOT_ARGS + 32));
	regs->r9 = atomic_load(slot_u64(thread, SLOT_ARGS + 40));
}

static void leave_at(const struct lane_thread *thread, struct user_regs_struct *regs, gva_t rip,
		     uint64_t rax, uint64_t orig_rax)
{
	regs->rip = rip;
	regs->rax = rax;
	regs->orig_rax = orig_rax;
	restore_args(thread, regs);
}

/* Once more from the beginning. */
static void regs_begin(const struct lane_thread *thread, struct user_regs_struct *regs)
{
	if (!in_code(thread->lane, regs->rip, lane_code, lane_code_saved)) {
		restore_args(thread, regs);
		regs->rcx = atomic_load(slot_u64(thread, SLOT_SITE));
	}
	regs->rip = thread->lane->gva;
}

/* Interrupted before it had begun: as a wait for work, or else as if the signal had come first. */
static void regs_interrupted(const struct lane_thread *thread, const struct lane_site *site,
			     struct user_regs_struct *regs)
{
	bool waits = (int)regs->rdi == thread->server_fd &&
		     (site->nr == SYS_read || site->nr == SYS_splice);

	leave_at(thread, regs, site->return_gva,
		 (uint64_t)(waits ? -ERESTARTSYS : -ERESTARTNOINTR), (uint64_t)site->nr);
}

/* Behind the end of its spinning, before the system call. */
static void regs_plain(const struct lane_thread *thread, const struct lane_site *site,
		       struct user_regs_struct *regs)
{
	leave_at(thread, regs, site->return_gva - 2, (uint64_t)site->nr, ~0ULL);
}

static void regs_done(struct task *task, const struct lane_site *site,
		      struct user_regs_struct *regs)
{
	leave_at(task->lane, regs, site->return_gva, (uint64_t)lane_result(task), ~0ULL);
}

/* In the lane; or at the system call that it makes when it has given up, which nobody has received yet. */
static bool is_about_it(const struct lane *lane, const struct lane_site *site,
			const struct user_regs_struct *regs)
{
	if (in_code(lane, regs->rip, lane_code, lane_code_end) || regs->rip == site->return_gva - 2)
		return true;
	return regs->rip == site->return_gva && (int)regs->orig_rax == site->nr &&
	       (long)regs->rax == -ERESTARTSYS;
}

/* No call of it is with the sentry. True when *regs were changed. */
static bool move_out(struct task *task, struct user_regs_struct *regs)
{
	struct lane_thread *thread = task->lane;
	const struct lane *lane = thread->lane;
	const struct lane_site *site = slot_site(thread);
	bool inside = in_code(lane, regs->rip, lane_code, lane_code_end);

	if (site && thread->answered && is_about_it(lane, site, regs) &&
	    slot_change(thread, LANE_DONE, LANE_IDLE)) {
		thread->answered = false;
		regs_done(task, site, regs);
		return true;
	}
	if (!inside)
		return false;
	if (in_code(lane, regs->rip, lane_code, lane_code_published) ||
	    in_code(lane, regs->rip, lane_code_in, lane_code_in_end)) {
		regs_begin(thread, regs);
		return true;
	}
	if (site && slot_change(thread, LANE_REQUEST, LANE_IDLE)) {
		regs_interrupted(thread, site, regs);
		return true;
	}
	if (site && (slot_change(thread, LANE_REFUSED, LANE_IDLE) ||
		     in_code(lane, regs->rip, lane_code_withdrawn, lane_code_plain))) {
		regs_plain(thread, site, regs);
		return true;
	}
	return false;
}

bool lane_at_stop(struct task *task, bool taken, struct user_regs_struct *regs, bool *ret_changed)
{
	struct lane_thread *thread = task->lane;
	const struct call *call = &task->call;

	*ret_changed = false;
	if (!has_slot(task))
		return !taken;
	lane_slow_down(thread); /* who gets signals has other things to do */
	if (!taken) {
		*ret_changed = move_out(task, regs);
		return true;
	}
	if (!in_code(thread->lane, regs->rip, lane_code_published, lane_code_end) &&
	    regs->rip != call->ip_gva - 2 && regs->rip != call->ip_gva)
		return false;
	slot_set_state(thread, LANE_IDLE);
	regs->rip = call->ip_gva;
	regs->rdx = call->args[2];
	regs->rax = (unsigned long long)-ERESTARTNOINTR;
	regs->orig_rax = (unsigned long long)call->nr;
	*ret_changed = true;
	return true;
}

/* In a trap that is there only while the text is written. */
static enum lane_fault was_in_our_trap(struct task *task, struct user_regs_struct *regs)
{
	struct process *process = task->process;
	enum lane_fault fault = LANE_FAULT_NONE;
	struct lane *lane;

	fb_mutex_lock(&process->lock);
	lane = lane_get(process->lane);
	fb_mutex_unlock(&process->lock);
	if (lane && lane_had_trap(task->tid, lane, regs->rip - 1)) {
		regs->rip--;
		fault = lane->mem_hostfd >= 0 ? LANE_FAULT_HOLD : LANE_FAULT_GO_ON;
	}
	lane_put(lane);
	return fault;
}

static void let_go(struct task *task, void *process)
{
	if (task->process != process || !task->held_by_lane)
		return;
	task->held_by_lane = false;
	(void)ptrace(PTRACE_CONT, task->tid, 0, 0);
}

void lane_let_go(struct process *process)
{
	task_for_each(let_go, process);
}

/* While it brought data in or out. */
static bool was_copying(struct task *task, struct user_regs_struct *regs)
{
	struct lane_thread *thread = task->lane;
	const struct lane_site *site;
	bool ours = false;

	if (!thread)
		return false;
	fb_mutex_lock(&task->call.lock);
	site = has_slot(task) ? slot_site(thread) : NULL;
	if (site && in_code(thread->lane, regs->rip, lane_code_in, lane_code_in_end)) {
		regs_plain(thread, site, regs);
		ours = true;
	} else if (site && thread->answered &&
		   in_code(thread->lane, regs->rip, lane_code_out, lane_code_out_end) &&
		   slot_change(thread, LANE_DONE, LANE_IDLE)) {
		thread->answered = false;
		regs_done(task, site, regs);
		ours = true;
	}
	fb_mutex_unlock(&task->call.lock);
	return ours;
}

enum lane_fault lane_at_fault(struct task *task, int signo, struct user_regs_struct *regs)
{
	if (!lane_enabled())
		return LANE_FAULT_NONE;
	if (signo == SIGTRAP)
		return was_in_our_trap(task, regs);
	return was_copying(task, regs) ? LANE_FAULT_GO_ON : LANE_FAULT_NONE;
}

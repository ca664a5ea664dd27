#include "sentry/call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/exec.h"
#include "sentry/fault.h"
#include "sentry/hostproc.h"
#include "sentry/lane/lane.h"
#include "sentry/sched/sched.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"
#include "sentry/usermem.h"
#include "sentry/window.h"

/* A call that has waited in pieces for this long is parked at its next wait. */
#define PARK_TOTAL_NS (10 * PARK_NS)

#define SYSCALL_INSN_LEN 2 /* 0f 05 */

static int64_t (*dispatch_call)(struct task *task);

/* Calls that wait and are not parked, oldest first. */
static struct fb_mutex blocked_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct list_node blocked = LIST_INIT(blocked); /* guarded by blocked_lock */

static struct {
	atomic_ulong calls, native, parks, parked, unparked, signalled, restarted, execs;
} stats;

static void count(atomic_ulong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Park hooks of a call's fiber. */

static void call_before_wait(void *owner)
{
	struct task *task = owner;
	struct call *call = &task->call;
	int64_t now = clock_monotonic_ns();
	bool first;

	if (call->start_ns == 0)
		call->start_ns = now;
	fb_mutex_lock(&blocked_lock);
	call->waits = true;
	first = list_empty(&blocked);
	if (call->sigmask_gva || now - call->start_ns > PARK_TOTAL_NS) {
		call->park_due_ns = now;
		list_add(&blocked, &call->blocked_node);
		first = true;
	} else {
		call->park_due_ns = now + PARK_NS;
		list_add_tail(&blocked, &call->blocked_node);
	}
	fb_mutex_unlock(&blocked_lock);
	if (first)
		tracer_tick_hint();
}

static void call_after_wait(void *owner)
{
	struct task *task = owner;

	fb_mutex_lock(&blocked_lock);
	task->call.waits = false;
	list_del(&task->call.blocked_node);
	fb_mutex_unlock(&blocked_lock);
}

int64_t call_park_due_ns(int64_t now_ns)
{
	int64_t due = -1;

	fb_mutex_lock(&blocked_lock);
	if (!list_empty(&blocked)) {
		due = list_first(&blocked, struct call, blocked_node)->park_due_ns - now_ns;
		if (due < 0)
			due = 0;
	}
	fb_mutex_unlock(&blocked_lock);
	return due;
}

struct task *call_next_due(int64_t now_ns)
{
	struct task *task = NULL;
	struct call *call;

	fb_mutex_lock(&blocked_lock);
	if (!list_empty(&blocked)) {
		call = list_first(&blocked, struct call, blocked_node);
		if (call->park_due_ns <= now_ns) {
			/* Not again: either it is parked now or it ends soon. */
			list_del(&call->blocked_node);
			task = task_get(container_of(call, struct task, call));
		}
	}
	fb_mutex_unlock(&blocked_lock);
	return task;
}

/* The fiber. */

void call_set_dispatch(int64_t (*dispatch)(struct task *task))
{
	dispatch_call = dispatch;
	sched_set_park_hooks(call_before_wait, call_after_wait);
}

static bool is_special(int64_t result)
{
	return result == CALL_NATIVE || result == CALL_EXEC || result == CALL_REWRITE ||
	       result == CALL_LANE;
}

/* It spins at its slot. What needs a trap (or a new beginning) begins anew with one. call->lock held. */
static void finish_by_lane(struct task *task, int64_t result)
{
	task->call.by_lane = false;
	task->call.state = CALL_IDLE;
	if (is_special(result) || err_is_restart((long)result))
		lane_refuse(task);
	else
		lane_answer(task, result);
}

/* What a result makes of a task in its trap; all but IDLE lead to a stop. */
static enum call_state state_after(struct task *task, int64_t result)
{
	if (result == CALL_EXEC)
		return CALL_EXECING;
	if (result == CALL_LANE)
		return CALL_ARMING;
	/* A restart: one of the lane whose handler has asked for a trap, which has come meanwhile. */
	if (result == CALL_REWRITE || (err_is_restart((long)result) && task->lane))
		return CALL_REWRITING;
	return CALL_IDLE;
}

/* The result reaches a task that waits for it in the trap. call->lock held; drops it. */
static void finish_running(struct task *task, int64_t result)
{
	struct call *call = &task->call;

	if (call->by_lane) {
		finish_by_lane(task, result);
		fb_mutex_unlock(&call->lock);
		return;
	}
	call->state = state_after(task, result);
	if (call->state != CALL_IDLE) {
		call->rewritten = false;
		fb_mutex_unlock(&call->lock);
		tracer_post(task, TRACER_EXEC);
		return;
	}
	if (task->lane)
		lane_answers(task);
	if (result == CALL_NATIVE) {
		count(&stats.native);
		fb_mutex_unlock(&call->lock);
		(void)trap->reply_native(task);
		return;
	}
	fb_mutex_unlock(&call->lock);
	/* Only a killed task can see a restart code here: nobody is left to restart. */
	if (err_is_restart((long)result))
		result = -EINTR;
	(void)trap->reply(task, result);
}

/* True: the task died meanwhile, and its exit was left to us, see call_kill(). call->lock held. */
static bool end_of_fiber(struct task *task)
{
	struct call *call = &task->call;

	call->waiter = NULL;
	call->active = false;
	if (task->exiting)
		call->state = CALL_IDLE;
	return task->exiting;
}

/* What it has written is in its place before the trap, if it has come to that, is answered. Takes call->lock. */
static void close_window(struct task *task, int64_t *result)
{
	struct call *call = &task->call;
	struct window *window = task->window;

	task->window = NULL;
	fb_mutex_lock(&call->lock);
	if (!window || call->by_lane)
		return;
	fb_mutex_unlock(&call->lock);
	while (usermem_flush(task, window)) {
		if (fault_in(task, atomic_load(&task->fault_gva)))
			continue;
		window_drop_out(window);
		*result = -EFAULT;
	}
	fb_mutex_lock(&call->lock);
}

static void call_finish(struct task *task, int64_t result)
{
	struct call *call = &task->call;

	close_window(task, &result);
	if (end_of_fiber(task)) {
		fb_mutex_unlock(&call->lock);
		task_exit(task);
		return;
	}
	if (call->state == CALL_RUNNING) {
		finish_running(task, result);
		return;
	}
	fb_assert(call->state == CALL_PARKING || call->state == CALL_PARKED ||
		  call->state == CALL_SIGNALLED);
	call->result = result;
	call->done = true;
	fb_mutex_unlock(&call->lock);
	tracer_post(task, TRACER_FINISH);
}

static void begin_fiber(struct task *task)
{
	fb_mutex_lock(&task->call.lock);
	task->call.waiter = waiter_self();
	atomic_store_explicit(&task->call.waiter->spins, task->call.by_lane, memory_order_relaxed);
	if (task->exiting)
		waiter_interrupt(task->call.waiter, WAITER_SIGNAL | WAITER_KILLED);
	else if (task->call.state == CALL_SIGNALLED) /* a call of the lane, before it got here */
		waiter_interrupt(task->call.waiter, WAITER_SIGNAL);
	fb_mutex_unlock(&task->call.lock);
}

static void call_main(void *arg)
{
	struct task *task = arg;

	begin_fiber(task);
	fiber_set_owner(task);
	if (task->exec_stale) { /* closing its files may sleep: not for the tracer */
		task->exec_stale = false;
		exec_state_free(task);
	}
	call_finish(task, task->lane && lane_wants_stop(task) ? CALL_LANE : dispatch_call(task));
	fiber_set_owner(NULL);
	task_put(task);
}

/* A call that has ended in the lane, and whose task has not seen the answer: its trap is told. */
static void answered_main(void *arg)
{
	struct task *task = arg;

	begin_fiber(task);
	fiber_set_owner(task);
	task->window = lane_window(task);
	call_finish(task, task->call.result);
	fiber_set_owner(NULL);
	task_put(task);
}

static bool is_same_call(const struct call *call, const struct call_entry *entry)
{
	return call->nr == entry->nr && call->ip_gva == entry->ip_gva &&
	       !memcmp(call->args, entry->args, sizeof(call->args));
}

/* call->lock held. */
static void call_reset(struct call *call, const struct call_entry *entry)
{
	call->nr = entry->nr;
	memcpy(call->args, entry->args, sizeof(call->args));
	call->ip_gva = entry->ip_gva;
	atomic_store_explicit(&call->cookie, entry->cookie, memory_order_relaxed);
	call->native_once = call->done = call->pinned = call->call_again = false;
	call->unparked = call->by_lane = call->park_missed = false;
	call->signo = 0;
	call->start_ns = 0;
	call->sigmask_gva = 0;
	call->state = CALL_RUNNING;
}

static void stop_spinning(struct call *call)
{
	call->by_lane = false;
	if (call->waiter)
		atomic_store_explicit(&call->waiter->spins, false, memory_order_relaxed);
}

/* Once more among those that the tracer may park; it tried in vain while it had no trap. */
static void list_again(struct call *call)
{
	bool listed = false;

	fb_mutex_lock(&blocked_lock);
	if (call->waits && list_empty(&call->blocked_node)) {
		list_add(&blocked, &call->blocked_node);
		listed = true;
	}
	fb_mutex_unlock(&blocked_lock);
	if (listed)
		tracer_tick_hint();
}

/* A trap of a task with the lane. True: it belongs to a call that has begun there. call->lock held. */
static bool begin_with_lane(struct task *task, const struct call_entry *entry, int64_t *ret_result,
			    bool *ret_answered)
{
	struct call *call = &task->call;

	*ret_answered = lane_trapped(task, entry, ret_result);
	if (!*ret_answered &&
	    (!call->by_lane || call->state != CALL_RUNNING || !is_same_call(call, entry)))
		return false;
	atomic_store_explicit(&call->cookie, entry->cookie, memory_order_relaxed);
	if (*ret_answered)
		return true;
	stop_spinning(call);
	lane_adopted(task);
	if (call->park_missed)
		list_again(call);
	return true;
}

bool call_begin_lane(struct task *task)
{
	struct call *call = &task->call;
	struct call_entry entry;
	bool begun;

	fb_mutex_lock(&call->lock);
	begun = !call->active && call->state == CALL_IDLE && !task->exiting &&
		lane_take(task, &entry);
	if (begun) {
		call_reset(call, &entry);
		call->active = call->by_lane = true;
		task->child_new_mounts = false;
	} else {
		lane_reject(task);
	}
	fb_mutex_unlock(&call->lock);
	if (begun)
		sched_run(call_main, task_get(task));
	return begun;
}

void call_begin(struct task *task, const struct call_entry *entry)
{
	struct call *call = &task->call;
	bool natively, nested, answered;
	int64_t result;

	count(&stats.calls);
	fb_mutex_lock(&call->lock);
	if (task->lane && begin_with_lane(task, entry, &result, &answered)) {
		if (answered) {
			call_reset(call, entry);
			call->active = true;
			call->result = result;
		}
		fb_mutex_unlock(&call->lock);
		if (answered)
			sched_run(answered_main, task_get(task));
		return;
	}
	nested = call->active || call->state != CALL_IDLE;
	natively = call->native_once && is_same_call(call, entry);
	if (nested || task->exiting) {
		fb_mutex_unlock(&call->lock);
		/*
		 * A task that we have parked runs again: a handler was installed between our
		 * question and the delivery of a signal that was to end or to stop the process.
		 * It came too late to save the process.
		 */
		if (nested && !task->exiting) {
			fb_log(LOG_WARN, "task %d left its parked call: killed", (int)task->tid);
			(void)kill(task->process->pid, SIGKILL);
		}
		return;
	}
	call_reset(call, entry);
	task->child_new_mounts = false;
	call->active = !natively;
	if (natively)
		call->state = CALL_IDLE;
	fb_mutex_unlock(&call->lock);
	if (natively) {
		count(&stats.native);
		(void)trap->reply_native(task);
	} else {
		sched_run(call_main, task_get(task));
	}
}

void call_set_sigmask(struct task *task, gva_t sigmask_gva)
{
	task->call.sigmask_gva = sigmask_gva;
}

int call_pin(struct task *task)
{
	struct call *call = &task->call;
	int err = -ERESTARTNOINTR;

	fb_mutex_lock(&call->lock);
	if (call->state == CALL_RUNNING && !call->by_lane) {
		call->pinned = true;
		err = 0;
	}
	fb_mutex_unlock(&call->lock);
	return err;
}

bool call_is_by_lane(struct task *task)
{
	bool by_lane;

	fb_mutex_lock(&task->call.lock);
	by_lane = task->call.by_lane;
	fb_mutex_unlock(&task->call.lock);
	return by_lane;
}

/* The tracer's side. */

bool call_park(struct task *task)
{
	struct call *call = &task->call;
	bool parking = false;

	fb_mutex_lock(&call->lock);
	if (call->by_lane) {
		call->park_missed = true;
	} else if (call->state == CALL_RUNNING && call->waiter && !call->pinned &&
		   !task->exiting) {
		if (trap->move_to_stop(task) == 0) {
			call->state = CALL_PARKING;
			parking = true;
			count(&stats.parks);
		}
	}
	fb_mutex_unlock(&call->lock);
	return parking;
}

/* Runs the guest's own syscall instruction again, as call `nr`. */
static void regs_rerun(struct user_regs_struct *regs, long nr)
{
	regs->rip -= SYSCALL_INSN_LEN;
	regs->rax = (unsigned long long)nr;
	regs->orig_rax = ~0ULL;
}

/* A signal comes first; then the whole call runs again. */
static void regs_begin_anew(const struct call *call, struct user_regs_struct *regs)
{
	regs->rax = (unsigned long long)-ERESTARTNOINTR;
	regs->orig_rax = (unsigned long long)call->nr;
}

/*
 * Between the handler's success and the execveat of the loader. Several stops may come before the
 * task gets there; a signal's is served first, and then the whole exec runs again.
 */
static enum call_stop_action stop_while_execing(struct task *task, int signo,
						struct user_regs_struct *regs)
{
	struct call *call = &task->call;

	if (signo) {
		if (call->rewritten)
			*regs = call->saved;
		task->exec_stale = true;
		call->rewritten = false;
		call->state = CALL_IDLE;
		regs_begin_anew(call, regs);
		return STOP_CONTINUE;
	}
	if (!call->rewritten) {
		call->saved = *regs;
		call->rewritten = true;
		exec_rewrite(task, regs);
	}
	return STOP_EXEC;
}

/* CALL_REWRITE: unless a signal comes first; then the whole call begins anew after it. */
static void regs_rewrite(struct call *call, struct user_regs_struct *regs, int signo)
{
	if (signo) {
		regs_begin_anew(call, regs);
		return;
	}
	regs->rdi = call->args[0];
	regs->rsi = call->args[1];
	regs->rdx = call->args[2];
	regs->r10 = call->args[3];
	regs->r8 = call->args[4];
	regs->r9 = call->args[5];
	regs_rerun(regs, call->nr);
}

/* *regs, those of the interrupted call, become what its result asks for. call->lock held. */
static enum call_stop_action apply_result(struct task *task, struct user_regs_struct *regs,
					  int signo)
{
	struct call *call = &task->call;
	int64_t result = call->result;

	call->done = false;
	call->unparked = true;
	call->state = CALL_IDLE;
	count(&stats.unparked);
	if (result == CALL_EXEC && signo == 0) {
		call->state = CALL_EXECING;
		call->rewritten = false;
		return stop_while_execing(task, signo, regs);
	}
	if (result == CALL_EXEC) { /* the signal comes first; then the exec runs again */
		task->exec_stale = true;
		result = -ERESTARTNOINTR;
	}
	/* In the end the mask kept the signal off, or the time-out would not stand. */
	if (call->call_again && (result == -EINTR || err_is_restart((long)result)))
		result = -ERESTARTNOINTR;
	if (result == CALL_REWRITE) {
		regs_rewrite(call, regs, signo);
	} else if (result == CALL_NATIVE) {
		call->native_once = true;
		regs_rerun(regs, call->nr);
	} else if (err_is_restart((long)result)) {
		/* The kernel looks at the pair after this stop and applies signal(7). */
		regs->rax = (unsigned long long)result;
		regs->orig_rax = (unsigned long long)call->nr;
		count(&stats.restarted);
	} else {
		regs->rax = (unsigned long long)result;
		regs->orig_rax = ~0ULL;
	}
	return STOP_CONTINUE;
}

/* What a signal does to the task that it is delivered to. */
enum signal_effect { SIGNAL_HANDLED, SIGNAL_IGNORED, SIGNAL_ENDS_OR_STOPS };

static bool mask_has(const char *status, const char *name, int signo)
{
	const char *line = strstr(status, name);

	return line && strtoull(line + strlen(name), NULL, 16) >> (signo - 1) & 1;
}

static bool ignored_by_default(int signo)
{
	return signo == SIGCHLD || signo == SIGCONT || signo == SIGURG || signo == SIGWINCH;
}

/* Both masks are of one moment: the host writes them under the lock of the signal handlers. */
static enum signal_effect signal_effect(struct task *task, int signo)
{
	char status[4096];

	if (hostproc_read(task->tid, "status", status, sizeof(status)) <= 0 ||
	    mask_has(status, "\nSigCgt:", signo))
		return SIGNAL_HANDLED;
	if (mask_has(status, "\nSigIgn:", signo) || ignored_by_default(signo))
		return SIGNAL_IGNORED;
	return SIGNAL_ENDS_OR_STOPS;
}

bool signal_is_caught(struct task *task, int signo)
{
	return signal_effect(task, signo) == SIGNAL_HANDLED;
}

bool signal_is_fatal(struct task *task, int signo)
{
	return signal_effect(task, signo) == SIGNAL_ENDS_OR_STOPS;
}

/*
 * A signal stop while the fiber still works: tell it to unwind if a handler is to run. An ignored
 * signal, and one whose default action is to end or to stop the task, must not disturb a parked
 * call: pause(2) restarts by itself where the call would have gone on. The ignored one is taken
 * away, so that a handler which another thread installs in this moment does not run over the
 * parked call.
 *
 * When the call has a mask of its own and the task is not in its rt_sigsuspend yet, the signal may
 * be one that this mask blocks: it counts as having come before the call, which begins anew after
 * the handler. call->lock held.
 */
static enum call_stop_action call_signalled(struct task *task, int signo, bool mask_holds)
{
	struct call *call = &task->call;
	enum signal_effect effect = signal_effect(task, signo);

	if (effect == SIGNAL_IGNORED)
		return STOP_DROP;
	if (effect == SIGNAL_ENDS_OR_STOPS)
		return STOP_CONTINUE;
	call->call_again = call->sigmask_gva && !mask_holds;
	call->state = CALL_SIGNALLED;
	call->signo = signo;
	count(&stats.signalled);
	if (call->waiter)
		waiter_interrupt(call->waiter, WAITER_SIGNAL);
	return STOP_HOLD;
}

static enum call_stop_action stop_while_parking(struct task *task, int signo,
						struct user_regs_struct *regs)
{
	struct call *call = &task->call;
	enum call_stop_action action = STOP_CONTINUE;

	call->saved = *regs;
	if (call->done)
		return apply_result(task, regs, signo);
	if (signo) {
		action = call_signalled(task, signo, false);
		if (action == STOP_HOLD)
			return action;
		/* Ignored or fatal: sleep on, or die, in the native wait. */
	}
	call->state = CALL_PARKED;
	count(&stats.parked);
	if (call->sigmask_gva) {
		regs->rdi = call->sigmask_gva;
		regs->rsi = 8;
		regs_rerun(regs, SYS_rt_sigsuspend);
	} else {
		regs_rerun(regs, SYS_pause);
	}
	return action;
}

static enum call_stop_action stop_while_parked(struct task *task, int signo,
					       struct user_regs_struct *regs, bool *changed)
{
	struct call *call = &task->call;
	/* Interrupted in rt_sigsuspend, not before it. */
	bool mask_holds = (long)regs->rax == -ERESTARTNOHAND;

	if (call->done) {
		*regs = call->saved;
		*changed = true;
		return apply_result(task, regs, signo);
	}
	return signo ? call_signalled(task, signo, mask_holds) : STOP_CONTINUE;
}

/* Its call of the lane, if any, is a trapped one from now on. False: killed. call->lock held. */
static bool leave_lane(struct task *task, struct user_regs_struct *regs, bool *ret_regs_changed)
{
	struct call *call = &task->call;

	if (!lane_at_stop(task, call->by_lane, regs, ret_regs_changed)) {
		fb_log(LOG_WARN, "task %d left its call in the lane: killed", (int)task->tid);
		(void)kill(task->process->pid, SIGKILL);
		return false;
	}
	if (call->by_lane)
		call->state = CALL_PARKING;
	stop_spinning(call);
	return true;
}

enum call_stop_action call_at_stop(struct task *task, int signo, struct user_regs_struct *regs,
				   bool *ret_regs_changed)
{
	struct call *call = &task->call;
	enum call_stop_action action = STOP_CONTINUE;

	*ret_regs_changed = false;
	fb_mutex_lock(&call->lock);
	if (task->lane && !leave_lane(task, regs, ret_regs_changed)) {
		fb_mutex_unlock(&call->lock);
		return STOP_CONTINUE;
	}
	switch (call->state) {
	case CALL_PARKING:
		*ret_regs_changed = true;
		action = stop_while_parking(task, signo, regs);
		break;
	case CALL_PARKED:
		action = stop_while_parked(task, signo, regs, ret_regs_changed);
		break;
	case CALL_EXECING:
		*ret_regs_changed = true;
		action = stop_while_execing(task, signo, regs);
		break;
	case CALL_REWRITING:
		*ret_regs_changed = true;
		call->state = CALL_IDLE;
		regs_rewrite(call, regs, signo);
		break;
	case CALL_ARMING:
		call->state = CALL_IDLE;
		if (signo) {
			*ret_regs_changed = true;
			regs_begin_anew(call, regs);
			lane_arm_not(task);
		} else {
			action = STOP_LANE;
		}
		break;
	case CALL_SIGNALLED:
		action = STOP_HOLD;
		break;
	case CALL_IDLE:
	case CALL_RUNNING:
		break;
	}
	fb_mutex_unlock(&call->lock);
	return action;
}

bool call_timed_out(struct task *task, const struct user_regs_struct *regs)
{
	struct call *call = &task->call;
	bool timed_out;

	fb_mutex_lock(&call->lock);
	timed_out = call->state == CALL_IDLE && call->unparked && call->sigmask_gva &&
		    call->result == 0 && regs->rax == 0 && regs->orig_rax == ~0ULL &&
		    regs->rip == call->saved.rip;
	fb_mutex_unlock(&call->lock);
	return timed_out;
}

bool call_release(struct task *task, struct user_regs_struct *ret_regs, int *ret_signo)
{
	struct call *call = &task->call;
	bool held;

	fb_mutex_lock(&call->lock);
	held = call->state == CALL_SIGNALLED && call->done;
	if (held) {
		*ret_regs = call->saved;
		*ret_signo = call->signo;
		/* As call_timed_out() has it. */
		if (call->result == 0 && call->sigmask_gva && !call->call_again)
			call->result = -EINTR;
		(void)apply_result(task, ret_regs, call->signo);
	}
	fb_mutex_unlock(&call->lock);
	return held;
}

bool call_wants_interrupt(struct task *task)
{
	struct call *call = &task->call;
	bool wants;

	fb_mutex_lock(&call->lock);
	wants = call->state == CALL_PARKED && call->done;
	fb_mutex_unlock(&call->lock);
	return wants;
}

void call_exec_failed(struct task *task, int64_t error, struct user_regs_struct *regs)
{
	struct call *call = &task->call;

	fb_mutex_lock(&call->lock);
	task->exec_stale = true;
	*regs = call->saved;
	regs->rax = (unsigned long long)error;
	/* -ERESTARTNOINTR: a sibling's exec was faster, or a signal came while it waited for one. */
	regs->orig_rax = err_is_restart((long)error) ? (unsigned long long)call->nr : ~0ULL;
	call->state = CALL_IDLE;
	call->rewritten = false;
	fb_mutex_unlock(&call->lock);
}

bool call_exec_begin(struct task *task)
{
	struct call *call = &task->call;
	bool ours;

	fb_mutex_lock(&call->lock);
	ours = call->state == CALL_EXECING && call->rewritten;
	call->active = ours;
	fb_mutex_unlock(&call->lock);
	return ours;
}

void call_exec_running(struct task *task)
{
	begin_fiber(task);
}

bool call_exec_end(struct task *task)
{
	struct call *call = &task->call;
	bool dead;

	fb_mutex_lock(&call->lock);
	call->state = CALL_IDLE;
	call->rewritten = call->native_once = false;
	dead = end_of_fiber(task);
	fb_mutex_unlock(&call->lock);
	if (dead)
		task_exit(task);
	else
		count(&stats.execs);
	return !dead;
}

bool call_kill(struct task *task)
{
	struct call *call = &task->call;
	bool busy;

	fb_mutex_lock(&call->lock);
	busy = call->active;
	task->exiting = true;
	if (call->waiter)
		waiter_interrupt(call->waiter, WAITER_SIGNAL | WAITER_KILLED);
	fb_mutex_unlock(&call->lock);
	return busy;
}

void call_exit_begin(struct task *task)
{
	fb_mutex_lock(&task->call.lock);
	task->call.waiter = waiter_self();
	fb_mutex_unlock(&task->call.lock);
}

void call_exit_end(struct task *task)
{
	fb_mutex_lock(&task->call.lock);
	task->call.waiter = NULL;
	fb_mutex_unlock(&task->call.lock);
}

void call_kill_exit(struct task *task)
{
	struct call *call = &task->call;

	fb_mutex_lock(&call->lock);
	if (task->exiting && call->waiter)
		waiter_interrupt(call->waiter, WAITER_SIGNAL | WAITER_KILLED);
	fb_mutex_unlock(&call->lock);
}

void call_get_stats(struct call_stats *ret)
{
	*ret = (struct call_stats){
		.calls = atomic_load(&stats.calls),
		.native = atomic_load(&stats.native),
		.parks = atomic_load(&stats.parks),
		.parked = atomic_load(&stats.parked),
		.unparked = atomic_load(&stats.unparked),
		.signalled = atomic_load(&stats.signalled),
		.restarted = atomic_load(&stats.restarted),
		.execs = atomic_load(&stats.execs),
	};
}

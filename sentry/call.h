/*
 * The life of one trapped call, and the fiber that serves it.
 *
 *	IDLE --trap--> RUNNING --result--> reply, IDLE
 *	                  |  waits longer than PARK_NS (or has a signal mask of its own)
 *	                  v
 *	               PARKING --stop--> PARKED --result--> interrupt, stop, registers, IDLE
 *	                                    |  signal stop
 *	                                    v
 *	                               SIGNALLED --fiber unwinds--> restart code, deliver, IDLE
 *
 * The listener is used with WAIT_KILLABLE_RECV, so a reply that was sent is final, and nothing but
 * SIGKILL disturbs a task whose call is RUNNING. Parking is what gives signals, job control and
 * the freezer their chance: the task is moved into a native pause(2) that re-uses its own syscall
 * instruction, and only there can it be interrupted. docs/architecture.md tells why.
 */
#ifndef FB_CALL_H
#define FB_CALL_H

#include "sentry/task.h"

#define PARK_NS 1000000 /* a call that waits longer is parked */

/* Set by main.c: runs the handler of task->call and returns its result. */
void call_set_dispatch(int64_t (*dispatch)(struct task *task));

/* For the backend. */

struct call_entry {
	int nr;
	uint64_t args[6];
	gva_t ip_gva;	 /* of the instruction after the syscall */
	uint64_t cookie; /* backend's name for it */
};
/* The task is in a call. Runs its fiber. */
void call_begin(struct task *task, const struct call_entry *entry);

/* The same for a call in the task's slot, if there is one (lane.h). False: there was none. */
bool call_begin_lane(struct task *task);

/* For handlers. */

/* This call waits under the guest's own signal mask (ppoll, pselect6, epoll_pwait). */
void call_set_sigmask(struct task *task, gva_t sigmask_gva);
/*
 * From here on the call may not be parked, because it needs the trapped task itself (planting a
 * descriptor, then CALL_NATIVE). 0, or -ERESTARTNOINTR when it is parked already: the handler
 * returns that, and the whole call runs again.
 */
int call_pin(struct task *task);

/*
 * It came by the lane: there is no trap to continue. A handler that will ask for CALL_NATIVE returns
 * -ERESTARTNOINTR before it has done anything, and gets the call again as a trap.
 */
bool call_is_by_lane(struct task *task);

/* For the tracer; all but the last take call->lock. */

/* Ends the wait of a RUNNING call so that the task comes to a stop. False: nothing to park. */
bool call_park(struct task *task);
/* The oldest waiting call whose time has come; returns a reference or NULL. */
struct task *call_next_due(int64_t now_ns);
/* Nanoseconds until the oldest waiting call is due for parking; -1 = none waits. */
int64_t call_park_due_ns(int64_t now_ns);
/* What a stop of the task means for its call, and what to do with the task. */
enum call_stop_action {
	STOP_CONTINUE, /* registers are right: continue, delivering the stop's signal */
	STOP_DROP,     /* the same without the signal: it is ignored */
	STOP_HOLD,     /* leave it stopped: TRACER_FINISH follows when its fiber has unwound */
	STOP_EXEC,     /* registers lead into the loader: step over the system call */
	STOP_LANE,     /* leave it to lane_arm() */
};
enum call_stop_action call_at_stop(struct task *task, int signo, struct user_regs_struct *regs,
				   bool *ret_regs_changed);
/* Will this signal run a handler? */
bool signal_is_caught(struct task *task, int signo);
/* Or is its action the default one, to end or to stop the process? */
bool signal_is_fatal(struct task *task, int signo);
/*
 * A stop right after the end of a parked call with a mask of its own that gives 0. When its signal
 * is one that only this mask let through, the kernel would have answered EINTR.
 */
bool call_timed_out(struct task *task, const struct user_regs_struct *regs);
/* TRACER_FINISH of a task that call_at_stop() held: registers and signal to continue with. */
bool call_release(struct task *task, struct user_regs_struct *ret_regs, int *ret_signo);
/* True when a PARKED call has its result and the task must be interrupted to take it. */
bool call_wants_interrupt(struct task *task);
/* The event of a successful exec, on the tracer: false if it was none of ours. Until
 * call_exec_end() the task counts as served by a fiber, whose death is left to it. */
bool call_exec_begin(struct task *task);
/* The exec's fiber has ended; false: the task was killed meanwhile and is gone. */
bool call_exec_end(struct task *task);
/* The fiber of the exec event has begun: a kill may end its waits. */
void call_exec_running(struct task *task);
/* The execveat of the loader failed late: *regs are those of the guest's own call again. */
void call_exec_failed(struct task *task, int64_t error, struct user_regs_struct *regs);
/* The task is dying. Its fiber, if any, is told to unwind; true when there is one. */
bool call_kill(struct task *task);
/* The fiber that closes a dying task's files: a SIGKILL that comes only now ends its waits. */
void call_exit_begin(struct task *task);
void call_exit_end(struct task *task);
void call_kill_exit(struct task *task);

struct call_stats {
	uint64_t calls, native, parks, parked, unparked, signalled, restarted, execs;
};
void call_get_stats(struct call_stats *ret);

#endif

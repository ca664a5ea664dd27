/*
 * The fast lane: calls that travel through shared memory instead of a trap.
 *
 * A trap costs two context switches, four to ten microseconds on virtual machines. A FUSE daemon makes at
 * least two for each request. So the threads that serve requests get a
 * slot of memory shared with the sentry; the system call instructions that they use most are rewritten, in
 * the process's own copy of the text, into jumps to code of ours (layout.h, lane_code.c), which puts the
 * call into the slot and waits there; and the leader looks at the slots before it waits for the next trap.
 *
 * What arrives this way is an ordinary call: the same fiber, the same handlers. Small data travel through the shared
 * memory as well (window.h): the guest's side copies there what the arguments point to, and results to their place. What does not end soon is continued by the trap which the guest makes when it has waited
 * long enough, and from then on is like any other. Signals never see the lane: at each stop the tracer moves
 * the thread out of it (lane_at_stop).
 *
 * It is a matter of speed alone. A thread without a slot, a process in which a site cannot be rewritten, a
 * machine without %gs instructions: their calls trap as always.
 *
 * Locks: a task's slot and pace are guarded by its call.lock; what leads to a slot belongs to its own fiber, and
 * at a stop to the tracer.
 */
#ifndef FB_LANE_H
#define FB_LANE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct call_entry;
struct lane;
struct lane_thread;
struct process;
struct task;
struct window;

enum lane_mode {
	LANE_AUTO, /* for busy servers */
	LANE_OFF,
	LANE_EAGER, /* for all servers, at once: for tests */
};
/* Who may get the lane; called once, before the first guest. */
void lane_init(enum lane_mode mode);

/* Handlers: this call of the task fetches work for it, on descriptor fd: it serves somebody. */
void lane_note_server(struct task *task, int fd);

/* Calls by the lane, for call.c. Each but the first with call.lock held. */

/*
 * The leader has time: begins a call that waits in a slot, or waits for one that is about to come. True: a
 * call was begun, or a fiber is ready; false: nothing to be expected, wait for a trap.
 */
bool lane_poll(void);
/* Begins calls that wait in slots: before a trapped one, which may be work for them. */
void lane_take_all(void);
/* Takes the request out of the task's slot. False: there is none, or not a proper one. */
bool lane_take(struct task *task, struct call_entry *ret_entry);
/* What waits in the slot can be none: the task makes it as a system call, and is judged by that. */
void lane_reject(struct task *task);
/* The result of a call that was taken; the task goes on at once. */
void lane_answer(struct task *task, int64_t result);
/* It cannot be served this way: the task makes it as a system call. */
void lane_refuse(struct task *task);
/* The result of a trapped call is about to be told: should the task use its slot from now on? */
void lane_answers(struct task *task);
/* The call that was taken comes in as a trap: the task has stopped looking at its slot. */
void lane_adopted(struct task *task);
/* That of its last call by the lane; NULL: it has no slot. */
struct window *lane_window(struct task *task);
/*
 * A trap of a task that has the lane. True: it is the call that was just answered, the answer had not been
 * seen, and *ret_result is it; what waits in its window goes with it.
 */
bool lane_trapped(struct task *task, const struct call_entry *entry, int64_t *ret_result);
/*
 * The task is at a stop, `taken` if a fiber has a call of its lane. Moves it out of the lane: *regs are then
 * those of a call that has not begun, is interrupted or has returned; for a taken one those of a trapped
 * call that waits. False for a taken call that the task is not in: it has broken the protocol.
 */
bool lane_at_stop(struct task *task, bool taken, struct user_regs_struct *regs, bool *ret_changed);

/*
 * Tracer: the host's kernel has a signal for what the task has done itself; one of these: not in the lane; in it, and
 * the guest goes on with *regs and hears nothing; the same, when text has been written (lane_let_go).
 *
 * It has touched memory that is not there while it brought data in or out: *regs are those of a call that has not
 * begun, and will say so itself, or of one that has returned. Or it has come by where text is being written.
 *
 * The host has made the signal's action the default if it was blocked or ignored (force_sig_info()). So text with
 * threads in it is written only where SIGTRAP's is, and null pointers are not followed.
 */
enum lane_fault { LANE_FAULT_NONE, LANE_FAULT_GO_ON, LANE_FAULT_HOLD };
enum lane_fault lane_at_fault(struct task *task, int signo, struct user_regs_struct *regs);
/* Tracer: the held threads of the process go on. */
void lane_let_go(struct process *process);

/* Getting the lane, lane_arm.c. */

/*
 * The fiber of a trapped call, before its handler: true when the task should come to a stop first and be
 * given a slot, or have a busy site rewritten. The result is then CALL_LANE.
 */
bool lane_wants_stop(struct task *task);
/*
 * Tracer: the task is at that stop, which may be one for job control, *regs those of its call. It goes on by
 * itself.
 */
void lane_arm(struct task *task, const struct user_regs_struct *regs, bool group_stop);
/* Tracer: a signal came before it: another time. call.lock held. */
void lane_arm_not(struct task *task);
/* Tracer: first look at a stop. True: it was one of ours, and the task goes on. */
bool lane_stop_event(struct task *task, int event, int signo);

/* Life. */

/*
 * Tracer: parent has made child with CLONE_* flags, which has not run yet. A copy of the memory has no lane:
 * its text is put back, and the child's %gs is cleared, at its first stop.
 */
void lane_fork(struct task *parent, struct task *child, uint64_t flags);
/* Tracer: the first stop of that child. */
void lane_birth(struct task *child);
/* The task exits or has executed another program. No lock held. */
void lane_leave(struct task *task);
void lane_process_exec(struct task *task);
/* The process shares its memory with no other any more: it has executed a program, or ended. */
void lane_unshare(struct process *process);
void lane_thread_free(struct lane_thread *thread);
void lane_put(struct lane *lane);

struct lane_stats {
	uint64_t calls, threads;
};
void lane_get_stats(struct lane_stats *ret);

#endif

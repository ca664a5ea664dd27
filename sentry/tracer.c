#include "sentry/tracer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/exec.h"
#include "sentry/fault.h"
#include "sentry/lane/lane.h"
#include "sentry/sched/fiber.h"
#include "sentry/sched/sched.h"
#include "sentry/task.h"
#include "sentry/trap.h"
#include "vfs/fs_struct.h"

#define SEIZE_OPTIONS                                                                          \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
	 PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESYSGOOD |                     \
	 PTRACE_O_TRACESECCOMP)

#define WAKE_SIGNAL SIGUSR1
#define IDLE_TICK_NS 4000000 /* while calls come in: looks after the leader */

static sigset_t tracer_signals;
static pid_t tracer_tid;
static enum syscall_class (*class_of_nr)(long nr);
static pid_t first_pid;
static bool first_gone;
static int first_status;
static atomic_bool all_gone;
static atomic_bool sleeping; /* in a wait without time-out */

/* Requests of other threads. */

struct post {
	struct task *task; /* counted */
	enum tracer_request request;
};
static struct fb_mutex post_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct post *posts; /* guarded by post_lock, as the next two */
static size_t posts_first, nr_posts, posts_alloc; /* waiting: [posts_first, nr_posts) */

static void tracer_wake(void)
{
	syscall(SYS_tgkill, getpid(), tracer_tid, WAKE_SIGNAL);
}

void tracer_post(struct task *task, enum tracer_request request)
{
	bool first;

	fb_mutex_lock(&post_lock);
	if (nr_posts == posts_alloc) {
		posts_alloc = posts_alloc ? posts_alloc * 2 : 16;
		posts = realloc(posts, posts_alloc * sizeof(*posts));
		if (!posts)
			fb_die("out of memory for tracer requests");
	}
	first = nr_posts == 0;
	posts[nr_posts++] = (struct post){ task_get(task), request };
	fb_mutex_unlock(&post_lock);
	/* Its own thread looks at the list before it sleeps. */
	if (first && !tracer_is_self())
		tracer_wake();
}

void tracer_tick_hint(void)
{
	if (atomic_load_explicit(&sleeping, memory_order_relaxed) &&
	    atomic_exchange(&sleeping, false))
		tracer_wake();
}

bool tracer_is_self(void)
{
	return gettid() == tracer_tid;
}

bool tracer_all_gone(void)
{
	return atomic_load(&all_gone);
}

/* ptrace requests. A task that was killed answers ESRCH to all of them; its exit follows. */

static void task_continue(pid_t tid, int signo)
{
	(void)ptrace(PTRACE_CONT, tid, 0, signo);
}

static bool task_getregs(pid_t tid, struct user_regs_struct *regs)
{
	return ptrace(PTRACE_GETREGS, tid, 0, regs) == 0;
}

static void task_setregs(pid_t tid, struct user_regs_struct *regs)
{
	(void)ptrace(PTRACE_SETREGS, tid, 0, regs);
}

/* Birth: the child's first stop may come before the parent's event names it. */

#define HELD_MAX 256
#define HELD_NS 2000000000 /* the parent was killed before its event: no one will name the child */
static struct {
	pid_t tid;
	int64_t since_ns;
} held[HELD_MAX];
static int nr_held;

static bool forget_held(pid_t tid)
{
	for (int i = 0; i < nr_held; i++) {
		if (held[i].tid != tid)
			continue;
		held[i] = held[--nr_held];
		return true;
	}
	return false;
}

/* A stop of a task that no event has named yet. One that is killed may end unnamed. */
static void hold_unknown(pid_t tid, int event)
{
	(void)forget_held(tid);
	if (event == PTRACE_EVENT_EXIT) { /* a thread's number must not be killed: it means all */
		task_continue(tid, 0);
		return;
	}
	if (first_gone || nr_held == HELD_MAX) {
		kill(tid, SIGKILL);
		return;
	}
	held[nr_held].tid = tid;
	held[nr_held++].since_ns = clock_monotonic_ns();
}

/* As if the parent had been killed before it called fork(2): the child has not run yet. */
static void kill_orphans_held(int64_t older_than_ns)
{
	int64_t now = nr_held ? clock_monotonic_ns() : 0;

	for (int i = nr_held - 1; i >= 0; i--) {
		if (now - held[i].since_ns < older_than_ns)
			continue;
		kill(held[i].tid, SIGKILL);
		held[i] = held[--nr_held];
	}
}

/* The flags as the guest gave them; the filter has refused what we do not support. */
static uint64_t clone_flags(const struct user_regs_struct *regs)
{
	switch (regs->orig_rax) {
	case SYS_clone:
		return regs->rdi;
	case SYS_vfork:
		return CLONE_VM | CLONE_VFORK | SIGCHLD;
	default:
		return SIGCHLD;
	}
}

static bool is_child(pid_t tid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
}

static void add_child(struct task *parent, pid_t child_tid, uint64_t flags)
{
	struct task *child = NULL;

	if (!is_child(child_tid)) /* killed and reaped before it had a name */
		return;
	if (task_fork(parent, child_tid, flags, &child)) {
		fb_log(LOG_ERROR, "out of memory for a new task");
		kill(child_tid, SIGKILL);
	} else {
		lane_fork(parent, child, flags);
		if (parent->child_new_mounts && fs_struct_unshare_ns(child->fs)) {
			fb_log(LOG_ERROR, "out of memory for a mount namespace");
			kill(child_tid, SIGKILL);
		} else if (first_gone) { /* born while the others were being killed */
			kill(child_tid, SIGKILL);
		}
	}
	if (forget_held(child_tid)) {
		if (child)
			lane_birth(child);
		task_continue(child_tid, 0);
	}
}

static void on_clone(struct task *parent)
{
	struct user_regs_struct regs;
	unsigned long child_tid = 0;

	if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &child_tid) ||
	    !task_getregs(parent->tid, &regs)) {
		task_continue(parent->tid, 0);
		return;
	}
	add_child(parent, (pid_t)child_tid, clone_flags(&regs));
	if (parent->child_new_mounts) { /* the flag that the handler took away, cf. sys_clone() */
		parent->child_new_mounts = false;
		regs.rdi |= CLONE_NEWNS;
		task_setregs(parent->tid, &regs);
	}
	task_continue(parent->tid, 0);
}

/* Exec. */

static void exec_commit_fiber(void *arg)
{
	struct task *task = arg;

	call_exec_running(task);
	exec_commit(task);
	if (call_exec_end(task))
		tracer_post(task, TRACER_EXECED);
	task_put(task);
}

static void close_files(struct task *task)
{
	call_exit_begin(task);
	task_exit(task);
	call_exit_end(task);
}

static void exit_fiber(void *arg)
{
	struct task *task = arg;

	close_files(task);
	task_put(task);
}

static void exit_and_resume_fiber(void *arg)
{
	struct task *task = arg;

	close_files(task);
	tracer_post(task, TRACER_EXITED);
	task_put(task);
}

/*
 * A signal has ended it: nothing that the closing of its files would wait for holds it up, such as a
 * daemon that does not answer FLUSH. What is to be sent is sent all the same.
 */
static void killed_exit_fiber(void *arg)
{
	waiter_interrupt(waiter_self(), WAITER_SIGNAL | WAITER_KILLED);
	exit_and_resume_fiber(arg);
}

/* The thread is gone: its number may be used again after we return. */
static void bury(struct task *task)
{
	task_set_dead(task);
	if (trap->stop_event) /* some die without an exit stop, an exec's other threads for one */
		(void)trap->stop_event(task, PTRACE_EVENT_EXIT, 0);
	if (!task->exiting && !call_kill(task))
		sched_run(exit_fiber, task_get(task));
	task_forget(task);
}

static void on_exec(pid_t tid)
{
	unsigned long old_tid = 0;
	struct task *task, *leader;

	if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &old_tid))
		return; /* killed in this stop: its exit follows */
	task = task_by_tid((pid_t)old_tid);
	leader = task_by_tid(tid);
	if (leader && task && leader != task)
		bury(leader); /* it died without a report: we have its number now */
	if (task)
		task_exec_takeover(task, tid);
	if (!task || !call_exec_begin(task)) {
		fb_log(LOG_ERROR, "task %d ran a program that was not prepared: killed", (int)tid);
		kill(tid, SIGKILL);
		return;
	}
	task->stepping = false;
	sched_run(exec_commit_fiber, task_get(task));
}

/*
 * The execveat of the loader is single-stepped: success is the exec event, and a trap behind the
 * instruction says that the host has refused it after all (E2BIG, EFAULT).
 */
static void on_exec_step(struct task *task)
{
	struct user_regs_struct regs;

	task->stepping = false;
	if (task_getregs(task->tid, &regs)) {
		call_exec_failed(task, (int64_t)regs.rax, &regs);
		task_setregs(task->tid, &regs);
	}
	task_continue(task->tid, 0);
}

/* Signal stops, group stops and PTRACE_INTERRUPT's own stops. */

/*
 * A stop with -ERESTARTSYS in the result of a trapped call that we hold nothing of: the signal
 * came before the listener had the notification, so the call simply has not happened yet.
 * waitid(2) is trapped only for pidfds and otherwise native: its own restart stands.
 */
static bool never_received(const struct user_regs_struct *regs)
{
	long nr = (long)regs->orig_rax;

	return (long)regs->rax == -ERESTARTSYS && nr >= 0 && nr != SYS_waitid &&
	       class_of_nr(nr) != CLASS_NATIVE;
}

/* Under a temporary mask (rt_sigsuspend) the kernel tells the one that comes back after it. */
static bool is_blocked_outside(pid_t tid, int signo)
{
	uint64_t mask = 0;

	(void)ptrace(PTRACE_GETSIGMASK, tid, sizeof(mask), &mask);
	return mask >> (signo - 1) & 1;
}

/* A fault of its own, not a signal that somebody sends, in the lane? Then it goes on, or will. */
static bool on_lane_fault(struct task *task, int signo)
{
	struct user_regs_struct regs;
	siginfo_t info = {0};
	enum lane_fault fault;

	if ((signo != SIGSEGV && signo != SIGBUS && signo != SIGTRAP) ||
	    ptrace(PTRACE_GETSIGINFO, task->tid, 0, &info) || info.si_code <= 0 ||
	    (signo == SIGTRAP && info.si_code != SI_KERNEL) || !task_getregs(task->tid, &regs))
		return false;
	fault = lane_at_fault(task, signo, &regs);
	if (fault == LANE_FAULT_NONE)
		return false;
	task_setregs(task->tid, &regs);
	task->held_by_lane = fault == LANE_FAULT_HOLD;
	if (!task->held_by_lane)
		task_continue(task->tid, 0);
	return true;
}

static void on_stop(struct task *task, int signo, bool group_stop)
{
	struct user_regs_struct regs;
	enum call_stop_action action;
	bool changed;

	/* Whatever came before the step was done cancels it: call_at_stop() sees to the exec. */
	task->stepping = false;
	if (!task_getregs(task->tid, &regs))
		return;
	action = call_at_stop(task, signo, &regs, &changed);
	if (action == STOP_CONTINUE && !changed && never_received(&regs)) {
		regs.rax = (unsigned long long)-ERESTARTNOINTR;
		changed = true;
	}
	if (action == STOP_HOLD)
		return;
	if (action == STOP_LANE) {
		lane_arm(task, &regs, group_stop);
		return;
	}
	if (action == STOP_CONTINUE && signo && call_timed_out(task, &regs) &&
	    is_blocked_outside(task->tid, signo) && signal_is_caught(task, signo)) {
		regs.rax = (unsigned long long)-EINTR;
		changed = true;
	}
	if (changed)
		task_setregs(task->tid, &regs);
	if (action == STOP_DROP)
		signo = 0;
	if (action == STOP_EXEC && !group_stop) {
		task->stepping = true;
		(void)ptrace(PTRACE_SINGLESTEP, task->tid, 0, 0);
	} else if (group_stop) {
		(void)ptrace(PTRACE_LISTEN, task->tid, 0, 0);
	} else {
		task_continue(task->tid, signo);
	}
}

static void on_signal(struct task *task, int signo)
{
	if (!on_lane_fault(task, signo))
		on_stop(task, signo, false);
}

/* Exit. */

static bool ended_by_signal(pid_t tid)
{
	unsigned long status = 0; /* as wait(2) will tell it */

	return ptrace(PTRACE_GETEVENTMSG, tid, 0, &status) == 0 && (status & 0x7f) != 0;
}

static void on_exit_stop(struct task *task)
{
	if (!call_kill(task)) {
		sched_run(ended_by_signal(task->tid) ? killed_exit_fiber : exit_and_resume_fiber,
			  task_get(task));
		return;
	}
	/* Its call's fiber unwinds and closes the files; the task does not wait for it. */
	sched_drain();
	task_continue(task->tid, 0);
}

static void kill_one(struct task *task, void *unused)
{
	(void)unused;
	kill(task->process->pid, SIGKILL);
}

static void on_reaped(pid_t tid, int status)
{
	if (tid != first_pid)
		return;
	first_gone = true;
	first_status = status;
	task_for_each(kill_one, NULL);
}

static bool is_group_stop(int signo)
{
	return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

/* `code` is what waitid(2) gives for a trace stop: the signal, and above it the event. */
static void on_stopped(pid_t tid, int code)
{
	struct task *task = task_by_tid(tid);
	int event = code >> 8, signo = code & 0xff;

	if (event == PTRACE_EVENT_EXEC) {
		on_exec(tid);
		return;
	}
	if (!task) {
		hold_unknown(tid, event);
		return;
	}
	task->held_by_lane = false; /* it has been killed, at most */
	if (lane_stop_event(task, event, signo))
		return;
	if (trap->stop_event && trap->stop_event(task, event, signo))
		return;
	switch (event) {
	case PTRACE_EVENT_STOP:
		lane_birth(task);
		on_stop(task, 0, is_group_stop(signo));
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		on_clone(task);
		break;
	case PTRACE_EVENT_EXIT:
		on_exit_stop(task);
		break;
	case 0:
		if (task->stepping && signo == SIGTRAP)
			on_exec_step(task);
		else if (signo != SIGBUS || !fault_begin(task))
			on_signal(task, signo);
		break;
	default:
		task_continue(tid, 0);
	}
}

/* One event of any child. False: none waits. */
static bool next_event(void)
{
	siginfo_t info = { 0 };
	struct task *task;
	int status;
	pid_t tid;

	/* Peek first: a zombie's number must stay taken until nobody touches its memory. */
	if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) ||
	    info.si_pid == 0)
		return false;
	tid = info.si_pid;
	if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED ||
	    info.si_code == CLD_DUMPED) {
		task = task_by_tid(tid);
		if (task)
			bury(task);
		(void)forget_held(tid);
		if (waitpid(tid, &status, __WALL) == tid)
			on_reaped(tid, status);
		return true;
	}
	/* Nothing when it was killed between the two calls: its exit comes like any other. */
	info.si_pid = 0;
	if (waitid(P_PID, (id_t)tid, &info, WSTOPPED | WNOHANG | __WALL) == 0 && info.si_pid == tid)
		on_stopped(tid, info.si_status);
	return true;
}

static void serve_post(struct task *task, enum tracer_request request)
{
	struct user_regs_struct regs;
	int signo;

	/*
	 * Killed meanwhile: its exit stop is not ours to end, and its number may be another's. The
	 * backend looks for itself, since somebody may wait for its answer.
	 */
	if (task->exiting && request != TRACER_BACKEND && request != TRACER_EXITED)
		return;
	if (atomic_load(&task->dead) && request != TRACER_BACKEND)
		return;
	switch (request) {
	case TRACER_FINISH:
		if (call_release(task, &regs, &signo)) {
			task_setregs(task->tid, &regs);
			task_continue(task->tid, signo);
		} else if (call_wants_interrupt(task)) {
			(void)ptrace(PTRACE_INTERRUPT, task->tid, 0, 0);
		}
		break;
	case TRACER_EXEC:
		(void)trap->move_to_stop(task);
		break;
	case TRACER_EXECED:
	case TRACER_EXITED:
		task_continue(task->tid, 0);
		break;
	case TRACER_FAULTED:
		if (task->fault_signo)
			on_signal(task, task->fault_signo);
		else
			task_continue(task->tid, 0);
		break;
	case TRACER_BACKEND:
		trap->serve(task);
		break;
	}
}

static bool serve_posts(void)
{
	struct post post;
	bool any = false;

	for (;;) {
		fb_mutex_lock(&post_lock);
		if (nr_posts == 0) {
			fb_mutex_unlock(&post_lock);
			return any;
		}
		post = posts[posts_first++];
		if (posts_first == nr_posts)
			posts_first = nr_posts = 0;
		fb_mutex_unlock(&post_lock);
		serve_post(post.task, post.request);
		task_put(post.task);
		any = true;
	}
}

static void park_due_calls(void)
{
	int64_t now = clock_monotonic_ns();
	struct task *task;

	while ((task = call_next_due(now))) {
		(void)call_park(task);
		task_put(task);
	}
}

/*
 * Signals to the sentry are meant for the command that it runs. The second request to end is not
 * left to the guests' good will.
 */
static void forward_signal(int signo)
{
	static int requests;

	if (first_gone || !first_pid)
		return;
	if ((signo == SIGTERM || signo == SIGHUP) && requests++ > 0)
		task_for_each(kill_one, NULL);
	else
		kill(-first_pid, signo);
}

static void (*quit_hook)(void);

void tracer_set_quit_hook(void (*hook)(void))
{
	quit_hook = hook;
}

static void wait_for_work(void)
{
	static uint64_t last_calls;
	struct call_stats calls;
	int64_t timeout = call_park_due_ns(clock_monotonic_ns());
	struct timespec ts;
	siginfo_t info;
	int signo;

	call_get_stats(&calls);
	if (timeout < 0 && sched_wants_tick())
		timeout = PARK_NS;
	if (timeout < 0 && calls.calls != last_calls)
		timeout = IDLE_TICK_NS;
	last_calls = calls.calls;
	if (timeout < 0 && nr_held)
		timeout = HELD_NS / 4;
	if (timeout < 0) {
		atomic_store(&sleeping, true);
		/* A call may have begun to wait before it could see the flag. */
		if (call_park_due_ns(0) >= 0 || sched_wants_tick())
			timeout = 0;
	}
	ts = (struct timespec){ .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
	signo = sigtimedwait(&tracer_signals, &info, timeout < 0 ? NULL : &ts);
	atomic_store(&sleeping, false);
	if (signo == SIGQUIT && quit_hook && info.si_code <= 0)
		quit_hook();
	else if (signo > 0 && signo != SIGCHLD && signo != WAKE_SIGNAL)
		forward_signal(signo);
}

/* A leader that has not moved between two ticks is taken for stuck: they must not come too fast. */
static void tick(void)
{
	static int64_t last_ns;
	int64_t now = clock_monotonic_ns();

	if (now - last_ns < PARK_NS)
		return;
	last_ns = now;
	sched_tick();
}

static void listen_to(int signo)
{
	struct sigaction old;

	/* What was ignored when we were started (nohup) stays ignored. */
	if (sigaction(signo, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaddset(&tracer_signals, signo);
}

void tracer_init(enum syscall_class (*class_of)(long nr), sigset_t *ret_old)
{
	class_of_nr = class_of;
	sched_set_tick_waker(tracer_tick_hint);
	tracer_tid = gettid();
	sigemptyset(&tracer_signals);
	sigaddset(&tracer_signals, SIGCHLD);
	sigaddset(&tracer_signals, WAKE_SIGNAL);
	listen_to(SIGINT);
	listen_to(SIGTERM);
	listen_to(SIGHUP);
	listen_to(SIGQUIT);
	listen_to(SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &tracer_signals, ret_old);
}

int tracer_attach_first(pid_t tid)
{
	return (int)HOST(ptrace(PTRACE_SEIZE, tid, 0, SEIZE_OPTIONS));
}

int tracer_loop(pid_t pid)
{
	struct fiber_thread self;

	first_pid = pid;
	fiber_thread_init(&self);
	while (!first_gone || task_count() > 0) {
		bool busy;

		sched_drain();
		busy = serve_posts(); /* those too that the fibers above made on this thread */
		while (next_event()) {
			busy = true;
			(void)serve_posts();
			sched_drain();
		}
		park_due_calls();
		kill_orphans_held(HELD_NS);
		if (!busy && (!first_gone || task_count() > 0))
			wait_for_work();
		tick();
	}
	kill_orphans_held(0);
	atomic_store(&all_gone, true);
	return first_status;
}

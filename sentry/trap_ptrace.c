/*
 * The backend without notifications: every trapped call is a trace stop (SECCOMP_RET_TRACE), seen
 * and answered by the tracer. Slower by far, but it needs nothing except ptrace and seccomp: for
 * containers and kernels that refuse the listener, and as a second opinion in tests.
 *
 * A task whose call is RUNNING sits in its seccomp stop. Only the tracer's thread may touch it, so
 * answers that come from elsewhere go there first (TRACER_BACKEND).
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/inject.h"
#include "sentry/sched/sched.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"

static struct fb_mutex stop_lock = FB_MUTEX_INIT(RANK_LEAF);
static pthread_cond_t stop_cond = PTHREAD_COND_INITIALIZER;
static bool stopped; /* guarded by stop_lock */

static int ptrace_probe(const char **ret_reason)
{
	(void)ret_reason;
	return 0; /* what can fail, fails with its own message when the first guest is seized */
}

static int ptrace_start(int listener_hostfd)
{
	fb_assert(listener_hostfd < 0);
	return 0;
}

static void ptrace_stop_backend(void)
{
	fb_mutex_lock(&stop_lock);
	stopped = true;
	pthread_cond_broadcast(&stop_cond);
	fb_mutex_unlock(&stop_lock);
}

/* Calls come to the tracer; the leader has nothing to receive. */
static bool ptrace_receive(void)
{
	if (!sched_receive_begin())
		return true;
	fb_mutex_lock(&stop_lock);
	while (!stopped)
		pthread_cond_wait(&stop_cond, &stop_lock.mutex);
	fb_mutex_unlock(&stop_lock);
	return false;
}

static int poke(struct task *task, size_t offset, uint64_t value)
{
	return (int)HOST(ptrace(PTRACE_POKEUSER, task->tid, offset, value));
}

/* Skips the host's own system call and returns `result` from it. */
static int answer(struct task *task, int64_t result)
{
	int err = poke(task, offsetof(struct user_regs_struct, orig_rax), UINT64_MAX);

	if (!err)
		err = poke(task, offsetof(struct user_regs_struct, rax), (uint64_t)result);
	if (!err)
		err = (int)HOST(ptrace(PTRACE_CONT, task->tid, 0, 0));
	return err;
}

static void ptrace_serve(struct task *task)
{
	if (inject_serve(task))
		return;
	/* Killed meanwhile: it is in its exit stop, which is not ours to end. */
	if (task->exiting)
		return;
	if (task->call.reply == CALL_NATIVE)
		(void)ptrace(PTRACE_CONT, task->tid, 0, 0);
	else
		(void)answer(task, task->call.reply);
}

static int reply_via_tracer(struct task *task, int64_t result)
{
	task->call.reply = result;
	if (tracer_is_self())
		ptrace_serve(task);
	else
		tracer_post(task, TRACER_BACKEND);
	return 0;
}

static int ptrace_reply(struct task *task, int64_t result)
{
	return reply_via_tracer(task, result);
}

static int ptrace_reply_native(struct task *task)
{
	return reply_via_tracer(task, CALL_NATIVE);
}

/* Tracer thread only. The interrupt makes the stop that follows; the code is never seen. */
static int ptrace_move_to_stop(struct task *task)
{
	int err = (int)HOST(ptrace(PTRACE_INTERRUPT, task->tid, 0, 0));

	return err ? err : answer(task, -ERESTARTNOINTR);
}

static bool ptrace_stop_event(struct task *task, int event, int signo)
{
	struct user_regs_struct regs;
	struct call_entry entry;

	if (inject_stop_event(task, event, signo))
		return true;
	if (event != PTRACE_EVENT_SECCOMP)
		return false;
	if (ptrace(PTRACE_GETREGS, task->tid, 0, &regs))
		return true;
	entry = (struct call_entry){
		.nr = (int)regs.orig_rax,
		.args = { regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9 },
		.ip_gva = regs.rip,
	};
	call_begin(task, &entry);
	return true;
}

const struct trap_backend trap_ptrace = {
	.name = "ptrace",
	.probe = ptrace_probe,
	.start = ptrace_start,
	.stop = ptrace_stop_backend,
	.receive = ptrace_receive,
	.reply = ptrace_reply,
	.reply_native = ptrace_reply_native,
	.move_to_stop = ptrace_move_to_stop,
	.plant_fd = inject_plant_fd,
	.stop_event = ptrace_stop_event,
	.serve = ptrace_serve,
};

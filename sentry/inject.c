#include "sentry/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/hostproc.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"
#include "sentry/usermem.h"

#define SYSCALL_INSN_LEN 2 /* 0f 05 */
#define DETOUR_TIMEOUT_NS 20000000000 /* a few calls that do not sleep, on a busy machine */

enum step { STEP_MMAP, STEP_RECVMSG, STEP_DUP3, STEP_CLOSE, STEP_MUNMAP, STEP_RETURN };

/* What recvmsg needs, in the guest's scratch page. */
struct scratch {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static int plant_socket = -1;
static struct sleep_mutex detour_lock; /* held by the fiber for the whole detour */
static pthread_once_t detour_once = PTHREAD_ONCE_INIT;

static struct detour {
	struct fb_mutex lock; /* RANK_LEAF: guards task, done and err */
	struct task *task;    /* NULL = none under way */
	bool done;
	int err;
	struct waitq waiters;
	/* The tracer's own while the detour runs: */
	int hostfd, fd, got;
	char number; /* of the detour, sent along with the descriptor */
	bool started;
	bool stop; /* a SIGSTOP came meanwhile */
	bool stale; /* what was received belongs to an earlier detour, whose task died */
	enum step step;
	gva_t scratch_gva;
	uint64_t sigmask;
	struct user_regs_struct regs; /* of the task's own call */
	struct user_regs_struct step_regs; /* what the current step was started with */
} detour;

static void detour_init(void)
{
	sleep_mutex_init(&detour_lock);
	fb_mutex_init(&detour.lock, RANK_LEAF);
	waitq_init(&detour.waiters);
}

void trap_ptrace_set_plant_socket(int hostfd)
{
	plant_socket = hostfd;
}

static int send_descriptor(int hostfd)
{
	struct scratch buf = { .byte = ++detour.number };
	struct msghdr msg = { .msg_iov = &buf.iov, .msg_iovlen = 1, .msg_control = buf.control,
			      .msg_controllen = sizeof(buf.control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	long n;

	buf.iov = (struct iovec){ &buf.byte, 1 };
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &hostfd, sizeof(int));
	n = HOST(sendmsg(plant_socket, &msg, MSG_DONTWAIT));
	return n < 0 ? (int)n : 0;
}

/* The message header goes into the scratch page, with guest addresses in it. */
static int write_scratch(struct task *task, gva_t gva)
{
	struct scratch buf = { .byte = 0 };

	buf.iov.iov_base = (void *)(gva + offsetof(struct scratch, byte));
	buf.iov.iov_len = 1;
	buf.msg.msg_iov = (void *)(gva + offsetof(struct scratch, iov));
	buf.msg.msg_iovlen = 1;
	buf.msg.msg_control = (void *)(gva + offsetof(struct scratch, control));
	buf.msg.msg_controllen = sizeof(buf.control);
	return copy_to_guest(task, gva, &buf, sizeof(buf));
}

static int read_descriptor(struct task *task, gva_t gva)
{
	struct scratch buf;
	struct cmsghdr cmsg;
	int fd;

	if (copy_from_guest(task, &buf, gva, sizeof(buf)))
		return -EFAULT;
	memcpy(&cmsg, buf.control, sizeof(cmsg));
	if (buf.msg.msg_controllen < CMSG_LEN(sizeof(int)) || cmsg.cmsg_type != SCM_RIGHTS)
		return -EMFILE; /* the guest has no number left */
	memcpy(&fd, buf.control + CMSG_LEN(0), sizeof(int));
	detour.stale = buf.byte != detour.number;
	return fd;
}

static void set_call(struct user_regs_struct *regs, long nr, uint64_t a, uint64_t b, uint64_t c,
		     uint64_t d)
{
	regs->rax = regs->orig_rax = (unsigned long long)nr;
	regs->rdi = a;
	regs->rsi = b;
	regs->rdx = c;
	regs->r10 = d;
	regs->r8 = UINT64_MAX; /* mmap's descriptor */
	regs->r9 = 0;
}

/* Registers for the step; the task re-runs its own syscall instruction. */
static void step_regs(struct user_regs_struct *regs)
{
	gva_t scratch = detour.scratch_gva;

	*regs = detour.regs;
	switch (detour.step) {
	case STEP_MMAP:
		set_call(regs, SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS);
		return; /* still inside the original call's entry: rip is right */
	case STEP_RECVMSG:
		set_call(regs, SYS_recvmsg, (uint64_t)trap_reserved_fd(RESERVED_PLANT), scratch,
			 MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);
		break;
	case STEP_DUP3:
		set_call(regs, SYS_dup3, (uint64_t)detour.got, (uint64_t)detour.fd, O_CLOEXEC, 0);
		break;
	case STEP_CLOSE:
		set_call(regs, SYS_close, (uint64_t)detour.got, 0, 0, 0);
		break;
	case STEP_MUNMAP:
		set_call(regs, SYS_munmap, scratch, 4096, 0, 0);
		break;
	case STEP_RETURN:
		regs->rax = regs->orig_rax;
		break;
	}
	regs->rip -= SYSCALL_INSN_LEN;
	regs->orig_rax = UINT64_MAX;
}

static void run_step(struct task *task)
{
	step_regs(&detour.step_regs);
	(void)ptrace(PTRACE_SETREGS, task->tid, 0, &detour.step_regs);
	(void)ptrace(detour.step == STEP_RETURN ? PTRACE_CONT : PTRACE_SYSCALL, task->tid, 0, 0);
}

/*
 * The task re-runs an instruction in its own memory, which its siblings, or who shares the page,
 * may have written over meanwhile: it would come back with a call of its own choice, and we would
 * wave it through. Before that happens, the registers are compared with what they were set to.
 */
static bool is_our_call(struct task *task)
{
	const struct user_regs_struct *want = &detour.step_regs;
	struct user_regs_struct is;

	if (ptrace(PTRACE_GETREGS, task->tid, 0, &is))
		return true; /* killed: nothing will run */
	return is.orig_rax == want->rax && is.rip == want->rip + SYSCALL_INSN_LEN &&
	       is.cs == want->cs && is.rdi == want->rdi && is.rsi == want->rsi &&
	       is.rdx == want->rdx && is.r10 == want->r10 && is.r8 == want->r8 &&
	       is.r9 == want->r9;
}

/* The task does not do what it was told to. Its stop ends with its death. */
static bool kill_detoured(struct task *task)
{
	fb_log(LOG_WARN, "task %d changed its code under a call of ours: killed", (int)task->tid);
	(void)task_signal_thread(task, SIGKILL);
	return true;
}

static void detour_end(int err)
{
	fb_mutex_lock(&detour.lock);
	detour.task = NULL;
	detour.done = true;
	if (err)
		detour.err = err;
	waitq_wake(&detour.waiters, 0);
	fb_mutex_unlock(&detour.lock);
}

/* A step's call has returned `result`: which comes next? */
static void step_done(struct task *task, int64_t result)
{
	enum step next = detour.step + 1;

	switch (detour.step) {
	case STEP_MMAP:
		detour.scratch_gva = (gva_t)result;
		if (result < 0 && result >= -4095)
			detour.err = (int)result;
		else
			detour.err = write_scratch(task, detour.scratch_gva);
		if (detour.err)
			next = result < 0 && result >= -4095 ? STEP_RETURN : STEP_MUNMAP;
		break;
	case STEP_RECVMSG:
		detour.got = result < 0 ? (int)result : read_descriptor(task, detour.scratch_gva);
		if (detour.got < 0) {
			detour.err = detour.got;
			next = STEP_MUNMAP;
		} else if (detour.stale) {
			next = STEP_CLOSE;
		} else if (detour.got == detour.fd) {
			next = STEP_MUNMAP;
		}
		break;
	case STEP_DUP3:
		if (result < 0)
			detour.err = (int)result;
		break;
	case STEP_CLOSE:
		if (detour.stale) { /* and now the next one */
			next = STEP_RECVMSG;
			detour.err = write_scratch(task, detour.scratch_gva);
			if (detour.err)
				next = STEP_MUNMAP;
		}
		break;
	case STEP_MUNMAP:
	case STEP_RETURN:
		break;
	}
	detour.step = next;
	run_step(task);
}

static bool on_detour(struct task *task)
{
	bool on;

	pthread_once(&detour_once, detour_init);
	fb_mutex_lock(&detour.lock);
	on = detour.task == task;
	fb_mutex_unlock(&detour.lock);
	return on;
}

bool inject_serve(struct task *task)
{
	uint64_t all = UINT64_MAX;
	int err;

	if (!on_detour(task) || detour.started)
		return false;
	if (task->exiting) { /* killed while its fiber waited for its turn */
		detour_end(-ESRCH);
		return true;
	}
	detour.started = true;
	if (ptrace(PTRACE_GETREGS, task->tid, 0, &detour.regs) ||
	    ptrace(PTRACE_GETSIGMASK, task->tid, sizeof(detour.sigmask), &detour.sigmask)) {
		detour_end(-ESRCH);
		return true;
	}
	err = send_descriptor(detour.hostfd);
	if (err) {
		detour_end(err);
		return true;
	}
	(void)ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(all), &all);
	detour.step = STEP_MMAP;
	run_step(task);
	return true;
}

bool inject_is_exit_stop(struct task *task, int64_t *ret_result)
{
	struct __ptrace_syscall_info info;
	long n = ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info);

	if (n <= 0 || info.op != PTRACE_SYSCALL_INFO_EXIT)
		return false;
	*ret_result = info.exit.rval;
	return true;
}

/* SIGCONT undoes a stop that came before it, also one that we have put off. */
static bool continue_is_pending(struct task *task)
{
	uint64_t pending = 0;
	char status[4096], *line;

	if (hostproc_read(task->tid, "status", status, sizeof(status)) <= 0)
		return false;
	line = strstr(status, "\nSigPnd:");
	if (line)
		pending |= strtoull(line + 8, NULL, 16);
	line = strstr(status, "\nShdPnd:");
	if (line)
		pending |= strtoull(line + 8, NULL, 16);
	return pending >> (SIGCONT - 1) & 1;
}

bool inject_stop_event(struct task *task, int event, int signo)
{
	int64_t result;

	if (!on_detour(task))
		return false;
	if (event == PTRACE_EVENT_EXIT) {
		detour_end(-ESRCH);
		return false;
	}
	if (!detour.started)
		return false;
	if (event == 0 && signo == SIGSTOP) { /* cannot be blocked; it waits for the end */
		detour.stop = true;
		(void)ptrace(detour.step == STEP_RETURN ? PTRACE_CONT : PTRACE_SYSCALL, task->tid,
			     0, 0);
		return true;
	}
	/* With all others blocked only faults come: those of other code than a system call. */
	if (event == 0 && signo != (SIGTRAP | 0x80))
		return kill_detoured(task);
	if (event == PTRACE_EVENT_SECCOMP && !is_our_call(task))
		return kill_detoured(task);
	if (event == PTRACE_EVENT_SECCOMP && detour.step == STEP_RETURN) {
		(void)ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(detour.sigmask),
			     &detour.sigmask);
		if (detour.stop && !continue_is_pending(task))
			(void)task_signal_thread(task, SIGSTOP);
		detour_end(0);
		return true; /* and the task stays in the stop of its call */
	}
	if (event == 0 && signo == (SIGTRAP | 0x80) && inject_is_exit_stop(task, &result)) {
		step_done(task, result);
		return true;
	}
	if (event == 0 && detour.step != STEP_MMAP && !is_our_call(task))
		return kill_detoured(task);
	/* Entry stops, seccomp stops of our own calls, stops for job control: go on. */
	(void)ptrace(detour.step == STEP_RETURN ? PTRACE_CONT : PTRACE_SYSCALL, task->tid, 0, 0);
	return true;
}

int inject_plant_fd(struct task *task, int hostfd, int fd)
{
	int64_t deadline = clock_monotonic_ns() + DETOUR_TIMEOUT_NS;
	int err;

	pthread_once(&detour_once, detour_init);
	if (plant_socket < 0)
		return -EOPNOTSUPP;
	sleep_mutex_lock(&detour_lock);
	fb_mutex_lock(&detour.lock);
	detour.task = task;
	detour.done = detour.started = detour.stale = detour.stop = false;
	detour.err = 0;
	detour.hostfd = hostfd;
	detour.fd = fd;
	fb_mutex_unlock(&detour.lock);
	tracer_post(task, TRACER_BACKEND);
	fb_mutex_lock(&detour.lock);
	while (!detour.done) {
		/* Other code than a system call may run for ever. */
		if (waitq_wait(&detour.waiters, 0, &detour.lock, WAIT_UNINTERRUPTIBLE,
			       deadline) == -ETIMEDOUT) {
			(void)task_signal_thread(task, SIGKILL);
			deadline = WAIT_FOREVER;
		}
	}
	err = detour.err;
	fb_mutex_unlock(&detour.lock);
	sleep_mutex_unlock(&detour_lock);
	return err;
}

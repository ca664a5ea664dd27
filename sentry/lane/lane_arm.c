/*
 * How a thread gets the lane: at a stop in one of its calls the tracer makes it map the lane's memory, the
 * first time in a process, and gives it a slot; and has the sites rewritten from which it traps most.
 *
 *	fiber                        tracer                           task
 *	 lane_wants_stop():
 *	 memory made and planted
 *	 CALL_LANE         ------->   moved to a stop: lane_arm()
 *	                              registers of mmap(2)  -------->   runs it, stops
 *	                              ... the other steps; sites
 *	                              %gs, the call's own
 *	                              registers             -------->   makes its call again
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/exec.h"
#include "sentry/inject.h"
#include "sentry/lane/lane_code.h"
#include "sentry/lane/lane_internal.h"
#include "sentry/procinfo.h"
#include "sentry/trap.h"
#include "vfs/strbuf.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define REACH 0x20000000ull /* from the site by which the lane is placed */
#define PAGE_DOWN(gva) ((gva) & ~(gva_t)(LANE_PAGE - 1))
#define GAP (16 * (uint64_t)LANE_PAGE) /* kept free around it */

enum {
	STEP_NONE,
	STEP_CODE,
	STEP_SLOTS,
	STEP_DONTFORK,
	STEP_CLOSE,
	STEP_MAY_SYNC,	 /* membarrier(2): may we? */
	STEP_SYNC_TRAPS, /* and so the other threads see the traps, */
	STEP_SYNC_TAILS, /* and what is behind them */
};

/* Calls that fetch work. */

struct lane_thread *lane_thread_new(void)
{
	struct lane_thread *thread = calloc(1, sizeof(*thread));

	if (thread)
		thread->slot = thread->slot_to_be = thread->server_fd = -1;
	return thread;
}

void lane_note_server(struct task *task, int fd)
{
	if (!lane_enabled())
		return;
	if (!task->lane)
		task->lane = lane_thread_new();
	if (!task->lane)
		return;
	task->lane->server_fd = fd;
	task->lane->serves = true;
}

/* The memory. */

/*
 * A place below the site that is free with room to spare, 0: there is none near. As far down as jumps reach
 * with ease: the host fills such gaps from above.
 */
static gva_t find_place(struct task *task, gva_t site_gva)
{
	struct strbuf maps = STRBUF_INIT;
	struct procmap map;
	gva_t place = 0, before = 0, lowest = PAGE_DOWN(site_gva) - REACH;
	const char *text;

	if (procinfo_read(task->tid, "maps", &maps) == 0 && !maps.failed) {
		text = maps.buf;
		while (!place && procmaps_next(&text, &map) && map.start <= site_gva) {
			gva_t low = before + GAP > lowest ? before + GAP : lowest;

			if (before && low + LANE_BYTES + GAP <= map.start)
				place = low;
			before = map.end;
		}
	}
	strbuf_free(&maps);
	return place;
}

static int lane_memory(struct lane *lane)
{
	uint64_t slots[2] = { lane->gva + LANE_CODE_BYTES, lane->gva + LANE_CODE_BYTES + LANE_PAGE };
	int err;

	lane->hostfd = memfd_exec(LANE_NAME);
	if (lane->hostfd < 0)
		return lane->hostfd;
	err = (int)HOST(ftruncate(lane->hostfd, LANE_BYTES));
	if (!err)
		err = (int)HOST(fcntl(lane->hostfd, F_ADD_SEALS, SEALS));
	if (err)
		return err;
	lane->mem = mmap(NULL, LANE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, lane->hostfd, 0);
	if (lane->mem == MAP_FAILED)
		return -ENOMEM;
	/* cppcheck-suppress comparePointers; labels of one piece of code */
	memcpy(lane->mem, lane_code, (size_t)(lane_code_end - lane_code));
	memcpy(lane->mem + (lane_code_slots - lane_code), slots, sizeof(slots));
	return 0;
}

static struct lane *lane_new(struct task *task, gva_t site_gva)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	ref_init(&lane->ref);
	lane->hostfd = lane->mem_hostfd = -1;
	lane->mem = MAP_FAILED;
	atomic_flag_clear(&lane->busy);
	lane->gva = find_place(task, site_gva);
	if (lane->gva && lane_memory(lane) == 0)
		return lane;
	lane_put(lane);
	return NULL;
}

/* The process's, made when it has none; with a reference. */
static struct lane *process_lane(struct task *task, gva_t site_gva)
{
	struct process *process = task->process;
	struct lane *lane, *made;

	fb_mutex_lock(&process->lock);
	lane = lane_get(process->lane);
	fb_mutex_unlock(&process->lock);
	if (lane)
		return lane;
	made = lane_new(task, site_gva);
	fb_mutex_lock(&process->lock);
	if (!process->lane)
		process->lane = lane_get(made);
	lane = lane_get(process->lane);
	fb_mutex_unlock(&process->lock);
	lane_put(made);
	return lane;
}

static bool is_due(const struct lane_candidate *candidate)
{
	return candidate->ip_gva && candidate->count >= candidate->due;
}

/* Another thread's turn. */
static void armed(struct lane_thread *thread)
{
	thread->arming = false;
	atomic_flag_clear(&thread->lane->busy);
}

/* Is there a site that can be rewritten? */
static bool worth_a_stop(struct task *task)
{
	struct lane_thread *thread = task->lane;
	bool any = false;

	thread->stop_wanted = false;
	for (int i = 0; i < LANE_CANDIDATES; i++) {
		struct lane_candidate *candidate = &thread->candidates[i];

		if (is_due(candidate) && lane_knows(thread->lane, candidate->ip_gva))
			candidate->due = ~0u;
		any |= is_due(candidate);
	}
	return any;
}

struct sharers {
	const struct task *self;
	bool any;
};

static void look_at_sharer(struct task *task, void *arg)
{
	struct sharers *sharers = arg;

	sharers->any |= task->process != sharers->self->process &&
			task->files == sharers->self->files;
}

/* Does another process use its table of descriptors? */
static bool shares_descriptors(const struct task *task)
{
	struct sharers sharers = { .self = task };

	task_for_each(look_at_sharer, &sharers);
	return sharers.any;
}

bool lane_wants_stop(struct task *task)
{
	struct lane_thread *thread = task->lane;
	struct lane *lane;
	int err;

	if (!thread->stop_wanted || thread->refused || !thread->serves)
		return false;
	if (lane_shares_memory(task->process)) /* its text is another's, too, whom nobody has asked */
		return false;
	if (thread->slot < 0 && shares_descriptors(task)) /* who could map what is planted */
		return false;
	if (thread->slot >= 0 && !worth_a_stop(task))
		return false;
	thread->stop_wanted = false;
	lane = process_lane(task, task->call.ip_gva);
	if (!lane || atomic_load(&lane->broken)) {
		thread->refused = true;
		lane_put(lane);
		return false;
	}
	if (atomic_flag_test_and_set(&lane->busy)) { /* another thread is at it */
		thread->stop_wanted = true;
		lane_put(lane);
		return false;
	}
	thread->arming = true;
	err = call_pin(task);
	if (!err && !atomic_load(&lane->mapped))
		err = trap->plant_fd(task, lane->hostfd, trap_reserved_fd(RESERVED_LANE));
	fb_mutex_lock(&task->call.lock);
	if (!thread->lane)
		thread->lane = lane_get(lane);
	if (err) {
		armed(thread);
		task->call.pinned = false;
	}
	fb_mutex_unlock(&task->call.lock);
	lane_put(lane);
	return !err;
}

/* The stop. */

void lane_arm_not(struct task *task)
{
	task->lane->stop_wanted = true;
	armed(task->lane);
}

static void go_on(struct task *task)
{
	struct lane_thread *thread = task->lane;

	if (thread->interrupt)
		(void)ptrace(PTRACE_INTERRUPT, task->tid, 0, 0);
	thread->interrupt = false;
	(void)ptrace(PTRACE_CONT, task->tid, 0, 0);
}

static void refuse(struct lane *lane, gva_t ip_gva)
{
	lane->refused[lane->nr_refused++ % LANE_SITES] = ip_gva;
}

static void plan_sites(struct task *task)
{
	struct lane_thread *thread = task->lane;

	lane_plan_library(task, thread->lane, thread->regs.rip);
	for (int i = 0; i < LANE_CANDIDATES; i++) {
		struct lane_candidate *candidate = &thread->candidates[i];

		if (is_due(candidate) && !lane_knows(thread->lane, candidate->ip_gva) &&
		    lane_plan(task, thread->lane, candidate->ip_gva, candidate->nr))
			refuse(thread->lane, candidate->ip_gva);
	}
}

static int take_slot(struct lane *lane)
{
	unsigned used = atomic_load(&lane->slots_used);

	while (used != ~0u) {
		unsigned bit = (unsigned)__builtin_ctz(~used);

		if (atomic_compare_exchange_strong(&lane->slots_used, &used, used | 1u << bit))
			return (int)bit;
	}
	return -1;
}

/* The call that brought it here is made again. */
static void finish(struct task *task)
{
	struct lane_thread *thread = task->lane;
	struct user_regs_struct *regs = &thread->regs;
	int slot = thread->slot_to_be;

	thread->step = STEP_NONE;
	thread->slot_to_be = -1;
	if (slot >= 0)
		regs->gs_base = thread->lane->gva + LANE_CODE_BYTES + (unsigned)slot * LANE_SLOT_SIZE;
	else if (thread->slot < 0)
		thread->refused = true;
	regs->rip -= 2;
	regs->rax = (unsigned long long)task->call.nr;
	regs->orig_rax = ~0ULL;
	(void)ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(thread->sigmask), &thread->sigmask);
	(void)ptrace(PTRACE_SETREGS, task->tid, 0, regs);
	if (slot >= 0)
		lane_join(task, slot);
	armed(thread);
	lane_let_go(task->process);
	go_on(task);
}

static void run_step(struct task *task, int step);
static void cannot_write(struct task *task, int64_t err);

/* A part of the text, and then the step by which the others see it. */
static void write_text(struct task *task, enum lane_part part, int step)
{
	int err = lane_write(task->lane->lane, part);

	if (err)
		cannot_write(task, err);
	else
		run_step(task, step);
}

/* All is mapped. With other threads about, the text is written in parts that they agree to see. */
static void rewrite(struct task *task)
{
	struct lane_thread *thread = task->lane;
	struct lane *lane = thread->lane;
	pid_t none;

	if (thread->slot < 0 && thread->regs.gs_base == 0 && !atomic_load(&lane->broken) &&
	    lane_promise()) {
		thread->slot_to_be = take_slot(lane);
		if (thread->slot_to_be < 0)
			lane_break_promise();
	}
	if (thread->slot >= 0 || thread->slot_to_be >= 0)
		plan_sites(task);
	if (lane->nr_written == lane->nr_patches || lane_write_begin(task->tid, lane)) {
		finish(task);
	} else if (process_threads(task->process, &none, 0) == 1) {
		lane_write_end(lane, lane_write(lane, LANE_WHOLE) == 0);
		finish(task);
	} else if (!signal_is_fatal(task, SIGTRAP)) {
		/* The host would forget the process's own plans for it. */
		cannot_write(task, -EBUSY);
	} else if (!lane->may_sync) {
		run_step(task, STEP_MAY_SYNC);
	} else {
		write_text(task, LANE_TRAPS, STEP_SYNC_TRAPS);
	}
}

/* One that cannot map it never gets the lane; nothing was rewritten yet. */
static void fail(struct task *task, int64_t err)
{
	fb_log(LOG_INFO, "no fast lane for process %d: error %d", (int)task->process->pid,
	       (int)-err);
	atomic_store(&task->lane->lane->broken, true);
}

static void run_step(struct task *task, int step)
{
	struct lane_thread *thread = task->lane;
	struct user_regs_struct regs = thread->regs;
	uint64_t fd = (uint64_t)trap_reserved_fd(RESERVED_LANE);
	bool slots = step != STEP_CODE;

	thread->step = step;
	regs.rip -= 2;
	regs.orig_rax = ~0ULL;
	regs.rdi = thread->lane->gva + (slots ? LANE_CODE_BYTES : 0);
	regs.rsi = slots ? LANE_BYTES - LANE_CODE_BYTES : LANE_CODE_BYTES;
	switch (step) {
	case STEP_CODE:
	case STEP_SLOTS:
		regs.rax = SYS_mmap;
		regs.rdx = slots ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC;
		regs.r10 = MAP_SHARED | MAP_FIXED_NOREPLACE;
		regs.r8 = fd;
		regs.r9 = slots ? LANE_CODE_BYTES : 0;
		break;
	case STEP_DONTFORK: /* a child must not reach its parent's calls */
		regs.rax = SYS_madvise;
		regs.rdi = thread->lane->gva;
		regs.rsi = LANE_BYTES;
		regs.rdx = MADV_DONTFORK;
		break;
	case STEP_CLOSE:
		regs.rax = SYS_close;
		regs.rdi = fd;
		break;
	default:
		regs.rax = SYS_membarrier;
		regs.rdi = step == STEP_MAY_SYNC ?
				   MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE :
				   MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;
		regs.rsi = 0;
	}
	(void)ptrace(PTRACE_SETREGS, task->tid, 0, &regs);
	(void)ptrace(PTRACE_SYSCALL, task->tid, 0, 0);
}

/* The text stays as it was. */
static void cannot_write(struct task *task, int64_t err)
{
	fb_log(LOG_INFO, "no fast lane for process %d, which has threads: error %d",
	       (int)task->process->pid, (int)-err);
	lane_write_end(task->lane->lane, false);
	finish(task);
}

static void mapped(struct task *task)
{
	struct lane *lane = task->lane->lane;

	if (!atomic_load(&lane->broken)) {
		atomic_store(&lane->mapped, true);
		close(lane->hostfd);
		lane->hostfd = -1;
	}
	rewrite(task);
}

static void synced(struct task *task)
{
	struct lane_thread *thread = task->lane;
	struct lane *lane = thread->lane;

	switch (thread->step) {
	case STEP_MAY_SYNC:
		lane->may_sync = true;
		write_text(task, LANE_TRAPS, STEP_SYNC_TRAPS);
		break;
	case STEP_SYNC_TRAPS:
		write_text(task, LANE_TAILS, STEP_SYNC_TAILS);
		break;
	default:
		lane_write_end(lane, lane_write(lane, LANE_HEADS) == 0);
		finish(task);
	}
}

static void step_done(struct task *task, int64_t result)
{
	struct lane_thread *thread = task->lane;
	struct lane *lane = thread->lane;
	uint64_t wanted = lane->gva + (thread->step == STEP_SLOTS ? LANE_CODE_BYTES : 0);

	switch (thread->step) {
	case STEP_CODE:
	case STEP_SLOTS:
		if ((uint64_t)result != wanted)
			fail(task, result);
		run_step(task, atomic_load(&lane->broken) ? STEP_CLOSE : thread->step + 1);
		break;
	case STEP_DONTFORK:
		if (result)
			fail(task, result);
		run_step(task, STEP_CLOSE);
		break;
	case STEP_CLOSE:
		mapped(task);
		break;
	default:
		if (result)
			cannot_write(task, result);
		else
			synced(task);
	}
}

void lane_arm(struct task *task, const struct user_regs_struct *regs, bool group_stop)
{
	struct lane_thread *thread = task->lane;
	uint64_t all = UINT64_MAX;

	thread->regs = *regs;
	thread->interrupt = group_stop;
	(void)ptrace(PTRACE_GETSIGMASK, task->tid, sizeof(thread->sigmask), &thread->sigmask);
	(void)ptrace(PTRACE_SETSIGMASK, task->tid, sizeof(all), &all);
	if (atomic_load(&thread->lane->mapped))
		rewrite(task);
	else
		run_step(task, STEP_CODE);
}

bool lane_stop_event(struct task *task, int event, int signo)
{
	struct lane_thread *thread = task->lane;
	int64_t result;

	if (!thread || thread->step == STEP_NONE)
		return false;
	if (event == PTRACE_EVENT_EXIT) {
		thread->step = STEP_NONE; /* and lane_leave() does the rest */
		lane_write_end(thread->lane, false);
		lane_let_go(task->process);
		return false;
	}
	if (event == PTRACE_EVENT_STOP || (event == 0 && signo == SIGSTOP))
		thread->interrupt = true;
	if (event == 0 && signo == (SIGTRAP | 0x80) && inject_is_exit_stop(task, &result))
		step_done(task, result);
	else /* before the call; with all signals blocked there is nothing else to deliver */
		(void)ptrace(PTRACE_SYSCALL, task->tid, 0, signo == SIGSTOP && !event ? SIGSTOP : 0);
	return true;
}

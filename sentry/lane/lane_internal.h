/* Shared by the files of the lane. */
#ifndef FB_LANE_INTERNAL_H
#define FB_LANE_INTERNAL_H

#include <stdatomic.h>

#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/types.h"
#include "sentry/lane/lane.h"
#include "sentry/lane/layout.h"
#include "sentry/window.h"

/* Bytes of the guest's text that are replaced; the tracer's alone. */
struct lane_patch {
	gva_t gva;
	uint8_t len;
	uint8_t was[8], now[8];
};

/* A system call instruction whose callers take the lane. */
struct lane_site {
	gva_t return_gva; /* of the instruction after it */
	int nr;
	uint32_t kind; /* LANE_IN_* */
};

#define LANE_NAME "fusebox-lane" /* of the memfd */

/* Of one address space. Counted by its processes and threads. */
struct lane {
	struct ref ref;
	unsigned char *mem; /* LANE_BYTES, our view */
	gva_t gva;	    /* the guest's */
	int hostfd;	    /* until it is mapped there, else -1 */
	atomic_bool mapped, broken;
	atomic_flag busy; /* one thread at a time is armed */
	/* Appended by the tracer before anybody can arrive there. */
	struct lane_site sites[LANE_SITES];
	atomic_uint nr_sites;
	struct lane_patch patches[2 * LANE_SITES];
	unsigned nr_patches, nr_written;
	int mem_hostfd; /* of the process, while text is being written, else -1 */
	bool may_sync; /* the process is registered for membarrier(2) */
	bool library_done; /* lane_rewrite_library() */
	gva_t refused[LANE_SITES]; /* a ring of such that cannot be rewritten */
	unsigned nr_refused;
	atomic_uint slots_used; /* a bit for each */
};

/* A place from which a serving thread traps, and how often it has. */
struct lane_candidate {
	gva_t ip_gva;
	int nr;
	unsigned count, due;
};
#define LANE_CANDIDATES 32
#define LANE_DUE 16 /* traps, until a site is worth a stop; 1 if eager */

/* What a task keeps. Made with its first call that fetches work, or at birth from a process with a lane. */
struct lane_thread {
	struct lane *lane; /* counted; set while slot >= 0, and from lane_wants_stop() to the stop */
	int slot;	   /* -1: none */
	int slot_to_be;	   /* tracer, while it is armed: -1: none, or none that is new */
	int server_fd;	   /* of the last call that fetched work */
	struct window window; /* on the slot's data, of the last call */
	bool answered;	   /* the slot's result may not have been seen */
	bool serves;	   /* it has fetched work */
	bool refused;	   /* no slot for this thread, ever */
	bool arming;	   /* it holds lane->busy */
	/*
	 * Only a thread with frequent calls uses its slot: `fast`. Others trap, and the guest's code does not
	 * even look.
	 */
	bool fast;
	int64_t trap_ns;	 /* of its last trap, */
	unsigned hot, hot_min;	 /* how many have come fast enough, and after how many it may try */
	unsigned run;		 /* calls by the lane since it is fast */
	atomic_uint late;	 /* calls that did not come in time, in a row */
	_Atomic int64_t owed_ns; /* until when the next call is expected; 0: it is not */
	struct lane_candidate candidates[LANE_CANDIDATES];
	bool stop_wanted;
	/* Tracer, while the task runs calls of ours: */
	int step;
	bool interrupt; /* a stop for job control was passed over */
	struct user_regs_struct regs;
	uint64_t sigmask;
	/* Tracer, between birth and the first stop: */
	struct lane *born_of; /* counted: its parent's, of which it must have nothing */
	bool copied;	      /* and whose text it has a copy of */
};

/* A guest's or the leader's yield that takes longer means that somebody else computes there. */
#define LANE_YIELD_NS 200000

/*
 * The leader looks out for the thread's next call until then, 0: not at all. Its calls trap then, but for one
 * that is taken already.
 */
void lane_attend(struct lane_thread *thread, int64_t until_ns);
/* The result of the last call, answered and not seen, whose data we bring out. call.lock held. */
int64_t lane_result(struct task *task);
/* Its calls trap from now on. call.lock held. */
void lane_slow_down(struct lane_thread *thread);
/* The list of those that the leader looks at. Before a slot is given back, its task is forgotten. */
void lane_remember(struct task *task);
void lane_forget(struct task *task);
uint64_t lane_calls(void);
struct lane_thread *lane_thread_new(void); /* NULL: out of memory */
/* Does the process share its memory with another? Then its text is not its own. */
bool lane_shares_memory(struct process *process);
/* The task has a slot from now on. */
void lane_join(struct task *task, int slot);
struct lane *lane_get(struct lane *lane);
/* Is this system call one that may take the lane? */
bool lane_allows(int nr);
/* What its arguments point to that is worth bringing: LANE_IN_*. */
uint32_t lane_brings(int nr);
bool lane_enabled(void);
/* How many threads may be fast at a time. */
int lane_max_fast(void);
bool lane_eager(void);
/* Has the site been rewritten, or can it not be? */
bool lane_knows(const struct lane *lane, gva_t ip_gva);
/* Room for one more in that list; it is used by lane_remember(), or given back. */
bool lane_promise(void);
void lane_break_promise(void);

/* lane_site.c, on the tracer's thread. */

/* Plans to make the system call before ip_gva one that takes the lane. 0; -EOPNOTSUPP: never. */
int lane_plan(struct task *task, struct lane *lane, gva_t ip_gva, int nr);
/*
 * The same, once, for all sites of the mapping around gva that look like a C library's: a serving thread should
 * not meet them one by one.
 */
void lane_plan_library(struct task *task, struct lane *lane, gva_t gva);
/*
 * Writes what is planned: the parts one after the other, or all when no other thread can be there. Between begin and
 * end threads that meet a trap are held at their stop. An error: nothing is planned any more. The end makes it
 * good, or takes it back.
 */
enum lane_part { LANE_TRAPS, LANE_TAILS, LANE_HEADS, LANE_WHOLE };
int lane_write_begin(pid_t tid, struct lane *lane);
int lane_write(struct lane *lane, enum lane_part part); /* 0, or -EFAULT: then it is to be taken back */
void lane_write_end(struct lane *lane, bool good);
/* Is the trap that a thread has met at gva one of those, be it that it has gone meanwhile? */
bool lane_had_trap(pid_t tid, const struct lane *lane, gva_t gva);
/*
 * Bytes between `mov $nr, %eax` and the system call that ends before ip, all of them loads from the stack; < 0:
 * there is no such mov. 23 bytes before ip are looked at.
 */
int lane_find_mov(const uint8_t *ip, int nr);
/* Nothing but the no-operations that assemblers pad with? */
bool lane_is_padding(const uint8_t *code, size_t len);
/* Puts the patched bytes back, in the memory of that thread. */
void lane_restore(pid_t tid, const struct lane *lane);

#endif

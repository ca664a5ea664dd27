/*
 * One fiber: a guarded stack, its saved stack pointer, and the waiter that stands for it.
 *
 * A fiber is in one of the states below; the transitions are lock-free so that a wake-up may come
 * from any thread at any moment, also between the decision to park and the switch away.
 */
#ifndef FB_SCHED_FIBER_H
#define FB_SCHED_FIBER_H

#include <stdatomic.h>

#include "sentry/base/wait.h"

enum fiber_state {
	FIBER_RUNNING,
	FIBER_NOTIFIED,	     /* running, and the next park returns at once */
	FIBER_PARKING,	     /* about to switch away */
	FIBER_PARK_NOTIFIED, /* about to switch away, and woken already */
	FIBER_PARKED,
	FIBER_QUEUED, /* on the run queue */
	FIBER_ENDED,
};

struct fiber {
	void *sp; /* saved stack pointer while it does not run */
	_Atomic enum fiber_state state;
	struct fiber *next; /* run queue or free list */
	struct waiter waiter;
	struct fb_timer timer; /* the deadline of a park */
	void (*fn)(void *);
	void *arg;
	void *owner; /* for the park hooks; NULL = none are called */
	char *stack; /* lowest usable address; the guard page is below */
#ifdef __SANITIZE_ADDRESS__
	void *asan_fake_stack;
#endif
#ifdef __SANITIZE_THREAD__
	void *tsan_fiber;
#endif
};

#ifdef __SANITIZE_ADDRESS__
#define FIBER_STACK_SIZE (1024UL * 1024)
#else
#define FIBER_STACK_SIZE (128UL * 1024)
#endif

/* What a thread that runs fibers keeps; on that thread's own stack. */
struct fiber_thread {
	void *sp; /* saved while a fiber runs */
	struct fiber *current;
	atomic_bool leader; /* changed under sched_lock, also by the tick */
#ifdef __SANITIZE_ADDRESS__
	void *asan_fake_stack;
	const void *asan_bottom;
	size_t asan_size;
#endif
#ifdef __SANITIZE_THREAD__
	void *tsan_fiber;
#endif
};

/* The calling thread's, or NULL: it runs no fibers. Never cached across a park. */
struct fiber_thread *fiber_thread_self(void);
/* Declares the calling thread as one that runs fibers; `thread` lives as long as it does. */
void fiber_thread_init(struct fiber_thread *thread);

struct fiber *fiber_new(void (*fn)(void *), void *arg);
/* Switches to the fiber until it parks or ends. Frees an ended one. */
void fiber_resume(struct fiber_thread *thread, struct fiber *fiber);
/* Called by fiber.c when a fiber has become runnable; implemented by worker.c. */
void runqueue_push(struct fiber *fiber);
#endif

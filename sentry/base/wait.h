/*
 * Waiting, for code that knows nothing of fibers and threads.
 *
 * A `struct waiter` is whoever runs the current code: a fiber (a guest's system call) or an
 * ordinary thread (unit tests, the tracer). A `struct waitq` is a list of entries that want to
 * hear of an event; an entry is a sleeping waiter, or a callback (epoll, FUSE poll).
 *
 *	fb_mutex_lock(&pipe->lock);
 *	while (pipe_is_empty(pipe)) {
 *		err = waitq_wait(&pipe->readers, POLLIN, &pipe->lock, WAIT_INTERRUPTIBLE, 0);
 *		if (err)
 *			break;
 *	}
 *
 * The rule that makes this free of lost wake-ups: whoever makes the condition true changes it
 * under the same mutex, and calls waitq_wake() after that (under the mutex or after it).
 *
 * All wait queues of the sentry share one lock (RANK_WAIT). One listener takes all notifications,
 * so there is no contention to split it for, and nested epoll instances need no lock order.
 */
#ifndef FB_BASE_WAIT_H
#define FB_BASE_WAIT_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"

/* CLOCK_MONOTONIC / CLOCK_REALTIME in nanoseconds. */
int64_t clock_monotonic_ns(void);
int64_t clock_realtime_ns(void);

#define WAIT_FOREVER 0 /* as deadline: none */

/* What may end a wait early. */
enum wait_mode {
	WAIT_UNINTERRUPTIBLE,
	WAIT_KILLABLE,	    /* only the death of the waiting task */
	WAIT_INTERRUPTIBLE, /* any signal that the task is to take */
};

enum {
	WAITER_SIGNAL = 1, /* a signal is to be delivered: unwind with a restart code */
	WAITER_KILLED = 2, /* the task is dead: unwind, nobody sees the result */
};

struct waiter {
	atomic_uint interrupts; /* WAITER_*; sticky until waiter_reset() */
	atomic_bool permit;	/* a wake-up that park() has not consumed yet */
	atomic_bool spins;	/* whom it works for does not sleep: the first choice of a wake-up */
	/* Sleeps until unpark() or the absolute monotonic deadline (0 = none); may return early. */
	void (*park)(struct waiter *waiter, enum wait_mode mode, int64_t deadline_ns);
	/* Lets the next or current park() return. Called with the wait lock held. */
	void (*unpark)(struct waiter *waiter);
};

static inline bool waiter_spins(const struct waiter *waiter)
{
	return atomic_load_explicit(&waiter->spins, memory_order_relaxed);
}

/* The waiter that runs the calling code; a thread that is no fiber gets one of its own. */
struct waiter *waiter_self(void);
/* Set by sched/ for the fibers it runs; NULL falls back to the thread's own waiter. */
void waiter_set_hook(struct waiter *(*current)(void));

/* How many may spin for one thing before they are in each other's way; at first 1. Set before the first waits. */
void wait_set_spinners_max(unsigned nr);
unsigned wait_spinners_max(void);

/* Ends (now or in future) the waits of `waiter` whose mode lets it; `why` is WAITER_*. */
void waiter_interrupt(struct waiter *waiter, unsigned why);
/* The same with the wait lock held, for who guards the waiter's life by it. */
void waiter_interrupt_locked(struct waiter *waiter, unsigned why);
/* Forgets earlier interrupts: the waiter starts a new system call. */
void waiter_reset(struct waiter *waiter);
/* 0, or -ERESTARTSYS when an interrupt that `mode` reacts to is pending. */
int waiter_pending(const struct waiter *waiter, enum wait_mode mode);

struct waitq {
	struct list_node entries; /* guarded by the wait lock */
};

struct waitq_entry;
/*
 * Called with the wait lock held; must not take any lock but RANK_SCHED, must not sleep, and may
 * call waitq_wake_locked() on another queue. `events` is what the waker says (0 = all).
 */
typedef void (*waitq_wake_fn)(struct waitq_entry *entry, unsigned events);

struct waitq_entry {
	struct list_node node; /* guarded by the wait lock; self-linked when not queued */
	struct waitq *queue;   /* NULL when not queued */
	waitq_wake_fn wake;
	void *owner;	 /* free for `wake` */
	unsigned events; /* poll bits it cares for; 0 = all */
	bool exclusive;	 /* a wake-up stops at the first such entry */
	const struct waiter *sleeper; /* of waitq_wait(); NULL: none is known */
};

#define WAITQ_INIT(name) { LIST_INIT((name).entries) }

void waitq_init(struct waitq *queue);
/* True when somebody waits. Racy; only for hints. */
bool waitq_active(const struct waitq *queue);

void waitq_entry_init(struct waitq_entry *entry, waitq_wake_fn wake, void *owner);
void waitq_add(struct waitq *queue, struct waitq_entry *entry);
/* Also legal when not queued. On return the callback does not run and will not run again. */
void waitq_del(struct waitq_entry *entry);

/*
 * Wakes every entry that cares for `events` (POLL* bits, 0 = all), except that of the exclusive
 * entries only one is woken: one whose sleeper spins, else the most recently added. That is the one
 * whose caches are warm and whose task is not parked natively yet.
 */
void waitq_wake(struct waitq *queue, unsigned events);
/* How many spin there. */
unsigned waitq_spinning(struct waitq *queue);
/* Wakes exclusive entries too, all of them: shutdown, abort. */
void waitq_wake_all(struct waitq *queue, unsigned events);
/* For callbacks, which hold the wait lock already. */
void waitq_wake_locked(struct waitq *queue, unsigned events);
/* The wait lock itself, for state shared with callbacks (epoll's ready list). */
void waitq_lock(void);
void waitq_unlock(void);

/*
 * Gives up `mutex`, sleeps until a wake-up, takes `mutex` again. Spurious returns are legal: use
 * it in a loop over the condition.
 *
 * mutex        held by the caller, and the only ranked mutex it holds; NULL = none
 * deadline_ns  absolute CLOCK_MONOTONIC, or WAIT_FOREVER
 * Return       0 woken; -ERESTARTSYS interrupted as `mode` allows; -ETIMEDOUT
 */
int waitq_wait(struct waitq *queue, unsigned events, struct fb_mutex *mutex, enum wait_mode mode,
	       int64_t deadline_ns);
/* The same with an exclusive entry. */
int waitq_wait_exclusive(struct waitq *queue, unsigned events, struct fb_mutex *mutex,
			 enum wait_mode mode, int64_t deadline_ns);
/* Sleeps for callers that queued their own entries (poll, select): until unpark or deadline. */
int waiter_sleep(enum wait_mode mode, int64_t deadline_ns);
/* A ready-made callback: entry->owner is the struct waiter to wake. */
void waitq_wake_waiter(struct waitq_entry *entry, unsigned events);

/*
 * A sleeper that may sleep for other things between queueing its entries and waiting for them: poll
 * asks files, and a FUSE file asks its daemon. A wake-up in such a nested sleep is used up there, so
 * it is remembered here as well (cf. poll_wqueues.triggered in Linux).
 */
struct wait_mark {
	struct waiter *waiter;
	atomic_bool woken;
};
void wait_mark_init(struct wait_mark *mark); /* for the calling waiter */
/* The callback: entry->owner is the struct wait_mark. */
void waitq_wake_mark(struct waitq_entry *entry, unsigned events);
/*
 * Until an entry is woken, or was since the last return; other wake-ups of the waiter do not count.
 * 0, or what waiter_sleep() says.
 */
int wait_mark_sleep(struct wait_mark *mark, enum wait_mode mode, int64_t deadline_ns);

/*
 * Sleeping locks: may be held across a park. They come before every ranked mutex: never take one
 * while a ranked mutex is held. Order among them: a file's position lock, the rename lock, inodes
 * (ancestor first, else by address); docs/locking.md has the rest.
 */
struct sleep_mutex {
	atomic_int held; /* 0 free, 1 held, 2 held and somebody waits */
	struct waitq waiters;
};

void sleep_mutex_init(struct sleep_mutex *mutex);
void sleep_mutex_lock(struct sleep_mutex *mutex);
int sleep_mutex_lock_killable(struct sleep_mutex *mutex); /* 0 or -ERESTARTSYS */
bool sleep_mutex_trylock(struct sleep_mutex *mutex);
void sleep_mutex_unlock(struct sleep_mutex *mutex);
bool sleep_mutex_is_locked(const struct sleep_mutex *mutex);

/* Readers and writers; a waiting writer holds back new readers. */
struct sleep_rwlock {
	struct fb_mutex lock;	/* RANK_LEAF: guards the rest */
	int readers;		/* active readers; -1 = one writer */
	int writers_waiting;
	struct waitq waiters;
};

void sleep_rwlock_init(struct sleep_rwlock *lock);
void sleep_rwlock_read_lock(struct sleep_rwlock *lock);
void sleep_rwlock_read_unlock(struct sleep_rwlock *lock);
void sleep_rwlock_write_lock(struct sleep_rwlock *lock);
int sleep_rwlock_write_lock_killable(struct sleep_rwlock *lock);
void sleep_rwlock_write_unlock(struct sleep_rwlock *lock);

/*
 * A callback at a point in time, run by the reactor thread (or, before it exists, by a thread of
 * base). The callback may take locks and wake queues but must not sleep.
 */
struct fb_timer {
	int64_t deadline_ns; /* absolute CLOCK_MONOTONIC; 0 = not armed; guarded by the timer lock */
	void (*fire)(struct fb_timer *timer);
	size_t heap_index; /* private to timer.c; 0 = not queued */
};

void fb_timer_init(struct fb_timer *timer, void (*fire)(struct fb_timer *timer));
/* Arms or re-arms. */
void fb_timer_arm(struct fb_timer *timer, int64_t deadline_ns);
/* On return the callback is not running (unless called from it) and will not run. */
void fb_timer_cancel(struct fb_timer *timer);
/* A host descriptor that is readable when timers_run() has something to do. */
int timers_hostfd(void);
/* Fires what is due. Called by the reactor, which must say first that it will: */
void timers_run(void);
void timers_take_over(void);

#endif

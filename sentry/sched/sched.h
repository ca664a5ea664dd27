/*
 * Fibers and the threads that run them.
 *
 * A fiber is a small stack on which one guest's system call runs in plain blocking style. It parks
 * when it must wait (base/wait.h calls in here), and a wake-up puts it on the one run queue; the
 * thread that woke it runs it next, so no other core is bothered. Threads that run fibers: the
 * workers, which take notifications leader/follower; the reactor, which waits for the host; and
 * the tracer, for the fibers it starts itself.
 */
#ifndef FB_SCHED_H
#define FB_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct fiber;

/* Starts the reactor and the timer source. `receive` is the leader's wait for the next event:
 * it returns true after it has started or readied fibers, false when no more will come. `pending`, which may
 * be NULL, tells whether it would return at once. */
int sched_start(bool (*receive)(void), bool (*pending)(void));
/* What the leader does before it waits: true when that has begun or readied a fiber. Before sched_start(). */
void sched_set_poll(bool (*poll)(void));
/* Is a fiber ready to run? A hint, without the lock. */
bool sched_has_work(void);
/* Wakes and joins the threads. No fiber may be left that anybody needs. */
void sched_stop(void);

/* Runs fn(arg) on a new fiber, at once, on the calling thread, until it ends or parks first.
 * Only from sched threads and the tracer. */
void sched_run(void (*fn)(void *), void *arg);
/* The same, but on whichever sched thread comes next. From any thread. */
void sched_spawn(void (*fn)(void *), void *arg);
/* Runs what is on the run queue; for threads that are woken outside sched's own loops. */
void sched_drain(void);

/*
 * Hooks around each park of a fiber that has an owner (fiber_set_owner, by the fiber itself):
 * how call.c learns which calls wait. They run on the fiber, with no lock held.
 */
void sched_set_park_hooks(void (*before)(void *owner), void (*after)(void *owner));
void fiber_set_owner(void *owner);
void *fiber_owner(void); /* of the running one; NULL: it has none, or this is a plain thread */

/* The running fiber, or NULL on a plain thread. */
struct fiber *fiber_current(void);

/*
 * Around a host call that may take long (disk, blocking descriptor): if it really does, another
 * thread takes over the listener. No-op outside fibers.
 */
void sched_blocking_begin(void);
void sched_blocking_end(void);

/*
 * Backend: brackets around the receive call, so that the tick can tell a busy leader. False: not now, there is
 * something to do first; receive returns, and there is no end to it.
 */
bool sched_receive_begin(void);
void sched_receive_end(void);
/* Tracer, about every millisecond while guests are active: replaces a leader that is stuck. */
void sched_tick(void);
/* The leader may be stuck soon: the tick should come. `wake` ends the tracer's idle sleep. */
bool sched_wants_tick(void);
void sched_set_tick_waker(void (*wake)(void));

/*
 * Host readiness. A watch calls `ready` on the reactor thread with POLL* bits whenever the host
 * descriptor gets ready (edge-triggered). The callback may wake queues but must not sleep.
 */
struct host_watch {
	int hostfd;
	void (*ready)(struct host_watch *watch, unsigned events);
	bool armed;
	uint32_t slot; /* private to reactor.c */
};
int host_watch_add(struct host_watch *watch, int hostfd,
		   void (*ready)(struct host_watch *watch, unsigned events));
/* On return the callback does not run and will not run again. */
void host_watch_del(struct host_watch *watch);

struct sched_stats {
	uint64_t fibers_run, wakeups, promotions, reactor_wakeups;
};
void sched_get_stats(struct sched_stats *ret);

#endif

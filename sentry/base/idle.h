/*
 * Work that nobody waits for: it is done when the scheduler has nothing better to do, or has had for a while.
 *
 * Its function runs on a scheduler's thread that holds no lock, on no fiber: it must not sleep, but for
 * short-held locks.
 */
#ifndef FB_BASE_IDLE_H
#define FB_BASE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/list.h"

#define IDLE_WORK_NS 100000 /* so long it waits at most while the scheduler is busy */

struct idle_work {
	struct list_node node; /* self-linked when not queued */
	int64_t due_ns;
	void (*fn)(struct idle_work *work);
	int running; /* private, as node and due_ns */
};

void idle_work_init(struct idle_work *work, void (*fn)(struct idle_work *work));
/* Queues it, if it is not queued. False: nobody is busy, and the caller should do it at once. Any lock may be held. */
bool idle_work_add(struct idle_work *work);
/* On return it is not queued and does not run. */
void idle_work_cancel(struct idle_work *work);

/* The scheduler's side. */

/* Is any queued? A hint. */
bool idle_work_pending(void);
/* Runs what is due, or all of it. */
void idle_work_run(bool all);
/*
 * Whoever runs it is about to sleep, and looks at idle_work_pending() once more after this; or is awake. Calls are
 * counted: nobody queues work while one sleeps. At first one does.
 */
void idle_work_sleep(bool asleep);

#endif

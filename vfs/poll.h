/*
 * Readiness. A file's poll method calls poll_wait() for each of its wait queues and returns the
 * POLL* bits that hold now.
 */
#ifndef FB_VFS_POLL_H
#define FB_VFS_POLL_H

#include <poll.h>
#include <stdint.h>

#include "sentry/base/wait.h"

struct file;
struct op_ctx;

struct poll_table {
	/* Registers interest in `queue`; called by poll_wait(). */
	void (*queue)(struct poll_table *table, struct file *file, struct waitq *queue);
	unsigned events; /* what the caller wants to know */
};

static inline void poll_wait(struct poll_table *table, struct file *file, struct waitq *queue)
{
	if (table && table->queue)
		table->queue(table, file, queue);
}

#define POLL_ALWAYS (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

/*
 * Wakers say POLLIN or POLLOUT; who asks for a relative of these wants to hear of it, too. The events
 * for the wait queue entry of who wants `events`.
 */
unsigned poll_wake_events(unsigned events);

/* The file's poll method or its default. */
unsigned vfs_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table);

struct poll_item {
	struct file *file; /* borrowed; NULL: skipped, revents stays */
	unsigned events, revents;
};
/*
 * Waits until an item is ready. Returns the number of items with revents, 0 at the deadline,
 * -ERESTARTNOHAND on a signal. deadline_ns: absolute monotonic, WAIT_FOREVER, or < 0: do not wait.
 */
int vfs_poll_items(const struct op_ctx *ctx, struct poll_item *items, size_t nr_items,
		   int64_t deadline_ns);

#endif

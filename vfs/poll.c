/*
 * Waiting for readiness of many files: poll(2), select(2).
 *
 * The order that loses no wake-up: queue an entry on every wait queue, then ask every file, then
 * sleep. A wake-up between asking and sleeping is remembered in the mark, also when asking another
 * file has slept meanwhile, and the sleep returns at once. After the first round files are asked without a table: the entries stay queued.
 */
#include "vfs/poll.h"

#include <stdlib.h>

#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "vfs/ctx.h"
#include "vfs/file.h"

#define INLINE_ENTRIES 8 /* on the stack: most calls ask for one or two files */
#define BLOCK_ENTRIES  63

struct poll_block {
	struct poll_block *next;
	size_t used;
	struct waitq_entry entries[BLOCK_ENTRIES];
};

struct poll_wait_table {
	struct poll_table table;
	struct wait_mark mark;
	bool failed; /* no memory for an entry */
	size_t nr_inline;
	struct waitq_entry inline_entries[INLINE_ENTRIES];
	struct poll_block *blocks;
};

unsigned vfs_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	if (file->fmode & FMODE_PATH)
		return POLLNVAL;
	/* A FUSE daemon may say anything: POLLNVAL is not its to say (cf. do_pollfd()). */
	return file->op->poll ? file->op->poll(ctx, file, table) & ~(unsigned)POLLNVAL : POLL_ALWAYS;
}

static struct waitq_entry *entry_new(struct poll_wait_table *wait)
{
	struct poll_block *block = wait->blocks;

	if (wait->nr_inline < INLINE_ENTRIES)
		return &wait->inline_entries[wait->nr_inline++];
	if (!block || block->used == BLOCK_ENTRIES) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->next = wait->blocks;
		block->used = 0;
		wait->blocks = block;
	}
	return &block->entries[block->used++];
}

unsigned poll_wake_events(unsigned events)
{
	if (events & (POLLRDNORM | POLLRDBAND | POLLRDHUP))
		events |= POLLIN;
	if (events & (POLLWRNORM | POLLWRBAND))
		events |= POLLOUT;
	return events;
}

static void poll_queue(struct poll_table *table, struct file *file, struct waitq *queue)
{
	struct poll_wait_table *wait = container_of(table, struct poll_wait_table, table);
	struct waitq_entry *entry = entry_new(wait);

	(void)file;
	if (!entry) {
		wait->failed = true;
		return;
	}
	waitq_entry_init(entry, waitq_wake_mark, &wait->mark);
	entry->events = poll_wake_events(table->events);
	waitq_add(queue, entry);
}

static void poll_table_free(struct poll_wait_table *wait)
{
	struct poll_block *block;
	size_t n;

	for (n = 0; n < wait->nr_inline; n++)
		waitq_del(&wait->inline_entries[n]);
	while ((block = wait->blocks) != NULL) {
		for (n = 0; n < block->used; n++)
			waitq_del(&block->entries[n]);
		wait->blocks = block->next;
		free(block);
	}
}

/* Asks every file; queues as long as nothing is ready and `queue` says so (cf. do_poll()). */
static int poll_round(const struct op_ctx *ctx, struct poll_wait_table *wait,
		      struct poll_item *items, size_t nr_items, bool queue)
{
	int ready = 0;
	size_t n;

	for (n = 0; n < nr_items; n++) {
		struct poll_item *item = &items[n];
		/* POLLERR and POLLHUP are always told, poll(2). */
		unsigned want = item->events | POLLERR | POLLHUP;

		if (!item->file) {
			ready += item->revents != 0;
			continue;
		}
		wait->table.events = want;
		item->revents =
			vfs_poll(ctx, item->file, queue && ready == 0 ? &wait->table : NULL) &
			(want | POLLNVAL);
		ready += item->revents != 0;
	}
	return ready;
}

int vfs_poll_items(const struct op_ctx *ctx, struct poll_item *items, size_t nr_items,
		   int64_t deadline_ns)
{
	struct poll_wait_table wait = { .table = { .queue = poll_queue } };
	bool expired = deadline_ns < 0;
	int ready, err;

	wait_mark_init(&wait.mark);
	ready = poll_round(ctx, &wait, items, nr_items, !expired);
	while (ready == 0 && !expired && !wait.failed) {
		err = wait_mark_sleep(&wait.mark, WAIT_INTERRUPTIBLE, deadline_ns);
		if (err == -ETIMEDOUT)
			expired = true;
		/* What became ready counts more than the signal that came with it. */
		ready = poll_round(ctx, &wait, items, nr_items, false);
		if (ready == 0 && err == -ERESTARTSYS) {
			ready = -ERESTARTNOHAND;
			break;
		}
	}
	poll_table_free(&wait);
	return ready == 0 && wait.failed ? -ENOMEM : ready;
}

/* select(2) and pselect6(2): bitmaps in, bitmaps out. */
#include "syscalls/select.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/poll.h"
#include "vfs/file.h"
#include "vfs/poll.h"

/* What makes a descriptor count in each of the three sets (select(2), NOTES). */
#define SET_IN	(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SET_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SET_EX	POLLPRI
#define NR_SETS 3

static const unsigned set_events[NR_SETS] = {SET_IN, SET_OUT, SET_EX};

int wait_time_get(struct task *task, gva_t gva, enum wait_time_type type,
		  struct wait_time *ret_time)
{
	struct timespec ts;
	int err;

	*ret_time = (struct wait_time){gva, type, WAIT_FOREVER};
	if (!gva)
		return 0;
	if (type == WAIT_TIMESPEC)
		err = copy_timespec_from_guest(task, gva, &ts);
	else
		err = copy_timeval_from_guest(task, gva, &ts);
	if (!err)
		ret_time->deadline_ns = deadline_after(&ts);
	return err;
}

int64_t wait_time_put(struct task *task, const struct wait_time *time, int64_t result)
{
	int64_t left, pair[2];
	int err;

	if (!time->gva || time->deadline_ns < 0)
		return result;
	left = time->deadline_ns - clock_monotonic_ns();
	if (left < 0)
		left = 0;
	/* struct timespec and struct timeval are two 64-bit numbers each. */
	pair[0] = left / 1000000000;
	pair[1] = left % 1000000000;
	if (time->type == WAIT_TIMEVAL)
		pair[1] /= 1000;
	err = copy_to_guest(task, time->gva, pair, sizeof(pair));
	/* Without the time left a restart would wait too long. */
	if (err && result == -ERESTARTNOHAND)
		return -EINTR;
	return result;
}

struct select_item {
	int fd;
	unsigned events;   /* wanted, of all three sets */
	unsigned sets;	   /* bit per set that the descriptor is in */
	struct file *file; /* counted */
};

struct select_entry {
	struct waitq_entry entry;
	struct select_entry *next;
};

/* One select under way. */
struct selection {
	struct poll_table table;
	struct wait_mark mark;
	struct select_entry *entries; /* owned list */
	bool no_memory;
	struct select_item *items; /* owned */
	size_t nr_items;
	unsigned long *in[NR_SETS], *out[NR_SETS]; /* bitmaps in one block; in may be NULL */
	size_t set_bytes;
};

static void select_queue(struct poll_table *table, struct file *file, struct waitq *queue)
{
	struct selection *sel = container_of(table, struct selection, table);
	struct select_entry *entry = malloc(sizeof(*entry));

	(void)file;
	if (!entry) {
		sel->no_memory = true;
		return;
	}
	waitq_entry_init(&entry->entry, waitq_wake_mark, &sel->mark);
	entry->entry.events = table->events | POLLERR | POLLHUP;
	entry->next = sel->entries;
	sel->entries = entry;
	waitq_add(queue, &entry->entry);
}

static void select_unqueue(struct selection *sel)
{
	struct select_entry *entry = sel->entries, *next;

	for (; entry; entry = next) {
		next = entry->next;
		waitq_del(&entry->entry);
		free(entry);
	}
	sel->entries = NULL;
}

static bool bit_test(const unsigned long *set, int fd)
{
	return set && (set[fd / 64] >> (fd % 64) & 1);
}

static void bit_set(unsigned long *set, int fd)
{
	set[fd / 64] |= 1UL << (fd % 64);
}

/* One round over all files; returns the bits set in the output maps. */
static int select_scan(const struct op_ctx *ctx, struct selection *sel, bool queue)
{
	int count = 0;
	size_t i;

	for (i = 0; i < sel->nr_items; i++) {
		struct select_item *item = &sel->items[i];
		unsigned ready;

		sel->table.events = item->events;
		ready = vfs_poll(ctx, item->file, queue && !count ? &sel->table : NULL);
		for (int s = 0; s < NR_SETS; s++) {
			if (!(item->sets & 1u << s) || !(ready & set_events[s]))
				continue;
			bit_set(sel->out[s], item->fd);
			count++;
		}
	}
	return count;
}

static int64_t select_wait(const struct op_ctx *ctx, struct selection *sel, int64_t deadline_ns)
{
	int64_t result;

	wait_mark_init(&sel->mark);
	sel->table.queue = select_queue;
	result = select_scan(ctx, sel, deadline_ns >= 0);
	while (!result && deadline_ns >= 0) {
		int err = sel->no_memory ? -ENOMEM
					 : wait_mark_sleep(&sel->mark, WAIT_INTERRUPTIBLE,
							   deadline_ns);

		result = select_scan(ctx, sel, false);
		if (result || !err)
			continue;
		if (err == -ERESTARTSYS)
			result = -ERESTARTNOHAND;
		else if (err != -ETIMEDOUT)
			result = err;
		break;
	}
	select_unqueue(sel);
	return result;
}

/* How many descriptors the sets name at most. */
static size_t select_count(const struct selection *sel)
{
	size_t count = 0;

	for (int s = 0; s < NR_SETS; s++)
		for (size_t i = 0; sel->in[s] && i < sel->set_bytes / sizeof(long); i++)
			count += (size_t)__builtin_popcountl(sel->in[s][i]);
	return count;
}

/* Which descriptors are in any set, with their files. */
static int select_get_files(struct task *task, struct selection *sel, int n)
{
	int fd, s;

	sel->items = malloc(select_count(sel) * sizeof(*sel->items) + 1);
	if (!sel->items)
		return -ENOMEM;
	for (fd = 0; fd < n; fd++) {
		struct select_item item = {.fd = fd};

		for (s = 0; s < NR_SETS; s++) {
			if (!bit_test(sel->in[s], fd))
				continue;
			item.sets |= 1u << s;
			item.events |= set_events[s];
		}
		if (!item.sets)
			continue;
		item.file = task_file(task, fd);
		if (!item.file)
			return -EBADF;
		sel->items[sel->nr_items++] = item;
	}
	return 0;
}

static int select_copy_in(struct task *task, struct selection *sel, const uint64_t *args)
{
	size_t i, longs = sel->set_bytes / sizeof(long);
	unsigned long *maps = calloc(longs * 2 * NR_SETS + 1, sizeof(long));

	if (!maps)
		return -ENOMEM;
	sel->out[0] = maps; /* start of the block: what is freed */
	for (i = 0; i < NR_SETS; i++) {
		sel->out[i] = maps + i * longs;
		if (!args[1 + i])
			continue;
		sel->in[i] = maps + (NR_SETS + i) * longs;
		if (copy_from_guest(task, sel->in[i], args[1 + i], sel->set_bytes))
			return -EFAULT;
	}
	return 0;
}

static int select_copy_out(struct task *task, const struct selection *sel, const uint64_t *args)
{
	for (int i = 0; i < NR_SETS; i++)
		if (args[1 + i] && copy_to_guest(task, args[1 + i], sel->out[i], sel->set_bytes))
			return -EFAULT;
	return 0;
}

/* args: n, readfds, writefds, exceptfds. */
static int64_t select_common(struct task *task, const uint64_t *args, int64_t deadline_ns)
{
	struct selection sel = {.items = NULL};
	int n = (int)args[0], limit;
	int64_t result;
	size_t i;

	if (n < 0)
		return -EINVAL;
	/* Beyond the table nothing can be open; Linux looks no further either. */
	limit = task_nofile(task) < INT_MAX - 64 ? (int)task_nofile(task) : INT_MAX - 64;
	if (n > limit)
		n = limit;
	sel.set_bytes = ((size_t)n + 63) / 64 * sizeof(long);
	result = select_copy_in(task, &sel, args);
	if (!result)
		result = select_get_files(task, &sel, n);
	if (!result)
		result = select_wait(task_ctx(task), &sel, deadline_ns);
	if (result >= 0 && select_copy_out(task, &sel, args))
		result = -EFAULT;
	for (i = 0; i < sel.nr_items; i++)
		file_put(sel.items[i].file);
	free(sel.items);
	free(sel.out[0]);
	return result;
}

int64_t sys_select(struct task *task, const uint64_t *args)
{
	struct wait_time time;
	int64_t result = wait_time_get(task, args[4], WAIT_TIMEVAL, &time);

	if (result)
		return result;
	result = select_common(task, args, time.deadline_ns);
	return wait_time_put(task, &time, result);
}

int64_t sys_pselect6(struct task *task, const uint64_t *args)
{
	struct {
		gva_t mask_gva;
		uint64_t size;
	} sig = {0, 0};
	struct wait_time time;
	int64_t result;

	if (args[5] && copy_from_guest(task, &sig, args[5], sizeof(sig)))
		return -EFAULT;
	result = wait_time_get(task, args[4], WAIT_TIMESPEC, &time);
	if (!result)
		result = use_sigmask(task, sig.mask_gva, sig.size);
	if (result)
		return result;
	result = select_common(task, args, time.deadline_ns);
	return wait_time_put(task, &time, result);
}

/*
 * Descriptor tables: an array of slots and a bitmap of the numbers that are taken, so that the
 * lowest free number is found 64 at a time.
 *
 * Nothing that may sleep or call a file's methods happens under the table's lock: a file that
 * leaves a slot is carried out of the lock first and closed then (cf. filp_close()).
 */
#include "vfs/fdtable.h"

#include <linux/close_range.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/lock.h"
#include "vfs/ops.h"

#define FIRST_SLOTS 64

struct fdtable *fdtable_new(void)
{
	struct fdtable *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	ref_init(&table->ref);
	fb_mutex_init(&table->lock, RANK_FDTABLE);
	return table;
}

static void fdtable_free(struct fdtable *table)
{
	fb_mutex_destroy(&table->lock);
	free(table->slots);
	free(table->used);
	free(table);
}

struct fdtable *fdtable_get(struct fdtable *table)
{
	ref_get(&table->ref);
	return table;
}

/* ---- numbers; all with the lock held ---- */

static void mark_used(struct fdtable *table, int fd)
{
	table->used[fd / 64] |= UINT64_C(1) << (fd % 64);
	table->nr_open++;
	if (fd == table->next_free)
		table->next_free = fd + 1;
}

static void mark_free(struct fdtable *table, int fd)
{
	table->used[fd / 64] &= ~(UINT64_C(1) << (fd % 64));
	table->nr_open--;
	if (fd < table->next_free)
		table->next_free = fd;
}

/* Makes slot `fd` exist. 0 or -ENOMEM; old arrays stay valid then. */
static int fdtable_grow(struct fdtable *table, int fd)
{
	size_t want = table->nr_slots ? (size_t)table->nr_slots : FIRST_SLOTS;
	size_t have = (size_t)table->nr_slots;
	struct fd_slot *slots;
	uint64_t *used;

	if (fd < table->nr_slots)
		return 0;
	while (want <= (size_t)fd)
		want *= 2;
	slots = realloc(table->slots, want * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	table->slots = slots;
	used = realloc(table->used, want / 8);
	if (!used)
		return -ENOMEM;
	table->used = used;
	memset(slots + have, 0, (want - have) * sizeof(*slots));
	memset(used + have / 64, 0, (want - have) / 8);
	table->nr_slots = (int)want;
	return 0;
}

static int hole_first, hole_nr; /* constant after start-up */

void fdtable_set_hole(int first, int nr)
{
	hole_first = first;
	hole_nr = nr;
}

static bool in_hole(int fd)
{
	return fd >= hole_first && fd < hole_first + hole_nr;
}

static int lowest_free_bit(const struct fdtable *table, int min)
{
	int fd = min > table->next_free ? min : table->next_free;

	while (fd < table->nr_slots) {
		uint64_t taken = table->used[fd / 64] >> (fd % 64);

		if (taken == 0)
			return fd;
		/* The shift brought zeros in at the top, so a free bit is found or the word ends.
		 */
		if (~taken != 0) {
			int next = fd + __builtin_ctzll(~taken);

			if (next / 64 == fd / 64)
				return next;
		}
		fd = (fd / 64 + 1) * 64;
	}
	return fd;
}

static int lowest_free(const struct fdtable *table, int min)
{
	int fd = lowest_free_bit(table, min);

	return in_hole(fd) ? lowest_free_bit(table, hole_first + hole_nr) : fd;
}

static bool slot_open(const struct fdtable *table, int fd)
{
	return fd >= 0 && fd < table->nr_slots && table->slots[fd].file != NULL;
}

/* Empties a slot and hands its file to the caller. */
static struct file *slot_take(struct fdtable *table, int fd)
{
	struct fd_slot *slot = &table->slots[fd];
	struct file *file = slot->file;

	slot->file = NULL;
	slot->cloexec = false;
	if (slot->planted)
		slot->planted = FD_PLANTED_STALE;
	mark_free(table, fd);
	return file;
}

/* ---- closing ---- */

/* cf. filp_close(): drops the caller's reference after flush. */
static int file_close(const struct op_ctx *ctx, struct fdtable *table, struct file *file)
{
	struct op_ctx owner = *ctx;
	int err = 0;

	/* The owner of POSIX locks is the table, also when a dying task's ctx has none. */
	owner.files = table;
	if (!(file->fmode & FMODE_PATH)) {
		if (file->op->flush)
			err = file->op->flush(&owner, file);
		locks_remove_posix(&owner, file);
	}
	file_put(file);
	return err;
}

void fdtable_put(const struct op_ctx *ctx, struct fdtable *table)
{
	int fd;

	if (!table || !ref_put(&table->ref))
		return;
	/* Nobody else can see the table any more: no lock is needed. */
	for (fd = 0; fd < table->nr_slots; fd++)
		if (table->slots[fd].file)
			(void)file_close(ctx, table, table->slots[fd].file);
	fdtable_free(table);
}

int fdtable_close(const struct op_ctx *ctx, struct fdtable *table, int fd, bool *ret_planted)
{
	struct file *file;
	bool planted;

	fb_mutex_lock(&table->lock);
	if (!slot_open(table, fd)) {
		fb_mutex_unlock(&table->lock);
		return -EBADF;
	}
	planted = table->slots[fd].planted != NULL;
	file = slot_take(table, fd);
	/* A caller that is told closes the host file natively; for others it stays there, stale. */
	if (ret_planted)
		table->slots[fd].planted = NULL;
	fb_mutex_unlock(&table->lock);
	if (ret_planted)
		*ret_planted = planted;
	return file_close(ctx, table, file);
}

/* Closes the next open number in [fd, last] (with FD_CLOEXEC, if asked); returns it or -1. */
static int close_next(const struct op_ctx *ctx, struct fdtable *table, int fd, int last,
		      bool only_cloexec)
{
	struct file *file = NULL;

	fb_mutex_lock(&table->lock);
	for (; fd <= last && fd < table->nr_slots; fd++) {
		if (table->slots[fd].file && (!only_cloexec || table->slots[fd].cloexec)) {
			file = slot_take(table, fd);
			break;
		}
	}
	fb_mutex_unlock(&table->lock);
	if (!file)
		return -1;
	(void)file_close(ctx, table, file);
	return fd;
}

int fdtable_close_range(const struct op_ctx *ctx, struct fdtable *table, unsigned first,
			unsigned last, unsigned flags)
{
	int fd, end;

	if (first > last || (flags & ~(unsigned)CLOSE_RANGE_CLOEXEC))
		return -EINVAL;
	if (first > INT_MAX)
		return 0;
	end = last > INT_MAX ? INT_MAX : (int)last;
	fd = (int)first;
	if (!(flags & CLOSE_RANGE_CLOEXEC)) {
		while (fd >= 0 && fd <= end) {
			fd = close_next(ctx, table, fd, end, false);
			if (fd >= 0)
				fd++;
		}
		return 0;
	}
	fb_mutex_lock(&table->lock);
	for (; fd <= end && fd < table->nr_slots; fd++)
		if (table->slots[fd].file)
			table->slots[fd].cloexec = true;
	fb_mutex_unlock(&table->lock);
	return 0;
}

void fdtable_close_on_exec(const struct op_ctx *ctx, struct fdtable *table)
{
	int fd = 0;

	do
		fd = close_next(ctx, table, fd, INT_MAX, true) + 1;
	while (fd > 0);
}

/* ---- finding ---- */

struct file *fdtable_file_raw(struct fdtable *table, int fd)
{
	struct file *file = NULL;

	fb_mutex_lock(&table->lock);
	if (slot_open(table, fd))
		file = file_get(table->slots[fd].file);
	fb_mutex_unlock(&table->lock);
	return file;
}

struct file *fdtable_file(struct fdtable *table, int fd)
{
	struct file *file = NULL;

	fb_mutex_lock(&table->lock);
	if (slot_open(table, fd) && !(table->slots[fd].file->fmode & FMODE_PATH))
		file = file_get(table->slots[fd].file);
	fb_mutex_unlock(&table->lock);
	return file;
}

int fdtable_next(struct fdtable *table, int fd)
{
	int found = -1;

	fb_mutex_lock(&table->lock);
	for (fd = fd < 0 ? 0 : fd; fd < table->nr_slots; fd++) {
		if (table->slots[fd].file) {
			found = fd;
			break;
		}
	}
	fb_mutex_unlock(&table->lock);
	return found;
}

/* ---- installing ---- */

int fdtable_reserve(struct fdtable *table, int min, uint64_t limit, bool cloexec)
{
	int fd, err;

	if (limit > FDTABLE_MAX)
		limit = FDTABLE_MAX;
	if (min < 0 || (min > 0 && (uint64_t)min >= limit))
		return -EINVAL;
	fb_mutex_lock(&table->lock);
	fd = lowest_free(table, min);
	err = (uint64_t)fd >= limit ? -EMFILE : fdtable_grow(table, fd);
	if (!err) {
		table->slots[fd].reserved = true;
		table->slots[fd].cloexec = cloexec;
		mark_used(table, fd);
	}
	fb_mutex_unlock(&table->lock);
	return err ? err : fd;
}

void fdtable_fill(struct fdtable *table, int fd, struct file *file)
{
	struct fd_slot *slot;

	fb_mutex_lock(&table->lock);
	fb_assert(fd >= 0 && fd < table->nr_slots);
	slot = &table->slots[fd];
	fb_assert(slot->reserved && !slot->file);
	slot->reserved = false;
	slot->file = file;
	fb_mutex_unlock(&table->lock);
}

void fdtable_cancel(struct fdtable *table, int fd)
{
	fb_mutex_lock(&table->lock);
	fb_assert(fd >= 0 && fd < table->nr_slots && table->slots[fd].reserved);
	table->slots[fd].reserved = false;
	table->slots[fd].cloexec = false;
	mark_free(table, fd);
	fb_mutex_unlock(&table->lock);
}

int fdtable_install(struct fdtable *table, struct file *file, int min, uint64_t limit, bool cloexec)
{
	int fd = fdtable_reserve(table, min, limit, cloexec);

	if (fd >= 0)
		fdtable_fill(table, fd, file);
	return fd;
}

int fdtable_replace(const struct op_ctx *ctx, struct fdtable *table, int newfd, struct file *file,
		    bool cloexec, uint64_t limit)
{
	struct file *old = NULL;
	struct fd_slot *slot;
	int err;

	if (limit > FDTABLE_MAX)
		limit = FDTABLE_MAX;
	if (newfd < 0 || (uint64_t)newfd >= limit || in_hole(newfd))
		return -EBADF;
	fb_mutex_lock(&table->lock);
	err = fdtable_grow(table, newfd);
	/* Another thread is between reserve and fill there: EBUSY, dup(2) NOTES. */
	if (!err && table->slots[newfd].reserved)
		err = -EBUSY;
	if (err) {
		fb_mutex_unlock(&table->lock);
		return err;
	}
	slot = &table->slots[newfd];
	old = slot->file;
	if (!old)
		mark_used(table, newfd);
	else if (slot->planted && old != file)
		slot->planted = FD_PLANTED_STALE;
	slot->file = file;
	slot->cloexec = cloexec;
	fb_mutex_unlock(&table->lock);
	if (old)
		(void)file_close(ctx, table, old);
	return newfd;
}

/* ---- the rest ---- */

struct fdtable *fdtable_copy(struct fdtable *table)
{
	struct fdtable *copy = fdtable_new();
	int fd, last = -1;

	if (!copy)
		return NULL;
	fb_mutex_lock(&table->lock);
	for (fd = 0; fd < table->nr_slots; fd++)
		if (table->slots[fd].file || table->slots[fd].planted)
			last = fd;
	if (last >= 0 && fdtable_grow(copy, last)) {
		fb_mutex_unlock(&table->lock);
		fdtable_free(copy);
		return NULL;
	}
	for (fd = 0; fd <= last; fd++) {
		const struct fd_slot *from = &table->slots[fd];
		struct fd_slot *to = &copy->slots[fd];

		to->planted = from->planted;
		if (!from->file) /* free, or reserved by a call of the parent */
			continue;
		to->file = file_get(from->file);
		to->cloexec = from->cloexec;
		mark_used(copy, fd);
	}
	fb_mutex_unlock(&table->lock);
	return copy;
}

int fdtable_get_cloexec(struct fdtable *table, int fd)
{
	int ret = -EBADF;

	fb_mutex_lock(&table->lock);
	if (slot_open(table, fd))
		ret = table->slots[fd].cloexec;
	fb_mutex_unlock(&table->lock);
	return ret;
}

int fdtable_set_cloexec(struct fdtable *table, int fd, bool cloexec)
{
	int err = -EBADF;

	fb_mutex_lock(&table->lock);
	if (slot_open(table, fd)) {
		table->slots[fd].cloexec = cloexec;
		err = 0;
	}
	fb_mutex_unlock(&table->lock);
	return err;
}

const void *fdtable_planted(struct fdtable *table, int fd)
{
	const void *planted = NULL;

	fb_mutex_lock(&table->lock);
	if (fd >= 0 && fd < table->nr_slots)
		planted = table->slots[fd].planted;
	fb_mutex_unlock(&table->lock);
	return planted;
}

void fdtable_set_planted(struct fdtable *table, int fd, const struct file *file)
{
	fb_mutex_lock(&table->lock);
	if (slot_open(table, fd) && table->slots[fd].file == file)
		table->slots[fd].planted = file;
	fb_mutex_unlock(&table->lock);
}

void fdtable_forget_planted(struct fdtable *table)
{
	int fd;

	fb_mutex_lock(&table->lock);
	for (fd = 0; fd < table->nr_slots; fd++)
		table->slots[fd].planted = NULL;
	fb_mutex_unlock(&table->lock);
}

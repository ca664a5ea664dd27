/*
 * The entries of a directory: a hash table by name, and an array in order of creation for readdir.
 *
 * An entry's offset is drawn from a counter that only grows, so a reader that stops at an offset
 * and comes back sees every entry that was there all the time exactly once, whatever is created
 * and removed meanwhile (POSIX readdir). Removed entries leave an empty slot in the array; it is
 * closed up when more than half of it is empty, which does not change offsets.
 */
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"

#define BUCKET_BITS_MIN 3
#define BUCKET_BITS_MAX 20
#define ORDER_MIN	8

struct tmpfs_dirent *dirent_new(const char *name, size_t len, uint32_t hash)
{
	struct tmpfs_dirent *dirent = malloc(sizeof(*dirent) + len);

	if (!dirent)
		return NULL;
	*dirent = (struct tmpfs_dirent){ .hash = hash, .len = (uint16_t)len };
	memcpy(dirent->name, name, len);
	return dirent;
}

void dirent_free(struct tmpfs_dirent *dirent)
{
	free(dirent);
}

/* Fibonacci hashing: whatever the name hash is, its high bits choose. */
static size_t bucket_of(uint32_t hash, unsigned bits)
{
	return (hash * UINT32_C(0x9E3779B1)) >> (32 - bits);
}

struct tmpfs_dirent *dirtable_find(const struct tmpfs_dirtable *dir, const char *name, size_t len,
				   uint32_t hash)
{
	struct tmpfs_dirent *pos;

	if (!dir->buckets)
		return NULL;
	for (pos = dir->buckets[bucket_of(hash, dir->bits)]; pos; pos = pos->hash_next)
		if (pos->hash == hash && pos->len == len && memcmp(pos->name, name, len) == 0)
			return pos;
	return NULL;
}

static void bucket_add(struct tmpfs_dirtable *dir, struct tmpfs_dirent *dirent)
{
	struct tmpfs_dirent **bucket = &dir->buckets[bucket_of(dirent->hash, dir->bits)];

	dirent->hash_next = *bucket;
	*bucket = dirent;
}

static int buckets_resize(struct tmpfs_dirtable *dir, unsigned bits)
{
	struct tmpfs_dirent **buckets = calloc((size_t)1 << bits, sizeof(struct tmpfs_dirent *));
	size_t n;

	if (!buckets)
		return -ENOMEM;
	free(dir->buckets);
	dir->buckets = buckets;
	dir->bits = bits;
	for (n = 0; n < dir->nr_order; n++)
		if (dir->order[n].dirent)
			bucket_add(dir, dir->order[n].dirent);
	return 0;
}

static void order_compact(struct tmpfs_dirtable *dir)
{
	size_t from, to = 0;

	for (from = 0; from < dir->nr_order; from++)
		if (dir->order[from].dirent)
			dir->order[to++] = dir->order[from];
	dir->nr_order = to;
}

int dirtable_reserve(struct tmpfs_dirtable *dir)
{
	if (!dir->buckets && buckets_resize(dir, BUCKET_BITS_MIN))
		return -ENOMEM;
	/* Without memory for more buckets the chains get longer, that is all. */
	if (dir->nr >> dir->bits && dir->bits < BUCKET_BITS_MAX)
		(void)buckets_resize(dir, dir->bits + 1);
	if (dir->nr_order + 2 > dir->order_alloc) {
		size_t alloc = dir->order_alloc ? dir->order_alloc * 2 : ORDER_MIN;
		struct tmpfs_slot *order = realloc(dir->order, alloc * sizeof(*order));

		if (!order)
			return -ENOMEM;
		dir->order = order;
		dir->order_alloc = alloc;
	}
	if (dir->next_off < TMPFS_FIRST_OFF)
		dir->next_off = TMPFS_FIRST_OFF;
	return 0;
}

void dirtable_insert(struct tmpfs_dirtable *dir, struct tmpfs_dirent *dirent)
{
	fb_assert(dir->nr_order < dir->order_alloc);
	dirent->off = dir->next_off++;
	dir->order[dir->nr_order++] = (struct tmpfs_slot){ dirent->off, dirent };
	bucket_add(dir, dirent);
	dir->nr++;
}

/* Index of the first slot with an offset >= off. */
static size_t order_find(const struct tmpfs_dirtable *dir, int64_t off)
{
	size_t lo = 0, hi = dir->nr_order;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (dir->order[mid].off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void dirtable_remove(struct tmpfs_dirtable *dir, struct tmpfs_dirent *dirent)
{
	struct tmpfs_dirent **link = &dir->buckets[bucket_of(dirent->hash, dir->bits)];
	size_t slot = order_find(dir, dirent->off);

	while (*link != dirent)
		link = &(*link)->hash_next;
	*link = dirent->hash_next;
	fb_assert(slot < dir->nr_order && dir->order[slot].dirent == dirent);
	dir->order[slot].dirent = NULL;
	dir->nr--;
	if (dir->nr_order > 2 * dir->nr + ORDER_MIN)
		order_compact(dir);
}

struct tmpfs_dirent *dirtable_next(const struct tmpfs_dirtable *dir, int64_t off)
{
	size_t slot;

	for (slot = order_find(dir, off); slot < dir->nr_order; slot++)
		if (dir->order[slot].dirent)
			return dir->order[slot].dirent;
	return NULL;
}

void dirtable_free(struct tmpfs_dirtable *dir)
{
	fb_assert(dir->nr == 0);
	free(dir->buckets);
	free(dir->order);
	*dir = (struct tmpfs_dirtable){ 0 };
}

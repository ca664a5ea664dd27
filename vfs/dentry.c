/*
 * The name cache: life of a dentry, the hash table, unused entries (LRU) and lookups in flight.
 * dentry_tree.c has what changes the shape of the tree.
 *
 * Life: d_alloc (count 1, unhashed) -> d_add (hashed) -> last put: stays as unused entry on the
 * LRU -> killed by dcache_shrink, by d_drop + last put, or with its superblock.
 *
 * An entry whose first lookup is under way sits in the same hash table with DENTRY_IN_LOOKUP
 * instead of DENTRY_HASHED: only d_alloc_parallel() sees it, and waits for it.
 */
#include "vfs/dentry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "vfs/dentry_internal.h"
#include "vfs/inode.h"
#include "vfs/superblock.h"

#define DCACHE_MIN_BITS	     10
#define DCACHE_MAX_BITS	     20
#define DCACHE_DEFAULT_LIMIT 32768
#define SHRINK_BATCH	     64

struct fb_mutex dcache_lock = FB_MUTEX_INIT(RANK_DCACHE);
atomic_ullong dcache_rename_seq;

/* All guarded by dcache_lock. */
static struct dentry *boot_table[1u << DCACHE_MIN_BITS];
static struct dentry **table = boot_table;
static unsigned table_bits = DCACHE_MIN_BITS;
static size_t nr_hashed;
static struct list_node lru = LIST_INIT(lru); /* most recently unused first */
static size_t nr_lru;
static size_t lru_limit = DCACHE_DEFAULT_LIMIT;

/* Waiters for the end of somebody else's lookup; their lock is dcache_lock. */
static struct waitq lookup_queue = WAITQ_INIT(lookup_queue);

void qstr_init(struct qstr *ret, const char *name, size_t len)
{
	ret->name = name;
	ret->len = (uint32_t)len;
	ret->hash = (uint32_t)XXH3_64bits(name, len);
}

static struct dentry **bucket_of(const struct dentry *dir, uint32_t hash)
{
	uint64_t mix = ((uint64_t)(uintptr_t)dir >> 4) ^ ((uint64_t)hash << 20);

	mix *= 0x9e3779b97f4a7c15ull;
	return &table[mix >> (64 - table_bits)];
}

/* Doubles the table; without memory for it the chains just get longer. */
static void table_grow(void)
{
	unsigned old_bits = table_bits;
	struct dentry **old = table, **new;

	if (table_bits >= DCACHE_MAX_BITS)
		return;
	new = calloc((size_t)1 << (table_bits + 1), sizeof(struct dentry *));
	if (!new)
		return;
	table = new;
	table_bits++;
	for (size_t i = 0; i < (size_t)1 << old_bits; i++) {
		struct dentry *dentry = old[i];

		while (dentry) {
			struct dentry *next = dentry->hash_next;
			struct dentry **bucket = bucket_of(dentry->parent, dentry->hash);

			dentry->hash_next = *bucket;
			*bucket = dentry;
			dentry = next;
		}
	}
	if (old != boot_table)
		free(old);
}

static void table_insert(struct dentry *dentry)
{
	struct dentry **bucket;

	if (++nr_hashed > (size_t)1 << table_bits)
		table_grow();
	bucket = bucket_of(dentry->parent, dentry->hash);
	dentry->hash_next = *bucket;
	*bucket = dentry;
}

static void table_remove(struct dentry *dentry)
{
	struct dentry **link = bucket_of(dentry->parent, dentry->hash);

	while (*link != dentry) {
		fb_assert(*link);
		link = &(*link)->hash_next;
	}
	*link = dentry->hash_next;
	dentry->hash_next = NULL;
	nr_hashed--;
}

/* Hashed or in lookup. */
static struct dentry *table_find(const struct dentry *dir, const struct qstr *name)
{
	struct dentry *dentry = *bucket_of(dir, name->hash);

	for (; dentry; dentry = dentry->hash_next)
		if (dentry->hash == name->hash && dentry->parent == dir &&
		    dentry->name_len == name->len && !memcmp(dentry->name, name->name, name->len))
			return dentry;
	return NULL;
}

static unsigned dentry_flags(const struct dentry *dentry)
{
	return atomic_load_explicit(&dentry->flags, memory_order_relaxed);
}

void dentry_set_flag_locked(struct dentry *dentry, unsigned flag)
{
	atomic_fetch_or(&dentry->flags, flag);
}

void dentry_clear_flag_locked(struct dentry *dentry, unsigned flag)
{
	atomic_fetch_and(&dentry->flags, ~flag);
}

struct dentry *dentry_find_locked(const struct dentry *dir, const struct qstr *name)
{
	struct dentry *dentry = table_find(dir, name);

	return dentry && (dentry_flags(dentry) & DENTRY_HASHED) ? dentry : NULL;
}

void dentry_hash_locked(struct dentry *dentry)
{
	if (!(dentry_flags(dentry) & (DENTRY_HASHED | DENTRY_IN_LOOKUP)))
		table_insert(dentry);
	dentry_clear_flag_locked(dentry, DENTRY_IN_LOOKUP);
	dentry_set_flag_locked(dentry, DENTRY_HASHED);
}

void dentry_unhash_locked(struct dentry *dentry)
{
	if (dentry_flags(dentry) & (DENTRY_HASHED | DENTRY_IN_LOOKUP))
		table_remove(dentry);
	dentry_clear_flag_locked(dentry, DENTRY_HASHED | DENTRY_IN_LOOKUP);
}

/* Allocation. */

static struct dentry *dentry_alloc(struct superblock *sb, const char *name, size_t len)
{
	struct dentry *dentry = calloc(1, sizeof(*dentry));

	if (!dentry)
		return NULL;
	dentry->name = malloc(len + 1);
	if (!dentry->name) {
		free(dentry);
		return NULL;
	}
	memcpy(dentry->name, name, len);
	dentry->name[len] = '\0';
	dentry->name_len = (uint32_t)len;
	dentry->count = 1;
	atomic_init(&dentry->flags, 0);
	dentry->parent = dentry;
	dentry->sb = sb;
	dentry->op = sb ? sb->d_op : NULL;
	list_init(&dentry->child_node);
	list_init(&dentry->children);
	list_init(&dentry->alias_node);
	list_init(&dentry->lru_node);
	return dentry;
}

struct dentry *d_alloc(struct dentry *dir, const struct qstr *name)
{
	struct dentry *dentry = dentry_alloc(dir->sb, name->name, name->len);

	if (!dentry)
		return NULL;
	dentry->hash = name->hash;
	fb_mutex_lock(&dcache_lock);
	__atomic_store_n(&dentry->parent, dir, __ATOMIC_RELAXED);
	dir->count++;
	list_add(&dir->children, &dentry->child_node);
	fb_mutex_unlock(&dcache_lock);
	return dentry;
}

void dentry_bind_locked(struct dentry *dentry, struct inode *inode)
{
	fb_assert(!dentry->inode);
	if (!inode)
		return;
	list_add(&inode->dentries, &dentry->alias_node);
	__atomic_store_n(&dentry->inode, inode, __ATOMIC_RELEASE);
}

static struct dentry *make_rootless(struct superblock *sb, struct inode *inode, const char *name)
{
	struct dentry *dentry = dentry_alloc(sb, name, strlen(name));

	if (!dentry)
		return NULL;
	fb_mutex_lock(&dcache_lock);
	dentry_bind_locked(dentry, inode);
	fb_mutex_unlock(&dcache_lock);
	return dentry;
}

struct dentry *dentry_make_root(struct superblock *sb, struct inode *inode)
{
	return make_rootless(sb, inode, "/");
}

struct dentry *dentry_make_anon(struct superblock *sb, struct inode *inode, const char *name)
{
	return make_rootless(sb, inode, name);
}

/* References. */

struct dentry *dentry_get(struct dentry *dentry)
{
	fb_mutex_lock(&dcache_lock);
	dentry->count++;
	fb_mutex_unlock(&dcache_lock);
	return dentry;
}

static bool dentry_retain(const struct dentry *dentry)
{
	unsigned flags = dentry_flags(dentry);

	if (!(flags & DENTRY_HASHED) || (flags & (DENTRY_DONTCACHE | DENTRY_DISCONNECTED)))
		return false;
	if (dentry_flags(dentry->parent) & DENTRY_DISCONNECTED)
		return false;
	if (dentry->sb && dentry->sb->dying)
		return false;
	if (!dentry->op)
		return true;
	if ((flags & DENTRY_EXPIRED) && dentry->op->expired(dentry))
		return false;
	return !(dentry->op->delete &&dentry->op->delete (dentry));
}

void dentry_lru_remove_locked(struct dentry *dentry)
{
	if (list_empty(&dentry->lru_node))
		return;
	list_del(&dentry->lru_node);
	nr_lru--;
}

void dentry_kill_locked(struct dentry *dentry, struct list_node *dispose)
{
	fb_assert(list_empty(&dentry->children));
	dentry_unhash_locked(dentry);
	dentry_lru_remove_locked(dentry);
	list_del(&dentry->child_node);
	list_del(&dentry->alias_node);
	list_add_tail(dispose, &dentry->lru_node);
}

void dentry_put_locked(struct dentry *dentry, struct list_node *dispose)
{
	for (;;) {
		struct dentry *parent = dentry->parent;

		fb_assert(dentry->count > 0);
		if (--dentry->count > 0)
			return;
		if (dentry_retain(dentry)) {
			if (list_empty(&dentry->lru_node)) {
				list_add(&lru, &dentry->lru_node);
				nr_lru++;
			} else if (!(dentry_flags(dentry) & DENTRY_REFERENCED)) {
				dentry_set_flag_locked(dentry, DENTRY_REFERENCED);
			}
			return;
		}
		dentry_kill_locked(dentry, dispose);
		if (parent == dentry)
			return;
		dentry = parent;
	}
}

void dentry_dispose(struct list_node *dispose)
{
	struct dentry *dentry, *tmp;

	list_for_each_safe (dentry, tmp, dispose, lru_node) {
		list_del(&dentry->lru_node);
		inode_put(dentry->inode);
		if (dentry->op && dentry->op->release)
			dentry->op->release(dentry);
		free(dentry->name);
		free(dentry);
	}
}

void dentry_put(struct dentry *dentry)
{
	struct list_node dispose = LIST_INIT(dispose);
	bool full;

	if (!dentry)
		return;
	fb_mutex_lock(&dcache_lock);
	dentry_put_locked(dentry, &dispose);
	full = nr_lru > lru_limit;
	fb_mutex_unlock(&dcache_lock);
	if (!list_empty(&dispose))
		dentry_dispose(&dispose);
	if (full)
		dcache_shrink(lru_limit - lru_limit / 8);
}

struct dentry *dentry_get_parent(struct dentry *dentry)
{
	struct dentry *parent;

	fb_mutex_lock(&dcache_lock);
	parent = dentry->parent;
	parent->count++;
	fb_mutex_unlock(&dcache_lock);
	return parent;
}

struct dentry *dentry_find(struct dentry *dir, const struct qstr *name)
{
	struct dentry *dentry;

	fb_mutex_lock(&dcache_lock);
	dentry = dentry_find_locked(dir, name);
	if (dentry)
		dentry->count++;
	fb_mutex_unlock(&dcache_lock);
	return dentry;
}

char *dentry_name(struct dentry *dentry)
{
	char *copy;

	fb_mutex_lock(&dcache_lock);
	copy = strdup(dentry->name);
	fb_mutex_unlock(&dcache_lock);
	return copy;
}

/* Lookups in flight. */

void dentry_lookup_wake(void)
{
	waitq_wake_all(&lookup_queue, 0);
}

/* 0 and *ret_dentry NULL: nobody knows the name. dcache lock held, given up while waiting. */
static int find_or_wait_locked(struct dentry *dir, const struct qstr *name,
			       struct dentry **ret_dentry)
{
	struct dentry *dentry;

	while ((dentry = table_find(dir, name))) {
		int err;

		if (dentry_flags(dentry) & DENTRY_HASHED) {
			dentry->count++;
			break;
		}
		err = waitq_wait(&lookup_queue, 0, &dcache_lock, WAIT_KILLABLE, WAIT_FOREVER);
		if (err)
			return err;
	}
	*ret_dentry = dentry;
	return 0;
}

int d_alloc_parallel(struct dentry *dir, const struct qstr *name, struct dentry **ret_dentry)
{
	struct dentry *fresh, *found = NULL;
	int err;

	fb_mutex_lock(&dcache_lock);
	err = find_or_wait_locked(dir, name, &found);
	fb_mutex_unlock(&dcache_lock);
	if (err)
		return err;
	if (found) {
		*ret_dentry = found;
		return 0;
	}
	fresh = d_alloc(dir, name);
	if (!fresh)
		return -ENOMEM;
	fb_mutex_lock(&dcache_lock);
	err = find_or_wait_locked(dir, name, &found);
	if (!err && !found) {
		table_insert(fresh);
		dentry_set_flag_locked(fresh, DENTRY_IN_LOOKUP);
		found = steal_ptr(fresh);
	}
	fb_mutex_unlock(&dcache_lock);
	dentry_put(fresh);
	if (!err)
		*ret_dentry = found;
	return err;
}

void d_lookup_done(struct dentry *dentry)
{
	bool wake;

	fb_mutex_lock(&dcache_lock);
	wake = (dentry_flags(dentry) & DENTRY_IN_LOOKUP) != 0;
	if (wake)
		dentry_unhash_locked(dentry);
	fb_mutex_unlock(&dcache_lock);
	if (wake)
		dentry_lookup_wake();
}

void d_add(struct dentry *dentry, struct inode *inode)
{
	bool wake;

	fb_mutex_lock(&dcache_lock);
	wake = (dentry_flags(dentry) & DENTRY_IN_LOOKUP) != 0;
	dentry_bind_locked(dentry, inode);
	dentry_hash_locked(dentry);
	fb_mutex_unlock(&dcache_lock);
	if (wake)
		dentry_lookup_wake();
}

void d_instantiate(struct dentry *dentry, struct inode *inode)
{
	if (dentry_test(dentry, DENTRY_IN_LOOKUP)) { /* by the caller: atomic_open */
		d_add(dentry, inode);
		return;
	}
	fb_mutex_lock(&dcache_lock);
	dentry_bind_locked(dentry, inode);
	fb_mutex_unlock(&dcache_lock);
}

/* Shrinking. */

void dcache_set_limit(size_t max_unused)
{
	fb_mutex_lock(&dcache_lock);
	lru_limit = max_unused;
	fb_mutex_unlock(&dcache_lock);
}

/*
 * Takes up to SHRINK_BATCH entries off the old end of the LRU; used ones leave the list, recently
 * used ones get another round. Returns false when there is no more to do.
 */
static bool shrink_batch_locked(size_t keep, size_t *dropped, struct list_node *dispose)
{
	for (int i = 0; i < SHRINK_BATCH; i++) {
		struct dentry *dentry, *parent;

		if (nr_lru <= keep || list_empty(&lru))
			return false;
		dentry = list_last(&lru, struct dentry, lru_node);
		dentry_lru_remove_locked(dentry);
		if (dentry->count > 0)
			continue;
		if (keep && (dentry_flags(dentry) & DENTRY_REFERENCED)) {
			dentry_clear_flag_locked(dentry, DENTRY_REFERENCED);
			list_add(&lru, &dentry->lru_node);
			nr_lru++;
			continue;
		}
		parent = dentry->parent;
		dentry_kill_locked(dentry, dispose);
		if (parent != dentry)
			dentry_put_locked(parent, dispose);
		(*dropped)++;
	}
	return true;
}

size_t dcache_shrink(size_t keep)
{
	size_t dropped = 0;
	bool more;

	do {
		struct list_node dispose = LIST_INIT(dispose);

		fb_mutex_lock(&dcache_lock);
		more = shrink_batch_locked(keep, &dropped, &dispose);
		fb_mutex_unlock(&dcache_lock);
		dentry_dispose(&dispose);
	} while (more);
	return dropped;
}

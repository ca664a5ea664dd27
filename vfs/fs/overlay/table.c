/* The names of a directory that differ from the lower directory's: a hash table per directory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sentry/base/log.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/superblock.h"

#define TABLE_MIN_BITS 3
#define TABLE_MAX_BITS 20

static uint32_t name_hash(const char *name, size_t len)
{
	return (uint32_t)XXH3_64bits(name, len);
}

struct ovl_entry *ovl_entry_new(const char *name, size_t len)
{
	struct ovl_entry *entry = malloc(sizeof(*entry) + len + 1);

	if (!entry)
		return NULL;
	entry->next = NULL;
	entry->inode = NULL;
	entry->hash = name_hash(name, len);
	entry->len = (uint32_t)len;
	memcpy(entry->name, name, len);
	entry->name[len] = '\0';
	return entry;
}

static struct ovl_entry **find_link(struct ovl_table *table, uint32_t hash, const char *name,
				    size_t len)
{
	struct ovl_entry **link = &table->buckets[hash & ((1u << table->bits) - 1)];

	while (*link && ((*link)->hash != hash || (*link)->len != len ||
			 memcmp((*link)->name, name, len) != 0))
		link = &(*link)->next;
	return link;
}

/* Longer chains are no error: without memory the table just stays small. */
static void table_grow(struct ovl_table *table)
{
	struct ovl_entry **buckets, *entry, *next;
	size_t i;

	if (table->nr_entries < (size_t)1 << table->bits || table->bits >= TABLE_MAX_BITS)
		return;
	buckets = calloc((size_t)2 << table->bits, sizeof(struct ovl_entry *));
	if (!buckets)
		return;
	for (i = 0; i < (size_t)1 << table->bits; i++) {
		for (entry = table->buckets[i]; entry; entry = next) {
			size_t to = entry->hash & ((2u << table->bits) - 1);

			next = entry->next;
			entry->next = buckets[to];
			buckets[to] = entry;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->bits++;
}

int ovl_table_prepare(struct inode *dir)
{
	struct ovl_info *info = ovl_info(dir->sb);
	struct ovl_table *table;
	int err;

	err = ovl_pin(dir);
	if (err || ovl_table_exists(dir))
		return err;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->bits = TABLE_MIN_BITS;
	table->buckets = calloc((size_t)1 << table->bits, sizeof(struct ovl_entry *));
	if (!table->buckets) {
		free(table);
		return -ENOMEM;
	}
	fb_mutex_lock(&info->lock);
	if (!ovl_i(dir)->table) {
		/* Some only look whether there is one, without the lock. */
		__atomic_store_n(&ovl_i(dir)->table, table, __ATOMIC_RELEASE);
		table = NULL;
	}
	fb_mutex_unlock(&info->lock);
	if (table) {
		free(table->buckets);
		free(table);
	}
	return 0;
}

int ovl_table_find(struct inode *dir, const char *name, size_t len, struct inode **ret_inode)
{
	struct ovl_info *info = ovl_info(dir->sb);
	struct ovl_entry *entry = NULL;

	if (!__atomic_load_n(&ovl_i(dir)->table, __ATOMIC_RELAXED))
		return 0;
	fb_mutex_lock(&info->lock);
	if (ovl_i(dir)->table)
		entry = *find_link(ovl_i(dir)->table, name_hash(name, len), name, len);
	if (entry)
		*ret_inode = entry->inode ? inode_get(entry->inode) : NULL;
	fb_mutex_unlock(&info->lock);
	return entry != NULL;
}

static void table_set(struct inode *dir, struct ovl_entry *entry, struct inode *inode, bool replace)
{
	struct ovl_info *info = ovl_info(dir->sb);
	struct ovl_table *table;
	struct ovl_entry **link, *old;

	fb_mutex_lock(&info->lock);
	table = ovl_i(dir)->table;
	fb_assert(table);
	link = find_link(table, entry->hash, entry->name, entry->len);
	old = *link;
	if (old && !replace) {
		old = entry; /* to be freed; it holds no inode */
	} else {
		entry->inode = inode ? inode_get(inode) : NULL;
		entry->next = old ? old->next : NULL;
		*link = entry;
		table->nr_visible += (inode != NULL) - (size_t)(old && old->inode);
		if (!old) {
			table->nr_entries++;
			table_grow(table);
		}
	}
	fb_mutex_unlock(&info->lock);
	if (old) {
		inode_put(old->inode);
		free(old);
	}
}

void ovl_table_set(struct inode *dir, struct ovl_entry *entry, struct inode *inode)
{
	table_set(dir, entry, inode, true);
}

void ovl_table_set_new(struct inode *dir, struct ovl_entry *entry, struct inode *inode)
{
	table_set(dir, entry, inode, false);
}

void ovl_table_remove(struct inode *dir, const char *name, size_t len)
{
	struct ovl_info *info = ovl_info(dir->sb);
	struct ovl_table *table;
	struct ovl_entry **link, *old = NULL;

	fb_mutex_lock(&info->lock);
	table = ovl_i(dir)->table;
	if (table) {
		link = find_link(table, name_hash(name, len), name, len);
		old = *link;
	}
	if (old) {
		*link = old->next;
		table->nr_entries--;
		table->nr_visible -= old->inode != NULL;
	}
	fb_mutex_unlock(&info->lock);
	if (old) {
		inode_put(old->inode);
		free(old);
	}
}

bool ovl_table_exists(struct inode *dir)
{
	return __atomic_load_n(&ovl_i(dir)->table, __ATOMIC_RELAXED) != NULL;
}

size_t ovl_table_visible(struct inode *dir)
{
	struct ovl_info *info = ovl_info(dir->sb);
	size_t n = 0;

	fb_mutex_lock(&info->lock);
	if (ovl_i(dir)->table)
		n = ovl_i(dir)->table->nr_visible;
	fb_mutex_unlock(&info->lock);
	return n;
}

int ovl_table_walk(struct inode *dir, ovl_entry_fn emit, void *arg)
{
	struct ovl_info *info = ovl_info(dir->sb);
	struct ovl_table *table;
	struct ovl_entry *entry;
	int err = 0;
	size_t i;

	fb_mutex_lock(&info->lock);
	table = ovl_i(dir)->table;
	for (i = 0; table && !err && i < (size_t)1 << table->bits; i++)
		for (entry = table->buckets[i]; entry && !err; entry = entry->next)
			if (entry->inode)
				err = emit(arg, entry);
	fb_mutex_unlock(&info->lock);
	return err;
}

/* Puts the entries' inodes one after the other: a deep tree must not recurse. */
static void dispose(struct ovl_info *info, struct ovl_entry *list)
{
	struct ovl_entry *entry;

	fb_mutex_lock(&info->lock);
	while ((entry = list)) {
		list = entry->next;
		entry->next = info->dispose;
		info->dispose = entry;
	}
	if (info->disposing) {
		fb_mutex_unlock(&info->lock);
		return;
	}
	info->disposing = true;
	while ((entry = info->dispose)) {
		info->dispose = entry->next;
		fb_mutex_unlock(&info->lock);
		inode_put(entry->inode);
		free(entry);
		fb_mutex_lock(&info->lock);
	}
	info->disposing = false;
	fb_mutex_unlock(&info->lock);
}

void ovl_table_free(struct ovl_info *info, struct ovl_table *table)
{
	struct ovl_entry *list = NULL, *entry, *next;
	size_t i;

	if (!table)
		return;
	for (i = 0; i < (size_t)1 << table->bits; i++) {
		for (entry = table->buckets[i]; entry; entry = next) {
			next = entry->next;
			entry->next = list;
			list = entry;
		}
	}
	free(table->buckets);
	free(table);
	dispose(info, list);
}

/* The cache of dircache.h: records as on the wire, one behind the other. */
#include "fusefs/dircache.h"

#include <stdlib.h>
#include <string.h>

#include "devfuse/proto.h"
#include "sentry/base/refcount.h"
#include "vfs/readdir.h"

#define BUDGET	  (64u << 20) /* bytes, all caches together */
#define FIRST_SIZE 4096u

struct dirlist {
	struct ref ref; /* holders: the cache; each reader */
	size_t len, size;
	char data[];
};

static atomic_size_t used;

static void dirlist_put(struct dirlist *list)
{
	if (!list || !ref_put(&list->ref))
		return;
	atomic_fetch_sub(&used, list->size);
	free(list);
}

void fuse_dircache_init(struct fuse_dircache *cache)
{
	fb_mutex_init(&cache->lock, RANK_ICACHE);
}

void fuse_dircache_destroy(struct fuse_dircache *cache)
{
	dirlist_put(cache->list);
	fb_mutex_destroy(&cache->lock);
}

static void reset_locked(struct fuse_dircache *cache)
{
	dirlist_put(cache->list);
	cache->list = NULL;
	cache->complete = false;
	cache->pos = 0;
	cache->version++;
}

void fuse_dircache_reset(struct fuse_dircache *cache)
{
	fb_mutex_lock(&cache->lock);
	reset_locked(cache);
	fb_mutex_unlock(&cache->lock);
}

/* --- reading ------------------------------------------------------------------------------ */

static bool same_stamp(const struct fuse_dirstamp *a, const struct fuse_dirstamp *b)
{
	return a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->changes == b->changes;
}

/* The list to read from, with a reference, or NULL. `stream` is put where it is of use. */
static struct dirlist *begin_read(struct fuse_dircache *cache, const struct fuse_dirstamp *now,
				  struct fuse_dirstream *stream, bool at_start)
{
	struct dirlist *list = NULL;

	fb_mutex_lock(&cache->lock);
	if (cache->complete && at_start && !same_stamp(&cache->stamp, now))
		reset_locked(cache);
	if (cache->complete) {
		if (stream->version != cache->version)
			*stream = (struct fuse_dirstream){.version = cache->version};
		list = cache->list;
		ref_get(&list->ref);
	} else if (at_start && !cache->list) {
		cache->stamp = *now;
	}
	fb_mutex_unlock(&cache->lock);
	return list;
}

/* True: the position was found, and everything behind it that fits was emitted. */
static bool emit_list(const struct dirlist *list, struct fuse_dirstream *stream,
		      struct dir_context *dc)
{
	bool found = stream->off == list->len && stream->pos == dc->pos; /* at the end */

	while (stream->off < list->len) {
		const char *record = list->data + stream->off;
		struct fuse_dirent entry;

		memcpy(&entry, record, sizeof(entry));
		if (stream->pos == dc->pos) {
			found = true;
			if (!dir_emit(dc, record + sizeof(entry), entry.namelen, entry.ino,
				      entry.type & 15))
				return true;
			dc->pos = (int64_t)entry.off;
		}
		stream->pos = (int64_t)entry.off;
		stream->off += fuse_dirent_align(sizeof(entry) + (uint64_t)entry.namelen);
	}
	return found;
}

bool fuse_dircache_emit(struct fuse_dircache *cache, const struct fuse_dirstamp *now,
			struct fuse_dirstream *stream, struct dir_context *dc)
{
	struct dirlist *list;
	bool found;

	if (stream->pos != dc->pos) /* somebody has seeked */
		*stream = (struct fuse_dirstream){.version = stream->version};
	list = begin_read(cache, now, stream, dc->pos == 0);
	if (!list)
		return false;
	found = emit_list(list, stream, dc);
	dirlist_put(list);
	return found;
}

/* --- filling ------------------------------------------------------------------------------ */

/* Room for `more` bytes in a list that nobody else has; NULL: there is none. */
static struct dirlist *dirlist_reserve(struct dirlist *list, size_t more)
{
	size_t old = list ? list->size : 0, len = list ? list->len : 0, size = old;
	struct dirlist *grown;

	if (list && more <= old - len)
		return list;
	while (size < len + more)
		size = size ? size * 2 : FIRST_SIZE;
	if (atomic_fetch_add(&used, size - old) + (size - old) > BUDGET ||
	    !(grown = realloc(list, sizeof(*list) + size))) {
		atomic_fetch_sub(&used, size - old);
		return NULL;
	}
	if (!list) {
		ref_init(&grown->ref);
		grown->len = 0;
	}
	grown->size = size;
	return grown;
}

void fuse_dircache_add(struct fuse_dircache *cache, int64_t pos, const struct fuse_dirent *entry,
		       const char *name)
{
	size_t record = fuse_dirent_align(sizeof(*entry) + (uint64_t)entry->namelen);
	struct dirlist *list;

	fb_mutex_lock(&cache->lock);
	if (!cache->complete && cache->pos == pos) {
		list = dirlist_reserve(cache->list, record);
		if (list) {
			memcpy(list->data + list->len, entry, sizeof(*entry));
			memcpy(list->data + list->len + sizeof(*entry), name, entry->namelen);
			list->len += record;
			cache->list = list;
			cache->pos = (int64_t)entry->off;
		} else {
			reset_locked(cache); /* a part is of no use */
		}
	}
	fb_mutex_unlock(&cache->lock);
}

void fuse_dircache_end(struct fuse_dircache *cache, int64_t pos)
{
	fb_mutex_lock(&cache->lock);
	if (cache->pos == pos && !cache->complete) {
		if (!cache->list)
			cache->list = dirlist_reserve(NULL, 1);
		cache->complete = cache->list != NULL;
	}
	fb_mutex_unlock(&cache->lock);
}

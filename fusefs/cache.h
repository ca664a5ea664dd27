/*
 * The cached bytes of one FUSE file: vfs/pagecache.h holds them, this says which pages of it mean
 * anything.
 *
 * A page is valid when it holds what the daemon would answer. Only whole pages are; the page with
 * the end of the file is valid together with the zeros behind it. While a READ is under way its
 * pages belong to a `fill`: other readers wait for it, writers wait for it too (as for a page lock
 * in Linux), and an invalidation makes it worthless without waiting.
 *
 * While guests may have it mapped for writing, a cache is `tracked`: it knows a sum of what the
 * daemon has of each valid page, and so finds the pages that a mapping has changed. Such a page is
 * newer than the daemon's; no invalidation drops it, it waits until the last mapping is gone.
 *
 * All caches of the sandbox share one budget; over it, the least recently used ones that nobody has
 * mapped are emptied.
 */
#ifndef FB_FUSEFS_CACHE_H
#define FB_FUSEFS_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fusefs/sums.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/pagecache.h"

struct io_iter;

struct fuse_fill {
	struct list_node node; /* cache->fills */
	int64_t first, end;    /* pages [first, end) */
	bool worthless;	       /* invalidated while under way */
};

struct fuse_cache {
	struct fb_mutex lock; /* RANK_ICACHE: guards the rest; before RANK_PAGES */
	struct pagecache data;
	uint64_t *valid; /* one bit per page */
	int64_t valid_words;
	int64_t nr_valid; /* pages; part of the budget */
	uint64_t *dirty;  /* writeback cache: valid pages newer than the daemon's; as long as valid */
	_Atomic int64_t nr_dirty; /* pages; while there are any, none is reclaimed */
	int64_t charged;  /* what the budget counts; with `sparse` only what takes memory */
	bool sparse;	  /* has pages that are holes of the daemon's file, and of ours */
	bool mapped;	  /* handed to a mapping: not reclaimed */
	atomic_bool tracked; /* perhaps mapped for writing */
	atomic_bool lazy;    /* mapped, and complete only up to the end of `data` */
	bool drop_due;	  /* was to be invalidated while tracked */
	int probe;	  /* while watched: a host descriptor that tells who else has it open */
	struct page_sums sums; /* while tracked: what the daemon has; valid pages only */
	struct list_node fills;
	struct waitq fill_done;
	struct list_node lru_node; /* guarded by the budget's lock, as the next */
	int reclaiming;		   /* being emptied by others: not to be destroyed */
};

void fuse_cache_init(struct fuse_cache *cache);
void fuse_cache_destroy(struct fuse_cache *cache);

/* Bytes of [pos, pos+len) that are valid without a gap from pos on. */
size_t fuse_cache_valid(struct fuse_cache *cache, int64_t pos, size_t len);
/* How many pages before `page` are valid or being filled without a gap; at most `max`. */
int64_t fuse_cache_history(struct fuse_cache *cache, int64_t page, int64_t max);
/* Copies valid bytes; short where they end. Bytes, 0 when there are none, -EFAULT. */
ssize_t fuse_cache_read(struct fuse_cache *cache, struct io_iter *to, int64_t pos, size_t len);

/*
 * Claims the invalid pages from `first` on, at most up to `end`: the run that the caller shall
 * fill. Waits (killably) while another fill has the first one. 0 with *ret_fill; 1 when the first
 * page is valid by now; -EINTR. Ends with fuse_cache_end_fill().
 */
int fuse_cache_begin_fill(struct fuse_cache *cache, int64_t first, int64_t end,
			  struct fuse_fill *ret_fill);
/*
 * The same for readahead, which waits for nobody: the first run of pages in [first, end) that are
 * neither valid nor being filled. False: there are none.
 */
bool fuse_cache_try_fill(struct fuse_cache *cache, int64_t first, int64_t end,
			 struct fuse_fill *ret_fill);
/*
 * What was read, `len` bytes for the whole fill (the rest is the end of the file: zeros), or NULL
 * when the READ failed. True: the pages are valid now.
 */
bool fuse_cache_end_fill(struct fuse_cache *cache, struct fuse_fill *fill, const void *data,
			 size_t len);

/*
 * A write has reached the daemon: takes it over into pages that are valid, and makes those valid
 * that it covers or, at the end of the file, covers up to there. Never reads.
 */
void fuse_cache_write(struct fuse_cache *cache, const void *data, size_t len, int64_t pos,
		      int64_t file_size);
/* Waits until no fill touches the bytes. 0 or -EINTR (killed). */
int fuse_cache_wait(struct fuse_cache *cache, int64_t pos, size_t len);

/* Pages that the bytes [pos, end) touch mean nothing any more; end INT64_MAX = all from pos. */
void fuse_cache_invalidate(struct fuse_cache *cache, int64_t pos, int64_t end);
/* The file ends at `size`: what is behind becomes zeros or goes. */
void fuse_cache_truncate(struct fuse_cache *cache, int64_t size);
/* Invalidates everything unless a mapping shows it. True when something was valid. */
void fuse_cache_drop(struct fuse_cache *cache);
/*
 * A host descriptor for mmap; from now on never reclaimed. 0, -errno, or -EAGAIN: unless `lazy`, the
 * bytes [pos, end) have to be filled first, or again. Of a watched cache fuse_cache_in_use() sees it
 * by its key.
 */
int fuse_cache_hostfd(struct fuse_cache *cache, int64_t pos, int64_t end, int64_t file_size,
		      bool write, uint64_t key, int *ret_hostfd);

/* As fuse_cache_end_fill(), for pages that the daemon says to be a hole: no memory is used. */
void fuse_cache_end_hole(struct fuse_cache *cache, struct fuse_fill *fill);

/*
 * Lazy: a mapping gets a host file that ends at the frontier, up to which the cache has been
 * filled; whoever touches a page behind it has it moved on. Nothing is stored beyond meanwhile.
 * Begins that; false when the cache is mapped already with all of its pages. The caller watches.
 */
bool fuse_cache_begin_lazy(struct fuse_cache *cache);
bool fuse_cache_lazy(struct fuse_cache *cache);
int64_t fuse_cache_frontier(struct fuse_cache *cache); /* bytes; a multiple of the page size */

/* Begins to watch who has it mapped, for fuse_cache_in_use(). 0 or -errno. */
int fuse_cache_watch(struct fuse_cache *cache);
/* Watches and tracks; 0 also when it does already. -EACCES: the host cannot tell us who maps it. */
int fuse_cache_track(struct fuse_cache *cache);
bool fuse_cache_tracked(struct fuse_cache *cache);
/* Which host file carries the pages; of a watched cache. Returns a descriptor of it, borrowed. */
int fuse_cache_host_id(struct fuse_cache *cache, uint64_t *ret_dev, uint64_t *ret_ino);
/* Does anybody have a descriptor that was given out with this key, or a mapping of one? */
bool fuse_cache_in_use(struct fuse_cache *cache, uint64_t key);
/* Nobody has it mapped for writing, and what was changed has been taken: ends the tracking. */
void fuse_cache_untrack(struct fuse_cache *cache);
/* Nobody has it mapped: ends the watching, too. */
void fuse_cache_unwatch(struct fuse_cache *cache);
/*
 * The next bytes in pages of [*pos, end) that are dirty or that a mapping has changed, below
 * file_size: at most `room` bytes (a multiple of the page size) into buf, belonging at *ret_at. They
 * count as the daemon's from now on. *pos moves behind what was looked at; 0 with *pos < file_size:
 * nothing so far, go on.
 */
size_t fuse_cache_take_changed(struct fuse_cache *cache, int64_t *pos, int64_t end,
			       int64_t file_size, void *buf, size_t room, int64_t *ret_at,
			       struct fuse_fill *ret_busy);
/*
 * After each take that gave bytes: until now, whoever found them invalidated and wanted to read
 * them had to wait. `again`: they did not get to the daemon, and are to be taken once more.
 */
void fuse_cache_end_take(struct fuse_cache *cache, struct fuse_fill *busy, bool again);
/*
 * Writeback cache: bytes that the daemon shall get later. The first and the last page, where they
 * are neither valid nor covered nor behind file_size, have to be filled first: -EAGAIN. 0 or
 * -errno, when nothing was stored.
 */
int fuse_cache_dirty(struct fuse_cache *cache, const void *data, size_t len, int64_t pos,
		     int64_t file_size);
/* The page (its first byte) that has to be filled before these bytes can be stored; -1: none. */
int64_t fuse_cache_missing(struct fuse_cache *cache, int64_t pos, size_t len, int64_t file_size);
int64_t fuse_cache_nr_dirty(struct fuse_cache *cache);
int64_t fuse_cache_all_dirty(void); /* pages of all caches */
/* We let the file grow, with zeros: what is mapped behind the old end becomes usable. */
void fuse_cache_grow(struct fuse_cache *cache, int64_t old_size, int64_t size);
/* Our own operation has replaced these bytes at the daemon: gone, also when tracked. */
void fuse_cache_forget(struct fuse_cache *cache, int64_t pos, int64_t end);

/* Bytes all caches may hold; for tests and the command line. */
void fuse_cache_set_budget(uint64_t bytes);
uint64_t fuse_cache_pages(void); /* that they hold now */

#endif

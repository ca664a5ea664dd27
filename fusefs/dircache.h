/*
 * What READDIR has told about one directory, for opens with FOPEN_CACHE_DIR (matrix 6.5, F77).
 *
 * It grows while somebody reads from the start without a gap, and is complete, and of use, once
 * the daemon's empty answer has come at its end. A reset (the directory has changed, was opened
 * without FOPEN_KEEP_CACHE, or the daemon says so) empties it and changes its version, so that a
 * reader in the middle starts over.
 *
 * All of the sandbox share one budget; what would exceed it is not kept.
 */
#ifndef FB_FUSEFS_DIRCACHE_H
#define FB_FUSEFS_DIRCACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "sentry/base/lock.h"

struct dir_context;
struct dirlist;
struct fuse_dirent;

/* By what a change of the directory shows. */
struct fuse_dirstamp {
	struct timespec mtime;
	uint64_t changes; /* through us */
};

struct fuse_dircache {
	struct fb_mutex lock; /* RANK_ICACHE: guards the rest */
	struct dirlist *list; /* counted; NULL while empty; nobody else has it until complete */
	bool complete;
	int64_t pos;	  /* where the next entry belongs */
	uint64_t version; /* counts resets */
	struct fuse_dirstamp stamp;
};

/* Where an open file is in it; guarded by the file's position lock. */
struct fuse_dirstream {
	int64_t pos;
	size_t off; /* bytes into the list */
	uint64_t version;
};

void fuse_dircache_init(struct fuse_dircache *cache);
void fuse_dircache_destroy(struct fuse_dircache *cache);
void fuse_dircache_reset(struct fuse_dircache *cache);
/*
 * Emits from dc->pos on. now: the directory's state; looked at, and remembered by a cache that is
 * about to begin, at position 0 only. False: not known here, ask the daemon.
 */
bool fuse_dircache_emit(struct fuse_dircache *cache, const struct fuse_dirstamp *now,
			struct fuse_dirstream *stream, struct dir_context *dc);
/* An entry that was found at `pos` and checked. Kept if it is the one that was missing. */
void fuse_dircache_add(struct fuse_dircache *cache, int64_t pos, const struct fuse_dirent *entry,
		       const char *name);
/* The daemon knows nothing behind `pos`. */
void fuse_dircache_end(struct fuse_dircache *cache, int64_t pos);

#endif

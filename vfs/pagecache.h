/*
 * The bytes of a regular file that live in the sentry: tmpfs files, overlay's upper layer, FUSE
 * page caches. Small data is kept in plain memory; it moves into a memfd of its own when it grows
 * past PAGECACHE_SMALL or when somebody maps it, so that a mapping and read/write see the same
 * pages, and thousands of small files cost no host descriptors.
 *
 * Sparse in both forms: only pages that were written or allocated count, and cost memory.
 */
#ifndef FB_VFS_PAGECACHE_H
#define FB_VFS_PAGECACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/lock.h"

struct io_iter;

#define PAGECACHE_SMALL 65536
#define PAGECACHE_PAGE 4096

/* A budget that many page caches share: the size limit of a tmpfs. */
struct pagecache_limit {
	atomic_uint_least64_t used; /* bytes */
	uint64_t max;		    /* bytes; 0 = no limit. Atomic loads suffice */
};

/* True when it fits; then it must be given back with pagecache_limit_uncharge(). */
bool pagecache_limit_charge(struct pagecache_limit *limit, uint64_t bytes);
void pagecache_limit_uncharge(struct pagecache_limit *limit, uint64_t bytes);

struct pagecache {
	struct fb_mutex lock;	/* RANK_PAGES: guards the rest */
	int64_t size;		/* bytes; reads stop here */
	unsigned char *small;	/* data while small; owned; zero wherever no data was written */
	size_t small_alloc;	/* bytes of small; may be less than size: the rest is a hole */
	uint16_t small_pages;	/* bit n: page n of the small form holds data */
	int memfd;		/* -1 while small; once set it stays until destroy */
	int64_t dense;		/* bytes [0, dense) of the memfd are allocated: no charge to write there */
	uint64_t allocated_bytes; /* charged to limit; an estimate for mapped files */
	struct pagecache_limit *limit; /* NULL = none; borrowed; set after init */
};

void pagecache_init(struct pagecache *pc);
void pagecache_destroy(struct pagecache *pc);
/* Return bytes (0 = end of file) or -EFAULT, -ENOSPC, -ENOMEM, -EMFILE. Holes read as zeros. */
ssize_t pagecache_read(struct pagecache *pc, struct io_iter *to, int64_t pos);
/* Grows the file. */
ssize_t pagecache_write(struct pagecache *pc, struct io_iter *from, int64_t pos);
int pagecache_truncate(struct pagecache *pc, int64_t size);
int64_t pagecache_size(struct pagecache *pc);
/* FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE; others are -EOPNOTSUPP, as on tmpfs. */
int pagecache_fallocate(struct pagecache *pc, int mode, int64_t offset, int64_t len);
int64_t pagecache_seek(struct pagecache *pc, int64_t offset, int whence); /* SEEK_DATA/HOLE */
uint64_t pagecache_blocks(struct pagecache *pc); /* 512-byte units */
/*
 * A new host descriptor for mmap, read-only unless `write`; moves the data into a memfd. -EACCES
 * when the host gives us no way to open it read-only (no /proc); a caller that knows the mapping
 * to be private may then ask for a writable one: a private mapping never changes the file.
 */
int pagecache_hostfd(struct pagecache *pc, bool write, int *ret_hostfd);
/*
 * The same for writing, but an open file of its own, never a duplicate of the cache's: the host then
 * counts who has it open or mapped. -EACCES without /proc.
 */
int pagecache_hostfd_counted(struct pagecache *pc, int *ret_hostfd);
/*
 * Opens what later read-only reopening needs. To be called once before the sentry gives up its
 * view of the host's /proc, by the process that will use it; without it the first
 * pagecache_hostfd() does it. 0 or -errno.
 */
int pagecache_host_init(void);

#endif

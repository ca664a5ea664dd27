/*
 * Private to the page cache: its two forms. All functions want pc->lock held unless they say
 * otherwise.
 */
#ifndef FB_VFS_PAGECACHE_INTERNAL_H
#define FB_VFS_PAGECACHE_INTERNAL_H

#include "vfs/pagecache.h"

static inline int64_t page_down(int64_t pos)
{
	return pos & ~(int64_t)(PAGECACHE_PAGE - 1);
}

/* Never wraps: positions are below 2^63. */
static inline uint64_t page_up(uint64_t pos)
{
	return (pos + PAGECACHE_PAGE - 1) & ~(uint64_t)(PAGECACHE_PAGE - 1);
}

/* Makes the charge equal to `bytes`, which are in use already: cannot fail, may overdraw. */
void pagecache_settle(struct pagecache *pc, uint64_t bytes);

/* pagecache_small.c: positions and lengths lie within PAGECACHE_SMALL. */
ssize_t pagecache_small_read(struct pagecache *pc, struct io_iter *to, int64_t pos, size_t len);
ssize_t pagecache_small_write(struct pagecache *pc, struct io_iter *from, int64_t pos, size_t len);
void pagecache_small_truncate(struct pagecache *pc, int64_t size);
int pagecache_small_fallocate(struct pagecache *pc, int mode, int64_t start, int64_t end);
int64_t pagecache_small_seek(const struct pagecache *pc, int64_t offset, int whence);
void pagecache_small_free(struct pagecache *pc); /* the data; no settling */

/* pagecache_memfd.c */
/* Moves small data into a memfd; on an error the old state stays. 0 at once when it has one. */
int pagecache_memfd_make(struct pagecache *pc);
/* Called without the lock: a memfd never goes away, and a race with truncate reads short. */
ssize_t pagecache_memfd_read(struct pagecache *pc, struct io_iter *to, int64_t pos, size_t len);
/* Bytes of ours; may be short when the limit is near. */
ssize_t pagecache_memfd_pwrite(struct pagecache *pc, const void *data, size_t len, int64_t pos);
int pagecache_memfd_truncate(struct pagecache *pc, int64_t size);
int pagecache_memfd_fallocate(struct pagecache *pc, int mode, int64_t start, int64_t end);
uint64_t pagecache_memfd_allocated(const struct pagecache *pc); /* bytes, as the host says */

#endif

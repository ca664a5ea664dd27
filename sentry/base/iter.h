/*
 * io_iter: where the bytes of a read or write go to or come from, so that no file knows whether
 * that is guest memory or the sentry's own.
 *
 * A position moves through a list of segments. `iter_to` fills the iterator's memory (a read(2)),
 * `iter_from` takes bytes out of it (a write(2)); both advance. The backend of guest memory is
 * sentry/usermem.c; memory of the sentry uses iter_init_mem().
 */
#ifndef FB_BASE_ITER_H
#define FB_BASE_ITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io_iter;

struct io_iter_ops {
	/*
	 * Copy between `buf` (ours) and up to `nr` segments of foreign memory, in order. Returns
	 * the bytes copied; short at the first byte that cannot be accessed.
	 */
	size_t (*write)(void *mem, const struct iovec *segs, size_t nr, const void *buf, size_t len);
	size_t (*read)(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len);
};

struct io_iter {
	const struct io_iter_ops *ops; /* NULL: the segments are our own memory */
	void *mem;		       /* for ops: whose memory; borrowed */
	const struct iovec *segs;      /* iov_base is a guest address when ops is set; borrowed */
	size_t nr_segs;
	size_t seg_off; /* bytes of segs[0] already used */
	size_t count;	/* bytes left */
	struct iovec one; /* storage for the single-segment case */
};

/* One buffer of our own. The iterator points into itself: do not copy it by assignment. */
void iter_init_mem(struct io_iter *iter, void *buf, size_t len);
void iter_init_segs(struct io_iter *iter, const struct io_iter_ops *ops, void *mem,
		    const struct iovec *segs, size_t nr_segs, size_t count);
void iter_init_one(struct io_iter *iter, const struct io_iter_ops *ops, void *mem, uint64_t addr,
		   size_t len);

/* Copies min(len, count) bytes and advances; returns what was copied (short = EFAULT there). */
size_t iter_to(struct io_iter *iter, const void *buf, size_t len);
size_t iter_from(struct io_iter *iter, void *buf, size_t len);
/* As iter_to with zero bytes. */
size_t iter_zero(struct io_iter *iter, size_t len);
/*
 * Bytes that need no copy, because they lie in our own memory: the next segments, up to `max` of
 * them and `len` bytes. Their number; 0: the memory is a guest's, or none is left.
 */
size_t iter_own_segs(const struct io_iter *iter, size_t len, struct iovec *segs, size_t max,
		     size_t *ret_len);
/* Skips bytes; len <= count. */
void iter_advance(struct io_iter *iter, size_t len);
/* Lowers count to at most len. */
void iter_truncate(struct io_iter *iter, size_t len);
/* Undo the last `len` bytes that were advanced. Only legal within the current call's bytes. */
struct iter_mark {
	const struct iovec *segs;
	size_t nr_segs, seg_off, count;
};
struct iter_mark iter_save(const struct io_iter *iter);
void iter_restore(struct io_iter *iter, struct iter_mark mark);

#endif

#include "sentry/base/iter.h"

#include <string.h>

#include "sentry/base/log.h"

/* Segments handed to a backend at once: enough for any real call, small enough for a stack. */
#define ITER_BATCH 16

void iter_init_mem(struct io_iter *iter, void *buf, size_t len)
{
	iter_init_one(iter, NULL, NULL, (uint64_t)(uintptr_t)buf, len);
}

void iter_init_one(struct io_iter *iter, const struct io_iter_ops *ops, void *mem, uint64_t addr,
		   size_t len)
{
	iter->one.iov_base = (void *)(uintptr_t)addr;
	iter->one.iov_len = len;
	iter_init_segs(iter, ops, mem, &iter->one, 1, len);
}

void iter_init_segs(struct io_iter *iter, const struct io_iter_ops *ops, void *mem,
		    const struct iovec *segs, size_t nr_segs, size_t count)
{
	iter->ops = ops;
	iter->mem = mem;
	iter->segs = segs;
	iter->nr_segs = nr_segs;
	iter->seg_off = 0;
	iter->count = count;
}

void iter_advance(struct io_iter *iter, size_t len)
{
	fb_assert(len <= iter->count);
	iter->count -= len;
	while (len > 0) {
		size_t left = iter->segs->iov_len - iter->seg_off;

		if (len < left) {
			iter->seg_off += len;
			return;
		}
		len -= left;
		iter->segs++;
		iter->nr_segs--;
		iter->seg_off = 0;
	}
}

void iter_truncate(struct io_iter *iter, size_t len)
{
	if (iter->count > len)
		iter->count = len;
}

/* The next up to `max` segments that hold at most `len` bytes; returns their sum. */
static size_t iter_batch(const struct io_iter *iter, size_t len, struct iovec *segs, size_t max,
			 size_t *ret_nr)
{
	size_t nr = 0, total = 0, off = iter->seg_off;

	for (size_t i = 0; i < iter->nr_segs && nr < max && total < len; i++) {
		size_t part = iter->segs[i].iov_len - off;

		if (part > len - total)
			part = len - total;
		if (part) {
			/* A guest's address, perhaps, and any number. */
			segs[nr].iov_base = (void *)((uintptr_t)iter->segs[i].iov_base + off);
			segs[nr++].iov_len = part;
		}
		total += part;
		off = 0;
	}
	*ret_nr = nr;
	return total;
}

size_t iter_own_segs(const struct io_iter *iter, size_t len, struct iovec *segs, size_t max,
		     size_t *ret_len)
{
	size_t nr = 0;

	*ret_len = iter->ops ? 0 : iter_batch(iter, len < iter->count ? len : iter->count, segs, max,
					      &nr);
	return nr;
}

static size_t copy_segs(const struct io_iter *iter, const struct iovec *segs, size_t nr, char *buf,
			size_t len, bool to)
{
	size_t done = 0;

	if (iter->ops)
		return to ? iter->ops->write(iter->mem, segs, nr, buf, len)
			  : iter->ops->read(iter->mem, segs, nr, buf, len);
	for (size_t i = 0; i < nr; i++) {
		if (to)
			memcpy(segs[i].iov_base, buf + done, segs[i].iov_len);
		else
			memcpy(buf + done, segs[i].iov_base, segs[i].iov_len);
		done += segs[i].iov_len;
	}
	return done;
}

static size_t iter_copy(struct io_iter *iter, char *buf, size_t len, bool to)
{
	struct iovec segs[ITER_BATCH];
	size_t done = 0, nr, part, copied;

	if (len > iter->count)
		len = iter->count;
	while (done < len) {
		part = iter_batch(iter, len - done, segs, ITER_BATCH, &nr);
		if (part == 0)
			break;
		copied = copy_segs(iter, segs, nr, buf + done, part, to);
		iter_advance(iter, copied);
		done += copied;
		if (copied < part)
			break;
	}
	return done;
}

size_t iter_to(struct io_iter *iter, const void *buf, size_t len)
{
	return iter_copy(iter, (char *)(uintptr_t)buf, len, true);
}

size_t iter_from(struct io_iter *iter, void *buf, size_t len)
{
	return iter_copy(iter, buf, len, false);
}

size_t iter_zero(struct io_iter *iter, size_t len)
{
	static const char zeros[4096];
	size_t done = 0, part, copied;

	if (len > iter->count)
		len = iter->count;
	while (done < len) {
		part = len - done < sizeof(zeros) ? len - done : sizeof(zeros);
		copied = iter_to(iter, zeros, part);
		done += copied;
		if (copied < part)
			break;
	}
	return done;
}

struct iter_mark iter_save(const struct io_iter *iter)
{
	return (struct iter_mark){ iter->segs, iter->nr_segs, iter->seg_off, iter->count };
}

void iter_restore(struct io_iter *iter, struct iter_mark mark)
{
	iter->segs = mark.segs;
	iter->nr_segs = mark.nr_segs;
	iter->seg_off = mark.seg_off;
	iter->count = mark.count;
}

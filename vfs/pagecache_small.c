/*
 * Small form of a page cache: `small` is one heap block of small_alloc bytes, grown page by page.
 * Two invariants keep everything else short: bytes outside the pages of `small_pages` are zero,
 * and so are bytes at or past `size`.
 */
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/pagecache_internal.h"

static unsigned page_mask(int64_t first, int64_t end)
{
	unsigned lo = (unsigned)(first / PAGECACHE_PAGE);
	unsigned hi = (unsigned)(page_up((uint64_t)end) / PAGECACHE_PAGE);

	return hi <= lo ? 0 : ((1U << hi) - 1) & ~((1U << lo) - 1);
}

/*
 * What the small form is charged: its heap block, in pages. For a file without holes that is what
 * Linux's tmpfs would charge; for one with holes it is more, and it is what we really use.
 */
static uint64_t small_cost(size_t alloc)
{
	return page_up(alloc);
}

static size_t small_round(size_t need)
{
	size_t alloc = 64;

	if (need > PAGECACHE_PAGE)
		return page_up(need);
	while (alloc < need)
		alloc *= 2;
	return alloc;
}

/* At least `need` (<= PAGECACHE_SMALL) bytes of heap. */
static int small_reserve(struct pagecache *pc, size_t need)
{
	size_t alloc = small_round(need);
	uint64_t more;
	unsigned char *data;

	if (need <= pc->small_alloc)
		return 0;
	more = small_cost(alloc) - small_cost(pc->small_alloc);
	if (!pagecache_limit_charge(pc->limit, more))
		return -ENOSPC;
	data = realloc(pc->small, alloc);
	if (!data) {
		pagecache_limit_uncharge(pc->limit, more);
		return -ENOMEM;
	}
	memset(data + pc->small_alloc, 0, alloc - pc->small_alloc);
	pc->small = data;
	pc->small_alloc = alloc;
	pc->allocated_bytes += more;
	return 0;
}

void pagecache_small_free(struct pagecache *pc)
{
	free(pc->small);
	pc->small = NULL;
	pc->small_alloc = 0;
	pc->small_pages = 0;
}

static void small_shrink(struct pagecache *pc, size_t size)
{
	size_t alloc = size == 0 ? 0 : small_round(size);
	unsigned char *data;

	pc->small_pages &= (uint16_t)page_mask(0, (int64_t)size);
	if (alloc >= pc->small_alloc)
		return;
	if (alloc == 0) {
		pagecache_small_free(pc);
	} else {
		data = realloc(pc->small, alloc);
		if (data)
			pc->small = data;
		pc->small_alloc = alloc;
	}
	pagecache_settle(pc, small_cost(pc->small_alloc));
}

/* Zeros [start, end) and forgets the pages that lie in it entirely. */
static void small_zero(struct pagecache *pc, int64_t start, int64_t end)
{
	int64_t have = (int64_t)pc->small_alloc < end ? (int64_t)pc->small_alloc : end;

	if (start < have)
		memset(pc->small + start, 0, (size_t)(have - start));
}

ssize_t pagecache_small_read(struct pagecache *pc, struct io_iter *to, int64_t pos, size_t len)
{
	size_t data = 0, done = 0;

	if ((size_t)pos < pc->small_alloc) {
		data = pc->small_alloc - (size_t)pos;
		if (data > len)
			data = len;
		done = iter_to(to, pc->small + pos, data);
	}
	if (done == data)
		done += iter_zero(to, len - data);
	return done == 0 && len != 0 ? -EFAULT : (ssize_t)done;
}

ssize_t pagecache_small_write(struct pagecache *pc, struct io_iter *from, int64_t pos, size_t len)
{
	int64_t end = pos + (int64_t)len;
	size_t done;
	int err = small_reserve(pc, (size_t)end);

	if (err)
		return err;
	done = iter_from(from, pc->small + pos, len);
	if (done > 0)
		pc->small_pages |= (uint16_t)page_mask(page_down(pos), pos + (int64_t)done);
	if (pos + (int64_t)done > pc->size)
		pc->size = pos + (int64_t)done;
	/* A copy that faulted may have left bytes behind the last good one. */
	if (done < len && end > pc->size)
		small_zero(pc, pos + (int64_t)done > pc->size ? pos + (int64_t)done : pc->size,
			   end);
	return done == 0 ? -EFAULT : (ssize_t)done;
}

int pagecache_small_fallocate(struct pagecache *pc, int mode, int64_t start, int64_t end)
{
	int err;

	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		small_zero(pc, start, end);
	if (mode & FALLOC_FL_PUNCH_HOLE) {
		int64_t first = (int64_t)page_up((uint64_t)start);

		pc->small_pages &= (uint16_t)~page_mask(first, page_down(end));
		return 0;
	}
	err = small_reserve(pc, (size_t)end);
	if (!err)
		pc->small_pages |= (uint16_t)page_mask(page_down(start), end);
	return err;
}

int64_t pagecache_small_seek(const struct pagecache *pc, int64_t offset, int whence)
{
	int64_t pos = offset;

	while (pos < pc->size) {
		bool data = (pc->small_pages & (1U << (pos / PAGECACHE_PAGE))) != 0;

		if (data == (whence == SEEK_DATA))
			return pos;
		pos = page_down(pos) + PAGECACHE_PAGE;
	}
	return whence == SEEK_HOLE ? pc->size : -ENXIO;
}

/* To a smaller size; a larger one is only a number. */
void pagecache_small_truncate(struct pagecache *pc, int64_t size)
{
	if (size >= pc->size)
		return;
	small_zero(pc, size, pc->size);
	small_shrink(pc, (size_t)size);
}

/* Validity, fills and the budget of the FUSE page caches; see cache.h. */
#include "fusefs/cache.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/log.h"

#define PAGE	       PAGECACHE_PAGE
#define DEFAULT_BUDGET (1ULL << 30)
/*
 * Pages that a bitmap may describe, and words of all bitmaps together: files beyond are not cached.
 * Sizes and offsets are the daemon's word, and one byte stored far out costs all bits before it.
 */
#define MAX_PAGE  (1LL << 30)
#define MAX_WORDS (1LL << 24) /* 128 MiB */

static atomic_llong all_words;
static atomic_llong all_dirty; /* pages, of all caches */

static struct {
	struct fb_mutex lock; /* RANK_LEAF */
	struct list_node lru; /* fuse_cache.lru_node, coldest first */
	struct waitq reclaimed;
	uint64_t pages, max_pages;
} budget = {
	FB_MUTEX_INIT(RANK_LEAF), LIST_INIT(budget.lru), WAITQ_INIT(budget.reclaimed), 0,
	DEFAULT_BUDGET / PAGE,
};

void fuse_cache_set_budget(uint64_t bytes)
{
	fb_mutex_lock(&budget.lock);
	budget.max_pages = bytes / PAGE;
	fb_mutex_unlock(&budget.lock);
}

uint64_t fuse_cache_pages(void)
{
	uint64_t pages;

	fb_mutex_lock(&budget.lock);
	pages = budget.pages;
	fb_mutex_unlock(&budget.lock);
	return pages;
}

void fuse_cache_init(struct fuse_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
	fb_mutex_init(&cache->lock, RANK_ICACHE);
	pagecache_init(&cache->data);
	list_init(&cache->fills);
	waitq_init(&cache->fill_done);
	list_init(&cache->lru_node);
	cache->probe = -1;
}

/* What it takes now, and to the warm end of the list. */
static void budget_charge(struct fuse_cache *cache)
{
	int64_t pages = cache->nr_valid;

	if (cache->sparse) {
		int64_t stored = (int64_t)(pagecache_blocks(&cache->data) / (PAGE / 512));

		pages = stored < pages ? stored : pages;
	}
	fb_mutex_lock(&budget.lock);
	budget.pages += (uint64_t)(pages - cache->charged);
	cache->charged = pages;
	list_del(&cache->lru_node);
	if (cache->nr_valid > 0 && cache->nr_dirty == 0 && cache->probe < 0)
		list_add_tail(&budget.lru, &cache->lru_node);
	fb_mutex_unlock(&budget.lock);
}

void fuse_cache_destroy(struct fuse_cache *cache)
{
	fb_mutex_lock(&budget.lock);
	while (cache->reclaiming)
		(void)waitq_wait(&budget.reclaimed, 0, &budget.lock, WAIT_UNINTERRUPTIBLE,
				 WAIT_FOREVER);
	budget.pages -= (uint64_t)cache->charged;
	list_del(&cache->lru_node);
	fb_mutex_unlock(&budget.lock);
	if (cache->probe >= 0)
		(void)close(cache->probe);
	page_sums_free(&cache->sums);
	pagecache_destroy(&cache->data);
	atomic_fetch_sub(&all_words, cache->valid_words);
	atomic_fetch_sub(&all_dirty, cache->nr_dirty);
	free(cache->valid);
	free(cache->dirty);
	fb_mutex_destroy(&cache->lock);
}

/* --- the bitmap; cache->lock held --------------------------------------------------------- */

static bool page_valid(const struct fuse_cache *cache, int64_t page)
{
	int64_t word = page / 64;

	fb_assert(page >= 0);
	return word < cache->valid_words && (cache->valid[word] >> (page % 64) & 1);
}

static bool reserve_pages(struct fuse_cache *cache, int64_t end)
{
	int64_t words = (end + 63) / 64, want = cache->valid_words ? cache->valid_words : 1;
	uint64_t *bits;

	if (words <= cache->valid_words)
		return true;
	if (end > MAX_PAGE)
		return false;
	while (want < words)
		want *= 2;
	if (atomic_fetch_add(&all_words, want - cache->valid_words) + want - cache->valid_words >
	    MAX_WORDS)
		bits = NULL;
	else
		bits = realloc(cache->valid, (size_t)want * sizeof(*bits));
	if (!bits) {
		atomic_fetch_sub(&all_words, want - cache->valid_words);
		return false;
	}
	memset(bits + cache->valid_words, 0, (size_t)(want - cache->valid_words) * sizeof(*bits));
	cache->valid = bits;
	bits = realloc(cache->dirty, (size_t)want * sizeof(*bits));
	if (!bits)
		return false; /* valid stays longer than it says */
	memset(bits + cache->valid_words, 0, (size_t)(want - cache->valid_words) * sizeof(*bits));
	cache->dirty = bits;
	cache->valid_words = want;
	return true;
}

static bool page_dirty(const struct fuse_cache *cache, int64_t page)
{
	int64_t word = page / 64;

	fb_assert(page >= 0);
	return word < cache->valid_words && (cache->dirty[word] >> (page % 64) & 1);
}

static void set_dirty(struct fuse_cache *cache, int64_t page, bool dirty)
{
	if (page_dirty(cache, page) == dirty || page / 64 >= cache->valid_words)
		return;
	cache->dirty[page / 64] ^= 1ULL << (page % 64);
	cache->nr_dirty += dirty ? 1 : -1;
	atomic_fetch_add(&all_dirty, dirty ? 1 : -1);
}

static void set_valid(struct fuse_cache *cache, int64_t first, int64_t end, bool valid)
{
	int64_t changed = 0;

	fb_assert(first >= 0);
	if (end > cache->valid_words * 64)
		end = cache->valid_words * 64;
	for (int64_t page = first; page < end; page++) {
		uint64_t bit = 1ULL << (page % 64);
		uint64_t *word = &cache->valid[page / 64];

		if (!valid && *word == 0) { /* a whole word of nothing */
			page |= 63;
			continue;
		}
		if (!!(*word & bit) == valid)
			continue;
		*word ^= bit;
		changed += valid ? 1 : -1;
		if (!valid)
			set_dirty(cache, page, false);
	}
	if (changed) {
		cache->nr_valid += changed;
		budget_charge(cache);
	}
}

static struct fuse_fill *overlapping_fill(struct fuse_cache *cache, int64_t first, int64_t end)
{
	struct fuse_fill *fill;

	list_for_each (fill, &cache->fills, node)
		if (fill->first < end && first < fill->end)
			return fill;
	return NULL;
}

/* The bytes of some pages; zeros behind what was ever stored. */
static void load_pages(struct fuse_cache *cache, int64_t page, int64_t count, void *buf)
{
	size_t len = (size_t)count * PAGE;
	struct io_iter to;
	ssize_t n;

	iter_init_mem(&to, buf, len);
	n = pagecache_read(&cache->data, &to, page * PAGE);
	n = n < 0 ? 0 : n;
	memset((char *)buf + n, 0, len - (size_t)n);
}

static void load_page(struct fuse_cache *cache, int64_t page, void *buf)
{
	load_pages(cache, page, 1, buf);
}

static int64_t page_of(int64_t pos)
{
	return pos / PAGE;
}
static int64_t page_after(int64_t end)
{
	return end / PAGE + (end % PAGE != 0);
}

/* Storing the page would make those before it appear in mappings, as zeros. */
static bool beyond_frontier(struct fuse_cache *cache, int64_t page)
{
	return cache->lazy && page > page_after(pagecache_size(&cache->data));
}

/* With `lazy`: mappings may use what is before the page. */
static int move_frontier(struct fuse_cache *cache, int64_t page)
{
	if (!cache->lazy || pagecache_size(&cache->data) >= page * PAGE)
		return 0;
	return pagecache_truncate(&cache->data, page * PAGE);
}

/* --- budget ------------------------------------------------------------------------------- */

static void drop_pages(struct fuse_cache *cache)
{
	set_valid(cache, 0, cache->valid_words * 64, false);
	if (!cache->mapped) {
		(void)pagecache_truncate(&cache->data, 0);
		cache->sparse = false;
	}
}

/* The coldest cache, marked so that it is not destroyed; NULL when the budget holds. */
static struct fuse_cache *pick_victim(void)
{
	struct fuse_cache *victim = NULL;

	fb_mutex_lock(&budget.lock);
	if (budget.pages > budget.max_pages && !list_empty(&budget.lru)) {
		victim = list_first(&budget.lru, struct fuse_cache, lru_node);
		list_del(&victim->lru_node);
		victim->reclaiming++;
	}
	fb_mutex_unlock(&budget.lock);
	return victim;
}

static bool lease_granted(int probe, int lease);

/* Was handed to mappings that nobody watches: perhaps they are gone. */
static bool still_mapped(struct fuse_cache *cache)
{
	int probe;

	if (cache->probe >= 0 || pagecache_hostfd(&cache->data, false, &probe))
		return true;
	cache->mapped = !lease_granted(probe, F_WRLCK);
	(void)close(probe);
	return cache->mapped;
}

/* Over the budget: the coldest caches are emptied. No lock held. */
static void shrink(void)
{
	struct fuse_cache *victim;

	while ((victim = pick_victim())) {
		fb_mutex_lock(&victim->lock);
		if (victim->nr_dirty == 0 && !(victim->mapped && still_mapped(victim)))
			drop_pages(victim);
		fb_mutex_unlock(&victim->lock);
		fb_mutex_lock(&budget.lock);
		victim->reclaiming--;
		waitq_wake(&budget.reclaimed, 0);
		fb_mutex_unlock(&budget.lock);
	}
}

/* --- reading ------------------------------------------------------------------------------ */

static size_t valid_locked(struct fuse_cache *cache, int64_t pos, size_t len)
{
	int64_t page = page_of(pos), end = page_after(pos + (int64_t)len), first = page;

	while (page < end && page_valid(cache, page))
		page++;
	if (page == end)
		return len;
	return page == first ? 0 : (size_t)(page * PAGE - pos);
}

size_t fuse_cache_valid(struct fuse_cache *cache, int64_t pos, size_t len)
{
	size_t n;

	fb_mutex_lock(&cache->lock);
	n = valid_locked(cache, pos, len);
	fb_mutex_unlock(&cache->lock);
	return n;
}

int64_t fuse_cache_history(struct fuse_cache *cache, int64_t page, int64_t max)
{
	int64_t count = 0;

	fb_mutex_lock(&cache->lock);
	while (count < max && count < page &&
	       (page_valid(cache, page - count - 1) ||
		overlapping_fill(cache, page - count - 1, page - count)))
		count++;
	fb_mutex_unlock(&cache->lock);
	return count;
}

ssize_t fuse_cache_read(struct fuse_cache *cache, struct io_iter *to, int64_t pos, size_t len)
{
	size_t room = to->count, n;
	ssize_t ret = 0;

	fb_mutex_lock(&cache->lock);
	n = valid_locked(cache, pos, len);
	if (n > 0) {
		budget_charge(cache); /* used: to the warm end */
		iter_truncate(to, n);
		ret = pagecache_read(&cache->data, to, pos);
		/* Behind what was ever stored, a valid page is zeros. */
		if (ret >= 0 && (size_t)ret < n && to->count > 0)
			ret += (ssize_t)iter_zero(to, to->count);
		to->count = room - (ret > 0 ? (size_t)ret : 0);
		if (ret == 0)
			ret = -EFAULT;
	}
	fb_mutex_unlock(&cache->lock);
	return ret;
}

/* --- fills -------------------------------------------------------------------------------- */

/* From its first page on: up to `end`, or to a page that is valid or somebody else's. */
static void claim(struct fuse_cache *cache, struct fuse_fill *fill, int64_t first, int64_t end)
{
	fill->first = fill->end = first;
	fill->worthless = false;
	while (fill->end < end && !page_valid(cache, fill->end) &&
	       !overlapping_fill(cache, fill->end, fill->end + 1))
		fill->end++;
	list_add_tail(&cache->fills, &fill->node);
}

bool fuse_cache_try_fill(struct fuse_cache *cache, int64_t first, int64_t end,
			 struct fuse_fill *ret_fill)
{
	bool claimed;

	fb_mutex_lock(&cache->lock);
	while (first < end &&
	       (page_valid(cache, first) || overlapping_fill(cache, first, first + 1)))
		first++;
	claimed = first < end;
	if (claimed)
		claim(cache, ret_fill, first, end);
	fb_mutex_unlock(&cache->lock);
	return claimed;
}

int fuse_cache_begin_fill(struct fuse_cache *cache, int64_t first, int64_t end,
			  struct fuse_fill *ret_fill)
{
	int ret = 0;

	fb_mutex_lock(&cache->lock);
	while (overlapping_fill(cache, first, first + 1)) {
		if (waitq_wait(&cache->fill_done, 0, &cache->lock, WAIT_KILLABLE, WAIT_FOREVER)) {
			ret = -EINTR;
			goto out;
		}
	}
	ret = page_valid(cache, first);
	if (!ret)
		claim(cache, ret_fill, first, end);
out:
	fb_mutex_unlock(&cache->lock);
	return ret;
}

/* What the pages hold is what the daemon has. */
static void sum_pages(struct fuse_cache *cache, int64_t first, int64_t end)
{
	char *page = malloc(PAGE);

	if (!page)
		cache->sums.lost = true;
	for (; page && first < end; first++)
		if (page_valid(cache, first)) {
			load_page(cache, first, page);
			page_sums_set(&cache->sums, first, page_sum(page));
		}
	free(page);
}

static bool store_fill(struct fuse_cache *cache, const struct fuse_fill *fill, const void *data,
		       size_t len)
{
	int64_t pos, end;
	struct io_iter from;

	if (fill->worthless || beyond_frontier(cache, fill->first) ||
	    !reserve_pages(cache, fill->end))
		return false;
	pos = fill->first * PAGE;
	end = fill->end * PAGE; /* there is one: it is among the pages that can be kept */
	/* Old bytes of invalid pages must not show behind a short answer. */
	if (pos + (int64_t)len < end && pagecache_size(&cache->data) > pos + (int64_t)len &&
	    pagecache_fallocate(&cache->data, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				pos + (int64_t)len, end - pos - (int64_t)len))
		return false;
	if (len > 0) {
		iter_init_mem(&from, (char *)(uintptr_t)data, len);
		if (pagecache_write(&cache->data, &from, pos) != (ssize_t)len)
			return false;
	}
	if (move_frontier(cache, fill->end))
		return false;
	set_valid(cache, fill->first, fill->end, true);
	if (cache->tracked)
		sum_pages(cache, fill->first, fill->end);
	return true;
}

bool fuse_cache_end_fill(struct fuse_cache *cache, struct fuse_fill *fill, const void *data,
			 size_t len)
{
	bool ok;

	fb_mutex_lock(&cache->lock);
	ok = data && store_fill(cache, fill, data, len);
	list_del(&fill->node);
	waitq_wake(&cache->fill_done, 0);
	fb_mutex_unlock(&cache->lock);
	shrink();
	return ok;
}

int fuse_cache_wait(struct fuse_cache *cache, int64_t pos, size_t len)
{
	int64_t first = page_of(pos), end = page_after(pos + (int64_t)len);
	int err = 0;

	fb_mutex_lock(&cache->lock);
	while (!err && overlapping_fill(cache, first, end))
		err = waitq_wait(&cache->fill_done, 0, &cache->lock, WAIT_KILLABLE, WAIT_FOREVER);
	fb_mutex_unlock(&cache->lock);
	return err ? -EINTR : 0;
}

/* --- writing and invalidating ------------------------------------------------------------- */

static void ruin_fills(struct fuse_cache *cache, int64_t first, int64_t end)
{
	struct fuse_fill *fill;

	list_for_each (fill, &cache->fills, node)
		if (fill->first < end && first < fill->end)
			fill->worthless = true;
}

/*
 * These bytes of a page are the daemon's now, and about to be ours. The page may hold other bytes
 * that a mapping has changed; the sum must not cover them up.
 */
static void sum_written(struct fuse_cache *cache, const char *data, size_t len, int64_t pos)
{
	int64_t page = page_of(pos);
	uint64_t sum = PAGE_SUM_UNKNOWN;
	char *buf = malloc(PAGE);

	if (buf) {
		if (page_valid(cache, page))
			load_page(cache, page, buf);
		else
			memset(buf, 0, PAGE);
		if (len == PAGE || !page_valid(cache, page) ||
		    page_sum(buf) == page_sums_get(&cache->sums, page)) {
			memcpy(buf + pos % PAGE, data, len);
			sum = page_sum(buf);
		}
	}
	page_sums_set(&cache->sums, page, sum);
	free(buf);
}

/* Stores bytes that lie in one page, if that page is or becomes valid. */
static void write_page(struct fuse_cache *cache, const char *data, size_t len, int64_t pos,
		       int64_t file_size)
{
	int64_t page = page_of(pos), start = page * PAGE, end = pos + (int64_t)len;
	bool covered = pos == start && (len == PAGE || end >= file_size);
	struct io_iter from;

	if ((!page_valid(cache, page) && !covered) || beyond_frontier(cache, page))
		return;
	if (!reserve_pages(cache, page + 1))
		return;
	if (cache->tracked)
		sum_written(cache, data, len, pos);
	iter_init_mem(&from, (char *)(uintptr_t)data, len);
	if (pagecache_write(&cache->data, &from, pos) != (ssize_t)len) {
		set_valid(cache, page, page + 1, false);
		return;
	}
	if (!page_valid(cache, page) && len < PAGE && pagecache_size(&cache->data) > end &&
	    pagecache_fallocate(&cache->data, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, end,
				start + PAGE - end))
		return;
	set_valid(cache, page, page + 1, true);
}

/* Whole pages, which are valid from now on whatever they were. */
static void write_pages(struct fuse_cache *cache, const char *data, size_t len, int64_t pos)
{
	int64_t first = page_of(pos), end = page_of(pos + (int64_t)len);
	struct io_iter from;
	bool ok;

	if (beyond_frontier(cache, first))
		return;
	iter_init_mem(&from, (char *)(uintptr_t)data, len);
	ok = reserve_pages(cache, end) &&
	     pagecache_write(&cache->data, &from, pos) == (ssize_t)len;
	for (int64_t page = first; ok && cache->tracked && page < end; page++)
		page_sums_set(&cache->sums, page, page_sum(data + (page - first) * PAGE));
	set_valid(cache, first, end, ok);
}

void fuse_cache_write(struct fuse_cache *cache, const void *data, size_t len, int64_t pos,
		      int64_t file_size)
{
	const char *bytes = data;

	if (len == 0)
		return;
	fb_mutex_lock(&cache->lock);
	ruin_fills(cache, page_of(pos), page_after(pos + (int64_t)len));
	while (len > 0) {
		size_t n = PAGE - (size_t)(pos % PAGE);

		if (n == PAGE && len >= PAGE) {
			n = len / PAGE * PAGE;
			write_pages(cache, bytes, n, pos);
		} else {
			n = n < len ? n : len;
			write_page(cache, bytes, n, pos, file_size);
		}
		bytes += n;
		pos += (int64_t)n;
		len -= n;
	}
	fb_mutex_unlock(&cache->lock);
	shrink();
}

/* What is dirty is newer than anything the daemon has. */
static void drop_clean(struct fuse_cache *cache, int64_t page, int64_t end)
{
	ruin_fills(cache, page, INT64_MAX / PAGE);
	for (; page < cache->valid_words * 64 && page * PAGE < end; page++)
		if (!page_dirty(cache, page))
			set_valid(cache, page, page + 1, false);
}

/* lock held */
static void forget_locked(struct fuse_cache *cache, int64_t pos, int64_t end)
{
	int64_t last = end > INT64_MAX - PAGE ? INT64_MAX / PAGE : page_after(end);

	ruin_fills(cache, page_of(pos), last);
	if (pos == 0 && last >= cache->valid_words * 64)
		drop_pages(cache);
	else
		set_valid(cache, page_of(pos), last, false);
}

void fuse_cache_invalidate(struct fuse_cache *cache, int64_t pos, int64_t end)
{
	fb_mutex_lock(&cache->lock);
	if (cache->tracked)
		cache->drop_due = true;
	else if (cache->nr_dirty > 0)
		drop_clean(cache, page_of(pos), end);
	else
		forget_locked(cache, pos, end);
	fb_mutex_unlock(&cache->lock);
}

void fuse_cache_forget(struct fuse_cache *cache, int64_t pos, int64_t end)
{
	fb_mutex_lock(&cache->lock);
	forget_locked(cache, pos, end);
	fb_mutex_unlock(&cache->lock);
}

/* What the daemon has of a page whose first `len` bytes it keeps; unknown if a mapping changed it. */
static uint64_t sum_cut(struct fuse_cache *cache, int64_t page, size_t len)
{
	uint64_t sum = PAGE_SUM_UNKNOWN;
	char *buf = malloc(PAGE);

	if (buf && page_valid(cache, page)) {
		load_page(cache, page, buf);
		if (page_sum(buf) == page_sums_get(&cache->sums, page)) {
			memset(buf + len, 0, PAGE - len);
			sum = page_sum(buf);
		}
	}
	free(buf);
	return sum;
}

void fuse_cache_truncate(struct fuse_cache *cache, int64_t size)
{
	fb_mutex_lock(&cache->lock);
	ruin_fills(cache, page_of(size), INT64_MAX / PAGE);
	set_valid(cache, page_after(size), INT64_MAX / PAGE, false);
	if (cache->tracked) {
		page_sums_clear(&cache->sums, page_after(size), INT64_MAX / PAGE);
		if (size % PAGE)
			page_sums_set(&cache->sums, page_of(size),
				      sum_cut(cache, page_of(size), (size_t)(size % PAGE)));
	}
	/* Cuts a mapping too (SIGBUS behind the end, as on any file), and zeros the last page. */
	if (pagecache_size(&cache->data) > size)
		(void)pagecache_truncate(&cache->data, size);
	fb_mutex_unlock(&cache->lock);
}

void fuse_cache_drop(struct fuse_cache *cache)
{
	fuse_cache_invalidate(cache, 0, INT64_MAX);
}

bool fuse_cache_begin_lazy(struct fuse_cache *cache)
{
	int64_t frontier = 0;

	fb_mutex_lock(&cache->lock);
	if (!cache->lazy && !(cache->mapped && still_mapped(cache)) && cache->nr_dirty == 0) {
		while (page_valid(cache, frontier))
			frontier++;
		ruin_fills(cache, frontier, INT64_MAX / PAGE);
		set_valid(cache, frontier, INT64_MAX / PAGE, false);
		cache->lazy = !pagecache_truncate(&cache->data, frontier * PAGE);
		cache->mapped |= cache->lazy;
	}
	fb_mutex_unlock(&cache->lock);
	return cache->lazy;
}

bool fuse_cache_lazy(struct fuse_cache *cache)
{
	return cache->lazy;
}

int64_t fuse_cache_frontier(struct fuse_cache *cache)
{
	return pagecache_size(&cache->data);
}

void fuse_cache_end_hole(struct fuse_cache *cache, struct fuse_fill *fill)
{
	int64_t pos, end, data;
	int err = 0;

	fb_mutex_lock(&cache->lock);
	if (!fill->worthless && !beyond_frontier(cache, fill->first) &&
	    reserve_pages(cache, fill->end)) {
		pos = fill->first * PAGE;
		end = fill->end * PAGE;
		data = pagecache_seek(&cache->data, pos, SEEK_DATA);
		if (data >= 0 && data < end)
			err = pagecache_fallocate(&cache->data,
						  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos,
						  end - pos);
		if (!err)
			err = move_frontier(cache, fill->end);
		if (!err) {
			cache->sparse = true;
			page_sums_clear(&cache->sums, fill->first, fill->end);
			set_valid(cache, fill->first, fill->end, true);
		}
	}
	list_del(&fill->node);
	waitq_wake(&cache->fill_done, 0);
	fb_mutex_unlock(&cache->lock);
}

/* --- tracking ----------------------------------------------------------------------------- */

/*
 * The host grants a read lease on a file that nobody has open for writing, and a write lease on one
 * that nobody else has open at all (check_conflicting_open() in fs/locks.c); a mapping keeps its
 * open file. The cache's own memfd does not count, a pseudo file being created without access.
 * cache->lock held: while there is a lease, an open would wait for it.
 */
static bool lease_granted(int probe, int lease)
{
	if (HOST(fcntl(probe, F_SETLEASE, lease)) < 0)
		return false;
	(void)HOST(fcntl(probe, F_SETLEASE, F_UNLCK));
	return true;
}

static int watch_locked(struct fuse_cache *cache)
{
	int err = cache->probe < 0 ? pagecache_hostfd(&cache->data, false, &cache->probe) : 0;

	if (!err) {
		cache->mapped = true;
		budget_charge(cache);
	}
	return err;
}

int fuse_cache_watch(struct fuse_cache *cache)
{
	int err;

	fb_mutex_lock(&cache->lock);
	err = watch_locked(cache);
	fb_mutex_unlock(&cache->lock);
	return err;
}

int fuse_cache_track(struct fuse_cache *cache)
{
	int err = 0;

	fb_mutex_lock(&cache->lock);
	if (cache->tracked)
		goto out;
	err = watch_locked(cache);
	if (!err && !lease_granted(cache->probe, F_RDLCK))
		err = -EACCES; /* no telling here */
	if (err)
		goto out;
	cache->tracked = true;
	cache->drop_due = false;
	sum_pages(cache, 0, cache->valid_words * 64);
out:
	fb_mutex_unlock(&cache->lock);
	return err;
}

bool fuse_cache_tracked(struct fuse_cache *cache)
{
	return cache->tracked;
}

int fuse_cache_host_id(struct fuse_cache *cache, uint64_t *ret_dev, uint64_t *ret_ino)
{
	struct stat st = {0};

	(void)HOST(fstat(cache->probe, &st));
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	return cache->probe;
}

/*
 * An open file that is given out gets a lock, whose place is its key. The host takes the lock away
 * when the last descriptor and the last mapping of that open file are gone.
 */
static struct flock lock_of(short type, uint64_t key)
{
	return (struct flock){ .l_type = type,
			       .l_whence = SEEK_SET,
			       .l_start = (off_t)(key & INT64_MAX),
			       .l_len = 1 };
}

static int mark(int hostfd, uint64_t key)
{
	struct flock lock = lock_of(F_RDLCK, key);

	return HOST(fcntl(hostfd, F_OFD_SETLK, &lock)) < 0 ? -EACCES : 0;
}

bool fuse_cache_in_use(struct fuse_cache *cache, uint64_t key)
{
	struct flock lock = lock_of(F_WRLCK, key);
	bool in_use;

	fb_mutex_lock(&cache->lock);
	in_use = cache->probe >= 0 && HOST(fcntl(cache->probe, F_OFD_GETLK, &lock)) == 0 &&
		 lock.l_type != F_UNLCK;
	fb_mutex_unlock(&cache->lock);
	return in_use;
}

/* One that is watched, unless it is a writable one of a cache that is not tracked. */
static int give_out(struct fuse_cache *cache, bool write, uint64_t key, int *ret_hostfd)
{
	int hostfd, err;

	if (write && !cache->tracked)
		return pagecache_hostfd(&cache->data, true, ret_hostfd);
	err = write ? pagecache_hostfd_counted(&cache->data, &hostfd)
		    : pagecache_hostfd(&cache->data, false, &hostfd);
	if (err)
		return err;
	if (cache->probe >= 0)
		err = mark(hostfd, key);
	if (err)
		(void)close(hostfd);
	else
		*ret_hostfd = hostfd;
	return err;
}

int fuse_cache_hostfd(struct fuse_cache *cache, int64_t pos, int64_t end, int64_t file_size,
		      bool write, uint64_t key, int *ret_hostfd)
{
	int err = 0;

	fb_mutex_lock(&cache->lock);
	if (!cache->lazy && pos < end &&
	    valid_locked(cache, pos, (size_t)(end - pos)) < (size_t)(end - pos)) {
		fb_mutex_unlock(&cache->lock);
		return -EAGAIN;
	}
	cache->mapped = true;
	if (!cache->lazy && pagecache_size(&cache->data) < file_size)
		err = pagecache_truncate(&cache->data, file_size);
	/* Under the lock: nobody must hold a lease while it is opened. */
	if (!err)
		err = give_out(cache, write, key, ret_hostfd);
	budget_charge(cache);
	fb_mutex_unlock(&cache->lock);
	return err;
}

static void untrack_locked(struct fuse_cache *cache)
{
	cache->tracked = false;
	page_sums_free(&cache->sums);
	if (cache->drop_due)
		drop_clean(cache, 0, INT64_MAX);
	cache->drop_due = false;
}

void fuse_cache_untrack(struct fuse_cache *cache)
{
	fb_mutex_lock(&cache->lock);
	untrack_locked(cache);
	fb_mutex_unlock(&cache->lock);
}

void fuse_cache_unwatch(struct fuse_cache *cache)
{
	fb_mutex_lock(&cache->lock);
	cache->lazy = false;
	if (cache->probe >= 0)
		(void)close(cache->probe);
	cache->probe = -1;
	untrack_locked(cache);
	budget_charge(cache);
	fb_mutex_unlock(&cache->lock);
}

#define LOOK_PAGES 2048 /* that one call looks at with the lock held */

/* Appends the page at `at` to the run if it is newer than the daemon's. */
static bool take_page(struct fuse_cache *cache, int64_t page, int64_t file_size, char *at)
{
	bool dirty = page_dirty(cache, page);
	uint64_t sum;

	if (!page_valid(cache, page))
		return false;
	load_page(cache, page, at);
	if (file_size < (page + 1) * PAGE) /* what is behind the end is nobody's */
		memset(at + file_size % PAGE, 0, PAGE - (size_t)(file_size % PAGE));
	set_dirty(cache, page, false);
	sum = page_sum(at);
	if (!dirty && sum == page_sums_get(&cache->sums, page))
		return false;
	page_sums_set(&cache->sums, page, sum);
	return true;
}

/* The next page from `page` on that may be worth looking at. */
static int64_t next_page(struct fuse_cache *cache, int64_t page, int64_t end)
{
	int64_t data;

	if (cache->tracked) {
		data = pagecache_seek(&cache->data, page * PAGE, SEEK_DATA);
		return data < 0 || page_of(data) > end ? end : page_of(data);
	}
	while (page < end && !page_dirty(cache, page)) {
		if (page / 64 >= cache->valid_words)
			return end;
		page = cache->dirty[page / 64] >> (page % 64) ? page + 1 : (page | 63) + 1;
	}
	return page < end ? page : end;
}

/* The next dirty pages of a cache that is not tracked: one run, copied in one go. */
static size_t take_dirty(struct fuse_cache *cache, int64_t *page, int64_t end, void *buf,
			 size_t room)
{
	int64_t first = next_page(cache, *page, end), last;

	while (first < end && overlapping_fill(cache, first, first + 1)) /* its WRITE is under way */
		first = next_page(cache, first + 1, end);
	last = first;
	while (last < end && last < first + (int64_t)(room / PAGE) && page_dirty(cache, last) &&
	       !overlapping_fill(cache, last, last + 1))
		set_dirty(cache, last++, false);
	*page = last;
	if (last > first)
		load_pages(cache, first, last - first, buf);
	return (size_t)(last - first) * PAGE;
}

/* The same, when pages have to be looked at to know. */
static size_t take_tracked(struct fuse_cache *cache, int64_t *ret_page, int64_t end,
			   int64_t file_size, void *buf, size_t room)
{
	int64_t page = *ret_page;
	size_t len = 0;

	for (int looked = 0; page < end && looked < LOOK_PAGES; looked++) {
		int64_t next = next_page(cache, page, end);

		if (len > 0 && next != page)
			break;
		page = next;
		if (page == end)
			break;
		if (take_page(cache, page, file_size, (char *)buf + len))
			len += PAGE;
		else if (len > 0)
			break;
		page++;
		if (len + PAGE > room)
			break;
	}
	*ret_page = page;
	return len;
}

size_t fuse_cache_take_changed(struct fuse_cache *cache, int64_t *pos, int64_t end,
			       int64_t file_size, void *buf, size_t room, int64_t *ret_at,
			       struct fuse_fill *ret_busy)
{
	int64_t page = page_of(*pos);
	size_t len;

	end = page_after(end < file_size ? end : file_size);

	fb_mutex_lock(&cache->lock);
	len = cache->tracked ? take_tracked(cache, &page, end, file_size, buf, room)
			     : take_dirty(cache, &page, end, buf, room);
	*pos = page <= page_of(INT64_MAX) ? page * PAGE : INT64_MAX; /* a daemon may say so large a size */
	if (len > 0) {
		*ret_at = (page - (int64_t)(len / PAGE)) * PAGE;
		ret_busy->first = page_of(*ret_at);
		ret_busy->end = page;
		ret_busy->worthless = true;
		list_add_tail(&cache->fills, &ret_busy->node);
	}
	fb_mutex_unlock(&cache->lock);
	if (len > 0 && (int64_t)len > file_size - *ret_at) /* what is behind the end is nobody's */
		len = (size_t)(file_size - *ret_at);
	return len;
}

void fuse_cache_end_take(struct fuse_cache *cache, struct fuse_fill *busy, bool again)
{
	fb_mutex_lock(&cache->lock);
	for (int64_t page = busy->first; again && page < busy->end; page++)
		if (page_valid(cache, page))
			set_dirty(cache, page, true);
	list_del(&busy->node);
	waitq_wake(&cache->fill_done, 0);
	budget_charge(cache);
	fb_mutex_unlock(&cache->lock);
}

void fuse_cache_grow(struct fuse_cache *cache, int64_t old_size, int64_t size)
{
	int64_t first = page_after(old_size), end = page_after(size);

	if (size <= old_size || !fuse_cache_tracked(cache))
		return;
	fb_mutex_lock(&cache->lock);
	if (cache->tracked && !beyond_frontier(cache, first) && reserve_pages(cache, end) &&
	    (pagecache_size(&cache->data) >= size || !pagecache_truncate(&cache->data, size))) {
		ruin_fills(cache, first, end);
		page_sums_clear(&cache->sums, first, end);
		cache->sparse = true;
		set_valid(cache, first, end, true);
	}
	fb_mutex_unlock(&cache->lock);
}

/* --- writeback ---------------------------------------------------------------------------- */

/* May bytes that lie in one page be stored there with nothing read first? */
static bool may_dirty(const struct fuse_cache *cache, int64_t pos, size_t len, int64_t file_size)
{
	int64_t start = page_of(pos) * PAGE;

	return page_valid(cache, page_of(pos)) || start >= file_size ||
	       (pos == start && len == PAGE);
}

/* Only the first and the last page can be touched in part. */
static int64_t missing_page(const struct fuse_cache *cache, int64_t pos, size_t len,
			    int64_t file_size)
{
	int64_t end = pos + (int64_t)len, last = page_of(end - 1) * PAGE;
	size_t head = PAGE - (size_t)(pos % PAGE);

	if (!may_dirty(cache, pos, head < len ? head : len, file_size))
		return page_of(pos) * PAGE;
	if (last > pos && !may_dirty(cache, last, (size_t)(end - last), file_size))
		return last;
	return -1;
}

int64_t fuse_cache_missing(struct fuse_cache *cache, int64_t pos, size_t len, int64_t file_size)
{
	int64_t missing;

	fb_mutex_lock(&cache->lock);
	missing = missing_page(cache, pos, len, file_size);
	fb_mutex_unlock(&cache->lock);
	return missing;
}

int64_t fuse_cache_nr_dirty(struct fuse_cache *cache)
{
	return cache->nr_dirty;
}

int64_t fuse_cache_all_dirty(void)
{
	return atomic_load(&all_dirty);
}

/* What an invalid page held must not show beside the bytes that are about to make it valid. */
static int clear_page(struct fuse_cache *cache, int64_t page)
{
	if (page_valid(cache, page) || pagecache_size(&cache->data) <= page * PAGE)
		return 0;
	return pagecache_fallocate(&cache->data, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				   page * PAGE, PAGE);
}

static int store_dirty(struct fuse_cache *cache, const void *data, size_t len, int64_t pos,
		       int64_t file_size)
{
	int64_t first = page_of(pos), end = page_after(pos + (int64_t)len);
	struct io_iter from;
	ssize_t n;
	int err;

	if (missing_page(cache, pos, len, file_size) >= 0)
		return -EAGAIN;
	if (!reserve_pages(cache, end))
		return end > MAX_PAGE ? -EFBIG : -ENOMEM;
	ruin_fills(cache, first, end);
	err = pos % PAGE ? clear_page(cache, first) : 0;
	if (!err && (pos + (int64_t)len) % PAGE)
		err = clear_page(cache, end - 1);
	if (err)
		return err;
	iter_init_mem(&from, (char *)(uintptr_t)data, len);
	n = pagecache_write(&cache->data, &from, pos);
	if (n != (ssize_t)len)
		return n < 0 ? (int)n : -ENOMEM;
	set_valid(cache, first, end, true);
	for (int64_t page = first; page < end; page++)
		set_dirty(cache, page, true);
	return 0;
}

int fuse_cache_dirty(struct fuse_cache *cache, const void *data, size_t len, int64_t pos,
		     int64_t file_size)
{
	int err;

	fb_mutex_lock(&cache->lock);
	err = store_dirty(cache, data, len, pos, file_size);
	budget_charge(cache);
	fb_mutex_unlock(&cache->lock);
	shrink();
	return err;
}

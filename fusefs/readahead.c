/*
 * Readahead (matrix F81): how much more than was asked for a sequential reader gets, and when; cf.
 * mm/readahead.c, whose windows daemons know. A window is asked for when its first page is missing,
 * and the next one as soon as the reader reaches the marker in the last one. With ASYNC_READ nobody
 * waits for such a request; so the daemon works while the reader does.
 *
 * The request owns a fill of the cache and holds the open file, and so the inode: RELEASE comes
 * after its answer (F59). If it fails, whoever needs the page asks again and gets the error.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "fusefs/fusefs.h"
#include "sentry/base/iobuf.h"
#include "vfs/file.h"

#define MAX_HISTORY 64 /* pages: the largest window */

/* One READ for what nobody has asked for yet. */
struct read_ahead {
	struct fuse_fill fill;
	struct fuse_file *ff; /* counted */
	uint64_t version;     /* of the attributes, before it was sent */
	struct fuse_read_in in;
	struct fuse_args args;
	char buf[]; /* of the fill's length */
};

static uint32_t power_of_two_from(uint32_t n)
{
	uint32_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

/* cf. get_init_ra_size() */
static uint32_t first_window(uint32_t req, uint32_t max)
{
	uint32_t size = power_of_two_from(req);

	if (size <= max / 32)
		return size * 4;
	return size <= max / 4 ? size * 2 : max;
}

/* cf. get_next_ra_size() */
static uint32_t next_window(uint32_t size, uint32_t max)
{
	if (size < max / 16)
		return 4 * size;
	return size <= max / 2 ? 2 * size : max;
}

/* Pages that a window may have: a large request is not cut down to less than one READ. */
static uint32_t max_window(const struct fuse_file *ff, uint32_t req)
{
	uint32_t max = ff->readahead.limit;
	uint32_t limit = (uint32_t)(fuse_read_limit(fuse_of(ff->inode)) / FUSE_PAGE);

	if (ff->readahead.advice == POSIX_FADV_SEQUENTIAL)
		max *= 2;
	if (req <= max || max == 0)
		return max;
	return req < limit ? req : limit;
}

static uint32_t pages_of(int64_t pos, size_t want)
{
	return (uint32_t)((pos + (int64_t)want - 1) / FUSE_PAGE - pos / FUSE_PAGE + 1);
}

/* Pages are there that a sequential reader has left behind, `history` of them before the first. */
static void follow_history(struct fuse_readahead *ra, int64_t first, int64_t history, uint32_t req,
			   uint32_t max)
{
	if (history == first) /* from the beginning of the file on: it will go on */
		history *= 2;
	ra->size = history + req < max ? (uint32_t)history + req : max;
	ra->async_size = 1;
}

/* attr_lock held. Pages to ask for when page `first` is missing; cf. page_cache_sync_ra(). */
static uint32_t sync_window(struct fuse_file *ff, int64_t first, uint32_t req, int64_t history)
{
	struct fuse_readahead *ra = &ff->readahead;
	uint32_t max = max_window(ff, req);
	int64_t gap = first - ra->prev_end / FUSE_PAGE;

	/* Without readahead Linux reads page by page; we what is wanted. */
	if (max == 0 || ra->advice == POSIX_FADV_RANDOM)
		return req;
	if (first == 0 || req > max || gap == 0 || gap == 1) {
		ra->size = first_window(req, max);
		ra->async_size = ra->size > req ? ra->size - req : ra->size / 2;
	} else if (history > req) {
		follow_history(ra, first, history, req, max);
	} else {
		return req; /* here and there: this is not remembered */
	}
	ra->start = first;
	return ra->size > req ? ra->size : req;
}

int64_t fuse_readahead_miss(struct file *file, int64_t pos, size_t want, int64_t size)
{
	struct fuse_file *ff = file->private;
	uint32_t req = pages_of(pos, want < INT32_MAX ? want : INT32_MAX);
	int64_t end = fuse_pages_up(size);
	int64_t first = pos / FUSE_PAGE, window;
	int64_t history = fuse_cache_history(&fuse_i(ff->inode)->cache, first, MAX_HISTORY);

	fb_mutex_lock(&ff->inode->attr_lock);
	window = sync_window(ff, first, req, history);
	fb_mutex_unlock(&ff->inode->attr_lock);
	return first + window < end ? first + window : end;
}

static void done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct read_ahead *ahead = args->owner;
	struct inode *inode = ahead->ff->inode;
	int64_t first = ahead->fill.first;
	size_t len = (size_t)(ahead->fill.end - first) * FUSE_PAGE;

	(void)conn;
	(void)fuse_cache_end_fill(&fuse_i(inode)->cache, &ahead->fill,
				  result >= 0 ? ahead->buf : NULL, result >= 0 ? (size_t)result : 0);
	if (result >= 0) {
		if ((size_t)result < len)
			fuse_size_seen(inode, first * FUSE_PAGE + result, ahead->version);
		fuse_accessed(inode); /* F25 */
	}
	fuse_file_put(ahead->ff);
	iobuf_free(ahead);
}

/*
 * One READ at most: a run of missing pages from *pos_page on. Without ASYNC_READ its answer is waited
 * for. 0; -errno: no more of it.
 */
static int send(const struct op_ctx *ctx, struct file *file, int64_t *pos_page, int64_t end)
{
	struct fuse_file *ff = file->private;
	struct fuse_cache *cache = &fuse_i(ff->inode)->cache;
	int64_t limit = (int64_t)(fuse_read_limit(fuse_of(ff->inode)) / FUSE_PAGE);
	int64_t room = end - *pos_page < limit ? end - *pos_page : limit;
	struct read_ahead *ahead = iobuf_alloc(sizeof(*ahead) + (size_t)room * FUSE_PAGE);
	struct fuse_conn *conn = fuse_conn_of(ff->inode);
	ssize_t result;
	size_t len;

	if (!ahead)
		return -ENOMEM;
	if (!fuse_cache_try_fill(cache, *pos_page, *pos_page + room, &ahead->fill)) {
		*pos_page += room;
		iobuf_free(ahead);
		return 0;
	}
	*pos_page = ahead->fill.end;
	len = (size_t)(ahead->fill.end - ahead->fill.first) * FUSE_PAGE;
	ref_get(&ff->ref);
	ahead->ff = ff;
	ahead->version = fuse_attr_version(ff->inode);
	fuse_read_args(file, &ahead->args, &ahead->in, ahead->buf, len,
		       ahead->fill.first * FUSE_PAGE);
	ahead->args.owner = ahead;
	if (fuse_conn_has(conn, FUSE_ASYNC_READ)) {
		ahead->args.done = done;
		result = fuse_send_async(ctx, ff->inode, &ahead->args);
		if (result == 0)
			return 0;
	} else {
		result = fuse_send(ctx, ff->inode, &ahead->args);
	}
	done(conn, &ahead->args, result);
	return result < 0 ? (int)result : 0;
}

void fuse_readahead_pages(const struct op_ctx *ctx, struct file *file, int64_t first, int64_t end)
{
	while (first < end && send(ctx, file, &first, end) == 0)
		;
}

/* attr_lock held. The window after the last one; it ends at a multiple of 4 pages. */
static void next(struct fuse_readahead *ra, uint32_t max)
{
	uint32_t size = next_window(ra->size, max);
	int64_t end;

	ra->start += ra->size;
	if (size > ra->size)
		ra->size = size;
	end = (ra->start + ra->size) & ~(int64_t)3;
	if (end > ra->start)
		ra->size = (uint32_t)(end - ra->start);
	ra->async_size = ra->size;
}

/* attr_lock held. The page that, when it is read, begins the next window; -1: none of these. */
static int64_t marker_among(const struct fuse_readahead *ra, int64_t first, uint32_t req)
{
	int64_t marker = ra->start + ra->size - ra->async_size;

	return ra->async_size > 0 && first <= marker && marker < first + req ? marker : -1;
}

/*
 * Moves on to the next window when the bytes reach into the last one's marker. A congested
 * connection does not get to read it (D88): it has no marker either.
 */
static bool take_window(struct fuse_file *ff, int64_t pos, size_t want, bool congested,
			int64_t *ret_first, int64_t *ret_end)
{
	struct fuse_readahead *ra = &ff->readahead;
	uint32_t req = pages_of(pos, want < INT32_MAX ? want : INT32_MAX);
	int64_t first = pos / FUSE_PAGE, marker;
	uint32_t max = max_window(ff, req);
	bool hit;

	fb_mutex_lock(&ff->inode->attr_lock);
	marker = marker_among(ra, first, req);
	fb_mutex_unlock(&ff->inode->attr_lock);
	/* A page that has been dropped since marks nothing. */
	if (max == 0 || marker < 0 ||
	    fuse_cache_history(&fuse_i(ff->inode)->cache, marker + 1, 1) == 0)
		return false;
	fb_mutex_lock(&ff->inode->attr_lock);
	hit = marker_among(ra, first, req) == marker;
	if (hit) {
		next(ra, max);
		if (congested)
			ra->async_size = 0;
		*ret_first = ra->start;
		*ret_end = ra->start + ra->size;
	}
	fb_mutex_unlock(&ff->inode->attr_lock);
	return hit && !congested;
}

void fuse_readahead_hit(const struct op_ctx *ctx, struct file *file, int64_t pos, size_t want)
{
	struct fuse_file *ff = file->private;
	int64_t size = inode_size(ff->inode), eof = fuse_pages_up(size);
	int64_t first, end;

	/* A lazy cache takes pages in their order only. */
	if (fuse_cache_lazy(&fuse_i(ff->inode)->cache) ||
	    !take_window(ff, pos, want, fuse_conn_congested(fuse_conn_of(ff->inode)), &first, &end))
		return;
	fuse_readahead_pages(ctx, file, first, end < eof ? end : eof);
}

void fuse_readahead_passed(struct fuse_file *ff, int64_t end)
{
	fb_mutex_lock(&ff->inode->attr_lock);
	ff->readahead.prev_end = end;
	fb_mutex_unlock(&ff->inode->attr_lock);
}

/* POSIX_FADV_WILLNEED: what is missing, and no more than one window of it. */
static void will_need(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t end)
{
	struct fuse_file *ff = file->private;
	int64_t size = inode_size(ff->inode), first = offset / FUSE_PAGE, last;

	if (size <= offset || (ff->open_flags & FOPEN_DIRECT_IO) || ff->backing)
		return;
	last = ((end < size ? end : size) - 1) / FUSE_PAGE + 1;
	if (last > first + max_window(ff, 0))
		last = first + max_window(ff, 0);
	fuse_readahead_pages(ctx, file, first, last);
}

/* POSIX_FADV_DONTNEED: whole pages, of which none is dirty. */
static int dont_need(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t end)
{
	struct fuse_file *ff = file->private;
	int64_t size = inode_size(ff->inode), first = fuse_pages_up(offset);
	int err = fuse_write_pages(ctx, ff->inode, offset, end);

	if (end < size)
		end = end / FUSE_PAGE * FUSE_PAGE;
	if (first < fuse_pages_up(end)) /* else it may have no position */
		fuse_cache_invalidate(&fuse_i(ff->inode)->cache, first * FUSE_PAGE, end);
	return err == -EINTR ? err : 0;
}

int fuse_fadvise(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t len, int advice)
{
	struct fuse_file *ff = file->private;
	int64_t end = len == 0 || len > INT64_MAX - offset ? INT64_MAX : offset + len;

	switch (advice) {
	case POSIX_FADV_NORMAL:
	case POSIX_FADV_RANDOM:
	case POSIX_FADV_SEQUENTIAL:
		fb_mutex_lock(&ff->inode->attr_lock);
		ff->readahead.advice = advice;
		fb_mutex_unlock(&ff->inode->attr_lock);
		return 0;
	case POSIX_FADV_WILLNEED:
		will_need(ctx, file, offset, end);
		return 0;
	case POSIX_FADV_DONTNEED:
		return dont_need(ctx, file, offset, end);
	default:
		return 0;
	}
}

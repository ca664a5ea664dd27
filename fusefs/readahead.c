/*
 * Readahead (matrix F81): how much more than was asked for a sequential reader gets, and when; cf.
 * mm/readahead.c, whose windows daemons know. A window is asked for when its first page is missing.
 * With ASYNC_READ the next one is asked for as soon as the reader reaches the marker in the last
 * one, in requests that nobody waits for; so the daemon works while the reader does.
 *
 * Such a request owns a fill of the cache and holds the open file, and so the inode: RELEASE comes
 * after its answer (F59). If it fails, whoever needs the page asks again and gets the error.
 */
#include <stdlib.h>

#include "fusefs/fusefs.h"
#include "sentry/base/iobuf.h"
#include "vfs/file.h"

/* One READ that nobody waits for. */
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

	if (req <= max)
		return max;
	return req < limit ? req : limit;
}

static uint32_t pages_of(int64_t pos, size_t want)
{
	return (uint32_t)((pos + (int64_t)want - 1) / FUSE_PAGE - pos / FUSE_PAGE + 1);
}

int64_t fuse_readahead_miss(struct file *file, int64_t pos, size_t want, int64_t size)
{
	struct fuse_file *ff = file->private;
	struct fuse_super *fs = fuse_of(ff->inode);
	struct fuse_readahead *ra = &ff->readahead;
	uint32_t limit = (uint32_t)(fuse_read_limit(fs) / FUSE_PAGE);
	uint32_t req = pages_of(pos, want < INT32_MAX ? want : INT32_MAX);
	uint32_t max = max_window(ff, req), window = req;
	int64_t first = pos / FUSE_PAGE, end = size / FUSE_PAGE + (size % FUSE_PAGE != 0), gap;

	fb_mutex_lock(&ff->inode->attr_lock);
	gap = first - ra->prev_end / FUSE_PAGE;
	if (max > 0 && (first == 0 || gap == 0 || gap == 1)) {
		if (ra->size > 0 && first == ra->start + ra->size)
			window = next_window(ra->size, max);
		else
			window = first_window(req, max);
		ra->start = first;
		ra->size = window;
		ra->async_size = window > req ? window - req : window;
	}
	fb_mutex_unlock(&ff->inode->attr_lock);
	if (window < req)
		window = req;
	if (window > limit)
		window = limit;
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

/* One READ at most: a run of missing pages from *pos_page on. 0; -errno: no more of it. */
static int send(const struct op_ctx *ctx, struct file *file, int64_t *pos_page, int64_t end)
{
	struct fuse_file *ff = file->private;
	struct fuse_cache *cache = &fuse_i(ff->inode)->cache;
	int64_t limit = (int64_t)(fuse_read_limit(fuse_of(ff->inode)) / FUSE_PAGE);
	int64_t room = end - *pos_page < limit ? end - *pos_page : limit;
	struct read_ahead *ahead = iobuf_alloc(sizeof(*ahead) + (size_t)room * FUSE_PAGE);
	size_t len;
	int err;

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
	ahead->args.done = done;
	ahead->args.owner = ahead;
	err = fuse_send_async(ctx, ff->inode, &ahead->args);
	if (err < 0)
		done(fuse_conn_of(ff->inode), &ahead->args, err);
	return err;
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
	uint32_t max = max_window(ff, req);
	int64_t first = pos / FUSE_PAGE, marker;
	bool hit;

	fb_mutex_lock(&ff->inode->attr_lock);
	marker = ra->start + ra->size - ra->async_size;
	hit = max > 0 && ra->async_size > 0 && first <= marker && marker < first + req;
	if (hit) {
		ra->start += ra->size;
		ra->size = next_window(ra->size, max);
		ra->async_size = congested ? 0 : ra->size;
		*ret_first = ra->start;
		*ret_end = ra->start + ra->size;
	}
	fb_mutex_unlock(&ff->inode->attr_lock);
	return hit && !congested;
}

void fuse_readahead_hit(const struct op_ctx *ctx, struct file *file, int64_t pos, size_t want)
{
	struct fuse_file *ff = file->private;
	struct fuse_conn *conn = fuse_conn_of(ff->inode);
	int64_t size = inode_size(ff->inode), eof = size / FUSE_PAGE + (size % FUSE_PAGE != 0);
	int64_t first, end;

	/* A lazy cache takes pages in their order only. */
	if (!fuse_conn_has(conn, FUSE_ASYNC_READ) || fuse_cache_lazy(&fuse_i(ff->inode)->cache) ||
	    !take_window(ff, pos, want, fuse_conn_congested(conn), &first, &end))
		return;
	end = end < eof ? end : eof;
	while (first < end && send(ctx, file, &first, end) == 0)
		;
}

void fuse_readahead_passed(struct fuse_file *ff, int64_t end)
{
	fb_mutex_lock(&ff->inode->attr_lock);
	ff->readahead.prev_end = end;
	fb_mutex_unlock(&ff->inode->attr_lock);
}

/*
 * What the daemon does not have yet: dirty pages of the writeback cache, and pages that shared
 * writable mappings have changed (matrix F90-F94, F103). In a mapping, guests write into the cache's
 * own pages; which of them they have changed the cache finds out by comparing sums. Changes go to the
 * daemon at msync, fsync, close and umount, every few seconds, and when the last mapping is gone. An
 * open file that was mapped, for writing or not, is held as long as it is mapped: it lends its handle,
 * its RELEASE waits, and its mount stays busy.
 */
#include <limits.h>
#include <stdlib.h>

#include "fusefs/fusefs.h"
#include "sentry/base/iobuf.h"
#include "vfs/file.h"

/* Pages of one file. From the first on the daemon gets them, from the second the writer waits. */
#define START_PAGES 1024
#define MAX_PAGES   4096
#define ALL_PAGES   32768 /* of all files: then each writer waits as well */
#define MAX_WRITING 8	  /* WRITEs of one file under way */

void fuse_writeback_failed(struct inode *inode, int err)
{
	struct fuse_inode *fi = fuse_i(inode);

	fb_mutex_lock(&inode->attr_lock);
	fi->writeback_error = err;
	fi->nr_errors++;
	fb_mutex_unlock(&inode->attr_lock);
}

int fuse_writeback_error(struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);
	int err = 0;

	fb_mutex_lock(&ff->inode->attr_lock);
	if (ff->errors_seen != fi->nr_errors) {
		ff->errors_seen = fi->nr_errors;
		err = fi->writeback_error;
	}
	fb_mutex_unlock(&ff->inode->attr_lock);
	return err;
}

/* A WRITE on its way. Owns the take of the cache, and the handle that it uses. */
struct write_back {
	struct fuse_fill busy;
	struct fuse_file *ff; /* counted */
	struct fuse_write_in in;
	struct fuse_write_out out;
	struct fuse_args args;
	char buf[];
};

static void write_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct write_back *wb = args->owner;
	struct inode *inode = wb->ff->inode;
	struct fuse_inode *fi = fuse_i(inode);
	int err = result < 0 ? (int)result : wb->out.size == wb->in.size ? 0 : -EIO;

	(void)conn;
	fuse_cache_end_take(&fi->cache, &wb->busy, err == -EINTR);
	fuse_bump_version(inode);
	if (!fuse_is_writeback(inode))
		fuse_stale(inode, FUSE_STALE_MODIFY);
	if (err && err != -EINTR)
		fuse_writeback_failed(inode, err);
	fb_mutex_lock(&inode->attr_lock);
	if (err && !fi->flush_error)
		fi->flush_error = err;
	fi->nr_writing--;
	waitq_wake(&fi->written, 0);
	fb_mutex_unlock(&inode->attr_lock);
	fuse_file_put(wb->ff);
	iobuf_free(wb);
}

/* F91: anybody's handle, nobody's credentials. D87: never waits for room. */
static void send_back(const struct op_ctx *ctx, struct write_back *wb, size_t len, int64_t pos)
{
	struct fuse_conn *conn = fuse_conn_of(wb->ff->inode);
	struct inode *inode = wb->ff->inode;
	ssize_t err;

	wb->in = (struct fuse_write_in){.fh = wb->ff->fh, .write_flags = FUSE_WRITE_CACHE};
	wb->in.offset = (uint64_t)pos;
	wb->in.size = (uint32_t)len;
	wb->out.size = 0;
	fuse_args_init(&wb->args, FUSE_WRITE, inode);
	fuse_args_pin_file(&wb->args, wb->ff, &wb->in.fh);
	wb->args.nocreds = wb->args.force = true;
	fuse_args_in(&wb->args, &wb->in, sizeof(wb->in));
	fuse_args_in(&wb->args, wb->buf, len);
	fuse_args_out(&wb->args, &wb->out, sizeof(wb->out));
	wb->args.done = write_done;
	wb->args.owner = wb;
	ref_get(&wb->ff->ref);
	fb_mutex_lock(&inode->attr_lock);
	fuse_i(inode)->nr_writing++;
	fb_mutex_unlock(&inode->attr_lock);
	err = fuse_send_async(ctx, inode, &wb->args);
	if (err < 0)
		write_done(conn, &wb->args, err);
}

/* Until at most `most` WRITEs are under way. 0 or -EINTR: they go on alone. */
static int wait_written(struct inode *inode, unsigned most)
{
	struct fuse_inode *fi = fuse_i(inode);
	int err = 0;

	fb_mutex_lock(&inode->attr_lock);
	while (!err && fi->nr_writing > most)
		err = waitq_wait(&fi->written, 0, &inode->attr_lock, WAIT_KILLABLE, WAIT_FOREVER);
	fb_mutex_unlock(&inode->attr_lock);
	return err ? -EINTR : 0;
}

static struct fuse_file *any_mapped_writer(struct fuse_inode *fi)
{
	struct fuse_file *ff;

	list_for_each (ff, &fi->mapped_files, mapped_node)
		if (ff->mapped_file->fmode & FMODE_WRITE)
			return ff;
	return NULL;
}

/* Any open file that may write; writeback_mutex held. */
static struct fuse_file *any_writer(struct fuse_inode *fi)
{
	if (!list_empty(&fi->writers))
		return list_first(&fi->writers, struct fuse_file, writer_node);
	return any_mapped_writer(fi);
}

/* The next WRITE of [*pos, end), beginning to look at *pos. 0, also when there was none; -ENOMEM. */
static int write_next(const struct op_ctx *ctx, struct fuse_file *ff, int64_t *pos, int64_t end)
{
	struct fuse_super *fs = fuse_of(ff->inode);
	struct fuse_cache *cache = &fuse_i(ff->inode)->cache;
	size_t room = fuse_write_limit(fs) / FUSE_PAGE * FUSE_PAGE; /* BIG_WRITES or not */
	struct write_back *wb = iobuf_alloc(sizeof(*wb) + room);
	int64_t at = 0;
	size_t len;

	if (!wb)
		return -ENOMEM;
	wb->ff = ff;
	len = fuse_cache_take_changed(cache, pos, end, inode_size(ff->inode), wb->buf, room, &at,
				      &wb->busy);
	/* Stored by a mapping: nobody has seen it. */
	if (len > 0 && fuse_cache_tracked(cache))
		fuse_stale(ff->inode, STATX_MTIME | STATX_CTIME);
	if (len > 0)
		send_back(ctx, wb, len, at);
	else
		iobuf_free(wb);
	return 0;
}

/*
 * Sends what is dirty of [pos, end), in `most` WRITEs at a time. writeback_mutex held. 0, -EINTR,
 * -ENOMEM.
 */
static int start_writing(const struct op_ctx *ctx, struct inode *inode, int64_t pos, int64_t end,
			 unsigned most)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_file *ff = any_writer(fi);
	int err = 0;

	if (!ff || !(fuse_cache_tracked(&fi->cache) || fuse_cache_nr_dirty(&fi->cache)))
		return 0;
	while (!err && pos < end && pos < inode_size(inode)) {
		err = wait_written(inode, most - 1);
		if (!err)
			err = write_next(ctx, ff, &pos, end);
	}
	return err;
}

/* writeback_mutex held. The first error; -EINTR: not done. */
static int write_changed(const struct op_ctx *ctx, struct inode *inode, int64_t pos, int64_t end)
{
	struct fuse_inode *fi = fuse_i(inode);
	int err, flush_error;

	/* A page must not be written twice at a time: its old bytes might come last. */
	err = wait_written(inode, 0);
	if (!err)
		err = start_writing(ctx, inode, pos, end, MAX_WRITING);
	if (!err)
		err = wait_written(inode, 0);
	fb_mutex_lock(&inode->attr_lock);
	flush_error = fi->flush_error;
	fi->flush_error = 0;
	fb_mutex_unlock(&inode->attr_lock);
	return err ? err : flush_error;
}

/* F90: mtime and ctime, which we have kept. writeback_mutex held. */
static int write_times(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_file *ff = any_writer(fi);
	struct fuse_setattr_in in = {.valid = FATTR_MTIME};
	struct fuse_attr_out out;
	struct fuse_args args;
	int err;

	if (!atomic_exchange(&fi->times_dirty, false))
		return 0;
	fuse_args_init(&args, FUSE_SETATTR, inode);
	if (fuse_conn_of(inode)->minor >= 23)
		in.valid |= FATTR_CTIME;
	if (ff) {
		in.valid |= FATTR_FH;
		in.fh = ff->fh;
		fuse_args_pin_file(&args, ff, &in.fh);
	}
	fb_mutex_lock(&inode->attr_lock);
	in.mtime = (uint64_t)inode->mtime.tv_sec;
	in.mtimensec = (uint32_t)inode->mtime.tv_nsec;
	in.ctime = (uint64_t)inode->ctime.tv_sec;
	in.ctimensec = (uint32_t)inode->ctime.tv_nsec;
	fb_mutex_unlock(&inode->attr_lock);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = (int)fuse_send(ctx, inode, &args);
	if (err == -EINTR)
		atomic_store(&fi->times_dirty, true);
	return err < 0 ? err : 0;
}

static int write_all(const struct op_ctx *ctx, struct inode *inode)
{
	int err = write_changed(ctx, inode, 0, INT64_MAX), times_err;

	if (err == -EINTR)
		return err;
	times_err = write_times(ctx, inode);
	return err ? err : times_err;
}

/* False: there is nothing of ours, or (*ret_err) the caller was killed. */
static bool begin_writeback(struct inode *inode, int *ret_err)
{
	struct fuse_inode *fi = fuse_i(inode);

	*ret_err = 0;
	if (!fuse_cache_tracked(&fi->cache) && !fuse_is_writeback(inode))
		return false;
	/* Also to wait for what another has taken and not sent yet. */
	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		*ret_err = -EINTR;
	return !*ret_err;
}

int fuse_writeback(const struct op_ctx *ctx, struct inode *inode)
{
	int err;

	if (begin_writeback(inode, &err)) {
		err = write_all(ctx, inode);
		sleep_mutex_unlock(&fuse_i(inode)->writeback_mutex);
	}
	return err;
}

int fuse_write_pages(const struct op_ctx *ctx, struct inode *inode, int64_t pos, int64_t end)
{
	int err;

	if (begin_writeback(inode, &err)) {
		err = write_changed(ctx, inode, pos, end);
		sleep_mutex_unlock(&fuse_i(inode)->writeback_mutex);
	}
	return err;
}

/*
 * F94: a daemon that never answers must not hold up sync(2); one that calls it must not wait for
 * itself, and so there is no limit on what is under way.
 */
static void start_all(const struct op_ctx *ctx, struct inode *inode)
{
	if (sleep_mutex_lock_killable(&fuse_i(inode)->writeback_mutex))
		return;
	if (start_writing(ctx, inode, 0, INT64_MAX, UINT_MAX) == 0)
		(void)write_times(ctx, inode);
	sleep_mutex_unlock(&fuse_i(inode)->writeback_mutex);
}

void fuse_write_times(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	if (!atomic_load(&fi->times_dirty) || sleep_mutex_lock_killable(&fi->writeback_mutex))
		return;
	(void)write_times(ctx, inode);
	sleep_mutex_unlock(&fi->writeback_mutex);
}

void fuse_ctime_changed(const struct op_ctx *ctx, struct inode *inode)
{
	fuse_stale(inode, STATX_CTIME);
	if (!fuse_is_writeback(inode))
		return;
	atomic_store(&fuse_i(inode)->times_dirty, true);
	fuse_write_times(ctx, inode);
}

int fuse_hold_writes(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return -EINTR;
	if (wait_written(inode, 0) == 0)
		return 0;
	sleep_mutex_unlock(&fi->writeback_mutex);
	return -EINTR;
}

void fuse_resume_writes(struct inode *inode)
{
	sleep_mutex_unlock(&fuse_i(inode)->writeback_mutex);
}

/* With writeback_mutex: leaves the clock's list when there is nothing to look after. */
static void unregister(struct fuse_inode *fi)
{
	if (!atomic_load(&fi->registered) || !list_empty(&fi->mapped_files) ||
	    (fuse_cache_nr_dirty(&fi->cache) && !list_empty(&fi->writers)))
		return;
	atomic_store(&fi->registered, false);
	mapped_del(&fi->mapped);
}

/* Finds out whom of the list nobody has mapped any more. How many those are. */
static size_t find_unmapped(struct fuse_inode *fi)
{
	struct fuse_file *ff;
	size_t count = 0;

	list_for_each (ff, &fi->mapped_files, mapped_node) {
		ff->unmapped = !fuse_cache_in_use(&fi->cache, fuse_mapping_key(ff));
		count += ff->unmapped;
	}
	return count;
}

/* Takes those, `count` of them, out of the list. NULL: no memory, another time. */
static struct file **take_unmapped(struct fuse_inode *fi, size_t count)
{
	struct file **files = calloc(count, sizeof(struct file *));
	struct fuse_file *ff, *next;

	if (!files)
		return NULL;
	count = 0;
	list_for_each_safe (ff, next, &fi->mapped_files, mapped_node) {
		if (!ff->unmapped)
			continue;
		list_del(&ff->mapped_node);
		files[count++] = ff->mapped_file;
		ff->mapped_file = NULL;
	}
	return files;
}

/* With writeback_mutex. What is mapped still, or was when we looked, stays as it is. */
static void end_mapping(const struct op_ctx *ctx, struct inode *inode, struct file ***ret_files,
			size_t *ret_count)
{
	struct fuse_inode *fi = fuse_i(inode);
	size_t count = find_unmapped(fi);

	/* What they have changed is sent as long as their handles are there. */
	if (!count || write_all(ctx, inode) == -EINTR)
		return;
	*ret_files = take_unmapped(fi, count);
	if (!*ret_files)
		return;
	*ret_count = count;
	if (list_empty(&fi->mapped_files))
		fuse_cache_unwatch(&fi->cache);
	else if (!any_mapped_writer(fi))
		fuse_cache_untrack(&fi->cache);
}

static void reap(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct file **files = NULL;
	size_t count = 0;

	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return;
	end_mapping(ctx, inode, &files, &count);
	sleep_mutex_unlock(&fi->writeback_mutex);
	/* Their release takes the mutex. */
	for (size_t i = 0; i < count; i++)
		file_put(files[i]);
	free(files);
	/* Last: umount(2) waits for what is registered. */
	sleep_mutex_lock(&fi->writeback_mutex);
	unregister(fi);
	sleep_mutex_unlock(&fi->writeback_mutex);
}

/* The file of some mapping, opened for writing if so wanted, with a reference; NULL: none is left. */
static struct file *any_mapped(struct fuse_inode *fi, bool write)
{
	struct file *file = NULL;
	struct fuse_file *ff = NULL;

	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return NULL;
	if (write)
		ff = any_mapped_writer(fi);
	else if (!list_empty(&fi->mapped_files))
		ff = list_first(&fi->mapped_files, struct fuse_file, mapped_node);
	if (ff)
		file = file_get(ff->mapped_file);
	sleep_mutex_unlock(&fi->writeback_mutex);
	return file;
}

/* cf. vfs_fsync_range(), which Linux calls with the mapped file; here any that may write will do. */
static int fuse_msync(const struct op_ctx *ctx, struct inode *inode)
{
	struct file *file = any_mapped(fuse_i(inode), true);
	int err;

	if (!file)
		return 0;
	err = fuse_file_fsync(ctx, file, 0, INT64_MAX, true);
	file_put(file);
	return err;
}

/* A page behind the frontier was touched. */
static int fault(const struct op_ctx *ctx, struct inode *inode, int64_t offset)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct file *file;
	int err;

	if (fuse_cache_frontier(&fi->cache) > offset)
		return 0; /* another was faster */
	if (!fuse_cache_lazy(&fi->cache) || offset >= inode_size(inode))
		return -EFAULT;
	file = any_mapped(fi, false);
	if (!file)
		return -EFAULT;
	err = fuse_fill_lazily(ctx, file, offset);
	file_put(file);
	return err || fuse_cache_frontier(&fi->cache) > offset ? err : -EFAULT;
}

static const struct mapped_ops mapped_ops = {
	.sync = fuse_writeback,
	.msync = fuse_msync,
	.start = start_all,
	.reap = reap,
	.fault = fault,
};

void fuse_mapped_init(struct fuse_inode *fi)
{
	list_init(&fi->writers);
	list_init(&fi->mapped_files);
	list_init(&fi->mapped.node);
	fi->mapped.inode = &fi->inode;
	fi->mapped.op = &mapped_ops;
}

/* With writeback_mutex. */
static void start_clock(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	fi->mapped.host_dev = fi->mapped.host_ino = 0;
	atomic_store(&fi->registered, true);
	mapped_add(&fi->mapped);
}

int fuse_mapping_begin(struct inode *inode, struct file *file, bool write)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_file *ff = file->private;
	uint64_t host_dev, host_ino;
	int hostfd, err = write ? fuse_cache_track(&fi->cache) : fuse_cache_watch(&fi->cache);

	if (err)
		return err;
	hostfd = fuse_cache_host_id(&fi->cache, &host_dev, &host_ino);
	if (!ff->mapped_file) {
		ff->mapped_file = file_get(file);
		list_add_tail(&fi->mapped_files, &ff->mapped_node);
	}
	if (!atomic_load(&fi->registered))
		start_clock(inode);
	/* The clock may have known it before, as dirty, but not the host file. */
	mapped_set_host(&fi->mapped, hostfd, host_dev, host_ino);
	return 0;
}

void fuse_writer_add(struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);

	sleep_mutex_lock(&fi->writeback_mutex);
	list_add_tail(&fi->writers, &ff->writer_node);
	sleep_mutex_unlock(&fi->writeback_mutex);
}

void fuse_writer_del(const struct op_ctx *ctx, struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);

	sleep_mutex_lock(&fi->writeback_mutex);
	if (!list_empty(&ff->writer_node)) {
		(void)write_all(ctx, ff->inode);
		list_del(&ff->writer_node);
		unregister(fi);
	}
	sleep_mutex_unlock(&fi->writeback_mutex);
}

int fuse_writeback_later(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_conn *conn = fuse_conn_of(inode);
	int err;

	if (!atomic_load(&fi->registered)) {
		if (sleep_mutex_lock_killable(&fi->writeback_mutex))
			return -EINTR;
		if (!atomic_load(&fi->registered))
			start_clock(inode);
		sleep_mutex_unlock(&fi->writeback_mutex);
	}
	if (fuse_cache_nr_dirty(&fi->cache) >= MAX_PAGES || fuse_cache_all_dirty() >= ALL_PAGES)
		return fuse_writeback(ctx, inode) == -EINTR ? -EINTR : 0;
	if (fuse_cache_nr_dirty(&fi->cache) < START_PAGES || fuse_cache_tracked(&fi->cache) ||
	    fuse_conn_congested(conn)) /* D88 */
		return 0;
	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return -EINTR;
	err = start_writing(ctx, inode, 0, INT64_MAX, MAX_WRITING);
	sleep_mutex_unlock(&fi->writeback_mutex);
	return err == -EINTR ? -EINTR : 0;
}

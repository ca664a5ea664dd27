/*
 * What the daemon does not have yet: dirty pages of the writeback cache, and pages that shared
 * writable mappings have changed (matrix F90-F94, F103). In a mapping, guests write into the cache's own pages; which
 * of them they have changed the cache finds out by comparing sums. Changes go to the daemon at
 * msync, fsync, close and umount, every few seconds, and when the last mapping is gone. The open
 * file that was mapped is held until then: it lends its handle, its RELEASE waits, and its mount
 * stays busy.
 */
#include <stdlib.h>

#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "vfs/file.h"

#define MAX_DIRTY_PAGES 4096 /* of one file: 16 MiB; the writer then waits for the daemon */

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

/* F91: anybody's handle, nobody's credentials. 0 or -errno. */
static int send_back(const struct op_ctx *ctx, struct fuse_file *ff, const void *buf, size_t len,
		     int64_t pos)
{
	struct fuse_write_in in = {.fh = ff->fh, .write_flags = FUSE_WRITE_CACHE};
	struct fuse_write_out out = {0};
	struct fuse_args args;
	ssize_t err;

	in.offset = (uint64_t)pos;
	in.size = (uint32_t)len;
	fuse_args_init(&args, FUSE_WRITE, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	args.nocreds = true;
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_in(&args, buf, len);
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, ff->inode, &args);
	if (err < 0)
		return (int)err;
	return out.size == len ? 0 : -EIO;
}

/* Any open file that may write; writeback_mutex held. */
static struct fuse_file *any_writer(struct fuse_inode *fi)
{
	if (!list_empty(&fi->writers))
		return list_first(&fi->writers, struct fuse_file, writer_node);
	if (!list_empty(&fi->mapped_files))
		return list_first(&fi->mapped_files, struct fuse_file, mapped_node);
	return NULL;
}

/* writeback_mutex held. The first error; -EINTR: not done. */
static int write_changed(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_super *fs = fuse_of(inode);
	struct fuse_file *ff = any_writer(fi);
	size_t room = fuse_conn_has(fs->conn, FUSE_BIG_WRITES)
			      ? fuse_write_limit(fs) / FUSE_PAGE * FUSE_PAGE
			      : FUSE_PAGE;
	cleanup_free char *buf = malloc(room);
	int64_t pos = 0, at = 0, size;
	int err, ret = 0;
	struct fuse_fill busy;
	size_t len;

	if (!ff || !(fuse_cache_tracked(&fi->cache) || fuse_cache_nr_dirty(&fi->cache)))
		return 0;
	if (!buf)
		return -ENOMEM;
	while (pos < (size = inode_size(inode))) {
		len = fuse_cache_take_changed(&fi->cache, &pos, size, buf, room, &at, &busy);
		if (len == 0)
			continue;
		err = send_back(ctx, ff, buf, len, at);
		fuse_cache_end_take(&fi->cache, &busy, err == -EINTR);
		if (err == -EINTR)
			return -EINTR;
		fuse_bump_version(inode);
		fuse_stale(inode, fuse_is_writeback(inode) ? STATX_BLOCKS : FUSE_STALE_MODIFY);
		if (err) {
			fuse_writeback_failed(inode, err);
			ret = ret ? ret : err;
		}
	}
	return ret;
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
	int err = write_changed(ctx, inode), times_err;

	if (err == -EINTR)
		return err;
	times_err = write_times(ctx, inode);
	return err ? err : times_err;
}

int fuse_writeback(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	int err;

	if (!fuse_cache_tracked(&fi->cache) && !fuse_is_writeback(inode))
		return 0;
	/* Also to wait for what another has taken and not sent yet. */
	if (sleep_mutex_lock_killable(&fi->writeback_mutex))
		return -EINTR;
	err = write_all(ctx, inode);
	sleep_mutex_unlock(&fi->writeback_mutex);
	return err;
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

/* Takes the files out of the list. -ENOMEM: another time. */
static int take_files(struct fuse_inode *fi, struct file ***ret_files, size_t *ret_count)
{
	struct fuse_file *ff;
	struct file **files;
	size_t count = 0;

	list_for_each (ff, &fi->mapped_files, mapped_node)
		count++;
	files = malloc(count * sizeof(*files));
	if (!files)
		return -ENOMEM;
	for (count = 0; !list_empty(&fi->mapped_files); count++) {
		ff = list_first(&fi->mapped_files, struct fuse_file, mapped_node);
		list_del(&ff->mapped_node);
		files[count] = ff->mapped_file;
		ff->mapped_file = NULL;
	}
	*ret_files = files;
	*ret_count = count;
	return 0;
}

/* With writeback_mutex. Nothing happens while somebody has it mapped. */
static void end_mapping(const struct op_ctx *ctx, struct inode *inode, struct file ***ret_files,
			size_t *ret_count)
{
	struct fuse_inode *fi = fuse_i(inode);

	if (list_empty(&fi->mapped_files) || fuse_cache_in_use(&fi->cache))
		return;
	/* Nobody can change it any more. */
	if (write_all(ctx, inode) == -EINTR || take_files(fi, ret_files, ret_count))
		return;
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

static const struct mapped_ops mapped_ops = {.sync = fuse_writeback, .reap = reap};

/* With writeback_mutex. */
static void start_clock(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	fi->mapped.inode = inode;
	fi->mapped.op = &mapped_ops;
	fi->mapped.host_dev = fi->mapped.host_ino = 0;
	atomic_store(&fi->registered, true);
	mapped_add(&fi->mapped);
}

int fuse_mapping_begin(struct inode *inode, struct file *file)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_file *ff = file->private;
	uint64_t host_dev, host_ino;
	int err = fuse_cache_track(&fi->cache);

	if (err)
		return err;
	fuse_cache_host_id(&fi->cache, &host_dev, &host_ino);
	if (!ff->mapped_file) {
		ff->mapped_file = file_get(file);
		list_add_tail(&fi->mapped_files, &ff->mapped_node);
	}
	if (!atomic_load(&fi->registered))
		start_clock(inode);
	/* The clock may have known it before, as dirty, but not the host file. */
	mapped_set_host(&fi->mapped, host_dev, host_ino);
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

	if (!atomic_load(&fi->registered)) {
		if (sleep_mutex_lock_killable(&fi->writeback_mutex))
			return -EINTR;
		if (!atomic_load(&fi->registered))
			start_clock(inode);
		sleep_mutex_unlock(&fi->writeback_mutex);
	}
	if (fuse_cache_nr_dirty(&fi->cache) < MAX_DIRTY_PAGES)
		return 0;
	return fuse_writeback(ctx, inode) == -EINTR ? -EINTR : 0;
}

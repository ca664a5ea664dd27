/*
 * Pass-through: files whose bytes are another file's of the sandbox, without asking the daemon
 * (matrix 6.10). And the rule that keeps the ways apart: an inode is either cached or passed
 * through, never both at once, as their bytes would differ.
 */
#include <fcntl.h>

#include "devfuse/backing.h"
#include "fusefs/fusefs.h"
#include "vfs/file.h"
#include "vfs/namei.h"

#define WITH_PASSTHROUGH                                                                           \
	(FOPEN_PASSTHROUGH | FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH)
/* What the open of the backing file shall not do again. */
#define OPEN_ONLY (O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_NOFOLLOW | O_ASYNC)

static struct op_ctx backing_ctx(const struct op_ctx *ctx, const struct fuse_file *ff)
{
	struct op_ctx mine = *ctx;

	mine.cred = ff->backing->cred;
	return mine;
}

/* F130, F131: counts an open in. */
static int enter_passthrough(struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);
	int err = 0;

	fb_mutex_lock(&ff->inode->attr_lock);
	if (fi->cached_opens > 0 ||
	    (fi->passthrough_opens > 0 && fi->backing_id != ff->backing->id))
		err = -EIO;
	else if (fi->passthrough_opens++ == 0)
		fi->backing_id = ff->backing->id;
	fb_mutex_unlock(&ff->inode->attr_lock);
	return err;
}

int fuse_cached_begin(struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);
	int err = 0;

	fb_mutex_lock(&ff->inode->attr_lock);
	while (!err && !ff->counts_cached && fi->uncached_writes > 0)
		err = waitq_wait(&fi->uncached_done, 0, &ff->inode->attr_lock, WAIT_KILLABLE,
				 WAIT_FOREVER);
	if (err) {
		err = -EINTR;
	} else if (fi->passthrough_opens > 0) {
		err = -EIO;
	} else if (!ff->counts_cached) {
		fi->cached_opens++;
		ff->counts_cached = true;
	}
	fb_mutex_unlock(&ff->inode->attr_lock);
	return err;
}

bool fuse_uncached_begin(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	bool uncached;

	fb_mutex_lock(&inode->attr_lock);
	uncached = fi->cached_opens == 0;
	fi->uncached_writes += uncached;
	fb_mutex_unlock(&inode->attr_lock);
	return uncached;
}

void fuse_uncached_end(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	fb_mutex_lock(&inode->attr_lock);
	if (--fi->uncached_writes == 0)
		waitq_wake(&fi->uncached_done, 0);
	fb_mutex_unlock(&inode->attr_lock);
}

/* Plain direct I/O takes no count, but does not go with passing through either. */
static int enter_plain(struct fuse_file *ff)
{
	int err;

	if (!(ff->open_flags & FOPEN_DIRECT_IO))
		return fuse_cached_begin(ff);
	fb_mutex_lock(&ff->inode->attr_lock);
	err = fuse_i(ff->inode)->passthrough_opens > 0 ? -EIO : 0;
	fb_mutex_unlock(&ff->inode->attr_lock);
	return err;
}

static int open_backing(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	struct fuse_conn *conn = fuse_conn_of(ff->inode);
	struct fuse_backing *backing;
	struct op_ctx mine;
	int err;

	/* O06 */
	if (!fuse_conn_has(conn, FUSE_PASSTHROUGH) || (ff->open_flags & ~WITH_PASSTHROUGH))
		return -EIO;
	backing = fuse_backing_get(conn, ff->backing_id);
	if (!backing)
		return -EIO;
	ff->backing = backing;
	err = enter_passthrough(ff);
	if (err) {
		ff->backing = NULL;
		fuse_backing_put(backing);
		return err;
	}
	mine = backing_ctx(ctx, ff);
	err = vfs_open_path(&mine, &backing->file->path,
			    atomic_load(&file->flags) & ~(unsigned)OPEN_ONLY, &ff->backing_file);
	if (err)
		fuse_passthrough_close(ff);
	return err;
}

int fuse_passthrough_open(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	if (!inode_is_reg(ff->inode))
		return 0;
	return ff->open_flags & FOPEN_PASSTHROUGH ? open_backing(ctx, file, ff) : enter_plain(ff);
}

void fuse_passthrough_close(struct fuse_file *ff)
{
	struct fuse_inode *fi = fuse_i(ff->inode);

	if (!ff->backing && !ff->counts_cached)
		return;
	fb_mutex_lock(&ff->inode->attr_lock);
	if (ff->counts_cached)
		fi->cached_opens--;
	else
		fi->passthrough_opens--;
	fb_mutex_unlock(&ff->inode->attr_lock);
	ff->counts_cached = false;
	if (ff->backing_file)
		file_put(ff->backing_file);
	fuse_backing_put(ff->backing);
	ff->backing_file = NULL;
	ff->backing = NULL;
}

ssize_t fuse_passthrough_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			      int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;
	struct op_ctx mine = backing_ctx(ctx, ff);
	ssize_t n = ff->backing_file->op->read_iter(&mine, ff->backing_file, to, pos, rwf);

	if (n > 0)
		fuse_accessed(ff->inode);
	return n;
}

/* Inode locked; set-id bits are gone (F134). */
ssize_t fuse_passthrough_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			       int64_t *pos, int rwf)
{
	struct fuse_file *ff = file->private;
	struct op_ctx mine = backing_ctx(ctx, ff);

	return ff->backing_file->op->write_iter(&mine, ff->backing_file, from, pos, rwf);
}

int fuse_passthrough_mmap(const struct op_ctx *ctx, struct file *file,
			  const struct mmap_request *req, int *ret_hostfd)
{
	struct fuse_file *ff = file->private;
	struct op_ctx mine = backing_ctx(ctx, ff);

	if (!ff->backing_file->op->mmap)
		return -ENODEV;
	return ff->backing_file->op->mmap(&mine, ff->backing_file, req, ret_hostfd);
}

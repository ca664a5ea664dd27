/* Regular files of tmpfs: the page cache with a file's rules around it. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

int tmpfs_host_error(int err)
{
	return err == -EMFILE || err == -ENFILE ? -ENOSPC : err;
}

static ssize_t tmpfs_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			       int64_t *pos, int rwf)
{
	ssize_t n = pagecache_read(&tmpfs_i(file->inode)->pages, to, *pos);

	(void)ctx;
	(void)rwf;
	if (n > 0)
		*pos += n;
	touch_atime(&file->path);
	return n;
}

/* The size that others see follows the page cache; the inode is locked. */
static void size_changed(struct inode *inode)
{
	inode_set_size(inode, pagecache_size(&tmpfs_i(inode)->pages));
	inode_touch(inode, S_MTIME | S_CTIME);
}

static ssize_t tmpfs_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				int64_t *pos, int rwf)
{
	struct inode *inode = file->inode;
	struct pagecache *pages = &tmpfs_i(inode)->pages;
	bool append = (atomic_load(&file->flags) & O_APPEND) && !(rwf & RWF_NOAPPEND);
	int64_t at;
	ssize_t n;

	if (from->count == 0)
		return 0;
	inode_lock(inode);
	at = append || (rwf & RWF_APPEND) ? pagecache_size(pages) : *pos;
	tmpfs_remove_privs(ctx, inode);
	n = pagecache_write(pages, from, at);
	if (n > 0) {
		*pos = at + n;
		size_changed(inode);
	}
	inode_unlock(inode);
	return n < 0 ? tmpfs_host_error((int)n) : n;
}

static int64_t tmpfs_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return generic_file_llseek(ctx, file, offset, whence);
	offset = pagecache_seek(&tmpfs_i(file->inode)->pages, offset, whence);
	if (offset >= 0)
		file->pos = offset;
	return offset;
}

/* cf. shmem_fallocate(), which knows these two modes only. */
static int tmpfs_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			   int64_t len)
{
	struct inode *inode = file->inode;
	int err;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	inode_lock(inode);
	tmpfs_remove_privs(ctx, inode);
	err = pagecache_fallocate(&tmpfs_i(inode)->pages, mode, offset, len);
	if (!err)
		size_changed(inode);
	inode_unlock(inode);
	return tmpfs_host_error(err);
}

static int tmpfs_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		      int *ret_hostfd)
{
	struct pagecache *pages = &tmpfs_i(file->inode)->pages;
	bool write = (file->fmode & FMODE_WRITE) != 0;
	int err = pagecache_hostfd(pages, write, ret_hostfd);

	(void)ctx;
	/*
	 * A host without /proc cannot give a read-only descriptor. For a private mapping a writable
	 * one does no harm: its pages are copied before they are changed.
	 */
	if (err == -EACCES && !write && (req->flags & MAP_TYPE) == MAP_PRIVATE)
		err = pagecache_hostfd(pages, true, ret_hostfd);
	if (!err)
		touch_atime(&file->path);
	return tmpfs_host_error(err);
}

const struct file_ops tmpfs_file_ops = {
	.read_iter = tmpfs_read_iter,
	.write_iter = tmpfs_write_iter,
	.llseek = tmpfs_llseek,
	.mmap = tmpfs_mmap,
	.fsync = noop_fsync,
	.fallocate = tmpfs_fallocate,
	.nowait = true,
};

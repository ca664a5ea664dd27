/*
 * Open files. Each read asks anew where the bytes are: a file opened before a copy-up reads what
 * was written since.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/readdir.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/superblock.h"

/* Opening for writing is what takes the bytes over; O_TRUNC needs none of them. */
static int ovl_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct ovl_inode *node = ovl_i(inode);
	struct ovl_file *of;
	int err = 0;

	(void)ctx;
	if (inode_is_reg(inode) && (file->fmode & FMODE_WRITE))
		err = ovl_copy_up(file->path.dentry,
				  (atomic_load(&file->flags) & O_TRUNC) ? 0 : INT64_MAX);
	if (err || (inode_is_reg(inode) && ovl_has(node, OVL_DATA)))
		return err;
	of = calloc(1, sizeof(*of));
	if (!of)
		return -ENOMEM;
	of->lower_hostfd = -1;
	if (inode_is_reg(inode))
		err = hostfs_data_get(node->lower, &of->lower_hostfd);
	if (err) {
		free(of);
		return err;
	}
	file->private = of;
	return 0;
}

static void ovl_release(const struct op_ctx *ctx, struct file *file)
{
	struct ovl_file *of = file->private;

	(void)ctx;
	if (!of)
		return;
	if (of->lower_hostfd >= 0)
		hostfs_data_put(ovl_i(file->inode)->lower);
	free(of->list);
	free(of);
}

static ssize_t ovl_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			     int64_t *pos, int rwf)
{
	struct ovl_inode *node = ovl_i(file->inode);
	struct ovl_file *of = file->private;
	ssize_t n;

	(void)ctx;
	if (ovl_has(node, OVL_DATA))
		n = pagecache_read(node->pages, to, *pos);
	else
		n = hostfs_data_read(node->lower, of->lower_hostfd, to, *pos, rwf);
	if (n > 0)
		*pos += n;
	return n;
}

static ssize_t ovl_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			      int64_t *pos, int rwf)
{
	struct inode *inode = file->inode;
	struct ovl_inode *node = ovl_i(inode);
	int64_t at;
	ssize_t n;

	inode_lock(inode);
	at = *pos;
	if ((atomic_load(&file->flags) & O_APPEND) || (rwf & RWF_APPEND))
		at = pagecache_size(node->pages);
	ovl_strip_privileges(ctx, inode);
	n = pagecache_write(node->pages, from, at);
	if (n > 0) {
		*pos = at + n;
		inode_set_size(inode, pagecache_size(node->pages));
		inode_touch(inode, S_MTIME | S_CTIME);
	}
	inode_unlock(inode);
	return n;
}

static int64_t ovl_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	struct ovl_inode *node = ovl_i(file->inode);
	struct ovl_file *of = file->private;
	int64_t found;

	if (whence != SEEK_DATA && whence != SEEK_HOLE) {
		if (whence == SEEK_END)
			(void)ovl_refresh(file->inode);
		return generic_file_llseek(ctx, file, offset, whence);
	}
	if (ovl_has(node, OVL_DATA))
		found = pagecache_seek(node->pages, offset, whence);
	else
		found = HOST(lseek(of->lower_hostfd, offset, whence));
	return found < 0 ? found : generic_file_llseek(ctx, file, found, SEEK_SET);
}

static int ovl_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		    int *ret_hostfd)
{
	struct ovl_inode *node = ovl_i(file->inode);
	struct ovl_file *of = file->private;
	bool write = file->fmode & FMODE_WRITE;
	int fd;

	(void)ctx;
	if (ovl_has(node, OVL_DATA)) {
		fd = pagecache_hostfd(node->pages, write, ret_hostfd);
		if (fd == -EACCES && (req->flags & MAP_TYPE) == MAP_PRIVATE)
			fd = pagecache_hostfd(node->pages, true, ret_hostfd);
		return fd;
	}
	fd = (int)HOST(fcntl(of->lower_hostfd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	*ret_hostfd = fd;
	return 0;
}

static int ovl_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			 int64_t len)
{
	struct inode *inode = file->inode;
	struct ovl_inode *node = ovl_i(inode);
	int err;

	inode_lock(inode);
	ovl_strip_privileges(ctx, inode);
	err = pagecache_fallocate(node->pages, mode, offset, len);
	if (!err) {
		inode_set_size(inode, pagecache_size(node->pages));
		inode_touch(inode, S_MTIME | S_CTIME);
	}
	inode_unlock(inode);
	return err;
}

const struct file_ops ovl_dir_fops = {
	.open = ovl_open,
	.iterate = ovl_iterate,
	.llseek = cookie_dir_llseek,
	.release = ovl_release,
	.fsync = noop_fsync,
};

const struct file_ops ovl_reg_fops = {
	.open = ovl_open,
	.read_iter = ovl_read_iter,
	.write_iter = ovl_write_iter,
	.llseek = ovl_llseek,
	.mmap = ovl_mmap,
	.release = ovl_release,
	.fsync = noop_fsync,
	.fallocate = ovl_fallocate,
	.nowait = true,
};

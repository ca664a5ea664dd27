/*
 * Open files. Opens for reading share the inode's slot; opens for writing have a descriptor with
 * the guest's own access mode, so that a mapping of it can do no more than the guest was granted.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sentry/base/blocking.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/readdir.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

/* Guest flags that mean something on the host. O_DIRECT does not: we have no aligned buffers. */
#define HOST_OPEN_FLAGS (O_SYNC | O_DSYNC)

/* The slot's descriptor for data: readable even if the slot was pinned with O_PATH. */
int hostfs_data_get(struct inode *inode, int *ret_hostfd)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	int err;

	if (!S_ISREG(hi->id.type) || hi->masked)
		return -EACCES;
	err = hostfs_slot_get(hi, ret_hostfd);
	if (!err && hi->slot_is_path) {
		hostfs_slot_put(hi);
		err = -EACCES;
	}
	return err;
}

void hostfs_data_put(struct inode *inode)
{
	hostfs_slot_put(hostfs_i(inode));
}

ssize_t hostfs_data_read(struct inode *inode, int hostfd, struct io_iter *to, int64_t pos, int rwf)
{
	return hostfs_io_read(hostfs_i(inode), hostfd, to, pos, rwf);
}

/* A descriptor of the file's own. */
static int open_own(struct hostfs_inode *hi, const struct file *file)
{
	unsigned flags = atomic_load(&file->flags);
	bool write = file->fmode & FMODE_WRITE, read = file->fmode & FMODE_READ;
	int fd = -1;

	if (write && hostfs_info(hi->inode.sb)->read_only)
		return -EROFS;
	if (write)
		fd = hostfs_take_created(hi);
	if (fd >= 0 && (flags & HOST_OPEN_FLAGS) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return hostfs_open_object(hi, (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY) |
					      (int)(flags & HOST_OPEN_FLAGS));
}

static int hostfs_file_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	struct hostfs_file *hf;
	int err = 0;

	(void)ctx;
	if (hi->masked && !inode_is_dir(inode))
		return -EACCES;
	hf = calloc(1, sizeof(*hf));
	if (!hf)
		return -ENOMEM;
	hf->hi = hi;
	hf->hostfd = -1;
	hf->next_pos = -1;
	list_init(&hf->node);
	if (inode_is_dir(inode)) {
		file->private = hf;
		return 0;
	}
	if (!(file->fmode & FMODE_WRITE)) {
		err = hostfs_data_get(inode, &hf->hostfd);
		hf->shared = !err;
	}
	/* For writing, or pinned without being readable: a descriptor of its own. */
	if (!hf->shared && (!err || err == -EACCES || err == -ESTALE))
		err = hf->hostfd = open_own(hi, file);
	if (err < 0) {
		free(hf);
		return err;
	}
	if (!hf->shared) {
		fb_mutex_lock(&hostfs_lock);
		list_add(&hi->files, &hf->node);
		fb_mutex_unlock(&hostfs_lock);
	}
	file->private = hf;
	return 0;
}

static void hostfs_file_release(const struct op_ctx *ctx, struct file *file)
{
	struct hostfs_file *hf = file->private;

	(void)ctx;
	if (!hf)
		return;
	fb_mutex_lock(&hostfs_lock);
	list_del(&hf->node);
	fb_mutex_unlock(&hostfs_lock);
	if (hf->shared)
		hostfs_slot_put(hf->hi);
	else if (hf->hostfd >= 0)
		close(hf->hostfd);
	free(hf->buf);
	free(hf);
}

static ssize_t hostfs_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
				int64_t *pos, int rwf)
{
	struct hostfs_file *hf = file->private;
	ssize_t n;

	(void)ctx;
	n = hostfs_io_read(hf->hi, hf->hostfd, to, *pos, rwf);
	if (n > 0)
		*pos += n;
	return n;
}

/* A write by somebody without CAP_FSETID takes set-id bits away (cf. file_remove_privs()). */
static void strip_setid(const struct op_ctx *ctx, struct hostfs_file *hf)
{
	uint32_t mode = hf->hi->inode.mode;
	uint32_t strip = mode & S_ISUID;

	if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		strip |= S_ISGID;
	if (strip && !ctx_capable(ctx, 4 /* CAP_FSETID */))
		(void)HOST(fchmod(hf->hostfd, (mode & ~strip) & 07777));
}

static int64_t host_size(int hostfd)
{
	struct stat st;
	int err = (int)HOST(fstat(hostfd, &st));

	return err ? err : st.st_size;
}

static ssize_t hostfs_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				 int64_t *pos, int rwf)
{
	struct hostfs_file *hf = file->private;
	struct inode *inode = file->inode;
	int64_t end;
	ssize_t n;

	if (atomic_load(&file->flags) & O_APPEND)
		rwf |= RWF_APPEND;
	inode_lock(inode);
	strip_setid(ctx, hf);
	n = hostfs_io_write(hf->hostfd, from, *pos, rwf);
	if (n > 0) {
		end = (rwf & RWF_APPEND) ? host_size(hf->hostfd) : *pos + n;
		if (end >= 0)
			*pos = end;
		if (end > inode_size(inode))
			inode_set_size(inode, end);
		hostfs_attr_changed(hf->hi);
	}
	inode_unlock(inode);
	return n;
}

static int64_t hostfs_file_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset,
				  int whence)
{
	struct hostfs_file *hf = file->private;
	int64_t size, found;

	switch (whence) {
	case SEEK_DATA:
	case SEEK_HOLE:
		/* The host descriptor's own position is moved by this, and used by nobody. */
		found = HOST(lseek(hf->hostfd, offset, whence));
		if (found < 0)
			return found;
		return generic_file_llseek(ctx, file, found, SEEK_SET);
	case SEEK_END:
		size = host_size(hf->hostfd);
		if (size >= 0)
			inode_set_size(file->inode, size);
		break;
	default:
		break;
	}
	return generic_file_llseek(ctx, file, offset, whence);
}

static int hostfs_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		       int *ret_hostfd)
{
	struct hostfs_file *hf = file->private;
	int fd;

	(void)ctx;
	(void)req;
	fd = (int)HOST(fcntl(hf->hostfd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	*ret_hostfd = fd;
	return 0;
}

static int hostfs_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
			bool datasync)
{
	struct hostfs_file *hf = file->private;
	int fd, err;

	(void)ctx;
	(void)start;
	(void)end;
	fd = hostfs_file_fd(hf);
	if (fd < 0)
		return fd;
	if (hostfs_info(hf->hi->inode.sb)->read_only)
		return 0;
	blocking_begin();
	err = (int)(datasync ? HOST(fdatasync(fd)) : HOST(fsync(fd)));
	blocking_end();
	return err;
}

static int hostfs_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			    int64_t len)
{
	struct hostfs_file *hf = file->private;
	int err;

	inode_lock(file->inode);
	strip_setid(ctx, hf);
	blocking_begin();
	err = (int)HOST(fallocate(hf->hostfd, mode, offset, len));
	blocking_end();
	hostfs_attr_changed(hf->hi);
	inode_unlock(file->inode);
	return err;
}

static ssize_t hostfs_copy_file_range(const struct op_ctx *ctx, struct file *in, int64_t pos_in,
				      struct file *out, int64_t pos_out, size_t len, unsigned flags)
{
	struct hostfs_file *from = in->private, *to = out->private;
	ssize_t n;

	if (in->op != &hostfs_reg_fops || out->op != &hostfs_reg_fops || flags != 0)
		return -EXDEV;
	inode_lock(out->inode);
	strip_setid(ctx, to);
	blocking_begin();
	n = HOST(copy_file_range(from->hostfd, &pos_in, to->hostfd, &pos_out, len, 0));
	blocking_end();
	hostfs_attr_changed(to->hi);
	inode_unlock(out->inode);
	/* Two host file systems, or one that cannot: through a buffer, then. */
	if (n == -EINVAL || n == -ENOSYS || n == -EOPNOTSUPP || n == -EPERM)
		return -EXDEV;
	return n;
}

const struct file_ops hostfs_dir_fops = {
	.open = hostfs_file_open,
	.iterate = hostfs_iterate,
	.llseek = cookie_dir_llseek,
	.fsync = hostfs_fsync,
	.release = hostfs_file_release,
};

const struct file_ops hostfs_reg_fops = {
	.open = hostfs_file_open,
	.read_iter = hostfs_read_iter,
	.write_iter = hostfs_write_iter,
	.llseek = hostfs_file_llseek,
	.mmap = hostfs_mmap,
	.release = hostfs_file_release,
	.fsync = hostfs_fsync,
	.fallocate = hostfs_fallocate,
	.copy_file_range = hostfs_copy_file_range,
	.nowait = true,
};

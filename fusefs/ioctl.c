/* IOCTL, restricted: sizes and direction come from the command number (matrix 6.12, F150). */
#include <linux/ioctl.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"

ssize_t fuse_send_ioctl(const struct op_ctx *ctx, struct fuse_file *ff,
			struct fuse_ioctl_in *in, void *data, struct fuse_ioctl_out *out)
{
	struct fuse_args args;
	ssize_t n;

	fuse_args_init(&args, FUSE_IOCTL, ff->inode);
	fuse_args_pin_file(&args, ff, &in->fh);
	fuse_args_in(&args, in, sizeof(*in));
	if (in->in_size)
		fuse_args_in(&args, data, in->in_size);
	fuse_args_out(&args, out, sizeof(*out));
	fuse_args_out(&args, data, in->out_size);
	n = fuse_send(ctx, ff->inode, &args);
	return n == -ENOSYS ? -ENOTTY : n;
}

long fuse_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct fuse_file *ff = file->private;
	struct fuse_conn *conn = fuse_conn_of(ff->inode);
	struct fuse_ioctl_in in = {.fh = ff->fh, .cmd = cmd, .arg = arg};
	struct fuse_ioctl_out out = {0};
	size_t size = _IOC_SIZE(cmd);
	cleanup_free char *data = NULL;
	ssize_t n;

	if (fuse_is_bad(ff->inode))
		return -EIO;
	if (!fuse_allowed(ctx, fuse_of(ff->inode)))
		return -EACCES; /* F41 */
	if (ff->is_dir) {
		if (conn->minor < 18)
			return -ENOTTY;
		in.flags = FUSE_IOCTL_DIR;
	}
	if (size > (size_t)conn->max_pages * FUSE_PAGE)
		return -ENOMEM;
	data = calloc(1, size ? size : 1);
	if (!data)
		return -ENOMEM;
	if (_IOC_DIR(cmd) & _IOC_WRITE) {
		in.in_size = (uint32_t)size;
		if (ioctl_copy_in(ctx, data, arg, size))
			return -EFAULT;
	}
	if (_IOC_DIR(cmd) & _IOC_READ)
		in.out_size = (uint32_t)size;
	n = fuse_send_ioctl(ctx, ff, &in, data, &out);
	if (n < 0)
		return n;
	if (out.flags & FUSE_IOCTL_RETRY)
		return -EIO;
	if (n > 0 && ioctl_copy_out(ctx, arg, data, (size_t)n))
		return -EFAULT;
	return out.result;
}

/*
 * IOCTL, restricted: sizes and direction come from the command number (matrix 6.12, F150), but for
 * fs-verity's, whose structures say how long they are and what else belongs to them (F152).
 */
#include <linux/fsverity.h>
#include <linux/ioctl.h>
#include <stddef.h>
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

/* Guest memory that goes to the daemon. */
struct part {
	uint64_t gva;
	size_t size; /* bytes */
};

#define PARTS	      3
#define VERITY_MAX    (256u * FUSE_PAGE) /* bytes of salt, signature */

static int add_digest(const struct op_ctx *ctx, struct part *parts)
{
	uint16_t size;

	if (ioctl_copy_in(ctx, &size,
			  parts[0].gva + offsetof(struct fsverity_digest, digest_size),
			  sizeof(size)))
		return -EFAULT;
	parts[0].size = sizeof(struct fsverity_digest) + size;
	return 0;
}

static int add_salt_and_signature(const struct op_ctx *ctx, struct part *parts)
{
	struct fsverity_enable_arg enable;

	if (ioctl_copy_in(ctx, &enable, parts[0].gva, sizeof(enable)))
		return -EFAULT;
	if (enable.salt_size > VERITY_MAX || enable.sig_size > VERITY_MAX)
		return -ENOMEM;
	parts[1] = (struct part){enable.salt_ptr, enable.salt_size};
	parts[2] = (struct part){enable.sig_ptr, enable.sig_size};
	return 0;
}

/* The structure that the command is about, and what else it brings. 0 or -errno. */
static int find_parts(const struct op_ctx *ctx, unsigned cmd, uint64_t arg, struct part *ret_parts)
{
	memset(ret_parts, 0, PARTS * sizeof(*ret_parts));
	ret_parts[0] = (struct part){arg, _IOC_SIZE(cmd)};
	if (cmd == FS_IOC_MEASURE_VERITY)
		return add_digest(ctx, ret_parts);
	return cmd == FS_IOC_ENABLE_VERITY ? add_salt_and_signature(ctx, ret_parts) : 0;
}

static int copy_parts(const struct op_ctx *ctx, const struct part *parts, char *data)
{
	for (int i = 0; i < PARTS; i++) {
		if (parts[i].size && ioctl_copy_in(ctx, data, parts[i].gva, parts[i].size))
			return -EFAULT;
		data += parts[i].size;
	}
	return 0;
}

long fuse_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct fuse_file *ff = file->private;
	struct fuse_conn *conn = fuse_conn_of(ff->inode);
	struct fuse_ioctl_in in = {.fh = ff->fh, .cmd = cmd, .arg = arg};
	struct fuse_ioctl_out out = {0};
	struct part parts[PARTS];
	cleanup_free char *data = NULL;
	size_t size;
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
	n = find_parts(ctx, cmd, arg, parts);
	if (n < 0)
		return n;
	size = parts[0].size + parts[1].size + parts[2].size;
	if (size > (size_t)conn->max_pages * FUSE_PAGE)
		return -ENOMEM;
	data = calloc(1, size ? size : 1);
	if (!data)
		return -ENOMEM;
	if (_IOC_DIR(cmd) & _IOC_WRITE) {
		in.in_size = (uint32_t)size;
		if (copy_parts(ctx, parts, data))
			return -EFAULT;
	}
	if (_IOC_DIR(cmd) & _IOC_READ)
		in.out_size = (uint32_t)parts[0].size;
	n = fuse_send_ioctl(ctx, ff, &in, data, &out);
	if (n < 0)
		return n;
	if (out.flags & FUSE_IOCTL_RETRY)
		return -EIO;
	if (n > 0 && ioctl_copy_out(ctx, arg, data, (size_t)n))
		return -EFAULT;
	return out.result;
}

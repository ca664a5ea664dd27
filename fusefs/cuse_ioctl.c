/*
 * IOCTL of a CUSE device (matrix F151). Unrestricted, the daemon gets the bare command first and
 * answers with RETRY: the ranges of the caller's memory that it wants to read and to write. They
 * are its to choose: the caller has opened the device, as with a driver of Linux.
 */
#include <linux/ioctl.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/cuse.h"
#include "fusefs/fusefs.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"

/* One ioctl over its rounds. */
struct cuse_call {
	struct fuse_ioctl_in in;
	struct fuse_ioctl_out out;
	struct fuse_ioctl_iovec iov[FUSE_IOCTL_MAX_IOV];
	unsigned in_iovs, out_iovs; /* iov[]: first those to read, then those to write */
	size_t max;		    /* bytes, either way */
	char *data;		    /* sent */
	char *answer;
	size_t room; /* bytes of answer */
};

/* -ENOMEM when the ranges together are more than a request may have. */
static int sum(const struct cuse_call *call, unsigned first, unsigned count, uint32_t *ret_size)
{
	size_t total = 0;

	for (unsigned i = first; i < first + count; i++) {
		if (call->iov[i].len > call->max - total)
			return -ENOMEM;
		total += (size_t)call->iov[i].len;
	}
	*ret_size = (uint32_t)total;
	return 0;
}

/* Buffers for this round, the first one filled from the caller's memory. */
static int gather(const struct op_ctx *ctx, struct cuse_call *call)
{
	size_t used = 0;
	int err = sum(call, 0, call->in_iovs, &call->in.in_size);

	if (!err)
		err = sum(call, call->in_iovs, call->out_iovs, &call->in.out_size);
	if (err)
		return err;
	/* The answer may be a list of ranges in place of data: a page always fits. */
	call->room = call->in.out_size < FUSE_PAGE ? FUSE_PAGE : call->in.out_size;
	free(call->data);
	free(call->answer);
	call->data = malloc(call->in.in_size ? call->in.in_size : 1);
	call->answer = malloc(call->room);
	if (!call->data || !call->answer)
		return -ENOMEM;
	for (unsigned i = 0; i < call->in_iovs; i++) {
		size_t len = (size_t)call->iov[i].len;

		if (len && ioctl_copy_in(ctx, call->data + used, call->iov[i].base, len))
			return -EFAULT;
		used += len;
	}
	return 0;
}

static int scatter(const struct op_ctx *ctx, const struct cuse_call *call, size_t len)
{
	const char *from = call->answer;

	for (unsigned i = 0; i < call->out_iovs && len > 0; i++) {
		const struct fuse_ioctl_iovec *iov = &call->iov[call->in_iovs + i];
		size_t part = iov->len < len ? (size_t)iov->len : len;

		if (part && ioctl_copy_out(ctx, iov->base, from, part))
			return -EFAULT;
		from += part;
		len -= part;
	}
	return 0;
}

static ssize_t send_ioctl(const struct op_ctx *ctx, struct cuse_file *cf, struct cuse_call *call)
{
	struct fuse_args args;

	cuse_args_init(&args, FUSE_IOCTL, cf);
	fuse_args_in(&args, &call->in, sizeof(call->in));
	if (call->in.in_size)
		fuse_args_in(&args, call->data, call->in.in_size);
	fuse_args_out(&args, &call->out, sizeof(call->out));
	fuse_args_out(&args, call->answer, call->room);
	return fuse_conn_call(cf->cuse->conn, ctx, &args);
}

/* Takes over the ranges of a RETRY of `len` bytes. */
static int take_ranges(struct cuse_call *call, size_t len)
{
	const struct fuse_ioctl_out *out = &call->out;

	if (!(call->in.flags & FUSE_IOCTL_UNRESTRICTED))
		return -EIO;
	if (out->in_iovs > FUSE_IOCTL_MAX_IOV || out->out_iovs > FUSE_IOCTL_MAX_IOV ||
	    out->in_iovs + out->out_iovs > FUSE_IOCTL_MAX_IOV)
		return -ENOMEM;
	/* Before 7.16 these were native struct iovecs: the same here. */
	if (len != (out->in_iovs + out->out_iovs) * sizeof(call->iov[0]))
		return -EIO;
	memcpy(call->iov, call->answer, len);
	call->in_iovs = out->in_iovs;
	call->out_iovs = out->out_iovs;
	return 0;
}

static long run(const struct op_ctx *ctx, struct cuse_file *cf, struct cuse_call *call)
{
	for (;;) {
		ssize_t n;
		int err = gather(ctx, call);

		if (err)
			return err;
		memset(&call->out, 0, sizeof(call->out));
		n = send_ioctl(ctx, cf, call);
		if (n < 0)
			return n == -ENOSYS ? -ENOTTY : n;
		if (call->out.flags & FUSE_IOCTL_RETRY) {
			err = take_ranges(call, (size_t)n);
			if (err)
				return err;
			continue; /* without limit: the caller can be killed */
		}
		if ((size_t)n > call->in.out_size)
			return -EIO;
		err = scatter(ctx, call, (size_t)n);
		return err ? err : call->out.result;
	}
}

/* F150: the command's number says what it reads and writes, all at arg. */
static void restricted_ranges(struct cuse_call *call, unsigned cmd, uint64_t arg)
{
	unsigned dir = _IOC_DIR(cmd);

	if (dir & _IOC_WRITE)
		call->iov[call->in_iovs++] = (struct fuse_ioctl_iovec){arg, _IOC_SIZE(cmd)};
	if (dir & _IOC_READ) {
		call->iov[call->in_iovs] = (struct fuse_ioctl_iovec){arg, _IOC_SIZE(cmd)};
		call->out_iovs = 1;
	}
}

long cuse_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct cuse_file *cf = file->private;
	struct cuse_call *call = calloc(1, sizeof(*call));
	long ret;

	if (!call)
		return -ENOMEM;
	call->max = (size_t)cf->cuse->conn->max_pages * FUSE_PAGE;
	call->in.fh = cf->fh;
	call->in.cmd = cmd;
	call->in.arg = arg;
	if (cf->cuse->unrestricted_ioctl)
		call->in.flags = FUSE_IOCTL_UNRESTRICTED;
	else
		restricted_ranges(call, cmd, arg);
	ret = run(ctx, cf, call);
	free(call->data);
	free(call->answer);
	free(call);
	return ret;
}

/* null, zero, full, random, urandom: null(4), full(4), random(4). */
#include "vfs/dev/mem.h"

#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/chrdev.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/perm.h"
#include "vfs/poll.h"

#define MEM_MAJOR   1
#define CHUNK_BYTES 512

static int64_t mem_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	(void)ctx;
	(void)offset;
	(void)whence;
	file->pos = 0; /* cf. null_lseek() */
	return 0;
}

static ssize_t null_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos, int rwf)
{
	(void)ctx;
	(void)file;
	(void)to;
	(void)pos;
	(void)rwf;
	return 0;
}

static ssize_t null_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf)
{
	size_t len = from->count;

	(void)ctx;
	(void)file;
	(void)pos;
	(void)rwf;
	iter_advance(from, len);
	return (ssize_t)len;
}

static ssize_t zero_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos, int rwf)
{
	size_t len = to->count, done;

	(void)ctx;
	(void)file;
	(void)pos;
	(void)rwf;
	done = iter_zero(to, len);
	return done || !len ? (ssize_t)done : -EFAULT;
}

static ssize_t full_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf)
{
	(void)ctx;
	(void)file;
	(void)from;
	(void)pos;
	(void)rwf;
	return -ENOSPC;
}

/* A mapping of zero is anonymous memory: a memfd of its own, as long as the mapping. */
static int zero_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		     int *ret_hostfd)
{
	long hostfd, err;

	(void)ctx;
	(void)file;
	if (req->length > INT64_MAX - (uint64_t)req->offset)
		return -EOVERFLOW;
	hostfd = HOST(memfd_create("zero", MFD_CLOEXEC));
	if (hostfd < 0)
		return (int)hostfd;
	err = HOST(ftruncate((int)hostfd, req->offset + (int64_t)req->length));
	if (err) {
		(void)close((int)hostfd);
		return (int)err;
	}
	*ret_hostfd = (int)hostfd;
	return 0;
}

static ssize_t random_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			   int64_t *pos, int rwf)
{
	unsigned char chunk[CHUNK_BYTES];
	size_t done = 0;

	(void)ctx;
	(void)file;
	(void)pos;
	(void)rwf;
	while (to->count) {
		size_t want = to->count < sizeof(chunk) ? to->count : sizeof(chunk), copied;
		long got = HOST(getrandom(chunk, want, 0));

		if (got < 0)
			return done ? (ssize_t)done : got;
		copied = iter_to(to, chunk, (size_t)got);
		done += copied;
		if (copied < (size_t)got)
			return done ? (ssize_t)done : -EFAULT;
	}
	return (ssize_t)done;
}

/* What a guest mixes in changes nothing: the pool is the host's. */
static long random_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	int bits = 256;

	(void)file;
	switch (cmd) {
	case RNDGETENTCNT:
		return ioctl_copy_out(ctx, arg, &bits, sizeof(bits));
	case RNDADDTOENTCNT:
	case RNDADDENTROPY:
	case RNDZAPENTCNT:
	case RNDCLEARPOOL:
	case RNDRESEEDCRNG:
		return -EPERM;
	}
	return -EINVAL;
}

static const struct file_ops null_fops = {
	.read_iter = null_read,
	.write_iter = null_write,
	.llseek = mem_llseek,
	.nowait = true,
};

static const struct file_ops zero_fops = {
	.read_iter = zero_read,
	.write_iter = null_write,
	.llseek = mem_llseek,
	.mmap = zero_mmap,
	.nowait = true,
};

static const struct file_ops full_fops = {
	.read_iter = zero_read,
	.write_iter = full_write,
	.llseek = mem_llseek,
	.nowait = true,
};

static const struct file_ops random_fops = {
	.read_iter = random_read,
	.write_iter = null_write,
	.llseek = mem_llseek,
	.ioctl = random_ioctl,
	.nowait = true,
};

void mem_devices_register(void)
{
	static const struct {
		unsigned minor_nr;
		const char *name;
		const struct file_ops *op;
	} devices[] = {
		{3, "null", &null_fops},     {5, "zero", &zero_fops},	   {7, "full", &full_fops},
		{8, "random", &random_fops}, {9, "urandom", &random_fops},
	};

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		(void)chrdev_register(makedev(MEM_MAJOR, devices[i].minor_nr), devices[i].name,
				      0666, devices[i].op);
}

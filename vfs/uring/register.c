/* io_uring_register(2): files, buffers, an eventfd, credentials; and what there is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/cleanup.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/eventfd.h"
#include "vfs/ioctl.h"
#include "vfs/uring/uring_internal.h"

#define BUFFER_MAX (1ull << 30)
#define PROBE_SLOTS 256

/*
 * One call under way. Files that leave the ring are put when its lock is given up: what they hold
 * may be this very ring.
 */
struct reg {
	const struct op_ctx *ctx;
	struct uring_task *task;
	struct uring *ring;
	uint64_t arg_gva;
	unsigned nr;
	struct file **put; /* malloc'ed */
	unsigned nr_put;
};

static int copy_in(const struct reg *reg, void *dst, size_t len)
{
	return ioctl_copy_in(reg->ctx, dst, reg->arg_gva, len);
}

/* An array of `nr` things at `gva`, malloc'ed. */
static int copy_array(const struct reg *reg, uint64_t gva, unsigned nr, size_t size, void **ret)
{
	void *array = calloc(nr ? nr : 1, size);

	if (!array)
		return -ENOMEM;
	if (ioctl_copy_in(reg->ctx, array, gva, nr * size)) {
		free(array);
		return -EFAULT;
	}
	*ret = array;
	return 0;
}

static bool no_argument(const struct reg *reg)
{
	return !reg->arg_gva && !reg->nr;
}

/* ---- files ---- */

/* An fd of -1 is an empty slot. Rings are refused, as they could hold each other for ever. */
static int file_of(const struct reg *reg, int fd, struct file **ret_file)
{
	struct file *file = NULL;

	if (fd != -1) {
		file = reg->ctx->files ? fdtable_file(reg->ctx->files, fd) : NULL;
		if (!file || uring_is(file)) {
			file_put(file);
			return -EBADF;
		}
	}
	*ret_file = file;
	return 0;
}

static void put_files(struct file **files, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		file_put(files[i]);
	free(files);
}

/* fds NULL: all slots empty. */
static int files_register(struct reg *reg, unsigned nr, uint64_t fds_gva)
{
	cleanup_free void *fds = NULL;
	struct file **files;
	int err = 0;

	if (reg->ring->files)
		return -EBUSY;
	if (!nr)
		return -EINVAL;
	if (nr > URING_MAX_FILES)
		return -EMFILE;
	if (fds_gva)
		err = copy_array(reg, fds_gva, nr, sizeof(int32_t), &fds);
	files = calloc(nr, sizeof(struct file *));
	if (!files)
		err = -ENOMEM;
	for (unsigned i = 0; fds && !err && i < nr; i++)
		err = file_of(reg, ((int32_t *)fds)[i], &files[i]);
	if (err) {
		reg->put = files;
		reg->nr_put = files ? nr : 0;
		return err;
	}
	reg->ring->files = files;
	reg->ring->nr_files = nr;
	return 0;
}

static int register_files(struct reg *reg)
{
	return reg->arg_gva ? files_register(reg, reg->nr, reg->arg_gva) : -EFAULT;
}

static int unregister_files(struct reg *reg)
{
	struct uring *ring = reg->ring;

	if (!no_argument(reg))
		return -EINVAL;
	if (!ring->files)
		return -ENXIO;
	reg->put = ring->files;
	reg->nr_put = ring->nr_files;
	ring->files = NULL;
	ring->nr_files = 0;
	return 0;
}

/* cf. __io_sqe_files_update(): what was done before an error counts. */
static int files_update(struct reg *reg, unsigned offset, unsigned nr, uint64_t fds_gva)
{
	struct uring *ring = reg->ring;
	cleanup_free void *fds = NULL;
	unsigned i;
	int err;

	if (!ring->files)
		return -ENXIO;
	if (offset > ring->nr_files || nr > ring->nr_files - offset)
		return -EINVAL;
	err = copy_array(reg, fds_gva, nr, sizeof(int32_t), &fds);
	reg->put = calloc(nr ? nr : 1, sizeof(struct file *));
	if (!err && !reg->put)
		err = -ENOMEM;
	for (i = 0; !err && i < nr; i++) {
		int32_t fd = ((int32_t *)fds)[i];
		struct file *file;

		if (fd == IORING_REGISTER_FILES_SKIP)
			continue;
		err = file_of(reg, fd, &file);
		if (err)
			break;
		reg->put[reg->nr_put++] = ring->files[offset + i];
		ring->files[offset + i] = file;
	}
	return err && i == 0 ? err : (int)i;
}

static int register_files_update(struct reg *reg)
{
	struct io_uring_files_update update;

	if (!reg->nr)
		return -EINVAL;
	if (copy_in(reg, &update, sizeof(update)))
		return -EFAULT;
	if (update.resv)
		return -EINVAL;
	return files_update(reg, update.offset, reg->nr, update.fds);
}

/* Tags would have completions tell when a slot is free again: not here. */
static int copy_register(const struct reg *reg, struct io_uring_rsrc_register *ret)
{
	if (reg->nr != sizeof(*ret))
		return -EINVAL;
	if (copy_in(reg, ret, sizeof(*ret)))
		return -EFAULT;
	if (ret->resv2 || !ret->nr || (ret->flags & ~IORING_RSRC_REGISTER_SPARSE) || ret->tags)
		return -EINVAL;
	if ((ret->flags & IORING_RSRC_REGISTER_SPARSE) && ret->data)
		return -EINVAL;
	return 0;
}

static int register_files2(struct reg *reg)
{
	struct io_uring_rsrc_register rsrc;
	int err = copy_register(reg, &rsrc);

	if (!err && !rsrc.data && !(rsrc.flags & IORING_RSRC_REGISTER_SPARSE))
		err = -EFAULT;
	return err ? err : files_register(reg, rsrc.nr, rsrc.data);
}

static int register_files_update2(struct reg *reg)
{
	struct io_uring_rsrc_update2 update;

	if (reg->nr != sizeof(update))
		return -EINVAL;
	if (copy_in(reg, &update, sizeof(update)))
		return -EFAULT;
	if (!update.nr || update.resv || update.resv2 || update.tags)
		return -EINVAL;
	return files_update(reg, update.offset, update.nr, update.data);
}

/* ---- buffers ---- */

/*
 * Linux pins the pages; here the address counts, and what is mapped there when it is used. Its
 * first and last byte must be there now.
 */
static int check_buffer(const struct reg *reg, const struct iovec *iov)
{
	const uint64_t start = (uint64_t)iov->iov_base;
	char byte;

	if (!start)
		return iov->iov_len ? -EFAULT : 0;
	if (!iov->iov_len || iov->iov_len > BUFFER_MAX || start + iov->iov_len < start)
		return -EFAULT;
	if (ioctl_copy_in(reg->ctx, &byte, start, 1))
		return -EFAULT;
	return ioctl_copy_in(reg->ctx, &byte, start + iov->iov_len - 1, 1);
}

/* iov_gva 0: all slots empty. */
static int buffers_register(struct reg *reg, unsigned nr, uint64_t iov_gva)
{
	void *buffers = NULL;
	int err = 0;

	if (reg->ring->buffers)
		return -EBUSY;
	if (!nr || nr > URING_MAX_BUFFERS)
		return -EINVAL;
	if (iov_gva)
		err = copy_array(reg, iov_gva, nr, sizeof(struct iovec), &buffers);
	else
		buffers = calloc(nr, sizeof(struct iovec));
	if (!err && !buffers)
		err = -ENOMEM;
	for (unsigned i = 0; !err && i < nr; i++)
		err = check_buffer(reg, &((struct iovec *)buffers)[i]);
	if (err) {
		free(buffers);
		return err;
	}
	reg->ring->buffers = buffers;
	reg->ring->nr_buffers = nr;
	return 0;
}

static int register_buffers(struct reg *reg)
{
	return reg->arg_gva ? buffers_register(reg, reg->nr, reg->arg_gva) : -EFAULT;
}

static int register_buffers2(struct reg *reg)
{
	struct io_uring_rsrc_register rsrc;
	int err = copy_register(reg, &rsrc);

	if (!err && !rsrc.data && !(rsrc.flags & IORING_RSRC_REGISTER_SPARSE))
		err = -EFAULT;
	return err ? err : buffers_register(reg, rsrc.nr, rsrc.data);
}

static int unregister_buffers(struct reg *reg)
{
	if (!no_argument(reg))
		return -EINVAL;
	if (!reg->ring->buffers)
		return -ENXIO;
	free(reg->ring->buffers);
	reg->ring->buffers = NULL;
	reg->ring->nr_buffers = 0;
	return 0;
}

/* ---- eventfd ---- */

static int register_eventfd(struct reg *reg)
{
	struct file *file;
	int32_t fd;

	if (reg->nr != 1)
		return -EINVAL;
	if (reg->ring->eventfd)
		return -EBUSY;
	if (copy_in(reg, &fd, sizeof(fd)))
		return -EFAULT;
	file = reg->ctx->files ? fdtable_file(reg->ctx->files, fd) : NULL;
	if (!file)
		return -EBADF;
	if (!eventfd_is(file)) {
		file_put(file);
		return -EINVAL;
	}
	reg->ring->eventfd = file;
	reg->ring->eventfd_async = false;
	return 0;
}

static int register_eventfd_async(struct reg *reg)
{
	int err = register_eventfd(reg);

	if (!err)
		reg->ring->eventfd_async = true;
	return err;
}

static int unregister_eventfd(struct reg *reg)
{
	if (!no_argument(reg))
		return -EINVAL;
	if (!reg->ring->eventfd)
		return -ENXIO;
	reg->put = malloc(sizeof(struct file *));
	if (!reg->put)
		return -ENOMEM;
	reg->put[reg->nr_put++] = reg->ring->eventfd;
	reg->ring->eventfd = NULL;
	return 0;
}

/* ---- the rest ---- */

/* cf. io_probe(): the guest's array must be zero, and is filled as far as there are operations. */
static int register_probe(struct reg *reg)
{
	unsigned nr = reg->nr < IORING_OP_LAST ? reg->nr : IORING_OP_LAST;
	struct io_uring_probe *probe;
	const size_t size = sizeof(*probe) + reg->nr * sizeof(probe->ops[0]);
	cleanup_free void *copy = NULL;
	int err;

	if (!reg->arg_gva || reg->nr > PROBE_SLOTS)
		return -EINVAL;
	err = copy_array(reg, reg->arg_gva, 1, size, &copy);
	if (err)
		return err;
	for (size_t i = 0; i < size; i++)
		if (((char *)copy)[i])
			return -EINVAL;
	probe = copy;
	probe->last_op = IORING_OP_LAST - 1;
	probe->ops_len = (uint8_t)nr;
	for (unsigned i = 0; i < nr; i++) {
		probe->ops[i].op = (uint8_t)i;
		if (uring_op(i))
			probe->ops[i].flags = IO_URING_OP_SUPPORTED;
	}
	return ioctl_copy_out(reg->ctx, reg->arg_gva, probe, size);
}

static int register_personality(struct reg *reg)
{
	if (!no_argument(reg))
		return -EINVAL;
	for (int i = 0; i < URING_MAX_PERSONALITIES; i++) {
		if (reg->ring->personalities[i])
			continue;
		reg->ring->personalities[i] = cred_get(reg->ctx->cred);
		return i + 1;
	}
	return -ENOMEM;
}

static int unregister_personality(struct reg *reg)
{
	const struct cred **slot;

	if (reg->arg_gva || !reg->nr || reg->nr > URING_MAX_PERSONALITIES)
		return -EINVAL;
	slot = &reg->ring->personalities[reg->nr - 1];
	if (!*slot)
		return -EINVAL;
	cred_put(*slot);
	*slot = NULL;
	return 0;
}

static int enable_rings(struct reg *reg)
{
	struct uring *ring = reg->ring;

	if (!no_argument(reg))
		return -EINVAL;
	if (!ring->disabled)
		return -EBADFD;
	if (ring->flags & IORING_SETUP_SINGLE_ISSUER)
		ring->submitter = reg->task->id;
	__atomic_store_n(&ring->disabled, false, __ATOMIC_RELEASE);
	return 0;
}

typedef int (*reg_fn)(struct reg *reg);

static const reg_fn reg_fns[] = {
	[IORING_REGISTER_BUFFERS] = register_buffers,
	[IORING_UNREGISTER_BUFFERS] = unregister_buffers,
	[IORING_REGISTER_FILES] = register_files,
	[IORING_UNREGISTER_FILES] = unregister_files,
	[IORING_REGISTER_EVENTFD] = register_eventfd,
	[IORING_UNREGISTER_EVENTFD] = unregister_eventfd,
	[IORING_REGISTER_FILES_UPDATE] = register_files_update,
	[IORING_REGISTER_EVENTFD_ASYNC] = register_eventfd_async,
	[IORING_REGISTER_PROBE] = register_probe,
	[IORING_REGISTER_PERSONALITY] = register_personality,
	[IORING_UNREGISTER_PERSONALITY] = unregister_personality,
	[IORING_REGISTER_ENABLE_RINGS] = enable_rings,
	[IORING_REGISTER_FILES2] = register_files2,
	[IORING_REGISTER_FILES_UPDATE2] = register_files_update2,
	[IORING_REGISTER_BUFFERS2] = register_buffers2,
};

int uring_register(const struct op_ctx *ctx, struct uring_task *task, struct file *file,
		   unsigned opcode, uint64_t arg_gva, unsigned nr_args)
{
	struct uring *ring = uring_of(file);
	struct reg reg = {
		.ctx = ctx, .task = task, .ring = ring, .arg_gva = arg_gva, .nr = nr_args
	};
	int ret;

	if (opcode >= sizeof(reg_fns) / sizeof(reg_fns[0]) || !reg_fns[opcode])
		return -EINVAL;
	ret = uring_lock(ring);
	if (ret)
		return ret;
	if (ring->submitter && ring->submitter != task->id)
		ret = -EEXIST;
	else
		ret = reg_fns[opcode](&reg);
	uring_unlock(ring);
	put_files(reg.put, reg.nr_put);
	return ret;
}

void uring_unregister_all(struct uring *ring)
{
	put_files(ring->files, ring->nr_files);
	file_put(ring->eventfd);
	free(ring->buffers);
	for (int i = 0; i < URING_MAX_PERSONALITIES; i++)
		if (ring->personalities[i])
			cred_put(ring->personalities[i]);
	ring->files = NULL;
	ring->eventfd = NULL;
	ring->buffers = NULL;
	ring->nr_files = ring->nr_buffers = 0;
}

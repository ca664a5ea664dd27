/* read(2), write(2) and their vectored and positioned forms, lseek(2). */
#include <stdlib.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/lane/lane.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"

/* RWF_* that the VFS knows; the newer ones need a promise we cannot give (RWF_ATOMIC). */
#define RWF_KNOWN   (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)
#define POS_CURRENT (-1)
#define GUEST_TOP   0x7ffffffff000ULL /* TASK_SIZE_MAX: no guest address is above */

enum direction { DIR_READ, DIR_WRITE };

/* cf. access_ok() in vfs_read(): a range that leaves the address space is refused whole. */
static int64_t check_range(const struct file *file, unsigned need, const uint64_t *args)
{
	if (args[2] <= GUEST_TOP && args[1] <= GUEST_TOP - args[2])
		return 0;
	return file->fmode & need ? -EFAULT : -EBADF;
}

int64_t sys_read(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	struct io_iter iter;
	int64_t result;

	if (!file)
		return -EBADF;
	result = check_range(file, FMODE_READ, args);
	if (file->op->brings_work)
		lane_note_server(task, (int)args[0]);
	if (!result) {
		iter_init_guest(&iter, task, args[1], args[2]);
		result = vfs_read(task_ctx(task), file, &iter);
	}
	file_put(file);
	return result;
}

int64_t sys_write(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	struct io_iter iter;
	int64_t result;

	if (!file)
		return -EBADF;
	result = check_range(file, FMODE_WRITE, args);
	if (!result) {
		iter_init_guest(&iter, task, args[1], args[2]);
		result = vfs_write(task_ctx(task), file, &iter);
	}
	file_put(file);
	return result;
}

static int64_t positioned(struct task *task, const uint64_t *args, enum direction dir)
{
	int64_t pos = (int64_t)args[3];
	struct io_iter iter;
	struct file *file;
	int64_t result;

	if (pos < 0)
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	result = check_range(file, dir == DIR_READ ? FMODE_READ : FMODE_WRITE, args);
	iter_init_guest(&iter, task, args[1], args[2]);
	if (!result && dir == DIR_READ)
		result = vfs_pread(task_ctx(task), file, &iter, pos, 0);
	else if (!result)
		result = vfs_pwrite(task_ctx(task), file, &iter, pos, 0);
	file_put(file);
	return result;
}

int64_t sys_pread64(struct task *task, const uint64_t *args)
{
	return positioned(task, args, DIR_READ);
}

int64_t sys_pwrite64(struct task *task, const uint64_t *args)
{
	return positioned(task, args, DIR_WRITE);
}

static int64_t vectored_file(struct task *task, struct file *file, const uint64_t *args,
			     int64_t pos, int rwf, enum direction dir)
{
	const struct op_ctx *ctx = task_ctx(task);
	struct iovec *iov = NULL;
	struct io_iter iter;
	size_t total;
	int64_t result;

	result = copy_iovec_from_guest(task, args[1], args[2], &iov, &total);
	if (result)
		return result;
	iter_init_guest_iov(&iter, task, iov, args[2], total);
	if (total == 0)
		result = 0; /* not even the flags are looked at */
	else if (rwf & ~RWF_KNOWN)
		result = -EOPNOTSUPP;
	else if (pos == POS_CURRENT && !rwf)
		result = dir == DIR_READ ? vfs_read(ctx, file, &iter) : vfs_write(ctx, file, &iter);
	else if (dir == DIR_READ)
		result = vfs_pread(ctx, file, &iter, pos, rwf);
	else
		result = vfs_pwrite(ctx, file, &iter, pos, rwf);
	free(iov);
	return result;
}

static int64_t vectored(struct task *task, const uint64_t *args, int64_t pos, int rwf,
			enum direction dir)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = vfs_check_vectored(file, dir == DIR_READ ? FMODE_READ : FMODE_WRITE, pos);
	if (!result)
		result = vectored_file(task, file, args, pos, rwf, dir);
	file_put(file);
	return result;
}

int64_t sys_readv(struct task *task, const uint64_t *args)
{
	return vectored(task, args, POS_CURRENT, 0, DIR_READ);
}

int64_t sys_writev(struct task *task, const uint64_t *args)
{
	return vectored(task, args, POS_CURRENT, 0, DIR_WRITE);
}

/* On 64-bit machines the position is in one register, args[4] is not looked at. */
int64_t sys_preadv(struct task *task, const uint64_t *args)
{
	int64_t pos = (int64_t)args[3];

	return pos < 0 ? -EINVAL : vectored(task, args, pos, 0, DIR_READ);
}

int64_t sys_pwritev(struct task *task, const uint64_t *args)
{
	int64_t pos = (int64_t)args[3];

	return pos < 0 ? -EINVAL : vectored(task, args, pos, 0, DIR_WRITE);
}

/* Position -1 means the file's own (preadv2(2)). */
int64_t sys_preadv2(struct task *task, const uint64_t *args)
{
	int64_t pos = (int64_t)args[3];

	return pos < POS_CURRENT ? -EINVAL : vectored(task, args, pos, (int)args[5], DIR_READ);
}

int64_t sys_pwritev2(struct task *task, const uint64_t *args)
{
	int64_t pos = (int64_t)args[3];

	return pos < POS_CURRENT ? -EINVAL : vectored(task, args, pos, (int)args[5], DIR_WRITE);
}

int64_t sys_lseek(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	if ((unsigned)args[2] > SEEK_HOLE)
		result = -EINVAL;
	else
		result = vfs_llseek(task_ctx(task), file, (int64_t)args[1], (int)args[2]);
	file_put(file);
	return result;
}

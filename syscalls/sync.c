/* fsync(2), sync(2) and the calls that only advise: fadvise64, readahead, sync_file_range. */
#include <fcntl.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/superblock.h"

static int64_t fsync_fd(struct task *task, int fd, bool datasync)
{
	struct file *file = task_file(task, fd);
	int64_t result;

	if (!file)
		return -EBADF;
	result = vfs_fsync(task_ctx(task), file, 0, INT64_MAX, datasync);
	file_put(file);
	return result;
}

int64_t sys_fsync(struct task *task, const uint64_t *args)
{
	return fsync_fd(task, (int)args[0], false);
}

int64_t sys_fdatasync(struct task *task, const uint64_t *args)
{
	return fsync_fd(task, (int)args[0], true);
}

int64_t sys_syncfs(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = superblock_sync(task_ctx(task), file->inode->sb);
	file_put(file);
	return result;
}

int64_t sys_sync(struct task *task, const uint64_t *args)
{
	(void)args;
	mnt_ns_sync(task_ctx(task), task->fs->ns);
	return 0;
}

int64_t sys_sync_file_range(struct task *task, const uint64_t *args)
{
	int64_t offset = (int64_t)args[1], nbytes = (int64_t)args[2], end;
	unsigned flags = (unsigned)args[3];
	struct file *file;
	uint32_t type;
	int64_t result = 0;

	if (flags & ~(unsigned)(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER))
		return -EINVAL;
	if (offset < 0 || nbytes < 0 || __builtin_add_overflow(offset, nbytes, &end))
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	type = file->inode->mode & S_IFMT;
	if (type != S_IFREG && type != S_IFBLK && type != S_IFDIR && type != S_IFLNK)
		result = -ESPIPE;
	else if (type == S_IFREG && file->op->write_range)
		result = flags & SYNC_FILE_RANGE_WRITE
				 ? file->op->write_range(task_ctx(task), file, offset,
							 nbytes ? end : INT64_MAX)
				 : 0;
	else if ((flags & SYNC_FILE_RANGE_WAIT_AFTER) && type == S_IFREG)
		result =
			vfs_fsync(task_ctx(task), file, offset, nbytes ? end - 1 : INT64_MAX, true);
	file_put(file);
	return result;
}

int64_t sys_fadvise64(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result =
		vfs_fadvise(task_ctx(task), file, (int64_t)args[1], (int64_t)args[2], (int)args[3]);
	file_put(file);
	return result;
}

int64_t sys_readahead(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	if (!(file->fmode & FMODE_READ))
		result = -EBADF;
	else if (!S_ISREG(file->inode->mode) && !S_ISBLK(file->inode->mode))
		result = -EINVAL;
	else
		result = vfs_fadvise(task_ctx(task), file, (int64_t)args[1], (int64_t)args[2],
				     POSIX_FADV_WILLNEED);
	file_put(file);
	return result;
}

int64_t sys_fallocate(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = vfs_fallocate(task_ctx(task), file, (int)args[1], (int64_t)args[2],
			       (int64_t)args[3]);
	file_put(file);
	return result;
}

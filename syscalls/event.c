/* eventfd, timerfd and memfd: descriptors that are made from nothing. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/file/eventfd.h"
#include "vfs/file/memfd.h"
#include "vfs/file/timerfd.h"

static int64_t eventfd_common(struct task *task, unsigned initval, unsigned flags)
{
	struct file *file;
	int err = eventfd_new(task_ctx(task), initval, flags, &file);

	return err ? err : task_install(task, file, flags & EFD_CLOEXEC);
}

int64_t sys_eventfd(struct task *task, const uint64_t *args)
{
	return eventfd_common(task, (unsigned)args[0], 0);
}

int64_t sys_eventfd2(struct task *task, const uint64_t *args)
{
	return eventfd_common(task, (unsigned)args[0], (unsigned)args[1]);
}

int64_t sys_timerfd_create(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[1];
	struct file *file;
	int err = timerfd_new(task_ctx(task), (int)args[0], flags, &file);

	return err ? err : task_install(task, file, flags & TFD_CLOEXEC);
}

int64_t sys_timerfd_settime(struct task *task, const uint64_t *args)
{
	struct itimerspec value, old;
	struct file *file;
	int64_t err;

	if (copy_from_guest(task, &value, args[2], sizeof(value)))
		return -EFAULT;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	err = timerfd_arm(file, (unsigned)args[1], &value, &old);
	file_put(file);
	if (!err && args[3])
		err = copy_to_guest(task, args[3], &old, sizeof(old));
	return err;
}

int64_t sys_timerfd_gettime(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	struct itimerspec value;
	int64_t err;

	if (!file)
		return -EBADF;
	err = timerfd_setting(file, &value);
	file_put(file);
	return err ? err : copy_to_guest(task, args[1], &value, sizeof(value));
}

int64_t sys_memfd_create(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[1];
	char name[MEMFD_NAME_MAX + 1];
	struct file *file;
	ssize_t len;
	int err;

	len = copy_string_from_guest(task, name, args[0], sizeof(name));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	err = memfd_new(task_ctx(task), name, flags, &file);
	return err ? err : task_install(task, file, flags & MFD_CLOEXEC);
}

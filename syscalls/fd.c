/* dup(2) and fcntl(2). */
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/flock.h"
#include "syscalls/handlers.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/memfd.h"
#include "vfs/file/pipe.h"
#include "vfs/inode.h"
#include "vfs/perm.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027 /* Linux 6.10 */
#endif

int64_t sys_dup(struct task *task, const uint64_t *args)
{
	struct file *file = task_file_raw(task, (int)args[0]);

	return file ? task_install(task, file, false) : -EBADF;
}

static int64_t dup_to(struct task *task, int oldfd, int newfd, bool cloexec)
{
	struct file *file = task_file_raw(task, oldfd);
	int64_t result;

	if (!file)
		return -EBADF;
	result = fdtable_replace(task_ctx(task), task->files, newfd, file, cloexec,
				 task_nofile(task));
	if (result < 0)
		file_put(file);
	return result;
}

int64_t sys_dup2(struct task *task, const uint64_t *args)
{
	int oldfd = (int)args[0], newfd = (int)args[1];
	struct file *file;

	if (oldfd != newfd)
		return dup_to(task, oldfd, newfd, false);
	file = task_file_raw(task, oldfd);
	if (!file)
		return -EBADF;
	file_put(file);
	return newfd;
}

int64_t sys_dup3(struct task *task, const uint64_t *args)
{
	int oldfd = (int)args[0], newfd = (int)args[1], flags = (int)args[2];

	if ((flags & ~O_CLOEXEC) || oldfd == newfd)
		return -EINVAL;
	return dup_to(task, oldfd, newfd, flags & O_CLOEXEC);
}

static int64_t fcntl_dupfd(struct task *task, struct file *file, uint64_t arg, bool cloexec)
{
	uint64_t limit = task_nofile(task);
	int64_t result;

	if (arg >= limit || arg > INT_MAX)
		return -EINVAL;
	result = fdtable_install(task->files, file_get(file), (int)arg, limit, cloexec);
	if (result < 0)
		file_put(file);
	return result;
}

/* Which flags F_SETFL may set anew (cf. setfl() in fs/fcntl.c). */
static int setfl_check(struct task *task, struct file *file, unsigned old, unsigned new)
{
	if ((new &O_NOATIME) && !(old & O_NOATIME) &&
	    !inode_owner_or_capable(task_ctx(task), file->inode))
		return -EPERM;
	return 0;
}

/* O_ASYNC goes through the file; a kind of file that does not know it ignores it. */
static int setfl_async(struct task *task, struct file *file, bool on)
{
	int err = file->op->fasync ? file->op->fasync(task_ctx(task), file, on) : -EINVAL;

	if (err)
		return file->op->fasync ? err : 0;
	if (on)
		atomic_fetch_or(&file->flags, (unsigned)O_ASYNC);
	else
		atomic_fetch_and(&file->flags, ~(unsigned)O_ASYNC);
	return 0;
}

static int64_t fcntl_setfl(struct task *task, struct file *file, unsigned arg)
{
	unsigned mask = file->op->setfl_mask, old = atomic_load(&file->flags);
	int err = setfl_check(task, file, old, arg);

	if (!mask)
		mask = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
	if (!err && ((old ^ arg) & O_ASYNC))
		err = setfl_async(task, file, arg & O_ASYNC);
	if (err)
		return err;
	do
		old = atomic_load(&file->flags);
	while (!atomic_compare_exchange_weak(&file->flags, &old, (old & ~mask) | (arg & mask)));
	return 0;
}

/* Who gets SIGIO. A group is stored negative; thread ids are kept like process ids. */
static int64_t owner_set(struct file *file, int64_t who)
{
	pid_t id;

	if (who <= INT_MIN || who > INT_MAX)
		return -EINVAL;
	id = (pid_t)(who < 0 ? -who : who);
	if (who > 0) {
		struct task *task = task_get_by_guest_tid(id);

		if (!task)
			return -ESRCH;
		task_put(task);
	}
	fb_mutex_lock(&file->lock);
	__atomic_store_n(&file->owner, (pid_t)who, __ATOMIC_RELAXED); /* a sender of SIGIO reads it */
	fb_mutex_unlock(&file->lock);
	return 0;
}

static pid_t owner_get(struct file *file)
{
	pid_t owner;

	fb_mutex_lock(&file->lock);
	owner = file->owner;
	fb_mutex_unlock(&file->lock);
	return owner;
}

static int64_t owner_set_ex(struct task *task, struct file *file, gva_t owner_gva)
{
	struct f_owner_ex ex;

	if (copy_from_guest(task, &ex, owner_gva, sizeof(ex)))
		return -EFAULT;
	if (ex.pid < 0)
		return -EINVAL;
	switch ((int)ex.type) {
	case F_OWNER_TID:
	case F_OWNER_PID:
		return owner_set(file, ex.pid);
	case F_OWNER_PGRP:
		return owner_set(file, -(int64_t)ex.pid);
	default:
		return -EINVAL;
	}
}

static int64_t owner_get_ex(struct task *task, struct file *file, gva_t owner_gva)
{
	pid_t owner = owner_get(file);
	struct f_owner_ex ex = {.type = owner < 0 ? F_OWNER_PGRP : F_OWNER_PID,
				.pid = owner < 0 ? -owner : owner};

	return copy_to_guest(task, owner_gva, &ex, sizeof(ex));
}

static int64_t fcntl_setsig(struct file *file, uint64_t signo)
{
	if (signo > 64)
		return -EINVAL;
	fb_mutex_lock(&file->lock);
	__atomic_store_n(&file->signo, (int)signo, __ATOMIC_RELAXED);
	fb_mutex_unlock(&file->lock);
	return 0;
}

static int64_t fcntl_getsig(struct file *file)
{
	int64_t signo;

	fb_mutex_lock(&file->lock);
	signo = file->signo;
	fb_mutex_unlock(&file->lock);
	return signo;
}

static int64_t dupfd_query(struct task *task, struct file *file, int fd)
{
	struct file *other = task_file_raw(task, fd);
	bool same = other == file;

	if (!other)
		return -EBADF;
	file_put(other);
	return same;
}

/* Leases are not kept: none is ever held, none can be taken (cf. simple_nosetlease()). */
static int64_t fcntl_setlease(uint64_t arg)
{
	if (arg == F_UNLCK)
		return -EAGAIN;
	return -EINVAL;
}

static int64_t fcntl_owner(struct task *task, struct file *file, int cmd, uint64_t arg)
{
	switch (cmd) {
	case F_SETOWN:
		return owner_set(file, (int)arg);
	case F_GETOWN:
		return owner_get(file);
	case F_SETOWN_EX:
		return owner_set_ex(task, file, arg);
	case F_GETOWN_EX:
		return owner_get_ex(task, file, arg);
	case F_SETSIG:
		return fcntl_setsig(file, arg);
	default:
		return fcntl_getsig(file);
	}
}

/* The few commands that an O_PATH descriptor has too (open(2)). */
static bool fcntl_path_cmd(int cmd)
{
	return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC || cmd == F_GETFD || cmd == F_SETFD ||
	       cmd == F_GETFL || cmd == F_DUPFD_QUERY;
}

static int64_t fcntl_file(struct task *task, struct file *file, int fd, int cmd, uint64_t arg)
{
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return fcntl_dupfd(task, file, (unsigned)arg, cmd == F_DUPFD_CLOEXEC);
	case F_DUPFD_QUERY:
		return dupfd_query(task, file, (int)arg);
	case F_GETFD:
		return fdtable_get_cloexec(task->files, fd);
	case F_SETFD:
		return fdtable_set_cloexec(task->files, fd, arg & FD_CLOEXEC);
	case F_GETFL:
		return atomic_load(&file->flags);
	case F_SETFL:
		return fcntl_setfl(task, file, (unsigned)arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return fcntl_lock(task, file, cmd, arg);
	case F_SETOWN:
	case F_GETOWN:
	case F_SETOWN_EX:
	case F_GETOWN_EX:
	case F_SETSIG:
	case F_GETSIG:
		return fcntl_owner(task, file, cmd, arg);
	case F_GETPIPE_SZ:
		return pipe_size(file);
	case F_SETPIPE_SZ:
		return pipe_set_size(task_ctx(task), file, (unsigned)arg);
	case F_GET_SEALS:
		return memfd_get_seals(file);
	case F_ADD_SEALS:
		return memfd_add_seals(file, (unsigned)arg);
	case F_GETLEASE:
		return F_UNLCK;
	case F_SETLEASE:
		return fcntl_setlease(arg);
	default:
		return -EINVAL;
	}
}

int64_t sys_fcntl(struct task *task, const uint64_t *args)
{
	int fd = (int)args[0], cmd = (int)args[1];
	struct file *file = task_file_raw(task, fd);
	int64_t result;

	if (!file)
		return -EBADF;
	if ((file->fmode & FMODE_PATH) && !fcntl_path_cmd(cmd))
		result = -EBADF;
	else
		result = fcntl_file(task, file, fd, cmd, args[2]);
	file_put(file);
	return result;
}

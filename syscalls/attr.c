/* Changing attributes: chmod, chown, utimensat, truncate and their relatives. */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"

static int64_t chmod_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct iattr attr = {.valid = ATTR_MODE | ATTR_CTIME, .mode = *(uint32_t *)arg & 07777};

	/* Since Linux 6.6 for every file system (cf. chmod_common()). */
	if (inode_is_lnk(path->dentry->inode))
		return -EOPNOTSUPP;
	return notify_change(ctx, path, &attr);
}

static int64_t chmod_common(struct task *task, int dirfd, gva_t name_gva, uint32_t mode, int flags)
{
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return at_path_do(task, task_ctx(task), dirfd, name_gva, at_lookup_flags(flags, true),
			  chmod_op, &mode);
}

int64_t sys_chmod(struct task *task, const uint64_t *args)
{
	return chmod_common(task, AT_FDCWD, args[0], (uint32_t)args[1], 0);
}

int64_t sys_fchmodat(struct task *task, const uint64_t *args)
{
	return chmod_common(task, (int)args[0], args[1], (uint32_t)args[2], 0);
}

int64_t sys_fchmodat2(struct task *task, const uint64_t *args)
{
	return chmod_common(task, (int)args[0], args[1], (uint32_t)args[2], (int)args[3]);
}

int64_t sys_fchmod(struct task *task, const uint64_t *args)
{
	uint32_t mode = (uint32_t)args[1];

	return fd_path_do(task, (int)args[0], false, chmod_op, &mode);
}

struct owner {
	uid_t uid;
	gid_t gid;
};

/* Does a change of owner take the set-group-id bit away (cf. setattr_should_drop_sgid())? */
static bool drops_sgid(const struct op_ctx *ctx, const struct inode *inode)
{
	if (!(inode->mode & S_ISGID))
		return false;
	if (inode->mode & S_IXGRP)
		return true;
	return !cred_in_group(ctx->cred, inode->gid) && !cred_capable(ctx->cred, CAP_FSETID);
}

static int64_t chown_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	const struct inode *inode = path->dentry->inode;
	const struct owner *owner = arg;
	struct iattr attr = {.valid = ATTR_CTIME, .uid = owner->uid, .gid = owner->gid};

	if (owner->uid != (uid_t)-1)
		attr.valid |= ATTR_UID;
	if (owner->gid != (gid_t)-1)
		attr.valid |= ATTR_GID;
	if (!S_ISDIR(inode->mode)) {
		attr.valid |= ATTR_KILL_SUID;
		if (drops_sgid(ctx, inode))
			attr.valid |= ATTR_KILL_SGID;
	}
	return notify_change(ctx, path, &attr);
}

static int64_t chown_common(struct task *task, int dirfd, gva_t name_gva, uint64_t uid,
			    uint64_t gid, unsigned lookup)
{
	struct owner owner = {(uid_t)uid, (gid_t)gid};

	return at_path_do(task, task_ctx(task), dirfd, name_gva, lookup, chown_op, &owner);
}

int64_t sys_chown(struct task *task, const uint64_t *args)
{
	return chown_common(task, AT_FDCWD, args[0], args[1], args[2], LOOKUP_FOLLOW);
}

int64_t sys_lchown(struct task *task, const uint64_t *args)
{
	return chown_common(task, AT_FDCWD, args[0], args[1], args[2], 0);
}

int64_t sys_fchownat(struct task *task, const uint64_t *args)
{
	int flags = (int)args[4];

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return chown_common(task, (int)args[0], args[1], args[2], args[3],
			    at_lookup_flags(flags, true));
}

int64_t sys_fchown(struct task *task, const uint64_t *args)
{
	struct owner owner = {(uid_t)args[1], (gid_t)args[2]};

	return fd_path_do(task, (int)args[0], false, chown_op, &owner);
}

/* Times to set; `times` points to two, or is NULL for "both now". */
static int64_t utimes_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	const struct timespec *times = arg;
	struct iattr attr = {.valid = ATTR_CTIME | ATTR_ATIME | ATTR_MTIME};

	if (!times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW)) {
		attr.valid |= ATTR_TOUCH;
		return notify_change(ctx, path, &attr);
	}
	if (times[0].tv_nsec == UTIME_OMIT) {
		attr.valid &= ~(unsigned)ATTR_ATIME;
	} else if (times[0].tv_nsec != UTIME_NOW) {
		attr.valid |= ATTR_ATIME_SET;
		attr.atime = times[0];
	}
	if (times[1].tv_nsec == UTIME_OMIT) {
		attr.valid &= ~(unsigned)ATTR_MTIME;
	} else if (times[1].tv_nsec != UTIME_NOW) {
		attr.valid |= ATTR_MTIME_SET;
		attr.mtime = times[1];
	}
	return notify_change(ctx, path, &attr);
}

static bool time_nsec_valid(const struct timespec *ts)
{
	return ts->tv_nsec == UTIME_NOW || ts->tv_nsec == UTIME_OMIT ||
	       (ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000);
}

static int64_t utimes_common(struct task *task, int dirfd, gva_t name_gva,
			     const struct timespec *times, int flags)
{
	struct timespec copy[2];

	if (times) {
		copy[0] = times[0];
		copy[1] = times[1];
		if (!time_nsec_valid(&copy[0]) || !time_nsec_valid(&copy[1]))
			return -EINVAL;
	}
	/* A null name is the descriptor itself (utimensat(2), NOTES). */
	if (!name_gva && dirfd != AT_FDCWD) {
		if (flags)
			return -EINVAL;
		return fd_path_do(task, dirfd, false, utimes_op, times ? copy : NULL);
	}
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return at_path_do(task, task_ctx(task), dirfd, name_gva, at_lookup_flags(flags, true),
			  utimes_op, times ? copy : NULL);
}

int64_t sys_utimensat(struct task *task, const uint64_t *args)
{
	struct timespec times[2];

	if (args[2]) {
		if (copy_from_guest(task, times, args[2], sizeof(times)))
			return -EFAULT;
		if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
			return 0;
	}
	return utimes_common(task, (int)args[0], args[1], args[2] ? times : NULL, (int)args[3]);
}

static int64_t utimes_timeval(struct task *task, int dirfd, gva_t name_gva, gva_t times_gva)
{
	struct timespec times[2];
	struct timeval tv[2];

	if (!times_gva)
		return utimes_common(task, dirfd, name_gva, NULL, 0);
	if (copy_from_guest(task, tv, times_gva, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		times[i].tv_sec = tv[i].tv_sec;
		times[i].tv_nsec = tv[i].tv_usec * 1000;
	}
	return utimes_common(task, dirfd, name_gva, times, 0);
}

int64_t sys_utimes(struct task *task, const uint64_t *args)
{
	return utimes_timeval(task, AT_FDCWD, args[0], args[1]);
}

int64_t sys_futimesat(struct task *task, const uint64_t *args)
{
	return utimes_timeval(task, (int)args[0], args[1], args[2]);
}

int64_t sys_utime(struct task *task, const uint64_t *args)
{
	struct timespec times[2] = {{0}};
	struct utimbuf buf;

	if (!args[1])
		return utimes_common(task, AT_FDCWD, args[0], NULL, 0);
	if (copy_from_guest(task, &buf, args[1], sizeof(buf)))
		return -EFAULT;
	times[0].tv_sec = buf.actime;
	times[1].tv_sec = buf.modtime;
	return utimes_common(task, AT_FDCWD, args[0], times, 0);
}

static int64_t truncate_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	return vfs_truncate(ctx, path, *(int64_t *)arg);
}

int64_t sys_truncate(struct task *task, const uint64_t *args)
{
	int64_t size = (int64_t)args[1];

	if (size < 0)
		return -EINVAL;
	return at_path_do(task, task_ctx(task), AT_FDCWD, args[0], LOOKUP_FOLLOW, truncate_op,
			  &size);
}

int64_t sys_ftruncate(struct task *task, const uint64_t *args)
{
	int64_t size = (int64_t)args[1], result;
	struct file *file;

	if (size < 0)
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	result = vfs_ftruncate(task_ctx(task), file, size);
	file_put(file);
	return result;
}

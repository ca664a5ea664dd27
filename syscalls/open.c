/* open(2) and kin, close(2), close_range(2). */
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "sentry/call.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/uring.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"

#define O_LARGEFILE_KERNEL 0100000 /* glibc's O_LARGEFILE is 0 on x86-64 */
#define O_TMPFILE_BIT	   (O_TMPFILE & ~O_DIRECTORY)

/* VALID_OPEN_FLAGS of include/linux/fcntl.h; FASYNC is O_ASYNC. */
#define OPEN_FLAGS_VALID                                                                           \
	((uint64_t)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |    \
		    O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE_KERNEL | O_DIRECTORY |     \
		    O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE_BIT))
#define OPEN_FLAGS_OF_PATH ((uint64_t)(O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC))
#define MODE_ALL	   07777u

/* What openat2(2) refuses beyond open(2), which masks silently. */
static int open_how_check(const struct open_how *how)
{
	const uint64_t scope = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
	const uint64_t valid = scope | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS |
			       RESOLVE_NO_SYMLINKS | RESOLVE_CACHED;

	if ((how->flags & ~OPEN_FLAGS_VALID) || (how->resolve & ~valid))
		return -EINVAL;
	if ((how->resolve & scope) == scope)
		return -EINVAL;
	if (how->flags & (O_CREAT | O_TMPFILE_BIT)) {
		if (how->mode & ~(uint64_t)MODE_ALL)
			return -EINVAL;
	} else if (how->mode) {
		return -EINVAL;
	}
	if ((how->flags & O_PATH) && (how->flags & ~OPEN_FLAGS_OF_PATH))
		return -EINVAL;
	if ((how->resolve & RESOLVE_CACHED) && (how->flags & (O_TRUNC | O_CREAT | O_TMPFILE_BIT)))
		return -EAGAIN;
	return 0;
}

static unsigned open_resolve_flags(uint64_t resolve)
{
	static const struct {
		uint64_t resolve;
		unsigned lookup;
	} map[] = {
		{RESOLVE_NO_XDEV, LOOKUP_NO_XDEV},
		{RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS},
		{RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS},
		{RESOLVE_BENEATH, LOOKUP_BENEATH},
		{RESOLVE_IN_ROOT, LOOKUP_IN_ROOT},
		{RESOLVE_CACHED, LOOKUP_CACHED},
	};
	unsigned lookup = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (resolve & map[i].resolve)
			lookup |= map[i].lookup;
	return lookup;
}

/* Combinations that no open accepts (cf. build_open_flags() in fs/open.c). */
static int open_flags_check(uint64_t flags)
{
	if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
		return -EINVAL;
	if (flags & O_TMPFILE_BIT) {
		if (!(flags & O_DIRECTORY))
			return -EINVAL;
		if ((flags & O_ACCMODE) == O_RDONLY)
			return -EINVAL;
	}
	return 0;
}

static void open_args_of(struct open_how how, struct open_args *ret_args)
{
	if (how.flags & (O_SYNC & ~O_DSYNC))
		how.flags |= O_DSYNC;
	if (how.flags & O_PATH)
		how.flags &= OPEN_FLAGS_OF_PATH;
	*ret_args = (struct open_args){
		.flags = how.flags & ~(uint64_t)O_CLOEXEC,
		.mode = (uint32_t)how.mode,
		.resolve = open_resolve_flags(how.resolve),
	};
}

static int open_at(const struct op_ctx *ctx, const struct at_name *at, const struct open_how *how)
{
	struct open_args args;
	struct file *file;
	int err, fd;

	open_args_of(*how, &args);
	/* The number first: a full table must not create the file. */
	fd = fdtable_reserve(ctx->files, 0, task_nofile(ctx->task), how->flags & O_CLOEXEC);
	if (fd < 0)
		return fd;
	err = vfs_open(ctx, at->base, at->name, &args, &file);
	if (err) {
		fdtable_cancel(ctx->files, fd);
		return err;
	}
	fdtable_fill(ctx->files, fd, file);
	return fd;
}

static int64_t open_common(struct task *task, int dirfd, gva_t name_gva, struct open_how how)
{
	struct at_name at;
	int err = open_flags_check(how.flags);

	if (!err)
		err = at_name_get(task, dirfd, name_gva, how.resolve ? AT_NAME_BASE : 0, &at);
	if (err)
		return err;
	err = open_at(task_ctx(task), &at, &how);
	at_name_put(&at);
	return err;
}

int open_named(const struct op_ctx *ctx, int dirfd, const char *name, const struct open_how *how)
{
	struct at_name at;
	int err = open_how_check(how);

	if (!err)
		err = open_flags_check(how->flags);
	if (!err)
		err = at_name_copy(ctx, dirfd, name, how->resolve ? AT_NAME_BASE : 0, &at);
	if (err)
		return err;
	err = open_at(ctx, &at, how);
	at_name_put(&at);
	return err;
}

/* open(2) ignores what it does not know, and mode where nothing is made. */
static int64_t open_legacy(struct task *task, int dirfd, gva_t name_gva, uint64_t flags,
			   uint64_t mode)
{
	struct open_how how = {.flags = (flags & OPEN_FLAGS_VALID) | O_LARGEFILE_KERNEL};

	if (how.flags & (O_CREAT | O_TMPFILE_BIT))
		how.mode = mode & MODE_ALL;
	return open_common(task, dirfd, name_gva, how);
}

int64_t sys_open(struct task *task, const uint64_t *args)
{
	return open_legacy(task, AT_FDCWD, args[0], (uint32_t)args[1], args[2]);
}

int64_t sys_creat(struct task *task, const uint64_t *args)
{
	return open_legacy(task, AT_FDCWD, args[0], O_CREAT | O_WRONLY | O_TRUNC, args[1]);
}

int64_t sys_openat(struct task *task, const uint64_t *args)
{
	return open_legacy(task, (int)args[0], args[1], (uint32_t)args[2], args[3]);
}

int64_t sys_openat2(struct task *task, const uint64_t *args)
{
	struct open_how how;
	int err;

	err = copy_struct_from_guest(task, &how, sizeof(how), sizeof(how), args[2], args[3]);
	if (!err)
		err = open_how_check(&how);
	if (err)
		return err;
	if (!(how.flags & O_PATH))
		how.flags |= O_LARGEFILE_KERNEL;
	return open_common(task, (int)args[0], args[1], how);
}

int64_t sys_close(struct task *task, const uint64_t *args)
{
	bool planted = false;
	int err;

	if (fdtable_planted(task->files, (int)args[0]) && call_is_by_lane(task))
		return -ERESTARTNOINTR;
	err = fdtable_close(task_ctx(task), task->files, (int)args[0], &planted);

	/* close(2) is never restarted: the number is gone (cf. sys_close() in fs/open.c). */
	if (err_is_restart(err))
		return -EINTR;
	if (!err && planted)
		return CALL_NATIVE; /* the host drops its copy too */
	return err;
}

/*
 * Host copies of planted descriptors stay until their number is closed or planted anew: the call
 * cannot continue natively, for it would also close what the sentry itself put there.
 */
int64_t sys_close_range(struct task *task, const uint64_t *args)
{
	unsigned first = (unsigned)args[0], last = (unsigned)args[1], flags = (unsigned)args[2];
	struct fdtable *copy;

	if (flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
		return -EINVAL;
	if (first > last)
		return -EINVAL;
	if (flags & CLOSE_RANGE_UNSHARE) {
		copy = fdtable_copy(task->files);
		if (!copy)
			return -ENOMEM;
		task_set_files(task, copy);
	}
	return fdtable_close_range(task_ctx(task), task->files, first, last,
				   flags & CLOSE_RANGE_CLOEXEC);
}

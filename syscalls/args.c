/* Copying arguments in: paths, times, versioned structs, descriptors. */
#include "syscalls/args.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"

/* Free path buffers, linked through their first bytes. */
#define PATH_POOL_MAX 64

static struct fb_mutex pool_lock = FB_MUTEX_INIT(RANK_LEAF);
static void *pool_first; /* guarded by pool_lock, as the next */
static int pool_count;

char *path_buf_get(void)
{
	void *buf;

	fb_mutex_lock(&pool_lock);
	buf = pool_first;
	if (buf) {
		memcpy(&pool_first, buf, sizeof(pool_first));
		pool_count--;
	}
	fb_mutex_unlock(&pool_lock);
	return buf ? buf : malloc(PATH_MAX);
}

void path_buf_put(char *buf)
{
	if (!buf)
		return;
	fb_mutex_lock(&pool_lock);
	if (pool_count < PATH_POOL_MAX) {
		memcpy(buf, &pool_first, sizeof(pool_first));
		pool_first = buf;
		pool_count++;
		buf = NULL;
	}
	fb_mutex_unlock(&pool_lock);
	free(buf);
}

struct file *task_file(struct task *task, int fd)
{
	return fdtable_file(task->files, fd);
}

struct file *task_file_raw(struct task *task, int fd)
{
	return fdtable_file_raw(task->files, fd);
}

int task_install(struct task *task, struct file *file, bool cloexec)
{
	int fd = fdtable_install(task->files, file, 0, task_nofile(task), cloexec);

	if (fd < 0)
		file_put(file);
	return fd;
}

bool task_capable(struct task *task, int cap)
{
	return cred_capable(task->cred, cap);
}

/* Where a relative name starts. Only a directory can hold names; "" accepts any file. */
static int at_name_find_dir(struct fdtable *files, int dirfd, struct at_name *at)
{
	at->dir = fdtable_file_raw(files, dirfd);
	if (!at->dir)
		return -EBADF;
	if (at->name[0] && !inode_is_dir(at->dir->inode)) {
		file_put(at->dir);
		at->dir = NULL;
		return -ENOTDIR;
	}
	at->base = &at->dir->path;
	return 0;
}

/* The name is there, `len` bytes or -errno. Takes at->name. */
static int at_name_finish(struct fdtable *files, int dirfd, ssize_t len, unsigned flags,
			  struct at_name *at)
{
	int err = 0;

	if (len < 0)
		err = (int)len;
	else if (len == 0 && !(flags & (AT_NAME_EMPTY | AT_NAME_NULL)))
		err = -ENOENT;
	else if (dirfd != AT_FDCWD && (at->name[0] != '/' || (flags & AT_NAME_BASE)))
		err = at_name_find_dir(files, dirfd, at);
	if (err)
		path_buf_put(at->name);
	return err;
}

int at_name_get(struct task *task, int dirfd, gva_t name_gva, unsigned flags,
		struct at_name *ret_at)
{
	ssize_t len = 0;

	*ret_at = (struct at_name){path_buf_get(), NULL, NULL};
	if (!ret_at->name)
		return -ENOMEM;
	if (!name_gva && (flags & AT_NAME_NULL))
		ret_at->name[0] = '\0';
	else
		len = copy_string_from_guest(task, ret_at->name, name_gva, PATH_MAX);
	return at_name_finish(task->files, dirfd, len, flags, ret_at);
}

int at_name_copy(const struct op_ctx *ctx, int dirfd, const char *name, unsigned flags,
		 struct at_name *ret_at)
{
	size_t len = strlen(name);

	*ret_at = (struct at_name){path_buf_get(), NULL, NULL};
	if (!ret_at->name)
		return -ENOMEM;
	memcpy(ret_at->name, name, len + 1);
	return at_name_finish(ctx->files, dirfd, (ssize_t)len, flags, ret_at);
}

void at_name_put(struct at_name *at)
{
	path_buf_put(at->name);
	file_put(at->dir);
}

unsigned at_lookup_flags(int at_flags, bool follow)
{
	unsigned lookup = 0;

	if (at_flags & AT_SYMLINK_FOLLOW)
		follow = true;
	if (at_flags & AT_SYMLINK_NOFOLLOW)
		follow = false;
	if (follow)
		lookup |= LOOKUP_FOLLOW;
	if (at_flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	if (at_flags & AT_NO_AUTOMOUNT)
		lookup |= LOOKUP_NO_AUTOMOUNT;
	return lookup;
}

int64_t at_name_do(const struct op_ctx *ctx, struct at_name *at, unsigned lookup, path_op op,
		   void *arg)
{
	struct path path;
	int64_t result;

	if (!at->name[0] && at->dir)
		return op(ctx, at->base, arg);
	for (;;) {
		result = path_lookup(ctx, at->base, at->name, lookup, &path);
		if (!result) {
			result = op(ctx, &path, arg);
			path_put(&path);
		}
		if (result != -ESTALE || (lookup & LOOKUP_REVAL))
			return result;
		lookup |= LOOKUP_REVAL;
	}
}

int64_t at_path_do(struct task *task, const struct op_ctx *ctx, int dirfd, gva_t name_gva,
		   unsigned lookup, path_op op, void *arg)
{
	unsigned name_flags = (lookup & LOOKUP_EMPTY) ? AT_NAME_EMPTY : 0;
	struct at_name at;
	int64_t result;

	if ((lookup & LOOKUP_EMPTY) && (lookup & LOOKUP_NULL_EMPTY))
		name_flags |= AT_NAME_NULL;
	result = at_name_get(task, dirfd, name_gva, name_flags, &at);
	if (result)
		return result;
	result = at_name_do(ctx, &at, lookup & ~LOOKUP_NULL_EMPTY, op, arg);
	at_name_put(&at);
	return result;
}

int64_t fd_path_do(struct task *task, int fd, bool raw, path_op op, void *arg)
{
	struct file *file = raw ? task_file_raw(task, fd) : task_file(task, fd);
	int64_t result;

	if (!file)
		return -EBADF;
	result = op(task_ctx(task), &file->path, arg);
	file_put(file);
	return result;
}

int copy_timespec_from_guest(struct task *task, gva_t ts_gva, struct timespec *ret_ts)
{
	struct timespec ts;

	if (copy_from_guest(task, &ts, ts_gva, sizeof(ts)))
		return -EFAULT;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= 1000000000)
		return -EINVAL;
	*ret_ts = ts;
	return 0;
}

int copy_timeval_from_guest(struct task *task, gva_t tv_gva, struct timespec *ret_ts)
{
	struct timeval tv;

	if (copy_from_guest(task, &tv, tv_gva, sizeof(tv)))
		return -EFAULT;
	if (tv.tv_sec < 0 || tv.tv_usec < 0)
		return -EINVAL;
	/* select(2) accepts more than a second of microseconds (cf. kern_select()). */
	if (tv.tv_sec > INT64_MAX - tv.tv_usec / 1000000)
		return -EINVAL;
	ret_ts->tv_sec = tv.tv_sec + tv.tv_usec / 1000000;
	ret_ts->tv_nsec = tv.tv_usec % 1000000 * 1000;
	return 0;
}

int64_t deadline_after(const struct timespec *ts)
{
	int64_t now, ns;

	if (!ts->tv_sec && !ts->tv_nsec)
		return -1;
	now = clock_monotonic_ns();
	if (__builtin_mul_overflow((int64_t)ts->tv_sec, 1000000000, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts->tv_nsec, &ns) ||
	    __builtin_add_overflow(ns, now, &ns))
		return INT64_MAX;
	return ns;
}

static int check_zero_tail(struct task *task, gva_t tail_gva, uint64_t len)
{
	unsigned char buf[256];
	size_t i, part;

	for (; len; len -= part, tail_gva += part) {
		part = len < sizeof(buf) ? (size_t)len : sizeof(buf);
		if (copy_from_guest(task, buf, tail_gva, part))
			return -EFAULT;
		for (i = 0; i < part; i++)
			if (buf[i])
				return -E2BIG;
	}
	return 0;
}

int copy_struct_from_guest(struct task *task, void *dst, size_t size, size_t min, gva_t src_gva,
			   uint64_t usize)
{
	int err;

	if (usize < min)
		return -EINVAL;
	if (usize > 4096)
		return -E2BIG;
	memset(dst, 0, size);
	if (usize > size) {
		err = check_zero_tail(task, src_gva + size, usize - size);
		if (err)
			return err;
	}
	return copy_from_guest(task, dst, src_gva, usize < size ? (size_t)usize : size);
}

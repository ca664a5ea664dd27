/*
 * Copying arguments in and results out. A handler copies each piece of guest memory once and
 * uses only the copy.
 */
#ifndef FB_SYSCALLS_ARGS_H
#define FB_SYSCALLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "sentry/task.h"
#include "sentry/usermem.h"
#include "vfs/ctx.h"
#include "vfs/namei.h"

struct file;

/* Room for a path with its NUL, from a pool. NULL when out of memory. */
char *path_buf_get(void);
void path_buf_put(char *buf); /* accepts NULL */

enum {
	AT_NAME_EMPTY = 1, /* "" is legal and names the directory itself (AT_EMPTY_PATH) */
	AT_NAME_NULL = 2,  /* so is a null pointer (statx(2) since Linux 6.11) */
	AT_NAME_BASE = 4,  /* dirfd matters even to an absolute name (openat2(2) RESOLVE_IN_ROOT) */
};

/* The (dirfd, name) pair of an *at call. */
struct at_name {
	char *name;		 /* owned, from the pool */
	struct file *dir;	 /* counted; NULL: name is absolute, or relative to the cwd */
	const struct path *base; /* what the VFS wants as base: dir's place or NULL */
};

/* 0, -EFAULT, -ENAMETOOLONG, -ENOENT (empty), -EBADF, -ENOTDIR. Undone by at_name_put(). */
int at_name_get(struct task *task, int dirfd, gva_t name_gva, unsigned flags,
		struct at_name *ret_at);
/* The same for a name that is ours, shorter than PATH_MAX, on behalf of ctx. */
int at_name_copy(const struct op_ctx *ctx, int dirfd, const char *name, unsigned flags,
		 struct at_name *ret_at);
void at_name_put(struct at_name *at);

/* LOOKUP_* for the AT_* flags of a call; `follow` is what it does without any. */
unsigned at_lookup_flags(int at_flags, bool follow);

/*
 * Finds the place that (dirfd, name) names and runs op on it; once more from scratch when a cached
 * entry turns out stale (ESTALE, cf. retry_estale()). With LOOKUP_EMPTY an empty name is the
 * descriptor itself, of any kind.
 */
#define LOOKUP_NULL_EMPTY (1u << 31) /* with LOOKUP_EMPTY: a null pointer is "" too (statx(2)) */
typedef int64_t (*path_op)(const struct op_ctx *ctx, const struct path *path, void *arg);
int64_t at_path_do(struct task *task, const struct op_ctx *ctx, int dirfd, gva_t name_gva,
		   unsigned lookup, path_op op, void *arg);
/* The same once the name is there. */
int64_t at_name_do(const struct op_ctx *ctx, struct at_name *at, unsigned lookup, path_op op,
		   void *arg);
/* The same for an open descriptor; -EBADF for an O_PATH one unless `raw`. */
int64_t fd_path_do(struct task *task, int fd, bool raw, path_op op, void *arg);

/* The file behind a guest descriptor, with a reference; NULL: -EBADF. _raw takes O_PATH too. */
struct file *task_file(struct task *task, int fd);
struct file *task_file_raw(struct task *task, int fd);
/* Lowest free number for `file` (takes the reference, also on failure). */
int task_install(struct task *task, struct file *file, bool cloexec);
bool task_capable(struct task *task, int cap);

/* A timespec; -EFAULT, or -EINVAL when out of range. */
int copy_timespec_from_guest(struct task *task, gva_t ts_gva, struct timespec *ret_ts);
/* A timeval as timespec, checked the same way. */
int copy_timeval_from_guest(struct task *task, gva_t tv_gva, struct timespec *ret_ts);
/* Absolute monotonic deadline for a relative time, saturated; < 0: time is zero, do not wait. */
int64_t deadline_after(const struct timespec *ts);

/*
 * A struct that grows from version to version (copy_struct_from_user()): `usize` bytes of the
 * guest's, `min` of which every version has. Unknown tails must be zero, else -E2BIG.
 */
int copy_struct_from_guest(struct task *task, void *dst, size_t size, size_t min, gva_t src_gva,
			   uint64_t usize);

#endif

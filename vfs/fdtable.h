/* Guest descriptor -> open file; the guest's numbers are ours alone (`fd`, never `hostfd`). */
#ifndef FB_VFS_FDTABLE_H
#define FB_VFS_FDTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"

struct file;
struct op_ctx;

#define FDTABLE_MAX (1 << 20) /* fs.nr_open's default: the most numbers a table has */

/* Value of `planted`: some host file stands there, but not that of any open file of ours. */
#define FD_PLANTED_STALE ((const void *)1)

struct fd_slot {
	struct file *file;	/* counted; NULL = free or reserved */
	bool cloexec;
	bool reserved;		/* fdtable_reserve() was here, fill or cancel is due */
	/*
	 * The file whose host pages stand at this number in the guest; not counted, so it becomes
	 * FD_PLANTED_STALE when that file leaves the number without a native close. NULL = none.
	 */
	const void *planted;
};

struct fdtable {
	struct ref ref;
	struct fb_mutex lock;	/* RANK_FDTABLE: guards the rest */
	struct fd_slot *slots;
	uint64_t *used;		/* bitmap of numbers that are not free, nr_slots bits */
	int nr_slots;		/* allocated; a multiple of 64 */
	int next_free;		/* no free number is below */
	int nr_open;
};

/*
 * Numbers first .. first+nr-1 are never handed out, in no table: the sentry keeps host descriptors
 * of its own there in every guest. Called once, before the first table is made.
 */
void fdtable_set_hole(int first, int nr);

struct fdtable *fdtable_new(void);
struct fdtable *fdtable_copy(struct fdtable *table); /* fork; planted marks are copied too */
struct fdtable *fdtable_get(struct fdtable *table);
/* The last put closes everything (op->flush, then file_put) on behalf of ctx; may sleep. */
void fdtable_put(const struct op_ctx *ctx, struct fdtable *table);

/* The file behind fd with a reference, or NULL. Refuses O_PATH files (fget); _raw takes them. */
struct file *fdtable_file(struct fdtable *table, int fd);
struct file *fdtable_file_raw(struct fdtable *table, int fd);
/*
 * Lowest free number >= min, below limit (RLIMIT_NOFILE). Takes the file reference on success.
 * Returns the number, or -EMFILE / -EINVAL (min >= limit, as F_DUPFD).
 */
int fdtable_install(struct fdtable *table, struct file *file, int min, uint64_t limit,
		    bool cloexec);
/* Number reserved for two-step calls (socketpair, SCM_RIGHTS); then fill or cancel. */
int fdtable_reserve(struct fdtable *table, int min, uint64_t limit, bool cloexec);
void fdtable_fill(struct fdtable *table, int fd, struct file *file); /* takes the reference */
void fdtable_cancel(struct fdtable *table, int fd);
/* dup2/dup3: what stood there is closed (flush). Returns newfd or -EBADF, -EMFILE -> -EBADF. */
int fdtable_replace(const struct op_ctx *ctx, struct fdtable *table, int newfd, struct file *file,
		    bool cloexec, uint64_t limit);
/* close(2): result of flush. *ret_planted (may be NULL): a host file stands at that number. */
int fdtable_close(const struct op_ctx *ctx, struct fdtable *table, int fd, bool *ret_planted);
int fdtable_close_range(const struct op_ctx *ctx, struct fdtable *table, unsigned first,
			unsigned last, unsigned flags); /* CLOSE_RANGE_CLOEXEC */
/* exec. */
void fdtable_close_on_exec(const struct op_ctx *ctx, struct fdtable *table);
int fdtable_get_cloexec(struct fdtable *table, int fd); /* 0, 1 or -EBADF */
int fdtable_set_cloexec(struct fdtable *table, int fd, bool cloexec);
/* Which file's host pages stand at fd in the guest; NULL = none or no such descriptor. */
const void *fdtable_planted(struct fdtable *table, int fd);
/* Notes it, but only while `file` still is what fd means. */
void fdtable_set_planted(struct fdtable *table, int fd, const struct file *file);
/* exec: the host has closed all that was planted. */
void fdtable_forget_planted(struct fdtable *table);
/* Next used number >= fd, or -1; for /proc/PID/fd. */
int fdtable_next(struct fdtable *table, int fd);

#endif

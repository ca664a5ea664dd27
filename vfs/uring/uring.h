/*
 * io_uring(7): a file whose two queues lie in memory that the guest maps.
 *
 * The guest writes what it likes into that memory at any time: each index and each entry is read
 * once, checked, and only the copy is used. Nothing that the sentry must remember is kept there.
 *
 * A request that cannot be done at once waits in one of four ways, none of which holds the
 * submitter: for a file's wait queues, for a timer, for a driver that has kept it (uring_cmd.h), or
 * on a fiber of its own where the call may block. Each ring has one service fiber that is woken by
 * all of these and completes what is done. Completions are always posted at once, so rings with
 * IORING_SETUP_COOP_TASKRUN or _DEFER_TASKRUN have theirs earlier than they need.
 *
 * Who holds a reference of a ring: its file, each request, the service fiber, the workers.
 */
#ifndef FB_VFS_URING_H
#define FB_VFS_URING_H

#include <stdbool.h>
#include <stdint.h>

#include "vfs/uring/abi.h"

struct file;
struct op_ctx;
struct open_how;
struct uring_task;

/* What the layers above can do for a ring; set once, before the first ring. */
struct uring_hooks {
	/* Runs fn(arg), which may sleep, on a fiber of its own. */
	void (*spawn)(void (*fn)(void *), void *arg);
	/* openat2(2) into ctx's descriptor table. The descriptor or -errno. NULL: -EINVAL */
	int (*openat)(const struct op_ctx *ctx, int dirfd, const char *name,
		      const struct open_how *how);
	/* statx(2), the result written to the guest. NULL: -EINVAL */
	int (*statx)(const struct op_ctx *ctx, int dirfd, const char *name, unsigned flags,
		     unsigned mask, uint64_t statx_gva);
};
void uring_set_hooks(const struct uring_hooks *hooks);

/*
 * io_uring_setup(2). *params is checked and filled; the offsets in it are those for mmap(2) at
 * IORING_OFF_*. -EINVAL, -ENOMEM (also when the sandbox has too many rings), -EMFILE.
 */
int uring_new(const struct op_ctx *ctx, struct uring_task *task, unsigned entries,
	      struct io_uring_params *params, struct file **ret_file);
bool uring_is(const struct file *file);

/*
 * What one thread of a guest has under way, in all rings. A thread that ends, or executes another
 * program, calls uring_task_cancel(): on return nothing is left that would look at its memory. If
 * it `ends`, timers and waits for files stay in their rings, as they do in Linux.
 */
struct uring_task *uring_task_new(void);		    /* NULL: out of memory */
void uring_task_cancel(struct uring_task *task, bool ends); /* accepts NULL; sleeps */
void uring_task_free(struct uring_task *task);		    /* accepts NULL; cancel it first */

/*
 * The two halves of io_uring_enter(2) for a file that is a ring.
 *
 * submit: takes up to `nr` entries on behalf of task and ctx. Returns how many were taken, or
 * -EEXIST, -EBADFD, -EAGAIN, -ERESTARTSYS (killed).
 * wait: until `min` completions are there. 0; -ETIME, -EINTR, only if there is none; -EBADR: some
 * were lost. deadline_ns as in base/wait.h, < 0: do not wait.
 */
int uring_submit(const struct op_ctx *ctx, struct uring_task *task, struct file *file, unsigned nr);
int uring_wait(struct file *file, unsigned min, int64_t deadline_ns);
/*
 * May this task submit (or else wait for completions)? 0, -EBADFD (not enabled yet), -EEXIST
 * (another is the single issuer).
 */
int uring_check_task(struct file *file, const struct uring_task *task, bool submit);

/* io_uring_register(2), the ring's file found. */
int uring_register(const struct op_ctx *ctx, struct uring_task *task, struct file *file,
		   unsigned opcode, uint64_t arg_gva, unsigned nr_args);

/* For /proc and tests: how many rings there are. */
unsigned uring_count(void);

#endif

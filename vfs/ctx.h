/*
 * struct op_ctx: on whose behalf a VFS call runs. Built by syscalls/ from the task for each call,
 * by unit tests by hand. The VFS keeps no pointer to it after the call returns.
 */
#ifndef FB_VFS_CTX_H
#define FB_VFS_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/wait.h"

struct cred;
struct fdtable;
struct fs_struct;
struct io_iter;
struct iovec;
struct op_ctx;

/* What the VFS may ask of the caller's task. NULL members and a NULL table do nothing. */
struct op_ctx_ops {
	/* SIGPIPE, SIGXFSZ, SIGTTIN, ...: raise it for the calling thread. */
	void (*signal)(const struct op_ctx *ctx, int signo);
	/* The same for a process group (guest pgid); 0 or -errno. Used by terminals. */
	int (*signal_pgrp)(const struct op_ctx *ctx, pid_t pgid, int signo);
	/* Session and process group of the caller, as guest ids. */
	pid_t (*sid)(const struct op_ctx *ctx);
	pid_t (*pgid)(const struct op_ctx *ctx);
	/* An iterator over the task's memory; see ctx_iter_init(). */
	void (*iter_init)(const struct op_ctx *ctx, struct io_iter *iter, const struct iovec *segs,
			  size_t nr_segs, size_t count);
};

struct op_ctx {
	const struct cred *cred; /* borrowed */
	struct fs_struct *fs;	 /* borrowed: root, cwd, umask, mount namespace */
	struct fdtable *files;	 /* borrowed; its address identifies a POSIX lock owner */
	pid_t tid, tgid;	 /* as the guest sees them */
	uint64_t fsize_limit;	 /* RLIMIT_FSIZE in bytes; UINT64_MAX = none */
	const struct op_ctx_ops *ops;
	void *task; /* for ops; opaque here */
};

/*
 * An iterator over the memory of the caller's task: iov_base is an address there. `segs` is
 * borrowed, its ranges are checked when bytes move. Without a table (unit tests) the addresses are
 * our own.
 */
void ctx_iter_init(const struct op_ctx *ctx, struct io_iter *iter, const struct iovec *segs,
		   size_t nr_segs, size_t count);

#endif

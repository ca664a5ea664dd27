/*
 * struct op_ctx: on whose behalf a VFS call runs. Built by syscalls/ from the task for each call,
 * by unit tests by hand. The VFS keeps no pointer to it after the call returns.
 */
#ifndef FB_VFS_CTX_H
#define FB_VFS_CTX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/wait.h"

struct cred;
struct fdtable;
struct fs_struct;
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

#endif

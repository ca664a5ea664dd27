/*
 * What the VFS asks about tasks when no op_ctx of theirs is at hand: terminals signal process
 * groups and sessions whose members are somebody else's. All ids are the guest's.
 */
#ifndef FB_VFS_TASKS_H
#define FB_VFS_TASKS_H

#include <stdbool.h>
#include <sys/types.h>

struct op_ctx;

/* None of these sleeps; they may take RANK_TASKS and later. */
struct vfs_task_ops {
	int (*signal_pgrp)(pid_t pgid, int signo);   /* 0, -ESRCH, -EPERM */
	int (*signal_process)(pid_t pid, int signo); /* 0, -ESRCH, -EPERM */
	pid_t (*getpgid)(pid_t pid);		     /* 0: no such process */
	pid_t (*getsid)(pid_t pid);		     /* 0: no such process */
	pid_t (*pgrp_session)(pid_t pgid);	     /* 0: the group has no member */
	/* No member has a parent in another group of the same session (setpgid(2)). */
	bool (*pgrp_orphaned)(pid_t pgid);
	void (*comm)(pid_t pid, char ret_comm[16]); /* its name; "?" when it is gone */
	/* Would the signal have no effect on the calling thread? */
	bool (*signal_ignored_or_blocked)(const struct op_ctx *ctx, int signo);
};

/* Set once by the sentry, borrowed. Members may be NULL: then nobody is there, nothing blocked. */
void vfs_set_task_ops(const struct vfs_task_ops *ops);

/* The members with their defaults. */
int vfs_signal_pgrp(pid_t pgid, int signo);
int vfs_signal_process(pid_t pid, int signo);
pid_t vfs_pgrp_session(pid_t pgid);
void vfs_task_comm(pid_t pid, char ret_comm[16]);
bool vfs_pgrp_orphaned(pid_t pgid);
bool vfs_signal_ignored(const struct op_ctx *ctx, int signo);
/* Session and process group of the caller: from ctx->ops, else by its tgid. 0: none. */
pid_t ctx_sid(const struct op_ctx *ctx);
pid_t ctx_pgid(const struct op_ctx *ctx);

#endif

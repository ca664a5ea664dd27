/* The table of vfs/tasks.h and its defaults. */
#include "vfs/tasks.h"

#include <string.h>

#include "sentry/base/err.h"
#include "vfs/ctx.h"

static const struct vfs_task_ops no_tasks;
static const struct vfs_task_ops *task_ops = &no_tasks;

void vfs_set_task_ops(const struct vfs_task_ops *ops)
{
	task_ops = ops ? ops : &no_tasks;
}

int vfs_signal_pgrp(pid_t pgid, int signo)
{
	return task_ops->signal_pgrp ? task_ops->signal_pgrp(pgid, signo) : -ESRCH;
}

int vfs_signal_process(pid_t pid, int signo)
{
	return task_ops->signal_process ? task_ops->signal_process(pid, signo) : -ESRCH;
}

pid_t vfs_pgrp_session(pid_t pgid)
{
	return task_ops->pgrp_session ? task_ops->pgrp_session(pgid) : 0;
}

void vfs_task_comm(pid_t pid, char ret_comm[16])
{
	memcpy(ret_comm, "?", 2);
	if (task_ops->comm)
		task_ops->comm(pid, ret_comm);
}

bool vfs_pgrp_orphaned(pid_t pgid)
{
	return task_ops->pgrp_orphaned && task_ops->pgrp_orphaned(pgid);
}

bool vfs_signal_ignored(const struct op_ctx *ctx, int signo)
{
	return task_ops->signal_ignored_or_blocked &&
	       task_ops->signal_ignored_or_blocked(ctx, signo);
}

pid_t ctx_sid(const struct op_ctx *ctx)
{
	if (ctx->ops && ctx->ops->sid)
		return ctx->ops->sid(ctx);
	return task_ops->getsid && ctx->tgid ? task_ops->getsid(ctx->tgid) : 0;
}

pid_t ctx_pgid(const struct op_ctx *ctx)
{
	if (ctx->ops && ctx->ops->pgid)
		return ctx->ops->pgid(ctx);
	return task_ops->getpgid && ctx->tgid ? task_ops->getpgid(ctx->tgid) : 0;
}

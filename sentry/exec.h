/*
 * execve(2): everything is resolved and checked through the VFS first; then the task re-runs its
 * own syscall instruction as execveat of our loader, which asks for the plan and maps program and
 * interpreter natively.
 *
 * Order: exec_prepare (fiber, may sleep) -> CALL_EXEC -> exec_rewrite (tracer, at the stop) ->
 * exec event -> exec_commit (fiber) -> the loader's FB_SYSCALL_PLAN -> exec_plan (fiber).
 */
#ifndef FB_EXEC_H
#define FB_EXEC_H

#include <stdint.h>
#include <sys/user.h>

#include "sentry/base/types.h"

struct file;
struct op_ctx;
struct path;
struct task;

/*
 * base/name/flags as of execveat(2). Resolves `#!` chains, checks permissions, set-id bits,
 * formats. On success stores task->exec and returns CALL_EXEC; else -errno.
 */
int64_t exec_prepare(struct task *task, const struct path *base, const char *name, int flags,
		     gva_t name_gva, gva_t argv_gva, gva_t envp_gva);
/* regs of the stop in which the call was interrupted (rip after the syscall instruction). */
void exec_rewrite(struct task *task, struct user_regs_struct *regs);
/* Point of no return has passed: close-on-exec, new credentials, comm, exe. May sleep. */
void exec_commit(struct task *task);
/* FB_SYSCALL_PLAN: writes the plan into the guest and plants program and interpreter. */
int64_t exec_plan(struct task *task, gva_t plan_gva);
void exec_state_free(struct task *task);

/*
 * The host may have mounted noexec what the guest may execute. Replaces *hostfd, which carries the
 * pages of `file`, by a copy when that is so. 0 or -errno.
 */
int exec_make_mappable(const struct op_ctx *ctx, struct file *file, int *hostfd);
/* A memfd whose pages may be executed, also where vm.memfd_noexec (since Linux 6.3) makes a difference. */
int memfd_exec(const char *name);
/* Makes the sealed memfd of the loader; the host descriptor to be inherited by the first guest. */
int loader_memfd(void);

#endif

/* Processes: clone, unshare, waitid, personality. The host does the work, we say what it may. */
#include <linux/sched.h>
#include <sys/personality.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/mount_ns.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/fs_struct.h"

#include <linux/capability.h>

#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/*
 * The filter lets harmless flags through; what arrives here is decided on the register alone.
 * Everything a child shares or copies is known to the sentry from the clone event.
 */
int64_t sys_clone(struct task *task, const uint64_t *args)
{
	uint64_t flags = args[0];
	int err;

	/* A root or cwd shared across user or mount namespaces (cf. copy_process()). */
	if ((flags & CLONE_FS) && (flags & (CLONE_NEWNS | CLONE_NEWUSER)))
		return -EINVAL;
	if (flags & ((NEW_NAMESPACES & ~(uint64_t)CLONE_NEWNS) | CLONE_PTRACE | CLONE_UNTRACED))
		return -EPERM;
	if (flags & (CLONE_PIDFD | CLONE_IO))
		return -EINVAL;
	if ((flags & CLONE_NEWNS) && !task_capable(task, CAP_SYS_ADMIN))
		return -EPERM;
	err = task_reserve_child(task);
	if (err)
		return err;
	if (!(flags & CLONE_NEWNS))
		return CALL_NATIVE;
	/* The namespace is ours: the host makes a plain child, which gets it in the clone event. */
	task->child_new_mounts = true;
	task->call.args[0] = flags & ~(uint64_t)CLONE_NEWNS;
	return CALL_REWRITE;
}

/* Trapped only where births are counted: see run_config.max_processes. */
int64_t sys_fork(struct task *task, const uint64_t *args)
{
	int err = task_reserve_child(task);

	(void)args;
	return err ? err : CALL_NATIVE;
}

static int unshare_fs(struct task *task)
{
	struct fs_struct *fs = fs_struct_copy(task->fs);

	if (!fs)
		return -ENOMEM;
	task_set_fs(task, fs);
	return 0;
}

static int unshare_files(struct task *task)
{
	struct fdtable *files = fdtable_copy(task->files);

	if (!files)
		return -ENOMEM;
	task_set_files(task, files);
	return 0;
}

int64_t sys_unshare(struct task *task, const uint64_t *args)
{
	const uint64_t threads = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
	const uint64_t valid =
		threads | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | NEW_NAMESPACES | CLONE_NEWTIME;
	uint64_t flags = args[0];
	int err = 0;

	if (flags & ~valid)
		return -EINVAL;
	if (flags & (NEW_NAMESPACES | CLONE_NEWTIME) & ~(uint64_t)CLONE_NEWNS)
		return -EPERM;
	/* Nothing to do for a single thread, impossible for more (unshare(2)). */
	if ((flags & threads) && process_threads(task->process, NULL, 0) > 1)
		return -EINVAL;
	if (flags & CLONE_NEWNS)
		err = unshare_mounts(task); /* implies CLONE_FS */
	else if (flags & CLONE_FS)
		err = unshare_fs(task);
	if (!err && (flags & CLONE_FILES))
		err = unshare_files(task);
	return err;
}

/* A pidfd is ours and not the host's; programs fall back as on kernels before 5.4. */
int64_t sys_waitid(struct task *task, const uint64_t *args)
{
	const int type_pidfd = 3; /* P_PIDFD */

	(void)task;
	return (int)args[0] == type_pidfd ? -EINVAL : CALL_NATIVE;
}

int64_t sys_personality(struct task *task, const uint64_t *args)
{
	unsigned persona = (unsigned)args[0];

	(void)task;
	return persona == 0xffffffffu || persona == PER_LINUX ? CALL_NATIVE : -EINVAL;
}

int64_t sys_get_robust_list(struct task *task, const uint64_t *args)
{
	int pid = (int)args[0];

	return !pid || pid == task_guest_tid(task) ? CALL_NATIVE : -EPERM;
}

/*
 * prctl(2): one row per option. What concerns credentials is ours, what concerns the thread alone
 * continues natively, what would weaken the sentry's hold is refused.
 */
#include <linux/prctl.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/caps.h"
#include "syscalls/handlers.h"
#include "vfs/cred.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static int64_t get_dumpable(struct task *task, const uint64_t *args)
{
	int64_t dumpable;

	(void)args;
	fb_mutex_lock(&task->process->lock);
	dumpable = task->process->dumpable;
	fb_mutex_unlock(&task->process->lock);
	return dumpable;
}

/* The host's flag stays as it is: the sentry must be able to read the guest. */
static int64_t set_dumpable(struct task *task, const uint64_t *args)
{
	if (args[1] > 1)
		return -EINVAL;
	fb_mutex_lock(&task->process->lock);
	task->process->dumpable = args[1];
	fb_mutex_unlock(&task->process->lock);
	return 0;
}

static int64_t set_no_new_privs(struct task *task, const uint64_t *args)
{
	if (args[1] != 1 || args[2] || args[3] || args[4])
		return -EINVAL;
	fb_mutex_lock(&task->process->lock);
	task->process->no_new_privs = true;
	fb_mutex_unlock(&task->process->lock);
	return 0;
}

static int64_t get_no_new_privs(struct task *task, const uint64_t *args)
{
	int64_t set;

	if (args[1] || args[2] || args[3] || args[4])
		return -EINVAL;
	fb_mutex_lock(&task->process->lock);
	set = task->process->no_new_privs;
	fb_mutex_unlock(&task->process->lock);
	return set;
}

/* The filter that runs is not the guest's. */
static int64_t get_seccomp(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return 0;
}

static int64_t refuse(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return -EPERM;
}

static int64_t native(struct task *task, const uint64_t *args)
{
	(void)task;
	(void)args;
	return CALL_NATIVE;
}

static const struct prctl_row {
	int option;
	int64_t (*fn)(struct task *task, const uint64_t *args);
} prctl_table[] = {
	{PR_SET_PDEATHSIG, native},
	{PR_GET_PDEATHSIG, native},
	{PR_GET_DUMPABLE, get_dumpable},
	{PR_SET_DUMPABLE, set_dumpable},
	{PR_GET_KEEPCAPS, prctl_caps},
	{PR_SET_KEEPCAPS, prctl_caps},
	{PR_GET_TIMING, native},
	{PR_SET_TIMING, native},
	{PR_SET_NAME, native},
	{PR_GET_NAME, native},
	{PR_GET_SECCOMP, get_seccomp},
	{PR_CAPBSET_READ, prctl_caps},
	{PR_CAPBSET_DROP, prctl_caps},
	{PR_GET_TSC, native},
	{PR_SET_TSC, native},
	{PR_GET_SECUREBITS, prctl_caps},
	{PR_SET_SECUREBITS, prctl_caps},
	{PR_SET_TIMERSLACK, native},
	{PR_GET_TIMERSLACK, native},
	{PR_MCE_KILL, native},
	{PR_MCE_KILL_GET, native},
	{PR_SET_MM, refuse},
	{PR_SET_CHILD_SUBREAPER, native},
	{PR_GET_CHILD_SUBREAPER, native},
	{PR_SET_NO_NEW_PRIVS, set_no_new_privs},
	{PR_GET_NO_NEW_PRIVS, get_no_new_privs},
	{PR_GET_TID_ADDRESS, native},
	{PR_SET_THP_DISABLE, native},
	{PR_GET_THP_DISABLE, native},
	{PR_CAP_AMBIENT, prctl_caps},
	{PR_GET_SPECULATION_CTRL, native},
	{PR_SET_SPECULATION_CTRL, native},
	{PR_SET_IO_FLUSHER, refuse},
	{PR_GET_IO_FLUSHER, refuse},
	{PR_GET_MDWE, native},
	{PR_SET_MEMORY_MERGE, native},
	{PR_GET_MEMORY_MERGE, native},
	{PR_SET_VMA, native},
};

int64_t sys_prctl(struct task *task, const uint64_t *args)
{
	int option = (int)args[0];

	for (size_t i = 0; i < sizeof(prctl_table) / sizeof(prctl_table[0]); i++)
		if (prctl_table[i].option == option)
			return prctl_table[i].fn(task, args);
	return -EINVAL;
}

/*
 * Resource limits. The number of descriptors and the size of files are ours; every other limit is
 * the host's, which enforces it, and continues natively for the caller itself.
 */
#include <linux/capability.h>
#include <sys/resource.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/cred.h"

#define NOFILE_MAX 1048576 /* fs.nr_open */

/* The limit if it is one of ours, else NULL. */
static struct rlimit *own_limit(struct process *process, unsigned resource)
{
	switch (resource) {
	case RLIMIT_NOFILE:
		return &process->nofile;
	case RLIMIT_FSIZE:
		return &process->fsize;
	default:
		return NULL;
	}
}

static int limit_set(struct task *task, struct process *process, unsigned resource,
		     const struct rlimit *new, struct rlimit *ret_old)
{
	struct rlimit *limit = own_limit(process, resource);
	int err = 0;

	fb_mutex_lock(&process->lock);
	*ret_old = *limit;
	if (new) {
		if (new->rlim_cur > new->rlim_max)
			err = -EINVAL;
		else if (resource == RLIMIT_NOFILE && new->rlim_max > NOFILE_MAX)
			err = -EPERM;
		else if (new->rlim_max > limit->rlim_max && !task_capable(task, CAP_SYS_RESOURCE))
			err = -EPERM;
		else
			*limit = *new;
	}
	fb_mutex_unlock(&process->lock);
	return err;
}

static int64_t limit_guest(struct task *task, struct process *process, unsigned resource,
			   gva_t new_gva, gva_t old_gva)
{
	struct rlimit new, old;
	int err;

	if (new_gva && copy_from_guest(task, &new, new_gva, sizeof(new)))
		return -EFAULT;
	err = limit_set(task, process, resource, new_gva ? &new : NULL, &old);
	if (!err && old_gva)
		err = copy_to_guest(task, old_gva, &old, sizeof(old));
	return err;
}

int64_t sys_getrlimit(struct task *task, const uint64_t *args)
{
	unsigned resource = (unsigned)args[0];

	if (!own_limit(task->process, resource))
		return CALL_NATIVE;
	if (!args[1])
		return -EFAULT;
	return limit_guest(task, task->process, resource, 0, args[1]);
}

int64_t sys_setrlimit(struct task *task, const uint64_t *args)
{
	unsigned resource = (unsigned)args[0];

	if (!own_limit(task->process, resource))
		return CALL_NATIVE;
	if (!args[1])
		return -EFAULT;
	return limit_guest(task, task->process, resource, args[1], 0);
}

/* cf. check_prlimit_permission(). */
static bool may_limit(struct task *task, struct process *process)
{
	struct task *target = process_task(process);
	const struct cred *cred = task->cred, *other;
	bool ok;

	if (!target)
		return false;
	other = task_get_cred(target);
	ok = cred_capable(cred, CAP_SYS_RESOURCE) ||
	     (cred->uid == other->euid && cred->uid == other->suid && cred->uid == other->uid &&
	      cred->gid == other->egid && cred->gid == other->sgid && cred->gid == other->gid);
	cred_put(other);
	task_put(target);
	return ok;
}

int64_t sys_prlimit64(struct task *task, const uint64_t *args)
{
	unsigned resource = (unsigned)args[1];
	bool own = own_limit(task->process, resource) != NULL;
	struct process *process;
	int pid = (int)args[0];
	int64_t result;

	if (!pid || pid == process_guest_pid(task->process))
		return own ? limit_guest(task, task->process, resource, args[2], args[3])
			   : CALL_NATIVE;
	process = process_get_by_guest_pid(pid);
	if (!process)
		return -ESRCH;
	if (!may_limit(task, process))
		result = -EPERM;
	else if (own)
		result = limit_guest(task, process, resource, args[2], args[3]);
	else
		result = -EPERM; /* the number could be another process' by the time it ran */
	process_put(process);
	return result;
}

/*
 * Ids: get and set*uid, set*gid, groups. Everything works on our credentials; the host never
 * hears of it. Rules: credentials(7), setresuid(2) and kernel/sys.c, where each call's order of
 * checks is visible to programs.
 */
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/cred.h"
#include "syscalls/handlers.h"
#include "vfs/cred.h"

#define KEEP ((uid_t)-1)

void commit_cred(struct task *task, struct cred *cred)
{
	const struct cred *old = task->cred;
	struct process *process = task->process;

	/* cf. commit_creds(): whoever gained or changed identity is not to be looked into. */
	if (cred->euid != old->euid || cred->egid != old->egid || cred->fsuid != old->fsuid ||
	    cred->fsgid != old->fsgid || (cred->cap_permitted & ~old->cap_permitted)) {
		fb_mutex_lock(&process->lock);
		process->dumpable = false;
		fb_mutex_unlock(&process->lock);
	}
	cred->cap_ambient &= cred->cap_permitted & cred->cap_inheritable;
	task_set_cred(task, cred);
}

/* Capabilities after a change of the user ids (cf. cap_emulate_setxuid()). */
static void fix_caps_setuid(struct cred *cred, const struct cred *old)
{
	bool had_root = !old->uid || !old->euid || !old->suid;
	bool has_root = !cred->uid || !cred->euid || !cred->suid;

	if (cred->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (had_root && !has_root) {
		if (!(cred->securebits & SECBIT_KEEP_CAPS)) {
			cred->cap_permitted = 0;
			cred->cap_effective = 0;
		}
		cred->cap_ambient = 0;
	}
	if (!old->euid && cred->euid)
		cred->cap_effective = 0;
	if (old->euid && !cred->euid)
		cred->cap_effective = cred->cap_permitted;
}

/* Only the file system capabilities follow the fsuid. */
static void fix_caps_setfsuid(struct cred *cred, const struct cred *old)
{
	const uint64_t fs_caps = 1ULL << CAP_CHOWN | 1ULL << CAP_MKNOD | 1ULL << CAP_DAC_OVERRIDE |
				 1ULL << CAP_DAC_READ_SEARCH | 1ULL << CAP_FOWNER |
				 1ULL << CAP_FSETID | 1ULL << CAP_LINUX_IMMUTABLE |
				 1ULL << CAP_MAC_OVERRIDE;

	if (cred->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (!old->fsuid && cred->fsuid)
		cred->cap_effective &= ~fs_caps;
	if (old->fsuid && !cred->fsuid)
		cred->cap_effective |= fs_caps & cred->cap_permitted;
}

int64_t sys_getuid(struct task *task, const uint64_t *args)
{
	(void)args;
	return task->cred->uid;
}

int64_t sys_geteuid(struct task *task, const uint64_t *args)
{
	(void)args;
	return task->cred->euid;
}

int64_t sys_getgid(struct task *task, const uint64_t *args)
{
	(void)args;
	return task->cred->gid;
}

int64_t sys_getegid(struct task *task, const uint64_t *args)
{
	(void)args;
	return task->cred->egid;
}

static int64_t three_ids_out(struct task *task, const uint64_t *args, const uint32_t *ids)
{
	for (int i = 0; i < 3; i++)
		if (copy_to_guest(task, args[i], &ids[i], sizeof(ids[i])))
			return -EFAULT;
	return 0;
}

int64_t sys_getresuid(struct task *task, const uint64_t *args)
{
	const struct cred *cred = task->cred;

	return three_ids_out(task, args, (uint32_t[]){cred->uid, cred->euid, cred->suid});
}

int64_t sys_getresgid(struct task *task, const uint64_t *args)
{
	const struct cred *cred = task->cred;

	return three_ids_out(task, args, (uint32_t[]){cred->gid, cred->egid, cred->sgid});
}

int64_t sys_setuid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	uid_t uid = (uid_t)args[0];
	struct cred *cred;

	if (uid == KEEP)
		return -EINVAL;
	if (!task_capable(task, CAP_SETUID) && uid != old->uid && uid != old->suid)
		return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (task_capable(task, CAP_SETUID))
		cred->uid = cred->suid = uid;
	cred->euid = cred->fsuid = uid;
	fix_caps_setuid(cred, old);
	commit_cred(task, cred);
	return 0;
}

int64_t sys_setreuid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	uid_t ruid = (uid_t)args[0], euid = (uid_t)args[1];
	bool capable = task_capable(task, CAP_SETUID);
	struct cred *cred;

	if (ruid != KEEP && ruid != old->uid && ruid != old->euid && !capable)
		return -EPERM;
	if (euid != KEEP && euid != old->uid && euid != old->euid && euid != old->suid && !capable)
		return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (ruid != KEEP)
		cred->uid = ruid;
	if (euid != KEEP)
		cred->euid = euid;
	if (ruid != KEEP || (euid != KEEP && euid != old->uid))
		cred->suid = cred->euid;
	cred->fsuid = cred->euid;
	fix_caps_setuid(cred, old);
	commit_cred(task, cred);
	return 0;
}

int64_t sys_setresuid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	const uid_t ids[3] = {(uid_t)args[0], (uid_t)args[1], (uid_t)args[2]};
	struct cred *cred;

	for (int i = 0; i < 3; i++)
		if (ids[i] != KEEP && ids[i] != old->uid && ids[i] != old->euid &&
		    ids[i] != old->suid && !task_capable(task, CAP_SETUID))
			return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (ids[0] != KEEP)
		cred->uid = ids[0];
	if (ids[1] != KEEP)
		cred->euid = ids[1];
	if (ids[2] != KEEP)
		cred->suid = ids[2];
	cred->fsuid = cred->euid;
	fix_caps_setuid(cred, old);
	commit_cred(task, cred);
	return 0;
}

int64_t sys_setgid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	gid_t gid = (gid_t)args[0];
	bool capable = task_capable(task, CAP_SETGID);
	struct cred *cred;

	if (gid == KEEP)
		return -EINVAL;
	if (!capable && gid != old->gid && gid != old->sgid)
		return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (capable)
		cred->gid = cred->sgid = gid;
	cred->egid = cred->fsgid = gid;
	commit_cred(task, cred);
	return 0;
}

int64_t sys_setregid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	gid_t rgid = (gid_t)args[0], egid = (gid_t)args[1];
	bool capable = task_capable(task, CAP_SETGID);
	struct cred *cred;

	if (rgid != KEEP && rgid != old->gid && rgid != old->egid && !capable)
		return -EPERM;
	if (egid != KEEP && egid != old->gid && egid != old->egid && egid != old->sgid && !capable)
		return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (rgid != KEEP)
		cred->gid = rgid;
	if (egid != KEEP)
		cred->egid = egid;
	if (rgid != KEEP || (egid != KEEP && egid != old->gid))
		cred->sgid = cred->egid;
	cred->fsgid = cred->egid;
	commit_cred(task, cred);
	return 0;
}

int64_t sys_setresgid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	const gid_t ids[3] = {(gid_t)args[0], (gid_t)args[1], (gid_t)args[2]};
	struct cred *cred;

	for (int i = 0; i < 3; i++)
		if (ids[i] != KEEP && ids[i] != old->gid && ids[i] != old->egid &&
		    ids[i] != old->sgid && !task_capable(task, CAP_SETGID))
			return -EPERM;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	if (ids[0] != KEEP)
		cred->gid = ids[0];
	if (ids[1] != KEEP)
		cred->egid = ids[1];
	if (ids[2] != KEEP)
		cred->sgid = ids[2];
	cred->fsgid = cred->egid;
	commit_cred(task, cred);
	return 0;
}

/* setfsuid(2) returns the old id and no error, also when it did nothing. */
int64_t sys_setfsuid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	uid_t uid = (uid_t)args[0], before = old->fsuid;
	struct cred *cred;

	if (uid == KEEP || uid == before)
		return before;
	if (uid != old->uid && uid != old->euid && uid != old->suid &&
	    !task_capable(task, CAP_SETUID))
		return before;
	cred = cred_dup(old);
	if (!cred)
		return before;
	cred->fsuid = uid;
	fix_caps_setfsuid(cred, old);
	commit_cred(task, cred);
	return before;
}

int64_t sys_setfsgid(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	gid_t gid = (gid_t)args[0], before = old->fsgid;
	struct cred *cred;

	if (gid == KEEP || gid == before)
		return before;
	if (gid != old->gid && gid != old->egid && gid != old->sgid &&
	    !task_capable(task, CAP_SETGID))
		return before;
	cred = cred_dup(old);
	if (!cred)
		return before;
	cred->fsgid = gid;
	commit_cred(task, cred);
	return before;
}

int64_t sys_getgroups(struct task *task, const uint64_t *args)
{
	const struct cred *cred = task->cred;
	int size = (int)args[0];

	if (size < 0)
		return -EINVAL;
	if (!size)
		return (int64_t)cred->nr_groups;
	if (cred->nr_groups > (size_t)size)
		return -EINVAL;
	if (copy_to_guest(task, args[1], cred->groups, cred->nr_groups * sizeof(gid_t)))
		return -EFAULT;
	return (int64_t)cred->nr_groups;
}

int64_t sys_setgroups(struct task *task, const uint64_t *args)
{
	cleanup_free gid_t *groups = NULL;
	int size = (int)args[0], err;
	struct cred *cred;

	if (!task_capable(task, CAP_SETGID))
		return -EPERM;
	if (size < 0 || size > CRED_GROUPS_MAX)
		return -EINVAL;
	groups = malloc((size_t)size * sizeof(*groups) + 1);
	if (!groups)
		return -ENOMEM;
	if (copy_from_guest(task, groups, args[1], (size_t)size * sizeof(*groups)))
		return -EFAULT;
	cred = cred_dup(task->cred);
	if (!cred)
		return -ENOMEM;
	err = cred_set_groups(cred, groups, (size_t)size);
	if (err) {
		cred_put(cred);
		return err;
	}
	commit_cred(task, cred);
	return 0;
}

/* Capabilities: capget(2), capset(2) and the part of prctl(2) that is about them. */
#include "syscalls/caps.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/cred.h"
#include "syscalls/handlers.h"
#include "vfs/cred.h"

#define CAP_ALL ((1ULL << (CAP_LAST_CAP + 1)) - 1)

struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_data {
	uint32_t effective, permitted, inheritable;
};

/* How many struct cap_data follow; unknown versions learn the newest one. */
static int cap_version(struct task *task, gva_t header_gva, struct cap_header *ret_header)
{
	uint32_t newest = _LINUX_CAPABILITY_VERSION_3;

	if (copy_from_guest(task, ret_header, header_gva, sizeof(*ret_header)))
		return -EFAULT;
	switch (ret_header->version) {
	case _LINUX_CAPABILITY_VERSION_1:
		return 1;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		return 2;
	default:
		if (copy_to_guest(task, header_gva, &newest, sizeof(newest)))
			return -EFAULT;
		return -EINVAL;
	}
}

static int cap_cred_of(struct task *task, int pid, const struct cred **ret_cred)
{
	struct task *other;

	if (pid < 0)
		return -EINVAL;
	if (!pid || pid == task_guest_tid(task)) {
		*ret_cred = cred_get(task->cred);
		return 0;
	}
	other = task_get_by_guest_tid(pid);
	if (!other)
		return -ESRCH;
	*ret_cred = task_get_cred(other);
	task_put(other);
	return 0;
}

int64_t sys_capget(struct task *task, const uint64_t *args)
{
	struct cap_header header;
	struct cap_data data[2];
	const struct cred *cred;
	int n = cap_version(task, args[0], &header), err;

	/* A null data pointer only asks for the version (capget(2)). */
	if (n < 0)
		return n == -EINVAL && !args[1] ? 0 : n;
	err = cap_cred_of(task, header.pid, &cred);
	if (err)
		return err;
	for (int i = 0; i < n; i++) {
		data[i].effective = (uint32_t)(cred->cap_effective >> (32 * i));
		data[i].permitted = (uint32_t)(cred->cap_permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(cred->cap_inheritable >> (32 * i));
	}
	cred_put(cred);
	if (!args[1])
		return 0;
	return copy_to_guest(task, args[1], data, (size_t)n * sizeof(data[0]));
}

/* Which changes capset(2) allows (cf. cap_capset() in security/commoncap.c). */
static int capset_check(struct task *task, uint64_t effective, uint64_t permitted,
			uint64_t inheritable)
{
	const struct cred *old = task->cred;

	if (!task_capable(task, CAP_SETPCAP) &&
	    (inheritable & ~(old->cap_inheritable | old->cap_permitted)))
		return -EPERM;
	if (inheritable & ~(old->cap_inheritable | old->cap_bounding))
		return -EPERM;
	if (permitted & ~old->cap_permitted)
		return -EPERM;
	if (effective & ~permitted)
		return -EPERM;
	return 0;
}

int64_t sys_capset(struct task *task, const uint64_t *args)
{
	uint64_t effective = 0, permitted = 0, inheritable = 0;
	struct cap_header header;
	struct cap_data data[2];
	struct cred *cred;
	int n = cap_version(task, args[0], &header), err;

	if (n < 0)
		return n;
	if (header.pid && header.pid != task_guest_tid(task))
		return -EPERM;
	if (copy_from_guest(task, data, args[1], (size_t)n * sizeof(data[0])))
		return -EFAULT;
	for (int i = 0; i < n; i++) {
		effective |= (uint64_t)data[i].effective << (32 * i);
		permitted |= (uint64_t)data[i].permitted << (32 * i);
		inheritable |= (uint64_t)data[i].inheritable << (32 * i);
	}
	effective &= CAP_ALL;
	permitted &= CAP_ALL;
	inheritable &= CAP_ALL;
	err = capset_check(task, effective, permitted, inheritable);
	if (err)
		return err;
	cred = cred_dup(task->cred);
	if (!cred)
		return -ENOMEM;
	cred->cap_effective = effective;
	cred->cap_permitted = permitted;
	cred->cap_inheritable = inheritable;
	commit_cred(task, cred);
	return 0;
}

static bool cap_known(uint64_t cap)
{
	return cap <= CAP_LAST_CAP;
}

static int64_t bounding_drop(struct task *task, uint64_t cap)
{
	struct cred *cred;

	if (!task_capable(task, CAP_SETPCAP))
		return -EPERM;
	if (!cap_known(cap))
		return -EINVAL;
	cred = cred_dup(task->cred);
	if (!cred)
		return -ENOMEM;
	cred->cap_bounding &= ~(1ULL << cap);
	commit_cred(task, cred);
	return 0;
}

static int64_t set_securebits(struct task *task, unsigned bits)
{
	unsigned old = task->cred->securebits;
	struct cred *cred;

	/* A lock bit stays, what it locks stays, and only the privileged change any. */
	if (bits & ~(unsigned)(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
		return -EPERM;
	if (((old & SECURE_ALL_LOCKS) >> 1) & (old ^ bits))
		return -EPERM;
	if (old & SECURE_ALL_LOCKS & ~bits)
		return -EPERM;
	if (!task_capable(task, CAP_SETPCAP))
		return -EPERM;
	cred = cred_dup(task->cred);
	if (!cred)
		return -ENOMEM;
	cred->securebits = bits;
	commit_cred(task, cred);
	return 0;
}

static int64_t set_keepcaps(struct task *task, uint64_t value)
{
	struct cred *cred;

	if (value > 1)
		return -EINVAL;
	if (task->cred->securebits & SECBIT_KEEP_CAPS_LOCKED)
		return -EPERM;
	cred = cred_dup(task->cred);
	if (!cred)
		return -ENOMEM;
	cred->securebits &= ~(unsigned)SECBIT_KEEP_CAPS;
	if (value)
		cred->securebits |= SECBIT_KEEP_CAPS;
	commit_cred(task, cred);
	return 0;
}

static int64_t ambient_raise(const struct cred *old, uint64_t bit)
{
	if (!(old->cap_permitted & bit) || !(old->cap_inheritable & bit) ||
	    (old->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
		return -EPERM;
	return 0;
}

static int64_t ambient(struct task *task, const uint64_t *args)
{
	const struct cred *old = task->cred;
	uint64_t bit, now = old->cap_ambient;
	struct cred *cred;
	int64_t err = 0;

	if (args[1] == PR_CAP_AMBIENT_CLEAR_ALL) {
		if (args[2] || args[3] || args[4])
			return -EINVAL;
		now = 0;
	} else {
		if (!cap_known(args[2]) || args[3] || args[4])
			return -EINVAL;
		bit = 1ULL << args[2];
		switch (args[1]) {
		case PR_CAP_AMBIENT_IS_SET:
			return (now & bit) != 0;
		case PR_CAP_AMBIENT_RAISE:
			err = ambient_raise(old, bit);
			now |= bit;
			break;
		case PR_CAP_AMBIENT_LOWER:
			now &= ~bit;
			break;
		default:
			return -EINVAL;
		}
	}
	if (err)
		return err;
	cred = cred_dup(old);
	if (!cred)
		return -ENOMEM;
	cred->cap_ambient = now;
	commit_cred(task, cred);
	return 0;
}

int64_t prctl_caps(struct task *task, const uint64_t *args)
{
	const struct cred *cred = task->cred;

	switch ((int)args[0]) {
	case PR_CAPBSET_READ:
		return cap_known(args[1]) ? (int64_t)(cred->cap_bounding >> args[1] & 1) : -EINVAL;
	case PR_CAPBSET_DROP:
		return bounding_drop(task, args[1]);
	case PR_GET_KEEPCAPS:
		return (cred->securebits & SECBIT_KEEP_CAPS) != 0;
	case PR_SET_KEEPCAPS:
		return set_keepcaps(task, args[1]);
	case PR_GET_SECUREBITS:
		return cred->securebits;
	case PR_SET_SECUREBITS:
		return set_securebits(task, (unsigned)args[1]);
	case PR_CAP_AMBIENT:
		return ambient(task, args);
	default:
		return -EINVAL;
	}
}

/* uname(2), sethostname(2), setdomainname(2): sentry/uts.h keeps the names. */
#include "sentry/uts.h"

#include <linux/capability.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"

int64_t sys_uname(struct task *task, const uint64_t *args)
{
	struct utsname uts;

	uts_get(&uts);
	return copy_to_guest(task, args[0], &uts, sizeof(uts));
}

static int64_t set_name(struct task *task, const uint64_t *args,
			int (*set)(const char *name, size_t len))
{
	char name[UTS_NAME_MAX];
	int len = (int)args[1];

	if (!task_capable(task, CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len > UTS_NAME_MAX)
		return -EINVAL;
	if (copy_from_guest(task, name, args[0], (size_t)len))
		return -EFAULT;
	return set(name, (size_t)len);
}

int64_t sys_sethostname(struct task *task, const uint64_t *args)
{
	return set_name(task, args, uts_set_hostname);
}

int64_t sys_setdomainname(struct task *task, const uint64_t *args)
{
	return set_name(task, args, uts_set_domainname);
}

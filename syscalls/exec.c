/* execve(2) and execveat(2): sentry/exec.h does it. */
#include <fcntl.h>

#include "sentry/base/err.h"
#include "sentry/exec.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"

static int64_t exec_common(struct task *task, int dirfd, gva_t name_gva, gva_t argv_gva,
			   gva_t envp_gva, int flags)
{
	struct at_name at;
	int64_t result;

	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	result = at_name_get(task, dirfd, name_gva, flags & AT_EMPTY_PATH ? AT_NAME_EMPTY : 0, &at);
	if (result)
		return result;
	result = exec_prepare(task, at.base, at.name, flags, name_gva, argv_gva, envp_gva);
	at_name_put(&at);
	return result;
}

int64_t sys_execve(struct task *task, const uint64_t *args)
{
	return exec_common(task, AT_FDCWD, args[0], args[1], args[2], 0);
}

int64_t sys_execveat(struct task *task, const uint64_t *args)
{
	return exec_common(task, (int)args[0], args[1], args[2], args[3], (int)args[4]);
}

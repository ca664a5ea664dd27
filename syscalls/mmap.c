/* mmap(2) of files (anonymous memory passes the filter), and msync(2). */
#include <sys/mman.h>

#include "sentry/base/err.h"
#include "sentry/mapping.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"

int64_t sys_mmap(struct task *task, const uint64_t *args)
{
	if (args[3] & MAP_ANONYMOUS)
		return CALL_NATIVE;
	return mapping_mmap(task);
}

int64_t sys_msync(struct task *task, const uint64_t *args)
{
	const int flags = (int)args[2];

	/* What is wrong with the call the host says. */
	if (!(flags & MS_SYNC) || (flags & ~(MS_SYNC | MS_INVALIDATE)) || args[0] % 4096)
		return CALL_NATIVE;
	return mapping_msync(task, args[0], args[1]);
}

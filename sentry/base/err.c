#include "sentry/base/err.h"

/* A call that the compiler cannot see through: it must ask for errno's address anew each time. */
__attribute__((noinline)) int host_errno(void)
{
	__asm__ volatile("" ::: "memory");
	return errno;
}

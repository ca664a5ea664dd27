/* Which backend is in use, and the descriptor numbers kept from the guests. */
#include "sentry/trap.h"

#include <stddef.h>

#include "vfs/fdtable.h"

const struct trap_backend *trap = &trap_notify;
static int reserved_base = 1024 - FB_RESERVED_FDS;

void trap_set_fd_limit(uint64_t limit)
{
	if (limit > 1024)
		limit = 1024;
	reserved_base = (int)limit - FB_RESERVED_FDS;
	fdtable_set_hole(reserved_base, FB_RESERVED_FDS);
}

int trap_reserved_fd(int which)
{
	return reserved_base + which;
}

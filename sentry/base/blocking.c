#include "sentry/base/blocking.h"

#include <stddef.h>

static void (*begin_hook)(void);
static void (*end_hook)(void);

void blocking_set_hooks(void (*begin)(void), void (*end)(void))
{
	begin_hook = begin;
	end_hook = end;
}

void blocking_begin(void)
{
	if (begin_hook)
		begin_hook();
}

void blocking_end(void)
{
	if (end_hook)
		end_hook();
}

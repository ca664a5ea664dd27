/* The time that select(2), pselect6(2) and ppoll(2) are given, and give back. */
#ifndef FB_SYSCALLS_SELECT_H
#define FB_SYSCALLS_SELECT_H

#include <stdint.h>

#include "sentry/base/types.h"

struct task;

enum wait_time_type { WAIT_TIMESPEC, WAIT_TIMEVAL };

struct wait_time {
	gva_t gva; /* 0: none given */
	enum wait_time_type type;
	int64_t deadline_ns; /* WAIT_FOREVER, or < 0: do not wait */
};

/* 0, -EFAULT, -EINVAL. */
int wait_time_get(struct task *task, gva_t gva, enum wait_time_type type,
		  struct wait_time *ret_time);
/*
 * Writes what is left of it; the call's result, changed when that fails
 * (cf. poll_select_finish() in fs/select.c).
 */
int64_t wait_time_put(struct task *task, const struct wait_time *time, int64_t result);

#endif

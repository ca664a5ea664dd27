/*
 * A task that is the test process itself: its "guest memory" is ours, so that handlers and the
 * trace printer run with no trap at all.
 */
#ifndef FB_TEST_SELF_TASK_H
#define FB_TEST_SELF_TASK_H

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "sentry/task.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"

static inline struct task *self_task(uid_t uid)
{
	static struct task *task;

	if (!task)
		task = task_new_first(getpid(), fdtable_new(), NULL, cred_new(uid, uid, NULL, 0));
	cr_assert_not_null(task);
	return task;
}

/* The registers of a call, as a handler gets them. */
#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})
#define GVA(p)	  ((uint64_t)(uintptr_t)(p))

#endif

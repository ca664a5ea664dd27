/*
 * From a trapped call to its handler and back. Restart codes pass through: what becomes of them
 * depends on the signal, and only the tracer sees that (sentry/call.h).
 */
#include <stdatomic.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/exec.h"
#include "sentry/fault.h"
#include "sentry/task.h"
#include "sentry/trap.h"
#include "syscalls/calllog.h"
#include "syscalls/numbers.h"
#include "syscalls/table.h"

/* A number is named in the log the first time somebody calls it. */
static atomic_uchar logged[SYSCALL_MAX];

static bool first_time(int nr)
{
	return !atomic_exchange_explicit(&logged[nr], 1, memory_order_relaxed);
}

static int64_t call_unknown(int nr)
{
	if (nr < 0 || nr >= SYSCALL_MAX)
		fb_log_once(LOG_INFO, "system call %d: no such number", nr);
	else if (first_time(nr))
		fb_log(LOG_INFO, "system call %d: no such number", nr);
	return -ENOSYS;
}

static int64_t call_refused(int nr, const struct syscall_row *row)
{
	if (first_time(nr))
		fb_log(LOG_INFO, "%s refused: %s", row->name, row->note);
	return -row->refused_errno;
}

static int64_t call_row(struct task *task, int nr, const struct syscall_row *row)
{
	if (row->fn)
		return row->fn(task, task->call.args);
	/* A backend that traps everything also sees the native ones. */
	return row->class == CLASS_REFUSED ? call_refused(nr, row) : CALL_NATIVE;
}

/* A copy found no page: it may be one that is fetched when it is touched. */
static int64_t call_faulting(struct task *task, int nr, const struct syscall_row *row)
{
	int64_t result = call_row(task, nr, row);
	gva_t last = 0, gva;

	while (result == -EFAULT && (gva = atomic_load(&task->fault_gva)) != last &&
	       fault_in(task, gva)) {
		last = gva;
		result = call_row(task, nr, row);
	}
	return result;
}

int64_t syscall_dispatch(struct task *task)
{
	int nr = task->call.nr;
	const struct syscall_row *row = NULL;
	int64_t result;

	if (nr == FB_SYSCALL_PLAN)
		return exec_plan(task, task->call.args[0]);
	if (nr >= 0 && nr < SYSCALL_MAX && syscall_table[nr].name)
		row = &syscall_table[nr];
	/* Only the call that comes right after an interrupted poll may continue it. */
	if (nr != __NR_restart_syscall)
		task->restart.fn = NULL;
	result = row ? call_faulting(task, nr, row) : call_unknown(nr);
	if (calllog_enabled())
		calllog_print(task, row, result);
	return result;
}

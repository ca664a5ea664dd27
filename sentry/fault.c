/* Catching touches of pages that are not there yet; see fault.h. */
#include "sentry/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>

#include "sentry/procinfo.h"
#include "sentry/sched/sched.h"
#include "sentry/task.h"
#include "sentry/tracer.h"
#include "vfs/mapped.h"
#include "vfs/strbuf.h"

bool fault_in(struct task *task, gva_t gva)
{
	struct strbuf maps = STRBUF_INIT;
	uint64_t dev, ino;
	int64_t offset;
	bool filled;

	if (!mapped_any())
		return false;
	filled = procinfo_read(task->tid, "maps", &maps) == 0 && !maps.failed && maps.buf &&
		 procmaps_find(maps.buf, gva, &dev, &ino, &offset) &&
		 mapped_fault(task_ctx(task), dev, ino, offset) == 0;
	strbuf_free(&maps);
	return filled;
}

static void fault_fiber(void *arg)
{
	struct task *task = arg;

	task->fault_signo = fault_in(task, atomic_load(&task->fault_gva)) ? 0 : SIGBUS;
	tracer_post(task, TRACER_FAULTED);
	task_put(task);
}

bool fault_begin(struct task *task)
{
	siginfo_t info = {0};

	if (!mapped_any() || ptrace(PTRACE_GETSIGINFO, task->tid, 0, &info) ||
	    info.si_signo != SIGBUS || info.si_code != BUS_ADRERR)
		return false;
	atomic_store(&task->fault_gva, (gva_t)info.si_addr);
	sched_run(fault_fiber, task_get(task));
	return true;
}

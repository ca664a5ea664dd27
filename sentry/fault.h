/*
 * Pages of mapped files that are filled when they are touched. The host file of such a mapping ends
 * where the filling ends (vfs/mapped.h), so a touch behind that is SIGBUS on the host, and -EFAULT
 * for a copy by the sentry: both are caught, the page is fetched, and the guest tries again. fork,
 * mremap and what the guest does with its address space need no attention.
 *
 * Not caught: what the host's kernel touches itself in a native call (a futex or a signal frame in
 * such a page): EFAULT. And a guest that blocks or ignores SIGBUS has it unblocked, and its action
 * is the default from then on: force_sig_info() does that before the tracer is asked.
 */
#ifndef FB_FAULT_H
#define FB_FAULT_H

#include <stdbool.h>

#include "sentry/usermem.h"

struct task;

/* Fetches the page. False: nothing is missing there. May wait for a daemon. */
bool fault_in(struct task *task, gva_t gva);
/*
 * The tracer, at a stop for SIGBUS: true when a fiber looks after it, which ends with TRACER_FAULTED
 * and task->fault_signo, the signal that is left. False: a signal like any other.
 */
bool fault_begin(struct task *task);

#endif

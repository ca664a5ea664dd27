/* What the waiting calls have in common: deadlines and temporary signal masks. */
#ifndef FB_SYSCALLS_POLL_H
#define FB_SYSCALLS_POLL_H

#include <stdint.h>

#include "sentry/base/types.h"

struct task;

/* Deadline of a timeout in milliseconds; negative: none. */
int64_t deadline_after_ms(int timeout_ms);
/*
 * The call waits under the guest's mask of `size` bytes at sigmask_gva (0 = its own).
 * 0, -EINVAL (size), -EFAULT.
 */
int use_sigmask(struct task *task, gva_t sigmask_gva, uint64_t size);

#endif

/* Record locks of fcntl(2). */
#ifndef FB_SYSCALLS_FLOCK_H
#define FB_SYSCALLS_FLOCK_H

#include <stdint.h>

#include "sentry/base/types.h"

struct file;
struct task;

/* F_GETLK, F_SETLK, F_SETLKW and their OFD forms; 0 or -errno. */
int64_t fcntl_lock(struct task *task, struct file *file, int cmd, gva_t flock_gva);

#endif

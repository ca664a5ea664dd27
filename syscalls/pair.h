/* Handing out two descriptors at once: pipe(2), socketpair(2). */
#ifndef FB_SYSCALLS_PAIR_H
#define FB_SYSCALLS_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/types.h"

struct file;
struct task;

/* Both or none: takes both references in any case. 0, -EMFILE, -EFAULT. */
int64_t install_pair(struct task *task, struct file *files[2], bool cloexec, gva_t fds_gva);

#endif

/* The capability options of prctl(2). */
#ifndef FB_SYSCALLS_CAPS_H
#define FB_SYSCALLS_CAPS_H

#include <stdint.h>

struct task;

/* PR_CAPBSET_*, PR_*_KEEPCAPS, PR_*_SECUREBITS, PR_CAP_AMBIENT; args are prctl's. */
int64_t prctl_caps(struct task *task, const uint64_t *args);

#endif

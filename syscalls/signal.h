/* Guest ids against the host's. */
#ifndef FB_SYSCALLS_SIGNAL_H
#define FB_SYSCALLS_SIGNAL_H

#include <stdbool.h>

struct task;

/* The guests have a pid namespace of their own: a native call cannot reach beyond it. */
bool own_pid_ns(struct task *task);

#endif

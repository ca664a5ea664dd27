/* The thread that waits for what only the host can tell. Private to sched/. */
#ifndef FB_SCHED_REACTOR_H
#define FB_SCHED_REACTOR_H

#include <stdint.h>

int reactor_start(void);
void reactor_stop(void);
uint64_t reactor_wakeups(void);

#endif

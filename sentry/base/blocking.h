/*
 * Brackets around a host call that may take long (disk, blocking descriptor), so that the
 * scheduler can let another thread take over meanwhile. Without a scheduler: nothing.
 */
#ifndef FB_BASE_BLOCKING_H
#define FB_BASE_BLOCKING_H

void blocking_begin(void);
void blocking_end(void);
/* Set by sched/ at start-up. */
void blocking_set_hooks(void (*begin)(void), void (*end)(void));

#endif

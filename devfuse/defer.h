/*
 * Work that must not be done where its need is noticed: in a timer, or under conn->lock. It runs
 * soon, on a fiber (without a scheduler: on a thread of its own), and may sleep on locks.
 */
#ifndef FB_DEVFUSE_DEFER_H
#define FB_DEVFUSE_DEFER_H

/* Set once at start-up to sched_spawn(). */
void fuse_defer_set_spawn(void (*spawn)(void (*fn)(void *), void *arg));
void fuse_defer(void (*fn)(void *), void *arg);

#endif

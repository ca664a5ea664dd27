/* CUSE as main.c sees it. */
#ifndef FB_FUSEFS_CUSE_TYPE_H
#define FB_FUSEFS_CUSE_TYPE_H

/* Registers /dev/cuse (10:203) and /sys/class/cuse; once, at start-up. 0 or -errno. */
int cuse_init(void);

#endif

/* The "fuse" file system type. */
#ifndef FB_FUSEFS_FUSEFS_TYPE_H
#define FB_FUSEFS_FUSEFS_TYPE_H

/* Registers the type; once, at start-up, after devfuse_init(). */
int fusefs_init(void);

#endif

/*
 * The host's /proc, through a descriptor opened at start-up: the sentry's own view of its guests
 * stays available after it has locked itself in.
 */
#ifndef FB_HOSTPROC_H
#define FB_HOSTPROC_H

#include <stddef.h>
#include <sys/types.h>

/* Opens /proc. 0 or -errno. Called once, before the jail closes. */
int hostproc_init(void);
/* Reads /proc/<pid>/<name> into buf, NUL-terminated. Bytes or -errno. */
ssize_t hostproc_read(pid_t pid, const char *name, char *buf, size_t size);
/* The target of the link /proc/<name>, NUL-terminated, cut off at size. Bytes or -errno. */
ssize_t hostproc_readlink(const char *name, char *buf, size_t size);
/* Opens /proc/<name> for openat-style use; a host descriptor or -errno. */
int hostproc_open(const char *name, int flags);

#endif

/*
 * Buffers (sentry/base/iobuf.h) for copying piece by piece: between a guest and a memfd, between two
 * files.
 */
#ifndef FB_VFS_BOUNCE_H
#define FB_VFS_BOUNCE_H

#include <stddef.h>

#define BOUNCE_MAX 131072 /* bytes; large enough to make calls cheap, small enough for L2 */

struct bounce {
	unsigned char *buf;
	size_t size; /* bytes: at least min(len, BOUNCE_MAX) */
};

/* 0 or -ENOMEM. */
int bounce_get(struct bounce *ret, size_t len);
void bounce_put(struct bounce *bounce);

#endif

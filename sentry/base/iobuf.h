/*
 * Buffers for bytes that pass through the sentry. They are used as those of malloc(3); the big ones
 * that are given back are kept, because malloc would return their pages to the host, and each page
 * of the next one would cost a fault and its clearing.
 *
 * Any thread may call these at any time. What is kept is bounded (a few MiB).
 */
#ifndef FB_BASE_IOBUF_H
#define FB_BASE_IOBUF_H

#include <stddef.h>

/* At least len bytes with whatever is in them; NULL when there is no memory. */
void *iobuf_alloc(size_t len);
/* NULL is fine. Only what iobuf_alloc() has returned. */
void iobuf_free(void *buf);

static inline void iobuf_cleanup(void *at)
{
	iobuf_free(*(void **)at);
}
#define cleanup_iobuf __attribute__((cleanup(iobuf_cleanup)))

#endif

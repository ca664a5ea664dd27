/* Bounce buffers. */
#include "vfs/bounce.h"

#include "sentry/base/err.h"
#include "sentry/base/iobuf.h"

int bounce_get(struct bounce *ret, size_t len)
{
	ret->size = len == 0 ? 1 : len < BOUNCE_MAX ? len : BOUNCE_MAX;
	ret->buf = iobuf_alloc(ret->size);
	return ret->buf ? 0 : -ENOMEM;
}

void bounce_put(struct bounce *bounce)
{
	iobuf_free(bounce->buf);
	bounce->buf = NULL;
}

#include "devfuse/gather.h"

#include <string.h>

#include "sentry/base/iter.h"

void gather_init(struct gather *g, struct io_iter *to)
{
	g->to = to;
	g->used = 0;
	g->fault = false;
}

void gather_flush(struct gather *g)
{
	if (g->used > 0 && iter_to(g->to, g->buf, g->used) != g->used)
		g->fault = true;
	g->used = 0;
}

void gather_add(struct gather *g, const void *data, size_t len)
{
	if (len > sizeof(g->buf) - g->used)
		gather_flush(g);
	if (len > sizeof(g->buf)) {
		if (iter_to(g->to, data, len) != len)
			g->fault = true;
		return;
	}
	if (len > 0)
		memcpy(g->buf + g->used, data, len);
	g->used += len;
}

/* Collects small pieces, so that a whole message is one copy to the daemon where possible. */
#ifndef FB_DEVFUSE_GATHER_H
#define FB_DEVFUSE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_iter;

struct gather {
	struct io_iter *to;
	size_t used;
	bool fault; /* something did not arrive */
	uint8_t buf[1024];
};

void gather_init(struct gather *g, struct io_iter *to);
void gather_add(struct gather *g, const void *data, size_t len);
void gather_flush(struct gather *g); /* at the end */

#endif

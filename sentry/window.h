/*
 * A window: memory shared with one guest thread through which the data of its current call travel, instead of
 * by process_vm_readv(2) and its kin, which take 1.5 us each. The guest's side has put there what the call's
 * arguments point to (pieces in); what the call writes is collected (pieces out) and either copied to its
 * place by the guest when the call has ended, or by us (window_flush) when the guest can no more.
 *
 * Only the fiber of the call uses it, between window_open() and its end. The bytes are the guest's and may change
 * at any time, as its memory may; the pieces are ours.
 *
 * A piece goes out this way only to pages that a copy of ours has reached before: a bad address is to be -EFAULT
 * while the call can still say so. When such a page has gone meanwhile, it is -EFAULT after the fact.
 */
#ifndef FB_WINDOW_H
#define FB_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sentry/base/types.h"

#define WINDOW_PIECES 9 /* each way: an array of segments and eight of those */
#define WINDOW_PAGES 16 /* that are remembered as good, a power of two */

struct window_piece {
	gva_t gva;
	uint32_t len, at; /* offset of the bytes */
};

struct window {
	const unsigned char *in; /* the bytes, not ours alone */
	unsigned char *out;
	uint32_t out_size, out_len;
	struct window_piece pieces_in[WINDOW_PIECES], pieces_out[WINDOW_PIECES];
	unsigned nr_in, nr_out;
	gva_t good[WINDOW_PAGES]; /* numbers of pages, from 1 on */
};

/* In front of each piece out: where it goes. The next one begins at a multiple of eight. */
struct window_header {
	uint64_t gva, len;
};

/* Empty in both directions. Then pieces in are added. */
void window_open(struct window *window);
void window_add_in(struct window *window, gva_t gva, uint32_t len, uint32_t at);

/* All of these segments, into buf, or false. */
bool window_get(const struct window *window, const struct iovec *segs, size_t nr, void *buf);
/* The bytes from gva on that the window holds: at most size; 0: none. */
size_t window_peek(const struct window *window, gva_t gva, void *buf, size_t size);
/* Takes all of buf to go out to the segments, or false. */
bool window_put(struct window *window, const struct iovec *segs, size_t nr, const void *buf);
/* Forgets what is to go out. */
void window_drop_out(struct window *window);
/* A copy to these segments has succeeded. */
void window_learn(struct window *window, const struct iovec *segs, size_t nr);

#endif

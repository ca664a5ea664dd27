#include "sentry/window.h"

#include <string.h>

#define PAGE_BITS 12
#define ROUND_UP(n) (((n) + 7u) & ~7u)

void window_drop_out(struct window *window)
{
	window->nr_out = 0;
	window->out_len = 0;
}

void window_open(struct window *window)
{
	window->nr_in = 0;
	window_drop_out(window);
}

void window_add_in(struct window *window, gva_t gva, uint32_t len, uint32_t at)
{
	if (window->nr_in < WINDOW_PIECES)
		window->pieces_in[window->nr_in++] = (struct window_piece){ gva, len, at };
}

/* The bytes behind [gva, gva + len), NULL: not all are here. */
static const unsigned char *find(const struct window *window, gva_t gva, size_t len)
{
	for (unsigned i = 0; i < window->nr_in; i++) {
		const struct window_piece *piece = &window->pieces_in[i];

		if (gva - piece->gva <= piece->len && len <= piece->len - (gva - piece->gva))
			return window->in + piece->at + (gva - piece->gva);
	}
	return NULL;
}

bool window_get(const struct window *window, const struct iovec *segs, size_t nr, void *buf)
{
	unsigned char *dst = buf;

	if (!window->nr_in)
		return false;
	for (size_t i = 0; i < nr; i++) {
		const unsigned char *src = find(window, (gva_t)segs[i].iov_base, segs[i].iov_len);

		if (!src)
			return false;
		memcpy(dst, src, segs[i].iov_len);
		dst += segs[i].iov_len;
	}
	return true;
}

size_t window_peek(const struct window *window, gva_t gva, void *buf, size_t size)
{
	for (unsigned i = 0; i < window->nr_in; i++) {
		const struct window_piece *piece = &window->pieces_in[i];
		size_t len;

		if (gva - piece->gva >= piece->len)
			continue;
		len = piece->len - (gva - piece->gva);
		if (len > size)
			len = size;
		memcpy(buf, window->in + piece->at + (gva - piece->gva), len);
		return len;
	}
	return 0;
}

static gva_t *good_page(struct window *window, gva_t page)
{
	return &window->good[page % WINDOW_PAGES];
}

static bool is_good(struct window *window, gva_t gva, size_t len)
{
	if (gva + len < gva)
		return false;
	for (gva_t page = gva >> PAGE_BITS; page <= (gva + len - 1) >> PAGE_BITS; page++)
		if (*good_page(window, page) != page + 1)
			return false;
	return true;
}

void window_learn(struct window *window, const struct iovec *segs, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		gva_t gva = (gva_t)segs[i].iov_base;
		size_t len = segs[i].iov_len;

		if (!len || len > window->out_size || gva + len < gva)
			continue;
		for (gva_t page = gva >> PAGE_BITS; page <= (gva + len - 1) >> PAGE_BITS; page++)
			*good_page(window, page) = page + 1;
	}
}

/* Room and good pages for all of them? */
static bool can_put(struct window *window, const struct iovec *segs, size_t nr)
{
	size_t len = window->out_len;

	if (nr > WINDOW_PIECES - window->nr_out)
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (segs[i].iov_len > window->out_size)
			return false;
		len += sizeof(struct window_header) + ROUND_UP(segs[i].iov_len);
		if (segs[i].iov_len &&
		    !is_good(window, (gva_t)segs[i].iov_base, segs[i].iov_len))
			return false;
	}
	return len <= window->out_size;
}

bool window_put(struct window *window, const struct iovec *segs, size_t nr, const void *buf)
{
	const unsigned char *src = buf;

	if (!can_put(window, segs, nr))
		return false;
	for (size_t i = 0; i < nr; i++) {
		struct window_header header = { (gva_t)segs[i].iov_base, segs[i].iov_len };
		uint32_t len = (uint32_t)segs[i].iov_len, at = window->out_len + sizeof(header);

		if (!len)
			continue;
		memcpy(window->out + window->out_len, &header, sizeof(header));
		memcpy(window->out + at, src, len);
		window->pieces_out[window->nr_out++] = (struct window_piece){ header.gva, len, at };
		window->out_len = at + ROUND_UP(len);
		src += len;
	}
	return true;
}

/* Data of a call that travel through shared memory: what is found in a window, and what may go out by it. */
#include <criterion/criterion.h>
#include <string.h>

#include "sentry/window.h"

#define SIZE 8192
#define PAGE(n) ((gva_t)(n) << 12)

static unsigned char in[SIZE], out[SIZE];
static struct window window;

static void fresh(void)
{
	for (size_t i = 0; i < SIZE; i++)
		in[i] = (unsigned char)(i * 7);
	memset(out, 0, sizeof(out));
	window = (struct window){ .in = in, .out = out, .out_size = SIZE };
	window_open(&window);
}

TestSuite(window, .init = fresh);

static bool get(gva_t gva, size_t len, void *buf)
{
	struct iovec seg = { (void *)gva, len };

	return window_get(&window, &seg, 1, buf);
}

static bool put(gva_t gva, size_t len)
{
	static unsigned char buf[2 * SIZE];
	struct iovec seg = { (void *)gva, len };

	memset(buf, 'p', sizeof(buf));
	return window_put(&window, &seg, 1, buf);
}

static void learn(gva_t gva, size_t len)
{
	struct iovec seg = { (void *)gva, len };

	window_learn(&window, &seg, 1);
}

Test(window, a_part_of_a_piece_is_found)
{
	unsigned char buf[100];

	window_add_in(&window, 0x1000, 100, 16);
	cr_assert(get(0x1000, 100, buf));
	cr_assert_eq(memcmp(buf, in + 16, 100), 0);
	cr_assert(get(0x1010, 84, buf));
	cr_assert_eq(memcmp(buf, in + 32, 84), 0);
}

Test(window, what_reaches_beyond_a_piece_is_not)
{
	unsigned char buf[200];

	window_add_in(&window, 0x1000, 100, 0);
	cr_assert_not(get(0x1000, 101, buf));
	cr_assert_not(get(0xfff, 10, buf));
	cr_assert_not(get(0x1064, 1, buf));
	cr_assert_not(get(0x1001, SIZE_MAX, buf));
	cr_assert_not(get(~0ull, 2, buf));
}

Test(window, segments_come_from_several_pieces)
{
	unsigned char buf[24];
	struct iovec segs[] = { { (void *)0x2000, 8 }, { (void *)0x1000, 16 } };

	window_add_in(&window, 0x1000, 16, 0);
	window_add_in(&window, 0x2000, 8, 64);
	cr_assert(window_get(&window, segs, 2, buf));
	cr_assert_eq(memcmp(buf, in + 64, 8), 0);
	cr_assert_eq(memcmp(buf + 8, in, 16), 0);
	segs[1].iov_len = 17;
	cr_assert_not(window_get(&window, segs, 2, buf));
}

Test(window, more_pieces_than_there_is_room_for_are_left_out)
{
	unsigned char buf[8];

	for (gva_t i = 0; i < 2 * WINDOW_PIECES; i++)
		window_add_in(&window, 0x1000 * (i + 1), 8, 0);
	cr_assert(get(0x1000 * WINDOW_PIECES, 8, buf));
	cr_assert_not(get(0x1000 * (WINDOW_PIECES + 1), 8, buf));
}

Test(window, a_peek_gives_what_there_is)
{
	unsigned char buf[100];

	window_add_in(&window, 0x1000, 20, 4);
	cr_assert_eq(window_peek(&window, 0x1000, buf, 100), 20);
	cr_assert_eq(memcmp(buf, in + 4, 20), 0);
	cr_assert_eq(window_peek(&window, 0x1005, buf, 10), 10);
	cr_assert_eq(window_peek(&window, 0x1014, buf, 10), 0);
	cr_assert_eq(window_peek(&window, 0xfff, buf, 10), 0);
}

Test(window, only_pages_that_were_written_before_are_good)
{
	cr_assert_not(put(PAGE(5), 8));
	cr_assert_not(put(0, 8)); /* nor is it what has never been learned */
	learn(PAGE(5) + 100, 8);
	cr_assert(put(PAGE(5), 4096));
	cr_assert_not(put(PAGE(6) - 4, 8));
	learn(PAGE(6) - 4, 8);
	cr_assert(put(PAGE(6) - 4, 8));
	learn(PAGE(5 + WINDOW_PAGES), 8); /* takes the place of page 5 */
	cr_assert_not(put(PAGE(5), 8));
}

Test(window, pieces_out_have_headers_and_are_aligned)
{
	struct window_header header;

	learn(PAGE(1), 8192);
	cr_assert(put(PAGE(1) + 3, 5));
	cr_assert(put(PAGE(2), 8));
	cr_assert_eq(window.nr_out, 2);
	cr_assert_eq(window.out_len, 16 + 8 + 16 + 8);
	memcpy(&header, out, sizeof(header));
	cr_assert_eq(header.gva, PAGE(1) + 3);
	cr_assert_eq(header.len, 5);
	cr_assert_eq(memcmp(out + 16, "ppppp\0\0\0", 8), 0);
	memcpy(&header, out + 24, sizeof(header));
	cr_assert_eq(header.gva, PAGE(2));
	cr_assert_eq(header.len, 8);
}

Test(window, what_does_not_fit_stays_out_whole)
{
	struct iovec segs[] = { { (void *)PAGE(1), 8 }, { (void *)PAGE(1), SIZE } };
	static unsigned char buf[SIZE + 8];

	learn(PAGE(1), SIZE);
	cr_assert_not(window_put(&window, segs, 2, buf));
	cr_assert_not(put(PAGE(1), SIZE));
	cr_assert_eq(window.nr_out, 0);
	cr_assert(put(PAGE(1), SIZE - 16));
	cr_assert_not(put(PAGE(1), 1));
	cr_assert_eq(window.out_len, SIZE);
}

Test(window, so_many_pieces_and_no_more)
{
	learn(PAGE(1), 8);
	for (int i = 0; i < WINDOW_PIECES; i++)
		cr_assert(put(PAGE(1), 8));
	cr_assert_not(put(PAGE(1), 8));
	window_open(&window);
	cr_assert(put(PAGE(1), 8));
}

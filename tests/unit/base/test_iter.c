/* io_iter over our own memory and over a foreign one that has a hole. */
#include <criterion/criterion.h>
#include <string.h>

#include "sentry/base/iter.h"

Test(base_iter, fills_segments_in_order)
{
	char a[3], b[5];
	struct iovec segs[] = { { a, 3 }, { NULL, 0 }, { b, 5 } };
	struct io_iter iter;

	iter_init_segs(&iter, NULL, NULL, segs, 3, 8);
	cr_assert_eq(iter_to(&iter, "abcdefgh", 8), 8);
	cr_assert_eq(memcmp(a, "abc", 3), 0);
	cr_assert_eq(memcmp(b, "defgh", 5), 0);
	cr_assert_eq(iter.count, 0);
}

Test(base_iter, never_passes_its_count)
{
	char buf[8] = "";
	struct io_iter iter;

	iter_init_mem(&iter, buf, 8);
	iter_truncate(&iter, 3);
	cr_assert_eq(iter_to(&iter, "abcdefgh", 8), 3);
	cr_assert_str_eq(buf, "abc");
}

Test(base_iter, restore_takes_back_what_was_advanced)
{
	char buf[4] = { 1, 2, 3, 4 }, got[2];
	struct io_iter iter;
	struct iter_mark mark;

	iter_init_mem(&iter, buf, 4);
	iter_advance(&iter, 1);
	mark = iter_save(&iter);
	cr_assert_eq(iter_from(&iter, got, 2), 2);
	iter_restore(&iter, mark);
	cr_assert_eq(iter_from(&iter, got, 2), 2);
	cr_assert_eq(got[0], 2);
	cr_assert_eq(iter.count, 1);
}

Test(base_iter, zeroes_more_than_its_own_buffer)
{
	static char buf[10000];
	struct io_iter iter;

	memset(buf, 7, sizeof(buf));
	iter_init_mem(&iter, buf, sizeof(buf));
	cr_assert_eq(iter_zero(&iter, sizeof(buf)), sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i++)
		cr_assert_eq(buf[i], 0);
}

Test(base_iter, shows_its_own_bytes_and_nobody_elses)
{
	char a[3], b[5];
	struct iovec segs[] = {{a, 3}, {NULL, 0}, {b, 5}};
	struct io_iter_ops ops = {NULL, NULL};
	struct iovec own[2];
	struct io_iter iter;
	size_t len = 0;

	iter_init_segs(&iter, NULL, NULL, segs, 3, 7);
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 2, &len), 2);
	cr_assert_eq(len, 7, "no more than its count");
	cr_assert_eq(own[1].iov_base, b);
	cr_assert_eq(own[1].iov_len, 4);
	cr_assert_eq(iter_own_segs(&iter, 2, own, 2, &len), 1);
	cr_assert_eq(len, 2, "no more than is wanted");
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 1, &len), 1);
	cr_assert_eq(own[0].iov_base, a);
	cr_assert_eq(len, 3);
	iter_advance(&iter, 3);
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 1, &len), 1);
	cr_assert_eq(own[0].iov_base, b);
	cr_assert_eq(len, 4);
	iter_advance(&iter, 1);
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 1, &len), 1);
	cr_assert_eq(own[0].iov_base, b + 1);
	iter_advance(&iter, 3);
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 1, &len), 0);
	iter_init_segs(&iter, &ops, NULL, segs, 3, 7);
	cr_assert_eq(iter_own_segs(&iter, SIZE_MAX, own, 1, &len), 0);
}

/* A foreign memory of 16 bytes in which byte 10 and above cannot be written. */
static char foreign[16];

static size_t foreign_write(void *mem, const struct iovec *segs, size_t nr, const void *buf,
			    size_t len)
{
	size_t done = 0;

	(void)len;
	for (size_t i = 0; i < nr; i++)
		for (size_t j = 0; j < segs[i].iov_len; j++) {
			size_t at = (size_t)segs[i].iov_base + j;
			if (at >= 10)
				return done;
			((char *)mem)[at] = ((const char *)buf)[done++];
		}
	return done;
}

Test(base_iter, stops_at_the_first_byte_that_faults)
{
	static const struct io_iter_ops ops = { .write = foreign_write };
	struct io_iter iter;

	iter_init_one(&iter, &ops, foreign, 8, 8);
	cr_assert_eq(iter_to(&iter, "abcdefgh", 8), 2);
	cr_assert_eq(foreign[8], 'a');
	cr_assert_eq(foreign[9], 'b');
	cr_assert_eq(iter.count, 6);
}

static size_t count_write(void *mem, const struct iovec *segs, size_t nr, const void *buf, size_t len)
{
	(void)mem;
	(void)buf;
	(void)nr;
	return (uintptr_t)segs[0].iov_base == 6 ? len : 2;
}

/* A guest may name any address: none of ours, and no pointer to count from (a sanitizer would see). */
Test(base_iter, foreign_addresses_may_wrap_around)
{
	static const struct io_iter_ops ops = { .write = count_write };
	struct iovec seg = { (void *)(UINTPTR_MAX - 1), 100 };
	struct io_iter iter;

	iter_init_segs(&iter, &ops, NULL, &seg, 1, 100);
	iter_advance(&iter, 8);
	cr_assert_eq(iter_to(&iter, "abc", 3), 3);
	cr_assert_eq(iter.count, 89);
}

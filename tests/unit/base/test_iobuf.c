/* Buffers of every class, more of them than are kept. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "sentry/base/iobuf.h"

Test(base_iobuf, buffers_are_whole_and_ones_own)
{
	static const size_t lens[] = {0, 1, 16384, 16385, 131072, 135168, 135169, 1052672, 3000000};
	void *bufs[6];

	for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
		for (int round = 0; round < 3; round++) {
			for (int i = 0; i < 6; i++) {
				bufs[i] = iobuf_alloc(lens[l]);
				cr_assert_not_null(bufs[i]);
				memset(bufs[i], i, lens[l]);
			}
			for (int i = 0; i < 6; i++) {
				const char *buf = bufs[i];

				cr_assert(lens[l] == 0 || (buf[0] == i && buf[lens[l] - 1] == i));
				iobuf_free(bufs[i]);
			}
		}
}

Test(base_iobuf, a_big_one_is_used_again)
{
	void *buf = iobuf_alloc(100000);

	iobuf_free(buf);
	cr_assert_eq(iobuf_alloc(50000), buf);
	iobuf_free(buf);
	iobuf_free(NULL);
}

Test(base_iobuf, there_are_limits)
{
	cr_assert_null(iobuf_alloc(SIZE_MAX));
	cr_assert_null(iobuf_alloc(SIZE_MAX - 10));
}

/*
 * Positions at the edges of what a number holds: lseek(2), and copy_file_range(2), whose checks have an order
 * (cf. generic_copy_file_checks() and rw_verify_area()).
 */
#include "report.h"

#include <fcntl.h>
#include <sys/mman.h>

static void seeks(int fd)
{
	TRY(lseek(fd, 100, SEEK_SET));
	TRY(lseek(fd, INT64_MAX, SEEK_CUR));
	TRY(lseek(fd, INT64_MAX, SEEK_END));
	TRY(lseek(fd, INT64_MIN, SEEK_CUR));
	TRY(lseek(fd, INT64_MIN, SEEK_END));
	TRY(lseek(fd, INT64_MAX, SEEK_SET));
	TRY(lseek(fd, 1, SEEK_CUR));
	TRY(lseek(fd, -1, SEEK_SET));
	TRY(lseek(fd, -1, SEEK_DATA));
	TRY(lseek(fd, INT64_MAX, SEEK_DATA));
	TRY(lseek(fd, INT64_MAX, SEEK_HOLE));
}

static void copy(int in, int64_t from, int out, int64_t to, size_t len)
{
	off_t from_now = from, to_now = to;

	errno = 0;
	printf("%zu bytes from %lld to %lld: ", len, (long long)from, (long long)to);
	printf("%s", result_text(copy_file_range(in, &from_now, out, &to_now, len, 0)));
	printf(", then %lld and %lld\n", (long long)from_now, (long long)to_now);
	ftruncate(out, 0);
}

int main(void)
{
	static const int64_t at[] = {0, 5, 11, 100, INT64_MAX - 10, INT64_MAX, -1, INT64_MIN};
	static const size_t lens[] = {0, 1, 20, INT64_MAX, (size_t)INT64_MAX + 1, SIZE_MAX};
	/* Of a file system whose largest file is the largest there is. */
	int in = memfd_create("in", 0), out = memfd_create("out", 0);

	TRY(write(in, "hello world", 11));
	seeks(in);
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++)
		for (size_t j = 0; j < sizeof(at) / sizeof(*at); j++)
			for (size_t k = 0; k < sizeof(lens) / sizeof(*lens); k++)
				copy(in, at[i], out, at[j], lens[k]);
	return 0;
}

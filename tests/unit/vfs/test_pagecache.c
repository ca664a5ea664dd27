/* vfs/pagecache.h: both forms of a file's bytes, holes, allocation and the shared limit. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/pagecache.h"

#define BIG (PAGECACHE_SMALL * 2)

static struct pagecache pc;
static struct pagecache_limit limit;

static void setup(void)
{
	pagecache_init(&pc);
	atomic_init(&limit.used, 0);
	limit.max = 0;
}

static void teardown(void)
{
	pagecache_destroy(&pc);
	cr_assert_eq(atomic_load(&limit.used), 0, "the limit got everything back");
}

TestSuite(pagecache, .init = setup, .fini = teardown, .timeout = 120);

static ssize_t put(const void *data, size_t len, int64_t pos)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)data, len);
	return pagecache_write(&pc, &iter, pos);
}

static ssize_t get(void *buf, size_t len, int64_t pos)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return pagecache_read(&pc, &iter, pos);
}

static bool all_zero(const char *buf, size_t len)
{
	while (len > 0)
		if (buf[--len])
			return false;
	return true;
}

/* A guest whose memory ends after `good` bytes. */
struct short_mem {
	const char *base;
	size_t good;
};

static size_t short_write(void *mem, const struct iovec *segs, size_t nr, const void *buf,
			  size_t len)
{
	struct short_mem *m = mem;
	size_t n = (size_t)segs[0].iov_base >= m->good ? 0 : m->good - (size_t)segs[0].iov_base;

	n = n < len ? n : len;
	memcpy((char *)m->base + (size_t)segs[0].iov_base, buf, n);
	return n;
}

static size_t short_read(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len)
{
	struct short_mem *m = mem;
	size_t n = (size_t)segs[0].iov_base >= m->good ? 0 : m->good - (size_t)segs[0].iov_base;

	/* As process_vm_readv may: bytes past the good ones are touched as well. */
	memset(buf, 'X', len);
	n = n < len ? n : len;
	memcpy(buf, m->base + (size_t)segs[0].iov_base, n);
	return n;
}

static const struct io_iter_ops short_ops = { short_write, short_read };

Test(pagecache, what_is_written_is_read)
{
	char buf[16];

	cr_assert_eq(put("hello", 5, 0), 5);
	cr_assert_eq(get(buf, sizeof(buf), 0), 5);
	cr_assert(memcmp(buf, "hello", 5) == 0);
	cr_assert_eq(get(buf, sizeof(buf), 3), 2);
	cr_assert_eq(get(buf, sizeof(buf), 5), 0);
	cr_assert_eq(pc.memfd, -1);
}

Test(pagecache, gap_before_a_write_reads_as_zeros)
{
	char buf[3000];

	cr_assert_eq(put("x", 1, 2000), 1);
	cr_assert_eq(get(buf, sizeof(buf), 0), 2001);
	cr_assert(all_zero(buf, 2000) && buf[2000] == 'x');
}

Test(pagecache, growing_past_small_keeps_the_bytes)
{
	char *data = malloc(BIG), *back = malloc(BIG);

	for (int i = 0; i < BIG; i++)
		data[i] = (char)(i * 7);
	for (int i = 0; i < BIG; i += 1000)
		cr_assert_gt(put(data + i, i + 1000 < BIG ? 1000 : BIG - i, i), 0);
	cr_assert_geq(pc.memfd, 0);
	cr_assert_eq(pagecache_size(&pc), BIG);
	cr_assert_eq(get(back, BIG, 0), BIG);
	cr_assert(memcmp(data, back, BIG) == 0);
	free(data);
	free(back);
}

Test(pagecache, one_write_larger_than_a_bounce_buffer_arrives_whole)
{
	size_t len = 1 << 20;
	char *data = malloc(len), *back = malloc(len);

	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i >> 8);
	cr_assert_eq(put(data, len, 3), (ssize_t)len);
	cr_assert_eq(get(back, len, 3), (ssize_t)len);
	cr_assert(memcmp(data, back, len) == 0);
	free(data);
	free(back);
}

Test(pagecache, sparse_six_gib_file_costs_nothing)
{
	char c = 1;

	cr_assert_eq(pagecache_truncate(&pc, INT64_C(6) << 30), 0);
	cr_assert_eq(pagecache_blocks(&pc), 0);
	cr_assert_eq(get(&c, 1, (INT64_C(6) << 30) - 1), 1);
	cr_assert_eq(c, 0);
	cr_assert_eq(put("z", 1, INT64_C(5) << 30), 1);
	cr_assert_eq(pagecache_blocks(&pc), 8);
}

Test(pagecache, small_hole_is_not_counted)
{
	cr_assert_eq(put("a", 1, 40960), 1);
	cr_assert_eq(pagecache_blocks(&pc), 8);
	cr_assert_eq(pagecache_truncate(&pc, 60000), 0);
	cr_assert_eq(pagecache_blocks(&pc), 8);
}

Test(pagecache, truncated_bytes_do_not_come_back)
{
	char buf[100];

	cr_assert_eq(put("secretsecret", 12, 0), 12);
	cr_assert_eq(pagecache_truncate(&pc, 3), 0);
	cr_assert_eq(pagecache_truncate(&pc, 100), 0);
	cr_assert_eq(get(buf, 100, 0), 100);
	cr_assert(memcmp(buf, "sec", 3) == 0 && all_zero(buf + 3, 97));
	cr_assert_eq(put("y", 1, 50), 1);
	cr_assert_eq(get(buf, 100, 0), 100);
	cr_assert(all_zero(buf + 3, 47));
}

Test(pagecache, truncate_to_zero_gives_memory_back)
{
	pc.limit = &limit;
	cr_assert_eq(put("abc", 3, 0), 3);
	cr_assert_eq(atomic_load(&limit.used), 4096);
	cr_assert_eq(pagecache_truncate(&pc, 0), 0);
	cr_assert_eq(atomic_load(&limit.used), 0);
}

Test(pagecache, negative_and_extreme_positions_are_refused)
{
	cr_assert_eq(put("a", 1, -1), -EINVAL);
	cr_assert_eq(put("a", 1, INT64_MAX), -EFBIG);
	cr_assert_eq(pagecache_truncate(&pc, -5), -EINVAL);
	cr_assert_eq(pagecache_truncate(&pc, INT64_MAX), 0);
	cr_assert_eq(put("ab", 2, INT64_MAX - 1), 1);
}

Test(pagecache, write_that_faults_is_short_and_leaves_zeros)
{
	char src[100], buf[300];
	struct short_mem mem = { src, 10 };
	struct io_iter iter;

	memset(src, 'g', sizeof(src));
	iter_init_one(&iter, &short_ops, &mem, 0, 100);
	cr_assert_eq(pagecache_write(&pc, &iter, 0), 10);
	cr_assert_eq(pagecache_size(&pc), 10);
	cr_assert_eq(pagecache_truncate(&pc, 300), 0);
	cr_assert_eq(get(buf, 300, 0), 300);
	cr_assert(buf[9] == 'g' && all_zero(buf + 10, 290));
}

Test(pagecache, write_that_faults_at_once_is_efault)
{
	struct short_mem mem = { "", 0 };
	struct io_iter iter;

	iter_init_one(&iter, &short_ops, &mem, 0, 100);
	cr_assert_eq(pagecache_write(&pc, &iter, 0), -EFAULT);
	cr_assert_eq(pagecache_size(&pc), 0);
	cr_assert_eq(pagecache_truncate(&pc, BIG), 0);
	iter_init_one(&iter, &short_ops, &mem, 0, 100);
	cr_assert_eq(pagecache_write(&pc, &iter, 0), -EFAULT);
}

Test(pagecache, read_that_faults_is_short)
{
	char dst[100];
	struct short_mem mem = { dst, 4 };
	struct io_iter iter;

	cr_assert_eq(put("0123456789", 10, 0), 10);
	iter_init_one(&iter, &short_ops, &mem, 0, 10);
	cr_assert_eq(pagecache_read(&pc, &iter, 0), 4);
	iter_init_one(&iter, &short_ops, &mem, 50, 10);
	cr_assert_eq(pagecache_read(&pc, &iter, 0), -EFAULT);
	cr_assert_eq(pagecache_truncate(&pc, BIG), 0);
	iter_init_one(&iter, &short_ops, &mem, 0, 10);
	cr_assert_eq(pagecache_read(&pc, &iter, 0), 4);
}

Test(pagecache, seek_finds_data_and_holes_while_small)
{
	cr_assert_eq(put("a", 1, 8192), 1);
	cr_assert_eq(pagecache_truncate(&pc, 30000), 0);
	cr_assert_eq(pagecache_seek(&pc, 0, SEEK_DATA), 8192);
	cr_assert_eq(pagecache_seek(&pc, 0, SEEK_HOLE), 0);
	cr_assert_eq(pagecache_seek(&pc, 8200, SEEK_DATA), 8200);
	cr_assert_eq(pagecache_seek(&pc, 8192, SEEK_HOLE), 12288);
	cr_assert_eq(pagecache_seek(&pc, 12288, SEEK_DATA), -ENXIO);
	cr_assert_eq(pagecache_seek(&pc, 30000, SEEK_HOLE), -ENXIO);
	cr_assert_eq(pagecache_seek(&pc, -1, SEEK_DATA), -ENXIO);
}

Test(pagecache, seek_agrees_in_both_forms)
{
	static const int64_t at[] = { 0, 1, 4096, 8191, 8192, 12288, 20000, 29999 };
	int64_t small[2][8];

	cr_assert_eq(put("a", 1, 8192), 1);
	cr_assert_eq(put("b", 1, 25000), 1);
	cr_assert_eq(pagecache_truncate(&pc, 30000), 0);
	for (int i = 0; i < 8; i++)
		for (int hole = 0; hole < 2; hole++)
			small[hole][i] = pagecache_seek(&pc, at[i], hole ? SEEK_HOLE : SEEK_DATA);
	int fd;
	cr_assert_eq(pagecache_hostfd(&pc, true, &fd), 0);
	close(fd);
	cr_assert_geq(pc.memfd, 0);
	for (int i = 0; i < 8; i++)
		for (int hole = 0; hole < 2; hole++)
			cr_expect_eq(pagecache_seek(&pc, at[i], hole ? SEEK_HOLE : SEEK_DATA),
				     small[hole][i], "at %ld", (long)at[i]);
}

Test(pagecache, punch_hole_frees_whole_pages_and_zeroes_parts)
{
	char *data = malloc(20000), *back = malloc(20000);

	for (int round = 0; round < 2; round++) {
		memset(data, 'd', 20000);
		cr_assert_eq(put(data, 20000, 0), 20000);
		cr_assert_eq(pagecache_blocks(&pc), 40);
		cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 100, 8192),
			     0);
		cr_assert_eq(pagecache_blocks(&pc), 32, "one page lies in the hole");
		cr_assert_eq(get(back, 20000, 0), 20000);
		cr_assert(back[99] == 'd' && all_zero(back + 100, 8192) && back[8292] == 'd');
		/* Once more as a memfd. */
		cr_assert_eq(pagecache_truncate(&pc, 0), 0);
		cr_assert_eq(pagecache_truncate(&pc, BIG), 0);
		cr_assert_eq(pagecache_truncate(&pc, 0), 0);
	}
	cr_assert_geq(pc.memfd, 0);
	free(data);
	free(back);
}

Test(pagecache, fallocate_grows_and_keep_size_does_not)
{
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_KEEP_SIZE, 0, 10000), 0);
	cr_assert_eq(pagecache_size(&pc), 0);
	cr_assert_eq(pagecache_blocks(&pc), 24);
	cr_assert_eq(pagecache_fallocate(&pc, 0, 0, 10000), 0);
	cr_assert_eq(pagecache_size(&pc), 10000);
	cr_assert_eq(pagecache_fallocate(&pc, 0, 0, BIG), 0);
	cr_assert_eq(pagecache_size(&pc), BIG);
	cr_assert_eq(pagecache_blocks(&pc), BIG / 512);
}

Test(pagecache, zero_range_zeroes_and_allocates)
{
	char buf[100];

	cr_assert_eq(put("abcdefgh", 8, 0), 8);
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_ZERO_RANGE, 2, 3), 0);
	cr_assert_eq(get(buf, 8, 0), 8);
	cr_assert(memcmp(buf, "ab\0\0\0fgh", 8) == 0);
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_ZERO_RANGE, 0, BIG), 0);
	cr_assert_eq(get(buf, 8, 0), 8);
	cr_assert(all_zero(buf, 8));
	cr_assert_eq(pagecache_blocks(&pc), BIG / 512);
}

Test(pagecache, collapse_and_insert_are_not_supported)
{
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_INSERT_RANGE, 0, 4096), -EOPNOTSUPP);
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
	cr_assert_eq(pagecache_fallocate(&pc, 0, 0, 0), -EINVAL);
	cr_assert_eq(pagecache_fallocate(&pc, 0, 1, INT64_MAX), -EFBIG);
}

Test(pagecache, mapping_and_writes_agree)
{
	char *map, buf[8];
	int fd;

	cr_assert_eq(put("before", 6, 0), 6);
	cr_assert_eq(pagecache_hostfd(&pc, true, &fd), 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	close(fd);
	cr_assert(memcmp(map, "before", 6) == 0);
	cr_assert_eq(put("after!", 6, 0), 6);
	cr_assert(memcmp(map, "after!", 6) == 0);
	memcpy(map, "mapped", 6);
	cr_assert_eq(get(buf, 6, 0), 6);
	cr_assert(memcmp(buf, "mapped", 6) == 0);
	munmap(map, 4096);
}

Test(pagecache, read_only_hostfd_cannot_be_mapped_writable)
{
	int fd;

	cr_assert_eq(put("x", 1, 0), 1);
	cr_assert_eq(pagecache_hostfd(&pc, false, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	close(fd);
}

Test(pagecache, limit_stops_small_files)
{
	pc.limit = &limit;
	limit.max = 8192;
	cr_assert_eq(put("x", 1, 8191), 1);
	cr_assert_eq(put("x", 1, 8192), -ENOSPC);
	cr_assert_eq(put("y", 1, 100), 1, "what is there can be overwritten");
}

Test(pagecache, limit_is_filled_to_the_last_page_of_a_big_file)
{
	size_t len = 2 * BIG;
	char *data = calloc(1, len);

	pc.limit = &limit;
	limit.max = BIG + 4096;
	cr_assert_eq(put(data, len, 0), BIG + 4096);
	cr_assert_eq(put(data, 1, BIG + 4096), -ENOSPC);
	cr_assert_eq(put(data, len, 0), BIG + 4096, "overwriting needs no room");
	cr_assert_eq(atomic_load(&limit.used), BIG + 4096);
	cr_assert_eq(pagecache_fallocate(&pc, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192),
		     0);
	cr_assert_eq(atomic_load(&limit.used), BIG - 4096);
	cr_assert_eq(pagecache_fallocate(&pc, 0, 0, BIG * 4), -ENOSPC);
	free(data);
}

Test(pagecache, limit_does_not_count_holes)
{
	pc.limit = &limit;
	limit.max = 4 * 4096;
	cr_assert_eq(pagecache_truncate(&pc, INT64_C(1) << 40), 0);
	cr_assert_eq(put("x", 1, INT64_C(1) << 39), 1);
	cr_assert_eq(atomic_load(&limit.used), 4096);
}

Test(pagecache, pages_that_came_through_a_mapping_are_counted)
{
	char *map;
	int fd;

	pc.limit = &limit;
	cr_assert_eq(pagecache_truncate(&pc, BIG), 0);
	cr_assert_eq(pagecache_hostfd(&pc, true, &fd), 0);
	map = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	memset(map, 1, BIG);
	munmap(map, BIG);
	cr_assert_eq(pagecache_blocks(&pc), BIG / 512);
	cr_assert_eq(atomic_load(&limit.used), BIG);
}

Test(pagecache, limit_sees_a_hole_that_was_punched_into_dense_data)
{
	size_t len = BIG;
	char *data = calloc(1, len);

	pc.limit = &limit;
	limit.max = BIG;
	cr_assert_eq(put(data, len, 0), BIG);
	cr_assert_eq(
		pagecache_fallocate(&pc, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 8192),
		0);
	cr_assert_eq(put(data, 4096, BIG), 4096, "the hole made room");
	cr_assert_eq(put(data, 8192, 4096), 4096, "for one page here");
	cr_assert_eq(put(data, 1, 8192), -ENOSPC);
	cr_assert_eq(put(data, 4096, 0), 4096);
	cr_assert_eq(atomic_load(&limit.used), BIG);
	free(data);
}

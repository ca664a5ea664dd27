/*
 * The page cache against the host's own tmpfs: random operations on both, then content, size,
 * blocks and holes must agree. Both forms and the way between them are passed many times.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/pagecache.h"

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static struct pagecache pc;
static struct pagecache_limit limit;
static int host;
static unsigned seed;

TestSuite(pagecache_model, .timeout = 120);

static int64_t draw(int64_t below)
{
	return rand_r(&seed) % below;
}

static size_t to_guest(void *mem, const struct iovec *segs, size_t nr, const void *buf, size_t len)
{
	cr_assert_eq(nr, 1);
	memcpy(segs[0].iov_base, buf, len);
	return len;
}

static size_t from_guest(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len)
{
	cr_assert_eq(nr, 1);
	memcpy(buf, segs[0].iov_base, len);
	return len;
}

/* Our own memory and that of a guest take different roads. */
static void init_either(struct io_iter *iter, void *buf, size_t len)
{
	static const struct io_iter_ops ops = {.write = to_guest, .read = from_guest};

	iter_init_one(iter, draw(2) ? &ops : NULL, NULL, (uint64_t)(uintptr_t)buf, len);
}

static void step_write(int64_t max)
{
	static char buf[20000];
	int64_t pos = draw(max);
	size_t len = (size_t)draw(draw(4) ? 300 : 20000) + 1;
	struct io_iter iter;

	memset(buf, (int)draw(255) + 1, len);
	init_either(&iter, buf, len);
	cr_assert_eq(pagecache_write(&pc, &iter, pos), (ssize_t)len);
	cr_assert_eq(pwrite(host, buf, len, pos), (ssize_t)len);
}

static void step(int64_t max)
{
	int64_t a = draw(max), b = draw(max) + 1;

	switch (draw(8)) {
	case 0:
		cr_assert_eq(pagecache_truncate(&pc, a), 0);
		cr_assert_eq(ftruncate(host, a), 0);
		break;
	case 1:
		cr_assert_eq(pagecache_fallocate(&pc, PUNCH, a, b), 0);
		cr_assert_eq(fallocate(host, PUNCH, a, b), 0);
		break;
	case 2:
		cr_assert_eq(pagecache_fallocate(&pc, 0, a, b), 0);
		cr_assert_eq(fallocate(host, 0, a, b), 0);
		break;
	default:
		step_write(max);
		break;
	}
}

static void compare_content(const char *when)
{
	static char ours[200000], theirs[200000];
	struct io_iter iter;
	ssize_t n;

	memset(ours, 1, sizeof(ours));
	init_either(&iter, ours, sizeof(ours));
	n = pagecache_read(&pc, &iter, 0);
	cr_assert_eq(n, pread(host, theirs, sizeof(theirs), 0), "%s", when);
	cr_assert(memcmp(ours, theirs, (size_t)n) == 0, "%s", when);
}

static void compare(const char *when)
{
	struct stat st;

	cr_assert_eq(fstat(host, &st), 0);
	cr_assert_eq(pagecache_size(&pc), st.st_size, "%s", when);
	cr_assert_eq(pagecache_blocks(&pc), (uint64_t)st.st_blocks, "%s: %lu, not %ld", when,
		     (unsigned long)pagecache_blocks(&pc), (long)st.st_blocks);
	compare_content(when);
	if (pc.memfd >= 0)
		cr_assert_eq(atomic_load(&limit.used), (uint64_t)st.st_blocks * 512, "%s", when);
	else
		cr_assert_geq(atomic_load(&limit.used), (uint64_t)st.st_blocks * 512, "%s", when);
}

static void run(int64_t max, int rounds, int steps)
{
	char when[64];

	for (int round = 0; round < rounds; round++) {
		seed = (unsigned)round + 1;
		host = memfd_create("model", MFD_CLOEXEC);
		pagecache_init(&pc);
		pc.limit = &limit;
		for (int n = 0; n < steps; n++) {
			step(max);
			snprintf(when, sizeof(when), "seed %d, step %d", round + 1, n);
			compare(when);
		}
		pagecache_destroy(&pc);
		cr_assert_eq(atomic_load(&limit.used), 0);
		close(host);
	}
}

Test(pagecache_model, small_files_agree_with_tmpfs)
{
	run(20000, 40, 40);
}

Test(pagecache_model, files_that_grow_agree_with_tmpfs)
{
	run(60000, 40, 40);
}

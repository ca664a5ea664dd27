/* READ: cached, direct, at the end of the file; matrix 6.6. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fusefs/cache.h"
#include "tests/support/daemon.h"

TestSuite(fuse_read, .timeout = 120);

/* F80, F81: one page asked, i_size honoured, the second read comes from the cache. */
Test(fuse_read, cached_read_asks_once)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 5, 0);
	struct step *s = expect_reply(d, FUSE_READ, 5, "hello", 5);
	char buf[64];

	cr_assert_eq(client_pread(d, file, buf, 64, 0), 5);
	cr_assert_eq(memcmp(buf, "hello", 5), 0);
	cr_assert_eq(step_in(s, struct fuse_read_in)->size, 4096);
	cr_assert_eq(step_in(s, struct fuse_read_in)->fh, 3);
	cr_assert_eq(client_pread(d, file, buf, 3, 2), 3);
	cr_assert_eq(memcmp(buf, "llo", 3), 0);
	cr_assert_eq(client_pread(d, file, buf, 3, 5), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_read, empty_file_is_never_read) /* F80 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 0, 0);
	char buf[64];

	cr_assert_eq(client_pread(d, file, buf, 64, 0), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F82: a short answer is the end of the file, and the size is lowered to it. */
Test(fuse_read, short_answer_lowers_the_size)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 100, 0);
	char buf[128];

	expect_reply(d, FUSE_READ, 5, "abc", 3);
	cr_assert_eq(client_pread(d, file, buf, 100, 0), 3);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 3, 100);
	cr_assert_eq(client_pread(d, file, buf, 100, 0), 3);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* D42 */
Test(fuse_read, longer_answer_than_asked_is_eio)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 10, FOPEN_DIRECT_IO);
	struct step *s = expect_reply(d, FUSE_READ, 5, "0123456789", 10);
	char buf[8];

	cr_assert_eq(client_pread(d, file, buf, 8, 0), -EIO);
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(s->written, -EINVAL);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F84: exactly as asked, with the lock owner, and again on every call. */
Test(fuse_read, direct_io_is_passed_through) /* W06, O02 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 0, FOPEN_DIRECT_IO);
	char buf[8];

	for (int i = 0; i < 2; i++) {
		struct step *s = expect_reply(d, FUSE_READ, 5, "xyz", 3);
		const struct fuse_read_in *in;

		cr_assert_eq(client_pread(d, file, buf, 8, 11), 3);
		in = step_in(s, struct fuse_read_in);
		cr_assert_eq(in->size, 8);
		cr_assert_eq(in->offset, 11);
		cr_assert_eq(in->read_flags, FUSE_READ_LOCKOWNER);
		cr_assert_neq(in->lock_owner, 0);
	}
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F84: split at max_read. */
Test(fuse_read, direct_io_is_split_at_max_read)
{
	struct daemon_config config = {.options = "max_read=4096"};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 0, FOPEN_DIRECT_IO);
	char *data = calloc(1, 4096), *buf = malloc(10000);

	expect_reply(d, FUSE_READ, 5, data, 4096);
	expect_reply(d, FUSE_READ, 5, data, 100); /* short: no third one */
	cr_assert_eq(client_pread(d, file, buf, 10000, 0), 4196);
	free(data);
	free(buf);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_read, error_of_the_daemon_reaches_the_reader)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 10, FOPEN_DIRECT_IO);
	char buf[8];

	expect_error(d, FUSE_READ, 5, EPERM);
	cr_assert_eq(client_pread(d, file, buf, 8, 0), -EPERM);
	expect_error(d, FUSE_READ, 5, ENOSYS);
	cr_assert_eq(client_pread(d, file, buf, 8, 0), -ENOSYS);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* O01: opening drops the cache, unless the daemon says KEEP_CACHE. */
Test(fuse_read, open_drops_the_cache_without_keep_cache)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 5, 0);
	char buf[8];

	expect_reply(d, FUSE_READ, 5, "first", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	client_close(d, file);
	expect_open(d, FUSE_OPEN, 5, 4, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "first", 5), 0);
	client_close(d, file);
	expect_open(d, FUSE_OPEN, 5, 5, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	expect_reply(d, FUSE_READ, 5, "again", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "again", 5), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F26: a new size or, with AUTO_INVAL_DATA, a new mtime makes cached pages worthless. */
Test(fuse_read, auto_inval_drops_the_cache_when_mtime_changes) /* B12 */
{
	struct daemon_config config = {.flags = FUSE_AUTO_INVAL_DATA};
	struct daemon *d = daemon_start(&config);
	struct fuse_attr_out attr = {.attr_valid = 0};
	struct file *file;
	char buf[8];

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 5, 0);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 5, 0);
	expect_reply(d, FUSE_READ, 5, "first", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 5, 0); /* same mtime: cache stays */
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	attr.attr = make_attr(5, S_IFREG | 0644, 5);
	attr.attr.mtime = 2000;
	expect_reply(d, FUSE_GETATTR, 5, &attr, sizeof(attr));
	expect_reply(d, FUSE_READ, 5, "again", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "again", 5), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

static void check_read(struct daemon *d, struct step *s, uint64_t offset, uint32_t size)
{
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(step_in(s, struct fuse_read_in)->offset, offset);
	cr_assert_eq(step_in(s, struct fuse_read_in)->size, size);
}

static void read_at(struct daemon *d, struct file *file, size_t len, int64_t pos)
{
	char *buf = malloc(len);

	cr_assert_eq(client_pread(d, file, buf, len, pos), (ssize_t)len);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(buf[i], 'r');
	free(buf);
}

/* The reader of that page leads to one READ of `size` bytes. */
static struct step *expect_and_read(struct daemon *d, struct file *file, char *data, uint32_t size,
				    int64_t page)
{
	struct step *s = expect_reply(d, FUSE_READ, 5, data, size);

	read_at(d, file, 4096, page * 4096);
	return s;
}

/* F81, L03: windows grow as Linux's; without ASYNC_READ the reader waits for each. */
Test(fuse_read, sequential_reader_gets_readahead)
{
	struct daemon_config config = {.max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 1 << 20, 0);
	char *data = malloc(131072);
	uint64_t pos = 16384, page = 1;

	memset(data, 'r', 131072);
	check_read(d, expect_and_read(d, file, data, 16384, 0), 0, 16384);
	for (uint32_t size = 32768; size <= 131072; pos += size, size *= 2) {
		check_read(d, expect_and_read(d, file, data, size, (int64_t)page), pos, size);
		while (++page * 4096 < pos)
			read_at(d, file, 4096, (int64_t)page * 4096);
	}
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F81, B00: the next window is under way while the last one is being read. */
Test(fuse_read, async_read_asks_ahead_of_the_reader)
{
	struct daemon_config config = {.flags = FUSE_ASYNC_READ, .max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 1 << 20, 0);
	char *data = malloc(131072);
	struct step *ahead, *next;

	memset(data, 'r', 131072);
	expect_reply(d, FUSE_READ, 5, data, 16384);
	read_at(d, file, 4096, 0);
	ahead = expect_silence(d, FUSE_READ, 5);
	read_at(d, file, 4096, 4096);
	check_read(d, ahead, 16384, 32768);
	read_at(d, file, 8192, 8192); /* not held up by it */
	next = expect_reply(d, FUSE_READ, 5, data, 65536);
	daemon_answer(d, ahead->in.unique, 0, data, 32768);
	read_at(d, file, 4096, 16384);
	check_read(d, next, 49152, 65536);
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

static int advise(struct daemon *d, struct file *file, int64_t offset, int64_t len, int advice)
{
	return vfs_fadvise(&d->client.ctx, file, offset, len, advice);
}

/* F81: posix_fadvise(2) ends readahead, asks for pages, and drops them. */
Test(fuse_read, advice_is_taken)
{
	struct daemon_config config = {.max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 1 << 20, 0);
	char *data = malloc(131072);

	memset(data, 'r', 131072);
	cr_assert_eq(advise(d, file, 0, 0, POSIX_FADV_RANDOM), 0);
	check_read(d, expect_and_read(d, file, data, 4096, 0), 0, 4096);
	check_read(d, expect_and_read(d, file, data, 4096, 1), 4096, 4096);
	cr_assert_eq(advise(d, file, 0, 0, POSIX_FADV_NORMAL), 0);
	check_read(d, expect_and_read(d, file, data, 16384, 2), 8192, 16384);
	{
		struct step *s = expect_reply(d, FUSE_READ, 5, data, 131072);

		cr_assert_eq(advise(d, file, 1 << 19, 1 << 18, POSIX_FADV_WILLNEED), 0);
		check_read(d, s, 1 << 19, 131072); /* one window of it */
	}
	cr_assert_eq(advise(d, file, 1, 8191, POSIX_FADV_DONTNEED), 0);
	cr_assert_eq(advise(d, file, 0, 0, POSIX_FADV_RANDOM), 0);
	read_at(d, file, 4096, 0); /* only whole pages are dropped */
	check_read(d, expect_and_read(d, file, data, 4096, 1), 4096, 4096);
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* Offsets that are behind everything, written as negative ones or not: nothing is dropped or asked for. */
Test(fuse_read, advice_about_what_no_file_has)
{
	static const int64_t offsets[] = {INT64_MAX, INT64_MAX - 4096, -1, -4096, -4096000, INT64_MIN};
	static const int64_t lens[] = {0, 1, 8192, 5000000, INT64_MAX};
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 4096, 0);
	char data[4096];

	memset(data, 'r', sizeof(data));
	(void)expect_and_read(d, file, data, 4096, 0);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
			cr_assert_eq(advise(d, file, offsets[i], lens[j], POSIX_FADV_DONTNEED), 0);
			cr_assert_eq(advise(d, file, offsets[i], lens[j], POSIX_FADV_WILLNEED), 0);
		}
	cr_assert_eq(advise(d, file, 0, -1, POSIX_FADV_DONTNEED), -EINVAL);
	read_at(d, file, 4096, 0); /* still there */
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F81: a window larger than max_pages goes out as several READs, all at once. */
Test(fuse_read, async_read_has_several_reads_under_way)
{
	struct daemon_config config = {.flags = FUSE_ASYNC_READ | FUSE_MAX_PAGES,
				       .max_pages = 4,
				       .max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 12 * 4096, 0);
	char *data = malloc(16384);
	struct step *ahead[2];

	memset(data, 'r', 16384);
	expect_reply(d, FUSE_READ, 5, data, 16384);
	read_at(d, file, 4096, 0);
	for (int i = 0; i < 2; i++)
		ahead[i] = expect_silence(d, FUSE_READ, 5);
	read_at(d, file, 4096, 4096);
	for (int i = 0; i < 2; i++)
		check_read(d, ahead[i], (uint64_t)(i + 1) * 16384, 16384);
	for (int i = 1; i >= 0; i--) /* in any order */
		daemon_answer(d, ahead[i]->in.unique, 0, data, 16384);
	read_at(d, file, 32768, 16384);
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F81, F59: RELEASE waits for the READ that nobody waits for. */
Test(fuse_read, release_waits_for_readahead)
{
	struct daemon_config config = {.flags = FUSE_ASYNC_READ, .max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = NULL;
	char *data = malloc(32768);
	struct step *ahead, *release;

	memset(data, 'r', 32768);
	daemon_ignore(d, FUSE_FLUSH);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1 << 20, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	expect_reply(d, FUSE_READ, 5, data, 16384);
	read_at(d, file, 4096, 0);
	ahead = expect_silence(d, FUSE_READ, 5);
	read_at(d, file, 4096, 4096);
	cr_assert(daemon_wait(d, ahead));
	client_close(d, file); /* a RELEASE now would find no step */
	release = expect_error(d, FUSE_RELEASE, 5, 0);
	daemon_answer(d, ahead->in.unique, 0, data, 32768);
	cr_assert(daemon_wait(d, release));
	free(data);
	DAEMON_STOP(d);
}

/* F81, F83: what readahead could not get is asked for again by who needs it. */
Test(fuse_read, failed_readahead_is_asked_again)
{
	struct daemon_config config = {.flags = FUSE_ASYNC_READ, .max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 8 * 4096, 0);
	char *data = malloc(16384), byte;

	memset(data, 'r', 16384);
	expect_reply(d, FUSE_READ, 5, data, 16384);
	read_at(d, file, 4096, 0);
	expect_error(d, FUSE_READ, 5, EPERM);
	read_at(d, file, 4096, 4096);
	cr_assert(daemon_drain(d));
	expect_reply(d, FUSE_READ, 5, data, 4096);
	cr_assert_eq(client_pread(d, file, &byte, 1, 16384), 1);
	cr_assert_eq(byte, 'r');
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* NOTIFY_INVAL_INODE; section 5. */
Test(fuse_read, inval_inode_drops_pages_and_attributes) /* T02 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_notify_inval_inode_out inval = {.ino = 5};
	struct file *file = client_open_f(d, O_RDONLY, 5, 0);
	char buf[8];

	expect_reply(d, FUSE_READ, 5, "first", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 16 + 24);
	expect_reply(d, FUSE_READ, 5, "again", 5);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "again", 5), 0);
	inval.ino = 6;
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), -ENOENT);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, 16), -EINVAL);
	cr_assert_eq(daemon_notify(d, 99, &inval, 16), -EINVAL);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* The budget: cold caches are emptied, nothing breaks. */
Test(fuse_read, over_the_budget_pages_are_read_again)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDONLY, 5, 0);
	char buf[8];

	fuse_cache_set_budget(0);
	for (int i = 0; i < 2; i++) {
		expect_reply(d, FUSE_READ, 5, "first", 5);
		cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
		cr_assert_eq(memcmp(buf, "first", 5), 0);
	}
	client_close(d, file);
	DAEMON_STOP(d);
}

/* The budget: however much is read, only so much is kept. */
Test(fuse_read, a_long_scan_keeps_the_budget)
{
	struct daemon *d = daemon_start(NULL); /* without readahead */
	struct file *file = client_open_f(d, O_RDONLY, 64 * 131072, 0);
	char *data = malloc(131072);

	memset(data, 'r', 131072);
	fuse_cache_set_budget(4 * 131072);
	for (int i = 0; i < 64; i++) {
		expect_reply(d, FUSE_READ, 5, data, 131072);
		read_at(d, file, 131072, i * 131072);
		cr_assert_leq(fuse_cache_pages(), 4 * 32);
	}
	cr_assert_gt(fuse_cache_pages(), 0);
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* Reads the first of two pages, has the daemon say another size, reads it again. */
static void read_around_a_new_size(uint64_t flags, uint64_t new_size, bool dropped)
{
	struct daemon_config config = {.flags = flags};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDONLY, 8192, FOPEN_KEEP_CACHE);
	struct fuse_notify_inval_inode_out inval = {.ino = 5, .off = -1}; /* attributes only */
	char *data = malloc(8192);
	struct step *s;
	struct kstat st;

	memset(data, 'r', 8192);
	expect_reply(d, FUSE_READ, 5, data, 8192);
	read_at(d, file, 8192, 0);
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, new_size, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	if (dropped)
		expect_reply(d, FUSE_READ, 5, data, 4096);
	read_at(d, file, 4096, 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 8192, 100);
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	s = expect_reply(d, FUSE_READ, 5, data, 4096); /* was cut off, and is never kept */
	read_at(d, file, 4096, 4096);
	cr_assert(daemon_wait(d, s));
	free(data);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* B25, F26: a new size cuts the cache off there; only without EXPLICIT_INVAL_DATA it drops the rest. */
Test(fuse_read, explicit_inval_keeps_what_a_new_size_leaves)
{
	read_around_a_new_size(FUSE_EXPLICIT_INVAL_DATA, 4096, false);
	read_around_a_new_size(0, 4096, true);
	read_around_a_new_size(FUSE_EXPLICIT_INVAL_DATA | FUSE_AUTO_INVAL_DATA, 4096, true);
}

/* Reads a page of /a and has the READ of its next window wait: one request in the background. */
static struct step *fill_background(struct daemon *d, const char *data, struct file **ret_file)
{
	struct step *ahead;

	expect_entry(d, FUSE_LOOKUP, 1, 4, S_IFREG | 0644, 1 << 20, 100);
	expect_open(d, FUSE_OPEN, 4, 2, 0);
	cr_assert_eq(client_open(d, "/a", O_RDONLY, ret_file), 0);
	expect_reply(d, FUSE_READ, 4, data, 16384);
	read_at(d, *ret_file, 4096, 0);
	ahead = expect_silence(d, FUSE_READ, 4);
	read_at(d, *ret_file, 4096, 4096);
	cr_assert(daemon_wait(d, ahead));
	return ahead;
}

/* D88: at the threshold only what a reader waits for is read; below it there is readahead again. */
Test(fuse_read, a_congested_connection_is_not_read_ahead)
{
	struct daemon_config config = {
		.flags = FUSE_ASYNC_READ, .max_readahead = 131072, .congestion_threshold = 1};
	struct daemon *d = daemon_start(&config);
	char *data = malloc(131072);
	struct file *other, *file;
	struct step *busy, *ahead;

	memset(data, 'r', 131072);
	busy = fill_background(d, data, &other);
	file = client_open_f(d, O_RDONLY, 1 << 20, 0);
	expect_reply(d, FUSE_READ, 5, data, 16384);
	for (int i = 0; i < 4; i++) /* no step for a READ of what is behind */
		read_at(d, file, 4096, i * 4096);
	daemon_answer(d, busy->in.unique, 0, data, 32768);
	read_at(d, other, 4096, 16384 + 4096); /* it is answered: nothing is in the background */
	expect_reply(d, FUSE_READ, 5, data, 16384);
	read_at(d, file, 4096, 16384);
	ahead = expect_silence(d, FUSE_READ, 5);
	read_at(d, file, 4096, 16384 + 4096);
	cr_assert(daemon_wait(d, ahead));
	daemon_answer(d, ahead->in.unique, 0, data, step_in(ahead, struct fuse_read_in)->size);
	free(data);
	client_close(d, other);
	client_close(d, file);
	DAEMON_STOP(d);
}

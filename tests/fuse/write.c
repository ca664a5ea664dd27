/* WRITE: through the cache, direct, short answers; matrix 6.6, 6.15. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/support/daemon.h"

TestSuite(fuse_write, .timeout = 120);

static struct step *expect_write(struct daemon *d, uint32_t size)
{
	struct fuse_write_out out = {.size = size};

	return expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
}

/* F86, F89: GETXATTR(security.capability), then one WRITE; the size grows here. */
Test(fuse_write, cached_write_goes_through_at_once)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 2, 0);
	struct step *x = expect_error(d, FUSE_GETXATTR, 5, ENOSYS), *w = expect_write(d, 5);
	const struct fuse_write_in *in;
	char buf[8];

	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), 5);
	cr_assert_str_eq(step_body(x) + 8, "security.capability");
	in = step_in(w, struct fuse_write_in);
	cr_assert_eq(in->fh, 3);
	cr_assert_eq(in->size, 5);
	cr_assert_eq(in->write_flags, 0);
	cr_assert_eq(in->flags, O_RDWR | 0x8000);
	cr_assert_eq(memcmp(in + 1, "hello", 5), 0);
	/* the page is covered up to the end of the file: valid, no READ, no second GETXATTR */
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 5, 100);
	cr_assert_eq(client_pread(d, file, buf, 8, 0), 5);
	cr_assert_eq(memcmp(buf, "hello", 5), 0);
	expect_write(d, 1);
	cr_assert_eq(client_pwrite(d, file, "J", 1, 0), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F87 */
Test(fuse_write, short_write_stops_and_zero_is_eio) /* Z18 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_WRONLY, 0, 0);

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 3);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), 3);
	expect_write(d, 0);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), -EIO);
	expect_write(d, 6);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), -EIO);
	expect_error(d, FUSE_WRITE, 5, ENOSPC);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), -ENOSPC);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F84: direct: with lock owner, zero is zero. */
Test(fuse_write, direct_write_carries_the_lock_owner) /* W07 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_WRONLY, 0, FOPEN_DIRECT_IO);
	struct step *w = expect_write(d, 5);

	cr_assert_eq(client_pwrite(d, file, "hello", 5, 100), 5);
	cr_assert_eq(step_in(w, struct fuse_write_in)->write_flags, FUSE_WRITE_LOCKOWNER);
	cr_assert_eq(step_in(w, struct fuse_write_in)->offset, 100);
	expect_write(d, 0);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F86: chunks of max_write; without BIG_WRITES, of a page. */
Test(fuse_write, large_write_is_split_at_max_write)
{
	struct daemon_config config = {.flags = FUSE_BIG_WRITES, .max_write = 8192};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_WRONLY, 0, 0);
	char *data = calloc(1, 20000);

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 8192);
	expect_write(d, 8192);
	expect_write(d, 20000 - 16384);
	cr_assert_eq(client_pwrite(d, file, data, 20000, 0), 20000);
	client_close(d, file);
	free(data);
	DAEMON_STOP(d);
}

Test(fuse_write, without_big_writes_each_page_is_a_write) /* B05 */
{
	struct daemon_config config = {.flags = 0};
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_WRONLY, 0, 0);
	char *data = calloc(1, 5000);

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 4096 - 100);
	expect_write(d, 5000 - 3996);
	cr_assert_eq(client_pwrite(d, file, data, 5000, 100), 5000);
	client_close(d, file);
	free(data);
	DAEMON_STOP(d);
}

/* F88 */
Test(fuse_write, append_writes_at_the_cached_size)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_WRONLY | O_APPEND, 7, 0);
	struct step *w;

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	w = expect_write(d, 3);
	cr_assert_eq(client_pwrite(d, file, "abc", 3, 0), 3);
	cr_assert_eq(step_in(w, struct fuse_write_in)->offset, 7);
	w = expect_write(d, 3);
	cr_assert_eq(client_pwrite(d, file, "abc", 3, 0), 3);
	cr_assert_eq(step_in(w, struct fuse_write_in)->offset, 10);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F86: O_SYNC adds an FSYNC; its ENOSYS is success for ever. */
Test(fuse_write, o_sync_sends_fsync)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_WRONLY | O_SYNC, 0, 0);

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 1);
	expect_error(d, FUSE_FSYNC, 5, ENOSYS);
	cr_assert_eq(client_pwrite(d, file, "a", 1, 0), 1);
	expect_write(d, 1);
	cr_assert_eq(client_pwrite(d, file, "a", 1, 0), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* Minor < 9: 24 bytes in front of the data (1.5). */
Test(fuse_write, old_daemons_get_the_short_header) /* V09 */
{
	struct daemon_config config = {.flags = FUSE_BIG_WRITES, .minor = 8};
	struct daemon *d = daemon_start(&config);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 0, 100);
	struct file *file;
	struct step *w;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_reply(d, FUSE_LOOKUP, 1, &entry, 120);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", O_WRONLY, &file), 0);
	w = expect_write(d, 5);
	cr_assert_eq(client_pwrite(d, file, "hello", 5, 0), 5);
	cr_assert_eq(w->body_len, 24 + 5);
	cr_assert_eq(memcmp(w->body + 24, "hello", 5), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

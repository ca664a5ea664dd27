/* Answers of the wrong shape, for each request on an open file: EIO, and EINVAL for the daemon. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/xattr.h"

TestSuite(fuse_malformed, .timeout = 120);

static long do_fsync(struct daemon *d, struct file *f)
{
	return vfs_fsync(&d->client.ctx, f, 0, INT64_MAX, false);
}
static long do_fallocate(struct daemon *d, struct file *f)
{
	return vfs_fallocate(&d->client.ctx, f, 0, 0, 100);
}
static long do_lseek(struct daemon *d, struct file *f)
{
	return vfs_llseek(&d->client.ctx, f, 1, SEEK_DATA);
}
static long do_truncate_(struct daemon *d, struct file *f)
{
	return vfs_ftruncate(&d->client.ctx, f, 5);
}
static long do_write(struct daemon *d, struct file *f)
{
	return client_pwrite(d, f, "x", 1, 0);
}
static long do_setxattr(struct daemon *d, struct file *f)
{
	return vfs_setxattr(&d->client.ctx, &f->path, "user.a", "1", 1, 0);
}
static long do_removexattr(struct daemon *d, struct file *f)
{
	return vfs_removexattr(&d->client.ctx, &f->path, "user.a");
}

static const struct {
	uint32_t opcode;
	size_t len; /* of a good answer */
	long (*fn)(struct daemon *d, struct file *f);
} rows[] = {
	{FUSE_FSYNC, 0, do_fsync},	   {FUSE_FALLOCATE, 0, do_fallocate},
	{FUSE_LSEEK, 8, do_lseek},	   {FUSE_SETATTR, 104, do_truncate_},
	{FUSE_WRITE, 8, do_write},	   {FUSE_SETXATTR, 0, do_setxattr},
	{FUSE_REMOVEXATTR, 0, do_removexattr},
};

/* The answer has `len` bytes behind its header, and that error. */
static void check(size_t row, int error, size_t len)
{
	static const uint8_t zeros[128];
	struct daemon *d = daemon_start(NULL);
	struct file *file = NULL;
	struct step *s;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	s = expect_reply(d, rows[row].opcode, 5, zeros, len);
	s->error = error;
	cr_expect_eq(rows[row].fn(d, file), -EIO, "opcode %u", rows[row].opcode);
	cr_assert(daemon_drain(d));
	cr_expect_eq(s->written, -EINVAL, "opcode %u", rows[row].opcode);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_malformed, too_long) /* D42, Z02 */
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(i, 0, rows[i].len + 1);
}

Test(fuse_malformed, too_short) /* D42, Z02 */
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].len)
			check(i, 0, rows[i].len - 1);
}

Test(fuse_malformed, an_error_with_a_payload) /* D41, Z02 */
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(i, -EPERM, 4);
}

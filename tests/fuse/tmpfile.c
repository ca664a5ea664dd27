/* O_TMPFILE: TMPFILE, and what becomes of the file without a name. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"

TestSuite(fuse_tmpfile, .timeout = 20);

struct made {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

static struct made reply_of(uint64_t nodeid, uint32_t mode)
{
	return (struct made){ make_entry(nodeid, mode, 0, 100), { .fh = 7 } };
}

static int open_tmp(struct daemon *d, struct file **ret_file)
{
	struct open_args args = { .flags = O_RDWR | O_TMPFILE | O_EXCL, .mode = 0640 };

	return vfs_open(&d->client.ctx, NULL, "/", &args, ret_file);
}

Test(fuse_tmpfile, is_sent_with_the_name_of_a_slash) /* A05, F50, F54, Q51 */
{
	struct daemon *d = daemon_start(NULL);
	struct made out = reply_of(9, S_IFREG | 0640);
	struct step *s = expect_reply(d, FUSE_TMPFILE, 1, &out, sizeof(out));
	struct file *file = NULL;
	const struct fuse_create_in *in;

	cr_assert_eq(open_tmp(d, &file), 0);
	in = step_in(s, struct fuse_create_in);
	cr_assert_eq(s->body_len, sizeof(*in) + 2);
	cr_assert_str_eq((const char *)(in + 1), "/");
	cr_assert_eq(in->mode, S_IFREG | 0640);
	cr_assert_eq(in->umask, 022); /* the default */
	cr_assert_eq(in->flags & O_TMPFILE & ~O_DIRECTORY, O_TMPFILE & ~O_DIRECTORY);
	expect_reply(d, FUSE_FLUSH, 9, NULL, 0);
	s = expect_reply(d, FUSE_RELEASE, 9, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	cr_assert_eq(step_in(s, struct fuse_release_in)->fh, 7);
	cr_assert(daemon_wait_forgotten(d, 9, 1)); /* F171: it has no name to be found by */
	DAEMON_STOP(d);
}

/* F53, Z11: EIO; nothing is forgotten or released. */
Test(fuse_tmpfile, must_be_a_new_regular_file)
{
	static const struct {
		uint64_t nodeid;
		uint32_t mode;
	} rows[] = { { 0, S_IFREG | 0640 },
		     { 1, S_IFREG | 0640 },
		     { 9, S_IFDIR | 0755 },
		     { 9, S_IFLNK },
		     { 9, 0 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon *d = daemon_start(NULL);
		struct made out = reply_of(rows[i].nodeid, rows[i].mode);
		struct file *file = NULL;

		expect_reply(d, FUSE_TMPFILE, 1, &out, sizeof(out));
		cr_expect_eq(open_tmp(d, &file), -EIO, "row %zu", i);
		cr_expect_eq(daemon_forgotten(d, 9), 0, "row %zu", i);
		DAEMON_STOP(d);
	}
}

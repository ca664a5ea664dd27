/* HANDLE_KILLPRIV_V2: who takes set-id bits away, and who is told; matrix 6.15. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "tests/support/daemon.h"

TestSuite(fuse_killpriv, .timeout = 120);

#define FLAGS (FUSE_ATOMIC_O_TRUNC | FUSE_PARALLEL_DIROPS | FUSE_BIG_WRITES)

static struct daemon *start(uint64_t flags, uid_t uid)
{
	struct daemon_config config = {.flags = FLAGS | flags, .options = "allow_other", .uid = uid};
	struct daemon *d = daemon_start(&config);

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	return d;
}

static struct file *open_file(struct daemon *d, uint32_t mode, unsigned flags,
			      uint32_t want_open_flags)
{
	struct file *file = NULL;
	struct step *s;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | mode, 10, 100);
	s = expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR | flags, &file), 0);
	cr_expect_eq(step_in(s, struct fuse_open_in)->open_flags, want_open_flags);
	return file;
}

Test(fuse_killpriv, open_with_truncation) /* P05, W04 */
{
	const struct {
		uint64_t flags;
		uid_t uid;
		unsigned open;
		uint32_t want;
	} rows[] = {
		{FUSE_HANDLE_KILLPRIV_V2, 1000, O_TRUNC, FUSE_OPEN_KILL_SUIDGID},
		{FUSE_HANDLE_KILLPRIV_V2, 1000, 0, 0},
		{FUSE_HANDLE_KILLPRIV_V2, 0, O_TRUNC, 0}, /* CAP_FSETID */
		{FUSE_HANDLE_KILLPRIV, 1000, O_TRUNC, 0},
		{0, 1000, O_TRUNC, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon *d = start(rows[i].flags, rows[i].uid);

		client_close(d, open_file(d, 0644, rows[i].open, rows[i].want));
		DAEMON_STOP(d);
	}
}

Test(fuse_killpriv, create_with_truncation) /* P05 */
{
	struct daemon *d = start(FUSE_HANDLE_KILLPRIV_V2, 1000);
	struct file *file;

	for (int excl = 0; excl < 2; excl++) {
		struct step *s;

		expect_error(d, FUSE_LOOKUP, 1, ENOENT);
		s = expect_error(d, FUSE_CREATE, 1, EPERM);
		cr_expect_eq(client_open(d, "/n", O_RDWR | O_CREAT | O_TRUNC | (excl ? O_EXCL : 0),
					 &file),
			     -EPERM);
		cr_expect_eq(step_in(s, struct fuse_create_in)->open_flags,
			     excl ? 0 : FUSE_OPEN_KILL_SUIDGID);
	}
	DAEMON_STOP(d);
}

Test(fuse_killpriv, truncation_and_chown) /* P03, P04, B28, W03 */
{
	const struct {
		uint64_t flags;
		uid_t uid;
		uint32_t truncate, chown;
	} rows[] = {
		{FUSE_HANDLE_KILLPRIV_V2, 1000, FATTR_KILL_SUIDGID, FATTR_KILL_SUIDGID},
		{FUSE_HANDLE_KILLPRIV_V2, 0, 0, FATTR_KILL_SUIDGID},
		{FUSE_HANDLE_KILLPRIV, 1000, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon *d = start(rows[i].flags, rows[i].uid);
		struct file *file = open_file(d, 06755, 0, 0);
		struct iattr attr = {.valid = ATTR_GID, .gid = 1000};
		const uint32_t bits = FATTR_MODE | FATTR_KILL_SUIDGID;
		struct step *s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 06755, 4, 100);

		cr_assert_eq(vfs_ftruncate(&d->client.ctx, file, 4), 0);
		cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid & bits, rows[i].truncate,
			     "%zu", i);
		s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 06755, 4, 100);
		cr_assert_eq(notify_change(&d->client.ctx, &file->path, &attr), 0);
		cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid & bits, rows[i].chown, "%zu",
			     i);
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

static void expect_write(struct daemon *d, struct step **ret_step)
{
	const struct fuse_write_out out = {.size = 1};

	*ret_step = expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
}

Test(fuse_killpriv, a_write_to_a_set_id_file) /* P01, W07 */
{
	for (uid_t uid = 0; uid <= 1000; uid += 1000) {
		struct daemon *d = start(FUSE_HANDLE_KILLPRIV_V2, uid);
		struct file *file = open_file(d, 06755, 0, 0);
		struct step *s = NULL, *w;

		expect_error(d, FUSE_GETXATTR, 5, ENODATA);
		if (uid)
			s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100);
		expect_write(d, &w);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
		if (s)
			cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid & FATTR_MODE, 0);
		cr_expect_eq(step_in(w, struct fuse_write_in)->write_flags & FUSE_WRITE_KILL_SUIDGID,
			     uid ? FUSE_WRITE_KILL_SUIDGID : 0);
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

/* F92: a WRITE that takes bits away is not kept back; only V2 has a flag for it. */
Test(fuse_killpriv, the_writeback_cache_is_passed_by)
{
	const struct {
		uint64_t flags;
		uid_t uid;
		uint32_t mode;
		bool through;
	} rows[] = {
		{FUSE_HANDLE_KILLPRIV_V2, 1000, 04755, true},
		{FUSE_HANDLE_KILLPRIV_V2, 1000, 02755, true},
		{FUSE_HANDLE_KILLPRIV_V2, 1000, 02644, true}, /* not of our group */
		{FUSE_HANDLE_KILLPRIV_V2, 1000, 0644, false},
		{FUSE_HANDLE_KILLPRIV_V2, 0, 06755, false},
		{FUSE_HANDLE_KILLPRIV, 1000, 06755, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon *d = start(rows[i].flags | FUSE_WRITEBACK_CACHE, rows[i].uid);
		struct file *file = open_file(d, rows[i].mode, 0, 0);
		bool strips = rows[i].uid && (rows[i].mode & 06000);
		struct step *s = NULL, *w = NULL;

		if (strips)
			s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100);
		if (rows[i].through)
			expect_write(d, &w);
		else
			expect_reply(d, FUSE_READ, 5, "0123456789", 10);
		daemon_ignore(d, FUSE_GETXATTR);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1, "%zu", i);
		if (s)
			cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid, 0, "%zu", i);
		if (w)
			cr_expect_eq(step_in(w, struct fuse_write_in)->write_flags,
				     FUSE_WRITE_KILL_SUIDGID, "%zu", i);
		if (!w)
			expect_reply(d, FUSE_WRITE, 5, &(struct fuse_write_out){.size = 10}, 8);
		expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100); /* the times */
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

Test(fuse_killpriv, security_capability_is_asked_for_until_it_is_known) /* F31, P06 */
{
	struct daemon *d = start(FUSE_HANDLE_KILLPRIV_V2, 1000);
	struct file *file = open_file(d, 0644, 0, 0);
	struct kstat st;
	struct step *w;

	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	expect_write(d, &w);
	cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	expect_write(d, &w); /* not asked again */
	cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 10, 100); /* mtime is stale */
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	expect_write(d, &w);
	cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_killpriv, without_v2_security_capability_is_asked_for_each_time)
{
	struct daemon *d = start(FUSE_HANDLE_KILLPRIV, 1000);
	struct file *file = open_file(d, 0644, 0, 0);
	struct step *w;

	for (int i = 0; i < 2; i++) {
		expect_error(d, FUSE_GETXATTR, 5, ENODATA);
		expect_write(d, &w);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	}
	client_close(d, file);
	DAEMON_STOP(d);
}

/* B19, P01: a SETATTR that names nothing; what it answers is the mode from now on. */
Test(fuse_killpriv, with_v1_the_daemon_takes_the_bits_away)
{
	struct daemon *d = start(FUSE_HANDLE_KILLPRIV, 1000);
	struct file *file = open_file(d, 06755, 0, 0);
	struct step *s, *w;

	for (uint32_t left = 06755; left; left = left == 0755 ? 0 : 0755) {
		expect_error(d, FUSE_GETXATTR, 5, ENODATA);
		s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | left, 10, 100);
		expect_write(d, &w);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
		cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid, 0);
		cr_expect_eq(step_in(w, struct fuse_write_in)->write_flags, 0);
	}
	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	expect_write(d, &w);
	cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F31: that there is nothing to take away is known as soon as it has been taken away. */
Test(fuse_killpriv, what_was_taken_away_is_not_looked_for_again)
{
	struct daemon *d = start(FUSE_HANDLE_KILLPRIV_V2, 1000);
	struct file *file = open_file(d, 06755, 0, 0);
	struct step *w;

	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100);
	for (int i = 0; i < 2; i++) {
		expect_write(d, &w);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	}
	client_close(d, file);
	DAEMON_STOP(d);
}

/* P02: with DIRECT_IO nothing is taken away here; WRITE says whose business it is, whatever the mode. */
Test(fuse_killpriv, a_direct_write_leaves_the_bits_to_the_daemon)
{
	static const uint64_t flags[] = {0, FUSE_HANDLE_KILLPRIV, FUSE_HANDLE_KILLPRIV_V2};

	for (int i = 0; i < 12; i++) {
		uid_t uid = i % 2 ? 1000 : 0;
		struct daemon *d = start(flags[i / 4], uid);
		struct file *file = NULL;
		struct step *w;

		expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | (i & 2 ? 06755 : 0644), 10, 100);
		expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
		cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
		expect_write(d, &w);
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
		cr_expect_eq(step_in(w, struct fuse_write_in)->write_flags,
			     FUSE_WRITE_LOCKOWNER | (uid ? FUSE_WRITE_KILL_SUIDGID : 0), "%d", i);
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

/* P02: O_DIRECT of a file that the daemon has not made direct is a write like any other. */
Test(fuse_killpriv, o_direct_alone_takes_the_bits_away)
{
	struct daemon *d = start(0, 1000);
	struct file *file = open_file(d, 06755, O_DIRECT, 0);
	struct step *s, *w;

	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 100);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100);
	expect_write(d, &w);
	cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
	cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid, FATTR_MODE);
	cr_expect_eq(step_in(s, struct fuse_setattr_in)->mode, S_IFREG | 0755);
	cr_expect_eq(step_in(w, struct fuse_write_in)->write_flags,
		     FUSE_WRITE_LOCKOWNER | FUSE_WRITE_KILL_SUIDGID);
	client_close(d, file);
	DAEMON_STOP(d);
}

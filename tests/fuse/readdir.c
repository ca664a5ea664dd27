/* READDIR, READDIRPLUS; matrix 6.5. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "tests/support/daemon.h"

TestSuite(fuse_readdir, .timeout = 120);

static struct file *open_root(struct daemon *d)
{
	struct file *file = NULL;

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	{
		struct kstat st;

		cr_assert_eq(client_stat(d, "/", &st), 0);
	}
	expect_open(d, FUSE_OPENDIR, 1, 9, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &file), 0);
	return file;
}

/* F70, F71, F73 */
Test(fuse_readdir, offset_is_that_of_the_last_entry_taken)
{
	struct daemon *d = daemon_start(NULL);
	struct file *dir = open_root(d);
	char list[4096], names[256];
	struct step *s;
	size_t n;

	n = make_dirent(list, 1, 100, ".", 4);
	n += make_dirent(list + n, 2, 77, "abc", 8);
	n += make_dirent(list + n, 3, 5, "de", 8);
	s = expect_reply(d, FUSE_READDIR, 1, list, n);
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 60), 0);
	cr_assert_str_eq(names, ". abc ");
	cr_assert_eq(step_in(s, struct fuse_read_in)->offset, 0);
	cr_assert_eq(step_in(s, struct fuse_read_in)->size, 4096);
	cr_assert_eq(step_in(s, struct fuse_read_in)->fh, 9);
	s = expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 60), 0);
	cr_assert_eq(step_in(s, struct fuse_read_in)->offset, 77);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F72 */
Test(fuse_readdir, bad_names_are_eio) /* Z20 */
{
	static const char *const bad[] = {"", "a/b"};
	struct daemon *d = daemon_start(NULL);
	struct file *dir = open_root(d);
	char list[4096], names[256];

	for (int i = 0; i < 2; i++) {
		size_t n = make_dirent(list, 1, 1, bad[i], 4);

		expect_reply(d, FUSE_READDIR, 1, list, n);
		cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), -EIO);
	}
	client_close(d, dir);
	DAEMON_STOP(d);
}

Test(fuse_readdir, truncated_last_record_ends_the_batch) /* F72, S13 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *dir = open_root(d);
	char list[4096], names[256];
	size_t n = make_dirent(list, 1, 1, "whole", 8), m = make_dirent(list + n, 2, 2, "cut", 8);

	expect_reply(d, FUSE_READDIR, 1, list, n + m - 8);
	client_readdir(d, dir, names, sizeof(names), 4096);
	cr_assert_str_eq(names, "whole ");
	client_close(d, dir);
	DAEMON_STOP(d);
}

Test(fuse_readdir, errors_are_the_callers_and_opendir_enosys_is_local)
{
	struct daemon *d = daemon_start(NULL);
	struct file *dir = open_root(d), *again;
	char names[64];
	struct step *s;

	expect_error(d, FUSE_READDIR, 1, ENOSYS);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), -ENOSYS);
	expect_error(d, FUSE_OPENDIR, 1, ENOSYS);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &again), 0);
	s = expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, again, names, sizeof(names), 4096), 0);
	cr_assert_eq(step_in(s, struct fuse_read_in)->fh, 0);
	client_close(d, again);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F74, F75: entries become names and inodes; each but the dots counts one lookup. */
Test(fuse_readdir, readdirplus_fills_the_caches) /* B13, S14 */
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out dot = make_entry(1, S_IFDIR | 0755, 0, 100);
	struct fuse_entry_out file = make_entry(21, S_IFREG | 0644, 33, 100);
	struct fuse_entry_out plain = make_entry(0, 0, 0, 0);
	char list[4096], names[256];
	struct kstat st;
	size_t n;

	n = make_direntplus(list, &dot, 1, ".", 4);
	n += make_direntplus(list + n, &file, 2, "f", 8);
	n += make_direntplus(list + n, &plain, 3, "g", 8);
	expect_reply(d, FUSE_READDIRPLUS, 1, list, n);
	client_readdir(d, dir, names, sizeof(names), 4096);
	cr_assert_str_eq(names, ". f g ");
	cr_assert_eq(client_stat(d, "/f", &st), 0); /* no LOOKUP, no GETATTR */
	cr_assert_eq(st.size, 33);
	/* again: the same object, counted once more; full buffer: still counted */
	expect_reply(d, FUSE_READDIRPLUS, 1, list, n);
	dir->pos = 0;
	client_readdir(d, dir, names, sizeof(names), 20);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 21, 2));
	cr_assert_eq(daemon_forgotten(d, 1), 0);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* Section 9: listed, but forgotten at once. */
Test(fuse_readdir, readdirplus_with_bad_attributes_is_forgotten) /* Z21 */
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out bad = make_entry(30, 0644, 0, 100);
	char list[4096], names[256];
	size_t n = make_direntplus(list, &bad, 2, "f", 8);

	expect_reply(d, FUSE_READDIRPLUS, 1, list, n);
	client_readdir(d, dir, names, sizeof(names), 4096);
	cr_assert_str_eq(names, "f ");
	cr_assert(daemon_wait_forgotten(d, 30, 1));
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F74: AUTO uses it at the start, and later only after a lookup in the directory. */
Test(fuse_readdir, readdirplus_auto_adapts) /* B14 */
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out plain = make_entry(0, 0, 0, 0);
	char list[4096], names[256];
	struct kstat st;
	size_t n = make_direntplus(list, &plain, 2, "f", 8);

	expect_reply(d, FUSE_READDIRPLUS, 1, list, n);
	client_readdir(d, dir, names, sizeof(names), 4096);
	n = make_dirent(list, 1, 3, "g", 8);
	expect_reply(d, FUSE_READDIR, 1, list, n);
	client_readdir(d, dir, names, sizeof(names), 4096);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	expect_reply(d, FUSE_READDIRPLUS, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	client_close(d, dir);
	DAEMON_STOP(d);
}

struct plus_reply {
	char list[512];
	size_t len;
};

static long read_dir(struct daemon *d, void *arg)
{
	char names[64];

	return client_readdir(d, arg, names, sizeof(names), 4096);
}

/* Ours: the lookups of a killed READDIRPLUS are forgotten. */
Test(fuse_readdir, late_readdirplus_of_a_killed_client_is_forgotten)
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out file = make_entry(21, S_IFREG | 0644, 33, 100);
	struct client_thread t;
	struct step *s = expect_silence(d, FUSE_READDIRPLUS, 1), *intr;
	char list[512];
	size_t n = make_direntplus(list, &file, 2, "f", 8);

	client_spawn(&t, d, read_dir, dir);
	cr_assert(daemon_wait(d, s));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(d, intr));
	cr_assert_gt(daemon_answer(d, s->in.unique, 0, list, n), 0);
	cr_assert(daemon_wait_forgotten(d, 21, 1));
	client_close(d, dir);
	DAEMON_STOP(d);
}

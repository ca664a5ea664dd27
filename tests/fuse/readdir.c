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

/* Opens the root again as the daemon says, and gives back what OPENDIR asked. */
static struct step *reopen(struct daemon *d, unsigned flags, uint32_t open_flags,
			   struct file **ret_dir)
{
	struct step *s = expect_open(d, FUSE_OPENDIR, 1, 9, open_flags);

	cr_assert_eq(client_open(d, "/", flags, ret_dir), 0);
	return s;
}

/* F61: as OPEN's, but nothing of a directory is direct. */
Test(fuse_readdir, opendir_flags)
{
	const unsigned flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
	const uint32_t cached = FOPEN_DIRECT_IO | FOPEN_CACHE_DIR;
	struct daemon *d = daemon_start(NULL);
	struct file *dir = open_root(d);
	char list[256], names[64];
	struct step *s;

	client_close(d, dir);
	s = reopen(d, flags | O_NOCTTY | O_CLOEXEC, cached, &dir);
	cr_assert_eq(step_in(s, struct fuse_open_in)->flags, 0x8000 | flags);
	cr_assert_eq(step_in(s, struct fuse_open_in)->open_flags, 0);
	expect_reply(d, FUSE_READDIR, 1, list, make_dirent(list, 2, 1, "f", 8));
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	expect_reply(d, FUSE_READDIR, 1, NULL, 0);
	cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	client_close(d, dir);
	reopen(d, flags, cached | FOPEN_KEEP_CACHE, &dir);
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 4096), 0); /* no READDIR */
	cr_assert_str_eq(names, "f ");
	client_close(d, dir);
	for (int stream = 0; stream < 2; stream++) {
		reopen(d, flags, stream ? FOPEN_STREAM : FOPEN_NONSEEKABLE, &dir);
		cr_assert_eq(vfs_llseek(&d->client.ctx, dir, 0, SEEK_SET), -ESPIPE);
		client_close(d, dir);
	}
	expect_error(d, FUSE_OPENDIR, 1, EMFILE);
	cr_assert_eq(client_open(d, "/", flags, &dir), -EMFILE);
	DAEMON_STOP(d);
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

/* The listing of a directory that has one entry, "f". */
static void list_again(struct daemon *d, struct file *dir, const struct fuse_entry_out *entry)
{
	char list[512], names[64];
	size_t n = make_direntplus(list, entry, 1, "f", 8);

	dir->pos = 0;
	expect_reply(d, FUSE_READDIRPLUS, 1, list, n);
	cr_assert_gt(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	cr_assert_str_eq(names, "f ");
}

/* F76: what a known name is said to be now. */
Test(fuse_readdir, readdirplus_refreshes_or_replaces_known_names)
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 10, 0);
	struct path path;
	struct kstat st;

	expect_reply(d, FUSE_LOOKUP, 1, &entry, sizeof(entry));
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &path), 0);
	entry = make_entry(5, S_IFREG | 0600, 10, 100);
	list_again(d, dir, &entry);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	cr_assert_eq(st.mode, S_IFREG | 0600); /* no GETATTR */
	cr_assert_eq(client_stat(d, "/f", &st), 0); /* no LOOKUP */
	entry.nodeid = entry.attr.ino = 6; /* another file, and the old one is as it was */
	list_again(d, dir, &entry);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.ino, 6);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	path_put(&path);
	cr_assert(daemon_wait_forgotten(d, 5, 2));
	for (int i = 0; i < 2; i++) { /* the same number stands for something else: it is bad */
		entry.attr_valid = entry.entry_valid = 100;
		list_again(d, dir, &entry);
		expect_attr(d, FUSE_GETATTR, 6, entry.attr.mode, 10, 100); /* F24 */
		cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &path), 0);
		cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC), 0);
		if (i == 0)
			entry.generation++;
		else
			entry.attr.mode = S_IFDIR | 0755;
		list_again(d, dir, &entry);
		cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), -EIO);
		cr_assert_eq(client_stat(d, "/f", &st), 0);
		cr_assert_eq(st.mode, entry.attr.mode);
		path_put(&path);
	}
	client_close(d, dir);
	DAEMON_STOP(d);
}

Test(fuse_readdir, readdirplus_of_a_bad_inode_is_forgotten) /* F76 */
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 10, 0);
	struct path path;
	struct kstat st;

	expect_reply(d, FUSE_LOOKUP, 1, &entry, sizeof(entry));
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &path), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFDIR | 0755, 10, 100);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), -EIO);
	list_again(d, dir, &entry);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	path_put(&path);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 2)); /* that of the LOOKUP */
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* F74: also a name that was known before. */
Test(fuse_readdir, a_walk_to_what_readdirplus_has_named_asks_for_more_of_it)
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO};
	struct daemon *d = daemon_start(&config);
	struct file *dir = open_root(d);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 10, 100);
	char names[64];
	struct kstat st;

	for (int known = 0; known < 2; known++) {
		list_again(d, dir, &entry);
		cr_assert_eq(client_stat(d, "/f", &st), 0);
		expect_reply(d, FUSE_READDIRPLUS, 1, NULL, 0);
		cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
		expect_reply(d, FUSE_READDIR, 1, NULL, 0);
		cr_assert_eq(client_readdir(d, dir, names, sizeof(names), 4096), 0);
	}
	client_close(d, dir);
	DAEMON_STOP(d);
}

static long read_dir(struct daemon *d, void *arg)
{
	char names[64];

	return client_readdir(d, arg, names, sizeof(names), 4096);
}

/* F78: the directory is locked for no more than reading. */
Test(fuse_readdir, listings_of_one_directory_side_by_side)
{
	struct daemon_config config = {.flags = FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct file *dirs[2] = {open_root(d)};
	struct client_thread t[2];
	struct step *s[2];

	reopen(d, O_RDONLY, 0, &dirs[1]);
	for (int i = 0; i < 2; i++) {
		s[i] = expect_silence(d, FUSE_READDIR, 1);
		client_spawn(&t[i], d, read_dir, dirs[i]);
	}
	for (int i = 0; i < 2; i++)
		cr_assert(daemon_wait(d, s[i]));
	for (int i = 0; i < 2; i++) /* whose request came first is not said */
		cr_assert_eq(daemon_answer(d, s[i]->in.unique, 0, NULL, 0), 16);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(client_join(&t[i]), 0);
		client_close(d, dirs[i]);
	}
	DAEMON_STOP(d);
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

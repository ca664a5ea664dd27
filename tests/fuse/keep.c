/*
 * A kept connection: its daemon dies and another one takes over (devfuse/keep.h). Not in Linux;
 * what the new daemon gets to see is NOTIFY_RESEND's (section 5, code 7) and INIT's (2.1).
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mount.h>

#include "tests/support/daemon.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

TestSuite(fuse_keep, .timeout = 30);

#define FLAGS (FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC)
#define F     (S_IFREG | 0644)
#define DIR   (S_IFDIR | 0755)

static struct daemon *start(uint64_t flags)
{
	struct daemon_config config = {.flags = FLAGS | flags, .options = "keep"};

	return daemon_start(&config);
}

/* The daemon dies over the request that fn makes and the script expects next. */
static void crash_over(struct daemon *d, struct step *s, struct client_thread *t,
		       long (*fn)(struct daemon *d, void *arg), void *arg)
{
	client_spawn(t, d, fn, arg);
	cr_assert(daemon_wait(d, s));
	daemon_crash(d);
}

static struct step *crash_in_lookup(struct daemon *d, struct client_thread *t)
{
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);

	crash_over(d, s, t, client_stat_path, "/x");
	return s;
}

Test(fuse_keep, a_client_waits_for_the_next_daemon)
{
	struct daemon *d = start(0);
	struct client_thread t;
	struct step *s1 = crash_in_lookup(d, &t), *s2;

	cr_assert(d->conn->vacant);
	s2 = expect_entry(d, FUSE_LOOKUP, 1, 7, F, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_str_eq(step_body(s2), "x");
	/* Without FUSE_HAS_RESEND: a number like any other. */
	cr_assert_neq(s2->in.unique, s1->in.unique);
	cr_assert_eq(s2->in.unique >> 63, 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, who_knows_resend_is_told) /* section 5, RESEND; bit 39 */
{
	struct daemon *d = start(FUSE_HAS_RESEND);
	struct client_thread t;
	struct step *s1 = crash_in_lookup(d, &t), *s2;

	s2 = expect_entry(d, FUSE_LOOKUP, 1, 7, F, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(s2->in.unique, s1->in.unique | FUSE_UNIQUE_RESEND);
	DAEMON_STOP(d);
}

Test(fuse_keep, what_was_not_read_is_not_a_resend)
{
	struct daemon *d = start(FUSE_HAS_RESEND);
	struct client_thread t;
	struct step *s;

	daemon_crash(d);
	client_spawn(&t, d, client_stat_path, "/x");
	s = expect_entry(d, FUSE_LOOKUP, 1, 7, F, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(s->in.unique >> 63, 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_waiting_client_can_be_killed) /* I10 */
{
	struct daemon *d = start(0);
	struct client_thread t;

	crash_in_lookup(d, &t);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	DAEMON_STOP(d);
}

Test(fuse_keep, without_keep_it_dies_with_its_daemon) /* D59 */
{
	struct daemon *d = daemon_start(NULL);
	struct client_thread t;
	struct kstat st;

	crash_in_lookup(d, &t);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOTCONN);
	DAEMON_STOP(d);
}

static struct file *open_file(struct daemon *d, uint64_t nodeid, uint64_t fh, unsigned flags)
{
	struct file *file;

	expect_entry(d, FUSE_LOOKUP, 1, nodeid, F, 100, 100);
	expect_open(d, FUSE_OPEN, nodeid, fh, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", flags, &file), 0);
	return file;
}

Test(fuse_keep, an_open_file_is_looked_up_and_opened_again)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDWR | O_TRUNC);
	struct step *open, *read, *release;
	char buf[4];

	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 8, F, 100, 100);
	open = expect_open(d, FUSE_OPEN, 8, 88, FOPEN_DIRECT_IO);
	read = expect_reply(d, FUSE_READ, 8, "abcd", 4);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_pread(d, file, buf, 4, 10), 4);
	cr_assert_eq(memcmp(buf, "abcd", 4), 0);
	cr_assert_eq(step_in(open, struct fuse_open_in)->flags & (O_ACCMODE | O_TRUNC), O_RDWR);
	cr_assert_eq(step_in(read, struct fuse_read_in)->fh, 88);
	cr_assert_eq(step_in(read, struct fuse_read_in)->offset, 10);
	daemon_ignore(d, FUSE_FLUSH);
	release = expect_reply(d, FUSE_RELEASE, 8, NULL, 0);
	client_close(d, file);
	cr_assert(daemon_wait(d, release));
	cr_assert_eq(step_in(release, struct fuse_release_in)->fh, 88);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_request_under_way_gets_the_new_numbers)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDWR), *other;
	struct fuse_write_out out = {.size = 3};
	struct step *write;

	/* A write by hand, as its thread is this one's: the daemon dies before it could read it. */
	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 8, F, 100, 100);
	expect_open(d, FUSE_OPEN, 8, 88, FOPEN_DIRECT_IO);
	write = expect_reply(d, FUSE_WRITE, 8, &out, sizeof(out));
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_pwrite(d, file, "xyz", 3, 20), 3);
	cr_assert_eq(step_in(write, struct fuse_write_in)->fh, 88);
	cr_assert_eq(memcmp(write->body + sizeof(struct fuse_write_in), "xyz", 3), 0);
	/* The name leads to the same inode: no LOOKUP, the entry is still valid. */
	expect_open(d, FUSE_OPEN, 8, 89, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &other), 0);
	cr_assert_eq(other->inode, file->inode);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, other);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long read_file(struct daemon *d, void *arg)
{
	char buf[4];

	return client_pread(d, arg, buf, 4, 0);
}

Test(fuse_keep, a_read_that_was_read_is_read_again)
{
	struct daemon *d = start(FUSE_HAS_RESEND);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	struct step *first = expect_silence(d, FUSE_READ, 5), *second;
	struct client_thread t;

	client_spawn(&t, d, read_file, file);
	cr_assert(daemon_wait(d, first));
	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 8, F, 100, 100);
	expect_open(d, FUSE_OPEN, 8, 88, FOPEN_DIRECT_IO);
	second = expect_reply(d, FUSE_READ, 8, "abcd", 4);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 4);
	cr_assert_eq(step_in(second, struct fuse_read_in)->fh, 88);
	cr_assert_eq(second->in.unique, first->in.unique | FUSE_UNIQUE_RESEND);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_keep, each_name_of_a_path_is_looked_up_once)
{
	struct daemon *d = start(0);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 2, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 2, 3, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 3, 4, F, 0, 100);
	cr_assert_eq(client_stat_path(d, "/a/b/x"), 0);
	daemon_crash(d);
	/* The same numbers for other things: none of them is mixed up. */
	expect_entry(d, FUSE_LOOKUP, 1, 4, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 4, 2, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 2, 3, F, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_stat(d, "/a/b/x", &st), 0);
	cr_assert(S_ISREG(st.mode));
	cr_assert_eq(client_stat(d, "/a/b", &st), 0);
	cr_assert(S_ISDIR(st.mode));
	DAEMON_STOP(d);
}

Test(fuse_keep, the_new_daemon_hears_nothing_of_the_old_ones_books)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);

	daemon_crash(d);
	/* Closed, and its inode evicted, while nobody is there: the close waits. */
	file_put(file);
	dcache_shrink(0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_stat_path(d, "/x"), -ENOENT);
	cr_assert_null(daemon_stop(d)); /* an unexpected RELEASE would have failed it */
	cr_assert_eq(d->nr_forgotten, 0);
	daemon_free(d);
}

static long close_file(struct daemon *d, void *arg)
{
	return client_close(d, arg);
}

Test(fuse_keep, a_close_does_not_wait)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	struct step *s = expect_silence(d, FUSE_FLUSH, 5);
	struct client_thread t;

	client_spawn(&t, d, close_file, file_get(file));
	cr_assert(daemon_wait(d, s));
	daemon_crash(d);
	cr_assert_eq(client_join(&t), 0); /* nor does one under way */
	cr_assert_eq(client_close(d, file), 0);
	cr_assert_eq(daemon_restart(d), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, forgets_count_what_the_new_daemon_counts) /* F170, F171 */
{
	struct daemon *d = start(0);

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 0, 0);
	expect_attr(d, FUSE_GETATTR, 5, F, 0, 0);
	cr_assert_eq(client_stat_path(d, "/x"), 0);
	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 9, F, 0, 100); /* revived */
	expect_entry(d, FUSE_LOOKUP, 1, 9, F, 0, 100); /* the entry had expired */
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_stat_path(d, "/x"), 0);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 9, 2));
	cr_assert_eq(daemon_forgotten(d, 9), 2);
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_file_without_a_name_is_lost)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	char buf[4];

	expect_reply(d, FUSE_UNLINK, 1, NULL, 0);
	cr_assert_eq(vfs_unlink(&d->client.ctx, NULL, "/f"), 0);
	daemon_crash(d);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_pread(d, file, buf, 4, 0), -ESTALE);
	file_put(file);
	DAEMON_STOP(d);
}

Test(fuse_keep, another_kind_of_file_under_the_name_is_not_the_same)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	char buf[4];

	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 8, DIR, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_pread(d, file, buf, 4, 0), -ESTALE);
	cr_assert(daemon_wait_forgotten(d, 8, 1)); /* counted, not kept */
	file_put(file);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_daemon_that_dies_while_it_takes_over)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	struct client_thread t;
	struct step *s;

	daemon_crash(d);
	s = expect_silence(d, FUSE_LOOKUP, 1);
	cr_assert_eq(daemon_restart(d), 0);
	client_spawn(&t, d, read_file, file);
	cr_assert(daemon_wait(d, s));
	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 9, F, 100, 100);
	s = expect_silence(d, FUSE_OPEN, 9);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert(daemon_wait(d, s));
	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 3, F, 100, 100);
	expect_open(d, FUSE_OPEN, 3, 33, FOPEN_DIRECT_IO);
	expect_reply(d, FUSE_READ, 3, "abcd", 4);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 4);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_keep, another_answer_to_init_ends_it)
{
	struct daemon *d = start(0);
	struct client_thread t;

	crash_in_lookup(d, &t);
	d->config.flags |= FUSE_WRITEBACK_CACHE;
	cr_assert_eq(daemon_restart(d), 0); /* I08: the mount does not wait */
	cr_assert_eq(client_join(&t), -ENOTCONN);
	DAEMON_STOP(d);
}

Test(fuse_keep, smaller_limits_end_it)
{
	struct daemon *d = start(0);
	struct client_thread t;

	crash_in_lookup(d, &t);
	d->config.max_write = 65536;
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), -ENOTCONN);
	DAEMON_STOP(d);
}

Test(fuse_keep, mount_helpers_can_look_at_the_root)
{
	struct daemon *d = start(0);
	struct kstatfs statfs;
	struct path root;
	struct kstat st;

	expect_attr(d, FUSE_GETATTR, 1, DIR, 0, 0);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	daemon_crash(d);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	cr_assert(S_ISDIR(st.mode));
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/", 0, &root), 0);
	cr_assert_eq(vfs_statfs(&d->client.ctx, &root, &statfs), 0);
	cr_assert_eq(statfs.type, 0x65735546);
	path_put(&root);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_stat_path(d, "/x"), -ENOENT); /* INIT is answered */
	expect_attr(d, FUSE_GETATTR, 1, DIR, 0, 0);
	cr_assert_eq(client_stat(d, "/", &st), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_forced_umount_ends_the_waiting) /* 4.5 */
{
	struct daemon *d = start(0);
	struct client_thread t;

	crash_in_lookup(d, &t);
	fuse_conn_abort(d->conn, true);
	cr_assert_eq(client_join(&t), -ENOTCONN);
	cr_assert_not(d->conn->vacant);
	DAEMON_STOP(d);
}

/* --- what may have been done already ------------------------------------------------------ */

static long do_mkdir(struct daemon *d, void *arg)
{
	return vfs_mkdir(&d->client.ctx, NULL, "/x", 0755);
}
static long do_symlink(struct daemon *d, void *arg)
{
	return vfs_symlink(&d->client.ctx, NULL, "/x", "target");
}
static long do_unlink(struct daemon *d, void *arg)
{
	return vfs_unlink(&d->client.ctx, NULL, "/x");
}
static long do_rename(struct daemon *d, void *arg)
{
	return vfs_rename(&d->client.ctx, NULL, "/x", NULL, "/y", *(unsigned *)arg);
}
static long do_create(struct daemon *d, void *arg)
{
	struct file *file;
	long err = client_open(d, "/x", O_CREAT | O_EXCL | O_WRONLY, &file);

	if (!err)
		file_put(file);
	return err;
}

Test(fuse_keep, a_directory_that_was_made_already_is_fine)
{
	struct daemon *d = start(0);
	struct client_thread t;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	crash_over(d, expect_silence(d, FUSE_MKDIR, 1), &t, do_mkdir, NULL);
	expect_error(d, FUSE_MKDIR, 1, EEXIST);
	expect_entry(d, FUSE_LOOKUP, 1, 6, DIR, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, something_else_of_the_name_is_not)
{
	struct daemon *d = start(0);
	struct client_thread t;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	crash_over(d, expect_silence(d, FUSE_SYMLINK, 1), &t, do_symlink, NULL);
	expect_error(d, FUSE_SYMLINK, 1, EEXIST);
	expect_entry(d, FUSE_LOOKUP, 1, 6, DIR, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), -EEXIST);
	cr_assert(daemon_wait_forgotten(d, 6, 1));
	DAEMON_STOP(d);
}

Test(fuse_keep, a_first_try_that_fails_is_not_excused)
{
	struct daemon *d = start(0);

	daemon_crash(d);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_error(d, FUSE_MKDIR, 1, EEXIST);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(do_mkdir(d, NULL), -EEXIST);
	DAEMON_STOP(d);
}

Test(fuse_keep, an_exclusive_create_is_repeated_without_excl)
{
	struct daemon *d = start(0);
	struct client_thread t;
	struct step *first, *second;
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {make_entry(6, F, 0, 100), {.fh = 66}};

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	first = expect_silence(d, FUSE_CREATE, 1);
	crash_over(d, first, &t, do_create, NULL);
	second = expect_reply(d, FUSE_CREATE, 1, &out, sizeof(out));
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert(step_in(first, struct fuse_create_in)->flags & O_EXCL);
	cr_assert_not(step_in(second, struct fuse_create_in)->flags & O_EXCL);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_name_that_was_removed_already_is_fine)
{
	struct daemon *d = start(0);
	struct client_thread t;

	expect_entry(d, FUSE_LOOKUP, 1, 6, F, 0, 100);
	crash_over(d, expect_silence(d, FUSE_UNLINK, 1), &t, do_unlink, NULL);
	expect_error(d, FUSE_UNLINK, 1, ENOENT);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_rename_that_was_done_already_is_fine)
{
	struct daemon *d = start(0);
	struct client_thread t;
	unsigned flags = 0;

	expect_entry(d, FUSE_LOOKUP, 1, 6, F, 0, 100);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	crash_over(d, expect_silence(d, FUSE_RENAME, 1), &t, do_rename, &flags);
	expect_error(d, FUSE_RENAME, 1, ENOENT);
	expect_entry(d, FUSE_LOOKUP, 1, 8, F, 0, 100);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert(daemon_wait_forgotten(d, 8, 1));
	DAEMON_STOP(d);
}

Test(fuse_keep, an_exchange_is_not_repeated)
{
	struct daemon *d = start(0);
	struct client_thread t;
	unsigned flags = RENAME_EXCHANGE;

	expect_entry(d, FUSE_LOOKUP, 1, 6, F, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 7, F, 0, 100);
	crash_over(d, expect_silence(d, FUSE_RENAME2, 1), &t, do_rename, &flags);
	cr_assert_eq(client_join(&t), -EIO); /* who could tell whether it was done? */
	cr_assert_eq(daemon_restart(d), 0);
	DAEMON_STOP(d);
}

Test(fuse_keep, a_notification_by_an_old_number_finds_nothing)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 5, 55, O_RDONLY);
	struct fuse_notify_inval_inode_out out = {.ino = 5};
	char buf[4];

	daemon_crash(d);
	expect_entry(d, FUSE_LOOKUP, 1, 8, F, 100, 100);
	expect_open(d, FUSE_OPEN, 8, 88, FOPEN_DIRECT_IO);
	expect_reply(d, FUSE_READ, 8, "abcd", 4);
	cr_assert_eq(daemon_restart(d), 0);
	cr_assert_eq(client_pread(d, file, buf, 4, 10), 4);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out)), -ENOENT);
	out.ino = 8;
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out)),
		     (ssize_t)(16 + sizeof(out)));
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

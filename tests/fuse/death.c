/*
 * The ways in which a connection ends, and what each side sees of it: the errno matrix of 4.5, and
 * what outlives it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>

#include "devfuse/timeout.h"
#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/lock.h"
#include "vfs/mount.h"
#include "vfs/poll.h"

TestSuite(fuse_death, .timeout = 20);

#define CTX (&d->client.ctx)
#define F   (S_IFREG | 0644)

static void by_force(struct daemon *d)
{
	struct path root;

	cr_assert_eq(path_lookup(CTX, NULL, "/", 0, &root), 0);
	d->self.ctx.fs = d->client.ctx.fs;
	cr_assert_neq(vfs_umount(&d->self.ctx, &root, MNT_FORCE), 0); /* D74: it is busy */
	d->self.ctx.fs = NULL;
	path_put(&root);
}

static void by_control(struct daemon *d)
{
	fuse_conn_abort(d->conn, true);
}

static void by_timeout(struct daemon *d)
{
	d->conn->request_timeout_ns = 1;
	fuse_timeout_check(d->conn);
}

/* The whole row: a request that was read, one after the end, and all that the daemon can do. */
static void check(void (*end)(struct daemon *d), uint64_t flags, ssize_t read_error)
{
	struct daemon_config config = {.flags = FUSE_PARALLEL_DIROPS | flags};
	struct daemon *d = daemon_start(&config);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	struct io_iter iter;
	static char buf[1 << 18];

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	end(d);
	cr_expect_eq(client_join(&t), -ECONNABORTED);
	cr_expect_eq(client_stat_path(d, "/x"), -ENOTCONN);
	iter_init_mem(&iter, buf, sizeof(buf));
	cr_expect_eq(vfs_read(&d->self.ctx, d->dev, &iter), read_error);
	cr_expect_eq(d->dev->op->poll(&d->self.ctx, d->dev, NULL), POLLERR);
	cr_expect_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), -ENOENT);
	cr_expect_eq(daemon_notify(d, FUSE_NOTIFY_INC_EPOCH, NULL, 0), -EINVAL);
	(void)daemon_stop(d);
	cr_expect_eq(d->end_error, read_error);
	daemon_free(d);
}

Test(fuse_death, forced_umount) /* K03, D74 */
{
	check(by_force, 0, -ENODEV);
	check(by_force, FUSE_ABORT_ERROR, -ENODEV);
}

Test(fuse_death, abort_by_fusectl) /* K04, B21 */
{
	check(by_control, 0, -ENODEV);
	check(by_control, FUSE_ABORT_ERROR, -ECONNABORTED);
}

Test(fuse_death, request_timeout) /* K05, D90 */
{
	check(by_timeout, 0, -ENODEV);
	check(by_timeout, FUSE_ABORT_ERROR, -ENODEV);
}

Test(fuse_death, the_daemon_closes_its_last_descriptor) /* K01, D59 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	daemon_crash(d);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(client_stat_path(d, "/x"), -ENOTCONN);
	DAEMON_STOP(d);
}

static bool has_ended(struct daemon *d)
{
	bool ended;

	pthread_mutex_lock(&d->lock);
	while (!d->ended)
		pthread_cond_wait(&d->changed, &d->lock);
	ended = d->ended;
	pthread_mutex_unlock(&d->lock);
	return ended;
}

/* The namespace loses its root, which is the only mount. */
static void detach(struct daemon *d)
{
	fs_struct_put(d->client.ctx.fs);
	mnt_ns_put(d->ns);
	d->client.ctx.fs = NULL;
	d->ns = NULL;
}

Test(fuse_death, umount) /* K02, D72 */
{
	struct daemon *d = daemon_start(NULL);

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 1, 100);
	cr_assert_eq(client_stat_path(d, "/x"), 0);
	detach(d);
	cr_assert(has_ended(d));
	cr_assert_eq(d->end_error, -ENODEV);
	cr_assert_eq(d->dev->op->poll(&d->self.ctx, d->dev, NULL), POLLERR);
	cr_assert_eq(daemon_answer(d, 4, -ENOENT, NULL, 0), -ENOENT);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INC_EPOCH, NULL, 0), -EINVAL);
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	DAEMON_STOP(d);
}

Test(fuse_death, lazy_umount_lasts_until_the_last_file_is_closed) /* D73 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;
	char buf[4];

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 100, 100);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	detach(d);
	expect_reply(d, FUSE_READ, 5, "abcd", 4);
	cr_assert_eq(client_pread(d, file, buf, 4, 0), 4);
	client_close(d, file);
	cr_assert(has_ended(d));
	cr_assert_eq(d->end_error, -ENODEV);
	DAEMON_STOP(d);
}

Test(fuse_death, what_is_cached_and_valid_still_answers) /* D75 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 42, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 6, F, 42, 0);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	expect_attr(d, FUSE_GETATTR, 6, F, 42, 100);
	cr_assert_eq(client_stat(d, "/expired", &st), 0);
	fuse_conn_abort(d->conn, false);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.size, 42);
	cr_assert_eq(client_stat(d, "/expired", &st), -ENOTCONN);
	cr_assert_eq(client_stat(d, "/new", &st), -ENOTCONN);
	DAEMON_STOP(d);
}

Test(fuse_death, who_waits_for_init_is_woken) /* D70, I10 */
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d = daemon_start(&config);
	struct step *s = expect_silence(d, FUSE_INIT, 0);
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	fuse_conn_abort(d->conn, false);
	cr_assert_eq(client_join(&t), -ENOTCONN);
	DAEMON_STOP(d);
}

static long poll_file(struct daemon *d, void *arg)
{
	struct poll_item item = {.file = arg, .events = POLLIN};
	int n = vfs_poll_items(CTX, &item, 1, WAIT_FOREVER);

	return n == 1 ? (long)item.revents : n;
}

Test(fuse_death, who_polls_a_file_is_woken) /* D70, F154 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_poll_out none = {0};
	struct client_thread t;
	struct file *file;
	struct step *s;

	daemon_ignore(d, FUSE_FLUSH);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 100, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	s = expect_reply(d, FUSE_POLL, 5, &none, sizeof(none));
	client_spawn(&t, d, poll_file, file);
	cr_assert(daemon_wait(d, s));
	fuse_conn_abort(d->conn, false);
	cr_assert_eq(client_join(&t), POLLERR);
	file_put(file);
	DAEMON_STOP(d);
}

static long lock_file(struct daemon *d, void *arg)
{
	struct flock_request req = {.type = F_WRLCK, .start = 0, .end = 9};

	return vfs_lock_file(CTX, arg, F_SETLKW, &req);
}

Test(fuse_death, the_daemons_eintr_is_final_but_for_locks) /* D83 */
{
	struct daemon_config config = {.flags = FUSE_PARALLEL_DIROPS | FUSE_POSIX_LOCKS};
	struct daemon *d = daemon_start(&config);
	struct file *file;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_error(d, FUSE_LOOKUP, 1, EINTR);
	cr_assert_eq(client_stat_path(d, "/x"), -EINTR);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 100, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	expect_error(d, FUSE_SETLKW, 5, EINTR);
	cr_assert_eq(lock_file(d, file), -512); /* ERESTARTSYS */
	client_close(d, file);
	DAEMON_STOP(d);
}

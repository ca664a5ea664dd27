/* GETLK, SETLK, SETLKW, and who unlocks; matrix 6.8. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/file.h>

#include "sentry/base/err.h"
#include "tests/support/daemon.h"
#include "vfs/fdtable.h"
#include "vfs/lock.h"

TestSuite(fuse_locks, .timeout = 120);

#define CTX (&d->client.ctx)
#define REMOTE (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)

/* /f, node 5, handle 3. */
static struct file *open_f(struct daemon *d)
{
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	return file;
}

static struct daemon *start(uint64_t flags)
{
	struct daemon_config config = {.flags = flags};

	return daemon_start(&config);
}

/* close(2) of a file whose FLUSH and RELEASE are looked at. */
static void close_seen(struct daemon *d, struct file *file, struct step **ret_flush,
		       struct step **ret_release)
{
	*ret_flush = expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	*ret_release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	client_close(d, file);
	cr_assert(daemon_drain(d));
}

/* Takes a POSIX or OFD lock; what was asked of the daemon. */
static const struct fuse_lk_in *set_lock(struct daemon *d, struct file *file, short type, bool ofd)
{
	struct flock_request req = {.type = type, .start = 5, .end = 9, .ofd = ofd};
	struct step *s = expect_reply(d, FUSE_SETLK, 5, NULL, 0);

	cr_assert_eq(vfs_lock_file(CTX, file, F_SETLK, &req), 0);
	return step_in(s, struct fuse_lk_in);
}

Test(fuse_locks, local_unless_asked_for) /* F110, F113 */
{
	struct flock_request req = {.type = F_WRLCK, .start = 5, .end = 9};
	struct daemon *d = start(0);
	struct file *file = open_f(d);
	struct step *flush, *release;

	cr_assert_eq(vfs_lock_file(CTX, file, F_SETLK, &req), 0);
	cr_assert_eq(vfs_flock(CTX, file, LOCK_EX), 0);
	close_seen(d, file, &flush, &release);
	cr_assert_eq(step_in(release, struct fuse_release_in)->release_flags, 0);
	DAEMON_STOP(d);
}

/* F116: what a daemon of 7.5 says in the word that later became flags is not looked at. */
Test(fuse_locks, local_below_minor_6)
{
	struct daemon_config config = {.flags = REMOTE, .minor = 5};
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 10, 100);
	struct flock_request req = {.type = F_WRLCK, .start = 5, .end = 9};
	struct daemon *d = daemon_start(&config);
	struct file *file;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_reply(d, FUSE_LOOKUP, 1, &entry, 120);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	cr_assert_eq(vfs_lock_file(CTX, file, F_SETLK, &req), 0);
	cr_assert_eq(vfs_flock(CTX, file, LOCK_EX), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_locks, posix_lock_is_sent_with_owner_range_and_pid) /* F110, S08 */
{
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d);
	const struct fuse_lk_in *in = set_lock(d, file, F_WRLCK, false);
	struct flock_request whole = {.type = F_RDLCK, .start = 0, .end = INT64_MAX};
	struct step *flush, *release, *wait;
	uint64_t owner = in->owner;

	cr_assert_eq(in->fh, 3);
	cr_assert_neq(owner, 0);
	cr_assert_eq(in->lk.start, 5);
	cr_assert_eq(in->lk.end, 9);
	cr_assert_eq(in->lk.type, 1);
	cr_assert_eq(in->lk.pid, 200);
	cr_assert_eq(in->lk_flags, 0);

	wait = expect_reply(d, FUSE_SETLKW, 5, NULL, 0);
	cr_assert_eq(vfs_lock_file(CTX, file, F_SETLKW, &whole), 0);
	in = step_in(wait, struct fuse_lk_in);
	cr_assert_eq(in->lk.end, INT64_MAX);
	cr_assert_eq(in->lk.type, 0);
	cr_assert_eq(in->owner, owner);

	in = set_lock(d, file, F_UNLCK, false);
	cr_assert_eq(in->lk.type, 2);
	cr_assert_eq(in->lk.pid, 0);
	cr_assert_eq(in->owner, owner);
	close_seen(d, file, &flush, &release);
	DAEMON_STOP(d);
}

/* F111: the daemon drops what the owner named in FLUSH holds. No SETLK comes with the close. */
Test(fuse_locks, close_sends_no_unlock_but_the_owner) /* W08 */
{
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d);
	uint64_t owner = set_lock(d, file, F_WRLCK, false)->owner;
	struct step *flush, *release;

	close_seen(d, file, &flush, &release);
	cr_assert_eq(step_in(flush, struct fuse_flush_in)->lock_owner, owner);
	cr_assert_eq(step_in(flush, struct fuse_flush_in)->fh, 3);
	cr_assert_eq(step_in(release, struct fuse_release_in)->release_flags, 0);
	cr_assert_eq(step_in(release, struct fuse_release_in)->lock_owner, 0);
	DAEMON_STOP(d);
}

/* F110: another table of descriptors is another owner. F112: for OFD locks the open file is. */
Test(fuse_locks, who_the_owner_is) /* W15 */
{
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d), *other;
	struct fdtable *files = d->client.ctx.files, *child = fdtable_new();
	uint64_t posix = set_lock(d, file, F_WRLCK, false)->owner;
	uint64_t ofd = set_lock(d, file, F_WRLCK, true)->owner;
	const struct fuse_lk_in *in;

	cr_assert_neq(posix, ofd);
	cr_assert_neq(posix, (uint64_t)(uintptr_t)files); /* no address of ours */
	cr_assert_neq(ofd, (uint64_t)(uintptr_t)file);
	d->client.ctx.files = child;
	cr_assert_neq(set_lock(d, file, F_WRLCK, false)->owner, posix);
	in = set_lock(d, file, F_WRLCK, true);
	cr_assert_eq(in->owner, ofd);
	cr_assert_eq(in->lk_flags, 0);
	d->client.ctx.files = files;
	expect_open(d, FUSE_OPEN, 5, 4, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &other), 0);
	cr_assert_eq(set_lock(d, other, F_WRLCK, false)->owner, posix);
	cr_assert_neq(set_lock(d, other, F_WRLCK, true)->owner, ofd);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	client_close(d, other);
	fdtable_put(CTX, child);
	DAEMON_STOP(d);
}

/* F113 */
Test(fuse_locks, flock_is_the_open_files_and_release_ends_it) /* W08, W10 */
{
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d);
	struct step *s = expect_reply(d, FUSE_SETLKW, 5, NULL, 0), *flush, *release;
	const struct fuse_lk_in *in;
	uint64_t owner;

	cr_assert_eq(vfs_flock(CTX, file, LOCK_SH), 0);
	in = step_in(s, struct fuse_lk_in);
	owner = in->owner;
	cr_assert_eq(in->lk_flags, FUSE_LK_FLOCK);
	cr_assert_eq(in->lk.type, 0);
	cr_assert_eq(in->lk.start, 0);
	cr_assert_eq(in->lk.end, INT64_MAX);
	cr_assert_eq(in->lk.pid, 200);
	expect_error(d, FUSE_SETLK, 5, EAGAIN);
	cr_assert_eq(vfs_flock(CTX, file, LOCK_EX | LOCK_NB), -EAGAIN);
	s = expect_reply(d, FUSE_SETLK, 5, NULL, 0);
	cr_assert_eq(vfs_flock(CTX, file, LOCK_UN), 0);
	in = step_in(s, struct fuse_lk_in);
	cr_assert_eq(in->lk.type, 2);
	cr_assert_eq(in->lk.pid, 0);
	cr_assert_eq(in->owner, owner);
	close_seen(d, file, &flush, &release);
	cr_assert_eq(step_in(release, struct fuse_release_in)->release_flags,
		     FUSE_RELEASE_FLOCK_UNLOCK);
	cr_assert_eq(step_in(release, struct fuse_release_in)->lock_owner, owner);
	DAEMON_STOP(d);
}

Test(fuse_locks, getlk_checks_the_answer) /* F114, Z23, Z28 */
{
	static const struct {
		struct fuse_file_lock lk;
		int result;
	} answers[] = {
		{{3, 4, 1, 77}, 0},
		{{3, INT64_MAX, 0, 0}, 0},
		{{9, 1, 2, 77}, 0}, /* unlocked: the rest is not looked at */
		{{3, 4, 3, 77}, -EIO},
		{{4, 3, 1, 77}, -EIO},
		{{3, (uint64_t)INT64_MAX + 1, 1, 77}, -EIO},
		{{UINT64_MAX, UINT64_MAX, 0, 77}, -EIO},
	};
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d);
	struct step *s;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct fuse_lk_out out = {answers[i].lk};
		struct flock_request req = {.type = F_WRLCK, .start = 0, .end = INT64_MAX};

		s = expect_reply(d, FUSE_GETLK, 5, &out, sizeof(out));
		cr_assert_eq(vfs_lock_file(CTX, file, F_GETLK, &req), answers[i].result, "%zu", i);
		cr_assert_eq(step_in(s, struct fuse_lk_in)->lk.pid, 0);
		if (answers[i].result)
			continue;
		cr_assert_eq(req.type, out.lk.type == 0 ? F_RDLCK : out.lk.type == 1 ? F_WRLCK : F_UNLCK);
		cr_assert_eq(req.start, out.lk.type == 2 ? 0 : (int64_t)out.lk.start);
		cr_assert_eq(req.pid, out.lk.type == 2 ? 0 : (pid_t)out.lk.pid);
	}
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long wait_for_lock(struct daemon *d, void *arg)
{
	struct flock_request req = {.type = F_WRLCK, .start = 0, .end = INT64_MAX};

	return vfs_lock_file(CTX, arg, F_SETLKW, &req);
}

/* D83: the daemon's EINTR to an interrupted SETLKW restarts the call where the handler says so. */
Test(fuse_locks, waiting_for_a_lock_can_be_interrupted)
{
	struct daemon *d = start(REMOTE);
	struct file *file = open_f(d);
	struct step *s = expect_silence(d, FUSE_SETLKW, 5), *intr, *flush, *release;
	struct client_thread t;

	client_spawn(&t, d, wait_for_lock, file);
	cr_assert(daemon_wait(d, s));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_SIGNAL);
	cr_assert(daemon_wait(d, intr));
	cr_assert_eq(step_in(intr, struct fuse_interrupt_in)->unique, s->in.unique);
	cr_assert_eq(daemon_answer(d, s->in.unique, -EINTR, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ERESTARTSYS);
	close_seen(d, file, &flush, &release);
	DAEMON_STOP(d);
}

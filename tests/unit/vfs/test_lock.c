/* vfs/lock.h: record locks and flock(2), who waits for whom, and what close lets go. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/unit/vfs/anon_fixture.h"
#include "vfs/lock.h"
#include "vfs/strbuf.h"

static const struct file_ops plain_ops = { .no_position = false };
static struct op_ctx other;	       /* a second process */
static struct file *file, *other_file; /* two descriptions of one inode */

static void setup(void)
{
	struct inode *old;

	caller_start();
	other = ctx;
	other.files = fdtable_new();
	other.tgid = 8;
	file = anon(&plain_ops, NULL, O_RDWR, S_IFREG | 0600);
	other_file = anon(&plain_ops, NULL, O_RDWR, S_IFREG | 0600);
	old = other_file->inode;
	other_file->inode = inode_get(file->inode);
	inode_put(old);
}

static void teardown(void)
{
	file_put(file);
	file_put(other_file);
	fdtable_put(&other, other.files);
	caller_stop();
}

TestSuite(lock, .init = setup, .fini = teardown, .timeout = 120);

static int set(const struct op_ctx *c, struct file *f, int cmd, short type, int64_t start,
	       int64_t end)
{
	struct flock_request req = { .type = type, .start = start, .end = end };

	return vfs_lock_file(c, f, cmd, &req);
}

static int set_ofd(struct file *f, int cmd, short type, int64_t start, int64_t end)
{
	struct flock_request req = { .type = type, .start = start, .end = end, .ofd = true };

	return vfs_lock_file(&ctx, f, cmd, &req);
}

/* What stands against a write lock of the other process on [start, end]. */
static struct flock_request who(int64_t start, int64_t end)
{
	struct flock_request req = { .type = F_WRLCK, .start = start, .end = end };

	cr_assert_eq(vfs_lock_file(&other, other_file, F_GETLK, &req), 0);
	return req;
}

static void assert_locked(int64_t probe, short type, int64_t start, int64_t end)
{
	struct flock_request req = who(probe, probe);

	cr_assert_eq(req.type, type, "at %ld", (long)probe);
	if (type == F_UNLCK)
		return;
	cr_assert_eq(req.start, start, "at %ld: %ld", (long)probe, (long)req.start);
	cr_assert_eq(req.end, end, "at %ld: %ld", (long)probe, (long)req.end);
}

Test(lock, conflicting_process_is_told_who_holds_it)
{
	struct flock_request req;

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 10, 19), 0);
	cr_assert_eq(set(&other, other_file, F_SETLK, F_RDLCK, 0, INT64_MAX), -EAGAIN);
	cr_assert_eq(set(&other, other_file, F_SETLK, F_RDLCK, 0, 9), 0);
	req = who(0, INT64_MAX);
	cr_assert_eq(req.type, F_WRLCK);
	cr_assert_eq(req.pid, 7);
	cr_assert_eq(req.start, 10);
	cr_assert_eq(req.end, 19);
}

Test(lock, readers_share)
{
	cr_assert_eq(set(&ctx, file, F_SETLK, F_RDLCK, 0, 9), 0);
	cr_assert_eq(set(&other, other_file, F_SETLK, F_RDLCK, 5, 20), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 9), -EAGAIN);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 4), 0);
}

Test(lock, neighbours_of_one_type_merge)
{
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 9), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 20, 29), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 10, 19), 0);
	assert_locked(15, F_WRLCK, 0, 29);
}

Test(lock, unlock_in_the_middle_splits)
{
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, INT64_MAX), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_UNLCK, 100, 199), 0);
	assert_locked(0, F_WRLCK, 0, 99);
	assert_locked(150, F_UNLCK, 0, 0);
	assert_locked(200, F_WRLCK, 200, INT64_MAX);
}

Test(lock, conversion_in_the_middle_makes_three)
{
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 99), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_RDLCK, 40, 59), 0);
	assert_locked(39, F_WRLCK, 0, 39);
	assert_locked(50, F_RDLCK, 40, 59);
	assert_locked(60, F_WRLCK, 60, 99);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 30, 70), 0);
	assert_locked(50, F_WRLCK, 0, 99);
}

Test(lock, access_mode_is_checked)
{
	file->fmode = FMODE_READ | FMODE_OPENED;
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 0), -EBADF);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_RDLCK, 0, 0), 0);
	file->fmode = FMODE_WRITE | FMODE_OPENED;
	cr_assert_eq(set(&ctx, file, F_SETLK, F_RDLCK, 0, 0), -EBADF);
	cr_assert_eq(set(&ctx, file, F_GETLK, F_RDLCK, 0, 0), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, 9, 0, 0), -EINVAL);
	cr_assert_eq(set(&ctx, file, F_GETLK, F_UNLCK, 0, 0), -EINVAL);
}

Test(lock, any_close_of_the_table_drops_posix_locks)
{
	int fd;

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 9), 0);
	cr_assert_eq(set_ofd(file, F_SETLK, F_WRLCK, 20, 29), 0);
	fd = fdtable_install(ctx.files, file_get(other_file), 0, 10, false);
	cr_assert_eq(fdtable_close(&ctx, ctx.files, fd, NULL), 0);
	assert_locked(5, F_UNLCK, 0, 0);
	assert_locked(25, F_WRLCK, 20, 29);
}

Test(lock, ofd_locks_belong_to_the_description)
{
	struct flock_request req;

	cr_assert_eq(set_ofd(file, F_SETLK, F_WRLCK, 0, 9), 0);
	cr_assert_eq(set_ofd(other_file, F_SETLK, F_WRLCK, 5, 5), -EAGAIN);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 5, 5), -EAGAIN, "also against POSIX");
	req = who(0, 0);
	cr_assert_eq(req.pid, -1);
	cr_assert_eq(set_ofd(file, F_SETLK, F_UNLCK, 0, INT64_MAX), 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 5, 5), 0);
}

Test(lock, last_close_drops_ofd_and_flock)
{
	struct file *third = anon(&plain_ops, NULL, O_RDWR, S_IFREG | 0600);
	struct inode *own = third->inode;

	third->inode = inode_get(file->inode);
	inode_put(own);
	cr_assert_eq(set_ofd(third, F_SETLK, F_WRLCK, 0, 9), 0);
	cr_assert_eq(vfs_flock(&ctx, third, LOCK_EX), 0);
	cr_assert_eq(vfs_flock(&ctx, file, LOCK_SH | LOCK_NB), -EAGAIN);
	file_put(third);
	cr_assert_eq(vfs_flock(&ctx, file, LOCK_SH | LOCK_NB), 0);
	assert_locked(5, F_UNLCK, 0, 0);
}

Test(lock, flock_converts_and_loses_when_refused)
{
	cr_assert_eq(vfs_flock(&ctx, file, LOCK_SH), 0);
	cr_assert_eq(vfs_flock(&ctx, other_file, LOCK_SH | LOCK_NB), 0);
	cr_assert_eq(vfs_flock(&ctx, file, LOCK_EX | LOCK_NB), -EAGAIN);
	/* The shared lock of `file` is gone: the other may now convert. */
	cr_assert_eq(vfs_flock(&ctx, other_file, LOCK_EX | LOCK_NB), 0);
	cr_assert_eq(vfs_flock(&ctx, other_file, LOCK_UN), 0);
	cr_assert_eq(vfs_flock(&ctx, file, LOCK_EX | LOCK_NB), 0);
	cr_assert_eq(vfs_flock(&ctx, file, 77), -EINVAL);
}

/* ---- against a model: the type that each owner holds on each byte ---- */

#define BYTES 24
static short model[2][BYTES];
static unsigned seed;

static bool model_refuses(int owner, short type, int start, int end)
{
	for (int n = start; n <= end; n++) {
		short held = model[!owner][n];

		if (type == F_WRLCK ? held != F_UNLCK : type == F_RDLCK && held == F_WRLCK)
			return true;
	}
	return false;
}

/* What a stranger is told about byte n must be what the model says, and its run of equal bytes. */
static void check_byte(int n)
{
	struct op_ctx stranger = ctx;
	struct flock_request req = { .type = F_WRLCK, .start = n, .end = n };
	int owner;

	stranger.files = (struct fdtable *)&stranger;
	cr_assert_eq(vfs_lock_file(&stranger, file, F_GETLK, &req), 0);
	if (model[0][n] == F_UNLCK && model[1][n] == F_UNLCK) {
		cr_assert_eq(req.type, F_UNLCK, "seed %u, byte %d", seed, n);
		return;
	}
	owner = req.pid == 7 ? 0 : 1;
	cr_assert_eq(req.type, model[owner][n], "seed %u, byte %d", seed, n);
	for (int64_t k = req.start; k <= req.end; k++)
		cr_assert_eq(model[owner][k], req.type);
	cr_assert(req.start == 0 || model[owner][req.start - 1] != req.type, "merged to the left");
	cr_assert(req.end == BYTES - 1 || model[owner][req.end + 1] != req.type, "and the right");
}

Test(lock, random_requests_agree_with_a_model)
{
	static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };

	for (int owner = 0; owner < 2; owner++)
		for (int n = 0; n < BYTES; n++)
			model[owner][n] = F_UNLCK;
	for (int step = 0; step < 5000; step++) {
		int owner = rand_r(&seed) % 2, start = rand_r(&seed) % BYTES;
		int end = start + rand_r(&seed) % (BYTES - start);
		short type = types[rand_r(&seed) % 3];
		bool refused = model_refuses(owner, type, start, end);
		int err = owner ? set(&other, other_file, F_SETLK, type, start, end)
				: set(&ctx, file, F_SETLK, type, start, end);

		cr_assert_eq(err, refused ? -EAGAIN : 0, "step %d", step);
		for (int n = start; n <= end && !refused; n++)
			model[owner][n] = type;
		check_byte(rand_r(&seed) % BYTES);
	}
	locks_remove_posix(&ctx, file);
	locks_remove_posix(&other, other_file);
	assert_locked(5, F_UNLCK, 0, 0);
}

/* ---- waiting ---- */

struct blocked {
	pthread_t thread;
	const struct op_ctx *c;
	struct file *f;
	int64_t start, end;
	int result;
	struct waiter *_Atomic self;
};

static void *block_thread(void *arg)
{
	struct blocked *b = arg;

	b->self = waiter_self();
	b->result = set(b->c, b->f, F_SETLKW, F_WRLCK, b->start, b->end);
	return NULL;
}

static bool somebody_waits(void)
{
	struct strbuf sb = STRBUF_INIT;
	bool waits;

	locks_show(&sb);
	waits = sb.buf && strstr(sb.buf, "-> ");
	strbuf_free(&sb);
	return waits;
}

/* Starts a thread that asks for [start, end] and returns once it waits. */
static void start_blocked(struct blocked *b, const struct op_ctx *c, struct file *f, int64_t start,
			  int64_t end)
{
	*b = (struct blocked){ .c = c, .f = f, .start = start, .end = end };
	cr_assert_eq(pthread_create(&b->thread, NULL, block_thread, b), 0);
	while (!somebody_waits())
		sched_yield();
}

Test(lock, waiter_gets_it_when_the_holder_lets_go)
{
	struct blocked b;

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 9), 0);
	start_blocked(&b, &other, other_file, 5, 15);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_UNLCK, 0, 4), 0, "not enough");
	cr_assert(somebody_waits());
	cr_assert_eq(set(&ctx, file, F_SETLK, F_UNLCK, 0, 9), 0);
	pthread_join(b.thread, NULL);
	cr_assert_eq(b.result, 0);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 15, 15), -EAGAIN);
	locks_remove_posix(&other, other_file);
}

Test(lock, signal_ends_the_wait)
{
	struct blocked b;

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 9), 0);
	start_blocked(&b, &other, other_file, 5, 15);
	waiter_interrupt(b.self, WAITER_SIGNAL);
	pthread_join(b.thread, NULL);
	cr_assert_eq(b.result, -ERESTARTSYS);
	cr_assert_not(somebody_waits());
}

Test(lock, circle_of_two_is_a_deadlock)
{
	struct blocked b;

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 0, 0), 0);
	cr_assert_eq(set(&other, other_file, F_SETLK, F_WRLCK, 1, 1), 0);
	start_blocked(&b, &other, other_file, 0, 0);
	cr_assert_eq(set(&ctx, file, F_SETLKW, F_WRLCK, 1, 1), -EDEADLK);
	cr_assert_eq(set(&ctx, file, F_SETLK, F_UNLCK, 0, 0), 0);
	pthread_join(b.thread, NULL);
	cr_assert_eq(b.result, 0);
	locks_remove_posix(&other, other_file);
}

Test(lock, proc_locks_looks_like_linux)
{
	struct strbuf sb = STRBUF_INIT;
	char want[400];

	cr_assert_eq(set(&ctx, file, F_SETLK, F_WRLCK, 1, INT64_MAX), 0);
	cr_assert_eq(set_ofd(file, F_SETLK, F_RDLCK, 0, 0), 0);
	cr_assert_eq(vfs_flock(&other, file, LOCK_SH), 0);
	locks_show(&sb);
	unsigned long ino = file->inode->ino;
	unsigned min = (unsigned)(file->inode->sb->dev & 0xff);
	snprintf(want, sizeof(want),
		 "1: POSIX  ADVISORY  WRITE 7 00:%02x:%lu 1 EOF\n"
		 "2: OFDLCK ADVISORY  READ  -1 00:%02x:%lu 0 0\n"
		 "3: FLOCK  ADVISORY  READ  8 00:%02x:%lu 0 EOF\n",
		 min, ino, min, ino, min, ino);
	cr_assert_str_eq(sb.buf, want);
	strbuf_free(&sb);
	locks_remove_posix(&ctx, file);
}

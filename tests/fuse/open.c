/* OPEN, CREATE, FLUSH, RELEASE; matrix 6.4. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/cred.h"

TestSuite(fuse_open, .timeout = 120);

static void expect_file(struct daemon *d, uint64_t size)
{
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
}

/* F50, F58, F59 */
Test(fuse_open, open_and_close_send_open_flush_release)
{
	struct daemon *d = daemon_start(NULL);
	struct step *open, *flush, *release;
	struct file *file;

	expect_file(d, 10);
	open = expect_open(d, FUSE_OPEN, 5, 42, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY | O_NOCTTY | O_CLOEXEC, &file), 0);
	cr_assert_eq(step_in(open, struct fuse_open_in)->flags, 0x8000);
	flush = expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	cr_assert_eq(step_in(flush, struct fuse_flush_in)->fh, 42);
	cr_assert_neq(step_in(flush, struct fuse_flush_in)->lock_owner, 0);
	cr_assert_eq(step_in(release, struct fuse_release_in)->fh, 42);
	cr_assert_eq(release->in.pid, 0); /* H04 */
	DAEMON_STOP(d);
}

/* F58: close(2) returns what FLUSH returned; RELEASE's error is nobody's. */
Test(fuse_open, flush_error_is_the_result_of_close)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_file(d, 10);
	expect_open(d, FUSE_OPEN, 5, 1, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	expect_error(d, FUSE_FLUSH, 5, EDQUOT);
	expect_error(d, FUSE_RELEASE, 5, EIO);
	cr_assert_eq(client_close(d, file), -EDQUOT);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

/* FLUSH: ENOSYS is remembered and means success. */
Test(fuse_open, flush_enosys_is_sticky_success)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_file(d, 10);
	for (int i = 0; i < 2; i++) {
		expect_open(d, FUSE_OPEN, 5, 1, 0);
		cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
		if (i == 0)
			expect_error(d, FUSE_FLUSH, 5, ENOSYS);
		expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
		cr_assert_eq(client_close(d, file), 0);
		cr_assert(daemon_drain(d));
	}
	DAEMON_STOP(d);
}

/* F56, and OPEN's ENOSYS: every later open is local, with fh 0 and no RELEASE ever. */
Test(fuse_open, open_enosys_opens_locally_for_ever)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;
	struct step *read;
	char c;

	daemon_ignore(d, FUSE_FLUSH);
	expect_file(d, 1);
	expect_error(d, FUSE_OPEN, 5, ENOSYS);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	read = expect_reply(d, FUSE_READ, 5, "x", 1);
	cr_assert_eq(client_pread(d, file, &c, 1, 0), 1);
	cr_assert_eq(step_in(read, struct fuse_read_in)->fh, 0);
	client_close(d, file);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_open, open_error_is_the_callers)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_file(d, 1);
	expect_error(d, FUSE_OPEN, 5, EACCES);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), -EACCES);
	DAEMON_STOP(d);
}

/* D42 */
Test(fuse_open, malformed_open_reply_is_eio)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_file(d, 1);
	expect_reply(d, FUSE_OPEN, 5, "12345678", 8);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), -EIO);
	DAEMON_STOP(d);
}

/* F57: the daemon truncates in OPEN. */
Test(fuse_open, atomic_o_trunc_sends_no_setattr) /* B03 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *open;
	struct file *file;
	struct kstat st;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_file(d, 10);
	open = expect_open(d, FUSE_OPEN, 5, 1, 0);
	cr_assert_eq(client_open(d, "/f", O_WRONLY | O_TRUNC, &file), 0);
	cr_assert_eq(step_in(open, struct fuse_open_in)->flags, O_WRONLY | O_TRUNC | 0x8000);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.size, 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F57 without the flag: OPEN without O_TRUNC, then SETATTR(SIZE|LOCKOWNER), no fh, no mtime. */
Test(fuse_open, o_trunc_without_atomic_sends_setattr)
{
	struct daemon_config config = {.flags = FUSE_BIG_WRITES};
	struct daemon *d = daemon_start(&config);
	struct step *open, *set;
	struct file *file;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_file(d, 10);
	open = expect_open(d, FUSE_OPEN, 5, 1, 0);
	set = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_open(d, "/f", O_WRONLY | O_TRUNC, &file), 0);
	cr_assert_eq(step_in(open, struct fuse_open_in)->flags, O_WRONLY | 0x8000);
	cr_assert_eq(step_in(set, struct fuse_setattr_in)->valid, FATTR_SIZE | FATTR_LOCKOWNER);
	client_close(d, file);
	DAEMON_STOP(d);
}

static struct step *expect_create(struct daemon *d, uint64_t child, uint32_t mode)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {make_entry(child, mode, 0, 100), {.fh = 77}};

	return expect_reply(d, FUSE_CREATE, 1, &out, sizeof(out));
}

/* F52, F54 */
Test(fuse_open, new_name_is_looked_up_then_created)
{
	struct daemon *d = daemon_start(NULL);
	const struct fuse_create_in *in;
	struct step *create, *flush;
	struct file *file;

	daemon_ignore(d, FUSE_RELEASE);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	create = expect_create(d, 6, S_IFREG | 0644);
	cr_assert_eq(client_open(d, "/new", O_WRONLY | O_CREAT | O_EXCL, &file), 0);
	in = step_in(create, struct fuse_create_in);
	cr_assert_eq(in->flags, O_WRONLY | O_CREAT | O_EXCL | 0x8000);
	cr_assert_eq(in->mode, S_IFREG | 0644);
	cr_assert_eq(in->umask, 022);
	cr_assert_str_eq((const char *)(in + 1), "new");
	flush = expect_reply(d, FUSE_FLUSH, 6, NULL, 0);
	client_close(d, file);
	cr_assert_eq(step_in(flush, struct fuse_flush_in)->fh, 77);
	DAEMON_STOP(d);
}

/* CREATE's ENOSYS: MKNOD and OPEN, from then on always. */
Test(fuse_open, create_enosys_falls_back_to_mknod_and_open)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_error(d, FUSE_CREATE, 1, ENOSYS);
	expect_entry(d, FUSE_MKNOD, 1, 6, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 6, 1, 0);
	cr_assert_eq(client_open(d, "/a", O_WRONLY | O_CREAT, &file), 0);
	client_close(d, file);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_entry(d, FUSE_MKNOD, 1, 7, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 7, 1, 0);
	cr_assert_eq(client_open(d, "/b", O_WRONLY | O_CREAT, &file), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F53: a reply that is no new regular file is EIO; nothing is forgotten or released. */
Test(fuse_open, create_of_something_else_is_eio)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_create(d, 6, S_IFDIR | 0755);
	cr_assert_eq(client_open(d, "/a", O_WRONLY | O_CREAT, &file), -EIO);
	DAEMON_STOP(d);
}

/* O04 */
Test(fuse_open, fopen_noflush_closes_without_flush)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_file(d, 1);
	expect_open(d, FUSE_OPEN, 5, 1, FOPEN_NOFLUSH);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

/* O04, F58: the writeback cache has no use for it, and has not counted the blocks. */
Test(fuse_open, fopen_noflush_means_nothing_with_a_writeback_cache)
{
	struct daemon_config config = {.flags = FUSE_WRITEBACK_CACHE};
	struct daemon *d = daemon_start(&config);
	struct file *file;
	struct kstat st;

	expect_file(d, 1);
	expect_open(d, FUSE_OPEN, 5, 1, FOPEN_NOFLUSH);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	DAEMON_STOP(d);
}

/* F42: what is open stays so for a stranger; F41: all else is refused. */
Test(fuse_open, an_open_file_serves_whoever_holds_it)
{
	struct daemon *d = daemon_start(NULL);
	struct cred *owner = d->client.cred, *stranger = cred_new(1000, 1000, NULL, 0);
	struct mmap_request req = {.prot = PROT_READ, .flags = MAP_SHARED, .length = 4096};
	const struct fuse_write_out written = {.size = 2};
	struct file *file, *other;
	struct kstat st;
	int hostfd;
	char buf[8];

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	daemon_ignore(d, FUSE_GETXATTR);
	expect_file(d, 8);
	expect_open(d, FUSE_OPEN, 5, 1, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	d->client.ctx.cred = stranger;
	expect_reply(d, FUSE_READ, 5, "01234567", 8);
	cr_assert_eq(client_pread(d, file, buf, 8, 0), 8);
	cr_assert_eq(file->op->mmap(&d->client.ctx, file, &req, &hostfd), 0);
	close(hostfd);
	expect_reply(d, FUSE_WRITE, 5, &written, sizeof(written));
	cr_assert_eq(client_pwrite(d, file, "xy", 2, 0), 2);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(vfs_fsync(&d->client.ctx, file, 0, INT64_MAX, false), 0);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &file->path, &st, STATX_BASIC_STATS, 0), -EACCES);
	cr_assert_eq(vfs_ftruncate(&d->client.ctx, file, 1), -EACCES);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &other), -EACCES);
	client_close(d, file);
	d->client.ctx.cred = owner;
	cred_put(stranger);
	DAEMON_STOP(d);
}

/* O03 */
Test(fuse_open, fopen_nonseekable_refuses_positions)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;
	char c;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_file(d, 1);
	expect_open(d, FUSE_OPEN, 5, 1, FOPEN_NONSEEKABLE);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	cr_assert_eq(client_pread(d, file, &c, 1, 0), -ESPIPE);
	cr_assert_eq(vfs_llseek(&d->client.ctx, file, 0, SEEK_SET), -ESPIPE);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long open_f(struct daemon *d, void *arg)
{
	return client_open(d, "/f", O_RDONLY, arg);
}

/* Ours: the open file of a killed client is released when the daemon answers at last. */
Test(fuse_open, late_open_of_a_killed_client_is_released)
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_open_out out = {.fh = 99};
	struct step *open, *release, *intr;
	struct client_thread t;
	struct file *file;

	expect_file(d, 1);
	open = expect_silence(d, FUSE_OPEN, 5);
	client_spawn(&t, d, open_f, &file);
	cr_assert(daemon_wait(d, open));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(d, intr));
	release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_gt(daemon_answer(d, open->in.unique, 0, &out, sizeof(out)), 0);
	cr_assert(daemon_wait(d, release));
	cr_assert_eq(step_in(release, struct fuse_release_in)->fh, 99);
	DAEMON_STOP(d);
}

static long read_it(struct daemon *d, void *arg)
{
	char buf[16];

	return client_pread(d, arg, buf, sizeof(buf), 0);
}

/* F60: neither RELEASE nor FORGET overtakes a request that the daemon still works on. */
Test(fuse_open, release_waits_for_the_request_of_a_killed_client)
{
	struct daemon *d = daemon_start(NULL);
	struct step *read, *intr;
	struct client_thread t;
	struct file *file;

	daemon_ignore(d, FUSE_FLUSH);
	expect_file(d, 16);
	expect_open(d, FUSE_OPEN, 5, 1, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	read = expect_silence(d, FUSE_READ, 5);
	client_spawn(&t, d, read_it, file);
	cr_assert(daemon_wait(d, read));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(d, intr));
	client_close(d, file); /* an early RELEASE would be an unexpected request */
	dcache_shrink(0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_open(d, "/other", O_RDONLY, &file), -ENOENT);
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(daemon_answer(d, read->in.unique, 0, "0123456789abcdef", 16), 32);
	cr_assert(daemon_drain(d));
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	DAEMON_STOP(d);
}

static long create_new(struct daemon *d, void *arg)
{
	return client_open(d, "/new", O_RDWR | O_CREAT, arg);
}

/* Ours: the file that a killed client has made is released, and only then forgotten (F60). */
Test(fuse_open, late_create_of_a_killed_client_is_released_then_forgotten)
{
	struct daemon *d = daemon_start(NULL);
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {make_entry(6, S_IFREG | 0644, 0, 100), {.fh = 55}};
	struct step *create, *release, *intr;
	struct client_thread t;
	struct file *file;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	create = expect_silence(d, FUSE_CREATE, 1);
	client_spawn(&t, d, create_new, &file);
	cr_assert(daemon_wait(d, create));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(d, intr));
	release = expect_silence(d, FUSE_RELEASE, 6);
	cr_assert_gt(daemon_answer(d, create->in.unique, 0, &out, sizeof(out)), 0);
	cr_assert(daemon_wait(d, release));
	cr_assert_eq(step_in(release, struct fuse_release_in)->fh, 55);
	cr_assert_eq(daemon_forgotten(d, 6), 0);
	cr_assert_eq(daemon_answer(d, release->in.unique, 0, NULL, 0), 16);
	cr_assert(daemon_wait_forgotten(d, 6, 1));
	DAEMON_STOP(d);
}

/* F51: READ and RELEASE carry the flags of the open file, as fcntl(2) has made them. */
Test(fuse_open, later_requests_carry_the_flags_of_the_open_file)
{
	struct daemon *d = daemon_start(NULL);
	struct step *read, *release;
	struct file *file;
	char byte;

	expect_file(d, 10);
	expect_open(d, FUSE_OPEN, 5, 42, FOPEN_DIRECT_IO);
	cr_assert_eq(client_open(d, "/f", O_RDWR | O_NOCTTY | O_NONBLOCK, &file), 0);
	read = expect_reply(d, FUSE_READ, 5, "x", 1);
	cr_assert_eq(client_pread(d, file, &byte, 1, 0), 1);
	cr_assert_eq(step_in(read, struct fuse_read_in)->flags, 0x8000 | O_RDWR | O_NONBLOCK);
	atomic_fetch_or(&file->flags, O_APPEND); /* F_SETFL */
	atomic_fetch_and(&file->flags, ~(unsigned)O_NONBLOCK);
	read = expect_reply(d, FUSE_READ, 5, "x", 1);
	cr_assert_eq(client_pread(d, file, &byte, 1, 0), 1);
	cr_assert_eq(step_in(read, struct fuse_read_in)->flags, 0x8000 | O_RDWR | O_APPEND);
	daemon_ignore(d, FUSE_FLUSH);
	release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	client_close(d, file);
	cr_assert(daemon_drain(d));
	cr_assert_eq(step_in(release, struct fuse_release_in)->flags, 0x8000 | O_RDWR | O_APPEND);
	DAEMON_STOP(d);
}

/* F167: a FIFO of the mount is a FIFO here; the daemon hears nothing of its opening and closing. */
Test(fuse_open, special_files_are_opened_without_the_daemon)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFIFO | 0666, 0, 100);
	cr_assert_eq(client_open(d, "/p", O_RDWR | O_NONBLOCK, &file), 0);
	client_close(d, file);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFSOCK | 0666, 0, 100);
	cr_assert_eq(client_open(d, "/s", O_RDWR, &file), -ENXIO);
	DAEMON_STOP(d);
}

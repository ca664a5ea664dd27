/*
 * A daemon whose answers have the right shape and a wrong content; matrix section 9. Whatever it
 * says, the client gets an error or a harmless value, and the next honest answer works.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <unistd.h>

#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/lock.h"
#include "vfs/poll.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

TestSuite(fuse_badreply, .timeout = 20);

#define CTX (&d->client.ctx)
#define F   (S_IFREG | 0644)
#define DIR (S_IFDIR | 0755)

static struct file *open_file(struct daemon *d, uint64_t size, uint32_t open_flags)
{
	struct file *file = NULL;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, open_flags);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	return file;
}

static long stat_x(struct daemon *d, void *arg)
{
	struct kstat st;

	(void)arg;
	return client_stat(d, "/x", &st);
}

/* A message with any header. */
static ssize_t write_raw(struct daemon *d, uint32_t len, int32_t error, uint64_t unique, size_t bytes)
{
	struct {
		struct fuse_out_header head;
		uint8_t body[256];
	} msg = {.head = {len, error, unique}};

	return daemon_write(d, &msg, bytes);
}

Test(fuse_badreply, a_wrong_header_hurts_the_writer_only) /* Z01, D31, D33, D35, D36 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	uint64_t unique;

	client_spawn(&t, d, stat_x, NULL);
	cr_assert(daemon_wait(d, s));
	unique = s->in.unique;
	cr_assert_eq(write_raw(d, 16, -ENOENT, unique, 15), -EINVAL);
	cr_assert_eq(write_raw(d, 17, -ENOENT, unique, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 15, -ENOENT, unique, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, ENOENT, unique, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, -512, unique, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, INT32_MIN, unique, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, -ENOENT, unique + 2, 16), -ENOENT);
	cr_assert_eq(write_raw(d, 16, -ENOENT, unique | 1ULL << 63, 16), -ENOENT);
	cr_assert_eq(write_raw(d, 16, -ENOENT, unique, 16), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	cr_assert_eq(write_raw(d, 16, -ENOENT, unique, 16), -ENOENT); /* answered twice */
	DAEMON_STOP(d);
}

static void refused_init(int error, uint32_t major, size_t len)
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d = daemon_start(&config);
	struct fuse_init_out out[2] = {{.major = major, .minor = 45}};
	struct step *s = expect_reply(d, FUSE_INIT, 0, out, len);
	struct kstat st;

	s->error = error;
	cr_assert_eq(client_stat(d, "/x", &st), -ECONNREFUSED);
	cr_assert_eq(client_stat(d, "/x", &st), -ECONNREFUSED);
	cr_assert(d->conn->connected); /* the device lives on, and never gets a second INIT */
	DAEMON_STOP(d);
}

Test(fuse_badreply, an_init_that_is_refused) /* Z04, I04, K06 */
{
	refused_init(-EPROTO, 7, 0);
	refused_init(0, 6, 64);
	refused_init(0, 8, 64);
	refused_init(0, 7, 65); /* I03 */
	refused_init(0, 7, 4);
}

Test(fuse_badreply, bits_that_were_not_offered_are_honoured) /* I06 */
{
	struct daemon_config config = {.flags = FUSE_PARALLEL_DIROPS | FUSE_DONT_MASK | 1ULL << 35 |
						1ULL << 27 | 1ULL << 2 | 1ULL << 63};
	struct daemon *d = daemon_start(&config);

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(stat_x(d, NULL), -ENOENT); /* none of them refuses the answer */
	cr_assert(d->conn->flags & FUSE_DONT_MASK);
	DAEMON_STOP(d);
}

/* --- entries and attributes --------------------------------------------------------------- */

Test(fuse_badreply, lookup_of_no_type_or_size) /* Z05, F172 */
{
	struct daemon *d = daemon_start(NULL);

	expect_entry(d, FUSE_LOOKUP, 1, 5, 0644, 1, 100);
	cr_assert_eq(stat_x(d, NULL), -EIO);
	expect_entry(d, FUSE_LOOKUP, 1, 5, 0170000, 1, 100);
	cr_assert_eq(stat_x(d, NULL), -EIO);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 1ULL << 63, 100);
	cr_assert_eq(stat_x(d, NULL), -EIO);
	expect_entry(d, FUSE_LOOKUP, 1, 6, F, 1, 100);
	cr_assert_eq(stat_x(d, NULL), 0);
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	DAEMON_STOP(d);
}

Test(fuse_badreply, lookup_of_the_root_as_a_child) /* Z06, Z07 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(1, DIR, 0, 100);
	struct kstat st;

	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(stat_x(d, NULL), -EIO);
	out.generation = 77;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(stat_x(d, NULL), -EIO);
	cr_assert_eq(client_stat(d, "/", &st), 0); /* the root is none the worse */
	cr_assert(S_ISDIR(st.mode));
	DAEMON_STOP(d);
}

/* The same node, now something else. */
static void changed_node(uint64_t generation, uint32_t mode)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct fuse_entry_out out = make_entry(5, mode, 10, 100);
	struct kstat st;
	char buf[4];

	out.generation = generation;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/g", &st), 0);
	cr_assert_eq(st.mode, mode);
	cr_assert_eq(client_pread(d, file, buf, 4, 0), -EIO); /* the old one is bad, for ever */
	cr_assert_eq(client_pwrite(d, file, buf, 4, 0), -EIO);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_badreply, lookup_of_a_known_node_that_is_another) /* Z08, F10 */
{
	changed_node(1, DIR);
	changed_node(2, F);
}

Test(fuse_badreply, lookup_of_an_ancestor) /* Z09, F12 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 2, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 2, 3, DIR, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 3, 2, DIR, 0, 100);
	cr_assert_eq(client_stat(d, "/a/b/c", &st), -ELOOP);
	expect_entry(d, FUSE_LOOKUP, 3, 4, F, 0, 100);
	cr_assert_eq(client_stat(d, "/a/b/d", &st), 0);
	DAEMON_STOP(d);
}

Test(fuse_badreply, lookup_again_with_bad_attributes) /* Z10, F05 */
{
	struct daemon *d = daemon_start(NULL);

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 1, 0);
	expect_attr(d, FUSE_GETATTR, 5, F, 1, 100);
	cr_assert_eq(stat_x(d, NULL), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, 0644, 1, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 1, 100); /* as if the name were new */
	cr_assert_eq(stat_x(d, NULL), 0);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 3)); /* the rejected one has counted */
	DAEMON_STOP(d);
}

static void bad_creation(struct daemon *d, uint64_t nodeid, uint32_t mode, uint64_t size)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {make_entry(nodeid, mode, size, 100), {.fh = 4}};
	struct file *file;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, FUSE_MKDIR, 1, &out.entry, sizeof(out.entry));
	cr_expect_eq(vfs_mkdir(CTX, NULL, "/n", 0755), -EIO);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, FUSE_SYMLINK, 1, &out.entry, sizeof(out.entry));
	cr_expect_eq(vfs_symlink(CTX, NULL, "/n", "t"), -EIO);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, FUSE_MKNOD, 1, &out.entry, sizeof(out.entry));
	cr_expect_eq(vfs_mknod(CTX, NULL, "/n", S_IFIFO | 0644, 0), -EIO);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, FUSE_CREATE, 1, &out, sizeof(out));
	cr_expect_eq(client_open(d, "/n", O_CREAT | O_RDWR, &file), -EIO);
}

Test(fuse_badreply, creations_of_nothing_new) /* Z11, F53, F160 */
{
	struct daemon *d = daemon_start(NULL);

	bad_creation(d, 0, S_IFSOCK, 0);
	bad_creation(d, 1, S_IFSOCK, 0);
	bad_creation(d, 5, S_IFSOCK, 0); /* of none of the types asked for */
	bad_creation(d, 5, 0, 0);
	bad_creation(d, 5, S_IFSOCK, 1ULL << 63);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(stat_x(d, NULL), -ENOENT);
	cr_assert_eq(daemon_forgotten(d, 5), 0); /* neither FORGET nor RELEASE */
	DAEMON_STOP(d);
}

/* An attribute answer that makes the inode bad, and what comes after it. */
static void bad_attributes(uint32_t mode, uint64_t size, bool set)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct kstat st;
	char buf[4];

	expect_attr(d, set ? FUSE_SETATTR : FUSE_GETATTR, 5, mode, size, 100);
	if (set)
		cr_assert_eq(vfs_ftruncate(CTX, file, 3), -EIO);
	else
		cr_assert_eq(vfs_getattr(CTX, &file->path, &st, STATX_BASIC_STATS,
					 AT_STATX_FORCE_SYNC),
			     -EIO);
	cr_assert_eq(vfs_getattr(CTX, &file->path, &st, STATX_BASIC_STATS, 0), -EIO);
	cr_assert_eq(client_pread(d, file, buf, 4, 0), -EIO);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_badreply, attributes_of_another_kind_of_file) /* Z12 */
{
	bad_attributes(DIR, 10, false);
	bad_attributes(0644, 10, false);
	bad_attributes(F, UINT64_MAX, false);
	bad_attributes(DIR, 10, true);
	bad_attributes(F, 1ULL << 63, true);
}

Test(fuse_badreply, a_name_without_links) /* Z14 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, F, 1, 100);
	struct path path;

	out.attr.nlink = 0;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(stat_x(d, NULL), 0);
	cr_assert_eq(path_lookup(CTX, NULL, "/x", 0, &path), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(vfs_link(CTX, &path, NULL, "/y"), -ENOENT);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_badreply, absurd_times_and_block_sizes) /* Z15, F02, F28 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, F, 1, 0);
	struct kstat st;

	out.entry_valid = out.attr_valid = UINT64_MAX;
	out.entry_valid_nsec = out.attr_valid_nsec = UINT32_MAX;
	out.attr.atimensec = out.attr.mtimensec = out.attr.ctimensec = UINT32_MAX;
	out.attr.mtime = UINT64_MAX;
	out.attr.blksize = 5000;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.mtime.tv_nsec, 999999999);
	cr_assert_eq(st.blksize, 4096);
	cr_assert_eq(client_stat(d, "/x", &st), 0); /* valid for ever */
	out.attr.blksize = UINT32_MAX;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/y", &st), 0);
	cr_assert_eq(st.blksize, 1u << 31);
	DAEMON_STOP(d);
}

/* --- open files --------------------------------------------------------------------------- */

Test(fuse_badreply, open_with_unknown_flags) /* Z16 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0xffffff00); /* bits that mean nothing */
	char buf[4];

	expect_reply(d, FUSE_READ, 5, "0123456789", 10);
	cr_assert_eq(client_pread(d, file, buf, 4, 2), 4);
	cr_assert_eq(memcmp(buf, "2345", 4), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_badreply, open_with_passthrough_that_was_not_negotiated) /* Z16, O06 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s;
	struct file *file;

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 10, 100);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_PASSTHROUGH);
	s = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), -EIO);
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(step_in(s, struct fuse_release_in)->fh, 3);
	DAEMON_STOP(d);
}

Test(fuse_badreply, read_of_more_than_asked) /* Z17 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, FOPEN_DIRECT_IO);
	struct step *s = expect_reply(d, FUSE_READ, 5, "01234", 5);
	char buf[16] = "untouched";

	cr_assert_eq(client_pread(d, file, buf, 4, 0), -EIO);
	cr_assert(daemon_drain(d));
	cr_assert_eq(s->written, -EINVAL);
	cr_assert_str_eq(buf, "untouched");
	expect_reply(d, FUSE_READ, 5, "ab", 2); /* less: the end of the file */
	cr_assert_eq(client_pread(d, file, buf, 4, 0), 2);
	client_close(d, file);
	DAEMON_STOP(d);
}

static ssize_t write_answered(uint32_t open_flags, uint32_t size)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, open_flags);
	struct fuse_write_out out = {.size = size};
	ssize_t ret;

	daemon_ignore(d, FUSE_GETXATTR);
	expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
	ret = client_pwrite(d, file, "0123", 4, 0);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, write_of_more_than_asked_or_nothing) /* Z18, F87 */
{
	cr_assert_eq(write_answered(0, 5), -EIO);
	cr_assert_eq(write_answered(0, UINT32_MAX), -EIO);
	cr_assert_eq(write_answered(FOPEN_DIRECT_IO, 5), -EIO);
	cr_assert_eq(write_answered(0, 0), -EIO);
	cr_assert_eq(write_answered(FOPEN_DIRECT_IO, 0), 0);
	cr_assert_eq(write_answered(FOPEN_DIRECT_IO, 3), 3);
}

static ssize_t seek_answered(uint64_t offset)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, 0);
	struct fuse_lseek_out out = {offset};
	ssize_t ret;

	expect_reply(d, FUSE_LSEEK, 5, &out, sizeof(out));
	ret = vfs_llseek(CTX, file, 1, SEEK_HOLE);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, a_position_that_cannot_be) /* Z25, F142 */
{
	cr_assert_eq(seek_answered(1ULL << 63), -EINVAL);
	cr_assert_eq(seek_answered(UINT64_MAX), -EINVAL);
	cr_assert_eq(seek_answered(7), 7);
}

Test(fuse_badreply, more_copied_than_asked) /* Z26, F143 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, 0);
	struct fuse_copy_file_range_out out = {11};
	int64_t from = 0, to = 50;

	expect_reply(d, FUSE_COPY_FILE_RANGE_64, 5, &out, sizeof(out));
	cr_assert_eq(vfs_copy_file_range(CTX, file, &from, file, &to, 10, 0), -EIO);
	cr_assert_eq(from, 0);
	cr_assert_eq(to, 50);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_badreply, poll_says_anything) /* Z27 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, 0);
	struct fuse_poll_out out = {.revents = UINT32_MAX};
	struct poll_item item = {.file = file, .events = POLLIN};

	expect_reply(d, FUSE_POLL, 5, &out, sizeof(out));
	cr_assert_eq(vfs_poll_items(CTX, &item, 1, -1), 1);
	cr_assert(item.revents & POLLIN); /* and what poll(2) cannot ask for may come, too */
	client_close(d, file);
	DAEMON_STOP(d);
}

static int lock_answered(uint32_t type, uint64_t start, uint64_t end)
{
	struct daemon_config config = {.flags = FUSE_POSIX_LOCKS | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct file *file = open_file(d, 100, 0);
	struct fuse_lk_out out = {{start, end, type, 77}};
	struct flock_request req = {.type = F_WRLCK, .start = 0, .end = INT64_MAX};
	int ret;

	expect_reply(d, FUSE_GETLK, 5, &out, sizeof(out));
	ret = vfs_lock_file(CTX, file, F_GETLK, &req);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, a_lock_that_cannot_be) /* Z23, Z28, F114 */
{
	cr_assert_eq(lock_answered(3, 0, 1), -EIO);
	cr_assert_eq(lock_answered(UINT32_MAX, 0, 1), -EIO);
	cr_assert_eq(lock_answered(F_RDLCK, 2, 1), -EIO);
	cr_assert_eq(lock_answered(F_RDLCK, 1ULL << 63, UINT64_MAX), -EIO);
	cr_assert_eq(lock_answered(F_UNLCK, 2, 1), 0); /* no lock, no range */
	cr_assert_eq(lock_answered(F_WRLCK, 1, 2), 0);
}

Test(fuse_badreply, statfs_is_shown_whatever_it_says) /* Z28 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_kstatfs out;
	struct kstatfs statfs;
	struct path root;

	memset(&out, 0xff, sizeof(out));
	cr_assert_eq(path_lookup(CTX, NULL, "/", 0, &root), 0);
	expect_reply(d, FUSE_STATFS, 1, &out, sizeof(out));
	cr_assert_eq(vfs_statfs(CTX, &root, &statfs), 0);
	cr_assert_eq(statfs.blocks, UINT64_MAX);
	cr_assert_eq(statfs.namelen, UINT32_MAX);
	path_put(&root);
	DAEMON_STOP(d);
}

/* --- interrupts, and no answer ------------------------------------------------------------ */

Test(fuse_badreply, odd_answers_to_an_interrupt) /* Z30, D37, D38, D40 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1), *i;
	struct client_thread t;
	uint64_t unique;

	client_spawn(&t, d, stat_x, NULL);
	cr_assert(daemon_wait(d, s));
	i = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_SIGNAL);
	cr_assert(daemon_wait(d, i));
	unique = s->in.unique | 1;
	cr_assert_eq(write_raw(d, 24, 0, unique, 24), -EINVAL);
	cr_assert_eq(write_raw(d, 16, -EPERM, unique, 16), 16); /* ignored */
	cr_assert_eq(write_raw(d, 16, -ENOSYS, unique, 16), 16);
	cr_assert(d->conn->no_interrupt);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_badreply, an_answer_to_an_interrupt_that_never_was) /* Z31, D39 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;

	client_spawn(&t, d, stat_x, NULL);
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(write_raw(d, 16, -EAGAIN, s->in.unique | 1, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, -EPERM, s->in.unique | 1, 16), 16);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_badreply, no_answer_ever) /* Z33, D82: its client can be killed, and an abort helps */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread killed, waits;

	daemon_ignore(d, FUSE_INTERRUPT);
	client_spawn(&killed, d, stat_x, NULL);
	cr_assert(daemon_wait(d, s));
	client_interrupt(&killed, WAITER_KILLED);
	cr_assert_eq(client_join(&killed), -EINTR);
	s = expect_silence(d, FUSE_LOOKUP, 1);
	client_spawn(&waits, d, stat_x, NULL);
	cr_assert(daemon_wait(d, s));
	fuse_conn_abort(d->conn, true);
	cr_assert_eq(client_join(&waits), -ECONNABORTED);
	DAEMON_STOP(d);
}

Test(fuse_badreply, reading_with_a_small_buffer) /* Z35, D12 */
{
	struct daemon *d = daemon_start(NULL);
	static char buf[131072 + 79];
	struct io_iter iter;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(stat_x(d, NULL), -ENOENT); /* max_write is 128 KiB now */
	for (int i = 0; i < 3; i++) {
		iter_init_mem(&iter, buf, sizeof(buf));
		cr_assert_eq(vfs_read(&d->self.ctx, d->dev, &iter), -EINVAL);
		iter_init_mem(&iter, buf, 8191);
		cr_assert_eq(vfs_read(&d->self.ctx, d->dev, &iter), -EINVAL);
	}
	expect_error(d, FUSE_LOOKUP, 1, ENOENT); /* and nothing was taken off the queue */
	cr_assert_eq(stat_x(d, NULL), -ENOENT);
	DAEMON_STOP(d);
}

/* --- directories, links, xattrs, ioctls --------------------------------------------------- */

static ssize_t list_answered(const void *buf, size_t len, char *names, size_t room)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file;
	ssize_t ret;

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_open(d, FUSE_OPENDIR, 1, 4, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &file), 0);
	expect_reply(d, FUSE_READDIR, 1, buf, len);
	ret = client_readdir(d, file, names, room, room);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, names_that_cannot_be) /* Z20, F72 */
{
	char buf[512] = {0}, names[8192];
	struct fuse_dirent *entry = (void *)buf;
	size_t len = make_dirent(buf, 5, 1, "a/b", 8);

	cr_assert_eq(list_answered(buf, len, names, sizeof(names)), -EIO);
	len = make_dirent(buf, 5, 1, "abc", 8);
	entry->namelen = 0;
	cr_assert_eq(list_answered(buf, len, names, sizeof(names)), -EIO);
	entry->namelen = 4096;
	cr_assert_eq(list_answered(buf, len, names, sizeof(names)), -EIO);
	entry->namelen = UINT32_MAX;
	cr_assert_eq(list_answered(buf, len, names, sizeof(names)), -EIO);
	/* An offset that does not move is the reader's own affair; so is a missing ".". */
	len = make_dirent(buf, 5, 0, "same", 8);
	len += make_dirent(buf + len, 5, 0, "again", 8);
	cr_assert_gt(list_answered(buf, len, names, sizeof(names)), 0);
	cr_assert_str_eq(names, "same again ");
}

Test(fuse_badreply, listed_nodes_that_cannot_be) /* Z21, F75 */
{
	struct daemon_config config = {.flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct fuse_entry_out root = make_entry(1, DIR, 0, 100), bad = make_entry(7, 0, 0, 100);
	char buf[1024], names[8192];
	struct file *file;
	size_t len;

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_open(d, FUSE_OPENDIR, 1, 4, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &file), 0);
	len = make_direntplus(buf, &root, 1, "root", 4);
	len += make_direntplus(buf + len, &bad, 2, "bad", 8);
	expect_reply(d, FUSE_READDIRPLUS, 1, buf, len);
	cr_assert_gt(client_readdir(d, file, names, sizeof(names), sizeof(names)), 0);
	cr_assert_str_eq(names, "root bad "); /* listed, and given back */
	cr_assert(daemon_wait_forgotten(d, 7, 1));
	cr_assert(daemon_wait_forgotten(d, 1, 1));
	client_close(d, file);
	DAEMON_STOP(d);
}

static ssize_t link_answered(const char *target, size_t len, char *buf)
{
	struct daemon *d = daemon_start(NULL);
	char *got = NULL;
	struct path path;
	int err;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFLNK | 0777, 3, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/l", 0, &path), 0);
	expect_reply(d, FUSE_READLINK, 5, target, len);
	err = path.dentry->inode->op->get_link(CTX, path.dentry, path.dentry->inode, &got, NULL);
	if (!err)
		strcpy(buf, got);
	free(got);
	path_put(&path);
	DAEMON_STOP(d);
	return err;
}

Test(fuse_badreply, targets_of_links) /* Z19, F168 */
{
	static char page[4096], buf[4096];

	memset(page, 'x', sizeof(page));
	cr_assert_eq(link_answered(page, 4096, buf), -EIO);
	cr_assert_eq(link_answered(page, 4095, buf), 0);
	cr_assert_eq(strlen(buf), 4095);
	cr_assert_eq(link_answered("ab\0cd", 5, buf), 0);
	cr_assert_str_eq(buf, "ab");
	cr_assert_eq(link_answered("", 0, buf), 0);
	cr_assert_str_eq(buf, "");
}

static ssize_t xattr_answered(uint32_t opcode, const void *data, size_t len, size_t room)
{
	struct daemon *d = daemon_start(NULL);
	struct path path;
	char buf[64];
	ssize_t ret;

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 3, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/f", 0, &path), 0);
	expect_reply(d, opcode, 5, data, len);
	ret = opcode == FUSE_GETXATTR ? vfs_getxattr(CTX, &path, "user.a", buf, room)
				      : vfs_listxattr(CTX, &path, buf, room);
	path_put(&path);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, xattrs_that_are_too_long_or_no_list) /* Z22, F121, F122 */
{
	static const struct fuse_getxattr_out huge = {.size = UINT32_MAX};

	cr_assert_eq(xattr_answered(FUSE_GETXATTR, "12345", 5, 4), -EIO);
	cr_assert_eq(xattr_answered(FUSE_GETXATTR, "1234", 4, 4), 4);
	cr_assert_eq(xattr_answered(FUSE_GETXATTR, &huge, sizeof(huge), 0), 65536);
	cr_assert_eq(xattr_answered(FUSE_LISTXATTR, &huge, sizeof(huge), 0), 65536);
	cr_assert_eq(xattr_answered(FUSE_LISTXATTR, "user.a\0\0", 8, 16), -EIO); /* an empty name */
	cr_assert_eq(xattr_answered(FUSE_LISTXATTR, "user.a", 6, 16), -EIO);	 /* no end */
	cr_assert_eq(xattr_answered(FUSE_LISTXATTR, "user.a", 7, 16), 7);
}

static long ioctl_answered(const struct fuse_ioctl_out *out, size_t extra)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 100, 0);
	uint8_t answer[sizeof(*out) + 64] = {0};
	uint64_t data = 0;
	long ret;

	memcpy(answer, out, sizeof(*out));
	expect_reply(d, FUSE_IOCTL, 5, answer, sizeof(*out) + extra);
	ret = vfs_ioctl(CTX, file, _IOR('F', 1, uint64_t), (uintptr_t)&data);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_badreply, ioctl_retry_and_too_much_data) /* Z24, F150 */
{
	struct fuse_ioctl_out out = {.flags = FUSE_IOCTL_RETRY, .in_iovs = 1, .out_iovs = 1};

	cr_assert_eq(ioctl_answered(&out, 0), -EIO); /* may not, on a file system */
	out = (struct fuse_ioctl_out){.result = 3};
	cr_assert_eq(ioctl_answered(&out, 9), -EIO);
}

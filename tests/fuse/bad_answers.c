/*
 * Answers with the right shape and the wrong things in them; matrix section 9. Whatever a daemon
 * says, the client gets an error or a harmless value, and the next honest answer works. Wrong sizes
 * are in opcodes.c; what belongs to one opcode alone is beside that opcode's tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/lock.h"
#include "vfs/poll.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

TestSuite(fuse_bad_answers, .timeout = 30);

#define CTX (&d->client.ctx)
#define F (S_IFREG | 0644)
#define DIR (S_IFDIR | 0755)

/* A message with any header. */
static ssize_t write_raw(struct daemon *d, uint32_t len, int32_t error, uint64_t unique,
			 size_t bytes)
{
	struct {
		struct fuse_out_header head;
		uint8_t body[256];
	} msg = { .head = { len, error, unique } };

	return daemon_write(d, &msg, bytes);
}

Test(fuse_bad_answers, a_wrong_header_hurts_the_writer_only) /* Z01, D31, D33, D35, D36 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	uint64_t unique;

	client_spawn(&t, d, client_stat_path, "/x");
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
	struct daemon_config config = { .no_init = true };
	struct daemon *d = daemon_start(&config);
	struct fuse_init_out out[2] = { { .major = major, .minor = 45 } };
	struct step *s = expect_reply(d, FUSE_INIT, 0, out, len);
	struct kstat st;

	s->error = error;
	cr_assert_eq(client_stat(d, "/x", &st), -ECONNREFUSED);
	cr_assert_eq(client_stat(d, "/x", &st), -ECONNREFUSED);
	cr_assert(d->conn->connected); /* the device lives on, and never gets a second INIT */
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, an_init_that_is_refused) /* Z04, I04, K06 */
{
	refused_init(-EPROTO, 7, 0);
	refused_init(0, 6, 64);
	refused_init(0, 8, 64);
	refused_init(0, 7, 65); /* I03 */
	refused_init(0, 7, 4);
}

Test(fuse_bad_answers, bits_that_were_not_offered_are_honoured) /* I06 */
{
	struct daemon_config config = { .flags = FUSE_PARALLEL_DIROPS | FUSE_DONT_MASK |
						 1ULL << 35 | 1ULL << 27 | 1ULL << 2 | 1ULL << 63 };
	struct daemon *d = daemon_start(&config);

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat_path(d, "/x"), -ENOENT); /* none of them refuses the answer */
	cr_assert(d->conn->flags & FUSE_DONT_MASK);
	DAEMON_STOP(d);
}

/* --- entries ------------------------------------------------------------------------------ */

enum { LOOKUPS, SYMLINKS, MKNODS, MKDIRS, LINKS, CREATES, NR_WAYS };

/* The operation that gets this entry. */
static int ask(struct daemon *d, int what, const struct fuse_entry_out *out)
{
	static const uint32_t opcodes[] = { FUSE_LOOKUP, FUSE_SYMLINK, FUSE_MKNOD,
					    FUSE_MKDIR,	 FUSE_LINK,    FUSE_CREATE };
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} answer = { *out, { .fh = 4 } };
	struct file *file;
	struct path old;
	int err;

	if (what == LINKS) {
		expect_entry(d, FUSE_LOOKUP, 1, 9, S_IFREG | 0644, 0, 100);
		cr_assert_eq(path_lookup(CTX, NULL, "/old", 0, &old), 0);
	}
	if (what != LOOKUPS)
		expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, opcodes[what], 1, &answer, what == CREATES ? sizeof(answer) : sizeof(*out));
	switch (what) {
	case SYMLINKS:
		return vfs_symlink(CTX, NULL, "/x", "target");
	case MKNODS:
		return vfs_mknod(CTX, NULL, "/x", S_IFREG | 0644, 0);
	case MKDIRS:
		return vfs_mkdir(CTX, NULL, "/x", 0755);
	case LINKS:
		err = vfs_link(CTX, &old, NULL, "/x");
		path_put(&old);
		return err;
	case CREATES:
		return client_open(d, "/x", O_CREAT | O_RDWR, &file);
	default:
		return client_stat_path(d, "/x");
	}
}

/* All that came before is read: nothing was forgotten, nothing released. */
static void check_nothing_followed(struct daemon *d)
{
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_expect_eq(client_stat(d, "/end", &(struct kstat){ 0 }), -ENOENT);
	cr_expect_eq(daemon_forgotten(d, 5), 0);
}

Test(fuse_bad_answers, entries_that_cannot_be) /* Z05-Z07, Z11, F53, F160, F172 */
{
	static const uint32_t types[] = { S_IFREG, S_IFLNK, S_IFREG, S_IFDIR, S_IFREG, S_IFREG };

	for (int what = LOOKUPS; what < NR_WAYS; what++) {
		struct fuse_entry_out rows[6];
		struct fuse_entry_out good = make_entry(5, types[what] | 0644, 0, 100);

		for (int i = 0; i < 6; i++)
			rows[i] = good;
		rows[0].attr.mode = 0644;
		rows[1].attr.mode = 0170644;
		rows[2].attr.size = 1ULL << 63;
		rows[3].nodeid = 1;
		rows[4].nodeid = 1; /* and not the root's generation */
		rows[4].generation = 77;
		rows[5].nodeid = 0; /* of a LOOKUP: there is none */
		for (int i = 0; i < 6; i++) {
			struct daemon *d = daemon_start(NULL);
			int want = what == LOOKUPS && i == 5 ? -ENOENT : -EIO;

			cr_expect_eq(ask(d, what, &rows[i]), want, "operation %d, row %d", what, i);
			if (what != LOOKUPS || rows[i].nodeid != 1) /* else the root is bad */
				check_nothing_followed(d);
			DAEMON_STOP(d);
		}
	}
}

Test(fuse_bad_answers, a_creation_of_another_type) /* Z11, F53, F160 */
{
	static const uint32_t other[] = { 0, S_IFREG, S_IFDIR, S_IFREG, S_IFDIR, S_IFDIR };

	for (int what = SYMLINKS; what < NR_WAYS; what++) {
		struct fuse_entry_out out = make_entry(5, other[what] | 0644, 0, 100);
		struct daemon *d = daemon_start(NULL);

		cr_expect_eq(ask(d, what, &out), -EIO, "operation %d", what);
		check_nothing_followed(d);
		DAEMON_STOP(d);
	}
}

Test(fuse_bad_answers, a_revalidation_with_bad_attributes_leads_to_a_fresh_lookup) /* Z10, F05 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 1, 0);
	expect_attr(d, FUSE_GETATTR, 5, F, 1, 100);
	cr_assert_eq(client_stat_path(d, "/x"), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, 0644, 1, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 5, F, 3, 100); /* as if the name were new */
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.size, 3);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 3)); /* the rejected one has counted */
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, lookup_of_the_root_as_a_child) /* Z06, Z07 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(1, DIR, 0, 100);
	struct kstat st;

	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat_path(d, "/x"), -EIO);
	out.generation = 77;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat_path(d, "/x"), -EIO);
	cr_assert_eq(client_stat(d, "/", &st), 0); /* the root is none the worse */
	cr_assert(S_ISDIR(st.mode));
	DAEMON_STOP(d);
}

/* The same node, now something else. */
static void changed_node(uint64_t generation, uint32_t mode)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
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

Test(fuse_bad_answers, lookup_of_a_known_node_that_is_another) /* Z08, F10 */
{
	changed_node(1, DIR);
	changed_node(2, F);
}

Test(fuse_bad_answers, a_directory_inside_itself) /* Z09, F12 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 5, 6, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 6, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/a/b/a", &st), -ELOOP);
	cr_assert_eq(client_stat(d, "/a/b", &st), 0); /* where they were */
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, a_directory_under_a_second_name_is_moved_there) /* Z09, F12 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/b", &st), 0);
	cr_assert_eq(client_stat(d, "/b", &st), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* --- attributes --------------------------------------------------------------------------- */

static int change_mode(struct daemon *d, const struct path *path)
{
	struct iattr attr = { .valid = ATTR_MODE, .mode = 0600 };

	return notify_change(CTX, path, &attr);
}

static int get_attributes(struct daemon *d, const struct path *path, uint32_t mask)
{
	struct kstat st;

	return vfs_getattr(CTX, path, &st, mask, AT_STATX_FORCE_SYNC);
}

static int ask_attributes(struct daemon *d, const struct path *path, uint32_t opcode, uint32_t mode,
			  uint64_t size)
{
	struct fuse_statx_out out = { .attr_valid = 100 };

	if (opcode != FUSE_STATX) {
		expect_attr(d, opcode, 5, mode, size, 100);
		return opcode == FUSE_SETATTR ? change_mode(d, path)
					      : get_attributes(d, path, STATX_BASIC_STATS);
	}
	out.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
	out.stat.mode = (uint16_t)mode;
	out.stat.size = size;
	out.stat.nlink = 1;
	expect_reply(d, FUSE_STATX, 5, &out, sizeof(out));
	return get_attributes(d, path, STATX_BASIC_STATS | STATX_BTIME);
}

Test(fuse_bad_answers, bad_attributes_make_the_inode_bad_for_ever) /* Z12, F10 */
{
	static const uint32_t opcodes[] = { FUSE_GETATTR, FUSE_SETATTR, FUSE_STATX };
	static const struct {
		uint32_t mode;
		uint64_t size;
	} rows[] = { { 0644, 0 }, { S_IFDIR | 0755, 0 }, { S_IFREG | 0644, 1ULL << 63 } };

	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 3; i++) {
			struct daemon *d = daemon_start(NULL);
			struct file *file = NULL;
			char byte;

			expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 3, 100);
			expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
			cr_assert_eq(client_open(d, "/x", O_RDWR, &file), 0);
			cr_expect_eq(ask_attributes(d, &file->path, opcodes[o], rows[i].mode,
						    rows[i].size),
				     -EIO, "opcode %u, row %zu", opcodes[o], i);
			/* No request any more but the end of what is open. */
			cr_expect_eq(get_attributes(d, &file->path, STATX_BASIC_STATS), -EIO);
			cr_expect_eq(client_pread(d, file, &byte, 1, 0), -EIO);
			daemon_ignore(d, FUSE_FLUSH);
			daemon_ignore(d, FUSE_RELEASE);
			client_close(d, file);
			DAEMON_STOP(d);
		}
}

Test(fuse_bad_answers, a_name_without_links_is_no_target_of_link) /* Z14 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0644, 0, 100);
	struct kstat st;
	struct path old;

	out.attr.nlink = 0;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(path_lookup(CTX, NULL, "/x", 0, &old), 0);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.nlink, 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(vfs_link(CTX, &old, NULL, "/y"), -ENOENT);
	path_put(&old);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, absurd_times_are_put_right) /* Z15, F02, F28 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0644, 0, 0);
	struct kstat st;

	out.entry_valid = out.attr_valid = UINT64_MAX;
	out.entry_valid_nsec = out.attr_valid_nsec = UINT32_MAX;
	out.attr.mtimensec = UINT32_MAX;
	out.attr.atime = UINT64_MAX;
	out.attr.blksize = 3000;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	for (int i = 0; i < 2; i++) /* valid for ever, not for no time at all */
		cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.mtime.tv_nsec, 999999999);
	cr_assert_eq(st.blksize, 2048);
	out.attr.blksize = UINT32_MAX;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/y", &st), 0);
	cr_assert_eq(st.blksize, 1u << 31);
	DAEMON_STOP(d);
}

/* --- open files --------------------------------------------------------------------------- */

Test(fuse_bad_answers, unknown_flags_of_open_are_ignored) /* Z16, W01 */
{
	const uint32_t known = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE | FOPEN_NONSEEKABLE |
			       FOPEN_CACHE_DIR | FOPEN_STREAM | FOPEN_NOFLUSH |
			       FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_PASSTHROUGH;
	struct daemon *d = daemon_start(NULL);
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 5, 3, ~known);
	cr_assert_eq(client_open(d, "/x", O_RDWR, &file), 0);
	cr_assert_eq(vfs_llseek(CTX, file, 5, SEEK_SET), 5);
	expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, open_with_passthrough_that_was_not_negotiated) /* Z16, O06 */
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

Test(fuse_bad_answers, read_of_more_than_asked) /* Z17 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 100, FOPEN_DIRECT_IO);
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
	struct file *file = client_open_f(d, O_RDWR, 100, open_flags);
	struct fuse_write_out out = { .size = size };
	ssize_t ret;

	daemon_ignore(d, FUSE_GETXATTR);
	expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
	ret = client_pwrite(d, file, "0123", 4, 0);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_bad_answers, write_of_more_than_asked_or_nothing) /* Z18, F87 */
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
	struct file *file = client_open_f(d, O_RDWR, 100, 0);
	struct fuse_lseek_out out = { offset };
	ssize_t ret;

	expect_reply(d, FUSE_LSEEK, 5, &out, sizeof(out));
	ret = vfs_llseek(CTX, file, 1, SEEK_HOLE);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_bad_answers, a_position_that_cannot_be) /* Z25, F142 */
{
	cr_assert_eq(seek_answered(1ULL << 63), -EINVAL);
	cr_assert_eq(seek_answered(UINT64_MAX), -EINVAL);
	cr_assert_eq(seek_answered(7), 7);
}

Test(fuse_bad_answers, more_copied_than_asked) /* Z26, F143 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 100, 0);
	struct fuse_copy_file_range_out out = { 11 };
	int64_t from = 0, to = 50;

	expect_reply(d, FUSE_COPY_FILE_RANGE_64, 5, &out, sizeof(out));
	cr_assert_eq(vfs_copy_file_range(CTX, file, &from, file, &to, 10, 0), -EIO);
	cr_assert_eq(from, 0);
	cr_assert_eq(to, 50);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, poll_bits_are_shown_as_they_are) /* Z27 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_poll_out out = { .revents = UINT32_MAX };
	struct poll_item item = { .file = client_open_f(d, O_RDWR, 0, 0), .events = POLLIN };

	expect_reply(d, FUSE_POLL, 5, &out, sizeof(out));
	cr_assert_eq(vfs_poll_items(CTX, &item, 1, WAIT_FOREVER), 1);
	cr_assert_eq(item.revents, POLLIN | POLLERR | POLLHUP); /* what was asked for, and always */
	client_close(d, item.file);
	DAEMON_STOP(d);
}

static int lock_answered(uint32_t type, uint64_t start, uint64_t end)
{
	struct daemon_config config = { .flags = FUSE_POSIX_LOCKS | FUSE_PARALLEL_DIROPS };
	struct daemon *d = daemon_start(&config);
	struct file *file = client_open_f(d, O_RDWR, 100, 0);
	struct fuse_lk_out out = { { start, end, type, 77 } };
	struct flock_request req = { .type = F_WRLCK, .start = 0, .end = INT64_MAX };
	int ret;

	expect_reply(d, FUSE_GETLK, 5, &out, sizeof(out));
	ret = vfs_lock_file(CTX, file, F_GETLK, &req);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_bad_answers, a_lock_that_cannot_be) /* Z23, Z28, F114 */
{
	cr_assert_eq(lock_answered(3, 0, 1), -EIO);
	cr_assert_eq(lock_answered(UINT32_MAX, 0, 1), -EIO);
	cr_assert_eq(lock_answered(F_RDLCK, 2, 1), -EIO);
	cr_assert_eq(lock_answered(F_RDLCK, 1ULL << 63, UINT64_MAX), -EIO);
	cr_assert_eq(lock_answered(F_UNLCK, 2, 1), 0); /* no lock, no range */
	cr_assert_eq(lock_answered(F_WRLCK, 1, 2), 0);
}

Test(fuse_bad_answers, statfs_is_shown_whatever_it_says) /* Z28 */
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

Test(fuse_bad_answers, odd_answers_to_an_interrupt) /* Z30, D37, D38, D40 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1), *i;
	struct client_thread t;
	uint64_t unique;

	client_spawn(&t, d, client_stat_path, "/x");
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

Test(fuse_bad_answers, an_answer_to_an_interrupt_that_never_was) /* Z31, D39 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(write_raw(d, 16, -EAGAIN, s->in.unique | 1, 16), -EINVAL);
	cr_assert_eq(write_raw(d, 16, -EPERM, s->in.unique | 1, 16), 16);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, no_answer_ever) /* Z33, D82: its client can be killed, and an abort helps */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread killed, waits;

	daemon_ignore(d, FUSE_INTERRUPT);
	client_spawn(&killed, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	client_interrupt(&killed, WAITER_KILLED);
	cr_assert_eq(client_join(&killed), -EINTR);
	s = expect_silence(d, FUSE_LOOKUP, 1);
	client_spawn(&waits, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	fuse_conn_abort(d->conn, true);
	cr_assert_eq(client_join(&waits), -ECONNABORTED);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, reading_with_a_small_buffer) /* Z35, D12 */
{
	struct daemon *d = daemon_start(NULL);
	static char buf[131072 + 79];
	struct io_iter iter;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat_path(d, "/x"), -ENOENT); /* max_write is 128 KiB now */
	for (int i = 0; i < 3; i++) {
		iter_init_mem(&iter, buf, sizeof(buf));
		cr_assert_eq(vfs_read(&d->self.ctx, d->dev, &iter), -EINVAL);
		iter_init_mem(&iter, buf, 8191);
		cr_assert_eq(vfs_read(&d->self.ctx, d->dev, &iter), -EINVAL);
	}
	expect_error(d, FUSE_LOOKUP, 1, ENOENT); /* and nothing was taken off the queue */
	cr_assert_eq(client_stat_path(d, "/x"), -ENOENT);
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

Test(fuse_bad_answers, names_that_cannot_be) /* Z20, F72 */
{
	char buf[512] = { 0 }, names[8192];
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

Test(fuse_bad_answers, a_directory_whose_offsets_stand_still_does_not_end) /* Z20 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *dir = NULL;
	char buf[100];
	uint8_t listing[64];
	size_t len = make_dirent(listing, 9, 5, "a", 8);

	expect_open(d, FUSE_OPENDIR, 1, 3, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &dir), 0);
	for (int i = 0; i < 3; i++) {
		struct step *s = expect_reply(d, FUSE_READDIR, 1, listing, len);

		cr_assert_eq(client_readdir(d, dir, buf, sizeof(buf), 24 + 2), 2);
		cr_assert_str_eq(buf, "a ");
		cr_assert_eq(step_in(s, struct fuse_read_in)->offset, i ? 5 : 0);
	}
	expect_reply(d, FUSE_RELEASEDIR, 1, NULL, 0);
	client_close(d, dir);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, listed_nodes_that_cannot_be) /* Z21, F75 */
{
	struct daemon_config config = { .flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS };
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

static int read_link(const char *answer, size_t len, char **ret_target)
{
	struct daemon *d = daemon_start(NULL);
	struct path path;
	int err;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFLNK | 0777, 4, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/l", 0, &path), 0);
	expect_reply(d, FUSE_READLINK, 5, answer, len);
	err = vfs_readlink(CTX, &path, ret_target);
	path_put(&path);
	DAEMON_STOP(d);
	return err;
}

Test(fuse_bad_answers, odd_targets_of_symlinks) /* Z19, F168 */
{
	static char page[4096];
	char *target = NULL;

	memset(page, 'x', sizeof(page));
	cr_assert_eq(read_link(page, 4096, &target), -EIO);
	cr_assert_eq(read_link(page, 4095, &target), 0);
	cr_assert_eq(strlen(target), 4095);
	free(target);
	cr_assert_eq(read_link("a\0b", 3, &target), 0);
	cr_assert_str_eq(target, "a");
	free(target);
	cr_assert_eq(read_link("", 0, &target), 0);
	cr_assert_str_eq(target, "");
	free(target);
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

Test(fuse_bad_answers, xattrs_that_are_too_long_or_no_list) /* Z22, F121, F122 */
{
	static const struct fuse_getxattr_out huge = { .size = UINT32_MAX };

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
	struct file *file = client_open_f(d, O_RDWR, 100, 0);
	uint8_t answer[sizeof(*out) + 64] = { 0 };
	uint64_t data = 0;
	long ret;

	memcpy(answer, out, sizeof(*out));
	expect_reply(d, FUSE_IOCTL, 5, answer, sizeof(*out) + extra);
	ret = vfs_ioctl(CTX, file, _IOR('F', 1, uint64_t), (uintptr_t)&data);
	client_close(d, file);
	DAEMON_STOP(d);
	return ret;
}

Test(fuse_bad_answers, ioctl_retry_and_too_much_data) /* Z24, F150 */
{
	struct fuse_ioctl_out out = { .flags = FUSE_IOCTL_RETRY, .in_iovs = 1, .out_iovs = 1 };

	cr_assert_eq(ioctl_answered(&out, 0), -EIO); /* may not, on a file system */
	out = (struct fuse_ioctl_out){ .result = 3 };
	cr_assert_eq(ioctl_answered(&out, 9), -EIO);
}

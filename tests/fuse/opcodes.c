/*
 * Every opcode of a mount, one row each: the operation of a client that sends it, what the request
 * looks like, and what the daemon's answers mean to the client: a good one, an error, ENOSYS, one of
 * the wrong size, none because the client is interrupted or killed or the daemon dies; and the sizes
 * for daemons of an older minor. What an answer's fields mean is the subject of the other files.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "tests/support/honest.h"
#include "vfs/cred.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/lock.h"
#include "vfs/perm.h"
#include "vfs/poll.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

TestSuite(fuse_opcodes, .timeout = 60);

/* Open files of the client, for the operations that need one. */
struct scene {
	struct honest *h;
	struct daemon *d;
	struct file *file, *other, *dir;
};

#define CTX(s) (&(s)->d->client.ctx)

/* --- what clients do ---------------------------------------------------------------------- */

static long do_lookup(struct scene *s)
{
	struct path path;
	int err = path_lookup(CTX(s), NULL, "/new", 0, &path);

	if (!err)
		path_put(&path);
	return err;
}
static long do_getattr(struct scene *s)
{
	struct kstat st;

	return vfs_getattr(CTX(s), &s->file->path, &st, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC);
}
static long do_setattr(struct scene *s)
{
	struct iattr attr = { .valid = ATTR_MODE, .mode = 0600 };

	return notify_change(CTX(s), &s->file->path, &attr);
}
static long do_readlink(struct scene *s)
{
	struct path path;
	char *target = NULL;
	long err = path_lookup(CTX(s), NULL, "/l", 0, &path);

	if (err)
		return err;
	err = vfs_readlink(CTX(s), &path, &target);
	free(target);
	path_put(&path);
	return err < 0 ? err : 0;
}
static long do_symlink(struct scene *s)
{
	return vfs_symlink(CTX(s), NULL, "/s", "target");
}
static long do_mknod(struct scene *s)
{
	return vfs_mknod(CTX(s), NULL, "/n", S_IFREG | 0644, 0);
}
static long do_mkdir(struct scene *s)
{
	return vfs_mkdir(CTX(s), NULL, "/m", 0755);
}
static long do_unlink(struct scene *s)
{
	return vfs_unlink(CTX(s), NULL, "/g");
}
static long do_rmdir(struct scene *s)
{
	return vfs_rmdir(CTX(s), NULL, "/d");
}
static long do_rename(struct scene *s)
{
	return vfs_rename(CTX(s), NULL, "/g", NULL, "/h", 0);
}
static long do_rename2(struct scene *s)
{
	return vfs_rename(CTX(s), NULL, "/g", NULL, "/h", RENAME_NOREPLACE);
}
static long do_link(struct scene *s)
{
	return vfs_link(CTX(s), &s->file->path, NULL, "/k");
}
/* Opens; closes again. */
static long open_path(struct scene *s, const char *path, unsigned flags)
{
	struct file *file = NULL;
	long err = client_open(s->d, path, flags, &file);

	if (!err)
		client_close(s->d, file);
	return err;
}
static long do_open(struct scene *s)
{
	return open_path(s, "/g", O_RDONLY);
}
static long do_opendir(struct scene *s)
{
	return open_path(s, "/d", O_RDONLY | O_DIRECTORY);
}
static long do_create(struct scene *s)
{
	return open_path(s, "/c", O_RDWR | O_CREAT);
}
static long do_tmpfile(struct scene *s)
{
	return open_path(s, "/", O_RDWR | O_TMPFILE);
}
static long do_read(struct scene *s)
{
	char buf[4];

	return client_pread(s->d, s->file, buf, 4, 0);
}
static long do_write(struct scene *s)
{
	return client_pwrite(s->d, s->file, "data", 4, 0);
}
static long do_statfs(struct scene *s)
{
	struct kstatfs st;

	return vfs_statfs(CTX(s), &s->file->path, &st);
}
static long do_fsync(struct scene *s)
{
	return vfs_fsync(CTX(s), s->file, 0, INT64_MAX, false);
}
static long do_fsyncdir(struct scene *s)
{
	return vfs_fsync(CTX(s), s->dir, 0, INT64_MAX, false);
}
static long do_flush(struct scene *s)
{
	return s->file->op->flush(CTX(s), s->file);
}
static long do_setxattr(struct scene *s)
{
	return vfs_setxattr(CTX(s), &s->file->path, "user.a", "1", 1, 0);
}
static long do_getxattr(struct scene *s)
{
	char buf[4];

	return vfs_getxattr(CTX(s), &s->file->path, "user.a", buf, 4);
}
static long do_listxattr(struct scene *s)
{
	char buf[4];

	return vfs_listxattr(CTX(s), &s->file->path, buf, 4);
}
static long do_removexattr(struct scene *s)
{
	return vfs_removexattr(CTX(s), &s->file->path, "user.a");
}
static long do_readdir(struct scene *s)
{
	char buf[100];

	s->dir->pos = 0;
	return client_readdir(s->d, s->dir, buf, sizeof(buf), 4096);
}
static long lock(struct scene *s, int cmd)
{
	struct flock_request req = { .type = F_WRLCK, .start = 5, .end = 9 };

	return vfs_lock_file(CTX(s), s->file, cmd, &req);
}
static long do_getlk(struct scene *s)
{
	return lock(s, F_GETLK);
}
static long do_setlk(struct scene *s)
{
	return lock(s, F_SETLK);
}
static long do_setlkw(struct scene *s)
{
	return lock(s, F_SETLKW);
}
static long do_access(struct scene *s)
{
	return inode_permission(CTX(s), s->file->inode, MAY_READ | MAY_ACCESS);
}
static long do_ioctl(struct scene *s)
{
	return vfs_ioctl(CTX(s), s->file, _IO('E', 9), 0);
}
static long do_poll(struct scene *s)
{
	struct poll_item item = { .file = s->file, .events = POLLIN };

	return vfs_poll_items(CTX(s), &item, 1, WAIT_FOREVER) == 1 ? (long)item.revents : -1;
}
static long do_fallocate(struct scene *s)
{
	return vfs_fallocate(CTX(s), s->file, 0, 0, 100);
}
static long do_lseek(struct scene *s)
{
	return vfs_llseek(CTX(s), s->file, 1, SEEK_DATA);
}
static long do_copy(struct scene *s)
{
	int64_t in = 0, out = 0;

	return vfs_copy_file_range(CTX(s), s->file, &in, s->other, &out, 4, 0);
}
static long do_statx(struct scene *s)
{
	struct kstat st;

	return vfs_getattr(CTX(s), &s->file->path, &st, STATX_BASIC_STATS | STATX_BTIME,
			   AT_STATX_FORCE_SYNC);
}

/* --- the rows ----------------------------------------------------------------------------- */

enum {
	VAR = 1 << 0,	 /* a shorter answer is good, too */
	DEAF = 1 << 1,	 /* sent when a file is closed: nobody hears of the answer */
	STICKY = 1 << 2, /* after ENOSYS it is not sent again */
};

struct row {
	uint32_t opcode;
	long (*run)(struct scene *s);
	uint64_t nodeid;
	size_t in;  /* bytes behind the header */
	size_t out; /* the longest good answer */
	unsigned kind;
	long result;   /* of a good answer */
	long enosys;   /* result after ENOSYS, and ever after if STICKY */
	long failed;   /* result after EPERM; 0: -EPERM */
	uint32_t undo; /* what follows the late answer to a killed client */
	struct {
		uint32_t before; /* minor */
		size_t in, out;	 /* 0: the same */
	} old[2];
	uint64_t flags;	  /* INIT */
	uint32_t without; /* this opcode has to be ENOSYS before */
};

#define ENTRY .out = 128, .undo = FUSE_FORGET
#define OLD_ENTRY .old = { { 9, 0, 120 } }
#define OLD_ATTR .old = { { 9, 0, 96 } }
#define NO_XATTR .kind = STICKY, .enosys = -EOPNOTSUPP

static const struct row rows[] = {
	{ FUSE_LOOKUP, do_lookup, 1, 4, ENTRY, OLD_ENTRY, .enosys = -ENOSYS },
	{ FUSE_GETATTR, do_getattr, HONEST_FILE, 16, 104, OLD_ATTR, .enosys = -ENOSYS },
	{ FUSE_SETATTR, do_setattr, HONEST_FILE, 88, 104, OLD_ATTR, .enosys = -ENOSYS },
	{ FUSE_READLINK, do_readlink, HONEST_LINK, 0, 4095, .kind = VAR, .enosys = -ENOSYS },
	{ FUSE_SYMLINK, do_symlink, 1, 2 + 7, ENTRY, OLD_ENTRY, .enosys = -ENOSYS },
	{ FUSE_MKNOD, do_mknod, 1, 16 + 2, ENTRY, .old = { { 9, 8 + 2, 120 }, { 12, 8 + 2, 0 } },
	  .enosys = -ENOSYS },
	{ FUSE_MKDIR, do_mkdir, 1, 8 + 2, ENTRY, OLD_ENTRY, .enosys = -ENOSYS },
	{ FUSE_UNLINK, do_unlink, 1, 2, 0, .enosys = -ENOSYS },
	{ FUSE_RMDIR, do_rmdir, 1, 2, 0, .enosys = -ENOSYS },
	{ FUSE_RENAME, do_rename, 1, 8 + 2 + 2, 0, .enosys = -ENOSYS },
	{ FUSE_LINK, do_link, 1, 8 + 2, ENTRY, OLD_ENTRY, .kind = STICKY, .enosys = -EPERM },
	{ FUSE_OPEN, do_open, HONEST_OTHER, 8, 16, .kind = STICKY, .undo = FUSE_RELEASE },
	{ FUSE_READ, do_read, HONEST_FILE, 40, 4, .kind = VAR, .result = 4, .enosys = -ENOSYS },
	{ FUSE_WRITE, do_write, HONEST_FILE, 40 + 4, 8, .result = 4, .old = { { 9, 24 + 4, 0 } },
	  .enosys = -ENOSYS },
	{ FUSE_STATFS, do_statfs, HONEST_FILE, 0, 80, .old = { { 4, 0, 48 } }, .enosys = -ENOSYS },
	{ FUSE_RELEASE, do_open, HONEST_OTHER, 24, 0, .kind = DEAF },
	{ FUSE_FSYNC, do_fsync, HONEST_FILE, 16, 0, .kind = STICKY },
	{ FUSE_SETXATTR, do_setxattr, HONEST_FILE, 8 + 7 + 1, 0, NO_XATTR },
	{ FUSE_GETXATTR, do_getxattr, HONEST_FILE, 8 + 7, 4, .kind = VAR | STICKY, .result = 4,
	  .enosys = -EOPNOTSUPP },
	{ FUSE_LISTXATTR, do_listxattr, HONEST_FILE, 8, 4, .kind = VAR | STICKY, .result = 4,
	  .enosys = -EOPNOTSUPP },
	{ FUSE_REMOVEXATTR, do_removexattr, HONEST_FILE, 7, 0, NO_XATTR },
	{ FUSE_FLUSH, do_flush, HONEST_FILE, 24, 0, .kind = STICKY },
	{ FUSE_OPENDIR, do_opendir, HONEST_DIR, 8, 16, .kind = STICKY, .undo = FUSE_RELEASEDIR },
	{ FUSE_READDIR, do_readdir, HONEST_DIR, 40, 4096, .kind = VAR, .result = 2,
	  .enosys = -ENOSYS },
	{ FUSE_RELEASEDIR, do_opendir, HONEST_DIR, 24, 0, .kind = DEAF },
	{ FUSE_FSYNCDIR, do_fsyncdir, HONEST_DIR, 16, 0, .kind = STICKY },
	{ FUSE_GETLK, do_getlk, HONEST_FILE, 48, 24, .enosys = -ENOSYS, .flags = FUSE_POSIX_LOCKS },
	{ FUSE_SETLK, do_setlk, HONEST_FILE, 48, 0, .enosys = -ENOSYS, .undo = FUSE_SETLK,
	  .flags = FUSE_POSIX_LOCKS },
	{ FUSE_SETLKW, do_setlkw, HONEST_FILE, 48, 0, .enosys = -ENOSYS, .undo = FUSE_SETLK,
	  .flags = FUSE_POSIX_LOCKS },
	{ FUSE_ACCESS, do_access, HONEST_FILE, 8, 0, .kind = STICKY },
	{ FUSE_CREATE, do_create, 1, 16 + 2, 144, .kind = STICKY, .undo = FUSE_RELEASE,
	  .old = { { 9, 8 + 2, 136 }, { 12, 8 + 2, 0 } } },
	{ FUSE_IOCTL, do_ioctl, HONEST_FILE, 32, 16, .enosys = -ENOTTY },
	{ FUSE_POLL, do_poll, HONEST_FILE, 24, 8, .kind = STICKY, .result = POLLIN,
	  .enosys = POLLIN, .failed = POLLERR },
	{ FUSE_FALLOCATE, do_fallocate, HONEST_FILE, 32, 0, NO_XATTR },
	{ FUSE_READDIRPLUS, do_readdir, HONEST_DIR, 40, 4096, .kind = VAR, .result = 2,
	  .enosys = -ENOSYS, .undo = FUSE_FORGET, .flags = FUSE_DO_READDIRPLUS },
	{ FUSE_RENAME2, do_rename2, 1, 16 + 2 + 2, 0, .kind = STICKY, .enosys = -EINVAL },
	{ FUSE_LSEEK, do_lseek, HONEST_FILE, 24, 8, .kind = STICKY, .result = 7, .enosys = 1 },
	{ FUSE_COPY_FILE_RANGE, do_copy, HONEST_FILE, 56, 8, .kind = STICKY, .result = 4,
	  .enosys = 4, .without = FUSE_COPY_FILE_RANGE_64 },
	{ FUSE_TMPFILE, do_tmpfile, 1, 16 + 2, 144, .kind = STICKY, .enosys = -EOPNOTSUPP,
	  .undo = FUSE_RELEASE },
	{ FUSE_STATX, do_statx, HONEST_FILE, 24, 288, .kind = STICKY },
	{ FUSE_COPY_FILE_RANGE_64, do_copy, HONEST_FILE, 56, 8, .kind = STICKY, .result = 4,
	  .enosys = 4 },
};
#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))
#define WHO(row) fuse_opcode_name((row)->opcode)

static void scene_open(struct scene *s, const struct row *row, uint32_t minor)
{
	struct daemon_config config = { .minor = minor, .flags = row->flags };

	config.flags |= FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC;
	s->h = honest_start(&config);
	s->d = s->h->d;
	cr_assert_eq(client_open(s->d, "/f", O_RDWR, &s->file), 0);
	cr_assert_eq(client_open(s->d, "/g", O_RDWR, &s->other), 0);
	cr_assert_eq(client_open(s->d, "/d", O_RDONLY | O_DIRECTORY, &s->dir), 0);
	if (row->without) {
		honest_subject(s->h, row->without, (struct honest_answer){ .error = -ENOSYS });
		(void)row->run(s);
	}
}

static void scene_close(struct scene *s)
{
	honest_subject(s->h, 0, (struct honest_answer){ 0 });
	client_close(s->d, s->file);
	client_close(s->d, s->other);
	client_close(s->d, s->dir);
	HONEST_STOP(s->h);
}

/* One operation whose request is answered so; what the daemon's write gave. */
static long run(struct scene *s, const struct row *row, struct honest_answer answer,
		ssize_t *ret_written)
{
	long result;

	honest_subject(s->h, row->opcode, answer);
	result = row->run(s);
	cr_assert(honest_wait_written(s->h), "%s was not sent", WHO(row));
	*ret_written = s->h->written;
	return result;
}

/* --- the tests ---------------------------------------------------------------------------- */

static size_t old_size(const struct row *row, uint32_t minor, bool out)
{
	for (size_t i = 0; i < 2; i++) {
		size_t size = out ? row->old[i].out : row->old[i].in;

		if (minor < row->old[i].before && size)
			return size;
	}
	return out ? row->out : row->in;
}

/* The header of the request that came, and its length. */
static void check_request(struct scene *s, const struct row *row, uint32_t minor)
{
	const struct fuse_in_header *in = &s->h->in;
	bool nobody = row->kind & DEAF;

	cr_expect_eq(in->len, 40 + old_size(row, minor, false), "%s of %u: %u", WHO(row), minor,
		     in->len);
	cr_expect_eq(in->nodeid, row->nodeid, "%s", WHO(row));
	cr_expect_eq(in->uid, nobody ? 0 : 77, "%s: uid %u", WHO(row), in->uid);
	cr_expect_eq(in->gid, nobody ? 0 : 77, "%s: gid %u", WHO(row), in->gid);
	cr_expect_eq(in->total_extlen, 0, "%s", WHO(row));
	cr_expect_eq(in->padding, 0, "%s", WHO(row));
	cr_expect_eq(in->unique & 1, 0, "%s", WHO(row));
	if (!nobody)
		cr_expect_eq(in->pid, 200, "%s: pid %u", WHO(row), in->pid);
}

/* The opcode is sent for a daemon of that minor. */
static bool sent_at(const struct row *row, uint32_t minor)
{
	if (row->opcode == FUSE_RENAME2)
		return minor >= 23;
	return minor >= 6 || !row->flags; /* below, flags do not count */
}

static void good(const struct row *row, uint32_t minor)
{
	struct scene s;
	ssize_t written;
	long result;

	scene_open(&s, row, minor);
	s.d->client.cred->fsuid = s.d->client.cred->fsgid = 77;
	result = run(&s, row, (struct honest_answer){ 0 }, &written);
	cr_expect_eq(result, row->result, "%s of %u: %ld", WHO(row), minor, result);
	cr_expect_gt(written, 0, "%s of %u: %zd", WHO(row), minor, written);
	check_request(&s, row, minor);
	scene_close(&s);
}

/* Q01, Q03-Q18, Q20-Q25, Q27-Q35, Q39, Q40, Q43-Q47, Q51-Q53, H02-H04, H06, H08, S01-S12 */
Test(fuse_opcodes, a_good_answer_is_taken)
{
	for (size_t i = 0; i < NR_ROWS; i++)
		good(&rows[i], 45);
}

/* V04, V09, V12, V23: sizes of requests and answers; all others stay as they are. */
Test(fuse_opcodes, old_daemons_get_and_give_the_old_sizes)
{
	static const uint32_t minors[] = { 3, 4, 8, 9, 11, 12, 22, 23 };

	for (size_t m = 0; m < sizeof(minors) / sizeof(minors[0]); m++)
		for (size_t i = 0; i < NR_ROWS; i++)
			if (sent_at(&rows[i], minors[m]))
				good(&rows[i], minors[m]);
}

/* An answer of the old size to a daemon of today, and the other way round. */
static void other_size(const struct row *row, uint32_t minor, size_t len)
{
	struct scene s;
	ssize_t written;

	scene_open(&s, row, minor);
	cr_expect_eq(run(&s, row, (struct honest_answer){ .exact = true, .len = len }, &written),
		     -EIO, "%s of %u", WHO(row), minor);
	cr_expect_eq(written, -EINVAL, "%s of %u: %zd", WHO(row), minor, written);
	scene_close(&s);
}

Test(fuse_opcodes, sizes_of_another_minor_are_refused) /* V04, V09, D42 */
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (old_size(&rows[i], 3, true) != rows[i].out) {
			other_size(&rows[i], 3, rows[i].out);
			other_size(&rows[i], 45, old_size(&rows[i], 3, true));
		}
}

/* What the client sees of a failure that the daemon did not choose. */
static long failure(const struct row *row, long err)
{
	if (row->kind & DEAF)
		return 0;
	return row->failed ? row->failed : err;
}

/* A02: the client gets the error, and it is asked again each time. */
Test(fuse_opcodes, an_error_is_the_clients_and_not_remembered)
{
	static const int errors[] = { EPERM, EIO, EOPNOTSUPP, 511 };

	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];
		struct scene s;

		scene_open(&s, row, 45);
		for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
			ssize_t written;
			long result = run(&s, row, (struct honest_answer){ .error = -errors[e] },
					  &written);

			/* EOPNOTSUPP of a copy: bytes are moved here. */
			if (errors[e] == EOPNOTSUPP && row->run == do_copy)
				cr_expect_eq(result, 4, "%s: %ld", WHO(row), result);
			else
				cr_expect_eq(result, failure(row, -errors[e]), "%s: %ld", WHO(row),
					     result);
			cr_expect_eq(written, 16, "%s: %zd", WHO(row), written);
		}
		scene_close(&s);
	}
}

/* A01, Z29, Q13-Q14, Q20-Q25, Q27, Q30, Q34-Q35, Q39-Q40, Q43, Q45-Q47, Q51-Q53 */
Test(fuse_opcodes, enosys_is_remembered_where_linux_does)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];
		struct honest_answer enosys = { .error = -ENOSYS };
		struct scene s;
		ssize_t written;
		long result;

		scene_open(&s, row, 45);
		result = run(&s, row, enosys, &written);
		cr_expect_eq(result, row->enosys, "%s: %ld", WHO(row), result);
		honest_subject(s.h, row->opcode, enosys);
		result = row->run(&s);
		cr_expect_eq(result, row->enosys, "%s again: %ld", WHO(row), result);
		if (row->kind & STICKY)
			cr_expect_eq(s.h->subjects, 0, "%s is sent after ENOSYS", WHO(row));
		else
			cr_expect(honest_wait(s.h), "%s is not sent again", WHO(row));
		scene_close(&s);
	}
}

/* The daemon's write is EINVAL, the client's call EIO. */
static void refused(const struct row *row, struct honest_answer answer, const char *what)
{
	struct scene s;
	ssize_t written;
	long result;

	scene_open(&s, row, 45);
	result = run(&s, row, answer, &written);
	cr_expect_eq(result, failure(row, -EIO), "%s: %s: %ld", WHO(row), what, result);
	cr_expect_eq(written, -EINVAL, "%s: %s: %zd", WHO(row), what, written);
	scene_close(&s);
}

Test(fuse_opcodes, an_answer_that_is_too_long_is_refused) /* D42, Z02, Z17, Z22 */
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		/* The room for a listing is the client's affair: 300 bytes are no 4097. */
		if (rows[i].out < 400)
			refused(&rows[i],
				(struct honest_answer){ .exact = true, .len = rows[i].out + 1 },
				"too long");
	}
}

Test(fuse_opcodes, an_answer_that_is_too_short_is_refused) /* D42, D43, Z02 */
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (rows[i].out && !(rows[i].kind & VAR)) {
			refused(&rows[i], (struct honest_answer){ .len_change = -1 }, "too short");
			refused(&rows[i], (struct honest_answer){ .exact = true }, "empty");
		}
}

Test(fuse_opcodes, an_error_with_a_payload_is_refused) /* D41, Z02 */
{
	for (size_t i = 0; i < NR_ROWS; i++)
		refused(&rows[i], (struct honest_answer){ .error = -EPERM, .payload = 4 },
			"error with payload");
}

/* --- what is stale afterwards ------------------------------------------------------------- */

enum { AT_FILE, AT_OTHER, AT_DIR, AT_LINK, AT_ROOT, NR_PLACES };

#define MODIFIED (STATX_MTIME | STATX_CTIME | STATX_SIZE | STATX_BLOCKS)
#define ALL	 STATX_BASIC_STATS

/* Attributes that are asked for again after success, and after EPERM; of all others: none. */
static const struct {
	uint32_t opcode;
	int place;
	uint32_t good, failed;
} stale[] = {
	{ FUSE_READ, AT_FILE, STATX_ATIME, STATX_ATIME },
	{ FUSE_READLINK, AT_LINK, STATX_ATIME, STATX_ATIME },
	{ FUSE_READDIR, AT_DIR, STATX_ATIME, STATX_ATIME },
	{ FUSE_READDIRPLUS, AT_DIR, STATX_ATIME, STATX_ATIME },
	{ FUSE_WRITE, AT_FILE, MODIFIED, MODIFIED },
	{ FUSE_FALLOCATE, AT_FILE, MODIFIED, 0 },
	{ FUSE_COPY_FILE_RANGE, AT_OTHER, MODIFIED, 0 },
	{ FUSE_COPY_FILE_RANGE_64, AT_OTHER, MODIFIED, 0 },
	{ FUSE_SETXATTR, AT_FILE, STATX_CTIME, 0 },
	{ FUSE_REMOVEXATTR, AT_FILE, STATX_CTIME, 0 },
	{ FUSE_MKNOD, AT_ROOT, ALL, 0 },
	{ FUSE_MKDIR, AT_ROOT, ALL, 0 },
	{ FUSE_SYMLINK, AT_ROOT, ALL, 0 },
	{ FUSE_CREATE, AT_ROOT, ALL, 0 },
	{ FUSE_TMPFILE, AT_ROOT, ALL, 0 },
	{ FUSE_LINK, AT_ROOT, ALL, 0 },
	{ FUSE_UNLINK, AT_ROOT, ALL, 0 },
	{ FUSE_UNLINK, AT_OTHER, STATX_CTIME, 0 },
	{ FUSE_RMDIR, AT_ROOT, ALL, 0 },
	{ FUSE_RMDIR, AT_DIR, STATX_CTIME, 0 },
	{ FUSE_RENAME, AT_ROOT, ALL, 0 },
	{ FUSE_RENAME, AT_OTHER, STATX_CTIME, 0 },
	{ FUSE_RENAME2, AT_ROOT, ALL, 0 },
	{ FUSE_RENAME2, AT_OTHER, STATX_CTIME, 0 },
};

static uint32_t want_stale(uint32_t opcode, int place, bool failed)
{
	for (size_t i = 0; i < sizeof(stale) / sizeof(stale[0]); i++)
		if (stale[i].opcode == opcode && stale[i].place == place)
			return failed ? stale[i].failed : stale[i].good;
	return 0;
}

static void find_places(struct scene *s, struct path *ret_places)
{
	struct kstat st;

	cr_assert_eq(path_lookup(CTX(s), NULL, "/l", 0, &ret_places[AT_LINK]), 0);
	cr_assert_eq(path_lookup(CTX(s), NULL, "/", 0, &ret_places[AT_ROOT]), 0);
	ret_places[AT_FILE] = s->file->path;
	ret_places[AT_OTHER] = s->other->path;
	ret_places[AT_DIR] = s->dir->path;
	for (int i = 0; i < NR_PLACES; i++)
		cr_assert_eq(vfs_getattr(CTX(s), &ret_places[i], &st, ALL, 0), 0);
}

/* GETATTR is refused: what is asked for stays stale. */
static uint32_t find_stale(struct scene *s, const struct path *path)
{
	uint32_t found = 0;
	struct kstat st;

	honest_subject(s->h, FUSE_GETATTR, (struct honest_answer){ .error = -EPERM });
	for (uint32_t bit = STATX_TYPE; bit <= STATX_BLOCKS; bit <<= 1)
		found |= vfs_getattr(CTX(s), path, &st, bit, 0) ? bit : 0;
	return found;
}

static void check_stale(const struct row *row, bool failed, bool read_only)
{
	struct path places[NR_PLACES];
	struct scene s;
	ssize_t written;

	scene_open(&s, row, 45);
	find_places(&s, places);
	if (read_only)
		s.file->inode->sb->flags |= SB_RDONLY;
	(void)run(&s, row, (struct honest_answer){ .error = failed ? -EPERM : 0 }, &written);
	for (int i = 0; i < NR_PLACES; i++) {
		uint32_t want = want_stale(row->opcode, i, failed), found = find_stale(&s, &places[i]);

		want = read_only ? 0 : want;
		cr_expect_eq(found, want, "%s%s: place %d: %x instead of %x", WHO(row),
			     failed ? " failed" : "", i, found, want);
	}
	path_put(&places[AT_LINK]);
	path_put(&places[AT_ROOT]);
	scene_close(&s);
}

Test(fuse_opcodes, what_an_operation_changes_is_asked_for_again) /* F25, F78 */
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		check_stale(&rows[i], false, false);
		if (rows[i].opcode != FUSE_GETATTR)
			check_stale(&rows[i], true, false);
	}
}

Test(fuse_opcodes, reading_changes_nothing_where_nothing_may_change) /* F25 */
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (rows[i].opcode == FUSE_READ || rows[i].opcode == FUSE_READLINK ||
		    rows[i].opcode == FUSE_READDIR)
			check_stale(&rows[i], false, true);
}

/* --- clients that do not wait, daemons that do not answer --------------------------------- */

struct call {
	struct scene s;
	const struct row *row;
	struct client_thread client;
};

static long call_run(struct daemon *d, void *arg)
{
	struct call *call = arg;

	return call->row->run(&call->s);
}

/* Until the daemon has read the request. */
static void call_start(struct call *call, const struct row *row)
{
	call->row = row;
	scene_open(&call->s, row, 45);
	honest_subject(call->s.h, row->opcode, (struct honest_answer){ .hold = true });
	client_spawn(&call->client, call->s.d, call_run, call);
	cr_assert(honest_wait(call->s.h), "%s", WHO(row));
}

/* D81, D82, D83, H01, H05, Q36 */
Test(fuse_opcodes, a_signal_is_told_to_the_daemon_and_eintr_to_the_client)
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];
		long eintr = row->opcode == FUSE_SETLK || row->opcode == FUSE_SETLKW ? -ERESTARTSYS
										     : -EINTR;
		struct call call;
		long result;

		if (row->kind & DEAF)
			continue;
		call_start(&call, row);
		client_interrupt(&call.client, WAITER_SIGNAL);
		cr_assert(honest_wait_interrupt(call.s.h), "%s", WHO(row));
		cr_expect_eq(call.s.h->interrupted, call.s.h->in.unique, "%s", WHO(row));
		cr_expect_eq(honest_release(call.s.h, -EINTR), 16, "%s", WHO(row));
		result = client_join(&call.client);
		cr_expect_eq(result, failure(row, eintr), "%s: %ld", WHO(row), result);
		scene_close(&call.s);
	}
}

/* Beyond Linux, where it waits on. What the late answer brings is given back. */
Test(fuse_opcodes, a_killed_client_dies_and_its_late_answer_is_undone) /* D82, F170, Z33 */
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];
		struct call call;
		unsigned before;

		if (row->kind & DEAF)
			continue;
		call_start(&call, row);
		before = row->undo ? call.s.h->count[row->undo] : 0;
		client_interrupt(&call.client, WAITER_KILLED);
		(void)client_join(&call.client);
		cr_assert(honest_wait_interrupt(call.s.h), "%s", WHO(row));
		cr_expect_gt(honest_release(call.s.h, 0), 0, "%s", WHO(row));
		if (row->undo == FUSE_FORGET)
			cr_expect(honest_wait_forgotten(call.s.h, 1), "%s: no FORGET", WHO(row));
		else if (row->undo)
			cr_expect(honest_wait_count(call.s.h, row->undo, before + 1), "%s: no %s",
				  WHO(row), fuse_opcode_name(row->undo));
		scene_close(&call.s);
	}
}

Test(fuse_opcodes, the_daemons_end_is_econnaborted_then_enotconn) /* K01, K04, D70, D75 */
{
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];
		struct call call;
		long result;

		if (row->kind & DEAF)
			continue;
		call_start(&call, row);
		fuse_conn_abort(call.s.d->conn, false);
		result = client_join(&call.client);
		cr_expect_eq(result, failure(row, -ECONNABORTED), "%s: %ld", WHO(row), result);
		result = row->run(&call.s);
		cr_expect_eq(result, failure(row, -ENOTCONN), "%s: %ld", WHO(row), result);
		cr_expect_eq(honest_release(call.s.h, -EPERM), -ENOENT, "%s", WHO(row));
		scene_close(&call.s);
	}
}

/* INIT: what an answer sets, what older minors and odd values make of it, and what refuses it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/support/honest.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/lock.h"

TestSuite(fuse_init, .timeout = 30);

/* Linux 6.18's words for a plain mount, passthrough built in, the ring not enabled (I02). */
#define LINUX_FLAGS 0x73fffffbu
#define LINUX_FLAGS2 0x5fdu

/* The daemon's answer to the INIT that waits in s, then until it has been taken. */
static ssize_t answer(struct daemon *d, struct step *s, const void *out, size_t len)
{
	cr_assert(daemon_wait(d, s));
	return daemon_answer(d, s->in.unique, 0, out, len);
}

static struct daemon *start(struct step **ret_init)
{
	struct daemon_config config = { .no_init = true };
	struct daemon *d = daemon_start(&config);

	*ret_init = expect_silence(d, FUSE_INIT, 0);
	return d;
}

Test(fuse_init, the_request) /* I01, I02, H04, Q26, B31 */
{
	static const uint32_t zeros[11];
	struct fuse_init_out out = { .major = 7, .minor = 45 };
	const struct fuse_init_in *in;
	struct step *s;
	struct daemon *d = start(&s);

	cr_assert_eq(answer(d, s, &out, sizeof(out)), 80);
	in = step_in(s, struct fuse_init_in);
	cr_assert_eq(s->in.len, 104);
	cr_assert_eq(s->in.unique, 2);
	cr_assert_eq(s->in.nodeid, 0);
	cr_assert_eq(s->in.uid, 0);
	cr_assert_eq(in->major, 7);
	cr_assert_eq(in->minor, 45);
	cr_assert_eq(in->max_readahead, 131072);
	cr_assert_eq(in->flags & ~LINUX_FLAGS, 0, "%x", in->flags);
	cr_assert_eq(in->flags2 & ~LINUX_FLAGS2, 0, "%x", in->flags2);
	cr_assert_eq(memcmp(in->unused, zeros, sizeof(zeros)), 0);
	DAEMON_STOP(d);
}

/* B07, B11, B17, B24, B35, B39: offered; the answer makes no difference. */
Test(fuse_init, what_is_only_told_is_offered)
{
	const uint64_t told = FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE | FUSE_SPLICE_READ |
			      FUSE_HAS_IOCTL_DIR | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT |
			      FUSE_HAS_EXPIRE_ONLY | FUSE_HAS_RESEND;
	struct fuse_init_out out = { .major = 7, .minor = 45 };
	const struct fuse_init_in *in;
	struct step *s;
	struct daemon *d = start(&s);
	uint64_t offered;

	out.flags = (uint32_t)told | (uint32_t)FUSE_INIT_EXT;
	out.flags2 = (uint32_t)(told >> 32);
	cr_assert_eq(answer(d, s, &out, sizeof(out)), 80);
	in = step_in(s, struct fuse_init_in);
	offered = (uint64_t)in->flags2 << 32 | in->flags;
	cr_assert_eq(offered & told, told);
	/* HAS_RESEND says that a restarted daemon copes with requests that come again. */
	cr_assert_eq(d->conn->flags & told & ~FUSE_HAS_RESEND, 0);
	DAEMON_STOP(d);
}

/* More than max_pages, and no more than the daemon has room for (D12). */
#define WRITE_MAX ((2u << 20) - 4096)

/* What an answer makes of the limits. */
static const struct limits_row {
	const char *what;
	struct fuse_init_out out;
	uint32_t max_write, max_pages, max_readahead, max_background, congestion_threshold,
		time_gran;
} limits[] = {
	{ "nothing asked for", { .minor = 45 }, 4096, 32, 0, 12, 9, 1 },
	{ "all at once",
	  { .minor = 45,
	    .flags = FUSE_MAX_PAGES,
	    .max_write = 1 << 20,
	    .max_pages = 256,
	    .max_readahead = 65536,
	    .max_background = 50,
	    .congestion_threshold = 40,
	    .time_gran = 1000 },
	  1 << 20,
	  256,
	  65536,
	  50,
	  40,
	  1000 },
	{ "too much",
	  { .minor = 45,
	    .flags = FUSE_MAX_PAGES,
	    .max_write = WRITE_MAX,
	    .max_pages = UINT16_MAX,
	    .max_readahead = UINT32_MAX,
	    .max_background = UINT16_MAX,
	    .time_gran = 1000000001 },
	  WRITE_MAX,
	  256,
	  131072,
	  UINT16_MAX,
	  9,
	  1 },
	{ "too little",
	  { .minor = 45, .flags = FUSE_MAX_PAGES, .max_write = 1, .max_readahead = 4095 },
	  4096,
	  1,
	  0,
	  12,
	  9,
	  1 },
	{ "max_pages without the flag",
	  { .minor = 45, .max_pages = 100, .max_write = 8192 },
	  8192,
	  32,
	  0,
	  12,
	  9,
	  1 },
	{ "readahead of pages and a half",
	  { .minor = 45, .max_readahead = 10000 },
	  4096,
	  32,
	  8192,
	  12,
	  9,
	  1 },
	{ "time_gran 10^9",
	  { .minor = 45, .time_gran = 1000000000 },
	  4096,
	  32,
	  0,
	  12,
	  9,
	  1000000000 },
	{ "minor 12: no background limits",
	  { .minor = 12, .max_background = 50, .congestion_threshold = 40, .max_readahead = 8192 },
	  4096,
	  32,
	  8192,
	  12,
	  9,
	  1 },
	{ "minor 13: background limits",
	  { .minor = 13, .max_background = 50 },
	  4096,
	  32,
	  0,
	  50,
	  9,
	  1 },
	{ "minor 4: max_write is a page",
	  { .minor = 4, .max_write = 1 << 20 },
	  4096,
	  32,
	  131072,
	  12,
	  9,
	  1 },
	{ "minor 5: max_write counts",
	  { .minor = 5, .max_write = 1 << 20 },
	  1 << 20,
	  32,
	  131072,
	  12,
	  9,
	  1 },
	{ "minor 5: max_pages does not",
	  { .minor = 5, .flags = FUSE_MAX_PAGES, .max_pages = 200, .time_gran = 7 },
	  4096,
	  32,
	  131072,
	  12,
	  9,
	  1 },
	{ "a minor of the future", { .minor = 1000, .max_write = 8192 }, 8192, 32, 0, 12, 9, 1 },
};

Test(fuse_init, limits_are_bounded) /* L01-L03, L06-L08, V05, V06, V13, B22 */
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct limits_row *row = &limits[i];
		struct fuse_init_out out = row->out;
		struct step *s;
		struct daemon *d = start(&s);

		out.major = 7;
		cr_assert_eq(answer(d, s, &out, sizeof(out)), 80, "%s", row->what);
		cr_expect_eq(d->conn->minor, row->out.minor, "%s", row->what);
		cr_expect_eq(d->conn->max_write, row->max_write, "%s", row->what);
		cr_expect_eq(d->conn->max_pages, row->max_pages, "%s", row->what);
		cr_expect_eq(d->conn->max_readahead, row->max_readahead, "%s: %u", row->what,
			     d->conn->max_readahead);
		cr_expect_eq(d->conn->max_background, row->max_background, "%s", row->what);
		cr_expect_eq(d->conn->congestion_threshold, row->congestion_threshold, "%s",
			     row->what);
		cr_expect_eq(d->conn->time_gran_ns, row->time_gran, "%s", row->what);
		DAEMON_STOP(d);
	}
}

Test(fuse_init, flags2_counts_only_with_init_ext) /* I06, I07, B30, V06 */
{
	static const struct {
		uint32_t minor, flags;
		bool taken;
	} rows[] = { { 45, 0, false },
		     { 45, (uint32_t)FUSE_INIT_EXT, true },
		     { 5, (uint32_t)FUSE_INIT_EXT, false } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fuse_init_out out = { .major = 7, .minor = rows[i].minor };
		struct step *s;
		struct daemon *d = start(&s);

		out.flags = rows[i].flags | (uint32_t)FUSE_BIG_WRITES;
		out.flags2 = (uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32);
		cr_assert_eq(answer(d, s, &out, sizeof(out)), 80);
		cr_expect_eq(fuse_conn_has(d->conn, FUSE_DIRECT_IO_ALLOW_MMAP), rows[i].taken);
		cr_expect_eq(fuse_conn_has(d->conn, FUSE_BIG_WRITES), rows[i].minor >= 6);
		DAEMON_STOP(d);
	}
}

/* What is refused, what its writer gets, and ECONNREFUSED for clients ever after. */
Test(fuse_init, refused_answers) /* I03, I04, K06, Z04 */
{
	static const struct {
		const char *what;
		int error;
		uint32_t major;
		size_t len;
		ssize_t written;
	} rows[] = {
		{ "an error", -EPERM, 7, 0, 16 },
		{ "ENOSYS", -ENOSYS, 7, 0, 16 },
		{ "an error and a payload", -EPERM, 7, 64, -EINVAL },
		{ "nothing", 0, 7, 0, 16 },
		{ "too long", 0, 7, 65, -EINVAL },
		{ "major 0", 0, 0, 64, 80 },
		{ "major 6", 0, 6, 64, 80 },
		{ "major 8", 0, 8, 64, 80 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct {
			struct fuse_init_out out;
			uint8_t more[16];
		} msg = { .out = { .major = rows[i].major, .minor = 45 } };
		struct step *s;
		struct daemon *d = start(&s);
		struct kstat st;

		cr_assert(daemon_wait(d, s));
		cr_expect_eq(daemon_answer(d, s->in.unique, rows[i].error, &msg, rows[i].len),
			     rows[i].written, "%s", rows[i].what);
		for (int k = 0; k < 2; k++)
			cr_expect_eq(client_stat(d, "/a", &st), -ECONNREFUSED, "%s", rows[i].what);
		cr_expect(d->conn->connected, "%s", rows[i].what);
		DAEMON_STOP(d); /* no second INIT has come */
	}
}

Test(fuse_init, before_the_answer) /* I08, I10, A04, D34, D80 */
{
	struct fuse_init_out out = { .major = 7, .minor = 45 };
	struct client_thread killed, waits;
	struct step *s;
	struct daemon *d = start(&s); /* mounted already */

	cr_assert(daemon_wait(d, s));
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INC_EPOCH, NULL, 0), -EINVAL);
	client_spawn(&killed, d, client_stat_path, "/a");
	client_interrupt(&killed, WAITER_KILLED);
	cr_assert_eq(client_join(&killed), -EINTR);
	/* Alone: the directory is locked by who looks up. */
	client_spawn(&waits, d, client_stat_path, "/a");
	client_interrupt(&waits, WAITER_SIGNAL); /* does not end the wait */
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	daemon_ignore(d, FUSE_INTERRUPT); /* the signal's, if the client was about to wait */
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 80);
	cr_assert_eq(client_join(&waits), -ENOENT);
	DAEMON_STOP(d);
}

/* Which lock requests a daemon gets. */
Test(fuse_init, locks_go_where_the_minor_says) /* V06, V17, B01, B10, F116 */
{
	static const struct {
		uint32_t minor;
		uint64_t flags;
		unsigned posix, flock;
	} rows[] = {
		{ 45, 0, 0, 0 },
		{ 45, FUSE_POSIX_LOCKS, 1, 0 },
		{ 45, FUSE_FLOCK_LOCKS, 0, 1 },
		{ 17, FUSE_FLOCK_LOCKS, 0, 1 },
		{ 17, FUSE_POSIX_LOCKS, 1, 0 },
		{ 16, FUSE_POSIX_LOCKS, 1, 1 },
		{ 16, FUSE_FLOCK_LOCKS, 0, 0 },
		{ 6, FUSE_POSIX_LOCKS, 1, 1 },
		{ 5, FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon_config config = { .minor = rows[i].minor, .flags = rows[i].flags };
		struct flock_request req = { .type = F_WRLCK, .start = 5, .end = 9 };
		struct honest *h = honest_start(&config);
		struct file *file = NULL;

		cr_assert_eq(client_open(h->d, "/f", O_RDWR, &file), 0);
		cr_assert_eq(vfs_lock_file(&h->d->client.ctx, file, F_SETLK, &req), 0);
		cr_expect_eq(h->count[FUSE_SETLK], rows[i].posix, "row %zu", i);
		cr_assert_eq(vfs_flock(&h->d->client.ctx, file, LOCK_EX), 0);
		cr_expect_eq(h->count[FUSE_SETLKW], rows[i].flock, "row %zu", i);
		client_close(h->d, file);
		HONEST_STOP(h);
	}
}

Test(fuse_init, readahead_of_old_daemons_is_bounded_by_max_read) /* V06, L05 */
{
	struct daemon_config config = { .minor = 5, .options = "max_read=8192" };
	struct honest *h = honest_start(&config);

	(void)client_stat_path(h->d, "/a"); /* INIT is over */
	cr_assert_eq(h->d->conn->max_readahead, 8192);
	HONEST_STOP(h);
}

static void long_name(struct honest *h, size_t len, int result, unsigned lookups)
{
	char path[5000] = ""; /* in the working directory, the root: no room for a slash */
	struct kstat st;

	memset(path, 'n', len);
	honest_subject(h, FUSE_LOOKUP, (struct honest_answer){ .error = -ENOENT });
	cr_expect_eq(client_stat(h->d, path, &st), result, "%zu bytes", len);
	cr_expect_eq(h->subjects, lookups, "%zu bytes", len);
}

Test(fuse_init, names_are_longer_with_max_pages) /* L04, F15 */
{
	static const struct {
		uint64_t flags;
		uint16_t max_pages;
		size_t longest;
	} rows[] = { { 0, 0, 1024 }, { FUSE_MAX_PAGES, 1, 1024 }, { FUSE_MAX_PAGES, 2, 4095 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon_config config = { .flags = rows[i].flags,
						.max_pages = rows[i].max_pages };
		struct honest *h = honest_start(&config);

		(void)client_stat_path(h->d, "/a"); /* INIT is over */
		long_name(h, rows[i].longest, -ENOENT, 1);
		long_name(h, rows[i].longest + 1, -ENAMETOOLONG, 0);
		HONEST_STOP(h);
	}
}

/* Requests that older daemons do not get at all. */
Test(fuse_init, what_is_too_new_for_the_daemon_is_not_sent) /* V18, V23, W11 */
{
	static const uint32_t minors[] = { 17, 18, 22, 23 };

	for (size_t i = 0; i < sizeof(minors) / sizeof(minors[0]); i++) {
		struct daemon_config config = { .minor = minors[i] };
		struct honest *h = honest_start(&config);
		struct op_ctx *ctx = &h->d->client.ctx;
		struct file *dir = NULL;

		cr_assert_eq(client_open(h->d, "/d", O_RDONLY | O_DIRECTORY, &dir), 0);
		honest_subject(h, FUSE_IOCTL, (struct honest_answer){ 0 });
		cr_expect_eq(vfs_ioctl(ctx, dir, _IO('E', 9), 0), minors[i] < 18 ? -ENOTTY : 0);
		cr_expect_eq(h->subjects, minors[i] >= 18);
		if (minors[i] >= 18)
			cr_expect_eq(((const struct fuse_ioctl_in *)(const void *)h->body)->flags,
				     FUSE_IOCTL_DIR);
		honest_subject(h, FUSE_RENAME2, (struct honest_answer){ 0 });
		cr_expect_eq(vfs_rename(ctx, NULL, "/g", NULL, "/h", RENAME_NOREPLACE),
			     minors[i] < 23 ? -EINVAL : 0);
		cr_expect_eq(h->subjects, minors[i] >= 23);
		client_close(h->d, dir);
		HONEST_STOP(h);
	}
}

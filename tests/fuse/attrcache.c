/* Cached attributes: which answers are kept, who keeps the times; matrix 6.2. F25: opcodes.c. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/superblock.h"

TestSuite(fuse_attrcache, .timeout = 120);

#define CTX (&d->client.ctx)
#define OLD (S_IFREG | 0644) /* what is cached at first */
#define NEW (S_IFREG | 0600)

static struct file *open_file(struct daemon *d, uint32_t open_flags)
{
	daemon_ignore(d, FUSE_GETXATTR); /* of security.capability, before each change */
	return client_open_f(d, O_RDWR, 10, open_flags);
}

static struct kstat stat_file(struct daemon *d, const struct file *file, unsigned flags)
{
	struct kstat st;

	cr_assert_eq(vfs_getattr(CTX, &file->path, &st, STATX_BASIC_STATS, flags), 0);
	return st;
}

/* The mode that is in the cache. */
static uint32_t cached_mode(struct daemon *d, const struct file *file)
{
	return stat_file(d, file, AT_STATX_DONT_SYNC).mode;
}

static ssize_t answer_attr(struct daemon *d, const struct step *s, uint32_t mode, uint64_t size)
{
	struct fuse_attr_out out = { .attr_valid = 100, .attr = make_attr(5, mode, size) };

	return daemon_answer(d, s->in.unique, 0, &out, sizeof(out));
}

/* --- answers that something has overtaken ------------------------------------------------- */

static long mode_and_size(struct daemon *d, void *arg)
{
	struct kstat st = stat_file(d, arg, AT_STATX_FORCE_SYNC);

	return (long)(st.mode << 16 | st.size);
}

/* F23: whoever asked is shown it, the cache does not take it. */
Test(fuse_attrcache, an_answer_that_a_write_has_overtaken_is_shown_and_dropped)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 0);
	struct step *s = expect_silence(d, FUSE_GETATTR, 5);
	struct fuse_write_out out = { .size = 2 };
	struct client_thread t;

	client_spawn(&t, d, mode_and_size, file);
	cr_assert(daemon_wait(d, s));
	expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
	cr_assert_eq(client_pwrite(d, file, "xy", 2, 0), 2);
	cr_assert_gt(answer_attr(d, s, NEW, 77), 0);
	cr_assert_eq(client_join(&t), (long)NEW << 16 | 77);
	cr_assert_eq(cached_mode(d, file), OLD);
	cr_assert_eq(inode_size(file->inode), 10);
	expect_attr(d, FUSE_GETATTR, 5, NEW, 10, 100); /* its validity was not taken either */
	cr_assert_eq(stat_file(d, file, 0).mode, NEW);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long do_shrink(struct daemon *d, void *arg)
{
	return vfs_truncate(CTX, &((struct file *)arg)->path, 4);
}
static long do_extend(struct daemon *d, void *arg)
{
	return vfs_fallocate(CTX, arg, 0, 0, 100);
}
static long do_allocate(struct daemon *d, void *arg)
{
	return vfs_fallocate(CTX, arg, FALLOC_FL_KEEP_SIZE, 0, 100);
}
static long do_append(struct daemon *d, void *arg)
{
	return client_pwrite(d, arg, "xy", 2, 10);
}
static long do_write(struct daemon *d, void *arg)
{
	return client_pwrite(d, arg, "xy", 2, 0);
}
static long copy(struct daemon *d, struct file *file, int64_t to)
{
	int64_t from = 0;

	return vfs_copy_file_range(CTX, file, &from, file, &to, 2, 0);
}
static long do_copy_behind(struct daemon *d, void *arg)
{
	return copy(d, arg, 10);
}
static long do_copy_within(struct daemon *d, void *arg)
{
	return copy(d, arg, 5);
}

/* F23: while an operation changes the size no answer is taken; direct ones are no such operation. */
Test(fuse_attrcache, answers_during_a_change_of_the_size_are_dropped)
{
	const struct {
		uint32_t opcode;
		long (*run)(struct daemon *d, void *file);
		uint32_t open_flags;
		bool taken;
	} rows[] = {
		{ FUSE_SETATTR, do_shrink, 0, false },
		{ FUSE_FALLOCATE, do_extend, 0, false },
		{ FUSE_FALLOCATE, do_allocate, 0, true },
		{ FUSE_WRITE, do_append, 0, false },
		{ FUSE_WRITE, do_write, 0, true },
		{ FUSE_WRITE, do_append, FOPEN_DIRECT_IO, true },
		{ FUSE_COPY_FILE_RANGE_64, do_copy_behind, 0, false },
		{ FUSE_COPY_FILE_RANGE_64, do_copy_within, 0, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct daemon *d = daemon_start(NULL);
		struct file *file = open_file(d, rows[i].open_flags);
		struct step *s = expect_silence(d, rows[i].opcode, 5);
		struct client_thread t;

		client_spawn(&t, d, rows[i].run, file);
		cr_assert(daemon_wait(d, s));
		expect_attr(d, FUSE_GETATTR, 5, NEW, 10, 100);
		cr_expect_eq(stat_file(d, file, AT_STATX_FORCE_SYNC).mode, NEW, "%zu", i);
		cr_expect_eq(cached_mode(d, file), rows[i].taken ? NEW : OLD, "%zu", i);
		cr_assert_eq(daemon_answer(d, s->in.unique, -EPERM, NULL, 0), 16);
		cr_expect_eq(client_join(&t), -EPERM, "%zu", i);
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

static long do_chmod(struct daemon *d, void *arg)
{
	struct iattr attr = { .valid = ATTR_MODE, .mode = 0640 };

	return notify_change(CTX, &((struct file *)arg)->path, &attr);
}

/* F23: what the change itself has brought counts, but for how long, nobody can say. */
Test(fuse_attrcache, an_overtaken_setattr_is_taken_without_validity)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 0);
	struct step *s = expect_silence(d, FUSE_SETATTR, 5);
	struct client_thread t;

	client_spawn(&t, d, do_chmod, file);
	cr_assert(daemon_wait(d, s));
	expect_attr(d, FUSE_GETATTR, 5, NEW, 10, 100);
	(void)stat_file(d, file, AT_STATX_FORCE_SYNC);
	cr_assert_gt(answer_attr(d, s, S_IFREG | 0640, 10), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(cached_mode(d, file), S_IFREG | 0640);
	expect_attr(d, FUSE_GETATTR, 5, NEW, 10, 100);
	cr_assert_eq(stat_file(d, file, 0).mode, NEW);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long do_link(struct daemon *d, void *arg)
{
	return vfs_link(CTX, &((struct file *)arg)->path, NULL, "/g");
}

Test(fuse_attrcache, the_answer_of_a_creation_is_always_taken) /* F23 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 0);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0640, 10, 100);
	struct client_thread t;
	struct step *s;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_silence(d, FUSE_LINK, 1);
	client_spawn(&t, d, do_link, file);
	cr_assert(daemon_wait(d, s));
	expect_attr(d, FUSE_GETATTR, 5, NEW, 10, 100);
	(void)stat_file(d, file, AT_STATX_FORCE_SYNC);
	cr_assert_gt(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 0);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(stat_file(d, file, 0).mode, S_IFREG | 0640);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* --- evictions ---------------------------------------------------------------------------- */

/* F24: what was evicted might have been the same inode, and have changed since the LOOKUP began. */
Test(fuse_attrcache, attributes_that_an_eviction_has_overtaken_are_asked_again)
{
	for (uint32_t nlink = 0; nlink < 2; nlink++) {
		struct daemon *d = daemon_start(NULL);
		struct fuse_entry_out gone = make_entry(5, OLD, 10, 100);
		struct fuse_entry_out new = make_entry(6, OLD, 10, 100);
		struct client_thread t;
		struct kstat st;
		struct step *s;

		gone.attr.nlink = nlink;
		expect_reply(d, FUSE_LOOKUP, 1, &gone, sizeof(gone));
		cr_assert_eq(client_stat(d, "/gone", &st), 0);
		s = expect_silence(d, FUSE_LOOKUP, 1);
		client_spawn(&t, d, client_stat_path, "/new");
		cr_assert(daemon_wait(d, s));
		dcache_shrink(0);
		cr_assert(daemon_wait_forgotten(d, 5, 1));
		if (nlink > 0) /* of a deleted file nobody had to know any more */
			expect_attr(d, FUSE_GETATTR, 6, NEW, 10, 100);
		cr_assert_gt(daemon_answer(d, s->in.unique, 0, &new, sizeof(new)), 0);
		cr_assert_eq(client_join(&t), 0);
		cr_assert_eq(client_stat(d, "/new", &st), 0);
		cr_assert_eq(st.mode, nlink > 0 ? NEW : OLD);
		DAEMON_STOP(d);
	}
}

static long list_root(struct daemon *d, void *arg)
{
	char names[64];

	return client_readdir(d, arg, names, sizeof(names), 4096);
}

Test(fuse_attrcache, so_are_those_of_a_readdirplus) /* F24 */
{
	struct daemon_config config = { .flags = FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS };
	struct daemon *d = daemon_start(&config);
	struct fuse_entry_out new = make_entry(6, OLD, 10, 100);
	struct client_thread t;
	struct file *dir;
	struct kstat st;
	struct step *s;
	char list[512];

	daemon_ignore(d, FUSE_RELEASEDIR);
	expect_open(d, FUSE_OPENDIR, 1, 9, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &dir), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, OLD, 10, 100);
	cr_assert_eq(client_stat(d, "/gone", &st), 0);
	s = expect_silence(d, FUSE_READDIRPLUS, 1);
	client_spawn(&t, d, list_root, dir);
	cr_assert(daemon_wait(d, s));
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	cr_assert_gt(
		daemon_answer(d, s->in.unique, 0, list, make_direntplus(list, &new, 1, "new", 8)),
		0);
	cr_assert_gt(client_join(&t), 0);
	expect_attr(d, FUSE_GETATTR, 6, NEW, 10, 100);
	cr_assert_eq(client_stat(d, "/new", &st), 0);
	client_close(d, dir);
	DAEMON_STOP(d);
}

/* --- what is kept here -------------------------------------------------------------------- */

static void check_times(struct daemon *d, const struct file *file, bool ours)
{
	struct kstat st = stat_file(d, file, AT_STATX_DONT_SYNC);

	cr_expect_eq(st.atime.tv_sec, 0);
	cr_expect_eq(st.mtime.tv_sec == 1000, !ours);
	cr_expect_eq(st.ctime.tv_sec == 1000, !ours);
}

/* F29: nobody's times move here, but with the writeback cache mtime and ctime of a file. */
Test(fuse_attrcache, times_are_the_daemons)
{
	for (int writeback = 0; writeback < 2; writeback++) {
		struct daemon_config config = { .flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS };
		struct fuse_write_out out = { .size = 2 };
		struct daemon *d;
		struct file *file, *dir;
		char buf[64];

		config.flags |= writeback ? FUSE_WRITEBACK_CACHE : 0;
		d = daemon_start(&config);
		daemon_ignore(d, FUSE_RELEASEDIR);
		file = open_file(d, 0);
		expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFDIR | 0755, 0, 100);
		expect_open(d, FUSE_OPENDIR, 6, 9, 0);
		cr_assert_eq(client_open(d, "/d", O_RDONLY | O_DIRECTORY, &dir), 0);
		expect_reply(d, FUSE_READ, 5, "0123456789", 10);
		cr_assert_eq(client_pread(d, file, buf, 10, 0), 10);
		check_times(d, file, false);
		if (!writeback)
			expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
		cr_assert_eq(client_pwrite(d, file, "xy", 2, 0), 2);
		check_times(d, file, writeback);
		expect_reply(d, FUSE_READDIR, 6, NULL, 0);
		cr_assert_eq(client_readdir(d, dir, buf, sizeof(buf), 4096), 0);
		expect_error(d, FUSE_LOOKUP, 6, ENOENT);
		expect_entry(d, FUSE_MKDIR, 6, 7, S_IFDIR | 0755, 0, 100);
		cr_assert_eq(vfs_mkdir(CTX, NULL, "/d/new", 0755), 0);
		check_times(d, dir, false);
		if (writeback) {
			expect_reply(d, FUSE_WRITE, 5, &(struct fuse_write_out){ .size = 10 }, 8);
			expect_attr(d, FUSE_SETATTR, 5, OLD, 10, 100);
		}
		client_close(d, file);
		client_close(d, dir);
		DAEMON_STOP(d);
	}
}

/* F22: an answer that leaves some of them out is shown as far as it goes, and not kept. */
Test(fuse_attrcache, a_statx_without_all_basic_attributes_is_not_kept)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 0);
	struct fuse_statx_out out = { .attr_valid = 100 };
	struct kstat st;

	out.stat.mask = STATX_TYPE | STATX_MODE | STATX_BTIME;
	out.stat.mode = NEW;
	out.stat.btime.tv_sec = 77;
	expect_reply(d, FUSE_STATX, 5, &out, sizeof(out));
	cr_assert_eq(vfs_getattr(CTX, &file->path, &st, STATX_BASIC_STATS | STATX_BTIME,
				 AT_STATX_FORCE_SYNC),
		     0);
	cr_assert_eq(st.result_mask & (STATX_BASIC_STATS | STATX_BTIME),
		     STATX_TYPE | STATX_MODE | STATX_BTIME);
	cr_assert_eq(st.mode, NEW);
	cr_assert_eq(st.btime.tv_sec, 77);
	cr_assert_eq(cached_mode(d, file), OLD);
	cr_assert_eq(inode_size(file->inode), 10);
	client_close(d, file);
	DAEMON_STOP(d);
}

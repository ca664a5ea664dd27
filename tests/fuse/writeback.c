/* FUSE_WRITEBACK_CACHE: write(2) only dirties pages; matrix F27, F58, F82, F90, F91, F93, F140. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/ops.h"
#include "vfs/superblock.h"

TestSuite(fuse_writeback, .timeout = 120);

#define CTX (&d->client.ctx)

static struct daemon *start(uint32_t max_write)
{
	struct daemon_config config = {.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES,
				       .max_write = max_write};

	return daemon_start(&config);
}

/* One that asks for security.capability in vain. */
static struct file *open_file(struct daemon *d, uint64_t size, unsigned flags)
{
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", flags, &file), 0);
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	return file;
}

static struct step *expect_write(struct daemon *d, uint32_t size)
{
	struct fuse_write_out out = {.size = size};

	return expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
}

static struct step *expect_setattr(struct daemon *d)
{
	return expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 1, 100);
}

static void check_write(const struct step *w, uint64_t offset, uint32_t size)
{
	const struct fuse_write_in *in = step_in(w, struct fuse_write_in);

	cr_assert_eq(in->offset, offset);
	cr_assert_eq(in->size, size);
	cr_assert_eq(in->write_flags, FUSE_WRITE_CACHE);
	cr_assert_eq(in->flags, 0);
	cr_assert_eq(in->fh, 3);
	cr_assert_eq(w->in.uid, 0);
	cr_assert_eq(w->in.pid, 0);
}

static void write_at(struct daemon *d, struct file *file, const void *data, size_t len, int64_t pos)
{
	cr_assert_eq(client_pwrite(d, file, data, len, pos), (ssize_t)len);
}

/* Closes a file that has nothing dirty. */
static void finish(struct daemon *d, struct file *file)
{
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* Behind the last page of the largest file there is no position to go on from. */
Test(fuse_writeback, the_largest_size_of_a_file_is_no_end_of_the_search)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, INT64_MAX, O_RDWR);
	static const char page[4096];
	struct step *w;

	write_at(d, file, page, sizeof(page), 0);
	w = expect_write(d, sizeof(page));
	expect_setattr(d);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	check_write(w, 0, sizeof(page));
	finish(d, file);
}

/* F90, F91, F58: two writes, and at close one WRITE, then the times, then FLUSH. */
Test(fuse_writeback, close_sends_data_then_times_then_flush) /* B16, W07 */
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_RDWR);
	struct step *w, *s;
	char buf[8];

	write_at(d, file, "hello", 5, 0);
	write_at(d, file, "J", 1, 0);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "Jello", 5), 0);
	w = expect_write(d, 5);
	s = expect_setattr(d);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	check_write(w, 0, 5);
	cr_assert_eq(memcmp(step_body(w) + sizeof(struct fuse_write_in), "Jello", 5), 0);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->valid,
		     FATTR_MTIME | FATTR_CTIME | FATTR_FH);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->fh, 3);
	cr_assert_gt(step_in(s, struct fuse_setattr_in)->mtime, 0);
	cr_assert_eq(inode_size(file->inode), 5); /* not what SETATTR said */
	finish(d, file);
}

/* F90: bytes of a page that has others are read first, whatever the file was opened for. */
Test(fuse_writeback, partial_page_is_read_first)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 10, O_WRONLY);
	struct step *r = expect_reply(d, FUSE_READ, 5, "0123456789", 10), *w;

	write_at(d, file, "xy", 2, 4);
	cr_assert_eq(step_in(r, struct fuse_read_in)->fh, 3);
	w = expect_write(d, 12);
	expect_setattr(d);
	write_at(d, file, "ab", 2, 10); /* at the end of file, in the same page */
	expect_error(d, FUSE_FSYNC, 5, ENOSYS);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(w, 0, 12);
	cr_assert_eq(memcmp(step_body(w) + sizeof(struct fuse_write_in), "0123xy6789ab", 12), 0);
	finish(d, file);
}

/* F90: appending behind a page that is not cached reads that page, too. */
Test(fuse_writeback, append_reads_the_last_page)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 3, O_WRONLY | O_APPEND);
	struct step *w;

	expect_reply(d, FUSE_READ, 5, "abc", 3);
	write_at(d, file, "def", 3, 0);
	w = expect_write(d, 6);
	expect_setattr(d);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	cr_assert_eq(memcmp(step_body(w) + sizeof(struct fuse_write_in), "abcdef", 6), 0);
	finish(d, file);
}

/* F91 */
Test(fuse_writeback, dirty_neighbours_are_one_write_up_to_max_write)
{
	struct daemon *d = start(8192);
	struct file *file = open_file(d, 0, O_WRONLY);
	char *data = calloc(1, 4096);
	struct step *first, *second, *third;

	for (int i = 2; i >= 0; i--)
		write_at(d, file, data, 4096, i * 4096);
	write_at(d, file, data, 10, 10 * 4096);
	first = expect_write(d, 8192);
	second = expect_write(d, 4096);
	third = expect_write(d, 10);
	expect_setattr(d);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	check_write(first, 0, 8192);
	check_write(second, 8192, 4096);
	check_write(third, 10 * 4096, 10);
	free(data);
	finish(d, file);
}

/* F27: size and times are ours; the rest is the daemon's. */
Test(fuse_writeback, attributes_of_the_daemon_do_not_change_size_and_times)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_WRONLY);
	struct fuse_notify_inval_inode_out inval = {.ino = 5, .off = -1};
	struct kstat st;

	write_at(d, file, "hello", 5, 0);
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0600, 77, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.size, 5);
	cr_assert_eq(st.mode, S_IFREG | 0600);
	cr_assert_gt(st.mtime.tv_sec, 1000000);
	expect_write(d, 5);
	expect_setattr(d);
	finish(d, file);
}

/* F91, F140: an error is each open file's once, and keeps FSYNC back. */
Test(fuse_writeback, error_is_reported_once_by_each_open_file)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_WRONLY), *other = NULL;

	write_at(d, file, "hello", 5, 0);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_WRONLY, &other), 0);
	expect_error(d, FUSE_WRITE, 5, ENOSPC);
	expect_setattr(d);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), -ENOSPC);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	cr_assert_eq(other->op->fsync(CTX, other, 0, INT64_MAX, false), -ENOSPC);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(other->op->fsync(CTX, other, 0, INT64_MAX, false), 0);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, other);
	finish(d, file);
}

/* The last reference goes without a close(2) after the write: nothing is lost. */
Test(fuse_writeback, release_sends_what_is_left)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_WRONLY);
	struct step *r;

	write_at(d, file, "hello", 5, 0);
	expect_write(d, 5);
	expect_setattr(d);
	r = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	file_put(file);
	cr_assert(daemon_wait(d, r));
	DAEMON_STOP(d);
}

/* An open without KEEP_CACHE, and an invalidation, drop what is clean only. */
Test(fuse_writeback, dirty_pages_survive_invalidation)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_RDWR), *other = NULL;
	struct fuse_notify_inval_inode_out inval = {.ino = 5, .off = 0, .len = 0};
	char buf[5];

	write_at(d, file, "hello", 5, 0);
	expect_open(d, FUSE_OPEN, 5, 4, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &other), 0);
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	cr_assert_eq(client_pread(d, other, buf, 5, 0), 5);
	cr_assert_eq(memcmp(buf, "hello", 5), 0);
	expect_write(d, 5);
	expect_setattr(d);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, other);
	finish(d, file);
}

/* F82: what the daemon does not have yet is not the end of the file. */
Test(fuse_writeback, short_read_does_not_shrink_the_file)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 4096, O_RDWR);
	char buf[2];

	write_at(d, file, "x", 1, 3 * 4096);
	expect_reply(d, FUSE_READ, 5, "ab", 2);
	cr_assert_eq(client_pread(d, file, buf, 2, 0), 2);
	cr_assert_eq(inode_size(file->inode), 3 * 4096 + 1);
	cr_assert_eq(client_pread(d, file, buf, 2, 3 * 4096), 1);
	cr_assert_eq(buf[0], 'x');
	expect_write(d, 1);
	expect_setattr(d);
	finish(d, file);
}

/* F93: SETATTR with our times first; then what is left of the data; nothing stays cached. */
Test(fuse_writeback, truncate_sends_data_last)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_RDWR);
	struct iattr attr = {.valid = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME | ATTR_FILE,
			     .size = 2,
			     .file = file};
	struct step *w, *s;
	char buf[5];

	write_at(d, file, "hello", 5, 0);
	attr.mtime.tv_sec = attr.ctime.tv_sec = 1234;
	s = expect_setattr(d);
	w = expect_write(d, 2);
	inode_lock(file->inode);
	cr_assert_eq(file->inode->op->setattr(CTX, file->path.dentry, &attr), 0);
	inode_unlock(file->inode);
	check_write(w, 0, 2);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->valid,
		     FATTR_SIZE | FATTR_MTIME | FATTR_CTIME | FATTR_FH | FATTR_LOCKOWNER);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->mtime, 1234);
	cr_assert_eq(inode_size(file->inode), 2);
	expect_reply(d, FUSE_READ, 5, "he", 2);
	cr_assert_eq(client_pread(d, file, buf, 5, 0), 2);
	expect_setattr(d);
	finish(d, file);
}

/* F94: all is on its way, and what the daemon makes of it is not waited for. */
Test(fuse_writeback, syncfs_sends_data_and_does_not_wait_for_it)
{
	struct daemon *d = start(4096);
	struct file *file = open_file(d, 0, O_RDWR);
	struct superblock *sb = file->inode->sb;
	struct fuse_write_out out = {.size = 4096};
	char *data = calloc(12, 4096);
	struct step *writes[12];

	write_at(d, file, data, sizeof(writes) / sizeof(writes[0]) * 4096, 0);
	for (int i = 0; i < 12; i++)
		writes[i] = expect_silence(d, FUSE_WRITE, 5);
	expect_setattr(d);
	cr_assert_eq(sb->op->sync_fs(CTX, sb), 0);
	cr_assert(daemon_drain(d));
	for (int i = 0; i < 12; i++)
		daemon_answer(d, writes[i]->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(sb->op->sync_fs(CTX, sb), 0); /* nothing is left */
	free(data);
	finish(d, file);
}

/* F25, F58: the blocks that it takes are the daemon's to know, and asked for after the close. */
Test(fuse_writeback, blocks_are_asked_for_after_flush)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_RDWR);
	struct kstat st;

	write_at(d, file, "hello", 5, 0);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	expect_write(d, 5);
	expect_setattr(d);
	expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 5, 100);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	finish(d, file);
}

static long do_fsync(struct daemon *d, void *arg)
{
	struct file *file = arg;

	return file->op->fsync(CTX, file, 0, INT64_MAX, false);
}

/* F91, F140: several WRITEs are under way at a time, and the times and FSYNC come after all. */
Test(fuse_writeback, writes_go_out_together)
{
	struct daemon *d = start(4096);
	struct file *file = open_file(d, 0, O_RDWR);
	struct fuse_write_out out = {.size = 4096};
	char *data = calloc(3, 4096);
	struct client_thread syncer;
	struct step *writes[3];

	write_at(d, file, data, 3 * 4096, 0);
	for (int i = 0; i < 3; i++)
		writes[i] = expect_silence(d, FUSE_WRITE, 5);
	client_spawn(&syncer, d, do_fsync, file);
	cr_assert(daemon_drain(d));
	expect_setattr(d);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	for (int i = 2; i >= 0; i--) {
		check_write(writes[i], (uint64_t)i * 4096, 4096);
		daemon_answer(d, writes[i]->in.unique, 0, &out, sizeof(out));
	}
	cr_assert_eq(client_join(&syncer), 0);
	free(data);
	finish(d, file);
}

/* F91, F140: a killed fsync(2) leaves WRITEs behind; the next one waits for them. */
Test(fuse_writeback, fsync_waits_for_the_writes_of_a_killed_one)
{
	struct daemon *d = start(0);
	struct file *file = open_file(d, 0, O_RDWR);
	struct fuse_write_out out = {.size = 5};
	struct client_thread killed, syncer;
	struct step *w = expect_silence(d, FUSE_WRITE, 5);

	write_at(d, file, "hello", 5, 0);
	client_spawn(&killed, d, do_fsync, file);
	cr_assert(daemon_wait(d, w));
	client_interrupt(&killed, WAITER_KILLED);
	cr_assert_eq(client_join(&killed), -EINTR);
	client_spawn(&syncer, d, do_fsync, file); /* a FSYNC now would find no step */
	expect_setattr(d);
	expect_error(d, FUSE_FSYNC, 5, EPERM);
	daemon_answer(d, w->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(client_join(&syncer), -EPERM);
	finish(d, file);
}

/* D88: what nobody waits for is not written to a congested connection, however much it is. */
Test(fuse_writeback, a_congested_connection_is_written_to_later)
{
	struct daemon_config config = {
		.flags = FUSE_WRITEBACK_CACHE | FUSE_BIG_WRITES | FUSE_MAX_PAGES,
		.max_write = 256 * 4096, .max_pages = 256, .congestion_threshold = 1};
	struct daemon *d = daemon_start(&config);
	struct file *file = open_file(d, 0, O_WRONLY), *other = NULL;
	struct fuse_write_out out = {.size = 5};
	char *data = calloc(1024, 4096);
	struct client_thread syncer;
	struct step *busy, *last = NULL;

	write_at(d, file, data, 1, 0);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 6, 4, 0);
	cr_assert_eq(client_open(d, "/g", O_WRONLY, &other), 0);
	write_at(d, other, "hello", 5, 0);
	busy = expect_silence(d, FUSE_WRITE, 6);
	client_spawn(&syncer, d, do_fsync, other);
	cr_assert(daemon_wait(d, busy));
	write_at(d, file, data, 1024 * 4096, 0); /* a WRITE of it would find no step */
	expect_attr(d, FUSE_SETATTR, 6, S_IFREG | 0644, 5, 100);
	expect_error(d, FUSE_FSYNC, 6, ENOSYS);
	daemon_answer(d, busy->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(client_join(&syncer), 0);
	for (int i = 0; i < 4; i++)
		last = expect_write(d, 256 * 4096);
	write_at(d, file, data, 1, 1024 * 4096 - 1); /* no fsync(2), no close(2) */
	cr_assert(daemon_wait(d, last));
	expect_setattr(d);
	free(data);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, other);
	finish(d, file);
}

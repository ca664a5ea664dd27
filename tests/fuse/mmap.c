/* Mappings, above all shared writable ones; matrix 6.7, F58, F59, F91, F103, F140. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/ops.h"

TestSuite(fuse_mmap, .timeout = 120);

#define CTX (&d->client.ctx)
#define GIB (1LL << 30)

static struct file *open_file(struct daemon *d, uint64_t size, uint32_t open_flags)
{
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, open_flags);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	return file;
}

/* A guest's mapping: the host descriptor is closed, as after close(2) of the guest's own. */
static char *map(struct daemon *d, struct file *file, int64_t offset, size_t length)
{
	struct mmap_request req = {offset, length, PROT_READ | PROT_WRITE, MAP_SHARED};
	int hostfd;
	char *at;

	cr_assert_eq(file->op->mmap(CTX, file, &req, &hostfd), 0);
	at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, offset);
	cr_assert_neq(at, MAP_FAILED);
	close(hostfd);
	return at;
}

static struct step *expect_read(struct daemon *d, const void *data, size_t len)
{
	return expect_reply(d, FUSE_READ, 5, data, len);
}

static struct step *expect_write(struct daemon *d, uint32_t size)
{
	struct fuse_write_out out = {.size = size};

	return expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
}

/* The mapping is gone: what the clock would do. */
static void reap(struct daemon *d, const struct file *file)
{
	mapped_reap(CTX, file->inode->sb);
}

static void finish(struct daemon *d, struct file *file, void *at, size_t length)
{
	munmap(at, length);
	reap(d, file);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
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
}

/* F91, F140: only the changed page, before the FSYNC; then nothing any more. */
Test(fuse_mmap, fsync_sends_the_changed_page_only)
{
	struct daemon_config config = {
		.flags = FUSE_BIG_WRITES, .uid = 1000, .options = "allow_other"};
	struct daemon *d = daemon_start(&config);
	struct file *file = open_file(d, 3 * 4096, 0);
	char *data = calloc(3, 4096), *at;
	struct step *w;

	expect_read(d, data, 3 * 4096);
	at = map(d, file, 0, 3 * 4096);
	at[4096 + 5] = 'x';
	w = expect_write(d, 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(w, 4096, 4096);
	cr_assert_eq(step_body(w)[sizeof(struct fuse_write_in) + 5], 'x');
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	free(data);
	finish(d, file, at, 3 * 4096);
}

/* F91: neighbours travel together, up to max_write. */
Test(fuse_mmap, changed_pages_are_sent_in_batches)
{
	struct daemon_config config = {.flags = FUSE_BIG_WRITES, .max_write = 8192};
	struct daemon *d = daemon_start(&config);
	struct file *file = open_file(d, 4 * 4096, 0);
	char *data = calloc(4, 4096), *at;
	struct step *first, *second;

	expect_read(d, data, 4 * 4096);
	at = map(d, file, 0, 4 * 4096);
	memset(at, 1, 3 * 4096);
	first = expect_write(d, 8192);
	second = expect_write(d, 4096);
	cr_assert_eq(mapped_sync(CTX, 0, 0), 0); /* another host file: nothing */
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(first, 0, 8192);
	check_write(second, 8192, 4096);
	free(data);
	finish(d, file, at, 4 * 4096);
}

/* F58, and the end of the file: what is behind it is not sent. */
Test(fuse_mmap, close_sends_up_to_the_end_of_file_before_the_flush)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct step *w;
	char *at;

	expect_read(d, "0123456789", 10);
	at = map(d, file, 0, 4096);
	memset(at, 'z', 4096);
	w = expect_write(d, 10);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	cr_assert_eq(file->op->flush(CTX, file), 0);
	check_write(w, 0, 10);
	finish(d, file, at, 4096);
}

/* F59, F103: the mapping outlives the descriptor; changes, then RELEASE come at its end. */
Test(fuse_mmap, release_waits_for_the_mapping)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 5, 0);
	struct inode *inode = inode_get(file->inode);
	struct step *w, *r;
	char *at;

	expect_read(d, "hello", 5);
	at = map(d, file, 0, 4096);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	client_close(d, file);
	at[0] = 'J';
	mapped_reap(CTX, inode->sb); /* still mapped */
	cr_assert(mapped_any());
	munmap(at, 4096);
	w = expect_write(d, 5);
	r = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	mapped_reap(CTX, inode->sb);
	cr_assert(daemon_wait(d, r));
	check_write(w, 0, 5);
	cr_assert_eq(memcmp(step_body(w) + sizeof(struct fuse_write_in), "Jello", 5), 0);
	cr_assert_not(mapped_any());
	inode_put(inode);
	DAEMON_STOP(d);
}

/* F91, F140: the error suppresses FSYNC, and is reported once. */
Test(fuse_mmap, a_failed_write_is_reported_once)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 5, 0);
	char *at;

	expect_read(d, "hello", 5);
	at = map(d, file, 0, 4096);
	at[0] = 'J';
	expect_error(d, FUSE_WRITE, 5, ENOSPC);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), -ENOSPC);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	finish(d, file, at, 4096);
}

/* read(2), write(2) and the mapping see the same; a write(2) does not hide the mapping's change. */
Test(fuse_mmap, mapping_and_descriptor_agree)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 4096, 0);
	char *page = calloc(1, 4096), *at;
	struct step *w;
	char got[2];

	expect_read(d, page, 4096);
	at = map(d, file, 0, 4096);
	at[100] = 'm';
	cr_assert_eq(client_pread(d, file, got, 1, 100), 1);
	cr_assert_eq(got[0], 'm');
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 1);
	cr_assert_eq(client_pwrite(d, file, "w", 1, 200), 1);
	cr_assert_eq(at[200], 'w');
	w = expect_write(d, 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(w, 0, 4096);
	cr_assert_eq(step_body(w)[sizeof(struct fuse_write_in) + 100], 'm');
	/* and a write(2) into a page that is the same as the daemon's needs no second WRITE */
	expect_write(d, 1);
	cr_assert_eq(client_pwrite(d, file, "v", 1, 300), 1);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	free(page);
	finish(d, file, at, 4096);
}

/* What a guest has changed is not thrown away because the daemon says that its copy is new. */
Test(fuse_mmap, invalidation_keeps_what_was_changed)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 5, 0), *again = NULL;
	struct fuse_notify_inval_inode_out inval = {.ino = 5, .off = 0, .len = 0};
	struct step *w;
	char *at, got[5];

	expect_read(d, "hello", 5);
	at = map(d, file, 0, 4096);
	at[0] = 'J';
	expect_open(d, FUSE_OPEN, 5, 4, 0); /* no KEEP_CACHE */
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &again), 0);
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval)), 0);
	cr_assert_eq(client_pread(d, again, got, 5, 0), 5);
	cr_assert_eq(memcmp(got, "Jello", 5), 0);
	w = expect_write(d, 5);
	munmap(at, 4096);
	reap(d, file);
	check_write(w, 0, 5);
	/* now it is dropped */
	expect_read(d, "other", 5);
	cr_assert_eq(client_pread(d, again, got, 5, 0), 5);
	cr_assert_eq(memcmp(got, "other", 5), 0);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, again);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* A file that we let grow: the new pages can be used through the old mapping. */
Test(fuse_mmap, mapping_goes_on_behind_the_old_end)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 4096, 0);
	char *page = calloc(1, 4096), *at;
	struct step *w;

	expect_read(d, page, 4096);
	at = map(d, file, 0, 4 * 4096);
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 1);
	cr_assert_eq(client_pwrite(d, file, "e", 1, 3 * 4096 - 1), 1);
	cr_assert_eq(at[3 * 4096 - 1], 'e');
	at[4096] = 'g';
	w = expect_write(d, 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(w, 4096, 4096);
	free(page);
	finish(d, file, at, 4 * 4096);
}

/* F141: written back before, zeros in the mapping after. */
Test(fuse_mmap, punching_a_hole_shows_in_the_mapping)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 8192, 0);
	char *data = calloc(2, 4096), *at;
	struct step *w;

	memset(data, 'a', 8192);
	expect_read(d, data, 8192);
	at = map(d, file, 0, 8192);
	at[0] = 'x';
	w = expect_write(d, 4096);
	expect_reply(d, FUSE_FALLOCATE, 5, NULL, 0);
	memset(data, 0, 4096);
	expect_read(d, data, 4096);
	cr_assert_eq(file->op->fallocate(CTX, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					 4096),
		     0);
	check_write(w, 0, 4096);
	cr_assert_eq(at[0], 0);
	cr_assert_eq(at[4096], 'a');
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	free(data);
	finish(d, file, at, 8192);
}

/* F100 */
Test(fuse_mmap, direct_file_is_not_mapped_shared)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 5, FOPEN_DIRECT_IO);
	struct mmap_request req = {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED};
	int hostfd;

	cr_assert_eq(file->op->mmap(CTX, file, &req, &hostfd), -ENODEV);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* A huge sparse file: its holes are asked for, not read. */
Test(fuse_mmap, holes_of_a_large_file_are_not_read)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 6 * GIB, 0);
	struct fuse_lseek_out data_at = {.offset = 6 * GIB - 4096}, hole_at = {.offset = 6 * GIB};
	char *page = calloc(1, 4096), *at, got[1];
	struct step *w;

	page[0] = 'd';
	expect_reply(d, FUSE_LSEEK, 5, &data_at, sizeof(data_at));
	expect_reply(d, FUSE_LSEEK, 5, &hole_at, sizeof(hole_at));
	expect_read(d, page, 4096);
	at = map(d, file, 0, 6 * GIB);
	cr_assert_eq(at[6 * GIB - 4096], 'd');
	cr_assert_eq(at[3 * GIB], 0);
	at[GIB] = 'x';
	w = expect_write(d, 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(file->op->fsync(CTX, file, 0, INT64_MAX, false), 0);
	check_write(w, GIB, 4096);
	cr_assert_eq(client_pread(d, file, got, 1, GIB), 1);
	cr_assert_eq(got[0], 'x');
	free(page);
	finish(d, file, at, 6 * GIB);
}

/* Only what is mapped is read, wherever it lies. */
Test(fuse_mmap, the_end_of_a_large_file_is_one_read)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 6 * GIB, 0);
	char *page = calloc(1, 4096), *at;
	struct step *r = expect_read(d, page, 4096);

	at = map(d, file, 6 * GIB - 4096, 4096);
	cr_assert_eq(step_in(r, struct fuse_read_in)->offset, 6 * GIB - 4096);
	cr_assert_eq(step_in(r, struct fuse_read_in)->size, 4096);
	free(page);
	finish(d, file, at, 4096);
}

/* Mappings, above all shared writable ones; matrix 6.7, F58, F59, F91, F103, F140. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fusefs/cache.h"
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
	cr_assert_eq(mapped_msync(CTX, 0, 0), 0); /* another host file: nothing */
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

static long map_both_pages(struct daemon *d, void *file)
{
	return (long)map(d, file, 0, 2 * 4096);
}

/* F103: what mmap(2) reads is invalidated before it has come; nobody would read it later. */
Test(fuse_mmap, a_page_lost_while_it_is_read_is_read_again)
{
	struct {
		struct fuse_notify_store_out out;
		char data[4096];
	} store = {.out = {.nodeid = 5, .offset = 4096, .size = 4096}};
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 2 * 4096, 0);
	char *old = calloc(2, 4096), *fresh = calloc(1, 4096), *at;
	struct step *first, *second;
	struct client_thread t;

	memset(fresh, 'f', 4096);
	memset(store.data, 's', 4096);
	first = expect_silence(d, FUSE_READ, 5);
	client_spawn(&t, d, map_both_pages, file);
	cr_assert(daemon_wait(d, first));
	cr_assert_gt(daemon_notify(d, FUSE_NOTIFY_STORE, &store, sizeof(store)), 0);
	second = expect_read(d, fresh, 4096);
	cr_assert_gt(daemon_answer(d, first->in.unique, 0, old, 2 * 4096), 0);
	at = (char *)client_join(&t);
	cr_assert_eq(at[0], 'f');
	cr_assert_eq(at[4096], 's');
	cr_assert_eq(step_in(second, struct fuse_read_in)->size, 4096);
	free(old);
	free(fresh);
	finish(d, file, at, 2 * 4096);
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

static long do_fsync(struct daemon *d, void *arg)
{
	struct file *file = arg;

	return file->op->fsync(CTX, file, 0, INT64_MAX, false);
}

static int set_size(struct daemon *d, struct file *file, int64_t size)
{
	struct iattr attr = {.valid = ATTR_SIZE | ATTR_FILE, .size = size, .file = file};
	int err;

	inode_lock(file->inode);
	err = file->inode->op->setattr(CTX, file->path.dentry, &attr);
	inode_unlock(file->inode);
	return err;
}

static long cut_in_half(struct daemon *d, void *arg)
{
	return set_size(d, arg, 4096);
}

static long write_first_byte(struct daemon *d, void *arg)
{
	return client_pwrite(d, arg, "w", 1, 0);
}

/*
 * F91, F93: what would undo the other one if it came to the daemon first waits for the WRITE of a
 * page that a mapping has changed. Without an expectation its request would fail the test.
 */
static void check_waits_for_write(long (*change)(struct daemon *d, void *arg), long result,
				  struct step *(*expect)(struct daemon *d))
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 8192, 0);
	struct fuse_write_out out = {.size = 4096};
	struct client_thread syncer, changer;
	char *data = calloc(2, 4096), *at;
	struct step *w, *asked;

	daemon_ignore(d, FUSE_FSYNC);
	expect_read(d, data, 8192);
	at = map(d, file, 0, 8192);
	at[0] = 'x';
	w = expect_silence(d, FUSE_WRITE, 5);
	client_spawn(&syncer, d, do_fsync, file);
	cr_assert(daemon_wait(d, w));
	asked = expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	client_spawn(&changer, d, change, file);
	cr_assert(daemon_wait(d, asked));
	sched_yield();
	expect(d);
	daemon_answer(d, w->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(client_join(&syncer), 0);
	cr_assert_eq(client_join(&changer), result);
	free(data);
	finish(d, file, at, 4096);
}

static struct step *expect_truncate(struct daemon *d)
{
	return expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 4096, 100);
}

Test(fuse_mmap, truncate_waits_for_the_write_of_a_changed_page)
{
	check_waits_for_write(cut_in_half, 0, expect_truncate);
}

static struct step *expect_written(struct daemon *d)
{
	return expect_write(d, 1);
}

Test(fuse_mmap, write_waits_for_the_write_of_a_changed_page)
{
	check_waits_for_write(write_first_byte, 1, expect_written);
}

/* F91: the other way round, or the page's old bytes would come last. */
Test(fuse_mmap, a_changed_page_waits_for_a_write)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 4096, 0);
	struct fuse_write_out out = {.size = 1};
	struct client_thread writer, syncer;
	char *data = calloc(1, 4096), *at;
	struct step *w, *back;

	expect_read(d, data, 4096);
	at = map(d, file, 0, 4096);
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	w = expect_silence(d, FUSE_WRITE, 5);
	client_spawn(&writer, d, write_first_byte, file);
	cr_assert(daemon_wait(d, w));
	at[1] = 'x';
	client_spawn(&syncer, d, do_fsync, file);
	sched_yield();
	back = expect_write(d, 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_not(back->reached);
	daemon_answer(d, w->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(client_join(&writer), 1);
	cr_assert_eq(client_join(&syncer), 0);
	cr_assert_eq(memcmp(step_body(back) + sizeof(struct fuse_write_in), "wx", 2), 0);
	free(data);
	finish(d, file, at, 4096);
}

/* F91: the page in which the file ends now is what the daemon has, unless a mapping changed it. */
Test(fuse_mmap, a_truncated_page_is_not_written)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 8192, 0);
	char *data = calloc(2, 4096), *at;
	struct step *w;

	memset(data, 'a', 8192);
	expect_read(d, data, 8192);
	at = map(d, file, 0, 8192);
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	for (int size = 6000; size >= 5900; size -= 100) {
		expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, (uint64_t)size, 100);
		cr_assert_eq(set_size(d, file, size), 0);
		expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
		cr_assert_eq(do_fsync(d, file), 0);
	}
	at[4096] = 'x';
	w = expect_write(d, 5900 - 4096);
	expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(do_fsync(d, file), 0);
	check_write(w, 4096, 5900 - 4096);
	free(data);
	finish(d, file, at, 8192);
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

#define MIB (1LL << 20)

/* A file of so many MiB, READs of 1 MiB, and LSEEK unknown. */
static struct file *open_large(struct daemon **ret_d, uint64_t size, unsigned flags)
{
	struct daemon_config config = {.flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES,
				       .max_pages = 256,
				       .max_write = MIB};
	struct daemon *d = daemon_start(&config);
	struct file *file = NULL;

	mapped_set_can_fault();
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", flags, &file), 0);
	expect_error(d, FUSE_LSEEK, 5, ENOSYS);
	*ret_d = d;
	return file;
}

/* READs of so many MiB from `first` on. */
static void expect_mibs(struct daemon *d, int first, int count)
{
	char *data = malloc(MIB);

	for (int i = first; i < first + count; i++) {
		memset(data, 'a' + i, MIB);
		expect_read(d, data, MIB);
	}
	free(data);
}

static char *map_reading(struct daemon *d, struct file *file, size_t length, struct stat *ret_host)
{
	struct mmap_request req = {0, length, PROT_READ, MAP_SHARED};
	int hostfd;
	char *at;

	cr_assert_eq(file->op->mmap(CTX, file, &req, &hostfd), 0);
	at = mmap(NULL, length, PROT_READ, MAP_SHARED, hostfd, 0);
	cr_assert_neq(at, MAP_FAILED);
	cr_assert_eq(fstat(hostfd, ret_host), 0);
	close(hostfd);
	return at;
}

static int touch(struct daemon *d, const struct stat *host, int64_t offset)
{
	return mapped_fault(CTX, host->st_dev, host->st_ino, offset);
}

/* F102: mmap(2) reads a first part only, a touch the part in which it is; errors are SIGBUS. */
Test(fuse_mmap, a_large_mapping_is_filled_as_it_is_touched)
{
	struct daemon *d;
	struct file *file = open_large(&d, 64 * MIB, O_RDONLY);
	struct stat host;
	char *at;

	expect_mibs(d, 0, 4);
	at = map_reading(d, file, 64 * MIB, &host);
	cr_assert_eq(at[0], 'a');
	cr_assert_eq(host.st_size, 4 * MIB);
	expect_mibs(d, 4, 8);
	cr_assert_eq(touch(d, &host, 9 * MIB), 0);
	cr_assert_eq(at[5 * MIB], 'a' + 5);
	cr_assert_eq(at[12 * MIB - 1], 'a' + 11);
	cr_assert_eq(touch(d, &host, 3 * MIB), 0); /* is there */
	expect_error(d, FUSE_READ, 5, EIO);
	cr_assert_eq(touch(d, &host, 12 * MIB), -EIO);
	cr_assert_eq(touch(d, &host, 64 * MIB), -EFAULT);
	finish(d, file, at, 64 * MIB);
}

/* The file stays open until the mapping is gone, and then nothing is left of it. */
Test(fuse_mmap, a_large_mapping_holds_its_file) /* F59, F103 */
{
	struct daemon *d;
	struct file *file = open_large(&d, 64 * MIB, O_RDONLY);
	const struct superblock *sb = file->inode->sb;
	struct step *release;
	struct stat host;
	char *at;

	expect_mibs(d, 0, 4);
	at = map_reading(d, file, 64 * MIB, &host);
	expect_error(d, FUSE_FLUSH, 5, ENOSYS);
	client_close(d, file);
	mapped_reap(CTX, sb); /* still mapped: a RELEASE would find no step */
	expect_mibs(d, 4, 4);
	cr_assert_eq(touch(d, &host, 4 * MIB), 0);
	cr_assert_eq(at[4 * MIB], 'e');
	munmap(at, 64 * MIB);
	release = expect_error(d, FUSE_RELEASE, 5, 0);
	mapped_reap(CTX, sb);
	cr_assert(daemon_wait(d, release));
	DAEMON_STOP(d);
}

/* read(2) and write(2) far behind the frontier are right, and leave no zeros before them. */
Test(fuse_mmap, descriptors_work_behind_the_frontier)
{
	struct daemon *d;
	struct file *file = open_large(&d, 64 * MIB, O_RDWR);
	char *at, *data = malloc(MIB), byte;
	struct stat host;
	struct step *w;

	expect_mibs(d, 0, 4);
	at = map_reading(d, file, 64 * MIB, &host);
	memset(data, 'r', MIB);
	expect_read(d, data, 4096);
	cr_assert_eq(client_pread(d, file, &byte, 1, 20 * MIB), 1);
	cr_assert_eq(byte, 'r');
	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	w = expect_write(d, 4096);
	cr_assert_eq(client_pwrite(d, file, data, 4096, 30 * MIB), 4096);
	cr_assert(daemon_wait(d, w));
	expect_mibs(d, 4, 4);
	cr_assert_eq(touch(d, &host, 4 * MIB), 0);
	cr_assert_eq(at[4 * MIB], 'e');
	cr_assert_eq(at[8 * MIB - 1], 'h');
	free(data);
	finish(d, file, at, 64 * MIB);
}

/* Who reads a mapping does not keep others from mapping the file for writing. */
Test(fuse_mmap, readers_do_not_hinder_a_writer)
{
	struct daemon *d = daemon_start(NULL);
	struct file *reader = NULL, *writer = NULL;
	char *data = calloc(1, 4096), *seen, *at;
	struct stat host;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 4096, 100);
	expect_open(d, FUSE_OPEN, 5, 3, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &reader), 0);
	expect_read(d, data, 4096);
	seen = map_reading(d, reader, 4096, &host);
	expect_open(d, FUSE_OPEN, 5, 4, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &writer), 0);
	at = map(d, writer, 0, 4096);
	at[7] = 'x';
	cr_assert_eq(seen[7], 'x');
	expect_write(d, 4096);
	munmap(at, 4096);
	reap(d, writer);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, writer);
	free(data);
	finish(d, reader, seen, 4096);
}

/* data: what is read; NULL: nothing, it is cached. */
static struct file *open_and_map(struct daemon *d, uint64_t fh, const char *data, char **ret_at)
{
	struct file *file = NULL;
	struct stat host;

	expect_open(d, FUSE_OPEN, 5, fh, FOPEN_KEEP_CACHE);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), 0);
	if (data)
		expect_read(d, data, 4096);
	*ret_at = map_reading(d, file, 4096, &host);
	return file;
}

static void check_released(struct daemon *d, struct step *release, uint64_t fh)
{
	cr_assert(daemon_wait(d, release));
	cr_expect_eq(step_in(release, struct fuse_release_in)->fh, fh);
}

/* F59, F103: also a mapping for reading keeps its open file, and no other one. */
Test(fuse_mmap, each_file_is_released_after_its_own_last_mapping)
{
	struct daemon *d = daemon_start(NULL);
	char data[4096] = {0}, *at, *other;
	struct file *file, *other_file;
	struct superblock *sb;

	daemon_ignore(d, FUSE_FLUSH);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 4096, 100);
	file = open_and_map(d, 3, data, &at);
	sb = file->inode->sb;
	other_file = open_and_map(d, 4, NULL, &other);
	client_close(d, file);
	client_close(d, other_file);
	mapped_reap(CTX, sb); /* both are mapped: a RELEASE would find no step */
	munmap(other, 4096);
	{
		struct step *release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);

		mapped_reap(CTX, sb);
		check_released(d, release, 4);
	}
	munmap(at, 4096);
	{
		struct step *release = expect_reply(d, FUSE_RELEASE, 5, NULL, 0);

		mapped_reap(CTX, sb);
		check_released(d, release, 3);
	}
	DAEMON_STOP(d);
}

/* Over the budget: what is mapped stays, and goes when the mapping has gone. */
Test(fuse_mmap, pages_of_a_mapping_are_reclaimed_after_it)
{
	struct daemon *d = daemon_start(NULL);
	struct file *mapped = NULL, *other = NULL;
	char *data = calloc(1, 4096), *at, byte;
	struct stat host;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 4096, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &mapped), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 4096, 100);
	expect_open(d, FUSE_OPEN, 6, 4, 0);
	cr_assert_eq(client_open(d, "/g", O_RDONLY, &other), 0);
	data[9] = 'm';
	expect_read(d, data, 4096);
	at = map_reading(d, mapped, 4096, &host);
	fuse_cache_set_budget(0);
	for (int i = 1; i >= 0; i--) {
		expect_reply(d, FUSE_READ, 6, data, 4096);
		cr_assert_eq(client_pread(d, other, &byte, 1, 0), 1);
		cr_assert_eq(fuse_cache_pages(), (uint64_t)i);
		if (i) {
			cr_assert_eq(at[9], 'm');
			munmap(at, 4096);
			mapped_reap(CTX, mapped->inode->sb);
			cr_assert_eq(client_pread(d, mapped, &byte, 1, 9), 1);
		}
	}
	free(data);
	client_close(d, mapped);
	client_close(d, other);
	DAEMON_STOP(d);
}

/* Y15: msync(2) is an fdatasync(2) of a file that is mapped. */
Test(fuse_mmap, msync_sends_the_changed_page_and_fsync)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 4096, 0);
	struct mmap_request req = {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED};
	char data[4096] = {0}, *at;
	struct stat host;
	struct step *w, *s;
	int hostfd;

	expect_read(d, data, 4096);
	cr_assert_eq(file->op->mmap(CTX, file, &req, &hostfd), 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, 0);
	cr_assert_eq(fstat(hostfd, &host), 0);
	close(hostfd);
	at[5] = 'x';
	w = expect_write(d, 4096);
	s = expect_reply(d, FUSE_FSYNC, 5, NULL, 0);
	cr_assert_eq(mapped_msync(CTX, host.st_dev, host.st_ino), 0);
	check_write(w, 0, 4096);
	cr_expect_eq(step_in(s, struct fuse_fsync_in)->fh, 3);
	cr_expect_eq(step_in(s, struct fuse_fsync_in)->fsync_flags, FUSE_FSYNC_FDATASYNC);
	at[5] = 'y';
	expect_write(d, 4096);
	expect_error(d, FUSE_FSYNC, 5, ENOSPC);
	cr_assert_eq(mapped_msync(CTX, host.st_dev, host.st_ino), -ENOSPC);
	finish(d, file, at, 4096);
}

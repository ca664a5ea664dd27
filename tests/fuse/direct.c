/* O_DIRECT in parallel requests, and direct writers beside each other; matrix F84, F85, F95, F131. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"

TestSuite(fuse_direct, .timeout = 20);

#define PAGES 3

static struct daemon *start(void)
{
	struct daemon_config config = {.flags = FUSE_ASYNC_DIO | FUSE_BIG_WRITES,
				       .max_write = 4096,
				       .options = "max_read=4096"};
	struct daemon *d = daemon_start(&config);

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	return d;
}

static struct file *open_file(struct daemon *d, uint64_t size, unsigned flags, uint32_t open_flags)
{
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, open_flags);
	cr_assert_eq(client_open(d, "/f", flags, &file), 0);
	return file;
}

static void finish(struct daemon *d, struct file *file)
{
	client_close(d, file);
	DAEMON_STOP(d);
}

/* One call of a thread of its own. */
struct call {
	struct client_thread thread;
	struct file *file;
	char buf[PAGES * 4096];
	size_t len;
	int64_t pos;
};

static long do_read(struct daemon *d, void *arg)
{
	struct call *call = arg;

	return client_pread(d, call->file, call->buf, call->len, call->pos);
}

static long do_write(struct daemon *d, void *arg)
{
	struct call *call = arg;

	return client_pwrite(d, call->file, call->buf, call->len, call->pos);
}

/* F85, B15: all READs are there before one is answered, whatever their order then is. */
Test(fuse_direct, o_direct_reads_in_parallel)
{
	struct daemon *d = start();
	struct file *file = open_file(d, PAGES * 4096, O_RDONLY | O_DIRECT, 0);
	struct call *call = calloc(1, sizeof(*call));
	struct step *reads[PAGES];
	char page[4096];

	for (int i = 0; i < PAGES; i++)
		reads[i] = expect_silence(d, FUSE_READ, 5);
	*call = (struct call){.file = file, .len = PAGES * 4096};
	client_spawn(&call->thread, d, do_read, call);
	cr_assert(daemon_drain(d));
	for (int i = PAGES - 1; i >= 0; i--) {
		const struct fuse_read_in *in = step_in(reads[i], struct fuse_read_in);

		cr_assert_eq(in->offset, (uint64_t)i * 4096);
		cr_assert_eq(in->size, 4096);
		cr_assert_eq(in->read_flags, FUSE_READ_LOCKOWNER);
		memset(page, 'a' + i, sizeof(page));
		daemon_answer(d, reads[i]->in.unique, 0, page, sizeof(page));
	}
	cr_assert_eq(client_join(&call->thread), PAGES * 4096);
	for (int i = 0; i < PAGES * 4096; i++)
		cr_assert_eq(call->buf[i], 'a' + i / 4096);
	free(call);
	finish(d, file);
}

/* F85: bytes up to the first short fragment; an error of any is that of the call. */
Test(fuse_direct, o_direct_read_ends_at_the_first_short_fragment)
{
	struct daemon *d = start();
	struct file *file = open_file(d, PAGES * 4096, O_RDONLY | O_DIRECT, 0);
	char *data = calloc(1, 4096), *buf = malloc(PAGES * 4096);

	expect_reply(d, FUSE_READ, 5, data, 4096);
	expect_reply(d, FUSE_READ, 5, data, 100);
	expect_reply(d, FUSE_READ, 5, data, 4096);
	cr_assert_eq(client_pread(d, file, buf, PAGES * 4096, 0), 4196);
	expect_reply(d, FUSE_READ, 5, data, 4096);
	expect_error(d, FUSE_READ, 5, EPERM);
	expect_reply(d, FUSE_READ, 5, data, 4096);
	cr_assert_eq(client_pread(d, file, buf, PAGES * 4096, 0), -EPERM);
	free(data);
	free(buf);
	finish(d, file);
}

/* F85: up to max_pages behind the end of the file may be asked for, as by Linux; no more is had. */
Test(fuse_direct, o_direct_reads_no_more_than_the_file)
{
	struct daemon *d = start();
	struct file *file = open_file(d, 4096 + 10, O_RDONLY | O_DIRECT, 0);
	char *data = calloc(1, 4096), *buf = malloc(PAGES * 4096);
	struct step *last;

	expect_reply(d, FUSE_READ, 5, data, 4096);
	last = expect_reply(d, FUSE_READ, 5, data, 10);
	expect_reply(d, FUSE_READ, 5, data, 0);
	cr_assert_eq(client_pread(d, file, buf, PAGES * 4096, 0), 4106);
	cr_assert(daemon_wait(d, last));
	cr_assert_eq(step_in(last, struct fuse_read_in)->size, 4096);
	cr_assert_eq(client_pread(d, file, buf, PAGES * 4096, 4106), 0);
	free(data);
	free(buf);
	finish(d, file);
}

/* F85: a killed reader leaves at once; the answers come later and hurt nobody. */
Test(fuse_direct, killed_reader_leaves_its_fragments_behind)
{
	struct daemon *d = start();
	struct file *file = open_file(d, PAGES * 4096, O_RDONLY | O_DIRECT, 0);
	struct call *call = calloc(1, sizeof(*call));
	struct step *reads[PAGES];
	char page[4096] = {0};

	for (int i = 0; i < PAGES; i++)
		reads[i] = expect_silence(d, FUSE_READ, 5);
	*call = (struct call){.file = file, .len = PAGES * 4096};
	client_spawn(&call->thread, d, do_read, call);
	cr_assert(daemon_drain(d));
	client_interrupt(&call->thread, WAITER_KILLED);
	cr_assert_eq(client_join(&call->thread), -EINTR);
	free(call);
	for (int i = 0; i < PAGES; i++)
		daemon_answer(d, reads[i]->in.unique, 0, page, sizeof(page));
	finish(d, file);
}

static struct step *expect_write(struct daemon *d, uint32_t size)
{
	struct fuse_write_out out = {.size = size};

	return expect_reply(d, FUSE_WRITE, 5, &out, sizeof(out));
}

/* F31, F85: security.capability goes first; a short fragment is EIO for all, and what was appended is cut off again. */
Test(fuse_direct, o_direct_short_write_is_eio_and_cut_back)
{
	struct daemon *d = start();
	struct file *file = open_file(d, 4096, O_RDWR | O_DIRECT, 0);
	char *buf = calloc(PAGES, 4096);
	struct step *cut;

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_write(d, 4096);
	expect_write(d, 4096);
	expect_write(d, 4096);
	cr_assert_eq(client_pwrite(d, file, buf, PAGES * 4096, 0), PAGES * 4096);
	cr_assert_eq(inode_size(file->inode), PAGES * 4096);
	expect_write(d, 4096);
	expect_write(d, 1);
	cut = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, PAGES * 4096, 100);
	cr_assert_eq(client_pwrite(d, file, buf, 8192, 2 * 4096), -EIO);
	cr_assert_eq(step_in(cut, struct fuse_setattr_in)->valid, FATTR_SIZE | FATTR_FH);
	cr_assert_eq(step_in(cut, struct fuse_setattr_in)->size, PAGES * 4096);
	cr_assert_eq(inode_size(file->inode), PAGES * 4096);
	free(buf);
	finish(d, file);
}

/* F95: within the file, and nobody has it cached: both WRITEs are under way. */
Test(fuse_direct, direct_writers_go_together)
{
	struct daemon *d = start();
	struct file *file = open_file(d, 8192, O_RDWR,
				      FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
	struct fuse_write_out out = {.size = 4096};
	struct call *calls = calloc(2, sizeof(*calls));
	struct step *writes[2];

	for (int i = 0; i < 2; i++)
		writes[i] = expect_silence(d, FUSE_WRITE, 5);
	for (int i = 0; i < 2; i++) {
		calls[i] = (struct call){.file = file, .len = 4096, .pos = i * 4096};
		client_spawn(&calls[i].thread, d, do_write, &calls[i]);
	}
	cr_assert(daemon_drain(d));
	for (int i = 0; i < 2; i++)
		daemon_answer(d, writes[i]->in.unique, 0, &out, sizeof(out));
	for (int i = 0; i < 2; i++)
		cr_assert_eq(client_join(&calls[i].thread), 4096);
	free(calls);
	finish(d, file);
}

struct opener {
	struct client_thread thread;
	struct file *file;
	atomic_bool opened;
};

static long do_open(struct daemon *d, void *arg)
{
	struct opener *opener = arg;
	int err = client_open(d, "/f", O_RDONLY, &opener->file);

	atomic_store(&opener->opened, true);
	return err;
}

/* F131: who opens it cached waits for the parallel writers. */
Test(fuse_direct, cached_open_waits_for_parallel_writers)
{
	struct daemon *d = start();
	struct file *file = open_file(d, 8192, O_RDWR,
				      FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
	struct fuse_write_out out = {.size = 4096};
	struct call *call = calloc(1, sizeof(*call));
	struct opener opener = {0};
	struct step *write = expect_silence(d, FUSE_WRITE, 5), *open;

	*call = (struct call){.file = file, .len = 4096};
	client_spawn(&call->thread, d, do_write, call);
	cr_assert(daemon_wait(d, write));
	open = expect_open(d, FUSE_OPEN, 5, 4, 0);
	client_spawn(&opener.thread, d, do_open, &opener);
	cr_assert(daemon_wait(d, open));
	cr_assert(!atomic_load(&opener.opened));
	daemon_answer(d, write->in.unique, 0, &out, sizeof(out));
	cr_assert_eq(client_join(&call->thread), 4096);
	cr_assert_eq(client_join(&opener.thread), 0);
	client_close(d, opener.file);
	free(call);
	finish(d, file);
}

static int writers_waiting(struct inode *inode)
{
	int waiting;

	fb_mutex_lock(&inode->lock.lock);
	waiting = inode->lock.writers_waiting;
	fb_mutex_unlock(&inode->lock.lock);
	return waiting;
}

/* O05: the flag counts for nothing where the daemon has not said DIRECT_IO. */
Test(fuse_direct, without_direct_io_writers_wait_for_each_other)
{
	struct daemon *d = start();
	struct file *file = open_file(d, 8192, O_RDWR | O_DIRECT, FOPEN_PARALLEL_DIRECT_WRITES);
	struct fuse_write_out out = {.size = 4096};
	struct call *calls = calloc(2, sizeof(*calls));
	struct step *first;

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	first = expect_silence(d, FUSE_WRITE, 5);
	for (int i = 0; i < 2; i++)
		calls[i] = (struct call){.file = file, .len = 4096, .pos = i * 4096};
	client_spawn(&calls[0].thread, d, do_write, &calls[0]);
	cr_assert(daemon_wait(d, first));
	client_spawn(&calls[1].thread, d, do_write, &calls[1]); /* a WRITE now would find no step */
	while (!writers_waiting(file->inode))
		sched_yield();
	expect_write(d, 4096);
	daemon_answer(d, first->in.unique, 0, &out, sizeof(out));
	for (int i = 0; i < 2; i++)
		cr_assert_eq(client_join(&calls[i].thread), 4096);
	free(calls);
	finish(d, file);
}

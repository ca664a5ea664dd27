/* Pipes: order, end of file, atomic writes, capacity, packets, SIGPIPE, readiness, tee. */
#include "kinds_support.h"

#include <linux/limits.h>
#include <sys/ioctl.h>

#include "vfs/file/pipe.h"
#include "vfs/inode.h"

TestSuite(pipe, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

static struct file *ends[2];

static void make(unsigned flags)
{
	cr_assert_eq(pipe_create(&test_ctx, flags, ends), 0);
}

static void drop(void)
{
	file_put(ends[0]);
	file_put(ends[1]);
}

Test(pipe, bytes_come_out_in_order_and_then_end_of_file)
{
	char buf[16] = "";

	make(0);
	cr_assert_eq(puts_to(ends[1], "hello "), 6);
	cr_assert_eq(puts_to(ends[1], "world"), 5);
	cr_assert_eq(get(ends[0], buf, 3), 3);
	cr_assert_eq(get(ends[0], buf + 3, sizeof(buf) - 3), 8);
	cr_assert_str_eq(buf, "hello world");
	file_put(ends[1]);
	cr_assert_eq(get(ends[0], buf, 1), 0);
	file_put(ends[0]);
}

Test(pipe, both_ends_share_one_inode)
{
	make(0);
	cr_assert_eq(ends[0]->inode, ends[1]->inode);
	drop();
}

Test(pipe, wrong_end_is_ebadf_and_position_is_espipe)
{
	char c;

	make(0);
	cr_assert_eq(put(ends[0], "x", 1), -EBADF);
	cr_assert_eq(get(ends[1], &c, 1), -EBADF);
	cr_assert_eq(vfs_llseek(&test_ctx, ends[0], 0, SEEK_CUR), -ESPIPE);
	drop();
}

Test(pipe, nonblocking_read_of_an_empty_pipe_is_eagain)
{
	char c;

	make(O_NONBLOCK);
	cr_assert_eq(get(ends[0], &c, 1), -EAGAIN);
	drop();
}

Test(pipe, capacity_is_exact_and_small_writes_are_atomic)
{
	static char big[65536 + 10], buf[65536];

	make(O_NONBLOCK);
	cr_assert_eq(put(ends[1], big, sizeof(big)), 65536); /* a large write may be cut */
	cr_assert_eq(put(ends[1], big, 1), -EAGAIN);
	cr_assert_eq(get(ends[0], buf, 100), 100);
	cr_assert_eq(put(ends[1], big, 4096), -EAGAIN); /* PIPE_BUF: all or nothing */
	cr_assert_eq(put(ends[1], big, 100), 100);
	cr_assert_eq(get(ends[0], buf, sizeof(buf)), 65536);
	drop();
}

Test(pipe, ring_keeps_data_when_it_grows_and_wraps)
{
	static unsigned char out[60000], in[60000];
	size_t wrote = 0, read = 0, n = 1;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)(i * 7 + i / 251);
	make(O_NONBLOCK);
	while (read < sizeof(in)) {
		if (wrote < sizeof(out)) {
			size_t part =
				n % 5000 < sizeof(out) - wrote ? n % 5000 : sizeof(out) - wrote;

			cr_assert_eq(put(ends[1], out + wrote, part), (ssize_t)part);
			wrote += part;
		}
		if (read < wrote) {
			ssize_t got = get(ends[0], in + read, n % 3000 + 1);

			cr_assert_gt(got, 0);
			read += (size_t)got;
		}
		n = n * 13 + 7;
	}
	cr_assert_arr_eq(in, out, sizeof(in));
	drop();
}

Test(pipe, write_without_reader_is_epipe_and_one_sigpipe)
{
	make(0);
	file_put(ends[0]);
	atomic_store(&test_signals, 0);
	cr_assert_eq(puts_to(ends[1], "x"), -EPIPE);
	cr_assert_eq(atomic_load(&test_signals), 1);
	cr_assert(poll_now(ends[1]) & POLLERR);
	file_put(ends[1]);
}

Test(pipe, write_wakes_a_sleeping_reader)
{
	struct blocked reader = {.call = blocked_read, .len = 100};

	make(0);
	reader.file = ends[0];
	blocked_start(&reader);
	cr_assert_eq(puts_to(ends[1], "wake"), 4);
	cr_assert_eq(blocked_join(&reader), 4);
	cr_assert_arr_eq(reader.buf, "wake", 4);
	drop();
}

Test(pipe, last_writer_leaving_wakes_a_sleeping_reader)
{
	struct blocked reader = {.call = blocked_read, .len = 100, .ret = -1};

	make(0);
	reader.file = ends[0];
	blocked_start(&reader);
	file_put(ends[1]);
	cr_assert_eq(blocked_join(&reader), 0);
	file_put(ends[0]);
}

Test(pipe, signal_ends_a_sleeping_read_with_a_restart_code)
{
	struct blocked reader = {.call = blocked_read, .len = 100};

	make(0);
	reader.file = ends[0];
	blocked_start(&reader);
	blocked_interrupt(&reader);
	cr_assert_eq(blocked_join(&reader), -ERESTARTSYS);
	drop();
}

static ssize_t write_big(struct blocked *self)
{
	static char big[200000];

	return put(self->file, big, sizeof(big));
}

Test(pipe, blocking_write_larger_than_the_pipe_is_taken_in_parts)
{
	struct blocked writer = {.call = write_big};
	static char buf[70000];
	size_t total = 0;

	make(0);
	writer.file = ends[1];
	blocked_start(&writer);
	while (total < 200000)
		total += (size_t)get(ends[0], buf, sizeof(buf));
	cr_assert_eq(blocked_join(&writer), 200000);
	cr_assert_eq(total, 200000);
	drop();
}

Test(pipe, interrupted_write_returns_what_was_written)
{
	struct blocked writer = {.call = write_big};

	make(0);
	writer.file = ends[1];
	blocked_start(&writer);
	while (poll_now(ends[1]) & POLLOUT)
		sched_yield();
	blocked_interrupt(&writer);
	cr_assert_eq(blocked_join(&writer), 65536);
	drop();
}

Test(pipe, every_sleeping_reader_gets_its_byte)
{
	struct blocked readers[4] = {0};

	make(0);
	for (int i = 0; i < 4; i++) {
		readers[i].call = blocked_read;
		readers[i].file = ends[0];
		readers[i].len = 1;
		blocked_start(&readers[i]);
	}
	cr_assert_eq(puts_to(ends[1], "abcd"), 4); /* one wake-up: each hands it on */
	for (int i = 0; i < 4; i++)
		cr_assert_eq(blocked_join(&readers[i]), 1);
	drop();
}

Test(pipe, poll_tells_data_room_and_hang_up)
{
	static char big[65536];

	make(O_NONBLOCK);
	cr_assert_eq(poll_now(ends[0]), 0);
	cr_assert_eq(poll_now(ends[1]), POLLOUT | POLLWRNORM);
	put(ends[1], big, 65536 - 4095);
	cr_assert_eq(poll_now(ends[0]), POLLIN | POLLRDNORM);
	cr_assert_eq(poll_now(ends[1]), 0, "no room for PIPE_BUF");
	file_put(ends[1]);
	cr_assert_eq(poll_now(ends[0]), POLLIN | POLLRDNORM | POLLHUP);
	file_put(ends[0]);
}

Test(pipe, fionread_counts_bytes)
{
	int n = -1;

	make(0);
	puts_to(ends[1], "12345");
	cr_assert_eq(vfs_ioctl(&test_ctx, ends[0], FIONREAD, (uintptr_t)&n), 0);
	cr_assert_eq(n, 5);
	drop();
}

Test(pipe, packets_keep_their_borders_and_lose_what_does_not_fit)
{
	char buf[16];

	make(O_DIRECT);
	puts_to(ends[1], "first");
	puts_to(ends[1], "second");
	cr_assert_eq(get(ends[0], buf, sizeof(buf)), 5);
	cr_assert_eq(get(ends[0], buf, 3), 3);
	cr_assert_arr_eq(buf, "sec", 3);
	puts_to(ends[1], "third");
	cr_assert_eq(get(ends[0], buf, sizeof(buf)), 5);
	cr_assert_arr_eq(buf, "third", 5);
	drop();
}

Test(pipe, size_is_rounded_up_limited_and_refused_when_too_small)
{
	static char big[10000];

	make(O_NONBLOCK);
	cr_assert_eq(pipe_size(ends[0]), 65536);
	cr_assert_eq(pipe_set_size(&test_ctx, ends[0], 5000), 8192);
	cr_assert_eq(put(ends[1], big, sizeof(big)), 8192);
	cr_assert_eq(pipe_set_size(&test_ctx, ends[1], 4096), -EBUSY);
	cr_assert_eq(pipe_set_size(&test_ctx, ends[1], (1u << 20) + 1), -EPERM);
	cr_assert_eq(pipe_set_size(&test_ctx, ends[1], 1u << 31), -EINVAL);
	cr_assert_eq(pipe_set_size(&test_ctx, ends[1], 1u << 20), 1 << 20);
	drop();
}

Test(pipe, tee_copies_without_taking)
{
	struct file *other[2];
	char buf[16];

	make(O_NONBLOCK);
	cr_assert_eq(pipe_create(&test_ctx, O_NONBLOCK, other), 0);
	cr_assert_eq(pipe_tee(&test_ctx, ends[0], other[1], 10, 0), -EAGAIN);
	puts_to(ends[1], "twice");
	cr_assert_eq(pipe_tee(&test_ctx, ends[0], other[1], 10, 0), 5);
	cr_assert_eq(get(ends[0], buf, sizeof(buf)), 5);
	cr_assert_eq(get(other[0], buf, sizeof(buf)), 5);
	cr_assert_arr_eq(buf, "twice", 5);
	cr_assert_eq(pipe_tee(&test_ctx, ends[0], ends[1], 10, 0), -EINVAL);
	file_put(other[0]);
	file_put(other[1]);
	drop();
}

/* ---- FIFOs: another name for the same inode opens by the rules of fifo(7) ---- */

static int fifo_open(unsigned flags, struct file **ret_file)
{
	int err = file_new(&test_ctx, &ends[0]->path, flags, ret_file);

	if (err)
		return err;
	(*ret_file)->op = &fifo_ops;
	err = fifo_ops.open(&test_ctx, (*ret_file)->inode, *ret_file);
	if (err)
		file_put(*ret_file);
	else
		(*ret_file)->fmode |= FMODE_OPENED;
	return err;
}

/* An inode of type FIFO that has no pipe yet. */
static void make_fifo(void)
{
	cr_assert_eq(
		file_new_anon(&test_ctx, "fifo", S_IFIFO | 0600, &fifo_ops, NULL, O_PATH, &ends[0]),
		0);
	ends[0]->fmode &= ~(unsigned)FMODE_OPENED;
}

static ssize_t open_reader(struct blocked *self)
{
	return fifo_open(O_RDONLY, (struct file **)self->arg);
}

Test(pipe, fifo_writer_without_reader_is_enxio_when_nonblocking)
{
	struct file *file, *reader;
	char c;

	make_fifo();
	cr_assert_eq(fifo_open(O_WRONLY | O_NONBLOCK, &file), -ENXIO);
	cr_assert_eq(fifo_open(O_RDONLY | O_NONBLOCK, &reader), 0);
	cr_assert_eq(poll_now(reader), 0, "no hang-up before a first writer");
	cr_assert_eq(get(reader, &c, 1), 0);
	cr_assert_eq(fifo_open(O_WRONLY | O_NONBLOCK, &file), 0);
	file_put(file);
	cr_assert_eq(poll_now(reader), POLLHUP);
	file_put(reader);
	file_put(ends[0]);
}

Test(pipe, fifo_open_waits_for_the_other_end)
{
	struct file *reader = NULL, *writer;
	struct blocked opener = {.call = open_reader, .arg = &reader};
	char c;

	make_fifo();
	blocked_start(&opener);
	cr_assert_eq(fifo_open(O_WRONLY, &writer), 0);
	cr_assert_eq(blocked_join(&opener), 0);
	cr_assert_eq(puts_to(writer, "x"), 1);
	cr_assert_eq(get(reader, &c, 1), 1);
	file_put(reader);
	file_put(writer);
	file_put(ends[0]);
}

Test(pipe, fifo_open_can_be_interrupted_and_leaves_nothing)
{
	struct file *reader = NULL, *writer;
	struct blocked opener = {.call = open_reader, .arg = &reader};

	make_fifo();
	blocked_start(&opener);
	blocked_interrupt(&opener);
	cr_assert_eq(blocked_join(&opener), -ERESTARTSYS);
	cr_assert_null(ends[0]->inode->pipe);
	cr_assert_eq(fifo_open(O_WRONLY | O_NONBLOCK, &writer), -ENXIO);
	file_put(ends[0]);
}

Test(pipe, fifo_opened_for_both_does_not_wait)
{
	struct file *file;
	char c;

	make_fifo();
	cr_assert_eq(fifo_open(O_RDWR, &file), 0);
	cr_assert_eq(puts_to(file, "x"), 1);
	cr_assert_eq(get(file, &c, 1), 1);
	file_put(file);
	file_put(ends[0]);
}

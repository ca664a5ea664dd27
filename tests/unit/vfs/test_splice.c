/* copy_file_range, sendfile and splice (vfs/file.h) between tmpfs files, pipes and streams. */
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/vfs/files_fixture.h"
#include "vfs/file/pipe.h"

#define NONBLOCK 2u /* SPLICE_F_NONBLOCK */

static struct file *a, *b, *pipe_ends[2];

static void setup(void)
{
	fixture_start("size=8m");
	a = must_open("/a", O_CREAT | O_RDWR);
	b = must_open("/b", O_CREAT | O_RDWR);
	cr_assert_eq(pipe_create(&root_ctx, 0, pipe_ends), 0);
}

static void teardown(void)
{
	file_put(a);
	file_put(b);
	file_put(pipe_ends[0]);
	file_put(pipe_ends[1]);
	fixture_stop();
}

TestSuite(splice, .init = setup, .fini = teardown, .timeout = 120);

static ssize_t move(struct file *in, int64_t *pos_in, struct file *out, int64_t *pos_out,
		    size_t len, unsigned flags)
{
	return vfs_splice(&root_ctx, in, pos_in, out, pos_out, len, flags);
}

static void expect_content(struct file *file, int64_t pos, const char *want)
{
	char buf[64] = "";

	cr_assert_eq(kernel_read(&root_ctx, file, buf, strlen(want), pos), (ssize_t)strlen(want));
	cr_assert_str_eq(buf, want);
}

/* `len` bytes of a pattern into a file, position back at 0. */
static char *fill(struct file *file, size_t len)
{
	char *data = malloc(len);

	for (size_t n = 0; n < len; n++)
		data[n] = (char)(n * 31 >> 5);
	cr_assert_eq(kernel_write(&root_ctx, file, data, len, 0), (ssize_t)len);
	return data;
}

Test(splice, copy_file_range_moves_both_positions)
{
	cr_assert_eq(put_bytes(a, "0123456789", 10), 10);
	cr_assert_eq(vfs_llseek(&root_ctx, a, 2, 0), 2);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, NULL, b, NULL, 5, 0), 5);
	cr_assert_eq(a->pos, 7);
	cr_assert_eq(b->pos, 5);
	expect_content(b, 0, "23456");
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, NULL, b, NULL, 100, 0), 3, "to the end");
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, NULL, b, NULL, 100, 0), 0);
}

Test(splice, copy_file_range_takes_given_positions)
{
	int64_t from = 1, to = 100;

	cr_assert_eq(put_bytes(a, "abcdef", 6), 6);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &from, b, &to, 3, 0), 3);
	cr_assert_eq(from, 4);
	cr_assert_eq(to, 103);
	cr_assert_eq(b->pos, 0);
	expect_content(b, 100, "bcd");
}

Test(splice, copy_file_range_of_megabytes_is_exact)
{
	size_t len = 3000001;
	char *data = fill(a, len), *back = malloc(len);

	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, NULL, b, NULL, len, 0), (ssize_t)len);
	cr_assert_eq(kernel_read(&root_ctx, b, back, len, 0), (ssize_t)len);
	cr_assert(memcmp(data, back, len) == 0);
	free(data);
	free(back);
}

Test(splice, copy_file_range_rules)
{
	struct file *append = must_open("/b", O_WRONLY | O_APPEND);
	struct file *ro = must_open("/b", O_RDONLY);
	int64_t p = 0, q = 3, huge = INT64_MAX;

	cr_assert_eq(put_bytes(a, "abcdef", 6), 6);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, NULL, 3, 1), -EINVAL);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, append, NULL, 3, 0), -EBADF);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, ro, NULL, 3, 0), -EBADF);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, pipe_ends[0], NULL, b, NULL, 3, 0), -EINVAL);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, a, &q, 4, 0), -EINVAL, "overlap");
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, a, &q, 3, 0), 3);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &huge, b, NULL, 3, 0), 0, "behind its end");
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, &q, SIZE_MAX, 0), -EOVERFLOW);
	file_put(append);
	file_put(ro);
}

Test(splice, copy_file_range_obeys_the_size_limit)
{
	int64_t p = 0, q = 0;

	cr_assert_eq(put_bytes(a, "abcdef", 6), 6);
	root_ctx.fsize_limit = 4;
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, &q, 6, 0), 4);
	cr_assert_eq(last_signal, 0);
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, &q, 6, 0), -EFBIG);
	cr_assert_eq(last_signal, SIGXFSZ);
}

Test(splice, copy_onto_a_full_file_system_is_short)
{
	int64_t p = 0, q = 0;
	char *data = fill(a, 5 << 20);

	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, &q, 5 << 20, 0), 3 << 20);
	cr_assert_eq(p, 3 << 20, "what was not written was not consumed");
	cr_assert_eq(vfs_copy_file_range(&root_ctx, a, &p, b, &q, 1, 0), -ENOSPC);
	free(data);
}

Test(splice, sendfile_goes_on_to_the_end)
{
	size_t len = 1 << 20;
	char *data = fill(a, len), *back = malloc(len);

	cr_assert_eq(move(a, NULL, b, NULL, 2 << 20, 0), (ssize_t)len);
	cr_assert_eq(a->pos, (int64_t)len);
	cr_assert_eq(b->pos, (int64_t)len);
	cr_assert_eq(kernel_read(&root_ctx, b, back, len, 0), (ssize_t)len);
	cr_assert(memcmp(data, back, len) == 0);
	cr_assert_eq(move(a, NULL, b, NULL, 1, 0), 0, "end of file");
	free(data);
	free(back);
}

Test(splice, file_to_pipe_fills_the_pipe_and_no_more)
{
	char *data = fill(a, 1 << 20);
	int64_t pos = 0;

	cr_assert_eq(move(a, &pos, pipe_ends[1], NULL, 1 << 20, 0), pipe_size(pipe_ends[1]));
	cr_assert_eq(pos, pipe_size(pipe_ends[1]));
	cr_assert_eq(move(a, &pos, pipe_ends[1], NULL, 1, NONBLOCK), -EAGAIN);
	cr_assert_eq(pos, pipe_size(pipe_ends[1]));
	free(data);
}

Test(splice, pipe_to_file_takes_what_is_there)
{
	int64_t pos = 10;

	cr_assert_eq(put_bytes(pipe_ends[1], "through", 7), 7);
	cr_assert_eq(move(pipe_ends[0], NULL, b, &pos, 100, 0), 7);
	cr_assert_eq(pos, 17);
	expect_content(b, 10, "through");
	cr_assert_eq(move(pipe_ends[0], NULL, b, &pos, 100, NONBLOCK), -EAGAIN);
	file_put(pipe_ends[1]);
	pipe_ends[1] = NULL;
	cr_assert_eq(move(pipe_ends[0], NULL, b, &pos, 100, 0), 0, "no writer: the end");
}

Test(splice, pipe_to_pipe)
{
	struct file *second[2];
	char buf[8];

	cr_assert_eq(pipe_create(&root_ctx, 0, second), 0);
	cr_assert_eq(put_bytes(pipe_ends[1], "abcdef", 6), 6);
	cr_assert_eq(move(pipe_ends[0], NULL, second[1], NULL, 4, 0), 4);
	cr_assert_eq(get_bytes(second[0], buf, 8), 4);
	cr_assert(memcmp(buf, "abcd", 4) == 0);
	cr_assert_eq(get_bytes(pipe_ends[0], buf, 8), 2);
	file_put(second[0]);
	file_put(second[1]);
}

Test(splice, wrong_ends_are_refused)
{
	struct file *append = must_open("/b", O_WRONLY | O_APPEND);
	int64_t pos = 0;

	cr_assert_eq(move(pipe_ends[1], NULL, b, NULL, 1, 0), -EBADF);
	cr_assert_eq(move(a, NULL, pipe_ends[0], NULL, 1, 0), -EBADF);
	cr_assert_eq(move(pipe_ends[0], &pos, b, NULL, 1, 0), -ESPIPE);
	cr_assert_eq(move(a, NULL, pipe_ends[1], &pos, 1, 0), -ESPIPE);
	cr_assert_eq(move(pipe_ends[0], NULL, append, NULL, 1, 0), -EINVAL);
	cr_assert_eq(move(a, NULL, b, NULL, 0, 0), 0);
	cr_assert_eq(move(pipe_ends[0], NULL, pipe_ends[1], NULL, 1, 0), -EINVAL, "one pipe");
	file_put(append);
}

/* ---- a stream with messages, as /dev/fuse is ---- */

static size_t message_len, largest_read;

static ssize_t message_read(const struct op_ctx *c, struct file *file, struct io_iter *to,
			    int64_t *pos, int rwf)
{
	largest_read = to->count;
	if (to->count < message_len)
		return -EINVAL;
	return (ssize_t)iter_zero(to, message_len);
}

static const struct file_ops message_ops = { .read_iter = message_read, .no_position = true };

Test(splice, device_message_goes_into_a_pipe_whole)
{
	struct file *dev;

	message_len = 1052672; /* what a FUSE daemon offers for max_write of 1 MiB */
	cr_assert_geq(pipe_set_size(&root_ctx, pipe_ends[1], 2 << 20), 2 << 20);
	cr_assert_eq(
		file_new_anon(&root_ctx, "dev", S_IFCHR | 0600, &message_ops, NULL, O_RDWR, &dev),
		0);
	cr_assert_eq(move(dev, NULL, pipe_ends[1], NULL, message_len, 0), (ssize_t)message_len);
	cr_assert_eq(largest_read, message_len);
	file_put(dev);
}

/* ---- a full target does not lose bytes ---- */

static char *slow_data;
static size_t slow_len, slow_got;

static void *slow_reader(void *arg)
{
	while (slow_got < slow_len) {
		ssize_t n = get_bytes(pipe_ends[0], slow_data + slow_got,
				      slow_len - slow_got < 1000 ? slow_len - slow_got : 1000);

		if (n <= 0)
			break;
		slow_got += (size_t)n;
	}
	return NULL;
}

Test(splice, many_splices_through_a_full_pipe_lose_nothing)
{
	size_t len = 1 << 20, done = 0;
	char *data = fill(a, len);
	pthread_t thread;

	slow_data = malloc(len);
	slow_len = len;
	slow_got = 0;
	cr_assert_eq(pthread_create(&thread, NULL, slow_reader, NULL), 0);
	while (done < len) {
		ssize_t n = move(a, NULL, pipe_ends[1], NULL, len - done, 0);

		cr_assert_gt(n, 0);
		done += (size_t)n;
	}
	pthread_join(thread, NULL);
	cr_assert_eq(slow_got, len);
	cr_assert(memcmp(data, slow_data, len) == 0);
	free(data);
	free(slow_data);
}

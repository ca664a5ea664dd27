/* eventfd: counter and semaphore, limits, waiting. */
#include "kinds_support.h"

#include <sys/eventfd.h>

#include "vfs/file/eventfd.h"
#include "vfs/strbuf.h"

TestSuite(eventfd, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

static struct file *make(unsigned initval, unsigned flags)
{
	struct file *file;

	cr_assert_eq(eventfd_new(&test_ctx, initval, flags, &file), 0);
	return file;
}

static uint64_t take(struct file *file)
{
	uint64_t value = 0;

	cr_assert_eq(get(file, &value, sizeof(value)), 8);
	return value;
}

static ssize_t add(struct file *file, uint64_t value)
{
	return put(file, &value, sizeof(value));
}

Test(eventfd, a_read_takes_the_whole_count)
{
	struct file *file = make(2, EFD_NONBLOCK);
	uint64_t value;

	cr_assert_eq(add(file, 5), 8);
	cr_assert_eq(take(file), 7);
	cr_assert_eq(get(file, &value, 8), -EAGAIN);
	file_put(file);
}

Test(eventfd, a_semaphore_gives_one_at_a_time)
{
	struct file *file = make(2, EFD_NONBLOCK | EFD_SEMAPHORE);
	uint64_t value;

	cr_assert_eq(take(file), 1);
	cr_assert_eq(take(file), 1);
	cr_assert_eq(get(file, &value, 8), -EAGAIN);
	file_put(file);
}

Test(eventfd, bad_sizes_flags_and_values_are_refused)
{
	struct file *file = make(0, EFD_NONBLOCK), *none;
	uint64_t value;

	cr_assert_eq(get(file, &value, 7), -EINVAL);
	cr_assert_eq(put(file, &value, 7), -EINVAL);
	cr_assert_eq(add(file, UINT64_MAX), -EINVAL);
	cr_assert_eq(add(file, UINT64_MAX - 1), 8);
	cr_assert_eq(poll_now(file), POLLIN);
	cr_assert_eq(add(file, 1), -EAGAIN);
	cr_assert_eq(eventfd_new(&test_ctx, 0, 0x100, &none), -EINVAL);
	file_put(file);
}

static ssize_t blocked_add(struct blocked *self)
{
	return add(self->file, 5);
}

Test(eventfd, reader_and_writer_wait_for_each_other)
{
	struct blocked reader = {.call = blocked_read, .len = 8, .file = make(0, 0)};
	struct blocked writer = {.call = blocked_add, .file = reader.file};

	blocked_start(&reader);
	cr_assert_eq(add(reader.file, 3), 8);
	cr_assert_eq(blocked_join(&reader), 8);
	cr_assert_eq(add(reader.file, UINT64_MAX - 2), 8);
	blocked_start(&writer);
	cr_assert_eq(take(reader.file), UINT64_MAX - 2);
	cr_assert_eq(blocked_join(&writer), 8);
	cr_assert_eq(take(reader.file), 5);
	file_put(reader.file);
}

Test(eventfd, a_write_to_a_semaphore_wakes_as_many_readers)
{
	struct file *file = make(0, EFD_SEMAPHORE);
	struct blocked readers[3] = {0};

	for (int i = 0; i < 3; i++) {
		readers[i].call = blocked_read;
		readers[i].file = file;
		readers[i].len = 8;
		blocked_start(&readers[i]);
	}
	add(file, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(blocked_join(&readers[i]), 8);
	file_put(file);
}

Test(eventfd, fdinfo_shows_the_count)
{
	struct file *file = make(26, 0);
	struct strbuf out = STRBUF_INIT;

	file->op->show_fdinfo(file, &out);
	cr_assert_not_null(strstr(out.buf, "eventfd-count:               1a\n"));
	strbuf_free(&out);
	file_put(file);
}

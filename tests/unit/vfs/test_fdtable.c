/* vfs/fdtable.h: numbers, dup2, close_range, what close does and when. */
#include "tests/unit/vfs/anon_fixture.h"

static int flushed, released, flush_result;
static const struct fdtable *flush_owner;

static int count_flush(const struct op_ctx *c, struct file *file)
{
	flushed++;
	flush_owner = c->files;
	return flush_result;
}

static void count_release(const struct op_ctx *c, struct file *file)
{
	released++;
}

static const struct file_ops counting_ops = { .flush = count_flush, .release = count_release };

static void setup(void)
{
	flushed = released = flush_result = 0;
	caller_start();
}

TestSuite(fdtable, .init = setup, .fini = caller_stop, .timeout = 120);

static struct file *fresh(void)
{
	return anon(&counting_ops, NULL, O_RDWR, S_IFREG | 0600);
}

static int add(void)
{
	return fdtable_install(ctx.files, fresh(), 0, 1024, false);
}

Test(fdtable, lowest_free_number_is_taken)
{
	for (int n = 0; n < 200; n++)
		cr_assert_eq(add(), n);
	cr_assert_eq(fdtable_close(&ctx, ctx.files, 130, NULL), 0);
	cr_assert_eq(fdtable_close(&ctx, ctx.files, 63, NULL), 0);
	cr_assert_eq(fdtable_close(&ctx, ctx.files, 64, NULL), 0);
	cr_assert_eq(add(), 63);
	cr_assert_eq(add(), 64);
	cr_assert_eq(add(), 130);
	cr_assert_eq(add(), 200);
}

Test(fdtable, minimum_and_limit_are_kept)
{
	struct file *file = fresh();

	cr_assert_eq(fdtable_install(ctx.files, file_get(file), 5, 1024, false), 5);
	cr_assert_eq(fdtable_install(ctx.files, file_get(file), 5, 1024, false), 6);
	cr_assert_eq(fdtable_install(ctx.files, file, 5, 7, false), -EMFILE);
	cr_assert_eq(fdtable_install(ctx.files, file, 7, 7, false), -EINVAL);
	cr_assert_eq(fdtable_install(ctx.files, file, -1, 7, false), -EINVAL);
	cr_assert_eq(fdtable_install(ctx.files, file, 0, 0, false), -EMFILE);
	file_put(file);
}

Test(fdtable, close_flushes_with_the_table_as_owner)
{
	struct fdtable *table = ctx.files;
	int fd = add();

	ctx.files = NULL; /* a dying task may have let go of it already */
	flush_result = -EIO;
	cr_assert_eq(fdtable_close(&ctx, table, fd, NULL), -EIO);
	cr_assert_eq(flushed, 1);
	cr_assert_eq(flush_owner, table);
	cr_assert_eq(released, 1);
	cr_assert_eq(fdtable_close(&ctx, table, fd, NULL), -EBADF);
	ctx.files = table;
}

Test(fdtable, duplicate_is_released_once_and_flushed_twice)
{
	struct file *file = fresh();
	int a = fdtable_install(ctx.files, file_get(file), 0, 10, false);
	int b = fdtable_install(ctx.files, file, 0, 10, true);

	cr_assert_eq(fdtable_get_cloexec(ctx.files, a), 0);
	cr_assert_eq(fdtable_get_cloexec(ctx.files, b), 1);
	fdtable_close(&ctx, ctx.files, a, NULL);
	cr_assert_eq(released, 0);
	fdtable_close(&ctx, ctx.files, b, NULL);
	cr_assert_eq(released, 1);
	cr_assert_eq(flushed, 2);
}

Test(fdtable, replace_closes_what_stood_there)
{
	int fd = add();
	struct file *file = fresh();

	cr_assert_eq(fdtable_replace(&ctx, ctx.files, fd, file, true, 1024), fd);
	cr_assert_eq(released, 1);
	cr_assert_eq(fdtable_get_cloexec(ctx.files, fd), 1);
	cr_assert_eq(fdtable_replace(&ctx, ctx.files, 100, file_get(file), false, 1024), 100);
	cr_assert_eq(fdtable_replace(&ctx, ctx.files, 1024, file, false, 1024), -EBADF);
	cr_assert_eq(fdtable_replace(&ctx, ctx.files, -1, file, false, 1024), -EBADF);
}

Test(fdtable, reserved_number_is_invisible_until_filled)
{
	int fd = fdtable_reserve(ctx.files, 0, 10, true);
	struct file *file = fresh();

	cr_assert_eq(fd, 0);
	cr_assert_null(fdtable_file(ctx.files, fd));
	cr_assert_eq(fdtable_close(&ctx, ctx.files, fd, NULL), -EBADF);
	cr_assert_eq(fdtable_replace(&ctx, ctx.files, fd, file, false, 10), -EBUSY);
	cr_assert_eq(add(), 1);
	fdtable_fill(ctx.files, fd, file);
	cr_assert_eq(fdtable_get_cloexec(ctx.files, fd), 1);
	cr_assert_eq(fdtable_reserve(ctx.files, 0, 10, false), 2);
	fdtable_cancel(ctx.files, 2);
	cr_assert_eq(add(), 2);
}

Test(fdtable, copy_shares_files_and_not_numbers)
{
	int a = add();
	struct fdtable *child;

	cr_assert_eq(fdtable_reserve(ctx.files, 0, 10, false), 1);
	fdtable_set_cloexec(ctx.files, a, true);
	child = fdtable_copy(ctx.files);
	cr_assert_eq(fdtable_get_cloexec(child, a), 1);
	cr_assert_eq(fdtable_install(child, fresh(), 0, 10, false), 1, "reservations stay behind");
	fdtable_close(&ctx, ctx.files, a, NULL);
	cr_assert_eq(released, 0);
	fdtable_put(&ctx, child);
	cr_assert_eq(released, 2);
	fdtable_cancel(ctx.files, 1);
}

Test(fdtable, close_range_closes_or_marks)
{
	for (int n = 0; n < 10; n++)
		add();
	cr_assert_eq(fdtable_close_range(&ctx, ctx.files, 3, 5, 4 /* CLOEXEC */), 0);
	cr_assert_eq(released, 0);
	cr_assert_eq(fdtable_get_cloexec(ctx.files, 3) + fdtable_get_cloexec(ctx.files, 5), 2);
	cr_assert_eq(fdtable_get_cloexec(ctx.files, 6), 0);
	cr_assert_eq(fdtable_close_range(&ctx, ctx.files, 8, UINT32_MAX, 0), 0);
	cr_assert_eq(released, 2);
	cr_assert_eq(fdtable_close_range(&ctx, ctx.files, 5, 4, 0), -EINVAL);
	cr_assert_eq(fdtable_close_range(&ctx, ctx.files, 0, 4, 1), -EINVAL);
	fdtable_close_on_exec(&ctx, ctx.files);
	cr_assert_eq(released, 5);
	cr_assert_eq(fdtable_next(ctx.files, 3), 6);
	cr_assert_eq(fdtable_next(ctx.files, 8), -1);
}

Test(fdtable, path_descriptors_are_for_raw_callers_only)
{
	int fd = fdtable_install(ctx.files, anon(&counting_ops, NULL, O_PATH, S_IFREG), 0, 10,
				 false);
	struct file *file = fdtable_file_raw(ctx.files, fd);

	cr_assert_null(fdtable_file(ctx.files, fd));
	cr_assert_not_null(file);
	file_put(file);
	cr_assert_null(fdtable_file_raw(ctx.files, 5000));
	cr_assert_null(fdtable_file_raw(ctx.files, -1));
}

Test(fdtable, planted_mark_goes_stale_with_its_file)
{
	int fd = add();
	struct file *file = fdtable_file(ctx.files, fd), *other = fresh();
	bool planted;

	fdtable_set_planted(ctx.files, fd, other);
	cr_assert_null(fdtable_planted(ctx.files, fd), "not the file of that number");
	fdtable_set_planted(ctx.files, fd, file);
	cr_assert_eq(fdtable_planted(ctx.files, fd), file);
	fdtable_replace(&ctx, ctx.files, fd, other, false, 10);
	cr_assert_eq(fdtable_planted(ctx.files, fd), FD_PLANTED_STALE);
	cr_assert_eq(fdtable_close(&ctx, ctx.files, fd, &planted), 0);
	cr_assert(planted);
	cr_assert_null(fdtable_planted(ctx.files, fd));
	file_put(file);
}

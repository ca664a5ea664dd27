/* Reading, writing and positions of open files (vfs/file.h), on a file kind made for the test. */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/vfs/anon_fixture.h"
#include "vfs/mount.h"

/* A file of 100 bytes that remembers how it was called. */
static char content[100];
static int64_t seen_pos;
static size_t seen_count;
static int seen_rwf;
static bool seen_null_pos;

static ssize_t note(struct io_iter *iter, int64_t *pos, int rwf)
{
	seen_null_pos = pos == NULL;
	seen_pos = pos ? *pos : -1;
	seen_count = iter->count;
	seen_rwf = rwf;
	return 0;
}

static ssize_t mem_read(const struct op_ctx *c, struct file *file, struct io_iter *to, int64_t *pos,
			int rwf)
{
	int64_t at = pos ? *pos : 0;
	size_t n;

	note(to, pos, rwf);
	if (at >= 100)
		return 0;
	n = iter_to(to, content + at,
		    (size_t)(100 - at) < to->count ? (size_t)(100 - at) : to->count);
	if (pos)
		*pos += (int64_t)n;
	return (ssize_t)n;
}

static ssize_t mem_write(const struct op_ctx *c, struct file *file, struct io_iter *from,
			 int64_t *pos, int rwf)
{
	size_t len = from->count;

	note(from, pos, rwf);
	iter_advance(from, len);
	if (pos)
		*pos += (int64_t)len;
	return (ssize_t)len;
}

static int no_fallocate(const struct op_ctx *c, struct file *file, int mode, int64_t offset,
			int64_t len)
{
	return 0;
}

static const struct file_ops mem_ops = {
	.read_iter = mem_read,
	.write_iter = mem_write,
	.llseek = generic_file_llseek,
	.fallocate = no_fallocate,
};
static const struct file_ops stream_ops = {
	.read_iter = mem_read,
	.write_iter = mem_write,
	.no_position = true,
};
static const struct file_ops empty_ops = { .no_position = false };
static struct file *file;

static void setup(void)
{
	caller_start();
	file = anon(&mem_ops, NULL, O_RDWR, S_IFREG | 0600);
	inode_set_size(file->inode, 100);
	for (int n = 0; n < 100; n++)
		content[n] = (char)n;
}

static void teardown(void)
{
	file_put(file);
	caller_stop();
}

TestSuite(rw, .init = setup, .fini = teardown, .timeout = 120);

static char buf[200];

static ssize_t rd(struct file *f, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, f, &iter);
}

static ssize_t wr(struct file *f, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_write(&ctx, f, &iter);
}

static ssize_t prd(struct file *f, size_t len, int64_t pos, int rwf)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_pread(&ctx, f, &iter, pos, rwf);
}

static ssize_t pwr(struct file *f, size_t len, int64_t pos, int rwf)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_pwrite(&ctx, f, &iter, pos, rwf);
}

Test(rw, position_moves_with_read_and_write)
{
	cr_assert_eq(rd(file, 30), 30);
	cr_assert_eq(rd(file, 100), 70);
	cr_assert_eq(buf[0], 30);
	cr_assert_eq(rd(file, 1), 0);
	cr_assert_eq(wr(file, 5), 5);
	cr_assert_eq(file->pos, 105);
}

Test(rw, positioned_calls_leave_the_position_alone)
{
	cr_assert_eq(prd(file, 10, 50, 0), 10);
	cr_assert_eq(buf[0], 50);
	cr_assert_eq(pwr(file, 10, 90, 0), 10);
	cr_assert_eq(file->pos, 0);
	cr_assert_eq(prd(file, 1, -2, 0), -EINVAL);
	cr_assert_eq(prd(file, 1, -2, RWF_HIPRI), -EINVAL);
}

Test(rw, minus_one_is_the_current_position)
{
	cr_assert_eq(prd(file, 10, -1, RWF_NOWAIT), 10);
	cr_assert_eq(file->pos, 10);
	cr_assert_eq(seen_rwf, RWF_NOWAIT);
	cr_assert_eq(prd(file, 10, -1, 0), 10);
	cr_assert_eq(file->pos, 20);
}

Test(rw, unknown_flags_are_not_supported)
{
	cr_assert_eq(prd(file, 1, 0, 0x4000), -EOPNOTSUPP);
	cr_assert_eq(pwr(file, 1, 0, 0x40 /* RWF_ATOMIC */), -EOPNOTSUPP);
	cr_assert_eq(pwr(file, 1, 0, RWF_APPEND | 0x20), -EINVAL);
	cr_assert_eq(pwr(file, 1, 0, RWF_DSYNC | RWF_SYNC), 1);
}

Test(rw, access_mode_is_ebadf)
{
	struct file *ro = anon(&mem_ops, NULL, O_RDONLY, S_IFREG | 0600);
	struct file *wo = anon(&mem_ops, NULL, O_WRONLY, S_IFREG | 0600);
	struct file *place = anon(&mem_ops, NULL, O_PATH, S_IFREG | 0600);
	struct file *none = anon(&mem_ops, NULL, 3, S_IFREG | 0600);

	cr_assert_eq(wr(ro, 1), -EBADF);
	cr_assert_eq(rd(wo, 1), -EBADF);
	cr_assert_eq(rd(place, 1), -EBADF);
	cr_assert_eq(rd(none, 1), -EBADF);
	cr_assert_eq(wr(none, 1), -EBADF);
	cr_assert_eq(vfs_llseek(&ctx, place, 0, SEEK_SET), -EBADF);
	cr_assert_eq(vfs_fsync(&ctx, place, 0, INT64_MAX, false), -EBADF);
	file_put(ro);
	file_put(wo);
	file_put(place);
	file_put(none);
}

Test(rw, missing_methods)
{
	struct file *nothing = anon(&empty_ops, NULL, O_RDWR, S_IFREG | 0600);
	struct file *dir = anon(&empty_ops, NULL, O_RDWR, S_IFDIR | 0700);

	cr_assert_eq(rd(nothing, 1), -EINVAL);
	cr_assert_eq(wr(nothing, 1), -EINVAL);
	cr_assert_eq(rd(dir, 1), -EISDIR);
	cr_assert_eq(vfs_llseek(&ctx, nothing, 0, SEEK_SET), -ESPIPE);
	cr_assert_eq(vfs_fsync(&ctx, nothing, 0, INT64_MAX, false), -EINVAL);
	cr_assert_eq(vfs_fallocate(&ctx, nothing, 0, 0, 1), -EOPNOTSUPP);
	file_put(nothing);
	file_put(dir);
}

Test(rw, stream_has_no_position)
{
	struct file *stream = anon(&stream_ops, NULL, O_RDWR, S_IFIFO | 0600);

	cr_assert_eq(rd(stream, 5), 5);
	cr_assert(seen_null_pos);
	cr_assert_eq(prd(stream, 5, 0, 0), -ESPIPE);
	cr_assert_eq(pwr(stream, 5, 0, 0), -ESPIPE);
	cr_assert_eq(prd(stream, 5, -1, RWF_NOWAIT), 5);
	cr_assert_eq(vfs_llseek(&ctx, stream, 0, SEEK_CUR), -ESPIPE);
	cr_assert_eq(vfs_fallocate(&ctx, stream, 0, 0, 1), -ESPIPE);
	file_put(stream);
}

Test(rw, fsize_limit_shortens_and_then_signals)
{
	ctx.fsize_limit = 110;
	cr_assert_eq(pwr(file, 50, 90, 0), 20);
	cr_assert_eq(raised, 0);
	cr_assert_eq(pwr(file, 1, 110, 0), -EFBIG);
	cr_assert_eq(raised, SIGXFSZ);
	raised = 0;
	cr_assert_eq(pwr(file, 0, 110, 0), 0, "an empty write is no write");
	cr_assert_eq(raised, 0);
}

Test(rw, fsize_limit_measures_an_append_at_the_end)
{
	ctx.fsize_limit = 100;
	cr_assert_eq(pwr(file, 1, 0, 0), 1);
	atomic_fetch_or(&file->flags, O_APPEND);
	cr_assert_eq(pwr(file, 1, 0, 0), -EFBIG);
	cr_assert_eq(pwr(file, 1, 0, 0x20 /* RWF_NOAPPEND */), 1);
}

Test(rw, fsize_limit_is_for_regular_files)
{
	struct file *stream = anon(&stream_ops, NULL, O_RDWR, S_IFIFO | 0600);

	ctx.fsize_limit = 0;
	cr_assert_eq(wr(stream, 5), 5);
	file_put(stream);
}

Test(rw, seek_rules)
{
	cr_assert_eq(vfs_llseek(&ctx, file, 10, SEEK_SET), 10);
	cr_assert_eq(vfs_llseek(&ctx, file, 5, SEEK_CUR), 15);
	cr_assert_eq(vfs_llseek(&ctx, file, -1, SEEK_END), 99);
	cr_assert_eq(vfs_llseek(&ctx, file, 50, SEEK_END), 150);
	cr_assert_eq(vfs_llseek(&ctx, file, -200, SEEK_END), -EINVAL);
	cr_assert_eq(vfs_llseek(&ctx, file, INT64_MAX, SEEK_END), -EINVAL);
	cr_assert_eq(vfs_llseek(&ctx, file, 0, 9), -EINVAL);
	cr_assert_eq(vfs_llseek(&ctx, file, 42, SEEK_DATA), 42);
	cr_assert_eq(vfs_llseek(&ctx, file, 42, SEEK_HOLE), 100);
	cr_assert_eq(vfs_llseek(&ctx, file, 100, SEEK_DATA), -ENXIO);
}

Test(rw, kernel_read_loops_to_the_end_of_the_file)
{
	cr_assert_eq(kernel_read(&ctx, file, buf, 200, 40), 60);
	cr_assert_eq(buf[0], 40);
	cr_assert_eq(kernel_write(&ctx, file, "abc", 3, 7), 3);
	cr_assert_eq(seen_pos, 7);
	cr_assert_eq(file->pos, 0);
}

Test(rw, fallocate_checks)
{
	struct file *ro = anon(&mem_ops, NULL, O_RDONLY, S_IFREG | 0600);
	struct file *dir = anon(&mem_ops, NULL, O_RDWR, S_IFDIR | 0600);

	cr_assert_eq(vfs_fallocate(&ctx, file, 0, -1, 5), -EINVAL);
	cr_assert_eq(vfs_fallocate(&ctx, file, 0, 0, 0), -EINVAL);
	cr_assert_eq(vfs_fallocate(&ctx, file, 0, INT64_MAX, 5), -EFBIG);
	cr_assert_eq(vfs_fallocate(&ctx, file, FALLOC_FL_PUNCH_HOLE, 0, 5), -EOPNOTSUPP);
	cr_assert_eq(vfs_fallocate(&ctx, file, 0x4000, 0, 5), -EOPNOTSUPP);
	cr_assert_eq(vfs_fallocate(&ctx, ro, 0, 0, 5), -EBADF);
	cr_assert_eq(vfs_fallocate(&ctx, dir, 0, 0, 5), -EISDIR);
	ctx.fsize_limit = 100;
	cr_assert_eq(vfs_fallocate(&ctx, file, 0, 0, 100), 0);
	cr_assert_eq(vfs_fallocate(&ctx, file, 0, 0, 101), -EFBIG);
	cr_assert_eq(raised, SIGXFSZ);
	cr_assert_eq(vfs_fallocate(&ctx, file, FALLOC_FL_KEEP_SIZE, 0, 101), 0);
	file_put(ro);
	file_put(dir);
}

Test(rw, huge_request_is_cut_to_what_linux_cuts_it_to)
{
	struct iovec seg = { buf, SIZE_MAX / 2 };
	struct io_iter iter;

	iter_init_segs(&iter, NULL, NULL, &seg, 1, SIZE_MAX / 2);
	cr_assert_eq(vfs_write(&ctx, file, &iter), 0x7ffff000);
	cr_assert_eq(seen_count, 0x7ffff000);
}

/* ---- files without a name ---- */

static char *name_of(struct file *f)
{
	return f->path.dentry->sb->d_op->dname(f->path.dentry);
}

static uint64_t magic_of(struct file *f)
{
	struct kstatfs st;

	cr_assert_eq(vfs_statfs(&ctx, &f->path, &st), 0);
	return st.type;
}

Test(rw, anonymous_files_have_names_and_file_systems_of_their_kind)
{
	static const struct {
		const char *name, *shown;
		uint32_t mode;
		uint64_t magic;
	} kinds[] = {
		{ "pipe:[%lu]", "pipe:[#]", S_IFIFO | 0600, 0x50495045 },
		{ "socket:[%lu]", "socket:[#]", S_IFSOCK | 0777, 0x534F434B },
		{ "eventfd", "anon_inode:[eventfd]", 0600, 0x09041934 },
		{ "/memfd:%s%n (deleted)", "/memfd:%s%n (deleted)", S_IFREG | 0777, TMPFS_MAGIC },
	};
	char want[100];

	for (size_t n = 0; n < 4; n++) {
		struct file *f;
		char *shown, *hash;

		cr_assert_eq(file_new_anon(&ctx, kinds[n].name, kinds[n].mode, &empty_ops, NULL,
					   O_RDWR | O_CLOEXEC, &f),
			     0);
		shown = name_of(f);
		hash = strchr(kinds[n].shown, '#');
		if (hash)
			snprintf(want, sizeof(want), "%.*s%lu]", (int)(hash - kinds[n].shown),
				 kinds[n].shown, (unsigned long)f->inode->ino);
		else
			snprintf(want, sizeof(want), "%s", kinds[n].shown);
		cr_expect_str_eq(shown, want);
		cr_expect_eq(magic_of(f), kinds[n].magic);
		cr_expect_eq(f->inode->mode, kinds[n].mode);
		cr_expect_eq(f->inode->nlink, 1);
		cr_expect_eq(atomic_load(&f->flags) & O_CLOEXEC, 0);
		free(shown);
		file_put(f);
	}
}

static int nr_released;

static void count_release(const struct op_ctx *c, struct file *f)
{
	nr_released++;
}

static const struct file_ops release_ops = { .release = count_release };

Test(rw, release_runs_once_at_the_last_put)
{
	struct file *f = anon(&release_ops, NULL, O_RDWR, S_IFREG | 0600);

	file_get(f);
	file_put(f);
	cr_assert_eq(nr_released, 0);
	file_put(f);
	cr_assert_eq(nr_released, 1);
	file_put(NULL);
}

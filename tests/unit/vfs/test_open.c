/* Rules of open(2): vfs_open() in vfs/namei.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "memfs.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	t_mkdir(&w, "/d");
	t_create(&w, "/f", 0644);
	t_create(&w, "/x", 0755);
	vfs_symlink(&w.ctx, NULL, "/link", "f");
	vfs_symlink(&w.ctx, NULL, "/dangling", "d/made");
	vfs_symlink(&w.ctx, NULL, "/dirlink", "d");
	vfs_mknod(&w.ctx, NULL, "/sock", S_IFSOCK | 0666, 0);
	vfs_mknod(&w.ctx, NULL, "/blk", S_IFBLK | 0666, makedev(8, 0));
	vfs_mknod(&w.ctx, NULL, "/chr", S_IFCHR | 0666, makedev(240, 7));
}

static void teardown(void)
{
	world_fini(&w);
}

TestSuite(open, .init = setup, .fini = teardown, .timeout = 120);

Test(open, flags_and_kinds_give_the_errors_of_open_2)
{
	static const struct {
		const char *path;
		unsigned flags;
		int result;
	} rows[] = {
		{"/f", O_RDONLY, 0},
		{"/f", O_RDWR | O_CREAT, 0},
		{"/f", O_WRONLY | O_CREAT | O_EXCL, -EEXIST},
		{"/f", O_RDONLY | O_DIRECTORY, -ENOTDIR},
		{"/f/", O_RDONLY, -ENOTDIR},
		{"/f/", O_RDWR | O_CREAT, -EISDIR},
		{"/new/", O_RDWR | O_CREAT, -EISDIR},
		{"/d", O_RDONLY, 0},
		{"/d", O_RDONLY | O_DIRECTORY, 0},
		{"/d", O_WRONLY, -EISDIR},
		{"/d", O_RDONLY | O_CREAT, -EISDIR},
		{"/", O_RDWR | O_CREAT, -EISDIR},
		{"/d/.", O_RDWR | O_CREAT, -EISDIR},
		{"/d", O_RDONLY | O_CREAT | O_DIRECTORY, -EINVAL},
		{"/link", O_RDONLY, 0},
		{"/link", O_RDONLY | O_NOFOLLOW, -ELOOP},
		{"/link", O_RDONLY | O_NOFOLLOW | O_PATH, 0},
		{"/link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, -ENOTDIR},
		{"/link", O_RDWR | O_CREAT | O_EXCL, -EEXIST},
		{"/link", O_RDWR | O_CREAT | O_NOFOLLOW, -ELOOP},
		{"/dirlink", O_RDONLY | O_DIRECTORY, 0},
		{"/dirlink", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, -ENOTDIR},
		{"/dangling", O_RDONLY, -ENOENT},
		{"/dangling", O_RDWR | O_CREAT | O_EXCL, -EEXIST},
		{"/dangling", O_RDWR | O_CREAT, 0},
		{"/d/made", O_RDONLY, 0},
		{"/sock", O_RDONLY, -ENXIO},
		{"/blk", O_RDONLY, -ENXIO},
		{"/chr", O_RDONLY, -ENXIO},
		{"/sock", O_PATH, 0},
		{"/none", O_PATH, -ENOENT},
		{"/none/x", O_RDWR | O_CREAT, -ENOENT},
		{"/f/x", O_RDWR | O_CREAT, -ENOTDIR},
		{"", O_RDONLY, -ENOENT},
		{"/d", O_TMPFILE | O_RDWR, 0},
		{"/d", O_TMPFILE | O_RDONLY, -EINVAL},
		{"/f", O_TMPFILE | O_RDWR, -ENOTDIR},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int result = t_open_close(&w, rows[i].path, rows[i].flags);

		cr_expect_eq(result, rows[i].result, "%s flags %o: %d", rows[i].path, rows[i].flags,
			     result);
	}
}

Test(open, a_new_file_gets_mode_owner_and_umask)
{
	struct file *file;
	struct kstat st;

	fs_set_umask(w.fs, 027);
	cr_assert_eq(t_open(&w, "/new", O_CREAT | O_WRONLY, 0666, &file), 0);
	cr_assert_eq(vfs_getattr(&w.ctx, &file->path, &st, 0x7ff, 0), 0);
	cr_assert_eq(st.mode, S_IFREG | 0640u);
	cr_assert_eq(atomic_load(&file->flags) & (O_CREAT | O_EXCL), 0);
	file_put(file);
}

Test(open, a_new_file_may_be_written_whatever_its_mode)
{
	struct file *file;

	world_become(&w, 0, 0);
	vfs_mkdir(&w.ctx, NULL, "/open", 0777);
	fs_set_umask(w.fs, 0);
	vfs_mkdir(&w.ctx, NULL, "/all", 0777);
	world_become(&w, 1000, 1000);
	cr_assert_eq(t_open(&w, "/all/r", O_CREAT | O_RDWR, 0400, &file), 0);
	cr_assert(file->fmode & FMODE_WRITE);
	file_put(file);
	cr_assert_eq(t_open_close(&w, "/all/r", O_RDWR), -EACCES);
	cr_assert_eq(t_open_close(&w, "/f", O_RDONLY | O_TRUNC), -EACCES);
	cr_assert_eq(t_open_close(&w, "/d/new", O_RDWR | O_CREAT), -EACCES);
	cr_assert_eq(t_open_close(&w, "/f", O_RDONLY | O_NOATIME), -EPERM);
}

Test(open, truncation_sets_the_size_to_zero)
{
	struct path path;
	struct kstat st;

	path_lookup(&w.ctx, NULL, "/f", 0, &path);
	inode_set_size(path.dentry->inode, 100);
	path_put(&path);
	cr_assert_eq(t_open_close(&w, "/f", O_WRONLY | O_TRUNC), 0);
	t_stat(&w, "/f", &st);
	cr_assert_eq(st.size, 0);
}

Test(open, a_running_program_cannot_be_written_nor_a_written_file_run)
{
	struct path path;
	struct file *file;

	path_lookup(&w.ctx, NULL, "/x", 0, &path);
	cr_assert_eq(inode_deny_write_access(path.dentry->inode), 0);
	cr_assert_eq(t_open_close(&w, "/x", O_WRONLY), -ETXTBSY);
	cr_assert_eq(t_open_close(&w, "/x", O_RDONLY | O_TRUNC), -ETXTBSY);
	cr_assert_eq(t_open_close(&w, "/x", O_RDONLY), 0);
	cr_assert_eq(vfs_truncate(&w.ctx, &path, 0), -ETXTBSY);
	inode_allow_write_access(path.dentry->inode);
	cr_assert_eq(t_open(&w, "/x", O_WRONLY, 0, &file), 0);
	cr_assert_eq(inode_deny_write_access(path.dentry->inode), -ETXTBSY);
	file_put(file);
	cr_assert_eq(inode_deny_write_access(path.dentry->inode), 0);
	inode_allow_write_access(path.dentry->inode);
	path_put(&path);
}

Test(open, exec_needs_a_regular_file_with_an_x_bit_on_an_exec_mount)
{
	struct open_args args = {.flags = O_RDONLY, .exec = true};
	struct file *file;

	cr_assert_eq(vfs_open(&w.ctx, NULL, "/x", &args, &file), 0);
	cr_assert(file->fmode & FMODE_EXEC);
	file_put(file);
	cr_assert_eq(vfs_open(&w.ctx, NULL, "/f", &args, &file), -EACCES);
	cr_assert_eq(vfs_open(&w.ctx, NULL, "/d", &args, &file), -EACCES);
	t_mkdir(&w, "/m");
	cr_assert_eq(t_mount(&w, "memfs", "/m", MS_NOEXEC | MS_NODEV, NULL), 0);
	t_create(&w, "/m/x", 0755);
	vfs_mknod(&w.ctx, NULL, "/m/chr", S_IFCHR | 0666, makedev(1, 3));
	cr_assert_eq(vfs_open(&w.ctx, NULL, "/m/x", &args, &file), -EACCES);
	cr_assert_eq(t_open_close(&w, "/m/chr", O_RDONLY), -EACCES);
}

Test(open, a_read_only_mount_refuses_writing_and_creating)
{
	cr_assert_eq(t_mount(&w, "memfs", "/d", 0, NULL), 0);
	t_create(&w, "/d/f", 0644);
	cr_assert_eq(t_mount(&w, NULL, "/d", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
	cr_assert_eq(t_open_close(&w, "/d/f", O_RDONLY), 0);
	cr_assert_eq(t_open_close(&w, "/d/f", O_RDWR), -EROFS);
	cr_assert_eq(t_open_close(&w, "/d/f", O_RDONLY | O_CREAT), 0);
	cr_assert_eq(t_open_close(&w, "/d/new", O_RDWR | O_CREAT), -EROFS);
	cr_assert_eq(t_mkdir(&w, "/d/new"), -EROFS);
	cr_assert_eq(t_mkdir(&w, "/d/f"), -EEXIST);
	cr_assert_eq(vfs_unlink(&w.ctx, NULL, "/d/f"), -EROFS);
	cr_assert_eq(t_mount(&w, NULL, "/d", MS_REMOUNT | MS_BIND, NULL), 0);
	cr_assert_eq(t_mount(&w, NULL, "/d", MS_REMOUNT | MS_RDONLY, NULL), 0);
	cr_assert_eq(t_open_close(&w, "/d/f", O_RDWR), -EROFS);
}

Test(open, atomic_open_replaces_lookup_and_create)
{
	int lookups = memfs.lookups;

	cr_assert_eq(t_open_close(&w, "/atomic", O_RDWR | O_CREAT | O_EXCL), 0);
	cr_assert_eq(memfs.atomic_opens, 1);
	cr_assert_eq(memfs.lookups, lookups);
	cr_assert_eq(t_open_close(&w, "/atomic", O_RDWR), 0);
	cr_assert_eq(memfs.lookups, lookups, "the new name is cached");
	cr_assert_eq(t_open_close(&w, "/atomic", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
}

Test(open, a_tmpfile_can_be_linked_unless_exclusive)
{
	struct file *file;
	struct path root;
	char *text;

	cr_assert_eq(t_open(&w, "/d", O_TMPFILE | O_RDWR, 0600, &file), 0);
	fs_get_root(w.fs, &root);
	text = d_path(&file->path, &root);
	cr_assert_eq(strncmp(text, "/d/#", 4), 0, "%s", text);
	cr_assert_neq(strstr(text, " (deleted)"), NULL);
	free(text);
	path_put(&root);
	cr_assert_eq(vfs_link(&w.ctx, &file->path, NULL, "/named"), 0);
	file_put(file);
	cr_assert_eq(t_lookup(&w, "/named", 0), 0);
	cr_assert_eq(t_open(&w, "/d", O_TMPFILE | O_RDWR | O_EXCL, 0600, &file), 0);
	cr_assert_eq(vfs_link(&w.ctx, &file->path, NULL, "/named2"), -ENOENT);
	file_put(file);
}

Test(open, release_comes_once_for_what_was_opened)
{
	int before = memfs.releases;

	t_open_close(&w, "/f", O_RDONLY);
	cr_assert_eq(memfs.releases, before + 1);
	t_open_close(&w, "/f", O_PATH);
	t_open_close(&w, "/f", O_RDONLY | O_DIRECTORY);
	cr_assert_eq(memfs.releases, before + 1);
}

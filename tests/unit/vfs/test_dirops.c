/* mkdir, mknod, symlink, link, unlink, rmdir, rename: vfs/namei.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "memfs.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	t_mkdir(&w, "/d");
	t_mkdir(&w, "/d/sub");
	t_mkdir(&w, "/e");
	t_create(&w, "/f", 0644);
	t_create(&w, "/g", 0644);
	vfs_symlink(&w.ctx, NULL, "/link", "d");
}

static void teardown(void)
{
	world_fini(&w);
}

TestSuite(dirops, .init = setup, .fini = teardown, .timeout = 120);

#define ctx (&w.ctx)

static int rename2(const char *from, const char *to, unsigned flags)
{
	return vfs_rename(ctx, NULL, from, NULL, to, flags);
}

Test(dirops, making_names_gives_the_errors_of_linux)
{
	cr_expect_eq(t_mkdir(&w, "/d"), -EEXIST);
	cr_expect_eq(t_mkdir(&w, "/"), -EEXIST);
	cr_expect_eq(t_mkdir(&w, "/d/."), -EEXIST);
	cr_expect_eq(t_mkdir(&w, "/new/"), 0);
	cr_expect_eq(t_mkdir(&w, "/f/x"), -ENOTDIR);
	cr_expect_eq(t_mkdir(&w, "/none/x"), -ENOENT);
	cr_expect_eq(t_mkdir(&w, "/link"), -EEXIST);
	cr_expect_eq(t_mkdir(&w, ""), -ENOENT);
	cr_expect_eq(vfs_symlink(ctx, NULL, "/s/", "x"), -ENOENT);
	cr_expect_eq(vfs_symlink(ctx, NULL, "/s", ""), -ENOENT);
	cr_expect_eq(t_create(&w, "/new2/", 0644), -ENOENT);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/n", S_IFDIR | 0755, 0), -EPERM);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/n", S_IFLNK | 0755, 0), -EINVAL);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/n", S_IFCHR | 0600, makedev(1, 3)), 0);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/plain", 0600, 0), 0);
}

Test(dirops, devices_need_a_capability_but_whiteouts_do_not)
{
	vfs_mkdir(ctx, NULL, "/all", 0777);
	world_become(&w, 1000, 1000);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/all/n", S_IFCHR | 0600, makedev(1, 3)), -EPERM);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/all/n", S_IFBLK | 0600, 0), -EPERM);
	cr_expect_eq(vfs_mknod(ctx, NULL, "/all/n", S_IFCHR | 0600, 0), 0);
	cr_expect_eq(t_mkdir(&w, "/d/x"), -EACCES);
	cr_expect_eq(t_mkdir(&w, "/d/sub"), -EEXIST);
}

Test(dirops, names_of_255_bytes_are_the_longest)
{
	char name[258];

	memset(name, 'n', sizeof(name));
	name[0] = '/';
	name[257] = '\0';
	cr_assert_eq(t_mkdir(&w, name), -ENAMETOOLONG);
	cr_assert_eq(t_lookup(&w, name, 0), -ENAMETOOLONG);
	name[256] = '\0';
	cr_assert_eq(t_mkdir(&w, name), 0);
}

Test(dirops, removing_names_gives_the_errors_of_linux)
{
	cr_expect_eq(vfs_unlink(ctx, NULL, "/d"), -EISDIR);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/d/"), -EISDIR);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/f/"), -ENOTDIR);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/none"), -ENOENT);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/none/"), -ENOENT);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/"), -EISDIR);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/"), -EBUSY);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/d/."), -EINVAL);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/d/.."), -ENOTEMPTY);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/f"), -ENOTDIR);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/link"), -ENOTDIR);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/d"), -ENOTEMPTY);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/d/sub/"), 0);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/d"), 0);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/link"), 0);
	cr_expect_eq(t_lookup(&w, "/d", 0), -ENOENT);
}

Test(dirops, the_last_reference_to_an_unlinked_file_evicts_it)
{
	struct file *file;
	int evicted;

	cr_assert_eq(t_open(&w, "/f", O_RDWR, 0, &file), 0);
	cr_assert_eq(vfs_unlink(ctx, NULL, "/f"), 0);
	cr_assert_eq(t_lookup(&w, "/f", 0), -ENOENT);
	evicted = memfs.evicted;
	cr_assert_eq(t_create(&w, "/f", 0644), 0);
	cr_assert_eq(memfs.evicted, evicted);
	file_put(file);
	cr_assert_eq(memfs.evicted, evicted + 1);
	cr_assert_eq(t_lookup(&w, "/f", 0), 0);
}

Test(dirops, nothing_can_be_made_in_a_removed_directory)
{
	struct path sub, root;
	char *text;

	cr_assert_eq(path_lookup(ctx, NULL, "/d/sub", 0, &sub), 0);
	fs_set_cwd(w.fs, &sub);
	cr_assert_eq(vfs_rmdir(ctx, NULL, "/d/sub"), 0);
	cr_expect_eq(t_mkdir(&w, "x"), -ENOENT);
	cr_expect_eq(t_open_close(&w, "x", O_RDWR | O_CREAT), -ENOENT);
	cr_expect_eq(t_lookup(&w, "x", 0), -ENOENT);
	cr_expect_eq(t_lookup(&w, ".", 0), 0);
	cr_expect_eq(t_lookup(&w, "../sub", 0), -ENOENT);
	fs_get_root(w.fs, &root);
	text = d_path(&sub, &root);
	cr_expect_str_eq(text, "/d/sub (deleted)");
	free(text);
	fs_set_cwd(w.fs, &root);
	path_put(&root);
	path_put(&sub);
}

Test(dirops, only_owners_remove_names_from_a_sticky_directory)
{
	vfs_mkdir(ctx, NULL, "/tmp", 01777);
	t_create(&w, "/tmp/roots", 0666);
	world_become(&w, 1000, 1000);
	t_create(&w, "/tmp/mine", 0666);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/tmp/roots"), -EPERM);
	cr_expect_eq(rename2("/tmp/roots", "/tmp/x", 0), -EPERM);
	cr_expect_eq(rename2("/tmp/mine", "/tmp/roots", 0), -EPERM);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/tmp/mine"), 0);
}

Test(dirops, links_share_an_inode_and_directories_have_none)
{
	struct path path;
	struct kstat a, b;

	path_lookup(ctx, NULL, "/f", 0, &path);
	cr_expect_eq(vfs_link(ctx, &path, NULL, "/hard"), 0);
	cr_expect_eq(vfs_link(ctx, &path, NULL, "/hard"), -EEXIST);
	t_stat(&w, "/f", &a);
	t_stat(&w, "/hard", &b);
	cr_expect_eq(a.ino, b.ino);
	cr_expect_eq(b.nlink, 2);
	cr_expect_eq(rename2("/f", "/hard", 0), 0, "two names of one file");
	cr_expect_eq(t_lookup(&w, "/f", 0), 0);
	path_put(&path);
	path_lookup(ctx, NULL, "/d", 0, &path);
	cr_expect_eq(vfs_link(ctx, &path, NULL, "/hard2"), -EPERM);
	path_put(&path);
}

Test(dirops, rename_gives_the_errors_of_linux)
{
	t_create(&w, "/d/sub/x", 0644);
	cr_expect_eq(rename2("/none", "/x", 0), -ENOENT);
	cr_expect_eq(rename2("/f", "/d", 0), -EISDIR);
	cr_expect_eq(rename2("/d", "/f", 0), -ENOTDIR);
	cr_expect_eq(rename2("/e", "/d", 0), -ENOTEMPTY);
	cr_expect_eq(rename2("/d", "/d/sub/y", 0), -EINVAL);
	cr_expect_eq(rename2("/d/sub/x", "/d", 0), -ENOTEMPTY);
	cr_expect_eq(rename2("/d", "/d/sub", RENAME_EXCHANGE), -EINVAL);
	cr_expect_eq(rename2("/f/", "/x", 0), -ENOTDIR);
	cr_expect_eq(rename2("/f", "/x/", 0), -ENOTDIR);
	cr_expect_eq(rename2("/f", "/g", RENAME_NOREPLACE), -EEXIST);
	cr_expect_eq(rename2("/f", "/x", RENAME_EXCHANGE), -ENOENT);
	cr_expect_eq(rename2("/f", "/x", 8), -EINVAL);
	cr_expect_eq(rename2("/f", "/x", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
	cr_expect_eq(rename2("/", "/x", 0), -EBUSY);
	cr_expect_eq(rename2("/f", "/d/..", 0), -EBUSY);
	cr_expect_eq(rename2("/f", "/.", RENAME_NOREPLACE), -EEXIST);
	cr_expect_eq(rename2("/d", "/d", 0), 0);
	cr_expect_eq(rename2("/e", "/e2/", 0), 0);
}

Test(dirops, rename_moves_a_subtree_with_its_cache)
{
	struct path path;
	int lookups;
	char *text;

	t_create(&w, "/d/sub/x", 0644);
	path_lookup(ctx, NULL, "/d/sub/x", 0, &path);
	cr_assert_eq(rename2("/d/sub", "/e/moved", 0), 0);
	lookups = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/e/moved/x", 0), 0);
	cr_assert_eq(memfs.lookups, lookups);
	cr_assert_eq(t_lookup(&w, "/d/sub", 0), -ENOENT);
	text = t_path(&w, "/e/moved/x");
	cr_assert_str_eq(text, "/e/moved/x");
	free(text);
	path_put(&path);
	cr_assert_eq(t_lookup(&w, "/e/moved/../../d", 0), 0);
}

Test(dirops, a_replaced_file_shows_as_deleted)
{
	struct file *file;
	struct path root;
	char *text;

	t_open(&w, "/g", O_RDONLY, 0, &file);
	cr_assert_eq(rename2("/f", "/g", 0), 0);
	cr_assert_eq(t_lookup(&w, "/f", 0), -ENOENT);
	fs_get_root(w.fs, &root);
	text = d_path(&file->path, &root);
	cr_assert_str_eq(text, "/g (deleted)");
	free(text);
	path_put(&root);
	file_put(file);
}

Test(dirops, exchange_swaps_a_file_and_a_directory)
{
	struct kstat f, d, st;

	t_stat(&w, "/f", &f);
	t_stat(&w, "/d/sub", &d);
	cr_assert_eq(rename2("/f", "/d/sub", RENAME_EXCHANGE), 0);
	t_stat(&w, "/f", &st);
	cr_assert_eq(st.ino, d.ino);
	t_stat(&w, "/d/sub", &st);
	cr_assert_eq(st.ino, f.ino);
	cr_assert_eq(t_lookup(&w, "/f/..", LOOKUP_DIRECTORY), 0);
}

Test(dirops, readlink_is_for_symlinks_only)
{
	struct path path;
	char *text = NULL;

	path_lookup(ctx, NULL, "/link", 0, &path);
	cr_assert_eq(vfs_readlink(ctx, &path, &text), 0);
	cr_assert_str_eq(text, "d");
	free(text);
	path_put(&path);
	path_lookup(ctx, NULL, "/f", 0, &path);
	cr_assert_eq(vfs_readlink(ctx, &path, &text), -EINVAL);
	path_put(&path);
	vfs_symlink(ctx, NULL, "/magic", "magic:");
	path_lookup(ctx, NULL, "/magic", 0, &path);
	cr_assert_eq(vfs_readlink(ctx, &path, &text), 0);
	cr_assert_str_eq(text, "/");
	free(text);
	path_put(&path);
}

Test(dirops, a_mountpoint_cannot_be_removed_or_renamed)
{
	cr_assert_eq(t_mount(&w, "memfs", "/e", 0, NULL), 0);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/e"), -EBUSY);
	cr_expect_eq(rename2("/e", "/x", 0), -EBUSY);
	cr_expect_eq(rename2("/d", "/e", 0), -EBUSY);
	cr_expect_eq(rename2("/f", "/e/f", 0), -EXDEV);
	cr_assert_eq(t_umount(&w, "/e", 0), 0);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/e"), 0);
}

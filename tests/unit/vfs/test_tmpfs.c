/* vfs/fs/tmpfs.h through the path calls: names, limits, readdir, rename, attributes. */
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/vfs/files_fixture.h"
#include "vfs/handle.h"
#include "vfs/readdir.h"
#include "vfs/strbuf.h"
#include "vfs/xattr.h"

static void setup(void)
{
	fixture_start("size=1m,nr_inodes=2000");
}

TestSuite(tmpfs, .init = setup, .fini = fixture_stop, .timeout = 120);

static void make_file(const char *name, const char *content)
{
	struct file *file = must_open(name, O_CREAT | O_EXCL | O_WRONLY);

	if (*content)
		cr_assert_eq(put_bytes(file, content, strlen(content)), (ssize_t)strlen(content));
	file_put(file);
}

static int make_dir(const char *name)
{
	return vfs_mkdir(&root_ctx, NULL, name, 0755);
}

static int move(const char *from, const char *to, unsigned flags)
{
	return vfs_rename(&root_ctx, NULL, from, NULL, to, flags);
}

static void free_space(struct kstatfs *st)
{
	struct path root;

	fs_get_root(root_ctx.fs, &root);
	cr_assert_eq(vfs_statfs(&root_ctx, &root, st), 0);
	path_put(&root);
}

/* A reader of directories that takes up to `max` names. */
struct names {
	struct dir_context dc;
	int nr, max;
	char name[64][32];
	int64_t off[64];
};

static bool take_name(struct dir_context *dc, const char *name, size_t len, int64_t off,
		      uint64_t ino, unsigned type)
{
	struct names *names = container_of(dc, struct names, dc);

	if (names->nr == names->max)
		return false;
	snprintf(names->name[names->nr], 32, "%.*s", (int)len, name);
	names->off[names->nr++] = off;
	return true;
}

static void read_names(struct file *dir, struct names *names, int max)
{
	memset(names, 0, sizeof(*names));
	names->dc.emit = take_name;
	names->max = max;
	cr_assert_eq(vfs_iterate(&root_ctx, dir, &names->dc), 0);
}

Test(tmpfs, file_keeps_what_was_written)
{
	char buf[10];
	struct file *file;
	struct kstat st;

	make_file("/a", "hello");
	file = must_open("/a", O_RDONLY);
	cr_assert_eq(get_bytes(file, buf, 10), 5);
	cr_assert(memcmp(buf, "hello", 5) == 0);
	file_put(file);
	stat_of("/a", &st);
	cr_assert_eq(st.size, 5);
	cr_assert_eq(st.nlink, 1);
	cr_assert_eq(st.blocks, 8);
}

Test(tmpfs, directory_links_and_sizes_follow_linux)
{
	struct kstat st;

	stat_of("/", &st);
	cr_assert_eq(st.nlink, 2);
	cr_assert_eq(st.size, 40);
	cr_assert_eq(make_dir("/d"), 0);
	cr_assert_eq(make_dir("/d/e"), 0);
	make_file("/d/f", "");
	stat_of("/", &st);
	cr_assert_eq(st.nlink, 3);
	stat_of("/d", &st);
	cr_assert_eq(st.nlink, 3);
	cr_assert_eq(st.size, 80);
	cr_assert_eq(vfs_rmdir(&root_ctx, NULL, "/d/e"), 0);
	stat_of("/d", &st);
	cr_assert_eq(st.nlink, 2);
	cr_assert_eq(st.size, 60);
	cr_assert_eq(vfs_rmdir(&root_ctx, NULL, "/d"), -ENOTEMPTY);
}

Test(tmpfs, unlinked_file_lives_until_its_last_close)
{
	struct kstatfs before, after;
	struct file *file;
	char buf[4];

	free_space(&before);
	file = must_open("/a", O_CREAT | O_RDWR);
	cr_assert_eq(put_bytes(file, "data", 4), 4);
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/a"), 0);
	cr_assert_eq(kernel_read(&root_ctx, file, buf, 4, 0), 4);
	cr_assert_eq(file->inode->nlink, 0);
	file_put(file);
	free_space(&after);
	cr_assert_eq(before.bfree, after.bfree);
	cr_assert_eq(before.ffree, after.ffree);
}

Test(tmpfs, hard_links_share_the_inode_and_count_it)
{
	struct kstatfs before, after;
	struct path path;
	struct kstat a, b;

	make_file("/a", "x");
	free_space(&before);
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/a", 0, &path), 0);
	cr_assert_eq(vfs_link(&root_ctx, &path, NULL, "/b"), 0);
	cr_assert_eq(vfs_link(&root_ctx, &path, NULL, "/b"), -EEXIST);
	path_put(&path);
	stat_of("/a", &a);
	stat_of("/b", &b);
	cr_assert_eq(a.ino, b.ino);
	cr_assert_eq(b.nlink, 2);
	free_space(&after);
	cr_assert_eq(before.ffree - 1, after.ffree, "a further name costs an inode");
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/a"), 0);
	free_space(&after);
	cr_assert_eq(before.ffree, after.ffree);
	stat_of("/b", &b);
	cr_assert_eq(b.nlink, 1);
}

Test(tmpfs, size_limit_is_enospc_and_space_comes_back)
{
	struct file *file = must_open("/big", O_CREAT | O_WRONLY);
	char *data = calloc(1, 2 << 20);
	struct kstatfs st;

	cr_assert_eq(put_bytes(file, data, 2 << 20), 1 << 20);
	cr_assert_eq(put_bytes(file, data, 1), -ENOSPC);
	free_space(&st);
	cr_assert_eq(st.bfree, 0);
	cr_assert_eq(st.type, TMPFS_MAGIC);
	cr_assert_eq(st.blocks, 256);
	file_put(file);
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/big"), 0);
	free_space(&st);
	cr_assert_eq(st.bfree, 256);
	free(data);
}

Test(tmpfs, inode_limit_is_enospc)
{
	char name[32];
	int n, err = 0;

	for (n = 0; n < 3000 && !err; n++) {
		snprintf(name, sizeof(name), "/n%d", n);
		err = vfs_mknod(&root_ctx, NULL, name, S_IFREG | 0600, 0);
	}
	cr_assert_eq(err, -ENOSPC);
	cr_assert_eq(n, 2000, "the root is one of them");
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/n7"), 0);
	cr_assert_eq(vfs_mknod(&root_ctx, NULL, "/again", S_IFREG | 0600, 0), 0);
}

Test(tmpfs, names_survive_a_cold_cache)
{
	struct kstat before, after;

	cr_assert_eq(make_dir("/d"), 0);
	make_file("/d/f", "x");
	stat_of("/d/f", &before);
	dcache_shrink(0);
	stat_of("/d/f", &after);
	cr_assert_eq(before.ino, after.ino);
	cr_assert_eq(after.size, 1);
}

Test(tmpfs, readdir_lists_in_order_of_creation)
{
	struct names names;
	struct file *dir;

	make_file("/b", "");
	make_file("/a", "");
	dir = must_open("/", O_RDONLY | O_DIRECTORY);
	read_names(dir, &names, 64);
	cr_assert_eq(names.nr, 4);
	cr_assert_str_eq(names.name[0], ".");
	cr_assert_str_eq(names.name[1], "..");
	cr_assert_str_eq(names.name[2], "b");
	cr_assert_str_eq(names.name[3], "a");
	read_names(dir, &names, 64);
	cr_assert_eq(names.nr, 0, "the end stays the end");
	file_put(dir);
}

Test(tmpfs, readdir_is_stable_while_names_come_and_go)
{
	struct names first, second;
	struct file *dir;
	char name[32];

	for (int n = 0; n < 20; n++) {
		snprintf(name, sizeof(name), "/f%02d", n);
		make_file(name, "");
	}
	dir = must_open("/", O_RDONLY | O_DIRECTORY);
	read_names(dir, &first, 7); /* . .. f00..f04 */
	for (int n = 0; n < 10; n++) {
		snprintf(name, sizeof(name), "/f%02d", n);
		cr_assert_eq(vfs_unlink(&root_ctx, NULL, name), 0);
	}
	make_file("/new", "");
	make_file("/f00", "");
	read_names(dir, &second, 64);
	/* f10..f19, then the new ones: nothing twice, nothing left out. */
	cr_assert_eq(second.nr, 12);
	cr_assert_str_eq(second.name[0], "f10");
	cr_assert_str_eq(second.name[9], "f19");
	cr_assert_str_eq(second.name[10], "new");
	for (int n = 1; n < second.nr; n++)
		cr_assert_gt(second.off[n], second.off[n - 1]);
	file_put(dir);
}

Test(tmpfs, removing_everything_read_so_far_leaves_nothing_out)
{
	struct names names;
	struct file *dir;
	char name[40];
	int removed = 0;

	for (int n = 0; n < 300; n++) {
		snprintf(name, sizeof(name), "/f%d", n);
		make_file(name, "");
	}
	dir = must_open("/", O_RDONLY | O_DIRECTORY);
	do {
		read_names(dir, &names, 30);
		for (int n = 0; n < names.nr; n++) {
			if (names.name[n][0] == '.')
				continue;
			snprintf(name, sizeof(name), "/%s", names.name[n]);
			cr_assert_eq(vfs_unlink(&root_ctx, NULL, name), 0);
			removed++;
		}
	} while (names.nr > 0);
	cr_assert_eq(removed, 300);
	file_put(dir);
}

Test(tmpfs, seeking_a_directory_back_starts_over)
{
	struct file *dir = must_open("/", O_RDONLY | O_DIRECTORY);
	struct names names;

	read_names(dir, &names, 64);
	cr_assert_eq(vfs_llseek(&root_ctx, dir, 0, SEEK_SET), 0);
	read_names(dir, &names, 64);
	cr_assert_eq(names.nr, 2);
	cr_assert_eq(vfs_llseek(&root_ctx, dir, 0, SEEK_END), -EINVAL);
	file_put(dir);
}

Test(tmpfs, removed_directory_cannot_be_read_or_filled)
{
	struct dir_context dc = { .emit = take_name };
	struct file *dir;

	cr_assert_eq(make_dir("/d"), 0);
	dir = must_open("/d", O_RDONLY | O_DIRECTORY);
	cr_assert_eq(vfs_rmdir(&root_ctx, NULL, "/d"), 0);
	cr_assert_eq(vfs_iterate(&root_ctx, dir, &dc), -ENOENT);
	cr_assert_eq(vfs_mkdir(&root_ctx, &dir->path, "sub", 0755), -ENOENT);
	cr_assert_eq(vfs_mknod(&root_ctx, &dir->path, "f", S_IFREG | 0600, 0), -ENOENT);
	file_put(dir);
}

Test(tmpfs, rename_replaces_a_file)
{
	struct kstatfs before, after;
	struct kstat st;

	make_file("/a", "aa");
	free_space(&before);
	make_file("/b", "b");
	cr_assert_eq(move("/a", "/b", 0), 0);
	cr_assert_eq(open_as(&root_ctx, "/a", O_RDONLY, 0), NULL);
	cr_assert_eq(last_error, -ENOENT);
	stat_of("/b", &st);
	cr_assert_eq(st.size, 2);
	stat_of("/", &st);
	cr_assert_eq(st.size, 60);
	free_space(&after);
	cr_assert_eq(before.ffree, after.ffree);
}

Test(tmpfs, rename_of_directories_moves_link_counts)
{
	struct kstat st;

	make_dir("/p");
	make_dir("/q");
	make_dir("/p/sub");
	make_dir("/q/sub");
	make_file("/p/sub/f", "");
	cr_assert_eq(move("/q/sub", "/p/sub", 0), -ENOTEMPTY);
	cr_assert_eq(move("/p/sub", "/q/sub", 0), 0);
	stat_of("/p", &st);
	cr_assert_eq(st.nlink, 2);
	stat_of("/q", &st);
	cr_assert_eq(st.nlink, 3);
	cr_assert_eq(st.size, 60);
	stat_of("/q/sub/f", &st);
}

Test(tmpfs, rename_noreplace_refuses)
{
	make_file("/a", "");
	make_file("/b", "");
	cr_assert_eq(move("/a", "/b", RENAME_NOREPLACE), -EEXIST);
	cr_assert_eq(move("/a", "/c", RENAME_NOREPLACE), 0);
}

Test(tmpfs, rename_exchange_swaps_across_directories)
{
	struct kstat st;

	make_dir("/p");
	make_dir("/q");
	make_dir("/p/x");
	make_file("/q/y", "yy");
	cr_assert_eq(move("/p/x", "/q/y", RENAME_EXCHANGE), 0);
	stat_of("/p/x", &st);
	cr_assert(S_ISREG(st.mode) && st.size == 2);
	stat_of("/q/y", &st);
	cr_assert(S_ISDIR(st.mode));
	stat_of("/p", &st);
	cr_assert_eq(st.nlink, 2);
	stat_of("/q", &st);
	cr_assert_eq(st.nlink, 3);
	dcache_shrink(0);
	stat_of("/p/x", &st);
	cr_assert(S_ISREG(st.mode));
}

Test(tmpfs, rename_whiteout_leaves_a_device_zero)
{
	struct kstat st;

	make_file("/a", "a");
	cr_assert_eq(move("/a", "/b", RENAME_WHITEOUT), 0);
	dcache_shrink(0);
	stat_of("/a", &st);
	cr_assert(S_ISCHR(st.mode) && st.rdev == 0);
	stat_of("/b", &st);
	cr_assert_eq(st.size, 1);
	stat_of("/", &st);
	cr_assert_eq(st.size, 80);
}

Test(tmpfs, symlink_shows_its_target_and_long_ones_cost_a_page)
{
	struct kstatfs before, after;
	char target[300], *got = NULL;
	struct path path;
	struct kstat st;

	memset(target, 't', sizeof(target));
	target[299] = '\0';
	free_space(&before);
	cr_assert_eq(vfs_symlink(&root_ctx, NULL, "/l", target), 0);
	free_space(&after);
	cr_assert_eq(after.bfree, before.bfree - 1);
	stat_of("/l", &st);
	cr_assert_eq(st.size, 299);
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/l", 0, &path), 0);
	cr_assert_eq(vfs_readlink(&root_ctx, &path, &got), 0);
	cr_assert_str_eq(got, target);
	free(got);
	path_put(&path);
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/l"), 0);
	free_space(&after);
	cr_assert_eq(after.bfree, before.bfree);
}

Test(tmpfs, symlink_over_an_existing_name_charges_nothing)
{
	struct kstatfs before, after;
	char target[300];

	memset(target, 't', sizeof(target));
	target[299] = '\0';
	make_file("/l", "");
	free_space(&before);
	cr_assert_eq(vfs_symlink(&root_ctx, NULL, "/l", target), -EEXIST);
	free_space(&after);
	cr_assert_eq(after.bfree, before.bfree);
}

Test(tmpfs, tmpfile_has_no_name_until_linked)
{
	struct file *file = must_open("/", O_TMPFILE | O_RDWR);
	struct kstat st;

	cr_assert_eq(put_bytes(file, "t", 1), 1);
	cr_assert_eq(file->inode->nlink, 0);
	cr_assert_eq(vfs_link(&root_ctx, &file->path, NULL, "/named"), 0);
	stat_of("/named", &st);
	cr_assert_eq(st.nlink, 1);
	cr_assert_eq(st.size, 1);
	file_put(file);
}

Test(tmpfs, truncate_changes_size_and_gives_room_back)
{
	struct file *file = must_open("/a", O_CREAT | O_RDWR);
	struct kstatfs st;
	struct kstat stat;

	cr_assert_eq(vfs_fallocate(&root_ctx, file, 0, 0, 1 << 20), 0);
	cr_assert_eq(vfs_fallocate(&root_ctx, file, 0, 0, (1 << 20) + 4096), -ENOSPC);
	cr_assert_eq(vfs_ftruncate(&root_ctx, file, 10), 0);
	stat_of("/a", &stat);
	cr_assert_eq(stat.size, 10);
	cr_assert_eq(stat.blocks, 8);
	free_space(&st);
	cr_assert_eq(st.bfree, 255);
	file_put(file);
}

Test(tmpfs, writing_strips_set_id_bits)
{
	struct file *file = open_as(&user_ctx, "/s", O_CREAT | O_WRONLY, 06755);
	struct io_iter iter;

	cr_assert_not_null(file);
	cr_assert_eq(file->inode->mode & 07777, 06755);
	iter_init_mem(&iter, "x", 1);
	cr_assert_eq(vfs_write(&user_ctx, file, &iter), 1);
	cr_assert_eq(file->inode->mode & 07777, 0755);
	file_put(file);
}

Test(tmpfs, xattrs_are_kept_listed_and_counted)
{
	struct kstatfs before, after;
	struct path path;
	char buf[64], *big = calloc(1, 65536);

	make_file("/a", "");
	free_space(&before);
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/a", 0, &path), 0);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "user.k", "value", 5, XATTR_CREATE), 0);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "user.k", "v", 1, XATTR_CREATE), -EEXIST);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "user.n", "v", 1, XATTR_REPLACE), -ENODATA);
	cr_assert_eq(vfs_getxattr(&root_ctx, &path, "user.k", buf, 64), 5);
	cr_assert_eq(vfs_getxattr(&root_ctx, &path, "user.k", buf, 2), -ERANGE);
	cr_assert_eq(vfs_getxattr(&root_ctx, &path, "user.k", NULL, 0), 5);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "trusted.t", big, 65536, 0), 0);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "user.k", big, 65537, 0), -E2BIG);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "other.x", "v", 1, 0), -EOPNOTSUPP);
	cr_assert_eq(vfs_listxattr(&root_ctx, &path, buf, 64), 17);
	cr_assert_eq(vfs_listxattr(&user_ctx, &path, buf, 64), 7, "trusted is hidden");
	cr_assert_eq(vfs_getxattr(&user_ctx, &path, "trusted.t", buf, 64), -ENODATA);
	free_space(&after);
	cr_assert_leq(after.bfree, before.bfree - 16);
	cr_assert_eq(vfs_removexattr(&root_ctx, &path, "trusted.t"), 0);
	cr_assert_eq(vfs_removexattr(&root_ctx, &path, "trusted.t"), -ENODATA);
	path_put(&path);
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/a"), 0);
	free_space(&after);
	cr_assert_eq(after.bfree, before.bfree);
	free(big);
}

Test(tmpfs, user_xattrs_are_refused_on_special_files)
{
	struct path path;

	cr_assert_eq(vfs_symlink(&root_ctx, NULL, "/l", "x"), 0);
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/l", 0, &path), 0);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "user.k", "v", 1, 0), -EPERM);
	cr_assert_eq(vfs_setxattr(&root_ctx, &path, "trusted.k", "v", 1, 0), 0);
	path_put(&path);
}

Test(tmpfs, deep_tree_with_hard_links_is_dropped_without_recursion)
{
	char *name = malloc(4096);
	struct path dir, sub;

	/* Deeper than a stack of 128 KiB would bear; step by step, for PATH_MAX. */
	fs_get_root(root_ctx.fs, &dir);
	for (int n = 0; n < 900; n++) {
		cr_assert_eq(vfs_mkdir(&root_ctx, &dir, "d", 0755), 0);
		cr_assert_eq(path_lookup(&root_ctx, &dir, "d", 0, &sub), 0);
		path_put(&dir);
		dir = sub;
	}
	cr_assert_eq(vfs_mknod(&root_ctx, &dir, "f", S_IFREG | 0600, 0), 0);
	cr_assert_eq(path_lookup(&root_ctx, &dir, "f", 0, &sub), 0);
	cr_assert_eq(vfs_link(&root_ctx, &sub, &dir, "g"), 0);
	cr_assert_eq(vfs_link(&root_ctx, &sub, NULL, "/h"), 0);
	path_put(&sub);
	path_put(&dir);
	free(name);
}

/* ---- file handles ---- */

static struct vfs_handle handle_of(const char *name)
{
	struct vfs_handle handle = { .bytes = HANDLE_BYTES_MAX };
	struct path path;

	cr_assert_eq(path_lookup(&root_ctx, NULL, name, 0, &path), 0, "lookup %s", name);
	cr_assert_eq(vfs_name_to_handle(&path, HANDLE_OPENABLE, &handle), 0);
	path_put(&path);
	return handle;
}

/* Where a handle leads when no name is cached. */
static const char *place_of(const struct vfs_handle *handle)
{
	static char place[64];
	struct path root;
	struct file *file;
	char *name;
	int err;

	dcache_shrink(0);
	fs_get_root(root_ctx.fs, &root);
	err = vfs_open_by_handle(&root_ctx, &root, handle, O_PATH, &file);
	if (err) {
		snprintf(place, sizeof(place), "%d", err);
	} else {
		name = d_path(&file->path, &root);
		snprintf(place, sizeof(place), "%s", name);
		free(name);
		file_put(file);
	}
	path_put(&root);
	return place;
}

/* cf. shmem_fh_to_dentry(): Linux has the dentries of a tmpfs in memory as long as the inodes. */
Test(tmpfs, a_handle_leads_to_a_place_that_is_not_cached)
{
	struct vfs_handle dir, file, link;

	cr_assert_eq(make_dir("/a"), 0);
	cr_assert_eq(make_dir("/a/b"), 0);
	make_file("/a/b/f", "");
	cr_assert_eq(vfs_symlink(&root_ctx, NULL, "/a/b/l", "x"), 0);
	dir = handle_of("/a/b");
	file = handle_of("/a/b/f");
	link = handle_of("/a/b/l");
	cr_expect_str_eq(place_of(&dir), "/a/b");
	cr_expect_str_eq(place_of(&file), "/a/b/f");
	cr_expect_str_eq(place_of(&link), "/a/b/l");
	cr_assert_eq(move("/a", "/c", 0), 0);
	cr_assert_eq(move("/c/b/f", "/c/g", 0), 0);
	cr_expect_str_eq(place_of(&dir), "/c/b");
	cr_expect_str_eq(place_of(&file), "/c/g");
	cr_assert_eq(move("/c/b", "/c/g", RENAME_EXCHANGE), 0);
	cr_expect_str_eq(place_of(&dir), "/c/g");
	cr_expect_str_eq(place_of(&file), "/c/b");
	cr_expect_str_eq(place_of(&link), "/c/g/l");
}

Test(tmpfs, a_handle_lasts_as_long_as_a_name)
{
	struct vfs_handle file, dir;
	struct path path;

	cr_assert_eq(make_dir("/d"), 0);
	make_file("/f", "");
	file = handle_of("/f");
	dir = handle_of("/d");
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/f", 0, &path), 0);
	cr_assert_eq(vfs_link(&root_ctx, &path, NULL, "/d/g"), 0);
	path_put(&path);
	cr_expect_str_eq(place_of(&file), "/d/g", "the latest of its names");
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/f"), 0);
	cr_expect_str_eq(place_of(&file), "/d/g");
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/d/g"), 0);
	cr_expect_str_eq(place_of(&file), "-116"); /* ESTALE */
	cr_assert_eq(vfs_rmdir(&root_ctx, NULL, "/d"), 0);
	cr_expect_str_eq(place_of(&dir), "-116");
}

/* It has a file, and no place: nobody has kept in mind where the other name is. */
Test(tmpfs, a_handle_of_a_file_that_lost_its_latest_name_can_be_opened)
{
	struct vfs_handle handle;
	struct path path;

	make_file("/f", "");
	handle = handle_of("/f");
	cr_assert_eq(path_lookup(&root_ctx, NULL, "/f", 0, &path), 0);
	cr_assert_eq(vfs_link(&root_ctx, &path, NULL, "/g"), 0);
	path_put(&path);
	cr_assert_eq(vfs_unlink(&root_ctx, NULL, "/g"), 0);
	cr_expect_str_eq(place_of(&handle), "/");
}

/* ---- options ---- */

static int try_options(const char *options, struct strbuf *shown)
{
	struct fs_context *fc;
	int err;

	cr_assert_eq(fs_context_new(&tmpfs_fs_type, 0, &fc), 0);
	err = fs_context_parse_monolithic(&root_ctx, fc, options);
	if (!err)
		err = fs_context_get_tree(&root_ctx, fc);
	if (!err && shown)
		fc->root->sb->op->show_options(fc->root->sb, shown);
	fs_context_free(fc);
	return err;
}

Test(tmpfs, options_are_shown_as_given)
{
	struct strbuf sb = STRBUF_INIT;

	cr_assert_eq(try_options("size=5m,nr_inodes=1k,mode=0750,uid=7,gid=8,huge=never", &sb), 0);
	cr_assert_str_eq(sb.buf, ",size=5120k,nr_inodes=1024,mode=750,uid=7,gid=8,inode64");
	strbuf_free(&sb);
	cr_assert_eq(try_options("", &sb), 0);
	cr_assert_str_eq(sb.buf, ",inode64");
	strbuf_free(&sb);
	cr_assert_eq(try_options("nr_blocks=3", &sb), 0);
	cr_assert_str_eq(sb.buf, ",size=12k,inode64");
	strbuf_free(&sb);
}

Test(tmpfs, bad_options_are_refused)
{
	static const char *const bad[] = {
		"size=",  "size=x", "size=1q",	      "size=101%",    "size=99999999999999999999g",
		"mode=9", "uid=-1", "uid=4294967295", "nr_inodes=1x", "frob=1",
		"size"
	};

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		cr_expect_eq(try_options(bad[n], NULL), -EINVAL, "%s", bad[n]);
	cr_assert_eq(try_options("size=50%", NULL), 0);
}

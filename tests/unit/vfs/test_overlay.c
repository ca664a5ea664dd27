/* overlay: what is copied up and when, whiteouts, renames across the layers, identity. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include "tests/unit/vfs/host_tree.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay.h"
#include "vfs/ops.h"

static struct superblock *lower_sb;

static void mount_overlay(void)
{
	struct superblock *lower, *sb;

	cr_assert_eq(hostfs_mount(&ctx, host_root, true, &lower), 0);
	/* The tests that change the lower layer do not want to wait a second. */
	hostfs_set_cache(lower, 0);
	become(0, 0);
	cr_assert_eq(overlay_mount(&ctx, lower, NULL, &sb), 0);
	lower_sb = lower;
	superblock_put(lower);
	tree_begin(sb);
}

static void begin(void)
{
	host_begin();
	host_mkdir("dir");
	host_mkdir("dir/sub");
	host_write("file", "hello");
	host_write("dir/a", "text a");
	host_write("dir/b", "text b");
	host_write("dir/sub/deep", "deep text");
	mount_overlay();
}

static void end(void)
{
	if (ctx.fs)
		tree_end();
	host_end();
}

TestSuite(overlay, .init = begin, .fini = end, .timeout = 120);

Test(overlay, shows_the_lower_layer)
{
	struct stat st;

	cr_assert_eq(stat(host("file"), &st), 0);
	cr_assert_str_eq(text_of("/dir/sub/deep"), "deep text");
	cr_assert_eq(must_stat("/file").ino, st.st_ino);
	cr_assert_str_eq(names_in("/dir"), "a b sub");
	cr_assert_eq(exists("/none"), 0);
}

Test(overlay, writing_changes_the_copy_and_never_the_host)
{
	struct file *file = must_open("/file", O_RDWR);

	cr_assert_eq(kernel_write(&ctx, file, "J", 1, 0), 1);
	file_put(file);
	cr_assert_str_eq(text_of("/file"), "Jello");
	cr_assert_str_eq(host_read("file"), "hello");
}

Test(overlay, copy_up_keeps_number_mode_owner_and_times)
{
	struct timespec old[2] = {{1000, 5}, {2000, 6}};
	struct kstat before, after;

	chmod(host("file"), 0640);
	if (geteuid() == 0)
		cr_assert_eq(chown(host("file"), 12, 34), 0);
	cr_assert_eq(utimensat(AT_FDCWD, host("file"), old, 0), 0);
	before = must_stat("/file");
	cr_assert_eq(before.mtime.tv_sec, 2000);
	file_put(must_open("/file", O_RDWR));
	after = must_stat("/file");
	cr_assert_eq(after.ino, before.ino);
	cr_assert_eq(after.dev, before.dev);
	cr_assert_eq(after.mode, before.mode);
	cr_assert_eq(after.uid, before.uid);
	cr_assert_eq(after.gid, before.gid);
	cr_assert_eq(after.size, before.size);
	cr_assert_eq(after.mtime.tv_sec, 2000);
	cr_assert_eq(after.mtime.tv_nsec, 6);
}

Test(overlay, hard_links_stay_one_file)
{
	cr_assert_eq(link(host("file"), host("dir/link")), 0);
	cr_assert_eq(put_text("/dir/link", "new"), 0);
	cr_assert_str_eq(text_of("/file"), "new");
	cr_assert_eq(must_stat("/file").nlink, 2);
	cr_assert_eq(do_unlink("/dir/link"), 0);
	cr_assert_eq(must_stat("/file").nlink, 1);
	cr_assert_str_eq(text_of("/file"), "new");
	cr_assert_eq(exists("/dir/link"), 0);
	cr_assert_eq(do_link("/file", "/dir/second"), 0);
	cr_assert_eq(must_stat("/file").nlink, 2);
	cr_assert_eq(must_stat("/file").ino, must_stat("/dir/second").ino);
}

Test(overlay, changes_survive_without_the_name_cache)
{
	cr_assert_eq(link(host("file"), host("dir/link")), 0);
	cr_assert_eq(put_text("/dir/a", "changed"), 0);
	cr_assert_eq(do_chmod("/dir/b", 0600), 0);
	cr_assert_eq(put_text("/dir/sub/new", "made"), 0);
	cr_assert_eq(do_unlink("/dir/link"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/dir/a"), "changed");
	cr_assert_eq(must_stat("/dir/b").mode & 07777, 0600);
	cr_assert_str_eq(text_of("/dir/sub/new"), "made");
	cr_assert_eq(must_stat("/file").nlink, 1);
	cr_assert_eq(exists("/dir/link"), 0);
}

Test(overlay, a_reader_from_before_the_copy_up_sees_the_new_content)
{
	struct file *file = must_open("/file", O_RDONLY);

	cr_assert_str_eq(file_text(file), "hello");
	cr_assert_eq(put_text("/file", "rewritten"), 0);
	cr_assert_str_eq(file_text(file), "rewritten");
	cr_assert_eq(fstat_of(file).size, 9);
	file_put(file);
}

Test(overlay, chmod_alone_copies_no_data)
{
	struct kstatfs before = {0}, after = {0};
	struct path root;
	int fd = open(host("big"), O_CREAT | O_WRONLY, 0644);

	cr_assert_eq(ftruncate(fd, 64 << 20), 0);
	close(fd);
	fs_get_root(ctx.fs, &root);
	cr_assert_eq(vfs_statfs(&ctx, &root, &before), 0);
	cr_assert_eq(do_chmod("/big", 0600), 0);
	cr_assert_eq(vfs_statfs(&ctx, &root, &after), 0);
	cr_assert_geq(after.bfree + 16, before.bfree);
	cr_assert_eq(must_stat("/big").mode & 07777, 0600);
	cr_assert_eq(must_stat("/big").size, 64 << 20);
	path_put(&root);
}

Test(overlay, copy_up_leaves_holes_holes)
{
	struct kstat st;
	struct file *file;
	char c = 0;
	int fd = open(host("sparse"), O_CREAT | O_WRONLY, 0644);

	cr_assert_eq(pwrite(fd, "x", 1, 32 << 20), 1);
	cr_assert_eq(ftruncate(fd, 64 << 20), 0);
	close(fd);
	file = must_open("/sparse", O_RDWR);
	st = fstat_of(file);
	cr_assert_eq(st.size, 64 << 20);
	cr_assert_lt(st.blocks, 2048);
	cr_assert_eq(kernel_read(&ctx, file, &c, 1, 32 << 20), 1);
	cr_assert_eq(c, 'x');
	file_put(file);
}

Test(overlay, big_files_are_copied_whole)
{
	size_t size = (3 << 20) + 77, i;
	unsigned char *bytes = malloc(size), *got = malloc(size);
	struct file *file;
	int fd = open(host("big"), O_CREAT | O_WRONLY, 0644);

	for (i = 0; i < size; i++)
		bytes[i] = (unsigned char)(1 + i % 251);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
	file = must_open("/big", O_RDWR);
	cr_assert_eq(kernel_read(&ctx, file, got, size, 0), (ssize_t)size);
	cr_assert_arr_eq(got, bytes, size);
	file_put(file);
	free(bytes);
	free(got);
}

Test(overlay, truncation_copies_what_is_left)
{
	cr_assert_eq(change("/file", (struct iattr){.valid = ATTR_SIZE, .size = 2}), 0);
	cr_assert_str_eq(text_of("/file"), "he");
	cr_assert_eq(change("/dir/a", (struct iattr){.valid = ATTR_SIZE, .size = 8}), 0);
	cr_assert_eq(must_stat("/dir/a").size, 8);
	cr_assert_eq(put_text("/dir/b", ""), 0);
	cr_assert_eq(must_stat("/dir/b").size, 0);
	cr_assert_str_eq(host_read("file"), "hello");
	cr_assert_str_eq(host_read("dir/b"), "text b");
}

static void *append_to_file(void *arg)
{
	struct op_ctx mine = ctx;
	struct open_args args = {.flags = O_WRONLY | O_APPEND};
	struct file *file;
	long err = vfs_open(&mine, NULL, "/race", &args, &file);

	(void)arg;
	if (err)
		return (void *)err;
	err = kernel_write(&mine, file, "x", 1, 0) == 1 ? 0 : -EIO;
	file_put(file);
	return (void *)err;
}

Test(overlay, racing_copy_ups_make_one_copy)
{
	pthread_t threads[8];
	void *result;
	int i, fd = open(host("race"), O_CREAT | O_WRONLY, 0644);

	cr_assert_eq(ftruncate(fd, 4 << 20), 0);
	cr_assert_eq(pwrite(fd, "start", 5, 0), 5);
	close(fd);
	for (i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, append_to_file, NULL);
	for (i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		cr_assert_eq((long)result, 0);
	}
	cr_assert_eq(must_stat("/race").size, (4 << 20) + 8);
}

Test(overlay, removed_names_stay_removed)
{
	cr_assert_eq(do_unlink("/dir/a"), 0);
	cr_assert_eq(exists("/dir/a"), 0);
	dcache_shrink(0);
	cr_assert_eq(exists("/dir/a"), 0);
	cr_assert_str_eq(names_in("/dir"), "b sub");
	cr_assert_eq(access(host("dir/a"), F_OK), 0);
	/* Something new under the old name, and away with that too. */
	cr_assert_eq(put_text("/dir/a", "second life"), 0);
	cr_assert_str_eq(text_of("/dir/a"), "second life");
	cr_assert_str_eq(names_in("/dir"), "a b sub");
	cr_assert_eq(do_unlink("/dir/a"), 0);
	dcache_shrink(0);
	cr_assert_eq(exists("/dir/a"), 0);
}

Test(overlay, a_directory_made_over_a_removed_one_is_empty)
{
	cr_assert_eq(do_rmdir("/dir/sub"), -ENOTEMPTY);
	cr_assert_eq(do_unlink("/dir/sub/deep"), 0);
	cr_assert_eq(do_rmdir("/dir/sub"), 0);
	cr_assert_eq(exists("/dir/sub"), 0);
	cr_assert_eq(do_mkdir("/dir/sub"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(names_in("/dir/sub"), "");
	cr_assert_eq(exists("/dir/sub/deep"), 0);
}

Test(overlay, names_of_both_layers_appear_once)
{
	cr_assert_eq(put_text("/dir/new", "n"), 0);
	cr_assert_eq(put_text("/dir/a", "copied up"), 0);
	cr_assert_eq(do_chmod("/dir/b", 0600), 0);
	cr_assert_str_eq(names_in("/dir"), "a b new sub");
}

Test(overlay, readdir_positions_hold_while_names_come_and_go)
{
	static struct name_list list;
	struct file *dir;
	char *third;
	int64_t pos;
	int i, n, rest = 0;

	for (i = 0; i < 40; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "/dir/n%d", i);
		cr_assert_eq(put_text(name, ""), 0);
	}
	dir = must_open("/dir", O_RDONLY);
	cr_assert_eq(read_names(dir, &list, 3), 3);
	pos = list.offs[2];
	third = strdup(list.names[2]);
	free_names(&list);
	for (i = 0; i < 40; i += 2) {
		char name[64];

		(void)snprintf(name, sizeof(name), "/dir/n%d", i);
		cr_assert_eq(do_unlink(name), 0);
	}
	cr_assert_eq(vfs_llseek(&ctx, dir, pos, SEEK_SET), pos);
	cr_assert_eq(read_names(dir, &list, 1), 1);
	cr_assert_str_eq(list.names[0], third);
	free_names(&list);
	while ((n = read_names(dir, &list, 5)) > 0) {
		rest += n;
		free_names(&list);
	}
	cr_assert_eq(rest, 40);
	cr_assert_eq(vfs_llseek(&ctx, dir, 0, SEEK_SET), 0);
	cr_assert_eq(read_names(dir, &list, 1000), 23);
	free_names(&list);
	free(third);
	file_put(dir);
}

Test(overlay, readdir_and_stat_agree_on_numbers)
{
	static struct name_list list;
	struct file *dir;
	int i;

	cr_assert_eq(put_text("/dir/new", ""), 0);
	cr_assert_eq(put_text("/dir/a", "x"), 0);
	dir = must_open("/dir", O_RDONLY);
	cr_assert_eq(read_names(dir, &list, 100), 4);
	for (i = 0; i < list.nr; i++) {
		char name[300];

		(void)snprintf(name, sizeof(name), "/dir/%s", list.names[i]);
		cr_assert_eq(must_stat(name).ino, list.inos[i], "%s", name);
	}
	free_names(&list);
	file_put(dir);
}

Test(overlay, a_lower_directory_can_be_renamed)
{
	struct kstat before = must_stat("/dir");

	cr_assert_eq(put_text("/dir/new", "n"), 0);
	cr_assert_eq(do_unlink("/dir/b"), 0);
	cr_assert_eq(do_mkdir("/place"), 0);
	cr_assert_eq(do_rename("/dir", "/place/moved"), 0);
	dcache_shrink(0);
	cr_assert_eq(exists("/dir"), 0);
	cr_assert_eq(must_stat("/place/moved").ino, before.ino);
	cr_assert_str_eq(names_in("/place/moved"), "a new sub");
	cr_assert_str_eq(text_of("/place/moved/sub/deep"), "deep text");
	cr_assert_str_eq(text_of("/place/moved/a"), "text a");
	/* Its old name is free for something else. */
	cr_assert_eq(do_mkdir("/dir"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(names_in("/dir"), "");
	/* And a directory below it can go its own way. */
	cr_assert_eq(do_rename("/place/moved/sub", "/sub"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/sub/deep"), "deep text");
	cr_assert_str_eq(names_in("/place/moved"), "a new");
}

Test(overlay, rename_replaces_and_exchanges_across_layers)
{
	cr_assert_eq(put_text("/upper", "upper"), 0);
	cr_assert_eq(do_rename("/upper", "/file"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/file"), "upper");
	cr_assert_eq(exists("/upper"), 0);
	cr_assert_eq(vfs_rename(&ctx, NULL, "/file", NULL, "/dir/sub", RENAME_EXCHANGE), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/dir/sub"), "upper");
	cr_assert_str_eq(text_of("/file/deep"), "deep text");
	cr_assert_eq(do_rename("/dir/a", "/dir/b"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/dir/b"), "text a");
	cr_assert_str_eq(names_in("/dir"), "b sub");
	cr_assert_eq(vfs_rename(&ctx, NULL, "/dir/b", NULL, "/file", RENAME_NOREPLACE), -EEXIST);
}

Test(overlay, rename_onto_a_directory_wants_it_empty)
{
	cr_assert_eq(do_mkdir("/empty"), 0);
	cr_assert_eq(do_rename("/empty", "/dir"), -ENOTEMPTY);
	cr_assert_eq(do_unlink("/dir/sub/deep"), 0);
	cr_assert_eq(do_rename("/empty", "/dir/sub"), 0);
	dcache_shrink(0);
	cr_assert_str_eq(names_in("/dir/sub"), "");
}

Test(overlay, an_unlinked_file_lives_as_long_as_it_is_open)
{
	struct file *lower = must_open("/file", O_RDONLY), *upper;

	cr_assert_eq(put_text("/new", "new"), 0);
	upper = must_open("/new", O_RDWR);
	cr_assert_eq(do_unlink("/file"), 0);
	cr_assert_eq(do_unlink("/new"), 0);
	cr_assert_str_eq(file_text(lower), "hello");
	cr_assert_str_eq(file_text(upper), "new");
	cr_assert_eq(fstat_of(lower).nlink, 0);
	cr_assert_eq(fstat_of(upper).nlink, 0);
	file_put(lower);
	file_put(upper);
}

Test(overlay, what_the_guest_wrote_hides_what_the_host_puts_there)
{
	cr_assert_eq(put_text("/file", "guest"), 0);
	cr_assert_eq(do_chmod("/dir/a", 0600), 0);
	host_write("fresh", "host");
	cr_assert_eq(rename(host("fresh"), host("file")), 0);
	host_write("fresh", "host");
	cr_assert_eq(rename(host("fresh"), host("dir/a")), 0);
	dcache_shrink(0);
	cr_assert_str_eq(text_of("/file"), "guest");
	cr_assert_eq(must_stat("/dir/a").mode & 07777, 0600);
}

Test(overlay, unchanged_files_follow_the_host)
{
	cr_assert_str_eq(text_of("/file"), "hello");
	host_write("fresh", "host");
	cr_assert_eq(rename(host("fresh"), host("file")), 0);
	cr_assert_str_eq(text_of("/file"), "host");
	host_write("dir/late", "late");
	cr_assert_str_eq(text_of("/dir/late"), "late");
}

Test(overlay, whiteouts_are_not_kept_for_names_that_were_only_ours)
{
	struct kstatfs before = {0}, after = {0};
	struct path root;
	int i;

	cr_assert_eq(put_text("/dir/tmp", ""), 0);
	cr_assert_eq(do_unlink("/dir/tmp"), 0);
	fs_get_root(ctx.fs, &root);
	cr_assert_eq(vfs_statfs(&ctx, &root, &before), 0);
	for (i = 0; i < 1000; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "/dir/tmp%d", i);
		cr_assert_eq(put_text(name, "x"), 0);
		cr_assert_eq(do_unlink(name), 0);
	}
	dcache_shrink(0);
	cr_assert_eq(vfs_statfs(&ctx, &root, &after), 0);
	cr_assert_eq(after.bfree, before.bfree);
	path_put(&root);
}

Test(overlay, attributes_are_copied_and_then_the_guests)
{
	bool have = setxattr(host("file"), "user.low", "from host", 9, 0) == 0;

	if (have)
		cr_assert_str_eq(xattr_of("/file", "user.low"), "from host");
	cr_assert_eq(set_xattr_of("/file", "user.mine", "guest"), 0);
	cr_assert_str_eq(xattr_of("/file", "user.mine"), "guest");
	if (have)
		cr_assert_str_eq(xattr_of("/file", "user.low"), "from host");
	cr_assert_eq(set_xattr_of("/dir", "trusted.x", "t"), 0);
	cr_assert_str_eq(xattr_of("/dir", "trusted.x"), "t");
	cr_assert_eq(getxattr(host("file"), "user.mine", NULL, 0), -1);
}

Test(overlay, writing_takes_file_capabilities_away)
{
	struct file *file;

	cr_assert_eq(put_text("/prog", "x"), 0);
	cr_assert_eq(set_xattr_of("/prog", "security.capability", "\1\0\0\2aaaaaaaaaaaaaaaa"), 0);
	file = must_open("/prog", O_WRONLY);
	cr_assert_eq(kernel_write(&ctx, file, "y", 1, 0), 1);
	file_put(file);
	cr_assert_str_eq(xattr_of("/prog", "security.capability"), "(error -61)");
}

Test(overlay, mappings_have_the_files_access)
{
	struct mmap_request req = {.length = 4096, .prot = PROT_READ, .flags = MAP_SHARED};
	struct file *file = must_open("/file", O_RDONLY);
	char *view;
	int fd;

	cr_assert_eq(file->op->mmap(&ctx, file, &req, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	file_put(file);
	file = must_open("/file", O_RDWR);
	cr_assert_eq(file->op->mmap(&ctx, file, &req, &fd), 0);
	view = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(view, MAP_FAILED);
	view[0] = 'J';
	cr_assert_str_eq(file_text(file), "Jello");
	cr_assert_eq(kernel_write(&ctx, file, "Y", 1, 0), 1);
	cr_assert_eq(view[0], 'Y');
	munmap(view, 4096);
	close(fd);
	file_put(file);
	file = must_open("/file", O_RDONLY);
	cr_assert_eq(file->op->mmap(&ctx, file, &req, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	file_put(file);
}

Test(overlay, symlinks_of_both_layers_are_followed)
{
	cr_assert_eq(symlink("dir/a", host("low")), 0);
	cr_assert_eq(do_symlink("dir/b", "/up"), 0);
	cr_assert_str_eq(text_of("/low"), "text a");
	cr_assert_str_eq(text_of("/up"), "text b");
	cr_assert_eq(do_rename("/low", "/dir/low"), 0);
	cr_assert_str_eq(text_of("/dir/low"), "(error -2)");
	cr_assert_eq(must_stat("/up").size, 5);
}

Test(overlay, special_files_can_be_made)
{
	cr_assert_eq(vfs_mknod(&ctx, NULL, "/dir/fifo", S_IFIFO | 0644, 0), 0);
	cr_assert_eq(vfs_mknod(&ctx, NULL, "/dir/null", S_IFCHR | 0666, 0x103), 0);
	cr_assert(S_ISFIFO(must_stat("/dir/fifo").mode));
	cr_assert_eq(must_stat("/dir/null").rdev, 0x103);
}

Test(overlay, a_temporary_file_can_get_a_name)
{
	struct file *file;

	cr_assert_eq(open_mode("/dir", O_TMPFILE | O_RDWR, 0600, &file), 0);
	cr_assert_eq(fstat_of(file).nlink, 0);
	cr_assert_eq(kernel_write(&ctx, file, "tmp", 3, 0), 3);
	cr_assert_str_eq(names_in("/dir"), "a b sub");
	cr_assert_eq(vfs_link(&ctx, &file->path, NULL, "/dir/named"), 0);
	cr_assert_eq(fstat_of(file).nlink, 1);
	file_put(file);
	cr_assert_str_eq(text_of("/dir/named"), "tmp");
}

Test(overlay, owners_and_modes_decide_who_may_what)
{
	uid_t stranger = geteuid() + 1000; /* who runs this owns the files */

	chmod(host("dir"), 01777);
	become(stranger, 1000);
	cr_assert_eq(put_text("/file", "x"), -EACCES);
	cr_assert_eq(put_text("/new", "x"), -EACCES);
	cr_assert_eq(put_text("/dir/mine", "x"), 0);
	cr_assert_eq(must_stat("/dir/mine").uid, stranger);
	cr_assert_eq(do_unlink("/dir/a"), -EPERM);
	cr_assert_eq(do_rename("/dir/a", "/dir/c"), -EPERM);
	cr_assert_eq(do_unlink("/dir/mine"), 0);
}

Test(overlay, directory_link_counts_follow_their_subdirectories)
{
	uint32_t before = must_stat("/dir").nlink;

	if (before < 2)
		cr_skip_test("the host does not count subdirectories");
	cr_assert_eq(do_mkdir("/dir/more"), 0);
	cr_assert_eq(must_stat("/dir").nlink, before + 1);
	cr_assert_eq(do_rename("/dir/sub", "/sub"), 0);
	cr_assert_eq(must_stat("/dir").nlink, before);
	cr_assert_eq(do_rmdir("/dir/more"), 0);
	cr_assert_eq(must_stat("/dir").nlink, before - 1);
}

Test(overlay, is_an_overlay_for_statfs)
{
	struct kstatfs st = {0};
	struct path root;

	fs_get_root(ctx.fs, &root);
	cr_assert_eq(vfs_statfs(&ctx, &root, &st), 0);
	cr_assert_eq(st.type, 0x794c7630);
	cr_assert_gt(st.blocks, 0);
	path_put(&root);
}

Test(overlay, a_deep_tree_comes_apart_without_recursion)
{
	struct path base, next;
	int i;

	fs_get_root(ctx.fs, &base);
	for (i = 0; i < 20000; i++) {
		cr_assert_eq(vfs_mkdir(&ctx, &base, "d", 0755), 0);
		cr_assert_eq(path_lookup(&ctx, &base, "d", 0, &next), 0);
		path_put(&base);
		base = next;
	}
	path_put(&base);
	tree_end(); /* a stack overflow ends the test */
}

Test(overlay, a_directory_removed_on_the_host_is_gone)
{
	cr_assert_eq(exists("/dir/sub/deep"), 1);
	cr_assert_eq(unlink(host("dir/sub/deep")), 0);
	cr_assert_eq(rmdir(host("dir/sub")), 0);
	cr_assert_eq(exists("/dir/sub"), 0);
	cr_assert_eq(exists("/dir/sub/deep"), 0);
}

Test(overlay, a_file_with_a_new_mode_still_shows_what_the_host_writes)
{
	struct kstat st;

	cr_assert_eq(do_chmod("/file", 0600), 0);
	host_write("file", "hello and more");
	usleep(1000);
	st = must_stat("/file");
	cr_assert_eq(st.size, 14);
	cr_assert_eq(st.mode & 07777, 0600);
	cr_assert_str_eq(text_of("/file"), "hello and more");
}

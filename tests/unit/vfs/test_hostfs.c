/* hostfs: confinement, identity, both kinds of caching, changes on the host, descriptors. */
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "sentry/base/iter.h"
#include "tests/unit/vfs/host_tree.h"
#include "vfs/fs/hostfs.h"
#include "vfs/ops.h"

/* The tree below "root"; beside it lies what must stay out of reach. */
static void mount_root(bool read_only)
{
	struct superblock *sb;

	cr_assert_eq(hostfs_mount(&ctx, host("root"), read_only, &sb), 0);
	tree_begin(sb);
}

static void begin(void)
{
	host_begin();
	host_mkdir("root");
	host_write("secret", "outside");
	host_mkdir("root/dir");
	host_write("root/file", "hello");
	host_write("root/dir/inner", "inner text");
}

static void end(void)
{
	if (ctx.fs)
		tree_end();
	host_end();
}

TestSuite(hostfs, .init = begin, .fini = end, .timeout = 120);

Test(hostfs, files_and_attributes_are_the_hosts)
{
	struct stat st;
	struct kstat ks;

	chmod(host("root/file"), 0640);
	mount_root(true);
	cr_assert_str_eq(text_of("/file"), "hello");
	cr_assert_str_eq(text_of("/dir/../dir/inner"), "inner text");
	ks = must_stat("/file");
	cr_assert_eq(stat(host("root/file"), &st), 0);
	cr_assert_eq(ks.ino, st.st_ino);
	cr_assert_eq(ks.mode, st.st_mode);
	cr_assert_eq(ks.size, 5);
	cr_assert_eq(ks.mtime.tv_sec, st.st_mtim.tv_sec);
	cr_assert_eq(ks.mtime.tv_nsec, st.st_mtim.tv_nsec);
	cr_assert_eq(exists("/missing"), 0);
	cr_assert_eq(try_open("/missing", O_RDONLY), -ENOENT);
}

Test(hostfs, the_root_is_never_left)
{
	mount_root(false);
	cr_assert_eq(symlink("/secret", host("root/absolute")), 0);
	cr_assert_eq(symlink("../secret", host("root/relative")), 0);
	cr_assert_eq(symlink("../../secret", host("root/dir/deep")), 0);
	cr_assert_eq(symlink("..", host("root/up")), 0);
	cr_assert_eq(try_open("/absolute", O_RDONLY), -ENOENT);
	cr_assert_eq(try_open("/relative", O_RDONLY), -ENOENT);
	cr_assert_eq(try_open("/dir/deep", O_RDONLY), -ENOENT);
	cr_assert_eq(try_open("/up/secret", O_RDONLY), -ENOENT);
	cr_assert_eq(try_open("/../secret", O_RDONLY), -ENOENT);
	cr_assert_eq(try_open("/dir/../../../secret", O_RDONLY), -ENOENT);
	/* Creating through them stays inside, too. */
	cr_assert_eq(put_text("/up/new", "x"), 0);
	cr_assert_str_eq(host_read("root/new"), "x");
	cr_assert_str_eq(host_read("new"), "(none)");
	cr_assert_eq(do_rename("/file", "/../../moved"), 0);
	cr_assert_str_eq(host_read("root/moved"), "hello");
}

/* A directory of the host is swapped for a symlink to the outside and back, all the time. */
static atomic_bool swapping;

static void *swap_dir(void *arg)
{
	char dir[128], link[128];

	(void)arg;
	(void)snprintf(dir, sizeof(dir), "%s/root/dir", host_root);
	(void)snprintf(link, sizeof(link), "%s/root/link", host_root);
	while (atomic_load(&swapping))
		(void)renameat2(AT_FDCWD, dir, AT_FDCWD, link, RENAME_EXCHANGE);
	return NULL;
}

Test(hostfs, a_race_with_a_symlink_does_not_lead_out)
{
	pthread_t thread;
	int i, seen = 0;

	host_mkdir("outside");
	host_write("outside/inner", "outside");
	cr_assert_eq(symlink(host("outside"), host("root/link")), 0);
	mount_root(false);
	atomic_store(&swapping, true);
	pthread_create(&thread, NULL, swap_dir, NULL);
	for (i = 0; i < 3000; i++) {
		const char *text = text_of("/dir/inner");

		cr_assert_str_neq(text, "outside");
		seen += strcmp(text, "inner text") == 0;
		(void)put_text("/dir/made", "x");
	}
	atomic_store(&swapping, false);
	pthread_join(thread, NULL);
	cr_assert_gt(seen, 0);
	cr_assert_eq(access(host("outside/made"), F_OK), -1);
}

Test(hostfs, hard_links_share_an_inode)
{
	struct file *a, *b;

	cr_assert_eq(link(host("root/file"), host("root/dir/other")), 0);
	mount_root(false);
	a = must_open("/file", O_RDONLY);
	b = must_open("/dir/other", O_RDONLY);
	cr_assert_eq(a->inode, b->inode);
	cr_assert_eq(must_stat("/file").nlink, 2);
	file_put(a);
	file_put(b);
}

Test(hostfs, changes_on_the_host_are_seen_at_once_when_nothing_is_trusted)
{
	mount_root(false);
	cr_assert_eq(exists("/later"), 0);
	host_write("root/later", "now");
	cr_assert_str_eq(text_of("/later"), "now");
	host_write("root/later", "longer text");
	usleep(1000);
	cr_assert_eq(must_stat("/later").size, 11);
	/* Another file under the same name. */
	host_write("root/fresh", "another");
	cr_assert_eq(rename(host("root/fresh"), host("root/later")), 0);
	cr_assert_str_eq(text_of("/later"), "another");
	cr_assert_eq(unlink(host("root/later")), 0);
	cr_assert_eq(exists("/later"), 0);
}

Test(hostfs, a_trusted_name_is_not_asked_for_again)
{
	struct superblock *sb;

	cr_assert_eq(hostfs_mount(&ctx, host("root"), true, &sb), 0);
	hostfs_set_cache(sb, 3600LL * 1000000000);
	tree_begin(sb);
	cr_assert_eq(must_stat("/file").size, 5);
	cr_assert_eq(exists("/later"), 0);
	host_write("root/later", "now");
	host_write("root/file", "much longer");
	cr_assert_eq(exists("/later"), 0);
	cr_assert_eq(must_stat("/file").size, 5);
}

Test(hostfs, trust_ends_after_its_time)
{
	struct superblock *sb;

	cr_assert_eq(hostfs_mount(&ctx, host("root"), true, &sb), 0);
	hostfs_set_cache(sb, 20000000);
	tree_begin(sb);
	cr_assert_eq(exists("/later"), 0);
	host_write("root/later", "now");
	usleep(30000);
	cr_assert_eq(exists("/later"), 1);
}

Test(hostfs, a_directory_moved_on_the_host_is_found_again)
{
	struct path path;

	host_mkdir("root/a");
	host_mkdir("root/a/b");
	host_write("root/a/b/f", "deep");
	mount_root(false);
	cr_assert_eq(path_lookup(&ctx, NULL, "/a/b", 0, &path), 0);
	cr_assert_eq(rename(host("root/a/b"), host("root/moved")), 0);
	cr_assert_eq(exists("/a/b"), 0);
	cr_assert_str_eq(text_of("/moved/f"), "deep");
	path_put(&path);
}

Test(hostfs, directories_that_trade_places_on_the_host_make_no_loop)
{
	struct path p1, p2;

	host_mkdir("root/a");
	host_mkdir("root/a/b");
	mount_root(false);
	cr_assert_eq(path_lookup(&ctx, NULL, "/a", 0, &p1), 0);
	cr_assert_eq(path_lookup(&ctx, NULL, "/a/b", 0, &p2), 0);
	cr_assert_eq(rename(host("root/a/b"), host("root/b")), 0);
	cr_assert_eq(rename(host("root/a"), host("root/b/a")), 0);
	hostfs_set_fd_limit(0);
	hostfs_set_fd_limit(64);
	cr_assert_eq(exists("/b/a"), 1);
	host_write("root/b/a/f", "text");
	cr_assert_str_eq(text_of("/b/a/f"), "text");
	cr_assert_eq(exists("/a"), 0);
	path_put(&p1);
	path_put(&p2);
}

static void append(char buf[512], const char *text)
{
	size_t len = strlen(buf);

	(void)snprintf(buf + len, 512 - len, "%s", text);
}

Test(hostfs, evicted_descriptors_are_opened_again)
{
	char name[512] = "root/dir", path[512] = "/dir";
	struct file *dir;
	int i;

	for (i = 0; i < 40; i++) {
		append(name, "/d");
		append(path, "/d");
		host_mkdir(name);
	}
	append(name, "/f");
	append(path, "/f");
	host_write(name, "bottom");
	mount_root(true);
	dir = must_open("/dir/d/d/d", O_RDONLY);
	cr_assert_str_eq(text_of(path), "bottom");
	hostfs_set_fd_limit(2);
	for (i = 0; i < 3; i++)
		cr_assert_str_eq(text_of(path), "bottom");
	cr_assert_str_eq(file_names(dir), "d");
	file_put(dir);
}

static int open_fds(void)
{
	int i, n = 0;

	for (i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

Test(hostfs, cached_descriptors_stay_below_the_limit)
{
	int i, before, after;

	for (i = 0; i < 200; i++) {
		char name[512];

		(void)snprintf(name, sizeof(name), "root/dir/sub%d", i);
		host_mkdir(name);
		append(name, "/f");
		host_write(name, "x");
	}
	mount_root(true);
	hostfs_set_fd_limit(20);
	before = open_fds();
	for (i = 0; i < 200; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/dir/sub%d/f", i);
		cr_assert_str_eq(text_of(path), "x");
	}
	after = open_fds();
	cr_assert_leq(after, before + 21, "%d -> %d", before, after);
}

Test(hostfs, nothing_of_it_is_left_open_in_the_end)
{
	int before = open_fds(), proc;

	mount_root(true);
	(void)text_of("/dir/inner");
	(void)names_in("/dir");
	(void)must_stat("/file");
	tree_end();
	/* /proc/self/fd stays open for the life of the sentry. */
	proc = before + 1;
	cr_assert_leq(open_fds(), proc);
}

Test(hostfs, a_read_only_mount_refuses_every_change)
{
	mount_root(true);
	cr_assert_eq(put_text("/file", "x"), -EROFS);
	cr_assert_eq(put_text("/new", "x"), -EROFS);
	cr_assert_eq(do_mkdir("/new"), -EROFS);
	cr_assert_eq(do_unlink("/file"), -EROFS);
	cr_assert_eq(do_rename("/file", "/other"), -EROFS);
	cr_assert_eq(do_chmod("/file", 0600), -EROFS);
	cr_assert_eq(do_symlink("x", "/s"), -EROFS);
	cr_assert_eq(do_link("/file", "/l"), -EROFS);
	cr_assert_str_eq(host_read("root/file"), "hello");
}

Test(hostfs, reading_leaves_access_times_alone_on_a_read_only_mount)
{
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
	struct stat st;

	cr_assert_eq(utimensat(AT_FDCWD, host("root/file"), old, 0), 0);
	mount_root(true);
	cr_assert_str_eq(text_of("/file"), "hello");
	cr_assert_eq(stat(host("root/file"), &st), 0);
	cr_assert_eq(st.st_atim.tv_sec, 1000);
}

Test(hostfs, changes_reach_the_host)
{
	struct stat st;

	mount_root(false);
	cr_assert_eq(put_text("/new", "written"), 0);
	cr_assert_str_eq(host_read("root/new"), "written");
	cr_assert_eq(do_mkdir("/made"), 0);
	cr_assert_eq(do_rename("/new", "/made/renamed"), 0);
	cr_assert_str_eq(host_read("root/made/renamed"), "written");
	cr_assert_str_eq(text_of("/made/renamed"), "written");
	cr_assert_eq(exists("/new"), 0);
	cr_assert_eq(do_link("/made/renamed", "/second"), 0);
	cr_assert_eq(must_stat("/second").nlink, 2);
	cr_assert_eq(do_symlink("made/renamed", "/sym"), 0);
	cr_assert_str_eq(text_of("/sym"), "written");
	cr_assert_eq(do_chmod("/second", 0604), 0);
	cr_assert_eq(stat(host("root/made/renamed"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0604);
	cr_assert_eq(do_rmdir("/made"), -ENOTEMPTY);
	cr_assert_eq(do_unlink("/made/renamed"), 0);
	cr_assert_eq(do_rmdir("/made"), 0);
	cr_assert_eq(access(host("root/made"), F_OK), -1);
	cr_assert_eq(must_stat("/second").nlink, 1);
	cr_assert_eq(vfs_mknod(&ctx, NULL, "/fifo", S_IFIFO | 0644, 0), 0);
	cr_assert_eq(lstat(host("root/fifo"), &st), 0);
	cr_assert(S_ISFIFO(st.st_mode));
}

Test(hostfs, set_times_truncate_and_chown_reach_the_host)
{
	struct iattr times = {.valid = ATTR_ATIME | ATTR_MTIME | ATTR_ATIME_SET | ATTR_MTIME_SET,
			      .atime = {11, 12},
			      .mtime = {13, 14}};
	struct stat st;

	if (geteuid() != 0)
		cr_skip_test("chown needs root");
	mount_root(false);
	cr_assert_eq(change("/file", times), 0);
	cr_assert_eq(must_stat("/file").mtime.tv_nsec, 14);
	cr_assert_eq(stat(host("root/file"), &st), 0);
	cr_assert_eq(st.st_atim.tv_sec, 11);
	cr_assert_eq(change("/file", (struct iattr){.valid = ATTR_SIZE, .size = 2}), 0);
	cr_assert_str_eq(host_read("root/file"), "he");
	cr_assert_eq(
		change("/file", (struct iattr){.valid = ATTR_UID | ATTR_GID, .uid = 7, .gid = 8}),
		0);
	cr_assert_eq(stat(host("root/file"), &st), 0);
	cr_assert_eq(st.st_uid, 7);
	cr_assert_eq(st.st_gid, 8);
}

Test(hostfs, rename_can_exchange_and_refuse_to_replace)
{
	mount_root(false);
	cr_assert_eq(vfs_rename(&ctx, NULL, "/file", NULL, "/dir/inner", RENAME_NOREPLACE),
		     -EEXIST);
	cr_assert_eq(vfs_rename(&ctx, NULL, "/file", NULL, "/dir/inner", RENAME_EXCHANGE), 0);
	cr_assert_str_eq(text_of("/file"), "inner text");
	cr_assert_str_eq(text_of("/dir/inner"), "hello");
	cr_assert_str_eq(host_read("root/file"), "inner text");
}

/* git writes its objects so: the mode that open(O_CREAT) gives allows nobody to write. */
Test(hostfs, a_new_file_is_writable_for_its_maker_whatever_its_mode)
{
	struct file *file;

	chmod(host("root"), 0777); /* before the mount: attributes are fresh for 20 us */
	mount_root(false);
	become(1000, 1000);
	cr_assert_eq(open_mode("/object", O_WRONLY | O_CREAT | O_EXCL, 0444, &file), 0);
	cr_assert_eq(kernel_write(&ctx, file, "data", 4, 0), 4);
	file_put(file);
	cr_assert_str_eq(host_read("root/object"), "data");
	cr_assert_eq(must_stat("/object").mode & 07777, 0444);
	cr_assert_eq(try_open("/object", O_WRONLY), -EACCES);
}

Test(hostfs, permission_is_the_guests_not_the_sentrys)
{
	chmod(host("root/file"), 0600);
	mount_root(false);
	cr_assert_eq(try_open("/file", O_RDONLY), 0);
	become(geteuid() + 1000, 1000); /* not who owns it, whoever runs this */
	cr_assert_eq(try_open("/file", O_RDONLY), -EACCES);
	cr_assert_eq(do_unlink("/file"), -EACCES);
	cr_assert_eq(do_chmod("/file", 0777), -EPERM);
}

Test(hostfs, an_unlinked_file_lives_as_long_as_it_is_open)
{
	struct file *reader, *writer;

	mount_root(false);
	reader = must_open("/file", O_RDONLY);
	writer = must_open("/dir/inner", O_WRONLY);
	cr_assert_eq(do_unlink("/file"), 0);
	cr_assert_eq(do_unlink("/dir/inner"), 0);
	cr_assert_eq(fstat_of(reader).nlink, 0);
	cr_assert_eq(fstat_of(writer).nlink, 0);
	cr_assert_str_eq(file_text(reader), "hello");
	cr_assert_eq(kernel_write(&ctx, writer, "more and more", 13, 0), 13);
	cr_assert_eq(fstat_of(writer).size, 13);
	file_put(reader);
	file_put(writer);
}

Test(hostfs, append_goes_to_the_end_however_long_the_host_made_it)
{
	struct file *file;
	int64_t pos = 0;
	struct io_iter iter;
	char text[] = "guest";

	mount_root(false);
	file = must_open("/file", O_WRONLY | O_APPEND);
	host_write("root/file", "rather long text ");
	iter_init_mem(&iter, text, 5);
	cr_assert_eq(file->op->write_iter(&ctx, file, &iter, &pos, 0), 5);
	cr_assert_eq(pos, 22);
	cr_assert_str_eq(host_read("root/file"), "rather long text guest");
	file_put(file);
}

/* Memory that is not ours: what a guest's would be. */
static size_t far_write(void *mem, const struct iovec *segs, size_t nr, const void *buf, size_t len)
{
	char *at = (char *)mem + (uintptr_t)segs[0].iov_base;
	size_t n = len < segs[0].iov_len ? len : segs[0].iov_len;

	(void)nr;
	memcpy(at, buf, n);
	return n;
}

static size_t far_read(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len)
{
	char *at = (char *)mem + (uintptr_t)segs[0].iov_base;
	size_t n = len < segs[0].iov_len ? len : segs[0].iov_len;

	(void)nr;
	memcpy(buf, at, n);
	return n;
}

Test(hostfs, big_transfers_to_guest_memory_are_complete)
{
	static const struct io_iter_ops far = {far_write, far_read};
	size_t size = (1 << 20) + 12345, i;
	unsigned char *out = malloc(size), *in = calloc(1, size);
	struct file *file;
	struct io_iter iter;
	int64_t pos = 0;

	for (i = 0; i < size; i++)
		out[i] = (unsigned char)(i * 7 + i / 4096);
	mount_root(false);
	file = must_open("/big", O_RDWR | O_CREAT);
	iter_init_one(&iter, &far, out, 0, size);
	cr_assert_eq(file->op->write_iter(&ctx, file, &iter, &pos, 0), (ssize_t)size);
	cr_assert_eq(pos, (int64_t)size);
	pos = 0;
	iter_init_one(&iter, &far, in, 0, size);
	cr_assert_eq(file->op->read_iter(&ctx, file, &iter, &pos, 0), (ssize_t)size);
	cr_assert_arr_eq(in, out, size);
	iter_init_one(&iter, &far, in, 0, 10);
	cr_assert_eq(file->op->read_iter(&ctx, file, &iter, &pos, 0), 0, "end of file");
	file_put(file);
	free(out);
	free(in);
}

Test(hostfs, a_mapping_can_do_no_more_than_the_file)
{
	struct mmap_request req = {.length = 4096, .prot = PROT_READ, .flags = MAP_SHARED};
	struct file *file;
	int fd;

	mount_root(false);
	file = must_open("/file", O_RDONLY);
	cr_assert_eq(file->op->mmap(&ctx, file, &req, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_neq(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
	file_put(file);
	file = must_open("/file", O_RDWR);
	cr_assert_eq(file->op->mmap(&ctx, file, &req, &fd), 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	file_put(file);
}

Test(hostfs, seek_finds_holes_and_the_end)
{
	struct file *file;
	int fd = open(host("root/sparse"), O_CREAT | O_WRONLY, 0644);

	cr_assert_eq(pwrite(fd, "x", 1, 1 << 20), 1);
	close(fd);
	mount_root(false);
	file = must_open("/sparse", O_RDONLY);
	cr_assert_eq(vfs_llseek(&ctx, file, 0, SEEK_DATA), 1 << 20);
	cr_assert_eq(vfs_llseek(&ctx, file, 0, SEEK_HOLE), 0);
	cr_assert_eq(vfs_llseek(&ctx, file, 0, SEEK_END), (1 << 20) + 1);
	file_put(file);
}

Test(hostfs, copy_file_range_copies_on_the_host)
{
	struct file *in, *out;
	int64_t a = 1, b = 0;

	mount_root(false);
	in = must_open("/file", O_RDONLY);
	out = must_open("/copy", O_WRONLY | O_CREAT);
	cr_assert_eq(vfs_copy_file_range(&ctx, in, &a, out, &b, 4, 0), 4);
	cr_assert_eq(fstat_of(out).size, 4);
	cr_assert_str_eq(host_read("root/copy"), "ello");
	file_put(in);
	file_put(out);
}

Test(hostfs, readdir_in_small_steps_meets_every_name_once)
{
	static struct name_list list;
	bool seen[300] = {false};
	struct file *dir;
	int i, n, total = 0;

	for (i = 0; i < 300; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "root/dir/n%d", i);
		host_write(name, "");
	}
	unlink(host("root/dir/inner"));
	mount_root(true);
	dir = must_open("/dir", O_RDONLY);
	while ((n = read_names(dir, &list, 7)) > 0) {
		for (i = 0; i < n; i++) {
			int which = (int)strtol(list.names[i] + 1, NULL, 10);

			cr_assert(!seen[which]);
			seen[which] = true;
			total++;
		}
		free_names(&list);
	}
	cr_assert_eq(n, 0);
	cr_assert_eq(total, 300);
	file_put(dir);
}

Test(hostfs, rewinding_a_directory_shows_new_names)
{
	struct file *dir;

	mount_root(false);
	dir = must_open("/dir", O_RDONLY);
	cr_assert_str_eq(file_names(dir), "inner");
	host_write("root/dir/later", "");
	cr_assert_eq(vfs_llseek(&ctx, dir, 0, SEEK_SET), 0);
	cr_assert_str_eq(file_names(dir), "inner later");
	file_put(dir);
}

Test(hostfs, a_position_of_a_directory_can_be_gone_back_to)
{
	static struct name_list list;
	struct file *dir;
	char *third;
	int64_t pos;
	int i;

	for (i = 0; i < 10; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "root/dir/n%d", i);
		host_write(name, "");
	}
	mount_root(true);
	dir = must_open("/dir", O_RDONLY);
	cr_assert_eq(read_names(dir, &list, 3), 3);
	pos = list.offs[2];
	third = strdup(list.names[2]);
	free_names(&list);
	cr_assert_eq(vfs_llseek(&ctx, dir, pos, SEEK_SET), pos);
	cr_assert_eq(read_names(dir, &list, 1), 1);
	cr_assert_str_eq(list.names[0], third);
	free_names(&list);
	free(third);
	file_put(dir);
}

Test(hostfs, user_attributes_pass_through)
{
	char value[16];
	ssize_t n;

	if (setxattr(host("root/file"), "user.there", "v", 1, 0))
		cr_skip_test("the host's /tmp has no user attributes");
	mount_root(false);
	cr_assert_str_eq(xattr_of("/file", "user.there"), "v");
	cr_assert_eq(set_xattr_of("/file", "user.mine", "abc"), 0);
	n = getxattr(host("root/file"), "user.mine", value, sizeof(value));
	cr_assert_eq(n, 3);
	cr_assert_eq(set_xattr_of("/dir", "user.mine", "of a directory"), 0);
	cr_assert_str_eq(xattr_of("/dir", "user.mine"), "of a directory");
	cr_assert_lt(set_xattr_of("/file", "security.capability", "x"), 0);
}

Test(hostfs, a_single_file_can_be_the_root)
{
	struct superblock *sb;
	struct file *file;
	struct path path;

	cr_assert_eq(hostfs_mount(&ctx, host("root/file"), false, &sb), 0);
	tree_begin(sb);
	fs_get_root(ctx.fs, &path);
	/* An editor puts another file in its place: the root stays what it was. */
	host_write("root/other", "other");
	cr_assert_eq(rename(host("root/other"), host("root/file")), 0);
	cr_assert_eq(vfs_open_path(&ctx, &path, O_RDWR, &file), 0);
	cr_assert_str_eq(file_text(file), "hello");
	cr_assert_eq(kernel_write(&ctx, file, "J", 1, 0), 1);
	cr_assert_str_eq(file_text(file), "Jello");
	cr_assert_eq(fstat_of(file).size, 5);
	cr_assert_eq(vfs_ftruncate(&ctx, file, 3), 0);
	cr_assert_eq(vfs_truncate(&ctx, &path, 2), 0);
	cr_assert_eq(fstat_of(file).size, 2);
	file_put(file);
	path_put(&path);
}

Test(hostfs, a_procfs_of_the_host_is_out_of_reach)
{
	struct superblock *sb;

	cr_assert_eq(hostfs_mount(&ctx, "/proc", true, &sb), -EPERM);
	cr_assert_eq(hostfs_mount(&ctx, "/", true, &sb), 0);
	tree_begin(sb);
	cr_assert(S_ISDIR(must_stat("/proc").mode));
	cr_assert_eq(exists("/proc/self"), 0);
	cr_assert_str_eq(names_in("/proc"), "");
}

Test(hostfs, host_sockets_and_devices_are_shown_but_not_opened)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", host("root/sock"));
	cr_assert_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	mount_root(false);
	cr_assert(S_ISSOCK(must_stat("/sock").mode));
	cr_assert_eq(try_open("/sock", O_RDWR), -ENXIO);
	/* A number that none of our devices has: the host's device must not answer. */
	if (mknod(host("root/dev"), S_IFCHR | 0666, makedev(240, 77)) == 0) {
		cr_assert_eq(must_stat("/dev").rdev, makedev(240, 77));
		cr_assert_eq(try_open("/dev", O_RDWR), -ENXIO);
	}
	cr_assert_eq(vfs_mknod(&ctx, NULL, "/made", S_IFCHR | 0666, makedev(1, 3)), -EPERM);
	close(fd);
}

Test(hostfs, a_symlink_replaced_on_the_host_is_read_anew)
{
	struct superblock *sb;
	int i;

	host_write("root/a", "text of a");
	host_write("root/b", "text of b");
	cr_assert_eq(hostfs_mount(&ctx, host("root"), true, &sb), 0);
	hostfs_set_cache(sb, 0);
	tree_begin(sb);
	for (i = 0; i < 20; i++) { /* inode numbers are used again */
		unlink(host("root/link"));
		cr_assert_eq(symlink(i & 1 ? "a" : "b", host("root/link")), 0);
		cr_assert_str_eq(text_of("/link"), i & 1 ? "text of a" : "text of b");
	}
}

Test(hostfs, setid_bits_go_when_an_ordinary_user_writes)
{
	struct file *file;

	chmod(host("root/file"), 06777);
	mount_root(false);
	become(1000, 1000);
	file = must_open("/file", O_WRONLY);
	cr_assert_eq(kernel_write(&ctx, file, "x", 1, 0), 1);
	cr_assert_eq(fstat_of(file).mode & 07777, 0777);
	file_put(file);
}

Test(hostfs, files_that_are_made_and_not_opened_keep_few_descriptors)
{
	int i, before;

	mount_root(false);
	(void)must_stat("/file");
	before = open_fds();
	for (i = 0; i < 200; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "/made%d", i);
		cr_assert_eq(vfs_mknod(&ctx, NULL, name, S_IFREG | 0644, 0), 0);
	}
	cr_assert_leq(open_fds(), before + 33);
}

Test(hostfs, a_deep_tree_comes_apart_without_recursion)
{
	struct path base, next;
	struct inode *bottom;
	int i;

	mount_root(false);
	fs_get_root(ctx.fs, &base);
	for (i = 0; i < 5000; i++) {
		cr_assert_eq(vfs_mkdir(&ctx, &base, "d", 0755), 0);
		cr_assert_eq(path_lookup(&ctx, &base, "d", 0, &next), 0);
		path_put(&base);
		base = next;
	}
	/* The inode alone, as the overlay holds it: all above hangs on it. */
	bottom = inode_get(base.dentry->inode);
	path_put(&base);
	dcache_shrink(0);
	inode_put(bottom);
	tree_end();
}

/* An old kernel, in a container whose seccomp profile answers EPERM for calls it does not know. */
static void forget_new_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), 437 /* openat2 */, 0);
	seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), 452 /* fchmodat2 */, 0);
	seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), 464 /* getxattrat */, 0);
	seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), 465 /* listxattrat */, 0);
	cr_assert_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

Test(hostfs, works_and_stays_inside_without_the_newer_host_calls)
{
	bool have = setxattr(host("root/file"), "user.there", "v", 1, 0) == 0;
	struct stat st;

	forget_new_calls();
	mount_root(false);
	cr_assert_str_eq(text_of("/dir/inner"), "inner text");
	cr_assert_eq(symlink("../secret", host("root/out")), 0);
	cr_assert_eq(try_open("/out", O_RDONLY), -ENOENT);
	cr_assert_eq(put_text("/dir/new", "new"), 0);
	cr_assert_eq(do_chmod("/dir/new", 0604), 0);
	cr_assert_eq(stat(host("root/dir/new"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0604);
	if (have)
		cr_assert_str_eq(xattr_of("/file", "user.there"), "v");
	cr_assert_eq(set_xattr_of("/sock", "user.x", "y"), -ENOENT);
}

/* Not through the reader's descriptor: that would need /proc or a capability on the host. */
Test(hostfs, a_file_that_is_being_read_can_be_linked_and_opened_for_writing)
{
	struct file *reader;
	char command[128];

	if (geteuid() == 0) {
		(void)snprintf(command, sizeof(command), "chown -R 65534 '%s'", host_root);
		cr_assert_eq(system(command), 0);
		cr_assert_eq(setresuid(65534, 65534, 65534), 0);
	}
	mount_root(false);
	reader = must_open("/file", O_RDONLY);
	cr_assert_eq(do_link("/file", "/dir/second"), 0);
	cr_assert_eq(put_text("/dir/second", "both"), 0);
	cr_assert_str_eq(file_text(reader), "both");
	file_put(reader);
}

Test(hostfs, a_removed_directory_is_not_mistaken_for_the_next_one)
{
	struct path old, new;

	mount_root(false);
	cr_assert_eq(do_mkdir("/first"), 0);
	cr_assert_eq(path_lookup(&ctx, NULL, "/first", 0, &old), 0);
	cr_assert_eq(do_rmdir("/first"), 0);
	cr_assert_eq(do_mkdir("/first"), 0);
	cr_assert_eq(path_lookup(&ctx, NULL, "/first", 0, &new), 0);
	cr_assert_neq(old.dentry->inode, new.dentry->inode);
	cr_assert_eq(put_text("/first/f", "x"), 0);
	cr_assert_eq(vfs_mkdir(&ctx, &old, "in", 0755), -ENOENT);
	path_put(&old);
	path_put(&new);
}

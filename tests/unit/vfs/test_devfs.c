/* /dev, the memory devices, /sys. */
#include <sys/sysmacros.h>

#include "tests/unit/vfs/dev_world.h"
#include "vfs/strbuf.h"

TestSuite(devfs, .init = world_init, .fini = world_fini, .timeout = 120);
TestSuite(sysfs, .init = world_init, .fini = world_fini, .timeout = 120);

Test(devfs, has_nodes_with_number_and_mode)
{
	const struct {
		const char *name;
		dev_t dev;
		uint32_t mode;
	} nodes[] = {
		{"/dev/null", makedev(1, 3), 0666},    {"/dev/zero", makedev(1, 5), 0666},
		{"/dev/full", makedev(1, 7), 0666},    {"/dev/random", makedev(1, 8), 0666},
		{"/dev/urandom", makedev(1, 9), 0666}, {"/dev/tty", makedev(5, 0), 0666},
		{"/dev/console", makedev(5, 1), 0600},
	};

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct kstat stat = world_stat(nodes[i].name);

		cr_expect_eq(stat.mode, S_IFCHR | nodes[i].mode, "%s %o", nodes[i].name, stat.mode);
		cr_expect_eq(stat.rdev, nodes[i].dev, "%s", nodes[i].name);
	}
}

Test(devfs, has_links_and_directories)
{
	char *fd = world_readlink("/dev/fd"), *ptmx = world_readlink("/dev/ptmx");

	cr_expect_str_eq(fd, "/proc/self/fd");
	cr_expect_str_eq(ptmx, "pts/ptmx");
	cr_expect_eq(world_stat("/dev/shm").mode, S_IFDIR | 01777);
	cr_expect_eq(world_stat("/dev/mqueue").mode, S_IFDIR | 01777);
	free(fd);
	free(ptmx);
}

Test(devfs, a_privileged_guest_may_make_nodes)
{
	cr_expect_eq(vfs_mknod(&ctx, NULL, "/dev/null2", S_IFCHR | 0666, makedev(1, 3)), 0);
	cr_expect_str_eq(world_text("/dev/null2"), "");
	cr_expect_eq(vfs_unlink(&ctx, NULL, "/dev/null2"), 0);
}

Test(devfs, a_device_that_appears_is_visible_in_every_mount)
{
	world_mount("devtmpfs", "/dev2", NULL);
	cr_assert_eq(devfs_node_add("late", 0640, makedev(240, 3)), 0);
	cr_expect_eq(world_stat("/dev/late").rdev, makedev(240, 3));
	cr_expect_eq(world_stat("/dev2/late").mode, S_IFCHR | 0640);
	cr_expect_eq(devfs_node_add("late", 0640, makedev(240, 4)), -EEXIST);
	devfs_node_remove("late", makedev(240, 4)); /* another device's: stays */
	cr_expect_eq(world_stat("/dev/late").rdev, makedev(240, 3));
	devfs_node_remove("late", makedev(240, 3));
	cr_expect_eq(world_open_error(&ctx, "/dev/late", O_RDONLY), -ENOENT);
}

Test(devfs, directories_of_a_device_come_and_go_with_it)
{
	cr_assert_eq(devfs_node_add("a/b/c", 0600, makedev(240, 3)), 0);
	cr_assert_eq(devfs_node_add("a/d", 0600, makedev(240, 4)), 0);
	cr_expect_eq(world_stat("/dev/a/b/c").mode, S_IFCHR | 0600);
	devfs_node_remove("a/b/c", makedev(240, 3));
	cr_expect_eq(world_open_error(&ctx, "/dev/a/b", O_RDONLY), -ENOENT);
	cr_expect_eq(world_stat("/dev/a/d").mode, S_IFCHR | 0600);
	devfs_node_remove("a/d", makedev(240, 4));
	cr_expect_eq(world_open_error(&ctx, "/dev/a", O_RDONLY), -ENOENT);
}

Test(devfs, null_swallows_and_is_empty)
{
	struct file *file = world_open("/dev/null", O_RDWR);
	char buf[4];

	cr_expect_eq(world_write(file, "abc", 3), 3);
	cr_expect_eq(world_read(file, buf, sizeof(buf)), 0);
	file_put(file);
}

Test(devfs, zero_reads_zeros_and_full_refuses_writes)
{
	struct file *zero = world_open("/dev/zero", O_RDONLY);
	struct file *full = world_open("/dev/full", O_RDWR);
	char buf[4] = "abc", none[4] = {0};

	cr_expect_eq(world_read(zero, buf, 4), 4);
	cr_expect_arr_eq(buf, none, 4);
	cr_expect_eq(world_write(full, "x", 1), -ENOSPC);
	cr_expect_eq(world_read(full, buf, 4), 4);
	file_put(zero);
	file_put(full);
}

Test(devfs, urandom_fills_more_than_one_chunk_with_something)
{
	struct file *file = world_open("/dev/urandom", O_RDONLY);
	static unsigned char buf[3000];
	size_t zeros = 0;

	cr_assert_eq(world_read(file, buf, sizeof(buf)), 3000);
	for (size_t i = 0; i < sizeof(buf); i++)
		zeros += buf[i] == 0;
	cr_expect_lt(zeros, 200u);
	file_put(file);
}

Test(devfs, mapping_of_zero_is_a_host_file_of_zeros)
{
	struct file *file = world_open("/dev/zero", O_RDWR);
	const struct mmap_request req = {.length = 8192};
	char byte = 1;
	int hostfd;

	cr_assert_eq(file->op->mmap(&ctx, file, &req, &hostfd), 0);
	cr_expect_eq(pread(hostfd, &byte, 1, 8191), 1);
	cr_expect_eq(byte, 0);
	close(hostfd);
	file_put(file);
}

Test(devfs, console_without_a_terminal_is_enodev)
{
	cr_expect_eq(world_open_error(&ctx, "/dev/console", O_RDWR), -ENODEV);
}

Test(sysfs, lists_the_processors)
{
	char expected[32];
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	if (count == 1)
		snprintf(expected, sizeof(expected), "0\n");
	else
		snprintf(expected, sizeof(expected), "0-%ld\n", count - 1);
	cr_expect_str_eq(world_text("/sys/devices/system/cpu/online"), expected);
	cr_expect_str_eq(world_text("/sys/devices/system/cpu/cpu0/topology/core_id"), "0\n");
	cr_expect(strstr(world_names("/sys/devices/system/cpu"), " cpu0 "));
	snprintf(expected, sizeof(expected), "/sys/devices/system/cpu/cpu%ld", count);
	cr_expect_eq(world_open_error(&ctx, expected, O_RDONLY), -ENOENT);
}

static int show_hello(const struct op_ctx *c, const struct pseudo_key *key, struct strbuf *out)
{
	(void)c;
	strbuf_printf(out, "hello %s\n", (const char *)key->data);
	return 0;
}

Test(sysfs, takes_entries_at_run_time)
{
	static const struct pseudo_entry entry = {
		.name = "greeting", .mode = S_IFREG | 0444, .show = show_hello, .data = "you"};

	cr_expect_eq(world_open_error(&ctx, "/sys/fs/greeting", O_RDONLY), -ENOENT);
	cr_assert_eq(pseudo_dir_add(&sysfs_fs, &entry), 0);
	cr_expect_eq(pseudo_dir_add(&sysfs_fs, &entry), -EEXIST);
	cr_expect_str_eq(world_text("/sys/fs/greeting"), "hello you\n");
	cr_expect(strstr(world_names("/sys/fs"), " greeting "));
	pseudo_dir_remove(&sysfs_fs, "greeting");
	cr_expect_eq(world_open_error(&ctx, "/sys/fs/greeting", O_RDONLY), -ENOENT);
}

Test(sysfs, a_file_is_a_page_long)
{
	cr_expect_eq(world_stat("/sys/devices/system/cpu/online").size, 4096);
}

Test(sysfs, a_mode_binds_even_root)
{
	static const struct pseudo_entry entry = {
		.name = "greeting", .mode = S_IFREG | 0644, .show = show_hello, .data = "you"
	};

	cr_expect_eq(world_open_error(&ctx, "/sys/devices/system/cpu/online", O_RDWR), -EACCES);
	cr_expect_eq(world_open_error(&ctx, "/sys/devices/system/cpu/online", O_WRONLY | O_TRUNC),
		     -EACCES);
	cr_assert_eq(pseudo_dir_add(&sysfs_fs, &entry), 0);
	cr_expect_eq(world_open_error(&ctx, "/sys/fs/greeting", O_WRONLY), -EACCES, "has no store");
	pseudo_dir_remove(&sysfs_fs, "greeting");
}

Test(sysfs, has_a_place_to_mount_fusectl_on)
{
	cr_expect_eq(world_stat("/sys/fs/fuse/connections").mode & S_IFMT, S_IFDIR);
}

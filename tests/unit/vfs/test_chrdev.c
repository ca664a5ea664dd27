/* vfs/chrdev.h: the table of devices and what opening a node does. */
#include <sys/sysmacros.h>

#include "tests/unit/vfs/files_fixture.h"
#include "vfs/chrdev.h"

static void setup(void)
{
	fixture_start("");
}

TestSuite(chrdev, .init = setup, .fini = fixture_stop, .timeout = 120);

static int opened;

static int dev_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	opened++;
	file->private = &opened;
	return 0;
}

static ssize_t dev_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			int64_t *pos, int rwf)
{
	return (ssize_t)iter_to(to, "dev", 3);
}

static const struct file_ops dev_ops = { .open = dev_open,
					 .read_iter = dev_read,
					 .no_position = true };

Test(chrdev, node_opens_the_registered_device)
{
	struct file *file;
	char buf[8];

	cr_assert_eq(chrdev_register(makedev(240, 1), "one", 0600, &dev_ops), 0);
	cr_assert_eq(chrdev_register(makedev(240, 1), "two", 0600, &dev_ops), -EEXIST);
	cr_assert_eq(vfs_mknod(&root_ctx, NULL, "/c", S_IFCHR | 0600, makedev(240, 1)), 0);
	file = must_open("/c", O_RDONLY);
	cr_assert_eq(opened, 1);
	cr_assert_eq(file->op, &dev_ops);
	cr_assert_eq(get_bytes(file, buf, 8), 3);
	cr_assert_eq(vfs_llseek(&root_ctx, file, 0, 0), -ESPIPE);
	file_put(file);
	chrdev_unregister(makedev(240, 1));
	cr_assert_null(open_as(&root_ctx, "/c", O_RDONLY, 0));
	cr_assert_eq(last_error, -ENXIO);
}

Test(chrdev, block_devices_and_sockets_cannot_be_opened)
{
	cr_assert_eq(vfs_mknod(&root_ctx, NULL, "/b", S_IFBLK | 0600, makedev(8, 0)), 0);
	cr_assert_eq(vfs_mknod(&root_ctx, NULL, "/s", S_IFSOCK | 0600, 0), 0);
	cr_assert_null(open_as(&root_ctx, "/b", O_RDONLY, 0));
	cr_assert_eq(last_error, -ENXIO);
	cr_assert_null(open_as(&root_ctx, "/s", O_RDONLY, 0));
	cr_assert_eq(last_error, -ENXIO);
}

Test(chrdev, named_devices_are_walked_in_order)
{
	struct chrdev_info info;
	dev_t dev = 0;

	cr_assert_eq(chrdev_register(makedev(241, 5), "b", 0620, &dev_ops), 0);
	cr_assert_eq(chrdev_register(makedev(241, 2), "a", 0600, &dev_ops), 0);
	cr_assert_eq(chrdev_register(makedev(241, 3), NULL, 0, &dev_ops), 0);
	cr_assert(chrdev_next(&dev, &info));
	cr_assert_str_eq(info.name, "a");
	cr_assert(chrdev_next(&dev, &info));
	cr_assert_str_eq(info.name, "b");
	cr_assert_eq(info.mode, 0620);
	cr_assert_eq(dev, makedev(241, 5));
	cr_assert_not(chrdev_next(&dev, &info));
	chrdev_unregister(makedev(241, 2));
	chrdev_unregister(makedev(241, 3));
	chrdev_unregister(makedev(241, 5));
}

Test(chrdev, dynamic_majors_are_given_out_from_the_top)
{
	char long_name[CHRDEV_NAME_MAX + 2];
	dev_t one, two, again;

	cr_assert_eq(chrdev_register_dynamic(7, "one", 0600, &dev_ops, &one), 0);
	cr_assert_eq(one, makedev(254, 7));
	cr_assert_eq(chrdev_register_dynamic(7, "two", 0600, &dev_ops, &two), 0);
	cr_assert_eq(two, makedev(253, 7));
	chrdev_unregister(one);
	cr_assert_eq(chrdev_register_dynamic(0, "again", 0600, &dev_ops, &again), 0);
	cr_assert_eq(again, makedev(254, 0));
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	cr_assert_eq(chrdev_register_dynamic(0, long_name, 0600, &dev_ops, &one), -ENAMETOOLONG);
	chrdev_unregister(two);
	chrdev_unregister(again);
}

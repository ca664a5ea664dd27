/* vfs/ioctl.h: the commands that belong to the VFS. */
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "tests/unit/vfs/files_fixture.h"
#include "vfs/fileattr.h"
#include "vfs/ioctl.h"

/* Guest memory of the test: addresses are ours; 0 faults. */
static int test_in(const struct op_ctx *ctx, void *dst, uint64_t src, size_t len)
{
	if (!src)
		return -EFAULT;
	memcpy(dst, (const void *)(uintptr_t)src, len);
	return 0;
}

static int test_out(const struct op_ctx *ctx, uint64_t dst, const void *src, size_t len)
{
	if (!dst)
		return -EFAULT;
	memcpy((void *)(uintptr_t)dst, src, len);
	return 0;
}

static const struct ioctl_mem_ops test_mem = { test_in, test_out };
static struct file *file;

static void setup(void)
{
	ioctl_set_mem_ops(&test_mem);
	fixture_start("");
	file = must_open("/f", O_CREAT | O_RDWR);
}

static void teardown(void)
{
	file_put(file);
	fixture_stop();
}

TestSuite(ioctl, .init = setup, .fini = teardown, .timeout = 120);

static long call(struct file *f, unsigned cmd, void *arg)
{
	return vfs_ioctl(&root_ctx, f, cmd, (uint64_t)(uintptr_t)arg);
}

Test(ioctl, fionbio_switches_nonblock)
{
	int on = 1, off = 0;

	cr_assert_eq(call(file, FIONBIO, &on), 0);
	cr_assert(file_nonblock(file));
	cr_assert_eq(call(file, FIONBIO, &off), 0);
	cr_assert_not(file_nonblock(file));
	cr_assert_eq(call(file, FIONBIO, NULL), -EFAULT);
}

Test(ioctl, fioasync_needs_the_file_to_know_it)
{
	int on = 1, off = 0;

	cr_assert_eq(call(file, FIOASYNC, &on), -ENOTTY);
	cr_assert_eq(call(file, FIOASYNC, &off), 0, "nothing to change");
}

Test(ioctl, fionread_is_what_is_left)
{
	int left = -1;

	cr_assert_eq(put_bytes(file, "abcdef", 6), 6);
	cr_assert_eq(vfs_llseek(&root_ctx, file, 2, 0), 2);
	cr_assert_eq(call(file, FIONREAD, &left), 0);
	cr_assert_eq(left, 4);
}

Test(ioctl, sizes)
{
	struct file *dir = must_open("/", O_RDONLY);
	int64_t bytes = -1;
	int size = 0;

	cr_assert_eq(call(file, FIGETBSZ, &size), 0);
	cr_assert_eq(size, 4096);
	cr_assert_eq(put_bytes(file, "abcdef", 6), 6);
	cr_assert_eq(call(file, 0x5460 /* FIOQSIZE */, &bytes), 0);
	cr_assert_eq(bytes, 4096);
	cr_assert_eq(call(dir, FIONREAD, &size), -ENOTTY);
	file_put(dir);
}

Test(ioctl, clones_are_not_supported_and_unknown_is_enotty)
{
	cr_assert_eq(call(file, FICLONE, NULL), -EOPNOTSUPP);
	cr_assert_eq(call(file, FIDEDUPERANGE, NULL), -EOPNOTSUPP);
	cr_assert_eq(call(file, FS_IOC_GETFLAGS, NULL), -ENOTTY);
	cr_assert_eq(call(file, TIOCGWINSZ, NULL), -ENOTTY);
	cr_assert_eq(call(file, 0xdeadbeef, NULL), -ENOTTY);
}

Test(ioctl, path_descriptors_are_ebadf)
{
	struct file *place = must_open("/f", O_PATH);
	int on = 1;

	cr_assert_eq(call(place, FIONBIO, &on), -EBADF);
	file_put(place);
}

/* ---- a file system with attributes, and a file with commands of its own ---- */

static unsigned stored_flags;

static int get_flags(const struct op_ctx *ctx, struct dentry *dentry, struct fileattr *fa)
{
	fileattr_fill_flags(fa, stored_flags);
	return 0;
}

static int set_flags(const struct op_ctx *ctx, struct dentry *dentry, const struct fileattr *fa)
{
	stored_flags = fa->flags;
	return 0;
}

static const struct inode_ops attr_ops = { .fileattr_get = get_flags, .fileattr_set = set_flags };

static long own_ioctl(const struct op_ctx *ctx, struct file *f, unsigned cmd, uint64_t arg)
{
	return cmd == 0x1234 ? 42 : -ENOTTY;
}

static const struct file_ops own_ops = { .ioctl = own_ioctl };

Test(ioctl, attributes_go_through_the_inode)
{
	struct inode *inode = file->inode;
	const struct inode_ops *old = inode->op;
	unsigned flags = FS_NODUMP_FL | FS_COMPR_FL;
	struct fsxattr fa = { 0 };

	inode->op = &attr_ops;
	cr_assert_eq(call(file, FS_IOC_SETFLAGS, &flags), 0);
	cr_assert_eq(stored_flags, flags);
	cr_assert_eq(call(file, FS_IOC_FSGETXATTR, &fa), 0);
	cr_assert_eq(fa.fsx_xflags, FS_XFLAG_NODUMP);
	fa.fsx_xflags = FS_XFLAG_NOATIME;
	cr_assert_eq(call(file, FS_IOC_FSSETXATTR, &fa), 0);
	cr_assert_eq(stored_flags, FS_NOATIME_FL | FS_COMPR_FL);
	flags = FS_IMMUTABLE_FL;
	cr_assert_eq(vfs_ioctl(&user_ctx, file, FS_IOC_SETFLAGS, (uintptr_t)&flags), -EPERM);
	cr_assert_eq(call(file, FS_IOC_SETFLAGS, &flags), 0);
	inode->op = old;
}

Test(ioctl, unknown_commands_reach_the_file)
{
	struct file *own;

	cr_assert_eq(file_new_anon(&root_ctx, "own", 0600, &own_ops, NULL, O_RDWR, &own), 0);
	cr_assert_eq(call(own, 0x1234, NULL), 42);
	cr_assert_eq(call(own, 0x1235, NULL), -ENOTTY);
	file_put(own);
}

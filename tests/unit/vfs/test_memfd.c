/* memfd: content, seals, mapping, name. */
#include "kinds_support.h"

#include <linux/falloc.h>
#include <sys/mman.h>

#include "vfs/attr.h"
#include "vfs/dentry.h"
#include "vfs/file/memfd.h"
#include "vfs/inode.h"

TestSuite(memfd, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

static struct file *make(unsigned flags)
{
	struct file *file;

	cr_assert_eq(memfd_new(&test_ctx, "test", flags, &file), 0);
	return file;
}

static int truncate_to(struct file *file, int64_t size)
{
	struct iattr attr = {.valid = ATTR_SIZE | ATTR_FILE, .size = size, .file = file};
	int err;

	inode_lock(file->inode);
	err = file->inode->op->setattr(&test_ctx, file->path.dentry, &attr);
	inode_unlock(file->inode);
	return err;
}

static int host_map(struct file *file, int prot, int flags)
{
	struct mmap_request req = {.length = 4096, .prot = prot, .flags = flags};
	int hostfd = -1, err = file->op->mmap(&test_ctx, file, &req, &hostfd);

	return err ? err : hostfd;
}

Test(memfd, bytes_and_size_stay)
{
	struct file *file = make(0);
	char buf[8];

	cr_assert_eq(puts_to(file, "hello"), 5);
	cr_assert_eq(inode_size(file->inode), 5);
	cr_assert_eq(vfs_llseek(&test_ctx, file, 1, SEEK_SET), 1);
	cr_assert_eq(get(file, buf, 8), 4);
	cr_assert_arr_eq(buf, "ello", 4);
	cr_assert_eq(truncate_to(file, 2), 0);
	cr_assert_eq(kernel_read(&test_ctx, file, buf, 8, 0), 2);
	cr_assert_eq(file->inode->nlink, 0);
	file_put(file);
}

Test(memfd, shows_its_name_as_linux_does)
{
	struct file *file = make(0);
	char *name = file->path.dentry->op->dname(file->path.dentry);

	cr_assert_str_eq(name, "/memfd:test (deleted)");
	free(name);
	file_put(file);
}

Test(memfd, flags_and_names_are_checked)
{
	char name[260];
	struct file *file;

	memset(name, 'n', sizeof(name));
	name[250] = '\0';
	cr_assert_eq(memfd_new(&test_ctx, name, 0, &file), -EINVAL);
	name[249] = '\0';
	cr_assert_eq(memfd_new(&test_ctx, name, 0, &file), 0);
	file_put(file);
	cr_assert_eq(memfd_new(&test_ctx, "", 0x100, &file), -EINVAL);
	cr_assert_eq(memfd_new(&test_ctx, "", MFD_NOEXEC_SEAL | 0x10, &file), -EINVAL);
}

Test(memfd, without_allow_sealing_seals_are_sealed)
{
	struct file *file = make(0);

	cr_assert_eq(memfd_get_seals(file), F_SEAL_SEAL);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_WRITE), -EPERM);
	file_put(file);
}

Test(memfd, size_seals_hold)
{
	struct file *file = make(MFD_ALLOW_SEALING);
	static char page[8192];

	cr_assert_eq(put(file, page, 5000), 5000);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	cr_assert_eq(truncate_to(file, 4999), -EPERM);
	cr_assert_eq(truncate_to(file, 5001), -EPERM);
	cr_assert_eq(truncate_to(file, 5000), 0);
	cr_assert_eq(kernel_write(&test_ctx, file, page, 5000, 0), 5000);
	cr_assert_eq(kernel_write(&test_ctx, file, page, 5001, 0), 4096, "whole pages");
	cr_assert_eq(kernel_write(&test_ctx, file, page, 1, 5000), -EPERM);
	cr_assert_eq(vfs_fallocate(&test_ctx, file, 0, 0, 8192), -EPERM);
	file_put(file);
}

Test(memfd, write_seal_stops_every_way_to_write)
{
	struct file *file = make(MFD_ALLOW_SEALING);
	int hostfd;

	puts_to(file, "fixed");
	cr_assert_eq(memfd_add_seals(file, F_SEAL_WRITE), 0);
	cr_assert_eq(memfd_get_seals(file), F_SEAL_WRITE);
	cr_assert_eq(puts_to(file, "x"), -EPERM);
	cr_assert_eq(
		vfs_fallocate(&test_ctx, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1),
		-EPERM);
	cr_assert_eq(host_map(file, PROT_READ | PROT_WRITE, MAP_SHARED), -EPERM);
	hostfd = host_map(file, PROT_READ, MAP_SHARED);
	cr_assert_geq(hostfd, 0);
	cr_assert_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, 0), MAP_FAILED);
	close(hostfd);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_SEAL), 0);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_GROW), -EPERM);
	file_put(file);
}

Test(memfd, write_seal_is_busy_only_while_it_is_mapped_writable)
{
	struct file *file = make(MFD_ALLOW_SEALING);
	int hostfd;
	char buf[2];
	char *map;

	puts_to(file, "ab");
	hostfd = host_map(file, PROT_READ | PROT_WRITE, MAP_SHARED);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, 0);
	cr_assert_neq(map, MAP_FAILED);
	map[0] = 'X';
	cr_assert_eq(memfd_add_seals(file, F_SEAL_WRITE), -EBUSY);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_FUTURE_WRITE), 0);
	munmap(map, 4096);
	cr_assert_eq(memfd_add_seals(file, F_SEAL_WRITE), 0);
	cr_assert_eq(kernel_read(&test_ctx, file, buf, 2, 0), 2);
	cr_assert_arr_eq(buf, "Xb", 2);
	close(hostfd);
	file_put(file);
}

Test(memfd, noexec_seal_keeps_it_from_becoming_executable)
{
	struct file *file = make(MFD_NOEXEC_SEAL);
	struct iattr attr = {.valid = ATTR_MODE, .mode = 0777};

	cr_assert_eq(file->inode->mode & 07777, 0666);
	cr_assert_eq(memfd_get_seals(file), F_SEAL_EXEC);
	inode_lock(file->inode);
	cr_assert_eq(file->inode->op->setattr(&test_ctx, file->path.dentry, &attr), -EPERM);
	inode_unlock(file->inode);
	file_put(file);
}

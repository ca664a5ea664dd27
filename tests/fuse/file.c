/*
 * FSYNC, LSEEK, FALLOCATE, COPY_FILE_RANGE, IOCTL, POLL, mmap;
 * matrix 6.7, 6.11, 6.12.
 */
#include <criterion/criterion.h>
#include <linux/ioctl.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"

TestSuite(fuse_file, .timeout = 120);

#define CTX (&d->client.ctx)

static struct file *open_file(struct daemon *d, uint64_t size, uint32_t open_flags)
{
	struct file *file = NULL;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, open_flags);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	return file;
}

Test(fuse_file, fsync_says_whether_data_is_enough) /* F140, W09 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 1, 0);
	struct step *s = expect_reply(d, FUSE_FSYNC, 5, NULL, 0);

	cr_assert_eq(vfs_fsync(CTX, file, 0, INT64_MAX, true), 0);
	cr_assert_eq(step_in(s, struct fuse_fsync_in)->fsync_flags, 1);
	expect_error(d, FUSE_FSYNC, 5, EIO);
	cr_assert_eq(vfs_fsync(CTX, file, 0, INT64_MAX, false), -EIO);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, seek_data_asks_until_enosys) /* F142, Z25 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_lseek_out out = {50}, bad = {1ULL << 63};
	struct file *file = open_file(d, 100, 0);

	expect_reply(d, FUSE_LSEEK, 5, &out, sizeof(out));
	cr_assert_eq(vfs_llseek(CTX, file, 10, SEEK_DATA), 50);
	expect_reply(d, FUSE_LSEEK, 5, &bad, sizeof(bad));
	cr_assert_eq(vfs_llseek(CTX, file, 10, SEEK_HOLE), -EINVAL);
	expect_error(d, FUSE_LSEEK, 5, ENOSYS);
	cr_assert_eq(vfs_llseek(CTX, file, 10, SEEK_HOLE), 100);
	cr_assert_eq(vfs_llseek(CTX, file, 10, SEEK_DATA), 10);
	cr_assert_eq(vfs_llseek(CTX, file, 5, SEEK_SET), 5);
	cr_assert_eq(vfs_llseek(CTX, file, 0, SEEK_END), 100);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, fallocate_modes_and_enosys) /* F141 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct step *s = expect_reply(d, FUSE_FALLOCATE, 5, NULL, 0);

	cr_assert_eq(vfs_fallocate(CTX, file, 0, 0, 500), 0);
	cr_assert_eq(step_in(s, struct fuse_fallocate_in)->length, 500);
	cr_assert_eq(inode_size(file->inode), 500);
	cr_assert_eq(vfs_fallocate(CTX, file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
	expect_error(d, FUSE_FALLOCATE, 5, ENOSYS);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(vfs_fallocate(CTX, file, 0, 0, 600), -EOPNOTSUPP);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, copy_file_range_falls_back_to_the_old_opcode) /* F143, Z26 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_write_out out = {.size = 7};
	struct file *file = open_file(d, 10, 0);
	int64_t in = 0, to = 100;
	struct step *s;

	expect_error(d, FUSE_COPY_FILE_RANGE_64, 5, ENOSYS);
	s = expect_reply(d, FUSE_COPY_FILE_RANGE, 5, &out, sizeof(out));
	cr_assert_eq(vfs_copy_file_range(CTX, file, &in, file, &to, 7, 0), 7);
	cr_assert_eq(step_in(s, struct fuse_copy_file_range_in)->nodeid_out, 5);
	cr_assert_eq(step_in(s, struct fuse_copy_file_range_in)->off_out, 100);
	out.size = 8;
	expect_reply(d, FUSE_COPY_FILE_RANGE, 5, &out, sizeof(out));
	in = 0;
	to = 100;
	cr_assert_eq(vfs_copy_file_range(CTX, file, &in, file, &to, 7, 0), -EIO);
	client_close(d, file);
	DAEMON_STOP(d);
}

static int mem_in(const struct op_ctx *c, void *dst, uint64_t src, size_t len)
{
	(void)c;
	memcpy(dst, (void *)(uintptr_t)src, len);
	return 0;
}
static int mem_out(const struct op_ctx *c, uint64_t dst, const void *src, size_t len)
{
	(void)c;
	memcpy((void *)(uintptr_t)dst, src, len);
	return 0;
}
static const struct ioctl_mem_ops mem_ops = {mem_in, mem_out};

Test(fuse_file, ioctl_is_restricted) /* F150 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct {
		struct fuse_ioctl_out out;
		uint32_t data;
	} reply = {{.result = 11}, 55};
	struct fuse_ioctl_out retry = {.flags = FUSE_IOCTL_RETRY};
	unsigned cmd = _IOWR('E', 9, uint32_t);
	uint32_t data = 44;
	struct step *s;

	ioctl_set_mem_ops(&mem_ops);
	s = expect_reply(d, FUSE_IOCTL, 5, &reply, 20);
	cr_assert_eq(vfs_ioctl(CTX, file, cmd, (uintptr_t)&data), 11);
	cr_assert_eq(data, 55);
	cr_assert_eq(step_in(s, struct fuse_ioctl_in)->in_size, 4);
	cr_assert_eq(step_in(s, struct fuse_ioctl_in)->out_size, 4);
	cr_assert_eq(*(uint32_t *)(s->body + 32), 44);
	expect_reply(d, FUSE_IOCTL, 5, &retry, sizeof(retry));
	cr_assert_eq(vfs_ioctl(CTX, file, cmd, (uintptr_t)&data), -EIO);
	expect_error(d, FUSE_IOCTL, 5, ENOSYS);
	cr_assert_eq(vfs_ioctl(CTX, file, cmd, (uintptr_t)&data), -ENOTTY);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, poll_asks_and_notify_wakes) /* F153, W12 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct fuse_poll_out none = {0}, in = {.revents = POLLIN};
	struct poll_item item = {.file = file, .events = POLLIN};
	struct step *s;

	s = expect_reply(d, FUSE_POLL, 5, &none, sizeof(none));
	cr_assert_eq(vfs_poll_items(CTX, &item, 1, -1), 0);
	cr_assert_eq(step_in(s, struct fuse_poll_in)->flags, 0);
	expect_reply(d, FUSE_POLL, 5, &in, sizeof(in));
	cr_assert_eq(vfs_poll_items(CTX, &item, 1, WAIT_FOREVER), 1);
	cr_assert_eq(item.revents, POLLIN);
	expect_error(d, FUSE_POLL, 5, ENOSYS);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(vfs_poll_items(CTX, &item, 1, WAIT_FOREVER), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

static long poll_it(struct daemon *d, void *arg)
{
	struct poll_item item = {.file = arg, .events = POLLIN};

	return vfs_poll_items(CTX, &item, 1, WAIT_FOREVER);
}

Test(fuse_file, notify_poll_makes_a_sleeper_ask_again) /* F153, T01 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);
	struct fuse_poll_out none = {0}, in = {.revents = POLLIN};
	struct fuse_notify_poll_wakeup_out wake;
	struct client_thread t;
	struct step *s = expect_reply(d, FUSE_POLL, 5, &none, sizeof(none));

	expect_reply(d, FUSE_POLL, 5, &in, sizeof(in));
	client_spawn(&t, d, poll_it, file);
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(step_in(s, struct fuse_poll_in)->flags, FUSE_POLL_SCHEDULE_NOTIFY);
	wake.kh = step_in(s, struct fuse_poll_in)->kh;
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_POLL, &wake, sizeof(wake)), 24);
	cr_assert_eq(client_join(&t), 1);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, mapping_shows_the_files_bytes) /* F100 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 5, 0);
	struct mmap_request req = {0, 4096, PROT_READ, MAP_PRIVATE};
	int hostfd;
	char *map;

	expect_reply(d, FUSE_READ, 5, "hello", 5);
	cr_assert_eq(file->op->mmap(CTX, file, &req, &hostfd), 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, hostfd, 0);
	cr_assert_eq(memcmp(map, "hello\0\0", 7), 0);
	munmap(map, 4096);
	close(hostfd);
	client_close(d, file);
	DAEMON_STOP(d);
}

/* F144: two files cannot share blocks that are the daemon's; it is not asked. */
Test(fuse_file, no_clone_of_blocks)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 10, 0);

	cr_assert_eq(vfs_ioctl(CTX, file, FICLONE, 0), -EOPNOTSUPP);
	client_close(d, file);
	DAEMON_STOP(d);
}

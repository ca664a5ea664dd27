/*
 * FSYNC, LSEEK, FALLOCATE, COPY_FILE_RANGE, IOCTL, POLL, mmap;
 * matrix 6.7, 6.11, 6.12.
 */
#include <criterion/criterion.h>
#include <linux/ioctl.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"

TestSuite(fuse_file, .timeout = 120);

#define CTX (&d->client.ctx)

Test(fuse_file, fsync_says_whether_data_is_enough) /* F140, W09 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 1, 0);
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
	struct file *file = client_open_f(d, O_RDWR, 100, 0);

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
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
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
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
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

Test(fuse_file, ioctl_is_restricted) /* F150 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
	struct {
		struct fuse_ioctl_out out;
		uint32_t data;
	} reply = {{.result = 11}, 55};
	struct fuse_ioctl_out retry = {.flags = FUSE_IOCTL_RETRY};
	unsigned cmd = _IOWR('E', 9, uint32_t);
	uint32_t data = 44;
	struct step *s;

	client_allow_ioctls();
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

Test(fuse_file, ioctl_says_that_it_is_of_a_directory) /* F152 */
{
	struct fuse_ioctl_out out = {.result = 7};

	for (uint32_t minor = 17; minor <= 18; minor++) {
		struct daemon_config config = {.minor = minor};
		struct daemon *d = daemon_start(&config);
		struct file *dir, *file = client_open_f(d, O_RDWR, 10, 0);
		struct step *s;

		expect_open(d, FUSE_OPENDIR, 1, 9, 0);
		cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &dir), 0);
		s = expect_reply(d, FUSE_IOCTL, 5, &out, sizeof(out));
		cr_assert_eq(vfs_ioctl(CTX, file, _IO('E', 9), 0), 7);
		cr_assert_eq(step_in(s, struct fuse_ioctl_in)->flags, 0);
		if (minor == 18)
			s = expect_reply(d, FUSE_IOCTL, 1, &out, sizeof(out));
		cr_assert_eq(vfs_ioctl(CTX, dir, _IO('E', 9), 0), minor == 18 ? 7 : -ENOTTY);
		if (minor == 18)
			cr_assert_eq(step_in(s, struct fuse_ioctl_in)->flags, FUSE_IOCTL_DIR);
		daemon_ignore(d, FUSE_RELEASEDIR);
		client_close(d, dir);
		client_close(d, file);
		DAEMON_STOP(d);
	}
}

static const struct fuse_ioctl_in *check_ioctl(const struct step *s, uint32_t in, uint32_t out)
{
	cr_expect_eq(step_in(s, struct fuse_ioctl_in)->in_size, in);
	cr_expect_eq(step_in(s, struct fuse_ioctl_in)->out_size, out);
	cr_assert_eq(s->body_len, sizeof(struct fuse_ioctl_in) + in);
	return step_in(s, struct fuse_ioctl_in);
}

Test(fuse_file, fs_verity_sends_salt_and_signature) /* F152 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
	struct fsverity_enable_arg arg = {.version = 1, .salt_size = 4, .sig_size = 9};
	struct fuse_ioctl_out out = {0};
	struct step *s = expect_reply(d, FUSE_IOCTL, 5, &out, sizeof(out));

	client_allow_ioctls();
	arg.salt_ptr = (uintptr_t)"salt";
	arg.sig_ptr = (uintptr_t)"signature";
	cr_assert_eq(vfs_ioctl(CTX, file, FS_IOC_ENABLE_VERITY, (uintptr_t)&arg), 0);
	cr_assert_eq(memcmp((const uint8_t *)(check_ioctl(s, sizeof(arg) + 13, 0) + 1) + sizeof(arg),
			    "saltsignature", 13),
		     0);
	arg.salt_size = 0;
	s = expect_reply(d, FUSE_IOCTL, 5, &out, sizeof(out));
	cr_assert_eq(vfs_ioctl(CTX, file, FS_IOC_ENABLE_VERITY, (uintptr_t)&arg), 0);
	(void)check_ioctl(s, sizeof(arg) + 9, 0);
	arg.salt_size = 256 * 4096 + 1;
	cr_assert_eq(vfs_ioctl(CTX, file, FS_IOC_ENABLE_VERITY, (uintptr_t)&arg), -ENOMEM);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, fs_verity_measures_into_the_room_that_there_is) /* F152 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
	struct digest {
		struct fsverity_digest head;
		char bytes[8];
	} digest = {{.digest_algorithm = 1, .digest_size = 8}, "oldbytes"};
	struct {
		struct fuse_ioctl_out out;
		struct digest digest;
	} reply = {.digest = {{.digest_algorithm = 1, .digest_size = 8}, "newbytes"}};
	struct step *s = expect_reply(d, FUSE_IOCTL, 5, &reply, sizeof(reply));

	client_allow_ioctls();
	cr_assert_eq(vfs_ioctl(CTX, file, FS_IOC_MEASURE_VERITY, (uintptr_t)&digest), 0);
	(void)check_ioctl(s, sizeof(digest), sizeof(digest));
	cr_assert_eq(memcmp(digest.bytes, "newbytes", 8), 0);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_file, poll_asks_and_notify_wakes) /* F153, W12 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
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
	struct file *file = client_open_f(d, O_RDWR, 10, 0);
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
	struct file *file = client_open_f(d, O_RDWR, 5, 0);
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
	struct file *file = client_open_f(d, O_RDWR, 10, 0);

	cr_assert_eq(vfs_ioctl(CTX, file, FICLONE, 0), -EOPNOTSUPP);
	client_close(d, file);
	DAEMON_STOP(d);
}

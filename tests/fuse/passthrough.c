/* PASSTHROUGH: backing files, and what goes around the daemon; matrix D56, D57, F130-F134, O06. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

TestSuite(fuse_passthrough, .timeout = 120);

/* The daemon with a tmpfs of its own in which /back lies, open as descriptor 0. */
static struct fs_struct *back_fs;
static struct file *back;

static struct daemon *start_with(uint32_t depth, uint32_t flags)
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d = daemon_start(&config);
	struct open_args how = {.flags = O_RDWR | O_CREAT, .mode = 0600};
	struct fuse_init_out out = {.major = 7,
				    .minor = 45,
				    .flags = FUSE_INIT_EXT | FUSE_BIG_WRITES | flags,
				    .flags2 = (uint32_t)((FUSE_PASSTHROUGH |
							  FUSE_DIRECT_IO_ALLOW_MMAP) >> 32),
				    .max_write = 131072,
				    .max_stack_depth = depth};
	struct step *s = expect_silence(d, FUSE_INIT, 0);
	struct fs_context *fc;
	struct mount *mnt;
	struct mnt_ns *ns;

	client_allow_ioctls();
	filesystem_register(&tmpfs_fs_type);
	cr_assert(daemon_wait(d, s));
	cr_assert(step_in(s, struct fuse_init_in)->flags2 & (FUSE_PASSTHROUGH >> 32));
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 16 + 64);
	cr_assert_eq(fs_context_new(filesystem_find("tmpfs", 5), 0, &fc), 0);
	cr_assert_eq(fs_context_get_tree(&d->self.ctx, fc), 0);
	cr_assert_eq(mount_create(fc, 0, &mnt), 0);
	fs_context_free(fc);
	ns = mnt_ns_new(mnt);
	back_fs = d->self.ctx.fs = fs_struct_new(ns);
	mnt_ns_put(ns);
	d->self.ctx.files = fdtable_new();
	cr_assert_eq(vfs_open(&d->self.ctx, NULL, "/back", &how, &back), 0);
	cr_assert_eq(fdtable_install(d->self.ctx.files, file_get(back), 0, 100, false), 0);
	cr_assert_eq(kernel_write(&d->self.ctx, back, "0123456789", 10, 0), 10);
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_GETXATTR);
	return d;
}

static struct daemon *start(uint32_t depth)
{
	return start_with(depth, 0);
}

static void stop(struct daemon *d)
{
	file_put(back);
	fdtable_put(&d->self.ctx, d->self.ctx.files);
	d->self.ctx.files = NULL;
	DAEMON_STOP(d);
	fs_struct_put(back_fs);
}

static long backing_open(struct daemon *d, int32_t fd, uint32_t flags)
{
	struct fuse_backing_map map = {.fd = fd, .flags = flags};

	return d->dev->op->ioctl(&d->self.ctx, d->dev, FUSE_DEV_IOC_BACKING_OPEN, (uintptr_t)&map);
}

static long backing_close(struct daemon *d, int32_t id)
{
	return d->dev->op->ioctl(&d->self.ctx, d->dev, FUSE_DEV_IOC_BACKING_CLOSE, (uintptr_t)&id);
}

/* Opens /f, node 5 with that size, as the daemon says in open_flags and id. */
static int open_as(struct daemon *d, uint32_t open_flags, int32_t id, struct file **ret_file)
{
	static bool known;
	struct fuse_open_out out = {.fh = 3, .open_flags = open_flags, .backing_id = id};

	if (!known)
		expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	known = true;
	expect_reply(d, FUSE_OPEN, 5, &out, sizeof(out));
	return client_open(d, "/f", O_RDWR, ret_file);
}

static void close_it(struct daemon *d, struct file *file)
{
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
}

Test(fuse_passthrough, backing_ids_are_checked) /* D56, D57 */
{
	struct daemon *d = start(1);
	struct cred *user = cred_new(1000, 1000, NULL, 0);
	struct open_args how = {.flags = O_RDONLY | O_DIRECTORY};
	struct file *dir;

	cr_assert_eq(backing_open(d, 0, 1), -EINVAL);
	cr_assert_eq(backing_open(d, 50, 0), -EBADF);
	cr_assert_eq(vfs_open(&d->self.ctx, NULL, "/", &how, &dir), 0);
	cr_assert_eq(fdtable_install(d->self.ctx.files, dir, 1, 100, false), 1);
	cr_assert_eq(backing_open(d, 1, 0), -EISDIR);
	cr_assert_eq(d->dev->op->ioctl(&d->self.ctx, d->dev, FUSE_DEV_IOC_BACKING_OPEN, 0),
		     -EFAULT);
	d->self.ctx.cred = user;
	cr_assert_eq(backing_open(d, 0, 0), -EPERM);
	cr_assert_eq(backing_close(d, 1), -EPERM);
	d->self.ctx.cred = d->self.cred;
	cr_assert_eq(backing_open(d, 0, 0), 1);
	cr_assert_eq(backing_open(d, 0, 0), 2);
	cr_assert_eq(backing_close(d, 0), -EINVAL);
	cr_assert_eq(backing_close(d, 3), -ENOENT);
	cr_assert_eq(backing_close(d, 2), 0);
	cr_assert_eq(backing_close(d, 2), -ENOENT);
	cr_assert_eq(backing_open(d, 0, 0), 3); /* cyclic */
	back->inode->sb->stack_depth = 1;
	cr_assert_eq(backing_open(d, 0, 0), -ELOOP);
	back->inode->sb->stack_depth = 0;
	cred_put(user);
	stop(d);
}

Test(fuse_passthrough, a_depth_out_of_range_switches_it_off) /* B37, L09 */
{
	struct daemon *d = start(3);
	struct file *file;

	cr_assert_eq(backing_open(d, 0, 0), -EPERM);
	daemon_ignore(d, FUSE_RELEASE);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, 1, &file), -EIO);
	stop(d);
}

Test(fuse_passthrough, reads_and_writes_go_to_the_backing_file) /* F132, F133 */
{
	struct daemon *d = start(1);
	struct file *file;
	char buf[32];
	struct kstat st;
	struct fuse_attr_out attr = {.attr = make_attr(5, S_IFREG | 0644, 12)};

	cr_assert_eq(backing_open(d, 0, 0), 1);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, 1, &file), 0);
	cr_assert_eq(client_pread(d, file, buf, sizeof(buf), 2), 8);
	cr_assert_eq(memcmp(buf, "23456789", 8), 0);
	cr_assert_eq(client_pwrite(d, file, "abcd", 4, 8), 4);
	cr_assert_eq(file->inode->size, 12); /* grows here; the rest is the daemon's to say */
	expect_reply(d, FUSE_GETATTR, 5, &attr, sizeof(attr));
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(backing_close(d, 1), 0); /* D57: goes on working */
	cr_assert_eq(client_pread(d, file, buf, sizeof(buf), 0), 12);
	cr_assert_eq(memcmp(buf, "01234567abcd", 12), 0);
	cr_assert_eq(kernel_read(&d->self.ctx, back, buf, sizeof(buf), 0), 12);
	close_it(d, file);
	stop(d);
}

Test(fuse_passthrough, mappings_show_the_backing_file) /* F101, F132 */
{
	struct daemon *d = start(1);
	struct file *file;
	struct mmap_request req = {.prot = PROT_READ | PROT_WRITE,
				   .flags = MAP_SHARED,
				   .length = 4096};
	int hostfd;
	char *map;

	cr_assert_eq(backing_open(d, 0, 0), 1);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH | FOPEN_DIRECT_IO, 1, &file), 0);
	cr_assert_eq(file->op->mmap(&d->client.ctx, file, &req, &hostfd), 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, 0);
	cr_assert_neq(map, MAP_FAILED);
	cr_assert_eq(memcmp(map, "0123456789", 10), 0);
	munmap(map, 4096);
	close(hostfd);
	close_it(d, file);
	stop(d);
}

/* An open that ends in EIO, and its RELEASE. */
static void refused(struct daemon *d, uint32_t open_flags, int32_t id)
{
	struct fuse_open_out out = {.fh = 4, .open_flags = open_flags, .backing_id = id};
	struct file *file;

	expect_reply(d, FUSE_OPEN, 5, &out, sizeof(out));
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), -EIO);
	cr_assert(daemon_drain(d));
}

Test(fuse_passthrough, an_inode_is_cached_or_passed_through) /* F130, F131, O06 */
{
	struct daemon *d = start(1);
	struct file *file, *second;

	cr_assert_eq(backing_open(d, 0, 0), 1);
	cr_assert_eq(backing_open(d, 0, 0), 2);
	cr_assert_eq(open_as(d, 0, 0, &file), 0); /* cached */
	refused(d, FOPEN_PASSTHROUGH, 1);
	close_it(d, file);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, 1, &file), 0);
	refused(d, 0, 0);
	refused(d, FOPEN_DIRECT_IO, 0);
	refused(d, FOPEN_PASSTHROUGH, 2);
	refused(d, FOPEN_PASSTHROUGH, 9);
	refused(d, FOPEN_PASSTHROUGH | FOPEN_KEEP_CACHE, 1);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, 1, &second), 0);
	close_it(d, second);
	close_it(d, file);
	cr_assert_eq(open_as(d, 0, 0, &file), 0);
	close_it(d, file);
	stop(d);
}

/* An open that is refused here, of a client that notes whether the RELEASE was answered. */
struct refusal {
	const char *path;
	unsigned flags;
	atomic_bool answered;
};

static long open_refused(struct daemon *d, void *arg)
{
	struct refusal *r = arg;
	struct file *file;
	int err = client_open(d, r->path, r->flags, &file);

	cr_expect(atomic_load(&r->answered), "open(2) did not wait for the RELEASE");
	return err;
}

static void check_refusal(struct daemon *d, struct refusal *r, uint64_t nodeid, uint32_t flags)
{
	struct step *s = expect_silence(d, FUSE_RELEASE, nodeid);
	struct client_thread t;

	client_spawn(&t, d, open_refused, r);
	cr_assert(daemon_wait(d, s));
	cr_expect_eq(step_in(s, struct fuse_release_in)->fh, 4);
	cr_expect_eq(step_in(s, struct fuse_release_in)->flags, 0x8000 | flags);
	cr_expect_eq(s->in.pid, 0); /* H04 */
	atomic_store(&r->answered, true);
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -EIO);
}

/* F55, F53: the daemon has opened it, we do not; the RELEASE is waited for, with the open's flags. */
Test(fuse_passthrough, a_refused_open_waits_for_its_release)
{
	struct refusal open = {"/f", O_RDWR | O_NONBLOCK | O_NOCTTY, false};
	struct refusal create = {"/new", O_RDWR | O_CREAT | O_EXCL, false};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {make_entry(6, S_IFREG | 0644, 0, 100),
		 {.fh = 4, .open_flags = FOPEN_PASSTHROUGH, .backing_id = 9}};
	struct daemon *d = start(1);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	expect_reply(d, FUSE_OPEN, 5, &out.open, sizeof(out.open));
	check_refusal(d, &open, 5, open.flags);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, FUSE_CREATE, 1, &out, sizeof(out));
	check_refusal(d, &create, 6, create.flags);
	cr_assert_eq(client_stat(d, "/new", &st), 0); /* it was made, and counts as looked up */
	stop(d);
}

/* F55, F57: what the daemon has emptied nobody here knows of, until the attributes are asked for. */
Test(fuse_passthrough, a_refused_open_leaves_the_size)
{
	struct fuse_open_out out = {.fh = 4, .open_flags = FOPEN_PASSTHROUGH, .backing_id = 9};
	struct daemon *d = start_with(1, FUSE_ATOMIC_O_TRUNC);
	struct file *file;
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	expect_reply(d, FUSE_OPEN, 5, &out, sizeof(out));
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR | O_TRUNC, &file), -EIO);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_expect_eq(st.size, 10);
	stop(d);
}

/* Ours: a killed client leaves before the answer; nothing overtakes the RELEASE. */
Test(fuse_passthrough, a_refused_open_can_be_killed) /* F55, F60 */
{
	struct refusal r = {"/f", O_RDWR, true};
	struct daemon *d = start(1);
	struct fuse_open_out out = {.fh = 4, .open_flags = FOPEN_PASSTHROUGH, .backing_id = 9};
	struct client_thread t;
	struct step *s, *intr;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 10, 100);
	expect_reply(d, FUSE_OPEN, 5, &out, sizeof(out));
	s = expect_silence(d, FUSE_RELEASE, 5);
	client_spawn(&t, d, open_refused, &r);
	cr_assert(daemon_wait(d, s));
	intr = expect_silence(d, FUSE_INTERRUPT, 0);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EIO);
	cr_assert(daemon_wait(d, intr));
	dcache_shrink(0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/g", &(struct kstat){0}), -ENOENT);
	cr_assert_eq(daemon_forgotten(d, 5), 0);
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, NULL, 0), 16);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	stop(d);
}

/* F134: the daemon is told to take the bits of its file away; those of the backing file stay. */
Test(fuse_passthrough, a_write_takes_set_id_bits_from_the_daemons_file)
{
	for (uint32_t bits = 0; bits <= 06000; bits += 06000) {
		struct daemon *d = start(1);
		struct iattr attr = {.valid = ATTR_MODE, .mode = 06755};
		struct fuse_open_out out = {.fh = 3, .open_flags = FOPEN_PASSTHROUGH};
		struct step *s = NULL;
		struct file *file;

		cr_assert_eq(notify_change(&d->self.ctx, &back->path, &attr), 0);
		out.backing_id = (int32_t)backing_open(d, 0, 0);
		expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0755 | bits, 10, 100);
		expect_reply(d, FUSE_OPEN, 5, &out, sizeof(out));
		cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
		d->client.cred->cap_effective = 0; /* CAP_FSETID */
		if (bits) {
			expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 100);
			s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 10, 100);
		}
		cr_assert_eq(client_pwrite(d, file, "x", 1, 0), 1);
		if (s)
			cr_expect_eq(step_in(s, struct fuse_setattr_in)->mode, S_IFREG | 0755);
		cr_assert_eq(back->inode->mode & 07777, 06755);
		close_it(d, file);
		stop(d);
	}
}

static int map_shared(struct daemon *d, struct file *file)
{
	struct mmap_request req = {0, 4096, PROT_READ, MAP_SHARED};
	int hostfd, err = file->op->mmap(&d->client.ctx, file, &req, &hostfd);

	if (!err)
		close(hostfd);
	return err;
}

/* F100, F131, B36: a shared mapping makes a direct file a cached one, which excludes passing through. */
Test(fuse_passthrough, mapping_a_direct_file_counts_as_cached)
{
	struct daemon *d = start(1);
	struct file *direct, *passed;
	long id = backing_open(d, 0, 0);

	cr_assert_gt(id, 0);
	cr_assert_eq(open_as(d, FOPEN_DIRECT_IO, 0, &direct), 0);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, (int32_t)id, &passed), 0);
	cr_assert_eq(map_shared(d, direct), -ENODEV);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, passed);
	daemon_ignore(d, FUSE_GETATTR);
	expect_reply(d, FUSE_READ, 5, "0123456789", 10);
	cr_assert_eq(map_shared(d, direct), 0);
	cr_assert_eq(open_as(d, FOPEN_PASSTHROUGH, (int32_t)id, &passed), -EIO);
	client_close(d, direct);
	cr_assert_eq(backing_close(d, (int32_t)id), 0);
	stop(d);
}

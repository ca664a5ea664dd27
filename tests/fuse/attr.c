/* GETATTR, SETATTR, STATX, ACCESS and permissions; matrix 6.2, 6.3, 6.15. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "tests/support/daemon.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

TestSuite(fuse_attr, .timeout = 120);

static struct path look_up(struct daemon *d, uint32_t mode, unsigned seconds)
{
	struct path path;

	expect_entry(d, FUSE_LOOKUP, 1, 5, mode, 10, seconds);
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &path), 0);
	return path;
}

/* F11, F28 */
Test(fuse_attr, stat_shows_what_the_daemon_said)
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFCHR | S_ISVTX | 0640, 3, 100);
	struct kstat st;

	out.attr.ino = 1234;
	out.attr.uid = 11;
	out.attr.gid = 12;
	out.attr.nlink = 3;
	out.attr.rdev = fuse_encode_dev(259, 70000);
	out.attr.blksize = 5000;
	out.attr.mtimensec = 2000000000;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	cr_assert_eq(st.ino, 1234);
	cr_assert_eq(st.uid, 11);
	cr_assert_eq(st.gid, 12);
	cr_assert_eq(st.nlink, 3);
	cr_assert_eq(st.mode, S_IFCHR | S_ISVTX | 0640); /* F45 hides it from the VFS, not here */
	cr_assert_eq(st.blksize, 4096);
	cr_assert_eq(st.mtime.tv_nsec, 999999999);
	cr_assert_eq(major(st.rdev), 259);
	cr_assert_eq(minor(st.rdev), 70000);
	DAEMON_STOP(d);
}

/* F20: expired attributes are asked again, fstat carries no fh (F21). */
Test(fuse_attr, expired_attributes_are_asked_again)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 0);
	struct step *s = expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0600, 11, 100);
	struct kstat st;

	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	cr_assert_eq(st.mode, S_IFREG | 0600);
	cr_assert_eq(step_in(s, struct fuse_getattr_in)->getattr_flags, 0);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0600, 11, 100);
	cr_assert_eq(
		vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, AT_STATX_FORCE_SYNC), 0);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_attr, dont_sync_never_asks) /* F20 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 0);
	struct kstat st;

	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, AT_STATX_DONT_SYNC),
		     0);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F22 */
Test(fuse_attr, birth_time_is_asked_with_statx_until_enosys)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 0);
	struct fuse_statx_out out = {.attr_valid = 0};
	struct kstat st;
	struct step *s;

	out.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
	out.stat.mode = S_IFREG | 0644;
	out.stat.btime.tv_sec = 77;
	s = expect_reply(d, FUSE_STATX, 5, &out, sizeof(out));
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS | STATX_BTIME, 0),
		     0);
	cr_assert_eq(st.btime.tv_sec, 77);
	cr_assert_eq(step_in(s, struct fuse_statx_in)->sx_mask, STATX_BASIC_STATS | STATX_BTIME);
	expect_error(d, FUSE_STATX, 5, ENOSYS);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 0);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS | STATX_BTIME, 0),
		     0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 1, 0);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS | STATX_BTIME, 0),
		     0);
	path_put(&path);
	DAEMON_STOP(d);
}

/* Section 9: invalid attributes of a live inode make it bad. */
Test(fuse_attr, type_change_makes_the_inode_bad)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 0);
	struct kstat st;

	expect_attr(d, FUSE_GETATTR, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), -EIO);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), -EIO);
	path_put(&path);
	DAEMON_STOP(d);
}

/* 6.15: what each call sends. */
Test(fuse_attr, setattr_carries_what_was_asked)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 100);
	struct iattr chmod = {.valid = ATTR_MODE | ATTR_CTIME, .mode = 0600};
	struct iattr times = {.valid = ATTR_ATIME | ATTR_MTIME | ATTR_MTIME_SET | ATTR_CTIME};
	struct step *s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0600, 10, 100);

	cr_assert_eq(notify_change(&d->client.ctx, &path, &chmod), 0);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->valid, FATTR_MODE);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->mode & 07777, 0600);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0600, 10, 100);
	times.mtime.tv_sec = 5;
	cr_assert_eq(notify_change(&d->client.ctx, &path, &times), 0);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->valid,
		     FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->mtime, 5);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0600, 3, 100);
	cr_assert_eq(vfs_truncate(&d->client.ctx, &path, 3), 0);
	cr_assert_eq(step_in(s, struct fuse_setattr_in)->size, 3);
	cr_assert(step_in(s, struct fuse_setattr_in)->valid & FATTR_LOCKOWNER);
	cr_assert_not(step_in(s, struct fuse_setattr_in)->valid & FATTR_FH);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_attr, setattr_error_is_the_callers)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 100);
	struct iattr attr = {.valid = ATTR_MODE, .mode = 0600};

	expect_error(d, FUSE_SETATTR, 5, EROFS);
	cr_assert_eq(notify_change(&d->client.ctx, &path, &attr), -EROFS);
	attr = (struct iattr){.valid = ATTR_MODE, .mode = 0600};
	expect_error(d, FUSE_SETATTR, 5, ENOSYS);
	cr_assert_eq(notify_change(&d->client.ctx, &path, &attr), -ENOSYS);
	path_put(&path);
	DAEMON_STOP(d);
}

static int change(struct daemon *d, const struct path *path, struct iattr attr)
{
	attr.valid |= ATTR_CTIME;
	return notify_change(&d->client.ctx, path, &attr);
}

/* F46: who may do that is the daemon's to say, but nobody exceeds a limit of his own. */
Test(fuse_attr, without_default_permissions_setattr_is_sent_for_anybody)
{
	struct daemon_config config = {.uid = 1000, .options = "allow_other"};
	const struct iattr changes[] = {
		{.valid = ATTR_MODE, .mode = 02644}, /* of a group that is not ours, too */
		{.valid = ATTR_UID | ATTR_GID, .uid = 1, .gid = 1},
		{.valid = ATTR_MTIME | ATTR_MTIME_SET},
	};
	struct daemon *d = daemon_start(&config);
	struct path path = look_up(d, S_IFREG | 0644, 100);
	struct step *s = NULL;

	for (int i = 0; i < 3; i++) {
		if (changes[i].valid & ATTR_UID)
			expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 10, 100); /* set-id bits? */
		s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 10, 100);
		cr_assert_eq(change(d, &path, changes[i]), 0, "%d", i);
		if (i == 0)
			cr_expect_eq(step_in(s, struct fuse_setattr_in)->mode, S_IFREG | 02644);
	}
	d->client.ctx.fsize_limit = 100;
	expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 100, 100);
	cr_assert_eq(vfs_truncate(&d->client.ctx, &path, 100), 0);
	cr_assert_eq(vfs_truncate(&d->client.ctx, &path, 101), -EFBIG);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_attr, with_default_permissions_only_the_owners_is_sent) /* F46 */
{
	struct daemon_config config = {.uid = 1000, .options = "allow_other,default_permissions"};
	struct daemon *d = daemon_start(&config);
	struct path path;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	path = look_up(d, S_IFREG | 0644, 100);
	cr_assert_eq(change(d, &path, (struct iattr){.valid = ATTR_MODE, .mode = 0600}), -EPERM);
	cr_assert_eq(change(d, &path, (struct iattr){.valid = ATTR_MTIME | ATTR_MTIME_SET}), -EPERM);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F40, F41: the mount's user is 0. */
Test(fuse_attr, strangers_are_kept_out_without_allow_other)
{
	struct daemon_config config = {.uid = 1000};
	struct daemon *d = daemon_start(&config);
	struct kstat st;

	cr_assert_eq(client_stat(d, "/", &st), -EACCES);
	cr_assert_eq(client_stat(d, "/f", &st), -EACCES);
	DAEMON_STOP(d);
}

Test(fuse_attr, allow_other_lets_them_in) /* F40 */
{
	struct daemon_config config = {.uid = 1000, .options = "allow_other"};
	struct daemon *d = daemon_start(&config);
	struct step *s = expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0700, 0, 100);
	struct kstat st;

	cr_assert_eq(client_stat(d, "/", &st), 0);
	cr_assert_eq(s->in.uid, 1000); /* H02 */
	DAEMON_STOP(d);
}

/* F43: modes count, and are asked again before the answer is no. */
Test(fuse_attr, default_permissions_checks_modes_here)
{
	struct daemon_config config = {.uid = 1000, .options = "allow_other,default_permissions"};
	struct daemon *d = daemon_start(&config);
	struct file *file;

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0600, 10, 100);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0600, 10, 100); /* refresh, then refuse */
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &file), -EACCES);
	DAEMON_STOP(d);
}

/* F44: access(2) asks the daemon; its ENOSYS means yes for ever. */
Test(fuse_attr, access_is_the_daemons_without_default_permissions)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 100);
	struct step *s = expect_error(d, FUSE_ACCESS, 5, EACCES);

	cr_assert_eq(inode_permission(&d->client.ctx, path.dentry->inode, MAY_READ | MAY_ACCESS),
		     -EACCES);
	cr_assert_eq(step_in(s, struct fuse_access_in)->mask, 4);
	expect_error(d, FUSE_ACCESS, 5, ENOSYS);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(inode_permission(&d->client.ctx, path.dentry->inode,
					      MAY_WRITE | MAY_ACCESS),
			     0);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_attr, statfs_is_shown_as_it_came) /* F164, Z28 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_kstatfs out = {.blocks = 100,
				   .bfree = 50,
				   .bavail = 40,
				   .files = 7,
				   .ffree = 3,
				   .bsize = 512,
				   .namelen = 99};
	struct step *s = expect_reply(d, FUSE_STATFS, 1, &out, sizeof(out));
	struct kstatfs st;
	struct path path;

	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/", 0, &path), 0);
	cr_assert_eq(vfs_statfs(&d->client.ctx, &path, &st), 0);
	cr_assert_eq(s->body_len, 0);
	cr_assert_eq(st.type, 0x65735546);
	cr_assert_eq(st.blocks, 100);
	cr_assert_eq(st.bavail, 40);
	cr_assert_eq(st.namelen, 99);
	cr_assert_eq(st.frsize, 512);
	expect_error(d, FUSE_STATFS, 1, ENOSYS);
	cr_assert_eq(vfs_statfs(&d->client.ctx, &path, &st), -ENOSYS);
	path_put(&path);
	DAEMON_STOP(d);
}

static struct file *open_file(struct daemon *d, uint32_t mode, unsigned seconds)
{
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | mode, 10, seconds);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDWR, &file), 0);
	return file;
}

static void close_file(struct daemon *d, struct file *file)
{
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	client_close(d, file);
}

/* P07: the handle goes with the size of ftruncate(2) only; the lock owner with any size. */
Test(fuse_attr, a_size_is_sent_with_handle_and_lock_owner)
{
	struct daemon *d = daemon_start(NULL);
	struct file *file = open_file(d, 0644, 100);
	struct iattr chmod = {.valid = ATTR_MODE | ATTR_CTIME, .mode = 0600};
	struct step *by_file = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 4, 100), *s, *flush;

	cr_assert_eq(vfs_ftruncate(&d->client.ctx, file, 4), 0);
	cr_expect_eq(step_in(by_file, struct fuse_setattr_in)->valid,
		     FATTR_SIZE | FATTR_FH | FATTR_LOCKOWNER);
	cr_expect_eq(step_in(by_file, struct fuse_setattr_in)->fh, 3);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, 3, 100);
	cr_assert_eq(vfs_truncate(&d->client.ctx, &file->path, 3), 0);
	cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid, FATTR_SIZE | FATTR_LOCKOWNER);
	flush = expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	cr_assert_eq(file->op->flush(&d->client.ctx, file), 0);
	cr_expect_eq(step_in(flush, struct fuse_flush_in)->lock_owner,
		     step_in(by_file, struct fuse_setattr_in)->lock_owner);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0600, 3, 100);
	cr_assert_eq(notify_change(&d->client.ctx, &file->path, &chmod), 0);
	cr_expect_eq(step_in(s, struct fuse_setattr_in)->valid, FATTR_MODE);
	close_file(d, file);
	DAEMON_STOP(d);
}

/* P07: nobody knows how far an interrupted SETATTR got. */
Test(fuse_attr, after_an_interrupted_setattr_all_is_asked_again)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, S_IFREG | 0644, 100);
	struct kstat st;

	for (int err = EPERM; err; err = err == EPERM ? EINTR : 0) {
		struct iattr chmod = {.valid = ATTR_MODE, .mode = 0600};

		expect_error(d, FUSE_SETATTR, 5, err);
		cr_assert_eq(notify_change(&d->client.ctx, &path, &chmod), -err);
		if (err == EINTR)
			expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0600, 10, 100);
		cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	}
	cr_assert_eq(st.mode, S_IFREG | 0600);
	path_put(&path);
	DAEMON_STOP(d);
}

static void check_getattr(const struct step *s, uint32_t flags, uint64_t fh)
{
	cr_expect_eq(step_in(s, struct fuse_getattr_in)->getattr_flags, flags);
	cr_expect_eq(step_in(s, struct fuse_getattr_in)->fh, fh);
}

/* W05, F21: the handle is sent by who works with the open file; fstat(2) does not. */
Test(fuse_attr, who_asks_by_an_open_file_names_its_handle)
{
	struct daemon_config config = {.uid = 1000, .options = "allow_other"};
	struct daemon *d = daemon_start(&config);
	struct file *file = open_file(d, 06755, 0);
	struct step *s = expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 0), *end;
	struct kstat st;
	char buf[20];

	cr_assert_eq(vfs_getattr(&d->client.ctx, &file->path, &st, STATX_BASIC_STATS, 0), 0);
	check_getattr(s, 0, 0);
	end = expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 0);
	cr_assert_eq(vfs_llseek(&d->client.ctx, file, 0, SEEK_END), 10);
	check_getattr(end, FUSE_GETATTR_FH, 3);
	s = expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 0);
	expect_reply(d, FUSE_READ, 5, "0123456789", 10);
	cr_assert_eq(client_pread(d, file, buf, sizeof(buf), 0), 10);
	check_getattr(s, FUSE_GETATTR_FH, 3);
	s = expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 06755, 10, 0); /* are the bits still there? */
	expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0755, 4, 0);
	cr_assert_eq(vfs_ftruncate(&d->client.ctx, file, 4), 0);
	check_getattr(s, FUSE_GETATTR_FH, 3);
	close_file(d, file);
	DAEMON_STOP(d);
}

/* M06: blocks are pages where the daemon says nothing, and files as long as an offset can be. */
Test(fuse_attr, blocks_are_pages_and_files_have_no_limit)
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 0, 100);
	struct kstat st;
	struct path path;
	struct step *s;

	entry.attr.blksize = 0;
	expect_reply(d, FUSE_LOOKUP, 1, &entry, sizeof(entry));
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &path), 0);
	cr_assert_eq(vfs_getattr(&d->client.ctx, &path, &st, STATX_BASIC_STATS, 0), 0);
	cr_expect_eq(st.blksize, 4096);
	s = expect_attr(d, FUSE_SETATTR, 5, S_IFREG | 0644, INT64_MAX, 100);
	cr_assert_eq(vfs_truncate(&d->client.ctx, &path, INT64_MAX), 0);
	cr_expect_eq(step_in(s, struct fuse_setattr_in)->size, INT64_MAX);
	path_put(&path);
	DAEMON_STOP(d);
}

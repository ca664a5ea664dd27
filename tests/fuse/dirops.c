/* MKDIR, MKNOD, SYMLINK, READLINK, LINK, UNLINK, RMDIR, RENAME, RENAME2; matrix 6.13. */
#include <criterion/criterion.h>
#include <linux/fs.h>
#include <stdlib.h>

#include "devfuse/params.h"
#include "tests/support/daemon.h"

TestSuite(fuse_dirops, .timeout = 120);

#define CTX (&d->client.ctx)

Test(fuse_dirops, mkdir_sends_mode_and_umask) /* F54 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s;
	struct kstat st;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_MKDIR, 1, 8, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(vfs_mkdir(CTX, NULL, "/d", 0777), 0);
	cr_assert_eq(step_in(s, struct fuse_mkdir_in)->mode, 0755);
	cr_assert_eq(step_in(s, struct fuse_mkdir_in)->umask, 022);
	cr_assert_str_eq(step_body(s) + 8, "d");
	cr_assert_eq(client_stat(d, "/d", &st), 0); /* bound without a LOOKUP */
	DAEMON_STOP(d);
}

Test(fuse_dirops, dont_mask_leaves_the_umask_to_the_daemon) /* F54, B06 */
{
	struct daemon_config config = {.flags = FUSE_DONT_MASK};
	struct daemon *d = daemon_start(&config);
	struct step *s;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_MKDIR, 1, 8, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(vfs_mkdir(CTX, NULL, "/d", 0777), 0);
	cr_assert_eq(step_in(s, struct fuse_mkdir_in)->mode, 0777);
	DAEMON_STOP(d);
}

/* F160, F172: EIO and no FORGET. */
Test(fuse_dirops, mkdir_reply_must_be_a_new_directory)
{
	struct daemon *d = daemon_start(NULL);

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_entry(d, FUSE_MKDIR, 1, 8, S_IFREG | 0755, 0, 100);
	cr_assert_eq(vfs_mkdir(CTX, NULL, "/a", 0777), -EIO);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_entry(d, FUSE_MKDIR, 1, 1, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(vfs_mkdir(CTX, NULL, "/b", 0777), -EIO);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_entry(d, FUSE_MKDIR, 1, 0, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(vfs_mkdir(CTX, NULL, "/c", 0777), -EIO);
	cr_assert_eq(d->nr_forget_reads, 0);
	DAEMON_STOP(d);
}

Test(fuse_dirops, mknod_encodes_the_device)
{
	struct daemon *d = daemon_start(NULL);
	struct step *s;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_MKNOD, 1, 8, S_IFIFO | 0644, 0, 100);
	cr_assert_eq(vfs_mknod(CTX, NULL, "/p", S_IFIFO | 0666, 0), 0);
	cr_assert_eq(step_in(s, struct fuse_mknod_in)->mode, S_IFIFO | 0644);
	cr_assert_eq(step_in(s, struct fuse_mknod_in)->rdev, 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_error(d, FUSE_MKNOD, 1, ENOSYS);
	cr_assert_eq(vfs_mknod(CTX, NULL, "/q", S_IFIFO | 0666, 0), -ENOSYS);
	DAEMON_STOP(d);
}

Test(fuse_dirops, symlink_and_readlink) /* F168 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s;
	struct path path;
	char *target;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_SYMLINK, 1, 8, S_IFLNK | 0777, 3, 100);
	cr_assert_eq(vfs_symlink(CTX, NULL, "/l", "to"), 0);
	cr_assert_str_eq(step_body(s), "l");
	cr_assert_str_eq(step_body(s) + 2, "to");
	cr_assert_eq(path_lookup(CTX, NULL, "/l", 0, &path), 0);
	for (int i = 0; i < 2; i++) { /* not cached */
		expect_reply(d, FUSE_READLINK, 8, "to", 2);
		cr_assert_eq(vfs_readlink(CTX, &path, &target), 0);
		cr_assert_str_eq(target, "to");
		free(target);
	}
	path_put(&path);
	DAEMON_STOP(d);
}

static struct path look_up(struct daemon *d, const char *name, uint64_t nodeid, uint32_t mode)
{
	struct path path;

	expect_entry(d, FUSE_LOOKUP, 1, nodeid, mode, 0, 100);
	cr_assert_eq(path_lookup(CTX, NULL, name, 0, &path), 0);
	return path;
}

/* F161: the link counts as a lookup of the same inode. */
Test(fuse_dirops, link_counts_a_lookup)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644);
	struct step *s;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_LINK, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(vfs_link(CTX, &path, NULL, "/g"), 0);
	cr_assert_eq(step_in(s, struct fuse_link_in)->oldnodeid, 5);
	cr_assert_str_eq(step_body(s) + 8, "g");
	path_put(&path);
	dcache_shrink(0);
	cr_assert(daemon_wait_forgotten(d, 5, 2));
	DAEMON_STOP(d);
}

Test(fuse_dirops, unlink_drops_the_name_and_forgets) /* F162, Q02 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644);
	struct step *s;
	struct kstat st;

	path_put(&path);
	s = expect_reply(d, FUSE_UNLINK, 1, NULL, 0);
	cr_assert_eq(vfs_unlink(CTX, NULL, "/f"), 0);
	cr_assert_str_eq(step_body(s), "f");
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/f", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* UNLINK: ENOENT invalidates the name; other errors leave it. */
Test(fuse_dirops, failed_unlink)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/f", 5, S_IFREG | 0644);
	struct kstat st;

	path_put(&path);
	expect_error(d, FUSE_UNLINK, 1, EPERM);
	cr_assert_eq(vfs_unlink(CTX, NULL, "/f"), -EPERM);
	cr_assert_eq(client_stat(d, "/f", &st), 0);
	expect_error(d, FUSE_UNLINK, 1, ENOENT);
	cr_assert_eq(vfs_unlink(CTX, NULL, "/f"), -ENOENT);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/f", &st), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_dirops, rmdir_of_a_directory)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/d", 5, S_IFDIR | 0755);

	path_put(&path);
	expect_error(d, FUSE_RMDIR, 1, ENOTEMPTY);
	cr_assert_eq(vfs_rmdir(CTX, NULL, "/d"), -ENOTEMPTY);
	expect_reply(d, FUSE_RMDIR, 1, NULL, 0);
	cr_assert_eq(vfs_rmdir(CTX, NULL, "/d"), 0);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	DAEMON_STOP(d);
}

/* F07: the target is looked up afresh; RENAME carries both names. */
Test(fuse_dirops, rename_moves_the_cached_name)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct step *s;
	struct kstat st;

	path_put(&path);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_reply(d, FUSE_RENAME, 1, NULL, 0);
	cr_assert_eq(vfs_rename(CTX, NULL, "/a", NULL, "/b", 0), 0);
	cr_assert_eq(step_in(s, struct fuse_rename_in)->newdir, 1);
	cr_assert_str_eq(step_body(s) + 8, "a");
	cr_assert_str_eq(step_body(s) + 10, "b");
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 0, 100); /* ctime is stale */
	cr_assert_eq(client_stat(d, "/b", &st), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* F163: RENAME2; its ENOSYS means EINVAL for ever. */
Test(fuse_dirops, rename_with_flags)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct step *s;

	path_put(&path);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_error(d, FUSE_RENAME2, 1, ENOSYS);
	cr_assert_eq(vfs_rename(CTX, NULL, "/a", NULL, "/b", RENAME_NOREPLACE), -EINVAL);
	cr_assert_eq(step_in(s, struct fuse_rename2_in)->flags, RENAME_NOREPLACE);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(vfs_rename(CTX, NULL, "/a", NULL, "/b", RENAME_NOREPLACE), -EINVAL);
	DAEMON_STOP(d);
}

/* NOTIFY_INVAL_ENTRY, NOTIFY_DELETE, INC_EPOCH; section 5. */
static ssize_t notify_entry(struct daemon *d, int code, uint64_t child, const char *name,
			    uint32_t flags)
{
	struct {
		uint64_t parent, child;
		uint32_t namelen, padding;
	} del = {1, child, 0, 0};
	struct fuse_notify_inval_entry_out inval = {1, (uint32_t)strlen(name), flags};
	char body[64];
	size_t head = code == FUSE_NOTIFY_DELETE ? sizeof(del) : sizeof(inval);

	del.namelen = inval.namelen;
	memcpy(body, code == FUSE_NOTIFY_DELETE ? (void *)&del : (void *)&inval, head);
	memcpy(body + head, name, strlen(name) + 1);
	return daemon_notify(d, code, body, head + strlen(name) + 1);
}

Test(fuse_dirops, inval_entry_makes_the_next_walk_ask) /* T03 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct kstat st;

	path_put(&path);
	cr_assert_gt(notify_entry(d, FUSE_NOTIFY_INVAL_ENTRY, 0, "a", 0), 0);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	cr_assert_eq(notify_entry(d, FUSE_NOTIFY_INVAL_ENTRY, 0, "zz", 0), -ENOENT);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	cr_assert_gt(notify_entry(d, FUSE_NOTIFY_INVAL_ENTRY, 0, "a", FUSE_EXPIRE_ONLY), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	cr_assert_eq(daemon_forgotten(d, 5), 1);
	DAEMON_STOP(d);
}

Test(fuse_dirops, delete_checks_the_child) /* T06 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct kstat st;

	path_put(&path);
	cr_assert_eq(notify_entry(d, FUSE_NOTIFY_DELETE, 6, "a", 0), -ENOENT);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100); /* it was invalidated */
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	cr_assert_gt(notify_entry(d, FUSE_NOTIFY_DELETE, 5, "a", 0), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	DAEMON_STOP(d);
}

Test(fuse_dirops, inc_epoch_invalidates_every_name) /* F08, T08 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct kstat st;

	path_put(&path);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INC_EPOCH, NULL, 0), 16);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	DAEMON_STOP(d);
}

Test(fuse_dirops, inc_epoch_with_inval_wq_forgets_every_unused_name) /* F13, T08 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d, "/a", 5, S_IFREG | 0644);
	struct path used = look_up(d, "/b", 6, S_IFREG | 0644);

	path_put(&path);
	atomic_store(&fuse_params.inval_wq, 5);
	cr_assert_eq(daemon_notify(d, FUSE_NOTIFY_INC_EPOCH, NULL, 0), 16);
	cr_assert(daemon_wait_forgotten(d, 5, 1));
	cr_expect_eq(daemon_forgotten(d, 6), 0);
	path_put(&used);
	DAEMON_STOP(d);
}

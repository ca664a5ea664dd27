/* The xattr opcodes; matrix 6.9. */
#include <criterion/criterion.h>

#include "tests/support/daemon.h"
#include "vfs/xattr.h"

TestSuite(fuse_xattr, .timeout = 120);

#define CTX (&d->client.ctx)

static struct path look_up(struct daemon *d)
{
	struct path path;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/f", 0, &path), 0);
	return path;
}

Test(fuse_xattr, get_asks_for_size_or_value) /* F121 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_getxattr_out size = {.size = 3}, huge = {.size = 1 << 20};
	struct path path = look_up(d);
	struct step *s;
	char value[16];

	s = expect_reply(d, FUSE_GETXATTR, 5, &size, sizeof(size));
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", NULL, 0), 3);
	cr_assert_eq(step_in(s, struct fuse_getxattr_in)->size, 0);
	cr_assert_str_eq(step_body(s) + 8, "user.a");
	s = expect_reply(d, FUSE_GETXATTR, 5, "xyz", 3);
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", value, 16), 3);
	cr_assert_eq(step_in(s, struct fuse_getxattr_in)->size, 16);
	expect_reply(d, FUSE_GETXATTR, 5, &huge, sizeof(huge));
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", NULL, 0), 65536);
	expect_error(d, FUSE_GETXATTR, 5, ENODATA);
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.b", value, 16), -ENODATA);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_xattr, malformed_answers_are_eio) /* Z22 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d);
	char value[4];

	expect_reply(d, FUSE_GETXATTR, 5, "12345", 5);
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", value, 4), -EIO);
	expect_reply(d, FUSE_GETXATTR, 5, "1234", 4); /* the size needs eight */
	cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", NULL, 0), -EIO);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F122 */
Test(fuse_xattr, list_must_be_names)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d);
	char list[64];

	expect_reply(d, FUSE_LISTXATTR, 5, "user.a\0user.b", 14);
	cr_assert_eq(vfs_listxattr(CTX, &path, list, 64), 14);
	expect_reply(d, FUSE_LISTXATTR, 5, "user.a\0user.b", 13); /* no NUL at the end */
	cr_assert_eq(vfs_listxattr(CTX, &path, list, 64), -EIO);
	expect_reply(d, FUSE_LISTXATTR, 5, "a\0\0", 3); /* an empty name */
	cr_assert_eq(vfs_listxattr(CTX, &path, list, 64), -EIO);
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_xattr, set_has_the_short_header_unless_ext) /* V33, B29 */
{
	struct daemon_config config = {.flags = FUSE_SETXATTR_EXT};
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d);
	struct step *s = expect_reply(d, FUSE_SETXATTR, 5, NULL, 0);

	cr_assert_eq(vfs_setxattr(CTX, &path, "user.a", "val", 3, 0), 0);
	cr_assert_eq(s->body_len, 8 + 7 + 3);
	cr_assert_str_eq(step_body(s) + 8, "user.a");
	path_put(&path);
	DAEMON_STOP(d);
	d = daemon_start(&config);
	path = look_up(d);
	s = expect_reply(d, FUSE_SETXATTR, 5, NULL, 0);
	cr_assert_eq(vfs_setxattr(CTX, &path, "user.a", "val", 3, 0), 0);
	cr_assert_eq(s->body_len, 16 + 7 + 3);
	path_put(&path);
	DAEMON_STOP(d);
}

/* F123: an empty value is a value; what has changed is the ctime. */
Test(fuse_xattr, set_and_remove_change_the_ctime_only)
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d);
	struct kstat st;
	struct step *s;

	for (int removes = 0; removes < 2; removes++) {
		s = expect_reply(d, removes ? FUSE_REMOVEXATTR : FUSE_SETXATTR, 5, NULL, 0);
		if (removes)
			cr_assert_eq(vfs_removexattr(CTX, &path, "user.a"), 0);
		else
			cr_assert_eq(vfs_setxattr(CTX, &path, "user.a", NULL, 0, 0), 0);
		cr_assert_str_eq(step_body(s) + (removes ? 0 : 8), "user.a");
		cr_assert_eq(s->body_len, removes ? 7 : 8 + 7);
		cr_assert_eq(vfs_getattr(CTX, &path, &st, STATX_BASIC_STATS & ~STATX_CTIME, 0), 0);
		expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 0, 100);
		cr_assert_eq(vfs_getattr(CTX, &path, &st, STATX_CTIME, 0), 0);
	}
	path_put(&path);
	DAEMON_STOP(d);
}

Test(fuse_xattr, enosys_turns_each_of_them_off) /* A01, Z29 */
{
	struct daemon *d = daemon_start(NULL);
	struct path path = look_up(d);

	expect_error(d, FUSE_GETXATTR, 5, ENOSYS);
	expect_error(d, FUSE_SETXATTR, 5, ENOSYS);
	expect_error(d, FUSE_LISTXATTR, 5, ENOSYS);
	expect_error(d, FUSE_REMOVEXATTR, 5, ENOSYS);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(vfs_getxattr(CTX, &path, "user.a", NULL, 0), -EOPNOTSUPP);
		cr_assert_eq(vfs_setxattr(CTX, &path, "user.a", "v", 1, 0), -EOPNOTSUPP);
		cr_assert_eq(vfs_listxattr(CTX, &path, NULL, 0), -EOPNOTSUPP);
		cr_assert_eq(vfs_removexattr(CTX, &path, "user.a"), -EOPNOTSUPP);
	}
	path_put(&path);
	DAEMON_STOP(d);
}

/* F120: what a namespace allows is decided here, and nothing is sent; other names go as they are. */
Test(fuse_xattr, namespaces_are_checked_before_the_daemon_is_asked)
{
	struct daemon_config config = {.options = "allow_other", .uid = 77};
	struct daemon *d = daemon_start(&config);
	struct path path, link;
	struct step *s;
	char value[16];

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0666, 0, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/f", 0, &path), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFLNK | 0777, 0, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/l", 0, &link), 0);
	cr_assert_eq(vfs_getxattr(CTX, &path, "trusted.a", value, 16), -ENODATA);
	cr_assert_eq(vfs_setxattr(CTX, &path, "trusted.a", "x", 1, 0), -EPERM);
	cr_assert_eq(vfs_getxattr(CTX, &link, "user.a", value, 16), -ENODATA);
	cr_assert_eq(vfs_setxattr(CTX, &link, "user.a", "x", 1, 0), -EPERM);
	s = expect_reply(d, FUSE_GETXATTR, 5, "v", 1);
	cr_assert_eq(vfs_getxattr(CTX, &path, "odd.name", value, 16), 1);
	cr_assert_str_eq(step_body(s) + 8, "odd.name");
	path_put(&path);
	path_put(&link);
	DAEMON_STOP(d);
}

/* fuseblk: refused as Linux refuses each source, for there are no block devices; matrix 7.1. */
#include <criterion/criterion.h>

#include "tests/support/daemon.h"
#include "vfs/superblock.h"

TestSuite(fuse_fuseblk, .timeout = 20);

static int mount_of(struct daemon *d, const char *type, const char *source, const char *options)
{
	struct op_ctx ctx = d->client.ctx;
	struct fs_context *fc;
	int err = fs_context_new(filesystem_find(type, strlen(type)), 0, &fc);

	cr_assert_eq(err, 0);
	fc->source = source ? strdup(source) : NULL;
	err = fs_context_parse_monolithic(&ctx, fc, options);
	if (!err)
		err = fs_context_get_tree(&ctx, fc);
	fs_context_free(fc);
	return err;
}

#define OPTIONS "rootmode=40000,user_id=0,group_id=0"

Test(fuse_fuseblk, the_source_is_looked_at_first) /* M02, G07 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out node = make_entry(6, S_IFBLK | 0600, 0, 100);

	cr_assert_eq(mount_of(d, "fuseblk", NULL, OPTIONS), -EINVAL);
	cr_assert_eq(mount_of(d, "fuseblk", "", OPTIONS), -EINVAL);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(mount_of(d, "fuseblk", "/none", OPTIONS), -ENOENT);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	cr_assert_eq(mount_of(d, "fuseblk", "/file", OPTIONS), -ENOTBLK);
	node.attr.rdev = 0xf04d;
	expect_reply(d, FUSE_LOOKUP, 1, &node, sizeof(node));
	cr_assert_eq(mount_of(d, "fuseblk", "/node", OPTIONS), -ENXIO);
	cr_assert_eq(mount_of(d, "fuseblk", "/node", ""), -ENXIO);
	DAEMON_STOP(d);
}

Test(fuse_fuseblk, it_alone_takes_a_block_size) /* G07 */
{
	struct daemon *d = daemon_start(NULL);

	cr_assert_eq(mount_of(d, "fuse", "x", OPTIONS ",blksize=512"), -EINVAL);
	cr_assert_eq(mount_of(d, "fuseblk", NULL, OPTIONS ",blksize=x"), -EINVAL);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(mount_of(d, "fuseblk", "/none", OPTIONS ",blksize=512"), -ENOENT);
	DAEMON_STOP(d);
}

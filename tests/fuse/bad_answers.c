/*
 * Answers of the right size with the wrong things in them, section 9 of the protocol's rules: an
 * honest daemon (tests/support/honest.h) with one lie in a table. Lies that need a conversation
 * around them are scripted in badreply.c; what belongs to one opcode is beside that opcode's tests.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sentry/base/wait.h"
#include "tests/support/honest.h"
#include "vfs/poll.h"

TestSuite(fuse_bad_answers, .timeout = 30);

#define CTX (&d->client.ctx)

/* --- entries ------------------------------------------------------------------------------ */

enum { LOOKUPS, SYMLINKS, MKNODS, MKDIRS, LINKS };

/* The operation that gets this entry. */
static int ask(struct daemon *d, int what, const struct fuse_entry_out *out)
{
	static const uint32_t opcodes[] = { FUSE_LOOKUP, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR,
					    FUSE_LINK };
	struct kstat st;
	struct path old;
	int err;

	if (what == LINKS) {
		expect_entry(d, FUSE_LOOKUP, 1, 9, S_IFREG | 0644, 0, 100);
		cr_assert_eq(path_lookup(CTX, NULL, "/old", 0, &old), 0);
	}
	if (what != LOOKUPS)
		expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	expect_reply(d, opcodes[what], 1, out, sizeof(*out));
	switch (what) {
	case SYMLINKS:
		return vfs_symlink(CTX, NULL, "/x", "target");
	case MKNODS:
		return vfs_mknod(CTX, NULL, "/x", S_IFREG | 0644, 0);
	case MKDIRS:
		return vfs_mkdir(CTX, NULL, "/x", 0755);
	case LINKS:
		err = vfs_link(CTX, &old, NULL, "/x");
		path_put(&old);
		return err;
	default:
		return client_stat(d, "/x", &st);
	}
}

Test(fuse_bad_answers, entries_that_cannot_be) /* Z05-Z07, Z11, F160, F172 */
{
	static const uint32_t types[] = { S_IFREG, S_IFLNK, S_IFREG, S_IFDIR, S_IFREG };

	for (int what = LOOKUPS; what <= LINKS; what++) {
		struct fuse_entry_out rows[6];
		struct fuse_entry_out good = make_entry(5, types[what] | 0644, 0, 100);

		for (int i = 0; i < 6; i++)
			rows[i] = good;
		rows[0].attr.mode = 0644;
		rows[1].attr.mode = 0170644;
		rows[2].attr.size = 1ULL << 63;
		rows[3].nodeid = 1;
		rows[4].nodeid = 1; /* and not the root's generation */
		rows[4].generation = 77;
		rows[5].nodeid = 0; /* of a LOOKUP: there is none */
		for (int i = 0; i < 6; i++) {
			struct daemon *d = daemon_start(NULL);
			int want = what == LOOKUPS && i == 5 ? -ENOENT : -EIO;

			cr_expect_eq(ask(d, what, &rows[i]), want, "operation %d, row %d", what, i);
			cr_expect_eq(daemon_forgotten(d, 5), 0, "operation %d, row %d", what, i);
			DAEMON_STOP(d);
		}
	}
}

Test(fuse_bad_answers, a_creation_of_another_type) /* Z11, F160 */
{
	static const uint32_t other[] = { 0, S_IFREG, S_IFDIR, S_IFREG, S_IFDIR };

	for (int what = SYMLINKS; what <= LINKS; what++) {
		struct fuse_entry_out out = make_entry(5, other[what] | 0644, 0, 100);
		struct daemon *d = daemon_start(NULL);

		cr_expect_eq(ask(d, what, &out), -EIO, "operation %d", what);
		DAEMON_STOP(d);
	}
}

Test(fuse_bad_answers, a_revalidation_with_bad_attributes_leads_to_a_fresh_lookup) /* Z10 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 0);
	expect_attr(d, FUSE_GETATTR, 5, S_IFREG | 0644, 0, 0);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, 0644, 0, 0);
	expect_entry(d, FUSE_LOOKUP, 1, 6, S_IFREG | 0644, 3, 100);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.size, 3);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, a_directory_inside_itself) /* Z09, F12 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 5, 6, S_IFDIR | 0755, 0, 100);
	expect_entry(d, FUSE_LOOKUP, 6, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/a/b/a", &st), -ELOOP);
	cr_assert_eq(client_stat(d, "/a/b", &st), 0); /* where they were */
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, a_directory_under_a_second_name_is_moved_there) /* Z09, F12 */
{
	struct daemon *d = daemon_start(NULL);
	struct kstat st;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/a", &st), 0);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/b", &st), 0);
	cr_assert_eq(client_stat(d, "/b", &st), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	DAEMON_STOP(d);
}

/* --- attributes --------------------------------------------------------------------------- */

static int change_mode(struct daemon *d, const struct path *path)
{
	struct iattr attr = { .valid = ATTR_MODE, .mode = 0600 };

	return notify_change(CTX, path, &attr);
}

static int get_attributes(struct daemon *d, const struct path *path, uint32_t mask)
{
	struct kstat st;

	return vfs_getattr(CTX, path, &st, mask, AT_STATX_FORCE_SYNC);
}

static int ask_attributes(struct daemon *d, const struct path *path, uint32_t opcode, uint32_t mode,
			  uint64_t size)
{
	struct fuse_statx_out out = { .attr_valid = 100 };

	if (opcode != FUSE_STATX) {
		expect_attr(d, opcode, 5, mode, size, 100);
		return opcode == FUSE_SETATTR ? change_mode(d, path)
					      : get_attributes(d, path, STATX_BASIC_STATS);
	}
	out.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
	out.stat.mode = (uint16_t)mode;
	out.stat.size = size;
	out.stat.nlink = 1;
	expect_reply(d, FUSE_STATX, 5, &out, sizeof(out));
	return get_attributes(d, path, STATX_BASIC_STATS | STATX_BTIME);
}

Test(fuse_bad_answers, bad_attributes_make_the_inode_bad_for_ever) /* Z12, F10 */
{
	static const uint32_t opcodes[] = { FUSE_GETATTR, FUSE_SETATTR, FUSE_STATX };
	static const struct {
		uint32_t mode;
		uint64_t size;
	} rows[] = { { 0644, 0 }, { S_IFDIR | 0755, 0 }, { S_IFREG | 0644, 1ULL << 63 } };

	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 3; i++) {
			struct daemon *d = daemon_start(NULL);
			struct file *file = NULL;
			char byte;

			expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 3, 100);
			expect_open(d, FUSE_OPEN, 5, 3, FOPEN_DIRECT_IO);
			cr_assert_eq(client_open(d, "/x", O_RDWR, &file), 0);
			cr_expect_eq(ask_attributes(d, &file->path, opcodes[o], rows[i].mode,
						    rows[i].size),
				     -EIO, "opcode %u, row %zu", opcodes[o], i);
			/* No request any more but the end of what is open. */
			cr_expect_eq(get_attributes(d, &file->path, STATX_BASIC_STATS), -EIO);
			cr_expect_eq(client_pread(d, file, &byte, 1, 0), -EIO);
			daemon_ignore(d, FUSE_FLUSH);
			daemon_ignore(d, FUSE_RELEASE);
			client_close(d, file);
			DAEMON_STOP(d);
		}
}

Test(fuse_bad_answers, a_name_without_links_is_no_target_of_link) /* Z14 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0644, 0, 100);
	struct kstat st;
	struct path old;

	out.attr.nlink = 0;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	cr_assert_eq(path_lookup(CTX, NULL, "/x", 0, &old), 0);
	cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.nlink, 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(vfs_link(CTX, &old, NULL, "/y"), -ENOENT);
	path_put(&old);
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, absurd_times_are_put_right) /* Z15, F02, F28 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_entry_out out = make_entry(5, S_IFREG | 0644, 0, 0);
	struct kstat st;

	out.entry_valid = out.attr_valid = UINT64_MAX;
	out.entry_valid_nsec = out.attr_valid_nsec = UINT32_MAX;
	out.attr.mtimensec = UINT32_MAX;
	out.attr.atime = UINT64_MAX;
	out.attr.blksize = 3000;
	expect_reply(d, FUSE_LOOKUP, 1, &out, sizeof(out));
	for (int i = 0; i < 2; i++) /* valid for ever, not for no time at all */
		cr_assert_eq(client_stat(d, "/x", &st), 0);
	cr_assert_eq(st.mtime.tv_nsec, 999999999);
	cr_assert_eq(st.blksize, 2048);
	DAEMON_STOP(d);
}

/* --- the rest ----------------------------------------------------------------------------- */

Test(fuse_bad_answers, unknown_flags_of_open_are_ignored) /* Z16, W01 */
{
	const uint32_t known = FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE | FOPEN_NONSEEKABLE | FOPEN_CACHE_DIR |
			       FOPEN_STREAM | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES |
			       FOPEN_PASSTHROUGH;
	struct daemon *d = daemon_start(NULL);
	struct file *file = NULL;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 5, 3, ~known);
	cr_assert_eq(client_open(d, "/x", O_RDWR, &file), 0);
	cr_assert_eq(vfs_llseek(CTX, file, 5, SEEK_SET), 5);
	expect_reply(d, FUSE_FLUSH, 5, NULL, 0);
	expect_reply(d, FUSE_RELEASE, 5, NULL, 0);
	cr_assert_eq(client_close(d, file), 0);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

static int read_link(const char *answer, size_t len, char **ret_target)
{
	struct daemon *d = daemon_start(NULL);
	struct path path;
	int err;

	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFLNK | 0777, 4, 100);
	cr_assert_eq(path_lookup(CTX, NULL, "/l", 0, &path), 0);
	expect_reply(d, FUSE_READLINK, 5, answer, len);
	err = vfs_readlink(CTX, &path, ret_target);
	path_put(&path);
	DAEMON_STOP(d);
	return err;
}

Test(fuse_bad_answers, odd_targets_of_symlinks) /* Z19, F168 */
{
	static char page[4096];
	char *target = NULL;

	memset(page, 'x', sizeof(page));
	cr_assert_eq(read_link(page, 4096, &target), -EIO);
	cr_assert_eq(read_link(page, 4095, &target), 0);
	cr_assert_eq(strlen(target), 4095);
	free(target);
	cr_assert_eq(read_link("a\0b", 3, &target), 0);
	cr_assert_str_eq(target, "a");
	free(target);
	cr_assert_eq(read_link("", 0, &target), 0);
	cr_assert_str_eq(target, "");
	free(target);
}

Test(fuse_bad_answers, a_directory_whose_offsets_stand_still_does_not_end) /* Z20 */
{
	struct daemon *d = daemon_start(NULL);
	struct file *dir = NULL;
	char buf[100];
	uint8_t listing[64];
	size_t len = make_dirent(listing, 9, 5, "a", 8);

	expect_open(d, FUSE_OPENDIR, 1, 3, 0);
	cr_assert_eq(client_open(d, "/", O_RDONLY | O_DIRECTORY, &dir), 0);
	for (int i = 0; i < 3; i++) {
		struct step *s = expect_reply(d, FUSE_READDIR, 1, listing, len);

		cr_assert_eq(client_readdir(d, dir, buf, sizeof(buf), 24 + 2), 2);
		cr_assert_str_eq(buf, "a ");
		cr_assert_eq(step_in(s, struct fuse_read_in)->offset, i ? 5 : 0);
	}
	expect_reply(d, FUSE_RELEASEDIR, 1, NULL, 0);
	client_close(d, dir);
	cr_assert(daemon_drain(d));
	DAEMON_STOP(d);
}

Test(fuse_bad_answers, poll_bits_are_shown_as_they_are) /* Z27 */
{
	struct daemon *d = daemon_start(NULL);
	struct fuse_poll_out out = { .revents = UINT32_MAX };
	struct poll_item item = { .events = POLLIN };

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 0, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/x", O_RDWR, &item.file), 0);
	expect_reply(d, FUSE_POLL, 5, &out, sizeof(out));
	cr_assert_eq(vfs_poll_items(CTX, &item, 1, WAIT_FOREVER), 1);
	cr_assert_eq(item.revents, POLLIN | POLLERR | POLLHUP); /* what was asked for, and always */
	client_close(d, item.file);
	DAEMON_STOP(d);
}

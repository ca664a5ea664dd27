/* Extensions of requests that make something: SECURITY_CTX, CREATE_SUPP_GROUP; matrix 1.2, H08. */
#include <criterion/criterion.h>
#include <fcntl.h>

#include "tests/support/daemon.h"
#include "vfs/cred.h"

TestSuite(fuse_create_ext, .timeout = 120);

static const uint8_t no_label[8] = {8, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t group_77[16] = {16, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 77, 0, 0, 0};

/* The client is in group 77, the directory's is `dir_gid`. */
static struct daemon *start(uint64_t flags, gid_t dir_gid)
{
	struct daemon_config config = {.flags = flags | FUSE_PARALLEL_DIROPS};
	struct daemon *d = daemon_start(&config);
	struct fuse_attr_out out = {.attr_valid = 1000};
	const gid_t group = 77;
	struct kstat st;

	cr_assert_eq(cred_set_groups(d->client.cred, &group, 1), 0);
	out.attr = make_attr(1, S_IFDIR | 0777, 0);
	out.attr.gid = dir_gid;
	expect_reply(d, FUSE_GETATTR, 1, &out, sizeof(out));
	cr_assert_eq(client_stat(d, "/", &st), 0);
	return d;
}

/* What follows `plain` bytes of request must be these. */
static void check_end(const struct step *s, size_t plain, const uint8_t *ext, size_t len)
{
	cr_expect_eq(s->in.total_extlen, len / 8);
	cr_assert_eq(s->body_len, plain + len);
	if (len)
		cr_expect_arr_eq(s->body + plain, ext, len);
}

static void check_all(struct daemon *d, const uint8_t *ext, size_t len)
{
	struct fuse_entry_out entry = make_entry(20, S_IFREG | 0644, 0, 0);
	struct fuse_open_out open = {.fh = 1};
	uint8_t created[sizeof(entry) + sizeof(open)];
	struct file *file;
	struct step *s;

	memcpy(created, &entry, sizeof(entry));
	memcpy(created + sizeof(entry), &open, sizeof(open));
	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_MKDIR, 1, 11, S_IFDIR | 0755, 0, 0);
	cr_assert_eq(vfs_mkdir(&d->client.ctx, NULL, "/d", 0755), 0);
	check_end(s, 8 + 2, ext, len);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_MKNOD, 1, 12, S_IFIFO | 0644, 0, 0);
	cr_assert_eq(vfs_mknod(&d->client.ctx, NULL, "/fifo", S_IFIFO | 0644, 0), 0);
	check_end(s, 16 + 5, ext, len);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_SYMLINK, 1, 13, S_IFLNK | 0777, 0, 0);
	cr_assert_eq(vfs_symlink(&d->client.ctx, NULL, "/l", "to"), 0);
	check_end(s, 2 + 3, ext, len);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_reply(d, FUSE_CREATE, 1, created, sizeof(created));
	cr_assert_eq(client_open(d, "/f", O_RDWR | O_CREAT, &file), 0);
	check_end(s, 16 + 2, ext, len);
	client_close(d, file);
	s = expect_reply(d, FUSE_TMPFILE, 1, created, sizeof(created));
	cr_assert_eq(client_open(d, "/", O_RDWR | O_TMPFILE, &file), 0);
	check_end(s, 16 + 2, ext, len);
	client_close(d, file);
	DAEMON_STOP(d);
}

Test(fuse_create_ext, none_without_the_flags) /* H08, E01, E02 */
{
	check_all(start(0, 77), NULL, 0);
}

Test(fuse_create_ext, a_security_context_without_label_is_a_header) /* H08, E01, B32 */
{
	check_all(start(FUSE_SECURITY_CTX, 77), no_label, sizeof(no_label));
}

Test(fuse_create_ext, the_directorys_group_when_the_caller_is_in_it) /* H08, E02, B34 */
{
	check_all(start(FUSE_CREATE_SUPP_GROUP, 77), group_77, sizeof(group_77));
}

Test(fuse_create_ext, no_group_that_is_not_the_callers) /* E02 */
{
	check_all(start(FUSE_CREATE_SUPP_GROUP, 78), NULL, 0);
}

Test(fuse_create_ext, no_group_that_is_the_callers_own) /* E02 */
{
	check_all(start(FUSE_CREATE_SUPP_GROUP, 0), NULL, 0);
}

Test(fuse_create_ext, the_context_comes_before_the_group) /* H08, E01, E02, E03 */
{
	uint8_t both[24];

	memcpy(both, no_label, 8);
	memcpy(both + 8, group_77, 16);
	check_all(start(FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP, 77), both, sizeof(both));
}

Test(fuse_create_ext, link_has_none) /* E01, E02 */
{
	struct daemon *d = start(FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP, 77);
	struct path old;
	struct step *s;

	expect_entry(d, FUSE_LOOKUP, 1, 20, S_IFREG | 0644, 0, 100);
	cr_assert_eq(path_lookup(&d->client.ctx, NULL, "/f", 0, &old), 0);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	s = expect_entry(d, FUSE_LINK, 1, 20, S_IFREG | 0644, 0, 100);
	cr_assert_eq(vfs_link(&d->client.ctx, &old, NULL, "/g"), 0);
	check_end(s, 8 + 2, NULL, 0);
	path_put(&old);
	DAEMON_STOP(d);
}

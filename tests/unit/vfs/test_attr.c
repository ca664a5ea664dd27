/* Attributes, permissions and credentials: vfs/attr.h, vfs/perm.h, vfs/cred.h, vfs/strbuf.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "memfs.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	vfs_mkdir(&w.ctx, NULL, "/all", 0777);
	t_create(&w, "/f", 0644);
	t_create(&w, "/suid", 06755);
	t_mkdir(&w, "/d");
}

static void teardown(void)
{
	world_fini(&w);
}

TestSuite(attr, .init = setup, .fini = teardown, .timeout = 120);

static int change(const char *name, struct iattr attr)
{
	struct path path;
	int err = path_lookup(&w.ctx, NULL, name, 0, &path);

	if (err)
		return err;
	err = notify_change(&w.ctx, &path, &attr);
	path_put(&path);
	return err;
}

static uint32_t mode_of(const char *name)
{
	struct kstat st;

	cr_assert_eq(t_stat(&w, name, &st), 0);
	return st.mode & 07777;
}

static int chmod_to(const char *name, uint32_t mode)
{
	return change(name, (struct iattr){.valid = ATTR_MODE, .mode = mode});
}

static int chown_to(const char *name, uid_t uid, gid_t gid)
{
	return change(name, (struct iattr){.valid = ATTR_UID | ATTR_GID, .uid = uid, .gid = gid});
}

Test(attr, chmod_is_for_owners)
{
	cr_expect_eq(chmod_to("/f", 0600), 0);
	cr_expect_eq(mode_of("/f"), 0600);
	world_become(&w, 1000, 1000);
	cr_expect_eq(chmod_to("/f", 0666), -EPERM);
	t_create(&w, "/all/mine", 0600);
	cr_expect_eq(chmod_to("/all/mine", 04777), 0);
	cr_expect_eq(mode_of("/all/mine"), 04777);
}

Test(attr, a_foreign_groups_set_gid_bit_is_dropped)
{
	world_become(&w, 1000, 1000);
	t_create(&w, "/all/mine", 0755);
	world_become(&w, 0, 0);
	cr_assert_eq(chown_to("/all/mine", 1000, 5), 0);
	world_become(&w, 1000, 1000);
	cr_expect_eq(chmod_to("/all/mine", 02755), 0);
	cr_expect_eq(mode_of("/all/mine"), 0755);
}

Test(attr, chown_needs_a_capability_or_the_owners_own_groups)
{
	world_become(&w, 1000, 1000);
	t_create(&w, "/all/mine", 0644);
	cr_expect_eq(chown_to("/all/mine", 1001, 1000), -EPERM);
	cr_expect_eq(chown_to("/all/mine", 1000, 1000), 0);
	cr_expect_eq(chown_to("/all/mine", 1000, 0), -EPERM);
	cr_expect_eq(chown_to("/f", 0, 1000), -EPERM);
	world_become(&w, 0, 0);
	cr_expect_eq(chown_to("/all/mine", 7, 8), 0);
}

Test(attr, chown_strips_set_id_bits)
{
	cr_assert_eq(chown_to("/suid", 5, 5), 0);
	cr_expect_eq(mode_of("/suid"), 0755);
	cr_assert_eq(chmod_to("/d", 02775), 0);
	cr_assert_eq(chown_to("/d", 5, 5), 0);
	cr_expect_eq(mode_of("/d"), 02775, "not of directories");
}

Test(attr, truncation_by_a_stranger_strips_set_id_bits)
{
	struct path path;

	cr_assert_eq(chmod_to("/suid", 06777), 0);
	world_become(&w, 1000, 1000);
	path_lookup(&w.ctx, NULL, "/suid", 0, &path);
	cr_assert_eq(vfs_truncate(&w.ctx, &path, 10), 0);
	path_put(&path);
	cr_expect_eq(mode_of("/suid"), 0777);
}

Test(attr, truncate_gives_the_errors_of_linux)
{
	struct path file, dir;

	path_lookup(&w.ctx, NULL, "/f", 0, &file);
	path_lookup(&w.ctx, NULL, "/d", 0, &dir);
	cr_expect_eq(vfs_truncate(&w.ctx, &file, -1), -EINVAL);
	cr_expect_eq(vfs_truncate(&w.ctx, &dir, 0), -EISDIR);
	cr_expect_eq(vfs_truncate(&w.ctx, &file, 1000), 0);
	w.ctx.fsize_limit = 500;
	cr_expect_eq(vfs_truncate(&w.ctx, &file, 2000), -EFBIG);
	cr_expect_eq(w.signal, SIGXFSZ);
	cr_expect_eq(vfs_truncate(&w.ctx, &file, 900), 0, "shrinking is always allowed");
	world_become(&w, 1000, 1000);
	cr_expect_eq(vfs_truncate(&w.ctx, &file, 0), -EACCES);
	path_put(&file);
	path_put(&dir);
}

Test(attr, times_now_need_write_permission_and_set_times_the_owner)
{
	struct iattr now = {.valid = ATTR_ATIME | ATTR_MTIME | ATTR_TOUCH};
	struct iattr set = {.valid = ATTR_MTIME | ATTR_MTIME_SET, .mtime = {5, 6}};
	struct kstat st;

	cr_assert_eq(change("/f", set), 0);
	t_stat(&w, "/f", &st);
	cr_expect_eq(st.mtime.tv_sec, 5);
	cr_expect_neq(st.ctime.tv_sec, 5);
	world_become(&w, 1000, 1000);
	cr_expect_eq(change("/f", now), -EACCES);
	cr_expect_eq(change("/f", set), -EPERM);
	world_become(&w, 0, 0);
	chmod_to("/f", 0666);
	world_become(&w, 1000, 1000);
	cr_expect_eq(change("/f", now), 0);
	cr_expect_eq(change("/f", set), -EPERM);
}

Test(attr, relatime_updates_only_old_access_times)
{
	struct iattr old = {.valid = ATTR_ATIME | ATTR_ATIME_SET | ATTR_MTIME | ATTR_MTIME_SET};
	struct path path;
	struct kstat st;

	path_lookup(&w.ctx, NULL, "/f", 0, &path);
	cr_assert_eq(change("/f", old), 0);
	touch_atime(&path);
	t_stat(&w, "/f", &st);
	cr_expect_gt(st.atime.tv_sec, 0);
	old = (struct iattr){.valid = ATTR_ATIME | ATTR_ATIME_SET};
	old.atime = st.atime;
	old.atime.tv_sec += 100;
	cr_assert_eq(change("/f", old), 0);
	touch_atime(&path);
	t_stat(&w, "/f", &st);
	cr_expect_eq(st.atime.tv_sec, old.atime.tv_sec, "newer than the last change");
	path_put(&path);
}

static int allowed(uint32_t mode, uid_t uid, gid_t gid, unsigned mask)
{
	struct inode inode = {
		.mode = mode, .uid = uid, .gid = gid, .attr_lock = FB_MUTEX_INIT(RANK_ATTR)};

	return inode_permission(&w.ctx, &inode, mask);
}

Test(attr, permission_takes_the_first_matching_triplet)
{
	gid_t groups[] = {30, 10, 20};

	cred_put(w.cred);
	w.ctx.cred = w.cred = cred_new(1000, 1000, groups, 3);
	cr_expect_eq(allowed(S_IFREG | 0400, 1000, 1, MAY_READ), 0);
	cr_expect_eq(allowed(S_IFREG | 0077, 1000, 1, MAY_READ), -EACCES);
	cr_expect_eq(allowed(S_IFREG | 0040, 1, 20, MAY_READ), 0);
	cr_expect_eq(allowed(S_IFREG | 0707, 1, 10, MAY_READ), -EACCES);
	cr_expect_eq(allowed(S_IFREG | 0004, 1, 1, MAY_READ), 0);
	cr_expect_eq(allowed(S_IFREG | 0004, 1, 1, MAY_READ | MAY_WRITE), -EACCES);
}

Test(attr, root_reads_and_writes_all_but_runs_only_programs)
{
	cr_expect_eq(allowed(S_IFREG, 1, 1, MAY_READ | MAY_WRITE), 0);
	cr_expect_eq(allowed(S_IFREG | 0666, 1, 1, MAY_EXEC), -EACCES);
	cr_expect_eq(allowed(S_IFREG | 0001, 1, 1, MAY_EXEC), 0);
	cr_expect_eq(allowed(S_IFDIR, 1, 1, MAY_EXEC | MAY_WRITE), 0);
}

Test(attr, a_new_file_inherits_the_group_of_a_set_gid_directory)
{
	struct kstat st;

	chmod_to("/d", 02777);
	chown_to("/d", 0, 77);
	chmod_to("/d", 02777);
	world_become(&w, 1000, 1000);
	t_create(&w, "/d/f", 02755);
	t_mkdir(&w, "/d/sub");
	t_stat(&w, "/d/f", &st);
	cr_expect_eq(st.gid, 77);
	cr_expect_eq(st.mode & 07777, 0755, "the creator is not in the group");
	t_stat(&w, "/d/sub", &st);
	cr_expect_eq(st.gid, 77);
	cr_expect_eq(st.mode & 07777, 02755);
}

Test(attr, credentials_are_copied_with_their_groups)
{
	gid_t groups[] = {3, 1, 2};
	struct cred *cred = cred_new(5, 6, groups, 3), *copy = cred_dup(cred);

	cr_expect(cred_in_group(copy, 1) && cred_in_group(copy, 3) && cred_in_group(copy, 6));
	cr_expect_not(cred_in_group(copy, 4));
	cr_expect_not(cred_capable(copy, CAP_CHOWN));
	cr_expect_eq(cred_set_groups(copy, NULL, 0), 0);
	cr_expect_not(cred_in_group(copy, 1));
	cr_expect(cred_in_group(cred, 1));
	cred_put(copy);
	cred_put(cred);
	cred = cred_new(0, 0, NULL, 0);
	cr_expect(cred_capable(cred, CAP_SYS_ADMIN));
	cr_expect(cred_capable(cred, CAP_LAST_CAP));
	cred_put(cred);
}

Test(attr, strings_grow_and_escape)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	for (int i = 0; i < 1000; i++)
		strbuf_printf(&sb, "%d,", i);
	cr_expect_eq(sb.len, 3890);
	strbuf_free(&sb);
	strbuf_puts_escaped(&sb, "a b\tc\nd\\e");
	text = strbuf_steal(&sb);
	cr_expect_str_eq(text, "a\\040b\\011c\\012d\\134e");
	free(text);
	text = strbuf_steal(&sb);
	cr_expect_str_eq(text, "");
	free(text);
}

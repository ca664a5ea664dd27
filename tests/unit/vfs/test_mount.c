/* The mount tree: vfs/mount.h, vfs/fs_struct.h, vfs/superblock.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "memfs.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	t_mkdir(&w, "/m");
	t_mkdir(&w, "/n");
	t_mkdir(&w, "/d");
	t_mkdir(&w, "/d/sub");
	t_create(&w, "/d/f", 0644);
	t_create(&w, "/target", 0644);
}

static void teardown(void)
{
	int mounted = memfs.put_supers;

	world_fini(&w);
	cr_assert_gt(memfs.put_supers, mounted, "the root's superblock was not shut down");
}

TestSuite(mount, .init = setup, .fini = teardown, .timeout = 120);

#define ctx (&w.ctx)

static int bind(const char *from, const char *to, unsigned long flags)
{
	struct path place;
	int err = path_lookup(ctx, NULL, to, LOOKUP_FOLLOW, &place);

	if (err)
		return err;
	err = vfs_mount(ctx, from, &place, NULL, MS_BIND | flags, NULL);
	path_put(&place);
	return err;
}

static int move(const char *from, const char *to)
{
	struct path place;
	int err = path_lookup(ctx, NULL, to, LOOKUP_FOLLOW, &place);

	if (err)
		return err;
	err = vfs_mount(ctx, from, &place, NULL, MS_MOVE, NULL);
	path_put(&place);
	return err;
}

static char *show(enum mounts_format format)
{
	struct strbuf out = STRBUF_INIT;
	struct path root;

	fs_get_root(w.fs, &root);
	mnt_ns_show(w.fs->ns, &root, format, &out);
	path_put(&root);
	return strbuf_steal(&out);
}

Test(mount, a_mount_covers_and_umount_uncovers)
{
	t_create(&w, "/m/below", 0644);
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	cr_expect_eq(t_lookup(&w, "/m/below", 0), -ENOENT);
	cr_expect_eq(t_create(&w, "/m/above", 0644), 0);
	cr_expect_eq(t_lookup(&w, "/m/../m/above", 0), 0);
	cr_assert_eq(t_umount(&w, "/m", 0), 0);
	cr_assert_eq(memfs.put_supers, 1);
	cr_expect_eq(t_lookup(&w, "/m/below", 0), 0);
	cr_expect_eq(t_umount(&w, "/m", 0), -EINVAL);
}

/* sync(2) */
Test(mount, every_mounted_file_system_is_synced_once)
{
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	cr_assert_eq(bind("/m", "/n", 0), 0);
	mnt_ns_sync(ctx, w.ns);
	cr_assert_eq(atomic_load(&memfs.synced), 2, "the root and /m");
}

Test(mount, bad_requests_get_their_errors)
{
	cr_expect_eq(t_mount(&w, "nofs", "/m", 0, NULL), -ENODEV);
	cr_expect_eq(t_mount(&w, NULL, "/m", 0, NULL), -EINVAL);
	cr_expect_eq(t_mount(&w, "memfs.", "/m", 0, NULL), -EINVAL);
	cr_expect_eq(t_mount(&w, "memfs", "/m", 0, "bogus=1"), -EINVAL);
	cr_expect_eq(t_mount(&w, "memfs", "/target", 0, NULL), -ENOTDIR);
	cr_expect_eq(bind("/d", "/target", 0), -ENOTDIR);
	cr_expect_eq(bind("/d/f", "/m", 0), -ENOTDIR);
	cr_expect_eq(bind("/none", "/m", 0), -ENOENT);
	cr_expect_eq(bind("", "/m", 0), -EINVAL);
	cr_expect_eq(t_mount(&w, NULL, "/m", MS_REMOUNT, NULL), -EINVAL);
	cr_expect_eq(t_mount(&w, NULL, "/m", MS_SHARED, NULL), -EINVAL);
	cr_expect_eq(t_mount(&w, NULL, "/", MS_SHARED | MS_PRIVATE, NULL), -EINVAL);
	cr_expect_eq(t_mount(&w, NULL, "/", MS_PRIVATE | MS_REC, NULL), 0);
	cr_expect_eq(t_umount(&w, "/", 0), -EINVAL);
	cr_expect_eq(t_umount(&w, "/m", 1 << 20), -EINVAL);
	world_become(&w, 1000, 1000);
	cr_expect_eq(t_mount(&w, "memfs", "/m", 0, NULL), -EPERM);
	cr_expect_eq(t_umount(&w, "/m", 0), -EPERM);
}

Test(mount, umount_is_busy_while_used)
{
	struct file *file;
	struct path cwd, old;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_mkdir(&w, "/m/sub");
	cr_assert_eq(t_open(&w, "/m/f", O_CREAT | O_RDWR, 0644, &file), 0);
	cr_expect_eq(t_umount(&w, "/m", 0), -EBUSY);
	file_put(file);
	fs_get_cwd(w.fs, &old);
	path_lookup(ctx, NULL, "/m/sub", 0, &cwd);
	fs_set_cwd(w.fs, &cwd);
	path_put(&cwd);
	cr_expect_eq(t_umount(&w, "/m", 0), -EBUSY);
	fs_set_cwd(w.fs, &old);
	path_put(&old);
	cr_assert_eq(t_mount(&w, "memfs", "/m/sub", 0, NULL), 0);
	cr_expect_eq(t_umount(&w, "/m", 0), -EBUSY);
	cr_expect_eq(t_umount(&w, "/m/sub", 0), 0);
	free(show(MOUNTS_MOUNTINFO));
	cr_expect_eq(t_umount(&w, "/m", 0), 0);
}

Test(mount, expire_marks_first_and_unmounts_an_unused_mount_then)
{
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	cr_expect_eq(t_umount(&w, "/m", MNT_EXPIRE | MNT_FORCE), -EINVAL);
	cr_expect_eq(t_umount(&w, "/m", MNT_EXPIRE), -EAGAIN);
	t_create(&w, "/m/use", 0644);
	t_open_close(&w, "/m/use", O_RDONLY);
	cr_expect_eq(t_umount(&w, "/m", MNT_EXPIRE), -EAGAIN);
	cr_expect_eq(t_umount(&w, "/m", MNT_EXPIRE), 0);
}

Test(mount, a_lazily_unmounted_tree_works_for_open_files)
{
	struct file *file;
	struct path found, root;
	char *text;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_mkdir(&w, "/m/sub");
	t_create(&w, "/m/sub/f", 0644);
	cr_assert_eq(t_mount(&w, "memfs", "/m/sub", 0, NULL), 0);
	cr_assert_eq(t_open(&w, "/m", O_RDONLY | O_DIRECTORY, 0, &file), 0);
	cr_assert_eq(t_umount(&w, "/m", MNT_DETACH), 0);
	cr_expect_eq(memfs.put_supers, 1, "the child mount is gone");
	cr_expect_eq(t_lookup(&w, "/m/sub", 0), -ENOENT);
	cr_assert_eq(path_lookup(ctx, &file->path, "sub/../sub/f", 0, &found), 0);
	fs_get_root(w.fs, &root);
	text = d_path(&found, &root);
	cr_expect_str_eq(text, "(unreachable)/sub/f");
	free(text);
	path_put(&root);
	path_put(&found);
	cr_assert_eq(path_lookup(ctx, &file->path, "..", 0, &found), 0);
	cr_expect_eq(found.dentry, file->path.dentry);
	path_put(&found);
	file_put(file);
	cr_expect_eq(memfs.put_supers, 2);
}

Test(mount, force_aborts_what_is_under_way)
{
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	cr_assert_eq(t_umount(&w, "/m", MNT_FORCE), 0);
	cr_assert_eq(memfs.begun_umounts, 1);
}

Test(mount, bind_mounts_show_a_subtree_or_a_file)
{
	struct kstat a, b;

	cr_assert_eq(bind("/d", "/m", 0), 0);
	cr_expect_eq(t_lookup(&w, "/m/f", 0), 0);
	cr_expect_eq(t_lookup(&w, "/m/../d", 0), 0);
	cr_expect_eq(t_create(&w, "/m/new", 0644), 0);
	cr_expect_eq(t_lookup(&w, "/d/new", 0), 0);
	cr_expect_eq(vfs_rename(ctx, NULL, "/m/f", NULL, "/d/g", 0), -EXDEV);
	cr_assert_eq(bind("/d/f", "/target", 0), 0);
	t_stat(&w, "/target", &a);
	t_stat(&w, "/d/f", &b);
	cr_expect_eq(a.ino, b.ino);
	cr_expect_neq(a.mnt_id, b.mnt_id);
	cr_expect_eq(vfs_unlink(ctx, NULL, "/target"), -EBUSY);
	cr_assert_eq(t_umount(&w, "/target", 0), 0);
	cr_assert_eq(t_umount(&w, "/m", 0), 0);
	cr_expect_eq(memfs.put_supers, 0);
}

Test(mount, a_recursive_bind_takes_the_mounts_below_along)
{
	cr_assert_eq(t_mount(&w, "memfs", "/d/sub", 0, NULL), 0);
	t_create(&w, "/d/sub/inner", 0644);
	cr_assert_eq(bind("/d", "/m", 0), 0);
	cr_expect_eq(t_lookup(&w, "/m/sub/inner", 0), -ENOENT);
	cr_assert_eq(bind("/d", "/n", MS_REC), 0);
	cr_expect_eq(t_lookup(&w, "/n/sub/inner", 0), 0);
	cr_expect_eq(t_mount(&w, NULL, "/d/sub", MS_UNBINDABLE, NULL), 0);
	cr_expect_eq(bind("/d/sub", "/m", 0), -EINVAL);
	cr_assert_eq(t_umount(&w, "/n", MNT_DETACH), 0);
	cr_expect_eq(t_lookup(&w, "/d/sub/inner", 0), 0);
}

Test(mount, a_detached_tree_is_attached_by_move_or_dissolved)
{
	struct path from, detached, where;
	struct mount *mnt;

	cr_assert_eq(t_mount(&w, "memfs", "/d/sub", 0, NULL), 0);
	path_lookup(ctx, NULL, "/d", 0, &from);
	cr_assert_eq(mount_clone(&from, true, &mnt), 0);
	path_put(&from);
	detached = (struct path){mnt, mnt->root};
	cr_assert_eq(path_lookup(ctx, &detached, "sub/..", 0, &where), 0);
	cr_expect_eq(where.mnt, mnt);
	path_put(&where);
	path_lookup(ctx, NULL, "/m", 0, &where);
	cr_assert_eq(vfs_move_mount(ctx, &detached, &where), 0);
	path_put(&where);
	mount_put(mnt);
	cr_expect_eq(t_lookup(&w, "/m/f", 0), 0);
	path_lookup(ctx, NULL, "/d", 0, &from);
	cr_assert_eq(mount_clone(&from, true, &mnt), 0);
	path_put(&from);
	mount_put(mnt);
	cr_assert_eq(t_umount(&w, "/m", MNT_DETACH), 0);
	cr_assert_eq(t_umount(&w, "/d/sub", 0), 0, "no copy holds it");
	cr_expect_eq(memfs.put_supers, 1);
}

Test(mount, a_mount_moves_but_not_below_itself)
{
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_mkdir(&w, "/m/sub");
	cr_expect_eq(move("/m", "/m/sub"), -ELOOP);
	cr_expect_eq(move("/d", "/n"), -EINVAL);
	cr_expect_eq(move("/", "/n"), -EINVAL);
	cr_expect_eq(move("/m", "/n"), 0);
	cr_expect_eq(t_lookup(&w, "/n/sub", 0), 0);
	cr_expect_eq(t_lookup(&w, "/m/sub", 0), -ENOENT);
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/m"), 0);
	cr_expect_eq(t_umount(&w, "/n", 0), 0);
}

Test(mount, mount_tables_look_like_linux)
{
	char *text, expected[512];
	struct path path;
	int root_id, id;
	unsigned long long dev, root_dev;

	t_mkdir(&w, "/a b\\c");
	cr_assert_eq(t_mount(&w, "memfs.sub", "/a b\\c", MS_NOSUID | MS_NODEV | MS_RDONLY, NULL),
		     0);
	cr_assert_eq(bind("/d/sub", "/m", 0), 0);
	text = show(MOUNTS_MOUNTS);
	cr_expect_str_eq(text, "root / memfs rw,relatime,size=1 0 0\n"
			       "src /a\\040b\\134c memfs.sub ro,nosuid,nodev,relatime,size=1 0 0\n"
			       "root /m memfs rw,relatime,size=1 0 0\n");
	free(text);
	text = show(MOUNTS_MOUNTSTATS);
	cr_expect_neq(strstr(text, "device src mounted on /a\\040b\\134c with fstype memfs.sub\n"),
		      NULL);
	free(text);
	path_lookup(ctx, NULL, "/m", 0, &path);
	id = path.mnt->id;
	root_id = path.mnt->parent->id;
	root_dev = path.mnt->sb->dev;
	path_put(&path);
	path_lookup(ctx, NULL, "/a b\\c", 0, &path);
	dev = path.mnt->sb->dev;
	snprintf(
		expected, sizeof(expected),
		"%d %d 0:%llu / / rw,relatime - memfs root rw,size=1\n"
		"%d %d 0:%llu / /a\\040b\\134c ro,nosuid,nodev,relatime - memfs.sub src ro,size=1\n"
		"%d %d 0:%llu /d/sub /m rw,relatime - memfs root rw,size=1\n",
		root_id, root_id, root_dev, path.mnt->id, root_id, dev, id, root_id, root_dev);
	path_put(&path);
	text = show(MOUNTS_MOUNTINFO);
	cr_expect_str_eq(text, expected);
	free(text);
}

Test(mount, a_chrooted_reader_sees_only_what_it_can_reach)
{
	struct path root;
	char *text;

	t_mkdir(&w, "/d/sub/in");
	cr_assert_eq(t_mount(&w, "memfs", "/d/sub/in", 0, NULL), 0);
	path_lookup(ctx, NULL, "/d/sub", 0, &root);
	fs_set_root(w.fs, &root);
	path_put(&root);
	text = show(MOUNTS_MOUNTS);
	cr_expect_str_eq(text, "src /in memfs rw,relatime,size=1 0 0\n");
	free(text);
}

Test(mount, a_copied_namespace_is_independent)
{
	struct fs_struct *fs = fs_struct_copy(w.fs);
	struct op_ctx other = *ctx;
	struct mnt_ns *copy;
	struct path path;

	other.fs = fs;
	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_create(&w, "/m/x", 0644);
	path_lookup(ctx, NULL, "/m", 0, &path);
	fs_set_cwd(fs, &path);
	path_put(&path);
	copy = mnt_ns_copy(w.ns);
	fs_struct_switch_ns(fs, copy);
	mnt_ns_put(copy);
	cr_expect_eq(t_umount(&w, "/m", 0), 0, "the other's cwd is in its own copy");
	cr_expect_eq(path_lookup(&other, NULL, "x", 0, &path), 0);
	path_put(&path);
	cr_expect_eq(path_lookup(&other, NULL, "/m/x", 0, &path), 0);
	path_put(&path);
	/* A removal here takes the other's mount away without asking. */
	cr_expect_eq(vfs_rmdir(ctx, NULL, "/m"), 0);
	cr_expect_eq(path_lookup(&other, NULL, "/m", 0, &path), -ENOENT);
	fs_struct_put(fs);
	cr_expect_eq(memfs.put_supers, 1);
}

Test(mount, pivot_root_moves_every_root)
{
	struct fs_struct *other = fs_struct_copy(w.fs);
	struct path new_root, put_old, root;
	struct mnt_ns *ns = w.ns;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_mkdir(&w, "/m/old");
	path_lookup(ctx, NULL, "/m", 0, &new_root);
	path_lookup(ctx, NULL, "/m/old", 0, &put_old);
	cr_expect_eq(vfs_pivot_root(ctx, &put_old, &put_old), -EINVAL);
	cr_assert_eq(vfs_pivot_root(ctx, &new_root, &put_old), 0);
	cr_expect_eq(mnt_ns_root(ns), new_root.mnt);
	fs_get_root(other, &root);
	cr_expect_eq(root.mnt, new_root.mnt);
	path_put(&root);
	path_put(&new_root);
	path_put(&put_old);
	cr_expect_eq(t_lookup(&w, "/old/d/f", 0), 0);
	cr_expect_eq(t_lookup(&w, "/d", 0), -ENOENT);
	cr_assert_eq(t_umount(&w, "/old", MNT_DETACH), 0);
	cr_expect_eq(memfs.put_supers, 1, "nothing holds the old root");
	fs_struct_put(other);
}

Test(mount, pivot_root_with_two_dots_stacks_the_old_root)
{
	struct path here;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	path_lookup(ctx, NULL, "/m", 0, &here);
	fs_set_cwd(w.fs, &here);
	cr_assert_eq(vfs_pivot_root(ctx, &here, &here), 0);
	path_put(&here);
	/* The idiom of pivot_root(2): "." is the new root, with the old one on top of it. */
	cr_expect_eq(t_umount(&w, ".", MNT_DETACH), 0);
	cr_expect_eq(t_umount(&w, ".", MNT_DETACH), -EINVAL);
	cr_expect_eq(memfs.put_supers, 1);
}

Test(mount, changes_of_the_tree_are_told_to_pollers)
{
	uint64_t before = mnt_ns_event(w.ns);

	t_mount(&w, "memfs", "/m", 0, NULL);
	cr_assert_gt(mnt_ns_event(w.ns), before);
	before = mnt_ns_event(w.ns);
	t_umount(&w, "/m", 0);
	cr_assert_gt(mnt_ns_event(w.ns), before);
}

Test(mount, a_held_inode_delays_the_shutdown_of_its_superblock)
{
	struct inode *inode;
	struct path path;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	t_create(&w, "/m/f", 0644);
	path_lookup(ctx, NULL, "/m/f", 0, &path);
	inode = inode_get(path.dentry->inode);
	path_put(&path);
	cr_assert_eq(t_umount(&w, "/m", 0), 0);
	cr_expect_eq(memfs.put_supers, 0);
	inode_put(inode);
	cr_expect_eq(memfs.put_supers, 1);
}

Test(mount, a_file_open_for_writing_keeps_its_file_system_writable)
{
	struct file *file;

	cr_assert_eq(t_mount(&w, "memfs", "/m", 0, NULL), 0);
	cr_assert_eq(t_open(&w, "/m/f", O_CREAT | O_RDWR, 0644, &file), 0);
	cr_expect_eq(t_mount(&w, NULL, "/m", MS_REMOUNT | MS_RDONLY, NULL), -EBUSY);
	file_put(file);
	cr_expect_eq(t_mount(&w, NULL, "/m", MS_REMOUNT | MS_RDONLY, NULL), 0);
	cr_expect_eq(t_mkdir(&w, "/m/d"), -EROFS);
}

Test(mount, nosymfollow_refuses_links)
{
	cr_assert_eq(t_mount(&w, "memfs", "/m", 256, NULL), 0);
	vfs_symlink(ctx, NULL, "/m/l", "..");
	cr_expect_eq(t_lookup(&w, "/m/l", 0), 0);
	cr_expect_eq(t_lookup(&w, "/m/l", LOOKUP_FOLLOW), -ELOOP);
}

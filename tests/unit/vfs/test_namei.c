/* The path walk: vfs/namei.h. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "memfs.h"
#include "sentry/base/err.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	t_mkdir(&w, "/a");
	t_mkdir(&w, "/a/b");
	t_create(&w, "/a/b/f", 0644);
	vfs_symlink(&w.ctx, NULL, "/abs", "/a/b");
	vfs_symlink(&w.ctx, NULL, "/a/rel", "b/f");
	vfs_symlink(&w.ctx, NULL, "/loop", "loop");
	vfs_symlink(&w.ctx, NULL, "/dangling", "nowhere");
	vfs_symlink(&w.ctx, NULL, "/a/up", "../abs");
	vfs_symlink(&w.ctx, NULL, "/magic", "magic:");
}

static void teardown(void)
{
	world_fini(&w);
	cr_assert_eq(memfs.put_supers, 1, "the superblock was not shut down");
}

TestSuite(namei, .init = setup, .fini = teardown, .timeout = 120);

Test(namei, paths_resolve_as_in_path_resolution)
{
	static const struct {
		const char *path;
		unsigned flags;
		int result;
	} rows[] = {
		{"/", 0, 0},
		{"//", 0, 0},
		{"", 0, -ENOENT},
		{".", 0, 0},
		{"..", 0, 0},
		{"/..", 0, 0},
		{"/a/b/f", 0, 0},
		{"a/b/f", 0, 0},
		{"//a///b//f", 0, 0},
		{"/a/./b/../b/f", 0, 0},
		{"/a/b/", 0, 0},
		{"/a/b/f/", 0, -ENOTDIR},
		{"/a/b/f/x", 0, -ENOTDIR},
		{"/a/b/f/.", 0, -ENOTDIR},
		{"/a/b/f/..", 0, -ENOTDIR},
		{"/none", 0, -ENOENT},
		{"/none/x", 0, -ENOENT},
		{"/a/b/f", LOOKUP_DIRECTORY, -ENOTDIR},
		{"/abs/f", 0, 0},
		{"/abs", LOOKUP_DIRECTORY, -ENOTDIR},
		{"/abs/", 0, 0},
		{"/abs", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, 0},
		{"/a/rel", LOOKUP_FOLLOW, 0},
		{"/a/rel/", 0, -ENOTDIR},
		{"/a/up/f", 0, 0},
		{"/a/up/../b/f", 0, 0},
		{"/loop", 0, 0},
		{"/loop", LOOKUP_FOLLOW, -ELOOP},
		{"/loop/x", 0, -ELOOP},
		{"/dangling", 0, 0},
		{"/dangling", LOOKUP_FOLLOW, -ENOENT},
		{"/dangling/", 0, -ENOENT},
		{"/magic/a/b", 0, 0},
		{"/magic", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, 0},
	};

	/* Twice: from the file system, and from the cache. */
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			cr_expect_eq(t_lookup(&w, rows[i].path, rows[i].flags), rows[i].result,
				     "%s flags %x round %d: %d", rows[i].path, rows[i].flags, round,
				     t_lookup(&w, rows[i].path, rows[i].flags));
		dcache_shrink(0);
	}
}

Test(namei, openat2_flags_give_the_errors_of_openat2)
{
	static const struct {
		const char *path;
		unsigned flags;
		int result;
	} rows[] = {
		{"a/b/f", LOOKUP_BENEATH, 0},
		{"/a/b/f", LOOKUP_BENEATH, -EXDEV},
		{"..", LOOKUP_BENEATH, -EXDEV},
		{"a/../..", LOOKUP_BENEATH, -EXDEV},
		{"a/../a/b", LOOKUP_BENEATH, 0},
		{"abs", LOOKUP_BENEATH | LOOKUP_FOLLOW, -EXDEV},
		{"a/rel", LOOKUP_BENEATH | LOOKUP_FOLLOW, 0},
		{"/a/b", LOOKUP_IN_ROOT, 0},
		{"../../a", LOOKUP_IN_ROOT, 0},
		{"abs/f", LOOKUP_IN_ROOT, 0},
		{"magic", LOOKUP_IN_ROOT | LOOKUP_FOLLOW, -EXDEV},
		{"magic", LOOKUP_NO_MAGICLINKS | LOOKUP_FOLLOW, -ELOOP},
		{"abs/f", LOOKUP_NO_MAGICLINKS, 0},
		{"abs/f", LOOKUP_NO_SYMLINKS, -ELOOP},
		{"abs", LOOKUP_NO_SYMLINKS, 0},
		{"abs", LOOKUP_NO_SYMLINKS | LOOKUP_FOLLOW, -ELOOP},
		{"mnt", LOOKUP_NO_XDEV, -EXDEV},
		{"mnt", 0, 0},
		{"/a", LOOKUP_NO_XDEV, 0},
	};

	t_mkdir(&w, "/mnt");
	cr_assert_eq(t_mount(&w, "memfs", "/mnt", 0, NULL), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(t_lookup(&w, rows[i].path, rows[i].flags), rows[i].result,
			     "%s flags %x: %d", rows[i].path, rows[i].flags,
			     t_lookup(&w, rows[i].path, rows[i].flags));
	cr_assert_eq(t_umount(&w, "/mnt", 0), 0);
	memfs.put_supers = 0;
}

Test(namei, resolve_cached_never_asks_the_file_system)
{
	int before;

	dcache_shrink(0);
	cr_assert_eq(t_lookup(&w, "/a/b/f", LOOKUP_CACHED), -EAGAIN);
	cr_assert_eq(t_lookup(&w, "/a/b/f", 0), 0);
	before = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/a/b/f", LOOKUP_CACHED), 0);
	cr_assert_eq(memfs.lookups, before);
}

Test(namei, forty_symlinks_are_followed_and_no_more)
{
	char name[16], target[16];

	t_create(&w, "/l0", 0644);
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "/l%d", i);
		snprintf(target, sizeof(target), "l%d", i - 1);
		vfs_symlink(&w.ctx, NULL, name, target);
	}
	cr_assert_eq(t_lookup(&w, "/l40", LOOKUP_FOLLOW), 0);
	cr_assert_eq(t_lookup(&w, "/l41", LOOKUP_FOLLOW), -ELOOP);
}

Test(namei, a_cached_path_asks_nobody)
{
	int before;

	t_lookup(&w, "/a/b/f", 0);
	t_lookup(&w, "/a/b/none", 0);
	before = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/a/b/f", 0), 0);
	cr_assert_eq(t_lookup(&w, "/a/b/none", 0), -ENOENT);
	cr_assert_eq(memfs.lookups, before);
}

Test(namei, search_permission_is_needed_in_every_directory)
{
	struct path dir;
	struct iattr attr = {.valid = ATTR_MODE, .mode = 0700};

	cr_assert_eq(path_lookup(&w.ctx, NULL, "/a", 0, &dir), 0);
	cr_assert_eq(notify_change(&w.ctx, &dir, &attr), 0);
	path_put(&dir);
	cr_assert_eq(t_lookup(&w, "/a/b", 0), 0);
	world_become(&w, 1000, 1000);
	cr_assert_eq(t_lookup(&w, "/a", 0), 0);
	cr_assert_eq(t_lookup(&w, "/a/b", 0), -EACCES);
	cr_assert_eq(t_lookup(&w, "/a/none", 0), -EACCES);
	cr_assert_eq(t_lookup(&w, "/a/.", 0), -EACCES);
}

Test(namei, an_empty_path_names_the_base_when_asked_to)
{
	struct path base, found;

	cr_assert_eq(path_lookup(&w.ctx, NULL, "/a/b/f", 0, &base), 0);
	cr_assert_eq(path_lookup(&w.ctx, &base, "", LOOKUP_EMPTY, &found), 0);
	cr_assert_eq(found.dentry, base.dentry);
	path_put(&found);
	cr_assert_eq(path_lookup(&w.ctx, &base, "", 0, &found), -ENOENT);
	cr_assert_eq(path_lookup(&w.ctx, &base, "x", 0, &found), -ENOTDIR);
	path_put(&base);
	cr_assert_eq(path_lookup(&w.ctx, NULL, "", LOOKUP_EMPTY, &found), 0);
	path_put(&found);
}

Test(namei, dotdot_stops_at_a_changed_root)
{
	struct path root, found, b;
	char *text;

	cr_assert_eq(path_lookup(&w.ctx, NULL, "/a", 0, &root), 0);
	fs_set_root(w.fs, &root);
	fs_set_cwd(w.fs, &root);
	cr_assert_eq(path_lookup(&w.ctx, NULL, "../../b/../..", 0, &found), 0);
	cr_assert_eq(found.dentry, root.dentry);
	path_put(&found);
	cr_assert_eq(path_lookup(&w.ctx, NULL, "/b/f", 0, &b), 0);
	text = d_path(&b, &root);
	cr_assert_str_eq(text, "/b/f");
	free(text);
	path_put(&b);
	path_put(&root);
}

static void *lookup_slow_name(void *arg)
{
	return (void *)(long)t_lookup(&w, arg, 0);
}

static void wait_for_held(int count)
{
	fb_mutex_lock(&memfs.lock);
	while (atomic_load(&memfs.held) < count)
		(void)waitq_wait(&memfs.queue, 0, &memfs.lock, WAIT_UNINTERRUPTIBLE, 0);
	fb_mutex_unlock(&memfs.lock);
}

static void release_held(void)
{
	fb_mutex_lock(&memfs.lock);
	atomic_store(&memfs.hold, 0);
	fb_mutex_unlock(&memfs.lock);
	waitq_wake_all(&memfs.queue, 0);
}

Test(namei, one_lookup_serves_all_who_ask_for_a_name_at_once)
{
	pthread_t threads[4];
	int before = memfs.lookups;
	void *result;

	memfs.hold = 1;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, lookup_slow_name, "/slow");
	wait_for_held(1);
	/* No event tells that the others wait in the VFS; whenever they come, they must not ask. */
	release_held();
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		cr_assert_eq((long)result, -ENOENT);
	}
	cr_assert_eq(memfs.lookups, before + 1);
}

Test(namei, different_names_of_a_directory_are_looked_up_in_parallel)
{
	pthread_t one, two;

	memfs.hold = 1;
	pthread_create(&one, NULL, lookup_slow_name, "/slow1");
	pthread_create(&two, NULL, lookup_slow_name, "/slow2");
	wait_for_held(2); /* both are in the file system: times out if not */
	release_held();
	pthread_join(one, NULL);
	pthread_join(two, NULL);
}

static struct waiter *victim;

static void *lookup_and_be_killed(void *arg)
{
	fb_mutex_lock(&memfs.lock);
	victim = waiter_self();
	waitq_wake_all(&memfs.queue, 0);
	fb_mutex_unlock(&memfs.lock);
	return lookup_slow_name(arg);
}

/* Whether the kill comes before or during the wait: the lookup must not outlive its task. */
Test(namei, who_waits_for_anothers_lookup_can_be_killed)
{
	pthread_t owner, waiting;
	void *result;

	victim = NULL;
	memfs.hold = 1;
	pthread_create(&owner, NULL, lookup_slow_name, "/slow");
	wait_for_held(1);
	pthread_create(&waiting, NULL, lookup_and_be_killed, "/slow");
	fb_mutex_lock(&memfs.lock);
	while (!victim)
		(void)waitq_wait(&memfs.queue, 0, &memfs.lock, WAIT_UNINTERRUPTIBLE, 0);
	fb_mutex_unlock(&memfs.lock);
	waiter_interrupt(victim, WAITER_KILLED);
	pthread_join(waiting, &result);
	cr_assert_eq((long)result, -ERESTARTSYS);
	release_held();
	pthread_join(owner, &result);
	cr_assert_eq((long)result, -ENOENT);
}

Test(namei, estale_is_retried_once)
{
	dcache_shrink(0);
	memfs.stale = 1;
	cr_assert_eq(t_lookup(&w, "/a/b/f", 0), 0);
	dcache_shrink(0);
	memfs.stale = 2;
	cr_assert_eq(t_lookup(&w, "/a/b/f", 0), -ESTALE);
	memfs.stale = 0;
}

Test(namei, an_invalid_entry_is_looked_up_afresh)
{
	int lookups;

	t_mkdir(&w, "/mnt");
	cr_assert_eq(t_mount(&w, "memfs", "/mnt", 0, "revalidate"), 0);
	t_create(&w, "/mnt/f", 0644);
	t_lookup(&w, "/mnt/f", 0);
	lookups = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/mnt/f", 0), 0);
	cr_assert_eq(memfs.lookups, lookups);
	memfs.revalidate_result = 0;
	cr_assert_eq(t_lookup(&w, "/mnt/f", 0), 0);
	cr_assert_eq(memfs.lookups, lookups + 1);
	memfs.revalidate_result = -EIO;
	cr_assert_eq(t_lookup(&w, "/mnt/f", 0), -EIO);
	memfs.revalidate_result = 1;
	cr_assert_eq(t_umount(&w, "/mnt", 0), 0);
	memfs.put_supers = 0;
}

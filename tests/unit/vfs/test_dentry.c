/* The name cache and inode tables: vfs/dentry.h, vfs/inode.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <pthread.h>
#include <stdlib.h>

#include "memfs.h"

static struct world w;

static void setup(void)
{
	world_init(&w);
	t_mkdir(&w, "/d");
	t_mkdir(&w, "/d/sub");
	t_create(&w, "/d/sub/f", 0644);
}

static void teardown(void)
{
	dcache_set_limit(32768);
	world_fini(&w);
}

TestSuite(dentry, .init = setup, .fini = teardown, .timeout = 120);

static struct dentry *find(const char *name)
{
	struct path path;
	struct dentry *dentry;

	cr_assert_eq(path_lookup(&w.ctx, NULL, name, 0, &path), 0);
	dentry = dentry_get(path.dentry);
	path_put(&path);
	return dentry;
}

Test(dentry, unused_entries_are_dropped_with_their_inodes)
{
	int evicted = memfs.evicted;

	cr_assert_geq(dcache_shrink(0), 3);
	cr_assert_eq(dcache_shrink(0), 0);
	cr_assert_eq(memfs.evicted, evicted, "the file system holds its inodes");
	cr_assert_eq(t_lookup(&w, "/d/sub/f", 0), 0);
}

Test(dentry, used_entries_and_their_ancestors_stay)
{
	struct dentry *sub = find("/d/sub");
	int lookups;

	dcache_shrink(0);
	lookups = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/d/sub", 0), 0);
	cr_assert_eq(memfs.lookups, lookups);
	dentry_put(sub);
}

Test(dentry, the_cache_keeps_to_its_limit)
{
	char name[32];
	size_t dropped;

	dcache_set_limit(100);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "/none%d", i);
		t_lookup(&w, name, 0);
	}
	dropped = dcache_shrink(0);
	cr_assert_leq(dropped, 110);
	cr_assert_geq(dropped, 50);
}

Test(dentry, a_large_cache_finds_everything)
{
	char name[32];
	int lookups;

	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "/none%d", i);
		t_lookup(&w, name, 0);
	}
	lookups = memfs.lookups;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "/none%d", i);
		cr_assert_eq(t_lookup(&w, name, 0), -ENOENT);
	}
	cr_assert_eq(memfs.lookups, lookups);
}

Test(dentry, invalidation_drops_a_subtree_and_its_mounts)
{
	struct dentry *d = find("/d"), *sub = find("/d/sub");
	int lookups;

	cr_assert_eq(t_mount(&w, "memfs", "/d/sub", 0, NULL), 0);
	d_invalidate(d);
	cr_expect_eq(memfs.put_supers, 1);
	cr_expect(d_unlinked(d));
	lookups = memfs.lookups;
	cr_assert_eq(t_lookup(&w, "/d/sub/f", 0), 0);
	cr_expect_gt(memfs.lookups, lookups);
	/* The directory is known still: it came back to its place (d_splice_alias). */
	cr_expect_not(d_unlinked(d));
	dentry_put(d);
	dentry_put(sub);
}

Test(dentry, a_directory_found_under_another_name_moves_there)
{
	struct dentry *sub = find("/d/sub"), *root = find("/"), *fresh, *alias;
	struct qstr name;

	qstr_init(&name, "other", 5);
	inode_lock(root->inode);
	cr_assert_eq(d_alloc_parallel(root, &name, &fresh), 0);
	cr_assert(dentry_test(fresh, DENTRY_IN_LOOKUP));
	cr_assert_eq(d_splice_alias(fresh, inode_get(sub->inode), &alias), 0);
	cr_assert_eq(alias, sub);
	cr_assert_eq(sub->parent, root);
	cr_assert_str_eq(sub->name, "other");
	dentry_put(alias);
	dentry_put(fresh);
	inode_unlock(root->inode);
	dentry_put(sub);
	dentry_put(root);
}

Test(dentry, a_directory_whose_old_place_is_busy_does_not_move)
{
	struct dentry *sub = find("/d/sub"), *d = find("/d"), *root = find("/"), *fresh, *alias;
	struct qstr name;

	qstr_init(&name, "other", 5);
	inode_lock(d->inode); /* somebody removes or renames in there */
	cr_assert_eq(d_alloc_parallel(root, &name, &fresh), 0);
	cr_assert_eq(d_splice_alias(fresh, inode_get(sub->inode), &alias), -ESTALE);
	cr_assert_eq(sub->parent, d);
	inode_unlock(d->inode);
	cr_assert_eq(d_splice_alias(fresh, inode_get(sub->inode), &alias), 0);
	cr_assert_eq(alias, sub);
	dentry_put(alias);
	d_lookup_done(fresh);
	dentry_put(fresh);
	dentry_put(sub);
	dentry_put(d);
	dentry_put(root);
}

Test(dentry, a_directory_cannot_become_its_own_descendant)
{
	struct dentry *d = find("/d"), *sub = find("/d/sub"), *fresh, *alias;
	struct qstr name;

	qstr_init(&name, "d", 1);
	cr_assert_eq(d_alloc_parallel(sub, &name, &fresh), 0);
	cr_assert_eq(d_splice_alias(fresh, inode_get(d->inode), &alias), -ELOOP);
	d_lookup_done(fresh);
	dentry_put(fresh);
	dentry_put(sub);
	dentry_put(d);
}

Test(dentry, shrinking_reaches_deep_trees)
{
	char name[4096] = "";
	size_t len = 0;

	for (int i = 0; i < 300; i++) {
		len += (size_t)snprintf(name + len, sizeof(name) - len, "/x");
		cr_assert_eq(t_mkdir(&w, name), 0);
	}
	cr_assert_geq(dcache_shrink(0), 300);
	cr_assert_eq(t_lookup(&w, name, 0), 0);
}

static struct inode *new_inode(struct superblock *sb)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	inode_init(inode, sb, S_IFREG | 0644, 0, 0);
	return inode;
}

Test(dentry, inodes_are_found_by_their_key_until_they_are_evicted)
{
	struct filesystem_type type = {.name = "bare"};
	struct superblock *sb = superblock_new(&type, 0);
	struct inode *inodes[500], *found;

	for (unsigned i = 0; i < 500; i++) {
		inodes[i] = new_inode(sb);
		cr_assert_eq(inode_hash(inodes[i], i * 7), 0);
	}
	found = new_inode(sb);
	cr_assert_eq(inode_hash(found, 7), -EEXIST);
	inode_put(found);
	for (unsigned i = 0; i < 500; i++) {
		found = inode_lookup(sb, i * 7);
		cr_assert_eq(found, inodes[i]);
		inode_put(found);
	}
	cr_assert_null(inode_lookup(sb, 1));
	for (unsigned i = 0; i < 500; i++)
		inode_put(inodes[i]);
	cr_assert_null(inode_lookup(sb, 7));
	superblock_put(sb);
}

static struct waitq evict_queue;
static struct fb_mutex evict_lock = FB_MUTEX_INIT(RANK_FS);
static bool evicting, go_on;

static void slow_evict(struct inode *inode)
{
	(void)inode;
	fb_mutex_lock(&evict_lock);
	evicting = true;
	waitq_wake_all(&evict_queue, 0);
	while (!go_on)
		(void)waitq_wait(&evict_queue, 0, &evict_lock, WAIT_UNINTERRUPTIBLE, 0);
	fb_mutex_unlock(&evict_lock);
}

static void *put_inode(void *inode)
{
	inode_put(inode);
	return NULL;
}

static void *lookup_inode(void *sb)
{
	return inode_lookup(sb, 42);
}

Test(dentry, a_lookup_waits_for_an_eviction_under_way)
{
	static const struct superblock_ops ops = {.evict_inode = slow_evict};
	struct filesystem_type type = {.name = "bare"};
	struct superblock *sb = superblock_new(&type, 0);
	struct inode *inode = new_inode(sb);
	pthread_t putter, looker;
	void *found;

	waitq_init(&evict_queue);
	sb->op = &ops;
	cr_assert_eq(inode_hash(inode, 42), 0);
	pthread_create(&putter, NULL, put_inode, inode);
	fb_mutex_lock(&evict_lock);
	while (!evicting)
		(void)waitq_wait(&evict_queue, 0, &evict_lock, WAIT_UNINTERRUPTIBLE, 0);
	fb_mutex_unlock(&evict_lock);
	pthread_create(&looker, NULL, lookup_inode, sb);
	fb_mutex_lock(&evict_lock);
	go_on = true;
	fb_mutex_unlock(&evict_lock);
	waitq_wake_all(&evict_queue, 0);
	pthread_join(putter, NULL);
	pthread_join(looker, &found);
	cr_assert_null(found);
	superblock_put(sb);
}

/*
 * Mounts: life, the table of (parent mount, mountpoint) -> mount, walking up and down, trees.
 * mnt_ns.c has namespaces, mount_ops.c the system calls, mount_show.c the texts.
 *
 * A mount in a tree is held by the tree; a child does not hold its parent, because whoever takes
 * a parent away takes its children away first.
 */
#include "vfs/mount.h"

#include <errno.h>
#include <stdlib.h>

#include "vfs/dentry.h"
#include "vfs/dentry_internal.h"
#include "vfs/mount_internal.h"
#include "vfs/superblock.h"

#define MOUNT_HASH_BITS 8

struct fb_mutex mount_lock = FB_MUTEX_INIT(RANK_MOUNT);
atomic_ullong mount_seq;

static struct mount *table[1u << MOUNT_HASH_BITS]; /* guarded by mount_lock */

static struct mount **bucket_of(const struct mount *parent, const struct dentry *dentry)
{
	uint64_t mix = (uintptr_t)parent ^ ((uint64_t)(uintptr_t)dentry << 17);

	return &table[mix * 0x9e3779b97f4a7c15ull >> (64 - MOUNT_HASH_BITS)];
}

struct mount *mount_at_locked(const struct mount *parent, const struct dentry *dentry)
{
	struct mount *mnt;

	if (!dentry_test(dentry, DENTRY_MOUNTED))
		return NULL;
	for (mnt = *bucket_of(parent, dentry); mnt; mnt = mnt->hash_next)
		if (mnt->parent == parent && mnt->mountpoint == dentry)
			return mnt;
	return NULL;
}

bool path_down_locked(struct path *path)
{
	struct mount *mnt;
	bool moved = false;

	while ((mnt = mount_at_locked(path->mnt, path->dentry))) {
		path->mnt = mnt;
		path->dentry = mnt->root;
		moved = true;
	}
	return moved;
}

/* Life. */

struct mount *mount_new(struct superblock *sb, struct dentry *root, unsigned flags)
{
	static atomic_int next_id = 20;
	struct mount *mnt = calloc(1, sizeof(*mnt));

	if (!mnt)
		return NULL;
	ref_init(&mnt->ref);
	mnt->id = atomic_fetch_add(&next_id, 1);
	mnt->sb = superblock_get(sb);
	mnt->root = dentry_get(root);
	mnt->flags = flags;
	list_init(&mnt->children);
	list_init(&mnt->child_node);
	list_init(&mnt->ns_node);
	return mnt;
}

int mount_create(struct fs_context *fc, unsigned mnt_flags, struct mount **ret_mount)
{
	struct mount *mnt;

	if (!fc->root)
		return -EINVAL;
	mnt = mount_new(fc->root->sb, fc->root, mnt_flags);
	if (!mnt)
		return -ENOMEM;
	*ret_mount = mnt;
	return 0;
}

struct mount *mount_get(struct mount *mnt)
{
	ref_get(&mnt->ref);
	return mnt;
}

/*
 * Takes the mount lock even without children: the path walk reads mounts under that lock alone,
 * without references, and must be through with this one.
 */
static void mount_free(struct mount *mnt)
{
	struct detach_list list = DETACH_LIST_INIT(list);

	fb_mutex_lock(&mount_lock);
	while (!list_empty(&mnt->children))
		mount_tree_detach_locked(list_first(&mnt->children, struct mount, child_node),
					 &list);
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
	dentry_put(mnt->root);
	superblock_put(mnt->sb);
	free(mnt);
}

void mount_put(struct mount *mnt)
{
	if (!mnt)
		return;
	if (__atomic_load_n(&mnt->expiry_mark, __ATOMIC_RELAXED) > 0)
		__atomic_fetch_sub(&mnt->expiry_mark, 1, __ATOMIC_RELAXED);
	if (ref_put(&mnt->ref))
		mount_free(mnt);
}

void mount_observe_locked(struct mount *mnt)
{
	mnt->observers++;
	mount_get(mnt);
}

void mount_unobserve(struct mount *mnt)
{
	bool last;

	fb_mutex_lock(&mount_lock);
	mnt->observers--;
	last = ref_put(&mnt->ref);
	fb_mutex_unlock(&mount_lock);
	if (last)
		mount_free(mnt);
}

void path_get(const struct path *path)
{
	if (path->mnt)
		mount_get(path->mnt);
	if (path->dentry)
		dentry_get(path->dentry);
}

void path_put(struct path *path)
{
	struct path old = *path;

	*path = (struct path){NULL, NULL};
	dentry_put(old.dentry);
	mount_put(old.mnt);
}

/* Trees. */

void mount_link_locked(struct mount *mnt, struct mount *parent, struct dentry *mountpoint)
{
	struct mount **bucket = bucket_of(parent, mountpoint);

	atomic_fetch_add(&mount_seq, 1);
	mnt->parent = parent;
	mnt->mountpoint = mountpoint;
	mnt->hash_next = *bucket;
	*bucket = mnt;
	list_add_tail(&parent->children, &mnt->child_node);
	mountpoint->nr_mounts++;
	fb_mutex_lock(&dcache_lock);
	mountpoint->count++;
	dentry_set_flag_locked(mountpoint, DENTRY_MOUNTED);
	fb_mutex_unlock(&dcache_lock);
}

void mount_unlink_locked(struct mount *mnt, struct list_node *dentries)
{
	struct dentry *mountpoint = mnt->mountpoint;
	struct mount **link;

	atomic_fetch_add(&mount_seq, 1);
	if (!mnt->parent)
		return;
	link = bucket_of(mnt->parent, mountpoint);
	while (*link != mnt)
		link = &(*link)->hash_next;
	*link = mnt->hash_next;
	mnt->hash_next = NULL;
	mnt->parent = NULL;
	mnt->mountpoint = NULL;
	list_del(&mnt->child_node);
	mountpoint->nr_mounts--;
	fb_mutex_lock(&dcache_lock);
	if (mountpoint->nr_mounts == 0)
		dentry_clear_flag_locked(mountpoint, DENTRY_MOUNTED);
	dentry_put_locked(mountpoint, dentries);
	fb_mutex_unlock(&dcache_lock);
}

static void mount_leave_ns_locked(struct mount *mnt)
{
	if (!mnt->ns)
		return;
	list_del(&mnt->ns_node);
	mnt->ns->nr_mounts--;
	atomic_fetch_sub(&mnt->sb->nr_mounted, 1);
	__atomic_store_n(&mnt->ns, NULL, __ATOMIC_RELAXED);
}

void mount_tree_detach_locked(struct mount *top, struct detach_list *list)
{
	struct mount *mnt = top, *parent;
	bool last;

	do {
		while (!list_empty(&mnt->children))
			mnt = list_first(&mnt->children, struct mount, child_node);
		parent = mnt->parent;
		last = mnt == top;
		mount_leave_ns_locked(mnt);
		mount_unlink_locked(mnt, &list->dentries);
		list_add_tail(&list->mounts, &mnt->child_node);
		mnt = parent;
	} while (!last);
}

void detach_finish(struct detach_list *list)
{
	struct mount *mnt, *tmp;

	dentry_dispose(&list->dentries);
	list_for_each_safe (mnt, tmp, &list->mounts, child_node) {
		list_del(&mnt->child_node);
		if (atomic_load(&mnt->sb->nr_mounted) == 0 && mnt->sb->op && mnt->sb->op->unmounted)
			mnt->sb->op->unmounted(mnt->sb);
		mount_put(mnt);
	}
}

struct mount *mount_tree_next_locked(const struct mount *top, struct mount *mnt)
{
	if (!list_empty(&mnt->children))
		return list_first(&mnt->children, struct mount, child_node);
	while (mnt != top) {
		struct mount *parent = mnt->parent;

		if (mnt->child_node.next != &parent->children)
			return list_entry(mnt->child_node.next, struct mount, child_node);
		mnt = parent;
	}
	return NULL;
}

void mount_tree_set_ns_locked(struct mount *top, struct mnt_ns *ns)
{
	for (struct mount *mnt = top; mnt; mnt = mount_tree_next_locked(top, mnt)) {
		mount_leave_ns_locked(mnt);
		__atomic_store_n(&mnt->ns, ns, __ATOMIC_RELAXED);
		if (!ns)
			continue;
		list_add_tail(&ns->mounts, &mnt->ns_node);
		ns->nr_mounts++;
		atomic_fetch_add(&mnt->sb->nr_mounted, 1);
	}
}

size_t mount_tree_count_locked(struct mount *top)
{
	size_t count = 0;

	for (struct mount *mnt = top; mnt; mnt = mount_tree_next_locked(top, mnt))
		count++;
	return count;
}

bool mount_is_below_locked(const struct mount *ancestor, const struct mount *mnt)
{
	for (; mnt; mnt = mnt->parent)
		if (mnt == ancestor)
			return true;
	return false;
}

static struct mount *mount_copy_one(struct mount *mnt, struct dentry *root)
{
	struct mount *copy = mount_new(mnt->sb, root, mount_flags(mnt));

	if (!copy)
		return NULL;
	copy->origin_id = mnt->id;
	copy->unbindable = mnt->unbindable;
	mnt->copy = copy;
	return copy;
}

/* The next mount in preorder that is not below `mnt`. */
static struct mount *mount_tree_skip_locked(const struct mount *top, struct mount *mnt)
{
	while (mnt != top) {
		struct mount *parent = mnt->parent;

		if (mnt->child_node.next != &parent->children)
			return list_entry(mnt->child_node.next, struct mount, child_node);
		mnt = parent;
	}
	return NULL;
}

/* A child of the top is copied only if it stands within the part that is copied. */
static bool copy_wants_locked(const struct mount *top, const struct dentry *root,
			      const struct mount *mnt, bool all)
{
	bool within = true;

	if (mnt->unbindable && !all)
		return false;
	if (mnt->parent == top && root != top->root) {
		fb_mutex_lock(&dcache_lock);
		within = dentry_is_ancestor_locked(root, mnt->mountpoint);
		fb_mutex_unlock(&dcache_lock);
	}
	return within;
}

int mount_tree_copy_locked(struct mount *top, struct dentry *root, bool recursive, bool all,
			   struct mount **ret_copy)
{
	struct mount *copy = mount_copy_one(top, root), *mnt;

	if (!copy)
		return -ENOMEM;
	*ret_copy = copy;
	mnt = recursive ? mount_tree_next_locked(top, top) : NULL;
	while (mnt) {
		struct mount *child;

		if (!copy_wants_locked(top, root, mnt, all)) {
			mnt = mount_tree_skip_locked(top, mnt);
			continue;
		}
		child = mount_copy_one(mnt, mnt->root);
		if (!child)
			return -ENOMEM;
		mount_link_locked(child, mnt->parent->copy, mnt->mountpoint);
		mnt = mount_tree_next_locked(top, mnt);
	}
	return 0;
}

/* Walking. */

struct mount *mount_lookup(const struct path *path)
{
	struct path top = *path;
	bool found;

	fb_mutex_lock(&mount_lock);
	found = path_down_locked(&top);
	if (found)
		mount_get(top.mnt);
	fb_mutex_unlock(&mount_lock);
	return found ? top.mnt : NULL;
}

bool path_follow_down(struct path *path)
{
	struct path top = *path;
	bool moved;

	if (!path->mnt || !dentry_test(path->dentry, DENTRY_MOUNTED))
		return false;
	fb_mutex_lock(&mount_lock);
	moved = path_down_locked(&top);
	if (moved)
		path_get(&top);
	fb_mutex_unlock(&mount_lock);
	if (moved) {
		path_put(path);
		*path = top;
	}
	return moved;
}

bool path_follow_up(struct path *path)
{
	struct path up = {NULL, NULL};

	fb_mutex_lock(&mount_lock);
	if (path->mnt && path->mnt->parent) {
		up.mnt = path->mnt->parent;
		up.dentry = path->mnt->mountpoint;
		path_get(&up);
	}
	fb_mutex_unlock(&mount_lock);
	if (!up.mnt)
		return false;
	path_put(path);
	*path = up;
	return true;
}

int mount_want_write(const struct path *path)
{
	if (path->mnt && (mount_flags(path->mnt) & MNT_READONLY))
		return -EROFS;
	if (path->dentry->sb && (sb_flags(path->dentry->sb) & SB_RDONLY))
		return -EROFS;
	return 0;
}

/* Any mount on the dentry, in any namespace (any: ns NULL). Mount lock held. */
static struct mount *find_on_dentry_locked(const struct dentry *dentry, const struct mnt_ns *ns)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (struct mount *mnt = table[i]; mnt; mnt = mnt->hash_next)
			if (mnt->mountpoint == dentry && (!ns || mnt->ns == ns))
				return mnt;
	return NULL;
}

bool mount_is_local(struct mnt_ns *ns, struct dentry *dentry)
{
	bool found;

	if (!dentry_test(dentry, DENTRY_MOUNTED))
		return false;
	fb_mutex_lock(&mount_lock);
	found = find_on_dentry_locked(dentry, ns) != NULL;
	fb_mutex_unlock(&mount_lock);
	return found;
}

void mount_detach_dentry(struct dentry *dentry)
{
	struct detach_list list = DETACH_LIST_INIT(list);
	struct mount *mnt;

	if (!dentry_test(dentry, DENTRY_MOUNTED))
		return;
	fb_mutex_lock(&mount_lock);
	while ((mnt = find_on_dentry_locked(dentry, NULL))) {
		if (mnt->ns)
			mnt_ns_touch_locked(mnt->ns);
		mount_tree_detach_locked(mnt, &list);
	}
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
}

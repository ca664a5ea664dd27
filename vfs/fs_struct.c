/* Root, cwd, umask and namespace of processes, and the list of all of them for pivot_root(2). */
#include "vfs/fs_struct.h"

#include <errno.h>
#include <stdlib.h>

#include "vfs/dentry_internal.h"
#include "vfs/mount.h"

/* One rank outside the lock of a single fs_struct: the walk over all takes each in turn. */
static struct fb_mutex all_lock = FB_MUTEX_INIT(RANK_FDTABLE);
static struct list_node all = LIST_INIT(all); /* guarded by all_lock */

static struct fs_struct *fs_struct_alloc(void)
{
	struct fs_struct *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	ref_init(&fs->ref);
	fb_mutex_init(&fs->lock, RANK_FSSTRUCT);
	list_init(&fs->node);
	return fs;
}

static void fs_struct_publish(struct fs_struct *fs)
{
	fb_mutex_lock(&all_lock);
	list_add_tail(&all, &fs->node);
	fb_mutex_unlock(&all_lock);
}

struct fs_struct *fs_struct_new(struct mnt_ns *ns)
{
	struct fs_struct *fs = fs_struct_alloc();

	if (!fs)
		return NULL;
	fs->ns = mnt_ns_get(ns);
	fs->umask = 022;
	mnt_ns_root_path(ns, &fs->root);
	fs->cwd = fs->root;
	path_get(&fs->cwd);
	fs_struct_publish(fs);
	return fs;
}

struct fs_struct *fs_struct_copy(struct fs_struct *fs)
{
	struct fs_struct *copy = fs_struct_alloc();

	if (!copy)
		return NULL;
	fs_get_root(fs, &copy->root);
	fs_get_cwd(fs, &copy->cwd);
	fb_mutex_lock(&fs->lock);
	copy->ns = mnt_ns_get(fs->ns);
	copy->umask = fs->umask;
	fb_mutex_unlock(&fs->lock);
	fs_struct_publish(copy);
	return copy;
}

struct fs_struct *fs_struct_get(struct fs_struct *fs)
{
	ref_get(&fs->ref);
	return fs;
}

void fs_struct_put(struct fs_struct *fs)
{
	if (!fs || !ref_put(&fs->ref))
		return;
	fb_mutex_lock(&all_lock);
	list_del(&fs->node);
	fb_mutex_unlock(&all_lock);
	path_put(&fs->cwd);
	path_put(&fs->root);
	mnt_ns_put(fs->ns);
	fb_mutex_destroy(&fs->lock);
	free(fs);
}

/* path_get() takes the dcache lock, which comes before ours: lock it first. */
static void path_copy(struct fs_struct *fs, const struct path *which, struct path *ret_path)
{
	fb_mutex_lock(&dcache_lock);
	fb_mutex_lock(&fs->lock);
	*ret_path = *which;
	mount_get(ret_path->mnt);
	ret_path->dentry->count++;
	fb_mutex_unlock(&fs->lock);
	fb_mutex_unlock(&dcache_lock);
}

void fs_get_root(struct fs_struct *fs, struct path *ret_path)
{
	path_copy(fs, &fs->root, ret_path);
}

void fs_get_cwd(struct fs_struct *fs, struct path *ret_path)
{
	path_copy(fs, &fs->cwd, ret_path);
}

/* Takes the references of `path`. */
static void path_replace(struct fs_struct *fs, struct path *which, const struct path *path)
{
	struct path old;

	fb_mutex_lock(&fs->lock);
	old = *which;
	*which = *path;
	fb_mutex_unlock(&fs->lock);
	path_put(&old);
}

void fs_set_root(struct fs_struct *fs, const struct path *path)
{
	path_get(path);
	path_replace(fs, &fs->root, path);
}

void fs_set_cwd(struct fs_struct *fs, const struct path *path)
{
	path_get(path);
	path_replace(fs, &fs->cwd, path);
}

/* The place that corresponds to `path` in a copied namespace; takes and returns references. */
static struct path path_translate(struct mnt_ns *ns, struct path path)
{
	struct path moved = {mnt_ns_find_copy(ns, path.mnt), path.dentry};

	if (moved.mnt)
		dentry_get(moved.dentry);
	else
		mnt_ns_root_path(ns, &moved);
	path_put(&path);
	return moved;
}

void fs_struct_switch_ns(struct fs_struct *fs, struct mnt_ns *ns)
{
	struct path root, cwd;
	struct mnt_ns *old;

	fs_get_root(fs, &root);
	fs_get_cwd(fs, &cwd);
	root = path_translate(ns, root);
	cwd = path_translate(ns, cwd);
	mnt_ns_get(ns);
	fb_mutex_lock(&fs->lock);
	old = fs->ns;
	fs->ns = ns;
	fb_mutex_unlock(&fs->lock);
	path_replace(fs, &fs->root, &root);
	path_replace(fs, &fs->cwd, &cwd);
	mnt_ns_put(old);
}

static bool replace_one_locked(struct path *which, const struct path *old, const struct path *new)
{
	if (which->mnt != old->mnt || which->dentry != old->dentry)
		return false;
	*which = *new;
	return true;
}

/* References to `old` are dropped afterwards: the caller holds one, so none is the last. */
void fs_struct_replace_all(const struct path *old, const struct path *new)
{
	struct fs_struct *fs;
	int moved = 0;

	fb_mutex_lock(&dcache_lock);
	fb_mutex_lock(&all_lock);
	list_for_each (fs, &all, node) {
		int here;

		fb_mutex_lock(&fs->lock);
		here = replace_one_locked(&fs->root, old, new) +
		       replace_one_locked(&fs->cwd, old, new);
		fb_mutex_unlock(&fs->lock);
		for (int i = 0; i < here; i++) {
			mount_get(new->mnt);
			new->dentry->count++;
		}
		moved += here;
	}
	fb_mutex_unlock(&all_lock);
	fb_mutex_unlock(&dcache_lock);
	while (moved-- > 0) {
		struct path drop = *old;

		path_put(&drop);
	}
}

uint32_t fs_umask(struct fs_struct *fs)
{
	uint32_t umask;

	fb_mutex_lock(&fs->lock);
	umask = fs->umask;
	fb_mutex_unlock(&fs->lock);
	return umask;
}

uint32_t fs_set_umask(struct fs_struct *fs, uint32_t umask)
{
	uint32_t old;

	fb_mutex_lock(&fs->lock);
	old = fs->umask;
	fs->umask = umask & 0777;
	fb_mutex_unlock(&fs->lock);
	return old;
}

int fs_struct_unshare_ns(struct fs_struct *fs)
{
	struct mnt_ns *ns = mnt_ns_copy(fs->ns);

	if (!ns)
		return -ENOMEM;
	fs_struct_switch_ns(fs, ns);
	mnt_ns_put(ns);
	return 0;
}

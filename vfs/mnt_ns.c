/* Mount namespaces: a tree of mounts with a root, copied by CLONE_NEWNS. Declared in mount.h. */
#include <errno.h>
#include <stdlib.h>

#include "vfs/dentry.h"
#include "vfs/mount_internal.h"
#include "vfs/superblock.h"

static struct mnt_ns *mnt_ns_alloc(void)
{
	struct mnt_ns *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	list_init(&ns->mounts);
	waitq_init(&ns->poll);
	atomic_init(&ns->event, 1);
	return ns;
}

struct mnt_ns *mnt_ns_new(struct mount *root)
{
	struct mnt_ns *ns = mnt_ns_alloc();

	if (!ns)
		return NULL;
	fb_mutex_lock(&mount_lock);
	ns->root = root;
	mount_tree_set_ns_locked(root, ns);
	fb_mutex_unlock(&mount_lock);
	return ns;
}

struct mnt_ns *mnt_ns_copy(struct mnt_ns *ns)
{
	struct detach_list list = DETACH_LIST_INIT(list);
	struct mnt_ns *new = mnt_ns_alloc();
	struct mount *copy = NULL;
	int err;

	if (!new)
		return NULL;
	fb_mutex_lock(&mount_lock);
	err = mount_tree_copy_locked(ns->root, ns->root->root, true, true, &copy);
	if (err && copy)
		mount_tree_detach_locked(copy, &list);
	if (!err) {
		new->root = copy;
		mount_tree_set_ns_locked(copy, new);
	}
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
	if (err) {
		free(new);
		return NULL;
	}
	return new;
}

struct mnt_ns *mnt_ns_get(struct mnt_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}

void mnt_ns_put(struct mnt_ns *ns)
{
	struct detach_list list = DETACH_LIST_INIT(list);

	if (!ns || !ref_put(&ns->ref))
		return;
	fb_mutex_lock(&mount_lock);
	mount_tree_detach_locked(ns->root, &list);
	fb_mutex_unlock(&mount_lock);
	detach_finish(&list);
	free(ns);
}

struct mount *mnt_ns_root(struct mnt_ns *ns)
{
	return ns->root;
}

void mnt_ns_root_path(struct mnt_ns *ns, struct path *ret_path)
{
	fb_mutex_lock(&mount_lock);
	*ret_path = (struct path){ns->root, ns->root->root};
	path_down_locked(ret_path);
	path_get(ret_path);
	fb_mutex_unlock(&mount_lock);
}

struct mount *mnt_ns_find_copy(struct mnt_ns *ns, const struct mount *old)
{
	struct mount *mnt, *found = NULL;

	fb_mutex_lock(&mount_lock);
	list_for_each (mnt, &ns->mounts, ns_node) {
		if (mnt->origin_id != old->id)
			continue;
		found = mount_get(mnt);
		break;
	}
	fb_mutex_unlock(&mount_lock);
	return found;
}

void mnt_ns_touch_locked(struct mnt_ns *ns)
{
	atomic_fetch_add(&ns->event, 1);
	waitq_wake_all(&ns->poll, POLLERR | POLLPRI);
}

struct waitq *mnt_ns_poll_queue(struct mnt_ns *ns)
{
	return &ns->poll;
}

uint64_t mnt_ns_event(struct mnt_ns *ns)
{
	return atomic_load(&ns->event);
}

static bool is_listed(struct superblock *const *list, size_t nr, const struct superblock *sb)
{
	while (nr > 0)
		if (list[--nr] == sb)
			return true;
	return false;
}

void mnt_ns_sync(const struct op_ctx *ctx, struct mnt_ns *ns)
{
	struct superblock **list;
	struct mount *mnt;
	size_t nr = 0;

	fb_mutex_lock(&mount_lock);
	list = calloc((size_t)ns->nr_mounts + 1, sizeof(*list));
	if (list)
		list_for_each (mnt, &ns->mounts, ns_node)
			if (!is_listed(list, nr, mnt->sb))
				list[nr++] = superblock_get(mnt->sb);
	fb_mutex_unlock(&mount_lock);
	for (size_t i = 0; i < nr; i++) {
		(void)superblock_sync(ctx, list[i]); /* sync(2) has no error to give */
		superblock_put(list[i]);
	}
	free(list);
}

/*
 * What the files of the mount tree and the path walk share: the mount lock and the operations
 * under it. Not for others.
 *
 * Taking a mount out of the tree drops references, and that may sleep: it is put on a detach list
 * under the lock, and detach_finish() after the lock does the rest.
 */
#ifndef FB_VFS_MOUNT_INTERNAL_H
#define FB_VFS_MOUNT_INTERNAL_H

#include <stdatomic.h>

#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/mount.h"

#define MOUNTS_MAX 100000 /* per namespace: sysctl fs.mount-max */

struct mnt_ns {
	struct ref ref;
	struct mount *root;	 /* owns a reference; guarded by the mount lock, as the rest */
	struct list_node mounts; /* mount.ns_node, oldest first */
	int nr_mounts;
	struct waitq poll;
	atomic_ullong event;
};

extern struct fb_mutex mount_lock;
/* Counts changes of the tree, for openat2's scoped ".." (cf. mount_lock's sequence). */
extern atomic_ullong mount_seq;

struct detach_list {
	struct list_node mounts;   /* mount.child_node */
	struct list_node dentries; /* see dentry_internal.h */
};

#define DETACH_LIST_INIT(name) { LIST_INIT((name).mounts), LIST_INIT((name).dentries) }

/* All of these: mount lock held. */

/* The mount directly on (parent, dentry), or NULL; no reference. */
struct mount *mount_at_locked(const struct mount *parent, const struct dentry *dentry);
/* To the top of the stack of mounts on this place; members are not counted. */
bool path_down_locked(struct path *path);
/* Puts mnt (the tree takes the caller's reference) on a place; joins nobody's namespace. */
void mount_link_locked(struct mount *mnt, struct mount *parent, struct dentry *mountpoint);
/* Takes it off its place, nothing else: the tree's reference passes to the caller. */
void mount_unlink_locked(struct mount *mnt, struct list_node *dentries);
/* Takes the whole tree apart, children first. */
void mount_tree_detach_locked(struct mount *top, struct detach_list *list);
/* Preorder; NULL after the last one. */
struct mount *mount_tree_next_locked(const struct mount *top, struct mount *mnt);
/* Makes all mounts of the tree members of ns, or of none. */
void mount_tree_set_ns_locked(struct mount *top, struct mnt_ns *ns);
size_t mount_tree_count_locked(struct mount *top);
/* 0 or -ENOMEM. The copy is detached; unbindable mounts are left out unless `all`. */
int mount_tree_copy_locked(struct mount *top, struct dentry *root, bool recursive, bool all,
			   struct mount **ret_copy);
/* A reference that does not make the mount busy. Mount lock held. */
void mount_observe_locked(struct mount *mnt);
/* Drops it. Mount lock not held. */
void mount_unobserve(struct mount *mnt);
bool mount_is_below_locked(const struct mount *ancestor, const struct mount *mnt);
void mnt_ns_touch_locked(struct mnt_ns *ns);

/* Mount lock not held. */
void detach_finish(struct detach_list *list);
/* NULL when out of memory. Gets its own references to sb and root. */
struct mount *mount_new(struct superblock *sb, struct dentry *root, unsigned flags);

#endif

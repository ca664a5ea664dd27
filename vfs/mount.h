/*
 * The mount tree: which superblock's (sub)tree stands where, per mount namespace. Mounts are
 * propagation-free: every mount is private (mount_namespaces(7)), MS_SHARED and friends are
 * accepted and recorded, nothing is propagated.
 */
#ifndef FB_VFS_MOUNT_H
#define FB_VFS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"

struct dentry;
struct fs_context;
struct mnt_ns;
struct op_ctx;
struct strbuf;
struct superblock;

struct mount {
	struct ref ref;		   /* holders: the tree, paths, open files */
	int id;			   /* mountinfo's first column; constant */
	struct superblock *sb;	   /* counted; constant */
	struct dentry *root;	   /* counted; constant: root of the mounted (sub)tree */
	struct mount *parent;	   /* guarded by the mount lock, as all below; NULL = detached */
	struct dentry *mountpoint; /* counted while attached */
	struct mnt_ns *ns; /* written atomically: see mount_ns() */
	unsigned flags;	   /* MNT_* */
	struct list_node children, child_node;
	struct list_node ns_node; /* in mount order */
	struct mount *hash_next;
	/*
	 * Busy (umount says EBUSY) = more references than the tree's and the caller's, or a child:
	 * under the mount lock nobody can get a first reference, so the count is exact.
	 */
	int origin_id;	    /* of the mount it was copied from by mnt_ns_copy; 0 = none */
	bool unbindable;    /* MS_UNBINDABLE */
	int expiry_mark;    /* > 0: umount2(MNT_EXPIRE) was here; uses clear it (atomic access) */
	int observers;	    /* references of readers of /proc/mounts, which are not uses */
	struct mount *copy; /* scratch of a tree copy */
};

enum {
	MNT_NOSUID = 1,
	MNT_NODEV = 2,
	MNT_NOEXEC = 4,
	MNT_NOATIME = 8,
	MNT_NODIRATIME = 16,
	MNT_RELATIME = 32,
	MNT_READONLY = 64,
	MNT_NOSYMFOLLOW = 128,
};

/* The namespace it belongs to now; NULL = detached. Exact only under the mount lock. */
static inline struct mnt_ns *mount_ns(const struct mount *mnt)
{
	return __atomic_load_n(&mnt->ns, __ATOMIC_RELAXED);
}

static inline unsigned mount_flags(const struct mount *mnt)
{
	return __atomic_load_n(&mnt->flags, __ATOMIC_RELAXED);
}

/*
 * A place in the tree. Both members counted when held; zeroed when empty. mnt may be NULL for
 * files that are in no tree (pipes, sockets).
 */
struct path {
	struct mount *mnt;
	struct dentry *dentry;
};

void path_get(const struct path *path);
void path_put(struct path *path); /* may sleep; clears it; empty is fine */

struct mount *mount_get(struct mount *mnt);
void mount_put(struct mount *mnt); /* may sleep */

/* A namespace whose root mount is `root` (takes the reference), count 1. */
struct mnt_ns *mnt_ns_new(struct mount *root);
struct mnt_ns *mnt_ns_copy(struct mnt_ns *ns); /* CLONE_NEWNS */
struct mnt_ns *mnt_ns_get(struct mnt_ns *ns);
void mnt_ns_put(struct mnt_ns *ns);
struct mount *mnt_ns_root(struct mnt_ns *ns); /* borrowed */
/* What a process that enters the namespace gets as root: the top of the stack on it. References. */
void mnt_ns_root_path(struct mnt_ns *ns, struct path *ret_path);

/* A detached mount of fc's tree (fsmount) or of a superblock's root; returns a reference. */
int mount_create(struct fs_context *fc, unsigned mnt_flags, struct mount **ret_mount);
/*
 * A detached copy of the tree below a place: bind mounts, open_tree(2). -EINVAL: unbindable.
 * Returns a reference; the last mount_put() of a detached tree dissolves it.
 */
int mount_clone(const struct path *from, bool recursive, struct mount **ret_mount);
/* Attaches a detached mount (takes the reference on success). -ENOTDIR, -EINVAL, -ELOOP, ... */
int mount_attach(struct mnt_ns *ns, struct mount *mnt, const struct path *where);
/* The topmost mount on this place, or NULL; returns a reference. */
struct mount *mount_lookup(const struct path *path);
/* Moves path to the top of the stack of mounts on it / to the mountpoint below. True = moved. */
bool path_follow_down(struct path *path);
bool path_follow_up(struct path *path);
/* Lazily unmounts everything on this dentry (it is being deleted). */
void mount_detach_dentry(struct dentry *dentry);

/* System calls, already checked for their arguments' shape; flags MS_* / MNT_* / MOVE_MOUNT_*. */
int vfs_mount(const struct op_ctx *ctx, const char *source, const struct path *where,
	      const char *type, unsigned long ms_flags, const char *data);
int vfs_bind_mount(const struct op_ctx *ctx, const struct path *from, const struct path *where,
		   bool recursive);
int vfs_move_mount(const struct op_ctx *ctx, const struct path *from, const struct path *where);
int vfs_umount(const struct op_ctx *ctx, const struct path *where, int umount_flags);
int vfs_pivot_root(const struct op_ctx *ctx, const struct path *new_root,
		   const struct path *put_old);
/* mount_setattr(2), remount of a bind mount: MNT_* flags of the mount at its root. */
int vfs_mount_set_flags(const struct op_ctx *ctx, const struct path *where, unsigned set,
			unsigned clear, bool recursive);
/* -EROFS if the mount or its superblock is read-only (cf. mnt_want_write()). */
int mount_want_write(const struct path *path);
/* Something is mounted on the dentry in this namespace: it cannot be removed (-EBUSY). */
bool mount_is_local(struct mnt_ns *ns, struct dentry *dentry);
/* The mount of `ns` that was made from `old` by mnt_ns_copy; returns a reference or NULL. */
struct mount *mnt_ns_find_copy(struct mnt_ns *ns, const struct mount *old);
/* CAP_SYS_ADMIN of the guest. */
bool may_mount(const struct op_ctx *ctx);

/* Absolute path as seen from `root`; " (deleted)" appended as Linux does. malloc'ed or NULL.
 * A place that `root` cannot reach starts with "(unreachable)". */
char *d_path(const struct path *path, const struct path *root);

/* /proc/PID/mounts, mountinfo, mountstats formats, in mount order, as seen from root. */
enum mounts_format { MOUNTS_MOUNTS, MOUNTS_MOUNTINFO, MOUNTS_MOUNTSTATS };
void mnt_ns_show(struct mnt_ns *ns, const struct path *root, enum mounts_format format,
		 struct strbuf *out);
/* sync(2): every file system that is mounted in ns, each once. May sleep. */
void mnt_ns_sync(const struct op_ctx *ctx, struct mnt_ns *ns);
/* Wakes with POLLERR|POLLPRI when the tree changes; the counter tells readers apart. */
struct waitq *mnt_ns_poll_queue(struct mnt_ns *ns);
uint64_t mnt_ns_event(struct mnt_ns *ns);

#endif

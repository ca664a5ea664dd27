/* Root, working directory, umask and mount namespace of a process (CLONE_FS shares it). */
#ifndef FB_VFS_FS_STRUCT_H
#define FB_VFS_FS_STRUCT_H

#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "vfs/mount.h"

struct fs_struct {
	struct ref ref;
	struct fb_mutex lock; /* RANK_FSSTRUCT: guards the rest */
	struct path root, cwd;
	struct mnt_ns *ns; /* counted */
	uint32_t umask;
	struct list_node node; /* in the list of all; private to fs_struct.c */
};

struct fs_struct *fs_struct_new(struct mnt_ns *ns); /* root and cwd: the ns' root; umask 022 */
struct fs_struct *fs_struct_copy(struct fs_struct *fs);
struct fs_struct *fs_struct_get(struct fs_struct *fs);
void fs_struct_put(struct fs_struct *fs);
/* Copies with references. */
void fs_get_root(struct fs_struct *fs, struct path *ret_path);
void fs_get_cwd(struct fs_struct *fs, struct path *ret_path);
void fs_set_root(struct fs_struct *fs, const struct path *path); /* adds references */
void fs_set_cwd(struct fs_struct *fs, const struct path *path);
/*
 * Moves into a namespace (unshare(CLONE_NEWNS) with a copy, setns(2)): root and cwd go to the same
 * places in the copied mounts; what the copy does not have goes to the namespace's root.
 */
/* unshare(CLONE_NEWNS): a copy of its namespace, root and cwd in the copy. 0 or -ENOMEM. */
int fs_struct_unshare_ns(struct fs_struct *fs);
void fs_struct_switch_ns(struct fs_struct *fs, struct mnt_ns *ns); /* adds a reference */
/* pivot_root(2): every root and cwd that is exactly `old` becomes `new` (cf. chroot_fs_refs()). */
void fs_struct_replace_all(const struct path *old, const struct path *new);
uint32_t fs_umask(struct fs_struct *fs);
uint32_t fs_set_umask(struct fs_struct *fs, uint32_t umask); /* returns the old one */

#endif

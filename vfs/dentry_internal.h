/*
 * What dentry.c, dentry_tree.c, the mount tree and the path walk share: the dcache lock and the
 * operations under it. Not for file systems.
 *
 * Killing a dentry takes two steps, because dropping its inode may sleep: under the lock it leaves
 * the hash, its parent and its inode's alias list and joins a dispose list; after the lock has
 * been given up, dentry_dispose() drops the inodes and frees the memory.
 */
#ifndef FB_VFS_DENTRY_INTERNAL_H
#define FB_VFS_DENTRY_INTERNAL_H

#include "sentry/base/lock.h"
#include "vfs/dentry.h"

extern struct fb_mutex dcache_lock;
/* Counts d_move()s: openat2's ".." checks whether the tree moved under it (cf. rename_lock). */
extern atomic_ullong dcache_rename_seq;

/* All of these: dcache lock held. */
struct dentry *dentry_find_locked(const struct dentry *dir, const struct qstr *name);
void dentry_hash_locked(struct dentry *dentry);
/* Gives a negative dentry its inode (takes the reference; NULL leaves it negative). */
void dentry_bind_locked(struct dentry *dentry, struct inode *inode);
void dentry_unhash_locked(struct dentry *dentry);
void dentry_lru_remove_locked(struct dentry *dentry);
/* Drops one reference; what dies goes to `dispose`, ancestors included. */
void dentry_put_locked(struct dentry *dentry, struct list_node *dispose);
/* Count is 0 (or the whole tree is dying); the parent's count is the caller's business. */
void dentry_kill_locked(struct dentry *dentry, struct list_node *dispose);
bool dentry_is_ancestor_locked(const struct dentry *ancestor, const struct dentry *dentry);
void dentry_set_flag_locked(struct dentry *dentry, unsigned flag);
void dentry_clear_flag_locked(struct dentry *dentry, unsigned flag);

static inline bool dentry_is_root(const struct dentry *dentry)
{
	return __atomic_load_n(&dentry->parent, __ATOMIC_RELAXED) == dentry;
}

/* dcache lock not held. */
void dentry_dispose(struct list_node *dispose);
/* A lookup in flight has ended. */
void dentry_lookup_wake(void);

#endif

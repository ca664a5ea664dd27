/*
 * The name cache: one entry per (directory, name), positive (has an inode) or negative.
 *
 * Counting as in Linux: users hold references; an unused hashed dentry stays in the cache (LRU,
 * bounded, see dcache_shrink) and keeps its inode; a child holds a reference to its parent. All
 * structure is guarded by one lock, the dcache lock (RANK_DCACHE), that dentry.c keeps private.
 */
#ifndef FB_VFS_DENTRY_H
#define FB_VFS_DENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/refcount.h"
#include "vfs/ops.h"

/* A name on its way to a directory: bytes, length, hash. Not NUL-terminated. */
struct qstr {
	const char *name;
	uint32_t len;
	uint32_t hash;
};

enum {
	DENTRY_HASHED = 1,
	DENTRY_MOUNTED = 2,   /* something is mounted here in some namespace */
	DENTRY_IN_LOOKUP = 4, /* its first lookup is under way */
	DENTRY_DEAD = 8,      /* a directory that was removed: nothing can be created below */
	DENTRY_DONTCACHE = 16,
	DENTRY_REFERENCED = 32, /* used again since it came to the LRU: spared once */
	DENTRY_EXPIRED = 64,	/* dentry_ops.expired has said so, and nothing has changed since */
	/*
	 * Its place, or that of one above it, is not known: it came by a file handle. Such a one and
	 * its children live as long as they are used.
	 */
	DENTRY_DISCONNECTED = 128,
};

struct dentry {
	int count;		    /* guarded by the dcache lock */
	atomic_uint flags;	    /* DENTRY_*; changed under the dcache lock */
	struct dentry *parent;	    /* itself for a root; counted; changed under the dcache lock */
	/*
	 * NULL = negative; counted; changed under the dcache lock. Whoever holds a reference to a
	 * positive dentry may rely on it; a negative one can turn positive unless the directory is
	 * locked: ask d_is_positive(), not the field.
	 */
	struct inode *inode;
	struct superblock *sb;	    /* constant */
	const struct dentry_ops *op; /* constant */
	char *name;		    /* NUL-terminated; owned; changed under the dcache lock */
	uint32_t name_len, hash;
	struct list_node child_node; /* in parent->children */
	struct list_node children;
	struct list_node alias_node; /* in inode->dentries */
	struct list_node lru_node;
	struct dentry *hash_next;
	int nr_mounts;	     /* mounts that stand here; guarded by the mount lock */
	void *fs_data;	     /* the file system's own; freed by dentry_ops.release */
	uint64_t fs_time_ns; /* the file system's own: expiry of the entry (monotonic ns) */
	uint64_t fs_epoch;   /* the file system's own */
};

void qstr_init(struct qstr *ret, const char *name, size_t len); /* computes the hash */

/* A new root dentry of sb for inode (takes the reference). NULL when out of memory. */
struct dentry *dentry_make_root(struct superblock *sb, struct inode *inode);
/* A dentry without a place in a tree: pipes, sockets, memfds. Takes the inode reference. */
struct dentry *dentry_make_anon(struct superblock *sb, struct inode *inode, const char *name);
struct dentry *dentry_get(struct dentry *dentry);
void dentry_put(struct dentry *dentry); /* may sleep (inode eviction) */
/* The parent, with a reference: it may change by rename at any time. */
struct dentry *dentry_get_parent(struct dentry *dentry);
/* Cached child or NULL; returns a reference. No revalidation. */
struct dentry *dentry_find(struct dentry *dir, const struct qstr *name);
/* Copy of the current name: malloc'ed. */
char *dentry_name(struct dentry *dentry);

/* Linux's verbs, for file systems: */
/* A new unhashed negative dentry with count 1; NULL when out of memory. */
struct dentry *d_alloc(struct dentry *dir, const struct qstr *name);
/*
 * The dentry of that name for a caller that holds the directory lock (shared suffices): a cached
 * one, or a fresh one marked DENTRY_IN_LOOKUP that this caller alone must now look up: d_add() or
 * d_splice_alias(), and in any case d_lookup_done() after that. Waits while somebody else looks
 * up the same name. Returns a reference. 0, -ENOMEM, -ERESTARTSYS (killed).
 */
int d_alloc_parallel(struct dentry *dir, const struct qstr *name, struct dentry **ret_dentry);
/* Ends a lookup, successful or not; harmless when it has ended. */
void d_lookup_done(struct dentry *dentry);
/* Binds a dentry under lookup to its inode (takes the reference; NULL = negative) and hashes it. */
void d_add(struct dentry *dentry, struct inode *inode);
/* Turns a negative dentry positive (takes the reference); leaves it hashed or unhashed. */
void d_instantiate(struct dentry *dentry, struct inode *inode);
/*
 * As d_add, but a directory inode that already has a dentry is moved to the new place instead:
 * *ret_alias is then that dentry (returns a reference), else NULL. -ELOOP when that would make a
 * directory its own ancestor, -ESTALE when its old place is busy (cf. __d_unalias()). Takes the
 * inode reference in every case. A hashed negative dentry is legal: mkdir, mknod, create.
 */
int d_splice_alias(struct dentry *dentry, struct inode *inode, struct dentry **ret_alias);
void d_drop(struct dentry *dentry);   /* unhash: the next lookup asks the file system */
void d_delete(struct dentry *dentry); /* after unlink: negative if unused, else unhashed */
/* Detaches the whole subtree from the cache and lazily unmounts what is mounted on it. */
void d_invalidate(struct dentry *dentry);
/* Drops the unused entries below a directory (it is being removed). */
void d_shrink_children(struct dentry *dentry);
/* Drops the unused ones of the inode's dentries. */
void d_prune_aliases(struct inode *inode);
/* A directory that was removed: nothing can be found or made below it any more. */
void d_mark_dead(struct dentry *dentry);
/* old takes new's place (name and parent); exchange swaps. Under the rename locks. */
void d_move(struct dentry *old, struct dentry *new, bool exchange);
bool d_is_ancestor(struct dentry *ancestor, struct dentry *dentry); /* or the same */
bool d_unlinked(const struct dentry *dentry);
/* Some dentry of the inode; returns a reference or NULL. */
struct dentry *d_find_alias(struct inode *inode);
/* Some dentry of the inode that is `top` or below it; returns a reference or NULL. */
struct dentry *d_find_alias_below(struct inode *inode, const struct dentry *top);
/*
 * Some dentry of the inode, a disconnected one if it has none. Takes the inode, returns a reference;
 * NULL when out of memory.
 */
struct dentry *d_obtain_alias(struct inode *inode);
/* Does the tree hold it? As far as was found out, see d_clear_disconnected(). */
bool d_is_connected(struct dentry *dentry);
/* Its place has been found: of it and of all above it. */
void d_clear_disconnected(struct dentry *dentry);

static inline bool d_is_positive(const struct dentry *dentry)
{
	return __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE) != NULL;
}

static inline bool dentry_test(const struct dentry *dentry, unsigned flag)
{
	return (atomic_load_explicit(&dentry->flags, memory_order_acquire) & flag) != 0;
}

/* Most unused dentries that are kept; default 32768. */
void dcache_set_limit(size_t max_unused);
/* Drops unused dentries until at most `keep` are left; returns how many went. */
size_t dcache_shrink(size_t keep);
/* Drops every unused dentry of one superblock (umount, drop_caches). */
void dcache_shrink_sb(struct superblock *sb);
/* Drops those of which dentry_ops.expired says so: now, or when their last user has gone. */
void dcache_expire_sb(struct superblock *sb);
/* The file system has given it new time: what was said of it is void. */
void d_clear_expired(struct dentry *dentry);

#endif

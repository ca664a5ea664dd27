/*
 * Private to vfs/fs/overlay/.
 *
 * One inode per object. An object of the lower layer is an ovl_inode with `lower` set; as long as
 * nothing was changed it has no state of its own. Changes take things over one by one:
 *
 *	OVL_META	attributes are ours (chmod, link, rename, ...)
 *	OVL_DATA	a regular file's bytes are ours
 *	OVL_XATTR	extended attributes are ours
 *	a table		a directory's names that differ from the lower directory's
 *
 * What carries changes must survive without a dentry: upper objects are held by the table of their
 * directory; changed lower objects are pinned in the superblock and found again by their lower
 * inode, under each of their hard links. So a copy-up never needs to copy parents up.
 */
#ifndef FB_OVERLAY_INTERNAL_H
#define FB_OVERLAY_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/inode.h"
#include "vfs/pagecache.h"
#include "vfs/xattr.h"

struct dentry;
struct superblock;

#define OVL_SUPER_MAGIC 0x794c7630
#define OVL_UPPER_INO	(1ull << 51) /* numbers of upper objects: apart from the host's */
#define OVL_NODE_BYTES	1024	     /* what an object in memory counts for in the limit */
#define OVL_ENTRY_BYTES 128

enum {
	OVL_META = 1,
	OVL_DATA = 2,
	OVL_XATTR = 4,
	OVL_NOCAPS = 8, /* has no security.capability: a write need not look */
};

/* A name that differs from the lower directory: an object, or nothing (whiteout). */
struct ovl_entry {
	struct ovl_entry *next; /* in its bucket */
	struct inode *inode;	/* counted; NULL = whiteout */
	uint32_t hash, len;
	char name[]; /* NUL-terminated */
};

struct ovl_table {
	struct ovl_entry **buckets;
	unsigned bits;
	size_t nr_entries, nr_visible; /* all; those that are no whiteouts */
};

struct ovl_info {
	struct superblock *lower, *upper; /* counted; upper may be NULL */
	struct inode *root;		  /* borrowed; constant; its eviction ends everything */
	int64_t cache_ns;		  /* trust in lower names and attributes; constant */
	struct pagecache_limit limit;
	/* RANK_FS: guards pins, every table, xattrs of every inode, and dispose. */
	struct fb_mutex lock;
	struct list_node pins;	   /* ovl_inode.pin_node */
	struct ovl_entry *dispose; /* entries whose inodes are still to be put */
	bool disposing;		   /* somebody is at it */
};

struct ovl_inode {
	struct inode inode;
	struct inode *lower; /* counted; constant; NULL = upper object */
	atomic_uint state; /* OVL_*; META is set under attr_lock, DATA and XATTR under copy_lock */
	_Atomic int64_t lower_version; /* hostfs_attr_version() when attributes were taken */
	struct sleep_mutex copy_lock;  /* one copy-up at a time; inside the inode locks */
	struct pagecache *pages;       /* with OVL_DATA; owned, then constant */
	struct simple_xattrs xattrs;   /* with OVL_XATTR; info->lock */
	char *target;		       /* of an upper symlink; owned, constant */
	struct ovl_table *table;       /* directories; info->lock; owned */
	struct list_node pin_node;     /* linked = pinned: one reference of the superblock's */
	atomic_size_t charged;	       /* bytes in info->limit besides the pages' */
};

static inline struct ovl_inode *ovl_i(struct inode *inode)
{
	return container_of(inode, struct ovl_inode, inode);
}
struct ovl_info *ovl_info(const struct superblock *sb);

static inline bool ovl_has(struct ovl_inode *node, unsigned flag)
{
	return atomic_load_explicit(&node->state, memory_order_acquire) & flag;
}

/* node.c: objects */
/* The object of a lower inode (takes the reference, also on failure); returns a reference. */
int ovl_iget(struct superblock *sb, struct inode *lower, struct inode **ret_inode);
/* A new upper object with ids from ctx and dir, count 1. mode with type bits. */
int ovl_new_inode(const struct op_ctx *ctx, struct superblock *sb, struct inode *dir, uint32_t mode,
		  dev_t rdev, struct inode **ret_inode);
/* Attributes of an unchanged lower object are brought up to date. 0 or -errno. */
int ovl_refresh(struct inode *inode);
void ovl_sync_attrs(struct inode *inode); /* from what hostfs knows already */
/* Keeps a lower object although nobody uses it. 0 or -ENOSPC. */
int ovl_pin(struct inode *inode);
void ovl_unpin(struct inode *inode); /* the caller holds a reference */
bool ovl_charge(struct ovl_inode *node, size_t bytes);
void ovl_evict_inode(struct inode *inode);
void ovl_free_inode(struct inode *inode);

/* table.c: names that differ from the lower layer; each takes info->lock */
struct ovl_entry *ovl_entry_new(const char *name, size_t len);
/* 1: *ret_inode is a reference, or NULL for a whiteout. 0: the lower layer decides. */
int ovl_table_find(struct inode *dir, const char *name, size_t len, struct inode **ret_inode);
/*
 * Makes sure that the directory has a table and survives with it. To be called before the first
 * ovl_table_set(), which then cannot fail. 0, -ENOMEM, -ENOSPC.
 */
int ovl_table_prepare(struct inode *dir);
/* The name now means inode (a reference is added; NULL: whiteout). Takes entry. */
void ovl_table_set(struct inode *dir, struct ovl_entry *entry, struct inode *inode);
/* The same unless the name is there already. */
void ovl_table_set_new(struct inode *dir, struct ovl_entry *entry, struct inode *inode);
/* The lower layer decides again about the name. */
void ovl_table_remove(struct inode *dir, const char *name, size_t len);
size_t ovl_table_visible(struct inode *dir);
bool ovl_table_exists(struct inode *dir);
/* Calls emit for each visible entry, info->lock held: it must not lock or sleep. */
typedef int (*ovl_entry_fn)(void *arg, const struct ovl_entry *entry);
int ovl_table_walk(struct inode *dir, ovl_entry_fn emit, void *arg);
void ovl_table_free(struct ovl_info *info, struct ovl_table *table); /* may put inodes */

/* copyup.c: taking things over from the lower layer; idempotent; may sleep */
int ovl_own_attrs(struct inode *inode); /* and pins */
/* For what is about to lose its last name: no pin. */
int ovl_own_attrs_unpinned(struct inode *inode);
int ovl_own_data(struct inode *inode, int64_t up_to); /* the first up_to bytes */
int ovl_own_xattrs(struct inode *inode);
/* own_attrs, and own_data if up_to >= 0; remembers the name the object was reached by. */
int ovl_copy_up(struct dentry *dentry, int64_t up_to);

/* attr.c */
int ovl_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		uint32_t mask, unsigned flags);
int ovl_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
int ovl_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr);
int ovl_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
		 char **ret_target, struct path *ret_path);
ssize_t ovl_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name, void *value,
		     size_t size);
int ovl_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		 const void *value, size_t size, int flags);
ssize_t ovl_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size);
int ovl_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name);
/* A write takes set-id bits and file capabilities away. Inode lock held for writing. */
void ovl_strip_privileges(const struct op_ctx *ctx, struct inode *inode);

/* readdir.c */
int ovl_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc);
/* 0, -ENOTEMPTY, -errno */
int ovl_check_empty(struct inode *dir);

/* An open file. */
struct ovl_file {
	int lower_hostfd; /* borrowed from hostfs until release; -1 */
	/* Directories: the entries as they were when the reading began. */
	unsigned char *list;
	size_t list_len, list_alloc;
	bool listed;
};

extern const struct inode_ops ovl_dir_iops, ovl_file_iops, ovl_symlink_iops;
extern const struct file_ops ovl_dir_fops, ovl_reg_fops;
extern const struct dentry_ops ovl_dops;

#endif

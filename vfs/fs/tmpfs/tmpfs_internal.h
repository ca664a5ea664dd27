/*
 * Private to vfs/fs/tmpfs/.
 *
 * A directory owns its entries (dirtable.c), and an entry owns a reference to its inode: the tree
 * stands without the name cache, which only remembers it. All directories of one tmpfs are guarded
 * by one lock, tmpfs_info.lock (RANK_FS): it is held for a hash lookup or a few pointers, never
 * over a copy to a guest.
 */
#ifndef FB_TMPFS_INTERNAL_H
#define FB_TMPFS_INTERNAL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "vfs/inode.h"
#include "vfs/ops.h"
#include "vfs/pagecache.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

#define TMPFS_NAME_MAX 255
#define TMPFS_DIRENT_SIZE 20 /* what an entry adds to a directory's st_size, as in Linux */
#define TMPFS_FIRST_OFF 2    /* "." and ".." are 0 and 1 */
#define TMPFS_LONG_LINK 128  /* a symlink target this long is charged a page */

struct tmpfs_dirent {
	struct tmpfs_dirent *hash_next;
	struct inode *inode; /* counted */
	int64_t off;	     /* its place for readdir; never used again in this directory */
	uint32_t hash;
	uint16_t len;
	char name[]; /* not NUL-terminated */
};

struct tmpfs_slot {
	int64_t off;
	struct tmpfs_dirent *dirent; /* NULL: removed */
};

/* The entries of one directory; guarded by tmpfs_info.lock. */
struct tmpfs_dirtable {
	struct tmpfs_dirent **buckets; /* NULL while empty */
	unsigned bits;
	size_t nr;		  /* entries */
	struct tmpfs_slot *order; /* ascending off = order of creation; holes for removed ones */
	size_t nr_order, order_alloc;
	int64_t next_off;
};

struct tmpfs_inode {
	struct inode inode;
	union {
		struct pagecache pages;	   /* S_IFREG */
		struct tmpfs_dirtable dir; /* S_IFDIR */
		char *target;		   /* S_IFLNK: constant, owned */
	};
	struct simple_xattrs xattrs;	   /* guarded by tmpfs_info.lock */
	struct acl_store acls;
	/*
	 * A directory that has an entry for it, which keeps it alive; NULL: there is none, or the one
	 * that was known has gone and there are others. Guarded by tmpfs_info.lock.
	 */
	struct inode *home;
	struct tmpfs_inode *doomed_next;   /* guarded by tmpfs_info.lock */
};

struct tmpfs_info {
	struct fb_mutex lock; /* RANK_FS */
	struct pagecache_limit blocks; /* bytes of file data, long links and xattrs */
	atomic_uint_least64_t inodes;  /* in use: inodes and additional hard links */
	uint64_t max_inodes;	       /* 0 = no limit; atomic loads suffice */
	atomic_uint_least64_t last_ino;
	uint64_t default_size, default_inodes; /* not shown in /proc/mounts when unchanged */
	uint64_t handle_seed; /* constant */
	uint32_t root_mode;
	uid_t root_uid;
	gid_t root_gid;
	bool dooming;		    /* guarded by lock: somebody drains doomed */
	struct tmpfs_inode *doomed; /* guarded by lock */
};

static inline struct tmpfs_inode *tmpfs_i(struct inode *inode)
{
	return container_of(inode, struct tmpfs_inode, inode);
}

static inline struct tmpfs_info *tmpfs_info(const struct superblock *sb)
{
	return sb->fs_info;
}

/* dirtable.c; the lock is held except for dirent_new and dirent_free. */
struct tmpfs_dirent *dirent_new(const char *name, size_t len, uint32_t hash); /* NULL: no memory */
void dirent_free(struct tmpfs_dirent *dirent); /* not its inode; NULL is fine */
struct tmpfs_dirent *dirtable_find(const struct tmpfs_dirtable *dir, const char *name, size_t len,
				   uint32_t hash);
/* Makes room so that the next two dirtable_insert() cannot fail. 0 or -ENOMEM. */
int dirtable_reserve(struct tmpfs_dirtable *dir);
void dirtable_insert(struct tmpfs_dirtable *dir, struct tmpfs_dirent *dirent);
void dirtable_remove(struct tmpfs_dirtable *dir, struct tmpfs_dirent *dirent);
/* The first entry at or after `off`, or NULL. */
struct tmpfs_dirent *dirtable_next(const struct tmpfs_dirtable *dir, int64_t off);
void dirtable_free(struct tmpfs_dirtable *dir); /* empty of entries */

/* super.c */
/* A new inode with count 1, charged; NULL fields of its type are set. -ENOSPC, -ENOMEM. */
int tmpfs_inode_new(const struct op_ctx *ctx, struct superblock *sb, struct inode *dir,
		    uint32_t mode, dev_t rdev, struct inode **ret_inode);
int tmpfs_reserve_inode(struct tmpfs_info *info);
void tmpfs_release_inode(struct tmpfs_info *info);

/* Attributes and xattrs, for all kinds of inodes (attr.c). */
int tmpfs_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr);
int tmpfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		  uint32_t mask, unsigned flags);
ssize_t tmpfs_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		       void *value, size_t size);
int tmpfs_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		   const void *value, size_t size, int flags);
ssize_t tmpfs_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size);
int tmpfs_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name);
/* File handles (handle.c) */
int tmpfs_encode_fh(struct inode *inode, struct inode *parent, bool only_id,
		    struct vfs_handle *handle);
int tmpfs_fh_to_inode(const struct op_ctx *ctx, struct superblock *sb,
		      const struct vfs_handle *handle, struct inode **ret_inode);
int tmpfs_get_parent(const struct op_ctx *ctx, struct inode *inode, struct inode **ret_parent);
int tmpfs_get_name(struct inode *dir, struct inode *child, char name[NAME_MAX + 1]);
/* ACLs (acl.c) */
int tmpfs_get_acl(const struct op_ctx *ctx, struct inode *inode, enum acl_type type, bool to_judge,
		  struct acl **ret_acl);
int tmpfs_set_acl(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		  struct acl *acl);
/* The mode of the inode was changed: its list follows. */
int tmpfs_acl_chmod(struct inode *inode);
/* Takes the lists of a new inode (acl_create()), also on failure. 0 or -ENOSPC. */
int tmpfs_acl_init(struct inode *inode, struct acl *acls[ACL_TYPES]);
/* Names of the lists as listxattr(2) has them; their length. */
#define TMPFS_ACL_NAMES 64 /* room for both */
size_t tmpfs_acl_list(struct inode *inode, char list[TMPFS_ACL_NAMES]);
void tmpfs_acl_free(struct inode *inode);
/* Set-id bits and file capabilities go when the content changes (cf. file_remove_privs()). */
void tmpfs_remove_privs(const struct op_ctx *ctx, struct inode *inode);
/* A host that is out of descriptors looks like a full file system. */
int tmpfs_host_error(int err);

extern const struct inode_ops tmpfs_dir_inode_ops, tmpfs_file_inode_ops, tmpfs_link_inode_ops,
	tmpfs_special_inode_ops;
extern const struct file_ops tmpfs_dir_ops, tmpfs_file_ops;

#endif

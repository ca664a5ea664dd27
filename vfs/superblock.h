/*
 * File system types and their mounted instances, and the context in which an instance is set up:
 * the common ground of mount(2) and of fsopen(2)/fsconfig(2)/fsmount(2).
 */
#ifndef FB_VFS_SUPERBLOCK_H
#define FB_VFS_SUPERBLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/ops.h"

/* What statfs(2) shows. */
struct kstatfs {
	uint64_t type; /* magic number of linux/magic.h */
	uint64_t bsize, blocks, bfree, bavail, files, ffree;
	uint64_t fsid;
	uint64_t namelen, frsize;
	uint64_t flags; /* ST_*; filled by the VFS from the mount */
};

struct superblock {
	struct ref ref; /* one per mount, one per open fs_context, one while set up */
	const struct filesystem_type *type; /* constant */
	const struct superblock_ops *op;    /* constant after get_tree */
	const struct dentry_ops *d_op;	    /* given to each new dentry */
	dev_t dev;			    /* anonymous device number, constant */
	struct dentry *root;		    /* owns a reference */
	unsigned flags;			    /* SB_RDONLY, ...; atomic loads suffice */
	char *source;			    /* for /proc/mounts; owned */
	char *subtype;			    /* shown as type.subtype; owned, may be NULL */
	uint64_t magic;
	uint32_t blksize;
	uint32_t time_gran_ns; /* 1 unless set */
	int64_t max_bytes;     /* largest file size */
	unsigned name_max;     /* 255 unless set */
	int stack_depth;
	void *fs_info;			 /* the file system's own */
	struct sleep_mutex rename_lock;	 /* s_vfs_rename_mutex: cross-directory renames */
	struct fb_mutex inode_lock;	 /* RANK_ICACHE: guards inodes */
	struct list_node inodes;	 /* inode.sb_node */
	struct inode **inode_hash;	 /* by ino or nodeid, see inode.h */
	unsigned inode_hash_bits, nr_hashed;
	atomic_uint nr_mounted; /* mounts that belong to a namespace; written under the mount lock */
	atomic_uint live; /* inodes that are not freed yet, and one until the shutdown */
	bool dying;  /* being shut down: nothing is cached any more; guarded by the dcache lock */
};

static inline unsigned sb_flags(const struct superblock *sb)
{
	return __atomic_load_n(&sb->flags, __ATOMIC_RELAXED);
}

#define SB_RDONLY 1u
#define SB_NOSUID 2u
#define SB_NODEV 4u
#define SB_NOEXEC 8u
#define SB_SYNCHRONOUS 16u
#define SB_MANDLOCK 64u
#define SB_DIRSYNC 128u
#define SB_NOATIME 1024u	/* the file system keeps access times itself (FUSE) */
#define SB_POSIXACL (1u << 16) /* has ACLs, and so applies the umask itself */
#define SB_LAZYTIME (1u << 25)
#define SB_NOSEC (1u << 28)

/* One option on its way to a file system (fsconfig(2)). */
enum fs_value_type { FS_VALUE_FLAG, FS_VALUE_STRING, FS_VALUE_BLOB, FS_VALUE_FILE };
struct fs_parameter {
	const char *key;
	enum fs_value_type type;
	const char *string; /* STRING; BLOB with size */
	size_t size;
	struct file *file; /* FILE: borrowed */
};

struct fs_context_ops {
	void (*free)(struct fs_context *fc); /* frees fc->fs_private */
	/* -ENOPARAM: not mine. Text for the user goes to fc_error(). */
	int (*parse_param)(const struct op_ctx *ctx, struct fs_context *fc,
			   const struct fs_parameter *param);
	/* Makes or finds the superblock: sets fc->root (returns references to it and its sb). */
	int (*get_tree)(const struct op_ctx *ctx, struct fs_context *fc);
	int (*reconfigure)(const struct op_ctx *ctx, struct fs_context *fc);
};

#define ENOPARAM 519 /* option unknown to the file system; never reaches a guest */

#define FC_LOG_LINES 8

struct fs_context {
	const struct filesystem_type *type;
	const struct fs_context_ops *op;
	void *fs_private;
	char *source;  /* owned */
	char *subtype; /* owned */
	unsigned sb_flags;
	/*
	 * Result of get_tree; owns a reference to it and to root->sb. Set from the start when an
	 * existing superblock is reconfigured.
	 */
	struct dentry *root;
	bool reconfigure; /* for remount, fspick */
	struct superblock *over; /* mount(2): on whose root it is to stand, else NULL; borrowed */
	bool adopted;		 /* get_tree: `over` goes on in place of a new mount */
	bool one_by_one;  /* by fsconfig(2): mount(2) forgives some options */
	char *log[FC_LOG_LINES]; /* for read(2) of the fs descriptor, the oldest first; owned */
};

enum {
	FS_REQUIRES_DEV = 1,
	FS_HAS_SUBTYPE = 4,  /* mount(2) takes "type.subtype" */
	FS_USERNS_MOUNT = 2, /* no "nodev" in /proc/filesystems is FS_REQUIRES_DEV */
};

struct filesystem_type {
	const char *name;
	unsigned fs_flags; /* FS_* */
	int (*init_fs_context)(struct fs_context *fc);
	struct list_node node; /* private to superblock.c */
};

/* Called once at start-up by main.c. */
void filesystem_register(struct filesystem_type *type);
/* "type", or "type.subtype" for those with FS_HAS_SUBTYPE. NULL: unknown. */
struct filesystem_type *filesystem_find(const char *name, size_t len);
/* Walks the registered types in order; NULL starts and ends. For /proc/filesystems. */
struct filesystem_type *filesystem_next(struct filesystem_type *type);

/* A new instance with a new anonymous device number, count 1; NULL when out of memory. */
struct superblock *superblock_new(struct filesystem_type *type, unsigned flags);
struct superblock *superblock_get(struct superblock *sb);
/* syncfs(2). 0 or -errno. May sleep. */
int superblock_sync(const struct op_ctx *ctx, struct superblock *sb);
/* The last put evicts all dentries and inodes and calls put_super. May sleep. */
void superblock_put(struct superblock *sb);
/* Drops one of sb->live; the last one ends the superblock. For inode.c. */
void superblock_drop_live(struct superblock *sb);
/* superblock_ops.statfs of file systems that count nothing (cf. simple_statfs()). */
int simple_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs);
int vfs_statfs(const struct op_ctx *ctx, const struct path *path, struct kstatfs *ret_statfs);

/* fc with the type's own context initialised; *ret_fc owned by the caller. */
int fs_context_new(struct filesystem_type *type, unsigned sb_flags, struct fs_context **ret_fc);
void fs_context_free(struct fs_context *fc);
/* "source" and generic flags are handled here, the rest by the type. */
int fs_context_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			   const struct fs_parameter *param);
/* The comma-separated string of mount(2). */
int fs_context_parse_monolithic(const struct op_ctx *ctx, struct fs_context *fc, const char *data);
/* For a remount or fspick(2): fc->root is the superblock's root. */
int fs_context_for_reconfigure(struct superblock *sb, unsigned sb_flags,
			       struct fs_context **ret_fc);
/*
 * Applies it: sb_flags and whatever options the type takes. -EINVAL: not made for that; -EBUSY:
 * files are open for writing on what shall become read-only.
 */
int fs_context_reconfigure(const struct op_ctx *ctx, struct fs_context *fc);
/* -EBUSY when it has been done. */
int fs_context_get_tree(const struct op_ctx *ctx, struct fs_context *fc);
/* Adds the line "e TEXT\n"; a line too many drops the oldest. */
void fc_error(struct fs_context *fc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

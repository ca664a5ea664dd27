/* Private to vfs/fs/hostfs/. */
#ifndef FB_HOSTFS_INTERNAL_H
#define FB_HOSTFS_INTERNAL_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "vfs/inode.h"

struct dentry;
struct superblock;

#define HOSTFS_CACHE_NS 1000000000 /* trust in names and attributes of a read-only mount */
/*
 * Where nothing is trusted, stat(2) would still ask the host twice: once for the name and once for
 * the attributes. What is younger than this counts as asked in this call.
 */
#define HOSTFS_GRACE_NS 20000

#define HOSTFS_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | 0x1000u /* STATX_MNT_ID */)

/* Which host object. mnt distinguishes directories that the host shows at two places. */
struct hostfs_ident {
	uint64_t dev, ino, mnt;
	struct timespec btime; /* compared only where hostfs_dev.has_btime */
	uint32_t type;	       /* S_IFMT bits */
};

/* A host device below the root. */
struct hostfs_dev {
	uint64_t dev;
	bool masked;	/* a pseudo file system: shown as empty */
	bool has_btime; /* birth times never change (on overlayfs they do, at copy-up) */
};

struct hostfs_info {
	bool read_only;
	int64_t cache_ns;
	int root_ro, root_rw; /* root that is a regular file: its data; else -1 */
	/* Host devices in the order met; st_ino of all but the first carries their index. */
	struct hostfs_dev *devs; /* guarded by hostfs_lock */
	unsigned nr_devs;
};

struct hostfs_inode {
	struct inode inode;
	struct hostfs_ident id;	 /* constant */
	unsigned dev_index;	 /* constant; in hostfs_info.devs */
	bool masked;		 /* constant; on a host pseudo file system: empty, unopenable */
	bool has_btime;		 /* constant; id.btime counts */
	atomic_bool no_nowait;	 /* the host file system refuses RWF_NOWAIT */
	_Atomic int64_t attr_ns; /* when the attributes were read (monotonic); 0 = they are old */

	/* All below guarded by hostfs_lock. */
	struct hostfs_inode *parent;  /* counted; NULL for the root and after a host-side loop */
	char *name;		      /* in parent; owned */
	char *target;		      /* of a symlink once read; owned */
	struct timespec target_ctime; /* of the symlink when target was read */
	int hostfd;	      /* the slot: O_RDONLY of a regular file, else O_PATH; -1 = none */
	bool slot_is_path;    /* a regular file's slot holds an O_PATH descriptor */
	bool pinned;	      /* the slot is the only way left to the object: never evicted */
	int users;	      /* borrowers of the slot */
	struct list_node lru; /* linked while the slot is filled, unpinned and without users */
	int created_hostfd;   /* O_RDWR descriptor of create(), for the open that follows; -1 */
	struct list_node created_node; /* linked while created_hostfd is kept */
	bool has_children;	       /* some inode's parent was set to this one */
	unsigned puts_due;	       /* references that evicted children have left behind */
	struct list_node puts_node;    /* linked while puts_due > 0 */
	struct list_node files;	       /* hostfs_file.node: descriptors of their own */
};

/* An open file. */
struct hostfs_file {
	struct hostfs_inode *hi; /* borrowed: the file holds the inode */
	int hostfd;		 /* own, or the slot's when shared */
	bool shared;
	struct list_node node; /* in hi->files when not shared */
	/* Directories: the host's entries from the host position buf_pos on. */
	unsigned char *buf;
	size_t buf_len, buf_off;
	int64_t next_pos; /* position of the entry at buf_off; -1 = unknown */
};

/* Where to find an object right now: dirfd and name as the *at() calls take them. */
struct hostfs_place {
	struct hostfs_inode *holder; /* counted; its slot is in use */
	int hostfd;
	int own_hostfd;		 /* to be closed with the place; -1 */
	char name[NAME_MAX + 1]; /* "" = hostfd itself (AT_EMPTY_PATH) */
};

/* RANK_LEAF: guards places, slots and lists of every hostfs inode. No host call but dup, close. */
extern struct fb_mutex hostfs_lock;

static inline struct hostfs_inode *hostfs_i(struct inode *inode)
{
	return container_of(inode, struct hostfs_inode, inode);
}
struct hostfs_info *hostfs_info(const struct superblock *sb);

/* host.c: host calls that never leave the directory, and fallbacks for old kernels */
int host_open(int dirfd, const char *name, uint64_t flags, unsigned mode); /* hostfd or -errno */
int host_statx(int dirfd, const char *name, struct statx *ret_stx);
int host_reopen(int hostfd, int flags); /* the object of an O_PATH descriptor; hostfd or -errno */
int host_chmod(int hostfd, uint32_t mode);
int host_chown(int hostfd, uid_t uid, gid_t gid);
int host_utimens(int hostfd, const struct timespec times[2]);
ssize_t host_getxattr(int dirfd, const char *path, const char *name, void *value, size_t size);
ssize_t host_listxattr(int dirfd, const char *path, char *list, size_t size);
int host_setxattr(int hostfd, const char *name, const void *value, size_t size, int flags);
int host_removexattr(int hostfd, const char *name);
/* File system behind a descriptor: for a root, and for what lies on another device. */
bool host_is_procfs(int hostfd);
void host_probe_dev(int hostfd, struct hostfs_dev *ret_dev); /* sets masked and has_btime */
void host_init(void);

/* hostfd.c: slots */
int hostfs_slot_get(struct hostfs_inode *hi, int *ret_hostfd); /* borrow until put */
void hostfs_slot_put(struct hostfs_inode *hi);
int hostfs_slot_use_locked(struct hostfs_inode *hi); /* slot filled, hostfs_lock held */
/* Is the descriptor the object's? Fills the attributes. 0, -ESTALE, -errno */
int hostfs_verify(struct hostfs_inode *hi, int hostfd);
/* Before the object loses its name: keep hold of it if somebody uses it. */
void hostfs_slot_pin(struct hostfs_inode *hi);
/* The descriptor that create() has made (taken), for the next open for writing. */
void hostfs_keep_created(struct hostfs_inode *hi, int hostfd);
int hostfs_take_created(struct hostfs_inode *hi); /* or -1 */
/* The root's slot: taken, O_PATH, never evicted. */
void hostfs_slot_adopt(struct hostfs_inode *hi, int hostfd);
void hostfs_slot_close(struct hostfs_inode *hi); /* eviction of the inode */
/* Closes unused slots until at most `keep` are open. */
void hostfs_slots_shrink(size_t keep);
/* place.c: how the host finds an object now. For stat any way will do: */
int hostfs_place_get(struct hostfs_inode *hi, struct hostfs_place *ret_place);
/* By its name, as link(2) needs it; -ESTALE without one. */
int hostfs_place_get_named(struct hostfs_inode *hi, struct hostfs_place *ret_place);
void hostfs_place_put(struct hostfs_place *place);
/* A new O_PATH (or `flags`) descriptor that is verified to be the object. hostfd or -errno. */
int hostfs_open_object(struct hostfs_inode *hi, int flags);
/* Eviction: gives the reference to the parent back. */
void hostfs_drop_place(struct hostfs_inode *hi);
/* Remembers that the object was just seen as `name` in `parent`. */
void hostfs_set_place(struct hostfs_inode *hi, struct hostfs_inode *parent, const char *name);

/* inode.c */
/* parent NULL: the root, whose descriptor is hostfd */
int hostfs_iget(struct superblock *sb, struct hostfs_inode *parent, const char *name, int hostfd,
		const struct statx *stx, struct hostfs_inode **ret_hi);
bool hostfs_same_object(const struct hostfs_inode *hi, const struct statx *stx);
void hostfs_fill(struct hostfs_inode *hi, const struct statx *stx);
int hostfs_refresh_max(struct hostfs_inode *hi, int64_t max_age_ns);
void hostfs_attr_changed(struct hostfs_inode *hi); /* the next getattr asks the host */
uint64_t hostfs_shown_ino(const struct superblock *sb, unsigned dev_index, uint64_t ino);
/* statx of a child; name is one component. */
int hostfs_stat_child(struct hostfs_inode *dir, const char *name, struct statx *ret_stx);
/* A copy of a component, NUL-terminated; -ENAMETOOLONG, -EINVAL for "", ".", "..", or a '/'. */
int hostfs_component(char buf[NAME_MAX + 1], const char *name, size_t len);

/* attr.c: getattr, setattr, symlinks, xattrs, statfs */
int hostfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		   uint32_t mask, unsigned flags);
int hostfs_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
int hostfs_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr);
int hostfs_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
		    char **ret_target, struct path *ret_path);
ssize_t hostfs_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
			void *value, size_t size);
ssize_t hostfs_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size);
int hostfs_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		    const void *value, size_t size, int flags);
int hostfs_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name);
int hostfs_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs);

/* readdir.c, file.c, io.c */
int hostfs_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc);
int hostfs_file_fd(struct hostfs_file *hf); /* of a directory: opened on first use */
ssize_t hostfs_io_read(struct hostfs_inode *hi, int hostfd, struct io_iter *to, int64_t pos,
		       int rwf);
ssize_t hostfs_io_write(int hostfd, struct io_iter *from, int64_t pos, int rwf);

extern const struct inode_ops hostfs_dir_iops, hostfs_file_iops, hostfs_symlink_iops;
extern const struct file_ops hostfs_dir_fops, hostfs_reg_fops;
extern const struct dentry_ops hostfs_dops;

#endif

/*
 * An inode: a file system object. File systems embed struct inode in their own and get it back
 * with container_of.
 *
 * Holders of a reference: each positive dentry, each open file (through its dentry), and callers.
 * A hashed inode may stay cached at count 0 only as long as a dentry holds it; when the count
 * drops to zero it is evicted (superblock_ops.evict_inode, then free_inode).
 */
#ifndef FB_VFS_INODE_H
#define FB_VFS_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/ops.h"

struct pipe;
struct lock_ctx;

struct inode {
	struct ref ref;
	struct superblock *sb;	    /* constant; not counted: inodes die before their sb */
	const struct inode_ops *op; /* constant after init */
	const struct file_ops *fop; /* given to files opened on it; constant after init */
	_Atomic uint64_t ino;	    /* shown by stat; a FUSE daemon may change its mind */
	uint64_t hash_key;	    /* identity in the sb's table: ino, or the daemon's nodeid */

	struct sleep_rwlock lock; /* i_rwsem: directory content, file size changes, writes */
	struct fb_mutex attr_lock; /* RANK_ATTR: guards the attributes below */
	uint32_t mode;		   /* type bits constant after init */
	uint32_t nlink;
	uid_t uid;
	gid_t gid;
	dev_t rdev; /* constant after init */
	int64_t size;
	uint64_t blocks; /* 512-byte units */
	struct timespec atime, mtime, ctime, btime;

	atomic_int writers;	/* files open for writing; < 0: -n denials (running text, ETXTBSY) */
	struct pipe *pipe;	/* FIFO: made by the first open; guarded by attr_lock */
	void *unix_socket;	/* bound AF_UNIX socket; guarded by file/unix.c's lock */
	struct lock_ctx *locks; /* POSIX, OFD and flock locks; guarded by lock.c (RANK_FLOCK) */

	bool linkable; /* O_TMPFILE without O_EXCL: link(2) may name it at nlink 0; attr_lock */
	bool hashed; /* guarded by sb->inode_lock, as the next four */
	bool bad;    /* every operation is -EIO (fuse); atomic load suffices */
	struct inode *hash_next;
	struct list_node sb_node;
	struct list_node dentries; /* dentry.alias_node; guarded by the dcache lock */
};

/*
 * Initialises the embedded inode with count 1 and current times; mode with its type bits.
 * The caller sets op, fop, ino afterwards. Not hashed.
 */
void inode_init(struct inode *inode, struct superblock *sb, uint32_t mode, uid_t uid, gid_t gid);
/* As inode_init, owner and group from ctx and dir (set-gid directories), cf. inode_init_owner(). */
void inode_init_owner(struct inode *inode, const struct op_ctx *ctx, struct superblock *sb,
		      const struct inode *dir, uint32_t mode);
struct inode *inode_get(struct inode *inode);
void inode_put(struct inode *inode); /* may sleep: may evict */
/* By hash_key; returns a reference or NULL. An inode that is being evicted is waited for. */
struct inode *inode_lookup(struct superblock *sb, uint64_t key);
/* Makes it findable. -EEXIST when the key is taken (the caller looks up again). */
int inode_hash(struct inode *inode, uint64_t key);
void inode_unhash(struct inode *inode);

/* For readers without attr_lock, of the type (constant) or of a hint; chmod writes it as atomically. */
static inline uint32_t inode_mode(const struct inode *inode)
{
	return __atomic_load_n(&inode->mode, __ATOMIC_RELAXED);
}
static inline bool inode_is_dir(const struct inode *inode)
{
	return S_ISDIR(inode_mode(inode));
}
static inline bool inode_is_reg(const struct inode *inode)
{
	return S_ISREG(inode_mode(inode));
}
static inline bool inode_is_lnk(const struct inode *inode)
{
	return S_ISLNK(inode_mode(inode));
}

/* Attribute helpers; each takes attr_lock. */
int64_t inode_size(struct inode *inode);
void inode_set_size(struct inode *inode, int64_t size);
void inode_add_nlink(struct inode *inode, int delta);
enum { S_ATIME = 1, S_MTIME = 2, S_CTIME = 4 };
void inode_touch(struct inode *inode, unsigned which); /* S_*: to now */
/* relatime/noatime/strictatime as the mount says (cf. touch_atime()). */
void touch_atime(const struct path *path);

/* The sleeping lock. Two directories: ancestor first, else by address; a == b once. */
void inode_lock(struct inode *inode);
void inode_unlock(struct inode *inode);
void inode_lock_shared(struct inode *inode);
void inode_unlock_shared(struct inode *inode);
int inode_lock_killable(struct inode *inode); /* 0 or -ERESTARTSYS */
int inode_lock_shared_killable(struct inode *inode); /* 0 or -ERESTARTSYS */
bool inode_trylock_shared(struct inode *inode);

/* Open-for-write accounting: -ETXTBSY / -EBUSY semantics of get_write_access(). */
int inode_get_write_access(struct inode *inode); /* 0 or -ETXTBSY */
void inode_put_write_access(struct inode *inode);
int inode_deny_write_access(struct inode *inode); /* 0 or -ETXTBSY */
void inode_allow_write_access(struct inode *inode);

/* A fresh number for file systems without numbers of their own. */
uint64_t inode_next_ino(void);

#endif

/* Attributes as shown by stat(2) and as changed by chmod, chown, utimens and truncate. */
#ifndef FB_VFS_ATTR_H
#define FB_VFS_ATTR_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct inode;
struct file;
struct op_ctx;
struct path;

/* What stat shows (cf. struct kstat). Masks are STATX_* of statx(2). */
struct kstat {
	uint32_t result_mask; /* STATX_* that are valid */
	uint64_t attributes, attributes_mask; /* STATX_ATTR_* */
	dev_t dev, rdev;
	uint64_t ino;
	uint32_t mode, nlink, blksize;
	uid_t uid;
	gid_t gid;
	uint64_t size, blocks; /* bytes; 512-byte units */
	struct timespec atime, mtime, ctime, btime;
	uint64_t mnt_id;
};

/* Bits of iattr.valid, Linux's names. */
enum {
	ATTR_MODE = 1 << 0,
	ATTR_UID = 1 << 1,
	ATTR_GID = 1 << 2,
	ATTR_SIZE = 1 << 3,
	ATTR_ATIME = 1 << 4,
	ATTR_MTIME = 1 << 5,
	ATTR_CTIME = 1 << 6,
	ATTR_ATIME_SET = 1 << 7, /* to the given time; without it: now */
	ATTR_MTIME_SET = 1 << 8,
	ATTR_KILL_SUID = 1 << 9,
	ATTR_KILL_SGID = 1 << 10,
	ATTR_FILE = 1 << 11, /* iattr.file is set (ftruncate) */
	ATTR_OPEN = 1 << 12, /* part of open(O_TRUNC) */
	ATTR_FORCE = 1 << 13, /* no permission check */
	ATTR_TOUCH = 1 << 14, /* utimensat with both times now: write permission suffices */
};

struct iattr {
	unsigned valid;
	uint32_t mode; /* permission bits only */
	uid_t uid;
	gid_t gid;
	int64_t size;
	struct timespec atime, mtime, ctime;
	struct file *file;
};

/* Fills from the inode's fields alone; what a file system without getattr gets. */
void generic_fillattr(struct inode *inode, struct kstat *ret_stat);
/* ATTR_KILL_*: what this caller's write takes away (cf. setattr_should_drop_suidgid()). */
unsigned setattr_drop_suidgid(const struct op_ctx *ctx, struct inode *inode);
/* Permission and rule checks of setattr (cf. setattr_prepare() in fs/attr.c). 0 or -errno. */
int setattr_prepare(const struct op_ctx *ctx, struct inode *inode, struct iattr *attr);
/* Stores everything but the size into the inode (cf. setattr_copy()). */
void setattr_copy(const struct op_ctx *ctx, struct inode *inode, const struct iattr *attr);

/*
 * getattr of whatever the path names; `mask` are STATX_*, `flags` AT_STATX_*.
 * Sets dev and mnt_id.
 */
int vfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		uint32_t mask, unsigned flags);
/* Takes the inode lock; strips set-id bits as Linux's notify_change() does. */
int notify_change(const struct op_ctx *ctx, const struct path *path, struct iattr *attr);
/* Part of open(O_TRUNC) and truncate: size change of a regular file the caller may write. */
int do_truncate(const struct op_ctx *ctx, const struct path *path, int64_t size, unsigned valid,
		struct file *file);
int vfs_truncate(const struct op_ctx *ctx, const struct path *path, int64_t size);
int vfs_ftruncate(const struct op_ctx *ctx, struct file *file, int64_t size);

#endif

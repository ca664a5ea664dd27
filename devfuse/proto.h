/*
 * The FUSE wire: every structure, opcode and flag that crosses /dev/fuse, at protocol 7.45.
 *
 * All integers are in host order. A structure's comment names the minor that added it or changed
 * its size; what older daemons see instead is in the compat columns of opcode.c.
 */
#ifndef FB_DEVFUSE_PROTO_H
#define FB_DEVFUSE_PROTO_H

#include <stdint.h>

#define FUSE_KERNEL_VERSION	  7
#define FUSE_KERNEL_MINOR_VERSION 45
#define FUSE_ROOT_ID		  1
#define FUSE_MIN_READ_BUFFER	  8192

#define FUSE_INT_REQ_BIT   (1ULL << 0)	/* in unique: the INTERRUPT of that request */
#define FUSE_UNIQUE_RESEND (1ULL << 63) /* in unique: handed out again (7.40) */

#define FUSE_WIRE_SIZE(type, bytes)                                                                \
	_Static_assert(sizeof(struct type) == (bytes), "wire size of " #type)

enum fuse_opcode {
	FUSE_LOOKUP = 1,
	FUSE_FORGET = 2, /* no reply */
	FUSE_GETATTR = 3,
	FUSE_SETATTR = 4,
	FUSE_READLINK = 5,
	FUSE_SYMLINK = 6,
	FUSE_MKNOD = 8,
	FUSE_MKDIR = 9,
	FUSE_UNLINK = 10,
	FUSE_RMDIR = 11,
	FUSE_RENAME = 12,
	FUSE_LINK = 13,
	FUSE_OPEN = 14,
	FUSE_READ = 15,
	FUSE_WRITE = 16,
	FUSE_STATFS = 17,
	FUSE_RELEASE = 18,
	FUSE_FSYNC = 20,
	FUSE_SETXATTR = 21,
	FUSE_GETXATTR = 22,
	FUSE_LISTXATTR = 23,
	FUSE_REMOVEXATTR = 24,
	FUSE_FLUSH = 25,
	FUSE_INIT = 26,
	FUSE_OPENDIR = 27,
	FUSE_READDIR = 28,
	FUSE_RELEASEDIR = 29,
	FUSE_FSYNCDIR = 30,
	FUSE_GETLK = 31,
	FUSE_SETLK = 32,
	FUSE_SETLKW = 33,
	FUSE_ACCESS = 34,
	FUSE_CREATE = 35,
	FUSE_INTERRUPT = 36,
	FUSE_BMAP = 37,
	FUSE_DESTROY = 38,
	FUSE_IOCTL = 39,
	FUSE_POLL = 40,
	FUSE_NOTIFY_REPLY = 41,
	FUSE_BATCH_FORGET = 42,
	FUSE_FALLOCATE = 43,
	FUSE_READDIRPLUS = 44,
	FUSE_RENAME2 = 45,
	FUSE_LSEEK = 46,
	FUSE_COPY_FILE_RANGE = 47,
	FUSE_SETUPMAPPING = 48,
	FUSE_REMOVEMAPPING = 49,
	FUSE_SYNCFS = 50,
	FUSE_TMPFILE = 51,
	FUSE_STATX = 52,
	FUSE_COPY_FILE_RANGE_64 = 53,
	FUSE_OPCODE_END, /* one past the last of the dense range */
	CUSE_INIT = 4096,
};

/* Codes of messages that the daemon starts: fuse_out_header.error with unique 0. */
enum fuse_notify_code {
	FUSE_NOTIFY_POLL = 1,
	FUSE_NOTIFY_INVAL_INODE = 2, /* 7.12 */
	FUSE_NOTIFY_INVAL_ENTRY = 3, /* 7.12 */
	FUSE_NOTIFY_STORE = 4,	     /* 7.15 */
	FUSE_NOTIFY_RETRIEVE = 5,    /* 7.15 */
	FUSE_NOTIFY_DELETE = 6,	     /* 7.18 */
	FUSE_NOTIFY_RESEND = 7,	     /* 7.40 */
	FUSE_NOTIFY_INC_EPOCH = 8,   /* 7.44 */
	FUSE_NOTIFY_PRUNE = 9,	     /* 7.45 */
	FUSE_NOTIFY_CODE_END,
};

/* INIT flags; the high word travels in flags2 (7.36). */
#define FUSE_ASYNC_READ		  (1ULL << 0)
#define FUSE_POSIX_LOCKS	  (1ULL << 1)
#define FUSE_FILE_OPS		  (1ULL << 2)
#define FUSE_ATOMIC_O_TRUNC	  (1ULL << 3)
#define FUSE_EXPORT_SUPPORT	  (1ULL << 4)
#define FUSE_BIG_WRITES		  (1ULL << 5)
#define FUSE_DONT_MASK		  (1ULL << 6)
#define FUSE_SPLICE_WRITE	  (1ULL << 7)
#define FUSE_SPLICE_MOVE	  (1ULL << 8)
#define FUSE_SPLICE_READ	  (1ULL << 9)
#define FUSE_FLOCK_LOCKS	  (1ULL << 10)
#define FUSE_HAS_IOCTL_DIR	  (1ULL << 11)
#define FUSE_AUTO_INVAL_DATA	  (1ULL << 12)
#define FUSE_DO_READDIRPLUS	  (1ULL << 13)
#define FUSE_READDIRPLUS_AUTO	  (1ULL << 14)
#define FUSE_ASYNC_DIO		  (1ULL << 15)
#define FUSE_WRITEBACK_CACHE	  (1ULL << 16)
#define FUSE_NO_OPEN_SUPPORT	  (1ULL << 17)
#define FUSE_PARALLEL_DIROPS	  (1ULL << 18)
#define FUSE_HANDLE_KILLPRIV	  (1ULL << 19)
#define FUSE_POSIX_ACL		  (1ULL << 20)
#define FUSE_ABORT_ERROR	  (1ULL << 21)
#define FUSE_MAX_PAGES		  (1ULL << 22)
#define FUSE_CACHE_SYMLINKS	  (1ULL << 23)
#define FUSE_NO_OPENDIR_SUPPORT	  (1ULL << 24)
#define FUSE_EXPLICIT_INVAL_DATA  (1ULL << 25)
#define FUSE_MAP_ALIGNMENT	  (1ULL << 26)
#define FUSE_SUBMOUNTS		  (1ULL << 27)
#define FUSE_HANDLE_KILLPRIV_V2	  (1ULL << 28)
#define FUSE_SETXATTR_EXT	  (1ULL << 29)
#define FUSE_INIT_EXT		  (1ULL << 30)
#define FUSE_SECURITY_CTX	  (1ULL << 32)
#define FUSE_HAS_INODE_DAX	  (1ULL << 33)
#define FUSE_CREATE_SUPP_GROUP	  (1ULL << 34)
#define FUSE_HAS_EXPIRE_ONLY	  (1ULL << 35)
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define FUSE_PASSTHROUGH	  (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT	  (1ULL << 38)
#define FUSE_HAS_RESEND		  (1ULL << 39)
#define FUSE_ALLOW_IDMAP	  (1ULL << 40)
#define FUSE_OVER_IO_URING	  (1ULL << 41)
#define FUSE_REQUEST_TIMEOUT	  (1ULL << 42)

/* open_out.open_flags */
#define FOPEN_DIRECT_IO		     (1u << 0)
#define FOPEN_KEEP_CACHE	     (1u << 1)
#define FOPEN_NONSEEKABLE	     (1u << 2)
#define FOPEN_CACHE_DIR		     (1u << 3)
#define FOPEN_STREAM		     (1u << 4)
#define FOPEN_NOFLUSH		     (1u << 5)
#define FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#define FOPEN_PASSTHROUGH	     (1u << 7)

/* setattr_in.valid */
#define FATTR_MODE	   (1u << 0)
#define FATTR_UID	   (1u << 1)
#define FATTR_GID	   (1u << 2)
#define FATTR_SIZE	   (1u << 3)
#define FATTR_ATIME	   (1u << 4)
#define FATTR_MTIME	   (1u << 5)
#define FATTR_FH	   (1u << 6)
#define FATTR_ATIME_NOW	   (1u << 7)
#define FATTR_MTIME_NOW	   (1u << 8)
#define FATTR_LOCKOWNER	   (1u << 9)
#define FATTR_CTIME	   (1u << 10)
#define FATTR_KILL_SUIDGID (1u << 11)

#define FUSE_GETATTR_FH		  (1u << 0)
#define FUSE_OPEN_KILL_SUIDGID	  (1u << 0)
#define FUSE_READ_LOCKOWNER	  (1u << 1)
#define FUSE_WRITE_CACHE	  (1u << 0)
#define FUSE_WRITE_LOCKOWNER	  (1u << 1)
#define FUSE_WRITE_KILL_SUIDGID	  (1u << 2)
#define FUSE_RELEASE_FLUSH	  (1u << 0)
#define FUSE_RELEASE_FLOCK_UNLOCK (1u << 1)
#define FUSE_FSYNC_FDATASYNC	  (1u << 0)
#define FUSE_LK_FLOCK		  (1u << 0)
#define FUSE_IOCTL_COMPAT	  (1u << 0)
#define FUSE_IOCTL_UNRESTRICTED	  (1u << 1)
#define FUSE_IOCTL_RETRY	  (1u << 2)
#define FUSE_IOCTL_32BIT	  (1u << 3)
#define FUSE_IOCTL_DIR		  (1u << 4)
#define FUSE_POLL_SCHEDULE_NOTIFY (1u << 0)
#define FUSE_EXPIRE_ONLY	  (1u << 0)

/* ioctls of /dev/fuse itself */
#define FUSE_DEV_IOC_CLONE	   0x8004e500u
#define FUSE_DEV_IOC_BACKING_OPEN  0x4010e501u
#define FUSE_DEV_IOC_BACKING_CLOSE 0x4004e502u
#define FUSE_DEV_IOC_SYNC_INIT	   0x0000e503u

struct fuse_in_header {
	uint32_t len;
	uint32_t opcode;
	uint64_t unique;
	uint64_t nodeid;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	uint16_t total_extlen; /* 8-byte units (7.38) */
	uint16_t padding;
};
FUSE_WIRE_SIZE(fuse_in_header, 40);

struct fuse_out_header {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};
FUSE_WIRE_SIZE(fuse_out_header, 16);

/* 88 bytes since 7.9; 80 before (no blksize, flags). flags named since 7.32. */
struct fuse_attr {
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t atime;
	uint64_t mtime;
	uint64_t ctime;
	uint32_t atimensec;
	uint32_t mtimensec;
	uint32_t ctimensec;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev;
	uint32_t blksize;
	uint32_t flags;
};
FUSE_WIRE_SIZE(fuse_attr, 88);
#define FUSE_COMPAT_ENTRY_OUT_SIZE 120
#define FUSE_COMPAT_ATTR_OUT_SIZE  96

struct fuse_entry_out {
	uint64_t nodeid;
	uint64_t generation;
	uint64_t entry_valid;
	uint64_t attr_valid;
	uint32_t entry_valid_nsec;
	uint32_t attr_valid_nsec;
	struct fuse_attr attr;
};
FUSE_WIRE_SIZE(fuse_entry_out, 128);

struct fuse_forget_in {
	uint64_t nlookup;
};
FUSE_WIRE_SIZE(fuse_forget_in, 8);

struct fuse_forget_one { /* 7.16 */
	uint64_t nodeid;
	uint64_t nlookup;
};
FUSE_WIRE_SIZE(fuse_forget_one, 16);

struct fuse_batch_forget_in { /* 7.16 */
	uint32_t count;
	uint32_t dummy;
};
FUSE_WIRE_SIZE(fuse_batch_forget_in, 8);

struct fuse_getattr_in { /* 7.9 */
	uint32_t getattr_flags;
	uint32_t dummy;
	uint64_t fh;
};
FUSE_WIRE_SIZE(fuse_getattr_in, 16);

struct fuse_attr_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t dummy;
	struct fuse_attr attr;
};
FUSE_WIRE_SIZE(fuse_attr_out, 104);

struct fuse_mknod_in {
	uint32_t mode;
	uint32_t rdev;
	uint32_t umask; /* 7.12 */
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_mknod_in, 16);
#define FUSE_COMPAT_MKNOD_IN_SIZE 8

struct fuse_mkdir_in {
	uint32_t mode;
	uint32_t umask;
};
FUSE_WIRE_SIZE(fuse_mkdir_in, 8);

struct fuse_rename_in {
	uint64_t newdir;
};
FUSE_WIRE_SIZE(fuse_rename_in, 8);

struct fuse_rename2_in { /* 7.23 */
	uint64_t newdir;
	uint32_t flags;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_rename2_in, 16);

struct fuse_link_in {
	uint64_t oldnodeid;
};
FUSE_WIRE_SIZE(fuse_link_in, 8);

struct fuse_setattr_in {
	uint32_t valid;
	uint32_t padding;
	uint64_t fh;
	uint64_t size;
	uint64_t lock_owner;
	uint64_t atime;
	uint64_t mtime;
	uint64_t ctime;
	uint32_t atimensec;
	uint32_t mtimensec;
	uint32_t ctimensec;
	uint32_t mode;
	uint32_t unused4;
	uint32_t uid;
	uint32_t gid;
	uint32_t unused5;
};
FUSE_WIRE_SIZE(fuse_setattr_in, 88);

struct fuse_open_in {
	uint32_t flags;
	uint32_t open_flags; /* FUSE_OPEN_* (7.33) */
};
FUSE_WIRE_SIZE(fuse_open_in, 8);

struct fuse_create_in {
	uint32_t flags;
	uint32_t mode;
	uint32_t umask;	     /* 7.12 */
	uint32_t open_flags; /* 7.33 */
};
FUSE_WIRE_SIZE(fuse_create_in, 16);
#define FUSE_COMPAT_CREATE_IN_SIZE 8

struct fuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id; /* 7.40 */
};
FUSE_WIRE_SIZE(fuse_open_out, 16);

struct fuse_release_in {
	uint64_t fh;
	uint32_t flags;
	uint32_t release_flags;
	uint64_t lock_owner;
};
FUSE_WIRE_SIZE(fuse_release_in, 24);

struct fuse_flush_in {
	uint64_t fh;
	uint32_t unused;
	uint32_t padding;
	uint64_t lock_owner;
};
FUSE_WIRE_SIZE(fuse_flush_in, 24);

struct fuse_read_in { /* 24 bytes before 7.9, but requests were never shrunk */
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t read_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_read_in, 40);

struct fuse_write_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t write_flags;
	uint64_t lock_owner; /* 7.9, as all that follows */
	uint32_t flags;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_write_in, 40);
#define FUSE_COMPAT_WRITE_IN_SIZE 24

struct fuse_write_out {
	uint32_t size;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_write_out, 8);

struct fuse_kstatfs {
	uint64_t blocks;
	uint64_t bfree;
	uint64_t bavail;
	uint64_t files;
	uint64_t ffree;
	uint32_t bsize;
	uint32_t namelen;
	uint32_t frsize; /* 7.4, as all that follows */
	uint32_t padding;
	uint32_t spare[6];
};
FUSE_WIRE_SIZE(fuse_kstatfs, 80);
#define FUSE_COMPAT_STATFS_SIZE 48

struct fuse_fsync_in {
	uint64_t fh;
	uint32_t fsync_flags;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_fsync_in, 16);

struct fuse_setxattr_in { /* 8 bytes unless FUSE_SETXATTR_EXT (7.33) */
	uint32_t size;
	uint32_t flags;
	uint32_t setxattr_flags;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_setxattr_in, 16);
#define FUSE_COMPAT_SETXATTR_IN_SIZE 8
#define FUSE_SETXATTR_ACL_KILL_SGID (1u << 0) /* setxattr_flags */

struct fuse_getxattr_in {
	uint32_t size;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_getxattr_in, 8);

struct fuse_getxattr_out {
	uint32_t size;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_getxattr_out, 8);

struct fuse_file_lock {
	uint64_t start;
	uint64_t end; /* inclusive */
	uint32_t type;
	uint32_t pid; /* tgid */
};
FUSE_WIRE_SIZE(fuse_file_lock, 24);

struct fuse_lk_in {
	uint64_t fh;
	uint64_t owner;
	struct fuse_file_lock lk;
	uint32_t lk_flags; /* 7.9 */
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_lk_in, 48);

struct fuse_lk_out {
	struct fuse_file_lock lk;
};
FUSE_WIRE_SIZE(fuse_lk_out, 24);

struct fuse_access_in {
	uint32_t mask;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_access_in, 8);

struct fuse_init_in { /* 16 bytes before 7.36 */
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2;
	uint32_t unused[11];
};
FUSE_WIRE_SIZE(fuse_init_in, 64);

struct fuse_init_out { /* 8 bytes before 7.5, 24 before 7.23 */
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background;
	uint16_t congestion_threshold;
	uint32_t max_write;
	uint32_t time_gran;	  /* 7.23 */
	uint16_t max_pages;	  /* 7.28 */
	uint16_t map_alignment;	  /* 7.31 */
	uint32_t flags2;	  /* 7.36 */
	uint32_t max_stack_depth; /* 7.40 */
	uint16_t request_timeout; /* 7.43 */
	uint16_t unused[11];
};
FUSE_WIRE_SIZE(fuse_init_out, 64);

struct fuse_interrupt_in {
	uint64_t unique;
};
FUSE_WIRE_SIZE(fuse_interrupt_in, 8);

struct fuse_bmap_in {
	uint64_t block;
	uint32_t blocksize;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_bmap_in, 16);

struct fuse_bmap_out {
	uint64_t block;
};
FUSE_WIRE_SIZE(fuse_bmap_out, 8);

struct fuse_ioctl_in { /* 7.11; out_size 7.16 */
	uint64_t fh;
	uint32_t flags;
	uint32_t cmd;
	uint64_t arg;
	uint32_t in_size;
	uint32_t out_size;
};
FUSE_WIRE_SIZE(fuse_ioctl_in, 32);

struct fuse_ioctl_iovec { /* 7.16 */
	uint64_t base;
	uint64_t len;
};
FUSE_WIRE_SIZE(fuse_ioctl_iovec, 16);

struct fuse_ioctl_out {
	int32_t result;
	uint32_t flags;
	uint32_t in_iovs;
	uint32_t out_iovs;
};
FUSE_WIRE_SIZE(fuse_ioctl_out, 16);

struct fuse_poll_in { /* 7.11; events 7.21 */
	uint64_t fh;
	uint64_t kh;
	uint32_t flags;
	uint32_t events;
};
FUSE_WIRE_SIZE(fuse_poll_in, 24);

struct fuse_poll_out {
	uint32_t revents;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_poll_out, 8);

struct fuse_fallocate_in { /* 7.19 */
	uint64_t fh;
	uint64_t offset;
	uint64_t length;
	uint32_t mode;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_fallocate_in, 32);

struct fuse_lseek_in { /* 7.24 */
	uint64_t fh;
	uint64_t offset;
	uint32_t whence;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_lseek_in, 24);

struct fuse_lseek_out {
	uint64_t offset;
};
FUSE_WIRE_SIZE(fuse_lseek_out, 8);

struct fuse_copy_file_range_in { /* 7.28 */
	uint64_t fh_in;
	uint64_t off_in;
	uint64_t nodeid_out;
	uint64_t fh_out;
	uint64_t off_out;
	uint64_t len;
	uint64_t flags;
};
FUSE_WIRE_SIZE(fuse_copy_file_range_in, 56);

struct fuse_copy_file_range_out { /* 7.45 */
	uint64_t bytes_copied;
};
FUSE_WIRE_SIZE(fuse_copy_file_range_out, 8);

struct fuse_syncfs_in { /* 7.34 */
	uint64_t padding;
};
FUSE_WIRE_SIZE(fuse_syncfs_in, 8);

struct fuse_statx_in { /* 7.39 */
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};
FUSE_WIRE_SIZE(fuse_statx_in, 24);

struct fuse_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t reserved;
};
FUSE_WIRE_SIZE(fuse_sx_time, 16);

struct fuse_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0[1];
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fuse_sx_time atime;
	struct fuse_sx_time btime;
	struct fuse_sx_time ctime;
	struct fuse_sx_time mtime;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t spare2[14];
};
FUSE_WIRE_SIZE(fuse_statx, 256);

struct fuse_statx_out { /* 7.39 */
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct fuse_statx stat;
};
FUSE_WIRE_SIZE(fuse_statx_out, 288);

/* A directory entry: header, name without NUL, padded to 8 bytes. */
struct fuse_dirent {
	uint64_t ino;
	uint64_t off;
	uint32_t namelen;
	uint32_t type;
};
FUSE_WIRE_SIZE(fuse_dirent, 24);

struct fuse_direntplus { /* 7.21 */
	struct fuse_entry_out entry_out;
	struct fuse_dirent dirent;
};
FUSE_WIRE_SIZE(fuse_direntplus, 152);

#define FUSE_NAME_MAX	   1024u /* without FUSE_MAX_PAGES */
#define FUSE_NAME_MAX_LONG 4095u /* PATH_MAX - 1, with it and more than one page */

static inline uint64_t fuse_dirent_align(uint64_t bytes)
{
	return (bytes + 7) & ~UINT64_C(7);
}

/* Notifications */
struct fuse_notify_poll_wakeup_out {
	uint64_t kh;
};
FUSE_WIRE_SIZE(fuse_notify_poll_wakeup_out, 8);

struct fuse_notify_inval_inode_out {
	uint64_t ino;
	int64_t off;
	int64_t len;
};
FUSE_WIRE_SIZE(fuse_notify_inval_inode_out, 24);

struct fuse_notify_inval_entry_out {
	uint64_t parent;
	uint32_t namelen;
	uint32_t flags;
};
FUSE_WIRE_SIZE(fuse_notify_inval_entry_out, 16);

struct fuse_notify_delete_out {
	uint64_t parent;
	uint64_t child;
	uint32_t namelen;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_notify_delete_out, 24);

struct fuse_notify_store_out {
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_notify_store_out, 24);

struct fuse_notify_retrieve_out {
	uint64_t notify_unique;
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};
FUSE_WIRE_SIZE(fuse_notify_retrieve_out, 32);

struct fuse_notify_retrieve_in { /* same size as fuse_write_in */
	uint64_t dummy1;
	uint64_t offset;
	uint32_t size;
	uint32_t dummy2;
	uint64_t dummy3;
	uint64_t dummy4;
};
FUSE_WIRE_SIZE(fuse_notify_retrieve_in, 40);

struct fuse_notify_prune_out { /* 7.45 */
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};
FUSE_WIRE_SIZE(fuse_notify_prune_out, 16);

struct fuse_backing_map { /* argument of FUSE_DEV_IOC_BACKING_OPEN (7.40) */
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
FUSE_WIRE_SIZE(fuse_backing_map, 16);

/* --- extensions at the end of requests that make something (7.36, 7.38) ----------------------- */

struct fuse_secctx_header { /* with SECURITY_CTX always there, also without a label */
	uint32_t size; /* of all of it, this included */
	uint32_t nr_secctx;
};
FUSE_WIRE_SIZE(fuse_secctx_header, 8);

#define FUSE_EXT_GROUPS 32 /* fuse_ext_header.type */

struct fuse_ext_header {
	uint32_t size; /* this included, a multiple of 8 */
	uint32_t type;
};
FUSE_WIRE_SIZE(fuse_ext_header, 8);

/* --- over io_uring (7.42) -------------------------------------------------------------------- */

#define FUSE_IO_URING_CMD_REGISTER	   1 /* sqe->cmd_op */
#define FUSE_IO_URING_CMD_COMMIT_AND_FETCH 2

#define FUSE_URING_IN_OUT_HEADER_SZ 128
#define FUSE_URING_OP_IN_OUT_SZ	    128

struct fuse_uring_cmd_req { /* in the command area of the submission entry */
	uint64_t flags;
	uint64_t commit_id; /* COMMIT_AND_FETCH: of the request that is answered */
	uint16_t qid;
	uint8_t padding[6];
};
FUSE_WIRE_SIZE(fuse_uring_cmd_req, 24);

struct fuse_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_sz; /* bytes in the payload: of the request, then of the answer */
	uint32_t padding;
	uint64_t reserved;
};
FUSE_WIRE_SIZE(fuse_uring_ent_in_out, 32);

struct fuse_uring_req_header { /* an entry's header area in the daemon's memory */
	uint8_t in_out[FUSE_URING_IN_OUT_HEADER_SZ]; /* fuse_in_header, then fuse_out_header */
	uint8_t op_in[FUSE_URING_OP_IN_OUT_SZ];	     /* the request's first argument */
	struct fuse_uring_ent_in_out ring_ent_in_out;
};
FUSE_WIRE_SIZE(fuse_uring_req_header, 288);

/* --- CUSE: character devices, on /dev/cuse -------------------------------------------------- */

#define CUSE_UNRESTRICTED_IOCTL (1u << 0) /* cuse_init_in.flags, cuse_init_out.flags */
#define CUSE_INIT_INFO_MAX	4096	  /* bytes of "KEY=value" strings behind cuse_init_out */
#define FUSE_IOCTL_MAX_IOV	256	  /* ranges that a daemon may ask for in one RETRY */

struct cuse_init_in {
	uint32_t major;
	uint32_t minor;
	uint32_t unused;
	uint32_t flags;
};
FUSE_WIRE_SIZE(cuse_init_in, 16);

struct cuse_init_out {
	uint32_t major;
	uint32_t minor;
	uint32_t unused;
	uint32_t flags;
	uint32_t max_read;
	uint32_t max_write;
	uint32_t dev_major; /* 0: any free one */
	uint32_t dev_minor;
	uint32_t spare[10];
};
FUSE_WIRE_SIZE(cuse_init_out, 72);

/* dev_t on the wire is 32 bits: major in bits 8-19, minor in 0-7 and 20-31 (new_encode_dev). */
static inline uint32_t fuse_encode_dev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}
static inline uint32_t fuse_dev_major(uint32_t rdev)
{
	return (rdev & 0xfff00) >> 8;
}
static inline uint32_t fuse_dev_minor(uint32_t rdev)
{
	return (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
}

#endif

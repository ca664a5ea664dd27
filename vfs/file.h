/*
 * An open file description. Holders: descriptor table slots, messages in flight (SCM_RIGHTS),
 * epoll does not count, calls in progress.
 */
#ifndef FB_VFS_FILE_H
#define FB_VFS_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/mount.h"
#include "vfs/ops.h"

enum {
	FMODE_READ = 1,
	FMODE_WRITE = 2,
	FMODE_PATH = 4,	   /* O_PATH: names a place, cannot be used for I/O */
	FMODE_EXEC = 8,	   /* opened for execve */
	FMODE_OPENED = 16, /* op->open succeeded: release is due */
	FMODE_WRITER = 32, /* holds a write access count of the inode */
	FMODE_STREAM = 64, /* no position (FOPEN_STREAM, pipes) */
	FMODE_NOSEEK = 128, /* FOPEN_NONSEEKABLE: -ESPIPE for lseek, pread, pwrite */
	FMODE_DENYWRITE = 256, /* a running program: the last put does inode_allow_write_access() */
	FMODE_KERNEL = 512,    /* by dentry_open() */
};

struct file {
	struct ref ref;
	struct path path;	  /* counted; constant */
	struct inode *inode;	  /* path.dentry's when opened; counted; constant */
	const struct file_ops *op; /* constant after open */
	atomic_uint flags;	  /* O_* as F_GETFL shows them */
	unsigned fmode;		  /* FMODE_*; constant after open */
	const struct cred *cred;  /* of the opener; counted */
	struct sleep_mutex pos_lock;
	int64_t pos;	     /* guarded by pos_lock */
	struct fb_mutex lock; /* RANK_FILE: guards owner and signo */
	pid_t owner;	     /* F_SETOWN: pid > 0, group < 0 */
	int signo;	     /* F_SETSIG */
	void *private;	     /* of op */
	struct list_node epoll_items; /* epoll registrations; guarded by file/epoll.c */
};

/* An empty description with count 1 for `path` (adds references); op = inode->fop. */
int file_new(const struct op_ctx *ctx, const struct path *path, unsigned flags,
	     struct file **ret_file);
/*
 * The common end of every open (cf. do_dentry_open()): takes op from the inode, counts the writer,
 * calls op->open, drops the flags that only open(2) itself looks at. On an error the file is as
 * before and only fit for file_put(). 0 or -ENXIO (nothing to open: sockets), -ETXTBSY, op->open's.
 */
int file_do_open(const struct op_ctx *ctx, struct file *file);
/*
 * A description without a name in any tree: pipe ends, sockets, eventfds. `name` appears in
 * /proc/PID/fd as "anon_inode:[name]"; with "%lu" in it that is replaced by the inode number and
 * nothing is added ("pipe:[%lu]"); a name that starts with '/' is shown as it is ("/memfd:x
 * (deleted)"). mode is the file type for fstat (S_IFIFO | 0600) and chooses the file system that
 * fstatfs shows: pipefs, sockfs, for a '/' tmpfs, else anon_inodefs. private is taken on success.
 */
int file_new_anon(const struct op_ctx *ctx, const char *name, uint32_t mode,
		  const struct file_ops *op, void *private, unsigned flags,
		  struct file **ret_file);
struct file *file_get(struct file *file);
void file_put(struct file *file); /* the last one calls op->release; may sleep */

static inline bool file_nonblock(const struct file *file)
{
	return (atomic_load_explicit(&((struct file *)(unsigned long)file)->flags,
				     memory_order_relaxed) &
		04000) != 0; /* O_NONBLOCK */
}

/* For inode_ops.atomic_open and tmpfile: complete `file` with the dentry that was made. */
int file_finish_open(const struct op_ctx *ctx, struct file *file, struct dentry *dentry);

/* Generic I/O, checks done: access mode, position rules, RLIMIT_FSIZE, directory. */
ssize_t vfs_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to);
ssize_t vfs_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from);
/* pread/pwrite and the v2 forms; offset -1: current position (a plain pread refuses it itself). */
ssize_t vfs_pread(const struct op_ctx *ctx, struct file *file, struct io_iter *to, int64_t pos,
		  int rwf);
/*
 * What readv(2), writev(2) and their kin look at before their vector; with nothing in it that is all
 * they do, and the file's method is not called. need is FMODE_READ or FMODE_WRITE, pos -1 the current
 * position. 0, -EBADF, -ESPIPE, -EINVAL.
 */
int vfs_check_vectored(const struct file *file, unsigned need, int64_t pos);
/* A pread for splice(2) and its kin. */
ssize_t vfs_splice_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			int64_t pos);
ssize_t vfs_pwrite(const struct op_ctx *ctx, struct file *file, struct io_iter *from, int64_t pos,
		   int rwf);
/* Into our own memory, for exec, loaders and tests. */
ssize_t kernel_read(const struct op_ctx *ctx, struct file *file, void *buf, size_t len,
		    int64_t pos);
ssize_t kernel_write(const struct op_ctx *ctx, struct file *file, const void *buf, size_t len,
		     int64_t pos);
int64_t vfs_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence);
/* Succeeds: what lives in memory is as stable as it gets (cf. noop_fsync()). */
int noop_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
	       bool datasync);
/* Succeeds and moves nothing: event descriptors. */
int64_t noop_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence);
/* SEEK_SET/CUR/END over inode->size; DATA/HOLE treat the file as all data. */
int64_t generic_file_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset,
			    int whence);
int vfs_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
	      bool datasync);
/* posix_fadvise(2) and readahead(2): any offset, len 0 to the end. 0, -ESPIPE, -EINVAL, -EINTR. */
int vfs_fadvise(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t len,
		int advice);
int vfs_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
		  int64_t len);
ssize_t vfs_copy_file_range(const struct op_ctx *ctx, struct file *in, int64_t *pos_in,
			    struct file *out, int64_t *pos_out, size_t len, unsigned flags);
/* sendfile, splice, tee: moves through a buffer of the sentry. NULL positions use the files'. */
ssize_t vfs_splice(const struct op_ctx *ctx, struct file *in, int64_t *pos_in, struct file *out,
		   int64_t *pos_out, size_t len, unsigned flags);

#endif

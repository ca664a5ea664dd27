/*
 * Advisory locks: POSIX (owner: descriptor table), OFD (owner: file), flock(2). fcntl_locking(2),
 * flock(2). Deadlock detection for POSIX locks as in posix_locks_deadlock() of fs/locks.c.
 */
#ifndef FB_VFS_LOCK_H
#define FB_VFS_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct file;
struct inode;
struct op_ctx;
struct strbuf;

struct flock_request {
	short type; /* F_RDLCK, F_WRLCK, F_UNLCK; F_GETLK writes it */
	int64_t start, end; /* inclusive; end INT64_MAX = to the end */
	pid_t pid;	    /* F_GETLK result: owner, -1 for OFD */
	bool ofd;
};

/* cmd F_GETLK, F_SETLK, F_SETLKW. -EAGAIN, -EDEADLK, -ERESTARTSYS, -EBADF (wrong mode). */
int vfs_lock_file(const struct op_ctx *ctx, struct file *file, int cmd,
		  struct flock_request *req);
int vfs_flock(const struct op_ctx *ctx, struct file *file, int operation);
/* The local implementations, for file systems that add to them. */
int posix_lock_local(const struct op_ctx *ctx, struct file *file, int cmd,
		     struct flock_request *req);
int flock_local(const struct op_ctx *ctx, struct file *file, int operation);
/* close(2) of any descriptor drops the table's POSIX locks on the inode. */
void locks_remove_posix(const struct op_ctx *ctx, struct file *file);
/* Last close of the description drops its flock and OFD locks. */
void locks_remove_file(struct file *file);
void locks_free_inode(struct inode *inode);
/* /proc/locks */
void locks_show(struct strbuf *out);

#endif

/*
 * What a file system or a kind of file provides. Linux's tables under Linux's names; every method
 * gets the caller's op_ctx first. A NULL member means the default in its comment.
 *
 * Locks: "dir write" = the sleeping lock of the directory inode held for writing by the VFS,
 * "read" = for reading, "none" = nothing. No ranked mutex is ever held on entry, so every method
 * may sleep unless it says otherwise.
 */
#ifndef FB_VFS_OPS_H
#define FB_VFS_OPS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfs/acl.h"

struct dentry;
struct fileattr;
struct dir_context;
struct file;
struct flock_request;
struct fs_context;
struct fs_parameter;
struct iattr;
struct inode;
struct io_iter;
struct kstat;
struct kstatfs;
struct mount;
struct op_ctx;
struct path;
struct poll_table;
struct strbuf;
struct superblock;
struct uring_cmd;
struct vfs_handle;

struct superblock_ops {
	/* The last reference is gone: free the file system's inode (it embeds struct inode). none */
	void (*free_inode)(struct inode *inode);
	/* The inode leaves the cache: drop data, tell the backing store (FORGET). none, may sleep */
	void (*evict_inode)(struct inode *inode);
	/* True = do not keep the inode once unused. Default: nlink == 0 or not hashed. */
	bool (*drop_inode)(struct inode *inode);
	int (*statfs)(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs);
	int (*sync_fs)(const struct op_ctx *ctx, struct superblock *sb);
	/*
	 * File handles, see handle.h; the type without flags. parent: to be in it, too, or NULL.
	 * only_id: it will not be opened. NULL: -EOPNOTSUPP, but for only_id. none, may sleep
	 */
	int (*encode_fh)(struct inode *inode, struct inode *parent, bool only_id,
			 struct vfs_handle *handle);
	/* What is in it, with a reference. NULL or an error: -ESTALE. none, may sleep */
	int (*fh_to_inode)(const struct op_ctx *ctx, struct superblock *sb,
			   const struct vfs_handle *handle, struct inode **ret_inode);
	int (*fh_to_parent)(const struct op_ctx *ctx, struct superblock *sb,
			    const struct vfs_handle *handle, struct inode **ret_inode);
	/* The directory that this one is in. none, may sleep */
	int (*get_parent)(const struct op_ctx *ctx, struct inode *dir, struct inode **ret_parent);
	/*
	 * A name that `child` has in `dir`, or -ENOENT. NULL: the listing says it. Who has the method
	 * knows the parents of files, too, and a handle leads to a place in the tree. none
	 */
	int (*get_name)(struct inode *dir, struct inode *child, char name[NAME_MAX + 1]);
	/* umount2(MNT_FORCE): abort what is under way. */
	void (*umount_begin)(struct superblock *sb);
	/* No namespace has a mount of it any more; it may still be in use (umount -l). */
	void (*unmounted)(struct superblock *sb);
	/* The last mount is gone; dentries and inodes are evicted already. Free sb->fs_info. */
	void (*put_super)(struct superblock *sb);
	/* Appends ",name=value" options for /proc/mounts. */
	void (*show_options)(struct superblock *sb, struct strbuf *out);
};

struct inode_ops {
	/*
	 * Find dentry->name in dir. Success: d_add(dentry, inode or NULL) was called, or
	 * *ret_alias is another dentry to use instead (returns a reference). dir read.
	 */
	int (*lookup)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      unsigned flags, struct dentry **ret_alias);
	/*
	 * open(O_CREAT) in one step. The dentry is negative or not looked up yet. On success
	 * file_finish_open() was called, or -ENOTATOMIC asks for lookup + create + open, or
	 * *ret_created tells which. dir write. NULL: always lookup + create + open.
	 */
	int (*atomic_open)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			   struct file *file, uint32_t mode, bool *ret_created);
	/* All of these: dentry negative; on success d_instantiate() was called. dir write */
	int (*create)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      uint32_t mode, bool excl);
	int (*mkdir)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode);
	int (*mknod)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode, dev_t rdev);
	int (*symlink)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       const char *target);
	int (*link)(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		    struct dentry *dentry);
	/* dir write, victim write. On success the VFS drops the dentry. */
	int (*unlink)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry);
	int (*rmdir)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry);
	/* Both dirs write, rename lock held; flags RENAME_*; the VFS moves the dentries. */
	int (*rename)(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
		      struct inode *new_dir, struct dentry *new_dentry, unsigned flags);
	/* O_TMPFILE. dir write. NULL: -EOPNOTSUPP */
	int (*tmpfile)(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       struct file *file, uint32_t mode);
	/*
	 * Target of a symlink into *ret_target: malloc'ed, owned by the caller. none. For a magic
	 * link (/proc/PID/exe) *ret_path gets the object itself (returns references) and
	 * *ret_target stays NULL; readlink(2) then shows d_path of it unless `readlink` is set.
	 */
	int (*get_link)(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
			char **ret_target, struct path *ret_path);
	/* readlink(2) of a magic link. NULL: get_link */
	int (*readlink)(const struct op_ctx *ctx, struct dentry *dentry, char **ret_target);
	/* mask MAY_*. NULL: generic_permission(). none */
	int (*permission)(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
	/* inode write. NULL: setattr_prepare + setattr_copy */
	int (*setattr)(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr);
	/* mask STATX_*, flags AT_STATX_*. NULL: generic_fillattr. none */
	int (*getattr)(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		       uint32_t mask, unsigned flags);
	/*
	 * Extended attributes, full names. size 0 asks for the length. Return bytes or -errno.
	 * get/list: none. set/remove: inode write. NULL: -EOPNOTSUPP
	 */
	ssize_t (*getxattr)(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
			    void *value, size_t size);
	int (*setxattr)(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
			const void *value, size_t size, int flags);
	ssize_t (*listxattr)(const struct op_ctx *ctx, struct dentry *dentry, char *list,
			     size_t size);
	int (*removexattr)(const struct op_ctx *ctx, struct dentry *dentry, const char *name);
	/*
	 * POSIX ACLs, of file systems with SB_POSIXACL: the attributes system.posix_acl_* never get
	 * to the methods above. *ret_acl: a reference, or NULL. to_judge: for a permission check or
	 * for inheritance, not for a guest who wants to see it. none. NULL: -EOPNOTSUPP
	 */
	int (*get_acl)(const struct op_ctx *ctx, struct inode *inode, enum acl_type type,
		       bool to_judge, struct acl **ret_acl);
	/* acl is valid and borrowed; NULL removes. The mode is to follow it. inode write */
	int (*set_acl)(const struct op_ctx *ctx, struct dentry *dentry, enum acl_type type,
		       struct acl *acl);
	/*
	 * FS_IOC_GETFLAGS and friends, see fileattr.h: fa->by_flags says which form is asked or
	 * given; get answers by fileattr_fill_*(). set: inode write. NULL: -EOPNOTSUPP
	 */
	int (*fileattr_get)(const struct op_ctx *ctx, struct dentry *dentry, struct fileattr *fa);
	int (*fileattr_set)(const struct op_ctx *ctx, struct dentry *dentry,
			    const struct fileattr *fa);
};

struct dentry_ops {
	/*
	 * Is this cached entry still right? 1 yes, 0 no (dropped, looked up afresh), -errno.
	 * flags LOOKUP_*. dir lock: none (may be held read). NULL: always valid.
	 */
	int (*revalidate)(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			  unsigned flags);
	/* True = do not keep the unused dentry. Must not sleep. NULL: keep. */
	bool (*delete)(const struct dentry *dentry);
	/*
	 * True = its time is over. Asked by dcache_expire_sb(), and if it said so then, again at the
	 * last put. Must not sleep. NULL: never.
	 */
	bool (*expired)(const struct dentry *dentry);
	/* The dentry is freed: drop dentry->fs_data. Must not sleep. */
	void (*release)(struct dentry *dentry);
	/* The name shown for a dentry without parent: "pipe:[4026531]". malloc'ed. */
	char *(*dname)(struct dentry *dentry);
};

/* A file mapped by a guest; see file_ops.mmap. */
struct mmap_request {
	int64_t offset; /* page aligned */
	uint64_t length;
	int prot;  /* PROT_* */
	int flags; /* MAP_* as the guest gave them */
};

struct file_ops {
	/*
	 * Called by open(2) once file->inode, flags and path are set; may replace file->op and set
	 * file->private. NULL: nothing to do.
	 */
	int (*open)(const struct op_ctx *ctx, struct inode *inode, struct file *file);
	/*
	 * Transfer at *pos (NULL for files without a position) and advance it. rwf: RWF_*.
	 * Return bytes (0 = end of file), -EAGAIN with O_NONBLOCK or RWF_NOWAIT, -errno.
	 * NULL: -EINVAL. For seekable files the VFS holds the position lock when pos is the
	 * file's own.
	 */
	ssize_t (*read_iter)(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			     int64_t *pos, int rwf);
	/* The same for sendfile, splice and copies between files, where there is a pos. NULL: read_iter */
	ssize_t (*splice_read)(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			       int64_t *pos, int rwf);
	/* O_APPEND is the file system's duty (under its own lock). */
	ssize_t (*write_iter)(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			      int64_t *pos, int rwf);
	/* getdents: emit from dc->pos on; see readdir.h. inode read; position lock held */
	int (*iterate)(const struct op_ctx *ctx, struct file *file, struct dir_context *dc);
	/* NULL: -ESPIPE. generic_file_llseek() is the usual one. */
	int64_t (*llseek)(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence);
	/*
	 * Readiness as POLL* bits. With table != NULL first poll_wait() on every queue that can
	 * change it. May send a request (FUSE) but should not block for other reasons.
	 * NULL: always POLLIN|POLLOUT|POLLRDNORM|POLLWRNORM.
	 */
	unsigned (*poll)(const struct op_ctx *ctx, struct file *file, struct poll_table *table);
	/* arg is a number or a guest address; move bytes with ioctl_copy_*() of vfs/ioctl.h. */
	long (*ioctl)(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);
	/*
	 * IORING_OP_URING_CMD: the result for cqe->res, or -EIOCBQUEUED when the command is kept;
	 * issue_flags URING_ISSUE_*, see uring_cmd.h. NULL: -EOPNOTSUPP.
	 */
	int (*uring_cmd)(const struct op_ctx *ctx, struct uring_cmd *cmd, unsigned issue_flags);
	/*
	 * A host descriptor whose pages are the file's: *ret_hostfd (the caller closes it) maps at
	 * the same offset. It must be open read-only unless the guest's file is open for writing,
	 * so that the host refuses what we would. NULL: -ENODEV.
	 */
	int (*mmap)(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		    int *ret_hostfd);
	/* Where the offset of a mapping lies in that host file. NULL: at the same offset. */
	int64_t (*mmap_offset)(struct file *file, int64_t offset);
	/* Each close(2) of a descriptor. Its error is close's result. */
	int (*flush)(const struct op_ctx *ctx, struct file *file);
	/* The last reference is gone. May sleep; ctx may be that of no task (all members NULL). */
	void (*release)(const struct op_ctx *ctx, struct file *file);
	/* NULL: -EINVAL */
	int (*fsync)(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
		     bool datasync);
	/* sync_file_range(2): the data of [start, end) is written. NULL: as fsync, of the data */
	int (*write_range)(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end);
	/* Both >= 0, their sum may be too large; len 0: to the end; advice POSIX_FADV_*. NULL: ignored */
	int (*fadvise)(const struct op_ctx *ctx, struct file *file, int64_t offset, int64_t len,
		       int advice);
	/* NULL: -EOPNOTSUPP */
	int (*fallocate)(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			 int64_t len);
	/* NULL, -EXDEV or -EOPNOTSUPP: the VFS copies through a buffer. */
	ssize_t (*copy_file_range)(const struct op_ctx *ctx, struct file *in, int64_t pos_in,
				   struct file *out, int64_t pos_out, size_t len, unsigned flags);
	/* fcntl locks and flock(2); NULL: kept locally by vfs/lock.c. */
	int (*lock)(const struct op_ctx *ctx, struct file *file, int cmd, struct flock_request *req);
	int (*flock)(const struct op_ctx *ctx, struct file *file, int operation);
	/* fcntl(F_SETFL) wants O_ASYNC on or off; NULL: -EINVAL for O_ASYNC. */
	int (*fasync)(const struct op_ctx *ctx, struct file *file, bool on);
	/* Extra lines of /proc/PID/fdinfo/N. */
	void (*show_fdinfo)(struct file *file, struct strbuf *out);
	/* O_* flags that F_SETFL may change on it; 0 = O_APPEND|O_NONBLOCK|O_DIRECT|O_NOATIME */
	unsigned setfl_mask;
	/* splice from a pipe brings one message: all of its length must be there, else -EINVAL. */
	bool splice_whole;
	/*
	 * Its methods never wait for another task, but for read_iter and write_iter, which wait with
	 * neither O_NONBLOCK nor RWF_NOWAIT, until poll says so. io_uring then needs no fiber for it.
	 */
	bool nowait;
	/* What is read from it is work for the reader, a server (a FUSE daemon's device). */
	bool brings_work;
	bool no_position; /* stream: pread/pwrite/lseek give -ESPIPE, read passes pos = NULL */
	bool any_position; /* with no_position: pread and pwrite are allowed, and are read and write */
};

#endif

/*
 * Path walk (path_resolution(7), openat2(2)). `base` is where a relative path starts: the file
 * behind dirfd, or NULL for the caller's working directory.
 */
#ifndef FB_VFS_NAMEI_H
#define FB_VFS_NAMEI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfs/dentry.h"
#include "vfs/mount.h"

struct file;
struct op_ctx;

enum {
	LOOKUP_FOLLOW = 1 << 0,	   /* follow a symlink in the last component */
	LOOKUP_DIRECTORY = 1 << 1, /* the result must be a directory */
	LOOKUP_EMPTY = 1 << 2,	   /* "" names base itself (AT_EMPTY_PATH) */
	LOOKUP_NO_AUTOMOUNT = 1 << 3,
	/* openat2(2) RESOLVE_* */
	LOOKUP_NO_SYMLINKS = 1 << 4,
	LOOKUP_NO_MAGICLINKS = 1 << 5,
	LOOKUP_NO_XDEV = 1 << 6,
	LOOKUP_BENEATH = 1 << 7,
	LOOKUP_IN_ROOT = 1 << 8,
	LOOKUP_CACHED = 1 << 9,
	/* told to the file system */
	LOOKUP_CREATE = 1 << 10,
	LOOKUP_EXCL = 1 << 11,
	LOOKUP_RENAME_TARGET = 1 << 12,
	LOOKUP_REVAL = 1 << 13, /* ESTALE retry: trust no cached entry */
	LOOKUP_OPEN = 1 << 14,
	LOOKUP_PARENT = 1 << 15,
};

#define MAXSYMLINKS 40

/* The place a path names; returns references. -ENOENT for a negative result. */
int path_lookup(const struct op_ctx *ctx, const struct path *base, const char *name,
		unsigned flags, struct path *ret_path);

enum last_type { LAST_NORM, LAST_ROOT, LAST_DOT, LAST_DOTDOT };
/*
 * The directory of the last component, and that component (points into `name`; trailing slashes
 * are told by *ret_slashes). Returns references.
 */
int path_parent(const struct op_ctx *ctx, const struct path *base, const char *name,
		unsigned flags, struct path *ret_dir, struct qstr *ret_last,
		enum last_type *ret_type, bool *ret_slashes);

/* struct open_how of openat2(2), plus what execve needs. */
struct open_args {
	uint64_t flags; /* O_* */
	uint32_t mode;
	unsigned resolve; /* LOOKUP_NO_* ..., LOOKUP_EMPTY (execveat) */
	bool exec;	  /* for execve: FMODE_EXEC, MAY_EXEC, regular file or -EACCES */
};
/* All of open(2) but the descriptor; returns a reference. */
int vfs_open(const struct op_ctx *ctx, const struct path *base, const char *name,
	     const struct open_args *args, struct file **ret_file);
/*
 * For the kernel itself: no permission is asked for, and the file system gets the flags as they are,
 * without O_LARGEFILE. No O_CREAT, no O_TRUNC.
 */
int dentry_open(const struct op_ctx *ctx, const struct path *path, unsigned flags,
		struct file **ret_file);
/* Opens what is already found (open_by_handle, /proc/PID/fd). */
int vfs_open_path(const struct op_ctx *ctx, const struct path *path, unsigned flags,
		  struct file **ret_file);

/* Directory changes; `base` as above. Modes with umask not applied yet. */
int vfs_mkdir(const struct op_ctx *ctx, const struct path *base, const char *name, uint32_t mode);
int vfs_mknod(const struct op_ctx *ctx, const struct path *base, const char *name, uint32_t mode,
	      dev_t rdev);
int vfs_symlink(const struct op_ctx *ctx, const struct path *base, const char *name,
		const char *target);
int vfs_link(const struct op_ctx *ctx, const struct path *old, const struct path *base,
	     const char *name);
int vfs_unlink(const struct op_ctx *ctx, const struct path *base, const char *name);
int vfs_rmdir(const struct op_ctx *ctx, const struct path *base, const char *name);
int vfs_rename(const struct op_ctx *ctx, const struct path *old_base, const char *old_name,
	       const struct path *new_base, const char *new_name, unsigned flags);
/* Makes a node and hands its place out with references: bind(2) of an AF_UNIX name. */
int vfs_mknod_path(const struct op_ctx *ctx, const struct path *base, const char *name,
		   uint32_t mode, dev_t rdev, struct path *ret_path);
/* Target text of a symlink, malloc'ed. -EINVAL: not a symlink. */
int vfs_readlink(const struct op_ctx *ctx, const struct path *path, char **ret_target);

#endif

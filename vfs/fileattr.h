/* The attributes of chattr(1): FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, file_getattr(2) and their sets. */
#ifndef FB_VFS_FILEATTR_H
#define FB_VFS_FILEATTR_H

#include <stdbool.h>
#include <stdint.h>

struct op_ctx;
struct path;

/* Both forms of the same; what only one of them has is 0 when the other was asked. */
struct fileattr {
	bool by_flags;	 /* the caller speaks of `flags`, else of the rest */
	uint32_t flags;	 /* FS_*_FL */
	uint32_t xflags; /* FS_XFLAG_* */
	uint32_t extsize, nextents, projid, cowextsize;
};

/* For file systems and callers: one form, from which the other follows. */
void fileattr_fill_flags(struct fileattr *fa, uint32_t flags);
void fileattr_fill_xflags(struct fileattr *fa, uint32_t xflags);

/* fa->by_flags is the question. 0, -EOPNOTSUPP, -errno. */
int vfs_fileattr_get(const struct op_ctx *ctx, const struct path *path, struct fileattr *fa);
/* What fa's form cannot say stays as it is. -EPERM unless the owner. Takes the inode's lock. */
int vfs_fileattr_set(const struct op_ctx *ctx, const struct path *path, struct fileattr *fa);

#endif

/* Permission checks with our credentials (path_resolution(7), capabilities(7)). */
#ifndef FB_VFS_PERM_H
#define FB_VFS_PERM_H

#include <stdbool.h>
#include <sys/types.h>

struct inode;
struct op_ctx;
struct path;

enum {
	MAY_EXEC = 1,
	MAY_WRITE = 2,
	MAY_READ = 4,
	MAY_APPEND = 8,
	MAY_ACCESS = 16, /* access(2), faccessat(2) */
	MAY_OPEN = 32,
	MAY_CHDIR = 64,
};

/* The file system's permission method, or the generic rule; 0 or -EACCES, -EROFS, ... */
int inode_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
/* inode_permission plus what the mount says (read-only, noexec). */
int path_permission(const struct op_ctx *ctx, const struct path *path, unsigned mask);
/* Mode bits, then CAP_DAC_OVERRIDE / CAP_DAC_READ_SEARCH (cf. generic_permission()). */
int generic_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask);
/* Owner of the inode, or CAP_FOWNER. */
bool inode_owner_or_capable(const struct op_ctx *ctx, struct inode *inode);
bool ctx_capable(const struct op_ctx *ctx, int cap);

#endif

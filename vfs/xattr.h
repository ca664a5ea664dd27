/* Extended attributes: name space rules of xattr(7), then the file system. */
#ifndef FB_VFS_XATTR_H
#define FB_VFS_XATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct op_ctx;
struct path;

ssize_t vfs_getxattr(const struct op_ctx *ctx, const struct path *path, const char *name,
		     void *value, size_t size);
int vfs_setxattr(const struct op_ctx *ctx, const struct path *path, const char *name,
		 const void *value, size_t size, int flags);
ssize_t vfs_listxattr(const struct op_ctx *ctx, const struct path *path, char *list, size_t size);
int vfs_removexattr(const struct op_ctx *ctx, const struct path *path, const char *name);

/* In-memory attributes for tmpfs and the overlay's upper layer. Not locked: the owner does. */
/* user., trusted. or security.: names that can be kept in memory; others are -EOPNOTSUPP. */
bool xattr_name_in_memory(const char *name);
struct simple_xattrs {
	struct simple_xattr *first;
	size_t total; /* bytes that they cost, see simple_xattr_cost() */
};
#define SIMPLE_XATTRS_MAX 1048576 /* total of one object; more is -ENOSPC */
/* What one attribute adds to total. */
size_t simple_xattr_cost(const char *name, size_t size);
ssize_t simple_xattr_get(struct simple_xattrs *attrs, const char *name, void *value, size_t size);
int simple_xattr_set(struct simple_xattrs *attrs, const char *name, const void *value, size_t size,
		     int flags); /* value NULL: remove */
ssize_t simple_xattr_list(struct simple_xattrs *attrs, char *list, size_t size);
void simple_xattrs_free(struct simple_xattrs *attrs);

#endif

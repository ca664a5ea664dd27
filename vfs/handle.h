/* File handles: name_to_handle_at(2), open_by_handle_at(2). */
#ifndef FB_VFS_HANDLE_H
#define FB_VFS_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mount;
struct op_ctx;
struct path;

#define HANDLE_BYTES_MAX 128 /* MAX_HANDLE_SZ */

/* A superblock's name for an inode that outlives the inode's stay in memory. */
struct vfs_handle {
	uint32_t bytes;
	int32_t type;
	uint32_t words[HANDLE_BYTES_MAX / 4];
};

/*
 * handle->bytes is the caller's room on entry, what is needed on return. only_id: the handle will
 * not be opened (AT_HANDLE_FID), which any file system can do. 0, -EOVERFLOW (no room),
 * -EOPNOTSUPP.
 */
int vfs_name_to_handle(const struct path *path, bool only_id, struct vfs_handle *handle);
/* The inode's place on mnt. 0 with references, -ESTALE, -ENOMEM. */
int vfs_handle_to_path(const struct op_ctx *ctx, struct mount *mnt, const struct vfs_handle *handle,
		       struct path *ret_path);

#endif

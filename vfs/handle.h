/* File handles: name_to_handle_at(2), open_by_handle_at(2). */
#ifndef FB_VFS_HANDLE_H
#define FB_VFS_HANDLE_H

#include <stddef.h>
#include <stdint.h>

struct file;
struct op_ctx;
struct path;

#define HANDLE_BYTES_MAX 128 /* MAX_HANDLE_SZ */

/* Flags in a handle's type; the rest of it is the file system's. */
#define FILEID_IS_CONNECTABLE	0x10000
#define FILEID_IS_DIR		0x20000
#define FILEID_USER_FLAGS_MASK	0xffff0000u
#define FILEID_VALID_USER_FLAGS (FILEID_IS_CONNECTABLE | FILEID_IS_DIR)

/* A superblock's name for an inode that outlives the inode's stay in memory. */
struct vfs_handle {
	uint32_t bytes;
	int32_t type;
	uint32_t words[HANDLE_BYTES_MAX / 4];
};

enum handle_kind {
	HANDLE_OPENABLE,
	HANDLE_ID,	    /* will not be opened (AT_HANDLE_FID): any file system can do it */
	HANDLE_CONNECTABLE, /* leads to a place in the tree (AT_HANDLE_CONNECTABLE) */
};

/*
 * handle->bytes is the caller's room on entry, what is needed on return. 0, -EOVERFLOW (no room),
 * -EOPNOTSUPP.
 */
int vfs_name_to_handle(const struct path *path, enum handle_kind kind, struct vfs_handle *handle);
/*
 * Opens what it leads to, on base's mount; a connectable one only below base. 0 with a reference,
 * -ESTALE, -ENOMEM, or the open's error.
 */
int vfs_open_by_handle(const struct op_ctx *ctx, const struct path *base,
		       const struct vfs_handle *handle, unsigned flags, struct file **ret_file);

#endif

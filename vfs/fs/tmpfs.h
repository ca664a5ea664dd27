/*
 * tmpfs(5): a file system in the sentry's memory. Also the overlay's upper layer, which calls it
 * through inode_ops like anybody else.
 *
 * Differences from Linux: memory that a guest makes a file use through a shared mapping is counted
 * only when the file is next looked at, and a mapping never changes mtime.
 */
#ifndef FB_VFS_FS_TMPFS_H
#define FB_VFS_FS_TMPFS_H

struct filesystem_type;

/* Options: size=, nr_blocks=, nr_inodes=, mode=, uid=, gid=; huge=, mpol= and others: ignored. */
extern struct filesystem_type tmpfs_fs_type;

#endif

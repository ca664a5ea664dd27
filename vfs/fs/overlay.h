/*
 * overlay: a writable file system in memory over a read-only hostfs; the default root.
 *
 * What differs from Linux's overlayfs, on purpose: a lower object and its copy are one inode here,
 * so nothing changes identity at copy-up (st_ino, hard links, open files, cwd); a file that was
 * opened for reading before the copy-up reads the new content; directories of the lower layer can
 * be renamed. A mapping made before the copy-up keeps showing the lower file, as on Linux.
 */
#ifndef FB_VFS_FS_OVERLAY_H
#define FB_VFS_FS_OVERLAY_H

struct op_ctx;
struct superblock;

/*
 * lower  a read-only hostfs whose root is a directory; a reference is added
 * upper  whose statfs says how many bytes may be written in all (a tmpfs); a reference is added.
 *        NULL: half of the host's memory
 * Return 0, -EINVAL (lower is no directory), -ENOMEM. *ret_sb is a reference.
 */
int overlay_mount(const struct op_ctx *ctx, struct superblock *lower, struct superblock *upper,
		  struct superblock **ret_sb);

#endif

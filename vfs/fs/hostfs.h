/*
 * hostfs: a host directory (or a single host file) as a file system. It is opened once and never
 * left: every host access names one component below a descriptor of an inode's parent, is beneath
 * the root by openat2(2) RESOLVE_BENEATH, and never follows a host symlink; symlinks are read and
 * resolved by our own path walk. Guests cannot mount it: only the command line names host paths.
 *
 * An inode is a host object: (device, inode number, birth time). It remembers one name it was last
 * seen under (parent, name) and is found again through it; descriptors are a bounded cache.
 *
 * The second half of this header is what the overlay needs of its read-only lower layer: it works
 * on inodes alone, so that the lower tree costs no dentries.
 */
#ifndef FB_VFS_FS_HOSTFS_H
#define FB_VFS_FS_HOSTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct inode;
struct io_iter;
struct kstatfs;
struct op_ctx;
struct superblock;

/*
 * A new instance whose root is `host_dir`, a directory or a regular file (--bind of one file), as
 * the sentry sees it now; symlinks in this path are followed. Returns a reference.
 *
 * read_only  nothing below is ever changed or opened for writing, access times included where the
 *            host allows it. Names and attributes are trusted for one second. Otherwise both are
 *            asked from the host each time; hostfs_set_cache() changes that.
 * Return     0; -EPERM for a procfs (its files are doors into other processes, ours first);
 *            -EINVAL for a root of another type; the host's error
 *
 * The first writable mount sets the sentry's own umask to 0: guests' umasks are applied by us.
 */
int hostfs_mount(const struct op_ctx *ctx, const char *host_dir, bool read_only,
		 struct superblock **ret_sb);
/* How long names and attributes are trusted; call it before the first use. 0 = not at all. */
void hostfs_set_cache(struct superblock *sb, int64_t cache_ns);
/* Largest number of cached host descriptors (default: a quarter of RLIMIT_NOFILE, <= 4096). */
void hostfs_set_fd_limit(size_t limit);

/* For the overlay. `inode` and `dir` are hostfs inodes; nothing locked; all may sleep. */

/* The object under `name` now, asked from the host; returns a reference. -ENOENT, -ESTALE, ... */
int hostfs_lookup_inode(struct inode *dir, const char *name, size_t len, struct inode **ret_inode);
/* Does `name` exist? 1, 0 or -errno. */
int hostfs_exists(struct inode *dir, const char *name, size_t len);
/*
 * Is `inode` (NULL: nothing) still what `name` names? 1 or 0, -errno; refreshes its attributes.
 */
int hostfs_check_name(struct inode *dir, const char *name, size_t len, struct inode *inode);
/* Attributes are re-read from the host if older than the mount trusts them. 0, -ESTALE, ... */
int hostfs_refresh(struct inode *inode);
int64_t hostfs_cache_ns(const struct superblock *sb);
/* Changes whenever the attributes were read again. */
int64_t hostfs_attr_version(struct inode *inode);
/* Was `inode` last seen as `name` in `dir`? Asks nobody. */
bool hostfs_is_at(struct inode *inode, struct inode *dir, const char *name);
/* Target of a symlink, malloc'ed. */
int hostfs_get_target(struct inode *inode, char **ret_target);
ssize_t hostfs_inode_getxattr(struct inode *inode, const char *name, void *value, size_t size);
ssize_t hostfs_inode_listxattr(struct inode *inode, char *list, size_t size);

/*
 * The shared read-only descriptor of a regular file, kept open until the matching put. Borrowed:
 * for positional reads, mmap and lseek(SEEK_DATA/HOLE); its own position means nothing.
 */
int hostfs_data_get(struct inode *inode, int *ret_hostfd);
void hostfs_data_put(struct inode *inode);
/* Positional read; does not hold up other fibers while the disk works. Bytes or -errno. */
ssize_t hostfs_data_read(struct inode *inode, int hostfd, struct io_iter *to, int64_t pos, int rwf);

/* Calls emit for each entry but "." and ".."; emit's non-zero result ends the walk and is it. */
typedef int (*hostfs_dirent_fn)(void *arg, const char *name, size_t len, uint64_t ino,
				unsigned type);
int hostfs_list(struct inode *dir, hostfs_dirent_fn emit, void *arg);

#endif

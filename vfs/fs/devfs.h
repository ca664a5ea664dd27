/* /dev: a tmpfs with the device nodes and links in it. */
#ifndef FB_VFS_FS_DEVFS_H
#define FB_VFS_FS_DEVFS_H

#include <stdint.h>
#include <sys/types.h>

struct filesystem_type;
struct op_ctx;
struct path;

/*
 * Fills the directory `dev` (the root of a fresh tmpfs mount): one node per registered character
 * device that has a name, the links fd, stdin, stdout, stderr, ptmx, and the empty directories
 * pts, shm, mqueue to mount on. ctx needs CAP_MKNOD of the guest. 0 or -errno.
 */
int devfs_populate(const struct op_ctx *ctx, const struct path *dev);

/*
 * A device that appears or goes while the sandbox runs. `name` may have directories in it. Nothing
 * happens before the first mount, which finds the device in chrdev's table. 0 or -errno (-EEXIST: a
 * guest has something there). Both may sleep; callers hold no lock.
 */
int devfs_node_add(const char *name, uint32_t mode, dev_t rdev);
void devfs_node_remove(const char *name, dev_t rdev);

/*
 * "devtmpfs" for mount(2): a tmpfs that is populated when it is first mounted; all mounts show the
 * same one. tmpfs has to be registered first.
 */
extern struct filesystem_type devfs_type;

#endif

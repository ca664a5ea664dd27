/* /dev/fuse as main.c and a mount see it: registration, and attaching a descriptor. */
#ifndef FB_DEVFUSE_DEV_H
#define FB_DEVFUSE_DEV_H

#include <stdbool.h>

struct file;
struct file_ops;
struct fuse_conn;
struct fuse_dev;

/* Registers the character device 10:229; once, at start-up. 0 or -errno. */
int devfuse_init(void);
/* The device object behind an open /dev/fuse, with a reference; NULL when it is another file. */
struct fuse_dev *fuse_dev_of(struct file *file);
void fuse_dev_put(struct fuse_dev *dev);
/* The connection it is attached to, with a reference, or NULL. */
struct fuse_conn *fuse_dev_conn(struct fuse_dev *dev);
/* The mount is to wait for the answer to INIT. */
bool fuse_dev_sync_init(struct fuse_dev *dev);
/* Attaches; -EINVAL when it is attached already. A descriptor closed meanwhile aborts conn. */
int fuse_dev_attach(struct fuse_dev *dev, struct fuse_conn *conn);
/* The same for a connection without a daemon (keep.h): -EBUSY, -ENOTCONN. */
int fuse_dev_attach_vacant(struct fuse_dev *dev, struct fuse_conn *conn);

/*
 * /dev/cuse: makes `file` the daemon's end of conn, from its open on; it is never mounted and knows
 * none of the ioctls. What is read and written is as for /dev/fuse. 0 or -ENOMEM.
 */
int fuse_channel_open(struct file *file, struct fuse_conn *conn);
extern const struct file_ops fuse_channel_ops; /* all but open */

#endif

/* Character devices: number -> file_ops. devfs makes nodes, every file system may hold some. */
#ifndef FB_VFS_CHRDEV_H
#define FB_VFS_CHRDEV_H

#include <stdint.h>
#include <sys/types.h>

struct file_ops;

#define CHRDEV_NAME_MAX 255

/*
 * name for devfs' node (NULL: no node), copied; mode its permission bits. `op` is constant. A node
 * shows in a mounted devfs only after devfs_node_add(). 0, -EEXIST, -ENOMEM, -ENAMETOOLONG.
 */
int chrdev_register(dev_t dev, const char *name, unsigned mode, const struct file_ops *op);
/* The same under a major that is free (cf. find_dynamic_major()). -EBUSY: none is. */
int chrdev_register_dynamic(unsigned minor, const char *name, unsigned mode,
			    const struct file_ops *op, dev_t *ret_dev);
void chrdev_unregister(dev_t dev);
const struct file_ops *chrdev_find(dev_t dev); /* NULL: -ENXIO */
struct chrdev_info {
	char name[CHRDEV_NAME_MAX + 1];
	unsigned mode;
};
/* Walks the registered ones that have a name; *dev starts at 0. False at the end. */
int chrdev_next(dev_t *dev, struct chrdev_info *ret_info);

/* inode->fop of S_IFCHR: open(2) finds the device by inode->rdev and puts its table in place. */
extern const struct file_ops chrdev_fops;
/* inode->fop of S_IFBLK: there are no block devices, open(2) is -ENXIO. */
extern const struct file_ops blkdev_fops;
/*
 * inode->fop for an inode of that type on any file system (cf. init_special_inode()): device, FIFO;
 * NULL for sockets and everything that is not special.
 */
const struct file_ops *special_fops(uint32_t mode);

#endif

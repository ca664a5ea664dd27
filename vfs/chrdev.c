/* The table of character devices, and what open(2) of a device node does. */
#include "vfs/chrdev.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "vfs/file.h"
#include "vfs/file/pipe.h"
#include "vfs/inode.h"
#include "vfs/ops.h"

struct chrdev {
	struct list_node node; /* sorted by dev */
	dev_t dev;
	char *name; /* owned; NULL: no node */
	unsigned mode;
	const struct file_ops *op;
};

static struct fb_mutex chrdev_lock = FB_MUTEX_INIT(RANK_LEAF); /* guards chrdevs */
static struct list_node chrdevs = LIST_INIT(chrdevs);

/* The first one with a number >= dev. */
static struct chrdev *chrdev_at_least(dev_t dev)
{
	struct chrdev *pos;

	list_for_each(pos, &chrdevs, node)
		if (pos->dev >= dev)
			return pos;
	return NULL;
}

static void chrdev_free(struct chrdev *dev)
{
	if (dev)
		free(dev->name);
	free(dev);
}

static int chrdev_new(const char *name, unsigned mode, const struct file_ops *op,
		      struct chrdev **ret_new)
{
	struct chrdev *new;

	if (name && strlen(name) > CHRDEV_NAME_MAX)
		return -ENAMETOOLONG;
	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = (struct chrdev){ .name = name ? strdup(name) : NULL, .mode = mode, .op = op };
	if (name && !new->name) {
		free(new);
		return -ENOMEM;
	}
	*ret_new = new;
	return 0;
}

/* -EEXIST when there is one. lock held. */
static int chrdev_insert(struct chrdev *new, dev_t dev)
{
	struct chrdev *next = chrdev_at_least(dev);

	if (next && next->dev == dev)
		return -EEXIST;
	new->dev = dev;
	list_add_tail(next ? &next->node : &chrdevs, &new->node);
	return 0;
}

int chrdev_register(dev_t dev, const char *name, unsigned mode, const struct file_ops *op)
{
	struct chrdev *new;
	int err = chrdev_new(name, mode, op, &new);

	if (err)
		return err;
	fb_mutex_lock(&chrdev_lock);
	err = chrdev_insert(new, dev);
	fb_mutex_unlock(&chrdev_lock);
	if (err)
		chrdev_free(new);
	return err;
}

/* lock held. */
static bool major_is_free(unsigned number)
{
	const struct chrdev *next = chrdev_at_least(makedev(number, 0));

	return !next || major(next->dev) != number;
}

int chrdev_register_dynamic(unsigned minor_nr, const char *name, unsigned mode,
			    const struct file_ops *op, dev_t *ret_dev)
{
	/* Documentation/admin-guide/devices.txt: what is given out dynamically, from the top. */
	static const struct {
		unsigned first, last;
	} ranges[] = { { 234, 254 }, { 384, 511 } };
	struct chrdev *new;
	int err = chrdev_new(name, mode, op, &new);

	if (err)
		return err;
	err = -EBUSY;
	fb_mutex_lock(&chrdev_lock);
	for (size_t i = 0; err && i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (unsigned nr = ranges[i].last; err && nr >= ranges[i].first; nr--)
			if (major_is_free(nr))
				err = chrdev_insert(new, makedev(nr, minor_nr));
	if (!err)
		*ret_dev = new->dev;
	fb_mutex_unlock(&chrdev_lock);
	if (err)
		chrdev_free(new);
	return err;
}

void chrdev_unregister(dev_t dev)
{
	struct chrdev *found;

	fb_mutex_lock(&chrdev_lock);
	found = chrdev_at_least(dev);
	if (found && found->dev == dev)
		list_del(&found->node);
	else
		found = NULL;
	fb_mutex_unlock(&chrdev_lock);
	chrdev_free(found);
}

const struct file_ops *chrdev_find(dev_t dev)
{
	const struct file_ops *op = NULL;
	struct chrdev *found;

	fb_mutex_lock(&chrdev_lock);
	found = chrdev_at_least(dev);
	if (found && found->dev == dev)
		op = found->op;
	fb_mutex_unlock(&chrdev_lock);
	return op;
}

int chrdev_next(dev_t *dev, struct chrdev_info *ret_info)
{
	struct chrdev *pos;
	int found = 0;

	fb_mutex_lock(&chrdev_lock);
	list_for_each(pos, &chrdevs, node) {
		if (pos->dev > *dev && pos->name) {
			*dev = pos->dev;
			memcpy(ret_info->name, pos->name, strlen(pos->name) + 1);
			ret_info->mode = pos->mode;
			found = 1;
			break;
		}
	}
	fb_mutex_unlock(&chrdev_lock);
	return found;
}

/* cf. chrdev_open() */
static int chrdev_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	const struct file_ops *op = chrdev_find(inode->rdev);

	if (!op)
		return -ENXIO;
	file->op = op;
	return op->open ? op->open(ctx, inode, file) : 0;
}

static int blkdev_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	(void)ctx;
	(void)inode;
	(void)file;
	return -ENXIO;
}

const struct file_ops *special_fops(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFCHR:
		return &chrdev_fops;
	case S_IFBLK:
		return &blkdev_fops;
	case S_IFIFO:
		return &fifo_ops;
	default:
		return NULL;
	}
}

const struct file_ops chrdev_fops = {
	.open = chrdev_open,
};

const struct file_ops blkdev_fops = {
	.open = blkdev_open,
};

/* The ioctls of /dev/fuse itself: one row each. */
#include "devfuse/backing.h"
#include "devfuse/dev.h"
#include "devfuse/request.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"

/* D55: this descriptor joins the connection of another one. */
static long dev_clone(const struct op_ctx *ctx, struct fuse_dev *dev, uint64_t arg)
{
	struct fuse_dev *old = NULL;
	struct fuse_conn *conn = NULL;
	struct file *file;
	uint32_t oldfd;
	long err;

	if (ioctl_copy_in(ctx, &oldfd, arg, sizeof(oldfd)))
		return -EFAULT;
	file = ctx->files ? fdtable_file(ctx->files, (int)oldfd) : NULL;
	if (!file)
		return -EINVAL;
	old = fuse_dev_of(file);
	file_put(file);
	if (!old)
		return -EINVAL;
	err = fuse_dev_wait_attached(old);
	if (err) {
		fuse_dev_put(old);
		return err;
	}
	conn = fuse_dev_conn(old);
	err = conn ? fuse_dev_attach(dev, conn) : -EPERM;
	fuse_conn_put(conn);
	fuse_dev_put(old);
	return err;
}

/* The connection that a call is about, with a reference; waits as D11 says. */
static int attached_conn(struct fuse_dev *dev, struct fuse_conn **ret_conn)
{
	int err = fuse_dev_wait_attached(dev);

	if (err)
		return err;
	*ret_conn = fuse_dev_conn(dev);
	return *ret_conn ? 0 : -EPERM;
}

/* D56 */
static long dev_backing_open(const struct op_ctx *ctx, struct fuse_dev *dev, uint64_t arg)
{
	struct fuse_backing_map map;
	struct fuse_conn *conn = NULL;
	long ret = attached_conn(dev, &conn);

	if (ret)
		return ret;
	ret = ioctl_copy_in(ctx, &map, arg, sizeof(map)) ? -EFAULT
							  : fuse_backing_open(ctx, conn, &map);
	fuse_conn_put(conn);
	return ret;
}

/* D57 */
static long dev_backing_close(const struct op_ctx *ctx, struct fuse_dev *dev, uint64_t arg)
{
	struct fuse_conn *conn = NULL;
	int32_t id;
	long ret = attached_conn(dev, &conn);

	if (ret)
		return ret;
	ret = ioctl_copy_in(ctx, &id, arg, sizeof(id)) ? -EFAULT
							: fuse_backing_close(ctx, conn, id);
	fuse_conn_put(conn);
	return ret;
}

/* D58 */
static long dev_sync_init(const struct op_ctx *ctx, struct fuse_dev *dev, uint64_t arg)
{
	(void)ctx;
	(void)arg;
	return fuse_dev_set_sync_init(dev);
}

static const struct {
	unsigned cmd;
	long (*fn)(const struct op_ctx *ctx, struct fuse_dev *dev, uint64_t arg);
} dev_ioctls[] = {
	{FUSE_DEV_IOC_CLONE, dev_clone},
	{FUSE_DEV_IOC_BACKING_OPEN, dev_backing_open},
	{FUSE_DEV_IOC_BACKING_CLOSE, dev_backing_close},
	{FUSE_DEV_IOC_SYNC_INIT, dev_sync_init},
};

long fuse_dev_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	for (size_t i = 0; i < sizeof(dev_ioctls) / sizeof(dev_ioctls[0]); i++)
		if (dev_ioctls[i].cmd == cmd)
			return dev_ioctls[i].fn(ctx, file->private, arg);
	return -ENOTTY;
}

/*
 * chattr(1)'s attributes (F62): each is an ioctl on a handle that is opened for it alone.
 */
#include <linux/fs.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"
#include "vfs/fileattr.h"

static int begin(const struct op_ctx *ctx, struct inode *inode, struct fuse_file **ret_ff)
{
	struct fuse_file *ff;
	int err;

	if (!fuse_allowed(ctx, fuse_of(inode)))
		return -EACCES; /* F41 */
	if (!inode_is_reg(inode) && !inode_is_dir(inode))
		return -ENOTTY;
	if (fuse_is_bad(inode))
		return -EIO;
	ff = fuse_file_new(inode, inode_is_dir(inode));
	if (!ff)
		return -ENOMEM;
	err = fuse_send_open(ctx, 0, ff);
	if (err)
		fuse_file_put(ff);
	else
		*ret_ff = ff;
	return err;
}

static int one_ioctl(const struct op_ctx *ctx, struct inode *inode, unsigned cmd, void *data,
		     uint32_t size)
{
	struct fuse_ioctl_in in = {.cmd = cmd};
	struct fuse_ioctl_out out = {0};
	struct fuse_file *ff;
	ssize_t n = begin(ctx, inode, &ff);

	if (n)
		return (int)n;
	in.fh = ff->fh;
	in.flags = ff->is_dir ? FUSE_IOCTL_DIR : 0;
	in.in_size = _IOC_DIR(cmd) & _IOC_WRITE ? size : 0;
	in.out_size = _IOC_DIR(cmd) & _IOC_READ ? size : 0;
	n = fuse_send_ioctl(ctx, ff, &in, data, &out);
	if (n >= 0 && out.result < 0)
		n = out.result == -ENOSYS ? -ENOTTY : out.result;
	else if (n >= 0 && (out.flags & FUSE_IOCTL_RETRY))
		n = -EIO;
	fuse_file_put(ff);
	return n < 0 ? (int)n : 0;
}

int fuse_fileattr_get(const struct op_ctx *ctx, struct dentry *dentry, struct fileattr *fa)
{
	struct fsxattr xfa = {0};
	unsigned flags = 0;
	int err;

	if (fa->by_flags) {
		err = one_ioctl(ctx, dentry->inode, FS_IOC_GETFLAGS, &flags, sizeof(flags));
		if (!err)
			fileattr_fill_flags(fa, flags);
		return err;
	}
	err = one_ioctl(ctx, dentry->inode, FS_IOC_FSGETXATTR, &xfa, sizeof(xfa));
	if (err)
		return err;
	fileattr_fill_xflags(fa, xfa.fsx_xflags);
	fa->extsize = xfa.fsx_extsize;
	fa->nextents = xfa.fsx_nextents;
	fa->projid = xfa.fsx_projid;
	fa->cowextsize = xfa.fsx_cowextsize;
	return 0;
}

int fuse_fileattr_set(const struct op_ctx *ctx, struct dentry *dentry, const struct fileattr *fa)
{
	struct fsxattr xfa = {.fsx_xflags = fa->xflags, .fsx_extsize = fa->extsize};
	unsigned flags = fa->flags; /* the number says long, everybody means int */

	if (fa->by_flags)
		return one_ioctl(ctx, dentry->inode, FS_IOC_SETFLAGS, &flags, sizeof(flags));
	xfa.fsx_nextents = fa->nextents;
	xfa.fsx_projid = fa->projid;
	xfa.fsx_cowextsize = fa->cowextsize;
	return one_ioctl(ctx, dentry->inode, FS_IOC_FSSETXATTR, &xfa, sizeof(xfa));
}

/*
 * ioctl(2): the commands that belong to the VFS (cf. do_vfs_ioctl() in fs/ioctl.c). FIOCLEX and
 * FIONCLEX are not here: they change a descriptor and not a file.
 */
#include "vfs/ioctl.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "sentry/base/err.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fileattr.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#ifndef FIOQSIZE
#define FIOQSIZE 0x5460
#endif

/* ---- access to the argument ---- */

static const struct ioctl_mem_ops *mem_ops;

void ioctl_set_mem_ops(const struct ioctl_mem_ops *ops)
{
	mem_ops = ops;
}

int ioctl_copy_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	return mem_ops ? mem_ops->copy_in(ctx, dst, src_gva, len) : -EFAULT;
}

int ioctl_copy_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	return mem_ops ? mem_ops->copy_out(ctx, dst_gva, src, len) : -EFAULT;
}

static int put_int(const struct op_ctx *ctx, uint64_t arg, int value)
{
	return ioctl_copy_out(ctx, arg, &value, sizeof(value));
}

/* ---- modes of the open file ---- */

static int ioctl_fionbio(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	int on, err = ioctl_copy_in(ctx, &on, arg, sizeof(on));

	if (err)
		return err;
	if (on)
		atomic_fetch_or(&file->flags, O_NONBLOCK);
	else
		atomic_fetch_and(&file->flags, ~(unsigned)O_NONBLOCK);
	return 0;
}

static int ioctl_fioasync(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	int on, err = ioctl_copy_in(ctx, &on, arg, sizeof(on));
	bool was = (atomic_load(&file->flags) & O_ASYNC) != 0;

	if (err || was == (on != 0))
		return err;
	if (!file->op->fasync)
		return -ENOTTY;
	err = file->op->fasync(ctx, file, on != 0);
	if (err)
		return err;
	if (on)
		atomic_fetch_or(&file->flags, O_ASYNC);
	else
		atomic_fetch_and(&file->flags, ~(unsigned)O_ASYNC);
	return 0;
}

/* ---- file attributes (chattr) ---- */

/* -ENOTTY; vfs_ioctl() may have the file asked. */
static int attr_error(int err)
{
	return err == -EOPNOTSUPP ? -ENOTTY : err;
}

static int set_attr(const struct op_ctx *ctx, struct file *file, struct fileattr *fa)
{
	int err = mount_want_write(&file->path);

	return err ? err : attr_error(vfs_fileattr_set(ctx, &file->path, fa));
}

static int ioctl_setflags(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	struct fileattr fa;
	unsigned flags;
	int err = ioctl_copy_in(ctx, &flags, arg, sizeof(flags));

	if (err)
		return err;
	fileattr_fill_flags(&fa, flags);
	return set_attr(ctx, file, &fa);
}

static int ioctl_getflags(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	struct fileattr fa = { .by_flags = true };
	int err = attr_error(vfs_fileattr_get(ctx, &file->path, &fa));

	return err ? err : ioctl_copy_out(ctx, arg, &fa.flags, sizeof(fa.flags));
}

static int ioctl_fsgetxattr(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	struct fileattr fa = { .by_flags = false };
	struct fsxattr out = { 0 };
	int err = attr_error(vfs_fileattr_get(ctx, &file->path, &fa));

	if (err)
		return err;
	out.fsx_xflags = fa.xflags;
	out.fsx_extsize = fa.extsize;
	out.fsx_nextents = fa.nextents;
	out.fsx_projid = fa.projid;
	out.fsx_cowextsize = fa.cowextsize;
	return ioctl_copy_out(ctx, arg, &out, sizeof(out));
}

static int ioctl_fssetxattr(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	struct fileattr fa;
	struct fsxattr in;
	int err = ioctl_copy_in(ctx, &in, arg, sizeof(in));

	if (err)
		return err;
	fileattr_fill_xflags(&fa, in.fsx_xflags);
	fa.extsize = in.fsx_extsize;
	fa.projid = in.fsx_projid;
	fa.cowextsize = in.fsx_cowextsize;
	return set_attr(ctx, file, &fa);
}

/* ---- sizes ---- */

/* Bytes between the position and the end of a regular file. */
static int ioctl_fionread(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	int64_t left = inode_size(file->inode) - __atomic_load_n(&file->pos, __ATOMIC_RELAXED);

	return put_int(ctx, arg, (int)left);
}

/* Bytes that are allocated (cf. inode_get_bytes()). */
static int ioctl_fioqsize(const struct op_ctx *ctx, struct file *file, uint64_t arg)
{
	struct kstat stat;
	int64_t bytes;
	int err;

	if (!inode_is_dir(file->inode) && !inode_is_reg(file->inode) && !inode_is_lnk(file->inode))
		return -ENOTTY;
	err = vfs_getattr(ctx, &file->path, &stat, STATX_BASIC_STATS, 0);
	if (err)
		return err;
	bytes = (int64_t)stat.blocks * 512;
	return ioctl_copy_out(ctx, arg, &bytes, sizeof(bytes));
}

/* ---- the table ---- */

/* -ENOTTY: not a command of the VFS on this file; the file is asked next. */
static int do_vfs_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case FIONBIO:
		return ioctl_fionbio(ctx, file, arg);
	case FIOASYNC:
		return ioctl_fioasync(ctx, file, arg);
	case FIOQSIZE:
		return ioctl_fioqsize(ctx, file, arg);
	case FIGETBSZ:
		/* Internal file systems have none (cf. the anon bdev check of Linux). */
		if (file->inode->sb->blksize == 0)
			return -EINVAL;
		return put_int(ctx, arg, (int)file->inode->sb->blksize);
	case FIONREAD:
		return inode_is_reg(file->inode) ? ioctl_fionread(ctx, file, arg) : -ENOTTY;
	case FS_IOC_GETFLAGS:
		return ioctl_getflags(ctx, file, arg);
	case FS_IOC_SETFLAGS:
		return ioctl_setflags(ctx, file, arg);
	case FS_IOC_FSGETXATTR:
		return ioctl_fsgetxattr(ctx, file, arg);
	case FS_IOC_FSSETXATTR:
		return ioctl_fssetxattr(ctx, file, arg);
	case FICLONE:
	case FICLONERANGE:
	case FIDEDUPERANGE:
		return inode_is_dir(file->inode) ? -EISDIR : -EOPNOTSUPP;
	case FIFREEZE:
	case FITHAW:
		return ctx_capable(ctx, CAP_SYS_ADMIN) ? -EOPNOTSUPP : -EPERM;
	default:
		return -ENOTTY;
	}
}

/* A file system that knows these attributes has been asked, and has none of this file. */
static bool inode_has_answered(const struct file *file, unsigned cmd)
{
	const struct inode_ops *op = file->inode->op;

	return op && op->fileattr_get &&
	       (cmd == FS_IOC_GETFLAGS || cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSGETXATTR ||
		cmd == FS_IOC_FSSETXATTR);
}

long vfs_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	int err;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	err = do_vfs_ioctl(ctx, file, cmd, arg);
	if (err != -ENOTTY || !file->op->ioctl || inode_has_answered(file, cmd))
		return err;
	return file->op->ioctl(ctx, file, cmd, arg);
}

/* GETXATTR, SETXATTR, LISTXATTR, REMOVEXATTR (matrix 6.9). */
#include <string.h>
#include <sys/xattr.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"

#define XATTR_MAX 65536u

/* GETXATTR and LISTXATTR differ in the name alone. */
static ssize_t query(const struct op_ctx *ctx, struct inode *inode, uint32_t opcode,
		     const char *name, void *value, size_t size)
{
	struct fuse_getxattr_in in = {0};
	struct fuse_getxattr_out out = {0};
	struct fuse_args args;
	ssize_t ret;

	if (fuse_is_bad(inode))
		return -EIO;
	if (size > XATTR_MAX)
		size = XATTR_MAX;
	in.size = (uint32_t)size;
	fuse_args_init(&args, opcode, inode);
	fuse_args_in(&args, &in, sizeof(in));
	if (name)
		fuse_args_name(&args, name);
	if (size)
		fuse_args_out(&args, value, size);
	else
		fuse_args_out(&args, &out, sizeof(out));
	args.out_fixed = size == 0;
	ret = fuse_send(ctx, inode, &args);
	if (ret < 0 || size)
		return ret;
	return out.size > XATTR_MAX ? (ssize_t)XATTR_MAX : (ssize_t)out.size; /* F121 */
}

ssize_t fuse_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		      void *value, size_t size)
{
	return fuse_query_xattr(ctx, dentry->inode, name, value, size);
}

ssize_t fuse_query_xattr(const struct op_ctx *ctx, struct inode *inode, const char *name,
			 void *value, size_t size)
{
	return query(ctx, inode, FUSE_GETXATTR, name, value, size);
}

/* F122 */
static bool list_ok(const char *list, size_t len)
{
	while (len > 0) {
		size_t n = strnlen(list, len);

		if (n == 0 || n == len)
			return false;
		list += n + 1;
		len -= n + 1;
	}
	return true;
}

ssize_t fuse_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size)
{
	struct inode *inode = dentry->inode;
	ssize_t ret;

	if (!fuse_allowed(ctx, fuse_of(inode)))
		return -EACCES; /* F41 */
	ret = query(ctx, inode, FUSE_LISTXATTR, NULL, list, size);
	if (ret > 0 && size && !list_ok(list, (size_t)ret))
		return -EIO;
	return ret;
}

/* A failed or interrupted change may still have happened: ctime is asked again. */
static int changed(const struct op_ctx *ctx, struct inode *inode, int err)
{
	if (err == 0)
		fuse_ctime_changed(ctx, inode);
	return err;
}

int fuse_send_setxattr(const struct op_ctx *ctx, struct inode *inode, const char *name,
		       const struct fuse_setxattr_in *in, const void *value)
{
	struct fuse_args args;

	fuse_args_init(&args, FUSE_SETXATTR, inode);
	fuse_args_in(&args, in,
		     fuse_conn_has(fuse_conn_of(inode), FUSE_SETXATTR_EXT)
			     ? sizeof(*in)
			     : FUSE_COMPAT_SETXATTR_IN_SIZE);
	fuse_args_name(&args, name);
	fuse_args_in(&args, value, in->size);
	return changed(ctx, inode, (int)fuse_send(ctx, inode, &args));
}

int fuse_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		  const void *value, size_t size, int flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)size, .flags = (uint32_t)flags};
	struct inode *inode = dentry->inode;

	if (fuse_is_bad(inode))
		return -EIO;
	if (size > XATTR_MAX)
		return -E2BIG;
	if (strncmp(name, "security.", strlen("security.")) == 0)
		atomic_store(&fuse_i(inode)->nosec, false);
	return fuse_send_setxattr(ctx, inode, name, &in, value);
}

int fuse_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name)
{
	struct inode *inode = dentry->inode;
	struct fuse_args args;

	if (fuse_is_bad(inode))
		return -EIO;
	fuse_args_init(&args, FUSE_REMOVEXATTR, inode);
	fuse_args_name(&args, name);
	return changed(ctx, inode, (int)fuse_send(ctx, inode, &args));
}

/* ioctl(2): commands that belong to the VFS, and access to the argument. */
#ifndef FB_VFS_IOCTL_H
#define FB_VFS_IOCTL_H

#include <stddef.h>
#include <stdint.h>

struct file;
struct op_ctx;

/* FIONBIO, FIOCLEX, FIGETBSZ, FS_IOC_*, then the file's own. Result or -errno. */
long vfs_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);

/*
 * Bytes at the argument's address. The backend is set once by the sentry (guest memory); unit
 * tests set their own. 0 or -EFAULT.
 */
struct ioctl_mem_ops {
	int (*copy_in)(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len);
	int (*copy_out)(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len);
};
void ioctl_set_mem_ops(const struct ioctl_mem_ops *ops);
int ioctl_copy_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len);
int ioctl_copy_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len);

#endif

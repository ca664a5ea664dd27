/* eventfd(2): a 64-bit counter to wait for. */
#ifndef FB_VFS_FILE_EVENTFD_H
#define FB_VFS_FILE_EVENTFD_H

#include <stdbool.h>
#include <stdint.h>

struct file;
struct op_ctx;

/* flags: EFD_SEMAPHORE, EFD_NONBLOCK; EFD_CLOEXEC is ignored here; others -EINVAL. */
int eventfd_new(const struct op_ctx *ctx, unsigned initval, unsigned flags, struct file **ret_file);
bool eventfd_is(const struct file *file);
/* Adds without blocking, saturating at the maximum; -EINVAL when it is no eventfd. */
int eventfd_signal(struct file *file, uint64_t n);

#endif

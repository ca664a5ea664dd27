/* Shared by rw.c and splice.c. */
#ifndef FB_VFS_RW_INTERNAL_H
#define FB_VFS_RW_INTERNAL_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct op_ctx;

#define RW_MAX ((size_t)INT_MAX & ~(size_t)4095) /* MAX_RW_COUNT of the kernel */

/*
 * RLIMIT_FSIZE and the file system's largest file for a write at pos: shortens *len, or refuses it
 * when nothing is left: -EFBIG, with SIGXFSZ if it was the limit (cf.
 * generic_write_checks_count()). Regular files only, setrlimit(2).
 */
int write_limit(const struct op_ctx *ctx, struct file *file, int64_t pos, size_t *len);

#endif

/*
 * memfd_create(2) and file seals (fcntl(2), "File sealing"). Bytes live in a struct pagecache, so
 * mappings and read/write see the same pages.
 */
#ifndef FB_VFS_FILE_MEMFD_H
#define FB_VFS_FILE_MEMFD_H

#include <stdbool.h>

struct file;
struct op_ctx;

#define MEMFD_NAME_MAX 249 /* without the NUL; longer is -EINVAL */

/* flags MFD_*; MFD_CLOEXEC is ignored here, MFD_HUGETLB is -EINVAL. */
int memfd_new(const struct op_ctx *ctx, const char *name, unsigned flags, struct file **ret_file);
/* F_GET_SEALS, F_ADD_SEALS: seals or -EINVAL (not a memfd); 0, -EINVAL, -EPERM, -EBUSY. */
int memfd_get_seals(struct file *file);
int memfd_add_seals(struct file *file, unsigned seals);

#endif

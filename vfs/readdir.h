/* getdents: file_ops.iterate hands entries to a dir_context until that is full. */
#ifndef FB_VFS_READDIR_H
#define FB_VFS_READDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct op_ctx;

struct dir_context {
	/* False: no room, the entry is not taken and iterate stops. off: where it starts. */
	bool (*emit)(struct dir_context *dc, const char *name, size_t len, int64_t off,
		     uint64_t ino, unsigned type);
	int64_t pos; /* position of the next entry; iterate advances it after each success */
	size_t room; /* bytes left in the caller's buffer: FUSE's request size */
};

static inline bool dir_emit(struct dir_context *dc, const char *name, size_t len, uint64_t ino,
			    unsigned type)
{
	return dc->emit(dc, name, len, dc->pos, ino, type);
}

/* "." and ".." at positions 0 and 1; false when full. Leaves pos at 2. */
bool dir_emit_dots(struct file *file, struct dir_context *dc);
/* file_ops.llseek of directories whose positions are cookies: no end to seek from. */
int64_t cookie_dir_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence);
/* Checks, locks, iterate, position. 0 or -errno (-ENOTDIR, -ENOENT: removed). */
int vfs_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc);

#endif

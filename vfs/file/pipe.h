/*
 * Pipes and FIFOs (pipe(7), fifo(7)).
 *
 * A struct pipe hangs on inode->pipe of its FIFO inode or of the anonymous inode of pipe(2), and
 * lives as long as a file is open on it. Bytes are copied once on each side, straight between the
 * iterator and one ring buffer that grows on demand and is given back when the pipe runs empty.
 *
 * Differences from Linux: the capacity is counted in bytes and not in page slots, so a pipe takes
 * exactly its capacity however small the writes are; O_ASYNC is refused.
 */
#ifndef FB_VFS_FILE_PIPE_H
#define FB_VFS_FILE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct file;
struct file_ops;
struct op_ctx;

/* For every S_IFIFO inode as inode->fop: open() follows the rules of fifo(7). */
extern const struct file_ops fifo_ops;

/*
 * pipe2(2): ret_files[0] is the reading end. flags: O_NONBLOCK, O_DIRECT (packets); O_CLOEXEC is
 * ignored here, anything else is -EINVAL. Returns references.
 */
int pipe_create(const struct op_ctx *ctx, unsigned flags, struct file *ret_files[2]);
/* Is it an end of a pipe or FIFO? (splice, tee, F_SETPIPE_SZ) */
bool pipe_is(const struct file *file);
/* F_GETPIPE_SZ: bytes, or -EBADF when it is no pipe. */
long pipe_size(struct file *file);
/* Bytes in it now. */
size_t pipe_bytes(struct file *file);
/* F_SETPIPE_SZ: the new capacity (a power of two of pages), -EBADF, -EINVAL, -EPERM, -EBUSY. */
long pipe_set_size(const struct op_ctx *ctx, struct file *file, unsigned long size_bytes);
/* Bytes ever put into a pipe of pipe(2): the place of the next one. 0 for a FIFO. */
uint64_t pipe_place(struct file *file);
/* Replaces the bytes at a place, if none of them has been taken yet. */
void pipe_replace(struct file *file, uint64_t place, const void *buf, size_t len);
/*
 * tee(2): copies what `in` holds to `out` without taking it. flags: SPLICE_F_NONBLOCK (2). Bytes,
 * 0 = no writers and empty, -EAGAIN, -EINVAL (no pipes, or the same one), -EPIPE, -ERESTARTSYS.
 */
ssize_t pipe_tee(const struct op_ctx *ctx, struct file *in, struct file *out, size_t len,
		 unsigned flags);

#endif

/* What requests of io_uring(7) share with system calls, on behalf of any context. */
#ifndef FB_SYSCALLS_URING_H
#define FB_SYSCALLS_URING_H

#include <stdint.h>

struct op_ctx;
struct open_how;

/* Gives the VFS's rings what they need from above. Before the first guest. */
void uring_init(void);

/* In open.c and stat.c: openat2(2) and statx(2) with the name copied already. */
int open_named(const struct op_ctx *ctx, int dirfd, const char *name, const struct open_how *how);
int statx_named(const struct op_ctx *ctx, int dirfd, const char *name, unsigned flags,
		unsigned mask, uint64_t statx_gva);

#endif

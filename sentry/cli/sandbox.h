/* Builds the file system that the first guest sees, as the command line asks for it. */
#ifndef FB_CLI_SANDBOX_H
#define FB_CLI_SANDBOX_H

#include "sentry/cli/config.h"
#include "vfs/ctx.h"

struct cred;
struct fs_struct;

/* Registers every file system type and device of fusebox. 0 or -errno. */
int sandbox_register(void);
/*
 * Root, /proc, /sys, /dev, binds and tmpfs; *ret_fs has its root and working directory set.
 * 0 or -1: a message that names option and cause was printed.
 */
int sandbox_build(const struct run_config *config, struct fs_struct **ret_fs);
/* A context for VFS calls of ours, with all rights of the sandbox's root. `cred` is borrowed. */
void sandbox_ctx(struct fs_struct *fs, const struct cred *cred, struct op_ctx *ret_ctx);

#endif

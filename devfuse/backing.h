/*
 * Backing files: what a daemon has lent to its connection with FUSE_DEV_IOC_BACKING_OPEN, to be
 * used by clients directly (FOPEN_PASSTHROUGH; matrix D56, D57, 6.10).
 */
#ifndef FB_DEVFUSE_BACKING_H
#define FB_DEVFUSE_BACKING_H

#include <stdint.h>

#include "sentry/base/list.h"
#include "sentry/base/refcount.h"

struct cred;
struct file;
struct fuse_backing_map;
struct fuse_conn;
struct op_ctx;

struct fuse_backing {
	struct ref ref;		 /* holders: the connection's list; each open file that uses it */
	struct list_node node;	 /* conn->backings; guarded by conn->lock */
	int32_t id;		 /* constant, as the next two */
	struct file *file;	 /* counted; names the place, I/O goes through files of their own */
	const struct cred *cred; /* counted; of the ioctl's caller: all I/O is on his behalf */
};

/* The ioctls. The new id, 0, or -errno in the order of D56 and D57. */
long fuse_backing_open(const struct op_ctx *ctx, struct fuse_conn *conn,
		       const struct fuse_backing_map *map);
long fuse_backing_close(const struct op_ctx *ctx, struct fuse_conn *conn, int32_t id);

/* With a reference, or NULL. */
struct fuse_backing *fuse_backing_get(struct fuse_conn *conn, int32_t id);
void fuse_backing_put(struct fuse_backing *backing); /* may sleep */
/* The connection is going: drops its list. May sleep. */
void fuse_backing_drop_all(struct fuse_conn *conn);

#endif

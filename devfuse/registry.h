/*
 * All connections of the sandbox, for whoever shows or ends them: fusectl (but for those of CUSE,
 * which have sysfs) and `fusebox ps --fuse`.
 */
#ifndef FB_DEVFUSE_REGISTRY_H
#define FB_DEVFUSE_REGISTRY_H

#include <stdint.h>

struct fuse_conn;

/* Enters it, until the superblock or the CUSE daemon goes; does not count as a reference. */
void fuse_registry_add(struct fuse_conn *conn);
void fuse_registry_remove(struct fuse_conn *conn); /* also legal when not entered */
/* With a reference, or NULL. */
struct fuse_conn *fuse_registry_get(uint32_t id);
/* The one with the lowest id >= `id`, with a reference, or NULL. */
struct fuse_conn *fuse_registry_next(uint32_t id);

#endif

/*
 * CUSE: a character device that a daemon serves through /dev/cuse (matrix section 8). Private to
 * cuse*.c; main.c includes fusefs/cuse_type.h.
 */
#ifndef FB_FUSEFS_CUSE_H
#define FB_FUSEFS_CUSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "devfuse/conn.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"

struct file_ops;
struct fuse_args;
struct op_ctx;

/* One daemon's device. Holders: the open /dev/cuse, each open file of the device. */
struct cuse {
	struct ref ref;
	struct fuse_conn *conn; /* counted; constant */
	uint32_t owner_key[4];	/* scrambles lock owners; constant */
	atomic_ullong next_kh;
	struct fb_mutex poll_lock; /* RANK_FS: guards polled */
	struct list_node polled;   /* cuse_file.poll_node */
	/* Set by the INIT reply, constant while the device is listed: */
	struct list_node node; /* in the list of devices, guarded by its lock; else self-linked */
	int id;		       /* > 0; names the device in sysfs' keys */
	char *name;	       /* owned */
	dev_t rdev;
	uint32_t max_read, max_write; /* bytes */
	bool unrestricted_ioctl;
	atomic_bool power_on; /* as power/control says; no effect */
};

/* A listed device, counted, or NULL. */
struct cuse *cuse_by_rdev(dev_t rdev);
struct cuse *cuse_by_id(int id);
struct cuse *cuse_by_name(const char *name);
/* The lowest id >= *id of a listed device, stored there. 0 or -ENOENT. */
int cuse_next_id(int *id);
void cuse_put(struct cuse *cuse);

/* cuse_file.c: the files of the devices. */
extern const struct file_ops cuse_file_ops;
void cuse_pin(struct fuse_conn *conn, struct fuse_args *args);
void cuse_unpin(struct fuse_conn *conn, struct fuse_args *args);
void cuse_poll_wake(struct cuse *cuse, uint64_t kh, bool all);

/* cuse_ioctl.c */
struct cuse_file;
long cuse_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);

/* An open file of a device. Holders: the struct file, each orphaned request on it. */
struct cuse_file {
	struct ref ref;
	struct cuse *cuse; /* counted; constant */
	uint64_t fh, kh;
	bool opened;		    /* RELEASE is due */
	atomic_uint poll_seq;	    /* counts NOTIFY_POLLs */
	struct waitq poll_wait;
	struct list_node poll_node; /* cuse->polled; self-linked before the first poll */
	struct fuse_release_in release;
	struct fuse_args args; /* of RELEASE, so that closing needs no memory */
};

/* A request on an open file, its nodeid 0; holds the file while the daemon works on it. */
void cuse_args_init(struct fuse_args *args, uint32_t opcode, struct cuse_file *cf);

/* cuse_sysfs.c: /sys/class/cuse and /sys/devices/virtual/cuse. */
int cuse_sysfs_init(void);

#endif

/*
 * What an administrator of the sandbox can set for all connections: the sysctls of
 * /proc/sys/fs/fuse and the module parameters of /sys/module/fuse/parameters (matrix 7.2).
 */
#ifndef FB_DEVFUSE_PARAMS_H
#define FB_DEVFUSE_PARAMS_H

#include <stdatomic.h>
#include <stdbool.h>

struct op_ctx;

struct fuse_params {
	/* Sysctls; looked at when a connection is made or its INIT answered. */
	atomic_ulong max_pages_limit;
	atomic_ulong client_timeout; /* seconds that a client waits, 0 = for ever; command line */
	atomic_bool keep;	     /* new connections outlive their daemons; command line */
	atomic_ulong default_request_timeout, max_request_timeout; /* seconds, 0 = none */
	/* Module parameters: what a daemon without CAP_SYS_ADMIN may ask for. */
	atomic_ulong max_user_bgreq, max_user_congthresh;
	atomic_ulong allow_sys_admin_access; /* bool: CAP_SYS_ADMIN sees what is not shared */
	atomic_ulong enable_uring; /* bool: daemons are offered the ring (U01) */
	atomic_ulong inval_wq; /* seconds between drops of expired names, 0 = none; expire.h */
};
extern struct fuse_params fuse_params;

/* Adds the files to procfs and sysfs; once, at start-up. 0 or -errno. */
int fuse_params_init(void);
/* A number for kstrtoul(): all of `text` but one newline at its end. 0, -EINVAL or -ERANGE. */
int fuse_parse_ulong(const char *text, int base, unsigned long *ret_value);

#endif

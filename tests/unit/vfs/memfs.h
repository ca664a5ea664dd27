/*
 * A file system in memory for VFS tests, with knobs: it counts what the VFS asks of it and can be
 * made slow, stale or forbidding. And the context of a caller.
 */
#ifndef FB_TESTS_MEMFS_H
#define FB_TESTS_MEMFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/perm.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

/* Knobs and counters; all zero in a new world. */
struct memfs {
	atomic_int lookups, revalidates, atomic_opens, evicted, put_supers, releases, begun_umounts, synced;
	atomic_int revalidate_result; /* with the "revalidate" option; starts at 1 */
	atomic_int hold;	      /* lookups of "slow*" wait while it is set */
	atomic_int held;	      /* how many wait */
	atomic_int stale;	      /* that many lookups answer -ESTALE */
	struct fb_mutex lock;
	struct waitq queue;
};
extern struct memfs memfs;

/* A mounted memfs as root of a new namespace, a caller with uid 0, cwd "/". */
struct world {
	struct cred *cred;
	struct mnt_ns *ns;
	struct fs_struct *fs;
	struct op_ctx ctx;
	int signal; /* last signal raised */
};

void world_init(struct world *w);
void world_fini(struct world *w);
/* Another caller in the same place. */
void world_become(struct world *w, uid_t uid, gid_t gid);

/* Short forms; they assert success unless they return an error. */
int t_mkdir(struct world *w, const char *path);
int t_create(struct world *w, const char *path, uint32_t mode); /* an empty file */
int t_open(struct world *w, const char *path, unsigned flags, uint32_t mode,
	   struct file **ret_file);
int t_open_close(struct world *w, const char *path, unsigned flags); /* only the result */
int t_lookup(struct world *w, const char *path, unsigned flags);      /* only the result */
int t_mount(struct world *w, const char *type, const char *where, unsigned long flags,
	    const char *data);
int t_umount(struct world *w, const char *where, int flags);
int t_stat(struct world *w, const char *path, struct kstat *ret_stat);
/* d_path of what `path` names, malloc'ed. */
char *t_path(struct world *w, const char *path);

#endif

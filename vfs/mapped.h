/*
 * Files whose pages guests may change behind our back: mapped shared and writable, with bytes that
 * belong to somebody else (a FUSE daemon) in the end. The file system registers such an inode; here
 * is the clock that has it looked after while the mapping lives, and the ways to find it: by the
 * host file that is mapped (msync), by superblock (umount).
 */
#ifndef FB_VFS_MAPPED_H
#define FB_VFS_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/list.h"

struct inode;
struct op_ctx;
struct superblock;

struct mapped_ops {
	/* Writes back what has been changed. 0 or -errno. May sleep. */
	int (*sync)(const struct op_ctx *ctx, struct inode *inode);
	/* msync(2): fdatasync(2) of a file that is mapped. 0 or -errno. May sleep. */
	int (*msync)(const struct op_ctx *ctx, struct inode *inode);
	/*
	 * If no mapping is left: writes back, and gives up what was held for it, mapped_del()
	 * included. Called now and then. May sleep.
	 */
	void (*reap)(const struct op_ctx *ctx, struct inode *inode);
	/*
	 * A guest has touched a page at `offset` of the file, behind the end of the host file: fills
	 * it. 0: it is there now; -errno: there is none (SIGBUS). May sleep.
	 */
	int (*fault)(const struct op_ctx *ctx, struct inode *inode, int64_t offset);
};

struct mapped {
	struct list_node node; /* guarded by the list's lock, as the last three */
	struct inode *inode;   /* not counted: the file system holds it while registered; constant */
	const struct mapped_ops *op; /* constant */
	uint64_t host_dev, host_ino; /* of the host file that guests map */
	/* A fiber looks after it, and shall write back; when the clock had that done last. */
	bool busy, sync_due;
	int64_t synced_ns;
};

/* Before any file system: how to run what may sleep. Without it there is no clock (unit tests). */
void mapped_set_spawn(void (*spawn)(void (*fn)(void *), void *arg));

void mapped_add(struct mapped *mapped);
void mapped_del(struct mapped *mapped);
/* Which host file guests map; for mapped_sync(). */
void mapped_set_host(struct mapped *mapped, uint64_t host_dev, uint64_t host_ino);
/* False: there are none, and nothing else here need be asked. Racy. */
bool mapped_any(void);
/* msync(2): that of a host file, if it is registered. 0 or -errno. */
int mapped_sync(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino);
/*
 * Whoever catches the faults of guests says so once, at start-up. Only then may a file system give
 * mappings a host file that is shorter than the file.
 */
void mapped_set_can_fault(void);
bool mapped_can_fault(void);
/* Such a fault: of the host file at `offset`. 0, or -EFAULT and others: a SIGBUS like any other. */
int mapped_fault(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino, int64_t offset);
/* umount(2): mappings that are gone already must not keep it busy. */
void mapped_reap(const struct op_ctx *ctx, const struct superblock *sb);
/* execve(2): the same for a writer that keeps a program from being run. */
void mapped_reap_inode(const struct op_ctx *ctx, struct inode *inode);
/* A process has ended: the clock's next look is due at once. */
void mapped_kick(void);

#endif

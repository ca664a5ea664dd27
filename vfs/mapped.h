/*
 * Files that guests have mapped, with bytes that belong to somebody else (a FUSE daemon) in the end:
 * as long as a mapping lives, the file stays open, and its pages may change behind our back. The file
 * system registers such an inode; here is the clock that has it looked after, and the ways to find
 * it: by the host file that is mapped (msync), by superblock (umount). The host says when an open
 * file of the host file was closed, which the end of the last mapping of it does, too.
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
	/* Begins to do so, and does not wait for the data to arrive. May sleep. */
	void (*start)(const struct op_ctx *ctx, struct inode *inode);
	/*
	 * If no mapping is left: writes back, and gives up what was held for it, mapped_del()
	 * included. Called now and then, and when the host has said something. May sleep.
	 */
	void (*reap)(const struct op_ctx *ctx, struct inode *inode);
	/*
	 * A guest has touched a page at `offset` of the file, behind the end of the host file: fills
	 * it. 0: it is there now; -errno: there is none (SIGBUS). May sleep.
	 */
	int (*fault)(const struct op_ctx *ctx, struct inode *inode, int64_t offset);
};

struct mapped {
	struct list_node node; /* guarded by the list's lock, as the last */
	struct inode *inode;   /* not counted: the file system holds it while registered; constant */
	const struct mapped_ops *op; /* constant */
	uint64_t host_dev, host_ino; /* of the host file that guests map */
	/* A fiber looks after it, and shall write back; when the clock had that done last. */
	bool busy, sync_due;
	int64_t synced_ns;
	int event;	/* what the host's events call it; 0: nothing yet */
	unsigned looks; /* that are due since the last event */
};

/* Before any file system: how to run what may sleep. Without it there is no clock (unit tests). */
void mapped_set_spawn(void (*spawn)(void (*fn)(void *), void *arg));

void mapped_add(struct mapped *mapped);
void mapped_del(struct mapped *mapped);
/* Which host file guests map, a descriptor of it, and its numbers for mapped_msync(). */
void mapped_set_host(struct mapped *mapped, int hostfd, uint64_t host_dev, uint64_t host_ino);
/*
 * Whoever can wait for a host descriptor asks for one that gets readable when a mapping may have
 * gone, and then calls mapped_events(). -errno: the clock has to find out.
 */
int mapped_open_events(void);
void mapped_events(void);
/* False: there are none, and nothing else here need be asked. Racy. */
bool mapped_any(void);
/* msync(2): that of a host file, if it is registered. 0 or -errno. */
int mapped_msync(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino);
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
/* syncfs(2): those of sb. */
void mapped_sync_all(const struct op_ctx *ctx, const struct superblock *sb);
/* The same for a writer that keeps a program from being run, and a program that keeps a writer out. */
void mapped_reap_inode(const struct op_ctx *ctx, struct inode *inode);
/* cf. inode_get_write_access(): a program that has ended keeps no writer out. */
int mapped_get_write_access(const struct op_ctx *ctx, struct inode *inode);
/* A process has ended: the clock's next look is due at once, if the host does not say more. */
void mapped_kick(void);

#endif

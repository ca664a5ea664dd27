/*
 * Ranked mutexes. Every non-sleeping lock of the sentry has a rank from the one list below,
 * outermost first; a thread may only take a lock of a higher rank than those it holds. Debug
 * builds (FB_LOCK_CHECK) keep a mask of held ranks per thread and abort on a wrong order.
 * docs/locking.md gives the reasons.
 *
 * None of these is ever held while a fiber parks: waitq_wait() gives up exactly the one mutex it
 * is handed, and asserts that no other is held. Locks that are held while waiting are the
 * sleeping locks of base/wait.h.
 */
#ifndef FB_BASE_LOCK_H
#define FB_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

enum fb_rank {
	RANK_MOUNT,	/* mount tree: mounts, mount points, namespaces */
	RANK_FS,	/* a file system's own tables (fuse node table, overlay, tmpfs directory) */
	RANK_DCACHE,	/* dentry names, children, hash, LRU */
	RANK_ICACHE,	/* a superblock's inode table */
	RANK_ATTR,	/* inode attributes: mode, ids, size, times, nlink */
	RANK_FDTABLE,	/* one descriptor table */
	RANK_FSSTRUCT,	/* cwd, root, umask of a process */
	RANK_FLOCK,	/* POSIX, OFD and flock locks */
	RANK_FILE,	/* one open file: flags, owner; epoll instances' item lists */
	RANK_CONN,	/* a FUSE connection and its queues */
	RANK_TTY,	/* a terminal: line discipline, window, foreground group */
	RANK_SOCK,	/* socket state; two sockets: by address, in one helper */
	RANK_PIPE,	/* pipe, eventfd, timerfd, pidfd state */
	RANK_PAGES,	/* one page cache */
	RANK_TASKS,	/* task and process lists */
	RANK_CALL,	/* the trapped call of one task */
	RANK_LEAF,	/* nothing else is taken under it */
	RANK_WAIT,	/* the one lock of all wait queues */
	RANK_SCHED,	/* run queue, timers */
	RANK_COUNT
};

struct fb_mutex {
	pthread_mutex_t mutex;
	enum fb_rank rank;
};

#define FB_MUTEX_INIT(rank_) { PTHREAD_MUTEX_INITIALIZER, (rank_) }

void fb_mutex_init(struct fb_mutex *mutex, enum fb_rank rank);
void fb_mutex_destroy(struct fb_mutex *mutex);
void fb_mutex_lock(struct fb_mutex *mutex);
void fb_mutex_unlock(struct fb_mutex *mutex);
/*
 * Locks two mutexes of one rank in address order; a == b is locked once. The only legal way to
 * hold two of a rank.
 */
void fb_mutex_lock_pair(struct fb_mutex *a, struct fb_mutex *b);
void fb_mutex_unlock_pair(struct fb_mutex *a, struct fb_mutex *b);
/* Debug builds: the calling thread holds it. Others: nothing. */
void fb_mutex_assert_held(const struct fb_mutex *mutex);
/* Debug builds: the calling thread holds no ranked mutex (said before a park). */
void fb_mutex_assert_none_held(void);

#endif

/* The list of files that are mapped, its clock, and what the host says of them; see mapped.h. */
#include "vfs/mapped.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/inode.h"

/* How late we may notice that a mapping is gone: without the host's events, and with them at worst. */
#define REAP_NS	      200000000LL
#define REAP_LATER_NS 1000000000LL
/*
 * The host's event comes while the open file is being closed, and whether that is over one sees by
 * looking: after 1 ms, 2 ms, 4 ms and so on.
 */
#define LOOKS	8
#define LOOK_NS 1000000LL
#define PATIENCE_NS 1000000000LL /* of umount with a clock that waits for a daemon */
#define SYNC_NS 5000000000LL /* how old a change may get, as dirty_writeback_centisecs */

static void tick(struct fb_timer *timer);

static struct {
	struct fb_mutex lock; /* RANK_FS */
	struct list_node all; /* mapped.node */
	void (*spawn)(void (*fn)(void *), void *arg);
	struct fb_timer timer;
	bool ticking;
	int64_t reap_ns;   /* when all are looked at next */
	struct waitq idle; /* a `busy` went away */
	int events;	   /* inotify(7) descriptor, or -1 */
} list = {.lock = FB_MUTEX_INIT(RANK_FS),
	  .all = LIST_INIT(list.all),
	  .idle = WAITQ_INIT(list.idle),
	  .events = -1};

void mapped_set_spawn(void (*spawn)(void (*fn)(void *), void *arg))
{
	list.spawn = spawn;
	fb_timer_init(&list.timer, tick);
}

static int64_t reap_interval(void)
{
	return list.events < 0 ? REAP_NS : REAP_LATER_NS;
}

/* The next tick comes not later than this. */
static void arm_locked(int64_t at_ns)
{
	list.ticking = list.spawn && !list_empty(&list.all);
	if (list.ticking)
		fb_timer_arm(&list.timer, at_ns < list.reap_ns ? at_ns : list.reap_ns);
}

void mapped_add(struct mapped *mapped)
{
	fb_mutex_lock(&list.lock);
	mapped->synced_ns = clock_monotonic_ns();
	list_add_tail(&list.all, &mapped->node);
	if (!list.ticking) {
		list.reap_ns = mapped->synced_ns + reap_interval();
		arm_locked(list.reap_ns);
	}
	fb_mutex_unlock(&list.lock);
}

void mapped_del(struct mapped *mapped)
{
	fb_mutex_lock(&list.lock);
	list_del(&mapped->node);
	if (mapped->event > 0)
		(void)HOST(inotify_rm_watch(list.events, mapped->event));
	mapped->event = 0;
	mapped->looks = 0;
	fb_mutex_unlock(&list.lock);
}

/* Events name what they are about by a number, which is the same when it is asked for again. */
static int watch(int hostfd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", hostfd);
	return (int)HOST(inotify_add_watch(list.events, path, IN_CLOSE));
}

void mapped_set_host(struct mapped *mapped, int hostfd, uint64_t host_dev, uint64_t host_ino)
{
	fb_mutex_lock(&list.lock);
	mapped->host_dev = host_dev;
	mapped->host_ino = host_ino;
	if (mapped->event <= 0 && list.events >= 0)
		mapped->event = watch(hostfd);
	fb_mutex_unlock(&list.lock);
}

int mapped_open_events(void)
{
	int fd = (int)HOST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));

	if (fd >= 0)
		list.events = fd;
	return fd;
}

static void note_event(int event)
{
	struct mapped *mapped;

	list_for_each (mapped, &list.all, node)
		if (mapped->event == event)
			mapped->looks = LOOKS;
}

void mapped_events(void)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = HOST(read(list.events, buf, sizeof(buf)))) > 0) {
		fb_mutex_lock(&list.lock);
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (void *)(buf + at);

			note_event(event->wd);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
		arm_locked(clock_monotonic_ns());
		fb_mutex_unlock(&list.lock);
	}
}

bool mapped_any(void)
{
	bool any;

	fb_mutex_lock(&list.lock);
	any = !list_empty(&list.all);
	fb_mutex_unlock(&list.lock);
	return any;
}

/* One fiber per file: a daemon that does not answer holds up nobody else's. */
static void look_after(void *arg)
{
	const struct op_ctx ctx = {.fsize_limit = UINT64_MAX};
	struct mapped *mapped = arg;
	struct inode *inode = mapped->inode; /* counted by tick() */

	if (mapped->sync_due)
		(void)mapped->op->sync(&ctx, inode); /* its error is remembered for fsync(2) */
	mapped->op->reap(&ctx, inode);
	fb_mutex_lock(&list.lock);
	mapped->busy = false;
	waitq_wake(&list.idle, 0);
	fb_mutex_unlock(&list.lock);
	inode_put(inode);
}

/* Whether it is to be looked at now; and when at the latest, after an event, once more. */
static bool look_due(struct mapped *mapped, int64_t now, int64_t *next_ns)
{
	bool due = mapped->looks > 0 || now >= list.reap_ns;

	if (mapped->looks > 0) {
		int64_t at = now + (LOOK_NS << (LOOKS - mapped->looks));

		*next_ns = at < *next_ns ? at : *next_ns;
		if (!mapped->busy)
			mapped->looks--;
	}
	return due && !mapped->busy;
}

static void tick(struct fb_timer *timer)
{
	int64_t now = clock_monotonic_ns(), next = INT64_MAX;
	struct mapped *mapped;

	(void)timer;
	fb_mutex_lock(&list.lock);
	list_for_each (mapped, &list.all, node) {
		if (!look_due(mapped, now, &next))
			continue;
		mapped->busy = true;
		mapped->sync_due = now - mapped->synced_ns > SYNC_NS;
		if (mapped->sync_due)
			mapped->synced_ns = now;
		inode_get(mapped->inode);
		list.spawn(look_after, mapped);
	}
	if (now >= list.reap_ns)
		list.reap_ns = now + reap_interval();
	arm_locked(next);
	fb_mutex_unlock(&list.lock);
}

void mapped_kick(void)
{
	fb_mutex_lock(&list.lock);
	if (list.events < 0) {
		list.reap_ns = clock_monotonic_ns();
		arm_locked(list.reap_ns);
	}
	fb_mutex_unlock(&list.lock);
}

/* That of the inode, or of the host file; its inode is counted. NULL: none. */
static struct mapped *find(const struct inode *inode, uint64_t host_dev, uint64_t host_ino)
{
	struct mapped *mapped, *found = NULL;

	fb_mutex_lock(&list.lock);
	list_for_each (mapped, &list.all, node)
		if (inode ? mapped->inode == inode
			  : mapped->host_dev == host_dev && mapped->host_ino == host_ino) {
			inode_get(mapped->inode);
			found = mapped;
			break;
		}
	fb_mutex_unlock(&list.lock);
	return found;
}

int mapped_msync(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino)
{
	struct mapped *mapped = find(NULL, host_dev, host_ino);
	struct inode *inode;
	int err;

	if (!mapped)
		return 0;
	inode = mapped->inode;
	err = mapped->op->msync(ctx, inode);
	inode_put(inode);
	return err;
}

static bool can_fault; /* constant after start-up */

void mapped_set_can_fault(void)
{
	can_fault = true;
}

bool mapped_can_fault(void)
{
	return can_fault;
}

int mapped_fault(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino, int64_t offset)
{
	struct mapped *mapped = find(NULL, host_dev, host_ino);
	struct inode *inode;
	int err;

	if (!mapped)
		return -EFAULT;
	inode = mapped->inode;
	err = mapped->op->fault(ctx, inode, offset);
	inode_put(inode);
	return err;
}

/* Also what the clock has begun is over then, unless it takes too long. */
static void reap_one(const struct op_ctx *ctx, struct mapped *mapped)
{
	int64_t deadline = clock_monotonic_ns() + PATIENCE_NS;
	int err = 0;

	mapped->op->reap(ctx, mapped->inode);
	fb_mutex_lock(&list.lock);
	while (mapped->busy && !err)
		err = waitq_wait(&list.idle, 0, &list.lock, WAIT_KILLABLE, deadline);
	fb_mutex_unlock(&list.lock);
}

void mapped_reap_inode(const struct op_ctx *ctx, struct inode *inode)
{
	struct mapped *mapped = find(inode, 0, 0);

	if (!mapped)
		return;
	reap_one(ctx, mapped);
	inode_put(inode);
}

int mapped_get_write_access(const struct op_ctx *ctx, struct inode *inode)
{
	int err = inode_get_write_access(inode);

	if (err == -ETXTBSY && mapped_any()) {
		mapped_reap_inode(ctx, inode);
		err = inode_get_write_access(inode);
	}
	return err;
}

/* Those of sb, up to `max` of them with a reference to the inode; returns how many there are. */
static size_t find_all(const struct superblock *sb, struct mapped **ret, size_t max)
{
	struct mapped *mapped;
	size_t n = 0;

	fb_mutex_lock(&list.lock);
	list_for_each (mapped, &list.all, node) {
		if (mapped->inode->sb != sb)
			continue;
		if (n < max) {
			inode_get(mapped->inode);
			ret[n] = mapped;
		}
		n++;
	}
	fb_mutex_unlock(&list.lock);
	return n;
}

static void for_all(const struct op_ctx *ctx, const struct superblock *sb,
		    void (*fn)(const struct op_ctx *ctx, struct mapped *mapped))
{
	size_t room = find_all(sb, NULL, 0), n;
	struct mapped **some = room ? malloc(room * sizeof(struct mapped *)) : NULL;

	if (!some)
		return;
	n = find_all(sb, some, room);
	for (size_t i = 0; i < n && i < room; i++) {
		struct inode *inode = some[i]->inode;

		fn(ctx, some[i]);
		inode_put(inode);
	}
	free(some);
}

void mapped_reap(const struct op_ctx *ctx, const struct superblock *sb)
{
	for_all(ctx, sb, reap_one);
}

static void start_one(const struct op_ctx *ctx, struct mapped *mapped)
{
	mapped->op->start(ctx, mapped->inode);
}

void mapped_sync_all(const struct op_ctx *ctx, const struct superblock *sb)
{
	for_all(ctx, sb, start_one);
}

/* The list of files that are mapped for writing, and its clock; see mapped.h. */
#include "vfs/mapped.h"

#include <stdlib.h>

#include "sentry/base/err.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/inode.h"

#define REAP_NS 200000000LL  /* how late we may notice that a mapping is gone */
#define PATIENCE_NS 1000000000LL /* of umount with a clock that waits for a daemon */
#define SYNC_NS 5000000000LL /* how old a change may get, as dirty_writeback_centisecs */

static void tick(struct fb_timer *timer);

static struct {
	struct fb_mutex lock; /* RANK_FS */
	struct list_node all; /* mapped.node */
	void (*spawn)(void (*fn)(void *), void *arg);
	struct fb_timer timer;
	bool ticking;
	struct waitq idle; /* a `busy` went away */
} list = {.lock = FB_MUTEX_INIT(RANK_FS),
	  .all = LIST_INIT(list.all),
	  .idle = WAITQ_INIT(list.idle)};

void mapped_set_spawn(void (*spawn)(void (*fn)(void *), void *arg))
{
	list.spawn = spawn;
	fb_timer_init(&list.timer, tick);
}

static void arm_locked(void)
{
	list.ticking = list.spawn && !list_empty(&list.all);
	if (list.ticking)
		fb_timer_arm(&list.timer, clock_monotonic_ns() + REAP_NS);
}

void mapped_add(struct mapped *mapped)
{
	fb_mutex_lock(&list.lock);
	mapped->synced_ns = clock_monotonic_ns();
	list_add_tail(&list.all, &mapped->node);
	if (!list.ticking)
		arm_locked();
	fb_mutex_unlock(&list.lock);
}

void mapped_del(struct mapped *mapped)
{
	fb_mutex_lock(&list.lock);
	list_del(&mapped->node);
	fb_mutex_unlock(&list.lock);
}

void mapped_set_host(struct mapped *mapped, uint64_t host_dev, uint64_t host_ino)
{
	fb_mutex_lock(&list.lock);
	mapped->host_dev = host_dev;
	mapped->host_ino = host_ino;
	fb_mutex_unlock(&list.lock);
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

static void tick(struct fb_timer *timer)
{
	int64_t now = clock_monotonic_ns();
	struct mapped *mapped;

	(void)timer;
	fb_mutex_lock(&list.lock);
	list_for_each (mapped, &list.all, node) {
		if (mapped->busy)
			continue;
		mapped->busy = true;
		mapped->sync_due = now - mapped->synced_ns > SYNC_NS;
		if (mapped->sync_due)
			mapped->synced_ns = now;
		inode_get(mapped->inode);
		list.spawn(look_after, mapped);
	}
	arm_locked();
	fb_mutex_unlock(&list.lock);
}

void mapped_kick(void)
{
	fb_mutex_lock(&list.lock);
	if (list.ticking)
		fb_timer_arm(&list.timer, clock_monotonic_ns());
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

int mapped_sync(const struct op_ctx *ctx, uint64_t host_dev, uint64_t host_ino)
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

/*
 * Advisory locks. Each inode that has any has a lock_ctx with two lists: record locks (POSIX and
 * OFD, which conflict with each other) and whole-file flock(2) locks. One mutex guards all of
 * them, because deadlock detection looks across inodes.
 *
 * An owner is an address: of the descriptor table for POSIX locks, of the open file for OFD and
 * flock locks. Record locks of one owner on one inode never overlap and are kept sorted.
 *
 * A waiter sleeps on the queue of the inode's lock_ctx and tries again when something was given
 * up; meanwhile it is on the list of waits, which deadlock detection walks and /proc/locks shows.
 */
#include "vfs/lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define LOCKS_MAX      262144 /* locks of all guests together; more is ENOLCK */
#define DEADLOCK_STEPS 10     /* MAX_DEADLK_ITERATIONS of fs/locks.c */

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

struct file_lock {
	struct list_node node; /* in a list of its lock_ctx */
	struct list_node all;  /* in all_locks */
	struct lock_ctx *ctx;
	enum lock_kind kind;
	short type; /* F_RDLCK, F_WRLCK */
	int64_t start, end;
	const void *owner;
	pid_t pid; /* for F_GETLK and /proc/locks */
};

struct lock_ctx {
	struct inode *inode; /* not counted: the inode frees us */
	struct list_node records, flocks;
	struct waitq waiters;
};

/* Somebody who waits for a lock; lives on the stack of the waiter. */
struct lock_wait {
	struct list_node node; /* in waits */
	const struct file_lock *want;
	const void *blocker; /* owner of what is in the way */
	enum lock_kind blocker_kind;
};

static struct fb_mutex lock_mutex = FB_MUTEX_INIT(RANK_FLOCK); /* guards all below */
static struct list_node all_locks = LIST_INIT(all_locks);
static struct list_node waits = LIST_INIT(waits);
static size_t nr_locks;

/* ---- contexts and locks ---- */

static struct lock_ctx *ctx_peek(struct inode *inode)
{
	return __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE);
}

static struct lock_ctx *ctx_get(struct inode *inode)
{
	struct lock_ctx *lc = ctx_peek(inode), *new, *none = NULL;

	if (lc)
		return lc;
	new = malloc(sizeof(*new));
	if (!new)
		return NULL;
	new->inode = inode;
	list_init(&new->records);
	list_init(&new->flocks);
	waitq_init(&new->waiters);
	if (__atomic_compare_exchange_n(&inode->locks, &none, new, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return new;
	free(new);
	return none;
}

/* Puts a lock in front of `pos` and makes it known. */
static void lock_insert(struct list_node *pos, struct file_lock *lock)
{
	list_add_tail(pos, &lock->node);
	list_add_tail(&all_locks, &lock->all);
	nr_locks++;
}

/* Takes it off; the caller frees it once the mutex is released. */
static void lock_remove(struct file_lock *lock, struct list_node *dead)
{
	list_del(&lock->node);
	list_del(&lock->all);
	list_add(dead, &lock->node);
	nr_locks--;
}

static void free_dead(struct list_node *dead)
{
	struct file_lock *pos, *tmp;

	list_for_each_safe(pos, tmp, dead, node)
		free(pos);
	list_init(dead);
}

static bool same_owner(const struct file_lock *a, const struct file_lock *b)
{
	return a->kind == b->kind && a->owner == b->owner;
}

static bool conflicts(const struct file_lock *held, const struct file_lock *want)
{
	if (held->type == F_RDLCK && want->type == F_RDLCK)
		return false;
	return !same_owner(held, want) && held->start <= want->end && want->start <= held->end;
}

static struct file_lock *find_conflict(struct list_node *list, const struct file_lock *want)
{
	struct file_lock *pos;

	list_for_each(pos, list, node)
		if (conflicts(pos, want))
			return pos;
	return NULL;
}

/* ---- deadlock detection ---- */

/* The wait of that POSIX owner, or NULL. With threads there may be more; cf. fs/locks.c. */
static struct lock_wait *wait_of(const void *owner)
{
	struct lock_wait *pos;

	list_for_each(pos, &waits, node)
		if (pos->want->kind == LOCK_POSIX && pos->want->owner == owner)
			return pos;
	return NULL;
}

/* Would waiting for `blocker` close a circle? cf. posix_locks_deadlock() */
static bool would_deadlock(const struct file_lock *want, const struct file_lock *blocker)
{
	const void *owner = blocker->owner;
	enum lock_kind kind = blocker->kind;
	int step;

	if (want->kind != LOCK_POSIX)
		return false;
	for (step = 0; step < DEADLOCK_STEPS && kind == LOCK_POSIX; step++) {
		struct lock_wait *wait = wait_of(owner);

		if (!wait)
			return false;
		if (wait->blocker_kind == LOCK_POSIX && wait->blocker == want->owner)
			return true;
		owner = wait->blocker;
		kind = wait->blocker_kind;
	}
	return false;
}

/*
 * Sleeps until something on lc is given up. The mutex is released meanwhile and held again after.
 */
static int lock_sleep(struct lock_ctx *lc, const struct file_lock *want,
		      const struct file_lock *blocker)
{
	struct lock_wait wait = { .want = want,
				  .blocker = blocker->owner,
				  .blocker_kind = blocker->kind };
	int err;

	list_add_tail(&waits, &wait.node);
	err = waitq_wait(&lc->waiters, 0, &lock_mutex, WAIT_INTERRUPTIBLE, WAIT_FOREVER);
	list_del(&wait.node);
	return err;
}

/* Waits until nothing on the list conflicts. 0, -EAGAIN (wait not set), -EDEADLK, -ERESTARTSYS. */
static int lock_wait_free(struct lock_ctx *lc, struct list_node *list, const struct file_lock *want,
			  bool wait)
{
	struct file_lock *blocker;
	int err = 0;

	while (!err && (blocker = find_conflict(list, want)) != NULL) {
		if (!wait)
			err = -EAGAIN;
		else if (would_deadlock(want, blocker))
			err = -EDEADLK;
		else
			err = lock_sleep(lc, want, blocker);
	}
	return err;
}

/* ---- record locks ---- */

/* Does [start, end] touch the lock: overlap, or be next to it? */
static bool touches(const struct file_lock *lock, int64_t start, int64_t end)
{
	bool before = lock->end < start && lock->end != start - 1;
	bool after = lock->start > end && lock->start - 1 != end;

	return !before && !after;
}

/*
 * Cuts [start, end] out of a lock of another type. A cut from the middle needs `spare` for the
 * right part; it is set to NULL then. Returns whether anything was given up.
 */
static bool lock_cut(struct file_lock *lock, int64_t start, int64_t end, struct file_lock **spare,
		     struct list_node *dead)
{
	if (lock->end < start || lock->start > end)
		return false;
	if (lock->start >= start && lock->end <= end) {
		lock_remove(lock, dead);
	} else if (lock->start < start && lock->end > end) {
		struct file_lock *right = *spare;

		fb_assert(right); /* own locks do not overlap: it happens once per request */
		*spare = NULL;
		right->ctx = lock->ctx;
		right->kind = lock->kind;
		right->type = lock->type;
		right->owner = lock->owner;
		right->pid = lock->pid;
		right->start = end + 1;
		right->end = lock->end;
		lock_insert(lock->node.next, right);
		lock->end = start - 1;
	} else if (lock->start < start) {
		lock->end = start - 1;
	} else {
		lock->start = end + 1;
	}
	return true;
}

/*
 * Applies a request that nothing stands against any more: merges with own locks of the same type,
 * replaces what it overlaps of the other (cf. posix_lock_inode()). Takes *fresh when it becomes a
 * lock, *spare when a lock was split.
 */
static void record_apply(struct lock_ctx *lc, struct file_lock **fresh, struct file_lock **spare,
			 struct list_node *dead)
{
	struct file_lock *want = *fresh, *pos, *tmp;
	bool released = false;

	list_for_each_safe(pos, tmp, &lc->records, node) {
		if (!same_owner(pos, want))
			continue;
		if (pos->type != want->type) {
			released |= lock_cut(pos, want->start, want->end, spare, dead);
		} else if (touches(pos, want->start, want->end)) {
			if (pos->start < want->start)
				want->start = pos->start;
			if (pos->end > want->end)
				want->end = pos->end;
			lock_remove(pos, dead);
		}
	}
	if (want->type != F_UNLCK) {
		list_for_each(pos, &lc->records, node)
			if (pos->start > want->start)
				break;
		lock_insert(&pos->node, want);
		*fresh = NULL;
	}
	if (released)
		waitq_wake_all(&lc->waiters, 0);
}

static struct file_lock *record_new(const struct op_ctx *ctx, struct file *file,
				    const struct flock_request *req)
{
	struct file_lock *lock = calloc(1, sizeof(*lock));

	if (!lock)
		return NULL;
	list_init(&lock->node);
	list_init(&lock->all);
	lock->kind = req->ofd ? LOCK_OFD : LOCK_POSIX;
	lock->type = req->type;
	lock->start = req->start;
	lock->end = req->end;
	lock->owner = req->ofd ? (const void *)file : (const void *)ctx->files;
	lock->pid = req->ofd ? -1 : ctx->tgid;
	return lock;
}

static int record_get(const struct op_ctx *ctx, struct file *file, struct flock_request *req)
{
	struct lock_ctx *lc = ctx_peek(file->inode);
	struct file_lock *want, *found = NULL;

	want = record_new(ctx, file, req);
	if (!want)
		return -ENOMEM;
	fb_mutex_lock(&lock_mutex);
	if (lc)
		found = find_conflict(&lc->records, want);
	if (found) {
		req->type = found->type;
		req->start = found->start;
		req->end = found->end;
		req->pid = found->pid;
	} else {
		req->type = F_UNLCK;
	}
	fb_mutex_unlock(&lock_mutex);
	free(want);
	return 0;
}

static int record_set(const struct op_ctx *ctx, struct file *file, bool wait,
		      const struct flock_request *req)
{
	struct list_node dead = LIST_INIT(dead);
	struct file_lock *fresh, *spare;
	struct lock_ctx *lc;
	int err = 0;

	if (req->type == F_UNLCK && !ctx_peek(file->inode))
		return 0;
	lc = ctx_get(file->inode);
	/* Everything that may be needed is allocated before the mutex is taken. */
	fresh = record_new(ctx, file, req);
	spare = record_new(ctx, file, req);
	if (!lc || !fresh || !spare) {
		free(fresh);
		free(spare);
		return -ENOLCK;
	}
	fresh->ctx = lc;
	fb_mutex_lock(&lock_mutex);
	if (req->type != F_UNLCK) {
		err = lock_wait_free(lc, &lc->records, fresh, wait);
		if (!err && nr_locks >= LOCKS_MAX)
			err = -ENOLCK;
	}
	if (!err)
		record_apply(lc, &fresh, &spare, &dead);
	fb_mutex_unlock(&lock_mutex);
	free_dead(&dead);
	free(fresh);
	free(spare);
	return err;
}

int posix_lock_local(const struct op_ctx *ctx, struct file *file, int cmd,
		     struct flock_request *req)
{
	return cmd == F_GETLK ? record_get(ctx, file, req)
			      : record_set(ctx, file, cmd == F_SETLKW, req);
}

int vfs_lock_file(const struct op_ctx *ctx, struct file *file, int cmd, struct flock_request *req)
{
	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (cmd != F_GETLK && cmd != F_SETLK && cmd != F_SETLKW)
		return -EINVAL;
	if (req->start < 0 || req->end < req->start)
		return -EINVAL;
	switch (req->type) {
	case F_RDLCK:
		if (cmd != F_GETLK && !(file->fmode & FMODE_READ))
			return -EBADF;
		break;
	case F_WRLCK:
		if (cmd != F_GETLK && !(file->fmode & FMODE_WRITE))
			return -EBADF;
		break;
	case F_UNLCK:
		if (cmd == F_GETLK && !req->ofd)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	return file->op->lock ? file->op->lock(ctx, file, cmd, req)
			      : posix_lock_local(ctx, file, cmd, req);
}

/* ---- flock ---- */

static struct file_lock *flock_find(struct lock_ctx *lc, const struct file *file)
{
	struct file_lock *pos;

	list_for_each(pos, &lc->flocks, node)
		if (pos->owner == file)
			return pos;
	return NULL;
}

/*
 * cf. flock_lock_inode(). A conversion is not atomic: the old lock goes first, and is lost when
 * the new one is not to be had, flock(2).
 */
static int flock_apply(struct lock_ctx *lc, struct file_lock **fresh, bool wait,
		       struct list_node *dead)
{
	struct file_lock *want = *fresh, *old = flock_find(lc, want->owner);
	int err;

	if (old && old->type == want->type)
		return 0;
	if (old) {
		lock_remove(old, dead);
		waitq_wake_all(&lc->waiters, 0);
	}
	if (want->type == F_UNLCK)
		return 0;
	err = lock_wait_free(lc, &lc->flocks, want, wait);
	if (!err && nr_locks >= LOCKS_MAX)
		err = -ENOLCK;
	if (err)
		return err;
	/* Another thread may have locked through the same file while we slept. */
	old = flock_find(lc, want->owner);
	if (old)
		lock_remove(old, dead);
	lock_insert(&lc->flocks, want);
	*fresh = NULL;
	return 0;
}

int flock_local(const struct op_ctx *ctx, struct file *file, int operation)
{
	struct flock_request req = { .end = INT64_MAX };
	struct list_node dead = LIST_INIT(dead);
	struct file_lock *fresh;
	struct lock_ctx *lc;
	int err;

	switch (operation & ~LOCK_NB) {
	case LOCK_SH:
		req.type = F_RDLCK;
		break;
	case LOCK_EX:
		req.type = F_WRLCK;
		break;
	case LOCK_UN:
		req.type = F_UNLCK;
		break;
	default:
		return -EINVAL;
	}
	if (req.type == F_UNLCK && !ctx_peek(file->inode))
		return 0;
	lc = ctx_get(file->inode);
	fresh = record_new(ctx, file, &req);
	if (!lc || !fresh) {
		free(fresh);
		return -ENOLCK;
	}
	fresh->ctx = lc;
	fresh->kind = LOCK_FLOCK;
	fresh->owner = file;
	fresh->pid = ctx->tgid;
	fb_mutex_lock(&lock_mutex);
	err = flock_apply(lc, &fresh, !(operation & LOCK_NB), &dead);
	fb_mutex_unlock(&lock_mutex);
	free_dead(&dead);
	free(fresh);
	return err;
}

int vfs_flock(const struct op_ctx *ctx, struct file *file, int operation)
{
	int kind = operation & ~LOCK_NB;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
		return -EINVAL;
	if (kind != LOCK_UN && !(file->fmode & (FMODE_READ | FMODE_WRITE)))
		return -EBADF;
	return file->op->flock ? file->op->flock(ctx, file, operation)
			       : flock_local(ctx, file, operation);
}

/* ---- release ---- */

/* Drops every lock on the list that has this owner and is not of kind `keep`. */
static void drop_owned(struct lock_ctx *lc, struct list_node *list, const void *owner)
{
	struct list_node dead = LIST_INIT(dead);
	struct file_lock *pos, *tmp;

	fb_mutex_lock(&lock_mutex);
	list_for_each_safe(pos, tmp, list, node)
		if (pos->owner == owner)
			lock_remove(pos, &dead);
	if (!list_empty(&dead))
		waitq_wake_all(&lc->waiters, 0);
	fb_mutex_unlock(&lock_mutex);
	free_dead(&dead);
}

/*
 * What a file system keeps on its own side (FUSE) it learns from op->flush; only what is here goes.
 * An address names an owner of one kind only, so POSIX and OFD locks need not be told apart.
 */
void locks_remove_posix(const struct op_ctx *ctx, struct file *file)
{
	struct lock_ctx *lc = file->inode ? ctx_peek(file->inode) : NULL;

	if (lc && ctx->files)
		drop_owned(lc, &lc->records, ctx->files);
}

void locks_remove_file(struct file *file)
{
	struct lock_ctx *lc = ctx_peek(file->inode);

	if (!lc)
		return;
	drop_owned(lc, &lc->records, file);
	drop_owned(lc, &lc->flocks, file);
}

void locks_free_inode(struct inode *inode)
{
	struct lock_ctx *lc = ctx_peek(inode);
	struct list_node dead = LIST_INIT(dead);
	struct file_lock *pos, *tmp;

	if (!lc)
		return;
	/* No file is open on it: there should be none left. */
	fb_mutex_lock(&lock_mutex);
	list_for_each_safe(pos, tmp, &lc->records, node)
		lock_remove(pos, &dead);
	list_for_each_safe(pos, tmp, &lc->flocks, node)
		lock_remove(pos, &dead);
	fb_mutex_unlock(&lock_mutex);
	free_dead(&dead);
	inode->locks = NULL;
	free(lc);
}

/* ---- /proc/locks ---- */

/* cf. lock_get_status() */
static void show_lock(struct strbuf *out, const struct file_lock *lock, int number,
		      const char *prefix)
{
	static const char *const kinds[] = {
		[LOCK_POSIX] = "POSIX ",
		[LOCK_OFD] = "OFDLCK",
		[LOCK_FLOCK] = "FLOCK ",
	};
	const struct inode *inode = lock->ctx->inode;

	strbuf_printf(out, "%d: %s%s ADVISORY  %s %d %02x:%02x:%lu ", number, prefix,
		      kinds[lock->kind], lock->type == F_WRLCK ? "WRITE" : "READ ", lock->pid,
		      major(inode->sb->dev), minor(inode->sb->dev), (unsigned long)inode->ino);
	if (lock->kind == LOCK_FLOCK)
		strbuf_puts(out, "0 EOF\n");
	else if (lock->end == INT64_MAX)
		strbuf_printf(out, "%ld EOF\n", (long)lock->start);
	else
		strbuf_printf(out, "%ld %ld\n", (long)lock->start, (long)lock->end);
}

void locks_show(struct strbuf *out)
{
	struct file_lock *pos;
	struct lock_wait *wait;
	int number = 0;

	fb_mutex_lock(&lock_mutex);
	list_for_each(pos, &all_locks, all) {
		number++;
		show_lock(out, pos, number, "");
		list_for_each(wait, &waits, node)
			if (wait->want->ctx == pos->ctx && wait->blocker == pos->owner &&
			    conflicts(pos, wait->want))
				show_lock(out, wait->want, number, "-> ");
	}
	fb_mutex_unlock(&lock_mutex);
}

/*
 * Inodes: references, the per-superblock table by key, attribute helpers, write accounting.
 *
 * The last inode_put() evicts: the inode stays in its table, with count 0, while evict_inode runs,
 * so that a lookup of the same key waits instead of making a second inode for one object.
 */
#include "vfs/inode.h"

#include <errno.h>
#include <stdlib.h>

#include <linux/capability.h>

#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/lock.h"
#include "vfs/mount.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#define HASH_MIN_BITS 6
#define HASH_MAX_BITS 20

/* Who waits for an inode to be gone; with the sb's inode_lock. */
static struct waitq evict_queue = WAITQ_INIT(evict_queue);

static struct timespec time_now(void)
{
	int64_t now = clock_realtime_ns();

	return (struct timespec){.tv_sec = now / 1000000000, .tv_nsec = now % 1000000000};
}

void inode_init(struct inode *inode, struct superblock *sb, uint32_t mode, uid_t uid, gid_t gid)
{
	ref_init(&inode->ref);
	inode->sb = sb;
	sleep_rwlock_init(&inode->lock);
	fb_mutex_init(&inode->attr_lock, RANK_ATTR);
	inode->mode = mode;
	inode->nlink = 1;
	inode->uid = uid;
	inode->gid = gid;
	inode->atime = inode->mtime = inode->ctime = inode->btime = time_now();
	atomic_init(&inode->writers, 0);
	list_init(&inode->sb_node);
	list_init(&inode->dentries);
	if (!sb)
		return;
	atomic_fetch_add(&sb->live, 1);
	fb_mutex_lock(&sb->inode_lock);
	list_add_tail(&sb->inodes, &inode->sb_node);
	fb_mutex_unlock(&sb->inode_lock);
}

void inode_init_owner(struct inode *inode, const struct op_ctx *ctx, struct superblock *sb,
		      const struct inode *dir, uint32_t mode)
{
	gid_t gid = ctx->cred->fsgid;

	if (dir && (dir->mode & S_ISGID)) {
		gid = dir->gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
		else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
			 !cred_in_group(ctx->cred, gid) && !ctx_capable(ctx, CAP_FSETID))
			mode &= ~(uint32_t)S_ISGID; /* cf. mode_strip_sgid() */
	}
	inode_init(inode, sb, mode, ctx->cred->fsuid, gid);
}

struct inode *inode_get(struct inode *inode)
{
	ref_get(&inode->ref);
	return inode;
}

/* The table; sb->inode_lock held. */

static struct inode **inode_bucket(struct superblock *sb, uint64_t key)
{
	return &sb->inode_hash[key * 0x9e3779b97f4a7c15ull >> (64 - sb->inode_hash_bits)];
}

static int inode_table_resize(struct superblock *sb, unsigned bits)
{
	struct inode **old = sb->inode_hash, **table;
	size_t old_size = old ? (size_t)1 << sb->inode_hash_bits : 0;

	table = calloc((size_t)1 << bits, sizeof(struct inode *));
	if (!table)
		return -ENOMEM;
	sb->inode_hash = table;
	sb->inode_hash_bits = bits;
	for (size_t i = 0; i < old_size; i++) {
		struct inode *inode = old[i];

		while (inode) {
			struct inode *next = inode->hash_next;
			struct inode **bucket = inode_bucket(sb, inode->hash_key);

			inode->hash_next = *bucket;
			*bucket = inode;
			inode = next;
		}
	}
	free(old);
	return 0;
}

static struct inode *inode_find_locked(struct superblock *sb, uint64_t key)
{
	struct inode *inode;

	if (!sb->inode_hash)
		return NULL;
	for (inode = *inode_bucket(sb, key); inode; inode = inode->hash_next)
		if (inode->hash_key == key)
			return inode;
	return NULL;
}

static void inode_unhash_locked(struct superblock *sb, struct inode *inode)
{
	struct inode **link;

	if (!inode->hashed)
		return;
	link = inode_bucket(sb, inode->hash_key);
	while (*link != inode)
		link = &(*link)->hash_next;
	*link = inode->hash_next;
	inode->hash_next = NULL;
	inode->hashed = false;
	sb->nr_hashed--;
}

struct inode *inode_lookup(struct superblock *sb, uint64_t key)
{
	struct inode *inode;

	fb_mutex_lock(&sb->inode_lock);
	while ((inode = inode_find_locked(sb, key))) {
		if (ref_get_unless_zero(&inode->ref))
			break;
		(void)waitq_wait(&evict_queue, 0, &sb->inode_lock, WAIT_UNINTERRUPTIBLE,
				 WAIT_FOREVER);
	}
	fb_mutex_unlock(&sb->inode_lock);
	return inode;
}

int inode_hash(struct inode *inode, uint64_t key)
{
	struct superblock *sb = inode->sb;
	struct inode **bucket;
	int err = 0;

	fb_mutex_lock(&sb->inode_lock);
	if (!sb->inode_hash)
		err = inode_table_resize(sb, HASH_MIN_BITS);
	else if (sb->nr_hashed >> sb->inode_hash_bits && sb->inode_hash_bits < HASH_MAX_BITS)
		(void)inode_table_resize(sb, sb->inode_hash_bits + 1);
	if (!err && inode_find_locked(sb, key))
		err = -EEXIST;
	if (!err) {
		inode->hash_key = key;
		bucket = inode_bucket(sb, key);
		inode->hash_next = *bucket;
		*bucket = inode;
		inode->hashed = true;
		sb->nr_hashed++;
	}
	fb_mutex_unlock(&sb->inode_lock);
	return err;
}

void inode_unhash(struct inode *inode)
{
	struct superblock *sb = inode->sb;

	fb_mutex_lock(&sb->inode_lock);
	inode_unhash_locked(sb, inode);
	fb_mutex_unlock(&sb->inode_lock);
	waitq_wake_all(&evict_queue, 0);
}

static void inode_free(struct inode *inode)
{
	struct superblock *sb = inode->sb;

	fb_mutex_destroy(&inode->attr_lock);
	if (sb && sb->op && sb->op->free_inode)
		sb->op->free_inode(inode);
	else
		free(inode);
}

static void inode_evict(struct inode *inode)
{
	struct superblock *sb = inode->sb;
	bool was_hashed;

	if (inode->locks)
		locks_free_inode(inode);
	if (!sb) {
		inode_free(inode);
		return;
	}
	if (sb->op && sb->op->evict_inode)
		sb->op->evict_inode(inode);
	fb_mutex_lock(&sb->inode_lock);
	was_hashed = inode->hashed;
	inode_unhash_locked(sb, inode);
	list_del(&inode->sb_node);
	fb_mutex_unlock(&sb->inode_lock);
	if (was_hashed)
		waitq_wake_all(&evict_queue, 0);
	inode_free(inode);
	superblock_drop_live(sb);
}

void inode_put(struct inode *inode)
{
	if (inode && ref_put(&inode->ref))
		inode_evict(inode);
}

/* Attributes. */

int64_t inode_size(struct inode *inode)
{
	int64_t size;

	fb_mutex_lock(&inode->attr_lock);
	size = inode->size;
	fb_mutex_unlock(&inode->attr_lock);
	return size;
}

void inode_set_size(struct inode *inode, int64_t size)
{
	fb_mutex_lock(&inode->attr_lock);
	inode->size = size;
	fb_mutex_unlock(&inode->attr_lock);
}

void inode_add_nlink(struct inode *inode, int delta)
{
	fb_mutex_lock(&inode->attr_lock);
	if (delta < 0 && inode->nlink < (uint32_t)-delta)
		inode->nlink = 0;
	else
		inode->nlink += (uint32_t)delta;
	fb_mutex_unlock(&inode->attr_lock);
}

void inode_touch(struct inode *inode, unsigned which)
{
	struct timespec now = time_now();

	fb_mutex_lock(&inode->attr_lock);
	if (which & S_ATIME)
		inode->atime = now;
	if (which & S_MTIME)
		inode->mtime = now;
	if (which & S_CTIME)
		inode->ctime = now;
	fb_mutex_unlock(&inode->attr_lock);
}

static bool time_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* cf. relatime_need_update(): not after the last change, or a day old. */
static bool relatime_is_due(const struct inode *inode, const struct timespec *now)
{
	return !time_before(&inode->mtime, &inode->atime) ||
	       !time_before(&inode->ctime, &inode->atime) ||
	       now->tv_sec - inode->atime.tv_sec >= 24 * 60 * 60;
}

void touch_atime(const struct path *path)
{
	struct inode *inode = path->dentry->inode;
	unsigned mnt_flags = path->mnt ? mount_flags(path->mnt) : 0;
	struct timespec now;

	if (!inode || !inode->sb || (sb_flags(inode->sb) & (SB_RDONLY | SB_NOATIME)))
		return;
	if (mnt_flags & (MNT_NOATIME | MNT_READONLY))
		return;
	if ((mnt_flags & MNT_NODIRATIME) && inode_is_dir(inode))
		return;
	now = time_now();
	fb_mutex_lock(&inode->attr_lock);
	if (!(mnt_flags & MNT_RELATIME) || relatime_is_due(inode, &now))
		inode->atime = now;
	fb_mutex_unlock(&inode->attr_lock);
}

/* The sleeping lock. */

void inode_lock(struct inode *inode)
{
	sleep_rwlock_write_lock(&inode->lock);
}

int inode_lock_killable(struct inode *inode)
{
	return sleep_rwlock_write_lock_killable(&inode->lock);
}

void inode_unlock(struct inode *inode)
{
	sleep_rwlock_write_unlock(&inode->lock);
}

void inode_lock_shared(struct inode *inode)
{
	sleep_rwlock_read_lock(&inode->lock);
}

void inode_unlock_shared(struct inode *inode)
{
	sleep_rwlock_read_unlock(&inode->lock);
}

/* base/wait.h has no such forms of a reader's lock; the fields they need are part of its contract.
 */

int inode_lock_shared_killable(struct inode *inode)
{
	struct sleep_rwlock *lock = &inode->lock;
	int err = 0;

	fb_mutex_assert_none_held();
	fb_mutex_lock(&lock->lock);
	while (!err && (lock->readers < 0 || lock->writers_waiting))
		err = waitq_wait(&lock->waiters, 0, &lock->lock, WAIT_KILLABLE, WAIT_FOREVER);
	if (!err)
		lock->readers++;
	fb_mutex_unlock(&lock->lock);
	return err;
}

bool inode_trylock_shared(struct inode *inode)
{
	struct sleep_rwlock *lock = &inode->lock;
	bool locked;

	fb_mutex_lock(&lock->lock);
	locked = lock->readers >= 0 && !lock->writers_waiting;
	if (locked)
		lock->readers++;
	fb_mutex_unlock(&lock->lock);
	return locked;
}

/* Writers count up, denials (running programs) count down; the other side gets -ETXTBSY. */

static int writers_step(struct inode *inode, int step)
{
	int old = atomic_load(&inode->writers);

	do {
		if (step > 0 ? old < 0 : old > 0)
			return -ETXTBSY;
	} while (!atomic_compare_exchange_weak(&inode->writers, &old, old + step));
	return 0;
}

int inode_get_write_access(struct inode *inode)
{
	return writers_step(inode, 1);
}

void inode_put_write_access(struct inode *inode)
{
	atomic_fetch_sub(&inode->writers, 1);
}

int inode_deny_write_access(struct inode *inode)
{
	return writers_step(inode, -1);
}

void inode_allow_write_access(struct inode *inode)
{
	atomic_fetch_add(&inode->writers, 1);
}

uint64_t inode_next_ino(void)
{
	static atomic_ullong next = 1;

	return atomic_fetch_add(&next, 1);
}

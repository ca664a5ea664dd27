/*
 * Descriptors of host objects. Each inode has one slot: an O_PATH descriptor (directories) or the
 * shared O_RDONLY one (regular files). Slots without users are a cache in LRU order, bounded so
 * that guests' own use of descriptors is not starved; an evicted one is opened again relative to
 * the parent's slot and must turn out to be the same object (ESTALE otherwise: the path walk
 * looks the name up afresh).
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/superblock.h"

struct fb_mutex hostfs_lock = FB_MUTEX_INIT(RANK_LEAF);

/* Guarded by hostfs_lock. The LRU is oldest first. */
static struct list_node slot_lru = LIST_INIT(slot_lru);
static size_t nr_slots;
static size_t slot_limit; /* 0: not computed yet */

/* Descriptors left by create() for which no open has come: mknod(2) asks for none. */
static struct list_node created = LIST_INIT(created); /* oldest first */
static unsigned nr_created;

#define SHRINK_BATCH 16
#define CREATED_MAX  32

void hostfs_set_fd_limit(size_t limit)
{
	fb_mutex_lock(&hostfs_lock);
	slot_limit = limit;
	fb_mutex_unlock(&hostfs_lock);
	hostfs_slots_shrink(limit);
}

static size_t default_limit(void)
{
	struct rlimit rlim;
	size_t limit = 256;

	if (getrlimit(RLIMIT_NOFILE, &rlim) == 0)
		limit = (size_t)rlim.rlim_cur / 4;
	return limit > 4096 ? 4096 : limit;
}

void hostfs_slots_shrink(size_t keep)
{
	int fds[SHRINK_BATCH];
	size_t i, n;

	do {
		n = 0;
		fb_mutex_lock(&hostfs_lock);
		while (nr_slots > keep && n < SHRINK_BATCH && !list_empty(&slot_lru)) {
			struct hostfs_inode *hi = list_first(&slot_lru, struct hostfs_inode, lru);

			list_del(&hi->lru);
			fds[n++] = steal_fd(&hi->hostfd);
			nr_slots--;
		}
		fb_mutex_unlock(&hostfs_lock);
		for (i = 0; i < n; i++)
			close(fds[i]);
	} while (n == SHRINK_BATCH);
}

/* Takes the slot's descriptor into use. hostfs_lock held, slot filled. */
int hostfs_slot_use_locked(struct hostfs_inode *hi)
{
	list_del(&hi->lru);
	hi->users++;
	return hi->hostfd;
}

static void slot_unuse_locked(struct hostfs_inode *hi)
{
	fb_assert(hi->users > 0);
	if (--hi->users == 0 && !hi->pinned)
		list_add_tail(&slot_lru, &hi->lru);
}

void hostfs_slot_put(struct hostfs_inode *hi)
{
	fb_mutex_lock(&hostfs_lock);
	slot_unuse_locked(hi);
	fb_mutex_unlock(&hostfs_lock);
}

/* Puts a verified descriptor (taken) into the slot and takes it into use. */
static int slot_fill(struct hostfs_inode *hi, int hostfd, bool is_path)
{
	cleanup_close int spare = hostfd;
	bool full;
	int fd;

	fb_mutex_lock(&hostfs_lock);
	if (slot_limit == 0)
		slot_limit = default_limit();
	if (hi->hostfd < 0) {
		hi->hostfd = steal_fd(&spare);
		hi->slot_is_path = is_path;
		nr_slots++;
	}
	fd = hostfs_slot_use_locked(hi);
	full = nr_slots > slot_limit;
	fb_mutex_unlock(&hostfs_lock);
	if (full)
		hostfs_slots_shrink(slot_limit - slot_limit / 8);
	return fd;
}

static uint64_t slot_flags(const struct hostfs_inode *hi)
{
	if (S_ISDIR(hi->id.type))
		return O_PATH | O_DIRECTORY;
	return S_ISREG(hi->id.type) ? O_RDONLY : O_PATH;
}

/* A read-only mount leaves access times alone where the host lets us (owner or CAP_FOWNER). */
static int open_for_slot(const struct hostfs_inode *hi, int dirfd, const char *name)
{
	uint64_t flags = slot_flags(hi);
	int fd;

	if (!(flags & O_PATH) && hostfs_info(hi->inode.sb)->read_only) {
		fd = host_open(dirfd, name, flags | O_NOATIME, 0);
		if (fd != -EPERM)
			return fd;
	}
	return host_open(dirfd, name, flags, 0);
}

int hostfs_verify(struct hostfs_inode *hi, int hostfd)
{
	struct statx stx;
	int err = host_statx(hostfd, "", &stx);

	if (err)
		return err;
	if (!hostfs_same_object(hi, &stx))
		return -ESTALE;
	hostfs_fill(hi, &stx);
	return 0;
}

/* One step of the way down to an inode: `node` is to be opened below `parent`. */
struct step {
	struct hostfs_inode *node, *parent; /* counted; parent's slot is in use */
	int dirfd;
	char name[NAME_MAX + 1];
};

static void step_end(struct step *step)
{
	hostfs_slot_put(step->parent);
	inode_put(&step->parent->inode);
	inode_put(&step->node->inode);
}

/*
 * From hi upwards: the inode whose slot is empty while its parent's is filled. 0 when hi's own
 * slot is filled (and now in use), 1 with a step to be made, -ESTALE without a way to the root.
 */
static int next_step(struct hostfs_inode *hi, int *ret_hostfd, struct step *ret_step)
{
	struct hostfs_inode *node = hi;
	int result = 1;

	fb_mutex_lock(&hostfs_lock);
	while (node->hostfd < 0 && node->parent && node->parent->hostfd < 0)
		node = node->parent;
	if (hi->hostfd >= 0) {
		*ret_hostfd = hostfs_slot_use_locked(hi);
		result = 0;
	} else if (!node->parent) {
		result = -ESTALE;
	} else {
		ret_step->dirfd = hostfs_slot_use_locked(node->parent);
		memcpy(ret_step->name, node->name, strlen(node->name) + 1);
		inode_get(&node->inode);
		inode_get(&node->parent->inode);
		ret_step->node = node;
		ret_step->parent = node->parent;
	}
	fb_mutex_unlock(&hostfs_lock);
	return result;
}

/* Fills the slot of step->node and leaves it in use. */
static int make_step(struct step *step)
{
	cleanup_close int fd = open_for_slot(step->node, step->dirfd, step->name);
	int err = fd >= 0 ? hostfs_verify(step->node, fd) : fd;

	/* Another object, or none, has the name now. */
	if (err == -ENOENT || err == -ENOTDIR || err == -ELOOP)
		return -ESTALE;
	if (!err)
		slot_fill(step->node, steal_fd(&fd), false);
	return err;
}

int hostfs_slot_get(struct hostfs_inode *hi, int *ret_hostfd)
{
	struct hostfs_inode *held = NULL, *before;
	struct step step;
	int more;

	/* What was opened last stays in use until the next is: others may not evict it. */
	while ((more = next_step(hi, ret_hostfd, &step)) > 0) {
		more = make_step(&step);
		before = held;
		held = more ? NULL : step.node;
		if (held)
			inode_get(&held->inode);
		step_end(&step);
		if (before) {
			hostfs_slot_put(before);
			inode_put(&before->inode);
		}
		if (more)
			return more;
	}
	if (held) {
		hostfs_slot_put(held);
		inode_put(&held->inode);
	}
	return more;
}

void hostfs_slot_pin(struct hostfs_inode *hi)
{
	int fd, err;

	err = hostfs_slot_get(hi, &fd);
	if (err == -EACCES) { /* no permission to read: hold on to it all the same */
		fd = hostfs_open_object(hi, O_PATH);
		if (fd < 0)
			return;
		slot_fill(hi, fd, true);
	} else if (err) {
		return;
	}
	fb_mutex_lock(&hostfs_lock);
	hi->pinned = true;
	slot_unuse_locked(hi);
	fb_mutex_unlock(&hostfs_lock);
}

void hostfs_slot_adopt(struct hostfs_inode *hi, int hostfd)
{
	fb_mutex_lock(&hostfs_lock);
	fb_assert(hi->hostfd < 0);
	hi->hostfd = hostfd;
	hi->slot_is_path = true;
	hi->pinned = true;
	nr_slots++;
	fb_mutex_unlock(&hostfs_lock);
}

static int created_steal_locked(struct hostfs_inode *hi)
{
	if (hi->created_hostfd >= 0) {
		list_del(&hi->created_node);
		nr_created--;
	}
	return steal_fd(&hi->created_hostfd);
}

void hostfs_keep_created(struct hostfs_inode *hi, int hostfd)
{
	cleanup_close int old = -1;

	fb_mutex_lock(&hostfs_lock);
	if (hi->created_hostfd >= 0)
		old = created_steal_locked(hi);
	else if (nr_created >= CREATED_MAX)
		old = created_steal_locked(list_first(&created, struct hostfs_inode, created_node));
	hi->created_hostfd = hostfd;
	list_add_tail(&created, &hi->created_node);
	nr_created++;
	fb_mutex_unlock(&hostfs_lock);
}

int hostfs_take_created(struct hostfs_inode *hi)
{
	int fd;

	fb_mutex_lock(&hostfs_lock);
	fd = created_steal_locked(hi);
	fb_mutex_unlock(&hostfs_lock);
	return fd;
}

void hostfs_slot_close(struct hostfs_inode *hi)
{
	cleanup_close int slot = -1, kept = -1;

	fb_mutex_lock(&hostfs_lock);
	fb_assert(hi->users == 0);
	list_del(&hi->lru);
	slot = steal_fd(&hi->hostfd);
	kept = created_steal_locked(hi);
	if (slot >= 0)
		nr_slots--;
	fb_mutex_unlock(&hostfs_lock);
}

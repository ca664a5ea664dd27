/*
 * Places: where the host finds an object right now. An inode remembers (parent, name) as it was
 * last seen there; the chain of parents leads to the root, whose descriptor is never closed.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/superblock.h"

/* Inodes with puts_due, and whether somebody is at it. */
static struct list_node put_queue = LIST_INIT(put_queue);
static bool putting;

/* A descriptor of its own that some open file has for the object; the caller closes it. */
static int dup_of_open_file(struct hostfs_inode *hi)
{
	int fd = -ESTALE;

	fb_mutex_lock(&hostfs_lock);
	if (!list_empty(&hi->files)) {
		struct hostfs_file *hf = list_first(&hi->files, struct hostfs_file, node);

		fd = (int)HOST(fcntl(hf->hostfd, F_DUPFD_CLOEXEC, 0));
	} else if (hi->created_hostfd >= 0) {
		fd = (int)HOST(fcntl(hi->created_hostfd, F_DUPFD_CLOEXEC, 0));
	}
	fb_mutex_unlock(&hostfs_lock);
	return fd;
}

/* A place of the holder's slot if that is filled: takes it into use. hostfs_lock held. */
static bool use_slot_locked(struct hostfs_inode *holder, struct hostfs_place *place)
{
	if (!holder || holder->hostfd < 0)
		return false;
	place->hostfd = hostfs_slot_use_locked(holder);
	place->holder = holder;
	place->own_hostfd = -1;
	place->name[0] = '\0';
	inode_get(&holder->inode);
	return true;
}

static bool place_try_slot(struct hostfs_inode *hi, struct hostfs_place *place)
{
	bool found;

	fb_mutex_lock(&hostfs_lock);
	found = use_slot_locked(hi, place);
	fb_mutex_unlock(&hostfs_lock);
	return found;
}

/* The inode's own slot, or the parent's with the name, if either is filled. */
static bool place_try(struct hostfs_inode *hi, struct hostfs_place *place)
{
	bool found;

	fb_mutex_lock(&hostfs_lock);
	found = use_slot_locked(hi, place);
	if (!found && use_slot_locked(hi->parent, place)) {
		memcpy(place->name, hi->name, strlen(hi->name) + 1);
		found = true;
	}
	fb_mutex_unlock(&hostfs_lock);
	return found;
}

/* The parent, with a reference, and the name in it; NULL without one. */
static struct hostfs_inode *get_parent(struct hostfs_inode *hi, char name[NAME_MAX + 1])
{
	struct hostfs_inode *parent;

	fb_mutex_lock(&hostfs_lock);
	parent = hi->parent;
	if (parent) {
		inode_get(&parent->inode);
		memcpy(name, hi->name, strlen(hi->name) + 1);
	}
	fb_mutex_unlock(&hostfs_lock);
	return parent;
}

int hostfs_place_get_named(struct hostfs_inode *hi, struct hostfs_place *ret_place)
{
	struct hostfs_inode *parent = get_parent(hi, ret_place->name);
	int err;

	if (!parent)
		return -ESTALE;
	err = hostfs_slot_get(parent, &ret_place->hostfd);
	if (err) {
		inode_put(&parent->inode);
		return err;
	}
	ret_place->holder = parent;
	ret_place->own_hostfd = -1;
	return 0;
}

int hostfs_place_get(struct hostfs_inode *hi, struct hostfs_place *ret_place)
{
	int fd, err;

	if (place_try(hi, ret_place))
		return 0;
	err = hostfs_place_get_named(hi, ret_place);
	if (err != -ESTALE)
		return err;
	fd = dup_of_open_file(hi);
	if (fd < 0)
		return fd;
	ret_place->holder = NULL;
	ret_place->hostfd = ret_place->own_hostfd = fd;
	ret_place->name[0] = '\0';
	return 0;
}

void hostfs_place_put(struct hostfs_place *place)
{
	if (place->own_hostfd >= 0)
		close(place->own_hostfd);
	if (!place->holder)
		return;
	hostfs_slot_put(place->holder);
	inode_put(&place->holder->inode);
}

/* The data of a root that is one file was opened at the start: it has no name. */
static int root_file_fd(const struct hostfs_inode *hi, int flags)
{
	const struct hostfs_info *info = hostfs_info(hi->inode.sb);
	int fd = (flags & O_ACCMODE) == O_RDONLY ? info->root_ro : info->root_rw;

	return fd < 0 ? -EACCES : (int)HOST(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static int open_verified(struct hostfs_inode *hi, int hostfd)
{
	cleanup_close int fd = hostfd;
	int err = hostfd < 0 ? hostfd : hostfs_verify(hi, hostfd);

	return err ? err : steal_fd(&fd);
}

/* -ESTALE when the name leads to nothing, or to another object. */
static int open_by_name(struct hostfs_inode *hi, int flags)
{
	struct hostfs_place place;
	int fd, err;

	err = hostfs_place_get_named(hi, &place);
	if (err)
		return err;
	fd = host_open(place.hostfd, place.name, (uint64_t)flags, 0);
	hostfs_place_put(&place);
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR)
		return -ESTALE;
	return open_verified(hi, fd);
}

/* Through a descriptor that is open already: the slot's or an open file's. */
static int open_by_fd(struct hostfs_inode *hi, int flags)
{
	struct hostfs_place place;
	cleanup_close int dup = -1;
	int fd, from;

	if (place_try_slot(hi, &place)) {
		from = place.hostfd;
	} else {
		place.holder = NULL;
		place.own_hostfd = -1;
		from = dup = dup_of_open_file(hi);
	}
	if (from < 0)
		return from;
	if (flags & O_PATH)
		fd = (int)HOST(fcntl(from, F_DUPFD_CLOEXEC, 0));
	else if (S_ISDIR(hi->id.type))
		fd = host_open(from, ".", (uint64_t)flags, 0);
	else if (hostfs_info(hi->inode.sb)->root_ro >= 0)
		fd = root_file_fd(hi, flags);
	else
		fd = host_reopen(from, flags);
	hostfs_place_put(&place);
	return open_verified(hi, fd);
}

/*
 * Directories through their slot; files by name, because opening them through a descriptor needs
 * the host's /proc. Each way is the other's second chance.
 */
int hostfs_open_object(struct hostfs_inode *hi, int flags)
{
	int fd = -ESTALE;

	if (S_ISDIR(hi->id.type))
		fd = open_by_fd(hi, flags);
	if (fd == -ESTALE)
		fd = open_by_name(hi, flags);
	if (fd == -ESTALE && !S_ISDIR(hi->id.type))
		fd = open_by_fd(hi, flags);
	return fd;
}

/*
 * Not simply inode_put(): in a deep tree the last reference to each directory is that of the one
 * directory below it, and the stack of a fiber is short. So the puts queue up, and whoever finds
 * nobody at it does them one after the other.
 */
void hostfs_drop_place(struct hostfs_inode *hi)
{
	struct hostfs_inode *parent, *next;
	unsigned n;

	fb_mutex_lock(&hostfs_lock);
	parent = steal_ptr(hi->parent);
	if (parent && parent->puts_due++ == 0)
		list_add_tail(&put_queue, &parent->puts_node);
	if (!parent || putting) {
		fb_mutex_unlock(&hostfs_lock);
		return;
	}
	putting = true;
	while (!list_empty(&put_queue)) {
		next = list_first(&put_queue, struct hostfs_inode, puts_node);
		list_del(&next->puts_node);
		n = next->puts_due;
		next->puts_due = 0;
		fb_mutex_unlock(&hostfs_lock);
		while (n-- > 0)
			inode_put(&next->inode);
		fb_mutex_lock(&hostfs_lock);
	}
	putting = false;
	fb_mutex_unlock(&hostfs_lock);
}

/* Would `hi` become its own ancestor below `parent`? hostfs_lock held. */
static bool is_ancestor_locked(const struct hostfs_inode *hi, const struct hostfs_inode *parent)
{
	while (parent && parent != hi)
		parent = parent->parent;
	return parent == hi;
}

void hostfs_set_place(struct hostfs_inode *hi, struct hostfs_inode *parent, const char *name)
{
	struct hostfs_inode *dropped, *looped = NULL, *node;
	char *copy, *dropped_name;

	fb_mutex_lock(&hostfs_lock);
	if (hi->parent == parent && hi->name && strcmp(hi->name, name) == 0) {
		fb_mutex_unlock(&hostfs_lock);
		return;
	}
	fb_mutex_unlock(&hostfs_lock);
	copy = strdup(name);
	if (!copy)
		return; /* the old place stays; if it is wrong, ESTALE says so */

	inode_get(&parent->inode);
	fb_mutex_lock(&hostfs_lock);
	if (hi->has_children && is_ancestor_locked(hi, parent)) {
		/*
		 * The host moved directories around and our picture is part old, part new. What was
		 * seen just now is right, so the link that closes the loop is wrong: forget it.
		 */
		for (node = parent; node != hi && node->parent != hi; node = node->parent)
			;
		if (node == hi) { /* a directory below itself: not even a host can mean that */
			fb_mutex_unlock(&hostfs_lock);
			inode_put(&parent->inode);
			free(copy);
			return;
		}
		looped = node->parent; /* hi */
		node->parent = NULL;
	}
	dropped = hi->parent;
	dropped_name = hi->name;
	hi->parent = parent;
	hi->name = copy;
	parent->has_children = true;
	fb_mutex_unlock(&hostfs_lock);
	free(dropped_name);
	if (looped)
		inode_put(&looped->inode);
	if (dropped)
		inode_put(&dropped->inode);
}

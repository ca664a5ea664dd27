/*
 * Identity and attributes: which inode stands for which host object, and how old what we know of
 * it may be.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/wait.h"
#include "vfs/chrdev.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/superblock.h"

#define HOST_DEV_SHIFT 40 /* st_ino bits above carry the index of a second and later device */
#define HOST_DEV_MAX   1024

static struct timespec ts_of(const struct statx_timestamp *t)
{
	return (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

static void ident_of(const struct statx *stx, struct hostfs_ident *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
	ret->ino = stx->stx_ino;
	ret->type = stx->stx_mode & S_IFMT;
	/* Names of one file in two bind mounts are hard links; directories have one place each. */
	if (S_ISDIR(stx->stx_mode) && (stx->stx_mask & 0x1000u))
		ret->mnt = stx->stx_mnt_id;
	ret->btime = ts_of(&stx->stx_btime);
}

static bool is_ident(const struct hostfs_inode *hi, const struct hostfs_ident *id)
{
	const struct hostfs_ident *own = &hi->id;

	if (own->dev != id->dev || own->ino != id->ino || own->mnt != id->mnt ||
	    own->type != id->type)
		return false;
	return !hi->has_btime ||
	       (own->btime.tv_sec == id->btime.tv_sec && own->btime.tv_nsec == id->btime.tv_nsec);
}

bool hostfs_same_object(const struct hostfs_inode *hi, const struct statx *stx)
{
	struct hostfs_ident id;

	ident_of(stx, &id);
	return is_ident(hi, &id);
}

/* Readers of mode, uid and gid take no lock: what is unchanged is not written either. */
static void set_u32(uint32_t *field, uint32_t value)
{
	if (*field != value)
		__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

void hostfs_fill(struct hostfs_inode *hi, const struct statx *stx)
{
	struct inode *inode = &hi->inode;

	fb_mutex_lock(&inode->attr_lock);
	set_u32(&inode->mode, stx->stx_mode);
	set_u32(&inode->nlink, stx->stx_nlink);
	set_u32(&inode->uid, stx->stx_uid);
	set_u32(&inode->gid, stx->stx_gid);
	inode->size = (int64_t)stx->stx_size;
	inode->blocks = stx->stx_blocks;
	inode->atime = ts_of(&stx->stx_atime);
	inode->mtime = ts_of(&stx->stx_mtime);
	inode->ctime = ts_of(&stx->stx_ctime);
	inode->btime = ts_of(&stx->stx_btime);
	fb_mutex_unlock(&inode->attr_lock);
	atomic_store_explicit(&hi->attr_ns, clock_monotonic_ns(), memory_order_release);
}

void hostfs_attr_changed(struct hostfs_inode *hi)
{
	atomic_store_explicit(&hi->attr_ns, 0, memory_order_release);
}

static bool find_dev(struct hostfs_info *info, uint64_t dev, unsigned *ret_index,
		     struct hostfs_dev *ret_dev)
{
	bool found = false;
	unsigned i;

	fb_mutex_lock(&hostfs_lock);
	for (i = 0; i < info->nr_devs && !found; i++) {
		if (info->devs[i].dev != dev)
			continue;
		*ret_index = i;
		*ret_dev = info->devs[i];
		found = true;
	}
	fb_mutex_unlock(&hostfs_lock);
	return found;
}

/* Index 0 once the table is full: the numbers of that device are shown as they are. */
static unsigned add_dev(struct hostfs_info *info, const struct hostfs_dev *dev)
{
	struct hostfs_dev *devs = NULL;
	unsigned index = 0;

	fb_mutex_lock(&hostfs_lock);
	if (info->nr_devs < HOST_DEV_MAX)
		devs = realloc(info->devs, (info->nr_devs + 1) * sizeof(*devs));
	if (devs) {
		index = info->nr_devs++;
		devs[index] = *dev;
		info->devs = devs;
	}
	fb_mutex_unlock(&hostfs_lock);
	return index;
}

/*
 * st_ino passes through for the root's device. Other host devices below show the same numbers for
 * other files under our one st_dev, and tar or du would take them for hard links.
 */
uint64_t hostfs_shown_ino(const struct superblock *sb, unsigned index, uint64_t ino)
{
	(void)sb;
	if (index == 0 || ino >> HOST_DEV_SHIFT)
		return ino;
	return ino | (uint64_t)index << HOST_DEV_SHIFT;
}

/* The device of an object that was just seen; asks the host when it is met for the first time. */
static void device_of(struct hostfs_inode *hi, struct hostfs_inode *parent, const char *name,
		      int hostfd)
{
	struct hostfs_info *info = hostfs_info(hi->inode.sb);
	struct hostfs_dev dev = {.dev = hi->id.dev};
	cleanup_close int fd = -1;
	int dirfd;

	if (!find_dev(info, hi->id.dev, &hi->dev_index, &dev)) {
		if (parent && hostfs_slot_get(parent, &dirfd) == 0) {
			hostfd = fd = host_open(dirfd, name, O_PATH, 0);
			hostfs_slot_put(parent);
		}
		host_probe_dev(hostfd, &dev);
		hi->dev_index = add_dev(info, &dev);
	}
	hi->has_btime = dev.has_btime;
	/* A mount point into procfs is shown, nothing below it; a root was chosen on purpose. */
	hi->masked = parent && (parent->masked || (dev.masked && parent->id.dev != dev.dev));
}

static void set_ops(struct inode *inode)
{
	inode->op = &hostfs_file_iops;
	inode->fop = special_fops(inode->mode);
	if (inode_is_dir(inode)) {
		inode->op = &hostfs_dir_iops;
		inode->fop = &hostfs_dir_fops;
	} else if (inode_is_lnk(inode)) {
		inode->op = &hostfs_symlink_iops;
	} else if (inode_is_reg(inode)) {
		inode->fop = &hostfs_reg_fops;
	}
}

static struct hostfs_inode *hostfs_inode_new(struct superblock *sb, struct hostfs_inode *parent,
					     const char *name, int hostfd, const struct statx *stx)
{
	struct hostfs_inode *hi = calloc(1, sizeof(*hi));

	if (!hi)
		return NULL;
	inode_init(&hi->inode, sb, stx->stx_mode, stx->stx_uid, stx->stx_gid);
	ident_of(stx, &hi->id);
	device_of(hi, parent, name, hostfd);
	hi->inode.ino = hostfs_shown_ino(sb, hi->dev_index, hi->id.ino);
	hi->inode.rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
	hi->hostfd = hi->created_hostfd = -1;
	list_init(&hi->lru);
	list_init(&hi->created_node);
	list_init(&hi->puts_node);
	list_init(&hi->files);
	set_ops(&hi->inode);
	return hi;
}

/*
 * The inode of an object that was just seen as `name` in `parent` (NULL: the root). The same
 * number with another type or birth time is a new object: the old inode leaves the table.
 */
int hostfs_iget(struct superblock *sb, struct hostfs_inode *parent, const char *name, int hostfd,
		const struct statx *stx, struct hostfs_inode **ret_hi)
{
	struct hostfs_inode *hi = NULL, *fresh = NULL;
	struct hostfs_ident id;
	struct inode *found;
	uint64_t key;
	int err = 0;

	ident_of(stx, &id);
	key = XXH3_64bits(&(uint64_t[]){id.dev, id.ino, id.mnt}, 3 * sizeof(uint64_t));
	while (!hi) {
		found = inode_lookup(sb, key);
		if (!found) {
			if (!fresh)
				fresh = hostfs_inode_new(sb, parent, name, hostfd, stx);
			if (!fresh)
				return -ENOMEM;
			err = inode_hash(&fresh->inode, key);
			if (err == 0)
				hi = steal_ptr(fresh);
			else if (err != -EEXIST)
				break;
			continue;
		}
		if (is_ident(hostfs_i(found), &id)) {
			hi = hostfs_i(found);
			break;
		}
		if (hostfs_i(found)->id.dev == id.dev && hostfs_i(found)->id.ino == id.ino &&
		    hostfs_i(found)->id.mnt == id.mnt)
			inode_unhash(found);
		else
			key++; /* a collision of the hash */
		inode_put(found);
	}
	if (fresh)
		inode_put(&fresh->inode);
	if (!hi)
		return err;
	hostfs_fill(hi, stx);
	if (parent)
		hostfs_set_place(hi, parent, name);
	*ret_hi = hi;
	return 0;
}

int hostfs_component(char buf[NAME_MAX + 1], const char *name, size_t len)
{
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	memcpy(buf, name, len);
	buf[len] = '\0';
	return 0;
}

int hostfs_stat_child(struct hostfs_inode *dir, const char *name, struct statx *ret_stx)
{
	int dirfd, err;

	if (dir->masked)
		return -ENOENT;
	err = hostfs_slot_get(dir, &dirfd);
	if (err)
		return err;
	err = host_statx(dirfd, name, ret_stx);
	hostfs_slot_put(dir);
	return err;
}

int hostfs_lookup_inode(struct inode *dir, const char *name, size_t len, struct inode **ret_inode)
{
	struct hostfs_inode *hi;
	char buf[NAME_MAX + 1];
	struct statx stx;
	int err;

	err = hostfs_component(buf, name, len);
	if (!err)
		err = hostfs_stat_child(hostfs_i(dir), buf, &stx);
	if (!err)
		err = hostfs_iget(dir->sb, hostfs_i(dir), buf, -1, &stx, &hi);
	if (!err)
		*ret_inode = &hi->inode;
	return err;
}

int hostfs_exists(struct inode *dir, const char *name, size_t len)
{
	char buf[NAME_MAX + 1];
	struct statx stx;
	int err;

	err = hostfs_component(buf, name, len);
	if (!err)
		err = hostfs_stat_child(hostfs_i(dir), buf, &stx);
	if (err == -ENOENT)
		return 0;
	return err ? err : 1;
}

int hostfs_check_name(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
	char buf[NAME_MAX + 1];
	struct statx stx;
	int err;

	err = hostfs_component(buf, name, len);
	if (!err)
		err = hostfs_stat_child(hostfs_i(dir), buf, &stx);
	if (err == -ENOENT)
		return inode == NULL;
	if (err)
		return err;
	if (!inode || !hostfs_same_object(hostfs_i(inode), &stx))
		return 0;
	hostfs_fill(hostfs_i(inode), &stx);
	hostfs_set_place(hostfs_i(inode), hostfs_i(dir), buf);
	return 1;
}

/* The name is gone: an open descriptor still knows the object. */
static int refresh_from_open(struct hostfs_inode *hi)
{
	cleanup_close int fd = hostfs_open_object(hi, O_PATH);

	return fd < 0 ? fd : 0; /* verification has filled the attributes */
}

int hostfs_refresh_max(struct hostfs_inode *hi, int64_t max_age_ns)
{
	int64_t read_at = atomic_load_explicit(&hi->attr_ns, memory_order_acquire);
	struct hostfs_place place;
	struct statx stx;
	int err;

	if (read_at != 0 && clock_monotonic_ns() - read_at <= max_age_ns)
		return 0;
	err = hostfs_place_get(hi, &place);
	if (err)
		return err;
	err = host_statx(place.hostfd, place.name, &stx);
	hostfs_place_put(&place);
	if (!err && hostfs_same_object(hi, &stx)) {
		hostfs_fill(hi, &stx);
		return 0;
	}
	if (err && err != -ENOENT)
		return err;
	return refresh_from_open(hi);
}

int hostfs_refresh(struct inode *inode)
{
	int64_t cache_ns = hostfs_info(inode->sb)->cache_ns;

	return hostfs_refresh_max(hostfs_i(inode), cache_ns ? cache_ns : HOSTFS_GRACE_NS);
}

int64_t hostfs_attr_version(struct inode *inode)
{
	return atomic_load_explicit(&hostfs_i(inode)->attr_ns, memory_order_acquire);
}

bool hostfs_is_at(struct inode *inode, struct inode *dir, const char *name)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	bool same;

	fb_mutex_lock(&hostfs_lock);
	same = hi->parent == hostfs_i(dir) && strcmp(hi->name, name) == 0;
	fb_mutex_unlock(&hostfs_lock);
	return same;
}

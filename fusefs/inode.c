/*
 * FUSE inodes: nodeid -> inode, lookup counts and FORGET, cached attributes and their versions.
 *
 * Versions (F23): fs->attr_version counts every change; a request samples it before it is sent,
 * and its reply's attributes count only if the inode has not changed since.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fusefs/fusefs.h"

#define NSEC_PER_SEC 1000000000LL

int64_t fuse_expiry_ns(uint64_t seconds, uint32_t nsec)
{
	int64_t now = clock_monotonic_ns();

	if (seconds == 0 && nsec == 0)
		return 0;
	if (nsec > 999999999)
		nsec = 999999999;
	if (seconds > (uint64_t)((INT64_MAX - now) / NSEC_PER_SEC - 1))
		return INT64_MAX;
	return now + (int64_t)seconds * NSEC_PER_SEC + nsec;
}

bool fuse_valid_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

bool fuse_attr_valid(const struct fuse_attr *attr)
{
	return fuse_valid_type(attr->mode) && attr->size <= INT64_MAX;
}

bool fuse_stale_inode(const struct inode *inode, uint64_t generation, const struct fuse_attr *attr)
{
	return fuse_i(inode)->generation != generation ||
	       ((inode->mode ^ attr->mode) & S_IFMT) != 0;
}

void fuse_make_bad(struct inode *inode)
{
	__atomic_store_n(&inode->bad, true, __ATOMIC_RELAXED);
	if (fuse_nodeid(inode) != FUSE_ROOT_ID)
		inode_unhash(inode);
}

uint64_t fuse_attr_version(const struct inode *inode)
{
	return atomic_load(&fuse_of(inode)->attr_version);
}

/* attr_lock held. */
static void bump_version_locked(struct inode *inode)
{
	fuse_i(inode)->attr_version = atomic_fetch_add(&fuse_of(inode)->attr_version, 1) + 1;
}

void fuse_bump_version(struct inode *inode)
{
	fb_mutex_lock(&inode->attr_lock);
	bump_version_locked(inode);
	fb_mutex_unlock(&inode->attr_lock);
}

void fuse_stale(struct inode *inode, uint32_t statx_mask)
{
	/* What somebody else has changed is not ours to date. */
	if (statx_mask != FUSE_STALE_ALL && (statx_mask & STATX_CTIME) && fuse_is_writeback(inode)) {
		inode_touch(inode, S_CTIME | (statx_mask & STATX_MTIME ? S_MTIME : 0));
		/* The daemon has dated what it has done itself. */
		if (statx_mask & STATX_MTIME)
			atomic_store(&fuse_i(inode)->times_dirty, true);
	}
	fuse_stale_undated(inode, statx_mask);
}

void fuse_stale_undated(struct inode *inode, uint32_t statx_mask)
{
	fb_mutex_lock(&inode->attr_lock);
	fuse_i(inode)->stale_mask |= statx_mask;
	fb_mutex_unlock(&inode->attr_lock);
}

void fuse_accessed(struct inode *inode)
{
	if (!(sb_flags(inode->sb) & SB_RDONLY))
		fuse_stale(inode, STATX_ATIME);
}

struct timespec fuse_wire_time(uint64_t sec, uint32_t nsec)
{
	struct timespec ts = {(time_t)sec, nsec > 999999999 ? 999999999 : nsec};

	return ts;
}

uint32_t fuse_shown_blksize(const struct superblock *sb, uint32_t blksize)
{
	if (blksize == 0)
		return sb->blksize;
	return 1u << (31 - (unsigned)__builtin_clz(blksize)); /* F28 */
}

/* The type never changes and is read without lock all over the VFS; so is what stays the same. */
static void set_mode(struct inode *inode, uint32_t permissions)
{
	uint32_t mode = (inode->mode & S_IFMT) | permissions;

	fuse_i(inode)->shown_mode = mode;
	/* F45: the daemon decides about deletion in sticky directories, unless we do it all. */
	if (!fuse_of(inode)->default_permissions)
		mode &= ~(uint32_t)S_ISVTX;
	if (mode != inode->mode)
		__atomic_store_n(&inode->mode, mode, __ATOMIC_RELAXED);
}

/* Everything but the size. attr_lock held (or the inode is new). */
static void take_attributes(struct inode *inode, const struct fuse_attr *attr, int64_t expiry_ns,
			    bool times)
{
	struct fuse_inode *fi = fuse_i(inode);

	bump_version_locked(inode);
	fi->stale_mask = 0;
	fi->attr_expiry_ns = expiry_ns;
	fi->btime_valid = false;
	if (inode->ino != attr->ino)
		inode->ino = attr->ino;
	set_mode(inode, attr->mode & 07777);
	inode->nlink = attr->nlink;
	inode->uid = attr->uid;
	inode->gid = attr->gid;
	inode->blocks = attr->blocks;
	inode->atime = fuse_wire_time(attr->atime, attr->atimensec);
	if (times) {
		inode->mtime = fuse_wire_time(attr->mtime, attr->mtimensec);
		inode->ctime = fuse_wire_time(attr->ctime, attr->ctimensec);
	}
	fi->shown_blksize = fuse_shown_blksize(inode->sb, attr->blksize);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

void fuse_change_attributes(struct inode *inode, const struct fuse_attr *attr, int64_t expiry_ns,
			    uint64_t version)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_conn *conn = fuse_conn_of(inode);
	bool ours = fuse_is_writeback(inode), drop = false; /* F27 */
	struct timespec old_mtime;
	int64_t old_size;

	fb_mutex_lock(&inode->attr_lock);
	if ((version != 0 && fi->attr_version > version) || fi->size_changing) {
		fb_mutex_unlock(&inode->attr_lock);
		return;
	}
	old_mtime = inode->mtime;
	old_size = inode->size;
	take_attributes(inode, attr, expiry_ns, !ours);
	if (!ours)
		inode->size = (int64_t)attr->size;
	atomic_store(&fi->nosec, false); /* F31 */
	fb_mutex_unlock(&inode->attr_lock);
	if (!inode_is_reg(inode) || ours)
		return;
	/* F26 */
	if (old_size != (int64_t)attr->size) {
		fuse_cache_truncate(&fi->cache, (int64_t)attr->size);
		drop = !fuse_conn_has(conn, FUSE_EXPLICIT_INVAL_DATA) ||
		       fuse_conn_has(conn, FUSE_AUTO_INVAL_DATA);
	} else if (fuse_conn_has(conn, FUSE_AUTO_INVAL_DATA)) {
		struct timespec mtime = fuse_wire_time(attr->mtime, attr->mtimensec);

		drop = !same_time(&old_mtime, &mtime);
	}
	if (drop)
		fuse_cache_drop(&fi->cache);
}

void fuse_size_changing(struct inode *inode, int delta)
{
	fb_mutex_lock(&inode->attr_lock);
	fuse_i(inode)->size_changing += (unsigned)delta;
	fb_mutex_unlock(&inode->attr_lock);
}

void fuse_count_lookup(struct inode *inode)
{
	fb_mutex_lock(&inode->attr_lock);
	fuse_i(inode)->nlookup++;
	fb_mutex_unlock(&inode->attr_lock);
}

void fuse_forget_one(struct superblock *sb, uint64_t nodeid, unsigned incarnation)
{
	struct fuse_forget *forget;

	if (nodeid == 0)
		return;
	forget = malloc(sizeof(*forget));
	if (forget)
		fuse_conn_forget(fuse_sb(sb)->conn, forget, nodeid, 1, incarnation);
}

static void set_methods(struct inode *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		inode->op = &fuse_file_inode_ops;
		inode->fop = &fuse_file_file_ops;
		break;
	case S_IFDIR:
		inode->op = &fuse_dir_inode_ops;
		inode->fop = &fuse_dir_file_ops;
		break;
	case S_IFLNK:
		inode->op = &fuse_symlink_inode_ops;
		break;
	default: /* F167: the VFS opens special files, nobody asks the daemon */
		inode->op = &fuse_file_inode_ops;
	}
}

static struct inode *inode_new(struct superblock *sb, uint64_t nodeid, uint64_t generation,
			       unsigned incarnation, const struct fuse_attr *attr,
			       int64_t expiry_ns)
{
	struct fuse_inode *fi = calloc(1, sizeof(*fi));
	struct inode *inode;

	if (!fi)
		return NULL;
	fi->forget = malloc(sizeof(*fi->forget));
	if (!fi->forget) {
		free(fi);
		return NULL;
	}
	inode = &fi->inode;
	inode_init(inode, sb, attr->mode, attr->uid, attr->gid);
	fi->nodeid = nodeid;
	fi->generation = generation;
	atomic_init(&fi->incarnation, incarnation);
	sleep_mutex_init(&fi->dir_mutex);
	fuse_cache_init(&fi->cache);
	fuse_dircache_init(&fi->listing);
	waitq_init(&fi->written);
	waitq_init(&fi->uncached_done);
	sleep_mutex_init(&fi->writeback_mutex);
	fuse_mapped_init(fi);
	inode->rdev = makedev(fuse_dev_major(attr->rdev), fuse_dev_minor(attr->rdev));
	inode->size = (int64_t)attr->size;
	fb_mutex_lock(&inode->attr_lock);
	take_attributes(inode, attr, expiry_ns, true);
	fb_mutex_unlock(&inode->attr_lock);
	set_methods(inode);
	return inode;
}

struct inode *fuse_find_inode(struct superblock *sb, uint64_t nodeid)
{
	struct inode *inode = inode_lookup(sb, nodeid);

	if (inode && nodeid != FUSE_ROOT_ID &&
	    atomic_load(&fuse_i(inode)->incarnation) != fuse_sb(sb)->conn->incarnation) {
		inode_put(inode); /* a dead daemon called it so */
		return NULL;
	}
	return inode;
}

/*
 * Enters the inode under its nodeid, which may stand for another one at a daemon that is dead.
 * -EEXIST: the daemon has called another inode so already.
 */
static int hash_inode(struct inode *inode, uint64_t nodeid, unsigned incarnation)
{
	struct inode *old;
	int err;

	while ((err = inode_hash(inode, nodeid)) == -EEXIST) {
		old = inode_lookup(inode->sb, nodeid);
		if (old && atomic_load(&fuse_i(old)->incarnation) == incarnation) {
			inode_put(old);
			return err;
		}
		if (old)
			inode_unhash(old);
		inode_put(old);
	}
	return err;
}

void fuse_inode_rebind(struct inode *inode, const struct fuse_entry_out *out, unsigned incarnation)
{
	struct fuse_inode *fi = fuse_i(inode);

	inode_unhash(inode);
	fb_mutex_lock(&inode->attr_lock);
	__atomic_store_n(&fi->nodeid, out->nodeid, __ATOMIC_RELAXED);
	fi->generation = out->generation;
	fi->nlookup = 1;
	fb_mutex_unlock(&inode->attr_lock);
	atomic_store(&fi->incarnation, incarnation);
	fuse_forget_acls(inode);
	fuse_forget_link(inode);
	fuse_dircache_reset(&fi->listing);
	/*
	 * Another link to it may have been walked before. Two inodes then stand for one file until
	 * this one is closed: better than an error for those who have it open.
	 */
	(void)hash_inode(inode, out->nodeid, incarnation);
}

/* The cached inode that the daemon means, or NULL. Those that are not it any more are bad. */
static struct inode *find_same(struct superblock *sb, uint64_t nodeid, uint64_t generation,
			       unsigned incarnation, const struct fuse_attr *attr)
{
	struct inode *inode;

	while ((inode = inode_lookup(sb, nodeid))) {
		bool known = nodeid == FUSE_ROOT_ID ||
			     atomic_load(&fuse_i(inode)->incarnation) == incarnation;

		if (known && !fuse_stale_inode(inode, generation, attr) && !fuse_is_bad(inode))
			return inode;
		if (known)
			fuse_make_bad(inode); /* F10: it stands for another object now */
		if (nodeid == FUSE_ROOT_ID)
			return inode;
		inode_unhash(inode);
		inode_put(inode);
	}
	return NULL;
}

int fuse_iget(struct superblock *sb, uint64_t nodeid, uint64_t generation, unsigned incarnation,
	      const struct fuse_attr *attr, int64_t expiry_ns, uint64_t version, uint64_t evicted,
	      struct inode **ret_inode)
{
	/* What a daemon said that has died meanwhile is true, but the number says nothing. */
	bool alive = incarnation == fuse_sb(sb)->conn->incarnation;
	struct inode *inode;
	int err;

	for (;;) {
		inode = alive ? find_same(sb, nodeid, generation, incarnation, attr) : NULL;
		if (inode) {
			if (fuse_is_bad(inode))
				break;
			fuse_count_lookup(inode);
			fuse_change_attributes(inode, attr, expiry_ns, version);
			break;
		}
		/* F24: an eviction may mean that these attributes are older than a change. */
		if (evicted != atomic_load(&fuse_sb(sb)->evict_count))
			expiry_ns = 0;
		inode = inode_new(sb, nodeid, generation, incarnation, attr, expiry_ns);
		if (!inode)
			return -ENOMEM;
		err = alive ? inode_hash(inode, nodeid) : 0;
		if (err == 0) {
			fuse_count_lookup(inode);
			break;
		}
		inode_put(inode); /* counted nothing: no FORGET */
		if (err != -EEXIST)
			return err;
	}
	*ret_inode = inode;
	return 0;
}

void fuse_evict_inode(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);
	struct fuse_super *fs = fuse_of(inode);

	if (inode->sb->dying) /* D72: an unmounted daemon hears no FORGET */
		return;
	if (inode->nlink > 0)
		atomic_fetch_add(&fs->evict_count, 1);
	if (fi->nlookup > 0) {
		fuse_conn_forget(fs->conn, fi->forget, fi->nodeid, fi->nlookup,
				 atomic_load(&fi->incarnation));
		fi->forget = NULL;
	}
}

void fuse_free_inode(struct inode *inode)
{
	struct fuse_inode *fi = fuse_i(inode);

	fuse_cache_destroy(&fi->cache);
	fuse_dircache_destroy(&fi->listing);
	free(fi->target);
	acl_store_free(&fi->acls);
	free(fi->forget);
	free(fi);
}

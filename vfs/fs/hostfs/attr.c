/*
 * Attributes, symlink targets, extended attributes. Reads may go by name (statx says whom it
 * described); changes go through a descriptor that was verified to be the object, because the
 * permission check was made on that and not on whatever has its name now.
 */
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/attr.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

int hostfs_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
		   uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;
	int err;

	(void)ctx;
	(void)mask;
	if (!(flags & AT_STATX_DONT_SYNC)) {
		err = (flags & AT_STATX_FORCE_SYNC) ? hostfs_refresh_max(hostfs_i(inode), -1)
						    : hostfs_refresh(inode);
		if (err)
			return err;
	}
	generic_fillattr(inode, ret_stat);
	ret_stat->blksize = 4096;
	return 0;
}

/* A walk that starts at a root, cwd or dirfd revalidates no entry for it. */
int hostfs_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	int err = hostfs_refresh(inode);

	return err ? err : generic_permission(ctx, inode, mask);
}

static int set_owner(struct hostfs_inode *hi, int fd, const struct iattr *attr)
{
	uid_t uid = (attr->valid & ATTR_UID) ? attr->uid : (uid_t)-1;
	gid_t gid = (attr->valid & ATTR_GID) ? attr->gid : (gid_t)-1;

	/* What is so already needs no permission of the host's. */
	if (uid == hi->inode.uid)
		uid = (uid_t)-1;
	if (gid == hi->inode.gid)
		gid = (gid_t)-1;
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	return host_chown(fd, uid, gid);
}

static struct timespec new_time(const struct iattr *attr, unsigned which, unsigned set,
				const struct timespec *value)
{
	if (!(attr->valid & which))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (!(attr->valid & set))
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return *value;
}

static int set_times(int fd, const struct iattr *attr)
{
	struct timespec times[2];

	times[0] = new_time(attr, ATTR_ATIME, ATTR_ATIME_SET, &attr->atime);
	times[1] = new_time(attr, ATTR_MTIME, ATTR_MTIME_SET, &attr->mtime);
	return host_utimens(fd, times);
}

static int set_size(struct hostfs_inode *hi, const struct iattr *attr)
{
	cleanup_close int fd = -1;

	if ((attr->valid & ATTR_FILE) && attr->file && attr->file->op == &hostfs_reg_fops &&
	    (attr->file->fmode & FMODE_WRITE) && attr->file->private) {
		struct hostfs_file *hf = attr->file->private;

		return (int)HOST(ftruncate(hf->hostfd, attr->size));
	}
	fd = hostfs_open_object(hi, O_WRONLY);
	if (fd < 0)
		return fd;
	return (int)HOST(ftruncate(fd, attr->size));
}

/* Everything that is not the size, through a verified descriptor. */
static int set_rest(struct hostfs_inode *hi, const struct iattr *attr)
{
	cleanup_close int fd = hostfs_open_object(hi, O_PATH);
	int err = 0;

	if (fd < 0)
		return fd;
	if (attr->valid & (ATTR_UID | ATTR_GID))
		err = set_owner(hi, fd, attr);
	/* After chown: the host may have cleared set-id bits that the guest's kernel would keep. */
	if (!err && (attr->valid & ATTR_MODE))
		err = host_chmod(fd, attr->mode & 07777);
	if (!err && (attr->valid & (ATTR_ATIME | ATTR_MTIME)))
		err = set_times(fd, attr);
	return err;
}

int hostfs_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = dentry->inode;
	struct hostfs_inode *hi = hostfs_i(inode);
	int err, fresh;

	err = setattr_prepare(ctx, inode, attr);
	if (err)
		return err;
	if (hostfs_info(inode->sb)->read_only)
		return -EROFS;
	if (attr->valid & ATTR_SIZE)
		err = set_size(hi, attr);
	/* A change of size alone sets the times on the host by itself. */
	if (!err && (attr->valid & (ATTR_UID | ATTR_GID | ATTR_MODE)))
		err = set_rest(hi, attr);
	else if (!err && !(attr->valid & ATTR_SIZE) && (attr->valid & (ATTR_ATIME | ATTR_MTIME)))
		err = set_rest(hi, attr);
	hostfs_attr_changed(hi);
	fresh = hostfs_refresh_max(hi, 0);
	return err ? err : fresh;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static struct timespec inode_ctime(struct inode *inode)
{
	struct timespec ctime;

	fb_mutex_lock(&inode->attr_lock);
	ctime = inode->ctime;
	fb_mutex_unlock(&inode->attr_lock);
	return ctime;
}

/*
 * The text of a symlink never changes, but its inode number may be used again; then its ctime is
 * another. So a text is kept with the ctime that this very object shows after the reading.
 */
static void keep_target(struct hostfs_inode *hi, const char *target)
{
	struct timespec ctime;
	char *copy;

	if (hostfs_refresh_max(hi, 0))
		return;
	ctime = inode_ctime(&hi->inode);
	copy = strdup(target);
	fb_mutex_lock(&hostfs_lock);
	free(hi->target);
	hi->target = copy;
	hi->target_ctime = ctime;
	fb_mutex_unlock(&hostfs_lock);
}

static char *kept_target(struct hostfs_inode *hi)
{
	struct timespec ctime = inode_ctime(&hi->inode);
	char *copy = NULL;

	fb_mutex_lock(&hostfs_lock);
	if (hi->target && same_time(&hi->target_ctime, &ctime))
		copy = strdup(hi->target);
	fb_mutex_unlock(&hostfs_lock);
	return copy;
}

int hostfs_get_target(struct inode *inode, char **ret_target)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	struct hostfs_place place;
	cleanup_free char *buf = NULL;
	char *copy;
	ssize_t n;
	int err;

	if (hi->masked)
		return -EACCES;
	copy = kept_target(hi);
	if (copy) {
		*ret_target = copy;
		return 0;
	}
	buf = malloc(PATH_MAX + 1);
	if (!buf)
		return -ENOMEM;
	err = hostfs_place_get(hi, &place);
	if (err)
		return err;
	n = HOST(readlinkat(place.hostfd, place.name, buf, PATH_MAX));
	hostfs_place_put(&place);
	if (n < 0) /* another object has the name now: look it up again */
		return n == -EINVAL || n == -ENOENT ? -ESTALE : (int)n;
	buf[n] = '\0';
	keep_target(hi, buf);
	*ret_target = strdup(buf);
	return *ret_target ? 0 : -ENOMEM;
}

int hostfs_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
		    char **ret_target, struct path *ret_path)
{
	(void)ctx;
	(void)dentry;
	(void)ret_path;
	return hostfs_get_target(inode, ret_target);
}

/* The attributes that mean something for a guest: its own, and file capabilities for exec. */
static bool xattr_is_shown(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static bool xattr_has_any(const struct hostfs_inode *hi)
{
	return !hi->masked && (S_ISREG(hi->id.type) || S_ISDIR(hi->id.type));
}

/* A directory's slot is O_PATH, which the f*xattr calls refuse; "." of it is not. */
static const char *xattr_path(const struct hostfs_inode *hi, const struct hostfs_place *place)
{
	return place->name[0] == '\0' && (S_ISDIR(hi->id.type) || hi->slot_is_path) ? "."
										    : place->name;
}

ssize_t hostfs_inode_getxattr(struct inode *inode, const char *name, void *value, size_t size)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	struct hostfs_place place;
	ssize_t n;
	int err;

	if (!xattr_is_shown(name))
		return -EOPNOTSUPP;
	if (!xattr_has_any(hi))
		return -ENODATA;
	err = hostfs_place_get(hi, &place);
	if (err)
		return err;
	n = host_getxattr(place.hostfd, xattr_path(hi, &place), name, value, size);
	hostfs_place_put(&place);
	return n == -ENOENT ? -ESTALE : n;
}

/* Keeps the shown names of `all` (len bytes); returns their length, or -ERANGE. */
static ssize_t filter_names(const char *all, size_t len, char *list, size_t size)
{
	size_t off, used = 0, n;

	for (off = 0; off < len; off += n) {
		n = strnlen(all + off, len - off) + 1;
		if (!xattr_is_shown(all + off))
			continue;
		if (size != 0) {
			if (used + n > size)
				return -ERANGE;
			memcpy(list + used, all + off, n);
		}
		used += n;
	}
	return (ssize_t)used;
}

ssize_t hostfs_inode_listxattr(struct inode *inode, char *list, size_t size)
{
	struct hostfs_inode *hi = hostfs_i(inode);
	struct hostfs_place place;
	cleanup_free char *all = NULL;
	ssize_t n;
	int err;

	if (!xattr_has_any(hi))
		return 0;
	err = hostfs_place_get(hi, &place);
	if (err)
		return err;
	n = host_listxattr(place.hostfd, xattr_path(hi, &place), NULL, 0);
	if (n > 0) {
		all = calloc(1, XATTR_LIST_MAX + 1);
		n = all ? host_listxattr(place.hostfd, xattr_path(hi, &place), all, XATTR_LIST_MAX)
			: -ENOMEM;
	}
	hostfs_place_put(&place);
	if (n == -EOPNOTSUPP)
		return 0;
	if (n <= 0)
		return n == -ENOENT ? -ESTALE : n;
	return filter_names(all, (size_t)n, list, size);
}

ssize_t hostfs_getxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
			void *value, size_t size)
{
	(void)ctx;
	return hostfs_inode_getxattr(dentry->inode, name, value, size);
}

ssize_t hostfs_listxattr(const struct op_ctx *ctx, struct dentry *dentry, char *list, size_t size)
{
	(void)ctx;
	return hostfs_inode_listxattr(dentry->inode, list, size);
}

/* A descriptor for fsetxattr(): the mode may allow reading, or only writing. */
static int open_for_change(struct hostfs_inode *hi)
{
	int fd;

	if (hostfs_info(hi->inode.sb)->read_only)
		return -EROFS;
	if (!xattr_has_any(hi))
		return -EPERM;
	fd = hostfs_open_object(hi, O_RDONLY);
	if (fd == -EACCES && S_ISREG(hi->id.type))
		fd = hostfs_open_object(hi, O_WRONLY);
	return fd;
}

int hostfs_setxattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name,
		    const void *value, size_t size, int flags)
{
	struct hostfs_inode *hi = hostfs_i(dentry->inode);
	cleanup_close int fd = -1;
	int err;

	(void)ctx;
	/* File capabilities would be real on the host: not a guest's to give. */
	if (strncmp(name, "user.", 5) != 0)
		return -EOPNOTSUPP;
	fd = open_for_change(hi);
	if (fd < 0)
		return fd;
	err = host_setxattr(fd, name, value, size, flags);
	hostfs_attr_changed(hi);
	return err;
}

int hostfs_removexattr(const struct op_ctx *ctx, struct dentry *dentry, const char *name)
{
	struct hostfs_inode *hi = hostfs_i(dentry->inode);
	cleanup_close int fd = -1;
	int err;

	(void)ctx;
	if (strncmp(name, "user.", 5) != 0)
		return -EOPNOTSUPP;
	fd = open_for_change(hi);
	if (fd < 0)
		return fd;
	err = host_removexattr(fd, name);
	hostfs_attr_changed(hi);
	return err;
}

int hostfs_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs)
{
	struct hostfs_place place;
	struct statfs fs;
	int err;

	(void)ctx;
	/* The directory answers for a name in it: the same host file system but for mount points.
	 */
	err = hostfs_place_get(hostfs_i(dentry->inode), &place);
	if (err)
		return err;
	err = (int)HOST(fstatfs(place.hostfd, &fs));
	hostfs_place_put(&place);
	if (err)
		return err;
	ret_statfs->type = (uint64_t)fs.f_type;
	ret_statfs->bsize = (uint64_t)fs.f_bsize;
	ret_statfs->frsize = (uint64_t)fs.f_frsize;
	ret_statfs->blocks = fs.f_blocks;
	ret_statfs->bfree = fs.f_bfree;
	ret_statfs->bavail = fs.f_bavail;
	ret_statfs->files = fs.f_files;
	ret_statfs->ffree = fs.f_ffree;
	ret_statfs->namelen = (uint64_t)fs.f_namelen;
	memcpy(&ret_statfs->fsid, &fs.f_fsid, sizeof(ret_statfs->fsid));
	return 0;
}

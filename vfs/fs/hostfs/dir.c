/*
 * Names: lookup and revalidation, and the directory changes of a writable mount. The VFS holds the
 * directories' locks, so names change under us only from the host's side; the host's own errors
 * (EEXIST, ENOTEMPTY, ...) are then the truth and pass through.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/hostfs/hostfs_internal.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

static void trust(struct dentry *dentry, int64_t cache_ns)
{
	uint64_t until = cache_ns ? (uint64_t)(clock_monotonic_ns() + cache_ns) : 0;

	__atomic_store_n(&dentry->fs_time_ns, until, __ATOMIC_RELAXED);
}

static int hostfs_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 unsigned flags, struct dentry **ret_alias)
{
	struct inode *inode = NULL;
	int err;

	(void)ctx;
	(void)flags;
	err = hostfs_lookup_inode(dir, dentry->name, dentry->name_len, &inode);
	if (err && err != -ENOENT)
		return err;
	trust(dentry, hostfs_info(dir->sb)->cache_ns);
	/* The host may have moved a directory that we know under another name. */
	if (inode && inode_is_dir(inode))
		return d_splice_alias(dentry, inode, ret_alias);
	d_add(dentry, inode);
	return 0;
}

static int hostfs_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			     unsigned flags)
{
	int64_t cache_ns = hostfs_info(dentry->sb)->cache_ns;
	cleanup_free char *name = NULL;
	int valid;

	(void)ctx;
	/* What happens on the host below a guest's mount must not take the mount away. */
	if (dentry_test(dentry, DENTRY_MOUNTED))
		return 1;
	if (cache_ns && !(flags & LOOKUP_REVAL) &&
	    (uint64_t)clock_monotonic_ns() < __atomic_load_n(&dentry->fs_time_ns, __ATOMIC_RELAXED))
		return 1;
	name = dentry_name(dentry);
	if (!name)
		return -ENOMEM;
	/* A negative entry may turn positive meanwhile. */
	valid = hostfs_check_name(dir->inode, name, strlen(name),
				  __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE));
	if (valid == 1)
		trust(dentry, cache_ns);
	return valid < 0 ? 0 : valid; /* the lookup that follows reports the error */
}

/* Who owns what ctx creates in dir (cf. inode_init_owner()). */
static gid_t new_gid(const struct op_ctx *ctx, const struct inode *dir)
{
	uint32_t mode = __atomic_load_n(&dir->mode, __ATOMIC_RELAXED);

	return (mode & S_ISGID) ? dir->gid : ctx->cred->fsgid;
}

/*
 * The object was made with the sentry's own ids. Where the host lets us, it becomes the guest's;
 * where not, it stays what it is, and stat tells so.
 */
static void give_to_guest(const struct op_ctx *ctx, struct inode *dir, struct hostfs_inode *hi,
			  uint32_t mode)
{
	struct inode *inode = &hi->inode;
	cleanup_close int fd = -1;
	struct statx stx;

	if (!ctx->cred || (inode->uid == ctx->cred->fsuid && inode->gid == new_gid(ctx, dir)))
		return;
	fd = hostfs_open_object(hi, O_PATH);
	if (fd < 0 || host_chown(fd, ctx->cred->fsuid, new_gid(ctx, dir)))
		return;
	/* chown clears set-id bits (chown(2)). */
	if (!S_ISLNK(inode->mode) && (mode & (S_ISUID | S_ISGID)))
		(void)host_chmod(fd, mode & 07777);
	if (host_statx(fd, "", &stx) == 0)
		hostfs_fill(hi, &stx);
}

/* The dentry's name was just made in dir: bind it to its inode. */
static int instantiate(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       const char *name, uint32_t mode, struct hostfs_inode **ret_hi)
{
	struct hostfs_inode *hi;
	struct statx stx;
	int err;

	err = hostfs_stat_child(hostfs_i(dir), name, &stx);
	if (!err)
		err = hostfs_iget(dir->sb, hostfs_i(dir), name, -1, &stx, &hi);
	if (err)
		return err;
	give_to_guest(ctx, dir, hi, mode);
	hostfs_attr_changed(hostfs_i(dir));
	trust(dentry, hostfs_info(dir->sb)->cache_ns);
	if (ret_hi) {
		inode_get(&hi->inode);
		*ret_hi = hi;
	}
	d_instantiate(dentry, &hi->inode);
	return 0;
}

/* The start of every change: a writable place, a plain name, the directory's descriptor. */
static int begin_change(struct inode *dir, struct dentry *dentry, char name[NAME_MAX + 1],
			int *ret_dirfd)
{
	int err;

	if (hostfs_info(dir->sb)->read_only)
		return -EROFS;
	if (hostfs_i(dir)->masked)
		return -EACCES;
	err = hostfs_component(name, dentry->name, dentry->name_len);
	if (err)
		return err;
	return hostfs_slot_get(hostfs_i(dir), ret_dirfd);
}

static int hostfs_create(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 uint32_t mode, bool excl)
{
	struct hostfs_inode *hi;
	cleanup_close int fd = -1;
	char name[NAME_MAX + 1];
	int dirfd, err;

	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	fd = host_open(dirfd, name, O_CREAT | O_EXCL | O_RDWR, mode & 07777);
	/* Made on the host since we looked: without O_EXCL the caller looks again and opens it. */
	err = fd == -EEXIST && !excl ? -ESTALE : fd < 0 ? fd : 0;
	if (!err)
		err = instantiate(ctx, dir, dentry, name, mode, &hi);
	hostfs_slot_put(hostfs_i(dir));
	if (err)
		return err;
	/*
	 * For the open that follows: the mode may allow nobody, not even its maker, to open the
	 * file again (git writes objects with mode 0444).
	 */
	hostfs_keep_created(hi, steal_fd(&fd));
	inode_put(&hi->inode);
	return 0;
}

static int hostfs_mkdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			uint32_t mode)
{
	char name[NAME_MAX + 1];
	int dirfd, err;

	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	err = (int)HOST(mkdirat(dirfd, name, mode & 07777));
	if (!err)
		err = instantiate(ctx, dir, dentry, name, mode, NULL);
	hostfs_slot_put(hostfs_i(dir));
	return err;
}

static int hostfs_mknod(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			uint32_t mode, dev_t rdev)
{
	char name[NAME_MAX + 1];
	int dirfd, err;

	(void)rdev;
	/* A device node would be real on the host. */
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM;
	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	err = (int)HOST(mknodat(dirfd, name, mode & (S_IFMT | 07777), 0));
	if (!err)
		err = instantiate(ctx, dir, dentry, name, mode, NULL);
	hostfs_slot_put(hostfs_i(dir));
	return err;
}

static int hostfs_symlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			  const char *target)
{
	char name[NAME_MAX + 1];
	int dirfd, err;

	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	err = (int)HOST(symlinkat(target, dirfd, name));
	if (!err)
		err = instantiate(ctx, dir, dentry, name, 0777, NULL);
	hostfs_slot_put(hostfs_i(dir));
	return err;
}

static int hostfs_link(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		       struct dentry *dentry)
{
	struct hostfs_inode *hi = hostfs_i(old->inode);
	struct hostfs_place place;
	char name[NAME_MAX + 1];
	struct statx stx;
	int dirfd, err;

	(void)ctx;
	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	/* "" would need CAP_DAC_READ_SEARCH on the host (linkat(2)); a name does not. */
	err = hostfs_place_get_named(hi, &place);
	if (err == -ESTALE)
		err = hostfs_place_get(hi, &place);
	if (err)
		goto out_dir;
	err = (int)HOST(
		linkat(place.hostfd, place.name, dirfd, name, place.name[0] ? 0 : AT_EMPTY_PATH));
	if (err)
		goto out_place;
	err = hostfs_stat_child(hostfs_i(dir), name, &stx);
	if (!err && !hostfs_same_object(hi, &stx)) {
		/* The old name was taken over on the host meanwhile: not the file we mean. */
		(void)HOST(unlinkat(dirfd, name, 0));
		err = -ESTALE;
	}
	if (err)
		goto out_place;
	hostfs_fill(hi, &stx);
	hostfs_attr_changed(hostfs_i(dir));
	trust(dentry, hostfs_info(dir->sb)->cache_ns);
	d_instantiate(dentry, inode_get(&hi->inode));
out_place:
	hostfs_place_put(&place);
out_dir:
	hostfs_slot_put(hostfs_i(dir));
	return err;
}

/* A name went. The number of an object without names is the host's to use again. */
static void link_dropped(struct inode *inode)
{
	hostfs_attr_changed(hostfs_i(inode));
	inode_add_nlink(inode, inode_is_dir(inode) ? -(int)inode->nlink : -1);
	if (inode->nlink == 0)
		inode_unhash(inode);
}

static int remove_name(struct inode *dir, struct dentry *dentry, int flags)
{
	struct hostfs_inode *victim = hostfs_i(dentry->inode);
	char name[NAME_MAX + 1];
	int dirfd, err;

	err = begin_change(dir, dentry, name, &dirfd);
	if (err)
		return err;
	/* The dentry holds one reference; more mean an open file, a cwd, or another name. */
	if (ref_read(&victim->inode.ref) > 1)
		hostfs_slot_pin(victim);
	err = (int)HOST(unlinkat(dirfd, name, flags));
	hostfs_slot_put(hostfs_i(dir));
	if (err)
		return err;
	hostfs_attr_changed(hostfs_i(dir));
	link_dropped(&victim->inode);
	return 0;
}

static int hostfs_unlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	(void)ctx;
	return remove_name(dir, dentry, 0);
}

static int hostfs_rmdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	(void)ctx;
	return remove_name(dir, dentry, AT_REMOVEDIR);
}

static int hostfs_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old_dentry,
			 struct inode *new_dir, struct dentry *new_dentry, unsigned flags)
{
	struct inode *target = new_dentry->inode;
	cleanup_free char *names = malloc(2 * (NAME_MAX + 1));
	char *old_name = names, *new_name = names ? names + NAME_MAX + 1 : NULL;
	int old_dirfd, new_dirfd, err;

	(void)ctx;
	if (!names)
		return -ENOMEM;
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = begin_change(old_dir, old_dentry, old_name, &old_dirfd);
	if (err)
		return err;
	err = begin_change(new_dir, new_dentry, new_name, &new_dirfd);
	if (err)
		goto out_old;
	if (target && !(flags & RENAME_EXCHANGE) && ref_read(&target->ref) > 1)
		hostfs_slot_pin(hostfs_i(target));
	err = (int)HOST(syscall(SYS_renameat2, old_dirfd, old_name, new_dirfd, new_name, flags));
	if (err)
		goto out_new;
	hostfs_set_place(hostfs_i(old_dentry->inode), hostfs_i(new_dir), new_name);
	hostfs_attr_changed(hostfs_i(old_dentry->inode));
	hostfs_attr_changed(hostfs_i(old_dir));
	hostfs_attr_changed(hostfs_i(new_dir));
	if (target && (flags & RENAME_EXCHANGE)) {
		hostfs_attr_changed(hostfs_i(target));
		hostfs_set_place(hostfs_i(target), hostfs_i(old_dir), old_name);
	} else if (target) {
		link_dropped(target);
	}
out_new:
	hostfs_slot_put(hostfs_i(new_dir));
out_old:
	hostfs_slot_put(hostfs_i(old_dir));
	return err;
}

const struct dentry_ops hostfs_dops = {
	.revalidate = hostfs_revalidate,
};

const struct inode_ops hostfs_dir_iops = {
	.lookup = hostfs_lookup,
	.create = hostfs_create,
	.mkdir = hostfs_mkdir,
	.mknod = hostfs_mknod,
	.symlink = hostfs_symlink,
	.link = hostfs_link,
	.unlink = hostfs_unlink,
	.rmdir = hostfs_rmdir,
	.rename = hostfs_rename,
	.permission = hostfs_permission,
	.setattr = hostfs_setattr,
	.getattr = hostfs_getattr,
	.getxattr = hostfs_getxattr,
	.setxattr = hostfs_setxattr,
	.listxattr = hostfs_listxattr,
	.removexattr = hostfs_removexattr,
};

const struct inode_ops hostfs_file_iops = {
	.setattr = hostfs_setattr,
	.getattr = hostfs_getattr,
	.getxattr = hostfs_getxattr,
	.setxattr = hostfs_setxattr,
	.listxattr = hostfs_listxattr,
	.removexattr = hostfs_removexattr,
};

const struct inode_ops hostfs_symlink_iops = {
	.get_link = hostfs_get_link,
	.setattr = hostfs_setattr,
	.getattr = hostfs_getattr,
	.getxattr = hostfs_getxattr,
	.listxattr = hostfs_listxattr,
};

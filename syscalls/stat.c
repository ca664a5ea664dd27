/* stat(2), statx(2), statfs(2), access(2), readlink(2): asking about a place without opening it. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/uring.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/file.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

static int64_t stat_to_guest(struct task *task, gva_t dst_gva, const struct kstat *ks)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	st.st_dev = ks->dev;
	st.st_ino = ks->ino;
	st.st_mode = ks->mode;
	st.st_nlink = ks->nlink;
	st.st_uid = ks->uid;
	st.st_gid = ks->gid;
	st.st_rdev = ks->rdev;
	st.st_size = (off_t)ks->size;
	st.st_blksize = ks->blksize;
	st.st_blocks = (blkcnt_t)ks->blocks;
	st.st_atim = ks->atime;
	st.st_mtim = ks->mtime;
	st.st_ctim = ks->ctime;
	return copy_to_guest(task, dst_gva, &st, sizeof(st));
}

static int64_t stat_op(const struct op_ctx *ctx, const struct path *path, void *ret_stat)
{
	return vfs_getattr(ctx, path, ret_stat, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);
}

static int64_t stat_common(struct task *task, int dirfd, gva_t name_gva, unsigned lookup,
			   gva_t dst_gva)
{
	struct kstat ks = {0};
	int64_t err;

	err = at_path_do(task, task_ctx(task), dirfd, name_gva, lookup, stat_op, &ks);
	return err ? err : stat_to_guest(task, dst_gva, &ks);
}

int64_t sys_stat(struct task *task, const uint64_t *args)
{
	return stat_common(task, AT_FDCWD, args[0], LOOKUP_FOLLOW, args[1]);
}

int64_t sys_lstat(struct task *task, const uint64_t *args)
{
	return stat_common(task, AT_FDCWD, args[0], 0, args[1]);
}

int64_t sys_fstat(struct task *task, const uint64_t *args)
{
	struct kstat ks = {0};
	int64_t err = fd_path_do(task, (int)args[0], true, stat_op, &ks);

	return err ? err : stat_to_guest(task, args[1], &ks);
}

int64_t sys_newfstatat(struct task *task, const uint64_t *args)
{
	int flags = (int)args[3];

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	return stat_common(task, (int)args[0], args[1],
			   at_lookup_flags(flags, true) | LOOKUP_NULL_EMPTY, args[2]);
}

static struct statx_timestamp statx_time(const struct timespec *ts)
{
	return (struct statx_timestamp){.tv_sec = ts->tv_sec, .tv_nsec = (uint32_t)ts->tv_nsec};
}

static int64_t statx_to_guest(struct task *task, gva_t dst_gva, const struct kstat *ks)
{
	struct statx sx;

	memset(&sx, 0, sizeof(sx));
	sx.stx_mask = ks->result_mask;
	sx.stx_blksize = ks->blksize;
	sx.stx_attributes = ks->attributes;
	sx.stx_attributes_mask = ks->attributes_mask;
	sx.stx_nlink = ks->nlink;
	sx.stx_uid = ks->uid;
	sx.stx_gid = ks->gid;
	sx.stx_mode = (uint16_t)ks->mode;
	sx.stx_ino = ks->ino;
	sx.stx_size = ks->size;
	sx.stx_blocks = ks->blocks;
	sx.stx_atime = statx_time(&ks->atime);
	sx.stx_btime = statx_time(&ks->btime);
	sx.stx_ctime = statx_time(&ks->ctime);
	sx.stx_mtime = statx_time(&ks->mtime);
	sx.stx_rdev_major = major(ks->rdev);
	sx.stx_rdev_minor = minor(ks->rdev);
	sx.stx_dev_major = major(ks->dev);
	sx.stx_dev_minor = minor(ks->dev);
	sx.stx_mnt_id = ks->mnt_id;
	return copy_to_guest(task, dst_gva, &sx, sizeof(sx));
}

struct statx_request {
	struct kstat ks;
	uint32_t mask;
	unsigned flags;
};

static int64_t statx_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct statx_request *req = arg;

	return vfs_getattr(ctx, path, &req->ks, req->mask, req->flags);
}

#define STATX_RESERVED_BIT 0x80000000u

static int statx_check(unsigned flags, uint32_t mask)
{
	if (mask & STATX_RESERVED_BIT)
		return -EINVAL;
	if ((flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
				AT_STATX_SYNC_TYPE))
		return -EINVAL;
	return 0;
}

int statx_named(const struct op_ctx *ctx, int dirfd, const char *name, unsigned flags,
		unsigned mask, uint64_t statx_gva)
{
	struct statx_request req = {.mask = mask, .flags = flags & AT_STATX_SYNC_TYPE};
	struct at_name at;
	int64_t err = statx_check(flags, mask);

	if (!err)
		err = at_name_copy(ctx, dirfd, name, flags & AT_EMPTY_PATH ? AT_NAME_EMPTY : 0,
				   &at);
	if (err)
		return (int)err;
	err = at_name_do(ctx, &at, at_lookup_flags((int)flags, true), statx_op, &req);
	at_name_put(&at);
	return (int)(err ? err : statx_to_guest(ctx->task, statx_gva, &req.ks));
}

int64_t sys_statx(struct task *task, const uint64_t *args)
{
	struct statx_request req = {.mask = (uint32_t)args[3]};
	int flags = (int)args[2];
	int64_t err = statx_check((unsigned)flags, req.mask);

	if (err)
		return err;
	req.flags = (unsigned)flags & AT_STATX_SYNC_TYPE;
	err = at_path_do(task, task_ctx(task), (int)args[0], args[1],
			 at_lookup_flags(flags, true) | LOOKUP_NULL_EMPTY, statx_op, &req);
	return err ? err : statx_to_guest(task, args[4], &req.ks);
}

static int64_t statfs_op(const struct op_ctx *ctx, const struct path *path, void *ret_statfs)
{
	return vfs_statfs(ctx, path, ret_statfs);
}

static int64_t statfs_to_guest(struct task *task, gva_t dst_gva, const struct kstatfs *ks)
{
	struct statfs sf;

	memset(&sf, 0, sizeof(sf));
	sf.f_type = (long)ks->type;
	sf.f_bsize = (long)ks->bsize;
	sf.f_blocks = ks->blocks;
	sf.f_bfree = ks->bfree;
	sf.f_bavail = ks->bavail;
	sf.f_files = ks->files;
	sf.f_ffree = ks->ffree;
	memcpy(&sf.f_fsid, &ks->fsid, sizeof(sf.f_fsid));
	sf.f_namelen = (long)ks->namelen;
	sf.f_frsize = (long)ks->frsize;
	sf.f_flags = (long)ks->flags;
	return copy_to_guest(task, dst_gva, &sf, sizeof(sf));
}

int64_t sys_statfs(struct task *task, const uint64_t *args)
{
	struct kstatfs ks = {0};
	int64_t err =
		at_path_do(task, task_ctx(task), AT_FDCWD, args[0], LOOKUP_FOLLOW, statfs_op, &ks);

	return err ? err : statfs_to_guest(task, args[1], &ks);
}

int64_t sys_fstatfs(struct task *task, const uint64_t *args)
{
	struct kstatfs ks = {0};
	int64_t err = fd_path_do(task, (int)args[0], true, statfs_op, &ks);

	return err ? err : statfs_to_guest(task, args[1], &ks);
}

static int64_t access_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	const unsigned *mode = arg;

	return path_permission(ctx, path, *mode | MAY_ACCESS); /* F_OK, too: a FUSE daemon is asked */
}

/*
 * access(2) asks for the real ids: fsuid and fsgid become those, and capabilities are what a
 * set-uid caller would have left (cf. access_override_creds() in fs/open.c). *ret_cred is NULL
 * when the present credentials say the same.
 */
static int access_cred(const struct cred *cred, struct cred **ret_cred)
{
	bool fixup = !(cred->securebits & SECBIT_NO_SETUID_FIXUP);
	uint64_t effective = cred->cap_effective;
	struct cred *copy = NULL;

	if (fixup)
		effective = cred->uid ? 0 : cred->cap_permitted;
	if (cred->fsuid != cred->uid || cred->fsgid != cred->gid ||
	    effective != cred->cap_effective) {
		copy = cred_dup(cred);
		if (!copy)
			return -ENOMEM;
		copy->fsuid = cred->uid;
		copy->fsgid = cred->gid;
		copy->cap_effective = effective;
	}
	*ret_cred = copy;
	return 0;
}

static int64_t access_common(struct task *task, int dirfd, gva_t name_gva, unsigned mode, int flags)
{
	struct op_ctx ctx = *task_ctx(task);
	struct cred *override = NULL;
	int64_t result;

	if (mode & ~(unsigned)(MAY_READ | MAY_WRITE | MAY_EXEC))
		return -EINVAL;
	if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!(flags & AT_EACCESS)) {
		int err = access_cred(task->cred, &override);

		if (err)
			return err;
		if (override)
			ctx.cred = override;
	}
	result = at_path_do(task, &ctx, dirfd, name_gva, at_lookup_flags(flags, true), access_op,
			    &mode);
	cred_put(override);
	return result;
}

int64_t sys_access(struct task *task, const uint64_t *args)
{
	return access_common(task, AT_FDCWD, args[0], (unsigned)args[1], 0);
}

int64_t sys_faccessat(struct task *task, const uint64_t *args)
{
	return access_common(task, (int)args[0], args[1], (unsigned)args[2], 0);
}

int64_t sys_faccessat2(struct task *task, const uint64_t *args)
{
	return access_common(task, (int)args[0], args[1], (unsigned)args[2], (int)args[3]);
}

static int64_t readlink_op(const struct op_ctx *ctx, const struct path *path, void *ret_target)
{
	return vfs_readlink(ctx, path, ret_target);
}

static int64_t readlink_common(struct task *task, int dirfd, gva_t name_gva, gva_t buf_gva,
			       int size)
{
	char *target = NULL;
	size_t len;
	int64_t err;

	if (size <= 0)
		return -EINVAL;
	err = at_path_do(task, task_ctx(task), dirfd, name_gva, LOOKUP_EMPTY, readlink_op, &target);
	if (err)
		return err;
	len = strlen(target);
	if (len > (size_t)size)
		len = (size_t)size;
	err = copy_to_guest(task, buf_gva, target, len);
	free(target);
	return err ? err : (int64_t)len;
}

/* "" is a link of its own only behind an O_PATH descriptor (readlinkat(2), since 2.6.39). */
static int64_t readlink_checked(struct task *task, int dirfd, gva_t name_gva, gva_t buf_gva,
				int size)
{
	int64_t result = readlink_common(task, dirfd, name_gva, buf_gva, size);
	char first;

	if (result == -EINVAL && size > 0 && !copy_from_guest(task, &first, name_gva, 1) && !first)
		return -ENOENT;
	return result;
}

int64_t sys_readlink(struct task *task, const uint64_t *args)
{
	return readlink_checked(task, AT_FDCWD, args[0], args[1], (int)args[2]);
}

int64_t sys_readlinkat(struct task *task, const uint64_t *args)
{
	return readlink_checked(task, (int)args[0], args[1], args[2], (int)args[3]);
}

/* Making, linking, renaming and removing names: mkdir, mknod, symlink, link, unlink, rename. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/fdtable.h"
#include "vfs/cred.h"
#include "vfs/namei.h"

#include <linux/capability.h>
#include <linux/fs.h>

static int64_t mkdir_common(struct task *task, int dirfd, gva_t name_gva, uint32_t mode)
{
	struct at_name at;
	int64_t result = at_name_get(task, dirfd, name_gva, 0, &at);

	if (result)
		return result;
	result = vfs_mkdir(task_ctx(task), at.base, at.name, mode & 01777);
	at_name_put(&at);
	return result;
}

int64_t sys_mkdir(struct task *task, const uint64_t *args)
{
	return mkdir_common(task, AT_FDCWD, args[0], (uint32_t)args[1]);
}

int64_t sys_mkdirat(struct task *task, const uint64_t *args)
{
	return mkdir_common(task, (int)args[0], args[1], (uint32_t)args[2]);
}

/* The kernel's 32-bit encoding of a device number (new_decode_dev()). */
static dev_t decode_dev(uint32_t dev)
{
	return makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

static int64_t mknod_common(struct task *task, int dirfd, gva_t name_gva, uint32_t mode,
			    uint32_t dev)
{
	struct at_name at;
	int64_t result;

	switch (mode & S_IFMT) {
	case 0:
		mode |= S_IFREG;
		break;
	case S_IFREG:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	result = at_name_get(task, dirfd, name_gva, 0, &at);
	if (result)
		return result;
	result = vfs_mknod(task_ctx(task), at.base, at.name, mode & (S_IFMT | 07777),
			   decode_dev(dev));
	at_name_put(&at);
	return result;
}

int64_t sys_mknod(struct task *task, const uint64_t *args)
{
	return mknod_common(task, AT_FDCWD, args[0], (uint32_t)args[1], (uint32_t)args[2]);
}

int64_t sys_mknodat(struct task *task, const uint64_t *args)
{
	return mknod_common(task, (int)args[0], args[1], (uint32_t)args[2], (uint32_t)args[3]);
}

/*
 * Linking a descriptor gets around the permissions of its path: only for who has opened it with
 * the very same credentials, or has CAP_DAC_READ_SEARCH (LOOKUP_LINKAT_EMPTY in path_init()).
 */
static bool may_link_descriptor(struct task *task, int fd)
{
	struct file *file;
	bool may;

	if (task_capable(task, CAP_DAC_READ_SEARCH))
		return true;
	file = fdtable_file_raw(task->files, fd);
	may = file && file->cred == task->cred;
	file_put(file);
	return may;
}

static int64_t symlink_common(struct task *task, gva_t target_gva, int dirfd, gva_t name_gva)
{
	struct at_name target, at;
	int64_t result = at_name_get(task, AT_FDCWD, target_gva, 0, &target);

	if (result)
		return result;
	result = at_name_get(task, dirfd, name_gva, 0, &at);
	if (!result) {
		result = vfs_symlink(task_ctx(task), at.base, at.name, target.name);
		at_name_put(&at);
	}
	at_name_put(&target);
	return result;
}

int64_t sys_symlink(struct task *task, const uint64_t *args)
{
	return symlink_common(task, args[0], AT_FDCWD, args[1]);
}

int64_t sys_symlinkat(struct task *task, const uint64_t *args)
{
	return symlink_common(task, args[0], (int)args[1], args[2]);
}

static int64_t link_op(const struct op_ctx *ctx, const struct path *old, void *arg)
{
	const struct at_name *at = arg;

	return vfs_link(ctx, old, at->base, at->name);
}

static int64_t link_common(struct task *task, int olddir, gva_t old_gva, int newdir, gva_t new_gva,
			   int flags)
{
	struct at_name at;
	int64_t result;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH) && !may_link_descriptor(task, olddir))
		flags &= ~AT_EMPTY_PATH;
	result = at_name_get(task, newdir, new_gva, 0, &at);
	if (result)
		return result;
	result = at_path_do(task, task_ctx(task), olddir, old_gva, at_lookup_flags(flags, false),
			    link_op, &at);
	at_name_put(&at);
	return result;
}

int64_t sys_link(struct task *task, const uint64_t *args)
{
	return link_common(task, AT_FDCWD, args[0], AT_FDCWD, args[1], 0);
}

int64_t sys_linkat(struct task *task, const uint64_t *args)
{
	return link_common(task, (int)args[0], args[1], (int)args[2], args[3], (int)args[4]);
}

static int64_t remove_common(struct task *task, int dirfd, gva_t name_gva, bool dir)
{
	struct at_name at;
	int64_t result = at_name_get(task, dirfd, name_gva, 0, &at);

	if (result)
		return result;
	if (dir)
		result = vfs_rmdir(task_ctx(task), at.base, at.name);
	else
		result = vfs_unlink(task_ctx(task), at.base, at.name);
	at_name_put(&at);
	return result;
}

int64_t sys_unlink(struct task *task, const uint64_t *args)
{
	return remove_common(task, AT_FDCWD, args[0], false);
}

int64_t sys_rmdir(struct task *task, const uint64_t *args)
{
	return remove_common(task, AT_FDCWD, args[0], true);
}

int64_t sys_unlinkat(struct task *task, const uint64_t *args)
{
	int flags = (int)args[2];

	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	return remove_common(task, (int)args[0], args[1], flags & AT_REMOVEDIR);
}

static int64_t rename_common(struct task *task, int olddir, gva_t old_gva, int newdir,
			     gva_t new_gva, unsigned flags)
{
	struct at_name old, new;
	int64_t result;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE))
		return -EINVAL;
	result = at_name_get(task, olddir, old_gva, 0, &old);
	if (result)
		return result;
	result = at_name_get(task, newdir, new_gva, 0, &new);
	if (!result) {
		result = vfs_rename(task_ctx(task), old.base, old.name, new.base, new.name, flags);
		at_name_put(&new);
	}
	at_name_put(&old);
	return result;
}

int64_t sys_rename(struct task *task, const uint64_t *args)
{
	return rename_common(task, AT_FDCWD, args[0], AT_FDCWD, args[1], 0);
}

int64_t sys_renameat(struct task *task, const uint64_t *args)
{
	return rename_common(task, (int)args[0], args[1], (int)args[2], args[3], 0);
}

int64_t sys_renameat2(struct task *task, const uint64_t *args)
{
	return rename_common(task, (int)args[0], args[1], (int)args[2], args[3], (unsigned)args[4]);
}

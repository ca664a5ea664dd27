/* getdents(2), and the working and root directory. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/list.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/perm.h"
#include "vfs/readdir.h"

#define GETDENTS_MAX (1 << 18) /* more in one call helps nobody, and the buffer is ours */

/* Both layouts: getdents64 has the type before the name, getdents after its NUL, at the end. */
struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	unsigned char type;
	char name[];
} __attribute__((packed));

struct dirent_head {
	unsigned long ino;
	unsigned long off;
	uint16_t reclen;
	char name[];
} __attribute__((packed));

struct getdents {
	struct dir_context dc;
	bool old; /* getdents(2) */
	char *buf;
	size_t size, used;
	size_t last; /* start of the last record; SIZE_MAX = none */
	int error;   /* first record does not fit, or a bad name */
};

static void set_last_off(struct getdents *gd, int64_t off)
{
	/* d_off is at the same place in both layouts. */
	if (gd->last != SIZE_MAX)
		memcpy(gd->buf + gd->last + offsetof(struct dirent64_head, off), &off, sizeof(off));
}

static bool getdents_emit(struct dir_context *dc, const char *name, size_t len, int64_t off,
			  uint64_t ino, unsigned type)
{
	struct getdents *gd = container_of(dc, struct getdents, dc);
	size_t head =
		gd->old ? offsetof(struct dirent_head, name) : offsetof(struct dirent64_head, name);
	size_t reclen = (head + len + 1 + (gd->old ? 1 : 0) + 7) & ~(size_t)7;
	struct dirent64_head rec = {ino, 0, (uint16_t)reclen, (unsigned char)type};
	char *at = gd->buf + gd->used;

	if (!len || memchr(name, '/', len)) { /* cf. verify_dirent_name() */
		gd->error = -EIO;
		return false;
	}
	if (reclen > gd->size - gd->used) {
		if (!gd->used)
			gd->error = -EINVAL;
		return false;
	}
	set_last_off(gd, off);
	memset(at, 0, reclen);
	memcpy(at, &rec, gd->old ? offsetof(struct dirent_head, name) : sizeof(rec));
	memcpy(at + head, name, len);
	if (gd->old)
		at[reclen - 1] = (char)type;
	gd->last = gd->used;
	gd->used += reclen;
	gd->dc.room = gd->size - gd->used;
	return true;
}

static int64_t getdents_file(struct task *task, struct file *file, const uint64_t *args, bool old)
{
	struct getdents gd = {.dc = {.emit = getdents_emit}, .old = old, .last = SIZE_MAX};
	cleanup_free char *buf = NULL;
	int err;

	gd.size = (unsigned)args[2] < GETDENTS_MAX ? (unsigned)args[2] : GETDENTS_MAX;
	gd.dc.room = gd.size;
	buf = malloc(gd.size ? gd.size : 1);
	if (!buf)
		return -ENOMEM;
	gd.buf = buf;
	err = vfs_iterate(task_ctx(task), file, &gd.dc);
	if (!gd.used)
		return err ? err : gd.error;
	set_last_off(&gd, gd.dc.pos);
	err = copy_to_guest(task, args[1], gd.buf, gd.used);
	return err ? err : (int64_t)gd.used;
}

static int64_t getdents_common(struct task *task, const uint64_t *args, bool old)
{
	struct file *file = task_file(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = getdents_file(task, file, args, old);
	file_put(file);
	return result;
}

int64_t sys_getdents(struct task *task, const uint64_t *args)
{
	return getdents_common(task, args, true);
}

int64_t sys_getdents64(struct task *task, const uint64_t *args)
{
	return getdents_common(task, args, false);
}

int64_t sys_getcwd(struct task *task, const uint64_t *args)
{
	cleanup_free char *name = NULL;
	struct path root, cwd;
	bool gone;
	size_t len;
	int err;

	fs_get_root(task->fs, &root);
	fs_get_cwd(task->fs, &cwd);
	gone = d_unlinked(cwd.dentry);
	if (!gone)
		name = d_path(&cwd, &root);
	path_put(&root);
	path_put(&cwd);
	if (gone)
		return -ENOENT;
	if (!name)
		return -ENOMEM;
	len = strlen(name) + 1;
	if (len > PATH_MAX)
		return -ENAMETOOLONG;
	if (len > args[1])
		return -ERANGE;
	err = copy_to_guest(task, args[0], name, len);
	return err ? err : (int64_t)len;
}

static int64_t chdir_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	int err = path_permission(ctx, path, MAY_EXEC | MAY_CHDIR);

	(void)arg;
	if (!err)
		fs_set_cwd(ctx->fs, path);
	return err;
}

int64_t sys_chdir(struct task *task, const uint64_t *args)
{
	return at_path_do(task, task_ctx(task), AT_FDCWD, args[0], LOOKUP_FOLLOW | LOOKUP_DIRECTORY,
			  chdir_op, NULL);
}

int64_t sys_fchdir(struct task *task, const uint64_t *args)
{
	struct file *file = task_file_raw(task, (int)args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	if (!inode_is_dir(file->inode))
		result = -ENOTDIR;
	else
		result = chdir_op(task_ctx(task), &file->path, NULL);
	file_put(file);
	return result;
}

static int64_t chroot_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	int err = path_permission(ctx, path, MAY_EXEC | MAY_CHDIR);

	(void)arg;
	if (err)
		return err;
	if (!ctx_capable(ctx, CAP_SYS_CHROOT))
		return -EPERM;
	fs_set_root(ctx->fs, path);
	return 0;
}

int64_t sys_chroot(struct task *task, const uint64_t *args)
{
	return at_path_do(task, task_ctx(task), AT_FDCWD, args[0], LOOKUP_FOLLOW | LOOKUP_DIRECTORY,
			  chroot_op, NULL);
}

int64_t sys_umask(struct task *task, const uint64_t *args)
{
	return fs_set_umask(task->fs, (uint32_t)args[0] & 0777);
}

/* getdents(2): the generic part around file_ops.iterate. */
#include "vfs/readdir.h"

#include <dirent.h>

#include <unistd.h>

#include "sentry/base/err.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"

static uint64_t parent_ino(struct file *file)
{
	struct dentry *parent = dentry_get_parent(file->path.dentry);
	uint64_t ino = parent->inode ? parent->inode->ino : file->inode->ino;

	dentry_put(parent);
	return ino;
}

bool dir_emit_dots(struct file *file, struct dir_context *dc)
{
	if (dc->pos == 0) {
		if (!dir_emit(dc, ".", 1, file->inode->ino, DT_DIR))
			return false;
		dc->pos = 1;
	}
	if (dc->pos == 1) {
		if (!dir_emit(dc, "..", 2, parent_ino(file), DT_DIR))
			return false;
		dc->pos = 2;
	}
	return true;
}

/*
 * cf. iterate_dir(). The position lock is taken killably: the holder may wait for a FUSE daemon
 * that never answers.
 */
int vfs_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct inode *inode = file->inode;
	int err;

	if (file->fmode & FMODE_PATH)
		return -EBADF;
	if (!file->op->iterate)
		return -ENOTDIR;
	err = sleep_mutex_lock_killable(&file->pos_lock);
	if (err)
		return err;
	inode_lock_shared(inode);
	err = -ENOENT;
	if (!(atomic_load(&file->path.dentry->flags) & DENTRY_DEAD)) {
		dc->pos = file->pos;
		err = file->op->iterate(ctx, file, dc);
		file->pos = dc->pos;
	}
	inode_unlock_shared(inode);
	if (err != -ENOENT)
		touch_atime(&file->path);
	sleep_mutex_unlock(&file->pos_lock);
	return err;
}

/* cf. offset_dir_llseek(); the position lock is held. */
int64_t cookie_dir_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	(void)ctx;
	if (whence == SEEK_CUR) {
		if (__builtin_add_overflow(file->pos, offset, &offset))
			return -EOVERFLOW;
	} else if (whence != SEEK_SET) {
		return -EINVAL;
	}
	if (offset < 0)
		return -EINVAL;
	file->pos = offset;
	return offset;
}

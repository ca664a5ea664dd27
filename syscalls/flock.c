/* fcntl(2) record locks and flock(2): guest structs to ranges and back; vfs/lock.h does the rest.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/flock.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/lock.h"

/* Absolute inclusive range of l_whence/l_start/l_len (cf. flock64_to_posix_lock()). */
static int lock_range(struct file *file, const struct flock *fl, struct flock_request *req)
{
	int64_t start, end;

	switch (fl->l_whence) {
	case SEEK_SET:
		start = 0;
		break;
	case SEEK_CUR:
		sleep_mutex_lock(&file->pos_lock);
		start = file->pos;
		sleep_mutex_unlock(&file->pos_lock);
		break;
	case SEEK_END:
		start = inode_size(file->inode);
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(start, (int64_t)fl->l_start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	if (fl->l_len > 0) {
		if (__builtin_add_overflow(start, (int64_t)fl->l_len - 1, &end))
			return -EOVERFLOW;
	} else if (fl->l_len < 0) {
		if (start + fl->l_len < 0)
			return -EINVAL;
		end = start - 1;
		start += fl->l_len;
	} else {
		end = INT64_MAX;
	}
	req->start = start;
	req->end = end;
	return 0;
}

static int lock_request(struct file *file, const struct flock *fl, bool ofd,
			struct flock_request *req)
{
	memset(req, 0, sizeof(*req));
	req->type = fl->l_type;
	req->ofd = ofd;
	if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && fl->l_type != F_UNLCK)
		return -EINVAL;
	if (ofd && fl->l_pid)
		return -EINVAL;
	return lock_range(file, fl, req);
}

/* The answer of F_GETLK: what is in the way, or F_UNLCK and everything else untouched. */
static void lock_answer(const struct flock_request *req, struct flock *fl)
{
	fl->l_type = req->type;
	if (req->type == F_UNLCK)
		return;
	fl->l_whence = SEEK_SET;
	fl->l_start = req->start;
	fl->l_len = req->end == INT64_MAX ? 0 : req->end - req->start + 1;
	fl->l_pid = req->pid;
}

int64_t fcntl_lock(struct task *task, struct file *file, int cmd, gva_t flock_gva)
{
	bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
	int plain = cmd == F_OFD_GETLK	  ? F_GETLK
		    : cmd == F_OFD_SETLK  ? F_SETLK
		    : cmd == F_OFD_SETLKW ? F_SETLKW
					  : cmd;
	struct flock_request req;
	struct flock fl;
	int64_t err;

	if (copy_from_guest(task, &fl, flock_gva, sizeof(fl)))
		return -EFAULT;
	if (plain == F_GETLK && fl.l_type == F_UNLCK && !ofd)
		return -EINVAL;
	err = lock_request(file, &fl, ofd, &req);
	if (!err)
		err = vfs_lock_file(task_ctx(task), file, plain, &req);
	if (err || plain != F_GETLK)
		return err;
	lock_answer(&req, &fl);
	return copy_to_guest(task, flock_gva, &fl, sizeof(fl));
}

int64_t sys_flock(struct task *task, const uint64_t *args)
{
	int operation = (int)args[1], kind = operation & ~LOCK_NB;
	struct file *file;
	int64_t result;

	if (kind & LOCK_MAND)
		return 0; /* ignored since Linux 5.5 */
	if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
		return -EINVAL;
	file = task_file(task, (int)args[0]);
	if (!file)
		return -EBADF;
	/* cf. sys_flock(): O_ACCMODE 3 gives neither mode and cannot lock. */
	if (kind != LOCK_UN && !(file->fmode & (FMODE_READ | FMODE_WRITE)))
		result = -EBADF;
	else
		result = vfs_flock(task_ctx(task), file, operation);
	file_put(file);
	return result;
}

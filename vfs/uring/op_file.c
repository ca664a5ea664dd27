/* Opening, closing, asking about and syncing files; commands to drivers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/iter.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/uring/uring_internal.h"

#define GUEST_PAGE 4096ul

/* ---- FSYNC ---- */

int uring_fsync_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	const int64_t start = (int64_t)sqe->off, end = start + sqe->len;

	if (sqe->addr || sqe->buf_index || sqe->splice_fd_in)
		return -EINVAL;
	if (sqe->fsync_flags & ~IORING_FSYNC_DATASYNC)
		return -EINVAL;
	req->sync = (struct uring_sync){
		.start = start,
		.end = end > 0 ? end : INT64_MAX,
		.datasync = sqe->fsync_flags & IORING_FSYNC_DATASYNC,
	};
	return 0;
}

int32_t uring_fsync(struct uring_req *req, bool nowait)
{
	const struct uring_sync *sync = &req->sync;

	(void)nowait;
	return vfs_fsync(&req->ctx, req->file, sync->start, sync->end, sync->datasync);
}

/* ---- names ---- */

/* The name at name_gva. It may end right before memory that is not there. */
static int copy_name(struct uring_req *req, uint64_t name_gva)
{
	const size_t first = GUEST_PAGE - (name_gva & (GUEST_PAGE - 1));
	struct iovec segs[2] = {
		{ (void *)(uintptr_t)name_gva, first },
		{ (void *)(uintptr_t)(name_gva + first), PATH_MAX - first },
	};
	struct io_iter iter;
	size_t n;

	req->path.name = malloc(PATH_MAX);
	if (!req->path.name)
		return -ENOMEM;
	ctx_iter_init(&req->ctx, &iter, segs, 2, PATH_MAX);
	n = iter_from(&iter, req->path.name, PATH_MAX);
	if (memchr(req->path.name, 0, n))
		return 0;
	return n == PATH_MAX ? -ENAMETOOLONG : -EFAULT;
}

void uring_path_cleanup(struct uring_req *req)
{
	free(req->path.name);
}

static int open_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	if (sqe->buf_index)
		return -EINVAL;
	if (sqe->flags & IOSQE_FIXED_FILE)
		return -EBADF;
	/* Straight into a slot of the registered files: not here. */
	if (sqe->file_index)
		return -EINVAL;
	req->path.dirfd = sqe->fd;
	return copy_name(req, sqe->addr);
}

int uring_openat_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	req->path.flags = sqe->open_flags;
	req->path.mode = sqe->len;
	/* As open(2): what it does not look at may be anything, build_open_how(). */
	if (!(req->path.flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))))
		req->path.mode = 0;
	req->path.mode &= 07777;
	return open_prep(req, sqe);
}

int uring_openat2_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct open_how how;

	/* Larger structs are for fields that nobody has seen yet. */
	if (sqe->len != sizeof(how))
		return sqe->len < sizeof(how) ? -EINVAL : -E2BIG;
	if (ioctl_copy_in(&req->ctx, &how, sqe->off, sizeof(how)))
		return -EFAULT;
	req->path.flags = how.flags;
	req->path.mode = how.mode;
	req->path.resolve = how.resolve;
	return open_prep(req, sqe);
}

int32_t uring_openat(struct uring_req *req, bool nowait)
{
	struct open_how how = {
		.flags = req->path.flags,
		.mode = req->path.mode,
		.resolve = req->path.resolve,
	};

	(void)nowait;
	if (!uring_hooks.openat)
		return -EINVAL;
	return uring_hooks.openat(&req->ctx, req->path.dirfd, req->path.name, &how);
}

int32_t uring_openat2(struct uring_req *req, bool nowait)
{
	return uring_openat(req, nowait);
}

int uring_statx_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	if (sqe->buf_index || sqe->splice_fd_in)
		return -EINVAL;
	if (sqe->flags & IOSQE_FIXED_FILE)
		return -EBADF;
	req->path.dirfd = sqe->fd;
	req->path.mask = sqe->len;
	req->path.flags = sqe->statx_flags;
	req->path.out_gva = sqe->addr2;
	return copy_name(req, sqe->addr);
}

int32_t uring_statx(struct uring_req *req, bool nowait)
{
	const struct uring_path *path = &req->path;

	(void)nowait;
	if (!uring_hooks.statx)
		return -EINVAL;
	return uring_hooks.statx(&req->ctx, path->dirfd, path->name, (unsigned)path->flags,
				 path->mask, path->out_gva);
}

/* ---- CLOSE ---- */

int uring_close_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	req->close_slot = sqe->file_index;
	if (sqe->off || sqe->addr || sqe->len || sqe->rw_flags || sqe->buf_index)
		return -EINVAL;
	if (sqe->flags & IOSQE_FIXED_FILE)
		return -EBADF;
	/* A slot of the registered files, and a descriptor too: one of them. */
	return sqe->file_index && sqe->fd ? -EINVAL : 0;
}

/* A ring is not closed by itself: who would complete the request? */
static bool is_ring(struct fdtable *files, int fd)
{
	struct file *file = fdtable_file_raw(files, fd);
	bool ring = file && uring_is(file);

	file_put(file);
	return ring;
}

/* The file is put with the request, when no lock is held. */
static int32_t close_slot(struct uring_req *req)
{
	struct uring *ring = req->ring;
	const uint32_t slot = req->close_slot - 1;

	if (!ring->files)
		return -ENXIO;
	if (slot >= ring->nr_files)
		return -EINVAL;
	if (!ring->files[slot])
		return -EBADF;
	req->file = ring->files[slot];
	ring->files[slot] = NULL;
	return 0;
}

int32_t uring_close(struct uring_req *req, bool nowait)
{
	struct fdtable *files = req->ctx.files;

	if (req->close_slot)
		return close_slot(req);
	if (nowait) /* the last close may wait: to a worker */
		return -EAGAIN;
	if (!files || is_ring(files, req->fd))
		return -EBADF;
	return fdtable_close(&req->ctx, files, req->fd, NULL);
}

/* ---- URING_CMD ---- */

static void cmd_done(struct uring_cmd *cmd, int32_t res)
{
	struct uring_req *req = container_of(cmd, struct uring_req, cmd);

	waitq_lock();
	req->cmd_res = res;
	uring_kick_locked(req, EVENT_CMD);
	waitq_unlock();
}

int uring_cmd_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_cmd *cmd = &req->cmd;
	const size_t offset = offsetof(struct io_uring_sqe, cmd);

	if (sqe->__pad1 || (sqe->uring_cmd_flags & ~IORING_URING_CMD_MASK))
		return -EINVAL;
	/* No driver here takes registered buffers. */
	if (sqe->uring_cmd_flags & IORING_URING_CMD_FIXED)
		return -EOPNOTSUPP;
	cmd->op = sqe->cmd_op;
	cmd->flags = sqe->uring_cmd_flags;
	cmd->user_data = sqe->user_data;
	cmd->addr = sqe->addr;
	cmd->len = sqe->len;
	cmd->ctx = &req->ctx;
	cmd->done = cmd_done;
	/* The entry's copy has zeros where a short one ends. */
	memcpy(cmd->payload, (const char *)sqe + offset, sizeof(cmd->payload));
	return 0;
}

int32_t uring_cmd(struct uring_req *req, bool nowait)
{
	const unsigned flags = req->ring->flags;
	unsigned issue_flags = nowait ? URING_ISSUE_NONBLOCK : 0;
	int res;

	if (!req->file->op->uring_cmd)
		return -EOPNOTSUPP;
	if (flags & IORING_SETUP_SQE128)
		issue_flags |= URING_ISSUE_SQE128;
	if (flags & IORING_SETUP_CQE32)
		issue_flags |= URING_ISSUE_CQE32;
	req->cmd.file = req->file;
	res = req->file->op->uring_cmd(&req->ctx, &req->cmd, issue_flags);
	if (res != -EIOCBQUEUED)
		return res;
	if (nowait)
		req->state = REQ_CMD;
	return URING_KEPT;
}

/* Bytes: NOP, READ, WRITE and their vectored and fixed forms, SEND, RECV. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/file.h"
#include "vfs/file/socket.h"
#include "vfs/ioctl.h"
#include "vfs/uring/uring_internal.h"

#define IOPRIO_CLASS_SHIFT 13
#define IOPRIO_CLASS_IDLE 3
#define MAX_RW 0x7ffff000ull
#define USER_TOP 0x7ffffffff000ull /* TASK_SIZE_MAX: no guest address is above */

int uring_nop_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	(void)req;
	return sqe->rw_flags ? -EINVAL : 0;
}

int32_t uring_nop(struct uring_req *req, bool nowait)
{
	(void)req, (void)nowait;
	return 0;
}

/* ---- prep ---- */

static int32_t rw_common(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_rw *rw = &req->rw;

	/* cppcheck-suppress ctunullpointer; there is always an entry */
	if ((sqe->ioprio >> IOPRIO_CLASS_SHIFT) > IOPRIO_CLASS_IDLE)
		return -EINVAL;
	rw->pos = (int64_t)sqe->off;
	rw->rwf = (int)sqe->rw_flags;
	rw->write = sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV ||
		    sqe->opcode == IORING_OP_WRITE_FIXED;
	rw->one = (struct iovec){ (void *)(uintptr_t)sqe->addr, sqe->len };
	rw->nr = 1;
	rw->total = sqe->len;
	if (rw->rwf & RWF_NOWAIT)
		req->flags |= REQ_NOWAIT;
	return 0;
}

static bool in_user_space(const struct iovec *iov)
{
	return iov->iov_len <= USER_TOP && (uint64_t)iov->iov_base <= USER_TOP - iov->iov_len;
}

/* cf. import_ubuf() */
static void cap_total(struct uring_rw *rw)
{
	if (rw->total > MAX_RW)
		rw->total = MAX_RW;
}

int uring_rw_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	int err = rw_common(req, sqe);

	if (err)
		return err;
	cap_total(&req->rw);
	return in_user_space(&req->rw.one) ? 0 : -EFAULT;
}

static int copy_vector(struct uring_req *req)
{
	struct uring_rw *rw = &req->rw;

	if (ioctl_copy_in(&req->ctx, rw->iov, (uint64_t)rw->one.iov_base,
			  rw->nr * sizeof(*rw->iov)))
		return -EFAULT;
	rw->total = 0;
	for (size_t i = 0; i < rw->nr; i++) {
		if ((ssize_t)rw->iov[i].iov_len < 0)
			return -EINVAL;
		if (!in_user_space(&rw->iov[i]))
			return -EFAULT;
		rw->total += rw->iov[i].iov_len;
		if (rw->total > SSIZE_MAX)
			return -EINVAL;
	}
	cap_total(rw);
	return 0;
}

int uring_rwv_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_rw *rw = &req->rw;
	int err = rw_common(req, sqe);

	if (err)
		return err;
	if (sqe->len > IOV_MAX)
		return -EINVAL;
	rw->nr = sqe->len;
	rw->iov = calloc(rw->nr ? rw->nr : 1, sizeof(*rw->iov));
	return rw->iov ? copy_vector(req) : -ENOMEM;
}

int uring_rw_fixed_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	return rw_common(req, sqe);
}

void uring_rw_cleanup(struct uring_req *req)
{
	free(req->rw.iov);
}

/* ---- issue ---- */

int32_t uring_rw(struct uring_req *req, bool nowait)
{
	struct uring_rw *rw = &req->rw;
	struct file *file = req->file;
	int64_t pos = file->fmode & FMODE_STREAM ? -1 : rw->pos;
	int rwf = rw->rwf;
	struct io_iter iter;
	ssize_t n;

	if (nowait && !file->op->nowait)
		return -EAGAIN;
	if (nowait && file->op->poll)
		rwf |= RWF_NOWAIT;
	ctx_iter_init(&req->ctx, &iter, rw->iov ? rw->iov : &rw->one, rw->nr, rw->total);
	if (rw->write)
		n = vfs_pwrite(&req->ctx, file, &iter, pos, rwf);
	else
		n = vfs_pread(&req->ctx, file, &iter, pos, rwf);
	if (n >= 0 && (size_t)n != rw->total)
		req->flags |= REQ_FAIL; /* a short transfer breaks its chain */
	return (int32_t)n;
}

/* cf. io_import_fixed() */
int32_t uring_rw_fixed(struct uring_req *req, bool nowait)
{
	const struct uring *ring = req->ring;
	struct uring_rw *rw = &req->rw;
	const struct iovec *buffer;
	uint64_t start = (uint64_t)rw->one.iov_base, base;

	/* On a worker the range has been checked already: it was tried without waiting first. */
	if (nowait) {
		if (req->buf_index >= ring->nr_buffers)
			return -EFAULT;
		buffer = &ring->buffers[req->buf_index];
		base = (uint64_t)buffer->iov_base;
		if (start < base || rw->total > buffer->iov_len ||
		    start - base > buffer->iov_len - rw->total)
			return -EFAULT;
	}
	return uring_rw(req, nowait);
}

/* ---- sockets ---- */

int uring_send_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	/* No address (SEND_ZC and newer kernels have one). */
	if (sqe->off || sqe->splice_fd_in)
		return -EINVAL;
	req->net.iov = (struct iovec){ (void *)(uintptr_t)sqe->addr, sqe->len };
	req->net.flags = sqe->msg_flags;
	if (req->net.flags & MSG_DONTWAIT)
		req->flags |= REQ_NOWAIT;
	return in_user_space(&req->net.iov) ? 0 : -EFAULT;
}

int uring_recv_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	return uring_send_prep(req, sqe);
}

static int32_t transfer(struct uring_req *req, bool nowait, bool send)
{
	struct socket *sock = socket_from_file(req->file);
	struct io_iter iter;
	struct sock_msg msg = { .iter = &iter, .flags = req->net.flags };
	ssize_t n;

	if (!sock)
		return -ENOTSOCK;
	if (nowait)
		msg.flags |= MSG_DONTWAIT;
	ctx_iter_init(&req->ctx, &iter, &req->net.iov, 1, req->net.iov.iov_len);
	if (send) {
		n = socket_sendmsg(&req->ctx, sock, &msg);
	} else {
		n = socket_recvmsg(&req->ctx, sock, &msg);
		scm_release(&msg.scm);
	}
	if (n >= 0 && (req->net.flags & MSG_WAITALL) && (size_t)n != req->net.iov.iov_len)
		req->flags |= REQ_FAIL;
	return (int32_t)n;
}

int32_t uring_send(struct uring_req *req, bool nowait)
{
	return transfer(req, nowait, true);
}

int32_t uring_recv(struct uring_req *req, bool nowait)
{
	return transfer(req, nowait, false);
}

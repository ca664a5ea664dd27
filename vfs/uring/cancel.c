/* Ending requests before they are done: by wish, with their task, with their ring. */
#include <errno.h>
#include <stdlib.h>

#include "vfs/file.h"
#include "vfs/uring/uring_internal.h"

static int cancel_work(struct uring_req *req)
{
	if (uring_work_cancel(req)) {
		uring_todo_done(req, -ECANCELED);
		return 0;
	}
	req->flags |= REQ_CANCELED;
	return -EALREADY;
}

int uring_cancel_req(struct uring_req *req)
{
	switch (req->state) {
	case REQ_POLL:
		uring_disarm(req);
		uring_todo_done(req, -ECANCELED);
		return 0;
	case REQ_TIMER:
		/* A LINK_TIMEOUT ends with the request that it limits. */
		if (req->opcode == IORING_OP_LINK_TIMEOUT)
			return -ENOENT;
		uring_timeout_disarm(req);
		uring_todo_done(req, -ECANCELED);
		return 0;
	case REQ_WORK:
		return cancel_work(req);
	case REQ_IDLE:
	case REQ_DEFERRED:
	case REQ_CMD: /* as io_try_cancel(), which leaves drivers alone */
	case REQ_DEAD:
		break;
	}
	return -ENOENT;
}

/* Of what only the end of ring or task cancels. */
static void cancel_for_good(struct uring_req *req)
{
	if (req->state == REQ_DEFERRED) {
		unsigned n = 0;

		for (const struct uring_req *link = req; link; link = link->link)
			n++;
		req->ring->nr_deferred -= n;
		list_del(&req->todo);
		uring_todo_done(req, -ECANCELED);
	} else if (req->state == REQ_CMD && req->cmd.cancel && !(req->flags & REQ_CANCELED)) {
		req->flags |= REQ_CANCELED;
		req->cmd.cancel(&req->cmd);
	} else {
		(void)uring_cancel_req(req);
	}
}

void uring_cancel_all(struct uring *ring, const struct uring_task *owner)
{
	struct uring_req *req;

	list_for_each(req, &ring->reqs, node) {
		if (owner && req->owner != owner)
			continue;
		if (req->owner) {
			fb_mutex_lock(&req->owner->lock);
			req->cancel = true;
			fb_mutex_unlock(&req->owner->lock);
		}
		cancel_for_good(req);
	}
	uring_run(ring);
}

/*
 * What a task leaves behind when it ends (cf. io_match_task_safe() without cancel_all): timers, and
 * requests that wait for files, unless that is a ring, which might be held by its own request.
 */
static void orphan_all(struct uring *ring, const struct uring_task *owner)
{
	struct uring_req *req;

	list_for_each(req, &ring->reqs, node)
		if (req->owner == owner &&
		    (req->state == REQ_TIMER || (req->state == REQ_POLL && !uring_is(req->file))))
			uring_orphan(req);
}

/* ---- tasks ---- */

struct uring_task *uring_task_new(void)
{
	static atomic_ulong last_id;
	struct uring_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->id = atomic_fetch_add(&last_id, 1) + 1;
	fb_mutex_init(&task->lock, RANK_LEAF);
	list_init(&task->reqs);
	waitq_init(&task->idle);
	return task;
}

void uring_task_free(struct uring_task *task)
{
	if (!task)
		return;
	fb_mutex_destroy(&task->lock);
	free(task);
}

/* A ring, with a reference, in which something of the task has not been cancelled yet. */
static struct uring *ring_to_cancel(struct uring_task *task)
{
	struct uring_req *req;

	list_for_each(req, &task->reqs, owner_node)
		if (!req->cancel)
			return uring_get(req->ring);
	return NULL;
}

void uring_task_cancel(struct uring_task *task, bool ends)
{
	struct uring *ring;

	if (!task)
		return;
	fb_mutex_lock(&task->lock);
	while (!list_empty(&task->reqs)) {
		ring = ring_to_cancel(task);
		if (!ring) {
			(void)waitq_wait(&task->idle, 0, &task->lock, WAIT_UNINTERRUPTIBLE,
					 WAIT_FOREVER);
			continue;
		}
		fb_mutex_unlock(&task->lock);
		uring_lock_uninterruptible(ring);
		if (ends)
			orphan_all(ring, task);
		uring_cancel_all(ring, task);
		uring_unlock(ring);
		uring_put(ring);
		fb_mutex_lock(&task->lock);
	}
	fb_mutex_unlock(&task->lock);
}

/* ---- IORING_OP_ASYNC_CANCEL ---- */

#define CANCEL_FLAGS                                                                               \
	(IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ANY |              \
	 IORING_ASYNC_CANCEL_FD_FIXED | IORING_ASYNC_CANCEL_USERDATA | IORING_ASYNC_CANCEL_OP)

int uring_async_cancel_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_cancel *cancel = &req->cancel_op;

	if (sqe->off || sqe->splice_fd_in)
		return -EINVAL;
	cancel->user_data = sqe->addr;
	cancel->flags = sqe->cancel_flags;
	if (cancel->flags & ~CANCEL_FLAGS)
		return -EINVAL;
	if ((cancel->flags & (IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP)) &&
	    (cancel->flags & IORING_ASYNC_CANCEL_ANY))
		return -EINVAL;
	if (cancel->flags & IORING_ASYNC_CANCEL_FD)
		cancel->fd = sqe->fd;
	if (cancel->flags & IORING_ASYNC_CANCEL_OP)
		cancel->opcode = (uint8_t)sqe->len;
	return 0;
}

static bool by_data(const struct uring_cancel *cancel)
{
	const unsigned flags = cancel->flags;

	if (flags & IORING_ASYNC_CANCEL_ANY)
		return false;
	return (flags & IORING_ASYNC_CANCEL_USERDATA) ||
	       !(flags & (IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP));
}

/* cf. io_cancel_req_match() */
static bool is_meant(const struct uring_cancel *cancel, const struct uring_req *req)
{
	const unsigned flags = cancel->flags;

	if (flags & IORING_ASYNC_CANCEL_ANY)
		return true;
	if ((flags & IORING_ASYNC_CANCEL_FD) && req->file != cancel->file)
		return false;
	if ((flags & IORING_ASYNC_CANCEL_OP) && req->opcode != cancel->opcode)
		return false;
	return !by_data(cancel) || req->user_data == cancel->user_data;
}

/* True: cancelled, or at least told; *ret_err says which. */
static bool try_cancel(struct uring_req *self, struct uring_req *req, int *ret_err)
{
	if (req == self || !is_meant(&self->cancel_op, req))
		return false;
	*ret_err = uring_cancel_req(req);
	return *ret_err != -ENOENT;
}

static int32_t cancel_meant(struct uring_req *self)
{
	const struct uring_cancel *cancel = &self->cancel_op;
	const bool all = cancel->flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
	struct list_node *bucket = uring_bucket(self->ring, cancel->user_data);
	struct uring_req *req;
	int32_t n = 0;
	int err = -ENOENT;

	if (by_data(cancel)) {
		list_for_each(req, bucket, data_node)
			if (try_cancel(self, req, &err) && ++n && !all)
				return err;
	} else {
		list_for_each(req, &self->ring->reqs, node)
			if (try_cancel(self, req, &err) && ++n && !all)
				return err;
	}
	return all ? n : -ENOENT;
}

int32_t uring_async_cancel(struct uring_req *req, bool nowait)
{
	struct uring_cancel *cancel = &req->cancel_op;
	bool fixed =
		(req->flags & IOSQE_FIXED_FILE) || (cancel->flags & IORING_ASYNC_CANCEL_FD_FIXED);

	(void)nowait;
	if (cancel->flags & IORING_ASYNC_CANCEL_FD) {
		cancel->file = uring_file(req, cancel->fd, fixed);
		if (!cancel->file)
			return -EBADF;
	}
	return cancel_meant(req);
}

void uring_cancel_cleanup(struct uring_req *req)
{
	file_put(req->cancel_op.file);
}

/*
 * IORING_OP_POLL_ADD and IORING_OP_POLL_REMOVE. A file whose poll method may wait for somebody (a
 * FUSE daemon) is asked by a worker, each time; its wait queues are waited on like those of others.
 */
#include <errno.h>
#include <poll.h>

#include "vfs/file.h"
#include "vfs/uring/uring_internal.h"

/* Told though nobody asked, IO_POLL_UNMASK. */
#define ALWAYS_TOLD (POLLERR | POLLHUP | POLLNVAL | POLLRDHUP)
/* EPOLLEXCLUSIVE, EPOLLWAKEUP, EPOLLONESHOT, EPOLLET mean nothing here. */
#define EVENTS_MASK 0xffffu

int uring_poll_add_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	if (sqe->buf_index || sqe->off || sqe->addr)
		return -EINVAL;
	if (sqe->len & ~IORING_POLL_ADD_MULTI)
		return -EINVAL;
	if ((sqe->len & IORING_POLL_ADD_MULTI) && (sqe->flags & IOSQE_CQE_SKIP_SUCCESS))
		return -EINVAL;
	if (sqe->len & IORING_POLL_ADD_MULTI)
		req->flags |= REQ_MULTISHOT;
	req->poll.events = (sqe->poll32_events & EVENTS_MASK) | ALWAYS_TOLD;
	return 0;
}

/* The events that hold, 0 = none; or -errno. */
static int32_t ask(struct uring_req *req)
{
	unsigned mask;
	int err = uring_arm(req, req->poll.events, &mask);

	return err ? err : (int32_t)mask;
}

/* What the answer means. ring->lock held. */
static int32_t answered(struct uring_req *req, int32_t mask)
{
	if (req->flags & REQ_CANCELED)
		return -ECANCELED;
	if (mask < 0)
		return mask;
	if (mask && !(req->flags & REQ_MULTISHOT))
		return mask;
	if (mask && !uring_post_more(req, mask))
		return mask;
	req->state = REQ_POLL;
	return URING_KEPT;
}

int32_t uring_poll_add(struct uring_req *req, bool nowait)
{
	if (nowait && !req->file->op->nowait)
		return -EAGAIN;
	return nowait ? answered(req, ask(req)) : ask(req);
}

void uring_poll_event(struct uring_req *req)
{
	req->poll_again = false;
	if (req->file->op->nowait)
		uring_issued(req, answered(req, ask(req)), false);
	else
		uring_work(req);
}

void uring_poll_answer(struct uring_req *req)
{
	const bool again = req->poll_again;

	req->poll_again = false;
	uring_issued(req, answered(req, req->work_res), false);
	if (again && req->state == REQ_POLL)
		uring_poll_event(req);
}

/* ---- POLL_REMOVE, which also updates ---- */

int uring_poll_remove_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_poll_update *update = &req->poll_update;
	const unsigned updates = IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA;

	if (sqe->buf_index || sqe->splice_fd_in)
		return -EINVAL;
	update->flags = sqe->len;
	if (update->flags & ~(updates | IORING_POLL_ADD_MULTI))
		return -EINVAL;
	if (update->flags == IORING_POLL_ADD_MULTI)
		return -EINVAL;
	update->old_user_data = sqe->addr;
	update->new_user_data = sqe->off;
	if (!(update->flags & IORING_POLL_UPDATE_USER_DATA) && update->new_user_data)
		return -EINVAL;
	if (!(update->flags & IORING_POLL_UPDATE_EVENTS) && sqe->poll32_events)
		return -EINVAL;
	update->events = (sqe->poll32_events & EVENTS_MASK) | ALWAYS_TOLD;
	return 0;
}

static struct uring_req *find_poll(struct uring *ring, uint64_t user_data)
{
	struct uring_req *req;

	list_for_each(req, uring_bucket(ring, user_data), data_node)
		if (req->opcode == IORING_OP_POLL_ADD && req->user_data == user_data &&
		    (req->state == REQ_POLL || req->state == REQ_WORK))
			return req;
	return NULL;
}

static void set_user_data(struct uring_req *req, uint64_t user_data)
{
	req->user_data = user_data;
	list_del(&req->data_node);
	list_add_tail(uring_bucket(req->ring, user_data), &req->data_node);
}

/* Its queues hear of other events from now on; then the file is asked anew. */
static void update_poll(struct uring_req *poll, const struct uring_poll_update *update)
{
	if (update->flags & IORING_POLL_UPDATE_USER_DATA)
		set_user_data(poll, update->new_user_data);
	if (update->flags & IORING_POLL_UPDATE_EVENTS) {
		uring_disarm(poll);
		poll->poll.events = update->events;
		poll->flags &= ~(unsigned)REQ_MULTISHOT;
		if (update->flags & IORING_POLL_ADD_MULTI)
			poll->flags |= REQ_MULTISHOT;
	}
	uring_todo(poll);
}

int32_t uring_poll_remove(struct uring_req *req, bool nowait)
{
	const struct uring_poll_update *update = &req->poll_update;
	struct uring_req *poll = find_poll(req->ring, update->old_user_data);

	(void)nowait;
	if (!poll)
		return -ENOENT;
	if (poll->state == REQ_WORK && update->flags)
		return -EALREADY;
	if (!update->flags)
		return uring_cancel_req(poll);
	update_poll(poll, update);
	return 0;
}

/*
 * From a submission entry to its completion. cf. io_uring/io_uring.c for chains (IOSQE_IO_LINK),
 * draining and what fails together.
 *
 *	entry -> request -> chain -> (deferred) -> todo -> issue -> completion
 *	                                            ^        |  kept: waits for an event
 *	                                            +--------+
 *
 * Everything that is to be done goes over the todo list, so that a chain of any length needs no
 * stack, and a walk over the requests never sees one vanish.
 */
#include <errno.h>
#include <stdlib.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/uring/uring_internal.h"

#define SQE_VALID                                                                                  \
	(IOSQE_FIXED_FILE | IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC |     \
	 IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)
#define SQE_LINKS (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)
/* A file may say that it is ready and then not be: after so many times a worker waits for it. */
#define MAX_RETRIES 16

/* ---- birth and death ---- */

struct list_node *uring_bucket(struct uring *ring, uint64_t user_data)
{
	return &ring->by_data[(user_data * 0x9e3779b97f4a7c15ull) >> 56];
}

_Static_assert(URING_BUCKETS == 1 << 8, "the top 8 bits");

static struct uring_req *req_new(struct uring *ring, const struct op_ctx *ctx,
				 struct uring_task *task)
{
	struct uring_req *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->ring = uring_get(ring);
	req->owner = task;
	req->ctx = *ctx;
	req->ctx.cred = ctx->cred ? cred_get(ctx->cred) : NULL;
	req->ctx.files = ctx->files ? fdtable_get(ctx->files) : NULL;
	req->ctx.fs = ctx->fs ? fs_struct_get(ctx->fs) : NULL;
	list_init(&req->data_node);
	list_init(&req->todo);
	list_init(&req->ready);
	list_init(&req->work);
	list_add_tail(&ring->reqs, &req->node);
	ring->nr_reqs++;
	fb_mutex_lock(&task->lock);
	list_add_tail(&task->reqs, &req->owner_node);
	fb_mutex_unlock(&task->lock);
	return req;
}

static void drop_context(struct op_ctx *ctx)
{
	if (ctx->files)
		fdtable_put(ctx, ctx->files);
	if (ctx->fs)
		fs_struct_put(ctx->fs);
	if (ctx->cred)
		cred_put(ctx->cred);
}

static void orphan_one(struct uring_req *req)
{
	struct uring_task *owner = req->owner;

	/* Its task still holds what is dropped here. */
	drop_context(&req->ctx);
	req->ctx = (struct op_ctx){ .fsize_limit = UINT64_MAX };
	req->owner = NULL;
	fb_mutex_lock(&owner->lock);
	req->cancel = true;
	list_del(&req->owner_node);
	fb_mutex_unlock(&owner->lock);
}

void uring_orphan(struct uring_req *req)
{
	if (req->timeout)
		orphan_one(req->timeout);
	for (; req; req = req->link)
		orphan_one(req);
}

void uring_req_free(struct uring_req *req)
{
	struct uring_task *owner = req->owner;

	if (req->op && req->op->cleanup)
		req->op->cleanup(req);
	file_put(req->file);
	drop_context(&req->ctx);
	/* Now its owner may go. */
	if (owner) {
		fb_mutex_lock(&owner->lock);
		list_del(&req->owner_node);
		waitq_wake_all(&owner->idle, 0);
		fb_mutex_unlock(&owner->lock);
	}
	uring_put(req->ring);
	free(req);
}

/* Nothing can kick it any more: what it waited for has been undone. */
static void req_die(struct uring_req *req)
{
	struct uring *ring = req->ring;

	waitq_lock();
	list_del(&req->ready);
	waitq_unlock();
	list_del(&req->node);
	list_del(&req->data_node);
	ring->nr_reqs--;
	req->state = REQ_DEAD;
	list_add_tail(&ring->dead, &req->todo);
}

/* ---- completion ---- */

void uring_todo(struct uring_req *req)
{
	req->state = REQ_IDLE;
	list_add_tail(&req->ring->todo, &req->todo);
}

void uring_todo_done(struct uring_req *req, int32_t res)
{
	req->flags |= REQ_DONE;
	req->res = res;
	uring_todo(req);
}

/* cf. req_set_fail() */
static void req_fail(struct uring_req *req)
{
	req->flags |= REQ_FAIL;
	if (req->flags & IOSQE_CQE_SKIP_SUCCESS) {
		req->flags &= ~(unsigned)IOSQE_CQE_SKIP_SUCCESS;
		req->flags |= REQ_SKIP_LINKED;
	}
}

static void fail_chain(struct uring_req *req)
{
	const bool silent = req->flags & REQ_SKIP_LINKED;
	struct uring_req *link = req->link, *next;

	for (req->link = NULL; link; link = next) {
		next = link->link;
		link->link = NULL;
		if (silent)
			link->flags |= REQ_SILENT;
		else
			link->flags &= ~(unsigned)IOSQE_CQE_SKIP_SUCCESS;
		uring_todo_done(link, link->flags & REQ_FAIL ? link->res : -ECANCELED);
	}
}

/* The two halves of a limited request part. */
static void part_from_timeout(struct uring_req *req)
{
	struct uring_req *timeout = req->timeout;

	if (timeout) {
		req->timeout = NULL;
		timeout->timer_op.head = NULL;
		uring_timeout_disarm(timeout);
		uring_todo_done(timeout, -ECANCELED);
	}
	if (req->opcode == IORING_OP_LINK_TIMEOUT && req->op && req->timer_op.head) {
		req->timer_op.head->timeout = NULL;
		req->timer_op.head = NULL;
	}
}

static void post(struct uring_req *req, int32_t res)
{
	struct uring_overflow cqe = { .user_data = req->user_data, .res = res };

	if (req->flags & (IOSQE_CQE_SKIP_SUCCESS | REQ_SILENT))
		return;
	if (req->opcode == IORING_OP_URING_CMD) {
		cqe.extra[0] = req->cmd.extra[0];
		cqe.extra[1] = req->cmd.extra[1];
	}
	(void)uring_cq_post(req->ring, &cqe, true);
}

static bool is_failure(const struct uring_req *req, int32_t res)
{
	/* It does its work, whatever came of that. */
	if (req->opcode == IORING_OP_LINK_TIMEOUT)
		return false;
	if (res == -ETIME && req->opcode == IORING_OP_TIMEOUT &&
	    (req->timer_op.flags & IORING_TIMEOUT_ETIME_SUCCESS))
		return false;
	return res < 0;
}

static void complete(struct uring_req *req, int32_t res)
{
	struct uring_req *link;

	uring_disarm(req);
	if (is_failure(req, res))
		req_fail(req);
	post(req, res);
	part_from_timeout(req);
	if ((req->flags & REQ_FAIL) && !(req->flags & IOSQE_IO_HARDLINK))
		fail_chain(req);
	link = req->link;
	req->link = NULL;
	if (link)
		uring_todo(link);
	req_die(req);
}

bool uring_post_more(struct uring_req *req, int32_t res)
{
	const struct uring_overflow cqe = {
		.user_data = req->user_data,
		.res = res,
		.flags = IORING_CQE_F_MORE,
	};

	return uring_cq_post(req->ring, &cqe, false);
}

/* ---- issue ---- */

struct file *uring_file(const struct uring_req *req, int fd, bool fixed)
{
	const struct uring *ring = req->ring;

	if (!fixed)
		return req->ctx.files ? fdtable_file(req->ctx.files, fd) : NULL;
	if ((unsigned)fd >= ring->nr_files || !ring->files[fd])
		return NULL;
	return file_get(ring->files[fd]);
}

/*
 * Is -EAGAIN of a file that never sleeps the result? O_NONBLOCK alone does not make it so, cf.
 * io_rw_init_file().
 */
static bool may_wait(const struct uring_req *req)
{
	return !(req->flags & REQ_NOWAIT) || !req->file->op->nowait;
}

static bool can_poll(const struct uring_req *req)
{
	return req->op->poll_events && req->file->op->nowait && req->file->op->poll;
}

/* Waits until its file is ready, and then issues it again; else a worker does it. */
static int wait_for_file(struct uring_req *req)
{
	unsigned mask;
	int err;

	if (!can_poll(req) || req->retries++ >= MAX_RETRIES) {
		uring_disarm(req);
		uring_work(req);
		return 0;
	}
	uring_disarm(req);
	err = uring_arm(req, req->op->poll_events | POLLERR | POLLHUP, &mask);
	if (err)
		return err;
	if (mask)
		uring_todo(req);
	else
		req->state = REQ_POLL;
	return 0;
}

void uring_issued(struct uring_req *req, int32_t res, bool nowait)
{
	if (res == URING_KEPT)
		return;
	if (res == -EAGAIN && nowait && may_wait(req)) {
		res = wait_for_file(req);
		if (!res)
			return;
	}
	complete(req, err_is_restart(res) ? -EINTR : res);
}

/* The LINK_TIMEOUT behind it belongs to it from now on. */
static void take_timeout(struct uring_req *req)
{
	struct uring_req *timeout = req->link;

	if (!timeout || timeout->opcode != IORING_OP_LINK_TIMEOUT || (timeout->flags & REQ_FAIL))
		return;
	req->link = timeout->link;
	timeout->link = NULL;
	req->timeout = timeout;
	timeout->timer_op.head = req;
}

static int32_t try_issue(struct uring_req *req)
{
	if (req->cancel)
		return -ECANCELED;
	if (req->op->needs_file && !req->file) {
		req->file = uring_file(req, req->fd, req->flags & IOSQE_FIXED_FILE);
		if (!req->file)
			return -EBADF;
	}
	if (req->op->blocks) {
		uring_work(req);
		return URING_KEPT;
	}
	return req->op->issue(req, true);
}

static void issue(struct uring_req *req)
{
	struct uring_req *timeout;

	take_timeout(req);
	timeout = req->timeout;
	uring_issued(req, try_issue(req), true);
	/* Still under way? A dead request has parted from it. */
	if (timeout && timeout->timer_op.head == req && timeout->state != REQ_TIMER)
		uring_timeout_arm(timeout);
}

/* ---- IOSQE_IO_DRAIN ---- */

static unsigned chain_length(const struct uring_req *req)
{
	unsigned n = 0;

	for (; req; req = req->link)
		n++;
	return n;
}

/* cf. io_queue_deferred(): the first may start when there are none but those that wait here. */
static void run_deferred(struct uring *ring)
{
	bool drain_seen = false, first = true;

	while (!list_empty(&ring->deferred)) {
		struct uring_req *req = list_first(&ring->deferred, struct uring_req, todo);

		drain_seen = drain_seen || (req->flags & IOSQE_IO_DRAIN);
		if ((drain_seen || first) && ring->nr_reqs != ring->nr_deferred)
			return;
		list_del(&req->todo);
		ring->nr_deferred -= chain_length(req);
		uring_todo(req);
		first = false;
	}
}

static void defer(struct uring_req *req)
{
	struct uring *ring = req->ring;

	req->state = REQ_DEFERRED;
	list_add_tail(&ring->deferred, &req->todo);
	ring->nr_deferred += chain_length(req);
	run_deferred(ring);
	if (!(req->flags & IOSQE_IO_DRAIN) && list_empty(&ring->deferred))
		ring->drain_active = false;
}

/* cf. io_init_drain(): in the middle of a chain it means the whole of it and what comes next. */
static void want_drain(struct uring *ring)
{
	ring->drain_active = true;
	if (ring->link_head) {
		ring->link_head->flags |= IOSQE_IO_DRAIN;
		ring->drain_next = true;
	}
}

void uring_run(struct uring *ring)
{
	if (ring->running)
		return;
	ring->running = true;
	do {
		while (!list_empty(&ring->todo)) {
			struct uring_req *req = list_first(&ring->todo, struct uring_req, todo);

			list_del(&req->todo);
			if (req->flags & REQ_DONE)
				complete(req, req->res);
			else
				issue(req);
		}
		uring_timeouts_flush(ring);
		run_deferred(ring);
	} while (!list_empty(&ring->todo));
	ring->running = false;
}

/* ---- submission ---- */

static int take_personality(struct uring_req *req, unsigned id)
{
	const struct cred *cred;

	if (!id)
		return 0;
	cred = id <= URING_MAX_PERSONALITIES ? req->ring->personalities[id - 1] : NULL;
	if (!cred)
		return -EINVAL;
	if (req->ctx.cred)
		cred_put(req->ctx.cred);
	req->ctx.cred = cred_get(cred);
	return 0;
}

/* cf. io_init_req() for the order */
static int req_init(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring *ring = req->ring;
	const struct uring_op *op = uring_op(sqe->opcode);
	int err;

	req->opcode = sqe->opcode;
	req->flags = sqe->flags;
	req->user_data = sqe->user_data;
	list_add_tail(uring_bucket(ring, req->user_data), &req->data_node);
	req->fd = sqe->fd;
	req->buf_index = sqe->buf_index;
	if (!op || (sqe->flags & ~SQE_VALID))
		return -EINVAL;
	if (sqe->flags & IOSQE_BUFFER_SELECT) /* there are no provided buffers */
		return -EOPNOTSUPP;
	if (sqe->flags & IOSQE_CQE_SKIP_SUCCESS)
		ring->drain_disabled = true;
	if (sqe->flags & IOSQE_IO_DRAIN) {
		if (ring->drain_disabled)
			return -EOPNOTSUPP;
		want_drain(ring);
	}
	if (ring->drain_next && !ring->link_head) {
		ring->drain_next = false;
		ring->drain_active = true;
		req->flags |= IOSQE_IO_DRAIN;
	}
	if (sqe->ioprio && !op->ioprio)
		return -EINVAL;
	err = take_personality(req, sqe->personality);
	if (err)
		return err;
	req->op = op;
	return op->prep(req, sqe);
}

/* The chain is complete. */
static void queue_chain(struct uring_req *head)
{
	if (head->flags & REQ_FAIL) {
		head->flags &= ~(unsigned)IOSQE_IO_HARDLINK;
		uring_todo_done(head, head->res);
	} else if (head->ring->drain_active) {
		defer(head);
	} else {
		uring_todo(head);
	}
}

static void fail_with(struct uring_req *req, int err)
{
	req_fail(req);
	req->res = err;
}

/* One entry. An error ends the submission, unless a chain goes on, cf. io_submit_fail_init(). */
static int submit_one(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring *ring = req->ring;
	int err = req_init(req, sqe);
	struct uring_req *head = ring->link_head;

	if (err) {
		fail_with(req, err);
		if (head && !(head->flags & REQ_FAIL))
			fail_with(head, -ECANCELED);
	}
	if (head)
		ring->link_last->link = req;
	else
		ring->link_head = head = req;
	ring->link_last = req;
	if (req->flags & SQE_LINKS)
		return 0;
	ring->link_head = NULL;
	queue_chain(head);
	return err;
}

/* cf. io_submit_state_end(): a chain ends with its submission. */
static void end_chain(struct uring *ring)
{
	struct uring_req *head = ring->link_head;

	ring->link_head = NULL;
	if (head)
		queue_chain(head);
	uring_run(ring);
}

int uring_submit_locked(struct uring *ring, const struct op_ctx *ctx, struct uring_task *task,
			uint32_t nr)
{
	const uint32_t ready = uring_sq_ready(ring);
	struct io_uring_sqe sqe[2];
	struct uring_req *req;
	uint32_t taken = 0;
	int err = 0;

	if (nr > ready)
		nr = ready;
	while (taken < nr && !(err && !(ring->flags & IORING_SETUP_SUBMIT_ALL))) {
		if (ring->nr_reqs >= URING_MAX_REQS && taken == 0)
			return -EAGAIN;
		if (ring->nr_reqs >= URING_MAX_REQS || !uring_sq_take(ring, sqe))
			break;
		req = req_new(ring, ctx, task);
		if (!req) {
			ring->sq_head--;
			break;
		}
		taken++;
		err = submit_one(req, sqe);
		uring_run(ring);
	}
	end_chain(ring);
	uring_sq_commit(ring);
	return (int)taken;
}

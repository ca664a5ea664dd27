/* The clients' side of the ring: requests find an entry, and their way into its memory. */
#include <sched.h>

#include "devfuse/gather.h"
#include "devfuse/keep.h"
#include "devfuse/ring.h"
#include "sentry/base/iter.h"
#include "vfs/ctx.h"
#include "vfs/uring_cmd.h"

bool fuse_ring_ready(const struct fuse_conn *conn)
{
	return conn->ring && conn->ring->ready;
}

bool fuse_ring_awaited(const struct fuse_conn *conn)
{
	return conn->ring_promised && conn->connected && !fuse_ring_ready(conn);
}

struct fuse_ring_queue *fuse_ring_choose(struct fuse_conn *conn)
{
	int cpu = sched_getcpu();

	/* More processors than the guests see: affinity of ours may number them with gaps. */
	return &conn->ring->queues[cpu < 0 ? 0 : (unsigned)cpu % conn->ring->nr_queues];
}

static void assign(struct fuse_ring_entry *entry, struct fuse_request *req)
{
	list_del(&req->node);
	list_del(&entry->node);
	req->state = REQ_SENDING;
	entry->req = req;
	entry->state = RING_SENDING;
	list_add_tail(&entry->queue->busy, &entry->node);
	list_add_tail(&entry->queue->ring->handouts, &entry->handout_node);
}

void fuse_ring_feed(struct fuse_ring_queue *queue)
{
	fb_mutex_assert_held(&queue->ring->conn->lock);
	while (queue->ring->conn->connected && !list_empty(&queue->available) &&
	       !list_empty(&queue->requests))
		assign(list_first(&queue->available, struct fuse_ring_entry, node),
		       list_first(&queue->requests, struct fuse_request, node));
}

void fuse_ring_queue_request(struct fuse_request *req)
{
	list_add_tail(&req->ring_queue->requests, &req->node);
	fuse_ring_feed(req->ring_queue);
}

/* --- into the daemon's memory ------------------------------------------------------------- */

/* U10: how many of in[] go to op_in; all else is payload. */
static unsigned args_in_header(const struct fuse_request *req)
{
	return req->row->in_size > 0 && !req->row->ring_payload && req->args->nr_in > 0 ? 1 : 0;
}

static size_t payload_size(const struct fuse_request *req)
{
	size_t size = 0;

	for (unsigned i = args_in_header(req); i < req->args->nr_in; i++)
		size += req->args->in[i].size;
	return size;
}

/* What cannot travel: 0 or the client's error (U14). */
static int check_request(const struct fuse_ring *ring, const struct fuse_request *req)
{
	if (req->in.unique == 0) /* NOTIFY_REPLY carries the daemon's number */
		return -EINVAL;
	if (args_in_header(req) > 0 && req->args->in[0].size > FUSE_URING_OP_IN_OUT_SZ)
		return -EIO;
	if (payload_size(req) > ring->max_payload)
		return fuse_request_too_large(req);
	return 0;
}

/* U10-U12; one copy when it is small. No lock. */
static bool copy_request(const struct fuse_ring_entry *entry, const struct fuse_request *req)
{
	const struct fuse_args *args = req->args;
	unsigned in_header = args_in_header(req);
	struct fuse_uring_ent_in_out info = {.commit_id = req->in.unique,
					     .payload_sz = (uint32_t)payload_size(req)};
	const struct iovec segs[] = {
		{FUSE_RING_AT(entry, in_out), sizeof(req->in)},
		{FUSE_RING_AT(entry, op_in), in_header ? args->in[0].size : 0},
		{FUSE_RING_AT(entry, ring_ent_in_out), sizeof(info)},
		{fuse_ring_address(entry->payload_gva, 0), info.payload_sz},
	};
	struct io_iter to;
	struct gather g;

	ctx_iter_init(entry->cmd->ctx, &to, segs, 4,
		      segs[0].iov_len + segs[1].iov_len + segs[2].iov_len + segs[3].iov_len);
	gather_init(&g, &to);
	gather_add(&g, &req->in, sizeof(req->in));
	if (in_header)
		gather_add(&g, args->in[0].data, args->in[0].size);
	gather_add(&g, &info, sizeof(info));
	for (unsigned i = in_header; i < args->nr_in; i++)
		gather_add(&g, args->in[i].data, args->in[i].size);
	gather_flush(&g);
	return !g.fault;
}

/* The request is in the daemon's hands. U19: an earlier signal makes no INTERRUPT here. */
static void entry_sent(struct fuse_ring_entry *entry)
{
	struct fuse_request *req = entry->req;
	struct uring_cmd *cmd = entry->cmd;

	entry->state = RING_SENT;
	entry->cmd = NULL;
	req->state = REQ_SENT;
	if (req->want_wake)
		waitq_wake(&req->done, 0);
	uring_cmd_done(cmd, 0);
}

/* lock held; given up while bytes are copied. */
static void hand_out(struct fuse_conn *conn, struct fuse_ring_entry *entry, struct list_node *done)
{
	struct fuse_request *req = entry->req;
	int err = check_request(conn->ring, req);
	bool copied;

	if (!err && conn->connected) {
		fb_mutex_unlock(&conn->lock);
		copied = copy_request(entry, req);
		fb_mutex_lock(&conn->lock);
		err = copied ? 0 : -EFAULT;
	}
	if (!conn->connected)
		err = -ECONNABORTED;
	if (!err) {
		entry_sent(entry);
		return;
	}
	entry->req = NULL;
	list_del(&entry->node);
	fuse_request_end(conn, req, err, done);
	fuse_ring_entry_free(entry);
}

void fuse_ring_hand_out(struct fuse_conn *conn)
{
	struct fuse_ring *ring = conn->ring;
	struct list_node done;

	if (!ring)
		return;
	list_init(&done);
	fb_mutex_lock(&conn->lock);
	while (!list_empty(&ring->handouts)) {
		struct fuse_ring_entry *entry =
			list_first(&ring->handouts, struct fuse_ring_entry, handout_node);

		list_del(&entry->handout_node);
		hand_out(conn, entry, &done);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_results_deliver(conn, &done);
}

/* --- the end ------------------------------------------------------------------------------ */

typedef void (*end_fn)(struct fuse_conn *conn, struct fuse_request *req, struct list_node *done);

static void end_aborted(struct fuse_conn *conn, struct fuse_request *req, struct list_node *done)
{
	fuse_request_end(conn, req, -ECONNABORTED, done);
}

static void end_list(struct fuse_conn *conn, struct list_node *list, end_fn end,
		     struct list_node *done)
{
	while (!list_empty(list))
		end(conn, list_first(list, struct fuse_request, node), done);
}

static void queue_stop(struct fuse_ring_queue *queue, end_fn end, struct list_node *done)
{
	struct fuse_conn *conn = queue->ring->conn;
	struct fuse_ring_entry *entry, *tmp;

	list_for_each_safe (entry, tmp, &queue->busy, node)
		if (entry->state == RING_SENT) { /* those on their way end with the copying */
			end(conn, entry->req, done);
			fuse_ring_entry_retire(entry, -ENOTCONN);
		}
	/* The end of one lets another in: until both are empty. */
	while (!list_empty(&queue->background) || !list_empty(&queue->requests)) {
		end_list(conn, &queue->background, end, done);
		end_list(conn, &queue->requests, end, done);
	}
	while (!list_empty(&queue->available))
		fuse_ring_entry_retire(
			list_first(&queue->available, struct fuse_ring_entry, node), -ENOTCONN);
	queue->created = false;
}

void fuse_ring_stop(struct fuse_conn *conn, struct list_node *done)
{
	fb_mutex_assert_held(&conn->lock);
	for (unsigned i = 0; conn->ring && i < conn->ring->nr_queues; i++)
		queue_stop(&conn->ring->queues[i], end_aborted, done);
}

/* No command is held any more: each has held a descriptor of the daemon's open. */
void fuse_ring_vacate(struct fuse_conn *conn, struct list_node *done)
{
	struct fuse_ring *ring = conn->ring;

	for (unsigned i = 0; ring && i < ring->nr_queues; i++)
		queue_stop(&ring->queues[i], fuse_request_lost, done);
	if (ring)
		ring->ready = false;
	conn->ring_promised = false;
}

static bool queue_expired(struct fuse_ring_queue *queue, int64_t born_before_ns)
{
	struct fuse_ring_entry *entry;

	if (fuse_request_head_expired(&queue->requests, born_before_ns) ||
	    fuse_request_head_expired(&queue->background, born_before_ns))
		return true;
	list_for_each (entry, &queue->busy, node)
		if (entry->req->created_ns < born_before_ns)
			return true;
	return false;
}

bool fuse_ring_expired(const struct fuse_conn *conn, int64_t born_before_ns)
{
	for (unsigned i = 0; conn->ring && i < conn->ring->nr_queues; i++)
		if (queue_expired(&conn->ring->queues[i], born_before_ns))
			return true;
	return false;
}

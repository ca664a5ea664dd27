/*
 * The daemon's side of the ring: its commands, and the life of queues and entries. What clients
 * queue is the business of ring_queue.c. cf. fs/fuse/dev_uring.c.
 */
#include "devfuse/ring.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "devfuse/params.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/fs/sysfs.h"
#include "vfs/ioctl.h"
#include "vfs/uring_cmd.h"

#define IOVECS 2 /* of REGISTER: header area, payload */

/* --- entries ------------------------------------------------------------------------------ */

static struct fuse_ring_entry *entry_new(struct fuse_ring_queue *queue)
{
	struct fuse_ring *ring = queue->ring;
	struct fuse_ring_entry *entry;

	if (queue->nr_entries == FUSE_RING_ENTRIES_MAX)
		return NULL;
	if (!list_empty(&ring->unused)) {
		entry = list_first(&ring->unused, struct fuse_ring_entry, node);
		list_del(&entry->node);
	} else {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return NULL;
		list_init(&entry->node);
		list_init(&entry->handout_node);
	}
	entry->queue = queue;
	queue->nr_entries++;
	return entry;
}

void fuse_ring_entry_retire(struct fuse_ring_entry *entry, int res)
{
	struct uring_cmd *cmd = entry->cmd;

	list_del(&entry->node);
	entry->state = RING_UNUSED;
	entry->req = NULL;
	entry->cmd = NULL;
	entry->queue->nr_entries--;
	list_add(&entry->queue->ring->unused, &entry->node);
	if (cmd)
		uring_cmd_done(cmd, res);
}

void fuse_ring_entry_free(struct fuse_ring_entry *entry)
{
	if (!entry->queue->ring->conn->connected || entry->cancelled) {
		fuse_ring_entry_retire(entry, -ENOTCONN);
		return;
	}
	entry->state = RING_AVAILABLE;
	list_add(&entry->queue->available, &entry->node);
	fuse_ring_feed(entry->queue);
}

/*
 * U22. No lock. An entry that is being copied cannot be taken away: it is noted, and becomes
 * unused instead of available.
 */
static void command_cancel(struct uring_cmd *cmd)
{
	struct fuse_conn *conn = (struct fuse_conn *)(uintptr_t)cmd->pdu[0];
	struct fuse_ring_entry *entry = (struct fuse_ring_entry *)(uintptr_t)cmd->pdu[1];

	fb_mutex_lock(&conn->lock);
	if (entry->cmd == cmd && entry->state == RING_AVAILABLE)
		fuse_ring_entry_retire(entry, -ENOTCONN);
	else if (entry->cmd == cmd)
		entry->cancelled = true;
	fb_mutex_unlock(&conn->lock);
}

static void entry_hold(struct fuse_ring_entry *entry, struct uring_cmd *cmd)
{
	entry->cmd = cmd;
	entry->cancelled = false;
	cmd->pdu[0] = (uintptr_t)entry->queue->ring->conn;
	cmd->pdu[1] = (uintptr_t)entry;
	uring_cmd_mark_cancelable(cmd, command_cancel);
}

/* --- REGISTER ----------------------------------------------------------------------------- */

static struct fuse_ring *ring_new(struct fuse_conn *conn)
{
	unsigned nr_queues = sysfs_cpu_count();
	struct fuse_ring *ring = calloc(1, sizeof(*ring) + nr_queues * sizeof(ring->queues[0]));

	if (!ring)
		return NULL;
	ring->conn = conn;
	ring->nr_queues = nr_queues;
	ring->max_payload = (size_t)conn->max_pages * 4096;
	if (ring->max_payload < conn->max_write)
		ring->max_payload = conn->max_write;
	if (ring->max_payload < FUSE_MIN_READ_BUFFER)
		ring->max_payload = FUSE_MIN_READ_BUFFER;
	list_init(&ring->handouts);
	list_init(&ring->unused);
	for (unsigned i = 0; i < nr_queues; i++) {
		struct fuse_ring_queue *queue = &ring->queues[i];

		queue->ring = ring;
		list_init(&queue->available);
		list_init(&queue->busy);
		list_init(&queue->requests);
		list_init(&queue->background);
	}
	return ring;
}

void fuse_ring_free(struct fuse_ring *ring)
{
	while (ring && !list_empty(&ring->unused)) {
		struct fuse_ring_entry *entry =
			list_first(&ring->unused, struct fuse_ring_entry, node);

		list_del(&entry->node);
		free(entry);
	}
	free(ring);
}

/* The ring and the queue that REGISTER names, made when they are not there. */
static int queue_get(struct fuse_conn *conn, unsigned qid, struct fuse_ring_queue **ret_queue)
{
	struct fuse_ring *ring = conn->ring;

	if (!ring) {
		ring = ring_new(conn);
		if (!ring)
			return -ENOMEM;
		conn->ring = ring;
	}
	if (qid >= ring->nr_queues)
		return -EINVAL;
	*ret_queue = &ring->queues[qid];
	(*ret_queue)->created = true;
	return 0;
}

/* No lock. Where the daemon has the header area and the payload of an entry. */
static int copy_iovecs(const struct op_ctx *ctx, const struct uring_cmd *cmd, size_t max_payload,
		       struct iovec iov[IOVECS])
{
	if (cmd->len != IOVECS)
		return -EINVAL;
	if (ioctl_copy_in(ctx, iov, cmd->addr, IOVECS * sizeof(*iov)))
		return -EFAULT;
	if (iov[0].iov_len > SSIZE_MAX || iov[1].iov_len > SSIZE_MAX ||
	    iov[0].iov_len < sizeof(struct fuse_uring_req_header) || iov[1].iov_len < max_payload)
		return -EINVAL;
	return 0;
}

static bool all_queues_have_entries(const struct fuse_ring *ring)
{
	for (unsigned i = 0; i < ring->nr_queues; i++)
		if (list_empty(&ring->queues[i].available))
			return false;
	return true;
}

/* From now on requests go here, those of the background class that have not been queued, too. */
static void ring_becomes_ready(struct fuse_ring *ring)
{
	struct fuse_ring_queue *queue = fuse_ring_choose(ring->conn);
	struct fuse_request *req;

	ring->ready = true;
	list_for_each (req, &ring->conn->background, node)
		req->ring_queue = queue;
	list_splice_tail(&queue->background, &ring->conn->background);
	fuse_background_flush(ring->conn, queue);
	waitq_wake_all(&ring->conn->initialized.waiters, 0);
}

static int queue_register(const struct op_ctx *ctx, struct fuse_conn *conn, struct uring_cmd *cmd,
			  unsigned qid)
{
	struct fuse_ring_queue *queue;
	struct fuse_ring_entry *entry;
	struct iovec iov[IOVECS];
	size_t max_payload;
	int err = queue_get(conn, qid, &queue);

	if (err)
		return err;
	max_payload = queue->ring->max_payload;
	fb_mutex_unlock(&conn->lock);
	err = copy_iovecs(ctx, cmd, max_payload, iov);
	fb_mutex_lock(&conn->lock);
	if (err)
		return err;
	if (!conn->connected)
		return -ENOTCONN;
	entry = entry_new(queue);
	if (!entry)
		return -ENOMEM;
	entry->header_gva = (uintptr_t)iov[0].iov_base;
	entry->payload_gva = (uintptr_t)iov[1].iov_base;
	entry_hold(entry, cmd);
	fuse_ring_entry_free(entry);
	if (!queue->ring->ready && all_queues_have_entries(queue->ring))
		ring_becomes_ready(queue->ring);
	return -EIOCBQUEUED;
}

/* U05: a daemon that cannot set up its ring is served by read and write. */
static int command_register(const struct op_ctx *ctx, struct fuse_conn *conn,
			    struct uring_cmd *cmd, const struct fuse_uring_cmd_req *arg)
{
	int err = queue_register(ctx, conn, cmd, arg->qid);

	if (err != -EIOCBQUEUED) {
		conn->ring_promised = false;
		waitq_wake_all(&conn->initialized.waiters, 0);
	}
	return err;
}

/* --- COMMIT_AND_FETCH --------------------------------------------------------------------- */

static int entry_find(struct fuse_conn *conn, const struct fuse_uring_cmd_req *arg,
		      struct fuse_ring_entry **ret_entry)
{
	struct fuse_ring *ring = conn->ring;
	struct fuse_ring_entry *entry;

	if (!ring)
		return -ENOTCONN;
	if (arg->qid >= ring->nr_queues)
		return -EINVAL;
	if (!ring->queues[arg->qid].created)
		return -ENOTCONN;
	list_for_each (entry, &ring->queues[arg->qid].busy, node)
		if (entry->req->in.unique == arg->commit_id) {
			*ret_entry = entry;
			return entry->state == RING_SENT ? 0 : -EIO;
		}
	return -ENOENT;
}

static int command_commit(struct fuse_conn *conn, struct uring_cmd *cmd,
			  const struct fuse_uring_cmd_req *arg, struct list_node *done)
{
	struct fuse_ring_entry *entry;
	struct fuse_request *req;
	int err = entry_find(conn, arg, &entry);

	if (err)
		return err;
	entry_hold(entry, cmd);
	list_del(&entry->node);
	entry->state = RING_REPLYING;
	req = entry->req;
	entry->req = NULL;
	fuse_reply_commit(conn, entry, req, done);
	fuse_ring_entry_free(entry);
	return -EIOCBQUEUED;
}

/* --- all commands ------------------------------------------------------------------------- */

/* U03, in the order of Linux 6.18. */
static int check_command(const struct fuse_conn *conn)
{
	if (!conn->ring_promised && !atomic_load(&fuse_params.enable_uring))
		return -EOPNOTSUPP;
	if (!conn->connected)
		return conn->aborted && fuse_conn_has(conn, FUSE_ABORT_ERROR) ? -ECONNABORTED
									       : -ENOTCONN;
	return conn->initialized.open ? 0 : -EAGAIN;
}

int fuse_ring_command(const struct op_ctx *ctx, struct uring_cmd *cmd, unsigned issue_flags)
{
	struct fuse_dev *dev = cmd->file->private;
	struct fuse_uring_cmd_req arg;
	struct fuse_conn *conn;
	struct list_node done;
	int err;

	if (!(issue_flags & URING_ISSUE_SQE128))
		return -EINVAL;
	if ((issue_flags & URING_ISSUE_NONBLOCK) && fuse_dev_must_wait(dev))
		return -EAGAIN;
	err = fuse_dev_wait_attached(dev);
	if (err)
		return err == -ERESTARTSYS ? -EINTR : err;
	conn = dev->conn;
	memcpy(&arg, cmd->payload, sizeof(arg));
	list_init(&done);
	fb_mutex_lock(&conn->lock);
	fuse_conn_note_server(conn, ctx->tgid);
	err = check_command(conn);
	if (!err)
		switch (cmd->op) {
		case FUSE_IO_URING_CMD_REGISTER:
			err = command_register(ctx, conn, cmd, &arg);
			break;
		case FUSE_IO_URING_CMD_COMMIT_AND_FETCH:
			err = command_commit(conn, cmd, &arg, &done);
			break;
		default:
			err = -EINVAL;
		}
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
	return err;
}

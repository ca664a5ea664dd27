/*
 * What the daemon says: answers, written or over the ring, answers to INTERRUPT, and messages of
 * its own.
 *
 * Nothing of it is believed before it was checked here: length, error range, that the request
 * exists and was read through this very descriptor, and that the payload has the size which the
 * request's sender expects (matrix D30-D46, U12, U13, section 9).
 */
#include <string.h>
#include <sys/capability.h>

#include "devfuse/request.h"
#include "devfuse/ring.h"
#include "sentry/base/iter.h"
#include "vfs/ctx.h"
#include "vfs/perm.h"
#include "vfs/uring_cmd.h"

#define MAX_ERRNO 511 /* larger ones are the kernel's private codes */
#define SMALL	  512 /* answers up to this size are copied in one go, header included */

struct reply {
	struct fuse_out_header head;
	size_t total;	      /* bytes of the whole message */
	struct io_iter *from; /* at the payload, unless that is in buf */
	size_t in_buf;	      /* bytes of the message in buf */
	bool whole;	      /* all of it is in buf, or a fault cut it short there */
	int malformed, fault; /* what the client of a bad answer hears */
	struct iovec payload; /* over the ring: of which from is made */
	struct io_iter ring_from;
	uint8_t *buf; /* SMALL bytes of space; over the ring they follow the entry's own words */
	uint8_t space[sizeof(struct fuse_uring_ent_in_out) + SMALL];
};

/* D31-D33. */
static int read_header(struct reply *reply, struct io_iter *from)
{
	size_t want;

	reply->from = from;
	reply->buf = reply->space;
	reply->malformed = reply->fault = -EIO;
	reply->total = from->count;
	if (reply->total < sizeof(reply->head))
		return -EINVAL;
	reply->whole = reply->total <= SMALL;
	want = reply->whole ? reply->total : sizeof(reply->head);
	reply->in_buf = iter_from(from, reply->buf, want);
	if (reply->in_buf < sizeof(reply->head))
		return -EFAULT;
	memcpy(&reply->head, reply->buf, sizeof(reply->head));
	return reply->head.len == reply->total ? 0 : -EINVAL;
}

/* D34 */
static ssize_t write_notification(struct fuse_conn *conn, const struct op_ctx *ctx,
				  struct reply *reply)
{
	size_t len = reply->total - sizeof(reply->head);
	struct io_iter rest;
	bool ready;
	int err;

	fb_mutex_lock(&conn->lock);
	ready = conn->initialized.open && conn->connected;
	fb_mutex_unlock(&conn->lock);
	if (!ready || reply->head.error <= 0)
		return -EINVAL;
	if (reply->head.error == FUSE_NOTIFY_RESEND) { /* about the queues: ours; any body */
		fuse_conn_resend(conn);
		return (ssize_t)reply->total;
	}
	if (reply->whole) {
		iter_init_mem(&rest, reply->buf + sizeof(reply->head),
			      reply->in_buf - sizeof(reply->head));
		err = conn->ops->notify(conn, ctx, (unsigned)reply->head.error, &rest, len);
	} else {
		err = conn->ops->notify(conn, ctx, (unsigned)reply->head.error, reply->from, len);
	}
	return err ? err : (ssize_t)reply->total;
}

/* D37-D40. lock held. */
static ssize_t interrupt_answered(struct fuse_conn *conn, struct fuse_request *req,
				  const struct reply *reply)
{
	if (reply->total != sizeof(reply->head))
		return -EINVAL;
	if (reply->head.error == -ENOSYS) {
		conn->no_interrupt = true;
	} else if (reply->head.error == -EAGAIN) {
		if (!req->interrupted)
			return -EINVAL;
		fuse_request_interrupt(conn, req);
	}
	return (ssize_t)reply->total;
}

/* D41-D43: 0 and the last out argument cut to what has come, or -EINVAL. */
static int check_shape(struct fuse_request *req, const struct reply *reply)
{
	struct fuse_args *args = req->args;
	size_t expect = sizeof(reply->head), missing;

	if (reply->head.error)
		return reply->total == sizeof(reply->head) ? 0 : -EINVAL;
	for (unsigned i = 0; i < args->nr_out; i++)
		expect += args->out[i].size;
	if (reply->total > expect)
		return -EINVAL;
	missing = expect - reply->total;
	if (missing == 0)
		return 0;
	if (!req->row->out_var || args->out_fixed || missing > args->out[args->nr_out - 1].size)
		return -EINVAL;
	args->out[args->nr_out - 1].size -= missing;
	return 0;
}

static bool copy_from_buf(struct fuse_args *args, const struct reply *reply)
{
	size_t at = sizeof(reply->head);

	if (reply->in_buf < reply->total)
		return false;
	for (unsigned i = 0; i < args->nr_out; i++) {
		if (args->out[i].data)
			memcpy(args->out[i].data, reply->buf + at, args->out[i].size);
		at += args->out[i].size;
	}
	return true;
}

static bool copy_from_daemon(struct fuse_args *args, struct io_iter *from)
{
	for (unsigned i = 0; i < args->nr_out; i++) {
		size_t size = args->out[i].size;

		if (!args->out[i].data)
			iter_advance(from, size);
		else if (iter_from(from, args->out[i].data, size) != size)
			return false;
	}
	return true;
}

static bool died_meanwhile(const struct fuse_conn *conn, const struct fuse_request *req)
{
	return req->aborted || !conn->connected;
}

/* Copies the payload to where the requester wants it. lock held; given up for large ones. */
static ssize_t take_payload(struct fuse_conn *conn, struct fuse_request *req, struct reply *reply)
{
	bool copied;

	if (reply->whole)
		return copy_from_buf(req->args, reply) ? 0 : -EFAULT;
	list_del(&req->node);
	req->state = REQ_REPLYING;
	fb_mutex_unlock(&conn->lock);
	copied = copy_from_daemon(req->args, reply->from);
	fb_mutex_lock(&conn->lock);
	if (died_meanwhile(conn, req))
		return -ENOENT;
	return copied ? 0 : -EFAULT;
}

/* The request's answer has come, good or bad. lock held. */
static ssize_t answer(struct fuse_conn *conn, struct fuse_request *req, struct reply *reply,
		      struct list_node *done)
{
	const struct fuse_args *args = req->args;
	ssize_t err = check_shape(req, reply), result;

	if (err) {
		fuse_request_end(conn, req, reply->malformed, done);
		return err;
	}
	if (reply->head.error) {
		fuse_request_end(conn, req, reply->head.error, done);
		return (ssize_t)reply->total;
	}
	err = take_payload(conn, req, reply);
	if (err) {
		fuse_request_end(conn, req, err == -ENOENT ? -ECONNABORTED : reply->fault, done);
		return err;
	}
	result = req->row->out_var && args->nr_out > 0 ? (ssize_t)args->out[args->nr_out - 1].size
						       : 0;
	fuse_request_end(conn, req, result, done);
	return (ssize_t)reply->total;
}

ssize_t fuse_reply_write(struct fuse_conn *conn, struct fuse_dev *dev, const struct op_ctx *ctx,
			 struct io_iter *from)
{
	struct fuse_request *req;
	struct list_node done;
	struct reply reply;
	ssize_t ret = read_header(&reply, from);

	if (ret)
		return ret;
	if (reply.head.unique == 0)
		return write_notification(conn, ctx, &reply);
	if (reply.head.error > 0 || reply.head.error < -MAX_ERRNO)
		return -EINVAL; /* D35 */
	list_init(&done);
	fb_mutex_lock(&conn->lock);
	req = fuse_completions_find(&conn->completions, reply.head.unique & ~FUSE_INT_REQ_BIT);
	if (!conn->connected || !req || req->state != REQ_SENT || req->dev != dev) {
		ret = -ENOENT; /* D36 */
	} else if (reply.head.unique & FUSE_INT_REQ_BIT) {
		ret = interrupt_answered(conn, req, &reply);
	} else {
		fuse_stats_answered();
		if (req->in.opcode == FUSE_INIT && !conn->init_sync)
			conn->init_by_admin = ctx_capable(ctx, CAP_SYS_ADMIN);
		ret = answer(conn, req, &reply, &done);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
	return ret;
}

/* --- over the ring ------------------------------------------------------------------------ */

static size_t answer_room(const struct fuse_args *args)
{
	size_t room = 0;

	for (unsigned i = 0; i < args->nr_out; i++)
		room += args->out[i].size;
	return room;
}

/*
 * Fetches the header and a small payload in one copy: payload_sz is not known before, but what
 * the request has room for. 0 or -EFAULT. No lock.
 */
static int fetch_answer(struct reply *reply, const struct fuse_ring_entry *entry,
			const struct fuse_request *req)
{
	void *payload = fuse_ring_address(entry->payload_gva, 0);
	struct fuse_uring_ent_in_out info;
	size_t peek = answer_room(req->args), got;

	if (peek > SMALL - sizeof(reply->head))
		peek = SMALL - sizeof(reply->head);
	const struct iovec segs[] = {
		{FUSE_RING_AT(entry, ring_ent_in_out), sizeof(info)},
		{FUSE_RING_AT(entry, in_out), sizeof(reply->head)},
		{payload, peek},
	};
	ctx_iter_init(entry->cmd->ctx, &reply->ring_from, segs, 3,
		      sizeof(info) + sizeof(reply->head) + peek);
	got = iter_from(&reply->ring_from, reply->space, reply->ring_from.count);
	if (got < sizeof(info) + sizeof(reply->head))
		return -EFAULT;
	memcpy(&info, reply->space, sizeof(info));
	reply->buf = reply->space + sizeof(info);
	memcpy(&reply->head, reply->buf, sizeof(reply->head));
	reply->in_buf = got - sizeof(info);
	reply->total = sizeof(reply->head) + (reply->head.error ? 0 : info.payload_sz);
	reply->whole = reply->total <= sizeof(reply->head) + peek;
	reply->payload = (struct iovec){payload, info.payload_sz};
	ctx_iter_init(entry->cmd->ctx, &reply->ring_from, &reply->payload, 1, info.payload_sz);
	reply->from = &reply->ring_from;
	reply->malformed = -EINVAL;
	reply->fault = -EFAULT;
	return 0;
}

/* U13: what the client hears when the header is wrong, else 0. */
static int check_ring_header(const struct fuse_request *req, const struct reply *reply)
{
	if (reply->head.unique == 0 || reply->head.error > 0 || reply->head.error < -MAX_ERRNO)
		return -EINVAL;
	if (reply->head.error == 0 &&
	    (reply->head.unique & ~FUSE_INT_REQ_BIT) != req->in.unique)
		return -ENOENT;
	return 0;
}

void fuse_reply_commit(struct fuse_conn *conn, const struct fuse_ring_entry *entry,
		       struct fuse_request *req, struct list_node *done)
{
	struct reply reply;
	int err;

	req->state = REQ_REPLYING;
	fb_mutex_unlock(&conn->lock);
	err = fetch_answer(&reply, entry, req);
	if (!err)
		err = check_ring_header(req, &reply);
	fb_mutex_lock(&conn->lock);
	fuse_stats_answered();
	if (died_meanwhile(conn, req))
		err = -ECONNABORTED;
	if (err)
		fuse_request_end(conn, req, err, done);
	else
		(void)answer(conn, req, &reply, done); /* the daemon does not hear what was wrong */
}

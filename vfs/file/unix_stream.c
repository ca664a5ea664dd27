/* Bytes over SOCK_STREAM (cf. unix_stream_sendmsg(), unix_stream_read_generic()). */
#include <errno.h>
#include <signal.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/ctx.h"
#include "vfs/file/unix_internal.h"

static ssize_t broken_pipe(const struct op_ctx *ctx, const struct sock_msg *msg)
{
	if (!(msg->flags & MSG_NOSIGNAL) && ctx->ops && ctx->ops->signal)
		ctx->ops->signal(ctx, SIGPIPE);
	return -EPIPE;
}

/* A part of the message that leaves room for the next to be on its way. */
static size_t chunk_size(struct unix_sock *sk, size_t left)
{
	size_t chunk = atomic_load_explicit(&sk->sock.sndbuf, memory_order_relaxed) / 2 - 64;

	if (chunk > UNIX_STREAM_CHUNK)
		chunk = UNIX_STREAM_CHUNK;
	return left < chunk ? left : chunk;
}

/* Takes the buffer on success; -EPIPE. */
static int deliver(struct unix_sock *peer, struct unix_skb *skb)
{
	fb_mutex_lock(&peer->sock.lock);
	if (peer->dead ||
	    (atomic_load_explicit(&peer->sock.shutdown, memory_order_relaxed) & SOCKET_SHUT_RCV)) {
		fb_mutex_unlock(&peer->sock.lock);
		return -EPIPE;
	}
	unix_skb_queue(peer, skb);
	fb_mutex_unlock(&peer->sock.lock);
	waitq_wake(&peer->sock.wq, POLL_READABLE);
	return 0;
}

ssize_t unix_stream_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct unix_sock *sk = unix_of(sock);
	struct unix_sock *peer = atomic_load_explicit(&sk->peer, memory_order_acquire);
	struct scm scm = msg->scm;
	struct unix_skb *skb;
	ssize_t sent = 0;
	int err = 0;

	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (msg->name_len)
		return peer ? -EISCONN : -EOPNOTSUPP;
	if (!peer)
		return -ENOTCONN;
	if (atomic_load_explicit(&sock->shutdown, memory_order_relaxed) & SOCKET_SHUT_SND)
		return broken_pipe(ctx, msg);
	while (msg->iter->count) {
		size_t len = chunk_size(sk, msg->iter->count);

		err = unix_skb_new(ctx, sk, msg, len, &skb);
		if (err)
			break;
		msg->scm.nr_files = 0; /* they travel with the first byte */
		err = deliver(peer, skb);
		if (err) {
			unix_skb_free(skb);
			break;
		}
		sent += (ssize_t)len;
	}
	msg->scm = scm;
	if (sent)
		return sent;
	return err == -EPIPE ? broken_pipe(ctx, msg) : err;
}

/* ---- receive ---- */

/* State of one recvmsg. */
struct stream_read {
	struct unix_sock *sk;
	struct sock_msg *msg;
	size_t copied;
	size_t target;		  /* bytes to wait for */
	const struct ucred *cred; /* of the first buffer; in a buffer that is still held */
	struct list_node done;	  /* buffers that are used up */
	struct unix_fds *fds;	  /* taken, to hand over once unlocked */
	bool has_fds;		  /* this read ends here */
	bool waited;		  /* the wake-up for all of it may have come to us alone */
	int err;
};

/* The buffer at the read position: the first, or with MSG_PEEK `copied` bytes further on. */
static struct unix_skb *stream_position(struct stream_read *read, size_t *ret_off)
{
	size_t skip = read->msg->flags & MSG_PEEK ? read->copied : 0;
	struct unix_skb *skb;

	list_for_each (skb, &read->sk->rx, node) {
		if (skip < skb->len - skb->off) {
			*ret_off = skb->off + skip;
			return skb;
		}
		skip -= skb->len - skb->off;
	}
	return NULL;
}

/* The next buffer; sleeps until there is one. NULL: the read ends with read->err. Locked. */
static struct unix_skb *stream_next(struct stream_read *read, size_t *ret_off)
{
	struct unix_sock *sk = read->sk;
	int64_t timeo = atomic_load(&sk->sock.rcvtimeo_ns);
	bool nonblock = read->msg->flags & MSG_DONTWAIT;
	int64_t deadline = socket_deadline(timeo, nonblock);
	struct unix_skb *skb;
	int err = 0;

	for (;;) {
		skb = stream_position(read, ret_off);
		if (skb || read->copied >= read->target)
			return skb;
		if (!err)
			err = socket_take_error(&sk->sock);
		if (err || (atomic_load(&sk->sock.shutdown) & SOCKET_SHUT_RCV))
			break;
		read->waited = !nonblock;
		if (nonblock)
			err = -EAGAIN;
		else
			err = socket_wait_error(waitq_wait_exclusive(&sk->sock.wq, POLLIN,
								     &sk->sock.lock,
								     WAIT_INTERRUPTIBLE, deadline),
						timeo);
	}
	read->err = err;
	return NULL;
}

/* Never glue bytes of different writers when the reader asks who wrote (unix(7)). */
static bool other_writer(const struct stream_read *read, const struct unix_skb *skb)
{
	const struct ucred *a = read->cred, *b = &skb->cred;

	return a && (atomic_load(&read->sk->sock.opts) & SOCKET_PASSCRED) &&
	       (a->pid != b->pid || a->uid != b->uid || a->gid != b->gid);
}

static void stream_first(struct stream_read *read, struct unix_skb *skb)
{
	read->cred = &read->msg->scm.cred;
	read->msg->scm.cred = skb->cred;
	unix_skb_show_cred(read->sk, skb, &read->msg->scm);
	unix_copy_addr(skb->sender, &read->msg->name, &read->msg->name_len);
}

/* Takes `len` bytes off a buffer. False: this read ends here. */
static bool stream_consume(struct stream_read *read, struct unix_skb *skb, size_t len)
{
	if (read->msg->flags & MSG_PEEK) {
		if (!skb->fds)
			return true;
		if (!unix_fds_copy(skb->fds, &read->msg->scm))
			read->msg->ret_flags |= MSG_CTRUNC;
		return false;
	}
	if (skb->fds) {
		read->fds = skb->fds;
		skb->fds = NULL;
		read->has_fds = true;
	}
	read->sk->rx_bytes -= len;
	skb->off += len;
	if (skb->off < skb->len)
		return false;
	unix_skb_unlink(read->sk, skb);
	list_add_tail(&read->done, &skb->node);
	return !read->has_fds;
}

static void stream_read(struct stream_read *read)
{
	struct io_iter *iter = read->msg->iter;
	struct unix_skb *skb;
	size_t off = 0, len, got;

	do {
		skb = stream_next(read, &off);
		if (!skb || other_writer(read, skb))
			return;
		if (!read->cred)
			stream_first(read, skb);
		len = skb->len - off;
		if (len > iter->count)
			len = iter->count;
		got = iter_to(iter, skb->data + off, len);
		if (got < len && got == 0) {
			read->err = -EFAULT;
			return;
		}
		read->copied += got;
		if (!stream_consume(read, skb, got) || got < len)
			return;
	} while (iter->count);
}

ssize_t unix_stream_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct stream_read read = {.sk = unix_of(sock), .msg = msg};
	bool wake_next;

	(void)ctx;
	if (atomic_load(&read.sk->state) != UNIX_ESTABLISHED)
		return -EINVAL;
	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	list_init(&read.done);
	read.target = 1;
	if (msg->flags & MSG_WAITALL)
		read.target = msg->iter->count;
	fb_mutex_lock(&sock->lock);
	stream_read(&read);
	wake_next = read.waited && !list_empty(&read.sk->rx);
	fb_mutex_unlock(&sock->lock);
	if (wake_next)
		waitq_wake(&sock->wq, POLL_READABLE);
	if (read.fds)
		unix_fds_take(read.fds, &msg->scm);
	unix_skb_purge(&read.done);
	return read.copied ? (ssize_t)read.copied : read.err;
}

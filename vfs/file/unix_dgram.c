/* Messages over SOCK_DGRAM and SOCK_SEQPACKET (cf. unix_dgram_sendmsg(), __unix_dgram_recvmsg()).
 */
#include <errno.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/ctx.h"
#include "vfs/file/unix_internal.h"

/* ---- send ---- */

/* What became of one try to put a message into a queue. */
enum { SENT = 0, TRY_AGAIN = 1, PEER_DEAD = 2 };

static bool queue_full(struct unix_sock *sk, struct unix_sock *other)
{
	return other != sk && atomic_load(&other->peer) != sk &&
	       atomic_load(&other->rx_count) > UNIX_DGRAM_QLEN;
}

/* Puts it into the other one's queue, after waiting once for room in it. SENT, ... or -errno. */
static int dgram_deliver(struct unix_sock *sk, struct unix_sock *other, struct unix_skb *skb,
			 bool nonblock, int64_t deadline)
{
	struct unix_sock *theirs;
	int ret = SENT;

	fb_mutex_lock(&other->sock.lock);
	theirs = atomic_load(&other->peer);
	if (sk->sock.type == SOCK_DGRAM && theirs && theirs != sk) {
		ret = -EPERM; /* it talks to somebody else only */
	} else if (other->dead) {
		ret = PEER_DEAD;
	} else if (atomic_load(&other->sock.shutdown) & SOCKET_SHUT_RCV) {
		ret = -EPIPE;
	} else if (!queue_full(sk, other)) {
		unix_skb_queue(other, skb);
	} else if (nonblock) {
		ret = -EAGAIN;
	} else {
		ret = waitq_wait_exclusive(&other->peer_wait, 0, &other->sock.lock,
					   WAIT_INTERRUPTIBLE, deadline);
		if (ret == 0)
			ret = TRY_AGAIN;
	}
	fb_mutex_unlock(&other->sock.lock);
	if (ret == SENT)
		waitq_wake(&other->sock.wq, POLL_READABLE);
	return ret;
}

/* Our connected peer was closed. Returns what the send says. */
static int dgram_lost_peer(struct unix_sock *sk, struct unix_sock *other)
{
	bool ours = false;

	if (sk->sock.type == SOCK_SEQPACKET)
		return -EPIPE;
	fb_mutex_lock(&sk->sock.lock);
	if (atomic_load(&sk->peer) == other) {
		atomic_store(&sk->peer, NULL);
		atomic_store(&sk->state, UNIX_CLOSE);
		waitq_del(&sk->peer_entry);
		ours = true;
	}
	fb_mutex_unlock(&sk->sock.lock);
	if (!ours)
		return 0;
	waitq_wake_all(&sk->sock.wq, POLL_WRITABLE);
	unix_dgram_disconnected(sk, other);
	unix_put(other);
	return -ECONNREFUSED;
}

/* Whom this message goes to; returns a reference. */
static int dgram_target(const struct op_ctx *ctx, struct unix_sock *sk, struct sock_msg *msg,
			struct unix_sock **ret_other)
{
	if (msg->name_len)
		return unix_find(ctx, &msg->name, msg->name_len, sk->sock.type, ret_other);
	*ret_other = unix_peer_get(sk);
	return *ret_other ? 0 : -ENOTCONN;
}

static int dgram_send_skb(const struct op_ctx *ctx, struct unix_sock *sk, struct sock_msg *msg,
			  struct unix_sock *other, struct unix_skb *skb)
{
	int64_t timeo = atomic_load(&sk->sock.sndtimeo_ns);
	bool nonblock = msg->flags & MSG_DONTWAIT;
	int64_t deadline = socket_deadline(timeo, nonblock);
	int ret;

	for (;;) {
		ret = dgram_deliver(sk, other, skb, nonblock, deadline);
		if (ret == TRY_AGAIN)
			continue;
		if (ret != PEER_DEAD)
			break;
		ret = msg->name_len ? 0 : dgram_lost_peer(sk, other);
		if (ret)
			break;
		unix_put(other);
		other = NULL;
		ret = dgram_target(ctx, sk, msg, &other);
		if (ret)
			break;
	}
	unix_put(other);
	return socket_wait_error(ret, timeo);
}

ssize_t unix_dgram_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct unix_sock *sk = unix_of(sock), *other;
	size_t len = msg->iter->count;
	struct unix_skb *skb;
	int err;

	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (atomic_load(&sock->opts) & SOCKET_PASSCRED) {
		err = unix_autobind(sk);
		if (err)
			return err;
	}
	if (len > atomic_load(&sock->sndbuf) - 32)
		return -EMSGSIZE;
	err = unix_skb_new(ctx, sk, msg, len, &skb);
	if (err)
		return err;
	err = dgram_target(ctx, sk, msg, &other);
	if (!err)
		err = dgram_send_skb(ctx, sk, msg, other, skb);
	if (err)
		unix_skb_free(skb);
	return err ? err : (ssize_t)len;
}

ssize_t unix_seqpacket_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct unix_sock *sk = unix_of(sock);
	int err = socket_take_error(sock);

	if (err)
		return err;
	if (atomic_load(&sk->state) != UNIX_ESTABLISHED)
		return -ENOTCONN;
	msg->name_len = 0; /* a name is ignored */
	return unix_dgram_sendmsg(ctx, sock, msg);
}

/* ---- receive ---- */

/*
 * The first message, or NULL with *ret_err (0 = end of file). *waited: the wake-up for more than
 * one may have come to us alone. Locked.
 */
static struct unix_skb *dgram_wait(struct unix_sock *sk, bool nonblock, bool *waited, int *ret_err)
{
	int64_t timeo = atomic_load(&sk->sock.rcvtimeo_ns);
	int64_t deadline = socket_deadline(timeo, nonblock);
	int err = socket_take_error(&sk->sock); /* comes before messages, unlike on a stream */
	bool eof;

	while (err || list_empty(&sk->rx)) {
		if (!err)
			err = socket_take_error(&sk->sock);
		eof = atomic_load(&sk->sock.shutdown) & SOCKET_SHUT_RCV;
		/* A dgram socket that may not wait says -EAGAIN even then, as Linux's does. */
		if (err || (eof && (!nonblock || sk->sock.type == SOCK_SEQPACKET))) {
			*ret_err = socket_wait_error(err, timeo);
			return NULL;
		}
		*waited = !nonblock;
		if (nonblock)
			err = -EAGAIN;
		else
			err = waitq_wait_exclusive(&sk->sock.wq, POLLIN, &sk->sock.lock,
						   WAIT_INTERRUPTIBLE, deadline);
		if (!list_empty(&sk->rx))
			break; /* interrupted as it came: the message counts */
	}
	return list_first(&sk->rx, struct unix_skb, node);
}

static ssize_t dgram_copy(struct unix_sock *sk, struct unix_skb *skb, struct sock_msg *msg)
{
	size_t len = skb->len;

	if (len > msg->iter->count) {
		len = msg->iter->count;
		msg->ret_flags |= MSG_TRUNC;
	}
	unix_copy_addr(skb->sender, &msg->name, &msg->name_len);
	unix_skb_show_cred(sk, skb, &msg->scm);
	if (iter_to(msg->iter, skb->data, len) != len)
		return -EFAULT;
	return (ssize_t)(msg->flags & MSG_TRUNC ? skb->len : len);
}

/* Looks at the first message under the lock, so that it cannot go away. Unlocks. */
static ssize_t dgram_peek(struct unix_sock *sk, struct unix_skb *skb, struct sock_msg *msg,
			  bool waited)
{
	ssize_t ret = dgram_copy(sk, skb, msg);

	if (ret >= 0 && skb->fds && !unix_fds_copy(skb->fds, &msg->scm))
		msg->ret_flags |= MSG_CTRUNC;
	fb_mutex_unlock(&sk->sock.lock);
	if (waited) /* the message is still there for the next one */
		waitq_wake(&sk->sock.wq, POLL_READABLE);
	return ret;
}

ssize_t unix_dgram_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct unix_sock *sk = unix_of(sock);
	struct unix_skb *skb;
	ssize_t ret;
	bool waited = false, wake_next;
	int err = 0;

	(void)ctx;
	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	fb_mutex_lock(&sock->lock);
	skb = dgram_wait(sk, msg->flags & MSG_DONTWAIT, &waited, &err);
	if (!skb) {
		fb_mutex_unlock(&sock->lock);
		return err;
	}
	if (msg->flags & MSG_PEEK)
		return dgram_peek(sk, skb, msg, waited);
	unix_skb_unlink(sk, skb);
	wake_next = waited && !list_empty(&sk->rx);
	fb_mutex_unlock(&sock->lock);
	waitq_wake(&sk->peer_wait, 0);
	if (wake_next)
		waitq_wake(&sock->wq, POLL_READABLE);
	ret = dgram_copy(sk, skb, msg);
	if (ret >= 0 && skb->fds) {
		unix_fds_take(skb->fds, &msg->scm);
		skb->fds = NULL;
	}
	unix_skb_free(skb);
	return ret;
}

ssize_t unix_seqpacket_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	struct unix_sock *sk = unix_of(sock);

	if (atomic_load(&sk->state) != UNIX_ESTABLISHED)
		return -ENOTCONN;
	return unix_dgram_recvmsg(ctx, sock, msg);
}

/* Connections of AF_UNIX sockets: listen, connect, accept, socketpair, and dgram peers. */
#include <errno.h>
#include <stdlib.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file/unix_internal.h"

int unix_listen(const struct op_ctx *ctx, struct socket *sock, int backlog)
{
	struct unix_sock *sk = unix_of(sock);
	int err = 0;

	fb_mutex_lock(&sock->lock);
	if (!atomic_load(&sk->addr)) {
		err = -EINVAL;
	} else if (atomic_load(&sk->state) == UNIX_ESTABLISHED) {
		err = -EINVAL;
	} else {
		sk->backlog = (unsigned)backlog;
		atomic_store(&sk->state, UNIX_LISTEN);
		unix_set_peercred(sk, ctx->tgid, ctx->cred); /* what connectors shall see */
	}
	fb_mutex_unlock(&sock->lock);
	if (!err)
		waitq_wake_all(&sk->peer_wait, 0);
	return err;
}

/* ---- stream and seqpacket ---- */

static void inherit_addr(struct unix_sock *sk, struct unix_sock *listener)
{
	struct unix_addr *addr = atomic_load(&listener->addr);

	ref_get(&addr->ref);
	atomic_store(&sk->addr, addr);
}

/* Both are locked or not shared: sk becomes one end, embryo the other. */
static void link_pair(struct unix_sock *a, struct unix_sock *b)
{
	atomic_store(&a->state, UNIX_ESTABLISHED);
	atomic_store(&b->state, UNIX_ESTABLISHED);
	atomic_store(&a->peer, unix_get(b));
	atomic_store(&b->peer, unix_get(a));
}

/* -EAGAIN: the backlog is full. Both are locked. */
static int connect_check(const struct unix_sock *sk, struct unix_sock *listener)
{
	if (atomic_load(&listener->state) != UNIX_LISTEN ||
	    (atomic_load(&listener->sock.shutdown) & SOCKET_SHUT_RCV))
		return -ECONNREFUSED;
	if (atomic_load(&listener->rx_count) > listener->backlog)
		return -EAGAIN;
	switch (atomic_load(&((struct unix_sock *)(uintptr_t)sk)->state)) {
	case UNIX_ESTABLISHED:
		return -EISCONN;
	case UNIX_LISTEN:
		return -EINVAL;
	default:
		return 0;
	}
}

/* One try; takes the embryo's entry on success. */
static int connect_try(const struct op_ctx *ctx, struct unix_sock *sk, struct unix_sock *listener,
		       struct unix_skb *skb)
{
	int err;

	fb_mutex_lock_pair(&sk->sock.lock, &listener->sock.lock);
	err = connect_check(sk, listener);
	if (!err) {
		unix_set_peercred(skb->embryo, ctx->tgid, ctx->cred);
		unix_set_peercred(sk, listener->peer_pid, listener->peer_cred);
		inherit_addr(skb->embryo, listener);
		link_pair(sk, skb->embryo);
		unix_skb_queue(listener, skb);
	}
	fb_mutex_unlock_pair(&sk->sock.lock, &listener->sock.lock);
	return err;
}

static bool backlog_full(struct unix_sock *listener)
{
	return atomic_load(&listener->state) == UNIX_LISTEN &&
	       !(atomic_load(&listener->sock.shutdown) & SOCKET_SHUT_RCV) &&
	       atomic_load(&listener->rx_count) > listener->backlog;
}

/* Waits for one place in the backlog; the caller starts over from the name. */
static int wait_backlog(struct unix_sock *listener, int64_t deadline)
{
	int err = 0;

	fb_mutex_lock(&listener->sock.lock);
	if (backlog_full(listener))
		err = waitq_wait_exclusive(&listener->peer_wait, 0, &listener->sock.lock,
					   WAIT_INTERRUPTIBLE, deadline);
	fb_mutex_unlock(&listener->sock.lock);
	return err;
}

static int embryo_new(int type, struct unix_skb **ret_skb)
{
	struct unix_skb *skb = calloc(1, sizeof(*skb));
	int err;

	if (!skb)
		return -ENOMEM;
	list_init(&skb->node);
	err = unix_sock_new(type, &skb->embryo);
	if (err)
		free(skb);
	else
		*ret_skb = skb;
	return err;
}

static int stream_connect(const struct op_ctx *ctx, struct unix_sock *sk,
			  const struct sockaddr_storage *addr, size_t len, bool nonblock)
{
	int64_t timeo = atomic_load(&sk->sock.sndtimeo_ns);
	int64_t deadline = socket_deadline(timeo, nonblock);
	struct unix_sock *listener;
	struct unix_skb *skb;
	int err;

	err = embryo_new(sk->sock.type, &skb);
	if (err)
		return err;
	for (;;) {
		err = unix_find(ctx, addr, len, sk->sock.type, &listener);
		if (err)
			break;
		err = connect_try(ctx, sk, listener, skb);
		if (!err)
			waitq_wake(&listener->sock.wq, POLL_READABLE);
		if (err == -EAGAIN && !nonblock) {
			err = socket_wait_error(wait_backlog(listener, deadline), timeo);
			unix_put(listener);
			if (err)
				break;
			continue;
		}
		unix_put(listener);
		break;
	}
	if (err)
		unix_skb_free(skb);
	return err;
}

/* ---- dgram ---- */

void unix_dgram_disconnected(struct unix_sock *sk, struct unix_sock *peer)
{
	struct list_node rx = LIST_INIT(rx);

	fb_mutex_lock(&sk->sock.lock);
	list_splice_tail(&rx, &sk->rx);
	atomic_store(&sk->rx_count, 0);
	sk->rx_bytes = 0;
	fb_mutex_unlock(&sk->sock.lock);
	if (list_empty(&rx))
		return;
	waitq_wake_all(&sk->peer_wait, 0);
	fb_mutex_lock(&peer->sock.lock);
	if (!peer->dead && atomic_load(&peer->peer) == sk)
		atomic_store(&peer->sock.err, ECONNRESET);
	fb_mutex_unlock(&peer->sock.lock);
	waitq_wake_all(&peer->sock.wq, POLL_EVERYTHING);
	unix_skb_purge(&rx);
}

/* sk->peer = other (takes the reference). sk is locked; returns the old one. */
static struct unix_sock *set_peer(struct unix_sock *sk, struct unix_sock *other)
{
	atomic_store(&sk->state, other ? UNIX_ESTABLISHED : UNIX_CLOSE);
	waitq_del(&sk->peer_entry);
	return atomic_exchange(&sk->peer, other);
}

/* 1 = done, 0 = the other one died: look again, -EPERM. Takes `other` when done. */
static int dgram_try(struct unix_sock *sk, struct unix_sock *other, struct unix_sock **ret_old)
{
	struct unix_sock *theirs;
	int ret = 1;

	fb_mutex_lock_pair(&sk->sock.lock, &other->sock.lock);
	theirs = atomic_load(&other->peer);
	if (other->dead)
		ret = 0;
	else if (theirs && theirs != sk)
		ret = -EPERM;
	else
		*ret_old = set_peer(sk, other);
	fb_mutex_unlock_pair(&sk->sock.lock, &other->sock.lock);
	return ret;
}

static int dgram_connect(const struct op_ctx *ctx, struct unix_sock *sk,
			 const struct sockaddr_storage *addr, size_t len)
{
	struct unix_sock *other = NULL, *old = NULL;
	int ret;

	if (addr->ss_family == AF_UNSPEC) {
		fb_mutex_lock(&sk->sock.lock);
		old = set_peer(sk, NULL);
		fb_mutex_unlock(&sk->sock.lock);
	} else {
		do {
			ret = unix_find(ctx, addr, len, sk->sock.type, &other);
			if (ret)
				return ret;
			ret = dgram_try(sk, other, &old);
			if (ret <= 0)
				unix_put(other);
		} while (ret == 0);
		if (ret < 0)
			return ret;
	}
	if (old && old != other)
		unix_dgram_disconnected(sk, old);
	unix_put(old);
	return 0;
}

int unix_connect(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
		 size_t len, bool nonblock)
{
	struct unix_sock *sk = unix_of(sock);
	int err;

	if (addr->ss_family != AF_UNSPEC && (atomic_load(&sock->opts) & SOCKET_PASSCRED)) {
		err = unix_autobind(sk);
		if (err)
			return err;
	}
	if (sock->type == SOCK_DGRAM)
		return dgram_connect(ctx, sk, addr, len);
	return stream_connect(ctx, sk, addr, len, nonblock);
}

/* ---- accept and socketpair ---- */

/*
 * 0 = there is a connection to take. *waited: the wake-up for more than one may have come to us
 * alone. The listener is locked.
 */
static int wait_connection(struct unix_sock *sk, bool nonblock, bool *waited)
{
	int64_t timeo = atomic_load(&sk->sock.rcvtimeo_ns);
	int64_t deadline = socket_deadline(timeo, nonblock);
	int err = 0;

	for (;;) {
		if (atomic_load(&sk->state) != UNIX_LISTEN)
			return -EINVAL;
		if (!list_empty(&sk->rx))
			return 0;
		if (err)
			return socket_wait_error(err, timeo);
		if (atomic_load(&sk->sock.shutdown) & SOCKET_SHUT_RCV)
			return -EINVAL;
		if (deadline < 0)
			return -EAGAIN;
		*waited = true;
		err = waitq_wait_exclusive(&sk->sock.wq, POLLIN, &sk->sock.lock, WAIT_INTERRUPTIBLE,
					   deadline);
	}
}

int unix_accept(const struct op_ctx *ctx, struct socket *sock, bool nonblock,
		struct socket **ret_sock)
{
	struct unix_sock *sk = unix_of(sock), *conn;
	struct unix_skb *skb;
	bool waited = false, wake_next;
	int err;

	(void)ctx;
	fb_mutex_lock(&sock->lock);
	err = wait_connection(sk, nonblock, &waited);
	if (err) {
		fb_mutex_unlock(&sock->lock);
		return err;
	}
	skb = list_first(&sk->rx, struct unix_skb, node);
	unix_skb_unlink(sk, skb);
	wake_next = waited && !list_empty(&sk->rx);
	fb_mutex_unlock(&sock->lock);
	waitq_wake(&sk->peer_wait, 0);
	if (wake_next)
		waitq_wake(&sock->wq, POLL_READABLE);
	conn = skb->embryo;
	skb->embryo = NULL;
	unix_skb_free(skb);
	atomic_fetch_or(&conn->sock.opts,
			atomic_load(&sock->opts) & (SOCKET_PASSCRED | SOCKET_PASSSEC));
	*ret_sock = &conn->sock;
	return 0;
}

int unix_pair(const struct op_ctx *ctx, struct socket *a, struct socket *b)
{
	unix_set_peercred(unix_of(a), ctx->tgid, ctx->cred);
	unix_set_peercred(unix_of(b), ctx->tgid, ctx->cred);
	link_pair(unix_of(a), unix_of(b));
	return 0;
}

/*
 * AF_UNIX sockets: creation, readiness, options, shutdown and release. The road of a connection is
 * in unix_connect.c, names in unix_bind.c, bytes in unix_stream.c and unix_dgram.c.
 */
#include "vfs/file/unix.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/file/unix_internal.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"

/* ---- life ---- */

/* A dgram peer has room again: tell those who poll us. Under the wait lock. */
static void unix_peer_has_room(struct waitq_entry *entry, unsigned events)
{
	struct unix_sock *sk = entry->owner;

	(void)events;
	waitq_wake_locked(&sk->sock.wq, POLL_WRITABLE);
}

static const struct socket_ops *ops_of(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return &unix_stream_ops;
	case SOCK_DGRAM:
		return &unix_dgram_ops;
	case SOCK_SEQPACKET:
		return &unix_seqpacket_ops;
	default:
		return NULL;
	}
}

int unix_sock_new(int type, struct unix_sock **ret_sk)
{
	struct unix_sock *sk;

	if (!ops_of(type))
		return -ESOCKTNOSUPPORT;
	sk = calloc(1, sizeof(*sk));
	if (!sk)
		return -ENOMEM;
	socket_init(&sk->sock, ops_of(type), AF_UNIX, type, 0);
	ref_init(&sk->ref);
	sleep_mutex_init(&sk->bind_lock);
	list_init(&sk->rx);
	waitq_init(&sk->peer_wait);
	waitq_entry_init(&sk->peer_entry, unix_peer_has_room, sk);
	list_init(&sk->inflight_node);
	sk->backlog = UNIX_DGRAM_QLEN;
	*ret_sk = sk;
	return 0;
}

int unix_create(const struct op_ctx *ctx, int type, int protocol, struct socket **ret_sock)
{
	struct unix_sock *sk;
	int err;

	(void)ctx;
	if (protocol && protocol != PF_UNIX)
		return -EPROTONOSUPPORT;
	err = unix_sock_new(type == SOCK_RAW ? SOCK_DGRAM : type, &sk);
	if (!err)
		*ret_sock = &sk->sock;
	return err;
}

struct unix_sock *unix_get(struct unix_sock *sk)
{
	ref_get(&sk->ref);
	return sk;
}

void unix_put(struct unix_sock *sk)
{
	if (!sk || !ref_put(&sk->ref))
		return;
	unix_addr_put(atomic_load(&sk->addr));
	cred_put(sk->peer_cred);
	fb_mutex_destroy(&sk->sock.lock);
	free(sk);
}

struct unix_sock *unix_peer_get(struct unix_sock *sk)
{
	struct unix_sock *peer;

	fb_mutex_lock(&sk->sock.lock);
	peer = atomic_load_explicit(&sk->peer, memory_order_relaxed);
	if (peer)
		unix_get(peer);
	fb_mutex_unlock(&sk->sock.lock);
	return peer;
}

void unix_set_peercred(struct unix_sock *sk, pid_t pid, const struct cred *cred)
{
	cred_put(sk->peer_cred);
	sk->peer_pid = pid;
	sk->peer_cred = cred ? cred_get(cred) : NULL;
}

/* The other end of a connection hears that we are gone. */
static void unix_hang_up(struct unix_sock *peer, bool reset)
{
	fb_mutex_lock(&peer->sock.lock);
	atomic_store(&peer->sock.shutdown, SOCKET_SHUT_BOTH);
	if (reset)
		atomic_store(&peer->sock.err, ECONNRESET);
	fb_mutex_unlock(&peer->sock.lock);
	waitq_wake_all(&peer->sock.wq, POLL_EVERYTHING);
}

/*
 * What nobody read means ECONNRESET for the peer, but not one empty packet: Linux takes it for urgent
 * data that was read (cf. unix_release_sock()).
 */
static bool has_unread(const struct list_node *rx)
{
	const struct unix_skb *first;

	if (list_empty(rx))
		return false;
	first = list_first(rx, struct unix_skb, node);
	return first->len > first->off || first->node.next != rx;
}

void unix_release_sock(struct unix_sock *sk, bool embryo)
{
	struct list_node rx = LIST_INIT(rx);
	struct unix_sock *peer;

	unix_unbind(sk);
	fb_mutex_lock(&sk->sock.lock);
	sk->dead = true;
	atomic_store(&sk->sock.shutdown, SOCKET_SHUT_BOTH);
	atomic_store(&sk->state, UNIX_CLOSE);
	peer = atomic_exchange(&sk->peer, NULL);
	list_splice_tail(&rx, &sk->rx);
	atomic_store(&sk->rx_count, 0);
	sk->rx_bytes = 0;
	waitq_del(&sk->peer_entry);
	fb_mutex_unlock(&sk->sock.lock);
	waitq_wake_all(&sk->peer_wait, 0);
	if (peer && sk->sock.type != SOCK_DGRAM)
		unix_hang_up(peer, embryo || has_unread(&rx));
	unix_put(peer);
	unix_skb_purge(&rx);
	unix_put(sk);
	unix_gc();
}

static void unix_release(const struct op_ctx *ctx, struct socket *sock)
{
	(void)ctx;
	unix_release_sock(unix_of(sock), false);
}

static int unix_shutdown(const struct op_ctx *ctx, struct socket *sock, int how)
{
	struct unix_sock *sk = unix_of(sock), *peer;
	unsigned mode = (unsigned)how + 1, peer_mode = 0;

	(void)ctx;
	fb_mutex_lock(&sock->lock);
	atomic_fetch_or(&sock->shutdown, mode);
	fb_mutex_unlock(&sock->lock);
	waitq_wake_all(&sock->wq, POLL_EVERYTHING);
	if (sock->type == SOCK_DGRAM)
		return 0;
	peer = unix_peer_get(sk);
	if (!peer)
		return 0;
	if (mode & SOCKET_SHUT_RCV)
		peer_mode |= SOCKET_SHUT_SND;
	if (mode & SOCKET_SHUT_SND)
		peer_mode |= SOCKET_SHUT_RCV;
	fb_mutex_lock(&peer->sock.lock);
	atomic_fetch_or(&peer->sock.shutdown, peer_mode);
	fb_mutex_unlock(&peer->sock.lock);
	waitq_wake_all(&peer->sock.wq, POLL_EVERYTHING);
	unix_put(peer);
	return 0;
}

/* ---- readiness ---- */

/* A quarter of the buffer is the limit, so that a woken sender gets something done. */
bool unix_writable(const struct unix_sock *sk)
{
	struct unix_sock *s = (struct unix_sock *)(uintptr_t)sk;

	return atomic_load_explicit(&s->state, memory_order_relaxed) != UNIX_LISTEN &&
	       atomic_load_explicit(&s->wmem, memory_order_relaxed) * 4 <=
		       atomic_load_explicit(&s->sock.sndbuf, memory_order_relaxed);
}

static unsigned unix_poll_common(struct unix_sock *sk)
{
	unsigned shutdown = atomic_load(&sk->sock.shutdown), mask = 0;

	if (atomic_load(&sk->sock.err))
		mask |= POLLERR;
	if (shutdown == SOCKET_SHUT_BOTH)
		mask |= POLLHUP;
	if (shutdown & SOCKET_SHUT_RCV)
		mask |= POLLRDHUP | POLL_READABLE;
	if (!list_empty(&sk->rx))
		mask |= POLL_READABLE;
	if (sk->sock.type != SOCK_DGRAM && atomic_load(&sk->state) == UNIX_CLOSE)
		mask |= POLLHUP;
	return mask;
}

/*
 * Is the queue of the socket we are connected to full? Then our pollers are told through
 * peer_entry when it has room, as they cannot queue on a socket that may go away. Locked.
 */
static bool unix_peer_full(struct unix_sock *sk, bool polling)
{
	struct unix_sock *peer = atomic_load(&sk->peer);
	bool full = false;

	if (peer && atomic_load(&peer->peer) != sk) {
		full = atomic_load(&peer->rx_count) > UNIX_DGRAM_QLEN;
		if (full && polling && !sk->peer_entry.queue) {
			waitq_add(&peer->peer_wait, &sk->peer_entry);
			full = atomic_load(&peer->rx_count) > UNIX_DGRAM_QLEN;
		}
	}
	if (!full)
		waitq_del(&sk->peer_entry);
	return full;
}

static unsigned unix_poll(const struct op_ctx *ctx, struct socket *sock,
			  struct poll_table *table)
{
	struct unix_sock *sk = unix_of(sock);
	unsigned mask;

	(void)ctx;
	poll_wait(table, sock->file, &sock->wq);
	fb_mutex_lock(&sock->lock);
	mask = unix_poll_common(sk);
	if (unix_writable(sk) &&
	    !(sock->type != SOCK_STREAM && unix_peer_full(sk, table != NULL)))
		mask |= POLL_WRITABLE;
	fb_mutex_unlock(&sock->lock);
	return mask;
}

/* ---- options and ioctls ---- */

static long unix_ioctl(const struct op_ctx *ctx, struct socket *sock, unsigned cmd, uint64_t arg)
{
	struct unix_sock *sk = unix_of(sock);
	size_t bytes = 0;
	int value;

	switch (cmd) {
	case SIOCOUTQ:
		bytes = atomic_load(&sk->wmem);
		break;
	case SIOCINQ:
		if (atomic_load(&sk->state) == UNIX_LISTEN)
			return -EINVAL;
		fb_mutex_lock(&sock->lock);
		if (sock->type != SOCK_DGRAM)
			bytes = sk->rx_bytes;
		else if (!list_empty(&sk->rx))
			bytes = list_first(&sk->rx, struct unix_skb, node)->len;
		fb_mutex_unlock(&sock->lock);
		break;
	default:
		return -ENOTTY;
	}
	value = (int)bytes;
	return ioctl_copy_out(ctx, arg, &value, sizeof(value));
}

static int get_peercred(struct unix_sock *sk, void *value, size_t *len)
{
	struct ucred ucred = {0, (uid_t)-1, (gid_t)-1};

	fb_mutex_lock(&sk->sock.lock);
	if (sk->peer_cred)
		ucred = (struct ucred){sk->peer_pid, sk->peer_cred->euid, sk->peer_cred->egid};
	fb_mutex_unlock(&sk->sock.lock);
	if (*len > sizeof(ucred))
		*len = sizeof(ucred);
	memcpy(value, &ucred, *len);
	return 0;
}

static int get_peergroups(struct unix_sock *sk, void *value, size_t *len)
{
	const struct cred *cred;
	size_t need, room = *len;

	fb_mutex_lock(&sk->sock.lock);
	cred = sk->peer_cred ? cred_get(sk->peer_cred) : NULL;
	fb_mutex_unlock(&sk->sock.lock);
	if (!cred)
		return -ENODATA;
	need = cred->nr_groups * sizeof(gid_t);
	*len = need;
	if (need && room >= need)
		memcpy(value, cred->groups, need);
	cred_put(cred);
	return room < need ? -ERANGE : 0;
}

static int unix_getsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
			   void *value, size_t *len)
{
	struct unix_sock *sk = unix_of(sock);
	int number;

	(void)ctx;
	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	switch (name) {
	case SO_PEERCRED:
		return get_peercred(sk, value, len);
	case SO_PEERGROUPS:
		return get_peergroups(sk, value, len);
	case SO_ACCEPTCONN:
		number = atomic_load(&sk->state) == UNIX_LISTEN;
		if (*len > sizeof(number))
			*len = sizeof(number);
		memcpy(value, &number, *len);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int unix_setsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
			   const void *value, size_t len)
{
	(void)ctx, (void)sock, (void)name, (void)value, (void)len;
	return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

static int unix_no_listen(const struct op_ctx *ctx, struct socket *sock, int backlog)
{
	(void)ctx, (void)sock, (void)backlog;
	return -EOPNOTSUPP;
}

static int unix_no_accept(const struct op_ctx *ctx, struct socket *sock, bool nonblock,
			  struct socket **ret_sock)
{
	(void)ctx, (void)sock, (void)nonblock, (void)ret_sock;
	return -EOPNOTSUPP;
}

#define UNIX_COMMON_OPS                                                                            \
	.bind = unix_bind, .connect = unix_connect, .pair = unix_pair, .getname = unix_getname,    \
	.shutdown = unix_shutdown, .ioctl = unix_ioctl, .setsockopt = unix_setsockopt,             \
	.getsockopt = unix_getsockopt, .release = unix_release

const struct socket_ops unix_stream_ops = {
	UNIX_COMMON_OPS,	  .listen = unix_listen,	  .accept = unix_accept,
	.poll = unix_poll, .sendmsg = unix_stream_sendmsg, .recvmsg = unix_stream_recvmsg,
};

const struct socket_ops unix_dgram_ops = {
	UNIX_COMMON_OPS,	 .listen = unix_no_listen,	.accept = unix_no_accept,
	.poll = unix_poll, .sendmsg = unix_dgram_sendmsg, .recvmsg = unix_dgram_recvmsg,
};

const struct socket_ops unix_seqpacket_ops = {
	UNIX_COMMON_OPS,
	.listen = unix_listen,
	.accept = unix_accept,
	.poll = unix_poll,
	.sendmsg = unix_seqpacket_sendmsg,
	.recvmsg = unix_seqpacket_recvmsg,
};

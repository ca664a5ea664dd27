/* Messages of AF_UNIX sockets: allocation against the sender's buffer limit, queueing, release. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file/unix_internal.h"

static bool has_room(const struct unix_sock *sk)
{
	return atomic_load_explicit(&((struct unix_sock *)(uintptr_t)sk)->wmem,
				    memory_order_relaxed) <
	       atomic_load_explicit(&((struct unix_sock *)(uintptr_t)sk)->sock.sndbuf,
				    memory_order_relaxed);
}

/* 0 or what stops sk from sending now. */
static int send_error(struct unix_sock *sk)
{
	int err = socket_take_error(&sk->sock);

	if (err)
		return err;
	if (atomic_load_explicit(&sk->sock.shutdown, memory_order_relaxed) & SOCKET_SHUT_SND)
		return -EPIPE;
	return 0;
}

/* Waits until sk may send; see uncharge() for the other half. */
static int wait_for_room(struct unix_sock *sk, bool nonblock)
{
	int64_t timeo = atomic_load(&sk->sock.sndtimeo_ns);
	int64_t deadline = socket_deadline(timeo, nonblock);
	int err;

	fb_mutex_lock(&sk->sock.lock);
	while (!(err = send_error(sk)) && !has_room(sk)) {
		if (deadline < 0)
			err = -EAGAIN;
		else
			err = waitq_wait(&sk->sock.wq, POLLOUT, &sk->sock.lock, WAIT_INTERRUPTIBLE,
					 deadline);
		if (err)
			break;
	}
	fb_mutex_unlock(&sk->sock.lock);
	return socket_wait_error(err, timeo);
}

static void fill_cred(const struct op_ctx *ctx, const struct scm *scm, struct ucred *ret)
{
	if (scm->has_cred) {
		*ret = scm->cred;
		return;
	}
	ret->pid = ctx->tgid;
	ret->uid = ctx->cred->uid;
	ret->gid = ctx->cred->gid;
}

int unix_skb_new(const struct op_ctx *ctx, struct unix_sock *sk, struct sock_msg *msg, size_t len,
		 struct unix_skb **ret_skb)
{
	struct unix_skb *skb;
	int err;

	err = send_error(sk);
	if (!err && !has_room(sk))
		err = wait_for_room(sk, msg->flags & MSG_DONTWAIT);
	if (err)
		return err;
	skb = malloc(sizeof(*skb) + len);
	if (!skb)
		return -ENOMEM;
	memset(skb, 0, sizeof(*skb));
	if (iter_from(msg->iter, skb->data, len) != len) {
		free(skb);
		return -EFAULT;
	}
	if (msg->scm.nr_files) {
		err = unix_fds_new(&msg->scm, &skb->fds);
		if (err) {
			free(skb);
			return err;
		}
	}
	fill_cred(ctx, &msg->scm, &skb->cred);
	list_init(&skb->node);
	skb->len = len;
	skb->charge = len + UNIX_SKB_OVERHEAD;
	skb->sender = unix_get(sk);
	atomic_fetch_add_explicit(&sk->wmem, skb->charge, memory_order_relaxed);
	*ret_skb = skb;
	return 0;
}

/*
 * Gives the bytes back to the sender and wakes it where it becomes writable. (Linux wakes those who
 * poll for each message that is taken, which an edge-triggered POLLOUT shows.) The empty critical
 * section pairs with wait_for_room(): it checked under the lock and either saw our change or is
 * queued by now.
 */
static void uncharge(struct unix_sock *sk, size_t charge)
{
	bool was = unix_writable(sk);

	atomic_fetch_sub(&sk->wmem, charge);
	if (was || !unix_writable(sk))
		return;
	fb_mutex_lock(&sk->sock.lock);
	fb_mutex_unlock(&sk->sock.lock);
	waitq_wake_all(&sk->sock.wq, POLL_WRITABLE);
}

void unix_skb_free(struct unix_skb *skb)
{
	if (skb->sender) {
		uncharge(skb->sender, skb->charge);
		unix_put(skb->sender);
	}
	unix_fds_free(skb->fds);
	if (skb->embryo)
		unix_release_sock(skb->embryo, true);
	free(skb);
}

void unix_skb_purge(struct list_node *list)
{
	struct unix_skb *skb, *tmp;

	list_for_each_safe (skb, tmp, list, node) {
		list_del(&skb->node);
		unix_skb_free(skb);
	}
}

void unix_skb_queue(struct unix_sock *receiver, struct unix_skb *skb)
{
	fb_mutex_assert_held(&receiver->sock.lock);
	list_add_tail(&receiver->rx, &skb->node);
	atomic_fetch_add_explicit(&receiver->rx_count, 1, memory_order_relaxed);
	receiver->rx_bytes += skb->len;
}

void unix_skb_unlink(struct unix_sock *receiver, struct unix_skb *skb)
{
	fb_mutex_assert_held(&receiver->sock.lock);
	list_del(&skb->node);
	atomic_fetch_sub_explicit(&receiver->rx_count, 1, memory_order_relaxed);
	receiver->rx_bytes -= skb->len - skb->off;
}

void unix_skb_show_cred(const struct unix_sock *sk, const struct unix_skb *skb, struct scm *scm)
{
	if (!(atomic_load_explicit(&((struct unix_sock *)(uintptr_t)sk)->sock.opts,
				   memory_order_relaxed) &
	      SOCKET_PASSCRED))
		return;
	scm->has_cred = true;
	scm->cred = skb->cred;
}

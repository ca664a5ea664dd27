/* Making, queueing and ending requests; see request.h for the states. */
#include "devfuse/request.h"
#include "devfuse/defer.h"
#include "devfuse/ring.h"
#include "devfuse/timeout.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/tasks.h"

#define AWAY_NS 100000 /* whoever has a request for longer will not soon be back */

#define POOL_MAX 32 /* unused requests kept per connection */

struct fuse_request *fuse_request_new(struct fuse_conn *conn, const struct op_ctx *ctx,
				      struct fuse_args *args)
{
	struct fuse_request *req;

	fb_mutex_assert_held(&conn->lock);
	if (!list_empty(&conn->pool)) {
		req = list_first(&conn->pool, struct fuse_request, node);
		list_del(&req->node);
		conn->pool_count--;
	} else {
		req = malloc(sizeof(*req));
		if (!req)
			return NULL;
		waitq_init(&req->done);
	}
	list_init(&req->node);
	list_init(&req->intr_node);
	req->hash_next = NULL;
	req->dev = NULL;
	req->ring_queue = NULL;
	req->state = REQ_PENDING;
	req->async = req->background = req->active = false;
	req->interrupted = req->aborted = req->orphan = req->want_wake = false;
	req->result = 0;
	req->created_ns = clock_monotonic_ns();
	req->args = args;
	req->row = fuse_opcode_row(args->opcode);
	fb_assert(req->row);
	memset(&req->in, 0, sizeof(req->in));
	req->in.opcode = args->opcode;
	req->in.nodeid = args->nodeid;
	req->in.total_extlen = args->ext_size / 8;
	req->tgid = ctx ? ctx->tgid : 0;
	if (ctx && !args->nocreds) {
		req->in.pid = (uint32_t)ctx->tid; /* H03: the thread, not the process */
		if (ctx->cred) {
			req->in.uid = ctx->cred->fsuid;
			req->in.gid = ctx->cred->fsgid;
		}
	}
	conn->nr_waiting++;
	return req;
}

void fuse_request_free(struct fuse_conn *conn, struct fuse_request *req)
{
	fb_mutex_assert_held(&conn->lock);
	conn->nr_waiting--;
	if (conn->pool_count < POOL_MAX) {
		list_add(&conn->pool, &req->node);
		conn->pool_count++;
		return;
	}
	free(req);
}

/* Cuts the fixed parts to what this daemon's minor knows (matrix 1.5). */
static void shrink_for_minor(struct fuse_conn *conn, struct fuse_request *req)
{
	struct fuse_args *args = req->args;
	const struct fuse_opcode_row *row = req->row;

	if (!atomic_load_explicit(&conn->initialized.open, memory_order_relaxed))
		return;
	if (conn->minor < row->in.before && args->nr_in > 0)
		args->in[0].size = row->in.size;
	if (conn->minor < row->out.before && args->nr_out > 0)
		args->out[0].size = row->out.size;
}

#define SIGIO_BATCH 16

/* Signals may not be sent under conn->lock: they look at processes, whose end closes files. */
static void send_sigio(void *arg)
{
	struct {
		pid_t owner;
		int signo;
	} to[SIGIO_BATCH];
	struct fuse_conn *conn = arg;
	struct fuse_dev *dev;
	size_t nr = 0;

	fb_mutex_lock(&conn->lock);
	conn->sigio_due = false;
	list_for_each (dev, &conn->devs, conn_node)
		if (dev->async && nr < SIGIO_BATCH) {
			/* Not under file->lock, which comes before ours. */
			to[nr].owner = __atomic_load_n(&dev->file->owner, __ATOMIC_RELAXED);
			to[nr].signo = __atomic_load_n(&dev->file->signo, __ATOMIC_RELAXED);
			nr++;
		}
	fb_mutex_unlock(&conn->lock);
	for (size_t i = 0; i < nr; i++) {
		int signo = to[i].signo ? to[i].signo : SIGIO;

		if (to[i].owner > 0)
			(void)vfs_signal_process(to[i].owner, signo);
		else if (to[i].owner < 0)
			(void)vfs_signal_pgrp(-to[i].owner, signo);
	}
	fuse_conn_put(conn);
}

void fuse_conn_sigio(struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	if (conn->nr_async == 0 || conn->sigio_due)
		return;
	conn->sigio_due = true;
	fuse_defer(send_sigio, fuse_conn_get(conn));
}

static void wake_owed(struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	for (; conn->wakes_owed && !fuse_queue_empty(&conn->pending); conn->wakes_owed--)
		waitq_wake(&conn->waiters, POLLIN | POLLRDNORM);
	conn->wakes_owed = 0;
}

static void wake_later(struct idle_work *work)
{
	struct fuse_conn *conn = container_of(work, struct fuse_conn, wake_later);

	fb_mutex_lock(&conn->lock);
	wake_owed(conn);
	fb_mutex_unlock(&conn->lock);
}

void fuse_conn_init_readers(struct fuse_conn *conn)
{
	waitq_init(&conn->waiters);
	idle_work_init(&conn->wake_later, wake_later);
}

/*
 * A thread that spins for work is the one to have it; and when it has gone away with some only now, it is soon back
 * for more. Others sleep, and are woken when that is not so.
 */
static void wake_reader(struct fuse_conn *conn, bool has_time)
{
	if (!waitq_active(&conn->waiters))
		return;
	conn->wakes_owed++;
	if (!has_time || waitq_spinning(&conn->waiters) || !idle_work_add(&conn->wake_later))
		wake_owed(conn);
}

bool fuse_conn_reader_is_away(const struct fuse_conn *conn)
{
	return conn->away && clock_monotonic_ns() - conn->away_ns < AWAY_NS;
}

void fuse_conn_readable(struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	wake_reader(conn, fuse_conn_reader_is_away(conn));
	fuse_conn_sigio(conn);
}

/*
 * There is something to read that nobody waits for, such as a RELEASE. It comes right behind an answer to somebody
 * else, and who has given that is soon back.
 */
static void readable_some_time(struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	wake_reader(conn, true);
	fuse_conn_sigio(conn);
}

void fuse_conn_reader_comes(struct fuse_conn *conn, const struct op_ctx *ctx)
{
	if (conn->away == ctx->tid)
		conn->away = 0;
}

void fuse_conn_reader_goes(struct fuse_conn *conn, const struct op_ctx *ctx)
{
	if (!waiter_spins(waiter_self()))
		return;
	conn->away = ctx->tid;
	conn->away_ns = clock_monotonic_ns();
}

void fuse_request_queue(struct fuse_conn *conn, struct fuse_request *req)
{
	size_t len = sizeof(req->in);

	fb_mutex_assert_held(&conn->lock);
	shrink_for_minor(conn, req);
	for (unsigned i = 0; i < req->args->nr_in; i++)
		len += req->args->in[i].size;
	req->in.len = (uint32_t)len;
	/* NOTIFY_REPLY carries the number that the daemon chose. */
	if (req->in.opcode != FUSE_NOTIFY_REPLY) {
		if (req->args->resend && fuse_conn_has(conn, FUSE_HAS_RESEND)) {
			req->in.unique = req->args->unique | FUSE_UNIQUE_RESEND;
		} else {
			req->in.unique = conn->next_unique;
			conn->next_unique += 2; /* bit 0 is FUSE_INT_REQ_BIT */
		}
		fuse_completions_add(&conn->completions, req);
	}
	req->state = REQ_PENDING;
	fuse_stats_sent(req->in.opcode);
	if (fuse_ring_ready(conn)) {
		if (!req->ring_queue)
			req->ring_queue = fuse_ring_choose(conn);
		fuse_ring_queue_request(req);
		return;
	}
	list_add_tail(&conn->pending.requests, &req->node);
	if (req->in.opcode == FUSE_RELEASE || req->in.opcode == FUSE_RELEASEDIR)
		readable_some_time(conn);
	else
		fuse_conn_readable(conn);
}

int fuse_request_too_large(const struct fuse_request *req)
{
	return req->in.opcode == FUSE_SETXATTR ? -E2BIG : -EIO;
}

bool fuse_request_head_expired(struct list_node *list, int64_t born_before_ns)
{
	return !list_empty(list) &&
	       list_first(list, struct fuse_request, node)->created_ns < born_before_ns;
}

void fuse_request_end(struct fuse_conn *conn, struct fuse_request *req, ssize_t result,
		      struct list_node *done)
{
	fb_mutex_assert_held(&conn->lock);
	fb_assert(req->state != REQ_FINISHED);
	if (req->state != REQ_BACKGROUND && req->in.opcode != FUSE_NOTIFY_REPLY)
		fuse_completions_del(&conn->completions, req);
	list_del(&req->node);
	list_del(&req->intr_node); /* D86: nobody is told of a signal after the answer */
	req->state = REQ_FINISHED;
	req->result = result;
	if (req->background) {
		conn->num_background--;
		if (req->active)
			conn->active_background--;
		if (req->active && req->ring_queue)
			req->ring_queue->active_background--;
		fuse_background_flush(conn, req->ring_queue);
		if (conn->num_background < conn->max_background)
			waitq_wake(&conn->full, 0);
	}
	if (req->async || req->orphan)
		list_add_tail(done, &req->node);
	else
		waitq_wake(&req->done, 0);
}

/* What ENOSYS means for the sender, and for ever after (A01). Other errors pass. */
static ssize_t enosys_result(struct fuse_conn *conn, const struct fuse_request *req)
{
	if (req->result != -ENOSYS || req->row->enosys != ENOSYS_STICKY)
		return req->result;
	atomic_fetch_or(&conn->enosys, 1ULL << req->in.opcode);
	return req->row->enosys_result;
}

void fuse_results_deliver(struct fuse_conn *conn, struct list_node *done)
{
	while (!list_empty(done)) {
		struct fuse_request *req = list_first(done, struct fuse_request, node);

		list_del(&req->node);
		if (req->orphan) {
			if (req->result >= 0)
				fuse_orphan_undo(conn, req);
			else
				(void)enosys_result(conn, req);
			conn->ops->unpin(conn, &req->orphan_args);
			if (req->orphan_args.out[0].data != req->orphan_buf.bytes)
				free(req->orphan_args.out[0].data);
		} else {
			req->args->done(conn, req->args, enosys_result(conn, req));
		}
		fb_mutex_lock(&conn->lock);
		fuse_request_free(conn, req);
		fb_mutex_unlock(&conn->lock);
	}
}

void fuse_requests_complete(struct fuse_conn *conn, struct list_node *done)
{
	fuse_ring_hand_out(conn);
	fuse_results_deliver(conn, done);
}

void fuse_request_interrupt(struct fuse_conn *conn, struct fuse_request *req)
{
	fb_mutex_assert_held(&conn->lock);
	if (conn->no_interrupt || !list_empty(&req->intr_node))
		return;
	list_add_tail(&conn->pending.interrupts, &req->intr_node);
	fuse_stats_sent(FUSE_INTERRUPT);
	fuse_conn_readable(conn);
}

/* --- the three ways of sending ------------------------------------------------------------ */

static int conn_state_error(const struct fuse_conn *conn, const struct fuse_args *args)
{
	if (!conn->connected)
		return -ENOTCONN;
	if (conn->conn_error)
		return -ECONNREFUSED;
	if (args->incarnation != conn->incarnation && args->opcode != FUSE_INIT)
		return -EDAEMONDIED;
	return 0;
}

/* INIT was answered, and for requests a promised ring is there, too (U05). */
static bool gate_open(const struct fuse_conn *conn, bool for_request)
{
	return conn->initialized.open && !(for_request && fuse_ring_awaited(conn));
}

/* Waits for that (I10: killably). lock held. */
static int wait_initialized(struct fuse_conn *conn, bool for_request, int64_t deadline_ns)
{
	int err = 0;

	if (gate_open(conn, for_request))
		return 0;
	conn->nr_waiting++; /* D89 */
	while (!err && !gate_open(conn, for_request))
		err = waitq_wait(&conn->initialized.waiters, 0, &conn->lock, WAIT_KILLABLE,
				 deadline_ns);
	conn->nr_waiting--;
	return err && err != -ETIMEDOUT ? -EINTR : err;
}

/* Forced requests do not wait for the first daemon (D84), but none finds a dead one's successor. */
static int wait_gate(struct fuse_conn *conn, const struct fuse_args *args, int64_t deadline_ns)
{
	return args->force && !conn->vacant ? 0 : wait_initialized(conn, true, deadline_ns);
}

int fuse_conn_wait_init(struct fuse_conn *conn)
{
	int err;

	fb_mutex_lock(&conn->lock);
	err = wait_initialized(conn, false, fuse_client_deadline(conn, FUSE_INIT));
	if (!err && (conn->conn_error || !conn->connected))
		err = -ENOTCONN;
	fb_mutex_unlock(&conn->lock);
	if (err)
		fuse_conn_abort(conn, false);
	return err;
}

/* True, with *ret_result, when an earlier ENOSYS answers for the daemon. */
static bool answered_by_enosys(struct fuse_conn *conn, uint32_t opcode, ssize_t *ret_result)
{
	unsigned long long mask = atomic_load_explicit(&conn->enosys, memory_order_relaxed);

	if (!(mask & (1ULL << opcode)))
		return false;
	*ret_result = fuse_opcode_row(opcode)->enosys_result;
	return true;
}

/*
 * The fatal or untimely end of a wait. True: the request is gone from our hands. False: look
 * again, it has changed meanwhile. lock held.
 */
static bool abandon(struct fuse_conn *conn, struct fuse_request *req, bool force)
{
	struct list_node none;

	switch (req->state) {
	case REQ_PENDING:
		if (force) { /* D84: never dequeued, the daemon shall see it */
			fuse_request_orphan(conn, req);
			return true;
		}
		list_init(&none);
		fuse_request_end(conn, req, -EINTR, &none);
		fuse_request_free(conn, req);
		return true;
	case REQ_SENT:
		fuse_request_interrupt(conn, req);
		fuse_request_orphan(conn, req);
		return true;
	default:
		return false;
	}
}

#define SELF_WAIT_NS 3000000000ll

/* When to look whether a daemon waits for its own mount; 0 = this client serves no request of it. */
static int64_t self_wait_look_ns(const struct fuse_conn *conn, const struct fuse_request *req,
				 int64_t deadline_ns)
{
	int64_t look_ns;

	for (unsigned i = 0; req->tgid && i < conn->nr_servers; i++)
		if (conn->servers[i].tgid == req->tgid && !conn->warned_self) {
			look_ns = clock_monotonic_ns() + SELF_WAIT_NS;
			return deadline_ns && deadline_ns <= look_ns ? 0 : look_ns;
		}
	return 0;
}

/* Not an error: another thread of it may answer yet. But nobody shall have to guess. */
static void warn_self_wait(struct fuse_conn *conn, const struct fuse_request *req)
{
	if (conn->nr_reading > 0 || conn->warned_self)
		return;
	conn->warned_self = true;
	fb_log(LOG_WARN,
	       "fuse: process %d serves connection %u and waits for %s of its own mount: deadlock, "
	       "unless another thread of it answers (abort: /sys/fs/fuse/connections/%u/abort)",
	       (int)req->tgid, conn->id, fuse_opcode_name(req->in.opcode), conn->id);
}

/*
 * Sleeps until the request is finished: 0. -EINTR, -ETIMEDOUT: the waiter was killed or has waited
 * enough, and the request is gone.
 */
static int wait_for_answer(struct fuse_conn *conn, struct fuse_request *req, bool force,
			   int64_t deadline_ns)
{
	enum wait_mode mode = WAIT_INTERRUPTIBLE;

	int64_t look_ns = self_wait_look_ns(conn, req, deadline_ns);

	while (req->state != REQ_FINISHED) {
		/* Bytes are on their way: that is short, and our buffers are in use. */
		bool copying = req->state == REQ_SENDING || req->state == REQ_REPLYING;
		int err;

		req->want_wake = copying;
		err = waitq_wait(&req->done, 0, &conn->lock, copying ? WAIT_UNINTERRUPTIBLE : mode,
				 copying ? WAIT_FOREVER : look_ns ? look_ns : deadline_ns);

		if (err == 0 || req->state == REQ_FINISHED)
			continue;
		if (err == -ETIMEDOUT && look_ns) {
			look_ns = 0;
			warn_self_wait(conn, req);
			continue;
		}
		if (err == -ETIMEDOUT) {
			if (abandon(conn, req, force))
				return -ETIMEDOUT;
			continue;
		}
		if (mode == WAIT_INTERRUPTIBLE) {
			mode = WAIT_KILLABLE;
			req->interrupted = true;
			if (waiter_pending(waiter_self(), WAIT_KILLABLE) == 0) {
				if (req->state == REQ_SENT)
					fuse_request_interrupt(conn, req);
				continue;
			}
		}
		if (abandon(conn, req, force))
			return -EINTR;
	}
	return 0;
}

ssize_t fuse_conn_call(struct fuse_conn *conn, const struct op_ctx *ctx, struct fuse_args *args)
{
	int64_t deadline_ns = fuse_client_deadline(conn, args->opcode);
	struct fuse_request *req;
	ssize_t result;
	int err;

	if (answered_by_enosys(conn, args->opcode, &result))
		return result;
	fb_mutex_lock(&conn->lock);
	err = wait_gate(conn, args, deadline_ns);
	if (err == 0)
		err = conn_state_error(conn, args);
	if (err == 0 && answered_by_enosys(conn, args->opcode, &result)) {
		fb_mutex_unlock(&conn->lock);
		return result;
	}
	req = err == 0 ? fuse_request_new(conn, ctx, args) : NULL;
	if (!req) {
		fb_mutex_unlock(&conn->lock);
		return err ? err : -ENOMEM;
	}
	fuse_request_queue(conn, req);
	if (req->ring_queue) {
		fb_mutex_unlock(&conn->lock);
		fuse_ring_hand_out(conn);
		fb_mutex_lock(&conn->lock);
	}
	err = wait_for_answer(conn, req, args->force, deadline_ns);
	if (err) {
		fb_mutex_unlock(&conn->lock);
		return err;
	}
	result = enosys_result(conn, req);
	fuse_request_free(conn, req);
	fb_mutex_unlock(&conn->lock);
	return result;
}

int fuse_conn_send(struct fuse_conn *conn, const struct op_ctx *ctx, struct fuse_args *args)
{
	int64_t deadline_ns = fuse_client_deadline(conn, args->opcode);
	struct fuse_request *req;
	int err = 0;

	fb_mutex_lock(&conn->lock);
	if (!args->force) {
		err = wait_initialized(conn, true, deadline_ns);
		while (err == 0 && conn->connected && conn->num_background >= conn->max_background)
			err = waitq_wait(&conn->full, 0, &conn->lock, WAIT_KILLABLE, deadline_ns);
		if (err == -ERESTARTSYS)
			err = -EINTR;
	}
	if (err == 0)
		err = conn_state_error(conn, args);
	if (err == 0 && conn->vacant && args->opcode != FUSE_INIT)
		err = -EDAEMONDIED; /* forced, so it may not wait */
	req = err == 0 ? fuse_request_new(conn, ctx, args) : NULL;
	if (!req) {
		fb_mutex_unlock(&conn->lock);
		return err ? err : -ENOMEM;
	}
	req->async = true;
	if (args->opcode == FUSE_NOTIFY_REPLY) {
		req->in.unique = args->unique;
		fuse_request_queue(conn, req);
	} else {
		fuse_background_add(conn, req);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_ring_hand_out(conn);
	return 0;
}

bool fuse_conn_congested(struct fuse_conn *conn)
{
	bool congested;

	fb_mutex_lock(&conn->lock);
	congested = conn->num_background >= conn->congestion_threshold;
	fb_mutex_unlock(&conn->lock);
	return congested;
}

void fuse_conn_forget(struct fuse_conn *conn, struct fuse_forget *forget, uint64_t nodeid,
		      uint64_t nlookup, unsigned incarnation)
{
	forget->nodeid = nodeid;
	forget->nlookup = nlookup;
	fb_mutex_lock(&conn->lock);
	if (!conn->connected || incarnation != conn->incarnation) {
		fb_mutex_unlock(&conn->lock);
		free(forget);
		return;
	}
	fuse_queue_add_forget(&conn->pending, forget);
	readable_some_time(conn);
	fb_mutex_unlock(&conn->lock);
}

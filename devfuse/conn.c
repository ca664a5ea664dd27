/* The connection as a whole: birth, abort, death, and the counters. */
#include "devfuse/conn.h"

#include <stdlib.h>

#include "devfuse/backing.h"
#include "devfuse/params.h"
#include "devfuse/registry.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"
#include "devfuse/timeout.h"
#include "vfs/strbuf.h"

struct fuse_conn *fuse_conn_new(uint32_t id, const struct fuse_conn_ops *ops, void *owner)
{
	struct fuse_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	ref_init(&conn->ref);
	fb_mutex_init(&conn->lock, RANK_CONN);
	conn->id = id;
	conn->ops = ops;
	conn->owner = owner;
	waitq_init(&conn->initialized.waiters);
	fuse_queue_init(&conn->pending);
	fuse_conn_init_readers(conn);
	waitq_init(&conn->full);
	atomic_init(&conn->connected, true);
	conn->next_unique = 2; /* H01 */
	list_init(&conn->background);
	list_init(&conn->devs);
	list_init(&conn->pool);
	list_init(&conn->backings);
	list_init(&conn->registry_node);
	fuse_timeout_init(conn);
	conn->max_pages = 32;
	conn->max_pages_limit = (uint32_t)atomic_load(&fuse_params.max_pages_limit);
	conn->max_readahead = 131072;
	conn->time_gran_ns = 1;
	conn->max_background = 12;
	conn->congestion_threshold = 9;
	return conn;
}

struct fuse_conn *fuse_conn_get(struct fuse_conn *conn)
{
	ref_get(&conn->ref);
	return conn;
}

void fuse_conn_put(struct fuse_conn *conn)
{
	if (!conn || !ref_put(&conn->ref))
		return;
	fb_assert(conn->completions.count == 0);
	fuse_timeout_stop(conn);
	idle_work_cancel(&conn->wake_later);
	fuse_queue_drop_forgets(&conn->pending);
	while (!list_empty(&conn->pool)) {
		struct fuse_request *req = list_first(&conn->pool, struct fuse_request, node);

		list_del(&req->node);
		free(req);
	}
	fuse_ring_free(conn->ring);
	fb_mutex_destroy(&conn->lock);
	free(conn);
}

static void end_all(struct fuse_conn *conn, struct list_node *list, struct list_node *done)
{
	while (!list_empty(list)) {
		struct fuse_request *req = list_first(list, struct fuse_request, node);

		fuse_request_end(conn, req, -ECONNABORTED, done);
	}
}

void fuse_conn_abort(struct fuse_conn *conn, bool by_control)
{
	struct list_node done;
	struct fuse_dev *dev;

	list_init(&done);
	fb_mutex_lock(&conn->lock);
	if (!conn->connected) {
		fb_mutex_unlock(&conn->lock);
		return;
	}
	conn->connected = false;
	conn->vacant = false;
	conn->aborted = by_control;
	conn->max_background = ~0u; /* D70: whoever waits for room shall see the end */
	fuse_background_flush_all(conn);
	/* Requests whose bytes are being copied end when the copier notices (D71). */
	for (size_t i = 0; i < FUSE_COMPLETION_BUCKETS; i++)
		for (struct fuse_request *req = conn->completions.buckets[i]; req;
		     req = req->hash_next)
			req->aborted = true;
	list_for_each (dev, &conn->devs, conn_node)
		end_all(conn, &dev->processing, &done);
	end_all(conn, &conn->pending.requests, &done);
	fuse_ring_stop(conn, &done);
	fuse_queue_drop_forgets(&conn->pending);
	conn->initialized.open = true;
	waitq_wake_all(&conn->initialized.waiters, 0);
	waitq_wake_all(&conn->full, 0);
	waitq_wake_all(&conn->waiters, 0);
	fuse_conn_sigio(conn);
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
	conn->ops->poll_again(conn);
}

/* Old answers must not fit: the number changes (FUSE_UNIQUE_RESEND). */
static void resend_one(struct fuse_conn *conn, struct fuse_request *req, struct list_node *again)
{
	fuse_completions_del(&conn->completions, req);
	list_del(&req->intr_node);
	list_del(&req->node);
	req->in.unique |= FUSE_UNIQUE_RESEND;
	req->dev = NULL;
	req->state = REQ_PENDING;
	fuse_completions_add(&conn->completions, req);
	list_add_tail(again, &req->node);
}

void fuse_conn_resend(struct fuse_conn *conn)
{
	struct list_node again, done;
	struct fuse_request *req, *tmp;
	struct fuse_dev *dev;

	list_init(&again);
	list_init(&done);
	fb_mutex_lock(&conn->lock);
	list_for_each (dev, &conn->devs, conn_node)
		list_for_each_safe (req, tmp, &dev->processing, node) {
			if (req->orphan) /* its arguments are gone with its client */
				fuse_request_end(conn, req, -EINTR, &done);
			else
				resend_one(conn, req, &again);
		}
	if (!list_empty(&again)) {
		list_splice_tail(&again, &conn->pending.requests);
		list_splice_tail(&conn->pending.requests, &again);
		fuse_conn_readable(conn);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
}

void fuse_conn_set_max_background(struct fuse_conn *conn, unsigned max_background)
{
	fb_mutex_lock(&conn->lock);
	if (conn->connected) { /* D70: death has lifted the limit */
		conn->max_background = max_background;
		fuse_background_flush_all(conn);
		waitq_wake_all(&conn->full, 0);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_ring_hand_out(conn);
}

void fuse_conn_shutdown(struct fuse_conn *conn)
{
	fuse_registry_remove(conn);
	fuse_conn_abort(conn, false);
	fuse_backing_drop_all(conn);
	fb_mutex_lock(&conn->lock);
	conn->owner = NULL;
	fb_mutex_unlock(&conn->lock);
	fuse_conn_put(conn);
}

/* --- counters ----------------------------------------------------------------------------- */

static atomic_ulong sent[FUSE_OPCODE_END];
static atomic_ulong answered;

void fuse_stats_sent(uint32_t opcode)
{
	if (opcode < FUSE_OPCODE_END)
		atomic_fetch_add_explicit(&sent[opcode], 1, memory_order_relaxed);
}

void fuse_stats_answered(void)
{
	atomic_fetch_add_explicit(&answered, 1, memory_order_relaxed);
}

void devfuse_show_stats(struct strbuf *out)
{
	unsigned long total = 0;

	for (uint32_t op = 0; op < FUSE_OPCODE_END; op++) {
		unsigned long n = atomic_load_explicit(&sent[op], memory_order_relaxed);

		if (n > 0)
			strbuf_printf(out, "fuse %-20s %10lu\n", fuse_opcode_name(op), n);
		total += n;
	}
	strbuf_printf(out, "fuse %-20s %10lu\n", "requests", total);
	strbuf_printf(out, "fuse %-20s %10lu\n", "round trips",
		      atomic_load_explicit(&answered, memory_order_relaxed));
}

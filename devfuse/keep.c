#include "devfuse/keep.h"

#include <stdlib.h>

#include "devfuse/backing.h"
#include "devfuse/dev.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"

void fuse_conn_set_keep(struct fuse_conn *conn, bool keep)
{
	bool abort;

	fb_mutex_lock(&conn->lock);
	conn->keep = keep;
	abort = !keep && conn->vacant;
	fb_mutex_unlock(&conn->lock);
	if (abort)
		fuse_conn_abort(conn, false);
}

bool fuse_conn_survives(const struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	return conn->keep && conn->connected && !conn->conn_error &&
	       (conn->initialized.open || conn->vacant);
}

void fuse_request_lost(struct fuse_conn *conn, struct fuse_request *req, struct list_node *done)
{
	if (req->state == REQ_SENT && !req->async && !req->orphan) {
		req->args->resend = true;
		req->args->unique = req->in.unique;
	}
	fuse_request_end(conn, req, -EDAEMONDIED, done);
}

static void lose_all(struct fuse_conn *conn, struct list_node *list, struct list_node *done)
{
	while (!list_empty(list))
		fuse_request_lost(conn, list_first(list, struct fuse_request, node), done);
}

void fuse_conn_vacate(struct fuse_conn *conn, struct list_node *done)
{
	fb_assert(fuse_conn_survives(conn) && conn->nr_devs == 0);
	conn->vacant = true;
	conn->initialized.open = false;
	atomic_fetch_add(&conn->incarnation, 1);
	/* The end of one lets another in: until both are empty. */
	while (!list_empty(&conn->background) || !list_empty(&conn->pending.requests)) {
		lose_all(conn, &conn->background, done);
		lose_all(conn, &conn->pending.requests, done);
	}
	fuse_ring_vacate(conn, done);
	fuse_queue_drop_forgets(&conn->pending);
	conn->nr_servers = 0;
	conn->no_interrupt = conn->warned_self = false;
	waitq_wake_all(&conn->full, 0); /* to wait at the gate */
}

void fuse_conn_vacated(struct fuse_conn *conn)
{
	fuse_backing_drop_all(conn); /* open files have their own references */
	if (conn->ops->can_wait(conn))
		fb_log(LOG_INFO, "fuse: connection %u waits for another daemon", conn->id);
	else
		fuse_conn_abort(conn, false);
}

int fuse_conn_adopt(struct fuse_conn *conn, struct fuse_dev *dev)
{
	int err = fuse_dev_attach_vacant(dev, conn);

	return err ? err : fuse_conn_send_init(conn);
}

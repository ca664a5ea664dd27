/* Request timeouts. */
#include "devfuse/timeout.h"

#include "devfuse/defer.h"
#include "devfuse/params.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"

#define SECOND_NS 1000000000ll

/* What holds for this connection (cf. init_server_timeout()); 0 = no timeout. */
static unsigned long choose_seconds(unsigned long wanted)
{
	unsigned long max = atomic_load(&fuse_params.max_request_timeout);

	if (wanted == 0)
		wanted = atomic_load(&fuse_params.default_request_timeout);
	if (max > 0 && (wanted == 0 || wanted > max))
		wanted = max;
	if (wanted > 0 && wanted < FUSE_TIMEOUT_PERIOD_S)
		wanted = FUSE_TIMEOUT_PERIOD_S;
	return wanted;
}

static void arm(struct fuse_conn *conn)
{
	fb_timer_arm(&conn->timeout_timer, clock_monotonic_ns() + FUSE_TIMEOUT_PERIOD_S * SECOND_NS);
}

void fuse_timeout_start(struct fuse_conn *conn, unsigned seconds)
{
	fb_mutex_assert_held(&conn->lock);
	conn->request_timeout_ns = (int64_t)choose_seconds(seconds) * SECOND_NS;
	if (conn->request_timeout_ns > 0)
		arm(conn);
}

/* The lists are in order of age, so their heads tell. lock held. */
static bool expired(struct fuse_conn *conn)
{
	int64_t before_ns = clock_monotonic_ns() - conn->request_timeout_ns;
	struct fuse_dev *dev;

	if (fuse_request_head_expired(&conn->pending.requests, before_ns) ||
	    fuse_request_head_expired(&conn->background, before_ns))
		return true;
	list_for_each (dev, &conn->devs, conn_node)
		if (fuse_request_head_expired(&dev->processing, before_ns))
			return true;
	return fuse_ring_expired(conn, before_ns);
}

static void abort_conn(void *arg)
{
	struct fuse_conn *conn = arg;

	fb_log(LOG_WARN, "fuse: connection %u: a request was not answered in time, aborting",
	       conn->id);
	fuse_conn_abort(conn, false);
	fuse_conn_put(conn);
}

void fuse_timeout_check(struct fuse_conn *conn)
{
	bool late;

	fb_mutex_lock(&conn->lock);
	late = conn->connected && expired(conn);
	if (conn->connected && !late)
		arm(conn);
	fb_mutex_unlock(&conn->lock);
	if (late && ref_get_unless_zero(&conn->ref))
		fuse_defer(abort_conn, conn);
}

static void timer_fired(struct fb_timer *timer)
{
	fuse_timeout_check(container_of(timer, struct fuse_conn, timeout_timer));
}

void fuse_timeout_init(struct fuse_conn *conn)
{
	fb_timer_init(&conn->timeout_timer, timer_fired);
	conn->client_timeout_ns =
		(int64_t)atomic_load(&fuse_params.client_timeout) * SECOND_NS;
}

void fuse_timeout_stop(struct fuse_conn *conn)
{
	if (conn->request_timeout_ns > 0)
		fb_timer_cancel(&conn->timeout_timer);
}

int64_t fuse_client_deadline(const struct fuse_conn *conn, uint32_t opcode)
{
	/* A lock may be waited for as long as somebody holds it. */
	if (conn->client_timeout_ns == 0 || opcode == FUSE_SETLKW)
		return WAIT_FOREVER;
	return clock_monotonic_ns() + conn->client_timeout_ns;
}

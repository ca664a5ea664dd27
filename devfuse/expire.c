/* The periodic drop of expired names. */
#include "devfuse/expire.h"

#include "devfuse/conn.h"
#include "devfuse/defer.h"
#include "devfuse/params.h"
#include "devfuse/registry.h"

#define SECOND_NS 1000000000ll

static void timer_fired(struct fb_timer *timer);

static struct fb_timer expire_timer = {.fire = timer_fired};

static void arm(unsigned long seconds)
{
	fb_timer_arm(&expire_timer, clock_monotonic_ns() + (int64_t)seconds * SECOND_NS);
}

void fuse_expire_all(void)
{
	struct fuse_conn *conn = fuse_registry_next(0);

	while (conn) {
		uint32_t id = conn->id;

		if (conn->ops->expire)
			conn->ops->expire(conn);
		fuse_conn_put(conn);
		conn = fuse_registry_next(id + 1);
	}
}

/* cf. fuse_dentry_tree_work(): the period is that of now. */
static void expire_work(void *unused)
{
	unsigned long seconds;

	(void)unused;
	fuse_expire_all();
	seconds = atomic_load(&fuse_params.inval_wq);
	if (seconds)
		arm(seconds);
}

static void timer_fired(struct fb_timer *timer)
{
	(void)timer;
	fuse_defer(expire_work, NULL);
}

void fuse_expire_set_period(unsigned long old, unsigned long seconds)
{
	if (seconds && !old)
		arm(seconds);
	else if (!seconds && old)
		fb_timer_cancel(&expire_timer);
}

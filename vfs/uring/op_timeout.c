/*
 * IORING_OP_TIMEOUT, _TIMEOUT_REMOVE, _LINK_TIMEOUT. cf. io_uring/timeout.c.
 *
 * Those that also wait for a number of completions stand in front in ring->timeouts, the earliest
 * first. All clocks are turned into CLOCK_MONOTONIC when the time is read.
 */
#include <errno.h>
#include <time.h>

#include "vfs/ioctl.h"
#include "vfs/uring/uring_internal.h"

#define NSEC_PER_SEC 1000000000LL
#define FAR_FUTURE (INT64_MAX / 2)
#define TIMEOUT_FLAGS                                                                              \
	(IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK | IORING_TIMEOUT_ETIME_SUCCESS |           \
	 IORING_TIMEOUT_MULTISHOT)

static int64_t now_of(unsigned flags)
{
	struct timespec ts;

	if (flags & IORING_TIMEOUT_REALTIME)
		return clock_realtime_ns();
	if (!(flags & IORING_TIMEOUT_BOOTTIME))
		return clock_monotonic_ns();
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* The time at ts_gva as a deadline, and as the length of an interval if it is relative. */
static int read_time(const struct op_ctx *ctx, uint64_t ts_gva, unsigned flags, int64_t *ret_ns,
		     int64_t *ret_interval_ns)
{
	struct __kernel_timespec ts;
	int64_t ns;

	if (ioctl_copy_in(ctx, &ts, ts_gva, sizeof(ts)))
		return -EFAULT;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0)
		return -EINVAL;
	if (ts.tv_sec > FAR_FUTURE / NSEC_PER_SEC || ts.tv_nsec > FAR_FUTURE / 2)
		ns = FAR_FUTURE;
	else
		ns = ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
	*ret_interval_ns = ns;
	if (flags & IORING_TIMEOUT_ABS)
		ns -= now_of(flags);
	ns = ns > FAR_FUTURE ? FAR_FUTURE : ns;
	*ret_ns = clock_monotonic_ns() + ns;
	return 0;
}

static bool one_clock(unsigned flags)
{
	return (flags & IORING_TIMEOUT_CLOCK_MASK) != IORING_TIMEOUT_CLOCK_MASK;
}

/* ---- the timer ---- */

static void timer_fire(struct fb_timer *timer)
{
	uring_kick(container_of(timer, struct uring_req, timer), EVENT_TIMER);
}

void uring_timeout_arm(struct uring_req *req)
{
	req->state = REQ_TIMER;
	fb_timer_arm(&req->timer, req->timer_op.deadline_ns);
}

void uring_timeout_disarm(struct uring_req *req)
{
	if (req->state != REQ_TIMER)
		return;
	fb_timer_cancel(&req->timer);
	list_del(&req->timer_op.node);
	req->state = REQ_IDLE;
}

/* How many completions count for timeouts. */
static uint32_t completions(const struct uring *ring)
{
	return atomic_load(&ring->cq_tail) - atomic_load(&ring->cq_timeouts);
}

/* In front of the first that waits for more, or for none. */
static void enlist(struct uring_req *req)
{
	struct uring *ring = req->ring;
	struct uring_timeout *self = &req->timer_op, *other;
	struct list_node *before = &ring->timeouts;
	const uint32_t now = completions(ring);

	if (self->counts) {
		list_for_each(other, &ring->timeouts, node) {
			if (other->counts && self->target - now >= other->target - now)
				continue;
			before = &other->node;
			break;
		}
	}
	list_add_tail(before, &self->node);
}

/* All is counted from the last look: any number up to 2^32 - 1 may be wished for. */
static bool has_come(const struct uring *ring, const struct uring_timeout *timeout, uint32_t now)
{
	return now - ring->timeouts_seen >= timeout->target - ring->timeouts_seen;
}

void uring_timeouts_flush(struct uring *ring)
{
	const uint32_t now = completions(ring);

	while (!list_empty(&ring->timeouts)) {
		struct uring_timeout *first =
			list_first(&ring->timeouts, struct uring_timeout, node);
		struct uring_req *req = container_of(first, struct uring_req, timer_op);

		if (!first->counts || !has_come(ring, first, now))
			break;
		uring_timeout_disarm(req);
		atomic_fetch_add(&ring->cq_timeouts, 1);
		uring_todo_done(req, 0);
	}
	ring->timeouts_seen = now;
}

/* Whoever is limited is cancelled; what came of that is the timeout's result. */
static void limit_is_reached(struct uring_req *req)
{
	struct uring_req *head = req->timer_op.head;
	int err = 0;

	if (head) {
		head->timeout = NULL;
		req->timer_op.head = NULL;
		err = uring_cancel_req(head);
	}
	req->state = REQ_IDLE;
	uring_todo_done(req, err ? err : -ETIME);
}

/* cf. io_timeout_finish() */
static bool goes_on(struct uring_req *req)
{
	struct uring_timeout *timeout = &req->timer_op;

	if (!(timeout->flags & IORING_TIMEOUT_MULTISHOT))
		return false;
	return timeout->repeats == 0 || --timeout->repeats > 0;
}

void uring_timeout_fired(struct uring_req *req)
{
	struct uring_timeout *timeout = &req->timer_op;

	/* It may have been given a later time meanwhile. */
	if (clock_monotonic_ns() < timeout->deadline_ns)
		return;
	if (req->opcode == IORING_OP_LINK_TIMEOUT) {
		limit_is_reached(req);
		return;
	}
	if (goes_on(req) && uring_post_more(req, -ETIME)) {
		timeout->deadline_ns = clock_monotonic_ns() + timeout->interval_ns;
		uring_timeout_arm(req);
		return;
	}
	list_del(&timeout->node);
	req->state = REQ_IDLE;
	atomic_fetch_add(&req->ring->cq_timeouts, 1);
	uring_todo_done(req, -ETIME);
}

/* ---- TIMEOUT and LINK_TIMEOUT ---- */

static int timeout_prep(struct uring_req *req, const struct io_uring_sqe *sqe, bool link)
{
	struct uring_timeout *timeout = &req->timer_op;
	const uint32_t off = (uint32_t)sqe->off;

	list_init(&timeout->node);
	fb_timer_init(&req->timer, timer_fire);
	if (sqe->buf_index || sqe->len != 1 || sqe->splice_fd_in || (off && link))
		return -EINVAL;
	timeout->flags = sqe->timeout_flags;
	if ((timeout->flags & ~TIMEOUT_FLAGS) || !one_clock(timeout->flags))
		return -EINVAL;
	if ((timeout->flags & IORING_TIMEOUT_MULTISHOT) && (timeout->flags & IORING_TIMEOUT_ABS))
		return -EINVAL;
	timeout->counts = off && !(timeout->flags & IORING_TIMEOUT_MULTISHOT);
	timeout->target = timeout->repeats = off;
	return read_time(&req->ctx, sqe->addr, timeout->flags, &timeout->deadline_ns,
			 &timeout->interval_ns);
}

int uring_timeout_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	return timeout_prep(req, sqe, false);
}

int32_t uring_timeout(struct uring_req *req, bool nowait)
{
	(void)nowait;
	/* From here it is counted, cf. cq_last_tm_flush in io_timeout(). */
	uring_timeouts_flush(req->ring);
	req->timer_op.target += completions(req->ring);
	enlist(req);
	uring_timeout_arm(req);
	return URING_KEPT;
}

int uring_link_timeout_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	int err = timeout_prep(req, sqe, true);

	if (err)
		return err;
	if (!req->ring->link_head || req->ring->link_last->opcode == IORING_OP_LINK_TIMEOUT)
		return -EINVAL;
	return 0;
}

/* Only when there is nothing before it to limit: its neighbour takes it, else. */
int32_t uring_link_timeout(struct uring_req *req, bool nowait)
{
	(void)req, (void)nowait;
	return -ECANCELED;
}

/* ---- TIMEOUT_REMOVE, which also updates ---- */

int uring_timeout_remove_prep(struct uring_req *req, const struct io_uring_sqe *sqe)
{
	struct uring_timeout_remove *remove = &req->timeout_remove;
	int64_t interval_ns;

	if ((sqe->flags & IOSQE_FIXED_FILE) || sqe->buf_index || sqe->len || sqe->splice_fd_in)
		return -EINVAL;
	remove->user_data = sqe->addr;
	remove->flags = sqe->timeout_flags;
	if (!(remove->flags & IORING_TIMEOUT_UPDATE_MASK))
		return remove->flags ? -EINVAL : 0;
	if (!one_clock(remove->flags) ||
	    (remove->flags &
	     ~(IORING_TIMEOUT_UPDATE_MASK | IORING_TIMEOUT_ABS | IORING_TIMEOUT_CLOCK_MASK)))
		return -EINVAL;
	return read_time(&req->ctx, sqe->addr2, remove->flags, &remove->deadline_ns, &interval_ns);
}

static struct uring_req *find_timeout(struct uring *ring, uint64_t user_data, uint8_t opcode)
{
	struct uring_req *req;

	list_for_each(req, uring_bucket(ring, user_data), data_node)
		if (req->opcode == opcode && req->user_data == user_data && req->state == REQ_TIMER)
			return req;
	return NULL;
}

/* cf. io_timeout_update(): it counts no completions from now on. */
static void update_timeout(struct uring_req *req, int64_t deadline_ns)
{
	const bool link = req->opcode == IORING_OP_LINK_TIMEOUT;

	uring_timeout_disarm(req);
	req->timer_op.counts = false;
	req->timer_op.deadline_ns = deadline_ns;
	if (!link)
		enlist(req);
	uring_timeout_arm(req);
}

int32_t uring_timeout_remove(struct uring_req *req, bool nowait)
{
	const struct uring_timeout_remove *remove = &req->timeout_remove;
	const bool link = remove->flags & IORING_LINK_TIMEOUT_UPDATE;
	struct uring_req *timeout = find_timeout(req->ring, remove->user_data,
						 link ? IORING_OP_LINK_TIMEOUT : IORING_OP_TIMEOUT);

	(void)nowait;
	if (!timeout)
		return -ENOENT;
	if (!(remove->flags & IORING_TIMEOUT_UPDATE_MASK))
		return uring_cancel_req(timeout);
	update_timeout(timeout, remove->deadline_ns);
	return 0;
}

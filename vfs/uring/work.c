/*
 * Who does the work of a ring besides its submitters: the service fiber, which hears of events, and
 * workers, on which calls may block. cf. task work and io-wq.
 */
#include <errno.h>
#include <stdlib.h>

#include "sentry/base/err.h"
#include "vfs/file.h"
#include "vfs/uring/uring_internal.h"

/* ---- events ---- */

void uring_kick_locked(struct uring_req *req, unsigned event)
{
	struct uring *ring = req->ring;

	if (!req->events)
		list_add_tail(&ring->ready, &req->ready);
	req->events |= event;
	waitq_wake_locked(&ring->service, 0);
}

void uring_kick(struct uring_req *req, unsigned event)
{
	waitq_lock();
	uring_kick_locked(req, event);
	waitq_unlock();
}

void uring_service_wake(struct uring *ring)
{
	waitq_lock();
	waitq_wake_locked(&ring->service, 0);
	waitq_unlock();
}

/* Called with the ring's lock held, so that a request on the list is alive. */
static struct uring_req *next_event(struct uring *ring, unsigned *ret_events)
{
	struct uring_req *req = NULL;

	waitq_lock();
	if (!list_empty(&ring->ready)) {
		req = list_first(&ring->ready, struct uring_req, ready);
		list_del(&req->ready);
		*ret_events = req->events;
		req->events = 0;
	}
	waitq_unlock();
	return req;
}

static void file_is_ready(struct uring_req *req)
{
	if (req->state == REQ_WORK)
		req->poll_again = true;
	if (req->state != REQ_POLL)
		return;
	if (req->cancel) /* its task is gone: cf. io_poll_task_func() on fallback */
		(void)uring_cancel_req(req);
	else if (req->opcode == IORING_OP_POLL_ADD)
		uring_poll_event(req);
	else
		uring_todo(req);
}

static void driver_keeps(struct uring_req *req)
{
	req->state = REQ_CMD;
	if (req->cmd_early)
		uring_issued(req, req->cmd_res, false);
	else if ((req->flags & REQ_CANCELED) && req->cmd.cancel)
		req->cmd.cancel(&req->cmd); /* cancelled while its method ran */
}

static void worker_is_done(struct uring_req *req)
{
	if (req->state != REQ_WORK)
		return;
	req->state = REQ_IDLE;
	if (req->opcode == IORING_OP_POLL_ADD)
		uring_poll_answer(req);
	else if (req->work_res == URING_KEPT)
		driver_keeps(req);
	else
		uring_issued(req, req->work_res, false);
}

static void handle_events(struct uring_req *req, unsigned events)
{
	if (events & EVENT_WORK)
		worker_is_done(req);
	if (events & EVENT_POLL)
		file_is_ready(req);
	if ((events & EVENT_TIMER) && req->state == REQ_TIMER)
		uring_timeout_fired(req);
	if (!(events & EVENT_CMD))
		return;
	if (req->state == REQ_CMD)
		uring_issued(req, req->cmd_res, false);
	else if (req->state == REQ_WORK) /* the worker has yet to say that it was kept */
		req->cmd_early = true;
}

static bool serve(struct uring *ring)
{
	struct uring_req *req;
	unsigned events, posted;
	bool any = false, over;

	uring_lock_uninterruptible(ring);
	posted = ring->posted;
	while ((req = next_event(ring, &events))) {
		handle_events(req, events);
		any = true;
	}
	uring_run(ring);
	ring->posted_async = ring->posted != posted;
	over = ring->dying && ring->nr_reqs == 0;
	uring_unlock(ring);
	return any || !over;
}

static bool has_events(struct uring *ring)
{
	bool any;

	waitq_lock();
	any = !list_empty(&ring->ready);
	waitq_unlock();
	return any;
}

static void service_main(void *arg)
{
	struct uring *ring = arg;
	struct waitq_entry entry;
	struct wait_mark mark;

	wait_mark_init(&mark);
	waitq_entry_init(&entry, waitq_wake_mark, &mark);
	waitq_add(&ring->service, &entry);
	while (serve(ring))
		if (!has_events(ring))
			(void)wait_mark_sleep(&mark, WAIT_UNINTERRUPTIBLE, WAIT_FOREVER);
	waitq_del(&entry);
	uring_put(ring);
}

void uring_service_start(struct uring *ring)
{
	uring_hooks.spawn(service_main, uring_get(ring));
}

/* ---- workers ---- */

static atomic_uint all_workers; /* but the first of each ring */

static struct uring_req *next_work(struct uring *ring)
{
	struct uring_req *req = NULL;
	bool first;

	waitq_lock();
	if (!list_empty(&ring->works)) {
		req = list_first(&ring->works, struct uring_req, work);
		list_del(&req->work);
		waiter_reset(waiter_self());
		req->worker = waiter_self();
	} else {
		first = --ring->nr_workers == 0;
		if (!first)
			atomic_fetch_sub(&all_workers, 1);
	}
	waitq_unlock();
	return req;
}

static void worker_main(void *arg)
{
	struct uring *ring = arg;
	struct uring_req *req;
	int32_t res;

	while ((req = next_work(ring))) {
		res = req->op->issue(req, false);
		waitq_lock();
		req->worker = NULL;
		req->work_res = res;
		uring_kick_locked(req, EVENT_WORK);
		waitq_unlock();
	}
	uring_put(ring);
}

/* Wait lock held. */
static bool another_worker(struct uring *ring)
{
	if (ring->nr_workers >= URING_WORKERS)
		return false;
	if (ring->nr_workers > 0 && atomic_fetch_add(&all_workers, 1) >= URING_ALL_WORKERS) {
		atomic_fetch_sub(&all_workers, 1);
		return false;
	}
	ring->nr_workers++;
	return true;
}

void uring_work(struct uring_req *req)
{
	struct uring *ring = req->ring;
	bool spawn;

	req->state = REQ_WORK;
	waitq_lock();
	list_add_tail(&ring->works, &req->work);
	spawn = another_worker(ring);
	waitq_unlock();
	if (spawn)
		uring_hooks.spawn(worker_main, uring_get(ring));
}

bool uring_work_cancel(struct uring_req *req)
{
	bool waiting;

	waitq_lock();
	waiting = !list_empty(&req->work);
	if (waiting)
		list_del(&req->work);
	else if (req->worker)
		waiter_interrupt_locked(req->worker, WAITER_SIGNAL | WAITER_KILLED);
	waitq_unlock();
	return waiting;
}

/* ---- waiting for a file ---- */

static void arm_wake(struct waitq_entry *entry, unsigned events)
{
	(void)events;
	uring_kick_locked(entry->owner, EVENT_POLL);
}

static void arm_queue(struct poll_table *table, struct file *file, struct waitq *queue)
{
	struct uring_arm *arm = container_of(table, struct uring_arm, table);
	struct waitq_entry *entry;

	(void)file;
	if (arm->nr == sizeof(arm->entries) / sizeof(arm->entries[0])) {
		arm->failed = true;
		return;
	}
	entry = &arm->entries[arm->nr++];
	waitq_entry_init(entry, arm_wake, arm->req);
	entry->events = poll_wake_events(table->events);
	waitq_add(queue, entry);
}

int uring_arm(struct uring_req *req, unsigned events, unsigned *ret_mask)
{
	struct poll_table *table = NULL;

	if (!req->arm) {
		req->arm = calloc(1, sizeof(*req->arm));
		if (!req->arm)
			return -ENOMEM;
		req->arm->req = req;
		table = &req->arm->table;
		*table = (struct poll_table){ .queue = arm_queue, .events = events };
	}
	*ret_mask = vfs_poll(&req->ctx, req->file, table) & events;
	return req->arm->failed ? -ENOMEM : 0;
}

void uring_disarm(struct uring_req *req)
{
	struct uring_arm *arm = req->arm;

	if (!arm)
		return;
	for (unsigned i = 0; i < arm->nr; i++)
		waitq_del(&arm->entries[i]);
	free(arm);
	req->arm = NULL;
}

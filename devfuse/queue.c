/* The pending queue, the completion map and the background class; see queue.h. */
#include "devfuse/queue.h"

#include <stdlib.h>

#include "devfuse/request.h"
#include "devfuse/ring.h"

/* D15: while both wait, so many requests, then so many reads of forgets, and again. */
#define REQUESTS_PER_TURN 8
#define FORGETS_PER_TURN  16

void fuse_queue_init(struct fuse_queue *queue)
{
	list_init(&queue->requests);
	list_init(&queue->interrupts);
	queue->forgets = NULL;
	queue->forgets_tail = &queue->forgets;
	queue->forget_batch = REQUESTS_PER_TURN;
}

bool fuse_queue_empty(const struct fuse_queue *queue)
{
	return list_empty(&queue->interrupts) && list_empty(&queue->requests) && !queue->forgets;
}

/*
 * forget_batch counts down from 8 with each step in which both kinds wait; at 0 and below it is
 * the forgets' turn, and after 16 of those it starts again (cf. fuse_dev_do_read()).
 */
enum fuse_next fuse_queue_next(struct fuse_queue *queue)
{
	if (!list_empty(&queue->interrupts))
		return NEXT_INTERRUPT;
	if (queue->forgets) {
		if (list_empty(&queue->requests) || queue->forget_batch-- <= 0) {
			if (queue->forget_batch <= -FORGETS_PER_TURN)
				queue->forget_batch = REQUESTS_PER_TURN;
			return NEXT_FORGET;
		}
	}
	return list_empty(&queue->requests) ? NEXT_NOTHING : NEXT_REQUEST;
}

struct fuse_request *fuse_queue_take_request(struct fuse_queue *queue)
{
	struct fuse_request *req = list_first(&queue->requests, struct fuse_request, node);

	list_del(&req->node);
	return req;
}

struct fuse_forget *fuse_queue_take_forgets(struct fuse_queue *queue, size_t max, size_t *ret_count)
{
	struct fuse_forget *first = queue->forgets;
	struct fuse_forget **end = &queue->forgets;
	size_t count = 0;

	while (*end && count < max) {
		end = &(*end)->next;
		count++;
	}
	queue->forgets = *end;
	if (count > 0)
		*end = NULL;
	if (!queue->forgets)
		queue->forgets_tail = &queue->forgets;
	*ret_count = count;
	return count > 0 ? first : NULL;
}

void fuse_queue_add_forget(struct fuse_queue *queue, struct fuse_forget *forget)
{
	forget->next = NULL;
	*queue->forgets_tail = forget;
	queue->forgets_tail = &forget->next;
}

void fuse_queue_drop_forgets(struct fuse_queue *queue)
{
	struct fuse_forget *forget = queue->forgets;

	queue->forgets = NULL;
	queue->forgets_tail = &queue->forgets;
	while (forget) {
		struct fuse_forget *next = forget->next;

		free(forget);
		forget = next;
	}
}

static struct fuse_request **bucket(struct fuse_completions *map, uint64_t unique)
{
	return &map->buckets[(unique >> 1) % FUSE_COMPLETION_BUCKETS];
}

void fuse_completions_add(struct fuse_completions *map, struct fuse_request *req)
{
	struct fuse_request **head = bucket(map, req->in.unique);

	req->hash_next = *head;
	*head = req;
	map->count++;
}

void fuse_completions_del(struct fuse_completions *map, struct fuse_request *req)
{
	struct fuse_request **at = bucket(map, req->in.unique);

	while (*at && *at != req)
		at = &(*at)->hash_next;
	if (!*at)
		return;
	*at = req->hash_next;
	req->hash_next = NULL;
	map->count--;
}

struct fuse_request *fuse_completions_find(struct fuse_completions *map, uint64_t unique)
{
	struct fuse_request *req = *bucket(map, unique);

	while (req && req->in.unique != unique)
		req = req->hash_next;
	return req;
}

void fuse_background_add(struct fuse_conn *conn, struct fuse_request *req)
{
	fb_mutex_assert_held(&conn->lock);
	req->background = true;
	req->state = REQ_BACKGROUND;
	req->ring_queue = fuse_ring_ready(conn) ? fuse_ring_choose(conn) : NULL;
	conn->num_background++;
	list_add_tail(req->ring_queue ? &req->ring_queue->background : &conn->background,
		      &req->node);
	fuse_background_flush(conn, req->ring_queue);
}

static bool background_has_room(const struct fuse_conn *conn, const struct fuse_ring_queue *queue)
{
	return conn->active_background < conn->max_background ||
	       (queue && queue->active_background == 0);
}

void fuse_background_flush(struct fuse_conn *conn, struct fuse_ring_queue *queue)
{
	struct list_node *waiting = queue ? &queue->background : &conn->background;

	fb_mutex_assert_held(&conn->lock);
	while (background_has_room(conn, queue) && !list_empty(waiting)) {
		struct fuse_request *req = list_first(waiting, struct fuse_request, node);

		list_del(&req->node);
		req->active = true;
		conn->active_background++;
		if (queue)
			queue->active_background++;
		fuse_request_queue(conn, req);
	}
}

void fuse_background_flush_all(struct fuse_conn *conn)
{
	struct fuse_ring *ring = conn->ring;

	fuse_background_flush(conn, NULL);
	for (unsigned i = 0; ring && i < ring->nr_queues; i++)
		fuse_background_flush(conn, &ring->queues[i]);
}

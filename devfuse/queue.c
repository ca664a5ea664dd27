/* The pending queue, the completion map and the background class; see queue.h. */
#include "devfuse/queue.h"

#include <stdlib.h>

#include "devfuse/request.h"

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
	conn->num_background++;
	list_add_tail(&conn->background, &req->node);
	fuse_background_flush(conn);
}

void fuse_background_flush(struct fuse_conn *conn)
{
	fb_mutex_assert_held(&conn->lock);
	while (conn->active_background < conn->max_background && !list_empty(&conn->background)) {
		struct fuse_request *req = list_first(&conn->background, struct fuse_request, node);

		list_del(&req->node);
		req->active = true;
		conn->active_background++;
		fuse_request_queue(conn, req);
	}
}

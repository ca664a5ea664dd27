/*
 * The queues of a connection: what the daemon has still to read, and where an answer belongs.
 *
 * All functions want conn->lock held; none sleeps.
 */
#ifndef FB_DEVFUSE_QUEUE_H
#define FB_DEVFUSE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/base/list.h"

struct fuse_conn;
struct fuse_request;
struct fuse_ring_queue;

/* One inode's debt to the daemon. Allocated with the inode, so that forgetting never fails. */
struct fuse_forget {
	struct fuse_forget *next;
	uint64_t nodeid;
	uint64_t nlookup;
};

/*
 * Not yet read by the daemon. Interrupts go first; then requests and forgets share the reader
 * 8:16 (protocol rule D15: a daemon flooded with forgets still answers, and the other way round).
 */
struct fuse_queue {
	struct list_node requests;   /* fuse_request.node, oldest first */
	struct list_node interrupts; /* fuse_request.intr_node */
	struct fuse_forget *forgets; /* singly linked, oldest first */
	struct fuse_forget **forgets_tail;
	int forget_batch; /* > 0: so many requests before the next forgets; see queue.c */
};

/* unique -> request, for everything prepared and not answered, pending ones included. */
#define FUSE_COMPLETION_BUCKETS 256
struct fuse_completions {
	struct fuse_request *buckets[FUSE_COMPLETION_BUCKETS];
	size_t count;
};

void fuse_queue_init(struct fuse_queue *queue);
bool fuse_queue_empty(const struct fuse_queue *queue);

/* What the next read gets. */
enum fuse_next { NEXT_NOTHING, NEXT_INTERRUPT, NEXT_FORGET, NEXT_REQUEST };
/* Decides, and moves the 8:16 alternation on. */
enum fuse_next fuse_queue_next(struct fuse_queue *queue);
struct fuse_request *fuse_queue_take_request(struct fuse_queue *queue);
/* Takes up to max forgets off; returns the list, oldest first. */
struct fuse_forget *fuse_queue_take_forgets(struct fuse_queue *queue, size_t max,
					    size_t *ret_count);
void fuse_queue_add_forget(struct fuse_queue *queue, struct fuse_forget *forget);
void fuse_queue_drop_forgets(struct fuse_queue *queue); /* nobody will read them */

void fuse_completions_add(struct fuse_completions *map, struct fuse_request *req);
void fuse_completions_del(struct fuse_completions *map, struct fuse_request *req);
struct fuse_request *fuse_completions_find(struct fuse_completions *map, uint64_t unique);

/*
 * The background class (D87): at most max_background of these are with the daemon, the rest waits
 * in conn->background, or over the ring in that of its queue, which may always have one active
 * (U16). _flush queues as many of one of these lists as may go; NULL is conn's own.
 */
void fuse_background_add(struct fuse_conn *conn, struct fuse_request *req);
void fuse_background_flush(struct fuse_conn *conn, struct fuse_ring_queue *queue);
void fuse_background_flush_all(struct fuse_conn *conn);

#endif

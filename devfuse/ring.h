/*
 * FUSE over io_uring: the second road between a connection and its daemon (matrix 4.7).
 *
 * The daemon keeps entries registered, each with a header area and a payload buffer in its memory,
 * in queues, one per processor. An entry that is `available` holds a command of the daemon's
 * io_uring. A request is copied into such an entry and the command completed; the daemon answers in
 * the same memory and says so with COMMIT_AND_FETCH, whose command makes the entry available again.
 * FORGET, INTERRUPT and messages of the daemon's own stay on read(2) and write(2).
 *
 *	available --assign--> sending --copied--> sent --commit--> replying --> available
 *
 * Whoever assigns holds conn->lock, and must not copy under it: the entry waits in `handouts` until
 * fuse_ring_hand_out(), which everyone calls who has given up the lock after queueing or ending
 * requests. As in request.h, `sending` and `replying` belong to the fiber that copies.
 *
 * conn->lock guards everything. It must be held for each function here but those that say so.
 * Entries live as long as the connection: a command that is being cancelled may still point to one.
 */
#ifndef FB_DEVFUSE_RING_H
#define FB_DEVFUSE_RING_H

#include "devfuse/request.h"

struct op_ctx;
struct uring_cmd;

#define FUSE_RING_ENTRIES_MAX 4096 /* of one queue: more are refused with ENOMEM */

enum fuse_ring_state {
	RING_UNUSED,	/* in ring->unused */
	RING_AVAILABLE, /* in queue->available; holds a command and no request */
	RING_SENDING,	/* in queue->busy; holds both */
	RING_SENT,	/* in queue->busy; the daemon has it, no command */
	RING_REPLYING,	/* in no list; holds a command, the request is being ended */
};

struct fuse_ring_entry {
	struct list_node node;
	struct list_node handout_node; /* in ring->handouts, else self-linked */
	enum fuse_ring_state state;
	struct fuse_ring_queue *queue;
	struct uring_cmd *cmd;
	bool cancelled; /* cmd is to end as soon as it is free */
	struct fuse_request *req;
	uint64_t header_gva, payload_gva; /* in the memory of whoever submitted cmd */
};

struct fuse_ring_queue {
	struct fuse_ring *ring;
	struct list_node available, busy; /* entries */
	struct list_node requests;	  /* for this queue, oldest first, while no entry is free */
	struct list_node background;	  /* held back by the limit of the background class */
	unsigned active_background;
	unsigned nr_entries;
	bool created; /* by its first REGISTER */
};

struct fuse_ring {
	struct fuse_conn *conn;
	size_t max_payload;
	bool ready; /* every queue has had an entry: requests go here as long as the daemon lives */
	struct list_node handouts;
	struct list_node unused;
	unsigned nr_queues;
	struct fuse_ring_queue queues[]; /* index: the processor's number */
};

/* file_ops.uring_cmd of /dev/fuse. No lock. */
int fuse_ring_command(const struct op_ctx *ctx, struct uring_cmd *cmd, unsigned issue_flags);

/* Do requests travel over the ring? */
bool fuse_ring_ready(const struct fuse_conn *conn);
/* U05: the daemon has promised a ring, and clients wait until it is there. */
bool fuse_ring_awaited(const struct fuse_conn *conn);

/* The queue of the processor that we run on: the client's, whose call has woken us. */
struct fuse_ring_queue *fuse_ring_choose(struct fuse_conn *conn);
/* Queues a numbered request at req->ring_queue. */
void fuse_ring_queue_request(struct fuse_request *req);
/* Copies to the daemon what was assigned. No lock. */
void fuse_ring_hand_out(struct fuse_conn *conn);
/* The connection is dead: requests end, held commands complete with ENOTCONN (U21). */
void fuse_ring_stop(struct fuse_conn *conn, struct list_node *done);
/* Its daemon has died, another may come: requests are lost, the ring is as if never set up. */
void fuse_ring_vacate(struct fuse_conn *conn, struct list_node *done);
/* A request in it is older than that. */
bool fuse_ring_expired(const struct fuse_conn *conn, int64_t born_before_ns);
void fuse_ring_free(struct fuse_ring *ring); /* no lock: nobody else is left */

/* An iovec's address of the daemon's; see ctx_iter_init(). */
static inline void *fuse_ring_address(uint64_t gva, size_t offset)
{
	return (void *)(uintptr_t)(gva + offset);
}
#define FUSE_RING_AT(entry, member)                                                                \
	fuse_ring_address((entry)->header_gva, offsetof(struct fuse_uring_req_header, member))

/* For ring.c: pairs free entries of the queue with waiting requests. */
void fuse_ring_feed(struct fuse_ring_queue *queue);
/* An entry in no list becomes available, or unused when the connection is dead. */
void fuse_ring_entry_free(struct fuse_ring_entry *entry);
/* Its command completes with `res`, and it is unused. */
void fuse_ring_entry_retire(struct fuse_ring_entry *entry, int res);

#endif

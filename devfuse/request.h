/*
 * One request on its way: pending -> sending -> sent -> replying -> finished.
 *
 * conn->lock guards everything. `sending` and `replying` are the moments in which bytes are copied
 * to or from the daemon with the lock given up: whoever else wants the request (abort, a killed
 * waiter) then leaves a mark and lets the copier clean up.
 *
 * Owner: the waiting client until it has seen `finished`; the connection for asynchronous and
 * orphaned ones.
 */
#ifndef FB_DEVFUSE_REQUEST_H
#define FB_DEVFUSE_REQUEST_H

#include "devfuse/conn.h"
#include "sentry/base/err.h"
#include "sentry/base/log.h"

struct fuse_ring_entry;
struct fuse_ring_queue;

enum fuse_request_state {
	REQ_BACKGROUND, /* in conn->background, or that of a ring's queue: its class is full */
	REQ_PENDING,	/* in conn->pending.requests, or those of a ring's queue */
	REQ_SENDING,	/* being copied to the daemon; in no list */
	REQ_SENT,	/* in dev->processing, or of a busy entry of the ring */
	REQ_REPLYING,	/* the answer is being copied; in no list */
	REQ_FINISHED,
};

struct fuse_request {
	struct list_node node;
	struct list_node intr_node; /* in conn->pending.interrupts, else self-linked */
	struct fuse_request *hash_next;
	struct fuse_dev *dev; /* who read it; its answer must come from there (D60) */
	/* Over the ring: whose request it is. A background one counts there while it is active. */
	struct fuse_ring_queue *ring_queue;
	enum fuse_request_state state;
	bool async;	  /* args->done gets the result */
	bool background;  /* counts in num_background */
	bool active;	  /* counts in active_background */
	bool interrupted; /* INTERRUPT to be queued once it has been read */
	bool aborted;	  /* the connection died while bytes were copied */
	bool orphan;	  /* its client was killed; result is undone */
	bool want_wake;	  /* the client waits for the copying to be over */
	ssize_t result;
	int64_t created_ns; /* monotonic */
	pid_t tgid;	    /* of the client; in.pid is its thread */
	struct fuse_in_header in;
	const struct fuse_opcode_row *row;
	struct fuse_args *args;
	struct waitq done;
	/* An orphan's own arguments: its client's are gone. */
	struct fuse_args orphan_args;
	union {
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		};
		struct fuse_lk_in lk;
		uint8_t bytes[288];
	} orphan_buf;
};

/* A request for args, header filled in; from the pool. NULL when out of memory. lock held. */
struct fuse_request *fuse_request_new(struct fuse_conn *conn, const struct op_ctx *ctx,
				      struct fuse_args *args);
void fuse_request_free(struct fuse_conn *conn, struct fuse_request *req); /* lock held */
/* Numbers it, enters it into completions and the pending queue, wakes a reader. lock held. */
void fuse_request_queue(struct fuse_conn *conn, struct fuse_request *req);
/*
 * The result is there. Leaves every list; wakes the client, or adds the request to `done`, whose
 * members the caller hands to fuse_requests_complete() after giving up the lock.
 */
void fuse_request_end(struct fuse_conn *conn, struct fuse_request *req, ssize_t result,
		      struct list_node *done);
/*
 * What is left to do whenever the lock has been given up: delivers the results, and hands out what
 * free entries of the ring were given meanwhile. No lock.
 */
void fuse_requests_complete(struct fuse_conn *conn, struct list_node *done);
void fuse_results_deliver(struct fuse_conn *conn, struct list_node *done); /* only that; no lock */
/* What the client of a request hears that does not fit into the daemon's buffer (D17, U14). */
int fuse_request_too_large(const struct fuse_request *req);
/* The oldest of a list in order of age was born before. */
bool fuse_request_head_expired(struct list_node *list, int64_t born_before_ns);
/* Queues an INTERRUPT for a request that has been read, unless one waits already. lock held. */
void fuse_request_interrupt(struct fuse_conn *conn, struct fuse_request *req);

/* For reports: which processes serve this connection. lock held. */
void fuse_conn_note_server(struct fuse_conn *conn, pid_t tgid);

/* Something was queued: wakes a reader, signals O_ASYNC ones. lock held. */
void fuse_conn_readable(struct fuse_conn *conn);
/* Of a new connection. */
void fuse_conn_init_readers(struct fuse_conn *conn);
/*
 * A thread of the daemon looks for a request; it leaves with one; one that spins between requests has left only now
 * and is soon back. conn->lock held.
 */
void fuse_conn_reader_comes(struct fuse_conn *conn, const struct op_ctx *ctx);
void fuse_conn_reader_goes(struct fuse_conn *conn, const struct op_ctx *ctx);
bool fuse_conn_reader_is_away(const struct fuse_conn *conn);
void fuse_conn_sigio(struct fuse_conn *conn); /* only the signal (D52) */

/* NOTIFY_RESEND: what was read and not answered goes back to the head of the queue, renumbered. */
void fuse_conn_resend(struct fuse_conn *conn);

/* orphan.c: the killed client's request goes on alone. lock held; drops and retakes it. */
void fuse_request_orphan(struct fuse_conn *conn, struct fuse_request *req);
/* The daemon did for an orphan what nobody wants any more: FORGET, RELEASE, unlock. */
void fuse_orphan_undo(struct fuse_conn *conn, struct fuse_request *req);

/* reply.c: one message of the daemon's. Bytes consumed or -errno. */
ssize_t fuse_reply_write(struct fuse_conn *conn, struct fuse_dev *dev, const struct op_ctx *ctx,
			 struct io_iter *from);

/*
 * The same over the ring, for a request that was sent in `entry`, whose command has brought the
 * answer. Ends it, also when the answer is wrong (U13). lock held; given up while bytes are copied.
 */
void fuse_reply_commit(struct fuse_conn *conn, const struct fuse_ring_entry *entry,
		       struct fuse_request *req, struct list_node *done);

/* init.c: the answer to INIT; runs before the gate opens. */
void fuse_init_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result);

/* dev.c */
struct fuse_dev {
	struct ref ref;			  /* holders: the open file, a mount being set up */
	_Atomic(struct fuse_conn *) conn; /* counted; set once */
	bool released;			  /* the file is closed; guarded by the attach lock */
	struct list_node conn_node;	  /* conn->devs; guarded by conn->lock, as the next */
	struct list_node processing;	  /* requests read here and not answered */
	bool async;			  /* O_ASYNC; guarded by conn->lock */
	struct file *file;		  /* whose `private` this is; valid while in conn->devs */
	bool sync_init;			  /* FUSE_DEV_IOC_SYNC_INIT; guarded by the attach lock */
	struct waitq attached;		  /* with sync_init: who waits for the attachment */
};

/* D10, D11: 0 when it is attached; -EPERM, or with sync_init sleeps until it is: -ERESTARTSYS. */
int fuse_dev_wait_attached(struct fuse_dev *dev);
bool fuse_dev_must_wait(struct fuse_dev *dev); /* would that sleep? */
/* -EINVAL once it is attached. */
int fuse_dev_set_sync_init(struct fuse_dev *dev);
long fuse_dev_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);

/* Counters; relaxed. */
void fuse_stats_sent(uint32_t opcode);
void fuse_stats_answered(void);

#endif

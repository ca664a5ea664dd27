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

enum fuse_request_state {
	REQ_BACKGROUND, /* in conn->background: its class is full */
	REQ_PENDING,	/* in conn->pending.requests */
	REQ_SENDING,	/* being copied to the daemon; in no list */
	REQ_SENT,	/* in dev->processing */
	REQ_REPLYING,	/* the answer is being copied; in no list */
	REQ_FINISHED,
};

struct fuse_request {
	struct list_node node;
	struct list_node intr_node; /* in conn->pending.interrupts, else self-linked */
	struct fuse_request *hash_next;
	struct fuse_dev *dev; /* who read it; its answer must come from there (D60) */
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
void fuse_requests_complete(struct fuse_conn *conn, struct list_node *done);
/* Queues an INTERRUPT for a request that has been read, unless one waits already. lock held. */
void fuse_request_interrupt(struct fuse_conn *conn, struct fuse_request *req);

/* Something was queued: wakes a reader, signals O_ASYNC ones. lock held. */
void fuse_conn_readable(struct fuse_conn *conn);
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
/* -EINVAL once it is attached. */
int fuse_dev_set_sync_init(struct fuse_dev *dev);
long fuse_dev_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);

/* Counters; relaxed. */
void fuse_stats_sent(uint32_t opcode);
void fuse_stats_answered(void);

#endif

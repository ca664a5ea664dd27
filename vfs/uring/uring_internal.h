/*
 * The parts of a ring. memory.c knows where the queues lie, submit.c takes entries and completes
 * requests, work.c has the fibers, cancel.c ends requests early, register.c is
 * io_uring_register(2), table.c lists the operations, which live in op_*.c.
 *
 * Locks. `lock` of a ring (sleeping) guards everything about its requests. Wake-up callbacks,
 * timers and drivers cannot take it: they note an event on the request under the wait lock and wake
 * the service fiber (uring_kick()), which does the rest. Files are put only after the lock is given
 * up (uring_unlock()), since the last put may sleep, or be that of the ring itself.
 */
#ifndef FB_VFS_URING_INTERNAL_H
#define FB_VFS_URING_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"
#include "vfs/poll.h"
#include "vfs/uring/abi.h"
#include "vfs/uring/uring.h"
#include "vfs/uring_cmd.h"

#define URING_MAX_ENTRIES 32768u
#define URING_MAX_CQ_ENTRIES (2 * URING_MAX_ENTRIES)
#define URING_MAX_RINGS 1024	 /* of the sandbox: each costs descriptors and a stack */
#define URING_MAX_REQS 65536	 /* under way in one ring */
#define URING_MAX_OVERFLOW 65536 /* completions kept for a full queue */
#define URING_MAX_FILES 32768
#define URING_MAX_BUFFERS 16384
#define URING_MAX_PERSONALITIES 64
#define URING_BUCKETS 256      /* requests by user_data */
#define URING_WORKERS 32       /* fibers of one ring that may block */
#define URING_ALL_WORKERS 1024 /* of all rings, beyond one each */

/* What an operation returns when its result comes later; never a result itself. */
#define URING_KEPT INT32_MIN

/* Flags of a request beyond IOSQE_*. */
enum {
	REQ_FAIL = 1 << 8,	   /* breaks its chain, also with a result >= 0 */
	REQ_DONE = 1 << 9,	   /* on the todo list with its result */
	REQ_SKIP_LINKED = 1 << 10, /* those after it in the chain are cancelled silently */
	REQ_SILENT = 1 << 11,	   /* cancelled so: no completion */
	REQ_MULTISHOT = 1 << 12,
	REQ_NOWAIT = 1 << 13,	/* -EAGAIN is its result */
	REQ_CANCELED = 1 << 14, /* whoever has it has been told */
};

enum uring_state {
	REQ_IDLE,     /* in a chain, on the todo list, or being issued */
	REQ_DEFERRED, /* IOSQE_IO_DRAIN: waits for those before it */
	REQ_POLL,     /* on wait queues */
	REQ_TIMER,
	REQ_WORK, /* on a worker, or waiting for one */
	REQ_CMD,  /* a driver has it */
	REQ_DEAD, /* completed; its memory lasts until the lock is given up */
};

/* What has happened to a request since the service fiber looked; guarded by the wait lock. */
enum { EVENT_POLL = 1, EVENT_TIMER = 2, EVENT_WORK = 4, EVENT_CMD = 8 };

struct uring_req;

/* One operation. Both methods return a result, -errno, or (issue) URING_KEPT. */
struct uring_op {
	const char *name;
	/*
	 * Takes what it needs out of `sqe`, a copy, and copies in what that points to. ring->lock
	 * held. An error is the result of the request.
	 */
	int (*prep)(struct uring_req *req, const struct io_uring_sqe *sqe);
	/*
	 * nowait: under ring->lock, must not wait; -EAGAIN makes the caller wait for the file or
	 * pass it to a worker. Else on a worker, without the lock.
	 */
	int32_t (*issue)(struct uring_req *req, bool nowait);
	/* Frees what prep took; never with a lock held. */
	void (*cleanup)(struct uring_req *req);
	bool needs_file;
	bool blocks;	      /* may wait for somebody, whatever the file: to a worker at once */
	unsigned poll_events; /* after -EAGAIN: wait for these; 0 = a worker */
	bool ioprio;	      /* looks at sqe->ioprio itself; else it must be 0 */
};

/* Where a request waits for a file. Most files have one queue, terminals two. */
struct uring_arm {
	struct poll_table table;
	struct uring_req *req;
	struct waitq_entry entries[4];
	unsigned nr;
	bool failed; /* the file has more queues than that */
};

struct uring_rw {
	struct iovec *iov; /* owned; NULL: one */
	struct iovec one;
	size_t nr, total;
	int64_t pos;
	int rwf;
	bool write;
};

struct uring_poll {
	unsigned events;
};

struct uring_poll_update {
	uint64_t old_user_data, new_user_data;
	unsigned events, flags;
};

struct uring_timeout {
	struct list_node node; /* in ring->timeouts */
	int64_t deadline_ns, interval_ns;
	unsigned flags, target; /* target: completions, if counts */
	unsigned repeats;	/* multishot: still to come; 0 = any number */
	bool counts;
	struct uring_req *head; /* LINK_TIMEOUT: whom it limits; NULL once that is done */
};

struct uring_timeout_remove {
	uint64_t user_data;
	int64_t deadline_ns;
	unsigned flags;
};

struct uring_cancel {
	uint64_t user_data;
	struct file *file; /* counted */
	unsigned flags;
	int fd;
	uint8_t opcode;
};

struct uring_path {
	char *name; /* owned */
	int dirfd;
	uint64_t flags, mode, resolve;
	unsigned mask;
	uint64_t out_gva;
};

struct uring_sync {
	int64_t start, end;
	bool datasync;
};

struct uring_net {
	struct iovec iov;
	unsigned flags;
};

struct uring_req {
	struct uring *ring;	  /* counted */
	struct uring_task *owner; /* outlives the request; NULL once that is an orphan */
	struct op_ctx ctx;	  /* of the submitter; cred, fs and files counted */
	const struct uring_op *op;
	uint64_t user_data;
	struct file *file; /* counted */
	int fd;
	uint8_t opcode;
	unsigned flags; /* IOSQE_* | REQ_* */
	int32_t res;
	uint16_t buf_index;
	enum uring_state state;
	bool cancel;	 /* guarded by owner->lock too: the owner ends, issue it no more */
	bool poll_again; /* woken while its worker asked the file */
	bool cmd_early;	 /* done before its worker had said that it was kept */
	unsigned retries;
	struct uring_req *link;	     /* next of the chain; owned */
	struct uring_req *timeout;   /* the LINK_TIMEOUT that limits it */
	struct list_node node;	     /* in ring->reqs */
	struct list_node data_node;  /* in the ring's bucket of its user_data */
	struct list_node owner_node; /* guarded by owner->lock */
	struct list_node todo;	     /* in ring->todo, ->deferred or ->dead */
	/* Guarded by the wait lock: */
	struct list_node ready; /* in ring->ready */
	struct list_node work;	/* in ring->works */
	unsigned events;
	struct waiter *worker;
	int32_t work_res, cmd_res;
	struct uring_arm *arm;
	struct fb_timer timer;
	union {
		struct uring_rw rw;
		struct uring_poll poll;
		struct uring_poll_update poll_update;
		struct uring_timeout timer_op;
		struct uring_timeout_remove timeout_remove;
		struct uring_cancel cancel_op;
		struct uring_path path;
		struct uring_sync sync;
		struct uring_net net;
		uint32_t close_slot; /* of the registered files, + 1; 0 = a descriptor */
		struct uring_cmd cmd;
	};
};

struct uring_overflow {
	struct list_node node;
	uint64_t user_data, extra[2];
	int32_t res;
	uint32_t flags;
};

struct uring_task {
	uint64_t id;	      /* never used again */
	struct fb_mutex lock; /* RANK_LEAF: guards reqs */
	struct list_node reqs;
	struct waitq idle; /* a request is gone */
};

/* The header of the memory, laid out as struct io_rings in the kernel. */
struct uring_shared {
	uint32_t sq_head, pad0[15], sq_tail, pad1[15];
	uint32_t cq_head, pad2[15], cq_tail, pad3[15];
	uint32_t sq_ring_mask, cq_ring_mask, sq_ring_entries, cq_ring_entries;
	uint32_t sq_dropped, sq_flags, cq_flags, cq_overflow;
	uint32_t pad4[8];
	/* completions, then the array of submission indices */
};

struct uring {
	struct ref ref;
	/* Constant. */
	unsigned flags; /* IORING_SETUP_* */
	uint32_t sq_entries, cq_entries;
	int hostfd;
	size_t rings_size, sqes_size;
	size_t sqe_shift, cqe_shift;
	struct uring_shared *shared; /* mapped; the guest writes here */
	char *cqes, *sqes;
	uint32_t *sq_array; /* NULL with IORING_SETUP_NO_SQARRAY */

	struct sleep_mutex lock; /* guards down to the next such comment */
	uint32_t sq_head;
	uint32_t sq_dropped, cq_overflow;
	atomic_uint cq_tail; /* read without the lock by who waits */
	struct list_node overflow;
	atomic_uint nr_overflow;
	atomic_bool dropped; /* -EBADR is due */
	unsigned posted;     /* completions since the lock was taken */
	bool posted_async;   /* some of them not by their submitter */
	bool running;	     /* the todo list is being worked on */
	bool disabled, dying;
	uint64_t submitter;    /* IORING_SETUP_SINGLE_ISSUER: its id; 0 = anybody */
	struct list_node reqs; /* all, in the order of submission, as the next: */
	struct list_node by_data[URING_BUCKETS];
	unsigned nr_reqs;
	struct list_node todo; /* to be issued, or completed */
	struct list_node dead; /* to be freed without the lock */
	struct list_node deferred;
	unsigned nr_deferred; /* with those linked to them */
	bool drain_active, drain_next;
	bool drain_disabled; /* some completions are never posted: nothing to count */
	struct uring_req *link_head, *link_last; /* the chain that is being submitted */
	struct list_node timeouts;
	uint32_t timeouts_seen; /* completions when the list was looked at last */
	/* Completions by timeouts: they count for no other timeout, and end every wait. */
	atomic_uint cq_timeouts; /* changed under the lock, read without */
	struct file **files;	 /* registered; each counted or NULL */
	unsigned nr_files;
	struct iovec *buffers;
	unsigned nr_buffers;
	struct file *eventfd; /* counted */
	bool eventfd_async;
	const struct cred *personalities[URING_MAX_PERSONALITIES]; /* id - 1; counted */

	/* Guarded by the wait lock. */
	struct list_node ready; /* requests with events */
	struct list_node works; /* requests that wait for a worker */
	unsigned nr_workers;
	struct waitq service;	  /* wakes the service fiber */
	struct waitq completions; /* who waits for completions, pollers of the ring */
};

extern struct uring_hooks uring_hooks;

/* memory.c */
int uring_memory_new(struct uring *ring);
void uring_memory_free(struct uring *ring);
void uring_memory_offsets(const struct uring *ring, struct io_uring_params *params);
/* Submissions that the guest has put there and that were not taken, at most the queue's size. */
uint32_t uring_sq_ready(const struct uring *ring);
/* Copies the next entry out; false: it does not exist, and has been counted as dropped. */
bool uring_sq_take(struct uring *ring, struct io_uring_sqe ret_sqe[2]);
void uring_sq_commit(struct uring *ring);
/* Completions that the guest has not taken; it may lie. */
uint32_t uring_cq_ready(const struct uring *ring);
bool uring_cq_empty(const struct uring *ring);
/*
 * Appends a completion, to the queue or, if that is full, to the overflow list. False with
 * `keep` unset: there was no room, nothing was done.
 */
bool uring_cq_post(struct uring *ring, const struct uring_overflow *cqe, bool keep);
/* Moves what fits from the overflow list into the queue. */
void uring_cq_flush(struct uring *ring);

/* file.c */
struct uring *uring_get(struct uring *ring);
void uring_put(struct uring *ring);
struct uring *uring_of(const struct file *file);
int uring_lock(struct uring *ring); /* 0 or -ERESTARTSYS: the caller is killed */
void uring_lock_uninterruptible(struct uring *ring);
/* Tells who waits, and frees requests and puts files that were left for this moment. */
void uring_unlock(struct uring *ring);

/* submit.c; ring->lock held in all of them */
int uring_submit_locked(struct uring *ring, const struct op_ctx *ctx, struct uring_task *task,
			uint32_t nr);
/* The requests with this user_data, and some others. */
struct list_node *uring_bucket(struct uring *ring, uint64_t user_data);
void uring_todo(struct uring_req *req);
void uring_todo_done(struct uring_req *req, int32_t res);
void uring_run(struct uring *ring);
/* A completion that is not the request's last. False: no room, make it the last one. */
bool uring_post_more(struct uring_req *req, int32_t res);
/* What an issue returned: complete, wait or pass on. */
void uring_issued(struct uring_req *req, int32_t res, bool nowait);
/* The file that a request names, by index if `fixed`. With a reference, or NULL. */
struct file *uring_file(const struct uring_req *req, int fd, bool fixed);
/*
 * The request and those linked to it stay when their task ends: a timer runs on, a file is waited
 * for. They know nothing of the task any more, and what would need it is cancelled (`cancel`).
 */
void uring_orphan(struct uring_req *req);
/* Drops all that a dead request holds, its memory too; no lock held. */
void uring_req_free(struct uring_req *req);

/* work.c */
void uring_kick_locked(struct uring_req *req, unsigned event); /* wait lock held */
void uring_kick(struct uring_req *req, unsigned event);
void uring_service_start(struct uring *ring);
void uring_service_wake(struct uring *ring);
void uring_work(struct uring_req *req); /* ring->lock held */
/* True: no worker has begun it, and none will; false: it has been told to end. */
bool uring_work_cancel(struct uring_req *req);
/* Queues it on the file's wait queues, if it is not yet, and asks the file. */
int uring_arm(struct uring_req *req, unsigned events, unsigned *ret_mask);
void uring_disarm(struct uring_req *req);

/* cancel.c; ring->lock held */
/* 0: it will complete with -ECANCELED; -EALREADY: it runs; -ENOENT: cannot be cancelled. */
int uring_cancel_req(struct uring_req *req);
/* All of one task, or (NULL) all. */
void uring_cancel_all(struct uring *ring, const struct uring_task *owner);

/* op_timeout.c; ring->lock held */
void uring_timeout_arm(struct uring_req *req);
void uring_timeout_disarm(struct uring_req *req);
void uring_timeout_fired(struct uring_req *req);
/* Completes the timeouts whose number of completions has come. */
void uring_timeouts_flush(struct uring *ring);

/* op_poll.c; ring->lock held: its file has woken it, or its worker has asked */
void uring_poll_event(struct uring_req *req);
void uring_poll_answer(struct uring_req *req);

/* register.c */
void uring_unregister_all(struct uring *ring); /* no lock held: nobody uses the ring any more */

/* table.c */
const struct uring_op *uring_op(unsigned opcode); /* NULL: there is none */
extern const struct uring_op uring_ops[IORING_OP_LAST];

/* The operations: prep and issue of each, for the table. */
#define URING_OP(name)                                                                             \
	int uring_##name##_prep(struct uring_req *req, const struct io_uring_sqe *sqe);            \
	int32_t uring_##name(struct uring_req *req, bool nowait)
URING_OP(nop);
URING_OP(rw);
URING_OP(rw_fixed);
URING_OP(poll_add);
URING_OP(poll_remove);
URING_OP(timeout);
URING_OP(timeout_remove);
URING_OP(link_timeout);
URING_OP(async_cancel);
URING_OP(fsync);
URING_OP(openat);
URING_OP(openat2);
URING_OP(close);
URING_OP(statx);
URING_OP(send);
URING_OP(recv);
URING_OP(cmd);
int uring_rwv_prep(struct uring_req *req, const struct io_uring_sqe *sqe);
void uring_rw_cleanup(struct uring_req *req);
void uring_path_cleanup(struct uring_req *req);
void uring_cancel_cleanup(struct uring_req *req);

#endif

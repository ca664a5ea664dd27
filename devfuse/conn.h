/*
 * A FUSE connection: the road between one mounted file system and its daemon.
 *
 * fusefs calls down with requests (call: wait for the answer; send: a callback runs with it;
 * forget: no answer); the daemon takes them with read(2) of /dev/fuse and answers with write(2).
 * devfuse calls up through struct fuse_conn_ops and knows neither inodes nor names.
 *
 * Life: _new by mount, INIT queued, `initialized` opened by the daemon's INIT reply, abort by
 * umount, by the daemon's last close or by force, freed with the last reference. One that is to
 * be kept survives its daemon's last close; see keep.h.
 *
 * Holders of a reference: the superblock, each attached device descriptor, each orphaned request.
 */
#ifndef FB_DEVFUSE_CONN_H
#define FB_DEVFUSE_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devfuse/opcode.h"
#include "devfuse/proto.h"
#include "devfuse/queue.h"
#include "sentry/base/idle.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"

struct cred;
struct file;
struct fuse_args;
struct fuse_conn;
struct fuse_dev;
struct fuse_request;
struct fuse_ring;
struct io_iter;
struct op_ctx;
struct strbuf;

struct fuse_in_arg {
	const void *data;
	size_t size;
};

struct fuse_out_arg {
	void *data; /* NULL: the bytes are checked for length and dropped */
	size_t size;
};

#define FUSE_ARGS_IN   4
#define FUSE_ARGS_OUT  2
#define FUSE_ARGS_PINS 3

/* A process that has read requests of a connection. */
#define FUSE_SERVERS 8
struct fuse_server {
	pid_t tgid;
};

/* One request as its sender sees it. Zero it, fill in what applies. */
struct fuse_args {
	uint32_t opcode;
	uint64_t nodeid;
	unsigned nr_in, nr_out;
	struct fuse_in_arg in[FUSE_ARGS_IN];
	/* Sizes at the newest minor; devfuse lowers them for older daemons. A reply of variable
	 * length sets the size of the last one. */
	struct fuse_out_arg out[FUSE_ARGS_OUT];
	bool out_fixed; /* the last out argument has one size only, whatever the opcode's row says
			 */
	bool nocreds;	/* uid = gid = 0: RELEASE, page fills by nobody (H04) */
	bool force;	/* not stopped by the INIT gate or the background limit, never dequeued */
	/*
	 * Objects of fusefs that the daemon works on. When the waiting client is killed the
	 * request outlives it, and these are held until the daemon has answered: a RELEASE or
	 * FORGET must not overtake (F60). Only handed to fuse_conn_ops.pin and .unpin.
	 */
	void *pins[FUSE_ARGS_PINS]; /* inodes */
	void *pin_files[2];	    /* open files */
	/* Where in in[] their nodeid and handle stand, for another daemon has others; NULL = not. */
	uint64_t *pin_at[FUSE_ARGS_PINS], *pin_file_at[2];
	unsigned incarnation; /* of the daemon whose nodeids and handles these are; see keep.h */
	/* A daemon has read it and died: the next one is told so, if it knows what that means. */
	bool resend;
	uint64_t unique; /* NOTIFY_REPLY: the number that the daemon chose; resend: the old one */
	uint16_t ext_size;	    /* bytes of the last in argument that are extensions */
	uint32_t open_flags;	    /* OPEN, CREATE, OPENDIR: O_* for the RELEASE of an orphan */
	/*
	 * fuse_conn_send only: runs exactly once, with no lock held, with what fuse_conn_call
	 * would have returned. May sleep on locks but not for the daemon. args is the callee's.
	 */
	void (*done)(struct fuse_conn *conn, struct fuse_args *args, ssize_t result);
	void *owner; /* free for `done` */
	/* fuse_send_async(): its sender's `done` */
	void (*then)(struct fuse_conn *conn, struct fuse_args *args, ssize_t result);
};

#define EDAEMONDIED 520 /* never leaves fusefs: ask the next daemon */

/* What devfuse asks of the file system. Called with no lock held. */
struct fuse_conn_ops {
	/* INIT was accepted: limits and flags are final. Runs before any waiting request. */
	void (*initialized)(struct fuse_conn *conn);
	/*
	 * A message of the daemon's own, its header consumed; `len` bytes are left in `from`.
	 * 0 or -errno, handed to the daemon's write.
	 */
	int (*notify)(struct fuse_conn *conn, const struct op_ctx *ctx, unsigned code,
		      struct io_iter *from, size_t len);
	/* Takes (conn->lock held, must not sleep) and drops references to args->pins of an orphan.
	 */
	void (*pin)(struct fuse_conn *conn, struct fuse_args *args);
	void (*unpin)(struct fuse_conn *conn, struct fuse_args *args);
	/* The connection has died, or has a new daemon: wake whoever polls files of it. */
	void (*poll_again)(struct fuse_conn *conn);
	/* A kept connection has lost its daemon. False: no other could take it over any more. */
	bool (*can_wait)(struct fuse_conn *conn);
	/* Drops the names whose time is over and that nobody uses. May sleep. NULL: has no names. */
	void (*expire)(struct fuse_conn *conn);
};

/* Where requests wait that come before the INIT reply. */
struct fuse_gate {
	atomic_bool open; /* written under conn->lock; closed again only by a daemon's death */
	struct waitq waiters;
};

/* Numbers of connections without a mount; no anonymous device has them. */
#define FUSE_ID_CUSE (1u << 20)

struct fuse_conn {
	struct ref ref;
	struct fb_mutex lock;		 /* RANK_CONN: guards what names no other lock */
	uint32_t id; /* device number of the mount, or from FUSE_ID_CUSE on; constant */
	const struct fuse_conn_ops *ops; /* constant */
	void *owner;			 /* the superblock; NULL once it is gone */
	struct list_node registry_node;	 /* in the list of registry.c */
	uint32_t user_id, group_id;	 /* of the mount: whose fusectl's files are; constant */
	char device[64];		 /* CUSE: its name once it has one */

	struct fuse_gate initialized;	     /* requests issued before the INIT reply wait here */
	struct fuse_queue pending;	     /* not yet read by the daemon */
	struct fuse_completions completions; /* unique -> request, prepared and not answered */
	struct waitq waiters;		     /* who waits for the device to become readable */
	struct idle_work wake_later;	     /* wakes so many of them: */
	unsigned wakes_owed;
	pid_t away;			     /* thread that spins between requests and has one, 0: none, */
	int64_t away_ns;		     /* and since when */
	struct waitq full;		     /* who waits for room in the background class */

	atomic_bool connected; /* false after abort, for ever; written under lock */
	bool keep;		 /* outlives its daemon */
	atomic_bool vacant;	 /* kept: no daemon has answered INIT since the last one died */
	atomic_uint incarnation; /* daemons that have died; the last two written under lock */
	bool aborted;	       /* by fusectl: device reads say ECONNABORTED if negotiated */
	bool init_by_admin;    /* who answered INIT has CAP_SYS_ADMIN: the limits of users are not his */
	bool conn_error;       /* INIT was refused: requests end with ECONNREFUSED */
	bool no_interrupt;     /* the daemon answered an INTERRUPT with ENOSYS */
	uint64_t next_unique;
	struct list_node background; /* waiting members of the background class */
	unsigned num_background;     /* in the class, waiting or not */
	unsigned active_background;  /* handed to the pending queue, not answered */
	size_t nr_waiting;	     /* fusectl's "waiting" */
	struct list_node devs;	     /* fuse_dev.conn_node */
	unsigned nr_devs;
	struct list_node pool; /* unused requests */
	unsigned pool_count;
	atomic_ullong enosys; /* bit N: opcode N was answered with a sticky ENOSYS */

	/* Timeouts; see timeout.h. */
	int64_t request_timeout_ns, client_timeout_ns; /* 0 = none; constant once in use */
	struct fb_timer timeout_timer;

	struct fuse_server servers[FUSE_SERVERS]; /* the last ones, newest first */
	unsigned nr_servers;
	unsigned nr_reading;   /* threads asleep in read of the device */
	bool warned_self;      /* that a server waits for its own mount */
	unsigned nr_async;     /* descriptors in devs with O_ASYNC */
	bool sigio_due;	       /* a deferred job is about to signal them */
	bool init_sync;	       /* the mounter waits for INIT, and his are the privileges */

	/* Over io_uring, see ring.h. The pointer is written once, under lock. */
	_Atomic(struct fuse_ring *) ring;
	bool ring_promised; /* by the daemon's INIT, until a REGISTER failed */

	struct list_node backings; /* fuse_backing.node */
	unsigned nr_backings;
	int32_t next_backing;

	/* Result of INIT; constant once `initialized` is open. */
	_Atomic uint64_t flags;	    /* FUSE_* INIT flags in force */
	uint32_t minor;	    /* the daemon's, not clamped */
	uint32_t max_write; /* bytes; 0 before INIT */
	uint32_t max_pages;
	uint32_t max_pages_limit; /* fs.fuse.max_pages_limit when the connection was made */
	uint32_t max_readahead; /* bytes */
	uint32_t time_gran_ns;
	uint32_t max_stack_depth; /* with PASSTHROUGH: of the superblock; backing files are below it */
	unsigned max_background, congestion_threshold; /* guarded by lock */
};

/* NULL when out of memory. Count 1. */
struct fuse_conn *fuse_conn_new(uint32_t id, const struct fuse_conn_ops *ops, void *owner);
struct fuse_conn *fuse_conn_get(struct fuse_conn *conn);
void fuse_conn_put(struct fuse_conn *conn);

static inline bool fuse_conn_has(const struct fuse_conn *conn, uint64_t flag)
{
	return (atomic_load_explicit(&conn->flags, memory_order_relaxed) & flag) != 0;
}

/*
 * Sends one request to the daemon and sleeps until it is answered.
 *
 * ctx     whose ids the header carries; NULL = nobody's (uid = gid = pid = 0)
 * args    in[] borrowed until return; out[] filled on success, unspecified on error
 * Return  bytes in the last out argument if the answer has variable length, else 0; or
 *         -ENOTCONN      the connection is dead
 *         -ECONNREFUSED  the daemon's INIT was refused
 *         -ECONNABORTED  the connection died while the request was under way
 *         -ETIMEDOUT     no answer within fuse_params.client_timeout; the request is an orphan
 *         -EINTR         fatal signal: a request that was not read is dequeued; one that was
 *                        becomes an orphan, its late answer is swallowed and undone
 *         -EIO           the answer was malformed
 *         -EDAEMONDIED   kept connections: the daemon is another than args->incarnation says
 *         other          the daemon's own error, range-checked, or the sticky meaning of ENOSYS
 * Locks   takes conn->lock; the caller holds no ranked mutex
 * Rule    matrix D80-D86; any signal makes an INTERRUPT, only death ends the wait. Linux leaves a
 *         killed client waiting for a daemon that has read the request; we do not.
 */
ssize_t fuse_conn_call(struct fuse_conn *conn, const struct op_ctx *ctx, struct fuse_args *args);

/*
 * Sends without waiting for the answer: args->done gets it. Background class (D87): sleeps
 * killably while that is full, unless args->force.
 * Return  0, then done runs later (or has run); -errno, then it never does.
 */
int fuse_conn_send(struct fuse_conn *conn, const struct op_ctx *ctx, struct fuse_args *args);

/* D87: so much is under way in the background that what can be left out is left out. */
bool fuse_conn_congested(struct fuse_conn *conn);

/*
 * Tells the daemon that nlookup references are gone, if it is still that one which has counted
 * them. Takes `forget`; never sleeps, never fails.
 */
void fuse_conn_forget(struct fuse_conn *conn, struct fuse_forget *forget, uint64_t nodeid,
		      uint64_t nlookup, unsigned incarnation);

/* Queues INIT; a message of the mount's, sent as its first. 0 or -ENOMEM. */
int fuse_conn_send_init(struct fuse_conn *conn);

/*
 * For a mount that is to succeed only with a daemon (FUSE_DEV_IOC_SYNC_INIT, matrix I09): sleeps
 * killably until INIT was answered. 0, -ENOTCONN when it was refused or the connection died, -EINTR
 * when the mounter was killed, which takes the connection down.
 */
int fuse_conn_wait_init(struct fuse_conn *conn);

/*
 * The end: everything under way ends with ECONNABORTED, everything later with ENOTCONN.
 * by_control: through fusectl (D14). Idempotent.
 */
void fuse_conn_abort(struct fuse_conn *conn, bool by_control);
/* fusectl: more room lets waiting senders on. */
void fuse_conn_set_max_background(struct fuse_conn *conn, unsigned max_background);
/* The superblock is going: abort, then no upcall reaches `owner` any more. Drops its reference. */
void fuse_conn_shutdown(struct fuse_conn *conn);

/* --stats: requests per opcode and round trips. */
void devfuse_show_stats(struct strbuf *out);

#endif

/*
 * AF_UNIX sockets, private to unix*.c (cf. net/unix/af_unix.c).
 *
 * A message is a buffer in the receiver's queue; it is charged to the sender until the receiver
 * has taken all of it. Listening sockets queue "embryos": the other ends of connections that were
 * not accepted yet.
 *
 * Lifetime: a unix_sock is counted by its file (or the embryo's queue entry), by its peer's
 * pointer, by the messages it sent, and by callers. Peers of stream and seqpacket sockets are set
 * once and dropped at release, so a call on a connected socket may use the peer without a
 * reference of its own; of dgram sockets the peer may change: unix_peer_get().
 *
 * Locks: sock.lock (RANK_SOCK) guards the queue, state and peer; two of them by
 * fb_mutex_lock_pair(). Names have a lock of their own (unix_bind.c), files in flight a sleeping
 * one (unix_scm.c) that is taken with no socket locked.
 */
#ifndef FB_VFS_FILE_UNIX_INTERNAL_H
#define FB_VFS_FILE_UNIX_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "sentry/base/list.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/file/socket.h"
#include "vfs/mount.h"

#define UNIX_PATH_OFFSET  offsetof(struct sockaddr_un, sun_path)
#define UNIX_DGRAM_QLEN	  10u	 /* net.unix.max_dgram_qlen */
#define UNIX_SKB_OVERHEAD 768u	 /* what Linux charges for a small message beyond its bytes */
#define UNIX_STREAM_CHUNK 65536u /* bytes of one stream buffer */

#define POLL_READABLE	(POLLIN | POLLRDNORM)
#define POLL_WRITABLE	(POLLOUT | POLLWRNORM | POLLWRBAND)
#define POLL_EVERYTHING (POLL_READABLE | POLL_WRITABLE | POLLRDHUP | POLLHUP | POLLERR)

enum unix_state { UNIX_CLOSE, UNIX_LISTEN, UNIX_ESTABLISHED };

/* Constant once a socket carries it; shared by listener and accepted sockets. */
struct unix_addr {
	struct ref ref;
	size_t len; /* of name, as getsockname shows it */
	struct sockaddr_un name;
};

/* Files of one SCM_RIGHTS message. */
struct unix_fds {
	struct list_node node; /* on its way to be dropped: unix_scm.c */
	struct file **files;   /* malloc'ed array of counted files */
	unsigned nr;
};

struct unix_skb {
	struct list_node node;
	struct unix_sock *sender; /* counted, charged; its address is the message's name */
	struct unix_sock *embryo; /* in a listener's queue: counted; then there is no data */
	struct unix_fds *fds;	  /* owned; NULL = none */
	struct ucred cred;
	size_t charge, len, off; /* off: bytes taken already (stream) */
	unsigned char data[];
};

struct unix_sock {
	struct socket sock;
	struct ref ref;
	_Atomic(struct unix_addr *) addr; /* counted; set once, under bind_lock */
	struct sleep_mutex bind_lock;
	struct path path;		  /* where a name in the tree stands; bind_lock */
	struct unix_sock *abstract_next;  /* guarded by the name lock */
	_Atomic(struct unix_sock *) peer; /* counted; changed under sock.lock */
	_Atomic(enum unix_state) state;	  /* changed under sock.lock */
	bool dead;			  /* released */
	struct list_node rx;		  /* unix_skb.node, oldest first */
	atomic_size_t rx_count;		  /* messages in rx; changed under sock.lock */
	size_t rx_bytes;		  /* in rx and not taken */
	unsigned backlog;
	struct waitq peer_wait;	       /* who waits for room in rx: connect, dgram send */
	struct waitq_entry peer_entry; /* in the peer's peer_wait, for our pollers; sock.lock */
	atomic_size_t wmem;	       /* charged for what we sent */
	pid_t peer_pid;		       /* SO_PEERCRED; sock.lock */
	const struct cred *peer_cred;  /* counted; NULL = none */

	/* Guarded by the lock of files in flight. */
	struct list_node inflight_node;
	unsigned inflight; /* how often our file is in some queue */
	unsigned gc_count;
	bool gc_candidate;
};

static inline struct unix_sock *unix_of(struct socket *sock)
{
	return container_of(sock, struct unix_sock, sock);
}

/* unix.c */
int unix_sock_new(int type, struct unix_sock **ret_sk);
struct unix_sock *unix_get(struct unix_sock *sk);
void unix_put(struct unix_sock *sk);		       /* accepts NULL */
struct unix_sock *unix_peer_get(struct unix_sock *sk); /* NULL = none */
bool unix_writable(const struct unix_sock *sk);
/* Whom SO_PEERCRED shall show; the socket is not shared yet or locked. */
void unix_set_peercred(struct unix_sock *sk, pid_t pid, const struct cred *cred);
/* What closing does; takes the caller's reference. May sleep. */
void unix_release_sock(struct unix_sock *sk, bool embryo);

/* unix_bind.c */
int unix_bind(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
	      size_t len);
int unix_autobind(struct unix_sock *sk); /* 0 also when it has a name */
int unix_getname(const struct op_ctx *ctx, struct socket *sock, bool peer,
		 struct sockaddr_storage *ret_addr, size_t *ret_len);
/* Who is bound to this name; returns a reference. -ECONNREFUSED, -EPROTOTYPE, -ENOENT, ... */
int unix_find(const struct op_ctx *ctx, const struct sockaddr_storage *addr, size_t len, int type,
	      struct unix_sock **ret_sk);
void unix_unbind(struct unix_sock *sk);
void unix_addr_put(struct unix_addr *addr);
void unix_copy_addr(const struct unix_sock *sk, struct sockaddr_storage *ret_addr, size_t *ret_len);

/* unix_connect.c */
int unix_connect(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
		 size_t len, bool nonblock);
int unix_listen(const struct op_ctx *ctx, struct socket *sock, int backlog);
int unix_accept(const struct op_ctx *ctx, struct socket *sock, bool nonblock,
		struct socket **ret_sock);
int unix_pair(const struct op_ctx *ctx, struct socket *a, struct socket *b);
/* A dgram socket lost `peer` (cf. unix_dgram_disconnected()); no lock is held. */
void unix_dgram_disconnected(struct unix_sock *sk, struct unix_sock *peer);

/* unix_skb.c */
/*
 * A buffer with `len` bytes from the message, charged to sk; waits for room in the send buffer.
 * -EAGAIN, -EPIPE (shut down), -EFAULT, -ENOMEM, -ERESTARTSYS, -EINTR, or the pending error.
 */
int unix_skb_new(const struct op_ctx *ctx, struct unix_sock *sk, struct sock_msg *msg, size_t len,
		 struct unix_skb **ret_skb);
void unix_skb_free(struct unix_skb *skb); /* no lock held; may sleep when it carries files */
/* Frees a list of them. */
void unix_skb_purge(struct list_node *list);
/* The receiver's lock is held. */
void unix_skb_queue(struct unix_sock *receiver, struct unix_skb *skb);
void unix_skb_unlink(struct unix_sock *receiver, struct unix_skb *skb);
/* Credentials and (a copy of, or the) files for the receiver. No lock is held for _files. */
void unix_skb_show_cred(const struct unix_sock *sk, const struct unix_skb *skb, struct scm *scm);

/* unix_stream.c, unix_dgram.c */
ssize_t unix_stream_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t unix_stream_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t unix_dgram_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t unix_dgram_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t unix_seqpacket_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t unix_seqpacket_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);

/* unix_scm.c */
extern const struct socket_ops unix_stream_ops, unix_dgram_ops, unix_seqpacket_ops;
/* Puts references to the message's files in flight. -ETOOMANYREFS, -ENOMEM. */
int unix_fds_new(const struct scm *scm, struct unix_fds **ret_fds);
/* Hands the files over to the receiver. May sleep for a lock. */
void unix_fds_take(struct unix_fds *fds, struct scm *scm);
/* Gives the receiver references of its own (MSG_PEEK). False: out of memory. */
bool unix_fds_copy(const struct unix_fds *fds, struct scm *scm);
void unix_fds_free(struct unix_fds *fds); /* accepts NULL; may sleep */
/* Finds sockets that only sockets like them hold, and drops what is queued in them. May sleep. */
void unix_gc(void);

#endif

/*
 * Sockets, whatever their family: what syscalls/ calls after copying in and before copying out.
 * Addresses, options and control messages are in the sentry's memory here.
 *
 * A struct socket is embedded in the family's own and owned by its file (file->private); it lives
 * until op->release of the file, or longer if the family counts it itself.
 *
 * Locks: families use RANK_SOCK. The fields below are guarded by `lock` unless they say otherwise.
 */
#ifndef FB_VFS_FILE_SOCKET_H
#define FB_VFS_FILE_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "sentry/base/lock.h"
#include "sentry/base/wait.h"

struct cred;
struct file;
struct io_iter;
struct op_ctx;
struct poll_table;
struct socket;

#define SCM_MAX_FILES 253 /* SCM_MAX_FD of the kernel: more is -EINVAL */

/* Control messages of a message, in either direction. */
struct scm {
	struct file **files; /* malloc'ed; each counted; NULL when nr_files == 0 */
	unsigned nr_files;
	bool has_cred; /* SCM_CREDENTIALS: given by the sender, or to be shown to the receiver */
	struct ucred cred;
};
/* Drops the files. The struct is empty afterwards. May sleep. */
void scm_release(struct scm *scm);
/* -EPERM unless the caller may claim these ids (cf. scm_check_creds()). */
int scm_check_cred(const struct op_ctx *ctx, const struct ucred *cred);

/* One sendmsg(2) or recvmsg(2). */
struct sock_msg {
	struct io_iter *iter;
	unsigned flags;	    /* MSG_* of the call; socket_sendmsg adds MSG_DONTWAIT for O_NONBLOCK */
	unsigned ret_flags; /* receive: MSG_TRUNC, MSG_CTRUNC, ... for msg_flags */
	struct sockaddr_storage name;
	size_t name_len; /* send: 0 = none. receive: set, 0 = none */
	struct scm scm;	 /* send: borrowed from the caller; receive: owned by the caller */
};

struct socket_ops {
	/* len is 2 at least and addr->ss_family set; everything else is the family's to check. */
	int (*bind)(const struct op_ctx *ctx, struct socket *sock,
		    const struct sockaddr_storage *addr, size_t len);
	int (*connect)(const struct op_ctx *ctx, struct socket *sock,
		       const struct sockaddr_storage *addr, size_t len, bool nonblock);
	int (*listen)(const struct op_ctx *ctx, struct socket *sock, int backlog);
	/* A connected socket without a file. */
	int (*accept)(const struct op_ctx *ctx, struct socket *sock, bool nonblock,
		      struct socket **ret_sock);
	/* Connects two fresh sockets with each other. */
	int (*pair)(const struct op_ctx *ctx, struct socket *a, struct socket *b);
	int (*getname)(const struct op_ctx *ctx, struct socket *sock, bool peer,
		       struct sockaddr_storage *ret_addr, size_t *ret_len);
	/* Bytes or -errno. -EPIPE with its signal is the family's duty. */
	ssize_t (*sendmsg)(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
	ssize_t (*recvmsg)(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
	int (*shutdown)(const struct op_ctx *ctx, struct socket *sock, int how);
	unsigned (*poll)(const struct op_ctx *ctx, struct socket *sock, struct poll_table *table);
	/* SIOCINQ and friends. NULL: -ENOTTY */
	long (*ioctl)(const struct op_ctx *ctx, struct socket *sock, unsigned cmd, uint64_t arg);
	/* What socket.c does not know itself; -ENOPROTOOPT. */
	int (*setsockopt)(const struct op_ctx *ctx, struct socket *sock, int level, int name,
			  const void *value, size_t len);
	/* *len: room on entry, length of the value on return. */
	int (*getsockopt)(const struct op_ctx *ctx, struct socket *sock, int level, int name,
			  void *value, size_t *len);
	/* The file is gone (or never was): drop the socket. May sleep. */
	void (*release)(const struct op_ctx *ctx, struct socket *sock);
};

struct socket {
	const struct socket_ops *ops; /* constant, as the next three */
	int domain, type, protocol;
	struct file *file;	      /* its file, not counted; NULL before; constant once set */
	struct fb_mutex lock;	      /* RANK_SOCK */
	struct waitq wq;	      /* everything: POLLIN, POLLOUT, POLLHUP, ... */
	atomic_int err;		      /* pending SO_ERROR, positive */
	atomic_uint shutdown;	      /* SOCKET_SHUT_*; changed under lock */
	atomic_size_t sndbuf, rcvbuf; /* bytes, the doubled value that getsockopt shows */
	_Atomic int64_t rcvtimeo_ns, sndtimeo_ns; /* 0 = none */
	atomic_uint opts;			  /* SOCKET_* below */
};

enum { SOCKET_SHUT_RCV = 1, SOCKET_SHUT_SND = 2, SOCKET_SHUT_BOTH = 3 };
enum {
	SOCKET_PASSCRED = 1 << 0,
	SOCKET_PASSSEC = 1 << 1, /* remembered; there is no security module to ask */
	SOCKET_REUSEADDR = 1 << 2,
	SOCKET_REUSEPORT = 1 << 3,
	SOCKET_KEEPALIVE = 1 << 4,
	SOCKET_BROADCAST = 1 << 5,
	SOCKET_OOBINLINE = 1 << 6,
	SOCKET_DONTROUTE = 1 << 7,
};

/*
 * socket(2). type without SOCK_NONBLOCK and SOCK_CLOEXEC; flags O_NONBLOCK or 0.
 * -EAFNOSUPPORT, -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -EINVAL. Returns a reference.
 */
int socket_create(const struct op_ctx *ctx, int domain, int type, int protocol, unsigned flags,
		  struct file **ret_file);
int socket_pair(const struct op_ctx *ctx, int domain, int type, int protocol, unsigned flags,
		struct file *ret_files[2]);
/* Borrowed from the file; NULL = -ENOTSOCK. */
struct socket *socket_from_file(const struct file *file);

/* The system calls. len is checked here (-EINVAL when short or beyond sockaddr_storage). */
int socket_bind(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
		size_t len);
int socket_connect(const struct op_ctx *ctx, struct socket *sock,
		   const struct sockaddr_storage *addr, size_t len);
int socket_listen(const struct op_ctx *ctx, struct socket *sock, int backlog);
/* ret_addr/ret_len: the peer's address; may be NULL. flags O_NONBLOCK or 0, for the new file. */
int socket_accept(const struct op_ctx *ctx, struct socket *sock, unsigned flags,
		  struct file **ret_file, struct sockaddr_storage *ret_addr, size_t *ret_len);
int socket_getname(const struct op_ctx *ctx, struct socket *sock, bool peer,
		   struct sockaddr_storage *ret_addr, size_t *ret_len);
ssize_t socket_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
ssize_t socket_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg);
int socket_shutdown(const struct op_ctx *ctx, struct socket *sock, int how); /* SHUT_* */
int socket_setsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
		      const void *value, size_t len);
/* *len: room on entry (a short room truncates, as Linux does), length on return. */
int socket_getsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
		      void *value, size_t *len);

/* For families. */
void socket_init(struct socket *sock, const struct socket_ops *ops, int domain, int type,
		 int protocol);
/* Takes sock->err; 0 or -errno. */
int socket_take_error(struct socket *sock);
/* Deadline of a wait that starts now; < 0: do not wait. */
int64_t socket_deadline(int64_t timeo_ns, bool nonblock);
/* What an interrupted or timed-out wait returns (cf. sock_intr_errno()). */
int socket_wait_error(int err, int64_t timeo_ns);

#endif

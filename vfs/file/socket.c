/*
 * The family-independent half of sockets: files around them, checks of arguments, SOL_SOCKET
 * options that every family shares. See socket.h.
 */
#include "vfs/file/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/file/unix.h"
#include "vfs/ops.h"
#include "vfs/perm.h"
#include "vfs/poll.h"

#define SOCKET_BUF_DEFAULT 212992u /* net.core.wmem_default, as all of these are sysctls there */
#define SOCKET_BUF_MAX	   212992u
#define SOCKET_SNDBUF_MIN  4608u
#define SOCKET_RCVBUF_MIN  2304u
#define SOCKET_SOMAXCONN   4096

/* ---- families ---- */

/* The families there are; others are -EAFNOSUPPORT. A new one is a row here. */
static const struct {
	int domain;
	int (*create)(const struct op_ctx *ctx, int type, int protocol, struct socket **ret_sock);
} families[] = {
	{AF_UNIX, unix_create},
};

static int family_create(const struct op_ctx *ctx, int domain, int type, int protocol,
			 struct socket **ret_sock)
{
	if (type < 0 || type > SOCK_PACKET)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (families[i].domain == domain)
			return families[i].create(ctx, type, protocol, ret_sock);
	return -EAFNOSUPPORT;
}

void socket_init(struct socket *sock, const struct socket_ops *ops, int domain, int type,
		 int protocol)
{
	sock->ops = ops;
	sock->domain = domain;
	sock->type = type;
	sock->protocol = protocol;
	sock->file = NULL;
	atomic_init(&sock->err, 0);
	fb_mutex_init(&sock->lock, RANK_SOCK);
	waitq_init(&sock->wq);
	atomic_init(&sock->shutdown, 0);
	atomic_init(&sock->sndbuf, SOCKET_BUF_DEFAULT);
	atomic_init(&sock->rcvbuf, SOCKET_BUF_DEFAULT);
	atomic_init(&sock->rcvtimeo_ns, 0);
	atomic_init(&sock->sndtimeo_ns, 0);
	atomic_init(&sock->opts, 0);
}

int socket_take_error(struct socket *sock)
{
	if (atomic_load_explicit(&sock->err, memory_order_relaxed) == 0)
		return 0;
	return -atomic_exchange(&sock->err, 0);
}

int64_t socket_deadline(int64_t timeo_ns, bool nonblock)
{
	int64_t deadline;

	if (nonblock)
		return -1;
	if (timeo_ns == 0)
		return WAIT_FOREVER;
	if (__builtin_add_overflow(clock_monotonic_ns(), timeo_ns, &deadline))
		return WAIT_FOREVER;
	return deadline;
}

int socket_wait_error(int err, int64_t timeo_ns)
{
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	/* A call with a time limit cannot be restarted with the rest of it: -EINTR (socket(7)). */
	if (err == -ERESTARTSYS && timeo_ns)
		return -EINTR;
	return err;
}

/* ---- control messages ---- */

void scm_release(struct scm *scm)
{
	for (unsigned i = 0; i < scm->nr_files; i++)
		file_put(scm->files[i]);
	free(scm->files);
	memset(scm, 0, sizeof(*scm));
}

int scm_check_cred(const struct op_ctx *ctx, const struct ucred *claim)
{
	const struct cred *cred = ctx->cred;

	if (claim->pid != ctx->tgid && !ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (claim->uid != cred->uid && claim->uid != cred->euid && claim->uid != cred->suid &&
	    !ctx_capable(ctx, CAP_SETUID))
		return -EPERM;
	if (claim->gid != cred->gid && claim->gid != cred->egid && claim->gid != cred->sgid &&
	    !ctx_capable(ctx, CAP_SETGID))
		return -EPERM;
	return 0;
}

/* ---- the file ---- */

static const struct file_ops socket_fops;

struct socket *socket_from_file(const struct file *file)
{
	return file->op == &socket_fops ? file->private : NULL;
}

/* The socket is released when that fails. */
static int socket_make_file(const struct op_ctx *ctx, struct socket *sock, unsigned flags,
			    struct file **ret_file)
{
	struct file *file;
	int err;

	err = file_new_anon(ctx, "socket:[%lu]", S_IFSOCK | 0777, &socket_fops, sock,
			    O_RDWR | (flags & O_NONBLOCK), &file);
	if (err) {
		sock->ops->release(ctx, sock);
		return err;
	}
	file->fmode |= FMODE_STREAM;
	sock->file = file;
	*ret_file = file;
	return 0;
}

static ssize_t socket_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
				int64_t *pos, int rwf)
{
	struct sock_msg msg = {.iter = to, .flags = rwf & RWF_NOWAIT ? MSG_DONTWAIT : 0};
	ssize_t ret;

	(void)pos;
	if (to->count == 0)
		return 0; /* read(2) of nothing takes no datagram (cf. sock_read_iter()) */
	ret = socket_recvmsg(ctx, file->private, &msg);
	scm_release(&msg.scm);
	return ret;
}

static ssize_t socket_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				 int64_t *pos, int rwf)
{
	struct socket *sock = file->private;
	struct sock_msg msg = {.iter = from, .flags = rwf & RWF_NOWAIT ? MSG_DONTWAIT : 0};

	(void)pos;
	if (sock->type == SOCK_SEQPACKET)
		msg.flags |= MSG_EOR;
	return socket_sendmsg(ctx, sock, &msg);
}

static unsigned socket_fpoll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct socket *sock = file->private;

	return sock->ops->poll(ctx, sock, table);
}

static long socket_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct socket *sock = file->private;

	return sock->ops->ioctl ? sock->ops->ioctl(ctx, sock, cmd, arg) : -ENOTTY;
}

static void socket_release(const struct op_ctx *ctx, struct file *file)
{
	struct socket *sock = file->private;

	sock->ops->release(ctx, sock);
}

/* ---- the system calls ---- */

int socket_create(const struct op_ctx *ctx, int domain, int type, int protocol, unsigned flags,
		  struct file **ret_file)
{
	struct socket *sock;
	int err;

	err = family_create(ctx, domain, type, protocol, &sock);
	if (err)
		return err;
	return socket_make_file(ctx, sock, flags, ret_file);
}

int socket_pair(const struct op_ctx *ctx, int domain, int type, int protocol, unsigned flags,
		struct file *ret_files[2])
{
	struct socket *a, *b;
	int err;

	err = family_create(ctx, domain, type, protocol, &a);
	if (err)
		return err;
	err = family_create(ctx, domain, type, protocol, &b);
	if (err)
		goto out_a;
	err = a->ops->pair ? a->ops->pair(ctx, a, b) : -EOPNOTSUPP;
	if (err)
		goto out_b;
	err = socket_make_file(ctx, a, flags, &ret_files[0]);
	if (err) {
		b->ops->release(ctx, b);
		return err;
	}
	err = socket_make_file(ctx, b, flags, &ret_files[1]);
	if (err)
		file_put(ret_files[0]);
	return err;
out_b:
	b->ops->release(ctx, b);
out_a:
	a->ops->release(ctx, a);
	return err;
}

static int check_address(size_t len)
{
	if (len < sizeof(sa_family_t) || len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	return 0;
}

int socket_bind(const struct op_ctx *ctx, struct socket *sock, const struct sockaddr_storage *addr,
		size_t len)
{
	int err = check_address(len);

	return err ? err : sock->ops->bind(ctx, sock, addr, len);
}

int socket_connect(const struct op_ctx *ctx, struct socket *sock,
		   const struct sockaddr_storage *addr, size_t len)
{
	int err = check_address(len);

	return err ? err : sock->ops->connect(ctx, sock, addr, len, file_nonblock(sock->file));
}

int socket_listen(const struct op_ctx *ctx, struct socket *sock, int backlog)
{
	/* Negative counts as huge (cf. __sys_listen()). */
	if (backlog < 0 || backlog > SOCKET_SOMAXCONN)
		backlog = SOCKET_SOMAXCONN;
	return sock->ops->listen(ctx, sock, backlog);
}

int socket_accept(const struct op_ctx *ctx, struct socket *sock, unsigned flags,
		  struct file **ret_file, struct sockaddr_storage *ret_addr, size_t *ret_len)
{
	struct socket *conn;
	int err;

	err = sock->ops->accept(ctx, sock, file_nonblock(sock->file), &conn);
	if (err)
		return err;
	if (ret_addr) {
		err = conn->ops->getname(ctx, conn, true, ret_addr, ret_len);
		if (err) {
			conn->ops->release(ctx, conn);
			return -ECONNABORTED;
		}
	}
	return socket_make_file(ctx, conn, flags, ret_file);
}

int socket_getname(const struct op_ctx *ctx, struct socket *sock, bool peer,
		   struct sockaddr_storage *ret_addr, size_t *ret_len)
{
	return sock->ops->getname(ctx, sock, peer, ret_addr, ret_len);
}

ssize_t socket_sendmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	int err;

	if (msg->scm.nr_files > SCM_MAX_FILES)
		return -EINVAL;
	if (msg->name_len) {
		err = check_address(msg->name_len);
		if (err)
			return err;
	}
	if (msg->scm.has_cred) {
		err = scm_check_cred(ctx, &msg->scm.cred);
		if (err)
			return err;
	}
	if (file_nonblock(sock->file))
		msg->flags |= MSG_DONTWAIT;
	return sock->ops->sendmsg(ctx, sock, msg);
}

ssize_t socket_recvmsg(const struct op_ctx *ctx, struct socket *sock, struct sock_msg *msg)
{
	if (file_nonblock(sock->file))
		msg->flags |= MSG_DONTWAIT;
	msg->ret_flags = 0;
	msg->name_len = 0;
	memset(&msg->scm, 0, sizeof(msg->scm));
	return sock->ops->recvmsg(ctx, sock, msg);
}

int socket_shutdown(const struct op_ctx *ctx, struct socket *sock, int how)
{
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return sock->ops->shutdown(ctx, sock, how);
}

/* ---- options of level SOL_SOCKET ---- */

/* Options that are one remembered bit. */
static const struct {
	int name;
	unsigned bit;
} bool_options[] = {
	{SO_REUSEADDR, SOCKET_REUSEADDR}, {SO_REUSEPORT, SOCKET_REUSEPORT},
	{SO_KEEPALIVE, SOCKET_KEEPALIVE}, {SO_BROADCAST, SOCKET_BROADCAST},
	{SO_OOBINLINE, SOCKET_OOBINLINE}, {SO_DONTROUTE, SOCKET_DONTROUTE},
	{SO_PASSCRED, SOCKET_PASSCRED},	  {SO_PASSSEC, SOCKET_PASSSEC},
};

static unsigned bool_option(int name)
{
	for (size_t i = 0; i < sizeof(bool_options) / sizeof(bool_options[0]); i++)
		if (bool_options[i].name == name)
			return bool_options[i].bit;
	return 0;
}

/* Doubles it for bookkeeping as Linux does, within the limits. */
static size_t buffer_size(int value, size_t min)
{
	size_t size = value < 0 ? SOCKET_BUF_MAX : (size_t)value;

	if (size > SOCKET_BUF_MAX)
		size = SOCKET_BUF_MAX;
	size *= 2;
	return size < min ? min : size;
}

static int set_timeout(_Atomic int64_t *timeo_ns, const void *value, size_t len)
{
	struct timeval tv;
	int64_t ns;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, value, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	if (tv.tv_sec < 0)
		ns = 1; /* "at once", cf. sock_set_timeout(); 0 would mean for ever */
	else if (tv.tv_sec >= INT64_MAX / 1000000000 - 1)
		ns = 0;
	else
		ns = tv.tv_sec * 1000000000 + tv.tv_usec * 1000;
	atomic_store(timeo_ns, ns);
	return 0;
}

static int set_option(const struct op_ctx *ctx, struct socket *sock, int name, const void *value,
		      size_t len)
{
	unsigned bit = bool_option(name);
	int number;

	if (name == SO_RCVTIMEO)
		return set_timeout(&sock->rcvtimeo_ns, value, len);
	if (name == SO_SNDTIMEO)
		return set_timeout(&sock->sndtimeo_ns, value, len);
	if (len < sizeof(number))
		return -EINVAL;
	memcpy(&number, value, sizeof(number));
	if (bit) {
		if (number)
			atomic_fetch_or(&sock->opts, bit);
		else
			atomic_fetch_and(&sock->opts, ~bit);
		return 0;
	}
	switch (name) {
	case SO_SNDBUFFORCE:
		if (!ctx_capable(ctx, CAP_NET_ADMIN))
			return -EPERM;
		__attribute__((fallthrough)); /* the limit stays: the memory is the sentry's */
	case SO_SNDBUF:
		fb_mutex_lock(&sock->lock);
		atomic_store(&sock->sndbuf, buffer_size(number, SOCKET_SNDBUF_MIN));
		fb_mutex_unlock(&sock->lock);
		waitq_wake_all(&sock->wq, POLLOUT | POLLWRNORM);
		return 0;
	case SO_RCVBUFFORCE:
		if (!ctx_capable(ctx, CAP_NET_ADMIN))
			return -EPERM;
		__attribute__((fallthrough));
	case SO_RCVBUF:
		atomic_store(&sock->rcvbuf, buffer_size(number, SOCKET_RCVBUF_MIN));
		return 0;
	case SO_LINGER: /* a local socket has nothing to linger for */
		return len < sizeof(struct linger) ? -EINVAL : 0;
	case SO_TYPE:
	case SO_PROTOCOL:
	case SO_DOMAIN:
	case SO_ERROR:
		return -ENOPROTOOPT;
	default:
		return sock->ops->setsockopt
			       ? sock->ops->setsockopt(ctx, sock, SOL_SOCKET, name, value, len)
			       : -ENOPROTOOPT;
	}
}

int socket_setsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
		      const void *value, size_t len)
{
	if (level == SOL_SOCKET)
		return set_option(ctx, sock, name, value, len);
	return sock->ops->setsockopt ? sock->ops->setsockopt(ctx, sock, level, name, value, len)
				     : -EOPNOTSUPP;
}

static void put_value(void *room, size_t *len, const void *value, size_t value_len)
{
	if (*len > value_len)
		*len = value_len;
	memcpy(room, value, *len);
}

static void get_timeout(_Atomic int64_t *timeo_ns, void *value, size_t *len)
{
	int64_t ns = atomic_load(timeo_ns);
	struct timeval tv = {ns / 1000000000, ns % 1000000000 / 1000};

	put_value(value, len, &tv, sizeof(tv));
}

/* The options whose value is an int; -ENOPROTOOPT. */
static int get_int_option(struct socket *sock, int name, int *ret_number)
{
	unsigned bit = bool_option(name);

	if (bit) {
		*ret_number = (atomic_load(&sock->opts) & bit) != 0;
		return 0;
	}
	switch (name) {
	case SO_TYPE:
		*ret_number = sock->type;
		return 0;
	case SO_DOMAIN:
		*ret_number = sock->domain;
		return 0;
	case SO_PROTOCOL:
		*ret_number = sock->protocol;
		return 0;
	case SO_ERROR:
		*ret_number = -socket_take_error(sock);
		return 0;
	case SO_SNDBUF:
		*ret_number = (int)atomic_load(&sock->sndbuf);
		return 0;
	case SO_RCVBUF:
		*ret_number = (int)atomic_load(&sock->rcvbuf);
		return 0;
	case SO_RCVLOWAT:
	case SO_SNDLOWAT:
		*ret_number = 1;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int socket_getsockopt(const struct op_ctx *ctx, struct socket *sock, int level, int name,
		      void *value, size_t *len)
{
	struct linger linger = {0, 0};
	int number, err;

	if (level == SOL_SOCKET && name == SO_RCVTIMEO) {
		get_timeout(&sock->rcvtimeo_ns, value, len);
		return 0;
	}
	if (level == SOL_SOCKET && name == SO_SNDTIMEO) {
		get_timeout(&sock->sndtimeo_ns, value, len);
		return 0;
	}
	if (level == SOL_SOCKET && name == SO_LINGER) {
		put_value(value, len, &linger, sizeof(linger));
		return 0;
	}
	if (level == SOL_SOCKET) {
		err = get_int_option(sock, name, &number);
		if (err == 0)
			put_value(value, len, &number, sizeof(number));
		if (err != -ENOPROTOOPT)
			return err;
	}
	if (sock->ops->getsockopt)
		return sock->ops->getsockopt(ctx, sock, level, name, value, len);
	return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
}

static const struct file_ops socket_fops = {
	.read_iter = socket_read_iter,
	.write_iter = socket_write_iter,
	.poll = socket_fpoll,
	.ioctl = socket_ioctl,
	.release = socket_release,
	.nowait = true,
	.no_position = true,
};

/* Sockets, all but messages: making, naming, connecting, options. Messages are in sockmsg.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/pair.h"
#include "syscalls/sockaddr.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/socket.h"

#define TYPE_MASK   0xf
#define TYPE_FLAGS  (SOCK_CLOEXEC | SOCK_NONBLOCK)
#define SOCKOPT_MAX 65536 /* longest option value; SO_PEERGROUPS is the long one */

_Static_assert(SOCK_NONBLOCK == O_NONBLOCK && SOCK_CLOEXEC == O_CLOEXEC, "flags are passed on");

int task_socket(struct task *task, int fd, struct file **ret_file, struct socket **ret_sock)
{
	struct file *file = task_file(task, fd);
	struct socket *sock;

	if (!file)
		return -EBADF;
	sock = socket_from_file(file);
	if (!sock) {
		file_put(file);
		return -ENOTSOCK;
	}
	*ret_file = file;
	*ret_sock = sock;
	return 0;
}

int sockaddr_from_guest(struct task *task, gva_t addr_gva, int64_t len,
			struct sockaddr_storage *ret_addr)
{
	memset(ret_addr, 0, sizeof(*ret_addr));
	if (len < 0 || len > (int64_t)sizeof(*ret_addr))
		return -EINVAL;
	return len ? copy_from_guest(task, ret_addr, addr_gva, (size_t)len) : 0;
}

int sockaddr_to_guest(struct task *task, const struct sockaddr_storage *addr, size_t len,
		      gva_t addr_gva, gva_t len_gva)
{
	int room, full = (int)len;

	if (copy_from_guest(task, &room, len_gva, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (room > full)
		room = full;
	if (room && copy_to_guest(task, addr_gva, addr, (size_t)room))
		return -EFAULT;
	return copy_to_guest(task, len_gva, &full, sizeof(full));
}

int64_t sys_socket(struct task *task, const uint64_t *args)
{
	int flags = (int)args[1] & ~TYPE_MASK, err;
	struct file *file;

	if (flags & ~TYPE_FLAGS)
		return -EINVAL;
	err = socket_create(task_ctx(task), (int)args[0], (int)args[1] & TYPE_MASK, (int)args[2],
			    (unsigned)flags & O_NONBLOCK, &file);
	return err ? err : task_install(task, file, flags & SOCK_CLOEXEC);
}

int64_t sys_socketpair(struct task *task, const uint64_t *args)
{
	int flags = (int)args[1] & ~TYPE_MASK, err;
	struct file *files[2];

	if (flags & ~TYPE_FLAGS)
		return -EINVAL;
	err = socket_pair(task_ctx(task), (int)args[0], (int)args[1] & TYPE_MASK, (int)args[2],
			  (unsigned)flags & O_NONBLOCK, files);
	return err ? err : install_pair(task, files, flags & SOCK_CLOEXEC, args[3]);
}

/* What a call does with the socket behind its first argument. */
typedef int64_t (*socket_fn)(struct task *task, struct socket *sock, const uint64_t *args);

static int64_t with_socket(struct task *task, const uint64_t *args, socket_fn fn)
{
	struct socket *sock;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);

	if (result)
		return result;
	result = fn(task, sock, args);
	file_put(file);
	return result;
}

static int64_t bind_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	struct sockaddr_storage addr;
	int64_t err = sockaddr_from_guest(task, args[1], (int)args[2], &addr);

	return err ? err : socket_bind(task_ctx(task), sock, &addr, (size_t)(int)args[2]);
}

int64_t sys_bind(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, bind_socket);
}

static int64_t connect_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	struct sockaddr_storage addr;
	int64_t err = sockaddr_from_guest(task, args[1], (int)args[2], &addr);

	return err ? err : socket_connect(task_ctx(task), sock, &addr, (size_t)(int)args[2]);
}

int64_t sys_connect(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, connect_socket);
}

static int64_t listen_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	return socket_listen(task_ctx(task), sock, (int)args[1]);
}

int64_t sys_listen(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, listen_socket);
}

/* The number first, the connection next, and it is published when nothing can fail any more. */
static int64_t accept_flags(struct task *task, struct socket *sock, const uint64_t *args,
			    int flags)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	size_t len = 0;
	struct file *file;
	int fd, err;

	fd = fdtable_reserve(task->files, 0, task_nofile(task), flags & SOCK_CLOEXEC);
	if (fd < 0)
		return fd;
	err = socket_accept(task_ctx(task), sock, (unsigned)flags & O_NONBLOCK, &file,
			    args[1] ? &addr : NULL, args[1] ? &len : NULL);
	if (err)
		goto out_fd;
	if (args[1]) {
		err = sockaddr_to_guest(task, &addr, len, args[1], args[2]);
		if (err)
			goto out_file;
	}
	fdtable_fill(task->files, fd, file);
	return fd;
out_file:
	file_put(file);
out_fd:
	fdtable_cancel(task->files, fd);
	return err;
}

static int64_t accept_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	return accept_flags(task, sock, args, 0);
}

static int64_t accept4_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	return accept_flags(task, sock, args, (int)args[3]);
}

int64_t sys_accept(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, accept_socket);
}

int64_t sys_accept4(struct task *task, const uint64_t *args)
{
	return (int)args[3] & ~TYPE_FLAGS ? -EINVAL : with_socket(task, args, accept4_socket);
}

static int64_t name_of_socket(struct task *task, struct socket *sock, const uint64_t *args,
			      bool peer)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	size_t len = 0;
	int64_t err = socket_getname(task_ctx(task), sock, peer, &addr, &len);

	return err ? err : sockaddr_to_guest(task, &addr, len, args[1], args[2]);
}

static int64_t getsockname_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	return name_of_socket(task, sock, args, false);
}

static int64_t getpeername_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	return name_of_socket(task, sock, args, true);
}

int64_t sys_getsockname(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, getsockname_socket);
}

int64_t sys_getpeername(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, getpeername_socket);
}

static int64_t shutdown_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	if ((unsigned)args[1] > SHUT_RDWR)
		return -EINVAL;
	return socket_shutdown(task_ctx(task), sock, (int)args[1]);
}

int64_t sys_shutdown(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, shutdown_socket);
}

static int64_t setsockopt_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	cleanup_free void *value = NULL;
	int len = (int)args[4];

	if (len < 0 || len > SOCKOPT_MAX)
		return -EINVAL;
	value = malloc((size_t)len + 1);
	if (!value)
		return -ENOMEM;
	if (copy_from_guest(task, value, args[3], (size_t)len))
		return -EFAULT;
	return socket_setsockopt(task_ctx(task), sock, (int)args[1], (int)args[2], value,
				 (size_t)len);
}

int64_t sys_setsockopt(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, setsockopt_socket);
}

static int64_t getsockopt_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	cleanup_free void *value = NULL;
	size_t room;
	int len, err;

	if (copy_from_guest(task, &len, args[4], sizeof(len)))
		return -EFAULT;
	if (len < 0)
		return -EINVAL;
	room = len < SOCKOPT_MAX ? (size_t)len : SOCKOPT_MAX;
	value = calloc(1, room + 1);
	if (!value)
		return -ENOMEM;
	err = socket_getsockopt(task_ctx(task), sock, (int)args[1], (int)args[2], value, &room);
	len = (int)room;
	/* Too small a buffer still learns the length it needs (SO_PEERGROUPS). */
	if (err && err != -ERANGE)
		return err;
	if (!err && copy_to_guest(task, args[3], value, room))
		return -EFAULT;
	if (copy_to_guest(task, args[4], &len, sizeof(len)))
		return -EFAULT;
	return err;
}

int64_t sys_getsockopt(struct task *task, const uint64_t *args)
{
	return with_socket(task, args, getsockopt_socket);
}

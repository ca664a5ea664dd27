/*
 * Messages on sockets: sendto, sendmsg, sendmmsg and the receiving side, control messages among
 * them. Descriptors that arrive are installed last, when nothing can fail any more.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/select.h"
#include "syscalls/sockaddr.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/socket.h"
#include "vfs/uring/uring.h"

#define CONTROL_MAX 131072 /* net.core.optmem_max: more is -ENOBUFS */
#define MMSG_MAX    1024   /* UIO_MAXIOV, as the kernel caps it */

/* struct user_msghdr and struct mmsghdr of the 64-bit ABI. */
struct guest_msghdr {
	gva_t name_gva;
	int name_len;
	int pad;
	gva_t iov_gva;
	uint64_t nr_iov;
	gva_t control_gva;
	uint64_t control_len;
	unsigned flags;
	unsigned pad2;
};
struct guest_mmsghdr {
	struct guest_msghdr hdr;
	unsigned len;
	unsigned pad;
};
_Static_assert(sizeof(struct guest_msghdr) == sizeof(struct msghdr), "ABI");
_Static_assert(sizeof(struct guest_mmsghdr) == sizeof(struct mmsghdr), "ABI");

static int msghdr_from_guest(struct task *task, gva_t hdr_gva, struct guest_msghdr *ret_hdr)
{
	if (copy_from_guest(task, ret_hdr, hdr_gva, sizeof(*ret_hdr)))
		return -EFAULT;
	if (!ret_hdr->name_gva)
		ret_hdr->name_len = 0;
	if (ret_hdr->name_len < 0)
		return -EINVAL;
	if (ret_hdr->nr_iov > IOV_MAX)
		return -EMSGSIZE;
	return 0;
}

/* Sending. */

static int scm_add_files(struct task *task, const unsigned char *data, size_t len, struct scm *scm)
{
	size_t nr = len / sizeof(int);
	struct file **files;

	if (!nr)
		return 0;
	if (nr > SCM_MAX_FILES || scm->nr_files + nr > SCM_MAX_FILES)
		return -EINVAL;
	files = realloc(scm->files, (scm->nr_files + nr) * sizeof(struct file *));
	if (!files)
		return -ENOMEM;
	scm->files = files;
	for (size_t i = 0; i < nr; i++) {
		int fd;

		memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
		files[scm->nr_files] = task_file_raw(task, fd);
		if (!files[scm->nr_files])
			return -EBADF;
		scm->nr_files++;
		/* A ring does not travel (scm_fp_copy()): it could come to hold itself. */
		if (uring_is(files[scm->nr_files - 1]))
			return -EINVAL;
	}
	return 0;
}

static int scm_add(struct task *task, const struct socket *sock, const struct cmsghdr *head,
		   const unsigned char *data, size_t len, struct scm *scm)
{
	if (head->cmsg_level != SOL_SOCKET)
		return 0; /* for the family; none of ours has any (cf. __scm_send()) */
	switch (head->cmsg_type) {
	case SCM_RIGHTS:
		if (sock->domain != AF_UNIX)
			return -EINVAL;
		return scm_add_files(task, data, len, scm);
	case SCM_CREDENTIALS:
		if (len != sizeof(scm->cred))
			return -EINVAL;
		memcpy(&scm->cred, data, sizeof(scm->cred));
		scm->has_cred = true;
		return scm_check_cred(task_ctx(task), &scm->cred);
	default:
		return -EINVAL;
	}
}

/* What is done is in *scm also after an error: the caller releases it. */
static int scm_from_guest(struct task *task, const struct socket *sock,
			  const struct guest_msghdr *hdr, struct scm *scm)
{
	cleanup_free unsigned char *buf = NULL;
	size_t at = 0, len;
	int err;

	if (!hdr->control_gva || !hdr->control_len)
		return 0;
	if (hdr->control_len > CONTROL_MAX)
		return -ENOBUFS;
	len = (size_t)hdr->control_len;
	buf = malloc(len);
	if (!buf)
		return -ENOBUFS;
	if (copy_from_guest(task, buf, hdr->control_gva, len))
		return -EFAULT;
	while (len - at >= sizeof(struct cmsghdr)) {
		struct cmsghdr head;

		memcpy(&head, buf + at, sizeof(head));
		if (head.cmsg_len < sizeof(head) || head.cmsg_len > len - at)
			return -EINVAL;
		err = scm_add(task, sock, &head, buf + at + sizeof(head),
			      head.cmsg_len - sizeof(head), scm);
		if (err)
			return err;
		if (CMSG_ALIGN(head.cmsg_len) >= len - at)
			break;
		at += CMSG_ALIGN(head.cmsg_len);
	}
	return 0;
}

static int64_t send_hdr(struct task *task, struct socket *sock, const struct guest_msghdr *hdr,
			unsigned flags)
{
	cleanup_free struct iovec *iov = NULL;
	struct sock_msg msg = {.flags = flags};
	struct io_iter iter;
	int64_t result;
	size_t total;

	/* A longer name is cut and not refused (cf. copy_msghdr_from_user()). */
	msg.name_len =
		(size_t)hdr->name_len < sizeof(msg.name) ? (size_t)hdr->name_len : sizeof(msg.name);
	result = sockaddr_from_guest(task, hdr->name_gva, (int64_t)msg.name_len, &msg.name);
	if (!result)
		result = copy_iovec_from_guest(task, hdr->iov_gva, hdr->nr_iov, &iov, &total);
	if (result)
		return result;
	iter_init_guest_iov(&iter, task, iov, hdr->nr_iov, total);
	msg.iter = &iter;
	result = scm_from_guest(task, sock, hdr, &msg.scm);
	if (!result)
		result = socket_sendmsg(task_ctx(task), sock, &msg);
	scm_release(&msg.scm);
	return result;
}

int64_t sys_sendto(struct task *task, const uint64_t *args)
{
	struct sock_msg msg = {.flags = (unsigned)args[3]};
	struct socket *sock;
	struct io_iter iter;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);

	if (result)
		return result;
	if (args[4]) {
		result = sockaddr_from_guest(task, args[4], (int)args[5], &msg.name);
		msg.name_len = (size_t)(int)args[5];
	}
	if (!result) {
		iter_init_guest(&iter, task, args[1], args[2]);
		msg.iter = &iter;
		result = socket_sendmsg(task_ctx(task), sock, &msg);
	}
	file_put(file);
	return result;
}

int64_t sys_sendmsg(struct task *task, const uint64_t *args)
{
	struct guest_msghdr hdr;
	struct socket *sock;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);

	if (result)
		return result;
	result = msghdr_from_guest(task, args[1], &hdr);
	if (!result)
		result = send_hdr(task, sock, &hdr, (unsigned)args[2]);
	file_put(file);
	return result;
}

static int64_t sendmmsg_socket(struct task *task, struct socket *sock, const uint64_t *args)
{
	unsigned n, max = (unsigned)args[2] < MMSG_MAX ? (unsigned)args[2] : MMSG_MAX;
	gva_t at_gva = args[1];
	int64_t result = 0;

	for (n = 0; n < max; n++, at_gva += sizeof(struct guest_mmsghdr)) {
		struct guest_msghdr hdr;
		unsigned len;

		result = msghdr_from_guest(task, at_gva, &hdr);
		if (!result)
			result = send_hdr(task, sock, &hdr, (unsigned)args[3]);
		if (result < 0)
			break;
		len = (unsigned)result;
		result = copy_to_guest(task, at_gva + offsetof(struct guest_mmsghdr, len), &len,
				       sizeof(len));
		if (result)
			break;
	}
	return n ? (int64_t)n : result;
}

int64_t sys_sendmmsg(struct task *task, const uint64_t *args)
{
	struct socket *sock;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);

	if (result)
		return result;
	result = sendmmsg_socket(task, sock, args);
	file_put(file);
	return result;
}

/* Receiving. */

/* Control messages being put together; descriptors are reserved, not filled yet. */
struct control {
	unsigned char *buf; /* owned */
	size_t room, used;
	int fds[SCM_MAX_FILES];
	unsigned nr_fds;
	bool truncated;
};

/* One message, cut where the room ends (cf. put_cmsg()). */
static void control_put(struct control *ctl, int type, const void *data, size_t len)
{
	struct cmsghdr head = {.cmsg_level = SOL_SOCKET, .cmsg_type = type};
	size_t left = ctl->room - ctl->used, full = sizeof(head) + len;

	if (left < sizeof(head)) {
		ctl->truncated = true;
		return;
	}
	if (left < full) {
		ctl->truncated = true;
		full = left;
	}
	head.cmsg_len = full;
	memcpy(ctl->buf + ctl->used, &head, sizeof(head));
	memcpy(ctl->buf + ctl->used + sizeof(head), data, full - sizeof(head));
	ctl->used += CMSG_ALIGN(full) < left ? CMSG_ALIGN(full) : left;
}

/* As many descriptors as there is room for, in the buffer and in the table (scm_detach_fds()). */
static void control_put_files(struct task *task, struct control *ctl, const struct scm *scm,
			      bool cloexec)
{
	size_t left = ctl->room - ctl->used, max = 0;

	if (left > sizeof(struct cmsghdr))
		max = (left - sizeof(struct cmsghdr)) / sizeof(int);
	while (ctl->nr_fds < scm->nr_files && ctl->nr_fds < max) {
		int fd = fdtable_reserve(task->files, 0, task_nofile(task), cloexec);

		if (fd < 0)
			break;
		ctl->fds[ctl->nr_fds++] = fd;
	}
	if (ctl->nr_fds)
		control_put(ctl, SCM_RIGHTS, ctl->fds, ctl->nr_fds * sizeof(int));
	if (ctl->nr_fds < scm->nr_files)
		ctl->truncated = true;
}

static int control_init(struct control *ctl, const struct guest_msghdr *hdr, const struct scm *scm)
{
	/* Enough for all we ever send; more room than that changes nothing. */
	size_t need = CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(scm->nr_files * sizeof(int));

	ctl->used = 0;
	ctl->nr_fds = 0;
	ctl->truncated = false;
	ctl->room = 0;
	if (hdr->control_gva)
		ctl->room = hdr->control_len < need ? (size_t)hdr->control_len : need;
	ctl->buf = calloc(1, ctl->room + 1);
	return ctl->buf ? 0 : -ENOMEM;
}

static void control_finish(struct task *task, struct control *ctl, const struct scm *scm, bool ok)
{
	for (unsigned i = 0; i < ctl->nr_fds; i++) {
		if (ok)
			fdtable_fill(task->files, ctl->fds[i], file_get(scm->files[i]));
		else
			fdtable_cancel(task->files, ctl->fds[i]);
	}
	free(ctl->buf);
}

/* Name, control messages, lengths and flags into the guest's msghdr. */
static int recv_copy_out(struct task *task, const struct guest_msghdr *hdr, gva_t hdr_gva,
			 const struct sock_msg *msg, const struct control *ctl)
{
	unsigned flags = msg->ret_flags | (msg->flags & MSG_CMSG_CLOEXEC);
	uint64_t used = ctl->used;

	if (ctl->truncated)
		flags |= MSG_CTRUNC;
	if (hdr->name_gva) {
		int len = (int)msg->name_len, room = hdr->name_len < len ? hdr->name_len : len;

		if (room && copy_to_guest(task, hdr->name_gva, &msg->name, (size_t)room))
			return -EFAULT;
		if (copy_to_guest(task, hdr_gva + offsetof(struct guest_msghdr, name_len), &len,
				  sizeof(len)))
			return -EFAULT;
	}
	if (ctl->used && copy_to_guest(task, hdr->control_gva, ctl->buf, ctl->used))
		return -EFAULT;
	if (copy_to_guest(task, hdr_gva + offsetof(struct guest_msghdr, control_len), &used,
			  sizeof(used)))
		return -EFAULT;
	return copy_to_guest(task, hdr_gva + offsetof(struct guest_msghdr, flags), &flags,
			     sizeof(flags));
}

static int recv_finish(struct task *task, const struct guest_msghdr *hdr, gva_t hdr_gva,
		       const struct sock_msg *msg)
{
	struct control *ctl = malloc(sizeof(*ctl)); /* too large for a fiber's stack */
	int err;

	if (!ctl)
		return -ENOMEM;
	err = control_init(ctl, hdr, &msg->scm);
	if (err) {
		free(ctl);
		return err;
	}
	if (msg->scm.has_cred)
		control_put(ctl, SCM_CREDENTIALS, &msg->scm.cred, sizeof(msg->scm.cred));
	if (msg->scm.nr_files)
		control_put_files(task, ctl, &msg->scm, msg->flags & MSG_CMSG_CLOEXEC);
	err = recv_copy_out(task, hdr, hdr_gva, msg, ctl);
	control_finish(task, ctl, &msg->scm, !err);
	free(ctl);
	return err;
}

static int64_t recv_hdr(struct task *task, struct socket *sock, gva_t hdr_gva, unsigned flags)
{
	cleanup_free struct iovec *iov = NULL;
	struct sock_msg msg = {.flags = flags};
	struct guest_msghdr hdr;
	struct io_iter iter;
	int64_t result;
	size_t total;
	int err;

	result = msghdr_from_guest(task, hdr_gva, &hdr);
	if (!result)
		result = copy_iovec_from_guest(task, hdr.iov_gva, hdr.nr_iov, &iov, &total);
	if (result)
		return result;
	iter_init_guest_iov(&iter, task, iov, hdr.nr_iov, total);
	msg.iter = &iter;
	result = socket_recvmsg(task_ctx(task), sock, &msg);
	if (result < 0)
		return result;
	err = recv_finish(task, &hdr, hdr_gva, &msg);
	scm_release(&msg.scm);
	return err ? err : result;
}

int64_t sys_recvfrom(struct task *task, const uint64_t *args)
{
	struct sock_msg msg = {.flags = (unsigned)args[3]};
	struct socket *sock;
	struct io_iter iter;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);
	int err;

	if (result)
		return result;
	iter_init_guest(&iter, task, args[1], args[2]);
	msg.iter = &iter;
	result = socket_recvmsg(task_ctx(task), sock, &msg);
	if (result >= 0) {
		scm_release(&msg.scm); /* recvfrom(2) has nowhere to put them: closed */
		if (args[4]) {
			err = sockaddr_to_guest(task, &msg.name, msg.name_len, args[4], args[5]);
			result = err ? err : result;
		}
	}
	file_put(file);
	return result;
}

int64_t sys_recvmsg(struct task *task, const uint64_t *args)
{
	struct socket *sock;
	struct file *file;
	int64_t result = task_socket(task, (int)args[0], &file, &sock);

	if (result)
		return result;
	result = recv_hdr(task, sock, args[1], (unsigned)args[2]);
	file_put(file);
	return result;
}

/* An error after the first message is kept for the next call (cf. do_recvmmsg()). */
static void recvmmsg_keep_error(struct socket *sock, int64_t err)
{
	if (err == -EAGAIN || err_is_restart(err))
		return;
	fb_mutex_lock(&sock->lock);
	sock->err = (int)-err;
	fb_mutex_unlock(&sock->lock);
}

static int64_t recvmmsg_socket(struct task *task, struct socket *sock, const uint64_t *args,
			       int64_t deadline_ns)
{
	unsigned n, max = (unsigned)args[2] < MMSG_MAX ? (unsigned)args[2] : MMSG_MAX;
	unsigned flags = (unsigned)args[3];
	gva_t at_gva = args[1];
	int64_t result = 0;

	for (n = 0; n < max;) {
		unsigned len;

		result = recv_hdr(task, sock, at_gva, flags & ~(unsigned)MSG_WAITFORONE);
		if (result < 0)
			break;
		len = (unsigned)result;
		result = copy_to_guest(task, at_gva + offsetof(struct guest_mmsghdr, len), &len,
				       sizeof(len));
		if (result)
			break;
		n++;
		at_gva += sizeof(struct guest_mmsghdr);
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		/* The time is only looked at between messages (recvmmsg(2), BUGS). */
		if (deadline_ns && clock_monotonic_ns() >= deadline_ns)
			break;
	}
	if (!n)
		return result;
	if (result < 0)
		recvmmsg_keep_error(sock, result);
	return n;
}

int64_t sys_recvmmsg(struct task *task, const uint64_t *args)
{
	struct wait_time time;
	struct socket *sock;
	struct file *file;
	int64_t result = wait_time_get(task, args[4], WAIT_TIMESPEC, &time);

	if (!result)
		result = task_socket(task, (int)args[0], &file, &sock);
	if (result)
		return result;
	result = recvmmsg_socket(task, sock, args, time.deadline_ns);
	file_put(file);
	return result > 0 ? wait_time_put(task, &time, result) : result;
}

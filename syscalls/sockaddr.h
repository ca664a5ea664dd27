/* Socket descriptors and addresses on their way in and out; shared by socket.c and sockmsg.c. */
#ifndef FB_SYSCALLS_SOCKADDR_H
#define FB_SYSCALLS_SOCKADDR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "sentry/base/types.h"

struct file;
struct socket;
struct task;

/* The socket behind fd; *ret_file holds it (file_put). 0, -EBADF, -ENOTSOCK. */
int task_socket(struct task *task, int fd, struct file **ret_file, struct socket **ret_sock);
/* 0, -EINVAL (len), -EFAULT. The rest of *ret_addr is zero. */
int sockaddr_from_guest(struct task *task, gva_t addr_gva, int64_t len,
			struct sockaddr_storage *ret_addr);
/*
 * As much as *len_gva has room for, then the full length there (cf. move_addr_to_user()).
 * 0, -EFAULT, -EINVAL.
 */
int sockaddr_to_guest(struct task *task, const struct sockaddr_storage *addr, size_t len,
		      gva_t addr_gva, gva_t len_gva);

#endif

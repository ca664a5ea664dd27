/*
 * epoll(7).
 *
 * An instance keeps one item per (file, fd). The item hangs on file->epoll_items without counting
 * the file: the last put of the file calls epoll_release_file() *before* op->release.
 *
 * EPOLLEXCLUSIVE is accepted with Linux's checks, but wakes every instance that waits ("one or
 * more", as the manual promises). EPOLLWAKEUP is accepted and means nothing.
 */
#ifndef FB_VFS_FILE_EPOLL_H
#define FB_VFS_FILE_EPOLL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct file;
struct op_ctx;

/* flags: EPOLL_CLOEXEC is ignored here; others -EINVAL. */
int epoll_new(const struct op_ctx *ctx, unsigned flags, struct file **ret_file);
bool epoll_is(const struct file *file);
/*
 * epoll_ctl(2). `fd` is the number `file` was named by. event: a copy in our memory, NULL for
 * EPOLL_CTL_DEL. 0 or -EINVAL, -EEXIST, -ENOENT, -EPERM (cannot be polled), -ELOOP, -ENOMEM,
 * -ENOSPC. May sleep.
 */
int epoll_control(const struct op_ctx *ctx, struct file *epfile, int op, struct file *file, int fd,
		  const struct epoll_event *event);
/*
 * epoll_wait(2) into our memory; a caller may cap max_events below what the guest asked for, the
 * rest stays ready. deadline_ns: absolute monotonic, WAIT_FOREVER, or < 0: do not wait. Returns
 * the number of events, 0 at the deadline, -EINTR (epoll_wait is never restarted, signal(7)),
 * -EINVAL.
 */
int epoll_collect(const struct op_ctx *ctx, struct file *epfile, struct epoll_event *events,
		  int max_events, int64_t deadline_ns);
/* The file is about to be released: drops its items everywhere. May sleep. */
void epoll_release_file(struct file *file);

#endif

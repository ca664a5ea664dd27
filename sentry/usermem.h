/*
 * The only code that touches guest memory. Copies once; callers check and use the copy. A bad
 * address is -EFAULT, never a fault of the sentry. Uses process_vm_readv/writev, gathered so that
 * a call needs one of each at most, and none where the task has a window (window.h).
 */
#ifndef FB_USERMEM_H
#define FB_USERMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sentry/base/iter.h"
#include "sentry/base/types.h"

struct task;

int copy_from_guest(struct task *task, void *dst, gva_t src_gva, size_t len); /* 0, -EFAULT */
int copy_to_guest(struct task *task, gva_t dst_gva, const void *src, size_t len);
/* Bytes up to the first inaccessible one. */
size_t copy_from_guest_partial(struct task *task, void *dst, gva_t src_gva, size_t len);
/*
 * A NUL-terminated string of at most size-1 bytes into buf. Returns its length, -EFAULT, or
 * -ENAMETOOLONG when no NUL came in size bytes.
 */
ssize_t copy_string_from_guest(struct task *task, char *buf, gva_t src_gva, size_t size);
/* malloc'ed path of at most PATH_MAX bytes with NUL. "" is -ENOENT unless allow_empty. */
int copy_path_from_guest(struct task *task, gva_t src_gva, bool allow_empty, char **ret_path);
/* The iovec array of readv and kin: malloc'ed; checks IOV_MAX and the sum (SSIZE_MAX). */
int copy_iovec_from_guest(struct task *task, gva_t iov_gva, size_t nr, struct iovec **ret_iov,
			  size_t *ret_total);
/* Iterators over guest memory. `iov` is borrowed. len is capped at MAX_RW_COUNT. */
#define MAX_RW_COUNT 0x7ffff000UL
void iter_init_guest(struct io_iter *iter, struct task *task, gva_t gva, size_t len);
void iter_init_guest_iov(struct io_iter *iter, struct task *task, const struct iovec *iov,
			 size_t nr, size_t total);

struct window;
/*
 * Copies what waits in the window to go out, and drops it. -EFAULT: some of it did not go, as task->fault_gva tells,
 * and all is still there. Any thread, while nobody else uses the window.
 */
int usermem_flush(struct task *task, struct window *window);

struct usermem_stats {
	uint64_t reads, writes, bytes_in, bytes_out;
};
void usermem_get_stats(struct usermem_stats *ret);

#endif

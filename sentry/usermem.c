#include "sentry/usermem.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/sched/sched.h"
#include "sentry/task.h"
#include "sentry/window.h"

#define GUEST_PAGE 4096UL
#define GUEST_TOP 0x7ffffffff000UL /* TASK_SIZE_MAX */

static struct {
	atomic_ulong reads, writes, bytes_in, bytes_out;
} stats;

static void add(atomic_ulong *counter, size_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/*
 * A dead task's id must not be reused under our feet: the tracer reaps it only when nobody is
 * between these two.
 */
static bool mem_enter(struct task *task)
{
	atomic_fetch_add(&task->mem_users, 1);
	if (!atomic_load(&task->dead))
		return true;
	atomic_fetch_sub(&task->mem_users, 1);
	return false;
}

static void mem_leave(struct task *task)
{
	atomic_fetch_sub(&task->mem_users, 1);
}

/* Remembers where a copy that got `done` bytes far found no page; see fault.h. */
static void note_fault(struct task *task, const struct iovec *segs, size_t nr, size_t done)
{
	for (size_t i = 0; i < nr; i++) {
		if (done < segs[i].iov_len) {
			atomic_store(&task->fault_gva, (gva_t)segs[i].iov_base + done);
			return;
		}
		done -= segs[i].iov_len;
	}
}

/* What the running fiber's own call has, NULL: none. */
static struct window *window_of(struct task *task)
{
	return fiber_owner() == task ? task->window : NULL;
}

/* As process_vm_writev(2), all of it. */
static size_t write_memory(struct task *task, const struct iovec *segs, size_t nr, const void *buf,
			   size_t len)
{
	struct iovec local = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	long n;

	if (!mem_enter(task))
		return 0;
	n = HOST(process_vm_writev(task->tid, &local, 1, segs, nr, 0));
	mem_leave(task);
	if (n < (long)len)
		note_fault(task, segs, nr, n < 0 ? 0 : (size_t)n);
	if (n < 0)
		return 0;
	add(&stats.writes, 1);
	add(&stats.bytes_out, (size_t)n);
	return (size_t)n;
}

int usermem_flush(struct task *task, struct window *window)
{
	for (unsigned i = 0; i < window->nr_out; i++) {
		const struct window_piece *piece = &window->pieces_out[i];
		struct iovec remote = { (void *)piece->gva, piece->len };

		if (write_memory(task, &remote, 1, window->out + piece->at, piece->len) < piece->len)
			return -EFAULT;
	}
	window_drop_out(window);
	return 0;
}

static size_t guest_write(void *mem, const struct iovec *segs, size_t nr, const void *buf,
			  size_t len)
{
	struct task *task = mem;
	struct window *window = window_of(task);
	size_t n;

	if (window && window_put(window, segs, nr, buf))
		return len;
	/* In the order in which they were written. */
	if (window && window->nr_out && usermem_flush(task, window))
		return 0;
	n = write_memory(task, segs, nr, buf, len);
	if (window && n == len)
		window_learn(window, segs, nr);
	return n;
}

static size_t guest_read(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len)
{
	struct task *task = mem;
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct window *window = window_of(task);
	long n;

	if (window && window_get(window, segs, nr, buf))
		return len;
	if (window && window->nr_out && usermem_flush(task, window))
		return 0;
	if (!mem_enter(task))
		return 0;
	n = HOST(process_vm_readv(task->tid, &local, 1, segs, nr, 0));
	mem_leave(task);
	if (n < (long)len)
		note_fault(task, segs, nr, n < 0 ? 0 : (size_t)n);
	if (n < 0)
		return 0;
	add(&stats.reads, 1);
	add(&stats.bytes_in, (size_t)n);
	return (size_t)n;
}

static const struct io_iter_ops guest_iter_ops = { .write = guest_write, .read = guest_read };

size_t copy_from_guest_partial(struct task *task, void *dst, gva_t src_gva, size_t len)
{
	struct iovec remote = { .iov_base = (void *)src_gva, .iov_len = len };

	return len ? guest_read(task, &remote, 1, dst, len) : 0;
}

int copy_from_guest(struct task *task, void *dst, gva_t src_gva, size_t len)
{
	return copy_from_guest_partial(task, dst, src_gva, len) == len ? 0 : -EFAULT;
}

int copy_to_guest(struct task *task, gva_t dst_gva, const void *src, size_t len)
{
	struct iovec remote = { .iov_base = (void *)dst_gva, .iov_len = len };

	if (len == 0)
		return 0;
	return guest_write(task, &remote, 1, src, len) == len ? 0 : -EFAULT;
}

/* Reads up to the next page boundary each time: the page behind the string may be unmapped. */
ssize_t copy_string_from_guest(struct task *task, char *buf, gva_t src_gva, size_t size)
{
	struct window *window = window_of(task);
	size_t done = window ? window_peek(window, src_gva, buf, size) : 0;

	if (done && memchr(buf, 0, done))
		return (ssize_t)strlen(buf);
	done = 0; /* all of it, then */
	while (done < size) {
		size_t part = GUEST_PAGE - ((src_gva + done) & (GUEST_PAGE - 1));
		const char *nul;

		/* Most paths are short: do not copy a page for twenty bytes. */
		if (done == 0 && part > 256)
			part = 256;
		if (part > size - done)
			part = size - done;
		if (copy_from_guest(task, buf + done, src_gva + done, part))
			return -EFAULT;
		nul = memchr(buf + done, 0, part);
		if (nul)
			return nul - buf;
		done += part;
	}
	return -ENAMETOOLONG;
}

int copy_path_from_guest(struct task *task, gva_t src_gva, bool allow_empty, char **ret_path)
{
	char *path = malloc(PATH_MAX);
	ssize_t len;

	if (!path)
		return -ENOMEM;
	len = copy_string_from_guest(task, path, src_gva, PATH_MAX);
	if (len == 0 && !allow_empty)
		len = -ENOENT;
	if (len < 0) {
		free(path);
		return (int)len;
	}
	*ret_path = path;
	return 0;
}

int copy_iovec_from_guest(struct task *task, gva_t iov_gva, size_t nr, struct iovec **ret_iov,
			  size_t *ret_total)
{
	struct iovec *iov;
	size_t total = 0;

	if (nr > IOV_MAX)
		return -EINVAL;
	iov = malloc((nr ? nr : 1) * sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	if (copy_from_guest(task, iov, iov_gva, nr * sizeof(*iov))) {
		free(iov);
		return -EFAULT;
	}
	for (size_t i = 0; i < nr; i++) {
		if ((ssize_t)iov[i].iov_len < 0) {
			free(iov);
			return -EINVAL;
		}
		if ((gva_t)iov[i].iov_base > GUEST_TOP - iov[i].iov_len ||
		    iov[i].iov_len > GUEST_TOP) {
			free(iov);
			return -EFAULT;
		}
		/* As import_iovec(): what goes past the cap is cut off, not refused. */
		if (iov[i].iov_len > MAX_RW_COUNT - total)
			iov[i].iov_len = MAX_RW_COUNT - total;
		total += iov[i].iov_len;
	}
	*ret_iov = iov;
	*ret_total = total;
	return 0;
}

void iter_init_guest(struct io_iter *iter, struct task *task, gva_t gva, size_t len)
{
	iter_init_one(iter, &guest_iter_ops, task, gva, len < MAX_RW_COUNT ? len : MAX_RW_COUNT);
}

void iter_init_guest_iov(struct io_iter *iter, struct task *task, const struct iovec *iov,
			 size_t nr, size_t total)
{
	iter_init_segs(iter, &guest_iter_ops, task, iov, nr, total);
}

void usermem_get_stats(struct usermem_stats *ret)
{
	*ret = (struct usermem_stats){
		.reads = atomic_load(&stats.reads),
		.writes = atomic_load(&stats.writes),
		.bytes_in = atomic_load(&stats.bytes_in),
		.bytes_out = atomic_load(&stats.bytes_out),
	};
}

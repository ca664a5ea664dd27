/*
 * poll(2) and ppoll(2). What a signal does to them: ppoll writes the remaining time back and is
 * restarted only when no handler ran; poll has no place for that time and continues through
 * restart_syscall(2) with its deadline (cf. do_restart_poll() in fs/select.c).
 */
#include "syscalls/poll.h"

#include <poll.h>
#include <stdlib.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/call.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/select.h"
#include "vfs/file.h"
#include "vfs/poll.h"

int64_t deadline_after_ms(int timeout_ms)
{
	if (timeout_ms < 0)
		return WAIT_FOREVER;
	if (timeout_ms == 0)
		return -1;
	return clock_monotonic_ns() + (int64_t)timeout_ms * 1000000;
}

int use_sigmask(struct task *task, gva_t sigmask_gva, uint64_t size)
{
	uint64_t mask;

	if (!sigmask_gva)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (copy_from_guest(task, &mask, sigmask_gva, sizeof(mask)))
		return -EFAULT;
	call_set_sigmask(task, sigmask_gva);
	return 0;
}

/* Files behind the numbers. Returns how many are no open descriptors (POLLNVAL). */
static size_t poll_get_files(struct task *task, struct pollfd *fds, struct poll_item *items,
			     size_t nfds)
{
	size_t i, invalid = 0;

	for (i = 0; i < nfds; i++) {
		items[i] = (struct poll_item){.events = (unsigned short)fds[i].events};
		fds[i].revents = 0;
		if (fds[i].fd < 0)
			continue;
		items[i].file = task_file(task, fds[i].fd);
		if (!items[i].file) {
			fds[i].revents = POLLNVAL;
			invalid++;
		}
	}
	return invalid;
}

/* Results into fds; drops the files. Returns how many have any. */
static int64_t poll_put_files(struct pollfd *fds, struct poll_item *items, size_t nfds)
{
	int64_t count = 0;
	size_t i;

	for (i = 0; i < nfds; i++) {
		if (items[i].file) {
			fds[i].revents = (short)(items[i].revents &
						 (items[i].events | POLLERR | POLLHUP | POLLNVAL));
			file_put(items[i].file);
		}
		if (fds[i].revents)
			count++;
	}
	return count;
}

static int64_t poll_fds(struct task *task, gva_t fds_gva, size_t nfds, int64_t deadline_ns)
{
	cleanup_free struct pollfd *fds = NULL;
	cleanup_free struct poll_item *items = NULL;
	int64_t result, count;

	if (nfds > task_nofile(task))
		return -EINVAL;
	fds = malloc(nfds * sizeof(*fds) + 1);
	items = malloc(nfds * sizeof(*items) + 1);
	if (!fds || !items)
		return -ENOMEM;
	if (copy_from_guest(task, fds, fds_gva, nfds * sizeof(*fds)))
		return -EFAULT;
	if (poll_get_files(task, fds, items, nfds))
		deadline_ns = -1;
	result = vfs_poll_items(task_ctx(task), items, nfds, deadline_ns);
	count = poll_put_files(fds, items, nfds);
	if (result < 0)
		return result == -ERESTARTSYS ? -ERESTARTNOHAND : result;
	if (copy_to_guest(task, fds_gva, fds, nfds * sizeof(*fds)))
		return -EFAULT;
	return count;
}

static int64_t poll_until(struct task *task, gva_t fds_gva, uint64_t nfds, uint64_t timeout,
			  int64_t deadline_ns);

static int64_t poll_restart(struct task *task)
{
	const struct restart_block *block = &task->restart;

	return poll_until(task, block->args[0], block->args[1], block->args[2], block->deadline_ns);
}

/* The saved arguments also tell restart_syscall(2) that the block is of the call it continues. */
static int64_t poll_until(struct task *task, gva_t fds_gva, uint64_t nfds, uint64_t timeout,
			  int64_t deadline_ns)
{
	int64_t result = poll_fds(task, fds_gva, (unsigned)nfds, deadline_ns);

	if (result != -ERESTARTNOHAND)
		return result;
	task->restart = (struct restart_block){
		.fn = poll_restart,
		.args = {fds_gva, nfds, timeout, task->call.ip_gva},
		.deadline_ns = deadline_ns,
	};
	return -ERESTART_RESTARTBLOCK;
}

int64_t sys_poll(struct task *task, const uint64_t *args)
{
	return poll_until(task, args[0], args[1], args[2], deadline_after_ms((int)args[2]));
}

int64_t sys_ppoll(struct task *task, const uint64_t *args)
{
	struct wait_time time;
	int64_t result;

	result = wait_time_get(task, args[2], WAIT_TIMESPEC, &time);
	if (!result)
		result = use_sigmask(task, args[3], args[4]);
	if (result)
		return result;
	result = poll_fds(task, args[0], (unsigned)args[1], time.deadline_ns);
	return wait_time_put(task, &time, result);
}

/*
 * Continues an interrupted poll(2). Native calls (nanosleep) use the same number: only a block
 * whose call had these very registers is ours.
 */
int64_t sys_restart_syscall(struct task *task, const uint64_t *args)
{
	struct restart_block *block = &task->restart;
	int64_t (*fn)(struct task *) = block->fn;

	if (!fn || block->args[0] != args[0] || block->args[1] != args[1] ||
	    block->args[2] != args[2] || block->args[3] != task->call.ip_gva)
		return CALL_NATIVE;
	block->fn = NULL;
	return fn(task);
}

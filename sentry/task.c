/*
 * The tables of tasks and processes, and what happens to their parts at birth, exec and exit.
 */
#include "sentry/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/exec.h"
#include "sentry/lane/lane.h"
#include "sentry/usermem.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/mapped.h"
#include "vfs/tty/tty.h"
#include "vfs/uring/uring.h"

#define TID_MAX 4194304 /* PID_MAX_LIMIT of 64-bit kernels */

static struct fb_mutex list_lock = FB_MUTEX_INIT(RANK_TASKS);
static struct list_node processes = LIST_INIT(processes); /* guarded by list_lock */
static int nr_tasks;					   /* guarded by list_lock */
static int nr_reserved;					   /* of children; guarded by list_lock */
static int max_tasks = INT_MAX;
/* Indexed by host tid, filled lazily by the host: a lookup is one load. */
static struct task *_Atomic *by_tid;

static void by_tid_init(void)
{
	void *map;

	if (by_tid)
		return;
	map = mmap(NULL, TID_MAX * sizeof(*by_tid), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		fb_die("no address space for the task table");
	by_tid = map;
}

struct task *task_by_tid(pid_t tid)
{
	if (!by_tid || tid <= 0 || tid >= TID_MAX)
		return NULL;
	return atomic_load_explicit(&by_tid[tid], memory_order_acquire);
}

struct task *task_get_by_tid(pid_t tid)
{
	struct task *task;

	fb_mutex_lock(&list_lock);
	task = task_by_tid(tid);
	if (task)
		ref_get(&task->ref);
	fb_mutex_unlock(&list_lock);
	return task;
}

int task_count(void)
{
	int n;

	fb_mutex_lock(&list_lock);
	n = nr_tasks;
	fb_mutex_unlock(&list_lock);
	return n;
}

void task_set_max(unsigned max)
{
	max_tasks = max && max < INT_MAX ? (int)max : INT_MAX;
}

int task_reserve_child(struct task *task)
{
	int err = 0;

	fb_mutex_lock(&list_lock);
	if (!task->child_reserved) {
		if (nr_tasks + nr_reserved >= max_tasks) {
			err = -EAGAIN;
		} else {
			task->child_reserved = true;
			nr_reserved++;
		}
	}
	fb_mutex_unlock(&list_lock);
	return err;
}

/* The child is there, or its parent is gone. list_lock held. */
static void unreserve_child(struct task *task)
{
	if (task->child_reserved)
		nr_reserved--;
	task->child_reserved = false;
}

struct task *task_get(struct task *task)
{
	ref_get(&task->ref);
	return task;
}

void task_put(struct task *task)
{
	if (!task || !ref_put(&task->ref))
		return;
	fb_assert(!task->files && !task->fs);
	cred_put(task->cred);
	lane_thread_free(task->lane);
	process_put(task->process);
	fb_mutex_destroy(&task->lock);
	fb_mutex_destroy(&task->call.lock);
	free(task);
}

struct process *process_get(struct process *process)
{
	ref_get(&process->ref);
	return process;
}

void process_put(struct process *process)
{
	struct process *parent;

	while (process && ref_put(&process->ref)) {
		parent = process->parent;
		file_put(process->exe);
		lane_put(process->lane);
		fb_mutex_destroy(&process->lock);
		free(process);
		process = parent;
	}
}

/* Birth. */

static struct process *process_new(pid_t pid, struct process *parent)
{
	struct process *process = calloc(1, sizeof(*process));

	if (!process)
		return NULL;
	ref_init(&process->ref);
	process->pid = pid;
	process->parent = parent ? process_get(parent) : NULL;
	list_init(&process->threads);
	list_init(&process->node);
	fb_mutex_init(&process->lock, RANK_LEAF);
	waitq_init(&process->exit_waiters);
	process->dumpable = true;
	process->start_time_ns = clock_monotonic_ns();
	return process;
}

/* Takes the references of files, fs and cred. */
static struct task *task_alloc(pid_t tid, struct process *process, struct fdtable *files,
			       struct fs_struct *fs, const struct cred *cred)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	ref_init(&task->ref);
	task->tid = tid;
	task->process = process_get(process);
	list_init(&task->thread_node);
	list_init(&task->call.blocked_node);
	fb_mutex_init(&task->lock, RANK_LEAF);
	fb_mutex_init(&task->call.lock, RANK_CALL);
	task->files = files;
	task->fs = fs;
	task->cred = cred;
	return task;
}

/* From now on it can be found; it takes the place that its parent (NULL: has none) reserved. */
static void task_publish(struct task *task, struct task *parent)
{
	struct process *process = task->process;

	fb_mutex_lock(&list_lock);
	list_add_tail(&process->threads, &task->thread_node);
	process->nr_threads++;
	process->nr_live++;
	if (list_empty(&process->node))
		list_add_tail(&processes, &process_get(process)->node);
	nr_tasks++;
	if (parent)
		unreserve_child(parent);
	atomic_store_explicit(&by_tid[task->tid], task, memory_order_release);
	fb_mutex_unlock(&list_lock);
}

static struct rlimit first_nofile = { 1024, 4096 };
static struct rlimit first_fsize = { RLIM_INFINITY, RLIM_INFINITY };

void task_set_first_limits(void)
{
	(void)getrlimit(RLIMIT_FSIZE, &first_fsize);
	if (getrlimit(RLIMIT_NOFILE, &first_nofile))
		return;
	if (first_nofile.rlim_max > FDTABLE_MAX)
		first_nofile.rlim_max = FDTABLE_MAX;
	if (first_nofile.rlim_cur > first_nofile.rlim_max)
		first_nofile.rlim_cur = first_nofile.rlim_max;
}

void task_set_first_limit(int resource, rlim_t value)
{
	struct rlimit *limit = resource == RLIMIT_NOFILE ? &first_nofile
			     : resource == RLIMIT_FSIZE	 ? &first_fsize
							 : NULL;

	if (!limit)
		return;
	if (resource == RLIMIT_NOFILE && value > FDTABLE_MAX)
		value = FDTABLE_MAX;
	limit->rlim_cur = limit->rlim_max = value;
}

struct task *task_new_first(pid_t tid, struct fdtable *files, struct fs_struct *fs,
			    const struct cred *cred)
{
	struct process *process;
	struct task *task;

	by_tid_init();
	process = process_new(tid, NULL);
	if (!process)
		return NULL;
	process->nofile = first_nofile;
	process->fsize = first_fsize;
	task = task_alloc(tid, process, files, fs, cred);
	if (task)
		task_publish(task, NULL);
	process_put(process);
	return task;
}

static struct process *process_fork(struct task *parent, pid_t pid, uint64_t flags)
{
	struct process *old = parent->process, *process;
	struct process *real_parent = flags & CLONE_PARENT ? old->parent : old;

	process = process_new(pid, real_parent);
	if (!process)
		return NULL;
	fb_mutex_lock(&old->lock);
	process->exe = old->exe ? file_get(old->exe) : NULL;
	memcpy(process->comm, old->comm, sizeof(process->comm));
	process->arg_start_gva = old->arg_start_gva;
	process->arg_end_gva = old->arg_end_gva;
	process->env_start_gva = old->env_start_gva;
	process->env_end_gva = old->env_end_gva;
	process->nofile = old->nofile;
	process->fsize = old->fsize;
	process->dumpable = old->dumpable;
	process->no_new_privs = old->no_new_privs;
	fb_mutex_unlock(&old->lock);
	return process;
}

int task_fork(struct task *parent, pid_t child_tid, uint64_t flags, struct task **ret_child)
{
	struct fdtable *files;
	struct fs_struct *fs;
	struct process *process;
	struct task *task;

	files = flags & CLONE_FILES ? fdtable_get(parent->files) : fdtable_copy(parent->files);
	fs = flags & CLONE_FS ? fs_struct_get(parent->fs) : fs_struct_copy(parent->fs);
	process = flags & CLONE_THREAD ? process_get(parent->process)
				       : process_fork(parent, child_tid, flags);
	if (!files || !fs || !process)
		goto out;
	task = task_alloc(child_tid, process, files, fs, cred_get(parent->cred));
	if (!task)
		goto out;
	task_publish(task, parent);
	process_put(process);
	*ret_child = task;
	return 0;
out:
	if (files)
		fdtable_put(&parent->ctx, files);
	fs_struct_put(fs);
	process_put(process);
	return -ENOMEM;
}

/* Exec and exit. */

void task_exec_takeover(struct task *task, pid_t leader_tid)
{
	if (task->tid == leader_tid)
		return;
	fb_mutex_lock(&list_lock);
	atomic_store(&by_tid[task->tid], NULL);
	task->tid = leader_tid;
	atomic_store(&task->guest_tid, 0);
	atomic_store(&by_tid[leader_tid], task);
	fb_mutex_unlock(&list_lock);
}

void task_set_dead(struct task *task)
{
	atomic_store(&task->dead, true);
	while (atomic_load(&task->mem_users) > 0)
		sched_yield();
}

void task_forget(struct task *task)
{
	struct process *process = task->process, *listed = NULL;

	fb_mutex_lock(&list_lock);
	if (task_by_tid(task->tid) == task)
		atomic_store(&by_tid[task->tid], NULL);
	list_del(&task->thread_node);
	nr_tasks--;
	unreserve_child(task);
	if (--process->nr_threads == 0) {
		list_del(&process->node);
		process->exited = true;
		listed = process;
	}
	fb_mutex_unlock(&list_lock);
	if (listed) {
		lane_unshare(listed);
		mapped_kick();
		waitq_wake_all(&listed->exit_waiters, 0);
		process_put(listed);
	}
	task_put(task);
}

static bool was_last_thread(struct process *process)
{
	bool last;
	pid_t sid;

	fb_mutex_lock(&list_lock);
	last = --process->nr_live == 0;
	fb_mutex_unlock(&list_lock);
	sid = last ? (pid_t)HOST(getsid(process->pid)) : 0;
	return sid == process->pid || sid == -ESRCH; /* reaped already: perhaps a session leader */
}

void task_exit(struct task *task)
{
	const struct op_ctx *ctx = task_ctx(task);
	struct fdtable *files = task->files;
	struct fs_struct *fs = task->fs;

	pid_t pid = was_last_thread(task->process) ? process_guest_pid(task->process) : 0;

	if (pid)
		tty_session_exit(pid);
	lane_leave(task);
	/* Before its files: requests hold them. */
	uring_task_cancel(task->uring, true);
	uring_task_free(task->uring);
	task->uring = NULL;
	fdtable_put(ctx, files);
	task->files = NULL;
	fs_struct_put(fs);
	task->fs = NULL;
	exec_state_free(task);
}

void task_for_each(void (*fn)(struct task *task, void *arg), void *arg)
{
	struct process *process;
	struct task *task;

	fb_mutex_lock(&list_lock);
	list_for_each(process, &processes, node)
		list_for_each(task, &process->threads, thread_node)
			fn(task, arg);
	fb_mutex_unlock(&list_lock);
}

/* Walks. */

struct process *process_next(struct process *prev)
{
	struct list_node *next;
	struct process *process = NULL;

	fb_mutex_lock(&list_lock);
	next = prev ? prev->node.next : processes.next;
	/* prev may have left the list meanwhile: then the walk ends. */
	if (next != &processes && !(prev && list_empty(&prev->node)))
		process = process_get(list_entry(next, struct process, node));
	fb_mutex_unlock(&list_lock);
	process_put(prev);
	return process;
}

int process_threads(struct process *process, pid_t *ret_guest_tids, int max)
{
	struct task *task;
	int n = 0;

	fb_mutex_lock(&list_lock);
	list_for_each(task, &process->threads, thread_node) {
		if (n < max)
			ret_guest_tids[n] = task_guest_tid(task);
		n++;
	}
	fb_mutex_unlock(&list_lock);
	return n;
}

struct task *process_task(struct process *process)
{
	struct task *task = NULL;

	fb_mutex_lock(&list_lock);
	if (!list_empty(&process->threads))
		task = task_get(list_first(&process->threads, struct task, thread_node));
	fb_mutex_unlock(&list_lock);
	return task;
}

void process_kill_exit(struct process *process)
{
	struct task *task;

	fb_mutex_lock(&list_lock);
	list_for_each(task, &process->threads, thread_node)
		call_kill_exit(task);
	fb_mutex_unlock(&list_lock);
}

struct task *task_get_by_guest_tid(pid_t guest_tid)
{
	struct task *task, *found = NULL;
	struct process *process;

	fb_mutex_lock(&list_lock);
	list_for_each(process, &processes, node)
		list_for_each(task, &process->threads, thread_node)
			if (!found && task_guest_tid(task) == guest_tid)
				found = task_get(task);
	fb_mutex_unlock(&list_lock);
	return found;
}

struct process *process_get_by_guest_pid(pid_t guest_pid)
{
	struct process *process, *found = NULL;

	fb_mutex_lock(&list_lock);
	list_for_each(process, &processes, node)
		if (!found && process_guest_pid(process) == guest_pid)
			found = process_get(process);
	fb_mutex_unlock(&list_lock);
	return found;
}

/* Context and credentials. */

static void ctx_signal(const struct op_ctx *ctx, int signo)
{
	(void)task_signal_thread(ctx->task, signo);
}

static int ctx_signal_pgrp(const struct op_ctx *ctx, pid_t pgid, int signo)
{
	(void)ctx;
	return task_signal_pgrp(pgid, signo);
}

static pid_t ctx_sid(const struct op_ctx *ctx)
{
	return guest_pid_of(getsid(((struct task *)ctx->task)->tid));
}

static pid_t ctx_pgid(const struct op_ctx *ctx)
{
	return guest_pid_of(getpgid(((struct task *)ctx->task)->tid));
}

static void ctx_memory(const struct op_ctx *ctx, struct io_iter *iter, const struct iovec *segs,
		       size_t nr_segs, size_t count)
{
	iter_init_guest_iov(iter, ctx->task, segs, nr_segs, count);
}

static const struct op_ctx_ops task_ctx_ops = {
	.signal = ctx_signal,
	.signal_pgrp = ctx_signal_pgrp,
	.sid = ctx_sid,
	.pgid = ctx_pgid,
	.iter_init = ctx_memory,
};

const struct op_ctx *task_ctx(struct task *task)
{
	struct op_ctx *ctx = &task->ctx;

	ctx->cred = task->cred;
	ctx->fs = task->fs;
	ctx->files = task->files;
	ctx->tid = task_guest_tid(task);
	ctx->tgid = process_guest_pid(task->process);
	/* RLIM_INFINITY is UINT64_MAX. A torn read is impossible, a late one harmless. */
	ctx->fsize_limit = __atomic_load_n(&task->process->fsize.rlim_cur, __ATOMIC_RELAXED);
	ctx->ops = &task_ctx_ops;
	ctx->task = task;
	return ctx;
}

void task_set_cred(struct task *task, const struct cred *cred)
{
	const struct cred *old;

	fb_mutex_lock(&task->lock);
	old = task->cred;
	task->cred = cred;
	fb_mutex_unlock(&task->lock);
	task->ctx.cred = cred;
	cred_put(old);
}

const struct cred *task_get_cred(struct task *task)
{
	const struct cred *cred;

	fb_mutex_lock(&task->lock);
	cred = cred_get(task->cred);
	fb_mutex_unlock(&task->lock);
	return cred;
}

void task_set_files(struct task *task, struct fdtable *files)
{
	struct fdtable *old = task->files;

	task->files = files;
	fdtable_put(task_ctx(task), old);
}

void task_set_fs(struct task *task, struct fs_struct *fs)
{
	struct fs_struct *old = task->fs;

	task->fs = fs;
	fs_struct_put(old);
}

uint64_t task_nofile(struct task *task)
{
	uint64_t limit;

	fb_mutex_lock(&task->process->lock);
	limit = task->process->nofile.rlim_cur;
	fb_mutex_unlock(&task->process->lock);
	return limit;
}

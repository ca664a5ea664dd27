/*
 * The source of procfs: who lives in the sandbox comes from the task list, what the host kernel
 * knows about them from the host's /proc (the sentry traces its guests, so it may look).
 */
#include "sentry/procinfo.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/hostproc.h"
#include "sentry/task.h"
#include "sentry/uts.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/procfs.h"
#include "vfs/fs_struct.h"
#include "vfs/strbuf.h"
#include "vfs/tty/tty.h"

#define THREADS_MAX    32768	   /* shown of one process */
#define TEXT_MAX_BYTES (32u << 20) /* of one host file: a guest can make its maps long */
#define CHUNK_BYTES    16384

/* A handle is the task itself. */
static struct task *task_of(struct proc_task *handle)
{
	return (struct task *)handle;
}

static struct proc_task *handle_of(struct task *task)
{
	return (struct proc_task *)task;
}

/*
 * The sandbox's pid 1 is no guest but our reaper, in a pid namespace of its own (launch_child.c).
 * Guests may see that it is there: this handle stands for it.
 */
static char init_handle;
static const struct cred *init_cred; /* constant after procinfo_init() */

static bool is_init(const struct proc_task *handle)
{
	return handle == (const void *)&init_handle;
}

/* False where guests live in our own pid namespace: pid 1 is not theirs then. */
static bool have_init(void)
{
	return guest_pid_of(getpid()) != getpid() && host_pid_of(1) > 0;
}

static pid_t host_tid(struct proc_task *handle)
{
	return is_init(handle) ? host_pid_of(1) : task_of(handle)->tid;
}

static pid_t host_pid(struct proc_task *handle)
{
	return is_init(handle) ? host_pid_of(1) : task_of(handle)->process->pid;
}

/* ---- the host's texts ---- */

static int read_all(int hostfd, struct strbuf *out)
{
	cleanup_free char *chunk = malloc(CHUNK_BYTES);
	ssize_t got;

	if (!chunk)
		return -ENOMEM;
	while (out->len < TEXT_MAX_BYTES) {
		got = HOST(read(hostfd, chunk, CHUNK_BYTES));
		if (got == -EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		strbuf_add(out, chunk, (size_t)got);
	}
	return 0;
}

int procinfo_read(pid_t host_pid, const char *name, struct strbuf *out)
{
	cleanup_close int hostfd = -1;
	char path[64];

	if (host_pid)
		snprintf(path, sizeof(path), "%d/%s", (int)host_pid, name);
	else
		snprintf(path, sizeof(path), "%s", name);
	hostfd = hostproc_open(path, O_RDONLY);
	if (hostfd < 0)
		return hostfd == -ENOENT ? -ESRCH : hostfd;
	return read_all(hostfd, out);
}

pid_t procinfo_host_ppid(pid_t host_pid)
{
	char stat[512];
	const char *end;
	int ppid = 0;

	if (hostproc_read(host_pid, "stat", stat, sizeof(stat)) <= 0)
		return 0;
	end = strrchr(stat, ')');
	if (!end || sscanf(end + 1, " %*c %d", &ppid) != 1)
		return 0;
	return ppid;
}

#define STAT_RSS 24 /* column of proc(5); addresses come behind it */

/*
 * Pid 1 is a copy of the sentry: where things are in its memory is nobody's business, since they
 * are at the same places in ours.
 */
static int init_text(enum proc_text which, const char *name, struct strbuf *out)
{
	int err = procinfo_read(host_pid_of(1), name, out);
	char *end;

	if (err || which != PROC_TEXT_STAT || !out->buf)
		return err;
	end = strrchr(out->buf, ')');
	for (int column = 2; end && column <= STAT_RSS; column++)
		end = strchr(end + 1, ' ');
	if (!end)
		return -EIO;
	*end = '\0';
	out->len = (size_t)(end - out->buf);
	return 0;
}

static int info_text(struct proc_task *handle, enum proc_text which, bool whole, struct strbuf *out)
{
	static const char *const names[PROC_TEXT_COUNT] = {
		[PROC_TEXT_STAT] = "stat",
		[PROC_TEXT_STATUS] = "status",
		[PROC_TEXT_STATM] = "statm",
		[PROC_TEXT_LIMITS] = "limits",
		[PROC_TEXT_IO] = "io",
		[PROC_TEXT_SCHEDSTAT] = "schedstat",
		[PROC_TEXT_PERSONALITY] = "personality",
		[PROC_TEXT_WCHAN] = "wchan",
		[PROC_TEXT_OOM_SCORE] = "oom_score",
		[PROC_TEXT_OOM_SCORE_ADJ] = "oom_score_adj",
	};

	char path[64];

	if (is_init(handle))
		return init_text(which, names[which], out);
	/* /proc/TID is about the whole process, whichever of its threads TID is. */
	if (whole)
		return procinfo_read(host_tid(handle), names[which], out);
	snprintf(path, sizeof(path), "task/%d/%s", (int)host_tid(handle), names[which]);
	return procinfo_read(host_pid(handle), path, out);
}

static int info_machine(enum machine_text which, struct strbuf *out)
{
	static const char *const names[MACHINE_TEXT_COUNT] = {
		[MACHINE_TEXT_CPUINFO] = "cpuinfo", [MACHINE_TEXT_MEMINFO] = "meminfo",
		[MACHINE_TEXT_STAT] = "stat",	    [MACHINE_TEXT_UPTIME] = "uptime",
		[MACHINE_TEXT_LOADAVG] = "loadavg", [MACHINE_TEXT_VMSTAT] = "vmstat",
	};
	int err = procinfo_read(0, names[which], out);

	return err == -ESRCH ? -EIO : err;
}

static int info_memory(struct proc_task *handle, enum proc_memory which, struct strbuf *out)
{
	static const char *const names[] = {
		[PROC_MEMORY_CMDLINE] = "cmdline",
		[PROC_MEMORY_ENVIRON] = "environ",
		[PROC_MEMORY_AUXV] = "auxv",
	};

	if (is_init(handle))
		return 0;
	/* The loader has told the kernel where they are (prctl(2), PR_SET_MM). */
	return procinfo_read(task_of(handle)->tid, names[which], out);
}

static int info_maps(struct proc_task *handle, bool smaps, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;
	int err = is_init(handle)
			  ? -EACCES
			  : procinfo_read(task_of(handle)->tid, smaps ? "smaps" : "maps", &text);

	if (!err && text.failed)
		err = -ENOMEM;
	if (!err && text.buf)
		procmaps_translate(text.buf, out);
	strbuf_free(&text);
	return err;
}

/* The host's own rules apply: raising is free, lowering below the start value is not. */
static int info_set_oom_score_adj(struct proc_task *handle, int value)
{
	cleanup_close int hostfd = -1;
	char path[48], text[16];
	int len;
	long put;

	if (is_init(handle))
		return -EACCES;
	snprintf(path, sizeof(path), "%d/oom_score_adj", (int)task_of(handle)->tid);
	hostfd = hostproc_open(path, O_WRONLY);
	if (hostfd < 0)
		return hostfd;
	len = snprintf(text, sizeof(text), "%d", value);
	put = HOST(write(hostfd, text, (size_t)len));
	return put < 0 ? (int)put : 0;
}

/* ---- the task list ---- */

static pid_t info_next_pid(pid_t pid)
{
	struct process *process = NULL;
	pid_t best = 0;

	if (pid <= 1 && have_init())
		return 1;
	while ((process = process_next(process))) {
		pid_t here = process_guest_pid(process);

		if (here >= pid && here > 0 && (!best || here < best))
			best = here;
	}
	return best;
}

static pid_t next_tid(pid_t pid, pid_t tid)
{
	struct process *process = process_get_by_guest_pid(pid);
	cleanup_free pid_t *tids = calloc(THREADS_MAX, sizeof(*tids));
	pid_t best = 0;
	int count = 0;

	if (process && tids)
		count = process_threads(process, tids, THREADS_MAX);
	process_put(process);
	for (int i = 0; i < count && i < THREADS_MAX; i++)
		if (tids[i] >= tid && tids[i] > 0 && (!best || tids[i] < best))
			best = tids[i];
	return best;
}

static pid_t info_next_tid(pid_t pid, pid_t tid)
{
	if (pid == 1 && have_init())
		return tid <= 1 ? 1 : 0;
	return next_tid(pid, tid);
}

static struct proc_task *info_get(pid_t pid, pid_t tid)
{
	struct process *process;
	struct task *task;

	if (pid == 1 && tid <= 1 && have_init())
		return (struct proc_task *)(void *)&init_handle;
	if (!tid) {
		process = process_get_by_guest_pid(pid);
		task = process ? process_task(process) : task_get_by_guest_tid(pid);
		process_put(process);
		return handle_of(task);
	}
	task = task_get_by_guest_tid(tid);
	if (task && process_guest_pid(task->process) != pid) {
		task_put(task);
		task = NULL;
	}
	return handle_of(task);
}

static void info_put(struct proc_task *handle)
{
	if (!is_init(handle))
		task_put(task_of(handle));
}

/* Guest id of a process's parent; 0 when that is not in the sandbox (as getppid(2) says). */
static pid_t guest_ppid(pid_t host_pid)
{
	pid_t ppid = guest_pid_of(procinfo_host_ppid(host_pid));
	struct process *parent;

	if (ppid <= 0 || (ppid == 1 && have_init()))
		return ppid;
	parent = process_get_by_guest_pid(ppid);
	process_put(parent);
	return parent ? ppid : 0;
}

static void info_ids(struct proc_task *handle, struct proc_ids *ret_ids)
{
	struct process *process;
	pid_t none;

	if (is_init(handle)) {
		*ret_ids = (struct proc_ids){.tgid = 1, .nr_threads = 1, .no_new_privs = true};
		return;
	}
	process = task_of(handle)->process;
	*ret_ids = (struct proc_ids){
		.tgid = process_guest_pid(process),
		.nr_threads = process_threads(process, &none, 0),
	};
	fb_mutex_lock(&process->lock);
	ret_ids->no_new_privs = process->no_new_privs;
	ret_ids->dumpable = process->dumpable;
	fb_mutex_unlock(&process->lock);
}

static void info_relatives(struct proc_task *handle, struct proc_relatives *ret)
{
	pid_t pid;

	*ret = (struct proc_relatives){0};
	if (is_init(handle))
		return;
	pid = task_of(handle)->process->pid;
	ret->ppid = guest_ppid(pid);
	ret->pgid = guest_pid_of((pid_t)HOST(getpgid(pid)));
	ret->sid = guest_pid_of((pid_t)HOST(getsid(pid)));
}

static const struct cred *info_cred(struct proc_task *handle)
{
	return is_init(handle) ? cred_get(init_cred) : task_get_cred(task_of(handle));
}

/*
 * May another task look at `files` and `fs` now? They are replaced only by the task itself in one
 * of these calls, and dropped in its exit; call->lock, which we hold, keeps it from entering one.
 */
static bool parts_are_stable(const struct task *task)
{
	if (task->exiting)
		return false;
	if (!task->call.active && task->call.state == CALL_IDLE)
		return true;
	switch (task->call.nr) {
	case SYS_execve:
	case SYS_execveat:
	case SYS_unshare:
	case SYS_close_range:
	case SYS_setns:
	case SYS_exit:
	case SYS_exit_group:
		return false;
	}
	return true;
}

struct fdtable *procinfo_files(struct task *task)
{
	struct fdtable *files = NULL;

	fb_mutex_lock(&task->call.lock);
	if (parts_are_stable(task) && task->files)
		files = fdtable_get(task->files);
	fb_mutex_unlock(&task->call.lock);
	return files;
}

static struct fdtable *info_files(struct proc_task *handle)
{
	return is_init(handle) ? NULL : procinfo_files(task_of(handle));
}

static struct fs_struct *info_fs(struct proc_task *handle)
{
	struct task *task = task_of(handle);
	struct fs_struct *fs = NULL;

	if (is_init(handle))
		return NULL;
	fb_mutex_lock(&task->call.lock);
	if (parts_are_stable(task) && task->fs)
		fs = fs_struct_get(task->fs);
	fb_mutex_unlock(&task->call.lock);
	return fs;
}

static int info_exe(struct proc_task *handle, struct path *ret_path)
{
	struct process *process;
	struct file *exe;

	if (is_init(handle))
		return -ENOENT;
	process = task_of(handle)->process;
	fb_mutex_lock(&process->lock);
	exe = process->exe ? file_get(process->exe) : NULL;
	fb_mutex_unlock(&process->lock);
	if (!exe)
		return -ENOENT;
	path_get(&exe->path);
	*ret_path = exe->path;
	file_put(exe);
	return 0;
}

static void info_tty(struct proc_task *handle, dev_t *ret_dev, pid_t *ret_pgrp)
{
	pid_t sid = guest_pid_of((pid_t)HOST(getsid(host_pid(handle))));

	*ret_dev = 0;
	*ret_pgrp = -1;
	(void)tty_session_info(sid, ret_dev, ret_pgrp);
}

/* Threads name themselves natively (prctl(2)); the host has the latest name. */
static void info_comm(struct proc_task *handle, char ret_comm[16])
{
	struct task *task = task_of(handle);

	snprintf(ret_comm, 16, "?");
	if (hostproc_read(host_tid(handle), "comm", ret_comm, 16) > 0)
		ret_comm[strcspn(ret_comm, "\n")] = '\0';
	if (is_init(handle) || ret_comm[0] != '?')
		return;
	fb_mutex_lock(&task->process->lock);
	snprintf(ret_comm, 16, "%.15s", task->process->comm);
	fb_mutex_unlock(&task->process->lock);
}

/* The host lets only the thread group itself write its names. */
static int info_set_comm(struct proc_task *handle, const char *comm)
{
	(void)handle;
	(void)comm;
	return -EOPNOTSUPP;
}

static void info_nofile(struct proc_task *handle, uint64_t *ret_soft, uint64_t *ret_hard)
{
	struct process *process;

	*ret_soft = *ret_hard = 0;
	if (is_init(handle))
		return;
	process = task_of(handle)->process;
	fb_mutex_lock(&process->lock);
	*ret_soft = process->nofile.rlim_cur;
	*ret_hard = process->nofile.rlim_max;
	fb_mutex_unlock(&process->lock);
}

/* ---- the sandbox ---- */

static char boot_id[37]; /* constant after procinfo_init() */

static const char *info_boot_id(void)
{
	return boot_id;
}

static int make_boot_id(void)
{
	unsigned char id[16];

	if (HOST(getrandom(id, sizeof(id), 0)) != (long)sizeof(id))
		return -EIO;
	id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
	id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
	snprintf(boot_id, sizeof(boot_id),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0],
		 id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11],
		 id[12], id[13], id[14], id[15]);
	return 0;
}

static const struct proc_source source = {
	.next_pid = info_next_pid,
	.next_tid = info_next_tid,
	.get = info_get,
	.put = info_put,
	.ids = info_ids,
	.relatives = info_relatives,
	.cred = info_cred,
	.fs = info_fs,
	.files = info_files,
	.exe = info_exe,
	.tty = info_tty,
	.comm = info_comm,
	.set_comm = info_set_comm,
	.memory = info_memory,
	.maps = info_maps,
	.nofile = info_nofile,
	.text = info_text,
	.set_oom_score_adj = info_set_oom_score_adj,
	.machine = info_machine,
	.task_count = task_count,
	.uts = uts_get,
	.set_hostname = uts_set_hostname,
	.boot_id = info_boot_id,
};

int procinfo_init(void)
{
	int err = make_boot_id();

	if (err)
		return err;
	init_cred = cred_new(0, 0, NULL, 0);
	if (!init_cred)
		return -ENOMEM;
	taskops_init();
	procfs_set_source(&source);
	return 0;
}

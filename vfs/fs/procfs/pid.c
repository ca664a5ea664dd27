/*
 * procfs: /proc/PID and /proc/PID/task/TID. Both hold the same files; those of a thread's
 * directory are about the thread where that makes a difference (comm, stat, status).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/mount.h"
#include "vfs/perm.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"

struct proc_task *proc_task_get(const struct pseudo_key *key)
{
	return proc_source->get(key->pid, key->tid);
}

/*
 * Cf. __ptrace_may_access(): all three uids and gids are the caller's file system ids, or
 * CAP_SYS_PTRACE; a process that is not dumpable needs the capability. Threads of one process
 * may always look at each other.
 */
static bool creds_allow(const struct op_ctx *ctx, const struct cred *cred, bool dumpable)
{
	const struct cred *mine = ctx->cred;
	bool same = mine && mine->fsuid == cred->euid && mine->fsuid == cred->suid &&
		    mine->fsuid == cred->uid && mine->fsgid == cred->egid &&
		    mine->fsgid == cred->sgid && mine->fsgid == cred->gid;

	if (mine && cred_capable(mine, CAP_SYS_PTRACE))
		return true;
	return same && dumpable && (cred->cap_permitted & ~mine->cap_permitted) == 0;
}

int proc_may_access(const struct op_ctx *ctx, const struct pseudo_key *key)
{
	struct proc_task *task = proc_task_get(key);
	const struct cred *cred;
	struct proc_ids ids;
	bool allowed;

	if (!task)
		return -ENOENT;
	proc_source->ids(task, &ids);
	cred = proc_source->cred(task);
	allowed = ids.tgid == ctx->tgid || creds_allow(ctx, cred, ids.dumpable);
	cred_put(cred);
	proc_source->put(task);
	return allowed ? 0 : -EACCES;
}

/* cf. proc_fd_permission(): a program's own descriptors, even if it changed its fsuid. */
static bool own_fds(const struct op_ctx *ctx, const struct pseudo_key *key)
{
	struct proc_task *task = proc_task_get(key);
	struct proc_ids ids;

	if (!task)
		return false;
	proc_source->ids(task, &ids);
	proc_source->put(task);
	return ids.tgid == ctx->tgid;
}

int proc_parse_int(const char *text, long *ret_value)
{
	char *end;
	long value;

	while (*text == ' ' || *text == '\t')
		text++;
	/* strtol's range error shows in the value; errno is not for fibers. */
	value = strtol(text, &end, 10);
	if (end == text)
		return -EINVAL;
	while (*end == '\n' || *end == ' ' || *end == '\t')
		end++;
	if (*end)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/* ---- memory and texts ---- */

/* key->data: which, plus one. */
static int show_memory(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	int err;

	(void)ctx;
	if (!task)
		return -ESRCH;
	err = proc_source->memory(task, (enum proc_memory)((uintptr_t)key->data - 1), out);
	proc_source->put(task);
	return err;
}

static int show_text(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	int err;

	(void)ctx;
	if (!task)
		return -ESRCH;
	err = proc_source->text(task, (enum proc_text)((uintptr_t)key->data - 1), !key->tid, out);
	proc_source->put(task);
	return err;
}

static int show_maps(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	int err;

	(void)ctx;
	if (!task)
		return -ESRCH;
	err = proc_source->maps(task, key->data != NULL, out);
	proc_source->put(task);
	return err;
}

static int show_comm(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	char comm[16];

	(void)ctx;
	if (!task)
		return -ESRCH;
	proc_source->comm(task, comm);
	proc_source->put(task);
	strbuf_printf(out, "%.15s\n", comm);
	return 0;
}

/* Only threads of the process itself may rename (cf. comm_write()). */
static int store_comm(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		      size_t len)
{
	struct proc_task *task;
	char comm[16];
	int err;

	if (ctx->tgid != key->pid)
		return -EINVAL;
	task = proc_task_get(key);
	if (!task)
		return -ESRCH;
	if (len && text[len - 1] == '\n')
		len--;
	snprintf(comm, sizeof(comm), "%.*s", (int)(len > 15 ? 15 : len), text);
	err = proc_source->set_comm(task, comm);
	proc_source->put(task);
	return err;
}

static int store_oom_score_adj(const struct op_ctx *ctx, const struct pseudo_key *key,
			       const char *text, size_t len)
{
	struct proc_task *task;
	long value;
	int err = proc_parse_int(text, &value);

	(void)ctx;
	(void)len;
	if (err || value < -1000 || value > 1000)
		return -EINVAL;
	task = proc_task_get(key);
	if (!task)
		return -ESRCH;
	err = proc_source->set_oom_score_adj(task, (int)value);
	proc_source->put(task);
	return err;
}

/* key->data: the constant text. */
static int show_const(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	strbuf_puts(out, key->data);
	return 0;
}

static int show_sched(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct proc_task *task = proc_task_get(key);
	struct proc_ids ids;
	char comm[16];

	(void)ctx;
	if (!task)
		return -ESRCH;
	proc_source->comm(task, comm);
	proc_source->ids(task, &ids);
	proc_source->put(task);
	strbuf_printf(out, "%.15s (%d, #threads: %d)\n", comm, key->tid ? key->tid : key->pid,
		      ids.nr_threads);
	return 0;
}

/* The user namespace the guest believes in is the initial one. */
static int store_refused(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
			 size_t len)
{
	(void)ctx;
	(void)key;
	(void)text;
	(void)len;
	return -EPERM;
}

/* ---- links into the tree ---- */

static int link_exe(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		    struct path *ret_path)
{
	struct proc_task *task = proc_task_get(key);
	int err;

	(void)ctx;
	(void)ret_target;
	if (!task)
		return -ENOENT;
	err = proc_source->exe(task, ret_path);
	proc_source->put(task);
	return err;
}

static int link_fs(const struct pseudo_key *key, void (*get)(struct fs_struct *, struct path *),
		   struct path *ret_path)
{
	struct proc_task *task = proc_task_get(key);
	struct fs_struct *fs;

	if (!task)
		return -ENOENT;
	fs = proc_source->fs(task);
	proc_source->put(task);
	if (!fs)
		return -ENOENT;
	get(fs, ret_path);
	fs_struct_put(fs);
	return 0;
}

static int link_cwd(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		    struct path *ret_path)
{
	(void)ctx;
	(void)ret_target;
	return link_fs(key, fs_get_cwd, ret_path);
}

static int link_root(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		     struct path *ret_path)
{
	(void)ctx;
	(void)ret_target;
	return link_fs(key, fs_get_root, ret_path);
}

/* ---- mounts ---- */

/* The mount namespace of the task, with a reference, and its root. */
static int task_mounts(const struct pseudo_key *key, struct mnt_ns **ret_ns, struct path *ret_root)
{
	struct proc_task *task = proc_task_get(key);
	struct fs_struct *fs;

	if (!task)
		return -EINVAL;
	fs = proc_source->fs(task);
	proc_source->put(task);
	if (!fs)
		return -EINVAL;
	if (ret_root)
		fs_get_root(fs, ret_root);
	fb_mutex_lock(&fs->lock);
	*ret_ns = mnt_ns_get(fs->ns);
	fb_mutex_unlock(&fs->lock);
	fs_struct_put(fs);
	return 0;
}

/* key->data: enum mounts_format, plus one. */
static int show_mounts(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct mnt_ns *ns;
	struct path root;
	int err = task_mounts(key, &ns, &root);

	(void)ctx;
	if (err)
		return err;
	mnt_ns_show(ns, &root, (enum mounts_format)((uintptr_t)key->data - 1), out);
	mnt_ns_put(ns);
	path_put(&root);
	return 0;
}

static uint64_t mounts_count(void *ns)
{
	return mnt_ns_event(ns);
}

static void mounts_put(void *ns)
{
	mnt_ns_put(ns);
}

static int watch_mounts(const struct op_ctx *ctx, const struct pseudo_key *key,
			struct pseudo_watch *ret_watch)
{
	struct mnt_ns *ns;
	int err = task_mounts(key, &ns, NULL);

	(void)ctx;
	if (err)
		return err;
	*ret_watch = (struct pseudo_watch){ns, mnt_ns_poll_queue(ns), mounts_count, mounts_put};
	return 0;
}

/* ---- namespaces: names without objects ---- */

static int readlink_ns(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target)
{
	(void)ctx;
	*ret_target = strdup(key->data);
	return *ret_target ? 0 : -ENOMEM;
}

static int link_ns(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		   struct path *ret_path)
{
	(void)ctx;
	(void)key;
	(void)ret_target;
	(void)ret_path;
	return -EACCES; /* there is nothing to enter: setns(2) is refused */
}

#define NS(name_, text_)                                                                           \
	{                                                                                          \
		.name = (name_), .mode = S_IFLNK | 0777, .access = proc_may_access,                \
		.link = link_ns, .readlink = readlink_ns, .data = (text_)                          \
	}

/* The numbers of the initial namespaces (include/linux/proc_ns.h). */
static const struct pseudo_entry ns_entries[] = {
	NS("cgroup", "cgroup:[4026531835]"),
	NS("ipc", "ipc:[4026531839]"),
	NS("mnt", "mnt:[4026531841]"),
	NS("net", "net:[4026531840]"),
	NS("pid", "pid:[4026531836]"),
	NS("pid_for_children", "pid:[4026531836]"),
	NS("time", "time:[4026531834]"),
	NS("time_for_children", "time:[4026531834]"),
	NS("user", "user:[4026531837]"),
	NS("uts", "uts:[4026531838]"),
	{.name = NULL},
};

/* ---- the directory ---- */

#define ID_MAP			 "         0          0 4294967295\n"
#define NUM(n)			 ((const void *)(uintptr_t)((n) + 1))
#define REG(name_, mode_, show_) .name = (name_), .mode = S_IFREG | (mode_), .show = (show_)
#define CONST(name_, mode_, text_)                                                                 \
	{                                                                                          \
		REG(name_, mode_, show_const), .data = (text_)                                     \
	}
#define TEXT(name_, mode_, which_)                                                                 \
	{                                                                                          \
		REG(name_, mode_, show_text), .data = NUM(which_)                                  \
	}
#define MEMORY(name_, mode_, which_, access_)                                                      \
	{                                                                                          \
		REG(name_, mode_, show_memory), .data = NUM(which_), .access = (access_)           \
	}
#define MOUNTS(name_, which_)                                                                      \
	{                                                                                          \
		REG(name_, 0444, show_mounts), .data = NUM(which_), .watch = watch_mounts          \
	}
#define MAGIC(name_, link_)                                                                        \
	{                                                                                          \
		.name = (name_), .mode = S_IFLNK | 0777, .link = (link_),                          \
		.access = proc_may_access                                                          \
	}

#define ENTRIES_OF_THREADS_TOO                                                                     \
	{REG("stat", 0444, proc_show_stat)}, {REG("status", 0444, proc_show_status)},              \
		{REG("comm", 0644, show_comm), .store = store_comm},                               \
		MEMORY("cmdline", 0444, PROC_MEMORY_CMDLINE, NULL),                                \
		MEMORY("environ", 0400, PROC_MEMORY_ENVIRON, proc_may_access),                     \
		MEMORY("auxv", 0400, PROC_MEMORY_AUXV, proc_may_access), MAGIC("exe", link_exe),   \
		MAGIC("cwd", link_cwd), MAGIC("root", link_root),                                  \
		{.name = "fd",                                                                     \
		 .mode = S_IFDIR | 0500,                                                           \
		 .access = proc_may_access,                                                        \
		 .own = own_fds,                                                                   \
		 .dynamic = &proc_fd_names},                                                       \
		{.name = "fdinfo",                                                                 \
		 .mode = S_IFDIR | 0555,                                                           \
		 .access = proc_may_access,                                                        \
		 .own = own_fds,                                                                   \
		 .dynamic = &proc_fdinfo_names},                                                   \
		{REG("maps", 0444, show_maps), .access = proc_may_access},                         \
		{REG("smaps", 0444, show_maps), .access = proc_may_access, .data = NUM(0)},        \
		TEXT("statm", 0444, PROC_TEXT_STATM), MOUNTS("mounts", MOUNTS_MOUNTS),             \
		MOUNTS("mountinfo", MOUNTS_MOUNTINFO), {REG("limits", 0444, proc_show_limits)},    \
		CONST("cgroup", 0444, "0::/\n"), TEXT("oom_score", 0444, PROC_TEXT_OOM_SCORE),     \
		{REG("oom_score_adj", 0644, show_text), .store = store_oom_score_adj,              \
		 .data = NUM(PROC_TEXT_OOM_SCORE_ADJ)},                                            \
		{REG("loginuid", 0644, show_const), .store = store_refused, .data = "4294967295"}, \
		CONST("sessionid", 0444, "4294967295"),                                            \
		{REG("uid_map", 0644, show_const), .store = store_refused, .data = ID_MAP},        \
		{REG("gid_map", 0644, show_const), .store = store_refused, .data = ID_MAP},        \
		{REG("setgroups", 0644, show_const), .store = store_refused, .data = "allow\n"},   \
		{.name = "ns", .mode = S_IFDIR | 0511, .children = ns_entries},                    \
		TEXT("personality", 0400, PROC_TEXT_PERSONALITY),                                  \
		{REG("sched", 0644, show_sched)}, TEXT("schedstat", 0444, PROC_TEXT_SCHEDSTAT),    \
		TEXT("wchan", 0444, PROC_TEXT_WCHAN),                                              \
		{REG("io", 0400, show_text), .data = NUM(PROC_TEXT_IO),                            \
		 .access = proc_may_access},                                                       \
	{                                                                                          \
		.name = "net", .mode = S_IFDIR | 0555, .children = proc_net_entries,               \
		.dir = &procfs_net                                                                 \
	}

static const struct pseudo_entry tid_entries[] = {
	ENTRIES_OF_THREADS_TOO,
	{.name = NULL},
};

static const struct pseudo_entry tid_entry = {
	.name = "TID",
	.mode = S_IFDIR | 0555,
	.children = tid_entries,
};

static int tid_find(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		    struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	struct proc_task *task;
	int tid;

	(void)ctx;
	if (pseudo_parse_number(name, &tid) || tid == 0)
		return -ENOENT;
	task = proc_source->get(dir->pid, tid);
	if (!task)
		return -ENOENT;
	proc_source->put(task);
	ret_key->tid = tid;
	*ret_entry = &tid_entry;
	return 0;
}

static int tid_next(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	pid_t tid = proc_source->next_tid(dir->pid, *number);

	(void)ctx;
	if (!tid)
		return -ENOENT;
	*number = tid;
	return 0;
}

static const struct pseudo_dynamic tid_names = {
	.find = tid_find,
	.next = tid_next,
	.prefix = "",
	.dirent_type = DT_DIR,
};

static const struct pseudo_entry pid_entries[] = {
	ENTRIES_OF_THREADS_TOO,
	MOUNTS("mountstats", MOUNTS_MOUNTSTATS),
	{.name = "task", .mode = S_IFDIR | 0555, .dynamic = &tid_names},
	{.name = NULL},
};

static const struct pseudo_entry pid_entry = {
	.name = "PID",
	.mode = S_IFDIR | 0555,
	.children = pid_entries,
};

/* A thread's id works as well, but is not listed (proc(5)). */
static int pid_find(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		    struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	struct proc_task *task;
	int pid;

	(void)ctx;
	(void)dir;
	if (pseudo_parse_number(name, &pid) || pid == 0)
		return -ENOENT;
	task = proc_source->get(pid, 0);
	if (!task)
		return -ENOENT;
	proc_source->put(task);
	ret_key->pid = pid;
	*ret_entry = &pid_entry;
	return 0;
}

static int pid_next(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	pid_t pid = proc_source->next_pid(*number);

	(void)ctx;
	(void)dir;
	if (!pid)
		return -ENOENT;
	*number = pid;
	return 0;
}

const struct pseudo_dynamic proc_pid_names = {
	.find = pid_find,
	.next = pid_next,
	.prefix = "",
	.dirent_type = DT_DIR,
};

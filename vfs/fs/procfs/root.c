/* procfs: the file system, its root directory, and the files that are about the machine. */
#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "sentry/base/err.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/lock.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

/* ---- no source: no processes ---- */

static pid_t none_next_pid(pid_t pid)
{
	(void)pid;
	return 0;
}

static struct proc_task *none_get(pid_t pid, pid_t tid)
{
	(void)pid;
	(void)tid;
	return NULL;
}

static int none_machine(enum machine_text which, struct strbuf *out)
{
	(void)which;
	(void)out;
	return -EIO;
}

static int none_task_count(void)
{
	return 0;
}

static void none_uts(struct utsname *ret_uts)
{
	(void)uname(ret_uts);
}

static int none_set_hostname(const char *name, size_t len)
{
	(void)name;
	(void)len;
	return -EPERM;
}

static const char *none_boot_id(void)
{
	return "00000000-0000-0000-0000-000000000000";
}

static const struct proc_source no_source = {
	.next_pid = none_next_pid,
	.get = none_get,
	.machine = none_machine,
	.task_count = none_task_count,
	.uts = none_uts,
	.set_hostname = none_set_hostname,
	.boot_id = none_boot_id,
};

const struct proc_source *proc_source = &no_source;

void procfs_set_source(const struct proc_source *source)
{
	proc_source = source ? source : &no_source;
}

struct pseudo_dir procfs_root = PSEUDO_DIR_INIT(procfs_root);

/* ---- links ---- */

static int link_self(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		     struct path *ret_path)
{
	(void)key;
	(void)ret_path;
	if (ctx->tgid <= 0)
		return -ENOENT;
	return asprintf(ret_target, "%d", ctx->tgid) < 0 ? -ENOMEM : 0;
}

static int link_thread_self(const struct op_ctx *ctx, const struct pseudo_key *key,
			    char **ret_target, struct path *ret_path)
{
	(void)key;
	(void)ret_path;
	if (ctx->tgid <= 0)
		return -ENOENT;
	return asprintf(ret_target, "%d/task/%d", ctx->tgid, ctx->tid) < 0 ? -ENOMEM : 0;
}

/* ---- files ---- */

static int show_filesystems(const struct op_ctx *ctx, const struct pseudo_key *key,
			    struct strbuf *out)
{
	struct filesystem_type *type = NULL;

	(void)ctx;
	(void)key;
	while ((type = filesystem_next(type)) != NULL)
		strbuf_printf(out, "%s\t%s\n", type->fs_flags & FS_REQUIRES_DEV ? "" : "nodev",
			      type->name);
	return 0;
}

/* key->data: which text, plus one. */
static int show_machine(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	return proc_source->machine((enum machine_text)((uintptr_t)key->data - 1), out);
}

/* The host's numbers of interrupts name its devices: processors and totals only. */
static int show_stat(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;
	char *line, *rest;
	int err = proc_source->machine(MACHINE_TEXT_STAT, &text);

	(void)ctx;
	(void)key;
	rest = text.buf;
	while (!err && rest && *rest) {
		line = rest;
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		if (strncmp(line, "intr", 4) == 0 || strncmp(line, "softirq", 7) == 0)
			strbuf_printf(out, "%.*s 0\n", line[0] == 'i' ? 4 : 7, line);
		else
			strbuf_printf(out, "%s\n", line);
	}
	strbuf_free(&text);
	return err;
}

static pid_t last_pid(void)
{
	pid_t last = 0, pid = 0;

	while ((pid = proc_source->next_pid(pid + 1)) != 0)
		last = pid;
	return last;
}

/* The last two fields are about tasks: ours, not the host's. */
static int show_loadavg(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;
	int err = proc_source->machine(MACHINE_TEXT_LOADAVG, &text);
	double load[3] = {0, 0, 0};

	(void)ctx;
	(void)key;
	if (!err && text.buf)
		(void)sscanf(text.buf, "%lf %lf %lf", &load[0], &load[1], &load[2]);
	strbuf_free(&text);
	strbuf_printf(out, "%.2f %.2f %.2f 1/%d %d\n", load[0], load[1], load[2],
		      proc_source->task_count(), last_pid());
	return 0;
}

static int show_version(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct utsname uts;

	(void)ctx;
	(void)key;
	proc_source->uts(&uts);
	strbuf_printf(out, "%s version %s (fusebox) %s\n", uts.sysname, uts.release, uts.version);
	return 0;
}

static int show_kernel_cmdline(const struct op_ctx *ctx, const struct pseudo_key *key,
			       struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_putc(out, '\n'); /* the host's would tell who it is */
	return 0;
}

static int show_devices(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct chrdev_info info;
	unsigned shown = 0;
	dev_t dev = 0;

	(void)ctx;
	(void)key;
	strbuf_puts(out, "Character devices:\n");
	while (chrdev_next(&dev, &info)) {
		if (major(dev) == shown)
			continue;
		shown = major(dev);
		strbuf_printf(out, "%3u %s\n", shown,
			      shown == 1     ? "mem"
			      : shown == 5   ? "/dev/tty"
			      : shown == 10  ? "misc"
			      : shown == 136 ? "pts"
					     : info.name);
	}
	strbuf_puts(out, "136 pts\n\nBlock devices:\n");
	return 0;
}

static int show_misc(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct chrdev_info info;
	dev_t dev = 0;

	(void)ctx;
	(void)key;
	while (chrdev_next(&dev, &info))
		if (major(dev) == 10)
			strbuf_printf(out, "%3u %s\n", minor(dev), info.name);
	return 0;
}

static int show_swaps(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_puts(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}

static int show_partitions(const struct op_ctx *ctx, const struct pseudo_key *key,
			   struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_puts(out, "major minor  #blocks  name\n\n");
	return 0;
}

static int show_locks(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	locks_show(out);
	return 0;
}

static int show_cgroups(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_puts(out, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
	return 0;
}

static int show_nothing(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	(void)out;
	return 0;
}

/* By this ps(1) finds the name of a controlling terminal. */
static int show_tty_drivers(const struct op_ctx *ctx, const struct pseudo_key *key,
			    struct strbuf *out)
{
	static const char *const rows[][4] = {
		{"/dev/tty", "/dev/tty", "5       0", "system:/dev/tty"},
		{"/dev/console", "/dev/console", "5       1", "system:console"},
		{"/dev/ptmx", "/dev/ptmx", "5       2", "system"},
		{"pty_slave", "/dev/pts", "136 0-1048575", "pty:slave"},
		{"pty_master", "/dev/ptm", "128 0-1048575", "pty:master"},
	};

	(void)ctx;
	(void)key;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		strbuf_printf(out, "%-20s %-12s %3s %s\n", rows[i][0], rows[i][1], rows[i][2],
			      rows[i][3]);
	return 0;
}

#define MACHINE(name_, which_)                                                                     \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = show_machine,                     \
		.data = (const void *)(uintptr_t)((which_) + 1)                                    \
	}
#define TEXT(name_, show_)                                                                         \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = (show_)                           \
	}
#define LINK(name_, target_)                                                                       \
	{                                                                                          \
		.name = (name_), .mode = S_IFLNK | 0777, .target = (target_)                       \
	}

static const struct pseudo_entry tty_entries[] = {
	TEXT("drivers", show_tty_drivers),
	{.name = NULL},
};

static const struct pseudo_entry root_entries[] = {
	{.name = "self", .mode = S_IFLNK | 0777, .link = link_self},
	{.name = "thread-self", .mode = S_IFLNK | 0777, .link = link_thread_self},
	LINK("mounts", "self/mounts"),
	LINK("net", "self/net"),
	MACHINE("cpuinfo", MACHINE_TEXT_CPUINFO),
	MACHINE("meminfo", MACHINE_TEXT_MEMINFO),
	MACHINE("uptime", MACHINE_TEXT_UPTIME),
	MACHINE("vmstat", MACHINE_TEXT_VMSTAT),
	TEXT("stat", show_stat),
	TEXT("loadavg", show_loadavg),
	TEXT("version", show_version),
	TEXT("cmdline", show_kernel_cmdline),
	TEXT("filesystems", show_filesystems),
	TEXT("devices", show_devices),
	TEXT("misc", show_misc),
	TEXT("swaps", show_swaps),
	TEXT("partitions", show_partitions),
	TEXT("locks", show_locks),
	TEXT("modules", show_nothing),
	TEXT("diskstats", show_nothing),
	TEXT("cgroups", show_cgroups),
	{.name = "tty", .mode = S_IFDIR | 0555, .children = tty_entries},
	{.name = "sys", .mode = S_IFDIR | 0555, .children = proc_sys_entries},
	{.name = NULL},
};

static const struct pseudo_entry root_entry = {
	.name = "/",
	.mode = S_IFDIR | 0555,
	.children = root_entries,
	.dir = &procfs_root,
	.dynamic = &proc_pid_names,
};

/* ---- superblock ---- */

/* Cf. task_dump_owner() in fs/proc/base.c: directories anybody may list stay the task's. */
static int procfs_owner(const struct pseudo_key *key, const struct pseudo_entry *entry,
			uid_t *ret_uid, gid_t *ret_gid)
{
	const struct cred *cred;
	struct proc_task *task;
	struct proc_ids ids;

	if (!key->pid)
		return 0;
	task = proc_task_get(key);
	if (!task)
		return -ENOENT;
	proc_source->ids(task, &ids);
	if (ids.dumpable || entry->mode == (S_IFDIR | 0555)) {
		cred = proc_source->cred(task);
		*ret_uid = cred->euid;
		*ret_gid = cred->egid;
		cred_put(cred);
	}
	proc_source->put(task);
	return 0;
}

static const struct pseudo_fs procfs = {
	.root = &root_entry,
	.magic = PROC_SUPER_MAGIC,
	.no_negatives = true,
	.no_method = -EIO, /* cf. proc_reg_read() */
	.owner = procfs_owner,
};

/* hidepid, gid and subset are accepted and have no effect: one sandbox, one view. */
static int procfs_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			      const struct fs_parameter *param)
{
	static const char *const known[] = {"hidepid", "gid", "subset"};

	(void)ctx;
	(void)fc;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(param->key, known[i]) == 0)
			return 0;
	return -ENOPARAM;
}

static int procfs_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	(void)ctx;
	return pseudo_get_tree(fc, &procfs);
}

static const struct fs_context_ops procfs_context_ops = {
	.parse_param = procfs_parse_param,
	.get_tree = procfs_get_tree,
};

static int procfs_init_fs_context(struct fs_context *fc)
{
	fc->op = &procfs_context_ops;
	return 0;
}

struct filesystem_type procfs_type = {
	.name = "proc",
	.fs_flags = FS_USERNS_MOUNT,
	.init_fs_context = procfs_init_fs_context,
};

/*
 * procfs: /proc/sys. Most values are constants of this kernel of ours; the few that programs
 * write are kept here for the whole sandbox and checked as Linux does, but steer nothing. The modes
 * of its files bind even root (cf. proc_sys_permission()).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "sentry/base/err.h"
#include "vfs/ctx.h"
#include "vfs/fs/procfs/procfs_internal.h"
#include "vfs/perm.h"
#include "vfs/strbuf.h"

struct pseudo_dir procfs_sys_fs_fuse = PSEUDO_DIR_INIT(procfs_sys_fs_fuse);

/* A number that can be written. */
struct sysctl_int {
	atomic_long value;
	long min, max;
};

/* key->data: the constant text. */
static int show_const(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	strbuf_printf(out, "%s\n", (const char *)key->data);
	return 0;
}

static int show_int(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	const struct sysctl_int *sysctl = key->data;

	(void)ctx;
	strbuf_printf(out, "%ld\n", atomic_load(&sysctl->value));
	return 0;
}

static int store_int(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		     size_t len)
{
	struct sysctl_int *sysctl = (struct sysctl_int *)(uintptr_t)key->data;
	long value;

	(void)len;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (proc_parse_int(text, &value) || value < sysctl->min || value > sysctl->max)
		return -EINVAL;
	atomic_store(&sysctl->value, value);
	return 0;
}

/* key->data: which member of struct utsname. */
enum { UTS_SYSNAME = 1, UTS_NODENAME, UTS_RELEASE, UTS_VERSION, UTS_MACHINE, UTS_DOMAINNAME };

static int show_uname(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct utsname uts;
	const char *const members[] = {
		[UTS_SYSNAME] = uts.sysname, [UTS_NODENAME] = uts.nodename,
		[UTS_RELEASE] = uts.release, [UTS_VERSION] = uts.version,
		[UTS_MACHINE] = uts.machine, [UTS_DOMAINNAME] = uts.domainname,
	};

	(void)ctx;
	proc_source->uts(&uts);
	strbuf_printf(out, "%s\n", members[(uintptr_t)key->data]);
	return 0;
}

static int store_hostname(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
			  size_t len)
{
	(void)key;
	(void)len;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EPERM;
	return proc_source->set_hostname(text, strcspn(text, "\n"));
}

static int show_uuid(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	unsigned char id[16];

	(void)ctx;
	(void)key;
	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -EIO;
	id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
	id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++)
		strbuf_printf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
	strbuf_putc(out, '\n');
	return 0;
}

static int show_boot_id(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_printf(out, "%s\n", proc_source->boot_id());
	return 0;
}

/* "allocated free max", all about this sandbox. */
static int show_file_nr(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	(void)key;
	strbuf_puts(out, "0\t0\t9223372036854775807\n");
	return 0;
}

#define CONST(name_, text_)                                                                        \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = show_const, .data = (text_),      \
		.mode_binds = true                                                                 \
	}
#define SHOW(name_, show_)                                                                         \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = (show_), .mode_binds = true       \
	}
#define UNAME(name_, which_)                                                                       \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = show_uname,                       \
		.data = (const void *)(uintptr_t)(which_), .mode_binds = true                      \
	}
#define INT(name_, value_, min_, max_)                                                             \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0644, .show = show_int, .store = store_int,     \
		.mode_binds = true, .data = &(struct sysctl_int)                                   \
		{                                                                                  \
			(value_), (min_), (max_)                                                   \
		}                                                                                  \
	}
#define DIR(name_, children_)                                                                      \
	{                                                                                          \
		.name = (name_), .mode = S_IFDIR | 0555, .children = (children_)                   \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

static const struct pseudo_entry random_entries[] = {
	SHOW("uuid", show_uuid),
	SHOW("boot_id", show_boot_id),
	CONST("entropy_avail", "256"),
	CONST("poolsize", "256"),
	END,
};

static const struct pseudo_entry yama_entries[] = {
	CONST("ptrace_scope", "3"), /* guests cannot trace at all */
	END,
};

static const struct pseudo_entry kernel_entries[] = {
	{.name = "hostname",
	 .mode = S_IFREG | 0644,
	 .show = show_uname,
	 .store = store_hostname,
	 .mode_binds = true,
	 .data = (const void *)UTS_NODENAME},
	UNAME("domainname", UTS_DOMAINNAME),
	UNAME("ostype", UTS_SYSNAME),
	UNAME("osrelease", UTS_RELEASE),
	UNAME("version", UTS_VERSION),
	UNAME("arch", UTS_MACHINE),
	CONST("pid_max", "4194304"),
	CONST("threads-max", "126977"),
	CONST("ngroups_max", "65536"),
	CONST("cap_last_cap", "40"),
	CONST("overflowuid", "65534"),
	CONST("overflowgid", "65534"),
	CONST("core_pattern", "core"),
	INT("core_uses_pid", 0, 0, 1),
	CONST("ctrl-alt-del", "0"),
	CONST("tainted", "0"),
	CONST("panic", "0"),
	CONST("printk", "4\t4\t1\t7"),
	INT("dmesg_restrict", 1, 0, 1),
	INT("kptr_restrict", 1, 0, 2),
	CONST("perf_event_paranoid", "4"),
	CONST("unprivileged_bpf_disabled", "2"),
	INT("randomize_va_space", 2, 0, 2),
	INT("sched_child_runs_first", 0, 0, 1),
	CONST("shmmax", "18446744073692774399"),
	CONST("shmall", "18446744073692774399"),
	CONST("shmmni", "4096"),
	CONST("sem", "32000\t1024000000\t500\t32000"),
	CONST("msgmax", "8192"),
	CONST("msgmnb", "16384"),
	CONST("msgmni", "32000"),
	DIR("random", random_entries),
	DIR("yama", yama_entries),
	END,
};

static const struct pseudo_entry inotify_entries[] = {
	INT("max_queued_events", 16384, 0, INT32_MAX),
	INT("max_user_instances", 128, 0, INT32_MAX),
	INT("max_user_watches", 65536, 0, INT32_MAX),
	END,
};

static const struct pseudo_entry epoll_entries[] = {
	INT("max_user_watches", 1000000, 0, INT32_MAX),
	END,
};

static const struct pseudo_entry fs_entries[] = {
	CONST("file-max", "9223372036854775807"),
	SHOW("file-nr", show_file_nr),
	CONST("nr_open", "1048576"),
	CONST("aio-max-nr", "65536"),
	CONST("aio-nr", "0"),
	CONST("mount-max", "100000"),
	INT("pipe-max-size", 1048576, 4096, INT32_MAX),
	INT("pipe-user-pages-soft", 16384, 0, INT32_MAX),
	INT("pipe-user-pages-hard", 0, 0, INT32_MAX),
	CONST("overflowuid", "65534"),
	CONST("overflowgid", "65534"),
	CONST("suid_dumpable", "0"),
	CONST("protected_hardlinks", "1"),
	CONST("protected_symlinks", "0"),
	CONST("protected_fifos", "0"),
	CONST("protected_regular", "0"),
	INT("lease-break-time", 45, 0, INT32_MAX),
	DIR("inotify", inotify_entries),
	DIR("epoll", epoll_entries),
	{.name = "fuse", .mode = S_IFDIR | 0555, .dir = &procfs_sys_fs_fuse},
	END,
};

static const struct pseudo_entry vm_entries[] = {
	INT("overcommit_memory", 0, 0, 2),
	INT("overcommit_ratio", 50, 0, INT32_MAX),
	INT("max_map_count", 65530, 0, INT32_MAX),
	INT("swappiness", 60, 0, 200),
	INT("mmap_min_addr", 65536, 0, INT32_MAX),
	INT("vfs_cache_pressure", 100, 0, INT32_MAX),
	INT("dirty_ratio", 20, 0, 100),
	INT("dirty_background_ratio", 10, 0, 100),
	INT("panic_on_oom", 0, 0, 2),
	END,
};

static const struct pseudo_entry core_entries[] = {
	INT("somaxconn", 4096, 0, INT32_MAX),  INT("rmem_default", 212992, 0, INT32_MAX),
	INT("rmem_max", 212992, 0, INT32_MAX), INT("wmem_default", 212992, 0, INT32_MAX),
	INT("wmem_max", 212992, 0, INT32_MAX), END,
};

static const struct pseudo_entry ipv4_entries[] = {
	CONST("ip_local_port_range", "32768\t60999"),
	CONST("tcp_rmem", "4096\t131072\t6291456"),
	CONST("tcp_wmem", "4096\t16384\t4194304"),
	INT("ip_forward", 0, 0, 1),
	END,
};

static const struct pseudo_entry unix_entries[] = {
	INT("max_dgram_qlen", 512, 0, INT32_MAX),
	END,
};

static const struct pseudo_entry net_entries[] = {
	DIR("core", core_entries),
	DIR("ipv4", ipv4_entries),
	DIR("unix", unix_entries),
	END,
};

const struct pseudo_entry proc_sys_entries[] = {
	DIR("kernel", kernel_entries),
	DIR("fs", fs_entries),
	DIR("vm", vm_entries),
	DIR("net", net_entries),
	END,
};

/* sysfs: a constant tree around the processors this process may run on. */
#include "vfs/fs/sysfs.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define CPU_MAX 4096

struct pseudo_dir sysfs_fs = PSEUDO_DIR_INIT(sysfs_fs);
struct pseudo_dir sysfs_class = PSEUDO_DIR_INIT(sysfs_class);
struct pseudo_dir sysfs_devices = PSEUDO_DIR_INIT(sysfs_devices);
struct pseudo_dir sysfs_kernel = PSEUDO_DIR_INIT(sysfs_kernel);
struct pseudo_dir sysfs_virtual = PSEUDO_DIR_INIT(sysfs_virtual);
struct pseudo_dir sysfs_module = PSEUDO_DIR_INIT(sysfs_module);

unsigned sysfs_cpu_count(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count < 1 ? 1 : count > CPU_MAX ? CPU_MAX : (unsigned)count;
}

static int cpu_count(void)
{
	return (int)sysfs_cpu_count();
}

/* ---- processors ---- */

static int show_cpu_range(const struct op_ctx *ctx, const struct pseudo_key *key,
			  struct strbuf *out)
{
	int count = cpu_count();

	(void)ctx;
	(void)key;
	if (count == 1)
		strbuf_puts(out, "0\n");
	else
		strbuf_printf(out, "0-%d\n", count - 1);
	return 0;
}

static int show_cpu_number(const struct op_ctx *ctx, const struct pseudo_key *key,
			   struct strbuf *out)
{
	(void)ctx;
	strbuf_printf(out, "%d\n", key->num);
	return 0;
}

/* A processor and its siblings as a mask in groups of 32: each is alone with itself. */
static int show_cpu_mask(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	for (int group = (cpu_count() - 1) / 32; group >= 0; group--)
		strbuf_printf(out, "%08x%s", key->num / 32 == group ? 1u << key->num % 32 : 0,
			      group ? "," : "\n");
	return 0;
}

/* All processors are siblings in one package. */
static int show_package_mask(const struct op_ctx *ctx, const struct pseudo_key *key,
			     struct strbuf *out)
{
	int count = cpu_count();

	(void)ctx;
	(void)key;
	for (int group = (count - 1) / 32; group >= 0; group--) {
		int bits = count - group * 32;

		strbuf_printf(out, "%08x%s", bits >= 32 ? UINT32_MAX : (1u << bits) - 1,
			      group ? "," : "\n");
	}
	return 0;
}

int sysfs_show_text(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	(void)ctx;
	strbuf_printf(out, "%s\n", (const char *)key->data);
	return 0;
}

#define SHOW(name_, show_)                                                                         \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = (show_)                           \
	}
#define CONST(name_, text_)                                                                        \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = sysfs_show_text, .data = (text_)       \
	}
#define DIR(name_, children_)                                                                      \
	{                                                                                          \
		.name = (name_), .mode = S_IFDIR | 0755, .children = (children_)                   \
	}
#define EMPTY(name_)                                                                               \
	{                                                                                          \
		.name = (name_), .mode = S_IFDIR | 0755                                            \
	}
#define OPEN(name_, dir_)                                                                          \
	{                                                                                          \
		.name = (name_), .mode = S_IFDIR | 0755, .dir = (dir_)                             \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

static const struct pseudo_entry topology_entries[] = {
	SHOW("core_id", show_cpu_number),
	CONST("physical_package_id", "0"),
	SHOW("thread_siblings", show_cpu_mask),
	SHOW("thread_siblings_list", show_cpu_number),
	SHOW("core_cpus", show_cpu_mask),
	SHOW("core_cpus_list", show_cpu_number),
	SHOW("package_cpus_list", show_cpu_range),
	SHOW("core_siblings_list", show_cpu_range),
	SHOW("core_siblings", show_package_mask),
	SHOW("package_cpus", show_package_mask),
	CONST("die_id", "0"),
	SHOW("die_cpus", show_package_mask),
	SHOW("die_cpus_list", show_cpu_range),
	END,
};

static const struct pseudo_entry cpu_n_entries[] = {
	CONST("online", "1"),
	DIR("topology", topology_entries),
	END,
};

static const struct pseudo_entry cpu_n_entry = {
	.name = "cpuN",
	.mode = S_IFDIR | 0755,
	.children = cpu_n_entries,
};

static int cpu_find(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		    struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	int number;

	(void)ctx;
	(void)dir;
	if (strncmp(name, "cpu", 3) != 0 || pseudo_parse_number(name + 3, &number) ||
	    number >= cpu_count())
		return -ENOENT;
	ret_key->num = number;
	*ret_entry = &cpu_n_entry;
	return 0;
}

static int cpu_next(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	(void)ctx;
	(void)dir;
	return *number < cpu_count() ? 0 : -ENOENT;
}

static const struct pseudo_dynamic cpu_names = {
	.find = cpu_find,
	.next = cpu_next,
	.prefix = "cpu",
	.dirent_type = DT_DIR,
};

static const struct pseudo_entry cpu_entries[] = {
	SHOW("online", show_cpu_range),
	SHOW("possible", show_cpu_range),
	SHOW("present", show_cpu_range),
	CONST("offline", ""),
	CONST("isolated", ""),
	CONST("kernel_max", "4095"),
	END,
};

/* One memory node with everything in it. */
static const struct pseudo_entry node0_entries[] = {
	SHOW("cpulist", show_cpu_range),
	SHOW("cpumap", show_package_mask),
	END,
};

static const struct pseudo_entry node_entries[] = {
	CONST("online", "0"),
	CONST("possible", "0"),
	CONST("has_cpu", "0"),
	DIR("node0", node0_entries),
	END,
};

static const struct pseudo_entry system_entries[] = {
	{.name = "cpu", .mode = S_IFDIR | 0755, .children = cpu_entries, .dynamic = &cpu_names},
	DIR("node", node_entries),
	END,
};

static const struct pseudo_entry devices_entries[] = {
	DIR("system", system_entries),
	OPEN("virtual", &sysfs_virtual),
	END,
};

/* ---- the rest ---- */

static const struct pseudo_entry thp_entries[] = {
	CONST("enabled", "always [madvise] never"),
	CONST("hpage_pmd_size", "2097152"),
	END,
};

static const struct pseudo_entry mm_entries[] = {
	DIR("transparent_hugepage", thp_entries),
	EMPTY("hugepages"),
	END,
};

static const struct pseudo_entry kernel_entries[] = {
	DIR("mm", mm_entries),
	EMPTY("debug"),
	EMPTY("security"),
	END,
};

static const struct pseudo_entry fuse_entries[] = {
	EMPTY("connections"), /* where fusectl is mounted */
	END,
};

static const struct pseudo_entry fs_entries[] = {
	DIR("fuse", fuse_entries),
	EMPTY("cgroup"),
	END,
};

static const struct pseudo_entry root_entries[] = {
	{.name = "devices",
	 .mode = S_IFDIR | 0755,
	 .children = devices_entries,
	 .dir = &sysfs_devices},
	{.name = "kernel",
	 .mode = S_IFDIR | 0755,
	 .children = kernel_entries,
	 .dir = &sysfs_kernel},
	{.name = "fs", .mode = S_IFDIR | 0755, .children = fs_entries, .dir = &sysfs_fs},
	OPEN("class", &sysfs_class),
	OPEN("module", &sysfs_module),
	EMPTY("block"),
	EMPTY("bus"),
	EMPTY("dev"),
	EMPTY("firmware"),
	EMPTY("power"),
	END,
};

static const struct pseudo_entry root_entry = {
	.name = "/",
	.mode = S_IFDIR | 0555,
	.children = root_entries,
};

static const struct pseudo_fs sysfs = {
	.root = &root_entry,
	.magic = SYSFS_MAGIC,
	.no_method = -EINVAL,
	.kernfs = true,
};

static int sysfs_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			     const struct fs_parameter *param)
{
	(void)ctx;
	(void)fc;
	(void)param;
	return -ENOPARAM;
}

static int sysfs_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	(void)ctx;
	return pseudo_get_tree(fc, &sysfs);
}

static const struct fs_context_ops sysfs_context_ops = {
	.parse_param = sysfs_parse_param,
	.get_tree = sysfs_get_tree,
};

static int sysfs_init_fs_context(struct fs_context *fc)
{
	fc->op = &sysfs_context_ops;
	return 0;
}

struct filesystem_type sysfs_type = {
	.name = "sysfs",
	.fs_flags = FS_USERNS_MOUNT,
	.init_fs_context = sysfs_init_fs_context,
};

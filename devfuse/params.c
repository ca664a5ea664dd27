/* Sysctls and module parameters: the values, and the files that show and set them. */
#include "devfuse/params.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "devfuse/expire.h"
#include "sentry/base/err.h"
#include "vfs/ctx.h"
#include "vfs/fs/procfs.h"
#include "vfs/fs/pseudo.h"
#include "vfs/fs/sysfs.h"
#include "vfs/perm.h"
#include "vfs/strbuf.h"

struct fuse_params fuse_params = {
	.max_pages_limit = 256,
	.max_user_bgreq = 65535,
	.max_user_congthresh = 65535,
};

/* One file: where its value lives and what it may be. */
struct param {
	atomic_ulong *value;
	unsigned long min, max;
	bool is_bool;
	bool zero_is_default; /* 0 chooses a number by the machine's memory */
	bool zero_is_off;     /* 0 may be below min */
	void (*changed)(unsigned long old, unsigned long value);
};

int fuse_parse_ulong(const char *text, int base, unsigned long *ret_value)
{
	unsigned long value;
	bool too_large;
	char *end;

	text += text[0] == '+';
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, base);
	too_large = errno == ERANGE;
	if (*end == '\n' ? end[1] : *end)
		return -EINVAL;
	if (too_large)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

/* Cf. sanitize_global_limit(): 392 bytes was the size of a request once. */
static unsigned long limit_by_memory(void)
{
	struct sysinfo info;
	unsigned long long limit;

	if (HOST(sysinfo(&info)) < 0)
		return 65535;
	limit = (unsigned long long)info.totalram * info.mem_unit / 8192 / 392;
	return limit < 65535 ? (unsigned long)limit : 65535;
}

static int show_param(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	const struct param *param = key->data;
	unsigned long value = atomic_load(param->value);

	(void)ctx;
	if (param->is_bool)
		strbuf_puts(out, value ? "Y\n" : "N\n");
	else
		strbuf_printf(out, "%lu\n", value);
	return 0;
}

static int parse_bool(const char *text, unsigned long *ret_value)
{
	if (strchr("yY1tT", text[0]) && text[0])
		*ret_value = 1;
	else if (strchr("nN0fF", text[0]) && text[0])
		*ret_value = 0;
	else
		return -EINVAL;
	return 0;
}

static int store_param(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	const struct param *param = key->data;
	unsigned long value, old;
	int err;

	(void)len;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EPERM;
	err = param->is_bool ? parse_bool(text, &value) : fuse_parse_ulong(text, 0, &value);
	if (err)
		return err;
	if (param->zero_is_default) {
		if (value == 0)
			value = limit_by_memory();
		else if (value > param->max)
			value = param->max;
	}
	if ((value < param->min && (value || !param->zero_is_off)) || value > param->max)
		return -EINVAL;
	old = atomic_exchange(param->value, value);
	if (param->changed)
		param->changed(old, value);
	return 0;
}

#define FILE_ENTRY(name_, param_)                                                                  \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0644, .show = show_param, .store = store_param, \
		.mode_binds = true, .data = (param_)                                               \
	}

static const struct param max_pages_limit = {
	.value = &fuse_params.max_pages_limit, .min = 1, .max = 65535};
static const struct param default_timeout = {
	.value = &fuse_params.default_request_timeout, .max = 65535};
static const struct param max_timeout = {.value = &fuse_params.max_request_timeout, .max = 65535};
static const struct param bgreq = {
	.value = &fuse_params.max_user_bgreq, .max = 65535, .zero_is_default = true};
static const struct param congthresh = {
	.value = &fuse_params.max_user_congthresh, .max = 65535, .zero_is_default = true};
static const struct param sys_admin = {
	.value = &fuse_params.allow_sys_admin_access, .max = 1, .is_bool = true};
static const struct param uring = {.value = &fuse_params.enable_uring, .max = 1, .is_bool = true};
static const struct param inval_wq = {.value = &fuse_params.inval_wq,
				      .min = 5,
				      .max = 65535,
				      .zero_is_off = true,
				      .changed = fuse_expire_set_period};

static const struct pseudo_entry sysctl_entries[] = {
	FILE_ENTRY("max_pages_limit", &max_pages_limit),
	FILE_ENTRY("default_request_timeout", &default_timeout),
	FILE_ENTRY("max_request_timeout", &max_timeout),
};

static const struct pseudo_entry parameter_entries[] = {
	FILE_ENTRY("max_user_bgreq", &bgreq),
	FILE_ENTRY("max_user_congthresh", &congthresh),
	FILE_ENTRY("allow_sys_admin_access", &sys_admin),
	FILE_ENTRY("enable_uring", &uring),
	FILE_ENTRY("inval_wq", &inval_wq),
	{.name = NULL},
};

static const struct pseudo_entry module_children[] = {
	{.name = "parameters", .mode = S_IFDIR | 0755, .children = parameter_entries},
	{.name = NULL},
};

static const struct pseudo_entry module_entry = {
	.name = "fuse",
	.mode = S_IFDIR | 0755,
	.children = module_children,
};

int fuse_params_init(void)
{
	int err = 0;

	atomic_store(&fuse_params.max_user_bgreq, limit_by_memory());
	atomic_store(&fuse_params.max_user_congthresh, limit_by_memory());
	for (size_t i = 0; !err && i < sizeof(sysctl_entries) / sizeof(sysctl_entries[0]); i++)
		err = pseudo_dir_add(&procfs_sys_fs_fuse, &sysctl_entries[i]);
	if (!err)
		err = pseudo_dir_add(&sysfs_module, &module_entry);
	return err;
}

/* A small sysfs: processors, and the directories that programs expect or mount on. */
#ifndef FB_VFS_FS_SYSFS_H
#define FB_VFS_FS_SYSFS_H

#include "vfs/fs/pseudo.h"

struct filesystem_type;

extern struct filesystem_type sysfs_type;

/* Processors that guests see: their numbers are below this. */
unsigned sysfs_cpu_count(void);

/*
 * Where other folders add entries: /sys/fs, /sys/class, /sys/devices, /sys/devices/virtual,
 * /sys/kernel, /sys/module.
 */
extern struct pseudo_dir sysfs_fs, sysfs_class, sysfs_devices, sysfs_virtual, sysfs_kernel,
	sysfs_module;

/* pseudo_entry.show: entry.data, a constant text, and a newline. */
int sysfs_show_text(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);

/* ---- sysfs_device.c: what every device has ---- */

/* pseudo_entry.store of uevent: an event that makes sense is sent to nobody. 0 or -EINVAL. */
int sysfs_store_uevent(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len);
/* What was written to power/control: does the device always have power? 0 or -EINVAL. */
int sysfs_parse_power(const char *text, bool *ret_on);
int sysfs_show_nothing(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);
int sysfs_show_no_delay(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out);
int sysfs_store_no_delay(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
			 size_t len);

/* The entries of its power directory; it keeps what the control file says. */
#define SYSFS_POWER_ENTRIES(show_control_, store_control_)                                         \
	{.name = "autosuspend_delay_ms", .mode = S_IFREG | 0644, .show = sysfs_show_no_delay,      \
	 .store = sysfs_store_no_delay},                                                           \
	{.name = "control", .mode = S_IFREG | 0644, .show = (show_control_),                       \
	 .store = (store_control_)},                                                               \
	{.name = "runtime_active_time", .mode = S_IFREG | 0444, .show = sysfs_show_text,           \
	 .data = "0"},                                                                             \
	{.name = "runtime_status", .mode = S_IFREG | 0444, .show = sysfs_show_text,                \
	 .data = "unsupported"},                                                                   \
	{.name = "runtime_suspended_time", .mode = S_IFREG | 0444, .show = sysfs_show_text,        \
	 .data = "0"},                                                                             \
	{.name = NULL}

#endif

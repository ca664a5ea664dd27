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

#endif

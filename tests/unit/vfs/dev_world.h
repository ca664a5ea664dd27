/* A namespace with tmpfs at /, and /proc, /sys, /dev, /dev/pts as a sandbox has them. */
#ifndef FB_TESTS_UNIT_VFS_DEV_WORLD_H
#define FB_TESTS_UNIT_VFS_DEV_WORLD_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/attr.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/dev/mem.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/devfs.h"
#include "vfs/fs/devpts.h"
#include "vfs/fs/procfs.h"
#include "vfs/fs/sysfs.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/poll.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"
#include "vfs/tty/tty.h"

static struct op_ctx ctx; /* root */

/* ioctl arguments are our own memory here. */
static inline int own_copy_in(const struct op_ctx *c, void *dst, uint64_t src, size_t len)
{
	(void)c;
	memcpy(dst, (const void *)(uintptr_t)src, len);
	return 0;
}

static inline int own_copy_out(const struct op_ctx *c, uint64_t dst, const void *src, size_t len)
{
	(void)c;
	memcpy((void *)(uintptr_t)dst, src, len);
	return 0;
}

static inline void world_mount(const char *type, const char *where, const char *data)
{
	struct path path;
	int err = vfs_mkdir(&ctx, NULL, where, 0755);

	cr_assert(!err || err == -EEXIST, "mkdir %s: %d", where, err);
	cr_assert_eq(path_lookup(&ctx, NULL, where, LOOKUP_FOLLOW, &path), 0);
	err = vfs_mount(&ctx, type, &path, type, 0, data);
	cr_assert_eq(err, 0, "mount %s: %d", type, err);
	path_put(&path);
}

static inline void world_init(void)
{
	static const struct ioctl_mem_ops own = {own_copy_in, own_copy_out};
	struct fs_context *fc;
	struct mnt_ns *ns;
	struct mount *mnt;

	ioctl_set_mem_ops(&own);
	filesystem_register(&tmpfs_fs_type);
	filesystem_register(&procfs_type);
	filesystem_register(&sysfs_type);
	filesystem_register(&devfs_type);
	filesystem_register(&devpts_type);
	mem_devices_register();
	tty_devices_register();
	devpts_devices_register();
	ctx = (struct op_ctx){.cred = cred_new(0, 0, NULL, 0),
			      .fsize_limit = UINT64_MAX,
			      .tid = 100,
			      .tgid = 100};
	cr_assert_eq(fs_context_new(&tmpfs_fs_type, 0, &fc), 0);
	cr_assert_eq(fs_context_get_tree(&ctx, fc), 0);
	cr_assert_eq(mount_create(fc, 0, &mnt), 0);
	fs_context_free(fc);
	ns = mnt_ns_new(mnt);
	ctx.fs = fs_struct_new(ns);
	mnt_ns_put(ns);
	ctx.files = fdtable_new();
	world_mount("proc", "/proc", NULL);
	world_mount("sysfs", "/sys", NULL);
	world_mount("devtmpfs", "/dev", "mode=755");
	world_mount("devpts", "/dev/pts", "gid=5,mode=620");
}

static inline void world_fini(void)
{
	struct mnt_ns *ns = ctx.fs->ns;

	(void)ns;
	fdtable_put(&ctx, ctx.files);
	fs_struct_put(ctx.fs);
	cred_put(ctx.cred);
}

static inline struct file *world_open(const char *name, unsigned flags)
{
	const struct open_args args = {.flags = flags};
	struct file *file = NULL;
	int err = vfs_open(&ctx, NULL, name, &args, &file);

	cr_assert_eq(err, 0, "open %s: %d", name, err);
	return file;
}

static inline int world_open_error(const struct op_ctx *who, const char *name, unsigned flags)
{
	const struct open_args args = {.flags = flags};
	struct file *file = NULL;
	int err = vfs_open(who, NULL, name, &args, &file);

	if (!err)
		file_put(file);
	return err;
}

static inline ssize_t world_read(struct file *file, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, file, &iter);
}

static inline ssize_t world_write(struct file *file, const void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)buf, len);
	return vfs_write(&ctx, file, &iter);
}

/* The whole text of a file, in a static buffer. */
static inline const char *world_text(const char *name)
{
	static char text[65536];
	struct file *file = world_open(name, O_RDONLY);
	size_t len = 0;
	ssize_t got;

	while ((got = world_read(file, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	cr_assert_eq(got, 0, "read %s: %zd", name, got);
	text[len] = '\0';
	file_put(file);
	return text;
}

struct world_names {
	struct dir_context dc;
	char text[8192];
};

static inline bool world_emit(struct dir_context *dc, const char *name, size_t len, int64_t off,
			      uint64_t ino, unsigned type)
{
	struct world_names *names = container_of(dc, struct world_names, dc);

	(void)off;
	(void)ino;
	(void)type;
	strncat(names->text, name, len);
	strncat(names->text, " ", 2);
	return true;
}

/* " a b c " of a directory. */
static inline const char *world_names(const char *name)
{
	static struct world_names names;
	struct file *file = world_open(name, O_RDONLY | O_DIRECTORY);

	names = (struct world_names){.dc.emit = world_emit, .text = " "};
	cr_assert_eq(vfs_iterate(&ctx, file, &names.dc), 0);
	file_put(file);
	return names.text;
}

static inline struct kstat world_stat(const char *name)
{
	struct kstat stat = {0};
	struct path path;

	cr_assert_eq(path_lookup(&ctx, NULL, name, 0, &path), 0, "lookup %s", name);
	cr_assert_eq(vfs_getattr(&ctx, &path, &stat, STATX_BASIC_STATS, 0), 0);
	path_put(&path);
	return stat;
}

static inline char *world_readlink(const char *name)
{
	char *target = NULL;
	struct path path;
	int err;

	cr_assert_eq(path_lookup(&ctx, NULL, name, 0, &path), 0, "lookup %s", name);
	err = vfs_readlink(&ctx, &path, &target);
	cr_assert_eq(err, 0, "readlink %s: %d", name, err);
	path_put(&path);
	return target;
}

#endif

/* A caller with a tmpfs as its root: what tests of files and tmpfs start from. */
#ifndef FB_TESTS_FILES_FIXTURE_H
#define FB_TESTS_FILES_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

static struct op_ctx root_ctx, user_ctx;
static int last_signal; /* raised through ctx->ops */

static void note_signal(const struct op_ctx *ctx, int signo)
{
	(void)ctx;
	last_signal = signo;
}

static const struct op_ctx_ops signal_ops = { .signal = note_signal };

/* Callers: root, and uid 1000. Both see a tmpfs mounted with `options`. */
__attribute__((unused)) static void fixture_start(const char *options)
{
	struct fs_context *fc;
	struct mount *mnt;
	struct mnt_ns *ns;

	root_ctx = (struct op_ctx){
		.fsize_limit = UINT64_MAX, .tid = 1, .tgid = 1, .ops = &signal_ops
	};
	root_ctx.cred = cred_new(0, 0, NULL, 0);
	cr_assert_eq(fs_context_new(&tmpfs_fs_type, 0, &fc), 0);
	cr_assert_eq(fs_context_parse_monolithic(&root_ctx, fc, options), 0);
	cr_assert_eq(fs_context_get_tree(&root_ctx, fc), 0);
	cr_assert_eq(mount_create(fc, 0, &mnt), 0);
	fs_context_free(fc);
	ns = mnt_ns_new(mnt);
	root_ctx.fs = fs_struct_new(ns);
	mnt_ns_put(ns);
	root_ctx.files = fdtable_new();
	user_ctx = root_ctx;
	user_ctx.cred = cred_new(1000, 1000, NULL, 0);
	user_ctx.tid = user_ctx.tgid = 2;
	fs_set_umask(root_ctx.fs, 0);
	last_signal = 0;
}

__attribute__((unused)) static void fixture_stop(void)
{
	fdtable_put(&root_ctx, root_ctx.files);
	fs_struct_put(root_ctx.fs);
	cred_put(root_ctx.cred);
	cred_put(user_ctx.cred);
}

/* open(2): the file, or NULL with *last_error set. */
static int last_error;
__attribute__((unused)) static struct file *open_as(const struct op_ctx *ctx, const char *name,
						    unsigned flags, uint32_t mode)
{
	struct open_args args = { .flags = flags, .mode = mode };
	struct file *file = NULL;

	last_error = vfs_open(ctx, NULL, name, &args, &file);
	return last_error ? NULL : file;
}

__attribute__((unused)) static struct file *must_open(const char *name, unsigned flags)
{
	struct file *file = open_as(&root_ctx, name, flags, 0644);

	cr_assert_not_null(file, "open %s: %d", name, last_error);
	return file;
}

__attribute__((unused)) static ssize_t put_bytes(struct file *file, const void *data, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)data, len);
	return vfs_write(&root_ctx, file, &iter);
}

__attribute__((unused)) static ssize_t get_bytes(struct file *file, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&root_ctx, file, &iter);
}

__attribute__((unused)) static void stat_of(const char *name, struct kstat *stat)
{
	struct path path;

	cr_assert_eq(path_lookup(&root_ctx, NULL, name, 0, &path), 0, "lookup %s", name);
	cr_assert_eq(vfs_getattr(&root_ctx, &path, stat, 0x7ff, 0), 0);
	path_put(&path);
}

#endif

/*
 * Threads that create, rename, unlink, look up, mount, unmount and list in one small tree of
 * tmpfs, so that they meet all the time. No assertion about who wins: only errors that the rules
 * allow, no sanitizer report, nothing left at the end. Made for -fsanitize=thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define NR_THREADS 8
#define NR_DIRS	   4
#define NR_NAMES   6
#define RUN_NS	   3000000000ll

static atomic_bool stop;
static atomic_ulong operations;

struct worker {
	pthread_t thread;
	struct op_ctx ctx;
	unsigned seed;
};

static unsigned pick(struct worker *w, unsigned n)
{
	w->seed = w->seed * 1103515245u + 12345u;
	return (w->seed >> 16) % n;
}

/* "/d1/d3/n2": one or two directories deep. */
static void pick_dir(struct worker *w, char *buf, size_t size)
{
	if (pick(w, 2))
		snprintf(buf, size, "/d%u", pick(w, NR_DIRS));
	else
		snprintf(buf, size, "/d%u/d%u", pick(w, NR_DIRS), pick(w, NR_DIRS));
}

static void pick_name(struct worker *w, char *buf, size_t size)
{
	char dir[32];

	pick_dir(w, dir, sizeof(dir));
	snprintf(buf, size, "%s/n%u", dir, pick(w, NR_NAMES));
}

static void check(const char *what, long result, const int *allowed)
{
	if (result >= 0)
		return;
	for (; *allowed; allowed++)
		if (result == -*allowed)
			return;
	fprintf(stderr, "%s: unexpected result %ld\n", what, result);
	exit(1);
}

static void do_create(struct worker *w)
{
	static const int allowed[] = {ENOENT, EEXIST, ENOTDIR, EISDIR, ELOOP, 0};
	struct open_args args = {.flags = O_CREAT | O_RDWR | (pick(w, 2) ? O_EXCL : O_TRUNC),
				 .mode = 0644};
	struct file *file;
	char name[64];
	int err;

	pick_name(w, name, sizeof(name));
	err = vfs_open(&w->ctx, NULL, name, &args, &file);
	check("open", err, allowed);
	if (err)
		return;
	check("write", kernel_write(&w->ctx, file, name, strlen(name), 0), allowed + 5);
	file_put(file);
}

static void do_remove(struct worker *w)
{
	static const int allowed[] = {ENOENT, EISDIR, ENOTDIR, EBUSY, ENOTEMPTY, 0};
	char name[64];

	pick_name(w, name, sizeof(name));
	if (pick(w, 3)) {
		check("unlink", vfs_unlink(&w->ctx, NULL, name), allowed);
	} else {
		pick_dir(w, name, sizeof(name));
		check("rmdir", vfs_rmdir(&w->ctx, NULL, name), allowed);
	}
}

static void do_mkdir(struct worker *w)
{
	static const int allowed[] = {ENOENT, EEXIST, ENOTDIR, ELOOP, 0};
	char name[64];

	pick_dir(w, name, sizeof(name));
	check("mkdir", vfs_mkdir(&w->ctx, NULL, name, 0755), allowed);
	pick_name(w, name, sizeof(name));
	check("symlink", vfs_symlink(&w->ctx, NULL, name, "../d1/n1"), allowed);
}

static void do_rename(struct worker *w)
{
	static const int allowed[] = {ENOENT, EEXIST,	 ENOTDIR, EISDIR, EINVAL,
				      EBUSY,  ENOTEMPTY, EXDEV,	  ELOOP,  0};
	static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	char from[64], to[64];

	if (pick(w, 2)) {
		pick_name(w, from, sizeof(from));
		pick_name(w, to, sizeof(to));
	} else {
		pick_dir(w, from, sizeof(from));
		pick_dir(w, to, sizeof(to));
	}
	check("rename", vfs_rename(&w->ctx, NULL, from, NULL, to, flags[pick(w, 3)]), allowed);
}

static void do_link(struct worker *w)
{
	static const int allowed[] = {ENOENT, EEXIST, ENOTDIR, EPERM, EXDEV, ELOOP, 0};
	char from[64], to[64];
	struct path path;
	int err;

	pick_name(w, from, sizeof(from));
	pick_name(w, to, sizeof(to));
	err = path_lookup(&w->ctx, NULL, from, 0, &path);
	check("lookup", err, allowed);
	if (err)
		return;
	check("link", vfs_link(&w->ctx, &path, NULL, to), allowed);
	path_put(&path);
}

static void do_stat(struct worker *w)
{
	static const int allowed[] = {ENOENT, ENOTDIR, ELOOP, 0};
	struct path path, root;
	struct kstat st;
	char name[64];

	for (int i = 0; i < 8; i++) {
		int err;

		pick_name(w, name, sizeof(name));
		err = path_lookup(&w->ctx, NULL, name, LOOKUP_FOLLOW, &path);
		check("stat", err, allowed);
		if (err)
			continue;
		check("getattr", vfs_getattr(&w->ctx, &path, &st, 0x7ff, 0), allowed + 3);
		fs_get_root(w->ctx.fs, &root);
		free(d_path(&path, &root));
		path_put(&root);
		path_put(&path);
	}
}

static void do_chdir(struct worker *w)
{
	static const int allowed[] = {ENOENT, ENOTDIR, ELOOP, 0};
	struct path path;
	char name[64];
	int err;

	pick_dir(w, name, sizeof(name));
	err = path_lookup(&w->ctx, NULL, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);
	check("chdir", err, allowed);
	if (!err) {
		fs_set_cwd(w->ctx.fs, &path);
		path_put(&path);
	}
	err = path_lookup(&w->ctx, NULL, "../..", 0, &path);
	check("..", err, allowed);
	if (!err)
		path_put(&path);
}

static void do_mount(struct worker *w)
{
	static const int allowed[] = {ENOENT, ENOTDIR, EBUSY, EINVAL, ELOOP, 0};
	struct strbuf out = STRBUF_INIT;
	struct path path, root;
	char name[64], source[64];
	int err;

	pick_dir(w, name, sizeof(name));
	pick_dir(w, source, sizeof(source));
	err = path_lookup(&w->ctx, NULL, name, 0, &path);
	check("lookup", err, allowed);
	if (err)
		return;
	if (pick(w, 2))
		err = vfs_mount(&w->ctx, "none", &path, "tmpfs", 0, NULL);
	else
		err = vfs_mount(&w->ctx, source, &path, NULL, MS_BIND | (pick(w, 2) ? MS_REC : 0),
				NULL);
	path_put(&path);
	check("mount", err, allowed);
	if (pick(w, 16))
		return;
	fs_get_root(w->ctx.fs, &root);
	mnt_ns_show(w->ctx.fs->ns, &root, MOUNTS_MOUNTINFO, &out);
	path_put(&root);
	strbuf_free(&out);
}

static void do_umount(struct worker *w)
{
	static const int allowed[] = {ENOENT, ENOTDIR, EBUSY, EINVAL, ELOOP, 0};
	struct path path;
	char name[64];

	for (int i = 0; i < 3; i++) {
		int err;

		pick_dir(w, name, sizeof(name));
		err = path_lookup(&w->ctx, NULL, name, 0, &path);
		check("lookup", err, allowed);
		if (err)
			continue;
		check("umount", vfs_umount(&w->ctx, &path, pick(w, 2) ? MNT_DETACH : 0), allowed);
		path_put(&path);
	}
}

static void do_unshare(struct worker *w)
{
	struct mnt_ns *copy;

	if (pick(w, 50))
		return;
	copy = mnt_ns_copy(w->ctx.fs->ns);
	fs_struct_switch_ns(w->ctx.fs, copy);
	mnt_ns_put(copy);
}

static void do_shrink(struct worker *w)
{
	if (pick(w, 8) == 0)
		dcache_shrink(0);
}

static void *work(void *arg)
{
	static void (*const actions[])(struct worker *) = {
		do_create, do_remove, do_mkdir, do_rename, do_link,    do_stat,
		do_stat,   do_chdir,  do_mount, do_umount, do_unshare, do_shrink,
	};
	struct worker *w = arg;

	while (!atomic_load(&stop)) {
		actions[pick(w, sizeof(actions) / sizeof(actions[0]))](w);
		atomic_fetch_add(&operations, 1);
	}
	return NULL;
}

static struct mnt_ns *make_root(const struct op_ctx *ctx)
{
	struct fs_context *fc;
	struct mount *root;

	filesystem_register(&tmpfs_fs_type);
	fb_assert(!fs_context_new(&tmpfs_fs_type, 0, &fc));
	fb_assert(!fs_context_get_tree(ctx, fc));
	fb_assert(!mount_create(fc, MNT_RELATIME, &root));
	fs_context_free(fc);
	return mnt_ns_new(root);
}

static void wait_until(int64_t deadline_ns)
{
	while (clock_monotonic_ns() < deadline_ns)
		(void)waiter_sleep(WAIT_UNINTERRUPTIBLE, deadline_ns);
}

int main(void)
{
	static struct worker workers[NR_THREADS];
	struct op_ctx ctx = {.fsize_limit = UINT64_MAX};
	struct cred *cred = cred_new(0, 0, NULL, 0);
	struct mnt_ns *ns;

	ctx.cred = cred;
	ns = make_root(&ctx);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		workers[i].ctx = ctx;
		workers[i].ctx.fs = fs_struct_new(ns);
		workers[i].seed = i * 7919 + 1;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	wait_until(clock_monotonic_ns() + RUN_NS);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		fs_struct_put(workers[i].ctx.fs);
	}
	mnt_ns_put(ns);
	cred_put(cred);
	printf("%lu operations\n", atomic_load(&operations));
	return 0;
}

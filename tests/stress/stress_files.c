/*
 * Many threads on one descriptor table, one tmpfs, one file and its locks; for the thread
 * sanitizer. Ends with exit status 0 when every invariant held. Usage: stress_files [seconds]
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "vfs/cred.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/lock.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"

#define THREADS 6

static struct op_ctx base_ctx;
static struct file *shared; /* every thread writes and locks it */
static atomic_bool stop;
static atomic_int failures;

#define check(expr)                                                                                \
	do {                                                                                       \
		if (!(expr)) {                                                                     \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #expr);                          \
			atomic_fetch_add(&failures, 1);                                            \
		}                                                                                  \
	} while (0)

static int open_file(const struct op_ctx *ctx, const char *name, unsigned flags, struct file **ret)
{
	struct open_args args = { .flags = flags, .mode = 0644 };

	return vfs_open(ctx, NULL, name, &args, ret);
}

/* Names that threads fight for; every error but success or a lost race is a failure. */
static void names_step(const struct op_ctx *ctx, unsigned *seed)
{
	char a[32], b[32];
	struct file *file;
	int err;

	snprintf(a, sizeof(a), "/n%d", rand_r(seed) % 8);
	snprintf(b, sizeof(b), "/d%d/n%d", rand_r(seed) % 2, rand_r(seed) % 8);
	switch (rand_r(seed) % 5) {
	case 0:
		if (!open_file(ctx, a, O_CREAT | O_RDWR, &file)) {
			check(kernel_write(ctx, file, a, strlen(a), 0) == (ssize_t)strlen(a));
			file_put(file);
		}
		break;
	case 1:
		err = vfs_unlink(ctx, NULL, a);
		check(err == 0 || err == -ENOENT);
		break;
	case 2:
		err = vfs_rename(ctx, NULL, a, NULL, b, 0);
		check(err == 0 || err == -ENOENT);
		break;
	case 3:
		err = vfs_rename(ctx, NULL, b, NULL, a, 1 /* RENAME_NOREPLACE */);
		check(err == 0 || err == -ENOENT || err == -EEXIST);
		break;
	default:
		dcache_shrink(0);
		break;
	}
}

struct count {
	struct dir_context dc;
	int64_t last;
};

static bool count_entry(struct dir_context *dc, const char *name, size_t len, int64_t off,
			uint64_t ino, unsigned type)
{
	struct count *count = container_of(dc, struct count, dc);

	check(off > count->last || off == 0);
	count->last = off;
	return true;
}

static void readdir_step(const struct op_ctx *ctx)
{
	struct count count = { .dc = { .emit = count_entry }, .last = -1 };
	struct file *dir;

	if (open_file(ctx, "/", O_RDONLY | O_DIRECTORY, &dir))
		return;
	check(vfs_iterate(ctx, dir, &count.dc) == 0);
	file_put(dir);
}

static void table_step(const struct op_ctx *ctx, unsigned *seed)
{
	int fd = fdtable_install(ctx->files, file_get(shared), 0, 100, false);
	struct file *file;

	check(fd >= 0);
	file = fdtable_file(ctx->files, rand_r(seed) % 20);
	if (file)
		file_put(file);
	if (fdtable_replace(ctx, ctx->files, 50 + rand_r(seed) % 4, shared, false, 100) >= 0)
		file_get(shared);
	(void)fdtable_close(ctx, ctx->files, fd, NULL);
}

static void data_step(const struct op_ctx *ctx, unsigned *seed)
{
	char buf[512];
	int64_t pos = rand_r(seed) % 200000;

	memset(buf, rand_r(seed) % 2 ? 'a' : 'b', sizeof(buf));
	switch (rand_r(seed) % 4) {
	case 0:
		check(kernel_write(ctx, shared, buf, sizeof(buf), pos) == sizeof(buf));
		break;
	case 1:
		check(vfs_ftruncate(ctx, shared, pos) == 0);
		break;
	case 2:
		check(vfs_fallocate(ctx, shared, 3 /* punch, keep size */, pos, 5000) == 0);
		break;
	default:
		check(kernel_read(ctx, shared, buf, sizeof(buf), pos) >= 0);
		break;
	}
}

static void lock_step(const struct op_ctx *ctx, unsigned *seed)
{
	struct flock_request req = { .type = F_WRLCK, .start = rand_r(seed) % 10 };
	int err;

	req.end = req.start + rand_r(seed) % 10;
	err = vfs_lock_file(ctx, shared, rand_r(seed) % 2 ? F_SETLK : F_SETLKW, &req);
	check(err == 0 || err == -EAGAIN || err == -EDEADLK);
	req.type = F_UNLCK;
	req.start = 0;
	req.end = INT64_MAX;
	check(vfs_lock_file(ctx, shared, F_SETLK, &req) == 0);
}

static void *run(void *arg)
{
	struct op_ctx ctx = base_ctx, other = base_ctx;
	unsigned seed = (unsigned)(uintptr_t)arg;

	/* Locks: each thread its own process, or they would never conflict. */
	other.files = fdtable_new();
	while (!atomic_load(&stop)) {
		names_step(&ctx, &seed);
		data_step(&ctx, &seed);
		table_step(&ctx, &seed);
		lock_step(&other, &seed);
		if (rand_r(&seed) % 16 == 0)
			readdir_step(&ctx);
	}
	fdtable_put(&other, other.files);
	return NULL;
}

static void start(void)
{
	struct fs_context *fc;
	struct mount *mnt;
	struct mnt_ns *ns;

	base_ctx.fsize_limit = UINT64_MAX;
	base_ctx.cred = cred_new(0, 0, NULL, 0);
	check(fs_context_new(&tmpfs_fs_type, 0, &fc) == 0);
	check(fs_context_get_tree(&base_ctx, fc) == 0);
	check(mount_create(fc, 0, &mnt) == 0);
	fs_context_free(fc);
	ns = mnt_ns_new(mnt);
	base_ctx.fs = fs_struct_new(ns);
	mnt_ns_put(ns);
	base_ctx.files = fdtable_new();
	check(vfs_mkdir(&base_ctx, NULL, "/d0", 0755) == 0);
	check(vfs_mkdir(&base_ctx, NULL, "/d1", 0755) == 0);
	check(open_file(&base_ctx, "/shared", O_CREAT | O_RDWR, &shared) == 0);
}

int main(int argc, char **argv)
{
	int64_t seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
	pthread_t threads[THREADS];

	start();
	for (uintptr_t n = 0; n < THREADS; n++)
		check(pthread_create(&threads[n], NULL, run, (void *)(n + 1)) == 0);
	(void)waiter_sleep(WAIT_UNINTERRUPTIBLE, clock_monotonic_ns() + seconds * 1000000000);
	atomic_store(&stop, true);
	for (int n = 0; n < THREADS; n++)
		pthread_join(threads[n], NULL);
	file_put(shared);
	fdtable_put(&base_ctx, base_ctx.files);
	fs_struct_put(base_ctx.fs);
	cred_put(base_ctx.cred);
	printf("%d failures\n", atomic_load(&failures));
	return atomic_load(&failures) != 0;
}

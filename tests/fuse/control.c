/* fusectl, the sysctls and the module parameters; matrix 7.2, 2.3, D14. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>

#include "devfuse/params.h"
#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/cred.h"
#include "vfs/fs/procfs.h"
#include "vfs/fs/pseudo.h"
#include "vfs/fs/sysfs.h"
#include "vfs/fs_struct.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

TestSuite(fuse_control, .timeout = 120);

/* A tree of its own with that type as its root. */
static struct fs_struct *tree_of(struct daemon *d, const char *type)
{
	struct fs_context *fc;
	struct mount *mnt;
	struct mnt_ns *ns;
	struct fs_struct *fs;

	cr_assert_eq(fs_context_new(filesystem_find(type, strlen(type)), 0, &fc), 0);
	cr_assert_eq(fs_context_get_tree(&d->self.ctx, fc), 0);
	cr_assert_eq(mount_create(fc, 0, &mnt), 0);
	fs_context_free(fc);
	ns = mnt_ns_new(mnt);
	fs = fs_struct_new(ns);
	mnt_ns_put(ns);
	return fs;
}

static struct op_ctx ctx_in(struct daemon *d, struct fs_struct *fs)
{
	struct op_ctx ctx = d->self.ctx;

	ctx.fs = fs;
	return ctx;
}

static struct file *open_in(const struct op_ctx *ctx, const char *path, unsigned flags)
{
	struct open_args how = {.flags = flags};
	struct file *file = NULL;
	int err = vfs_open(ctx, NULL, path, &how, &file);

	return err ? NULL : file;
}

static int stat_in(const struct op_ctx *ctx, const char *path, struct kstat *ret_stat)
{
	struct path where;
	int err = path_lookup(ctx, NULL, path, 0, &where);

	if (err)
		return err;
	err = vfs_getattr(ctx, &where, ret_stat, STATX_BASIC_STATS, 0);
	path_put(&where);
	return err;
}

static const char *get(const struct op_ctx *ctx, const char *path)
{
	static char buf[64];
	struct file *file = open_in(ctx, path, O_RDONLY);
	struct io_iter iter;
	ssize_t n;

	if (!file)
		return "(no file)";
	iter_init_mem(&iter, buf, sizeof(buf) - 1);
	n = vfs_read(ctx, file, &iter);
	buf[n < 0 ? 0 : n] = 0;
	file_put(file);
	return buf;
}

static ssize_t write_file(const struct op_ctx *ctx, struct file *file, const char *text)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)text, strlen(text));
	return vfs_write(ctx, file, &iter);
}

static ssize_t set(const struct op_ctx *ctx, const char *path, const char *text)
{
	struct file *file = open_in(ctx, path, O_WRONLY);
	ssize_t n;

	if (!file)
		return -ENOENT;
	n = write_file(ctx, file, text);
	file_put(file);
	return n;
}

static const char *ctl(struct daemon *d, const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/%u/%s", d->conn->id, name);
	return path;
}

Test(fuse_control, waiting_counts_what_was_not_answered) /* J03, D89 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct op_ctx ctx = ctx_in(d, fs);
	struct client_thread t;
	struct kstat st;
	struct step *s;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT); /* INIT is over */
	cr_assert_str_eq(get(&ctx, ctl(d, "waiting")), "0\n");
	s = expect_silence(d, FUSE_LOOKUP, 1);
	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert_str_eq(get(&ctx, ctl(d, "waiting")), "1\n");
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	cr_assert_str_eq(get(&ctx, ctl(d, "waiting")), "0\n");
	fs_struct_put(fs);
	DAEMON_STOP(d);
}

static void abort_with(uint64_t flags, ssize_t end_error)
{
	struct daemon_config config = {.flags = flags};
	struct daemon *d = daemon_start(&config);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct op_ctx ctx = ctx_in(d, fs);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct client_thread t;
	struct kstat st;

	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert_eq(set(&ctx, ctl(d, "abort"), "1"), 1);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOTCONN);
	cr_assert_eq(daemon_answer(d, s->in.unique, -ENOENT, NULL, 0), -ENOENT);
	cr_assert_str_eq(get(&ctx, ctl(d, "waiting")), "0\n"); /* stays until the unmount */
	pthread_mutex_lock(&d->lock);
	while (!d->ended)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	cr_assert_eq(d->end_error, end_error);
	fs_struct_put(fs);
	daemon_stop(d);
	daemon_free(d);
}

Test(fuse_control, abort_ends_all_with_enodev_for_the_daemon) /* D14, D14, K04, J04, J06 */
{
	abort_with(FUSE_PARALLEL_DIROPS, -ENODEV);
}

Test(fuse_control, abort_error_tells_the_daemon_of_the_abort) /* D14, flag 21, D14, B21 */
{
	abort_with(FUSE_ABORT_ERROR, -ECONNABORTED);
}

Test(fuse_control, limits_are_read_and_written_at_the_start_only) /* J05 */
{
	struct daemon_config config = {.max_background = 7};
	struct daemon *d = daemon_start(&config);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct op_ctx ctx = ctx_in(d, fs);
	struct file *file;
	struct kstat st;

	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	cr_assert_str_eq(get(&ctx, ctl(d, "max_background")), "7\n");
	cr_assert_str_eq(get(&ctx, ctl(d, "congestion_threshold")), "9\n");
	cr_assert_eq(set(&ctx, ctl(d, "max_background"), "0x20\n"), 5);
	cr_assert_str_eq(get(&ctx, ctl(d, "max_background")), "32\n");
	cr_assert_eq(d->conn->max_background, 32);
	cr_assert_eq(set(&ctx, ctl(d, "congestion_threshold"), "65535"), 5);
	cr_assert_eq(set(&ctx, ctl(d, "congestion_threshold"), "65536"), -EINVAL);
	cr_assert_eq(set(&ctx, ctl(d, "congestion_threshold"), "x"), -EINVAL);
	cr_assert_eq(set(&ctx, ctl(d, "congestion_threshold"), ""), -EINVAL);
	cr_assert_eq(set(&ctx, ctl(d, "congestion_threshold"), "1 2"), -EINVAL);
	file = open_in(&ctx, ctl(d, "max_background"), O_WRONLY);
	cr_assert_eq(write_file(&ctx, file, "5"), 1);
	cr_assert_eq(write_file(&ctx, file, "5"), -EINVAL);
	cr_assert_eq(vfs_llseek(&ctx, file, 0, SEEK_SET), -ESPIPE);
	file_put(file);
	fs_struct_put(fs);
	DAEMON_STOP(d);
}

Test(fuse_control, what_a_file_has_no_method_for_is_einval) /* J03, J04 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct op_ctx ctx = ctx_in(d, fs);
	struct file *file = open_in(&ctx, ctl(d, "abort"), O_RDWR);
	struct io_iter iter;
	char buf[8];

	iter_init_mem(&iter, buf, sizeof(buf));
	cr_expect_eq(vfs_read(&ctx, file, &iter), -EINVAL);
	file_put(file);
	cr_expect_eq(set(&ctx, ctl(d, "waiting"), "1"), -EINVAL);
	cr_expect_eq(set(&ctx, ctl(d, "waiting"), ""), -EINVAL);
	cr_expect_eq(set(&ctx, ctl(d, "abort"), ""), 0);
	cr_expect_not(d->conn->connected);
	fs_struct_put(fs);
	daemon_stop(d);
	daemon_free(d);
}

Test(fuse_control, the_files_are_the_mounters_and_limits_bind_users) /* J02, J04, J05 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct op_ctx ctx = ctx_in(d, fs);
	struct cred *user = cred_new(1000, 1000, NULL, 0);
	char dir[16];
	struct kstat st;

	snprintf(dir, sizeof(dir), "/%u", d->conn->id);
	cr_assert_eq(stat_in(&ctx, dir, &st), 0);
	cr_assert_eq(st.mode, S_IFDIR | 0500);
	cr_assert_eq(stat_in(&ctx, ctl(d, "abort"), &st), 0);
	cr_assert_eq(st.mode, S_IFREG | 0200);
	ctx.cred = user;
	cr_assert_eq(stat_in(&ctx, ctl(d, "abort"), &st), -EACCES);
	/* The mounter himself, but without privilege. */
	d->conn->user_id = d->conn->group_id = 1000;
	atomic_store(&fuse_params.max_user_bgreq, 20);
	cr_assert_eq(set(&ctx, ctl(d, "max_background"), "21"), -EINVAL);
	cr_assert_eq(set(&ctx, ctl(d, "max_background"), "20"), 2);
	cr_assert_eq(set(&ctx, ctl(d, "abort"), "please"), 6);
	cred_put(user);
	fs_struct_put(fs);
	daemon_stop(d);
	daemon_free(d);
}

Test(fuse_control, a_connection_leaves_with_its_mount_and_reads_then_give_nothing) /* J06 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *fs = tree_of(d, "fusectl");
	struct client self = {.ctx = ctx_in(d, fs), .cred = cred_new(0, 0, NULL, 0)};
	struct file *file = open_in(&self.ctx, ctl(d, "waiting"), O_RDONLY);
	struct io_iter iter;
	char buf[8];

	cr_assert(file);
	self.ctx.cred = self.cred;
	DAEMON_STOP(d);
	iter_init_mem(&iter, buf, sizeof(buf));
	cr_assert_eq(vfs_read(&self.ctx, file, &iter), 0);
	file_put(file);
	fs_struct_put(fs);
	cred_put(self.cred);
}

Test(fuse_control, there_is_one_instance) /* J01 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *a = tree_of(d, "fusectl"), *b = tree_of(d, "fusectl");
	struct op_ctx in_a = ctx_in(d, a), in_b = ctx_in(d, b);
	struct kstat st_a, st_b;

	cr_assert_eq(stat_in(&in_a, "/", &st_a), 0);
	cr_assert_eq(stat_in(&in_b, "/", &st_b), 0);
	cr_assert_eq(st_a.dev, st_b.dev);
	fs_struct_put(a);
	fs_struct_put(b);
	DAEMON_STOP(d);
}

static const char *bdi(struct daemon *d, const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "/class/bdi/0:%u/%s", d->conn->id, name);
	return path;
}

Test(fuse_control, a_mount_has_a_bdi_while_it_is_mounted) /* M06, L03 */
{
	struct daemon_config config = {.max_readahead = 10000};
	struct daemon *d = daemon_start(&config);
	struct client self = {.cred = cred_new(0, 0, NULL, 0)};
	struct file *file;
	struct io_iter iter;
	struct kstat st;
	char buf[8];

	expect_attr(d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 100);
	cr_assert_eq(client_stat(d, "/", &st), 0); /* INIT is answered */
	filesystem_register(&sysfs_type);
	self.ctx = ctx_in(d, tree_of(d, "sysfs"));
	self.ctx.cred = self.cred;
	cr_assert_str_eq(get(&self.ctx, bdi(d, "max_ratio")), "1\n");
	cr_assert_str_eq(get(&self.ctx, bdi(d, "strict_limit")), "1\n");
	cr_assert_str_eq(get(&self.ctx, bdi(d, "read_ahead_kb")), "8\n");
	cr_assert_eq(set(&self.ctx, bdi(d, "read_ahead_kb"), "0x40"), -EINVAL);
	cr_assert_eq(set(&self.ctx, bdi(d, "read_ahead_kb"), "18446744073709551616"), -ERANGE);
	cr_assert_eq(set(&self.ctx, bdi(d, "read_ahead_kb"), "67\n"), 3);
	cr_assert_eq(set(&self.ctx, bdi(d, "read_ahead_kb"), ""), 0);
	cr_assert_str_eq(get(&self.ctx, bdi(d, "read_ahead_kb")), "64\n");
	cr_assert_null(open_in(&self.ctx, bdi(d, "stable_pages_required"), O_WRONLY));
	file = open_in(&self.ctx, bdi(d, "read_ahead_kb"), O_RDWR);
	cr_assert(file);
	DAEMON_STOP(d);
	iter_init_mem(&iter, buf, sizeof(buf));
	cr_assert_eq(vfs_read(&self.ctx, file, &iter), -ENODEV);
	cr_assert_eq(write_file(&self.ctx, file, "4"), -ENODEV);
	file_put(file);
	fs_struct_put(self.ctx.fs);
	cred_put(self.cred);
}

static struct op_ctx ctx_in_sysfs(struct daemon *d)
{
	filesystem_register(&sysfs_type);
	return ctx_in(d, tree_of(d, "sysfs"));
}

/* As Linux 6.18 answers; cf. kobject_synth_uevent(). */
Test(fuse_control, a_bdi_has_what_every_device_has) /* M06 */
{
#define UUID " 7a8b8c8d-0000-1111-2222-33334444AAAA"
	static const char *const good[] = {"add", "remove\n", "change" UUID, "bind" UUID " A=b\n",
					   "move" UUID " 1=2 c=d"};
	static const char *const bad[] = {"\n", "bogus", "ADD", "add ", " add", "add\n\n", "add x",
					  "add  " UUID, "add" UUID "x", "add" UUID " ",
					  "add" UUID " A=", "add" UUID " =b", "add" UUID " A_=b",
					  "add" UUID " a=b=c", "add" UUID " a=b ", "add" UUID "  a=b"};
	struct daemon *d = daemon_start(NULL);
	struct op_ctx ctx = ctx_in_sysfs(d);
	struct kstat st;

	cr_expect_str_eq(get(&ctx, bdi(d, "uevent")), "");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_expect_eq(set(&ctx, bdi(d, "uevent"), good[i]), (ssize_t)strlen(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(set(&ctx, bdi(d, "uevent"), bad[i]), -EINVAL, "%s", bad[i]);
	cr_assert_eq(stat_in(&ctx, bdi(d, "uevent"), &st), 0);
	cr_expect_eq(st.mode, S_IFREG | 0644);
	cr_assert_eq(stat_in(&ctx, bdi(d, ""), &st), 0);
	cr_expect_eq(st.nlink, 3);
	cr_expect_str_eq(get(&ctx, bdi(d, "power/control")), "auto\n");
	cr_expect_eq(set(&ctx, bdi(d, "power/control"), "on\n"), 3);
	cr_expect_eq(set(&ctx, bdi(d, "power/control"), "ON"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "power/control"), "on\n\n"), -EINVAL);
	cr_expect_str_eq(get(&ctx, bdi(d, "power/control")), "on\n");
	cr_expect_str_eq(get(&ctx, bdi(d, "power/runtime_status")), "unsupported\n");
	cr_expect_eq(set(&ctx, bdi(d, "power/autosuspend_delay_ms"), "5"), -EIO);
	fs_struct_put(ctx.fs);
	DAEMON_STOP(d);
}

Test(fuse_control, a_bdi_has_shares_of_the_dirty_memory) /* M06 */
{
	struct daemon *d = daemon_start(NULL);
	struct op_ctx ctx = ctx_in_sysfs(d);

	cr_expect_eq(set(&ctx, bdi(d, "max_ratio"), "101"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "max_ratio"), "0x5"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "max_ratio"), "4294967296"), -ERANGE);
	cr_expect_eq(set(&ctx, bdi(d, "max_ratio"), "7\n"), 2);
	cr_expect_str_eq(get(&ctx, bdi(d, "max_ratio_fine")), "70000\n");
	cr_expect_eq(set(&ctx, bdi(d, "min_ratio"), "8"), -EINVAL, "more than the most");
	cr_expect_eq(set(&ctx, bdi(d, "min_ratio_fine"), "12345"), 5);
	cr_expect_str_eq(get(&ctx, bdi(d, "min_ratio")), "1\n");
	cr_expect_eq(set(&ctx, bdi(d, "max_ratio"), "1"), -EINVAL, "less than the least");
	cr_expect_eq(set(&ctx, bdi(d, "max_ratio_fine"), "1000001"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "min_bytes"), "0"), 1);
	cr_expect_str_eq(get(&ctx, bdi(d, "min_bytes")), "0\n");
	cr_expect_eq(set(&ctx, bdi(d, "max_bytes"), "999999999999999"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "max_bytes"), "4095"), 4);
	cr_expect_str_eq(get(&ctx, bdi(d, "max_ratio_fine")), "0\n", "in pages");
	cr_expect_eq(set(&ctx, bdi(d, "strict_limit"), "2"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "strict_limit"), "0"), 1);
	cr_expect_str_eq(get(&ctx, bdi(d, "strict_limit")), "0\n");
	fs_struct_put(ctx.fs);
	DAEMON_STOP(d);
}

Test(fuse_control, all_least_shares_are_less_than_the_whole) /* M06 */
{
	struct daemon *d = daemon_start(NULL), *other = daemon_start(NULL);
	struct op_ctx ctx = ctx_in_sysfs(d);

	cr_assert_eq(set(&ctx, bdi(d, "max_ratio"), "100"), 3);
	cr_assert_eq(set(&ctx, bdi(other, "max_ratio"), "100"), 3);
	cr_expect_eq(set(&ctx, bdi(d, "min_ratio"), "100"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(d, "min_ratio"), "60"), 2);
	cr_expect_eq(set(&ctx, bdi(other, "min_ratio"), "40"), -EINVAL);
	cr_expect_eq(set(&ctx, bdi(other, "min_ratio"), "39"), 2);
	fs_struct_put(ctx.fs);
	DAEMON_STOP(d);
	ctx = ctx_in_sysfs(other);
	cr_expect_eq(set(&ctx, bdi(other, "min_ratio"), "99"), 2, "the share goes with its mount");
	fs_struct_put(ctx.fs);
	DAEMON_STOP(other);
}

/* The READ for the first page, which a window follows. */
static void read_window(struct daemon *d, struct file *file, uint32_t window)
{
	char *data = calloc(1, window), page[4096];
	struct step *s = expect_reply(d, FUSE_READ, 5, data, window);

	cr_assert_eq(client_pread(d, file, page, sizeof(page), 0), 4096);
	cr_expect_eq(step_in(s, struct fuse_read_in)->size, window);
	free(data);
}

/* M06: what is open keeps the readahead that it was opened with. */
Test(fuse_control, read_ahead_kb_is_for_files_that_are_opened_afterwards)
{
	struct daemon_config config = {.max_readahead = 131072};
	struct daemon *d = daemon_start(&config);
	struct op_ctx in_sys;
	struct file *before = NULL, *after = NULL;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, 1 << 20, 100);
	expect_open(d, FUSE_OPEN, 5, 3, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &before), 0);
	filesystem_register(&sysfs_type);
	in_sys = ctx_in(d, tree_of(d, "sysfs"));
	cr_assert_eq(set(&in_sys, bdi(d, "read_ahead_kb"), "8"), 1);
	read_window(d, before, 16384);
	expect_open(d, FUSE_OPEN, 5, 4, 0);
	cr_assert_eq(client_open(d, "/f", O_RDONLY, &after), 0);
	read_window(d, after, 8192);
	client_close(d, before);
	client_close(d, after);
	fs_struct_put(in_sys.fs);
	DAEMON_STOP(d);
}

Test(fuse_control, sysctls_and_parameters_are_checked) /* J07, J08 */
{
	struct daemon *d = daemon_start(NULL);
	struct fs_struct *sys, *proc;
	struct op_ctx in_sys, in_proc;
	struct cred *user = cred_new(1000, 1000, NULL, 0);
	const char *bgreq = "/module/fuse/parameters/max_user_bgreq";
	const char *inval_wq = "/module/fuse/parameters/inval_wq";
	unsigned long by_memory = atomic_load(&fuse_params.max_user_bgreq);

	filesystem_register(&sysfs_type);
	filesystem_register(&procfs_type);
	sys = tree_of(d, "sysfs");
	proc = tree_of(d, "proc");
	in_sys = ctx_in(d, sys);
	in_proc = ctx_in(d, proc);
	cr_assert_str_eq(get(&in_proc, "/sys/fs/fuse/max_pages_limit"), "256\n");
	cr_assert_eq(set(&in_proc, "/sys/fs/fuse/max_pages_limit", "0"), -EINVAL);
	cr_assert_eq(set(&in_proc, "/sys/fs/fuse/max_pages_limit", "65536"), -EINVAL);
	cr_assert_eq(set(&in_proc, "/sys/fs/fuse/max_pages_limit", "16"), 2);
	cr_assert_str_eq(get(&in_proc, "/sys/fs/fuse/default_request_timeout"), "0\n");
	cr_assert_eq(set(&in_sys, bgreq, "17"), 2);
	cr_assert_str_eq(get(&in_sys, bgreq), "17\n");
	cr_assert_eq(set(&in_sys, bgreq, ""), 0);
	cr_assert_str_eq(get(&in_sys, bgreq), "17\n");
	cr_assert_eq(set(&in_sys, bgreq, "100000"), 6);
	cr_assert_str_eq(get(&in_sys, bgreq), "65535\n");
	cr_assert_eq(set(&in_sys, bgreq, "0"), 1);
	cr_assert_eq(atomic_load(&fuse_params.max_user_bgreq), by_memory);
	cr_assert_str_eq(get(&in_sys, "/module/fuse/parameters/allow_sys_admin_access"), "N\n");
	cr_assert_str_eq(get(&in_sys, inval_wq), "0\n");
	cr_assert_eq(set(&in_sys, inval_wq, "4"), -EINVAL);
	cr_assert_eq(set(&in_sys, inval_wq, "65536"), -EINVAL);
	cr_assert_eq(set(&in_sys, inval_wq, "65535"), 5);
	cr_assert_str_eq(get(&in_sys, inval_wq), "65535\n");
	cr_assert_eq(set(&in_sys, inval_wq, "0"), 1);
	in_proc.cred = user;
	cr_assert_lt(set(&in_proc, "/sys/fs/fuse/max_pages_limit", "16"), 0);
	cred_put(user);
	fs_struct_put(sys);
	fs_struct_put(proc);
	DAEMON_STOP(d);
}

/* 2.3: a daemon without CAP_SYS_ADMIN gets no more than the parameters allow. */
Test(fuse_control, background_of_a_users_daemon_is_clamped) /* L07, L08 */
{
	struct daemon_config config = {.max_background = 100, .no_init = true};
	struct daemon *d = daemon_start(&config);
	struct fuse_init_out out = {
		.major = 7, .minor = 45, .max_background = 100, .congestion_threshold = 90};
	struct cred *user = cred_new(1000, 1000, NULL, 0);
	struct step *s = expect_silence(d, FUSE_INIT, 0);

	atomic_store(&fuse_params.max_user_bgreq, 30);
	atomic_store(&fuse_params.max_user_congthresh, 20);
	cr_assert(daemon_wait(d, s));
	d->self.ctx.cred = user;
	cr_assert_eq(daemon_answer(d, s->in.unique, 0, &out, sizeof(out)), 16 + 64);
	d->self.ctx.cred = d->self.cred;
	cr_assert_eq(d->conn->max_background, 30);
	cr_assert_eq(d->conn->congestion_threshold, 20);
	cred_put(user);
	DAEMON_STOP(d);
}

Test(fuse_control, max_pages_limit_is_sampled_at_the_mount) /* L02, B22 */
{
	struct daemon_config config = {.flags = FUSE_MAX_PAGES, .max_pages = 200};
	struct daemon *d;
	struct kstat st;

	atomic_store(&fuse_params.max_pages_limit, 64);
	d = daemon_start(&config);
	atomic_store(&fuse_params.max_pages_limit, 256);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	cr_assert_eq(d->conn->max_pages, 64);
	DAEMON_STOP(d);
}

Test(fuse_control, allow_sys_admin_access_opens_a_mount_that_is_not_shared) /* J08, F40 */
{
	struct daemon_config config = {.options = NULL};
	struct daemon *d = daemon_start(&config);
	struct kstat st;
	struct cred *root = cred_new(0, 0, NULL, 0);

	root->gid = root->egid = root->sgid = 7; /* not the mounter's group */
	d->client.ctx.cred = root;
	cr_assert_eq(client_stat(d, "/a", &st), -EACCES);
	atomic_store(&fuse_params.allow_sys_admin_access, 1);
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/a", &st), -ENOENT);
	d->client.ctx.cred = d->client.cred;
	cred_put(root);
	DAEMON_STOP(d);
}

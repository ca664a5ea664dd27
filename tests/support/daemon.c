/* The scripted daemon; see daemon.h. */
#include "tests/support/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "devfuse/dev.h"
#include "fusefs/fusefs_type.h"
#include "sentry/base/iter.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/fs_struct.h"
#include "vfs/ioctl.h"
#include "vfs/ioctl.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"

#define BUF_SIZE   (2u << 20)
#define PATIENCE_S 60

static void die(const char *what, long err)
{
	fprintf(stderr, "daemon: %s: %ld\n", what, err);
	abort();
}

static void fail(struct daemon *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct daemon *d, const char *fmt, ...)
{
	va_list args;

	if (d->failure[0])
		return;
	va_start(args, fmt);
	vsnprintf(d->failure, sizeof(d->failure), fmt, args);
	va_end(args);
}

static void client_init(struct client *c, uid_t uid, pid_t tid)
{
	memset(c, 0, sizeof(*c));
	c->cred = cred_new(uid, uid, NULL, 0);
	c->ctx.cred = c->cred;
	c->ctx.tid = tid;
	c->ctx.tgid = tid;
	c->ctx.fsize_limit = UINT64_MAX;
}

/* --- the daemon thread -------------------------------------------------------------------- */

/* Of a thread of the daemon with config.cloned: where it reads, and where its answers go. */
static __thread struct file *own_dev;

ssize_t daemon_write(struct daemon *d, const void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)buf, len);
	return vfs_write(&d->self.ctx, own_dev ? own_dev : d->dev, &iter);
}

static ssize_t answer(struct daemon *d, uint64_t unique, int error, const void *data, size_t len,
		      uint32_t len_delta)
{
	struct fuse_out_header *out = calloc(1, sizeof(*out) + len);
	ssize_t ret;

	out->len = (uint32_t)(sizeof(*out) + len) + len_delta;
	out->error = error;
	out->unique = unique;
	if (len)
		memcpy(out + 1, data, len);
	ret = daemon_write(d, out, sizeof(*out) + len);
	free(out);
	return ret;
}

ssize_t daemon_answer(struct daemon *d, uint64_t unique, int error, const void *data, size_t len)
{
	return answer(d, unique, error, data, len, 0);
}

ssize_t daemon_notify(struct daemon *d, int code, const void *body, size_t len)
{
	return answer(d, 0, code, body, len, 0);
}

static void note_forget(struct daemon *d, uint64_t nodeid, uint64_t count)
{
	for (unsigned i = 0; i < d->nr_forgotten; i++)
		if (d->forgotten[i].nodeid == nodeid) {
			d->forgotten[i].count += count;
			return;
		}
	if (d->nr_forgotten < 64)
		d->forgotten[d->nr_forgotten++] = (struct forgotten){nodeid, count};
}

static bool take_forget(struct daemon *d, const struct fuse_in_header *in, const uint8_t *body)
{
	if (in->opcode == FUSE_FORGET) {
		note_forget(d, in->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
	} else if (in->opcode == FUSE_BATCH_FORGET) {
		const struct fuse_batch_forget_in *batch = (const void *)body;
		const struct fuse_forget_one *one = (const void *)(batch + 1);

		for (uint32_t i = 0; i < batch->count; i++)
			note_forget(d, one[i].nodeid, one[i].nlookup);
	} else {
		return false;
	}
	d->nr_forget_reads++;
	return true;
}

static void answer_init(struct daemon *d, const struct fuse_in_header *in)
{
	struct fuse_init_out out = {.major = 7};

	out.minor = d->config.minor ? d->config.minor : 45;
	out.flags = (uint32_t)d->config.flags;
	out.flags2 = (uint32_t)(d->config.flags >> 32);
	if (out.flags2)
		out.flags |= (uint32_t)FUSE_INIT_EXT;
	out.max_write = d->config.max_write ? d->config.max_write : 131072;
	out.max_pages = d->config.max_pages;
	out.max_readahead = d->config.max_readahead;
	out.max_background = d->config.max_background;
	out.congestion_threshold = d->config.congestion_threshold;
	if (answer(d, in->unique, 0, &out, sizeof(out), 0) < 0)
		fail(d, "INIT reply was refused");
}

/* The next step takes the request, or the test has failed. lock held. */
static struct step *match(struct daemon *d, const struct fuse_in_header *in, const uint8_t *body)
{
	struct step *step = d->next;

	if (!step || step->opcode != in->opcode || (step->nodeid && step->nodeid != in->nodeid)) {
		if (d->ignore & (1ULL << in->opcode))
			return NULL;
		fail(d, "unexpected %s of node %llu, wanted %s of %llu",
		     fuse_opcode_name(in->opcode), (unsigned long long)in->nodeid,
		     step ? fuse_opcode_name(step->opcode) : "nothing",
		     step ? (unsigned long long)step->nodeid : 0);
		return NULL;
	}
	step->in = *in;
	step->body_len = in->len - sizeof(*in);
	step->body = malloc(step->body_len + 1);
	memcpy(step->body, body, step->body_len);
	step->body[step->body_len] = 0;
	d->next = step->next;
	return step;
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	const uint8_t *body = msg + sizeof(*in);
	struct step *step;
	bool ignored;

	if (in->opcode == FUSE_INIT && !d->config.no_init) {
		answer_init(d, in);
		return;
	}
	if (d->config.serve) {
		d->config.serve(d, msg);
		return;
	}
	pthread_mutex_lock(&d->lock);
	if (in->opcode == FUSE_INIT) /* it comes before the test could write its script */
		for (int i = 0; i < PATIENCE_S * 1000 && !d->next; i++) {
			pthread_mutex_unlock(&d->lock);
			usleep(1000);
			pthread_mutex_lock(&d->lock);
		}
	if (!(d->next && d->next->opcode == in->opcode) && take_forget(d, in, body)) {
		pthread_cond_broadcast(&d->changed);
		pthread_mutex_unlock(&d->lock);
		return;
	}
	if (in->opcode == FUSE_GETXATTR && strcmp((const char *)body + 8, "security.capability") == 0 &&
	    !(d->next && (d->next->opcode == FUSE_GETXATTR || d->next->opcode == FUSE_WRITE))) {
		/* Asked before each change of a file: a matter of tests/fuse/killpriv.c, and golden/. */
		pthread_mutex_unlock(&d->lock);
		(void)answer(d, in->unique, -ENODATA, NULL, 0, 0);
		return;
	}
	step = match(d, in, body);
	ignored = !step && (d->ignore & (1ULL << in->opcode));
	pthread_mutex_unlock(&d->lock);
	if (step && !step->silent)
		step->written = answer(d, in->unique ^ step->unique_xor, step->error, step->data,
				       step->len, step->len_delta);
	else if (ignored)
		(void)answer(d, in->unique, 0, NULL, 0, 0);
	else if (!step)
		(void)answer(d, in->unique, -EBADMSG, NULL, 0, 0);
	pthread_mutex_lock(&d->lock);
	if (step)
		step->reached = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static struct file *open_dev(struct daemon *d);

static int own_copy_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	(void)ctx;
	memcpy(dst, (const void *)(uintptr_t)src_gva, len);
	return 0;
}

static const struct ioctl_mem_ops own_mem = {.copy_in = own_copy_in};

static struct file *clone_dev(struct daemon *d)
{
	struct op_ctx ctx = d->self.ctx;
	struct file *file = open_dev(d);
	uint32_t fd;
	long err;

	ctx.files = fdtable_new();
	fd = (uint32_t)fdtable_install(ctx.files, file_get(d->dev), 0, 1024, false);
	err = vfs_ioctl(&ctx, file, FUSE_DEV_IOC_CLONE, (uintptr_t)&fd);
	if (err)
		die("FUSE_DEV_IOC_CLONE", err);
	fdtable_put(&ctx, ctx.files);
	return file;
}

void daemon_reclone(struct daemon *d)
{
	file_put(own_dev);
	own_dev = clone_dev(d);
}

static void *daemon_main(void *arg)
{
	struct daemon *d = arg;
	uint8_t *buf = malloc(BUF_SIZE);
	struct io_iter iter;
	ssize_t n;

	if (d->config.cloned)
		own_dev = clone_dev(d);
	atomic_store(&d->waiters[atomic_fetch_add(&d->nr_started, 1)], waiter_self());
	for (;;) {
		iter_init_mem(&iter, buf, BUF_SIZE);
		n = vfs_read(&d->self.ctx, own_dev ? own_dev : d->dev, &iter);
		if (n < 0)
			break;
		if ((size_t)n < sizeof(struct fuse_in_header) ||
		    ((struct fuse_in_header *)buf)->len != (size_t)n) {
			pthread_mutex_lock(&d->lock);
			fail(d, "message of %zd bytes names another length", n);
			pthread_mutex_unlock(&d->lock);
			continue;
		}
		serve(d, buf);
	}
	free(buf);
	file_put(own_dev);
	own_dev = NULL;
	pthread_mutex_lock(&d->lock);
	d->ended = true;
	d->end_error = n;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* --- set-up ------------------------------------------------------------------------------- */

static struct file *open_dev(struct daemon *d)
{
	const struct file_ops *op = chrdev_find(makedev(10, 229));
	struct file *file;
	int err;

	if (!op)
		die("no /dev/fuse", 0);
	err = file_new_anon(&d->self.ctx, "fuse", S_IFCHR | 0600, op, NULL, O_RDWR, &file);
	if (!err)
		err = op->open(&d->self.ctx, file->inode, file);
	if (err)
		die("open /dev/fuse", err);
	return file;
}

static void mount_it(struct daemon *d)
{
	struct fdtable *files = fdtable_new();
	struct fs_context *fc;
	struct mount *mnt;
	char data[256];
	int err, fd;

	d->self.ctx.files = files;
	fd = fdtable_install(files, file_get(d->dev), 0, 1024, false);
	snprintf(data, sizeof(data), "fd=%d,rootmode=%o,user_id=0,group_id=0%s%s", fd,
		 d->config.rootmode ? d->config.rootmode : S_IFDIR | 0755,
		 d->config.options ? "," : "", d->config.options ? d->config.options : "");
	err = fs_context_new(filesystem_find("fuse", 4), 0, &fc);
	if (!err)
		err = fs_context_parse_monolithic(&d->self.ctx, fc, data);
	if (!err)
		err = fs_context_get_tree(&d->self.ctx, fc);
	if (!err)
		err = mount_create(fc, 0, &mnt);
	if (err)
		die("mount", err);
	fs_context_free(fc);
	d->ns = mnt_ns_new(mnt);
	fdtable_put(&d->self.ctx, files);
	d->self.ctx.files = NULL;
	d->client.ctx.fs = fs_struct_new(d->ns);
	d->client.ctx.files = fdtable_new();
}

static void start_threads(struct daemon *d)
{
	atomic_store(&d->nr_started, 0);
	for (unsigned i = 0; i < d->config.threads; i++) {
		atomic_store(&d->waiters[i], NULL);
		if (pthread_create(&d->threads[i], NULL, daemon_main, d))
			die("thread", 0);
	}
}

struct daemon *daemon_start(const struct daemon_config *config)
{
	static bool registered;
	struct daemon *d = calloc(1, sizeof(*d));
	struct fuse_dev *dev;

	if (!registered && (devfuse_init() || fusefs_init()))
		die("init", 0);
	registered = true;
	if (config)
		d->config = *config;
	else
		d->config.flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | FUSE_ATOMIC_O_TRUNC;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->tail = &d->steps;
	client_init(&d->self, 0, 100);
	client_init(&d->client, d->config.uid, 200);
	d->dev = open_dev(d);
	mount_it(d);
	dev = fuse_dev_of(d->dev);
	d->conn = fuse_dev_conn(dev);
	fuse_dev_put(dev);
	if (d->config.threads == 0)
		d->config.threads = 1;
	if (d->config.cloned)
		ioctl_set_mem_ops(&own_mem);
	start_threads(d);
	return d;
}

static void join_threads(struct daemon *d)
{
	for (unsigned i = 0; i < d->config.threads; i++)
		pthread_join(d->threads[i], NULL);
}

void daemon_die(struct daemon *d)
{
	fuse_conn_abort(d->conn, false);
	join_threads(d);
	file_put(d->dev);
	d->dev = NULL;
}

void daemon_pause(struct daemon *d)
{
	for (unsigned i = 0; i < d->config.threads; i++) {
		struct waiter *waiter;

		while (!(waiter = atomic_load(&d->waiters[i])))
			sched_yield();
		waiter_interrupt(waiter, WAITER_SIGNAL);
	}
	join_threads(d);
}

void daemon_resume(struct daemon *d)
{
	start_threads(d);
}

void daemon_crash(struct daemon *d)
{
	daemon_pause(d);
	file_put(d->dev);
	d->dev = NULL;
}

bool daemon_wait_pending(struct daemon *d, size_t count)
{
	size_t n = 0;

	for (int i = 0; i < PATIENCE_S * 1000 && n != count; i++) {
		fb_mutex_lock(&d->conn->lock);
		n = d->conn->nr_waiting;
		fb_mutex_unlock(&d->conn->lock);
		if (n != count)
			usleep(1000);
	}
	return n == count;
}

int daemon_restart(struct daemon *d)
{
	struct fdtable *files = fdtable_new();
	struct path root;
	char data[256];
	int err, fd;

	d->dev = open_dev(d);
	d->self.ctx.files = files;
	d->self.ctx.fs = d->client.ctx.fs;
	fd = fdtable_install(files, file_get(d->dev), 0, 1024, false);
	snprintf(data, sizeof(data), "fd=%d,rootmode=%o,user_id=0,group_id=0", fd, S_IFDIR | 0755);
	err = path_lookup(&d->self.ctx, NULL, "/", 0, &root);
	if (!err)
		err = vfs_mount(&d->self.ctx, "again", &root, "fuse", 0, data);
	path_put(&root);
	fdtable_put(&d->self.ctx, files);
	d->self.ctx.files = NULL;
	d->self.ctx.fs = NULL;
	start_threads(d);
	return err;
}

const char *daemon_stop(struct daemon *d)
{
	fdtable_put(&d->client.ctx, d->client.ctx.files);
	fs_struct_put(d->client.ctx.fs);
	mnt_ns_put(d->ns);
	if (d->dev) {
		/* Whoever still holds the superblock (an orphan) must not keep the thread. */
		fuse_conn_abort(d->conn, false);
		join_threads(d);
		file_put(d->dev);
		if (d->end_error != -ENODEV)
			fail(d, "the device's last read returned %zd", d->end_error);
	}
	fuse_conn_put(d->conn);
	if (d->next)
		fail(d, "%s of node %llu never came", fuse_opcode_name(d->next->opcode),
		     (unsigned long long)d->next->nodeid);
	return d->failure[0] ? d->failure : NULL;
}

void daemon_free(struct daemon *d)
{
	while (d->steps) {
		struct step *step = d->steps;

		d->steps = step->next;
		free(step->data);
		free(step->body);
		free(step);
	}
	cred_put(d->client.cred);
	cred_put(d->self.cred);
	free(d);
}

/* --- the script --------------------------------------------------------------------------- */

void daemon_ignore(struct daemon *d, uint32_t opcode)
{
	pthread_mutex_lock(&d->lock);
	d->ignore |= 1ULL << opcode;
	pthread_mutex_unlock(&d->lock);
}

static struct step *add_step(struct daemon *d, uint32_t opcode, uint64_t nodeid, int error,
			     const void *data, size_t len, bool silent)
{
	struct step *step = calloc(1, sizeof(*step));

	step->opcode = opcode;
	step->nodeid = nodeid;
	step->error = error;
	step->silent = silent;
	step->len = len;
	if (len) {
		step->data = malloc(len);
		memcpy(step->data, data, len);
	}
	pthread_mutex_lock(&d->lock);
	*d->tail = step;
	d->tail = &step->next;
	if (!d->next)
		d->next = step;
	pthread_mutex_unlock(&d->lock);
	return step;
}

struct step *expect_reply(struct daemon *d, uint32_t opcode, uint64_t nodeid, const void *data,
			  size_t len)
{
	return add_step(d, opcode, nodeid, 0, data, len, false);
}

struct step *expect_error(struct daemon *d, uint32_t opcode, uint64_t nodeid, int err)
{
	return add_step(d, opcode, nodeid, -err, NULL, 0, false);
}

struct step *expect_silence(struct daemon *d, uint32_t opcode, uint64_t nodeid)
{
	return add_step(d, opcode, nodeid, 0, NULL, 0, true);
}

struct fuse_attr make_attr(uint64_t ino, uint32_t mode, uint64_t size)
{
	struct fuse_attr attr = {.ino = ino, .size = size, .mode = mode, .nlink = 1};

	attr.blocks = (size + 511) / 512;
	attr.mtime = 1000;
	attr.ctime = 1000;
	attr.blksize = 4096;
	return attr;
}

struct fuse_entry_out make_entry(uint64_t nodeid, uint32_t mode, uint64_t size, unsigned seconds)
{
	struct fuse_entry_out out = {.nodeid = nodeid, .generation = 1};

	out.entry_valid = seconds;
	out.attr_valid = seconds;
	out.attr = make_attr(nodeid, mode, size);
	return out;
}

struct step *expect_entry(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint64_t child,
			  uint32_t mode, uint64_t size, unsigned seconds)
{
	struct fuse_entry_out out = make_entry(child, mode, size, seconds);

	return expect_reply(d, opcode, nodeid, &out, sizeof(out));
}

struct step *expect_attr(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint32_t mode,
			 uint64_t size, unsigned seconds)
{
	struct fuse_attr_out out = {.attr_valid = seconds};

	out.attr = make_attr(nodeid, mode, size);
	return expect_reply(d, opcode, nodeid, &out, sizeof(out));
}

struct step *expect_open(struct daemon *d, uint32_t opcode, uint64_t nodeid, uint64_t fh,
			 uint32_t open_flags)
{
	struct fuse_open_out out = {.fh = fh, .open_flags = open_flags};

	return expect_reply(d, opcode, nodeid, &out, sizeof(out));
}

const char *step_body(const struct step *step)
{
	return (const char *)step->body;
}

static bool wait_until(struct daemon *d, bool (*done)(struct daemon *d, void *arg), void *arg)
{
	struct timespec until;
	bool ok;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&d->lock);
	while (!(ok = done(d, arg)))
		if (pthread_cond_timedwait(&d->changed, &d->lock, &until))
			break;
	pthread_mutex_unlock(&d->lock);
	return ok;
}

static bool step_reached(struct daemon *d, void *arg)
{
	(void)d;
	return ((struct step *)arg)->reached;
}

bool daemon_wait(struct daemon *d, struct step *step)
{
	return wait_until(d, step_reached, step);
}

static bool all_reached(struct daemon *d, void *arg)
{
	(void)arg;
	for (struct step *step = d->steps; step; step = step->next)
		if (!step->reached)
			return false;
	return true;
}

bool daemon_drain(struct daemon *d)
{
	return wait_until(d, all_reached, NULL);
}

static uint64_t forgotten_locked(struct daemon *d, uint64_t nodeid)
{
	for (unsigned i = 0; i < d->nr_forgotten; i++)
		if (d->forgotten[i].nodeid == nodeid)
			return d->forgotten[i].count;
	return 0;
}

uint64_t daemon_forgotten(struct daemon *d, uint64_t nodeid)
{
	uint64_t count;

	pthread_mutex_lock(&d->lock);
	count = forgotten_locked(d, nodeid);
	pthread_mutex_unlock(&d->lock);
	return count;
}

static bool enough_forgotten(struct daemon *d, void *arg)
{
	struct forgotten *want = arg;

	return forgotten_locked(d, want->nodeid) >= want->count;
}

bool daemon_wait_forgotten(struct daemon *d, uint64_t nodeid, uint64_t count)
{
	struct forgotten want = {nodeid, count};

	return wait_until(d, enough_forgotten, &want);
}

static size_t put_name(void *buf, size_t head, const char *name)
{
	size_t len = strlen(name), total = fuse_dirent_align(head + len);

	memset((char *)buf + head, 0, total - head);
	memcpy((char *)buf + head, name, len);
	return total;
}

size_t make_dirent(void *buf, uint64_t ino, uint64_t off, const char *name, uint32_t type)
{
	struct fuse_dirent entry = {ino, off, (uint32_t)strlen(name), type};

	memcpy(buf, &entry, sizeof(entry));
	return put_name(buf, sizeof(entry), name);
}

size_t make_direntplus(void *buf, const struct fuse_entry_out *entry, uint64_t off,
		       const char *name, uint32_t type)
{
	struct fuse_direntplus plus = {*entry,
				       {entry->attr.ino, off, (uint32_t)strlen(name), type}};

	memcpy(buf, &plus, sizeof(plus));
	return put_name(buf, sizeof(plus), name);
}

/* --- the client --------------------------------------------------------------------------- */

int client_stat(struct daemon *d, const char *path, struct kstat *ret_stat)
{
	struct path where;
	int err = path_lookup(&d->client.ctx, NULL, path, 0, &where);

	if (err)
		return err;
	err = vfs_getattr(&d->client.ctx, &where, ret_stat, STATX_BASIC_STATS, 0);
	path_put(&where);
	return err;
}

long client_stat_path(struct daemon *d, void *path)
{
	struct kstat st;

	return client_stat(d, path, &st);
}

int client_open(struct daemon *d, const char *path, unsigned flags, struct file **ret_file)
{
	struct open_args args = {.flags = flags, .mode = 0644};

	return vfs_open(&d->client.ctx, NULL, path, &args, ret_file);
}

struct file *client_open_f(struct daemon *d, unsigned flags, uint64_t size, uint32_t open_flags)
{
	struct file *file = NULL;
	int err;

	daemon_ignore(d, FUSE_FLUSH);
	daemon_ignore(d, FUSE_RELEASE);
	expect_entry(d, FUSE_LOOKUP, 1, 5, S_IFREG | 0644, size, 100);
	expect_open(d, FUSE_OPEN, 5, 3, open_flags);
	err = client_open(d, "/f", flags, &file);
	if (err)
		die("open /f", err);
	return file;
}

int client_close(struct daemon *d, struct file *file)
{
	int err = file->op->flush ? file->op->flush(&d->client.ctx, file) : 0;

	file_put(file);
	return err;
}

ssize_t client_pread(struct daemon *d, struct file *file, void *buf, size_t len, int64_t pos)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_pread(&d->client.ctx, file, &iter, pos, 0);
}

ssize_t client_pwrite(struct daemon *d, struct file *file, const void *buf, size_t len, int64_t pos)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)buf, len);
	return vfs_pwrite(&d->client.ctx, file, &iter, pos, 0);
}

struct names {
	struct dir_context dc;
	char *buf;
	size_t len, max, room;
};

static bool add_name(struct dir_context *dc, const char *name, size_t len, int64_t off,
		     uint64_t ino, unsigned type)
{
	struct names *names = (struct names *)dc;

	(void)off;
	(void)ino;
	(void)type;
	if (len + 24 > names->room || names->len + len + 2 > names->max)
		return false;
	names->room -= len + 24;
	memcpy(names->buf + names->len, name, len);
	names->len += len;
	names->buf[names->len++] = ' ';
	names->buf[names->len] = 0;
	return true;
}

ssize_t client_readdir(struct daemon *d, struct file *file, char *buf, size_t len, size_t room)
{
	struct names names = {{.emit = add_name, .room = room}, buf, 0, len, room};
	int err;

	buf[0] = 0;
	err = vfs_iterate(&d->client.ctx, file, &names.dc);
	return err ? err : (ssize_t)names.len;
}

static int plain_in(const struct op_ctx *ctx, void *dst, uint64_t src, size_t len)
{
	(void)ctx;
	if (!src)
		return -EFAULT;
	memcpy(dst, (const void *)(uintptr_t)src, len);
	return 0;
}

static int plain_out(const struct op_ctx *ctx, uint64_t dst, const void *src, size_t len)
{
	(void)ctx;
	memcpy((void *)(uintptr_t)dst, src, len);
	return 0;
}

void client_allow_ioctls(void)
{
	static const struct ioctl_mem_ops plain = {plain_in, plain_out};

	ioctl_set_mem_ops(&plain);
}

static void *client_main(void *arg)
{
	struct client_thread *t = arg;

	atomic_store(&t->waiter, waiter_self());
	t->result = t->fn(t->d, t->arg);
	return NULL;
}

void client_spawn(struct client_thread *t, struct daemon *d,
		  long (*fn)(struct daemon *d, void *arg), void *arg)
{
	t->d = d;
	t->fn = fn;
	t->arg = arg;
	atomic_store(&t->waiter, NULL);
	if (pthread_create(&t->thread, NULL, client_main, t))
		die("thread", 0);
}

void client_interrupt(struct client_thread *t, unsigned why)
{
	struct waiter *waiter;

	while (!(waiter = atomic_load(&t->waiter)))
		sched_yield();
	waiter_interrupt(waiter, why);
}

long client_join(struct client_thread *t)
{
	pthread_join(t->thread, NULL);
	return t->result;
}

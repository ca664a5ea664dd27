/*
 * Files of a CUSE device: OPEN, READ, WRITE, POLL, RELEASE with nodeid 0 (matrix C06, C07). No
 * cache, no position, no FLUSH; RELEASE is waited for.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "fusefs/cuse.h"
#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/iter.h"
#include "vfs/file.h"
#include "vfs/perm.h"
#include "vfs/poll.h"

#define OPEN_ONLY      (O_CREAT | O_EXCL | O_NOCTTY)
#define MAX_POLL_TRIES 16 /* a daemon that notifies without end does not keep us here */

void cuse_args_init(struct fuse_args *args, uint32_t opcode, struct cuse_file *cf)
{
	memset(args, 0, sizeof(*args));
	args->opcode = opcode;
	args->pin_files[0] = cf;
}

static uint32_t wire_flags(const struct file *file, unsigned without)
{
	unsigned flags = atomic_load(&((struct file *)(uintptr_t)file)->flags);

	return (flags & ~without) | FUSE_O_LARGEFILE;
}

/* --- life --------------------------------------------------------------------------------- */

static void cuse_file_free(struct cuse_file *cf)
{
	struct cuse *cuse = cf->cuse;

	free(cf);
	cuse_put(cuse);
}

static void prepare_release(struct cuse_file *cf)
{
	cuse_args_init(&cf->args, FUSE_RELEASE, NULL);
	cf->args.nocreds = cf->args.force = true; /* H04 */
	cf->release.fh = cf->fh;
	fuse_args_in(&cf->args, &cf->release, sizeof(cf->release));
}

static void release_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	(void)conn;
	(void)result;
	cuse_file_free(args->owner);
}

/* The last orphaned request is answered: nobody is left to wait for RELEASE. */
static void release_later(struct cuse_file *cf)
{
	prepare_release(cf);
	cf->args.done = release_done;
	cf->args.owner = cf;
	if (fuse_conn_send(cf->cuse->conn, NULL, &cf->args) < 0)
		cuse_file_free(cf);
}

void cuse_pin(struct fuse_conn *conn, struct fuse_args *args)
{
	struct cuse_file *cf = args->pin_files[0];

	(void)conn;
	if (cf)
		ref_get(&cf->ref);
}

void cuse_unpin(struct fuse_conn *conn, struct fuse_args *args)
{
	struct cuse_file *cf = args->pin_files[0];

	(void)conn;
	if (!cf || !ref_put(&cf->ref))
		return;
	if (cf->opened)
		release_later(cf);
	else
		cuse_file_free(cf);
}

static int send_open(const struct op_ctx *ctx, struct file *file, struct cuse_file *cf)
{
	struct fuse_open_in in = {.flags = wire_flags(file, OPEN_ONLY | O_TRUNC)};
	struct fuse_open_out out = {0};
	struct fuse_args args;
	ssize_t err;

	cuse_args_init(&args, FUSE_OPEN, cf);
	args.open_flags = in.flags;
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_conn_call(cf->cuse->conn, ctx, &args);
	if (err == -ENOSYS) /* sticky: fh 0, no RELEASE */
		return 0;
	if (err < 0)
		return (int)err;
	cf->fh = out.fh; /* C07: the flags of the answer mean nothing here */
	cf->opened = true;
	return 0;
}

static int cuse_file_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct cuse *cuse = cuse_by_rdev(inode->rdev);
	struct cuse_file *cf;
	int err;

	if (!cuse)
		return -ENODEV;
	cf = calloc(1, sizeof(*cf));
	if (!cf) {
		cuse_put(cuse);
		return -ENOMEM;
	}
	ref_init(&cf->ref);
	cf->cuse = cuse;
	cf->kh = atomic_fetch_add(&cuse->next_kh, 1) + 1;
	waitq_init(&cf->poll_wait);
	list_init(&cf->poll_node);
	err = send_open(ctx, file, cf);
	if (!err)
		file->private = cf;
	else if (ref_put(&cf->ref)) /* else an orphaned OPEN has it */
		cuse_file_free(cf);
	return err;
}

/* C06: synchronous; whoever is killed meanwhile leaves it to the connection. */
static void cuse_file_release(const struct op_ctx *ctx, struct file *file)
{
	struct cuse_file *cf = file->private;

	(void)ctx;
	file->private = NULL;
	fb_mutex_lock(&cf->cuse->poll_lock);
	list_del(&cf->poll_node);
	fb_mutex_unlock(&cf->cuse->poll_lock);
	cf->release.flags = wire_flags(file, OPEN_ONLY | O_TRUNC);
	if (!ref_put(&cf->ref))
		return; /* cuse_unpin() sends it */
	if (cf->opened) {
		prepare_release(cf);
		(void)fuse_conn_call(cf->cuse->conn, NULL, &cf->args);
	}
	cuse_file_free(cf);
}

/* --- READ, WRITE -------------------------------------------------------------------------- */

static size_t io_limit(const struct cuse *cuse, uint32_t max)
{
	size_t limit = (size_t)cuse->conn->max_pages * FUSE_PAGE;

	return limit < max ? limit : max;
}

static uint64_t lock_owner(const struct cuse *cuse, const void *identity)
{
	return fuse_owner_hash(cuse->owner_key, identity);
}

static ssize_t send_read(const struct op_ctx *ctx, struct file *file, void *buf, size_t len,
			 uint64_t offset)
{
	struct cuse_file *cf = file->private;
	struct fuse_read_in in = {.fh = cf->fh, .offset = offset};
	struct fuse_args args;

	in.size = (uint32_t)len;
	in.read_flags = FUSE_READ_LOCKOWNER;
	in.lock_owner = lock_owner(cf->cuse, ctx->files);
	in.flags = wire_flags(file, 0);
	cuse_args_init(&args, FUSE_READ, cf);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, buf, len);
	return fuse_conn_call(cf->cuse->conn, ctx, &args);
}

static ssize_t send_write(const struct op_ctx *ctx, struct file *file, const void *buf, size_t len,
			  uint64_t offset)
{
	struct cuse_file *cf = file->private;
	struct fuse_write_in in = {.fh = cf->fh, .offset = offset};
	struct fuse_write_out out = {0};
	struct fuse_args args;
	ssize_t err;

	in.size = (uint32_t)len;
	in.write_flags = FUSE_WRITE_LOCKOWNER;
	if (ctx->cred && !ctx_capable(ctx, CAP_FSETID))
		in.write_flags |= FUSE_WRITE_KILL_SUIDGID;
	in.lock_owner = lock_owner(cf->cuse, ctx->files);
	in.flags = wire_flags(file, 0);
	cuse_args_init(&args, FUSE_WRITE, cf);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_in(&args, buf, len);
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_conn_call(cf->cuse->conn, ctx, &args);
	if (err < 0)
		return err;
	return out.size > len ? -EIO : (ssize_t)out.size;
}

/*
 * Each call starts at offset 0, whatever the file's position or pread's offset; what is split goes
 * on from there (cf. cuse_read_iter()).
 */
static ssize_t transfer(const struct op_ctx *ctx, struct file *file, struct io_iter *iter,
			bool write)
{
	struct cuse_file *cf = file->private;
	size_t size = io_limit(cf->cuse, write ? cf->cuse->max_write : cf->cuse->max_read);
	cleanup_free char *buf = NULL;
	ssize_t done = 0, n = 0;

	if (iter->count < size)
		size = iter->count;
	buf = malloc(size ? size : 1);
	if (!buf)
		return -ENOMEM;
	while (iter->count > 0) {
		size_t want = iter->count < size ? iter->count : size;

		if (write) {
			size_t got = iter_from(iter, buf, want);

			n = got == 0 ? -EFAULT
				     : send_write(ctx, file, buf, got, (uint64_t)done);
		} else {
			n = send_read(ctx, file, buf, want, (uint64_t)done);
			if (n > 0 && iter_to(iter, buf, (size_t)n) != (size_t)n)
				n = -EFAULT;
		}
		if (n <= 0)
			break;
		done += n;
		if ((size_t)n < want)
			break;
	}
	return done > 0 ? done : n;
}

static ssize_t cuse_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			      int64_t *pos, int rwf)
{
	(void)pos;
	(void)rwf;
	return transfer(ctx, file, to, false);
}

static ssize_t cuse_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			       int64_t *pos, int rwf)
{
	(void)pos;
	(void)rwf;
	return transfer(ctx, file, from, true);
}

/* cf. noop_llseek() */
static int64_t cuse_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	(void)ctx;
	(void)offset;
	(void)whence;
	return file->pos;
}

/* --- POLL --------------------------------------------------------------------------------- */

void cuse_poll_wake(struct cuse *cuse, uint64_t kh, bool all)
{
	struct cuse_file *cf;

	fb_mutex_lock(&cuse->poll_lock);
	list_for_each (cf, &cuse->polled, poll_node)
		if (all || cf->kh == kh) {
			atomic_fetch_add(&cf->poll_seq, 1);
			waitq_wake_all(&cf->poll_wait, 0);
		}
	fb_mutex_unlock(&cuse->poll_lock);
}

static ssize_t send_poll(const struct op_ctx *ctx, struct cuse_file *cf,
			 const struct fuse_poll_in *in, unsigned *ret_revents)
{
	struct fuse_poll_out out = {0};
	struct fuse_args args;
	ssize_t err;

	cuse_args_init(&args, FUSE_POLL, cf);
	fuse_args_in(&args, in, sizeof(*in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_conn_call(cf->cuse->conn, ctx, &args);
	if (err >= 0)
		*ret_revents = out.revents;
	return err;
}

/* As fuse_poll(), on our own list. */
static unsigned cuse_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct cuse_file *cf = file->private;
	struct fuse_poll_in in = {.fh = cf->fh, .kh = cf->kh};
	unsigned seq, revents = 0, tries = 0;
	ssize_t err;

	poll_wait(table, file, &cf->poll_wait);
	in.events = table ? table->events : POLL_ALWAYS;
	if (table && table->queue) {
		in.flags = FUSE_POLL_SCHEDULE_NOTIFY;
		fb_mutex_lock(&cf->cuse->poll_lock);
		if (list_empty(&cf->poll_node))
			list_add_tail(&cf->cuse->polled, &cf->poll_node);
		fb_mutex_unlock(&cf->cuse->poll_lock);
	}
	do {
		seq = atomic_load(&cf->poll_seq);
		err = send_poll(ctx, cf, &in, &revents);
	} while (err >= 0 && !(revents & in.events) && seq != atomic_load(&cf->poll_seq) &&
		 ++tries < MAX_POLL_TRIES);
	if (err == -ENOSYS)
		return POLL_ALWAYS;
	return err < 0 ? POLLERR : revents;
}

const struct file_ops cuse_file_ops = {
	.open = cuse_file_open,
	.read_iter = cuse_read_iter,
	.write_iter = cuse_write_iter,
	.llseek = cuse_llseek,
	.poll = cuse_poll,
	.ioctl = cuse_ioctl,
	.release = cuse_file_release,
};

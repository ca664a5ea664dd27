/*
 * O_DIRECT with ASYNC_DIO (matrix F85): a call that is larger than one request goes out as several
 * at once. They are sent in groups, so that a call of any size takes a bounded amount of memory.
 *
 * A group outlives its caller: a killed client leaves, and the answers find their buffers.
 */
#include <stdlib.h>
#include <string.h>

#include "fusefs/fusefs.h"
#include "sentry/base/iobuf.h"
#include "sentry/base/iter.h"
#include "vfs/file.h"

#define GROUP 8 /* requests */

struct fragment {
	struct group *group; /* counted while it is under way */
	size_t len;
	ssize_t result; /* bytes or -errno */
	bool write;
	struct fuse_read_in read;
	struct fuse_write_in in;
	struct fuse_write_out out;
	struct fuse_args args;
	char buf[];
};

struct group {
	struct ref ref;	      /* holders: the caller, each request under way */
	struct fb_mutex lock; /* RANK_LEAF: guards left */
	struct waitq done;
	unsigned left; /* under way */
	unsigned count;
	struct fragment *fragments[GROUP]; /* owned */
	struct fuse_file *ff;		   /* counted */
};

static struct group *group_new(struct fuse_file *ff)
{
	struct group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	ref_init(&group->ref);
	fb_mutex_init(&group->lock, RANK_LEAF);
	waitq_init(&group->done);
	ref_get(&ff->ref);
	group->ff = ff;
	return group;
}

static void group_put(struct group *group)
{
	if (!group || !ref_put(&group->ref))
		return;
	for (unsigned i = 0; i < group->count; i++)
		iobuf_free(group->fragments[i]);
	fb_mutex_destroy(&group->lock);
	fuse_file_put(group->ff);
	free(group);
}

static struct fragment *group_add(struct group *group, size_t len)
{
	struct fragment *frag = iobuf_alloc(sizeof(*frag) + len);

	if (!frag)
		return NULL;
	memset(frag, 0, sizeof(*frag));
	frag->group = group;
	frag->len = len;
	group->fragments[group->count++] = frag;
	return frag;
}

static void fragment_set(struct fragment *frag, ssize_t result)
{
	if (result >= 0 && frag->write)
		result = frag->out.size;
	frag->result = result > (ssize_t)frag->len ? -EIO : result;
}

static void fragment_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct fragment *frag = args->owner;
	struct group *group = frag->group;

	(void)conn;
	fb_mutex_lock(&group->lock);
	fragment_set(frag, result);
	group->left--;
	waitq_wake(&group->done, 0);
	fb_mutex_unlock(&group->lock);
	group_put(group);
}

/* Sends them and waits for all: 0, or -EINTR when the caller was killed. */
static int group_run(const struct op_ctx *ctx, struct group *group)
{
	struct inode *inode = group->ff->inode;
	int err = 0;

	group->left = group->count;
	for (unsigned i = 0; i < group->count; i++) {
		struct fragment *frag = group->fragments[i];

		frag->args.done = fragment_done;
		frag->args.owner = frag;
		ref_get(&group->ref);
		err = err ? err : fuse_send_async(ctx, inode, &frag->args);
		if (err < 0)
			fragment_done(fuse_conn_of(inode), &frag->args, err);
	}
	err = 0;
	fb_mutex_lock(&group->lock);
	while (!err && group->left > 0)
		err = waitq_wait(&group->done, 0, &group->lock, WAIT_KILLABLE, WAIT_FOREVER);
	fb_mutex_unlock(&group->lock);
	return err ? -EINTR : 0;
}

/* The first error; else the bytes up to the first short answer. */
static ssize_t group_result(const struct group *group)
{
	ssize_t bytes = 0;
	bool is_short = false;

	for (unsigned i = 0; i < group->count; i++) {
		const struct fragment *frag = group->fragments[i];

		if (frag->result < 0)
			return frag->result;
		if (!is_short)
			bytes += frag->result;
		is_short |= (size_t)frag->result < frag->len;
	}
	return bytes;
}

static ssize_t read_group(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			  int64_t pos, size_t *ret_asked)
{
	size_t limit = fuse_read_limit(fuse_of(file->inode)), left = to->count, asked = 0;
	struct group *group = group_new(file->private);
	ssize_t n = group ? 0 : -ENOMEM;

	while (!n && left > asked && group->count < GROUP) {
		size_t len = left - asked < limit ? left - asked : limit;
		struct fragment *frag = group_add(group, len);

		if (!frag) {
			n = -ENOMEM;
			break;
		}
		fuse_read_args(file, &frag->args, &frag->read, frag->buf, len,
			       pos + (int64_t)asked);
		fuse_read_owner(ctx, file, &frag->read);
		asked += len;
	}
	if (!n)
		n = group_run(ctx, group);
	if (!n)
		n = group_result(group);
	for (size_t at = 0, i = 0; n > 0 && at < (size_t)n; i++) {
		size_t len = (size_t)group->fragments[i]->result;

		if (iter_to(to, group->fragments[i]->buf, len) != len)
			n = -EFAULT;
		at += len;
	}
	group_put(group);
	*ret_asked = asked;
	return n;
}

ssize_t fuse_direct_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			 int64_t *pos)
{
	ssize_t done = 0, n = 0;
	size_t asked;

	while (to->count > 0) {
		n = read_group(ctx, file, to, *pos + done, &asked);
		if (n < 0)
			return n;
		done += n;
		if ((size_t)n < asked)
			break;
	}
	*pos += done;
	fuse_accessed(file->inode);
	return done;
}

static ssize_t write_group(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			   int64_t pos, int rwf)
{
	size_t limit = fuse_write_limit(fuse_of(file->inode)), asked = 0;
	struct group *group = group_new(file->private);
	ssize_t n = group ? 0 : -ENOMEM;

	while (!n && from->count > 0 && group->count < GROUP) {
		size_t len = from->count < limit ? from->count : limit;
		struct fragment *frag = group_add(group, len);

		if (!frag || iter_from(from, frag->buf, len) != len) {
			n = frag ? -EFAULT : -ENOMEM;
			break;
		}
		frag->write = true;
		fuse_write_args(ctx, file, &frag->args, &frag->in, &frag->out, frag->buf, len,
				pos + (int64_t)asked, rwf, true);
		asked += len;
	}
	if (!n)
		n = group_run(ctx, group);
	if (!n)
		n = group_result(group);
	group_put(group);
	return n < 0 || (size_t)n == asked ? n : -EIO;
}

/* What a failed extending write has left behind goes (cf. fuse_do_truncate()). */
static void cut_back(const struct op_ctx *ctx, struct file *file, int64_t size)
{
	struct fuse_file *ff = file->private;
	struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_FH, .fh = ff->fh};
	struct fuse_attr_out out;
	struct fuse_args args;

	in.size = (uint64_t)size;
	fuse_args_init(&args, FUSE_SETATTR, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	(void)fuse_send(ctx, ff->inode, &args);
}

ssize_t fuse_direct_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			  int64_t *pos, int rwf)
{
	int64_t size = inode_size(file->inode);
	bool extends = (int64_t)from->count > size - *pos;
	ssize_t done = 0, n = 0;

	while (n >= 0 && from->count > 0) {
		n = write_group(ctx, file, from, *pos + done, rwf);
		done += n > 0 ? n : 0;
	}
	if (n < 0 && extends && n != -EINTR)
		cut_back(ctx, file, size);
	else if (n >= 0)
		*pos += done;
	return n < 0 ? n : done;
}

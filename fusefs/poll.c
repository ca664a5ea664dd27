/* POLL and NOTIFY_POLL (matrix F153, F154). */
#include "vfs/poll.h"

#include "fusefs/fusefs.h"
#include "vfs/file.h"

#define MAX_TRIES 16 /* a daemon that notifies without end does not keep us here */

/* Known to NOTIFY_POLL from the first poll that waits on. */
static void register_polled(struct fuse_super *fs, struct fuse_file *ff)
{
	fb_mutex_lock(&fs->poll_lock);
	if (list_empty(&ff->poll_node))
		list_add_tail(&fs->polled, &ff->poll_node);
	fb_mutex_unlock(&fs->poll_lock);
}

void fuse_poll_forget(struct fuse_file *ff)
{
	struct fuse_super *fs = fuse_of(ff->inode);

	fb_mutex_lock(&fs->poll_lock);
	list_del(&ff->poll_node);
	fb_mutex_unlock(&fs->poll_lock);
}

void fuse_poll_wake(struct fuse_super *fs, uint64_t kh, bool all)
{
	struct fuse_file *ff;

	fb_mutex_lock(&fs->poll_lock);
	list_for_each (ff, &fs->polled, poll_node)
		if (all || ff->kh == kh) {
			atomic_fetch_add(&ff->poll_seq, 1);
			waitq_wake_all(&ff->poll_wait, 0);
		}
	fb_mutex_unlock(&fs->poll_lock);
}

static ssize_t send_poll(const struct op_ctx *ctx, struct fuse_file *ff,
			 struct fuse_poll_in *in, unsigned *ret_revents)
{
	struct fuse_poll_out out = {0};
	struct fuse_args args;
	ssize_t err;

	fuse_args_init(&args, FUSE_POLL, ff->inode);
	fuse_args_pin_file(&args, ff, &in->fh);
	fuse_args_in(&args, in, sizeof(*in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, ff->inode, &args);
	if (err >= 0)
		*ret_revents = out.revents;
	return err;
}

unsigned fuse_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct fuse_file *ff = file->private;
	struct fuse_poll_in in = {.fh = ff->fh, .kh = ff->kh};
	unsigned seq, revents = 0, tries = 0;
	ssize_t err;

	if (fuse_is_bad(ff->inode))
		return POLLERR;
	poll_wait(table, file, &ff->poll_wait);
	in.events = table ? table->events : POLL_ALWAYS;
	if (table && table->queue) {
		in.flags = FUSE_POLL_SCHEDULE_NOTIFY;
		register_polled(fuse_of(ff->inode), ff);
	}
	/*
	 * A NOTIFY_POLL that comes while we wait for the answer wakes that wait, not the sleep
	 * which the caller goes into afterwards: ask again at once, it may be newer than the
	 * answer.
	 */
	do {
		seq = atomic_load(&ff->poll_seq);
		err = send_poll(ctx, ff, &in, &revents);
	} while (err >= 0 && !(revents & in.events) && seq != atomic_load(&ff->poll_seq) &&
		 ++tries < MAX_TRIES);
	if (err == -ENOSYS)
		return POLL_ALWAYS;
	return err < 0 ? POLLERR : revents;
}

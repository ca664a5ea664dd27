/* pidfd_open(2): see pidfd.h. */
#include "vfs/file/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ops.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"

struct pidfd {
	const struct pidfd_ops *ops; /* constant, as process */
	void *process;		     /* counted */
};

static const struct file_ops pidfd_fops;

static unsigned pidfd_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct pidfd *pidfd = file->private;
	unsigned mask = 0;

	(void)ctx;
	poll_wait(table, file, pidfd->ops->queue(pidfd->process));
	if (pidfd->ops->exited(pidfd->process))
		mask |= POLLIN | POLLRDNORM;
	if (pidfd->ops->reaped(pidfd->process))
		mask |= POLLHUP;
	return mask;
}

static void pidfd_release(const struct op_ctx *ctx, struct file *file)
{
	struct pidfd *pidfd = file->private;

	(void)ctx;
	pidfd->ops->put(pidfd->process);
	free(pidfd);
}

static void pidfd_show_fdinfo(struct file *file, struct strbuf *out)
{
	struct pidfd *pidfd = file->private;
	pid_t pid = pidfd->ops->pid(pidfd->process);

	strbuf_printf(out, "Pid:\t%d\nNSpid:\t%d\n", (int)pid, (int)pid);
}

int pidfd_create(const struct op_ctx *ctx, void *process, const struct pidfd_ops *ops,
		 unsigned flags, struct file **ret_file)
{
	struct pidfd *pidfd;
	int err;

	if (flags & ~(unsigned)O_NONBLOCK)
		return -EINVAL;
	pidfd = malloc(sizeof(*pidfd));
	if (!pidfd)
		return -ENOMEM;
	pidfd->ops = ops;
	pidfd->process = process;
	ops->get(process);
	err = file_new_anon(ctx, "pidfd", 0600, &pidfd_fops, pidfd, O_RDWR | flags, ret_file);
	if (err) {
		ops->put(process);
		free(pidfd);
	}
	return err;
}

void *pidfd_process(const struct file *file)
{
	struct pidfd *pidfd = file->private;

	return file->op == &pidfd_fops ? pidfd->process : NULL;
}

static const struct file_ops pidfd_fops = {
	.poll = pidfd_poll,
	.release = pidfd_release,
	.show_fdinfo = pidfd_show_fdinfo,
	.nowait = true,
	.no_position = true,
};

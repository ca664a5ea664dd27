/* The run's own stdin, stdout and stderr as guest files. */
#include "sentry/cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/console.h"
#include "sentry/sched/sched.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/hostfile.h"
#include "vfs/namei.h"

/* Host readiness for hostfile.c, from the reactor. */

struct stdio_watch {
	struct host_watch watch;
	void (*ready)(void *arg, unsigned events);
	void *arg;
};

static void stdio_ready(struct host_watch *watch, unsigned events)
{
	struct stdio_watch *self = container_of(watch, struct stdio_watch, watch);

	self->ready(self->arg, events);
}

static int stdio_watch_add(int hostfd, void (*ready)(void *arg, unsigned events), void *arg,
			   void **ret_watch)
{
	struct stdio_watch *self = calloc(1, sizeof(*self));
	int err;

	if (!self)
		return -ENOMEM;
	self->ready = ready;
	self->arg = arg;
	err = host_watch_add(&self->watch, hostfd, stdio_ready);
	if (err)
		free(self);
	else
		*ret_watch = self;
	return err;
}

static void stdio_watch_del(void *watch)
{
	struct stdio_watch *self = watch;

	host_watch_del(&self->watch);
	free(self);
}

static const struct hostfile_watch_ops stdio_watch_ops = {
	.add = stdio_watch_add,
	.del = stdio_watch_del,
};

static bool closed[3]; /* the guest finds these closed, as we did */

void stdio_reserve(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		closed[fd] = true;
		if (open("/dev/null", O_PATH | O_CLOEXEC) != fd)
			fb_die("cannot keep descriptor %d free", fd);
	}
}

static int install(struct fdtable *files, int fd, struct file *file)
{
	int got = fdtable_install(files, file, fd, (uint64_t)fd + 1, false);

	if (got < 0)
		file_put(file);
	return got < 0 ? got : 0;
}

static int install_host(const struct op_ctx *ctx, struct fdtable *files, int fd)
{
	int flags = fcntl(fd, F_GETFL), copy;
	struct file *file;
	int err;

	if (closed[fd])
		return 0;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	err = hostfile_new(ctx, copy, (unsigned)flags & (O_ACCMODE | O_APPEND), &file);
	if (err) {
		close(copy);
		return err;
	}
	return install(files, fd, file);
}

int stdio_install(const struct op_ctx *ctx, struct fdtable *files, bool *ret_console)
{
	struct file *slave = NULL;
	int err = 0;

	hostfile_set_watch_ops(&stdio_watch_ops);
	*ret_console = isatty(0);
	if (*ret_console) {
		err = console_open(ctx, 0, isatty(1) ? 1 : 0, &slave);
		if (err)
			return err;
	}
	for (int fd = 0; fd <= 2 && !err; fd++) {
		if (slave && !closed[fd] && isatty(fd))
			err = install(files, fd, file_get(slave));
		else
			err = install_host(ctx, files, fd);
	}
	file_put(slave);
	return err;
}

/* pipe(2). */
#include <fcntl.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/pair.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/pipe.h"

/* The two numbers are in guest memory before anything can be found under them. */
int64_t install_pair(struct task *task, struct file *files[2], bool cloexec, gva_t fds_gva)
{
	uint64_t limit = task_nofile(task);
	int fds[2], err;

	fds[0] = fdtable_reserve(task->files, 0, limit, cloexec);
	if (fds[0] < 0) {
		err = fds[0];
		goto out_files;
	}
	fds[1] = fdtable_reserve(task->files, 0, limit, cloexec);
	if (fds[1] < 0) {
		err = fds[1];
		goto out_first;
	}
	err = copy_to_guest(task, fds_gva, fds, sizeof(fds));
	if (err)
		goto out_second;
	fdtable_fill(task->files, fds[0], files[0]);
	fdtable_fill(task->files, fds[1], files[1]);
	return 0;
out_second:
	fdtable_cancel(task->files, fds[1]);
out_first:
	fdtable_cancel(task->files, fds[0]);
out_files:
	file_put(files[0]);
	file_put(files[1]);
	return err;
}

static int64_t pipe_common(struct task *task, gva_t fds_gva, unsigned flags)
{
	struct file *files[2];
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	err = pipe_create(task_ctx(task), flags & ~(unsigned)O_CLOEXEC, files);
	return err ? err : install_pair(task, files, flags & O_CLOEXEC, fds_gva);
}

int64_t sys_pipe(struct task *task, const uint64_t *args)
{
	return pipe_common(task, args[0], 0);
}

int64_t sys_pipe2(struct task *task, const uint64_t *args)
{
	return pipe_common(task, args[0], (unsigned)args[1]);
}

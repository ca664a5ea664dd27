/* ioctl(2): what concerns the number is done here, the rest belongs to the file. */
#include "vfs/ioctl.h"

#include <sys/ioctl.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/table.h"
#include "syscalls/uring.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"

int64_t sys_ioctl(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	unsigned cmd = (unsigned)args[1];
	int64_t result;

	if (!file)
		return -EBADF;
	if (cmd == FIOCLEX || cmd == FIONCLEX)
		result = fdtable_set_cloexec(task->files, (int)args[0], cmd == FIOCLEX);
	else
		result = vfs_ioctl(task_ctx(task), file, cmd, args[2]);
	file_put(file);
	return result;
}

static int ioctl_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	return ctx->task ? copy_from_guest(ctx->task, dst, src_gva, len) : -EFAULT;
}

static int ioctl_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	return ctx->task ? copy_to_guest(ctx->task, dst_gva, src, len) : -EFAULT;
}

static const struct ioctl_mem_ops guest_mem_ops = {
	.copy_in = ioctl_in,
	.copy_out = ioctl_out,
};

void syscalls_init(void)
{
	ioctl_set_mem_ops(&guest_mem_ops);
	uring_init();
}

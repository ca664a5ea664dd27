/* pidfd: readiness follows the process, the reference is kept. */
#include "kinds_support.h"

#include "vfs/file/pidfd.h"
#include "vfs/strbuf.h"

TestSuite(pidfd, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

static struct process {
	int refs;
	bool exited, reaped;
	struct waitq queue;
} process;

static void proc_get(void *arg)
{
	((struct process *)arg)->refs++;
}

static void proc_put(void *arg)
{
	((struct process *)arg)->refs--;
}

static pid_t proc_pid(void *arg)
{
	return ((struct process *)arg)->reaped ? -1 : 12;
}

static bool proc_exited(void *arg)
{
	return ((struct process *)arg)->exited;
}

static bool proc_reaped(void *arg)
{
	return ((struct process *)arg)->reaped;
}

static struct waitq *proc_queue(void *arg)
{
	return &((struct process *)arg)->queue;
}

static const struct pidfd_ops ops = {proc_get,	  proc_put,    proc_pid,
				     proc_exited, proc_reaped, proc_queue};

Test(pidfd, becomes_readable_at_exit_and_hung_up_when_reaped)
{
	struct strbuf out = STRBUF_INIT;
	struct file *file, *none;

	waitq_init(&process.queue);
	cr_assert_eq(pidfd_create(&test_ctx, &process, &ops, 0x10, &none), -EINVAL);
	cr_assert_eq(pidfd_create(&test_ctx, &process, &ops, 0, &file), 0);
	cr_assert_eq(process.refs, 1);
	cr_assert_eq(pidfd_process(file), &process);
	cr_assert_eq(poll_now(file), 0);
	process.exited = true;
	cr_assert_eq(poll_now(file), POLLIN | POLLRDNORM);
	file->op->show_fdinfo(file, &out);
	cr_assert_str_eq(out.buf, "Pid:\t12\nNSpid:\t12\n");
	process.reaped = true;
	cr_assert_eq(poll_now(file), POLLIN | POLLRDNORM | POLLHUP);
	strbuf_free(&out);
	file_put(file);
	cr_assert_eq(process.refs, 0);
}

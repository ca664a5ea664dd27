/* What the tests of vfs/file/ share: a caller, reads and writes, threads that block. */
#ifndef FB_TESTS_KINDS_SUPPORT_H
#define FB_TESTS_KINDS_SUPPORT_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"

static atomic_int test_signals; /* SIGPIPEs raised so far */

static void test_signal(const struct op_ctx *ctx, int signo)
{
	(void)ctx;
	if (signo == SIGPIPE)
		atomic_fetch_add(&test_signals, 1);
}

static const struct op_ctx_ops test_ctx_ops = {.signal = test_signal};

/* Guest addresses are our own in these tests. */
static int test_copy_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	(void)ctx;
	memcpy(dst, (void *)(uintptr_t)src_gva, len);
	return 0;
}

static int test_copy_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	(void)ctx;
	memcpy((void *)(uintptr_t)dst_gva, src, len);
	return 0;
}

static struct op_ctx test_ctx = {
	.tid = 7, .tgid = 7, .fsize_limit = UINT64_MAX, .ops = &test_ctx_ops};

__attribute__((unused)) static void kinds_init(void)
{
	static const struct ioctl_mem_ops mem = {test_copy_in, test_copy_out};

	test_ctx.cred = cred_new(1000, 1000, NULL, 0);
	ioctl_set_mem_ops(&mem);
}

__attribute__((unused)) static void kinds_fini(void)
{
	cred_put(test_ctx.cred);
}

__attribute__((unused)) static ssize_t get(struct file *file, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&test_ctx, file, &iter);
}

__attribute__((unused)) static ssize_t put(struct file *file, const void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)buf, len);
	return vfs_write(&test_ctx, file, &iter);
}

__attribute__((unused)) static ssize_t puts_to(struct file *file, const char *text)
{
	return put(file, text, strlen(text));
}

__attribute__((unused)) static unsigned poll_now(struct file *file)
{
	return vfs_poll(&test_ctx, file, NULL);
}

__attribute__((unused)) static void set_nonblock(struct file *file)
{
	atomic_fetch_or(&file->flags, O_NONBLOCK);
}

/* A call that blocks, on a thread of its own. */
struct blocked {
	pthread_t thread;
	ssize_t (*call)(struct blocked *self);
	struct file *file;
	void *arg;
	char buf[256];
	size_t len;
	_Atomic(struct waiter *) waiter;
	atomic_bool done;
	ssize_t ret;
};

static void *blocked_main(void *arg)
{
	struct blocked *self = arg;

	atomic_store(&self->waiter, waiter_self());
	self->ret = self->call(self);
	atomic_store(&self->done, true);
	return NULL;
}

__attribute__((unused)) static ssize_t blocked_read(struct blocked *self)
{
	return get(self->file, self->buf, self->len);
}

__attribute__((unused)) static void blocked_start(struct blocked *self)
{
	cr_assert_eq(pthread_create(&self->thread, NULL, blocked_main, self), 0);
	while (!atomic_load(&self->waiter))
		sched_yield();
}

/* Until somebody sleeps on the queue. */
__attribute__((unused)) static void until_waiting(struct waitq *queue)
{
	while (!waitq_active(queue))
		sched_yield();
}

__attribute__((unused)) static ssize_t blocked_join(struct blocked *self)
{
	pthread_join(self->thread, NULL);
	return self->ret;
}

__attribute__((unused)) static void blocked_interrupt(struct blocked *self)
{
	waiter_interrupt(atomic_load(&self->waiter), WAITER_SIGNAL);
}

#endif

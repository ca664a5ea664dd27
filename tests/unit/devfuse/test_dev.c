/* The queues and the device, with no file system behind them; matrix section 4. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "devfuse/conn.h"
#include "devfuse/dev.h"
#include "devfuse/request.h"
#include "sentry/base/iter.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/poll.h"

TestSuite(devfuse, .timeout = 120);

static void no_init(struct fuse_conn *conn)
{
	(void)conn;
}
static int last_code;
static size_t last_len;
static int on_notify(struct fuse_conn *conn, const struct op_ctx *ctx, unsigned code,
		     struct io_iter *from, size_t len)
{
	char body[64];

	(void)conn;
	(void)ctx;
	last_code = (int)code;
	last_len = len;
	return iter_from(from, body, len) == len ? 0 : -EFAULT;
}
static int pins;
static void on_pin(struct fuse_conn *conn, struct fuse_args *args)
{
	(void)conn;
	(void)args;
	pins++;
}
static void on_unpin(struct fuse_conn *conn, struct fuse_args *args)
{
	(void)conn;
	(void)args;
	pins--;
}
static const struct fuse_conn_ops ops = {
	.initialized = no_init,
	.notify = on_notify,
	.pin = on_pin,
	.unpin = on_unpin,
	.poll_again = no_init,
};

static struct op_ctx ctx = {.tid = 7, .tgid = 6};
static uint8_t buf[300000];

static struct file *dev_open(void)
{
	const struct file_ops *op = chrdev_find(makedev(10, 229));
	struct file *file;

	if (!op) {
		cr_assert_eq(devfuse_init(), 0);
		op = chrdev_find(makedev(10, 229));
		ctx.cred = cred_new(1000, 100, NULL, 0);
	}
	cr_assert_eq(
		file_new_anon(&ctx, "fuse", S_IFCHR | 0600, op, NULL, O_RDWR | O_NONBLOCK, &file),
		0);
	cr_assert_eq(op->open(&ctx, file->inode, file), 0);
	return file;
}

static ssize_t dev_read(struct file *file, size_t len)
{
	struct io_iter iter;

	memset(buf, 0xee, sizeof(buf));
	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, file, &iter);
}

static ssize_t dev_write(struct file *file, const void *data, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)data, len);
	return vfs_write(&ctx, file, &iter);
}

static ssize_t reply(struct file *file, uint64_t unique, int error, const void *data, size_t len)
{
	static uint8_t msg[4096];
	struct fuse_out_header head = {(uint32_t)(16 + len), error, unique};

	memcpy(msg, &head, 16);
	if (len)
		memcpy(msg + 16, data, len);
	return dev_write(file, msg, 16 + len);
}

static struct fuse_in_header *head(void)
{
	return (struct fuse_in_header *)buf;
}

/* A connection attached to *ret_dev, not initialized. */
static struct fuse_conn *conn_new(struct file **ret_dev)
{
	struct fuse_conn *conn = fuse_conn_new(33, &ops, NULL);
	struct fuse_dev *dev;

	*ret_dev = dev_open();
	dev = fuse_dev_of(*ret_dev);
	cr_assert_eq(fuse_dev_attach(dev, conn), 0);
	fuse_dev_put(dev);
	return conn;
}

static void do_init(struct fuse_conn *conn, struct file *dev, uint32_t minor, uint64_t flags)
{
	struct fuse_init_out out = {.major = 7, .minor = minor, .flags = (uint32_t)flags};

	out.max_write = 4096;
	out.max_background = 2;
	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8192), 104); /* I01 */
	cr_assert_eq(head()->opcode, FUSE_INIT);
	cr_assert_eq(head()->unique, 2); /* H01 */
	cr_assert_eq(head()->uid, 0);
	cr_assert_eq(reply(dev, 2, 0, &out, sizeof(out)), 80);
}

static struct fuse_conn *ready_conn(struct file **ret_dev)
{
	struct fuse_conn *conn = conn_new(ret_dev);

	do_init(conn, *ret_dev, 45, 0);
	return conn;
}

static void conn_end(struct fuse_conn *conn, struct file *dev)
{
	file_put(dev);
	fuse_conn_put(conn);
}

/* A client that sends one request on a thread of its own. */
struct call {
	pthread_t thread;
	struct fuse_conn *conn;
	struct fuse_args args;
	uint8_t out[128];
	_Atomic(struct waiter *) waiter;
	ssize_t result;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	atomic_store(&call->waiter, waiter_self());
	call->result = fuse_conn_call(call->conn, &ctx, &call->args);
	return NULL;
}

static void call_start(struct call *call, struct fuse_conn *conn, uint32_t opcode, const char *name,
		       size_t out)
{
	memset(call, 0, sizeof(*call));
	call->conn = conn;
	call->args.opcode = opcode;
	call->args.nodeid = 9;
	if (name) {
		call->args.nr_in = 1;
		call->args.in[0] = (struct fuse_in_arg){name, strlen(name) + 1};
	}
	if (out) {
		call->args.nr_out = 1;
		call->args.out[0] = (struct fuse_out_arg){call->out, out};
	}
	cr_assert_eq(pthread_create(&call->thread, NULL, call_main, call), 0);
}

/* Reads the request that is on its way. */
static ssize_t read_soon(struct file *dev, size_t len)
{
	ssize_t n;

	while ((n = dev_read(dev, len)) == -EAGAIN)
		sched_yield();
	return n;
}

static ssize_t call_end(struct call *call)
{
	pthread_join(call->thread, NULL);
	return call->result;
}

Test(devfuse, unattached_device_refuses) /* D10, D30, D50, D58 */
{
	struct file *dev = dev_open();

	cr_assert_eq(dev_read(dev, 8192), -EPERM);
	cr_assert_eq(dev_write(dev, buf, 16), -EPERM);
	cr_assert_eq(vfs_poll(&ctx, dev, NULL), POLLERR);
	cr_assert_eq(dev->op->ioctl(&ctx, dev, FUSE_DEV_IOC_BACKING_OPEN, 0), -EPERM);
	cr_assert_eq(dev->op->ioctl(&ctx, dev, 0xE5FF, 0), -ENOTTY);
	file_put(dev);
}

Test(devfuse, small_read_buffer_is_refused_and_takes_nothing) /* D12, D13 */
{
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);

	cr_assert_eq(dev_read(dev, 8192), -EAGAIN);
	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8191), -EINVAL);
	cr_assert_eq(vfs_poll(&ctx, dev, NULL), POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
	cr_assert_eq(dev_read(dev, 8192), 104);
	cr_assert_eq(vfs_poll(&ctx, dev, NULL), POLLOUT | POLLWRNORM);
	conn_end(conn, dev);
}

Test(devfuse, request_carries_the_callers_ids_and_comes_back) /* H01-H03, D20, D46 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct fuse_entry_out entry = {.nodeid = 12};
	struct call call;

	call_start(&call, conn, FUSE_LOOKUP, "name", 128);
	cr_assert_eq(read_soon(dev, 8192), 40 + 5);
	cr_assert_eq(head()->len, 45);
	cr_assert_eq(head()->unique, 4);
	cr_assert_eq(head()->nodeid, 9);
	cr_assert_eq(head()->uid, 1000);
	cr_assert_eq(head()->gid, 100);
	cr_assert_eq(head()->pid, 7);
	cr_assert_str_eq((char *)buf + 40, "name");
	cr_assert_eq(reply(dev, 4, 0, &entry, sizeof(entry)), 144);
	cr_assert_eq(call_end(&call), 0);
	cr_assert_eq(((struct fuse_entry_out *)call.out)->nodeid, 12);
	cr_assert_eq(reply(dev, 4, 0, &entry, sizeof(entry)), -ENOENT);
	conn_end(conn, dev);
}

/* What is written, what the writer gets, what the requester gets (1 = nothing). */
struct bad_reply {
	const char *what;
	int error;
	size_t len;
	uint32_t len_delta;
	uint64_t unique_xor;
	ssize_t writer;
	ssize_t requester;
};

Test(devfuse, replies_are_checked_before_they_are_believed) /* D31, D33, D35-D37, D39-D42, Z01, Z02, Z30, Z31 */
{
	static const struct bad_reply rows[] = {
		{"wrong header length", 0, 128, 1, 0, -EINVAL, 1},
		{"positive error", 5, 0, 0, 0, -EINVAL, 1},
		{"error out of range", -512, 0, 0, 0, -EINVAL, 1},
		{"unknown unique", 0, 128, 0, 64, -ENOENT, 1},
		{"interrupt reply of wrong size", 0, 4, 0, 1, -EINVAL, 1},
		{"interrupt reply EAGAIN, never interrupted", -EAGAIN, 0, 0, 1, -EINVAL, 1},
		{"interrupt reply of another error", -EIO, 0, 0, 1, 16, 1},
		{"error with payload", -EIO, 8, 0, 0, -EINVAL, -EIO},
		{"too short", 0, 120, 0, 0, -EINVAL, -EIO},
		{"too long", 0, 136, 0, 0, -EINVAL, -EIO},
		{"empty success", 0, 0, 0, 0, -EINVAL, -EIO},
		{"plain error", -EPERM, 0, 0, 0, 16, -EPERM},
		{"last legal error", -511, 0, 0, 0, 16, -511},
	};
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct {
			struct fuse_out_header h;
			uint8_t payload[256];
		} msg = {0};
		struct call call;
		uint64_t unique;

		call_start(&call, conn, FUSE_LOOKUP, "x", 128);
		cr_assert_gt(read_soon(dev, 8192), 0);
		unique = head()->unique;
		msg.h.len = (uint32_t)(16 + rows[i].len) + rows[i].len_delta;
		msg.h.error = rows[i].error;
		msg.h.unique = unique ^ rows[i].unique_xor;
		cr_assert_eq(dev_write(dev, &msg, 16 + rows[i].len), rows[i].writer, "%s",
			     rows[i].what);
		if (rows[i].requester == 1)
			cr_assert_eq(reply(dev, unique, -EXDEV, NULL, 0), 16, "%s", rows[i].what);
		cr_assert_eq(call_end(&call), rows[i].requester == 1 ? -EXDEV : rows[i].requester,
			     "%s", rows[i].what);
	}
	cr_assert_eq(dev_write(dev, buf, 15), -EINVAL); /* D31 */
	conn_end(conn, dev);
}

Test(devfuse, variable_answers_may_be_short) /* D43 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;

	call_start(&call, conn, FUSE_READLINK, NULL, 100);
	cr_assert_eq(read_soon(dev, 8192), 40);
	cr_assert_eq(reply(dev, head()->unique, 0, "target", 6), 22);
	cr_assert_eq(call_end(&call), 6);
	conn_end(conn, dev);
}

static void forget(struct fuse_conn *conn, uint64_t nodeid)
{
	fuse_conn_forget(conn, malloc(sizeof(struct fuse_forget)), nodeid, nodeid + 1, 0);
}

Test(devfuse, forgets_are_batched) /* D16, H05, Q42 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct fuse_batch_forget_in *batch = (void *)(buf + 40);
	struct fuse_forget_one *one = (void *)(batch + 1);

	forget(conn, 5);
	cr_assert_eq(dev_read(dev, 8192), 48);
	cr_assert_eq(head()->opcode, FUSE_FORGET);
	cr_assert_eq(head()->nodeid, 5);
	cr_assert_eq(head()->pid, 0); /* H05 */
	for (uint64_t i = 10; i < 13; i++)
		forget(conn, i);
	cr_assert_eq(dev_read(dev, 8192), 48 + 3 * 16);
	cr_assert_eq(head()->opcode, FUSE_BATCH_FORGET);
	cr_assert_eq(head()->nodeid, 0);
	cr_assert_eq(batch->count, 3);
	cr_assert_eq(one[2].nodeid, 12);
	cr_assert_eq(one[2].nlookup, 13);
	for (uint64_t i = 0; i < 600; i++) /* more than one buffer holds */
		forget(conn, i);
	cr_assert_eq(dev_read(dev, 8192), 48 + 509 * 16);
	cr_assert_eq(dev_read(dev, 8192), 48 + 91 * 16);
	conn_end(conn, dev);
}

Test(devfuse, old_daemons_get_single_forgets) /* V16 */
{
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);

	do_init(conn, dev, 15, 0);
	forget(conn, 1);
	forget(conn, 2);
	cr_assert_eq(dev_read(dev, 8192), 48);
	cr_assert_eq(head()->opcode, FUSE_FORGET);
	cr_assert_eq(dev_read(dev, 8192), 48);
	conn_end(conn, dev);
}

static void async_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	(void)conn;
	*(ssize_t *)args->owner = result;
}

static void send_async(struct fuse_conn *conn, struct fuse_args *args, ssize_t *result, bool force)
{
	memset(args, 0, sizeof(*args));
	args->opcode = FUSE_RELEASE;
	args->force = force;
	args->done = async_done;
	args->owner = result;
	*result = 1;
	cr_assert_eq(fuse_conn_send(conn, NULL, args), 0);
}

Test(devfuse, requests_and_forgets_alternate_8_to_16) /* D15 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct fuse_args args[20];
	ssize_t results[20];
	char order[64];
	int n = 0;

	conn->max_background = 100;
	conn->minor = 15; /* one forget per read */
	for (int i = 0; i < 20; i++)
		send_async(conn, &args[i], &results[i], true);
	for (int i = 0; i < 20; i++)
		forget(conn, 3);
	while (dev_read(dev, 8192) > 0 && n < 63)
		order[n++] = head()->opcode == FUSE_FORGET ? 'f' : 'r';
	order[n] = 0;
	cr_assert_str_eq(order, "rrrrrrrrffffffffffffffffrrrrrrrrffffrrrr");
	conn_end(conn, dev);
}

Test(devfuse, background_class_is_limited) /* D87 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct fuse_args args[4];
	ssize_t results[4];
	uint64_t first;

	for (int i = 0; i < 4; i++)
		send_async(conn, &args[i], &results[i], true);
	cr_assert_eq(dev_read(dev, 8192), 40);
	first = head()->unique;
	cr_assert_eq(dev_read(dev, 8192), 40);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN); /* max_background is 2 */
	cr_assert_eq(reply(dev, first, -EIO, NULL, 0), 16);
	cr_assert_eq(results[0], -EIO);
	cr_assert_eq(dev_read(dev, 8192), 40);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN);
	conn_end(conn, dev); /* the last close ends the rest */
	cr_assert_eq(results[3], -ECONNABORTED);
}

Test(devfuse, requests_wait_for_init) /* D80, I10 */
{
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);
	struct fuse_out_header note = {16, FUSE_NOTIFY_RESEND, 0};
	struct call call;

	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(dev_write(dev, &note, 16), -EINVAL); /* D34 */
	do_init(conn, dev, 45, 0);
	cr_assert_eq(read_soon(dev, 8192), 40);
	cr_assert_eq(reply(dev, head()->unique, -EIO, NULL, 0), 16);
	cr_assert_eq(call_end(&call), -EIO);
	conn_end(conn, dev);
}

Test(devfuse, refused_init_refuses_everything) /* I04, Z04, K06 */
{
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);
	struct call call;

	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8192), 104);
	cr_assert_eq(reply(dev, 2, -EPROTO, NULL, 0), 16);
	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(call_end(&call), -ECONNREFUSED);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN); /* itself alive */
	conn_end(conn, dev);
}

Test(devfuse, enosys_of_a_sticky_opcode_is_asked_once) /* A01 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;

	call_start(&call, conn, FUSE_LINK, "x", 128);
	cr_assert_gt(read_soon(dev, 8192), 0);
	cr_assert_eq(reply(dev, head()->unique, -ENOSYS, NULL, 0), 16);
	cr_assert_eq(call_end(&call), -EPERM);
	call_start(&call, conn, FUSE_LINK, "x", 128);
	cr_assert_eq(call_end(&call), -EPERM);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN);
	conn_end(conn, dev);
}

Test(devfuse, request_larger_than_the_buffer_fails_alone) /* D17, Z35 */
{
	static char big[9000];
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call one, two;

	memset(big, 'b', sizeof(big) - 1);
	call_start(&one, conn, FUSE_SETXATTR, big, 0);
	while (fuse_queue_empty(&conn->pending))
		sched_yield();
	call_start(&two, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(read_soon(dev, 8192), 40);
	cr_assert_eq(head()->opcode, FUSE_READLINK);
	cr_assert_eq(reply(dev, head()->unique, -EIO, NULL, 0), 16);
	cr_assert_eq(call_end(&one), -E2BIG);
	cr_assert_eq(call_end(&two), -EIO);
	conn_end(conn, dev);
}

Test(devfuse, signal_before_the_read_interrupts_after_it) /* D81, D84, D85, D39, D38 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;
	uint64_t unique;

	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	while (fuse_queue_empty(&conn->pending))
		sched_yield();
	waiter_interrupt(atomic_load(&call.waiter), WAITER_SIGNAL);
	for (bool seen = false; !seen;) {
		fb_mutex_lock(&conn->lock);
		seen = list_first(&conn->pending.requests, struct fuse_request, node)->interrupted;
		fb_mutex_unlock(&conn->lock);
	}
	cr_assert_eq(dev_read(dev, 8192), 40);
	unique = head()->unique;
	cr_assert_eq(dev_read(dev, 8192), 48);
	cr_assert_eq(head()->opcode, FUSE_INTERRUPT);
	cr_assert_eq(head()->unique, unique | 1);
	cr_assert_eq(*(uint64_t *)(buf + 40), unique);
	cr_assert_eq(reply(dev, unique | 1, -EAGAIN, NULL, 0), 16);
	cr_assert_eq(dev_read(dev, 8192), 48); /* queued again */
	cr_assert_eq(reply(dev, unique | 1, -ENOSYS, NULL, 0), 16);
	cr_assert(conn->no_interrupt);
	cr_assert_eq(reply(dev, unique, -EINTR, NULL, 0), 16);
	cr_assert_eq(call_end(&call), -EINTR);
	conn_end(conn, dev);
}

Test(devfuse, an_answer_takes_its_interrupt_with_it) /* D86 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;
	uint64_t unique;
	bool queued = false;

	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(read_soon(dev, 8192), 40);
	unique = head()->unique;
	waiter_interrupt(atomic_load(&call.waiter), WAITER_SIGNAL);
	while (!queued) {
		fb_mutex_lock(&conn->lock);
		queued = !fuse_queue_empty(&conn->pending);
		fb_mutex_unlock(&conn->lock);
	}
	cr_assert_eq(reply(dev, unique, -ENOENT, NULL, 0), 16);
	cr_assert_eq(call_end(&call), -ENOENT);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN); /* no INTERRUPT any more */
	conn_end(conn, dev);
}

Test(devfuse, kill_before_the_read_takes_the_request_back) /* D81 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;

	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	while (fuse_queue_empty(&conn->pending))
		sched_yield();
	waiter_interrupt(atomic_load(&call.waiter), WAITER_KILLED);
	cr_assert_eq(call_end(&call), -EINTR);
	cr_assert_eq(dev_read(dev, 8192), -EAGAIN);
	cr_assert_eq(conn->nr_waiting, 0); /* D89 */
	conn_end(conn, dev);
}

Test(devfuse, kill_after_the_read_leaves_an_orphan) /* D82 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call call;
	uint64_t unique;

	call_start(&call, conn, FUSE_READLINK, NULL, 100);
	cr_assert_eq(read_soon(dev, 8192), 40);
	unique = head()->unique;
	waiter_interrupt(atomic_load(&call.waiter), WAITER_KILLED);
	cr_assert_eq(call_end(&call), -EINTR);
	cr_assert_eq(pins, 1);
	cr_assert_eq(conn->nr_waiting, 1);
	cr_assert_eq(reply(dev, unique, 0, "late", 4), 20);
	cr_assert_eq(pins, 0);
	cr_assert_eq(conn->nr_waiting, 0);
	conn_end(conn, dev);
}

static int fake_in(const struct op_ctx *c, void *dst, uint64_t src_gva, size_t len)
{
	(void)c;
	if (!src_gva)
		return -EFAULT;
	memcpy(dst, (void *)(uintptr_t)src_gva, len);
	return 0;
}

static const struct ioctl_mem_ops fake_mem = {.copy_in = fake_in};

Test(devfuse, clone_shares_the_queue_but_not_the_answers) /* D55, D59, D60, Z36 */
{
	struct file *dev, *second = dev_open(), *third = dev_open();
	struct fuse_conn *conn = ready_conn(&dev);
	struct fdtable *files = fdtable_new();
	struct op_ctx with_files = ctx;
	struct call call;
	uint64_t unique;
	uint32_t fd;

	ioctl_set_mem_ops(&fake_mem);
	with_files.files = files;
	with_files.cred = ctx.cred;
	fd = (uint32_t)fdtable_install(files, file_get(dev), 3, 100, false);
	cr_assert_eq(second->op->ioctl(&with_files, second, FUSE_DEV_IOC_CLONE, 0), -EFAULT);
	fd = 50;
	cr_assert_eq(second->op->ioctl(&with_files, second, FUSE_DEV_IOC_CLONE, (uintptr_t)&fd),
		     -EINVAL);
	fd = (uint32_t)fdtable_install(files, file_get(third), 3, 100, false);
	cr_assert_eq(second->op->ioctl(&with_files, second, FUSE_DEV_IOC_CLONE, (uintptr_t)&fd),
		     -EPERM);
	fd = 3;
	cr_assert_eq(second->op->ioctl(&with_files, second, FUSE_DEV_IOC_CLONE, (uintptr_t)&fd), 0);
	cr_assert_eq(second->op->ioctl(&with_files, second, FUSE_DEV_IOC_CLONE, (uintptr_t)&fd),
		     -EINVAL);
	call_start(&call, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(read_soon(second, 8192), 40);
	unique = head()->unique;
	cr_assert_eq(reply(dev, unique, -EIO, NULL, 0), -ENOENT);
	file_put(second); /* what it had read is lost, the connection is not */
	cr_assert_eq(call_end(&call), -ECONNABORTED);
	cr_assert(conn->connected);
	fdtable_put(&with_files, files);
	file_put(third);
	conn_end(conn, dev);
}

Test(devfuse, death_of_the_daemon_ends_all) /* K01 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);
	struct call one, two;

	call_start(&one, conn, FUSE_READLINK, NULL, 10);
	cr_assert_eq(read_soon(dev, 8192), 40);
	call_start(&two, conn, FUSE_READLINK, NULL, 10);
	while (fuse_queue_empty(&conn->pending))
		sched_yield();
	file_put(dev);
	cr_assert_eq(call_end(&one), -ECONNABORTED);
	cr_assert_eq(call_end(&two), -ECONNABORTED);
	cr_assert_eq(fuse_conn_call(conn, &ctx, &one.args), -ENOTCONN);
	fuse_conn_put(conn);
}

Test(devfuse, abort_is_seen_on_the_device) /* D14, D50, K04, B21 */
{
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);
	struct fuse_out_header note = {16, FUSE_NOTIFY_RESEND, 0};

	do_init(conn, dev, 45, FUSE_ABORT_ERROR);
	fuse_conn_abort(conn, true);
	cr_assert_eq(dev_read(dev, 8192), -ECONNABORTED);
	cr_assert_eq(vfs_poll(&ctx, dev, NULL), POLLERR);
	cr_assert_eq(reply(dev, 4, 0, NULL, 0), -ENOENT);
	cr_assert_eq(dev_write(dev, &note, 16), -EINVAL);
	conn_end(conn, dev);
	conn = ready_conn(&dev);
	fuse_conn_abort(conn, true);
	cr_assert_eq(dev_read(dev, 8192), -ENODEV);
	conn_end(conn, dev);
}

Test(devfuse, device_closed_before_the_mount_aborts_it) /* D04 */
{
	struct file *file = dev_open();
	struct fuse_dev *dev = fuse_dev_of(file);
	struct fuse_conn *conn = fuse_conn_new(1, &ops, NULL);

	file_put(file);
	cr_assert_eq(fuse_dev_attach(dev, conn), 0);
	cr_assert_not(conn->connected);
	cr_assert_eq(fuse_conn_send_init(conn), -ENOTCONN);
	fuse_dev_put(dev);
	fuse_conn_put(conn);
}

Test(devfuse, notification_reaches_the_file_system) /* D34, T10 */
{
	struct file *dev;
	struct fuse_conn *conn = ready_conn(&dev);

	cr_assert_eq(reply(dev, 0, FUSE_NOTIFY_POLL, "12345678", 8), 24);
	cr_assert_eq(last_code, FUSE_NOTIFY_POLL);
	cr_assert_eq(last_len, 8);
	cr_assert_eq(reply(dev, 0, 0, NULL, 0), -EINVAL);
	conn_end(conn, dev);
}

/* I03, I07, V05, V06, L01-L03, L07 */
Test(devfuse, init_reply_sets_the_limits)
{
	struct fuse_init_out out = {.major = 7, .minor = 45};
	struct file *dev;
	struct fuse_conn *conn = conn_new(&dev);

	out.flags = (uint32_t)(FUSE_MAX_PAGES | FUSE_BIG_WRITES);
	out.flags2 = (uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32); /* no INIT_EXT: not looked at */
	out.max_pages = 1000;
	out.max_write = 1;
	out.max_readahead = 5000;
	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8192), 104);
	cr_assert_eq(reply(dev, 2, 0, &out, sizeof(out)), 80);
	cr_assert_eq(conn->max_pages, 256);
	cr_assert_eq(conn->max_write, 4096);
	cr_assert_eq(conn->max_readahead, 4096);
	cr_assert_not(fuse_conn_has(conn, FUSE_DIRECT_IO_ALLOW_MMAP));
	cr_assert_eq(conn->max_background, 12);
	conn_end(conn, dev);
	conn = conn_new(&dev);
	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8192), 104);
	out.minor = 4;
	cr_assert_eq(reply(dev, 2, 0, &out, 8), 24); /* 8 bytes are enough */
	cr_assert_eq(conn->minor, 4);
	cr_assert_eq(conn->flags, 0);
	conn_end(conn, dev);
	conn = conn_new(&dev);
	cr_assert_eq(fuse_conn_send_init(conn), 0);
	cr_assert_eq(dev_read(dev, 8192), 104);
	memset(buf, 0, 100);
	cr_assert_eq(reply(dev, 2, 0, buf, 68), -EINVAL); /* longer than any init_out */
	cr_assert(conn->conn_error);
	conn_end(conn, dev);
}

/* /dev/fuse before and beside the requests: SYNC_INIT, O_ASYNC; matrix D10, D11, D50, D52, D58, I09. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "tests/support/daemon.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file/pipe.h"
#include "vfs/superblock.h"
#include "vfs/tasks.h"

TestSuite(fuse_device, .timeout = 120);

/* An open /dev/fuse that is not mounted, and the thread that reads INIT from it. */
struct raw {
	struct daemon *d; /* only for the registration and its context */
	struct file *dev;
	pthread_t reader;
	int answer_major;  /* of the INIT reply; 0: none is sent */
	ssize_t result;	   /* of the reader's read */
	unsigned events;   /* of its poll */
	_Atomic(struct waiter *) waiter;
};

static struct op_ctx *ctx_of(struct raw *r)
{
	return &r->d->self.ctx;
}

static struct raw *raw_open(void)
{
	const struct file_ops *op;
	struct raw *r = calloc(1, sizeof(*r));

	r->d = daemon_start(NULL);
	op = chrdev_find(makedev(10, 229));
	cr_assert_eq(file_new_anon(ctx_of(r), "fuse", S_IFCHR | 0600, op, NULL, O_RDWR, &r->dev),
		     0);
	cr_assert_eq(op->open(ctx_of(r), r->dev->inode, r->dev), 0);
	return r;
}

static void raw_close(struct raw *r)
{
	file_put(r->dev);
	DAEMON_STOP(r->d);
	free(r);
}

static long dev_ioctl(struct raw *r, unsigned cmd)
{
	return r->dev->op->ioctl(ctx_of(r), r->dev, cmd, 0);
}

static ssize_t raw_read(struct raw *r, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(ctx_of(r), r->dev, &iter);
}

static void *reader_main(void *arg)
{
	struct raw *r = arg;
	uint8_t *buf = malloc(65536);
	struct fuse_in_header in;
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = {.head = {.len = sizeof(out)}, .init = {.major = 7, .minor = 45}};
	struct io_iter iter;

	r->waiter = waiter_self();
	r->events = r->dev->op->poll(ctx_of(r), r->dev, NULL);
	r->result = raw_read(r, buf, 65536);
	if (r->result > 0 && r->answer_major) {
		memcpy(&in, buf, sizeof(in));
		out.head.unique = in.unique;
		out.init.major = (uint32_t)r->answer_major;
		iter_init_mem(&iter, &out, sizeof(out));
		cr_assert_eq(vfs_write(ctx_of(r), r->dev, &iter), (ssize_t)sizeof(out));
	}
	free(buf);
	return NULL;
}

/* What mount(2) would return; the mount goes again at once. */
static int try_mount(struct raw *r)
{
	struct fdtable *files = fdtable_new();
	struct op_ctx ctx = *ctx_of(r);
	struct fs_context *fc;
	char data[64];
	int err, fd;

	ctx.files = files;
	fd = fdtable_install(files, file_get(r->dev), 0, 1024, false);
	snprintf(data, sizeof(data), "fd=%d,rootmode=40755,user_id=0,group_id=0", fd);
	cr_assert_eq(fs_context_new(filesystem_find("fuse", 4), 0, &fc), 0);
	cr_assert_eq(fs_context_parse_monolithic(&ctx, fc, data), 0);
	err = fs_context_get_tree(&ctx, fc);
	fs_context_free(fc);
	fdtable_put(&ctx, files);
	return err;
}

Test(fuse_device, without_sync_init_an_unattached_one_is_refused) /* D10, D50, D52 */
{
	struct raw *r = raw_open();
	char buf[8192];

	cr_assert_eq(raw_read(r, buf, sizeof(buf)), -EPERM);
	cr_assert_eq(r->dev->op->poll(ctx_of(r), r->dev, NULL), POLLERR);
	cr_assert_eq(r->dev->op->fasync(ctx_of(r), r->dev, true), -EPERM);
	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_BACKING_OPEN), -EPERM);
	cr_assert_eq(dev_ioctl(r, 0x1234), -ENOTTY); /* D58 */
	raw_close(r);
}

Test(fuse_device, sync_init_makes_the_mount_wait_for_the_answer) /* D11, D50, D58, I09 */
{
	struct raw *r = raw_open();

	r->answer_major = 7;
	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_SYNC_INIT), 0);
	cr_assert_eq(pthread_create(&r->reader, NULL, reader_main, r), 0);
	cr_assert_eq(try_mount(r), 0);
	pthread_join(r->reader, NULL);
	cr_assert_eq(r->result, 104);
	cr_assert_eq(r->events & POLLOUT, POLLOUT); /* poll slept until the mount */
	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_SYNC_INIT), -EINVAL);
	raw_close(r);
}

Test(fuse_device, sync_init_fails_the_mount_when_init_is_refused) /* I09 */
{
	struct raw *r = raw_open();

	r->answer_major = 8;
	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_SYNC_INIT), 0);
	cr_assert_eq(pthread_create(&r->reader, NULL, reader_main, r), 0);
	cr_assert_eq(try_mount(r), -ENOTCONN);
	pthread_join(r->reader, NULL);
	raw_close(r);
}

static void *mount_main(void *arg)
{
	struct raw *r = arg;

	r->waiter = waiter_self();
	return (void *)(intptr_t)try_mount(r);
}

Test(fuse_device, killing_the_mounter_ends_the_connection) /* I09 */
{
	struct raw *r = raw_open();
	uint8_t *buf = malloc(65536);
	pthread_t mounter;
	void *err;

	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_SYNC_INIT), 0);
	cr_assert_eq(pthread_create(&mounter, NULL, mount_main, r), 0);
	cr_assert_eq(raw_read(r, buf, 65536), 104); /* sleeps until it is attached */
	waiter_interrupt(r->waiter, WAITER_KILLED);
	pthread_join(mounter, &err);
	cr_assert_eq((intptr_t)err, -EINTR);
	cr_assert_eq(raw_read(r, buf, 65536), -ENODEV);
	free(buf);
	raw_close(r);
}

Test(fuse_device, a_signal_ends_the_wait_for_the_mount) /* D11: interruptible */
{
	struct raw *r = raw_open();

	cr_assert_eq(dev_ioctl(r, FUSE_DEV_IOC_SYNC_INIT), 0);
	cr_assert_eq(pthread_create(&r->reader, NULL, reader_main, r), 0);
	while (!r->waiter)
		usleep(1000);
	waiter_interrupt(r->waiter, WAITER_SIGNAL);
	pthread_join(r->reader, NULL);
	cr_assert_eq(r->events, POLLERR);
	cr_assert_eq(r->result, -ERESTARTSYS);
	raw_close(r);
}

/* D52 */
static atomic_int signalled;

static int count_signal(pid_t pid, int signo)
{
	if (pid == 4711 && signo == SIGIO)
		signalled++;
	return 0;
}

static bool wait_signal(int count)
{
	for (int i = 0; i < 5000 && signalled < count; i++)
		usleep(1000);
	return signalled == count;
}

Test(fuse_device, o_async_signals_the_owner_for_requests_and_the_abort)
{
	static const struct vfs_task_ops ops = {.signal_process = count_signal};
	struct daemon *d = daemon_start(NULL);
	struct client_thread t;
	struct kstat st;
	struct step *s;

	vfs_set_task_ops(&ops);
	d->dev->owner = 4711;
	expect_error(d, FUSE_LOOKUP, 1, ENOENT);
	cr_assert_eq(client_stat(d, "/x", &st), -ENOENT);
	cr_assert_eq(d->dev->op->fasync(&d->self.ctx, d->dev, true), 0);
	cr_assert_eq(signalled, 0);
	s = expect_silence(d, FUSE_LOOKUP, 1);
	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	cr_assert(wait_signal(1));
	fuse_conn_abort(d->conn, false);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert(wait_signal(2));
	cr_assert_eq(d->dev->op->fasync(&d->self.ctx, d->dev, false), 0);
	daemon_stop(d);
	daemon_free(d);
}

/* A pipe with the reply to `s` in it; len bytes of it at first. */
static void fill_pipe(struct daemon *d, struct file *pipe, const void *data, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)data, len);
	cr_assert_eq(vfs_write(&d->self.ctx, pipe, &iter), (ssize_t)len);
}

Test(fuse_device, a_spliced_reply_must_be_whole) /* D54 */
{
	struct daemon *d = daemon_start(NULL);
	struct step *s = expect_silence(d, FUSE_LOOKUP, 1);
	struct fuse_out_header out = {.len = 16, .error = -ENOENT};
	struct client_thread t;
	struct file *pipe[2];

	cr_assert_eq(pipe_create(&d->self.ctx, 0, pipe), 0);
	client_spawn(&t, d, client_stat_path, "/x");
	cr_assert(daemon_wait(d, s));
	out.unique = s->in.unique;
	fill_pipe(d, pipe[1], &out, 10);
	cr_assert_eq(vfs_splice(&d->self.ctx, pipe[0], NULL, d->dev, NULL, 16, 0), -EINVAL);
	cr_assert_eq(pipe_bytes(pipe[0]), 10);
	fill_pipe(d, pipe[1], (const char *)&out + 10, 6);
	cr_assert_eq(vfs_splice(&d->self.ctx, pipe[0], NULL, d->dev, NULL, 16, 0), 16);
	cr_assert_eq(client_join(&t), -ENOENT);
	file_put(pipe[0]);
	file_put(pipe[1]);
	DAEMON_STOP(d);
}

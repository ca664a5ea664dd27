/*
 * /dev/fuse: open, read, write, poll, close (matrix section 4).
 *
 * An open description is unattached, then attached to one connection by mount or by
 * FUSE_DEV_IOC_CLONE. All attached ones share the pending queue; each has a list of its own of the
 * requests it has read, and only there is their answer taken (D60).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "devfuse/dev.h"
#include "devfuse/gather.h"
#include "devfuse/keep.h"
#include "devfuse/params.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"
#include "sentry/base/iter.h"
#include "vfs/chrdev.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/poll.h"
#include "vfs/strbuf.h"

/* Guards fuse_dev.released and the one attachment of each device. Taken before conn->lock. */
static struct fb_mutex attach_lock = FB_MUTEX_INIT(RANK_FILE);

static const struct file_ops fuse_dev_ops;

static struct fuse_conn *dev_conn(struct fuse_dev *dev)
{
	return atomic_load_explicit(&dev->conn, memory_order_acquire);
}

/* --- attaching ---------------------------------------------------------------------------- */

struct fuse_dev *fuse_dev_of(struct file *file)
{
	struct fuse_dev *dev;

	if (file->op != &fuse_dev_ops)
		return NULL;
	dev = file->private;
	ref_get(&dev->ref);
	return dev;
}

void fuse_dev_put(struct fuse_dev *dev)
{
	if (dev && ref_put(&dev->ref))
		free(dev);
}

struct fuse_conn *fuse_dev_conn(struct fuse_dev *dev)
{
	struct fuse_conn *conn;

	fb_mutex_lock(&attach_lock);
	conn = dev_conn(dev);
	if (conn)
		fuse_conn_get(conn);
	fb_mutex_unlock(&attach_lock);
	return conn;
}

int fuse_dev_wait_attached(struct fuse_dev *dev)
{
	int err = 0;

	if (dev_conn(dev))
		return 0;
	fb_mutex_lock(&attach_lock);
	while (!err && !dev_conn(dev))
		err = dev->sync_init ? waitq_wait(&dev->attached, 0, &attach_lock,
						  WAIT_INTERRUPTIBLE, WAIT_FOREVER)
				     : -EPERM;
	fb_mutex_unlock(&attach_lock);
	return err;
}

bool fuse_dev_must_wait(struct fuse_dev *dev)
{
	return fuse_dev_sync_init(dev) && !dev_conn(dev);
}

int fuse_dev_set_sync_init(struct fuse_dev *dev)
{
	int err = 0;

	fb_mutex_lock(&attach_lock);
	if (dev_conn(dev))
		err = -EINVAL;
	else
		dev->sync_init = true;
	fb_mutex_unlock(&attach_lock);
	return err;
}

bool fuse_dev_sync_init(struct fuse_dev *dev)
{
	bool sync;

	fb_mutex_lock(&attach_lock);
	sync = dev->sync_init;
	fb_mutex_unlock(&attach_lock);
	return sync;
}

/* Both locks held. */
static void attach_locked(struct fuse_dev *dev, struct fuse_conn *conn)
{
	list_add_tail(&conn->devs, &dev->conn_node);
	conn->nr_devs++;
	atomic_store_explicit(&dev->conn, fuse_conn_get(conn), memory_order_release);
	waitq_wake_all(&dev->attached, 0);
}

int fuse_dev_attach_vacant(struct fuse_dev *dev, struct fuse_conn *conn)
{
	int err = 0;

	fb_mutex_lock(&attach_lock);
	fb_mutex_lock(&conn->lock);
	if (dev_conn(dev) || !conn->vacant || conn->nr_devs > 0)
		err = -EBUSY;
	else if (dev->released)
		err = -ENOTCONN;
	else
		attach_locked(dev, conn);
	fb_mutex_unlock(&conn->lock);
	fb_mutex_unlock(&attach_lock);
	return err;
}

int fuse_dev_attach(struct fuse_dev *dev, struct fuse_conn *conn)
{
	bool released;

	fb_mutex_lock(&attach_lock);
	if (dev_conn(dev)) {
		fb_mutex_unlock(&attach_lock);
		return -EINVAL;
	}
	released = dev->released;
	if (!released) {
		fb_mutex_lock(&conn->lock);
		attach_locked(dev, conn);
		fb_mutex_unlock(&conn->lock);
	}
	fb_mutex_unlock(&attach_lock);
	if (released) /* D04: closed between the option and the attachment */
		fuse_conn_abort(conn, false);
	return 0;
}

static struct fuse_dev *dev_new(void)
{
	struct fuse_dev *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	ref_init(&dev->ref);
	list_init(&dev->conn_node);
	list_init(&dev->processing);
	waitq_init(&dev->attached);
	return dev;
}

int fuse_channel_open(struct file *file, struct fuse_conn *conn)
{
	struct fuse_dev *dev = dev_new();

	if (!dev)
		return -ENOMEM;
	dev->file = file;
	(void)fuse_dev_attach(dev, conn); /* nobody else knows dev: it cannot fail */
	file->private = dev;
	return 0;
}

static int dev_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct fuse_dev *dev = dev_new();

	(void)ctx;
	(void)inode;
	if (!dev)
		return -ENOMEM;
	dev->file = file;
	file->private = dev;
	file->op = &fuse_dev_ops;
	return 0;
}

/* Leaves the connection; true if that was its last descriptor. lock held. */
static bool detach_locked(struct fuse_dev *dev, struct fuse_conn *conn, struct list_node *done)
{
	bool survives = fuse_conn_survives(conn);

	while (!list_empty(&dev->processing)) {
		struct fuse_request *req = list_first(&dev->processing, struct fuse_request, node);

		if (survives)
			fuse_request_lost(conn, req, done);
		else
			fuse_request_end(conn, req, -ECONNABORTED, done);
	}
	list_del(&dev->conn_node);
	if (dev->async)
		conn->nr_async--;
	return --conn->nr_devs == 0;
}

/* D59: what was read here can never be answered; the last descriptor takes all down. */
static void dev_release(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_dev *dev = file->private;
	struct fuse_conn *conn;
	struct list_node done;
	bool last, vacant;

	(void)ctx;
	fb_mutex_lock(&attach_lock);
	dev->released = true;
	conn = atomic_exchange(&dev->conn, NULL);
	fb_mutex_unlock(&attach_lock);
	if (conn) {
		list_init(&done);
		fb_mutex_lock(&conn->lock);
		last = detach_locked(dev, conn, &done);
		vacant = last && fuse_conn_survives(conn);
		if (vacant)
			fuse_conn_vacate(conn, &done);
		fb_mutex_unlock(&conn->lock);
		fuse_requests_complete(conn, &done);
		if (vacant)
			fuse_conn_vacated(conn);
		else if (last)
			fuse_conn_abort(conn, false);
		fuse_conn_put(conn);
	}
	fuse_dev_put(dev);
}

/* --- read --------------------------------------------------------------------------------- */

static int dead_error(const struct fuse_conn *conn)
{
	return conn->aborted && fuse_conn_has(conn, FUSE_ABORT_ERROR) ? -ECONNABORTED : -ENODEV;
}

/* The following three are entered with conn->lock held and leave it unlocked. */

static ssize_t read_interrupt(struct fuse_conn *conn, struct io_iter *to)
{
	struct fuse_request *req =
		list_first(&conn->pending.interrupts, struct fuse_request, intr_node);
	struct {
		struct fuse_in_header in;
		struct fuse_interrupt_in arg;
	} msg = {0};

	list_del(&req->intr_node);
	msg.in.len = sizeof(msg);
	msg.in.opcode = FUSE_INTERRUPT;
	msg.in.unique = req->in.unique | FUSE_INT_REQ_BIT;
	msg.arg.unique = req->in.unique;
	fb_mutex_unlock(&conn->lock);
	return iter_to(to, &msg, sizeof(msg)) == sizeof(msg) ? (ssize_t)sizeof(msg) : -EFAULT;
}

static ssize_t read_one_forget(struct fuse_conn *conn, struct io_iter *to)
{
	struct {
		struct fuse_in_header in;
		struct fuse_forget_in arg;
	} msg = {0};
	size_t count;
	struct fuse_forget *forget = fuse_queue_take_forgets(&conn->pending, 1, &count);

	msg.in.len = sizeof(msg);
	msg.in.opcode = FUSE_FORGET;
	msg.in.unique = conn->next_unique;
	conn->next_unique += 2;
	msg.in.nodeid = forget->nodeid;
	msg.arg.nlookup = forget->nlookup;
	fb_mutex_unlock(&conn->lock);
	free(forget);
	fuse_stats_sent(FUSE_FORGET);
	return iter_to(to, &msg, sizeof(msg)) == sizeof(msg) ? (ssize_t)sizeof(msg) : -EFAULT;
}

struct batch_head {
	struct fuse_in_header in;
	struct fuse_batch_forget_in arg;
};

static ssize_t read_forgets(struct fuse_conn *conn, struct io_iter *to)
{
	size_t max = (to->count - sizeof(struct batch_head)) / sizeof(struct fuse_forget_one);
	struct batch_head head = {0};
	struct fuse_forget *forget, *next;
	struct gather g;
	size_t count;

	if (conn->minor < 16 || !conn->pending.forgets->next)
		return read_one_forget(conn, to);
	forget = fuse_queue_take_forgets(&conn->pending, max, &count);
	head.in.opcode = FUSE_BATCH_FORGET;
	head.in.unique = conn->next_unique;
	conn->next_unique += 2;
	fb_mutex_unlock(&conn->lock);
	head.in.len = (uint32_t)(sizeof(head) + count * sizeof(struct fuse_forget_one));
	head.arg.count = (uint32_t)count;
	gather_init(&g, to);
	gather_add(&g, &head, sizeof(head));
	for (; forget; forget = next) {
		struct fuse_forget_one one = {forget->nodeid, forget->nlookup};

		next = forget->next;
		gather_add(&g, &one, sizeof(one));
		free(forget);
	}
	gather_flush(&g);
	fuse_stats_sent(FUSE_BATCH_FORGET);
	return g.fault ? -EFAULT : (ssize_t)head.in.len;
}

static bool copy_request(const struct fuse_request *req, struct io_iter *to)
{
	const struct fuse_args *args = req->args;
	struct gather g;

	gather_init(&g, to);
	gather_add(&g, &req->in, sizeof(req->in));
	for (unsigned i = 0; i < args->nr_in; i++)
		gather_add(&g, args->in[i].data, args->in[i].size);
	gather_flush(&g);
	return !g.fault;
}

static ssize_t read_request(struct fuse_conn *conn, struct fuse_dev *dev, struct fuse_request *req,
			    struct io_iter *to)
{
	ssize_t ret = (ssize_t)req->in.len;
	struct list_node done;
	bool copied;

	list_init(&done);
	req->state = REQ_SENDING;
	fb_mutex_unlock(&conn->lock);
	copied = copy_request(req, to);
	fb_mutex_lock(&conn->lock);
	if (req->aborted) { /* D19 */
		ret = dead_error(conn);
		fuse_request_end(conn, req, -ECONNABORTED, &done);
	} else if (!copied) { /* D18 */
		ret = -EFAULT;
		fuse_request_end(conn, req, -EIO, &done);
	} else if (req->row->no_reply) { /* D20 */
		fuse_request_end(conn, req, 0, &done);
	} else {
		req->dev = dev;
		req->state = REQ_SENT;
		list_add_tail(&dev->processing, &req->node);
		if (req->interrupted)
			fuse_request_interrupt(conn, req); /* D81 */
		if (req->want_wake)
			waitq_wake(&req->done, 0);
	}
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
	return ret;
}

/* D17: the requester hears of it, the reader does not. lock held; given up and retaken. */
static void refuse_too_large(struct fuse_conn *conn, struct fuse_request *req)
{
	struct list_node done;

	list_init(&done);
	fuse_request_end(conn, req, fuse_request_too_large(req), &done);
	fb_mutex_unlock(&conn->lock);
	fuse_requests_complete(conn, &done);
	fb_mutex_lock(&conn->lock);
}

/* Waits for something to read. lock held. */
static int wait_pending(struct fuse_conn *conn, bool nonblock)
{
	while (conn->connected && fuse_queue_empty(&conn->pending)) {
		int err;

		conn->wakes_owed = 0;
		if (nonblock)
			return -EAGAIN;
		/* Enough others look out for work: this thread sleeps, in a call that it makes for that. */
		if (waiter_spins(waiter_self()) &&
		    waitq_spinning(&conn->waiters) + fuse_conn_reader_is_away(conn) >= wait_spinners_max())
			return -ERESTARTNOINTR;
		conn->nr_reading++;
		err = waitq_wait_exclusive(&conn->waiters, POLLIN | POLLRDNORM, &conn->lock,
					   WAIT_INTERRUPTIBLE, WAIT_FOREVER);
		conn->nr_reading--;
		if (err) {
			/* The wake-up that we may have been given belongs to another reader. */
			if (!fuse_queue_empty(&conn->pending))
				waitq_wake(&conn->waiters, POLLIN | POLLRDNORM);
			return err;
		}
	}
	return conn->connected ? 0 : dead_error(conn);
}

void fuse_conn_note_server(struct fuse_conn *conn, pid_t tgid)
{
	unsigned at = 0;

	if (conn->nr_servers > 0 && conn->servers[0].tgid == tgid)
		return;
	while (at < conn->nr_servers && conn->servers[at].tgid != tgid)
		at++;
	if (at == conn->nr_servers) {
		if (conn->nr_servers < FUSE_SERVERS)
			conn->nr_servers++;
		else
			at--;
	}
	memmove(&conn->servers[1], &conn->servers[0], at * sizeof(conn->servers[0]));
	conn->servers[0].tgid = tgid;
}

static ssize_t dev_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			     int64_t *pos, int rwf)
{
	struct fuse_dev *dev = file->private;
	int err = fuse_dev_wait_attached(dev); /* D10, D11 */
	struct fuse_conn *conn;
	uint64_t least;

	(void)pos;
	if (err)
		return err;
	conn = dev_conn(dev);
	fb_mutex_lock(&conn->lock);
	least = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in) +
		(conn->initialized.open ? (uint64_t)conn->max_write : 0);
	if (to->count < FUSE_MIN_READ_BUFFER || to->count < least) {
		fb_mutex_unlock(&conn->lock);
		return -EINVAL; /* D12 */
	}
	fuse_conn_note_server(conn, ctx->tgid);
	fuse_conn_reader_comes(conn, ctx);
	for (;;) {
		struct fuse_request *req;

		err = wait_pending(conn, file_nonblock(file) || (rwf & RWF_NOWAIT));
		if (err)
			break;
		fuse_conn_reader_goes(conn, ctx);
		switch (fuse_queue_next(&conn->pending)) {
		case NEXT_INTERRUPT:
			return read_interrupt(conn, to);
		case NEXT_FORGET:
			return read_forgets(conn, to);
		case NEXT_REQUEST:
			req = fuse_queue_take_request(&conn->pending);
			if (req->in.len <= to->count)
				return read_request(conn, dev, req, to);
			refuse_too_large(conn, req);
			break;
		case NEXT_NOTHING:
			break;
		}
	}
	fb_mutex_unlock(&conn->lock);
	return err;
}

static ssize_t dev_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			      int64_t *pos, int rwf)
{
	struct fuse_dev *dev = file->private;
	struct fuse_conn *conn = dev_conn(dev);

	(void)pos;
	(void)rwf;
	if (!conn)
		return -EPERM; /* D30 */
	return fuse_reply_write(conn, dev, ctx, from);
}

static unsigned dev_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	unsigned events = POLLOUT | POLLWRNORM;
	struct fuse_conn *conn;

	(void)ctx;
	if (fuse_dev_wait_attached(file->private))
		return POLLERR; /* D50 */
	conn = dev_conn(file->private);
	poll_wait(table, file, &conn->waiters);
	fb_mutex_lock(&conn->lock);
	if (!conn->connected)
		events = POLLERR;
	else if (!fuse_queue_empty(&conn->pending))
		events |= POLLIN | POLLRDNORM;
	fb_mutex_unlock(&conn->lock);
	return events;
}

/* D52 */
static int dev_fasync(const struct op_ctx *ctx, struct file *file, bool on)
{
	struct fuse_dev *dev = file->private;
	struct fuse_conn *conn;
	int err = fuse_dev_wait_attached(dev);

	(void)ctx;
	if (err)
		return err;
	conn = dev_conn(dev);
	fb_mutex_lock(&conn->lock);
	if (on && !dev->async)
		conn->nr_async++;
	else if (!on && dev->async)
		conn->nr_async--;
	dev->async = on;
	fb_mutex_unlock(&conn->lock);
	return 0;
}

static void dev_show_fdinfo(struct file *file, struct strbuf *out)
{
	struct fuse_conn *conn = dev_conn(file->private);

	if (conn)
		strbuf_printf(out, "fuse_connection:\t%u\n",
			      conn->id < FUSE_ID_CUSE ? conn->id : 0); /* D05 */
}

int devfuse_init(void)
{
	int err = fuse_params_init();

	return err ? err : chrdev_register(makedev(10, 229), "fuse", 0666, &fuse_dev_ops);
}

/* no_position: several threads sleep in read at once, none may hold a file position. */
static const struct file_ops fuse_dev_ops = {
	.open = dev_open,
	.read_iter = dev_read_iter,
	.write_iter = dev_write_iter,
	.poll = dev_poll,
	.ioctl = fuse_dev_ioctl,
	.uring_cmd = fuse_ring_command,
	.fasync = dev_fasync,
	.release = dev_release,
	.show_fdinfo = dev_show_fdinfo,
	.nowait = true,
	.brings_work = true,
	.no_position = true,
	.any_position = true,
	.splice_whole = true,
};

const struct file_ops fuse_channel_ops = {
	.read_iter = dev_read_iter,
	.write_iter = dev_write_iter,
	.poll = dev_poll,
	.fasync = dev_fasync,
	.release = dev_release,
	.show_fdinfo = dev_show_fdinfo,
	.nowait = true,
	.brings_work = true,
	.no_position = true,
	.any_position = true,
};

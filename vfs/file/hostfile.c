/*
 * Files around host descriptors: see hostfile.h.
 *
 * Streams (pipes, sockets, devices): each try is made so that it cannot block (RWF_NOWAIT,
 * MSG_DONTWAIT, or after poll(2) said ready), and a sleeper waits for the next edge the host
 * tells. `edges` counts them, so that one between a try and the sleep is not lost.
 *
 * Regular files: the position that counts is that of the host's description, which our stdout, our
 * stderr and the host's own processes may share. A file remembers in `at` what its position was
 * when it last moved the host's: a transfer at that position goes to wherever the host's stands by
 * now; any other one (pread, a splice that has to read again) goes to the place it names.
 */
#include "vfs/file/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sentry/base/blocking.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/ioctl.h"
#include "vfs/mount.h"
#include "vfs/poll.h"

#define HOST_CHUNK 65536u   /* bytes per host call */
#define STEP_NS	   10000000 /* between looks at a host nobody watches for us */

struct hostfile {
	int hostfd;	  /* owned; constant, as type, accmode and inode */
	uint32_t type;	  /* S_IF* */
	unsigned accmode; /* O_RDONLY, ... of the host's description */
	const struct inode *inode;
	struct list_node node; /* guarded by hosts_lock, as files */
	unsigned files;	       /* open files */
	struct fb_mutex lock;  /* RANK_PIPE: guards the rest */
	struct waitq wq;
	unsigned edges;	       /* readiness events so far */
	bool watching;	       /* add was tried */
	void *watch;	       /* NULL: nobody watches */
	atomic_bool no_nowait; /* RWF_NOWAIT is not supported; no lock */
};

/* One open file of the guest's. */
struct host_open {
	struct hostfile *host; /* counted */
	_Atomic int64_t at;
};

static const struct hostfile_watch_ops *watch_ops; /* set before the first hostfile */
static struct fb_mutex hosts_lock = FB_MUTEX_INIT(RANK_FILE);
static struct list_node hosts = LIST_INIT(hosts); /* a handful */

static const struct file_ops hostfile_ops;

void hostfile_set_watch_ops(const struct hostfile_watch_ops *ops)
{
	watch_ops = ops;
}

bool hostfile_is(const struct file *file)
{
	return file->op == &hostfile_ops;
}

static struct hostfile *host_of(const struct file *file)
{
	return ((struct host_open *)file->private)->host;
}

static bool is_stream(const struct hostfile *host)
{
	return host->type != S_IFREG && host->type != S_IFBLK && host->type != S_IFDIR;
}

/* ---- waiting for the host ---- */

static void host_ready(void *arg, unsigned events)
{
	struct hostfile *host = arg;

	fb_mutex_lock(&host->lock);
	host->edges++;
	fb_mutex_unlock(&host->lock);
	waitq_wake_all(&host->wq, events);
}

/* Starts to watch, once. What cannot be watched is always ready. */
static void host_watch(struct hostfile *host)
{
	bool first;
	void *watch = NULL;

	fb_mutex_lock(&host->lock);
	first = !host->watching;
	host->watching = true;
	fb_mutex_unlock(&host->lock);
	if (!first || !watch_ops || watch_ops->add(host->hostfd, host_ready, host, &watch))
		return;
	fb_mutex_lock(&host->lock);
	host->watch = watch;
	fb_mutex_unlock(&host->lock);
}

static unsigned host_edges(struct hostfile *host)
{
	unsigned edges;

	fb_mutex_lock(&host->lock);
	edges = host->edges;
	fb_mutex_unlock(&host->lock);
	return edges;
}

/* Sleeps until an edge after number `seen`. 0 or -ERESTARTSYS. */
static int host_wait(struct hostfile *host, unsigned seen)
{
	int64_t deadline;
	int err = 0;

	fb_mutex_lock(&host->lock);
	while (!err && host->edges == seen) {
		deadline = host->watch ? WAIT_FOREVER : clock_monotonic_ns() + STEP_NS;
		err = waitq_wait(&host->wq, 0, &host->lock, WAIT_INTERRUPTIBLE, deadline);
	}
	fb_mutex_unlock(&host->lock);
	return err == -ETIMEDOUT ? 0 : err;
}

static bool host_poll_ready(int hostfd, short events)
{
	struct pollfd pfd = {.fd = hostfd, .events = events};

	return HOST(poll(&pfd, 1, 0)) > 0;
}

/* ---- one try that does not block ---- */

static long try_read(struct hostfile *host, void *buf, size_t len)
{
	struct iovec iov = {buf, len};
	long n;

	if (host->type == S_IFSOCK)
		return HOST(recv(host->hostfd, buf, len, MSG_DONTWAIT));
	if (!host->no_nowait) {
		n = HOST(preadv2(host->hostfd, &iov, 1, -1, RWF_NOWAIT));
		if (n != -EOPNOTSUPP)
			return n;
		host->no_nowait = true;
	}
	/* Another process of the host may read it between poll and read; then we wait with it. */
	if (!host_poll_ready(host->hostfd, POLLIN))
		return -EAGAIN;
	blocking_begin();
	n = HOST(read(host->hostfd, buf, len));
	blocking_end();
	return n;
}

static long try_write(struct hostfile *host, const void *buf, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	long n;

	if (host->type == S_IFSOCK)
		return HOST(send(host->hostfd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL));
	if (!host->no_nowait) {
		n = HOST(pwritev2(host->hostfd, &iov, 1, -1, RWF_NOWAIT));
		if (n != -EOPNOTSUPP)
			return n;
		host->no_nowait = true;
	}
	if (!host_poll_ready(host->hostfd, POLLOUT))
		return -EAGAIN;
	/* POLLOUT of a pipe promises PIPE_BUF bytes and no more. */
	blocking_begin();
	n = HOST(write(host->hostfd, buf, len < PIPE_BUF ? len : PIPE_BUF));
	blocking_end();
	return n;
}

/* ---- streams ---- */

static ssize_t stream_read(struct hostfile *host, struct io_iter *to, void *buf, bool nowait)
{
	size_t len = to->count < HOST_CHUNK ? to->count : HOST_CHUNK, copied;
	unsigned seen;
	long n;
	int err;

	for (;;) {
		seen = host_edges(host);
		n = try_read(host, buf, len);
		if (n != -EAGAIN && n != -EINTR)
			break;
		if (n == -EINTR)
			continue;
		if (nowait)
			return -EAGAIN;
		host_watch(host);
		err = host_wait(host, seen);
		if (err)
			return err;
	}
	if (n <= 0)
		return n;
	copied = iter_to(to, buf, (size_t)n);
	return copied ? (ssize_t)copied : -EFAULT;
}

/* Writes all of buf, waiting as needed. Bytes, or -errno when there were none. */
static ssize_t stream_write_all(struct hostfile *host, const char *buf, size_t len, bool nowait)
{
	size_t done = 0;
	unsigned seen;
	long n = 0;

	while (done < len) {
		seen = host_edges(host);
		n = try_write(host, buf + done, len - done);
		if (n > 0)
			done += (size_t)n;
		if (n >= 0 || n == -EINTR)
			continue;
		if (n != -EAGAIN || nowait)
			break;
		host_watch(host);
		n = host_wait(host, seen);
		if (n)
			break;
	}
	return done ? (ssize_t)done : (ssize_t)n;
}

static ssize_t stream_write(const struct op_ctx *ctx, struct hostfile *host, struct io_iter *from,
			    char *buf, bool nowait)
{
	ssize_t done = 0, n = 0;

	while (from->count) {
		size_t want = from->count < HOST_CHUNK ? from->count : HOST_CHUNK;
		size_t len = iter_from(from, buf, want);

		n = len ? stream_write_all(host, buf, len, nowait) : -EFAULT;
		if (n < 0)
			break;
		done += n;
		if ((size_t)n < want)
			break;
	}
	/* The sentry ignores SIGPIPE; the guest does not have to. */
	if (n == -EPIPE && ctx->ops && ctx->ops->signal)
		ctx->ops->signal(ctx, SIGPIPE);
	return done ? done : n;
}

/* ---- regular files ---- */

static long regular_transfer(struct host_open *open, void *buf, size_t len, int64_t pos, bool out)
{
	int hostfd = open->host->hostfd;
	bool current = pos == atomic_load(&open->at);
	long n;

	blocking_begin();
	if (current)
		n = out ? HOST(write(hostfd, buf, len)) : HOST(read(hostfd, buf, len));
	else
		n = out ? HOST(pwrite(hostfd, buf, len, pos)) : HOST(pread(hostfd, buf, len, pos));
	blocking_end();
	if (current && n > 0)
		atomic_store(&open->at, pos + n);
	return n;
}

static ssize_t regular_read(struct host_open *open, struct io_iter *to, char *buf, int64_t *pos)
{
	ssize_t done = 0;
	long n = 0;

	while (to->count) {
		size_t len = to->count < HOST_CHUNK ? to->count : HOST_CHUNK, copied;

		n = regular_transfer(open, buf, len, *pos, false);
		if (n <= 0)
			break;
		copied = iter_to(to, buf, (size_t)n);
		done += (ssize_t)copied;
		*pos += (int64_t)copied;
		if (copied < (size_t)n)
			n = -EFAULT;
		if (n < (long)len)
			break;
	}
	return done ? done : n;
}

static ssize_t regular_write(struct host_open *open, struct io_iter *from, char *buf, int64_t *pos)
{
	ssize_t done = 0;
	long n = 0;

	while (from->count) {
		size_t want = from->count < HOST_CHUNK ? from->count : HOST_CHUNK;
		size_t len = iter_from(from, buf, want);

		n = len ? regular_transfer(open, buf, len, *pos, true) : -EFAULT;
		if (n <= 0)
			break;
		done += n;
		*pos += n;
		if ((size_t)n < want)
			break;
	}
	return done ? done : n;
}

/* The VFS measures appends and copies by the inode's size. */
static void regular_size_changed(struct host_open *open, struct inode *inode)
{
	struct stat st;

	if (HOST(fstat(open->host->hostfd, &st)) == 0)
		inode_set_size(inode, st.st_size);
}

/* ---- the file's methods ---- */

static void *chunk_alloc(const struct io_iter *iter)
{
	return malloc(iter->count < HOST_CHUNK ? iter->count : HOST_CHUNK);
}

static ssize_t hostfile_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
				  int64_t *pos, int rwf)
{
	struct hostfile *host = host_of(file);
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	cleanup_free char *buf = NULL;

	(void)ctx;
	if (to->count == 0)
		return 0;
	buf = chunk_alloc(to);
	if (!buf)
		return -ENOMEM;
	return is_stream(host) ? stream_read(host, to, buf, nowait)
			       : regular_read(file->private, to, buf, pos);
}

static ssize_t hostfile_write_iter(const struct op_ctx *ctx, struct file *file,
				   struct io_iter *from, int64_t *pos, int rwf)
{
	struct hostfile *host = host_of(file);
	bool nowait = file_nonblock(file) || (rwf & RWF_NOWAIT);
	cleanup_free char *buf = NULL;
	ssize_t n;

	if (from->count == 0)
		return 0;
	buf = chunk_alloc(from);
	if (!buf)
		return -ENOMEM;
	if (is_stream(host))
		return stream_write(ctx, host, from, buf, nowait);
	n = regular_write(file->private, from, buf, pos);
	if (n > 0)
		regular_size_changed(file->private, file->inode);
	return n;
}

/* Moves the host's position to where ours has gone without it. */
static void host_follow(struct file *file)
{
	struct host_open *open = file->private;
	int64_t ahead = file->pos - atomic_load(&open->at);

	if (ahead && HOST(lseek(open->host->hostfd, ahead, SEEK_CUR)) >= 0)
		atomic_store(&open->at, file->pos);
}

static int64_t hostfile_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset,
			       int whence)
{
	struct host_open *open = file->private;
	int64_t pos;

	(void)ctx;
	host_follow(file);
	pos = HOST(lseek(open->host->hostfd, offset, whence));
	if (pos >= 0) {
		file->pos = pos;
		atomic_store(&open->at, pos);
	}
	return pos;
}

static unsigned hostfile_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct hostfile *host = host_of(file);
	struct pollfd pfd = {.fd = host->hostfd, .events = POLL_ALWAYS | POLLPRI | POLLRDHUP};

	(void)ctx;
	if (!is_stream(host))
		return POLL_ALWAYS;
	poll_wait(table, file, &host->wq);
	if (table)
		host_watch(host);
	return HOST(poll(&pfd, 1, 0)) > 0 ? (unsigned)pfd.revents : 0;
}

static long hostfile_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct hostfile *host = host_of(file);
	int value = 0;
	long ret;

	if (cmd != FIONREAD)
		return -ENOTTY;
	ret = HOST(ioctl(host->hostfd, FIONREAD, &value));
	return ret < 0 ? ret : ioctl_copy_out(ctx, arg, &value, sizeof(value));
}

static int hostfile_mmap(const struct op_ctx *ctx, struct file *file,
			 const struct mmap_request *req, int *ret_hostfd)
{
	struct hostfile *host = host_of(file);
	long fd;

	(void)ctx;
	if (host->type != S_IFREG)
		return -ENODEV;
	/* Opened again with less than the host's descriptor allows. */
	if (host->accmode != O_RDONLY && !(file->fmode & FMODE_WRITE) &&
	    (req->flags & MAP_TYPE) != MAP_PRIVATE)
		return -EACCES;
	fd = HOST(fcntl(host->hostfd, F_DUPFD_CLOEXEC, 0));
	if (fd < 0)
		return (int)fd;
	*ret_hostfd = (int)fd;
	return 0;
}

static int hostfile_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
			  bool datasync)
{
	struct hostfile *host = host_of(file);
	long ret;

	(void)ctx, (void)start, (void)end;
	blocking_begin();
	ret = datasync ? HOST(fdatasync(host->hostfd)) : HOST(fsync(host->hostfd));
	blocking_end();
	return (int)ret;
}

/* ---- attributes: the host's ---- */

/* The host file behind an inode, with a count; NULL once its last file is closed. */
static struct hostfile *host_of_inode(const struct inode *inode)
{
	struct hostfile *host, *found = NULL;

	fb_mutex_lock(&hosts_lock);
	list_for_each (host, &hosts, node) {
		if (host->inode == inode) {
			found = host;
			host->files++;
			break;
		}
	}
	fb_mutex_unlock(&hosts_lock);
	return found;
}

static void host_put(struct hostfile *host)
{
	bool last;

	fb_mutex_lock(&hosts_lock);
	last = --host->files == 0;
	if (last)
		list_del(&host->node);
	fb_mutex_unlock(&hosts_lock);
	if (!last)
		return;
	if (host->watch)
		watch_ops->del(host->watch);
	(void)close(host->hostfd);
	fb_mutex_destroy(&host->lock);
	free(host);
}

static int hostfile_getattr(const struct op_ctx *ctx, const struct path *path,
			    struct kstat *ret_stat, uint32_t mask, unsigned flags)
{
	struct hostfile *host = host_of_inode(path->dentry->inode);
	struct stat st;
	long ret;

	(void)ctx, (void)mask, (void)flags;
	generic_fillattr(path->dentry->inode, ret_stat);
	if (!host)
		return 0;
	ret = HOST(fstat(host->hostfd, &st));
	host_put(host);
	if (ret < 0)
		return (int)ret;
	ret_stat->mode = st.st_mode;
	ret_stat->nlink = (uint32_t)st.st_nlink;
	ret_stat->rdev = st.st_rdev;
	ret_stat->size = (uint64_t)st.st_size;
	ret_stat->blocks = (uint64_t)st.st_blocks;
	ret_stat->blksize = (uint32_t)st.st_blksize;
	ret_stat->atime = st.st_atim;
	ret_stat->mtime = st.st_mtim;
	ret_stat->ctime = st.st_ctim;
	return 0;
}

/* ftruncate reaches the host; its owners, modes and times are not the guest's to change. */
static int hostfile_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct hostfile *host;
	long ret;

	(void)ctx;
	if (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME_SET | ATTR_MTIME_SET))
		return -EPERM;
	if (!(attr->valid & ATTR_SIZE))
		return 0;
	host = host_of_inode(dentry->inode);
	if (!host)
		return -EBADF;
	ret = HOST(ftruncate(host->hostfd, attr->size));
	host_put(host);
	return (int)ret;
}

static const struct inode_ops hostfile_inode_ops = {
	.getattr = hostfile_getattr,
	.setattr = hostfile_setattr,
};

/* ---- open and release ---- */

/* Gives the file its private part; takes the count of `host` on success. */
static int host_attach(struct hostfile *host, struct file *file)
{
	struct host_open *open = calloc(1, sizeof(*open));
	int64_t pos = 0;

	if (!open)
		return -ENOMEM;
	if (is_stream(host))
		file->fmode |= FMODE_STREAM;
	else
		pos = HOST(lseek(host->hostfd, 0, SEEK_CUR));
	file->pos = pos > 0 ? pos : 0;
	atomic_init(&open->at, file->pos);
	open->host = host;
	file->private = open;
	return 0;
}

/* /dev/stdin, /proc/PID/fd/N: one more description of the guest's on the same one of the host. */
static int hostfile_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct hostfile *host = host_of_inode(inode);
	unsigned want = file->fmode;
	int err = 0;

	(void)ctx;
	if (!host)
		return -ENXIO;
	if (((want & FMODE_READ) && host->accmode == O_WRONLY) ||
	    ((want & FMODE_WRITE) && host->accmode == O_RDONLY))
		err = -EACCES;
	if (!err)
		err = host_attach(host, file);
	if (err)
		host_put(host);
	return err;
}

static void hostfile_release(const struct op_ctx *ctx, struct file *file)
{
	struct hostfile *host = host_of(file);

	(void)ctx;
	if (!is_stream(host))
		host_follow(file);
	free(file->private);
	host_put(host);
}

/* What /proc/PID/fd shows: the kind, or the host's own name for it. */
static void host_name(int hostfd, uint32_t type, char *ret_name, size_t size)
{
	char proc[64];
	long n;

	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", hostfd);
	n = HOST(readlink(proc, ret_name, size - 1));
	if (n > 0)
		ret_name[n] = '\0';
	if (type == S_IFIFO)
		(void)snprintf(ret_name, size, "pipe:[%%lu]");
	else if (type == S_IFSOCK)
		(void)snprintf(ret_name, size, "socket:[%%lu]");
	else if (n <= 0 || ret_name[0] != '/')
		(void)snprintf(ret_name, size, "host");
}

static struct hostfile *host_new(int hostfd, const struct stat *st, unsigned flags)
{
	struct hostfile *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	host->hostfd = hostfd;
	host->type = st->st_mode & S_IFMT;
	host->accmode = flags & O_ACCMODE;
	host->files = 1;
	list_init(&host->node);
	fb_mutex_init(&host->lock, RANK_PIPE);
	waitq_init(&host->wq);
	return host;
}

int hostfile_new(const struct op_ctx *ctx, int hostfd, unsigned flags, struct file **ret_file)
{
	struct hostfile *host;
	struct file *file;
	struct stat st;
	char name[512];
	int err;

	err = (int)HOST(fstat(hostfd, &st));
	if (err < 0)
		return err;
	host = host_new(hostfd, &st, flags);
	if (!host)
		return -ENOMEM;
	host_name(hostfd, host->type, name, sizeof(name));
	err = file_new_anon(ctx, name, st.st_mode, &hostfile_ops, NULL,
			    flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), &file);
	if (err)
		goto out_host;
	err = host_attach(host, file);
	if (err)
		goto out_file;
	file->inode->op = &hostfile_inode_ops;
	file->inode->fop = &hostfile_ops;
	inode_set_size(file->inode, st.st_size);
	host->inode = file->inode;
	fb_mutex_lock(&hosts_lock);
	list_add_tail(&hosts, &host->node);
	fb_mutex_unlock(&hosts_lock);
	*ret_file = file;
	return 0;
out_file:
	file->fmode &= ~(unsigned)FMODE_OPENED; /* nothing to release */
	file_put(file);
out_host:
	fb_mutex_destroy(&host->lock);
	free(host);
	return err;
}

static const struct file_ops hostfile_ops = {
	.open = hostfile_open,
	.read_iter = hostfile_read_iter,
	.write_iter = hostfile_write_iter,
	.llseek = hostfile_llseek,
	.poll = hostfile_poll,
	.ioctl = hostfile_ioctl,
	.mmap = hostfile_mmap,
	.fsync = hostfile_fsync,
	.release = hostfile_release,
	.nowait = true,
};

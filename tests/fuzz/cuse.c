/*
 * A CUSE daemon whose every answer is drawn from the input, CUSE_INIT and its device information
 * first; then its device is opened, read, written, asked with ioctl and poll, and messages of the
 * daemon's own come in between.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "devfuse/dev.h"
#include "devfuse/proto.h"
#include "fusefs/cuse.h"
#include "fusefs/cuse_type.h"
#include "sentry/base/iter.h"
#include "sentry/base/log.h"
#include "tests/fuzz/input.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/ops.h"
#include "vfs/poll.h"

static struct op_ctx ctx;

static struct file *open_device(dev_t dev, unsigned flags)
{
	const struct file_ops *op = chrdev_find(dev);
	struct file *file;

	if (!op || file_new_anon(&ctx, "device", S_IFCHR | 0600, op, NULL, flags, &file))
		return NULL;
	file->inode->rdev = dev;
	if (op->open(&ctx, file->inode, file) == 0)
		return file;
	file->fmode &= ~(unsigned)FMODE_OPENED; /* no release */
	file_put(file);
	return NULL;
}

/* --- the daemon --------------------------------------------------------------------------- */

static size_t init_answer(uint8_t *buf)
{
	static const char *const infos[] = { "DEVNAME=fuzz", "DEVNAME=a/b", " DEVNAME = x ",
					     "OTHER=1", "DEVNAME" };
	struct cuse_init_out out = { .major = 7, .minor = 45, .max_read = 4096, .max_write = 4096 };
	size_t len = sizeof(out);
	unsigned how = next_byte();

	out.flags = how & 1;
	out.dev_major = how & 2 ? 0 : 240;
	out.dev_minor = 7;
	memcpy(buf, &out, sizeof(out));
	for (unsigned i = 0; i <= (how >> 2 & 3); i++) {
		const char *info = infos[i ? next_byte() % 5 : 0];

		memcpy(buf + len, info, strlen(info) + 1);
		len += strlen(info) + 1;
	}
	return len;
}

static size_t template(const struct fuse_in_header *in, uint8_t *buf)
{
	struct fuse_open_out open = { .fh = 3, .open_flags = FOPEN_NONSEEKABLE };

	switch (in->opcode) {
	case CUSE_INIT:
		return init_answer(buf);
	case FUSE_OPEN:
		memcpy(buf, &open, sizeof(open));
		return sizeof(open);
	case FUSE_WRITE:
	case FUSE_POLL:
		return 8;
	case FUSE_IOCTL:
		return sizeof(struct fuse_ioctl_out) + next_byte() % 64;
	case FUSE_READ:
		return next_byte();
	default:
		return 0;
	}
}

static ssize_t say(struct file *channel, uint64_t unique, int error, uint8_t *buf, size_t len)
{
	struct fuse_out_header head = { (uint32_t)(sizeof(head) + len), error, unique };
	uint8_t *msg = malloc(sizeof(head) + len);
	struct io_iter iter;
	ssize_t ret;

	memcpy(msg, &head, sizeof(head));
	if (len)
		memcpy(msg + sizeof(head), buf, len);
	iter_init_mem(&iter, msg, sizeof(head) + len);
	ret = vfs_write(&ctx, channel, &iter);
	free(msg);
	return ret;
}

static void serve(struct file *channel, const struct fuse_in_header *in)
{
	struct drawn *drawn = calloc(1, sizeof(*drawn));

	pthread_mutex_lock(&input_lock);
	draw(drawn, template(in, drawn->answer));
	pthread_mutex_unlock(&input_lock);
	if (drawn->code)
		(void)say(channel, 0, drawn->code, drawn->note, drawn->note_len);
	(void)say(channel, in->unique, drawn->error, drawn->answer, drawn->len);
	(void)say(channel, in->unique, -EIO, NULL, 0); /* if that was refused for its header */
	free(drawn);
}

static ssize_t next_request(struct file *channel, uint8_t *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, channel, &iter);
}

static void *daemon_main(void *arg)
{
	size_t room = 2 << 20; /* whatever max_write it has said */
	uint8_t *buf = malloc(room);

	while (next_request(arg, buf, room) > 0)
		serve(arg, (const void *)buf);
	free(buf);
	return NULL;
}

/* --- the client --------------------------------------------------------------------------- */

static void use(struct file *file, unsigned what)
{
	static const unsigned commands[] = { _IO('E', 1), _IOR('E', 2, int), _IOW('E', 4, long),
					     _IOWR('E', 3, char[200]), FIONBIO };
	struct poll_item item = { .file = file, .events = POLLIN | POLLOUT };
	char buf[5000] = "";
	struct io_iter iter;

	iter_init_mem(&iter, buf, what % 2 ? sizeof(buf) : what);
	switch (what % 5) {
	case 0:
		(void)vfs_read(&ctx, file, &iter);
		break;
	case 1:
		(void)vfs_write(&ctx, file, &iter);
		break;
	case 2:
		(void)vfs_poll_items(&ctx, &item, 1, 1);
		break; /* a deadline that has passed */
	default:
		(void)vfs_ioctl(&ctx, file, commands[what / 5 % 5],
				(uintptr_t)arena + what % 3 * 100);
	}
}

static void use_device(const uint8_t *ops, unsigned nr_ops)
{
	int id = 1;
	struct cuse *cuse;
	struct file *file;

	if (cuse_next_id(&id))
		return; /* the answer to CUSE_INIT was refused */
	cuse = cuse_by_id(id);
	file = cuse ? open_device(cuse->rdev, O_RDWR) : NULL;
	cuse_put(cuse);
	for (unsigned i = 0; file && i < nr_ops; i++)
		use(file, ops[i]);
	file_put(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t ops[6], *init;
	static int registered;
	struct fuse_conn *conn;
	struct file *channel;
	pthread_t thread;
	unsigned nr_ops;

	if (!registered++) {
		ctx = (struct op_ctx){ .cred = cred_new(0, 0, NULL, 0),
				       .tid = 2,
				       .tgid = 2,
				       .fsize_limit = UINT64_MAX };
		log_set_level(LOG_ERROR);
		if (cuse_init())
			abort();
		arena_use();
	}
	input_begin(data, size);
	nr_ops = 1 + next_byte() % 6;
	for (unsigned i = 0; i < nr_ops; i++)
		ops[i] = next_byte();
	channel = open_device(makedev(10, 203), O_RDWR);
	if (!channel)
		abort();
	init = malloc(1 << 16);
	if (next_request(channel, init, 1 << 16) > 0)
		serve(channel, (const void *)init);
	free(init);
	pthread_create(&thread, NULL, daemon_main, channel);
	use_device(ops, nr_ops);
	conn = fuse_dev_conn(channel->private);
	fuse_conn_abort(conn, false);
	fuse_conn_put(conn);
	pthread_join(thread, NULL);
	file_put(channel);
	return 0;
}

/*
 * /dev/cuse: a daemon opens it and gets CUSE_INIT to read; with its answer the device appears
 * (matrix C01-C05, C09, C10). The connection is that of /dev/fuse but for its birth: no mount, no
 * gate before the answer.
 */
#include "fusefs/cuse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

#include "devfuse/dev.h"
#include "devfuse/registry.h"
#include "fusefs/cuse_type.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/log.h"
#include "vfs/chrdev.h"
#include "vfs/file.h"
#include "vfs/fs/devfs.h"
#include "vfs/ops.h"

#define CUSE_DEV	makedev(10, 203)
#define CUSE_MINOR_MIN	11
#define CUSE_IO_MIN	4096u

static struct fb_mutex devices_lock = FB_MUTEX_INIT(RANK_FS); /* guards devices and last_id */
static struct list_node devices = LIST_INIT(devices);	      /* cuse.node, by id */
static int last_id;

/* --- the list of devices ------------------------------------------------------------------ */

void cuse_put(struct cuse *cuse)
{
	if (!cuse || !ref_put(&cuse->ref))
		return;
	fuse_conn_put(cuse->conn);
	fb_mutex_destroy(&cuse->poll_lock);
	free(cuse->name);
	free(cuse);
}

static struct cuse *found(struct cuse *cuse)
{
	if (cuse)
		ref_get(&cuse->ref);
	fb_mutex_unlock(&devices_lock);
	return cuse;
}

struct cuse *cuse_by_rdev(dev_t rdev)
{
	struct cuse *pos;

	fb_mutex_lock(&devices_lock);
	list_for_each (pos, &devices, node)
		if (pos->rdev == rdev)
			return found(pos);
	return found(NULL);
}

struct cuse *cuse_by_id(int id)
{
	struct cuse *pos;

	fb_mutex_lock(&devices_lock);
	list_for_each (pos, &devices, node)
		if (pos->id == id)
			return found(pos);
	return found(NULL);
}

/* lock held. */
static struct cuse *find_name(const char *name)
{
	struct cuse *pos;

	list_for_each (pos, &devices, node)
		if (strcmp(pos->name, name) == 0)
			return pos;
	return NULL;
}

struct cuse *cuse_by_name(const char *name)
{
	fb_mutex_lock(&devices_lock);
	return found(find_name(name));
}

int cuse_next_id(int *id)
{
	struct cuse *pos;
	int err = -ENOENT;

	fb_mutex_lock(&devices_lock);
	list_for_each (pos, &devices, node)
		if (pos->id >= *id) {
			*id = pos->id;
			err = 0;
			break;
		}
	fb_mutex_unlock(&devices_lock);
	return err;
}

/* The name is taken by the first one. Ids are not given out twice. 0 or -EEXIST. */
static int list_device(struct cuse *cuse)
{
	int err = 0;

	fb_mutex_lock(&devices_lock);
	if (find_name(cuse->name))
		err = -EEXIST;
	else if (last_id == INT32_MAX)
		err = -ENOSPC;
	if (!err) {
		cuse->id = ++last_id;
		list_add_tail(&devices, &cuse->node);
	}
	fb_mutex_unlock(&devices_lock);
	return err;
}

static void unlist_device(struct cuse *cuse)
{
	fb_mutex_lock(&devices_lock);
	list_del(&cuse->node);
	fb_mutex_unlock(&devices_lock);
}

/* --- the answer to CUSE_INIT --------------------------------------------------------------- */

struct cuse_init {
	struct fuse_args args;
	struct cuse_init_in in;
	struct cuse_init_out out;
	char info[CUSE_INIT_INFO_MAX];
};

static char *strip(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = 0;
	return text;
}

/* C02: NUL-separated "KEY=value". *ret_name points into info. */
static int parse_info(char *info, size_t len, char **ret_name)
{
	char *pos = info, *end = info + len, *name = NULL;

	for (;;) {
		char *key, *value;

		while (pos < end && !*pos)
			pos++;
		if (pos == end)
			break;
		if (end[-1])
			return -EINVAL;
		key = pos;
		pos += strlen(pos);
		value = strchr(key, '=');
		if (value)
			*value++ = 0;
		key = strip(key);
		if (!*key)
			return -EINVAL;
		if (strcmp(key, "DEVNAME") == 0)
			name = value ? strip(value) : NULL;
		else
			fb_log(LOG_WARN, "cuse: unknown device info \"%s\"", key);
	}
	if (!name || !*name)
		return -EINVAL;
	*ret_name = name;
	return 0;
}

/* A name that can stand below /dev without leaving it. */
static bool usable_name(const char *name)
{
	for (const char *part = name;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (!*part)
			return true;
	}
}

/* C04. Majors whose whole range has an owner on Linux: mem, misc, pts. */
static int register_number(struct cuse *cuse, unsigned major_nr, unsigned minor_nr)
{
	if (major_nr == 0)
		return chrdev_register_dynamic(minor_nr, cuse->name, 0600, &cuse_file_ops,
					       &cuse->rdev);
	if (major_nr == 1 || major_nr == 10 || (major_nr >= 136 && major_nr <= 143) ||
	    major_nr > 511)
		return -EBUSY;
	cuse->rdev = makedev(major_nr, minor_nr);
	return chrdev_register(cuse->rdev, cuse->name, 0600, &cuse_file_ops);
}

static int add_device(struct cuse *cuse, struct cuse_init *init, size_t info_len)
{
	const struct cuse_init_out *out = &init->out;
	char *name;
	int err;

	if (out->major != FUSE_KERNEL_VERSION || out->minor < CUSE_MINOR_MIN)
		return -EINVAL;
	err = parse_info(init->info, info_len, &name);
	if (err)
		return err;
	if (!usable_name(name) || out->dev_minor >= 1u << 20)
		return -EINVAL;
	cuse->name = strdup(name);
	if (!cuse->name)
		return -ENOMEM;
	cuse->max_read = out->max_read < CUSE_IO_MIN ? CUSE_IO_MIN : out->max_read;
	cuse->max_write = out->max_write < CUSE_IO_MIN ? CUSE_IO_MIN : out->max_write;
	cuse->unrestricted_ioctl = (out->flags & CUSE_UNRESTRICTED_IOCTL) != 0;
	cuse->conn->minor = out->minor; /* nobody can have sent a request yet */
	err = register_number(cuse, out->dev_major, out->dev_minor);
	if (err)
		return err;
	err = list_device(cuse);
	if (err) {
		chrdev_unregister(cuse->rdev);
		return err;
	}
	fb_mutex_lock(&cuse->conn->lock);
	snprintf(cuse->conn->device, sizeof(cuse->conn->device), "%s", cuse->name);
	fb_mutex_unlock(&cuse->conn->lock);
	/* A node of that name may be there: the device lives without one (cf. devtmpfs). */
	(void)devfs_node_add(cuse->name, 0600, cuse->rdev);
	return 0;
}

static void remove_device(struct cuse *cuse)
{
	if (cuse->id == 0)
		return;
	unlist_device(cuse);
	devfs_node_remove(cuse->name, cuse->rdev);
	chrdev_unregister(cuse->rdev);
}

static void init_answered(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct cuse_init *init = args->owner;
	int err = result < 0 ? (int)result : add_device(conn->owner, init, (size_t)result);

	if (err && err != -ECONNABORTED)
		fb_log(LOG_INFO, "cuse: the daemon's INIT reply was refused: %s", strerror(-err));
	free(init);
	if (err)
		fuse_conn_abort(conn, false);
}

static int send_init(struct fuse_conn *conn)
{
	struct cuse_init *init = calloc(1, sizeof(*init));
	int err;

	if (!init)
		return -ENOMEM;
	init->in.major = FUSE_KERNEL_VERSION;
	init->in.minor = FUSE_KERNEL_MINOR_VERSION;
	init->in.flags = CUSE_UNRESTRICTED_IOCTL;
	init->args.opcode = CUSE_INIT;
	init->args.nocreds = init->args.force = true;
	init->args.nr_in = 1;
	init->args.in[0] = (struct fuse_in_arg){&init->in, sizeof(init->in)};
	init->args.nr_out = 2;
	init->args.out[0] = (struct fuse_out_arg){&init->out, sizeof(init->out)};
	init->args.out[1] = (struct fuse_out_arg){init->info, sizeof(init->info)};
	init->args.done = init_answered;
	init->args.owner = init;
	err = fuse_conn_send(conn, NULL, &init->args);
	if (err)
		free(init);
	return err;
}

/* --- what devfuse asks of us --------------------------------------------------------------- */

static void cuse_initialized(struct fuse_conn *conn)
{
	(void)conn;
}

/* C10: there are no inodes; what names one is well-formed and unknown. */
static int cuse_notify(struct fuse_conn *conn, const struct op_ctx *ctx, unsigned code,
		       struct io_iter *from, size_t len)
{
	static const struct {
		size_t least;
		bool exact;
		int result;
	} rules[FUSE_NOTIFY_CODE_END] = {
		[FUSE_NOTIFY_POLL] = {sizeof(struct fuse_notify_poll_wakeup_out), true, 0},
		[FUSE_NOTIFY_INVAL_INODE] = {sizeof(struct fuse_notify_inval_inode_out), true,
					     -ENOENT},
		[FUSE_NOTIFY_INVAL_ENTRY] = {sizeof(struct fuse_notify_inval_entry_out), false,
					     -ENOENT},
		[FUSE_NOTIFY_STORE] = {sizeof(struct fuse_notify_store_out), false, -ENOENT},
		[FUSE_NOTIFY_RETRIEVE] = {sizeof(struct fuse_notify_retrieve_out), true, -ENOENT},
		[FUSE_NOTIFY_DELETE] = {sizeof(struct fuse_notify_delete_out), false, -ENOENT},
		[FUSE_NOTIFY_INC_EPOCH] = {0, false, 0},
	};
	struct fuse_notify_poll_wakeup_out poll;

	(void)ctx;
	if (code >= FUSE_NOTIFY_CODE_END ||
	    (code != FUSE_NOTIFY_INC_EPOCH && rules[code].least == 0) || len < rules[code].least ||
	    (rules[code].exact && len != rules[code].least))
		return -EINVAL;
	if (code != FUSE_NOTIFY_POLL)
		return rules[code].result;
	if (iter_from(from, &poll, sizeof(poll)) != sizeof(poll))
		return -EFAULT;
	cuse_poll_wake(conn->owner, poll.kh, false);
	return 0;
}

static void cuse_aborted(struct fuse_conn *conn)
{
	cuse_poll_wake(conn->owner, 0, true); /* F154 */
}

static const struct fuse_conn_ops cuse_conn_ops = {
	.initialized = cuse_initialized,
	.notify = cuse_notify,
	.pin = cuse_pin,
	.unpin = cuse_unpin,
	.poll_again = cuse_aborted,
};

/* --- /dev/cuse ---------------------------------------------------------------------------- */

static struct file_ops channel_ops; /* fuse_channel_ops with our release; constant after start-up */

static struct cuse *cuse_new(void)
{
	static atomic_uint last_conn = FUSE_ID_CUSE;
	struct cuse *cuse = calloc(1, sizeof(*cuse));

	if (!cuse)
		return NULL;
	cuse->conn = fuse_conn_new(FUSE_ID_CUSE | ++last_conn, &cuse_conn_ops, cuse);
	if (!cuse->conn) {
		free(cuse);
		return NULL;
	}
	ref_init(&cuse->ref);
	list_init(&cuse->node);
	list_init(&cuse->polled);
	fb_mutex_init(&cuse->poll_lock, RANK_FS);
	if (HOST(getrandom(cuse->owner_key, sizeof(cuse->owner_key), 0)) < 0)
		cuse->owner_key[0] = (uint32_t)clock_monotonic_ns();
	/* C10: requests and messages pass from the start, at our own minor. */
	atomic_store(&cuse->conn->initialized.open, true);
	cuse->conn->minor = FUSE_KERNEL_MINOR_VERSION;
	return cuse;
}

static int channel_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct cuse *cuse = cuse_new();
	int err;

	(void)inode;
	if (!cuse)
		return -ENOMEM;
	err = fuse_channel_open(file, cuse->conn);
	if (err) {
		cuse_put(cuse);
		return err;
	}
	file->op = &channel_ops;
	fuse_registry_add(cuse->conn);
	err = send_init(cuse->conn);
	if (err)
		channel_ops.release(ctx, file);
	return err;
}

/* C09: first the device goes, then the connection. */
static void channel_release(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_dev *dev = file->private;
	struct fuse_conn *conn = fuse_dev_conn(dev);
	struct cuse *cuse = conn->owner;

	remove_device(cuse);
	fuse_registry_remove(conn);
	fuse_channel_ops.release(ctx, file);
	fuse_conn_put(conn);
	cuse_put(cuse);
}

int cuse_init(void)
{
	int err;

	channel_ops = fuse_channel_ops;
	channel_ops.open = channel_open;
	channel_ops.release = channel_release;
	err = chrdev_register(CUSE_DEV, "cuse", 0600, &channel_ops);
	return err ? err : cuse_sysfs_init();
}

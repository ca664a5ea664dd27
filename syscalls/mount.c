/* mount(2), umount2(2), pivot_root(2), and the mount namespace part of unshare(2). */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "syscalls/mount_ns.h"
#include "vfs/cred.h"
#include "vfs/fs_struct.h"
#include "vfs/mount.h"

#define MOUNT_DATA_SIZE 4096 /* one page, as copy_mount_options() takes it */

struct mount_request {
	char *source, *type; /* from the path pool; NULL when not given */
	char *data;	     /* malloc'ed */
	unsigned long flags;
};

/* An optional string. */
static int mount_string(struct task *task, gva_t gva, char **ret)
{
	char *buf;
	ssize_t len;

	if (!gva)
		return 0;
	buf = path_buf_get();
	if (!buf)
		return -ENOMEM;
	len = copy_string_from_guest(task, buf, gva, PATH_MAX);
	if (len < 0) {
		path_buf_put(buf);
		return len == -ENAMETOOLONG ? -EINVAL : (int)len; /* cf. strndup_user() */
	}
	*ret = buf;
	return 0;
}

/* Up to a page of options, which may end at an unmapped page. */
static int mount_data(struct task *task, gva_t gva, char **ret)
{
	char *buf;

	if (!gva)
		return 0;
	buf = calloc(1, MOUNT_DATA_SIZE);
	if (!buf)
		return -ENOMEM;
	if (!copy_from_guest_partial(task, buf, gva, MOUNT_DATA_SIZE - 1)) {
		free(buf);
		return -EFAULT;
	}
	*ret = buf;
	return 0;
}

static int64_t mount_op(const struct op_ctx *ctx, const struct path *where, void *arg)
{
	const struct mount_request *req = arg;

	return vfs_mount(ctx, req->source, where, req->type, req->flags, req->data);
}

int64_t sys_mount(struct task *task, const uint64_t *args)
{
	struct mount_request req = {.flags = args[3]};
	int64_t err;

	if ((req.flags & MS_MGC_MSK) == MS_MGC_VAL)
		req.flags &= ~(unsigned long)MS_MGC_MSK;
	err = mount_string(task, args[2], &req.type);
	if (!err)
		err = mount_string(task, args[0], &req.source);
	if (!err)
		err = mount_data(task, args[4], &req.data);
	if (!err)
		err = at_path_do(task, task_ctx(task), AT_FDCWD, args[1], LOOKUP_FOLLOW, mount_op,
				 &req);
	path_buf_put(req.source);
	path_buf_put(req.type);
	free(req.data);
	return err;
}

static int64_t umount_op(const struct op_ctx *ctx, const struct path *where, void *arg)
{
	return vfs_umount(ctx, where, *(int *)arg);
}

int64_t sys_umount2(struct task *task, const uint64_t *args)
{
	int flags = (int)args[1];

	if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	return at_path_do(task, task_ctx(task), AT_FDCWD, args[0],
			  flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW, umount_op, &flags);
}

static int64_t put_old_op(const struct op_ctx *ctx, const struct path *put_old, void *arg)
{
	return vfs_pivot_root(ctx, arg, put_old);
}

int64_t sys_pivot_root(struct task *task, const uint64_t *args)
{
	const unsigned lookup = LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
	struct path new_root;
	struct at_name at;
	int64_t err;

	if (!may_mount(task_ctx(task)))
		return -EPERM;
	err = at_name_get(task, AT_FDCWD, args[0], 0, &at);
	if (err)
		return err;
	err = path_lookup(task_ctx(task), at.base, at.name, lookup, &new_root);
	at_name_put(&at);
	if (err)
		return err;
	err = at_path_do(task, task_ctx(task), AT_FDCWD, args[1], lookup, put_old_op, &new_root);
	path_put(&new_root);
	return err;
}

int unshare_mounts(struct task *task)
{
	struct fs_struct *fs;

	if (!task_capable(task, CAP_SYS_ADMIN))
		return -EPERM;
	fs = fs_struct_copy(task->fs);
	if (!fs || fs_struct_unshare_ns(fs)) {
		fs_struct_put(fs);
		return -ENOMEM;
	}
	task_set_fs(task, fs);
	return 0;
}

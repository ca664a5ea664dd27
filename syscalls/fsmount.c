/*
 * The mount API of Linux 5.2: fsopen makes a context behind a descriptor, fsconfig fills it,
 * fsmount turns it into a detached mount, move_mount puts that into the tree. A detached mount is
 * an O_PATH descriptor of its root: when the last reference goes, so does the mount.
 */
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

#define FSCONFIG_KEY_MAX  256
#define FSCONFIG_BLOB_MAX (1024 * 1024)

enum fs_phase { FS_NEW, FS_CREATED, FS_RECONFIGURE, FS_MOUNTED, FS_FAILED };

/* file->private of a context descriptor. */
struct fs_handle {
	struct sleep_mutex lock; /* guards the rest; held while the file system works */
	struct fs_context *fc;
	enum fs_phase phase;
};

static void handle_free(struct fs_handle *handle)
{
	fs_context_free(handle->fc);
	free(handle);
}

static void handle_release(const struct op_ctx *ctx, struct file *file)
{
	(void)ctx;
	handle_free(file->private);
}

/* Each read(2) returns one line of the log (cf. fscontext_read()). */
static ssize_t handle_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			   int64_t *pos, int rwf)
{
	struct fs_handle *handle = file->private;
	ssize_t result = -ENODATA;
	char **log = handle->fc->log;
	size_t len;

	(void)ctx;
	(void)pos;
	(void)rwf;
	sleep_mutex_lock(&handle->lock);
	if (log[0]) {
		len = strlen(log[0]);
		if (len > to->count)
			result = -EMSGSIZE;
		else
			result = iter_to(to, log[0], len) == len ? (ssize_t)len : -EFAULT;
		if (result >= 0) {
			free(log[0]);
			memmove(log, log + 1, (FC_LOG_LINES - 1) * sizeof(log[0]));
			log[FC_LOG_LINES - 1] = NULL;
		}
	}
	sleep_mutex_unlock(&handle->lock);
	return result;
}

static const struct file_ops fs_handle_ops = {
	.read_iter = handle_read,
	.release = handle_release,
	.no_position = true,
};

/* Takes fc, also on failure. */
static int64_t handle_install(struct task *task, struct fs_context *fc, enum fs_phase phase,
			      bool cloexec)
{
	struct fs_handle *handle = calloc(1, sizeof(*handle));
	struct file *file;
	int err;

	if (!handle) {
		fs_context_free(fc);
		return -ENOMEM;
	}
	handle->fc = fc;
	fc->one_by_one = true;
	handle->phase = phase;
	sleep_mutex_init(&handle->lock);
	err = file_new_anon(task_ctx(task), "fscontext", 0600, &fs_handle_ops, handle, O_RDWR,
			    &file);
	if (err) {
		handle_free(handle);
		return err;
	}
	return task_install(task, file, cloexec);
}

int64_t sys_fsopen(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[1];
	struct filesystem_type *type;
	struct fs_context *fc;
	char *name;
	ssize_t len;
	int err;

	if (!may_mount(task_ctx(task)))
		return -EPERM;
	if (flags & ~(unsigned)FSOPEN_CLOEXEC)
		return -EINVAL;
	name = path_buf_get();
	if (!name)
		return -ENOMEM;
	len = copy_string_from_guest(task, name, args[0], PATH_MAX);
	if (len < 0) {
		path_buf_put(name);
		return len == -ENAMETOOLONG ? -EINVAL : len;
	}
	type = filesystem_find(name, (size_t)len);
	path_buf_put(name);
	if (!type)
		return -ENODEV;
	err = fs_context_new(type, 0, &fc);
	return err ? err : handle_install(task, fc, FS_NEW, flags & FSOPEN_CLOEXEC);
}

static int64_t fspick_op(const struct op_ctx *ctx, const struct path *path, void *ret_fc)
{
	(void)ctx;
	if (!path->mnt || path->dentry != path->mnt->root)
		return -EINVAL;
	return fs_context_for_reconfigure(path->mnt->sb, path->mnt->sb->flags, ret_fc);
}

int64_t sys_fspick(struct task *task, const uint64_t *args)
{
	const unsigned valid =
		FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH;
	unsigned flags = (unsigned)args[2], lookup = 0;
	struct fs_context *fc;
	int64_t err;

	if (!may_mount(task_ctx(task)))
		return -EPERM;
	if (flags & ~valid)
		return -EINVAL;
	if (!(flags & FSPICK_SYMLINK_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & FSPICK_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	err = at_path_do(task, task_ctx(task), (int)args[0], args[1], lookup, fspick_op, &fc);
	return err ? err : handle_install(task, fc, FS_RECONFIGURE, flags & FSPICK_CLOEXEC);
}

static int64_t config_command(const struct op_ctx *ctx, struct fs_handle *handle, unsigned cmd)
{
	int err;

	if (cmd == FSCONFIG_CMD_RECONFIGURE) {
		if (handle->phase != FS_RECONFIGURE)
			return -EBUSY;
		return fs_context_reconfigure(ctx, handle->fc);
	}
	if (handle->phase != FS_NEW)
		return -EBUSY;
	if (!may_mount(ctx))
		return -EPERM;
	err = fs_context_get_tree(ctx, handle->fc);
	handle->phase = err ? FS_FAILED : FS_CREATED;
	return err;
}

static int64_t config_param(const struct op_ctx *ctx, struct fs_handle *handle,
			    const struct fs_parameter *param)
{
	if (handle->phase != FS_NEW && handle->phase != FS_RECONFIGURE)
		return -EBUSY;
	return fs_context_parse_param(ctx, handle->fc, param);
}

static int copy_key(struct task *task, gva_t key_gva, char *key)
{
	ssize_t len = copy_string_from_guest(task, key, key_gva, FSCONFIG_KEY_MAX);

	if (len == -ENAMETOOLONG)
		return -EINVAL;
	return len < 0 ? (int)len : 0;
}

static int64_t config_string(struct task *task, struct fs_handle *handle,
			     struct fs_parameter *param, gva_t value_gva)
{
	char *value = path_buf_get();
	ssize_t len;
	int64_t err;

	if (!value)
		return -ENOMEM;
	len = copy_string_from_guest(task, value, value_gva, FSCONFIG_KEY_MAX);
	param->type = FS_VALUE_STRING;
	param->string = value;
	param->size = len < 0 ? 0 : (size_t)len;
	if (len < 0)
		err = len == -ENAMETOOLONG ? -EINVAL : len;
	else
		err = config_param(task_ctx(task), handle, param);
	path_buf_put(value);
	return err;
}

static int64_t config_blob(struct task *task, struct fs_handle *handle, struct fs_parameter *param,
			   gva_t value_gva, int size)
{
	cleanup_free char *blob = NULL;

	if (size <= 0 || size > FSCONFIG_BLOB_MAX)
		return -EINVAL;
	blob = malloc((size_t)size + 1);
	if (!blob)
		return -ENOMEM;
	if (copy_from_guest(task, blob, value_gva, (size_t)size))
		return -EFAULT;
	blob[size] = '\0';
	param->type = FS_VALUE_BLOB;
	param->string = blob;
	param->size = (size_t)size;
	return config_param(task_ctx(task), handle, param);
}

static int64_t config_fd(struct task *task, struct fs_handle *handle, struct fs_parameter *param,
			 int fd)
{
	struct file *file = task_file(task, fd);
	int64_t err;

	if (!file)
		return -EBADF;
	param->type = FS_VALUE_FILE;
	param->file = file;
	err = config_param(task_ctx(task), handle, param);
	file_put(file);
	return err;
}

/* Which of key, value and aux a command has (cf. the switch at the head of sys_fsconfig()). */
static int config_check(const uint64_t *args)
{
	gva_t key = args[2], value = args[3];
	int aux = (int)args[4];

	switch ((unsigned)args[1]) {
	case FSCONFIG_SET_FLAG:
		return key && !value && !aux ? 0 : -EINVAL;
	case FSCONFIG_SET_STRING:
		return key && value && !aux ? 0 : -EINVAL;
	case FSCONFIG_SET_BINARY:
		return key && value && aux > 0 ? 0 : -EINVAL;
	case FSCONFIG_SET_FD:
		return key && !value && aux >= 0 ? 0 : -EINVAL;
	case FSCONFIG_CMD_CREATE:
	case FSCONFIG_CMD_RECONFIGURE:
		return !key && !value && !aux ? 0 : -EINVAL;
	case FSCONFIG_SET_PATH:
	case FSCONFIG_SET_PATH_EMPTY:
	default:
		return -EOPNOTSUPP;
	}
}

static int64_t config_handle(struct task *task, struct fs_handle *handle, const uint64_t *args)
{
	struct fs_parameter param = {.type = FS_VALUE_FLAG};
	char key[FSCONFIG_KEY_MAX];
	int err;

	if (args[2]) {
		err = copy_key(task, args[2], key);
		if (err)
			return err;
		param.key = key;
	}
	switch ((unsigned)args[1]) {
	case FSCONFIG_SET_FLAG:
		return config_param(task_ctx(task), handle, &param);
	case FSCONFIG_SET_STRING:
		return config_string(task, handle, &param, args[3]);
	case FSCONFIG_SET_BINARY:
		return config_blob(task, handle, &param, args[3], (int)args[4]);
	case FSCONFIG_SET_FD:
		return config_fd(task, handle, &param, (int)args[4]);
	default:
		return config_command(task_ctx(task), handle, (unsigned)args[1]);
	}
}

/* The context behind a descriptor, locked; *ret_file holds it. */
static int handle_lock(struct task *task, int fd, struct file **ret_file,
		       struct fs_handle **ret_handle)
{
	struct file *file = task_file(task, fd);
	struct fs_handle *handle;
	int err;

	if (!file)
		return -EBADF;
	handle = file->private;
	err = file->op == &fs_handle_ops ? sleep_mutex_lock_killable(&handle->lock) : -EINVAL;
	if (err) {
		file_put(file);
		return err;
	}
	*ret_file = file;
	*ret_handle = handle;
	return 0;
}

static void handle_unlock(struct file *file, struct fs_handle *handle)
{
	sleep_mutex_unlock(&handle->lock);
	file_put(file);
}

int64_t sys_fsconfig(struct task *task, const uint64_t *args)
{
	struct fs_handle *handle;
	struct file *file;
	int64_t err;

	if ((int)args[0] < 0)
		return -EINVAL;
	err = config_check(args);
	if (!err)
		err = handle_lock(task, (int)args[0], &file, &handle);
	if (err)
		return err;
	err = config_handle(task, handle, args);
	handle_unlock(file, handle);
	return err;
}

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

static const struct {
	uint64_t attr;
	unsigned mnt;
} attr_map[] = {
	{MOUNT_ATTR_RDONLY, MNT_READONLY},	 {MOUNT_ATTR_NOSUID, MNT_NOSUID},
	{MOUNT_ATTR_NODEV, MNT_NODEV},		 {MOUNT_ATTR_NOEXEC, MNT_NOEXEC},
	{MOUNT_ATTR_NODIRATIME, MNT_NODIRATIME}, {MOUNT_ATTR_NOSYMFOLLOW, MNT_NOSYMFOLLOW},
};

#define MOUNT_ATTR_ALL                                                                             \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |            \
	 MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

/* MOUNT_ATTR_* to MNT_*, the access time mode apart. */
static unsigned mnt_flags_of(uint64_t attr)
{
	unsigned flags = 0;

	for (size_t i = 0; i < sizeof(attr_map) / sizeof(attr_map[0]); i++)
		if (attr & attr_map[i].attr)
			flags |= attr_map[i].mnt;
	return flags;
}

/* The access time mode is an enumeration and not a set of bits. */
static int mnt_atime_of(uint64_t attr, unsigned *ret_flags)
{
	switch (attr & MOUNT_ATTR__ATIME) {
	case MOUNT_ATTR_RELATIME:
		*ret_flags = MNT_RELATIME;
		return 0;
	case MOUNT_ATTR_NOATIME:
		*ret_flags = MNT_NOATIME;
		return 0;
	case MOUNT_ATTR_STRICTATIME:
		*ret_flags = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

/* A descriptor of the detached mount's root; takes the mount. */
static int64_t mount_install(struct task *task, struct mount *mnt, bool cloexec)
{
	struct path path = {mnt, mnt->root};
	struct file *file;
	int err = vfs_open_path(task_ctx(task), &path, O_PATH, &file);

	mount_put(mnt); /* the file holds it now */
	return err ? err : task_install(task, file, cloexec);
}

int64_t sys_fsmount(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[1], attr = (unsigned)args[2], atime;
	struct fs_handle *handle;
	struct mount *mnt;
	struct file *file;
	int64_t err;

	if (!may_mount(task_ctx(task)))
		return -EPERM;
	if ((flags & ~(unsigned)FSMOUNT_CLOEXEC) || (attr & ~(unsigned)MOUNT_ATTR_ALL))
		return -EINVAL;
	err = mnt_atime_of(attr, &atime);
	if (!err)
		err = handle_lock(task, (int)args[0], &file, &handle);
	if (err)
		return err;
	if (handle->phase == FS_CREATED)
		err = mount_create(handle->fc, mnt_flags_of(attr) | atime, &mnt);
	else
		err = handle->phase == FS_NEW ? -EINVAL : -EBUSY;
	if (!err)
		handle->phase = FS_MOUNTED;
	handle_unlock(file, handle);
	return err ? err : mount_install(task, mnt, flags & FSMOUNT_CLOEXEC);
}

struct open_tree_request {
	bool recursive;
	struct mount *copy;
};

static int64_t clone_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct open_tree_request *req = arg;

	(void)ctx;
	return mount_clone(path, req->recursive, &req->copy);
}

static int64_t open_op(const struct op_ctx *ctx, const struct path *path, void *ret_file)
{
	return vfs_open_path(ctx, path, O_PATH, ret_file);
}

int64_t sys_open_tree(struct task *task, const uint64_t *args)
{
	const unsigned valid = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			       AT_NO_AUTOMOUNT | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW;
	unsigned flags = (unsigned)args[2], lookup;
	struct open_tree_request req = {.recursive = flags & AT_RECURSIVE};
	struct file *file;
	int64_t err;

	if (flags & ~valid)
		return -EINVAL;
	if ((flags & (AT_RECURSIVE | OPEN_TREE_CLONE)) == AT_RECURSIVE)
		return -EINVAL;
	lookup = at_lookup_flags((int)flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), true);
	if (flags & OPEN_TREE_CLONE) {
		if (!may_mount(task_ctx(task)))
			return -EPERM;
		err = at_path_do(task, task_ctx(task), (int)args[0], args[1], lookup, clone_op,
				 &req);
		return err ? err : mount_install(task, req.copy, flags & OPEN_TREE_CLOEXEC);
	}
	err = at_path_do(task, task_ctx(task), (int)args[0], args[1], lookup, open_op, &file);
	return err ? err : task_install(task, file, flags & OPEN_TREE_CLOEXEC);
}

static int64_t move_to_op(const struct op_ctx *ctx, const struct path *to, void *from)
{
	return vfs_move_mount(ctx, from, to);
}

static int64_t get_path_op(const struct op_ctx *ctx, const struct path *path, void *ret_path)
{
	struct path *copy = ret_path;

	(void)ctx;
	*copy = *path;
	path_get(copy);
	return 0;
}

int64_t sys_move_mount(struct task *task, const uint64_t *args)
{
	const unsigned valid = MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_F_AUTOMOUNTS |
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS |
			       MOVE_MOUNT_T_AUTOMOUNTS | MOVE_MOUNT_T_EMPTY_PATH;
	unsigned flags = (unsigned)args[4], from_lookup = 0, to_lookup = 0;
	struct path from;
	int64_t err;

	if (!may_mount(task_ctx(task)))
		return -EPERM;
	if (flags & ~valid)
		return -EINVAL;
	if (flags & MOVE_MOUNT_F_SYMLINKS)
		from_lookup |= LOOKUP_FOLLOW;
	if (flags & MOVE_MOUNT_F_EMPTY_PATH)
		from_lookup |= LOOKUP_EMPTY;
	if (flags & MOVE_MOUNT_T_SYMLINKS)
		to_lookup |= LOOKUP_FOLLOW;
	if (flags & MOVE_MOUNT_T_EMPTY_PATH)
		to_lookup |= LOOKUP_EMPTY;
	err = at_path_do(task, task_ctx(task), (int)args[0], args[1], from_lookup, get_path_op,
			 &from);
	if (err)
		return err;
	err = at_path_do(task, task_ctx(task), (int)args[2], args[3], to_lookup, move_to_op, &from);
	path_put(&from);
	return err;
}

struct setattr_request {
	unsigned set, clear;
	bool recursive;
};

static int64_t setattr_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	const struct setattr_request *req = arg;

	return vfs_mount_set_flags(ctx, path, req->set, req->clear, req->recursive);
}

/* cf. build_mount_kattr(): the access time mode is only changed when all of it is cleared. */
static int setattr_request(const struct mount_attr *attr, struct setattr_request *req)
{
	unsigned atime;
	int err;

	if ((attr->attr_set | attr->attr_clr) & ~(uint64_t)MOUNT_ATTR_ALL)
		return -EINVAL; /* MOUNT_ATTR_IDMAP among them: no id-mapped mounts */
	if (attr->propagation & ~(uint64_t)(MS_PRIVATE | MS_SLAVE | MS_SHARED | MS_UNBINDABLE))
		return -EINVAL;
	req->set = mnt_flags_of(attr->attr_set);
	req->clear = mnt_flags_of(attr->attr_clr);
	if (attr->attr_clr & MOUNT_ATTR__ATIME) {
		if ((attr->attr_clr & MOUNT_ATTR__ATIME) != MOUNT_ATTR__ATIME)
			return -EINVAL;
		err = mnt_atime_of(attr->attr_set, &atime);
		if (err)
			return err;
		req->clear |= MNT_RELATIME | MNT_NOATIME;
		req->set |= atime;
	} else if (attr->attr_set & MOUNT_ATTR__ATIME) {
		return -EINVAL;
	}
	return 0;
}

int64_t sys_mount_setattr(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[2];
	struct setattr_request req = {.recursive = flags & AT_RECURSIVE};
	struct mount_attr attr;
	int err;

	if (flags &
	    ~(unsigned)(AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return -EINVAL;
	if (!may_mount(task_ctx(task)))
		return -EPERM;
	err = copy_struct_from_guest(task, &attr, sizeof(attr), 32, args[3], args[4]);
	if (!err)
		err = setattr_request(&attr, &req);
	if (err)
		return err;
	if (!attr.attr_set && !attr.attr_clr && !attr.propagation)
		return 0;
	return at_path_do(task, task_ctx(task), (int)args[0], args[1],
			  at_lookup_flags((int)flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), true),
			  setattr_op, &req);
}

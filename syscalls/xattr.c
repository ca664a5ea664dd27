/* Extended attributes: by path, by link, by descriptor, and the *at forms of Linux 6.13. */
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/xattr.h"

/* Where the attribute is: (dirfd, name, lookup), or a descriptor when by_fd. */
struct xattr_place {
	int dirfd;
	gva_t name_gva;
	unsigned lookup;
	bool by_fd;
};

static struct xattr_place place_path(gva_t name_gva, bool follow)
{
	return (struct xattr_place){AT_FDCWD, name_gva, follow ? LOOKUP_FOLLOW : 0, false};
}

static struct xattr_place place_fd(uint64_t fd)
{
	return (struct xattr_place){.dirfd = (int)fd, .by_fd = true};
}

static int place_at(uint64_t dirfd, gva_t name_gva, unsigned flags, struct xattr_place *ret_place)
{
	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	*ret_place = (struct xattr_place){
		(int)dirfd, name_gva, at_lookup_flags((int)flags, true) | LOOKUP_NULL_EMPTY, false};
	return 0;
}

static int64_t place_do(struct task *task, const struct xattr_place *place, path_op op, void *arg)
{
	if (place->by_fd)
		return fd_path_do(task, place->dirfd, false, op, arg);
	return at_path_do(task, task_ctx(task), place->dirfd, place->name_gva, place->lookup, op,
			  arg);
}

struct xattr_request {
	char name[XATTR_NAME_MAX + 1];
	void *value; /* owned; value or list */
	size_t size;
	int flags;
};

static int request_name(struct task *task, gva_t name_gva, struct xattr_request *req)
{
	ssize_t len = copy_string_from_guest(task, req->name, name_gva, sizeof(req->name));

	if (len == -ENAMETOOLONG || len == 0)
		return -ERANGE;
	return len < 0 ? (int)len : 0;
}

/* Room for an answer of up to `size` bytes; 0 asks for the length only. */
static int request_room(struct xattr_request *req, uint64_t size, size_t max)
{
	req->size = size < max ? (size_t)size : max;
	if (!req->size)
		return 0;
	req->value = malloc(req->size);
	return req->value ? 0 : -ENOMEM;
}

static int64_t set_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct xattr_request *req = arg;

	return vfs_setxattr(ctx, path, req->name, req->value, req->size, req->flags);
}

static int64_t get_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct xattr_request *req = arg;

	return vfs_getxattr(ctx, path, req->name, req->value, req->size);
}

static int64_t list_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct xattr_request *req = arg;

	return vfs_listxattr(ctx, path, req->value, req->size);
}

static int64_t remove_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct xattr_request *req = arg;

	return vfs_removexattr(ctx, path, req->name);
}

static int64_t set_common(struct task *task, const struct xattr_place *place, gva_t name_gva,
			  gva_t value_gva, uint64_t size, int flags)
{
	struct xattr_request req = {.flags = flags};
	cleanup_free void *value = NULL;
	int err;

	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	err = request_name(task, name_gva, &req);
	if (err)
		return err;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	req.size = (size_t)size;
	value = req.value = malloc(req.size + 1);
	if (!value)
		return -ENOMEM;
	if (copy_from_guest(task, value, value_gva, req.size))
		return -EFAULT;
	return place_do(task, place, set_op, &req);
}

static int64_t answer(struct task *task, const struct xattr_request *req, gva_t dst_gva,
		      int64_t result)
{
	if (result > 0 && req->size && copy_to_guest(task, dst_gva, req->value, (size_t)result))
		return -EFAULT;
	return result;
}

static int64_t get_common(struct task *task, const struct xattr_place *place, gva_t name_gva,
			  gva_t value_gva, uint64_t size)
{
	struct xattr_request req = {.value = NULL};
	int64_t result;

	result = request_name(task, name_gva, &req);
	if (!result)
		result = request_room(&req, size, XATTR_SIZE_MAX);
	if (!result)
		result = answer(task, &req, value_gva, place_do(task, place, get_op, &req));
	/* cf. do_getxattr(): the file system's value is larger than any buffer may be. */
	if (result == -ERANGE && size >= XATTR_SIZE_MAX)
		result = -E2BIG;
	free(req.value);
	return result;
}

static int64_t list_common(struct task *task, const struct xattr_place *place, gva_t list_gva,
			   uint64_t size)
{
	struct xattr_request req = {.value = NULL};
	int64_t result = request_room(&req, size, XATTR_LIST_MAX);

	if (!result)
		result = answer(task, &req, list_gva, place_do(task, place, list_op, &req));
	if (result == -ERANGE && size >= XATTR_LIST_MAX)
		result = -E2BIG;
	free(req.value);
	return result;
}

static int64_t remove_common(struct task *task, const struct xattr_place *place, gva_t name_gva)
{
	struct xattr_request req = {.value = NULL};
	int err = request_name(task, name_gva, &req);

	return err ? err : place_do(task, place, remove_op, &req);
}

int64_t sys_setxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], true);

	return set_common(task, &place, args[1], args[2], args[3], (int)args[4]);
}

int64_t sys_lsetxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], false);

	return set_common(task, &place, args[1], args[2], args[3], (int)args[4]);
}

int64_t sys_fsetxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_fd(args[0]);

	return set_common(task, &place, args[1], args[2], args[3], (int)args[4]);
}

int64_t sys_getxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], true);

	return get_common(task, &place, args[1], args[2], args[3]);
}

int64_t sys_lgetxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], false);

	return get_common(task, &place, args[1], args[2], args[3]);
}

int64_t sys_fgetxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_fd(args[0]);

	return get_common(task, &place, args[1], args[2], args[3]);
}

int64_t sys_listxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], true);

	return list_common(task, &place, args[1], args[2]);
}

int64_t sys_llistxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], false);

	return list_common(task, &place, args[1], args[2]);
}

int64_t sys_flistxattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_fd(args[0]);

	return list_common(task, &place, args[1], args[2]);
}

int64_t sys_removexattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], true);

	return remove_common(task, &place, args[1]);
}

int64_t sys_lremovexattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_path(args[0], false);

	return remove_common(task, &place, args[1]);
}

int64_t sys_fremovexattr(struct task *task, const uint64_t *args)
{
	struct xattr_place place = place_fd(args[0]);

	return remove_common(task, &place, args[1]);
}

/* struct xattr_args of linux/xattr.h, Linux 6.13. */
struct xattr_at_args {
	uint64_t value;
	uint32_t size;
	uint32_t flags;
};

int64_t sys_setxattrat(struct task *task, const uint64_t *args)
{
	struct xattr_place place;
	struct xattr_at_args at;
	int err = place_at(args[0], args[1], (unsigned)args[2], &place);

	if (!err)
		err = copy_struct_from_guest(task, &at, sizeof(at), sizeof(at), args[4], args[5]);
	if (err)
		return err;
	return set_common(task, &place, args[3], at.value, at.size, (int)at.flags);
}

int64_t sys_getxattrat(struct task *task, const uint64_t *args)
{
	struct xattr_place place;
	struct xattr_at_args at;
	int err = place_at(args[0], args[1], (unsigned)args[2], &place);

	if (!err)
		err = copy_struct_from_guest(task, &at, sizeof(at), sizeof(at), args[4], args[5]);
	if (!err && at.flags)
		err = -EINVAL;
	if (err)
		return err;
	return get_common(task, &place, args[3], at.value, at.size);
}

int64_t sys_listxattrat(struct task *task, const uint64_t *args)
{
	struct xattr_place place;
	int err = place_at(args[0], args[1], (unsigned)args[2], &place);

	return err ? err : list_common(task, &place, args[3], args[4]);
}

int64_t sys_removexattrat(struct task *task, const uint64_t *args)
{
	struct xattr_place place;
	int err = place_at(args[0], args[1], (unsigned)args[2], &place);

	return err ? err : remove_common(task, &place, args[3]);
}

/* name_to_handle_at(2), open_by_handle_at(2), file_getattr(2), file_setattr(2). */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>

#include "sentry/base/err.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/attr.h"
#include "vfs/file.h"
#include "vfs/fileattr.h"
#include "vfs/fs_struct.h"
#include "vfs/handle.h"
#include "vfs/mount.h"
#include "vfs/perm.h"

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#ifndef AT_HANDLE_MNT_ID_UNIQUE
#define AT_HANDLE_MNT_ID_UNIQUE 0x001
#endif
#ifndef AT_HANDLE_CONNECTABLE
#define AT_HANDLE_CONNECTABLE 0x002
#endif

/* What a guest's struct file_handle begins with. */
struct handle_head {
	uint32_t bytes;
	int32_t type;
};

struct name_to_handle {
	struct task *task;
	gva_t handle_gva, mnt_id_gva;
	unsigned flags;
	enum handle_kind kind;
};

static int put_mnt_id(const struct name_to_handle *req, const struct path *path)
{
	uint64_t unique = (uint64_t)path->mnt->id;
	int id = path->mnt->id;

	if (req->flags & AT_HANDLE_MNT_ID_UNIQUE)
		return copy_to_guest(req->task, req->mnt_id_gva, &unique, sizeof(unique));
	return copy_to_guest(req->task, req->mnt_id_gva, &id, sizeof(id));
}

/* cf. do_sys_name_to_handle(): too small a handle is told what it needs. */
static int64_t name_to_handle_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	const struct name_to_handle *req = arg;
	struct vfs_handle handle = {0};
	struct handle_head head;
	int err;

	(void)ctx;
	/* Whether it has handles at all comes before the arguments. */
	err = vfs_name_to_handle(path, req->kind, &handle);
	if (err != -EOVERFLOW)
		return err;
	if (copy_from_guest(req->task, &head, req->handle_gva, sizeof(head)))
		return -EFAULT;
	if (head.bytes > HANDLE_BYTES_MAX)
		return -EINVAL;
	handle.bytes = head.bytes;
	err = vfs_name_to_handle(path, req->kind, &handle);
	if (err && err != -EOVERFLOW)
		return err;
	head.bytes = handle.bytes;
	head.type = err ? head.type : handle.type;
	if (put_mnt_id(req, path) ||
	    copy_to_guest(req->task, req->handle_gva, &head, sizeof(head)) ||
	    (!err && copy_to_guest(req->task, req->handle_gva + sizeof(head), handle.words,
				   handle.bytes)))
		return -EFAULT;
	return err;
}

int64_t sys_name_to_handle_at(struct task *task, const uint64_t *args)
{
	struct name_to_handle req = {task, args[2], args[3], (unsigned)args[4], HANDLE_OPENABLE};

	if (req.flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID |
				    AT_HANDLE_MNT_ID_UNIQUE | AT_HANDLE_CONNECTABLE))
		return -EINVAL;
	/* A place to be found again is what an id is not, and an open file may not have. */
	if ((req.flags & AT_HANDLE_CONNECTABLE) && (req.flags & (AT_HANDLE_FID | AT_EMPTY_PATH)))
		return -EINVAL;
	if (req.flags & AT_HANDLE_FID)
		req.kind = HANDLE_ID;
	else if (req.flags & AT_HANDLE_CONNECTABLE)
		req.kind = HANDLE_CONNECTABLE;
	return at_path_do(task, task_ctx(task), (int)args[0], args[1],
			  at_lookup_flags((int)req.flags, false), name_to_handle_op, &req);
}

static int get_handle_head(struct task *task, gva_t handle_gva, struct vfs_handle *ret_handle)
{
	struct handle_head head;

	if (copy_from_guest(task, &head, handle_gva, sizeof(head)))
		return -EFAULT;
	if (head.bytes == 0 || head.bytes > HANDLE_BYTES_MAX || head.type < 0 ||
	    ((uint32_t)head.type & FILEID_USER_FLAGS_MASK & ~FILEID_VALID_USER_FLAGS))
		return -EINVAL;
	*ret_handle = (struct vfs_handle){.bytes = head.bytes, .type = head.type};
	return 0;
}

/* The place whose mount the handle belongs to; references. cf. get_path_anchor() */
static int anchor(struct task *task, int fd, struct path *ret_path)
{
	struct file *file;

	if (fd == AT_FDCWD) {
		fs_get_cwd(task_ctx(task)->fs, ret_path);
		return 0;
	}
	file = task_file(task, fd);
	if (!file)
		return -EBADF;
	*ret_path = file->path;
	path_get(ret_path);
	file_put(file);
	return 0;
}

/* cf. handle_to_path(): in its order. */
int64_t sys_open_by_handle_at(struct task *task, const uint64_t *args)
{
	const struct op_ctx *ctx = task_ctx(task);
	unsigned flags = (unsigned)args[2];
	struct vfs_handle handle;
	struct file *file;
	struct path base;
	int err = get_handle_head(task, args[1], &handle);

	if (!err)
		err = anchor(task, (int)args[0], &base);
	if (err)
		return err;
	if (!task_capable(task, CAP_DAC_READ_SEARCH))
		err = -EPERM;
	else
		err = copy_from_guest(task, handle.words, args[1] + sizeof(struct handle_head),
				      handle.bytes);
	if (!err)
		err = vfs_open_by_handle(ctx, &base, &handle, flags, &file);
	path_put(&base);
	return err ? err : task_install(task, file, (flags & O_CLOEXEC) != 0);
}

/* --- attributes --------------------------------------------------------------------------- */

#define FILE_ATTR_MAX 4096 /* of the caller's struct; the tail that we do not know is zeroed */
struct file_attr_arg { /* struct file_attr of linux/fs.h, 6.17 */
	uint64_t xflags;
	uint32_t extsize, nextents, projid, cowextsize;
};

static int attr_lookup(unsigned flags, unsigned *ret_lookup)
{
	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	*ret_lookup = at_lookup_flags((int)flags, true) | LOOKUP_NULL_EMPTY;
	return 0;
}

static int64_t fileattr_get_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	int err = vfs_fileattr_get(ctx, path, arg);

	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int64_t sys_file_getattr(struct task *task, const uint64_t *args)
{
	static const char zeros[FILE_ATTR_MAX];
	struct file_attr_arg out;
	struct fileattr fa = {.by_flags = true}; /* as Linux asks */
	unsigned lookup;
	int64_t err = attr_lookup((unsigned)args[4], &lookup);

	if (err)
		return err;
	if (args[3] > FILE_ATTR_MAX)
		return -E2BIG;
	if (args[3] < sizeof(out))
		return -EINVAL;
	err = at_path_do(task, task_ctx(task), (int)args[0], args[1], lookup, fileattr_get_op, &fa);
	if (err)
		return err;
	out = (struct file_attr_arg){fa.xflags, fa.extsize, fa.nextents, fa.projid, fa.cowextsize};
	if (copy_to_guest(task, args[2] + sizeof(out), zeros, (size_t)args[3] - sizeof(out)))
		return -EFAULT;
	return copy_to_guest(task, args[2], &out, sizeof(out));
}

static int64_t fileattr_set_op(const struct op_ctx *ctx, const struct path *path, void *arg)
{
	struct fileattr fa = *(const struct fileattr *)arg;
	int err = mount_want_write(path);

	if (!err)
		err = vfs_fileattr_set(ctx, path, &fa);
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int64_t sys_file_setattr(struct task *task, const uint64_t *args)
{
	struct file_attr_arg in;
	struct fileattr fa;
	unsigned lookup;
	int err = attr_lookup((unsigned)args[4], &lookup);

	if (!err)
		err = copy_struct_from_guest(task, &in, sizeof(in), sizeof(in), args[2], args[3]);
	if (!err && in.xflags > UINT32_MAX)
		err = -EINVAL;
	if (err)
		return err;
	fileattr_fill_xflags(&fa, (uint32_t)in.xflags);
	fa.extsize = in.extsize;
	fa.projid = in.projid;
	fa.cowextsize = in.cowextsize;
	return at_path_do(task, task_ctx(task), (int)args[0], args[1], lookup, fileattr_set_op, &fa);
}

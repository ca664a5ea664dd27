/* Moving bytes between descriptors: sendfile, splice, tee, vmsplice, copy_file_range. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "sentry/lane/lane.h"
#include "syscalls/args.h"
#include "syscalls/handlers.h"
#include "vfs/file.h"
#include "vfs/file/pipe.h"
#include "vfs/inode.h"

#define LOAN_MAX 64 /* bytes of a vmsplice that are read again; a header of a FUSE reply has 16 */

#define SPLICE_F_ALL (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

/* Both files with references, open in the right direction; undone by two file_put(). */
static int get_pair(struct task *task, int fd_in, int fd_out, struct file **ret_in,
		    struct file **ret_out)
{
	struct file *in = task_file(task, fd_in), *out = task_file(task, fd_out);

	if (in && out && (in->fmode & FMODE_READ) && (out->fmode & FMODE_WRITE)) {
		*ret_in = in;
		*ret_out = out;
		return 0;
	}
	file_put(in);
	file_put(out);
	return -EBADF;
}

static size_t cap_len(uint64_t len)
{
	return len < MAX_RW_COUNT ? (size_t)len : MAX_RW_COUNT;
}

/* An optional offset in guest memory. */
static int offset_in(struct task *task, gva_t off_gva, int64_t *ret_off)
{
	*ret_off = 0;
	return off_gva ? copy_from_guest(task, ret_off, off_gva, sizeof(*ret_off)) : 0;
}

static int64_t offset_out(struct task *task, gva_t off_gva, int64_t off, int64_t result)
{
	if (off_gva && result >= 0 && copy_to_guest(task, off_gva, &off, sizeof(off)))
		return -EFAULT;
	return result;
}

int64_t sys_sendfile(struct task *task, const uint64_t *args)
{
	struct file *in, *out;
	int64_t pos, result;

	if (offset_in(task, args[2], &pos))
		return -EFAULT;
	result = get_pair(task, (int)args[1], (int)args[0], &in, &out);
	if (result)
		return result;
	if (args[2] && (in->op->no_position || (in->fmode & (FMODE_STREAM | FMODE_NOSEEK))))
		result = -ESPIPE;
	else if (pos < 0)
		result = -EINVAL;
	else
		result = vfs_splice(task_ctx(task), in, args[2] ? &pos : NULL, out, NULL,
				    cap_len(args[3]), 0);
	file_put(in);
	file_put(out);
	return offset_out(task, args[2], pos, result);
}

/* A pipe has no offsets, and one side must be a pipe (splice(2)). */
static int splice_check(const struct file *in, gva_t off_in_gva, const struct file *out,
			gva_t off_out_gva)
{
	if (!pipe_is(in) && !pipe_is(out))
		return -EINVAL;
	if ((pipe_is(in) && off_in_gva) || (pipe_is(out) && off_out_gva))
		return -ESPIPE;
	if (pipe_is(in) && in->inode == out->inode)
		return -EINVAL;
	if (!pipe_is(out) && (atomic_load(&out->flags) & O_APPEND))
		return -EINVAL;
	return 0;
}

/* See sys_vmsplice(). */
static void loan_refresh(struct task *task, struct file *in)
{
	struct pipe_loan *loan = &task->loan;
	unsigned char buf[LOAN_MAX];

	if (!loan->len || !pipe_is(in) || in->inode->ino != loan->ino)
		return;
	if (!copy_from_guest(task, buf, loan->gva, loan->len))
		pipe_replace(in, loan->place, buf, loan->len);
	loan->len = 0;
}

static void loan_remember(struct task *task, struct file *file, uint64_t place,
			  const struct iovec *first, int64_t written)
{
	size_t len = first->iov_len < LOAN_MAX ? first->iov_len : LOAN_MAX;

	/* Somebody else has written in between: who knows where ours is. */
	if (written < (int64_t)len || pipe_place(file) != place + (uint64_t)written)
		return;
	task->loan = (struct pipe_loan){ file->inode->ino, place, (gva_t)first->iov_base, len };
}

int64_t sys_splice(struct task *task, const uint64_t *args)
{
	unsigned flags = (unsigned)args[5];
	int64_t pos_in, pos_out, result;
	struct file *in, *out;

	if (!args[4])
		return 0;
	if (flags & ~(unsigned)SPLICE_F_ALL)
		return -EINVAL;
	result = get_pair(task, (int)args[0], (int)args[2], &in, &out);
	if (result)
		return result;
	result = splice_check(in, args[1], out, args[3]);
	if (!result && (offset_in(task, args[1], &pos_in) || offset_in(task, args[3], &pos_out)))
		result = -EFAULT;
	if (!result && (pos_in < 0 || pos_out < 0))
		result = -EINVAL;
	if (in->op->brings_work)
		lane_note_server(task, (int)args[0]);
	if (!result) {
		loan_refresh(task, in);
		result = vfs_splice(task_ctx(task), in, args[1] ? &pos_in : NULL, out,
				    args[3] ? &pos_out : NULL, cap_len(args[4]), flags);
		result = offset_out(task, args[1], pos_in, result);
		result = offset_out(task, args[3], pos_out, result);
	}
	file_put(in);
	file_put(out);
	return result;
}

int64_t sys_tee(struct task *task, const uint64_t *args)
{
	struct file *in, *out;
	int64_t result;

	if ((unsigned)args[3] & ~(unsigned)SPLICE_F_ALL)
		return -EINVAL;
	if (!args[2])
		return 0;
	result = get_pair(task, (int)args[0], (int)args[1], &in, &out);
	if (result)
		return result;
	result = pipe_tee(task_ctx(task), in, out, cap_len(args[2]), (unsigned)args[3]);
	file_put(in);
	file_put(out);
	return result;
}

static int64_t vmsplice_pipe(const struct op_ctx *ctx, struct file *file, struct io_iter *iter,
			     unsigned flags)
{
	bool out = file->fmode & FMODE_WRITE;

	if (flags & SPLICE_F_NONBLOCK)
		return out ? vfs_pwrite(ctx, file, iter, -1, RWF_NOWAIT)
			   : vfs_pread(ctx, file, iter, -1, RWF_NOWAIT);
	return out ? vfs_write(ctx, file, iter) : vfs_read(ctx, file, iter);
}

/*
 * Copies where Linux lends pages. One use depends on the lending: libfuse vmsplices the header of a
 * reply, splices the data behind it, corrects the length in the header when the data turn out short
 * (fuse_send_data_iov()), and splices all to the device. So the first bytes are read again when
 * the same thread takes them with splice(2).
 */
int64_t sys_vmsplice(struct task *task, const uint64_t *args)
{
	struct file *file = task_file(task, (int)args[0]);
	struct iovec *iov = NULL;
	struct io_iter iter;
	uint64_t place;
	size_t total;
	int64_t result;

	if (!file)
		return -EBADF;
	if ((unsigned)args[3] & ~(unsigned)SPLICE_F_ALL)
		result = -EINVAL;
	else if (!pipe_is(file))
		result = -EBADF;
	else
		result = copy_iovec_from_guest(task, args[1], args[2], &iov, &total);
	if (!result) {
		iter_init_guest_iov(&iter, task, iov, args[2], total);
		place = pipe_place(file);
		result = vmsplice_pipe(task_ctx(task), file, &iter, (unsigned)args[3]);
		if (args[2] && (file->fmode & FMODE_WRITE))
			loan_remember(task, file, place, &iov[0], result);
	}
	free(iov);
	file_put(file);
	return result;
}

int64_t sys_copy_file_range(struct task *task, const uint64_t *args)
{
	int64_t pos_in = 0, pos_out = 0, result;
	struct file *in, *out;

	result = get_pair(task, (int)args[0], (int)args[2], &in, &out);
	if (result)
		return result;
	if (offset_in(task, args[1], &pos_in) || offset_in(task, args[3], &pos_out))
		result = -EFAULT;
	else if (args[5])
		result = -EINVAL;
	else
		result = vfs_copy_file_range(task_ctx(task), in, args[1] ? &pos_in : NULL, out,
					     args[3] ? &pos_out : NULL, args[4], 0);
	file_put(in);
	file_put(out);
	result = offset_out(task, args[1], pos_in, result);
	return offset_out(task, args[3], pos_out, result);
}

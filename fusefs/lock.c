/* fcntl and flock locks: remote where the daemon asked for it, else local (matrix 6.8). */
#include "vfs/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "fusefs/fusefs.h"
#include "vfs/file.h"

enum { WIRE_RDLCK, WIRE_WRLCK, WIRE_UNLCK }; /* F110 */

static int wire_type(short type)
{
	return type == F_RDLCK ? WIRE_RDLCK : type == F_WRLCK ? WIRE_WRLCK : WIRE_UNLCK;
}

static int send_lock(const struct op_ctx *ctx, struct fuse_file *ff, uint32_t opcode,
		     struct fuse_lk_in *in, struct fuse_lk_out *out)
{
	struct fuse_args args;
	ssize_t err;

	in->fh = ff->fh;
	fuse_args_init(&args, opcode, ff->inode);
	fuse_args_pin_file(&args, ff, &in->fh);
	fuse_args_in(&args, in, sizeof(*in));
	if (out)
		fuse_args_out(&args, out, sizeof(*out));
	err = fuse_send(ctx, ff->inode, &args);
	return err == -EINTR && opcode != FUSE_GETLK ? -ERESTARTSYS : (int)err; /* D83 */
}

/* F114 */
static int take_getlk(const struct fuse_file_lock *lk, struct flock_request *req)
{
	static const short types[] = {F_RDLCK, F_WRLCK, F_UNLCK};

	if (lk->type > WIRE_UNLCK)
		return -EIO;
	if (lk->type != WIRE_UNLCK) {
		if (lk->end < lk->start || lk->start > INT64_MAX || lk->end > INT64_MAX)
			return -EIO;
		req->start = (int64_t)lk->start;
		req->end = (int64_t)lk->end;
		req->pid = (pid_t)lk->pid;
	}
	req->type = types[lk->type];
	return 0;
}

int fuse_lock(const struct op_ctx *ctx, struct file *file, int cmd, struct flock_request *req)
{
	struct fuse_file *ff = file->private;
	struct fuse_super *fs = fuse_of(ff->inode);
	struct fuse_lk_in in = {0};
	struct fuse_lk_out out = {0};
	int err;

	if (fuse_is_bad(ff->inode))
		return -EIO;
	if (!fuse_conn_has(fs->conn, FUSE_POSIX_LOCKS))
		return posix_lock_local(ctx, file, cmd, req);
	in.owner = fuse_lock_owner(fs, req->ofd ? (const void *)file : (const void *)ctx->files);
	in.lk.start = (uint64_t)req->start;
	in.lk.end = (uint64_t)req->end;
	in.lk.type = (uint32_t)wire_type(req->type);
	if (cmd == F_GETLK) {
		err = send_lock(ctx, ff, FUSE_GETLK, &in, &out);
		return err ? err : take_getlk(&out.lk, req);
	}
	if (req->type != F_UNLCK)
		in.lk.pid = (uint32_t)ctx->tgid;
	return send_lock(ctx, ff, cmd == F_SETLKW ? FUSE_SETLKW : FUSE_SETLK, &in, NULL);
}

/* F113 */
int fuse_flock(const struct op_ctx *ctx, struct file *file, int operation)
{
	struct fuse_file *ff = file->private;
	struct fuse_super *fs = fuse_of(ff->inode);
	bool wait = !(operation & LOCK_NB) && !(operation & LOCK_UN);
	struct fuse_lk_in in = {0};

	if (fuse_is_bad(ff->inode))
		return -EIO;
	if (!fuse_conn_has(fs->conn, FUSE_FLOCK_LOCKS))
		return flock_local(ctx, file, operation);
	atomic_store(&ff->flocked, true);
	in.owner = fuse_lock_owner(fs, file);
	in.lk_flags = FUSE_LK_FLOCK;
	in.lk.end = INT64_MAX;
	in.lk.type = operation & LOCK_SH   ? WIRE_RDLCK
		     : operation & LOCK_EX ? WIRE_WRLCK
					   : WIRE_UNLCK;
	if (!(operation & LOCK_UN))
		in.lk.pid = (uint32_t)ctx->tgid;
	return send_lock(ctx, ff, wait ? FUSE_SETLKW : FUSE_SETLK, &in, NULL);
}

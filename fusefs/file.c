/*
 * Open files: OPEN, RELEASE, FLUSH, FSYNC, LSEEK, FALLOCATE, COPY_FILE_RANGE
 * (matrix 6.4, 6.11).
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"
#include "vfs/file.h"

#define WIRE_EXEC 0x20u /* __FMODE_EXEC: daemons see it on execve (F50) */
#define OPEN_ONLY (O_CREAT | O_EXCL | O_NOCTTY)

/* --- life --------------------------------------------------------------------------------- */

struct fuse_file *fuse_file_new(struct inode *inode, bool is_dir)
{
	struct fuse_file *ff = calloc(1, sizeof(*ff));

	if (!ff)
		return NULL;
	ref_init(&ff->ref);
	ff->inode = inode_get(inode);
	superblock_get(inode->sb); /* RELEASE may outlive the mount */
	ff->nodeid = fuse_nodeid(inode);
	ff->kh = atomic_fetch_add(&fuse_of(inode)->next_kh, 1) + 1;
	ff->is_dir = is_dir;
	waitq_init(&ff->poll_wait);
	list_init(&ff->poll_node);
	list_init(&ff->mapped_node);
	list_init(&ff->writer_node);
	fb_mutex_lock(&inode->attr_lock);
	ff->errors_seen = fuse_i(inode)->nr_errors;
	fb_mutex_unlock(&inode->attr_lock);
	return ff;
}

static void file_free(struct fuse_file *ff)
{
	struct superblock *sb = ff->inode->sb;

	inode_put(ff->inode);
	free(ff);
	superblock_put(sb);
}

static void release_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	(void)conn;
	(void)result; /* nobody is left to hear of an error */
	file_free(args->owner);
}

static void fill_release(struct fuse_file *ff)
{
	memset(&ff->args, 0, sizeof(ff->args));
	ff->args.opcode = ff->is_dir ? FUSE_RELEASEDIR : FUSE_RELEASE;
	ff->args.nodeid = ff->nodeid;
	ff->args.nocreds = ff->args.force = true; /* H04 */
	ff->args.incarnation = ff->incarnation;
	ff->release.fh = ff->fh;
	fuse_args_in(&ff->args, &ff->release, sizeof(ff->release));
}

/* F59: always asynchronous. The last user is gone, orphaned requests included. */
static void send_release(struct fuse_file *ff)
{
	fill_release(ff);
	ff->args.done = release_done;
	ff->args.owner = ff;
	if (fuse_conn_send(fuse_conn_of(ff->inode), NULL, &ff->args) < 0)
		file_free(ff);
}

/* F55: the open is refused here, and over when the daemon has answered (cf. fuse_sync_release()). */
static void refuse_opened(const struct op_ctx *ctx, struct fuse_file *ff)
{
	if (ff->opened) {
		fill_release(ff);
		fuse_args_pin(&ff->args, ff->inode, NULL); /* no FORGET before it, be we killed */
		(void)fuse_conn_call(fuse_conn_of(ff->inode), ctx, &ff->args);
		ff->opened = false;
	}
	fuse_file_put(ff);
}

void fuse_file_put(struct fuse_file *ff)
{
	if (!ff || !ref_put(&ff->ref))
		return;
	if (ff->opened)
		send_release(ff);
	else
		file_free(ff);
}

uint64_t fuse_owner_hash(const uint32_t key[4], const void *identity)
{
	/* 32 rounds of XTEA: one value per identity, and no address of ours for the daemon. */
	uint64_t id = (uint64_t)(uintptr_t)identity;
	uint32_t a = (uint32_t)id, b = (uint32_t)(id >> 32), sum = 0;

	for (int i = 0; i < 32; i++) {
		a += ((b << 4 ^ b >> 5) + b) ^ (sum + key[sum & 3]);
		sum += 0x9e3779b9u;
		b += ((a << 4 ^ a >> 5) + a) ^ (sum + key[sum >> 11 & 3]);
	}
	return (uint64_t)b << 32 | a;
}

uint64_t fuse_lock_owner(const struct fuse_super *fs, const void *identity)
{
	return fuse_owner_hash(fs->owner_key, identity);
}

/* --- OPEN --------------------------------------------------------------------------------- */

uint32_t fuse_wire_flags(const struct file *file)
{
	uint32_t flags = atomic_load(&((struct file *)(uintptr_t)file)->flags);

	if (!(file->fmode & FMODE_KERNEL))
		flags |= FUSE_O_LARGEFILE;
	return file->fmode & FMODE_EXEC ? flags | WIRE_EXEC : flags;
}

uint32_t fuse_open_flags(const struct fuse_super *fs, const struct file *file)
{
	uint32_t flags = fuse_wire_flags(file) & ~(uint32_t)OPEN_ONLY;

	if (!fuse_conn_has(fs->conn, FUSE_ATOMIC_O_TRUNC))
		flags &= ~(uint32_t)O_TRUNC;
	return flags;
}

int fuse_send_open(const struct op_ctx *ctx, uint32_t flags, struct fuse_file *ff)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out = {0};
	struct fuse_args args;
	ssize_t err;

	fuse_args_init(&args, ff->is_dir ? FUSE_OPENDIR : FUSE_OPEN, ff->inode);
	args.open_flags = in.flags;
	if (!ff->is_dir)
		in.open_flags = fuse_kill_on_open(ctx, fuse_of(ff->inode), in.flags);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, ff->inode, &args);
	ff->nodeid = args.nodeid;
	ff->incarnation = args.incarnation;
	ff->reopen_flags = in.flags & ~(uint32_t)O_TRUNC;
	if (err == -ENOSYS) { /* sticky: the daemon keeps no state for open files */
		ff->open_flags = FOPEN_KEEP_CACHE | (ff->is_dir ? FOPEN_CACHE_DIR : 0);
		return 0;
	}
	if (err < 0)
		return (int)err;
	ff->fh = out.fh;
	ff->open_flags = out.open_flags;
	ff->backing_id = out.backing_id;
	ff->opened = true;
	return 0;
}

/* F57: the OPEN itself has the daemon empty the file. */
static bool truncates(struct file *file, const struct inode *inode)
{
	return (atomic_load(&file->flags) & O_TRUNC) &&
	       fuse_conn_has(fuse_conn_of(inode), FUSE_ATOMIC_O_TRUNC);
}

/* O01, O03, O05 */
void fuse_finish_open(struct file *file, struct fuse_file *ff)
{
	struct inode *inode = ff->inode;
	struct fuse_inode *fi = fuse_i(inode);

	if (ff->is_dir)
		ff->open_flags &= ~FOPEN_DIRECT_IO;
	if (!(ff->open_flags & FOPEN_DIRECT_IO))
		ff->open_flags &= ~FOPEN_PARALLEL_DIRECT_WRITES;
	if (ff->open_flags & FOPEN_STREAM)
		file->fmode |= ff->is_dir ? FMODE_NOSEEK : FMODE_STREAM;
	else if (ff->open_flags & FOPEN_NONSEEKABLE)
		file->fmode |= FMODE_NOSEEK;
	if (ff->is_dir) {
		if (!(ff->open_flags & FOPEN_KEEP_CACHE))
			fuse_dircache_reset(&fi->listing);
		return;
	}
	ff->readahead.limit = fuse_readahead_limit(fuse_of(inode));
	if ((file->fmode & FMODE_WRITE) && fuse_is_writeback(inode))
		fuse_writer_add(ff);
	if (!truncates(file, inode) && !(ff->open_flags & FOPEN_KEEP_CACHE))
		fuse_cache_drop(&fi->cache);
}

/* The way to the bytes that the daemon has chosen (O06); `ff` is let go when it is refused. */
static int enter(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	int err = fuse_passthrough_open(ctx, file, ff);

	if (err)
		refuse_opened(ctx, ff);
	return err;
}

/* Of a file that CREATE has not opened already; it is let go when the open fails. */
static int open_new(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	int err = fuse_send_open(ctx, fuse_open_flags(fuse_of(ff->inode), file), ff);

	if (err) {
		fuse_file_put(ff);
		return err;
	}
	ff->release.flags = atomic_load(&file->flags) | FUSE_O_LARGEFILE;
	return enter(ctx, file, ff);
}

/* F93: no WRITE of old data may come after an OPEN that truncates. */
static int open_truncated(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	struct inode *inode = ff->inode;
	int err;

	if (fuse_hold_writes(inode)) {
		fuse_file_put(ff);
		return -EINTR;
	}
	err = open_new(ctx, file, ff);
	if (!err) {
		fuse_bump_version(inode);
		inode_set_size(inode, 0);
		fuse_stale(inode, FUSE_STALE_MODSIZE);
		fuse_cache_truncate(&fuse_i(inode)->cache, 0);
	}
	fuse_resume_writes(inode);
	return err;
}

static int open_created(const struct op_ctx *ctx, struct file *file, struct fuse_file *ff)
{
	int err;

	file->private = NULL;
	err = enter(ctx, file, ff);
	if (!err && truncates(file, ff->inode))
		fuse_cache_truncate(&fuse_i(ff->inode)->cache, 0);
	return err;
}

int fuse_file_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct fuse_file *ff = file->private; /* CREATE has opened it already */
	int err;

	if (ff) {
		err = open_created(ctx, file, ff);
	} else {
		if (fuse_is_bad(inode))
			return -EIO;
		ff = fuse_file_new(inode, inode_is_dir(inode));
		if (!ff)
			return -ENOMEM;
		err = truncates(file, inode) ? open_truncated(ctx, file, ff)
					     : open_new(ctx, file, ff);
	}
	if (err)
		return err;
	file->private = ff;
	fuse_finish_open(file, ff);
	return 0;
}

void fuse_file_release(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_file *ff = file->private;

	fuse_poll_forget(ff);
	if (!ff->is_dir && fuse_is_writeback(ff->inode))
		fuse_writer_del(ctx, ff);
	fuse_passthrough_close(ff);
	ff->release.flags = fuse_wire_flags(file) & ~(unsigned)(OPEN_ONLY | O_TRUNC); /* F51 */
	if (atomic_load(&ff->flocked)) {
		ff->release.release_flags |= FUSE_RELEASE_FLOCK_UNLOCK;
		ff->release.lock_owner = fuse_lock_owner(fuse_of(ff->inode), file);
	}
	file->private = NULL;
	fuse_file_put(ff);
}

/* --- FLUSH, FSYNC ------------------------------------------------------------------------- */

static int fuse_flush(const struct op_ctx *ctx, struct file *file)
{
	struct fuse_file *ff = file->private;
	struct fuse_flush_in in = {.fh = ff->fh};
	struct fuse_args args;
	int err;

	if (fuse_is_bad(ff->inode))
		return -EIO;
	if ((ff->open_flags & FOPEN_NOFLUSH) && !fuse_is_writeback(ff->inode)) /* O04 */
		return 0;
	err = fuse_writeback(ctx, ff->inode); /* F58 */
	if (err != -EINTR) /* else killed: the pages follow, and the daemon hears of the close */
		err = fuse_writeback_error(ff);
	if (err && err != -EINTR)
		return err;
	in.lock_owner = fuse_lock_owner(fuse_of(ff->inode), ctx->files);
	fuse_args_init(&args, FUSE_FLUSH, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	args.force = true; /* D84 */
	fuse_args_in(&args, &in, sizeof(in));
	err = (int)fuse_send(ctx, ff->inode, &args);
	if (!err && fuse_is_writeback(ff->inode))
		fuse_stale(ff->inode, STATX_BLOCKS); /* F58: nobody has counted them here */
	return err;
}

int fuse_file_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
		    bool datasync)
{
	struct fuse_file *ff = file->private;
	struct fuse_fsync_in in = {.fh = ff->fh};
	struct fuse_args args;
	int err;

	(void)start;
	(void)end;
	if (fuse_is_bad(ff->inode))
		return -EIO;
	err = fuse_writeback(ctx, ff->inode); /* F140 */
	if (err == -EINTR)
		return err;
	err = fuse_writeback_error(ff);
	if (err)
		return err;
	in.fsync_flags = datasync ? FUSE_FSYNC_FDATASYNC : 0;
	fuse_args_init(&args, ff->is_dir ? FUSE_FSYNCDIR : FUSE_FSYNC, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	fuse_args_in(&args, &in, sizeof(in));
	return (int)fuse_send(ctx, ff->inode, &args);
}

/* sync_file_range(2) */
static int fuse_write_range(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end)
{
	int err = fuse_write_pages(ctx, file->inode, start, end);

	return err == -EINTR ? err : fuse_writeback_error(file->private);
}

/* --- LSEEK -------------------------------------------------------------------------------- */

int64_t fuse_seek_request(const struct op_ctx *ctx, struct fuse_file *ff, int64_t offset,
			  int whence)
{
	struct fuse_lseek_in in = {.fh = ff->fh};
	struct fuse_lseek_out out = {0};
	struct fuse_args args;
	ssize_t err;

	in.offset = (uint64_t)offset;
	in.whence = (uint32_t)whence;
	fuse_args_init(&args, FUSE_LSEEK, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, ff->inode, &args);
	if (err < 0)
		return err;
	return out.offset > INT64_MAX ? -EINVAL : (int64_t)out.offset;
}

static int64_t seek_data_hole(const struct op_ctx *ctx, struct file *file, int64_t offset,
			      int whence)
{
	struct fuse_file *ff = file->private;
	int64_t ret = fuse_writeback(ctx, ff->inode); /* or it would call a hole what is dirty */

	if (ret != -EINTR)
		ret = fuse_seek_request(ctx, ff, offset, whence);

	if (ret == -ENOSYS) { /* sticky: the file is all data, up to its size */
		ret = fuse_update_attributes(ctx, ff->inode, ff, STATX_SIZE);
		return ret < 0 ? ret : generic_file_llseek(ctx, file, offset, whence);
	}
	if (ret >= 0)
		file->pos = ret;
	return ret;
}

int64_t fuse_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	struct fuse_file *ff = file->private;
	int err;

	if (whence == SEEK_DATA || whence == SEEK_HOLE)
		return seek_data_hole(ctx, file, offset, whence);
	if (whence == SEEK_END) { /* F142 */
		err = fuse_update_attributes(ctx, ff->inode, ff, STATX_SIZE);
		if (err)
			return err;
	}
	return generic_file_llseek(ctx, file, offset, whence);
}

/* --- FALLOCATE, COPY_FILE_RANGE ----------------------------------------------------------- */

static void grow_size(struct inode *inode, int64_t size)
{
	int64_t old_size;

	fb_mutex_lock(&inode->attr_lock);
	old_size = inode->size;
	if (inode->size < size)
		inode->size = size;
	fb_mutex_unlock(&inode->attr_lock);
	fuse_cache_grow(&fuse_i(inode)->cache, old_size, size);
}

void fuse_replaced(const struct op_ctx *ctx, struct file *file, int64_t pos, int64_t end)
{
	struct fuse_cache *cache = &fuse_i(file->inode)->cache;

	fuse_cache_forget(cache, pos, end);
	if (fuse_cache_tracked(cache) && fuse_fill_range(ctx, file, pos, end))
		fb_log(LOG_WARN, "fuse: a mapping may show old bytes: the daemon does not answer READ");
}

static int send_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			int64_t len)
{
	struct fuse_file *ff = file->private;
	struct fuse_fallocate_in in = {.fh = ff->fh};
	struct fuse_args args;
	ssize_t err;

	in.offset = (uint64_t)offset;
	in.length = (uint64_t)len;
	in.mode = (uint32_t)mode;
	fuse_args_init(&args, FUSE_FALLOCATE, ff->inode);
	fuse_args_pin_file(&args, ff, &in.fh);
	fuse_args_in(&args, &in, sizeof(in));
	err = fuse_send(ctx, ff->inode, &args);
	if (err < 0)
		return (int)err;
	fuse_bump_version(ff->inode);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow_size(ff->inode, offset + len);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		fuse_replaced(ctx, file, offset, offset + len);
	fuse_stale(ff->inode, FUSE_STALE_MODSIZE);
	return 0;
}

static int do_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			int64_t len)
{
	struct inode *inode = file->inode;
	int grows = !(mode & FALLOC_FL_KEEP_SIZE), err;

	if (fuse_hold_writes(inode))
		return -EINTR;
	fuse_size_changing(inode, grows);
	err = send_fallocate(ctx, file, mode, offset, len);
	fuse_size_changing(inode, -grows);
	fuse_resume_writes(inode);
	return err;
}

int fuse_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
		   int64_t len)
{
	struct fuse_file *ff = file->private;
	int err = 0;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP; /* F141 */
	if (fuse_is_bad(ff->inode))
		return -EIO;
	if (len > INT64_MAX - offset)
		return -EFBIG;
	inode_lock(ff->inode);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) /* F141 */
		err = fuse_write_pages(ctx, ff->inode, offset, offset + len);
	if (!err)
		err = fuse_remove_privs(ctx, file); /* cf. file_modified() */
	if (!err)
		err = do_fallocate(ctx, file, mode, offset, len);
	fuse_write_times(ctx, ff->inode);
	inode_unlock(ff->inode);
	return err;
}

/* With op 53, or for older daemons op 47, whose reply counts in 32 bits. */
static ssize_t send_copy(const struct op_ctx *ctx, uint32_t opcode, struct fuse_file *in_ff,
			 struct fuse_file *out_ff, struct fuse_copy_file_range_in *in,
			 uint64_t *ret_copied)
{
	union {
		struct fuse_copy_file_range_out big;
		struct fuse_write_out small;
	} out;
	struct fuse_args args;
	ssize_t err;

	memset(&out, 0, sizeof(out));
	fuse_args_init(&args, opcode, in_ff->inode);
	fuse_args_pin(&args, out_ff->inode, &in->nodeid_out);
	fuse_args_pin_file(&args, in_ff, &in->fh_in);
	fuse_args_pin_file(&args, out_ff, &in->fh_out);
	fuse_args_in(&args, in, sizeof(*in));
	fuse_args_out(&args, &out, sizeof(out.big));
	err = fuse_send(ctx, in_ff->inode, &args);
	if (err < 0)
		return err;
	*ret_copied = opcode == FUSE_COPY_FILE_RANGE_64 ? out.big.bytes_copied : out.small.size;
	return *ret_copied > in->len ? -EIO : 0;
}

static ssize_t do_copy(const struct op_ctx *ctx, struct file *in_file, int64_t pos_in,
		       struct file *out_file, int64_t pos_out, size_t len, unsigned flags)
{
	struct fuse_file *in_ff = in_file->private, *out_ff = out_file->private;
	struct fuse_copy_file_range_in in = {0};
	uint64_t copied = 0;
	ssize_t err;

	in.fh_in = in_ff->fh;
	in.off_in = (uint64_t)pos_in;
	in.nodeid_out = out_ff->nodeid;
	in.fh_out = out_ff->fh;
	in.off_out = (uint64_t)pos_out;
	in.len = len;
	in.flags = flags;
	err = send_copy(ctx, FUSE_COPY_FILE_RANGE_64, in_ff, out_ff, &in, &copied);
	if (err == -ENOSYS) {
		if (in.len > 0xfffff000u)
			in.len = 0xfffff000u;
		err = send_copy(ctx, FUSE_COPY_FILE_RANGE, in_ff, out_ff, &in, &copied);
	}
	if (err < 0)
		return err;
	fuse_bump_version(out_ff->inode);
	grow_size(out_ff->inode, pos_out + (int64_t)copied);
	fuse_replaced(ctx, out_file, pos_out, pos_out + (int64_t)copied);
	fuse_stale(out_ff->inode, FUSE_STALE_MODSIZE);
	return (ssize_t)copied;
}

ssize_t fuse_copy_file_range(const struct op_ctx *ctx, struct file *in, int64_t pos_in,
			     struct file *out, int64_t pos_out, size_t len, unsigned flags)
{
	struct fuse_file *in_ff = in->private, *out_ff = out->private;
	ssize_t ret;
	int grows;

	if (in->inode->sb != out->inode->sb || in->op != out->op)
		return -EXDEV; /* F143 */
	if (fuse_is_bad(in_ff->inode) || fuse_is_bad(out_ff->inode))
		return -EIO;
	ret = fuse_write_size(ctx, in_ff->inode); /* F143 */
	if (ret)
		return ret;
	inode_lock(out_ff->inode);
	ret = fuse_remove_privs(ctx, out);
	if (!ret)
		ret = fuse_write_pages(ctx, out_ff->inode, pos_out, fuse_range_end(pos_out, len));
	if (!ret)
		ret = fuse_hold_writes(out_ff->inode);
	if (!ret) {
		grows = !fuse_is_writeback(out_ff->inode) &&
			(int64_t)len > inode_size(out_ff->inode) - pos_out;
		fuse_size_changing(out_ff->inode, grows);
		ret = do_copy(ctx, in, pos_in, out, pos_out, len, flags);
		fuse_size_changing(out_ff->inode, -grows);
		fuse_resume_writes(out_ff->inode);
	}
	inode_unlock(out_ff->inode);
	fuse_write_times(ctx, out_ff->inode);
	return ret;
}

const struct file_ops fuse_dir_file_ops = {
	.open = fuse_file_open,
	.iterate = fuse_iterate,
	.llseek = generic_file_llseek,
	.ioctl = fuse_ioctl,
	.release = fuse_file_release,
	.fsync = fuse_file_fsync,
};

const struct file_ops fuse_file_file_ops = {
	.open = fuse_file_open,
	.read_iter = fuse_read_iter,
	.splice_read = fuse_splice_read,
	.write_iter = fuse_write_iter,
	.llseek = fuse_llseek,
	.poll = fuse_poll,
	.ioctl = fuse_ioctl,
	.mmap = fuse_mmap,
	.flush = fuse_flush,
	.release = fuse_file_release,
	.fsync = fuse_file_fsync,
	.fallocate = fuse_fallocate,
	.fadvise = fuse_fadvise,
	.write_range = fuse_write_range,
	.copy_file_range = fuse_copy_file_range,
	.lock = fuse_lock,
	.flock = fuse_flock,
};

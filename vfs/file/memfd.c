/*
 * memfd_create(2): see memfd.h. The inodes live on an internal file system of their own, as they
 * outlive the last open file: an O_PATH descriptor, a running program's /proc/PID/exe.
 *
 * Of the seals, ours to enforce are size and future writes. F_SEAL_WRITE is put on the host's
 * memfd behind the page cache, too: the host knows whether somebody has it mapped writable.
 */
#include "vfs/file/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/pagecache.h"
#include "vfs/superblock.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC	0x0010U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define MEMFD_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)
#define SEALS_ALL                                                                                  \
	((unsigned)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |                     \
		    F_SEAL_FUTURE_WRITE | F_SEAL_EXEC))
#define SEALS_WRITE ((unsigned)(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))

struct memfd_inode {
	struct inode inode;
	struct pagecache pages;
	unsigned seals; /* guarded by the inode's lock */
};

static const struct file_ops memfd_ops;

static struct memfd_inode *memfd_i(struct inode *inode)
{
	return container_of(inode, struct memfd_inode, inode);
}

/* ---- the file's methods ---- */

static ssize_t memfd_read_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			       int64_t *pos, int rwf)
{
	ssize_t n = pagecache_read(&memfd_i(file->inode)->pages, to, *pos);

	(void)ctx, (void)rwf;
	if (n > 0)
		*pos += n;
	return n;
}

static void size_changed(struct memfd_inode *memfd)
{
	inode_set_size(&memfd->inode, pagecache_size(&memfd->pages));
	inode_touch(&memfd->inode, S_MTIME | S_CTIME);
}

/* What the seals leave of a write; 0 or -EPERM. The inode is locked. */
static int check_write(const struct memfd_inode *memfd, struct io_iter *from, int64_t at)
{
	int64_t size = memfd->inode.size, end = at + (int64_t)from->count;

	if (memfd->seals & SEALS_WRITE)
		return -EPERM;
	if (!(memfd->seals & F_SEAL_GROW) || end <= size)
		return 0;
	/* Whole pages before the one that would grow it (cf. shmem_write_begin()). */
	size &= ~(int64_t)(PAGECACHE_PAGE - 1);
	if (at >= size)
		return -EPERM;
	iter_truncate(from, (size_t)(size - at));
	return 0;
}

static ssize_t memfd_write_iter(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				int64_t *pos, int rwf)
{
	struct memfd_inode *memfd = memfd_i(file->inode);
	bool append = (atomic_load(&file->flags) & O_APPEND) || (rwf & RWF_APPEND);
	int64_t at;
	ssize_t n;

	(void)ctx;
	if (from->count == 0)
		return 0;
	inode_lock(file->inode);
	at = append ? pagecache_size(&memfd->pages) : *pos;
	n = check_write(memfd, from, at);
	if (n == 0)
		n = pagecache_write(&memfd->pages, from, at);
	if (n > 0) {
		*pos = at + n;
		size_changed(memfd);
	}
	inode_unlock(file->inode);
	return n;
}

static int64_t memfd_llseek(const struct op_ctx *ctx, struct file *file, int64_t offset, int whence)
{
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return generic_file_llseek(ctx, file, offset, whence);
	offset = pagecache_seek(&memfd_i(file->inode)->pages, offset, whence);
	if (offset >= 0)
		file->pos = offset;
	return offset;
}

static int memfd_fallocate(const struct op_ctx *ctx, struct file *file, int mode, int64_t offset,
			   int64_t len)
{
	struct memfd_inode *memfd = memfd_i(file->inode);
	int err = 0;

	(void)ctx;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	inode_lock(file->inode);
	if (mode & FALLOC_FL_PUNCH_HOLE)
		err = memfd->seals & SEALS_WRITE ? -EPERM : 0;
	else if ((memfd->seals & F_SEAL_GROW) && offset + len > memfd->inode.size)
		err = -EPERM;
	if (!err)
		err = pagecache_fallocate(&memfd->pages, mode, offset, len);
	if (!err)
		size_changed(memfd);
	inode_unlock(file->inode);
	return err;
}

static int memfd_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		      int *ret_hostfd)
{
	struct memfd_inode *memfd = memfd_i(file->inode);
	bool private = (req->flags & MAP_TYPE) == MAP_PRIVATE;
	bool write = file->fmode & FMODE_WRITE;
	int err = 0;

	(void)ctx;
	inode_lock_shared(file->inode);
	if (memfd->seals & SEALS_WRITE) {
		/* Neither now nor by a later mprotect. */
		if (!private && (req->prot & PROT_WRITE))
			err = -EPERM;
		write = false;
	}
	if (!err)
		err = pagecache_hostfd(&memfd->pages, write, ret_hostfd);
	/* A private mapping never changes the file, see pagecache_hostfd(). */
	if (err == -EACCES && !write && private)
		err = pagecache_hostfd(&memfd->pages, true, ret_hostfd);
	inode_unlock_shared(file->inode);
	return err;
}

static int memfd_fsync(const struct op_ctx *ctx, struct file *file, int64_t start, int64_t end,
		       bool datasync)
{
	(void)ctx, (void)file, (void)start, (void)end, (void)datasync;
	return 0; /* memory is as stable as it gets */
}

/* ---- attributes ---- */

static int check_setattr(const struct memfd_inode *memfd, const struct iattr *attr)
{
	const uint32_t exec = S_IXUSR | S_IXGRP | S_IXOTH;

	if ((attr->valid & ATTR_MODE) && (memfd->seals & F_SEAL_EXEC) &&
	    ((attr->mode ^ memfd->inode.mode) & exec))
		return -EPERM;
	if (!(attr->valid & ATTR_SIZE))
		return 0;
	if (attr->size < memfd->inode.size && (memfd->seals & F_SEAL_SHRINK))
		return -EPERM;
	if (attr->size > memfd->inode.size && (memfd->seals & F_SEAL_GROW))
		return -EPERM;
	return 0;
}

static int memfd_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	struct memfd_inode *memfd = memfd_i(dentry->inode);
	int err = setattr_prepare(ctx, dentry->inode, attr);

	if (!err)
		err = check_setattr(memfd, attr);
	if (!err && (attr->valid & ATTR_SIZE)) {
		err = pagecache_truncate(&memfd->pages, attr->size);
		if (!err)
			size_changed(memfd);
	}
	if (!err)
		setattr_copy(ctx, dentry->inode, attr);
	return err;
}

static int memfd_getattr(const struct op_ctx *ctx, const struct path *path, struct kstat *ret_stat,
			 uint32_t mask, unsigned flags)
{
	struct inode *inode = path->dentry->inode;

	(void)ctx, (void)mask, (void)flags;
	generic_fillattr(inode, ret_stat);
	if (inode_is_reg(inode))
		ret_stat->blocks = pagecache_blocks(&memfd_i(inode)->pages);
	return 0;
}

static const struct inode_ops memfd_inode_ops = {
	.setattr = memfd_setattr,
	.getattr = memfd_getattr,
};

/* ---- seals ---- */

int memfd_get_seals(struct file *file)
{
	int seals;

	if (file->op != &memfd_ops)
		return -EINVAL;
	inode_lock_shared(file->inode);
	seals = (int)memfd_i(file->inode)->seals;
	inode_unlock_shared(file->inode);
	return seals;
}

/* The host refuses while somebody has it mapped shared and writable: -EBUSY. */
static int seal_host(struct memfd_inode *memfd)
{
	long ret = HOST(fcntl(memfd->pages.memfd, F_ADD_SEALS, F_SEAL_WRITE));

	return ret < 0 ? (int)ret : 0;
}

int memfd_add_seals(struct file *file, unsigned seals)
{
	struct memfd_inode *memfd;
	int err = 0;

	if (file->op != &memfd_ops || (seals & ~SEALS_ALL))
		return -EINVAL;
	if (!(file->fmode & FMODE_WRITE))
		return -EPERM;
	memfd = memfd_i(file->inode);
	inode_lock(file->inode);
	if (memfd->seals & F_SEAL_SEAL)
		err = -EPERM;
	/* What stays executable must not change any more (cf. memfd_add_seals()). */
	if ((seals & F_SEAL_EXEC) && (memfd->inode.mode & 0111))
		seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
	if (!err && (seals & F_SEAL_WRITE) && !(memfd->seals & F_SEAL_WRITE))
		err = seal_host(memfd);
	if (!err)
		memfd->seals |= seals;
	inode_unlock(file->inode);
	return err;
}

/* ---- the internal file system ---- */

static int memfd_init_fs_context(struct fs_context *fc);

static struct filesystem_type memfd_type = {
	.name = "tmpfs", /* what Linux's memfds are on */
	.init_fs_context = memfd_init_fs_context,
};
static struct mount *memfd_mnt; /* set once; never dropped */
static pthread_once_t memfd_once = PTHREAD_ONCE_INIT;

static void memfd_free_inode(struct inode *inode)
{
	pagecache_destroy(&memfd_i(inode)->pages);
	free(memfd_i(inode));
}

static const struct superblock_ops memfd_sb_ops = {
	.free_inode = memfd_free_inode,
	.statfs = simple_statfs,
};

static char *memfd_dname(struct dentry *dentry)
{
	char *name;

	return asprintf(&name, "/%s (deleted)", dentry->name) < 0 ? NULL : name;
}

static const struct dentry_ops memfd_dentry_ops = {
	.dname = memfd_dname,
};

static struct memfd_inode *memfd_inode_new(const struct op_ctx *ctx, struct superblock *sb,
					   uint32_t mode)
{
	struct memfd_inode *memfd = calloc(1, sizeof(*memfd));

	if (!memfd)
		return NULL;
	inode_init(&memfd->inode, sb, mode, ctx->cred ? ctx->cred->fsuid : 0,
		   ctx->cred ? ctx->cred->fsgid : 0);
	memfd->inode.op = &memfd_inode_ops;
	memfd->inode.fop = &memfd_ops;
	memfd->inode.ino = inode_next_ino();
	pagecache_init(&memfd->pages);
	return memfd;
}

static int memfd_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb = superblock_new(&memfd_type, 0);
	struct memfd_inode *root;

	if (!sb)
		return -ENOMEM;
	sb->op = &memfd_sb_ops;
	sb->d_op = &memfd_dentry_ops;
	sb->magic = TMPFS_MAGIC;
	sb->blksize = 4096;
	sb->max_bytes = INT64_MAX;
	root = memfd_inode_new(ctx, sb, S_IFDIR | 0700);
	if (root)
		sb->root = dentry_make_root(sb, &root->inode);
	if (!sb->root) {
		inode_put(root ? &root->inode : NULL);
		superblock_put(sb);
		return -ENOMEM;
	}
	fc->root = dentry_get(sb->root);
	return 0;
}

static const struct fs_context_ops memfd_context_ops = {
	.get_tree = memfd_get_tree,
};

static int memfd_init_fs_context(struct fs_context *fc)
{
	fc->op = &memfd_context_ops;
	return 0;
}

static void memfd_setup(void)
{
	static const struct op_ctx no_task = {.fsize_limit = UINT64_MAX};
	struct fs_context *fc;

	if (fs_context_new(&memfd_type, 0, &fc))
		return;
	if (!fs_context_get_tree(&no_task, fc))
		(void)mount_create(fc, 0, &memfd_mnt);
	fs_context_free(fc);
}

/* ---- creation ---- */

/*
 * Only a memfd that may be sealed needs the host's from the start: the host must know before it
 * is mapped that seals are allowed. Others stay in plain memory while they are small.
 */
static int allow_sealing(struct memfd_inode *memfd)
{
	long fd = HOST(memfd_create("fusebox", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));

	if (fd == -EINVAL) /* before Linux 6.3 */
		fd = HOST(memfd_create("fusebox", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (fd < 0)
		return (int)fd;
	memfd->pages.memfd = (int)fd;
	memfd->seals = 0;
	return 0;
}

static int memfd_file(const struct op_ctx *ctx, struct memfd_inode *memfd, const char *name,
		      struct file **ret_file)
{
	char shown[sizeof("memfd:") + MEMFD_NAME_MAX];
	struct path path = {.mnt = memfd_mnt};
	int err;

	(void)snprintf(shown, sizeof(shown), "memfd:%s", name);
	path.dentry = dentry_make_anon(memfd_mnt->sb, &memfd->inode, shown);
	if (!path.dentry) {
		inode_put(&memfd->inode);
		return -ENOMEM;
	}
	err = file_new(ctx, &path, O_RDWR, ret_file);
	dentry_put(path.dentry);
	if (!err)
		/* Without a write access count: it may be executed while it is open. */
		(*ret_file)->fmode |= FMODE_OPENED;
	return err;
}

int memfd_new(const struct op_ctx *ctx, const char *name, unsigned flags, struct file **ret_file)
{
	uint32_t mode = flags & MFD_NOEXEC_SEAL ? 0666 : 0777;
	struct memfd_inode *memfd;
	int err;

	if ((flags & ~(unsigned)MEMFD_FLAGS) || strlen(name) > MEMFD_NAME_MAX)
		return -EINVAL;
	if ((flags & MFD_EXEC) && (flags & MFD_NOEXEC_SEAL))
		return -EINVAL;
	(void)pthread_once(&memfd_once, memfd_setup);
	if (!memfd_mnt)
		return -ENOMEM;
	memfd = memfd_inode_new(ctx, memfd_mnt->sb, S_IFREG | mode);
	if (!memfd)
		return -ENOMEM;
	memfd->inode.nlink = 0;
	memfd->seals = F_SEAL_SEAL;
	if (flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) {
		err = allow_sealing(memfd);
		if (err) {
			inode_put(&memfd->inode);
			return err;
		}
	}
	if (flags & MFD_NOEXEC_SEAL)
		memfd->seals |= F_SEAL_EXEC;
	return memfd_file(ctx, memfd, name, ret_file);
}

static const struct file_ops memfd_ops = {
	.read_iter = memfd_read_iter,
	.write_iter = memfd_write_iter,
	.llseek = memfd_llseek,
	.mmap = memfd_mmap,
	.fsync = memfd_fsync,
	.fallocate = memfd_fallocate,
	.nowait = true,
};

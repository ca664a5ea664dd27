/*
 * Open file descriptions: birth by path or without one, opening, death.
 *
 * Files without a name (pipes, sockets, eventfds) live on internal file systems that no tree
 * shows, one for each magic number that fstatfs(2) may answer with. They are set up by the first
 * file that needs them and stay.
 */
#include "vfs/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file/epoll.h"
#include "vfs/inode.h"
#include "vfs/lock.h"
#include "vfs/mapped.h"
#include "vfs/superblock.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif
#ifndef SOCKFS_MAGIC
#define SOCKFS_MAGIC 0x534F434B
#endif
#ifndef ANON_INODE_FS_MAGIC
#define ANON_INODE_FS_MAGIC 0x09041934
#endif

/* For methods of a file whose last holder is no task. */
static const struct op_ctx no_task = { .fsize_limit = UINT64_MAX };
/* O_PATH: nothing can be done with it. */
static const struct file_ops path_ops = { .llseek = NULL };

static unsigned fmode_of(unsigned flags)
{
	if (flags & O_PATH)
		return FMODE_PATH;
	/* O_RDONLY 0, O_WRONLY 1, O_RDWR 2; 3 is an open for ioctl alone, open(2). */
	return ((flags & O_ACCMODE) + 1) & (FMODE_READ | FMODE_WRITE);
}

static struct file *file_alloc(const struct op_ctx *ctx, unsigned flags)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	ref_init(&file->ref);
	atomic_init(&file->flags, flags & ~(unsigned)O_CLOEXEC);
	file->fmode = fmode_of(flags);
	file->cred = ctx->cred ? cred_get(ctx->cred) : NULL;
	sleep_mutex_init(&file->pos_lock);
	fb_mutex_init(&file->lock, RANK_FILE);
	list_init(&file->epoll_items);
	return file;
}

int file_new(const struct op_ctx *ctx, const struct path *path, unsigned flags,
	     struct file **ret_file)
{
	struct file *file = file_alloc(ctx, flags);
	struct inode *inode = path->dentry->inode;

	if (!file)
		return -ENOMEM;
	path_get(path);
	file->path = *path;
	file->op = &path_ops;
	if (inode) { /* negative for atomic_open: file_finish_open() sets it */
		file->inode = inode_get(inode);
		if (!(file->fmode & FMODE_PATH) && inode->fop)
			file->op = inode->fop;
	}
	*ret_file = file;
	return 0;
}

static int take_write_access(const struct op_ctx *ctx, struct file *file)
{
	int err;

	if (!(file->fmode & FMODE_WRITE) || !inode_is_reg(file->inode))
		return 0;
	err = mapped_get_write_access(ctx, file->inode);
	if (!err)
		file->fmode |= FMODE_WRITER;
	return err;
}

static void drop_write_access(struct file *file)
{
	if (file->fmode & FMODE_WRITER)
		inode_put_write_access(file->inode);
	if (file->fmode & FMODE_DENYWRITE)
		inode_allow_write_access(file->inode);
	file->fmode &= ~(unsigned)(FMODE_WRITER | FMODE_DENYWRITE);
}

int file_do_open(const struct op_ctx *ctx, struct file *file)
{
	int err;

	fb_assert(file->inode && !(file->fmode & FMODE_OPENED));
	if (file->fmode & FMODE_PATH)
		return 0;
	if (!file->inode->fop)
		return -ENXIO;
	file->op = file->inode->fop;
	err = take_write_access(ctx, file);
	if (err)
		return err;
	if (file->op->open) {
		err = file->op->open(ctx, file->inode, file);
		if (err) {
			drop_write_access(file);
			return err;
		}
	}
	file->fmode |= FMODE_OPENED;
	if (file->op->no_position)
		file->fmode |= FMODE_STREAM;
	atomic_fetch_and(&file->flags, ~(unsigned)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC));
	return 0;
}

int file_finish_open(const struct op_ctx *ctx, struct file *file, struct dentry *dentry)
{
	struct dentry *old = file->path.dentry;

	fb_assert(dentry->inode);
	if (old != dentry) {
		file->path.dentry = dentry_get(dentry);
		dentry_put(old);
	}
	if (file->inode != dentry->inode) {
		struct inode *old_inode = file->inode;

		file->inode = inode_get(dentry->inode);
		inode_put(old_inode);
	}
	return file_do_open(ctx, file);
}

struct file *file_get(struct file *file)
{
	ref_get(&file->ref);
	return file;
}

/*
 * Does an epoll instance know the file? No new item can come: nobody holds the file any more. An
 * instance that is being closed may take its item off at this moment; list_del() is done with our
 * head once both of its pointers are back home.
 */
static bool has_epoll_items(struct file *file)
{
	const struct list_node *head = &file->epoll_items;

	return __atomic_load_n(&head->next, __ATOMIC_ACQUIRE) != head ||
	       __atomic_load_n(&head->prev, __ATOMIC_ACQUIRE) != head;
}

void file_put(struct file *file)
{
	if (!file || !ref_put(&file->ref))
		return;
	/* The order is that of __fput(). */
	if (has_epoll_items(file))
		epoll_release_file(file);
	if (file->inode && !(file->fmode & FMODE_PATH))
		locks_remove_file(file);
	if (file->fmode & FMODE_OPENED) {
		if ((atomic_load(&file->flags) & O_ASYNC) && file->op->fasync)
			(void)file->op->fasync(&no_task, file, false);
		if (file->op->release)
			file->op->release(&no_task, file);
	}
	drop_write_access(file);
	path_put(&file->path);
	inode_put(file->inode);
	if (file->cred)
		cred_put(file->cred);
	fb_mutex_destroy(&file->lock);
	free(file);
}

/* ---- files without a name ---- */

enum anon_kind { ANON_PIPE, ANON_SOCK, ANON_SHM, ANON_INODE, ANON_KINDS };

static int anon_init_fs_context(struct fs_context *fc);

struct anon_fs {
	struct filesystem_type type;
	uint64_t magic;
	struct mount *mnt; /* set once; never dropped */
};

static struct anon_fs anon_fs[ANON_KINDS] = {
	[ANON_PIPE] = { { .name = "pipefs", .init_fs_context = anon_init_fs_context },
			PIPEFS_MAGIC,
			NULL },
	[ANON_SOCK] = { { .name = "sockfs", .init_fs_context = anon_init_fs_context },
			SOCKFS_MAGIC,
			NULL },
	[ANON_SHM] = { { .name = "tmpfs", .init_fs_context = anon_init_fs_context },
		       TMPFS_MAGIC,
		       NULL },
	[ANON_INODE] = { { .name = "anon_inodefs", .init_fs_context = anon_init_fs_context },
			 ANON_INODE_FS_MAGIC,
			 NULL },
};
static pthread_once_t anon_once = PTHREAD_ONCE_INIT;

static void anon_free_inode(struct inode *inode)
{
	free(inode);
}

static const struct superblock_ops anon_sb_ops = {
	.free_inode = anon_free_inode,
	.statfs = simple_statfs,
};

/* The dentry's name is made when the file is: it never moves. */
static char *anon_dname(struct dentry *dentry)
{
	return strdup(dentry->name);
}

static const struct dentry_ops anon_dentry_ops = {
	.dname = anon_dname,
};

/* fchmod and fchown work on them as on any file. */
static const struct inode_ops anon_inode_ops = { .lookup = NULL };

static struct inode *anon_inode(struct superblock *sb, uint32_t mode, uid_t uid, gid_t gid)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode_init(inode, sb, mode, uid, gid);
	inode->op = &anon_inode_ops;
	inode->ino = inode_next_ino();
	return inode;
}

static int anon_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct anon_fs *fs = NULL;
	struct superblock *sb;
	struct inode *inode;
	int kind;

	(void)ctx;
	for (kind = 0; kind < ANON_KINDS; kind++)
		if (fc->type == &anon_fs[kind].type)
			fs = &anon_fs[kind];
	fb_assert(fs);
	sb = superblock_new(&fs->type, 0);
	if (!sb)
		return -ENOMEM;
	sb->op = &anon_sb_ops;
	sb->d_op = &anon_dentry_ops;
	sb->magic = fs->magic;
	sb->blksize = 4096;
	inode = anon_inode(sb, S_IFDIR | 0600, 0, 0);
	if (inode)
		sb->root = dentry_make_root(sb, inode);
	if (!sb->root) {
		inode_put(inode);
		superblock_put(sb);
		return -ENOMEM;
	}
	fc->root = dentry_get(sb->root);
	return 0;
}

static const struct fs_context_ops anon_context_ops = {
	.get_tree = anon_get_tree,
};

static int anon_init_fs_context(struct fs_context *fc)
{
	fc->op = &anon_context_ops;
	return 0;
}

static void anon_setup(void)
{
	struct fs_context *fc;
	int kind;

	for (kind = 0; kind < ANON_KINDS; kind++) {
		if (fs_context_new(&anon_fs[kind].type, 0, &fc))
			continue;
		if (!fs_context_get_tree(&no_task, fc))
			(void)mount_create(fc, 0, &anon_fs[kind].mnt);
		fs_context_free(fc);
	}
}

static enum anon_kind anon_kind_of(const char *name, uint32_t mode)
{
	if (S_ISFIFO(mode))
		return ANON_PIPE;
	if (S_ISSOCK(mode))
		return ANON_SOCK;
	return name[0] == '/' ? ANON_SHM : ANON_INODE;
}

/* What /proc/PID/fd shows. Never used as a format: parts of it may come from a guest. */
static char *anon_name(const char *name, uint64_t ino)
{
	const char *number = strstr(name, "%lu");
	char *ret = NULL;
	int n;

	if (name[0] == '/')
		return strdup(name);
	if (number)
		n = asprintf(&ret, "%.*s%lu%s", (int)(number - name), name, (unsigned long)ino,
			     number + 3);
	else
		n = asprintf(&ret, "anon_inode:[%s]", name);
	return n < 0 ? NULL : ret;
}

/* Its place: a counted mount and a dentry of its own. */
static int anon_place(const struct op_ctx *ctx, const char *name, uint32_t mode,
		      struct path *ret_path)
{
	struct mount *mnt = anon_fs[anon_kind_of(name, mode)].mnt;
	struct dentry *dentry = NULL;
	struct inode *inode;
	char *shown;

	if (!mnt)
		return -ENOMEM;
	inode = anon_inode(mnt->sb, mode, ctx->cred ? ctx->cred->fsuid : 0,
			   ctx->cred ? ctx->cred->fsgid : 0);
	if (!inode)
		return -ENOMEM;
	shown = anon_name(name, inode->ino);
	if (shown)
		dentry = dentry_make_anon(mnt->sb, inode, shown);
	free(shown);
	if (!dentry) {
		inode_put(inode);
		return -ENOMEM;
	}
	*ret_path = (struct path){ mount_get(mnt), dentry };
	return 0;
}

int file_new_anon(const struct op_ctx *ctx, const char *name, uint32_t mode,
		  const struct file_ops *op, void *private, unsigned flags, struct file **ret_file)
{
	struct file *file;
	int err;

	(void)pthread_once(&anon_once, anon_setup);
	file = file_alloc(ctx, flags);
	if (!file)
		return -ENOMEM;
	err = anon_place(ctx, name, mode, &file->path);
	if (err) {
		file_put(file);
		return err;
	}
	file->inode = inode_get(file->path.dentry->inode);
	file->op = op;
	file->private = private;
	file->fmode |= FMODE_OPENED;
	if (op->no_position)
		file->fmode |= FMODE_STREAM;
	*ret_file = file;
	return 0;
}

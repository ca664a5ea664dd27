/*
 * devpts: opening ptmx makes a terminal and its node N, closing the master removes the node.
 * Every mount without a shared superblock is an instance of its own, as in Linux today.
 */
#include "vfs/fs/devpts.h"

#include <asm/ioctls.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "vfs/attr.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/fs/pseudo.h"
#include "vfs/inode.h"
#include "vfs/namei.h"
#include "vfs/readdir.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"
#include "vfs/tty/tty.h"

#define PTS_MAX	      1024
#define PTS_MAJOR     136
#define ROOT_INO      1
#define PTMX_INO      2
#define FIRST_PTS_INO 3
#define PTMX_DEV      makedev(5, 2)
/* TIOCGPTPEER installs without the caller's limit at hand; this one is never exceeded. */
#define PEER_FD_LIMIT 65536

struct devpts_options {
	uid_t uid;
	gid_t gid;
	bool has_uid, has_gid;
	uint32_t mode, ptmx_mode;
	int max;
};

struct pts_inode {
	struct inode inode;
	struct tty *tty; /* counted; NULL for the root and ptmx */
};

struct devpts {
	struct fb_mutex lock;	       /* RANK_FS: guards the rest */
	struct devpts_options options; /* constant */
	struct inode *nodes[PTS_MAX];  /* counted; NULL = free number */
};

static const struct inode_ops devpts_root_iops, devpts_node_iops;
static const struct file_ops devpts_root_fops, ptmx_fops, pts_fops;

static struct pts_inode *pts_inode(const struct inode *inode)
{
	return container_of((struct inode *)(uintptr_t)inode, struct pts_inode, inode);
}

static struct inode *node_new(struct superblock *sb, uint32_t mode, uint64_t ino, uid_t uid,
			      gid_t gid)
{
	struct pts_inode *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	inode_init(&made->inode, sb, mode, uid, gid);
	made->inode.ino = ino;
	made->inode.nlink = S_ISDIR(mode) ? 2 : 1;
	return &made->inode;
}

/* ---- the directory ---- */

/* The inode behind a name, with a reference, or NULL. */
static struct inode *find_name(struct superblock *sb, const char *name)
{
	struct devpts *pts = sb->fs_info;
	struct inode *inode = NULL;
	int index;

	if (pseudo_parse_number(name, &index) || index >= PTS_MAX)
		return NULL;
	fb_mutex_lock(&pts->lock);
	if (pts->nodes[index])
		inode = inode_get(pts->nodes[index]);
	fb_mutex_unlock(&pts->lock);
	return inode;
}

static int devpts_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 unsigned flags, struct dentry **ret_alias)
{
	struct devpts *pts = dir->sb->fs_info;
	struct inode *inode;

	(void)ctx;
	(void)flags;
	(void)ret_alias;
	if (strcmp(dentry->name, "ptmx") == 0) {
		inode = node_new(dir->sb, S_IFCHR | pts->options.ptmx_mode, PTMX_INO, 0, 0);
		if (!inode)
			return -ENOMEM;
		inode->rdev = PTMX_DEV;
		inode->op = &devpts_node_iops;
		inode->fop = &ptmx_fops;
	} else {
		inode = find_name(dir->sb, dentry->name);
	}
	d_add(dentry, inode);
	return 0;
}

/* Nodes come and go without their names being touched. */
static int devpts_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			     unsigned flags)
{
	struct inode *inode = dentry->inode, *now;

	(void)ctx;
	(void)dir;
	(void)flags;
	if (!inode)
		return 0;
	if (!pts_inode(inode)->tty)
		return 1;
	now = find_name(inode->sb, dentry->name);
	inode_put(now);
	return now == inode;
}

static bool devpts_delete(const struct dentry *dentry)
{
	return !dentry->inode || pts_inode(dentry->inode)->tty;
}

static int devpts_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct devpts *pts = file->inode->sb->fs_info;
	char name[16];

	(void)ctx;
	if (dc->pos < 2 && !dir_emit_dots(file, dc))
		return 0;
	if (dc->pos == 2) {
		if (!dir_emit(dc, "ptmx", 4, PTMX_INO, DT_CHR))
			return 0;
		dc->pos++;
	}
	for (; dc->pos - 3 < PTS_MAX; dc->pos++) {
		int index = (int)(dc->pos - 3);
		bool used;

		fb_mutex_lock(&pts->lock);
		used = pts->nodes[index] != NULL;
		fb_mutex_unlock(&pts->lock);
		snprintf(name, sizeof(name), "%d", index);
		if (used &&
		    !dir_emit(dc, name, strlen(name), FIRST_PTS_INO + (uint64_t)index, DT_CHR))
			return 0;
	}
	return 0;
}

/* ---- ptmx: a new terminal ---- */

/* The inode of a terminal as its opener and the mount options want it. */
static struct inode *terminal_inode(const struct op_ctx *ctx, struct superblock *sb,
				    struct tty *tty)
{
	struct devpts *pts = sb->fs_info;
	const struct devpts_options *options = &pts->options;
	uid_t uid = options->has_uid ? options->uid : ctx->cred ? ctx->cred->fsuid : 0;
	gid_t gid = options->has_gid ? options->gid : ctx->cred ? ctx->cred->fsgid : 0;
	struct inode *inode = node_new(sb, S_IFCHR | options->mode,
				       FIRST_PTS_INO + (uint64_t)tty->index, uid, gid);

	if (!inode)
		return NULL;
	inode->rdev = tty->dev;
	inode->op = &devpts_node_iops;
	inode->fop = &pts_fops;
	pts_inode(inode)->tty = tty_get(tty);
	return inode;
}

/* Reserves the lowest free number for a new terminal and its node. */
static int terminal_make(const struct op_ctx *ctx, struct superblock *sb, struct tty **ret_tty)
{
	struct devpts *pts = sb->fs_info;
	struct inode *inode = NULL;
	struct tty *tty = NULL;
	int index, err = -ENOSPC;

	fb_mutex_lock(&pts->lock);
	for (index = 0; index < pts->options.max; index++)
		if (!pts->nodes[index])
			break;
	if (index < pts->options.max) {
		err = -ENOMEM;
		tty = tty_new(index, makedev(PTS_MAJOR, (unsigned)index));
		inode = tty ? terminal_inode(ctx, sb, tty) : NULL;
		if (inode) {
			pts->nodes[index] = inode;
			err = 0;
		}
	}
	fb_mutex_unlock(&pts->lock);
	if (err) {
		tty_put(tty);
		return err;
	}
	*ret_tty = tty;
	return 0;
}

static void terminal_remove(struct superblock *sb, int index)
{
	struct devpts *pts = sb->fs_info;
	struct inode *inode;

	fb_mutex_lock(&pts->lock);
	inode = pts->nodes[index];
	pts->nodes[index] = NULL;
	fb_mutex_unlock(&pts->lock);
	if (inode)
		inode_add_nlink(inode, -1);
	inode_put(inode);
}

/*
 * The root of the devpts that a ptmx node stands for: its own, or, for a node elsewhere, the one
 * mounted on "pts" beside it (cf. devpts_mntget()). Returns references.
 */
static int ptmx_root(const struct op_ctx *ctx, struct file *file, struct path *ret_root)
{
	struct path dir;
	int err;

	if (file->inode->sb->type == &devpts_type) {
		*ret_root = (struct path){file->path.mnt, file->inode->sb->root};
		path_get(ret_root);
		return 0;
	}
	dir.mnt = file->path.mnt;
	dir.dentry = dentry_get_parent(file->path.dentry);
	err = path_lookup(ctx, &dir, "pts", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, ret_root);
	dentry_put(dir.dentry);
	if (err)
		return -ENODEV;
	if (ret_root->dentry->sb->type == &devpts_type &&
	    ret_root->dentry->sb->root == ret_root->dentry)
		return 0;
	path_put(ret_root);
	return -ENODEV;
}

static int ptmx_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct path root;
	struct tty *tty;
	int err;

	(void)inode;
	err = ptmx_root(ctx, file, &root);
	if (err)
		return err;
	err = terminal_make(ctx, root.dentry->sb, &tty);
	if (err) {
		path_put(&root);
		return err;
	}
	tty->fs_root = root;
	file->op = &ptmx_fops;
	tty_master_attach(file, tty);
	return 0;
}

static void ptmx_release(const struct op_ctx *ctx, struct file *file)
{
	struct tty *tty = file->private;
	struct path root;

	(void)ctx;
	if (!tty)
		return;
	root = tty->fs_root;
	terminal_remove(root.dentry->sb, tty->index);
	tty_master_close(file);
	path_put(&root);
}

/* TIOCGPTPEER: opens the slave whatever the caller's mount namespace looks like. */
static long ptmx_open_peer(const struct op_ctx *ctx, struct tty *tty, uint64_t flags)
{
	struct file *file;
	struct path path;
	char name[16];
	int err;

	if (!ctx->files)
		return -EBADF;
	snprintf(name, sizeof(name), "%d", tty->index);
	err = path_lookup(ctx, &tty->fs_root, name, 0, &path);
	if (err)
		return err == -ENOENT ? -EIO : err;
	err = vfs_open_path(ctx, &path, (unsigned)flags & ~(unsigned)O_CLOEXEC, &file);
	path_put(&path);
	if (err)
		return err;
	err = fdtable_install(ctx->files, file, 0, PEER_FD_LIMIT, flags & O_CLOEXEC);
	if (err < 0)
		file_put(file);
	return err;
}

static long ptmx_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	if (cmd == TIOCGPTPEER)
		return ptmx_open_peer(ctx, file->private, arg);
	return tty_ioctl(ctx, file, cmd, arg);
}

/* ---- /dev/pts/N ---- */

static int pts_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	return tty_slave_attach(ctx, file, pts_inode(inode)->tty);
}

/* ---- superblock ---- */

static void devpts_free_inode(struct inode *inode)
{
	tty_put(pts_inode(inode)->tty);
	free(pts_inode(inode));
}

static void devpts_put_super(struct superblock *sb)
{
	free(sb->fs_info);
}

static int devpts_statfs(const struct op_ctx *ctx, struct dentry *dentry,
			 struct kstatfs *ret_statfs)
{
	(void)ctx;
	*ret_statfs = (struct kstatfs){
		.type = dentry->sb->magic, .bsize = 4096, .frsize = 4096, .namelen = 255};
	return 0;
}

static void devpts_show_options(struct superblock *sb, struct strbuf *out)
{
	const struct devpts_options *options = &((struct devpts *)sb->fs_info)->options;

	if (options->has_uid)
		strbuf_printf(out, ",uid=%u", options->uid);
	if (options->has_gid)
		strbuf_printf(out, ",gid=%u", options->gid);
	strbuf_printf(out, ",mode=%03o,ptmxmode=%03o", options->mode, options->ptmx_mode);
	if (options->max < PTS_MAX)
		strbuf_printf(out, ",max=%d", options->max);
}

static const struct superblock_ops devpts_sops = {
	.free_inode = devpts_free_inode,
	.statfs = devpts_statfs,
	.put_super = devpts_put_super,
	.show_options = devpts_show_options,
};

static const struct dentry_ops devpts_dops = {
	.revalidate = devpts_revalidate,
	.delete = devpts_delete,
};

static int parse_unsigned(const char *text, int base, unsigned max, unsigned *ret_value)
{
	unsigned long value;
	char *end;

	if (!text || !*text || *text == '-')
		return -EINVAL;
	value = strtoul(text, &end, base);
	if (*end || value > max)
		return -EINVAL;
	*ret_value = (unsigned)value;
	return 0;
}

static int devpts_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			      const struct fs_parameter *param)
{
	struct devpts_options *options = fc->fs_private;
	unsigned value = 0;
	int err = 0;

	(void)ctx;
	if (strcmp(param->key, "newinstance") == 0)
		return 0;
	if (strcmp(param->key, "uid") == 0) {
		err = parse_unsigned(param->string, 10, UINT32_MAX - 1, &value);
		options->uid = value;
		options->has_uid = true;
	} else if (strcmp(param->key, "gid") == 0) {
		err = parse_unsigned(param->string, 10, UINT32_MAX - 1, &value);
		options->gid = value;
		options->has_gid = true;
	} else if (strcmp(param->key, "mode") == 0) {
		err = parse_unsigned(param->string, 8, 07777, &value);
		options->mode = value & 0777;
	} else if (strcmp(param->key, "ptmxmode") == 0) {
		err = parse_unsigned(param->string, 8, 07777, &value);
		options->ptmx_mode = value & 0777;
	} else if (strcmp(param->key, "max") == 0) {
		err = parse_unsigned(param->string, 10, INT32_MAX, &value);
		options->max = value < PTS_MAX ? (int)value : PTS_MAX;
	} else {
		return -ENOPARAM;
	}
	if (err)
		fc_error(fc, "devpts: bad value for '%s'", param->key);
	return err;
}

static void devpts_context_free(struct fs_context *fc)
{
	free(fc->fs_private);
}

static int devpts_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb;
	struct devpts *pts;
	struct inode *root;

	(void)ctx;
	sb = superblock_new(&devpts_type, fc->sb_flags);
	pts = calloc(1, sizeof(*pts));
	root = sb && pts ? node_new(sb, S_IFDIR | 0755, ROOT_INO, 0, 0) : NULL;
	if (!root) {
		free(pts);
		if (sb)
			superblock_put(sb);
		return -ENOMEM;
	}
	fb_mutex_init(&pts->lock, RANK_FS);
	pts->options = *(struct devpts_options *)fc->fs_private;
	root->op = &devpts_root_iops;
	root->fop = &devpts_root_fops;
	sb->fs_info = pts;
	sb->magic = DEVPTS_SUPER_MAGIC;
	sb->blksize = 1024;
	sb->op = &devpts_sops;
	sb->d_op = &devpts_dops;
	sb->root = dentry_make_root(sb, root);
	if (!sb->root) {
		superblock_put(sb);
		return -ENOMEM;
	}
	fc->root = dentry_get(sb->root); /* with the sb reference that we hold */
	return 0;
}

static const struct fs_context_ops devpts_context_ops = {
	.free = devpts_context_free,
	.parse_param = devpts_parse_param,
	.get_tree = devpts_get_tree,
};

static int devpts_init_fs_context(struct fs_context *fc)
{
	struct devpts_options *options = calloc(1, sizeof(*options));

	if (!options)
		return -ENOMEM;
	options->mode = 0600;
	options->ptmx_mode = 0666;
	options->max = PTS_MAX;
	fc->fs_private = options;
	fc->op = &devpts_context_ops;
	return 0;
}

void devpts_devices_register(void)
{
	(void)chrdev_register(PTMX_DEV, NULL, 0666, &ptmx_fops);
}

struct filesystem_type devpts_type = {
	.name = "devpts",
	.fs_flags = FS_USERNS_MOUNT,
	.init_fs_context = devpts_init_fs_context,
};

static const struct inode_ops devpts_root_iops = {
	.lookup = devpts_lookup,
};

static const struct inode_ops devpts_node_iops = {
	.permission = NULL, /* the generic rules, for chown and chmod of a terminal as well */
};

static const struct file_ops devpts_root_fops = {
	.iterate = devpts_iterate,
	.llseek = generic_file_llseek,
};

static const struct file_ops ptmx_fops = {
	.open = ptmx_open,
	.read_iter = tty_master_read,
	.write_iter = tty_master_write,
	.poll = tty_master_poll,
	.ioctl = ptmx_ioctl,
	.release = ptmx_release,
	.nowait = true,
	.no_position = true,
};

static const struct file_ops pts_fops = {
	.open = pts_open,
};

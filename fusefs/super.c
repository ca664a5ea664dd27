/* The "fuse" file system type: mount options, superblock, statfs, unmount (matrix 7.1). */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

#include "devfuse/dev.h"
#include "devfuse/keep.h"
#include "devfuse/params.h"
#include "devfuse/registry.h"
#include "fusefs/fusefs.h"
#include "fusefs/fusefs_type.h"
#include "vfs/dentry.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/perm.h"
#include "vfs/strbuf.h"

struct fuse_options {
	struct fuse_dev *dev; /* counted; NULL while there is only its number */
	uint32_t fd;
	bool has_fd;
	uint32_t rootmode, user_id, group_id, max_read, blksize;
	bool has_rootmode, has_user_id, has_group_id, has_max_read;
	bool default_permissions, allow_other, keep;
};

static struct filesystem_type fuse_type, fuseblk_type;

/* --- options ------------------------------------------------------------------------------ */

static int parse_number(struct fs_context *fc, const struct fs_parameter *param, int base,
			uint32_t *ret_value)
{
	unsigned long value;
	char *end;

	if (param->type != FS_VALUE_STRING || !param->string[0] ||
	    !strchr("0123456789", param->string[0]))
		goto bad;
	errno = 0;
	value = strtoul(param->string, &end, base);
	if (*end || value > UINT32_MAX)
		goto bad;
	*ret_value = (uint32_t)value;
	return 0;
bad:
	fc_error(fc, "fuse: Bad value for '%s'", param->key);
	return -EINVAL;
}

static int set_dev(struct fuse_options *opts, struct file *file)
{
	struct fuse_dev *dev = fuse_dev_of(file);

	if (!dev)
		return -EINVAL;
	fuse_dev_put(opts->dev);
	opts->dev = dev;
	return 0;
}

/* A number, which is looked up when the superblock is made. */
static int parse_fd(struct fs_context *fc, struct fuse_options *opts,
		    const struct fs_parameter *param)
{
	int err = parse_number(fc, param, 0, &opts->fd);

	if (err)
		return err;
	fuse_dev_put(opts->dev);
	opts->dev = NULL;
	opts->has_fd = true;
	return 0;
}

static int find_dev(const struct op_ctx *ctx, struct fuse_options *opts)
{
	struct file *file;
	int err;

	if (opts->dev)
		return 0;
	if (!opts->has_fd || !ctx->files || opts->fd > INT_MAX)
		return -EINVAL;
	file = fdtable_file(ctx->files, (int)opts->fd);
	if (!file)
		return -EINVAL;
	err = set_dev(opts, file);
	file_put(file);
	return err;
}

/* -1 is no user. */
static int parse_id(struct fs_context *fc, const struct fs_parameter *param, uint32_t *ret_id,
		    bool *ret_given)
{
	int err = parse_number(fc, param, 0, ret_id);

	if (!err && *ret_id == UINT32_MAX) {
		fc_error(fc, "fuse: Invalid %cid '%s'", param->key[0], param->string);
		err = -EINVAL;
	}
	*ret_given = err == 0;
	return err;
}

/* source and subtype: not empty, and once. */
static int parse_name(struct fs_context *fc, const struct fs_parameter *param, char **slot)
{
	if (param->type != FS_VALUE_STRING || !param->string[0]) {
		fc_error(fc, "fuse: Bad value for '%s'", param->key);
		return -EINVAL;
	}
	if (*slot) {
		fc_error(fc, "fuse: Multiple %ss specified", param->key);
		return -EINVAL;
	}
	*slot = strdup(param->string);
	return *slot ? 0 : -ENOMEM;
}

static bool valid_rootmode(uint32_t mode)
{
	struct fuse_attr attr = {.mode = mode};

	return fuse_attr_valid(&attr);
}

static int parse_rootmode(struct fs_context *fc, struct fuse_options *opts,
			  const struct fs_parameter *param)
{
	int err = parse_number(fc, param, 8, &opts->rootmode);

	if (err)
		return err;
	if (!valid_rootmode(opts->rootmode)) {
		fc_error(fc, "fuse: Invalid rootmode");
		return -EINVAL;
	}
	opts->has_rootmode = true;
	return 0;
}

static int parse_flag(struct fs_context *fc, const struct fs_parameter *param, bool *ret_flag)
{
	if (param->type != FS_VALUE_FLAG) {
		fc_error(fc, "fuse: Unexpected value for '%s'", param->key);
		return -EINVAL;
	}
	*ret_flag = true;
	return 0;
}

static int fuse_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			    const struct fs_parameter *param)
{
	struct fuse_options *opts = fc->fs_private;
	const char *key = param->key;
	int err;

	(void)ctx;
	if (fc->reconfigure && !fc->one_by_one) /* M05: ignored, whatever it is */
		return 0;
	if (fc->reconfigure) {
		fc_error(fc, "fuse: No changes allowed in reconfigure");
		return -EINVAL;
	}
	if (strcmp(key, "source") == 0)
		return parse_name(fc, param, &fc->source);
	if (strcmp(key, "subtype") == 0)
		return parse_name(fc, param, &fc->subtype);
	if (strcmp(key, "fd") == 0)
		return parse_fd(fc, opts, param);
	if (strcmp(key, "rootmode") == 0)
		return parse_rootmode(fc, opts, param);
	if (strcmp(key, "default_permissions") == 0)
		return parse_flag(fc, param, &opts->default_permissions);
	if (strcmp(key, "keep") == 0)
		return parse_flag(fc, param, &opts->keep);
	if (strcmp(key, "allow_other") == 0)
		return parse_flag(fc, param, &opts->allow_other);
	if (strcmp(key, "user_id") == 0)
		return parse_id(fc, param, &opts->user_id, &opts->has_user_id);
	if (strcmp(key, "group_id") == 0)
		return parse_id(fc, param, &opts->group_id, &opts->has_group_id);
	if (strcmp(key, "max_read") == 0) {
		err = parse_number(fc, param, 0, &opts->max_read);
		opts->has_max_read = err == 0;
		return err;
	}
	if (strcmp(key, "blksize") == 0 && fc->type == &fuseblk_type)
		return parse_number(fc, param, 0, &opts->blksize);
	if (strcmp(key, "blksize") == 0) {
		fc_error(fc, "fuse: blksize only supported for fuseblk");
		return -EINVAL;
	}
	return -ENOPARAM;
}

static void fuse_free_context(struct fs_context *fc)
{
	struct fuse_options *opts = fc->fs_private;

	if (!opts)
		return;
	fuse_dev_put(opts->dev);
	free(opts);
}

/* --- the superblock ----------------------------------------------------------------------- */

static int fuse_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs)
{
	struct fuse_super *fs = fuse_sb(dentry->sb);
	struct fuse_kstatfs out;
	struct fuse_args args;
	ssize_t err;

	memset(ret_statfs, 0, sizeof(*ret_statfs));
	ret_statfs->type = FUSE_SUPER_MAGIC;
	if (!fuse_allowed(ctx, fs) || fuse_is_vacant_root(dentry->inode)) /* F41 */
		return 0;
	memset(&out, 0, sizeof(out));
	fuse_args_init(&args, FUSE_STATFS, dentry->inode);
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_send(ctx, dentry->inode, &args);
	if (err < 0)
		return (int)err;
	ret_statfs->bsize = out.bsize;
	ret_statfs->frsize = out.frsize;
	ret_statfs->blocks = out.blocks;
	ret_statfs->bfree = out.bfree;
	ret_statfs->bavail = out.bavail;
	ret_statfs->files = out.files;
	ret_statfs->ffree = out.ffree;
	ret_statfs->namelen = out.namelen;
	return 0;
}

static void fuse_umount_begin(struct superblock *sb)
{
	fuse_conn_abort(fuse_sb(sb)->conn, false);
}

/* Nobody could bring a new daemon. */
static void fuse_unmounted(struct superblock *sb)
{
	struct fuse_conn *conn = fuse_sb(sb)->conn;

	if (conn->vacant)
		fuse_conn_abort(conn, false);
}

static void fuse_put_super(struct superblock *sb)
{
	struct fuse_super *fs = fuse_sb(sb);

	if (!fs)
		return;
	fuse_conn_shutdown(fs->conn);
	fuse_bdi_drop_shares(fs);
	fb_mutex_destroy(&fs->poll_lock);
	free(fs);
}

static void fuse_show_options(struct superblock *sb, struct strbuf *out)
{
	struct fuse_super *fs = fuse_sb(sb);

	strbuf_printf(out, ",user_id=%u,group_id=%u", fs->user_id, fs->group_id);
	if (fs->default_permissions)
		strbuf_puts(out, ",default_permissions");
	if (fs->allow_other)
		strbuf_puts(out, ",allow_other");
	if (fs->conn->keep)
		strbuf_puts(out, ",keep");
	if (fs->max_read != UINT32_MAX)
		strbuf_printf(out, ",max_read=%u", fs->max_read);
}

/* F94: what is dirty here goes. There is no SYNCFS for a daemon that the kernel does not trust. */
static int fuse_sync_fs(const struct op_ctx *ctx, struct superblock *sb)
{
	mapped_sync_all(ctx, sb);
	return 0;
}

static const struct superblock_ops fuse_super_ops = {
	.free_inode = fuse_free_inode,
	.evict_inode = fuse_evict_inode,
	.statfs = fuse_statfs,
	.sync_fs = fuse_sync_fs,
	.encode_fh = fuse_encode_fh,
	.fh_to_inode = fuse_fh_to_inode,
	.fh_to_parent = fuse_fh_to_parent,
	.get_parent = fuse_get_parent,
	.umount_begin = fuse_umount_begin,
	.unmounted = fuse_unmounted,
	.put_super = fuse_put_super,
	.show_options = fuse_show_options,
};

static struct fuse_super *fuse_super_new(struct superblock *sb, const struct fuse_options *opts)
{
	struct fuse_super *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return NULL;
	fs->conn = fuse_conn_new(minor(sb->dev), &fusefs_conn_ops, sb);
	if (!fs->conn) {
		free(fs);
		return NULL;
	}
	fs->sb = sb;
	fs->conn->user_id = opts->user_id;
	fs->conn->group_id = opts->group_id;
	fs->conn->keep = opts->keep || atomic_load(&fuse_params.keep);
	fs->user_id = opts->user_id;
	fs->group_id = opts->group_id;
	atomic_init(&fs->default_permissions, opts->default_permissions);
	atomic_init(&fs->readahead_pages, fs->conn->max_readahead / FUSE_PAGE);
	fuse_bdi_init_shares(fs);
	fs->allow_other = opts->allow_other;
	fs->max_read = UINT32_MAX;
	if (opts->has_max_read)
		fs->max_read = opts->max_read < FUSE_PAGE ? FUSE_PAGE : opts->max_read;
	atomic_init(&fs->attr_version, 1);
	atomic_init(&fs->epoch, 1);
	sleep_mutex_init(&fs->revive_lock);
	fb_mutex_init(&fs->poll_lock, RANK_FS);
	list_init(&fs->polled);
	if (HOST(getrandom(fs->owner_key, sizeof(fs->owner_key), 0)) < 0)
		fs->owner_key[0] = (uint32_t)clock_monotonic_ns();
	return fs;
}

/* F01: a guess that the first use replaces. */
static int make_root(struct superblock *sb, uint32_t rootmode)
{
	struct fuse_attr attr = {.ino = FUSE_ROOT_ID, .mode = rootmode, .nlink = 1};
	struct inode *inode;
	int err = fuse_iget(sb, FUSE_ROOT_ID, 0, 0, &attr, 0, 0, 0, &inode);

	if (err)
		return err;
	sb->root = dentry_make_root(sb, inode);
	if (!sb->root) {
		inode_put(inode);
		return -ENOMEM;
	}
	return 0;
}

/* I09: nobody shall see a mount without a daemon. */
static int await_init(const struct op_ctx *ctx, struct fuse_conn *conn, struct fuse_dev *dev)
{
	int err = fuse_dev_attach(dev, conn);

	if (err)
		return err;
	fb_mutex_lock(&conn->lock);
	conn->init_sync = true;
	conn->init_by_admin = ctx_capable(ctx, CAP_SYS_ADMIN);
	fb_mutex_unlock(&conn->lock);
	fuse_registry_add(conn); /* so that it can be aborted */
	err = fuse_conn_send_init(conn);
	return err ? err : fuse_conn_wait_init(conn);
}

/* Nobody has seen the superblock yet. */
static int fill_super(const struct op_ctx *ctx, struct superblock *sb,
		      const struct fuse_options *opts)
{
	int err;

	sb->fs_info = fuse_super_new(sb, opts);
	if (!sb->fs_info)
		return -ENOMEM;
	sb->op = &fuse_super_ops;
	sb->d_op = &fuse_dentry_ops;
	sb->magic = FUSE_SUPER_MAGIC;
	sb->blksize = FUSE_PAGE;
	sb->name_max = FUSE_NAME_MAX;
	sb->max_bytes = INT64_MAX;
	sb->flags |= SB_NOATIME | SB_POSIXACL; /* F29; F54: the umask is our business */
	err = make_root(sb, opts->rootmode);
	if (!err && fuse_dev_sync_init(opts->dev))
		return await_init(ctx, fuse_sb(sb)->conn, opts->dev);
	if (!err)
		err = fuse_dev_attach(opts->dev, fuse_sb(sb)->conn);
	if (!err)
		err = fuse_conn_send_init(fuse_sb(sb)->conn); /* I08: answered later */
	if (!err || err == -ENOTCONN)
		fuse_registry_add(fuse_sb(sb)->conn);
	/* D04: the device was closed meanwhile; the mount comes up aborted. */
	return err == -ENOTCONN ? 0 : err;
}

/* M03: the descriptor is in use already: another mount of the same superblock. */
static int reuse_super(struct fs_context *fc, struct fuse_conn *conn)
{
	struct superblock *sb = fuse_conn_super(conn);

	fuse_conn_put(conn);
	if (!sb)
		return -ENOTCONN;
	fc->root = dentry_get(sb->root);
	free(fc->subtype); /* the first mount's stays */
	fc->subtype = NULL;
	return 0;
}

/* A kept mount without a daemon stands there, and the newcomer would mount the same. */
static bool can_adopt(const struct superblock *sb, const struct fuse_options *opts)
{
	const struct fuse_super *fs;

	if (!sb || sb->type != &fuse_type)
		return false;
	fs = fuse_sb(sb);
	return fs->conn->vacant && fs->user_id == opts->user_id && fs->group_id == opts->group_id &&
	       fs->default_permissions == opts->default_permissions &&
	       fs->allow_other == opts->allow_other &&
	       ((sb->root->inode->mode ^ opts->rootmode) & S_IFMT) == 0;
}

static int adopt_super(const struct op_ctx *ctx, struct fs_context *fc, struct fuse_dev *dev)
{
	struct fuse_conn *conn = fuse_sb(fc->over)->conn;
	int err;

	if (fuse_dev_sync_init(dev)) {
		fb_mutex_lock(&conn->lock);
		conn->init_sync = true;
		conn->init_by_admin = ctx_capable(ctx, CAP_SYS_ADMIN);
		fb_mutex_unlock(&conn->lock);
	}
	err = fuse_conn_adopt(conn, dev);
	if (!err && fuse_dev_sync_init(dev))
		err = fuse_conn_wait_init(conn);
	if (err)
		return err;
	superblock_get(fc->over);
	fc->root = dentry_get(fc->over->root);
	fc->adopted = true;
	return 0;
}

static int fuse_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct fuse_options *opts = fc->fs_private;
	struct fuse_conn *conn;
	struct superblock *sb;
	int err = find_dev(ctx, opts);

	if (err)
		return err;
	conn = fuse_dev_conn(opts->dev);
	if (conn) /* whatever else was said */
		return reuse_super(fc, conn);
	if (!opts->has_rootmode || !opts->has_user_id || !opts->has_group_id) /* M01 */
		return -EINVAL;
	if (fc->sb_flags & SB_MANDLOCK) /* M05 */
		return -EINVAL;
	if (can_adopt(fc->over, opts))
		return adopt_super(ctx, fc, opts->dev);
	sb = superblock_new((struct filesystem_type *)(uintptr_t)fc->type, fc->sb_flags);
	if (!sb)
		return -ENOMEM;
	err = fill_super(ctx, sb, opts);
	if (err) {
		superblock_put(sb);
		return err;
	}
	fc->root = dentry_get(sb->root);
	return 0;
}

static int fuse_reconfigure(const struct op_ctx *ctx, struct fs_context *fc)
{
	(void)ctx;
	return fc->sb_flags & SB_MANDLOCK ? -EINVAL : 0; /* M05 */
}

static const struct fs_context_ops fuse_context_ops = {
	.free = fuse_free_context,
	.parse_param = fuse_parse_param,
	.get_tree = fuse_get_tree,
	.reconfigure = fuse_reconfigure,
};

static const struct fs_context_ops fuseblk_context_ops = {
	.free = fuse_free_context,
	.parse_param = fuse_parse_param,
	.get_tree = fuseblk_get_tree,
};

static int fuse_init_fs_context(struct fs_context *fc)
{
	struct fuse_options *opts = calloc(1, sizeof(*opts));

	if (!opts)
		return -ENOMEM;
	fc->fs_private = opts;
	fc->op = fc->type == &fuseblk_type ? &fuseblk_context_ops : &fuse_context_ops;
	return 0;
}

static struct filesystem_type fuse_type = {
	.name = "fuse",
	.fs_flags = FS_HAS_SUBTYPE | FS_USERNS_MOUNT,
	.init_fs_context = fuse_init_fs_context,
};

static struct filesystem_type fuseblk_type = {
	.name = "fuseblk",
	.fs_flags = FS_HAS_SUBTYPE | FS_REQUIRES_DEV,
	.init_fs_context = fuse_init_fs_context,
};

int fusefs_init(void)
{
	filesystem_register(&fuseblk_type);
	filesystem_register(&fuse_type);
	fusectl_init();
	return fuse_bdi_init();
}

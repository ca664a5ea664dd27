/*
 * A tmpfs instance: its options and limits (tmpfs(5)), and the life of its inodes.
 *
 * Inodes are not in the superblock's table: nobody looks them up by number. An inode lives as long
 * as a directory entry, a dentry or an open file holds it.
 */
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/random.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/chrdev.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs/tmpfs.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"
#include "vfs/strbuf.h"

#define DEFAULT_MODE 01777u

/* ---- inodes ---- */

int tmpfs_reserve_inode(struct tmpfs_info *info)
{
	uint64_t max = __atomic_load_n(&info->max_inodes, __ATOMIC_RELAXED);
	uint64_t used = atomic_fetch_add(&info->inodes, 1);

	if (max != 0 && used >= max) {
		atomic_fetch_sub(&info->inodes, 1);
		return -ENOSPC;
	}
	return 0;
}

void tmpfs_release_inode(struct tmpfs_info *info)
{
	atomic_fetch_sub(&info->inodes, 1);
}

static void set_type(struct inode *inode, struct tmpfs_info *info)
{
	struct tmpfs_inode *ti = tmpfs_i(inode);

	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		inode->op = &tmpfs_file_inode_ops;
		inode->fop = &tmpfs_file_ops;
		pagecache_init(&ti->pages);
		ti->pages.limit = &info->blocks;
		break;
	case S_IFDIR:
		inode->op = &tmpfs_dir_inode_ops;
		inode->fop = &tmpfs_dir_ops;
		inode->nlink = 2;
		inode->size = 2 * TMPFS_DIRENT_SIZE;
		break;
	case S_IFLNK:
		inode->op = &tmpfs_link_inode_ops;
		break;
	default:
		inode->op = &tmpfs_special_inode_ops;
		inode->fop = special_fops(inode->mode);
		break;
	}
}

int tmpfs_inode_new(const struct op_ctx *ctx, struct superblock *sb, struct inode *dir,
		    uint32_t mode, dev_t rdev, struct inode **ret_inode)
{
	struct tmpfs_info *info = tmpfs_info(sb);
	struct acl *acls[ACL_TYPES] = { NULL };
	struct tmpfs_inode *ti;
	int err = tmpfs_reserve_inode(info);

	if (err)
		return err;
	if ((mode & S_IFMT) == 0)
		mode |= S_IFREG;
	ti = calloc(1, sizeof(*ti));
	if (!ti) {
		tmpfs_release_inode(info);
		return -ENOMEM;
	}
	err = dir ? acl_create(ctx, dir, &mode, acls) : 0;
	if (err) {
		free(ti);
		tmpfs_release_inode(info);
		return err;
	}
	inode_init_owner(&ti->inode, ctx, sb, dir, mode);
	ti->inode.ino = atomic_fetch_add(&info->last_ino, 1) + 1;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		ti->inode.rdev = rdev;
	set_type(&ti->inode, info);
	err = tmpfs_acl_init(&ti->inode, acls);
	if (err)
		inode_put(&ti->inode);
	else
		*ret_inode = &ti->inode;
	return err;
}

static void tmpfs_free_inode(struct inode *inode)
{
	free(tmpfs_i(inode));
}

/* Moves the inodes that a dying directory holds onto the list of the doomed. */
static void doom_children(struct tmpfs_info *info, struct tmpfs_inode *ti)
{
	size_t n;

	for (n = 0; n < ti->dir.nr_order; n++) {
		struct tmpfs_dirent *dirent = ti->dir.order[n].dirent;
		struct tmpfs_inode *child;

		if (!dirent)
			continue;
		child = tmpfs_i(dirent->inode);
		if (child->doomed_next) {
			/* A hard link of one on the list: not the last reference. */
			inode_put(&child->inode);
		} else {
			child->doomed_next = info->doomed ? info->doomed : child;
			info->doomed = child;
		}
		dirent_free(dirent);
	}
	ti->dir.nr = 0;
}

/*
 * A directory with entries is evicted only when its file system goes away: then its children go
 * with it, and theirs. One at a time from a list, because a guest decides how deep the tree is and
 * the stack is ours. The outermost call drains the list; the calls below it only add.
 */
static void evict_dir(struct tmpfs_info *info, struct tmpfs_inode *ti)
{
	fb_mutex_lock(&info->lock);
	doom_children(info, ti);
	if (info->dooming) {
		fb_mutex_unlock(&info->lock);
		return;
	}
	info->dooming = true;
	while (info->doomed) {
		struct tmpfs_inode *child = info->doomed;

		/* The last one on the list points to itself, so that all are marked. */
		info->doomed = child->doomed_next == child ? NULL : child->doomed_next;
		child->doomed_next = NULL;
		fb_mutex_unlock(&info->lock);
		inode_put(&child->inode);
		fb_mutex_lock(&info->lock);
	}
	info->dooming = false;
	fb_mutex_unlock(&info->lock);
}

static void tmpfs_evict_inode(struct inode *inode)
{
	struct tmpfs_info *info = tmpfs_info(inode->sb);
	struct tmpfs_inode *ti = tmpfs_i(inode);

	if (inode_is_reg(inode)) {
		pagecache_destroy(&ti->pages);
	} else if (inode_is_dir(inode)) {
		if (ti->dir.nr > 0)
			evict_dir(info, ti);
		dirtable_free(&ti->dir);
	} else if (inode_is_lnk(inode) && ti->target) {
		if (strlen(ti->target) >= TMPFS_LONG_LINK)
			pagecache_limit_uncharge(&info->blocks, PAGECACHE_PAGE);
		free(ti->target);
	}
	pagecache_limit_uncharge(&info->blocks, ti->xattrs.total);
	simple_xattrs_free(&ti->xattrs);
	tmpfs_acl_free(inode);
	tmpfs_release_inode(info);
}

/* ---- the instance ---- */

static int tmpfs_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs)
{
	struct tmpfs_info *info = tmpfs_info(dentry->sb);
	uint64_t max = __atomic_load_n(&info->blocks.max, __ATOMIC_RELAXED) / PAGECACHE_PAGE;
	uint64_t used = (atomic_load(&info->blocks.used) + PAGECACHE_PAGE - 1) / PAGECACHE_PAGE;
	uint64_t max_inodes = __atomic_load_n(&info->max_inodes, __ATOMIC_RELAXED);
	uint64_t inodes = atomic_load(&info->inodes);

	(void)ctx;
	ret_statfs->type = TMPFS_MAGIC;
	ret_statfs->bsize = ret_statfs->frsize = PAGECACHE_PAGE;
	ret_statfs->namelen = TMPFS_NAME_MAX;
	/* Without a limit there is nothing to tell: zeros, as in shmem_statfs(). */
	ret_statfs->blocks = max;
	ret_statfs->bfree = ret_statfs->bavail = used < max ? max - used : 0;
	ret_statfs->files = max_inodes;
	ret_statfs->ffree = inodes < max_inodes ? max_inodes - inodes : 0;
	return 0;
}

static void tmpfs_put_super(struct superblock *sb)
{
	struct tmpfs_info *info = tmpfs_info(sb);

	if (!info)
		return;
	fb_mutex_destroy(&info->lock);
	free(info);
	sb->fs_info = NULL;
}

/* cf. shmem_show_options() */
static void tmpfs_show_options(struct superblock *sb, struct strbuf *out)
{
	const struct tmpfs_info *info = tmpfs_info(sb);
	uint64_t size = __atomic_load_n(&info->blocks.max, __ATOMIC_RELAXED);
	uint64_t inodes = __atomic_load_n(&info->max_inodes, __ATOMIC_RELAXED);

	if (size != info->default_size)
		strbuf_printf(out, ",size=%luk", (unsigned long)(size / 1024));
	if (inodes != info->default_inodes)
		strbuf_printf(out, ",nr_inodes=%lu", (unsigned long)inodes);
	if (info->root_mode != DEFAULT_MODE)
		strbuf_printf(out, ",mode=%03o", info->root_mode);
	if (info->root_uid != 0)
		strbuf_printf(out, ",uid=%u", info->root_uid);
	if (info->root_gid != 0)
		strbuf_printf(out, ",gid=%u", info->root_gid);
	strbuf_puts(out, ",inode64");
}

static const struct superblock_ops tmpfs_sb_ops = {
	.free_inode = tmpfs_free_inode,
	.evict_inode = tmpfs_evict_inode,
	.statfs = tmpfs_statfs,
	.encode_fh = tmpfs_encode_fh,
	.fh_to_inode = tmpfs_fh_to_inode,
	.get_parent = tmpfs_get_parent,
	.get_name = tmpfs_get_name,
	.put_super = tmpfs_put_super,
	.show_options = tmpfs_show_options,
};

/* ---- options ---- */

struct tmpfs_options {
	uint64_t size, nr_inodes; /* bytes; 0 = no limit */
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	bool has_size, has_inodes, has_uid, has_gid;
};

static uint64_t host_ram(void)
{
	struct sysinfo info;

	if (sysinfo(&info) != 0)
		return UINT64_C(1) << 30;
	return (uint64_t)info.totalram * info.mem_unit;
}

/* A number with k, m, g, t or p behind it (cf. memparse()); *ret_end is what follows. */
static int parse_number(const char *s, int base, bool suffix, uint64_t *ret, const char **ret_end)
{
	static const char suffixes[] = "kmgtpe";
	unsigned shift = 0;
	const char *found;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	*ret = strtoull(s, &end, base);
	if (suffix && *end != '\0') {
		found = strchr(suffixes, *end | 0x20);
		if (found && *found) {
			shift = 10 * (unsigned)(found - suffixes + 1);
			end++;
		}
	}
	if (shift && *ret > UINT64_MAX >> shift)
		return -EINVAL;
	*ret <<= shift;
	*ret_end = end;
	return 0;
}

static int parse_size(const char *s, uint64_t *ret)
{
	const char *end;
	int err = parse_number(s, 0, true, ret, &end);

	if (err)
		return err;
	if (*end == '%') { /* of the memory of the machine */
		if (*ret > 100)
			return -EINVAL;
		*ret = host_ram() / 100 * *ret;
		end++;
	}
	if (*end != '\0' || *ret > INT64_MAX - PAGECACHE_PAGE)
		return -EINVAL;
	*ret = (*ret + PAGECACHE_PAGE - 1) / PAGECACHE_PAGE * PAGECACHE_PAGE;
	return 0;
}

static int parse_whole(const char *s, int base, bool suffix, uint64_t max, uint64_t *ret)
{
	const char *end;
	int err = parse_number(s, base, suffix, ret, &end);

	return err ? err : *end != '\0' || *ret > max ? -EINVAL : 0;
}

static int parse_known(struct tmpfs_options *opts, const char *key, const char *value)
{
	uint64_t n = 0;
	int err;

	if (strcmp(key, "size") == 0) {
		err = parse_size(value, &opts->size);
		opts->has_size = true;
	} else if (strcmp(key, "nr_blocks") == 0) {
		err = parse_whole(value, 0, true, INT64_MAX / PAGECACHE_PAGE, &n);
		opts->size = n * PAGECACHE_PAGE;
		opts->has_size = true;
	} else if (strcmp(key, "nr_inodes") == 0) {
		err = parse_whole(value, 0, true, INT64_MAX, &opts->nr_inodes);
		opts->has_inodes = true;
	} else if (strcmp(key, "mode") == 0) {
		err = parse_whole(value, 8, false, UINT32_MAX, &n);
		opts->mode = (uint32_t)n & 07777;
	} else if (strcmp(key, "uid") == 0) {
		err = parse_whole(value, 10, false, UINT32_MAX - 1, &n);
		opts->uid = (uid_t)n;
		opts->has_uid = true;
	} else if (strcmp(key, "gid") == 0) {
		err = parse_whole(value, 10, false, UINT32_MAX - 1, &n);
		opts->gid = (gid_t)n;
		opts->has_gid = true;
	} else {
		err = -ENOPARAM;
	}
	return err;
}

/* Known to Linux and without meaning here. */
static bool is_ignored(const char *key)
{
	static const char *const keys[] = { "huge", "mpol", "inode32", "inode64", "noswap" };
	size_t n;

	for (n = 0; n < sizeof(keys) / sizeof(keys[0]); n++)
		if (strcmp(key, keys[n]) == 0)
			return true;
	return false;
}

static int tmpfs_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			     const struct fs_parameter *param)
{
	int err;

	(void)ctx;
	if (is_ignored(param->key))
		return 0;
	err = parse_known(fc->fs_private, param->key,
			  param->type == FS_VALUE_STRING ? param->string : "");
	if (err == -EINVAL)
		fc_error(fc, "tmpfs: Bad value for '%s'", param->key);
	return err;
}

static int tmpfs_fill_super(const struct op_ctx *ctx, struct superblock *sb,
			    const struct tmpfs_options *opts)
{
	struct tmpfs_info *info = calloc(1, sizeof(*info));
	uint64_t ram = host_ram();
	struct inode *root;
	int err;

	if (!info)
		return -ENOMEM;
	fb_mutex_init(&info->lock, RANK_FS);
	/* Half of the memory, and an inode for every second page of it, tmpfs(5). */
	info->default_size = ram / 2 / PAGECACHE_PAGE * PAGECACHE_PAGE;
	info->default_inodes = ram / 2 / PAGECACHE_PAGE;
	info->blocks.max = opts->has_size ? opts->size : info->default_size;
	info->max_inodes = opts->has_inodes ? opts->nr_inodes : info->default_inodes;
	(void)HOST(getrandom(&info->handle_seed, sizeof(info->handle_seed), 0));
	info->root_mode = opts->mode;
	info->root_uid = opts->has_uid ? opts->uid : ctx->cred->fsuid;
	info->root_gid = opts->has_gid ? opts->gid : ctx->cred->fsgid;
	sb->fs_info = info;
	sb->op = &tmpfs_sb_ops;
	sb->magic = TMPFS_MAGIC;
	sb->flags |= SB_POSIXACL;
	sb->blksize = PAGECACHE_PAGE;
	sb->max_bytes = INT64_MAX;
	sb->name_max = TMPFS_NAME_MAX;
	err = tmpfs_inode_new(ctx, sb, NULL, S_IFDIR | info->root_mode, 0, &root);
	if (err)
		return err;
	root->uid = info->root_uid;
	root->gid = info->root_gid;
	sb->root = dentry_make_root(sb, root);
	if (!sb->root) {
		inode_put(root);
		return -ENOMEM;
	}
	return 0;
}

static int tmpfs_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb = superblock_new(&tmpfs_fs_type, fc->sb_flags);
	int err;

	if (!sb)
		return -ENOMEM;
	err = tmpfs_fill_super(ctx, sb, fc->fs_private);
	if (err) {
		superblock_put(sb);
		return err;
	}
	fc->root = dentry_get(sb->root);
	return 0;
}

/* cf. shmem_reconfigure(): limits may change, but not below what is in use. */
static int tmpfs_reconfigure(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct tmpfs_info *info = tmpfs_info(fc->root->sb);
	const struct tmpfs_options *opts = fc->fs_private;

	(void)ctx;
	if (opts->has_size && opts->size != 0 && opts->size < atomic_load(&info->blocks.used)) {
		fc_error(fc, "tmpfs: Too small a size for current use");
		return -EINVAL;
	}
	if (opts->has_inodes && opts->nr_inodes != 0 &&
	    opts->nr_inodes < atomic_load(&info->inodes)) {
		fc_error(fc, "tmpfs: Too few inodes for current use");
		return -EINVAL;
	}
	if (opts->has_size)
		__atomic_store_n(&info->blocks.max, opts->size, __ATOMIC_RELAXED);
	if (opts->has_inodes)
		__atomic_store_n(&info->max_inodes, opts->nr_inodes, __ATOMIC_RELAXED);
	return 0;
}

static void tmpfs_free_context(struct fs_context *fc)
{
	free(fc->fs_private);
}

static const struct fs_context_ops tmpfs_context_ops = {
	.free = tmpfs_free_context,
	.parse_param = tmpfs_parse_param,
	.get_tree = tmpfs_get_tree,
	.reconfigure = tmpfs_reconfigure,
};

static int tmpfs_init_fs_context(struct fs_context *fc)
{
	struct tmpfs_options *opts = calloc(1, sizeof(*opts));

	if (!opts)
		return -ENOMEM;
	opts->mode = DEFAULT_MODE;
	fc->fs_private = opts;
	fc->op = &tmpfs_context_ops;
	return 0;
}

struct filesystem_type tmpfs_fs_type = {
	.name = "tmpfs",
	.fs_flags = FS_USERNS_MOUNT,
	.init_fs_context = tmpfs_init_fs_context,
};

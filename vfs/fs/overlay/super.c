/* Putting an overlay together and taking it apart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/lock.h"
#include "vfs/dentry.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/superblock.h"

static int ovl_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs)
{
	struct ovl_info *info = ovl_info(dentry->sb);
	uint64_t max = info->limit.max, used = atomic_load(&info->limit.used);

	(void)ctx;
	ret_statfs->type = OVL_SUPER_MAGIC;
	ret_statfs->bsize = ret_statfs->frsize = PAGECACHE_PAGE;
	ret_statfs->blocks = max / PAGECACHE_PAGE;
	ret_statfs->bfree = ret_statfs->bavail = (max > used ? max - used : 0) / PAGECACHE_PAGE;
	ret_statfs->files = max / OVL_NODE_BYTES;
	ret_statfs->ffree = (max > used ? max - used : 0) / OVL_NODE_BYTES;
	ret_statfs->namelen = 255;
	return 0;
}

static void ovl_put_super(struct superblock *sb)
{
	struct ovl_info *info = sb->fs_info;

	superblock_put(info->lower);
	superblock_put(info->upper);
	fb_mutex_destroy(&info->lock);
	free(info);
	sb->fs_info = NULL;
}

static const struct superblock_ops ovl_super_ops = {
	.free_inode = ovl_free_inode,
	.evict_inode = ovl_evict_inode,
	.statfs = ovl_statfs,
	.put_super = ovl_put_super,
};

/* Not registered: a guest cannot name layers. */
static struct filesystem_type ovl_type = {
	.name = "overlay",
};

/* What the upper layer may grow to. */
static uint64_t upper_limit(const struct op_ctx *ctx, struct superblock *upper)
{
	struct kstatfs st = {.bsize = 0};

	if (upper && upper->op && upper->op->statfs &&
	    upper->op->statfs(ctx, upper->root, &st) == 0 && st.blocks != 0 && st.bsize != 0)
		return st.blocks * st.bsize;
	return (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int make_root(struct superblock *sb, struct ovl_info *info)
{
	struct inode *inode;
	int err;

	err = ovl_iget(sb, inode_get(info->lower->root->inode), &inode);
	if (err)
		return err;
	info->root = inode;
	sb->root = dentry_make_root(sb, inode);
	if (!sb->root) {
		inode_put(inode);
		return -ENOMEM;
	}
	return 0;
}

int overlay_mount(const struct op_ctx *ctx, struct superblock *lower, struct superblock *upper,
		  struct superblock **ret_sb)
{
	struct ovl_info *info;
	struct superblock *sb;
	int err;

	if (!inode_is_dir(lower->root->inode))
		return -EINVAL;
	info = calloc(1, sizeof(*info));
	if (!info)
		return -ENOMEM;
	sb = superblock_new(&ovl_type, 0);
	if (!sb) {
		free(info);
		return -ENOMEM;
	}
	info->lower = superblock_get(lower);
	info->upper = upper ? superblock_get(upper) : NULL;
	info->cache_ns = hostfs_cache_ns(lower);
	info->limit.max = upper_limit(ctx, upper);
	fb_mutex_init(&info->lock, RANK_FS);
	list_init(&info->pins);
	sb->op = &ovl_super_ops;
	sb->d_op = &ovl_dops;
	sb->fs_info = info;
	sb->magic = OVL_SUPER_MAGIC;
	sb->source = strdup("overlay");
	err = make_root(sb, info);
	if (err) {
		superblock_put(sb); /* frees info */
		return err;
	}
	*ret_sb = sb;
	return 0;
}

/* Objects of the overlay: how they are found, how long they live, where attributes come from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/log.h"
#include "vfs/chrdev.h"
#include "vfs/ctx.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/superblock.h"

struct ovl_info *ovl_info(const struct superblock *sb)
{
	return sb->fs_info;
}

static void set_ops(struct inode *inode)
{
	inode->op = &ovl_file_iops;
	inode->fop = special_fops(inode->mode);
	if (inode_is_dir(inode)) {
		inode->op = &ovl_dir_iops;
		inode->fop = &ovl_dir_fops;
	} else if (inode_is_lnk(inode)) {
		inode->op = &ovl_symlink_iops;
	} else if (inode_is_reg(inode)) {
		inode->fop = &ovl_reg_fops;
	}
}

static struct ovl_inode *node_alloc(unsigned state)
{
	struct ovl_inode *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	atomic_init(&node->state, state);
	atomic_init(&node->charged, 0);
	sleep_mutex_init(&node->copy_lock);
	list_init(&node->pin_node);
	return node;
}

bool ovl_charge(struct ovl_inode *node, size_t bytes)
{
	if (!pagecache_limit_charge(&ovl_info(node->inode.sb)->limit, bytes))
		return false;
	atomic_fetch_add(&node->charged, bytes);
	return true;
}

/* Readers of mode, uid and gid take no lock: what is unchanged is not written either. */
static void set_u32(uint32_t *field, uint32_t value)
{
	if (*field != value)
		__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

void ovl_sync_attrs(struct inode *inode)
{
	struct ovl_inode *node = ovl_i(inode);
	struct inode *lower = node->lower;
	struct inode now;
	int64_t version;

	if (!lower || ovl_has(node, OVL_META))
		return;
	version = hostfs_attr_version(lower);
	if (version == atomic_load(&node->lower_version))
		return;
	/* Two attribute locks are never held at once: carry the values over. */
	fb_mutex_lock(&lower->attr_lock);
	now.mode = lower->mode;
	now.nlink = lower->nlink;
	now.uid = lower->uid;
	now.gid = lower->gid;
	now.size = lower->size;
	now.blocks = lower->blocks;
	now.atime = lower->atime;
	now.mtime = lower->mtime;
	now.ctime = lower->ctime;
	now.btime = lower->btime;
	fb_mutex_unlock(&lower->attr_lock);

	fb_mutex_lock(&inode->attr_lock);
	if (!ovl_has(node, OVL_META)) {
		set_u32(&inode->mode, now.mode);
		set_u32(&inode->nlink, now.nlink);
		set_u32(&inode->uid, now.uid);
		set_u32(&inode->gid, now.gid);
		inode->size = now.size;
		inode->blocks = now.blocks;
		inode->atime = now.atime;
		inode->mtime = now.mtime;
		inode->ctime = now.ctime;
		inode->btime = now.btime;
		atomic_store(&node->lower_version, version);
	}
	fb_mutex_unlock(&inode->attr_lock);
}

/* After chmod and the like the bytes are still the lower file's, and so is their number. */
static void refresh_size(struct inode *inode)
{
	struct ovl_inode *node = ovl_i(inode);
	struct inode *lower = node->lower;
	int64_t size;
	uint64_t blocks;

	if (!inode_is_reg(inode) || ovl_has(node, OVL_DATA) || hostfs_refresh(lower))
		return;
	fb_mutex_lock(&lower->attr_lock);
	size = lower->size;
	blocks = lower->blocks;
	fb_mutex_unlock(&lower->attr_lock);
	fb_mutex_lock(&inode->attr_lock);
	if (!ovl_has(node, OVL_DATA)) {
		inode->size = size;
		inode->blocks = blocks;
	}
	fb_mutex_unlock(&inode->attr_lock);
}

int ovl_refresh(struct inode *inode)
{
	struct ovl_inode *node = ovl_i(inode);
	int err;

	if (!node->lower)
		return 0;
	if (ovl_has(node, OVL_META)) {
		refresh_size(inode);
		return 0;
	}
	err = hostfs_refresh(node->lower);
	if (!err)
		ovl_sync_attrs(inode);
	return err;
}

/* An object that stands for a lower inode (takes the reference). */
static struct ovl_inode *node_of_lower(struct superblock *sb, struct inode *lower)
{
	struct ovl_inode *node = node_alloc(0);

	if (!node)
		return NULL;
	inode_init(&node->inode, sb, lower->mode, lower->uid, lower->gid);
	node->lower = lower;
	node->inode.ino = lower->ino;
	node->inode.rdev = lower->rdev;
	set_ops(&node->inode);
	ovl_sync_attrs(&node->inode);
	return node;
}

int ovl_iget(struct superblock *sb, struct inode *lower, struct inode **ret_inode)
{
	/* The object holds its lower inode, so the address is taken as long as the key is. */
	uint64_t key = (uint64_t)(uintptr_t)lower;
	struct ovl_inode *fresh = NULL;
	struct inode *found;
	int err = 0;

	while (!(found = inode_lookup(sb, key))) {
		if (!fresh)
			fresh = node_of_lower(sb, lower);
		if (!fresh) {
			err = -ENOMEM;
			break;
		}
		err = inode_hash(&fresh->inode, key);
		if (!err) {
			*ret_inode = &fresh->inode;
			return 0;
		}
		if (err != -EEXIST)
			break;
	}
	if (fresh)
		inode_put(&fresh->inode); /* and the lower reference with it */
	else
		inode_put(lower);
	if (!found)
		return err;
	ovl_sync_attrs(found);
	*ret_inode = found;
	return 0;
}

int ovl_new_inode(const struct op_ctx *ctx, struct superblock *sb, struct inode *dir, uint32_t mode,
		  dev_t rdev, struct inode **ret_inode)
{
	struct ovl_inode *node = node_alloc(OVL_META | OVL_DATA | OVL_XATTR | OVL_NOCAPS);
	struct ovl_info *info = ovl_info(sb);

	if (!node)
		return -ENOMEM;
	if (S_ISREG(mode)) {
		node->pages = malloc(sizeof(*node->pages));
		if (!node->pages) {
			free(node);
			return -ENOMEM;
		}
		pagecache_init(node->pages);
		node->pages->limit = &info->limit;
	}
	inode_init_owner(&node->inode, ctx, sb, dir, mode);
	node->inode.ino = OVL_UPPER_INO | inode_next_ino();
	node->inode.rdev = rdev;
	if (S_ISDIR(mode))
		node->inode.nlink = 2;
	set_ops(&node->inode);
	if (!ovl_charge(node, OVL_NODE_BYTES)) {
		inode_put(&node->inode);
		return -ENOSPC;
	}
	*ret_inode = &node->inode;
	return 0;
}

/* The root needs no pin: its dentry lives as long as the superblock. */
static bool needs_pin(struct inode *inode)
{
	return ovl_i(inode)->lower && inode != ovl_info(inode->sb)->root;
}

int ovl_pin(struct inode *inode)
{
	struct ovl_info *info = ovl_info(inode->sb);
	struct ovl_inode *node = ovl_i(inode);
	bool pinned;

	if (!needs_pin(inode))
		return 0;
	fb_mutex_lock(&info->lock);
	pinned = !list_empty(&node->pin_node);
	if (!pinned && ovl_charge(node, OVL_NODE_BYTES)) {
		list_add_tail(&info->pins, &node->pin_node);
		inode_get(inode);
		pinned = true;
	}
	fb_mutex_unlock(&info->lock);
	return pinned ? 0 : -ENOSPC;
}

void ovl_unpin(struct inode *inode)
{
	struct ovl_info *info = ovl_info(inode->sb);
	struct ovl_inode *node = ovl_i(inode);
	bool pinned;

	fb_mutex_lock(&info->lock);
	pinned = !list_empty(&node->pin_node);
	list_del(&node->pin_node);
	fb_mutex_unlock(&info->lock);
	if (pinned)
		inode_put(inode);
}

/* The superblock dies with its root: everything that only changes hold on to goes now. */
static void drop_pins(struct ovl_info *info)
{
	struct ovl_inode *node;

	fb_mutex_lock(&info->lock);
	while (!list_empty(&info->pins)) {
		node = list_first(&info->pins, struct ovl_inode, pin_node);
		list_del(&node->pin_node);
		fb_mutex_unlock(&info->lock);
		inode_put(&node->inode);
		fb_mutex_lock(&info->lock);
	}
	fb_mutex_unlock(&info->lock);
}

void ovl_evict_inode(struct inode *inode)
{
	struct ovl_info *info = ovl_info(inode->sb);
	struct ovl_inode *node = ovl_i(inode);
	struct ovl_table *table;

	if (inode == info->root)
		drop_pins(info);
	if (node->pages) {
		pagecache_destroy(node->pages);
		free(node->pages);
	}
	simple_xattrs_free(&node->xattrs);
	pagecache_limit_uncharge(&info->limit, atomic_load(&node->charged));
	fb_mutex_lock(&info->lock);
	table = node->table;
	node->table = NULL;
	fb_mutex_unlock(&info->lock);
	ovl_table_free(info, table);
	if (node->lower)
		inode_put(node->lower);
}

void ovl_free_inode(struct inode *inode)
{
	free(ovl_i(inode)->target);
	free(ovl_i(inode));
}

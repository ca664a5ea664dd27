/*
 * File system types and superblocks. A superblock lives as long as a mount, a file system context
 * or an unfinished set-up holds it; then its cached dentries and inodes go and put_super runs.
 *
 * Should somebody hold an inode a little longer (a cache shrinker in another thread that is about
 * to drop it), the superblock stays as a zombie until the last inode is gone, and ends there.
 */
#include "vfs/superblock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "vfs/dentry.h"
#include "vfs/dentry_internal.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

/* Filled at start-up, before there is a second thread. */
static struct list_node types = LIST_INIT(types);

void filesystem_register(struct filesystem_type *type)
{
	list_add_tail(&types, &type->node);
}

struct filesystem_type *filesystem_find(const char *name, size_t len)
{
	const char *dot = memchr(name, '.', len);
	size_t plain = dot ? (size_t)(dot - name) : len;
	struct filesystem_type *type;

	list_for_each (type, &types, node)
		if (strlen(type->name) == plain && !memcmp(type->name, name, plain))
			return dot && !(type->fs_flags & FS_HAS_SUBTYPE) ? NULL : type;
	return NULL;
}

struct filesystem_type *filesystem_next(struct filesystem_type *type)
{
	struct list_node *next = type ? type->node.next : types.next;

	return next == &types ? NULL : list_entry(next, struct filesystem_type, node);
}

/* Minor numbers of major 0; they come round after a million mounts (get_anon_bdev() reuses too). */
static dev_t new_anon_dev(void)
{
	static atomic_uint next = 20;

	return makedev(0, atomic_fetch_add(&next, 1) & 0xfffff);
}

struct superblock *superblock_new(struct filesystem_type *type, unsigned flags)
{
	struct superblock *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return NULL;
	ref_init(&sb->ref);
	atomic_init(&sb->live, 1);
	sb->type = type;
	sb->dev = new_anon_dev();
	sb->flags = flags;
	sb->blksize = 4096;
	sb->time_gran_ns = 1;
	sb->max_bytes = INT64_MAX;
	sb->name_max = 255;
	sleep_mutex_init(&sb->rename_lock);
	fb_mutex_init(&sb->inode_lock, RANK_ICACHE);
	list_init(&sb->inodes);
	return sb;
}

struct superblock *superblock_get(struct superblock *sb)
{
	ref_get(&sb->ref);
	return sb;
}

int superblock_sync(const struct op_ctx *ctx, struct superblock *sb)
{
	return sb->op && sb->op->sync_fs ? sb->op->sync_fs(ctx, sb) : 0;
}

void superblock_drop_live(struct superblock *sb)
{
	if (atomic_fetch_sub(&sb->live, 1) != 1)
		return;
	if (sb->op && sb->op->put_super)
		sb->op->put_super(sb);
	fb_mutex_destroy(&sb->inode_lock);
	free(sb->inode_hash);
	free(sb->source);
	free(sb->subtype);
	free(sb);
}

static void superblock_shutdown(struct superblock *sb)
{
	struct dentry *root = sb->root;

	fb_mutex_lock(&dcache_lock);
	sb->dying = true;
	fb_mutex_unlock(&dcache_lock);
	dcache_shrink_sb(sb);
	sb->root = NULL;
	dentry_put(root);
	superblock_drop_live(sb);
}

void superblock_put(struct superblock *sb)
{
	if (sb && ref_put(&sb->ref))
		superblock_shutdown(sb);
}

/* MNT_* and SB_* as statvfs(3) names them (cf. calculate_f_flags()). */
static uint64_t statfs_flags(const struct path *path)
{
	static const struct {
		unsigned mnt;
		uint64_t st;
	} map[] = {
		{MNT_READONLY, ST_RDONLY},   {MNT_NOSUID, ST_NOSUID},
		{MNT_NODEV, ST_NODEV},	     {MNT_NOEXEC, ST_NOEXEC},
		{MNT_NOATIME, ST_NOATIME},   {MNT_NODIRATIME, ST_NODIRATIME},
		{MNT_RELATIME, ST_RELATIME}, {MNT_NOSYMFOLLOW, 8192},
	};
	unsigned mnt_flags = path->mnt ? mount_flags(path->mnt) : 0;
	uint64_t flags = 0x20; /* ST_VALID */

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (mnt_flags & map[i].mnt)
			flags |= map[i].st;
	if (sb_flags(path->dentry->sb) & SB_RDONLY)
		flags |= ST_RDONLY;
	if (sb_flags(path->dentry->sb) & SB_SYNCHRONOUS)
		flags |= ST_SYNCHRONOUS;
	return flags;
}

int vfs_statfs(const struct op_ctx *ctx, const struct path *path, struct kstatfs *ret_statfs)
{
	struct superblock *sb = path->dentry->sb;
	struct kstatfs buf = {0};
	int err;

	if (!sb || !sb->op || !sb->op->statfs)
		return -ENOSYS;
	buf.type = sb->magic;
	buf.bsize = sb->blksize;
	buf.namelen = sb->name_max;
	buf.fsid = sb->dev;
	err = sb->op->statfs(ctx, path->dentry, &buf);
	if (err)
		return err;
	if (!buf.frsize)
		buf.frsize = buf.bsize;
	buf.flags = statfs_flags(path);
	*ret_statfs = buf;
	return 0;
}

int simple_statfs(const struct op_ctx *ctx, struct dentry *dentry, struct kstatfs *ret_statfs)
{
	(void)ctx;
	*ret_statfs = (struct kstatfs){
		.type = dentry->sb->magic,
		.bsize = 4096,
		.frsize = 4096,
		.namelen = 255,
	};
	return 0;
}

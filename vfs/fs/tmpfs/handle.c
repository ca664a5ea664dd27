/*
 * File handles of tmpfs: the inode's number, and a word that no other instance would give it. The
 * inode is there as long as it has a name; Linux has its dentry in memory, too, here it may have to
 * be made again.
 */
#include <string.h>
#include <xxhash.h>

#include "sentry/base/err.h"
#include "vfs/fs/tmpfs/tmpfs_internal.h"
#include "vfs/handle.h"

#define TMPFS_FILEID 1 /* as shmem_encode_fh() */

static uint32_t generation(const struct inode *inode)
{
	return (uint32_t)XXH3_64bits_withSeed(&inode->ino, sizeof(inode->ino),
					      tmpfs_info(inode->sb)->handle_seed);
}

int tmpfs_encode_fh(struct inode *inode, struct inode *parent, bool only_id,
		    struct vfs_handle *handle)
{
	bool room = handle->bytes >= 12;
	int err;

	(void)parent;
	(void)only_id;
	handle->bytes = 12;
	if (!room)
		return -EOVERFLOW;
	err = inode_hash(inode, inode->ino); /* now it can be found */
	if (err && err != -EEXIST)
		return err;
	handle->words[0] = generation(inode);
	handle->words[1] = (uint32_t)inode->ino;
	handle->words[2] = (uint32_t)(inode->ino >> 32);
	handle->type = TMPFS_FILEID;
	return 0;
}

int tmpfs_fh_to_inode(const struct op_ctx *ctx, struct superblock *sb,
		      const struct vfs_handle *handle, struct inode **ret_inode)
{
	struct inode *inode;

	(void)ctx;
	if (handle->bytes < 12)
		return -ESTALE;
	inode = inode_lookup(sb, (uint64_t)handle->words[2] << 32 | handle->words[1]);
	if (!inode)
		return -ESTALE;
	if (generation(inode) != handle->words[0]) {
		inode_put(inode);
		return -ESTALE;
	}
	*ret_inode = inode;
	return 0;
}

int tmpfs_get_parent(const struct op_ctx *ctx, struct inode *inode, struct inode **ret_parent)
{
	struct tmpfs_info *info = tmpfs_info(inode->sb);
	struct inode *home;

	(void)ctx;
	fb_mutex_lock(&info->lock);
	home = tmpfs_i(inode)->home;
	if (home)
		inode_get(home);
	fb_mutex_unlock(&info->lock);
	if (!home)
		return -ESTALE;
	*ret_parent = home;
	return 0;
}

int tmpfs_get_name(struct inode *dir, struct inode *child, char name[NAME_MAX + 1])
{
	struct tmpfs_info *info = tmpfs_info(dir->sb);
	const struct tmpfs_dirent *dirent;
	int64_t off = 0;
	int err = -ENOENT;

	fb_mutex_lock(&info->lock);
	while ((dirent = dirtable_next(&tmpfs_i(dir)->dir, off)) && dirent->inode != child)
		off = dirent->off + 1;
	if (dirent) {
		memcpy(name, dirent->name, dirent->len);
		name[dirent->len] = '\0';
		err = 0;
	}
	fb_mutex_unlock(&info->lock);
	return err;
}

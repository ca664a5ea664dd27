/*
 * File handles, cf. fs/exportfs/expfs.c. A handle leads to some dentry of its inode. An inode that
 * has none gets one without a place in the tree; a directory does not, because ".." leads on from
 * it: its handle is stale until somebody has walked there.
 */
#include "vfs/handle.h"

#include <errno.h>

#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

#define FILEID_INO64_GEN 0x81 /* number and generation: where the file system says nothing */

static int encode_number(struct inode *inode, struct vfs_handle *handle)
{
	bool room = handle->bytes >= 12;

	handle->bytes = 12;
	if (!room)
		return -EOVERFLOW;
	handle->words[0] = (uint32_t)inode->ino;
	handle->words[1] = (uint32_t)(inode->ino >> 32);
	handle->words[2] = 0;
	handle->type = FILEID_INO64_GEN;
	return 0;
}

int vfs_name_to_handle(const struct path *path, bool only_id, struct vfs_handle *handle)
{
	struct inode *inode = path->dentry->inode;
	const struct superblock_ops *op = inode->sb->op;

	if (op && op->encode_fh)
		return op->encode_fh(inode, only_id, handle);
	return only_id ? encode_number(inode, handle) : -EOPNOTSUPP;
}

/* Takes the inode. */
static int dentry_of(struct inode *inode, struct dentry **ret_dentry)
{
	struct dentry *dentry = d_find_alias(inode);

	if (!dentry && !inode_is_dir(inode)) {
		dentry = dentry_make_anon(inode->sb, inode, "/");
		if (!dentry) {
			inode_put(inode);
			return -ENOMEM;
		}
		*ret_dentry = dentry;
		return 0;
	}
	inode_put(inode);
	*ret_dentry = dentry;
	return dentry ? 0 : -ESTALE;
}

int vfs_handle_to_path(const struct op_ctx *ctx, struct mount *mnt, const struct vfs_handle *handle,
		       struct path *ret_path)
{
	struct superblock *sb = mnt->root->sb;
	struct path place = { mnt, NULL };
	struct inode *inode;
	int err;

	if (!sb->op || !sb->op->fh_to_inode)
		return -ESTALE;
	err = sb->op->fh_to_inode(ctx, sb, handle, &inode);
	if (!err)
		err = dentry_of(inode, &place.dentry);
	if (err)
		return err == -ENOMEM ? -ENOMEM : -ESTALE;
	path_get(&place); /* the mount's */
	dentry_put(place.dentry);
	*ret_path = place;
	return 0;
}

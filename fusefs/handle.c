/* File handles (F165): the node and its generation. */
#include <string.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"
#include "vfs/handle.h"

#define FILEID_INO64_GEN	0x81
#define FILEID_INO64_GEN_PARENT 0x82
#define HANDLE_SIZE		12

int fuse_encode_fh(struct inode *inode, bool only_id, struct vfs_handle *handle)
{
	struct fuse_inode *fi = fuse_i(inode);
	bool room = handle->bytes >= HANDLE_SIZE;

	if (!only_id && fuse_conn_has(fuse_conn_of(inode), FUSE_NO_EXPORT_SUPPORT))
		return -EOPNOTSUPP;
	handle->bytes = HANDLE_SIZE;
	if (!room)
		return -EOVERFLOW;
	handle->words[0] = (uint32_t)(fuse_nodeid(inode) >> 32);
	handle->words[1] = (uint32_t)fuse_nodeid(inode);
	handle->words[2] = (uint32_t)fi->generation;
	handle->type = FILEID_INO64_GEN;
	return 0;
}

/* The daemon is asked for a node that is not cached: LOOKUP of its own ".". */
static int look_up_node(const struct op_ctx *ctx, struct superblock *sb, uint64_t nodeid,
			struct inode **ret_inode)
{
	struct fuse_super *fs = fuse_sb(sb);
	uint64_t version = atomic_load(&fs->attr_version);
	uint64_t evicted = atomic_load(&fs->evict_count);
	struct fuse_entry_out out;
	struct fuse_args args;
	ssize_t err;

	if (!fuse_conn_has(fs->conn, FUSE_EXPORT_SUPPORT) || fs->conn->minor < 9)
		return -ESTALE;
	memset(&out, 0, sizeof(out));
	fuse_args_init(&args, FUSE_LOOKUP, NULL);
	args.nodeid = nodeid;
	fuse_args_name(&args, ".");
	fuse_args_out(&args, &out, sizeof(out));
	err = fuse_conn_call(fs->conn, ctx, &args);
	if (!err)
		err = fuse_inode_of_entry(sb, &out, args.incarnation, version, evicted, ret_inode);
	if (err || !*ret_inode)
		return err && err != -ENOENT ? (int)err : -ESTALE;
	if (out.nodeid == nodeid)
		return 0;
	inode_put(*ret_inode);
	return -EIO;
}

/* The name by which it is known is asked for again: the node may have moved meanwhile. */
static void expire_entry(struct inode *inode)
{
	struct dentry *dentry = d_find_alias(inode);

	if (dentry)
		fuse_entry_expire(dentry);
	dentry_put(dentry);
}

int fuse_fh_to_inode(const struct op_ctx *ctx, struct superblock *sb,
		     const struct vfs_handle *handle, struct inode **ret_inode)
{
	uint64_t nodeid = (uint64_t)handle->words[0] << 32 | handle->words[1];
	struct inode *inode;
	int err = 0;

	if ((handle->type != FILEID_INO64_GEN && handle->type != FILEID_INO64_GEN_PARENT) ||
	    handle->bytes < HANDLE_SIZE || nodeid == 0 ||
	    fuse_conn_has(fuse_sb(sb)->conn, FUSE_NO_EXPORT_SUPPORT))
		return -ESTALE;
	inode = fuse_find_inode(sb, nodeid);
	if (!inode)
		err = look_up_node(ctx, sb, nodeid, &inode);
	if (err)
		return err;
	if ((uint32_t)fuse_i(inode)->generation != handle->words[2]) {
		inode_put(inode);
		return -ESTALE;
	}
	if (nodeid != FUSE_ROOT_ID)
		expire_entry(inode);
	*ret_inode = inode;
	return 0;
}

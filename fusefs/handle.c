/* File handles (F165): the node and its generation. */
#include <string.h>

#include "fusefs/fusefs.h"
#include "vfs/dentry.h"
#include "vfs/handle.h"

#define FILEID_INO64_GEN	0x81
#define FILEID_INO64_GEN_PARENT 0x82
#define NODE_SIZE		12

static void put_node(const struct inode *inode, uint32_t *words)
{
	words[0] = (uint32_t)(fuse_nodeid(inode) >> 32);
	words[1] = (uint32_t)fuse_nodeid(inode);
	words[2] = (uint32_t)fuse_i(inode)->generation;
}

int fuse_encode_fh(struct inode *inode, struct inode *parent, bool only_id,
		   struct vfs_handle *handle)
{
	uint32_t size = parent ? 2 * NODE_SIZE : NODE_SIZE;
	bool room = handle->bytes >= size;

	if (!only_id && fuse_conn_has(fuse_conn_of(inode), FUSE_NO_EXPORT_SUPPORT))
		return -EOPNOTSUPP;
	handle->bytes = size;
	if (!room)
		return -EOVERFLOW;
	put_node(inode, handle->words);
	if (parent)
		put_node(parent, handle->words + 3);
	handle->type = parent ? FILEID_INO64_GEN_PARENT : FILEID_INO64_GEN;
	return 0;
}

static bool can_ask(const struct fuse_conn *conn)
{
	return fuse_conn_has(conn, FUSE_EXPORT_SUPPORT) && conn->minor >= 9;
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

	if (!can_ask(fs->conn))
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

static int node_of(const struct op_ctx *ctx, struct superblock *sb, const uint32_t *words,
		   struct inode **ret_inode)
{
	uint64_t nodeid = (uint64_t)words[0] << 32 | words[1];
	struct inode *inode;
	int err = 0;

	if (nodeid == 0 || fuse_conn_has(fuse_sb(sb)->conn, FUSE_NO_EXPORT_SUPPORT))
		return -ESTALE;
	inode = fuse_find_inode(sb, nodeid);
	if (!inode)
		err = look_up_node(ctx, sb, nodeid, &inode);
	if (err)
		return err;
	if ((uint32_t)fuse_i(inode)->generation != words[2]) {
		inode_put(inode);
		return -ESTALE;
	}
	if (nodeid != FUSE_ROOT_ID)
		expire_entry(inode);
	*ret_inode = inode;
	return 0;
}

int fuse_fh_to_inode(const struct op_ctx *ctx, struct superblock *sb,
		     const struct vfs_handle *handle, struct inode **ret_inode)
{
	if ((handle->type != FILEID_INO64_GEN && handle->type != FILEID_INO64_GEN_PARENT) ||
	    handle->bytes < NODE_SIZE)
		return -ESTALE;
	return node_of(ctx, sb, handle->words, ret_inode);
}

int fuse_fh_to_parent(const struct op_ctx *ctx, struct superblock *sb,
		      const struct vfs_handle *handle, struct inode **ret_inode)
{
	if (handle->type != FILEID_INO64_GEN_PARENT || handle->bytes < 2 * NODE_SIZE)
		return -ESTALE;
	return node_of(ctx, sb, handle->words + 3, ret_inode);
}

int fuse_get_parent(const struct op_ctx *ctx, struct inode *dir, struct inode **ret_parent)
{
	struct fuse_super *fs = fuse_of(dir);
	uint64_t version = fuse_attr_version(dir), evicted = atomic_load(&fs->evict_count);
	struct fuse_entry_out out;
	struct inode *parent = NULL;
	unsigned incarnation;
	int err;

	if (!can_ask(fs->conn))
		return -ESTALE;
	err = fuse_send_lookup(ctx, dir, "..", &out, &incarnation);
	if (!err)
		err = fuse_inode_of_entry(dir->sb, &out, incarnation, version, evicted, &parent);
	if (err || !parent)
		return err && err != -ENOENT ? err : -ESTALE;
	if (out.nodeid != FUSE_ROOT_ID)
		expire_entry(parent);
	*ret_parent = parent;
	return 0;
}

/* The backing files of a connection. */
#include "devfuse/backing.h"

#include <stdlib.h>
#include <sys/capability.h>

#include "devfuse/request.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

#define BACKINGS_MAX 65536 /* per connection; each holds a file of the sandbox */

void fuse_backing_put(struct fuse_backing *backing)
{
	if (!backing || !ref_put(&backing->ref))
		return;
	file_put(backing->file);
	cred_put(backing->cred);
	free(backing);
}

static int may_use(const struct op_ctx *ctx, const struct fuse_conn *conn)
{
	return fuse_conn_has(conn, FUSE_PASSTHROUGH) && ctx_capable(ctx, CAP_SYS_ADMIN) ? 0
											 : -EPERM;
}

/* lock held */
static struct fuse_backing *find(struct fuse_conn *conn, int32_t id)
{
	struct fuse_backing *backing;

	list_for_each (backing, &conn->backings, node)
		if (backing->id == id)
			return backing;
	return NULL;
}

/* Numbers go round, so that one that was closed is not soon another's. */
static int enter(struct fuse_conn *conn, struct fuse_backing *backing)
{
	int err = 0;

	fb_mutex_lock(&conn->lock);
	if (!conn->connected || conn->nr_backings >= BACKINGS_MAX) {
		err = conn->connected ? -ENOSPC : -ENOTCONN;
	} else {
		do
			conn->next_backing =
				conn->next_backing == INT32_MAX ? 1 : conn->next_backing + 1;
		while (find(conn, conn->next_backing));
		backing->id = conn->next_backing;
		conn->nr_backings++;
		list_add_tail(&conn->backings, &backing->node);
	}
	fb_mutex_unlock(&conn->lock);
	return err;
}

/* A file that may stand behind one of ours. Takes the reference of file. */
static long open_file(const struct op_ctx *ctx, struct fuse_conn *conn, struct file *file)
{
	struct fuse_backing *backing;
	int32_t id;
	int err = 0;

	if (!inode_is_reg(file->inode))
		err = inode_is_dir(file->inode) ? -EISDIR : -EINVAL;
	else if (file->inode->sb->stack_depth >= (int)conn->max_stack_depth)
		err = -ELOOP; /* no file may stand behind itself */
	backing = err ? NULL : calloc(1, sizeof(*backing));
	if (!backing) {
		file_put(file);
		return err ? err : -ENOMEM;
	}
	ref_init(&backing->ref);
	list_init(&backing->node);
	backing->file = file;
	backing->cred = cred_get(ctx->cred);
	err = enter(conn, backing);
	if (err) {
		fuse_backing_put(backing);
		return err;
	}
	id = backing->id;
	return id;
}

long fuse_backing_open(const struct op_ctx *ctx, struct fuse_conn *conn,
		       const struct fuse_backing_map *map)
{
	struct file *file;
	int err = may_use(ctx, conn);

	if (err)
		return err;
	if (map->flags || map->padding)
		return -EINVAL;
	file = ctx->files ? fdtable_file_raw(ctx->files, map->fd) : NULL;
	return file ? open_file(ctx, conn, file) : -EBADF;
}

long fuse_backing_close(const struct op_ctx *ctx, struct fuse_conn *conn, int32_t id)
{
	struct fuse_backing *backing;
	int err = may_use(ctx, conn);

	if (err)
		return err;
	if (id <= 0)
		return -EINVAL;
	fb_mutex_lock(&conn->lock);
	backing = find(conn, id);
	if (backing) {
		list_del(&backing->node);
		conn->nr_backings--;
	}
	fb_mutex_unlock(&conn->lock);
	if (!backing)
		return -ENOENT;
	fuse_backing_put(backing); /* files that are open already keep theirs */
	return 0;
}

struct fuse_backing *fuse_backing_get(struct fuse_conn *conn, int32_t id)
{
	struct fuse_backing *backing;

	fb_mutex_lock(&conn->lock);
	backing = find(conn, id);
	if (backing)
		ref_get(&backing->ref);
	fb_mutex_unlock(&conn->lock);
	return backing;
}

void fuse_backing_drop_all(struct fuse_conn *conn)
{
	struct list_node gone;

	list_init(&gone);
	fb_mutex_lock(&conn->lock);
	list_splice_tail(&gone, &conn->backings);
	conn->nr_backings = 0;
	fb_mutex_unlock(&conn->lock);
	while (!list_empty(&gone)) {
		struct fuse_backing *backing = list_first(&gone, struct fuse_backing, node);

		list_del(&backing->node);
		fuse_backing_put(backing);
	}
}

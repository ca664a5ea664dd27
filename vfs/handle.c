/*
 * File handles, cf. fs/exportfs/expfs.c. A handle leads to some dentry of its inode. An inode without
 * one gets a disconnected one. For a file that will do; ".." leads on from a directory, so its place
 * is looked for, and so is that of a file by a connectable handle: the file system tells the parent,
 * whose listing tells the name, and so on up to a directory that is in the tree.
 */
#include "vfs/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/attr.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei_internal.h"
#include "vfs/perm.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"

#define FILEID_INO64_GEN 0x81 /* number and generation: where the file system says nothing */
#define DEPTH_MAX	 (PATH_MAX / 2) /* the file system may name parents for ever */

/* --- encoding ----------------------------------------------------------------------------- */

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

static int encode_connectable(const struct path *path, struct vfs_handle *handle)
{
	struct inode *inode = path->dentry->inode;
	const struct superblock_ops *op = inode->sb->op;
	struct dentry *parent = NULL;
	int err;

	if (!op->fh_to_parent)
		return -EOPNOTSUPP;
	if (!inode_is_dir(inode))
		parent = dentry_get_parent(path->dentry);
	err = op->encode_fh(inode, parent ? parent->inode : NULL, false, handle);
	dentry_put(parent);
	if (!err)
		handle->type |= FILEID_IS_CONNECTABLE | (parent ? 0 : FILEID_IS_DIR);
	return err;
}

int vfs_name_to_handle(const struct path *path, enum handle_kind kind, struct vfs_handle *handle)
{
	struct inode *inode = path->dentry->inode;
	const struct superblock_ops *op = inode->sb->op;

	if (!op || !op->encode_fh)
		return kind == HANDLE_ID ? encode_number(inode, handle) : -EOPNOTSUPP;
	if (kind == HANDLE_CONNECTABLE)
		return encode_connectable(path, handle);
	return op->encode_fh(inode, NULL, kind == HANDLE_ID, handle);
}

/* --- decoding ----------------------------------------------------------------------------- */

struct opened_dir {
	struct opened_dir *next;
	struct file *file;
};

struct handle_walk {
	const struct op_ctx *ctx;
	const struct path *base;
	bool connectable;
	unsigned depth;
	/* Closed when all is over, as by Linux, whose fput() waits for the end of the call. */
	struct opened_dir *opened;
};

static struct file *open_dir(struct handle_walk *walk, struct dentry *dir, int *ret_err)
{
	struct path path = {walk->base->mnt, dir};
	struct opened_dir *opened = calloc(1, sizeof(*opened));

	*ret_err = opened ? dentry_open(walk->ctx, &path, O_RDONLY, &opened->file) : -ENOMEM;
	if (*ret_err) {
		free(opened);
		return NULL;
	}
	opened->next = walk->opened;
	walk->opened = opened;
	return opened->file;
}

static void close_dirs(struct handle_walk *walk)
{
	struct opened_dir *opened, *next;

	for (opened = walk->opened; opened; opened = next) {
		next = opened->next;
		file_put(opened->file);
		free(opened);
	}
}

struct name_search {
	struct dir_context dc;
	uint64_t ino;
	char *name;
	unsigned seen;
	bool found;
};

/* cf. filldir_one() */
static bool match_ino(struct dir_context *dc, const char *name, size_t len, int64_t off,
		      uint64_t ino, unsigned type)
{
	struct name_search *search = container_of(dc, struct name_search, dc);
	bool dots = name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));

	(void)off;
	(void)type;
	search->seen++;
	if (ino != search->ino || len > NAME_MAX || dots)
		return true;
	memcpy(search->name, name, len);
	search->name[len] = '\0';
	search->found = true;
	return false;
}

/* The name of `child` in `dir`. 0, -ENOENT, -errno. cf. get_name() */
static int get_name(struct handle_walk *walk, struct dentry *dir, struct dentry *child,
		    char name[NAME_MAX + 1])
{
	struct name_search search = {.dc = {.emit = match_ino}, .name = name};
	struct path path = {walk->base->mnt, child};
	struct kstat stat;
	struct file *file;
	int64_t from;
	int err;

	if (dir->sb->op->get_name)
		return dir->sb->op->get_name(dir->inode, child->inode, name);
	err = vfs_getattr(walk->ctx, &path, &stat, STATX_INO, 0);
	if (err)
		return err;
	search.ino = stat.ino;
	file = open_dir(walk, dir, &err);
	if (!file)
		return err;
	do { /* a listing that stands still has no end */
		from = file->pos;
		search.seen = 0;
		err = vfs_iterate(walk->ctx, file, &search.dc);
	} while (!err && !search.found && search.seen && file->pos != from);
	if (search.found)
		return 0;
	return err ? err : -ENOENT;
}

static int look_up(struct handle_walk *walk, struct dentry *dir, const char *name,
		   struct dentry **ret_dentry)
{
	struct qstr qname;
	int err = inode_permission(walk->ctx, dir->inode, MAY_EXEC);

	if (err)
		return err;
	qstr_init(&qname, name, strlen(name));
	return lookup_one(walk->ctx, dir, &qname, 0, ret_dentry);
}

/* The directory that this one is in, with a reference, disconnected in its turn or not. */
static int get_parent(struct handle_walk *walk, struct dentry *dentry, struct dentry **ret_parent)
{
	struct superblock *sb = dentry->sb;
	struct inode *inode;
	int err = -EACCES;

	if (++walk->depth > DEPTH_MAX)
		return -ESTALE;
	if (sb->op->get_parent)
		err = sb->op->get_parent(walk->ctx, dentry->inode, &inode);
	if (err)
		return err;
	if (!inode_is_dir(inode)) {
		inode_put(inode);
		return -ENOTDIR;
	}
	*ret_parent = d_obtain_alias(inode);
	return *ret_parent ? 0 : -ENOMEM;
}

/*
 * Gives a directory without a place one in its parent, by looking it up there. *ret_parent NULL:
 * somebody else has connected it meanwhile. cf. reconnect_one()
 */
static int reconnect_one(struct handle_walk *walk, struct dentry *dentry,
			 struct dentry **ret_parent)
{
	struct dentry *parent, *found = NULL;
	char name[NAME_MAX + 1];
	int err = get_parent(walk, dentry, &parent);

	if (err)
		return err;
	err = get_name(walk, parent, dentry, name);
	if (!err)
		err = look_up(walk, parent, name, &found);
	dentry_put(found); /* it is held by who called us, or not the one */
	if (!err && found == dentry) {
		*ret_parent = parent;
		return 0;
	}
	dentry_put(parent);
	if (err && err != -ENOENT)
		return err;
	*ret_parent = NULL;
	return d_is_connected(dentry) ? 0 : -ESTALE;
}

/* cf. reconnect_path() */
static int reconnect_path(struct handle_walk *walk, struct dentry *target)
{
	struct dentry *dentry = dentry_get(target), *parent = NULL;
	int err = 0;

	while (dentry_test(dentry, DENTRY_DISCONNECTED)) {
		parent = dentry_get_parent(dentry);
		if (parent == dentry) {
			dentry_put(parent);
			err = reconnect_one(walk, dentry, &parent);
		}
		if (err || !parent)
			break;
		dentry_put(dentry);
		dentry = parent;
	}
	dentry_put(dentry);
	if (!err)
		d_clear_disconnected(target);
	return err;
}

/* The directory that a file is in, with a reference: from its handle, or where that is known anyway. */
static int parent_of_file(struct handle_walk *walk, const struct vfs_handle *handle,
			  struct inode *file, struct inode **ret_dir)
{
	struct superblock *sb = file->sb;

	if (sb->op->get_name)
		return sb->op->get_parent(walk->ctx, file, ret_dir);
	if (!sb->op->fh_to_parent)
		return -ESTALE;
	return sb->op->fh_to_parent(walk->ctx, sb, handle, ret_dir);
}

/* A file whose known names will not do gets the one that it has in its directory. */
static int connect_file(struct handle_walk *walk, const struct vfs_handle *handle,
			struct dentry *dentry)
{
	struct dentry *dir, *found;
	char name[NAME_MAX + 1];
	struct inode *inode;
	int err = parent_of_file(walk, handle, dentry->inode, &inode);

	if (err)
		return err;
	dir = d_obtain_alias(inode);
	if (!dir)
		return -ENOMEM;
	err = reconnect_path(walk, dir);
	if (!err)
		err = get_name(walk, dir, dentry, name);
	if (!err)
		err = look_up(walk, dir, name, &found);
	dentry_put(dir);
	if (err)
		return err;
	if (found->inode != dentry->inode)
		err = -ESTALE;
	dentry_put(found);
	return err;
}

/* A file of a tree in memory is found under a name of it, if it still has one. */
static struct dentry *any_place(struct handle_walk *walk, const struct vfs_handle *handle,
				struct dentry *dentry)
{
	if (!dentry->sb->op->get_name || !dentry_test(dentry, DENTRY_DISCONNECTED) ||
	    connect_file(walk, handle, dentry))
		return dentry_get(dentry);
	return d_find_alias(dentry->inode);
}

/* The place that `dentry` stands for, with a reference. cf. exportfs_decode_fh_raw() */
static int find_place(struct handle_walk *walk, const struct vfs_handle *handle,
		      struct dentry *dentry, struct dentry **ret_place)
{
	struct inode *inode = dentry->inode;
	const struct dentry *top = walk->base->dentry;
	int err = 0;

	if (inode_is_dir(inode))
		err = reconnect_path(walk, dentry);
	if (err)
		return err;
	if (!walk->connectable) {
		*ret_place = any_place(walk, handle, dentry);
		return 0;
	}
	*ret_place = d_find_alias_below(inode, top);
	if (*ret_place || inode_is_dir(inode))
		return *ret_place ? 0 : -EACCES;
	err = connect_file(walk, handle, dentry);
	if (err)
		return err;
	*ret_place = d_find_alias_below(inode, top);
	return *ret_place ? 0 : -EACCES;
}

static int decode(struct handle_walk *walk, const struct vfs_handle *handle,
		  struct dentry **ret_place)
{
	struct superblock *sb = walk->base->mnt->root->sb;
	struct vfs_handle plain = *handle;
	struct dentry *dentry;
	struct inode *inode;
	int err;

	if (!sb->op || !sb->op->fh_to_inode)
		return -ESTALE;
	walk->connectable = (handle->type & FILEID_IS_CONNECTABLE) != 0;
	plain.type &= (int32_t)~FILEID_USER_FLAGS_MASK;
	err = sb->op->fh_to_inode(walk->ctx, sb, &plain, &inode);
	if (err)
		return err;
	dentry = d_obtain_alias(inode);
	if (!dentry)
		return -ENOMEM;
	if ((handle->type & FILEID_IS_DIR) && !inode_is_dir(dentry->inode))
		err = -ENOTDIR;
	else
		err = find_place(walk, &plain, dentry, ret_place);
	dentry_put(dentry);
	return err;
}

int vfs_open_by_handle(const struct op_ctx *ctx, const struct path *base,
		       const struct vfs_handle *handle, unsigned flags, struct file **ret_file)
{
	struct handle_walk walk = {.ctx = ctx, .base = base};
	struct path place = {base->mnt, NULL};
	int err = base->mnt ? decode(&walk, handle, &place.dentry) : -ESTALE;

	if (!err)
		err = vfs_open_path(ctx, &place, flags, ret_file);
	else if (err != -ENOMEM)
		err = -ESTALE;
	dentry_put(place.dentry);
	close_dirs(&walk);
	return err;
}

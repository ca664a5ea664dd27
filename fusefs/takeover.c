/*
 * The next daemon of a kept connection (devfuse/keep.h). It knows neither our nodeids nor our
 * handles, for an unmodified daemon starts with empty tables. But it shows the same tree. So what
 * is used is made known to it first: an inode by a LOOKUP of each name on the way to it from the
 * root, an open file by another OPEN with its flags. That is done when a request needs it, by the
 * client that sends it, with his credentials; nothing is asked for what nobody uses.
 *
 * A file that was unlinked while open has no path: it is lost with its daemon (ESTALE). So are the
 * locks that the daemon kept.
 *
 * A request that the old daemon had read may have been done, but not answered, and is done again:
 * read, write and the setting of attributes do not mind; those that make, remove and rename do.
 * Their second answer is seen in that light, as far as it tells.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "devfuse/defer.h"
#include "fusefs/fusefs.h"
#include "vfs/dentry.h"

/* --- inodes ------------------------------------------------------------------------------- */

/* In the daemon's own numbers, and for this daemon only: -EDAEMONDIED when it is dead. */
static int raw_lookup(const struct op_ctx *ctx, struct fuse_conn *conn, uint64_t dir,
		      unsigned incarnation, const char *name, struct fuse_entry_out *ret_out)
{
	struct fuse_args args;

	memset(ret_out, 0, sizeof(*ret_out));
	fuse_args_init(&args, FUSE_LOOKUP, NULL);
	args.nodeid = dir;
	args.incarnation = incarnation;
	fuse_args_name(&args, name);
	fuse_args_out(&args, ret_out, sizeof(*ret_out));
	return (int)fuse_conn_call(conn, ctx, &args);
}

static bool is_known(const struct inode *inode, unsigned incarnation)
{
	return fuse_nodeid(inode) == FUSE_ROOT_ID ||
	       atomic_load(&fuse_i(inode)->incarnation) == incarnation;
}

/* One step of the way; the daemon knows `dir`. */
static int revive_child(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			unsigned incarnation)
{
	struct inode *inode = dentry->inode;
	char *name = dentry_name(dentry);
	uint64_t version = fuse_attr_version(inode);
	struct fuse_entry_out out;
	int err;

	if (!name)
		return -ENOMEM;
	err = raw_lookup(ctx, fuse_conn_of(dir), fuse_nodeid(dir), incarnation, name, &out);
	free(name);
	if (err)
		return err == -ENOENT ? -ESTALE : err;
	if (out.nodeid == 0)
		return -ESTALE;
	if (out.nodeid == FUSE_ROOT_ID || !fuse_attr_valid(&out.attr) ||
	    ((inode->mode ^ out.attr.mode) & S_IFMT)) { /* another object has the name now */
		fuse_forget_one(dir->sb, out.nodeid, incarnation);
		return -ESTALE;
	}
	fuse_inode_rebind(inode, &out, incarnation);
	fuse_change_attributes(inode, &out.attr,
			       fuse_expiry_ns(out.attr_valid, out.attr_valid_nsec), version);
	return 0;
}

/* Names from the inode up to what the daemon knows, the nearest first; each counted. */
struct way {
	struct dentry **dentries;
	size_t nr, room;
	struct dentry *start; /* the daemon knows its inode */
};

static int way_add(struct way *way, struct dentry *dentry)
{
	if (way->nr == way->room) {
		size_t room = way->room ? way->room * 2 : 16;
		struct dentry **grown = realloc(way->dentries, room * sizeof(struct dentry *));

		if (!grown)
			return -ENOMEM;
		way->dentries = grown;
		way->room = room;
	}
	way->dentries[way->nr++] = dentry;
	return 0;
}

static int way_find(struct way *way, struct inode *inode, unsigned incarnation)
{
	struct dentry *at = d_find_alias(inode), *up;
	int err;

	if (!at)
		return -ESTALE;
	while (!is_known(at->inode, incarnation)) {
		err = d_unlinked(at) ? -ESTALE : way_add(way, at);
		if (err) {
			dentry_put(at);
			return err;
		}
		up = dentry_get_parent(at);
		if (up == at) { /* opened by its handle: has no path */
			dentry_put(at);
			return -ESTALE;
		}
		at = up;
	}
	way->start = at;
	return 0;
}

/* fs->revive_lock held. */
static int revive_locked(const struct op_ctx *ctx, struct inode *inode, unsigned incarnation)
{
	struct way way = {0};
	struct inode *dir;
	int err = is_known(inode, incarnation) ? 0 : way_find(&way, inode, incarnation);

	dir = way.start ? way.start->inode : NULL;
	for (size_t i = way.nr; !err && i > 0; i--) {
		err = revive_child(ctx, dir, way.dentries[i - 1], incarnation);
		dir = way.dentries[i - 1]->inode;
	}
	while (way.nr > 0)
		dentry_put(way.dentries[--way.nr]);
	dentry_put(way.start);
	free(way.dentries);
	return err;
}

static int revive_inode(const struct op_ctx *ctx, struct inode *inode, unsigned incarnation)
{
	struct fuse_super *fs = fuse_of(inode);
	int err;

	if (is_known(inode, incarnation))
		return 0;
	if (sleep_mutex_lock_killable(&fs->revive_lock))
		return -EINTR;
	err = revive_locked(ctx, inode, incarnation);
	sleep_mutex_unlock(&fs->revive_lock);
	return err;
}

int fuse_inode_revive(const struct op_ctx *ctx, struct inode *inode)
{
	struct fuse_conn *conn = fuse_conn_of(inode);
	int err;

	do {
		err = revive_inode(ctx, inode, atomic_load(&conn->incarnation));
	} while (err == -EDAEMONDIED);
	return err;
}

/* --- open files --------------------------------------------------------------------------- */

/* The daemon knows the inode. fs->revive_lock held. */
static int reopen_locked(const struct op_ctx *ctx, struct fuse_file *ff, unsigned incarnation)
{
	struct fuse_open_in in = {.flags = ff->reopen_flags};
	struct fuse_open_out out = {0};
	struct fuse_args args;
	ssize_t err = 0;

	fuse_args_init(&args, ff->is_dir ? FUSE_OPENDIR : FUSE_OPEN, ff->inode);
	args.incarnation = incarnation;
	args.open_flags = in.flags;
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, &out, sizeof(out));
	if (ff->opened)
		err = fuse_conn_call(fuse_conn_of(ff->inode), ctx, &args);
	if (err < 0 && err != -ENOSYS)
		return (int)err;
	ff->nodeid = args.nodeid;
	ff->fh = out.fh;
	ff->opened = ff->opened && err == 0;
	atomic_store(&ff->incarnation, incarnation);
	return 0;
}

static int revive_file(const struct op_ctx *ctx, struct fuse_file *ff, unsigned incarnation)
{
	struct fuse_super *fs = fuse_of(ff->inode);
	int err;

	if (atomic_load(&ff->incarnation) == incarnation)
		return 0;
	if (sleep_mutex_lock_killable(&fs->revive_lock))
		return -EINTR;
	err = revive_locked(ctx, ff->inode, incarnation);
	if (!err && ff->incarnation != incarnation)
		err = reopen_locked(ctx, ff, incarnation);
	sleep_mutex_unlock(&fs->revive_lock);
	return err;
}

/* --- requests ----------------------------------------------------------------------------- */

/* Puts in what the daemon of today calls the objects of the request. */
static int bind_args(const struct op_ctx *ctx, struct fuse_conn *conn, struct fuse_args *args)
{
	unsigned incarnation = atomic_load(&conn->incarnation);
	int err = 0;

	if (args->incarnation == incarnation)
		return 0;
	for (unsigned i = 0; !err && i < FUSE_ARGS_PINS; i++) {
		if (!args->pins[i] || !args->pin_at[i])
			continue;
		err = revive_inode(ctx, args->pins[i], incarnation);
		*args->pin_at[i] = fuse_nodeid(args->pins[i]);
	}
	for (unsigned i = 0; !err && i < 2; i++) {
		struct fuse_file *ff = args->pin_files[i];

		if (!ff)
			continue;
		err = revive_file(ctx, ff, incarnation);
		*args->pin_file_at[i] = ff->fh;
	}
	if (!err)
		args->incarnation = incarnation;
	return err;
}

/*
 * The dead daemon may have made the name already: that is no reason to refuse it now. The lock of
 * the directory, which our caller holds, has kept other clients of the mount away.
 */
static void soften(struct fuse_args *args)
{
	struct fuse_create_in *create = (void *)(uintptr_t)args->in[0].data;
	struct fuse_setxattr_in *xattr = (void *)(uintptr_t)args->in[0].data;

	if (args->opcode == FUSE_CREATE && args->in[0].size == sizeof(*create))
		create->flags &= ~(uint32_t)O_EXCL;
	else if (args->opcode == FUSE_SETXATTR)
		xattr->flags &= ~(uint32_t)XATTR_CREATE;
}

/* Can this be what the request makes? */
static bool is_result(const struct fuse_args *args, const struct fuse_entry_out *out)
{
	switch (args->opcode) {
	case FUSE_MKDIR:
		return S_ISDIR(out->attr.mode);
	case FUSE_SYMLINK:
		return S_ISLNK(out->attr.mode);
	case FUSE_MKNOD:
		return ((((const struct fuse_mknod_in *)args->in[0].data)->mode ^ out->attr.mode) &
			S_IFMT) == 0;
	default:
		return ((const struct fuse_link_in *)args->in[0].data)->oldnodeid == out->nodeid;
	}
}

/* Something of the name is there: its LOOKUP is the answer, if it is what was to be made. */
static ssize_t made_already(const struct op_ctx *ctx, struct fuse_conn *conn,
			    struct fuse_args *args)
{
	const char *name = args->in[args->opcode == FUSE_SYMLINK ? 0 : 1].data;
	struct inode *dir = args->pins[0];
	struct fuse_entry_out out;
	int err = raw_lookup(ctx, conn, args->nodeid, args->incarnation, name, &out);

	if (err || out.nodeid == 0)
		return err ? err : -EEXIST;
	if (!is_result(args, &out)) {
		fuse_forget_one(dir->sb, out.nodeid, args->incarnation);
		return -EEXIST;
	}
	memcpy(args->out[0].data, &out, args->out[0].size);
	return 0;
}

/* What was to be renamed is not there any more: is it where it should go? */
static ssize_t renamed_already(const struct op_ctx *ctx, struct fuse_conn *conn,
			       const struct fuse_args *args)
{
	struct inode *new_dir = args->pins[1];
	struct fuse_entry_out out;
	int err = raw_lookup(ctx, conn, fuse_nodeid(new_dir), args->incarnation, args->in[2].data,
			     &out);

	if (err || out.nodeid == 0)
		return err == -EDAEMONDIED ? err : -ENOENT;
	fuse_forget_one(new_dir->sb, out.nodeid, args->incarnation);
	return 0;
}

/* The second answer to a request that a dead daemon may have done already. */
static ssize_t second_answer(const struct op_ctx *ctx, struct fuse_conn *conn,
			     struct fuse_args *args, ssize_t result)
{
	switch (args->opcode) {
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		return result == -EEXIST ? made_already(ctx, conn, args) : result;
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		return result == -ENOENT ? 0 : result;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return result == -ENOENT ? renamed_already(ctx, conn, args) : result;
	case FUSE_REMOVEXATTR:
		return result == -ENODATA ? 0 : result;
	default:
		return result;
	}
}

/* Twice would be as if it had never been done, and nobody can tell. */
static bool cannot_be_repeated(const struct fuse_args *args)
{
	const struct fuse_rename2_in *in = args->in[0].data;

	return args->opcode == FUSE_RENAME2 && (in->flags & RENAME_EXCHANGE);
}

/*
 * FLUSH of what this daemon has not opened: it has nothing to flush. A close must not wait for it,
 * or no process could end that has inherited the file, those that start a daemon among them.
 */
static bool is_done(const struct fuse_conn *conn, const struct fuse_args *args)
{
	const struct fuse_file *ff = args->pin_files[0];

	return args->opcode == FUSE_FLUSH && ff->incarnation != conn->incarnation;
}

ssize_t fuse_send(const struct op_ctx *ctx, const struct inode *inode, struct fuse_args *args)
{
	struct fuse_conn *conn = fuse_conn_of(inode);
	ssize_t ret;

	do {
		if (is_done(conn, args))
			return 0;
		if (args->resend && cannot_be_repeated(args))
			return -EIO;
		ret = bind_args(ctx, conn, args);
		if (args->resend)
			soften(args);
		if (!ret)
			ret = fuse_conn_call(conn, ctx, args);
		if (args->resend && ret != -EDAEMONDIED)
			ret = second_answer(ctx, conn, args, ret);
	} while (ret == -EDAEMONDIED);
	return ret;
}

/* --- requests that nobody waits for ------------------------------------------------------- */

static void send_again(void *arg)
{
	struct fuse_args *args = arg;
	const struct inode *inode = args->pins[0];
	int err = fuse_send_async(NULL, inode, args);

	if (err)
		args->done(fuse_conn_of(inode), args, err);
}

static void async_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	args->done = args->then;
	if (result == -EDAEMONDIED)
		fuse_defer(send_again, args);
	else
		args->done(conn, args, result);
}

int fuse_send_async(const struct op_ctx *ctx, const struct inode *inode, struct fuse_args *args)
{
	struct fuse_conn *conn = fuse_conn_of(inode);
	int err;

	args->then = args->done;
	do {
		err = bind_args(ctx, conn, args);
		args->done = async_done;
		if (!err)
			err = fuse_conn_send(conn, ctx, args);
	} while (err == -EDAEMONDIED);
	if (err)
		args->done = args->then;
	return err;
}

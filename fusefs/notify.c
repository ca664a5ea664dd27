/*
 * What devfuse asks of us: the end of INIT, messages that the daemon starts (matrix section 5),
 * and the objects of orphaned requests.
 */
#include <stdlib.h>
#include <string.h>

#include "devfuse/params.h"
#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/iter.h"
#include "vfs/dentry.h"
#include "vfs/file.h"

struct superblock *fuse_conn_super(struct fuse_conn *conn)
{
	struct superblock *sb;

	fb_mutex_lock(&conn->lock);
	sb = conn->owner;
	if (sb && !ref_get_unless_zero(&sb->ref))
		sb = NULL;
	fb_mutex_unlock(&conn->lock);
	return sb;
}

static void fusefs_initialized(struct fuse_conn *conn)
{
	struct superblock *sb = fuse_conn_super(conn);

	if (!sb)
		return;
	if (fuse_conn_has(conn, FUSE_MAX_PAGES) && conn->max_pages > 1)
		sb->name_max = FUSE_NAME_MAX_LONG; /* matrix 2.3 */
	sb->time_gran_ns = conn->time_gran_ns;
	if (conn->minor < 6 && fuse_sb(sb)->max_read < conn->max_readahead) /* V06 */
		conn->max_readahead = fuse_sb(sb)->max_read / FUSE_PAGE * FUSE_PAGE;
	fuse_limit_readahead(fuse_sb(sb), conn->max_readahead / FUSE_PAGE);
	if (fuse_conn_has(conn, FUSE_PASSTHROUGH))
		sb->stack_depth = (int)conn->max_stack_depth;
	if (fuse_conn_has(conn, FUSE_POSIX_ACL))
		atomic_store(&fuse_sb(sb)->default_permissions, true);
	superblock_put(sb);
}

static void fusefs_poll_again(struct fuse_conn *conn)
{
	struct superblock *sb = fuse_conn_super(conn);

	if (!sb)
		return;
	fuse_poll_wake(fuse_sb(sb), 0, true); /* F154 */
	superblock_put(sb);
}

static bool fusefs_can_wait(struct fuse_conn *conn)
{
	struct superblock *sb = fuse_conn_super(conn);
	bool mounted = sb && atomic_load(&sb->nr_mounted) > 0;

	superblock_put(sb);
	return mounted;
}

static void fusefs_pin(struct fuse_conn *conn, struct fuse_args *args)
{
	(void)conn;
	for (unsigned i = 0; i < FUSE_ARGS_PINS; i++)
		if (args->pins[i])
			superblock_get(inode_get(args->pins[i])->sb);
	for (unsigned i = 0; i < 2; i++)
		if (args->pin_files[i])
			ref_get(&((struct fuse_file *)args->pin_files[i])->ref);
}

static void fusefs_unpin(struct fuse_conn *conn, struct fuse_args *args)
{
	(void)conn;
	for (unsigned i = 0; i < 2; i++)
		fuse_file_put(args->pin_files[i]);
	for (unsigned i = 0; i < FUSE_ARGS_PINS; i++) {
		struct inode *inode = args->pins[i];
		struct superblock *sb = inode ? inode->sb : NULL;

		inode_put(inode);
		superblock_put(sb);
	}
}

/* --- messages ----------------------------------------------------------------------------- */

struct message {
	struct superblock *sb;
	struct io_iter *from;
	size_t len; /* bytes of the body */
};

static int take(struct message *msg, void *body, size_t size, bool exact)
{
	if (msg->len < size || (exact && msg->len != size))
		return -EINVAL;
	msg->len -= size;
	return iter_from(msg->from, body, size) == size ? 0 : -EFAULT;
}

static int notify_poll(struct message *msg)
{
	struct fuse_notify_poll_wakeup_out out;
	int err = take(msg, &out, sizeof(out), true);

	if (!err)
		fuse_poll_wake(fuse_sb(msg->sb), out.kh, false);
	return err;
}

static int notify_inval_inode(struct message *msg)
{
	struct fuse_notify_inval_inode_out out;
	struct inode *inode;
	int err = take(msg, &out, sizeof(out), true);

	if (err)
		return err;
	inode = fuse_find_inode(msg->sb, out.ino);
	if (!inode)
		return -ENOENT;
	fuse_bump_version(inode);
	fuse_stale(inode, FUSE_STALE_ALL);
	fuse_forget_acls(inode);
	if (out.off >= 0 && inode_is_reg(inode)) {
		int64_t end = INT64_MAX;

		if (out.len > 0 && out.len <= INT64_MAX - out.off)
			end = out.off + out.len;
		fuse_cache_invalidate(&fuse_i(inode)->cache, out.off, end);
	} else if (out.off >= 0 && inode_is_dir(inode)) {
		fuse_dircache_reset(&fuse_i(inode)->listing);
	} else if (out.off >= 0 && out.off < FUSE_PAGE && inode_is_lnk(inode)) {
		fuse_forget_link(inode);
	}
	inode_put(inode);
	return 0;
}

/* The name behind the fixed part: malloc'ed, as long as the daemon says, whatever is in it. */
static int take_name(struct message *msg, uint32_t namelen, char **ret_name)
{
	char *name;
	int err;

	if (namelen > msg->sb->name_max)
		return -ENAMETOOLONG;
	if (msg->len != (size_t)namelen + 1)
		return -EINVAL;
	name = malloc((size_t)namelen + 1);
	if (!name)
		return -ENOMEM;
	err = take(msg, name, (size_t)namelen + 1, true);
	if (err) {
		free(name);
		return err;
	}
	name[namelen] = '\0';
	*ret_name = name;
	return 0;
}

/* The child that the daemon says is gone: the name becomes negative. Rule: NOTIFY_DELETE. */
static int delete_child(struct dentry *dentry, uint64_t child)
{
	struct inode *inode = dentry->inode;

	if (fuse_nodeid(inode) != child)
		return -ENOENT;
	if (dentry_test(dentry, DENTRY_MOUNTED))
		return -EBUSY;
	if (inode_is_dir(inode)) {
		d_shrink_children(dentry);
		if (!list_empty(&dentry->children))
			return -ENOTEMPTY;
		d_mark_dead(dentry);
	}
	fb_mutex_lock(&inode->attr_lock);
	inode->nlink = 0;
	fb_mutex_unlock(&inode->attr_lock);
	fuse_stale(inode, STATX_NLINK | STATX_CTIME);
	return 0;
}

static int invalidate_in(struct inode *dir, const struct qstr *name, uint32_t flags, uint64_t child)
{
	struct dentry *parent, *dentry;
	int err = 0;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	parent = d_find_alias(dir);
	if (!parent)
		return -ENOENT;
	fuse_dir_changed(dir);
	dentry = dentry_find(parent, name);
	if (dentry) {
		bool positive = d_is_positive(dentry);

		fuse_entry_expire(dentry);
		if (child && positive)
			err = delete_child(dentry, child);
		if (!(flags & FUSE_EXPIRE_ONLY))
			d_invalidate(dentry);
		dentry_put(dentry);
	} else {
		err = -ENOENT;
	}
	dentry_put(parent);
	return err;
}

/* The name follows in the message. child: DELETE, and only of that node; 0: INVAL_ENTRY. */
static int invalidate_entry(struct message *msg, uint64_t parent, uint32_t namelen, uint32_t flags,
			    uint64_t child)
{
	cleanup_free char *name = NULL;
	struct qstr qname;
	struct inode *dir;
	int err = take_name(msg, namelen, &name);

	if (err)
		return err;
	qstr_init(&qname, name, namelen);
	dir = fuse_find_inode(msg->sb, parent);
	if (!dir)
		return -ENOENT;
	/* N01: a lookup under way must not bring back what we throw out. */
	err = sleep_rwlock_write_lock_killable(&dir->lock) ? -EINTR : 0;
	if (!err) {
		err = invalidate_in(dir, &qname, flags, child);
		inode_unlock(dir);
	}
	inode_put(dir);
	return err;
}

static int notify_inval_entry(struct message *msg)
{
	struct fuse_notify_inval_entry_out out;
	int err = take(msg, &out, sizeof(out), false);

	return err ? err : invalidate_entry(msg, out.parent, out.namelen, out.flags, 0);
}

static int notify_delete(struct message *msg)
{
	struct fuse_notify_delete_out out;
	int err = take(msg, &out, sizeof(out), false);

	return err ? err : invalidate_entry(msg, out.parent, out.namelen, 0, out.child);
}

/* --- STORE and RETRIEVE: the daemon's view of the page cache ------------------------------ */

#define STORE_CHUNK 65536u

static int store_bytes(struct message *msg, struct inode *inode, int64_t pos, size_t size)
{
	size_t chunk = size < STORE_CHUNK ? size : STORE_CHUNK;
	cleanup_free char *buf = malloc(chunk ? chunk : 1);

	if (!buf)
		return -ENOMEM;
	while (size > 0) {
		size_t want = size < chunk ? size : chunk;
		size_t got = iter_from(msg->from, buf, want);

		fuse_cache_write(&fuse_i(inode)->cache, buf, got, pos, inode_size(inode));
		if (got < want)
			return -EFAULT;
		pos += (int64_t)got;
		size -= got;
	}
	return 0;
}

/* A file that is cached and regular, with a reference. */
static int cached_file(struct superblock *sb, uint64_t nodeid, struct inode **ret_inode)
{
	struct inode *inode = fuse_find_inode(sb, nodeid);

	if (!inode)
		return -ENOENT;
	if (!inode_is_reg(inode)) {
		inode_put(inode);
		return -EINVAL;
	}
	*ret_inode = inode;
	return 0;
}

static int notify_store(struct message *msg)
{
	struct fuse_notify_store_out out;
	struct inode *inode;
	int err = take(msg, &out, sizeof(out), false);

	if (err)
		return err;
	if (out.size != msg->len || out.offset > (uint64_t)INT64_MAX - out.size)
		return -EINVAL;
	err = cached_file(msg->sb, out.nodeid, &inode);
	if (err)
		return err;
	if (inode_size(inode) < (int64_t)(out.offset + out.size))
		fuse_size_written(inode, (int64_t)(out.offset + out.size), false);
	err = store_bytes(msg, inode, (int64_t)out.offset, out.size);
	inode_put(inode);
	return err;
}

/*
 * Answers that the daemons have asked for and not read yet: each holds a copy of cached pages, and
 * nothing but this number keeps a daemon from asking on and on.
 */
#define RETRIEVES_MAX 64
static atomic_int nr_retrieves;

struct retrieve {
	struct fuse_args args;
	struct fuse_notify_retrieve_in in;
	char data[];
};

static void retrieve_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	(void)conn;
	(void)result;
	atomic_fetch_sub(&nr_retrieves, 1);
	free(args->owner);
}

/* How many bytes the answer may have: limits of the connection, end of the file. */
static size_t retrieve_size(struct fuse_conn *conn, struct inode *inode,
			    const struct fuse_notify_retrieve_out *out)
{
	uint64_t limit = (uint64_t)conn->max_pages * FUSE_PAGE, size = out->size;
	int64_t end = inode_size(inode);

	if (size > limit)
		size = limit;
	if (size > conn->max_write)
		size = conn->max_write;
	if (out->offset >= (uint64_t)end)
		return 0;
	return size < (uint64_t)end - out->offset ? size : (uint64_t)end - out->offset;
}

static int send_retrieve(struct superblock *sb, struct inode *inode,
			 const struct fuse_notify_retrieve_out *out)
{
	struct fuse_conn *conn = fuse_sb(sb)->conn;
	size_t size = retrieve_size(conn, inode, out);
	struct retrieve *ret = NULL;
	struct io_iter to;
	ssize_t n = 0;
	int err;

	if (atomic_fetch_add(&nr_retrieves, 1) < RETRIEVES_MAX)
		ret = calloc(1, sizeof(*ret) + size);
	if (!ret) {
		atomic_fetch_sub(&nr_retrieves, 1);
		return -ENOMEM;
	}
	iter_init_mem(&to, ret->data, size);
	if (size > 0)
		n = fuse_cache_read(&fuse_i(inode)->cache, &to, (int64_t)out->offset, size);
	if (n < 0)
		n = 0;
	ret->in.offset = out->offset;
	ret->in.size = (uint32_t)n;
	fuse_args_init(&ret->args, FUSE_NOTIFY_REPLY, inode);
	memset(ret->args.pins, 0, sizeof(ret->args.pins));
	ret->args.unique = out->notify_unique;
	ret->args.incarnation = conn->incarnation;
	ret->args.nocreds = ret->args.force = true;
	ret->args.done = retrieve_done;
	ret->args.owner = ret;
	fuse_args_in(&ret->args, &ret->in, sizeof(ret->in));
	fuse_args_in(&ret->args, ret->data, (size_t)n);
	err = fuse_conn_send(conn, NULL, &ret->args);
	if (err) {
		atomic_fetch_sub(&nr_retrieves, 1);
		free(ret);
	}
	return err;
}

static int notify_retrieve(struct message *msg)
{
	struct fuse_notify_retrieve_out out;
	struct inode *inode;
	int err = take(msg, &out, sizeof(out), true);

	if (!err)
		err = cached_file(msg->sb, out.nodeid, &inode);
	if (err)
		return err;
	err = send_retrieve(msg->sb, inode, &out);
	inode_put(inode);
	return err;
}

static int notify_inc_epoch(struct message *msg)
{
	atomic_fetch_add(&fuse_sb(msg->sb)->epoch, 1);
	if (atomic_load(&fuse_params.inval_wq) != 0) /* F13 */
		dcache_shrink_sb(msg->sb);
	return 0;
}

/* The daemon wants its memory back: FORGETs for what nobody uses. Unknown nodes are no error. */
static int notify_prune(struct message *msg)
{
	struct fuse_notify_prune_out out;
	uint64_t nodeid;
	int err = take(msg, &out, sizeof(out), false);

	if (!err && msg->len != (uint64_t)out.count * sizeof(nodeid))
		err = -EINVAL;
	while (!err && msg->len > 0) {
		struct inode *inode = NULL;

		err = take(msg, &nodeid, sizeof(nodeid), false);
		if (!err)
			inode = fuse_find_inode(msg->sb, nodeid);
		if (inode)
			d_prune_aliases(inode);
		inode_put(inode);
	}
	return err;
}

static int (*const notify_table[FUSE_NOTIFY_CODE_END])(struct message *msg) = {
	[FUSE_NOTIFY_POLL] = notify_poll,
	[FUSE_NOTIFY_INVAL_INODE] = notify_inval_inode,
	[FUSE_NOTIFY_INVAL_ENTRY] = notify_inval_entry,
	[FUSE_NOTIFY_STORE] = notify_store,
	[FUSE_NOTIFY_RETRIEVE] = notify_retrieve,
	[FUSE_NOTIFY_DELETE] = notify_delete,
	[FUSE_NOTIFY_INC_EPOCH] = notify_inc_epoch,
	[FUSE_NOTIFY_PRUNE] = notify_prune,
};

static int fusefs_notify(struct fuse_conn *conn, const struct op_ctx *ctx, unsigned code,
			 struct io_iter *from, size_t len)
{
	struct message msg = {NULL, from, len};
	int err;

	(void)ctx;
	if (code >= FUSE_NOTIFY_CODE_END || !notify_table[code])
		return -EINVAL;
	msg.sb = fuse_conn_super(conn);
	if (!msg.sb)
		return -EINVAL;
	err = notify_table[code](&msg);
	superblock_put(msg.sb);
	return err;
}

static void fusefs_expire(struct fuse_conn *conn)
{
	struct superblock *sb = fuse_conn_super(conn);

	if (!sb)
		return;
	dcache_expire_sb(sb);
	superblock_put(sb);
}

const struct fuse_conn_ops fusefs_conn_ops = {
	.initialized = fusefs_initialized,
	.notify = fusefs_notify,
	.pin = fusefs_pin,
	.unpin = fusefs_unpin,
	.poll_again = fusefs_poll_again,
	.can_wait = fusefs_can_wait,
	.expire = fusefs_expire,
};

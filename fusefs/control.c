/*
 * The "fusectl" file system, at /sys/fs/fuse/connections: one directory per connection, named by
 * its number, with the files that show and steer it (matrix 7.2). There is one instance; a
 * connection is in it from its mount to its unmount, also when it has died meanwhile.
 */
#include <sys/capability.h>
#include <sys/stat.h>

#include "devfuse/keep.h"
#include "devfuse/params.h"
#include "devfuse/registry.h"
#include "devfuse/request.h"
#include "fusefs/fusefs.h"
#include "fusefs/fusefs_type.h"
#include "vfs/dentry.h"
#include "vfs/fs/pseudo.h"
#include "vfs/perm.h"
#include "vfs/strbuf.h"

#define FUSE_CTL_SUPER_MAGIC 0x65735543
#define LIMIT_MAX	     65535ul

/* key->num is the connection's number. A file that outlives its connection reads as empty. */
static struct fuse_conn *conn_of(const struct pseudo_key *key)
{
	return fuse_registry_get((uint32_t)key->num);
}

static int show_waiting(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct fuse_conn *conn = conn_of(key);

	(void)ctx;
	if (!conn)
		return 0;
	fb_mutex_lock(&conn->lock);
	strbuf_printf(out, "%zu\n", conn->nr_waiting);
	fb_mutex_unlock(&conn->lock);
	fuse_conn_put(conn);
	return 0;
}

static int store_abort(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	struct fuse_conn *conn = conn_of(key);

	(void)ctx;
	(void)text;
	(void)len;
	if (conn)
		fuse_conn_abort(conn, true);
	fuse_conn_put(conn);
	return 0;
}

static int show_limit(const struct pseudo_key *key, struct strbuf *out, bool background)
{
	struct fuse_conn *conn = conn_of(key);

	if (!conn)
		return 0;
	fb_mutex_lock(&conn->lock);
	strbuf_printf(out, "%u\n", background ? conn->max_background : conn->congestion_threshold);
	fb_mutex_unlock(&conn->lock);
	fuse_conn_put(conn);
	return 0;
}

static int parse_limit(const struct op_ctx *ctx, const char *text, unsigned long user_limit,
		       unsigned *ret_value)
{
	unsigned long value, limit = LIMIT_MAX;
	int err = fuse_parse_ulong(text, 0, &value);

	if (err)
		return err;
	if (!ctx_capable(ctx, CAP_SYS_ADMIN) && user_limit < limit)
		limit = user_limit;
	if (value > limit)
		return -EINVAL;
	*ret_value = (unsigned)value;
	return 0;
}

static int show_max_background(const struct op_ctx *ctx, const struct pseudo_key *key,
			       struct strbuf *out)
{
	(void)ctx;
	return show_limit(key, out, true);
}

static int store_max_background(const struct op_ctx *ctx, const struct pseudo_key *key,
				const char *text, size_t len)
{
	struct fuse_conn *conn;
	unsigned value;
	int err = parse_limit(ctx, text, atomic_load(&fuse_params.max_user_bgreq), &value);

	(void)len;
	if (err)
		return err;
	conn = conn_of(key);
	if (conn)
		fuse_conn_set_max_background(conn, value);
	fuse_conn_put(conn);
	return 0;
}

static int show_threshold(const struct op_ctx *ctx, const struct pseudo_key *key,
			  struct strbuf *out)
{
	(void)ctx;
	return show_limit(key, out, false);
}

static int store_threshold(const struct op_ctx *ctx, const struct pseudo_key *key,
			   const char *text, size_t len)
{
	struct fuse_conn *conn;
	unsigned value;
	int err = parse_limit(ctx, text, atomic_load(&fuse_params.max_user_congthresh), &value);

	(void)len;
	if (err)
		return err;
	conn = conn_of(key);
	if (conn) {
		fb_mutex_lock(&conn->lock);
		conn->congestion_threshold = value;
		fb_mutex_unlock(&conn->lock);
	}
	fuse_conn_put(conn);
	return 0;
}

/* Not in Linux: 0 = ends with its daemon, 1 = waits for another one then, 2 = does so now. */
static int show_keep(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct fuse_conn *conn = conn_of(key);

	(void)ctx;
	if (!conn)
		return 0;
	fb_mutex_lock(&conn->lock);
	strbuf_puts(out, conn->vacant ? "2\n" : conn->keep && conn->connected ? "1\n" : "0\n");
	fb_mutex_unlock(&conn->lock);
	fuse_conn_put(conn);
	return 0;
}

static int store_keep(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		      size_t len)
{
	struct fuse_conn *conn;
	unsigned long value;
	int err = fuse_parse_ulong(text, 0, &value);

	(void)ctx;
	(void)len;
	if (err || value > 1)
		return -EINVAL;
	conn = conn_of(key);
	if (conn)
		fuse_conn_set_keep(conn, value == 1);
	fuse_conn_put(conn);
	return 0;
}

static const struct pseudo_entry conn_files[] = {
	{.name = "waiting", .mode = S_IFREG | 0400, .show = show_waiting, .no_seek = true},
	{.name = "abort", .mode = S_IFREG | 0200, .store = store_abort, .no_seek = true},
	{.name = "max_background",
	 .mode = S_IFREG | 0600,
	 .show = show_max_background,
	 .store = store_max_background,
	 .no_seek = true,
	 .write_once = true},
	{.name = "congestion_threshold",
	 .mode = S_IFREG | 0600,
	 .show = show_threshold,
	 .store = store_threshold,
	 .no_seek = true,
	 .write_once = true},
	{.name = "keep",
	 .mode = S_IFREG | 0600,
	 .show = show_keep,
	 .store = store_keep,
	 .no_seek = true,
	 .write_once = true},
	{.name = NULL},
};

static const struct pseudo_entry conn_entry = {
	.mode = S_IFDIR | 0500,
	.children = conn_files,
};

int fuse_find_mounted(const char *name, int *ret_number)
{
	struct fuse_conn *conn;
	int number;

	if (pseudo_parse_number(name, &number) || number >= (int)FUSE_ID_CUSE)
		return -ENOENT;
	conn = fuse_registry_get((uint32_t)number);
	if (!conn)
		return -ENOENT;
	fuse_conn_put(conn);
	*ret_number = number;
	return 0;
}

static int find_conn(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		     struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	(void)ctx;
	(void)dir;
	*ret_entry = &conn_entry;
	return fuse_find_mounted(name, &ret_key->num);
}

int fuse_next_mounted(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	struct fuse_conn *conn = fuse_registry_next((uint32_t)*number);

	(void)ctx;
	(void)dir;
	if (conn && conn->id >= FUSE_ID_CUSE) { /* as in Linux, not here */
		fuse_conn_put(conn);
		conn = NULL;
	}
	if (!conn)
		return -ENOENT;
	*number = (int)conn->id;
	fuse_conn_put(conn);
	return 0;
}

static const struct pseudo_dynamic conn_names = {
	.find = find_conn,
	.next = fuse_next_mounted,
	.prefix = "",
	.dirent_type = 4, /* DT_DIR */
};

static const struct pseudo_entry root_entry = {
	.name = "/",
	.mode = S_IFDIR | 0755,
	.dynamic = &conn_names,
};

/* The files are the mounter's, so that a user can abort what he has mounted. */
static int ctl_owner(const struct pseudo_key *key, const struct pseudo_entry *entry, uid_t *ret_uid,
		     gid_t *ret_gid)
{
	struct fuse_conn *conn;

	if (entry == &root_entry)
		return 0;
	conn = conn_of(key);
	if (!conn)
		return -ENOENT;
	*ret_uid = conn->user_id;
	*ret_gid = conn->group_id;
	fuse_conn_put(conn);
	return 0;
}

static const struct pseudo_fs ctl_fs = {
	.root = &root_entry,
	.magic = FUSE_CTL_SUPER_MAGIC,
	.no_method = -EINVAL, /* cf. vfs_read() */
	.owner = ctl_owner,
};

/* The one instance, for ever. */
static struct sleep_mutex single_lock = {0, WAITQ_INIT(single_lock.waiters)};
static struct superblock *single;

static int ctl_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	int err = 0;

	(void)ctx;
	sleep_mutex_lock(&single_lock);
	if (single) {
		superblock_get(single);
		fc->root = dentry_get(single->root);
	} else {
		err = pseudo_get_tree(fc, &ctl_fs);
		if (!err)
			single = superblock_get(fc->root->sb);
	}
	sleep_mutex_unlock(&single_lock);
	return err;
}

static int ctl_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			   const struct fs_parameter *param)
{
	(void)ctx;
	(void)fc;
	(void)param;
	return -ENOPARAM;
}

static const struct fs_context_ops ctl_context_ops = {
	.parse_param = ctl_parse_param,
	.get_tree = ctl_get_tree,
};

static int ctl_init_fs_context(struct fs_context *fc)
{
	fc->op = &ctl_context_ops;
	return 0;
}

static struct filesystem_type fusectl_type = {
	.name = "fusectl",
	.init_fs_context = ctl_init_fs_context,
};

void fusectl_init(void)
{
	filesystem_register(&fusectl_type);
}

/* READDIR and READDIRPLUS (matrix 6.5): every getdents(2) is one request, or none with a cache. */
#include <stdlib.h>
#include <string.h>

#include "fusefs/fusefs.h"
#include "sentry/base/cleanup.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/readdir.h"

struct listing {
	const struct op_ctx *ctx;
	struct file *file;
	struct dir_context *dc;
	const char *buf;
	size_t len;
	uint64_t version, evicted, epoch;
	unsigned incarnation; /* of the daemon that answered */
	bool full; /* the caller's buffer is; entries are still counted */
};

/* F72 */
static bool name_ok(const char *name, size_t len)
{
	return len >= 1 && len <= FUSE_NAME_MAX_LONG && !memchr(name, '/', len);
}

static bool emit(struct listing *list, const struct fuse_dirent *entry, const char *name)
{
	struct fuse_file *ff = list->file->private;

	if (list->full)
		return false;
	if (ff->open_flags & FOPEN_CACHE_DIR)
		fuse_dircache_add(&fuse_i(ff->inode)->listing, list->dc->pos, entry, name);
	if (!dir_emit(list->dc, name, entry->namelen, entry->ino, entry->type & 15)) {
		list->full = true;
		return false;
	}
	list->dc->pos = (int64_t)entry->off;
	return true;
}

static int parse_plain(struct listing *list)
{
	while (list->len >= sizeof(struct fuse_dirent)) {
		struct fuse_dirent entry;
		const char *name = list->buf + sizeof(entry);
		size_t record;

		memcpy(&entry, list->buf, sizeof(entry));
		record = fuse_dirent_align(sizeof(entry) + (uint64_t)entry.namelen);
		if (entry.namelen == 0 || entry.namelen > FUSE_NAME_MAX_LONG)
			return -EIO;
		if (record > list->len)
			break;
		if (!name_ok(name, entry.namelen))
			return -EIO;
		if (!emit(list, &entry, name))
			break;
		list->buf += record;
		list->len -= record;
	}
	return 0;
}

/* A name that is cached already: refreshed if it is the same object. 0 = no such, make it. */
static int refresh_cached(struct listing *list, struct dentry *dentry,
			  const struct fuse_entry_out *out)
{
	struct inode *inode = __atomic_load_n(&dentry->inode, __ATOMIC_ACQUIRE);
	int64_t expiry = fuse_expiry_ns(out->attr_valid, out->attr_valid_nsec);

	if (!inode || fuse_inode_revive(list->ctx, inode) || fuse_nodeid(inode) != out->nodeid ||
	    fuse_i(inode)->incarnation != list->incarnation) {
		d_invalidate(dentry);
		return 0;
	}
	if (fuse_stale_inode(inode, out->generation, &out->attr)) {
		fuse_make_bad(inode);
		d_invalidate(dentry);
		return 0;
	}
	if (fuse_is_bad(inode))
		return -EIO;
	fuse_count_lookup(inode);
	fuse_forget_acls(inode);
	fuse_change_attributes(inode, &out->attr, expiry, list->version);
	atomic_store(&fuse_i(inode)->from_plus, true);
	fuse_entry_set(dentry, fuse_expiry_ns(out->entry_valid, out->entry_valid_nsec),
		       list->epoch);
	return 1;
}

static int link_fresh(struct listing *list, struct dentry *dentry, const struct fuse_entry_out *out)
{
	int64_t entry_expiry = fuse_expiry_ns(out->entry_valid, out->entry_valid_nsec);
	int64_t expiry = fuse_expiry_ns(out->attr_valid, out->attr_valid_nsec);
	struct dentry *alias = NULL;
	struct inode *inode;
	int err = fuse_iget(dentry->sb, out->nodeid, out->generation, list->incarnation, &out->attr,
			    expiry, list->version, list->evicted, &inode);

	if (err)
		return err;
	atomic_store(&fuse_i(inode)->from_plus, true);
	fuse_entry_set(dentry, entry_expiry, list->epoch);
	err = d_splice_alias(dentry, inode, &alias);
	if (alias)
		fuse_entry_set(alias, entry_expiry, list->epoch);
	dentry_put(alias);
	return err == -ELOOP || err == -ESTALE ? 0 : err; /* counted already, just not cached */
}

static bool is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* F75, F76: the entry becomes a cached name. An error means that its lookup is to be forgotten. */
static int link_entry(struct listing *list, const struct fuse_direntplus *plus, const char *name)
{
	const struct fuse_entry_out *out = &plus->entry_out;
	struct dentry *dir = list->file->path.dentry, *dentry;
	struct qstr qname;
	int err;

	if (out->nodeid == 0 || is_dots(name, plus->dirent.namelen))
		return 0;
	if (out->nodeid == FUSE_ROOT_ID || !fuse_attr_valid(&out->attr))
		return -EIO;
	qstr_init(&qname, name, plus->dirent.namelen);
	for (;;) {
		err = d_alloc_parallel(dir, &qname, &dentry);
		if (err)
			return err;
		if (dentry_test(dentry, DENTRY_IN_LOOKUP)) {
			err = link_fresh(list, dentry, out);
			d_lookup_done(dentry);
			dentry_put(dentry);
			return err;
		}
		err = refresh_cached(list, dentry, out);
		dentry_put(dentry);
		if (err)
			return err < 0 ? err : 0;
	}
}

static int parse_plus(struct listing *list)
{
	while (list->len >= sizeof(struct fuse_direntplus)) {
		struct fuse_direntplus plus;
		const char *name = list->buf + sizeof(plus);
		size_t record;

		memcpy(&plus, list->buf, sizeof(plus));
		record = fuse_dirent_align(sizeof(plus) + (uint64_t)plus.dirent.namelen);
		if (plus.dirent.namelen == 0 || plus.dirent.namelen > FUSE_NAME_MAX_LONG)
			return -EIO;
		if (record > list->len)
			break;
		if (!name_ok(name, plus.dirent.namelen))
			return -EIO;
		(void)emit(list, &plus.dirent, name);
		if (link_entry(list, &plus, name))
			fuse_forget_one(list->file->inode->sb, plus.entry_out.nodeid,
					list->incarnation);
		list->buf += record;
		list->len -= record;
	}
	return 0;
}

/* F74 */
static bool choose_plus(struct inode *dir, const struct dir_context *dc)
{
	struct fuse_conn *conn = fuse_conn_of(dir);

	if (!fuse_conn_has(conn, FUSE_DO_READDIRPLUS))
		return false;
	if (!fuse_conn_has(conn, FUSE_READDIRPLUS_AUTO))
		return true;
	if (atomic_exchange(&fuse_i(dir)->want_plus, false))
		return true;
	return dc->pos == 0;
}

static size_t request_size(const struct inode *dir, const struct dir_context *dc)
{
	size_t most = (size_t)fuse_conn_of(dir)->max_pages * FUSE_PAGE; /* F70 */

	if (dc->room < FUSE_PAGE)
		return FUSE_PAGE;
	return dc->room > most ? most : dc->room;
}

static int do_readdir(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct fuse_file *ff = file->private;
	struct inode *dir = ff->inode;
	bool plus = choose_plus(dir, dc);
	struct fuse_read_in in = {.fh = ff->fh};
	size_t size = request_size(dir, dc);
	cleanup_free char *buf = malloc(size);
	struct listing list = {ctx, file, dc, buf, 0, 0, 0, 0, 0, false};
	struct fuse_args args;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	list.version = fuse_attr_version(dir);
	list.evicted = atomic_load(&fuse_of(dir)->evict_count);
	list.epoch = atomic_load(&fuse_of(dir)->epoch);
	in.offset = (uint64_t)dc->pos;
	in.size = (uint32_t)size;
	in.flags = fuse_wire_flags(file);
	fuse_args_init(&args, plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir);
	fuse_args_pin_file(&args, ff, &in.fh);
	fuse_args_in(&args, &in, sizeof(in));
	fuse_args_out(&args, buf, size);
	n = fuse_send(ctx, dir, &args);
	fuse_accessed(dir);
	if (n < 0)
		return (int)n;
	if (n == 0 && (ff->open_flags & FOPEN_CACHE_DIR))
		fuse_dircache_end(&fuse_i(dir)->listing, dc->pos);
	list.len = (size_t)n;
	list.incarnation = args.incarnation;
	return plus ? parse_plus(&list) : parse_plain(&list);
}

/* F77; Linux 6.18 looks at no epoch here. 0: done; 1: the daemon is to be asked; -errno. */
static int emit_cached(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct fuse_file *ff = file->private;
	struct inode *dir = ff->inode;
	struct fuse_dirstamp now;
	int err;

	if (!(ff->open_flags & FOPEN_CACHE_DIR))
		return 1;
	if (dc->pos == 0 && fuse_conn_has(fuse_conn_of(dir), FUSE_AUTO_INVAL_DATA)) {
		err = fuse_update_attributes(ctx, dir, ff, STATX_MTIME);
		if (err)
			return err;
	}
	now.changes = atomic_load(&fuse_i(dir)->dir_changes);
	fb_mutex_lock(&dir->attr_lock);
	now.mtime = dir->mtime;
	fb_mutex_unlock(&dir->attr_lock);
	return fuse_dircache_emit(&fuse_i(dir)->listing, &now, &ff->dirstream, dc) ? 0 : 1;
}

int fuse_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct inode *dir = file->inode;
	bool locked = !fuse_conn_has(fuse_conn_of(dir), FUSE_PARALLEL_DIROPS);
	int err;

	if (fuse_is_bad(dir))
		return -EIO;
	err = emit_cached(ctx, file, dc);
	if (err != 1)
		return err;
	if (locked && sleep_mutex_lock_killable(&fuse_i(dir)->dir_mutex))
		return -EINTR;
	err = do_readdir(ctx, file, dc);
	if (locked)
		sleep_mutex_unlock(&fuse_i(dir)->dir_mutex);
	return err;
}

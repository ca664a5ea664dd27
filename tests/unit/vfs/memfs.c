#include "memfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"

struct memfs memfs;

struct mem_entry {
	struct list_node node;
	char *name;
	struct inode *inode; /* counted */
};

struct mem_inode {
	struct inode inode;
	struct list_node entries; /* guarded by memfs.lock */
	char *target;
	struct path magic; /* what a magic link leads to */
};

static struct mem_inode *mem_of(struct inode *inode)
{
	return container_of(inode, struct mem_inode, inode);
}

static const struct inode_ops mem_dir_ops, mem_file_ops, mem_link_ops;
static const struct file_ops mem_fops;
static const struct superblock_ops mem_super_ops;
static struct filesystem_type mem_type;

static struct inode *mem_inode_new(const struct op_ctx *ctx, struct superblock *sb,
				   struct inode *dir, uint32_t mode)
{
	struct mem_inode *mi = calloc(1, sizeof(*mi));

	list_init(&mi->entries);
	inode_init_owner(&mi->inode, ctx, sb, dir, mode);
	mi->inode.ino = inode_next_ino();
	mi->inode.op = S_ISDIR(mode) ? &mem_dir_ops : S_ISLNK(mode) ? &mem_link_ops : &mem_file_ops;
	if (S_ISDIR(mode))
		mi->inode.nlink = 2;
	if (S_ISREG(mode) || S_ISDIR(mode))
		mi->inode.fop = &mem_fops;
	return &mi->inode;
}

static struct mem_entry *mem_find(struct inode *dir, const char *name)
{
	struct mem_entry *entry;

	list_for_each (entry, &mem_of(dir)->entries, node)
		if (!strcmp(entry->name, name))
			return entry;
	return NULL;
}

static void mem_enter(struct inode *dir, const char *name, struct inode *inode)
{
	struct mem_entry *entry = calloc(1, sizeof(*entry));

	entry->name = strdup(name);
	entry->inode = inode_get(inode);
	fb_mutex_lock(&memfs.lock);
	list_add_tail(&mem_of(dir)->entries, &entry->node);
	fb_mutex_unlock(&memfs.lock);
}

/* Returns the entry's inode reference. */
static struct inode *mem_leave(struct inode *dir, const char *name)
{
	struct mem_entry *entry;
	struct inode *inode;

	fb_mutex_lock(&memfs.lock);
	entry = mem_find(dir, name);
	inode = entry->inode;
	list_del(&entry->node);
	fb_mutex_unlock(&memfs.lock);
	free(entry->name);
	free(entry);
	return inode;
}

static void mem_maybe_wait(const char *name)
{
	fb_mutex_lock(&memfs.lock);
	if (!strncmp(name, "slow", 4)) {
		atomic_fetch_add(&memfs.held, 1);
		waitq_wake_all(&memfs.queue, 0);
		while (atomic_load(&memfs.hold))
			(void)waitq_wait(&memfs.queue, 0, &memfs.lock, WAIT_UNINTERRUPTIBLE, 0);
		atomic_fetch_sub(&memfs.held, 1);
	}
	fb_mutex_unlock(&memfs.lock);
}

static int mem_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      unsigned flags, struct dentry **ret_alias)
{
	struct mem_entry *entry;
	struct inode *inode;

	(void)ctx;
	(void)flags;
	atomic_fetch_add(&memfs.lookups, 1);
	mem_maybe_wait(dentry->name);
	if (atomic_load(&memfs.stale) > 0) {
		atomic_fetch_sub(&memfs.stale, 1);
		return -ESTALE;
	}
	fb_mutex_lock(&memfs.lock);
	entry = mem_find(dir, dentry->name);
	inode = entry ? inode_get(entry->inode) : NULL;
	fb_mutex_unlock(&memfs.lock);
	return d_splice_alias(dentry, inode, ret_alias);
}

static int mem_make(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		    uint32_t mode, dev_t rdev, const char *target)
{
	struct inode *inode = mem_inode_new(ctx, dir->sb, dir, mode);

	inode->rdev = rdev;
	if (target)
		mem_of(inode)->target = strdup(target);
	mem_enter(dir, dentry->name, inode);
	if (S_ISDIR(mode))
		inode_add_nlink(dir, 1);
	d_instantiate(dentry, inode);
	return 0;
}

static int mem_create(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		      uint32_t mode, bool excl)
{
	(void)excl;
	return mem_make(ctx, dir, dentry, mode, 0, NULL);
}

static int mem_mkdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode)
{
	return mem_make(ctx, dir, dentry, S_IFDIR | mode, 0, NULL);
}

static int mem_mknod(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		     uint32_t mode, dev_t rdev)
{
	return mem_make(ctx, dir, dentry, mode, rdev, NULL);
}

static int mem_symlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       const char *target)
{
	return mem_make(ctx, dir, dentry, S_IFLNK | 0777, 0, target);
}

static int mem_link(const struct op_ctx *ctx, struct dentry *old, struct inode *dir,
		    struct dentry *dentry)
{
	(void)ctx;
	inode_add_nlink(old->inode, 1);
	mem_enter(dir, dentry->name, old->inode);
	d_instantiate(dentry, inode_get(old->inode));
	return 0;
}

static int mem_unlink(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = mem_leave(dir, dentry->name);

	(void)ctx;
	inode_add_nlink(inode, -1);
	inode_put(inode);
	return 0;
}

static int mem_rmdir(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry)
{
	(void)ctx;
	if (!list_empty(&mem_of(dentry->inode)->entries))
		return -ENOTEMPTY;
	inode_add_nlink(dentry->inode, -2);
	inode_add_nlink(dir, -1);
	inode_put(mem_leave(dir, dentry->name));
	return 0;
}

static int mem_rename(const struct op_ctx *ctx, struct inode *old_dir, struct dentry *old,
		      struct inode *new_dir, struct dentry *new, unsigned flags)
{
	struct inode *inode, *other = NULL;

	(void)ctx;
	if (!(flags & RENAME_EXCHANGE) && new->inode && inode_is_dir(new->inode) &&
	    !list_empty(&mem_of(new->inode)->entries))
		return -ENOTEMPTY;
	inode = mem_leave(old_dir, old->name);
	if (new->inode)
		other = mem_leave(new_dir, new->name);
	mem_enter(new_dir, new->name, inode);
	if (flags & RENAME_EXCHANGE)
		mem_enter(old_dir, old->name, other);
	else if (other)
		inode_add_nlink(other, inode_is_dir(other) ? -2 : -1);
	inode_put(inode);
	inode_put(other);
	return 0;
}

static int mem_tmpfile(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
		       struct file *file, uint32_t mode)
{
	struct inode *inode = mem_inode_new(ctx, dir->sb, dir, mode);

	inode->nlink = 0;
	d_instantiate(dentry, inode);
	return file_finish_open(ctx, file, dentry);
}

/* With the name "atomic*": open and create in one step. */
static int mem_atomic_open(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			   struct file *file, uint32_t mode, bool *ret_created)
{
	if (strncmp(dentry->name, "atomic", 6) != 0)
		return -ENOTATOMIC;
	atomic_fetch_add(&memfs.atomic_opens, 1);
	mem_make(ctx, dir, dentry, mode, 0, NULL);
	*ret_created = true;
	return file_finish_open(ctx, file, dentry);
}

static int mem_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
			char **ret_target, struct path *ret_path)
{
	struct mem_inode *mi = mem_of(inode);

	(void)dentry;
	/* "magic:" leads to the caller's root by jump. */
	if (!strcmp(mi->target, "magic:")) {
		fs_get_root(ctx->fs, ret_path);
		return 0;
	}
	*ret_target = strdup(mi->target);
	return 0;
}

static void mem_evict(struct inode *inode)
{
	struct mem_inode *mi = mem_of(inode);
	struct mem_entry *entry, *tmp;

	atomic_fetch_add(&memfs.evicted, 1);
	list_for_each_safe (entry, tmp, &mi->entries, node) {
		inode_put(entry->inode);
		free(entry->name);
		free(entry);
	}
}

static void mem_free(struct inode *inode)
{
	free(mem_of(inode)->target);
	free(mem_of(inode));
}

static void mem_put_super(struct superblock *sb)
{
	(void)sb;
	atomic_fetch_add(&memfs.put_supers, 1);
}

static int mem_sync_fs(const struct op_ctx *ctx, struct superblock *sb)
{
	atomic_fetch_add(&memfs.synced, 1);
	return -EIO; /* sync(2) goes on with the next one */
}

static void mem_umount_begin(struct superblock *sb)
{
	(void)sb;
	atomic_fetch_add(&memfs.begun_umounts, 1);
}

static void mem_show_options(struct superblock *sb, struct strbuf *out)
{
	(void)sb;
	strbuf_puts(out, ",size=1");
}

static int mem_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			  unsigned flags)
{
	(void)ctx;
	(void)dir;
	(void)dentry;
	(void)flags;
	atomic_fetch_add(&memfs.revalidates, 1);
	return atomic_load(&memfs.revalidate_result);
}

static void mem_release(const struct op_ctx *ctx, struct file *file)
{
	(void)ctx;
	(void)file;
	atomic_fetch_add(&memfs.releases, 1);
}

static const struct dentry_ops mem_reval_ops = {.revalidate = mem_revalidate};

static int mem_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			   const struct fs_parameter *param)
{
	(void)ctx;
	if (strcmp(param->key, "revalidate") != 0)
		return -ENOPARAM;
	fc->fs_private = &memfs;
	return 0;
}

static int mem_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb = superblock_new(&mem_type, fc->sb_flags);

	sb->op = &mem_super_ops;
	sb->magic = 0x6d656d66;
	if (fc->fs_private)
		sb->d_op = &mem_reval_ops;
	sb->root = dentry_make_root(sb, mem_inode_new(ctx, sb, NULL, S_IFDIR | 0755));
	fc->root = dentry_get(sb->root);
	return 0;
}

static const struct fs_context_ops mem_context_ops = {.parse_param = mem_parse_param,
						      .get_tree = mem_get_tree};

static int mem_init_fs_context(struct fs_context *fc)
{
	fc->op = &mem_context_ops;
	return 0;
}

static const struct inode_ops mem_dir_ops = {
	.lookup = mem_lookup,
	.create = mem_create,
	.mkdir = mem_mkdir,
	.mknod = mem_mknod,
	.symlink = mem_symlink,
	.link = mem_link,
	.unlink = mem_unlink,
	.rmdir = mem_rmdir,
	.rename = mem_rename,
	.tmpfile = mem_tmpfile,
	.atomic_open = mem_atomic_open,
};
static const struct inode_ops mem_file_ops = {0};
static const struct inode_ops mem_link_ops = {.get_link = mem_get_link};
static const struct file_ops mem_fops = {.release = mem_release};
static const struct superblock_ops mem_super_ops = {
	.free_inode = mem_free,
	.evict_inode = mem_evict,
	.put_super = mem_put_super,
	.umount_begin = mem_umount_begin,
	.sync_fs = mem_sync_fs,
	.show_options = mem_show_options,
};
static struct filesystem_type mem_type = {
	.name = "memfs", .fs_flags = FS_HAS_SUBTYPE, .init_fs_context = mem_init_fs_context};

/* The world. */

static void world_signal(const struct op_ctx *ctx, int signo)
{
	((struct world *)ctx->task)->signal = signo;
}

static const struct op_ctx_ops world_ops = {.signal = world_signal};

void world_init(struct world *w)
{
	static bool registered;
	struct fs_context *fc;
	struct mount *root;

	if (!registered)
		filesystem_register(&mem_type);
	registered = true;
	memset(&memfs, 0, sizeof(memfs));
	atomic_store(&memfs.revalidate_result, 1);
	fb_mutex_init(&memfs.lock, RANK_FS);
	waitq_init(&memfs.queue);
	memset(w, 0, sizeof(*w));
	w->cred = cred_new(0, 0, NULL, 0);
	w->ctx.cred = w->cred;
	w->ctx.fsize_limit = UINT64_MAX;
	w->ctx.ops = &world_ops;
	w->ctx.task = w;
	fb_assert(!fs_context_new(&mem_type, 0, &fc));
	fc->source = strdup("root");
	fb_assert(!fs_context_get_tree(&w->ctx, fc));
	fb_assert(!mount_create(fc, MNT_RELATIME, &root));
	fs_context_free(fc);
	w->ns = mnt_ns_new(root);
	w->fs = fs_struct_new(w->ns);
	fs_set_umask(w->fs, 0);
	w->ctx.fs = w->fs;
}

void world_fini(struct world *w)
{
	fs_struct_put(w->fs);
	mnt_ns_put(w->ns);
	cred_put(w->cred);
}

void world_become(struct world *w, uid_t uid, gid_t gid)
{
	cred_put(w->cred);
	w->cred = cred_new(uid, gid, NULL, 0);
	w->ctx.cred = w->cred;
}

int t_mkdir(struct world *w, const char *path)
{
	return vfs_mkdir(&w->ctx, NULL, path, 0755);
}

int t_open(struct world *w, const char *path, unsigned flags, uint32_t mode, struct file **ret_file)
{
	struct open_args args = {.flags = flags, .mode = mode};

	return vfs_open(&w->ctx, NULL, path, &args, ret_file);
}

int t_open_close(struct world *w, const char *path, unsigned flags)
{
	struct file *file;
	int err = t_open(w, path, flags, 0644, &file);

	if (!err)
		file_put(file);
	return err;
}

int t_create(struct world *w, const char *path, uint32_t mode)
{
	return vfs_mknod(&w->ctx, NULL, path, S_IFREG | mode, 0);
}

int t_lookup(struct world *w, const char *path, unsigned flags)
{
	struct path found;
	int err = path_lookup(&w->ctx, NULL, path, flags, &found);

	if (!err)
		path_put(&found);
	return err;
}

int t_mount(struct world *w, const char *type, const char *where, unsigned long flags,
	    const char *data)
{
	struct path place;
	int err = path_lookup(&w->ctx, NULL, where, LOOKUP_FOLLOW, &place);

	if (err)
		return err;
	err = vfs_mount(&w->ctx, type && *type == '/' ? type : "src", &place, type, flags, data);
	path_put(&place);
	return err;
}

int t_umount(struct world *w, const char *where, int flags)
{
	struct path place;
	int err = path_lookup(&w->ctx, NULL, where, LOOKUP_FOLLOW, &place);

	if (err)
		return err;
	err = vfs_umount(&w->ctx, &place, flags);
	path_put(&place);
	return err;
}

int t_stat(struct world *w, const char *path, struct kstat *ret_stat)
{
	struct path found;
	int err = path_lookup(&w->ctx, NULL, path, LOOKUP_FOLLOW, &found);

	if (err)
		return err;
	err = vfs_getattr(&w->ctx, &found, ret_stat, 0x7ff, 0);
	path_put(&found);
	return err;
}

char *t_path(struct world *w, const char *path)
{
	struct path found, root;
	char *text;

	if (path_lookup(&w->ctx, NULL, path, 0, &found))
		return NULL;
	fs_get_root(w->fs, &root);
	text = d_path(&found, &root);
	path_put(&root);
	path_put(&found);
	return text;
}

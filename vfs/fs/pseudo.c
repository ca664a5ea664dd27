/*
 * Generated files and directories: inodes made on lookup from entries, text made on read.
 *
 * Inode numbers are a hash of the directory's number and the name: the same object keeps its
 * number however often its inode is dropped, and no address of ours shows through.
 *
 * Text is made afresh whenever a read starts at position 0 (as seq_file does after a rewind: top
 * keeps /proc/stat open), and kept for the reads that go on from there.
 */
#include "vfs/fs/pseudo.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "vfs/attr.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/namei.h"
#include "vfs/perm.h"
#include "vfs/poll.h"
#include "vfs/readdir.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define PSEUDO_NAME_MAX 255
#define ROOT_INO	1
#define KERNFS_FILE_SIZE 4096 /* a page, whatever is in it */

/* Positions in a directory: dots, then the table, then added entries, then computed names. */
#define POS_TABLE   2
#define POS_ADDED   (1ll << 16)
#define POS_DYNAMIC (1ll << 32)

struct pseudo_inode {
	struct inode inode;
	const struct pseudo_entry *entry; /* constant, as the key */
	struct pseudo_key key;
};

struct added_entry {
	struct list_node node;
	const struct pseudo_entry *entry;
	unsigned seq;
};

/* What an open regular file has. */
struct pseudo_text {
	struct sleep_mutex lock; /* guards the rest */
	struct strbuf text;
	bool made;
	struct pseudo_watch watch; /* constant after open */
	_Atomic uint64_t seen;	   /* its count when poll last told of it */
};

static const struct inode_ops pseudo_dir_iops, pseudo_file_iops, pseudo_link_iops;
static const struct file_ops pseudo_dir_fops, pseudo_file_fops;

static struct pseudo_inode *pseudo_inode(const struct inode *inode)
{
	return container_of((struct inode *)(uintptr_t)inode, struct pseudo_inode, inode);
}

static const struct pseudo_fs *fs_of(const struct inode *inode)
{
	return inode->sb->fs_info;
}

int pseudo_parse_number(const char *text, int *ret_number)
{
	int64_t number = 0;

	/* "01" is no name of 1 (cf. name_to_int() in fs/proc/util.c). */
	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		number = number * 10 + (*text - '0');
		if (number > INT32_MAX)
			return -EINVAL;
	}
	*ret_number = (int)number;
	return 0;
}

/* FNV-1a, folded to 47 bits so that no tool meets a negative number. */
static uint64_t name_ino(uint64_t dir_ino, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull ^ dir_ino;

	hash *= 0x100000001b3ull;
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ull;
	hash = (hash ^ (hash >> 47)) & 0x7fffffffffffull;
	return hash > ROOT_INO ? hash : ROOT_INO + 1;
}

/* ---- entries added at run time ---- */

static void added_init(struct pseudo_dir *dir)
{
	if (!dir->entries.next)
		list_init(&dir->entries);
}

static struct added_entry *added_find(struct pseudo_dir *dir, const char *name)
{
	struct added_entry *added;

	added_init(dir);
	list_for_each (added, &dir->entries, node)
		if (strcmp(added->entry->name, name) == 0)
			return added;
	return NULL;
}

int pseudo_dir_add(struct pseudo_dir *dir, const struct pseudo_entry *entry)
{
	struct added_entry *added = malloc(sizeof(*added));
	int err = 0;

	if (!added)
		return -ENOMEM;
	fb_mutex_lock(&dir->lock);
	if (added_find(dir, entry->name)) {
		err = -EEXIST;
	} else {
		added->entry = entry;
		added->seq = dir->next_seq++;
		list_add_tail(&dir->entries, &added->node);
	}
	fb_mutex_unlock(&dir->lock);
	if (err)
		free(added);
	return err;
}

void pseudo_dir_remove(struct pseudo_dir *dir, const char *name)
{
	struct added_entry *added;

	fb_mutex_lock(&dir->lock);
	added = added_find(dir, name);
	if (added)
		list_del(&added->node);
	fb_mutex_unlock(&dir->lock);
	free(added);
}

static const struct pseudo_entry *dir_find_added(struct pseudo_dir *dir, const char *name)
{
	const struct pseudo_entry *entry = NULL;
	struct added_entry *added;

	if (!dir)
		return NULL;
	fb_mutex_lock(&dir->lock);
	added = added_find(dir, name);
	if (added)
		entry = added->entry;
	fb_mutex_unlock(&dir->lock);
	return entry;
}

/* ---- lookup ---- */

static int entry_find(const struct op_ctx *ctx, const struct pseudo_inode *dir, const char *name,
		      struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	const struct pseudo_entry *entry = dir_find_added(dir->entry->dir, name);

	if (!entry && dir->entry->children)
		for (const struct pseudo_entry *row = dir->entry->children; row->name; row++)
			if (strcmp(row->name, name) == 0) {
				entry = row;
				break;
			}
	*ret_key = dir->key;
	if (!entry) {
		if (!dir->entry->dynamic)
			return -ENOENT;
		return dir->entry->dynamic->find(ctx, &dir->key, name, ret_key, ret_entry);
	}
	if (entry->data)
		ret_key->data = entry->data;
	*ret_entry = entry;
	return 0;
}

static int entry_owner(struct superblock *sb, const struct pseudo_key *key,
		       const struct pseudo_entry *entry, uid_t *ret_uid, gid_t *ret_gid)
{
	const struct pseudo_fs *fs = sb->fs_info;

	*ret_uid = 0;
	*ret_gid = 0;
	return fs->owner ? fs->owner(key, entry, ret_uid, ret_gid) : 0;
}

/* Of a directory, each of the table's directories counts; others come and go, and do not. */
static uint32_t links_of(const struct pseudo_entry *entry)
{
	const struct pseudo_entry *child;
	uint32_t links = 2;

	if (!S_ISDIR(entry->mode))
		return 1;
	for (child = entry->children; child && child->name; child++)
		links += S_ISDIR(child->mode) ? 1 : 0;
	return links;
}

static struct inode *inode_make(struct superblock *sb, const struct pseudo_entry *entry,
				const struct pseudo_key *key, uint64_t ino, uid_t uid, gid_t gid)
{
	struct pseudo_inode *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	inode_init(&made->inode, sb, entry->mode, uid, gid);
	made->entry = entry;
	made->key = *key;
	made->inode.ino = ino;
	made->inode.nlink = links_of(entry);
	if (S_ISDIR(entry->mode)) {
		made->inode.op = &pseudo_dir_iops;
		made->inode.fop = &pseudo_dir_fops;
	} else if (S_ISLNK(entry->mode)) {
		made->inode.op = &pseudo_link_iops;
	} else {
		made->inode.op = &pseudo_file_iops;
		made->inode.fop = &pseudo_file_fops;
		if (((const struct pseudo_fs *)sb->fs_info)->kernfs)
			made->inode.size = KERNFS_FILE_SIZE;
	}
	return &made->inode;
}

static int pseudo_lookup(const struct op_ctx *ctx, struct inode *dir, struct dentry *dentry,
			 unsigned flags, struct dentry **ret_alias)
{
	struct pseudo_inode *parent = pseudo_inode(dir);
	const struct pseudo_entry *entry;
	struct pseudo_key key;
	struct inode *inode;
	uid_t uid;
	gid_t gid;
	int err;

	(void)flags;
	(void)ret_alias;
	if (parent->entry->access) {
		err = parent->entry->access(ctx, &parent->key);
		if (err)
			return err;
	}
	err = entry_find(ctx, parent, dentry->name, &key, &entry);
	if (!err)
		err = entry_owner(dir->sb, &key, entry, &uid, &gid);
	if (err == -ENOENT && !fs_of(dir)->no_negatives) {
		d_add(dentry, NULL);
		return 0;
	}
	if (err)
		return err;
	inode = inode_make(dir->sb, entry, &key, name_ino(dir->ino, dentry->name), uid, gid);
	if (!inode)
		return -ENOMEM;
	d_add(dentry, inode);
	return 0;
}

/* Is an entry found earlier still what its name means, and whose is it now? */
static int pseudo_revalidate(const struct op_ctx *ctx, struct dentry *dir, struct dentry *dentry,
			     unsigned flags)
{
	struct inode *inode = dentry->inode;
	const struct pseudo_entry *entry;
	struct pseudo_key key;
	uid_t uid;
	gid_t gid;

	(void)flags;
	if (!inode)
		return 0; /* what is missing may appear at any time */
	if (entry_find(ctx, pseudo_inode(dir->inode), dentry->name, &key, &entry) ||
	    entry != pseudo_inode(inode)->entry || key.num != pseudo_inode(inode)->key.num ||
	    entry_owner(inode->sb, &key, entry, &uid, &gid))
		return 0;
	fb_mutex_lock(&inode->attr_lock);
	inode->uid = uid;
	inode->gid = gid;
	fb_mutex_unlock(&inode->attr_lock);
	return 1;
}

/* Entries are cheap to make again, and a cached process would outlive its task. */
static bool pseudo_delete(const struct dentry *dentry)
{
	return !dentry->inode || pseudo_inode(dentry->inode)->key.pid != 0;
}

/* Cf. proc_setattr(): owner and mode are not the caller's to change; O_TRUNC is ignored. */
static int pseudo_setattr(const struct op_ctx *ctx, struct dentry *dentry, struct iattr *attr)
{
	if (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID))
		return -EPERM;
	return setattr_prepare(ctx, dentry->inode, attr);
}

static int pseudo_get_link(const struct op_ctx *ctx, struct dentry *dentry, struct inode *inode,
			   char **ret_target, struct path *ret_path)
{
	const struct pseudo_inode *link = pseudo_inode(inode);

	(void)dentry;
	if (link->entry->access) {
		int err = link->entry->access(ctx, &link->key);

		if (err)
			return err;
	}
	if (link->entry->link)
		return link->entry->link(ctx, &link->key, ret_target, ret_path);
	*ret_target = strdup(link->entry->target);
	return *ret_target ? 0 : -ENOMEM;
}

/* Text of a magic link: the path as the caller's root sees it. */
static int link_path_text(const struct op_ctx *ctx, const struct path *path, char **ret_target)
{
	struct path root = {NULL, NULL};

	if (ctx->fs)
		fs_get_root(ctx->fs, &root);
	*ret_target = d_path(path, &root);
	path_put(&root);
	return *ret_target ? 0 : -ENOMEM;
}

static int pseudo_readlink(const struct op_ctx *ctx, struct dentry *dentry, char **ret_target)
{
	const struct pseudo_inode *link = pseudo_inode(dentry->inode);
	struct path path = {NULL, NULL};
	char *target = NULL;
	int err;

	if (link->entry->readlink) {
		err = link->entry->access ? link->entry->access(ctx, &link->key) : 0;
		return err ? err : link->entry->readlink(ctx, &link->key, ret_target);
	}
	err = pseudo_get_link(ctx, dentry, dentry->inode, &target, &path);
	if (err)
		return err;
	if (target)
		*ret_target = target;
	else
		err = link_path_text(ctx, &path, ret_target);
	path_put(&path);
	return err;
}

/* ---- directories ---- */

static int pseudo_dir_permission(const struct op_ctx *ctx, struct inode *inode, unsigned mask)
{
	const struct pseudo_inode *dir = pseudo_inode(inode);
	int err = generic_permission(ctx, inode, mask);

	if (err == -EACCES && dir->entry->own && dir->entry->own(ctx, &dir->key))
		err = 0;
	return err;
}

static int pseudo_dir_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	const struct pseudo_inode *dir = pseudo_inode(inode);

	(void)file;
	return dir->entry->access ? dir->entry->access(ctx, &dir->key) : 0;
}

static bool emit_table(const struct pseudo_inode *dir, struct dir_context *dc)
{
	const struct pseudo_entry *row = dir->entry->children;
	int64_t nr = 0;

	for (; row && row->name; row++, nr++) {
		if (POS_TABLE + nr < dc->pos || dir_find_added(dir->entry->dir, row->name))
			continue;
		dc->pos = POS_TABLE + nr;
		if (!dir_emit(dc, row->name, strlen(row->name), name_ino(dir->inode.ino, row->name),
			      IFTODT(row->mode)))
			return false;
		dc->pos++;
	}
	if (dc->pos < POS_ADDED)
		dc->pos = POS_ADDED;
	return true;
}

/* The added entry with the lowest number from `seq` on, as a copy of its name and type. */
static bool added_next(struct pseudo_dir *dir, unsigned *seq, char *name, uint32_t *mode)
{
	struct added_entry *added;
	bool found = false;

	fb_mutex_lock(&dir->lock);
	added_init(dir);
	list_for_each (added, &dir->entries, node)
		if (added->seq >= *seq) {
			*seq = added->seq;
			*mode = added->entry->mode;
			snprintf(name, PSEUDO_NAME_MAX + 1, "%s", added->entry->name);
			found = true;
			break;
		}
	fb_mutex_unlock(&dir->lock);
	return found;
}

static bool emit_added(const struct pseudo_inode *dir, struct dir_context *dc)
{
	unsigned seq = (unsigned)(dc->pos - POS_ADDED);
	char name[PSEUDO_NAME_MAX + 1];
	uint32_t mode;

	while (dir->entry->dir && added_next(dir->entry->dir, &seq, name, &mode)) {
		dc->pos = POS_ADDED + seq;
		if (!dir_emit(dc, name, strlen(name), name_ino(dir->inode.ino, name), IFTODT(mode)))
			return false;
		dc->pos++;
		seq++;
	}
	dc->pos = POS_DYNAMIC;
	return true;
}

static void emit_dynamic(const struct op_ctx *ctx, const struct pseudo_inode *dir,
			 struct dir_context *dc)
{
	const struct pseudo_dynamic *dynamic = dir->entry->dynamic;
	int64_t from = dc->pos - POS_DYNAMIC;
	char name[PSEUDO_NAME_MAX + 1];
	int number;

	while (dynamic && from <= INT32_MAX) {
		number = (int)from;
		if (dynamic->next(ctx, &dir->key, &number))
			return;
		from = (int64_t)number + 1;
		if (!dynamic->name)
			snprintf(name, sizeof(name), "%s%d", dynamic->prefix, number);
		else if (dynamic->name(&dir->key, number, name, sizeof(name)))
			continue;
		dc->pos = POS_DYNAMIC + number;
		if (!dir_emit(dc, name, strlen(name), name_ino(dir->inode.ino, name),
			      dynamic->dirent_type))
			return;
		dc->pos++;
	}
}

static int pseudo_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	const struct pseudo_inode *dir = pseudo_inode(file->inode);

	if (dc->pos < 0)
		return -EINVAL;
	if (dc->pos < POS_TABLE && !dir_emit_dots(file, dc))
		return 0;
	if (dc->pos < POS_ADDED && !emit_table(dir, dc))
		return 0;
	if (dc->pos < POS_DYNAMIC && !emit_added(dir, dc))
		return 0;
	emit_dynamic(ctx, dir, dc);
	return 0;
}

/* ---- files ---- */

static bool mode_binds(const struct inode *inode)
{
	return fs_of(inode)->kernfs || pseudo_inode(inode)->entry->mode_binds;
}

static int mode_allows(const struct inode *inode, unsigned fmode)
{
	const struct pseudo_entry *entry = pseudo_inode(inode)->entry;

	if ((fmode & FMODE_WRITE) && (!(entry->mode & 0222) || !entry->store))
		return -EACCES;
	if ((fmode & FMODE_READ) && (!(entry->mode & 0444) || !entry->show))
		return -EACCES;
	return 0;
}

static int pseudo_file_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	const struct pseudo_inode *pinode = pseudo_inode(inode);
	struct pseudo_text *text;

	if (mode_binds(inode)) {
		int err = mode_allows(inode, file->fmode);

		if (err)
			return err;
	}
	if (pinode->entry->access) {
		int err = pinode->entry->access(ctx, &pinode->key);

		if (err)
			return err;
	}
	text = calloc(1, sizeof(*text));
	if (!text)
		return -ENOMEM;
	sleep_mutex_init(&text->lock);
	if (pinode->entry->watch) {
		int err = pinode->entry->watch(ctx, &pinode->key, &text->watch);

		if (err) {
			free(text);
			return err;
		}
		text->seen = text->watch.count(text->watch.object);
	}
	if (pinode->entry->no_seek)
		file->fmode |= FMODE_NOSEEK;
	file->private = text;
	return 0;
}

static void pseudo_file_release(const struct op_ctx *ctx, struct file *file)
{
	struct pseudo_text *text = file->private;

	(void)ctx;
	if (!text)
		return;
	strbuf_free(&text->text);
	if (text->watch.put)
		text->watch.put(text->watch.object);
	free(text);
}

/*
 * Linux's descriptors of /proc/PID keep the memory that the process had when they were opened. Ours
 * mean what the process is now, which may have become another user's by exec since then: hence the
 * opener is looked at again.
 */
static int still_allowed(const struct op_ctx *ctx, const struct file *file,
			 const struct pseudo_inode *inode)
{
	struct op_ctx opener = *ctx;

	if (!inode->entry->access)
		return 0;
	opener.cred = file->cred;
	return inode->entry->access(&opener, &inode->key);
}

/* Makes the text; the lock of `text` is held. */
static int text_make(const struct op_ctx *ctx, const struct file *file,
		     const struct pseudo_inode *inode, struct pseudo_text *text)
{
	int err = still_allowed(ctx, file, inode);

	if (err)
		return err;
	strbuf_free(&text->text);
	text->text = (struct strbuf)STRBUF_INIT;
	text->made = false;
	err = inode->entry->show(ctx, &inode->key, &text->text);
	if (!err && text->text.failed)
		err = -ENOMEM;
	text->made = !err;
	return err;
}

static ssize_t pseudo_file_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
				int64_t *pos, int rwf)
{
	const struct pseudo_inode *inode = pseudo_inode(file->inode);
	struct pseudo_text *text = file->private;
	ssize_t done = 0;
	size_t left;
	int err = 0;

	(void)rwf;
	if (!inode->entry->show)
		return fs_of(&inode->inode)->no_method;
	if (*pos < 0)
		return -EINVAL;
	sleep_mutex_lock(&text->lock);
	if (*pos == 0 || !text->made)
		err = text_make(ctx, file, inode, text);
	if (!err && (uint64_t)*pos < text->text.len) {
		left = text->text.len - (size_t)*pos;
		if (left > to->count)
			left = to->count;
		done = (ssize_t)iter_to(to, text->text.buf + *pos, left);
		if (!done && left)
			err = -EFAULT;
	}
	sleep_mutex_unlock(&text->lock);
	if (err)
		return err;
	*pos += done;
	return done;
}

static ssize_t pseudo_file_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
				 int64_t *pos, int rwf)
{
	const struct pseudo_inode *inode = pseudo_inode(file->inode);
	size_t len = from->count;
	char *buf;
	int err;

	(void)rwf;
	if (!inode->entry->store)
		return fs_of(&inode->inode)->no_method;
	if (!len && mode_binds(&inode->inode))
		return 0;
	if (len > PSEUDO_WRITE_MAX || (inode->entry->write_once && *pos != 0))
		return -EINVAL;
	buf = malloc(len + 1);
	if (!buf)
		return -ENOMEM;
	if (iter_from(from, buf, len) != len) {
		free(buf);
		return -EFAULT;
	}
	buf[len] = '\0';
	err = inode->entry->store(ctx, &inode->key, buf, len);
	free(buf);
	if (err)
		return err;
	*pos += (int64_t)len;
	return (ssize_t)len;
}

static unsigned pseudo_file_poll(const struct op_ctx *ctx, struct file *file,
				 struct poll_table *table)
{
	struct pseudo_text *text = file->private;
	uint64_t count;

	(void)ctx;
	if (!text->watch.queue)
		return POLL_ALWAYS;
	poll_wait(table, file, text->watch.queue);
	count = text->watch.count(text->watch.object);
	if (atomic_exchange(&text->seen, count) == count)
		return POLLIN | POLLRDNORM;
	return POLLIN | POLLRDNORM | POLLERR | POLLPRI;
}

/* ---- superblock ---- */

static void pseudo_free_inode(struct inode *inode)
{
	free(pseudo_inode(inode));
}

static int pseudo_statfs(const struct op_ctx *ctx, struct dentry *dentry,
			 struct kstatfs *ret_statfs)
{
	(void)ctx;
	*ret_statfs = (struct kstatfs){.type = dentry->sb->magic,
				       .bsize = 4096,
				       .frsize = 4096,
				       .namelen = PSEUDO_NAME_MAX};
	return 0;
}

static const struct superblock_ops pseudo_sops = {
	.free_inode = pseudo_free_inode,
	.statfs = pseudo_statfs,
};

static const struct dentry_ops pseudo_dops = {
	.revalidate = pseudo_revalidate,
	.delete = pseudo_delete,
};

static const struct inode_ops pseudo_dir_iops = {
	.lookup = pseudo_lookup,
	.permission = pseudo_dir_permission,
	.setattr = pseudo_setattr,
};

static const struct inode_ops pseudo_file_iops = {
	.setattr = pseudo_setattr,
};

static const struct inode_ops pseudo_link_iops = {
	.get_link = pseudo_get_link,
	.readlink = pseudo_readlink,
	.setattr = pseudo_setattr,
};

static const struct file_ops pseudo_dir_fops = {
	.open = pseudo_dir_open,
	.iterate = pseudo_iterate,
	.llseek = generic_file_llseek,
};

static const struct file_ops pseudo_file_fops = {
	.open = pseudo_file_open,
	.read_iter = pseudo_file_read,
	.write_iter = pseudo_file_write,
	.llseek = generic_file_llseek,
	.poll = pseudo_file_poll,
	.release = pseudo_file_release,
};

int pseudo_get_tree(struct fs_context *fc, const struct pseudo_fs *fs)
{
	const struct pseudo_key key = {0};
	struct superblock *sb;
	struct inode *inode;

	sb = superblock_new((struct filesystem_type *)(uintptr_t)fc->type, fc->sb_flags);
	if (!sb)
		return -ENOMEM;
	sb->op = &pseudo_sops;
	sb->d_op = &pseudo_dops;
	sb->magic = fs->magic;
	sb->blksize = 4096;
	sb->fs_info = (void *)(uintptr_t)fs;
	inode = inode_make(sb, fs->root, &key, ROOT_INO, 0, 0);
	if (inode)
		sb->root = dentry_make_root(sb, inode);
	if (!sb->root) {
		superblock_put(sb);
		return -ENOMEM;
	}
	fc->root = dentry_get(sb->root); /* with the sb reference that we hold */
	return 0;
}

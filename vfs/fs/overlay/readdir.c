/*
 * Reading a directory: what the table adds, then what the lower directory has and the table does
 * not mention. The list is taken once, when reading starts at position 0, and kept with the open
 * file: positions stay what they are while names come and go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/file.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"

#define POS_FIRST 2 /* after "." and ".."; an entry's position is this plus its offset */

struct list_entry_head {
	uint64_t ino;
	uint16_t len;
	uint8_t type;
	char name[];
};

static size_t entry_bytes(size_t len)
{
	return (offsetof(struct list_entry_head, name) + len + 7) & ~(size_t)7;
}

static int list_add_name(struct ovl_file *of, const char *name, size_t len, uint64_t ino,
			 unsigned type)
{
	size_t need = of->list_len + entry_bytes(len);
	struct list_entry_head *entry;
	unsigned char *grown;

	if (need > of->list_alloc) {
		size_t alloc = of->list_alloc ? 2 * of->list_alloc : 1024;

		grown = realloc(of->list, alloc > need ? alloc : need);
		if (!grown)
			return -ENOMEM;
		of->list = grown;
		of->list_alloc = alloc > need ? alloc : need;
	}
	entry = (struct list_entry_head *)(void *)(of->list + of->list_len);
	entry->ino = ino;
	entry->len = (uint16_t)len;
	entry->type = (uint8_t)type;
	memcpy(entry->name, name, len);
	of->list_len = need;
	return 0;
}

struct list_arg {
	struct ovl_file *of;
	struct inode *dir;
	bool has_table;
};

static int add_upper(void *arg, const struct ovl_entry *entry)
{
	struct list_arg *la = arg;
	uint32_t mode = __atomic_load_n(&entry->inode->mode, __ATOMIC_RELAXED);

	return list_add_name(la->of, entry->name, entry->len, entry->inode->ino,
			     (mode & S_IFMT) >> 12);
}

static int add_lower(void *arg, const char *name, size_t len, uint64_t ino, unsigned type)
{
	struct list_arg *la = arg;
	struct inode *inode = NULL;

	if (la->has_table && ovl_table_find(la->dir, name, len, &inode)) {
		inode_put(inode);
		return 0;
	}
	return list_add_name(la->of, name, len, ino, type);
}

static int take_list(struct inode *dir, struct ovl_file *of)
{
	struct list_arg la = {of, dir, ovl_table_exists(dir)};
	int err;

	of->list_len = 0;
	of->listed = false;
	err = ovl_table_walk(dir, add_upper, &la);
	if (!err && ovl_i(dir)->lower)
		err = hostfs_list(ovl_i(dir)->lower, add_lower, &la);
	of->listed = err == 0;
	return err;
}

/* Positions between two entries cannot come from us; they mean the entry after them. */
static size_t seek_entry(const struct ovl_file *of, int64_t pos)
{
	size_t off = 0;

	while (off < of->list_len && (int64_t)off + POS_FIRST < pos)
		off += entry_bytes(((struct list_entry_head *)(void *)(of->list + off))->len);
	return off;
}

int ovl_iterate(const struct op_ctx *ctx, struct file *file, struct dir_context *dc)
{
	struct ovl_file *of = file->private;
	struct list_entry_head *entry;
	size_t off;
	int err;

	(void)ctx;
	if (dc->pos == 0 || !of->listed) {
		err = take_list(file->inode, of);
		if (err)
			return err == -ESTALE ? 0 : err; /* gone on the host: empty */
	}
	if (dc->pos < POS_FIRST && !dir_emit_dots(file, dc))
		return 0;
	for (off = seek_entry(of, dc->pos); off < of->list_len; off += entry_bytes(entry->len)) {
		entry = (struct list_entry_head *)(void *)(of->list + off);
		dc->pos = (int64_t)off + POS_FIRST;
		if (!dir_emit(dc, entry->name, entry->len, entry->ino, entry->type))
			return 0;
		dc->pos = (int64_t)(off + entry_bytes(entry->len)) + POS_FIRST;
	}
	return 0;
}

static int lower_name_shows(void *arg, const char *name, size_t len, uint64_t ino, unsigned type)
{
	struct inode *inode = NULL;

	(void)ino;
	(void)type;
	if (ovl_table_find(arg, name, len, &inode) && !inode)
		return 0;
	inode_put(inode);
	return -ENOTEMPTY;
}

int ovl_check_empty(struct inode *dir)
{
	int err;

	if (ovl_table_visible(dir) > 0)
		return -ENOTEMPTY;
	if (!ovl_i(dir)->lower)
		return 0;
	err = hostfs_list(ovl_i(dir)->lower, lower_name_shows, dir);
	return err == -ESTALE ? 0 : err;
}

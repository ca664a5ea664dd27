/*
 * /sys/devices/virtual/bdi/0:NUMBER of each mount, from its mount to its unmount, and the links to
 * them in /sys/class/bdi (M06): how far the kernel reads ahead, which can be changed for the files
 * that are opened afterwards. The share of memory that dirty pages may take is shown as Linux has
 * it, and cannot be changed: nobody counts it here.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "devfuse/params.h"
#include "devfuse/registry.h"
#include "fusefs/fusefs.h"
#include "sentry/base/err.h"
#include "vfs/fs/sysfs.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

#define KIB_PER_PAGE (FUSE_PAGE / 1024)
/* One window is asked for at once, with a buffer for each READ. */
#define MOST_PAGES ((uint32_t)((32 << 20) / FUSE_PAGE))

uint32_t fuse_readahead_limit(struct fuse_super *fs)
{
	unsigned long pages = atomic_load(&fs->readahead_pages);

	return pages < MOST_PAGES ? (uint32_t)pages : MOST_PAGES;
}

void fuse_limit_readahead(struct fuse_super *fs, uint32_t pages)
{
	unsigned long old = atomic_load(&fs->readahead_pages);

	while (old > pages && !atomic_compare_exchange_weak(&fs->readahead_pages, &old, pages))
		;
}

/* The mount of an open file may have gone meanwhile: NULL. */
static struct superblock *super_of(const struct pseudo_key *key)
{
	struct fuse_conn *conn = fuse_registry_get((uint32_t)key->num);
	struct superblock *sb = conn ? fuse_conn_super(conn) : NULL;

	fuse_conn_put(conn);
	return sb;
}

static int show_readahead(const struct op_ctx *ctx, const struct pseudo_key *key,
			  struct strbuf *out)
{
	struct superblock *sb = super_of(key);

	(void)ctx;
	if (!sb)
		return -ENODEV;
	strbuf_printf(out, "%ld\n", (long)(atomic_load(&fuse_sb(sb)->readahead_pages) * KIB_PER_PAGE));
	superblock_put(sb);
	return 0;
}

static int store_readahead(const struct op_ctx *ctx, const struct pseudo_key *key,
			   const char *text, size_t len)
{
	struct superblock *sb = super_of(key);
	unsigned long kib;
	int err;

	(void)ctx;
	(void)len;
	if (!sb)
		return -ENODEV;
	err = fuse_parse_ulong(text, 10, &kib);
	if (!err)
		atomic_store(&fuse_sb(sb)->readahead_pages, kib / KIB_PER_PAGE);
	superblock_put(sb);
	return err;
}

#define TEXT(name_, text_)                                                                         \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = sysfs_show_text, .data = (text_)  \
	}

static const struct pseudo_entry bdi_entries[] = {
	TEXT("max_ratio", "1"),
	TEXT("min_ratio", "0"),
	{.name = "read_ahead_kb",
	 .mode = S_IFREG | 0644,
	 .show = show_readahead,
	 .store = store_readahead},
	TEXT("stable_pages_required", "0"),
	TEXT("strict_limit", "1"),
	{.name = "subsystem", .mode = S_IFLNK | 0777, .target = "../../../../class/bdi"},
	{.name = NULL},
};

static int class_link(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		      struct path *ret_path)
{
	struct strbuf text = STRBUF_INIT;

	(void)ctx;
	(void)ret_path;
	strbuf_printf(&text, "../../devices/virtual/bdi/0:%d", key->num);
	*ret_target = strbuf_steal(&text);
	return *ret_target ? 0 : -ENOMEM;
}

static const struct pseudo_entry bdi_entry = {
	.name = "bdi", .mode = S_IFDIR | 0755, .children = bdi_entries};
static const struct pseudo_entry link_entry = {
	.name = "link", .mode = S_IFLNK | 0777, .link = class_link};

static int find_bdi(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		    struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	(void)ctx;
	if (strncmp(name, "0:", 2) != 0)
		return -ENOENT;
	*ret_entry = dir->data;
	return fuse_find_mounted(name + 2, &ret_key->num);
}

static const struct pseudo_dynamic devices = {
	.find = find_bdi, .next = fuse_next_mounted, .prefix = "0:", .dirent_type = DT_DIR};
static const struct pseudo_dynamic links = {
	.find = find_bdi, .next = fuse_next_mounted, .prefix = "0:", .dirent_type = DT_LNK};
static const struct pseudo_entry devices_dir = {
	.name = "bdi", .mode = S_IFDIR | 0755, .dynamic = &devices, .data = &bdi_entry};
static const struct pseudo_entry class_dir = {
	.name = "bdi", .mode = S_IFDIR | 0755, .dynamic = &links, .data = &link_entry};

int fuse_bdi_init(void)
{
	int err = pseudo_dir_add(&sysfs_virtual, &devices_dir);

	return err ? err : pseudo_dir_add(&sysfs_class, &class_dir);
}

/*
 * /sys/devices/virtual/bdi/0:NUMBER of each mount, from its mount to its unmount, and the links to
 * them in /sys/class/bdi (M06): how far the kernel reads ahead, which can be changed for the files
 * that are opened afterwards; and the shares of the dirty memory, which are checked and kept as by
 * Linux, and have no effect: nobody counts that memory here. No more has what is written to
 * power/control.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

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

/* --- shares of the dirty memory, cf. bdi_set_min_ratio() and others in mm/page-writeback.c --- */

#define RATIO_SCALE 10000u		/* the unit is a part in a million, */
#define RATIO_FULL (100u * RATIO_SCALE) /* most files show percents */
#define DIRTY_RATIO 20			/* vm.dirty_ratio, in percent */

enum share_unit { PERCENT, FINE, BYTES };

struct share_file {
	bool max; /* or the least one */
	enum share_unit unit;
};

/* Guards the shares of all mounts; taken alone. */
static struct fb_mutex share_lock = FB_MUTEX_INIT(RANK_FS);
static uint32_t min_ratios; /* all of them together */

void fuse_bdi_init_shares(struct fuse_super *fs)
{
	fs->bdi_max_ratio = RATIO_SCALE;
	fs->bdi_strict_limit = true;
}

void fuse_bdi_drop_shares(struct fuse_super *fs)
{
	fb_mutex_lock(&share_lock);
	min_ratios -= fs->bdi_min_ratio;
	fs->bdi_min_ratio = 0;
	fb_mutex_unlock(&share_lock);
}

static int set_min_ratio_locked(struct fuse_super *fs, uint32_t ratio)
{
	uint32_t others = min_ratios - fs->bdi_min_ratio;

	if (ratio > fs->bdi_max_ratio)
		return -EINVAL;
	if (ratio > fs->bdi_min_ratio && others + ratio >= RATIO_FULL)
		return -EINVAL;
	fs->bdi_min_ratio = ratio;
	min_ratios = others + ratio;
	return 0;
}

static int set_ratio(struct fuse_super *fs, bool max, uint32_t ratio)
{
	int err = 0;

	if (ratio > RATIO_FULL)
		return -EINVAL;
	fb_mutex_lock(&share_lock);
	if (!max)
		err = set_min_ratio_locked(fs, ratio);
	else if (ratio < fs->bdi_min_ratio)
		err = -EINVAL;
	else
		fs->bdi_max_ratio = ratio;
	fb_mutex_unlock(&share_lock);
	return err;
}

/* Bytes that could be dirty. */
static uint64_t dirtyable_memory(void)
{
	struct sysinfo info;

	if (HOST(sysinfo(&info)) < 0)
		return 1ull << 30;
	return (uint64_t)(info.freeram + info.bufferram) * info.mem_unit;
}

static uint64_t dirty_threshold(void)
{
	return dirtyable_memory() / 100 * DIRTY_RATIO;
}

static int ratio_of_bytes(uint64_t bytes, uint32_t *ret_ratio)
{
	uint64_t pages = bytes / FUSE_PAGE, threshold = dirty_threshold() / FUSE_PAGE;

	if (pages > dirtyable_memory() / FUSE_PAGE / 2 || !threshold)
		return -EINVAL;
	*ret_ratio = (uint32_t)(pages * RATIO_FULL / threshold);
	return 0;
}

static int parse_ratio(const char *text, enum share_unit unit, uint32_t *ret_ratio)
{
	unsigned long value;
	int err = fuse_parse_ulong(text, 10, &value);

	if (err)
		return err;
	if (unit == BYTES)
		return ratio_of_bytes(value, ret_ratio);
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret_ratio = unit == PERCENT ? (uint32_t)value * RATIO_SCALE : (uint32_t)value;
	return 0;
}

static int show_share(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	const struct share_file *file = key->data;
	struct superblock *sb = super_of(key);
	uint64_t value;

	(void)ctx;
	if (!sb)
		return -ENODEV;
	fb_mutex_lock(&share_lock);
	value = file->max ? fuse_sb(sb)->bdi_max_ratio : fuse_sb(sb)->bdi_min_ratio;
	fb_mutex_unlock(&share_lock);
	superblock_put(sb);
	if (file->unit == PERCENT)
		value /= RATIO_SCALE;
	else if (file->unit == BYTES)
		value = dirty_threshold() / FUSE_PAGE * FUSE_PAGE * value / RATIO_FULL;
	strbuf_printf(out, "%llu\n", (unsigned long long)value);
	return 0;
}

static int store_share(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	const struct share_file *file = key->data;
	struct superblock *sb = super_of(key);
	uint32_t ratio;
	int err;

	(void)ctx;
	(void)len;
	if (!sb)
		return -ENODEV;
	err = parse_ratio(text, file->unit, &ratio);
	if (!err)
		err = set_ratio(fuse_sb(sb), file->max, ratio);
	superblock_put(sb);
	return err;
}

static int show_strict_limit(const struct op_ctx *ctx, const struct pseudo_key *key,
			     struct strbuf *out)
{
	struct superblock *sb = super_of(key);

	(void)ctx;
	if (!sb)
		return -ENODEV;
	strbuf_puts(out, atomic_load(&fuse_sb(sb)->bdi_strict_limit) ? "1\n" : "0\n");
	superblock_put(sb);
	return 0;
}

static int store_strict_limit(const struct op_ctx *ctx, const struct pseudo_key *key,
			      const char *text, size_t len)
{
	struct superblock *sb = super_of(key);
	unsigned long value;
	int err;

	(void)ctx;
	(void)len;
	if (!sb)
		return -ENODEV;
	err = fuse_parse_ulong(text, 10, &value);
	if (!err && value > 1)
		err = value > UINT32_MAX ? -ERANGE : -EINVAL;
	if (!err)
		atomic_store(&fuse_sb(sb)->bdi_strict_limit, value == 1);
	superblock_put(sb);
	return err;
}

/* --- power -------------------------------------------------------------------------------- */

static int show_power(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct superblock *sb = super_of(key);

	(void)ctx;
	if (!sb)
		return -ENODEV;
	strbuf_puts(out, atomic_load(&fuse_sb(sb)->bdi_power_on) ? "on\n" : "auto\n");
	superblock_put(sb);
	return 0;
}

static int store_power(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	struct superblock *sb = super_of(key);
	bool on;
	int err;

	(void)ctx;
	(void)len;
	if (!sb)
		return -ENODEV;
	err = sysfs_parse_power(text, &on);
	if (!err)
		atomic_store(&fuse_sb(sb)->bdi_power_on, on);
	superblock_put(sb);
	return err;
}

/* --- the directories ---------------------------------------------------------------------- */

#define SHARE(name_, max_, unit_)                                                                  \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0644, .show = show_share, .store = store_share, \
		.data = &(const struct share_file)                                                 \
		{                                                                                  \
			(max_), (unit_)                                                            \
		}                                                                                  \
	}
#define TEXT(name_, text_)                                                                         \
	{                                                                                          \
		.name = (name_), .mode = S_IFREG | 0444, .show = sysfs_show_text, .data = (text_)  \
	}

static const struct pseudo_entry power_entries[] = {
	SYSFS_POWER_ENTRIES(show_power, store_power),
};

static const struct pseudo_entry bdi_entries[] = {
	SHARE("max_bytes", true, BYTES),
	SHARE("max_ratio", true, PERCENT),
	SHARE("max_ratio_fine", true, FINE),
	SHARE("min_bytes", false, BYTES),
	SHARE("min_ratio", false, PERCENT),
	SHARE("min_ratio_fine", false, FINE),
	{.name = "power", .mode = S_IFDIR | 0755, .children = power_entries},
	{.name = "read_ahead_kb",
	 .mode = S_IFREG | 0644,
	 .show = show_readahead,
	 .store = store_readahead},
	TEXT("stable_pages_required", "0"),
	{.name = "strict_limit",
	 .mode = S_IFREG | 0644,
	 .show = show_strict_limit,
	 .store = store_strict_limit},
	{.name = "subsystem", .mode = S_IFLNK | 0777, .target = "../../../../class/bdi"},
	{.name = "uevent",
	 .mode = S_IFREG | 0644,
	 .show = sysfs_show_nothing,
	 .store = sysfs_store_uevent},
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

/*
 * /sys/devices/virtual/cuse/NAME with its attributes, and the links in /sys/class/cuse (C05). A
 * name with directories has '!' for '/' here (cf. kobject_set_name_vargs()).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fusefs/cuse.h"
#include "sentry/base/err.h"
#include "vfs/fs/sysfs.h"
#include "vfs/strbuf.h"

static void swap_chars(char *name, char from, char to)
{
	for (; *name; name++)
		if (*name == from)
			*name = to;
}

/* --- attributes --------------------------------------------------------------------------- */

static int show_dev(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct cuse *cuse = cuse_by_id(key->num);

	(void)ctx;
	if (!cuse)
		return -ENODEV;
	strbuf_printf(out, "%u:%u\n", major(cuse->rdev), minor(cuse->rdev));
	cuse_put(cuse);
	return 0;
}

static int show_uevent(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct cuse *cuse = cuse_by_id(key->num);

	(void)ctx;
	if (!cuse)
		return -ENODEV;
	strbuf_printf(out, "MAJOR=%u\nMINOR=%u\nDEVNAME=%s\n", major(cuse->rdev),
		      minor(cuse->rdev), cuse->name);
	cuse_put(cuse);
	return 0;
}

static int show_waiting(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct cuse *cuse = cuse_by_id(key->num);
	size_t waiting;

	(void)ctx;
	if (!cuse)
		return -ENODEV;
	fb_mutex_lock(&cuse->conn->lock);
	waiting = cuse->conn->nr_waiting;
	fb_mutex_unlock(&cuse->conn->lock);
	strbuf_printf(out, "%zu\n", waiting);
	cuse_put(cuse);
	return 0;
}

static int store_abort(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	struct cuse *cuse = cuse_by_id(key->num);

	(void)ctx;
	(void)text;
	(void)len;
	if (!cuse)
		return -ENODEV;
	fuse_conn_abort(cuse->conn, false);
	cuse_put(cuse);
	return 0;
}

static int show_power(const struct op_ctx *ctx, const struct pseudo_key *key, struct strbuf *out)
{
	struct cuse *cuse = cuse_by_id(key->num);

	(void)ctx;
	if (!cuse)
		return -ENODEV;
	strbuf_puts(out, atomic_load(&cuse->power_on) ? "on\n" : "auto\n");
	cuse_put(cuse);
	return 0;
}

static int store_power(const struct op_ctx *ctx, const struct pseudo_key *key, const char *text,
		       size_t len)
{
	struct cuse *cuse = cuse_by_id(key->num);
	bool on;
	int err;

	(void)ctx;
	(void)len;
	if (!cuse)
		return -ENODEV;
	err = sysfs_parse_power(text, &on);
	if (!err)
		atomic_store(&cuse->power_on, on);
	cuse_put(cuse);
	return err;
}

static const struct pseudo_entry power_entries[] = {
	SYSFS_POWER_ENTRIES(show_power, store_power),
};

static const struct pseudo_entry device_entries[] = {
	{.name = "abort", .mode = S_IFREG | 0200, .store = store_abort},
	{.name = "dev", .mode = S_IFREG | 0444, .show = show_dev},
	{.name = "power", .mode = S_IFDIR | 0755, .children = power_entries},
	{.name = "subsystem", .mode = S_IFLNK | 0777, .target = "../../../../class/cuse"},
	{.name = "uevent",
	 .mode = S_IFREG | 0644,
	 .show = show_uevent,
	 .store = sysfs_store_uevent},
	{.name = "waiting", .mode = S_IFREG | 0400, .show = show_waiting},
	{.name = NULL},
};

/* --- the directories ---------------------------------------------------------------------- */

static int class_link(const struct op_ctx *ctx, const struct pseudo_key *key, char **ret_target,
		      struct path *ret_path)
{
	struct strbuf text = STRBUF_INIT;
	struct cuse *cuse = cuse_by_id(key->num);

	(void)ctx;
	(void)ret_path;
	if (!cuse)
		return -ENOENT;
	strbuf_printf(&text, "../../devices/virtual/cuse/%s", cuse->name);
	cuse_put(cuse);
	*ret_target = strbuf_steal(&text);
	if (!*ret_target)
		return -ENOMEM;
	swap_chars(*ret_target + strlen("../../devices/virtual/cuse/"), '/', '!');
	return 0;
}

static const struct pseudo_entry device_entry = {
	.name = "device", .mode = S_IFDIR | 0755, .children = device_entries};
static const struct pseudo_entry link_entry = {
	.name = "link", .mode = S_IFLNK | 0777, .link = class_link};

static int find_any(const char *name, struct pseudo_key *ret_key)
{
	char *copy = strdup(name);
	struct cuse *cuse;

	if (!copy)
		return -ENOMEM;
	swap_chars(copy, '!', '/');
	cuse = cuse_by_name(copy);
	free(copy);
	if (!cuse)
		return -ENOENT;
	ret_key->num = cuse->id;
	cuse_put(cuse);
	return 0;
}

static int find_device(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		       struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	(void)ctx;
	(void)dir;
	*ret_entry = &device_entry;
	return find_any(name, ret_key);
}

static int find_link(const struct op_ctx *ctx, const struct pseudo_key *dir, const char *name,
		     struct pseudo_key *ret_key, const struct pseudo_entry **ret_entry)
{
	(void)ctx;
	(void)dir;
	*ret_entry = &link_entry;
	return find_any(name, ret_key);
}

static int next_device(const struct op_ctx *ctx, const struct pseudo_key *dir, int *number)
{
	(void)ctx;
	(void)dir;
	return cuse_next_id(number);
}

static int device_name(const struct pseudo_key *dir, int number, char *buf, size_t size)
{
	struct cuse *cuse = cuse_by_id(number);

	(void)dir;
	if (!cuse)
		return -ENOENT;
	snprintf(buf, size, "%s", cuse->name);
	cuse_put(cuse);
	swap_chars(buf, '/', '!');
	return 0;
}

static const struct pseudo_dynamic devices = {
	.find = find_device, .next = next_device, .name = device_name, .dirent_type = DT_DIR};
static const struct pseudo_dynamic links = {
	.find = find_link, .next = next_device, .name = device_name, .dirent_type = DT_LNK};
static const struct pseudo_entry devices_dir = {
	.name = "cuse", .mode = S_IFDIR | 0755, .dynamic = &devices};
static const struct pseudo_entry class_dir = {
	.name = "cuse", .mode = S_IFDIR | 0755, .dynamic = &links};

int cuse_sysfs_init(void)
{
	int err = pseudo_dir_add(&sysfs_virtual, &devices_dir);

	return err ? err : pseudo_dir_add(&sysfs_class, &class_dir);
}

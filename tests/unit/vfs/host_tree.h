/*
 * For tests of hostfs and the overlay: a private host directory, a file system mounted as the root
 * of a name space of its own, and short forms of the VFS calls. Every helper that returns int
 * returns 0 (or a number that is no error) or -errno.
 */
#ifndef FB_TEST_HOST_TREE_H
#define FB_TEST_HOST_TREE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/attr.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/file.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/namei.h"
#include "vfs/readdir.h"
#include "vfs/superblock.h"
#include "vfs/xattr.h"

/* The host directory; made by host_begin(), removed by host_end(). */
static char host_root[64];

/* A host path below the test's directory; a few may be in use at once. */
__attribute__((format(printf, 1, 2))) static inline const char *host(const char *fmt, ...)
{
	static char paths[4][512];
	static unsigned next;
	char *path = paths[next++ % 4];
	int len = snprintf(path, 512, "%s/", host_root);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(path + len, 512 - (size_t)len, fmt, ap);
	va_end(ap);
	return path;
}

static inline void host_begin(void)
{
	(void)snprintf(host_root, sizeof(host_root), "/tmp/fbtest.XXXXXX");
	cr_assert(mkdtemp(host_root));
	chmod(host_root, 0755);
	umask(022);
}

static inline void host_end(void)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", host_root);
	cr_assert_eq(system(command), 0);
}

static inline void host_write(const char *name, const char *text)
{
	FILE *f = fopen(host("%s", name), "w");

	cr_assert(f, "%s", name);
	fputs(text, f);
	fclose(f);
}

static inline const char *host_read(const char *name)
{
	static char text[4096];
	FILE *f = fopen(host("%s", name), "r");
	size_t n;

	if (!f)
		return "(none)";
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static inline void host_mkdir(const char *name)
{
	cr_assert_eq(mkdir(host("%s", name), 0755), 0, "%s", name);
}

/* The caller of everything; root unless changed. */
static struct op_ctx ctx = {.tid = 1, .tgid = 1, .fsize_limit = UINT64_MAX};

static inline void become(uid_t uid, gid_t gid)
{
	cred_put(ctx.cred);
	ctx.cred = cred_new(uid, gid, NULL, 0);
}

/* Mounts sb (takes the reference) as the root of everything. */
static inline void tree_begin(struct superblock *sb)
{
	struct fs_context fc = {.root = sb->root};
	struct mount *mnt;
	struct mnt_ns *ns;

	become(0, 0);
	cr_assert_eq(mount_create(&fc, 0, &mnt), 0);
	superblock_put(sb);
	ns = mnt_ns_new(mnt);
	ctx.fs = fs_struct_new(ns);
	mnt_ns_put(ns);
}

static inline void tree_end(void)
{
	fs_struct_put(ctx.fs);
	ctx.fs = NULL;
	cred_put(ctx.cred);
	ctx.cred = NULL;
}

static inline int open_mode(const char *name, int flags, uint32_t mode, struct file **ret)
{
	struct open_args args = {.flags = (uint64_t)flags, .mode = mode};

	return vfs_open(&ctx, NULL, name, &args, ret);
}

static inline struct file *must_open(const char *name, int flags)
{
	struct file *file = NULL;
	int err = open_mode(name, flags, 0644, &file);

	cr_assert_eq(err, 0, "open %s: %d", name, err);
	return file;
}

static inline int try_open(const char *name, int flags)
{
	struct file *file;
	int err = open_mode(name, flags, 0644, &file);

	if (!err)
		file_put(file);
	return err;
}

static inline const char *file_text(struct file *file)
{
	static char text[2][4096];
	static unsigned next;
	char *buf = text[next++ % 2];
	ssize_t n = kernel_read(&ctx, file, buf, 4095, 0);

	cr_assert_geq(n, 0, "read: %zd", n);
	buf[n] = '\0';
	return buf;
}

static inline const char *text_of(const char *name)
{
	static char none[32];
	struct file *file;
	const char *text;
	int err = open_mode(name, O_RDONLY, 0, &file);

	if (err) {
		(void)snprintf(none, sizeof(none), "(error %d)", err);
		return none;
	}
	text = file_text(file);
	file_put(file);
	return text;
}

static inline int put_text(const char *name, const char *text)
{
	struct file *file;
	int err = open_mode(name, O_WRONLY | O_CREAT | O_TRUNC, 0644, &file);
	ssize_t n;

	if (err)
		return err;
	n = kernel_write(&ctx, file, text, strlen(text), 0);
	file_put(file);
	return n < 0 ? (int)n : 0;
}

static inline int stat_of(const char *name, struct kstat *ret)
{
	struct path path;
	int err = path_lookup(&ctx, NULL, name, 0, &path);

	if (err)
		return err;
	err = vfs_getattr(&ctx, &path, ret, STATX_BASIC_STATS, 0);
	path_put(&path);
	return err;
}

static inline struct kstat must_stat(const char *name)
{
	struct kstat st = {0};
	int err = stat_of(name, &st);

	cr_assert_eq(err, 0, "stat %s: %d", name, err);
	return st;
}

static inline int exists(const char *name)
{
	struct kstat st;
	int err = stat_of(name, &st);

	return err == -ENOENT ? 0 : err ? err : 1;
}

static inline struct kstat fstat_of(struct file *file)
{
	struct kstat st = {0};

	cr_assert_eq(vfs_getattr(&ctx, &file->path, &st, STATX_BASIC_STATS, 0), 0);
	return st;
}

static inline int change(const char *name, struct iattr attr)
{
	struct path path;
	int err = path_lookup(&ctx, NULL, name, 0, &path);

	if (err)
		return err;
	err = notify_change(&ctx, &path, &attr);
	path_put(&path);
	return err;
}

static inline int do_chmod(const char *name, uint32_t mode)
{
	return change(name, (struct iattr){.valid = ATTR_MODE, .mode = mode});
}

static inline int do_mkdir(const char *name)
{
	return vfs_mkdir(&ctx, NULL, name, 0755);
}

static inline int do_unlink(const char *name)
{
	return vfs_unlink(&ctx, NULL, name);
}

static inline int do_rmdir(const char *name)
{
	return vfs_rmdir(&ctx, NULL, name);
}

static inline int do_rename(const char *old, const char *new)
{
	return vfs_rename(&ctx, NULL, old, NULL, new, 0);
}

static inline int do_link(const char *old, const char *new)
{
	struct path path;
	int err = path_lookup(&ctx, NULL, old, 0, &path);

	if (err)
		return err;
	err = vfs_link(&ctx, &path, NULL, new);
	path_put(&path);
	return err;
}

static inline int do_symlink(const char *target, const char *name)
{
	return vfs_symlink(&ctx, NULL, name, target);
}

static inline int set_xattr_of(const char *name, const char *key, const char *value)
{
	struct path path;
	int err = path_lookup(&ctx, NULL, name, 0, &path);

	if (err)
		return err;
	err = vfs_setxattr(&ctx, &path, key, value, strlen(value), 0);
	path_put(&path);
	return err;
}

static inline const char *xattr_of(const char *name, const char *key)
{
	static char value[2][256];
	static unsigned next;
	char *buf = value[next++ % 2];
	struct path path;
	ssize_t n = path_lookup(&ctx, NULL, name, 0, &path);

	if (!n) {
		n = vfs_getxattr(&ctx, &path, key, buf, 255);
		path_put(&path);
	}
	if (n < 0)
		(void)snprintf(buf, 256, "(error %zd)", n);
	else
		buf[n] = '\0';
	return buf;
}

/* Names of a directory but for the dots, sorted, separated by spaces. */
struct name_list {
	struct dir_context dc;
	char *names[1024];
	int nr, max;
	int64_t offs[1024];
	uint64_t inos[1024];
};

static inline bool list_emit(struct dir_context *dc, const char *name, size_t len, int64_t off,
			     uint64_t ino, unsigned type)
{
	struct name_list *list = (struct name_list *)dc;

	(void)type;
	if (list->nr >= list->max)
		return false;
	if (strncmp(name, ".", len) == 0 || strncmp(name, "..", len) == 0)
		return true;
	list->offs[list->nr] = off;
	list->inos[list->nr] = ino;
	list->names[list->nr++] = strndup(name, len);
	return true;
}

static inline int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads on from the file's position, at most `max` names. Result or -errno. */
static inline int read_names(struct file *file, struct name_list *list, int max)
{
	int err;

	memset(list, 0, sizeof(*list));
	list->max = max;
	list->dc.emit = list_emit;
	list->dc.pos = file->pos;
	err = vfs_iterate(&ctx, file, &list->dc);
	return err ? err : list->nr;
}

static inline void free_names(struct name_list *list)
{
	while (list->nr > 0)
		free(list->names[--list->nr]);
}

static inline const char *file_names(struct file *file)
{
	static char text[2][8192];
	static unsigned next;
	static struct name_list list;
	char *buf = text[next++ % 2];
	size_t len = 0;
	int i, err;

	err = read_names(file, &list, 1024);
	cr_assert_geq(err, 0, "getdents: %d", err);
	qsort(list.names, (size_t)list.nr, sizeof(char *), compare_names);
	buf[0] = '\0';
	for (i = 0; i < list.nr; i++)
		len += (size_t)snprintf(buf + len, 8192 - len, "%s%s", i ? " " : "", list.names[i]);
	free_names(&list);
	return buf;
}

static inline const char *names_in(const char *dir)
{
	struct file *file = must_open(dir, O_RDONLY | O_DIRECTORY);
	const char *names = file_names(file);

	file_put(file);
	return names;
}

#endif

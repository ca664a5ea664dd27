/* Paths and mounts as text: d_path(), /proc/PID/mounts, mountinfo, mountstats. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "sentry/base/cleanup.h"
#include "vfs/dentry.h"
#include "vfs/dentry_internal.h"
#include "vfs/mount_internal.h"
#include "vfs/strbuf.h"
#include "vfs/superblock.h"

/* Built from the end: buf holds `len` bytes right-aligned in `size`. */
struct path_text {
	char *buf;
	size_t size, len;
	bool failed;
};

static void text_prepend(struct path_text *text, const char *s, size_t len)
{
	size_t size = text->size ? text->size : 128;
	char *buf;

	if (text->failed)
		return;
	while (size - text->len < len)
		size *= 2;
	if (size != text->size) {
		buf = malloc(size);
		if (!buf) {
			text->failed = true;
			return;
		}
		if (text->len)
			memcpy(buf + size - text->len, text->buf + text->size - text->len,
			       text->len);
		free(text->buf);
		text->buf = buf;
		text->size = size;
	}
	text->len += len;
	memcpy(text->buf + size - text->len, s, len);
}

/* True = got to root. Mount and dcache locks held. cf. prepend_path(). */
static bool prepend_path_locked(struct path_text *text, const struct path *path,
				const struct path *root)
{
	const struct mount *mnt = path->mnt;
	const struct dentry *dentry = path->dentry;

	for (;;) {
		if (mnt == root->mnt && dentry == root->dentry)
			return true;
		if (mnt && dentry == mnt->root) {
			if (!mnt->parent)
				return false;
			dentry = mnt->mountpoint;
			mnt = mnt->parent;
			continue;
		}
		if (dentry_is_root(dentry))
			return false;
		text_prepend(text, dentry->name, dentry->name_len);
		text_prepend(text, "/", 1);
		dentry = dentry->parent;
	}
}

static char *text_finish(struct path_text *text)
{
	char *result = NULL;

	if (!text->failed)
		result = strndup(text->buf + text->size - text->len, text->len);
	free(text->buf);
	return result;
}

/* malloc'ed; *ret_reached tells whether root was met on the way up. */
static char *path_text(const struct path *path, const struct path *root, bool suffix,
		       bool *ret_reached)
{
	struct path_text text = {0};
	size_t before;

	fb_mutex_lock(&mount_lock);
	fb_mutex_lock(&dcache_lock);
	if (suffix && d_unlinked(path->dentry))
		text_prepend(&text, " (deleted)", 10);
	before = text.len;
	*ret_reached = prepend_path_locked(&text, path, root);
	fb_mutex_unlock(&dcache_lock);
	fb_mutex_unlock(&mount_lock);
	if (text.len == before)
		text_prepend(&text, "/", 1);
	return text_finish(&text);
}

static char *anon_name(struct dentry *dentry)
{
	return dentry->op && dentry->op->dname ? dentry->op->dname(dentry) : dentry_name(dentry);
}

char *d_path(const struct path *path, const struct path *root)
{
	cleanup_free char *text = NULL;
	struct strbuf out = STRBUF_INIT;
	bool reached;

	if (dentry_is_root(path->dentry) && (!path->mnt || path->dentry != path->mnt->root))
		return anon_name(path->dentry);
	text = path_text(path, root, true, &reached);
	if (!text || reached)
		return steal_ptr(text);
	strbuf_puts(&out, "(unreachable)");
	strbuf_puts(&out, text);
	return strbuf_steal(&out);
}

/* Mount tables. */

/* Names from guests: also '#', which starts a comment in fstab (cf. mangle()). */
static void puts_mangled(struct strbuf *out, const char *s)
{
	for (; *s; s++) {
		if (strchr(" \t\n\\#", *s))
			strbuf_printf(out, "\\%03o", (unsigned char)*s);
		else
			strbuf_putc(out, *s);
	}
}

static void puts_source(struct strbuf *out, const struct superblock *sb)
{
	if (sb->source && *sb->source)
		puts_mangled(out, sb->source);
	else
		strbuf_puts(out, "none");
}

static void puts_type(struct strbuf *out, const struct superblock *sb)
{
	puts_mangled(out, sb->type ? sb->type->name : "none");
	if (sb->subtype && *sb->subtype) {
		strbuf_putc(out, '.');
		puts_mangled(out, sb->subtype);
	}
}

static void puts_mnt_options(struct strbuf *out, const struct mount *mnt)
{
	static const struct {
		unsigned flag;
		const char *text;
	} options[] = {
		{MNT_NOSUID, ",nosuid"},	   {MNT_NODEV, ",nodev"},
		{MNT_NOEXEC, ",noexec"},	   {MNT_NOATIME, ",noatime"},
		{MNT_NODIRATIME, ",nodiratime"},   {MNT_RELATIME, ",relatime"},
		{MNT_NOSYMFOLLOW, ",nosymfollow"},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (mount_flags(mnt) & options[i].flag)
			strbuf_puts(out, options[i].text);
}

static void puts_sb_options(struct strbuf *out, const struct superblock *sb)
{
	static const struct {
		unsigned flag;
		const char *text;
	} options[] = {
		{SB_SYNCHRONOUS, ",sync"}, {SB_DIRSYNC, ",dirsync"}, {SB_LAZYTIME, ",lazytime"}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (sb_flags(sb) & options[i].flag)
			strbuf_puts(out, options[i].text);
}

static void puts_fs_options(struct strbuf *out, struct superblock *sb)
{
	if (sb->op && sb->op->show_options)
		sb->op->show_options(sb, out);
}

static void show_mounts(struct mount *mnt, const char *where, struct strbuf *out)
{
	struct superblock *sb = mnt->sb;
	bool readonly = (mount_flags(mnt) & MNT_READONLY) || (sb_flags(sb) & SB_RDONLY);

	puts_source(out, sb);
	strbuf_putc(out, ' ');
	strbuf_puts_escaped(out, where);
	strbuf_putc(out, ' ');
	puts_type(out, sb);
	strbuf_puts(out, readonly ? " ro" : " rw");
	puts_sb_options(out, sb);
	puts_mnt_options(out, mnt);
	puts_fs_options(out, sb);
	strbuf_puts(out, " 0 0\n");
}

static void show_mountinfo(struct mount *mnt, int parent_id, const char *where, struct strbuf *out)
{
	struct superblock *sb = mnt->sb;
	struct path root = {NULL, mnt->root};
	struct path nowhere = {NULL, NULL};
	cleanup_free char *root_text = NULL;
	bool reached;

	root_text = path_text(&root, &nowhere, true, &reached);
	strbuf_printf(out, "%d %d %u:%u ", mnt->id, parent_id, major(sb->dev), minor(sb->dev));
	strbuf_puts_escaped(out, root_text ? root_text : "/");
	strbuf_putc(out, ' ');
	strbuf_puts_escaped(out, where);
	strbuf_puts(out, (mount_flags(mnt) & MNT_READONLY) ? " ro" : " rw");
	puts_mnt_options(out, mnt);
	if (mnt->unbindable)
		strbuf_puts(out, " unbindable");
	strbuf_puts(out, " - ");
	puts_type(out, sb);
	strbuf_putc(out, ' ');
	puts_source(out, sb);
	strbuf_puts(out, (sb_flags(sb) & SB_RDONLY) ? " ro" : " rw");
	puts_sb_options(out, sb);
	puts_fs_options(out, sb);
	strbuf_putc(out, '\n');
}

static void show_mountstats(struct mount *mnt, const char *where, struct strbuf *out)
{
	if (mnt->sb->source && *mnt->sb->source) {
		strbuf_puts(out, "device ");
		puts_mangled(out, mnt->sb->source);
	} else {
		strbuf_puts(out, "no device");
	}
	strbuf_puts(out, " mounted on ");
	strbuf_puts_escaped(out, where);
	strbuf_puts(out, " with fstype ");
	puts_type(out, mnt->sb);
	strbuf_putc(out, '\n');
}

static void show_one(struct mount *mnt, int parent_id, const struct path *root,
		     enum mounts_format format, struct strbuf *out)
{
	struct path place = {mnt, mnt->root};
	cleanup_free char *where = NULL;
	bool reached;

	where = path_text(&place, root, false, &reached);
	if (!where || !reached) /* outside of a chroot: not shown (SEQ_SKIP) */
		return;
	switch (format) {
	case MOUNTS_MOUNTS:
		show_mounts(mnt, where, out);
		break;
	case MOUNTS_MOUNTINFO:
		show_mountinfo(mnt, parent_id, where, out);
		break;
	case MOUNTS_MOUNTSTATS:
		show_mountstats(mnt, where, out);
		break;
	}
}

struct mount_row {
	struct mount *mnt;
	int parent_id;
};

/* The mounts of ns with references, in order; the texts are made without the lock. */
static struct mount_row *snapshot(struct mnt_ns *ns, size_t *ret_nr)
{
	struct mount_row *rows;
	struct mount *mnt;
	size_t nr = 0;

	fb_mutex_lock(&mount_lock);
	rows = calloc((size_t)ns->nr_mounts + 1, sizeof(*rows));
	if (rows) {
		list_for_each (mnt, &ns->mounts, ns_node) {
			mount_observe_locked(mnt);
			rows[nr].mnt = mnt;
			rows[nr++].parent_id = mnt->parent ? mnt->parent->id : mnt->id;
		}
	}
	fb_mutex_unlock(&mount_lock);
	*ret_nr = nr;
	return rows;
}

void mnt_ns_show(struct mnt_ns *ns, const struct path *root, enum mounts_format format,
		 struct strbuf *out)
{
	size_t nr;
	struct mount_row *rows = snapshot(ns, &nr);

	if (!rows) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < nr; i++) {
		show_one(rows[i].mnt, rows[i].parent_id, root, format, out);
		mount_unobserve(rows[i].mnt);
	}
	free(rows);
}

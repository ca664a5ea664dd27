/*
 * The context in which a superblock is set up or changed: options from mount(2)'s string or one
 * by one from fsconfig(2), then get_tree or reconfigure. The declarations are in superblock.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/cleanup.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/superblock.h"

#define SB_MUTABLE (SB_RDONLY | SB_SYNCHRONOUS | SB_MANDLOCK | SB_LAZYTIME)

int fs_context_new(struct filesystem_type *type, unsigned sb_flags, struct fs_context **ret_fc)
{
	struct fs_context *fc = calloc(1, sizeof(*fc));
	int err;

	if (!fc)
		return -ENOMEM;
	fc->type = type;
	fc->sb_flags = sb_flags;
	err = type->init_fs_context ? type->init_fs_context(fc) : -EINVAL;
	if (err) {
		fs_context_free(fc);
		return err;
	}
	*ret_fc = fc;
	return 0;
}

void fs_context_free(struct fs_context *fc)
{
	struct superblock *sb;

	if (!fc)
		return;
	if (fc->root) {
		sb = fc->root->sb;
		dentry_put(fc->root);
		superblock_put(sb);
	}
	if (fc->op && fc->op->free)
		fc->op->free(fc);
	free(fc->source);
	free(fc->subtype);
	for (size_t i = 0; i < FC_LOG_LINES; i++)
		free(fc->log[i]);
	free(fc);
}

void fc_error(struct fs_context *fc, const char *fmt, ...)
{
	char text[256], *line;
	size_t used = 0;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (asprintf(&line, "e %s\n", text) < 0)
		return;
	while (used < FC_LOG_LINES && fc->log[used])
		used++;
	if (used == FC_LOG_LINES) {
		free(fc->log[0]);
		used--;
		memmove(fc->log, fc->log + 1, used * sizeof(fc->log[0]));
	}
	fc->log[used] = line;
}

/* cf. vfs_parse_sb_flag(). */
static int parse_sb_flag(struct fs_context *fc, const char *key)
{
	static const struct {
		const char *name;
		unsigned set, clear;
	} flags[] = {
		{"ro", SB_RDONLY, 0},		{"rw", 0, SB_RDONLY},
		{"sync", SB_SYNCHRONOUS, 0},	{"async", 0, SB_SYNCHRONOUS},
		{"lazytime", SB_LAZYTIME, 0},	{"nolazytime", 0, SB_LAZYTIME},
		{"mand", SB_MANDLOCK, 0},	{"nomand", 0, SB_MANDLOCK},
		{"dirsync", SB_DIRSYNC, 0},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(flags[i].name, key) != 0)
			continue;
		fc->sb_flags = (fc->sb_flags & ~flags[i].clear) | flags[i].set;
		return 0;
	}
	return -ENOPARAM;
}

static int set_string(struct fs_context *fc, char **slot, const char *key,
		      const struct fs_parameter *param)
{
	if (param->type != FS_VALUE_STRING) {
		fc_error(fc, "Non-string %s", key);
		return -EINVAL;
	}
	if (*slot) {
		fc_error(fc, "Multiple %ss", key);
		return -EINVAL;
	}
	*slot = strdup(param->string);
	return *slot ? 0 : -ENOMEM;
}

int fs_context_parse_param(const struct op_ctx *ctx, struct fs_context *fc,
			   const struct fs_parameter *param)
{
	int err = parse_sb_flag(fc, param->key);

	if (err != -ENOPARAM)
		return err;
	if (fc->op && fc->op->parse_param) {
		err = fc->op->parse_param(ctx, fc, param);
		if (err != -ENOPARAM)
			return err;
	}
	if (!strcmp(param->key, "source"))
		return set_string(fc, &fc->source, "source", param);
	if (!strcmp(param->key, "subtype") && (fc->type->fs_flags & FS_HAS_SUBTYPE))
		return set_string(fc, &fc->subtype, "subtype", param);
	fc_error(fc, "%s: Unknown parameter '%s'", fc->type->name, param->key);
	return -EINVAL;
}

int fs_context_parse_monolithic(const struct op_ctx *ctx, struct fs_context *fc, const char *data)
{
	cleanup_free char *copy = NULL;
	char *rest, *key;

	if (!data)
		return 0;
	copy = rest = strdup(data);
	if (!copy)
		return -ENOMEM;
	while ((key = strsep(&rest, ","))) {
		struct fs_parameter param = {.key = key, .type = FS_VALUE_FLAG};
		char *value = strchr(key, '=');
		int err;

		if (!*key || value == key)
			continue;
		if (value) {
			*value++ = '\0';
			param.type = FS_VALUE_STRING;
			param.string = value;
			param.size = strlen(value);
		}
		err = fs_context_parse_param(ctx, fc, &param);
		if (err)
			return err;
	}
	return 0;
}

int fs_context_get_tree(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb;
	int err;

	if (fc->root)
		return -EBUSY;
	if (!fc->op || !fc->op->get_tree)
		return -EINVAL;
	err = fc->op->get_tree(ctx, fc);
	if (err)
		return err;
	sb = fc->root->sb;
	if (!sb->source && fc->source)
		sb->source = steal_ptr(fc->source);
	if (!sb->subtype && fc->subtype)
		sb->subtype = steal_ptr(fc->subtype);
	return 0;
}

int fs_context_for_reconfigure(struct superblock *sb, unsigned sb_flags, struct fs_context **ret_fc)
{
	/* The type is constant for us, but its initialiser takes it as its own. */
	struct filesystem_type *type = (struct filesystem_type *)(uintptr_t)sb->type;
	struct fs_context *fc;
	int err;

	if (!type || !sb->root)
		return -EINVAL;
	err = fs_context_new(type, sb_flags, &fc);
	if (err)
		return err;
	fc->reconfigure = true;
	superblock_get(sb);
	fc->root = dentry_get(sb->root);
	*ret_fc = fc;
	return 0;
}

/* cf. sb_prepare_remount_readonly() */
static bool has_writers(struct superblock *sb)
{
	struct inode *inode;
	bool found = false;

	fb_mutex_lock(&sb->inode_lock);
	list_for_each(inode, &sb->inodes, sb_node)
	{
		found = atomic_load(&inode->writers) > 0;
		if (found)
			break;
	}
	fb_mutex_unlock(&sb->inode_lock);
	return found;
}

int fs_context_reconfigure(const struct op_ctx *ctx, struct fs_context *fc)
{
	struct superblock *sb;
	int err = 0;

	if (!fc->reconfigure)
		return -EINVAL;
	sb = fc->root->sb;
	if ((fc->sb_flags & SB_RDONLY) && !(sb_flags(sb) & SB_RDONLY) && has_writers(sb))
		return -EBUSY;
	if (fc->op && fc->op->reconfigure)
		err = fc->op->reconfigure(ctx, fc);
	if (err)
		return err;
	__atomic_store_n(&sb->flags, (sb->flags & ~SB_MUTABLE) | (fc->sb_flags & SB_MUTABLE),
			 __ATOMIC_RELAXED);
	return 0;
}

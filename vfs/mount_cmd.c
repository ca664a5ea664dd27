/*
 * mount(2): takes its flags apart as path_mount() does and calls what they ask for. The new mount
 * API needs nothing from here.
 */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>

#include "vfs/ctx.h"
#include "vfs/dentry.h"
#include "vfs/fs_struct.h"
#include "vfs/mount_internal.h"
#include "vfs/namei.h"
#include "vfs/superblock.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#define MS_KERNEL_ONLY (1ul << 31) /* MS_NOUSER */

#define MNT_ATIME_MASK (MNT_NOATIME | MNT_NODIRATIME | MNT_RELATIME)
#define MNT_USER_MASK                                                                              \
	(MNT_NOSUID | MNT_NODEV | MNT_NOEXEC | MNT_ATIME_MASK | MNT_READONLY | MNT_NOSYMFOLLOW)
#define MS_ATIME_MASK  (MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)
#define MS_PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define MS_SB_MASK     (MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_LAZYTIME)

static unsigned mnt_flags_of(unsigned long ms_flags)
{
	static const struct {
		unsigned long ms;
		unsigned mnt;
	} map[] = {
		{MS_NOSUID, MNT_NOSUID},	   {MS_NODEV, MNT_NODEV},
		{MS_NOEXEC, MNT_NOEXEC},	   {MS_NOATIME, MNT_NOATIME},
		{MS_RDONLY, MNT_READONLY},	   {MS_NODIRATIME, MNT_NODIRATIME},
		{MS_NOSYMFOLLOW, MNT_NOSYMFOLLOW},
	};
	unsigned flags = 0;

	/* relatime unless said otherwise */
	if (!(ms_flags & (MS_NOATIME | MS_STRICTATIME)))
		flags |= MNT_RELATIME;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (ms_flags & map[i].ms)
			flags |= map[i].mnt;
	return flags;
}

static int set_propagation(const struct op_ctx *ctx, const struct path *where,
			   unsigned long ms_flags)
{
	unsigned long type = ms_flags & ~(unsigned long)(MS_REC | MS_SILENT);
	struct mount *top = where->mnt, *mnt;

	/* Exactly one of them, and nothing else (cf. flags_to_propagation_type()). */
	if ((type & ~(unsigned long)MS_PROPAGATION) || (type & (type - 1)))
		return -EINVAL;
	if (!top || where->dentry != top->root || mount_ns(top) != ctx->fs->ns)
		return -EINVAL;
	fb_mutex_lock(&mount_lock);
	for (mnt = top; mnt; mnt = (ms_flags & MS_REC) ? mount_tree_next_locked(top, mnt) : NULL)
		mnt->unbindable = type == MS_UNBINDABLE;
	fb_mutex_unlock(&mount_lock);
	return 0;
}

static int remount_flags(const struct op_ctx *ctx, const struct path *where, unsigned long ms_flags)
{
	unsigned flags = mnt_flags_of(ms_flags);

	if (!where->mnt)
		return -EINVAL;
	if (!(ms_flags & MS_ATIME_MASK)) /* keep what it has */
		flags = (flags & ~(unsigned)MNT_ATIME_MASK) |
			(mount_flags(where->mnt) & MNT_ATIME_MASK);
	return vfs_mount_set_flags(ctx, where, flags, MNT_USER_MASK, false);
}

static int remount(const struct op_ctx *ctx, const struct path *where, unsigned long ms_flags,
		   const char *data)
{
	struct fs_context *fc;
	int err;

	if (!where->mnt || where->dentry != where->mnt->root || mount_ns(where->mnt) != ctx->fs->ns)
		return -EINVAL;
	err = fs_context_for_reconfigure(where->mnt->sb, (unsigned)(ms_flags & MS_SB_MASK), &fc);
	if (err)
		return err;
	err = fs_context_parse_monolithic(ctx, fc, data);
	if (!err)
		err = fs_context_reconfigure(ctx, fc);
	fs_context_free(fc);
	return err ? err : remount_flags(ctx, where, ms_flags);
}

static int bind_or_move(const struct op_ctx *ctx, const char *source, const struct path *where,
			unsigned long ms_flags)
{
	struct path from;
	int err;

	if (!source || !*source)
		return -EINVAL;
	err = path_lookup(ctx, NULL, source, LOOKUP_FOLLOW, &from);
	if (err)
		return err;
	if (ms_flags & MS_BIND)
		err = vfs_bind_mount(ctx, &from, where, (ms_flags & MS_REC) != 0);
	else
		err = vfs_move_mount(ctx, &from, where);
	path_put(&from);
	return err;
}

static int parse_string(const struct op_ctx *ctx, struct fs_context *fc, const char *key,
			const char *value)
{
	struct fs_parameter param = {
		.key = key, .type = FS_VALUE_STRING, .string = value, .size = strlen(value)};

	return fs_context_parse_param(ctx, fc, &param);
}

/* "type" or "type.subtype" (fuse.sshfs). */
static int find_type(const char *name, struct filesystem_type **ret_type, const char **ret_subtype)
{
	const char *dot = strchr(name, '.');
	struct filesystem_type *type = filesystem_find(name, strlen(name));

	if (!type)
		return -ENODEV;
	if (dot && !dot[1])
		return -EINVAL;
	*ret_type = type;
	*ret_subtype = dot ? dot + 1 : NULL;
	return 0;
}

/* The same superblock twice on top of itself is a mistake (cf. do_add_mount()). */
static bool is_mounted_there(struct fs_context *fc, const struct path *where)
{
	struct mount *top = mount_lookup(where);
	bool same;

	if (!top && where->dentry == where->mnt->root)
		top = mount_get(where->mnt);
	same = top && top->sb == fc->root->sb && top->root == fc->root;
	mount_put(top);
	return same;
}

static int mount_context(const struct op_ctx *ctx, struct fs_context *fc, const struct path *where,
			 unsigned mnt_flags)
{
	struct mount *mnt;
	int err;

	if (where->dentry == where->mnt->root)
		fc->over = where->mnt->sb;
	err = fs_context_get_tree(ctx, fc);
	if (err || fc->adopted)
		return err;
	if (is_mounted_there(fc, where))
		return -EBUSY;
	err = mount_create(fc, mnt_flags, &mnt);
	if (err)
		return err;
	err = mount_attach(ctx->fs->ns, mnt, where);
	if (err)
		mount_put(mnt);
	return err;
}

static int mount_new_fs(const struct op_ctx *ctx, const char *source, const struct path *where,
			const char *type_name, unsigned long ms_flags, const char *data)
{
	struct filesystem_type *type;
	const char *subtype;
	struct fs_context *fc;
	int err;

	if (!type_name)
		return -EINVAL;
	err = find_type(type_name, &type, &subtype);
	if (err)
		return err;
	err = fs_context_new(type, (unsigned)(ms_flags & MS_SB_MASK), &fc);
	if (err)
		return err;
	if (subtype)
		err = parse_string(ctx, fc, "subtype", subtype);
	if (!err && source)
		err = parse_string(ctx, fc, "source", source);
	if (!err)
		err = fs_context_parse_monolithic(ctx, fc, data);
	if (!err)
		err = mount_context(ctx, fc, where, mnt_flags_of(ms_flags));
	fs_context_free(fc);
	return err;
}

int vfs_mount(const struct op_ctx *ctx, const char *source, const struct path *where,
	      const char *type, unsigned long ms_flags, const char *data)
{
	if ((ms_flags & MS_MGC_MSK) == MS_MGC_VAL)
		ms_flags &= ~(unsigned long)MS_MGC_MSK;
	if (ms_flags & MS_KERNEL_ONLY)
		return -EINVAL;
	if (!may_mount(ctx))
		return -EPERM;
	if (!ctx->fs || !where->mnt)
		return -EINVAL;
	if ((ms_flags & (MS_REMOUNT | MS_BIND)) == (MS_REMOUNT | MS_BIND))
		return mount_ns(where->mnt) == ctx->fs->ns ? remount_flags(ctx, where, ms_flags)
							   : -EINVAL;
	if (ms_flags & MS_REMOUNT)
		return remount(ctx, where, ms_flags, data);
	if (ms_flags & (MS_BIND | MS_MOVE))
		return bind_or_move(ctx, source, where, ms_flags);
	if (ms_flags & MS_PROPAGATION)
		return set_propagation(ctx, where, ms_flags);
	return mount_new_fs(ctx, source, where, type, ms_flags, data);
}

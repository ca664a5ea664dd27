/*
 * The path walk. Two speeds:
 *
 * walk_fast() goes through as many cached components as it can under one hold of the mount lock
 * and the dcache lock, without counting anything on the way. It stops before whatever may sleep
 * or needs care: a name that is not cached, a dentry to revalidate, a directory with a permission
 * method, a symlink, a scoped walk (openat2's RESOLVE_*).
 *
 * walk_parent() and walk_last() take the component that stopped it with references and no lock,
 * and then let walk_fast() go on.
 */
#include "vfs/namei.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/ctx.h"
#include "vfs/dentry_internal.h"
#include "vfs/fs_struct.h"
#include "vfs/inode.h"
#include "vfs/mount_internal.h"
#include "vfs/namei_internal.h"
#include "vfs/perm.h"
#include "vfs/superblock.h"

/* What walk_fast() does not do. */
#define LOOKUP_NEEDS_CARE (LOOKUP_NO_XDEV | LOOKUP_SCOPED)

/* Start and end of a walk. */

static int path_start(struct walk *walk, struct path *ret_path)
{
	if (walk->base) {
		*ret_path = *walk->base;
		path_get(ret_path);
	} else if (walk->ctx->fs) {
		fs_get_cwd(walk->ctx->fs, ret_path);
	} else {
		return -ENOENT;
	}
	return 0;
}

/* What absolute symlinks and ".." refer to; a scoped walk has set it already. */
static int walk_need_root(struct walk *walk)
{
	if (walk->root.dentry)
		return 0;
	if (!walk->ctx->fs)
		return -ENOENT;
	fs_get_root(walk->ctx->fs, &walk->root);
	return 0;
}

static int walk_begin_scoped(struct walk *walk)
{
	int err;

	if (walk->absolute && (walk->flags & LOOKUP_BENEATH))
		return -EXDEV;
	walk->rename_seq = atomic_load(&dcache_rename_seq);
	walk->mount_seq = atomic_load(&mount_seq);
	err = path_start(walk, &walk->root);
	if (err)
		return err;
	walk->path = walk->root;
	path_get(&walk->path);
	return 0;
}

int walk_begin(struct walk *walk, const struct op_ctx *ctx, const struct path *base,
	       const char *name, unsigned flags)
{
	walk->ctx = ctx;
	walk->base = base;
	walk->path = walk->root = (struct path){NULL, NULL};
	walk->flags = flags;
	walk->absolute = *name == '/';
	walk->links = walk->nr_targets = 0;
	walk->last_type = LAST_ROOT;
	qstr_init(&walk->last, "", 0);
	if (flags & LOOKUP_SCOPED)
		return walk_begin_scoped(walk);
	return 0;
}

/* The starting place with references, for walks that walk_fast() did not start. */
static int walk_start(struct walk *walk)
{
	int err;

	if (walk->path.dentry)
		return 0;
	if (!walk->absolute)
		return path_start(walk, &walk->path);
	err = walk_need_root(walk);
	if (err)
		return err;
	walk->path = walk->root;
	path_get(&walk->path);
	return 0;
}

void walk_end(struct walk *walk)
{
	path_put(&walk->path);
	path_put(&walk->root);
	for (unsigned i = 0; i < walk->nr_targets; i++)
		free(walk->targets[i]);
	walk->nr_targets = 0;
}

static void walk_set_path(struct walk *walk, struct path path)
{
	struct path old = walk->path;

	walk->path = path;
	path_put(&old);
}

/* Components. */

static enum last_type component_type(const char *name, size_t len)
{
	if (name[0] != '.' || len > 2)
		return LAST_NORM;
	if (len == 1)
		return LAST_DOT;
	return name[1] == '.' ? LAST_DOTDOT : LAST_NORM;
}

static const char *skip_slashes(const char *s)
{
	while (*s == '/')
		s++;
	return s;
}

static size_t component_len(const char *name)
{
	const char *end = strchrnul(name, '/');

	return (size_t)(end - name);
}

/*
 * ".." with mount and dcache locks held; members are not counted. At the root of the walk it
 * stays, or leaves the scope (-EXDEV); cf. follow_dotdot().
 */
static int dotdot_locked(struct path *path, const struct path *root, unsigned flags)
{
	struct dentry *parent;

	for (;;) {
		if (path->dentry == root->dentry && path->mnt == root->mnt)
			goto in_root;
		if (!path->mnt || path->dentry != path->mnt->root)
			break;
		if (!path->mnt->parent)
			goto in_root;
		if (flags & LOOKUP_NO_XDEV)
			return -EXDEV;
		path->dentry = path->mnt->mountpoint;
		path->mnt = path->mnt->parent;
	}
	parent = path->dentry->parent;
	/* A directory that was moved out of a bind mount has no way back into it. */
	if (path->mnt && path->mnt->root != path->mnt->sb->root &&
	    !dentry_is_ancestor_locked(path->mnt->root, parent))
		return -ENOENT;
	path->dentry = parent;
down:
	if (path->mnt && path_down_locked(path) && (flags & LOOKUP_NO_XDEV))
		return -EXDEV;
	return 0;
in_root:
	if (flags & LOOKUP_BENEATH)
		return -EXDEV;
	goto down;
}

static int walk_dotdot(struct walk *walk)
{
	struct path path;
	int err;

	err = walk_need_root(walk);
	if (err)
		return err;
	path = walk->path;
	fb_mutex_lock(&mount_lock);
	fb_mutex_lock(&dcache_lock);
	err = dotdot_locked(&path, &walk->root, walk->flags);
	if (!err) {
		path.dentry->count++;
		if (path.mnt)
			mount_get(path.mnt);
	}
	fb_mutex_unlock(&dcache_lock);
	fb_mutex_unlock(&mount_lock);
	if (err)
		return err;
	walk_set_path(walk, path);
	/* Somebody moved something: we cannot know whether ".." left the scope. */
	if ((walk->flags & LOOKUP_SCOPED) && (walk->rename_seq != atomic_load(&dcache_rename_seq) ||
					      walk->mount_seq != atomic_load(&mount_seq)))
		return -EAGAIN;
	return 0;
}

/* The fast walk. */

struct fast {
	struct path cur, root; /* not counted: valid under the two locks */
	unsigned flags;
	bool include_last;
};

/*
 * Search permission of the many directories that everybody may search, without their lock: the
 * mode is one word, and who races with chmod gets the old or the new answer.
 */
static bool everybody_may_search(const struct inode *inode)
{
	return (inode_mode(inode) & 0111) == 0111;
}

enum fast_result { FAST_STOP, FAST_STEP, FAST_DONE };

static int fast_lookup_locked(struct fast *fast, const char *name, size_t len, bool is_last,
			      bool slashes)
{
	struct dentry *dentry;
	struct path child;
	struct qstr q;

	qstr_init(&q, name, len);
	dentry = dentry_find_locked(fast->cur.dentry, &q);
	if (!dentry || (dentry->op && dentry->op->revalidate))
		return FAST_STOP;
	if (!dentry->inode)
		return -ENOENT;
	child = (struct path){fast->cur.mnt, dentry};
	if (child.mnt)
		path_down_locked(&child);
	if (!child.dentry->inode)
		return FAST_STOP;
	if (inode_is_lnk(child.dentry->inode) &&
	    (!is_last || slashes || (fast->flags & LOOKUP_FOLLOW)))
		return FAST_STOP;
	fast->cur = child;
	return FAST_STEP;
}

static int fast_step_locked(const struct op_ctx *ctx, struct fast *fast, const char **name)
{
	struct inode *dir = fast->cur.dentry->inode;
	size_t len = component_len(*name);
	const char *next = skip_slashes(*name + len);
	bool is_last = !*next;
	int ret = FAST_STEP;

	if (is_last && !fast->include_last)
		return FAST_STOP;
	if (!dir || !inode_is_dir(dir) || (dir->op && dir->op->permission) || dir->bad)
		return FAST_STOP;
	if (!everybody_may_search(dir)) {
		ret = generic_permission(ctx, dir, MAY_EXEC);
		if (ret)
			return ret;
		ret = FAST_STEP;
	}
	switch (component_type(*name, len)) {
	case LAST_DOT:
		break;
	case LAST_DOTDOT:
		ret = dotdot_locked(&fast->cur, &fast->root, fast->flags);
		ret = ret ? ret : FAST_STEP;
		break;
	default:
		ret = fast_lookup_locked(fast, *name, len, is_last, (*name)[len] == '/');
		break;
	}
	if (ret != FAST_STEP)
		return ret;
	if (is_last && ((*name)[len] == '/' || (fast->flags & LOOKUP_DIRECTORY)) &&
	    !inode_is_dir(fast->cur.dentry->inode))
		return -ENOTDIR;
	*name = next;
	return is_last ? FAST_DONE : FAST_STEP;
}

/* The starting place without references. */
static void fast_start_locked(const struct walk *walk, struct fast *fast)
{
	struct fs_struct *fs = walk->ctx->fs;

	fb_mutex_lock(&fs->lock);
	fast->root = walk->root.dentry ? walk->root : fs->root;
	if (walk->path.dentry)
		fast->cur = walk->path;
	else if (walk->absolute)
		fast->cur = fs->root;
	else
		fast->cur = walk->base ? *walk->base : fs->cwd;
	fb_mutex_unlock(&fs->lock);
}

/*
 * References for the place we got to. Fails when a mount is being freed: its last holder was a
 * cwd or root that has changed since fast_start_locked().
 */
static bool fast_get_locked(const struct path *path)
{
	if (path->mnt && !ref_get_unless_zero(&path->mnt->ref))
		return false;
	path->dentry->count++;
	return true;
}

int walk_fast(struct walk *walk, const char **name, bool include_last)
{
	struct fast fast = {.flags = walk->flags, .include_last = include_last};
	const char *pos = skip_slashes(*name);
	int ret = FAST_STEP;

	if (!walk->ctx->fs || (walk->flags & LOOKUP_NEEDS_CARE) || !*pos)
		return 1;
	if (walk->path.dentry && walk->path.dentry->op && walk->path.dentry->op->revalidate)
		return 1; /* its children have it too */
	fb_mutex_lock(&mount_lock);
	fb_mutex_lock(&dcache_lock);
	fast_start_locked(walk, &fast);
	while (ret == FAST_STEP)
		ret = fast_step_locked(walk->ctx, &fast, &pos);
	if (fast.cur.dentry == walk->path.dentry && fast.cur.mnt == walk->path.mnt)
		fast.cur.dentry = NULL; /* it has its references */
	else if (ret >= 0 && !fast_get_locked(&fast.cur))
		pos = NULL;
	fb_mutex_unlock(&dcache_lock);
	fb_mutex_unlock(&mount_lock);
	if (ret < 0)
		return ret;
	if (!pos) /* start over, with references */
		return 1;
	if (fast.cur.dentry)
		walk_set_path(walk, fast.cur);
	*name = pos;
	return ret == FAST_DONE ? 0 : 1;
}

/* The careful walk. */

static int walk_jump_root(struct walk *walk)
{
	struct path root;
	int err;

	if (walk->flags & LOOKUP_BENEATH)
		return -EXDEV;
	err = walk_need_root(walk);
	if (err)
		return err;
	if ((walk->flags & LOOKUP_NO_XDEV) && walk->root.mnt != walk->path.mnt)
		return -EXDEV;
	root = walk->root;
	path_get(&root);
	walk_set_path(walk, root);
	return 0;
}

/* A magic link leads to an object, not to a name (cf. nd_jump_link()). Takes the references. */
static int walk_jump_link(struct walk *walk, struct path *jump)
{
	int err = 0;

	if (walk->flags & LOOKUP_NO_MAGICLINKS)
		err = -ELOOP;
	else if ((walk->flags & LOOKUP_NO_XDEV) && jump->mnt != walk->path.mnt)
		err = -EXDEV;
	else if (walk->flags & LOOKUP_SCOPED)
		err = -EXDEV;
	if (err)
		path_put(jump);
	else
		walk_set_path(walk, *jump);
	return err;
}

/* *ret_body NULL: nothing left to walk, walk->path is what the link names. */
static int walk_follow(struct walk *walk, const struct path *link, const char **ret_body)
{
	struct inode *inode = link->dentry->inode;
	struct path jump = {NULL, NULL};
	char *target = NULL;
	int err;

	*ret_body = NULL;
	if (walk->links++ >= MAXSYMLINKS || (walk->flags & LOOKUP_NO_SYMLINKS) ||
	    (link->mnt && (mount_flags(link->mnt) & MNT_NOSYMFOLLOW)))
		return -ELOOP;
	if ((walk->flags & LOOKUP_CACHED) && link->dentry->op && link->dentry->op->revalidate)
		return -EAGAIN;
	if (!inode->op || !inode->op->get_link)
		return -EINVAL;
	touch_atime(link);
	err = inode->op->get_link(walk->ctx, link->dentry, inode, &target, &jump);
	if (err)
		return err;
	if (!target)
		return jump.dentry ? walk_jump_link(walk, &jump) : -ENOENT;
	walk->targets[walk->nr_targets++] = target;
	if (*target == '/') {
		err = walk_jump_root(walk);
		if (err)
			return err;
	}
	target = target + strspn(target, "/");
	if (*target)
		*ret_body = target;
	else
		walk->last_type = LAST_ROOT;
	return 0;
}

int walk_step(struct walk *walk, struct dentry *dentry, bool follow, const char **ret_body)
{
	struct path next = {walk->path.mnt, dentry};
	int err;

	*ret_body = NULL;
	if (next.mnt)
		mount_get(next.mnt);
	if (path_follow_down(&next) && (walk->flags & LOOKUP_NO_XDEV)) {
		path_put(&next);
		return -EXDEV;
	}
	if (!d_is_positive(next.dentry)) {
		path_put(&next);
		return -ENOENT;
	}
	if (!inode_is_lnk(next.dentry->inode) || !follow) {
		walk_set_path(walk, next);
		return 0;
	}
	err = walk_follow(walk, &next, ret_body);
	path_put(&next);
	return err;
}

static int walk_component(struct walk *walk, const struct qstr *name, enum last_type type,
			  bool follow, const char **ret_body)
{
	struct dentry *dentry;
	int err;

	*ret_body = NULL;
	if (type == LAST_DOTDOT)
		return walk_dotdot(walk);
	if (type != LAST_NORM)
		return 0;
	err = lookup_one(walk->ctx, walk->path.dentry, name, walk->flags, &dentry);
	if (err)
		return err;
	return walk_step(walk, dentry, follow, ret_body);
}

static int walk_may_search(struct walk *walk)
{
	struct inode *inode = walk->path.dentry->inode;

	if (!inode || !inode_is_dir(inode))
		return -ENOTDIR;
	return inode_permission(walk->ctx, inode, MAY_EXEC);
}

/* From the second string on (symlink bodies), and the first if it was not all cached. */
int walk_parent(struct walk *walk, const char *name)
{
	unsigned depth = 0;
	int err;

	name = skip_slashes(name);
	walk->last_type = LAST_ROOT;
	qstr_init(&walk->last, name, 0);
	if (!*name)
		return walk_start(walk);
	for (;;) {
		enum last_type type;
		const char *next, *body;
		struct qstr q;
		size_t len;

		err = walk_fast(walk, &name, false);
		if (err < 0)
			return err;
		err = walk_start(walk);
		if (!err)
			err = walk_may_search(walk);
		if (err)
			return err;
		len = component_len(name);
		type = component_type(name, len);
		qstr_init(&q, name, len);
		next = skip_slashes(name + len);
		if (!*next) {
			if (!depth) {
				walk->last = q;
				walk->last_type = type;
				return 0;
			}
			next = walk->rest[--depth];
		}
		err = walk_component(walk, &q, type, true, &body);
		if (err)
			return err;
		if (body) {
			walk->rest[depth++] = next;
			name = body;
			continue;
		}
		name = next;
		if (!inode_is_dir(walk->path.dentry->inode))
			return -ENOTDIR;
	}
}

int walk_last(struct walk *walk, const char **ret_body)
{
	if (walk_has_slashes(walk))
		walk->flags |= LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
	return walk_component(walk, &walk->last, walk->last_type,
			      (walk->flags & LOOKUP_FOLLOW) != 0, ret_body);
}

/* Is the result still where the scope is (a rename may have moved it)? cf. complete_walk() */
static bool walk_is_in_scope(struct walk *walk)
{
	const struct mount *mnt = walk->path.mnt;
	const struct dentry *dentry = walk->path.dentry;
	bool below;

	fb_mutex_lock(&mount_lock);
	while (mnt && mnt != walk->root.mnt && mnt->parent) {
		dentry = mnt->mountpoint;
		mnt = mnt->parent;
	}
	below = mnt == walk->root.mnt;
	if (below) {
		fb_mutex_lock(&dcache_lock);
		below = dentry_is_ancestor_locked(walk->root.dentry, dentry);
		fb_mutex_unlock(&dcache_lock);
	}
	fb_mutex_unlock(&mount_lock);
	return below;
}

int walk_complete(struct walk *walk)
{
	if ((walk->flags & LOOKUP_SCOPED) && !walk_is_in_scope(walk))
		return -EXDEV;
	if ((walk->flags & LOOKUP_DIRECTORY) && !inode_is_dir(walk->path.dentry->inode))
		return -ENOTDIR;
	return 0;
}

int walk_all(struct walk *walk, const char *name)
{
	int err = walk_fast(walk, &name, true);

	if (err <= 0)
		return err;
	do {
		err = walk_parent(walk, name);
		if (!err)
			err = walk_last(walk, &name);
	} while (!err && name);
	return err ? err : walk_complete(walk);
}

/* Interface. */

static int lookup_empty(const struct op_ctx *ctx, const struct path *base, unsigned flags,
			struct path *ret_path)
{
	struct walk walk = {.ctx = ctx, .base = base};
	int err;

	if (!(flags & LOOKUP_EMPTY))
		return -ENOENT;
	err = path_start(&walk, &walk.path);
	if (err)
		return err;
	if ((flags & LOOKUP_DIRECTORY) && !inode_is_dir(walk.path.dentry->inode)) {
		path_put(&walk.path);
		return -ENOTDIR;
	}
	*ret_path = walk.path;
	return 0;
}

static int lookup_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		      unsigned flags, struct path *ret_path)
{
	struct walk walk;
	int err;

	err = walk_begin(&walk, ctx, base, name, flags);
	if (!err)
		err = walk_all(&walk, name);
	if (!err) {
		*ret_path = walk.path;
		walk.path = (struct path){NULL, NULL};
	}
	walk_end(&walk);
	return err;
}

int path_lookup(const struct op_ctx *ctx, const struct path *base, const char *name, unsigned flags,
		struct path *ret_path)
{
	int err;

	if (!*name)
		return lookup_empty(ctx, base, flags, ret_path);
	err = lookup_try(ctx, base, name, flags, ret_path);
	if (err == -ESTALE && !(flags & LOOKUP_REVAL))
		err = lookup_try(ctx, base, name, flags | LOOKUP_REVAL, ret_path);
	return err;
}

static int parent_try(const struct op_ctx *ctx, const struct path *base, const char *name,
		      unsigned flags, struct walk *walk)
{
	int err;

	err = walk_begin(walk, ctx, base, name, flags | LOOKUP_PARENT);
	if (!err)
		err = walk_parent(walk, name);
	if (!err)
		err = walk_complete(walk);
	if (err)
		walk_end(walk);
	return err;
}

int path_parent(const struct op_ctx *ctx, const struct path *base, const char *name, unsigned flags,
		struct path *ret_dir, struct qstr *ret_last, enum last_type *ret_type,
		bool *ret_slashes)
{
	struct walk walk;
	int err;

	if (!*name)
		return -ENOENT;
	err = parent_try(ctx, base, name, flags, &walk);
	if (err == -ESTALE && !(flags & LOOKUP_REVAL))
		err = parent_try(ctx, base, name, flags | LOOKUP_REVAL, &walk);
	if (err)
		return err;
	*ret_dir = walk.path;
	*ret_last = walk.last;
	*ret_type = walk.last_type;
	*ret_slashes = walk_has_slashes(&walk);
	walk.path = (struct path){NULL, NULL};
	walk_end(&walk);
	return 0;
}

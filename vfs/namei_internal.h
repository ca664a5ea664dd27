/*
 * The machinery behind namei.h, shared by the path walk, open and the directory operations.
 *
 * A walk has a current place (`path`) and eats a string of components. walk_parent() stops before
 * the last one; what to do with that is the caller's business. Symlink bodies are owned by the
 * walk until walk_end(), because `last` may point into one.
 */
#ifndef FB_VFS_NAMEI_INTERNAL_H
#define FB_VFS_NAMEI_INTERNAL_H

#include "vfs/namei.h"

#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)

struct walk {
	const struct op_ctx *ctx;
	const struct path *base; /* where a relative path starts; NULL = cwd; borrowed */
	struct path path;	 /* current place, counted; empty until the walk has started */
	struct path root;	 /* what ".." stops at, counted; empty until needed */
	unsigned flags;		 /* LOOKUP_* */
	bool absolute;		 /* the path starts at the root */
	unsigned links;		 /* symlinks followed so far */
	unsigned nr_targets;
	struct qstr last;	 /* after walk_parent() */
	enum last_type last_type;
	unsigned long long rename_seq, mount_seq; /* for scoped walks */
	char *targets[MAXSYMLINKS];	 /* bodies of followed symlinks, owned */
	const char *rest[MAXSYMLINKS];	 /* what follows each link that is being walked */
};

/* `name` must not be empty. Needs walk_end() after success and failure. */
int walk_begin(struct walk *walk, const struct op_ctx *ctx, const struct path *base,
	       const char *name, unsigned flags);
void walk_end(struct walk *walk);
/* Walks to the directory of the last component of `name`: sets path, last, last_type. */
int walk_parent(struct walk *walk, const char *name);
/* The last component. *ret_body != NULL: it was a symlink; walk_parent() that, and again. */
int walk_last(struct walk *walk, const char **ret_body);
/* All of `name`, the last component too. */
int walk_all(struct walk *walk, const char *name);
/* The whole of `name` from the cache alone: 0 done, 1 no (walk where it can; *name is the rest). */
int walk_fast(struct walk *walk, const char **name, bool include_last);
/* Enters a found dentry (takes its reference): mounts, symlink; as walk_last(). */
int walk_step(struct walk *walk, struct dentry *dentry, bool follow, const char **ret_body);
/* Final checks: scope, LOOKUP_DIRECTORY. */
int walk_complete(struct walk *walk);

static inline bool walk_has_slashes(const struct walk *walk)
{
	return walk->last_type == LAST_NORM && walk->last.name[walk->last.len] == '/';
}

/* lookup.c: one name in one directory. All return a reference; negative dentries are success. */

/* From the cache (revalidated) or the file system. Directory not locked. */
int lookup_one(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
	       unsigned flags, struct dentry **ret_dentry);
/* The same with the directory locked by the caller, shared or exclusively. */
int lookup_one_locked(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
		      unsigned flags, struct dentry **ret_dentry);
/* A cached and valid one, or one in lookup (see d_alloc_parallel()). Directory locked. */
int lookup_begin_locked(const struct op_ctx *ctx, struct dentry *dir, const struct qstr *name,
			unsigned flags, struct dentry **ret_dentry);
/* Asks the file system about a dentry in lookup; may replace *dentry. Ends the lookup. */
int lookup_finish_locked(const struct op_ctx *ctx, struct dentry *dir, unsigned flags,
			 struct dentry **dentry);

/* open.c: rules shared with the directory operations. */
uint32_t mode_after_umask(const struct op_ctx *ctx, const struct dentry *dir, uint32_t mode);
/* dirops.c: may `dir` (locked) get a new entry (cf. may_create())? */
int may_create(const struct op_ctx *ctx, struct dentry *dir, const struct dentry *child);
/* May the entry go (cf. may_delete())? isdir: by rmdir. */
int may_delete(const struct op_ctx *ctx, struct dentry *dir, const struct dentry *victim,
	       bool isdir);

#endif

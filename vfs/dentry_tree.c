/*
 * Changes to the shape of the name cache: moves, removals, and the walk over a subtree that
 * throws out what nobody uses. All of it happens under the dcache lock; what dies is disposed of
 * after it (dentry_internal.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/cleanup.h"
#include "vfs/dentry.h"
#include "vfs/dentry_internal.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/superblock.h"

bool dentry_is_ancestor_locked(const struct dentry *ancestor, const struct dentry *dentry)
{
	while (dentry != ancestor) {
		if (dentry_is_root(dentry))
			return false;
		dentry = dentry->parent;
	}
	return true;
}

bool d_is_ancestor(struct dentry *ancestor, struct dentry *dentry)
{
	bool result;

	fb_mutex_lock(&dcache_lock);
	result = dentry_is_ancestor_locked(ancestor, dentry);
	fb_mutex_unlock(&dcache_lock);
	return result;
}

bool d_unlinked(const struct dentry *dentry)
{
	return !dentry_test(dentry, DENTRY_HASHED) && !dentry_is_root(dentry);
}

static struct dentry *find_alias_locked(struct inode *inode)
{
	struct dentry *dentry, *found = NULL;

	list_for_each (dentry, &inode->dentries, alias_node) {
		if (!found || dentry_test(dentry, DENTRY_HASHED))
			found = dentry;
		if (dentry_test(found, DENTRY_HASHED))
			break;
	}
	if (found)
		found->count++;
	return found;
}

struct dentry *d_find_alias(struct inode *inode)
{
	struct dentry *found;

	fb_mutex_lock(&dcache_lock);
	found = find_alias_locked(inode);
	fb_mutex_unlock(&dcache_lock);
	return found;
}

struct dentry *d_find_alias_below(struct inode *inode, const struct dentry *top)
{
	struct dentry *dentry, *found = NULL;

	fb_mutex_lock(&dcache_lock);
	list_for_each (dentry, &inode->dentries, alias_node)
		if (dentry_is_ancestor_locked(top, dentry)) {
			found = dentry;
			found->count++;
			break;
		}
	fb_mutex_unlock(&dcache_lock);
	return found;
}

/* Disconnected dentries. */

struct dentry *d_obtain_alias(struct inode *inode)
{
	struct dentry *fresh = dentry_make_anon(inode->sb, NULL, "/"), *found;

	if (!fresh) {
		inode_put(inode);
		return NULL;
	}
	fb_mutex_lock(&dcache_lock);
	found = find_alias_locked(inode);
	if (!found) {
		dentry_bind_locked(fresh, steal_ptr(inode));
		dentry_set_flag_locked(fresh, DENTRY_DISCONNECTED);
		found = steal_ptr(fresh);
	}
	fb_mutex_unlock(&dcache_lock);
	dentry_put(fresh);
	inode_put(inode);
	return found;
}

bool d_is_connected(struct dentry *dentry)
{
	bool connected;

	fb_mutex_lock(&dcache_lock);
	while (dentry_test(dentry, DENTRY_DISCONNECTED) && !dentry_is_root(dentry))
		dentry = dentry->parent;
	connected = !dentry_test(dentry, DENTRY_DISCONNECTED);
	fb_mutex_unlock(&dcache_lock);
	return connected;
}

void d_clear_disconnected(struct dentry *dentry)
{
	fb_mutex_lock(&dcache_lock);
	for (; dentry_test(dentry, DENTRY_DISCONNECTED); dentry = dentry->parent)
		dentry_clear_flag_locked(dentry, DENTRY_DISCONNECTED);
	fb_mutex_unlock(&dcache_lock);
}

/* Removal. */

void d_drop(struct dentry *dentry)
{
	fb_mutex_lock(&dcache_lock);
	if (dentry_test(dentry, DENTRY_HASHED))
		dentry_unhash_locked(dentry);
	fb_mutex_unlock(&dcache_lock);
}

/* Other users of the name keep its inode: they have the deleted file open (cf. d_delete()). */
void d_delete(struct dentry *dentry)
{
	struct inode *inode = NULL;

	fb_mutex_lock(&dcache_lock);
	if (dentry->count == 1 && dentry->inode) {
		inode = dentry->inode;
		list_del(&dentry->alias_node);
		__atomic_store_n(&dentry->inode, NULL, __ATOMIC_RELEASE);
		dentry_clear_flag_locked(dentry, DENTRY_DEAD);
	} else if (dentry_test(dentry, DENTRY_HASHED)) {
		dentry_unhash_locked(dentry);
	}
	fb_mutex_unlock(&dcache_lock);
	inode_put(inode);
}

void d_mark_dead(struct dentry *dentry)
{
	fb_mutex_lock(&dcache_lock);
	dentry_set_flag_locked(dentry, DENTRY_DEAD);
	fb_mutex_unlock(&dcache_lock);
}

static void drop_unused_locked(struct dentry *dentry, struct list_node *dispose)
{
	if (dentry->count > 0)
		return;
	dentry->parent->count--;
	dentry_kill_locked(dentry, dispose);
}

void d_prune_aliases(struct inode *inode)
{
	struct list_node dispose = LIST_INIT(dispose);
	struct dentry *dentry, *tmp;

	fb_mutex_lock(&dcache_lock);
	list_for_each_safe (dentry, tmp, &inode->dentries, alias_node) {
		struct dentry *parent = dentry->parent;

		if (dentry->count > 0)
			continue;
		dentry_kill_locked(dentry, &dispose);
		if (parent != dentry)
			dentry_put_locked(parent, &dispose);
	}
	fb_mutex_unlock(&dcache_lock);
	dentry_dispose(&dispose);
}

/* Post-order walk: children first, so that a directory of unused entries goes with them. */
static void shrink_subtree_locked(struct dentry *top, struct list_node *dispose)
{
	struct dentry *dir = top;
	struct list_node *next = top->children.next;

	for (;;) {
		struct dentry *child;

		while (next != &dir->children) {
			child = list_entry(next, struct dentry, child_node);
			if (!list_empty(&child->children)) {
				dir = child;
				next = dir->children.next;
				continue;
			}
			next = next->next;
			drop_unused_locked(child, dispose);
		}
		if (dir == top)
			return;
		child = dir;
		next = child->child_node.next;
		dir = child->parent;
		drop_unused_locked(child, dispose);
	}
}

static struct dentry *next_in_subtree_locked(struct dentry *top, struct dentry *dentry)
{
	if (!list_empty(&dentry->children))
		return list_first(&dentry->children, struct dentry, child_node);
	while (dentry != top) {
		struct dentry *dir = dentry->parent;

		if (dentry->child_node.next != &dir->children)
			return list_entry(dentry->child_node.next, struct dentry, child_node);
		dentry = dir;
	}
	return NULL;
}

static struct dentry *find_mounted_locked(struct dentry *top)
{
	struct dentry *dentry = top;

	while (dentry && !dentry_test(dentry, DENTRY_MOUNTED))
		dentry = next_in_subtree_locked(top, dentry);
	return dentry;
}

void d_shrink_children(struct dentry *dentry)
{
	struct list_node dispose = LIST_INIT(dispose);

	fb_mutex_lock(&dcache_lock);
	shrink_subtree_locked(dentry, &dispose);
	fb_mutex_unlock(&dcache_lock);
	dentry_dispose(&dispose);
}

void d_invalidate(struct dentry *dentry)
{
	struct dentry *mounted;

	fb_mutex_lock(&dcache_lock);
	if (!dentry_test(dentry, DENTRY_HASHED)) {
		fb_mutex_unlock(&dcache_lock);
		return;
	}
	dentry_unhash_locked(dentry);
	fb_mutex_unlock(&dcache_lock);
	do {
		struct list_node dispose = LIST_INIT(dispose);

		fb_mutex_lock(&dcache_lock);
		shrink_subtree_locked(dentry, &dispose);
		mounted = find_mounted_locked(dentry);
		if (mounted)
			mounted->count++;
		fb_mutex_unlock(&dcache_lock);
		dentry_dispose(&dispose);
		if (mounted) {
			mount_detach_dentry(mounted);
			dentry_put(mounted);
		}
	} while (mounted);
}

void dcache_shrink_sb(struct superblock *sb)
{
	if (sb->root)
		d_shrink_children(sb->root);
}

/* Marks what is over below `top`; those that nobody uses get a reference and come to `unused`. */
static void find_expired_locked(struct dentry *top, struct list_node *unused)
{
	struct dentry *dentry = top;

	while ((dentry = next_in_subtree_locked(top, dentry))) {
		if (!dentry->op || !dentry->op->expired || !dentry->op->expired(dentry))
			continue;
		dentry_set_flag_locked(dentry, DENTRY_EXPIRED);
		if (dentry->count > 0)
			continue;
		dentry_lru_remove_locked(dentry);
		dentry->count++;
		list_add_tail(unused, &dentry->lru_node);
	}
}

/* A directory is used by its names, and goes with the last of them. */
void dcache_expire_sb(struct superblock *sb)
{
	struct list_node unused = LIST_INIT(unused), dispose = LIST_INIT(dispose);
	struct dentry *dentry, *tmp;

	if (!sb->root)
		return;
	fb_mutex_lock(&dcache_lock);
	find_expired_locked(sb->root, &unused);
	list_for_each_safe (dentry, tmp, &unused, lru_node) {
		list_del(&dentry->lru_node);
		dentry_put_locked(dentry, &dispose);
	}
	fb_mutex_unlock(&dcache_lock);
	dentry_dispose(&dispose);
}

void d_clear_expired(struct dentry *dentry)
{
	if (!dentry_test(dentry, DENTRY_EXPIRED))
		return;
	fb_mutex_lock(&dcache_lock);
	dentry_clear_flag_locked(dentry, DENTRY_EXPIRED);
	fb_mutex_unlock(&dcache_lock);
}

/* Moves. */

static void swap_names(struct dentry *a, struct dentry *b)
{
	char *name = a->name;
	uint32_t len = a->name_len, hash = a->hash;

	a->name = b->name;
	a->name_len = b->name_len;
	a->hash = b->hash;
	b->name = name;
	b->name_len = len;
	b->hash = hash;
}

/*
 * The replaced name keeps a copy of its own, so that the path of an open file that was renamed
 * over still reads "name (deleted)". Without memory it gets the mover's old name.
 */
static void take_name(struct dentry *dentry, struct dentry *target)
{
	char *copy = strdup(target->name);

	swap_names(dentry, target);
	if (!copy)
		return;
	free(target->name);
	target->name = copy;
	target->name_len = dentry->name_len;
	target->hash = dentry->hash;
}

static void set_parent_locked(struct dentry *dentry, struct dentry *parent,
			      struct list_node *dispose)
{
	struct dentry *old = dentry->parent;

	parent->count++;
	__atomic_store_n(&dentry->parent, parent, __ATOMIC_RELAXED);
	list_del(&dentry->child_node);
	list_add(&parent->children, &dentry->child_node);
	if (old != dentry)
		dentry_put_locked(old, dispose);
}

static void move_locked(struct dentry *dentry, struct dentry *target, bool exchange,
			struct list_node *dispose)
{
	struct dentry *dentry_parent = dentry->parent, *target_parent = target->parent;

	atomic_fetch_add(&dcache_rename_seq, 1);
	dentry_unhash_locked(dentry);
	dentry_unhash_locked(target);
	if (exchange)
		swap_names(dentry, target);
	else
		take_name(dentry, target);
	if (dentry_parent != target_parent) {
		if (exchange)
			set_parent_locked(target, dentry_parent, dispose);
		set_parent_locked(dentry, target_parent, dispose);
	}
	dentry_hash_locked(dentry);
	if (exchange)
		dentry_hash_locked(target);
}

void d_move(struct dentry *old, struct dentry *new, bool exchange)
{
	struct list_node dispose = LIST_INIT(dispose);

	fb_mutex_lock(&dcache_lock);
	move_locked(old, new, exchange, &dispose);
	fb_mutex_unlock(&dcache_lock);
	dentry_dispose(&dispose);
}

/*
 * A directory has one dentry: the one it has is moved here. From another directory that needs
 * the rename lock, so that no rename is under way, and the lock of the directory it leaves, so
 * that nobody there works on its name. dcache lock held; *need_lock asks the caller to come back
 * with both.
 */
static int splice_dir_locked(struct dentry *dentry, struct dentry *alias, bool have_lock,
			     bool *need_lock, struct list_node *dispose)
{
	if (dentry_is_ancestor_locked(alias, dentry))
		return -ELOOP;
	if (!have_lock && !dentry_is_root(alias) && alias->parent != dentry->parent) {
		*need_lock = true;
		return 0;
	}
	move_locked(alias, dentry, false, dispose);
	if (!dentry_test(alias->parent, DENTRY_DISCONNECTED))
		dentry_clear_flag_locked(alias, DENTRY_DISCONNECTED);
	alias->count++;
	return 0;
}

static struct dentry *first_alias_locked(struct inode *inode)
{
	if (list_empty(&inode->dentries))
		return NULL;
	return list_first(&inode->dentries, struct dentry, alias_node);
}

static int splice_dir(struct dentry *dentry, struct inode *inode, bool have_lock, bool *need_lock,
		      struct dentry **ret_alias)
{
	struct list_node dispose = LIST_INIT(dispose);
	struct dentry *alias;
	int err = 0;

	*need_lock = false;
	fb_mutex_lock(&dcache_lock);
	alias = first_alias_locked(inode);
	if (alias) {
		err = splice_dir_locked(dentry, alias, have_lock, need_lock, &dispose);
	} else {
		dentry_bind_locked(dentry, inode);
		dentry_hash_locked(dentry);
	}
	fb_mutex_unlock(&dcache_lock);
	dentry_dispose(&dispose);
	if (err || *need_lock)
		return err;
	dentry_lookup_wake();
	if (alias)
		inode_put(inode);
	*ret_alias = alias;
	return 0;
}

/* The locks may be held by who waits for us: no waiting, -ESTALE (cf. __d_unalias()). */
static int splice_dir_across(struct dentry *dentry, struct inode *inode, struct dentry **ret_alias)
{
	struct sleep_mutex *rename_lock = &dentry->sb->rename_lock;
	struct dentry *alias, *parent;
	bool need_lock;
	int err = -ESTALE;

	if (!sleep_mutex_trylock(rename_lock))
		return -ESTALE;
	alias = d_find_alias(inode);
	if (!alias) { /* gone meanwhile */
		err = splice_dir(dentry, inode, true, &need_lock, ret_alias);
		goto out;
	}
	parent = dentry_get_parent(alias); /* stays: only the rename lock changes it */
	if (inode_trylock_shared(parent->inode)) {
		err = splice_dir(dentry, inode, true, &need_lock, ret_alias);
		inode_unlock_shared(parent->inode);
	}
	dentry_put(parent);
	dentry_put(alias);
out:
	sleep_mutex_unlock(rename_lock);
	return err;
}

int d_splice_alias(struct dentry *dentry, struct inode *inode, struct dentry **ret_alias)
{
	bool need_lock;
	int err;

	*ret_alias = NULL;
	if (!inode || !inode_is_dir(inode)) {
		d_add(dentry, inode);
		return 0;
	}
	err = splice_dir(dentry, inode, false, &need_lock, ret_alias);
	if (!err && need_lock)
		err = splice_dir_across(dentry, inode, ret_alias);
	if (err)
		inode_put(inode);
	return err;
}

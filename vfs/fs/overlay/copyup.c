/*
 * Copy-up: taking attributes, bytes or extended attributes of a lower object over. The object stays
 * the same inode; whoever comes late under the copy lock finds it done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/bounce.h"
#include "vfs/dentry.h"
#include "vfs/fs/hostfs.h"
#include "vfs/fs/overlay/overlay_internal.h"
#include "vfs/superblock.h"

#define XATTR_VALUE_MAX 65536 /* XATTR_SIZE_MAX, XATTR_LIST_MAX */

int ovl_own_attrs_unpinned(struct inode *inode)
{
	struct ovl_inode *node = ovl_i(inode);
	int err;

	if (ovl_has(node, OVL_META))
		return 0;
	err = ovl_refresh(inode);
	if (err)
		return err;
	fb_mutex_lock(&inode->attr_lock);
	atomic_fetch_or(&node->state, OVL_META);
	fb_mutex_unlock(&inode->attr_lock);
	return 0;
}

int ovl_own_attrs(struct inode *inode)
{
	int err = ovl_pin(inode);

	return err ? err : ovl_own_attrs_unpinned(inode);
}

/* Copies [pos, end) of the lower file; a killed task need not finish. */
static int copy_range(struct inode *lower, int hostfd, struct pagecache *pages, int64_t pos,
		      int64_t end, const struct bounce *bounce)
{
	struct io_iter iter;
	size_t want;
	ssize_t n;

	while (pos < end) {
		want = end - pos < (int64_t)bounce->size ? (size_t)(end - pos) : bounce->size;
		iter_init_mem(&iter, bounce->buf, want);
		n = hostfs_data_read(lower, hostfd, &iter, pos, 0);
		if (n <= 0)
			return (int)n;
		iter_init_mem(&iter, bounce->buf, (size_t)n);
		n = pagecache_write(pages, &iter, pos);
		if (n <= 0)
			return n ? (int)n : -ENOSPC;
		pos += n;
		if (waiter_pending(waiter_self(), WAIT_KILLABLE))
			return -EINTR;
	}
	return 0;
}

/* The first `size` bytes, leaving out the holes. */
static int copy_data(struct inode *lower, int hostfd, struct pagecache *pages, int64_t size)
{
	struct bounce bounce;
	int64_t pos = 0, data, hole;
	int err;

	err = bounce_get(&bounce, BOUNCE_MAX);
	if (err)
		return err;
	while (!err && pos < size) {
		data = HOST(lseek(hostfd, pos, SEEK_DATA));
		if (data == -ENXIO) /* only a hole is left */
			break;
		hole = data < 0 ? size : HOST(lseek(hostfd, data, SEEK_HOLE));
		data = data < 0 ? pos : data;
		if (hole <= data || hole > size)
			hole = size;
		if (data < size)
			err = copy_range(lower, hostfd, pages, data, hole, &bounce);
		pos = hole;
	}
	bounce_put(&bounce);
	/* The file is as long as it was, whatever its tail is made of. */
	return err ? err : pagecache_truncate(pages, size);
}

static int copy_pages(struct ovl_inode *node, int64_t up_to, struct pagecache *pages)
{
	struct inode *lower = node->lower;
	int64_t size;
	int hostfd, err;

	if (up_to == 0)
		return 0;
	err = hostfs_data_get(lower, &hostfd);
	if (err)
		return err;
	size = HOST(lseek(hostfd, 0, SEEK_END));
	if (size >= 0)
		err = copy_data(lower, hostfd, pages, size < up_to ? size : up_to);
	else
		err = (int)size;
	hostfs_data_put(lower);
	return err;
}

static int own_data_locked(struct inode *inode, int64_t up_to)
{
	struct ovl_inode *node = ovl_i(inode);
	struct pagecache *pages = malloc(sizeof(*pages));
	int err;

	if (!pages)
		return -ENOMEM;
	pagecache_init(pages);
	pages->limit = &ovl_info(inode->sb)->limit;
	err = copy_pages(node, up_to, pages);
	if (err) {
		pagecache_destroy(pages);
		free(pages);
		return err;
	}
	node->pages = pages;
	fb_mutex_lock(&inode->attr_lock);
	inode->size = pagecache_size(pages);
	atomic_fetch_or(&node->state, OVL_DATA); /* readers see the pages from here on */
	fb_mutex_unlock(&inode->attr_lock);
	return 0;
}

int ovl_own_data(struct inode *inode, int64_t up_to)
{
	struct ovl_inode *node = ovl_i(inode);
	int err;

	if (ovl_has(node, OVL_DATA))
		return 0;
	err = ovl_own_attrs(inode);
	if (err)
		return err;
	err = sleep_mutex_lock_killable(&node->copy_lock);
	if (err)
		return err;
	if (!ovl_has(node, OVL_DATA))
		err = own_data_locked(inode, up_to);
	sleep_mutex_unlock(&node->copy_lock);
	return err;
}

static int copy_xattr(struct ovl_inode *node, const char *name, char *value)
{
	struct ovl_info *info = ovl_info(node->inode.sb);
	ssize_t n = hostfs_inode_getxattr(node->lower, name, value, XATTR_VALUE_MAX);
	int err;

	if (n == -ENODATA)
		return 0;
	if (n < 0)
		return (int)n;
	if (!ovl_charge(node, (size_t)n + strlen(name) + OVL_ENTRY_BYTES))
		return -ENOSPC;
	fb_mutex_lock(&info->lock);
	err = simple_xattr_set(&node->xattrs, name, value, (size_t)n, 0);
	fb_mutex_unlock(&info->lock);
	return err;
}

static int own_xattrs_locked(struct ovl_inode *node)
{
	cleanup_free char *list = malloc(XATTR_VALUE_MAX);
	cleanup_free char *value = malloc(XATTR_VALUE_MAX);
	ssize_t len, off;
	int err = 0;

	if (!list || !value)
		return -ENOMEM;
	len = hostfs_inode_listxattr(node->lower, list, XATTR_VALUE_MAX);
	if (len < 0)
		return (int)len;
	for (off = 0; off < len && !err; off += (ssize_t)strlen(list + off) + 1)
		err = copy_xattr(node, list + off, value);
	if (err)
		simple_xattrs_free(&node->xattrs);
	else
		atomic_fetch_or(&node->state, OVL_XATTR);
	return err;
}

int ovl_own_xattrs(struct inode *inode)
{
	struct ovl_inode *node = ovl_i(inode);
	int err;

	if (ovl_has(node, OVL_XATTR))
		return 0;
	err = ovl_own_attrs(inode);
	if (err)
		return err;
	sleep_mutex_lock(&node->copy_lock);
	if (!ovl_has(node, OVL_XATTR))
		err = own_xattrs_locked(node);
	sleep_mutex_unlock(&node->copy_lock);
	return err;
}

/*
 * The changed object is found by its lower inode; should the host put another file in that place,
 * the name must still lead to what the guest has written. So the name goes into the directory's
 * table, unless it is there or a whiteout is: then the object was moved or removed meanwhile.
 * That a name of the lower layer cannot go without leaving a whiteout makes the check sufficient.
 */
static void remember_name(struct dentry *dentry)
{
	struct inode *inode = dentry->inode, *dir;
	struct ovl_entry *entry;
	struct dentry *parent;
	cleanup_free char *name = dentry_name(dentry);

	if (!name || !ovl_i(inode)->lower || inode_is_dir(inode))
		return;
	parent = dentry_get_parent(dentry);
	dir = parent->inode;
	if (parent != dentry && dir && ovl_i(dir)->lower &&
	    hostfs_is_at(ovl_i(inode)->lower, ovl_i(dir)->lower, name) &&
	    ovl_table_prepare(dir) == 0) {
		entry = ovl_entry_new(name, strlen(name));
		if (entry)
			ovl_table_set_new(dir, entry, inode);
	}
	dentry_put(parent);
}

int ovl_copy_up(struct dentry *dentry, int64_t up_to)
{
	struct inode *inode = dentry->inode;
	struct ovl_inode *node = ovl_i(inode);
	bool first;
	int err;

	first = !ovl_has(node, OVL_META) || (up_to >= 0 && !ovl_has(node, OVL_DATA));
	if (!first)
		return 0;
	err = up_to >= 0 ? ovl_own_data(inode, up_to) : ovl_own_attrs(inode);
	if (!err && node->lower && inode->nlink > 0)
		remember_name(dentry);
	return err;
}

/* The list of all connections. */
#include "devfuse/registry.h"

#include "devfuse/conn.h"

/*
 * Taken alone. A connection leaves the list before the mount's reference is dropped, so whoever
 * finds one here can take a reference.
 */
static struct fb_mutex lock = FB_MUTEX_INIT(RANK_FS);
static struct list_node conns = LIST_INIT(conns);

void fuse_registry_add(struct fuse_conn *conn)
{
	fb_mutex_lock(&lock);
	list_add_tail(&conns, &conn->registry_node);
	fb_mutex_unlock(&lock);
}

void fuse_registry_remove(struct fuse_conn *conn)
{
	fb_mutex_lock(&lock);
	list_del(&conn->registry_node);
	fb_mutex_unlock(&lock);
}

struct fuse_conn *fuse_registry_next(uint32_t id)
{
	struct fuse_conn *conn, *best = NULL;

	fb_mutex_lock(&lock);
	list_for_each (conn, &conns, registry_node)
		if (conn->id >= id && (!best || conn->id < best->id))
			best = conn;
	if (best)
		fuse_conn_get(best);
	fb_mutex_unlock(&lock);
	return best;
}

struct fuse_conn *fuse_registry_get(uint32_t id)
{
	struct fuse_conn *conn = fuse_registry_next(id);

	if (conn && conn->id != id) {
		fuse_conn_put(conn);
		conn = NULL;
	}
	return conn;
}

/*
 * Connections that outlive their daemon (`fusebox run --fuse-keep`, mount option `keep`).
 *
 * When the last descriptor of a kept connection is closed and it is still mounted, it is not
 * aborted but becomes vacant: the gate of conn->initialized closes, requests under way end with
 * -EDAEMONDIED, and whoever sent them, like any later client, waits killably at the gate. The next
 * daemon mounts at the same place: that mount(2) adopts the connection. INIT is negotiated anew and
 * must have the same result; then the gate opens.
 *
 * The new daemon knows no nodeid and no handle of the old one. `incarnation` counts the daemons
 * that have died; each request says for which of them its numbers are right (args->incarnation),
 * and one with others never reaches a daemon. Finding out the new numbers is fusefs' business
 * (fusefs/takeover.c), as is sending again.
 */
#ifndef FB_DEVFUSE_KEEP_H
#define FB_DEVFUSE_KEEP_H

#include <stdbool.h>

#include "sentry/base/list.h"

struct fuse_conn;
struct fuse_dev;
struct fuse_request;

/* Whether it is to be kept from now on. When it is not, and waits for a daemon, it is aborted. */
void fuse_conn_set_keep(struct fuse_conn *conn, bool keep);
/* The death of its daemon would not be the end of it. lock held. */
bool fuse_conn_survives(const struct fuse_conn *conn);
/* A request that no daemon will answer; as fuse_request_end(). lock held. */
void fuse_request_lost(struct fuse_conn *conn, struct fuse_request *req, struct list_node *done);
/* The last descriptor is closed. As for fuse_request_end(); lock held. */
void fuse_conn_vacate(struct fuse_conn *conn, struct list_node *done);
/* After that, with no lock held: aborts it if nobody can mount there any more. */
void fuse_conn_vacated(struct fuse_conn *conn);
/*
 * `dev` becomes the new daemon's, and gets INIT. 0, -ENOTCONN when it was closed meanwhile,
 * -EBUSY when the connection is not vacant (any more) or dev is attached.
 */
int fuse_conn_adopt(struct fuse_conn *conn, struct fuse_dev *dev);

#endif

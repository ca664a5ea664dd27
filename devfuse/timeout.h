/*
 * Two clocks over a daemon that does not answer.
 *
 * The protocol's (REQUEST_TIMEOUT and the sysctls; matrix D90): when a request gets too old the
 * daemon is taken for dead and the whole connection is aborted. Coarse: looked at every 15 s.
 *
 * Our own (`fusebox run --fuse-timeout`): each client waits no longer than that and then gets
 * ETIMEDOUT; its request goes on as an orphan and the connection lives.
 */
#ifndef FB_DEVFUSE_TIMEOUT_H
#define FB_DEVFUSE_TIMEOUT_H

#include <stdint.h>

struct fuse_conn;

#define FUSE_TIMEOUT_PERIOD_S 15

void fuse_timeout_init(struct fuse_conn *conn);
/* INIT was answered; `seconds` is what the daemon asked for, 0 = nothing. conn->lock held. */
void fuse_timeout_start(struct fuse_conn *conn, unsigned seconds);
/* Aborts the connection when its oldest request is too old. */
void fuse_timeout_check(struct fuse_conn *conn);
/* On return no timer touches conn any more. */
void fuse_timeout_stop(struct fuse_conn *conn);

/* The absolute time at which a client that starts to wait now gives up; WAIT_FOREVER = never. */
int64_t fuse_client_deadline(const struct fuse_conn *conn, uint32_t opcode);

#endif

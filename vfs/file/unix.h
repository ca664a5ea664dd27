/* AF_UNIX (unix(7)): the family's entry for socket.c. Everything else goes through socket_ops. */
#ifndef FB_VFS_FILE_UNIX_H
#define FB_VFS_FILE_UNIX_H

struct op_ctx;
struct socket;

/* type SOCK_STREAM, SOCK_DGRAM (or SOCK_RAW, which means it), SOCK_SEQPACKET. */
int unix_create(const struct op_ctx *ctx, int type, int protocol, struct socket **ret_sock);

#endif

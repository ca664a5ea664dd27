/*
 * A guest's file around a host descriptor: the run's own stdin, stdout and stderr when they are a
 * pipe, regular file, socket or device. (Terminals are handled elsewhere.)
 *
 * The open file description is shared with the host's other processes, so O_NONBLOCK is never set
 * on it. A read or write that might block is tried only after poll(2) said "ready", at most
 * PIPE_BUF bytes at a time, and otherwise waits for the watch.
 */
#ifndef FB_VFS_FILE_HOSTFILE_H
#define FB_VFS_FILE_HOSTFILE_H

#include <stdbool.h>

struct file;
struct op_ctx;

/*
 * Host readiness, filled in by main.c with an adapter to the reactor. ready() is called with
 * POLL* bits, edge-triggered, on any thread.
 */
struct hostfile_watch_ops {
	/* Starts watching; *ret_watch is handed to del. 0 or -errno (-EPERM: cannot be watched). */
	int (*add)(int hostfd, void (*ready)(void *arg, unsigned events), void *arg,
		   void **ret_watch);
	/* On return ready() does not run and will not run again. */
	void (*del)(void *watch);
};
/* Before the first hostfile. Without it, a wait for the host polls in short steps. */
void hostfile_set_watch_ops(const struct hostfile_watch_ops *ops);

/*
 * Takes hostfd on success. flags: access mode, O_APPEND, O_NONBLOCK as the guest shall see them
 * (main.c copies the host's F_GETFL).
 */
int hostfile_new(const struct op_ctx *ctx, int hostfd, unsigned flags, struct file **ret_file);
bool hostfile_is(const struct file *file);

#endif

/*
 * pidfd_open(2) and CLONE_PIDFD: a file that stands for a process. The VFS knows no processes;
 * the sentry gives a table of callbacks.
 */
#ifndef FB_VFS_FILE_PIDFD_H
#define FB_VFS_FILE_PIDFD_H

#include <stdbool.h>
#include <sys/types.h>

struct file;
struct op_ctx;
struct waitq;

/* All must be set. None may sleep. */
struct pidfd_ops {
	void (*get)(void *process);
	void (*put)(void *process);
	/* The number shown in fdinfo; -1 once reaped. */
	pid_t (*pid)(void *process);
	bool (*exited)(void *process); /* all threads are gone: readable */
	bool (*reaped)(void *process); /* was waited for: POLLHUP */
	/* Woken with POLLIN at exit, with POLLHUP at reap; lives as long as the process object. */
	struct waitq *(*queue)(void *process);
};

/* flags: PIDFD_NONBLOCK (O_NONBLOCK); others -EINVAL. Takes its own reference of `process`. */
int pidfd_create(const struct op_ctx *ctx, void *process, const struct pidfd_ops *ops,
		 unsigned flags, struct file **ret_file);
/* The process behind it, borrowed from the file; NULL when it is no pidfd. */
void *pidfd_process(const struct file *file);

#endif

/* What the two halves of the launch share; private to sentry/launch*.c. */
#ifndef FB_LAUNCH_INTERNAL_H
#define FB_LAUNCH_INTERNAL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct launch_config;
struct sock_filter;

/* A page that the first guest writes until its first successful exec. */
struct launch_shared {
	_Atomic(const char *) failed_step; /* set-up failed here; a string constant */
	atomic_int failed_errno;	   /* positive */
	atomic_int exec_errno;		   /* of the command; positive */
};

struct launch {
	const struct launch_config *config;
	struct launch_shared *shared;
	bool full, own_userns;
	uid_t uid; /* ours, outside */
	gid_t gid;
	int loader_hostfd;
	uint64_t fd_limit;
	int fd_top; /* our highest descriptor at the clone; -1 = unknown */
	struct sock_filter *filter;
	size_t filter_len;
	unsigned long filter_flags; /* of seccomp(2) */
	int socket; /* this side's end; SOCK_SEQPACKET */
	pid_t child; /* our child: init of the namespace, or the first guest */
	int child_pidfd; /* -1 = there is none */
	pid_t first; /* the first guest */
	sigset_t sigmask; /* ours before the tracer changed it */
};

/* One byte each way; the listener comes along with LAUNCH_LISTENER. */
enum { LAUNCH_READY = 'r', LAUNCH_GO = 'g', LAUNCH_LISTENER = 'l', LAUNCH_FAILED = 'f' };

/* Runs in the cloned child. */
_Noreturn void launch_child(struct launch *launch);

#endif

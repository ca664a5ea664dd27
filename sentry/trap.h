/*
 * Contract of an interception backend: how calls arrive, are answered, and how a task is stopped.
 * Nothing above this header depends on which backend runs or on how a call arrived.
 *
 * trap_notify.c: seccomp user notifications. trap_ptrace.c: trace stops only.
 */
#ifndef FB_TRAP_H
#define FB_TRAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct task;

/*
 * Host descriptor numbers reserved in every guest; no guest's table hands them out. They are kept
 * low: the host copies a table up to its highest number with every fork.
 */
#define FB_RESERVED_FDS 8
int trap_reserved_fd(int which); /* number of the which-th reserved one */
enum { RESERVED_LOADER, RESERVED_MAIN, RESERVED_INTERP, RESERVED_PLANT, RESERVED_LANE };
/* Called once before the first guest: `limit` is the guests' hard RLIMIT_NOFILE. */
void trap_set_fd_limit(uint64_t limit);

/* System call numbers of our own, between the loader and the sentry. */
#define FB_SYSCALL_PLAN 1000000

struct trap_backend {
	const char *name;
	/* Can it work here? 0, or -errno with *ret_reason set to words for the user. */
	int (*probe)(const char **ret_reason);
	/*
	 * Filter flags for the guest's seccomp(2) call, and what to do with the new listener
	 * (already in the sentry, owned by the backend; -1 when the backend wants none).
	 */
	unsigned long filter_flags;
	bool wants_listener;
	int (*start)(int listener_hostfd);
	/* Lets receive() return false if it does not by itself; called when no guest is left. */
	void (*stop)(void);
	/* Leader: waits for the next call and hands it to call_begin(). False = no guest is left. */
	bool (*receive)(void);
	/* Does a call wait to be received? Leader only. NULL: it cannot tell, and there is no lane. */
	bool (*pending)(void);
	/* The final answer of a call that is RUNNING. -ENOENT: the task is dead. */
	int (*reply)(struct task *task, int64_t result);
	int (*reply_native)(struct task *task);
	/*
	 * Ends the wait of a RUNNING call without an answer, so that the task comes to a stop
	 * where its registers can be changed. Tracer thread only. 0 or -errno (dead).
	 */
	int (*move_to_stop)(struct task *task);
	/*
	 * Puts our host descriptor at guest number fd (close-on-exec). The task is in a RUNNING
	 * call. 0 or -errno. May be called from the task's fiber.
	 */
	int (*plant_fd)(struct task *task, int hostfd, int fd);
	/*
	 * Tracer thread: first look at every ptrace stop (event: PTRACE_EVENT_* or 0). True: the
	 * stop was this backend's own, and the task goes on or is held by it. NULL: never.
	 */
	bool (*stop_event)(struct task *task, int event, int signo);
	/* Tracer thread: what another thread asked for with TRACER_BACKEND. NULL: nothing. */
	void (*serve)(struct task *task);
};
/*
 * Our end of the socket whose other end is the guests' trap_reserved_fd(RESERVED_PLANT), for the
 * backend that has no other way to hand out descriptors. Owned from now on.
 */
void trap_ptrace_set_plant_socket(int hostfd);

extern const struct trap_backend trap_notify, trap_ptrace;
extern const struct trap_backend *trap; /* the one in use; set once before the first guest */

#endif

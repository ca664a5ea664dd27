/*
 * The one ptrace parent. It does life cycle only: birth, exec, signal stops, group stops, parking
 * and exit. All ptrace requests come from its thread; others ask with tracer_post().
 */
#ifndef FB_TRACER_H
#define FB_TRACER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "sentry/launch.h" /* enum syscall_class */

struct task;

enum tracer_request {
	TRACER_FINISH, /* a parked or signalled call has its result */
	TRACER_EXEC,   /* exec_prepare() succeeded: enter the loader */
	TRACER_EXECED, /* the fiber of an exec event has ended */
	TRACER_EXITED, /* the fiber of an exit event has ended */
	TRACER_FAULTED, /* the fiber of fault_begin() has ended */
	TRACER_BACKEND, /* trap->serve() on the tracer's thread */
};
/* From any thread; wakes the tracer. Holds a task reference until served. */
void tracer_post(struct task *task, enum tracer_request request);
/* A call begins to wait: makes the tracer tick if it sleeps. Cheap otherwise. */
void tracer_tick_hint(void);
/* Is the calling thread the tracer? */
bool tracer_is_self(void);
/* No guest is left, and none will come. */
bool tracer_all_gone(void);

/*
 * Called first, on the thread that will run tracer_loop(), before any other thread exists: blocks
 * the signals that the tracer waits for (SIGCHLD, SIGUSR1, SIGINT, SIGTERM, SIGHUP, SIGQUIT) in it
 * and all that come after it. *ret_old is the mask that the first guest must get back.
 */
void tracer_init(enum syscall_class (*class_of)(long nr), sigset_t *ret_old);
/* What kill -QUIT of the sentry does; one from a terminal (^\) goes to the command. */
void tracer_set_quit_hook(void (*hook)(void));
/* Seizes the child that will become the first guest. Same thread. 0 or -errno. */
int tracer_attach_first(pid_t tid);
/*
 * Runs until the first guest process has ended and all others are gone (they are killed then).
 * Returns the wait status of the first guest's process.
 */
int tracer_loop(pid_t first_pid);

#endif

/*
 * Handing a host descriptor to a guest without a notification listener: the guest itself is made
 * to receive it over a socket that it has inherited.
 *
 * The task sits in the seccomp stop of its call. It is led through mmap (a scratch page), recvmsg,
 * dup3 to the wanted number, close, munmap, and back into its own call, whose stop ends the
 * detour. Signals are blocked meanwhile. One detour at a time in the whole sandbox: the socket is
 * shared, and a message must reach the task it is meant for.
 */
#ifndef FB_INJECT_H
#define FB_INJECT_H

#include <stdbool.h>
#include <stdint.h>

struct task;

/* trap_backend.plant_fd; on the task's fiber, sleeps. */
int inject_plant_fd(struct task *task, int hostfd, int fd);
/* trap_backend.stop_event and serve: true when the task is on such a detour. */
bool inject_stop_event(struct task *task, int event, int signo);
bool inject_serve(struct task *task);
/* Tracer: is this syscall stop the one behind the call, or before it? */
bool inject_is_exit_stop(struct task *task, int64_t *ret_result);

#endif

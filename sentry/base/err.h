/*
 * The error convention of the whole tree: a function fails with a negative errno value.
 *
 * Restart codes are the kernel's own, private between a handler and dispatch.c: they say what an
 * interrupted call does after the signal (signal(7), include/linux/errno.h). They never reach a
 * guest as an error number.
 *
 * HOST(call) runs one host call and yields its result or -errno. Code that may park a fiber must
 * use it instead of `errno`: the compiler is allowed to remember the address of a thread's errno,
 * and after a park the fiber may run on another thread.
 */
#ifndef FB_BASE_ERR_H
#define FB_BASE_ERR_H

#include <errno.h>

#define ERESTARTSYS 512		  /* restart if SA_RESTART or no handler ran, else EINTR */
#define ERESTARTNOINTR 513	  /* restart always */
#define ERESTARTNOHAND 514	  /* restart only if no handler ran, else EINTR */
#define ERESTART_RESTARTBLOCK 516 /* restart_syscall(2) if no handler ran, else EINTR */

/* Private to the VFS, out of every daemon's reach: atomic_open leaves the work to its caller. */
#define ENOTATOMIC 520

static inline int err_is_restart(long err)
{
	return err <= -ERESTARTSYS && err >= -ERESTART_RESTARTBLOCK;
}

/* errno of the thread that runs right now; never inlined, see above. */
int host_errno(void);

#define HOST(call)                                                                 \
	({                                                                         \
		long hr_ = (long)(call);                                           \
		hr_ == -1 ? -(long)host_errno() : hr_;                             \
	})

#endif

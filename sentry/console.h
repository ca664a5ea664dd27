/*
 * The run's own terminal: the host terminal is put into raw mode and relayed to the master of a
 * pseudo-terminal of ours, whose slave is the guests' stdin, stdout and stderr. So job control,
 * window size and line editing are our terminal's, and guests never touch the host's.
 *
 *	console_open()		the pair is made, the host terminal is raw
 *	console_set_session()	the first guest's session gets it as its controlling terminal
 *	console_start()		bytes flow; needs the scheduler
 *	console_flush()		what guests have written is on the host terminal
 *	console_restore()	the host terminal is as it was
 */
#ifndef FB_CONSOLE_H
#define FB_CONSOLE_H

#include <sys/types.h>

struct file;
struct op_ctx;

/*
 * Opens /dev/ptmx of ctx's tree. host_in is the terminal that is read and made raw, host_out the
 * one that is written (may be the same); both are borrowed. *ret_slave: open for reading and
 * writing, a reference. 0 or -errno (the terminal is then as before). Once per run.
 */
int console_open(const struct op_ctx *ctx, int host_in, int host_out, struct file **ret_slave);
/* Guest session id of the first guest, who leads it. Before it runs. No console: nothing. */
void console_set_session(pid_t guest_sid);
/* Starts the relay. After sched_start(). No console: nothing. 0 or -errno. */
int console_start(void);
/* Writes out what is left; after sched_stop(), or when the scheduler has never run. */
void console_flush(void);
/* Async-signal-safe, and harmless when there is nothing to restore. */
void console_restore(void);

#endif

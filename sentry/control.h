/*
 * How a running sandbox is asked about itself: a unix socket per sandbox, and SIGQUIT.
 *
 * The socket lies in a directory that only its user can enter: $XDG_RUNTIME_DIR/fusebox, else
 * /tmp/fusebox-UID. A client sends one line that names a report and reads the answer to its end.
 */
#ifndef FB_CONTROL_H
#define FB_CONTROL_H

#include <stddef.h>

struct strbuf;

/*
 * Path of the directory into buf. `make`: creates it. 0 or -errno; -EPERM when it is not ours
 * alone.
 */
int control_dir(char *buf, size_t size, int make);

/* A report, by the name a client sends. Before control_start(); `name` is constant. */
void control_register(const char *name, void (*show)(struct strbuf *out));

/* Makes the socket; before the sentry's jail closes. A sandbox without one runs all the same. */
int control_open(void);
/* Answers from now on; after sched_start(). 0 or -errno. */
int control_start(void);
/* The socket's name goes. */
void control_close(void);

/* All reports to standard error. */
void control_print(void);

#endif

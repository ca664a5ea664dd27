/* The first line of a script. */
#ifndef FB_EXEC_SCRIPT_H
#define FB_EXEC_SCRIPT_H

#include <stdbool.h>

#define SCRIPT_HEAD_BYTES 256 /* BINPRM_BUF_SIZE: what of the file is looked at */

struct script_line {
	char *interp; /* points into head, NUL-terminated */
	char *arg;    /* the same; NULL = none. All of the rest of the line is one argument */
};

/* True when it starts with "#!". */
bool script_is(const char head[SCRIPT_HEAD_BYTES]);
/* Cuts head (zero-padded) apart in place. 0 or -ENOEXEC. */
int script_parse(char head[SCRIPT_HEAD_BYTES], struct script_line *ret_line);

#endif

/* The run's own stdin, stdout and stderr as guest files. */
#ifndef FB_CLI_STDIO_H
#define FB_CLI_STDIO_H

#include <stdbool.h>

struct fdtable;
struct op_ctx;

/* First of all: numbers of 0, 1, 2 that are closed are kept free of our own descriptors. */
void stdio_reserve(void);
/*
 * Puts them at 0, 1 and 2 of `files`: a terminal becomes our console (console.h), anything else
 * is passed through. Call it once, before the sandbox starts. *ret_console: stdin is a terminal.
 */
int stdio_install(const struct op_ctx *ctx, struct fdtable *files, bool *ret_console);

#endif

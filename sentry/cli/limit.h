/* The --limit option: names of resource limits, and their values. */
#ifndef FB_CLI_LIMIT_H
#define FB_CLI_LIMIT_H

#include <sys/resource.h>

/* Not a resource of setrlimit(2): the number of tasks (threads) in the whole sandbox. */
#define LIMIT_TASKS (-1)

/*
 * "NAME=N": a name of setrlimit(2) in small letters without RLIMIT_, or "tasks"; N in the limit's
 * own unit, with an optional K, M, G (powers of 1024). NULL, or the cause of the error.
 */
const char *limit_parse(const char *arg, int *ret_resource, rlim_t *ret_value);

#endif

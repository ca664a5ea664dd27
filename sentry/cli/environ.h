/* The environment of the first guest. */
#ifndef FB_CLI_ENVIRON_H
#define FB_CLI_ENVIRON_H

struct run_config;

/*
 * `base` (unless --clear-env) with --env applied in order. NULL-terminated; the array is the
 * caller's to free, its strings are borrowed.
 */
char **environ_build(const struct run_config *config, char **base);

#endif

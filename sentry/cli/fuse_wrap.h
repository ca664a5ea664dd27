/*
 * --fuse DST=COMMAND: the command is wrapped in a small shell script that runs inside the sandbox:
 * it starts each daemon, waits until its mount answers, runs the command and unmounts.
 */
#ifndef FB_CLI_FUSE_WRAP_H
#define FB_CLI_FUSE_WRAP_H

struct run_config;

/* argv for the first guest: the command itself without --fuse. fuse_wrap_free() when it is over. */
char *const *fuse_wrap_command(const struct run_config *config);
void fuse_wrap_free(const struct run_config *config, char *const *argv);

#endif

/* `fusebox run`: from the configuration to the exit status. */
#ifndef FB_CLI_RUN_H
#define FB_CLI_RUN_H

/* argv[0] is "run". Returns the exit status. */
int cli_run(int argc, char **argv);

#endif

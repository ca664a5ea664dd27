/* `fusebox ps`: the sandboxes of this user. */
#ifndef FB_CLI_PS_H
#define FB_CLI_PS_H

/* argv[0] is "ps". Exit status. */
int cli_ps(int argc, char **argv);

#endif

/*
 * What the user asked for on the command line of `fusebox run`: options into one struct, constant
 * after parsing.
 */
#ifndef FB_CLI_CONFIG_H
#define FB_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "sentry/lane/lane.h"
#include "sentry/launch.h"

/* Exit statuses of fusebox itself, as env(1) and its kin use them. */
enum { EXIT_FUSEBOX = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

enum root_mode { ROOT_OVERLAY, ROOT_RW, ROOT_RO };
enum backend_choice { BACKEND_AUTO, BACKEND_NOTIFY, BACKEND_PTRACE };

struct bind_option {
	char *source, *target; /* owned */
	bool read_only;
};

struct fuse_option {
	char *target, *command; /* owned */
};

struct run_config {
	const char *root; /* host directory; default "/" */
	enum root_mode root_mode;
	struct bind_option *binds;
	size_t nr_binds;
	const char **tmpfs;
	size_t nr_tmpfs;
	struct fuse_option *fuse;
	size_t nr_fuse;
	unsigned fuse_timeout; /* seconds; 0 = none */
	bool fuse_keep;
	struct launch_limit *limits; /* those of the first guest */
	size_t nr_limits;
	unsigned max_tasks; /* in the whole sandbox; 0 = any number */
	const char *chdir;    /* NULL: the host's working directory, or / */
	bool clear_env;
	char **env; /* NAME=VALUE or NAME (to unset), in order */
	size_t nr_env;
	bool user_given;
	uid_t uid;
	gid_t gid;
	const char *hostname;
	enum backend_choice backend;
	enum lane_mode lane;
	enum isolation isolation;
	bool require_full;
	bool trace;
	const char *trace_file; /* NULL: stderr */
	bool stats, verbose;
	char **argv; /* the command; NULL-terminated; points into main's argv */
};

/*
 * argv[0] is "run". 0; 1: help was shown, stop; -1: a message that names option and cause was
 * printed.
 */
int config_parse(int argc, char **argv, struct run_config *ret_config);
void config_free(struct run_config *config);
void config_usage(int hostfd);

#endif

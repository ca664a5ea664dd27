#include "sentry/cli/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/cli/limit.h"

/* One option: its handler gets the text of the argument (NULL without one). 0 or -1 = bad. */
struct option_row {
	const char *name;
	const char *arg; /* how help names the argument; NULL: takes none; "[=X]": optional */
	int (*parse)(struct run_config *config, const char *arg);
	const char *help;
};

__attribute__((format(printf, 1, 2))) static int complain(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("fusebox: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return -1;
}

/* Grows one of config's arrays by a zeroed element; ends the program without memory. */
static void *array_grow(void *array, size_t *nr, size_t size)
{
	char *grown = realloc(array, (*nr + 1) * size);

	if (!grown) {
		complain("out of memory");
		exit(EXIT_FUSEBOX);
	}
	memset(grown + *nr * size, 0, size);
	(*nr)++;
	return grown;
}

static int absolute(const char *option, const char *path)
{
	if (path[0] == '/')
		return 0;
	return complain("--%s: '%s' is not an absolute path", option, path);
}

static int parse_root(struct run_config *config, const char *arg)
{
	config->root = arg;
	return 0;
}

static int parse_overlay(struct run_config *config, const char *arg)
{
	(void)arg;
	config->root_mode = ROOT_OVERLAY;
	return 0;
}

static int parse_rw(struct run_config *config, const char *arg)
{
	(void)arg;
	config->root_mode = ROOT_RW;
	return 0;
}

static int parse_ro(struct run_config *config, const char *arg)
{
	(void)arg;
	config->root_mode = ROOT_RO;
	return 0;
}

static int parse_bind(struct run_config *config, const char *arg)
{
	char *source = strdup(arg), *target = source ? strchr(source, ':') : NULL, *mode;
	struct bind_option *bind;

	if (!target || target == source) {
		free(source);
		return complain("--bind: '%s' is not SRC:DST or SRC:DST:ro", arg);
	}
	*target++ = 0;
	mode = strchr(target, ':');
	if (mode)
		*mode++ = 0;
	if ((mode && strcmp(mode, "ro") != 0) || absolute("bind", target)) {
		if (mode && strcmp(mode, "ro") != 0)
			complain("--bind: '%s': unknown mode '%s' (only 'ro')", arg, mode);
		free(source);
		return -1;
	}
	config->binds = array_grow(config->binds, &config->nr_binds, sizeof(*config->binds));
	bind = &config->binds[config->nr_binds - 1];
	bind->source = source;
	bind->target = strdup(target);
	bind->read_only = mode != NULL;
	return bind->target ? 0 : complain("out of memory");
}

static int parse_tmpfs(struct run_config *config, const char *arg)
{
	if (absolute("tmpfs", arg))
		return -1;
	config->tmpfs = array_grow(config->tmpfs, &config->nr_tmpfs, sizeof(*config->tmpfs));
	config->tmpfs[config->nr_tmpfs - 1] = arg;
	return 0;
}

static int parse_fuse(struct run_config *config, const char *arg)
{
	const char *equals = strchr(arg, '=');
	struct fuse_option *fuse;

	if (!equals || !equals[1])
		return complain("--fuse: '%s' is not DST=COMMAND", arg);
	if (absolute("fuse", arg))
		return -1;
	config->fuse = array_grow(config->fuse, &config->nr_fuse, sizeof(*config->fuse));
	fuse = &config->fuse[config->nr_fuse - 1];
	fuse->target = strndup(arg, (size_t)(equals - arg));
	fuse->command = strdup(equals + 1);
	return fuse->target && fuse->command ? 0 : complain("out of memory");
}

static int parse_chdir(struct run_config *config, const char *arg)
{
	config->chdir = arg;
	return absolute("chdir", arg);
}

static int parse_env(struct run_config *config, const char *arg)
{
	if (arg[0] == '=' || !arg[0])
		return complain("--env: '%s' has no name", arg);
	config->env = array_grow(config->env, &config->nr_env, sizeof(*config->env));
	config->env[config->nr_env - 1] = strdup(arg);
	return config->env[config->nr_env - 1] ? 0 : complain("out of memory");
}

static int parse_clear_env(struct run_config *config, const char *arg)
{
	(void)arg;
	config->clear_env = true;
	return 0;
}

static int parse_id(const char *text, char **end, unsigned *ret_id)
{
	unsigned long id;

	errno = 0;
	id = strtoul(text, end, 10);
	if (*end == text || errno || id >= 0xffffffffUL || text[0] == '-')
		return -1;
	*ret_id = (unsigned)id;
	return 0;
}

static int parse_user(struct run_config *config, const char *arg)
{
	unsigned uid, gid;
	char *end;

	if (parse_id(arg, &end, &uid))
		return complain("--user: '%s' is not UID or UID:GID", arg);
	gid = uid;
	if (*end == ':' && parse_id(end + 1, &end, &gid))
		return complain("--user: '%s' has a bad GID", arg);
	if (*end)
		return complain("--user: '%s' is not UID or UID:GID", arg);
	config->uid = uid;
	config->gid = gid;
	config->user_given = true;
	return 0;
}

static int parse_hostname(struct run_config *config, const char *arg)
{
	if (!arg[0] || strlen(arg) > 64)
		return complain("--hostname: a host name has 1 to 64 characters");
	config->hostname = arg;
	return 0;
}

static int parse_fuse_timeout(struct run_config *config, const char *arg)
{
	unsigned long seconds;
	char *end;

	seconds = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || *end || seconds == 0 || seconds > 65535)
		return complain("--fuse-timeout: '%s' is not a number of seconds from 1 to 65535", arg);
	config->fuse_timeout = (unsigned)seconds;
	return 0;
}

static int parse_fuse_keep(struct run_config *config, const char *arg)
{
	(void)arg;
	config->fuse_keep = true;
	return 0;
}

static int parse_limit(struct run_config *config, const char *arg)
{
	struct launch_limit limit;
	const char *cause = limit_parse(arg, &limit.resource, &limit.value);

	if (cause)
		return complain("--limit: '%s': %s", arg, cause);
	if (limit.resource == LIMIT_TASKS) {
		config->max_tasks = (unsigned)limit.value;
		return 0;
	}
	config->limits = array_grow(config->limits, &config->nr_limits, sizeof(limit));
	config->limits[config->nr_limits - 1] = limit;
	return 0;
}

static int parse_backend(struct run_config *config, const char *arg)
{
	if (strcmp(arg, "auto") == 0)
		config->backend = BACKEND_AUTO;
	else if (strcmp(arg, "notify") == 0)
		config->backend = BACKEND_NOTIFY;
	else if (strcmp(arg, "ptrace") == 0)
		config->backend = BACKEND_PTRACE;
	else
		return complain("--backend: '%s' is not notify, ptrace or auto", arg);
	return 0;
}

static int parse_lane(struct run_config *config, const char *arg)
{
	if (strcmp(arg, "auto") == 0)
		config->lane = LANE_AUTO;
	else if (strcmp(arg, "off") == 0)
		config->lane = LANE_OFF;
	else if (strcmp(arg, "eager") == 0)
		config->lane = LANE_EAGER;
	else
		return complain("--lane: '%s' is not auto, off or eager", arg);
	return 0;
}

static int parse_isolation(struct run_config *config, const char *arg)
{
	if (strcmp(arg, "auto") == 0)
		config->isolation = ISOLATION_AUTO;
	else if (strcmp(arg, "full") == 0)
		config->isolation = ISOLATION_FULL;
	else if (strcmp(arg, "nested") == 0)
		config->isolation = ISOLATION_NESTED;
	else
		return complain("--isolation: '%s' is not full, nested or auto", arg);
	return 0;
}

static int parse_require(struct run_config *config, const char *arg)
{
	if (strcmp(arg, "full") != 0)
		return complain("--require: '%s' is not full", arg);
	config->require_full = true;
	return 0;
}

static int parse_trace(struct run_config *config, const char *arg)
{
	config->trace = true;
	config->trace_file = arg;
	return 0;
}

static int parse_stats(struct run_config *config, const char *arg)
{
	(void)arg;
	config->stats = true;
	return 0;
}

static int parse_verbose(struct run_config *config, const char *arg)
{
	(void)arg;
	config->verbose = true;
	return 0;
}

static const struct option_row options[] = {
	{ "root", "DIR", parse_root, "host directory that becomes / (default: /)" },
	{ "overlay", NULL, parse_overlay, "writes stay in memory and vanish at the end (default)" },
	{ "rw", NULL, parse_rw, "writes go to the host directory" },
	{ "ro", NULL, parse_ro, "/ is read-only" },
	{ "bind", "SRC:DST[:ro]", parse_bind, "show a host file or directory at DST, shared" },
	{ "tmpfs", "DST", parse_tmpfs, "an empty file system in memory at DST" },
	{ "fuse", "DST=COMMAND", parse_fuse,
	  "start COMMAND DST in the sandbox, wait until it has mounted, unmount at the end" },
	{ "fuse-timeout", "SECONDS", parse_fuse_timeout,
	  "a FUSE client gets ETIMEDOUT when its daemon has not answered for so long" },
	{ "fuse-keep", NULL, parse_fuse_keep,
	  "FUSE mounts outlive their daemons; those of --fuse are started again" },
	{ "chdir", "DIR", parse_chdir, "working directory of the command" },
	{ "env", "NAME=VALUE", parse_env, "set a variable (NAME alone: unset it)" },
	{ "clear-env", NULL, parse_clear_env, "start with an empty environment" },
	{ "user", "UID[:GID]", parse_user, "run as this user inside (0 = root of the sandbox)" },
	{ "hostname", "NAME", parse_hostname, "host name inside (default: fusebox)" },
	{ "limit", "NAME=N", parse_limit,
	  "limit a resource: tasks (of the whole sandbox), nofile, as, cpu, fsize, ..." },
	{ "backend", "notify|ptrace|auto", parse_backend, "how system calls are intercepted" },
	{ "lane", "auto|off|eager", parse_lane,
	  "do busy FUSE daemons make calls through shared memory (default: auto; eager: idle ones too)" },
	{ "isolation", "full|nested|auto", parse_isolation, "how much the host's kernel isolates" },
	{ "require", "full", parse_require, "fail instead of running with less isolation" },
	{ "trace", "[=FILE]", parse_trace, "one line per system call, to stderr or FILE" },
	{ "stats", NULL, parse_stats, "print counters at the end" },
	{ "verbose", NULL, parse_verbose, "say what was chosen and why" },
};

void config_usage(int hostfd)
{
	dprintf(hostfd, "usage: fusebox run [OPTIONS] -- COMMAND [ARG...]\n"
			"       fusebox ps [--fuse]\n"
			"       fusebox --list-syscalls | --list-fuse | --version | --help\n\n"
			"Runs COMMAND in a sandbox with its own file system and its own /dev/fuse.\n\n");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option_row *row = &options[i];
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", row->name,
			 row->arg && row->arg[0] != '[' ? " " : "", row->arg ? row->arg : "");
		dprintf(hostfd, "  %-32s %s\n", left, row->help);
	}
	dprintf(hostfd, "\nExit status: the command's, 128+N when signal N ended it; 125 for an error\n"
			"of fusebox itself, 126 when COMMAND cannot be executed, 127 when it is not found.\n");
}

static const struct option_row *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

/* Parses the option at argv[*index] and moves past it. */
static int parse_option(struct run_config *config, int argc, char **argv, int *index)
{
	const char *text = argv[*index] + 2, *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	const struct option_row *row = find_option(text, len);
	const char *arg = equals ? equals + 1 : NULL;
	bool optional = row && row->arg && row->arg[0] == '[';

	if (!row)
		return complain("unknown option '%s'; see fusebox --help", argv[*index]);
	if (!row->arg && arg)
		return complain("--%s takes no argument", row->name);
	if (row->arg && !optional && !arg) {
		if (++*index >= argc)
			return complain("--%s needs an argument: %s", row->name, row->arg);
		arg = argv[*index];
	}
	++*index;
	return row->parse(config, arg);
}

int config_parse(int argc, char **argv, struct run_config *ret_config)
{
	struct run_config config = { .root = "/", .hostname = "fusebox" };
	int i = 1;

	while (i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2]) {
		if (strcmp(argv[i], "--help") == 0) {
			config_usage(1);
			config_free(&config);
			return 1;
		}
		if (parse_option(&config, argc, argv, &i)) {
			config_free(&config);
			return -1;
		}
	}
	if (i < argc && strcmp(argv[i], "--") == 0)
		i++;
	else if (i < argc && argv[i][0] == '-' && argv[i][1])
		return complain("unknown option '%s'; see fusebox --help", argv[i]);
	if (i >= argc) {
		config_free(&config);
		return complain("no command given; see fusebox --help");
	}
	config.argv = &argv[i];
	*ret_config = config;
	return 0;
}

void config_free(struct run_config *config)
{
	for (size_t i = 0; i < config->nr_binds; i++) {
		free(config->binds[i].source);
		free(config->binds[i].target);
	}
	for (size_t i = 0; i < config->nr_fuse; i++) {
		free(config->fuse[i].target);
		free(config->fuse[i].command);
	}
	for (size_t i = 0; i < config->nr_env; i++)
		free(config->env[i]);
	free(config->limits);
	free(config->binds);
	free(config->tmpfs);
	free(config->fuse);
	free(config->env);
}

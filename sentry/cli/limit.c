#include "sentry/cli/limit.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int resource;
} names[] = {
	{ "tasks", LIMIT_TASKS },
	{ "as", RLIMIT_AS },
	{ "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },
	{ "memlock", RLIMIT_MEMLOCK },
	{ "nofile", RLIMIT_NOFILE },
	{ "nproc", RLIMIT_NPROC },
	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

static const char *parse_value(const char *text, rlim_t *ret_value)
{
	static const char units[] = "KMG";
	unsigned long long value;
	const char *unit;
	unsigned shift = 0;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return "the value is not a number";
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return "the value is not a number with an optional K, M or G";
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (errno || value > ((unsigned long long)LLONG_MAX >> shift))
		return "the value is too large";
	*ret_value = (rlim_t)value << shift;
	return NULL;
}

const char *limit_parse(const char *arg, int *ret_resource, rlim_t *ret_value)
{
	size_t len = strcspn(arg, "=");
	const char *cause;

	if (!arg[len])
		return "there is no '='";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i].name) != len || strncmp(names[i].name, arg, len) != 0)
			continue;
		cause = parse_value(arg + len + 1, ret_value);
		*ret_resource = names[i].resource;
		if (!cause && *ret_resource == LIMIT_TASKS && (!*ret_value || *ret_value > INT_MAX))
			cause = "there must be room for one task";
		return cause;
	}
	return "there is no such limit (tasks, as, core, cpu, data, fsize, memlock, nofile, nproc, "
	       "sigpending, stack)";
}

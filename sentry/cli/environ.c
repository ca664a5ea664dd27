#include "sentry/cli/environ.h"

#include <stdlib.h>
#include <string.h>

#include "sentry/base/log.h"
#include "sentry/cli/config.h"

static size_t name_len(const char *entry)
{
	return strcspn(entry, "=");
}

static size_t find(char **env, size_t nr, const char *entry)
{
	size_t len = name_len(entry), i;

	for (i = 0; i < nr; i++)
		if (name_len(env[i]) == len && strncmp(env[i], entry, len) == 0)
			break;
	return i;
}

char **environ_build(const struct run_config *config, char **base)
{
	size_t nr = 0, max = config->nr_env + 1, at;
	char **env;

	for (size_t i = 0; base && base[i]; i++)
		max++;
	env = calloc(max, sizeof(*env));
	if (!env)
		fb_die("out of memory");
	for (size_t i = 0; !config->clear_env && base && base[i]; i++)
		env[nr++] = base[i];
	for (size_t i = 0; i < config->nr_env; i++) {
		at = find(env, nr, config->env[i]);
		if (strchr(config->env[i], '=')) {
			env[at] = config->env[i];
			nr += at == nr;
		} else if (at < nr) {
			env[at] = env[--nr];
			env[nr] = NULL;
		}
	}
	return env;
}

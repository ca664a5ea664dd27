#include "sentry/cli/fuse_wrap.h"

#include <stdlib.h>
#include <string.h>

#include "sentry/base/log.h"
#include "sentry/cli/config.h"

/*
 * $1 = number of mounts, then DST and COMMAND of each, then the command line. COMMAND is run by the
 * shell, with DST as its last argument, or in place of each {}. A daemon may stay in the foreground
 * or put itself into the background; 10 s are given for the mount to appear.
 */
static const char script[] =
	"n=$1; shift; mounted=\n"
	"while [ $n -gt 0 ]; do\n"
	"  dst=$1 cmd=$2; shift 2; n=$((n-1))\n"
	"  mkdir -p \"$dst\" || exit 125\n"
	"  case $cmd in *'{}'*) cmd=$(printf %s \"$cmd\" | sed \"s|{}|$dst|g\");;\n"
	"  *) cmd=\"$cmd \\\"\\$dst\\\"\";; esac\n"
	"  dst=$dst sh -c \"$cmd\" & pid=$!\n"
	"  seen=$(printf %s \"$dst\" | sed 's/ /\\\\040/g')\n" /* as /proc/mounts spells it */
	"  i=0; until grep -qF \" $seen fuse\" /proc/mounts; do\n"
	"    i=$((i+1))\n"
	"    if [ $i -gt 500 ]; then echo \"fusebox: --fuse: '$cmd' did not mount $dst\" >&2;\n"
	"      exit 125; fi\n"
	"    if ! kill -0 $pid 2>/dev/null; then wait $pid; rc=$?\n"
	"      if [ $rc -ne 0 ]; then\n"
	"        echo \"fusebox: --fuse: '$cmd' ended with status $rc\" >&2; exit 125; fi; fi\n"
	"    sleep 0.02\n"
	"  done\n"
	"  stat -f \"$dst\" >/dev/null || exit 125\n"
	"  mounted=\"$dst\n$mounted\"\n"
	"done\n"
	"\"$@\"; rc=$?\n"
	/* A daemon on top of this mount holds it until it has ended: wait a second before -z. */
	"cd /; printf %s \"$mounted\" | while read -r dst; do\n"
	"  seen=$(printf %s \"$dst\" | sed 's/ /\\\\040/g'); i=0\n"
	"  while grep -qF \" $seen fuse\" /proc/mounts; do\n"
	"    fusermount3 -u \"$dst\" 2>/dev/null || umount \"$dst\" 2>/dev/null && break\n"
	"    i=$((i+1)); if [ $i -gt 50 ]; then\n"
	"      fusermount3 -uz \"$dst\" 2>/dev/null || umount -l \"$dst\"; break; fi\n"
	"    sleep 0.02; done; done\n"
	"wait; exit $rc\n";

static size_t command_len(const struct run_config *config)
{
	size_t n = 0;

	while (config->argv[n])
		n++;
	return n;
}

char *const *fuse_wrap_command(const struct run_config *config)
{
	size_t nr = command_len(config), n = 0;
	char **argv, *count = NULL;

	if (config->nr_fuse == 0)
		return config->argv;
	argv = calloc(nr + 2 * config->nr_fuse + 6, sizeof(*argv));
	if (!argv || asprintf(&count, "%zu", config->nr_fuse) < 0)
		fb_die("out of memory");
	argv[n++] = strdup("/bin/sh");
	argv[n++] = strdup("-c");
	argv[n++] = strdup(script);
	argv[n++] = strdup("fusebox");
	argv[n++] = count;
	for (size_t i = 0; i < config->nr_fuse; i++) {
		argv[n++] = config->fuse[i].target;
		argv[n++] = config->fuse[i].command;
	}
	for (size_t i = 0; i < nr; i++)
		argv[n++] = config->argv[i];
	return argv;
}

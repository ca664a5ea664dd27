#include "sentry/cli/fuse_wrap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/base/log.h"
#include "sentry/cli/config.h"

/* How COMMAND, in $cmd, serves $dst: once. */
static const char serve_once[] = "serve() { dst=$dst exec sh -c \"$cmd\"; }\n"
				 "ending() { :; }\n";

/*
 * With --fuse-keep: it is started again when it has died and the connection waits for another
 * daemon ("2"; see fusefs/control.c). A daemon may put itself into the background, so that its end
 * is not its command's. TERM: the mount is about to go, and so shall the daemon.
 */
static const char serve_on[] =
	"state() { n= s=\n"
	"  while read -r _ _ dev _ at _; do [ \"$at\" = \"$seen\" ] && n=${dev#*:}\n"
	"  done </proc/self/mountinfo\n"
	"  [ -n \"$n\" ] && read -r s 2>/dev/null <\"/sys/fs/fuse/connections/$n/keep\"; }\n"
	"serve() {\n"
	"  patience='0 0.1 0.2 0.4 0.8 1.6 2 2 2 2'; set -- $patience\n" /* before each restart */
	"  stop=; trap stop=1 TERM\n"
	"  while [ -z \"$stop\" ]; do\n"
	"    dst=$dst sh -c \"$cmd\" & pid=$!\n"
	"    i=0; until state; [ \"$s\" = 1 ]; do\n"
	"      kill -0 $pid 2>/dev/null || break\n"
	"      i=$((i+1)); if [ -n \"$stop\" ]; then kill $pid; break; fi\n"
	"      if [ $i -gt 500 ]; then kill -9 $pid; break; fi\n"
	"      sleep 0.02; done\n"
	"    born=$(date +%s)\n"
	"    wait $pid; rc=$?; while kill -0 $pid 2>/dev/null; do wait $pid; rc=$?; done\n"
	"    while state; [ \"$s\" = 1 ]; do sleep 0.1; done\n"
	"    [ \"$s\" = 2 ] || exit $rc\n"
	"    [ $(($(date +%s) - born)) -gt 10 ] && set -- $patience\n"
	"    if [ $# -eq 0 ]; then\n"
	"      echo \"fusebox: --fuse-keep: '$cmd' dies again and again, giving up\" >&2\n"
	"      echo 0 >\"/sys/fs/fuse/connections/$n/keep\"; exit 125; fi\n"
	"    echo \"fusebox: --fuse-keep: '$cmd' has died (status $rc), starting it again\" >&2\n"
	"    sleep $1; shift\n"
	"  done; }\n"
	"ending() { kill \"$@\" 2>/dev/null; }\n";

/*
 * $1 = number of mounts, then DST and COMMAND of each, then the command line. COMMAND is run by the
 * shell, with DST as its last argument, or in place of each {}. A daemon may stay in the foreground
 * or put itself into the background; 10 s are given for the mount to appear.
 */
static const char script[] =
	"n=$1; shift; mounted= servers=\n"
	"while [ $n -gt 0 ]; do\n"
	"  dst=$1 cmd=$2; shift 2; n=$((n-1))\n"
	"  mkdir -p \"$dst\" || exit 125\n"
	"  case $cmd in *'{}'*) cmd=$(printf %s \"$cmd\" | sed \"s|{}|$dst|g\");;\n"
	"  *) cmd=\"$cmd \\\"\\$dst\\\"\";; esac\n"
	"  seen=$(printf %s \"$dst\" | sed 's/ /\\\\040/g')\n" /* as /proc/mounts spells it */
	"  serve & pid=$!\n"
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
	"  mounted=\"$dst\n$mounted\" servers=\"$servers $pid\"\n"
	"done\n"
	"\"$@\"; rc=$?\n"
	"ending $servers\n"
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
	static char shell[] = "/bin/sh", option[] = "-c", name[] = "fusebox";
	size_t nr = command_len(config), n = 0;
	char **argv, *count = NULL, *text = NULL;

	if (config->nr_fuse == 0)
		return config->argv;
	argv = calloc(nr + 2 * config->nr_fuse + 6, sizeof(*argv));
	if (!argv || asprintf(&count, "%zu", config->nr_fuse) < 0 ||
	    asprintf(&text, "%s%s", config->fuse_keep ? serve_on : serve_once, script) < 0)
		fb_die("out of memory");
	argv[n++] = shell;
	argv[n++] = option;
	argv[n++] = text;
	argv[n++] = name;
	argv[n++] = count;
	for (size_t i = 0; i < config->nr_fuse; i++) {
		argv[n++] = config->fuse[i].target;
		argv[n++] = config->fuse[i].command;
	}
	for (size_t i = 0; i < nr; i++)
		argv[n++] = config->argv[i];
	return argv;
}

void fuse_wrap_free(const struct run_config *config, char *const *argv)
{
	if (argv == config->argv)
		return;
	free(argv[2]); /* the script, and how many mounts it makes */
	free(argv[4]);
	free((void *)(uintptr_t)argv);
}

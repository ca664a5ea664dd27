/* The verbs of the command line. What each needs from the layers it gets in sentry/cli/. */
#include <stdio.h>
#include <string.h>

#include "devfuse/features.h"
#include "sentry/cli/config.h"
#include "sentry/cli/ps.h"
#include "sentry/cli/run.h"
#include "syscalls/table.h"
#include "vfs/strbuf.h"

static int print_list(void (*list)(struct strbuf *out))
{
	struct strbuf out = STRBUF_INIT;

	list(&out);
	if (out.failed || fwrite(out.buf, 1, out.len, stdout) != out.len || fflush(stdout)) {
		fprintf(stderr, "fusebox: cannot write the list\n");
		return EXIT_FUSEBOX;
	}
	strbuf_free(&out);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "run") == 0)
		return cli_run(argc - 1, argv + 1);
	if (strcmp(verb, "ps") == 0)
		return cli_ps(argc - 1, argv + 1);
	if (strcmp(verb, "--list-syscalls") == 0)
		return print_list(syscall_list);
	if (strcmp(verb, "--list-fuse") == 0)
		return print_list(fuse_feature_list);
	if (strcmp(verb, "--version") == 0) {
		printf("fusebox %s\n", FB_VERSION);
		return 0;
	}
	if (strcmp(verb, "--help") == 0) {
		config_usage(1);
		return 0;
	}
	if (*verb)
		fprintf(stderr, "fusebox: unknown command '%s'\n", verb);
	config_usage(2);
	return EXIT_FUSEBOX;
}

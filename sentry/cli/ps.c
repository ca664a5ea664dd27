/*
 * `fusebox ps`: asks each sandbox over its control socket (sentry/control.h). A socket that nobody
 * answers for is what a killed sandbox has left, and goes.
 */
#include "sentry/cli/ps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/cli/config.h"
#include "sentry/control.h"

#define PATIENCE_S 5

static int connect_to(const char *dir, const char *name, pid_t *ret_pid)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = PATIENCE_S};
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int hostfd;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, name) >=
	    sizeof(addr.sun_path))
		return -1;
	hostfd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (hostfd < 0)
		return -1;
	(void)setsockopt(hostfd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(hostfd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(hostfd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == ECONNREFUSED)
			(void)unlink(addr.sun_path);
		(void)close(hostfd);
		return -1;
	}
	(void)getsockopt(hostfd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	*ret_pid = peer.pid;
	return hostfd;
}

/* Asks for one report; its text, malloc'ed, or NULL. */
static char *ask(const char *dir, const char *name, const char *question, pid_t *ret_pid)
{
	int hostfd = connect_to(dir, name, ret_pid);
	size_t len = 0, room = 65536;
	char *text = hostfd >= 0 ? malloc(room) : NULL;
	ssize_t n = -1;

	if (text && dprintf(hostfd, "%s\n", question) > 0)
		while ((n = read(hostfd, text + len, room - 1 - len)) > 0) {
			len += (size_t)n;
			if (len == room - 1) {
				char *more = realloc(text, room *= 2);

				if (!more)
					break;
				text = more;
			}
		}
	if (hostfd >= 0)
		(void)close(hostfd);
	if (!text || n < 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	return text;
}

static void show_fuse(const char *dir, const char *name)
{
	pid_t pid;
	cleanup_free char *text = ask(dir, name, "fuse", &pid);
	char *line = text;

	while (line && *line) {
		size_t len = strcspn(line, "\n");

		printf("    %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void show_sandbox(const char *dir, const char *name, bool fuse)
{
	pid_t pid = 0;
	cleanup_free char *text = ask(dir, name, "ps", &pid);

	if (!text) {
		if (pid)
			printf("%7d (does not answer)\n", (int)pid);
		return;
	}
	printf("%7d %s", (int)pid, text);
	if (fuse)
		show_fuse(dir, name);
}

int cli_ps(int argc, char **argv)
{
	bool fuse = argc > 1 && strcmp(argv[1], "--fuse") == 0;
	struct dirent *entry;
	char dir[80];
	DIR *stream;
	int err;

	if (argc > 1 + (int)fuse) {
		fprintf(stderr, "fusebox: usage: fusebox ps [--fuse]\n");
		return EXIT_FUSEBOX;
	}
	printf("    PID ISOLATION BACKEND TASKS COMMAND\n");
	err = control_dir(dir, sizeof(dir), 0);
	stream = err ? NULL : opendir(dir);
	if (!stream) {
		if (err == -ENOENT)
			return 0;
		fprintf(stderr, "fusebox: '%s': %s\n", dir, strerror(err ? -err : errno));
		return EXIT_FUSEBOX;
	}
	while ((entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			show_sandbox(dir, entry->d_name, fuse);
	closedir(stream);
	return 0;
}

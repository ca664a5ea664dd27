/* The control socket: made at start-up, accepted on the reactor, each client served by a fiber. */
#include "sentry/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sentry/base/blocking.h"
#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "sentry/sched/sched.h"
#include "vfs/strbuf.h"

#define REPORTS_MAX   4
#define CLIENT_TIME_S 2 /* for its question, and for taking the answer */

static struct {
	const char *name;
	void (*show)(struct strbuf *out);
} reports[REPORTS_MAX];
static int nr_reports;

static int listen_hostfd = -1, dir_hostfd = -1;
static char socket_name[32];
static struct host_watch watch;

int control_dir(char *buf, size_t size, int make)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int len, err;

	if (runtime && runtime[0] == '/')
		len = snprintf(buf, size, "%s/fusebox", runtime);
	else
		len = snprintf(buf, size, "/tmp/fusebox-%u", (unsigned)geteuid());
	if (len < 0 || (size_t)len >= size)
		return -ENAMETOOLONG;
	if (make) {
		err = (int)HOST(mkdir(buf, 0700));
		if (err && err != -EEXIST)
			return err;
	}
	err = (int)HOST(lstat(buf, &st));
	if (err)
		return err;
	/* /tmp is everybody's: it may be another one's trap. */
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) ? 0 : -EPERM;
}

void control_register(const char *name, void (*show)(struct strbuf *out))
{
	if (nr_reports == REPORTS_MAX)
		return;
	reports[nr_reports].name = name;
	reports[nr_reports++].show = show;
}

/* The name says nothing: pids of several containers may share the directory. */
static int bind_socket(const char *dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t old;
	int err;

	snprintf(socket_name, sizeof(socket_name), "%d-%lx", (int)getpid(),
		 (unsigned long)clock_realtime_ns());
	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, socket_name) >=
	    sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	listen_hostfd = (int)HOST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (listen_hostfd < 0)
		return listen_hostfd;
	old = umask(0177);
	err = (int)HOST(bind(listen_hostfd, (struct sockaddr *)&addr, sizeof(addr)));
	umask(old);
	return err ? err : (int)HOST(listen(listen_hostfd, 8));
}

int control_open(void)
{
	char dir[80];
	int err = control_dir(dir, sizeof(dir), 1);

	if (!err) {
		dir_hostfd = (int)HOST(open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
		err = dir_hostfd < 0 ? dir_hostfd : bind_socket(dir);
	}
	if (err) {
		fb_log(LOG_INFO, "no control socket: %s", strerror(-err));
		control_close();
	}
	return err;
}

void control_close(void)
{
	if (dir_hostfd >= 0 && socket_name[0])
		(void)unlinkat(dir_hostfd, socket_name, 0);
	if (dir_hostfd >= 0)
		(void)close(dir_hostfd);
	if (listen_hostfd >= 0)
		(void)close(listen_hostfd);
	dir_hostfd = listen_hostfd = -1;
}

static void answer(int hostfd, const char *question)
{
	struct strbuf out = STRBUF_INIT;
	size_t done = 0;

	for (int i = 0; i < nr_reports; i++)
		if (strcmp(reports[i].name, question) == 0)
			reports[i].show(&out);
	while (!out.failed && done < out.len) {
		ssize_t n = HOST(send(hostfd, out.buf + done, out.len - done, MSG_NOSIGNAL));

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	strbuf_free(&out);
}

/* On a fiber of its own; arg is the descriptor. */
static void serve(void *arg)
{
	struct timeval limit = {.tv_sec = CLIENT_TIME_S};
	int hostfd = (int)(intptr_t)arg;
	char question[32] = "";
	size_t len = 0;

	(void)setsockopt(hostfd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(hostfd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	blocking_begin();
	while (len < sizeof(question) - 1) {
		ssize_t n = HOST(recv(hostfd, question + len, 1, 0));

		if (n != 1 || question[len] == '\n')
			break;
		len++;
	}
	question[len] = '\0';
	answer(hostfd, question);
	blocking_end();
	(void)close(hostfd);
}

static void client_came(struct host_watch *self, unsigned events)
{
	struct ucred peer;
	socklen_t len;
	int hostfd;

	(void)events;
	while ((hostfd = (int)HOST(accept4(self->hostfd, NULL, NULL, SOCK_CLOEXEC))) >= 0) {
		len = sizeof(peer);
		if (HOST(getsockopt(hostfd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) < 0 ||
		    (peer.uid != geteuid() && peer.uid != 0)) {
			(void)close(hostfd);
			continue;
		}
		sched_spawn(serve, (void *)(intptr_t)hostfd);
	}
}

int control_start(void)
{
	return listen_hostfd < 0 ? 0 : host_watch_add(&watch, listen_hostfd, client_came);
}

void control_print(void)
{
	struct strbuf out = STRBUF_INIT;

	for (int i = 0; i < nr_reports; i++)
		reports[i].show(&out);
	if (!out.failed && write(2, out.buf, out.len) < 0)
		return; /* nobody listens */
	strbuf_free(&out);
}

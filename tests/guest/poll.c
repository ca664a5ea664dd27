/* poll(2), ppoll(2), select(2), pselect6(2) on pipes, sockets, files. */
#include "report.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

static void show_poll(const char *what, int fd, int events, int timeout)
{
	struct pollfd p = { fd, events, 0x7000 };
	int n = poll(&p, 1, timeout);

	if (n < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %d revents %#x\n", what, n, p.revents);
}

static void kinds(void)
{
	int p[2], s[2], file = MUST(open("f", O_CREAT | O_RDWR, 0600));
	int all = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

	MUST(pipe(p));
	show_poll("empty pipe", p[0], all, 0);
	show_poll("write end", p[1], all, 0);
	MUST(write(p[1], "x", 1));
	show_poll("filled pipe", p[0], all, -1);
	show_poll("filled pipe, asked for nothing", p[0], 0, 0);
	close(p[1]);
	show_poll("no writer, data left", p[0], all, -1);
	MUST(read(p[0], &all, 1));
	all = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;
	show_poll("no writer, empty", p[0], all, -1);
	show_poll("hang-up is always told", p[0], 0, -1);
	close(p[0]);
	MUST(pipe(p));
	close(p[0]);
	show_poll("no reader", p[1], all, -1);
	close(p[1]);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	show_poll("socket", s[0], all, 0);
	MUST(write(s[1], "x", 1));
	show_poll("socket with data", s[0], all, 0);
	MUST(shutdown(s[1], SHUT_WR));
	show_poll("half closed socket", s[0], all, 0);
	close(s[1]);
	show_poll("closed socket", s[0], all, 0);
	close(s[0]);
	show_poll("file", file, all, 0);
	show_poll("file, POLLRDNORM", file, POLLRDNORM | POLLWRNORM, 0);
	show_poll("not open", 99, all, -1);
	show_poll("negative", -1, all, 10);
	show_poll("negative otherwise", -7, all, 0);
	show_poll("O_PATH", open("f", O_PATH), all, 0);
	close(file);
}

static long ms_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void timeouts(void)
{
	struct timespec start, ts = { 0, 30000000 };
	struct timeval tv = { 0, 30000 };
	struct pollfd p[3] = { { -1, POLLIN } };
	int fds[2];
	fd_set set;
	long ms;

	MUST(pipe(fds));
	p[0].fd = fds[0];
	clock_gettime(CLOCK_MONOTONIC, &start);
	SHOW("poll 30 ms", poll(p, 1, 30));
	ms = ms_since(&start);
	CHECK(ms >= 29);
	clock_gettime(CLOCK_MONOTONIC, &start);
	SHOW("ppoll 30 ms", syscall(SYS_ppoll, p, 1, &ts, NULL, 0));
	ms = ms_since(&start);
	CHECK(ms >= 29);
	printf("time left %ld.%ld\n", (long)ts.tv_sec, ts.tv_nsec);
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	clock_gettime(CLOCK_MONOTONIC, &start);
	SHOW("select 30 ms", select(fds[0] + 1, &set, NULL, NULL, &tv));
	ms = ms_since(&start);
	CHECK(ms >= 29);
	printf("time left %ld.%ld, set %d\n", (long)tv.tv_sec, (long)tv.tv_usec,
	       FD_ISSET(fds[0], &set));
	MUST(write(fds[1], "x", 1));
	tv = (struct timeval){ 100, 0 };
	FD_SET(fds[0], &set);
	SHOW("select ready", select(fds[0] + 1, &set, NULL, NULL, &tv));
	CHECK(tv.tv_sec < 100 && tv.tv_sec > 0 && FD_ISSET(fds[0], &set));
	tv = (struct timeval){ 0, 0 };
	SHOW("select without waiting", select(fds[0] + 1, &set, NULL, NULL, &tv));
	tv = (struct timeval){ 0, -1 };
	SHOW("select negative time", syscall(SYS_select, fds[0] + 1, &set, NULL, NULL, &tv));
	ts = (struct timespec){ 0, 1000000000 };
	SHOW("ppoll bad time", syscall(SYS_ppoll, p, 1, &ts, NULL, 0));
	SHOW("ppoll bad mask size", ({ sigset_t m; sigemptyset(&m); ts.tv_nsec = 0; syscall(SYS_ppoll, p, 1, &ts, &m, 4); }));
	SHOW("only a delay", poll(NULL, 0, 10));
	SHOW("bad array", poll((void *)8, 1, 0));
	close(fds[0]);
	close(fds[1]);
}

static void selecting(void)
{
	struct timeval tv = { 0, 20000 };
	fd_set in, out, ex;
	int p[2], q[2], n;

	MUST(pipe(p));
	MUST(pipe(q));
	MUST(write(p[1], "x", 1));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	for (int i = 0; i < 2; i++) {
		FD_SET(p[i], &in);
		FD_SET(p[i], &out);
		FD_SET(p[i], &ex);
		FD_SET(q[i], &in);
		FD_SET(q[i], &out);
	}
	n = select(20, &in, &out, &ex, &tv);
	printf("select: %d\n", n);
	printf("in %d%d%d%d out %d%d%d%d ex %d%d\n", FD_ISSET(p[0], &in), FD_ISSET(p[1], &in),
	       FD_ISSET(q[0], &in), FD_ISSET(q[1], &in), FD_ISSET(p[0], &out),
	       FD_ISSET(p[1], &out), FD_ISSET(q[0], &out), FD_ISSET(q[1], &out),
	       FD_ISSET(p[0], &ex), FD_ISSET(p[1], &ex));
	close(q[1]);
	FD_ZERO(&in);
	FD_SET(q[0], &in);
	SHOW("end of file is readable", select(20, &in, NULL, NULL, NULL));
	FD_ZERO(&ex);
	FD_SET(q[0], &ex);
	tv = (struct timeval){ 0, 20000 };
	SHOW("hang-up is no exception", select(20, NULL, NULL, &ex, &tv));
	FD_ZERO(&in);
	FD_SET(19, &in);
	SHOW("not open", select(20, &in, NULL, NULL, NULL));
	SHOW("not open, beyond n", ({ tv = (struct timeval){ 0, 0 }; select(19, &in, NULL, NULL, &tv); }));
	SHOW("negative n", select(-1, NULL, NULL, NULL, NULL));
	SHOW("bad set", select(10, (void *)8, NULL, NULL, NULL));
	SHOW("large n", ({ tv = (struct timeval){ 0, 0 }; FD_ZERO(&in); select(1024, &in, NULL, NULL, &tv); }));
	closefrom(3);
}

static void *writer(void *arg)
{
	usleep(20000);
	write(*(int *)arg, "x", 1);
	return NULL;
}

static void waking(void)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	pthread_t thread;
	fd_set set;
	char c;
	int a[2], b[2];

	MUST(pipe(a));
	MUST(pipe(b));
	p[0].fd = a[0];
	p[1].fd = b[0];
	pthread_create(&thread, NULL, writer, &b[1]);
	SHOW("woken by a thread", poll(p, 2, -1));
	printf("revents %#x %#x\n", p[0].revents, p[1].revents);
	pthread_join(thread, NULL);
	read(b[0], &c, 1);
	pthread_create(&thread, NULL, writer, &a[1]);
	FD_ZERO(&set);
	FD_SET(a[0], &set);
	FD_SET(b[0], &set);
	SHOW("select woken by a thread", select(20, &set, NULL, NULL, NULL));
	printf("sets %d %d\n", FD_ISSET(a[0], &set), FD_ISSET(b[0], &set));
	pthread_join(thread, NULL);
	closefrom(3);
}

static void many(void)
{
	static struct pollfd p[2000];
	struct rlimit rl;
	int fds[2];

	MUST(getrlimit(RLIMIT_NOFILE, &rl));
	MUST(pipe(fds));
	MUST(write(fds[1], "x", 1));
	for (int i = 0; i < 200; i++)
		p[i] = (struct pollfd){ fds[0], POLLIN };
	SHOW("the same pipe 200 times", poll(p, 200, -1));
	rl.rlim_cur = 100;
	MUST(setrlimit(RLIMIT_NOFILE, &rl));
	SHOW("more than the limit", poll(p, 101, 0));
	SHOW("at the limit", poll(p, 100, 0));
}

int main(void)
{
	kinds();
	closefrom(3);
	timeouts();
	selecting();
	waking();
	many();
	return 0;
}

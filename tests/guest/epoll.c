/* epoll(7): level, edge, one-shot, nested, errors. */
#include "report.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int ctl(int ep, int op, int fd, uint32_t events, int data)
{
	struct epoll_event e = { .events = events, .data.u32 = data };

	return epoll_ctl(ep, op, fd, &e);
}

static void show(const char *what, int ep, int timeout)
{
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, 8, timeout);

	if (n < 0)
		printf("%s: %s", what, strerrorname_np(errno));
	else
		printf("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" [%d %#x]", (int)e[i].data.u32, e[i].events);
	printf("\n");
}

static void errors(void)
{
	int ep, p[2], file = MUST(open("f", O_CREAT | O_RDWR, 0600));
	struct epoll_event e;

	TRY(epoll_create(0));
	TRY(epoll_create1(1));
	ep = SHOW_FD("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
	TRY(fcntl(ep, F_GETFD));
	MUST(pipe(p));
	SHOW("add", ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SHOW("add again", ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SHOW("add a duplicate", ctl(ep, EPOLL_CTL_ADD, dup(p[0]), EPOLLIN, 2));
	SHOW("modify unknown", ctl(ep, EPOLL_CTL_MOD, p[1], EPOLLIN, 1));
	SHOW("delete unknown", ctl(ep, EPOLL_CTL_DEL, p[1], 0, 0));
	SHOW("add a file", ctl(ep, EPOLL_CTL_ADD, file, EPOLLIN, 1));
	SHOW("add itself", ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN, 1));
	SHOW("add not open", ctl(ep, EPOLL_CTL_ADD, 99, EPOLLIN, 1));
	SHOW("ctl on no epoll", ctl(p[0], EPOLL_CTL_ADD, p[1], EPOLLIN, 1));
	SHOW("ctl on not open", ctl(99, EPOLL_CTL_ADD, p[1], EPOLLIN, 1));
	SHOW("bad operation", ctl(ep, 9, p[0], EPOLLIN, 1));
	SHOW("bad event", epoll_ctl(ep, EPOLL_CTL_ADD, p[1], (void *)8));
	SHOW("wait for 0 events", epoll_wait(ep, &e, 0, 0));
	SHOW("wait on no epoll", epoll_wait(p[0], &e, 1, 0));
	SHOW("wait on not open", epoll_wait(99, &e, 1, 0));
	SHOW("read of an epoll", read(ep, &e, 1));
	SHOW("delete without event", epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	closefrom(3);
}

static void level(void)
{
	int ep = MUST(epoll_create1(0)), p[2];
	char buf[8];

	MUST(pipe(p));
	MUST(ctl(ep, EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	MUST(ctl(ep, EPOLL_CTL_ADD, p[1], EPOLLOUT, 2));
	show("level: writable", ep, 0);
	MUST(write(p[1], "ab", 2));
	show("level: both", ep, 0);
	show("level: both again", ep, 0);
	MUST(read(p[0], buf, 8));
	show("level: drained", ep, 0);
	MUST(ctl(ep, EPOLL_CTL_MOD, p[1], 0, 2));
	show("level: nothing asked", ep, 0);
	close(p[1]);
	show("level: hang-up", ep, 0);
	close(p[0]);
	show("level: all closed", ep, 0);
	closefrom(3);
}

static void edge(void)
{
	int ep = MUST(epoll_create1(0)), s[2];
	char buf[8];

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	MUST(ctl(ep, EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLET, 1));
	show("edge: empty", ep, 0);
	MUST(write(s[1], "ab", 2));
	show("edge: data", ep, 0);
	show("edge: told once", ep, 0);
	MUST(read(s[0], buf, 1));
	show("edge: half read", ep, 0);
	MUST(write(s[1], "c", 1));
	show("edge: more data", ep, 0);
	show("edge: told once", ep, 0);
	MUST(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLET, 1));
	show("edge: told after modify", ep, 0);
	MUST(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLONESHOT, 1));
	show("one-shot: first", ep, 0);
	show("one-shot: disabled", ep, 0);
	MUST(write(s[1], "d", 1));
	show("one-shot: still", ep, 0);
	MUST(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLONESHOT, 1));
	show("one-shot: armed again", ep, 0);
	MUST(ctl(ep, EPOLL_CTL_MOD, s[0], EPOLLIN | EPOLLRDHUP, 1));
	MUST(shutdown(s[1], SHUT_WR));
	show("rdhup", ep, 0);
	closefrom(3);
}

static void nested(void)
{
	int inner = MUST(epoll_create1(0)), outer = MUST(epoll_create1(0)), third;
	int e = MUST(eventfd(0, 0));

	MUST(ctl(inner, EPOLL_CTL_ADD, e, EPOLLIN, 1));
	SHOW("nest", ctl(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2));
	SHOW("loop", ctl(inner, EPOLL_CTL_ADD, outer, EPOLLIN, 3));
	show("nested: nothing", outer, 0);
	MUST(eventfd_write(e, 1));
	show("nested: inner is ready", outer, 0);
	show("nested: event itself", inner, 0);
	show("nested: still", outer, 0);
	MUST(eventfd_read(e, &(eventfd_t){ 0 }));
	show("nested: drained", outer, 0);
	for (int i = 0; i < 6; i++) {
		third = MUST(epoll_create1(0));
		printf("depth %d: %s\n", i + 3,
		       ctl(third, EPOLL_CTL_ADD, outer, EPOLLIN, 4) ? strerrorname_np(errno) : "0");
		outer = third;
	}
	closefrom(3);
}

static void lifetime(void)
{
	int ep = MUST(epoll_create1(0)), e = MUST(eventfd(1, 0)), d = MUST(dup(e));

	MUST(ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, 1));
	close(e);
	show("closed, a duplicate is left", ep, 0);
	SHOW("delete by the duplicate", ctl(ep, EPOLL_CTL_DEL, d, 0, 0));
	close(d);
	show("last one closed", ep, 0);
	e = MUST(eventfd(1, 0));
	SHOW("same number, new file", ctl(ep, EPOLL_CTL_ADD, e, EPOLLIN, 7));
	show("new file", ep, 0);
	closefrom(3);
}

static void fair(void)
{
	struct epoll_event e[3];
	int ep = MUST(epoll_create1(0)), seen = 0, fd;

	for (int i = 0; i < 9; i++) {
		fd = MUST(eventfd(1, 0));
		MUST(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, i));
	}
	for (int round = 0; round < 3; round++) {
		int n = epoll_wait(ep, e, 3, 0);

		for (int i = 0; i < n; i++)
			seen |= 1 << e[i].data.u32;
	}
	printf("three at a time, all seen: %s\n", seen == 0x1ff ? "yes" : "no");
	closefrom(3);
}

static void *late(void *arg)
{
	usleep(20000);
	eventfd_write(*(int *)arg, 1);
	return NULL;
}

static void waiting(void)
{
	struct timespec ts = { 0, 5000000 };
	struct epoll_event e;
	int ep = MUST(epoll_create1(0)), fd = MUST(eventfd(0, 0));
	pthread_t thread;

	MUST(ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN, 5));
	show("timeout", ep, 10);
	SHOW("epoll_pwait2 timeout", syscall(SYS_epoll_pwait2, ep, &e, 1, &ts, NULL, 0));
	ts.tv_nsec = -1;
	SHOW("epoll_pwait2 bad time", syscall(SYS_epoll_pwait2, ep, &e, 1, &ts, NULL, 0));
	pthread_create(&thread, NULL, late, &fd);
	show("woken", ep, -1);
	pthread_join(thread, NULL);
	MUST(eventfd_read(fd, &(eventfd_t){ 0 }));
	MUST(ctl(ep, EPOLL_CTL_DEL, fd, 0, 0));
	SHOW("exclusive", ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE, 6));
	SHOW("modify exclusive", ctl(ep, EPOLL_CTL_MOD, fd, EPOLLIN, 6));
	SHOW("exclusive one-shot", ctl(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 6));
	SHOW("event into nowhere", (eventfd_write(fd, 1), epoll_wait(ep, (void *)8, 1, 0)));
	closefrom(3);
}

int main(void)
{
	errors();
	level();
	edge();
	nested();
	lifetime();
	fair();
	waiting();
	return 0;
}

/*
 * Reading and writing nothing. A count of 0 reaches the file's method, which may refuse it, wait, or
 * send an empty datagram; an empty vector does not: the descriptor is looked at, and that is all (cf.
 * vfs_readv() and vfs_writev() in fs/read_write.c).
 */
#include "report.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>

#define NOBODYS 0x4000 /* an RWF_ flag that no file has */
#define FAR	INT64_MAX

static char byte[2];

static void plain_count(int fd)
{
	TRY(read(fd, byte, 0));
	TRY(write(fd, byte, 0));
	TRY(pread(fd, byte, 0, 0));
	TRY(pwrite(fd, byte, 0, 0));
	TRY(pread(fd, byte, 0, FAR));
	TRY(pwrite(fd, byte, 0, FAR));
}

static void empty_vectors(int fd)
{
	struct iovec none[2] = {{byte, 0}, {(void *)8, 0}};

	TRY(readv(fd, none, 0));
	TRY(writev(fd, none, 0));
	TRY(readv(fd, none, 2));
	TRY(writev(fd, none, 2));
	TRY(preadv(fd, none, 2, 0));
	TRY(pwritev(fd, none, 2, 0));
	TRY(preadv(fd, none, 1, FAR));
	TRY(pwritev(fd, none, 1, FAR));
	TRY(preadv2(fd, none, 1, -1, 0));
	TRY(pwritev2(fd, none, 1, -1, 0));
	TRY(preadv2(fd, none, 1, 0, NOBODYS));
	TRY(pwritev2(fd, none, 1, 0, NOBODYS));
	TRY(preadv2(fd, none, 1, -1, NOBODYS));
	TRY(pwritev2(fd, none, 0, -1, RWF_NOWAIT));
	TRY(readv(fd, (void *)8, 0));
	TRY(writev(fd, (void *)8, 1));
	TRY(readv(fd, none, -1));
}

static void both(const char *what, int fd)
{
	printf("--- %s\n", what);
	plain_count(fd);
	empty_vectors(fd);
}

static void both_and_close(const char *what, int fd)
{
	both(what, fd);
	close(fd);
}

static void files(void)
{
	both_and_close("regular file", MUST(open("f", O_CREAT | O_RDWR, 0600)));
	both_and_close("read-only", MUST(open("f", O_RDONLY)));
	both_and_close("write-only", MUST(open("f", O_WRONLY)));
	both_and_close("appending", MUST(open("f", O_RDWR | O_APPEND)));
	both_and_close("place", MUST(open("f", O_PATH)));
	both_and_close("directory", MUST(open(".", O_RDONLY)));
	both_and_close("memfd", MUST(memfd_create("m", 0)));
	both("closed", 77);
}

static void devices(void)
{
	both_and_close("null", MUST(open("/dev/null", O_RDWR)));
	both_and_close("zero", MUST(open("/dev/zero", O_RDWR)));
	both_and_close("full", MUST(open("/dev/full", O_RDWR)));
	both_and_close("urandom", MUST(open("/dev/urandom", O_RDONLY)));
}

static void terminal(void)
{
	int master = MUST(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)), slave;
	struct termios mode;

	MUST(grantpt(master));
	MUST(unlockpt(master));
	slave = MUST(open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK));
	both("terminal's master", master);
	both("terminal", slave);
	MUST(tcgetattr(slave, &mode));
	cfmakeraw(&mode);
	MUST(tcsetattr(slave, TCSANOW, &mode));
	both("raw terminal", slave);
	close(slave);
	both("master without slave", master);
	close(master);
}

static void pipes(void)
{
	int p[2];

	MUST(pipe2(p, O_NONBLOCK));
	both("empty pipe, reading end", p[0]);
	both("empty pipe, writing end", p[1]);
	MUST(write(p[1], "x", 1));
	both("pipe, reading end", p[0]);
	while (write(p[1], "y", 1) == 1)
		;
	both("full pipe, writing end", p[1]);
	close(p[0]);
	both("pipe without a reader", p[1]);
	close(p[1]);
	MUST(pipe(p));
	close(p[1]);
	both_and_close("pipe without a writer", p[0]);
	MUST(pipe(p));
	both("empty pipe that would wait", p[0]);
	close(p[0]);
	close(p[1]);
}

/* How many datagrams have come, and how much was in them. */
static void show_arrived(int fd)
{
	char buf[16];
	ssize_t n;

	printf("arrived:");
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
		printf(" %zd", n);
		if (n == 0 && recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_PEEK) == 0)
			break; /* or the end of a stream */
	}
	printf(" %s\n", n < 0 ? strerrorname_np(errno) : "");
}

static void sockets(const char *what, int type)
{
	int s[2];

	printf("=== %s sockets\n", what);
	MUST(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s));
	both("empty", s[0]);
	show_arrived(s[1]);
	MUST(write(s[1], "abc", 3));
	both("with something to read", s[0]);
	MUST(shutdown(s[0], SHUT_WR));
	both("shut down", s[0]);
	close(s[1]);
	both("without a peer", s[0]);
	close(s[0]);
	both_and_close("unconnected", MUST(socket(AF_UNIX, type | SOCK_NONBLOCK, 0)));
}

static void events(void)
{
	both_and_close("eventfd", MUST(eventfd(0, EFD_NONBLOCK)));
	both_and_close("timerfd", MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)));
	both_and_close("epoll", MUST(epoll_create1(0)));
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	files();
	devices();
	terminal();
	pipes();
	sockets("stream", SOCK_STREAM);
	sockets("datagram", SOCK_DGRAM);
	sockets("packet", SOCK_SEQPACKET);
	events();
	return 0;
}

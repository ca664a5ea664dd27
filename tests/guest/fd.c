/* Descriptors: dup, fcntl, close_range, limits on their number. */
#include "report.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void duplicates(void)
{
	int fd = MUST(open("f", O_CREAT | O_RDWR, 0600));

	TRY(dup(fd));
	TRY(dup(99));
	TRY(dup2(fd, 10));
	TRY(dup2(fd, fd));
	TRY(dup2(99, 99));
	TRY(dup2(99, 10));
	TRY(dup2(fd, -1));
	TRY(dup2(fd, 100000000));
	TRY(dup3(fd, 11, O_CLOEXEC));
	TRY(fcntl(11, F_GETFD));
	TRY(dup3(fd, fd, 0));
	TRY(dup3(fd, 12, O_APPEND));
	TRY(fcntl(fd, F_DUPFD, 20));
	TRY(fcntl(fd, F_DUPFD_CLOEXEC, 20));
	TRY(fcntl(21, F_GETFD));
	TRY(fcntl(fd, F_DUPFD, -1));
	TRY(fcntl(fd, F_DUPFD, 100000000));
	SHOW("shared position", (lseek(10, 7, SEEK_SET), lseek(fd, 0, SEEK_CUR)));
	SHOW("shared flags", (fcntl(10, F_SETFL, O_APPEND), fcntl(fd, F_GETFL) & O_APPEND ? 1 : 0));
	TRY(close(10));
	TRY(close(10));
	TRY(close(-1));
	SHOW("lowest number", dup(fd));
	TRY(close(4));
	SHOW("lowest number again", dup(fd));
}

static void flags(void)
{
	int fd = MUST(open("f", O_RDWR));

	TRY(fcntl(fd, F_GETFD));
	TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
	TRY(fcntl(fd, F_GETFD));
	TRY(fcntl(fd, F_SETFD, 2));
	TRY(fcntl(fd, F_GETFD));
	printf("flags %#o\n", fcntl(fd, F_GETFL));
	TRY(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_CREAT | O_SYNC));
	printf("flags %#o\n", fcntl(fd, F_GETFL));
	TRY(fcntl(fd, F_SETFL, 0));
	printf("flags %#o\n", fcntl(fd, F_GETFL));
	TRY(fcntl(fd, F_SETFL, O_ASYNC));
	TRY(fcntl(fd, 9999));
	TRY(fcntl(99, F_GETFD));
	SHOW("FIONBIO", ({ int on = 1; ioctl(fd, FIONBIO, &on); }));
	printf("flags %#o\n", fcntl(fd, F_GETFL));
	SHOW("FIOCLEX", ioctl(fd, FIOCLEX));
	TRY(fcntl(fd, F_GETFD));
	SHOW("FIONCLEX", ioctl(fd, FIONCLEX));
	TRY(fcntl(fd, F_GETFD));
	SHOW("FIONBIO from nowhere", ioctl(fd, FIONBIO, 8));
	SHOW("FIONREAD", ({ int n = -1; lseek(fd, 0, SEEK_SET); ioctl(fd, FIONREAD, &n) ?: n; }));
	SHOW("unknown ioctl", ioctl(fd, 0x12345678, 0));
	SHOW("ioctl bad descriptor", ioctl(99, FIOCLEX));
	SHOW("TCGETS on a file", ({ char t[64]; ioctl(fd, TCGETS, t); }));
	close(fd);
}

static void owners(void)
{
	struct f_owner_ex ex = { F_OWNER_PID, getpid() };
	int p[2];

	MUST(pipe(p));
	SHOW("F_GETOWN", fcntl(p[0], F_GETOWN));
	SHOW("F_SETOWN", fcntl(p[0], F_SETOWN, getpid()));
	CHECK(fcntl(p[0], F_GETOWN) == getpid());
	SHOW("F_SETOWN nobody", fcntl(p[0], F_SETOWN, 4000000));
	SHOW("F_SETOWN_EX", fcntl(p[0], F_SETOWN_EX, &ex));
	ex.pid = 0;
	SHOW("F_GETOWN_EX", fcntl(p[0], F_GETOWN_EX, &ex));
	CHECK(ex.type == F_OWNER_PID && ex.pid == getpid());
	ex.type = 7;
	SHOW("F_SETOWN_EX bad type", fcntl(p[0], F_SETOWN_EX, &ex));
	SHOW("F_SETSIG", fcntl(p[0], F_SETSIG, SIGUSR1));
	SHOW("F_GETSIG", fcntl(p[0], F_GETSIG));
	SHOW("F_SETSIG bad", fcntl(p[0], F_SETSIG, 65));
	SHOW("F_GETLEASE", fcntl(p[0], F_GETLEASE));
	close(p[0]);
	close(p[1]);
}

static int count_open(int below)
{
	int n = 0;

	for (int fd = 0; fd < below; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void ranges(void)
{
	int fd = MUST(open("f", O_RDWR));

	for (int i = 30; i < 40; i++)
		MUST(dup2(fd, i));
	SHOW("close_range", close_range(32, 35, 0));
	SHOW("left", count_open(64) - count_open(30));
	SHOW("close_range cloexec", close_range(36, 38, CLOSE_RANGE_CLOEXEC));
	printf("cloexec %d %d %d %d\n", fcntl(36, F_GETFD), fcntl(37, F_GETFD), fcntl(38, F_GETFD),
	       fcntl(39, F_GETFD));
	SHOW("close_range first > last", close_range(5, 4, 0));
	SHOW("close_range bad flag", close_range(36, 38, 64));
	SHOW("close_range of nothing", close_range(500, 600, 0));
	SHOW("close_range unshare", close_range(36, ~0U, CLOSE_RANGE_UNSHARE));
	SHOW("left", count_open(64) - count_open(30));
	closefrom(3);
	SHOW("after closefrom", count_open(64));
}

static void limits(void)
{
	struct rlimit rl, old;
	int fd, n = 0;

	MUST(getrlimit(RLIMIT_NOFILE, &old));
	rl = old;
	rl.rlim_cur = 20;
	MUST(setrlimit(RLIMIT_NOFILE, &rl));
	fd = MUST(open("f", O_RDWR));
	while (dup(fd) >= 0)
		n++;
	printf("duplicates until %s: %d\n", strerrorname_np(errno), n);
	SHOW("open", open("f", O_RDWR));
	SHOW("create", open("must not be there", O_CREAT | O_RDWR, 0600));
	SHOW("was made", access("must not be there", F_OK));
	SHOW("pipe", ({ int p[2]; pipe(p); }));
	SHOW("dup2 to the limit", dup2(fd, 20));
	SHOW("dup2 below", dup2(fd, 19));
	SHOW("F_DUPFD at the limit", fcntl(fd, F_DUPFD, 20));
	SHOW("getrlimit", getrlimit(RLIMIT_NOFILE, &rl));
	printf("soft limit %ld\n", (long)rl.rlim_cur);
	rl.rlim_cur = rl.rlim_max + 1;
	SHOW("soft above hard", setrlimit(RLIMIT_NOFILE, &rl));
	MUST(setrlimit(RLIMIT_NOFILE, &old));
	closefrom(3);
}

/* Descriptors over fork: copied table, shared descriptions. */
static void forked(void)
{
	int fd = MUST(open("f", O_RDWR | O_TRUNC)), status;

	MUST(write(fd, "parent ", 7));
	if (fork() == 0) {
		write(fd, "child", 5);
		close(fd);
		_exit(open("/dev/null", O_RDONLY) == fd ? 0 : 1);
	}
	MUST(wait(&status));
	printf("child status %d, position %ld\n", WEXITSTATUS(status), (long)lseek(fd, 0, SEEK_CUR));
	close(fd);
}

int main(void)
{
	duplicates();
	closefrom(3);
	flags();
	owners();
	ranges();
	limits();
	forked();
	return 0;
}

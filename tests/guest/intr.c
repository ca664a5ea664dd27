/*
 * Signals against blocking calls (signal(7)): EINTR, SA_RESTART, signals that are ignored or run
 * no handler, temporary masks, partial transfers. Nothing may be lost or delivered twice.
 */
#include "report.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static volatile int hits;
static int pipefd[2];

static void on_alarm(int signo)
{
	hits++;
}

/* The second alarm ends calls that were restarted. */
static void on_alarm_write(int signo)
{
	if (++hits == 2)
		write(pipefd[1], "x", 1);
}

static void arm(int ms, int interval_ms)
{
	struct itimerval it = { { 0, interval_ms * 1000 }, { 0, ms * 1000 } };

	setitimer(ITIMER_REAL, &it, NULL);
}

static void handle(void (*fn)(int), int flags)
{
	struct sigaction sa = { .sa_handler = fn, .sa_flags = flags };

	sigaction(SIGALRM, &sa, NULL);
	hits = 0;
}

static long ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#define TICK_MS 500

/*
 * The first alarm comes after 20 ms. On a loaded machine it may come before the call: then the next
 * one interrupts it.
 */
static long alarms_begin(void (*fn)(int), int flags)
{
	handle(fn, flags);
	arm(20, TICK_MS);
	errno = 0;
	return ms_now();
}

/* Whether handlers ran, and not more of them than alarms came. */
static const char *alarms_end(long start)
{
	int err = errno, ran = hits, most = 1 + (ms_now() - start) / TICK_MS;

	arm(0, 0);
	errno = err;
	return ran == 0 ? "no handler" : ran <= most ? "handler ran" : "TOO MANY handlers";
}

/* Interrupted: what the call returns, and whether the handler ran. */
#define INTERRUPT(what, flags, call)                                                               \
	do {                                                                                       \
		long start_ = alarms_begin(on_alarm, flags);                                       \
		long r_ = (long)(call);                                                            \
		const char *ran_ = alarms_end(start_);                                             \
		printf("%s: %s, %s\n", what, result_text(r_), ran_);                               \
	} while (0)

/* Restarted by the first alarm, completed by what the second alarm writes. */
#define RESTART(what, flags, call)                                                                 \
	do {                                                                                       \
		char drain_[8];                                                                    \
		handle(on_alarm_write, flags);                                                     \
		arm(20, 20);                                                                       \
		errno = 0;                                                                         \
		long r_ = (long)(call);                                                            \
		int err_ = errno;                                                                  \
		arm(0, 0);                                                                         \
		errno = err_;                                                                      \
		printf("%s: %s, handlers %s\n", what, result_text(r_), hits >= 2 ? "2" : "1");     \
		fcntl(pipefd[0], F_SETFL, O_NONBLOCK);                                             \
		read(pipefd[0], drain_, 8);                                                        \
		fcntl(pipefd[0], F_SETFL, 0);                                                      \
	} while (0)

static int epfd;

static long do_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipefd[0], &set);
	return select(pipefd[0] + 1, &set, NULL, NULL, NULL);
}

static long do_poll(int timeout)
{
	struct pollfd p = { pipefd[0], POLLIN };

	return poll(&p, 1, timeout);
}

static long do_ppoll(struct timespec *ts)
{
	struct pollfd p = { pipefd[0], POLLIN };

	return syscall(SYS_ppoll, &p, 1, ts, NULL, 0);
}

static long do_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(epfd, &e, 1, -1);
}

static void plain_calls(void)
{
	struct timespec ts = { 100, 0 };
	char c;

	INTERRUPT("read", 0, read(pipefd[0], &c, 1));
	RESTART("read, SA_RESTART", SA_RESTART, read(pipefd[0], &c, 1));
	INTERRUPT("poll", 0, do_poll(-1));
	INTERRUPT("poll, SA_RESTART", SA_RESTART, do_poll(-1));
	INTERRUPT("poll with timeout, SA_RESTART", SA_RESTART, do_poll(100000));
	INTERRUPT("select", 0, do_select());
	INTERRUPT("select, SA_RESTART", SA_RESTART, do_select());
	INTERRUPT("ppoll, SA_RESTART", SA_RESTART, do_ppoll(&ts));
	CHECK(ts.tv_sec < 100 && ts.tv_sec > 0);
	INTERRUPT("epoll_wait", 0, do_epoll());
	INTERRUPT("epoll_wait, SA_RESTART", SA_RESTART, do_epoll());
	INTERRUPT("pause", SA_RESTART, pause());
	INTERRUPT("nanosleep", SA_RESTART, nanosleep(&ts, &ts));
	CHECK(ts.tv_sec < 100 && ts.tv_sec > 0);
	INTERRUPT("wait", 0, ({ pid_t p = fork(); if (!p) { pause(); _exit(0); } long r = waitpid(p, NULL, 0); int e = errno; kill(p, SIGKILL); while (waitpid(p, NULL, 0) < 0); errno = e; r; }));
}

static void other_files(void)
{
	struct sockaddr_un un = { AF_UNIX, "sock" };
	struct timeval tv = { 100, 0 };
	struct flock fl = { F_WRLCK, SEEK_SET, 0, 1 };
	int s[2], l, e = MUST(eventfd(0, 0)), lock = MUST(open("lock", O_CREAT | O_RDWR, 0600));
	pid_t holder;
	uint64_t v;
	char c;
	int p[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	INTERRUPT("recv", 0, recv(s[0], &c, 1, 0));
	MUST(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	INTERRUPT("recv with timeout, SA_RESTART", SA_RESTART, recv(s[0], &c, 1, 0));
	l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	MUST(bind(l, (void *)&un, sizeof(un)));
	MUST(listen(l, 1));
	INTERRUPT("accept", 0, accept(l, NULL, NULL));
	INTERRUPT("eventfd", 0, read(e, &v, 8));
	MUST(mkfifo("fifo", 0600));
	INTERRUPT("open of a FIFO", 0, open("fifo", O_RDONLY));
	MUST(pipe(p));
	holder = fork();
	if (holder == 0) {
		fcntl(lock, F_SETLK, &fl);
		int own = open("lock2", O_CREAT | O_RDWR, 0600);
		flock(own, LOCK_EX);
		write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	MUST(read(p[0], &c, 1));
	INTERRUPT("F_SETLKW", 0, fcntl(lock, F_SETLKW, &fl));
	INTERRUPT("flock", 0, flock(open("lock2", O_RDWR), LOCK_EX));
	kill(holder, SIGKILL);
	while (waitpid(holder, NULL, 0) < 0)
		;
}

/* A partial transfer counts more than the signal. */
static void partial(void)
{
	static char big[200000];
	int p[2];

	MUST(pipe(p));
	INTERRUPT("write of more than fits", SA_RESTART, write(p[1], big, sizeof(big)));
	close(p[0]);
	close(p[1]);
}

/* Signals that run no handler do not show. */
static void silent(void)
{
	char c = 0;
	volatile int *was_continued = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int status;

	signal(SIGCHLD, SIG_DFL);
	child = fork();
	if (child == 0) {
		usleep(20000);
		_exit(0);
	}
	handle(on_alarm_write, SA_RESTART);
	hits = 1;
	arm(60, 0);
	SHOW("read over an ignored SIGCHLD", read(pipefd[0], &c, 1));
	waitpid(child, &status, 0);
	child = fork();
	if (child == 0) {
		usleep(20000);
		kill(getppid(), SIGWINCH);
		usleep(20000);
		write(pipefd[1], "y", 1);
		_exit(0);
	}
	SHOW("poll over an ignored SIGWINCH", do_poll(-1));
	SHOW("and then read", read(pipefd[0], &c, 1));
	waitpid(child, &status, 0);
	/* Stop and continue: the call goes on. */
	child = fork();
	if (child == 0) {
		do {
			long start = ms_now();

			if (do_poll(300) != 0 || ms_now() - start < 299)
				_exit(8);
		} while (!*was_continued);
		_exit(7);
	}
	usleep(50000);
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	printf("stopped by %d\n", WIFSTOPPED(status) ? WSTOPSIG(status) : -1);
	kill(child, SIGCONT);
	waitpid(child, &status, WCONTINUED);
	printf("continued %d\n", WIFCONTINUED(status) != 0);
	*was_continued = 1;
	waitpid(child, &status, 0);
	printf("poll over stop and continue kept its time: %d\n", WEXITSTATUS(status));
	child = fork();
	if (child == 0) {
		char d = 0;

		_exit(read(pipefd[0], &d, 1) == 1 && d == 'z' ? 7 : 8);
	}
	usleep(30000);
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	write(pipefd[1], "z", 1);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	printf("read over stop and continue: %d\n", WEXITSTATUS(status));
}

static void fatal(void)
{
	int status;
	pid_t child = fork();
	char c;

	if (child == 0) {
		signal(SIGTERM, SIG_DFL);
		read(pipefd[0], &c, 1);
		_exit(0);
	}
	usleep(30000);
	kill(child, SIGTERM);
	waitpid(child, &status, 0);
	printf("blocked reader ended by %d\n", WTERMSIG(status));
	child = fork();
	if (child == 0) {
		do_poll(-1);
		_exit(0);
	}
	usleep(30000);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	printf("blocked poller ended by %d\n", WTERMSIG(status));
}

/* The mask of ppoll and kin holds during the wait and not after it. */
static void masks(void)
{
	struct timespec ts = { 100, 0 };
	struct pollfd p = { pipefd[0], POLLIN };
	struct epoll_event e;
	sigset_t blocked, none, now;
	fd_set set;

	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
	INTERRUPT("ppoll lets it in", SA_RESTART, ppoll(&p, 1, &ts, &none));
	FD_ZERO(&set);
	FD_SET(pipefd[0], &set);
	INTERRUPT("pselect lets it in", SA_RESTART, pselect(pipefd[0] + 1, &set, NULL, NULL, &ts, &none));
	INTERRUPT("epoll_pwait lets it in", SA_RESTART, epoll_pwait(epfd, &e, 1, 100000, &none));
	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	printf("blocked again: %d\n", sigismember(&now, SIGALRM));
	handle(on_alarm, 0);
	arm(5, 0);
	usleep(30000);
	printf("stays blocked: %d\n", hits);
	INTERRUPT("already pending", 0, ppoll(&p, 1, &ts, &none));
	MUST(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
	handle(on_alarm, 0);
	arm(20, 0);
	ts = (struct timespec){ 0, 80000000 };
	SHOW("ppoll keeps it out", ppoll(&p, 1, &ts, &blocked));
	printf("handler ran after it: %d\n", hits);
	write(pipefd[1], "x", 1);
	SHOW("ready at once", ppoll(&p, 1, NULL, &blocked));
	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	printf("mask is the old one: %d\n", sigismember(&now, SIGALRM));
	read(pipefd[0], &(char){ 0 }, 1);
}

/* Sequence numbers through a pipe under a fast timer: none lost, none twice. */
static void *feed(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (uint32_t i = 0; i < 3000; i++) {
		if (i % 300 == 0)
			usleep(3000);
		write(*(int *)arg, &i, 4);
	}
	return NULL;
}

static void stress(int flags)
{
	uint32_t expect = 0, v;
	int p[2], interrupted = 0;
	pthread_t thread;

	MUST(pipe(p));
	handle(on_alarm, flags);
	pthread_create(&thread, NULL, feed, &p[1]);
	arm(1, 1);
	while (expect < 3000) {
		ssize_t n = read(p[0], &v, 4);

		if (n == -1 && errno == EINTR) {
			interrupted++;
			continue;
		}
		if (n != 4 || v != expect) {
			printf("wrong: %ld bytes, %u instead of %u\n", (long)n, v, expect);
			break;
		}
		expect++;
	}
	arm(0, 0);
	pthread_join(thread, NULL);
	printf("%s: %u in order%s\n", flags ? "SA_RESTART" : "EINTR", expect,
	       flags && interrupted ? ", but interrupted" : "");
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	alarm(0); /* SIGALRM is the test's own */
	MUST(pipe(pipefd));
	epfd = MUST(epoll_create1(0));
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, pipefd[0], &e));
	plain_calls();
	other_files();
	partial();
	silent();
	fatal();
	masks();
	stress(0);
	stress(SA_RESTART);
	return 0;
}

/*
 * Calls with a signal mask of their own, and poll(2) over interruptions that run no handler.
 * masks [ROUNDS]
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "stress.h"

#define MIN_HANDLERS 10 /* go on until so many signals came: the sender may be slow */

static int rounds = 60;
static volatile int inside, wrong, inner, outer;
static atomic_int stop;
static pid_t main_tid;

/* Blocked except inside the calls. */
static void on_inner(int signo)
{
	if (!inside)
		wrong++;
	inner++;
}

/* Blocked inside the calls. */
static void on_outer(int signo)
{
	outer++;
}

static long wait_once(int kind, int fd, int epfd, const sigset_t *mask)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct timespec ts = { 0, 2000000 };
	struct epoll_event event;
	fd_set set;

	switch (kind % 3) {
	case 0:
		return ppoll(&pfd, 1, &ts, mask);
	case 1:
		return epoll_pwait(epfd, &event, 1, 2, mask);
	default:
		FD_ZERO(&set);
		FD_SET(fd, &set);
		return pselect(fd + 1, &set, NULL, NULL, &ts, mask);
	}
}

static void *sender(void *arg)
{
	int signo = (int)(intptr_t)arg;
	uint32_t seed = 21;

	while (!stop) {
		syscall(SYS_tgkill, getpid(), main_tid, signo);
		nap_us(rnd(&seed) % 900);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_inner, .sa_flags = SA_RESTART };
	int fds[2], epfd = epoll_create1(0), count;
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd pfd;
	sigset_t none, inner_set, outer_set;
	pthread_t thread;
	long start_ms, ms;

	alarm(60);
	if (argc > 1)
		rounds = atoi(argv[1]);
	main_tid = (pid_t)syscall(SYS_gettid);
	CHECK(pipe(fds) == 0);
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fds[0], &event) == 0);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = on_outer;
	sigaction(SIGUSR2, &sa, NULL);
	sigemptyset(&none);
	sigemptyset(&inner_set);
	sigaddset(&inner_set, SIGUSR1);
	sigemptyset(&outer_set);
	sigaddset(&outer_set, SIGUSR2);

	/* Unblocked only inside: every EINTR comes with a handler, no handler comes without. */
	sigprocmask(SIG_SETMASK, &inner_set, NULL);
	thread = start(sender, (void *)(intptr_t)SIGUSR1);
	for (int r = 0; r < rounds || inner < MIN_HANDLERS; r++) {
		int before = inner;
		long n;

		inside = 1;
		errno = 0;
		n = wait_once(r, fds[0], epfd, &none);
		inside = 0;
		CHECK(n == 0 || (n == -1 && errno == EINTR));
		if ((inner > before) != (n < 0))
			die("kind %d: %d handlers, result %ld", r % 3, inner - before, n);
	}
	stop = 1;
	pthread_join(thread, NULL);
	CHECK(!wrong);

	/* Blocked inside: they never interrupt, and arrive afterwards. */
	sigprocmask(SIG_SETMASK, &none, NULL);
	stop = 0;
	thread = start(sender, (void *)(intptr_t)SIGUSR2);
	for (int r = 0; r < rounds || outer < MIN_HANDLERS; r++) {
		errno = 0;
		if (wait_once(r, fds[0], epfd, &outer_set) != 0)
			die("kind %d: a blocked signal interrupts", r % 3);
	}
	stop = 1;
	pthread_join(thread, NULL);

	/* SIGWINCH is ignored by default: the time-out stands. */
	stop = 0;
	thread = start(sender, (void *)(intptr_t)SIGWINCH);
	for (int r = 0; r < rounds / 10 + 1; r++) {
		pfd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
		start_ms = now_ms();
		count = poll(&pfd, 1, 60);
		ms = now_ms() - start_ms;
		CHECK(count == 0);
		if (ms < 59 || ms > 1500)
			die("poll of 60 ms took %ld ms", ms);
	}
	stop = 1;
	pthread_join(thread, NULL);

	/* Stopped and continued from outside: as well. */
	for (int r = 0; r < rounds / 20 + 1; r++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			pid_t parent = getppid();

			for (int i = 0; i < 8; i++) {
				nap_us(4000);
				kill(parent, SIGSTOP);
				nap_us(1000);
				kill(parent, SIGCONT);
			}
			_exit(0);
		}
		start_ms = now_ms();
		CHECK(poll(&pfd, 1, 60) == 0);
		ms = now_ms() - start_ms;
		if (ms < 59 || ms > 1500)
			die("poll of 60 ms took %ld ms, with stops", ms);
		CHECK(await(pid) == 0);
	}
	return 0;
}

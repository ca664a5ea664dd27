/*
 * Birth, exec and death of processes and threads at every stage of a call.
 * lifecycle forks|vforks|threadexec|exitgroup|kills|sigexec|groupkills [ROUNDS]
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "stress.h"

static int rounds = 40;
static const char *self_path;

/* fork, pipe, fork: a grandchild's word comes through, all exit codes too. */
static void forks(void)
{
	for (int r = 0; r < rounds; r++) {
		pid_t pids[8];

		for (int i = 0; i < 8; i++) {
			pids[i] = fork();
			CHECK(pids[i] >= 0);
			if (!pids[i]) {
				int fds[2], word = 0;
				pid_t pid;

				CHECK(pipe(fds) == 0);
				pid = fork();
				CHECK(pid >= 0);
				if (!pid) {
					word = 4711 + i;
					CHECK(write(fds[1], &word, sizeof(word)) == sizeof(word));
					_exit(i);
				}
				CHECK(read(fds[0], &word, sizeof(word)) == sizeof(word));
				CHECK(word == 4711 + i);
				CHECK(await(pid) == i << 8);
				_exit(i + 10);
			}
		}
		for (int i = 0; i < 8; i++)
			CHECK(await(pids[i]) == (i + 10) << 8);
	}
}

static void vforks(void)
{
	char *argv[] = { (char *)self_path, "status", "7", NULL };
	pid_t pid;

	for (int r = 0; r < rounds; r++) {
		pid = vfork();
		CHECK(pid >= 0);
		if (!pid) {
			execv(self_path, argv);
			_exit(99);
		}
		CHECK(await(pid) == 7 << 8);
		pid = vfork();
		CHECK(pid >= 0);
		if (!pid) {
			execv("/nonexistent", argv);
			_exit(8);
		}
		CHECK(await(pid) == 8 << 8);
	}
}

static int blocked_pipe[2];

/* Sits in a call that never ends. */
static void *block(void *arg)
{
	struct pollfd pfd = { .fd = blocked_pipe[0], .events = POLLIN };
	char byte;

	switch ((int)(intptr_t)arg % 5) {
	case 0:
		read(blocked_pipe[0], &byte, 1);
		break;
	case 1:
		poll(&pfd, 1, -1);
		break;
	case 2:
		pause();
		break;
	case 3:
		for (;;)
			open("/dev/null", O_RDONLY | O_CLOEXEC);
	case 4:
		for (;;)
			getuid();
	}
	return NULL;
}

static void *exec_now(void *arg)
{
	char *argv[] = { (char *)self_path, "status", "9", NULL };

	nap_us((unsigned)(intptr_t)arg);
	execv(self_path, argv);
	_exit(98);
}

/* exec by a thread that is not the leader, the siblings in calls; two at once; the leader gone. */
static void threadexec(void)
{
	uint32_t seed = 3;
	int status;

	for (int r = 0; r < rounds; r++) {
		pid_t pid = fork();
		unsigned us = rnd(&seed) % 3000;

		CHECK(pid >= 0);
		if (!pid) {
			CHECK(pipe(blocked_pipe) == 0);
			for (int i = 0; i < 5; i++)
				start(block, (void *)(intptr_t)i);
			start(exec_now, (void *)(intptr_t)us);
			if (r % 3 == 0)
				start(exec_now, (void *)(intptr_t)us);
			if (r % 3 == 1)
				pthread_exit(NULL);
			block((void *)(intptr_t)(r % 5));
		}
		status = await(pid);
		if (status != 9 << 8)
			die("round %d: status %x", r, status);
	}
}

static void exitgroup(void)
{
	uint32_t seed = 5;

	for (int r = 0; r < rounds; r++) {
		pid_t pid = fork();
		unsigned us = rnd(&seed) % 3000;

		CHECK(pid >= 0);
		if (!pid) {
			CHECK(pipe(blocked_pipe) == 0);
			for (int i = 0; i < 10; i++)
				start(block, (void *)(intptr_t)i);
			nap_us(us);
			exit(r % 100);
		}
		CHECK(await(pid) == (r % 100) << 8);
	}
}

static void *clone_on(void *arg)
{
	pthread_t thread;

	for (;;) {
		thread = start(exec_now, (void *)(intptr_t)1000000);
		pthread_detach(thread);
		nap_us(50);
	}
}

static void busy(int kind)
{
	int fds[2];
	char buf[64];
	pid_t pid;

	CHECK(pipe(fds) == 0);
	CHECK(pipe(blocked_pipe) == 0);
	switch (kind % 6) {
	case 0:
		for (;;) {
			CHECK(write(fds[1], buf, sizeof(buf)) == sizeof(buf));
			CHECK(read(fds[0], buf, sizeof(buf)) == sizeof(buf));
		}
	case 1:
		for (;;) {
			pid = fork();
			if (!pid)
				_exit(0);
			if (pid > 0)
				waitpid(pid, NULL, 0);
		}
	case 2:
		for (;;) {
			pid = vfork();
			if (!pid) {
				execl(self_path, self_path, "status", "0", NULL);
				_exit(1);
			}
			if (pid > 0)
				waitpid(pid, NULL, 0);
		}
	case 3:
		execl(self_path, self_path, "execs", "1000000", NULL);
		_exit(1);
	case 4:
		clone_on(NULL);
	case 5:
		for (int i = 0; i < 5; i++)
			start(block, (void *)(intptr_t)i);
		block(0);
	}
}

/* SIGKILL at every stage; descriptors are closed when the parent hears of it. */
static void kills(bool group)
{
	uint32_t seed = 11;

	for (int r = 0; r < rounds; r++) {
		int fds[2];
		char byte;
		pid_t pid;

		CHECK(pipe(fds) == 0);
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			if (group)
				setpgid(0, 0);
			busy(r);
			_exit(1);
		}
		if (group)
			setpgid(pid, pid);
		close(fds[1]);
		nap_us(rnd(&seed) % 4000);
		CHECK(kill(group ? -pid : pid, SIGKILL) == 0);
		CHECK(await(pid) == SIGKILL);
		if (group || r % 6 == 0 || r % 6 == 5)
			CHECK(read(fds[0], &byte, 1) == 0); /* the last writer is gone */
		close(fds[0]);
	}
}

/* A chain of execs in a rain of ignored signals, with stops now and then. */
static void sigexec(void)
{
	uint32_t seed = 13;
	char count[16];
	pid_t pid;
	int status;

	snprintf(count, sizeof(count), "%d", rounds);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		signal(SIGUSR1, SIG_IGN);
		execl(self_path, self_path, "execs", count, NULL);
		_exit(97);
	}
	nap_us(20000);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		for (int i = 0; i < 20; i++) {
			kill(pid, SIGUSR1);
			nap_us(rnd(&seed) % 100);
		}
		kill(pid, SIGSTOP);
		nap_us(rnd(&seed) % 500);
		kill(pid, SIGCONT);
	}
	CHECK(status == 0);
}

int main(int argc, char **argv)
{
	char count[16];

	self_path = argv[0];
	alarm(100);
	if (argc > 2)
		rounds = atoi(argv[2]);
	if (!strcmp(argv[1], "status"))
		return rounds;
	if (!strcmp(argv[1], "execs")) {
		if (rounds == 0)
			return 0;
		snprintf(count, sizeof(count), "%d", rounds - 1);
		execl(self_path, self_path, "execs", count, NULL);
		die("exec");
	}
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[1], "forks"))
		forks();
	else if (!strcmp(argv[1], "vforks"))
		vforks();
	else if (!strcmp(argv[1], "threadexec"))
		threadexec();
	else if (!strcmp(argv[1], "exitgroup"))
		exitgroup();
	else if (!strcmp(argv[1], "kills"))
		kills(false);
	else if (!strcmp(argv[1], "groupkills"))
		kills(true);
	else if (!strcmp(argv[1], "sigexec"))
		sigexec();
	else
		die("no such test: %s", argv[1]);
	return 0;
}

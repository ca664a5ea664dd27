/*
 * Takes descriptors out of a process whose tables come and go: it unshares, and its threads end. Nothing
 * to see in the guest; a sentry with the address sanitizer tells.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *churn(void *unused)
{
	for (;;)
		(void)unshare(CLONE_FILES);
	return unused;
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 2);
	pid_t pid = fork();
	int pidfd, fd;

	if (pid == 0)
		churn(NULL);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	while (time(NULL) < end) {
		fd = syscall(SYS_pidfd_getfd, pidfd, 1, 0);
		if (fd >= 0)
			close(fd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}

/*
 * Garbage in the slots of the fast lane while their thread makes calls: requests that nobody makes, answers
 * that nobody gave, sites that do not exist. It may end the process that does it, and nobody else.
 *
 *	lane CHILDREN
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOT_WORDS 32
#define PAGE_WORDS 1024

static volatile uintptr_t slot;
static int device, pipe_fds[2];

static uintptr_t gs_base(void)
{
	uintptr_t base;

	__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

/* Who reads the device is taken for a server, and gets the lane. */
static void *server(void *unused)
{
	char buf[64];
	struct stat st;

	(void)unused;
	for (;;) {
		(void)read(device, buf, sizeof(buf));
		(void)fstat(device, &st);
		(void)write(pipe_fds[1], buf, 1);
		(void)read(pipe_fds[0], buf, 1);
		slot = gs_base();
	}
	return NULL;
}

static void scribble(unsigned seed)
{
	volatile uint32_t *words = (volatile uint32_t *)slot;
	uint32_t saved[SLOT_WORDS];

	for (int i = 0; i < SLOT_WORDS; i++)
		saved[i] = words[i];
	for (int i = 0; i < 200000; i++) {
		switch (rand_r(&seed) % 5) {
		case 0: /* a request, or an answer, that looks good */
			words[0] = rand_r(&seed) % 6;
			break;
		case 1:
			words[2 + rand_r(&seed) % 12] = rand_r(&seed);
			break;
		case 2: /* another site */
			words[16] = saved[16] + rand_r(&seed) % 4096;
			break;
		case 3:
			words[rand_r(&seed) % SLOT_WORDS] = rand_r(&seed);
			break;
		default: /* those of other threads */
			((volatile uint32_t *)(slot & ~4095ul))[rand_r(&seed) % PAGE_WORDS] = rand_r(&seed);
		}
	}
}

static void child(int number)
{
	pthread_t thread;

	device = open("/dev/fuse", O_RDWR);
	if (device < 0 || pipe(pipe_fds) || pthread_create(&thread, NULL, server, NULL))
		_exit(3);
	for (int i = 0; i < 2000 && !slot; i++)
		usleep(500);
	if (!slot)
		_exit(4); /* there is no lane */
	scribble(number);
	_exit(0);
}

int main(int argc, char **argv)
{
	int children = argc > 1 ? atoi(argv[1]) : 20, without = 0, status;
	struct stat st;

	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (!pid)
			child(i);
		for (int t = 0; t < 4000 && waitpid(pid, &status, WNOHANG) == 0; t++)
			usleep(1000);
		kill(pid, SIGKILL); /* hung: its own affair */
		while (waitpid(pid, &status, 0) > 0)
			;
		without += WIFEXITED(status) && WEXITSTATUS(status) == 4;
	}
	for (int i = 0; i < 1000; i++)
		if (stat("/", &st))
			return 1;
	printf("%d children, %s\n", children, without ? "no lane" : "lane");
	return 0;
}

/*
 * Numbered words through pipes while signals rain on readers and writers: nothing may be lost,
 * duplicated or torn, and EINTR comes only where signal(7) says so.
 * sigread restart|eintr [WORDS [US between signals]]
 */
#include "stress.h"

#define PAIRS 4

static int words = 4000, period_us = 300, flags;
static atomic_int handled, interrupted, over;
static pid_t tids[2 * PAIRS];
static int pipes[PAIRS][2];

static void on_signal(int signo)
{
	handled++;
}

static bool again(long n)
{
	if (n >= 0 || errno != EINTR)
		return false;
	if (flags & SA_RESTART)
		die("EINTR in spite of SA_RESTART");
	interrupted++;
	return true;
}

static void *reader(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint32_t word;
	long n;

	tids[i] = (pid_t)syscall(SYS_gettid);
	for (int want = 0; want < words; want++) {
		do
			n = read(pipes[i][0], &word, sizeof(word));
		while (again(n));
		if (n != sizeof(word))
			die("read gives %ld", n);
		if (word != (uint32_t)want)
			die("wanted word %d, got %u", want, word);
	}
	over++;
	return NULL;
}

static void *writer(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint32_t seed = (uint32_t)i + 1;
	long n;

	tids[PAIRS + i] = (pid_t)syscall(SYS_gettid);
	for (int w = 0; w < words; w++) {
		uint32_t word = (uint32_t)w;

		do
			n = write(pipes[i][1], &word, sizeof(word));
		while (again(n));
		if (n != sizeof(word))
			die("write gives %ld", n);
		if (rnd(&seed) % 64 == 0)
			nap_us(rnd(&seed) % 3000);
	}
	over++;
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
	pthread_t threads[2 * PAIRS];
	pid_t killer, self = getpid();
	uint32_t seed = 7;

	if (argc > 1 && !strcmp(argv[1], "restart"))
		flags = SA_RESTART;
	if (argc > 2)
		words = atoi(argv[2]);
	if (argc > 3)
		period_us = atoi(argv[3]);
	sa.sa_flags = flags;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	killer = fork();
	if (!killer)
		for (;;) { /* directed at the process */
			if (kill(self, SIGUSR2))
				_exit(0);
			nap_us((unsigned)period_us * 3);
		}
	for (int i = 0; i < PAIRS; i++) {
		CHECK(pipe(pipes[i]) == 0);
		threads[i] = start(reader, (void *)(intptr_t)i);
		threads[PAIRS + i] = start(writer, (void *)(intptr_t)i);
	}
	setitimer(ITIMER_REAL, &it, NULL);
	while (over < 2 * PAIRS) { /* and at threads */
		pid_t tid = tids[rnd(&seed) % (2 * PAIRS)];

		if (tid)
			syscall(SYS_tgkill, self, tid, SIGUSR1);
		nap_us((unsigned)period_us);
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		pthread_join(threads[i], NULL);
	kill(killer, SIGKILL);
	await(killer);
	if (getenv("VERBOSE"))
		printf("%d handlers, %d EINTR\n", (int)handled, (int)interrupted);
	CHECK(handled > 0);
	return 0;
}

/*
 * Words through a pipe to readers that sleep, while signals come and another thread gives these
 * signals a handler and takes it away again: a signal is ignored or runs the handler, and the call
 * goes on in both cases. dispositions [MILLISECONDS]
 */
#include "stress.h"

#define READERS 3

static int pipes[READERS][2];
static _Atomic pid_t tids[READERS];
static atomic_int over, handled;

/* The calls in it are ones that the sandbox serves itself. */
static void on_signal(int signo)
{
	int saved = errno;

	handled++;
	(void)fcntl(pipes[0][0], F_GETFD);
	errno = saved;
}

static void *reader(void *arg)
{
	int i = (int)(intptr_t)arg;
	uint32_t word, want = 0;
	long n;

	tids[i] = (pid_t)syscall(SYS_gettid);
	while ((n = read(pipes[i][0], &word, sizeof(word))) > 0)
		if (n != sizeof(word) || word != want++)
			die("word %u of %ld bytes instead of %u", word, n, want - 1);
	if (n < 0)
		die("read");
	return NULL;
}

static void *sender(void *arg)
{
	uint32_t seed = 5;

	while (!over) {
		syscall(SYS_tgkill, getpid(), tids[rnd(&seed) % READERS], SIGWINCH);
		nap_us(rnd(&seed) % 60);
	}
	return NULL;
}

static void *changer(void *arg)
{
	struct sigaction handler = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction none[2] = { { .sa_handler = SIG_DFL }, { .sa_handler = SIG_IGN } };
	uint32_t seed = 9;

	while (!over) {
		CHECK(sigaction(SIGWINCH, &handler, NULL) == 0);
		for (unsigned i = rnd(&seed) % 2000; i > 0; i--)
			__asm__ volatile("pause");
		CHECK(sigaction(SIGWINCH, &none[rnd(&seed) % 2], NULL) == 0);
		for (unsigned i = rnd(&seed) % 2000; i > 0; i--)
			__asm__ volatile("pause");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	long end = now_ms() + (argc > 1 ? atoi(argv[1]) : 3000);
	pthread_t threads[READERS], send, change;
	uint32_t seed = 3;

	for (int i = 0; i < READERS; i++) {
		CHECK(pipe(pipes[i]) == 0);
		threads[i] = start(reader, (void *)(intptr_t)i);
	}
	for (int i = 0; i < READERS; i++)
		while (!tids[i])
			nap_us(1000);
	send = start(sender, NULL);
	change = start(changer, NULL);
	for (uint32_t word = 0; now_ms() < end || handled == 0; word++) {
		for (int i = 0; i < READERS; i++)
			CHECK(write(pipes[i][1], &word, sizeof(word)) == sizeof(word));
		nap_us(rnd(&seed) % 10000); /* mostly long enough for them to be parked */
	}
	over = 1;
	pthread_join(send, NULL);
	pthread_join(change, NULL);
	for (int i = 0; i < READERS; i++) {
		close(pipes[i][1]);
		pthread_join(threads[i], NULL);
	}
	return 0;
}

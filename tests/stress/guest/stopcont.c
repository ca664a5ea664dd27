/*
 * Job control against blocked readers: stopped and continued at random, numbered words stay in
 * order, and the parent sees each stop and each continue. stopcont [WORDS]
 */
#include "stress.h"

static int words = 3000;
static int data[2];

static void *writer(void *arg)
{
	uint32_t seed = 1;

	for (uint32_t w = 0; w < (uint32_t)words; w++) {
		CHECK(write(data[1], &w, sizeof(w)) == sizeof(w));
		if (rnd(&seed) % 16 == 0)
			nap_us(rnd(&seed) % 2500);
	}
	return NULL;
}

static void child(void)
{
	pthread_t thread = start(writer, NULL);
	uint32_t word;

	for (uint32_t want = 0; want < (uint32_t)words; want++) {
		CHECK(read(data[0], &word, sizeof(word)) == sizeof(word));
		CHECK(word == want);
	}
	pthread_join(thread, NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	uint32_t seed = 9;
	int status;
	pid_t pid;

	alarm(60);
	if (argc > 1)
		words = atoi(argv[1]);
	CHECK(pipe(data) == 0);
	pid = fork();
	if (!pid)
		child();
	for (;;) {
		nap_us(rnd(&seed) % 2500);
		CHECK(kill(pid, SIGSTOP) == 0);
		CHECK(waitpid(pid, &status, WUNTRACED) == pid);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		nap_us(rnd(&seed) % 1500);
		CHECK(kill(pid, SIGCONT) == 0);
		CHECK(waitpid(pid, &status, WCONTINUED) == pid);
		if (WIFEXITED(status))
			break;
		CHECK(WIFCONTINUED(status));
	}
	CHECK(status == 0);
	return 0;
}

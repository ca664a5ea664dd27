/* Readers that never get anything, for as long as standard input stays open. parked [THREADS] */
#include "stress.h"

static int pipefd[2];

static void *reader(void *arg)
{
	char byte;

	read(pipefd[0], &byte, 1);
	return NULL;
}

int main(int argc, char **argv)
{
	int nr = argc > 1 ? atoi(argv[1]) : 100;
	char byte;

	CHECK(pipe(pipefd) == 0);
	for (int i = 0; i < nr; i++)
		start(reader, NULL);
	nap_us(300000);
	CHECK(write(1, "parked\n", 7) == 7);
	read(0, &byte, 1);
	return 0;
}

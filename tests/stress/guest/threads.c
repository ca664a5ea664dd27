/*
 * A ring of threads joined by pipes passes tokens round, while as many contend for a futex lock and
 * a third lot waits in poll and on an eventfd: wake-ups may not be lost.
 * threads [THREADS [ROUNDS]]
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "stress.h"

static int nr = 64, rounds = 20;
static int (*pipes)[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long counter, turn;
static int event;
static atomic_int polled;

static void *ring(void *arg)
{
	int i = (int)(intptr_t)arg;
	int token;

	for (int r = 0; r < rounds; r++) {
		if (r || i) {
			CHECK(read(pipes[i][0], &token, sizeof(token)) == sizeof(token));
			CHECK(token == r * nr + i);
		} else {
			token = 0;
		}
		token++;
		if (r == rounds - 1 && i == nr - 1)
			break;
		CHECK(write(pipes[(i + 1) % nr][1], &token, sizeof(token)) == sizeof(token));
	}
	return NULL;
}

static void *contend(void *arg)
{
	int i = (int)(intptr_t)arg;

	for (int r = 0; r < rounds; r++) {
		pthread_mutex_lock(&lock);
		while (turn % nr != i)
			pthread_cond_wait(&turned, &lock);
		turn++;
		counter++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *take_event(void *arg)
{
	struct pollfd pfd = { .fd = event, .events = POLLIN };
	uint64_t one;

	for (int r = 0; r < rounds; r++) {
		for (;;) {
			CHECK(poll(&pfd, 1, 10000) == 1);
			if (read(event, &one, sizeof(one)) == sizeof(one))
				break;
			CHECK(errno == EAGAIN);
		}
		polled++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t *threads;
	uint64_t one = 1;
	int n = 0, pollers = 8;

	alarm(60);
	if (argc > 1)
		nr = atoi(argv[1]);
	if (argc > 2)
		rounds = atoi(argv[2]);
	pipes = calloc((size_t)nr, sizeof(*pipes));
	threads = calloc((size_t)nr * 2 + 8, sizeof(*threads));
	event = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
	for (int i = 0; i < nr; i++)
		CHECK(pipe(pipes[i]) == 0);
	for (int i = 0; i < nr; i++)
		threads[n++] = start(ring, (void *)(intptr_t)i);
	for (int i = 0; i < pollers; i++)
		threads[n++] = start(take_event, NULL);
	for (int i = 0; i < rounds * pollers; i++)
		CHECK(write(event, &one, sizeof(one)) == sizeof(one));
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	CHECK(polled == rounds * pollers);
	n = 0;
	rounds = rounds < 5 ? rounds : 5;
	for (int i = 0; i < nr; i++)
		threads[n++] = start(contend, (void *)(intptr_t)i);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	CHECK(counter == (long)nr * rounds);
	return 0;
}

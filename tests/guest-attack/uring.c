/*
 * What a guest can do to the sentry through a ring's memory and in great numbers: garbage in heads,
 * tails, indices and entries while another thread submits them; rings, requests and blocked workers
 * without end; a death in the middle of it all. Children do it; what becomes of them does not matter.
 */
#include "../guest/ring.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

static uint64_t rnd_state;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

static char area[65536];

/* Entries that are partly right get further than noise. */
static void random_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe =
		ring_sqe(ring, (int)(rnd() % 52), (int)(3 + rnd() % 13), area + rnd() % 32768,
			 (unsigned)(rnd() % 256), 0, rnd() % 8);
	unsigned char *bytes = (void *)sqe;

	if (sqe->opcode == IORING_OP_TIMEOUT || sqe->opcode == IORING_OP_LINK_TIMEOUT)
		sqe->len = 1;
	if (sqe->opcode == IORING_OP_ASYNC_CANCEL || sqe->opcode == IORING_OP_POLL_REMOVE)
		sqe->addr = rnd() % 8;
	if (rnd() % 2)
		sqe->flags = (uint8_t)(rnd() & 0x5f);
	for (unsigned n = rnd() % 3; n > 0; n--)
		bytes[rnd() % ring->sqe_size] = (unsigned char)rnd();
}

static volatile int stop;

static void *scribble(void *arg)
{
	struct ring *ring = arg;

	while (!stop) {
		ring->rings[rnd() % ring->rings_size] = (char)rnd();
		ring->sqes[rnd() % ring->sqes_size] = (char)rnd();
	}
	return NULL;
}

static void open_files(void)
{
	int fds[2];

	(void)pipe(fds);
	(void)pipe2(fds, O_NONBLOCK);
	(void)socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	(void)eventfd(0, 0);
	(void)open("/dev/zero", O_RDWR);
	(void)open("/tmp", O_RDWR | O_TMPFILE, 0600);
}

static void garbage(unsigned seed)
{
	static const unsigned flags[] = { 0, IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
					  IORING_SETUP_SUBMIT_ALL, IORING_SETUP_CQSIZE };
	struct __kernel_timespec ts = { .tv_nsec = 100000 };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };
	struct ring ring;
	pthread_t thread;

	rnd_state = seed * 2654435761u + 1;
	memset(&ring, 0, sizeof(ring));
	ring.params.flags = flags[seed % 4];
	ring.params.cq_entries = 16;
	ring.fd = ring_setup(16, &ring.params);
	if (ring.fd < 0 || !ring_map(&ring))
		_exit(1);
	open_files();
	if (seed % 2)
		pthread_create(&thread, NULL, scribble, &ring);
	for (int round = 0; round < 150; round++) {
		for (unsigned n = rnd() % 16; n > 0; n--)
			random_sqe(&ring);
		ring_enter_raw(&ring, (unsigned)rnd() % 64, (unsigned)rnd() % 2,
			       rnd() % 4 ? IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG : 0, &arg,
			       sizeof(arg));
		if (rnd() % 3)
			*ring_word(&ring, ring.params.cq_off.head) =
				*ring_word(&ring, ring.params.cq_off.tail);
		if (rnd() % 16 == 0)
			syscall(SYS_io_uring_register, ring.fd, rnd() % 32, area, rnd() % 8);
	}
	_exit(0); /* with requests under way, and a scribbler */
}

static void many_rings(void)
{
	struct ring rings[900];
	int n;

	for (n = 0; n < 900; n++)
		if (!ring_try(&rings[n], 4, 0))
			break;
	for (int i = 0; i < n; i++) {
		ring_sqe(&rings[i], IORING_OP_POLL_ADD, rings[(i + 1) % n].fd, NULL, 0, 0, 1)
			->poll32_events = 1;
		ring_enter(&rings[i], 0);
	}
	_exit(n == 0);
}

/* Reads of a pipe that never come back, until the ring says that it has enough. */
static void many_requests(void)
{
	struct ring ring;
	int p[2], sent;

	ring_open(&ring, 4096, 0);
	(void)pipe(p);
	do {
		while (ring_unsent(&ring) < 4096)
			ring_sqe(&ring, IORING_OP_READ, p[0], area, 1, 0, 1);
		sent = ring_enter(&ring, 0);
	} while (sent > 0);
	_exit(sent < 0 && errno == EAGAIN ? 0 : 1);
}

/* Opening a FIFO without a writer blocks: more of that than there are workers. */
static void many_workers(void)
{
	char name[64];
	struct ring ring;

	snprintf(name, sizeof(name), "/tmp/fifo-%d", (int)getpid());
	(void)mkfifo(name, 0600);
	ring_open(&ring, 1024, 0);
	for (int i = 0; i < 1024; i++)
		ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, name, 0, 0, 1)->open_flags = O_RDONLY;
	ring_enter(&ring, 0);
	unlink(name);
	_exit(0);
}

/* Completions that nobody takes. */
static void many_completions(void)
{
	struct ring ring;

	ring_open(&ring, 4096, 0);
	for (int round = 0; round < 40; round++) {
		while (ring_unsent(&ring) < 4096)
			ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
		if (ring_enter(&ring, 0) != 4096)
			_exit(1);
	}
	/* Some are lost by now, and that is told. */
	errno = 0;
	while (ring_ready(&ring))
		(void)ring_peek(&ring, &(struct io_uring_cqe){ 0 });
	_exit(*ring_word(&ring, ring.params.cq_off.overflow) > 0 ? 0 : 1);
}

static int child(void (*run)(unsigned), unsigned arg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(40);
		run(arg);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

#define WRAP(name)                                                                                 \
	static void run_##name(unsigned arg)                                                       \
	{                                                                                          \
		(void)arg;                                                                         \
		name();                                                                            \
	}
WRAP(many_rings)
WRAP(many_requests)
WRAP(many_workers)
WRAP(many_completions)

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 12, hung = 0;

	alarm(0);
	for (unsigned i = 0; i < rounds; i++)
		hung += child(garbage, i + (argc > 2 ? (unsigned)atoi(argv[2]) : 0)) < 0;
	printf("%u children hung\n", hung);
	printf("rings %d\n", child(run_many_rings, 0));
	printf("requests %d\n", child(run_many_requests, 0));
	printf("workers %d\n", child(run_many_workers, 0));
	printf("completions %d\n", child(run_many_completions, 0));
	return 0;
}

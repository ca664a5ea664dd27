/* io_uring requests that wait: for files, time, each other; and how they end early. */
#include "ring.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define NEVER ((struct __kernel_timespec){ .tv_sec = 1000 })
#define SOON ((struct __kernel_timespec){ .tv_nsec = 2000000 })

static void add_flags(struct io_uring_sqe *sqe, unsigned flags)
{
	sqe->flags |= (uint8_t)flags;
}

static struct io_uring_sqe *poll_add(struct ring *ring, int fd, unsigned events, unsigned flags,
				     uint64_t user_data)
{
	struct io_uring_sqe *sqe =
		ring_sqe(ring, IORING_OP_POLL_ADD, fd, NULL, flags, 0, user_data);

	sqe->poll32_events = events;
	return sqe;
}

static void slow_reads(void)
{
	struct ring ring;
	char buf[3][8] = { "", "", "" };
	int p[2], efd = MUST(eventfd(0, 0));
	uint64_t value = 7, got = 0;

	MUST(pipe(p));
	ring_open(&ring, 8, 0);
	ring_sqe(&ring, IORING_OP_READ, p[0], buf[0], 8, 0, 1);
	ring_sqe(&ring, IORING_OP_READ, efd, &got, 8, 0, 2);
	SHOW("submit", ring_enter(&ring, 0));
	printf("ready %u\n", ring_ready(&ring));
	MUST(write(p[1], "late", 4));
	ring_show(&ring, "the pipe", 1);
	printf("%s\n", buf[0]);
	MUST(write(efd, &value, 8));
	ring_show(&ring, "the eventfd", 1);
	printf("%lu\n", got);
	ring_sqe(&ring, IORING_OP_READ, p[0], buf[1], 8, 0, 1)->flags = IOSQE_ASYNC;
	SHOW("submit", ring_enter(&ring, 0));
	MUST(write(p[1], "forced", 6));
	ring_show(&ring, "async", 1);
	MUST(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ring_sqe(&ring, IORING_OP_READ, p[0], buf[2], 8, 0, 1);
	SHOW("submit", ring_enter(&ring, 0));
	printf("ready %u\n", ring_ready(&ring));
	MUST(write(p[1], "nb", 2));
	ring_show(&ring, "O_NONBLOCK waits", 1);
	MUST(fcntl(p[0], F_SETFL, 0));
	ring_sqe(&ring, IORING_OP_READ, p[0], buf[2], 8, 0, 1)->rw_flags = RWF_NOWAIT;
	ring_run(&ring, "RWF_NOWAIT does not");
	ring_sqe(&ring, IORING_OP_READ, p[0], buf[2], 8, 0, 1);
	SHOW("submit", ring_enter(&ring, 0));
	close(p[1]);
	ring_show(&ring, "end of file", 1);
	ring_close(&ring);
	close(p[0]);
	close(efd);
}

static void polls(void)
{
	struct ring ring;
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 8, 0);
	poll_add(&ring, p[1], POLLOUT, 0, 1);
	ring_run(&ring, "ready at once");
	poll_add(&ring, p[0], POLLIN, 0, 1);
	SHOW("submit", ring_enter(&ring, 0));
	MUST(write(p[1], "x", 1));
	ring_show(&ring, "readable", 1);
	poll_add(&ring, p[0], POLLIN, IORING_POLL_ADD_MULTI, 5);
	SHOW("submit", ring_enter(&ring, 0));
	ring_show(&ring, "multishot, first", 1);
	MUST(write(p[1], "x", 1));
	ring_show(&ring, "multishot, again", 1);
	ring_sqe(&ring, IORING_OP_POLL_REMOVE, -1, (void *)5, 0, 0, 6);
	SHOW("remove", ring_enter(&ring, 2));
	ring_show(&ring, "removed", 2);
	ring_sqe(&ring, IORING_OP_POLL_REMOVE, -1, (void *)5, 0, 0, 6);
	ring_run(&ring, "remove nothing");
	poll_add(&ring, p[0], POLLIN, 0, 1)->off = 1;
	ring_run(&ring, "poll with an offset");
	poll_add(&ring, p[0], POLLIN, 64, 1);
	ring_run(&ring, "poll with unknown flags");
	ring_sqe(&ring, IORING_OP_POLL_REMOVE, -1, (void *)5, IORING_POLL_ADD_MULTI, 0, 6);
	ring_run(&ring, "remove with multishot");
	ring_sqe(&ring, IORING_OP_POLL_REMOVE, -1, (void *)5, 0, 9, 6);
	ring_run(&ring, "remove with a new name");
	poll_add(&ring, p[0], POLLPRI, 0, 7);
	SHOW("wait for what does not come", ring_enter(&ring, 0));
	ring_sqe(&ring, IORING_OP_POLL_REMOVE, -1, (void *)7,
		 IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA, 8, 9)
		->poll32_events = POLLIN;
	SHOW("update", ring_enter(&ring, 2));
	ring_show(&ring, "updated", 2);
	poll_add(&ring, p[0], 0, 0, 1);
	SHOW("wait for the end", ring_enter(&ring, 0));
	close(p[1]);
	ring_show(&ring, "hung up", 1);
	poll_add(&ring, 99, POLLIN, 0, 1);
	ring_run(&ring, "poll no descriptor");
	ring_close(&ring);
	close(p[0]);
}

/* Rings and epoll instances are files as well. */
static void polls_of_rings(void)
{
	struct ring ring, other;

	ring_open(&ring, 4, 0);
	ring_open(&other, 4, 0);
	poll_add(&ring, other.fd, POLLIN, 0, 1);
	SHOW("submit", ring_enter(&ring, 0));
	ring_sqe(&other, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	SHOW("the other", ring_enter(&other, 1));
	ring_show(&ring, "has something", 1);
	poll_add(&ring, ring.fd, POLLIN, 0, 2);
	SHOW("poll itself", ring_enter(&ring, 0));
	ring_close(&other);
	ring_close(&ring);
}

static void timeouts(void)
{
	struct __kernel_timespec soon = SOON, never = NEVER, bad = { .tv_nsec = -1 },
				 past = { 0, 1 };
	struct ring ring;

	ring_open(&ring, 8, 0);
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
	ring_run(&ring, "time is up");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
	SHOW("a timeout ends every wait", ring_enter(&ring, 4));
	ring_show(&ring, "though it is one", 1);
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &past, 1, 0, 1)->timeout_flags = IORING_TIMEOUT_ABS;
	ring_run(&ring, "absolute, in the past");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &past, 1, 0, 1)->timeout_flags =
		IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME;
	ring_run(&ring, "absolute, by the wall clock");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1)->timeout_flags =
		IORING_TIMEOUT_BOOTTIME;
	ring_run(&ring, "by boot time");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 2, 1);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	SHOW("two completions wanted", ring_enter(&ring, 1));
	ring_show(&ring, "one", 1);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
	SHOW("another", ring_enter(&ring, 2));
	ring_show(&ring, "two", 2);
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, UINT32_MAX, 1);
	ring_run(&ring, "as many completions as can be");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &bad, 1, 0, 1);
	ring_run(&ring, "bad time");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, (void *)8, 1, 0, 1);
	ring_run(&ring, "no time");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 2, 0, 1);
	ring_run(&ring, "two times");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1)->timeout_flags = 1 << 20;
	ring_run(&ring, "unknown flags");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1)->timeout_flags =
		IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME;
	ring_run(&ring, "two clocks");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 7);
	SHOW("long", ring_enter(&ring, 0));
	ring_sqe(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)7, 0, 0, 8);
	SHOW("remove", ring_enter(&ring, 2));
	ring_show(&ring, "removed", 2);
	ring_sqe(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)7, 0, 0, 8);
	ring_run(&ring, "remove nothing");
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 7);
	SHOW("long", ring_enter(&ring, 0));
	ring_sqe(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)7, 0, (uintptr_t)&soon, 8)
		->timeout_flags = IORING_TIMEOUT_UPDATE;
	SHOW("shorten", ring_enter(&ring, 2));
	ring_show(&ring, "shortened", 2);
	ring_sqe(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)7, 5, 0, 8);
	ring_run(&ring, "remove with a length");
	ring_close(&ring);
}

static void links(void)
{
	struct __kernel_timespec soon = SOON, never = NEVER;
	struct ring ring;
	char buf[4] = "";
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 16, 0);
	add_flags(ring_sqe(&ring, IORING_OP_WRITE, p[1], "abcd", 4, 0, 1), IOSQE_IO_LINK);
	add_flags(ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 2), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
	ring_run(&ring, "a chain");
	printf("%.4s\n", buf);
	add_flags(ring_sqe(&ring, IORING_OP_READ, 99, buf, 4, 0, 1), IOSQE_IO_LINK);
	add_flags(ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 4);
	ring_run(&ring, "a broken chain");
	add_flags(ring_sqe(&ring, IORING_OP_READ, 99, buf, 4, 0, 1), IOSQE_IO_HARDLINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	ring_run(&ring, "a hard link");
	add_flags(ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1), IOSQE_IO_LINK);
	add_flags(ring_sqe(&ring, IORING_OP_FSYNC, 0, buf, 0, 0, 2), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
	ring_run(&ring, "a bad entry in a chain");
	MUST(write(p[1], "ab", 2));
	add_flags(ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	ring_run(&ring, "a short read breaks it");
	add_flags(ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	ring_run(&ring, "a timeout breaks it");
	add_flags(ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	((struct io_uring_sqe *)(void *)ring.sqes)[(ring.tail - 2) & 15].timeout_flags =
		IORING_TIMEOUT_ETIME_SUCCESS;
	ring_run(&ring, "unless it is a success");

	add_flags(ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1), IOSQE_IO_LINK);
	add_flags(ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &never, 1, 0, 2),
		  IOSQE_CQE_SKIP_SUCCESS);
	SHOW("a silent limit", ring_enter(&ring, 1));
	ring_show(&ring, "says nothing", 1);
	printf("ready %u\n", ring_ready(&ring));
	add_flags(ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &soon, 1, 0, 2);
	ring_run(&ring, "a limited read");
	MUST(write(p[1], "abcd", 4));
	add_flags(ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1), IOSQE_IO_LINK);
	add_flags(ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &never, 1, 0, 2), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
	ring_run(&ring, "within the limit");
	add_flags(ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1), IOSQE_IO_LINK);
	ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &never, 1, 0, 2);
	SHOW("limited", ring_enter(&ring, 0));
	MUST(write(p[1], "abcd", 4));
	ring_show(&ring, "within it, later", 2);
	ring_sqe(&ring, IORING_OP_LINK_TIMEOUT, -1, &never, 1, 0, 2);
	ring_run(&ring, "a limit of nothing");
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
}

/* Draining: who waits for whom is told by what is there before the pipe is written to. */
static void drains(void)
{
	struct ring ring;
	char buf[4];
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 16, 0);
	ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	add_flags(ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3), IOSQE_IO_DRAIN);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 4);
	SHOW("submit", ring_enter(&ring, 1));
	printf("ready %u\n", ring_ready(&ring));
	ring_show(&ring, "not drained", 1);
	MUST(write(p[1], "abcd", 4));
	ring_show(&ring, "drained", 3);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	ring_run(&ring, "and on");
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
}

static struct io_uring_sqe *cancel(struct ring *ring, uint64_t target, unsigned flags, uint64_t id)
{
	struct io_uring_sqe *sqe = ring_sqe(ring, IORING_OP_ASYNC_CANCEL, -1, NULL, 0, 0, id);

	sqe->addr = target;
	sqe->cancel_flags = flags;
	return sqe;
}

static void cancels(void)
{
	struct __kernel_timespec never = NEVER;
	struct ring ring;
	char buf[4];
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 16, 0);
	cancel(&ring, 77, 0, 1);
	ring_run(&ring, "cancel nothing");
	ring_sqe(&ring, IORING_OP_READ, p[0], buf, 4, 0, 1);
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 2);
	poll_add(&ring, p[0], POLLIN, 0, 3);
	SHOW("submit", ring_enter(&ring, 0));
	cancel(&ring, 1, 0, 11);
	SHOW("cancel", ring_enter(&ring, 2));
	ring_show(&ring, "a read", 2);
	cancel(&ring, 2, 0, 12);
	SHOW("cancel", ring_enter(&ring, 2));
	ring_show(&ring, "a timeout", 2);
	cancel(&ring, 3, 0, 13);
	SHOW("cancel", ring_enter(&ring, 2));
	ring_show(&ring, "a poll", 2);
	for (int i = 1; i <= 3; i++)
		poll_add(&ring, p[0], POLLIN, 0, (uint64_t)i);
	SHOW("submit", ring_enter(&ring, 0));
	cancel(&ring, 0, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL, 14)->fd = p[0];
	SHOW("cancel", ring_enter(&ring, 4));
	ring_show(&ring, "all of a descriptor", 4);
	cancel(&ring, 0, IORING_ASYNC_CANCEL_FD, 15)->fd = 99;
	ring_run(&ring, "of no descriptor");
	cancel(&ring, 0, IORING_ASYNC_CANCEL_ANY, 16);
	ring_run(&ring, "any of none");
	cancel(&ring, 0, 1u << 30, 17);
	ring_run(&ring, "unknown flags");
	cancel(&ring, 0, 0, 18)->off = 1;
	ring_run(&ring, "cancel with an offset");
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
}

static void overflow(void)
{
	struct io_uring_cqe cqe;
	struct ring ring;
	unsigned *flags;

	ring_open(&ring, 4, 0);
	flags = ring_word(&ring, ring.params.sq_off.flags);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 4; i++)
			ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, (uint64_t)(round * 4 + i));
		SHOW("submit", ring_enter(&ring, 0));
	}
	printf("ready %u, overflow flag %u, lost %u\n", ring_ready(&ring),
	       *flags & IORING_SQ_CQ_OVERFLOW, *ring_word(&ring, ring.params.cq_off.overflow));
	for (int i = 0; i < 16; i++) {
		while (!ring_peek(&ring, &cqe))
			if (ring_enter(&ring, 1) < 0)
				break;
		if (cqe.user_data != (uint64_t)i)
			printf("completion %d is that of %llu\n", i,
			       (unsigned long long)cqe.user_data);
	}
	printf("ready %u, overflow flag %u\n", ring_ready(&ring), *flags & IORING_SQ_CQ_OVERFLOW);
	ring_close(&ring);
}

static void wide(void)
{
	struct ring ring;
	char buf[8] = "";
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 4, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
	for (int i = 1; i <= 4; i++)
		ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, (uint64_t)i);
	ring_run(&ring, "wide nops");
	ring_sqe(&ring, IORING_OP_WRITE, p[1], "wide", 4, 0, 1);
	ring_run(&ring, "wide write");
	ring_sqe(&ring, IORING_OP_READ, p[0], buf, 8, 0, 1);
	ring_run(&ring, "wide read");
	printf("%s\n", buf);
	ring_sqe(&ring, IORING_OP_URING_CMD, p[0], NULL, 0, 1, 1);
	ring_run(&ring, "a command to a pipe");
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
}

static void *enter_elsewhere(void *arg)
{
	struct ring *ring = arg;

	ring_sqe(ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	SHOW("another thread", ring_enter(ring, 0));
	SHOW("it registers",
	     syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PERSONALITY, NULL, 0));
	return NULL;
}

static void single_issuer(void)
{
	struct ring ring;
	pthread_t thread;

	ring_open(&ring, 4, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	ring_run(&ring, "the issuer");
	MUST(pthread_create(&thread, NULL, enter_elsewhere, &ring));
	pthread_join(thread, NULL);
	ring_run(&ring, "the issuer again");
	ring_close(&ring);
}

static void on_signal(int signo)
{
	(void)signo;
}

static void *kill_main(void *arg)
{
	pthread_t *main_thread = arg;

	usleep(20000);
	pthread_kill(*main_thread, SIGUSR1);
	return NULL;
}

static void interrupted(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t self = pthread_self(), thread;
	struct ring ring;

	sigaction(SIGUSR1, &action, NULL);
	ring_open(&ring, 4, 0);
	MUST(pthread_create(&thread, NULL, kill_main, &self));
	SHOW("a signal", ring_enter(&ring, 1));
	pthread_join(thread, NULL);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	MUST(pthread_create(&thread, NULL, kill_main, &self));
	SHOW("a signal with SA_RESTART", ring_enter(&ring, 1));
	pthread_join(thread, NULL);
	ring_close(&ring);
}

/* The reader sees the end of the pipe although a request of the dead held it. */
static void exit_and_exec(const char *self)
{
	struct __kernel_timespec never = NEVER;
	struct ring ring;
	char buf[8], *argv[] = { (char *)self, "executed", NULL };
	int p[2], q[2], status;

	for (int exec = 0; exec < 2; exec++) {
		MUST(pipe(p));
		MUST(pipe(q));
		if (MUST(fork()) == 0) {
			ring_open(&ring, 8, 0);
			ring_sqe(&ring, IORING_OP_READ, q[0], buf, 8, 0, 1);
			poll_add(&ring, p[1], POLLPRI, 0, 2);
			ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 3);
			add_flags(ring_sqe(&ring, IORING_OP_READ, q[0], buf, 8, 0, 4),
				  IOSQE_IO_LINK);
			ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 5);
			MUST(ring_enter(&ring, 0));
			MUST(fcntl(p[1], F_SETFD, FD_CLOEXEC));
			MUST(fcntl(q[1], F_SETFD, FD_CLOEXEC));
			if (exec)
				execv(self, argv);
			_exit(3);
		}
		close(p[1]);
		close(q[1]);
		SHOW("the pipe ends", read(p[0], buf, 8));
		MUST(wait(&status));
		printf("status %d\n", WEXITSTATUS(status));
		close(p[0]);
		close(q[0]);
	}
}

/* A ring outlives the thread that used it; the thread's requests do not. */
static void *submit_and_end(void *arg)
{
	MUST(ring_enter(arg, 0));
	return NULL;
}

static void thread_ends(void)
{
	struct __kernel_timespec soon = SOON;
	struct ring ring;
	pthread_t thread;
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 4, 0);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	MUST(pthread_create(&thread, NULL, submit_and_end, &ring));
	pthread_join(thread, NULL);
	ring_show(&ring, "by another thread", 1);
	ring_sqe(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 3);
	poll_add(&ring, p[0], POLLPRI, 0, 4);
	MUST(pthread_create(&thread, NULL, submit_and_end, &ring));
	pthread_join(thread, NULL);
	ring_show(&ring, "a timer outlives its thread", 1);
	cancel(&ring, 4, 0, 5);
	SHOW("cancel", ring_enter(&ring, 2));
	ring_show(&ring, "so does a poll", 2);
	poll_add(&ring, p[0], POLLIN, 0, 2);
	SHOW("close with a request", ring_enter(&ring, 0));
	ring_close(&ring);
	MUST(write(p[1], "x", 1));
	close(p[0]);
	close(p[1]);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 4;
	ring_needed();
	slow_reads();
	polls();
	polls_of_rings();
	timeouts();
	links();
	drains();
	cancels();
	overflow();
	wide();
	single_issuer();
	interrupted();
	thread_ends();
	exit_and_exec(argv[0]);
	return 0;
}

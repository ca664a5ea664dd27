/*
 * epoll from many threads: events of eventfds and timers are all seen by level- and edge-triggered
 * waiters, nested instances pass them on, and files and instances may be closed at any moment.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/file/epoll.h"
#include "vfs/file/eventfd.h"
#include "vfs/file/pipe.h"
#include "vfs/file/timerfd.h"

#define SOURCES 8
#define WAITERS 3
#define SIGNALS 4000

static struct op_ctx ctx = {.tid = 7, .tgid = 7, .fsize_limit = UINT64_MAX};
static struct file *ep, *sources[SOURCES], *stop_event;
static atomic_ulong taken;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "stress_epoll: %s\n", what);
	_exit(1);
}

static ssize_t get(struct file *file, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, file, &iter);
}

static void add(struct file *epfile, struct file *file, uint32_t mask, uint64_t data)
{
	struct epoll_event event = {.events = mask, .data.u64 = data};

	check(epoll_control(&ctx, epfile, EPOLL_CTL_ADD, file, (int)data, &event) == 0, "add");
}

static void *waiter(void *arg)
{
	struct file *epfile = arg;
	struct epoll_event events[3];
	uint64_t value;
	int n;

	for (;;) {
		n = epoll_collect(&ctx, epfile, events, 3, WAIT_FOREVER);
		check(n > 0, "wait");
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == SOURCES)
				return NULL;
			/* Another waiter may have been faster. */
			if (get(sources[events[i].data.u64], &value, sizeof(value)) == 8)
				atomic_fetch_add(&taken, value);
		}
	}
}

static void *signaller(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < SIGNALS; i++)
		eventfd_signal(sources[(unsigned)rand_r(&seed) % SOURCES], 1);
	return NULL;
}

/* Every signal is taken once, whoever takes it. */
static void all_signals_arrive(const char *name, uint32_t mask)
{
	pthread_t waiters[WAITERS], signallers[2];

	atomic_store(&taken, 0);
	check(epoll_new(&ctx, 0, &ep) == 0, "epoll");
	check(eventfd_new(&ctx, 0, 0, &stop_event) == 0, "eventfd");
	add(ep, stop_event, EPOLLIN, SOURCES);
	for (unsigned i = 0; i < SOURCES; i++) {
		check(eventfd_new(&ctx, 0, O_NONBLOCK, &sources[i]) == 0, "eventfd");
		add(ep, sources[i], mask, i);
	}
	for (int i = 0; i < WAITERS; i++)
		pthread_create(&waiters[i], NULL, waiter, ep);
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&signallers[i], NULL, signaller, (void *)(i + 1));
	for (int i = 0; i < 2; i++)
		pthread_join(signallers[i], NULL);
	while (atomic_load(&taken) < 2 * SIGNALS)
		sched_yield(); /* a lost event hangs here, until SIGALRM */
	eventfd_signal(stop_event, 1);
	for (int i = 0; i < WAITERS; i++)
		pthread_join(waiters[i], NULL);
	check(atomic_load(&taken) == 2 * SIGNALS, "signals made up");
	for (int i = 0; i < SOURCES; i++)
		file_put(sources[i]);
	file_put(stop_event);
	file_put(ep);
	printf("%s: %lu signals\n", name, atomic_load(&taken));
}

/* ---- files and instances come and go while others wait and wake ---- */

static struct file *outer;
static atomic_bool stop;

static void *churn_files(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 3000; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 1};
		struct file *ends[2];
		struct io_iter iter;
		char c = 'x';

		check(pipe_create(&ctx, O_NONBLOCK, ends) == 0, "pipe");
		check(epoll_control(&ctx, ep, EPOLL_CTL_ADD, ends[0], i, &event) == 0, "add");
		check(epoll_control(&ctx, outer, EPOLL_CTL_ADD, ends[0], i, &event) == 0, "add");
		iter_init_mem(&iter, &c, 1);
		check(vfs_write(&ctx, ends[1], &iter) == 1, "write");
		if (rand_r(&seed) % 2)
			check(epoll_control(&ctx, ep, EPOLL_CTL_DEL, ends[0], i, NULL) == 0, "del");
		file_put(ends[0]);
		file_put(ends[1]);
	}
	return NULL;
}

static void *churn_instances(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3000; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u64 = 2};
		struct file *inner;

		check(epoll_new(&ctx, 0, &inner) == 0, "epoll");
		check(epoll_control(&ctx, inner, EPOLL_CTL_ADD, sources[0], 0, &event) == 0, "add");
		check(epoll_control(&ctx, outer, EPOLL_CTL_ADD, inner, 1000000, &event) == 0,
		      "nest");
		eventfd_signal(sources[0], 1);
		file_put(inner);
	}
	return NULL;
}

static void *collector(void *arg)
{
	struct epoll_event events[8];

	while (!atomic_load(&stop))
		check(epoll_collect(&ctx, arg, events, 8, clock_monotonic_ns() + 1000000) >= 0,
		      "collect");
	return NULL;
}

static void everything_may_close(void)
{
	pthread_t churners[3], collectors[2];

	check(epoll_new(&ctx, 0, &ep) == 0 && epoll_new(&ctx, 0, &outer) == 0, "epoll");
	check(eventfd_new(&ctx, 0, O_NONBLOCK, &sources[0]) == 0, "eventfd");
	add(outer, ep, EPOLLIN, 0);
	pthread_create(&collectors[0], NULL, collector, ep);
	pthread_create(&collectors[1], NULL, collector, outer);
	pthread_create(&churners[0], NULL, churn_files, (void *)1);
	pthread_create(&churners[1], NULL, churn_files, (void *)2);
	pthread_create(&churners[2], NULL, churn_instances, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(churners[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(collectors[i], NULL);
	file_put(sources[0]);
	file_put(ep);
	file_put(outer);
	printf("churn: done\n");
}

/* Timers re-armed and closed while they fire. */
static void timers(void)
{
	struct itimerspec value = {{0, 20000}, {0, 20000}};
	struct epoll_event event;
	struct file *file;
	uint64_t ticks;

	check(epoll_new(&ctx, 0, &ep) == 0, "epoll");
	for (int i = 0; i < 500; i++) {
		check(timerfd_new(&ctx, CLOCK_MONOTONIC, TFD_NONBLOCK, &file) == 0, "timerfd");
		add(ep, file, EPOLLIN, 0);
		check(timerfd_arm(file, 0, &value, NULL) == 0, "arm");
		check(epoll_collect(&ctx, ep, &event, 1, WAIT_FOREVER) == 1, "timer");
		check(get(file, &ticks, 8) == 8 && ticks > 0, "ticks");
		check(timerfd_arm(file, 0, &value, NULL) == 0, "arm again");
		file_put(file);
	}
	file_put(ep);
	printf("timers: done\n");
}

int main(void)
{
	alarm(240);
	ctx.cred = cred_new(0, 0, NULL, 0);
	all_signals_arrive("level", EPOLLIN);
	all_signals_arrive("edge", EPOLLIN | EPOLLET);
	everything_may_close();
	timers();
	cred_put(ctx.cred);
	return 0;
}

/*
 * The reactor: one thread in epoll_wait for host descriptors and the timer queue. It runs the
 * fibers it wakes itself, so that the receiving worker is not disturbed.
 */
#include "sentry/sched/reactor.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/wait.h"
#include "sentry/sched/fiber.h"
#include "sentry/sched/sched.h"

static int epoll_hostfd = -1, stop_hostfd = -1;
static pthread_t thread;
static bool running;
static atomic_ulong wakeups;

/*
 * Watches are named to epoll by slot and generation, never by address: an event that was fetched
 * just before its watch was deleted finds the slot empty or of another generation.
 */
#define WATCHES_MAX 1024
static struct fb_mutex watch_lock = FB_MUTEX_INIT(RANK_LEAF);
static pthread_cond_t watch_idle = PTHREAD_COND_INITIALIZER;
static struct {
	struct host_watch *watch;
	uint32_t generation;
} slots[WATCHES_MAX];		   /* guarded by watch_lock */
static struct host_watch *calling; /* guarded by watch_lock */

/* epoll data of the two descriptors that are no watches. */
enum { TAG_TIMERS = WATCHES_MAX, TAG_STOP };

static int epoll_add(int hostfd, uint32_t events, uint64_t tag)
{
	struct epoll_event event = { .events = events, .data.u64 = tag };

	return (int)HOST(epoll_ctl(epoll_hostfd, EPOLL_CTL_ADD, hostfd, &event));
}

static int slot_take(struct host_watch *watch, uint64_t *ret_tag)
{
	int err = -EMFILE;

	fb_mutex_lock(&watch_lock);
	for (uint32_t i = 0; i < WATCHES_MAX; i++) {
		if (slots[i].watch)
			continue;
		slots[i].watch = watch;
		*ret_tag = i | (uint64_t)++slots[i].generation << 32;
		watch->slot = i;
		err = 0;
		break;
	}
	fb_mutex_unlock(&watch_lock);
	return err;
}

int host_watch_add(struct host_watch *watch, int hostfd,
		   void (*ready)(struct host_watch *watch, unsigned events))
{
	uint64_t tag;
	int err;

	watch->hostfd = hostfd;
	watch->ready = ready;
	watch->armed = false;
	err = slot_take(watch, &tag);
	if (err)
		return err;
	err = epoll_add(hostfd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, tag);
	watch->armed = err == 0;
	if (err) {
		fb_mutex_lock(&watch_lock);
		slots[watch->slot].watch = NULL;
		fb_mutex_unlock(&watch_lock);
	}
	return err;
}

void host_watch_del(struct host_watch *watch)
{
	if (!watch->armed)
		return;
	epoll_ctl(epoll_hostfd, EPOLL_CTL_DEL, watch->hostfd, NULL);
	fb_mutex_lock(&watch_lock);
	watch->armed = false;
	slots[watch->slot].watch = NULL;
	while (calling == watch && !pthread_equal(pthread_self(), thread))
		pthread_cond_wait(&watch_idle, &watch_lock.mutex);
	fb_mutex_unlock(&watch_lock);
}

static void watch_call(uint64_t tag, unsigned events)
{
	uint32_t slot = (uint32_t)tag;
	struct host_watch *watch = NULL;

	fb_mutex_lock(&watch_lock);
	if (slots[slot].generation == tag >> 32)
		watch = calling = slots[slot].watch;
	fb_mutex_unlock(&watch_lock);
	if (!watch)
		return;
	watch->ready(watch, events); /* EPOLL* and POLL* bits are the same numbers */
	fb_mutex_lock(&watch_lock);
	calling = NULL;
	pthread_cond_broadcast(&watch_idle);
	fb_mutex_unlock(&watch_lock);
}

static void *reactor_main(void *unused)
{
	struct fiber_thread self;
	struct epoll_event event;

	(void)unused;
	fiber_thread_init(&self);
	for (;;) {
		if (epoll_wait(epoll_hostfd, &event, 1, -1) != 1)
			continue;
		if (event.data.u64 == TAG_STOP)
			return NULL;
		atomic_fetch_add_explicit(&wakeups, 1, memory_order_relaxed);
		if (event.data.u64 == TAG_TIMERS)
			timers_run();
		else
			watch_call(event.data.u64, event.events);
		sched_drain();
	}
}

int reactor_start(void)
{
	int err;

	epoll_hostfd = (int)HOST(epoll_create1(EPOLL_CLOEXEC));
	stop_hostfd = (int)HOST(eventfd(0, EFD_CLOEXEC));
	if (epoll_hostfd < 0 || stop_hostfd < 0)
		return epoll_hostfd < 0 ? epoll_hostfd : stop_hostfd;
	timers_take_over();
	err = epoll_add(timers_hostfd(), EPOLLIN, TAG_TIMERS);
	if (!err)
		err = epoll_add(stop_hostfd, EPOLLIN, TAG_STOP);
	if (!err)
		err = -pthread_create(&thread, NULL, reactor_main, NULL);
	running = err == 0;
	return err;
}

void reactor_stop(void)
{
	uint64_t one = 1;

	if (!running)
		return;
	if (write(stop_hostfd, &one, sizeof(one)) == sizeof(one))
		pthread_join(thread, NULL);
	running = false;
	close(epoll_hostfd);
	close(stop_hostfd);
}

uint64_t reactor_wakeups(void)
{
	return atomic_load(&wakeups);
}

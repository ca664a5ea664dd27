/*
 * The timer queue: a binary heap by deadline and one timerfd set to its top. Whoever serves the
 * descriptor calls timers_run(): the reactor, or before it has taken over a small thread that is
 * started with the first timer.
 */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"

static struct fb_mutex timer_lock = FB_MUTEX_INIT(RANK_SCHED);
static pthread_cond_t fired = PTHREAD_COND_INITIALIZER;
static struct fb_timer **heap; /* heap[1..heap_len]; guarded by timer_lock, as all below */
static size_t heap_len, heap_alloc;
static int timer_hostfd = -1;
static int64_t armed_ns; /* what timer_hostfd is set to; 0 = off */
static bool taken_over, thread_started;
static struct fb_timer *running;
static pthread_t runner;

static void heap_place(struct fb_timer *timer, size_t index)
{
	heap[index] = timer;
	timer->heap_index = index;
}

static void heap_sift(size_t index)
{
	struct fb_timer *timer = heap[index];
	size_t child;

	for (; index > 1 && heap[index / 2]->deadline_ns > timer->deadline_ns; index /= 2)
		heap_place(heap[index / 2], index);
	for (; (child = index * 2) <= heap_len; index = child) {
		if (child < heap_len && heap[child + 1]->deadline_ns < heap[child]->deadline_ns)
			child++;
		if (heap[child]->deadline_ns >= timer->deadline_ns)
			break;
		heap_place(heap[child], index);
	}
	heap_place(timer, index);
}

static void heap_insert(struct fb_timer *timer)
{
	if (heap_len + 2 > heap_alloc) {
		heap_alloc = heap_alloc ? heap_alloc * 2 : 64;
		heap = realloc(heap, heap_alloc * sizeof(*heap));
		if (!heap)
			fb_die("out of memory for timers");
	}
	heap[++heap_len] = timer;
	timer->heap_index = heap_len;
	heap_sift(heap_len);
}

static void heap_remove(struct fb_timer *timer)
{
	size_t index = timer->heap_index;
	struct fb_timer *last = heap[heap_len--];

	timer->heap_index = 0;
	if (last == timer)
		return;
	heap_place(last, index);
	heap_sift(index);
}

static void set_hostfd_locked(void)
{
	int64_t want = heap_len ? heap[1]->deadline_ns : 0;
	struct itimerspec its = { 0 };

	if (want == armed_ns)
		return;
	if (timer_hostfd < 0) {
		timer_hostfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (timer_hostfd < 0)
			fb_die("timerfd_create failed: errno %d", host_errno());
	}
	its.it_value.tv_sec = want / 1000000000;
	its.it_value.tv_nsec = want % 1000000000;
	timerfd_settime(timer_hostfd, TFD_TIMER_ABSTIME, &its, NULL);
	armed_ns = want;
}

static void *timer_thread(void *unused)
{
	struct pollfd pfd = { .fd = timer_hostfd, .events = POLLIN };

	(void)unused;
	for (;;) {
		poll(&pfd, 1, -1);
		fb_mutex_lock(&timer_lock);
		bool stop = taken_over;
		fb_mutex_unlock(&timer_lock);
		if (stop)
			return NULL;
		timers_run();
	}
}

static void start_thread_locked(void)
{
	pthread_t thread;

	if (taken_over || thread_started)
		return;
	thread_started = true;
	if (pthread_create(&thread, NULL, timer_thread, NULL) == 0)
		pthread_detach(thread);
}

void fb_timer_init(struct fb_timer *timer, void (*fire)(struct fb_timer *timer))
{
	timer->deadline_ns = 0;
	timer->fire = fire;
	timer->heap_index = 0;
}

void fb_timer_arm(struct fb_timer *timer, int64_t deadline_ns)
{
	fb_mutex_lock(&timer_lock);
	if (timer->heap_index)
		heap_remove(timer);
	timer->deadline_ns = deadline_ns > 0 ? deadline_ns : 1;
	heap_insert(timer);
	set_hostfd_locked();
	start_thread_locked();
	fb_mutex_unlock(&timer_lock);
}

void fb_timer_cancel(struct fb_timer *timer)
{
	fb_mutex_lock(&timer_lock);
	if (timer->heap_index)
		heap_remove(timer);
	timer->deadline_ns = 0;
	while (running == timer && !pthread_equal(runner, pthread_self()))
		pthread_cond_wait(&fired, &timer_lock.mutex);
	fb_mutex_unlock(&timer_lock);
}

int timers_hostfd(void)
{
	fb_mutex_lock(&timer_lock);
	if (timer_hostfd < 0)
		timer_hostfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	fb_mutex_unlock(&timer_lock);
	return timer_hostfd;
}

void timers_take_over(void)
{
	fb_mutex_lock(&timer_lock);
	taken_over = true;
	fb_mutex_unlock(&timer_lock);
}

void timers_run(void)
{
	int64_t now = clock_monotonic_ns();

	fb_mutex_lock(&timer_lock);
	armed_ns = -1; /* the descriptor must be set again, which also clears its readiness */
	runner = pthread_self();
	while (heap_len && heap[1]->deadline_ns <= now) {
		struct fb_timer *timer = heap[1];

		heap_remove(timer);
		timer->deadline_ns = 0;
		running = timer;
		fb_mutex_unlock(&timer_lock);
		timer->fire(timer);
		fb_mutex_lock(&timer_lock);
		running = NULL;
		pthread_cond_broadcast(&fired);
	}
	set_hostfd_locked();
	fb_mutex_unlock(&timer_lock);
}

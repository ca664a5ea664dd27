/*
 * The threads that take the guests' calls.
 *
 * Exactly one worker, the leader, sits in the backend's receive call; more would only make the
 * kernel wake cold threads in turn. It serves calls itself. Another worker takes the lead when the
 * leader says that it is about to block in the host (sched_blocking_begin), or when the tracer's
 * tick sees that it has been busy with one call for too long (sched_tick).
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "sentry/base/blocking.h"
#include "sentry/base/err.h"
#include "sentry/base/idle.h"
#include "sentry/base/log.h"
#include "sentry/sched/fiber.h"
#include "sentry/sched/reactor.h"
#include "sentry/sched/sched.h"

#define WORKERS_MAX 64
#define IDLE_MAX 4 /* idle followers kept */

static struct fb_mutex sched_lock = FB_MUTEX_INIT(RANK_SCHED);
static pthread_cond_t follower_wanted = PTHREAD_COND_INITIALIZER;
static pthread_cond_t worker_gone = PTHREAD_COND_INITIALIZER;
/* All guarded by sched_lock: */
static struct fiber *queue_head; /* its emptiness is also looked at without the lock */
static struct fiber **queue_tail = &queue_head;
static bool have_leader, stopping;
static int nr_workers, nr_idle, nr_signalled;
static bool (*receive_call)(void), (*poll_calls)(void), (*calls_wait)(void);

static atomic_bool in_receive;	  /* the leader waits for a call */
static atomic_bool leader_blocks; /* it is between sched_blocking_begin and _end */
static void (*wake_tick)(void);
static atomic_uint receive_count; /* calls received: tells the tick whether the leader moves */
static struct {
	atomic_ulong fibers_run, wakeups, promotions;
} stats;

static void count(atomic_ulong *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Run queue. */

static void *worker_main(void *unused);

/* Lets an idle follower, or a new one, look at the queue and the free lead. */
static void wake_follower_locked(void)
{
	pthread_t thread;

	if (nr_idle > nr_signalled) {
		nr_signalled++;
		pthread_cond_signal(&follower_wanted);
		return;
	}
	if (nr_workers >= WORKERS_MAX || stopping)
		return;
	if (pthread_create(&thread, NULL, worker_main, NULL))
		return;
	pthread_detach(thread);
	nr_workers++;
}

void runqueue_push(struct fiber *fiber)
{
	bool foreign = !fiber_thread_self();

	count(&stats.wakeups);
	fiber->next = NULL;
	fb_mutex_lock(&sched_lock);
	__atomic_store_n(queue_tail, fiber, __ATOMIC_RELAXED);
	queue_tail = &fiber->next;
	if (foreign)
		wake_follower_locked();
	fb_mutex_unlock(&sched_lock);
}

static struct fiber *runqueue_pop(void)
{
	struct fiber *fiber;

	if (!__atomic_load_n(&queue_head, __ATOMIC_RELAXED))
		return NULL;
	fb_mutex_lock(&sched_lock);
	fiber = queue_head;
	if (fiber) {
		__atomic_store_n(&queue_head, fiber->next, __ATOMIC_RELAXED);
		if (!queue_head)
			queue_tail = &queue_head;
	}
	fb_mutex_unlock(&sched_lock);
	return fiber;
}

bool sched_has_work(void)
{
	return __atomic_load_n(&queue_head, __ATOMIC_RELAXED) != NULL;
}

void sched_drain(void)
{
	struct fiber_thread *thread = fiber_thread_self();
	struct fiber *fiber;

	while ((fiber = runqueue_pop()))
		fiber_resume(thread, fiber);
}

void sched_run(void (*fn)(void *), void *arg)
{
	count(&stats.fibers_run);
	fiber_resume(fiber_thread_self(), fiber_new(fn, arg));
}

void sched_spawn(void (*fn)(void *), void *arg)
{
	struct fiber *fiber = fiber_new(fn, arg);

	count(&stats.fibers_run);
	atomic_store(&fiber->state, FIBER_QUEUED);
	runqueue_push(fiber);
}

struct fiber *fiber_current(void)
{
	struct fiber_thread *thread = fiber_thread_self();

	return thread ? thread->current : NULL;
}

static struct waiter *current_waiter(void)
{
	struct fiber *fiber = fiber_current();

	return fiber ? &fiber->waiter : NULL;
}

/* Leader and followers. */

static void give_up_lead_locked(struct fiber_thread *thread)
{
	thread->leader = false;
	have_leader = false;
	count(&stats.promotions);
	wake_follower_locked();
}

static void pass_on_queue(void)
{
	fb_mutex_lock(&sched_lock);
	if (queue_head)
		wake_follower_locked();
	fb_mutex_unlock(&sched_lock);
}

/*
 * Most host calls that may take long do not: giving up the lead at once would cost two switches
 * for nothing. So only the tick is told to look closely.
 */
void sched_blocking_begin(void)
{
	struct fiber_thread *thread = fiber_thread_self();

	if (!thread)
		return;
	if (!thread->leader) {
		/* Fibers that this thread has woken must not wait for the host with it. */
		if (__atomic_load_n(&queue_head, __ATOMIC_RELAXED))
			pass_on_queue();
		return;
	}
	/* Ordered against the tracer's look before it sleeps. */
	atomic_store(&leader_blocks, true);
	if (wake_tick)
		wake_tick();
}

void sched_blocking_end(void)
{
	struct fiber_thread *thread = fiber_thread_self();

	if (thread && thread->leader)
		atomic_store_explicit(&leader_blocks, false, memory_order_relaxed);
}

void sched_set_tick_waker(void (*wake)(void))
{
	wake_tick = wake;
}

/* A mark that an overtaken leader has left means nothing once the new one waits for calls. */
bool sched_wants_tick(void)
{
	return atomic_load(&leader_blocks) && !atomic_load(&in_receive);
}

static struct fiber_thread *leader_thread; /* guarded by sched_lock */

/*
 * Before it sleeps the leader does what has been left for such a moment; unless a guest that it has just let go
 * on has something for it.
 */
bool sched_receive_begin(void)
{
	atomic_store_explicit(&in_receive, true, memory_order_relaxed);
	idle_work_sleep(true);
	if (!idle_work_pending())
		return true;
	sched_yield();
	if (calls_wait && calls_wait())
		return true;
	sched_receive_end();
	idle_work_run(true);
	return false;
}

static void count_event(void)
{
	atomic_fetch_add_explicit(&receive_count, 1, memory_order_relaxed);
}

void sched_receive_end(void)
{
	atomic_store_explicit(&in_receive, false, memory_order_relaxed);
	idle_work_sleep(false);
	count_event();
}

void sched_tick(void)
{
	static unsigned last_count; /* only the tracer ticks */
	static bool was_busy;
	unsigned now = atomic_load_explicit(&receive_count, memory_order_relaxed);
	bool busy = !atomic_load_explicit(&in_receive, memory_order_relaxed);

	if (busy && was_busy && now == last_count) {
		atomic_store_explicit(&leader_blocks, false, memory_order_relaxed);
		fb_mutex_lock(&sched_lock);
		if (have_leader && leader_thread && leader_thread->leader)
			give_up_lead_locked(leader_thread);
		fb_mutex_unlock(&sched_lock);
	}
	was_busy = busy;
	last_count = now;
}

/* Waits until there is a lead to take (true) or fibers to run (false, *ret_stop when to end). */
static bool follow(struct fiber_thread *self, bool *ret_stop)
{
	bool lead = false;

	fb_mutex_lock(&sched_lock);
	nr_idle++;
	while (have_leader && !queue_head && !stopping && nr_idle <= IDLE_MAX) {
		pthread_cond_wait(&follower_wanted, &sched_lock.mutex);
		if (nr_signalled > 0)
			nr_signalled--;
	}
	nr_idle--;
	*ret_stop = stopping || (have_leader && !queue_head);
	if (!have_leader && !stopping) {
		have_leader = lead = true;
		self->leader = true;
		leader_thread = self;
	}
	fb_mutex_unlock(&sched_lock);
	return lead;
}

static void stop_all(void)
{
	fb_mutex_lock(&sched_lock);
	stopping = true;
	pthread_cond_broadcast(&follower_wanted);
	fb_mutex_unlock(&sched_lock);
}

static bool is_leader(struct fiber_thread *self)
{
	bool leader;

	fb_mutex_lock(&sched_lock);
	leader = self->leader;
	fb_mutex_unlock(&sched_lock);
	return leader;
}

static void lead(struct fiber_thread *self)
{
	do {
		sched_drain();
		if (!is_leader(self))
			break;
		if (idle_work_pending())
			idle_work_run(false);
		if (sched_has_work())
			continue;
		if (poll_calls && poll_calls()) {
			count_event();
			continue;
		}
		if (!receive_call()) {
			stop_all();
			break;
		}
	} while (1);
	/* Whoever leads now may sleep already. */
	idle_work_run(true);
	sched_drain();
}

static void *worker_main(void *unused)
{
	struct fiber_thread self;
	bool stop = false;

	(void)unused;
	fiber_thread_init(&self);
	while (!stop) {
		if (follow(&self, &stop))
			lead(&self);
		else
			sched_drain();
	}
	fb_mutex_lock(&sched_lock);
	if (self.leader) {
		self.leader = false;
		have_leader = false;
	}
	if (leader_thread == &self)
		leader_thread = NULL;
	nr_workers--;
	pthread_cond_broadcast(&worker_gone);
	fb_mutex_unlock(&sched_lock);
	return NULL;
}

void sched_set_poll(bool (*poll)(void))
{
	poll_calls = poll;
}

int sched_start(bool (*receive)(void), bool (*pending)(void))
{
	int err;

	receive_call = receive;
	calls_wait = pending;
	idle_work_sleep(false);
	waiter_set_hook(current_waiter);
	blocking_set_hooks(sched_blocking_begin, sched_blocking_end);
	err = reactor_start();
	if (err)
		return err;
	fb_mutex_lock(&sched_lock);
	wake_follower_locked();
	fb_mutex_unlock(&sched_lock);
	return nr_workers ? 0 : -EAGAIN;
}

void sched_stop(void)
{
	stop_all();
	fb_mutex_lock(&sched_lock);
	while (nr_workers > 0)
		pthread_cond_wait(&worker_gone, &sched_lock.mutex);
	fb_mutex_unlock(&sched_lock);
	reactor_stop();
}

void sched_get_stats(struct sched_stats *ret)
{
	*ret = (struct sched_stats){
		.fibers_run = atomic_load(&stats.fibers_run),
		.wakeups = atomic_load(&stats.wakeups),
		.promotions = atomic_load(&stats.promotions),
		.reactor_wakeups = reactor_wakeups(),
	};
}

#include "sentry/base/idle.h"

#include <pthread.h>
#include <stdatomic.h>

#include "sentry/base/lock.h"
#include "sentry/base/wait.h"

static struct fb_mutex idle_lock = FB_MUTEX_INIT(RANK_SCHED);
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static struct list_node queue = LIST_INIT(queue); /* guarded by idle_lock, oldest first */
static atomic_bool pending;
static atomic_int nr_asleep = 1;

void idle_work_init(struct idle_work *work, void (*fn)(struct idle_work *work))
{
	list_init(&work->node);
	work->due_ns = 0;
	work->fn = fn;
	work->running = 0;
}

static void remove_locked(struct idle_work *work)
{
	list_del(&work->node);
	atomic_store(&pending, !list_empty(&queue));
}

/* Ordered against the look of who is about to sleep: one of the two sees the other. */
bool idle_work_add(struct idle_work *work)
{
	bool added = true;

	fb_mutex_lock(&idle_lock);
	if (list_empty(&work->node)) {
		work->due_ns = clock_monotonic_ns() + IDLE_WORK_NS;
		list_add_tail(&queue, &work->node);
		atomic_store(&pending, true);
	}
	if (atomic_load(&nr_asleep) > 0) {
		remove_locked(work);
		added = false;
	}
	fb_mutex_unlock(&idle_lock);
	return added;
}

void idle_work_cancel(struct idle_work *work)
{
	fb_mutex_lock(&idle_lock);
	if (!list_empty(&work->node))
		remove_locked(work);
	while (work->running)
		pthread_cond_wait(&done, &idle_lock.mutex);
	fb_mutex_unlock(&idle_lock);
}

bool idle_work_pending(void)
{
	return atomic_load_explicit(&pending, memory_order_relaxed);
}

void idle_work_run(bool all)
{
	int64_t now = all ? 0 : clock_monotonic_ns();

	fb_mutex_lock(&idle_lock);
	while (!list_empty(&queue)) {
		struct idle_work *work = list_first(&queue, struct idle_work, node);

		if (!all && work->due_ns > now)
			break;
		remove_locked(work);
		work->running++;
		fb_mutex_unlock(&idle_lock);
		work->fn(work);
		fb_mutex_lock(&idle_lock);
		work->running--;
		pthread_cond_broadcast(&done);
	}
	fb_mutex_unlock(&idle_lock);
}

void idle_work_sleep(bool asleep)
{
	atomic_fetch_add(&nr_asleep, asleep ? 1 : -1);
}

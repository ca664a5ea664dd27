/* Wait queues, sleeping locks and timers, on plain threads. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/wait.h"

static struct fb_mutex mutex = FB_MUTEX_INIT(RANK_PIPE);
static struct waitq queue = WAITQ_INIT(queue);
static int ready, woken;

static void *wait_for_ready(void *mode)
{
	int err = 0;

	fb_mutex_lock(&mutex);
	while (!ready && !err)
		err = waitq_wait(&queue, 0, &mutex, *(enum wait_mode *)mode, WAIT_FOREVER);
	woken++;
	fb_mutex_unlock(&mutex);
	return (void *)(long)err;
}

static void set_ready(void)
{
	fb_mutex_lock(&mutex);
	ready = 1;
	fb_mutex_unlock(&mutex);
	waitq_wake(&queue, 0);
}

Test(base_wait, wake_reaches_every_plain_waiter, .timeout = 120)
{
	enum wait_mode mode = WAIT_UNINTERRUPTIBLE;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_for_ready, &mode);
	set_ready();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(woken, 4);
}

Test(base_wait, deadline_ends_the_wait_with_etimedout, .timeout = 120)
{
	int64_t start = clock_monotonic_ns();
	int err = 0;

	fb_mutex_lock(&mutex);
	while (!err)
		err = waitq_wait(&queue, 0, &mutex, WAIT_INTERRUPTIBLE, start + 20000000);
	fb_mutex_unlock(&mutex);
	cr_assert_eq(err, -ETIMEDOUT);
	cr_assert_geq(clock_monotonic_ns() - start, 20000000);
}

static struct waiter *other;
static atomic_bool published;

static void *publish_and_wait(void *mode)
{
	other = waiter_self();
	atomic_store(&published, true);
	return wait_for_ready(mode);
}

static long interrupt_a_wait(enum wait_mode mode, unsigned why, bool goes_on)
{
	pthread_t thread;
	void *result;

	pthread_create(&thread, NULL, publish_and_wait, &mode);
	while (!atomic_load(&published))
		usleep(100);
	waiter_interrupt(other, why);
	if (goes_on) {
		usleep(20000);
		set_ready();
	}
	pthread_join(thread, &result);
	return (long)result;
}

Test(base_wait, a_signal_ends_an_interruptible_wait, .timeout = 120)
{
	cr_assert_eq(interrupt_a_wait(WAIT_INTERRUPTIBLE, WAITER_SIGNAL, false), -ERESTARTSYS);
}

Test(base_wait, a_signal_does_not_end_a_killable_wait, .timeout = 120)
{
	cr_assert_eq(interrupt_a_wait(WAIT_KILLABLE, WAITER_SIGNAL, true), 0);
}

Test(base_wait, death_ends_a_killable_wait, .timeout = 120)
{
	cr_assert_eq(interrupt_a_wait(WAIT_KILLABLE, WAITER_KILLED, false), -ERESTARTSYS);
}

static atomic_int exclusive_woken;

static void *wait_exclusive(void *unused)
{
	(void)unused;
	fb_mutex_lock(&mutex);
	while (!ready)
		(void)waitq_wait_exclusive(&queue, 0, &mutex, WAIT_UNINTERRUPTIBLE, WAIT_FOREVER);
	ready--;
	fb_mutex_unlock(&mutex);
	atomic_fetch_add(&exclusive_woken, 1);
	return NULL;
}

Test(base_wait, each_wake_lets_one_exclusive_waiter_go, .timeout = 120)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wait_exclusive, NULL);
	for (int i = 0; i < 4; i++) {
		fb_mutex_lock(&mutex);
		ready++;
		fb_mutex_unlock(&mutex);
		waitq_wake(&queue, 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(atomic_load(&exclusive_woken), 4);
}

static void count_wake(struct waitq_entry *entry, unsigned events)
{
	(void)events;
	(*(int *)entry->owner)++;
}

Test(base_wait, an_entry_hears_only_of_its_events)
{
	struct waitq_entry entry;
	int calls = 0;

	waitq_entry_init(&entry, count_wake, &calls);
	entry.events = POLLIN;
	waitq_add(&queue, &entry);
	waitq_wake(&queue, POLLOUT);
	cr_assert_eq(calls, 0);
	waitq_wake(&queue, POLLIN | POLLOUT);
	waitq_wake(&queue, 0);
	cr_assert_eq(calls, 2);
	waitq_del(&entry);
	waitq_wake(&queue, 0);
	cr_assert_eq(calls, 2);
}

/* Two queues: one whose wake-up is meant, one that the waiter has slept on before. */
Test(base_wait, a_mark_hears_only_of_its_entries)
{
	static struct waitq other = WAITQ_INIT(other);
	struct waitq_entry marked, plain;
	struct wait_mark mark;

	wait_mark_init(&mark);
	waitq_entry_init(&marked, waitq_wake_mark, &mark);
	waitq_entry_init(&plain, waitq_wake_waiter, mark.waiter);
	waitq_add(&queue, &marked);
	waitq_add(&other, &plain);
	waitq_wake(&other, 0);
	cr_assert_eq(wait_mark_sleep(&mark, WAIT_INTERRUPTIBLE, clock_monotonic_ns() + 1000000),
		     -ETIMEDOUT);
	waitq_wake(&other, 0);
	waitq_wake(&queue, 0);
	cr_assert_eq(wait_mark_sleep(&mark, WAIT_INTERRUPTIBLE, WAIT_FOREVER), 0);
	waitq_del(&marked);
	waitq_del(&plain);
}

/* Sleeping locks. */

static struct sleep_mutex sleepy;
static struct sleep_rwlock rwlock;
static int counter;

static void *count_under_mutex(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20000; i++) {
		sleep_mutex_lock(&sleepy);
		counter++;
		sleep_mutex_unlock(&sleepy);
	}
	return NULL;
}

Test(base_sleep_mutex, excludes_and_never_loses_a_waiter, .timeout = 120)
{
	pthread_t threads[4];

	sleep_mutex_init(&sleepy);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count_under_mutex, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(counter, 80000);
	cr_assert_not(sleep_mutex_is_locked(&sleepy));
}

static void *count_under_rwlock(void *writer)
{
	for (int i = 0; i < 5000; i++) {
		if (writer) {
			sleep_rwlock_write_lock(&rwlock);
			counter++;
			sleep_rwlock_write_unlock(&rwlock);
		} else {
			sleep_rwlock_read_lock(&rwlock);
			int before = counter;
			cr_assert_eq(before, counter);
			sleep_rwlock_read_unlock(&rwlock);
		}
	}
	return NULL;
}

Test(base_sleep_rwlock, writers_exclude_each_other_and_readers, .timeout = 120)
{
	pthread_t threads[4];

	sleep_rwlock_init(&rwlock);
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count_under_rwlock, (void *)(i & 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(counter, 10000);
}

Test(base_sleep_rwlock, readers_share, .timeout = 120)
{
	sleep_rwlock_init(&rwlock);
	sleep_rwlock_read_lock(&rwlock);
	sleep_rwlock_read_lock(&rwlock);
	sleep_rwlock_read_unlock(&rwlock);
	sleep_rwlock_read_unlock(&rwlock);
	sleep_rwlock_write_lock(&rwlock);
	sleep_rwlock_write_unlock(&rwlock);
}

/* Timers. */

static atomic_int fired_order[3], nr_fired;

struct numbered_timer {
	struct fb_timer timer;
	int number;
};

static void note_fired(struct fb_timer *timer)
{
	int at = atomic_fetch_add(&nr_fired, 1);

	atomic_store(&fired_order[at],
		     container_of(timer, struct numbered_timer, timer)->number);
}

/* A test of deadlines begins anew, with later ones, when the machine was too slow for them. */
#define FIRST_DELAY_NS 20000000

Test(base_timer, timers_fire_in_order_of_their_deadlines, .timeout = 120)
{
	struct numbered_timer timers[3];
	int places[3] = { 3, 1, 2 };
	int64_t now, delay;

	for (int i = 0; i < 3; i++) {
		timers[i].number = i;
		fb_timer_init(&timers[i].timer, note_fired);
	}
	for (delay = FIRST_DELAY_NS;; delay *= 2) {
		now = clock_monotonic_ns();
		for (int i = 0; i < 3; i++)
			fb_timer_arm(&timers[i].timer, now + places[i] * delay);
		if (clock_monotonic_ns() < now + delay)
			break;
		for (int i = 0; i < 3; i++)
			fb_timer_cancel(&timers[i].timer);
		nr_fired = 0;
	}
	while (atomic_load(&nr_fired) < 3)
		usleep(1000);
	cr_assert_eq(fired_order[0], 1);
	cr_assert_eq(fired_order[1], 2);
	cr_assert_eq(fired_order[2], 0);
}

Test(base_timer, a_cancelled_timer_does_not_fire, .timeout = 120)
{
	struct numbered_timer timer = { .number = 0 };
	int64_t deadline, delay = FIRST_DELAY_NS / 2;

	fb_timer_init(&timer.timer, note_fired);
	do {
		delay *= 2;
		nr_fired = 0;
		deadline = clock_monotonic_ns() + delay;
		fb_timer_arm(&timer.timer, deadline);
		fb_timer_cancel(&timer.timer);
	} while (clock_monotonic_ns() >= deadline);
	usleep((useconds_t)(delay / 1000 * 2));
	cr_assert_eq(atomic_load(&nr_fired), 0);
}

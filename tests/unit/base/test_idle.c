/* Work that can wait, and who spins for some. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "sentry/base/idle.h"
#include "sentry/base/wait.h"

static int runs;
static struct idle_work work, other;

static void count(struct idle_work *done)
{
	cr_assert(done == &work || done == &other);
	runs++;
}

static void fresh(void)
{
	runs = 0;
	idle_work_init(&work, count);
	idle_work_init(&other, count);
	idle_work_sleep(false);
}

TestSuite(idle, .init = fresh, .timeout = 120);

Test(idle, it_runs_once_when_there_is_time)
{
	cr_assert(idle_work_add(&work));
	cr_assert(idle_work_add(&work));
	cr_assert(idle_work_pending());
	idle_work_run(true);
	idle_work_run(true);
	cr_assert_eq(runs, 1);
	cr_assert_not(idle_work_pending());
}

Test(idle, whoever_is_busy_for_long_does_it_in_between)
{
	cr_assert(idle_work_add(&work));
	usleep(IDLE_WORK_NS / 1000 + 1000);
	cr_assert(idle_work_add(&other));
	other.due_ns += 3600000000000ll;
	idle_work_run(false);
	cr_assert_eq(runs, 1);
	cr_assert(idle_work_pending());
	idle_work_run(true);
	cr_assert_eq(runs, 2);
}

Test(idle, when_nobody_is_busy_the_caller_does_it)
{
	cr_assert(idle_work_add(&work));
	idle_work_sleep(true);
	cr_assert_not(idle_work_add(&work));
	cr_assert_not(idle_work_pending());
	idle_work_run(true);
	cr_assert_eq(runs, 0);
}

Test(idle, what_is_cancelled_does_not_run)
{
	cr_assert(idle_work_add(&work));
	cr_assert(idle_work_add(&other));
	idle_work_cancel(&work);
	idle_work_cancel(&work);
	idle_work_run(true);
	cr_assert_eq(runs, 1);
}

static atomic_int slow_state;

static void slow(struct idle_work *done)
{
	(void)done;
	atomic_store(&slow_state, 1);
	usleep(20000);
	atomic_store(&slow_state, 2);
}

static void *run_all(void *unused)
{
	idle_work_run(true);
	return unused;
}

Test(idle, a_cancel_waits_for_what_runs)
{
	pthread_t thread;

	idle_work_init(&work, slow);
	cr_assert(idle_work_add(&work));
	cr_assert_eq(pthread_create(&thread, NULL, run_all, NULL), 0);
	while (atomic_load(&slow_state) == 0)
		usleep(100);
	idle_work_cancel(&work);
	cr_assert_eq(atomic_load(&slow_state), 2);
	pthread_join(thread, NULL);
}

/* Waiters that nobody runs: the entries tell. */

static int woken;

static void note(struct waitq_entry *entry, unsigned events)
{
	(void)events;
	woken = *(int *)entry->owner;
}

static void add(struct waitq *queue, struct waitq_entry *entry, int *number, const struct waiter *sleeper)
{
	waitq_entry_init(entry, note, number);
	entry->exclusive = true;
	entry->sleeper = sleeper;
	waitq_add(queue, entry);
}

Test(idle, a_wake_up_goes_to_the_one_that_spins)
{
	struct waitq queue = WAITQ_INIT(queue);
	struct waiter spins = { .spins = true }, sleeps = { .spins = false };
	struct waitq_entry entries[3];
	int numbers[] = { 1, 2, 3 };

	cr_assert_eq(waitq_spinning(&queue), 0);
	add(&queue, &entries[0], &numbers[0], &sleeps);
	cr_assert_eq(waitq_spinning(&queue), 0);
	add(&queue, &entries[1], &numbers[1], &spins);
	add(&queue, &entries[2], &numbers[2], &sleeps);
	cr_assert_eq(waitq_spinning(&queue), 1);
	waitq_wake(&queue, 0);
	cr_assert_eq(woken, 2);
	for (int i = 0; i < 3; i++)
		waitq_del(&entries[i]);
}

/* Fibers on real worker threads, with a receive call of our own in place of a backend. */
#include "sentry/sched/sched.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sentry/base/blocking.h"
#include "sentry/base/lock.h"
#include "sentry/base/wait.h"

static atomic_bool over;
static sem_t events; /* what the leader receives */
static atomic_int received;
static pthread_t leader;

static bool receive(void)
{
	sched_receive_begin();
	while (sem_wait(&events) && errno == EINTR)
		;
	sched_receive_end();
	leader = pthread_self();
	received++;
	return !over;
}

static void setup(void)
{
	sem_init(&events, 0, 0);
	cr_assert_eq(sched_start(receive, NULL), 0);
}

static void teardown(void)
{
	over = true;
	sem_post(&events);
	sched_stop();
}

TestSuite(sched, .init = setup, .fini = teardown, .timeout = 120);

static void sleep_ms(int ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	nanosleep(&ts, NULL);
}

static void spin_until(atomic_int *count, int want)
{
	for (int i = 0; i < 40000 && *count < want; i++)
		sleep_ms(1);
	cr_assert_geq(*count, want, "%d of %d", *count, want);
}

static atomic_int ended;

static struct fb_mutex lock = FB_MUTEX_INIT(RANK_PIPE);
static struct waitq queue = WAITQ_INIT(queue);
static int tokens; /* guarded by lock */
static atomic_int interrupted;

static void take_token(void *exclusive)
{
	int err = 0;

	fb_mutex_lock(&lock);
	while (!err && tokens == 0)
		err = exclusive ? waitq_wait_exclusive(&queue, 0, &lock, WAIT_INTERRUPTIBLE,
						       WAIT_FOREVER)
				: waitq_wait(&queue, 0, &lock, WAIT_INTERRUPTIBLE, WAIT_FOREVER);
	if (err)
		interrupted++;
	else
		tokens--;
	fb_mutex_unlock(&lock);
	ended++;
}

static void give_token(void)
{
	fb_mutex_lock(&lock);
	tokens++;
	waitq_wake(&queue, 0);
	fb_mutex_unlock(&lock);
}

Test(sched, a_thousand_parked_fibers_are_all_woken)
{
	for (int i = 0; i < 1000; i++)
		sched_spawn(take_token, NULL);
	for (int i = 0; i < 1000; i++)
		give_token();
	spin_until(&ended, 1000);
}

Test(sched, each_exclusive_wake_up_reaches_one_that_takes_it)
{
	for (int i = 0; i < 1000; i++)
		sched_spawn(take_token, (void *)1);
	for (int i = 0; i < 1000; i++)
		give_token();
	spin_until(&ended, 1000);
}

static struct waiter *_Atomic victim;

static void take_token_as_victim(void *unused)
{
	victim = waiter_self();
	take_token((void *)1);
}

static void cede(void)
{
	struct timespec ts = { 0, 20000 };

	nanosleep(&ts, NULL);
}

Test(sched, an_exclusive_wake_up_that_a_signal_overtakes_goes_to_another)
{
	for (int round = 0; round < 300; round++) {
		int before = interrupted;

		ended = 0;
		victim = NULL;
		sched_spawn(take_token, (void *)1);
		sched_spawn(take_token_as_victim, NULL); /* the newest: woken first */
		while (!victim)
			cede();
		waiter_interrupt(victim, WAITER_SIGNAL);
		give_token();
		spin_until(&ended, 1);
		if (interrupted == before) /* one has taken it; the other may need its own */
			give_token();
		spin_until(&ended, 2); /* else the other is to take this one */
		fb_mutex_lock(&lock);
		tokens = 0;
		fb_mutex_unlock(&lock);
	}
}

static atomic_int late;

static void nap(void *ms)
{
	int64_t deadline = clock_monotonic_ns() + (intptr_t)ms * 1000000;

	fb_mutex_lock(&lock);
	while (waitq_wait(&queue, 0, &lock, WAIT_INTERRUPTIBLE, deadline) != -ETIMEDOUT)
		;
	fb_mutex_unlock(&lock);
	if (clock_monotonic_ns() < deadline)
		late += 1000;
	ended++;
}

Test(sched, fibers_sleep_until_their_deadlines_whatever_the_order)
{
	for (int i = 0; i < 300; i++)
		sched_spawn(nap, (void *)(intptr_t)(1 + i * 37 % 100));
	spin_until(&ended, 300);
	cr_assert_eq(late, 0);
}

static struct sleep_mutex mutex;
static int shared;

static void lock_often(void *unused)
{
	for (int i = 0; i < 50; i++) {
		sleep_mutex_lock(&mutex);
		int seen = shared;

		fb_mutex_lock(&lock); /* parks under the sleeping lock */
		(void)waitq_wait(&queue, 0, &lock, WAIT_UNINTERRUPTIBLE,
				 clock_monotonic_ns() + 1000);
		fb_mutex_unlock(&lock);
		shared = seen + 1;
		sleep_mutex_unlock(&mutex);
	}
	ended++;
}

Test(sched, a_sleeping_mutex_held_over_a_park_excludes_and_loses_no_waiter)
{
	sleep_mutex_init(&mutex);
	for (int i = 0; i < 40; i++)
		sched_spawn(lock_often, NULL);
	spin_until(&ended, 40);
	cr_assert_eq(shared, 40 * 50);
}

static struct sleep_rwlock rwlock;
static atomic_int readers, writers, wrong;

static void read_or_write(void *writes)
{
	for (int i = 0; i < 30; i++) {
		if (writes) {
			sleep_rwlock_write_lock(&rwlock);
			wrong += writers++ || readers;
		} else {
			sleep_rwlock_read_lock(&rwlock);
			readers++;
			wrong += writers != 0;
		}
		fb_mutex_lock(&lock);
		(void)waitq_wait(&queue, 0, &lock, WAIT_UNINTERRUPTIBLE,
				 clock_monotonic_ns() + 1000);
		fb_mutex_unlock(&lock);
		if (writes) {
			writers--;
			sleep_rwlock_write_unlock(&rwlock);
		} else {
			readers--;
			sleep_rwlock_read_unlock(&rwlock);
		}
	}
	ended++;
}

Test(sched, readers_and_writers_exclude_each_other_and_none_starves)
{
	sleep_rwlock_init(&rwlock);
	for (int i = 0; i < 30; i++)
		sched_spawn(read_or_write, (void *)(intptr_t)(i % 3 == 0));
	spin_until(&ended, 30);
	cr_assert_eq(wrong, 0);
}

static atomic_int release_host;

/* Stands for a host call that hangs. */
static void block_in_host(void *unused)
{
	blocking_begin();
	while (!release_host)
		sleep_ms(1);
	blocking_end();
	ended++;
}

static bool receive_and_block(void)
{
	bool more = receive();

	if (more && received == 1)
		sched_run(block_in_host, NULL);
	return more;
}

static void setup_blocking(void)
{
	sem_init(&events, 0, 0);
	cr_assert_eq(sched_start(receive_and_block, NULL), 0);
}

TestSuite(sched_lead, .init = setup_blocking, .fini = teardown, .timeout = 120);

static void spin_until_tick_is_wanted(bool wanted)
{
	for (int i = 0; i < 40000 && sched_wants_tick() != wanted; i++)
		sleep_ms(1);
	cr_assert_eq(sched_wants_tick(), wanted);
}

Test(sched_lead, a_leader_stuck_in_the_host_is_replaced_and_its_end_does_no_harm)
{
	pthread_t first;

	sem_post(&events);
	spin_until(&received, 1);
	first = leader;
	spin_until_tick_is_wanted(true);
	for (int i = 0; i < 4; i++) {
		sched_tick();
		sleep_ms(2);
	}
	sem_post(&events);
	spin_until(&received, 2);
	cr_assert(!pthread_equal(first, leader));
	release_host = 1;
	spin_until(&ended, 1);
	spin_until_tick_is_wanted(false); /* an idle leader needs none */
	for (int i = 3; i < 100; i++) {
		sem_post(&events);
		spin_until(&received, i);
	}
}

static atomic_int fired;

static void on_ready(struct host_watch *watch, unsigned ready)
{
	if (ready & POLLIN)
		fired++;
}

Test(sched, a_deleted_watch_does_not_fire_and_its_slot_is_used_again)
{
	uint64_t one = 1;

	for (int i = 0; i < 2000; i++) {
		struct host_watch *watch = malloc(sizeof(*watch));
		int fd = eventfd(0, EFD_NONBLOCK), seen;

		cr_assert_eq(host_watch_add(watch, fd, on_ready), 0);
		cr_assert_eq(write(fd, &one, sizeof(one)), (ssize_t)sizeof(one));
		if (i % 2) /* the event may be on its way */
			spin_until(&fired, fired ? fired : 1);
		host_watch_del(watch);
		seen = fired;
		memset(watch, 0xdd, sizeof(*watch));
		free(watch);
		close(fd);
		cr_assert_eq(seen, fired);
	}
}

/* Whether, for 400 ms, no thread wakes up and hardly any processor time is used. */
static bool at_rest(void)
{
	struct sched_stats before, after;
	struct timespec cpu[2];

	sched_get_stats(&before);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[0]);
	sleep_ms(400);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[1]);
	sched_get_stats(&after);
	return before.wakeups == after.wakeups && before.reactor_wakeups == after.reactor_wakeups &&
	       (cpu[1].tv_sec - cpu[0].tv_sec) * 1000000000 + cpu[1].tv_nsec - cpu[0].tv_nsec <
		       20000000;
}

Test(sched, nothing_polls_while_all_fibers_wait)
{
	bool rests = false;

	for (int i = 0; i < 200; i++)
		sched_spawn(take_token, NULL);
	for (int i = 0; i < 50 && !rests; i++)
		rests = at_rest();
	cr_assert(rests);
	for (int i = 0; i < 200; i++)
		give_token();
	spin_until(&ended, 200);
}

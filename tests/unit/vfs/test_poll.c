/* vfs/poll.h: waiting for many files without losing a wake-up. */
#include <pthread.h>

#include "tests/unit/vfs/anon_fixture.h"
#include "vfs/poll.h"

#define MANY 200

/* A file that is ready when it is told to be. */
struct bell {
	struct waitq queue;
	atomic_uint ready;
	atomic_int polled;
};

static unsigned bell_poll(const struct op_ctx *c, struct file *file, struct poll_table *table)
{
	struct bell *bell = file->private;

	poll_wait(table, file, &bell->queue);
	atomic_fetch_add(&bell->polled, 1);
	return atomic_load(&bell->ready);
}

static const struct file_ops bell_ops = { .poll = bell_poll, .no_position = true };
static const struct file_ops plain_ops = { .no_position = true };
static struct bell bells[MANY];
static struct file *files[MANY];
static struct poll_item items[MANY];

static void setup(void)
{
	caller_start();
	for (int n = 0; n < MANY; n++) {
		waitq_init(&bells[n].queue);
		atomic_store(&bells[n].ready, 0);
		files[n] = anon(&bell_ops, &bells[n], O_RDWR, S_IFIFO | 0600);
		items[n] = (struct poll_item){ .file = files[n], .events = POLLIN };
	}
}

static void teardown(void)
{
	for (int n = 0; n < MANY; n++) {
		cr_assert_not(waitq_active(&bells[n].queue), "no entry is left behind");
		file_put(files[n]);
	}
	caller_stop();
}

TestSuite(poll, .init = setup, .fini = teardown, .timeout = 120);

static void ring(int n, unsigned events)
{
	atomic_fetch_or(&bells[n].ready, events);
	waitq_wake(&bells[n].queue, events);
}

Test(poll, ready_items_are_counted_at_once)
{
	ring(1, POLLIN);
	ring(3, POLLIN | POLLOUT);
	cr_assert_eq(vfs_poll_items(&ctx, items, 5, -1), 2);
	cr_assert_eq(items[1].revents, POLLIN);
	cr_assert_eq(items[3].revents, POLLIN);
	cr_assert_eq(items[0].revents, 0);
}

/* Rings while it is being asked, and sleeps before it answers, as a FUSE file does. */
static unsigned napping_poll(const struct op_ctx *c, struct file *file, struct poll_table *table)
{
	int64_t until = clock_monotonic_ns() + 1000000;
	struct waitq never = WAITQ_INIT(never);
	unsigned ready = bell_poll(c, file, table);

	if (ready)
		return ready;
	ring(0, POLLIN);
	while (waitq_wait(&never, 0, NULL, WAIT_UNINTERRUPTIBLE, until) != -ETIMEDOUT)
		;
	return 0;
}

static const struct file_ops napping_ops = { .poll = napping_poll, .no_position = true };

Test(poll, wake_up_while_asking_another_question_is_not_lost)
{
	struct file *file = anon(&napping_ops, &bells[0], O_RDWR, S_IFIFO | 0600);
	struct poll_item item = { .file = file, .events = POLLIN };
	int64_t start = clock_monotonic_ns();

	cr_assert_eq(vfs_poll_items(&ctx, &item, 1, start + 20000000000), 1);
	cr_assert_lt(clock_monotonic_ns() - start, 10000000000);
	file_put(file);
}

Test(poll, errors_are_told_without_being_asked_for)
{
	ring(0, POLLHUP);
	items[0].events = 0;
	cr_assert_eq(vfs_poll_items(&ctx, items, 1, -1), 1);
	cr_assert_eq(items[0].revents, POLLHUP);
}

Test(poll, files_without_a_method_are_always_ready)
{
	struct file *plain = anon(&plain_ops, NULL, O_RDWR, S_IFREG | 0600);
	struct file *place = anon(&plain_ops, NULL, O_PATH, S_IFREG | 0600);
	struct poll_item two[] = { { plain, POLLIN | POLLOUT, 0 }, { place, POLLIN, 0 } };

	cr_assert_eq(vfs_poll_items(&ctx, two, 2, WAIT_FOREVER), 2);
	cr_assert_eq(two[0].revents, POLLIN | POLLOUT);
	cr_assert_eq(two[1].revents, POLLNVAL);
	file_put(plain);
	file_put(place);
}

Test(poll, skipped_items_keep_their_revents)
{
	struct poll_item two[] = { { NULL, POLLIN, POLLNVAL }, { files[0], POLLIN, 0 } };

	cr_assert_eq(vfs_poll_items(&ctx, two, 2, WAIT_FOREVER), 1);
	cr_assert_eq(two[0].revents, POLLNVAL);
}

Test(poll, deadline_ends_the_wait)
{
	int64_t start = clock_monotonic_ns();

	cr_assert_eq(vfs_poll_items(&ctx, items, 2, start + 20000000), 0);
	cr_assert_geq(clock_monotonic_ns() - start, 20000000);
	cr_assert_eq(vfs_poll_items(&ctx, NULL, 0, start), 0);
}

struct poller {
	pthread_t thread;
	struct waiter *_Atomic self;
	int result;
};

static void *poll_thread(void *arg)
{
	struct poller *p = arg;

	p->self = waiter_self();
	p->result = vfs_poll_items(&ctx, items, MANY, WAIT_FOREVER);
	return NULL;
}

static void start_poller(struct poller *p)
{
	*p = (struct poller){ .result = -1 };
	cr_assert_eq(pthread_create(&p->thread, NULL, poll_thread, p), 0);
	/* The last file is asked last: then all entries are queued. */
	while (atomic_load(&bells[MANY - 1].polled) == 0)
		sched_yield();
}

Test(poll, wake_up_of_any_of_many_files_is_heard)
{
	struct poller p;

	start_poller(&p);
	ring(150, POLLIN);
	pthread_join(p.thread, NULL);
	cr_assert_eq(p.result, 1);
	cr_assert_eq(items[150].revents, POLLIN);
}

Test(poll, uninteresting_events_do_not_end_it)
{
	struct poller p;

	start_poller(&p);
	ring(10, POLLOUT);
	ring(20, POLLIN);
	pthread_join(p.thread, NULL);
	cr_assert_eq(p.result, 1);
	cr_assert_eq(items[10].revents, 0);
}

Test(poll, signal_ends_it_with_the_restart_code_of_poll)
{
	struct poller p;

	start_poller(&p);
	waiter_interrupt(p.self, WAITER_SIGNAL);
	pthread_join(p.thread, NULL);
	cr_assert_eq(p.result, -ERESTARTNOHAND);
}

Test(poll, no_wake_up_is_lost_in_a_thousand_rounds)
{
	struct poller p;

	for (int round = 0; round < 1000; round++) {
		atomic_store(&bells[round % MANY].ready, 0);
		atomic_store(&bells[MANY - 1].polled, 0);
		p = (struct poller){ .result = -1 };
		cr_assert_eq(pthread_create(&p.thread, NULL, poll_thread, &p), 0);
		/* Not synchronised: before, between and after its steps. */
		for (int spin = 0; spin < round * 7 % 500; spin++)
			__asm__ volatile("pause");
		ring(round % MANY, POLLIN);
		pthread_join(p.thread, NULL);
		cr_assert_eq(p.result, 1);
		atomic_store(&bells[round % MANY].ready, 0);
	}
}

/* epoll: level, edge, one-shot, nesting, life of items, waiting. */
#include "kinds_support.h"

#include "vfs/file/epoll.h"
#include "vfs/file/eventfd.h"
#include "vfs/file/pipe.h"

TestSuite(epoll, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

#define NOW (-1)

static struct file *ep, *ends[2];
static struct epoll_event events[8];

static void make(void)
{
	cr_assert_eq(epoll_new(&test_ctx, 0, &ep), 0);
	cr_assert_eq(pipe_create(&test_ctx, O_NONBLOCK, ends), 0);
}

static void drop(void)
{
	file_put(ep);
	file_put(ends[0]);
	file_put(ends[1]);
}

static int ctl(struct file *epfile, int op, struct file *file, uint32_t mask)
{
	struct epoll_event event = {.events = mask, .data.u64 = 42};

	return epoll_control(&test_ctx, epfile, op, file, 5, &event);
}

static int collect(int64_t deadline)
{
	return epoll_collect(&test_ctx, ep, events, 8, deadline);
}

static void take(void)
{
	char buf[64];

	cr_assert_gt(get(ends[0], buf, sizeof(buf)), 0);
}

Test(epoll, control_checks_its_arguments)
{
	make();
	cr_assert_eq(ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
	cr_assert_eq(ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN), -EEXIST);
	cr_assert_eq(ctl(ep, EPOLL_CTL_MOD, ends[1], EPOLLIN), -ENOENT);
	cr_assert_eq(ctl(ep, EPOLL_CTL_DEL, ends[1], 0), -ENOENT);
	cr_assert_eq(ctl(ep, 99, ends[0], 0), -EINVAL);
	cr_assert_eq(ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN), -EINVAL);
	cr_assert_eq(ctl(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN), -EINVAL);
	cr_assert_eq(ctl(ep, EPOLL_CTL_ADD, ends[1], EPOLLEXCLUSIVE | EPOLLONESHOT), -EINVAL);
	cr_assert_eq(ctl(ep, EPOLL_CTL_MOD, ends[0], EPOLLEXCLUSIVE | EPOLLIN), -EINVAL);
	cr_assert_eq(epoll_collect(&test_ctx, ep, events, 0, NOW), -EINVAL);
	drop();
}

Test(epoll, level_triggered_tells_until_it_is_read)
{
	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN);
	cr_assert_eq(collect(NOW), 0);
	puts_to(ends[1], "x");
	cr_assert_eq(collect(NOW), 1);
	cr_assert_eq(events[0].events, EPOLLIN);
	cr_assert_eq(events[0].data.u64, 42);
	cr_assert_eq(collect(NOW), 1);
	take();
	cr_assert_eq(collect(NOW), 0);
	drop();
}

Test(epoll, what_is_ready_when_added_is_told)
{
	make();
	puts_to(ends[1], "x");
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
	ctl(ep, EPOLL_CTL_ADD, ends[1], EPOLLOUT);
	cr_assert_eq(collect(NOW), 2);
	drop();
}

Test(epoll, edge_triggered_tells_each_write_once)
{
	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLET);
	puts_to(ends[1], "x");
	cr_assert_eq(collect(NOW), 1);
	cr_assert_eq(collect(NOW), 0);
	puts_to(ends[1], "y"); /* not empty, and still an edge */
	cr_assert_eq(collect(NOW), 1);
	drop();
}

Test(epoll, one_shot_is_silent_until_modified)
{
	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLONESHOT);
	puts_to(ends[1], "x");
	cr_assert_eq(collect(NOW), 1);
	puts_to(ends[1], "x");
	cr_assert_eq(collect(NOW), 0);
	cr_assert_eq(ctl(ep, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT), 0);
	cr_assert_eq(collect(NOW), 1);
	drop();
}

Test(epoll, hang_up_is_told_unasked)
{
	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], 0);
	file_put(ends[1]);
	cr_assert_eq(collect(NOW), 1);
	cr_assert_eq(events[0].events, EPOLLHUP);
	file_put(ends[0]);
	file_put(ep);
}

Test(epoll, closing_a_file_takes_its_items_away)
{
	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN);
	puts_to(ends[1], "x");
	file_put(ends[0]);
	cr_assert_eq(collect(NOW), 0);
	file_put(ends[1]);
	file_put(ep);
}

Test(epoll, one_file_in_two_instances_wakes_both)
{
	struct file *second;

	make();
	epoll_new(&test_ctx, 0, &second);
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE);
	ctl(second, EPOLL_CTL_ADD, ends[0], EPOLLIN);
	puts_to(ends[1], "x");
	cr_assert_eq(collect(NOW), 1);
	cr_assert_eq(epoll_collect(&test_ctx, second, events, 8, NOW), 1);
	file_put(second);
	drop();
}

Test(epoll, few_slots_serve_all_items_in_turn)
{
	struct file *efd[3];
	uint64_t seen = 0;

	make();
	for (unsigned i = 0; i < 3; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};

		eventfd_new(&test_ctx, 1, 0, &efd[i]);
		epoll_control(&test_ctx, ep, EPOLL_CTL_ADD, efd[i], (int)i, &event);
	}
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(epoll_collect(&test_ctx, ep, events, 1, NOW), 1);
		seen |= 1u << events[0].data.u64;
	}
	cr_assert_eq(seen, 7);
	for (int i = 0; i < 3; i++)
		file_put(efd[i]);
	drop();
}

Test(epoll, nested_instance_is_readable_when_its_item_is)
{
	struct file *outer;

	make();
	epoll_new(&test_ctx, 0, &outer);
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN);
	cr_assert_eq(ctl(outer, EPOLL_CTL_ADD, ep, EPOLLIN), 0);
	cr_assert_eq(epoll_collect(&test_ctx, outer, events, 8, NOW), 0);
	puts_to(ends[1], "x");
	cr_assert_eq(poll_now(outer), POLLIN | POLLRDNORM);
	cr_assert_eq(epoll_collect(&test_ctx, outer, events, 8, NOW), 1);
	take();
	cr_assert_eq(epoll_collect(&test_ctx, outer, events, 8, NOW), 0);
	file_put(outer);
	drop();
}

Test(epoll, loops_and_deep_nesting_are_eloop)
{
	struct file *eps[7];
	int depth = 0;

	make();
	for (int i = 0; i < 7; i++)
		epoll_new(&test_ctx, 0, &eps[i]);
	while (depth < 6 && ctl(eps[depth + 1], EPOLL_CTL_ADD, eps[depth], EPOLLIN) == 0)
		depth++;
	cr_assert_eq(depth, 4);
	cr_assert_eq(ctl(eps[0], EPOLL_CTL_ADD, eps[2], EPOLLIN), -ELOOP);
	for (int i = 0; i < 7; i++)
		file_put(eps[i]);
	drop();
}

static ssize_t blocked_collect(struct blocked *self)
{
	struct epoll_event event;

	return epoll_collect(&test_ctx, self->file, &event, 1, WAIT_FOREVER);
}

Test(epoll, wait_ends_with_an_event)
{
	struct blocked waiter = {.call = blocked_collect};

	make();
	ctl(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN);
	waiter.file = ep;
	blocked_start(&waiter);
	puts_to(ends[1], "x");
	cr_assert_eq(blocked_join(&waiter), 1);
	drop();
}

Test(epoll, wait_sees_an_item_added_meanwhile)
{
	struct blocked waiter = {.call = blocked_collect};

	make();
	waiter.file = ep;
	blocked_start(&waiter);
	ctl(ep, EPOLL_CTL_ADD, ends[1], EPOLLOUT);
	cr_assert_eq(blocked_join(&waiter), 1);
	drop();
}

Test(epoll, wait_ends_at_the_deadline_and_with_eintr)
{
	struct blocked waiter = {.call = blocked_collect};

	make();
	cr_assert_eq(collect(clock_monotonic_ns() + 5000000), 0);
	waiter.file = ep;
	blocked_start(&waiter);
	blocked_interrupt(&waiter);
	cr_assert_eq(blocked_join(&waiter), -EINTR);
	drop();
}

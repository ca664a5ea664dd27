/* timerfd: one-shot, interval, absolute times, disarming, errors. */
#include "kinds_support.h"

#include <sys/timerfd.h>

#include "vfs/file/timerfd.h"

TestSuite(timerfd, .init = kinds_init, .fini = kinds_fini, .timeout = 120);

#define MS 1000000L

static struct file *make(int clockid, unsigned flags)
{
	struct file *file;

	cr_assert_eq(timerfd_new(&test_ctx, clockid, flags, &file), 0);
	return file;
}

static void arm(struct file *file, unsigned flags, int64_t value_ns, int64_t interval_ns)
{
	struct itimerspec value = {
		.it_value = {value_ns / 1000000000, value_ns % 1000000000},
		.it_interval = {interval_ns / 1000000000, interval_ns % 1000000000},
	};

	cr_assert_eq(timerfd_arm(file, flags, &value, NULL), 0);
}

static uint64_t take(struct file *file)
{
	uint64_t ticks = 0;

	cr_assert_eq(get(file, &ticks, sizeof(ticks)), 8);
	return ticks;
}

Test(timerfd, one_shot_expires_once_and_not_early)
{
	struct file *file = make(CLOCK_MONOTONIC, 0);
	int64_t before = clock_monotonic_ns();
	struct itimerspec left;

	arm(file, 0, 1000000 * MS, 0);
	cr_assert_eq(poll_now(file), 0);
	arm(file, 0, 20 * MS, 0);
	cr_assert_eq(take(file), 1);
	cr_assert_geq(clock_monotonic_ns() - before, 20 * MS);
	cr_assert_eq(timerfd_setting(file, &left), 0);
	cr_assert_eq(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
	file_put(file);
}

Test(timerfd, interval_counts_what_nobody_read)
{
	struct file *file = make(CLOCK_MONOTONIC, 0);
	struct poll_item item = {file, POLLIN, 0};

	arm(file, 0, 1 * MS, 1 * MS);
	cr_assert_eq(vfs_poll_items(&test_ctx, &item, 1, WAIT_FOREVER), 1);
	item.file = make(CLOCK_MONOTONIC, 0);
	arm(item.file, 0, 30 * MS, 0);
	item.events = POLLIN;
	cr_assert_eq(vfs_poll_items(&test_ctx, &item, 1, WAIT_FOREVER), 1);
	cr_assert_geq(take(file), 20);
	cr_assert_geq(take(file), 1, "it goes on");
	file_put(item.file);
	file_put(file);
}

Test(timerfd, absolute_time_in_the_past_expires_at_once)
{
	static const int clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};

	for (int i = 0; i < 3; i++) {
		struct file *file = make(clocks[i], 0);

		arm(file, TFD_TIMER_ABSTIME, 1, 0);
		cr_assert_eq(take(file), 1);
		file_put(file);
	}
}

Test(timerfd, absolute_realtime_expires_when_it_is_due)
{
	struct file *file = make(CLOCK_REALTIME, 0);
	int64_t at = clock_realtime_ns() + 20 * MS;

	arm(file, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, at, 0);
	cr_assert_eq(take(file), 1);
	cr_assert_geq(clock_realtime_ns(), at);
	file_put(file);
}

Test(timerfd, zero_disarms_and_the_old_setting_is_returned)
{
	struct file *file = make(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec zero = {0}, old;
	uint64_t ticks;

	arm(file, 0, 100000 * MS, 5 * MS);
	cr_assert_eq(timerfd_arm(file, 0, &zero, &old), 0);
	cr_assert_eq(old.it_interval.tv_nsec, 5 * MS);
	cr_assert(old.it_value.tv_sec > 0 && old.it_value.tv_sec <= 100);
	cr_assert_eq(get(file, &ticks, 8), -EAGAIN);
	file_put(file);
}

Test(timerfd, errors_are_those_of_the_manual)
{
	struct file *file = make(CLOCK_MONOTONIC, TFD_NONBLOCK), *none;
	struct itimerspec bad = {.it_value = {0, 1000000000}};
	char buf[7];

	cr_assert_eq(timerfd_arm(file, 0, &bad, NULL), -EINVAL);
	bad.it_value.tv_nsec = 0;
	cr_assert_eq(timerfd_arm(file, 0x100, &bad, NULL), -EINVAL);
	cr_assert_eq(get(file, buf, 7), -EINVAL);
	cr_assert_eq(timerfd_new(&test_ctx, CLOCK_PROCESS_CPUTIME_ID, 0, &none), -EINVAL);
	cr_assert_eq(timerfd_new(&test_ctx, CLOCK_REALTIME_ALARM, 0, &none), -EPERM);
	cr_assert_eq(timerfd_new(&test_ctx, CLOCK_MONOTONIC, 1, &none), -EINVAL);
	file_put(file);
}

/* The relay between a host terminal and ours. The host terminal is a pseudo-terminal, too. */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "sentry/console.h"
#include "sentry/sched/sched.h"
#include "tests/unit/vfs/dev_world.h"

static int user, line; /* the two ends of the host's terminal */
static struct file *slave;
static struct termios before;
static sem_t stop;

/* There are no guests: the leader waits for the end of the test. */
static bool receive(void)
{
	while (sem_wait(&stop))
		;
	return false;
}

static void open_host_terminal(void)
{
	user = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (user < 0 || grantpt(user) || unlockpt(user))
		cr_skip_test("the host gives no pseudo-terminal");
	line = open(ptsname(user), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(line, 0);
	cr_assert_eq(tcgetattr(line, &before), 0);
}

static void console_init(void)
{
	const struct winsize size = {.ws_row = 33, .ws_col = 77};

	sem_init(&stop, 0, 0);
	world_init();
	open_host_terminal();
	cr_assert_eq(ioctl(user, TIOCSWINSZ, &size), 0);
	cr_assert_eq(console_open(&ctx, line, line, &slave), 0);
	console_set_session(77);
}

static void start(void)
{
	cr_assert_eq(sched_start(receive, NULL), 0);
	cr_assert_eq(console_start(), 0);
}

static void finish(void)
{
	sem_post(&stop);
	sched_stop();
}

TestSuite(console, .init = console_init, .timeout = 120);

/* What the user sees, up to and including `end`. */
static void expect_screen(const char *text)
{
	char seen[256] = "";
	size_t len = 0;

	while (len < strlen(text)) {
		struct pollfd item = {.fd = user, .events = POLLIN};
		ssize_t got;

		cr_assert_eq(poll(&item, 1, 5000), 1, "only '%s'", seen);
		got = read(user, seen + len, sizeof(seen) - 1 - len);
		cr_assert_gt(got, 0);
		len += (size_t)got;
	}
	cr_expect_str_eq(seen, text);
}

Test(console, relays_typing_and_output_and_gives_the_terminal_back)
{
	struct termios during, after;
	char buf[16] = "";

	cr_assert_eq(tcgetattr(line, &during), 0);
	cr_expect_not(during.c_lflag & (ICANON | ECHO | ISIG));
	start();
	cr_assert_eq(write(user, "hi\r", 3), 3);
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), 3);
	cr_expect_str_eq(buf, "hi\n");
	expect_screen("hi\r\n");
	cr_assert_eq(world_write(slave, "out\n", 4), 4);
	expect_screen("out\r\n");
	finish();
	console_restore();
	cr_assert_eq(tcgetattr(line, &after), 0);
	cr_expect_eq(after.c_lflag, before.c_lflag);
	cr_expect_eq(after.c_oflag, before.c_oflag);
}

Test(console, flush_writes_what_was_left_behind)
{
	cr_assert_eq(world_write(slave, "last words\n", 11), 11);
	console_flush();
	expect_screen("last words\r\n");
}

Test(console, is_the_controlling_terminal_of_the_first_session)
{
	struct tty *tty = tty_of_session(77);

	cr_expect_eq(tty, tty_of_file(slave));
	tty_put(tty);
	file_put(world_open("/dev/console", O_RDWR));
}

Test(console, follows_the_window)
{
	const struct winsize size = {.ws_row = 50, .ws_col = 132};
	struct tty *tty = tty_of_file(slave);
	unsigned rows = 0;

	cr_expect_eq(tty->winsize.row, 33);
	cr_expect_eq(tty->winsize.col, 77);
	start();
	cr_assert_eq(ioctl(user, TIOCSWINSZ, &size), 0);
	raise(SIGWINCH);
	while (rows != 50) {
		fb_mutex_lock(&tty->lock);
		rows = tty->winsize.row;
		fb_mutex_unlock(&tty->lock);
		sched_yield();
	}
	finish();
}

static void *read_to_end(void *result)
{
	char buf[16];

	*(ssize_t *)result = world_read(slave, buf, sizeof(buf));
	return NULL;
}

Test(console, a_closed_window_is_a_hangup)
{
	pthread_t thread;
	ssize_t result = 1;

	start();
	pthread_create(&thread, NULL, read_to_end, &result);
	close(user);
	pthread_join(thread, NULL);
	cr_expect(result == 0 || result == -EIO, "%zd", result);
	finish();
}

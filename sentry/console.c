/*
 * The relay between the host's terminal and ours: two fibers, one per direction, that read and
 * write in plain blocking style. What the host has to say (bytes, room, a new window size) comes
 * through the reactor and wakes them.
 *
 * The host descriptors are opened afresh where the host lets us, because O_NONBLOCK on the
 * inherited ones would be set for the shell that started us as well. Where it does not, poll(2)
 * goes before every read and write.
 */
#include "sentry/console.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/log.h"
#include "sentry/sched/sched.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/namei.h"
#include "vfs/tty/tty.h"

#define CHUNK_BYTES	 4096
#define FLUSH_TIMEOUT_MS 5000 /* a terminal that takes nothing any more is given up */

static struct {
	struct tty *tty;       /* counted; NULL = no console */
	struct file *master;   /* counted */
	struct file *slave;    /* counted: the terminal never looks closed to its master */
	int host_in, host_out; /* ours */
	int winch_eventfd;
	bool started;
	struct fiber
		*fibers[2]; /* they wait when the run ends; named so that no tool misses them */
	struct host_watch in_watch, out_watch, winch_watch;
	struct waitq in_wait, out_wait; /* the two fibers */
	struct fb_mutex lock;		/* RANK_LEAF: guards the two flags */
	bool in_ready, out_ready, winch;
	unsigned char out[CHUNK_BYTES]; /* of the output fiber, and of flush after it */
	size_t out_len, out_off;
} console = {.host_in = -1, .host_out = -1, .winch_eventfd = -1};

/* For signal handlers and atexit. */
static struct termios saved_termios, raw_termios;
static int raw_hostfd = -1;
static volatile sig_atomic_t is_raw;
static volatile sig_atomic_t winch_hostfd = -1;

/* The master belongs to no guest. */
static const struct op_ctx no_ctx = {.fsize_limit = UINT64_MAX};

/* ---- the host terminal ---- */

void console_restore(void)
{
	int saved = errno;

	if (is_raw) {
		is_raw = 0;
		(void)tcsetattr(raw_hostfd, TCSADRAIN, &saved_termios);
	}
	errno = saved;
}

static int make_raw(int hostfd)
{
	long err = HOST(tcgetattr(hostfd, &saved_termios));

	if (err)
		return (int)err;
	raw_termios = saved_termios;
	cfmakeraw(&raw_termios);
	raw_hostfd = hostfd;
	err = HOST(tcsetattr(hostfd, TCSADRAIN, &raw_termios));
	is_raw = err == 0;
	return (int)err;
}

static void on_winch(int signo)
{
	uint64_t one = 1;
	int saved = errno;

	(void)signo;
	if (write(winch_hostfd, &one, sizeof(one)) < 0) {
		/* full: the relay will look anyway */
	}
	errno = saved;
}

/* The shell has reset the terminal while we were stopped. */
static void on_cont(int signo)
{
	int saved = errno;

	if (is_raw)
		(void)tcsetattr(raw_hostfd, TCSADRAIN, &raw_termios);
	errno = saved;
	on_winch(signo);
}

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define NR_FATAL (sizeof(fatal_signals) / sizeof(fatal_signals[0]))
static struct sigaction old_fatal[NR_FATAL];

/* A crash of ours: give the terminal back, then let the signal do what it did before. */
static void on_fatal(int signo)
{
	console_restore();
	for (size_t i = 0; i < NR_FATAL; i++)
		if (fatal_signals[i] == signo)
			(void)sigaction(signo, &old_fatal[i], NULL);
}

static void install_signals(void)
{
	struct sigaction sa = {.sa_handler = on_fatal};

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < NR_FATAL; i++)
		(void)sigaction(fatal_signals[i], &sa, &old_fatal[i]);
	sa.sa_flags = SA_RESTART;
	sa.sa_handler = on_winch;
	(void)sigaction(SIGWINCH, &sa, NULL);
	sa.sa_handler = on_cont;
	(void)sigaction(SIGCONT, &sa, NULL);
}

/* A description of our own, non-blocking; else a copy of the shared one. */
static int open_host(int hostfd)
{
	char path[48];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", hostfd);
	own = (int)HOST(open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
	if (own < 0)
		own = (int)HOST(fcntl(hostfd, F_DUPFD_CLOEXEC, 3));
	return own;
}

static void copy_winsize(void)
{
	struct tty_winsize winsize;
	struct winsize host;

	if (HOST(ioctl(console.host_out, TIOCGWINSZ, &host)))
		return;
	winsize = (struct tty_winsize){host.ws_row, host.ws_col, host.ws_xpixel, host.ws_ypixel};
	tty_set_winsize(console.tty, &winsize);
}

/* Does the host descriptor take or give bytes now, without blocking? */
static bool host_ready(int hostfd, short events, int timeout_ms)
{
	struct pollfd item = {.fd = hostfd, .events = events};

	return HOST(poll(&item, 1, timeout_ms)) > 0;
}

/* ---- from the host ---- */

static void set_flag(bool *flag, struct waitq *queue)
{
	fb_mutex_lock(&console.lock);
	*flag = true;
	fb_mutex_unlock(&console.lock);
	waitq_wake(queue, 0);
}

static void in_watch_ready(struct host_watch *watch, unsigned events)
{
	(void)watch;
	if (events & (POLLIN | POLLHUP | POLLERR))
		set_flag(&console.in_ready, &console.in_wait);
}

static void out_watch_ready(struct host_watch *watch, unsigned events)
{
	(void)watch;
	if (events & (POLLOUT | POLLHUP | POLLERR))
		set_flag(&console.out_ready, &console.out_wait);
}

static void winch_ready(struct host_watch *watch, unsigned events)
{
	uint64_t count;

	(void)watch;
	(void)events;
	if (HOST(read(console.winch_eventfd, &count, sizeof(count))) > 0)
		set_flag(&console.winch, &console.in_wait);
}

/* Typed bytes to the master. False: the terminal is gone. */
static bool relay_input(void)
{
	unsigned char chunk[512];
	struct io_iter iter;
	ssize_t got;

	while (host_ready(console.host_in, POLLIN, 0)) {
		got = HOST(read(console.host_in, chunk, sizeof(chunk)));
		if (got == -EAGAIN || got == -EINTR)
			return true;
		if (got <= 0)
			return false;
		iter_init_mem(&iter, chunk, (size_t)got);
		(void)console.master->op->write_iter(&no_ctx, console.master, &iter, NULL, 0);
	}
	return true;
}

static void input_main(void *unused)
{
	bool alive = true, ready, winch;

	(void)unused;
	console.fibers[0] = fiber_current();
	while (alive) {
		fb_mutex_lock(&console.lock);
		while (!console.in_ready && !console.winch)
			(void)waitq_wait(&console.in_wait, 0, &console.lock, WAIT_UNINTERRUPTIBLE,
					 WAIT_FOREVER);
		ready = console.in_ready;
		winch = console.winch;
		console.in_ready = console.winch = false;
		fb_mutex_unlock(&console.lock);
		if (winch)
			copy_winsize();
		if (ready)
			alive = relay_input();
	}
	/* The user has closed the window: to the guests the line has gone dead. */
	tty_hangup(console.tty);
}

/* ---- to the host ---- */

/* Writes what is in console.out as far as the host takes it. */
static void write_out(void)
{
	while (console.out_off < console.out_len && host_ready(console.host_out, POLLOUT, 0)) {
		long put = HOST(write(console.host_out, console.out + console.out_off,
				      console.out_len - console.out_off));

		if (put == -EAGAIN || put == -EINTR)
			return;
		/* A terminal that is gone takes everything. */
		console.out_off = put < 0 ? console.out_len : console.out_off + (size_t)put;
	}
}

/* The next bytes of the master into console.out; false: none (only when nothing blocks). */
static bool fill_out(int rwf)
{
	struct io_iter iter;
	ssize_t got;

	iter_init_mem(&iter, console.out, sizeof(console.out));
	got = console.master->op->read_iter(&no_ctx, console.master, &iter, NULL, rwf);
	console.out_off = 0;
	console.out_len = got > 0 ? (size_t)got : 0;
	return got > 0;
}

static void output_main(void *unused)
{
	(void)unused;
	console.fibers[1] = fiber_current();
	while (fill_out(0)) {
		write_out();
		while (console.out_off < console.out_len) {
			fb_mutex_lock(&console.lock);
			while (!console.out_ready)
				(void)waitq_wait(&console.out_wait, 0, &console.lock,
						 WAIT_UNINTERRUPTIBLE, WAIT_FOREVER);
			console.out_ready = false;
			fb_mutex_unlock(&console.lock);
			write_out();
		}
	}
}

void console_flush(void)
{
	if (!console.tty)
		return;
	do {
		while (console.out_off < console.out_len) {
			if (!host_ready(console.host_out, POLLOUT, FLUSH_TIMEOUT_MS))
				return;
			write_out();
		}
	} while (fill_out(RWF_NOWAIT));
}

/* ---- set-up ---- */

static int open_pair(const struct op_ctx *ctx)
{
	const struct open_args args = {.flags = O_RDWR | O_NOCTTY};
	char name[32];
	struct path path;
	int err = vfs_open(ctx, NULL, "/dev/ptmx", &args, &console.master);

	if (err)
		return err;
	console.tty = tty_get(tty_of_file(console.master));
	fb_mutex_lock(&console.tty->lock);
	console.tty->locked = false;
	fb_mutex_unlock(&console.tty->lock);
	snprintf(name, sizeof(name), "%d", console.tty->index);
	err = path_lookup(ctx, &console.tty->fs_root, name, 0, &path);
	if (err)
		return err;
	err = vfs_open_path(ctx, &path, O_RDWR | O_NOCTTY, &console.slave);
	path_put(&path);
	return err;
}

static void close_all(void)
{
	file_put(console.slave);
	file_put(console.master);
	tty_put(console.tty);
	if (console.host_in >= 0)
		(void)close(console.host_in);
	if (console.host_out >= 0)
		(void)close(console.host_out);
	if (console.winch_eventfd >= 0)
		(void)close(console.winch_eventfd);
	console.slave = console.master = NULL;
	console.tty = NULL;
	console.host_in = console.host_out = console.winch_eventfd = -1;
}

/* The guests' terminal starts with the modes the user has set on the real one. */
static void copy_termios(void)
{
	struct tty_termios *to = &console.tty->termios;

	fb_mutex_lock(&console.tty->lock);
	to->iflag = saved_termios.c_iflag;
	to->oflag = saved_termios.c_oflag;
	to->cflag = saved_termios.c_cflag;
	to->lflag = saved_termios.c_lflag;
	memcpy(to->cc, saved_termios.c_cc, sizeof(to->cc));
	fb_mutex_unlock(&console.tty->lock);
}

int console_open(const struct op_ctx *ctx, int host_in, int host_out, struct file **ret_slave)
{
	int err;

	fb_assert(!console.tty);
	fb_mutex_init(&console.lock, RANK_LEAF);
	waitq_init(&console.in_wait);
	waitq_init(&console.out_wait);
	err = open_pair(ctx);
	if (err)
		goto out_close;
	console.host_in = open_host(host_in);
	console.host_out = open_host(host_out);
	console.winch_eventfd = (int)HOST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	err = console.host_in < 0	  ? console.host_in
	      : console.host_out < 0	  ? console.host_out
	      : console.winch_eventfd < 0 ? console.winch_eventfd
					  : make_raw(console.host_in);
	if (err)
		goto out_close;
	winch_hostfd = console.winch_eventfd;
	copy_termios();
	copy_winsize();
	(void)atexit(console_restore);
	tty_set_console(console.tty);
	*ret_slave = file_get(console.slave);
	return 0;
out_close:
	close_all();
	return err;
}

void console_set_session(pid_t guest_sid)
{
	if (console.tty && guest_sid > 0)
		tty_set_session(console.tty, guest_sid, guest_sid);
}

int console_start(void)
{
	int err;

	if (!console.tty || console.started)
		return 0;
	err = host_watch_add(&console.in_watch, console.host_in, in_watch_ready);
	if (!err)
		err = host_watch_add(&console.out_watch, console.host_out, out_watch_ready);
	if (!err)
		err = host_watch_add(&console.winch_watch, console.winch_eventfd, winch_ready);
	if (err)
		return err;
	console.started = true;
	/* Not earlier: the children of the launch would inherit the handlers. */
	install_signals();
	copy_winsize();
	set_flag(&console.in_ready, &console.in_wait); /* typed before we watched */
	sched_spawn(input_main, NULL);
	sched_spawn(output_main, NULL);
	return 0;
}

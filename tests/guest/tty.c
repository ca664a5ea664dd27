/* Pseudo-terminals: line editing, modes, packet mode, hang-up, sessions and job control. */
#include "report.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master, slave;

static void show_bytes(const char *what, const unsigned char *buf, ssize_t len)
{
	printf("%s: ", what);
	if (len < 0)
		printf("%s", result_text(-1));
	for (ssize_t i = 0; i < len; i++)
		printf(buf[i] > 32 && buf[i] < 127 ? "%c" : "<%02x>", buf[i]);
	printf(len == 0 ? "(nothing)\n" : "\n");
}

/* What is there within a moment; nothing is an answer, too. */
static void show_read(const char *what, int fd, int timeout_ms)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	unsigned char buf[512];

	if (poll(&item, 1, timeout_ms) == 0) {
		printf("%s: not readable\n", what);
		return;
	}
	errno = 0;
	show_bytes(what, buf, read(fd, buf, sizeof(buf)));
}

static void open_pair(void)
{
	char name[64];

	master = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY));
	MUST(grantpt(master));
	MUST(unlockpt(master));
	MUST(ptsname_r(master, name, sizeof(name)) ? -1 : 0);
	slave = MUST(open(name, O_RDWR | O_NOCTTY));
}

static void close_pair(void)
{
	close(slave);
	close(master);
}

static void type(const char *keys)
{
	MUST(write(master, keys, strlen(keys)));
}

static void line_editing(void)
{
	static const char *const rows[] = {"hello\r",	 "hellx\177o\r", "one two\027x\r",
					   "abc\025d\r", "a\026\003b\r", "a\tb\177\177c\r",
					   "ab\022c\r",	 "end\004"};

	open_pair();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		type(rows[i]);
		show_read("line", slave, 2000);
		show_read("screen", master, 2000);
	}
	type("unfinished");
	show_read("unfinished line", slave, 100);
	close_pair();
}

static void raw_mode(void)
{
	struct termios termios;

	open_pair();
	MUST(tcgetattr(slave, &termios));
	printf("default modes %o %o %o %o\n", termios.c_iflag, termios.c_oflag, termios.c_cflag,
	       termios.c_lflag);
	cfmakeraw(&termios);
	termios.c_cc[VMIN] = 3;
	TRY(tcsetattr(slave, TCSAFLUSH, &termios));
	type("ab");
	show_read("raw, too few", slave, 100);
	type("\003");
	show_read("raw", slave, 2000);
	MUST(write(slave, "x\n", 2));
	show_read("raw screen", master, 2000);
	termios.c_cc[VMIN] = 0;
	termios.c_cc[VTIME] = 1;
	MUST(tcsetattr(slave, TCSANOW, &termios));
	{
		char byte;

		TRY(read(slave, &byte, 1));
	}
	close_pair();
}

static void small_calls(void)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80}, got = {0};
	int value = 0, on = 1;
	pid_t pid;

	open_pair();
	TRY(ioctl(master, TIOCSWINSZ, &size));
	TRY(ioctl(slave, TIOCGWINSZ, &got));
	printf("window %d %d\n", got.ws_row, got.ws_col);
	TRY(isatty(slave));
	TRY(lseek(slave, 0, SEEK_SET));
	TRY(ioctl(slave, TIOCGPGRP, &pid));
	TRY(ioctl(master, TIOCGPGRP, &pid));
	TRY(ioctl(slave, TIOCPKT, &on));
	TRY(ioctl(slave, TIOCMGET, &value));
	TRY(ioctl(slave, TIOCSETD, &on));
	TRY(ioctl(slave, TCFLSH, 7));
	TRY(ioctl(slave, 0x1234, &on));
	MUST(write(slave, "four", 4));
	MUST(poll(&(struct pollfd){.fd = master, .events = POLLIN}, 1, 2000));
	TRY(ioctl(master, FIONREAD, &value));
	printf("FIONREAD %d\n", value);
	TRY(ioctl(master, TIOCPKT, &on));
	show_read("packet data", master, 2000);
	MUST(tcflush(slave, TCIFLUSH));
	show_read("packet flush", master, 2000);
	MUST(tcflow(slave, TCOOFF));
	show_read("packet stop", master, 2000);
	MUST(tcflow(slave, TCOON));
	show_read("packet start", master, 2000);
	SHOW_FD("TIOCGPTPEER", ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	close_pair();
	closefrom(3);
}

static void hang_up(void)
{
	struct pollfd item;
	struct termios termios;
	char byte;

	open_pair();
	MUST(write(slave, "bye", 3));
	close(slave);
	show_read("last words", master, 2000);
	TRY(read(master, &byte, 1));
	item = (struct pollfd){.fd = master, .events = POLLIN | POLLOUT};
	MUST(poll(&item, 1, 0));
	CHECK(item.revents & POLLHUP);
	close(master);
	open_pair();
	close(master);
	TRY(read(slave, &byte, 1));
	TRY(write(slave, "x", 1));
	TRY(tcgetattr(slave, &termios));
	item = (struct pollfd){.fd = slave, .events = POLLIN | POLLOUT};
	MUST(poll(&item, 1, 0));
	printf("dead slave polls %x\n", item.revents);
	close(slave);
}

/* ---- sessions ---- */

static volatile sig_atomic_t caught;

static void on_signal(int signo)
{
	caught = signo;
}

static void catch (int signo)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(signo, &sa, NULL);
}

static void wait_caught(const char *what, int signo)
{
	for (int i = 0; i < 5000 && caught != signo; i++)
		usleep(10000);
	printf("%s: %s\n", what, caught == signo ? "caught" : "NOT caught");
	caught = 0;
}

static void background_child(void)
{
	char byte;
	int status;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		setpgid(0, 0);
		(void)!read(slave, &byte, 1);
		_exit(0);
	}
	setpgid(pid, pid);
	MUST(waitpid(pid, &status, WUNTRACED));
	printf("background read: %s %d\n", WIFSTOPPED(status) ? "stopped" : "not stopped",
	       WIFSTOPPED(status) ? WSTOPSIG(status) : 0);
	signal(SIGTTOU, SIG_IGN);
	TRY(tcsetpgrp(slave, pid));
	MUST(kill(-pid, SIGCONT));
	type("z\r");
	MUST(waitpid(pid, &status, WUNTRACED));
	printf("in the foreground it reads: %s\n", WIFEXITED(status) ? "yes" : "NO");
	TRY(tcsetpgrp(slave, getpgrp()));
	pid = MUST(fork());
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGTTIN, SIG_IGN);
		_exit(read(slave, &byte, 1) < 0 ? errno : 0);
	}
	MUST(waitpid(pid, &status, 0));
	printf("background read with SIGTTIN ignored: %s\n",
	       WEXITSTATUS(status) == EIO ? "EIO" : "other");
}

static void leader(void)
{
	struct winsize size = {.ws_row = 1, .ws_col = 2};
	pid_t pid = 0;
	int fd;

	MUST(setsid());
	SHOW_FD("open /dev/tty without a terminal", open("/dev/tty", O_RDWR));
	open_pair();
	TRY(ioctl(slave, TIOCSCTTY, 0));
	fd = SHOW_FD("open /dev/tty", open("/dev/tty", O_RDWR));
	close(fd);
	TRY(ioctl(slave, TIOCGSID, &pid));
	CHECK(pid == getpid());
	CHECK(tcgetpgrp(slave) == getpgrp());
	catch (SIGINT);
	catch (SIGQUIT);
	catch (SIGWINCH);
	catch (SIGHUP);
	type("\003");
	wait_caught("^C", SIGINT);
	type("\034");
	wait_caught("^\\", SIGQUIT);
	MUST(ioctl(slave, TIOCSWINSZ, &size));
	wait_caught("new size", SIGWINCH);
	SHOW("foreground group that is none", tcsetpgrp(slave, 1 << 21));
	tcflush(slave, TCIOFLUSH);
	background_child();
	close(master);
	wait_caught("hang-up", SIGHUP);
	SHOW_FD("open /dev/tty after the hang-up", open("/dev/tty", O_RDWR));
	exit(0);
}

int main(void)
{
	int status;
	pid_t pid;

	line_editing();
	raw_mode();
	small_calls();
	hang_up();
	fflush(stdout);
	pid = MUST(fork());
	if (pid == 0)
		leader();
	MUST(waitpid(pid, &status, 0));
	printf("leader ended with %x\n", status);
	return 0;
}

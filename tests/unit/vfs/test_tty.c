/*
 * Terminals. What the line discipline does with keys was compared with a native pseudo-terminal,
 * row by row; here the expected bytes are written down.
 */
#include <pthread.h>
#include <signal.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "tests/unit/vfs/dev_world.h"
#include "vfs/tasks.h"

static struct file *master, *slave;
static struct tty *tty;

static long tty_call(struct file *file, unsigned cmd, const void *arg)
{
	return vfs_ioctl(&ctx, file, cmd, (uint64_t)(uintptr_t)arg);
}

static void pair_init(void)
{
	char name[32];
	int index, zero = 0;

	world_init();
	master = world_open("/dev/ptmx", O_RDWR | O_NOCTTY);
	cr_assert_eq(tty_call(master, TIOCGPTN, &index), 0);
	cr_assert_eq(tty_call(master, TIOCSPTLCK, &zero), 0);
	snprintf(name, sizeof(name), "/dev/pts/%d", index);
	slave = world_open(name, O_RDWR | O_NOCTTY);
	tty = tty_of_file(master);
	cr_assert_eq(tty_of_file(slave), tty);
}

static void pair_fini(void)
{
	file_put(slave);
	file_put(master);
	world_fini();
}

TestSuite(tty, .init = pair_init, .fini = pair_fini, .timeout = 120);
TestSuite(devpts, .init = world_init, .fini = world_fini, .timeout = 120);

/* ---- fake processes: ctx is 100 in session 100; group 200 is in session 100, too ---- */

static struct {
	pid_t pgrp;
	int signo, count;
} sent[8];
static int nr_sent;
static pid_t my_sid = 100, my_pgid = 100;
static bool ignored, orphaned;
static struct waiter *interrupt_on_signal;

static int fake_signal(pid_t pgid, int signo)
{
	if (nr_sent < 8) {
		sent[nr_sent].pgrp = pgid;
		sent[nr_sent++].signo = signo;
	}
	if (interrupt_on_signal)
		waiter_interrupt(interrupt_on_signal, WAITER_SIGNAL);
	return 0;
}

static pid_t fake_sid(pid_t pid)
{
	return pid == ctx.tgid ? my_sid : 0;
}

static pid_t fake_pgid(pid_t pid)
{
	return pid == ctx.tgid ? my_pgid : 0;
}

static pid_t fake_pgrp_session(pid_t pgid)
{
	return pgid == 100 || pgid == 200 ? 100 : pgid == 300 ? 300 : 0;
}

static bool fake_orphaned(pid_t pgid)
{
	(void)pgid;
	return orphaned;
}

static bool fake_ignored(const struct op_ctx *c, int signo)
{
	(void)c;
	(void)signo;
	return ignored;
}

static const struct vfs_task_ops fake_tasks = {
	.signal_pgrp = fake_signal,
	.signal_process = fake_signal,
	.getsid = fake_sid,
	.getpgid = fake_pgid,
	.pgrp_session = fake_pgrp_session,
	.pgrp_orphaned = fake_orphaned,
	.signal_ignored_or_blocked = fake_ignored,
};

static void job_init(void)
{
	pair_init();
	vfs_set_task_ops(&fake_tasks);
	tty_set_session(tty, 100, 100);
}

TestSuite(tty_jobs, .init = job_init, .fini = pair_fini, .timeout = 120);

/* ---- helpers ---- */

static void set_flags(uint32_t i_off, uint32_t o_off, uint32_t l_off, int vmin, int vtime)
{
	struct tty_termios termios = {0};

	cr_assert_eq(tty_call(slave, TCGETS, &termios), 0);
	termios.iflag &= ~i_off;
	termios.oflag &= ~o_off;
	termios.lflag &= ~l_off;
	if (l_off & ICANON) {
		termios.cc[VMIN] = (uint8_t)vmin;
		termios.cc[VTIME] = (uint8_t)vtime;
	}
	cr_assert_eq(tty_call(slave, TCSETS, &termios), 0);
}

static void nonblocking(struct file *file)
{
	atomic_fetch_or(&file->flags, O_NONBLOCK);
}

static void type(const char *keys)
{
	cr_assert_eq(world_write(master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static void expect_read(struct file *file, const char *text)
{
	char buf[256] = "";
	ssize_t got;

	nonblocking(file);
	got = world_read(file, buf, sizeof(buf) - 1);
	cr_expect_eq(got, (ssize_t)strlen(text), "got %zd '%s', not '%s'", got, buf, text);
	cr_expect_str_eq(buf, text);
}

static void expect_read_error(struct file *file, int err)
{
	char buf[16];

	nonblocking(file);
	cr_expect_eq(world_read(file, buf, sizeof(buf)), err);
}

/* ---- canonical mode ---- */

struct typing {
	const char *keys, *input, *screen;
};

Test(tty, edits_and_echoes_lines)
{
	static const struct typing rows[] = {
		{"hello\r", "hello\n", "hello\r\n"},
		{"hellx\177o\r", "hello\n", "hellx\b \bo\r\n"},
		{"ab\177\177\177c\r", "c\n", "ab\b \b\b \bc\r\n"},
		{"ab\025c\r", "c\n", "ab\b \b\b \bc\r\n"},
		{"a b\027c\r", "a c\n", "a b\b \bc\r\n"},
		{"a\026\003b\r", "a\003b\n", "a^\b^Cb\r\n"},
		{"a\001\177\r", "a\n", "a^A\b \b\b \b\r\n"},
		{"a\t\177b\r", "ab\n", "a\t\b\b\b\b\b\b\bb\r\n"},
		{"ab\022c\r", "abc\n", "ab^R\r\nabc\r\n"},
		{"ab\004", "ab", "ab"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		type(rows[i].keys);
		expect_read(slave, rows[i].input);
		expect_read(master, rows[i].screen);
		cr_assert_eq(tty_call(slave, TCFLSH, (void *)TCIOFLUSH), 0);
		tty->in.column = 0;
	}
}

Test(tty, one_read_gets_one_line)
{
	type("one\rtwo\r");
	expect_read(slave, "one\n");
	expect_read(slave, "two\n");
	expect_read_error(slave, -EAGAIN);
}

Test(tty, a_line_is_read_in_pieces)
{
	char buf[4] = "";

	type("abcdef\r");
	cr_expect_eq(world_read(slave, buf, 3), 3);
	cr_expect_str_eq(buf, "abc");
	expect_read(slave, "def\n");
}

Test(tty, end_of_file_alone_reads_zero_and_behind_a_full_buffer_is_gone)
{
	char buf[4] = "";

	type("\004");
	expect_read(slave, "");
	type("abc\004");
	cr_expect_eq(world_read(slave, buf, 3), 3);
	expect_read_error(slave, -EAGAIN);
}

Test(tty, an_unfinished_line_is_not_readable)
{
	type("abc");
	expect_read_error(slave, -EAGAIN);
	cr_expect_not(vfs_poll(&ctx, slave, NULL) & POLLIN);
	type("\r");
	cr_expect(vfs_poll(&ctx, slave, NULL) & POLLIN);
}

Test(tty, a_too_long_line_keeps_4095_bytes_and_its_newline)
{
	static char keys[5000], buf[5000];
	ssize_t got;

	set_flags(0, 0, ECHO, 0, 0);
	memset(keys, 'x', sizeof(keys));
	cr_assert_eq(world_write(master, keys, sizeof(keys)), (ssize_t)sizeof(keys));
	type("\r");
	nonblocking(slave);
	got = world_read(slave, buf, sizeof(buf));
	cr_expect_eq(got, 4096);
	cr_expect_eq(buf[4095], '\n');
}

Test(tty, utf8_is_erased_by_the_character)
{
	struct tty_termios termios = {0};

	tty_call(slave, TCGETS2, &termios);
	termios.iflag |= IUTF8;
	tty_call(slave, TCSETS2, &termios);
	type("a\303\251\177b\r");
	expect_read(slave, "ab\n");
	expect_read(master, "a\303\251\b \bb\r\n");
}

Test(tty, waiting_input_changes_nature_with_icanon)
{
	type("abc");
	set_flags(0, 0, ICANON, 1, 0);
	expect_read(slave, "abc");
}

/* ---- raw mode ---- */

Test(tty, raw_mode_passes_everything)
{
	set_flags(ICRNL | IXON, OPOST, ICANON | ECHO | ISIG | IEXTEN, 1, 0);
	type("a\003\r\n\004\177");
	expect_read(slave, "a\003\r\n\004\177");
	cr_expect_eq(world_write(slave, "x\n", 2), 2);
	expect_read(master, "x\n");
}

Test(tty, without_min_and_time_an_empty_read_is_zero)
{
	set_flags(0, 0, ICANON, 0, 0);
	expect_read(slave, "");
	type("ab");
	expect_read(slave, "ab");
}

Test(tty, time_without_min_ends_the_read)
{
	char buf[8];
	int64_t start = clock_monotonic_ns();

	set_flags(0, 0, ICANON, 0, 1);
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), 0);
	cr_expect_geq(clock_monotonic_ns() - start, 100000000);
}

Test(tty, poll_waits_for_min_bytes)
{
	set_flags(0, 0, ICANON, 3, 0);
	type("ab");
	cr_expect_not(vfs_poll(&ctx, slave, NULL) & POLLIN);
	type("c");
	cr_expect(vfs_poll(&ctx, slave, NULL) & POLLIN);
}

static void *typist(void *keys)
{
	type(keys);
	return NULL;
}

Test(tty, a_reader_waits_for_the_typist)
{
	char keys[] = "late\r", buf[16] = "";
	pthread_t thread;

	pthread_create(&thread, NULL, typist, keys);
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), 5);
	cr_expect_str_eq(buf, "late\n");
	pthread_join(thread, NULL);
}

/* ---- output and flow ---- */

static void *screen_reader(void *arg)
{
	static char buf[1000];
	size_t *total = arg;
	ssize_t got;

	while (*total < 100000 && (got = world_read(master, buf, sizeof(buf))) > 0)
		*total += (size_t)got;
	return NULL;
}

Test(tty, a_long_write_waits_for_the_master)
{
	static char text[100000];
	pthread_t thread;
	size_t total = 0;

	memset(text, 'y', sizeof(text));
	pthread_create(&thread, NULL, screen_reader, &total);
	cr_expect_eq(world_write(slave, text, sizeof(text)), (ssize_t)sizeof(text));
	pthread_join(thread, NULL);
	cr_expect_eq(total, sizeof(text));
}

Test(tty, a_full_ring_gives_eagain_and_leaves_room_for_echoes)
{
	static char text[100000];
	ssize_t put;

	nonblocking(slave);
	memset(text, 'y', sizeof(text));
	put = world_write(slave, text, sizeof(text));
	cr_expect_gt(put, 8000);
	cr_expect_lt(put, (ssize_t)sizeof(text));
	cr_expect_eq(world_write(slave, text, 1), -EAGAIN);
	cr_expect_not(vfs_poll(&ctx, slave, NULL) & POLLOUT);
	type("e");
	cr_expect_eq(tty_output_pending(tty), (size_t)put + 1);
}

Test(tty, stop_and_start_keys_hold_output)
{
	nonblocking(slave);
	type("\023");
	cr_expect_eq(world_write(slave, "x", 1), -EAGAIN);
	type("\021");
	cr_expect_eq(world_write(slave, "x", 1), 1);
	expect_read(master, "x");
}

Test(tty, packet_mode_tells_of_flushes_and_flow)
{
	int on = 1;

	cr_assert_eq(tty_call(master, TIOCPKT, &on), 0);
	cr_assert_eq(world_write(slave, "hi", 2), 2);
	nonblocking(master);
	{
		char buf[8] = "";

		cr_expect_eq(world_read(master, buf, sizeof(buf)), 3);
		cr_expect_arr_eq(buf, "\0hi", 3);
		cr_assert_eq(tty_call(slave, TCFLSH, (void *)TCIFLUSH), 0);
		cr_expect(vfs_poll(&ctx, master, NULL) & POLLPRI);
		cr_expect_eq(world_read(master, buf, sizeof(buf)), 1);
		cr_expect_eq(buf[0], TIOCPKT_FLUSHREAD);
	}
	expect_read_error(master, -EAGAIN);
}

Test(tty, window_size_is_kept)
{
	struct tty_winsize set = {24, 80, 0, 0}, got = {0};

	cr_assert_eq(tty_call(master, TIOCSWINSZ, &set), 0);
	cr_assert_eq(tty_call(slave, TIOCGWINSZ, &got), 0);
	cr_expect_eq(got.row, 24);
	cr_expect_eq(got.col, 80);
}

Test(tty, bytes_cannot_be_pushed_into_the_input)
{
	cr_expect_eq(tty_call(slave, TIOCSTI, "x"), -EIO);
	cr_expect_eq(tty_call(slave, 0x1234, NULL), -ENOTTY);
}

/* ---- hang-up ---- */

Test(tty, the_master_reads_eio_when_no_slave_is_left)
{
	cr_assert_eq(world_write(slave, "bye", 3), 3);
	file_put(slave);
	slave = NULL;
	expect_read(master, "bye");
	expect_read_error(master, -EIO);
	cr_expect(vfs_poll(&ctx, master, NULL) & POLLHUP);
}

Test(tty, a_hung_up_slave_is_dead)
{
	char buf[4];

	file_put(master);
	master = NULL;
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), 0);
	cr_expect_eq(world_write(slave, "x", 1), -EIO);
	cr_expect_eq(tty_call(slave, TCGETS, buf), -EIO);
	cr_expect_eq(vfs_poll(&ctx, slave, NULL) & (POLLIN | POLLOUT | POLLERR | POLLHUP),
		     POLLIN | POLLOUT | POLLERR | POLLHUP);
}

static void *blocked_reader(void *result)
{
	char buf[4];

	*(ssize_t *)result = world_read(slave, buf, sizeof(buf));
	return NULL;
}

Test(tty, a_reader_caught_by_the_hangup_gets_eio)
{
	pthread_t thread;
	ssize_t result = 1;

	pthread_create(&thread, NULL, blocked_reader, &result);
	while (!waitq_active(&tty->slave_read))
		sched_yield();
	file_put(master);
	master = NULL;
	pthread_join(thread, NULL);
	cr_expect_eq(result, -EIO);
}

/* ---- job control ---- */

Test(tty_jobs, keys_signal_the_foreground_group)
{
	my_pgid = 200;
	tty_set_session(tty, 100, 200);
	type("abc\003");
	cr_assert_eq(nr_sent, 1);
	cr_expect_eq(sent[0].pgrp, 200);
	cr_expect_eq(sent[0].signo, SIGINT);
	type("\034\032");
	cr_assert_eq(nr_sent, 3);
	cr_expect_eq(sent[1].signo, SIGQUIT);
	cr_expect_eq(sent[2].signo, SIGTSTP);
	expect_read_error(slave, -EAGAIN);
}

Test(tty_jobs, a_new_window_size_signals_once)
{
	struct tty_winsize set = {24, 80, 0, 0};

	tty_call(slave, TIOCSWINSZ, &set);
	tty_call(slave, TIOCSWINSZ, &set);
	cr_assert_eq(nr_sent, 1);
	cr_expect_eq(sent[0].signo, SIGWINCH);
}

Test(tty_jobs, a_background_read_is_stopped)
{
	char buf[4];

	my_pgid = 200;
	interrupt_on_signal = waiter_self();
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), -ERESTARTSYS);
	waiter_reset(waiter_self());
	cr_assert_geq(nr_sent, 1);
	cr_expect_eq(sent[0].pgrp, 200);
	cr_expect_eq(sent[0].signo, SIGTTIN);
}

Test(tty_jobs, a_background_read_that_cannot_be_stopped_is_eio)
{
	char buf[4];

	my_pgid = 200;
	ignored = true;
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), -EIO);
	ignored = false;
	orphaned = true;
	cr_expect_eq(world_read(slave, buf, sizeof(buf)), -EIO);
	cr_expect_eq(nr_sent, 0);
}

Test(tty_jobs, background_output_is_free_without_tostop)
{
	struct tty_termios termios = {0};

	my_pgid = 200;
	cr_expect_eq(world_write(slave, "x", 1), 1);
	cr_assert_eq(tty_call(slave, TCGETS, &termios), 0);
	termios.lflag |= TOSTOP;
	ignored = true; /* then the change of modes is free, and the write as well */
	cr_assert_eq(tty_call(slave, TCSETS, &termios), 0);
	cr_expect_eq(world_write(slave, "x", 1), 1);
	ignored = false;
	interrupt_on_signal = waiter_self();
	cr_expect_eq(world_write(slave, "x", 1), -ERESTARTSYS);
	waiter_reset(waiter_self());
	cr_expect_eq(sent[0].signo, SIGTTOU);
}

Test(tty_jobs, the_foreground_group_must_be_of_the_session)
{
	pid_t pgrp = 200, none = 999, other = 300, got = 0;

	cr_expect_eq(tty_call(slave, TIOCSPGRP, &pgrp), 0);
	cr_expect_eq(tty_call(slave, TIOCGPGRP, &got), 0);
	cr_expect_eq(got, 200);
	ignored = true;
	cr_expect_eq(tty_call(slave, TIOCSPGRP, &none), -ESRCH);
	cr_expect_eq(tty_call(slave, TIOCSPGRP, &other), -EPERM);
	my_sid = 300;
	cr_expect_eq(tty_call(slave, TIOCSPGRP, &pgrp), -ENOTTY);
	cr_expect_eq(tty_call(slave, TIOCGPGRP, &got), -ENOTTY);
	cr_expect_eq(tty_call(master, TIOCGPGRP, &got), 0);
}

Test(tty_jobs, dev_tty_is_the_sessions_terminal)
{
	struct file *file = world_open("/dev/tty", O_RDWR);

	cr_expect_eq(tty_of_file(file), tty);
	file_put(file);
	my_sid = 300;
	cr_expect_eq(world_open_error(&ctx, "/dev/tty", O_RDWR), -ENXIO);
}

Test(tty_jobs, a_leader_gets_a_terminal_by_opening_or_asking)
{
	pid_t got = 0;

	tty_set_session(tty, 0, 0);
	cr_expect_eq(world_open_error(&ctx, "/dev/tty", O_RDWR), -ENXIO);
	cr_expect_eq(tty_call(slave, TIOCSCTTY, NULL), 0);
	cr_expect_eq(tty_call(slave, TIOCGSID, &got), 0);
	cr_expect_eq(got, 100);
	tty_set_session(tty, 0, 0);
	my_sid = 50; /* not its leader */
	cr_expect_eq(tty_call(slave, TIOCSCTTY, NULL), -EPERM);
	my_sid = 100;
	file_put(world_open("/dev/pts/0", O_RDWR));
	cr_expect_eq(tty_get_session(tty), 100);
}

Test(tty_jobs, hangup_signals_the_leader_and_exit_of_the_leader_the_group)
{
	tty_set_session(tty, 100, 200);
	tty_session_exit(100);
	cr_assert_eq(nr_sent, 1);
	cr_expect_eq(sent[0].pgrp, 200);
	cr_expect_eq(sent[0].signo, SIGHUP);
	cr_expect_eq(tty_get_session(tty), 0);
	tty_set_session(tty, 100, 200);
	file_put(master);
	master = NULL;
	cr_assert_eq(nr_sent, 3);
	cr_expect_eq(sent[1].pgrp, 100);
	cr_expect_eq(sent[1].signo, SIGHUP);
	cr_expect_eq(sent[2].signo, SIGCONT);
}

/* ---- devpts ---- */

Test(devpts, a_new_terminal_is_locked_and_its_node_goes_with_the_master)
{
	struct file *file = world_open("/dev/ptmx", O_RDWR | O_NOCTTY);
	struct kstat stat = world_stat("/dev/pts/0");

	cr_expect_eq(stat.mode, S_IFCHR | 0620);
	cr_expect_eq(stat.gid, 5);
	cr_expect_eq(stat.rdev, makedev(136, 0));
	cr_expect_str_eq(world_names("/dev/pts"), " . .. ptmx 0 ");
	cr_expect_eq(world_open_error(&ctx, "/dev/pts/0", O_RDWR | O_NOCTTY), -EIO);
	file_put(file);
	cr_expect_eq(world_open_error(&ctx, "/dev/pts/0", O_RDWR | O_NOCTTY), -ENOENT);
	cr_expect_str_eq(world_names("/dev/pts"), " . .. ptmx ");
}

Test(devpts, the_lowest_free_number_is_taken)
{
	struct file *a = world_open("/dev/ptmx", O_RDWR | O_NOCTTY);
	struct file *b = world_open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);

	file_put(a);
	a = world_open("/dev/ptmx", O_RDWR | O_NOCTTY);
	cr_expect_eq(tty_of_file(a)->index, 0);
	cr_expect_eq(tty_of_file(b)->index, 1);
	file_put(a);
	file_put(b);
}

Test(devpts, the_peer_is_opened_by_ioctl)
{
	struct file *file = world_open("/dev/ptmx", O_RDWR | O_NOCTTY), *peer;
	int zero = 0;
	long fd;

	tty_call(file, TIOCSPTLCK, &zero);
	fd = vfs_ioctl(&ctx, file, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	cr_assert_geq(fd, 0);
	peer = fdtable_file(ctx.files, (int)fd);
	cr_expect_eq(tty_of_file(peer), tty_of_file(file));
	file_put(peer);
	file_put(file);
}

/*
 * ioctl_tty(2), for both ends: almost all of it is about the terminal, that is the slave's side,
 * whichever end the descriptor is of.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/ioctl.h"
#include "vfs/perm.h"
#include "vfs/tasks.h"
#include "vfs/tty/tty.h"

#define ENOIOCTLCMD 515 /* not mine; never leaves this file */

#define TERMIOS_BYTES  36u /* struct termios of the kernel */
#define TERMIOS2_BYTES 44u /* struct termios2 */

/* The old struct termio. */
struct tty_termio {
	uint16_t iflag, oflag, cflag, lflag;
	uint8_t line;
	uint8_t cc[8];
};

static bool is_master(const struct file *file)
{
	return file->op != &tty_slave_fops;
}

/* ---- termios ---- */

static long get_termios(const struct op_ctx *ctx, struct tty *tty, uint64_t arg, size_t len)
{
	struct tty_termios termios;

	_Static_assert(sizeof(termios) == TERMIOS2_BYTES, "layout of struct termios2");
	fb_mutex_lock(&tty->lock);
	termios = tty->termios;
	fb_mutex_unlock(&tty->lock);
	return ioctl_copy_out(ctx, arg, &termios, len);
}

static long get_termio(const struct op_ctx *ctx, struct tty *tty, uint64_t arg)
{
	struct tty_termio old = {0};

	fb_mutex_lock(&tty->lock);
	old.iflag = (uint16_t)tty->termios.iflag;
	old.oflag = (uint16_t)tty->termios.oflag;
	old.cflag = (uint16_t)tty->termios.cflag;
	old.lflag = (uint16_t)tty->termios.lflag;
	old.line = tty->termios.line;
	memcpy(old.cc, tty->termios.cc, sizeof(old.cc));
	fb_mutex_unlock(&tty->lock);
	return ioctl_copy_out(ctx, arg, &old, sizeof(old));
}

/* Speed bits of c_cflag as numbers; 0 = BOTHER, the numbers stand for themselves. */
static uint32_t speed_of(uint32_t cflag)
{
	static const uint32_t low[] = {0,   50,	  75,	110,  134,  150,  200,	 300,
				       600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
	static const uint32_t high[] = {0,	 57600,	  115200,  230400,  460800,  500000,
					576000,	 921600,  1000000, 1152000, 1500000, 2000000,
					2500000, 3000000, 3500000, 4000000};

	return cflag & CBAUDEX ? high[cflag & 15] : low[cflag & 15];
}

/*
 * How a TCSET* call treats what is on its way. Draining is at once: what was written to a pty
 * counts as sent (cf. pty_chars_in_buffer()).
 */
enum set_when { SET_NOW, SET_DRAIN, SET_DRAIN_FLUSH };

static void apply_termios(struct tty *tty, const struct tty_termios *termios, enum set_when when)
{
	struct tty_termios old;

	fb_mutex_lock(&tty->lock);
	if (when == SET_DRAIN_FLUSH)
		ldisc_flush_input(tty);
	old = tty->termios;
	tty->termios = *termios;
	/* A pty has no line: always 8 bits, receiver on (cf. pty_set_termios()). */
	tty->termios.cflag &= ~(uint32_t)(CSIZE | PARENB);
	tty->termios.cflag |= CS8 | CREAD;
	ldisc_termios_changed(tty, &old);
	fb_mutex_unlock(&tty->lock);
}

static long set_termios(const struct op_ctx *ctx, struct tty *tty, uint64_t arg, size_t len,
			enum set_when when)
{
	struct tty_termios termios;
	uint32_t speed;
	int err = tty_check_change(ctx, tty, SIGTTOU);

	if (err)
		return err;
	fb_mutex_lock(&tty->lock);
	termios = tty->termios;
	fb_mutex_unlock(&tty->lock);
	err = ioctl_copy_in(ctx, &termios, arg, len);
	if (err)
		return err;
	speed = speed_of(termios.cflag);
	if ((termios.cflag & CBAUD) != BOTHER)
		termios.ispeed = termios.ospeed = speed;
	apply_termios(tty, &termios, when);
	return 0;
}

static long set_termio(const struct op_ctx *ctx, struct tty *tty, uint64_t arg, enum set_when when)
{
	struct tty_termios termios;
	struct tty_termio old;
	int err = tty_check_change(ctx, tty, SIGTTOU);

	if (!err)
		err = ioctl_copy_in(ctx, &old, arg, sizeof(old));
	if (err)
		return err;
	fb_mutex_lock(&tty->lock);
	termios = tty->termios;
	fb_mutex_unlock(&tty->lock);
	termios.iflag = (termios.iflag & 0xffff0000u) | old.iflag;
	termios.oflag = (termios.oflag & 0xffff0000u) | old.oflag;
	termios.cflag = (termios.cflag & 0xffff0000u) | old.cflag;
	termios.lflag = (termios.lflag & 0xffff0000u) | old.lflag;
	termios.line = old.line;
	memcpy(termios.cc, old.cc, sizeof(old.cc));
	apply_termios(tty, &termios, when);
	return 0;
}

static long ioctl_termios(const struct op_ctx *ctx, struct tty *tty, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case TCGETS:
		return get_termios(ctx, tty, arg, TERMIOS_BYTES);
	case TCGETS2:
		return get_termios(ctx, tty, arg, TERMIOS2_BYTES);
	case TCGETA:
		return get_termio(ctx, tty, arg);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_termios(ctx, tty, arg, TERMIOS_BYTES, (enum set_when)(cmd - TCSETS));
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
		return set_termios(ctx, tty, arg, TERMIOS2_BYTES, (enum set_when)(cmd - TCSETS2));
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return set_termio(ctx, tty, arg, (enum set_when)(cmd - TCSETA));
	}
	return -ENOIOCTLCMD;
}

/* ---- queues and flow ---- */

static long flush_queues(const struct op_ctx *ctx, struct tty *tty, uint64_t which)
{
	int err = tty_check_change(ctx, tty, SIGTTOU);

	if (err)
		return err;
	if (which > TCIOFLUSH)
		return -EINVAL;
	fb_mutex_lock(&tty->lock);
	if (which == TCIFLUSH || which == TCIOFLUSH)
		ldisc_flush_input(tty);
	if (which == TCOFLUSH || which == TCIOFLUSH)
		tty_flush_output(tty);
	fb_mutex_unlock(&tty->lock);
	return 0;
}

/* TCIOFF and TCION send the stop and start characters to the other end. */
static long flow(const struct op_ctx *ctx, struct tty *tty, uint64_t action)
{
	int err = tty_check_change(ctx, tty, SIGTTOU);
	unsigned char byte;

	if (err)
		return err;
	fb_mutex_lock(&tty->lock);
	switch (action) {
	case TCOOFF:
		tty->tco_stopped = true;
		tty_stop(tty);
		break;
	case TCOON:
		tty->tco_stopped = false;
		tty_start(tty);
		break;
	case TCIOFF:
	case TCION:
		byte = tty->termios.cc[action == TCIOFF ? VSTOP : VSTART];
		if (byte)
			(void)tty_output(tty, &byte, 1);
		break;
	default:
		err = -EINVAL;
	}
	fb_mutex_unlock(&tty->lock);
	return err;
}

/* What a read of this end would give. */
static long input_count(const struct op_ctx *ctx, struct file *file, struct tty *tty, uint64_t arg)
{
	int count;

	fb_mutex_lock(&tty->lock);
	count = (int)(is_master(file) ? tty_output_pending(tty) : ldisc_available(tty));
	fb_mutex_unlock(&tty->lock);
	return ioctl_copy_out(ctx, arg, &count, sizeof(count));
}

static long ioctl_queues(const struct op_ctx *ctx, struct file *file, struct tty *tty, unsigned cmd,
			 uint64_t arg)
{
	int zero = 0;

	switch (cmd) {
	case TCFLSH:
		return flush_queues(ctx, tty, arg);
	case TCXONC:
		return flow(ctx, tty, arg);
	case FIONREAD:
		return input_count(ctx, file, tty, arg);
	case TIOCOUTQ: /* what was written counts as sent (cf. pty_chars_in_buffer()) */
		return ioctl_copy_out(ctx, arg, &zero, sizeof(zero));
	case TCSBRK:
	case TCSBRKP:
	case TIOCSBRK:
	case TIOCCBRK:
		return tty_check_change(ctx, tty, SIGTTOU); /* no line, no break */
	}
	return -ENOIOCTLCMD;
}

/* ---- sessions ---- */

static long ioctl_session(const struct op_ctx *ctx, struct file *file, struct tty *tty,
			  unsigned cmd, uint64_t arg)
{
	struct tty *mine;
	pid_t pid;
	int err;

	switch (cmd) {
	case TIOCSCTTY:
		return tty_sctty(ctx, tty, arg == 1, file->fmode & FMODE_READ);
	case TIOCNOTTY:
		return tty_notty(ctx, tty);
	case TIOCSPGRP:
		err = ioctl_copy_in(ctx, &pid, arg, sizeof(pid));
		return err ? err : tty_set_pgrp(ctx, tty, pid);
	case TIOCGPGRP:
	case TIOCGSID:
		/* A slave tells only those it controls; the master tells always. */
		mine = tty_of_session(ctx_sid(ctx));
		tty_put(mine);
		if (!is_master(file) && mine != tty)
			return -ENOTTY;
		pid = cmd == TIOCGPGRP ? tty_get_pgrp(tty) : tty_get_session(tty);
		if (cmd == TIOCGSID && !pid)
			return -ENOTTY;
		return ioctl_copy_out(ctx, arg, &pid, sizeof(pid));
	}
	return -ENOIOCTLCMD;
}

/* ---- window, modes ---- */

static long ioctl_window(const struct op_ctx *ctx, struct tty *tty, unsigned cmd, uint64_t arg)
{
	struct tty_winsize winsize;
	int err;

	if (cmd == TIOCGWINSZ) {
		fb_mutex_lock(&tty->lock);
		winsize = tty->winsize;
		fb_mutex_unlock(&tty->lock);
		return ioctl_copy_out(ctx, arg, &winsize, sizeof(winsize));
	}
	err = ioctl_copy_in(ctx, &winsize, arg, sizeof(winsize));
	if (!err)
		tty_set_winsize(tty, &winsize);
	return err;
}

static long put_int(const struct op_ctx *ctx, uint64_t arg, int value)
{
	return ioctl_copy_out(ctx, arg, &value, sizeof(value));
}

static long ioctl_modes(const struct op_ctx *ctx, struct tty *tty, unsigned cmd, uint64_t arg)
{
	int value, err;

	switch (cmd) {
	case TIOCEXCL:
	case TIOCNXCL:
		fb_mutex_lock(&tty->lock);
		tty->exclusive = cmd == TIOCEXCL;
		fb_mutex_unlock(&tty->lock);
		return 0;
	case TIOCGEXCL:
		return put_int(ctx, arg, tty->exclusive);
	case TIOCGETD:
		return put_int(ctx, arg, 0); /* N_TTY, the only one */
	case TIOCSETD:
		err = ioctl_copy_in(ctx, &value, arg, sizeof(value));
		return err ? err : value ? -EINVAL : 0;
	case TIOCGDEV:
		return put_int(ctx, arg, (int)(major(tty->dev) << 8 | minor(tty->dev)));
	case TIOCVHANGUP:
		if (!ctx_capable(ctx, CAP_SYS_ADMIN))
			return -EPERM;
		tty_hangup(tty);
		return 0;
	case TIOCSTI:
		return -EIO; /* as with dev.tty.legacy_tiocsti=0: a way out of many a jail */
	case TIOCCONS:
		return -EPERM;
	}
	return -ENOIOCTLCMD;
}

/* ---- the master only ---- */

static long set_flag(const struct op_ctx *ctx, struct tty *tty, bool *flag, uint64_t arg)
{
	int value, err = ioctl_copy_in(ctx, &value, arg, sizeof(value));

	if (err)
		return err;
	fb_mutex_lock(&tty->lock);
	if (flag == &tty->packet && value && !tty->packet)
		tty->packet_status = 0;
	*flag = value != 0;
	fb_mutex_unlock(&tty->lock);
	return 0;
}

static long ioctl_master(const struct op_ctx *ctx, struct tty *tty, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case TIOCGPTN:
		return put_int(ctx, arg, tty->index);
	case TIOCSPTLCK:
		return set_flag(ctx, tty, &tty->locked, arg);
	case TIOCGPTLCK:
		return put_int(ctx, arg, tty->locked);
	case TIOCPKT:
		return set_flag(ctx, tty, &tty->packet, arg);
	case TIOCGPKT:
		return put_int(ctx, arg, tty->packet);
	case TIOCSIG:
		if (arg < 1 || arg > 64 || (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP))
			return -EINVAL;
		tty_signal_foreground(tty, (int)arg);
		return 0;
	}
	return -ENOIOCTLCMD;
}

long tty_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	struct tty *tty = tty_of_file(file);
	long ret = -ENOIOCTLCMD;

	if (cmd == TIOCGWINSZ || cmd == TIOCSWINSZ)
		return ioctl_window(ctx, tty, cmd, arg);
	if (is_master(file))
		ret = ioctl_master(ctx, tty, cmd, arg);
	if (ret == -ENOIOCTLCMD)
		ret = ioctl_termios(ctx, tty, cmd, arg);
	if (ret == -ENOIOCTLCMD)
		ret = ioctl_queues(ctx, file, tty, cmd, arg);
	if (ret == -ENOIOCTLCMD)
		ret = ioctl_session(ctx, file, tty, cmd, arg);
	if (ret == -ENOIOCTLCMD)
		ret = ioctl_modes(ctx, tty, cmd, arg);
	return ret == -ENOIOCTLCMD ? -ENOTTY : ret;
}

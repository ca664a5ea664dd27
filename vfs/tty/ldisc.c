/*
 * The N_TTY line discipline: typed bytes become input, echoes and signals (termios(3), stty(1)).
 * The order of the tests is the one of n_tty_receive_char_special() in drivers/tty/n_tty.c, on
 * which what a byte with two meanings does depends. Everything here runs under tty->lock.
 */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <ctype.h>
#include <signal.h>
#include <string.h>

#include "vfs/poll.h"
#include "vfs/tty/tty.h"

#define CC(tty, which)	 ((tty)->termios.cc[which])
#define IFLAG(tty, flag) (((tty)->termios.iflag & (flag)) != 0)
#define LFLAG(tty, flag) (((tty)->termios.lflag & (flag)) != 0)

enum erase_kind { ERASE_CHAR, ERASE_WORD, ERASE_LINE };

static unsigned char byte_at(const struct ldisc *in, size_t pos)
{
	return in->buf[pos % TTY_INPUT_BYTES];
}

static size_t used(const struct ldisc *in)
{
	return in->head - in->tail;
}

static bool is_control(unsigned char byte)
{
	return byte < 0x20 || byte == 0x7f;
}

/* A special character is off when its slot holds _POSIX_VDISABLE. */
static bool is_cc(const struct tty *tty, int which, unsigned char byte)
{
	return CC(tty, which) != 0 && CC(tty, which) == byte;
}

void ldisc_init(struct tty *tty)
{
	static const uint8_t defaults[TTY_NCCS] = {
		[VINTR] = 3,	 [VQUIT] = 28,	 [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
		[VMIN] = 1,	 [VSTART] = 17,	 [VSTOP] = 19,	 [VSUSP] = 26, [VREPRINT] = 18,
		[VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
	};

	tty->termios = (struct tty_termios){
		.iflag = ICRNL | IXON,
		.oflag = OPOST | ONLCR,
		.cflag = B38400 | CS8 | CREAD,
		.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.ispeed = 38400,
		.ospeed = 38400,
	};
	memcpy(tty->termios.cc, defaults, sizeof(defaults));
}

/* ---- the buffer ---- */

static bool canonical(const struct tty *tty)
{
	return LFLAG(tty, ICANON);
}

/*
 * In canonical mode a line that is too long loses bytes instead of blocking the typist, because
 * only a newline can make room. Complete lines nobody reads do block.
 */
bool ldisc_has_room(const struct tty *tty)
{
	if (used(&tty->in) < TTY_INPUT_BYTES - 1)
		return true;
	return canonical(tty) && tty->in.canon_head == tty->in.tail;
}

static void wake_readers(struct tty *tty)
{
	waitq_wake(&tty->slave_read, POLLIN | POLLRDNORM);
}

static void put(struct tty *tty, unsigned char byte, uint8_t flags)
{
	struct ldisc *in = &tty->in;

	/* One place stays free for the end of the line. */
	if (used(in) >= TTY_INPUT_BYTES - (flags ? 0 : 1)) {
		if (IFLAG(tty, IMAXBEL))
			tty_echo(tty, '\a', true);
		return;
	}
	in->buf[in->head % TTY_INPUT_BYTES] = byte;
	in->flags[in->head % TTY_INPUT_BYTES] = flags;
	in->head++;
}

/* Data; PARMRK doubles 0xff so that it differs from its own marker. */
static void put_data(struct tty *tty, unsigned char byte)
{
	if (byte == 0xff && IFLAG(tty, PARMRK))
		put(tty, byte, 0);
	put(tty, byte, 0);
}

static void end_line(struct tty *tty, unsigned char byte, uint8_t flags)
{
	put(tty, byte, LDISC_LINE_END | flags);
	tty->in.canon_head = tty->in.head;
	wake_readers(tty);
}

/* ---- echo and erase ---- */

static void echo_data(struct tty *tty, unsigned char byte)
{
	struct ldisc *in = &tty->in;

	if (in->erasing) {
		tty_echo(tty, '/', true);
		in->erasing = false;
	}
	if (!LFLAG(tty, ECHO))
		return;
	if (byte == '\n') {
		tty_echo(tty, byte, true);
		return;
	}
	if (in->canon_head == in->head)
		in->canon_column = in->column;
	tty_echo(tty, byte, false);
}

static void finish_erasing(struct tty *tty)
{
	if (tty->in.erasing)
		tty_echo(tty, '/', true);
	tty->in.erasing = false;
}

/* Columns that the line up to `end` takes since its last tab (or its start: *ret_from_start). */
static unsigned columns_before(const struct tty *tty, size_t end, bool *ret_from_start)
{
	const struct ldisc *in = &tty->in;
	unsigned columns = 0;

	*ret_from_start = true;
	while (end != in->canon_head) {
		unsigned char byte = byte_at(in, --end);

		if (byte == '\t') {
			*ret_from_start = false;
			break;
		}
		if (is_control(byte))
			columns += LFLAG(tty, ECHOCTL) ? 2 : 0;
		else if (!tty_is_continuation(tty, byte))
			columns++;
	}
	return columns;
}

static void echo_rubout(struct tty *tty)
{
	tty_echo(tty, '\b', true);
	tty_echo(tty, ' ', true);
	tty_echo(tty, '\b', true);
}

/* Shows that the character at in->head (just erased; `len` bytes) is gone. */
static void echo_erased(struct tty *tty, enum erase_kind kind, size_t len)
{
	struct ldisc *in = &tty->in;
	unsigned char first = byte_at(in, in->head);
	bool from_start;
	unsigned columns;

	if (LFLAG(tty, ECHOPRT)) {
		if (!in->erasing)
			tty_echo(tty, '\\', true);
		in->erasing = true;
		tty_echo(tty, first, false);
		for (size_t i = 1; i < len; i++)
			tty_echo(tty, byte_at(in, in->head + i), true);
	} else if (kind == ERASE_CHAR && !LFLAG(tty, ECHOE)) {
		tty_echo(tty, CC(tty, VERASE), false);
	} else if (first == '\t') {
		columns = columns_before(tty, in->head, &from_start);
		if (from_start)
			columns += in->canon_column;
		tty_echo_back(tty, 8 - (columns & 7));
	} else if (is_control(first)) {
		if (LFLAG(tty, ECHOCTL)) {
			echo_rubout(tty);
			echo_rubout(tty);
		}
	} else {
		echo_rubout(tty);
	}
}

/* The start of the character that ends at `end`; `end` itself when only a part of it is there. */
static size_t char_start(const struct tty *tty, size_t end)
{
	const struct ldisc *in = &tty->in;
	size_t start = end;

	do {
		start--;
	} while (tty_is_continuation(tty, byte_at(in, start)) && start != in->canon_head);
	return tty_is_continuation(tty, byte_at(in, start)) ? end : start;
}

static void erase(struct tty *tty, enum erase_kind kind)
{
	struct ldisc *in = &tty->in;
	bool in_word = false;

	while (in->head != in->canon_head) {
		size_t start = char_start(tty, in->head);
		size_t len = in->head - start;
		unsigned char first = byte_at(in, start);

		if (!len)
			break;
		if (kind == ERASE_WORD) {
			if (isalnum(first) || first == '_')
				in_word = true;
			else if (in_word)
				break;
		}
		in->head = start;
		if (LFLAG(tty, ECHO))
			echo_erased(tty, kind, len);
		if (kind == ERASE_CHAR)
			break;
	}
	if (in->head == in->canon_head && LFLAG(tty, ECHO))
		finish_erasing(tty);
}

static void erase_line(struct tty *tty)
{
	struct ldisc *in = &tty->in;

	if (in->head == in->canon_head)
		return;
	if (LFLAG(tty, ECHO) && LFLAG(tty, ECHOK) && LFLAG(tty, ECHOKE) && LFLAG(tty, ECHOE)) {
		erase(tty, ERASE_LINE);
		return;
	}
	in->head = in->canon_head;
	if (!LFLAG(tty, ECHO))
		return;
	finish_erasing(tty);
	tty_echo(tty, CC(tty, VKILL), false);
	if (LFLAG(tty, ECHOK))
		tty_echo(tty, '\n', true);
}

static void reprint(struct tty *tty)
{
	struct ldisc *in = &tty->in;

	finish_erasing(tty);
	tty_echo(tty, CC(tty, VREPRINT), false);
	tty_echo(tty, '\n', true);
	for (size_t pos = in->canon_head; pos != in->head; pos++)
		tty_echo(tty, byte_at(in, pos), false);
}

/* ---- special characters ---- */

/* Flow control; true: the byte is used up. */
static bool receive_flow(struct tty *tty, unsigned char byte)
{
	if (!IFLAG(tty, IXON))
		return false;
	if (is_cc(tty, VSTART, byte)) {
		tty_start(tty);
		return true;
	}
	if (is_cc(tty, VSTOP, byte)) {
		tty_stop(tty);
		return true;
	}
	return false;
}

/* Cf. isig(): both queues are dropped unless NOFLSH. */
static bool receive_signal(struct tty *tty, unsigned char byte)
{
	int signo = is_cc(tty, VINTR, byte)   ? SIGINT
		    : is_cc(tty, VQUIT, byte) ? SIGQUIT
		    : is_cc(tty, VSUSP, byte) ? SIGTSTP
					      : 0;

	if (!LFLAG(tty, ISIG) || !signo)
		return false;
	tty->pending_signal = signo;
	if (!LFLAG(tty, NOFLSH)) {
		tty_flush_output(tty);
		ldisc_flush_input(tty);
	}
	if (IFLAG(tty, IXON))
		tty_start(tty);
	if (LFLAG(tty, ECHO))
		tty_echo(tty, byte, false);
	return true;
}

/* Editing and ends of lines in canonical mode; true: the byte is used up. */
static bool receive_canonical(struct tty *tty, unsigned char byte)
{
	bool extended = LFLAG(tty, IEXTEN);

	if (is_cc(tty, VERASE, byte)) {
		erase(tty, ERASE_CHAR);
	} else if (is_cc(tty, VKILL, byte)) {
		erase_line(tty);
	} else if (extended && is_cc(tty, VWERASE, byte)) {
		erase(tty, ERASE_WORD);
	} else if (extended && is_cc(tty, VLNEXT, byte)) {
		tty->in.lnext = true;
		if (LFLAG(tty, ECHO)) {
			finish_erasing(tty);
			if (LFLAG(tty, ECHOCTL)) {
				tty_echo(tty, '^', true);
				tty_echo_back(tty, 1);
			}
		}
	} else if (extended && LFLAG(tty, ECHO) && is_cc(tty, VREPRINT, byte)) {
		reprint(tty);
	} else if (byte == '\n') {
		if (LFLAG(tty, ECHO) || LFLAG(tty, ECHONL))
			tty_echo(tty, '\n', true);
		end_line(tty, byte, 0);
	} else if (is_cc(tty, VEOF, byte)) {
		end_line(tty, '\0', LDISC_EOF);
	} else if (is_cc(tty, VEOL, byte) || (extended && is_cc(tty, VEOL2, byte))) {
		echo_data(tty, byte);
		if (byte == 0xff && IFLAG(tty, PARMRK))
			put(tty, byte, 0);
		end_line(tty, byte, 0);
	} else {
		return false;
	}
	return true;
}

static void receive_data(struct tty *tty, unsigned char byte)
{
	echo_data(tty, byte);
	put_data(tty, byte);
	if (!canonical(tty))
		wake_readers(tty);
}

/* cf. n_tty_receive_char_special() */
static void receive_byte(struct tty *tty, unsigned char byte)
{
	if (IFLAG(tty, ISTRIP))
		byte &= 0x7f;
	if (IFLAG(tty, IUCLC) && LFLAG(tty, IEXTEN))
		byte = (unsigned char)tolower(byte);
	if (tty->in.lnext) {
		tty->in.lnext = false;
		receive_data(tty, byte);
		return;
	}
	if (receive_flow(tty, byte) || receive_signal(tty, byte))
		return;
	/* With IXANY any byte lets a stopped terminal go on, and still counts as input. */
	if (tty->stopped && IFLAG(tty, IXON) && IFLAG(tty, IXANY))
		tty_start(tty);
	if (byte == '\r') {
		if (IFLAG(tty, IGNCR))
			return;
		if (IFLAG(tty, ICRNL))
			byte = '\n';
	} else if (byte == '\n' && IFLAG(tty, INLCR)) {
		byte = '\r';
	}
	if (canonical(tty) && receive_canonical(tty, byte))
		return;
	receive_data(tty, byte);
}

size_t ldisc_receive(struct tty *tty, const unsigned char *buf, size_t len)
{
	size_t done = 0;

	while (done < len && !tty->pending_signal && ldisc_has_room(tty))
		receive_byte(tty, buf[done++]);
	return done;
}

/* ---- reading ---- */

size_t ldisc_available(const struct tty *tty)
{
	const struct ldisc *in = &tty->in;
	size_t count = 0;

	if (!canonical(tty))
		return used(in);
	/* End-of-file marks are no bytes (cf. inq_canon()). */
	for (size_t pos = in->tail; pos != in->canon_head; pos++)
		count += !(in->flags[pos % TTY_INPUT_BYTES] & LDISC_EOF);
	return count;
}

size_t ldisc_take(struct tty *tty, unsigned char *buf, size_t len, bool *ret_end)
{
	struct ldisc *in = &tty->in;
	size_t end = canonical(tty) ? in->canon_head : in->head, done = 0;

	*ret_end = false;
	while (in->tail != end && !*ret_end) {
		uint8_t flags = in->flags[in->tail % TTY_INPUT_BYTES];

		/* An EOF mark behind a full buffer goes with it, or the next read would be empty.
		 */
		if (done == len && !(canonical(tty) && (flags & LDISC_EOF)))
			break;
		if (!(flags & LDISC_EOF) || !canonical(tty))
			buf[done++] = byte_at(in, in->tail);
		in->tail++;
		*ret_end = canonical(tty) && (flags & LDISC_LINE_END);
	}
	if (in->canon_head - in->tail > TTY_INPUT_BYTES)
		in->canon_head = in->tail; /* raw reads overtake the lines */
	waitq_wake(&tty->master_write, POLLOUT | POLLWRNORM);
	return done;
}

void ldisc_flush_input(struct tty *tty)
{
	struct ldisc *in = &tty->in;

	in->tail = in->canon_head = in->head;
	in->lnext = false;
	in->erasing = false;
	tty_packet_event(tty, TIOCPKT_FLUSHREAD);
	waitq_wake(&tty->master_write, POLLOUT | POLLWRNORM);
}

/* Cf. n_tty_set_termios(): input that is there already changes its nature with ICANON. */
static void canonical_changed(struct tty *tty)
{
	struct ldisc *in = &tty->in;

	for (size_t pos = in->tail; pos != in->head; pos++)
		in->flags[pos % TTY_INPUT_BYTES] = 0;
	if (canonical(tty) && in->head != in->tail) {
		in->flags[(in->head - 1) % TTY_INPUT_BYTES] = LDISC_LINE_END;
		in->canon_head = in->head;
	} else {
		in->canon_head = in->tail;
	}
	in->lnext = false;
	in->erasing = false;
	wake_readers(tty);
}

void ldisc_termios_changed(struct tty *tty, const struct tty_termios *old)
{
	const struct tty_termios *new = &tty->termios;
	bool was, is;

	if ((old->lflag ^ new->lflag) & ICANON)
		canonical_changed(tty);
	/* Without IXON nothing typed could lift a stop. */
	if ((old->iflag & IXON) && !(new->iflag &IXON))
		tty_start(tty);
	/* TIOCPKT_DOSTOP: ^S and ^Q do what their names say (ioctl_tty(2)). */
	was = (old->iflag & IXON) && old->cc[VSTOP] == 19 && old->cc[VSTART] == 17;
	is = (new->iflag &IXON) && new->cc[VSTOP] == 19 && new->cc[VSTART] == 17;
	if (was != is)
		tty_packet_event(tty, is ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
	waitq_wake(&tty->master_write, POLLOUT | POLLWRNORM);
}

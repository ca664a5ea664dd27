/*
 * The way from the slave to the master: output processing (OPOST of termios(3)), echoes, flow
 * control. Everything here runs under tty->lock.
 */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <ctype.h>
#include <string.h>

#include "vfs/poll.h"
#include "vfs/tty/tty.h"

/* What one byte can become: a tab is eight spaces. */
#define EXPANSION_MAX 8

size_t tty_output_pending(const struct tty *tty)
{
	return tty->out_head - tty->out_tail;
}

static size_t ring_room(const struct tty *tty)
{
	return TTY_OUTPUT_BYTES - tty_output_pending(tty);
}

bool tty_output_has_room(const struct tty *tty)
{
	return !tty->stopped && ring_room(tty) >= TTY_OUTPUT_ECHO_BYTES + EXPANSION_MAX;
}

bool tty_is_continuation(const struct tty *tty, unsigned char byte)
{
	return (tty->termios.iflag & IUTF8) && (byte & 0xc0) == 0x80;
}

/* iscntrl() of the C locale for bytes. */
static bool is_control(unsigned char byte)
{
	return byte < 0x20 || byte == 0x7f;
}

static void ring_put(struct tty *tty, unsigned char byte)
{
	if (ring_room(tty) > 0)
		tty->out[tty->out_head++ % TTY_OUTPUT_BYTES] = byte;
}

static void put_newline(struct tty *tty)
{
	struct ldisc *in = &tty->in;

	if (tty->termios.oflag & ONLCR) {
		in->column = 0;
		ring_put(tty, '\r');
	} else if (tty->termios.oflag & ONLRET) {
		in->column = 0;
	}
	in->canon_column = in->column;
	ring_put(tty, '\n');
}

static void put_return(struct tty *tty)
{
	struct ldisc *in = &tty->in;
	uint32_t oflag = tty->termios.oflag;

	if ((oflag & ONOCR) && in->column == 0)
		return;
	if (!(oflag & OCRNL) || (oflag & ONLRET))
		in->canon_column = in->column = 0;
	ring_put(tty, oflag & OCRNL ? '\n' : '\r');
}

static void put_tab(struct tty *tty)
{
	unsigned spaces = 8 - (tty->in.column & 7);

	tty->in.column += spaces;
	if ((tty->termios.oflag & TABDLY) != XTABS) {
		ring_put(tty, '\t');
		return;
	}
	while (spaces--)
		ring_put(tty, ' ');
}

/* One byte with output processing. The cursor's column is tracked for tabs and erasing. */
static void put_processed(struct tty *tty, unsigned char byte)
{
	struct ldisc *in = &tty->in;

	switch (byte) {
	case '\n':
		put_newline(tty);
		return;
	case '\r':
		put_return(tty);
		return;
	case '\t':
		put_tab(tty);
		return;
	case '\b':
		if (in->column > 0)
			in->column--;
		break;
	default:
		if (is_control(byte))
			break;
		if (tty->termios.oflag & OLCUC)
			byte = (unsigned char)toupper(byte);
		if (!tty_is_continuation(tty, byte))
			in->column++;
	}
	ring_put(tty, byte);
}

size_t tty_output(struct tty *tty, const unsigned char *buf, size_t len)
{
	bool process = tty->termios.oflag & OPOST;
	size_t done = 0;

	while (done < len && tty_output_has_room(tty)) {
		if (process)
			put_processed(tty, buf[done]);
		else
			ring_put(tty, buf[done]);
		done++;
	}
	if (done)
		waitq_wake(&tty->master_read, POLLIN | POLLRDNORM);
	return done;
}

static void echo_byte(struct tty *tty, unsigned char byte)
{
	if (ring_room(tty) < EXPANSION_MAX)
		return;
	if (tty->termios.oflag & OPOST)
		put_processed(tty, byte);
	else
		ring_put(tty, byte);
}

void tty_echo(struct tty *tty, unsigned char byte, bool raw)
{
	if (!raw && (tty->termios.lflag & ECHOCTL) && is_control(byte) && byte != '\t') {
		if (ring_room(tty) < 2)
			return;
		ring_put(tty, '^');
		ring_put(tty, byte ^ 0100);
		tty->in.column += 2;
	} else {
		echo_byte(tty, byte);
	}
	waitq_wake(&tty->master_read, POLLIN | POLLRDNORM);
}

void tty_echo_back(struct tty *tty, unsigned columns)
{
	while (columns--) {
		ring_put(tty, '\b');
		if (tty->in.column > 0)
			tty->in.column--;
	}
	waitq_wake(&tty->master_read, POLLIN | POLLRDNORM);
}

void tty_flush_output(struct tty *tty)
{
	tty->out_tail = tty->out_head;
	tty_packet_event(tty, TIOCPKT_FLUSHWRITE);
	waitq_wake(&tty->slave_write, POLLOUT | POLLWRNORM);
}

void tty_packet_event(struct tty *tty, unsigned status)
{
	/* Opposites replace each other: only the latest state is of interest. */
	static const uint8_t pairs[][2] = {{TIOCPKT_STOP, TIOCPKT_START},
					   {TIOCPKT_NOSTOP, TIOCPKT_DOSTOP}};

	if (!tty->packet)
		return;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (status & pairs[i][0])
			tty->packet_status &= (uint8_t)~pairs[i][1];
		if (status & pairs[i][1])
			tty->packet_status &= (uint8_t)~pairs[i][0];
	}
	tty->packet_status |= (uint8_t)status;
	waitq_wake(&tty->master_read, POLLPRI | POLLIN | POLLRDNORM);
}

void tty_stop(struct tty *tty)
{
	if (tty->stopped)
		return;
	tty->stopped = true;
	tty_packet_event(tty, TIOCPKT_STOP);
}

void tty_start(struct tty *tty)
{
	if (!tty->stopped || tty->tco_stopped)
		return;
	tty->stopped = false;
	tty_packet_event(tty, TIOCPKT_START);
	waitq_wake(&tty->slave_write, POLLOUT | POLLWRNORM);
}

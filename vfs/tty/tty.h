/*
 * Terminals. Every terminal of the sandbox is a pseudo-terminal: a master end and a slave end with
 * the N_TTY line discipline between them (pty(7), termios(3), ioctl_tty(2)).
 *
 *	master write -> ldisc_receive() -> input buffer  -> slave read
 *	slave write  -> tty_output()    -> output ring   -> master read
 *
 * A terminal is born when its master is opened and hung up when that is closed for the last time.
 * Holders of a reference: the master's open file, each open file of the slave, the node in devpts,
 * and lookups by session.
 */
#ifndef FB_VFS_TTY_TTY_H
#define FB_VFS_TTY_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/wait.h"
#include "vfs/mount.h"

struct file;
struct file_ops;
struct io_iter;
struct op_ctx;
struct poll_table;

#define TTY_NCCS	      19
#define TTY_INPUT_BYTES	      4096  /* a line is at most one less (N_TTY_BUF_SIZE) */
#define TTY_OUTPUT_BYTES      16384 /* the ring between slave and master */
#define TTY_OUTPUT_ECHO_BYTES 2048  /* of it, kept free of writes for echoes */

/* The kernel's struct termios2; its first 36 bytes are struct termios of TCGETS. */
struct tty_termios {
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line;
	uint8_t cc[TTY_NCCS];
	uint32_t ispeed, ospeed;
};

struct tty_winsize {
	uint16_t row, col, xpixel, ypixel;
};

enum {
	LDISC_LINE_END = 1, /* a complete line ends with this byte */
	LDISC_EOF = 2,	    /* and the byte is not data: VEOF was typed */
};

/* Input: positions grow for ever and are taken modulo the size. tail <= canon_head <= head. */
struct ldisc {
	unsigned char buf[TTY_INPUT_BYTES];
	uint8_t flags[TTY_INPUT_BYTES]; /* LDISC_* of the byte */
	size_t head, tail;
	size_t canon_head;     /* end of the last complete line */
	bool lnext;	       /* the next byte is literal (VLNEXT was typed) */
	bool erasing;	       /* between '\' and '/' of ECHOPRT */
	unsigned column;       /* of the cursor, as far as output tells */
	unsigned canon_column; /* where the line under edit starts */
};

struct tty {
	struct ref ref;
	int index; /* N of /dev/pts/N; constant, as the next */
	dev_t dev;
	struct path fs_root; /* of the devpts with its node; counted by the open master, constant */
	struct list_node node; /* all terminals; guarded by the lock in jobctl.c, as the next two */
	pid_t session;	       /* guest sid whose controlling terminal this is; 0 = none */
	pid_t pgrp;	       /* foreground process group; 0 = none */

	struct fb_mutex lock; /* RANK_TTY: guards the rest */
	struct tty_termios termios;
	struct tty_winsize winsize;
	bool locked;	/* TIOCSPTLCK: the slave cannot be opened */
	bool exclusive; /* TIOCEXCL */
	bool master_open;
	bool slave_closed;     /* was open and is not: the master reads -EIO */
	int nr_slaves;	       /* open files of the slave end */
	atomic_uint hangups;   /* slave files opened before the last one are dead */
	bool packet;	       /* TIOCPKT */
	uint8_t packet_status; /* TIOCPKT_* not read yet */
	bool stopped;	       /* output held back: VSTOP, TCOOFF */
	bool tco_stopped;      /* by TCOOFF: only TCOON goes on */
	int pending_signal;    /* typed signal that ldisc_receive() wants sent */
	struct ldisc in;
	unsigned char out[TTY_OUTPUT_BYTES];
	size_t out_head, out_tail; /* as in struct ldisc */
	struct waitq slave_read, slave_write, master_read, master_write;
};

/* pty.c: life. Count 1; index and dev as given. NULL: out of memory. */
struct tty *tty_new(int index, dev_t dev);
struct tty *tty_get(struct tty *tty);
void tty_put(struct tty *tty);
/* Makes `file` the master of tty (takes the reference). The terminal starts locked. */
void tty_master_attach(struct file *file, struct tty *tty);
/* What master_fops.release does after devpts has dropped the node: hang up, drop the reference. */
void tty_master_close(struct file *file);
/*
 * Makes `file` a slave end (adds a reference): -EIO locked or hung up, -EBUSY exclusive. May make
 * the terminal the caller's controlling one (without O_NOCTTY).
 */
int tty_slave_attach(const struct op_ctx *ctx, struct file *file, struct tty *tty);
/* The terminal of an open master or slave file, borrowed; NULL: neither. */
struct tty *tty_of_file(const struct file *file);
/* Disconnects all open slave files: vhangup(2), close of the master. */
void tty_hangup(struct tty *tty);
void tty_set_winsize(struct tty *tty, const struct tty_winsize *winsize); /* SIGWINCH if new */
extern const struct file_ops tty_slave_fops;
/* Methods of a master's file_ops, which devpts completes with open and release. */
ssize_t tty_master_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			int64_t *pos, int rwf);
ssize_t tty_master_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			 int64_t *pos, int rwf);
unsigned tty_master_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table);

/* ldisc.c, output.c: all with tty->lock held. */
void ldisc_init(struct tty *tty);
/*
 * Typed bytes. Returns how many were taken: all, fewer when there is no room, or up to and
 * including one that asks for tty->pending_signal (the caller sends it without the lock, clears
 * it and goes on).
 */
size_t ldisc_receive(struct tty *tty, const unsigned char *buf, size_t len);
/* Could a master's write be taken now? */
bool ldisc_has_room(const struct tty *tty);
/* Bytes that a read would return at most: FIONREAD. */
size_t ldisc_available(const struct tty *tty);
/*
 * Takes input for one read: at most one line in canonical mode. *ret_end: the read is complete
 * (line or end of file). Returns the bytes.
 */
size_t ldisc_take(struct tty *tty, unsigned char *buf, size_t len, bool *ret_end);
void ldisc_flush_input(struct tty *tty);
/* The termios have been changed from `old`. */
void ldisc_termios_changed(struct tty *tty, const struct tty_termios *old);

/* Written bytes through OPOST into the ring; returns how many were taken. Wakes the master. */
size_t tty_output(struct tty *tty, const unsigned char *buf, size_t len);
bool tty_output_has_room(const struct tty *tty);
void tty_flush_output(struct tty *tty);
size_t tty_output_pending(const struct tty *tty);
/* Echoes; dropped when even the reserve is full. `raw`: no ^X for control characters. */
void tty_echo(struct tty *tty, unsigned char byte, bool raw);
void tty_echo_back(struct tty *tty, unsigned columns); /* moves the cursor left */
void tty_stop(struct tty *tty);			       /* VSTOP, TCOOFF */
void tty_start(struct tty *tty);
void tty_packet_event(struct tty *tty, unsigned status);	     /* TIOCPKT_* bits */
bool tty_is_continuation(const struct tty *tty, unsigned char byte); /* of UTF-8, with IUTF8 */

/* ioctl.c: both ends. */
long tty_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg);

/* jobctl.c: sessions and process groups. No lock held. */
void tty_list_add(struct tty *tty);
void tty_list_del(struct tty *tty);
/* The controlling terminal of a session, with a reference, or NULL. */
struct tty *tty_of_session(pid_t sid);
/* The same for show: its device and foreground group. False: none. */
bool tty_session_info(pid_t sid, dev_t *ret_dev, pid_t *ret_pgrp);
/*
 * The rule for background processes (cf. __tty_check_change()): 0 go on; -EIO; or the group has
 * got `signo` and the call has to be restarted: -ERESTARTSYS.
 */
int tty_check_change(const struct op_ctx *ctx, struct tty *tty, int signo);
/* open(2) of a slave without O_NOCTTY. */
void tty_open_set_ctty(const struct op_ctx *ctx, struct tty *tty, bool readable);
/* Makes it the controlling terminal of session sid, with sid in the foreground. */
void tty_set_session(struct tty *tty, pid_t sid, pid_t pgrp);
int tty_sctty(const struct op_ctx *ctx, struct tty *tty, bool steal, bool readable);
int tty_notty(const struct op_ctx *ctx, struct tty *tty);
pid_t tty_get_pgrp(struct tty *tty);
pid_t tty_get_session(struct tty *tty);
int tty_set_pgrp(const struct op_ctx *ctx, struct tty *tty, pid_t pgrp);
void tty_signal_foreground(struct tty *tty, int signo);
/* Hang-up: SIGHUP and SIGCONT to the session leader; the session has no terminal any more. */
void tty_disconnect_session(struct tty *tty);
/* The session leader has exited: SIGHUP to the foreground group, the terminal is free again. */
void tty_session_exit(pid_t sid);

/* Registers /dev/tty and /dev/console. Called once at start-up. */
void tty_devices_register(void);
/* The terminal that /dev/console opens (adds a reference; NULL: none). */
void tty_set_console(struct tty *tty);

#endif

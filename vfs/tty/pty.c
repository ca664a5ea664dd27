/*
 * Pseudo-terminals: birth and death of a terminal, and reading and writing at both ends.
 *
 * Hang-up follows tty_vhangup() of the kernel: slave files that were open before it are dead for
 * ever (read 0, write and ioctl -EIO, poll everything), told by tty->hangups against the count
 * the file has seen when it was opened.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/perm.h"
#include "vfs/poll.h"
#include "vfs/tty/tty.h"

#define CHUNK_BYTES   512
#define DECISECOND_NS 100000000ll

/* file->private of a slave end. A master's is the struct tty itself. */
struct slave {
	struct tty *tty;
	unsigned hangups;
};

struct tty *tty_new(int index, dev_t dev)
{
	struct tty *tty = calloc(1, sizeof(*tty));

	if (!tty)
		return NULL;
	ref_init(&tty->ref);
	tty->index = index;
	tty->dev = dev;
	fb_mutex_init(&tty->lock, RANK_TTY);
	waitq_init(&tty->slave_read);
	waitq_init(&tty->slave_write);
	waitq_init(&tty->master_read);
	waitq_init(&tty->master_write);
	ldisc_init(tty);
	tty->locked = true;
	tty_list_add(tty);
	return tty;
}

struct tty *tty_get(struct tty *tty)
{
	ref_get(&tty->ref);
	return tty;
}

void tty_put(struct tty *tty)
{
	if (!tty || !ref_put(&tty->ref))
		return;
	tty_list_del(tty);
	fb_mutex_destroy(&tty->lock);
	free(tty);
}

static bool slave_is_dead(const struct slave *slave)
{
	return slave->hangups != atomic_load(&slave->tty->hangups);
}

/* ---- life ---- */

void tty_master_attach(struct file *file, struct tty *tty)
{
	fb_mutex_lock(&tty->lock);
	tty->master_open = true;
	fb_mutex_unlock(&tty->lock);
	file->private = tty;
}

static void wake_everybody(struct tty *tty)
{
	waitq_wake_all(&tty->slave_read, 0);
	waitq_wake_all(&tty->slave_write, 0);
	waitq_wake_all(&tty->master_read, 0);
	waitq_wake_all(&tty->master_write, 0);
}

void tty_hangup(struct tty *tty)
{
	fb_mutex_lock(&tty->lock);
	atomic_fetch_add(&tty->hangups, 1);
	tty->nr_slaves = 0;
	tty->slave_closed = true;
	ldisc_flush_input(tty);
	fb_mutex_unlock(&tty->lock);
	tty_disconnect_session(tty);
	wake_everybody(tty);
}

void tty_master_close(struct file *file)
{
	struct tty *tty = file->private;

	fb_mutex_lock(&tty->lock);
	tty->master_open = false;
	fb_mutex_unlock(&tty->lock);
	tty_hangup(tty);
	tty_put(tty);
}

int tty_slave_attach(const struct op_ctx *ctx, struct file *file, struct tty *tty)
{
	struct slave *slave = calloc(1, sizeof(*slave));
	unsigned flags = atomic_load(&file->flags);
	int err = 0;

	if (!slave)
		return -ENOMEM;
	fb_mutex_lock(&tty->lock);
	if (!tty->master_open || tty->locked) {
		err = -EIO;
	} else if (tty->exclusive && tty->nr_slaves && !ctx_capable(ctx, CAP_SYS_ADMIN)) {
		err = -EBUSY;
	} else {
		tty->nr_slaves++;
		tty->slave_closed = false;
		slave->tty = tty_get(tty);
		slave->hangups = atomic_load(&tty->hangups);
	}
	fb_mutex_unlock(&tty->lock);
	if (err) {
		free(slave);
		return err;
	}
	file->private = slave;
	file->op = &tty_slave_fops;
	if (!(flags & O_NOCTTY))
		tty_open_set_ctty(ctx, tty, (file->fmode & FMODE_READ) != 0);
	return 0;
}

static void slave_release(const struct op_ctx *ctx, struct file *file)
{
	struct slave *slave = file->private;
	struct tty *tty;

	(void)ctx;
	if (!slave)
		return;
	tty = slave->tty;
	fb_mutex_lock(&tty->lock);
	if (!slave_is_dead(slave) && --tty->nr_slaves == 0) {
		tty->slave_closed = true;
		tty->exclusive = false;
		tty->packet = false;
		waitq_wake_all(&tty->master_read, 0);
		waitq_wake_all(&tty->master_write, 0);
	}
	fb_mutex_unlock(&tty->lock);
	tty_put(tty);
	free(slave);
}

struct tty *tty_of_file(const struct file *file)
{
	if (file->op == &tty_slave_fops)
		return ((const struct slave *)file->private)->tty;
	return file->op && file->op->read_iter == tty_master_read ? file->private : NULL;
}

void tty_set_winsize(struct tty *tty, const struct tty_winsize *winsize)
{
	bool changed;

	fb_mutex_lock(&tty->lock);
	changed = memcmp(&tty->winsize, winsize, sizeof(*winsize)) != 0;
	tty->winsize = *winsize;
	fb_mutex_unlock(&tty->lock);
	if (changed)
		tty_signal_foreground(tty, SIGWINCH);
}

/* ---- the slave's end ---- */

/* How long a read in raw mode waits: MIN and TIME of termios(3), "Noncanonical mode". */
struct read_plan {
	size_t min;	    /* bytes that satisfy the read */
	int64_t first_ns;   /* for the first byte; 0 = no limit, < 0: none at all */
	int64_t between_ns; /* between bytes; 0 = no limit */
};

static struct read_plan plan_read(const struct tty *tty)
{
	struct read_plan plan = {.min = 1};
	int64_t time_ns = tty->termios.cc[VTIME] * DECISECOND_NS;

	if (tty->termios.lflag & ICANON)
		return plan;
	if (tty->termios.cc[VMIN]) {
		plan.min = tty->termios.cc[VMIN];
		plan.between_ns = time_ns;
	} else {
		plan.first_ns = time_ns ? time_ns : -1;
	}
	return plan;
}

/* Waits for input; tty->lock held. 0: look again. -ETIMEDOUT ends the read with what is there. */
static int wait_for_input(struct file *file, struct tty *tty, const struct read_plan *plan,
			  bool started, int64_t *deadline_ns, int rwf)
{
	int64_t limit_ns = started ? plan->between_ns : plan->first_ns;

	if (limit_ns < 0)
		return -ETIMEDOUT;
	if (file_nonblock(file) || (rwf & RWF_NOWAIT))
		return -EAGAIN;
	if (limit_ns && !*deadline_ns)
		*deadline_ns = clock_monotonic_ns() + limit_ns;
	return waitq_wait(&tty->slave_read, POLLIN, &tty->lock, WAIT_INTERRUPTIBLE,
			  limit_ns ? *deadline_ns : WAIT_FOREVER);
}

/* Bytes for one round of a read, or why there are none; tty->lock held. */
static int slave_take(struct file *file, struct slave *slave, unsigned char *chunk, size_t len,
		      size_t done, int rwf, size_t *ret_taken, bool *ret_end)
{
	struct tty *tty = slave->tty;
	struct read_plan plan = plan_read(tty);
	int64_t deadline_ns = 0;
	int err;

	for (;;) {
		*ret_taken = ldisc_take(tty, chunk, len, ret_end);
		if (*ret_taken || *ret_end)
			return 0;
		if (done >= plan.min)
			return -ETIMEDOUT;
		err = wait_for_input(file, tty, &plan, done > 0, &deadline_ns, rwf);
		/* Who already waited learns of a hang-up as an error (cf. n_tty_read()). */
		if (slave_is_dead(slave))
			return -EIO;
		if (err)
			return err;
		plan = plan_read(tty);
	}
}

static ssize_t slave_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			  int64_t *pos, int rwf)
{
	struct slave *slave = file->private;
	unsigned char chunk[CHUNK_BYTES];
	size_t done = 0, min;
	bool end = false;
	int err;

	(void)pos;
	if (slave_is_dead(slave))
		return 0;
	err = tty_check_change(ctx, slave->tty, SIGTTIN);
	while (!err && to->count && !end) {
		size_t want = to->count < sizeof(chunk) ? to->count : sizeof(chunk), taken, copied;

		fb_mutex_lock(&slave->tty->lock);
		err = slave_take(file, slave, chunk, want, done, rwf, &taken, &end);
		min = plan_read(slave->tty).min;
		fb_mutex_unlock(&slave->tty->lock);
		if (err || !taken)
			break;
		copied = iter_to(to, chunk, taken);
		done += copied;
		if (copied < taken)
			err = -EFAULT;
		if (taken < want && done >= min)
			break;
	}
	if (done || err == -ETIMEDOUT)
		return (ssize_t)done;
	return err;
}

/* Waits for room; tty->lock held. */
static int wait_for_output(struct file *file, struct slave *slave, int rwf)
{
	if (file_nonblock(file) || (rwf & RWF_NOWAIT))
		return -EAGAIN;
	return waitq_wait(&slave->tty->slave_write, POLLOUT, &slave->tty->lock, WAIT_INTERRUPTIBLE,
			  WAIT_FOREVER);
}

static bool wants_stop(struct tty *tty)
{
	bool wants;

	fb_mutex_lock(&tty->lock);
	wants = tty->termios.lflag & TOSTOP;
	fb_mutex_unlock(&tty->lock);
	return wants;
}

/*
 * Either side's write(2): `give` passes on what it can of a chunk, and stores in *done how much that
 * was. tty->lock is held over it; it may wait.
 */
static ssize_t write_chunks(struct file *file, struct tty *tty, struct io_iter *from, int rwf,
			    int (*give)(struct file *file, struct tty *tty, const unsigned char *chunk,
					size_t len, int rwf, size_t *done))
{
	unsigned char chunk[CHUNK_BYTES];
	size_t total = 0;
	int err = 0;

	while (!err && from->count) {
		struct iter_mark mark = iter_save(from);
		size_t got = iter_from(from, chunk,
				       from->count < sizeof(chunk) ? from->count : sizeof(chunk));
		size_t done = 0;

		if (!got)
			err = -EFAULT;
		fb_mutex_lock(&tty->lock);
		if (!err)
			err = give(file, tty, chunk, got, rwf, &done);
		fb_mutex_unlock(&tty->lock);
		total += done;
		if (done < got) {
			iter_restore(from, mark);
			iter_advance(from, done);
		}
	}
	return total ? (ssize_t)total : err;
}

static int slave_give(struct file *file, struct tty *tty, const unsigned char *chunk, size_t len,
		      int rwf, size_t *done)
{
	struct slave *slave = file->private;
	int err = 0;

	while (!err && *done < len) {
		if (slave_is_dead(slave))
			return -EIO;
		*done += tty_output(tty, chunk + *done, len - *done);
		if (*done < len)
			err = wait_for_output(file, slave, rwf);
	}
	return err;
}

static ssize_t slave_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			   int64_t *pos, int rwf)
{
	struct slave *slave = file->private;
	struct tty *tty = slave->tty;
	int err = 0;

	(void)pos;
	if (slave_is_dead(slave))
		return -EIO;
	if (wants_stop(tty))
		err = tty_check_change(ctx, tty, SIGTTOU);
	return err ? err : write_chunks(file, tty, from, rwf, slave_give);
}

/* Cf. n_tty_poll(): in raw mode without TIME a reader is told when MIN bytes are there. */
static bool slave_readable(const struct tty *tty)
{
	const struct tty_termios *termios = &tty->termios;

	if (termios->lflag & ICANON)
		return tty->in.canon_head != tty->in.tail;
	if (!termios->cc[VTIME] && termios->cc[VMIN])
		return ldisc_available(tty) >= termios->cc[VMIN];
	return ldisc_available(tty) > 0;
}

static unsigned slave_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct slave *slave = file->private;
	struct tty *tty = slave->tty;
	unsigned ready = 0;

	(void)ctx;
	poll_wait(table, file, &tty->slave_read);
	poll_wait(table, file, &tty->slave_write);
	fb_mutex_lock(&tty->lock);
	if (slave_is_dead(slave))
		ready = POLL_ALWAYS | POLLERR | POLLHUP;
	if (slave_readable(tty))
		ready |= POLLIN | POLLRDNORM;
	if (tty_output_has_room(tty))
		ready |= POLLOUT | POLLWRNORM;
	fb_mutex_unlock(&tty->lock);
	return ready;
}

static long slave_ioctl(const struct op_ctx *ctx, struct file *file, unsigned cmd, uint64_t arg)
{
	if (slave_is_dead(file->private))
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO; /* cf. hung_up_tty_ioctl() */
	return tty_ioctl(ctx, file, cmd, arg);
}

static int tty_fasync(const struct op_ctx *ctx, struct file *file, bool on)
{
	(void)ctx;
	(void)file;
	return on ? -EINVAL : 0;
}

/* ---- the master's end ---- */

/* Takes output for a master's read; tty->lock held. */
static size_t take_output(struct tty *tty, unsigned char *chunk, size_t len)
{
	size_t done = 0;

	while (done < len && tty->out_tail != tty->out_head)
		chunk[done++] = tty->out[tty->out_tail++ % TTY_OUTPUT_BYTES];
	if (done)
		waitq_wake(&tty->slave_write, POLLOUT | POLLWRNORM);
	return done;
}

/*
 * The first bytes of a master's read, its packet mode prefix included; tty->lock held. 0 with
 * *ret_taken bytes, or -errno.
 */
static int master_take(struct file *file, struct tty *tty, unsigned char *chunk, size_t len,
		       int rwf, size_t *ret_taken)
{
	int err;

	for (;;) {
		size_t prefix = tty->packet ? 1 : 0;

		if (tty->packet && tty->packet_status) {
			chunk[0] = tty->packet_status;
			tty->packet_status = 0;
			*ret_taken = 1;
			return 0;
		}
		*ret_taken = take_output(tty, chunk + prefix, len - prefix);
		if (*ret_taken || (prefix && len == 1 && tty->out_tail != tty->out_head)) {
			if (prefix)
				chunk[0] = TIOCPKT_DATA;
			*ret_taken += prefix;
			return 0;
		}
		if (tty->slave_closed)
			return -EIO;
		if (file_nonblock(file) || (rwf & RWF_NOWAIT))
			return -EAGAIN;
		err = waitq_wait(&tty->master_read, POLLIN, &tty->lock, WAIT_INTERRUPTIBLE,
				 WAIT_FOREVER);
		if (err)
			return err;
	}
}

ssize_t tty_master_read(const struct op_ctx *ctx, struct file *file, struct io_iter *to,
			int64_t *pos, int rwf)
{
	struct tty *tty = file->private;
	unsigned char chunk[CHUNK_BYTES];
	size_t done, copied, taken;
	int err;

	(void)ctx;
	(void)pos;
	if (!to->count)
		return 0;
	fb_mutex_lock(&tty->lock);
	err = master_take(file, tty, chunk, to->count < sizeof(chunk) ? to->count : sizeof(chunk),
			  rwf, &taken);
	fb_mutex_unlock(&tty->lock);
	if (err)
		return err;
	done = copied = iter_to(to, chunk, taken);
	while (copied == taken && to->count && taken > 1) {
		fb_mutex_lock(&tty->lock);
		taken = take_output(tty, chunk,
				    to->count < sizeof(chunk) ? to->count : sizeof(chunk));
		fb_mutex_unlock(&tty->lock);
		copied = iter_to(to, chunk, taken);
		done += copied;
	}
	return done ? (ssize_t)done : -EFAULT;
}

/* Sends what ldisc_receive() has noted. tty->lock held; given up meanwhile. */
static void send_pending_signal(struct tty *tty)
{
	int signo = tty->pending_signal;

	tty->pending_signal = 0;
	fb_mutex_unlock(&tty->lock);
	tty_signal_foreground(tty, signo);
	fb_mutex_lock(&tty->lock);
}

/* Hands bytes to the line discipline; tty->lock held. */
static int master_give(struct file *file, struct tty *tty, const unsigned char *chunk, size_t len,
		       int rwf, size_t *done)
{
	int err = 0;

	while (!err && *done < len) {
		*done += ldisc_receive(tty, chunk + *done, len - *done);
		if (tty->pending_signal)
			send_pending_signal(tty);
		else if (*done < len && (file_nonblock(file) || (rwf & RWF_NOWAIT)))
			err = -EAGAIN;
		else if (*done < len)
			err = waitq_wait(&tty->master_write, POLLOUT, &tty->lock,
					 WAIT_INTERRUPTIBLE, WAIT_FOREVER);
	}
	return err;
}

ssize_t tty_master_write(const struct op_ctx *ctx, struct file *file, struct io_iter *from,
			 int64_t *pos, int rwf)
{
	(void)ctx;
	(void)pos;
	return write_chunks(file, file->private, from, rwf, master_give);
}

unsigned tty_master_poll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct tty *tty = file->private;
	unsigned ready = 0;

	(void)ctx;
	poll_wait(table, file, &tty->master_read);
	poll_wait(table, file, &tty->master_write);
	fb_mutex_lock(&tty->lock);
	if (tty_output_pending(tty))
		ready |= POLLIN | POLLRDNORM;
	if (tty->packet && tty->packet_status)
		ready |= POLLPRI | POLLIN | POLLRDNORM;
	if (ldisc_has_room(tty))
		ready |= POLLOUT | POLLWRNORM;
	if (tty->slave_closed)
		ready |= POLLHUP;
	fb_mutex_unlock(&tty->lock);
	return ready;
}

const struct file_ops tty_slave_fops = {
	.read_iter = slave_read,
	.write_iter = slave_write,
	.poll = slave_poll,
	.ioctl = slave_ioctl,
	.release = slave_release,
	.fasync = tty_fasync,
	.nowait = true,
	.no_position = true,
};

/*
 * Sessions and terminals: which terminal controls which session, who is in the foreground, and
 * what happens to those who are not (credentials(7), setsid(2), ioctl_tty(2)).
 *
 * A controlling terminal belongs to a session here, where Linux keeps it per process: a single
 * process of a session cannot give it up (TIOCNOTTY) without its leader. Who calls setsid(2) has
 * another session id and so no terminal, with nothing to be done.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/sysmacros.h>

#include "sentry/base/err.h"
#include "vfs/chrdev.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/inode.h"
#include "vfs/perm.h"
#include "vfs/tasks.h"
#include "vfs/tty/tty.h"

/* A stopped background process looks again this often, should its signal have been lost. */
#define RECHECK_NS 100000000ll

static struct fb_mutex ctty_lock = FB_MUTEX_INIT(RANK_LEAF); /* guards all below */
static struct list_node ttys = LIST_INIT(ttys);
static struct tty *console;

void tty_list_add(struct tty *tty)
{
	fb_mutex_lock(&ctty_lock);
	list_add_tail(&ttys, &tty->node);
	fb_mutex_unlock(&ctty_lock);
}

void tty_list_del(struct tty *tty)
{
	fb_mutex_lock(&ctty_lock);
	list_del(&tty->node);
	fb_mutex_unlock(&ctty_lock);
}

/* ctty_lock held. The terminal may be on its way out: only its count decides. */
static struct tty *find_session(pid_t sid)
{
	struct tty *tty;

	if (sid > 0)
		list_for_each (tty, &ttys, node)
			if (tty->session == sid)
				return tty;
	return NULL;
}

struct tty *tty_of_session(pid_t sid)
{
	struct tty *tty;

	fb_mutex_lock(&ctty_lock);
	tty = find_session(sid);
	if (tty && !ref_get_unless_zero(&tty->ref))
		tty = NULL;
	fb_mutex_unlock(&ctty_lock);
	return tty;
}

bool tty_session_info(pid_t sid, dev_t *ret_dev, pid_t *ret_pgrp)
{
	struct tty *tty;

	fb_mutex_lock(&ctty_lock);
	tty = find_session(sid);
	if (tty) {
		*ret_dev = tty->dev;
		*ret_pgrp = tty->pgrp ? tty->pgrp : -1;
	}
	fb_mutex_unlock(&ctty_lock);
	return tty != NULL;
}

pid_t tty_get_pgrp(struct tty *tty)
{
	pid_t pgrp;

	fb_mutex_lock(&ctty_lock);
	pgrp = tty->pgrp;
	fb_mutex_unlock(&ctty_lock);
	return pgrp;
}

pid_t tty_get_session(struct tty *tty)
{
	pid_t session;

	fb_mutex_lock(&ctty_lock);
	session = tty->session;
	fb_mutex_unlock(&ctty_lock);
	return session;
}

static int signal_group(const struct op_ctx *ctx, pid_t pgrp, int signo)
{
	if (ctx && ctx->ops && ctx->ops->signal_pgrp)
		return ctx->ops->signal_pgrp(ctx, pgrp, signo);
	return vfs_signal_pgrp(pgrp, signo);
}

void tty_signal_foreground(struct tty *tty, int signo)
{
	pid_t pgrp = tty_get_pgrp(tty);

	if (pgrp > 0)
		(void)vfs_signal_pgrp(pgrp, signo);
}

/* ---- background processes ---- */

int tty_check_change(const struct op_ctx *ctx, struct tty *tty, int signo)
{
	pid_t sid = ctx_sid(ctx), pgrp = ctx_pgid(ctx), foreground;
	int err;

	for (;;) {
		if (sid <= 0 || tty_get_session(tty) != sid)
			return 0; /* not our controlling terminal: no job control */
		foreground = tty_get_pgrp(tty);
		if (!foreground || pgrp == foreground)
			return 0;
		if (vfs_signal_ignored(ctx, signo))
			return signo == SIGTTIN ? -EIO : 0;
		if (vfs_pgrp_orphaned(pgrp))
			return -EIO;
		if (signal_group(ctx, pgrp, signo))
			return -EIO;
		/*
		 * The caller stops here, not after an error it could see: the signal is taken
		 * while it waits, and its call starts anew when it is continued.
		 */
		err = waiter_sleep(WAIT_INTERRUPTIBLE, clock_monotonic_ns() + RECHECK_NS);
		if (err && err != -ETIMEDOUT)
			return -ERESTARTSYS;
		pgrp = ctx_pgid(ctx);
	}
}

/* ---- getting and losing a controlling terminal ---- */

void tty_set_session(struct tty *tty, pid_t sid, pid_t pgrp)
{
	fb_mutex_lock(&ctty_lock);
	tty->session = sid;
	tty->pgrp = pgrp;
	fb_mutex_unlock(&ctty_lock);
}

/* Only for a leader without a terminal and a terminal without a session. */
static int acquire(const struct op_ctx *ctx, struct tty *tty, bool steal)
{
	pid_t sid = ctx_sid(ctx), pgrp = ctx_pgid(ctx);
	int err = 0;

	if (sid <= 0 || ctx->tgid != sid)
		return -EPERM;
	fb_mutex_lock(&ctty_lock);
	if (find_session(sid) || (tty->session && !steal)) {
		err = -EPERM;
	} else {
		tty->session = sid;
		tty->pgrp = pgrp;
	}
	fb_mutex_unlock(&ctty_lock);
	return err;
}

void tty_open_set_ctty(const struct op_ctx *ctx, struct tty *tty, bool readable)
{
	if (readable)
		(void)acquire(ctx, tty, false);
}

int tty_sctty(const struct op_ctx *ctx, struct tty *tty, bool steal, bool readable)
{
	pid_t sid = ctx_sid(ctx);

	if (sid > 0 && ctx->tgid == sid && tty_get_session(tty) == sid)
		return 0;
	if (!readable && !ctx_capable(ctx, CAP_SYS_ADMIN))
		return -EPERM;
	return acquire(ctx, tty, steal && ctx_capable(ctx, CAP_SYS_ADMIN));
}

/* Frees the terminal of a session; hands out the foreground group. */
static pid_t release_session(struct tty *tty, pid_t sid)
{
	pid_t pgrp = 0;

	fb_mutex_lock(&ctty_lock);
	if (tty->session == sid) {
		pgrp = tty->pgrp;
		tty->session = 0;
		tty->pgrp = 0;
	}
	fb_mutex_unlock(&ctty_lock);
	return pgrp;
}

/* Cf. disassociate_ctty(). */
int tty_notty(const struct op_ctx *ctx, struct tty *tty)
{
	pid_t sid = ctx_sid(ctx), pgrp;

	if (sid <= 0 || tty_get_session(tty) != sid)
		return -ENOTTY;
	if (ctx->tgid != sid)
		return 0;
	pgrp = release_session(tty, sid);
	if (pgrp > 0) {
		(void)vfs_signal_pgrp(pgrp, SIGHUP);
		(void)vfs_signal_pgrp(pgrp, SIGCONT);
	}
	return 0;
}

void tty_session_exit(pid_t sid)
{
	struct tty *tty = tty_of_session(sid);
	pid_t pgrp;

	if (!tty)
		return;
	pgrp = release_session(tty, sid);
	if (pgrp > 0)
		(void)vfs_signal_pgrp(pgrp, SIGHUP);
	tty_put(tty);
}

void tty_disconnect_session(struct tty *tty)
{
	pid_t sid = tty_get_session(tty);

	if (!sid)
		return;
	(void)release_session(tty, sid);
	(void)vfs_signal_process(sid, SIGHUP);
	(void)vfs_signal_process(sid, SIGCONT);
}

/* Cf. tiocspgrp(). */
int tty_set_pgrp(const struct op_ctx *ctx, struct tty *tty, pid_t pgrp)
{
	pid_t sid = ctx_sid(ctx), session;
	int err = tty_check_change(ctx, tty, SIGTTOU);

	if (err)
		return err == -EIO ? -ENOTTY : err;
	if (sid <= 0 || tty_get_session(tty) != sid)
		return -ENOTTY;
	if (pgrp < 0)
		return -EINVAL;
	session = vfs_pgrp_session(pgrp);
	if (!session)
		return -ESRCH;
	if (session != sid)
		return -EPERM;
	fb_mutex_lock(&ctty_lock);
	if (tty->session == sid)
		tty->pgrp = pgrp;
	fb_mutex_unlock(&ctty_lock);
	return 0;
}

/* ---- /dev/tty and /dev/console ---- */

static int ctty_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct tty *tty = tty_of_session(ctx_sid(ctx));
	int err;

	(void)inode;
	if (!tty)
		return -ENXIO;
	err = tty_slave_attach(ctx, file, tty);
	tty_put(tty);
	return err;
}

void tty_set_console(struct tty *tty)
{
	struct tty *old;

	if (tty)
		tty_get(tty);
	fb_mutex_lock(&ctty_lock);
	old = console;
	console = tty;
	fb_mutex_unlock(&ctty_lock);
	tty_put(old);
}

/* Never becomes a controlling terminal by being opened (cf. tty_open_proc_set_tty()). */
static int console_dev_open(const struct op_ctx *ctx, struct inode *inode, struct file *file)
{
	struct tty *tty;
	int err;

	(void)inode;
	fb_mutex_lock(&ctty_lock);
	tty = console ? tty_get(console) : NULL;
	fb_mutex_unlock(&ctty_lock);
	if (!tty)
		return -ENODEV;
	err = tty_slave_attach(ctx, file, tty);
	tty_put(tty);
	return err;
}

static const struct file_ops ctty_fops = {
	.open = ctty_open,
};

static const struct file_ops console_fops = {
	.open = console_dev_open,
};

void tty_devices_register(void)
{
	(void)chrdev_register(makedev(5, 0), "tty", 0666, &ctty_fops);
	(void)chrdev_register(makedev(5, 1), "console", 0600, &console_fops);
}

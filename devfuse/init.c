/*
 * FUSE_INIT: what we offer, and what the daemon's answer means (matrix section 2).
 *
 * Only what works is offered. Bits that the daemon sets without an offer are honoured as Linux
 * does (I06), except those that name something we do not have.
 */
#include <stdlib.h>
#include <string.h>

#include "devfuse/params.h"
#include "devfuse/request.h"
#include "devfuse/timeout.h"
#include "vfs/strbuf.h"

#define MAX_PAGES_DEFAULT 32
#define PAGE		  4096u
#define STACK_DEPTH_MAX	  2 /* FILESYSTEM_MAX_STACK_DEPTH */

static const struct {
	uint64_t flag;
	const char *name;
	bool offered;
	bool honoured; /* taken from the answer into conn->flags */
} init_flags[] = {
	{FUSE_ASYNC_READ, "ASYNC_READ", true, true},
	{FUSE_POSIX_LOCKS, "POSIX_LOCKS", true, true},
	{FUSE_ATOMIC_O_TRUNC, "ATOMIC_O_TRUNC", true, true},
	{FUSE_EXPORT_SUPPORT, "EXPORT_SUPPORT", true, true},
	{FUSE_BIG_WRITES, "BIG_WRITES", true, true},
	{FUSE_DONT_MASK, "DONT_MASK", true, true},
	{FUSE_SPLICE_WRITE, "SPLICE_WRITE", true, false},
	{FUSE_SPLICE_MOVE, "SPLICE_MOVE", true, false},
	{FUSE_SPLICE_READ, "SPLICE_READ", true, false},
	{FUSE_FLOCK_LOCKS, "FLOCK_LOCKS", true, true},
	{FUSE_HAS_IOCTL_DIR, "HAS_IOCTL_DIR", true, false},
	{FUSE_AUTO_INVAL_DATA, "AUTO_INVAL_DATA", true, true},
	{FUSE_DO_READDIRPLUS, "DO_READDIRPLUS", true, true},
	{FUSE_READDIRPLUS_AUTO, "READDIRPLUS_AUTO", true, true},
	{FUSE_ASYNC_DIO, "ASYNC_DIO", true, true},
	{FUSE_WRITEBACK_CACHE, "WRITEBACK_CACHE", true, true},
	{FUSE_NO_OPEN_SUPPORT, "NO_OPEN_SUPPORT", true, false},
	{FUSE_PARALLEL_DIROPS, "PARALLEL_DIROPS", true, true},
	{FUSE_HANDLE_KILLPRIV, "HANDLE_KILLPRIV", true, true},
	{FUSE_POSIX_ACL, "POSIX_ACL", true, true},
	{FUSE_ABORT_ERROR, "ABORT_ERROR", true, true},
	{FUSE_MAX_PAGES, "MAX_PAGES", true, true},
	{FUSE_CACHE_SYMLINKS, "CACHE_SYMLINKS", true, true},
	{FUSE_NO_OPENDIR_SUPPORT, "NO_OPENDIR_SUPPORT", true, false},
	{FUSE_EXPLICIT_INVAL_DATA, "EXPLICIT_INVAL_DATA", true, true},
	{FUSE_HANDLE_KILLPRIV_V2, "HANDLE_KILLPRIV_V2", true, true},
	{FUSE_SETXATTR_EXT, "SETXATTR_EXT", true, true},
	{FUSE_INIT_EXT, "INIT_EXT", true, true},
	{FUSE_SECURITY_CTX, "SECURITY_CTX", true, true},
	{FUSE_CREATE_SUPP_GROUP, "CREATE_SUPP_GROUP", true, true},
	{FUSE_HAS_EXPIRE_ONLY, "HAS_EXPIRE_ONLY", true, false},
	{FUSE_DIRECT_IO_ALLOW_MMAP, "DIRECT_IO_ALLOW_MMAP", true, true},
	{FUSE_PASSTHROUGH, "PASSTHROUGH", true, true},
	{FUSE_NO_EXPORT_SUPPORT, "NO_EXPORT_SUPPORT", true, true},
	{FUSE_HAS_RESEND, "HAS_RESEND", true, true},
	{FUSE_ALLOW_IDMAP, "ALLOW_IDMAP", false, false},
	{FUSE_OVER_IO_URING, "OVER_IO_URING", true, true},
	{FUSE_REQUEST_TIMEOUT, "REQUEST_TIMEOUT", true, true},
};
#define NR_INIT_FLAGS (sizeof(init_flags) / sizeof(init_flags[0]))

/* The module parameter that has to be set for it, or NULL. */
static const atomic_ulong *flag_param(uint64_t flag)
{
	return flag == FUSE_OVER_IO_URING ? &fuse_params.enable_uring : NULL; /* U01 */
}

static bool flag_allowed(uint64_t flag)
{
	const atomic_ulong *param = flag_param(flag);

	return !param || atomic_load(param);
}

void fuse_init_flag_list(struct strbuf *out)
{
	for (size_t i = 0; i < NR_INIT_FLAGS; i++)
		strbuf_printf(out, "| %d | %s | %s | %s |\n", __builtin_ctzll(init_flags[i].flag),
			      init_flags[i].name,
			      flag_param(init_flags[i].flag) ? "with its module parameter"
			      : init_flags[i].offered ? "yes"
						      : "no",
			      init_flags[i].honoured ? "yes" : "no");
}

struct init_request {
	struct fuse_args args;
	struct fuse_init_in in;
	struct fuse_init_out out;
};

int fuse_conn_send_init(struct fuse_conn *conn)
{
	struct init_request *init = calloc(1, sizeof(*init));
	uint64_t offer = 0;
	int err;

	if (!init)
		return -ENOMEM;
	for (size_t i = 0; i < NR_INIT_FLAGS; i++)
		if (init_flags[i].offered && flag_allowed(init_flags[i].flag))
			offer |= init_flags[i].flag;
	init->in.major = FUSE_KERNEL_VERSION;
	init->in.minor = FUSE_KERNEL_MINOR_VERSION;
	init->in.max_readahead = conn->max_readahead;
	init->in.flags = (uint32_t)offer;
	init->in.flags2 = (uint32_t)(offer >> 32);
	init->args.opcode = FUSE_INIT;
	init->args.incarnation = conn->incarnation;
	init->args.nocreds = init->args.force = true;
	init->args.nr_in = init->args.nr_out = 1;
	init->args.in[0] = (struct fuse_in_arg){&init->in, sizeof(init->in)};
	init->args.out[0] = (struct fuse_out_arg){&init->out, sizeof(init->out)};
	init->args.done = fuse_init_done;
	init->args.owner = init;
	err = fuse_conn_send(conn, NULL, &init->args);
	if (err)
		free(init);
	return err;
}

/* 2.3: what the daemon asked for, cut to what the module parameter lets users have. */
static unsigned user_limit(const struct fuse_conn *conn, unsigned wanted, atomic_ulong *param)
{
	unsigned long limit = atomic_load(param);

	return conn->init_by_admin || wanted <= limit ? wanted : (unsigned)limit;
}

static uint32_t max_write_of(const struct fuse_init_out *out)
{
	return out->minor < 5 || out->max_write < PAGE ? PAGE : out->max_write;
}

static uint32_t max_pages_of(const struct fuse_conn *conn, uint64_t flags,
			     const struct fuse_init_out *out)
{
	uint32_t pages = out->max_pages ? out->max_pages : 1;

	if (!(flags & FUSE_MAX_PAGES))
		return MAX_PAGES_DEFAULT;
	return pages > conn->max_pages_limit ? conn->max_pages_limit : pages;
}

static void take_limits(struct fuse_conn *conn, const struct fuse_init_out *out)
{
	conn->max_write = max_write_of(out);
	conn->max_pages = max_pages_of(conn, conn->flags, out);
	if (conn->minor >= 6 && out->max_readahead / PAGE * PAGE < conn->max_readahead)
		conn->max_readahead = out->max_readahead / PAGE * PAGE;
	if (conn->minor >= 6 && out->time_gran >= 1 && out->time_gran <= 1000000000)
		conn->time_gran_ns = out->time_gran;
	if (conn->flags & FUSE_PASSTHROUGH)
		conn->max_stack_depth = out->max_stack_depth;
	if (conn->minor >= 13) {
		if (out->max_background)
			conn->max_background = user_limit(conn, out->max_background,
							  &fuse_params.max_user_bgreq);
		if (out->congestion_threshold)
			conn->congestion_threshold = user_limit(conn, out->congestion_threshold,
								&fuse_params.max_user_congthresh);
	}
}

/* The flags that this answer puts in force. */
static uint64_t flags_of(const struct fuse_init_out *out)
{
	uint64_t flags = out->flags, honoured = 0;

	if (flags & FUSE_INIT_EXT) /* I07 */
		flags |= (uint64_t)out->flags2 << 32;
	if (out->minor < 6)
		flags = 0;
	for (size_t i = 0; i < NR_INIT_FLAGS; i++)
		if (init_flags[i].honoured && flag_allowed(init_flags[i].flag))
			honoured |= flags & init_flags[i].flag;
	/* Without a legal depth, or with dirty pages of our own, it is silently off. */
	if (out->max_stack_depth < 1 || out->max_stack_depth > STACK_DEPTH_MAX ||
	    (honoured & FUSE_WRITEBACK_CACHE))
		honoured &= ~FUSE_PASSTHROUGH;
	/* Before 7.17 flock went where POSIX locks went. */
	if (out->minor < 17 && (honoured & FUSE_POSIX_LOCKS))
		honoured |= FUSE_FLOCK_LOCKS;
	else if (out->minor < 17)
		honoured &= ~FUSE_FLOCK_LOCKS;
	return honoured;
}

/*
 * A dead daemon's successor: clients have been promised what the first one agreed to, and requests
 * of its size may be under way. More room is fine, but stays unused.
 */
static bool same_terms(const struct fuse_conn *conn, const struct fuse_init_out *out)
{
	uint64_t flags = flags_of(out);

	return out->minor == conn->minor && flags == conn->flags &&
	       max_write_of(out) >= conn->max_write &&
	       max_pages_of(conn, flags, out) >= conn->max_pages &&
	       (!(flags & FUSE_PASSTHROUGH) || out->max_stack_depth == conn->max_stack_depth);
}

/* The gate opens: for requests, or for errors. lock held. */
static void open_gate(struct fuse_conn *conn)
{
	conn->initialized.open = true;
	conn->ring_promised = fuse_conn_has(conn, FUSE_OVER_IO_URING);
	fuse_background_flush(conn, NULL);
	waitq_wake_all(&conn->initialized.waiters, 0);
}

static void init_again(struct fuse_conn *conn, const struct init_request *init, bool ok)
{
	fb_mutex_lock(&conn->lock);
	if (init->args.incarnation != conn->incarnation) { /* dead already */
		fb_mutex_unlock(&conn->lock);
		return;
	}
	ok = ok && same_terms(conn, &init->out);
	if (ok && conn->connected) {
		conn->vacant = false;
		open_gate(conn);
	}
	fb_mutex_unlock(&conn->lock);
	if (ok) {
		conn->ops->poll_again(conn);
		return;
	}
	fb_log(LOG_WARN,
	       "fuse: connection %u: the new daemon does not answer INIT as the old one did, aborting",
	       conn->id);
	fuse_conn_abort(conn, false);
}

void fuse_init_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct init_request *init = args->owner;
	bool ok = result >= 8 && init->out.major == FUSE_KERNEL_VERSION;

	if (conn->vacant) { /* kept: a dead daemon's successor, or that has died, too */
		if (result != -EDAEMONDIED)
			init_again(conn, init, ok);
		free(init);
		return;
	}
	fb_mutex_lock(&conn->lock);
	if (ok && conn->connected) {
		conn->minor = init->out.minor;
		conn->flags = flags_of(&init->out);
		take_limits(conn, &init->out);
		fuse_timeout_start(conn, conn->flags & FUSE_REQUEST_TIMEOUT
						 ? init->out.request_timeout
						 : 0);
	}
	fb_mutex_unlock(&conn->lock);
	free(init);
	if (ok)
		conn->ops->initialized(conn);
	fb_mutex_lock(&conn->lock);
	if (!ok) {
		conn->conn_error = true; /* I04: no second INIT ever comes */
		if (conn->connected)
			fb_log(LOG_INFO, "fuse: the daemon's INIT reply was refused");
	}
	open_gate(conn);
	fb_mutex_unlock(&conn->lock);
}

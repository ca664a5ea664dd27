/*
 * Requests whose client was killed after the daemon had read them.
 *
 * Linux leaves such a client in an uninterruptible wait (D82); a client of ours dies at once, and
 * its request lives on as an orphan of the connection. What the daemon then still does for it -
 * count a lookup, open a file, grant a lock - is undone by us, so that the daemon's books stay
 * right (F170) although nobody is there to own the result. Until its answer has come, the objects
 * in args->pins stay alive: FORGET or RELEASE must not overtake the request.
 */
#include <stdlib.h>
#include <string.h>

#include "devfuse/request.h"

static void forget_one(struct fuse_conn *conn, uint64_t nodeid, unsigned incarnation)
{
	struct fuse_forget *forget;

	if (nodeid == 0 || nodeid == FUSE_ROOT_ID)
		return;
	forget = malloc(sizeof(*forget));
	if (forget)
		fuse_conn_forget(conn, forget, nodeid, 1, incarnation);
}

/* What an answer with side effects needs to be read, in place of the client's buffers. */
static void redirect_out(struct fuse_request *req, struct fuse_args *args)
{
	size_t used = 0;

	switch (args->opcode) {
	case FUSE_READDIRPLUS:
		args->out[0].data = malloc(args->out[0].size);
		if (!args->out[0].data)
			fb_log(LOG_WARN,
			       "fuse: out of memory, lookups of a killed READDIRPLUS leak");
		return;
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		for (unsigned i = 0; i < args->nr_out; i++) {
			fb_assert(used + args->out[i].size <= sizeof(req->orphan_buf));
			args->out[i].data = req->orphan_buf.bytes + used;
			used += args->out[i].size;
		}
		return;
	default:
		for (unsigned i = 0; i < args->nr_out; i++)
			args->out[i].data = NULL;
	}
}

static bool takes_lock(const struct fuse_args *args)
{
	return args->opcode == FUSE_SETLK || args->opcode == FUSE_SETLKW;
}

void fuse_request_orphan(struct fuse_conn *conn, struct fuse_request *req)
{
	struct fuse_args *args = &req->orphan_args;

	fb_mutex_assert_held(&conn->lock);
	*args = *req->args;
	memset(&req->orphan_buf, 0, sizeof(req->orphan_buf));
	if (takes_lock(args) && args->in[0].size == sizeof(req->orphan_buf.lk))
		memcpy(&req->orphan_buf.lk, args->in[0].data, sizeof(req->orphan_buf.lk));
	redirect_out(req, args);
	/* in[] was the client's; only a forced request can still have it unread: FLUSH, RELEASE. */
	if (req->state == REQ_PENDING) {
		fb_assert(args->nr_in <= 1 && args->in[0].size <= sizeof(req->orphan_buf));
		if (args->nr_in == 1) {
			memcpy(req->orphan_buf.bytes, args->in[0].data, args->in[0].size);
			args->in[0].data = req->orphan_buf.bytes;
		}
	}
	req->args = args;
	req->orphan = true;
	conn->ops->pin(conn, args);
}

/* A request of our own that undoes something. */
struct undo {
	struct fuse_args args; /* args.pins: taken over from the orphan */
	uint64_t forget;       /* node whose lookup is undone after that; 0 = none */
	union {
		struct fuse_release_in release;
		struct fuse_lk_in lk;
	};
};

/* FORGET only now: it must not overtake the RELEASE (F60). */
static void undo_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	struct undo *undo = args->owner;

	(void)result;
	forget_one(conn, undo->forget, args->incarnation);
	conn->ops->unpin(conn, args);
	free(undo);
}

/* Without memory the daemon keeps what it did: a leak there, no wrong count. */
static struct undo *undo_new(uint32_t opcode, uint64_t nodeid)
{
	struct undo *undo = calloc(1, sizeof(*undo));

	if (!undo)
		return NULL;
	undo->args.opcode = opcode;
	undo->args.nodeid = nodeid;
	undo->args.nocreds = undo->args.force = true;
	undo->args.done = undo_done;
	undo->args.owner = undo;
	undo->args.nr_in = 1;
	return undo;
}

/* The orphan's pins go over to the undoing request. */
static void undo_send(struct fuse_conn *conn, struct undo *undo, struct fuse_args *orphan)
{
	memcpy(undo->args.pins, orphan->pins, sizeof(orphan->pins));
	memcpy(undo->args.pin_files, orphan->pin_files, sizeof(orphan->pin_files));
	undo->args.incarnation = orphan->incarnation;
	memset(orphan->pins, 0, sizeof(orphan->pins));
	memset(orphan->pin_files, 0, sizeof(orphan->pin_files));
	if (fuse_conn_send(conn, NULL, &undo->args) < 0)
		undo_done(conn, &undo->args, 0);
}

static void release_late(struct fuse_conn *conn, struct fuse_args *orphan, uint32_t opcode,
			 uint64_t nodeid, uint64_t fh, bool created)
{
	struct undo *undo = undo_new(opcode, nodeid);

	if (!undo)
		return;
	undo->forget = created ? nodeid : 0;
	undo->release.fh = fh;
	undo->release.flags = orphan->open_flags;
	undo->args.in[0] = (struct fuse_in_arg){&undo->release, sizeof(undo->release)};
	undo_send(conn, undo, orphan);
}

static void unlock_late(struct fuse_conn *conn, struct fuse_args *orphan,
			const struct fuse_lk_in *lk)
{
	struct undo *undo = undo_new(FUSE_SETLK, orphan->nodeid);

	if (!undo)
		return;
	undo->lk = *lk;
	undo->lk.lk.type = 2; /* F_UNLCK */
	undo->args.in[0] = (struct fuse_in_arg){&undo->lk, sizeof(undo->lk)};
	undo_send(conn, undo, orphan);
}

/* Every entry but "." and ".." counted one lookup (F75). */
static void forget_listing(struct fuse_conn *conn, const uint8_t *buf, size_t len,
			   unsigned incarnation)
{
	struct fuse_direntplus entry;
	size_t record;

	while (buf && len >= sizeof(entry)) {
		memcpy(&entry, buf, sizeof(entry));
		record = fuse_dirent_align(sizeof(entry) + (uint64_t)entry.dirent.namelen);
		if (entry.dirent.namelen == 0 || entry.dirent.namelen > FUSE_NAME_MAX_LONG ||
		    record > len)
			return;
		const char *name = (const char *)buf + sizeof(entry);
		bool dots = name[0] == '.' && (entry.dirent.namelen == 1 ||
					       (entry.dirent.namelen == 2 && name[1] == '.'));
		if (!dots)
			forget_one(conn, entry.entry_out.nodeid, incarnation);
		buf += record;
		len -= record;
	}
}

void fuse_orphan_undo(struct fuse_conn *conn, struct fuse_request *req)
{
	struct fuse_args *args = &req->orphan_args;
	struct fuse_open_out open;

	switch (args->opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		forget_one(conn, req->orphan_buf.entry.nodeid, args->incarnation);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memcpy(&open, req->orphan_buf.bytes, sizeof(open));
		release_late(conn, args, args->opcode == FUSE_OPEN ? FUSE_RELEASE : FUSE_RELEASEDIR,
			     args->nodeid, open.fh, false);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		/* The second structure follows the first one, which older daemons have shorter. */
		memcpy(&open, req->orphan_buf.bytes + args->out[0].size, sizeof(open));
		release_late(conn, args, FUSE_RELEASE, req->orphan_buf.entry.nodeid, open.fh, true);
		break;
	case FUSE_READDIRPLUS:
		forget_listing(conn, args->out[0].data, args->out[0].size, args->incarnation);
		break;
	case FUSE_SETLK:
	case FUSE_SETLKW:
		if (req->orphan_buf.lk.lk.type != 2)
			unlock_late(conn, args, &req->orphan_buf.lk);
		break;
	default:
		break;
	}
}

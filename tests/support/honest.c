/* The honest daemon; see honest.h. */
#include "tests/support/honest.h"

#include <stdlib.h>
#include <time.h>

#define VALID_S 1000
#define PATIENCE_S 5

/* --- good answers ------------------------------------------------------------------------- */

struct reply {
	int error;
	size_t len;
	uint8_t bytes[512];
};

static const struct {
	const char *name;
	uint64_t nodeid;
	uint32_t mode;
} tree[] = {
	{ "f", HONEST_FILE, S_IFREG | 0644 },
	{ "g", HONEST_OTHER, S_IFREG | 0644 },
	{ "d", HONEST_DIR, S_IFDIR | 0755 },
	{ "l", HONEST_LINK, S_IFLNK | 0777 },
};
#define NR_TREE (sizeof(tree) / sizeof(tree[0]))

static uint32_t mode_of(uint64_t nodeid)
{
	for (size_t i = 0; i < NR_TREE; i++)
		if (tree[i].nodeid == nodeid)
			return tree[i].mode;
	return nodeid == 1 ? S_IFDIR | 0755 : S_IFREG | 0644;
}

static void put(struct reply *reply, const void *data, size_t len)
{
	memcpy(reply->bytes + reply->len, data, len);
	reply->len += len;
}

static void put_entry(struct honest *h, struct reply *reply, uint64_t nodeid, uint32_t mode,
		      bool shrinks)
{
	struct fuse_entry_out out = make_entry(nodeid, mode, 10, VALID_S);
	bool old = shrinks && h->d->conn->minor < 9;

	put(reply, &out, old ? FUSE_COMPAT_ENTRY_OUT_SIZE : sizeof(out));
}

static void put_attr(struct honest *h, struct reply *reply, uint64_t nodeid)
{
	struct fuse_attr_out out = { .attr_valid = VALID_S };

	out.attr = make_attr(nodeid, mode_of(nodeid), 10);
	put(reply, &out, h->d->conn->minor < 9 ? FUSE_COMPAT_ATTR_OUT_SIZE : sizeof(out));
}

static void put_open(struct reply *reply, uint64_t nodeid)
{
	struct fuse_open_out out = { .fh = 3 };

	if (S_ISREG(mode_of(nodeid)))
		out.open_flags = FOPEN_DIRECT_IO;
	put(reply, &out, sizeof(out));
}

static void lookup(struct honest *h, struct reply *reply, const char *name)
{
	for (size_t i = 0; i < NR_TREE; i++)
		if (strcmp(tree[i].name, name) == 0) {
			put_entry(h, reply, tree[i].nodeid, tree[i].mode, true);
			return;
		}
	if (h->subject == FUSE_LOOKUP)
		put_entry(h, reply, HONEST_MADE, S_IFREG | 0644, true);
	else
		reply->error = -ENOENT;
}

static void put_statx(struct reply *reply, uint64_t nodeid)
{
	struct fuse_statx_out out = { .attr_valid = VALID_S };

	out.stat.mask = STATX_BASIC_STATS | STATX_BTIME;
	out.stat.mode = (uint16_t)mode_of(nodeid);
	out.stat.nlink = 1;
	out.stat.size = 10;
	out.stat.ino = nodeid;
	put(reply, &out, sizeof(out));
}

static void put_listing(struct reply *reply, const struct fuse_read_in *in, bool plus)
{
	struct fuse_entry_out entry = make_entry(HONEST_MADE, S_IFREG | 0644, 10, VALID_S);

	if (in->offset == 0)
		reply->len += plus ? make_direntplus(reply->bytes, &entry, 1, "x", 8)
				   : make_dirent(reply->bytes, 9, 1, "x", 8);
}

static void put_u64(struct reply *reply, uint64_t value)
{
	put(reply, &value, sizeof(value));
}

static void good_answer(struct honest *h, const struct fuse_in_header *in, const uint8_t *body,
			struct reply *reply)
{
	static const uint8_t zeros[128];
	const struct fuse_getxattr_in *xattr = (const void *)body;
	struct fuse_poll_out ready = { .revents = 1 };
	struct fuse_lk_out unlocked = { { 0, 0, 2, 0 } };

	switch (in->opcode) {
	case FUSE_LOOKUP:
		lookup(h, reply, (const char *)body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		put_attr(h, reply, in->nodeid);
		break;
	case FUSE_STATX:
		put_statx(reply, in->nodeid);
		break;
	case FUSE_READLINK:
		put(reply, "f", 1);
		break;
	case FUSE_SYMLINK:
		put_entry(h, reply, HONEST_MADE, S_IFLNK | 0777, true);
		break;
	case FUSE_MKNOD:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		put_entry(h, reply, HONEST_MADE, S_IFREG | 0644, in->opcode != FUSE_TMPFILE);
		if (in->opcode != FUSE_MKNOD)
			put_open(reply, HONEST_MADE);
		break;
	case FUSE_MKDIR:
		put_entry(h, reply, HONEST_MADE, S_IFDIR | 0755, true);
		break;
	case FUSE_LINK:
		put_entry(h, reply, HONEST_FILE, S_IFREG | 0644, true);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		put_open(reply, in->nodeid);
		break;
	case FUSE_READ:
		put(reply, "data", 4);
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		put_listing(reply, (const void *)body, in->opcode == FUSE_READDIRPLUS);
		break;
	case FUSE_WRITE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		put_u64(reply, 4);
		break;
	case FUSE_LSEEK:
		put_u64(reply, 7);
		break;
	case FUSE_STATFS:
		put(reply, zeros,
		    h->d->conn->minor < 4 ? FUSE_COMPAT_STATFS_SIZE : sizeof(struct fuse_kstatfs));
		break;
	case FUSE_GETXATTR:
		if (strcmp((const char *)(xattr + 1), "security.capability") == 0)
			reply->error = -ENODATA;
		else
			put(reply, "data", 4);
		break;
	case FUSE_LISTXATTR:
		put(reply, "u.a", 4);
		break;
	case FUSE_IOCTL:
		put(reply, zeros, sizeof(struct fuse_ioctl_out));
		break;
	case FUSE_POLL:
		put(reply, &ready, sizeof(ready));
		break;
	case FUSE_GETLK:
		put(reply, &unlocked, sizeof(unlocked));
		break;
	default: /* nothing but success */
		break;
	}
}

/* --- the thread of the daemon ------------------------------------------------------------- */

static ssize_t send_reply(struct honest *h, uint64_t unique, const struct reply *reply)
{
	return daemon_answer(h->d, unique, reply->error, reply->bytes, reply->len);
}

/* The test's changes to the answer. */
static void spoil(const struct honest_answer *answer, struct reply *reply)
{
	if (answer->error) {
		reply->error = answer->error;
		reply->len = answer->payload;
	} else if (answer->exact) {
		reply->len = answer->len;
	} else {
		reply->len = (size_t)((ssize_t)reply->len + answer->len_change);
	}
}

/* d->lock held. True: it is the subject. */
static bool note(struct honest *h, const struct fuse_in_header *in, const uint8_t *body)
{
	size_t len = in->len - sizeof(*in);

	if (in->opcode < 64)
		h->count[in->opcode]++;
	if (in->opcode == FUSE_INTERRUPT) {
		h->interrupts++;
		h->interrupted = ((const struct fuse_interrupt_in *)(const void *)body)->unique;
	}
	if (in->opcode != h->subject ||
	    (in->opcode == FUSE_GETXATTR && len > 8 &&
	     strcmp((const char *)body + 8, "security.capability") == 0))
		return false;
	h->subjects++;
	h->in = *in;
	memcpy(h->body, body, len < sizeof(h->body) ? len : sizeof(h->body));
	return true;
}

static void note_forgets(struct honest *h, const struct fuse_in_header *in, const uint8_t *body)
{
	const struct fuse_batch_forget_in *batch = (const void *)body;
	const struct fuse_forget_one *one = (const void *)(batch + 1);

	if (in->opcode == FUSE_FORGET) {
		h->forgotten += ((const struct fuse_forget_in *)(const void *)body)->nlookup;
		return;
	}
	for (uint32_t i = 0; i < batch->count; i++)
		h->forgotten += one[i].nlookup;
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	struct honest *h = d->private;
	struct honest_answer answer = { 0 };
	struct reply reply = { 0 };
	ssize_t written = 0;
	bool subject;

	pthread_mutex_lock(&d->lock);
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET)
		note_forgets(h, in, msg + sizeof(*in));
	subject = note(h, in, msg + sizeof(*in));
	if (subject)
		answer = h->answer;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET ||
	    in->opcode == FUSE_INTERRUPT || in->opcode == FUSE_NOTIFY_REPLY || answer.hold)
		return;
	good_answer(h, in, msg + sizeof(*in), &reply);
	if (subject)
		spoil(&answer, &reply);
	written = send_reply(h, in->unique, &reply);
	if (!subject)
		return;
	pthread_mutex_lock(&d->lock);
	h->written = written;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

/* --- for the test ------------------------------------------------------------------------- */

struct honest *honest_start(const struct daemon_config *config)
{
	struct daemon_config mine = config ? *config : (struct daemon_config){ 0 };
	struct honest *h = calloc(1, sizeof(*h));

	mine.serve = serve;
	h->d = daemon_start(&mine);
	h->d->private = h;
	return h;
}

void honest_subject(struct honest *h, uint32_t opcode, struct honest_answer answer)
{
	pthread_mutex_lock(&h->d->lock);
	h->subject = opcode;
	h->answer = answer;
	h->subjects = h->interrupts = 0;
	h->forgotten = 0;
	h->written = 0;
	pthread_mutex_unlock(&h->d->lock);
}

/* Waits for a condition on what d->lock guards. */
#define WAIT_FOR(h, condition)                                                                     \
	({                                                                                         \
		struct timespec until_;                                                            \
		bool ok_;                                                                          \
		clock_gettime(CLOCK_REALTIME, &until_);                                            \
		until_.tv_sec += PATIENCE_S;                                                       \
		pthread_mutex_lock(&(h)->d->lock);                                                 \
		while (!(ok_ = (condition)))                                                       \
			if (pthread_cond_timedwait(&(h)->d->changed, &(h)->d->lock, &until_))      \
				break;                                                             \
		pthread_mutex_unlock(&(h)->d->lock);                                               \
		ok_;                                                                               \
	})

bool honest_wait(struct honest *h)
{
	return WAIT_FOR(h, h->subjects > 0);
}

bool honest_wait_written(struct honest *h)
{
	return WAIT_FOR(h, h->written != 0);
}

bool honest_wait_interrupt(struct honest *h)
{
	return WAIT_FOR(h, h->interrupts > 0);
}

bool honest_wait_count(struct honest *h, uint32_t opcode, unsigned count)
{
	return WAIT_FOR(h, h->count[opcode] >= count);
}

bool honest_wait_forgotten(struct honest *h, uint64_t count)
{
	return WAIT_FOR(h, h->forgotten >= count);
}

ssize_t honest_release(struct honest *h, int error)
{
	struct reply reply = { .error = error };

	if (!error)
		good_answer(h, &h->in, h->body, &reply);
	return send_reply(h, h->in.unique, &reply);
}

const char *honest_stop(struct honest *h)
{
	static char words[256];
	const char *why = daemon_stop(h->d);

	if (why)
		snprintf(words, sizeof(words), "%s", why);
	daemon_free(h->d);
	free(h);
	return why ? words : NULL;
}

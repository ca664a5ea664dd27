/* The daemon that keeps books; see books.h. */
#include "tests/support/books.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/load.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"
#include "vfs/ops.h"
#include "vfs/poll.h"

#define HANDLES 4096
#define PATIENCE_S 60
#define POLLED 8

static struct {
	pthread_mutex_t lock;
	struct books_config config;
	struct book {
		long nlookup;
		bool exists;
		uint64_t size, mtime;
		uint8_t *data; /* BOOKS_ROOM bytes */
	} nodes[BOOKS_NODES];
	uint64_t handles[HANDLES]; /* 0 free, else nodeid; the first is not used */
	uint64_t dir_mtime;
	uint64_t polled[POLLED]; /* kh of the last POLLs that want to hear */
	unsigned nr_polled;	 /* counts on */
	unsigned long requests;
	uint32_t opcode; /* being answered */
} books = { .lock = PTHREAD_MUTEX_INITIALIZER };

_Noreturn void books_broken(const char *what, uint64_t n)
{
	fprintf(stderr, "%s: %s: %s (%llu)\n", books.config.program, fuse_opcode_name(books.opcode),
		what, (unsigned long long)n);
	abort();
}

void books_begin(const struct books_config *config)
{
	pthread_mutex_lock(&books.lock);
	books.config = *config;
	books.requests = 0;
	for (unsigned n = 0; n < BOOKS_NODES; n++) {
		struct book *book = &books.nodes[n];

		if (!book->data)
			book->data = malloc(BOOKS_ROOM);
		memset(book->data, 0, BOOKS_ROOM);
		book->nlookup = 0;
		book->exists = n < BOOKS_KEPT;
		book->size = n < BOOKS_KEPT ? BOOKS_SIZE : 0;
		book->mtime = 1000;
	}
	memset(books.handles, 0, sizeof(books.handles));
	pthread_mutex_unlock(&books.lock);
}

/* --- what is counted; all of it under the lock -------------------------------------------- */

static struct book *known_node(uint64_t nodeid)
{
	struct book *book;

	if (nodeid < 2 || nodeid >= 2 + BOOKS_NODES)
		books_broken("unknown node", nodeid);
	book = &books.nodes[nodeid - 2];
	if (book->nlookup <= 0)
		books_broken("node was forgotten", nodeid);
	return book;
}

static unsigned name_number(const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	if (end == name || *end || n >= BOOKS_NODES)
		books_broken("unknown name", n);
	return (unsigned)n;
}

static uint64_t handle_new(uint64_t nodeid)
{
	for (uint64_t i = 1; i < HANDLES; i++)
		if (books.handles[i] == 0) {
			books.handles[i] = nodeid;
			return i;
		}
	books_broken("too many open files", 0);
}

static uint64_t known_handle(uint64_t fh, uint64_t nodeid)
{
	if (fh == 0 || fh >= HANDLES || books.handles[fh] != nodeid)
		books_broken("stale handle", fh);
	return fh;
}

static void forget(uint64_t nodeid, uint64_t count)
{
	struct book *book;

	if (nodeid < 2 || nodeid >= 2 + BOOKS_NODES)
		books_broken("FORGET of an unknown node", nodeid);
	book = &books.nodes[nodeid - 2];
	book->nlookup -= (long)count;
	if (book->nlookup < 0)
		books_broken("forgotten too often", nodeid);
}

static void forget_all(const struct fuse_in_header *in, const uint8_t *body)
{
	const struct fuse_batch_forget_in *batch = (const void *)body;
	const struct fuse_forget_one *one = (const void *)(batch + 1);

	if (in->opcode == FUSE_FORGET) {
		forget(in->nodeid, ((const struct fuse_forget_in *)(const void *)body)->nlookup);
		return;
	}
	for (uint32_t i = 0; i < batch->count; i++)
		forget(one[i].nodeid, one[i].nlookup);
}

/* --- answers ------------------------------------------------------------------------------ */

static void put(struct books_reply *reply, const void *data, size_t len)
{
	memcpy(reply->data + reply->len, data, len);
	reply->len += len;
}

static struct fuse_attr attr_of(unsigned n)
{
	const struct book *book = &books.nodes[n];
	struct fuse_attr attr = make_attr(books_nodeid(n), S_IFREG | 0644, book->size);

	attr.mtime = book->mtime;
	attr.nlink = book->exists ? 1 : 0;
	return attr;
}

/* A third of the names is asked for each time. Counts a lookup. */
static struct fuse_entry_out entry_of(unsigned n)
{
	struct fuse_entry_out out = make_entry(books_nodeid(n), S_IFREG | 0644, 0, n % 3 ? 1 : 0);

	out.attr = attr_of(n);
	books.nodes[n].nlookup++;
	return out;
}

static void put_attr(struct books_reply *reply, uint64_t nodeid)
{
	struct fuse_attr_out out = { .attr_valid = nodeid % 2 };

	if (nodeid == BOOKS_ROOT) {
		out.attr = make_attr(BOOKS_ROOT, S_IFDIR | 0755, 0);
		out.attr.mtime = books.dir_mtime;
	} else {
		(void)known_node(nodeid);
		out.attr = attr_of((unsigned)nodeid - 2);
	}
	put(reply, &out, sizeof(out));
}

static void put_open(struct books_reply *reply, uint64_t nodeid)
{
	struct fuse_open_out out = { .fh = handle_new(nodeid),
				     .open_flags = nodeid == BOOKS_ROOT ? books.config.dir_flags
									: books.config.open_flags };

	put(reply, &out, sizeof(out));
}

static void resize(struct book *book, uint64_t size)
{
	if (size > BOOKS_ROOM)
		size = BOOKS_ROOM;
	if (size < book->size)
		memset(book->data + size, 0, book->size - size);
	book->size = size;
}

static void changed(struct book *book)
{
	if (!books.config.steady_mtime)
		book->mtime++;
}

static void do_setattr(struct books_reply *reply, uint64_t nodeid, const uint8_t *body)
{
	const struct fuse_setattr_in *in = (const void *)body;

	if (nodeid != BOOKS_ROOT && (in->valid & FATTR_SIZE)) {
		resize(known_node(nodeid), in->size);
		changed(known_node(nodeid));
	}
	put_attr(reply, nodeid);
}

static void do_create(struct books_reply *reply, const uint8_t *body)
{
	const struct fuse_create_in *in = (const void *)body;
	unsigned n = name_number((const char *)(in + 1));
	struct book *book = &books.nodes[n];
	struct fuse_entry_out entry;

	if (!book->exists)
		resize(book, 0);
	book->exists = true;
	books.dir_mtime++;
	entry = entry_of(n);
	put(reply, &entry, sizeof(entry));
	put_open(reply, books_nodeid(n));
}

static int do_lookup(struct books_reply *reply, const char *name)
{
	unsigned n = name_number(name);
	struct fuse_entry_out entry;

	if (!books.nodes[n].exists)
		return ENOENT;
	entry = entry_of(n);
	put(reply, &entry, sizeof(entry));
	return 0;
}

static int do_unlink(const char *name)
{
	struct book *book = &books.nodes[name_number(name)];

	if (!book->exists)
		return ENOENT;
	book->exists = false;
	books.dir_mtime++;
	return 0;
}

static void do_read(struct books_reply *reply, uint64_t nodeid, const uint8_t *body)
{
	const struct fuse_read_in *in = (const void *)body;
	const struct book *book = known_node(nodeid);
	uint64_t len = in->size;

	known_handle(in->fh, nodeid);
	if (in->offset >= book->size)
		return;
	if (len > book->size - in->offset)
		len = book->size - in->offset;
	if (len > sizeof(reply->data))
		books_broken("READ of so many bytes", len);
	put(reply, book->data + in->offset, len);
}

static int do_write(struct books_reply *reply, uint64_t nodeid, const uint8_t *body)
{
	const struct fuse_write_in *in = (const void *)body;
	struct fuse_write_out out = { .size = in->size };
	struct book *book = known_node(nodeid);

	known_handle(in->fh, nodeid);
	if (in->offset > BOOKS_ROOM || in->size > BOOKS_ROOM - in->offset)
		return EFBIG;
	memcpy(book->data + in->offset, in + 1, in->size);
	if (in->offset + in->size > book->size)
		book->size = in->offset + in->size;
	changed(book);
	put(reply, &out, sizeof(out));
	return 0;
}

static void do_poll(struct books_reply *reply, uint64_t nodeid, const uint8_t *body)
{
	const struct fuse_poll_in *in = (const void *)body;
	struct fuse_poll_out out = { .revents = books.requests % 2 ? POLLIN : 0 };

	known_handle(in->fh, nodeid);
	if (in->flags & FUSE_POLL_SCHEDULE_NOTIFY)
		books.polled[books.nr_polled++ % POLLED] = in->kh;
	put(reply, &out, sizeof(out));
}

static void do_readdir(struct books_reply *reply, const uint8_t *body, bool plus)
{
	const struct fuse_read_in *in = (const void *)body;
	size_t each = plus ? 160 : 32; /* of a name of one or two digits */

	known_handle(in->fh, BOOKS_ROOT);
	for (uint64_t n = in->offset; n < BOOKS_NODES && reply->len + each <= in->size; n++) {
		uint8_t *at = reply->data + reply->len;
		struct fuse_entry_out entry;
		char name[8];

		if (!books.nodes[n].exists)
			continue;
		snprintf(name, sizeof(name), "%u", (unsigned)n);
		if (plus) {
			entry = entry_of((unsigned)n);
			reply->len += make_direntplus(at, &entry, n + 1, name, DT_REG);
		} else {
			reply->len +=
				make_dirent(at, books_nodeid((unsigned)n), n + 1, name, DT_REG);
		}
	}
}

/* Under the lock. A positive errno, or 0. */
static int work(const struct fuse_in_header *in, const uint8_t *body, struct books_reply *reply)
{
	const char *name = (const char *)body;

	switch (in->opcode) {
	case FUSE_GETATTR:
		put_attr(reply, in->nodeid);
		return 0;
	case FUSE_SETATTR:
		do_setattr(reply, in->nodeid, body);
		return 0;
	case FUSE_LOOKUP:
		return do_lookup(reply, name);
	case FUSE_CREATE:
		do_create(reply, body);
		return 0;
	case FUSE_UNLINK:
		return do_unlink(name);
	case FUSE_OPEN:
		(void)known_node(in->nodeid);
		put_open(reply, in->nodeid);
		return 0;
	case FUSE_OPENDIR:
		put_open(reply, BOOKS_ROOT);
		return 0;
	case FUSE_RELEASE:
		(void)known_node(in->nodeid);
		/* fall through */
	case FUSE_RELEASEDIR:
		books.handles[known_handle(((const struct fuse_release_in *)(const void *)body)->fh,
					   in->nodeid)] = 0;
		return 0;
	case FUSE_READ:
		do_read(reply, in->nodeid, body);
		return 0;
	case FUSE_WRITE:
		return do_write(reply, in->nodeid, body);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		do_readdir(reply, body, in->opcode == FUSE_READDIRPLUS);
		return 0;
	case FUSE_POLL:
		do_poll(reply, in->nodeid, body);
		return 0;
	case FUSE_FLUSH:
		known_handle(((const struct fuse_flush_in *)(const void *)body)->fh, in->nodeid);
		return 0;
	case FUSE_FSYNC:
		known_handle(((const struct fuse_fsync_in *)(const void *)body)->fh, in->nodeid);
		return 0;
	default:
		return ENOSYS;
	}
}

bool books_answer(const uint8_t *msg, struct books_reply *reply)
{
	const struct fuse_in_header *in = (const void *)msg;
	const uint8_t *body = msg + sizeof(*in);
	bool forgets = in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET;
	bool late;

	if (in->opcode == FUSE_INTERRUPT || in->opcode == FUSE_NOTIFY_REPLY)
		return false;
	reply->len = 0;
	reply->error = 0;
	pthread_mutex_lock(&books.lock);
	books.requests++;
	books.opcode = in->opcode;
	if (forgets)
		forget_all(in, body);
	else
		reply->error = work(in, body, reply);
	late = books.config.slow_every && books.requests % books.config.slow_every == 0;
	pthread_mutex_unlock(&books.lock);
	if (reply->error)
		reply->len = 0;
	if (late && !forgets)
		usleep(200);
	return !forgets;
}

void books_serve(struct daemon *d, const uint8_t *msg)
{
	static __thread struct books_reply reply;

	/* An answer is refused when the connection has just been aborted; the books hold then, too. */
	if (books_answer(msg, &reply) &&
	    daemon_answer(d, ((const struct fuse_in_header *)(const void *)msg)->unique,
			  -reply.error, reply.data, reply.len) < 0 &&
	    atomic_load(&d->conn->connected))
		books_broken("answer was refused", 0);
}

/* --- random calls and messages ------------------------------------------------------------ */

/* Without a touch: the file may become shorter at any time. */
static void map_and_unmap(struct daemon *d, struct file *file, unsigned *seed)
{
	struct mmap_request req = { 0, BOOKS_SIZE, PROT_READ, MAP_SHARED };
	int hostfd;

	if (load_random(seed, 4) == 0 && file->op->mmap(&d->client.ctx, file, &req, &hostfd) == 0)
		close(hostfd);
	if (load_random(seed, 4) == 0)
		mapped_reap(&d->client.ctx, file->inode->sb);
}

static void poll_file(struct daemon *d, struct file *file)
{
	struct poll_item item = { .file = file, .events = POLLIN };

	(void)vfs_poll_items(&d->client.ctx, &item, 1, clock_monotonic_ns() + 300000);
}

static void use_file(struct load_client *client, struct file *file)
{
	struct daemon *d = client->load->d;
	unsigned *seed = &client->seed;
	char buf[6000] = "";

	for (unsigned i = load_random(seed, 4); i > 0; i--)
		switch (load_random(seed, 8)) {
		case 0:
			(void)client_pwrite(d, file, buf, load_random(seed, sizeof(buf)),
					    load_random(seed, BOOKS_SIZE));
			break;
		case 1:
			(void)vfs_ftruncate(&d->client.ctx, file, load_random(seed, BOOKS_SIZE));
			break;
		case 3:
			map_and_unmap(d, file, seed);
			break;
		case 4:
			poll_file(d, file);
			break;
		case 2:
			(void)vfs_fsync(&d->client.ctx, file, 0, INT64_MAX, false);
			break;
		default:
			(void)client_pread(d, file, buf, load_random(seed, sizeof(buf)),
					   load_random(seed, BOOKS_SIZE));
		}
}

static void list_root(struct load_client *client)
{
	struct daemon *d = client->load->d;
	struct file *file;
	char names[512];

	if (client_open(d, "/", O_RDONLY | O_DIRECTORY, &file))
		return;
	for (int i = 0; i < 8 && client_readdir(d, file, names, sizeof(names), 300) > 0; i++)
		;
	(void)client_close(d, file);
}

void books_round(struct load_client *client)
{
	struct daemon *d = client->load->d;
	unsigned *seed = &client->seed;
	struct file *file;
	struct kstat st;
	char path[16];

	snprintf(path, sizeof(path), "/%u",
		 BOOKS_KEPT + load_random(seed, BOOKS_NODES - BOOKS_KEPT));
	switch (load_random(seed, 8)) {
	case 0:
		(void)vfs_unlink(&d->client.ctx, NULL, path);
		break;
	case 1:
		(void)client_stat(d, path, &st);
		break;
	case 2:
		(void)dcache_shrink(load_random(seed, 8));
		break;
	case 3:
		list_root(client);
		break;
	default:
		if (client_open(d, path, load_random(seed, 2) ? O_RDWR | O_CREAT : O_RDWR, &file))
			break;
		use_file(client, file);
		(void)client_close(d, file);
	}
}

static void notify_name(struct daemon *d, unsigned n, bool gone)
{
	struct {
		union {
			struct fuse_notify_inval_entry_out entry;
			struct fuse_notify_delete_out gone;
		};
		char name[8];
	} msg = { 0 };
	int len = snprintf(msg.name, sizeof(msg.name), "%u", n);
	size_t head = gone ? sizeof(msg.gone) : sizeof(msg.entry);

	if (gone)
		msg.gone = (struct fuse_notify_delete_out){ .parent = BOOKS_ROOT,
							    .child = books_nodeid(n),
							    .namelen = (uint32_t)len };
	else
		msg.entry = (struct fuse_notify_inval_entry_out){ .parent = BOOKS_ROOT,
								  .namelen = (uint32_t)len,
								  .flags = n % 2 ? FUSE_EXPIRE_ONLY
										 : 0 };
	memmove((char *)&msg + head, msg.name, sizeof(msg.name));
	(void)daemon_notify(d, gone ? FUSE_NOTIFY_DELETE : FUSE_NOTIFY_INVAL_ENTRY, &msg,
			    head + (size_t)len + 1);
}

static void notify_inode(struct daemon *d, uint64_t nodeid, int64_t off)
{
	struct fuse_notify_inval_inode_out out = { .ino = nodeid, .off = off, .len = 9000 };

	(void)daemon_notify(d, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out));
}

static void notify_store(struct daemon *d, uint64_t nodeid, unsigned page)
{
	struct {
		struct fuse_notify_store_out out;
		char data[4096];
	} msg = { .out = { .nodeid = nodeid, .offset = page * 4096, .size = sizeof(msg.data) } };

	(void)daemon_notify(d, FUSE_NOTIFY_STORE, &msg, sizeof(msg));
}

static void notify_retrieve(struct daemon *d, uint64_t nodeid, unsigned page)
{
	static atomic_ullong last;
	/* Like no other number: a ring knows its entries by them. */
	struct fuse_notify_retrieve_out out = { .notify_unique = (1ULL << 40) + 2 * ++last,
						.nodeid = nodeid,
						.offset = page * 4096,
						.size = 9000 };

	(void)daemon_notify(d, FUSE_NOTIFY_RETRIEVE, &out, sizeof(out));
}

static void notify_poll(struct daemon *d, unsigned *seed)
{
	struct fuse_notify_poll_wakeup_out out;

	pthread_mutex_lock(&books.lock);
	out.kh = books.polled[load_random(seed, POLLED)];
	pthread_mutex_unlock(&books.lock);
	(void)daemon_notify(d, FUSE_NOTIFY_POLL, &out, sizeof(out));
}

void books_notify(struct daemon *d, unsigned *seed)
{
	unsigned n = load_random(seed, BOOKS_NODES), page = load_random(seed, BOOKS_PAGES);

	switch (load_random(seed, 10)) {
	case 6:
		notify_poll(d, seed);
		break;
	case 0:
		notify_name(d, n, false);
		break;
	case 1:
		notify_name(d, n, true);
		break;
	case 2:
		notify_inode(d, BOOKS_ROOT, 0);
		break;
	case 3:
		notify_inode(d, books_nodeid(n), -1);
		break;
	case 4:
		if (n >= BOOKS_KEPT)
			notify_store(d, books_nodeid(n), page);
		break;
	case 5:
		notify_retrieve(d, books_nodeid(n), page);
		break;
	default:
		notify_inode(d, books_nodeid(n), page * 4096);
	}
}

/* --- the end ------------------------------------------------------------------------------ */

void books_lost(void)
{
	pthread_mutex_lock(&books.lock);
	for (unsigned n = 0; n < BOOKS_NODES; n++)
		books.nodes[n].nlookup = 0;
	memset(books.handles, 0, sizeof(books.handles));
	pthread_mutex_unlock(&books.lock);
}

/* What is not zero: its words, or NULL. */
static const char *imbalance(uint64_t *ret_which)
{
	const char *what = NULL;

	pthread_mutex_lock(&books.lock);
	for (unsigned n = 0; n < BOOKS_NODES && !what; n++)
		if (books.nodes[n].nlookup) {
			what = "lookups leaked";
			*ret_which = books_nodeid(n);
		}
	for (uint64_t i = 1; i < HANDLES && !what; i++)
		if (books.handles[i]) {
			what = "open file leaked";
			*ret_which = i;
		}
	pthread_mutex_unlock(&books.lock);
	return what;
}

void books_reap(struct daemon *d)
{
	mapped_reap(&d->client.ctx, d->conn->owner);
}

void books_settle(struct daemon *d)
{
	int64_t until = clock_monotonic_ns() + PATIENCE_S * 1000000000LL;
	uint64_t which = 0;
	const char *what;

	do {
		books_reap(d);
		dcache_shrink(0);
		what = imbalance(&which);
		if (what)
			usleep(1000);
	} while (what && clock_monotonic_ns() < until);
	if (what)
		books_broken(what, which);
}

void books_contents(unsigned n, void *buf, size_t len, int64_t pos)
{
	pthread_mutex_lock(&books.lock);
	memcpy(buf, books.nodes[n].data + pos, len);
	pthread_mutex_unlock(&books.lock);
}

unsigned long books_requests(void)
{
	unsigned long requests;

	pthread_mutex_lock(&books.lock);
	requests = books.requests;
	pthread_mutex_unlock(&books.lock);
	return requests;
}

void books_load(const struct books_config *config, const struct daemon_config *daemon_config,
		struct load *load)
{
	struct daemon_config own = *daemon_config;

	if (!own.serve)
		own.serve = books_serve;
	books_begin(config);
	load->d = daemon_start(&own);
	load_run(load);
	books_settle(load->d);
	if (daemon_stop(load->d))
		books_broken("daemon", 0);
	daemon_free(load->d);
}

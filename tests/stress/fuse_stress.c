/*
 * Many clients, several daemon threads, one connection, and signals at random moments: the
 * daemon's books must balance. It keeps the lookup count of every node and the open count of every
 * handle, aborts when one goes below zero or when it is asked for something forgotten, and at the
 * end, with everything closed and every cached name dropped, all of them must be zero.
 *
 *	fuse_stress [seconds]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/daemon.h"

#define NODES	32 /* nodeid 2 + n: file "n" of the root */
#define CLIENTS 6
#define HANDLES 4096

static struct {
	pthread_mutex_t lock;
	long nlookup[NODES];
	bool exists[NODES];
	int handles[HANDLES]; /* 0 free, else nodeid */
	uint64_t generation[NODES];
	unsigned long requests;
} books = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint32_t current_opcode; /* for broken() */

static void broken(const char *what, uint64_t n)
{
	fprintf(stderr, "fuse_stress: %s: %s (%llu)\n", fuse_opcode_name(current_opcode), what,
		(unsigned long long)n);
	abort();
}

static int node_of(uint64_t nodeid)
{
	if (nodeid < 2 || nodeid >= 2 + NODES)
		broken("unknown node", nodeid);
	if (books.nlookup[nodeid - 2] <= 0)
		broken("node was forgotten", nodeid);
	return (int)nodeid - 2;
}

static int atoi_name(const char *name)
{
	long n = strtol(name, NULL, 10);

	if (n < 0 || n >= NODES)
		broken("unknown name", (uint64_t)n);
	return (int)n;
}

static struct fuse_entry_out entry_of(int n)
{
	struct fuse_entry_out out = make_entry(2 + (uint64_t)n, S_IFREG | 0644, 8, n % 3 ? 1 : 0);

	books.nlookup[n]++;
	return out;
}

static uint64_t handle_new(int n)
{
	for (int i = 1; i < HANDLES; i++)
		if (books.handles[i] == 0) {
			books.handles[i] = n + 2;
			return (uint64_t)i;
		}
	broken("too many open files", 0);
	return 0;
}

static int handle_of(uint64_t fh, uint64_t nodeid)
{
	if (fh == 0 || fh >= HANDLES || books.handles[fh] != (int)nodeid)
		broken("stale handle", fh);
	return (int)fh;
}

static void forget(uint64_t nodeid, uint64_t count)
{
	if (nodeid < 2 || nodeid >= 2 + NODES)
		broken("FORGET of an unknown node", nodeid);
	books.nlookup[nodeid - 2] -= (long)count;
	if (books.nlookup[nodeid - 2] < 0)
		broken("forgotten too often", nodeid);
}

/* The answer to one request, under the books' lock. Returns an errno, or 0 with *out. */
static int work(const struct fuse_in_header *in, const uint8_t *body, uint8_t *out, size_t *len)
{
	struct fuse_attr_out attr = {.attr_valid = 0};
	struct fuse_entry_out entry;
	struct fuse_open_out open = {0};
	struct fuse_write_out written = {0};
	int n;

	*len = 0;
	switch (in->opcode) {
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		attr.attr = in->nodeid == 1 ? make_attr(1, S_IFDIR | 0755, 0)
					    : make_attr(2 + (uint64_t)node_of(in->nodeid),
							S_IFREG | 0644, 8);
		memcpy(out, &attr, *len = sizeof(attr));
		return 0;
	case FUSE_LOOKUP:
		n = atoi_name((const char *)body);
		if (!books.exists[n])
			return ENOENT;
		entry = entry_of(n);
		memcpy(out, &entry, *len = sizeof(entry));
		return 0;
	case FUSE_CREATE:
		n = atoi_name((const char *)body + sizeof(struct fuse_create_in));
		books.exists[n] = true;
		entry = entry_of(n);
		open.fh = handle_new(n);
		memcpy(out, &entry, sizeof(entry));
		memcpy(out + sizeof(entry), &open, sizeof(open));
		*len = sizeof(entry) + sizeof(open);
		return 0;
	case FUSE_UNLINK:
		n = atoi_name((const char *)body);
		if (!books.exists[n])
			return ENOENT;
		books.exists[n] = false;
		return 0;
	case FUSE_OPEN:
		open.fh = handle_new(node_of(in->nodeid));
		memcpy(out, &open, *len = sizeof(open));
		return 0;
	case FUSE_RELEASE:
		node_of(in->nodeid);
		books.handles[handle_of(((const struct fuse_release_in *)body)->fh, in->nodeid)] =
			0;
		return 0;
	case FUSE_READ:
		handle_of(((const struct fuse_read_in *)body)->fh, in->nodeid);
		memcpy(out, "01234567", *len = 8);
		return 0;
	case FUSE_WRITE:
		handle_of(((const struct fuse_write_in *)body)->fh, in->nodeid);
		written.size = ((const struct fuse_write_in *)body)->size;
		memcpy(out, &written, *len = sizeof(written));
		return 0;
	case FUSE_FLUSH:
		handle_of(((const struct fuse_flush_in *)body)->fh, in->nodeid);
		return 0;
	default:
		return ENOSYS;
	}
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;
	const uint8_t *body = msg + sizeof(*in);
	const struct fuse_forget_one *one = (const void *)(body + 8);
	unsigned long number;
	uint8_t out[256];
	size_t len;
	int err;

	pthread_mutex_lock(&books.lock);
	number = ++books.requests;
	if (in->opcode == FUSE_INTERRUPT) {
		pthread_mutex_unlock(&books.lock);
		return;
	}
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET) {
		if (in->opcode == FUSE_FORGET)
			forget(in->nodeid, ((const struct fuse_forget_in *)body)->nlookup);
		else
			for (uint32_t i = 0; i < *(const uint32_t *)body; i++)
				forget(one[i].nodeid, one[i].nlookup);
		pthread_mutex_unlock(&books.lock);
		return;
	}
	current_opcode = in->opcode;
	err = work(in, body, out, &len);
	pthread_mutex_unlock(&books.lock);
	if (number % 64 == 0)
		usleep(200); /* lets signals hit requests that are with the daemon */
	if (daemon_answer(d, in->unique, -err, out, err ? 0 : len) < 0)
		broken("answer was refused", in->opcode);
}

static atomic_bool stop;
static _Atomic(struct waiter *) waiters[CLIENTS];

static void one_round(struct daemon *d, unsigned *seed)
{
	char path[16], buf[8];
	struct file *file;
	struct kstat st;

	snprintf(path, sizeof(path), "/%d", rand_r(seed) % NODES);
	switch (rand_r(seed) % 6) {
	case 0:
		(void)vfs_unlink(&d->client.ctx, NULL, path);
		break;
	case 1:
		(void)client_stat(d, path, &st);
		break;
	case 2:
		dcache_shrink(rand_r(seed) % 8);
		break;
	default:
		if (client_open(d, path, rand_r(seed) % 2 ? O_RDWR | O_CREAT : O_RDWR, &file))
			break;
		(void)client_pread(d, file, buf, sizeof(buf), 0);
		(void)client_pwrite(d, file, "89", 2, 2);
		(void)client_close(d, file);
	}
}

static void *client(void *arg)
{
	static atomic_uint next;
	unsigned n = atomic_fetch_add(&next, 1), seed = n;

	atomic_store(&waiters[n], waiter_self());
	while (!atomic_load(&stop)) {
		waiter_reset(waiter_self());
		one_round(arg, &seed);
	}
	waiter_reset(waiter_self());
	return NULL;
}

static void check_books(void)
{
	for (int i = 0; i < NODES; i++)
		if (books.nlookup[i])
			broken("lookups leaked", 2 + (uint64_t)i);
	for (int i = 1; i < HANDLES; i++)
		if (books.handles[i])
			broken("open file leaked", (uint64_t)i);
}

int main(int argc, char **argv)
{
	struct daemon_config config = {
		.flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC, .serve = serve, .threads = 3};
	long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 3;
	struct daemon *d = daemon_start(&config);
	int64_t end = clock_monotonic_ns() + seconds * 1000000000LL;
	pthread_t threads[CLIENTS];
	unsigned seed = 1;
	struct kstat st;

	(void)client_stat(d, "/", &st);
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&threads[i], NULL, client, d);
	while (clock_monotonic_ns() < end) {
		struct waiter *waiter = atomic_load(&waiters[rand_r(&seed) % CLIENTS]);

		usleep(100);
		if (waiter)
			waiter_interrupt(waiter, rand_r(&seed) % 3 ? WAITER_KILLED : WAITER_SIGNAL);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 100; i++) { /* the last RELEASEs and FORGETs are on their way */
		dcache_shrink(0);
		usleep(10000);
	}
	pthread_mutex_lock(&books.lock);
	check_books();
	pthread_mutex_unlock(&books.lock);
	if (daemon_stop(d))
		broken("daemon", 0);
	daemon_free(d);
	printf("fuse_stress: ok, %lu requests\n", books.requests);
	return 0;
}

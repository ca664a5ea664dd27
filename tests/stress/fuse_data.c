/*
 * The bytes of FUSE files in each cache mode: clients write to slots of their own in every page of
 * the same files, and must read back what they have written, while caches are dropped, reclaimed
 * and invalidated, the daemon stores and retrieves pages, mappings come and go, and signals hit.
 *
 *	fuse_data [times]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fusefs/cache.h"
#include "tests/support/books.h"
#include "tests/support/load.h"
#include "vfs/inode.h"
#include "vfs/mapped.h"

#define CLIENTS 6
#define SLOT 16 /* bytes of a page that belong to one client */
#define STORED                                                                                     \
	(BOOKS_PAGES - 1) /* the page that nobody writes: what is stored there is what is there */
#define READ_MAX (5 * 4096)

/* What a client has written last into its slot of each page. */
struct expected {
	uint64_t value[BOOKS_KEPT][BOOKS_PAGES];
	uint64_t next;
};

static const char *mode_name;
static bool unchecked; /* mappings and direct I/O meet in the same pages: neither sees the other */

static int64_t slot_pos(const struct load_client *client, unsigned page)
{
	return (int64_t)page * 4096 + client->index * SLOT;
}

static void check(const struct load_client *client, unsigned n, unsigned page, const char *bytes,
		  const char *how)
{
	const struct expected *mine = client->private;
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	if (unchecked || value == mine->value[n][page])
		return;
	fprintf(stderr, "fuse_data: %s: %s: client %u, file %u, page %u: %llu instead of %llu\n",
		mode_name, how, client->index, n, page, (unsigned long long)value,
		(unsigned long long)mine->value[n][page]);
	abort();
}

static void write_slot(struct load_client *client, struct file *file, unsigned n)
{
	unsigned page = load_random(&client->seed, STORED);
	struct expected *mine = client->private;
	uint64_t value = ++mine->next;
	ssize_t written =
		client_pwrite(client->load->d, file, &value, sizeof(value), slot_pos(client, page));

	if (written == sizeof(value))
		mine->value[n][page] = value;
	else if (written >= 0)
		books_broken("short write", (uint64_t)written);
}

static void read_slots(struct load_client *client, struct file *file, unsigned n)
{
	unsigned page = load_random(&client->seed, BOOKS_PAGES);
	char buf[READ_MAX];
	int64_t pos = slot_pos(client, page);
	ssize_t got = client_pread(client->load->d, file, buf,
				   8 + load_random(&client->seed, READ_MAX - 8), pos);

	for (ssize_t at = 0; at + 8 <= got; at += 4096, page++)
		check(client, n, page, buf + at, "read");
}

/* As a guest that has the file mapped; the descriptor may be closed before the mapping goes. */
static void use_mapping(struct load_client *client, struct file *file, unsigned n)
{
	struct mmap_request req = { 0, BOOKS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED };
	const struct op_ctx *ctx = &client->load->d->client.ctx;
	struct expected *mine = client->private;
	int hostfd;
	char *at;

	if (file->op->mmap(ctx, file, &req, &hostfd))
		return;
	at = mmap(NULL, BOOKS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, 0);
	close(hostfd);
	if (at == MAP_FAILED)
		books_broken("mmap", 0);
	for (unsigned i = 0; i < 4; i++) {
		unsigned page = load_random(&client->seed, STORED);
		char *slot = at + slot_pos(client, page);

		check(client, n, page, slot, "mapping");
		mine->value[n][page] = ++mine->next;
		memcpy(slot, &mine->next, sizeof(mine->next));
		read_slots(client, file, n);
	}
	if (load_random(&client->seed, 2))
		(void)vfs_fsync(ctx, file, 0, INT64_MAX, false);
	munmap(at, BOOKS_SIZE);
}

static void data_round(struct load_client *client)
{
	struct daemon *d = client->load->d;
	unsigned n = load_random(&client->seed, BOOKS_KEPT);
	struct file *file;
	char path[16];

	snprintf(path, sizeof(path), "/%u", n);
	if (client_open(d, path, O_RDWR, &file))
		return;
	for (unsigned i = load_random(&client->seed, 6); i > 0; i--)
		switch (load_random(&client->seed, 12)) {
		case 0:
			(void)vfs_fsync(&d->client.ctx, file, 0, INT64_MAX, false);
			break;
		case 1:
			if (load_random(&client->seed, 4) == 0)
				use_mapping(client, file, n);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			write_slot(client, file, n);
			break;
		default:
			read_slots(client, file, n);
		}
	(void)client_close(d, file);
}

/* Only kept files: their content must not change by what the daemon says. */
static void disturb(struct load *load, unsigned *seed)
{
	struct fuse_notify_inval_inode_out inval = {
		.ino = books_nodeid(load_random(seed, BOOKS_KEPT)),
		.off = (int64_t)load_random(seed, BOOKS_SIZE) - 4096,
		.len = load_random(seed, 40000)
	};
	struct fuse_notify_retrieve_out retrieve = { .notify_unique = 5,
						     .nodeid = inval.ino,
						     .offset = load_random(seed, BOOKS_SIZE),
						     .size = 9000 };
	struct {
		struct fuse_notify_store_out out;
		char zeros[4096];
	} store = {
		.out = { .nodeid = inval.ino, .offset = STORED * 4096, .size = sizeof(store.zeros) }
	};

	switch (load_random(seed, 8)) {
	case 0:
		(void)dcache_shrink(0);
		break;
	case 1:
		fuse_cache_set_budget(load_random(seed, 2) ? 16 * 4096 : 1 << 30);
		break;
	case 2:
		(void)daemon_notify(load->d, FUSE_NOTIFY_STORE, &store, sizeof(store));
		break;
	case 3:
		(void)daemon_notify(load->d, FUSE_NOTIFY_RETRIEVE, &retrieve, sizeof(retrieve));
		break;
	case 4:
	case 5:
		(void)daemon_notify(load->d, FUSE_NOTIFY_INVAL_INODE, &inval, sizeof(inval));
		break;
	default:
		books_reap(load->d);
	}
}

/* At the end the daemon has all of it. */
static void check_daemon(const struct load_client *client)
{
	char bytes[8];

	for (unsigned n = 0; n < BOOKS_KEPT; n++)
		for (unsigned page = 0; page < STORED; page++) {
			books_contents(n, bytes, sizeof(bytes), slot_pos(client, page));
			check(client, n, page, bytes, "daemon");
		}
}

static void run(const char *what, uint64_t flags, uint32_t open_flags, unsigned long rounds)
{
	struct books_config books = { "fuse_data", open_flags, .slow_every = 64,
				      .steady_mtime = (flags & FUSE_WRITEBACK_CACHE) != 0 };
	struct daemon_config config = { .flags = FUSE_BIG_WRITES | flags,
					.max_readahead = 32768,
					.threads = 3 };
	struct load load = {
		.clients = CLIENTS, .rounds = rounds, .round = data_round, .disturb = disturb
	};

	mode_name = what;
	unchecked = (flags & FUSE_DIRECT_IO_ALLOW_MMAP) != 0;
	for (unsigned i = 0; i < CLIENTS; i++)
		load.client[i].private = calloc(1, sizeof(struct expected));
	books_load(&books, &config, &load);
	for (unsigned i = 0; i < CLIENTS; i++) {
		check_daemon(&load.client[i]);
		free(load.client[i].private);
	}
	printf("fuse_data: %s: ok, %lu requests\n", what, books_requests());
}

int main(int argc, char **argv)
{
	unsigned long rounds = load_rounds(argc, argv, 100);

	run("direct", FUSE_ASYNC_DIO, FOPEN_DIRECT_IO, rounds);
	run("direct, parallel, mapped", FUSE_ASYNC_DIO | FUSE_DIRECT_IO_ALLOW_MMAP,
	    FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES, rounds);
	run("write-through", FUSE_ASYNC_READ, 0, rounds);
	run("write-through, kept", FUSE_ASYNC_READ | FUSE_AUTO_INVAL_DATA, FOPEN_KEEP_CACHE,
	    rounds);
	run("write-back", FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE, FOPEN_KEEP_CACHE, rounds);
	run("write-back, dropped at open", FUSE_WRITEBACK_CACHE | FUSE_AUTO_INVAL_DATA, 0, rounds);
	return 0;
}

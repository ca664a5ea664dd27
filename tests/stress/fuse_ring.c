/*
 * FUSE over io_uring under load: clients of several threads, threads of the daemon that commit and
 * fetch, commands that are cancelled and registered again at random moments, signals and deaths,
 * messages of the daemon's own, and in the end an abort in the middle of it all. The books balance,
 * every command is completed once.
 *
 *	fuse_ring [times]
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/books.h"
#include "tests/support/load.h"
#include "tests/support/ring_player.h"

#define PER_QUEUE 3
#define SERVERS 3

static struct ring *ring;
/* The life of a slot's command: whoever cancels it must not meet the next one. */
static pthread_mutex_t slot_lock[RING_SLOTS];
static atomic_bool ending;

/* The message as read(2) would have it. */
static size_t message(const struct ring_slot *s, uint8_t *msg)
{
	const struct fuse_in_header *in = ring_in(s);
	size_t payload = s->header.ring_ent_in_out.payload_sz, head = in->len - payload;

	if (head < sizeof(*in) || head - sizeof(*in) > sizeof(s->header.op_in) ||
	    payload > RING_PAYLOAD)
		books_broken("lengths of a request in the ring", in->len);
	memcpy(msg, in, sizeof(*in));
	memcpy(msg + sizeof(*in), s->header.op_in, head - sizeof(*in));
	memcpy(msg + head, s->payload, payload);
	return in->len;
}

static void register_again(struct ring_slot *s)
{
	(void)ring_register(ring, (unsigned)(s - ring->slots), s->qid);
}

static void serve_slot(struct ring_slot *s, uint8_t *msg, struct books_reply *reply)
{
	pthread_mutex_t *lock = &slot_lock[s - ring->slots];
	int err;

	pthread_mutex_lock(lock);
	if (s->res < 0) { /* cancelled, or the connection is gone */
		if (!atomic_load(&ending))
			register_again(s);
	} else {
		(void)message(s, msg);
		if (!books_answer(msg,
				  reply)) { /* NOTIFY_REPLY: the entry goes back all the same */
			reply->error = 0;
			reply->len = 0;
		}
		err = ring_answer(s, -reply->error, reply->data, reply->len);
		if (err != -EIOCBQUEUED && !atomic_load(&ending))
			books_broken("an answer was refused", (uint64_t)-err);
	}
	pthread_mutex_unlock(lock);
}

static void *server(void *arg)
{
	struct books_reply *reply = malloc(sizeof(*reply));
	uint8_t *msg = malloc(RING_PAYLOAD + 4096);
	struct ring_slot *s;

	while ((s = ring_next(ring)) || !atomic_load(&ending))
		if (s)
			serve_slot(s, msg, reply);
	free(msg);
	free(reply);
	return NULL;
}

static void cancel_one(unsigned *seed)
{
	unsigned n = load_random(seed, ring->nr_queues * PER_QUEUE);
	struct ring_slot *s = &ring->slots[n];
	bool out;

	pthread_mutex_lock(&slot_lock[n]);
	pthread_mutex_lock(&ring->lock);
	out = s->cmd.done != NULL;
	pthread_mutex_unlock(&ring->lock);
	if (out)
		ring_cancel(s);
	pthread_mutex_unlock(&slot_lock[n]);
}

static void disturb(struct load *load, unsigned *seed)
{
	if (load_random(seed, 4) == 0)
		cancel_one(seed);
	books_notify(load->d, seed);
}

/* The same without care for the books: the connection is aborted under the clients. */
static void disturb_and_abort(struct load *load, unsigned *seed)
{
	disturb(load, seed);
	if (load_done(load) >= load->clients * load->rounds / 2 && !atomic_exchange(&ending, true))
		fuse_conn_abort(load->d->conn, true);
}

static void run(const char *what, uint64_t flags, void (*how)(struct load *load, unsigned *seed),
		unsigned long rounds)
{
	struct books_config books = { "fuse_ring", .slow_every = 64,
				      .steady_mtime = (flags & FUSE_WRITEBACK_CACHE) != 0 };
	struct daemon_config config = { .flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS | flags,
					.serve = books_serve,
					.threads = 2 };
	struct load load = {
		.clients = 6, .rounds = rounds, .round = books_round, .disturb = how, .kills = 8
	};
	pthread_t servers[SERVERS];

	books_begin(&books);
	ring = ring_start(&config);
	atomic_store(&ending, false);
	for (unsigned i = 0; i < RING_SLOTS; i++)
		pthread_mutex_init(&slot_lock[i], NULL);
	for (unsigned i = 0; i < ring->nr_queues * PER_QUEUE; i++)
		if (ring_register(ring, i, i % ring->nr_queues) != -EIOCBQUEUED)
			books_broken("REGISTER was refused", i);
	for (unsigned i = 0; i < SERVERS; i++)
		pthread_create(&servers[i], NULL, server, NULL);
	load.d = ring->d;
	load_run(&load);
	if (!atomic_load(&ending))
		books_settle(ring->d);
	atomic_store(&ending, true);
	fuse_conn_abort(ring->d->conn, false);
	books_reap(ring->d);
	ring_wake(ring);
	for (unsigned i = 0; i < SERVERS; i++)
		pthread_join(servers[i], NULL);
	ring_stop(ring);
	printf("fuse_ring: %s: ok, %lu requests\n", what, books_requests());
}

int main(int argc, char **argv)
{
	unsigned long rounds = load_rounds(argc, argv, 500);

	run("cancelled and registered again", 0, disturb, rounds);
	run("written back, aborted", FUSE_WRITEBACK_CACHE | FUSE_ASYNC_READ, disturb_and_abort,
	    rounds);
	return 0;
}

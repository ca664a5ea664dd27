/*
 * A daemon whose threads have a descriptor of /dev/fuse each, cloned, and now and then close it
 * with requests in it that nobody has answered and nobody can answer any more: their clients hear
 * ECONNABORTED, all others notice nothing, and the books balance.
 *
 *	fuse_clone [times]
 */
#include <stdio.h>

#include "tests/support/books.h"
#include "tests/support/load.h"

#define RECLONE_EVERY 40 /* requests of a thread */

/* Those that leave nothing behind in the books when the answer is lost. */
static bool may_be_lost(uint32_t opcode)
{
	return opcode == FUSE_READ || opcode == FUSE_WRITE || opcode == FUSE_GETATTR ||
	       opcode == FUSE_FLUSH || opcode == FUSE_READDIR;
}

static void serve(struct daemon *d, const uint8_t *msg)
{
	static __thread unsigned served;

	if (++served % RECLONE_EVERY == 0 &&
	    may_be_lost(((const struct fuse_in_header *)(const void *)msg)->opcode))
		daemon_reclone(d);
	else
		books_serve(d, msg);
}

static void disturb(struct load *load, unsigned *seed)
{
	uint64_t unique = 2 + 2 * load_random(seed, 1000);

	/* This descriptor has read nothing: whatever it answers is somebody else's. */
	if (daemon_answer(load->d, unique, -EIO, NULL, 0) != -ENOENT)
		books_broken("an answer on a foreign descriptor was taken", unique);
	books_notify(load->d, seed);
}

int main(int argc, char **argv)
{
	struct books_config books = { "fuse_clone", .slow_every = 64 };
	struct daemon_config config = { .flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS,
					.serve = serve,
					.threads = 4,
					.cloned = true };
	struct load load = { .clients = 6,
			     .rounds = load_rounds(argc, argv, 800),
			     .round = books_round,
			     .disturb = disturb,
			     .kills = 8 };

	books_load(&books, &config, &load);
	printf("fuse_clone: ok, %lu requests\n", books_requests());
	return 0;
}

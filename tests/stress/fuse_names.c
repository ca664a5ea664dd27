/*
 * Names, open files and the directory of a FUSE mount: many clients, several threads of the daemon,
 * signals and deaths at random moments, names dropped (some because they are expired), and messages of
 * the daemon's own. Its books must balance (tests/support/books.h).
 *
 *	fuse_names [times]
 */
#include <stdio.h>

#include "devfuse/expire.h"
#include "tests/support/books.h"
#include "tests/support/load.h"

static void disturb(struct load *load, unsigned *seed)
{
	books_notify(load->d, seed);
	if (load_random(seed, 8) == 0)
		fuse_expire_all();
}

static void run(const char *what, uint64_t flags, uint32_t dir_flags, unsigned long rounds)
{
	struct books_config books = { "fuse_names", .dir_flags = dir_flags, .slow_every = 64,
				      .steady_mtime = (flags & FUSE_WRITEBACK_CACHE) != 0 };
	struct daemon_config config = { .flags = FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | flags,
					.threads = 3 };
	struct load load = { .clients = 6,
			     .rounds = rounds,
			     .round = books_round,
			     .disturb = disturb,
			     .kills = 10 };

	books_load(&books, &config, &load);
	printf("fuse_names: %s: ok, %lu requests\n", what, books_requests());
}

int main(int argc, char **argv)
{
	unsigned long rounds = load_rounds(argc, argv, 400);

	run("one request per directory", 0, 0, rounds);
	run("listings cached", FUSE_PARALLEL_DIROPS, FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE, rounds);
	run("readdirplus", FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO,
	    FOPEN_CACHE_DIR, rounds);
	run("written back", FUSE_PARALLEL_DIROPS | FUSE_WRITEBACK_CACHE | FUSE_ASYNC_READ, 0,
	    rounds);
	return 0;
}

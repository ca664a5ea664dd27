/*
 * Connections that end under load: aborted through fusectl, by the daemon's death, by a daemon that
 * dies again and again and is followed by another one (mount option keep); while clients are in the
 * middle of everything, the mount is switched between read-only and writable, and signals hit.
 * After each end a new mount takes its place.
 *
 *	fuse_abort [times]
 */
#include <stdio.h>
#include <sys/mount.h>

#include "tests/support/books.h"
#include "tests/support/load.h"
#include "vfs/mount.h"
#include "vfs/namei.h"

#define MOUNTS 6 /* one after the other, of each kind */

static const struct books_config books = { "fuse_abort", .slow_every = 32 };

enum end { ABORT, DEATH, CRASHES };

static enum end end;
static bool ended;
static unsigned crashes;

static void remount(struct daemon *d, unsigned *seed)
{
	const struct op_ctx *ctx = &d->client.ctx;
	unsigned long flags = MS_REMOUNT | (load_random(seed, 2) ? MS_RDONLY : 0) |
			      (load_random(seed, 2) ? MS_BIND : 0);
	struct path root;

	if (path_lookup(ctx, NULL, "/", 0, &root))
		return;
	(void)vfs_mount(ctx, NULL, &root, NULL, flags, NULL);
	path_put(&root);
}

static void crash(struct daemon *d)
{
	int err;

	daemon_crash(d);
	books_lost();
	crashes++;
	err = daemon_restart(d);
	if (err)
		books_broken("the next daemon was refused", (uint64_t)-err);
}

static void disturb(struct load *load, unsigned *seed)
{
	unsigned long all = load->clients * load->rounds;
	struct daemon *d = load->d;

	if (load_random(seed, 4) == 0)
		remount(d, seed);
	if (!ended)
		books_notify(d, seed);
	if (end == CRASHES) {
		if (load_done(load) > all / 8 * (crashes + 1))
			crash(d);
		return;
	}
	if (ended || load_done(load) < all / 2)
		return;
	ended = true;
	if (end == ABORT)
		fuse_conn_abort(d->conn, true);
	else
		daemon_die(d);
}

static void run(const char *what, enum end how, uint64_t flags, unsigned long rounds)
{
	struct daemon_config config = { .flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS |
						 FUSE_ATOMIC_O_TRUNC | flags,
					.serve = books_serve,
					.threads = 3,
					.options = how == CRASHES ? "keep" : NULL };
	struct load load = {
		.clients = 5, .rounds = rounds, .round = books_round, .disturb = disturb, .kills = 8
	};

	end = how;
	ended = false;
	crashes = 0;
	books_begin(&books);
	load.d = daemon_start(&config);
	load_run(&load);
	if (how == CRASHES)
		books_settle(load.d);
	books_reap(load.d);
	if (daemon_stop(load.d))
		books_broken("daemon", 0);
	daemon_free(load.d);
	printf("fuse_abort: %s: ok, %lu requests, %u crashes\n", what, books_requests(), crashes);
}

int main(int argc, char **argv)
{
	unsigned long rounds = load_rounds(argc, argv, 100);

	for (unsigned i = 0; i < MOUNTS; i++) {
		uint64_t flags = i % 2 ? FUSE_WRITEBACK_CACHE | FUSE_ASYNC_READ : 0;

		run("aborted", ABORT, flags, rounds);
		run("dead daemon", DEATH, flags, rounds);
		run("kept", CRASHES, flags, rounds);
	}
	return 0;
}

/*
 * A daemon that keeps books, for stress programs: a root directory with files "0" to "31", their
 * contents, the lookup count of every node and the open count of every handle. What must never
 * happen ends the program: a count below zero, a request for a node that was forgotten or for a
 * handle that is not open. At the end, with all closed and every name dropped, all counts must be
 * zero.
 *
 * Files below BOOKS_KEPT are only read and written in place. The others are wild: made, truncated,
 * renamed, removed.
 */
#ifndef FB_TESTS_BOOKS_H
#define FB_TESTS_BOOKS_H

#include "tests/support/daemon.h"

#define BOOKS_NODES 32
#define BOOKS_KEPT 4
#define BOOKS_PAGES 24
#define BOOKS_SIZE (BOOKS_PAGES * 4096u) /* of a file that is kept */
#define BOOKS_ROOM (2 * BOOKS_SIZE)	 /* a wild one grows up to this */
#define BOOKS_ROOT 1ULL

/* nodeid of file n */
static inline uint64_t books_nodeid(unsigned n)
{
	return 2 + (uint64_t)n;
}

struct books_config {
	const char *program; /* for what is said of a mistake */
	uint32_t open_flags; /* FOPEN_* of files */
	uint32_t dir_flags;  /* of the directory */
	unsigned
		slow_every; /* of so many answers one comes late, so that signals hit it; 0 = none */
	bool steady_mtime;  /* writes do not show in it */
};

/* New books: the kept files are there and full of zeros, nothing is looked up or open. */
void books_begin(const struct books_config *config);

struct books_reply {
	int error; /* positive errno, then without data */
	size_t len;
	uint8_t data[140 << 10];
};
/* What to say to a message of in.len bytes; false: it wants no answer. */
bool books_answer(const uint8_t *msg, struct books_reply *reply);
/* daemon_config.serve: the two together. */
void books_serve(struct daemon *d, const uint8_t *msg);

/* The daemon has died, and with it what it has counted. */
void books_lost(void);
/* Forgets mappings that are gone: there is no clock that does. Before daemon_stop(). */
void books_reap(struct daemon *d);
/* That, drops every cached name and waits for the last RELEASE and FORGET; all counts must be zero. */
void books_settle(struct daemon *d);
/* What the daemon has of a file. */
void books_contents(unsigned n, void *buf, size_t len, int64_t pos);
unsigned long books_requests(void);

struct load;
struct load_client;
/*
 * A whole program's work: new books, a mount with books_serve unless the config has another, the
 * load, and the end of it all. load->d is set, and gone afterwards.
 */
void books_load(const struct books_config *books, const struct daemon_config *config,
		struct load *load);
/* A client's round (load.h) of calls on random names, wild files and the directory. */
void books_round(struct load_client *client);
/* A message of the daemon's own about a random node, or about a file that is polled. */
void books_notify(struct daemon *d, unsigned *seed);

/* A mistake: says so and ends the program. */
_Noreturn void books_broken(const char *what, uint64_t n);

#endif

/*
 * Load on one mount, for stress programs: clients on threads of their own, each with a number of
 * rounds to do, and one thread that disturbs them for as long as any of them works.
 *
 *	struct load load = { .d = d, .clients = 6, .rounds = 500, .round = one_round };
 *	load_run(&load);
 *
 * The amount of work is fixed, not the time.
 */
#ifndef FB_TESTS_LOAD_H
#define FB_TESTS_LOAD_H

#include <stdatomic.h>

#include "tests/support/daemon.h"

#define LOAD_CLIENTS 8

struct load;

struct load_client {
	struct load *load;
	unsigned index, seed;
	atomic_ulong done; /* rounds */
	pthread_t thread;
	struct waiter
		*waiter; /* guarded by load->lock; NULL while the thread is not to be interrupted */
	void *private;
};

struct load {
	struct daemon *d;
	unsigned clients;
	unsigned long rounds; /* of each client */
	void (*round)(struct load_client *client);
	/* One disturbance; NULL = none. Called again and again, with pauses. */
	void (*disturb)(struct load *load, unsigned *seed);
	unsigned
		kills; /* of 16 interrupts so many are deaths, the rest signals; 17 = no interrupts */
	/* Of load.c: */
	pthread_mutex_t lock;
	unsigned working; /* clients that have not done all their rounds; guarded by lock */
	struct load_client client[LOAD_CLIENTS];
};

#define LOAD_UNDISTURBED 17

void load_run(struct load *load);
/* Rounds that all clients together have done. */
unsigned long load_done(struct load *load);
/* A random number below `n`. */
unsigned load_random(unsigned *seed, unsigned n);
/* The rounds of a stress program: argv[1] times its usual number. */
unsigned long load_rounds(int argc, char **argv, unsigned long usual);

#endif

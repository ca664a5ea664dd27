/*
 * The daemon's end of FUSE over io_uring, for tests without any trap and without io_uring: plays
 * the ring to which /dev/fuse hands completions.
 *
 *	struct ring *r = ring_start(NULL);          a mount whose daemon has promised a ring
 *	ring_register_all(r);                       slot N is an entry of queue N
 *	client_spawn(&t, r->d, stat_root, NULL);
 *	struct ring_slot *s = ring_next(r);         waits for a completion
 *	ring_answer(s, 0, &attr, sizeof(attr));     COMMIT_AND_FETCH
 *
 * What cannot happen ends the program.
 */
#ifndef FB_TESTS_RING_PLAYER_H
#define FB_TESTS_RING_PLAYER_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "tests/support/daemon.h"
#include "vfs/uring_cmd.h"

#define RING_SLOTS   64
#define RING_PAYLOAD (128u << 10) /* bytes; what an entry needs with the daemon's limits */
#define RING_NOWHERE 64 /* an address that the daemon does not have */

struct ring;

struct ring_slot {
	struct uring_cmd cmd;
	struct ring *ring;
	unsigned qid;
	bool done; /* completed and not yet taken; guarded by ring->lock, as res */
	int res;
	struct iovec iov[2];
	struct fuse_uring_req_header header;
	uint8_t *payload;
};

struct ring {
	struct daemon *d;
	struct op_ctx ctx; /* of who submits: the daemon */
	unsigned nr_queues;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken; /* guarded by lock */
	/* Called whenever the device copies from or to the daemon's memory; once each time it is set. */
	void (*_Atomic on_copy)(struct ring *r);
	struct ring_slot slots[RING_SLOTS];
};

/* Sets enable_uring; INIT has been answered when it returns. NULL: the defaults of daemon.h. */
struct ring *ring_start(const struct daemon_config *config);
/* Stops the daemon; every command that was kept must have been completed. */
void ring_stop(struct ring *r);
void ring_free(struct ring *r); /* only that, after a daemon_stop() of the test's own */

/* Gives one command to the device: what file_ops.uring_cmd returned. */
int ring_command(struct ring_slot *s, uint32_t op, unsigned qid, uint64_t commit_id,
		 unsigned issue_flags);
int ring_register(struct ring *r, unsigned slot, unsigned qid);
void ring_register_all(struct ring *r); /* slot N in queue N */
/* COMMIT_AND_FETCH of the request in the slot, with this answer. */
int ring_answer(struct ring_slot *s, int error, const void *data, size_t len);
/* Waits until some command is completed, takes that; NULL when none is for some seconds, or after
 * ring_wake(). */
struct ring_slot *ring_next(struct ring *r);
void ring_wake(struct ring *r); /* from now on nobody waits */
/* The same for one command: its result, or -ETIME. */
int ring_result(struct ring_slot *s);
bool ring_idle(struct ring_slot *s); /* no completion is there to be taken */
void ring_cancel(struct ring_slot *s);

/* The request in a slot. */
const struct fuse_in_header *ring_in(const struct ring_slot *s);
#define ring_arg(slot, type) ((const type *)(const void *)(slot)->header.op_in)

#endif

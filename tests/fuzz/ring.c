/*
 * A daemon that gives /dev/fuse hostile commands of a ring: REGISTER with any addresses and
 * lengths, COMMIT_AND_FETCH with any header, payload, queue and number, commands that do not exist,
 * and cancellations, in any order, while a client waits for answers. All from the input.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/fuzz/input.h"
#include "tests/support/ring_player.h"

#define SLOTS 6
#define STEPS_MAX 64
#define LOOKS 200 /* for a completion, which may never come */

struct calls {
	uint8_t op[4];
	unsigned count;
	atomic_bool done;
};

static void one_call(struct daemon *d, unsigned what)
{
	static const char *const names[] = { "/", "/a", "/a/b", "/c" };
	const char *name = names[what / 4 % 4];
	struct file *file;
	struct kstat st;
	char buf[3000];

	if (what % 4 == 0)
		(void)client_stat(d, name, &st);
	else if (client_open(d, name, what % 4 == 1 ? O_DIRECTORY : O_RDWR | O_CREAT, &file) == 0) {
		if (what % 4 == 1)
			(void)client_readdir(d, file, buf, sizeof(buf), sizeof(buf));
		else if (what % 4 == 2)
			(void)client_pwrite(d, file, buf, sizeof(buf), what);
		else
			(void)client_pread(d, file, buf, sizeof(buf), 0);
		(void)client_close(d, file);
	}
}

static long client(struct daemon *d, void *arg)
{
	struct calls *calls = arg;

	for (unsigned i = 0; i < calls->count; i++)
		one_call(d, calls->op[i]);
	atomic_store(&calls->done, true);
	return 0;
}

/* What comes by read(2): FORGET and INTERRUPT, and all of it when the ring was refused. */
static void serve(struct daemon *d, const uint8_t *msg)
{
	const struct fuse_in_header *in = (const void *)msg;

	if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET)
		(void)daemon_answer(d, in->unique, -EIO, NULL, 0);
}

static bool is_out(struct ring_slot *s)
{
	bool out;

	pthread_mutex_lock(&s->ring->lock);
	out = s->cmd.done != NULL;
	pthread_mutex_unlock(&s->ring->lock);
	return out;
}

static void register_slot(struct ring *r, unsigned n, unsigned how)
{
	const struct iovec hostile[] = { { NULL, next_byte() * 1000 },
					 { (void *)RING_NOWHERE, RING_PAYLOAD },
					 { r->slots[n].payload, SIZE_MAX } };
	struct ring_slot *s = &r->slots[n];

	s->qid = how & 1 ? 0 : n % r->nr_queues;
	s->iov[0] = (struct iovec){ &s->header, sizeof(s->header) };
	s->iov[1] = (struct iovec){ s->payload, RING_PAYLOAD };
	if ((how & 0x1e) == 0x1e)
		s->iov[next_byte() & 1] = hostile[next_byte() % 3];
	(void)ring_command(s, FUSE_IO_URING_CMD_REGISTER, s->qid, 0, URING_ISSUE_SQE128);
}

/* An answer that is nearly good, to the request that the slot has had last. */
static void commit_slot(struct ring_slot *s, unsigned how)
{
	struct fuse_out_header out = { .unique = ring_in(s)->unique };
	uint64_t id = s->header.ring_ent_in_out.commit_id;
	struct fuse_entry_out entry = make_entry(2 + next_byte() % 3, S_IFREG | 0644, 100, 1);
	uint8_t *head = calloc(1, ANSWER_MAX + 64);

	_Static_assert(sizeof(s->header) <= ANSWER_MAX, "spoil() fits");
	if (next_byte() % 4 == 0)
		entry.attr.mode = S_IFDIR | 0755;
	out.error = how & 16 ? -(int)next_byte() : 0;
	memcpy(s->header.in_out, &out, sizeof(out));
	memcpy(s->payload, &entry, sizeof(entry));
	s->header.ring_ent_in_out.payload_sz =
		how & 32 ? next_byte() * (how & 1 ? 70000u : 1u) : sizeof(entry);
	if (how & 64) {
		memcpy(head, &s->header, sizeof(s->header));
		(void)spoil(head, 0);
		memcpy(&s->header, head, sizeof(s->header));
	}
	if (how & 128)
		(void)spoil(s->payload, 0);
	free(head);
	(void)ring_command(s, FUSE_IO_URING_CMD_COMMIT_AND_FETCH,
			   (how & 15) == 15 ? next_byte() : s->qid,
			   (how & 15) == 14 ? next_byte() : id, URING_ISSUE_SQE128);
}

/* Takes what has been completed, if it comes soon or the client waits for it. */
static void take_completion(struct ring *r, struct calls *calls)
{
	bool taken = false;

	for (int look = 0; look < LOOKS && !taken && !atomic_load(&calls->done); look++) {
		pthread_mutex_lock(&r->lock);
		for (unsigned i = 0; i < SLOTS && !taken; i++)
			if (r->slots[i].done) {
				r->slots[i].done = false;
				taken = true;
			}
		pthread_mutex_unlock(&r->lock);
		sched_yield();
	}
}

static void one_step(struct ring *r, struct calls *calls)
{
	unsigned what = next_byte(), how = next_byte(), n = what / 8 % SLOTS;
	struct ring_slot *s = &r->slots[n];

	if (what % 8 == 0) {
		if (is_out(s))
			ring_cancel(s);
	} else if (what % 8 < 3) {
		take_completion(r, calls);
	} else if (is_out(s) || !ring_idle(s)) {
		take_completion(r, calls);
	} else if (what % 8 == 3) {
		register_slot(r, n, how);
	} else if (what % 8 == 4) {
		(void)ring_command(s, next_byte(), how % 4, next_byte(),
				   how & 64 ? how : URING_ISSUE_SQE128);
	} else {
		commit_slot(s, how);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct daemon_config config = { .flags = FUSE_BIG_WRITES, .serve = serve };
	struct calls calls = { 0 };
	struct client_thread thread;
	struct ring *r;

	if (size < 8)
		return 0;
	input_begin(data, size);
	calls.count = 1 + next_byte() % 4;
	for (unsigned i = 0; i < calls.count; i++)
		calls.op[i] = next_byte();
	r = ring_start(&config);
	for (unsigned i = 0, first = next_byte(); i < SLOTS && i < first; i++)
		register_slot(r, i, 0);
	client_spawn(&thread, r->d, client, &calls);
	for (unsigned i = 0; i < STEPS_MAX && input_len > 0; i++)
		one_step(r, &calls);
	fuse_conn_abort(r->d->conn, false);
	(void)client_join(&thread);
	(void)daemon_stop(r->d);
	ring_free(r);
	return 0;
}

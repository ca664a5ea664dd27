/* Plays the ring; see ring_player.h. */
#include "tests/support/ring_player.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "devfuse/params.h"
#include "sentry/base/iter.h"
#include "vfs/fs/sysfs.h"
#include "vfs/ioctl.h"

#define PATIENCE_S 5

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "ring: %s\n", what);
	abort();
}

static int own_copy_in(const struct op_ctx *ctx, void *dst, uint64_t src_gva, size_t len)
{
	if (src_gva <= RING_NOWHERE)
		return -EFAULT;
	memcpy(dst, (const void *)(uintptr_t)src_gva, len);
	return 0;
}

static int own_copy_out(const struct op_ctx *ctx, uint64_t dst_gva, const void *src, size_t len)
{
	if (dst_gva <= RING_NOWHERE)
		return -EFAULT;
	memcpy((void *)(uintptr_t)dst_gva, src, len);
	return 0;
}

static const struct ioctl_mem_ops own_mem = {own_copy_in, own_copy_out};

/* The daemon's memory is ours, but for one address. */
static size_t own_move(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len, bool in)
{
	struct ring *r = mem;
	void (*on_copy)(struct ring *) = atomic_exchange(&r->on_copy, NULL);
	size_t moved = 0;

	if (on_copy)
		on_copy(r);
	for (size_t i = 0; i < nr && moved < len; i++) {
		size_t n = segs[i].iov_len < len - moved ? segs[i].iov_len : len - moved;

		if ((uintptr_t)segs[i].iov_base <= RING_NOWHERE)
			break;
		if (in)
			memcpy((uint8_t *)buf + moved, segs[i].iov_base, n);
		else
			memcpy(segs[i].iov_base, (uint8_t *)buf + moved, n);
		moved += n;
	}
	return moved;
}

static size_t own_write(void *mem, const struct iovec *segs, size_t nr, const void *buf, size_t len)
{
	return own_move(mem, segs, nr, (void *)(uintptr_t)buf, len, false);
}

static size_t own_read(void *mem, const struct iovec *segs, size_t nr, void *buf, size_t len)
{
	return own_move(mem, segs, nr, buf, len, true);
}

static const struct io_iter_ops own_iter_ops = {own_write, own_read};

static void own_iter_init(const struct op_ctx *ctx, struct io_iter *iter, const struct iovec *segs,
			  size_t nr_segs, size_t count)
{
	iter_init_segs(iter, &own_iter_ops, ctx->task, segs, nr_segs, count);
}

static const struct op_ctx_ops ctx_ops = {.iter_init = own_iter_init};

static bool init_answered(const struct ring *r)
{
	bool open;

	fb_mutex_lock(&r->d->conn->lock);
	open = r->d->conn->initialized.open;
	fb_mutex_unlock(&r->d->conn->lock);
	return open;
}

struct ring *ring_start(const struct daemon_config *config)
{
	struct daemon_config own = {.flags = FUSE_BIG_WRITES | FUSE_PARALLEL_DIROPS};
	struct ring *r = calloc(1, sizeof(*r));

	ioctl_set_mem_ops(&own_mem);
	atomic_store(&fuse_params.enable_uring, 1);
	if (config)
		own = *config;
	own.flags |= FUSE_OVER_IO_URING;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->nr_queues = sysfs_cpu_count();
	must(r->nr_queues <= RING_SLOTS, "too many processors");
	for (unsigned i = 0; i < RING_SLOTS; i++) {
		r->slots[i].ring = r;
		r->slots[i].payload = calloc(1, RING_PAYLOAD);
	}
	r->d = daemon_start(&own);
	r->ctx = r->d->self.ctx;
	r->ctx.ops = &ctx_ops;
	r->ctx.task = r;
	while (!own.no_init && !init_answered(r))
		sched_yield();
	return r;
}

/* Under the connection's lock. */
static void command_done(struct uring_cmd *cmd, int32_t res)
{
	struct ring_slot *s = container_of(cmd, struct ring_slot, cmd);

	pthread_mutex_lock(&s->ring->lock);
	must(!s->done, "a command was completed twice");
	s->done = true;
	s->res = res;
	s->cmd.done = NULL;
	pthread_cond_broadcast(&s->ring->changed);
	pthread_mutex_unlock(&s->ring->lock);
}

int ring_command(struct ring_slot *s, uint32_t op, unsigned qid, uint64_t commit_id,
		 unsigned issue_flags)
{
	struct fuse_uring_cmd_req arg = {.commit_id = commit_id, .qid = (uint16_t)qid};
	struct daemon *d = s->ring->d;
	int ret;

	must(!s->cmd.done, "the slot's command is still out");
	memset(&s->cmd, 0, sizeof(s->cmd));
	s->cmd.file = d->dev;
	s->cmd.ctx = &s->ring->ctx;
	s->cmd.op = op;
	s->cmd.addr = (uintptr_t)s->iov;
	s->cmd.len = 2;
	s->cmd.done = command_done;
	memcpy(s->cmd.payload, &arg, sizeof(arg));
	ret = d->dev->op->uring_cmd(&s->ring->ctx, &s->cmd, issue_flags);
	if (ret != -EIOCBQUEUED)
		s->cmd.done = NULL;
	return ret;
}

static void slot_buffers(struct ring_slot *s)
{
	s->iov[0] = (struct iovec){&s->header, sizeof(s->header)};
	s->iov[1] = (struct iovec){s->payload, RING_PAYLOAD};
}

int ring_register(struct ring *r, unsigned slot, unsigned qid)
{
	struct ring_slot *s = &r->slots[slot];

	s->qid = qid;
	slot_buffers(s);
	return ring_command(s, FUSE_IO_URING_CMD_REGISTER, qid, 0, URING_ISSUE_SQE128);
}

void ring_register_all(struct ring *r)
{
	for (unsigned i = 0; i < r->nr_queues; i++)
		must(ring_register(r, i, i) == -EIOCBQUEUED, "REGISTER was refused");
}

const struct fuse_in_header *ring_in(const struct ring_slot *s)
{
	return (const void *)s->header.in_out;
}

int ring_answer(struct ring_slot *s, int error, const void *data, size_t len)
{
	uint64_t id = s->header.ring_ent_in_out.commit_id;
	struct fuse_out_header out = {.error = error, .unique = id};

	memcpy(s->header.in_out, &out, sizeof(out));
	if (len)
		memcpy(s->payload, data, len);
	s->header.ring_ent_in_out.payload_sz = (uint32_t)len;
	return ring_command(s, FUSE_IO_URING_CMD_COMMIT_AND_FETCH, s->qid, id, URING_ISSUE_SQE128);
}

/* lock held */
static struct ring_slot *find_done(struct ring *r, struct ring_slot *only)
{
	for (unsigned i = 0; i < RING_SLOTS; i++)
		if (r->slots[i].done && (!only || only == &r->slots[i]))
			return &r->slots[i];
	return NULL;
}

static struct ring_slot *wait_done(struct ring *r, struct ring_slot *only)
{
	struct ring_slot *s;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&r->lock);
	while (!(s = find_done(r, only)) && !r->woken)
		if (pthread_cond_timedwait(&r->changed, &r->lock, &until))
			break;
	if (s)
		s->done = false;
	pthread_mutex_unlock(&r->lock);
	return s;
}

struct ring_slot *ring_next(struct ring *r)
{
	return wait_done(r, NULL);
}

int ring_result(struct ring_slot *s)
{
	return wait_done(s->ring, s) ? s->res : -ETIME;
}

void ring_wake(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	r->woken = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

bool ring_idle(struct ring_slot *s)
{
	bool idle;

	pthread_mutex_lock(&s->ring->lock);
	idle = !s->done;
	pthread_mutex_unlock(&s->ring->lock);
	return idle;
}

void ring_cancel(struct ring_slot *s)
{
	s->cmd.cancel(&s->cmd);
}

void ring_free(struct ring *r)
{
	for (unsigned i = 0; i < RING_SLOTS; i++) {
		must(!r->slots[i].cmd.done, "a command was never completed");
		free(r->slots[i].payload);
	}
	daemon_free(r->d);
	free(r);
}

void ring_stop(struct ring *r)
{
	const char *why = daemon_stop(r->d);

	must(!why, why);
	ring_free(r);
}

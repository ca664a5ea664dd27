/* The ring as a file: birth, mmap(2), waiting for completions, death. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/file/eventfd.h"
#include "vfs/ops.h"
#include "vfs/strbuf.h"
#include "vfs/uring/uring_internal.h"

#define SETUP_FLAGS                                                                                \
	(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_ATTACH_WQ |                       \
	 IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |           \
	 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SQE128 | IORING_SETUP_CQE32 |                    \
	 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY)
/* What is true of these rings. Programs do without the others of Linux (RSRC_TAGS, ...). */
#define FEATURES                                                                                   \
	(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |                \
	 IORING_FEAT_RW_CUR_POS | IORING_FEAT_CUR_PERSONALITY | IORING_FEAT_FAST_POLL |            \
	 IORING_FEAT_POLL_32BITS | IORING_FEAT_EXT_ARG | IORING_FEAT_NATIVE_WORKERS |              \
	 IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE)

struct uring_hooks uring_hooks;
static const struct file_ops uring_ops_of_file;
static atomic_uint nr_rings;

void uring_set_hooks(const struct uring_hooks *hooks)
{
	uring_hooks = *hooks;
}

unsigned uring_count(void)
{
	return atomic_load(&nr_rings);
}

bool uring_is(const struct file *file)
{
	return file->op == &uring_ops_of_file;
}

struct uring *uring_of(const struct file *file)
{
	return file->private;
}

struct uring *uring_get(struct uring *ring)
{
	ref_get(&ring->ref);
	return ring;
}

static void ring_free(struct uring *ring)
{
	while (!list_empty(&ring->overflow)) {
		struct uring_overflow *cqe =
			list_first(&ring->overflow, struct uring_overflow, node);

		list_del(&cqe->node);
		free(cqe);
	}
	uring_memory_free(ring);
	atomic_fetch_sub(&nr_rings, 1);
	free(ring);
}

void uring_put(struct uring *ring)
{
	if (ref_put(&ring->ref))
		ring_free(ring);
}

/* ---- the lock ---- */

int uring_lock(struct uring *ring)
{
	return sleep_mutex_lock_killable(&ring->lock);
}

void uring_lock_uninterruptible(struct uring *ring)
{
	sleep_mutex_lock(&ring->lock);
}

/* The eventfd that hears of the new completions, with a reference, or NULL. */
static struct file *eventfd_to_tell(struct uring *ring)
{
	unsigned cq_flags = __atomic_load_n(&ring->shared->cq_flags, __ATOMIC_RELAXED);

	if (!ring->eventfd || (cq_flags & IORING_CQ_EVENTFD_DISABLED) ||
	    (ring->eventfd_async && !ring->posted_async))
		return NULL;
	return file_get(ring->eventfd);
}

void uring_unlock(struct uring *ring)
{
	struct list_node dead = LIST_INIT(dead);
	const bool posted = ring->posted > 0;
	const bool ended = ring->dying && ring->nr_reqs == 0;
	struct file *eventfd = posted ? eventfd_to_tell(ring) : NULL;

	ring->posted = 0;
	ring->posted_async = false;
	list_splice_tail(&dead, &ring->dead);
	sleep_mutex_unlock(&ring->lock);
	if (posted)
		waitq_wake_all(&ring->completions, POLLIN);
	if (eventfd) {
		(void)eventfd_signal(eventfd, 1);
		file_put(eventfd);
	}
	if (ended)
		uring_service_wake(ring);
	while (!list_empty(&dead)) {
		struct uring_req *req = list_first(&dead, struct uring_req, todo);

		list_del(&req->todo);
		uring_req_free(req);
	}
}

/* ---- setup ---- */

static uint32_t round_up_pow2(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static int check_flags(unsigned flags)
{
	/* IORING_SETUP_SQPOLL and _IOPOLL are among the missing: nobody polls here. */
	if (flags & ~SETUP_FLAGS)
		return -EINVAL;
	if ((flags & IORING_SETUP_TASKRUN_FLAG) &&
	    !(flags & (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)))
		return -EINVAL;
	if ((flags & IORING_SETUP_DEFER_TASKRUN) && !(flags & IORING_SETUP_SINGLE_ISSUER))
		return -EINVAL;
	return 0;
}

/* A wish of at most max; more only if it may be clamped. */
static int clamp_entries(uint32_t wish, uint32_t max, unsigned flags, uint32_t *ret)
{
	if (wish == 0)
		return -EINVAL;
	if (wish > max) {
		if (!(flags & IORING_SETUP_CLAMP))
			return -EINVAL;
		wish = max;
	}
	*ret = round_up_pow2(wish);
	return 0;
}

/* cf. io_uring_fill_params() */
static int check_sizes(unsigned entries, struct io_uring_params *params)
{
	const unsigned flags = params->flags;
	int err = clamp_entries(entries, URING_MAX_ENTRIES, flags, &params->sq_entries);

	if (err)
		return err;
	if (!(flags & IORING_SETUP_CQSIZE)) {
		params->cq_entries = 2 * params->sq_entries;
		return 0;
	}
	err = clamp_entries(params->cq_entries, URING_MAX_CQ_ENTRIES, flags, &params->cq_entries);
	return err ? err : params->cq_entries < params->sq_entries ? -EINVAL : 0;
}

/* Sharing another ring's workers changes nothing here, but that must be a ring. */
static int check_attach(const struct op_ctx *ctx, const struct io_uring_params *params)
{
	struct file *other = ctx->files ? fdtable_file(ctx->files, (int)params->wq_fd) : NULL;
	int err = !other ? -ENXIO : uring_is(other) ? 0 : -EINVAL;

	file_put(other);
	return err;
}

static void init_lists(struct uring *ring)
{
	list_init(&ring->overflow);
	list_init(&ring->reqs);
	for (unsigned i = 0; i < URING_BUCKETS; i++)
		list_init(&ring->by_data[i]);
	list_init(&ring->todo);
	list_init(&ring->dead);
	list_init(&ring->deferred);
	list_init(&ring->timeouts);
	list_init(&ring->ready);
	list_init(&ring->works);
	waitq_init(&ring->service);
	waitq_init(&ring->completions);
}

static struct uring *ring_new(const struct io_uring_params *params, int *ret_err)
{
	struct uring *ring = calloc(1, sizeof(*ring));

	*ret_err = -ENOMEM;
	if (!ring)
		return NULL;
	if (atomic_fetch_add(&nr_rings, 1) >= URING_MAX_RINGS)
		goto out_count;
	ref_init(&ring->ref);
	sleep_mutex_init(&ring->lock);
	init_lists(ring);
	ring->flags = params->flags;
	ring->sq_entries = params->sq_entries;
	ring->cq_entries = params->cq_entries;
	ring->sqe_shift = params->flags & IORING_SETUP_SQE128 ? 7 : 6;
	ring->cqe_shift = params->flags & IORING_SETUP_CQE32 ? 5 : 4;
	ring->disabled = params->flags & IORING_SETUP_R_DISABLED;
	*ret_err = uring_memory_new(ring);
	if (!*ret_err)
		return ring;
out_count:
	atomic_fetch_sub(&nr_rings, 1);
	free(ring);
	return NULL;
}

int uring_new(const struct op_ctx *ctx, struct uring_task *task, unsigned entries,
	      struct io_uring_params *params, struct file **ret_file)
{
	struct uring *ring;
	int err = check_flags(params->flags);

	if (!err)
		err = check_sizes(entries, params);
	if (!err && (params->flags & IORING_SETUP_ATTACH_WQ))
		err = check_attach(ctx, params);
	if (err)
		return err;
	ring = ring_new(params, &err);
	if (!ring)
		return err;
	if ((ring->flags & IORING_SETUP_SINGLE_ISSUER) && !ring->disabled)
		ring->submitter = task->id;
	err = file_new_anon(ctx, "io_uring", 0600, &uring_ops_of_file, ring, O_RDWR, ret_file);
	if (err) {
		uring_put(ring);
		return err;
	}
	params->features = FEATURES;
	uring_memory_offsets(ring, params);
	uring_service_start(ring);
	return 0;
}

/* ---- enter ---- */

int uring_check_task(struct file *file, const struct uring_task *task, bool submit)
{
	const struct uring *ring = uring_of(file);

	if (__atomic_load_n(&ring->disabled, __ATOMIC_ACQUIRE))
		return -EBADFD;
	if (!ring->submitter || ring->submitter == task->id)
		return 0;
	/* Deferred work runs in the issuer alone, io_allowed_run_tw(). */
	return submit || (ring->flags & IORING_SETUP_DEFER_TASKRUN) ? -EEXIST : 0;
}

int uring_submit(const struct op_ctx *ctx, struct uring_task *task, struct file *file, unsigned nr)
{
	struct uring *ring = uring_of(file);
	int ret = uring_lock(ring);

	if (ret)
		return ret;
	ret = uring_submit_locked(ring, ctx, task, nr);
	uring_unlock(ring);
	return ret;
}

struct cq_wait {
	struct waitq_entry entry;
	struct wait_mark mark;
	const struct uring *ring;
	uint32_t target;      /* the tail to wait for */
	unsigned nr_timeouts; /* when the wait began */
};

static bool cq_wait_over(const struct cq_wait *wait)
{
	const struct uring *ring = wait->ring;

	return (int32_t)(atomic_load(&ring->cq_tail) - wait->target) >= 0 ||
	       atomic_load(&ring->cq_timeouts) != wait->nr_timeouts ||
	       atomic_load(&ring->nr_overflow) || atomic_load(&ring->dropped);
}

/* Of the completions only that counts which fills the wish, cf. io_should_wake(). */
static void cq_wake(struct waitq_entry *entry, unsigned events)
{
	if (cq_wait_over(container_of(entry, struct cq_wait, entry)))
		waitq_wake_mark(entry, events);
}

static int flush_overflow(struct uring *ring)
{
	int err;

	if (!atomic_load(&ring->nr_overflow))
		return 0;
	err = uring_lock(ring);
	if (err)
		return err;
	uring_cq_flush(ring);
	uring_unlock(ring);
	return 0;
}

static int wait_for_tail(struct uring *ring, unsigned min, int64_t deadline_ns)
{
	struct cq_wait wait = {
		.ring = ring,
		.target = __atomic_load_n(&ring->shared->cq_head, __ATOMIC_ACQUIRE) + min,
		.nr_timeouts = atomic_load(&ring->cq_timeouts),
	};
	int err = 0;

	wait_mark_init(&wait.mark);
	waitq_entry_init(&wait.entry, cq_wake, &wait.mark);
	waitq_add(&ring->completions, &wait.entry);
	while (!err && !cq_wait_over(&wait))
		err = wait_mark_sleep(&wait.mark, WAIT_INTERRUPTIBLE, deadline_ns);
	waitq_del(&wait.entry);
	return err;
}

int uring_wait(struct file *file, unsigned min, int64_t deadline_ns)
{
	struct uring *ring = uring_of(file);
	int err = flush_overflow(ring);

	if (min > ring->cq_entries)
		min = ring->cq_entries;
	if (!err && atomic_exchange(&ring->dropped, false))
		return -EBADR;
	if (!err && uring_cq_ready(ring) < min)
		err = deadline_ns < 0 ? -ETIME : wait_for_tail(ring, min, deadline_ns);
	if (!err)
		err = flush_overflow(ring);
	if (err == -ETIMEDOUT)
		err = -ETIME;
	if (err_is_restart(err))
		err = -EINTR;
	return uring_cq_empty(ring) ? err : 0;
}

/* ---- methods ---- */

/* CQ_RING is where SQ_RING is, and only the high bits of an offset count (io_uring_mmap()). */
static int64_t uring_mmap_offset(struct file *file, int64_t offset)
{
	(void)file;
	offset &= (int64_t)IORING_OFF_MMAP_MASK;
	return offset == (int64_t)IORING_OFF_CQ_RING ? (int64_t)IORING_OFF_SQ_RING : offset;
}

/*
 * More than there is would be memory of the sandbox that nobody asked for: the host's file has a
 * hole before the submission entries. Linux maps it and ends the touch with SIGBUS.
 */
static int uring_mmap(const struct op_ctx *ctx, struct file *file, const struct mmap_request *req,
		      int *ret_hostfd)
{
	const struct uring *ring = uring_of(file);
	const bool rings = req->offset == (int64_t)IORING_OFF_SQ_RING;
	size_t size = rings ? ring->rings_size : ring->sqes_size;
	int hostfd;

	(void)ctx;
	if (!rings && req->offset != (int64_t)IORING_OFF_SQES)
		return -ENOMEM; /* as io_uring_get_unmapped_area() has it */
	if (req->length > ((size + 4095) & ~4095ul))
		return -EINVAL;
	hostfd = (int)HOST(fcntl(ring->hostfd, F_DUPFD_CLOEXEC, 0));
	if (hostfd < 0)
		return hostfd;
	*ret_hostfd = hostfd;
	return 0;
}

static unsigned uring_fpoll(const struct op_ctx *ctx, struct file *file, struct poll_table *table)
{
	struct uring *ring = uring_of(file);
	uint32_t tail, head;
	unsigned mask = 0;

	(void)ctx;
	poll_wait(table, file, &ring->completions);
	tail = __atomic_load_n(&ring->shared->sq_tail, __ATOMIC_ACQUIRE);
	head = __atomic_load_n(&ring->shared->sq_head, __ATOMIC_ACQUIRE);
	if (tail - head != ring->sq_entries)
		mask |= POLLOUT | POLLWRNORM;
	if (!uring_cq_empty(ring) || atomic_load(&ring->nr_overflow))
		mask |= POLLIN | POLLRDNORM;
	return mask;
}

static void uring_release(const struct op_ctx *ctx, struct file *file)
{
	struct uring *ring = uring_of(file);

	(void)ctx;
	uring_lock_uninterruptible(ring);
	ring->dying = true;
	uring_cancel_all(ring, NULL);
	uring_unlock(ring);
	uring_unregister_all(ring);
	uring_put(ring);
}

static void uring_show_fdinfo(struct file *file, struct strbuf *out)
{
	const struct uring *ring = uring_of(file);
	const struct uring_shared *shared = ring->shared;

	strbuf_printf(out, "SqMask:\t0x%x\n", ring->sq_entries - 1);
	strbuf_printf(out, "SqHead:\t%u\n", __atomic_load_n(&shared->sq_head, __ATOMIC_RELAXED));
	strbuf_printf(out, "SqTail:\t%u\n", __atomic_load_n(&shared->sq_tail, __ATOMIC_RELAXED));
	strbuf_printf(out, "CqMask:\t0x%x\n", ring->cq_entries - 1);
	strbuf_printf(out, "CqHead:\t%u\n", __atomic_load_n(&shared->cq_head, __ATOMIC_RELAXED));
	strbuf_printf(out, "CqTail:\t%u\n", __atomic_load_n(&shared->cq_tail, __ATOMIC_RELAXED));
}

static const struct file_ops uring_ops_of_file = {
	.mmap = uring_mmap,
	.mmap_offset = uring_mmap_offset,
	.poll = uring_fpoll,
	.release = uring_release,
	.show_fdinfo = uring_show_fdinfo,
	.nowait = true,
	.no_position = true,
};

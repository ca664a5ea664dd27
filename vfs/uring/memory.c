/*
 * The memory that guest and sentry share: one memfd, with the queues' header, completions and
 * submission indices at offset 0 and the submission entries at IORING_OFF_SQES, so that the offsets
 * of io_uring(7) are those of the file. It is sealed against every change of its size.
 *
 * The guest may write anything at any time: words are loaded once, and of the sentry's own
 * positions there are copies outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "vfs/uring/uring_internal.h"

#define PAGE 4096ul
#define CACHE_LINE 64ul

_Static_assert(offsetof(struct uring_shared, cq_tail) == 192, "as struct io_rings");
_Static_assert(sizeof(struct uring_shared) == 320, "as struct io_rings");

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static size_t round_up(size_t size, size_t to)
{
	return (size + to - 1) & ~(to - 1);
}

static size_t array_offset(const struct uring *ring)
{
	return round_up(sizeof(struct uring_shared) + ((size_t)ring->cq_entries << ring->cqe_shift),
			CACHE_LINE);
}

static int host_memory(const struct uring *ring)
{
	const off_t size = (off_t)(IORING_OFF_SQES + round_up(ring->sqes_size, PAGE));
	int hostfd = (int)HOST(memfd_create("io_uring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int err;

	if (hostfd < 0)
		return hostfd;
	err = (int)HOST(ftruncate(hostfd, size));
	if (!err)
		err = (int)HOST(
			fcntl(hostfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	if (err) {
		close(hostfd);
		return err;
	}
	return hostfd;
}

static void *map_shared(int hostfd, size_t size, uint64_t offset)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, (off_t)offset);

	return map == MAP_FAILED ? NULL : map;
}

static void write_header(struct uring *ring)
{
	ring->shared->sq_ring_mask = ring->sq_entries - 1;
	ring->shared->cq_ring_mask = ring->cq_entries - 1;
	ring->shared->sq_ring_entries = ring->sq_entries;
	ring->shared->cq_ring_entries = ring->cq_entries;
}

int uring_memory_new(struct uring *ring)
{
	ring->sqes_size = (size_t)ring->sq_entries << ring->sqe_shift;
	ring->rings_size = array_offset(ring);
	if (!(ring->flags & IORING_SETUP_NO_SQARRAY))
		ring->rings_size += ring->sq_entries * sizeof(uint32_t);
	ring->hostfd = host_memory(ring);
	if (ring->hostfd < 0)
		return ring->hostfd;
	ring->shared = map_shared(ring->hostfd, ring->rings_size, IORING_OFF_SQ_RING);
	ring->sqes = map_shared(ring->hostfd, ring->sqes_size, IORING_OFF_SQES);
	if (!ring->shared || !ring->sqes) {
		uring_memory_free(ring);
		return -ENOMEM;
	}
	ring->cqes = (char *)(ring->shared + 1);
	if (!(ring->flags & IORING_SETUP_NO_SQARRAY))
		ring->sq_array = (uint32_t *)(void *)((char *)ring->shared + array_offset(ring));
	write_header(ring);
	return 0;
}

void uring_memory_free(struct uring *ring)
{
	if (ring->shared)
		munmap(ring->shared, ring->rings_size);
	if (ring->sqes)
		munmap(ring->sqes, ring->sqes_size);
	close(ring->hostfd);
}

#define AT(member) ((uint32_t)offsetof(struct uring_shared, member))

void uring_memory_offsets(const struct uring *ring, struct io_uring_params *params)
{
	params->sq_off = (struct io_sqring_offsets){
		.head = AT(sq_head),
		.tail = AT(sq_tail),
		.ring_mask = AT(sq_ring_mask),
		.ring_entries = AT(sq_ring_entries),
		.flags = AT(sq_flags),
		.dropped = AT(sq_dropped),
		.array = ring->sq_array ? (uint32_t)array_offset(ring) : 0,
	};
	params->cq_off = (struct io_cqring_offsets){
		.head = AT(cq_head),
		.tail = AT(cq_tail),
		.ring_mask = AT(cq_ring_mask),
		.ring_entries = AT(cq_ring_entries),
		.overflow = AT(cq_overflow),
		.cqes = (uint32_t)sizeof(struct uring_shared),
		.flags = AT(cq_flags),
	};
}

/* ---- submissions ---- */

uint32_t uring_sq_ready(const struct uring *ring)
{
	uint32_t ready = load(&ring->shared->sq_tail) - ring->sq_head;

	return ready < ring->sq_entries ? ready : ring->sq_entries;
}

bool uring_sq_take(struct uring *ring, struct io_uring_sqe ret_sqe[2])
{
	uint32_t index = ring->sq_head++ & (ring->sq_entries - 1);

	if (ring->sq_array) {
		index = load(&ring->sq_array[index]);
		if (index >= ring->sq_entries) {
			store(&ring->shared->sq_dropped, ++ring->sq_dropped);
			return false;
		}
	}
	memset(ret_sqe, 0, 2 * sizeof(*ret_sqe));
	memcpy(ret_sqe, ring->sqes + ((size_t)index << ring->sqe_shift),
	       (size_t)1 << ring->sqe_shift);
	/* Only the copy is looked at from here on. */
	__asm__ volatile("" ::: "memory");
	return true;
}

void uring_sq_commit(struct uring *ring)
{
	store(&ring->shared->sq_head, ring->sq_head);
}

/* ---- completions ---- */

uint32_t uring_cq_ready(const struct uring *ring)
{
	uint32_t ready = atomic_load(&ring->cq_tail) - load(&ring->shared->cq_head);

	return ready < ring->cq_entries ? ready : ring->cq_entries;
}

bool uring_cq_empty(const struct uring *ring)
{
	return uring_cq_ready(ring) == 0;
}

static bool put_cqe(struct uring *ring, const struct uring_overflow *cqe)
{
	const uint32_t tail = atomic_load(&ring->cq_tail);
	struct io_uring_cqe *slot;

	if (uring_cq_ready(ring) == ring->cq_entries)
		return false;
	slot = (void *)(ring->cqes + ((size_t)(tail & (ring->cq_entries - 1)) << ring->cqe_shift));
	slot->user_data = cqe->user_data;
	slot->res = cqe->res;
	slot->flags = cqe->flags;
	if (ring->flags & IORING_SETUP_CQE32)
		memcpy(slot + 1, cqe->extra, sizeof(cqe->extra));
	atomic_store(&ring->cq_tail, tail + 1);
	store(&ring->shared->cq_tail, tail + 1);
	ring->posted++;
	return true;
}

static void flag_overflow(struct uring *ring, bool on)
{
	if (on)
		__atomic_fetch_or(&ring->shared->sq_flags, IORING_SQ_CQ_OVERFLOW, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&ring->shared->sq_flags, ~IORING_SQ_CQ_OVERFLOW,
				   __ATOMIC_RELAXED);
}

static void keep_cqe(struct uring *ring, const struct uring_overflow *cqe)
{
	struct uring_overflow *copy = NULL;

	if (atomic_load(&ring->nr_overflow) < URING_MAX_OVERFLOW)
		copy = malloc(sizeof(*copy));
	if (!copy) { /* cf. io_cqring_event_overflow() without memory */
		store(&ring->shared->cq_overflow, ++ring->cq_overflow);
		atomic_store(&ring->dropped, true);
		return;
	}
	*copy = *cqe;
	list_add_tail(&ring->overflow, &copy->node);
	if (atomic_fetch_add(&ring->nr_overflow, 1) == 0)
		flag_overflow(ring, true);
	ring->posted++;
}

bool uring_cq_post(struct uring *ring, const struct uring_overflow *cqe, bool keep)
{
	/* Behind those that wait already. */
	if (list_empty(&ring->overflow) && put_cqe(ring, cqe))
		return true;
	if (keep)
		keep_cqe(ring, cqe);
	return keep;
}

void uring_cq_flush(struct uring *ring)
{
	while (!list_empty(&ring->overflow)) {
		struct uring_overflow *cqe =
			list_first(&ring->overflow, struct uring_overflow, node);

		if (!put_cqe(ring, cqe))
			return;
		list_del(&cqe->node);
		free(cqe);
		if (atomic_fetch_sub(&ring->nr_overflow, 1) == 1)
			flag_overflow(ring, false);
	}
}

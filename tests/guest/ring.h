/* A ring by hand, with nothing but the three system calls: io_uring(7) of liburing in small. */
#ifndef FB_GUEST_RING_H
#define FB_GUEST_RING_H

#include "report.h"

#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdbool.h>
#include <sys/mman.h>

#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif

struct ring {
	int fd;
	struct io_uring_params params;
	char *rings, *sqes;
	size_t rings_size, sqes_size, sqe_size, cqe_size;
	unsigned tail; /* of submissions, not published yet */
};

static inline int ring_setup(unsigned entries, struct io_uring_params *params)
{
	return (int)syscall(SYS_io_uring_setup, entries, params);
}

static inline unsigned *ring_word(struct ring *ring, unsigned offset)
{
	return (unsigned *)(void *)(ring->rings + offset);
}

static inline bool ring_map(struct ring *ring)
{
	const struct io_uring_params *p = &ring->params;

	ring->sqe_size = p->flags & IORING_SETUP_SQE128 ? 128 : 64;
	ring->cqe_size = p->flags & IORING_SETUP_CQE32 ? 32 : 16;
	ring->rings_size = p->sq_off.array + p->sq_entries * sizeof(unsigned);
	if (ring->rings_size < p->cq_off.cqes + p->cq_entries * ring->cqe_size)
		ring->rings_size = p->cq_off.cqes + p->cq_entries * ring->cqe_size;
	ring->sqes_size = p->sq_entries * ring->sqe_size;
	ring->rings = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			  IORING_OFF_SQES);
	return ring->rings != MAP_FAILED && ring->sqes != MAP_FAILED;
}

/* False: there is no io_uring. */
static inline bool ring_try(struct ring *ring, unsigned entries, unsigned flags)
{
	memset(ring, 0, sizeof(*ring));
	ring->params.flags = flags;
	ring->fd = ring_setup(entries, &ring->params);
	return ring->fd >= 0 && ring_map(ring);
}

static inline void ring_open(struct ring *ring, unsigned entries, unsigned flags)
{
	if (ring_try(ring, entries, flags))
		return;
	printf("cannot make a ring: %s\n", strerrorname_np(errno));
	exit(1);
}

static inline void ring_close(struct ring *ring)
{
	munmap(ring->rings, ring->rings_size);
	munmap(ring->sqes, ring->sqes_size);
	close(ring->fd);
}

/* A kernel without io_uring cannot be compared with. */
static inline void ring_needed(void)
{
	struct ring ring;

	if (!ring_try(&ring, 1, 0)) {
		printf("skip: no io_uring\n");
		exit(0);
	}
	ring_close(&ring);
}

/* The next free entry, zeroed. */
static inline struct io_uring_sqe *ring_sqe(struct ring *ring, int op, int fd, const void *addr,
					    unsigned len, uint64_t off, uint64_t user_data)
{
	unsigned index = ring->tail++ & (ring->params.sq_entries - 1);
	struct io_uring_sqe *sqe = (void *)(ring->sqes + index * ring->sqe_size);

	memset(sqe, 0, ring->sqe_size);
	sqe->opcode = (uint8_t)op;
	sqe->fd = fd;
	sqe->addr = (uintptr_t)addr;
	sqe->len = len;
	sqe->off = off;
	sqe->user_data = user_data;
	if (ring->params.sq_off.array)
		ring_word(ring, ring->params.sq_off.array)[index] = index;
	return sqe;
}

static inline int ring_enter_raw(struct ring *ring, unsigned submit, unsigned wait, unsigned flags,
				 const void *arg, size_t size)
{
	__atomic_store_n(ring_word(ring, ring->params.sq_off.tail), ring->tail, __ATOMIC_RELEASE);
	return (int)syscall(SYS_io_uring_enter, ring->fd, submit, wait, flags, arg, size);
}

static inline unsigned ring_unsent(struct ring *ring)
{
	return ring->tail -
	       __atomic_load_n(ring_word(ring, ring->params.sq_off.head), __ATOMIC_ACQUIRE);
}

static inline int ring_enter(struct ring *ring, unsigned wait)
{
	return ring_enter_raw(ring, ring_unsent(ring), wait, wait ? IORING_ENTER_GETEVENTS : 0,
			      NULL, 0);
}

static inline unsigned ring_ready(struct ring *ring)
{
	return __atomic_load_n(ring_word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE) -
	       *ring_word(ring, ring->params.cq_off.head);
}

/* Takes the oldest completion; false: there is none. */
static inline bool ring_peek(struct ring *ring, struct io_uring_cqe *ret_cqe)
{
	unsigned *head = ring_word(ring, ring->params.cq_off.head);

	if (!ring_ready(ring))
		return false;
	memcpy(ret_cqe,
	       ring->rings + ring->params.cq_off.cqes +
		       (*head & (ring->params.cq_entries - 1)) * ring->cqe_size,
	       sizeof(*ret_cqe));
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return true;
}

static inline const char *res_text(int res)
{
	errno = res < 0 ? -res : 0;
	return result_text(res < 0 ? -1 : res);
}

/* Waits for the next `nr` completions and prints them by user_data, lowest first. */
static inline void ring_show(struct ring *ring, const char *what, unsigned nr)
{
	struct io_uring_cqe cqes[32], swap;
	unsigned n = 0;

	while (n < nr && n < 32) {
		if (ring_peek(ring, &cqes[n]))
			n++;
		else if (ring_enter(ring, 1) < 0 && errno != EINTR)
			break;
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 1; j < n; j++)
			if (cqes[j].user_data < cqes[i].user_data) {
				swap = cqes[i];
				cqes[i] = cqes[j];
				cqes[j] = swap;
			}
	printf("%s:", what);
	for (unsigned i = 0; i < n; i++)
		printf(" %llu=%s%s", (unsigned long long)cqes[i].user_data, res_text(cqes[i].res),
		       cqes[i].flags & IORING_CQE_F_MORE ? "+" : "");
	printf("\n");
}

/* Submits what is there and shows as many completions. */
static inline void ring_run(struct ring *ring, const char *what)
{
	unsigned nr = ring_unsent(ring);
	int sent = ring_enter(ring, 0);

	if (sent != (int)nr)
		printf("%s: %s of %u taken\n", what, result_text(sent), nr);
	ring_show(ring, what, sent > 0 ? (unsigned)sent : 0);
}

#endif

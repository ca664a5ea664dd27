/* A thread's slot, which the guest may change at any moment: read once what is believed. */
#ifndef FB_LANE_SLOT_H
#define FB_LANE_SLOT_H

#include "sentry/lane/lane_internal.h"
#include "sentry/task.h"

static inline void *slot_field(const struct lane_thread *thread, int field)
{
	return thread->lane->mem + LANE_CODE_BYTES + thread->slot * LANE_SLOT_SIZE + field;
}

static inline _Atomic uint32_t *slot_u32(const struct lane_thread *thread, int field)
{
	return slot_field(thread, field);
}

static inline _Atomic uint64_t *slot_u64(const struct lane_thread *thread, int field)
{
	return slot_field(thread, field);
}

static inline uint32_t slot_state(const struct lane_thread *thread)
{
	return atomic_load_explicit(slot_u32(thread, SLOT_STATE), memory_order_acquire);
}

static inline void slot_set_state(const struct lane_thread *thread, uint32_t state)
{
	atomic_store_explicit(slot_u32(thread, SLOT_STATE), state, memory_order_release);
}

static inline bool slot_change(const struct lane_thread *thread, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(slot_u32(thread, SLOT_STATE), &from, to);
}

/* The site the guest says that it comes from; NULL: it says nonsense. */
static inline const struct lane_site *slot_site(const struct lane_thread *thread)
{
	const struct lane *lane = thread->lane;
	uint64_t at = atomic_load(slot_u64(thread, SLOT_SITE)) -
		      (lane->gva + LANE_STUBS + STUB_DESCRIPTOR);

	if (at % LANE_STUB_SIZE || at / LANE_STUB_SIZE >= atomic_load(&lane->nr_sites))
		return NULL;
	return &lane->sites[at / LANE_STUB_SIZE];
}

/* The slot's data, as we see it. */
static inline unsigned char *slot_data(const struct lane_thread *thread)
{
	return thread->lane->mem + LANE_CODE_BYTES + LANE_PAGE + (size_t)thread->slot * 2 * LANE_DATA;
}

static inline bool has_slot(const struct task *task)
{
	return task->lane && task->lane->slot >= 0;
}

#endif

/* Reference counts. `_new` returns count 1, `_get` adds, `_put` drops and accepts NULL. */
#ifndef FB_BASE_REFCOUNT_H
#define FB_BASE_REFCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "sentry/base/log.h"

struct ref {
	atomic_int count;
};

static inline void ref_init(struct ref *ref)
{
	atomic_init(&ref->count, 1);
}

static inline void ref_get(struct ref *ref)
{
	int old = atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed);

	fb_assert(old > 0);
}

/* Adds a reference unless the last one is gone already. */
static inline bool ref_get_unless_zero(struct ref *ref)
{
	int old = atomic_load_explicit(&ref->count, memory_order_relaxed);

	while (old > 0)
		if (atomic_compare_exchange_weak(&ref->count, &old, old + 1))
			return true;
	return false;
}

/* True for the caller that dropped the last reference. */
static inline bool ref_put(struct ref *ref)
{
	int old = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);

	fb_assert(old > 0);
	return old == 1;
}

static inline int ref_read(const struct ref *ref)
{
	return atomic_load_explicit(&((struct ref *)(unsigned long)ref)->count,
				    memory_order_acquire);
}

#endif

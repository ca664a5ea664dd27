/*
 * With FB_LOCK_CHECK each thread remembers the ranks it holds as bits of one word: taking a lock
 * is legal only when no bit at or above its rank is set.
 */
#include "sentry/base/lock.h"

#include <stdint.h>

#include "sentry/base/log.h"

#ifdef FB_LOCK_CHECK
static __thread uint64_t held_ranks;

/* Not inlined: a fiber may come back on another thread, and its address must be asked anew. */
__attribute__((noinline)) static uint64_t *held(void)
{
	__asm__ volatile("" ::: "memory");
	return &held_ranks;
}

static void note_lock(enum fb_rank rank)
{
	fb_assert(*held() >> rank == 0);
	*held() |= UINT64_C(1) << rank;
}

static void note_unlock(enum fb_rank rank)
{
	fb_assert(*held() & UINT64_C(1) << rank);
	*held() &= ~(UINT64_C(1) << rank);
}

void fb_mutex_assert_held(const struct fb_mutex *mutex)
{
	fb_assert(*held() & UINT64_C(1) << mutex->rank);
}

void fb_mutex_assert_none_held(void)
{
	fb_assert(*held() == 0);
}
#else
static inline void note_lock(enum fb_rank rank)
{
	(void)rank;
}

static inline void note_unlock(enum fb_rank rank)
{
	(void)rank;
}

void fb_mutex_assert_held(const struct fb_mutex *mutex)
{
	(void)mutex;
}

void fb_mutex_assert_none_held(void)
{
}
#endif

void fb_mutex_init(struct fb_mutex *mutex, enum fb_rank rank)
{
	pthread_mutex_init(&mutex->mutex, NULL);
	mutex->rank = rank;
}

void fb_mutex_destroy(struct fb_mutex *mutex)
{
	pthread_mutex_destroy(&mutex->mutex);
}

void fb_mutex_lock(struct fb_mutex *mutex)
{
	note_lock(mutex->rank);
	pthread_mutex_lock(&mutex->mutex);
}

void fb_mutex_unlock(struct fb_mutex *mutex)
{
	enum fb_rank rank = mutex->rank; /* once unlocked, the next holder may free it */

	pthread_mutex_unlock(&mutex->mutex);
	note_unlock(rank);
}

void fb_mutex_lock_pair(struct fb_mutex *a, struct fb_mutex *b)
{
	fb_assert(a->rank == b->rank);
	note_lock(a->rank);
	if ((uintptr_t)a > (uintptr_t)b) {
		struct fb_mutex *swap = a;

		a = b;
		b = swap;
	}
	pthread_mutex_lock(&a->mutex);
	if (a != b)
		pthread_mutex_lock(&b->mutex);
}

void fb_mutex_unlock_pair(struct fb_mutex *a, struct fb_mutex *b)
{
	enum fb_rank rank = a->rank;

	pthread_mutex_unlock(&a->mutex);
	if (a != b)
		pthread_mutex_unlock(&b->mutex);
	note_unlock(rank);
}

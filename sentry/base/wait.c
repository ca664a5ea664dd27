/*
 * Wait queues and the waiters of plain threads. The waiters of fibers come from sched/fiber.c
 * through waiter_set_hook().
 */
#include "sentry/base/wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"

static struct fb_mutex wait_lock = FB_MUTEX_INIT(RANK_WAIT);

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Waiters of plain threads: a futex word. */

struct thread_waiter {
	struct waiter waiter;
	atomic_uint word; /* 1 = may run */
};

static void thread_park(struct waiter *waiter, enum wait_mode mode, int64_t deadline_ns)
{
	struct thread_waiter *self = container_of(waiter, struct thread_waiter, waiter);
	struct timespec ts, *timeout = NULL;

	(void)mode;
	if (deadline_ns != WAIT_FOREVER) {
		ts.tv_sec = deadline_ns / 1000000000;
		ts.tv_nsec = deadline_ns % 1000000000;
		timeout = &ts;
	}
	if (atomic_exchange(&self->word, 0) == 0)
		syscall(SYS_futex, &self->word, FUTEX_WAIT_BITSET_PRIVATE, 0, timeout, NULL,
			FUTEX_BITSET_MATCH_ANY);
	atomic_store(&self->word, 0);
}

static void thread_unpark(struct waiter *waiter)
{
	struct thread_waiter *self = container_of(waiter, struct thread_waiter, waiter);

	atomic_store(&self->word, 1);
	syscall(SYS_futex, &self->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static __thread struct thread_waiter own_waiter = {
	.waiter = { .park = thread_park, .unpark = thread_unpark },
};
static struct waiter *(*current_hook)(void);

__attribute__((noinline)) static struct waiter *thread_waiter_self(void)
{
	__asm__ volatile("" ::: "memory");
	return &own_waiter.waiter;
}

void waiter_set_hook(struct waiter *(*current)(void))
{
	current_hook = current;
}

struct waiter *waiter_self(void)
{
	struct waiter *waiter = current_hook ? current_hook() : NULL;

	return waiter ? waiter : thread_waiter_self();
}

static void waiter_wake_locked(struct waiter *waiter)
{
	if (!atomic_exchange(&waiter->permit, true))
		waiter->unpark(waiter);
}

void waiter_interrupt_locked(struct waiter *waiter, unsigned why)
{
	atomic_fetch_or(&waiter->interrupts, why);
	waiter_wake_locked(waiter);
}

void waiter_interrupt(struct waiter *waiter, unsigned why)
{
	waitq_lock();
	waiter_interrupt_locked(waiter, why);
	waitq_unlock();
}

void waiter_reset(struct waiter *waiter)
{
	atomic_store(&waiter->interrupts, 0);
}

int waiter_pending(const struct waiter *waiter, enum wait_mode mode)
{
	unsigned why = atomic_load(&((struct waiter *)(uintptr_t)waiter)->interrupts);

	if (mode == WAIT_INTERRUPTIBLE && why)
		return -ERESTARTSYS;
	if (mode == WAIT_KILLABLE && (why & WAITER_KILLED))
		return -ERESTARTSYS;
	return 0;
}

int waiter_sleep(enum wait_mode mode, int64_t deadline_ns)
{
	struct waiter *self = waiter_self();
	int err;

	fb_mutex_assert_none_held();
	if (atomic_exchange(&self->permit, false))
		return waiter_pending(self, mode);
	err = waiter_pending(self, mode);
	if (err)
		return err;
	if (deadline_ns != WAIT_FOREVER && clock_monotonic_ns() >= deadline_ns)
		return -ETIMEDOUT;
	self->park(self, mode, deadline_ns);
	if (atomic_exchange(&self->permit, false))
		return waiter_pending(self, mode);
	err = waiter_pending(self, mode);
	if (err)
		return err;
	if (deadline_ns != WAIT_FOREVER && clock_monotonic_ns() >= deadline_ns)
		return -ETIMEDOUT;
	return 0;
}

static unsigned spinners_max = 1;

void wait_set_spinners_max(unsigned nr)
{
	spinners_max = nr;
}

unsigned wait_spinners_max(void)
{
	return spinners_max;
}

/* Queues. */

void waitq_lock(void)
{
	fb_mutex_lock(&wait_lock);
}

void waitq_unlock(void)
{
	fb_mutex_unlock(&wait_lock);
}

void waitq_init(struct waitq *queue)
{
	list_init(&queue->entries);
}

/*
 * Without the lock. Sound for wakers that changed the condition under a mutex which the sleeper
 * took after it had queued itself; the fence orders the rest.
 */
bool waitq_active(const struct waitq *queue)
{
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(&queue->entries.next, __ATOMIC_RELAXED) != &queue->entries;
}

void waitq_entry_init(struct waitq_entry *entry, waitq_wake_fn wake, void *owner)
{
	list_init(&entry->node);
	entry->queue = NULL;
	entry->wake = wake;
	entry->owner = owner;
	entry->events = 0;
	entry->exclusive = false;
	entry->sleeper = NULL;
}

/* Non-exclusive entries stand in front; the newest exclusive one first among its kind. */
static void waitq_add_locked(struct waitq *queue, struct waitq_entry *entry)
{
	struct list_node *pos = &queue->entries;
	struct waitq_entry *other;

	fb_assert(!entry->queue);
	entry->queue = queue;
	if (entry->exclusive) {
		list_for_each(other, &queue->entries, node) {
			pos = &other->node;
			if (other->exclusive) {
				pos = other->node.prev;
				break;
			}
		}
	}
	entry->node.prev = pos;
	entry->node.next = pos->next;
	pos->next->prev = &entry->node;
	__atomic_store_n(&pos->next, &entry->node, __ATOMIC_RELAXED);
}

void waitq_add(struct waitq *queue, struct waitq_entry *entry)
{
	waitq_lock();
	waitq_add_locked(queue, entry);
	waitq_unlock();
	atomic_thread_fence(memory_order_seq_cst);
}

static void waitq_del_locked(struct waitq_entry *entry)
{
	struct list_node *prev = entry->node.prev;

	if (!entry->queue)
		return;
	entry->node.next->prev = prev;
	__atomic_store_n(&prev->next, entry->node.next, __ATOMIC_RELAXED);
	list_init(&entry->node);
	entry->queue = NULL;
}

void waitq_del(struct waitq_entry *entry)
{
	waitq_lock();
	waitq_del_locked(entry);
	waitq_unlock();
}

static bool cares_for(const struct waitq_entry *entry, unsigned events)
{
	return !events || !entry->events || (events & entry->events);
}

static bool is_spinning(const struct waitq_entry *entry)
{
	return entry->sleeper && waiter_spins(entry->sleeper);
}

/* `first`, or an exclusive entry behind it that is a better choice. */
static struct waitq_entry *best_exclusive(struct waitq *queue, struct waitq_entry *first,
					  unsigned events)
{
	struct waitq_entry *entry = first;

	for (; &entry->node != &queue->entries;
	     entry = list_entry(entry->node.next, struct waitq_entry, node))
		if (cares_for(entry, events) && is_spinning(entry))
			return entry;
	return first;
}

static void waitq_wake_entries(struct waitq *queue, unsigned events, bool all)
{
	struct waitq_entry *entry, *next;

	list_for_each_safe(entry, next, &queue->entries, node) {
		bool exclusive = entry->exclusive;

		if (!cares_for(entry, events))
			continue;
		if (exclusive && !all)
			entry = best_exclusive(queue, entry, events);
		entry->wake(entry, events);
		if (exclusive && !all)
			break;
	}
}

void waitq_wake_locked(struct waitq *queue, unsigned events)
{
	waitq_wake_entries(queue, events, false);
}

void waitq_wake(struct waitq *queue, unsigned events)
{
	if (!waitq_active(queue))
		return;
	waitq_lock();
	waitq_wake_entries(queue, events, false);
	waitq_unlock();
}

unsigned waitq_spinning(struct waitq *queue)
{
	struct waitq_entry *entry;
	unsigned nr = 0;

	if (!waitq_active(queue))
		return 0;
	waitq_lock();
	list_for_each(entry, &queue->entries, node)
		nr += is_spinning(entry);
	waitq_unlock();
	return nr;
}

void waitq_wake_all(struct waitq *queue, unsigned events)
{
	if (!waitq_active(queue))
		return;
	waitq_lock();
	waitq_wake_entries(queue, events, true);
	waitq_unlock();
}

void waitq_wake_waiter(struct waitq_entry *entry, unsigned events)
{
	(void)events;
	waiter_wake_locked(entry->owner);
}

void wait_mark_init(struct wait_mark *mark)
{
	mark->waiter = waiter_self();
	atomic_init(&mark->woken, false);
}

void waitq_wake_mark(struct waitq_entry *entry, unsigned events)
{
	struct wait_mark *mark = entry->owner;

	(void)events;
	atomic_store(&mark->woken, true);
	waiter_wake_locked(mark->waiter);
}

int wait_mark_sleep(struct wait_mark *mark, enum wait_mode mode, int64_t deadline_ns)
{
	int err;

	if (atomic_exchange(&mark->woken, false))
		return waiter_pending(mark->waiter, mode);
	/* A wake-up may be left from what the asking slept for: that is no reason to ask again. */
	do
		err = waiter_sleep(mode, deadline_ns);
	while (!err && !atomic_load(&mark->woken));
	atomic_store(&mark->woken, false);
	return err;
}

/*
 * The entry of a sleeping waiter leaves the queue when it is woken: a second exclusive wake-up
 * before the first sleeper has run must reach another one.
 */
static void wake_and_leave(struct waitq_entry *entry, unsigned events)
{
	(void)events;
	waitq_del_locked(entry);
	waiter_wake_locked(entry->owner);
}

static int wait_on(struct waitq *queue, unsigned events, struct fb_mutex *mutex,
		   enum wait_mode mode, int64_t deadline_ns, bool exclusive)
{
	struct waiter *self = waiter_self();
	struct waitq_entry entry;
	bool woken;
	int err;

	waitq_entry_init(&entry, wake_and_leave, self);
	entry.events = events;
	entry.exclusive = exclusive;
	entry.sleeper = self;
	atomic_store(&self->permit, false);
	waitq_add(queue, &entry);
	if (mutex)
		fb_mutex_unlock(mutex);
	err = waiter_sleep(mode, deadline_ns);
	waitq_lock();
	woken = entry.queue == NULL;
	waitq_del_locked(&entry);
	/* An exclusive wake-up that a signal or time-out makes us miss goes to the next. */
	if (woken && err && exclusive)
		waitq_wake_entries(queue, events, false);
	waitq_unlock();
	if (mutex)
		fb_mutex_lock(mutex);
	return err;
}

int waitq_wait(struct waitq *queue, unsigned events, struct fb_mutex *mutex, enum wait_mode mode,
	       int64_t deadline_ns)
{
	return wait_on(queue, events, mutex, mode, deadline_ns, false);
}

int waitq_wait_exclusive(struct waitq *queue, unsigned events, struct fb_mutex *mutex,
			 enum wait_mode mode, int64_t deadline_ns)
{
	return wait_on(queue, events, mutex, mode, deadline_ns, true);
}

/* Sleeping mutex: like a futex, the word says whether an unlock has to look for sleepers. */

void sleep_mutex_init(struct sleep_mutex *mutex)
{
	atomic_init(&mutex->held, 0);
	waitq_init(&mutex->waiters);
}

bool sleep_mutex_trylock(struct sleep_mutex *mutex)
{
	int expected = 0;

	return atomic_compare_exchange_strong(&mutex->held, &expected, 1);
}

static int sleep_mutex_lock_mode(struct sleep_mutex *mutex, enum wait_mode mode)
{
	struct waiter *self;
	struct waitq_entry entry;
	int err = 0;

	fb_mutex_assert_none_held();
	if (sleep_mutex_trylock(mutex))
		return 0;
	self = waiter_self();
	waitq_entry_init(&entry, wake_and_leave, self);
	for (;;) {
		atomic_store(&self->permit, false);
		waitq_lock();
		if (!entry.queue)
			waitq_add_locked(&mutex->waiters, &entry);
		if (atomic_exchange(&mutex->held, 2) == 0)
			break;
		waitq_unlock();
		err = waiter_sleep(mode, WAIT_FOREVER);
		if (err) {
			waitq_lock();
			break;
		}
	}
	/* The word stays 2: a spurious look for sleepers is harmless, a missed one is not. */
	if (err && entry.queue == NULL)
		waitq_wake_entries(&mutex->waiters, 0, false);
	waitq_del_locked(&entry);
	waitq_unlock();
	return err;
}

void sleep_mutex_lock(struct sleep_mutex *mutex)
{
	(void)sleep_mutex_lock_mode(mutex, WAIT_UNINTERRUPTIBLE);
}

int sleep_mutex_lock_killable(struct sleep_mutex *mutex)
{
	return sleep_mutex_lock_mode(mutex, WAIT_KILLABLE);
}

void sleep_mutex_unlock(struct sleep_mutex *mutex)
{
	struct waitq_entry *entry;

	fb_assert(atomic_load(&mutex->held) != 0);
	if (atomic_exchange(&mutex->held, 0) == 1)
		return;
	waitq_lock();
	if (!list_empty(&mutex->waiters.entries)) {
		/* The oldest: non-exclusive entries are added in front. */
		entry = list_last(&mutex->waiters.entries, struct waitq_entry, node);
		entry->wake(entry, 0);
	}
	waitq_unlock();
}

bool sleep_mutex_is_locked(const struct sleep_mutex *mutex)
{
	return atomic_load(&((struct sleep_mutex *)(uintptr_t)mutex)->held) != 0;
}

void sleep_rwlock_init(struct sleep_rwlock *lock)
{
	fb_mutex_init(&lock->lock, RANK_LEAF);
	lock->readers = 0;
	lock->writers_waiting = 0;
	waitq_init(&lock->waiters);
}

void sleep_rwlock_read_lock(struct sleep_rwlock *lock)
{
	fb_mutex_assert_none_held();
	fb_mutex_lock(&lock->lock);
	while (lock->readers < 0 || lock->writers_waiting)
		(void)waitq_wait(&lock->waiters, 0, &lock->lock, WAIT_UNINTERRUPTIBLE,
				 WAIT_FOREVER);
	lock->readers++;
	fb_mutex_unlock(&lock->lock);
}

void sleep_rwlock_read_unlock(struct sleep_rwlock *lock)
{
	bool wake;

	fb_mutex_lock(&lock->lock);
	fb_assert(lock->readers > 0);
	wake = --lock->readers == 0;
	if (wake)
		waitq_wake(&lock->waiters, 0);
	fb_mutex_unlock(&lock->lock);
}

static int write_lock_mode(struct sleep_rwlock *lock, enum wait_mode mode)
{
	int err = 0;

	fb_mutex_assert_none_held();
	fb_mutex_lock(&lock->lock);
	lock->writers_waiting++;
	while (!err && lock->readers != 0)
		err = waitq_wait(&lock->waiters, 0, &lock->lock, mode, WAIT_FOREVER);
	lock->writers_waiting--;
	if (lock->readers == 0) {
		lock->readers = -1;
		err = 0;
	} else {
		waitq_wake(&lock->waiters, 0); /* readers that we held back */
	}
	fb_mutex_unlock(&lock->lock);
	return err;
}

void sleep_rwlock_write_lock(struct sleep_rwlock *lock)
{
	(void)write_lock_mode(lock, WAIT_UNINTERRUPTIBLE);
}

int sleep_rwlock_write_lock_killable(struct sleep_rwlock *lock)
{
	return write_lock_mode(lock, WAIT_KILLABLE);
}

void sleep_rwlock_write_unlock(struct sleep_rwlock *lock)
{
	fb_mutex_lock(&lock->lock);
	fb_assert(lock->readers == -1);
	lock->readers = 0;
	waitq_wake(&lock->waiters, 0);
	fb_mutex_unlock(&lock->lock);
}

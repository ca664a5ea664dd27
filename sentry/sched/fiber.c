#include "sentry/sched/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/sched/sched.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#define GUARD_SIZE 4096UL
#define POOL_MAX 64

static struct fb_mutex pool_lock = FB_MUTEX_INIT(RANK_SCHED);
static struct fiber *pool; /* guarded by pool_lock, most recently used first */
static int pool_len;
static void (*before_park)(void *owner);
static void (*after_park)(void *owner);
static __thread struct fiber_thread *thread_self;

/*
 * fiber_switch(save, to): pushes the callee-saved registers, stores the stack pointer in *save,
 * continues where `to` was stored. The kernel ABI keeps nothing else across a call.
 */
void fiber_switch(void **save, void *to);
__asm__(".text\n"
	".globl fiber_switch\n"
	".type fiber_switch, @function\n"
	"fiber_switch:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".size fiber_switch, . - fiber_switch\n");

/* Not inlined: the address of a thread-local must be asked anew after each switch. */
__attribute__((noinline)) struct fiber_thread *fiber_thread_self(void)
{
	__asm__ volatile("" ::: "memory");
	return thread_self;
}

void fiber_thread_init(struct fiber_thread *thread)
{
	*thread = (struct fiber_thread){ 0 };
#ifdef __SANITIZE_THREAD__
	thread->tsan_fiber = __tsan_get_current_fiber();
#endif
	thread_self = thread;
}

void sched_set_park_hooks(void (*before)(void *owner), void (*after)(void *owner))
{
	before_park = before;
	after_park = after;
}

void fiber_set_owner(void *owner)
{
	fiber_thread_self()->current->owner = owner;
}

void *fiber_owner(void)
{
	struct fiber_thread *thread = fiber_thread_self();

	return thread && thread->current ? thread->current->owner : NULL;
}

/* Leaves the fiber for its thread's own stack. */
static void switch_out(struct fiber *fiber, bool forever)
{
	struct fiber_thread *thread = fiber_thread_self();

#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(forever ? NULL : &fiber->asan_fake_stack,
				       thread->asan_bottom, thread->asan_size);
#endif
#ifdef __SANITIZE_THREAD__
	__tsan_switch_to_fiber(thread->tsan_fiber, 0);
#endif
	(void)forever;
	fiber_switch(&fiber->sp, thread->sp);
#ifdef __SANITIZE_ADDRESS__
	thread = fiber_thread_self();
	__sanitizer_finish_switch_fiber(fiber->asan_fake_stack, &thread->asan_bottom,
					&thread->asan_size);
#endif
}

static void switch_in(struct fiber_thread *thread, struct fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(&thread->asan_fake_stack, fiber->stack, FIBER_STACK_SIZE);
#endif
#ifdef __SANITIZE_THREAD__
	__tsan_switch_to_fiber(fiber->tsan_fiber, 0);
#endif
	fiber_switch(&thread->sp, fiber->sp);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(thread->asan_fake_stack, NULL, NULL);
#endif
}

static void fiber_unpark(struct waiter *waiter)
{
	struct fiber *fiber = container_of(waiter, struct fiber, waiter);
	enum fiber_state old = atomic_load(&fiber->state), new;

	do {
		switch (old) {
		case FIBER_RUNNING:
			new = FIBER_NOTIFIED;
			break;
		case FIBER_PARKING:
			new = FIBER_PARK_NOTIFIED;
			break;
		case FIBER_PARKED:
			new = FIBER_QUEUED;
			break;
		default:
			return;
		}
	} while (!atomic_compare_exchange_weak(&fiber->state, &old, new));
	if (new == FIBER_QUEUED)
		runqueue_push(fiber);
}

static void deadline_passed(struct fb_timer *timer)
{
	fiber_unpark(&container_of(timer, struct fiber, timer)->waiter);
}

static void fiber_park(struct waiter *waiter, enum wait_mode mode, int64_t deadline_ns)
{
	struct fiber *fiber = container_of(waiter, struct fiber, waiter);
	enum fiber_state expected = FIBER_RUNNING;

	(void)mode;
	if (deadline_ns != WAIT_FOREVER)
		fb_timer_arm(&fiber->timer, deadline_ns);
	if (fiber->owner)
		before_park(fiber->owner);
	if (atomic_compare_exchange_strong(&fiber->state, &expected, FIBER_PARKING))
		switch_out(fiber, false);
	atomic_store(&fiber->state, FIBER_RUNNING);
	if (fiber->owner)
		after_park(fiber->owner);
	if (deadline_ns != WAIT_FOREVER)
		fb_timer_cancel(&fiber->timer);
}

__attribute__((noreturn)) static void fiber_main(void)
{
	struct fiber *fiber = fiber_thread_self()->current;

#ifdef __SANITIZE_ADDRESS__
	struct fiber_thread *thread = fiber_thread_self();

	__sanitizer_finish_switch_fiber(NULL, &thread->asan_bottom, &thread->asan_size);
#endif
	fiber->fn(fiber->arg);
	atomic_store(&fiber->state, FIBER_ENDED);
	switch_out(fiber, true);
	__builtin_unreachable();
}

static void fiber_prepare_stack(struct fiber *fiber)
{
	void **sp = (void **)(fiber->stack + FIBER_STACK_SIZE);

#ifdef __SANITIZE_ADDRESS__
	/* The frames of the stack's last user never returned: their red zones are still there. */
	__asan_unpoison_memory_region(fiber->stack, FIBER_STACK_SIZE);
#endif
	*--sp = NULL; /* keeps the stack aligned as after a call */
	*--sp = (void *)(uintptr_t)fiber_main;
	for (int i = 0; i < 6; i++)
		*--sp = NULL; /* callee-saved registers */
	fiber->sp = sp;
}

static struct fiber *fiber_alloc(void)
{
	struct fiber *fiber = calloc(1, sizeof(*fiber));
	char *map;

	if (!fiber)
		return NULL;
	map = mmap(NULL, GUARD_SIZE + FIBER_STACK_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (map == MAP_FAILED || mprotect(map, GUARD_SIZE, PROT_NONE)) {
		free(fiber);
		return NULL;
	}
	fiber->stack = map + GUARD_SIZE;
	fiber->waiter.park = fiber_park;
	fiber->waiter.unpark = fiber_unpark;
	fb_timer_init(&fiber->timer, deadline_passed);
	return fiber;
}

struct fiber *fiber_new(void (*fn)(void *), void *arg)
{
	struct fiber *fiber;

	fb_mutex_lock(&pool_lock);
	fiber = pool;
	if (fiber) {
		pool = fiber->next;
		pool_len--;
	}
	fb_mutex_unlock(&pool_lock);
	if (!fiber)
		fiber = fiber_alloc();
	if (!fiber)
		fb_die("out of memory for a call stack");
	fiber->fn = fn;
	fiber->arg = arg;
	fiber->owner = NULL;
	atomic_store(&fiber->waiter.interrupts, 0);
	atomic_store(&fiber->waiter.permit, false);
	atomic_store(&fiber->waiter.spins, false);
	atomic_store(&fiber->state, FIBER_RUNNING);
	fiber_prepare_stack(fiber);
#ifdef __SANITIZE_THREAD__
	fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
	return fiber;
}

static void fiber_recycle(struct fiber *fiber)
{
	bool keep;

#ifdef __SANITIZE_THREAD__
	__tsan_destroy_fiber(fiber->tsan_fiber);
#endif
	fb_mutex_lock(&pool_lock);
	keep = pool_len < POOL_MAX;
	if (keep) {
		fiber->next = pool;
		pool = fiber;
		pool_len++;
	}
	fb_mutex_unlock(&pool_lock);
	if (keep)
		return;
	munmap(fiber->stack - GUARD_SIZE, GUARD_SIZE + FIBER_STACK_SIZE);
	free(fiber);
}

void fiber_resume(struct fiber_thread *thread, struct fiber *fiber)
{
	enum fiber_state expected = FIBER_PARKING;

	thread->current = fiber;
	atomic_store(&fiber->state, FIBER_RUNNING);
	switch_in(thread, fiber);
	thread->current = NULL;
	if (atomic_load(&fiber->state) == FIBER_ENDED) {
		fiber_recycle(fiber);
		return;
	}
	/* Only from here on may another thread run it: its registers are saved now. */
	if (atomic_compare_exchange_strong(&fiber->state, &expected, FIBER_PARKED))
		return;
	atomic_store(&fiber->state, FIBER_QUEUED);
	runqueue_push(fiber);
}

/* Calls by the lane, and which threads make them: those whose calls come thick and fast. */
#include <errno.h>
#include <string.h>

#include "sentry/base/wait.h"
#include "sentry/call.h"
#include "sentry/lane/lane_slot.h"
#include "sentry/usermem.h"

#define OWED_NS 250000 /* so long the leader looks out for a call that should come soon */
#define LATE_MAX 3     /* calls in a row that do not come in time: the thread is not fast */
#define HOT_NS 250000  /* between two traps of a thread that might be */
#define HOT_EAGER 4    /* so many of them in a row, */
#define HOT_MIN 256
#define HOT_AGAIN 16   /* or of one that has just been fast for long; */
#define HOT_MAX 8192   /* up to this many after trials that did not last */
#define RUN_MIN 256    /* calls by the lane that make a trial worth it */

static atomic_int nr_fast;
static atomic_ulong nr_calls;

/* Pace. */

void lane_attend(struct lane_thread *thread, int64_t until_ns)
{
	if (atomic_load(&thread->lane->broken))
		until_ns = 0;
	atomic_store_explicit(&thread->owed_ns, until_ns, memory_order_relaxed);
	atomic_store(slot_u32(thread, SLOT_OFF), until_ns == 0);
}

/* call.lock held, as for the next. */
static bool speed_up(struct lane_thread *thread)
{
	if (atomic_fetch_add(&nr_fast, 1) >= lane_max_fast()) {
		atomic_fetch_sub(&nr_fast, 1);
		return false;
	}
	thread->fast = true;
	thread->run = 0;
	atomic_store(&thread->late, 0);
	return true;
}

void lane_slow_down(struct lane_thread *thread)
{
	if (!thread->fast)
		return;
	thread->fast = false;
	atomic_fetch_sub(&nr_fast, 1);
	lane_attend(thread, 0);
	thread->hot = 0;
	if (thread->run >= RUN_MIN)
		thread->hot_min = HOT_AGAIN;
	else if (thread->hot_min < HOT_MAX)
		thread->hot_min = thread->hot_min ? thread->hot_min * 2 : HOT_MIN * 2;
}

/* Does it trap often? */
static void note_pace(struct lane_thread *thread)
{
	int64_t now = clock_monotonic_ns();

	thread->hot = now - thread->trap_ns < HOT_NS ? thread->hot + 1 : thread->hot / 2;
	thread->trap_ns = now;
}

/* Calls. */

/* The segments are read once, from the guest's copy of them. */
static void bring_vector(struct window *window, gva_t gva, uint64_t nr, uint32_t len)
{
	struct iovec segs[LANE_SEGMENTS];
	uint32_t at = (uint32_t)(nr * sizeof(*segs));

	if (nr > LANE_SEGMENTS || at > len)
		return;
	memcpy(segs, window->in, at);
	window_add_in(window, gva, at, 0);
	for (uint64_t i = 0; i < nr && segs[i].iov_len <= len - at; i++) {
		window_add_in(window, (gva_t)segs[i].iov_base, (uint32_t)segs[i].iov_len, at);
		at += (uint32_t)segs[i].iov_len;
	}
}

/* What the guest says that it has brought. */
static void open_window(struct task *task, uint32_t kind, const uint64_t *args)
{
	struct lane_thread *thread = task->lane;
	struct window *window = &thread->window;
	uint32_t len = atomic_load_explicit(slot_u32(thread, SLOT_IN), memory_order_relaxed);

	window_open(window);
	task->window = window;
	if (!len || len > LANE_DATA)
		return;
	if (kind == LANE_IN_BUFFER && len == args[2])
		window_add_in(window, args[1], len, 0);
	else if (kind == LANE_IN_VECTOR)
		bring_vector(window, args[1], args[2], len);
	else if (kind == LANE_IN_STRING1)
		window_add_in(window, args[0], len, 0);
	else if (kind == LANE_IN_STRING2)
		window_add_in(window, args[1], len, 0);
}

bool lane_take(struct task *task, struct call_entry *ret_entry)
{
	struct lane_thread *thread = task->lane;
	const struct lane_site *site;

	if (!has_slot(task) || slot_state(thread) != LANE_REQUEST)
		return false;
	site = slot_site(thread);
	if (!site || !slot_change(thread, LANE_REQUEST, LANE_TAKEN))
		return false;
	ret_entry->nr = site->nr;
	for (int i = 0; i < 6; i++)
		ret_entry->args[i] = atomic_load_explicit(slot_u64(thread, SLOT_ARGS + 8 * i),
							  memory_order_relaxed);
	ret_entry->ip_gva = site->return_gva;
	ret_entry->cookie = 0;
	open_window(task, site->kind, ret_entry->args);
	thread->answered = false;
	thread->run++;
	atomic_store_explicit(&thread->late, 0, memory_order_relaxed);
	atomic_store_explicit(&thread->owed_ns, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&nr_calls, 1, memory_order_relaxed);
	return true;
}

/* The guest goes on: its next call is soon to come. */
static void expect(struct lane_thread *thread)
{
	if (thread->fast)
		lane_attend(thread, clock_monotonic_ns() + OWED_NS);
}

void lane_answer(struct task *task, int64_t result)
{
	struct lane_thread *thread = task->lane;

	if (!has_slot(task))
		return;
	atomic_store_explicit(slot_u64(thread, SLOT_RESULT), (uint64_t)result,
			      memory_order_relaxed);
	atomic_store_explicit(slot_u32(thread, SLOT_OUT), thread->window.out_len,
			      memory_order_relaxed);
	slot_set_state(thread, LANE_DONE);
	thread->answered = true;
	expect(thread);
}

int64_t lane_result(struct task *task)
{
	struct lane_thread *thread = task->lane;

	if (usermem_flush(task, &thread->window)) {
		window_drop_out(&thread->window);
		return -EFAULT;
	}
	return (int64_t)atomic_load(slot_u64(thread, SLOT_RESULT));
}

void lane_reject(struct task *task)
{
	if (has_slot(task))
		(void)slot_change(task->lane, LANE_REQUEST, LANE_REFUSED);
}

struct window *lane_window(struct task *task)
{
	return has_slot(task) ? &task->lane->window : NULL;
}

void lane_refuse(struct task *task)
{
	if (has_slot(task))
		slot_set_state(task->lane, LANE_REFUSED);
}

void lane_adopted(struct task *task)
{
	struct lane_thread *thread = task->lane;

	if (!has_slot(task))
		return;
	lane_slow_down(thread); /* it has to wait */
	slot_set_state(thread, LANE_IDLE);
}

static void note_candidate(struct lane_thread *thread, const struct call_entry *entry)
{
	struct lane_candidate *candidate =
		&thread->candidates[(entry->ip_gva >> 1 ^ entry->ip_gva >> 6) % LANE_CANDIDATES];

	if (candidate->ip_gva != entry->ip_gva || candidate->nr != entry->nr)
		*candidate = (struct lane_candidate){ entry->ip_gva, entry->nr, 0,
						      lane_eager() ? 1 : LANE_DUE };
	if (++candidate->count == candidate->due)
		thread->stop_wanted = true;
}

bool lane_trapped(struct task *task, const struct call_entry *entry, int64_t *ret_result)
{
	struct lane_thread *thread = task->lane;
	const struct call *call = &task->call;
	bool answered;

	if (lane_allows(entry->nr))
		note_candidate(thread, entry);
	if (!has_slot(task))
		return false;
	lane_attend(thread, 0);
	note_pace(thread);
	if (atomic_exchange(slot_u32(thread, SLOT_WITHDRAWN), 0))
		atomic_fetch_add(&thread->late, 1);
	if (atomic_load(&thread->late) >= LATE_MAX)
		lane_slow_down(thread);
	answered = thread->answered && call->nr == entry->nr && call->ip_gva == entry->ip_gva &&
		   !memcmp(call->args, entry->args, sizeof(call->args)) &&
		   slot_change(thread, LANE_DONE, LANE_IDLE);
	thread->answered = false;
	if (answered)
		*ret_result = (int64_t)atomic_load(slot_u64(thread, SLOT_RESULT));
	return answered;
}

static bool is_hot(const struct lane_thread *thread)
{
	if (lane_eager())
		return thread->hot >= HOT_EAGER;
	return thread->hot >= (thread->hot_min ? thread->hot_min : HOT_MIN);
}

void lane_answers(struct task *task)
{
	struct lane_thread *thread = task->lane;

	if (!has_slot(task))
		return;
	if (!thread->fast && is_hot(thread))
		(void)speed_up(thread);
	expect(thread);
}

uint64_t lane_calls(void)
{
	return atomic_load(&nr_calls);
}

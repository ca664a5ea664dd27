/* The leader's part: the tasks with a slot, and the look at their slots before it waits for a trap. */
#include <sched.h>

#include "sentry/base/idle.h"
#include "sentry/base/wait.h"
#include "sentry/call.h"
#include "sentry/lane/lane_slot.h"
#include "sentry/sched/sched.h"
#include "sentry/trap.h"

#define PENDING_NS 20000 /* between two looks at the traps */

#define SWITCH_NS 1000    /* a yield that takes longer has switched */

#define IDLE_AFTER_NS 25000 /* in which nobody has come: time for what can wait */

#define TAKE_MAX 16 /* calls begun before a trapped one */

static struct fb_mutex armed_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct task *armed[LANE_SLOTS * 4]; /* guarded by armed_lock, as the next */
static unsigned nr_armed, nr_promised;
static unsigned next_look; /* where the next look begins: everybody's turn comes */
static atomic_bool any_armed;
static _Atomic int64_t looked_ns; /* when the leader has asked for traps last */

void lane_remember(struct task *task)
{
	fb_mutex_lock(&armed_lock);
	nr_promised--;
	armed[nr_armed++] = task;
	atomic_store(&any_armed, true);
	fb_mutex_unlock(&armed_lock);
}

bool lane_promise(void)
{
	bool may;

	fb_mutex_lock(&armed_lock);
	may = nr_armed + nr_promised < sizeof(armed) / sizeof(*armed);
	nr_promised += may;
	fb_mutex_unlock(&armed_lock);
	return may;
}

void lane_break_promise(void)
{
	fb_mutex_lock(&armed_lock);
	nr_promised--;
	fb_mutex_unlock(&armed_lock);
}

void lane_forget(struct task *task)
{
	fb_mutex_lock(&armed_lock);
	for (unsigned i = 0; i < nr_armed; i++) {
		if (armed[i] != task)
			continue;
		armed[i] = armed[--nr_armed];
		break;
	}
	atomic_store(&any_armed, nr_armed > 0);
	fb_mutex_unlock(&armed_lock);
}

/* A task with a request, with a reference; *ret_owed_ns: until when one is expected, 0 = not. */
static struct task *find_request(int64_t now, int64_t *ret_owed_ns)
{
	struct task *found = NULL;
	int64_t latest = 0;

	fb_mutex_lock(&armed_lock);
	for (unsigned i = 0; i < nr_armed && !found; i++) {
		unsigned at = (next_look + i) % nr_armed;
		struct lane_thread *thread = armed[at]->lane;
		int64_t owed = atomic_load_explicit(&thread->owed_ns, memory_order_relaxed);

		if (atomic_load(&thread->lane->broken))
			continue;
		if (slot_state(thread) == LANE_REQUEST) {
			found = task_get(armed[at]);
			next_look = at + 1;
		} else if (owed && owed < now) {
			lane_attend(thread, 0);
			atomic_fetch_add(&thread->late, 1);
		} else if (owed > latest) {
			latest = owed;
		}
	}
	fb_mutex_unlock(&armed_lock);
	*ret_owed_ns = latest;
	return found;
}

/* Drops the reference. */
static bool begin(struct task *task)
{
	bool begun = call_begin_lane(task);

	task_put(task);
	return begun;
}

static bool traps_wait(int64_t now)
{
	if (now - atomic_load_explicit(&looked_ns, memory_order_relaxed) < PENDING_NS)
		return false;
	atomic_store_explicit(&looked_ns, now, memory_order_relaxed);
	return trap->pending();
}

bool lane_poll(void)
{
	int64_t now, owed, before, start;
	bool give_up = false;
	struct task *task;

	if (!atomic_load_explicit(&any_armed, memory_order_relaxed))
		return false;
	now = start = clock_monotonic_ns();
	for (;;) {
		/* Asked first: calls by the lane may come so fast that no trap would ever be received. */
		if (traps_wait(now))
			return false;
		task = find_request(give_up ? INT64_MAX : now, &owed);
		if (task && begin(task))
			return true;
		if (task) { /* it was none: the others' turn */
			now = clock_monotonic_ns();
			continue;
		}
		if (!owed)
			return false;
		if (idle_work_pending() && now - start > IDLE_AFTER_NS)
			idle_work_run(true);
		if (sched_has_work())
			return true;
		for (int i = 0; i < LANE_TURNS; i++)
			__asm__ volatile("pause");
		before = clock_monotonic_ns();
		sched_yield();
		now = clock_monotonic_ns();
		if (now - before > SWITCH_NS) /* somebody has run, and may have trapped */
			atomic_store_explicit(&looked_ns, 0, memory_order_relaxed);
		if (now - before > LANE_YIELD_NS)
			give_up = true; /* what is owed is late */
	}
}

void lane_take_all(void)
{
	struct task *task;
	int64_t owed;

	/* Not all: who makes requests without end holds nobody up. */
	for (unsigned i = 0; i < TAKE_MAX && atomic_load_explicit(&any_armed, memory_order_relaxed);
	     i++) {
		task = find_request(0, &owed);
		if (!task)
			break;
		(void)begin(task);
	}
}

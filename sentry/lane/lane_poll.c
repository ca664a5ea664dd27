/* The leader's part: the tasks with a slot, and the look at their slots before it waits for a trap. */
#include <sched.h>

#include "sentry/base/wait.h"
#include "sentry/call.h"
#include "sentry/lane/lane_slot.h"
#include "sentry/sched/sched.h"
#include "sentry/trap.h"

#define PENDING_NS 3000 /* between two looks at the traps */

static struct fb_mutex armed_lock = FB_MUTEX_INIT(RANK_LEAF);
static struct task *armed[LANE_SLOTS * 4]; /* guarded by armed_lock, as the next */
static unsigned nr_armed;
static atomic_bool any_armed;

void lane_remember(struct task *task)
{
	fb_mutex_lock(&armed_lock);
	armed[nr_armed++] = task;
	atomic_store(&any_armed, true);
	fb_mutex_unlock(&armed_lock);
}

bool lane_may_join(void)
{
	bool may;

	fb_mutex_lock(&armed_lock);
	may = nr_armed < sizeof(armed) / sizeof(*armed);
	fb_mutex_unlock(&armed_lock);
	return may;
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
		struct lane_thread *thread = armed[i]->lane;
		int64_t owed = atomic_load_explicit(&thread->owed_ns, memory_order_relaxed);

		if (slot_state(thread) == LANE_REQUEST) {
			found = task_get(armed[i]);
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

/* Whose request is none that can be begun has broken the protocol, or dies. Drops the reference. */
static bool begin(struct task *task)
{
	bool begun = call_begin_lane(task);

	if (!begun)
		lane_leave(task);
	task_put(task);
	return begun;
}

bool lane_poll(void)
{
	int64_t now, owed, looked, before;
	struct task *task;

	if (!atomic_load_explicit(&any_armed, memory_order_relaxed))
		return false;
	looked = now = clock_monotonic_ns();
	for (;;) {
		task = find_request(now, &owed);
		if (task) {
			return begin(task);
		}
		if (!owed)
			return false;
		if (sched_has_work())
			return true;
		if (now - looked > PENDING_NS) {
			if (trap->pending())
				return false;
			looked = now;
		}
		for (int i = 0; i < LANE_TURNS; i++)
			__asm__ volatile("pause");
		before = clock_monotonic_ns();
		sched_yield();
		now = clock_monotonic_ns();
		if (now - before > LANE_YIELD_NS)
			now = INT64_MAX; /* what is owed is late */
	}
}

void lane_take_all(void)
{
	struct task *task;
	bool begun = true;
	int64_t owed;

	while (begun && atomic_load_explicit(&any_armed, memory_order_relaxed)) {
		task = find_request(0, &owed);
		begun = task && begin(task);
	}
}

#include "sentry/stats.h"

#include <unistd.h>

#include "sentry/call.h"
#include "sentry/lane/lane.h"
#include "sentry/sched/sched.h"
#include "sentry/usermem.h"
#include "vfs/strbuf.h"

#define SHOWS_MAX 8
static void (*shows[SHOWS_MAX])(struct strbuf *out);
static int nr_shows;

void stats_register(void (*show)(struct strbuf *out))
{
	if (nr_shows < SHOWS_MAX)
		shows[nr_shows++] = show;
}

static void show_line(struct strbuf *out, const char *name, uint64_t value)
{
	strbuf_printf(out, "%-28s %12lu\n", name, (unsigned long)value);
}

static void show_sentry(struct strbuf *out)
{
	struct call_stats calls;
	struct sched_stats sched;
	struct usermem_stats mem;
	struct lane_stats lane;

	call_get_stats(&calls);
	sched_get_stats(&sched);
	usermem_get_stats(&mem);
	lane_get_stats(&lane);
	show_line(out, "trapped calls", calls.calls);
	show_line(out, "  continued natively", calls.native);
	show_line(out, "  parked", calls.parked);
	show_line(out, "  interrupted by a signal", calls.signalled);
	show_line(out, "  restarted", calls.restarted);
	show_line(out, "calls by the lane", lane.calls);
	show_line(out, "threads with a lane", lane.threads);
	show_line(out, "programs executed", calls.execs);
	show_line(out, "fiber wake-ups", sched.wakeups);
	show_line(out, "reactor wake-ups", sched.reactor_wakeups);
	show_line(out, "leaders replaced", sched.promotions);
	show_line(out, "guest memory reads", mem.reads);
	show_line(out, "guest memory writes", mem.writes);
	show_line(out, "bytes from guests", mem.bytes_in);
	show_line(out, "bytes to guests", mem.bytes_out);
}

void stats_print(int hostfd)
{
	struct strbuf out = STRBUF_INIT;

	show_sentry(&out);
	for (int i = 0; i < nr_shows; i++)
		shows[i](&out);
	if (write(hostfd, out.buf, out.len) < 0)
		return; /* nobody listens */
	strbuf_free(&out);
}

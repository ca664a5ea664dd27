/*
 * The report. Each connection is copied under its lock into a struct snapshot; the text and the
 * search for circles work on the copies, as names of processes may not be asked for under the lock.
 */
#include "devfuse/report.h"

#include <stdlib.h>
#include <string.h>

#include "devfuse/registry.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"
#include "vfs/strbuf.h"
#include "vfs/tasks.h"

#define REQUESTS_MAX 64 /* shown per connection; more are counted */
#define CONNS_MAX    64
#define QUEUES_MAX   16 /* of a ring; more are as a rule of no interest */

struct shown_request {
	enum fuse_request_state state;
	uint32_t opcode;
	uint64_t unique, nodeid;
	pid_t tid, tgid; /* of the client; 0 = none */
	bool orphan, async;
	int qid; /* of the ring; -1 = it goes by read and write */
	int64_t age_ns;
};

struct shown_queue {
	unsigned qid, nr_entries, nr_free, nr_waiting;
};

struct snapshot {
	uint32_t id, user_id, group_id;
	char device[64];
	bool connected, initialized, refused, vacant, awaits_ring;
	unsigned nr_devs, nr_reading, num_background, max_background;
	size_t nr_waiting, nr_forgets, nr_interrupts;
	struct fuse_server servers[FUSE_SERVERS];
	unsigned nr_servers;
	struct shown_request *requests;
	size_t nr_requests, nr_left_out;
	struct shown_queue queues[QUEUES_MAX];
	unsigned nr_queues;
};

static void copy_request(struct snapshot *snap, const struct fuse_request *req, int qid,
			 int64_t now_ns)
{
	if (snap->nr_requests == REQUESTS_MAX) {
		snap->nr_left_out++;
		return;
	}
	snap->requests[snap->nr_requests++] = (struct shown_request){
		.state = req->state,
		.opcode = req->in.opcode,
		.unique = req->in.unique,
		.nodeid = req->in.nodeid,
		.tid = (pid_t)req->in.pid,
		.tgid = req->tgid,
		.orphan = req->orphan,
		.async = req->async,
		.qid = qid,
		.age_ns = now_ns - req->created_ns,
	};
}

static void copy_list(struct snapshot *snap, struct list_node *list, int qid, int64_t now_ns)
{
	struct fuse_request *req;

	list_for_each (req, list, node)
		copy_request(snap, req, qid, now_ns);
}

static unsigned length(const struct list_node *list)
{
	unsigned n = 0;

	for (const struct list_node *at = list->next; at != list; at = at->next)
		n++;
	return n;
}

static void copy_queue(struct snapshot *snap, struct fuse_ring_queue *queue, unsigned qid,
		       int64_t now_ns)
{
	struct fuse_ring_entry *entry;

	if (snap->nr_queues < QUEUES_MAX)
		snap->queues[snap->nr_queues++] = (struct shown_queue){
			.qid = qid,
			.nr_entries = queue->nr_entries,
			.nr_free = length(&queue->available),
			.nr_waiting = length(&queue->requests) + length(&queue->background),
		};
	list_for_each (entry, &queue->busy, node)
		copy_request(snap, entry->req, (int)qid, now_ns);
	copy_list(snap, &queue->requests, (int)qid, now_ns);
	copy_list(snap, &queue->background, (int)qid, now_ns);
}

/* lock held */
static void copy_conn(struct snapshot *snap, struct fuse_conn *conn)
{
	int64_t now_ns = clock_monotonic_ns();
	struct fuse_ring *ring = conn->ring;
	struct fuse_dev *dev;

	memcpy(snap->device, conn->device, sizeof(snap->device));
	snap->connected = conn->connected;
	snap->awaits_ring = fuse_ring_awaited(conn);
	snap->initialized = conn->initialized.open;
	snap->refused = conn->conn_error;
	snap->vacant = conn->vacant;
	snap->nr_devs = conn->nr_devs;
	snap->nr_reading = conn->nr_reading;
	snap->num_background = conn->num_background;
	snap->max_background = conn->max_background;
	snap->nr_waiting = conn->nr_waiting;
	for (const struct fuse_forget *f = conn->pending.forgets; f; f = f->next)
		snap->nr_forgets++;
	snap->nr_interrupts = length(&conn->pending.interrupts);
	memcpy(snap->servers, conn->servers, sizeof(snap->servers));
	snap->nr_servers = conn->nr_servers;
	list_for_each (dev, &conn->devs, conn_node)
		copy_list(snap, &dev->processing, -1, now_ns);
	copy_list(snap, &conn->pending.requests, -1, now_ns);
	copy_list(snap, &conn->background, -1, now_ns);
	for (unsigned i = 0; ring && i < ring->nr_queues; i++)
		copy_queue(snap, &ring->queues[i], i, now_ns);
}

static bool snapshot_take(struct snapshot *snap, struct fuse_conn *conn)
{
	memset(snap, 0, sizeof(*snap));
	snap->id = conn->id;
	snap->user_id = conn->user_id;
	snap->group_id = conn->group_id;
	snap->requests = calloc(REQUESTS_MAX, sizeof(*snap->requests));
	if (!snap->requests)
		return false;
	fb_mutex_lock(&conn->lock);
	copy_conn(snap, conn);
	fb_mutex_unlock(&conn->lock);
	return true;
}

/* --- circles ------------------------------------------------------------------------------ */

static bool serves(const struct snapshot *snap, pid_t tgid)
{
	for (unsigned i = 0; i < snap->nr_servers; i++)
		if (snap->servers[i].tgid == tgid)
			return true;
	return false;
}

/* Does a process that serves `from` wait for an answer of `to`? Nobody who serves it is idle. */
static const struct shown_request *waits_for(const struct snapshot *from, const struct snapshot *to)
{
	if (from->nr_reading > 0 || from->nr_requests == 0)
		return NULL;
	for (size_t i = 0; i < to->nr_requests; i++) {
		const struct shown_request *req = &to->requests[i];

		if (!req->async && !req->orphan && req->tgid > 0 && serves(from, req->tgid))
			return req;
	}
	return NULL;
}

/* The way from `at` back to `start` over edges of waits_for(); depth first, each node once. */
static bool find_circle(const struct snapshot *snaps, size_t nr, size_t start, size_t at,
			uint64_t *seen, size_t *path, size_t *ret_len)
{
	size_t len = *ret_len;

	for (size_t next = start; next < nr; next++) { /* each circle from its first member only */
		if (!waits_for(&snaps[at], &snaps[next]))
			continue;
		if (next == start)
			return true;
		if (*seen & 1ull << next)
			continue;
		*seen |= 1ull << next;
		path[len] = next;
		*ret_len = len + 1;
		if (find_circle(snaps, nr, start, next, seen, path, ret_len))
			return true;
		*ret_len = len;
	}
	return false;
}

/* --- text --------------------------------------------------------------------------------- */

static void put_task(struct strbuf *out, pid_t tgid, pid_t tid)
{
	char comm[16];

	vfs_task_comm(tgid ? tgid : tid, comm);
	strbuf_printf(out, "%d (%s)", (int)(tid ? tid : tgid), comm);
}

static void put_servers(struct strbuf *out, const struct snapshot *snap)
{
	if (snap->nr_servers == 0)
		strbuf_puts(out, "nobody has read the device yet");
	for (unsigned i = 0; i < snap->nr_servers; i++) {
		strbuf_puts(out, i ? ", " : "");
		put_task(out, snap->servers[i].tgid, 0);
	}
}

static void put_request(struct strbuf *out, const struct snapshot *snap,
			const struct shown_request *req)
{
	bool read = req->state == REQ_SENT || req->state == REQ_REPLYING;

	strbuf_printf(out, "  %8.3f s  %-12s node %llu  #%llu  ", (double)req->age_ns / 1e9,
		      fuse_opcode_name(req->opcode), (unsigned long long)req->nodeid,
		      (unsigned long long)req->unique);
	if (req->orphan || req->async || req->tid == 0)
		strbuf_puts(out, req->orphan ? "nobody (the client has gone)" : "nobody waits");
	else
		put_task(out, req->tgid, req->tid);
	strbuf_printf(out, " -> connection %u -> ", snap->id);
	if (req->qid >= 0)
		strbuf_printf(out, "ring queue %d -> ", req->qid);
	if (req->state == REQ_BACKGROUND)
		strbuf_puts(out, "held back, the background class is full");
	else if (!read)
		strbuf_puts(out, "not read yet");
	if (read || snap->nr_reading == 0) {
		strbuf_puts(out, read ? "" : ": ");
		put_servers(out, snap);
	}
	strbuf_putc(out, '\n');
}

static void put_owner(struct strbuf *out, const struct snapshot *snap)
{
	strbuf_printf(out, "connection %u, ", snap->id);
	if (snap->id < FUSE_ID_CUSE) {
		strbuf_printf(out, "mounted for user %u group %u", snap->user_id, snap->group_id);
	} else {
		strbuf_puts(out, "CUSE device ");
		strbuf_puts_escaped(out, snap->device[0] ? snap->device : "without a name yet");
	}
}

static void put_conn(struct strbuf *out, const struct snapshot *snap)
{
	put_owner(out, snap);
	strbuf_printf(out, ": %s\n",
		      !snap->connected	   ? "dead"
		      : snap->refused	   ? "INIT was refused"
		      : snap->vacant	   ? "kept, waits for another daemon"
		      : !snap->initialized ? "waits for the answer to INIT"
		      : snap->awaits_ring  ? "waits for the ring that its daemon has promised"
					   : "alive");
	strbuf_puts(out, "  daemon: ");
	put_servers(out, snap);
	strbuf_printf(out, "; %u open, %u asleep in read\n", snap->nr_devs, snap->nr_reading);
	strbuf_printf(out,
		      "  queues: %zu requests, %zu interrupts, %zu forgets; background %u of %u\n",
		      snap->nr_waiting, snap->nr_interrupts, snap->nr_forgets, snap->num_background,
		      snap->max_background);
	for (unsigned i = 0; i < snap->nr_queues; i++)
		strbuf_printf(out, "  ring queue %u: %u entries, %u free, %u requests wait\n",
			      snap->queues[i].qid, snap->queues[i].nr_entries,
			      snap->queues[i].nr_free, snap->queues[i].nr_waiting);
	for (size_t i = 0; i < snap->nr_requests; i++)
		put_request(out, snap, &snap->requests[i]);
	if (snap->nr_left_out)
		strbuf_printf(out, "  and %zu more\n", snap->nr_left_out);
}

static void put_circle(struct strbuf *out, const struct snapshot *snaps, size_t nr, size_t start)
{
	size_t path[CONNS_MAX], len = 1;
	uint64_t seen = 1ull << start;
	const struct shown_request *req;

	path[0] = start;
	if (!find_circle(snaps, nr, start, start, &seen, path, &len))
		return;
	strbuf_puts(out, len == 1 ? "SELF-DEADLOCK: " : "DEADLOCK: ");
	for (size_t i = 0; i < len; i++) {
		const struct snapshot *from = &snaps[path[i]], *to = &snaps[path[(i + 1) % len]];

		req = waits_for(from, to);
		strbuf_puts(out, i ? "; " : "");
		put_task(out, req->tgid, req->tid);
		strbuf_printf(out, " serves connection %u and waits for %s of %s connection %u",
			      from->id, fuse_opcode_name(req->opcode),
			      to == from ? "the same" : "", to->id);
	}
	strbuf_putc(out, '\n');
}

void fuse_report(struct strbuf *out)
{
	struct snapshot *snaps = calloc(CONNS_MAX, sizeof(*snaps));
	struct fuse_conn *conn;
	uint32_t id = 0;
	size_t nr = 0;

	if (!snaps) {
		strbuf_puts(out, "out of memory\n");
		return;
	}
	while (nr < CONNS_MAX && (conn = fuse_registry_next(id))) {
		id = conn->id + 1;
		if (snapshot_take(&snaps[nr], conn))
			nr++;
		fuse_conn_put(conn);
	}
	if (nr == 0)
		strbuf_puts(out, "no FUSE connections\n");
	for (size_t i = 0; i < nr; i++)
		put_conn(out, &snaps[i]);
	for (size_t i = 0; i < nr; i++)
		put_circle(out, snaps, nr, i);
	for (size_t i = 0; i < nr; i++)
		free(snaps[i].requests);
	free(snaps);
}

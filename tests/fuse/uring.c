/* FUSE over io_uring: matrix 4.7. What Linux 6.18 answered to the same is in tests/guest/fuse_ring.c. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devfuse/params.h"
#include "devfuse/report.h"
#include "devfuse/request.h"
#include "devfuse/ring.h"
#include "devfuse/timeout.h"
#include "tests/support/ring_player.h"
#include "vfs/strbuf.h"

TestSuite(fuse_uring, .timeout = 30);

/* Clients, and so their requests, of this processor: queue 0 when there are no gaps. */
static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	cr_assert_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

static int answer_attr(struct ring_slot *s)
{
	struct fuse_attr_out out = {.attr = make_attr(1, S_IFDIR | 0755, 0)};

	return ring_answer(s, 0, &out, sizeof(out));
}

static struct ring_slot *next(struct ring *r, uint32_t opcode)
{
	struct ring_slot *s = ring_next(r);

	cr_assert(s, "no completion");
	cr_assert_eq(s->res, 0);
	cr_assert_eq(ring_in(s)->opcode, opcode, "%s", fuse_opcode_name(ring_in(s)->opcode));
	return s;
}

static struct ring *ready(const struct daemon_config *config)
{
	struct ring *r;

	pin(0);
	r = ring_start(config);
	ring_register_all(r);
	return r;
}

/* --- setting up --------------------------------------------------------------------------- */

static uint64_t offered(void)
{
	struct daemon_config config = {.no_init = true};
	struct daemon *d = daemon_start(&config);
	struct step *s = expect_silence(d, FUSE_INIT, 0);
	uint64_t flags;

	cr_assert(daemon_wait(d, s));
	flags = (uint64_t)step_in(s, struct fuse_init_in)->flags2 << 32;
	DAEMON_STOP(d);
	return flags & FUSE_OVER_IO_URING;
}

Test(fuse_uring, is_offered_only_with_the_module_parameter) /* U01, I02 */
{
	cr_assert_eq(offered(), 0);
	atomic_store(&fuse_params.enable_uring, 1);
	cr_assert_neq(offered(), 0);
}

Test(fuse_uring, is_accepted_only_while_the_parameter_is_set) /* U01, B41 */
{
	struct daemon_config config = {.no_init = true};
	struct ring *r = ring_start(&config);
	struct fuse_init_out out = {.major = 7,
				    .minor = 45,
				    .flags = FUSE_INIT_EXT,
				    .flags2 = (uint32_t)(FUSE_OVER_IO_URING >> 32)};
	struct step *s = expect_silence(r->d, FUSE_INIT, 0);

	cr_assert(daemon_wait(r->d, s));
	atomic_store(&fuse_params.enable_uring, 0);
	cr_assert_gt(daemon_answer(r->d, s->in.unique, 0, &out, sizeof(out)), 0);
	cr_assert_not(fuse_conn_has(r->d->conn, FUSE_OVER_IO_URING));
	cr_assert_eq(ring_register(r, 0, 0), -EOPNOTSUPP);
	ring_stop(r);
}

Test(fuse_uring, a_live_connection_keeps_its_ring) /* U01 */
{
	struct ring *r = ring_start(NULL);

	atomic_store(&fuse_params.enable_uring, 0);
	ring_register_all(r);
	cr_assert(r->d->conn->ring->ready);
	ring_stop(r);
}

Test(fuse_uring, commands_are_checked_in_the_order_of_linux) /* U02, U03 */
{
	struct daemon_config config = {.no_init = true, .flags = FUSE_ABORT_ERROR};
	struct ring *r = ring_start(&config);
	struct ring_slot *s = &r->slots[0];
	struct file *mounted = r->d->dev, *unattached;
	struct fuse_init_out out = {.major = 7, .minor = 45, .flags = FUSE_ABORT_ERROR};
	struct step *init = expect_silence(r->d, FUSE_INIT, 0);

	cr_assert_eq(ring_command(s, 1, 0, 0, 0), -EINVAL); /* an entry of 64 bytes */
	cr_assert_eq(file_new_anon(&r->ctx, "fuse", S_IFCHR | 0600, mounted->op, NULL, O_RDWR,
				   &unattached),
		     0);
	cr_assert_eq(mounted->op->open(&r->ctx, unattached->inode, unattached), 0);
	r->d->dev = unattached;
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EPERM);
	file_put(unattached);
	r->d->dev = mounted;
	cr_assert(daemon_wait(r->d, init));
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EAGAIN);
	cr_assert_eq(ring_command(s, 9, 0, 0, URING_ISSUE_SQE128), -EAGAIN);
	atomic_store(&fuse_params.enable_uring, 0);
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EOPNOTSUPP);
	atomic_store(&fuse_params.enable_uring, 1);
	cr_assert_gt(daemon_answer(r->d, init->in.unique, 0, &out, sizeof(out)), 0);
	cr_assert_eq(ring_command(s, 9, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	cr_assert_eq(ring_command(s, 0, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	cr_assert_eq(ring_command(s, 2, 0, 2, URING_ISSUE_SQE128), -ENOTCONN); /* no ring yet */
	fuse_conn_abort(r->d->conn, true);
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -ECONNABORTED);
	daemon_stop(r->d);
	ring_free(r);
}

Test(fuse_uring, a_descriptor_that_waits_for_its_mount_is_not_waited_for_in_a_submission) /* U03 */
{
	struct ring *r = ring_start(NULL);
	struct file *mounted = r->d->dev, *file;

	cr_assert_eq(file_new_anon(&r->ctx, "fuse", S_IFCHR | 0600, mounted->op, NULL, O_RDWR,
				   &file),
		     0);
	cr_assert_eq(mounted->op->open(&r->ctx, file->inode, file), 0);
	cr_assert_eq(mounted->op->ioctl(&r->ctx, file, FUSE_DEV_IOC_SYNC_INIT, 0), 0);
	r->d->dev = file;
	cr_assert_eq(ring_command(&r->slots[0], 1, 0, 0,
				  URING_ISSUE_SQE128 | URING_ISSUE_NONBLOCK),
		     -EAGAIN);
	r->d->dev = mounted;
	file_put(file);
	ring_stop(r);
}

Test(fuse_uring, register_checks_queue_and_buffers) /* U04, R01 */
{
	struct ring *r = ring_start(NULL);
	struct ring_slot *s = &r->slots[0];

	cr_assert_eq(ring_register(r, 0, r->nr_queues), -EINVAL);
	cr_assert_eq(ring_register(r, 0, 65535), -EINVAL);
	cr_assert_eq(ring_register(r, 0, 0), -EIOCBQUEUED);
	s = &r->slots[1];
	s->iov[0] = (struct iovec){&s->header, 287};
	s->iov[1] = (struct iovec){s->payload, RING_PAYLOAD};
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	s->iov[0].iov_len = 288;
	s->iov[1].iov_len = RING_PAYLOAD - 1;
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	s->iov[1].iov_len = SIZE_MAX;
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	ring_stop(r);
}

Test(fuse_uring, register_wants_two_buffers_and_the_largest_request_in_one) /* U04, R01 */
{
	struct daemon_config config = {.max_write = 4096,
				       .flags = FUSE_MAX_PAGES,
				       .max_pages = 16};
	struct ring *r = ring_start(&config);
	struct ring_slot *s = &r->slots[0];
	struct uring_cmd cmd = {.file = r->d->dev, .ctx = &r->ctx, .op = 1, .len = 1};

	cr_assert_eq(r->d->dev->op->uring_cmd(&r->ctx, &cmd, URING_ISSUE_SQE128), -EINVAL);
	cmd.len = 2;
	cmd.addr = RING_NOWHERE;
	cr_assert_eq(r->d->dev->op->uring_cmd(&r->ctx, &cmd, URING_ISSUE_SQE128), -EFAULT);
	s->iov[0] = (struct iovec){&s->header, 288};
	s->iov[1] = (struct iovec){s->payload, 65535};
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EINVAL);
	s->iov[1].iov_len = 65536; /* max_pages, as it is more than max_write */
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EIOCBQUEUED);
	ring_stop(r);
}

struct bare {
	struct uring_cmd cmd;
	int res;
};

static void bare_done(struct uring_cmd *cmd, int32_t res)
{
	container_of(cmd, struct bare, cmd)->res = res;
}

Test(fuse_uring, a_queue_has_a_largest_number_of_entries) /* U04, R01 */
{
	struct ring *r = ring_start(NULL);
	struct bare *all = calloc(FUSE_RING_ENTRIES_MAX + 1, sizeof(*all));
	struct ring_slot *s = &r->slots[0];

	s->iov[0] = (struct iovec){&s->header, sizeof(s->header)};
	s->iov[1] = (struct iovec){s->payload, RING_PAYLOAD};
	for (unsigned i = 0; i <= FUSE_RING_ENTRIES_MAX; i++) {
		all[i].cmd = (struct uring_cmd){.file = r->d->dev,
						.ctx = &r->ctx,
						.op = 1,
						.addr = (uintptr_t)s->iov,
						.len = 2,
						.done = bare_done};
		cr_assert_eq(r->d->dev->op->uring_cmd(&r->ctx, &all[i].cmd, URING_ISSUE_SQE128),
			     i < FUSE_RING_ENTRIES_MAX ? -EIOCBQUEUED : -ENOMEM);
	}
	all[7].cmd.cancel(&all[7].cmd); /* makes room for one */
	cr_assert_eq(all[7].res, -ENOTCONN);
	cr_assert_eq(r->d->dev->op->uring_cmd(&r->ctx, &all[7].cmd, URING_ISSUE_SQE128),
		     -EIOCBQUEUED);
	ring_stop(r);
	for (unsigned i = 0; i < FUSE_RING_ENTRIES_MAX; i++)
		cr_assert_eq(all[i].res, -ENOTCONN);
	free(all);
}

static bool somebody_waits(struct daemon *d)
{
	bool waits;

	fb_mutex_lock(&d->conn->lock);
	waits = waitq_active(&d->conn->initialized.waiters);
	fb_mutex_unlock(&d->conn->lock);
	return waits;
}

Test(fuse_uring, clients_wait_until_every_queue_has_an_entry) /* U05, D80 */
{
	struct ring *r = ring_start(NULL);
	struct client_thread t;

	pin(0);
	for (unsigned i = 0; i + 1 < r->nr_queues; i++)
		cr_assert_eq(ring_register(r, i, i), -EIOCBQUEUED);
	client_spawn(&t, r->d, client_stat_path, "/");
	while (!somebody_waits(r->d))
		sched_yield();
	cr_assert_eq(ring_register(r, r->nr_queues - 1, r->nr_queues - 1), -EIOCBQUEUED);
	cr_assert_eq(answer_attr(next(r, FUSE_GETATTR)), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, a_client_that_waits_for_the_ring_can_be_killed) /* U05 */
{
	struct ring *r = ring_start(NULL);
	struct client_thread t;

	client_spawn(&t, r->d, client_stat_path, "/");
	while (!somebody_waits(r->d))
		sched_yield();
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	ring_stop(r);
}

Test(fuse_uring, a_failed_register_gives_the_ring_up) /* U05 */
{
	struct ring *r = ring_start(NULL);
	struct client_thread t;

	client_spawn(&t, r->d, client_stat_path, "/");
	while (!somebody_waits(r->d))
		sched_yield();
	expect_attr(r->d, FUSE_GETATTR, 1, S_IFDIR | 0755, 0, 0); /* by read and write */
	cr_assert_eq(ring_register(r, 0, r->nr_queues), -EINVAL);
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, ready_is_ready_for_ever) /* U06 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;

	for (unsigned i = 0; i < r->nr_queues; i++) {
		ring_cancel(&r->slots[i]);
		cr_assert_eq(ring_result(&r->slots[i]), -ENOTCONN);
	}
	client_spawn(&t, r->d, client_stat_path, "/");
	cr_assert_eq(ring_register(r, 9, 0), -EIOCBQUEUED); /* the request waits, or will come */
	cr_assert_eq(answer_attr(next(r, FUSE_GETATTR)), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

/* --- the way of a request ----------------------------------------------------------------- */

Test(fuse_uring, a_request_stands_in_header_argument_and_payload) /* U10, U12, U20 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;
	struct fuse_entry_out entry = make_entry(5, S_IFREG | 0644, 0, 0);
	struct fuse_attr_out attr = {.attr = make_attr(5, S_IFREG | 0644, 77)};
	struct ring_slot *s;

	client_spawn(&t, r->d, client_stat_path, "/x");
	s = next(r, FUSE_LOOKUP);
	cr_assert_eq(ring_in(s)->nodeid, 1);
	cr_assert_eq(ring_in(s)->len, sizeof(struct fuse_in_header) + 2);
	cr_assert_eq(s->header.ring_ent_in_out.commit_id, ring_in(s)->unique);
	cr_assert_eq(s->header.ring_ent_in_out.payload_sz, 2);
	cr_assert_str_eq((const char *)s->payload, "x");
	ring_answer(s, 0, &entry, sizeof(entry));
	s = next(r, FUSE_GETATTR);
	cr_assert_eq(s->header.ring_ent_in_out.payload_sz, 0);
	cr_assert_eq(ring_in(s)->len, sizeof(struct fuse_in_header) + sizeof(struct fuse_getattr_in));
	ring_answer(s, 0, &attr, sizeof(attr));
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

/* One request of our own making, with nothing of a file system behind it. */
struct call {
	struct fuse_args args;
	size_t room; /* of out[0] */
};

static long call(struct daemon *d, void *arg)
{
	struct call *c = arg;

	return fuse_conn_call(d->conn, &d->client.ctx, &c->args);
}

static uint8_t data[RING_PAYLOAD + 1], got[RING_PAYLOAD + 1];

static struct call read_call(size_t size)
{
	static struct fuse_read_in in;
	struct call c = {.args = {.opcode = FUSE_READ, .nodeid = 5, .nr_in = 1, .nr_out = 1}};

	in.size = (uint32_t)size;
	c.args.in[0] = (struct fuse_in_arg){&in, sizeof(in)};
	c.args.out[0] = (struct fuse_out_arg){got, size};
	return c;
}

static struct call write_call(size_t size, struct fuse_write_out *out)
{
	static struct fuse_write_in in;
	struct call c = {.args = {.opcode = FUSE_WRITE, .nodeid = 5, .nr_in = 2, .nr_out = 1}};

	in.size = (uint32_t)size;
	c.args.in[0] = (struct fuse_in_arg){&in, sizeof(in)};
	c.args.in[1] = (struct fuse_in_arg){data, size};
	c.args.out[0] = (struct fuse_out_arg){out, sizeof(*out)};
	return c;
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	memset(got, 0, sizeof(got));
}

/* The whole range of an entry in both directions: in one copy, and in several. */
Test(fuse_uring, data_of_every_size_arrives) /* U10, U12 */
{
	const size_t sizes[] = {0, 1, 400, 496, 497, 1024, 4096, 5000, RING_PAYLOAD};
	struct ring *r = ready(NULL);
	struct fuse_write_out out;
	struct client_thread t;
	struct ring_slot *s;
	struct call c;

	fill();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		c = write_call(sizes[i], &out);
		client_spawn(&t, r->d, call, &c);
		s = next(r, FUSE_WRITE);
		cr_assert_eq(ring_arg(s, struct fuse_write_in)->size, sizes[i]);
		cr_assert_eq(s->header.ring_ent_in_out.payload_sz, sizes[i]);
		cr_assert_eq(memcmp(s->payload, data, sizes[i]), 0);
		out.size = (uint32_t)sizes[i];
		ring_answer(s, 0, &out, sizeof(out));
		cr_assert_eq(client_join(&t), 0);
		c = read_call(sizes[i]);
		client_spawn(&t, r->d, call, &c);
		s = next(r, FUSE_READ);
		ring_answer(s, 0, data, sizes[i]);
		cr_assert_eq(client_join(&t), (long)sizes[i]);
		cr_assert_eq(memcmp(got, data, sizes[i]), 0);
	}
	c = read_call(5000);
	client_spawn(&t, r->d, call, &c);
	ring_answer(next(r, FUSE_READ), 0, data, 3); /* a short answer */
	cr_assert_eq(client_join(&t), 3);
	ring_stop(r);
}

Test(fuse_uring, extensions_stand_at_the_end_of_the_payload) /* U11, H08 */
{
	struct ring *r = ready(NULL);
	struct fuse_create_in in = {.mode = 0644};
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	const uint64_t ext[2] = {0x1122334455667788, 9};
	struct call c = {.args = {.opcode = FUSE_CREATE,
				  .nodeid = 1,
				  .nr_in = 3,
				  .nr_out = 2,
				  .ext_size = sizeof(ext),
				  .in = {{&in, sizeof(in)}, {"ab", 3}, {ext, sizeof(ext)}},
				  .out = {{&entry, sizeof(entry)}, {&open, sizeof(open)}}}};
	struct client_thread t;
	struct ring_slot *s;

	client_spawn(&t, r->d, call, &c);
	s = next(r, FUSE_CREATE);
	cr_assert_eq(ring_arg(s, struct fuse_create_in)->mode, 0644);
	cr_assert_eq(ring_in(s)->total_extlen, 2);
	cr_assert_eq(s->header.ring_ent_in_out.payload_sz, 3 + sizeof(ext));
	cr_assert_eq(memcmp(s->payload, "ab", 3), 0);
	cr_assert_eq(memcmp(s->payload + 3, ext, sizeof(ext)), 0);
	ring_answer(s, -EACCES, NULL, 0);
	cr_assert_eq(client_join(&t), -EACCES);
	ring_stop(r);
}

static void reply_done(struct fuse_conn *conn, struct fuse_args *args, ssize_t result)
{
	(void)conn;
	atomic_store((_Atomic long *)args->owner, result + 1000);
}

Test(fuse_uring, a_retrieved_page_goes_over_the_ring_in_the_payload_alone) /* U10 */
{
	struct ring *r = ready(NULL);
	struct fuse_notify_retrieve_in in = {.size = 4, .offset = 8};
	_Atomic long result = 0;
	struct fuse_args args = {.opcode = FUSE_NOTIFY_REPLY,
				 .nodeid = 5,
				 .unique = 78,
				 .nr_in = 2,
				 .in = {{&in, sizeof(in)}, {"page", 4}},
				 .done = reply_done,
				 .owner = &result};
	struct ring_slot *s;

	cr_assert_eq(fuse_conn_send(r->d->conn, NULL, &args), 0);
	s = next(r, FUSE_NOTIFY_REPLY);
	cr_assert_eq(s->header.ring_ent_in_out.commit_id, 78);
	cr_assert_eq(s->header.ring_ent_in_out.payload_sz, sizeof(in) + 4);
	cr_assert_eq(memcmp(s->payload, &in, sizeof(in)), 0);
	cr_assert_eq(memcmp(s->payload + sizeof(in), "page", 4), 0);
	cr_assert_eq(ring_answer(s, 0, NULL, 0), -EIOCBQUEUED); /* the daemon has to give it back */
	cr_assert_eq(result, 1000);
	result = 0;
	args.unique = 0; /* cannot be committed */
	cr_assert_eq(fuse_conn_send(r->d->conn, NULL, &args), 0);
	cr_assert_eq(result, 1000 - EINVAL);
	ring_stop(r);
}

/* --- answers that are wrong --------------------------------------------------------------- */

/* What a client of a 16-byte answer hears when the daemon commits this. */
static long hears(struct ring *r, int32_t error, uint64_t unique_xor, bool no_unique, uint32_t size)
{
	struct fuse_kstatfs statfs_out;
	struct call c = {.args = {.opcode = FUSE_STATFS,
				  .nodeid = 1,
				  .nr_out = 1,
				  .out = {{&statfs_out, sizeof(statfs_out)}}}};
	struct fuse_out_header out = {.len = 12345, .error = error};
	struct client_thread t;
	struct ring_slot *s;
	uint64_t id;

	client_spawn(&t, r->d, call, &c);
	s = next(r, FUSE_STATFS);
	id = ring_in(s)->unique;
	out.unique = no_unique ? 0 : id ^ unique_xor;
	memcpy(s->header.in_out, &out, sizeof(out));
	s->header.ring_ent_in_out.payload_sz = size;
	cr_assert_eq(ring_command(s, 2, s->qid, id, URING_ISSUE_SQE128), -EIOCBQUEUED);
	return client_join(&t);
}

Test(fuse_uring, a_bad_answer_is_told_to_the_client_and_not_to_the_daemon) /* U12, U13, Z03 */
{
	const uint32_t size = sizeof(struct fuse_kstatfs);
	struct ring *r = ready(NULL);

	cr_expect_eq(hears(r, 0, 0, false, size), 0); /* whatever len says */
	cr_expect_eq(hears(r, 0, 1, false, size), 0); /* bit 0 is no part of the number */
	cr_expect_eq(hears(r, -EACCES, 0, false, 99), -EACCES);
	cr_expect_eq(hears(r, -EACCES, 8, false, 0), -EACCES); /* an error is not asked whose it is */
	cr_expect_eq(hears(r, 0, 0, true, size), -EINVAL);
	cr_expect_eq(hears(r, -EACCES, 0, true, 0), -EINVAL);
	cr_expect_eq(hears(r, 5, 0, false, 0), -EINVAL);
	cr_expect_eq(hears(r, -511, 0, false, 0), -511);
	cr_expect_eq(hears(r, -512, 0, false, 0), -EINVAL);
	cr_expect_eq(hears(r, INT32_MIN, 0, false, 0), -EINVAL);
	cr_expect_eq(hears(r, 0, 4, false, size), -ENOENT);
	cr_expect_eq(hears(r, 0, 0, false, size - 1), -EINVAL);
	cr_expect_eq(hears(r, 0, 0, false, size + 1), -EINVAL);
	cr_expect_eq(hears(r, 0, 0, false, 0), -EINVAL);
	cr_expect_eq(hears(r, 0, 0, false, UINT32_MAX), -EINVAL);
	ring_stop(r);
}

Test(fuse_uring, an_answer_that_cannot_be_read_is_efault) /* U13 */
{
	struct ring *r = ready(NULL);
	const size_t sizes[] = {100, 5000}; /* with the header, and after it */
	struct client_thread t;
	struct ring_slot *s;
	struct call c;

	for (int i = 0; i < 2; i++) {
		s = &r->slots[9];
		cr_assert_eq(ring_register(r, 9, 0), -EIOCBQUEUED); /* the newest is taken first */
		ring_cancel(s);
		cr_assert_eq(ring_result(s), -ENOTCONN);
		s->iov[1].iov_base = (void *)RING_NOWHERE;
		cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EIOCBQUEUED);
		c = read_call(sizes[i]);
		client_spawn(&t, r->d, call, &c);
		cr_assert_eq(next(r, FUSE_READ), s);
		ring_answer(s, 0, data, sizes[i]);
		cr_assert_eq(client_join(&t), -EFAULT);
		ring_cancel(s);
		cr_assert_eq(ring_result(s), -ENOTCONN);
	}
	ring_stop(r);
}

Test(fuse_uring, commit_names_a_queue_and_a_request_in_it) /* U12, R02 */
{
	struct ring *r = ring_start(NULL);
	struct ring_slot *s = &r->slots[20];
	struct client_thread t;
	uint64_t id;

	pin(0);
	cr_assert_eq(ring_register(r, 0, 0), -EIOCBQUEUED);
	cr_assert_eq(ring_command(s, 2, r->nr_queues, 2, URING_ISSUE_SQE128), -EINVAL);
	for (unsigned i = 1; i < r->nr_queues; i++) {
		cr_assert_eq(ring_command(s, 2, i, 2, URING_ISSUE_SQE128), -ENOTCONN);
		cr_assert_eq(ring_register(r, i, i), -EIOCBQUEUED);
	}
	cr_assert_eq(ring_command(s, 2, 0, 2, URING_ISSUE_SQE128), -ENOENT);
	client_spawn(&t, r->d, client_stat_path, "/");
	id = ring_in(next(r, FUSE_GETATTR))->unique;
	cr_assert_eq(ring_command(s, 2, 0, id + 2, URING_ISSUE_SQE128), -ENOENT);
	for (unsigned i = 1; i < r->nr_queues; i++)
		cr_assert_eq(ring_command(s, 2, i, id, URING_ISSUE_SQE128), -ENOENT);
	cr_assert_eq(answer_attr(&r->slots[0]), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(ring_command(s, 2, 0, id, URING_ISSUE_SQE128), -ENOENT); /* twice */
	ring_stop(r);
}

static struct ring_slot *guess;
static int guessed;

static void commit_before_it_was_sent(struct ring *r)
{
	guessed = ring_command(guess, 2, 0, r->d->conn->next_unique - 2, URING_ISSUE_SQE128);
}

Test(fuse_uring, a_request_on_its_way_cannot_be_answered) /* U12, R02 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;

	guess = &r->slots[20];
	r->on_copy = commit_before_it_was_sent;
	client_spawn(&t, r->d, client_stat_path, "/");
	answer_attr(next(r, FUSE_GETATTR));
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(guessed, -EIO);
	ring_stop(r);
}

/* --- requests that cannot be handed out --------------------------------------------------- */

Test(fuse_uring, what_does_not_fit_fails_and_the_entry_takes_the_next) /* U14, D17 */
{
	struct ring *r = ready(NULL);
	struct fuse_setxattr_in in = {.size = RING_PAYLOAD};
	struct call big = {.args = {.opcode = FUSE_SETXATTR,
				    .nodeid = 5,
				    .nr_in = 3,
				    .in = {{&in, sizeof(in)}, {"user.a", 7}, {data, RING_PAYLOAD}}}};
	struct fuse_write_out out;
	struct call c = write_call(RING_PAYLOAD + 1, &out);
	struct client_thread t;

	cr_assert_eq(call(r->d, &big), -E2BIG);
	cr_assert_eq(call(r->d, &c), -EIO);
	cr_assert(ring_idle(&r->slots[0])); /* the daemon saw nothing of it */
	client_spawn(&t, r->d, client_stat_path, "/");
	answer_attr(next(r, FUSE_GETATTR));
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, memory_that_is_not_there_fails_the_client) /* U14 */
{
	struct ring *r = ring_start(NULL);
	struct ring_slot *s = &r->slots[0];

	pin(0);
	s->iov[0] = (struct iovec){(void *)RING_NOWHERE, 288};
	s->iov[1] = (struct iovec){s->payload, RING_PAYLOAD};
	cr_assert_eq(ring_command(s, 1, 0, 0, URING_ISSUE_SQE128), -EIOCBQUEUED);
	for (unsigned i = 1; i < r->nr_queues; i++)
		cr_assert_eq(ring_register(r, i, i), -EIOCBQUEUED);
	cr_assert_eq(client_stat_path(r->d, "/"), -EFAULT);
	cr_assert_eq(client_stat_path(r->d, "/"), -EFAULT); /* by the same entry again */
	cr_assert(ring_idle(s));
	ring_stop(r);
}

/* --- queues ------------------------------------------------------------------------------- */

Test(fuse_uring, the_queue_is_that_of_the_clients_processor) /* U15, U04 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;
	struct ring_slot *s;

	for (unsigned cpu = 0; cpu < r->nr_queues; cpu++) {
		pin(cpu); /* the client's thread inherits it */
		client_spawn(&t, r->d, client_stat_path, "/");
		s = next(r, FUSE_GETATTR);
		cr_assert_eq(s->qid, cpu);
		answer_attr(s);
		cr_assert_eq(client_join(&t), 0);
	}
	ring_stop(r);
}

static size_t in_queue(struct ring *r, unsigned qid)
{
	const struct list_node *head = &r->d->conn->ring->queues[qid].requests;
	size_t n = 0;

	fb_mutex_lock(&r->d->conn->lock);
	for (const struct list_node *at = head->next; at != head; at = at->next)
		n++;
	fb_mutex_unlock(&r->d->conn->lock);
	return n;
}

Test(fuse_uring, requests_wait_in_line_for_their_queue) /* U06, U12 */
{
	struct ring *r = ready(NULL);
	struct client_thread t[3];
	struct ring_slot *s;
	uint64_t last = 0;

	for (size_t i = 0; i < 3; i++) {
		client_spawn(&t[i], r->d, client_stat_path, "/");
		while (i > 0 ? in_queue(r, 0) < i : ring_idle(&r->slots[0]))
			sched_yield();
	}
	for (int i = 0; i < 3; i++) {
		s = next(r, FUSE_GETATTR);
		cr_assert_eq(s, &r->slots[0]); /* no other queue's entry helps */
		cr_assert_gt(ring_in(s)->unique, last);
		last = ring_in(s)->unique;
		/* The commit itself brings the next one. */
		cr_assert_eq(answer_attr(s), -EIOCBQUEUED);
		cr_assert_eq(ring_idle(s), i == 2);
	}
	for (int i = 0; i < 3; i++)
		cr_assert_eq(client_join(&t[i]), 0);
	ring_stop(r);
}

/* A RELEASE that nobody waits for. */
struct release {
	struct fuse_args args;
	_Atomic long result; /* + 1000 */
};

static void send_release(struct ring *r, struct release *release)
{
	static const struct fuse_release_in in;

	release->args = (struct fuse_args){.opcode = FUSE_RELEASE,
					   .nodeid = 5,
					   .nr_in = 1,
					   .in = {{&in, sizeof(in)}},
					   .nocreds = true,
					   .force = true,
					   .done = reply_done,
					   .owner = &release->result};
	cr_assert_eq(fuse_conn_send(r->d->conn, NULL, &release->args), 0);
}

Test(fuse_uring, each_queue_may_have_one_background_request_beyond_the_limit) /* U16, D87 */
{
	struct daemon_config config = {.max_background = 1};
	struct ring *r = ready(&config);
	struct release release[4] = {0};

	if (r->nr_queues < 2)
		cr_skip_test("one processor");
	cr_assert_eq(ring_register(r, 10, 0), -EIOCBQUEUED);
	cr_assert_eq(ring_register(r, 11, 1), -EIOCBQUEUED);
	send_release(r, &release[0]);
	send_release(r, &release[1]);
	cr_assert_eq(next(r, FUSE_RELEASE), &r->slots[10]);
	cr_assert(ring_idle(&r->slots[0])); /* held back, though there is an entry */
	pin(1);
	send_release(r, &release[2]);
	send_release(r, &release[3]);
	cr_assert_eq(next(r, FUSE_RELEASE), &r->slots[11]);
	cr_assert(ring_idle(&r->slots[1]));
	cr_assert_eq(r->d->conn->active_background, 2);
	ring_answer(&r->slots[10], 0, NULL, 0);
	cr_assert_eq(release[0].result, 1000);
	cr_assert_eq(next(r, FUSE_RELEASE)->qid, 0);
	cr_assert(ring_idle(&r->slots[1]));
	fuse_conn_set_max_background(r->d->conn, 8); /* more room lets the others on */
	cr_assert_eq(next(r, FUSE_RELEASE)->qid, 1);
	ring_stop(r);
	for (int i = 1; i < 4; i++)
		cr_assert_eq(release[i].result, 1000 - ECONNABORTED);
}

Test(fuse_uring, background_requests_of_before_go_over_the_ring) /* U16, U17 */
{
	struct daemon_config config = {.max_background = 1};
	struct ring *r = ring_start(&config);
	struct release release[2] = {0};
	struct step *s = expect_silence(r->d, FUSE_RELEASE, 5);

	pin(0);
	send_release(r, &release[0]); /* forced: does not wait for the ring */
	send_release(r, &release[1]);
	cr_assert(daemon_wait(r->d, s));
	ring_register_all(r);
	cr_assert_eq(next(r, FUSE_RELEASE)->qid, 0);
	ring_answer(&r->slots[0], 0, NULL, 0);
	cr_assert_gt(daemon_answer(r->d, s->in.unique, 0, NULL, 0), 0);
	cr_assert_eq(release[0].result + release[1].result, 2000);
	cr_assert_eq(r->d->conn->active_background, 0);
	cr_assert_eq(r->d->conn->ring->queues[0].active_background, 0);
	ring_stop(r);
}

/* --- what stays on the device ------------------------------------------------------------- */

Test(fuse_uring, forgets_and_notifications_use_the_device) /* U17, N02 */
{
	struct ring *r = ready(NULL);
	struct fuse_forget *forget = calloc(1, sizeof(*forget));
	struct fuse_notify_inval_inode_out out = {.ino = 1};

	fuse_conn_forget(r->d->conn, forget, 7, 3, 0);
	cr_assert(daemon_wait_forgotten(r->d, 7, 3));
	cr_assert_eq(daemon_notify(r->d, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out)),
		     sizeof(struct fuse_out_header) + sizeof(out));
	ring_stop(r);
}

Test(fuse_uring, a_request_of_the_ring_is_none_of_a_descriptor) /* U17, U18, D36 */
{
	struct ring *r = ready(NULL);
	struct step *intr = expect_silence(r->d, FUSE_INTERRUPT, 0);
	struct client_thread t;
	struct ring_slot *s;
	uint64_t id;

	client_spawn(&t, r->d, client_stat_path, "/");
	s = next(r, FUSE_GETATTR);
	id = ring_in(s)->unique;
	cr_assert_eq(daemon_answer(r->d, id, -EACCES, NULL, 0), -ENOENT);
	client_interrupt(&t, WAITER_SIGNAL);
	cr_assert(daemon_wait(r->d, intr));
	cr_assert_eq(step_in(intr, struct fuse_interrupt_in)->unique, id);
	cr_assert_eq(intr->in.unique, id | FUSE_INT_REQ_BIT);
	cr_assert_eq(daemon_answer(r->d, id | FUSE_INT_REQ_BIT, -EAGAIN, NULL, 0), -ENOENT);
	cr_assert_eq(daemon_notify(r->d, FUSE_NOTIFY_RESEND, NULL, 0), 16); /* not this one */
	cr_assert_eq(answer_attr(s), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, a_signal_before_the_hand_out_makes_no_interrupt) /* U19 */
{
	struct ring *r = ready(NULL);
	struct client_thread first, t;
	struct ring_slot *s;
	bool noted = false;

	client_spawn(&first, r->d, client_stat_path, "/");
	s = next(r, FUSE_GETATTR);
	client_spawn(&t, r->d, client_stat_path, "/");
	while (in_queue(r, 0) < 1)
		sched_yield();
	client_interrupt(&t, WAITER_SIGNAL);
	while (!noted) {
		fb_mutex_lock(&r->d->conn->lock);
		noted = list_first(&r->d->conn->ring->queues[0].requests, struct fuse_request, node)
				->interrupted;
		fb_mutex_unlock(&r->d->conn->lock);
	}
	answer_attr(s);
	answer_attr(next(r, FUSE_GETATTR)); /* an INTERRUPT would be an unexpected request */
	cr_assert_eq(client_join(&first), 0);
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, a_killed_client_takes_back_what_was_not_handed_out) /* U19, D81 */
{
	struct ring *r = ready(NULL);
	struct client_thread first, t;
	struct ring_slot *s;

	client_spawn(&first, r->d, client_stat_path, "/");
	s = next(r, FUSE_GETATTR);
	client_spawn(&t, r->d, client_stat_path, "/");
	while (in_queue(r, 0) < 1)
		sched_yield();
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert_eq(in_queue(r, 0), 0);
	answer_attr(s);
	cr_assert(ring_idle(s));
	cr_assert_eq(client_join(&first), 0);
	ring_stop(r);
}

Test(fuse_uring, a_killed_client_leaves_an_orphan_whose_answer_is_undone) /* U17, F170 */
{
	struct ring *r = ready(NULL);
	struct fuse_entry_out entry = make_entry(8, S_IFREG | 0644, 0, 0);
	struct client_thread t;
	struct ring_slot *s;
	struct step *intr;

	intr = expect_silence(r->d, FUSE_INTERRUPT, 0);
	client_spawn(&t, r->d, client_stat_path, "/x");
	s = next(r, FUSE_LOOKUP);
	client_interrupt(&t, WAITER_KILLED);
	cr_assert_eq(client_join(&t), -EINTR);
	cr_assert(daemon_wait(r->d, intr));
	cr_assert_eq(ring_answer(s, 0, &entry, sizeof(entry)), -EIOCBQUEUED);
	cr_assert(daemon_wait_forgotten(r->d, 8, 1));
	ring_stop(r);
}

/* --- the end ------------------------------------------------------------------------------ */

Test(fuse_uring, abort_ends_requests_and_completes_commands) /* U20, U21, D70 */
{
	struct ring *r = ready(NULL);
	struct client_thread t[2];

	cr_assert_eq(ring_register(r, 10, r->nr_queues - 1), -EIOCBQUEUED);
	client_spawn(&t[0], r->d, client_stat_path, "/");
	next(r, FUSE_GETATTR); /* in the daemon's hands */
	if (r->nr_queues == 1)
		ring_cancel(&r->slots[10]);
	client_spawn(&t[1], r->d, client_stat_path, "/");
	while (in_queue(r, 0) < 1)
		sched_yield();
	fuse_conn_abort(r->d->conn, false);
	cr_assert_eq(client_join(&t[0]), -ECONNABORTED);
	cr_assert_eq(client_join(&t[1]), -ECONNABORTED);
	for (unsigned i = 1; i < r->nr_queues; i++)
		cr_assert_eq(ring_result(&r->slots[i]), -ENOTCONN);
	cr_assert_eq(ring_result(&r->slots[10]), -ENOTCONN);
	cr_assert(ring_idle(&r->slots[0]));
	cr_assert_eq(ring_register(r, 12, 0), -ENOTCONN);
	cr_assert_eq(answer_attr(&r->slots[0]), -ENOTCONN);
	ring_stop(r);
}

static void abort_now(struct ring *r)
{
	fuse_conn_abort(r->d->conn, false);
}

Test(fuse_uring, abort_while_a_request_is_copied) /* U21, D71 */
{
	struct ring *r = ready(NULL);

	r->on_copy = abort_now;
	cr_assert_eq(client_stat_path(r->d, "/"), -ECONNABORTED);
	for (unsigned i = 0; i < r->nr_queues; i++)
		cr_assert_eq(ring_result(&r->slots[i]), -ENOTCONN);
	ring_stop(r);
}

Test(fuse_uring, abort_while_an_answer_is_copied) /* U21, D71 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;
	struct ring_slot *s;

	client_spawn(&t, r->d, client_stat_path, "/");
	s = next(r, FUSE_GETATTR);
	r->on_copy = abort_now;
	cr_assert_eq(answer_attr(s), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(ring_result(s), -ENOTCONN);
	ring_stop(r);
}

static void cancel_now(struct ring *r)
{
	ring_cancel(&r->slots[0]);
}

Test(fuse_uring, a_command_cancelled_while_its_answer_is_copied_ends_after_it) /* U22, U20 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;
	struct ring_slot *s;

	client_spawn(&t, r->d, client_stat_path, "/");
	s = next(r, FUSE_GETATTR);
	r->on_copy = cancel_now;
	cr_assert_eq(answer_attr(s), -EIOCBQUEUED);
	cr_assert_eq(client_join(&t), 0);
	cr_assert_eq(ring_result(s), -ENOTCONN); /* and not held for the next request */
	ring_stop(r);
}

Test(fuse_uring, a_command_cancelled_while_its_request_is_copied_brings_it) /* U22 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;

	r->on_copy = cancel_now;
	client_spawn(&t, r->d, client_stat_path, "/");
	answer_attr(next(r, FUSE_GETATTR));
	cr_assert_eq(client_join(&t), 0);
	ring_stop(r);
}

Test(fuse_uring, a_daemon_that_dies_takes_its_entries_and_then_the_connection) /* U22, D59 */
{
	struct ring *r = ready(NULL);
	struct client_thread t;

	client_spawn(&t, r->d, client_stat_path, "/");
	next(r, FUSE_GETATTR);
	for (unsigned i = 1; i < r->nr_queues; i++) {
		ring_cancel(&r->slots[i]);
		cr_assert_eq(ring_result(&r->slots[i]), -ENOTCONN);
	}
	daemon_die(r->d); /* its last descriptor */
	cr_assert_eq(client_join(&t), -ECONNABORTED);
	cr_assert_eq(client_stat_path(r->d, "/"), -ENOTCONN);
	daemon_stop(r->d);
	ring_free(r);
}

/* --- for the administrator ---------------------------------------------------------------- */

Test(fuse_uring, a_request_in_the_ring_has_a_timeout) /* D90 */
{
	struct ring *r = ready(NULL);
	struct client_thread t[2];

	client_spawn(&t[0], r->d, client_stat_path, "/");
	next(r, FUSE_GETATTR);
	client_spawn(&t[1], r->d, client_stat_path, "/");
	while (in_queue(r, 0) < 1)
		sched_yield();
	r->d->conn->request_timeout_ns = 3600 * 1000000000ll;
	fuse_timeout_check(r->d->conn);
	cr_assert(r->d->conn->connected);
	r->d->conn->request_timeout_ns = 1;
	fuse_timeout_check(r->d->conn);
	cr_assert_eq(client_join(&t[0]), -ECONNABORTED);
	cr_assert_eq(client_join(&t[1]), -ECONNABORTED);
	ring_stop(r);
}

static bool report_says(const char *what)
{
	struct strbuf out = STRBUF_INIT;
	char *text;
	bool found;

	fuse_report(&out);
	text = strbuf_steal(&out);
	found = strstr(text, what);
	if (!found)
		fprintf(stderr, "not in the report: %s\n%s", what, text);
	free(text);
	return found;
}

Test(fuse_uring, the_report_shows_what_is_in_the_ring)
{
	struct ring *r = ring_start(NULL);
	struct client_thread t[2];

	pin(0);
	cr_assert(report_says("waits for the ring"));
	ring_register_all(r);
	cr_assert_eq(ring_register(r, 10, 0), -EIOCBQUEUED);
	ring_cancel(&r->slots[10]);
	cr_assert_eq(ring_result(&r->slots[10]), -ENOTCONN);
	client_spawn(&t[0], r->d, client_stat_path, "/");
	next(r, FUSE_GETATTR);
	client_spawn(&t[1], r->d, client_stat_path, "/");
	while (in_queue(r, 0) < 1)
		sched_yield();
	cr_assert(report_says("ring queue 0: 1 entries, 0 free, 1 requests wait"));
	cr_assert(report_says("200 (?) -> connection"));
	cr_assert(report_says("-> ring queue 0 -> 100 (?)"));
	cr_assert(report_says("-> ring queue 0 -> not read yet"));
	fuse_conn_abort(r->d->conn, false);
	client_join(&t[0]);
	client_join(&t[1]);
	ring_stop(r);
}

/*
 * Rings as a library: what a driver sees of IORING_OP_URING_CMD (vfs/uring_cmd.h), and the ends of
 * requests. Everything that a guest can see is compared with the kernel in tests/guest/uring*.c.
 */
#include <sys/mman.h>

#include "kinds_support.h"
#include "vfs/fdtable.h"
#include "vfs/ops.h"
#include "vfs/uring/uring.h"
#include "vfs/uring_cmd.h"

/* ---- fibers are threads here ---- */

struct thread_arg {
	void (*fn)(void *);
	void *arg;
};

static atomic_int threads;

static void *thread_main(void *arg)
{
	struct thread_arg call = *(struct thread_arg *)arg;

	free(arg);
	call.fn(call.arg);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

static void spawn_thread(void (*fn)(void *), void *arg)
{
	struct thread_arg *call = malloc(sizeof(*call));
	pthread_t thread;

	*call = (struct thread_arg){ fn, arg };
	atomic_fetch_add(&threads, 1);
	cr_assert_eq(pthread_create(&thread, NULL, thread_main, call), 0);
	pthread_detach(thread);
}

static void uring_test_init(void)
{
	static const struct uring_hooks hooks = { .spawn = spawn_thread };

	kinds_init();
	test_ctx.files = fdtable_new();
	uring_set_hooks(&hooks);
}

/* Nothing of a ring is left: no fiber, no memory. */
static void uring_test_fini(void)
{
	fdtable_put(&test_ctx, test_ctx.files);
	while (atomic_load(&threads) || uring_count())
		sched_yield();
	kinds_fini();
}

TestSuite(uring, .init = uring_test_init, .fini = uring_test_fini, .timeout = 60);

/* ---- a driver ---- */

struct driver {
	atomic_int calls, cancels;
	_Atomic(struct uring_cmd *) kept;
	atomic_uint issue_flags;
	bool refuse_nonblock, done_at_once;
	struct uring_cmd seen;
};

static void driver_cancel(struct uring_cmd *cmd)
{
	struct driver *driver = (struct driver *)(uintptr_t)cmd->pdu[0];

	atomic_fetch_add(&driver->cancels, 1);
	uring_cmd_done(cmd, -ECANCELED);
}

static int driver_cmd(const struct op_ctx *ctx, struct uring_cmd *cmd, unsigned issue_flags)
{
	struct driver *driver = cmd->file->private;

	cr_expect_eq(ctx, cmd->ctx);
	cr_expect_eq(ctx->cred, test_ctx.cred);
	atomic_fetch_add(&driver->calls, 1);
	atomic_store(&driver->issue_flags, issue_flags);
	if (driver->refuse_nonblock && (issue_flags & URING_ISSUE_NONBLOCK))
		return -EAGAIN;
	driver->seen = *cmd;
	if (cmd->op == 1)
		return 42;
	cmd->pdu[0] = (uintptr_t)driver;
	cmd->extra[0] = 11;
	cmd->extra[1] = 22;
	if (cmd->op != 3)
		uring_cmd_mark_cancelable(cmd, driver_cancel);
	if (driver->done_at_once)
		uring_cmd_done(cmd, 7);
	else
		atomic_store(&driver->kept, cmd);
	return -EIOCBQUEUED;
}

static const struct file_ops driver_ops = { .uring_cmd = driver_cmd, .no_position = true };

static struct uring_cmd *until_kept(struct driver *driver)
{
	struct uring_cmd *cmd;

	while (!(cmd = atomic_load(&driver->kept)))
		sched_yield();
	return cmd;
}

/* ---- a ring, as a guest has it mapped ---- */

struct guest {
	struct io_uring_params params;
	struct uring_task *task;
	struct file *file, *device;
	struct driver driver;
	char *rings, *sqes;
	size_t sqe_size, cqe_size;
	int fd; /* of the device */
};

static char *map_part(struct guest *guest, uint64_t offset, size_t length)
{
	struct mmap_request req = { .offset = (int64_t)offset, .length = length };
	int hostfd;
	char *map;

	cr_assert_eq(guest->file->op->mmap(&test_ctx, guest->file, &req, &hostfd), 0);
	map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, hostfd, (off_t)offset);
	cr_assert_neq(map, MAP_FAILED);
	close(hostfd);
	return map;
}

static void guest_open(struct guest *guest, unsigned flags)
{
	*guest = (struct guest){ .params = { .flags = flags } };
	guest->task = uring_task_new();
	cr_assert_eq(uring_new(&test_ctx, guest->task, 8, &guest->params, &guest->file), 0);
	guest->sqe_size = flags & IORING_SETUP_SQE128 ? 128 : 64;
	guest->cqe_size = flags & IORING_SETUP_CQE32 ? 32 : 16;
	guest->rings = map_part(guest, IORING_OFF_SQ_RING, 512);
	guest->sqes = map_part(guest, IORING_OFF_SQES, 8 * guest->sqe_size);
	cr_assert_eq(file_new_anon(&test_ctx, "driver", 0600, &driver_ops, &guest->driver, O_RDWR,
				   &guest->device),
		     0);
	guest->fd = fdtable_install(test_ctx.files, file_get(guest->device), 0, 64, false);
	cr_assert_geq(guest->fd, 0);
}

static void guest_close_ring(struct guest *guest)
{
	munmap(guest->rings, 512);
	munmap(guest->sqes, 8 * guest->sqe_size);
	file_put(guest->file);
}

static void guest_end_task(struct guest *guest)
{
	uring_task_cancel(guest->task, true);
	uring_task_free(guest->task);
	file_put(guest->device);
}

static uint32_t *word(struct guest *guest, uint32_t offset)
{
	return (uint32_t *)(void *)(guest->rings + offset);
}

/* One command to the device. */
static void submit_cmd(struct guest *guest, uint32_t op)
{
	uint32_t tail = *word(guest, guest->params.sq_off.tail);
	struct io_uring_sqe *sqe = (void *)(guest->sqes + (tail % 8) * guest->sqe_size);

	memset(sqe, 0, guest->sqe_size);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = guest->fd;
	sqe->cmd_op = op;
	sqe->user_data = 99;
	sqe->addr = 0x1234;
	sqe->len = 2;
	for (size_t i = 48; i < guest->sqe_size; i++)
		((unsigned char *)sqe)[i] = (unsigned char)i;
	word(guest, guest->params.sq_off.array)[tail % 8] = tail % 8;
	__atomic_store_n(word(guest, guest->params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	cr_assert_eq(uring_submit(&test_ctx, guest->task, guest->file, 1), 1);
}

static const struct io_uring_cqe *next_cqe(struct guest *guest)
{
	uint32_t *head = word(guest, guest->params.cq_off.head);

	cr_assert_eq(uring_wait(guest->file, 1, WAIT_FOREVER), 0);
	return (void *)(guest->rings + guest->params.cq_off.cqes +
			((*head)++ % guest->params.cq_entries) * guest->cqe_size);
}

static void expect_cqe(struct guest *guest, int32_t res)
{
	const struct io_uring_cqe *cqe = next_cqe(guest);

	cr_expect_eq(cqe->user_data, 99);
	cr_expect_eq(cqe->res, res, "res is %d, not %d", cqe->res, res);
}

/* ---- tests ---- */

Test(uring, command_is_answered_at_once)
{
	struct guest guest;

	guest_open(&guest, 0);
	submit_cmd(&guest, 1);
	expect_cqe(&guest, 42);
	cr_expect_eq(guest.driver.seen.op, 1);
	cr_expect_eq(guest.driver.seen.addr, 0x1234);
	cr_expect_eq(guest.driver.seen.len, 2);
	cr_expect_eq(guest.driver.seen.user_data, 99);
	cr_expect_eq(atomic_load(&guest.driver.issue_flags), URING_ISSUE_NONBLOCK);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

Test(uring, short_entry_has_16_bytes_of_payload_and_zeros)
{
	struct guest guest;

	guest_open(&guest, 0);
	submit_cmd(&guest, 1);
	expect_cqe(&guest, 42);
	for (int i = 0; i < URING_CMD_PAYLOAD; i++)
		cr_expect_eq(guest.driver.seen.payload[i], i < 16 ? i + 48 : 0);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

Test(uring, long_entry_has_80_bytes_of_payload)
{
	struct guest guest;

	guest_open(&guest, IORING_SETUP_SQE128);
	submit_cmd(&guest, 1);
	expect_cqe(&guest, 42);
	for (int i = 0; i < URING_CMD_PAYLOAD; i++)
		cr_expect_eq(guest.driver.seen.payload[i], i + 48);
	cr_expect(atomic_load(&guest.driver.issue_flags) & URING_ISSUE_SQE128);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

static void *done_main(void *arg)
{
	struct driver *driver = arg;

	uring_cmd_done(until_kept(driver), 5);
	return NULL;
}

Test(uring, kept_command_is_done_by_another_thread)
{
	struct guest guest;
	pthread_t thread;

	guest_open(&guest, IORING_SETUP_CQE32);
	pthread_create(&thread, NULL, done_main, &guest.driver);
	submit_cmd(&guest, 2);
	{
		const struct io_uring_cqe *cqe = next_cqe(&guest);

		cr_expect_eq(cqe->res, 5);
		cr_expect_eq(cqe->big_cqe[0], 11);
		cr_expect_eq(cqe->big_cqe[1], 22);
	}
	pthread_join(thread, NULL);
	guest_close_ring(&guest);
	guest_end_task(&guest);
	cr_expect_eq(atomic_load(&guest.driver.cancels), 0);
}

Test(uring, command_may_be_done_before_its_method_returns)
{
	struct guest guest;

	guest_open(&guest, 0);
	guest.driver.done_at_once = true;
	submit_cmd(&guest, 2);
	expect_cqe(&guest, 7);
	guest.driver.refuse_nonblock = true;
	submit_cmd(&guest, 2);
	expect_cqe(&guest, 7);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

Test(uring, method_that_must_wait_gets_a_fiber_of_its_own)
{
	struct guest guest;

	guest_open(&guest, 0);
	guest.driver.refuse_nonblock = true;
	submit_cmd(&guest, 1);
	expect_cqe(&guest, 42);
	cr_expect_eq(atomic_load(&guest.driver.calls), 2);
	cr_expect_eq(atomic_load(&guest.driver.issue_flags), 0);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

/* Under the locks that a driver holds when it ends its requests. */
Test(uring, command_is_done_under_a_ranked_mutex)
{
	struct fb_mutex lock = FB_MUTEX_INIT(RANK_CONN);
	struct guest guest;

	guest_open(&guest, 0);
	submit_cmd(&guest, 2);
	fb_mutex_lock(&lock);
	uring_cmd_done(until_kept(&guest.driver), 3);
	fb_mutex_unlock(&lock);
	expect_cqe(&guest, 3);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

Test(uring, end_of_the_ring_cancels_kept_commands)
{
	struct guest guest;

	guest_open(&guest, 0);
	submit_cmd(&guest, 2);
	(void)until_kept(&guest.driver);
	guest_close_ring(&guest);
	cr_expect_eq(atomic_load(&guest.driver.cancels), 1);
	guest_end_task(&guest);
}

Test(uring, end_of_the_task_cancels_kept_commands_and_waits)
{
	struct guest guest;

	guest_open(&guest, 0);
	submit_cmd(&guest, 2);
	(void)until_kept(&guest.driver);
	uring_task_cancel(guest.task, true);
	cr_expect_eq(atomic_load(&guest.driver.cancels), 1);
	expect_cqe(&guest, -ECANCELED);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

static void *cancel_main(void *arg)
{
	uring_task_cancel(arg, true);
	return NULL;
}

Test(uring, end_of_the_task_waits_for_a_command_that_cannot_be_cancelled)
{
	struct guest guest;
	pthread_t thread;

	guest_open(&guest, 0);
	submit_cmd(&guest, 3);
	(void)until_kept(&guest.driver);
	pthread_create(&thread, NULL, cancel_main, guest.task);
	uring_cmd_done(until_kept(&guest.driver), 9);
	pthread_join(thread, NULL);
	expect_cqe(&guest, 9);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

Test(uring, mapping_ends_where_the_ring_ends)
{
	struct mmap_request req = { .offset = IORING_OFF_SQES, .length = 4096 };
	struct guest guest;
	int hostfd = -1;

	guest_open(&guest, 0);
	cr_expect_eq(guest.file->op->mmap(&test_ctx, guest.file, &req, &hostfd), 0);
	close(hostfd);
	req.length = 4097;
	cr_expect_eq(guest.file->op->mmap(&test_ctx, guest.file, &req, &hostfd), -EINVAL);
	req = (struct mmap_request){ .offset = 4096, .length = 4096 };
	cr_expect_eq(guest.file->op->mmap(&test_ctx, guest.file, &req, &hostfd), -ENOMEM);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

/* The host's file cannot be made shorter below the sentry's own mapping. */
Test(uring, memory_keeps_its_size)
{
	struct mmap_request req = { .offset = IORING_OFF_SQ_RING, .length = 512 };
	struct guest guest;
	int hostfd;

	guest_open(&guest, 0);
	cr_assert_eq(guest.file->op->mmap(&test_ctx, guest.file, &req, &hostfd), 0);
	cr_expect_eq(ftruncate(hostfd, 0), -1);
	cr_expect_eq(errno, EPERM);
	close(hostfd);
	guest_close_ring(&guest);
	guest_end_task(&guest);
}

/* CUSE: /dev/cuse, the device that appears, and its files; matrix section 8 and F151. */
#include <pthread.h>
#include <sys/ioctl.h>

#include "devfuse/proto.h"
#include "devfuse/report.h"
#include "fusefs/cuse_type.h"
#include "tests/unit/vfs/dev_world.h"
#include "vfs/lock.h"
#include "vfs/strbuf.h"

static void setup(void)
{
	cr_assert_eq(cuse_init(), 0);
	world_init();
}

TestSuite(cuse, .init = setup, .fini = world_fini, .timeout = 120);

/* --- the daemon --------------------------------------------------------------------------- */

static struct file *channel;
static struct {
	struct fuse_in_header in;
	uint8_t body[300000];
} msg;

/* The next message; waits for it. */
static ssize_t next_request(void)
{
	static uint8_t buf[400000];
	ssize_t n = world_read(channel, buf, sizeof(buf));

	if (n > 0)
		memcpy(&msg, buf, (size_t)n);
	return n;
}

static void want(uint32_t opcode)
{
	cr_assert_gt(next_request(), 0);
	cr_assert_eq(msg.in.opcode, opcode, "got %u, wanted %u", msg.in.opcode, opcode);
}

static ssize_t answer(int error, const void *data, size_t len)
{
	static uint8_t out[300000];
	const struct fuse_out_header head = {(uint32_t)(sizeof(head) + len), error,
					     error > 0 ? 0 : msg.in.unique};

	memcpy(out, &head, sizeof(head));
	if (len)
		memcpy(out + sizeof(head), data, len);
	return world_write(channel, out, sizeof(head) + len);
}

static void answer_open(uint64_t fh)
{
	const struct fuse_open_out out = {.fh = fh, .open_flags = FOPEN_NONSEEKABLE};

	cr_assert_gt(answer(0, &out, sizeof(out)), 0);
}

static struct cuse_init_out init_out(unsigned flags)
{
	return (struct cuse_init_out){
		.major = 7, .minor = 45, .flags = flags, .max_read = 8192, .max_write = 8192};
}

/* Answers CUSE_INIT. */
static ssize_t answer_init(const struct cuse_init_out *out, const char *info, size_t len)
{
	uint8_t buf[sizeof(*out) + 4096];

	memcpy(buf, out, sizeof(*out));
	memcpy(buf + sizeof(*out), info, len);
	return answer(0, buf, sizeof(*out) + len);
}

static void start(const char *info, size_t len, unsigned flags)
{
	const struct cuse_init_out out = init_out(flags);

	channel = world_open("/dev/cuse", O_RDWR);
	want(CUSE_INIT);
	cr_assert_gt(answer_init(&out, info, len), 0);
}
#define START(flags) start("DEVNAME=dev", sizeof("DEVNAME=dev"), flags)

/* --- the client, on a thread: it sleeps for the daemon --------------------------------------- */

struct client {
	pthread_t thread;
	long (*fn)(struct client *c);
	struct file *file;
	unsigned cmd;
	uint64_t arg;
	char *buf;
	size_t len;
	_Atomic(struct waiter *) waiter;
	long result;
};

static void *client_main(void *arg)
{
	struct client *c = arg;

	atomic_store(&c->waiter, waiter_self());
	c->result = c->fn(c);
	return NULL;
}

static void spawn(struct client *c, long (*fn)(struct client *c))
{
	c->fn = fn;
	cr_assert_eq(pthread_create(&c->thread, NULL, client_main, c), 0);
}

static long join(struct client *c)
{
	pthread_join(c->thread, NULL);
	return c->result;
}

static long do_open(struct client *c)
{
	const struct open_args args = {.flags = O_RDWR | O_TRUNC};

	return vfs_open(&ctx, NULL, "/dev/dev", &args, &c->file);
}
static long do_close(struct client *c)
{
	file_put(c->file);
	return 0;
}
static long do_read(struct client *c)
{
	return world_read(c->file, c->buf, c->len);
}
static long do_write(struct client *c)
{
	return world_write(c->file, c->buf, c->len);
}
static long do_pread(struct client *c)
{
	struct io_iter iter;

	iter_init_mem(&iter, c->buf, c->len);
	return vfs_pread(&ctx, c->file, &iter, 1000, 0);
}
static long do_ioctl(struct client *c)
{
	return vfs_ioctl(&ctx, c->file, c->cmd, c->arg);
}
static long do_poll(struct client *c)
{
	struct poll_item item = {.file = c->file, .events = POLLIN};
	int n = vfs_poll_items(&ctx, &item, 1, WAIT_FOREVER);

	return n < 0 ? n : (long)item.revents;
}

static struct client opened(void)
{
	struct client c = {0};

	spawn(&c, do_open);
	want(FUSE_OPEN);
	answer_open(9);
	cr_assert_eq(join(&c), 0);
	return c;
}

static void closed(struct client *c)
{
	spawn(c, do_close);
	want(FUSE_RELEASE);
	cr_assert_gt(answer(0, NULL, 0), 0);
	join(c);
}

static void stop(void)
{
	file_put(channel);
}

/* --- birth and death ------------------------------------------------------------------------- */

Test(cuse, open_sends_init) /* C01, Q4096 */
{
	const struct cuse_init_in *in = (const void *)msg.body;

	channel = world_open("/dev/cuse", O_RDWR);
	want(CUSE_INIT);
	cr_expect_eq(msg.in.len, 56);
	cr_expect_eq(msg.in.unique, 2);
	cr_expect_eq(msg.in.nodeid, 0);
	cr_expect_eq(in->major, 7);
	cr_expect_eq(in->minor, FUSE_KERNEL_MINOR_VERSION);
	cr_expect_eq(in->flags, CUSE_UNRESTRICTED_IOCTL);
	stop();
}

Test(cuse, a_read_of_less_than_8192_bytes_is_refused) /* C01 */
{
	static char buf[8192];

	START(0);
	atomic_fetch_or(&channel->flags, O_NONBLOCK);
	cr_expect_eq(world_read(channel, buf, 8191), -EINVAL);
	cr_expect_eq(world_read(channel, buf, 8192), -EAGAIN);
	stop();
}

Test(cuse, the_device_comes_with_the_answer_and_goes_with_the_daemon) /* C04, C05, C09 */
{
	char *link;

	START(0);
	cr_expect_eq(world_stat("/dev/dev").mode, S_IFCHR | 0600);
	cr_expect_eq(world_stat("/dev/dev").rdev, makedev(254, 0));
	cr_expect_str_eq(world_names("/sys/class/cuse"), " . .. dev ");
	link = world_readlink("/sys/class/cuse/dev");
	cr_expect_str_eq(link, "../../devices/virtual/cuse/dev");
	free(link);
	cr_expect_eq(world_stat("/sys/class/cuse/dev/waiting").mode, S_IFREG | 0400);
	cr_expect_eq(world_stat("/sys/class/cuse/dev/abort").mode, S_IFREG | 0200);
	cr_expect_str_eq(world_text("/sys/class/cuse/dev/waiting"), "0\n");
	cr_expect_str_eq(world_text("/sys/class/cuse/dev/dev"), "254:0\n");
	cr_expect_eq(world_stat("/sys/class/cuse/dev/uevent").mode, S_IFREG | 0644);
	cr_expect_str_eq(world_text("/sys/class/cuse/dev/power/control"), "auto\n");
	cr_expect(strstr(world_text("/proc/devices"), "254 dev\n"));
	stop();
	cr_expect_eq(world_open_error(&ctx, "/dev/dev", O_RDONLY), -ENOENT);
	cr_expect_str_eq(world_names("/sys/class/cuse"), " . .. ");
	cr_expect_not(strstr(world_text("/proc/devices"), "254 "));
}

Test(cuse, what_the_daemon_may_answer) /* C02, C04, Q4096 */
{
#define INFO(text) text, sizeof(text)
	const struct {
		const char *what, *info;
		size_t len;
		struct cuse_init_out out;
		bool good;
	} rows[] = {
		{"plain", INFO("DEVNAME=dev"), init_out(0), true},
		{"an older daemon", INFO("DEVNAME=dev"), {.major = 7, .minor = 11}, true},
		{"spaces and unknown keys", INFO("\0\0SOME=thing\0 DEVNAME = dev "), init_out(0), true},
		{"a number of its own",
		 INFO("DEVNAME=dev"),
		 {.major = 7, .minor = 45, .dev_major = 240, .dev_minor = 5},
		 true},
		{"no name", INFO("OTHER=dev"), init_out(0), false},
		{"an empty name", INFO("DEVNAME="), init_out(0), false},
		{"no NUL", "DEVNAME=dev", 11, init_out(0), false},
		{"an empty key", INFO("=dev"), init_out(0), false},
		{"nothing", INFO(""), init_out(0), false},
		{"a name that leaves /dev", INFO("DEVNAME=../dev"), init_out(0), false},
		{"another major", INFO("DEVNAME=dev"), {.major = 8, .minor = 45}, false},
		{"too old", INFO("DEVNAME=dev"), {.major = 7, .minor = 10}, false},
		{"the number of another driver",
		 INFO("DEVNAME=dev"),
		 {.major = 7, .minor = 45, .dev_major = 1, .dev_minor = 3},
		 false},
		{"a number that is taken",
		 INFO("DEVNAME=dev"),
		 {.major = 7, .minor = 45, .dev_major = 5, .dev_minor = 0},
		 false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		channel = world_open("/dev/cuse", O_RDWR | O_NONBLOCK);
		want(CUSE_INIT);
		cr_expect_gt(answer_init(&rows[i].out, rows[i].info, rows[i].len), 0, "%s",
			     rows[i].what);
		cr_expect_eq(next_request(), rows[i].good ? -EAGAIN : -ENODEV, "%s", rows[i].what);
		cr_expect_str_eq(world_names("/sys/class/cuse"),
				 rows[i].good ? " . .. dev " : " . .. ", "%s", rows[i].what);
		stop();
	}
}

Test(cuse, an_error_or_a_malformed_answer_ends_it) /* Q4096 */
{
	const struct cuse_init_out out = init_out(0);
	const struct {
		int error;
		size_t len;
		ssize_t written;
	} rows[] = {{-EPERM, 0, 16}, {-EPERM, 4, -EINVAL}, {0, 71, -EINVAL}, {0, 72 + 4097, -EINVAL}};
	static uint8_t buf[72 + 4097];

	memcpy(buf, &out, sizeof(out));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		channel = world_open("/dev/cuse", O_RDWR | O_NONBLOCK);
		want(CUSE_INIT);
		cr_expect_eq(answer(rows[i].error, buf, rows[i].len), rows[i].written, "%zu", i);
		cr_expect_eq(next_request(), -ENODEV, "%zu", i);
		stop();
	}
}

Test(cuse, a_name_is_given_once) /* C04 */
{
	struct file *first;

	START(0);
	first = channel;
	START(0);
	cr_expect_eq(next_request(), -ENODEV);
	stop();
	cr_expect_eq(world_stat("/dev/dev").rdev, makedev(254, 0));
	file_put(first);
}

Test(cuse, a_node_in_the_way_stays) /* cf. devtmpfs */
{
	start("DEVNAME=null", sizeof("DEVNAME=null"), 0);
	cr_expect_str_eq(world_names("/sys/class/cuse"), " . .. null ");
	cr_expect_eq(world_stat("/dev/null").rdev, makedev(1, 3));
	stop();
	cr_expect_eq(world_stat("/dev/null").rdev, makedev(1, 3));
}

Test(cuse, the_channel_has_no_ioctls) /* C10 */
{
	uint32_t fd = 0;

	START(0);
	cr_expect_eq(vfs_ioctl(&ctx, channel, FUSE_DEV_IOC_CLONE, (uint64_t)(uintptr_t)&fd), -ENOTTY);
	stop();
}

Test(cuse, messages_of_the_daemon) /* C10 */
{
	static const uint8_t zeros[64];
	const struct {
		int code;
		size_t len;
		ssize_t result;
	} rows[] = {
		{FUSE_NOTIFY_POLL, 8, 24},	     {FUSE_NOTIFY_POLL, 7, -EINVAL},
		{FUSE_NOTIFY_INVAL_INODE, 24, -ENOENT}, {FUSE_NOTIFY_INVAL_INODE, 25, -EINVAL},
		{FUSE_NOTIFY_INVAL_ENTRY, 20, -ENOENT}, {FUSE_NOTIFY_STORE, 30, -ENOENT},
		{FUSE_NOTIFY_RETRIEVE, 32, -ENOENT},   {FUSE_NOTIFY_DELETE, 30, -ENOENT},
		{FUSE_NOTIFY_INC_EPOCH, 0, 16},	     {99, 0, -EINVAL},
	};

	channel = world_open("/dev/cuse", O_RDWR | O_NONBLOCK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_eq(answer(rows[i].code, zeros, rows[i].len), rows[i].result, "%zu", i);
	stop();
}

/* --- files ------------------------------------------------------------------------------------ */

Test(cuse, open_and_release) /* C06 */
{
	const struct fuse_open_in *in = (const void *)msg.body;
	const struct fuse_release_in *out = (const void *)msg.body;
	struct client c = {0};

	START(0);
	spawn(&c, do_open);
	want(FUSE_OPEN);
	cr_expect_eq(msg.in.nodeid, 0);
	cr_expect_eq(in->flags, O_RDWR | 0x8000);
	answer_open(9);
	cr_assert_eq(join(&c), 0);
	cr_expect_eq(vfs_llseek(&ctx, c.file, 50, SEEK_SET), 0); /* C07: not refused, no effect */
	spawn(&c, do_close);
	want(FUSE_RELEASE);
	cr_expect_eq(out->fh, 9);
	cr_expect_eq(out->flags, O_RDWR | 0x8000);
	cr_expect_eq(msg.in.uid + msg.in.gid + msg.in.nodeid, 0);
	cr_expect_eq(pthread_tryjoin_np(c.thread, NULL), EBUSY); /* waits for the answer */
	cr_expect_gt(answer(0, NULL, 0), 0);
	join(&c);
	stop();
}

Test(cuse, errors_of_open) /* C07 */
{
	struct client c = {0};

	START(0);
	spawn(&c, do_open);
	want(FUSE_OPEN);
	answer(-EBUSY, NULL, 0);
	cr_expect_eq(join(&c), -EBUSY);
	spawn(&c, do_open);
	want(FUSE_OPEN);
	cr_expect_eq(answer(0, "xx", 2), -EINVAL);
	cr_expect_eq(join(&c), -EIO);
	spawn(&c, do_open);
	want(FUSE_OPEN);
	answer(-ENOSYS, NULL, 0);
	cr_expect_eq(join(&c), 0);
	do_close(&c); /* no RELEASE */
	cr_expect_eq(do_open(&c), 0); /* and no OPEN */
	do_close(&c);
	stop();
}

Test(cuse, a_killed_open_is_released_when_its_answer_comes)
{
	struct client c = {0};
	uint64_t unique;

	START(0);
	spawn(&c, do_open);
	want(FUSE_OPEN);
	waiter_interrupt(c.waiter, WAITER_SIGNAL | WAITER_KILLED);
	cr_expect_eq(join(&c), -EINTR);
	unique = msg.in.unique;
	want(FUSE_INTERRUPT);
	msg.in.unique = unique;
	answer_open(77);
	want(FUSE_RELEASE);
	cr_expect_eq(((struct fuse_release_in *)(void *)msg.body)->fh, 77);
	stop();
}

Test(cuse, reads_start_at_zero_and_are_split) /* C03, C06 */
{
	const struct fuse_read_in *in = (const void *)msg.body;
	static char data[8192], buf[20000];
	struct client c;

	START(0);
	c = opened();
	memset(data, 'd', sizeof(data));
	c.buf = buf;
	c.len = sizeof(buf);
	for (int i = 0; i < 2; i++) { /* the second time with a position */
		spawn(&c, i ? do_pread : do_read);
		want(FUSE_READ);
		cr_expect_eq(in->offset, 0);
		cr_expect_eq(in->size, 8192);
		cr_expect_eq(in->fh, 9);
		cr_expect_eq(in->read_flags, FUSE_READ_LOCKOWNER);
		answer(0, data, 8192);
		want(FUSE_READ);
		cr_expect_eq(in->offset, 8192);
		answer(0, data, 10);
		cr_expect_eq(join(&c), 8202);
	}
	spawn(&c, do_read);
	want(FUSE_READ);
	answer(-EAGAIN, NULL, 0);
	cr_expect_eq(join(&c), -EAGAIN);
	closed(&c);
	stop();
}

Test(cuse, writes_start_at_zero_and_are_split) /* C03, C06 */
{
	const struct fuse_write_in *in = (const void *)msg.body;
	struct fuse_write_out out = {.size = 8192};
	static char buf[10000];
	struct client c;

	START(0);
	c = opened();
	c.buf = buf;
	c.len = sizeof(buf);
	for (int i = 0; i < 2; i++) {
		spawn(&c, do_write);
		want(FUSE_WRITE);
		cr_expect_eq(in->offset, 0);
		cr_expect_eq(in->size, 8192);
		out.size = 8192;
		answer(0, &out, sizeof(out));
		want(FUSE_WRITE);
		cr_expect_eq(in->offset, 8192);
		cr_expect_eq(in->size, 1808);
		out.size = i ? 1809 : 1808; /* more than was sent: EIO, but some was written */
		answer(0, &out, sizeof(out));
		cr_expect_eq(join(&c), i ? 8192 : 10000);
	}
	closed(&c);
	stop();
}

Test(cuse, poll_asks_and_is_woken) /* C06, F153 */
{
	const struct fuse_poll_in *in = (const void *)msg.body;
	struct fuse_poll_out out = {0};
	struct client c;
	uint64_t kh;

	START(0);
	c = opened();
	spawn(&c, do_poll);
	want(FUSE_POLL);
	cr_expect_eq(in->flags, FUSE_POLL_SCHEDULE_NOTIFY);
	kh = in->kh;
	answer(0, &out, sizeof(out));
	cr_expect_gt(answer(FUSE_NOTIFY_POLL, &kh, sizeof(kh)), 0);
	want(FUSE_POLL);
	cr_expect_eq(in->kh, kh);
	out.revents = POLLIN;
	answer(0, &out, sizeof(out));
	cr_expect_eq(join(&c), POLLIN);
	closed(&c);
	stop();
}

Test(cuse, daemon_gone) /* C09, F154 */
{
	struct fuse_poll_out out = {0};
	char buf[4];
	struct client c, poller;

	START(0);
	c = opened();
	poller = c;
	spawn(&poller, do_poll);
	want(FUSE_POLL);
	answer(0, &out, sizeof(out));
	c.buf = buf;
	c.len = 4;
	spawn(&c, do_read);
	/* The poller may look again at any time: a wake-up may be spurious. */
	while (next_request() > 0 && msg.in.opcode == FUSE_POLL)
		answer(0, &out, sizeof(out));
	cr_assert_eq(msg.in.opcode, FUSE_READ);
	stop();
	cr_expect_eq(join(&c), -ECONNABORTED);
	cr_expect_eq(join(&poller), POLLERR);
	cr_expect_eq(do_read(&c), -ENOTCONN);
	do_close(&c);
	/* A node kept elsewhere leads nowhere. */
	cr_expect_eq(vfs_mknod(&ctx, NULL, "/node", S_IFCHR | 0600, makedev(254, 0)), 0);
	cr_expect_eq(world_open_error(&ctx, "/node", O_RDONLY), -ENXIO);
}

Test(cuse, abort_through_sysfs) /* C05 */
{
	struct file *file;
	char buf[4];
	struct client c;

	START(0);
	c = opened();
	c.buf = buf;
	c.len = 4;
	spawn(&c, do_read);
	want(FUSE_READ);
	cr_expect_str_eq(world_text("/sys/class/cuse/dev/waiting"), "1\n");
	file = world_open("/sys/class/cuse/dev/abort", O_WRONLY);
	cr_expect_eq(world_write(file, "1", 1), 1);
	file_put(file);
	cr_expect_eq(join(&c), -ECONNABORTED);
	cr_expect_eq(next_request(), -ENODEV);
	cr_expect_eq(world_open_error(&ctx, "/dev/dev", O_RDONLY), -ENOTCONN);
	do_close(&c);
	stop();
}

/* --- ioctl ------------------------------------------------------------------------------------ */

/* A RETRY for these ranges, or an answer with data. */
static ssize_t answer_ioctl(uint32_t flags, uint32_t in_iovs, uint32_t out_iovs, int32_t result,
			    const void *data, size_t len)
{
	static uint8_t buf[200000];
	const struct fuse_ioctl_out out = {
		.result = result, .flags = flags, .in_iovs = in_iovs, .out_iovs = out_iovs};

	memcpy(buf, &out, sizeof(out));
	if (len)
		memcpy(buf + sizeof(out), data, len);
	return answer(0, buf, sizeof(out) + len);
}

static struct fuse_ioctl_iovec range(const void *base, uint64_t len)
{
	return (struct fuse_ioctl_iovec){(uint64_t)(uintptr_t)base, len};
}

Test(cuse, unrestricted_ioctl_asks_for_memory) /* F151 */
{
	const struct fuse_ioctl_in *in = (const void *)msg.body;
	char from[6] = "abcde", one[4] = "...", two[8] = ".......";
	struct fuse_ioctl_iovec iov[3] = {range(from, 5), range(one, 3), range(two, 7)};
	struct client c;

	START(CUSE_UNRESTRICTED_IOCTL);
	c = opened();
	c.cmd = 0x1234;
	c.arg = 4711;
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	cr_expect_eq(in->flags, FUSE_IOCTL_UNRESTRICTED);
	cr_expect_eq(in->arg, 4711);
	cr_expect_eq(in->in_size + in->out_size, 0);
	answer_ioctl(FUSE_IOCTL_RETRY, 1, 2, 0, iov, sizeof(iov));
	want(FUSE_IOCTL);
	cr_expect_eq(in->in_size, 5);
	cr_expect_eq(in->out_size, 10);
	cr_expect_eq(msg.in.len, 40 + 32 + 5);
	cr_expect_arr_eq(msg.body + 32, "abcde", 5);
	answer_ioctl(0, 0, 0, 42, "12345", 5);
	cr_expect_eq(join(&c), 42);
	cr_expect_str_eq(one, "123");
	cr_expect_str_eq(two, "45.....");
	closed(&c);
	stop();
}

Test(cuse, bad_answers_to_an_ioctl) /* F151, Z24 */
{
	static struct fuse_ioctl_iovec iov[300];
	const struct {
		const char *what;
		uint32_t in_iovs, out_iovs;
		uint64_t len; /* of the first range */
		size_t bytes;
		long result;
	} rows[] = {
		{"too many to read", 257, 0, 1, 257 * 16, -ENOMEM},
		{"too many to write", 0, 257, 1, 257 * 16, -ENOMEM},
		{"too many together", 200, 57, 1, 257 * 16, -ENOMEM},
		{"counts that wrap", 0xffffff00u, 0x101, 1, 16, -ENOMEM},
		{"a short list", 2, 0, 1, 16, -EIO},
		{"a long list", 1, 0, 1, 32, -EIO},
		{"too much to read", 1, 0, 32 * 4096 + 1, 16, -ENOMEM},
		{"too much to write", 0, 1, UINT64_MAX, 16, -ENOMEM},
	};
	struct client c;
	char byte;

	START(CUSE_UNRESTRICTED_IOCTL);
	c = opened();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < 300; k++)
			iov[k] = range(&byte, k ? 1 : rows[i].len);
		spawn(&c, do_ioctl);
		want(FUSE_IOCTL);
		/* A list of 257 does not fit into the page that the answer may have. */
		answer_ioctl(FUSE_IOCTL_RETRY, rows[i].in_iovs, rows[i].out_iovs, 0, iov,
			     rows[i].bytes > 4096 ? 4096 : rows[i].bytes);
		cr_expect_eq(join(&c), rows[i].result, "%s: %ld", rows[i].what, c.result);
	}
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	answer_ioctl(0, 0, 0, 0, "x", 1); /* data that nobody wants */
	cr_expect_eq(join(&c), -EIO);
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	cr_expect_eq(answer_ioctl(0, 0, 0, 0, iov, 4097), -EINVAL);
	cr_expect_eq(join(&c), -EIO);
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	answer(-ENOSYS, NULL, 0);
	cr_expect_eq(join(&c), -ENOTTY);
	closed(&c);
	stop();
}

Test(cuse, restricted_ioctl_goes_by_its_number) /* F150 */
{
	const struct fuse_ioctl_in *in = (const void *)msg.body;
	uint32_t value = 5;
	struct client c;

	START(0);
	c = opened();
	c.cmd = _IOWR('X', 1, uint32_t);
	c.arg = (uint64_t)(uintptr_t)&value;
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	cr_expect_eq(in->flags, 0);
	cr_expect_eq(in->in_size, 4);
	cr_expect_eq(in->out_size, 4);
	cr_expect_eq(msg.body[32], 5);
	answer_ioctl(0, 0, 0, 1, "\7\0\0\0", 4);
	cr_expect_eq(join(&c), 1);
	cr_expect_eq(value, 7);
	spawn(&c, do_ioctl);
	want(FUSE_IOCTL);
	answer_ioctl(FUSE_IOCTL_RETRY, 0, 0, 0, NULL, 0);
	cr_expect_eq(join(&c), -EIO);
	closed(&c);
	stop();
}

Test(cuse, an_interrupted_read_tells_the_daemon) /* C11 */
{
	char buf[4];
	struct client c;
	uint64_t unique;

	START(0);
	c = opened();
	c.buf = buf;
	c.len = 4;
	spawn(&c, do_read);
	want(FUSE_READ);
	unique = msg.in.unique;
	waiter_interrupt(c.waiter, WAITER_SIGNAL);
	want(FUSE_INTERRUPT);
	cr_expect_eq(((struct fuse_interrupt_in *)(void *)msg.body)->unique, unique);
	msg.in.unique = unique;
	answer(-EINTR, NULL, 0);
	cr_expect_eq(join(&c), -EINTR);
	waiter_reset(c.waiter);
	closed(&c);
	stop();
}

Test(cuse, is_in_the_report) /* Linux's fusectl does not have it, nor has ours: C05 */
{
	const struct cuse_init_out out = init_out(0);
	struct strbuf text = STRBUF_INIT;

	channel = world_open("/dev/cuse", O_RDWR);
	fuse_report(&text);
	cr_assert(strstr(text.buf, "CUSE device without"), "%s", text.buf);
	strbuf_free(&text);
	want(CUSE_INIT);
	cr_assert_gt(answer_init(&out, "DEVNAME=dev", sizeof("DEVNAME=dev")), 0);
	fuse_report(&text);
	cr_assert(strstr(text.buf, "CUSE device dev: alive"), "%s", text.buf);
	strbuf_free(&text);
	file_put(channel);
	fuse_report(&text);
	cr_assert_str_eq(text.buf, "no FUSE connections\n");
	strbuf_free(&text);
}

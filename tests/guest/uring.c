/* io_uring_setup(2), _register(2), and requests that move bytes. Others are in uring_wait.c. */
#include "ring.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void setup_errors(void)
{
	struct io_uring_params p = { 0 };

	SHOW("no entries", ring_setup(0, &p));
	SHOW("too many entries", ring_setup(32769, &p));
	SHOW("no params", ring_setup(1, NULL));
	p.resv[1] = 1;
	SHOW("reserved field", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = 1u << 31 };
	SHOW("unknown flag", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE };
	SHOW("no completions", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = 3 };
	SHOW("fewer completions", ring_setup(8, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = 65537 };
	SHOW("too many completions", ring_setup(8, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_DEFER_TASKRUN };
	SHOW("defer without single issuer", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_TASKRUN_FLAG };
	SHOW("taskrun flag alone", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_ATTACH_WQ, .wq_fd = 99 };
	SHOW("attach to nothing", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_ATTACH_WQ, .wq_fd = 1 };
	SHOW("attach to no ring", ring_setup(1, &p));
	p = (struct io_uring_params){ .flags = IORING_SETUP_SQ_AFF };
	SHOW("sq affinity without a thread", ring_setup(1, &p));
}

static void show_sizes(const char *what, unsigned entries, unsigned cq_entries, unsigned flags)
{
	struct io_uring_params p = { .flags = flags, .cq_entries = cq_entries };
	int fd = ring_setup(entries, &p);

	printf("%s: %s sq %u cq %u flags %#x\n", what, fd < 0 ? "failed" : "ok", p.sq_entries,
	       p.cq_entries, p.flags);
	if (fd < 0)
		return;
	printf("cloexec %d, O_RDWR %d, single mmap %d, nodrop %d\n", fcntl(fd, F_GETFD),
	       (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR, !!(p.features & IORING_FEAT_SINGLE_MMAP),
	       !!(p.features & IORING_FEAT_NODROP));
	close(fd);
}

static void sizes(void)
{
	show_sizes("one", 1, 0, 0);
	show_sizes("three", 3, 0, 0);
	show_sizes("cq size", 4, 33, IORING_SETUP_CQSIZE);
	show_sizes("clamped", 100000, 0, IORING_SETUP_CLAMP);
	show_sizes("clamped cq", 8, 1u << 30, IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE);
	show_sizes("wide", 8, 0, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
	show_sizes("modern", 8, 0,
		   IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			   IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL);
}

static void mappings(void)
{
	struct ring ring;
	char *cq;

	ring_open(&ring, 4, 0);
	cq = mmap(NULL, ring.rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		  IORING_OFF_CQ_RING);
	CHECK(cq != MAP_FAILED);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	SHOW("enter", ring_enter(&ring, 1));
	printf("the same memory at CQ_RING: %u\n",
	       *(unsigned *)(void *)(cq + ring.params.cq_off.tail));
	munmap(cq, ring.rings_size);
	printf("masks %u %u, entries %u %u, dropped %u, overflow %u\n",
	       *ring_word(&ring, ring.params.sq_off.ring_mask),
	       *ring_word(&ring, ring.params.cq_off.ring_mask),
	       *ring_word(&ring, ring.params.sq_off.ring_entries),
	       *ring_word(&ring, ring.params.cq_off.ring_entries),
	       *ring_word(&ring, ring.params.sq_off.dropped),
	       *ring_word(&ring, ring.params.cq_off.overflow));
	SHOW("map elsewhere",
	     mmap(NULL, 4096, PROT_READ, MAP_SHARED, ring.fd, 0x20000000) == MAP_FAILED ? -1 : 0);
	SHOW("read it", read(ring.fd, &ring, 1));
	SHOW("write it", write(ring.fd, &ring, 1));
	SHOW("lseek it", lseek(ring.fd, 0, SEEK_SET));
	ring_close(&ring);
}

static void enter_errors(void)
{
	struct io_uring_getevents_arg arg = { 0 };
	struct __kernel_timespec ts = { .tv_nsec = 1000000 };
	int zero[2] = { 0 };
	struct ring ring;
	int p[2];

	MUST(pipe(p));
	ring_open(&ring, 4, 0);
	SHOW("enter a bad fd", syscall(SYS_io_uring_enter, 99, 0, 0, 0, NULL, 0));
	SHOW("enter a pipe", syscall(SYS_io_uring_enter, p[0], 0, 0, 0, NULL, 0));
	SHOW("register with a pipe", syscall(SYS_io_uring_register, p[0], 0, NULL, 0));
	SHOW("register with a bad fd", syscall(SYS_io_uring_register, 99, 0, NULL, 0));
	SHOW("bad flags", ring_enter_raw(&ring, 0, 0, 1u << 31, NULL, 0));
	SHOW("nothing", ring_enter_raw(&ring, 0, 0, 0, NULL, 0));
	SHOW("more than there is", ring_enter_raw(&ring, 5, 0, 0, NULL, 0));
	SHOW("bad ext size",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, 8));
	SHOW("bad ext pointer",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (void *)8,
			    sizeof(arg)));
	arg.ts = 8;
	SHOW("bad time pointer",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			    sizeof(arg)));
	arg.ts = (uintptr_t)&ts;
	SHOW("time is up",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			    sizeof(arg)));
	arg.sigmask = (uintptr_t)zero;
	arg.sigmask_sz = 4;
	SHOW("bad mask size",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			    sizeof(arg)));
	arg.sigmask_sz = 8;
	SHOW("time is up under a mask",
	     ring_enter_raw(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			    sizeof(arg)));
	SHOW("wait for none", ring_enter_raw(&ring, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0));
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
}

static void nops(void)
{
	struct ring ring;

	ring_open(&ring, 4, 0);
	for (int i = 1; i <= 4; i++)
		ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, (uint64_t)i);
	ring_run(&ring, "nops");
	ring_sqe(&ring, 255, -1, NULL, 0, 0, 1);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	ring_run(&ring, "a bad opcode ends the submission");
	ring_run(&ring, "the rest");
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->flags = 0x80;
	ring_run(&ring, "unknown flag");
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->personality = 7;
	ring_run(&ring, "unknown personality");
	ring_sqe(&ring, IORING_OP_FSYNC, 0, NULL, 0, 0, 1)->ioprio = 1;
	ring_run(&ring, "ioprio where there is none");
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	SHOW("skipped", ring_enter(&ring, 1));
	ring_show(&ring, "only", 1);
	ring_close(&ring);
	ring_open(&ring, 4, IORING_SETUP_SUBMIT_ALL);
	ring_sqe(&ring, 255, -1, NULL, 0, 0, 1);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
	ring_run(&ring, "submit all");
	ring_close(&ring);
}

static void files(void)
{
	struct iovec iov[2] = { { "abc", 3 }, { "defg", 4 } }, in[2];
	char buf[16] = "", two[2][4] = { "", "" };
	struct ring ring;
	int fd, dir = MUST(open(".", O_RDONLY | O_DIRECTORY));

	ring_open(&ring, 8, 0);
	ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, "uring-file", 0644, 0, 1)->open_flags =
		O_RDWR | O_CREAT;
	SHOW("openat", ring_enter(&ring, 1) == 1 ? 1 : -1);
	ring_show(&ring, "opened", 1);
	fd = MUST(open("uring-file", O_RDWR));
	ring_sqe(&ring, IORING_OP_WRITE, fd, "hello world", 11, 0, 1);
	ring_run(&ring, "write");
	ring_sqe(&ring, IORING_OP_READ, fd, buf, 5, 6, 1);
	ring_run(&ring, "read");
	printf("%.5s\n", buf);
	ring_sqe(&ring, IORING_OP_WRITEV, fd, iov, 2, 100, 1);
	ring_run(&ring, "writev");
	in[0] = (struct iovec){ two[0], 4 };
	in[1] = (struct iovec){ two[1], 4 };
	ring_sqe(&ring, IORING_OP_READV, fd, in, 2, 100, 1);
	ring_run(&ring, "readv");
	printf("%.4s|%.3s\n", two[0], two[1]);
	ring_sqe(&ring, IORING_OP_READ, fd, buf, 3, (uint64_t)-1, 1);
	ring_run(&ring, "read at the position");
	printf("%.3s, position %ld\n", buf, (long)lseek(fd, 0, SEEK_CUR));
	ring_sqe(&ring, IORING_OP_READ, fd, buf, 16, 4096, 1);
	ring_run(&ring, "read behind the end");
	ring_sqe(&ring, IORING_OP_READ, fd, (void *)8, 16, 0, 1);
	ring_run(&ring, "read into nowhere");
	ring_sqe(&ring, IORING_OP_READ, fd, (void *)-4096, 16, 0, 1);
	ring_run(&ring, "read into the kernel");
	ring_sqe(&ring, IORING_OP_READV, fd, (void *)8, 2, 0, 1);
	ring_run(&ring, "vector nowhere");
	ring_sqe(&ring, IORING_OP_READV, fd, in, 1025, 0, 1);
	ring_run(&ring, "vector too long");
	ring_sqe(&ring, IORING_OP_READ, 99, buf, 1, 0, 1);
	ring_run(&ring, "bad descriptor");
	ring_sqe(&ring, IORING_OP_READ, dir, buf, 1, 0, 1);
	ring_run(&ring, "read a directory");
	ring_sqe(&ring, IORING_OP_READ, fd, buf, 1, 0, 1)->rw_flags = 1 << 30;
	ring_run(&ring, "bad rw flags");
	ring_sqe(&ring, IORING_OP_READ, fd, buf, 1, (uint64_t)-7, 1);
	ring_run(&ring, "negative offset");
	ring_sqe(&ring, IORING_OP_FSYNC, fd, NULL, 0, 0, 1);
	ring_sqe(&ring, IORING_OP_FSYNC, fd, NULL, 0, 0, 2)->fsync_flags = IORING_FSYNC_DATASYNC;
	ring_run(&ring, "fsync");
	ring_sqe(&ring, IORING_OP_FSYNC, fd, NULL, 0, 0, 1)->fsync_flags = 8;
	ring_run(&ring, "fsync flags");
	ring_sqe(&ring, IORING_OP_FSYNC, fd, buf, 0, 0, 1);
	ring_run(&ring, "fsync with an address");
	ring_close(&ring);
	close(fd);
	close(dir);
}

static void names(void)
{
	struct statx sx = { 0 };
	struct ring ring;
	int fd = MUST(open("uring-file", O_RDONLY));

	ring_open(&ring, 8, 0);
	ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, "uring-none", 0, 0, 1);
	ring_run(&ring, "open what is not there");
	ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, (void *)8, 0, 0, 1);
	ring_run(&ring, "open a bad name");
	ring_sqe(&ring, IORING_OP_OPENAT, 99, "x", 0, 0, 1);
	ring_run(&ring, "open below nothing");
	ring_sqe(&ring, IORING_OP_OPENAT, AT_FDCWD, "x", 0, 0, 1)->buf_index = 1;
	ring_run(&ring, "open with a buffer");
	ring_sqe(&ring, IORING_OP_STATX, AT_FDCWD, "uring-file", STATX_SIZE, (uintptr_t)&sx, 1);
	ring_run(&ring, "statx");
	printf("size %llu\n", (unsigned long long)sx.stx_size);
	ring_sqe(&ring, IORING_OP_STATX, AT_FDCWD, "uring-none", STATX_SIZE, (uintptr_t)&sx, 1);
	ring_run(&ring, "statx what is not there");
	ring_sqe(&ring, IORING_OP_CLOSE, fd, NULL, 0, 0, 1);
	ring_run(&ring, "close");
	SHOW("closed", fcntl(fd, F_GETFD));
	ring_sqe(&ring, IORING_OP_CLOSE, fd, NULL, 0, 0, 1);
	ring_run(&ring, "close again");
	ring_sqe(&ring, IORING_OP_CLOSE, ring.fd, NULL, 0, 0, 1);
	ring_run(&ring, "close the ring by itself");
	ring_sqe(&ring, IORING_OP_CLOSE, 1, NULL, 5, 0, 1);
	ring_run(&ring, "close with a length");
	ring_close(&ring);
}

static long reg(struct ring *ring, unsigned op, const void *arg, unsigned nr)
{
	return syscall(SYS_io_uring_register, ring->fd, op, arg, nr);
}

static void fixed_files(void)
{
	int p[2], fds[3] = { -1, -1, -1 }, bad = 99;
	struct io_uring_files_update update = { .offset = 1 };
	struct ring ring, other;
	char buf[8] = "";

	MUST(pipe(p));
	ring_open(&ring, 8, 0);
	ring_open(&other, 1, 0);
	SHOW("unregister none", reg(&ring, IORING_UNREGISTER_FILES, NULL, 0));
	SHOW("register none", reg(&ring, IORING_REGISTER_FILES, fds, 0));
	SHOW("register a bad one", reg(&ring, IORING_REGISTER_FILES, &bad, 1));
	SHOW("register another ring", reg(&ring, IORING_REGISTER_FILES, &other.fd, 1));
	fds[0] = p[0];
	SHOW("register", reg(&ring, IORING_REGISTER_FILES, fds, 3));
	SHOW("register twice", reg(&ring, IORING_REGISTER_FILES, fds, 3));
	update.fds = (uintptr_t)&p[1];
	SHOW("update", reg(&ring, IORING_REGISTER_FILES_UPDATE, &update, 1));
	update.offset = 3;
	SHOW("update outside", reg(&ring, IORING_REGISTER_FILES_UPDATE, &update, 1));
	SHOW("update none", reg(&ring, IORING_REGISTER_FILES_UPDATE, &update, 0));
	close(p[0]);
	close(p[1]);
	ring_sqe(&ring, IORING_OP_WRITE, 1, "fixed", 5, 0, 1)->flags = IOSQE_FIXED_FILE;
	ring_run(&ring, "write to slot 1");
	ring_sqe(&ring, IORING_OP_READ, 0, buf, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
	ring_run(&ring, "read from slot 0");
	printf("%s\n", buf);
	ring_sqe(&ring, IORING_OP_READ, 2, buf, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
	ring_run(&ring, "empty slot");
	ring_sqe(&ring, IORING_OP_READ, 77, buf, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
	ring_run(&ring, "no such slot");
	ring_sqe(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 2;
	ring_run(&ring, "close slot 1");
	ring_sqe(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 2;
	ring_run(&ring, "close it again");
	ring_sqe(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 9;
	ring_run(&ring, "close outside");
	ring_sqe(&ring, IORING_OP_CLOSE, 1, NULL, 0, 0, 1)->flags = IOSQE_FIXED_FILE;
	ring_run(&ring, "close with the flag");
	ring_sqe(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 1;
	ring_run(&ring, "close slot 0");
	SHOW("unregister with arguments", reg(&ring, IORING_UNREGISTER_FILES, fds, 1));
	SHOW("unregister", reg(&ring, IORING_UNREGISTER_FILES, NULL, 0));
	ring_close(&other);
	ring_close(&ring);
}

static void fixed_buffers(void)
{
	static char area[8192] __attribute__((aligned(4096)));
	struct iovec iov = { area, sizeof(area) }, bad = { NULL, 4096 }, empty = { area, 0 };
	int fd = MUST(open("uring-file", O_RDWR | O_TRUNC));
	struct ring ring;

	ring_open(&ring, 8, 0);
	SHOW("unregister none", reg(&ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	SHOW("register none", reg(&ring, IORING_REGISTER_BUFFERS, &iov, 0));
	SHOW("register null", reg(&ring, IORING_REGISTER_BUFFERS, &bad, 1));
	SHOW("register empty", reg(&ring, IORING_REGISTER_BUFFERS, &empty, 1));
	ring_sqe(&ring, IORING_OP_READ_FIXED, fd, area, 8, 0, 1);
	ring_run(&ring, "read before there are any");
	SHOW("register", reg(&ring, IORING_REGISTER_BUFFERS, &iov, 1));
	SHOW("register twice", reg(&ring, IORING_REGISTER_BUFFERS, &iov, 1));
	memcpy(area + 10, "buffer", 6);
	ring_sqe(&ring, IORING_OP_WRITE_FIXED, fd, area + 10, 6, 0, 1);
	ring_run(&ring, "write fixed");
	ring_sqe(&ring, IORING_OP_READ_FIXED, fd, area + 8000, 100, 0, 1);
	ring_run(&ring, "read fixed");
	printf("%.6s\n", area + 8000);
	ring_sqe(&ring, IORING_OP_READ_FIXED, fd, area + 8000, 193, 0, 1);
	ring_run(&ring, "beyond the buffer");
	ring_sqe(&ring, IORING_OP_READ_FIXED, fd, area - 1, 8, 0, 1);
	ring_run(&ring, "before the buffer");
	ring_sqe(&ring, IORING_OP_READ_FIXED, fd, area, 8, 0, 1)->buf_index = 1;
	ring_run(&ring, "no such buffer");
	SHOW("unregister", reg(&ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	ring_close(&ring);
	close(fd);
}

static void events(void)
{
	struct ring ring;
	int efd = MUST(eventfd(0, EFD_NONBLOCK)), p[2];
	struct pollfd pfd;
	uint64_t v = 0;

	MUST(pipe(p));
	ring_open(&ring, 4, 0);
	pfd = (struct pollfd){ ring.fd, POLLIN | POLLOUT, 0 };
	SHOW("poll a fresh ring", poll(&pfd, 1, 0));
	printf("revents %#x\n", pfd.revents);
	SHOW("unregister none", reg(&ring, IORING_UNREGISTER_EVENTFD, NULL, 0));
	SHOW("register a pipe", reg(&ring, IORING_REGISTER_EVENTFD, &p[0], 1));
	SHOW("register two", reg(&ring, IORING_REGISTER_EVENTFD, &efd, 2));
	SHOW("register", reg(&ring, IORING_REGISTER_EVENTFD, &efd, 1));
	SHOW("register twice", reg(&ring, IORING_REGISTER_EVENTFD, &efd, 1));
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	SHOW("enter", ring_enter(&ring, 0));
	SHOW("eventfd", read(efd, &v, 8));
	SHOW("poll", poll(&pfd, 1, 0));
	printf("revents %#x\n", pfd.revents);
	ring_show(&ring, "nop", 1);
	*ring_word(&ring, ring.params.cq_off.flags) = IORING_CQ_EVENTFD_DISABLED;
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	ring_run(&ring, "silently");
	SHOW("eventfd", read(efd, &v, 8));
	SHOW("unregister", reg(&ring, IORING_UNREGISTER_EVENTFD, NULL, 0));
	ring_close(&ring);
	close(p[0]);
	close(p[1]);
	close(efd);
}

static void probe(void)
{
	static const int ops[] = { IORING_OP_NOP,      IORING_OP_READV,	  IORING_OP_READ,
				   IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, IORING_OP_URING_CMD,
				   IORING_OP_OPENAT,   IORING_OP_STATX };
	char buf[sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op)] = "";
	struct io_uring_probe *p = (void *)buf;
	struct ring ring;

	ring_open(&ring, 1, 0);
	SHOW("probe too much", reg(&ring, IORING_REGISTER_PROBE, p, 257));
	SHOW("probe", reg(&ring, IORING_REGISTER_PROBE, p, 256));
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		printf("op %d: %d\n", ops[i], p->ops[ops[i]].flags);
	printf("op 255: %d\n", p->ops[255].flags);
	SHOW("probe into what is not zero", reg(&ring, IORING_REGISTER_PROBE, p, 256));
	SHOW("unknown", reg(&ring, 200, NULL, 0));
	SHOW("enable what runs", reg(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	SHOW("personality", reg(&ring, IORING_REGISTER_PERSONALITY, NULL, 0));
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->personality = 1;
	ring_run(&ring, "as it");
	SHOW("forget it", reg(&ring, IORING_UNREGISTER_PERSONALITY, NULL, 1));
	SHOW("forget it twice", reg(&ring, IORING_UNREGISTER_PERSONALITY, NULL, 1));
	ring_close(&ring);
	ring_open(&ring, 1, IORING_SETUP_R_DISABLED);
	ring_sqe(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
	SHOW("enter a disabled ring", ring_enter(&ring, 0));
	SHOW("enable it", reg(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	ring_run(&ring, "now");
	ring_close(&ring);
}

static void sockets(void)
{
	struct iovec iov = { "x", 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	char buf[8] = "";
	struct ring ring;
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ring_open(&ring, 4, 0);
	ring_sqe(&ring, IORING_OP_RECV, s[0], buf, 8, 0, 1);
	SHOW("receive later", ring_enter(&ring, 0));
	ring_sqe(&ring, IORING_OP_SEND, s[1], "packet", 6, 0, 2);
	SHOW("send", ring_enter(&ring, 2));
	ring_show(&ring, "both", 2);
	printf("%s\n", buf);
	ring_sqe(&ring, IORING_OP_RECV, s[0], buf, 8, 0, 1)->msg_flags = MSG_DONTWAIT;
	ring_run(&ring, "receive nothing at once");
	ring_sqe(&ring, IORING_OP_SEND, 1, "x", 1, 0, 1);
	ring_sqe(&ring, IORING_OP_URING_CMD, s[0], NULL, 0, 12345, 2);
	ring_run(&ring, "send to no socket; a command it does not know");
	memcpy(CMSG_DATA(&control.head), &ring.fd, sizeof(int));
	SHOW("send the ring", sendmsg(s[0], &msg, 0));
	ring_close(&ring);
	close(s[0]);
	close(s[1]);
}

int main(void)
{
	ring_needed();
	setup_errors();
	sizes();
	mappings();
	enter_errors();
	nops();
	files();
	names();
	fixed_files();
	fixed_buffers();
	events();
	probe();
	sockets();
	return 0;
}

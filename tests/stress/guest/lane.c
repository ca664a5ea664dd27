/*
 * A FUSE daemon without a library, as a busy one that everything happens to: signals with handlers that make
 * calls themselves, with and without SA_RESTART, from a timer and from another thread; stops; children that
 * are forked and spawned; threads that come and go; addresses that are not there, or no more. Each request is answered once, and each answer must
 * reach the client in order.
 *
 *	lane ROUNDS
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYSTANDERS 3

static const char *dir = "/tmp/lane-mount";
static int rounds, device, pipe_fds[2];
static pthread_t server;
static atomic_bool done, bystanding = true;
static atomic_long handled, bytes;
static long interrupted, requests;

static void check(int good, const char *what)
{
	if (good)
		return;
	printf("%s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* Calls in a handler: they must not touch what the interrupted one is about. */
static void on_signal(int signo)
{
	int saved = errno;
	struct stat st;
	char byte = 'x';

	(void)signo;
	check(fstat(pipe_fds[0], &st) == 0 && S_ISFIFO(st.st_mode), "fstat in a handler");
	check(write(pipe_fds[1], &byte, 1) == 1, "write in a handler");
	check(read(pipe_fds[0], &byte, 1) == 1 && byte == 'x', "read in a handler");
	atomic_fetch_add(&handled, 1);
	errno = saved;
}

static void install(int signo, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGALRM);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(signo, &action, NULL);
}

static void answer(uint64_t unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = { .len = sizeof(out) + len, .error = -error, .unique = unique };
	struct iovec iov[] = { { &out, sizeof(out) }, { (void *)data, len } };
	ssize_t n = writev(device, iov, len ? 2 : 1);

	/* ENOENT: the client has been interrupted meanwhile, which ours is not. */
	check(n == (ssize_t)out.len, "answer");
}

static void attributes(uint64_t unique)
{
	static uint64_t counter;
	struct fuse_attr_out out = { .attr = { .ino = 1, .size = ++counter, .nlink = 2, .mode = S_IFDIR | 0755 } };

	answer(unique, 0, &out, sizeof(out));
}

static void serve(const char *buf, ssize_t len)
{
	const struct fuse_in_header *in = (const void *)buf;
	static uint64_t last;

	check(len >= (ssize_t)sizeof(*in) && in->len == len, "request");
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT)
		return;
	check(in->unique > last, "a request that has been seen before");
	last = in->unique;
	requests++;
	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out out = { .major = 7, .minor = 31, .max_write = 4096, .max_readahead = 4096 };

		answer(in->unique, 0, &out, sizeof(out));
		break;
	}
	case FUSE_GETATTR:
		attributes(in->unique);
		break;
	case FUSE_LOOKUP:
		answer(in->unique, ENOENT, NULL, 0);
		break;
	default:
		answer(in->unique, ENOSYS, NULL, 0);
	}
}

/* Children have their own copy of everything, the text included. */
static void child(int spawned)
{
	char buf[64], *argv[] = { "true", NULL }, *envp[] = { NULL };
	int status, fd;
	pid_t pid;

	if (spawned) {
		check(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, envp) == 0, "spawn");
	} else if (!(pid = fork())) {
		for (int i = 0; i < 50; i++) {
			fd = open("/proc/self/comm", O_RDONLY);
			if (fd < 0 || read(fd, buf, sizeof(buf)) != 5 || memcmp(buf, "lane\n", 5) || close(fd))
				_exit(3);
		}
		_exit(0);
	}
	check(pid > 0, "fork");
	while (waitpid(pid, &status, 0) < 0)
		check(errno == EINTR, "wait");
	check(status == 0, "the child's end");
}

/* No fault of ours: each of these calls is given an address, and says what it thinks of it. */
static void on_fault(int signo)
{
	printf("signal %d\n", signo);
	fflush(stdout);
	_exit(1);
}

static void expect(long got, long result, int error, const char *what)
{
	if (got == result && (got >= 0 || errno == error))
		return;
	printf("%s: %ld instead of %ld: %s\n", what, got, result, strerror(errno));
	fflush(stdout);
	_exit(1);
}

/* A page behind which there is none, and what was in it before it went away: its data must come in and go out. */
static void good_addresses(char *page, int scratch)
{
	char name[400];
	struct iovec iov[12];
	struct stat st;

	for (size_t i = 0; i < sizeof(iov) / sizeof(*iov); i++)
		iov[i] = (struct iovec){ page + 4096 - 64 * (i + 1), 64 };
	memset(page, 'a' + requests % 26, 4096);
	for (int nr = 1; nr <= 12; nr++)
		expect(pwritev(scratch, iov, nr, 0), 64l * nr, 0, "segments");
	expect(pwrite(scratch, page, 4096, 0), 4096, 0, "a page");
	expect(pread(scratch, page + 4096 - 64, 64, 0), 64, 0, "a read up to the end");
	memset(page, 0, 4096);
	expect(pread(scratch, page, 4096, 0), 4096, 0, "a page back");
	for (int i = 0; i < 4096; i++)
		check(page[i] == 'a' + requests % 26, "the page's bytes");
	strcpy(page + 4096 - 5, "/tmp");
	expect(stat(page + 4096 - 5, &st), 0, 0, "a path up to the end");
	memset(name, '/', sizeof(name));
	strcpy(name + 300, "tmp");
	expect(stat(name, (void *)page), 0, 0, "a long path");
	check(S_ISDIR(((struct stat *)page)->st_mode), "what stat says");
}

static void bad_addresses(void)
{
	static char *page;
	static int scratch = -1;
	struct iovec iov[2] = { { NULL, 64 }, { NULL, 64 } };
	struct stat st;

	if (scratch < 0) {
		scratch = open("/tmp/lane-scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);
		check(scratch >= 0, "scratch file");
	}
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(page != MAP_FAILED && mprotect(page + 4096, 4096, PROT_NONE) == 0, "mmap");
	good_addresses(page, scratch);
	memset(page, 'x', 4096);
	expect(pwrite(scratch, NULL, 64, 0), -1, EFAULT, "a write from nowhere");
	expect(pwritev(scratch, NULL, 2, 0), -1, EFAULT, "segments nowhere");
	expect(pwritev(scratch, iov, 2, 0), -1, EFAULT, "segments from nowhere");
	iov[0].iov_base = page;
	expect(pwritev(scratch, iov, 2, 0), 64, 0, "a second segment from nowhere");
	expect(pwrite(scratch, page + 4096 - 10, 64, 0), 10, 0, "a write over the end");
	expect(stat(NULL, &st), -1, EFAULT, "a path nowhere");
	expect(stat(page + 4096 - 5, &st), -1, EFAULT, "a path over the end");
	expect(pread(scratch, page, 64, 0), 64, 0, "a read");
	check(mprotect(page, 4096, PROT_READ) == 0, "mprotect");
	expect(pread(scratch, page, 64, 0), -1, EFAULT, "a read into what is not to be written");
	expect(fstat(scratch, (void *)page), -1, EFAULT, "stat into it");
	check(munmap(page, 8192) == 0, "munmap");
	expect(pread(scratch, page, 64, 0), -1, EFAULT, "a read into what has gone");
	expect(pwrite(scratch, page, 64, 0), -1, EFAULT, "a write from what has gone");
}

static void *passer_by(void *unused)
{
	struct stat st;

	(void)unused;
	for (int i = 0; i < 20; i++)
		check(stat("/", &st) == 0 && S_ISDIR(st.st_mode), "stat in a thread");
	return NULL;
}

static void *server_main(void *unused)
{
	static char buf[1 << 17];
	pthread_t thread;

	(void)unused;
	for (;;) {
		ssize_t len = read(device, buf, sizeof(buf));

		if (len < 0 && errno == EINTR) {
			interrupted++;
			continue;
		}
		if (len < 0 && errno == ENODEV)
			break;
		check(len > 0, "read of the device");
		serve(buf, len);
		if (requests % 500 == 0)
			child(requests % 1000 == 0);
		if (requests == 300)
			atomic_store(&bystanding, false);
		if (requests % 50 == 0)
			bad_addresses();
		if (requests % 300 == 0) {
			check(pthread_create(&thread, NULL, passer_by, NULL) == 0, "thread");
			pthread_join(thread, NULL);
		}
	}
	atomic_store(&done, true);
	return NULL;
}

/* In the text that is rewritten, while it is rewritten. */
static void *bystander(void *unused)
{
	struct stat st;
	char byte;

	(void)unused;
	while (atomic_load(&bystanding)) {
		check(read(-1, &byte, 1) < 0 && errno == EBADF, "read of nothing");
		check(close(-1) < 0 && errno == EBADF, "close of nothing");
		check(fstat(pipe_fds[0], &st) == 0 && S_ISFIFO(st.st_mode), "fstat beside the server");
		check(lseek(pipe_fds[0], 0, SEEK_SET) < 0 && errno == ESPIPE, "lseek of a pipe");
	}
	return NULL;
}

static void *shooter(void *unused)
{
	(void)unused;
	while (!atomic_load(&done)) {
		usleep(1000);
		if (!atomic_load(&done))
			pthread_kill(server, SIGUSR1);
	}
	return NULL;
}

static void client(pid_t daemon)
{
	struct stat st;
	long long last = 0;
	char name[64];

	for (int i = 0; i < rounds; i++) {
		check(stat(dir, &st) == 0, "stat");
		if (st.st_size <= last) {
			printf("size %lld after %lld\n", (long long)st.st_size, last);
			exit(1);
		}
		last = st.st_size;
		snprintf(name, sizeof(name), "%s/%d", dir, i);
		check(stat(name, &st) < 0 && errno == ENOENT, "a missing name");
		if (i % 400 == 399) {
			kill(daemon, SIGSTOP);
			usleep(2000);
			kill(daemon, SIGCONT);
		}
		if (i % 97 == 0)
			usleep(500); /* long enough for the daemon to give up waiting in the lane */
	}
	check(umount2(dir, MNT_DETACH) == 0, "umount");
	exit(0);
}

int main(int argc, char **argv)
{
	struct itimerval timer = { { 0, 3000 }, { 0, 3000 } }, off = { { 0, 0 }, { 0, 0 } };
	char options[128];
	pthread_t other, bystanders[BYSTANDERS];
	int status;
	pid_t pid;

	rounds = argc > 1 ? atoi(argv[1]) : 3000;
	mkdir(dir, 0755);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	check(device >= 0, "/dev/fuse");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d", device, getuid(), getgid());
	check(mount("lane", dir, "fuse", MS_NOSUID | MS_NODEV, options) == 0, "mount");
	check(pipe(pipe_fds) == 0, "pipe");
	install(SIGALRM, SA_RESTART);
	install(SIGUSR1, 0);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	pid = fork();
	if (!pid) {
		close(device);
		client(getppid());
	}
	for (int i = 0; i < BYSTANDERS; i++)
		check(pthread_create(&bystanders[i], NULL, bystander, NULL) == 0, "bystander");
	check(pthread_create(&server, NULL, server_main, NULL) == 0, "server");
	check(pthread_create(&other, NULL, shooter, NULL) == 0, "shooter");
	setitimer(ITIMER_REAL, &timer, NULL);
	while (waitpid(pid, &status, 0) < 0)
		check(errno == EINTR, "wait for the client");
	setitimer(ITIMER_REAL, &off, NULL);
	pthread_join(server, NULL);
	pthread_join(other, NULL);
	atomic_store(&bystanding, false);
	for (int i = 0; i < BYSTANDERS; i++)
		pthread_join(bystanders[i], NULL);
	check(status == 0, "the client's end");
	check(requests > 2 * rounds, "number of requests");
	check(atomic_load(&handled) > 0, "signals");
	printf("good\n");
	return 0;
}

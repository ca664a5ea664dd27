/* eventfd(2), timerfd_create(2), memfd_create(2), pidfd_open(2). */
#include "report.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static void counters(void)
{
	uint64_t v = 0;
	int fd = SHOW_FD("eventfd", eventfd(3, EFD_NONBLOCK));
	struct pollfd p = { fd, POLLIN | POLLOUT };

	SHOW("read", read(fd, &v, 8));
	printf("value %lu\n", v);
	SHOW("read empty", read(fd, &v, 8));
	SHOW("read short", read(fd, &v, 4));
	v = 5;
	SHOW("write", write(fd, &v, 8));
	SHOW("write short", write(fd, &v, 4));
	v = UINT64_MAX;
	SHOW("write the impossible", write(fd, &v, 8));
	v = UINT64_MAX - 1;
	SHOW("write too much", write(fd, &v, 8));
	v = UINT64_MAX - 1 - 5;
	SHOW("write to the brim", write(fd, &v, 8));
	SHOW("poll", poll(&p, 1, 0));
	printf("revents %#x\n", p.revents);
	SHOW("lseek", lseek(fd, 0, SEEK_SET));
	SHOW("pread", pread(fd, &v, 8, 0));
	close(fd);
	fd = MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
	SHOW("semaphore", (read(fd, &v, 8), (long)v));
	SHOW("semaphore", (read(fd, &v, 8), (long)v));
	SHOW("semaphore empty", read(fd, &v, 8));
	close(fd);
	SHOW("bad flags", eventfd(0, 1 << 20));
	fd = MUST(eventfd(0, EFD_CLOEXEC));
	SHOW("cloexec", fcntl(fd, F_GETFD));
	printf("flags %#o\n", fcntl(fd, F_GETFL));
	close(fd);
}

static void *signal_it(void *arg)
{
	usleep(20000);
	eventfd_write(*(int *)arg, 42);
	return NULL;
}

static void blocking(void)
{
	int fd = MUST(eventfd(0, 0));
	pthread_t thread;
	eventfd_t v;

	pthread_create(&thread, NULL, signal_it, &fd);
	SHOW("blocking read", eventfd_read(fd, &v));
	printf("value %lu\n", v);
	pthread_join(thread, NULL);
	close(fd);
}

static uint64_t ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void timers(void)
{
	struct itimerspec it = { .it_value = { 0, 20000000 } }, old;
	struct pollfd p = { .events = POLLIN };
	uint64_t n = 0, start;
	int fd = SHOW_FD("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));

	p.fd = fd;
	SHOW("gettime unarmed", timerfd_gettime(fd, &old));
	printf("%ld.%ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
	SHOW("read unarmed", read(fd, &n, 8));
	it.it_value.tv_sec = 1000;
	SHOW("settime", timerfd_settime(fd, 0, &it, NULL));
	SHOW("read early", read(fd, &n, 8));
	it.it_value.tv_sec = 0;
	MUST(timerfd_settime(fd, 0, &it, NULL));
	SHOW("poll", poll(&p, 1, -1));
	SHOW("read", read(fd, &n, 8));
	printf("expirations %lu\n", n);
	SHOW("read again", read(fd, &n, 8));
	it.it_interval.tv_nsec = 10000000;
	start = ms_now();
	MUST(timerfd_settime(fd, 0, &it, NULL));
	usleep(100000);
	SHOW("read interval", read(fd, &n, 8));
	CHECK(n >= 8 && n <= (ms_now() - start) / 10);
	memset(&it, 0, sizeof(it));
	SHOW("disarm", timerfd_settime(fd, 0, &it, &old));
	CHECK(old.it_interval.tv_nsec == 10000000);
	SHOW("read short", read(fd, &n, 4));
	it.it_value.tv_nsec = 1000000000;
	SHOW("bad time", timerfd_settime(fd, 0, &it, NULL));
	it.it_value.tv_nsec = 1;
	SHOW("bad flags", timerfd_settime(fd, 64, &it, NULL));
	SHOW("absolute, in the past", timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
	SHOW("poll", poll(&p, 1, -1));
	SHOW("read", read(fd, &n, 8));
	SHOW("bad clock", timerfd_create(77, 0));
	SHOW("bad create flags", timerfd_create(CLOCK_MONOTONIC, 1));
	SHOW("write", write(fd, &n, 8));
	SHOW("settime on another kind", timerfd_settime(1, 0, &it, NULL));
	close(fd);
}

static void memory(void)
{
	char buf[8], *map;
	struct stat st;
	int fd = SHOW_FD("memfd", memfd_create("name", MFD_ALLOW_SEALING));

	SHOW("write", write(fd, "hello", 5));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	printf("mapped %.5s\n", map);
	map[0] = 'J';
	SHOW("read", pread(fd, buf, 5, 0));
	printf("read %.5s\n", buf);
	munmap(map, 4096);
	MUST(fstat(fd, &st));
	printf("mode %o size %ld nlink %ld\n", st.st_mode, (long)st.st_size, (long)st.st_nlink);
	SHOW("seals", fcntl(fd, F_GET_SEALS));
	SHOW("seal size", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
	SHOW("grow", ftruncate(fd, 100));
	SHOW("shrink", ftruncate(fd, 1));
	SHOW("same size", ftruncate(fd, 5));
	SHOW("write beyond", pwrite(fd, "x", 1, 5));
	SHOW("write inside", pwrite(fd, "x", 1, 4));
	SHOW("seal seals", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	SHOW("one more seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	SHOW("seals", fcntl(fd, F_GET_SEALS));
	close(fd);
	fd = MUST(memfd_create("plain", MFD_CLOEXEC));
	SHOW("seals without ALLOW_SEALING", fcntl(fd, F_GET_SEALS));
	SHOW("adding one", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	SHOW("cloexec", fcntl(fd, F_GETFD));
	SHOW("bad flag", memfd_create("x", 0x80));
	SHOW("bad name", memfd_create((char *)8, 0));
	SHOW("seals of another kind", fcntl(1, F_GET_SEALS));
	close(fd);
}

static void processes(void)
{
	struct pollfd p = { .events = POLLIN };
	int fd, status, self;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	fd = SHOW_FD("pidfd_open", syscall(SYS_pidfd_open, child, 0));
	p.fd = fd;
	SHOW("cloexec", fcntl(fd, F_GETFD));
	SHOW("poll running", poll(&p, 1, 0));
	SHOW("signal 0", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW("bad signal", syscall(SYS_pidfd_send_signal, fd, 99, NULL, 0));
	SHOW("bad flags", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 64));
	SHOW("SIGKILL", syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
	SHOW("poll killed", poll(&p, 1, 5000));
	printf("readable %d\n", (p.revents & POLLIN) != 0);
	MUST(waitpid(child, &status, 0));
	printf("signal %d\n", WTERMSIG(status));
	SHOW("signal to the reaped", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW("read", read(fd, &status, 4));
	close(fd);
	SHOW("nobody", syscall(SYS_pidfd_open, 4000000, 0));
	SHOW("negative", syscall(SYS_pidfd_open, -1, 0));
	SHOW("bad flags", syscall(SYS_pidfd_open, getpid(), 64));
	self = MUST(syscall(SYS_pidfd_open, getpid(), 0));
	fd = MUST(open("g", O_CREAT | O_RDWR, 0600));
	SHOW_FD("pidfd_getfd", syscall(SYS_pidfd_getfd, self, fd, 0));
	SHOW("pidfd_getfd not open", syscall(SYS_pidfd_getfd, self, 99, 0));
	SHOW("pidfd_getfd on no pidfd", syscall(SYS_pidfd_getfd, fd, fd, 0));
	close(self);
	close(fd);
}

int main(void)
{
	counters();
	blocking();
	timers();
	memory();
	processes();
	return 0;
}

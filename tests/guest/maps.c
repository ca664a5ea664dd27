/* mmap(2) of files: private and shared, coherent with read and write, over truncation and fork. */
#include "report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static sigjmp_buf jump;

static void on_fault(int signo)
{
	siglongjmp(jump, signo);
}

/* 0, or the signal that looking at the byte gives. */
static int touch(volatile char *at, int write_it)
{
	int signo = sigsetjmp(jump, 1);

	if (signo)
		return signo;
	if (write_it)
		*at = 'w';
	else
		(void)*at;
	return 0;
}

static int fd_of(const char *name, const char *text, int size)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	MUST(pwrite(fd, text, strlen(text), 0));
	MUST(ftruncate(fd, size));
	return fd;
}

static void shared(void)
{
	int fd = fd_of("shared", "hello", 5000);
	char buf[16] = "", *a, *b;
	struct stat st;

	a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	printf("maps %.5s %.5s\n", a, b);
	memcpy(a, "HELLO", 5);
	printf("other map sees %.5s\n", b);
	SHOW("read sees", pread(fd, buf, 5, 0));
	printf("%s\n", buf);
	MUST(pwrite(fd, "world", 5, 0));
	printf("maps see %.5s %.5s\n", a, b);
	MUST(pwrite(fd, "grown", 5, 6000));
	printf("map sees growth: %.5s\n", a + 6000);
	a[4999] = 'e';
	SHOW("msync", msync(a, 8192, MS_SYNC));
	MUST(pread(fd, buf, 1, 4999));
	printf("byte %c\n", buf[0]);
	MUST(fstat(fd, &st));
	printf("size %ld\n", (long)st.st_size);
	close(fd);
	memcpy(a, "after", 5);
	fd = MUST(open("shared", O_RDONLY));
	MUST(pread(fd, buf, 5, 0));
	printf("written after close: %.5s\n", buf);
	close(fd);
	MUST(unlink("shared"));
	printf("unlinked, still mapped: %.5s\n", b);
	munmap(a, 8192);
	munmap(b, 8192);
}

static void private(void)
{
	int fd = fd_of("private", "hello", 4096);
	char buf[8] = "", *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	a[0] = 'J';
	MUST(pread(fd, buf, 5, 0));
	printf("map %.5s file %.5s\n", a, buf);
	MUST(pwrite(fd, "world", 5, 0));
	printf("written page keeps %.5s\n", a);
	munmap(a, 4096);
	a = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST(pwrite(fd, "fresh", 5, 0));
	printf("untouched page shows %.5s\n", a);
	munmap(a, 4096);
	close(fd);
}

static void errors(void)
{
	int fd = fd_of("f", "x", 4096), ro = MUST(open("f", O_RDONLY));
	int wo = MUST(open("f", O_WRONLY)), path = MUST(open("f", O_PATH)), p[2];
	int dir = MUST(open(".", O_RDONLY));
	char *a;

#define MAP(what, prot, flags, fd, len, off)                                                       \
	({                                                                                         \
		char *m_ = mmap(NULL, len, prot, flags, fd, off);                                  \
		printf("%s: %s\n", what, m_ == MAP_FAILED ? strerrorname_np(errno) : "mapped");    \
		m_;                                                                                \
	})
	MUST(pipe(p));
	MAP("read-only shared, readable", PROT_READ, MAP_SHARED, ro, 4096, 0);
	MAP("read-only shared, writable", PROT_READ | PROT_WRITE, MAP_SHARED, ro, 4096, 0);
	MAP("read-only private, writable", PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 4096, 0);
	MAP("write-only", PROT_READ, MAP_PRIVATE, wo, 4096, 0);
	MAP("write-only shared", PROT_WRITE, MAP_SHARED, wo, 4096, 0);
	MAP("O_PATH", PROT_READ, MAP_PRIVATE, path, 4096, 0);
	MAP("pipe", PROT_READ, MAP_PRIVATE, p[0], 4096, 0);
	MAP("directory", PROT_READ, MAP_PRIVATE, dir, 4096, 0);
	MAP("not open", PROT_READ, MAP_PRIVATE, 99, 4096, 0);
	MAP("no length", PROT_READ, MAP_PRIVATE, fd, 0, 0);
	MAP("odd offset", PROT_READ, MAP_PRIVATE, fd, 4096, 100);
	MAP("no type", PROT_READ, 0, fd, 4096, 0);
	MAP("both types is validated", PROT_READ, MAP_SHARED | MAP_PRIVATE, fd, 4096, 0);
	MAP("beyond the end", PROT_READ, MAP_SHARED, fd, 4096, 1 << 20);
	a = MAP("protect later", PROT_READ, MAP_SHARED, ro, 4096, 0);
	SHOW("mprotect of a read-only file", mprotect(a, 4096, PROT_READ | PROT_WRITE));
	a = MAP("protect later", PROT_READ, MAP_SHARED, fd, 4096, 0);
	SHOW("mprotect of a writable file", mprotect(a, 4096, PROT_READ | PROT_WRITE));
	MAP("/dev/zero", PROT_READ | PROT_WRITE, MAP_PRIVATE, open("/dev/zero", O_RDWR), 4096, 0);
	a = MAP("anonymous with a descriptor", PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 99, 4096, 0);
	closefrom(3);
}

static void faults(void)
{
	int fd = fd_of("f", "x", 100);
	char *a;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	a = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	printf("inside %d, rest of the page %d, beyond %d\n", touch(a, 0), touch(a + 200, 0), touch(a + 4096, 0));
	printf("rest of the page is zero: %d\n", a[200]);
	MUST(ftruncate(fd, 2 * 4096));
	printf("after growing %d %d\n", touch(a + 4096, 1), touch(a + 2 * 4096, 0));
	MUST(ftruncate(fd, 10));
	printf("after shrinking %d %d\n", touch(a, 0), touch(a + 4096, 0));
	MUST(ftruncate(fd, 2 * 4096));
	printf("grown again reads %d\n", a[4096]);
	a = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	printf("write to a read-only map %d\n", touch(a, 1));
	close(fd);
	MUST(fallocate(fd = MUST(open("f", O_RDWR)), 0, 0, 8192));
	MUST(pwrite(fd, "data", 4, 4096));
	a = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	(void)*(volatile char *)(a + 4096);
	SHOW("punch below a map", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
	printf("map shows zero: %d\n", a[4096]);
	close(fd);
}

static void forked(void)
{
	int fd = fd_of("forked", "parent", 4096), status;
	char *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char buf[8] = "";

	b[0] = 'P';
	if (fork() == 0) {
		char *c = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		memcpy(c, "child!", 6);
		b[1] = 'x';
		munmap(c, 4096);
		_exit(0);
	}
	MUST(wait(&status));
	printf("shared %.6s private %.6s\n", a, b);
	MUST(pread(fd, buf, 6, 0));
	printf("file %.6s\n", buf);
	close(fd);
}

/* The descriptor of a map is reused at once for other files. */
static void reuse(void)
{
	char *maps[20], name[16];
	int same = 0;

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		int fd = fd_of(name, name, 4096);

		maps[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, i % 2 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		if (i % 3 == 0)
			close(fd);
		else if (i % 3 == 1)
			dup2(1, fd);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		same += !strcmp(maps[i], name);
	}
	printf("maps that show their own file: %d\n", same);
	closefrom(3);
}

/* System calls take their data from mapped files and put it there. */
static void as_buffers(void)
{
	int fd = fd_of("buf", "mapped text", 4096), p[2];
	char *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST(pipe(p));
	SHOW("write from a map", write(p[1], a, 11));
	SHOW("read into a map", read(p[0], a + 100, 11));
	printf("%.11s\n", a + 100);
	SHOW("read of a file into its own map", pread(fd, a + 200, 11, 0));
	printf("%.11s\n", a + 200);
	closefrom(3);
}

int main(void)
{
	shared();
	private();
	errors();
	faults();
	forked();
	reuse();
	as_buffers();
	return 0;
}

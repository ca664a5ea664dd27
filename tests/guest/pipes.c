/* pipe(2), FIFOs, SIGPIPE, splice and tee between pipes. */
#include "report.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static int sigpipes;

static void on_pipe(int signo)
{
	sigpipes++;
}

static void basics(void)
{
	char buf[64];
	int p[2], n;
	struct stat st;

	TRY(pipe2(p, 1 << 20));
	TRY(pipe((int *)8));
	MUST(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	printf("flags %#o %#o cloexec %d\n", fcntl(p[0], F_GETFL), fcntl(p[1], F_GETFL),
	       fcntl(p[0], F_GETFD));
	MUST(fstat(p[0], &st));
	printf("mode %o size %ld\n", st.st_mode, (long)st.st_size);
	SHOW("read empty", read(p[0], buf, 8));
	SHOW("write", write(p[1], "hello", 5));
	SHOW("write more", write(p[1], "world", 5));
	MUST(ioctl(p[0], FIONREAD, &n));
	printf("FIONREAD %d\n", n);
	SHOW("read joins", read(p[0], buf, 64));
	SHOW("read the write end", read(p[1], buf, 1));
	SHOW("write the read end", write(p[0], buf, 1));
	close(p[1]);
	SHOW("end of file", read(p[0], buf, 8));
	close(p[0]);
	MUST(pipe(p));
	close(p[0]);
	signal(SIGPIPE, on_pipe);
	SHOW("no reader", write(p[1], "x", 1));
	printf("SIGPIPE %d\n", sigpipes);
	SHOW("no reader, nothing to write", write(p[1], "x", 0));
	signal(SIGPIPE, SIG_IGN);
	SHOW("no reader, ignored", write(p[1], "x", 1));
	printf("SIGPIPE %d\n", sigpipes);
	close(p[1]);
}

static void capacity(void)
{
	static char big[1 << 20];
	int p[2];
	long total = 0, n;

	MUST(pipe2(p, O_NONBLOCK));
	SHOW("F_GETPIPE_SZ", fcntl(p[0], F_GETPIPE_SZ));
	while ((n = write(p[1], big, 4096)) > 0)
		total += n;
	printf("full after %ld: %s\n", total, strerrorname_np(errno));
	SHOW("grow", fcntl(p[1], F_SETPIPE_SZ, 200000));
	SHOW("write goes on", write(p[1], big, 4096));
	SHOW("shrink while full", fcntl(p[1], F_SETPIPE_SZ, 4096));
	SHOW("read all", read(p[0], big, sizeof(big)));
	SHOW("shrink", fcntl(p[1], F_SETPIPE_SZ, 1));
	SHOW("partial write", write(p[1], big, 10000));
	SHOW("nothing fits", write(p[1], big, 1));
	MUST(read(p[0], big, 100));
	SHOW("F_GETPIPE_SZ of another kind", fcntl(open("f", O_CREAT | O_RDWR, 0600), F_GETPIPE_SZ));
	closefrom(3);
	MUST(pipe2(p, O_NONBLOCK));
	MUST(fcntl(p[1], F_SETPIPE_SZ, 8192));
	MUST(write(p[1], big, 8192 - 100));
	SHOW("no part of an atomic write", write(p[1], big, 4096));
	closefrom(3);
}

static void *drain(void *arg)
{
	char buf[5000];
	long total = 0, n;

	while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
		total += n;
	return (void *)total;
}

static void streaming(void)
{
	static char big[300000];
	pthread_t thread;
	void *total;
	int p[2];

	MUST(pipe(p));
	pthread_create(&thread, NULL, drain, &p[0]);
	SHOW("blocking write of more than fits", write(p[1], big, sizeof(big)));
	close(p[1]);
	pthread_join(thread, &total);
	printf("drained %ld\n", (long)total);
	close(p[0]);
}

static void packets(void)
{
	char buf[64];
	int p[2];

	MUST(pipe2(p, O_DIRECT | O_NONBLOCK));
	MUST(write(p[1], "one", 3));
	MUST(write(p[1], "three", 5));
	SHOW("packet", read(p[0], buf, 64));
	SHOW("packet cut", read(p[0], buf, 2));
	SHOW("rest is lost", read(p[0], buf, 64));
	closefrom(3);
}

static void *open_reader(void *arg)
{
	return (void *)(long)open("fifo", O_RDONLY);
}

static void fifos(void)
{
	pthread_t thread;
	void *reader;
	char buf[8];
	int w, rw;

	MUST(mkfifo("fifo", 0600));
	SHOW("writer without reader", open("fifo", O_WRONLY | O_NONBLOCK));
	pthread_create(&thread, NULL, open_reader, NULL);
	w = SHOW_FD("writer meets reader", open("fifo", O_WRONLY));
	pthread_join(thread, &reader);
	MUST(write(w, "hi", 2));
	SHOW("read", read((long)reader, buf, 8));
	close(w);
	SHOW("end of file", read((long)reader, buf, 8));
	w = SHOW_FD("a writer again", open("fifo", O_WRONLY | O_NONBLOCK));
	MUST(write(w, "again", 5));
	SHOW("read", read((long)reader, buf, 8));
	closefrom(3);
	rw = SHOW_FD("both ways", open("fifo", O_RDWR | O_NONBLOCK));
	MUST(write(rw, "loop", 4));
	SHOW("read own", read(rw, buf, 8));
	SHOW("empty, but has a writer", read(rw, buf, 8));
	close(rw);
	rw = MUST(open("fifo", O_RDONLY | O_NONBLOCK));
	SHOW("no writer", read(rw, buf, 8));
	close(rw);
}

static void plumbing(void)
{
	char buf[64];
	int a[2], b[2];

	MUST(pipe2(a, O_NONBLOCK));
	MUST(pipe2(b, O_NONBLOCK));
	MUST(write(a[1], "tee and splice", 14));
	SHOW("tee", tee(a[0], b[1], 100, 0));
	SHOW("copy", read(b[0], buf, 64));
	SHOW("tee part", tee(a[0], b[1], 3, 0));
	SHOW("splice", splice(a[0], NULL, b[1], NULL, 4, 0));
	SHOW("both", read(b[0], buf, 64));
	printf("%.7s\n", buf);
	SHOW("rest", read(a[0], buf, 64));
	SHOW("tee empty", tee(a[0], b[1], 100, SPLICE_F_NONBLOCK));
	SHOW("tee to itself", tee(a[0], a[1], 100, 0));
	SHOW("splice to itself", splice(a[0], NULL, a[1], NULL, 10, 0));
	struct iovec {
		void *base;
		size_t len;
	} iov[2] = { { "vm", 2 }, { "splice", 6 } };
	SHOW("vmsplice", syscall(SYS_vmsplice, a[1], iov, 2, 0));
	SHOW("vmsplice read end", ({ struct iovec in = { buf, 5 }; syscall(SYS_vmsplice, a[0], &in, 1, 0); }));
	printf("%.5s\n", buf);
	/* Lent memory: what is changed before it is taken counts (libfuse's reply headers). */
	static char lent[8] = "old data";
	struct iovec loan = { lent, 8 };
	MUST(read(a[0], buf, 64));
	SHOW("vmsplice of a buffer", syscall(SYS_vmsplice, a[1], &loan, 1, 0));
	MUST(write(a[1], " and more", 9));
	memcpy(lent, "new", 3);
	SHOW("splice of the buffer", splice(a[0], NULL, b[1], NULL, 64, 0));
	MUST(read(b[0], buf, 64));
	printf("%.17s\n", buf);
	closefrom(3);
}

static void killed(void)
{
	int p[2], status;

	MUST(pipe(p));
	close(p[0]); /* before the fork: no reader is left anywhere when the child writes */
	fflush(stdout);
	if (fork() == 0) {
		signal(SIGPIPE, SIG_DFL);
		write(p[1], "x", 1);
		_exit(0);
	}
	MUST(wait(&status));
	printf("child ended by signal %d\n", WTERMSIG(status));
	close(p[1]);
}

int main(void)
{
	basics();
	capacity();
	streaming();
	packets();
	fifos();
	plumbing();
	killed();
	return 0;
}

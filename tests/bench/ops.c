/*
 * The operations that tests/bench/run measures: `ops BASIC-DIR [FUSE-DIR [ANSWER-DIR]]` ("-": skip
 * it; ANSWER-DIR is a mount of tests/bench/daemon.c) prints one line "name nanoseconds" per operation, the time of one call in this run. Nothing of ours is linked in:
 * the same program runs natively, in the sandbox and in peers.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

static char path[4096], path2[4096], buf[1 << 20];
static int fd = -1, ping[2], pong[2];

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void report(const char *name, void (*op)(void), long n)
{
	long start, rounds[5], swap;

	op(); /* warm */
	for (int r = 0; r < 5; r++) {
		start = now_ns();
		for (long i = 0; i < n; i++)
			op();
		rounds[r] = (now_ns() - start) / n;
	}
	for (int i = 0; i < 5; i++)
		for (int j = i + 1; j < 5; j++)
			if (rounds[j] < rounds[i]) {
				swap = rounds[i];
				rounds[i] = rounds[j];
				rounds[j] = swap;
			}
	printf("%s %ld\n", name, rounds[2]);
	fflush(stdout);
}

static void op_umask(void)
{
	umask(022);
}

static void op_stat(void)
{
	struct stat st;

	if (stat(path, &st))
		die("stat");
}

static void op_open_close(void)
{
	int f = open(path, O_RDONLY);

	if (f < 0)
		die("open");
	close(f);
}

static void op_pread_64(void)
{
	if (pread(fd, buf, 64, 0) != 64)
		die("pread");
}

static void op_pread_4k(void)
{
	if (pread(fd, buf, 4096, 0) != 4096)
		die("pread");
}

static void op_pread_64k(void)
{
	if (pread(fd, buf, 65536, 0) != 65536)
		die("pread");
}

static void op_write_4k(void)
{
	if (pwrite(fd, buf, 4096, 0) != 4096)
		die("pwrite");
}

static void op_create_unlink(void)
{
	int f = open(path2, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (f < 0)
		die("create");
	close(f);
	if (unlink(path2))
		die("unlink");
}

static void op_lookup_missing(void)
{
	struct stat st;

	if (!stat(path2, &st))
		die("stat");
}

static void op_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void op_exec(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void *nothing(void *arg)
{
	return arg;
}

static void op_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL))
		die("pthread_create");
	pthread_join(thread, NULL);
}

static void op_pingpong(void)
{
	char c = 0;

	if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
		die("ping");
}

static pid_t start_echo(int sockets)
{
	pid_t pid;
	char c;

	if (sockets) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, ping))
			die("socketpair");
		pong[0] = ping[1];
		pong[1] = ping[0];
	} else if (pipe(ping) || pipe(pong)) {
		die("pipe");
	}
	pid = fork();
	if (pid == 0) {
		while (read(ping[0], &c, 1) == 1)
			if (write(pong[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	return pid;
}

static void measure_pingpong(const char *name, int sockets)
{
	pid_t pid = start_echo(sockets);

	report(name, op_pingpong, 500);
	kill(pid, 9);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(ping[i]);
		close(pong[i]);
	}
}

static void make_file(const char *dir, size_t size)
{
	int f;

	snprintf(path, sizeof(path), "%s/bench-file-with-a-name", dir);
	snprintf(path2, sizeof(path2), "%s/bench-other", dir);
	f = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (size_t done = 0; done < size; done += sizeof(buf))
		if (write(f, buf, sizeof(buf)) != sizeof(buf))
			die("write");
	close(f);
	fd = open(path, O_RDWR);
	if (fd < 0)
		die(path);
}

/* Bytes per second would read the other way round; ns per MiB keeps "less is better". */
static void measure_stream(const char *name, size_t chunk, int writing)
{
	size_t total = 64 << 20;
	long start, rounds[3];

	for (int r = 0; r < 3; r++) {
		start = now_ns();
		for (size_t done = 0; done < total; done += chunk) {
			off_t at = (off_t)done;
			ssize_t n = writing ? pwrite(fd, buf, chunk, at) : pread(fd, buf, chunk, at);

			if (n != (ssize_t)chunk)
				die(name);
		}
		rounds[r] = (now_ns() - start) / (long)(total >> 20);
	}
	long best = rounds[0];
	for (int r = 1; r < 3; r++)
		if (rounds[r] < best)
			best = rounds[r];
	printf("%s %ld\n", name, best);
}

static void op_readdir(void)
{
	DIR *dir = opendir(path);

	if (!dir)
		die("opendir");
	while (readdir(dir))
		;
	closedir(dir);
}

static void basic(const char *dir)
{
	report("trapped_trivial_call_umask", op_umask, 5000);
	make_file(dir, 1 << 20);
	report("stat", op_stat, 2000);
	report("open_close", op_open_close, 1000);
	report("pread_64", op_pread_64, 2000);
	report("pread_4k", op_pread_4k, 2000);
	report("pread_64k", op_pread_64k, 500);
	report("pwrite_4k", op_write_4k, 1000);
	report("create_unlink", op_create_unlink, 300);
	report("fork_exit_wait", op_fork, 50);
	report("vfork_exec_true_wait", op_exec, 20);
	report("pthread_create_join", op_thread, 100);
	measure_pingpong("pipe_ping_pong", 0);
	measure_pingpong("socketpair_ping_pong", 1);
	unlink(path);
	close(fd);
}

static void fuse(const char *dir)
{
	make_file(dir, 64 << 20);
	report("fuse_getattr", op_stat, 500);
	report("fuse_lookup_missing", op_lookup_missing, 300);
	report("fuse_open_release", op_open_close, 300);
	report("fuse_create_unlink", op_create_unlink, 100);
	report("fuse_pread_4k", op_pread_4k, 300);
	report("fuse_pwrite_4k", op_write_4k, 300);
	measure_stream("fuse_read_MiB_by_128k", 131072, 0);
	measure_stream("fuse_read_MiB_by_1m", 1 << 20, 0);
	measure_stream("fuse_write_MiB_by_128k", 131072, 1);
	measure_stream("fuse_write_MiB_by_1m", 1 << 20, 1);
	unlink(path);
	snprintf(path, sizeof(path), "%s/many", dir);
	mkdir(path, 0700);
	for (int i = 0; i < 1000; i++) {
		snprintf(path2, sizeof(path2), "%s/many/%d", dir, i);
		close(open(path2, O_CREAT | O_WRONLY, 0600));
	}
	report("fuse_readdir_1000", op_readdir, 5);
	for (int i = 0; i < 1000; i++) {
		snprintf(path2, sizeof(path2), "%s/many/%d", dir, i);
		unlink(path2);
	}
	rmdir(path);
}

/* Nothing but round trips: the daemon makes no calls of its own. */
static void answers(const char *dir)
{
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(path2, sizeof(path2), "%s/missing", dir);
	fd = open(path, O_RDWR);
	if (fd < 0)
		die(path);
	report("round_trip_getattr", op_stat, 1000);
	report("round_trip_lookup", op_lookup_missing, 1000);
	report("round_trip_read_4k", op_pread_4k, 1000);
	report("round_trip_read_64k", op_pread_64k, 500);
	report("round_trip_write_4k", op_write_4k, 1000);
	report("open_flush_release", op_open_close, 300);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "-"))
		basic(argv[1]);
	if (argc > 2 && strcmp(argv[2], "-"))
		fuse(argv[2]);
	if (argc > 3)
		answers(argv[3]);
	return 0;
}

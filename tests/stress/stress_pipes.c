/*
 * Pipes, FIFO opens and AF_UNIX sockets from many threads: no byte is lost or made up, no sleeper
 * is forgotten. Prints one line per part; ends by SIGALRM when something hangs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/iter.h"
#include "sentry/base/wait.h"
#include "vfs/cred.h"
#include "vfs/ctx.h"
#include "vfs/file.h"
#include "vfs/file/pipe.h"
#include "vfs/file/socket.h"
#include "vfs/inode.h"

#define THREADS 3
#define RECORDS 4000
#define RECORD	64

static struct op_ctx ctx = {.tid = 7, .tgid = 7, .fsize_limit = UINT64_MAX};
static struct file *in, *out;
static atomic_ulong sum_in, sum_out, records;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "stress_pipes: %s\n", what);
	_exit(1);
}

static ssize_t get(struct file *file, void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, buf, len);
	return vfs_read(&ctx, file, &iter);
}

static ssize_t put(struct file *file, const void *buf, size_t len)
{
	struct io_iter iter;

	iter_init_mem(&iter, (void *)(uintptr_t)buf, len);
	return vfs_write(&ctx, file, &iter);
}

/* A record is its number and bytes that follow from it: torn ones are noticed. */
static void *writer(void *arg)
{
	unsigned char record[RECORD];
	unsigned long sum = 0;

	for (unsigned n = 0; n < RECORDS; n++) {
		unsigned seed = n * 31 + (unsigned)(uintptr_t)arg;

		memset(record, (int)(seed & 0xff), sizeof(record));
		memcpy(record, &seed, sizeof(seed));
		check(put(out, record, sizeof(record)) == RECORD, "short write");
		sum += seed;
	}
	atomic_fetch_add(&sum_out, sum);
	return NULL;
}

static void *reader(void *arg)
{
	unsigned char record[RECORD];
	unsigned long sum = 0;
	ssize_t n;

	(void)arg;
	while ((n = get(in, record, sizeof(record))) > 0) {
		unsigned seed;

		check(n == RECORD, "torn record");
		memcpy(&seed, record, sizeof(seed));
		for (size_t i = sizeof(seed); i < RECORD; i++)
			check(record[i] == (seed & 0xff), "mixed record");
		sum += seed;
		atomic_fetch_add(&records, 1);
	}
	check(n == 0, "read failed");
	atomic_fetch_add(&sum_in, sum);
	return NULL;
}

/* Everybody writes and reads; the last writer's leaving ends the readers. */
static void many_to_many(const char *name, bool shut)
{
	pthread_t writers[THREADS], readers[THREADS];

	atomic_store(&sum_in, 0);
	atomic_store(&sum_out, 0);
	atomic_store(&records, 0);
	for (uintptr_t i = 0; i < THREADS; i++) {
		pthread_create(&readers[i], NULL, reader, NULL);
		pthread_create(&writers[i], NULL, writer, (void *)i);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(writers[i], NULL);
	if (shut)
		socket_shutdown(&ctx, socket_from_file(out), SHUT_WR);
	file_put(out);
	for (int i = 0; i < THREADS; i++)
		pthread_join(readers[i], NULL);
	file_put(in);
	check(atomic_load(&records) == THREADS * RECORDS, "records lost");
	check(atomic_load(&sum_in) == atomic_load(&sum_out), "bytes changed");
	printf("%s: %lu records\n", name, atomic_load(&records));
}

/* One byte back and forth: every wake-up counts. */
static struct file *ping[2], *pong[2];

static void *echo(void *arg)
{
	char c;

	(void)arg;
	while (get(ping[0], &c, 1) == 1)
		check(put(pong[1], &c, 1) == 1, "echo");
	return NULL;
}

static void ping_pong(const char *name)
{
	int64_t start = clock_monotonic_ns();
	pthread_t thread;
	char c = 'x';

	pthread_create(&thread, NULL, echo, NULL);
	for (int i = 0; i < 20000; i++)
		check(put(ping[1], &c, 1) == 1 && get(pong[0], &c, 1) == 1, "ping-pong");
	if (socket_from_file(ping[1]))
		socket_shutdown(&ctx, socket_from_file(ping[1]), SHUT_WR);
	file_put(ping[1]);
	pthread_join(thread, NULL);
	file_put(ping[0]);
	file_put(pong[0]);
	file_put(pong[1]);
	printf("%s: %ld ns per round\n", name, (long)((clock_monotonic_ns() - start) / 20000));
}

/* FIFO: readers and writers meet at open, again and again. */
static struct file *fifo;

static struct file *fifo_open(unsigned flags)
{
	struct file *file;

	check(file_new(&ctx, &fifo->path, flags, &file) == 0, "file_new");
	file->op = &fifo_ops;
	check(fifo_ops.open(&ctx, file->inode, file) == 0, "open");
	file->fmode |= FMODE_OPENED;
	return file;
}

static void *fifo_writer(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		struct file *file = fifo_open(O_WRONLY);

		(void)put(file, "0123456789", 10); /* the reader may be gone: -EPIPE */
		file_put(file);
	}
	return NULL;
}

static atomic_bool stop;

static void *fifo_reader(void *arg)
{
	char buf[64];

	(void)arg;
	while (!atomic_load(&stop)) {
		struct file *file = fifo_open(O_RDONLY);
		ssize_t n;

		while ((n = get(file, buf, sizeof(buf))) > 0)
			;
		file_put(file);
	}
	return NULL;
}

static void fifo_meetings(void)
{
	pthread_t writers[2], thread;
	struct file *last;

	check(file_new_anon(&ctx, "fifo", S_IFIFO | 0600, &fifo_ops, NULL, O_PATH, &fifo) == 0,
	      "fifo");
	fifo->fmode &= ~(unsigned)FMODE_OPENED;
	pthread_create(&thread, NULL, fifo_reader, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&writers[i], NULL, fifo_writer, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&stop, true);
	last = fifo_open(O_RDWR); /* releases a reader that waits for a partner */
	file_put(last);
	while (pthread_tryjoin_np(thread, NULL)) {
		file_put(fifo_open(O_RDWR));
		sched_yield();
	}
	file_put(fifo);
	printf("fifo: done\n");
}

/* Sockets that carry each other, closed at random: the collector must find them and only them. */
static void *garbage(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 1500; i++) {
		struct file *a[2], *b[2], *files[2];
		struct io_iter iter;
		struct sock_msg msg = {.iter = &iter, .scm = {.files = files, .nr_files = 2}};
		char c = 'x';

		check(socket_pair(&ctx, AF_UNIX, SOCK_STREAM, 0, 0, a) == 0, "pair");
		check(socket_pair(&ctx, AF_UNIX, SOCK_DGRAM, 0, 0, b) == 0, "pair");
		files[0] = a[1];
		files[1] = b[1];
		iter_init_mem(&iter, &c, 1);
		check(socket_sendmsg(&ctx, socket_from_file(a[0]), &msg) == 1, "send");
		iter_init_mem(&iter, &c, 1);
		check(socket_sendmsg(&ctx, socket_from_file(b[0]), &msg) == 1, "send");
		if (rand_r(&seed) % 2) {
			iter_init_mem(&iter, &c, 1);
			msg = (struct sock_msg){.iter = &iter};
			check(socket_recvmsg(&ctx, socket_from_file(b[1]), &msg) == 1, "recv");
			check(msg.scm.nr_files == 2, "files lost");
			scm_release(&msg.scm);
		}
		file_put(a[0]);
		file_put(a[1]);
		file_put(b[0]);
		file_put(b[1]);
	}
	return NULL;
}

static void garbage_everywhere(void)
{
	pthread_t threads[THREADS];
	struct file *last;

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, garbage, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check(socket_create(&ctx, AF_UNIX, SOCK_DGRAM, 0, 0, &last) == 0, "socket");
	file_put(last);
	printf("garbage: done\n");
}

int main(void)
{
	struct file *pair[2];

	alarm(240);
	ctx.cred = cred_new(0, 0, NULL, 0);
	check(pipe_create(&ctx, 0, pair) == 0, "pipe");
	in = pair[0], out = pair[1];
	many_to_many("pipe", false);
	check(pipe_create(&ctx, O_DIRECT, pair) == 0, "pipe");
	in = pair[0], out = pair[1];
	many_to_many("packets", false);
	check(socket_pair(&ctx, AF_UNIX, SOCK_SEQPACKET, 0, 0, pair) == 0, "pair");
	in = pair[0], out = pair[1];
	many_to_many("seqpacket", true);
	check(pipe_create(&ctx, 0, ping) == 0 && pipe_create(&ctx, 0, pong) == 0, "pipe");
	ping_pong("pipe ping-pong");
	check(socket_pair(&ctx, AF_UNIX, SOCK_STREAM, 0, 0, pair) == 0, "pair");
	ping[0] = pair[0], ping[1] = pair[1];
	pong[0] = file_get(pair[1]), pong[1] = file_get(pair[0]);
	ping_pong("stream ping-pong");
	fifo_meetings();
	garbage_everywhere();
	cred_put(ctx.cred);
	return 0;
}

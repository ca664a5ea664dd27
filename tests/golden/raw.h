/*
 * A daemon on the raw protocol and its clients in one program: for the programs beside this file that
 * print what Linux answers to good and bad daemons, one line per behaviour. Each runs in an empty
 * directory that is its argument, as root, and mounts there.
 */
#ifndef RAW_H
#define RAW_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devfuse/proto.h"

static const char *mnt;
static char buf[300000];
static struct fuse_in_header *const in = (void *)buf;
static char *const body = buf + sizeof(struct fuse_in_header);

/* --- lines -------------------------------------------------------------------------------- */

/* A result of a system call, as a word: the number, or the error's name. */
static const char *word(long result)
{
	static char words[4][32];
	static int next;
	char *text = words[next++ % 4];

	if (result < 0 && result > -4096)
		snprintf(text, 32, "%s", strerrorname_np((int)-result) ?: "?");
	else
		snprintf(text, 32, "%ld", result);
	return text;
}

#define SYS(call) ({ long r_ = (long)(call); r_ < 0 ? -(long)errno : r_; })
#define SHOW(what, call)                                                                           \
	do {                                                                                       \
		long s_ = SYS(call);                                                               \
		printf("%s: %s\n", what, word(s_));                                                \
	} while (0)

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	printf("! %s: %s\n", what, strerrorname_np(errno));
	fflush(stdout);
	_exit(2);
}

/* --- the daemon --------------------------------------------------------------------------- */

static int dev_open(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	must(fd, "open /dev/fuse");
	return fd;
}

static int dev_mount(int fd)
{
	char options[100];

	snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd);
	return mount("raw", mnt, "fuse", MS_NOSUID | MS_NODEV, options);
}

/* Until there is something to read, or the end. */
static int wait_for(int fd)
{
	struct pollfd p = {fd, POLLIN};
	int n;

	do
		n = poll(&p, 1, 5000);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* The next message, which must come soon. Its length or -errno. */
static long get(int fd)
{
	long n;

	if (!wait_for(fd))
		return -ETIME;
	n = SYS(read(fd, buf, sizeof(buf)));
	if (n >= 0)
		memset(buf + n, 0, 16);
	return n;
}

/* Skips what other daemons' tests are about, until this opcode comes. */
static long put(int fd, uint64_t unique, int error, const void *data, size_t len);
static long get_op(int fd, unsigned opcode)
{
	long n;

	while ((n = get(fd)) > 0 && in->opcode != opcode)
		if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET &&
		    in->opcode != FUSE_INTERRUPT)
			put(fd, in->unique, in->opcode == FUSE_GETXATTR ? -ENODATA : 0, NULL, 0);
	if (n <= 0)
		printf("! opcode %u did not come: %s\n", opcode, word(n));
	return n;
}

/* Writes header and payload; the result of the write. */
static long put(int fd, uint64_t unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {(uint32_t)(sizeof(out) + len), error, unique};
	struct iovec iov[2] = {{&out, sizeof(out)}, {(void *)data, len}};

	return SYS(writev(fd, iov, len ? 2 : 1));
}

static long notify(int fd, int code, const void *data, size_t len)
{
	return put(fd, 0, code, data, len);
}

/* A mounted connection whose INIT has been answered. */
static int begin(uint64_t flags, unsigned minor)
{
	struct fuse_init_out out = {.major = 7, .minor = minor, .max_write = 4096};
	int fd = dev_open();

	out.flags = (uint32_t)flags | ((flags >> 32) ? 1u << 30 : 0);
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_stack_depth = 1;
	must(dev_mount(fd), "mount");
	must(get(fd), "read INIT");
	must(put(fd, in->unique, 0, &out, sizeof(out)), "answer INIT");
	return fd;
}

static void end(int fd)
{
	umount2(mnt, MNT_DETACH);
	close(fd);
}

static struct fuse_attr make_attr(uint64_t ino, unsigned mode, uint64_t size)
{
	struct fuse_attr attr = {.ino = ino, .mode = mode, .nlink = 1, .size = size, .blksize = 4096};

	return attr;
}

static long put_entry(int fd, uint64_t unique, uint64_t nodeid, unsigned mode, uint64_t size,
		      unsigned valid)
{
	struct fuse_entry_out out = {.nodeid = nodeid, .entry_valid = valid, .attr_valid = valid};

	out.attr = make_attr(nodeid, mode, size);
	return put(fd, unique, 0, &out, sizeof(out));
}

static long put_attr(int fd, uint64_t unique, uint64_t ino, unsigned mode, uint64_t size,
		     unsigned valid)
{
	struct fuse_attr_out out = {.attr_valid = valid};

	out.attr = make_attr(ino, mode, size);
	return put(fd, unique, 0, &out, sizeof(out));
}

static long put_open(int fd, uint64_t unique, uint64_t fh, unsigned flags)
{
	struct fuse_open_out out = {.fh = fh, .open_flags = flags};

	return put(fd, unique, 0, &out, sizeof(out));
}

/* --- clients ------------------------------------------------------------------------------ */

struct client {
	pid_t pid;
	int result;
};

static char *in_mnt(const char *name)
{
	static char path[4][200];
	static int next;
	char *text = path[next++ % 4];

	snprintf(text, 200, "%s/%s", mnt, name);
	return text;
}

/* Runs in a process of its own; result() has what it returns. */
static struct client client(long (*fn)(const char *arg), const char *arg)
{
	int pipes[2];
	struct client c;

	must(pipe2(pipes, O_CLOEXEC), "pipe");
	fflush(stdout);
	c.pid = fork();
	must(c.pid, "fork");
	if (c.pid == 0) {
		long result;

		dup2(pipes[1], 3); /* not the daemon's descriptors: it may want to close them */
		close_range(4, ~0U, 0);
		result = fn(arg);
		_exit(write(3, &result, sizeof(result)) != sizeof(result));
	}
	close(pipes[1]);
	c.result = pipes[0];
	return c;
}

static const char *result(struct client c)
{
	long value = 0;
	int n = wait_for(c.result) ? (int)read(c.result, &value, sizeof(value)) : -1;

	if (n < 0)
		kill(c.pid, SIGKILL);
	waitpid(c.pid, NULL, 0);
	close(c.result);
	return n < 0 ? "still waits" : n == 0 ? "died" : word(value);
}

static long do_stat(const char *name)
{
	struct stat st;

	return SYS(stat(in_mnt(name), &st));
}

/* The program's end may not wait for a mount that went wrong. */
static void start(int argc, char **argv)
{
	if (argc != 2)
		exit(2);
	mnt = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	alarm(60);
}

#endif

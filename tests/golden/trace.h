/*
 * For the programs that record golden traces: a daemon on the raw protocol and one client of it, both
 * fixed, and the text of the requests that the client's steps led to. Run on Linux and in the sandbox,
 * the texts must be equal.
 *
 *	PROGRAM MOUNT-POINT FLAGS SECONDS	flags of the INIT reply; validity of entries and attributes
 *
 * The daemon is alone with its thread and looks at /dev/fuse before it takes the client's word that
 * a step is over, so that what is asynchronous (RELEASE, FORGET) is written down in its step.
 */
#ifndef TRACE_H
#define TRACE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct trace {
	unsigned minor;	     /* of the INIT reply */
	const char *options; /* of the mount, beside those that each needs */
	void (*note)(void);  /* prints the request */
	void (*serve)(void); /* answers it */
	void (*command)(const char *step); /* the daemon's part in a step; may be NULL */
	void (*client)(const char *mnt);   /* does not return */
};

static unsigned valid; /* seconds */
static uint64_t init_flags;
static int dev;

/* --- the daemon --------------------------------------------------------------------------- */

static struct fuse_in_header *in;
static char *body;

static void reply(int error, const void *data, size_t len)
{
	struct fuse_out_header out = {sizeof(out) + len, error, in->unique};
	struct iovec iov[2] = {{&out, sizeof(out)}, {(void *)data, len}};

	if (writev(dev, iov, 2) < 0 && errno != ENOENT)
		printf("  ! the reply was refused: %s\n", strerrorname_np(errno));
}

static const char *const names[] = {
	[1] = "LOOKUP", "FORGET", "GETATTR", "SETATTR", "READLINK", "SYMLINK", "?7", "MKNOD", "MKDIR",
	"UNLINK", "RMDIR", "RENAME", "LINK", "OPEN", "READ", "WRITE", "STATFS", "RELEASE", "?19",
	"FSYNC", "SETXATTR", "GETXATTR", "LISTXATTR", "REMOVEXATTR", "FLUSH", "INIT", "OPENDIR",
	"READDIR", "RELEASEDIR", "FSYNCDIR", "GETLK", "SETLK", "SETLKW", "ACCESS", "CREATE",
	"INTERRUPT", "BMAP", "DESTROY", "IOCTL", "POLL", "NOTIFY_REPLY", "BATCH_FORGET", "FALLOCATE",
	"READDIRPLUS", "RENAME2", "LSEEK", "COPY_FILE_RANGE", "SETUPMAPPING", "REMOVEMAPPING", "SYNCFS",
	"TMPFILE", "STATX", "COPY_FILE_RANGE_64"};

/* The beginning of a request's line. */
static void note_opcode(void)
{
	const size_t nr = sizeof(names) / sizeof(*names);

	printf("  %s %llu", in->opcode < nr ? names[in->opcode] : "?", (unsigned long long)in->nodeid);
}

static void reply_init(const struct trace *trace)
{
	struct fuse_init_out out = {.major = 7, .minor = trace->minor, .flags = init_flags,
				    .flags2 = init_flags >> 32, .max_readahead = 131072,
				    .max_write = 131072};

	reply(0, &out, sizeof(out));
}

/* --- the client --------------------------------------------------------------------------- */

static int to_daemon, from_daemon;

static void step(const char *name)
{
	char text[64] = {0};

	usleep(20000); /* what is asynchronous gets under way */
	snprintf(text, sizeof(text), "%s", name);
	if (write(to_daemon, text, sizeof(text)) != sizeof(text) || read(from_daemon, text, 1) != 1)
		_exit(5);
}

enum { RELEASED = 1, ENDED }; /* no title of a step begins so */

static void wait_for(char what, unsigned count)
{
	char text[64] = {what, (char)count};

	if (write(to_daemon, text, sizeof(text)) != sizeof(text) || read(from_daemon, text, 1) != 1)
		_exit(5);
}

/*
 * The step has led to so many RELEASEs: waits for them. To be called where a mapping was the last that
 * kept a file open; after a close(2) they are there at once.
 */
static void released(unsigned count)
{
	wait_for(RELEASED, count);
}

/* The last user of the mount has gone: waits until the daemon has been told. */
static inline void ended(void)
{
	wait_for(ENDED, 0);
}

/* A result goes the same way, behind the requests that led to it. */
static void tell(const char *format, ...)
{
	char text[64];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	step(text);
}

/* --- both --------------------------------------------------------------------------------- */

static unsigned releases, awaited; /* in this step: those seen, and those that it waits for */
static int gone, end_awaited;	   /* the connection */

/* The client's next word, when it has one. False: it has ended. */
static int end_step(const struct trace *trace, int ask, int ack)
{
	char text[64];
	int goes_on = read(ask, text, sizeof(text)) == sizeof(text);

	if (goes_on && (text[0] == RELEASED || text[0] == ENDED)) {
		awaited = (unsigned)text[1];
		end_awaited = text[0] == ENDED;
		return 1;
	}
	if (goes_on) {
		printf("%s\n", text);
		releases = 0;
		if (trace->command)
			trace->command(text);
	}
	write(ack, "", 1);
	return goes_on;
}

static void take_request(const struct trace *trace, char *buf, ssize_t n)
{
	in = (void *)buf;
	body = buf + sizeof(*in);
	buf[n] = 0;
	trace->note();
	releases += in->opcode == FUSE_RELEASE;
	if (in->opcode == FUSE_INIT)
		reply_init(trace);
	else
		trace->serve();
}

/* The mount has gone; the client goes on. */
static void device_gone(void)
{
	printf("  the device says %s\n", strerrorname_np(errno));
	gone = 1;
}

static void daemon_loop(const struct trace *trace, int ask, int ack)
{
	static char buf[200000];
	int running = 1;

	while (running) {
		struct pollfd fds[2] = {{gone ? -1 : dev, POLLIN}, {ask, POLLIN}};
		ssize_t n;

		if ((awaited && releases >= awaited) || (end_awaited && gone)) {
			awaited = end_awaited = 0;
			write(ack, "", 1);
		}

		poll(fds, 2, -1);
		n = gone ? 0 : read(dev, buf, sizeof(buf) - 1);
		if (n > 0)
			take_request(trace, buf, n);
		else if (n < 0 && errno != EAGAIN)
			device_gone();
		else if (fds[1].revents)
			running = end_step(trace, ask, ack);
	}
}

static int trace_run(const struct trace *trace, int argc, char **argv)
{
	int ask[2], ack[2], status;
	char data[128];
	pid_t pid;

	if (argc != 4)
		return 2;
	init_flags = strtoull(argv[2], NULL, 0);
	valid = atoi(argv[3]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(50);
	dev = open("/dev/fuse", O_RDWR | O_NONBLOCK);
	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0%s", dev, trace->options);
	if (dev < 0 || mount("golden", argv[1], "fuse", 0, data) || pipe(ask) || pipe(ack)) {
		perror("golden");
		return 1;
	}
	pid = fork();
	if (pid == 0) {
		close(dev);
		to_daemon = ask[1];
		from_daemon = ack[0];
		trace->client(argv[1]);
	}
	close(ask[1]);
	daemon_loop(trace, ask[0], ack[1]);
	waitpid(pid, &status, 0);
	umount2(argv[1], MNT_DETACH);
	return WEXITSTATUS(status);
}

#endif

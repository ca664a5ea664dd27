/*
 * Mounting "fuse": each option with its errors, the old call and the new ones, what /proc/mounts
 * shows, and what a second mount, a remount and a bind do (matrix 7.1). One line per behaviour.
 *
 *	mount DIRECTORY		an empty directory; as root, in a mount namespace of one's own
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/mount.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS_RDONLY_   1ul
#define MS_REMOUNT_  32ul
#define MS_MANDLOCK_ 64ul
#define MS_BIND_     4096ul
#define MS_REC_      16384ul
#define MS_PRIVATE_  (1ul << 18)
#define DETACH       2

static const char *word(long result)
{
	static char text[32];

	if (result == -1)
		return strerrorname_np(errno);
	snprintf(text, sizeof(text), "%ld", result);
	return text;
}

static char top[4100]; /* where all this happens */

#define SHOW(what, call) ({ long r_ = (call); printf("  %s: %s\n", what, word(r_)); r_; })

static long mnt(const char *source, const char *dir, const char *type, unsigned long flags,
		const char *data)
{
	return syscall(SYS_mount, source, dir, type, flags, data);
}

static long umnt(const char *dir, int flags)
{
	return syscall(SYS_umount2, dir, flags);
}

static int device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_NONBLOCK);

	if (fd < 0) {
		perror("/dev/fuse");
		exit(2);
	}
	return fd;
}

/* The options with "FD" replaced; a device of its own, closed again. What came of it is undone. */
static void try(const char *options)
{
	static char data[20000];
	const char *at = strstr(options, "FD");
	int fd = device();

	if (at)
		snprintf(data, sizeof(data), "%.*s%d%s", (int)(at - options), options, fd, at + 2);
	else
		snprintf(data, sizeof(data), "%s", options);
	if (SHOW(options, mnt("src", "m", "fuse", 0, data)) == 0)
		umnt("m", DETACH);
	close(fd);
}

#define ALL "fd=FD,rootmode=40000,user_id=0,group_id=0"

/* The lines of /proc/mounts for it, with the last part of the path. */
static void show_line(const char *dir)
{
	char line[5000], where[4200], *found;
	FILE *f = fopen("/proc/mounts", "r");
	int n = snprintf(where, sizeof(where), " %s/%s ", top, dir);

	while (f && fgets(line, sizeof(line), f)) {
		found = strstr(line, where);
		if (found) {
			*found = 0;
			printf("  %s on %s %s", line, dir, found + n);
		}
	}
	if (f)
		fclose(f);
}

static void mount_options(void) /* G02-G07, G09, M01 */
{
	static const char *const options[] = {
		ALL, "rootmode=40000,user_id=0,group_id=0", "fd=FD,user_id=0,group_id=0",
		"fd=FD,rootmode=40000,group_id=0", "fd=FD,rootmode=40000,user_id=0", "", ",,,",
		"fd=0,rootmode=40000,user_id=0,group_id=0",
		"fd=999,rootmode=40000,user_id=0,group_id=0",
		"fd=-1,rootmode=40000,user_id=0,group_id=0", "fd=,rootmode=40000,user_id=0,group_id=0",
		"fd,rootmode=40000,user_id=0,group_id=0", "fd=FDx,rootmode=40000,user_id=0,group_id=0",
		"fd=FD,rootmode=40755,user_id=0,group_id=0", "fd=FD,rootmode=0,user_id=0,group_id=0",
		"fd=FD,rootmode=755,user_id=0,group_id=0", "fd=FD,rootmode=48000,user_id=0,group_id=0",
		"fd=FD,rootmode=150000,user_id=0,group_id=0", "fd=FD,rootmode=040000,user_id=0,group_id=0",
		"fd=FD,rootmode=,user_id=0,group_id=0", "fd=FD,rootmode,user_id=0,group_id=0",
		"fd=FD,rootmode=40000,user_id=x,group_id=0", "fd=FD,rootmode=40000,user_id=-1,group_id=0",
		"fd=FD,rootmode=40000,user_id=4294967295,group_id=0",
		"fd=FD,rootmode=40000,user_id=4294967296,group_id=0",
		"fd=FD,rootmode=40000,user_id=4294967294,group_id=0",
		"fd=FD,rootmode=40000,user_id=0x10,group_id=010",
		"fd=FD,rootmode=40000,user_id=0,group_id=4294967295",
		"fd=FD,rootmode=40000,user_id=0,group_id=", ALL ",default_permissions",
		ALL ",allow_other", ALL ",default_permissions=1", ALL ",allow_other=no",
		ALL ",max_read=0", ALL ",max_read=1", ALL ",max_read=131072", ALL ",max_read=x",
		ALL ",max_read=4294967296", ALL ",max_read", ALL ",max_read=-1", ALL ",blksize=512",
		ALL ",blksize=0", ALL ",blksize", ALL ",dax", ALL ",dax=always", ALL ",no_such_option",
		ALL ",nonempty", ALL ",allow_root", ALL ",auto_unmount", ALL ",fsname=x",
		ALL ",subtype=word", ALL ",subtype=a,subtype=b", ALL ",subtype=", ALL ",subtype",
		ALL ",source=other", ALL ",source", ALL ",context=x", ALL ",ro", ALL ",nosuid", ALL ",sync",
		ALL ",dirsync", ALL ",mand", ALL ",user_id=5,max_read=8192", ALL ",", ALL ",,max_read=4096",
		ALL ",rootmode=100000"};

	printf("options of mount(2)\n");
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		try(options[i]);
}

static long mount_fd(int fd, const char *dir, const char *type, unsigned long flags, const char *more)
{
	char data[5000];

	snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0%s", fd, more);
	return mnt("src", dir, type, flags, data);
}

static void types(void) /* G08 */
{
	static const char *const names[] = {"fuse", "fuse.word", "fuse.", "fuse.a.b", "fuseword",
					    "fuse. blank", "virtiofs2"};

	printf("types\n");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd = device();

		if (SHOW(names[i], mount_fd(fd, "m", names[i], 0, "")) == 0) {
			show_line("m");
			umnt("m", DETACH);
		}
		close(fd);
	}
}

static void lines(void) /* M07, G06 */
{
	static const struct { unsigned long flags; const char *source, *more; } mounts[] = {
		{0, "src", ""}, {6, "src", ",default_permissions,allow_other"}, {1, "src", ",max_read=0"},
		{0, "src", ",max_read=4097"}, {8, "a b\\c\td", ",allow_other,max_read=131072"},
		{1024, "", ""}, {1 << 21, NULL, ""}, {16, "src", ""}, {1 << 25, "#x", ",user_id=7,group_id=8"},
		{128, "src", ""}};
	char data[200];

	printf("/proc/mounts\n");
	for (unsigned i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		int fd = device();

		snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0%s", fd, mounts[i].more);
		if (SHOW(mounts[i].more, mnt(mounts[i].source, "m", "fuse", mounts[i].flags, data)) == 0) {
			show_line("m");
			umnt("m", DETACH);
		}
		close(fd);
	}
}

static void mount_points(void) /* M08 */
{
	static const char *const modes[] = {"40000", "100000", "120000", "20000", "60000", "10000", "140000"};
	char data[100];

	printf("types of mount points\n");
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		for (int file = 0; file < 2; file++) {
			const char *dir = file ? "f" : "m";
			int fd = device();

			snprintf(data, sizeof(data), "fd=%d,rootmode=%s,user_id=0,group_id=0", fd, modes[i]);
			printf("  %s on a %s: %s\n", modes[i], file ? "file" : "directory",
			       word(mnt("src", dir, "fuse", 0, data)));
			umnt(dir, DETACH);
			close(fd);
		}
}

static void long_options(void) /* M09 */
{
	char data[6000];
	int fd;

	printf("long options\n");
	for (unsigned len = 4080; len <= 5000; len += 1 + 900 * (len == 4100)) {
		int n;

		fd = device();
		n = snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0,", fd);
		memset(data + n, ',', sizeof(data) - (size_t)n);
		snprintf(data + len - 6, sizeof(data) - len + 6, "no_such");
		if (len < 4092 || len > 4099 || len == 4095 || len == 4096 || len == 4097)
			printf("  unknown option that ends at %u: %s\n", len + 1,
			       word(mnt("src", "m", "fuse", 0, data)));
		umnt("m", DETACH);
		close(fd);
	}
}

/* Reads INIT and answers it. */
static void reply_init(int fd, int error)
{
	static char buf[200000];
	struct fuse_in_header *in = (void *)buf;
	struct { struct fuse_out_header out; struct fuse_init_out init; } reply = {
		.init = {.major = 7, .minor = 31, .max_readahead = 4096, .max_write = 4096}};
	size_t len = error ? sizeof(reply.out) : sizeof(reply);

	if (read(fd, buf, sizeof(buf)) <= 0 || in->opcode != FUSE_INIT)
		printf("  ! no INIT: %s\n", strerrorname_np(errno));
	reply.out = (struct fuse_out_header){len, error, in->unique};
	if (write(fd, &reply, len) < 0)
		printf("  ! INIT refused\n");
}

/* So that GETATTR and STATFS can be asked. */
static void answer(int fd)
{
	reply_init(fd, 0);
}

static int has_request(int fd)
{
	return poll(&(struct pollfd){fd, POLLIN}, 1, 0);
}

static void again(void) /* M03, M10 */
{
	int a = device(), b = device(), dup_a;
	char buf[10000];

	printf("mounting twice\n");
	SHOW("the first", mount_fd(a, "m", "fuse", 0, ""));
	answer(a);
	SHOW("the same descriptor elsewhere", mount_fd(a, "m2", "fuse", MS_RDONLY_, ",max_read=9999"));
	show_line("m");
	show_line("m2");
	printf("  a second INIT: %d\n", has_request(a));
	dup_a = dup(a);
	SHOW("a duplicate of it", mount_fd(dup_a, "m3", "fuse", 0, ""));
	close(dup_a);
	SHOW("another descriptor", mount_fd(b, "m4", "fuse", 0, ""));
	printf("  its INIT: %d\n", has_request(b));
	answer(b);
	SHOW("another type, the same descriptor", mount_fd(a, "m5", "fuse.word", 0, ""));
	show_line("m5");
	umnt("m5", 0);
	snprintf(buf, sizeof(buf), "fd=%d", a);
	SHOW("the descriptor and nothing else", mnt("src", "m5", "fuse", MS_MANDLOCK_, buf));
	show_line("m5");
	umnt("m5", 0);
	SHOW("umount of the first", umnt("m", 0));
	printf("  the connection is alive: %d\n", read(a, buf, sizeof(buf)) < 0 ? errno == EAGAIN : 0);
	SHOW("umount of the second", umnt("m2", 0));
	SHOW("bind", mnt("m3", "m", NULL, MS_BIND_, NULL));
	SHOW("umount of the third", umnt("m3", 0));
	show_line("m");
	printf("  alive by the bind: %d\n", read(a, buf, sizeof(buf)) < 0 ? errno == EAGAIN : 0);
	SHOW("umount of the bind", umnt("m", 0));
	errno = 0;
	SHOW("read after the last umount", read(a, buf, sizeof(buf)));
	SHOW("mount of a descriptor whose mount is gone", mount_fd(a, "m", "fuse", 0, ""));
	SHOW("umount of the other", umnt("m4", 0));
	close(a);
	close(b);
}

static void remounts(void) /* M05 */
{
	int fd = device(), ctx;

	printf("remounts\n");
	SHOW("MS_MANDLOCK", mount_fd(fd, "m", "fuse", MS_MANDLOCK_, ""));
	umnt("m", DETACH);
	close(fd);
	fd = device();
	SHOW("mount", mount_fd(fd, "m", "fuse", 0, ""));
	answer(fd);
	SHOW("remount read-only", mnt(NULL, "m", NULL, MS_REMOUNT_ | MS_RDONLY_, NULL));
	show_line("m");
	SHOW("remount with options", mnt("x", "m", "fuse", MS_REMOUNT_, "max_read=5000,allow_other"));
	show_line("m");
	SHOW("remount with nonsense", mnt("x", "m", "fuse", MS_REMOUNT_, "no_such_option,,=x"));
	SHOW("remount with MS_MANDLOCK", mnt("x", "m", "fuse", MS_REMOUNT_ | MS_MANDLOCK_, ""));
	SHOW("remount of the bind's flags", mnt(NULL, "m", NULL, MS_REMOUNT_ | MS_BIND_ | MS_RDONLY_, NULL));
	show_line("m");
	ctx = (int)syscall(SYS_fspick, AT_FDCWD, "m", FSPICK_NO_AUTOMOUNT);
	printf("  fspick: %s\n", ctx < 0 ? word(-1) : "ok");
	SHOW("max_read", syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "max_read", "8192", 0));
	SHOW("allow_other", syscall(SYS_fsconfig, ctx, FSCONFIG_SET_FLAG, "allow_other", NULL, 0));
	SHOW("ro", syscall(SYS_fsconfig, ctx, FSCONFIG_SET_FLAG, "ro", NULL, 0));
	SHOW("reconfigure", syscall(SYS_fsconfig, ctx, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
	show_line("m");
	close(ctx);
	umnt("m", 0);
	close(fd);
}

/* What the context has to say about the last error. */
static void messages(int ctx)
{
	char text[300];
	ssize_t n;

	while ((n = read(ctx, text, sizeof(text) - 1)) > 0) {
		text[n] = 0;
		printf("    %s", text);
	}
}

static long config(int ctx, unsigned cmd, const char *key, const void *value, int aux)
{
	long result = syscall(SYS_fsconfig, ctx, cmd, key, value, aux);

	printf("  %s %s: %s\n", key ? key : "create",
	       cmd == FSCONFIG_SET_FD ? "as an object" : cmd == FSCONFIG_CMD_CREATE ? ""
							   : value ? (const char *)value : "as a flag",
	       word(result));
	messages(ctx);
	return result;
}

static int context(void)
{
	int ctx = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);

	if (ctx < 0)
		printf("  ! fsopen: %s\n", word(-1));
	return ctx;
}

static void new_calls(void) /* G01, G02, G08, M04, M21 */
{
	int fd = device(), null = open("/dev/null", O_RDWR), ctx, mount_fd_, path;
	char number[20];

	printf("fsopen, fsconfig, fsmount\n");
	SHOW("fsopen of fuse.word", syscall(SYS_fsopen, "fuse.word", 0));
	ctx = context();
	config(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	close(ctx);
	ctx = context();
	config(ctx, FSCONFIG_SET_STRING, "fd", "99", 0);
	config(ctx, FSCONFIG_SET_STRING, "fd", "x", 0);
	config(ctx, FSCONFIG_SET_FLAG, "fd", NULL, 0);
	config(ctx, FSCONFIG_SET_FD, "fd", NULL, null);
	config(ctx, FSCONFIG_SET_FD, "fd", NULL, fd);
	config(ctx, FSCONFIG_SET_FD, "fd", NULL, 99);
	config(ctx, FSCONFIG_SET_STRING, "rootmode", "55", 0);
	config(ctx, FSCONFIG_SET_STRING, "rootmode", "40000", 0);
	config(ctx, FSCONFIG_SET_STRING, "user_id", "4294967295", 0);
	config(ctx, FSCONFIG_SET_STRING, "user_id", "3", 0);
	config(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	config(ctx, FSCONFIG_SET_STRING, "group_id", "4", 0);
	close(ctx);
	ctx = context();
	config(ctx, FSCONFIG_SET_STRING, "source", "one", 0);
	config(ctx, FSCONFIG_SET_STRING, "source", "two", 0);
	config(ctx, FSCONFIG_SET_STRING, "subtype", "word", 0);
	config(ctx, FSCONFIG_SET_STRING, "subtype", "again", 0);
	config(ctx, FSCONFIG_SET_STRING, "blksize", "512", 0);
	config(ctx, FSCONFIG_SET_FLAG, "dax", NULL, 0);
	config(ctx, FSCONFIG_SET_STRING, "default_permissions", "1", 0);
	config(ctx, FSCONFIG_SET_STRING, "allow_other", "", 0);
	config(ctx, FSCONFIG_SET_FLAG, "default_permissions", NULL, 0);
	config(ctx, FSCONFIG_SET_STRING, "max_read", "65536", 0);
	config(ctx, FSCONFIG_SET_STRING, "user_id", "3", 0);
	config(ctx, FSCONFIG_SET_STRING, "group_id", "4", 0);
	config(ctx, FSCONFIG_SET_STRING, "rootmode", "40000", 0);
	snprintf(number, sizeof(number), "%d", fd);
	SHOW("fd as a number", syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "fd", number, 0));
	config(ctx, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	printf("  INIT before it is created: %d\n", has_request(fd));
	config(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	printf("  INIT after it: %d\n", has_request(fd));
	config(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	mount_fd_ = (int)syscall(SYS_fsmount, ctx, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
	printf("  fsmount: %s\n", mount_fd_ < 0 ? word(-1) : "ok");
	answer(fd);
	printf("  a second INIT by fsmount: %d\n", has_request(fd));
	path = open("m", O_PATH);
	SHOW("move_mount onto a pinned directory",
	     syscall(SYS_move_mount, mount_fd_, "", path, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	show_line("m");
	close(path);
	close(mount_fd_);
	close(ctx);
	SHOW("umount", umnt("m", 0));
	close(fd);
	fd = device();
	ctx = context();
	printf("  the context is closed after create\n");
	snprintf(number, sizeof(number), "%d", fd);
	SHOW("fd", syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "fd", number, 0));
	config(ctx, FSCONFIG_SET_STRING, "rootmode", "40000", 0);
	config(ctx, FSCONFIG_SET_STRING, "user_id", "0", 0);
	config(ctx, FSCONFIG_SET_STRING, "group_id", "0", 0);
	config(ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	close(ctx);
	SHOW("the context is gone: read", read(fd, number, sizeof(number)));
	close(fd);
	close(null);
}

static void abandoned(void)
{
	int fd = device();
	struct statfs fs = {0};

	printf("the daemon is gone\n");
	mount_fd(fd, "m", "fuse", 0, "");
	close(fd);
	SHOW("statfs without a daemon", statfs("m", &fs));
	SHOW("stat without a daemon", stat("m", &(struct stat){0}));
	SHOW("open without a daemon", open("m", O_RDONLY));
	SHOW("umount without a daemon", umnt("m", 0));
}

/* --- a daemon that lets another process mount, and answers INIT meanwhile ------------------- */

#define SYNC_INIT _IO(229, 3) /* in no linux/fuse.h of this age */

/* A byte, and the descriptor with it. */
static void send_fd(int sock, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = {"", 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*cmsg = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != 1)
		printf("  ! the descriptor was not sent\n");
}

/* Opens the device and passes it on; mounts when told to, and says what came of it. */
static void helper(int sock)
{
	int fd = device(), path = open("m", O_PATH), ctx, made, status = 0;
	char number[20], byte;

	send_fd(sock, fd);
	if (read(sock, &byte, 1) != 1)
		_exit(1);
	snprintf(number, sizeof(number), "%d", fd);
	ctx = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
	syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "fd", number, 0);
	syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "rootmode", "40000", 0);
	syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "user_id", "0", 0);
	syscall(SYS_fsconfig, ctx, FSCONFIG_SET_STRING, "group_id", "0", 0);
	if (syscall(SYS_fsconfig, ctx, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		status = -errno;
	made = (int)syscall(SYS_fsmount, ctx, FSMOUNT_CLOEXEC, 0);
	if (!status && syscall(SYS_move_mount, made, "", path, "",
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		status = -errno;
	if (write(sock, &status, sizeof(status)) != sizeof(status))
		_exit(1);
	_exit(0);
}

static int receive_fd(int sock)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

struct worker {
	int fd, stop, error;	/* device, eventfd, what INIT is answered with */
	int may_mount, seen;	/* when poll returned */
	struct pollfd fds[2];
};

/* Waits for INIT, or to be told to stop, before anybody has mounted. */
static void *work(void *arg)
{
	struct worker *w = arg;

	w->fds[0] = (struct pollfd){w->fd, POLLIN};
	w->fds[1] = (struct pollfd){w->stop, POLLIN};
	poll(w->fds, 2, -1);
	w->seen = __atomic_load_n(&w->may_mount, __ATOMIC_SEQ_CST);
	reply_init(w->fd, w->error);
	return NULL;
}

static void with_helper(int error, int stopped)
{
	struct worker w = {.error = error, .stop = eventfd(stopped, 0)};
	int pair[2], status = 1;
	pthread_t thread;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pid = fork();
	if (pid == 0)
		helper(pair[1]);
	close(pair[1]);
	w.fd = receive_fd(pair[0]);
	SHOW("SYNC_INIT", ioctl(w.fd, SYNC_INIT));
	pthread_create(&thread, NULL, work, &w);
	__atomic_store_n(&w.may_mount, 1, __ATOMIC_SEQ_CST);
	if (write(pair[0], "", 1) != 1 || read(pair[0], &status, sizeof(status)) != sizeof(status))
		printf("  ! the helper has died\n");
	pthread_join(thread, NULL);
	waitpid(pid, NULL, 0);
	printf("  poll: %#x and %#x, after the mount had begun: %d\n", w.fds[0].revents, w.fds[1].revents,
	       w.seen);
	printf("  the helper: %s\n", status ? strerrorname_np(-status) : "mounted");
	show_line("m");
	umnt("m", DETACH);
	close(w.fd);
	close(w.stop);
	close(pair[0]);
}

/*
 * M29, M30, I09: the device comes before there is a mount, and a thread waits for INIT in poll(2):
 * what the next libfuse will do with a helper. Not even what else poll was asked for ends its wait.
 */
static void sync_init(void)
{
	printf("a helper mounts, INIT is answered meanwhile\n");
	with_helper(0, 0);
	printf("with an eventfd that is ready\n");
	with_helper(0, 1);
	printf("and refused\n");
	with_helper(-EPROTO, 0);
}

int main(int argc, char **argv)
{
	static const char *const dirs[] = {"m", "m2", "m3", "m4", "m5"};

	if (argc != 2 || chdir(argv[1]) || unshare(CLONE_NEWNS) ||
	    mnt("none", "/", NULL, MS_REC_ | MS_PRIVATE_, NULL)) {
		perror("mount");
		return 2;
	}
	if (!getcwd(top, 4096))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(50);
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		mkdir(dirs[i], 0755);
	close(open("f", O_CREAT | O_WRONLY, 0644));
	mount_options();
	types();
	lines();
	mount_points();
	long_options();
	again();
	remounts();
	new_calls();
	abandoned();
	sync_init();
	return 0;
}

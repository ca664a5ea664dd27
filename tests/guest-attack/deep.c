/*
 * Chains that a recursive clean-up would follow to the end of its stack: sockets in flight in sockets,
 * directories in directories, mounts on mounts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int send_fd(int over, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(over, &msg, MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* Each pair's queue holds the pair before. */
static int sockets(int depth)
{
	int held = -1, pair[2], n;

	for (n = 0; n < depth; n++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			break;
		if (held >= 0 && send_fd(pair[0], held))
			break;
		if (held >= 0)
			close(held);
		close(pair[0]);
		held = pair[1];
	}
	close(held); /* all of them */
	return n;
}

static int directories(int depth)
{
	int n, fd;

	if (chdir("/tmp"))
		return 0;
	for (n = 0; n < depth; n++) {
		if (mkdir("d", 0755))
			break;
		fd = open("d", O_RDONLY | O_DIRECTORY);
		if (fd < 0 || fchdir(fd))
			break;
		close(fd);
	}
	(void)syscall(SYS_getcwd, NULL, 0);
	(void)!chdir("/");
	return n;
}

/* Each on the root of the one before. */
static int mounts(int depth)
{
	int n;

	mkdir("/tmp/m", 0755);
	for (n = 0; n < depth; n++)
		if (mount("none", "/tmp/m", "tmpfs", 0, NULL))
			break;
	(void)umount2("/tmp/m", MNT_DETACH);
	return n;
}

int main(int argc, char **argv)
{
	int depth = argc > 1 ? atoi(argv[1]) : 10000;
	int s = sockets(depth), d = directories(depth), m = mounts(depth > 2000 ? 2000 : depth);

	printf("%d %d %d\n", s > 0, d > 0, m >= 0);
	fprintf(stderr, "%d sockets, %d directories, %d mounts\n", s, d, m);
	return 0;
}

/* AF_UNIX sockets: streams, datagrams, names, descriptors and credentials in messages. */
#include "report.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static socklen_t name(struct sockaddr_un *un, const char *path)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path));
	return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static void pairs(void)
{
	char buf[64];
	int s[2], v;
	socklen_t len = sizeof(v);

	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)8));
	TRY(socketpair(AF_UNIX, 77, 0, s));
	TRY(socket(AF_UNIX, SOCK_STREAM, 99));
	TRY(socket(99, SOCK_STREAM, 0));
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s));
	printf("cloexec %d nonblock %d\n", fcntl(s[0], F_GETFD), (fcntl(s[0], F_GETFL) & O_NONBLOCK) != 0);
	SHOW("recv empty", recv(s[0], buf, 8, 0));
	SHOW("send", send(s[1], "hello", 5, 0));
	SHOW("peek", recv(s[0], buf, 3, MSG_PEEK));
	SHOW("FIONREAD", ({ int n; ioctl(s[0], FIONREAD, &n) ?: n; }));
	SHOW("recv", recv(s[0], buf, 64, 0));
	SHOW("send on no socket", send(1, "x", 1, 0));
	SHOW("recv on not open", recv(99, buf, 1, 0));
	SHOW("SO_TYPE", getsockopt(s[0], SOL_SOCKET, SO_TYPE, &v, &len) ?: v);
	SHOW("SO_DOMAIN", getsockopt(s[0], SOL_SOCKET, SO_DOMAIN, &v, &len) ?: v);
	SHOW("SO_ERROR", getsockopt(s[0], SOL_SOCKET, SO_ERROR, &v, &len) ?: v);
	SHOW("unknown option", getsockopt(s[0], SOL_SOCKET, 9999, &v, &len));
	v = 1;
	SHOW("set option, short", setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &v, 1));
	SHOW("shutdown bad", shutdown(s[0], 7));
	SHOW("shutdown write", shutdown(s[1], SHUT_WR));
	SHOW("end of file", recv(s[0], buf, 8, 0));
	SHOW("other direction", send(s[0], "x", 1, 0));
	signal(SIGPIPE, SIG_IGN);
	SHOW("send after shutdown", send(s[1], "x", 1, 0));
	close(s[1]);
	SHOW("send to closed", send(s[0], "x", 1, MSG_NOSIGNAL));
	close(s[0]);
}

static void reset(void)
{
	char buf[8];
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	MUST(write(s[0], "unread", 6));
	close(s[1]);
	SHOW("peer closed with unread data", read(s[0], buf, 8));
	SHOW("and then", read(s[0], buf, 8));
	close(s[0]);
}

/* One empty packet that nobody read is none, two of them are. */
static void reset_by_packets(int packets)
{
	int s[2], err;
	socklen_t len = sizeof(err);

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	for (int i = 0; i < packets; i++)
		MUST(write(s[0], "", 0));
	close(s[1]);
	MUST(getsockopt(s[0], SOL_SOCKET, SO_ERROR, &err, &len));
	printf("%d empty packets unread: %s\n", packets, err ? strerrorname_np(err) : "no error");
	close(s[0]);
}

static void datagrams(void)
{
	struct sockaddr_un un, from;
	socklen_t len, from_len = sizeof(from);
	char buf[64];
	int a = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), b = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), s[2];

	len = name(&un, "dgram-a");
	SHOW("bind", bind(a, (void *)&un, len));
	SHOW("bind twice", bind(a, (void *)&un, len));
	SHOW("bind the same name", bind(b, (void *)&un, len));
	SHOW("sendto", sendto(b, "anonymous", 9, 0, (void *)&un, len));
	SHOW("recvfrom", recvfrom(a, buf, 64, 0, (void *)&from, &from_len));
	printf("sender's name length %d\n", (int)from_len);
	len = name(&un, "dgram-b");
	MUST(bind(b, (void *)&un, len));
	len = name(&un, "dgram-a");
	SHOW("connect", connect(b, (void *)&un, len));
	SHOW("send", send(b, "one", 3, 0));
	SHOW("send", send(b, "second", 6, 0));
	from_len = sizeof(from);
	SHOW("cut", recvfrom(a, buf, 2, 0, (void *)&from, &from_len));
	printf("from %s\n", from.sun_path);
	SHOW("real length", recv(a, buf, 2, MSG_TRUNC));
	SHOW("nothing left", recv(a, buf, 2, MSG_DONTWAIT));
	SHOW("empty datagram", send(b, "", 0, 0));
	SHOW("received", recv(a, buf, 2, 0));
	MUST(unlink("dgram-a"));
	close(a);
	SHOW("peer gone", send(b, "x", 1, 0));
	len = name(&un, "no such");
	SHOW("sendto nobody", sendto(b, "x", 1, 0, (void *)&un, len));
	close(MUST(open("plain", O_CREAT | O_RDWR, 0600)));
	len = name(&un, "plain");
	SHOW("connect to a file", connect(b, (void *)&un, len));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	MUST(send(s[0], "first", 5, 0));
	MUST(send(s[0], "2nd", 3, 0));
	SHOW("seqpacket keeps borders", recv(s[1], buf, 64, 0));
	SHOW("seqpacket", recv(s[1], buf, 64, 0));
	close(s[0]);
	SHOW("seqpacket end", recv(s[1], buf, 64, 0));
	closefrom(3);
}

static void *connect_later(void *arg)
{
	struct sockaddr_un un;
	socklen_t len = name(&un, "listen");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	usleep(20000);
	if (connect(fd, (void *)&un, len) == 0)
		write(fd, "client", 6);
	return (void *)(long)fd;
}

static void listening(void)
{
	struct sockaddr_un un, peer;
	socklen_t len, peer_len = sizeof(peer);
	struct stat st;
	pthread_t thread;
	char buf[16] = "";
	void *client;
	int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), c, a;

	SHOW("listen without a name", listen(l, 5));
	len = name(&un, "listen");
	MUST(bind(l, (void *)&un, len));
	MUST(lstat("listen", &st));
	printf("node mode %o\n", st.st_mode);
	c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	SHOW("connect before listen", connect(c, (void *)&un, len));
	SHOW("listen", listen(l, 1));
	SHOW("accept without client", (fcntl(l, F_SETFL, O_NONBLOCK), accept(l, NULL, NULL)));
	fcntl(l, F_SETFL, 0);
	pthread_create(&thread, NULL, connect_later, NULL);
	a = SHOW_FD("accept", accept4(l, (void *)&peer, &peer_len, SOCK_CLOEXEC));
	pthread_join(thread, &client);
	printf("peer name length %d, cloexec %d\n", (int)peer_len, fcntl(a, F_GETFD));
	SHOW("read", read(a, buf, 16));
	printf("%s\n", buf);
	peer_len = sizeof(peer);
	SHOW("getpeername of the client", getpeername((long)client, (void *)&peer, &peer_len));
	printf("%s %d\n", peer.sun_path, (int)peer_len);
	peer_len = 4;
	SHOW("getsockname short", getsockname(a, (void *)&peer, &peer_len));
	printf("full length %d\n", (int)peer_len);
	SHOW("getpeername not connected", getpeername(l, (void *)&peer, &peer_len));
	SHOW("connect twice", connect((long)client, (void *)&un, len));
	SHOW("accept bad flags", accept4(l, NULL, NULL, 1));
	SHOW("accept on a connection", accept(a, NULL, NULL));
	fcntl(c, F_SETFL, O_NONBLOCK);
	SHOW("connect into the backlog", connect(c, (void *)&un, len));
	struct pollfd p = { l, POLLIN };
	SHOW("listener is readable", poll(&p, 1, 0));
	close(l);
	SHOW("read from a refused one", read(c, buf, 1));
	l = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	SHOW("connect to a dead name", connect(l, (void *)&un, len));
	MUST(unlink("listen"));
	SHOW("connect to no name", connect(l, (void *)&un, len));
	SHOW("bad family", ({ un.sun_family = AF_INET; connect(l, (void *)&un, len); }));
	SHOW("short address", connect(l, (void *)&un, 1));
	SHOW("bad address", connect(l, (void *)8, len));
	closefrom(3);
}

static void abstract(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 9, got = sizeof(un);
	int l = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	memcpy(un.sun_path, "\0abstract", 9);
	SHOW("bind abstract", bind(l, (void *)&un, len));
	MUST(listen(l, 5));
	SHOW("connect abstract", connect(c, (void *)&un, len));
	SHOW("connect longer name", connect(MUST(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&un, len + 1));
	MUST(getsockname(l, (void *)&un, &got));
	printf("name length %d\n", (int)got);
	close(c);
	c = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	SHOW("bind the same name", bind(c, (void *)&un, len));
	SHOW("autobind", bind(c, (void *)&un, sizeof(sa_family_t)));
	got = sizeof(un);
	MUST(getsockname(c, (void *)&un, &got));
	printf("autobind name length %d, first byte %d\n", (int)got, un.sun_path[0]);
	closefrom(3);
}

static int send_fds(int sock, const int *fds, int n, const char *text)
{
	char control[CMSG_SPACE(300 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	return sendmsg(sock, &msg, 0);
}

/* Receives and tells about everything; returns how many descriptors came. */
static int receive(const char *what, int sock, size_t room, int flags, int *fds)
{
	char control[1024], buf[64];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = room };
	int n = recvmsg(sock, &msg, flags), count = 0;

	if (n < 0) {
		printf("%s: %s\n", what, strerrorname_np(errno));
		return -1;
	}
	printf("%s: %d bytes, flags %#x, control %zu:", what, n, msg.msg_flags, msg.msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type == SCM_RIGHTS) {
			count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), count * sizeof(int));
			printf(" %d descriptors", count);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			printf(" credentials %s %d %d", cred.pid == getpid() ? "own pid" : cred.pid ? "pid" : "0",
			       cred.uid, cred.gid);
		}
	}
	printf("\n");
	return count;
}

static void rights(void)
{
	int s[2], fds[300], got[300], n;
	char buf[16] = "";

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	fds[0] = MUST(open("passed", O_CREAT | O_RDWR, 0600));
	fds[1] = MUST(open("passed", O_PATH));
	MUST(write(fds[0], "content", 7));
	SHOW("send two", send_fds(s[0], fds, 2, "ab"));
	n = receive("receive", s[1], 256, MSG_CMSG_CLOEXEC, got);
	if (n == 2) {
		printf("cloexec %d %d\n", fcntl(got[0], F_GETFD), fcntl(got[1], F_GETFD));
		SHOW("same description", (lseek(got[0], 2, SEEK_SET), lseek(fds[0], 0, SEEK_CUR)));
		SHOW("read", read(got[0], buf, 16));
		close(got[0]);
		close(got[1]);
	}
	MUST(send_fds(s[0], fds, 2, "cd"));
	n = receive("room for one", s[1], CMSG_SPACE(sizeof(int)) - 4, 0, got);
	for (int i = 0; i < n; i++)
		close(got[i]);
	MUST(send_fds(s[0], fds, 1, "ef"));
	receive("no room", s[1], 0, 0, got);
	MUST(send_fds(s[0], fds, 1, "gh"));
	SHOW("plain read", read(s[1], buf, 16));
	MUST(send_fds(s[0], fds, 1, "one"));
	MUST(send_fds(s[0], fds, 1, "two"));
	n = receive("messages are not joined", s[1], 256, 0, got);
	n = receive("second", s[1], 256, 0, got);
	MUST(send_fds(s[0], fds, 1, "peek"));
	receive("peek", s[1], 256, MSG_PEEK, got);
	receive("after peek", s[1], 256, 0, got);
	fds[0] = 99;
	SHOW("send not open", send_fds(s[0], fds, 1, "x"));
	fds[0] = s[0];
	for (int i = 0; i < 300; i++)
		fds[i] = s[0];
	SHOW("send 253", send_fds(s[0], fds, 253, "x"));
	SHOW("send 254", send_fds(s[0], fds, 254, "x"));
	closefrom(3);
}

/* A descriptor in a message lives on when the sender is gone. */
static void flying(void)
{
	int s[2], fd, got[4], status;
	char buf[16] = "";

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	fflush(stdout);
	if (fork() == 0) {
		fd = open("flying", O_CREAT | O_RDWR, 0600);
		write(fd, "alive", 5);
		unlink("flying");
		send_fds(s[0], &fd, 1, "x");
		_exit(0);
	}
	MUST(wait(&status));
	receive("from the dead", s[1], 256, 0, got);
	SHOW("read", pread(got[0], buf, 16, 0));
	printf("%s\n", buf);
	closefrom(3);
}

static void credentials(void)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int s[2], one = 1, got[4];
	char control[CMSG_SPACE(sizeof(cred))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	SHOW("SO_PEERCRED", getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
	CHECK(cred.pid == getpid() && cred.uid == getuid() && cred.gid == getgid());
	MUST(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	MUST(write(s[0], "x", 1));
	receive("credentials", s[1], 256, 0, got);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(cred));
	cred = (struct ucred){ getpid(), 77, 88 };
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	if (SHOW("claimed by root", sendmsg(s[0], &msg, 0)) == 1)
		receive("claimed", s[1], 256, 0, got);
	c->cmsg_len = CMSG_LEN(4);
	SHOW("wrong length", sendmsg(s[0], &msg, 0));
	c->cmsg_type = 77;
	SHOW("unknown type", sendmsg(s[0], &msg, 0));
	c->cmsg_len = 3;
	SHOW("impossible length", sendmsg(s[0], &msg, 0));
	SHOW("too many vectors", ({ msg.msg_iovlen = 2000; sendmsg(s[0], &msg, 0); }));
	SHOW("bad header", sendmsg(s[0], (void *)8, 0));
	closefrom(3);
}

static void multiple(void)
{
	struct mmsghdr m[4] = { 0 };
	struct iovec iov[4] = { { "a", 1 }, { "bb", 2 }, { "ccc", 3 }, { (void *)8, 4 } };
	char buf[4][8];
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	for (int i = 0; i < 4; i++) {
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	SHOW("sendmmsg", sendmmsg(s[0], m, 4, 0));
	printf("lengths %u %u %u\n", m[0].msg_len, m[1].msg_len, m[2].msg_len);
	for (int i = 0; i < 4; i++)
		iov[i] = (struct iovec){ buf[i], 8 };
	SHOW("recvmmsg", recvmmsg(s[1], m, 4, MSG_WAITFORONE, NULL));
	printf("lengths %u %u %u\n", m[0].msg_len, m[1].msg_len, m[2].msg_len);
	SHOW("recvmmsg empty", recvmmsg(s[1], m, 4, MSG_DONTWAIT, NULL));
	SHOW("recvmmsg none", recvmmsg(s[1], m, 0, 0, NULL));
	closefrom(3);
}

static void timeouts(void)
{
	struct timeval tv = { 0, 30000 }, back;
	socklen_t len = sizeof(back);
	char c;
	int s[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	MUST(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	MUST(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &back, &len));
	CHECK(back.tv_sec == 0 && back.tv_usec >= 30000 && back.tv_usec < 40000);
	SHOW("receive timeout", read(s[0], &c, 1));
	closefrom(3);
}

int main(void)
{
	pairs();
	reset();
	reset_by_packets(0);
	reset_by_packets(1);
	reset_by_packets(2);
	datagrams();
	listening();
	abstract();
	rights();
	flying();
	credentials();
	multiple();
	timeouts();
	return 0;
}

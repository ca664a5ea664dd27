/*
 * /dev/fuse itself, sections 4.1 to 4.5 of the protocol's rules and the refusals of INIT: which call
 * of a daemon's fails with what, and what its clients get.
 *
 * D01, D02, D03, D05, D10, D12, D13, D14, D17, D18, D20, D21, D30-D44, D46, D50, D52, D53-D60, Z37,
 * D83, D86, H01, H05, Q26, Q36, K01-K04, K06, D73-D75, I03, I04, I08, I10, M03, Z01, Z02, Z04, Z30, Z31, Z35, Z36
 */
#include "raw.h"

#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void show_poll(const char *what, int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM};

	poll(&p, 1, 0);
	printf("%s: poll%s%s%s%s%s\n", what, p.revents & POLLIN ? " IN" : "",
	       p.revents & POLLRDNORM ? " RDNORM" : "", p.revents & POLLOUT ? " OUT" : "",
	       p.revents & POLLWRNORM ? " WRNORM" : "", p.revents & POLLERR ? " ERR" : "");
}

static int has_fdinfo(int fd)
{
	char path[64], line[200];
	int found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		found |= strncmp(line, "fuse_connection:\t", 17) == 0;
	if (f)
		fclose(f);
	return found;
}

static void nonblock(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A count of 0 is too little, an empty vector never comes to the device. */
static void nothing(int fd)
{
	struct iovec none = {buf, 0};

	SHOW("read of nothing", read(fd, buf, 0));
	SHOW("write of nothing", write(fd, buf, 0));
	SHOW("readv without segments", readv(fd, &none, 0));
	SHOW("writev without segments", writev(fd, &none, 0));
	SHOW("readv of an empty one", readv(fd, &none, 1));
	SHOW("writev of an empty one", writev(fd, &none, 1));
}

static void unattached(void)
{
	int fd = dev_open(), null = open("/dev/null", O_RDWR), other = dev_open();
	struct fuse_out_header out = {16, 0, 2};
	uint32_t number;
	struct stat st;

	puts("# not attached");
	fstat(fd, &st);
	printf("device %u:%u\n", major(st.st_rdev), minor(st.st_rdev));
	SHOW("read", read(fd, buf, sizeof(buf)));
	SHOW("write", write(fd, &out, 16));
	SHOW("write of one byte", write(fd, &out, 1));
	nothing(fd);
	show_poll("nothing", fd);
	SHOW("O_ASYNC", fcntl(fd, F_SETFL, O_ASYNC));
	SHOW("unknown ioctl", ioctl(fd, 0x1234, 0));
	SHOW("BACKING_OPEN", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, buf));
	SHOW("BACKING_CLOSE", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, buf));
	SHOW("CLONE, bad address", ioctl(fd, FUSE_DEV_IOC_CLONE, 8));
	number = 999;
	SHOW("CLONE of no descriptor", ioctl(fd, FUSE_DEV_IOC_CLONE, &number));
	number = (uint32_t)null;
	SHOW("CLONE of another device", ioctl(fd, FUSE_DEV_IOC_CLONE, &number));
	number = (uint32_t)other;
	SHOW("CLONE of one that is not attached", ioctl(fd, FUSE_DEV_IOC_CLONE, &number));
	printf("fdinfo names a connection: %d\n", has_fdinfo(fd));
	SHOW("SYNC_INIT", ioctl(fd, FUSE_DEV_IOC_SYNC_INIT, 0));
	SHOW("write after SYNC_INIT", write(fd, &out, 16));
	close(fd);
	close(other);
	close(null);
}

/* INIT answered with so many bytes of this. */
static void init_reply(const char *what, int error, unsigned major, unsigned minor, size_t len)
{
	struct {
		struct fuse_init_out out;
		char more[16];
	} msg = {.out = {.major = major, .minor = minor, .max_write = 4096}};
	struct client c;
	int fd = dev_open();

	must(dev_mount(fd), "mount");
	must(get(fd), "INIT");
	printf("INIT answered with %s: %s", what, word(put(fd, in->unique, error, &msg, len)));
	nonblock(fd);
	c = client(do_stat, "");
	if (error || major != 7 || len > 64 || len < 8) {
		printf(", then stat: %s", result(c));
		printf(", read: %s, notification: %s", word(SYS(read(fd, buf, sizeof(buf)))),
		       word(notify(fd, FUSE_NOTIFY_INC_EPOCH, NULL, 0)));
	} else if (get(fd) > 0) {
		printf(", then opcode %u of %u bytes", in->opcode, in->len);
		put(fd, in->unique, -EPERM, NULL, 0);
		printf(", stat: %s", result(c));
	}
	puts("");
	show_poll("  and then", fd);
	end(fd);
}

static void init(void)
{
	int fd = dev_open();

	puts("# INIT");
	must(dev_mount(fd), "mount");
	SHOW("a small buffer", read(fd, buf, 8191));
	nothing(fd);
	show_poll("INIT waits", fd);
	SHOW("INIT", get(fd));
	printf("opcode %u unique %llu node %llu uid %u gid %u extensions %u padding %u\n", in->opcode,
	       (unsigned long long)in->unique, (unsigned long long)in->nodeid, in->uid, in->gid,
	       in->total_extlen, in->padding);
	printf("version %u.%u, reserved words zero: %d\n", ((struct fuse_init_in *)body)->major,
	       ((struct fuse_init_in *)body)->minor >= 45, !memcmp(body + 20, body + 24, 40));
	printf("SYNC_INIT now: %s\n", word(SYS(ioctl(fd, FUSE_DEV_IOC_SYNC_INIT, 0))));
	printf("fdinfo names a connection: %d\n", has_fdinfo(fd));
	{
		struct client c = client(do_stat, "");

		usleep(20000);
		kill(c.pid, SIGKILL); /* it waits for the answer, but not to the death */
		printf("a client that is killed meanwhile: %s\n", result(c));
	}
	end(fd);
	init_reply("all of it", 0, 7, 45, 64);
	init_reply("24 bytes", 0, 7, 22, 24);
	init_reply("8 bytes", 0, 7, 4, 8);
	init_reply("a later minor", 0, 7, 99, 64);
	init_reply("65 bytes", 0, 7, 45, 65);
	init_reply("nothing", 0, 7, 45, 0);
	init_reply("an error", -EPERM, 7, 45, 0);
	init_reply("an error and a payload", -EPERM, 7, 45, 64);
	init_reply("ENOSYS", -ENOSYS, 7, 45, 0);
	init_reply("major 6", 0, 6, 45, 64);
	init_reply("major 8", 0, 8, 45, 64);
}

/* A client's stat waits with its LOOKUP read; the daemon writes this first. */
static void bad_write(const char *what, int fd, int error, size_t len, int delta, uint64_t change)
{
	struct client c = client(do_stat, "x");
	struct fuse_out_header out = {(uint32_t)(16 + len + delta), error};
	static char payload[256];
	struct iovec iov[2] = {{&out, 16}, {payload, len}};
	uint64_t unique;
	long written;

	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	out.unique = unique ^ change;
	written = SYS(writev(fd, iov, 2));
	printf("%s: %s, then the answer: %s", what, word(written),
	       word(put(fd, unique, -EXDEV, NULL, 0)));
	printf(", client: %s\n", result(c));
}

static void replies(void)
{
	int fd = begin(0, 45);
	struct fuse_out_header out = {16, -EPERM};
	struct client c;
	struct iovec iov[3];

	puts("# replies");
	SHOW("15 bytes", write(fd, &out, 15));
	SHOW("a header nowhere", write(fd, (void *)8, 16));
	SHOW("a header cut by the end of memory", write(fd, (void *)8, 100));
	bad_write("header.len one too many", fd, 0, 128, 1, 0);
	bad_write("header.len one too few", fd, -EPERM, 0, -1, 0);
	bad_write("error 1", fd, 1, 0, 0, 0);
	bad_write("error -512", fd, -512, 0, 0, 0);
	bad_write("error INT_MIN", fd, -2147483647 - 1, 0, 0, 0);
	bad_write("another unique", fd, -EPERM, 0, 0, 1024);
	bad_write("unique of bit 63", fd, -EPERM, 0, 0, 1ull << 63);
	bad_write("bit 0, with a payload", fd, 0, 4, 0, 1);
	bad_write("bit 0, EAGAIN of what was not interrupted", fd, -EAGAIN, 0, 0, 1);
	bad_write("bit 0, EIO", fd, -EIO, 0, 0, 1);
	bad_write("bit 0, no error", fd, 0, 0, 0, 1);
	bad_write("an error with a payload", fd, -EPERM, 8, 0, 0);
	bad_write("one byte short", fd, 0, 127, 0, 0);
	bad_write("one byte long", fd, 0, 129, 0, 0);
	bad_write("success and nothing", fd, 0, 0, 0, 0);
	bad_write("error -511", fd, -511, 0, 0, 0);
	c = client(do_stat, "x");
	get_op(fd, FUSE_LOOKUP);
	out = (struct fuse_out_header){144, 0, in->unique};
	iov[0] = (struct iovec){&out, 16};
	iov[1] = (struct iovec){(void *)8, 128};
	printf("a payload nowhere: %s", word(SYS(writev(fd, iov, 2))));
	printf(", then the answer: %s", word(put(fd, out.unique, -EXDEV, NULL, 0)));
	printf(", client: %s\n", result(c));
	c = client(do_stat, "x");
	get_op(fd, FUSE_LOOKUP);
	out = (struct fuse_out_header){16, -EXDEV, in->unique};
	iov[0] = (struct iovec){&out, 3};
	iov[1] = (struct iovec){(char *)&out + 3, 6};
	iov[2] = (struct iovec){(char *)&out + 9, 7};
	printf("a header in three pieces: %s", word(SYS(writev(fd, iov, 3))));
	printf(", client: %s\n", result(c));
	c = client(do_stat, "x");
	get_op(fd, FUSE_LOOKUP);
	out.unique = in->unique;
	printf("pwrite: %s", word(SYS(pwrite(fd, &out, 16, 4096))));
	printf(", client: %s\n", result(c));
	end(fd);
}

static long do_setxattr(const char *size)
{
	static char value[60000];

	return SYS(setxattr(in_mnt(""), "user.a", value, strtoul(size, NULL, 10), 0));
}

static void reads(void)
{
	int fd = begin(0, 45), out[2];
	struct client c;
	struct iovec iov[2] = {{buf, 40}, {(void *)8, 100000}};

	puts("# reads");
	pipe(out);
	nonblock(fd);
	SHOW("nothing there", read(fd, buf, sizeof(buf)));
	SHOW("a small buffer", read(fd, buf, 8191));
	SHOW("sendfile", sendfile(out[1], fd, NULL, 100000));
	SHOW("pread", pread(fd, buf, sizeof(buf), 5));
	SHOW("lseek", lseek(fd, 0, SEEK_SET));
	show_poll("nothing there", fd);
	c = client(do_stat, "x");
	wait_for(fd);
	show_poll("a request", fd);
	SHOW("half a buffer", readv(fd, iov, 2));
	printf("its client: %s\n", result(c));
	c = client(do_setxattr, "50000");
	wait_for(fd);
	SHOW("what is too large for the buffer", read(fd, buf, 8192));
	printf("its client: %s\n", result(c));
	c = client(do_setxattr, "8000");
	printf("what fits: %s", word(get(fd)));
	printf(" is its length: %d\n", in->len == 40 + 8 + 7 + 8000);
	put(fd, in->unique, -EPERM, NULL, 0);
	printf("its client: %s\n", result(c));
	end(fd);
}

static void on_signal(int number)
{
	(void)number;
}

/* A signal with SA_RESTART comes while the daemon works. */
static long do_stat_restarting(const char *name)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGUSR1, &action, NULL);
	return do_stat(name);
}

static void interrupts(void)
{
	int fd = begin(0, 45);
	struct client c = client(do_stat_restarting, "x");
	uint64_t unique;

	puts("# interrupts");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	kill(c.pid, SIGUSR1);
	SHOW("INTERRUPT", get(fd));
	printf("opcode %u unique is the request's and bit 0: %d, node %llu uid %u gid %u pid %u names it: %d\n",
	       in->opcode, in->unique == (unique | 1), (unsigned long long)in->nodeid, in->uid,
	       in->gid, in->pid, ((struct fuse_interrupt_in *)body)->unique == unique);
	printf("EAGAIN: %s", word(put(fd, unique | 1, -EAGAIN, NULL, 0)));
	printf(", again: %s\n", word(get(fd)));
	printf("another error: %s\n", word(put(fd, unique | 1, -EIO, NULL, 0)));
	printf("EINTR of the request: %s", word(put(fd, unique, -EINTR, NULL, 0)));
	printf(", client: %s\n", result(c));
	printf("a late answer to INTERRUPT: %s\n", word(put(fd, unique | 1, 0, NULL, 0)));

	c = client(do_stat_restarting, "x");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	kill(c.pid, SIGUSR1);
	usleep(50000);
	printf("the answer before INTERRUPT is read: %s", word(put(fd, unique, -EPERM, NULL, 0)));
	printf(", client: %s", result(c));
	nonblock(fd);
	printf(", read: %s\n", word(SYS(read(fd, buf, sizeof(buf)))));

	c = client(do_stat_restarting, "x");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	kill(c.pid, SIGUSR1);
	get(fd);
	printf("ENOSYS: %s", word(put(fd, unique | 1, -ENOSYS, NULL, 0)));
	put(fd, unique, -EPERM, NULL, 0);
	printf(", client: %s", result(c));
	c = client(do_stat_restarting, "x");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	kill(c.pid, SIGUSR1);
	usleep(50000);
	printf(", next signal: %s\n", word(SYS(read(fd, buf, sizeof(buf)))));
	put(fd, unique, -EPERM, NULL, 0);
	result(c);
	end(fd);
}

static void clones(void)
{
	int fd = begin(0, 45), second = dev_open(), third = dev_open();
	uint32_t number = (uint32_t)fd;
	struct client c;
	uint64_t unique;
	int copy;

	puts("# clones and copies");
	SHOW("CLONE", ioctl(second, FUSE_DEV_IOC_CLONE, &number));
	SHOW("CLONE of what is attached", ioctl(second, FUSE_DEV_IOC_CLONE, &number));
	number = (uint32_t)second;
	SHOW("CLONE of a clone", ioctl(third, FUSE_DEV_IOC_CLONE, &number));
	SHOW("CLONE of itself", ioctl(third, FUSE_DEV_IOC_CLONE, &(uint32_t){(uint32_t)third}));
	c = client(do_stat, "x");
	get_op(second, FUSE_LOOKUP);
	unique = in->unique;
	printf("the answer by another descriptor: %s", word(put(fd, unique, -EPERM, NULL, 0)));
	printf(", by the one that read: %s", word(put(second, unique, -EPERM, NULL, 0)));
	printf(", client: %s\n", result(c));
	printf("a notification by a clone: %s\n", word(notify(third, FUSE_NOTIFY_INC_EPOCH, NULL, 0)));
	c = client(do_stat, "x");
	get_op(second, FUSE_LOOKUP);
	close(second);
	printf("the clone that read it is closed, client: %s\n", result(c));
	copy = dup(fd);
	close(fd);
	c = client(do_stat, "x");
	get_op(copy, FUSE_LOOKUP);
	printf("a dup goes on: %s", word(put(copy, in->unique, -EPERM, NULL, 0)));
	printf(", client: %s\n", result(c));
	c = client(do_stat, "x");
	get_op(copy, FUSE_LOOKUP);
	close(copy);
	printf("one of two closed, client: %s\n", result(c));
	c = client(do_stat, "x");
	get_op(third, FUSE_LOOKUP);
	close(third);
	printf("the last one closed, client: %s", result(c));
	printf(", the next: %s\n", result(client(do_stat, "x")));
	umount2(mnt, MNT_DETACH);
}

/* Without a request: the mask is empty (F30). */
static void device_of(const char *path, dev_t *ret_dev)
{
	struct statx stx;

	must(statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &stx), "statx");
	*ret_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
}

static void mounts(void)
{
	int fd = begin(0, 45), copy;
	struct client c;
	uint64_t unique;

	const char *here = mnt;
	char other[100];
	dev_t first, second;

	snprintf(other, sizeof(other), "%s.2", mnt);
	puts("# mounts");
	SHOW("the same descriptor, the same place", dev_mount(fd));
	mkdir(other, 0755);
	device_of(mnt, &first);
	mnt = other;
	SHOW("another place", dev_mount(fd));
	device_of(mnt, &second);
	printf("is the same file system: %d\n", first == second);
	SHOW("umount of that", umount(mnt));
	rmdir(other);
	mnt = here;
	c = client(do_stat, "x");
	get_op(fd, FUSE_LOOKUP);
	unique = in->unique;
	printf("umount -f, a request read: %s", word(SYS(umount2(mnt, MNT_FORCE))));
	printf(", client: %s\n", result(c));
	SHOW("read", read(fd, buf, sizeof(buf)));
	show_poll("aborted", fd);
	printf("the answer: %s\n", word(put(fd, unique, -EPERM, NULL, 0)));
	umount2(mnt, MNT_DETACH);
	SHOW("mount of the same descriptor after that", dev_mount(fd));
	copy = dev_open();
	SHOW("CLONE of a dead one", ioctl(copy, FUSE_DEV_IOC_CLONE, &(uint32_t){(uint32_t)fd}));
	close(copy);
	close(fd);
	fd = begin(0, 45);
	SHOW("umount", umount(mnt));
	show_poll("not mounted", fd);
	SHOW("read", read(fd, buf, sizeof(buf)));
	printf("an answer: %s\n", word(put(fd, 4, 0, NULL, 0)));
	close(fd);
	fd = begin(0, 45);
	close(fd);
	printf("the daemon is gone: stat: %s\n", result(client(do_stat, "x")));
	SHOW("umount", umount(mnt));
	fd = begin(0, 45);
	copy = open(mnt, O_RDONLY | O_PATH);
	SHOW("umount -l, the root in use", umount2(mnt, MNT_DETACH));
	show_poll("still in use", fd);
	close(copy);
	wait_for(fd);
	show_poll("no more", fd);
	close(fd);
}

static volatile int signals;
static void count(int number)
{
	(void)number;
	signals++;
}

static int signalled(void)
{
	for (int i = 0; i < 5000 && !signals; i++)
		usleep(1000);
	return signals > 0;
}

static void async(void)
{
	int fd = begin(0, 45);
	struct client c;

	puts("# O_ASYNC");
	signal(SIGIO, count);
	fcntl(fd, F_SETOWN, getpid());
	SHOW("O_ASYNC", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
	c = client(do_stat, "x");
	get_op(fd, FUSE_LOOKUP);
	printf("signal after a request: %d\n", signalled());
	put(fd, in->unique, -EPERM, NULL, 0);
	result(c);
	signals = 0;
	umount2(mnt, MNT_FORCE);
	printf("signal after the abort: %d\n", signalled());
	signal(SIGIO, SIG_IGN);
	end(fd);
}

static void splices(void)
{
	int fd = begin(0, 45), pipes[2];
	struct fuse_out_header out = {16, -EXDEV};
	struct client c = client(do_stat, "x");

	puts("# splice");
	pipe(pipes);
	get_op(fd, FUSE_LOOKUP);
	out.unique = in->unique;
	write(pipes[1], &out, 10);
	SHOW("part of an answer", splice(pipes[0], NULL, fd, NULL, 16, 0));
	write(pipes[1], (char *)&out + 10, 6);
	SHOW("all of it", splice(pipes[0], NULL, fd, NULL, 16, 0));
	printf("client: %s\n", result(c));
	fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
	c = client(do_stat, "x");
	SHOW("a request into a pipe", splice(fd, NULL, pipes[1], NULL, 200000, 0));
	read(pipes[0], buf, sizeof(buf));
	printf("opcode %u, name %s\n", in->opcode, body);
	put(fd, in->unique, -EPERM, NULL, 0);
	printf("client: %s\n", result(c));
	SHOW("a small pipe", splice(fd, NULL, pipes[1], NULL, 8191, 0));
	end(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* FUSE_PASSTHROUGH */
static void backing(void)
{
	int fd = begin(0, 45), file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	struct fuse_backing_map map = {.fd = file};
	int32_t id;

	puts("# backing files");
	SHOW("BACKING_OPEN without PASSTHROUGH", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	id = 1;
	SHOW("BACKING_CLOSE without PASSTHROUGH", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	end(fd);
	fd = begin(FUSE_PASSTHROUGH, 45);
	SHOW("bad address", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, 8));
	map.flags = 1;
	SHOW("flags", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	map = (struct fuse_backing_map){.fd = file, .padding = 1};
	SHOW("padding", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	map = (struct fuse_backing_map){.fd = 999};
	SHOW("no file", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	map.fd = open("/tmp", O_RDONLY);
	SHOW("a directory", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	close(map.fd);
	map.fd = open("/dev/null", O_RDWR);
	SHOW("a device", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	close(map.fd);
	map.fd = file;
	SHOW("a file", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	SHOW("once more", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	id = 0;
	SHOW("close of 0", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	id = -1;
	SHOW("close of -1", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	id = 77;
	SHOW("close of an unknown one", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	id = 1;
	SHOW("close", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	SHOW("close again", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, &id));
	SHOW("close, bad address", ioctl(fd, FUSE_DEV_IOC_BACKING_CLOSE, 8));
	SHOW("the next", ioctl(fd, FUSE_DEV_IOC_BACKING_OPEN, &map));
	end(fd);
	close(file);
}

int main(int argc, char **argv)
{
	start(argc, argv);
	unattached();
	init();
	replies();
	reads();
	interrupts();
	clones();
	mounts();
	async();
	splices();
	backing();
	return 0;
}

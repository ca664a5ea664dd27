/* open(2), openat2(2), creat(2): flags, modes, errors. */
#include "report.h"

#include <fcntl.h>
#include <linux/openat2.h>

static void show_flags(const char *what, int fd)
{
	if (fd < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %#o cloexec %d\n", what, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	if (fd >= 0)
		close(fd);
}

static void make(const char *name, const char *text)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644));

	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void creation(void)
{
	struct stat st;
	int fd;

	SHOW_FD("missing", open("f", O_RDONLY));
	show_flags("create", open("f", O_CREAT | O_RDWR, 0666));
	MUST(stat("f", &st));
	printf("mode with umask 022: %o\n", st.st_mode & 07777);
	show_flags("create again", open("f", O_CREAT | O_RDWR, 0));
	SHOW_FD("O_EXCL on existing", open("f", O_CREAT | O_EXCL | O_RDWR, 0666));
	SHOW_FD("O_EXCL on dangling link", (symlink("t", "l"), open("l", O_CREAT | O_EXCL | O_RDWR, 0666)));
	show_flags("O_CREAT through dangling link", open("l", O_CREAT | O_RDWR, 0666));
	SHOW("target was made", access("t", F_OK));
	SHOW_FD("O_CREAT in missing dir", open("no/f", O_CREAT | O_RDWR, 0666));
	SHOW_FD("O_CREAT with trailing slash", open("new/", O_CREAT | O_RDWR, 0666));
	SHOW_FD("O_CREAT below a file", open("f/new", O_CREAT | O_RDWR, 0666));
	fd = MUST(open("ro", O_CREAT | O_RDWR, 0));
	printf("written to a file of mode 0: %ld\n", (long)write(fd, "x", 1));
	close(fd);
	show_flags("creat", creat("c", 0600));
	MUST(mkdir("d", 0755));
	SHOW_FD("creat on a directory", creat("d", 0600));
	SHOW_FD("O_CREAT|O_DIRECTORY", open("x", O_CREAT | O_DIRECTORY, 0600));
	umask(077);
	close(MUST(open("u", O_CREAT | O_WRONLY, 0777)));
	MUST(stat("u", &st));
	printf("mode with umask 077: %o\n", st.st_mode & 07777);
	umask(022);
	close(MUST(open("s", O_CREAT | O_WRONLY, 04755)));
	MUST(stat("s", &st));
	printf("set-uid bit at creation: %o\n", st.st_mode & 07777);
}

static void access_modes(void)
{
	char buf[8];
	int fd;

	make("f", "12345");
	fd = MUST(open("f", O_RDONLY));
	SHOW("write to O_RDONLY", write(fd, "x", 1));
	close(fd);
	fd = MUST(open("f", O_WRONLY));
	SHOW("read from O_WRONLY", read(fd, buf, 1));
	close(fd);
	fd = MUST(open("f", O_RDWR | O_TRUNC));
	SHOW("read after O_TRUNC", read(fd, buf, 8));
	close(fd);
	fd = MUST(open("f", 3));
	SHOW("read from access mode 3", read(fd, buf, 1));
	SHOW("write to access mode 3", write(fd, buf, 1));
	show_flags("access mode 3", fd);
	fd = MUST(open("f", O_WRONLY | O_APPEND));
	MUST(write(fd, "ab", 2));
	MUST(lseek(fd, 0, SEEK_SET));
	MUST(write(fd, "cd", 2));
	SHOW("O_APPEND leaves position at", lseek(fd, 0, SEEK_CUR));
	close(fd);
	fd = MUST(open("f", O_RDONLY));
	memset(buf, 0, sizeof(buf));
	SHOW("content length", read(fd, buf, 8));
	printf("content %s\n", buf);
	close(fd);
	show_flags("flags kept", open("f", O_RDWR | O_APPEND | O_NONBLOCK | O_SYNC | O_NOATIME | O_CLOEXEC));
	show_flags("flags dropped", open("f", O_RDONLY | O_NOCTTY | O_NOFOLLOW));
	show_flags("unknown flag", syscall(SYS_open, "f", O_RDONLY | 0x20000000, 0));
	SHOW_FD("O_TMPFILE without directory bit", syscall(SYS_open, ".", O_RDWR | 020000000, 0600));
}

static void directories(void)
{
	char buf[8];
	int fd;

	SHOW_FD("directory for writing", open("d", O_WRONLY));
	SHOW_FD("directory O_RDWR", open("d", O_RDWR));
	SHOW_FD("O_DIRECTORY on a file", open("f", O_RDONLY | O_DIRECTORY));
	SHOW_FD("trailing slash on a file", open("f/", O_RDONLY));
	fd = SHOW_FD("directory", open("d", O_RDONLY));
	SHOW("read of a directory", read(fd, buf, 8));
	close(fd);
	SHOW_FD("O_NOFOLLOW on a link", open("l", O_RDONLY | O_NOFOLLOW));
	SHOW_FD("O_DIRECTORY|O_NOFOLLOW on a link to a directory",
		(symlink("d", "ld"), open("ld", O_RDONLY | O_NOFOLLOW | O_DIRECTORY)));
	SHOW_FD("link with slash", open("ld/", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
}

static void path_only(void)
{
	char buf[8];
	int fd = MUST(open("f", O_PATH));

	SHOW("read O_PATH", read(fd, buf, 1));
	SHOW("write O_PATH", write(fd, buf, 1));
	SHOW("lseek O_PATH", lseek(fd, 0, SEEK_SET));
	SHOW("fchmod O_PATH", fchmod(fd, 0600));
	SHOW("fchown O_PATH", fchown(fd, 0, 0));
	SHOW("ftruncate O_PATH", ftruncate(fd, 0));
	SHOW("fsync O_PATH", fsync(fd));
	SHOW("F_SETFL O_PATH", fcntl(fd, F_SETFL, 0));
	SHOW_FD("dup O_PATH", dup(fd));
	show_flags("O_PATH", fd);
	show_flags("O_PATH with more", open("f", O_PATH | O_RDWR | O_APPEND | O_CLOEXEC));
	SHOW_FD("O_PATH below O_PATH dir", openat(open("d", O_PATH), "..", O_PATH));
}

static int at2(const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };
	int dir = open("d", O_PATH), fd, err;

	fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
	err = errno;
	close(dir);
	errno = err;
	return fd;
}

static void openat2_calls(void)
{
	struct {
		struct open_how how;
		uint64_t extra;
	} big = { .extra = 0 };
	int fd;

	make("d/in", "x");
	MUST(symlink("in", "d/rel"));
	MUST(symlink("../f", "d/out"));
	MUST(symlink("/in", "d/abs"));
	show_flags("openat2", at2("in", O_RDONLY, 0, 0));
	SHOW_FD("openat2 unknown flag", at2("in", 1ull << 40, 0, 0));
	SHOW_FD("openat2 mode without O_CREAT", at2("in", O_RDONLY, 0600, 0));
	SHOW_FD("openat2 bad mode", at2("new", O_CREAT | O_RDWR, 0200000, 0));
	SHOW_FD("openat2 O_PATH|O_RDWR", at2("in", O_PATH | O_RDWR, 0, 0));
	SHOW_FD("openat2 bad resolve", at2("in", 0, 0, 1 << 20));
	SHOW_FD("openat2 beneath and in root", at2("in", 0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
	SHOW_FD("beneath inside", at2("in", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("beneath ..", at2("../f", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("beneath link inside", at2("rel", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("beneath link outside", at2("out", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("beneath absolute", at2("/in", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("beneath absolute link", at2("abs", 0, 0, RESOLVE_BENEATH));
	SHOW_FD("in root ..", at2("../in", 0, 0, RESOLVE_IN_ROOT));
	SHOW_FD("in root absolute", at2("/in", 0, 0, RESOLVE_IN_ROOT));
	SHOW_FD("in root absolute link", at2("abs", 0, 0, RESOLVE_IN_ROOT));
	SHOW_FD("no symlinks", at2("rel", 0, 0, RESOLVE_NO_SYMLINKS));
	SHOW_FD("no symlinks, O_PATH|O_NOFOLLOW", at2("rel", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
	SHOW_FD("no magic links", at2("/proc/self/exe", 0, 0, RESOLVE_NO_MAGICLINKS));
	SHOW_FD("no xdev", at2("/proc/self/stat", 0, 0, RESOLVE_NO_XDEV));
	SHOW_FD("cached with O_CREAT", at2("new", O_CREAT | O_RDWR, 0600, RESOLVE_CACHED));
	SHOW_FD("short struct", syscall(SYS_openat2, AT_FDCWD, "f", &big, 8));
	fd = SHOW_FD("longer struct of zeros", syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)));
	close(fd);
	big.extra = 1;
	SHOW_FD("longer struct with more", syscall(SYS_openat2, AT_FDCWD, "f", &big, sizeof(big)));
	SHOW_FD("bad struct", syscall(SYS_openat2, AT_FDCWD, "f", 8L, sizeof(struct open_how)));
}

static void temporary(void)
{
	char proc[64];
	struct stat st;
	int fd = SHOW_FD("O_TMPFILE", open(".", O_TMPFILE | O_RDWR, 0640));

	if (fd < 0)
		return;
	MUST(fstat(fd, &st));
	printf("O_TMPFILE: mode %o nlink %ld\n", st.st_mode, (long)st.st_nlink);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	SHOW("give it a name", linkat(AT_FDCWD, proc, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	MUST(fstat(fd, &st));
	printf("named: nlink %ld\n", (long)st.st_nlink);
	close(fd);
	fd = MUST(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0640));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	SHOW("O_EXCL forbids a name", linkat(AT_FDCWD, proc, AT_FDCWD, "named2", AT_SYMLINK_FOLLOW));
	close(fd);
	SHOW_FD("O_TMPFILE read only", open(".", O_TMPFILE | O_RDONLY, 0640));
	SHOW_FD("O_TMPFILE on a file", open("f", O_TMPFILE | O_RDWR, 0640));
}

int main(void)
{
	creation();
	access_modes();
	directories();
	path_only();
	openat2_calls();
	temporary();
	SHOW_FD("bad path", open((char *)8, O_RDONLY));
	SHOW_FD("empty path", open("", O_RDONLY));
	SHOW_FD("a constant of /proc/sys", open("/proc/sys/kernel/ostype", O_WRONLY));
	SHOW_FD("a file of sysfs that cannot be written",
		open("/sys/devices/system/cpu/online", O_RDWR));
	SHOW_FD("no reader of a FIFO", (mkfifo("p", 0600), open("p", O_WRONLY | O_NONBLOCK)));
	SHOW_FD("FIFO for reading", open("p", O_RDONLY | O_NONBLOCK));
	return 0;
}

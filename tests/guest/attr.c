/* chmod(2), chown(2), utimensat(2), extended attributes. */
#include "report.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

static void show(const char *name)
{
	struct stat st;

	if (lstat(name, &st))
		printf("%s: %s\n", name, strerrorname_np(errno));
	else
		printf("%s: %o %d:%d\n", name, st.st_mode, st.st_uid, st.st_gid);
}

static void modes(void)
{
	int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));

	TRY(chmod("f", 0));
	show("f");
	TRY(chmod("f", 0107777));
	show("f");
	TRY(fchmod(fd, 0600));
	show("f");
	MUST(symlink("f", "l"));
	TRY(chmod("l", 0640));
	show("f");
	show("l");
	TRY(chmod("no", 0640));
	SHOW("fchmodat2 of a link", syscall(452, AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
	SHOW("fchmodat2 empty path", syscall(452, fd, "", 0601, AT_EMPTY_PATH));
	show("f");
	SHOW("fchmodat2 bad flag", syscall(452, AT_FDCWD, "f", 0600, 0x10));
	TRY(fchmod(99, 0));
	close(fd);
}

static void owners(void)
{
	int fd = MUST(open("f", O_RDWR));

	MUST(chmod("f", 06755));
	TRY(chown("f", 100, 200));
	show("f");
	MUST(chmod("f", 06744));
	TRY(chown("f", -1, 201));
	show("f");
	MUST(chmod("f", 06755));
	TRY(chown("f", -1, -1));
	show("f");
	TRY(lchown("l", 5, 6));
	show("l");
	show("f");
	TRY(chown("l", 7, 8));
	show("f");
	TRY(fchown(fd, 0, 0));
	SHOW("fchownat empty path", fchownat(fd, "", 9, 9, AT_EMPTY_PATH));
	show("f");
	SHOW("fchownat bad flag", fchownat(AT_FDCWD, "f", 0, 0, 0x10));
	MUST(chown("f", 0, 0));
	MUST(mkdir("sg", 0755));
	MUST(chown("sg", 0, 50));
	MUST(chmod("sg", 02775));
	close(MUST(open("sg/file", O_CREAT | O_RDWR, 0600)));
	MUST(mkdir("sg/dir", 0755));
	show("sg/file");
	show("sg/dir");
	TRY(chown("sg", 1, 1));
	show("sg");
	close(fd);
}

/* What a user without capabilities may do. */
static void ordinary(void)
{
	int fd, status;

	MUST(chmod(".", 0777));
	close(MUST(open("mine", O_CREAT | O_RDWR, 0644)));
	MUST(chown("mine", 1000, 1000));
	MUST(chmod("f", 0644));
	fflush(stdout);
	if (fork() == 0) {
		gid_t groups[] = { 1000, 2000 };

		MUST(setgroups(2, groups));
		MUST(setresgid(1000, 1000, 1000));
		MUST(setresuid(1000, 1000, 1000));
		TRY(chmod("f", 0600));
		TRY(chown("f", 1000, 1000));
		TRY(chmod("mine", 0640));
		TRY(chown("mine", 1001, -1));
		TRY(chown("mine", -1, 2000));
		TRY(chown("mine", -1, 3000));
		TRY(chown("mine", 1000, 1000));
		MUST(chmod("mine", 06755));
		show("mine");
		fd = MUST(open("mine", O_WRONLY));
		MUST(write(fd, "x", 1));
		show("mine");
		close(fd);
		MUST(chown("mine", -1, 2000));
		TRY(chmod("mine", 02755));
		show("mine");
		SHOW("utimes of another's, now", utimensat(AT_FDCWD, "f", NULL, 0));
		SHOW("utimes of another's, set", ({ struct timespec t[2] = { { 1, 0 }, { 1, 0 } }; utimensat(AT_FDCWD, "f", t, 0); }));
		SHOW("truncate another's", truncate("f", 0));
		SHOW("open another's for writing", open("f", O_WRONLY));
		SHOW("O_NOATIME on another's", open("f", O_RDONLY | O_NOATIME));
		SHOW("O_NOATIME on one's own", open("mine", O_RDONLY | O_NOATIME) > 0);
		SHOW("set-gid of a foreign group", (close(open("sgf", O_CREAT | O_RDWR, 0600)), chmod("sgf", 02700)));
		show("sgf");
		SHOW("unlink another's", unlink("f2"));
		fflush(stdout);
		_exit(0);
	}
	MUST(wait(&status));
	show("mine");
}

static void show_times(const char *what, const char *name)
{
	struct stat st;

	MUST(lstat(name, &st));
	printf("%s: %ld.%09ld %ld.%09ld\n", what, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	       (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int recent(const struct timespec *ts)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - ts->tv_sec < 20 && ts->tv_sec - now.tv_sec < 2;
}

static void times(void)
{
	struct timespec t[2] = { { 1000, 123456789 }, { 2000, 987654321 } };
	struct timeval tv[2] = { { 3000, 5 }, { 4000, 6 } };
	struct utimbuf ut = { 5000, 6000 };
	struct stat st, before;
	int fd = MUST(open("t", O_CREAT | O_RDWR, 0644));

	TRY(utimensat(AT_FDCWD, "t", t, 0));
	show_times("set", "t");
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = 7000;
	t[1].tv_nsec = 0;
	TRY(utimensat(AT_FDCWD, "t", t, 0));
	show_times("one omitted", "t");
	t[0].tv_nsec = UTIME_NOW;
	t[1].tv_nsec = UTIME_OMIT;
	TRY(utimensat(AT_FDCWD, "t", t, 0));
	MUST(stat("t", &st));
	CHECK(recent(&st.st_atim) && st.st_mtim.tv_sec == 7000 && recent(&st.st_ctim));
	t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
	SHOW("both omitted on a missing file", utimensat(AT_FDCWD, "no", t, 0));
	t[0].tv_nsec = 1000000000;
	TRY(utimensat(AT_FDCWD, "t", t, 0));
	TRY(utimes("t", tv));
	show_times("utimes", "t");
	tv[0].tv_usec = 1000000;
	TRY(utimes("t", tv));
	TRY(utime("t", &ut));
	show_times("utime", "t");
	t[0] = (struct timespec){ -5, 0 };
	t[1] = (struct timespec){ 9000, 1 };
	SHOW("by descriptor", futimens(fd, t));
	show_times("before the epoch", "t");
	SHOW("null path with flags", syscall(SYS_utimensat, fd, NULL, t, AT_SYMLINK_NOFOLLOW));
	SHOW("null path, no descriptor", syscall(SYS_utimensat, AT_FDCWD, NULL, t, 0));
	t[0].tv_sec = 1;
	SHOW("of a link", utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	show_times("link", "l");
	SHOW("bad flag", utimensat(AT_FDCWD, "t", t, 0x10));
	SHOW("now", utimensat(AT_FDCWD, "t", NULL, 0));
	MUST(stat("t", &st));
	CHECK(recent(&st.st_atim) && recent(&st.st_mtim));
	MUST(futimens(fd, t));
	MUST(write(fd, "x", 1));
	MUST(fstat(fd, &st));
	CHECK(recent(&st.st_mtim) && st.st_atim.tv_sec == 1);
	MUST(futimens(fd, t));
	MUST(chmod("t", 0600));
	MUST(fstat(fd, &st));
	CHECK(st.st_mtim.tv_sec == 9000 && recent(&st.st_ctim));
	MUST(mkdir("td", 0755));
	MUST(utimensat(AT_FDCWD, "td", t, 0));
	close(MUST(open("td/x", O_CREAT | O_RDWR, 0600)));
	MUST(stat("td", &st));
	CHECK(recent(&st.st_mtim));
	MUST(utimensat(AT_FDCWD, "td", t, 0));
	MUST(unlink("td/x"));
	MUST(stat("td", &st));
	CHECK(recent(&st.st_mtim));
	close(fd);
}

static void xattrs(void)
{
	char buf[256], *big = calloc(1, 70000), name[300] = "user.";
	int fd = MUST(open("x", O_CREAT | O_RDWR, 0644));

	TRY(setxattr("x", "user.a", "value", 5, 0));
	TRY(getxattr("x", "user.a", buf, sizeof(buf)));
	printf("value %.5s\n", buf);
	TRY(getxattr("x", "user.a", NULL, 0));
	TRY(getxattr("x", "user.a", buf, 3));
	TRY(getxattr("x", "user.none", buf, 3));
	TRY(setxattr("x", "user.a", "v", 1, XATTR_CREATE));
	TRY(setxattr("x", "user.b", "v", 1, XATTR_REPLACE));
	TRY(setxattr("x", "user.a", "vv", 2, XATTR_REPLACE));
	TRY(setxattr("x", "user.a", "vv", 2, 4));
	TRY(fsetxattr(fd, "user.empty", NULL, 0, 0));
	TRY(fgetxattr(fd, "user.empty", buf, 10));
	TRY(fgetxattr(fd, "user.a", buf, 10));
	SHOW("list size", listxattr("x", NULL, 0));
	SHOW("list", listxattr("x", buf, sizeof(buf)));
	SHOW("list short", listxattr("x", buf, 3));
	TRY(removexattr("x", "user.a"));
	TRY(removexattr("x", "user.a"));
	TRY(fremovexattr(fd, "user.empty"));
	SHOW("list", flistxattr(fd, buf, sizeof(buf)));
	TRY(setxattr("x", "", "v", 1, 0));
	TRY(setxattr("x", "nodot", "v", 1, 0));
	TRY(setxattr("x", "unknown.a", "v", 1, 0));
	TRY(setxattr("no", "user.a", "v", 1, 0));
	SHOW("value too large", setxattr("x", "user.big", big, 65537, 0));
	memset(name + 5, 'n', 290);
	SHOW("name too long", setxattr("x", name, "v", 1, 0));
	SHOW("bad value", setxattr("x", "user.a", (void *)8, 5, 0));
	SHOW("bad name", setxattr("x", (void *)8, "v", 1, 0));
	MUST(symlink("x", "xl"));
	SHOW("user attribute of a link", lsetxattr("xl", "user.a", "v", 1, 0));
	SHOW("through the link", setxattr("xl", "user.t", "v", 1, 0));
	TRY(getxattr("x", "user.t", buf, 10));
	SHOW("trusted", setxattr("x", "trusted.a", "v", 1, 0));
	TRY(getxattr("x", "trusted.a", buf, 10));
	MUST(mkdir("xd", 01777));
	SHOW("of a directory", setxattr("xd", "user.a", "v", 1, 0));
	struct {
		uint64_t value;
		uint32_t size, flags;
	} at = { (uintptr_t) "at", 2, 0 };
	SHOW("setxattrat", syscall(463, AT_FDCWD, "x", 0, "user.at", &at, sizeof(at)));
	at = (typeof(at)){ (uintptr_t)buf, sizeof(buf), 0 };
	SHOW("getxattrat", syscall(464, fd, "", AT_EMPTY_PATH, "user.at", &at, sizeof(at)));
	SHOW("getxattrat null path", syscall(464, fd, NULL, AT_EMPTY_PATH, "user.at", &at, sizeof(at)));
	at.flags = 1;
	SHOW("getxattrat flags", syscall(464, fd, "", AT_EMPTY_PATH, "user.at", &at, sizeof(at)));
	SHOW("getxattrat short", syscall(464, fd, "", AT_EMPTY_PATH, "user.at", &at, 8));
	CHECK(syscall(465, AT_FDCWD, "x", 0, buf, sizeof(buf)) > 0);
	SHOW("listxattrat bad flag", syscall(465, AT_FDCWD, "x", 1, buf, sizeof(buf)));
	SHOW("removexattrat", syscall(466, AT_FDCWD, "x", 0, "user.at"));
	SHOW("removexattrat of a link", syscall(466, AT_FDCWD, "xl", AT_SYMLINK_NOFOLLOW, "user.at"));
	SHOW("O_PATH", ({ int p = open("x", O_PATH); fsetxattr(p, "user.p", "v", 1, 0); }));
	close(fd);
	free(big);
}

int main(void)
{
	modes();
	owners();
	ordinary();
	times();
	xattrs();
	return 0;
}

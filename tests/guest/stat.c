/* stat(2), statx(2), access(2), readlink(2), statfs(2). */
#include "report.h"

#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

static void show_type(const char *what, int result, const struct stat *st)
{
	if (result)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: mode %o size %ld nlink %ld uid %d gid %d\n", what, st->st_mode,
		       S_ISDIR(st->st_mode) ? -1L : (long)st->st_size,
		       S_ISDIR(st->st_mode) ? -1L : (long)st->st_nlink, st->st_uid, st->st_gid);
}

static void plain(void)
{
	struct stat st;
	int fd = MUST(open("file", O_CREAT | O_RDWR, 0640));

	MUST(write(fd, "hello", 5));
	MUST(symlink("file", "link"));
	MUST(symlink("nowhere", "dangling"));
	MUST(symlink("loop2", "loop1"));
	MUST(symlink("loop1", "loop2"));
	MUST(mkdir("dir", 0751));
	MUST(mkfifo("fifo", 0600));
	show_type("stat file", stat("file", &st), &st);
	show_type("stat link", stat("link", &st), &st);
	show_type("lstat link", lstat("link", &st), &st);
	show_type("stat dangling", stat("dangling", &st), &st);
	show_type("stat loop", stat("loop1", &st), &st);
	show_type("stat dir", stat("dir", &st), &st);
	show_type("stat dir/", stat("dir/", &st), &st);
	show_type("stat file/", stat("file/", &st), &st);
	show_type("stat file/x", stat("file/x", &st), &st);
	show_type("stat fifo", stat("fifo", &st), &st);
	show_type("stat empty", stat("", &st), &st);
	show_type("stat missing", stat("missing", &st), &st);
	show_type("stat bad path", stat((char *)8, &st), &st);
	show_type("stat dir/..//./file", stat("dir/..//./file", &st), &st);
	show_type("fstat file", fstat(fd, &st), &st);
	show_type("fstat bad", fstat(99, &st), &st);
	SHOW("stat into nowhere", syscall(SYS_stat, "file", 8L));
	MUST(link("file", "hard"));
	show_type("two links", stat("file", &st), &st);
	MUST(unlink("file"));
	show_type("fstat after one unlink", fstat(fd, &st), &st);
	MUST(unlink("hard"));
	show_type("fstat after both", fstat(fd, &st), &st);
	close(fd);
}

static void at_calls(void)
{
	struct stat st;
	int dir = MUST(open("dir", O_RDONLY | O_DIRECTORY));
	int fd = MUST(openat(dir, "inner", O_CREAT | O_RDWR, 0600));
	int path = MUST(open("dir/inner", O_PATH));
	int link_fd = MUST(open("link", O_PATH | O_NOFOLLOW));

	show_type("fstatat inner", fstatat(dir, "inner", &st, 0), &st);
	show_type("fstatat empty", fstatat(dir, "", &st, 0), &st);
	show_type("fstatat AT_EMPTY_PATH", fstatat(fd, "", &st, AT_EMPTY_PATH), &st);
	show_type("fstatat O_PATH", fstatat(path, "", &st, AT_EMPTY_PATH), &st);
	show_type("fstatat O_PATH link", fstatat(link_fd, "", &st, AT_EMPTY_PATH), &st);
	CHECK(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode));
	show_type("fstatat NOFOLLOW", fstatat(AT_FDCWD, "link", &st, AT_SYMLINK_NOFOLLOW), &st);
	show_type("fstatat file as dir", fstatat(fd, "x", &st, 0), &st);
	show_type("fstatat bad dir", fstatat(99, "x", &st, 0), &st);
	show_type("fstatat absolute ignores dir", fstatat(99, "/proc/self/stat", &st, 0), &st);
	SHOW("fstatat bad flag", syscall(SYS_newfstatat, dir, "inner", &st, 0x10));
	show_type("fstat O_PATH", fstat(path, &st), &st);
	CHECK(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == 1 &&
	      minor(st.st_rdev) == 3);
	close(dir);
	close(fd);
	close(path);
	close(link_fd);
}

static void extended(void)
{
	struct statx sx;
	struct stat st;

	memset(&sx, 0xff, sizeof(sx));
	SHOW("statx", statx(AT_FDCWD, "dir/inner", 0, STATX_BASIC_STATS, &sx));
	CHECK((sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	MUST(stat("dir/inner", &st));
	CHECK(sx.stx_ino == st.st_ino && sx.stx_mode == st.st_mode && sx.stx_nlink == st.st_nlink);
	CHECK(makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
	CHECK(sx.stx_mtime.tv_sec == st.st_mtim.tv_sec && sx.stx_mtime.tv_nsec == st.st_mtim.tv_nsec);
	SHOW("statx both sync flags",
	     statx(AT_FDCWD, "dir", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &sx));
	SHOW("statx reserved mask", statx(AT_FDCWD, "dir", 0, 0x80000000u, &sx));
	SHOW("statx bad flag", statx(AT_FDCWD, "dir", 0x10, 0, &sx));
	SHOW("statx nofollow", statx(AT_FDCWD, "dangling", AT_SYMLINK_NOFOLLOW, 0, &sx));
	SHOW("statx null name", syscall(SYS_statx, AT_FDCWD, NULL, 0, 0, &sx));
}

static void accessing(void)
{
	MUST(chmod("dir/inner", 0400));
	TRY(access("dir/inner", F_OK));
	TRY(access("dir/inner", R_OK));
	TRY(access("dir/inner", X_OK));
	TRY(access("dir", X_OK));
	TRY(access("missing", F_OK));
	TRY(access("dangling", F_OK));
	TRY(access("dir/inner", 8));
	SHOW("faccessat2 bad flag", syscall(SYS_faccessat2, AT_FDCWD, "dir", 0, 0x10));
	SHOW("faccessat2 link", syscall(SYS_faccessat2, AT_FDCWD, "dangling", 0, AT_SYMLINK_NOFOLLOW));
	SHOW("faccessat2 AT_EACCESS",
	     syscall(SYS_faccessat2, AT_FDCWD, "dir/inner", R_OK, AT_EACCESS));
}

static void links(void)
{
	char buf[64];
	int fd;

	memset(buf, 'x', sizeof(buf));
	SHOW("readlink", readlink("link", buf, sizeof(buf)));
	printf("target %.4s, then %c\n", buf, buf[4]);
	SHOW("readlink short", readlink("link", buf, 2));
	SHOW("readlink size 0", syscall(SYS_readlink, "link", buf, 0));
	SHOW("readlink file", readlink("dir/inner", buf, sizeof(buf)));
	SHOW("readlink missing", readlink("missing", buf, sizeof(buf)));
	SHOW("readlink empty", readlink("", buf, sizeof(buf)));
	fd = MUST(open("link", O_PATH | O_NOFOLLOW));
	SHOW("readlinkat of the link itself", readlinkat(fd, "", buf, sizeof(buf)));
	close(fd);
	fd = MUST(open("dir", O_RDONLY));
	SHOW("readlinkat empty of a directory", readlinkat(fd, "", buf, sizeof(buf)));
	close(fd);
}

static void file_systems(void)
{
	struct statfs fs;
	int fd;

	SHOW("statfs", statfs(".", &fs));
	CHECK(fs.f_bsize > 0 && fs.f_namelen == 255);
	SHOW("statfs missing", statfs("missing", &fs));
	fd = MUST(open(".", O_PATH));
	SHOW("fstatfs O_PATH", fstatfs(fd, &fs));
	close(fd);
	SHOW("fstatfs bad", fstatfs(99, &fs));
	SHOW("statfs into nowhere", syscall(SYS_statfs, ".", 8L));
}

static void long_names(void)
{
	static char name[5000];
	struct stat st;

	memset(name, 'a', 256);
	name[256] = 0;
	SHOW("component of 256", stat(name, &st));
	name[255] = 0;
	SHOW("component of 255", stat(name, &st));
	memset(name, '/', 4095);
	name[4095] = 0;
	SHOW("path of 4095", stat(name, &st));
	name[4095] = '/';
	name[4096] = 0;
	SHOW("path of 4096", stat(name, &st));
}

int main(void)
{
	plain();
	at_calls();
	extended();
	accessing();
	links();
	file_systems();
	long_names();
	return 0;
}

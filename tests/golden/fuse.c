/*
 * The golden trace of what any client does: names, attributes, small reads and writes, locks, a
 * program. Its arguments: trace.h.
 */
#include "tree.h"

#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/xattr.h>

#define COLD "stat of a path that nobody has seen"

static void put(const char *name, int flags, const char *text)
{
	int fd = open(name, flags, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("  ! %s: %s\n", name, strerrorname_np(errno));
	close(fd);
}

static void get(const char *name)
{
	char buf[10000];
	int fd = open(name, O_RDONLY);

	while (read(fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

static void directory(void)
{
	char buf[32768], name[32];
	int fd;

	step("many files"); mkdir("many", 0777);
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "many/file-%02d", i);
		mknod(name, S_IFREG | 0644, 0);
	}
	step("list of many files"); fd = open("many", O_RDONLY | O_DIRECTORY);
	while (syscall(217, fd, buf, 4096) > 0)
		;
	step("again from the start"); lseek(fd, 0, SEEK_SET);
	while (syscall(217, fd, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

static void rarer(void)
{
	char list[100];
	struct iovec none = {list, 0};
	struct stat st;
	int fd;

	step("O_TMPFILE"); fd = open(".", O_TMPFILE | O_RDWR, 0600);
	step("poll"); fd = open("big", O_RDWR); poll(&(struct pollfd){fd, POLLIN | POLLOUT}, 1, 0);
	step("ioctl"); ioctl(fd, 0x5678, NULL); close(fd);
	step("listxattr"); listxattr("big", list, sizeof(list));
	step("O_SYNC"); fd = open("big", O_WRONLY | O_SYNC); write(fd, "s", 1); close(fd);
	step("another file"); put("other", O_WRONLY | O_CREAT, "text\n");
	step("truncate to more"); truncate("other", 10000);
	step("stat of it"); stat("other", &st);
	step("punch a hole"); fd = open("other", O_RDWR); fallocate(fd, 3, 100, 200);
	step("SEEK_HOLE"); lseek(fd, 0, SEEK_HOLE); close(fd);
	step("open it"); fd = open("other", O_RDWR);
	step("read nothing"); read(fd, list, 0);
	step("write nothing"); write(fd, list, 0);
	step("read an empty vector"); readv(fd, &none, 1);
	step("write an empty vector"); writev(fd, &none, 1);
	step("close it"); close(fd);
}

/* A program of 64-bit Linux that does no more than exit(0): header, one segment, code. */
static const unsigned char program[] = {
	0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62, [20] = 1,
	[24] = 0x78, [26] = 0x40, [32] = 64, [52] = 64, [54] = 56, [56] = 1,
	[64] = 1, [68] = 5, [82] = 0x40, [90] = 0x40, [96] = 0x81, [104] = 0x81, [113] = 0x10,
	[120] = 0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};

static void run(const char *name)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execl(name, name, NULL);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	released(1);
	if (status)
		printf("  ! %s: %#x\n", name, status);
}

static void map_and_write(const char *name)
{
	int fd = open(name, O_RDWR);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	at[5] = 'm';
	msync(at, 4096, MS_SYNC);
	munmap(at, 4096);
	close(fd);
	released(1);
}

static void programs_and_mappings(void)
{
	int fd;

	step("a program"); fd = open("prog", O_WRONLY | O_CREAT, 0777);
	write(fd, program, sizeof(program)); close(fd);
	step("exec"); run("./prog");
	step("a script"); put("script", O_WRONLY | O_CREAT, "#!/bin/true\n"); chmod("script", 0755);
	step("exec of a script"); run("./script");
	step("a mapping that is written"); map_and_write("other");
}

static void whole_file_system(void)
{
	struct stat st;
	int fd;

	step(COLD); stat("cold/file", &st);
	step("syncfs"); fd = open(".", O_RDONLY | O_DIRECTORY); syncfs(fd); close(fd);
}

/* Y01-Y18 */
static void client(const char *mnt)
{
	char buf[70000];
	struct stat st;
	struct statfs fs;
	int fd;

	umask(022);
	step("stat of the root"); stat(mnt, &st);
	step("chdir"); if (chdir(mnt)) _exit(6);
	step("a missing name"); stat("no", &st);
	step("a missing name again"); stat("no", &st);
	step("mkdir"); mkdir("dir", 0777);
	step("stat of it"); stat("dir", &st);
	step("create and write"); put("f", O_WRONLY | O_CREAT | O_TRUNC, "hello\n");
	step("stat after a write"); stat("f", &st);
	step("read"); get("f");
	step("read again"); get("f");
	step("append"); put("f", O_WRONLY | O_APPEND, "more\n");
	step("truncate at open"); put("f", O_WRONLY | O_CREAT | O_TRUNC, "x");
	step("O_EXCL of what is there"); fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0666);
	step("O_EXCL of what is not"); fd = open("g", O_WRONLY | O_CREAT | O_EXCL, 0600); close(fd);
	step("dup and close"); fd = open("f", O_RDONLY); close(dup(fd)); close(fd);
	step("chmod"); chmod("f", 0640);
	step("chown"); chown("f", 0, 0);
	step("truncate"); truncate("f", 3);
	step("ftruncate"); fd = open("f", O_RDWR); ftruncate(fd, 5); close(fd);
	step("utimes"); utimes("f", (struct timeval[2]){{5, 0}, {6, 0}});
	step("utimes now"); utimes("f", NULL);
	step("fstat"); fd = open("f", O_RDONLY); fstat(fd, &st); close(fd);
	step("access"); access("f", R_OK);
	step("access, if it is there"); access("f", F_OK);
	step("symlink"); symlink("f", "sym");
	step("readlink"); readlink("sym", buf, sizeof(buf));
	step("through a symlink"); stat("sym", &st);
	step("link"); link("f", "hard");
	step("stat of the link"); stat("hard", &st);
	step("mknod"); mknod("fifo", S_IFIFO | 0666, 0);
	step("rename"); rename("g", "dir/g");
	step("rename over"); rename("dir/g", "hard");
	step("renameat2 NOREPLACE"); renameat2(AT_FDCWD, "hard", AT_FDCWD, "new", RENAME_NOREPLACE);
	step("unlink"); unlink("new");
	step("unlink of what is open"); fd = open("f", O_RDWR); unlink("f"); write(fd, "y", 1); close(fd);
	step("opendir and list"); fd = open(".", O_RDONLY | O_DIRECTORY);
	while (syscall(217, fd, buf, 4096) > 0)
		;
	close(fd);
	step("statfs"); statfs(".", &fs);
	step("a long write"); memset(buf, 'b', sizeof(buf));
	fd = open("big", O_RDWR | O_CREAT, 0666); write(fd, buf, 70000);
	step("pwrite within"); pwrite(fd, buf, 10, 5000);
	step("pread of what was written"); pread(fd, buf, 10, 5000);
	step("pread at the end"); pread(fd, buf, 10, 70000);
	step("fsync"); fsync(fd);
	step("fdatasync"); fdatasync(fd);
	step("fallocate"); fallocate(fd, 0, 0, 80000);
	step("SEEK_END"); lseek(fd, 0, SEEK_END);
	step("SEEK_DATA without LSEEK"); lseek(fd, 0, SEEK_DATA);
	step("SEEK_DATA again"); lseek(fd, 0, SEEK_DATA);
	step("flock"); flock(fd, LOCK_EX);
	step("fcntl lock"); fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_start = 3, .l_len = 4});
	step("setxattr"); setxattr("big", "user.a", "1", 1, 0);
	step("getxattr"); getxattr("big", "user.a", buf, 100);
	step("removexattr"); removexattr("big", "user.a");
	step("close"); close(fd);
	step("rmdir"); rmdir("dir");
	directory();
	rarer();
	whole_file_system();
	programs_and_mappings();
	step("lazy umount with a file open"); fd = open("big", O_RDONLY); umount2(".", MNT_DETACH);
	step("fstat after it"); fstat(fd, &st);
	step("close after it"); close(fd);
	step("end"); chdir("/"); ended();
	_exit(0);
}

/* Names that the client cannot know yet. */
static void command(const char *step)
{
	if (strcmp(step, COLD) == 0)
		make(make(1, "cold", S_IFDIR | 0755), "file", S_IFREG | 0644);
}

int main(int argc, char **argv)
{
	return trace_run(&(struct trace){31, "", note, serve, command, client}, argc, argv);
}

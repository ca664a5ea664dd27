/* What programs rely on in /proc and /dev. */
#include "report.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static char text[65536];

static char *slurp(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t got, len = 0;

	text[0] = 0;
	if (fd < 0)
		return text;
	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += got;
	text[len] = 0;
	close(fd);
	return text;
}

/* The line of a "Key:\tvalue" file. */
static void show_line(const char *name, const char *key)
{
	char *line = strstr(slurp(name), key);

	printf("%s %.*s\n", name, line ? (int)strcspn(line, "\n") : 4, line ? line : "none");
}

static void show_link(const char *name)
{
	char target[4096];
	ssize_t len = readlink(name, target, sizeof(target) - 1);

	if (len < 0)
		printf("%s: %s\n", name, result_text(-1));
	else
		printf("%s -> %.*s\n", name, (int)len, target);
}

static void identity(void)
{
	char number[32], target[64] = "";

	snprintf(number, sizeof(number), "%d", getpid());
	MUST(readlink("/proc/self", target, sizeof(target) - 1));
	CHECK(!strcmp(number, target));
	prctl(PR_SET_NAME, "a name");
	printf("comm %s", slurp("/proc/self/comm"));
	show_line("/proc/self/status", "Name:");
	show_line("/proc/self/status", "Threads:");
	show_line("/proc/self/status", "Umask:");
	show_line("/proc/self/status", "TracerPid:");
	CHECK(strstr(slurp("/proc/self/stat"), " (a name) R ") ||
	      strstr(slurp("/proc/self/stat"), " (a name) S "));
	CHECK(atoi(strchr(strstr(slurp("/proc/self/status"), "PPid:"), '\t')) == getppid());
	CHECK(strstr(slurp("/proc/self/cmdline"), "procfs") != NULL);
	CHECK(strstr(slurp("/proc/self/maps"), "[stack]") != NULL);
	CHECK(strstr(slurp("/proc/self/maps"), "/procfs\n") != NULL);
	CHECK(strstr(slurp("/proc/self/maps"), "libc.so") != NULL);
	CHECK(strlen(slurp("/proc/sys/kernel/random/uuid")) == 37);
	CHECK(atoi(slurp("/proc/sys/kernel/pid_max")) > 1000);
	CHECK(strstr(slurp("/proc/filesystems"), "nodev\tproc\n") != NULL);
	CHECK(strstr(slurp("/proc/meminfo"), "MemTotal:") == text);
	CHECK(strncmp(slurp("/proc/stat"), "cpu ", 4) == 0);
}

static void descriptors(void)
{
	char buf[8] = "";
	struct stat st;
	int fd, again, pipes[2];

	fd = MUST(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	MUST(write(fd, "data", 4));
	MUST(unlink("file"));
	again = SHOW_FD("reopen an unlinked file", open("/proc/self/fd/3", O_RDONLY));
	TRY(read(again, buf, sizeof(buf)));
	printf("reopened: %s\n", buf);
	show_line("/proc/self/fdinfo/3", "pos:");
	show_line("/proc/self/fdinfo/3", "flags:");
	close(again);
	close(fd);
	MUST(pipe(pipes));
	CHECK(stat("/proc/self/fd/3", &st) == 0 && S_ISFIFO(st.st_mode));
	again = SHOW_FD("reopen a pipe's other end", open("/proc/self/fd/3", O_WRONLY));
	MUST(write(again, "x", 1));
	TRY(read(pipes[0], buf, 8));
	closefrom(3);
	fd = MUST(open("/dev/null", O_RDONLY));
	MUST(lstat("/proc/self/fd/3", &st));
	printf("fd link mode %o\n", st.st_mode);
	show_link("/proc/self/fd/3");
	show_link("/proc/self/fd/77");
	closefrom(3);
}

static void refusals(void)
{
	struct statfs sfs;
	struct stat st;

	MUST(statfs("/proc", &sfs));
	printf("proc magic %lx\n", (long)sfs.f_type);
	MUST(stat("/proc/self/status", &st));
	printf("size %ld mode %o\n", (long)st.st_size, st.st_mode);
	TRY(mkdir("/proc/x", 0755));
	TRY(open("/proc/x", O_CREAT | O_WRONLY, 0600));
	TRY(unlink("/proc/version"));
	TRY(open("/proc/999999999", O_RDONLY));
	TRY(open("/proc/self/fd/x", O_RDONLY));
	TRY(chmod("/proc/self/status", 0777));
	TRY(open("/proc/self/exe", O_WRONLY));
	TRY(access("/proc/self/task", R_OK));
	TRY(open("/proc/self/task/1/comm", O_RDONLY));
}

static void devices(void)
{
	static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
	char byte = 1, path[32];
	struct stat st;
	int fd;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/dev/%s", names[i]);
		MUST(stat(path, &st));
		printf("%s %o %d:%d\n", path, st.st_mode, major(st.st_rdev), minor(st.st_rdev));
	}
	show_link("/dev/fd");
	show_link("/dev/stdin");
	fd = MUST(open("/dev/full", O_RDWR));
	TRY(write(fd, "x", 1));
	TRY(read(fd, &byte, 1));
	fd = MUST(open("/dev/zero", O_RDWR));
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && map[8191] == 0);
	fd = MUST(open("/dev/null", O_RDWR));
	TRY(write(fd, "x", 1));
	TRY(read(fd, &byte, 1));
	TRY(lseek(fd, 10, SEEK_SET));
}

int main(void)
{
	identity();
	descriptors();
	refusals();
	devices();
	return 0;
}

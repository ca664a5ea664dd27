/* Directories: getdents, getcwd, chdir, chroot, umask, mkdir, rmdir. */
#include "report.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *what, const char *name)
{
	DIR *dir = opendir(name);
	struct dirent *entry;
	char *names[512];
	int n = 0;

	if (!dir) {
		printf("%s: %s\n", what, strerrorname_np(errno));
		return;
	}
	while ((entry = readdir(dir)) && n < 512) {
		char *line = malloc(300);

		snprintf(line, 300, "%s/%d", entry->d_name, entry->d_type);
		names[n++] = line;
	}
	closedir(dir);
	qsort(names, n, sizeof(*names), by_name);
	printf("%s:", what);
	for (int i = 0; i < n; i++)
		printf(" %s", names[i]);
	printf("\n");
}

static void listing(void)
{
	char buf[1024];
	int fd;

	MUST(mkdir("l", 0755));
	MUST(mkdir("l/dir", 0755));
	close(MUST(open("l/file", O_CREAT | O_RDWR, 0600)));
	MUST(symlink("x", "l/link"));
	MUST(mkfifo("l/fifo", 0600));
	list("list", "l");
	list("list file", "l/file");
	list("list missing", "no");
	fd = MUST(open("l", O_RDONLY));
	SHOW("getdents64 tiny buffer", syscall(SYS_getdents64, fd, buf, 10));
	SHOW("getdents64 into nowhere", syscall(SYS_getdents64, fd, 8L, 1024));
	SHOW("rewind", lseek(fd, 0, SEEK_SET));
	CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
	SHOW("getdents64 at the end", syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	SHOW("rewind", lseek(fd, 0, SEEK_SET));
	CHECK(syscall(SYS_getdents, fd, buf, sizeof(buf)) > 0);
	SHOW("getdents at the end", syscall(SYS_getdents, fd, buf, sizeof(buf)));
	close(fd);
	fd = MUST(open("l/file", O_RDONLY));
	SHOW("getdents64 of a file", syscall(SYS_getdents64, fd, buf, sizeof(buf)));
	close(fd);
	SHOW("getdents64 bad", syscall(SYS_getdents64, 99, buf, sizeof(buf)));
}

/* Entries that stay while others come and go are seen exactly once. */
static void changing(void)
{
	char name[32];
	DIR *dir;
	struct dirent *entry;
	int seen[200] = { 0 }, n = 0, wrong = 0;

	MUST(mkdir("big", 0755));
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "big/%d", i);
		close(MUST(open(name, O_CREAT | O_RDWR, 0600)));
	}
	dir = opendir("big");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		int i = atoi(entry->d_name);

		seen[i]++;
		if (n++ < 100) {
			snprintf(name, sizeof(name), "big/%d", i);
			MUST(unlink(name));
		}
	}
	for (int i = 0; i < 200; i++)
		wrong += seen[i] != 1;
	printf("entries not seen exactly once: %d\n", wrong);
	closedir(dir);
	dir = opendir("big");
	n = 0;
	while (readdir(dir))
		n++;
	printf("left with the dots: %d\n", n);
	long end = telldir(dir);
	rewinddir(dir);
	entry = readdir(dir);
	long second = telldir(dir);
	struct dirent *next = readdir(dir);
	char copy[256];
	snprintf(copy, sizeof(copy), "%s", next->d_name);
	seekdir(dir, second);
	printf("seekdir comes back: %s\n", strcmp(copy, readdir(dir)->d_name) ? "no" : "yes");
	closedir(dir);
}

static void making(void)
{
	struct stat st;

	TRY(mkdir("m", 0777));
	MUST(stat("m", &st));
	printf("mode %o\n", st.st_mode);
	TRY(mkdir("m", 0777));
	TRY(mkdir("m/", 0777));
	TRY(mkdir("m2/", 07777));
	MUST(stat("m2", &st));
	printf("mode %o\n", st.st_mode);
	TRY(mkdir("no/m", 0777));
	TRY(mkdir(".", 0777));
	TRY(mkdir("..", 0777));
	TRY(mkdir("/", 0777));
	TRY(mkdir("", 0777));
	TRY(mkdir("l/file/x", 0777));
	TRY(rmdir("m2"));
	TRY(rmdir("m2"));
	TRY(rmdir("l"));
	TRY(rmdir("l/file"));
	TRY(rmdir("m/."));
	TRY(rmdir("m/.."));
	TRY(rmdir("."));
	TRY(rmdir("/"));
	TRY(unlink("m"));
	TRY(unlink("m/"));
	SHOW("unlinkat directory", unlinkat(AT_FDCWD, "m", AT_REMOVEDIR));
	SHOW("unlinkat bad flag", unlinkat(AT_FDCWD, "m", 1));
	MUST(symlink("l", "ll"));
	TRY(rmdir("ll"));
	TRY(rmdir("ll/"));
	TRY(mkdir("ll", 0777));
	MUST(mkdir("p", 0755));
	MUST(stat("p", &st));
	printf("links of an empty directory: %ld\n", (long)st.st_nlink);
}

static void wandering(void)
{
	char start[PATH_MAX], buf[PATH_MAX];
	int fd, old = MUST(open(".", O_RDONLY));

	MUST(getcwd(start, sizeof(start)) ? 0 : -1);
	TRY(chdir("l/dir"));
	MUST(getcwd(buf, sizeof(buf)) ? 0 : -1);
	printf("cwd ends in %s\n", buf + strlen(start));
	SHOW("getcwd small", syscall(SYS_getcwd, buf, 3));
	SHOW("getcwd zero", syscall(SYS_getcwd, buf, 0));
	SHOW("getcwd nowhere", syscall(SYS_getcwd, 8L, 4096));
	CHECK(syscall(SYS_getcwd, buf, sizeof(buf)) == (long)strlen(buf) + 1);
	TRY(chdir("../file"));
	TRY(chdir("no"));
	TRY(chdir(""));
	TRY(chdir(".."));
	TRY(access("file", F_OK));
	TRY(fchdir(old));
	TRY(fchdir(99));
	fd = MUST(open("l/file", O_RDONLY));
	TRY(fchdir(fd));
	close(fd);
	fd = MUST(open("l", O_PATH));
	TRY(fchdir(fd));
	close(fd);
	MUST(fchdir(old));
	MUST(mkdir("gone", 0755));
	MUST(chdir("gone"));
	MUST(rmdir("../gone"));
	SHOW("getcwd of a removed directory", syscall(SYS_getcwd, buf, sizeof(buf)));
	SHOW("create in a removed directory", open("x", O_CREAT | O_RDWR, 0600));
	SHOW("mkdir in a removed directory", mkdir("x", 0700));
	SHOW(". of a removed directory", access(".", F_OK));
	SHOW(".. of a removed directory", chdir(".."));
	list("list of .", "l");
	MUST(fchdir(old));
	close(old);
}

static void rooted(void)
{
	char buf[64];
	int status;

	fflush(stdout);
	if (fork() == 0) {
		TRY(chroot("l/file"));
		TRY(chroot("no"));
		TRY(chroot("l"));
		SHOW("new root", access("/file", F_OK));
		SHOW("cwd is outside", access("l/file", F_OK));
		printf("getcwd: %s\n", ({ long n = syscall(SYS_getcwd, buf, sizeof(buf)); n > 0 ? (buf[0] == '(' ? "unreachable" : "path") : strerrorname_np(errno); }));
		TRY(chdir("/"));
		SHOW("getcwd length", syscall(SYS_getcwd, buf, sizeof(buf)));
		SHOW("cannot leave", access("../../../../l", F_OK));
		TRY(chdir("/.."));
		SHOW("still inside", access("file", F_OK));
		fflush(stdout);
		_exit(0);
	}
	MUST(wait(&status));
	SHOW("parent is not rooted", access("l/file", F_OK));
}

static void masks(void)
{
	printf("umask was %o\n", umask(027));
	printf("umask was %o\n", umask(07777));
	printf("umask was %o\n", umask(022));
}

int main(void)
{
	listing();
	changing();
	making();
	wandering();
	rooted();
	masks();
	return 0;
}

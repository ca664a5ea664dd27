/* execve(2), execveat(2): what can be run, what the program sees, and every way to be refused. */
#include "report.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char self[4096];
static char *const env[] = { "ONE=1", "TWO=2", NULL };

/* The second image: "exec show WORDS..." */
static int show(int argc, char **argv)
{
	char comm[16] = "", link[4096] = "";
	int n = 0;

	prctl(PR_GET_NAME, comm);
	if (readlink("/proc/self/exe", link, sizeof(link) - 1) < 0)
		perror("exe");
	for (char **e = environ; *e; e++)
		n++;
	printf("image: comm %s, exe is me %d, %d variables, secure %lu, euid %d aux %lu, args",
	       comm, !strcmp(link, self), n, getauxval(AT_SECURE), geteuid(), getauxval(AT_EUID));
	for (int i = 0; i < argc; i++)
		printf(" [%s]", argv[i]);
	printf(", name [%s]\n", (char *)getauxval(AT_EXECFN));
	return 0;
}

static void report_child(const char *what, pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s: signal %d\n", what, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		printf("%s: status %d\n", what, WEXITSTATUS(status));
}

#define CHILD(what, body)                                                                  \
	do {                                                                               \
		fflush(stdout);                                                            \
		pid_t pid_ = fork();                                                       \
		if (!pid_) {                                                               \
			body;                                                              \
			printf("%s: %s\n", what, strerrorname_np(errno));                  \
			fflush(stdout);                                                    \
			_exit(0);                                                          \
		}                                                                          \
		report_child(what, pid_);                                                  \
	} while (0)

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));

	MUST(write(fd, text, strlen(text)));
	MUST(fchmod(fd, mode));
	close(fd);
}

static void copy_self(const char *name, mode_t mode)
{
	char buf[65536];
	int in = MUST(open(self, O_RDONLY | O_CLOEXEC));
	int out = MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		MUST(write(out, buf, (size_t)n));
	MUST(fchmod(out, mode));
	close(in);
	close(out);
}

static void *exec_from_thread(void *unused)
{
	(void)unused;
	execve(self, (char *[]){ "thread", "show", NULL }, env);
	return NULL;
}

static void ways(void)
{
	pthread_t thread;
	int fd;

	CHILD("plain", execve(self, (char *[]){ "zero", "show", "a", "", "b c", NULL }, env));
	CHILD("no environment", execve(self, (char *[]){ "zero", "show", NULL }, NULL));
	CHILD("thread", (pthread_create(&thread, NULL, exec_from_thread, NULL),
			 pthread_join(thread, NULL)));
	copy_self("copy", 0711);
	CHILD("relative", execve("./copy", (char *[]){ "zero", "show", NULL }, env));
	CHILD("execveat", syscall(SYS_execveat, AT_FDCWD, "copy", (char *[]){ "z", "show", NULL },
				  env, 0));
	fd = MUST(open("copy", O_PATH));
	CHILD("descriptor", syscall(SYS_execveat, fd, "", (char *[]){ "z", "show", NULL }, env,
				    AT_EMPTY_PATH));
	close(fd);
	put("script", "#! /bin/echo  one two \nrest\n", 0755);
	CHILD("script", execve("./script", (char *[]){ "gone", "x", "y", NULL }, env));
	put("outer", "#!./script\n", 0755);
	CHILD("nested script", execve("./outer", (char *[]){ "gone", "x", NULL }, env));
	CHILD("script without arguments", execve("./script", NULL, env));
	fd = MUST(open("script", O_RDONLY | O_CLOEXEC));
	CHILD("script of a closing descriptor",
	      syscall(SYS_execveat, fd, "", (char *[]){ "z", NULL }, env, AT_EMPTY_PATH));
	close(fd);
}

static void refusals(void)
{
	static char big[200000], name[5000];
	char text[32];
	int fd;

	memset(big, 'x', sizeof(big) - 1);
	memset(name, 'n', sizeof(name) - 1);
	put("empty", "", 0755);
	put("text", "hello\n", 0755);
	put("plain", "#!/bin/echo\n", 0644);
	put("badinterp", "#!/no/such/file\n", 0755);
	put("elf", "\177ELF\2\1\1 and then nothing", 0755);
	mkdir("dir", 0755);
	MUST(symlink("loop", "loop"));
	TRY(execve("missing", (char *[]){ "x", NULL }, env));
	TRY(execve("", (char *[]){ "x", NULL }, env));
	TRY(execve("empty", (char *[]){ "x", NULL }, env));
	TRY(execve("text", (char *[]){ "x", NULL }, env));
	TRY(execve("plain", (char *[]){ "x", NULL }, env));
	TRY(execve("badinterp", (char *[]){ "x", NULL }, env));
	TRY(execve("elf", (char *[]){ "x", NULL }, env));
	TRY(execve("dir", (char *[]){ "x", NULL }, env));
	TRY(execve("loop", (char *[]){ "x", NULL }, env));
	TRY(execve("text/x", (char *[]){ "x", NULL }, env));
	TRY(execve(name, (char *[]){ "x", NULL }, env));
	TRY(execve(self, (char *[]){ big, NULL }, env));
	TRY(execve((char *)16, (char *[]){ "x", NULL }, env));
	TRY(execve(self, (char **)16, env));
	TRY(execve(self, (char *[]){ (char *)16, NULL }, env));
	TRY(syscall(SYS_execveat, AT_FDCWD, "copy", NULL, NULL, 0x40000000));
	TRY(syscall(SYS_execveat, 99, "copy", NULL, NULL, 0));
	TRY(syscall(SYS_execveat, AT_FDCWD, "loop", NULL, NULL, AT_SYMLINK_NOFOLLOW));
	for (int i = 1; i <= 7; i++) {
		char body[32];

		snprintf(text, sizeof(text), "chain%d", i);
		snprintf(body, sizeof(body), "#!./chain%d\n", i + 1);
		put(text, i == 7 ? "#!/bin/echo\n" : body, 0755);
	}
	CHILD("five interpreters", execve("./chain3", (char *[]){ "x", NULL }, env));
	CHILD("six interpreters", execve("./chain2", (char *[]){ "x", NULL }, env));
	fd = MUST(open("copy", O_WRONLY));
	TRY(execve("copy", (char *[]){ "x", NULL }, env));
	close(fd);
}

/* A program cannot be written while it runs. */
static void busy_text(void)
{
	int pipes[2];
	char byte;
	pid_t pid;

	MUST(pipe(pipes));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(pipes[1], 1);
		execve("./copy", (char *[]){ "z", "hold", NULL }, env);
		_exit(1);
	}
	MUST(read(pipes[0], &byte, 1));
	TRY(open("copy", O_WRONLY));
	TRY(open("copy", O_RDWR));
	TRY(truncate("copy", 0));
	kill(pid, SIGKILL);
	report_child("held", pid);
	TRY(close(open("copy", O_RDWR)));
}

/* Descriptors without close-on-exec, ignored and blocked signals survive. */
static void inherited(void)
{
	struct sigaction ign = { .sa_handler = SIG_IGN };
	char *const sh[] = { "sh", "-c", "for n in 3 4 5 6; do test -e /proc/$$/fd/$n && "
					 "echo descriptor $n is open; done", NULL };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	closefrom(3);
	MUST(open("text", O_RDONLY));
	MUST(open("text", O_RDONLY | O_CLOEXEC));
	MUST(dup(4));
	CHILD("descriptors", execve("/bin/sh", sh, env));
	CHILD("signals", (sigaction(SIGUSR1, &ign, NULL), sigprocmask(SIG_BLOCK, &set, NULL),
			  execve("/bin/grep", (char *[]){ "grep", "-E", "Sig(Ign|Blk|Cgt)",
							  "/proc/self/status", NULL }, env)));
}

int main(int argc, char **argv)
{
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	if (argc > 1 && !strcmp(argv[1], "show"))
		return show(argc, argv);
	if (argc > 1 && !strcmp(argv[1], "hold")) {
		printf("x\n");
		fflush(stdout);
		pause();
	}
	ways();
	refusals();
	busy_text();
	inherited();
	return 0;
}

/* fork, vfork, clone, threads, exec, wait, sessions, kill. */
#include "report.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>

extern char **environ;
static char self[4096];

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What a program sees that was executed by us: "procs NAME ARGS". */
static int child_main(int argc, char **argv)
{
	if (!strcmp(argv[1], "args")) {
		printf("argc %d argv[0] %s last %s env %s\n", argc, basename(argv[0]), argv[argc - 1],
		       getenv("MARK") ? getenv("MARK") : "none");
	} else if (!strcmp(argv[1], "signals")) {
		struct sigaction sa;
		sigset_t mask;

		sigaction(SIGUSR1, NULL, &sa);
		printf("caught is %s\n", sa.sa_handler == SIG_DFL ? "default" : "other");
		sigaction(SIGUSR2, NULL, &sa);
		printf("ignored is %s\n", sa.sa_handler == SIG_IGN ? "ignored" : "other");
		sigprocmask(SIG_BLOCK, NULL, &mask);
		printf("mask %d\n", sigismember(&mask, SIGHUP));
	} else if (!strcmp(argv[1], "exit")) {
		return atoi(argv[2]);
	}
	return 0;
}

static int run(const char *a, const char *b)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execl(self, "procs", a, b, NULL);
		_exit(99);
	}
	return wait_for(pid);
}

static void forks(void)
{
	static int shared = 1;
	int *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid, parent = getpid();

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		shared = 2;
		*map = getppid() == parent ? 5 : 6;
		_exit(3);
	}
	SHOW("exit status", wait_for(pid));
	printf("private %d shared map %d\n", shared, *map);
	pid = vfork();
	if (pid == 0) {
		shared = 7;
		_exit(4);
	}
	SHOW("vfork status", wait_for(pid));
	printf("vfork shares memory: %d\n", shared);
	pid = fork();
	if (pid == 0)
		abort();
	SHOW("aborted", wait_for(pid));
	SHOW("no children", waitpid(-1, NULL, 0));
	SHOW("not a child", waitpid(1, NULL, 0));
	SHOW("bad options", waitpid(-1, NULL, 0x40));
	pid = fork();
	if (pid == 0)
		_exit(9);
	siginfo_t info = { 0 };
	SHOW("waitid, leave it", waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	printf("code %d status %d\n", info.si_code, info.si_status);
	CHECK(info.si_pid == pid);
	SHOW("waitid", waitid(P_PID, pid, &info, WEXITED));
	SHOW("waitid again", waitid(P_PID, pid, &info, WEXITED));
	SHOW("clone with a new namespace, bad flags", syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS, 0, 0, 0, 0));
	SHOW("thread without shared memory", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	munmap(map, 4096);
}

/* A process that shares descriptors and cwd with its parent. */
static int sharing(void *arg)
{
	close(*(int *)arg);
	chdir("sub");
	umask(077);
	return 0;
}

static void shares(void)
{
	static char stack[65536];
	int fd = MUST(open("share", O_CREAT | O_RDWR, 0600)), fd2 = MUST(dup(fd));
	pid_t pid;

	MUST(mkdir("sub", 0755));
	pid = clone(sharing, stack + sizeof(stack), CLONE_FILES | CLONE_FS | SIGCHLD, &fd);
	wait_for(pid);
	SHOW("closed by the other", fcntl(fd, F_GETFD));
	printf("umask %o\n", umask(022));
	SHOW("cwd moved", access("../share", F_OK));
	MUST(chdir(".."));
	pid = clone(sharing, stack + sizeof(stack), SIGCHLD, &fd2);
	wait_for(pid);
	SHOW("not shared: open", fcntl(fd2, F_GETFD));
	SHOW("not shared: cwd", access("share", F_OK));
	printf("umask %o\n", umask(022));
	SHOW("unshare files", unshare(CLONE_FILES));
	SHOW("unshare fs", unshare(CLONE_FS));
	SHOW("unshare bad", unshare(1));
	close(fd2);
}

static void execs(void)
{
	char *argv[] = { "other name", "args", "last", NULL };
	char *envp[] = { "MARK=set", NULL };
	sigset_t set;
	pid_t pid;
	int fd;

	SHOW("run", run("exit", "17"));
	fflush(stdout);
	if (!(pid = fork())) {
		execve(self, argv, envp);
		_exit(99);
	}
	SHOW("execve", wait_for(pid));
	if (!(pid = fork())) {
		fd = open(self, O_PATH | O_CLOEXEC);
		syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		_exit(99);
	}
	SHOW("execveat", wait_for(pid));
	if (!(pid = fork())) {
		signal(SIGUSR1, (void *)wait_for);
		signal(SIGUSR2, SIG_IGN);
		sigemptyset(&set);
		sigaddset(&set, SIGHUP);
		sigprocmask(SIG_BLOCK, &set, NULL);
		execl(self, "procs", "signals", NULL);
		_exit(99);
	}
	SHOW("signals over exec", wait_for(pid));
	TRY(execl("no", "no", NULL));
	TRY(execl(".", ".", NULL));
	close(MUST(open("plain", O_CREAT | O_RDWR, 0644)));
	TRY(execl("plain", "plain", NULL));
	MUST(chmod("plain", 0755));
	TRY(execl("plain", "plain", NULL));
	fd = MUST(open("garbage", O_CREAT | O_RDWR, 0755));
	MUST(write(fd, "\177ELFgarbage", 11));
	close(fd);
	TRY(execl("garbage", "garbage", NULL));
	TRY(execl("plain/x", "x", NULL));
	SHOW("exec bad path", syscall(SYS_execve, 8L, argv, envp));
	SHOW("exec bad argv", syscall(SYS_execve, self, 8L, envp));
	SHOW("execveat bad flag", syscall(SYS_execveat, AT_FDCWD, self, argv, envp, 0x10));
	MUST(symlink(self, "ln"));
	SHOW("execveat of a link, NOFOLLOW", syscall(SYS_execveat, AT_FDCWD, "ln", argv, envp, AT_SYMLINK_NOFOLLOW));
}

static void scripts(void)
{
	char line[4200];
	char *argv[] = { "script", "arg 1", "arg2", NULL };
	pid_t pid;
	int fd = MUST(open("script", O_CREAT | O_RDWR, 0755));

	snprintf(line, sizeof(line), "#! %s args\n", self);
	MUST(write(fd, line, strlen(line)));
	close(fd);
	fflush(stdout);
	if (!(pid = fork())) {
		execv("./script", argv);
		_exit(99);
	}
	SHOW("script", wait_for(pid));
	fd = MUST(open("loop", O_CREAT | O_RDWR, 0755));
	MUST(write(fd, "#!./loop\n", 9));
	close(fd);
	TRY(execv("./loop", argv));
	fd = MUST(open("noint", O_CREAT | O_RDWR, 0755));
	MUST(write(fd, "#!/no/such/interpreter\n", 23));
	close(fd);
	TRY(execv("./noint", argv));
	fd = MUST(open("shell", O_CREAT | O_RDWR, 0755));
	MUST(write(fd, "#!/bin/sh\necho shell says $0 $*\nexit 5\n", 39));
	SHOW("text busy", ({ int b = open("shell", O_WRONLY); long r = execv("./shell", argv); int e = errno; close(b); errno = e; r; }));
	close(fd);
	fflush(stdout);
	if (!(pid = fork())) {
		execv("./shell", argv);
		_exit(99);
	}
	SHOW("shell script", wait_for(pid));
}

static void *thread_exec(void *arg)
{
	execl(self, "procs", "args", "from a thread", NULL);
	return NULL;
}

static void *thread_ids(void *arg)
{
	long *ids = arg;

	ids[0] = getpid();
	ids[1] = gettid();
	return NULL;
}

static void threads(void)
{
	long ids[2];
	pthread_t thread;
	pid_t pid;

	pthread_create(&thread, NULL, thread_ids, ids);
	pthread_join(thread, NULL);
	CHECK(ids[0] == getpid() && ids[1] != ids[0] && gettid() == getpid());
	fflush(stdout);
	if (!(pid = fork())) {
		pthread_create(&thread, NULL, thread_exec, NULL);
		pause();
		_exit(99);
	}
	SHOW("exec from a thread", wait_for(pid));
	fflush(stdout);
	if (!(pid = fork())) {
		pthread_create(&thread, NULL, (void *(*)(void *))pause, NULL);
		syscall(SYS_exit_group, 21);
	}
	SHOW("exit_group with threads", wait_for(pid));
	SHOW("tgkill nobody", syscall(SYS_tgkill, getpid(), 4000000, 0));
	SHOW("tgkill wrong group", syscall(SYS_tgkill, 4000000, gettid(), 0));
	SHOW("tgkill bad", syscall(SYS_tgkill, 0, gettid(), 0));
	SHOW("tkill self, nothing", syscall(SYS_tkill, gettid(), 0));
}

static void groups(void)
{
	pid_t pid;
	int p[2], status;
	char c;

	fflush(stdout);
	if (!(pid = fork())) {
		SHOW("setsid", setsid() == getpid() ? 0 : -1);
		CHECK(getsid(0) == getpid() && getpgrp() == getpid());
		SHOW("setsid as leader", setsid());
		SHOW("setpgid of a session leader", setpgid(0, 0));
		fflush(stdout);
		_exit(0);
	}
	wait_for(pid);
	MUST(pipe(p));
	if (!(pid = fork())) {
		setpgid(0, 0);
		if (!fork()) {
			write(p[1], "x", 1);
			pause();
		}
		write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	MUST(read(p[0], &c, 1));
	MUST(read(p[0], &c, 1));
	SHOW("kill the group", kill(-pid, SIGTERM));
	SHOW("leader", wait_for(pid));
	close(p[1]);
	SHOW("all ends of the pipe are closed", read(p[0], &c, 1));
	SHOW("kill nobody", kill(4000000, 0));
	SHOW("kill bad signal", kill(getpid(), 65));
	SHOW("kill oneself, nothing", kill(getpid(), 0));
	SHOW("kill own group, nothing", kill(0, 0));
	SHOW("getpgid nobody", getpgid(4000000));
	SHOW("getsid nobody", getsid(4000000));
	SHOW("setpgid nobody", setpgid(4000000, 0));
	if (!(pid = fork()))
		_exit(0);
	siginfo_t info;
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	SHOW("signal to a zombie", kill(pid, 0));
	wait_for(pid);
	SHOW("signal to the reaped", kill(pid, 0));
}

static void orphans(void)
{
	int p[2];
	char c;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	MUST(pipe(p));
	pid_t me = getpid(), pid = fork();

	if (pid == 0) {
		if (!fork()) {
			while (getppid() != me)
				usleep(1000);
			write(p[1], "r", 1);
			_exit(33);
		}
		_exit(0);
	}
	wait_for(pid);
	SHOW("orphan comes to the subreaper", read(p[0], &c, 1));
	SHOW("and can be waited for", wait_for(-1));
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void controls(void)
{
	char name[17] = "";
	struct utsname uts;
	struct rlimit rl;
	int v;

	SHOW("PR_SET_NAME", prctl(PR_SET_NAME, "a rather long name"));
	SHOW("PR_GET_NAME", prctl(PR_GET_NAME, name));
	printf("%s\n", name);
	SHOW("PR_SET_PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGUSR1));
	SHOW("PR_GET_PDEATHSIG", prctl(PR_GET_PDEATHSIG, &v) ?: v);
	prctl(PR_SET_PDEATHSIG, 0);
	SHOW("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
	SHOW("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0));
	SHOW("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
	SHOW("PR_SET_DUMPABLE 2", prctl(PR_SET_DUMPABLE, 2));
	prctl(PR_SET_DUMPABLE, 1);
	SHOW("unknown option", prctl(9999, 0, 0, 0, 0));
	SHOW("uname", uname(&uts));
	printf("%s %s\n", uts.sysname, uts.machine);
	MUST(getrlimit(RLIMIT_CORE, &rl));
	rl.rlim_cur = 0;
	SHOW("setrlimit", setrlimit(RLIMIT_CORE, &rl));
	MUST(prlimit(0, RLIMIT_CORE, NULL, &rl));
	printf("core %ld\n", (long)rl.rlim_cur);
	SHOW("bad resource", getrlimit(99, &rl));
	SHOW("prlimit nobody", prlimit(4000000, RLIMIT_NOFILE, NULL, &rl));
	SHOW("sched_yield", sched_yield());
	SHOW("unknown number", syscall(400));
}

static void spawned(void)
{
	char *argv[] = { "procs", "exit", "12", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 5, "share", O_RDONLY, 0);
	SHOW("posix_spawn", posix_spawn(&pid, self, &actions, NULL, argv, environ));
	SHOW("status", wait_for(pid));
	SHOW("posix_spawn missing", posix_spawn(&pid, "no", NULL, NULL, argv, environ));
	SHOW("system", WEXITSTATUS(system("exit 6")));
	FILE *f = popen("echo from popen", "r");
	char line[64] = "";
	fgets(line, sizeof(line), f);
	printf("%s", line);
	SHOW("pclose", pclose(f));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return child_main(argc, argv);
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	forks();
	shares();
	execs();
	scripts();
	threads();
	groups();
	orphans();
	controls();
	spawned();
	return 0;
}

/*
 * Asks for what no guest may have; prints each thing that it got. Guest program.
 *
 *	refusals [PID]	a process outside the sandbox, of the same user
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int got;

static void must_fail(const char *what, long result)
{
	if (result < 0)
		return;
	printf("got: %s (%ld)\n", what, result);
	got++;
}

static void must_be(const char *what, int want, long result)
{
	if (result < 0 && errno == want)
		return;
	printf("%s: result %ld, %s instead of %s\n", what, result, result < 0 ? strerrorname_np(errno) : "-",
	       strerrorname_np(want));
	got++;
}

/* The numbers that the sentry keeps for the loader: to a guest they are free, and stay so. */
static void reserved_descriptors(void)
{
	char byte;
	struct stat st;
	struct msghdr msg = {0};

	for (int fd = 1016; fd < 1024; fd++) {
		must_be("read of a reserved descriptor", EBADF, read(fd, &byte, 1));
		must_be("fstat of a reserved descriptor", EBADF, fstat(fd, &st));
		must_be("dup of a reserved descriptor", EBADF, dup(fd));
		must_be("close of a reserved descriptor", EBADF, close(fd));
		must_be("sendmsg to a reserved descriptor", EBADF, sendmsg(fd, &msg, 0));
		must_be("recvmsg of a reserved descriptor", EBADF, recvmsg(fd, &msg, 0));
		must_fail("dup2 onto a reserved descriptor", dup2(1, fd));
		must_fail("fcntl(F_DUPFD) onto a reserved descriptor", fcntl(1, F_DUPFD, fd) == fd ? 0 : -1);
		if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED)
			must_fail("mmap of a reserved descriptor", fd);
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED)
			must_fail("private mmap of a reserved descriptor", fd);
	}
	/* After the numbers were closed a program must still start. */
	must_be("system", 0, system("true") == 0 ? (errno = 0, -1) : 0);
}

/* The loader's descriptor, executed by a guest of its own accord: death at best. */
static void stolen_loader(void)
{
	char *argv[] = {"sh", "-c", "exit 66", NULL}, *envp[] = {NULL};
	int status;

	for (int fd = 1016; fd < 1024; fd++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
			_exit(7);
		}
		if (waitpid(pid, &status, 0) == pid && !(WIFEXITED(status) && WEXITSTATUS(status) == 7) &&
		    !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
			printf("execveat of descriptor %d: status %#x\n", fd, status);
			got++;
		}
	}
}

static long int80(long nr)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(0), "c"(0), "d"(0) : "memory");
	return ret;
}

static void other_abis(void)
{
	if (int80(20) > 0) /* getpid */
		must_fail("a call of i386", 0);
	must_be("a call of x32", ENOSYS, syscall(0x40000000 + SYS_getpid));
	must_be("the loader's private call", ENOSYS, syscall(1000000, environ, 4096));
}

static void kernel_surface(void)
{
	struct iovec iov = {&iov, sizeof(iov)};
	char buf[4096] = "";

	must_fail("ptrace", ptrace(PTRACE_ATTACH, getppid(), 0, 0));
	must_fail("process_vm_readv", process_vm_readv(getpid(), &iov, 1, &iov, 1, 0));
	must_fail("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
	must_fail("bpf", syscall(SYS_bpf, 0, buf, 64));
	must_fail("perf_event_open", syscall(SYS_perf_event_open, buf, 0, -1, -1, 0));
	must_fail("userfaultfd", syscall(SYS_userfaultfd, 0));
	must_fail("io_setup", syscall(SYS_io_setup, 1, buf));
	must_fail("keyctl", syscall(SYS_keyctl, 0, -3, 1));
	must_fail("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
	must_fail("unshare of the user namespace", unshare(CLONE_NEWUSER));
	must_fail("unshare of the network", unshare(CLONE_NEWNET));
	must_fail("setns", setns(0, 0));
	must_fail("clone3", syscall(SYS_clone3, buf, 88));
	must_fail("clone into a user namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	must_fail("clone, untraced", syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0));
	must_fail("seccomp", syscall(SYS_seccomp, 1, 0, buf));
	must_fail("PR_SET_SECCOMP", prctl(PR_SET_SECCOMP, 2, buf));
	must_fail("PR_SET_PTRACER", prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY));
	must_fail("PR_SET_MM_EXE_FILE", prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0));
	must_fail("personality of 32 bits", syscall(SYS_personality, 8));
	must_fail("READ_IMPLIES_EXEC", syscall(SYS_personality, 0x0400000));
	must_fail("move_pages", syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
	must_fail("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, buf, O_RDONLY));
	must_fail("iopl", syscall(SYS_iopl, 3));
	must_fail("clock_settime", clock_settime(CLOCK_REALTIME, &(struct timespec){1, 1}));
	must_fail("syslog", syscall(SYS_syslog, 3, buf, sizeof(buf)));
}

/* Addresses whose length has more than 32 bits: the kernel's int is what is looked at. */
static void long_addresses(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "\0attack"};
	unsigned long lengths[] = {0x100000000ul + 9, 0x7fffffff00000000ul + 9, 0xffffffff00000000ul + 110};

	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

		(void)syscall(SYS_bind, fd, &addr, lengths[i]);
		(void)syscall(SYS_connect, fd, &addr, lengths[i]);
		(void)syscall(SYS_sendto, fd, "x", 1, MSG_DONTWAIT, &addr, lengths[i]);
		(void)syscall(SYS_accept4, fd, &addr, lengths, 0);
		close(fd);
	}
}

/* Device numbers that are not the sandbox's own lead nowhere. */
static void devices(void)
{
	static const struct {
		mode_t mode;
		unsigned major, minor;
	} nodes[] = {{S_IFCHR, 1, 1}, {S_IFCHR, 1, 4}, {S_IFCHR, 4, 0}, {S_IFCHR, 10, 237}, {S_IFBLK, 8, 0},
		     {S_IFBLK, 7, 0}, {S_IFBLK, 254, 0}};

	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		unlink("/tmp/node");
		if (mknod("/tmp/node", nodes[i].mode | 0666, makedev(nodes[i].major, nodes[i].minor)))
			continue;
		must_fail("a device of the host", open("/tmp/node", O_RDWR | O_NONBLOCK));
		must_fail("a device of the host", open("/tmp/node", O_RDONLY | O_NONBLOCK));
	}
	unlink("/tmp/node");
}

/* Read-only is read-only, whatever is asked of the mapping later. */
static void read_only_maps(void)
{
	int rw = open("/tmp/map", O_RDWR | O_CREAT, 0644), ro = open("/tmp/map", O_RDONLY);
	void *map;

	(void)!ftruncate(rw, 4096);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 0);
	if (map != MAP_FAILED)
		must_fail("mprotect of a read-only shared mapping", mprotect(map, 4096, PROT_READ | PROT_WRITE));
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open("/etc/passwd", O_RDONLY), 0);
	if (map != MAP_FAILED)
		must_fail("mprotect of a mapping of /etc/passwd", mprotect(map, 4096, PROT_READ | PROT_WRITE));
	unlink("/tmp/map");
}

/* Whether a process outside can be named at all. */
static void outsider(pid_t pid)
{
	char buf[128] = "";
	struct rlimit limit;
	cpu_set_t set;
	struct timespec ts;
	siginfo_t info = {.si_signo = 1, .si_code = -1};
	void *head;
	size_t len;

	must_fail("kill of an outsider", kill(pid, 0));
	must_fail("kill of an outsider's group", kill(-pid, 0));
	must_fail("tkill of an outsider", syscall(SYS_tkill, pid, 0));
	must_fail("tgkill of an outsider", syscall(SYS_tgkill, pid, pid, 0));
	must_fail("sigqueue to an outsider", syscall(SYS_rt_sigqueueinfo, pid, 0, &info));
	must_fail("sigqueue to an outsider's thread", syscall(SYS_rt_tgsigqueueinfo, pid, pid, 0, &info));
	must_fail("pidfd of an outsider", syscall(SYS_pidfd_open, pid, 0));
	must_fail("getpgid of an outsider", getpgid(pid));
	must_fail("getsid of an outsider", getsid(pid));
	must_fail("setpgid of an outsider", setpgid(pid, pid));
	must_fail("getpriority of an outsider", (errno = 0, getpriority(PRIO_PROCESS, pid) == -1 && errno ? -1 : 0));
	must_fail("setpriority of an outsider", setpriority(PRIO_PROCESS, pid, 19));
	must_fail("ioprio_get of an outsider", syscall(SYS_ioprio_get, 1, pid));
	must_fail("ioprio_set of an outsider", syscall(SYS_ioprio_set, 1, pid, 0));
	must_fail("affinity of an outsider", sched_getaffinity(pid, sizeof(set), &set));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	must_fail("setting the affinity of an outsider", sched_setaffinity(pid, sizeof(set), &set));
	must_fail("sched_getattr of an outsider", syscall(SYS_sched_getattr, pid, buf, 48, 0));
	must_fail("sched_getparam of an outsider", syscall(SYS_sched_getparam, pid, buf));
	must_fail("sched_getscheduler of an outsider", sched_getscheduler(pid));
	must_fail("prlimit of an outsider", prlimit(pid, RLIMIT_CORE, NULL, &limit));
	must_fail("robust list of an outsider", syscall(SYS_get_robust_list, pid, &head, &len));
	must_fail("CPU clock of an outsider", clock_gettime((~pid << 3) | 2, &ts));
	must_fail("timer on an outsider's clock", syscall(SYS_timer_create, (~pid << 3) | 2, NULL, buf));
	must_fail("wait for an outsider", waitpid(pid, NULL, WNOHANG));
	must_fail("migrate_pages of an outsider", syscall(SYS_migrate_pages, pid, 8, buf, buf));
	must_fail("process_vm_readv of an outsider",
		  process_vm_readv(pid, &(struct iovec){buf, 8}, 1, &(struct iovec){buf, 8}, 1, 0));
	must_fail("ptrace of an outsider", ptrace(PTRACE_SEIZE, pid, 0, 0));
	snprintf(buf, sizeof(buf), "/proc/%d/stat", (int)pid);
	must_fail("/proc of an outsider", open(buf, O_RDONLY));
}

int main(int argc, char **argv)
{
	reserved_descriptors();
	stolen_loader();
	other_abis();
	kernel_surface();
	long_addresses();
	devices();
	read_only_maps();
	if (argc > 1)
		outsider(atoi(argv[1]));
	printf("%d things that no guest may have\n", got);
	return got ? 1 : 0;
}

/* Walls around guests; see jail.h. */
#include "sentry/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/base/err.h"

_Static_assert(JAIL_USERNS == CLONE_NEWUSER, "value of linux/sched.h");
_Static_assert(JAIL_NAMESPACES == (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				   CLONE_NEWPID | CLONE_NEWNET), "value of linux/sched.h");

static int write_file(const char *path, const char *text)
{
	int hostfd = (int)HOST(open(path, O_WRONLY | O_CLOEXEC));
	long ret;

	if (hostfd < 0)
		return hostfd;
	ret = HOST(write(hostfd, text, strlen(text)));
	close(hostfd);
	return ret < 0 ? (int)ret : 0;
}

/* user_namespaces(7): without CAP_SETGID outside, a gid map needs setgroups to be denied first. */
static int map_ids(uid_t uid, gid_t gid)
{
	char map[32];
	int err;

	err = write_file("/proc/self/setgroups", "deny");
	if (err && err != -ENOENT)
		return err;
	snprintf(map, sizeof(map), "0 %u 1", uid);
	err = write_file("/proc/self/uid_map", map);
	if (err)
		return err;
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", map);
}

/* An empty directory becomes the root and the old tree is let go. */
static int empty_root(const char **ret_step)
{
	static const char *const places[] = { "/tmp", "/proc", "/dev", "/var" };
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
	int err = -ENOENT;

	*ret_step = "make mounts private";
	err = (int)HOST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (err)
		return err;
	*ret_step = "mount an empty root";
	err = -ENOENT;
	for (size_t i = 0; err && i < sizeof(places) / sizeof(*places); i++) {
		err = (int)HOST(mount("fusebox", places[i], "tmpfs", flags, "size=4k,mode=555"));
		if (!err)
			err = (int)HOST(chdir(places[i]));
	}
	if (err)
		return err;
	*ret_step = "pivot_root";
	err = (int)HOST(syscall(SYS_pivot_root, ".", "."));
	if (err)
		return err;
	*ret_step = "let the old root go";
	err = (int)HOST(umount2(".", MNT_DETACH));
	return err ? err : (int)HOST(chdir("/"));
}

int jail_enter(bool own_userns, uid_t uid, gid_t gid, const char *hostname, const char **ret_step)
{
	int err;

	if (own_userns) {
		*ret_step = "map ids";
		err = map_ids(uid, gid);
		if (err)
			return err;
	}
	err = empty_root(ret_step);
	if (err)
		return err;
	*ret_step = "set the host name";
	return hostname ? (int)HOST(sethostname(hostname, strlen(hostname))) : 0;
}

/*
 * The root becomes a directory of a process that has died: /proc/PID/fdinfo, which is empty from
 * then on and can never be anything else. A child that shares our root directory enters its own
 * and ends. (Making and removing a directory on disk costs milliseconds.)
 */
void jail_enter_nested(void)
{
	pid_t pid;

	if (geteuid() != 0)
		return; /* CAP_SYS_CHROOT goes with root wherever there are no user namespaces */
	pid = (pid_t)HOST(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
	if (pid == 0) {
		if (!chroot("/proc/self/fdinfo"))
			(void)!chdir("/");
		for (;;)
			syscall(SYS_exit_group, 0);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, __WALL);
}

/* Raw calls: libcap allocates memory, which a child of a threaded process must not. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* Refused to those without CAP_SETPCAP, who gain nothing under no_new_privs anyway. */
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return (int)HOST(syscall(SYS_capset, &header, none));
}

/* Access rights that each Landlock ABI knows; the struct grows with it (landlock(7)). */
static int landlock_deny_all(void)
{
	struct {
		uint64_t fs, net, scoped;
	} attr = { 0x1fff, 0, 0 };
	size_t size = sizeof(attr.fs);
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int hostfd, err;

	if (abi < 1)
		return 0;
	if (abi >= 2)
		attr.fs |= 1 << 13; /* refer */
	if (abi >= 3)
		attr.fs |= 1 << 14; /* truncate */
	if (abi >= 4) {
		attr.net = 3; /* bind, connect */
		size = offsetof(__typeof__(attr), scoped);
	}
	if (abi >= 5)
		attr.fs |= 1 << 15; /* ioctl on devices */
	if (abi >= 6) {
		attr.scoped = 3; /* abstract sockets, signals */
		size = sizeof(attr);
	}
	hostfd = (int)HOST(syscall(SYS_landlock_create_ruleset, &attr, size, 0));
	if (hostfd < 0)
		return hostfd;
	err = (int)HOST(syscall(SYS_landlock_restrict_self, hostfd, 0));
	close(hostfd);
	return err;
}

int jail_drop_rights(const char **ret_step)
{
	int err;

	*ret_step = "drop capabilities";
	err = drop_capabilities();
	if (err)
		return err;
	*ret_step = "no_new_privs";
	err = (int)HOST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (err)
		return err;
	/* A second wall behind seccomp: its absence or refusal weakens nothing else. */
	(void)landlock_deny_all();
	return 0;
}

/* What pid 1 may still do: wait, end, and return from the signals it does not handle. */
static void restrict_init(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_wait4, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(*filter), filter };

	(void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

void jail_init(void)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	const char *step;

	(void)prctl(PR_SET_NAME, "fusebox-init");
	/* Handlers are a copy of the sentry's, and could not return from here. */
	for (int signo = 1; signo < NSIG; signo++)
		(void)sigaction(signo, &dfl, NULL);
	(void)syscall(SYS_close_range, 0, ~0u, 0);
	(void)jail_drop_rights(&step);
	restrict_init();
	for (;;) {
		if (syscall(SYS_wait4, -1, NULL, __WALL, NULL) >= 0)
			continue;
		if (errno == ECHILD)
			break;
	}
	for (;;)
		syscall(SYS_exit_group, 0);
}

/*
 * Start and end of a sandbox, the sentry's half; the child's is launch_child.c, where the order of
 * events is drawn.
 */
#include "sentry/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/exec.h"
#include "sentry/hostproc.h"
#include "sentry/jail.h"
#include "sentry/launch_internal.h"
#include "sentry/sched/sched.h"
#include "sentry/task.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/fs_struct.h"
#include "vfs/mapped.h"

#define FDS_MIN 64 /* host descriptors without which nothing works */

/* A limit on the size of files is for the guests' files, not for the memory behind them. */
static void raise_file_size_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN); /* where the hard limit still stands: EFBIG is answer enough */
}

/* The sentry, and its guests natively, take what the host allows; theirs is ours to limit. */
static uint64_t raise_fd_limit(void)
{
	struct rlimit limit;

	task_set_first_limits();
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	raise_file_size_limit();
	return limit.rlim_max;
}

static int build_filter(struct launch *launch)
{
	const struct launch_config *config = launch->config;

	free(launch->filter);
	launch->filter = NULL;
	return filter_build(config->class_of, config->max_nr, trap->wants_listener, launch->full,
			    launch->full, &launch->filter, &launch->filter_len);
}

/* The next byte from the child; with it the sender's pid and a descriptor. -ECONNRESET: it died. */
static int hear(int socket, char want, pid_t *ret_pid, int *ret_hostfd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t got;

	do
		got = HOST(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC));
	while (got == -EINTR);
	if (got <= 0)
		return got < 0 ? (int)got : -ECONNRESET;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && ret_pid) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			*ret_pid = cred.pid;
		} else if (c->cmsg_type == SCM_RIGHTS && ret_hostfd) {
			memcpy(ret_hostfd, CMSG_DATA(c), sizeof(*ret_hostfd));
		}
	}
	return byte == want ? 0 : -EPROTO;
}

/* The highest descriptor in use, for the child; -1: unknown. */
static int highest_fd(void)
{
	int hostfd = hostproc_open("self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = hostfd < 0 ? NULL : fdopendir(hostfd);
	struct dirent *entry;
	int top = -1;

	if (!dir) {
		if (hostfd >= 0)
			close(hostfd);
		return -1;
	}
	while ((entry = readdir(dir))) {
		long fd = strtol(entry->d_name, NULL, 10); /* "." and "..": 0 */

		if (fd > top)
			top = (int)fd;
	}
	closedir(dir);
	return top;
}

/* fork(2) with namespaces: the C library has no call for it, and none of its locks matter here. */
static pid_t clone_child(const struct launch *launch)
{
	unsigned long flags = SIGCHLD;

	if (launch->full)
		flags |= JAIL_NAMESPACES | (launch->own_userns ? JAIL_USERNS : 0);
	return (pid_t)HOST(syscall(SYS_clone, flags, 0, 0, 0, 0));
}

/*
 * The tracer may have reaped it, and its number may be somebody else's: hence by pidfd, or, where
 * a container refuses those, only while it still is our child.
 */
static void kill_child(const struct launch *launch)
{
	siginfo_t info;

	if (launch->child_pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, launch->child_pidfd, SIGKILL, NULL, 0);
	else if (!waitid(P_PID, (id_t)launch->child, &info, WEXITED | WNOHANG | WNOWAIT | __WALL))
		(void)kill(launch->child, SIGKILL);
}

/*
 * Nothing may be left of an attempt. A guest that was seized stops on its way out; it has to be
 * let go before the init of its namespace can end.
 */
static void reap_child(struct launch *launch)
{
	int status;
	pid_t pid;

	if (launch->child <= 0)
		return;
	kill_child(launch);
	while ((pid = (pid_t)HOST(waitpid(-1, &status, __WALL))) > 0 || pid == -EINTR)
		if (pid > 0 && WIFSTOPPED(status)) {
			(void)kill(pid, SIGKILL);
			(void)ptrace(PTRACE_CONT, pid, 0, 0);
		}
	if (launch->child_pidfd >= 0)
		close(launch->child_pidfd);
	launch->child_pidfd = -1;
	launch->child = launch->first = 0;
}

/* Cleans up after a failed attempt; what the child has said about it counts. */
static int give_up(struct launch *launch, int err, const char **ret_step)
{
	const char *step = atomic_load(&launch->shared->failed_step);

	reap_child(launch);
	close(launch->socket);
	launch->socket = -1;
	if (!step)
		return err;
	*ret_step = step;
	return -atomic_load(&launch->shared->failed_errno);
}

/* One attempt at a level: up to READY. Words for the user in *ret_step when it fails. */
static int start_child(struct launch *launch, const char **ret_step)
{
	int pair[2], one = 1, err;

	atomic_store(&launch->shared->failed_step, NULL);
	*ret_step = "build the guests' seccomp filter";
	err = build_filter(launch);
	if (err)
		return err;
	*ret_step = "make a socket pair";
	err = (int)HOST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	if (err)
		return err;
	(void)setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	launch->socket = pair[1];
	*ret_step = launch->full ? "create namespaces" : "fork";
	launch->fd_top = highest_fd();
	launch->child = clone_child(launch);
	if (!launch->child)
		launch_child(launch);
	close(pair[1]);
	launch->socket = pair[0];
	if (launch->child < 0) {
		err = launch->child;
	} else {
		launch->child_pidfd = (int)HOST(syscall(SYS_pidfd_open, launch->child, 0));
		err = hear(pair[0], LAUNCH_READY, &launch->first, NULL);
	}
	return err ? give_up(launch, err, ret_step) : 0;
}

/* Full isolation, with a user namespace or by the rights of root; else what is left. */
static int choose_level(struct launch *launch, struct launch_result *result)
{
	static char reason[160];
	const struct launch_config *config = launch->config;
	const char *step = "";
	int err = -EPERM, err2;

	if (config->isolation != ISOLATION_NESTED) {
		launch->full = launch->own_userns = true;
		err = start_child(launch, &step);
		if (err && launch->uid == 0) {
			launch->own_userns = false;
			err2 = start_child(launch, &step);
			err = err2 ? err : 0;
		}
		if (!err) {
			result->isolation = ISOLATION_FULL;
			return 0;
		}
		snprintf(reason, sizeof(reason), "cannot %s: %s", step, strerror(-err));
		result->isolation_reason = reason;
		if (config->require_full || config->isolation == ISOLATION_FULL) {
			fb_log(LOG_ERROR, "full isolation is not possible here: %s", reason);
			return err;
		}
		fb_log(LOG_INFO, "isolation nested, not full: %s", reason);
	} else {
		result->isolation_reason = "asked for";
		if (config->require_full) {
			fb_log(LOG_ERROR, "full isolation is required, but nested was asked for");
			return -EINVAL;
		}
	}
	launch->full = launch->own_userns = false;
	result->isolation = ISOLATION_NESTED;
	/* There is no init: orphans come to us, and the tracer reaps them. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	err = start_child(launch, &step);
	if (err)
		fb_log(LOG_ERROR, "cannot %s: %s", step, strerror(-err));
	return err;
}

/* For the translation of ids; without it guests would see the host's. */
static void open_pid_ns(pid_t pid)
{
	char name[32];
	int hostfd;

	snprintf(name, sizeof(name), "%d/ns/pid", pid);
	hostfd = hostproc_open(name, O_RDONLY | O_CLOEXEC);
	if (hostfd < 0)
		fb_log(LOG_WARN, "no access to the guests' pid namespace: %s", strerror(-hostfd));
	task_set_pid_ns(hostfd);
}

/* From READY to the command's first trapped call. Takes the config's objects when it succeeds. */
static int attach(struct launch *launch, int *ret_listener)
{
	const struct launch_config *config = launch->config;
	const char byte = LAUNCH_GO;
	int err;

	err = tracer_attach_first(launch->first);
	if (err) {
		fb_log(LOG_ERROR, "cannot trace the first guest: %s", strerror(-err));
		return err;
	}
	if (launch->full)
		open_pid_ns(launch->first);
	if (!task_new_first(launch->first, config->files, config->fs, config->cred))
		return -ENOMEM;
	if (HOST(write(launch->socket, &byte, 1)) != 1)
		return -ECONNRESET;
	if (!trap->wants_listener)
		return 0;
	err = hear(launch->socket, LAUNCH_LISTENER, NULL, ret_listener);
	if (err && atomic_load(&launch->shared->failed_step)) {
		err = -atomic_load(&launch->shared->failed_errno);
		fb_log(LOG_ERROR, "cannot %s: %s", atomic_load(&launch->shared->failed_step),
		       strerror(-err));
	}
	return err;
}

static enum isolation in_force;

enum isolation launch_isolation(void)
{
	return in_force;
}

static struct host_watch mappings_watch;

static void mappings_changed(struct host_watch *watch, unsigned events)
{
	(void)watch;
	(void)events;
	mapped_events();
}

/* Without it mappings that have gone are noticed by a clock. */
static void watch_mappings(void)
{
	int hostfd = mapped_open_events();
	int err = hostfd < 0 ? hostfd : host_watch_add(&mappings_watch, hostfd, mappings_changed);

	if (err)
		fb_log(LOG_INFO, "the host does not tell when a mapping ends: %s", strerror(-err));
}

static int run(struct launch *launch, struct launch_result *result)
{
	in_force = result->isolation;
	int listener = -1, err;

	fb_log(LOG_INFO, "isolation: %s", launch->full ? "full" : "nested");
	err = attach(launch, &listener);
	if (err)
		return err;
	if (trap->wants_listener)
		close(launch->socket);
	else
		trap_ptrace_set_plant_socket(launch->socket);
	launch->socket = -1;
	err = jail_sentry();
	if (err)
		fb_log(LOG_WARN, "the sentry cannot confine itself: %s", strerror(-err));
	err = trap->start(listener);
	mapped_set_spawn(sched_spawn);
	mapped_set_can_fault();
	if (!err)
		err = sched_start(trap->receive, trap->pending);
	if (!err)
		watch_mappings();
	if (!err && launch->config->started)
		launch->config->started(guest_pid_of(launch->first));
	if (err)
		return err;
	result->status = tracer_loop(launch->first);
	result->exec_errno = atomic_load(&launch->shared->exec_errno);
	/* A child whose parent was killed in fork(2) may be left; the listener ends with the last. */
	reap_child(launch);
	trap->stop();
	sched_stop();
	return 0;
}

int launch_run(const struct launch_config *config, struct launch_result *ret_result)
{
	struct launch_result result = { 0 };
	struct launch launch = {
		.config = config,
		.uid = geteuid(),
		.gid = getegid(),
		.loader_hostfd = -1,
		.socket = -1,
		.child_pidfd = -1,
		.filter_flags = trap->filter_flags,
	};
	int err;

	tracer_init(config->class_of, &launch.sigmask);
	launch.fd_limit = raise_fd_limit();
	for (size_t i = 0; i < config->nr_limits; i++)
		task_set_first_limit(config->limits[i].resource, config->limits[i].value);
	if (launch.fd_limit < FDS_MIN) {
		fb_log(LOG_ERROR, "the limit of open files is too low: %lu", launch.fd_limit);
		return -EMFILE;
	}
	trap_set_fd_limit(launch.fd_limit);
	launch.loader_hostfd = loader_memfd();
	if (launch.loader_hostfd < 0)
		return launch.loader_hostfd;
	launch.shared = mmap(NULL, sizeof(*launch.shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	err = launch.shared == MAP_FAILED ? -ENOMEM : 0;
	if (!err) {
		err = choose_level(&launch, &result);
		if (!err)
			err = run(&launch, &result);
		reap_child(&launch);
		munmap(launch.shared, sizeof(*launch.shared));
	}
	if (launch.socket >= 0)
		close(launch.socket);
	close(launch.loader_hostfd);
	free(launch.filter);
	*ret_result = result;
	return err;
}

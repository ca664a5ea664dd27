/*
 * The child's half of the launch: from the clone to the command's first exec.
 *
 *	child                                    sentry
 *	 enters namespaces, forks; the parent
 *	 half becomes pid 1 and reaps
 *	 empties its descriptor table
 *	 READY (credentials tell its pid) ---->   seizes it, makes the task
 *	                                  <----   GO
 *	 installs the filter
 *	 LISTENER (SCM_RIGHTS)            ---->   starts the backend
 *	 execve of each PATH candidate, trapped like any other
 *
 * After clone(2) only system calls are made: locks of the sentry's other threads may be held for
 * ever in this copy of its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/jail.h"
#include "sentry/launch.h"
#include "sentry/launch_internal.h"
#include "sentry/trap.h"

/*
 * Says so aloud as well: once seized, this process stops on its way out, and the sentry would
 * wait for its next message and not for the stop.
 */
static _Noreturn void fail(struct launch *launch, const char *step, int err)
{
	char kind = LAUNCH_FAILED;
	struct iovec iov = { &kind, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	atomic_store(&launch->shared->failed_errno, -err);
	atomic_store(&launch->shared->failed_step, step);
	(void)syscall(SYS_sendmsg, launch->socket, &msg, 0);
	for (;;)
		syscall(SYS_exit_group, 125);
}

/* Handlers vanish with the exec; what the sentry ignores for itself must not be inherited. */
static void reset_signals(const struct launch *launch)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigaction(SIGPIPE, &dfl, NULL);
	sigaction(SIGXFSZ, &dfl, NULL);
	sigaction(SIGCHLD, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &launch->sigmask, NULL);
}

/*
 * Numbers from first to last. Some containers' own filters do not know close_range(2): then all
 * the numbers that the sentry had at the clone, one by one. What stayed open would be a guest's
 * way to the host.
 */
static void close_all(struct launch *launch, unsigned first, unsigned last)
{
	long err = HOST(syscall(SYS_close_range, first, last, 0));

	if (!err)
		return;
	if (launch->fd_top < 0)
		fail(launch, "close the sentry's descriptors", (int)err);
	for (unsigned fd = first; fd <= last && fd <= (unsigned)launch->fd_top; fd++)
		(void)close((int)fd);
}

/* All that is left is the loader, for ever, and the socket until the first exec. */
static void arrange_descriptors(struct launch *launch)
{
	int loader = trap_reserved_fd(RESERVED_LOADER), plant = trap_reserved_fd(RESERVED_PLANT);
	struct rlimit limit;
	int err;

	err = (int)HOST(getrlimit(RLIMIT_NOFILE, &limit));
	if (!err) {
		limit.rlim_cur = launch->fd_limit;
		err = (int)HOST(setrlimit(RLIMIT_NOFILE, &limit));
	}
	if (err)
		fail(launch, "raise the descriptor limit", err);
	err = (int)HOST(dup3(launch->loader_hostfd, loader, 0));
	if (err >= 0)
		err = (int)HOST(dup3(launch->socket, plant, trap->wants_listener ? O_CLOEXEC : 0));
	if (err < 0)
		fail(launch, "place the reserved descriptors", err);
	launch->socket = plant;
	for (unsigned first = 0, i = 0; i < 3; i++) {
		unsigned stop = i == 0 ? (unsigned)(loader < plant ? loader : plant)
			      : i == 1 ? (unsigned)(loader < plant ? plant : loader) : 0;

		if (stop != first)
			close_all(launch, first, stop - 1);
		first = stop + 1;
	}
}

static void set_limits(struct launch *launch)
{
	const struct launch_config *config = launch->config;

	for (size_t i = 0; i < config->nr_limits; i++) {
		const struct launch_limit *limit = &config->limits[i];
		int err;

		if (limit->resource == RLIMIT_NOFILE || limit->resource == RLIMIT_FSIZE)
			continue; /* the sentry keeps these, see task_set_first_limit() */
		err = (int)HOST(setrlimit(limit->resource,
					  &(struct rlimit){ limit->value, limit->value }));
		if (err)
			fail(launch, "set a resource limit", err);
	}
}

static int install_filter(const struct launch *launch)
{
	struct sock_fprog prog = {
		.len = (unsigned short)launch->filter_len,
		.filter = launch->filter,
	};

	return (int)HOST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, launch->filter_flags,
				 &prog));
}

/* Under the filter: of all calls only this sendmsg, to this number, still goes to the host. */
static int send_listener(int socket, int listener)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	char kind = LAUNCH_LISTENER;
	struct iovec iov = { &kind, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	return (int)HOST(syscall(SYS_sendmsg, socket, &msg, 0));
}

static const char *find_path(char *const *envp)
{
	for (; *envp; envp++)
		if (!strncmp(*envp, "PATH=", 5))
			return *envp + 5;
	return "/usr/local/bin:/bin:/usr/bin";
}

/* execvp(3): a file that is no program is a shell script. */
static int exec_file(const char *path, char *const *argv, char *const *envp)
{
	static const char *shell_argv[3 + 256];
	size_t argc = 0;

	syscall(SYS_execve, path, argv, envp);
	if (errno != ENOEXEC)
		return -errno;
	while (argv[argc])
		argc++;
	if (argc > 256)
		return -E2BIG;
	shell_argv[0] = "/bin/sh";
	shell_argv[1] = path;
	for (size_t i = 1; i <= argc; i++)
		shell_argv[1 + i] = argv[i];
	syscall(SYS_execve, "/bin/sh", shell_argv, envp);
	return -ENOEXEC;
}

/* Tries all of PATH; what execvp(3) would report. */
static int exec_command(char *const *argv, char *const *envp)
{
	static char path[PATH_MAX];
	size_t name_len = strlen(argv[0]), dir_len;
	const char *dir, *end;
	bool denied = false;
	int err = -ENOENT;

	if (!*argv[0])
		return -ENOENT;
	if (strchr(argv[0], '/'))
		return exec_file(argv[0], argv, envp);
	for (dir = find_path(envp);; dir = end + 1) {
		end = strchrnul(dir, ':');
		dir_len = (size_t)(end - dir);
		if (dir_len + name_len + 2 <= sizeof(path)) {
			memcpy(path, dir, dir_len);
			path[dir_len] = '/';
			memcpy(path + dir_len + (dir_len > 0), argv[0], name_len + 1);
			err = exec_file(path, argv, envp);
			denied |= err == -EACCES;
			if (err != -EACCES && err != -ENOENT && err != -ENOTDIR)
				return err;
		}
		if (!*end)
			return denied ? -EACCES : err;
	}
}

static _Noreturn void first_guest(struct launch *launch)
{
	const struct launch_config *config = launch->config;
	const char *step = "";
	char byte = LAUNCH_READY;
	int err;

	/* A session of its own: what job control names must exist in the guests' namespace. */
	(void)setsid();
	arrange_descriptors(launch);
	err = jail_drop_rights(&step);
	if (err)
		fail(launch, step, err);
	set_limits(launch);
	if (write(launch->socket, &byte, 1) != 1 || read(launch->socket, &byte, 1) != 1 ||
	    byte != LAUNCH_GO)
		fail(launch, "hear from the sentry", -ECONNRESET);
	err = install_filter(launch);
	if (err < 0)
		fail(launch, "install the guests' seccomp filter", err);
	if (trap->wants_listener) {
		err = send_listener(launch->socket, err);
		if (err < 0)
			fail(launch, "hand over the listener", err);
	}
	err = exec_command(config->argv, config->envp);
	atomic_store(&launch->shared->exec_errno, -err);
	for (;;)
		syscall(SYS_exit_group, err == -ENOENT || err == -ENOTDIR ? 127 : 126);
}

void launch_child(struct launch *launch)
{
	const char *step = "";
	int err;
	pid_t pid;

	reset_signals(launch);
	if (!launch->full) {
		jail_enter_nested();
		first_guest(launch);
	}
	/* Before GO nothing else ends the children of a sentry that dies. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	err = jail_enter(launch->own_userns, launch->uid, launch->gid, launch->config->hostname,
			 &step);
	if (err)
		fail(launch, step, err);
	pid = (pid_t)HOST(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	if (pid < 0)
		fail(launch, "fork the first guest", pid);
	if (pid)
		jail_init();
	first_guest(launch);
}

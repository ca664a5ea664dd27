/* The walls, tried from inside by children that report in their exit status. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/jail.h"
#include "sentry/selftest.h"

#define SKIPPED 77

/* Runs fn in a child with these clone flags; its result is the exit status. */
static void in_child(unsigned long flags, int (*fn)(void))
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	int status;

	if (pid < 0)
		cr_skip_test("no namespaces here: %s", strerror(errno));
	if (!pid)
		_exit(fn());
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "status %x", status);
	if (WEXITSTATUS(status) == SKIPPED)
		cr_skip_test("refused here");
	cr_assert_eq(WEXITSTATUS(status), 0, "line %d", WEXITSTATUS(status));
}

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond))                                                               \
			return __LINE__ % 250;                                             \
	} while (0)

static uid_t uid;
static gid_t gid;

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int enter(void)
{
	const char *step = "";
	int err = jail_enter(true, uid, gid, "jailed", &step);
	struct utsname uts;

	if (err == -EPERM || err == -EACCES)
		return SKIPPED;
	CHECK(err == 0);
	CHECK(entries("/") == 0);
	CHECK(entries("/..") == 0);
	CHECK(mkdir("/x", 0700) < 0 && (errno == EROFS || errno == EACCES));
	CHECK(open("/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
	CHECK(uname(&uts) == 0 && strcmp(uts.nodename, "jailed") == 0);
	CHECK(getuid() == 0 && getgid() == 0);
	CHECK(getpid() == 1);
	return 0;
}

Test(jail, the_full_level_has_an_empty_root_and_names_of_its_own)
{
	uid = getuid();
	gid = getgid();
	in_child(JAIL_USERNS | JAIL_NAMESPACES, enter);
}

static int drop(void)
{
	const char *step = "";
	int fd;

	CHECK(jail_drop_rights(&step) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHECK(mount("none", "/tmp", "tmpfs", 0, NULL) < 0);
	CHECK(unshare(CLONE_NEWNS) < 0 && errno == EPERM);
	CHECK(setgid(gid + 1) < 0);
	/* Landlock, where there is some: nothing can be opened. */
	fd = open("/etc/passwd", O_RDONLY);
	CHECK(fd < 0 ? errno == EACCES
		     : syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) < 0);
	return 0;
}

Test(jail, a_guest_has_no_capability_and_gets_none)
{
	gid = getgid();
	in_child(0, drop);
}

static void *thread(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

static int sentry(void)
{
	char *const argv[] = { "true", NULL };
	pthread_t id;
	int ran = 0;

	CHECK(jail_sentry() == 0);
	CHECK(execv("/bin/true", argv) < 0 && errno == EPERM);
	CHECK(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
	CHECK(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) < 0 && errno == EPERM);
	CHECK(mount("none", "/tmp", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	CHECK(setuid(getuid()) < 0 && errno == EPERM);
	/* Its own work goes on. */
	CHECK(pthread_create(&id, NULL, thread, &ran) == 0 && pthread_join(id, NULL) == 0);
	CHECK(ran == 1);
	CHECK(open("/etc/passwd", O_RDONLY) >= 0);
	CHECK(syscall(SYS_memfd_create, "x", 0) >= 0);
	return 0;
}

Test(jail, the_sentry_cannot_execute_or_mount_but_can_work)
{
	in_child(0, sentry);
}

static int init_reaps(void)
{
	/* A grandchild that is orphaned must not keep init from ending, nor stay a zombie. */
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (!pid) {
		if (!fork()) {
			usleep(20000);
			_exit(0);
		}
		_exit(0);
	}
	jail_init();
}

Test(jail, init_ends_when_its_last_orphan_has, .timeout = 120)
{
	in_child(0, init_reaps);
}

Test(selftest, the_long_test_agrees_with_the_short_one, .timeout = 120)
{
	const char *reason = "";
	int err;

	unsetenv("FUSEBOX_SELFTEST");
	err = selftest_notify(&reason);
	if (err)
		cr_skip_test("%s", reason);
	setenv("FUSEBOX_SELFTEST", "1", 1);
	cr_assert_eq(selftest_notify(&reason), 0, "%s", reason);
}

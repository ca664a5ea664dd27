/*
 * Is the host's notification interface good enough for the notify backend?
 *
 * Three things are needed: user notifications at all, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
 * (Linux 5.19), and that a reply accepted by the kernel reaches the task. The last was broken
 * until "seccomp: Fix a race with WAIT_KILLABLE_RECV if the tracer replies too fast" (Linux 6.18
 * and stable kernels of late 2025): a signal that arrives just before the reply makes the task
 * throw it away. A version tells at once; where it does not, the race is tried for some
 * milliseconds: guest and sentry on two processors, a signal, and a reply after a swept delay.
 */
#include "sentry/selftest.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/base/wait.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define RACE_NS 20000000
#define RACE_SWEEP_NS 10000
#define READY_NS 1000000000
#define PROBE_FD 1000 /* the read(2) that is notified */
#define PROBE_RESULT 8

/* A page that the racing child counts in. */
struct race {
	atomic_int ready;
	int listener; /* or -errno; valid when ready */
	atomic_long received;
};

/* First release of each stable series with the fix; other series need the race to tell. */
static const struct {
	unsigned major, minor, patch;
} fixed_in[] = {
	{ 6, 12, 53 }, { 6, 16, 13 }, { 6, 17, 3 },
};

static bool version_has_fix(void)
{
	unsigned major, minor, patch = 0;
	struct utsname uts;

	if (uname(&uts) || sscanf(uts.release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return false;
	if (major > 6 || (major == 6 && minor >= 18))
		return true;
	for (size_t i = 0; i < sizeof(fixed_in) / sizeof(*fixed_in); i++)
		if (fixed_in[i].major == major && fixed_in[i].minor == minor)
			return patch >= fixed_in[i].patch;
	return false;
}

/* A null program: EFAULT means that the flags were understood. */
static int check_flags(const char **ret_reason)
{
	unsigned long flags =
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	uint32_t action = SECCOMP_RET_USER_NOTIF;
	long err = HOST(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));

	if (err) {
		*ret_reason = err == -EPERM || err == -ENOSYS
				      ? "seccomp(2) is refused here"
				      : "the kernel has no seccomp user notifications";
		return (int)err;
	}
	err = HOST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL));
	if (err == -EFAULT)
		return 0;
	*ret_reason = err == -EINVAL ? "the kernel lacks SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
				       " (Linux 5.19)"
				     : "a seccomp listener is refused here";
	return (int)err;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void ignore_it(int signo)
{
	(void)signo;
}

/* The child: reads for ever and counts the answers that reach it. */
static _Noreturn void race_child(struct race *race, int cpu)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE_FD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(filter) / sizeof(*filter), filter };
	struct sigaction sa = { .sa_handler = ignore_it };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(cpu);
	sigaction(SIGUSR1, &sa, NULL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	race->listener = (int)HOST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
					   SECCOMP_FILTER_FLAG_NEW_LISTENER |
						   SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
					   &prog));
	atomic_store(&race->ready, 1);
	for (;;)
		if (syscall(SYS_read, PROBE_FD, NULL, 0) == PROBE_RESULT)
			atomic_fetch_add(&race->received, 1);
}

/* Returns how many accepted replies were lost, or -errno. */
static long run_race(pid_t child, int listener, struct race *race)
{
	int64_t end = clock_monotonic_ns() + RACE_NS, until;
	struct seccomp_notif notif;
	long sent = 0, lost;

	for (int round = 0; clock_monotonic_ns() < end; round++) {
		struct seccomp_notif_resp resp = { .val = PROBE_RESULT };

		memset(&notif, 0, sizeof(notif));
		if (HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif)))
			continue;
		(void)syscall(SYS_tgkill, child, child, SIGUSR1);
		until = clock_monotonic_ns() + round % 100 * (RACE_SWEEP_NS / 100);
		while (clock_monotonic_ns() < until)
			;
		resp.id = notif.id;
		sent += HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp)) == 0;
	}
	/* The child's next call comes after the last answer. */
	memset(&notif, 0, sizeof(notif));
	while (HOST(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif)) == -EINTR)
		;
	lost = sent - atomic_load(&race->received);
	fb_log(LOG_INFO, "self test: %ld of %ld replies lost to signals", lost, sent);
	return lost;
}

/* The two processors of the race; false when there is only one, where the two never meet. */
static bool two_cpus(const cpu_set_t *cpus, int *ret_first, int *ret_second)
{
	int found = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, cpus))
			*(found++ ? ret_second : ret_first) = cpu;
	return found == 2;
}

/* The child shares our descriptor table, so its listener needs no handing over. */
static long race_on(struct race *race, int first, int second)
{
	int64_t end = clock_monotonic_ns() + READY_NS;
	long ret = 0; /* a machine too busy to start a child tells nothing */
	pid_t child;

	child = (pid_t)HOST(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
	if (child < 0)
		return child;
	if (!child)
		race_child(race, second);
	pin(first);
	while (!atomic_load(&race->ready) && clock_monotonic_ns() < end)
		(void)sched_yield();
	if (atomic_load(&race->ready))
		ret = race->listener < 0 ? race->listener : run_race(child, race->listener, race);
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, __WALL);
	if (atomic_load(&race->ready) && race->listener >= 0)
		close(race->listener);
	return ret;
}

static int check_replies(const char **ret_reason)
{
	struct race *race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int first, second;
	cpu_set_t cpus;
	long lost = 0;

	if (race == MAP_FAILED)
		return -ENOMEM;
	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && two_cpus(&cpus, &first, &second)) {
		lost = race_on(race, first, second);
		(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	munmap(race, sizeof(*race));
	if (lost < 0) {
		*ret_reason = "a seccomp listener is refused here";
		return (int)lost;
	}
	if (lost > 0) {
		*ret_reason = "the kernel loses replies to signals (fixed in Linux 6.18, 6.12.53)";
		return -EIO;
	}
	return 0;
}

int selftest_notify(const char **ret_reason)
{
	const char *asked = getenv("FUSEBOX_SELFTEST");
	int err = check_flags(ret_reason);

	if (err || (version_has_fix() && !(asked && *asked == '1')))
		return err;
	return check_replies(ret_reason);
}

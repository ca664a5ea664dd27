/* The guests' seccomp program, run over sample calls. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "bpf.h"
#include "sentry/launch.h"
#include "sentry/loader/plan.h"
#include "sentry/trap.h"

static struct sock_filter *prog;
static size_t prog_len;

static enum syscall_class class_of(long nr)
{
	switch (nr) {
	case SYS_mmap: case SYS_clone: case SYS_waitid: case SYS_shmget: case SYS_kill:
	case SYS_clock_gettime: case SYS_prlimit64:
		return CLASS_CHECKED;
	case SYS_getuid: case SYS_munmap: case SYS_futex: case SYS_semget: case SYS_setpriority:
	case SYS_ioprio_set: case SYS_sched_setaffinity:
		return CLASS_NATIVE;
	case SYS_bpf: case SYS_clone3:
		return CLASS_REFUSED;
	}
	return CLASS_SENTRY;
}

static void build(bool listener, bool own_ns)
{
	cr_assert_eq(filter_build(class_of, 470, listener, own_ns, own_ns, &prog, &prog_len), 0);
}

static void setup(void)
{
	trap_set_fd_limit(4096);
	build(true, true);
}

static void teardown(void)
{
	free(prog);
}

TestSuite(filter, .init = setup, .fini = teardown);

static uint32_t run_abi(uint32_t arch, int nr, uint64_t a0, uint64_t a1, uint64_t a3, uint64_t a4)
{
	struct seccomp_data data = { .nr = nr, .arch = arch, .args = { a0, a1, 0, a3, a4, 0 } };

	return bpf_run(prog, prog_len, &data);
}

static uint32_t run(int nr, uint64_t a0, uint64_t a1, uint64_t a3, uint64_t a4)
{
	return run_abi(AUDIT_ARCH_X86_64, nr, a0, a1, a3, a4);
}

#define TRAPPED SECCOMP_RET_USER_NOTIF
#define NATIVE SECCOMP_RET_ALLOW

Test(filter, classes_decide)
{
	cr_assert_eq(run(SYS_getuid, 0, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_openat, 0, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_bpf, 0, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_kill, 1, 9, 0, 0), TRAPPED);
	cr_assert_eq(run(FB_SYSCALL_PLAN, 0, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(469, 0, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(12345, 0, 0, 0, 0), TRAPPED);
}

Test(filter, other_abis_do_not_exist)
{
	cr_assert_eq(run_abi(AUDIT_ARCH_I386, 1, 0, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	cr_assert_eq(run(0x40000000 | SYS_getuid, 0, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

Test(filter, only_anonymous_memory_is_mapped_natively)
{
	uint64_t none = (uint64_t)-1;

	cr_assert_eq(run(SYS_mmap, 0, 4096, MAP_PRIVATE | MAP_ANONYMOUS, none), NATIVE);
	cr_assert_eq(run(SYS_mmap, 0, 4096, MAP_PRIVATE, 3), TRAPPED);
	for (int which = 0; which < FB_RESERVED_FDS; which++) {
		bool planted = which == RESERVED_MAIN || which == RESERVED_INTERP || which == RESERVED_LANE;
		uint64_t fd = (uint64_t)trap_reserved_fd(which);

		cr_assert_eq(run(SYS_mmap, 0, 4096, MAP_PRIVATE, fd), planted ? NATIVE : TRAPPED);
		cr_assert_eq(run(SYS_close, fd, 0, 0, 0), planted ? NATIVE : TRAPPED);
	}
}

Test(filter, only_the_loader_is_executed_natively)
{
	uint64_t loader = (uint64_t)trap_reserved_fd(RESERVED_LOADER);

	cr_assert_eq(run(SYS_execveat, loader, 0, 0, AT_EMPTY_PATH), NATIVE);
	cr_assert_eq(run(SYS_execveat, loader, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_execveat, loader + 1, 0, 0, AT_EMPTY_PATH), TRAPPED);
	cr_assert_eq(run(SYS_execveat, loader | 1ull << 32, 0, 0, AT_EMPTY_PATH), TRAPPED);
	cr_assert_eq(run(SYS_execve, loader, 0, 0, AT_EMPTY_PATH), TRAPPED);
}

Test(filter, clone_may_not_leave_the_sandbox)
{
	static const uint64_t forbidden[] = {
		CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
		CLONE_NEWPID, CLONE_NEWNET, CLONE_PTRACE, CLONE_UNTRACED, CLONE_PIDFD, CLONE_IO,
	};
	uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

	cr_assert_eq(run(SYS_clone, SIGCHLD, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clone, thread, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0), NATIVE);
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++)
		cr_assert_eq(run(SYS_clone, forbidden[i] | SIGCHLD, 0, 0, 0), TRAPPED, "%lx",
			     forbidden[i]);
}

Test(filter, what_every_program_and_thread_asks_first_needs_no_trap)
{
	cr_assert_eq(run(SYS_clone3, 0x1000, 88, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	cr_assert_eq(run(SYS_prlimit64, 0, RLIMIT_STACK, 0x1000, 0), NATIVE);
	cr_assert_eq(run(SYS_prlimit64, 0, RLIMIT_NOFILE, 0x1000, 0), TRAPPED);
	cr_assert_eq(run(SYS_prlimit64, 0, RLIMIT_FSIZE, 0x1000, 0), TRAPPED);
	cr_assert_eq(run(SYS_prlimit64, 7, RLIMIT_STACK, 0x1000, 0), TRAPPED);
	cr_assert_eq(run(SYS_bpf, 0, 0, 0, 0), TRAPPED);
}

Test(filter, waiting_for_a_pidfd_is_ours)
{
	cr_assert_eq(run(SYS_waitid, P_ALL, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_waitid, P_PID, 5, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_waitid, 3 /* P_PIDFD */, 5, 0, 0), TRAPPED);
}

Test(filter, prctl_of_the_loader_passes_and_no_other)
{
	cr_assert_eq(run(SYS_prctl, PR_SET_NAME, 0, 0, PLAN_PRCTL_MAGIC), NATIVE);
	cr_assert_eq(run(SYS_prctl, PR_SET_NAME, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_prctl, PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0), TRAPPED);
}

Test(filter, shared_memory_is_native_only_in_a_namespace_of_its_own)
{
	cr_assert_eq(run(SYS_shmget, 0, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_semget, 0, 0, 0, 0), NATIVE);
	free(prog);
	build(true, false);
	cr_assert_eq(run(SYS_shmget, 0, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_semget, 0, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

Test(filter, without_a_pid_namespace_only_oneself_is_rescheduled)
{
	cr_assert_eq(run(SYS_sched_setaffinity, 77, 0, 0, 0), NATIVE);
	free(prog);
	build(true, false);
	cr_assert_eq(run(SYS_sched_setaffinity, 0, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_sched_setaffinity, 77, 0, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	cr_assert_eq(run(SYS_setpriority, 0, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_setpriority, 0, 77, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	cr_assert_eq(run(SYS_setpriority, 2, 0, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	cr_assert_eq(run(SYS_ioprio_set, 1, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_ioprio_set, 0, 0, 0, 0), SECCOMP_RET_ERRNO | EPERM);
}

Test(filter, without_listener_calls_stop_in_ptrace)
{
	free(prog);
	build(false, true);
	cr_assert_eq(run(SYS_openat, 0, 0, 0, 0) & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_TRACE);
	cr_assert_eq(run(SYS_getuid, 0, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_sendmsg, (uint64_t)trap_reserved_fd(RESERVED_PLANT), 0, 0, 0) &
			     SECCOMP_RET_ACTION_FULL, SECCOMP_RET_TRACE);
}

/* The clock of a process: the complement of its id, and 2 for the time it was on a processor. */
static uint64_t clock_of(int pid, int kind)
{
	return (uint64_t)(int64_t)(int)((unsigned)~pid << 3 | (unsigned)kind);
}

Test(filter, without_a_pid_namespace_clocks_of_other_processes_trap)
{
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1, 2), 0, 0, 0), NATIVE);
	free(prog);
	build(true, false);
	cr_assert_eq(run(SYS_clock_gettime, CLOCK_MONOTONIC, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clock_gettime, CLOCK_TAI, 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(0, 2), 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1234, 4 | 2), 0, 0, 0), NATIVE);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1, 2), 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1234, 0), 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1234, 2) & 0xffffffff, 0, 0, 0), TRAPPED);
	cr_assert_eq(run(SYS_clock_gettime, clock_of(1234, 3), 0, 0, 0), TRAPPED);
}

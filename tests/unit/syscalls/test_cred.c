/* The rules of set*id and capabilities that programs rely on; the rest is tests/guest/creds.c. */
#include "tests/unit/syscalls/self_task.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#include "syscalls/handlers.h"

Test(cred, setuid_of_root_is_for_ever)
{
	struct task *task = self_task(0);

	cr_assert_eq(sys_setuid(task, ARGS(1000)), 0);
	cr_expect_eq(task->cred->uid, 1000u);
	cr_expect_eq(task->cred->suid, 1000u);
	cr_expect_eq(task->cred->fsuid, 1000u);
	cr_expect_eq(task->cred->cap_permitted, 0u);
	cr_expect_eq(sys_setuid(task, ARGS(0)), -EPERM);
}

Test(cred, effective_capabilities_come_back_with_the_effective_id)
{
	struct task *task = self_task(0);
	uint64_t all = task->cred->cap_effective;

	cr_assert_eq(sys_setresuid(task, ARGS((uint32_t)-1, 1000, (uint32_t)-1)), 0);
	cr_expect_eq(task->cred->cap_effective, 0u);
	cr_expect_eq(task->cred->cap_permitted, all);
	cr_assert_eq(sys_setresuid(task, ARGS((uint32_t)-1, 0, (uint32_t)-1)), 0);
	cr_expect_eq(task->cred->cap_effective, all);
}

Test(cred, fsuid_takes_only_the_file_capabilities)
{
	struct task *task = self_task(0);

	cr_expect_eq(sys_setfsuid(task, ARGS(1000)), 0);
	cr_expect_not(cred_capable(task->cred, CAP_DAC_OVERRIDE));
	cr_expect(cred_capable(task->cred, CAP_SYS_ADMIN));
	cr_expect_eq(sys_setfsuid(task, ARGS(0)), 1000);
	cr_expect(cred_capable(task->cred, CAP_DAC_OVERRIDE));
}

Test(cred, an_ordinary_user_chooses_among_its_own_ids)
{
	struct task *task = self_task(1000);

	cr_expect_eq(sys_setresuid(task, ARGS(0, 0, 0)), -EPERM);
	cr_expect_eq(sys_setresgid(task, ARGS(5, (uint32_t)-1, (uint32_t)-1)), -EPERM);
	cr_expect_eq(sys_setresuid(task, ARGS(1000, 1000, 1000)), 0);
	cr_expect_eq(sys_setgroups(task, ARGS(0, 0)), -EPERM);
}

Test(cred, keepcaps_saves_the_permitted_set)
{
	struct task *task = self_task(0);
	uint64_t all = task->cred->cap_permitted;

	cr_assert_eq(sys_prctl(task, ARGS(PR_SET_KEEPCAPS, 1)), 0);
	cr_assert_eq(sys_setresuid(task, ARGS(1000, 1000, 1000)), 0);
	cr_expect_eq(task->cred->cap_permitted, all);
	cr_expect_eq(task->cred->cap_effective, 0u);
}

Test(cred, a_change_of_identity_makes_the_process_undumpable)
{
	struct task *task = self_task(0);

	cr_expect_eq(sys_prctl(task, ARGS(PR_GET_DUMPABLE)), 1);
	cr_assert_eq(sys_setresuid(task, ARGS((uint32_t)-1, 1000, (uint32_t)-1)), 0);
	cr_expect_eq(sys_prctl(task, ARGS(PR_GET_DUMPABLE)), 0);
}

Test(cred, locked_securebits_stay)
{
	struct task *task = self_task(0);

	cr_assert_eq(sys_prctl(task, ARGS(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED)), 0);
	cr_expect_eq(sys_prctl(task, ARGS(PR_SET_SECUREBITS, 0)), -EPERM);
	cr_expect_eq(sys_prctl(task, ARGS(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED)),
		     -EPERM);
}

Test(cred, prctl_refuses_what_it_does_not_know)
{
	struct task *task = self_task(0);

	cr_expect_eq(sys_prctl(task, ARGS(PR_SET_SECCOMP, 1)), -EINVAL);
	cr_expect_eq(sys_prctl(task, ARGS(PR_SET_MM)), -EPERM);
	cr_expect_eq(sys_prctl(task, ARGS(123456)), -EINVAL);
	cr_expect_eq(sys_prctl(task, ARGS(PR_SET_NAME, 1)), CALL_NATIVE);
}

Test(cred, the_descriptor_limit_is_ours)
{
	struct task *task = self_task(1000);
	struct rlimit rl = {10, 20};

	cr_assert_eq(sys_setrlimit(task, ARGS(RLIMIT_NOFILE, GVA(&rl))), 0);
	cr_expect_eq(task_nofile(task), 10u);
	rl.rlim_max = 21;
	cr_expect_eq(sys_setrlimit(task, ARGS(RLIMIT_NOFILE, GVA(&rl))), -EPERM);
	rl = (struct rlimit){21, 20};
	cr_expect_eq(sys_setrlimit(task, ARGS(RLIMIT_NOFILE, GVA(&rl))), -EINVAL);
	cr_expect_eq(sys_setrlimit(task, ARGS(RLIMIT_CORE, GVA(&rl))), CALL_NATIVE);
}

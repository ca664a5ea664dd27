/*
 * The sentry's own jail. Should a guest ever make the sentry run its code, this code finds no
 * capability worth having and no call that leads further into the host: no exec, no namespaces,
 * no mounts, no modules, no kernel programs. File and socket calls stay: they are its work.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sentry/base/err.h"
#include "sentry/jail.h"

/* What a file server needs to act for all users; only kept where it was there (real root). */
static const cap_value_t file_server_caps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
};

static int keep_capabilities(void)
{
	cap_t now = cap_get_proc(), wanted = cap_init();
	cap_flag_value_t has;
	int err = now && wanted ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < sizeof(file_server_caps) / sizeof(*file_server_caps); i++) {
		const cap_value_t *cap = &file_server_caps[i];

		if (cap_get_flag(now, *cap, CAP_PERMITTED, &has) || has != CAP_SET)
			continue;
		if (cap_set_flag(wanted, CAP_PERMITTED, 1, cap, CAP_SET) ||
		    cap_set_flag(wanted, CAP_EFFECTIVE, 1, cap, CAP_SET))
			err = -EINVAL;
	}
	if (!err) {
		for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
			(void)cap_drop_bound(cap); /* needs CAP_SETPCAP; no_new_privs follows */
		(void)cap_reset_ambient();
		err = (int)HOST(cap_set_proc(wanted));
	}
	cap_free(now);
	cap_free(wanted);
	return err;
}

static const int refused[] = {
	SYS_execve, SYS_execveat, SYS_setns, SYS_unshare, SYS_mount, SYS_umount2, SYS_pivot_root,
	SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
	SYS_fspick, SYS_mount_setattr, SYS_open_by_handle_at, SYS_bpf, SYS_perf_event_open,
	SYS_keyctl, SYS_add_key, SYS_request_key, SYS_kexec_load, SYS_kexec_file_load,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_reboot, SYS_swapon, SYS_swapoff,
	SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_iopl, SYS_ioperm, SYS_settimeofday,
	SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname, SYS_setdomainname,
	SYS_personality, SYS_vhangup, SYS_nfsservctl, SYS_lookup_dcookie, SYS_uselib, SYS_modify_ldt,
	SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid,
	SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_userfaultfd, SYS_kcmp, SYS_fork, SYS_vfork,
};

static int install_filter(void)
{
	/* clone3's flags are behind a pointer: ENOSYS makes libc use clone. */
	const uint64_t forbidden = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				   CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_VFORK;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = ctx ? 0 : -ENOMEM;

	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; !err && i < sizeof(refused) / sizeof(*refused); i++)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (!err)
		err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SYS_clone3, 0);
	for (uint64_t bit = 1; !err && bit <= forbidden; bit <<= 1)
		if (forbidden & bit)
			err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SYS_clone, 1,
					       SCMP_A0_64(SCMP_CMP_MASKED_EQ, bit, bit));
	if (!err)
		err = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return err;
}

int jail_sentry(void)
{
	int err = keep_capabilities();

	if (!err)
		err = (int)HOST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return err ? err : install_filter();
}

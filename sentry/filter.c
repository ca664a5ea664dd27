/*
 * The guests' seccomp program. Everything traps unless a rule here lets it pass: the NATIVE rows
 * of the syscall table as they are, the CHECKED rows under conditions on register arguments, and
 * what the loader does with the reserved descriptors.
 *
 * Only numbers are looked at, never what a pointer points to. Calls of other ABIs (i386, x32) get
 * ENOSYS: the table, and every check, is about x86-64's numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/launch.h"
#include "sentry/loader/plan.h"
#include "sentry/trap.h"

/* Number of the trace stop's data; the backend's own affair, any value does. */
#define TRACE_DATA 0

/*
 * clone(2) flags that have no effect beyond the sandbox's processes. Not here: namespaces,
 * CLONE_PTRACE and CLONE_UNTRACED (the tracer must see every birth), CLONE_PIDFD (a descriptor the
 * sentry does not know), CLONE_IO.
 */
#define CLONE_NATIVE                                                                      \
	(CSIGNAL | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK |      \
	 CLONE_PARENT | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |                     \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_CHILD_SETTID)

struct builder {
	scmp_filter_ctx ctx;
	enum syscall_class (*class_of)(long nr);
	int err; /* the first failure */
};

static void allow(struct builder *b, long nr, unsigned nr_cmp, const struct scmp_arg_cmp *cmp)
{
	int err;

	if (b->err)
		return;
	err = seccomp_rule_add_array(b->ctx, SCMP_ACT_ALLOW, (int)nr, nr_cmp, cmp);
	if (err && err != -EEXIST)
		b->err = err;
}

/* Rules of the loader: they hold whatever the row's class says, unless it allows all anyway. */
static void allow_ours(struct builder *b, long nr, unsigned nr_cmp, const struct scmp_arg_cmp *cmp)
{
	if (b->class_of(nr) != CLASS_NATIVE)
		allow(b, nr, nr_cmp, cmp);
}

static void allow_value(struct builder *b, long nr, unsigned arg, uint64_t value)
{
	const struct scmp_arg_cmp cmp[] = { SCMP_CMP64(arg, SCMP_CMP_EQ, value) };

	allow(b, nr, 1, cmp);
}

static void allow_bits(struct builder *b, long nr, unsigned arg, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp cmp[] = { SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value) };

	allow(b, nr, 1, cmp);
}

/*
 * No guest's table hands out the reserved numbers, so in a guest's hands they are free numbers, for
 * which the host answers EBADF as the sentry would.
 */
static void add_loader_rules(struct builder *b, bool with_listener)
{
	static const int planted[] = { RESERVED_MAIN, RESERVED_INTERP, RESERVED_LANE };

	for (size_t i = 0; i < sizeof(planted) / sizeof(*planted); i++) {
		uint64_t fd = (uint64_t)trap_reserved_fd(planted[i]);
		const struct scmp_arg_cmp map[] = { SCMP_CMP64(4, SCMP_CMP_EQ, fd) };
		const struct scmp_arg_cmp shut[] = { SCMP_CMP64(0, SCMP_CMP_EQ, fd) };

		allow_ours(b, SYS_mmap, 1, map);
		allow_ours(b, SYS_close, 1, shut);
	}
	const struct scmp_arg_cmp exec[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, (uint64_t)trap_reserved_fd(RESERVED_LOADER)),
		SCMP_CMP64(4, SCMP_CMP_EQ, AT_EMPTY_PATH),
	};
	const struct scmp_arg_cmp name[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, PR_SET_NAME),
		SCMP_CMP64(4, SCMP_CMP_EQ, PLAN_PRCTL_MAGIC),
	};
	const struct scmp_arg_cmp mm[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, PR_SET_MM),
		SCMP_CMP64(1, SCMP_CMP_EQ, PR_SET_MM_MAP),
	};
	const struct scmp_arg_cmp hand_over[] = {
		SCMP_CMP64(0, SCMP_CMP_EQ, (uint64_t)trap_reserved_fd(RESERVED_PLANT)),
	};

	/* One that the tracer has not arranged ends with the death of the task (exec.c). */
	allow_ours(b, SYS_execveat, 2, exec);
	allow_ours(b, SYS_prctl, 2, name);
	/* Where /proc looks for arguments and heap, of the caller's own memory. */
	allow_ours(b, SYS_prctl, 2, mm);
	/* launch.c: the first guest sends its listener to the sentry. */
	if (with_listener)
		allow_ours(b, SYS_sendmsg, 1, hand_over);
}

static bool is_ipc(long nr)
{
	switch (nr) {
	case SYS_shmget: case SYS_shmat: case SYS_shmctl: case SYS_shmdt:
	case SYS_semget: case SYS_semop: case SYS_semctl: case SYS_semtimedop:
	case SYS_msgget: case SYS_msgsnd: case SYS_msgrcv: case SYS_msgctl:
		return true;
	}
	return false;
}

/* Calls that name processes and are harmless where all processes there are belong to us. */
static bool is_pid_query(long nr)
{
	switch (nr) {
	case SYS_getpid: case SYS_gettid: case SYS_getppid: case SYS_getpgrp: case SYS_getpgid:
	case SYS_getsid: case SYS_set_tid_address:
		return true;
	}
	return false;
}

static bool is_clock(long nr)
{
	return nr == SYS_clock_gettime || nr == SYS_clock_getres || nr == SYS_clock_nanosleep ||
	       nr == SYS_timer_create;
}

/*
 * Clocks are ints. All but the negative ones are nobody's; of those pass the caller's own (the
 * complement of id 0) and threads', which the host tells only to their own process.
 */
static void add_clock(struct builder *b, long nr)
{
	allow_bits(b, nr, 0, 0x80000000, 0);
	allow_bits(b, nr, 0, 0xfffffff8, 0xfffffff8);
	allow_bits(b, nr, 0, 0x80000004, 0x80000004);
}

static void refuse(struct builder *b, long nr, int error, unsigned nr_cmp,
		   const struct scmp_arg_cmp *cmp)
{
	int err;

	if (b->err)
		return;
	err = seccomp_rule_add_array(b->ctx, SCMP_ACT_ERRNO((uint16_t)error), (int)nr, nr_cmp, cmp);
	if (err && err != -EEXIST)
		b->err = err;
}

/*
 * Without a pid namespace, ids name the host's processes, those of our own user among them.
 * Calls that change another process's scheduling pass only for the caller itself.
 */
static bool add_self_only(struct builder *b, long nr)
{
	const struct scmp_arg_cmp self[] = { SCMP_CMP64(0, SCMP_CMP_EQ, 0) };
	const struct scmp_arg_cmp other[] = { SCMP_CMP64(0, SCMP_CMP_NE, 0) };
	/* setpriority: PRIO_PROCESS is 0; ioprio_set: IOPRIO_WHO_PROCESS is 1. */
	uint64_t which = nr == SYS_ioprio_set ? 1 : 0;
	const struct scmp_arg_cmp self2[] = { SCMP_CMP64(0, SCMP_CMP_EQ, which),
					      SCMP_CMP64(1, SCMP_CMP_EQ, 0) };
	const struct scmp_arg_cmp which2[] = { SCMP_CMP64(0, SCMP_CMP_NE, which) };
	const struct scmp_arg_cmp other2[] = { SCMP_CMP64(1, SCMP_CMP_NE, 0) };

	switch (nr) {
	case SYS_sched_setparam: case SYS_sched_setscheduler: case SYS_sched_setaffinity:
	case SYS_sched_setattr:
		allow(b, nr, 1, self);
		refuse(b, nr, EPERM, 1, other);
		return true;
	case SYS_setpriority: case SYS_ioprio_set:
		allow(b, nr, 2, self2);
		refuse(b, nr, EPERM, 1, which2);
		refuse(b, nr, EPERM, 1, other2);
		return true;
	}
	return false;
}

static void add_native(struct builder *b, long nr, bool own_pid_ns, bool own_ipc_ns)
{
	if (!own_pid_ns && add_self_only(b, nr))
		return;
	if (!own_ipc_ns && is_ipc(nr)) /* the host's objects: as a kernel without SysV IPC */
		refuse(b, nr, ENOSYS, 0, NULL);
	else
		allow(b, nr, 0, NULL);
}

/* Conditions under which a CHECKED call runs natively; a call not named here always traps. */
static void add_checked(struct builder *b, long nr, bool own_pid_ns, bool own_ipc_ns)
{
	if ((is_ipc(nr) && own_ipc_ns) || (is_pid_query(nr) && own_pid_ns)) {
		allow(b, nr, 0, NULL);
		return;
	}
	if (is_clock(nr)) {
		if (own_pid_ns)
			allow(b, nr, 0, NULL);
		else
			add_clock(b, nr);
		return;
	}
	switch (nr) {
	case SYS_prlimit64: {
		/* What every start of a program asks; that limit is the host's. */
		const struct scmp_arg_cmp stack[] = { SCMP_CMP64(0, SCMP_CMP_EQ, 0),
						      SCMP_CMP64(1, SCMP_CMP_EQ, RLIMIT_STACK) };

		allow(b, nr, 2, stack);
		break;
	}
	case SYS_mmap:
		allow_bits(b, nr, 3, MAP_ANONYMOUS, MAP_ANONYMOUS);
		break;
	case SYS_clone:
		/* The kernel looks at the lower half only. */
		allow_bits(b, nr, 0, 0xffffffffu & ~(uint64_t)CLONE_NATIVE, 0);
		break;
	case SYS_waitid:
		allow_value(b, nr, 0, P_ALL);
		allow_value(b, nr, 0, P_PID);
		allow_value(b, nr, 0, P_PGID);
		break;
	}
}

static void add_table(struct builder *b, long max_nr, bool own_pid_ns, bool own_ipc_ns)
{
	for (long nr = 0; nr <= max_nr && !b->err; nr++) {
		switch (b->class_of(nr)) {
		case CLASS_NATIVE:
			add_native(b, nr, own_pid_ns, own_ipc_ns);
			break;
		case CLASS_CHECKED:
			add_checked(b, nr, own_pid_ns, own_ipc_ns);
			break;
		case CLASS_REFUSED:
			/* Asked before each fork and each thread, and nothing to tell the user about. */
			if (nr == SYS_clone3)
				refuse(b, nr, ENOSYS, 0, NULL);
			break;
		case CLASS_SENTRY:
			break;
		}
	}
}

/* libseccomp 2.5 exports to a descriptor only. */
static int export(scmp_filter_ctx ctx, struct sock_filter **ret_prog, size_t *ret_len)
{
	cleanup_close int hostfd = (int)HOST(memfd_create("fusebox-filter", MFD_CLOEXEC));
	cleanup_free struct sock_filter *prog = NULL;
	struct stat st;
	ssize_t got;
	int err;

	if (hostfd < 0)
		return hostfd;
	err = seccomp_export_bpf(ctx, hostfd);
	if (!err)
		err = (int)HOST(fstat(hostfd, &st));
	if (err)
		return err;
	if (st.st_size % (off_t)sizeof(*prog) || st.st_size > BPF_MAXINSNS * (off_t)sizeof(*prog))
		return -E2BIG;
	prog = malloc((size_t)st.st_size);
	if (!prog)
		return -ENOMEM;
	got = HOST(pread(hostfd, prog, (size_t)st.st_size, 0));
	if (got != st.st_size)
		return got < 0 ? (int)got : -EIO;
	*ret_len = (size_t)st.st_size / sizeof(*prog);
	*ret_prog = steal_ptr(prog);
	return 0;
}

int filter_build(enum syscall_class (*class_of)(long nr), long max_nr, bool with_listener,
		 bool own_pid_ns, bool own_ipc_ns, struct sock_filter **ret_prog, size_t *ret_len)
{
	uint32_t trap_action = with_listener ? SCMP_ACT_NOTIFY : SCMP_ACT_TRACE(TRACE_DATA);
	struct builder b = { .class_of = class_of };
	int err;

	b.ctx = seccomp_init(trap_action);
	if (!b.ctx)
		return -EINVAL;
	err = seccomp_attr_set(b.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (!err) /* a binary tree: lookups of trapped calls in few steps */
		err = seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err) {
		add_loader_rules(&b, with_listener);
		add_table(&b, max_nr, own_pid_ns, own_ipc_ns);
		err = b.err;
	}
	if (!err)
		err = export(b.ctx, ret_prog, ret_len);
	seccomp_release(b.ctx);
	return err;
}

/* THE table. How to add a call: docs/how-to-add-a-syscall.md. */
#include "syscalls/table.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "syscalls/handlers.h"
#include "syscalls/numbers.h"
#include "vfs/strbuf.h"

/* The argument shapes without their prefix. */
#define NONE	    ARG_NONE
#define INT	    ARG_INT
#define UINT	    ARG_UINT
#define LONG	    ARG_LONG
#define HEX	    ARG_HEX
#define PTR	    ARG_PTR
#define FD	    ARG_FD
#define DIRFD	    ARG_DIRFD
#define PATH	    ARG_PATH
#define STR	    ARG_STR
#define BUF_IN	    ARG_BUF_IN
#define BUF_OUT	    ARG_BUF_OUT
#define SIZE	    ARG_SIZE
#define OFFSET	    ARG_OFFSET
#define OPEN_FLAGS  ARG_OPEN_FLAGS
#define AT_FLAGS    ARG_AT_FLAGS
#define MODE	    ARG_MODE
#define PROT	    ARG_PROT
#define MAP_FLAGS   ARG_MAP_FLAGS
#define SIGNAL	    ARG_SIGNAL
#define PID	    ARG_PID
#define UID	    ARG_UID
#define CMD	    ARG_CMD
#define WHENCE	    ARG_WHENCE
#define IOVEC	    ARG_IOVEC
#define CLOCK	    ARG_CLOCK
#define CLONE_FLAGS ARG_CLONE_FLAGS
#define DOMAIN	    ARG_DOMAIN
#define SOCK_TYPE   ARG_SOCK_TYPE

#define ROW(name_, fn_, class_, support_, errno_, note_, ...)                                      \
	[__NR_##name_] = {#name_, fn_, {__VA_ARGS__}, class_, support_, errno_, note_}

/* Allowed natively, always. */
#define NATIVE(name_, ...) ROW(name_, NULL, CLASS_NATIVE, SUPPORT_FULL, 0, NULL, __VA_ARGS__)
/* The host does it; under a limit on the number of tasks a handler looks first. */
#define NATIVE_BIRTH(name_) ROW(name_, sys_fork, CLASS_NATIVE, SUPPORT_FULL, 0, NULL)
/* A handler looks at the registers, then it continues natively. */
#define CHECKED(name_, ...)                                                                        \
	ROW(name_, sys_##name_, CLASS_CHECKED, SUPPORT_FULL, 0, NULL, __VA_ARGS__)
#define CHECKED_PART(name_, note_, ...)                                                            \
	ROW(name_, sys_##name_, CLASS_CHECKED, SUPPORT_PARTIAL, 0, note_, __VA_ARGS__)
/* The same question for all of a family: is the named process one of ours? */
#define CHECKED_SCHED(name_, ...)                                                                  \
	ROW(name_, sys_sched_of, CLASS_CHECKED, SUPPORT_FULL, 0, NULL, __VA_ARGS__)
/* As well: is the process whose time is asked for one of ours? */
#define CHECKED_CLOCK(name_, ...)                                                                  \
	ROW(name_, sys_clock_of, CLASS_CHECKED, SUPPORT_FULL, 0, NULL, __VA_ARGS__)
#define CHECKED_IPC(name_, ...)                                                                    \
	ROW(name_, sys_ipc, CLASS_CHECKED, SUPPORT_PARTIAL, 0,                                     \
	    "ENOSYS where the host gives us no IPC namespace", __VA_ARGS__)
/* A handler does it. */
#define SENTRY(name_, ...) ROW(name_, sys_##name_, CLASS_SENTRY, SUPPORT_FULL, 0, NULL, __VA_ARGS__)
#define SENTRY_PART(name_, note_, ...)                                                             \
	ROW(name_, sys_##name_, CLASS_SENTRY, SUPPORT_PARTIAL, 0, note_, __VA_ARGS__)
/* The errno is the one from which libraries and programs fall back best. */
#define REFUSED(name_, errno_, note_)                                                              \
	ROW(name_, NULL, CLASS_REFUSED, SUPPORT_REFUSED, errno_, note_, HEX, HEX, HEX)

/* clang-format off: one row per call */
const struct syscall_row syscall_table[SYSCALL_MAX] = {
	SENTRY(read, FD, BUF_OUT, SIZE),
	SENTRY(write, FD, BUF_IN, SIZE),
	SENTRY(open, PATH, OPEN_FLAGS, MODE),
	SENTRY(close, FD),
	SENTRY(stat, PATH, PTR),
	SENTRY(fstat, FD, PTR),
	SENTRY(lstat, PATH, PTR),
	SENTRY(poll, PTR, UINT, INT),
	SENTRY(lseek, FD, OFFSET, WHENCE),
	CHECKED(mmap, PTR, SIZE, PROT, MAP_FLAGS, FD, OFFSET),
	NATIVE(mprotect, PTR, SIZE, PROT),
	NATIVE(munmap, PTR, SIZE),
	NATIVE(brk, PTR),
	NATIVE(rt_sigaction, SIGNAL, PTR, PTR, SIZE),
	NATIVE(rt_sigprocmask, INT, PTR, PTR, SIZE),
	NATIVE(rt_sigreturn),
	SENTRY(ioctl, FD, HEX, HEX),
	SENTRY(pread64, FD, BUF_OUT, SIZE, OFFSET),
	SENTRY(pwrite64, FD, BUF_IN, SIZE, OFFSET),
	SENTRY(readv, FD, IOVEC, SIZE),
	SENTRY(writev, FD, IOVEC, SIZE),
	SENTRY(access, PATH, MODE),
	SENTRY(pipe, PTR),
	SENTRY(select, INT, PTR, PTR, PTR, PTR),
	NATIVE(sched_yield),
	NATIVE(mremap, PTR, SIZE, SIZE, HEX, PTR),
	CHECKED(msync, PTR, SIZE, HEX),
	NATIVE(mincore, PTR, SIZE, PTR),
	NATIVE(madvise, PTR, SIZE, INT),
	CHECKED_IPC(shmget, HEX, SIZE, HEX),
	CHECKED_IPC(shmat, INT, PTR, HEX),
	CHECKED_IPC(shmctl, INT, INT, PTR),
	SENTRY(dup, FD),
	SENTRY(dup2, FD, FD),
	NATIVE(pause),
	NATIVE(nanosleep, PTR, PTR),
	NATIVE(getitimer, INT, PTR),
	NATIVE(alarm, UINT),
	NATIVE(setitimer, INT, PTR, PTR),
	CHECKED(getpid),
	SENTRY(sendfile, FD, FD, PTR, SIZE),
	SENTRY(socket, DOMAIN, SOCK_TYPE, INT),
	SENTRY(connect, FD, PTR, SIZE),
	SENTRY(accept, FD, PTR, PTR),
	SENTRY(sendto, FD, BUF_IN, SIZE, HEX, PTR, SIZE),
	SENTRY(recvfrom, FD, BUF_OUT, SIZE, HEX, PTR, PTR),
	SENTRY(sendmsg, FD, PTR, HEX),
	SENTRY(recvmsg, FD, PTR, HEX),
	SENTRY(shutdown, FD, INT),
	SENTRY(bind, FD, PTR, SIZE),
	SENTRY(listen, FD, INT),
	SENTRY(getsockname, FD, PTR, PTR),
	SENTRY(getpeername, FD, PTR, PTR),
	SENTRY(socketpair, DOMAIN, SOCK_TYPE, INT, PTR),
	SENTRY(setsockopt, FD, INT, INT, PTR, SIZE),
	SENTRY(getsockopt, FD, INT, INT, PTR, PTR),
	CHECKED_PART(clone,
		     "new namespaces and CLONE_PTRACE are refused (EPERM), CLONE_PIDFD and "
		     "CLONE_IO too (EINVAL)",
		     CLONE_FLAGS, PTR, PTR, PTR, PTR),
	NATIVE_BIRTH(fork),
	NATIVE_BIRTH(vfork),
	SENTRY(execve, PATH, PTR, PTR),
	NATIVE(exit, INT),
	NATIVE(wait4, PID, PTR, HEX, PTR),
	CHECKED(kill, PID, SIGNAL),
	SENTRY(uname, PTR),
	CHECKED_IPC(semget, HEX, INT, HEX),
	CHECKED_IPC(semop, INT, PTR, SIZE),
	CHECKED_IPC(semctl, INT, INT, INT, PTR),
	CHECKED_IPC(shmdt, PTR),
	CHECKED_IPC(msgget, HEX, HEX),
	CHECKED_IPC(msgsnd, INT, PTR, SIZE, HEX),
	CHECKED_IPC(msgrcv, INT, PTR, SIZE, LONG, HEX),
	CHECKED_IPC(msgctl, INT, INT, PTR),
	SENTRY_PART(fcntl,
		    "no leases, no F_NOTIFY, no write hints; F_SETOWN_EX takes a thread for "
		    "its process",
		    FD, CMD, HEX),
	SENTRY(flock, FD, INT),
	SENTRY(fsync, FD),
	SENTRY(fdatasync, FD),
	SENTRY(truncate, PATH, OFFSET),
	SENTRY(ftruncate, FD, OFFSET),
	SENTRY(getdents, FD, PTR, SIZE),
	SENTRY(getcwd, BUF_OUT, SIZE),
	SENTRY(chdir, PATH),
	SENTRY(fchdir, FD),
	SENTRY(rename, PATH, PATH),
	SENTRY(mkdir, PATH, MODE),
	SENTRY(rmdir, PATH),
	SENTRY(creat, PATH, MODE),
	SENTRY(link, PATH, PATH),
	SENTRY(unlink, PATH),
	SENTRY(symlink, PATH, PATH),
	SENTRY(readlink, PATH, BUF_OUT, SIZE),
	SENTRY(chmod, PATH, MODE),
	SENTRY(fchmod, FD, MODE),
	SENTRY(chown, PATH, UID, UID),
	SENTRY(fchown, FD, UID, UID),
	SENTRY(lchown, PATH, UID, UID),
	SENTRY(umask, MODE),
	NATIVE(gettimeofday, PTR, PTR),
	CHECKED(getrlimit, INT, PTR),
	NATIVE(getrusage, INT, PTR),
	NATIVE(sysinfo, PTR),
	NATIVE(times, PTR),
	REFUSED(ptrace, EPERM, "every task is traced by the sentry"),
	SENTRY(getuid),
	REFUSED(syslog, EPERM, "administration of the host"),
	SENTRY(getgid),
	SENTRY(setuid, UID),
	SENTRY(setgid, UID),
	SENTRY(geteuid),
	SENTRY(getegid),
	NATIVE(setpgid, PID, PID),
	CHECKED(getppid),
	CHECKED(getpgrp),
	NATIVE(setsid),
	SENTRY(setreuid, UID, UID),
	SENTRY(setregid, UID, UID),
	SENTRY(getgroups, INT, PTR),
	SENTRY(setgroups, INT, PTR),
	SENTRY(setresuid, UID, UID, UID),
	SENTRY(getresuid, PTR, PTR, PTR),
	SENTRY(setresgid, UID, UID, UID),
	SENTRY(getresgid, PTR, PTR, PTR),
	CHECKED(getpgid, PID),
	SENTRY(setfsuid, UID),
	SENTRY(setfsgid, UID),
	CHECKED(getsid, PID),
	SENTRY(capget, PTR, PTR),
	SENTRY(capset, PTR, PTR),
	NATIVE(rt_sigpending, PTR, SIZE),
	NATIVE(rt_sigtimedwait, PTR, PTR, PTR, SIZE),
	CHECKED(rt_sigqueueinfo, PID, SIGNAL, PTR),
	NATIVE(rt_sigsuspend, PTR, SIZE),
	NATIVE(sigaltstack, PTR, PTR),
	SENTRY(utime, PATH, PTR),
	SENTRY(mknod, PATH, MODE, HEX),
	REFUSED(uselib, ENOSYS, "obsolete"),
	CHECKED_PART(personality, "only PER_LINUX", HEX),
	REFUSED(ustat, ENOSYS, "obsolete"),
	SENTRY(statfs, PATH, PTR),
	SENTRY(fstatfs, FD, PTR),
	REFUSED(sysfs, ENOSYS, "obsolete"),
	CHECKED(getpriority, INT, INT),
	CHECKED(setpriority, INT, INT, INT),
	CHECKED_SCHED(sched_setparam, PID, PTR),
	CHECKED_SCHED(sched_getparam, PID, PTR),
	CHECKED_SCHED(sched_setscheduler, PID, INT, PTR),
	CHECKED_SCHED(sched_getscheduler, PID),
	NATIVE(sched_get_priority_max, INT),
	NATIVE(sched_get_priority_min, INT),
	CHECKED_SCHED(sched_rr_get_interval, PID, PTR),
	NATIVE(mlock, PTR, SIZE),
	NATIVE(munlock, PTR, SIZE),
	NATIVE(mlockall, HEX),
	NATIVE(munlockall),
	REFUSED(vhangup, EPERM, "administration of the host"),
	REFUSED(modify_ldt, ENOSYS, "16-bit segments"),
	SENTRY(pivot_root, PATH, PATH),
	REFUSED(_sysctl, ENOSYS, "obsolete"),
	CHECKED_PART(prctl,
		     "options on seccomp, PR_SET_MM, core scheduling and the like are "
		     "refused",
		     INT, HEX, HEX, HEX, HEX),
	NATIVE(arch_prctl, HEX, PTR),
	REFUSED(adjtimex, EPERM, "the clock is the host's"),
	CHECKED(setrlimit, INT, PTR),
	SENTRY(chroot, PATH),
	SENTRY_PART(sync, "the file systems of the root and the working directory"),
	REFUSED(acct, EPERM, "administration of the host"),
	REFUSED(settimeofday, EPERM, "the clock is the host's"),
	SENTRY(mount, STR, PATH, STR, HEX, STR),
	SENTRY(umount2, PATH, HEX),
	REFUSED(swapon, EPERM, "administration of the host"),
	REFUSED(swapoff, EPERM, "administration of the host"),
	REFUSED(reboot, EPERM, "administration of the host"),
	SENTRY(sethostname, STR, SIZE),
	SENTRY(setdomainname, STR, SIZE),
	REFUSED(iopl, EPERM, "hardware of the host"),
	REFUSED(ioperm, EPERM, "hardware of the host"),
	REFUSED(create_module, ENOSYS, "obsolete"),
	REFUSED(init_module, EPERM, "administration of the host"),
	REFUSED(delete_module, EPERM, "administration of the host"),
	REFUSED(get_kernel_syms, ENOSYS, "obsolete"),
	REFUSED(query_module, ENOSYS, "obsolete"),
	REFUSED(quotactl, EPERM, "administration of the host"),
	REFUSED(nfsservctl, ENOSYS, "obsolete"),
	REFUSED(getpmsg, ENOSYS, "never implemented by Linux"),
	REFUSED(putpmsg, ENOSYS, "never implemented by Linux"),
	REFUSED(afs_syscall, ENOSYS, "never implemented by Linux"),
	REFUSED(tuxcall, ENOSYS, "never implemented by Linux"),
	REFUSED(security, ENOSYS, "never implemented by Linux"),
	CHECKED(gettid),
	SENTRY_PART(readahead, "reads files of FUSE only", FD, OFFSET, SIZE),
	SENTRY(setxattr, PATH, STR, BUF_IN, SIZE, HEX),
	SENTRY(lsetxattr, PATH, STR, BUF_IN, SIZE, HEX),
	SENTRY(fsetxattr, FD, STR, BUF_IN, SIZE, HEX),
	SENTRY(getxattr, PATH, STR, BUF_OUT, SIZE),
	SENTRY(lgetxattr, PATH, STR, BUF_OUT, SIZE),
	SENTRY(fgetxattr, FD, STR, BUF_OUT, SIZE),
	SENTRY(listxattr, PATH, BUF_OUT, SIZE),
	SENTRY(llistxattr, PATH, BUF_OUT, SIZE),
	SENTRY(flistxattr, FD, BUF_OUT, SIZE),
	SENTRY(removexattr, PATH, STR),
	SENTRY(lremovexattr, PATH, STR),
	SENTRY(fremovexattr, FD, STR),
	CHECKED(tkill, PID, SIGNAL),
	NATIVE(time, PTR),
	NATIVE(futex, PTR, INT, INT, PTR, PTR, INT),
	CHECKED_SCHED(sched_setaffinity, PID, SIZE, PTR),
	CHECKED_SCHED(sched_getaffinity, PID, SIZE, PTR),
	REFUSED(set_thread_area, ENOSYS, "32-bit only"),
	REFUSED(io_setup, ENOSYS, "no kernel asynchronous I/O"),
	REFUSED(io_destroy, ENOSYS, "no kernel asynchronous I/O"),
	REFUSED(io_getevents, ENOSYS, "no kernel asynchronous I/O"),
	REFUSED(io_submit, ENOSYS, "no kernel asynchronous I/O"),
	REFUSED(io_cancel, ENOSYS, "no kernel asynchronous I/O"),
	REFUSED(get_thread_area, ENOSYS, "32-bit only"),
	REFUSED(lookup_dcookie, ENOSYS, "obsolete"),
	SENTRY(epoll_create, INT),
	REFUSED(epoll_ctl_old, ENOSYS, "never implemented by Linux"),
	REFUSED(epoll_wait_old, ENOSYS, "never implemented by Linux"),
	NATIVE(remap_file_pages, PTR, SIZE, PROT, SIZE, HEX),
	SENTRY(getdents64, FD, PTR, SIZE),
	CHECKED(set_tid_address, PTR),
	CHECKED(restart_syscall),
	CHECKED_IPC(semtimedop, INT, PTR, SIZE, PTR),
	SENTRY_PART(fadvise64, "only files of FUSE follow the advice", FD, OFFSET, SIZE, INT),
	CHECKED_CLOCK(timer_create, CLOCK, PTR, PTR),
	NATIVE(timer_settime, INT, HEX, PTR, PTR),
	NATIVE(timer_gettime, INT, PTR),
	NATIVE(timer_getoverrun, INT),
	NATIVE(timer_delete, INT),
	REFUSED(clock_settime, EPERM, "the clock is the host's"),
	CHECKED_CLOCK(clock_gettime, CLOCK, PTR),
	CHECKED_CLOCK(clock_getres, CLOCK, PTR),
	CHECKED_CLOCK(clock_nanosleep, CLOCK, HEX, PTR, PTR),
	NATIVE(exit_group, INT),
	SENTRY(epoll_wait, FD, PTR, INT, INT),
	SENTRY(epoll_ctl, FD, INT, FD, PTR),
	CHECKED(tgkill, PID, PID, SIGNAL),
	SENTRY(utimes, PATH, PTR),
	REFUSED(vserver, ENOSYS, "never implemented by Linux"),
	NATIVE(mbind, PTR, SIZE, INT, PTR, SIZE, HEX),
	NATIVE(set_mempolicy, INT, PTR, SIZE),
	NATIVE(get_mempolicy, PTR, PTR, SIZE, PTR, HEX),
	REFUSED(mq_open, ENOSYS, "not present yet"),
	REFUSED(mq_unlink, ENOSYS, "not present yet"),
	REFUSED(mq_timedsend, ENOSYS, "not present yet"),
	REFUSED(mq_timedreceive, ENOSYS, "not present yet"),
	REFUSED(mq_notify, ENOSYS, "not present yet"),
	REFUSED(mq_getsetattr, ENOSYS, "not present yet"),
	REFUSED(kexec_load, EPERM, "administration of the host"),
	CHECKED_PART(waitid, "P_PIDFD is EINVAL", INT, PID, PTR, HEX, PTR),
	REFUSED(add_key, ENOSYS, "no key rings"),
	REFUSED(request_key, ENOSYS, "no key rings"),
	REFUSED(keyctl, ENOSYS, "no key rings"),
	CHECKED(ioprio_set, INT, INT, HEX),
	CHECKED(ioprio_get, INT, INT),
	REFUSED(inotify_init, ENOSYS, "not present yet"),
	REFUSED(inotify_add_watch, ENOSYS, "not present yet"),
	REFUSED(inotify_rm_watch, ENOSYS, "not present yet"),
	REFUSED(migrate_pages, EPERM, "may name another process"),
	SENTRY(openat, DIRFD, PATH, OPEN_FLAGS, MODE),
	SENTRY(mkdirat, DIRFD, PATH, MODE),
	SENTRY(mknodat, DIRFD, PATH, MODE, HEX),
	SENTRY(fchownat, DIRFD, PATH, UID, UID, AT_FLAGS),
	SENTRY(futimesat, DIRFD, PATH, PTR),
	SENTRY(newfstatat, DIRFD, PATH, PTR, AT_FLAGS),
	SENTRY(unlinkat, DIRFD, PATH, AT_FLAGS),
	SENTRY(renameat, DIRFD, PATH, DIRFD, PATH),
	SENTRY(linkat, DIRFD, PATH, DIRFD, PATH, AT_FLAGS),
	SENTRY(symlinkat, PATH, DIRFD, PATH),
	SENTRY(readlinkat, DIRFD, PATH, BUF_OUT, SIZE),
	SENTRY(fchmodat, DIRFD, PATH, MODE),
	SENTRY(faccessat, DIRFD, PATH, MODE),
	SENTRY(pselect6, INT, PTR, PTR, PTR, PTR, PTR),
	SENTRY(ppoll, PTR, UINT, PTR, PTR, SIZE),
	SENTRY_PART(unshare, "of the namespaces only CLONE_NEWNS", CLONE_FLAGS),
	NATIVE(set_robust_list, PTR, SIZE),
	CHECKED_PART(get_robust_list, "of the calling thread only", PID, PTR, PTR),
	SENTRY_PART(splice, "copies through the sentry", FD, PTR, FD, PTR, SIZE, HEX),
	SENTRY(tee, FD, FD, SIZE, HEX),
	SENTRY(sync_file_range, FD, OFFSET, OFFSET, HEX),
	SENTRY_PART(vmsplice, "copies; what is changed before it is taken counts only in the first 64 bytes, taken by splice", FD, IOVEC, SIZE, HEX),
	REFUSED(move_pages, EPERM, "may name another process"),
	SENTRY(utimensat, DIRFD, PATH, PTR, AT_FLAGS),
	SENTRY(epoll_pwait, FD, PTR, INT, INT, PTR, SIZE),
	REFUSED(signalfd, ENOSYS, "not present yet"),
	SENTRY_PART(timerfd_create,
		    "the ALARM clocks are EPERM; TFD_TIMER_CANCEL_ON_SET never cancels", CLOCK,
		    HEX),
	SENTRY(eventfd, UINT),
	SENTRY(fallocate, FD, HEX, OFFSET, OFFSET),
	SENTRY(timerfd_settime, FD, HEX, PTR, PTR),
	SENTRY(timerfd_gettime, FD, PTR),
	SENTRY(accept4, FD, PTR, PTR, HEX),
	REFUSED(signalfd4, ENOSYS, "not present yet"),
	SENTRY(eventfd2, UINT, HEX),
	SENTRY(epoll_create1, HEX),
	SENTRY(dup3, FD, FD, OPEN_FLAGS),
	SENTRY(pipe2, PTR, OPEN_FLAGS),
	REFUSED(inotify_init1, ENOSYS, "not present yet"),
	SENTRY(preadv, FD, IOVEC, SIZE, OFFSET),
	SENTRY(pwritev, FD, IOVEC, SIZE, OFFSET),
	CHECKED(rt_tgsigqueueinfo, PID, PID, SIGNAL, PTR),
	REFUSED(perf_event_open, EACCES, "kernel attack surface"),
	SENTRY(recvmmsg, FD, PTR, UINT, HEX, PTR),
	REFUSED(fanotify_init, ENOSYS, "not present yet"),
	REFUSED(fanotify_mark, ENOSYS, "not present yet"),
	CHECKED_PART(prlimit64, "of another process only RLIMIT_NOFILE", PID, INT, PTR, PTR),
	SENTRY(name_to_handle_at, DIRFD, PATH, PTR, PTR, AT_FLAGS),
	SENTRY_PART(open_by_handle_at,
		    "of tmpfs, a file that lost the latest of its hard links has no path", FD, PTR,
		    OPEN_FLAGS),
	REFUSED(clock_adjtime, EPERM, "the clock is the host's"),
	SENTRY(syncfs, FD),
	SENTRY(sendmmsg, FD, PTR, UINT, HEX),
	REFUSED(setns, EPERM, "the sandbox's namespaces are the only ones"),
	NATIVE(getcpu, PTR, PTR, PTR),
	REFUSED(process_vm_readv, EPERM, "no guest looks into another"),
	REFUSED(process_vm_writev, EPERM, "no guest looks into another"),
	REFUSED(kcmp, EPERM, "no guest looks into another"),
	REFUSED(finit_module, EPERM, "administration of the host"),
	CHECKED_SCHED(sched_setattr, PID, PTR, HEX),
	CHECKED_SCHED(sched_getattr, PID, PTR, SIZE, HEX),
	SENTRY(renameat2, DIRFD, PATH, DIRFD, PATH, HEX),
	REFUSED(seccomp, EINVAL, "guests cannot add filters to the sentry's"),
	NATIVE(getrandom, PTR, SIZE, HEX),
	SENTRY_PART(memfd_create, "no huge pages", STR, HEX),
	REFUSED(kexec_file_load, EPERM, "administration of the host"),
	REFUSED(bpf, EPERM, "kernel attack surface"),
	SENTRY(execveat, DIRFD, PATH, PTR, PTR, AT_FLAGS),
	REFUSED(userfaultfd, EPERM, "kernel attack surface"),
	NATIVE(membarrier, INT, HEX, INT),
	NATIVE(mlock2, PTR, SIZE, HEX),
	SENTRY(copy_file_range, FD, PTR, FD, PTR, SIZE, HEX),
	SENTRY_PART(preadv2,
		    "RWF_ATOMIC, RWF_NOAPPEND and RWF_DONTCACHE are "
		    "EOPNOTSUPP",
		    FD, IOVEC, SIZE, OFFSET, NONE, HEX),
	SENTRY_PART(pwritev2,
		    "RWF_ATOMIC, RWF_NOAPPEND and RWF_DONTCACHE are "
		    "EOPNOTSUPP",
		    FD, IOVEC, SIZE, OFFSET, NONE, HEX),
	NATIVE(pkey_mprotect, PTR, SIZE, PROT, INT),
	NATIVE(pkey_alloc, HEX, HEX),
	NATIVE(pkey_free, INT),
	SENTRY(statx, DIRFD, PATH, AT_FLAGS, HEX, PTR),
	REFUSED(io_pgetevents, ENOSYS, "no kernel asynchronous I/O"),
	NATIVE(rseq, PTR, SIZE, HEX, HEX),
	REFUSED(uretprobe, ENOSYS, "the kernel's own trampolines only"),
	REFUSED(uprobe, ENOSYS, "the kernel's own trampolines only"),
	SENTRY_PART(pidfd_send_signal,
		    "the siginfo argument is ignored: the receiver sees no "
		    "sender",
		    FD, SIGNAL, PTR, HEX),
	SENTRY_PART(io_uring_setup,
		    "no IORING_SETUP_IOPOLL, SQPOLL, NO_MMAP, CQE_MIXED: EINVAL; a mapping larger "
		    "than the ring is refused",
		    INT, PTR),
	SENTRY_PART(io_uring_enter,
		    "operations: nop, read, write, readv, writev, read_fixed, write_fixed, fsync, "
		    "poll_add, poll_remove, timeout, timeout_remove, link_timeout, async_cancel, "
		    "openat, openat2, close, statx, send, recv, uring_cmd; no provided buffers, no "
		    "direct descriptors; others are EINVAL",
		    FD, INT, INT, HEX, PTR, SIZE),
	SENTRY_PART(io_uring_register,
		    "no resource tags, restrictions, ring descriptors, provided buffers; a "
		    "registered buffer is an address, not its pages",
		    FD, INT, PTR, INT),
	SENTRY(open_tree, DIRFD, PATH, HEX),
	SENTRY_PART(move_mount, "no MOVE_MOUNT_SET_GROUP, no MOVE_MOUNT_BENEATH", DIRFD, PATH,
		    DIRFD, PATH, HEX),
	SENTRY(fsopen, STR, HEX),
	SENTRY_PART(fsconfig,
		    "FSCONFIG_SET_PATH, SET_PATH_EMPTY and CMD_CREATE_EXCL are "
		    "EOPNOTSUPP",
		    FD, UINT, STR, PTR, INT),
	SENTRY(fsmount, FD, HEX, HEX),
	SENTRY(fspick, DIRFD, PATH, HEX),
	SENTRY_PART(pidfd_open, "no PIDFD_THREAD; no POLLHUP when the process is waited for", PID,
		    HEX),
	REFUSED(clone3, ENOSYS, "its flags are behind a pointer; libc falls back to clone"),
	SENTRY_PART(close_range,
		    "host copies of mapped files stay until their numbers are used again", FD, FD,
		    HEX),
	SENTRY(openat2, DIRFD, PATH, PTR, SIZE),
	SENTRY(pidfd_getfd, FD, FD, HEX),
	SENTRY(faccessat2, DIRFD, PATH, MODE, AT_FLAGS),
	REFUSED(process_madvise, EPERM, "no guest looks into another"),
	SENTRY(epoll_pwait2, FD, PTR, INT, PTR, PTR, SIZE),
	SENTRY_PART(mount_setattr,
		    "no id-mapped mounts; propagation is accepted and changes "
		    "nothing",
		    DIRFD, PATH, AT_FLAGS, PTR, SIZE),
	REFUSED(quotactl_fd, EPERM, "administration of the host"),
	REFUSED(landlock_create_ruleset, ENOSYS, "no security modules"),
	REFUSED(landlock_add_rule, ENOSYS, "no security modules"),
	REFUSED(landlock_restrict_self, ENOSYS, "no security modules"),
	REFUSED(memfd_secret, ENOSYS, "switched off by default on Linux too"),
	REFUSED(process_mrelease, EPERM, "no guest looks into another"),
	NATIVE(futex_waitv, PTR, UINT, HEX, PTR, CLOCK),
	NATIVE(set_mempolicy_home_node, PTR, SIZE, INT, HEX),
	REFUSED(cachestat, ENOSYS, "no page cache of the host's to look at"),
	SENTRY(fchmodat2, DIRFD, PATH, MODE, AT_FLAGS),
	NATIVE(map_shadow_stack, PTR, SIZE, HEX),
	NATIVE(futex_wake, PTR, HEX, INT, HEX),
	NATIVE(futex_wait, PTR, HEX, HEX, HEX, PTR, CLOCK),
	NATIVE(futex_requeue, PTR, HEX, INT, INT),
	REFUSED(statmount, ENOSYS, "programs read /proc/self/mountinfo instead"),
	REFUSED(listmount, ENOSYS, "programs read /proc/self/mountinfo instead"),
	REFUSED(lsm_get_self_attr, ENOSYS, "no security modules"),
	REFUSED(lsm_set_self_attr, ENOSYS, "no security modules"),
	REFUSED(lsm_list_modules, ENOSYS, "no security modules"),
	NATIVE(mseal, PTR, SIZE, HEX),
	SENTRY(setxattrat, DIRFD, PATH, AT_FLAGS, STR, PTR, SIZE),
	SENTRY(getxattrat, DIRFD, PATH, AT_FLAGS, STR, PTR, SIZE),
	SENTRY(listxattrat, DIRFD, PATH, AT_FLAGS, BUF_OUT, SIZE),
	SENTRY(removexattrat, DIRFD, PATH, AT_FLAGS, STR),
	REFUSED(open_tree_attr, ENOSYS, "use open_tree and mount_setattr"),
	SENTRY(file_getattr, DIRFD, PATH, PTR, SIZE, AT_FLAGS),
	SENTRY(file_setattr, DIRFD, PATH, PTR, SIZE, AT_FLAGS),
	REFUSED(listns, ENOSYS, "the sandbox's namespaces are the only ones"),
};
/* clang-format on */

enum syscall_class syscall_class_of(long nr)
{
	if (nr < 0 || nr >= SYSCALL_MAX || !syscall_table[nr].name)
		return CLASS_SENTRY; /* trapped, answered ENOSYS and logged */
	return syscall_table[nr].class;
}

enum syscall_class syscall_class_counting_births(long nr)
{
	return nr == SYS_clone || nr == SYS_fork || nr == SYS_vfork ? CLASS_SENTRY
								    : syscall_class_of(nr);
}

static const char *class_word(enum syscall_class class)
{
	switch (class) {
	case CLASS_NATIVE:
		return "native";
	case CLASS_CHECKED:
		return "checked, then native";
	case CLASS_REFUSED:
		return "-";
	default:
		return "sentry";
	}
}

static const char *errno_word(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "?";
}

static void list_row(struct strbuf *out, int nr, const struct syscall_row *row)
{
	strbuf_printf(out, "| %d | %s | %s | ", nr, row->name, class_word(row->class));
	if (row->support == SUPPORT_REFUSED)
		strbuf_printf(out, "refused: %s | %s |\n", errno_word(row->refused_errno),
			      row->note);
	else if (row->support == SUPPORT_PARTIAL)
		strbuf_printf(out, "partial | %s |\n", row->note);
	else
		strbuf_puts(out, "full | |\n");
}

void syscall_list(struct strbuf *out)
{
	strbuf_puts(out,
		    "# System calls\n\n"
		    "Generated by `fusebox --list-syscalls`. Who answers: *sentry*, a handler of "
		    "ours; *native*,\nthe host kernel; *checked*, the host kernel after a handler "
		    "of ours has looked at the\nregisters. A number that is not listed gives "
		    "ENOSYS.\n\n"
		    "| no. | name | answered by | support | what is missing, or why |\n"
		    "|---|---|---|---|---|\n");
	for (int nr = 0; nr < SYSCALL_MAX; nr++)
		if (syscall_table[nr].name)
			list_row(out, nr, &syscall_table[nr]);
}

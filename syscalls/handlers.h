/* The handlers, by family: one declaration per row of syscalls/table.c that has one. */
#ifndef FB_SYSCALLS_HANDLERS_H
#define FB_SYSCALLS_HANDLERS_H

#include <stdint.h>

struct task;

#define HANDLER(name) int64_t sys_##name(struct task *task, const uint64_t *args)

/* attr.c */
HANDLER(chmod);
HANDLER(fchmodat);
HANDLER(fchmodat2);
HANDLER(fchmod);
HANDLER(chown);
HANDLER(lchown);
HANDLER(fchownat);
HANDLER(fchown);
HANDLER(utimensat);
HANDLER(utimes);
HANDLER(futimesat);
HANDLER(utime);
HANDLER(truncate);
HANDLER(ftruncate);

/* caps.c */
HANDLER(capget);
HANDLER(capset);

/* cred.c */
HANDLER(getuid);
HANDLER(geteuid);
HANDLER(getgid);
HANDLER(getegid);
HANDLER(getresuid);
HANDLER(getresgid);
HANDLER(setuid);
HANDLER(setreuid);
HANDLER(setresuid);
HANDLER(setgid);
HANDLER(setregid);
HANDLER(setresgid);
HANDLER(setfsuid);
HANDLER(setfsgid);
HANDLER(getgroups);
HANDLER(setgroups);

/* dir.c */
HANDLER(getdents);
HANDLER(getdents64);
HANDLER(getcwd);
HANDLER(chdir);
HANDLER(fchdir);
HANDLER(chroot);
HANDLER(umask);

/* handle.c */
HANDLER(name_to_handle_at);
HANDLER(open_by_handle_at);
HANDLER(file_getattr);
HANDLER(file_setattr);

/* epoll.c */
HANDLER(epoll_create);
HANDLER(epoll_create1);
HANDLER(epoll_ctl);
HANDLER(epoll_wait);
HANDLER(epoll_pwait);
HANDLER(epoll_pwait2);

/* event.c */
HANDLER(eventfd);
HANDLER(eventfd2);
HANDLER(timerfd_create);
HANDLER(timerfd_settime);
HANDLER(timerfd_gettime);
HANDLER(memfd_create);

/* exec.c */
HANDLER(execve);
HANDLER(execveat);

/* fd.c */
HANDLER(dup);
HANDLER(dup2);
HANDLER(dup3);
HANDLER(fcntl);

/* flock.c */
HANDLER(flock);

/* fsmount.c */
HANDLER(fsopen);
HANDLER(fspick);
HANDLER(fsconfig);
HANDLER(fsmount);
HANDLER(open_tree);
HANDLER(move_mount);
HANDLER(mount_setattr);

/* ids.c */
HANDLER(getpid);
HANDLER(gettid);
HANDLER(getppid);
HANDLER(getpgrp);
HANDLER(getpgid);
HANDLER(getsid);
HANDLER(set_tid_address);
HANDLER(getpriority);
HANDLER(setpriority);
HANDLER(ioprio_get);
HANDLER(ioprio_set);
HANDLER(sched_of);
HANDLER(clock_of);
HANDLER(ipc);

/* ioctl.c */
HANDLER(ioctl);

/* limits.c */
HANDLER(getrlimit);
HANDLER(setrlimit);
HANDLER(prlimit64);

/* mmap.c */
HANDLER(mmap);
HANDLER(msync);

/* mount.c */
HANDLER(mount);
HANDLER(umount2);
HANDLER(pivot_root);

/* names.c */
HANDLER(mkdir);
HANDLER(mkdirat);
HANDLER(mknod);
HANDLER(mknodat);
HANDLER(symlink);
HANDLER(symlinkat);
HANDLER(link);
HANDLER(linkat);
HANDLER(unlink);
HANDLER(rmdir);
HANDLER(unlinkat);
HANDLER(rename);
HANDLER(renameat);
HANDLER(renameat2);

/* open.c */
HANDLER(open);
HANDLER(creat);
HANDLER(openat);
HANDLER(openat2);
HANDLER(close);
HANDLER(close_range);

/* pidfd.c */
HANDLER(pidfd_open);
HANDLER(pidfd_getfd);

/* pipe.c */
HANDLER(pipe);
HANDLER(pipe2);

/* poll.c */
HANDLER(poll);
HANDLER(ppoll);
HANDLER(restart_syscall);

/* prctl.c */
HANDLER(prctl);

/* process.c */
HANDLER(clone);
HANDLER(fork);
HANDLER(unshare);
HANDLER(waitid);
HANDLER(personality);
HANDLER(get_robust_list);

/* rw.c */
HANDLER(read);
HANDLER(write);
HANDLER(pread64);
HANDLER(pwrite64);
HANDLER(readv);
HANDLER(writev);
HANDLER(preadv);
HANDLER(pwritev);
HANDLER(preadv2);
HANDLER(pwritev2);
HANDLER(lseek);

/* select.c */
HANDLER(select);
HANDLER(pselect6);

/* signal.c */
HANDLER(kill);
HANDLER(tkill);
HANDLER(tgkill);
HANDLER(rt_sigqueueinfo);
HANDLER(rt_tgsigqueueinfo);
HANDLER(pidfd_send_signal);

/* socket.c */
HANDLER(socket);
HANDLER(socketpair);
HANDLER(bind);
HANDLER(connect);
HANDLER(listen);
HANDLER(accept);
HANDLER(accept4);
HANDLER(getsockname);
HANDLER(getpeername);
HANDLER(shutdown);
HANDLER(setsockopt);
HANDLER(getsockopt);

/* sockmsg.c */
HANDLER(sendto);
HANDLER(sendmsg);
HANDLER(sendmmsg);
HANDLER(recvfrom);
HANDLER(recvmsg);
HANDLER(recvmmsg);

/* splice.c */
HANDLER(sendfile);
HANDLER(splice);
HANDLER(tee);
HANDLER(vmsplice);
HANDLER(copy_file_range);

/* stat.c */
HANDLER(stat);
HANDLER(lstat);
HANDLER(fstat);
HANDLER(newfstatat);
HANDLER(statx);
HANDLER(statfs);
HANDLER(fstatfs);
HANDLER(access);
HANDLER(faccessat);
HANDLER(faccessat2);
HANDLER(readlink);
HANDLER(readlinkat);

/* sync.c */
HANDLER(fsync);

/* uring.c */
HANDLER(io_uring_setup);
HANDLER(io_uring_enter);
HANDLER(io_uring_register);
HANDLER(fdatasync);
HANDLER(syncfs);
HANDLER(sync);
HANDLER(sync_file_range);
HANDLER(fadvise64);
HANDLER(readahead);
HANDLER(fallocate);

/* uts.c */
HANDLER(uname);
HANDLER(sethostname);
HANDLER(setdomainname);

/* xattr.c */
HANDLER(setxattr);
HANDLER(lsetxattr);
HANDLER(fsetxattr);
HANDLER(getxattr);
HANDLER(lgetxattr);
HANDLER(fgetxattr);
HANDLER(listxattr);
HANDLER(llistxattr);
HANDLER(flistxattr);
HANDLER(removexattr);
HANDLER(lremovexattr);
HANDLER(fremovexattr);
HANDLER(setxattrat);
HANDLER(getxattrat);
HANDLER(listxattrat);
HANDLER(removexattrat);

#undef HANDLER

#endif

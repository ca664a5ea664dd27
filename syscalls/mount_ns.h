/* unshare(CLONE_NEWNS). */
#ifndef FB_SYSCALLS_MOUNT_NS_H
#define FB_SYSCALLS_MOUNT_NS_H

struct task;

/* A mount namespace of the task's own, root and cwd moved into it. 0, -EPERM, -ENOMEM. */
int unshare_mounts(struct task *task);

#endif

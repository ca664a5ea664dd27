/* New credentials for the calling task. */
#ifndef FB_SYSCALLS_CRED_H
#define FB_SYSCALLS_CRED_H

struct cred;
struct task;

/* Makes `cred` (taken, not shared yet) the task's own, with what commit_creds() does besides. */
void commit_cred(struct task *task, struct cred *cred);

#endif

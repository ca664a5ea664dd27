/*
 * procfs, and what it asks of whoever knows the processes (sentry/procinfo.c).
 *
 * Ids in this interface are the guest's. A `struct proc_task` is a counted handle of one thread;
 * it stays valid, if dead, until it is put.
 */
#ifndef FB_VFS_FS_PROCFS_H
#define FB_VFS_FS_PROCFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfs/fs/pseudo.h"

struct cred;
struct fdtable;
struct filesystem_type;
struct fs_struct;
struct proc_task; /* opaque here */
struct utsname;

/* Texts in the host kernel's format. Ids inside are the host's; procfs translates or drops them. */
enum proc_text {
	PROC_TEXT_STAT,
	PROC_TEXT_STATUS,
	PROC_TEXT_STATM,
	PROC_TEXT_LIMITS,
	PROC_TEXT_IO,
	PROC_TEXT_SCHEDSTAT,
	PROC_TEXT_PERSONALITY,
	PROC_TEXT_WCHAN,
	PROC_TEXT_OOM_SCORE,
	PROC_TEXT_OOM_SCORE_ADJ,
	PROC_TEXT_COUNT
};

/* The same for the machine. */
enum machine_text {
	MACHINE_TEXT_CPUINFO,
	MACHINE_TEXT_MEMINFO,
	MACHINE_TEXT_STAT,
	MACHINE_TEXT_UPTIME,
	MACHINE_TEXT_LOADAVG,
	MACHINE_TEXT_VMSTAT,
	MACHINE_TEXT_COUNT
};

struct proc_ids {
	pid_t tgid;
	int nr_threads;
	bool no_new_privs;
	bool dumpable; /* false: only CAP_SYS_PTRACE may look inside (prctl(2) PR_SET_DUMPABLE) */
};

/* 0: there is none, or none in the sandbox. */
struct proc_relatives {
	pid_t ppid, pgid, sid;
};

/* Parts of a process's memory. */
enum proc_memory { PROC_MEMORY_CMDLINE, PROC_MEMORY_ENVIRON, PROC_MEMORY_AUXV };

/* Every member is required. Methods that return int: 0 or -errno, -ESRCH when the task is gone. */
struct proc_source {
	/* Smallest process id >= pid, 0 when there is none. */
	pid_t (*next_pid)(pid_t pid);
	/* The same for the threads of a process. */
	pid_t (*next_tid)(pid_t pid, pid_t tid);
	/* tid 0: any live thread of the process, the leader if it lives. NULL: no such thread. */
	struct proc_task *(*get)(pid_t pid, pid_t tid);
	void (*put)(struct proc_task *task);

	/* Cheap: asked on each walk through the task's directory. */
	void (*ids)(struct proc_task *task, struct proc_ids *ret_ids);
	/* Not so: it asks the host. */
	void (*relatives)(struct proc_task *task, struct proc_relatives *ret);
	const struct cred *(*cred)(struct proc_task *task); /* returns a reference */
	struct fs_struct *(*fs)(struct proc_task *task);    /* returns a reference; NULL: gone */
	struct fdtable *(*files)(struct proc_task *task);   /* returns a reference; NULL: gone */
	int (*exe)(struct proc_task *task, struct path *ret_path); /* returns references */
	/* Controlling terminal as st_rdev and its foreground group; 0, -1 without one. */
	void (*tty)(struct proc_task *task, dev_t *ret_dev, pid_t *ret_pgrp);
	void (*comm)(struct proc_task *task, char ret_comm[16]);
	int (*set_comm)(struct proc_task *task, const char *comm);
	int (*memory)(struct proc_task *task, enum proc_memory which, struct strbuf *out);
	/* /proc/PID/maps with the guest's paths; smaps: with the fields of smaps. */
	int (*maps)(struct proc_task *task, bool smaps, struct strbuf *out);
	/* Soft and hard RLIMIT_NOFILE as the guest believes them. */
	void (*nofile)(struct proc_task *task, uint64_t *ret_soft, uint64_t *ret_hard);
	/* Of the thread alone, or (whole) of its process: that differs in times and counts. */
	int (*text)(struct proc_task *task, enum proc_text which, bool whole, struct strbuf *out);
	int (*set_oom_score_adj)(struct proc_task *task, int value);

	int (*machine)(enum machine_text which, struct strbuf *out);
	int (*task_count)(void);
	/* uname(2) as the guest sees it. */
	void (*uts)(struct utsname *ret_uts);
	int (*set_hostname)(const char *name, size_t len);
	/* The uuid of this sandbox's life, 36 characters. */
	const char *(*boot_id)(void);
};

/* Set once before procfs is mounted; borrowed. Without one there are no processes to show. */
void procfs_set_source(const struct proc_source *source);

extern struct filesystem_type procfs_type;

/* Where other folders add their files: /proc/sys/fs/fuse, /proc/net (PID/net), /proc. */
extern struct pseudo_dir procfs_sys_fs_fuse;
extern struct pseudo_dir procfs_net;
extern struct pseudo_dir procfs_root;

#endif

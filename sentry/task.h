/*
 * Guest threads and processes.
 *
 * A task is one guest thread, which is a host thread as well. Born in the clone event, before it
 * runs its first instruction; dead when the tracer has seen its exit. The struct lives on while
 * somebody holds a reference (a fiber that still unwinds).
 *
 * Ids: `tid`/`pid` members are the host's, as the sentry sees them; what the guest sees (its pid
 * namespace) comes from task_guest_tid() and process_guest_pid().
 */
#ifndef FB_TASK_H
#define FB_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/user.h>

#include "sentry/base/list.h"
#include "sentry/base/lock.h"
#include "sentry/base/refcount.h"
#include "sentry/base/types.h"
#include "sentry/base/wait.h"
#include "vfs/ctx.h"

struct cred;
struct exec_state;
struct fdtable;
struct file;
struct fs_struct;
struct lane;
struct window;
struct lane_thread;
struct task;
struct uring_task;

/* Handler results with a meaning of their own, outside every errno and every legal result. */
#define CALL_NATIVE INT64_MIN	    /* let the host kernel run the call as it stands */
#define CALL_EXEC (INT64_MIN + 1)   /* exec_prepare() succeeded: enter the loader */
/*
 * Let the host kernel run the call with the arguments that the handler has left in
 * task->call.args. The filter must let them pass.
 */
#define CALL_REWRITE (INT64_MIN + 2)
#define CALL_LANE (INT64_MIN + 3) /* lane_wants_stop(): to a stop, there lane_arm(), then the call anew */

/*
 * The trapped system call of a task; what happens to it is told in sentry/call.h.
 */
enum call_state {
	CALL_IDLE,     /* the task runs natively */
	CALL_RUNNING,  /* trapped; its fiber works or waits */
	CALL_PARKING,  /* answered provisionally; the task is on its way to a stop */
	CALL_PARKED,   /* the task sleeps natively in pause or rt_sigsuspend */
	CALL_SIGNALLED, /* stopped with a signal; the fiber has been told to unwind */
	CALL_EXECING,  /* on its way into the loader */
	CALL_REWRITING, /* on its way to a stop, to run natively with other arguments */
	CALL_ARMING, /* on its way to a stop, to get the lane; then it begins anew */
};

struct call {
	int nr;
	uint64_t args[6];
	gva_t ip_gva;	   /* of the instruction after the syscall */
	atomic_ulong cookie; /* backend's name for it */
	struct fb_mutex lock; /* RANK_CALL: guards the rest */
	enum call_state state;
	bool done;	   /* result is final; the task has to be told at its next stop */
	bool active;	   /* a fiber serves it, or unwinds */
	bool pinned;	   /* may not be parked any more; see call_pin() */
	bool by_lane;	   /* RUNNING, and the task spins at its slot: there is no trap to answer */
	bool park_missed;  /* was to be parked while by_lane */
	bool waits;	   /* its fiber waits; guarded as blocked_node */
	bool native_once;  /* the next trap of this very call (nr, args, ip) continues natively */
	bool rewritten;	   /* CALL_EXECING: the registers lead into the loader already */
	bool unparked;	   /* this call was parked and has got its result */
	bool call_again;   /* CALL_SIGNALLED: the signal came before the call's own mask held */
	int64_t reply;	   /* trap_ptrace: the answer on its way to the tracer's thread */
	int64_t result;
	int signo;	   /* CALL_SIGNALLED: to be delivered when resumed */
	struct waiter *waiter; /* of its fiber while it runs */
	int64_t start_ns;	  /* of its first wait; 0 = has not waited */
	int64_t park_due_ns;	  /* guarded by call.c's list lock, as blocked_node */
	struct list_node blocked_node; /* in the list of waiting, unparked calls */
	gva_t sigmask_gva; /* ppoll and kin: park in rt_sigsuspend with this mask; 0 = pause */
	struct user_regs_struct saved; /* registers while parked or execing; tracer only */
};

/* What restart_syscall(2) continues (poll with a deadline). */
struct restart_block {
	int64_t (*fn)(struct task *task);
	uint64_t args[4];
	int64_t deadline_ns;
};

/*
 * What vmsplice(2) lent last to a pipe, in syscalls/splice.c: changed before it is taken, the change
 * counts. len 0: nothing.
 */
struct pipe_loan {
	uint64_t ino, place; /* which pipe, and where in it */
	gva_t gva;
	size_t len;
};

struct process {
	struct ref ref;
	pid_t pid;		     /* host tgid; constant */
	atomic_int guest_pid;	     /* 0 = not asked yet */
	struct process *parent;	     /* guarded by the task list lock, as the next four; counted */
	struct list_node threads;    /* task.thread_node */
	int nr_threads;
	int nr_live;		     /* threads whose task_exit() has not come yet */
	struct list_node node;	     /* all processes */
	bool exited;
	int exit_status;	     /* wait status; valid when exited */
	struct waitq exit_waiters;   /* woken at exit: pidfd */
	struct fb_mutex lock;	     /* RANK_LEAF: guards the rest */
	struct file *exe;	     /* counted; NULL before the first exec */
	char comm[16];
	gva_t arg_start_gva, arg_end_gva, env_start_gva, env_end_gva; /* as exec left them */
	struct rlimit nofile, fsize; /* what the guest believes; the host's are not used */
	bool dumpable;
	bool no_new_privs;
	int64_t start_time_ns;	     /* monotonic */
	void *tty;		     /* controlling terminal; owned by devpts through its refs */
	struct lane *lane;	     /* counted, guarded by lock; NULL: its memory has none */
	struct process *vm_parent;   /* counted, guarded by lock: whose memory it has (vfork), or NULL */
	unsigned vm_children;	     /* guarded by lock: processes that have its memory */
};

struct task {
	struct ref ref;
	pid_t tid; /* host; constant except for the leader's id taken in exec */
	atomic_int guest_tid;
	struct process *process;   /* counted; constant */
	struct list_node thread_node;
	struct fdtable *files;	   /* counted; changed only by the task itself or while it is stopped */
	struct fs_struct *fs;	   /* the same */
	const struct cred *cred;   /* counted; replaced under task->lock */
	struct fb_mutex lock;	   /* RANK_LEAF: guards cred against other tasks' looks */
	struct call call;
	struct restart_block restart;
	struct pipe_loan loan;
	struct window *window;	   /* of the call under way, NULL: none; see call.c */
	_Atomic(struct lane_thread *) lane; /* owned; NULL: it serves nobody; set by its own fiber or at birth */
	struct uring_task *uring;  /* owned; NULL before its first ring; only the task itself */
	struct exec_state *exec;   /* owned; between exec_prepare and exec_plan */
	bool exec_stale;	   /* it came to nothing: the next call's fiber frees it */
	atomic_bool dead;	   /* the tracer has seen the exit */
	bool exiting;		   /* guarded by call.lock: task_exit() is due or done */
	atomic_bool child_new_mounts;	   /* clone(CLONE_NEWNS) under way: the child gets a namespace */
	bool child_reserved;		   /* guarded by the task list lock: see task_reserve_child() */
	bool stepping;		   /* tracer only: over the execveat of the loader */
	bool held_by_lane;	   /* tracer only: at a stop until text is written */
	atomic_int mem_users;	   /* usermem calls under way: the id is not reused before 0 */
	_Atomic(gva_t) fault_gva;  /* where the last copy, or the task itself, found no page */
	int fault_signo;	   /* fault.h; handed over with TRACER_FAULTED */
	struct op_ctx ctx;	   /* filled by task_ctx() */
};

/* The task with that host tid; borrowed: only the tracer, which alone forgets tasks, may use it.
 * NULL when unknown. */
struct task *task_by_tid(pid_t tid);
/* The same with a reference, for other threads: SIGKILL ends a trapped call at any moment. */
struct task *task_get_by_tid(pid_t tid);
/* By guest ids, for kill, prlimit, /proc; returns a reference or NULL. */
/*
 * It gets a SIGKILL. The host drops it when the process has begun to exit; then what its exit waits
 * for, such as a daemon that does not answer FLUSH, holds it up no longer.
 */
void process_kill_exit(struct process *process);
struct task *task_get_by_guest_tid(pid_t guest_tid);
struct process *process_get_by_guest_pid(pid_t guest_pid);
struct task *task_get(struct task *task);
void task_put(struct task *task);
struct process *process_get(struct process *process);
void process_put(struct process *process);
pid_t task_guest_tid(struct task *task);
pid_t process_guest_pid(struct process *process);
/* Guest id of any host id that lives in the sandbox, 0 if none. */
pid_t guest_pid_of(pid_t host_pid);
/* Host id of a guest id, 0 if none. */
pid_t host_pid_of(pid_t guest_pid);
/* Walks the processes; each step returns a reference and drops that of `prev`. */
struct process *process_next(struct process *prev);
/* Host tids of the live threads; returns the count, fills up to max. */
int process_threads(struct process *process, pid_t *ret_guest_tids, int max);
/* Some thread of the process (the leader if alive), with a reference; NULL = none left. */
struct task *process_task(struct process *process);
/* How many tasks live in the sandbox. */
int task_count(void);

/* At most so many tasks may live in the sandbox, 0 = any number. Before the first guest starts. */
void task_set_max(unsigned max);
/*
 * A clone(2) is about to run natively: takes the child's place among the tasks, which the clone
 * event hands to the child. If the host refuses the clone, the place is used by the task's next
 * one, and free when the task dies. 0; -EAGAIN: the sandbox is full, as in copy_process().
 */
int task_reserve_child(struct task *task);

/*
 * The guests have a pid namespace of their own: its descriptor (/proc/PID/ns/pid, owned from now
 * on), < 0 if it cannot be had. Not called when they share ours.
 */
void task_set_pid_ns(int ns_hostfd);
/* Remembers the sentry's own limits before it raises them. */
void task_set_first_limits(void);
/* Takes the place of such a limit; others than NOFILE and FSIZE are left to the host. */
void task_set_first_limit(int resource, rlim_t value);
/* The first guest process, before it is started. Takes files, fs and cred references. */
/* Its RLIMIT_NOFILE is what the sentry itself was started with: see task_set_first_limits(). */
struct task *task_new_first(pid_t tid, struct fdtable *files, struct fs_struct *fs,
			    const struct cred *cred);
/*
 * The clone event: parent is stopped in clone(2) with `flags` (CLONE_*), child in its first stop.
 * Copies or shares files, fs, credentials before either runs on. -ENOMEM kills the child.
 */
int task_fork(struct task *parent, pid_t child_tid, uint64_t flags, struct task **ret_child);
/* The tracer is about to reap it: from now on no guest memory of it is touched. */
void task_set_dead(struct task *task);
/* Takes it out of the tables and drops the tables' reference. */
void task_forget(struct task *task);
/* The first live task by address order of nothing in particular; calls fn for each, list lock held. */
void task_for_each(void (*fn)(struct task *task, void *arg), void *arg);
/* execve: the calling thread becomes the leader, the others are gone. */
void task_exec_takeover(struct task *task, pid_t leader_tid);
/* Exit: closes files, leaves the process. May sleep: runs on a fiber. */
void task_exit(struct task *task);

/* The caller's context for VFS calls; valid until the next call of the task. */
const struct op_ctx *task_ctx(struct task *task);
/* Replaces the credentials (takes the reference). */
void task_set_cred(struct task *task, const struct cred *cred);
const struct cred *task_get_cred(struct task *task); /* returns a reference; for other tasks */
void task_set_files(struct task *task, struct fdtable *files); /* takes; drops the old one */
void task_set_fs(struct task *task, struct fs_struct *fs);
/* RLIMIT_NOFILE as the guest sees it. */
uint64_t task_nofile(struct task *task);
/* Sends a signal natively to the thread / its process / a process group (guest id). */
int task_signal_thread(struct task *task, int signo);
int task_signal_process(struct process *process, int signo);
int task_signal_pgrp(pid_t guest_pgid, int signo);

#endif

/*
 * execve(2) from the trapped call to the running program; exec.h has the order of events.
 *
 * struct exec_state belongs to the task from exec_prepare() on and passes from hand to hand with
 * the call itself: fiber, tracer (the task is stopped), fiber of the exec event, fiber of the
 * loader's plan call. Nobody else looks at it, so it needs no lock.
 */
#include "sentry/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/exec_internal.h"
#include "sentry/lane/lane.h"
#include "sentry/mapping.h"
#include "sentry/sched/sched.h"
#include "sentry/task.h"
#include "sentry/trap.h"
#include "sentry/usermem.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/file.h"
#include "vfs/uring/uring.h"

_Static_assert(PLAN_SYSCALL == FB_SYSCALL_PLAN, "loader and sentry agree");

#define EXEC_FLAGS (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)

static void state_free(struct exec_state *state)
{
	if (!state)
		return;
	free(state->filename);
	for (unsigned i = 0; i < state->nr_prefix; i++)
		free(state->prefix[i]);
	for (unsigned i = 0; i < state->nr_scripts; i++)
		file_put(state->scripts[i]);
	if (state->main)
		file_put(state->main);
	if (state->interp)
		file_put(state->interp);
	elf_image_free(&state->main_elf);
	elf_image_free(&state->interp_elf);
	if (state->main_hostfd >= 0)
		close(state->main_hostfd);
	if (state->interp_hostfd >= 0)
		close(state->interp_hostfd);
	cred_put(state->cred);
	free(state);
}

static void state_free_fiber(void *arg)
{
	state_free(arg);
}

/* The tracer drops a plan with a lock held; files must not be put there: that may sleep. */
void exec_state_free(struct task *task)
{
	struct exec_state *state = task->exec;

	task->exec = NULL;
	if (state && !fiber_current())
		sched_spawn(state_free_fiber, state);
	else
		state_free(state);
}

int64_t exec_prepare(struct task *task, const struct path *base, const char *name, int flags,
		     gva_t name_gva, gva_t argv_gva, gva_t envp_gva)
{
	struct exec_state *state;
	int err;

	if (flags & ~EXEC_FLAGS)
		return -EINVAL;
	if (!*name && !(flags & AT_EMPTY_PATH))
		return -ENOENT;
	state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->main_hostfd = state->interp_hostfd = -1;
	/*
	 * The host is asked to execute the loader's descriptor with an empty path: the NUL of the
	 * guest's own string. Should another thread overwrite that, the host resolves a path in
	 * the guest's empty root; exec_commit() makes sure that nothing else can come of it.
	 */
	state->empty_gva = name_gva + strlen(name);
	state->argv_gva = argv_gva;
	state->envp_gva = envp_gva;
	err = exec_resolve(task, base, name, flags, state);
	if (err) {
		state_free(state);
		return err;
	}
	exec_state_free(task);
	task->exec = state;
	/* Nothing may write into the new program's memory, cf. io_uring_task_cancel(). */
	uring_task_cancel(task->uring, false);
	return CALL_EXEC;
}

void exec_rewrite(struct task *task, struct user_regs_struct *regs)
{
	const struct exec_state *state = task->exec;

	fb_assert(state);
	regs->rip -= 2; /* the syscall instruction itself, once more */
	regs->rax = SYS_execveat;
	regs->orig_rax = (unsigned long long)-1; /* no restart by the kernel */
	regs->rdi = (unsigned long long)trap_reserved_fd(RESERVED_LOADER);
	regs->rsi = state->empty_gva;
	regs->rdx = state->argv_gva;
	regs->r10 = state->envp_gva;
	regs->r8 = AT_EMPTY_PATH;
}

/*
 * A table of its own (unshare_files()), without close-on-exec descriptors. The host's table has
 * gone through the same: all that was planted there is close-on-exec.
 */
static int commit_files(struct task *task)
{
	struct fdtable *copy;

	if (ref_read(&task->files->ref) > 1) {
		copy = fdtable_copy(task->files);
		if (!copy)
			return -ENOMEM;
		task_set_files(task, copy);
	}
	fdtable_forget_planted(task->files);
	fdtable_close_on_exec(task_ctx(task), task->files);
	return 0;
}

static void commit_process(struct process *process, struct exec_state *state)
{
	const struct cred *cred = state->cred;
	struct file *old;

	fb_mutex_lock(&process->lock);
	old = process->exe;
	process->exe = file_get(state->main);
	memcpy(process->comm, state->comm, sizeof(process->comm));
	process->arg_start_gva = process->arg_end_gva = 0;
	process->env_start_gva = process->env_end_gva = 0;
	/* begin_new_exec() */
	process->dumpable =
		!state->unreadable && cred->euid == cred->uid && cred->egid == cred->gid;
	fb_mutex_unlock(&process->lock);
	if (old)
		file_put(old);
}

void exec_commit(struct task *task)
{
	struct exec_state *state = task->exec;
	int err = 0;

	if (!state || !exec_runs_loader(task)) {
		fb_log(LOG_WARN, "task %d executed something that is not the loader: killed",
		       task->tid);
		(void)task_signal_thread(task, SIGKILL);
		return;
	}
	err = commit_files(task);
	if (err) { /* past the point of no return nothing else is left (execve(2), ERRORS) */
		(void)task_signal_thread(task, SIGKILL);
		return;
	}
	task_set_cred(task, cred_get(state->cred));
	commit_process(task->process, state);
	task->loan.len = 0;
	lane_process_exec(task);
	state->committed = true;
}

static const char *step_name(uint64_t step)
{
	switch (step) {
	case PLAN_STEP_BUFFER: return "no memory for the plan";
	case PLAN_STEP_PLAN: return "no plan";
	case PLAN_STEP_RESERVE: return "address range taken";
	case PLAN_STEP_SEGMENT: return "cannot map a segment";
	case PLAN_STEP_BSS: return "cannot map zero pages";
	case PLAN_STEP_STACK: return "cannot make the stack executable";
	}
	return "unknown";
}

/*
 * The string area after the loader's work: see plan.h. The addresses come from the guest and are
 * only ever shown to guests, as with prctl(PR_SET_MM).
 */
static void note_strings(struct process *process, const struct plan *plan, const uint64_t *args)
{
	gva_t kept = plan->argv_drop ? args[3] : args[2];

	fb_mutex_lock(&process->lock);
	process->arg_start_gva = kept - plan->prefix_len;
	process->arg_end_gva = process->env_start_gva = args[4];
	process->env_end_gva = args[5];
	fb_mutex_unlock(&process->lock);
}

static int plant(struct task *task, const struct exec_state *state)
{
	int err = call_pin(task);

	if (!err)
		err = trap->plant_fd(task, state->main_hostfd, trap_reserved_fd(RESERVED_MAIN));
	if (!err && state->interp_hostfd >= 0)
		err = trap->plant_fd(task, state->interp_hostfd,
				     trap_reserved_fd(RESERVED_INTERP));
	return err;
}

int64_t exec_plan(struct task *task, gva_t plan_gva)
{
	const uint64_t *args = task->call.args;
	struct exec_state *state = task->exec;
	cleanup_free struct plan *plan = NULL;
	int err;

	if (!plan_gva) {
		fb_log(LOG_INFO, "loader of %.16s (task %d): %s (error %d)", task->process->comm,
		       task->tid, step_name(args[1]), (int)args[2]);
		return 0;
	}
	if (!state || !state->committed)
		return -ENOSYS; /* a guest that guesses numbers */
	err = call_pin(task);
	if (err)
		return err;
	err = exec_plan_build(state, state->cred, &plan);
	if (!err && plan->size > args[1])
		err = -E2BIG;
	if (!err)
		err = copy_to_guest(task, plan_gva, plan, plan->size);
	if (!err)
		err = plant(task, state);
	if (err == -ERESTARTNOINTR)
		return err; /* parked meanwhile: the loader's call comes again */
	if (!err) {
		mapping_note_name(task, state->main_hostfd, state->main);
		if (state->interp)
			mapping_note_name(task, state->interp_hostfd, state->interp);
	}
	if (!err)
		note_strings(task->process, plan, args);
	exec_state_free(task);
	return err;
}

/* What the parts of execve share; private to sentry/exec*.c. */
#ifndef FB_EXEC_INTERNAL_H
#define FB_EXEC_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/base/types.h"
#include "sentry/exec_elf.h"

struct cred;
struct file;
struct op_ctx;
struct path;
struct task;

/* Rewrites by `#!` that exec_binprm() allows, and the arguments they can put in front. */
#define EXEC_DEPTH_MAX 5
#define EXEC_PREFIX_MAX (2 * (EXEC_DEPTH_MAX + 1) + 1)

/* One execve under way, from the checks to the plan. */
struct exec_state {
	/* Names */
	char *filename; /* bprm->filename: AT_EXECFN, comm, a script's own name; owned */
	char comm[16];
	char *prefix[EXEC_PREFIX_MAX]; /* arguments in front; owned */
	unsigned nr_prefix, argv_drop;

	/*
	 * The scripts that led to the program. Counted: they are closed when all is done, as in Linux,
	 * where fput() waits for the way back.
	 */
	struct file *scripts[EXEC_DEPTH_MAX + 1];
	unsigned nr_scripts;

	/* Images */
	struct file *main, *interp; /* counted; interp NULL = none */
	struct elf_image main_elf, interp_elf;
	int main_hostfd, interp_hostfd; /* -1 = none; owned */

	/* What the new program is */
	const struct cred *cred; /* a reference */
	bool secure;
	bool unreadable; /* the caller may not read one of its files: no core, no /proc/PID/mem */

	/* Where the call's strings are */
	gva_t empty_gva; /* an empty string */
	gva_t argv_gva, envp_gva;
	bool committed;
};

/* exec_resolve.c: from a name to the images. Fills state->main .. unreadable. 0 or -errno. */
int exec_resolve(struct task *task, const struct path *base, const char *name, int flags,
		 struct exec_state *state);

/* exec_loader.c: a host descriptor with the program's bytes that may be mapped executable. */
int exec_hostfd(const struct op_ctx *ctx, struct file *file, int *ret_hostfd);
/* True when the task runs the loader (asked at the exec event, before it runs on). */
bool exec_runs_loader(struct task *task);

/* exec_plan.c: the plan as bytes, malloc'ed. */
struct plan;
int exec_plan_build(const struct exec_state *state, const struct cred *cred,
		    struct plan **ret_plan);

#endif

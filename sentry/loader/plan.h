/*
 * What the sentry tells the loader about one execve(2). Both sides include this, and nothing else
 * of ours: the loader is a freestanding program.
 *
 *	loader                                   sentry
 *	 maps a buffer of PLAN_BYTES
 *	 FB_SYSCALL_PLAN(buffer, PLAN_BYTES,
 *	   arg_start, arg1_start, arg_end,
 *	   env_end)           --------------->  exec_plan(): struct plan into the buffer, the two
 *	                                         images' host files at main.fd and interp.fd
 *	 maps both images, rewrites the initial stack, jumps
 *
 * The four addresses are the string area as the host kernel built it. The strings the sentry adds
 * (names of `#!` interpreters, the name of the program) go right below the first kept argument,
 * so that both sides know where the arguments end up without another call.
 *
 * A loader that fails says so with FB_SYSCALL_PLAN(0, step, error) and dies of SIGSEGV, as a
 * program does that fails in the kernel past the point of no return.
 */
#ifndef FB_LOADER_PLAN_H
#define FB_LOADER_PLAN_H

#include <stdint.h>

#define PLAN_BYTES 65536
#define PLAN_SEGMENTS_MAX 512
#define PLAN_SYSCALL 1000000 /* FB_SYSCALL_PLAN of sentry/trap.h */
/* Fifth argument of the loader's prctl(PR_SET_NAME), by which the guests' filter knows it. */
#define PLAN_PRCTL_MAGIC 0x66627078

enum {
	PLAN_SECURE = 1,     /* AT_SECURE, parent-death signal cleared */
	PLAN_EXEC_STACK = 2, /* PT_GNU_STACK wants it */
};

/* Addresses are relative to the load bias, which is 0 unless the image is `dyn`. */
struct plan_segment {
	uint64_t vaddr, offset, filesz, memsz;
	uint32_t prot;
	uint32_t pad;
};

struct plan_image {
	int32_t fd;	     /* -1: there is none */
	uint32_t dyn;	     /* position independent */
	uint64_t lo, span;   /* whole pages that cover all segments */
	uint64_t align;	     /* of the bias; a power of two, at least a page */
	uint64_t hint;	     /* preferred place when dyn; 0 = anywhere */
	uint64_t entry;
	uint64_t phdr, phnum;
	uint64_t start_code, end_code, start_data, end_data;
	uint32_t first_segment, nr_segments; /* in plan.segments */
};

struct plan {
	uint32_t size;	/* bytes of the plan, strings included */
	uint32_t flags; /* PLAN_* */
	uint32_t uid, euid, gid, egid; /* as the guest sees itself */
	uint32_t argv_drop; /* arguments to take away from the front */
	uint32_t nr_prefix; /* arguments to put there */
	uint32_t strings; /* offset of: program name, then the prefix arguments, each with NUL */
	uint32_t execfn_len, prefix_len; /* bytes with the NULs */
	uint32_t pad;
	uint64_t brk_gap; /* heap that far behind the program; 0 = leave it where the host has it */
	char comm[16];
	struct plan_image main, interp;
	struct plan_segment segments[];
};

/* Steps in the failure report. */
enum plan_step {
	PLAN_STEP_NONE,
	PLAN_STEP_BUFFER,
	PLAN_STEP_PLAN,
	PLAN_STEP_RESERVE,
	PLAN_STEP_SEGMENT,
	PLAN_STEP_BSS,
	PLAN_STEP_STACK,
};

#endif

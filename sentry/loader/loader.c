/*
 * The program that every execve(2) of a guest really starts: freestanding, position independent,
 * without relocations, one read-only executable page or two. It asks the sentry for the plan (see
 * plan.h), maps the program and its interpreter as the kernel's ELF loader would (cf.
 * load_elf_binary() in fs/binfmt_elf.c), turns the stack the kernel made for the loader into the
 * one the program expects, and jumps.
 *
 * Nothing here is trusted by the sentry: this code runs with the guest's rights.
 */
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sentry/loader/plan.h"

#define PAGE 4096ul
#define PAGE_DOWN(x) ((x) & ~(PAGE - 1))
#define PAGE_UP(x) PAGE_DOWN((x) + PAGE - 1)

enum { NR_close = 3, NR_mmap = 9, NR_mprotect = 10, NR_munmap = 11, NR_prctl = 157 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_GROWSDOWN = 0x01000000 };
enum {
	MAP_PRIVATE = 2,
	MAP_FIXED = 0x10,
	MAP_ANONYMOUS = 0x20,
	MAP_NORESERVE = 0x4000,
	MAP_FIXED_NOREPLACE = 0x100000,
};
enum { PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, PR_SET_MM = 35, PR_SET_MM_MAP = 14 };

/* struct prctl_mm_map of linux/prctl.h, which drags in more than a freestanding file wants. */
struct mm_map {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint64_t *auxv;
	uint32_t auxv_size;
	uint32_t exe_fd;
};

struct loaded {
	uint64_t bias, end; /* end of the last segment, bss included */
};

/* What the assembly below jumps with. */
struct start {
	uint64_t entry, sp;
};

static long sys(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static bool failed(long ret)
{
	return (unsigned long)ret > -PAGE;
}

/* Reports, then takes a fault: SIGSEGV kills even where it is blocked or ignored (signal(7)). */
static void __attribute__((noreturn)) die(enum plan_step step, long err)
{
	sys(PLAN_SYSCALL, 0, step, (uint64_t)-err, 0, 0, 0);
	for (;;)
		__asm__ volatile("hlt");
}

/* Ascending: right for non-overlapping areas and for moves towards lower addresses. */
static void copy_down(void *dst, const void *src, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
}

static void zero(uint64_t from, uint64_t to)
{
	void *dst = (void *)from;
	size_t len = to - from;

	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(len) : "a"(0) : "memory");
}

static void unmap(uint64_t from, uint64_t to)
{
	if (to > from)
		sys(NR_munmap, from, to - from, 0, 0, 0, 0);
}

/* Reserves the whole range of an image, so that its segments cannot land in anybody's way. */
static uint64_t reserve(const struct plan_image *image)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t slack = image->align - PAGE, at;
	long ret;

	if (!image->dyn || image->hint) {
		at = image->dyn ? image->hint & ~(image->align - 1) : image->lo;
		ret = sys(NR_mmap, at, image->span, 0, flags | MAP_FIXED_NOREPLACE, -1ul, 0);
		if (!failed(ret) && (uint64_t)ret == at)
			return at;
		if (!image->dyn)
			die(PLAN_STEP_RESERVE, ret);
		if (!failed(ret)) /* kernels before 4.17 take the flag for a hint */
			unmap(ret, ret + image->span);
	}
	ret = sys(NR_mmap, 0, image->span + slack, 0, flags, -1ul, 0);
	if (failed(ret))
		die(PLAN_STEP_RESERVE, ret);
	at = ((uint64_t)ret + image->align - 1) & ~(image->align - 1);
	unmap(ret, at);
	unmap(at + image->span, ret + image->span + slack);
	return at;
}

static void map_segment(const struct plan_segment *seg, uint64_t bias, int fd)
{
	uint64_t start = bias + PAGE_DOWN(seg->vaddr);
	uint64_t file_end = bias + seg->vaddr + seg->filesz;
	uint64_t mem_end = bias + seg->vaddr + seg->memsz;
	uint64_t anon = start;
	long ret;

	if (seg->filesz) {
		ret = sys(NR_mmap, start, PAGE_UP(file_end) - start, seg->prot,
			  MAP_PRIVATE | MAP_FIXED, fd, PAGE_DOWN(seg->offset));
		if (failed(ret))
			die(PLAN_STEP_SEGMENT, ret);
		anon = PAGE_UP(file_end);
		/* The kernel leaves the rest of a read-only page alone, too. */
		if (mem_end > file_end && (seg->prot & PROT_WRITE))
			zero(file_end, anon);
	}
	if (mem_end > anon) {
		ret = sys(NR_mmap, anon, PAGE_UP(mem_end) - anon, seg->prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1ul, 0);
		if (failed(ret))
			die(PLAN_STEP_BSS, ret);
	}
}

/* Segments are sorted by address; the sentry has checked that. */
static struct loaded map_image(const struct plan *plan, const struct plan_image *image)
{
	const struct plan_segment *seg = &plan->segments[image->first_segment];
	struct loaded ret = { 0, 0 };
	uint64_t hole, at = reserve(image);

	ret.bias = at - image->lo;
	hole = at;
	for (uint32_t i = 0; i < image->nr_segments; i++, seg++) {
		map_segment(seg, ret.bias, image->fd);
		unmap(hole, ret.bias + PAGE_DOWN(seg->vaddr));
		ret.end = ret.bias + seg->vaddr + seg->memsz;
		hole = PAGE_UP(ret.end);
	}
	return ret;
}

/* The initial stack, cut into its parts. All pointers into guest memory. */
struct stack {
	uint64_t *argc, *argv, *envp;
	Elf64_auxv_t *auxv, *auxv_end; /* end: after AT_NULL */
	uint64_t arg_start, arg1_start, arg_end, env_end;
};

static struct stack parse_stack(uint64_t *sp)
{
	struct stack st = { .argc = sp, .argv = sp + 1, .envp = sp + 1 + sp[0] + 1 };
	uint64_t *p = st.envp;

	while (*p)
		p++;
	st.auxv = (Elf64_auxv_t *)(p + 1);
	for (st.auxv_end = st.auxv; st.auxv_end->a_type != AT_NULL; st.auxv_end++)
		if (st.auxv_end->a_type == AT_EXECFN)
			st.env_end = st.auxv_end->a_un.a_val;
	st.auxv_end++;
	st.arg_end = st.envp[0] ? st.envp[0] : st.env_end;
	st.arg_start = st.argc[0] ? st.argv[0] : st.arg_end;
	st.arg1_start = st.argc[0] > 1 ? st.argv[1] : st.arg_end;
	return st;
}

/*
 * Puts the sentry's strings below the first kept argument and the prefix arguments in front of
 * argv. From low to high the stack is: pointers and auxv, then a block of the kernel's (platform
 * name, AT_RANDOM bytes), then the strings. The first two move down, ascending copies suffice.
 */
static struct stack shift_stack(const struct plan *plan, struct stack old, uint64_t *ret_execfn)
{
	uint64_t drop = plan->argv_drop < old.argc[0] ? plan->argv_drop : old.argc[0];
	uint64_t kept = drop ? old.arg1_start : old.arg_start;
	uint64_t low = kept - plan->prefix_len - plan->execfn_len;
	uint64_t down = low < old.arg_start ? (old.arg_start - low + 15) & ~15ul : 0;
	uint64_t argc = old.argc[0] + plan->nr_prefix - drop;
	uint64_t tail = (uint64_t)old.auxv_end - (uint64_t)(old.argv + drop);
	uint64_t *sp, *argv;
	const char *string;
	struct stack st;

	sp = (uint64_t *)(((uint64_t)old.auxv_end - down - tail - 8 - 8 * plan->nr_prefix) & ~15ul);
	argv = sp + 1;
	copy_down(argv + plan->nr_prefix, old.argv + drop, tail);
	*sp = argc;
	copy_down((char *)old.auxv_end - down, old.auxv_end,
		  old.arg_start - (uint64_t)old.auxv_end);
	copy_down((void *)low, (const char *)plan + plan->strings,
		  plan->execfn_len + plan->prefix_len);

	string = (const char *)low + plan->execfn_len;
	for (uint32_t i = 0; i < plan->nr_prefix; i++) {
		argv[i] = (uint64_t)string;
		while (*string++)
			;
	}
	st = parse_stack(sp);
	for (Elf64_auxv_t *a = st.auxv; a->a_type != AT_NULL; a++)
		if (a->a_type == AT_RANDOM || a->a_type == AT_PLATFORM ||
		    a->a_type == AT_BASE_PLATFORM)
			a->a_un.a_val -= down;
	st.arg_start = kept - plan->prefix_len;
	st.arg_end = old.arg_end;
	st.env_end = old.env_end;
	*ret_execfn = low;
	return st;
}

/* What the kernel wrote about the loader becomes what is true of the program. */
static void patch_auxv(const struct plan *plan, struct stack *st, struct loaded main,
		       struct loaded interp, uint64_t execfn)
{
	for (Elf64_auxv_t *a = st->auxv; a->a_type != AT_NULL; a++) {
		uint64_t *val = &a->a_un.a_val;

		switch (a->a_type) {
		case AT_PHDR: *val = main.bias + plan->main.phdr; break;
		case AT_PHNUM: *val = plan->main.phnum; break;
		case AT_PHENT: *val = sizeof(Elf64_Phdr); break;
		case AT_ENTRY: *val = main.bias + plan->main.entry; break;
		case AT_BASE: *val = plan->interp.fd >= 0 ? interp.bias : 0; break;
		case AT_EXECFN: *val = execfn; break;
		case AT_SECURE: *val = (plan->flags & PLAN_SECURE) != 0; break;
		case AT_UID: *val = plan->uid; break;
		case AT_EUID: *val = plan->euid; break;
		case AT_GID: *val = plan->gid; break;
		case AT_EGID: *val = plan->egid; break;
		}
	}
}

/*
 * Tells the host kernel what it would know had it loaded the program itself: the heap's place,
 * and what the host's /proc shows. Refused by some kernels (without CHECKPOINT_RESTORE); then the
 * heap stays in the loader's neighbourhood, which is good enough.
 */
static void set_mm(const struct plan *plan, struct stack *st, struct loaded main)
{
	const struct plan_image *image = &plan->main;
	uint64_t brk = PAGE_UP(main.end) + plan->brk_gap;
	struct mm_map map = {
		.start_code = main.bias + image->start_code,
		.end_code = main.bias + image->end_code,
		.start_data = main.bias + image->start_data,
		.end_data = main.bias + image->end_data,
		.start_brk = brk,
		.brk = brk,
		.start_stack = (uint64_t)st->argc,
		.arg_start = st->arg_start,
		.arg_end = st->arg_end,
		.env_start = st->arg_end,
		.env_end = st->env_end,
		.auxv = (uint64_t *)st->auxv,
		.auxv_size = (uint32_t)((char *)st->auxv_end - (char *)st->auxv),
		.exe_fd = ~0u,
	};

	if (plan->brk_gap)
		sys(NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (uint64_t)&map, sizeof(map), 0, 0);
}

/* First half, on the kernel's stack: the buffer, which is also the stack of the second half. */
__attribute__((used, visibility("hidden"))) uint64_t loader_buffer(void);
uint64_t loader_buffer(void)
{
	long ret = sys(NR_mmap, 0, 2 * PLAN_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1ul, 0);

	if (failed(ret))
		die(PLAN_STEP_BUFFER, ret);
	return (uint64_t)ret;
}

__attribute__((used, visibility("hidden"))) void loader_main(uint64_t *sp, struct plan *plan,
							     struct start *ret_start);
void loader_main(uint64_t *sp, struct plan *plan, struct start *ret_start)
{
	struct stack st = parse_stack(sp);
	struct loaded main, interp = { 0, 0 };
	uint64_t execfn;
	long ret;

	ret = sys(PLAN_SYSCALL, (uint64_t)plan, PLAN_BYTES, st.arg_start, st.arg1_start,
		  st.arg_end, st.env_end);
	if (ret)
		die(PLAN_STEP_PLAN, ret);
	main = map_image(plan, &plan->main);
	if (plan->interp.fd >= 0) {
		interp = map_image(plan, &plan->interp);
		sys(NR_close, plan->interp.fd, 0, 0, 0, 0, 0);
	}
	sys(NR_close, plan->main.fd, 0, 0, 0, 0, 0);

	st = shift_stack(plan, st, &execfn);
	patch_auxv(plan, &st, main, interp, execfn);
	set_mm(plan, &st, main);
	if (plan->flags & PLAN_EXEC_STACK) {
		ret = sys(NR_mprotect, PAGE_DOWN((uint64_t)st.argc),
			  PAGE_UP(st.env_end) - PAGE_DOWN((uint64_t)st.argc),
			  PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN, 0, 0, 0);
		if (ret)
			die(PLAN_STEP_STACK, ret);
	}
	sys(NR_prctl, PR_SET_NAME, (uint64_t)plan->comm, 0, 0, PLAN_PRCTL_MAGIC, 0);
	if (plan->flags & PLAN_SECURE)
		sys(NR_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0, 0);
	ret_start->entry = plan->interp.fd >= 0 ? interp.bias + plan->interp.entry
						: main.bias + plan->main.entry;
	ret_start->sp = (uint64_t)st.argc;
}

/*
 * The program starts as the kernel would start it: every register zero (rdx above all: the ABI's
 * function to call at exit), and the buffer gone.
 */
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)
__asm__(".pushsection .text\n"
	".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	call loader_buffer\n"
	"	mov %rsp, %rdi\n"
	"	mov %rax, %rsi\n"
	"	mov %rax, %r12\n"
	"	lea 2 * " STRINGIFY(PLAN_BYTES) " - 16(%rax), %rsp\n"
	"	mov %rsp, %rdx\n"
	"	call loader_main\n"
	"	mov (%rsp), %rbx\n"
	"	mov 8(%rsp), %rsp\n"
	"	mov %r12, %rdi\n"
	"	mov $2 * " STRINGIFY(PLAN_BYTES) ", %esi\n"
	"	mov $11, %eax\n" /* munmap */
	"	syscall\n"
	"	mov %rbx, -8(%rsp)\n"
	"	xor %eax, %eax\n"
	"	xor %ebx, %ebx\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	xor %esi, %esi\n"
	"	xor %edi, %edi\n"
	"	xor %r8d, %r8d\n"
	"	xor %r9d, %r9d\n"
	"	xor %r10d, %r10d\n"
	"	xor %r11d, %r11d\n"
	"	xor %r12d, %r12d\n"
	"	xor %r13d, %r13d\n"
	"	xor %r14d, %r14d\n"
	"	xor %r15d, %r15d\n"
	"	jmp *-8(%rsp)\n"
	".popsection\n");

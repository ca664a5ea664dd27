/*
 * The guest's side of the lane. A rewritten system call arrives here with the address of its site's
 * descriptor in rcx and everything else as the system call found it. rax, rcx, r11 and the flags are free
 * by the system call's own convention; no stack is touched, not even the red zone.
 *
 * The thread's slot is its %gs base, which Linux programs leave alone. One that does not has no slot.
 *
 * The code keeps no promise against signals: before a handler runs, the sentry moves the thread to a
 * place where none is needed (lane_at_stop).
 */
#include "sentry/lane/lane_code.h"

#include "sentry/lane/layout.h"

#define STRINGIFY_(x) #x
#define S(x) STRINGIFY_(x)
#define SLOT(field) S(field) "(%r11)"
#define SYS_SCHED_YIELD 24 /* of the assembler's own: a number it can paste */
#define LABEL(name) ".globl " #name "\n.hidden " #name "\n" #name ":\n"

__asm__(".pushsection .rodata\n"
	".balign 64\n"
	LABEL(lane_code)
	"	rdgsbase %r11\n"
	"	cmp lane_code_slots(%rip), %r11\n"
	"	jb 9f\n"
	"	cmp lane_code_slots + 8(%rip), %r11\n"
	"	jae 9f\n"
	"	cmpl $0, " SLOT(SLOT_OFF) "\n"
	"	jne 9f\n"
	"	mov %rdi, " S(SLOT_ARGS) "(%r11)\n"
	"	mov %rsi, " S(SLOT_ARGS) " + 8(%r11)\n"
	"	mov %rdx, " S(SLOT_ARGS) " + 16(%r11)\n"
	"	mov %r10, " S(SLOT_ARGS) " + 24(%r11)\n"
	"	mov %r8, " S(SLOT_ARGS) " + 32(%r11)\n"
	"	mov %r9, " S(SLOT_ARGS) " + 40(%r11)\n"
	"	mov %rcx, " SLOT(SLOT_SITE) "\n"
	"	mov " SLOT(SLOT_BUDGET) ", %eax\n"
	"	movl $" S(LANE_REQUEST) ", " SLOT(SLOT_STATE) "\n"
	LABEL(lane_code_published)
	"	mov %eax, %ecx\n"
	"1:	mov " SLOT(SLOT_STATE) ", %eax\n"
	"	cmp $" S(LANE_DONE) ", %eax\n"
	"	je 2f\n"
	"	ja 3f\n"
	"	pause\n"
	"	dec %ecx\n"
	"	test $" S(LANE_TURNS) " - 1, %ecx\n"
	"	jnz 1b\n"
	"	test %ecx, %ecx\n"
	"	jz 5f\n"
	"	cmp $" S(LANE_REQUEST) ", %eax\n"
	"	jne 6f\n"
	"	cmpl $0, " SLOT(SLOT_OFF) "\n"
	"	jne 5f\n"
	"6:\n"
	"	mov %ecx, " SLOT(SLOT_LEFT) "\n"
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	mov %rax, " SLOT(SLOT_TICKS) "\n"
	"	mov $" S(SYS_SCHED_YIELD) ", %eax\n"
	"	syscall\n"
	"	rdgsbase %r11\n"
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	mov " S(SLOT_ARGS) " + 16(%r11), %rdx\n"
	"	sub " SLOT(SLOT_TICKS) ", %rax\n"
	"	cmp " SLOT(SLOT_LIMIT) ", %rax\n"
	"	ja 5f\n"
	"	mov " SLOT(SLOT_LEFT) ", %ecx\n"
	"	jmp 1b\n"
	"5:\n"
	"	mov $" S(LANE_REQUEST) ", %eax\n"
	"	xor %ecx, %ecx\n"
	"	lock cmpxchg %ecx, " SLOT(SLOT_STATE) "\n"
	"	je lane_code_withdrawn\n"
	"	cmp $" S(LANE_DONE) ", %eax\n"
	"	jb 4f\n"
	"	ja 3f\n"
	"2:	mov " SLOT(SLOT_SITE) ", %rcx\n"
	"	mov " SLOT(SLOT_RESULT) ", %rax\n"
	"	movl $" S(LANE_IDLE) ", " SLOT(SLOT_STATE) "\n"
	"	jmp *" S(SITE_RETURN) "(%rcx)\n"
	LABEL(lane_code_withdrawn)
	"	movl $1, " SLOT(SLOT_WITHDRAWN) "\n"
	"3:	movl $" S(LANE_IDLE) ", " SLOT(SLOT_STATE) "\n"
	"4:	mov " SLOT(SLOT_SITE) ", %rcx\n"
	LABEL(lane_code_plain)
	"9:	mov " S(SITE_NR) "(%rcx), %eax\n"
	"	jmp *" S(SITE_PLAIN) "(%rcx)\n"
	"	.balign 8\n"
	LABEL(lane_code_slots)
	"	.quad 0, 0\n"
	LABEL(lane_code_end)
	".popsection\n");

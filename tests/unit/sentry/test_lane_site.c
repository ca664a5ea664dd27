/* Which system call sites may be rewritten; what a C library's code looks like. */
#include <criterion/criterion.h>
#include <string.h>

#include "sentry/lane/lane_internal.h"

#define MOV_WRITEV "\xb8\x14\x00\x00\x00"
#define SYSCALL "\x0f\x05"

/* What lane_find_mov() says of code that ends with a system call. */
static int find(const char *code, size_t len, int nr)
{
	uint8_t text[64];

	memset(text, 0xcc, sizeof(text));
	memcpy(text + sizeof(text) - len, code, len);
	return lane_find_mov(text + sizeof(text), nr);
}
#define FIND(code, nr) find(code, sizeof(code) - 1, nr)

Test(lane_site, a_mov_right_before_the_system_call)
{
	cr_assert_eq(FIND("\xc3" MOV_WRITEV SYSCALL, 20), 0);
}

Test(lane_site, loads_from_the_stack_in_between)
{
	/* mov 0x10(%rsp), %rsi; mov 8(%rsp), %edi: splice() of glibc 2.36 */
	cr_assert_eq(FIND(MOV_WRITEV "\x48\x8b\x74\x24\x10\x8b\x7c\x24\x08" SYSCALL, 20), 9);
	/* mov 0x18(%rsp), %r10 */
	cr_assert_eq(FIND(MOV_WRITEV "\x4c\x8b\x54\x24\x18" SYSCALL, 20), 5);
}

Test(lane_site, anything_else_in_between_is_refused)
{
	cr_assert_lt(FIND(MOV_WRITEV "\x89\xdf" SYSCALL, 20), 0);	     /* mov %ebx, %edi */
	cr_assert_lt(FIND(MOV_WRITEV "\x8b\x7d\x08" SYSCALL, 20), 0);	     /* mov 8(%rbp), %edi */
	cr_assert_lt(FIND(MOV_WRITEV "\x8b\x3d\x24\x08\x00\x00" SYSCALL, 20), 0); /* relative to %rip */
	cr_assert_lt(FIND(MOV_WRITEV "\x8b\x7c\x24" SYSCALL, 20), 0);	     /* cut off */
}

Test(lane_site, the_number_must_be_the_one_that_trapped)
{
	cr_assert_lt(FIND("\xc3" MOV_WRITEV SYSCALL, 19), 0);
	cr_assert_lt(FIND("\xc3\xb8\x14\x00\x01\x00" SYSCALL, 20), 0);
}

/* 49 b8 imm64 is a mov to r8: the four bytes are the middle of its operand. */
Test(lane_site, a_mov_with_a_prefix_is_another_instruction)
{
	cr_assert_lt(FIND("\x49" MOV_WRITEV SYSCALL, 20), 0);
}

Test(lane_site, padding_is_whole_no_operations)
{
	const uint8_t seven[] = { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 }, two[] = { 0x66, 0x90, 0x66, 0x90 };
	const uint8_t code[] = { 0x0f, 0x1f, 0x80, 0, 0, 0, 1 }, jump[] = { 0x66, 0x90, 0xeb, 0x10 };

	cr_assert(lane_is_padding(seven, sizeof(seven)));
	cr_assert(lane_is_padding(two, sizeof(two)));
	cr_assert_not(lane_is_padding(code, sizeof(code)));
	cr_assert_not(lane_is_padding(jump, sizeof(jump)));
	cr_assert_not(lane_is_padding(seven, 6));
}

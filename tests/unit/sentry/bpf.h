/* A classic BPF interpreter, as much of it as libseccomp's output needs. */
#ifndef FB_TEST_BPF_H
#define FB_TEST_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

static inline uint32_t bpf_run(const struct sock_filter *prog, size_t len,
			       const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0;

	for (size_t pc = 0; pc < len; pc++) {
		const struct sock_filter *i = &prog[pc];
		int taken;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)data + i->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K: taken = a == i->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: taken = a > i->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: taken = a >= i->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: taken = (a & i->k) != 0; break;
		default: cr_assert_fail("instruction %x", i->code); return x;
		}
		pc += taken ? i->jt : i->jf;
	}
	cr_assert_fail("ran off the end");
	return 0;
}

#endif

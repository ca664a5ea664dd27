/* struct exec_state -> struct plan, the bytes that the loader reads. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "sentry/base/err.h"
#include "sentry/exec_internal.h"
#include "sentry/trap.h"
#include "vfs/cred.h"

#define PAGE 4096ull
/*
 * Where position-independent programs go: above the heap that the host has given the loader
 * (0x555555554000 and up to 1 GiB of randomness), 40 bits below the mmap area.
 */
#define PIE_BASE 0x560000000000ull
#define PIE_RANDOM_PAGES 0xfffffffull
#define BRK_RANDOM_PAGES 0x1fffull /* 32 MiB, as arch_randomize_brk() */

static size_t add_string(char *dst, const char *src)
{
	size_t len = strlen(src) + 1;

	memcpy(dst, src, len);
	return len;
}

static size_t strings_len(const struct exec_state *state)
{
	size_t len = strlen(state->filename) + 1;

	for (unsigned i = 0; i < state->nr_prefix; i++)
		len += strlen(state->prefix[i]) + 1;
	return len;
}

static void place(struct plan *plan, const struct exec_state *state)
{
	uint64_t random[2] = { 0, 0 };

	/* Weaker randomness than asked for is no reason to fail. */
	(void)!getrandom(random, sizeof(random), 0);
	/* Programs without interpreter (static-PIE, ld.so itself) go into the mmap area. */
	if (plan->main.dyn && state->interp)
		plan->main.hint = PIE_BASE + (random[0] & PIE_RANDOM_PAGES) * PAGE;
	if (!plan->main.dyn || state->interp)
		plan->brk_gap = PAGE * (1 + (random[1] & BRK_RANDOM_PAGES));
}

static void add_image(struct plan *plan, struct plan_image *dst, const struct elf_image *elf,
		      int fd, uint32_t first)
{
	*dst = elf->plan;
	dst->fd = fd;
	dst->hint = 0;
	dst->first_segment = first;
	if (elf->plan.nr_segments)
		memcpy(&plan->segments[first], elf->segments,
		       elf->plan.nr_segments * sizeof(*elf->segments));
}

int exec_plan_build(const struct exec_state *state, const struct cred *cred,
		    struct plan **ret_plan)
{
	uint32_t nr_main = state->main_elf.plan.nr_segments;
	uint32_t nr_interp = state->interp ? state->interp_elf.plan.nr_segments : 0;
	size_t strings = sizeof(struct plan) + (nr_main + nr_interp) * sizeof(struct plan_segment);
	size_t size = strings + strings_len(state);
	struct plan *plan;
	char *at;

	if (size > PLAN_BYTES)
		return -E2BIG;
	plan = calloc(1, size);
	if (!plan)
		return -ENOMEM;
	plan->size = (uint32_t)size;
	plan->flags = (state->secure ? PLAN_SECURE : 0) |
		      (state->main_elf.exec_stack ? PLAN_EXEC_STACK : 0);
	plan->uid = cred->uid;
	plan->euid = cred->euid;
	plan->gid = cred->gid;
	plan->egid = cred->egid;
	plan->argv_drop = state->argv_drop;
	plan->nr_prefix = state->nr_prefix;
	memcpy(plan->comm, state->comm, sizeof(plan->comm));
	add_image(plan, &plan->main, &state->main_elf, trap_reserved_fd(RESERVED_MAIN), 0);
	plan->interp.fd = -1;
	if (state->interp)
		add_image(plan, &plan->interp, &state->interp_elf,
			  trap_reserved_fd(RESERVED_INTERP), nr_main);
	place(plan, state);

	plan->strings = (uint32_t)strings;
	at = (char *)plan + strings;
	plan->execfn_len = (uint32_t)add_string(at, state->filename);
	at += plan->execfn_len;
	for (unsigned i = 0; i < state->nr_prefix; i++)
		at += add_string(at, state->prefix[i]);
	plan->prefix_len = (uint32_t)(size - strings - plan->execfn_len);
	*ret_plan = plan;
	return 0;
}

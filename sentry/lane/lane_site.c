/*
 * Rewriting of system call sites, by patterns that need no disassembler, because the trap has proved where
 * the instruction is:
 *
 *	b8 NR NR NR NR  0f 05	mov $NR, %eax; syscall   becomes   e9 (jmp stub)  0f 05
 *	31 c0  0f 05		xor %eax, %eax; syscall  becomes   eb (jmp cave)  0f 05
 *
 * Between mov and syscall there may be loads from the stack, which then happen in the stub as well.
 * The syscall instruction itself stays: who jumps to it, returns to it or restarts it finds it. Two bytes
 * have room for a short jump only, to five bytes of padding near by: what follows the `syscall; cmp; ja; ret`
 * by which C libraries end a function, up to the next 16-byte boundary.
 *
 * In a stub: lea descriptor(%rip), %rcx; jmp lane_code.
 *
 * Other threads run that text meanwhile. So it is written as the kernel patches its own: first a trap over the first
 * byte, then the others, then the first, and between these every processor is made to look again. Who runs into the
 * trap stops, and comes back when it has gone (lane_at_fault).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "sentry/hostproc.h"
#include "sentry/lane/lane_internal.h"
#include "sentry/procinfo.h"
#include "sentry/task.h"
#include "vfs/strbuf.h"

#define WINDOW 128 /* bytes looked at on each side of a site */
#define JUMP_LEN 5
#define TEXT_MAX (16ul << 20) /* of a mapping that is searched */
#define TRAP_INSN 0xcc /* int3 */
#define LOADS_MAX 15 /* bytes, three instructions */

static int open_memory(pid_t tid)
{
	char name[32];

	snprintf(name, sizeof(name), "%d/mem", (int)tid);
	return hostproc_open(name, O_RDWR);
}

static bool reaches(gva_t from, gva_t to, int64_t limit)
{
	int64_t distance = (int64_t)(to - from);

	return distance >= -limit && distance < limit;
}

/* Length of the no-operation that starts there, 0: something else does. As assemblers pad with them. */
static size_t nop_len(const uint8_t *code, size_t left)
{
	static const char nops[][12] = {
		"\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0", "\x66\x2e\x0f\x1f\x84\0\0\0\0\0",
		"\x0f\x1f\x84\0\0\0\0\0", "\x0f\x1f\x80\0\0\0\0", "\x66\x0f\x1f\x44\0\0",
		"\x0f\x1f\x44\0\0", "\x0f\x1f\x40\0", "\x0f\x1f\0", "\x66\x90", "\x90",
	};
	static const uint8_t lens[] = { 11, 10, 8, 7, 6, 5, 4, 3, 2, 1 };

	for (size_t i = 0; i < sizeof(lens); i++)
		if (lens[i] <= left && !memcmp(code, nops[i], lens[i]))
			return lens[i];
	return 0;
}

bool lane_is_padding(const uint8_t *code, size_t len)
{
	while (len) {
		size_t n = nop_len(code, len);

		if (!n)
			return false;
		code += n;
		len -= n;
	}
	return true;
}

static bool is_patched(const struct lane *lane, gva_t gva)
{
	for (unsigned i = 0; i < lane->nr_patches; i++)
		if (gva < lane->patches[i].gva + lane->patches[i].len &&
		    gva + JUMP_LEN > lane->patches[i].gva)
			return true;
	return false;
}

/* A cave within reach of the two bytes at `site`; window is the text from window_gva on. 0: none. */
static gva_t find_cave(const struct lane *lane, gva_t site_gva, const uint8_t *window,
		       gva_t window_gva, size_t len)
{
	static const uint8_t before[] = { 0x0f, 0x05, 0x48, 0x3d };
	const size_t end = 13; /* syscall (2), cmp (6), ja (2), ret: one byte each behind them */

	for (size_t at = 0; at + end < len; at++) {
		const uint8_t *code = window + at;
		gva_t cave = window_gva + at + 11;
		size_t room = (size_t)(-cave & 15);

		if (memcmp(code, before, sizeof(before)) || (code[4] & 0xfe) || code[5] != 0xf0 ||
		    code[6] != 0xff || code[7] != 0xff || code[8] != 0x77 || code[10] != 0xc3)
			continue;
		if (room < JUMP_LEN || at + 11 + room > len || is_patched(lane, cave) ||
		    !lane_is_padding(code + 11, room))
			continue;
		if (reaches(site_gva + 2, cave, 128))
			return cave;
	}
	return 0;
}

/* To be written later. */
static int plan(int mem_hostfd, struct lane *lane, gva_t gva, const uint8_t *bytes, size_t len)
{
	struct lane_patch *p = &lane->patches[lane->nr_patches];

	if (HOST(pread(mem_hostfd, p->was, len, (off_t)gva)) != (long)len)
		return -EFAULT;
	p->gva = gva;
	p->len = (uint8_t)len;
	memcpy(p->now, bytes, len);
	lane->nr_patches++;
	return 0;
}

static int plan_jump(int mem_hostfd, struct lane *lane, gva_t gva, gva_t target)
{
	int32_t distance = (int32_t)(target - (gva + JUMP_LEN));
	uint8_t jump[JUMP_LEN] = { 0xe9 };

	memcpy(jump + 1, &distance, sizeof(distance));
	return plan(mem_hostfd, lane, gva, jump, sizeof(jump));
}

/* The site's stub, in the lane's own page; nobody jumps to it yet. */
static gva_t make_stub(struct lane *lane, gva_t ip_gva, int nr, const uint8_t *loads, size_t loads_len)
{
	unsigned index = atomic_load(&lane->nr_sites);
	size_t at = LANE_STUBS + index * LANE_STUB_SIZE;
	uint64_t goes_on = ip_gva, plain = ip_gva - 2;
	uint32_t number = (uint32_t)nr, kind = lane_brings(nr);
	int32_t descriptor = STUB_DESCRIPTOR - (int32_t)loads_len - 7;
	int32_t code = -(int32_t)(at + loads_len + 12);
	uint8_t *desc = lane->mem + at + STUB_DESCRIPTOR, *stub = lane->mem + at;

	memcpy(stub, loads, loads_len);
	stub += loads_len;
	memcpy(stub, "\x48\x8d\x0d", 3);
	memcpy(stub + 3, &descriptor, 4);
	stub[7] = 0xe9;
	memcpy(stub + 8, &code, 4);
	memcpy(desc + SITE_RETURN, &goes_on, 8);
	memcpy(desc + SITE_PLAIN, &plain, 8);
	memcpy(desc + SITE_NR, &number, 4);
	memcpy(desc + SITE_KIND, &kind, 4);
	lane->sites[index] = (struct lane_site){ .return_gva = ip_gva, .nr = nr, .kind = kind };
	atomic_store(&lane->nr_sites, index + 1);
	return lane->gva + at;
}

static bool sets_nr(const uint8_t *mov, int nr)
{
	int32_t number = nr;

	/* Behind a REX prefix it would be another instruction. */
	return mov[0] == 0xb8 && !memcmp(mov + 1, &number, 4) && (mov[-1] & 0xf0) != 0x40;
}

/* xor %eax, %eax; behind a REX prefix it may be another register. */
static bool clears_rax(const uint8_t *code)
{
	return code[0] == 0x31 && code[1] == 0xc0 && (code[-1] & 0xf0) != 0x40;
}

/* Nothing but `mov disp8(%rsp), register`? */
static bool are_stack_loads(const uint8_t *code, size_t len)
{
	while (len) {
		size_t rex = (*code & 0xf0) == 0x40, n = rex + 4;

		if (len < n || code[rex] != 0x8b || (code[rex + 1] & 0xc7) != 0x44 ||
		    code[rex + 2] != 0x24)
			return false;
		code += n;
		len -= n;
	}
	return true;
}

int lane_find_mov(const uint8_t *ip, int nr)
{
	for (int len = 0; len <= LOADS_MAX; len++)
		if (sets_nr(ip - 7 - len, nr) && are_stack_loads(ip - 2 - len, (size_t)len))
			return len;
	return -1;
}

/* One site; `window` is the text around it, ip its end in there. */
static int plan_site(int mem_hostfd, struct lane *lane, gva_t ip_gva, int nr,
		     const uint8_t *window, gva_t window_gva, size_t window_len)
{
	const uint8_t *ip = window + (ip_gva - window_gva);
	bool is_short = nr == 0 && clears_rax(ip - 4);
	int loads = is_short ? 0 : lane_find_mov(ip, nr), err;
	gva_t stub, cave = 0;

	if (ip[-2] != 0x0f || ip[-1] != 0x05 || loads < 0)
		return -EOPNOTSUPP;
	if (atomic_load(&lane->nr_sites) == LANE_SITES || !reaches(lane->gva, ip_gva, 0x7fff0000))
		return -EOPNOTSUPP;
	if (is_short) {
		cave = find_cave(lane, ip_gva - 4, window, window_gva, window_len);
		if (!cave)
			return -EOPNOTSUPP;
	}
	stub = make_stub(lane, ip_gva, nr, ip - 2 - loads, (size_t)loads);
	err = plan_jump(mem_hostfd, lane, is_short ? cave : ip_gva - 7 - (gva_t)loads, stub);
	if (!err && is_short) {
		uint8_t jump[2] = { 0xeb, (uint8_t)(cave - (ip_gva - 2)) };

		err = plan(mem_hostfd, lane, ip_gva - 4, jump, sizeof(jump));
	}
	return err ? -EOPNOTSUPP : 0;
}

/* The bounds of the private executable mapping around gva. */
static bool find_text(pid_t tid, gva_t gva, gva_t *ret_start, gva_t *ret_end)
{
	struct strbuf maps = STRBUF_INIT;
	struct procmap map;
	const char *text;
	bool found = false;

	if (procinfo_read(tid, "maps", &maps) == 0 && !maps.failed) {
		text = maps.buf;
		while (!found && procmaps_next(&text, &map))
			found = gva >= map.start && gva < map.end;
	}
	strbuf_free(&maps);
	if (!found || map.perms[2] != 'x' || map.perms[3] != 'p')
		return false;
	*ret_start = map.start;
	*ret_end = map.end;
	return true;
}

int lane_plan(struct task *task, struct lane *lane, gva_t ip_gva, int nr)
{
	cleanup_close int mem_hostfd = -1;
	uint8_t window[2 * WINDOW];
	gva_t window_gva = ip_gva - WINDOW, start, end;

	if (!find_text(task->tid, ip_gva, &start, &end))
		return -EOPNOTSUPP;
	mem_hostfd = open_memory(task->tid);
	if (mem_hostfd < 0 ||
	    HOST(pread(mem_hostfd, window, sizeof(window), (off_t)window_gva)) != sizeof(window))
		return -EOPNOTSUPP;
	return plan_site(mem_hostfd, lane, ip_gva, nr, window, window_gva, sizeof(window));
}

/* What a C library's wrapper does next: cmp $-4095 or $-4096, %rax or %eax. */
static bool checks_error(const uint8_t *ip)
{
	ip += ip[0] == 0x3d ? -1 : 0;
	return (ip[0] == 0x48 || ip[0] == 0x05) && ip[1] == 0x3d && (ip[2] & 0xfe) == 0 && ip[3] == 0xf0 &&
	       ip[4] == 0xff && ip[5] == 0xff;
}

/* The number that a site sets, < 0: none that concerns us. */
static int number_of(const uint8_t *ip)
{
	int32_t nr;

	if (clears_rax(ip - 4))
		return 0;
	for (int len = 0; len <= LOADS_MAX; len++) {
		if (ip[-7 - len] != 0xb8)
			continue;
		memcpy(&nr, ip - 6 - len, sizeof(nr));
		if (lane_allows(nr) && lane_find_mov(ip, nr) == len)
			return nr;
	}
	return -1;
}

void lane_plan_library(struct task *task, struct lane *lane, gva_t gva)
{
	cleanup_close int mem_hostfd = -1;
	cleanup_free uint8_t *text = NULL;
	gva_t start, end;
	size_t len;

	if (lane->library_done)
		return;
	lane->library_done = true;
	if (!find_text(task->tid, gva, &start, &end) || end - start > TEXT_MAX)
		return;
	len = end - start;
	text = malloc(len);
	mem_hostfd = open_memory(task->tid);
	if (!text || mem_hostfd < 0 || HOST(pread(mem_hostfd, text, len, (off_t)start)) != (long)len)
		return;
	for (size_t at = WINDOW; at + WINDOW < len; at++) {
		int nr;

		if (text[at - 2] != 0x0f || text[at - 1] != 0x05 || !checks_error(text + at))
			continue;
		nr = number_of(text + at);
		if (nr >= 0)
			(void)plan_site(mem_hostfd, lane, start + at, nr, text + at - WINDOW,
					start + at - WINDOW, 2 * WINDOW);
	}
}

/* Is what stands there ours, written as far as that? A head may be the trap in any case. */
static bool stands(const struct lane_patch *p, const uint8_t *there, bool tail_is_new)
{
	const uint8_t *tail = tail_is_new ? p->now : p->was;

	return !memcmp(there + 1, tail + 1, p->len - 1u) &&
	       (there[0] == TRAP_INSN || there[0] == (tail_is_new ? p->now : p->was)[0]);
}

/* False: something else has been mapped there meanwhile. */
static bool write_part(int mem_hostfd, const struct lane_patch *p, enum lane_part part)
{
	static const uint8_t trap_insn = TRAP_INSN;
	uint8_t there[8];

	if (HOST(pread(mem_hostfd, there, p->len, (off_t)p->gva)) != p->len ||
	    !stands(p, there, part == LANE_HEADS))
		return false;
	switch (part) {
	case LANE_TRAPS:
		return HOST(pwrite(mem_hostfd, &trap_insn, 1, (off_t)p->gva)) == 1;
	case LANE_TAILS:
		return HOST(pwrite(mem_hostfd, p->now + 1, p->len - 1u, (off_t)p->gva + 1)) ==
		       p->len - 1;
	case LANE_HEADS:
		return HOST(pwrite(mem_hostfd, p->now, 1, (off_t)p->gva)) == 1;
	case LANE_WHOLE:
		break;
	}
	return HOST(pwrite(mem_hostfd, p->now, p->len, (off_t)p->gva)) == p->len;
}

/* Where something else stands now, the text has made way for it. */
static void restore(int mem_hostfd, const struct lane *lane, unsigned first)
{
	uint8_t there[8];

	for (unsigned i = lane->nr_patches; i-- > first;) {
		const struct lane_patch *p = &lane->patches[i];

		if (HOST(pread(mem_hostfd, there, p->len, (off_t)p->gva)) == p->len &&
		    (stands(p, there, true) || stands(p, there, false)))
			(void)HOST(pwrite(mem_hostfd, p->was, p->len, (off_t)p->gva));
	}
}

int lane_write_begin(pid_t tid, struct lane *lane)
{
	lane->mem_hostfd = open_memory(tid);
	if (lane->mem_hostfd < 0)
		lane->nr_patches = lane->nr_written;
	return lane->mem_hostfd < 0 ? lane->mem_hostfd : 0;
}

/* All or none: some jump to others. */
int lane_write(struct lane *lane, enum lane_part part)
{
	for (unsigned i = lane->nr_written; i < lane->nr_patches; i++)
		if (!write_part(lane->mem_hostfd, &lane->patches[i], part))
			return -EFAULT;
	return 0;
}

void lane_write_end(struct lane *lane, bool good)
{
	if (lane->mem_hostfd < 0)
		return;
	if (!good) {
		restore(lane->mem_hostfd, lane, lane->nr_written);
		lane->nr_patches = lane->nr_written;
	}
	lane->nr_written = lane->nr_patches;
	close(lane->mem_hostfd);
	lane->mem_hostfd = -1;
}

bool lane_had_trap(pid_t tid, const struct lane *lane, gva_t gva)
{
	cleanup_close int mem_hostfd = -1;
	bool ours = false;
	uint8_t there;

	for (unsigned i = 0; i < lane->nr_patches && !ours; i++)
		ours = lane->patches[i].gva == gva;
	if (!ours || lane->mem_hostfd >= 0)
		return ours;
	/* All is written: one that stands there now is somebody else's. */
	mem_hostfd = open_memory(tid);
	return mem_hostfd >= 0 && HOST(pread(mem_hostfd, &there, 1, (off_t)gva)) == 1 &&
	       there != TRAP_INSN;
}

void lane_restore(pid_t tid, const struct lane *lane)
{
	cleanup_close int mem_hostfd = open_memory(tid);

	if (mem_hostfd >= 0)
		restore(mem_hostfd, lane, 0);
}

#include "sentry/lane/lane.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sentry/base/log.h"
#include "sentry/base/wait.h"
#include "sentry/lane/lane_slot.h"
#include "sentry/sched/sched.h"
#include "sentry/trap.h"

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif

#define WAIT_NS 250000 /* so long a guest waits in the lane for an answer */

static enum lane_mode lane_mode = LANE_OFF;
static uint32_t turns_per_us = 20;   /* of the guest's wait loop */
static uint32_t ticks_per_us = 1000; /* of the time stamp counter */
static int max_fast;
static atomic_ulong nr_threads;

/* Set-up. */

/* What a turn of the guest's loop takes: mostly its pause. */
static void calibrate(void)
{
	int64_t start = clock_monotonic_ns(), took;
	uint64_t ticks = __builtin_ia32_rdtsc();
	const unsigned turns = 2000;

	for (unsigned i = 0; i < turns; i++)
		__asm__ volatile("pause");
	took = clock_monotonic_ns() - start;
	ticks = __builtin_ia32_rdtsc() - ticks;
	if (took > 0) {
		turns_per_us = (uint32_t)(turns * 1000 / took) + 1;
		ticks_per_us = (uint32_t)(ticks * 1000 / (uint64_t)took) + 1;
	}
}

void lane_init(enum lane_mode mode)
{
	cpu_set_t cpus;

	if (mode == LANE_OFF || !trap->pending)
		return;
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
		fb_log(LOG_INFO, "no fast lane: the host does not let programs set %%gs");
		return;
	}
	/* They yield: two on a processor are not too many, and the leader is a third. */
	max_fast = 2 * (sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : CPU_COUNT(&cpus));
	wait_set_spinners_max(max_fast > 4 ? (unsigned)max_fast / 4 : 1);
	calibrate();
	sched_set_poll(lane_poll);
	lane_mode = mode;
}

bool lane_enabled(void)
{
	return lane_mode != LANE_OFF;
}

bool lane_eager(void)
{
	return lane_mode == LANE_EAGER;
}

bool lane_allows(int nr)
{
	switch (nr) {
	case SYS_read: case SYS_write: case SYS_readv: case SYS_writev: case SYS_pread64:
	case SYS_pwrite64: case SYS_preadv: case SYS_pwritev: case SYS_preadv2: case SYS_pwritev2:
	case SYS_close: case SYS_dup: case SYS_fcntl: case SYS_splice: case SYS_vmsplice:
	case SYS_lseek: case SYS_stat: case SYS_fstat:
	case SYS_lstat: case SYS_newfstatat: case SYS_statx: case SYS_open: case SYS_openat:
	case SYS_access: case SYS_faccessat: case SYS_faccessat2: case SYS_readlink:
	case SYS_readlinkat: case SYS_getdents64: case SYS_mkdir: case SYS_mkdirat: case SYS_rmdir:
	case SYS_unlink: case SYS_unlinkat: case SYS_rename: case SYS_renameat: case SYS_renameat2:
	case SYS_link: case SYS_linkat: case SYS_symlink: case SYS_symlinkat: case SYS_mknod:
	case SYS_mknodat: case SYS_ftruncate: case SYS_truncate: case SYS_fallocate: case SYS_fsync:
	case SYS_fdatasync: case SYS_utimensat: case SYS_chmod: case SYS_fchmod: case SYS_fchmodat:
	case SYS_chown: case SYS_fchown: case SYS_lchown: case SYS_fchownat: case SYS_statfs:
	case SYS_fstatfs: case SYS_getxattr: case SYS_lgetxattr: case SYS_fgetxattr:
	case SYS_setxattr: case SYS_lsetxattr: case SYS_fsetxattr: case SYS_listxattr:
	case SYS_llistxattr: case SYS_flistxattr: case SYS_removexattr: case SYS_lremovexattr:
	case SYS_fremovexattr: case SYS_umask: case SYS_copy_file_range: case SYS_flock:
		return true;
	}
	return false;
}

uint32_t lane_brings(int nr)
{
	switch (nr) {
	case SYS_write: case SYS_pwrite64:
		return LANE_IN_BUFFER;
	case SYS_writev: case SYS_pwritev: case SYS_pwritev2:
		return LANE_IN_VECTOR;
	case SYS_stat: case SYS_lstat: case SYS_open: case SYS_access: case SYS_readlink:
	case SYS_mkdir: case SYS_rmdir: case SYS_unlink: case SYS_rename: case SYS_link:
	case SYS_symlink: case SYS_symlinkat: case SYS_mknod: case SYS_truncate: case SYS_chmod:
	case SYS_chown: case SYS_lchown: case SYS_statfs: case SYS_getxattr: case SYS_lgetxattr:
	case SYS_setxattr: case SYS_lsetxattr: case SYS_listxattr: case SYS_llistxattr:
	case SYS_removexattr: case SYS_lremovexattr:
		return LANE_IN_STRING1;
	case SYS_newfstatat: case SYS_statx: case SYS_openat: case SYS_faccessat:
	case SYS_faccessat2: case SYS_readlinkat: case SYS_mkdirat: case SYS_unlinkat:
	case SYS_renameat: case SYS_renameat2: case SYS_linkat: case SYS_mknodat:
	case SYS_utimensat: case SYS_fchmodat: case SYS_fchownat: case SYS_fgetxattr:
	case SYS_fsetxattr: case SYS_fremovexattr:
		return LANE_IN_STRING2;
	}
	return LANE_IN_NONE;
}

int lane_max_fast(void)
{
	return max_fast;
}

/* Slots. */

static void slot_init(struct lane_thread *thread)
{
	memset(slot_field(thread, 0), 0, LANE_SLOT_SIZE);
	atomic_store(slot_u32(thread, SLOT_OFF), 1);
	atomic_store(slot_u64(thread, SLOT_LIMIT), (uint64_t)ticks_per_us * (LANE_YIELD_NS / 1000));
	atomic_store(slot_u32(thread, SLOT_BUDGET), turns_per_us * (WAIT_NS / 1000));
	atomic_store(slot_u64(thread, SLOT_DATA),
		     thread->lane->gva + (uint64_t)(slot_data(thread) - thread->lane->mem));
	thread->window = (struct window){ .in = slot_data(thread),
					  .out = slot_data(thread) + LANE_DATA,
					  .out_size = LANE_DATA };
}

void lane_join(struct task *task, int slot)
{
	struct lane_thread *thread = task->lane;

	fb_mutex_lock(&task->call.lock);
	thread->slot = slot;
	slot_init(thread);
	fb_mutex_unlock(&task->call.lock);
	lane_remember(task);
	atomic_fetch_add(&nr_threads, 1);
}

void lane_leave(struct task *task)
{
	struct lane_thread *thread = task->lane;
	struct lane *lane = NULL;

	if (!thread)
		return;
	lane_forget(task);
	fb_mutex_lock(&task->call.lock);
	if (thread->slot >= 0) {
		lane_slow_down(thread);
		atomic_fetch_and(&thread->lane->slots_used, ~(1u << thread->slot));
	}
	if (thread->slot_to_be >= 0) {
		atomic_fetch_and(&thread->lane->slots_used, ~(1u << thread->slot_to_be));
		lane_break_promise();
	}
	if (thread->arming)
		atomic_flag_clear(&thread->lane->busy);
	thread->slot = thread->slot_to_be = -1;
	thread->answered = thread->arming = false;
	thread->refused = true;
	lane = thread->lane;
	thread->lane = NULL;
	fb_mutex_unlock(&task->call.lock);
	lane_put(lane);
}

struct lane *lane_get(struct lane *lane)
{
	if (lane)
		ref_get(&lane->ref);
	return lane;
}

void lane_put(struct lane *lane)
{
	if (!lane || !ref_put(&lane->ref))
		return;
	if (lane->hostfd >= 0)
		close(lane->hostfd);
	if (lane->mem_hostfd >= 0)
		close(lane->mem_hostfd);
	munmap(lane->mem, LANE_BYTES);
	free(lane);
}

void lane_thread_free(struct lane_thread *thread)
{
	if (!thread)
		return;
	lane_put(thread->lane);
	lane_put(thread->born_of);
	free(thread);
}

bool lane_knows(const struct lane *lane, gva_t ip_gva)
{
	for (unsigned i = 0; i < atomic_load(&lane->nr_sites); i++)
		if (lane->sites[i].return_gva == ip_gva)
			return true;
	for (unsigned i = 0; i < LANE_SITES; i++)
		if (lane->refused[i] == ip_gva)
			return true;
	return false;
}

void lane_get_stats(struct lane_stats *ret)
{
	ret->calls = lane_calls();
	ret->threads = atomic_load(&nr_threads);
}

/*
 * Random system calls, from two threads of a child per batch. Guest program: what survives is the
 * sentry or nothing. Arguments are drawn from what calls take: descriptors, addresses at the edges of
 * mappings, sizes that overflow, paths that lead somewhere, structures full of such words.
 *
 *	syscalls SECONDS SEED
 *
 * Prints the seed of each batch to stderr with -v as the third argument, so that one can be repeated:
 * batch K of seed S is batch 0 of seed S + K.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS_PER_BATCH 400
#define BATCH_MS	400
#define ARENA_BYTES	(64 * 4096)
#define NR_MAX		480

static unsigned char *arena; /* followed by a page that is not there */

struct rng {
	uint64_t state;
};

static uint64_t draw(struct rng *rng)
{
	rng->state ^= rng->state << 13;
	rng->state ^= rng->state >> 7;
	rng->state ^= rng->state << 17;
	return rng->state;
}

static uint64_t below(struct rng *rng, uint64_t n)
{
	return draw(rng) % n;
}

static const char *const paths[] = {
	"/", ".", "..", "", "/tmp/fz", "/tmp/fz/a", "/tmp/fz/b", "/tmp/fz/d", "/tmp/fz/d/e",
	"/tmp/fz/d/../a", "/tmp/fz/l", "/tmp/fz/loop", "/proc/self", "/proc/self/fd", "/proc/self/fd/3",
	"/proc/self/maps", "/proc/self/mem", "/proc/self/root", "/proc/self/cwd/a", "/proc/self/exe",
	"/proc/self/mountinfo", "/proc/self/status", "/proc/self/fdinfo/4", "/proc/self/task",
	"/proc/1/root", "/proc/1/fd", "/proc/sys/kernel/hostname", "/proc/thread-self/attr",
	"/dev/null", "/dev/zero", "/dev/full", "/dev/ptmx", "/dev/pts/0", "/dev/tty", "/dev/fuse",
	"/dev/urandom", "/dev/shm/x", "/sys", "/sys/fs/fuse/connections", "/etc/passwd", "/bin/true",
	"/bin/sh", "/usr/lib", "user.x", "trusted.x", "security.capability", "system.posix_acl_access",
	"tmpfs", "proc", "fuse", "fuseblk", "overlay", "devpts", "sysfs", "size=1m", "fd=3,rootmode=40000,user_id=0,group_id=0",
	"source", "fd", "lowerdir=/etc,upperdir=/tmp/fz/d,workdir=/tmp/fz/w",
};
#define NR_PATHS (sizeof(paths) / sizeof(*paths))

static uint64_t draw_fd(struct rng *rng)
{
	switch (below(rng, 12)) {
	case 0: return (uint64_t)AT_FDCWD;
	case 1: return 1016 + below(rng, 8);
	case 2: return (uint64_t)-1;
	case 3: return below(rng, 2000);
	default: return 3 + below(rng, 40);
	}
}

static uint64_t draw_size(struct rng *rng)
{
	static const uint64_t sizes[] = {
		0, 1, 2, 3, 4, 7, 8, 12, 16, 24, 40, 56, 64, 80, 88, 96, 100, 104, 128, 255, 256, 511, 512,
		1024, 4095, 4096, 4097, 8192, 65535, 65536, 65537, 1 << 20, INT32_MAX, UINT32_MAX,
		1ull << 32, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095,
	};

	return sizes[below(rng, sizeof(sizes) / sizeof(*sizes))];
}

static uint64_t draw_pointer(struct rng *rng)
{
	switch (below(rng, 14)) {
	case 0: return 0;
	case 1: return (uint64_t)arena + ARENA_BYTES - below(rng, 64);
	case 2: return 0xffffffff81000000ull;
	case 3: return 0x7ffffffff000ull - below(rng, 4096);
	case 4: return draw(rng);
	case 5:
	case 6:
	case 7: {
		char *to = (char *)arena + below(rng, 60) * 4096 + below(rng, 2048);

		strcpy(to, paths[below(rng, NR_PATHS)]);
		return (uint64_t)to;
	}
	default: return (uint64_t)arena + below(rng, ARENA_BYTES / 8) * 8;
	}
}

static uint64_t draw_any(struct rng *rng)
{
	switch (below(rng, 10)) {
	case 0: return draw_size(rng);
	case 1: return draw(rng);
	case 2: return 1ull << below(rng, 64);
	case 3: return draw(rng) & draw(rng) & draw(rng);
	case 4: return draw_fd(rng);
	case 5:
	case 6: return below(rng, 64);
	default: return draw_pointer(rng);
	}
}

/* Words as structures have them, in some of the arena. */
static void stir(struct rng *rng)
{
	uint64_t *words = (uint64_t *)(arena + below(rng, 63) * 4096);
	unsigned n = below(rng, 128);

	for (unsigned i = 0; i < n; i++)
		words[i] = draw_any(rng);
	for (unsigned i = 0; i < n; i++)
		((uint32_t *)words)[below(rng, 256)] = (uint32_t)draw_any(rng);
}

static long draw_call(struct rng *rng)
{
	/* What leads deep into the sentry comes more often. */
	static const short favourites[] = {
		SYS_openat, SYS_open, SYS_ioctl, SYS_fcntl, SYS_read, SYS_write, SYS_readv, SYS_writev,
		SYS_preadv2, SYS_pwritev2, SYS_mmap, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg,
		SYS_socket, SYS_socketpair, SYS_setsockopt, SYS_getsockopt, SYS_bind, SYS_connect, SYS_accept4,
		SYS_mount, SYS_umount2, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_move_mount, SYS_open_tree,
		SYS_mount_setattr, SYS_epoll_ctl, SYS_epoll_pwait2, SYS_poll, SYS_select, SYS_pselect6,
		SYS_splice, SYS_tee, SYS_vmsplice, SYS_sendfile, SYS_copy_file_range, SYS_getdents64,
		SYS_setxattr, SYS_getxattr, SYS_fsetxattr, SYS_listxattr, SYS_renameat2, SYS_linkat, SYS_openat2,
		SYS_statx, SYS_pipe2, SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime, SYS_memfd_create,
		SYS_dup, SYS_dup2, SYS_dup3, SYS_close, SYS_close_range, SYS_pidfd_open, SYS_pidfd_getfd,
		SYS_execve, SYS_execveat, SYS_mknodat, SYS_fallocate, SYS_flock, SYS_setgroups, SYS_capset,
		SYS_prctl, SYS_clone, SYS_prlimit64, SYS_lseek, SYS_ftruncate, SYS_unlinkat, SYS_mkdirat,
	};

	if (below(rng, 3))
		return favourites[below(rng, sizeof(favourites) / sizeof(*favourites))];
	/* Numbers beyond the table, x32's, and the private one of exec. */
	switch (below(rng, 40)) {
	case 0: return (long)draw(rng);
	case 1: return 0x40000000 + (long)below(rng, 512);
	case 2: return (long)below(rng, 4096);
	default: return (long)below(rng, NR_MAX);
	}
}

/* Calls that would end the batch before it has begun, or take the machine's memory. */
static int is_left_out(long nr)
{
	switch (nr) {
	case SYS_exit: case SYS_exit_group: case SYS_vfork: case SYS_rt_sigreturn: case SYS_kill:
	case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo:
	case SYS_munmap: case SYS_mprotect: case SYS_pkey_mprotect: case SYS_mremap: case SYS_brk:
	case SYS_madvise: case 462: case SYS_arch_prctl: case SYS_mlockall: case SYS_rseq:
	case SYS_set_robust_list: case SYS_pause: case SYS_rt_sigsuspend: case SYS_fork: case SYS_shmat:
	case SYS_remap_file_pages: case SYS_setrlimit: case SYS_pidfd_send_signal:
		return 1;
	}
	return 0;
}

static void one_call(struct rng *rng)
{
	long nr = draw_call(rng);
	uint64_t a[6];

	if (is_left_out(nr))
		return;
	if (below(rng, 3) == 0)
		stir(rng);
	for (int i = 0; i < 6; i++)
		a[i] = draw_any(rng);
	if (below(rng, 3))
		a[0] = below(rng, 3) ? draw_fd(rng) : draw_pointer(rng);
	if (below(rng, 2))
		a[1] = draw_pointer(rng);
	if (below(rng, 2))
		a[2] = draw_size(rng);
	switch (nr) {
	case SYS_mmap:
		if (below(rng, 8))
			a[0] = 0;
		a[1] &= 0xffffff;
		a[3] &= ~(uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE | MAP_LOCKED);
		a[4] = draw_fd(rng);
		if (below(rng, 2))
			a[5] = below(rng, 16) * 4096;
		break;
	case SYS_fallocate: a[3] &= 0xfffff; a[2] &= 0xfffff; break;
	case SYS_clone: a[0] &= ~(uint64_t)CLONE_VM; break;
	case SYS_memfd_create: a[1] &= 7; break;
	case SYS_fcntl: a[1] = below(rng, 2) ? below(rng, 40) : 1024 + below(rng, 20); break;
	case SYS_ioctl:
		a[0] = draw_fd(rng);
		if (below(rng, 2))
			a[1] = 0x5400 + below(rng, 100);
		else if (below(rng, 2)) /* _IOC of FUSE, FS and block numbers */
			a[1] = below(rng, 4) << 30 | below(rng, 64) << 16 | 0xe500 | below(rng, 4);
		break;
	}
	(void)syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void *hammer(void *arg)
{
	struct rng rng = {(uint64_t)arg};

	for (int i = 0; i < 8; i++)
		(void)draw(&rng);
	for (int i = 0; i < CALLS_PER_BATCH; i++)
		one_call(&rng);
	return NULL;
}

/* Descriptors of every kind, from number 3 on. */
static void open_some(void)
{
	int pair[2];

	for (int fd = 0; fd < 3; fd++)
		close(fd);
	while (open("/dev/null", O_RDWR) < 2)
		;
	(void)!chdir("/tmp/fz");
	(void)open("/tmp/fz", O_RDONLY | O_DIRECTORY);
	(void)open("/tmp/fz/a", O_RDWR | O_CREAT, 0600);
	(void)!pipe2(pair, O_NONBLOCK);
	(void)socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	(void)socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	(void)socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair);
	(void)syscall(SYS_epoll_create1, 0);
	(void)syscall(SYS_eventfd2, 3, O_NONBLOCK);
	(void)syscall(SYS_memfd_create, "fz", 2);
	(void)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, O_NONBLOCK);
	(void)open("/dev/fuse", O_RDWR | O_NONBLOCK);
	(void)open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY);
	(void)syscall(SYS_pidfd_open, getpid(), 0);
	(void)open("/proc/self/mem", O_RDWR);
	(void)open("/proc", O_RDONLY | O_DIRECTORY);
	(void)open("/etc/passwd", O_RDONLY);
	(void)open("/tmp/fz", O_PATH);
	(void)syscall(SYS_fsopen, "tmpfs", 0);
	(void)syscall(SYS_fsopen, "fuse", 0);
	(void)open("/dev/zero", O_RDWR);
}

static void batch(uint64_t seed)
{
	struct rlimit procs = {64, 64};
	sigset_t all;
	pthread_t thread;

	sigfillset(&all); /* timers and SIGIO of its own making */
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setrlimit(RLIMIT_NPROC, &procs);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	open_some();
	if (seed % 3 == 0) /* not root: other checks, other error paths */
		(void)!setresuid(1000, 1000, 1000);
	if (pthread_create(&thread, NULL, hammer, (void *)(seed * 2654435761u + 1)))
		_exit(1);
	hammer((void *)(seed * 0x9e3779b97f4a7c15u + 3));
	_exit(0);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Everything of the batch: the child, and what it has forked. */
static void sweep(void)
{
	(void)kill(-1, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

int main(int argc, char **argv)
{
	int64_t end = now_ms() + 1000 * (argc > 1 ? atoi(argv[1]) : 5), batch_end;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	unsigned batches = 0;
	pid_t pid;

	arena = mmap(NULL, ARENA_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED || mprotect(arena + ARENA_BYTES, 4096, PROT_NONE))
		return 2;
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	mkdir("/tmp/fz", 0777);
	mkdir("/tmp/fz/d", 0777);
	mkdir("/tmp/fz/w", 0777);
	(void)!symlink("a", "/tmp/fz/l");
	(void)!symlink("loop", "/tmp/fz/loop");
	do {
		if (argc > 3)
			fprintf(stderr, "batch %llu\n", (unsigned long long)seed);
		pid = fork();
		if (pid < 0)
			return 3;
		if (pid == 0)
			batch(seed);
		batch_end = now_ms() + BATCH_MS;
		while (waitpid(pid, NULL, WNOHANG) == 0 && now_ms() < batch_end)
			usleep(2000);
		sweep();
		seed++;
		batches++;
	} while (now_ms() < end);
	/* Through a call of the sentry's, so that "it lives" is not only the host's word. */
	if (printf("%u batches\n", batches) < 0 || fflush(stdout))
		return 4;
	return 0;
}

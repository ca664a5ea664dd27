/*
 * The host calls of hostfs that need care: opening without ever leaving the directory, changing an
 * object that is held by an O_PATH descriptor, and the older ways for kernels without fchmodat2
 * (6.6) and getxattrat (6.13), or containers whose seccomp profile refuses openat2.
 *
 * Host calls hostfs makes: openat2, openat, close, fcntl(F_DUPFD_CLOEXEC), statx, fstatfs,
 * getdents64, lseek, preadv2, pwritev2, fsync, fdatasync, syncfs, ftruncate, fallocate,
 * copy_file_range, mkdirat, mknodat, linkat, symlinkat, unlinkat, renameat2, readlinkat,
 * fchmodat2, fchmod, fchmodat, fchown, fchownat, utimensat, {f,}{get,list,set,remove}xattr{,at}.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sentry/base/cleanup.h"
#include "sentry/base/err.h"
#include "vfs/fs/hostfs/hostfs_internal.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_getxattrat
#define SYS_getxattrat	464
#define SYS_listxattrat 465
#endif

/* Set once by host_init(). */
static bool have_openat2;
static int proc_fd_dir = -1; /* O_PATH of /proc/self/fd, or -1 */
/* Cleared at the first ENOSYS. */
static atomic_bool have_fchmodat2 = true, have_xattrat = true;

static void host_init_once(void)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC};
	int fd = (int)HOST(syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)));

	/* ENOSYS on old kernels, EPERM from seccomp profiles that answer for unknown calls. */
	have_openat2 = fd >= 0;
	if (fd >= 0)
		close(fd);
	proc_fd_dir = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void host_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, host_init_once);
}

static int open_beneath(int dirfd, const char *name, uint64_t flags, unsigned mode)
{
	struct open_how how = {
		.flags = flags,
		.mode = (flags & O_CREAT) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	int fd, tries = 0;

	/* One component and O_NOFOLLOW: openat() cannot leave the directory either. */
	if (!have_openat2)
		return (int)HOST(openat(dirfd, name, (int)flags, mode));
	/* EAGAIN: something on the host was renamed or mounted meanwhile (openat2(2)). */
	do {
		fd = (int)HOST(syscall(SYS_openat2, dirfd, name, &how, sizeof(how)));
	} while (fd == -EAGAIN && ++tries < 8);
	return fd;
}

int host_open(int dirfd, const char *name, uint64_t flags, unsigned mode)
{
	int fd;

	fb_assert(strchr(name, '/') == NULL && strcmp(name, "..") != 0);
	flags |= O_CLOEXEC | O_NOFOLLOW;
	/* What was a file a moment ago may be a FIFO or a terminal now: never wait in open(). */
	if (!(flags & O_PATH))
		flags |= O_NONBLOCK | O_NOCTTY;
	fd = open_beneath(dirfd, name, flags, mode);
	if (fd == -EMFILE || fd == -ENFILE) {
		hostfs_slots_shrink(16);
		fd = open_beneath(dirfd, name, flags, mode);
	}
	return fd;
}

int host_statx(int dirfd, const char *name, struct statx *ret_stx)
{
	return (int)HOST(
		statx(dirfd, name,
		      AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT,
		      HOSTFS_STATX_MASK, ret_stx));
}

/*
 * The descriptor's entry below /proc/self/fd. Checked to be the same object: the directory was
 * opened at start-up and would name another process's descriptors after a fork.
 */
static int proc_name(int hostfd, char name[16])
{
	struct stat here, there;
	int err;

	if (proc_fd_dir < 0)
		return -EOPNOTSUPP;
	(void)snprintf(name, 16, "%d", hostfd);
	err = (int)HOST(fstatat(proc_fd_dir, name, &there, 0));
	if (!err)
		err = (int)HOST(fstatat(hostfd, "", &here, AT_EMPTY_PATH));
	if (err)
		return err;
	if (here.st_dev != there.st_dev || here.st_ino != there.st_ino)
		return -EOPNOTSUPP;
	return 0;
}

int host_reopen(int hostfd, int flags)
{
	char name[16];
	int err = proc_name(hostfd, name);

	if (err)
		return err;
	return (int)HOST(openat(proc_fd_dir, name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

int host_chmod(int hostfd, uint32_t mode)
{
	char name[16];
	int err;

	if (atomic_load_explicit(&have_fchmodat2, memory_order_relaxed)) {
		err = (int)HOST(syscall(SYS_fchmodat2, hostfd, "", mode, AT_EMPTY_PATH));
		if (err != -ENOSYS)
			return err;
		atomic_store_explicit(&have_fchmodat2, false, memory_order_relaxed);
	}
	err = proc_name(hostfd, name);
	if (err)
		return err;
	return (int)HOST(fchmodat(proc_fd_dir, name, mode, 0));
}

int host_chown(int hostfd, uid_t uid, gid_t gid)
{
	return (int)HOST(fchownat(hostfd, "", uid, gid, AT_EMPTY_PATH));
}

int host_utimens(int hostfd, const struct timespec times[2])
{
	char name[16];
	int err = (int)HOST(syscall(SYS_utimensat, hostfd, "", times, AT_EMPTY_PATH));

	if (err != -EINVAL) /* before 5.8: the flag is unknown */
		return err;
	err = proc_name(hostfd, name);
	if (err)
		return err;
	return (int)HOST(utimensat(proc_fd_dir, name, times, 0));
}

/* struct xattr_args of linux/xattr.h, newer than the headers we build with. */
struct host_xattr_args {
	uint64_t value;
	uint32_t size, flags;
};

/* Opened for its attributes: fgetxattr() refuses O_PATH descriptors. */
static int open_for_xattr(int dirfd, const char *path)
{
	return host_open(dirfd, path, O_RDONLY, 0);
}

ssize_t host_getxattr(int dirfd, const char *path, const char *name, void *value, size_t size)
{
	struct host_xattr_args args = {(uintptr_t)value, (uint32_t)size, 0};
	cleanup_close int fd = -1;
	ssize_t n;

	if (path[0] == '\0')
		return HOST(fgetxattr(dirfd, name, value, size));
	if (atomic_load_explicit(&have_xattrat, memory_order_relaxed)) {
		n = HOST(syscall(SYS_getxattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, name, &args,
				 sizeof(args)));
		if (n != -ENOSYS && n != -EPERM)
			return n;
		atomic_store_explicit(&have_xattrat, false, memory_order_relaxed);
	}
	fd = open_for_xattr(dirfd, path);
	if (fd < 0)
		return fd == -ELOOP ? -EOPNOTSUPP : fd;
	return HOST(fgetxattr(fd, name, value, size));
}

ssize_t host_listxattr(int dirfd, const char *path, char *list, size_t size)
{
	cleanup_close int fd = -1;
	ssize_t n;

	if (path[0] == '\0')
		return HOST(flistxattr(dirfd, list, size));
	if (atomic_load_explicit(&have_xattrat, memory_order_relaxed)) {
		n = HOST(syscall(SYS_listxattrat, dirfd, path, AT_SYMLINK_NOFOLLOW, list, size));
		if (n != -ENOSYS && n != -EPERM)
			return n;
		atomic_store_explicit(&have_xattrat, false, memory_order_relaxed);
	}
	fd = open_for_xattr(dirfd, path);
	if (fd < 0)
		return fd == -ELOOP ? 0 : fd;
	return HOST(flistxattr(fd, list, size));
}

int host_setxattr(int hostfd, const char *name, const void *value, size_t size, int flags)
{
	return (int)HOST(fsetxattr(hostfd, name, value, size, flags));
}

int host_removexattr(int hostfd, const char *name)
{
	return (int)HOST(fremovexattr(hostfd, name));
}

/* File systems whose files are doors into the kernel or into processes, the sentry among them. */
static const unsigned long pseudo_magic[] = {
	PROC_SUPER_MAGIC,
	SYSFS_MAGIC,
	CGROUP_SUPER_MAGIC,
	CGROUP2_SUPER_MAGIC,
	DEVPTS_SUPER_MAGIC,
	DEBUGFS_MAGIC,
	TRACEFS_MAGIC,
	SECURITYFS_MAGIC,
	SELINUX_MAGIC,
	SMACK_MAGIC,
	BPF_FS_MAGIC,
	PSTOREFS_MAGIC,
	EFIVARFS_MAGIC,
	BINFMTFS_MAGIC,
	NSFS_MAGIC,
	RDTGROUP_SUPER_MAGIC,
	0x19800202 /* mqueue */,
	0x62656570 /* configfs */,
	0x65735543 /* fusectl */,
};

/* Where a file keeps its birth time for life. */
static const unsigned long btime_magic[] = {
	EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, F2FS_SUPER_MAGIC,
};

static bool has_magic(const unsigned long *list, size_t nr, unsigned long magic)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (list[i] == magic)
			return true;
	return false;
}

bool host_is_procfs(int hostfd)
{
	struct statfs fs;

	return HOST(fstatfs(hostfd, &fs)) < 0 || fs.f_type == PROC_SUPER_MAGIC;
}

void host_probe_dev(int hostfd, struct hostfs_dev *ret_dev)
{
	struct statfs fs;

	ret_dev->masked = true; /* what cannot be told is kept out */
	ret_dev->has_btime = false;
	if (hostfd < 0 || HOST(fstatfs(hostfd, &fs)) < 0)
		return;
	ret_dev->masked = has_magic(pseudo_magic, sizeof(pseudo_magic) / sizeof(pseudo_magic[0]),
				    (unsigned long)fs.f_type);
	ret_dev->has_btime = has_magic(btime_magic, sizeof(btime_magic) / sizeof(btime_magic[0]),
				       (unsigned long)fs.f_type);
}

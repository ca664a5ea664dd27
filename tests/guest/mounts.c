/*
 * mount(2), umount2(2), pivot_root(2) and the newer calls, in a mount namespace of the test's own.
 * Runs as root.
 */
#include "report.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#ifndef MS_RDONLY
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_PRIVATE (1 << 18)
#endif
#define MNT_FORCE_ 1
#define MNT_DETACH_ 2
#define MNT_EXPIRE_ 4
#define UMOUNT_NOFOLLOW_ 8

static int mnt(const char *src, const char *dst, const char *type, unsigned long flags, const char *data)
{
	return syscall(SYS_mount, src, dst, type, flags, data);
}

static int umnt(const char *dst, int flags)
{
	return syscall(SYS_umount2, dst, flags);
}

static void make(const char *name)
{
	close(MUST(open(name, O_CREAT | O_RDWR, 0644)));
}

static void plain(void)
{
	struct stat a, b;
	int fd;

	MUST(mkdir("m", 0755));
	make("m/below");
	make("file");
	MUST(stat("m", &a));
	SHOW("mount tmpfs", mnt("none", "m", "tmpfs", 0, "mode=0711"));
	MUST(stat("m", &b));
	printf("other device %d, mode %o\n", a.st_dev != b.st_dev, b.st_mode & 07777);
	SHOW("covered", access("m/below", F_OK));
	make("m/inside");
	SHOW("rmdir of a mount point", rmdir("m"));
	SHOW("rename of a mount point", rename("m", "m2"));
	SHOW("link over the border", link("m/inside", "out"));
	SHOW("rename over the border", rename("m/inside", "out"));
	SHOW("mount unknown type", mnt("none", "m", "nosuchfs", 0, NULL));
	SHOW("mount without type", mnt("none", "m", NULL, 0, NULL));
	SHOW("mount on a file", mnt("none", "file", "tmpfs", 0, NULL));
	SHOW("mount on nothing", mnt("none", "missing", "tmpfs", 0, NULL));
	SHOW("mount bad option", mnt("none", "m", "tmpfs", 0, "nosuchoption"));
	SHOW("mount bad target", mnt("none", (char *)8, "tmpfs", 0, NULL));
	SHOW("mount bad type", mnt("none", "m", (char *)8, 0, NULL));
	fd = MUST(open("m/inside", O_RDONLY));
	SHOW("busy", umnt("m", 0));
	close(fd);
	SHOW("umount no mount point", umnt("file", 0));
	SHOW("umount missing", umnt("missing", 0));
	SHOW("umount bad flag", umnt("m", 64));
	SHOW("expire, first", umnt("m", MNT_EXPIRE_));
	SHOW("expire, second", umnt("m", MNT_EXPIRE_));
	SHOW("uncovered", access("m/below", F_OK));
	MUST(symlink("m", "ml"));
	MUST(mnt("none", "m", "tmpfs", 0, NULL));
	SHOW("umount a link, nofollow", umnt("ml", UMOUNT_NOFOLLOW_));
	fd = MUST(open("m/kept", O_CREAT | O_RDWR, 0600));
	SHOW("detach", umnt("ml", MNT_DETACH_));
	SHOW("file of the detached", write(fd, "x", 1));
	SHOW("gone from the tree", access("m/kept", F_OK));
	close(fd);
}

static void stacks(void)
{
	MUST(mnt("one", "m", "tmpfs", 0, NULL));
	make("m/one");
	MUST(mnt("two", "m", "tmpfs", 0, NULL));
	make("m/two");
	SHOW("lower is covered", access("m/one", F_OK));
	SHOW("umount upper", umnt("m", 0));
	SHOW("lower is back", access("m/one", F_OK));
	SHOW("umount lower", umnt("m", 0));
	SHOW("nothing left", umnt("m", 0));
}

static void flags(void)
{
	struct statvfs vfs;

	MUST(mnt("none", "m", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	MUST(statvfs("m", &vfs));
	printf("nosuid %d nodev %d noexec %d rdonly %d\n", (vfs.f_flag & ST_NOSUID) != 0,
	       (vfs.f_flag & ST_NODEV) != 0, (vfs.f_flag & ST_NOEXEC) != 0,
	       (vfs.f_flag & ST_RDONLY) != 0);
	make("m/f");
	MUST(chmod("m/f", 0755));
	SHOW("access noexec", access("m/f", X_OK));
	SHOW("exec noexec", execl("m/f", "f", NULL));
	MUST(mknod("m/null", S_IFCHR | 0666, 0x103));
	SHOW("device on nodev", open("m/null", O_RDWR));
	SHOW("remount read-only", mnt(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	SHOW("create", open("m/g", O_CREAT | O_RDWR, 0600));
	SHOW("open for writing", open("m/f", O_RDWR));
	SHOW("access for writing", access("m/f", W_OK));
	SHOW("chmod", chmod("m/f", 0600));
	SHOW("unlink", unlink("m/f"));
	SHOW("mkdir", mkdir("m/d", 0700));
	SHOW("mkdir existing", mkdir("m/f", 0700));
	SHOW("utimes", utimensat(AT_FDCWD, "m/f", NULL, 0));
	SHOW("truncate", truncate("m/f", 0));
	SHOW("remount writable", mnt(NULL, "m", NULL, MS_REMOUNT, NULL));
	int fd = MUST(open("m/f", O_RDWR));
	SHOW("remount read-only, a writer", mnt(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
	close(fd);
	SHOW("remount no mount point", mnt(NULL, "m/f", NULL, MS_REMOUNT, NULL));
	MUST(umnt("m", 0));
}

static void binds(void)
{
	MUST(mkdir("src", 0755));
	MUST(mkdir("src/sub", 0755));
	make("src/f");
	SHOW("bind", mnt("src", "m", NULL, MS_BIND, NULL));
	SHOW("seen", access("m/f", F_OK));
	make("m/new");
	SHOW("the same files", access("src/new", F_OK));
	SHOW("rename over the border", rename("m/new", "src/new2"));
	SHOW("bind read-only", mnt(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	SHOW("write in the bind", open("m/f", O_RDWR));
	SHOW("write in the source", open("src/f", O_RDWR) > 0);
	SHOW("umount", umnt("m", 0));
	SHOW("bind a file", mnt("src/f", "file", NULL, MS_BIND, NULL));
	SHOW("file on directory", mnt("src/f", "m", NULL, MS_BIND, NULL));
	SHOW("directory on file", mnt("src", "file", NULL, MS_BIND, NULL));
	SHOW("umount the file", umnt("file", 0));
	MUST(mnt("none", "src/sub", "tmpfs", 0, NULL));
	make("src/sub/deep");
	MUST(mnt("src", "m", NULL, MS_BIND, NULL));
	SHOW("plain bind stops at mounts", access("m/sub/deep", F_OK));
	MUST(umnt("m", 0));
	MUST(mnt("src", "m", NULL, MS_BIND | MS_REC, NULL));
	SHOW("recursive bind", access("m/sub/deep", F_OK));
	SHOW("umount with a child", umnt("m", 0));
	SHOW("detach with a child", umnt("m", MNT_DETACH_));
	SHOW("child of the source stays", access("src/sub/deep", F_OK));
	SHOW("bind missing", mnt("missing", "m", NULL, MS_BIND, NULL));
	MUST(mkdir("to", 0755));
	SHOW("move", mnt("src/sub", "to", NULL, MS_MOVE, NULL));
	SHOW("moved", access("to/deep", F_OK));
	SHOW("move no mount point", mnt("src", "m", NULL, MS_MOVE, NULL));
	SHOW("umount moved", umnt("to", 0));
	MUST(mnt("none", "m", "tmpfs", 0, NULL));
	MUST(mkdir("m/in", 0755));
	SHOW("move below itself", mnt("m", "m/in", NULL, MS_MOVE, NULL));
	MUST(umnt("m", 0));
}

static void contexts(void)
{
	int fs, mount, tree;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	SHOW("fsopen unknown", syscall(SYS_fsopen, "nosuchfs", 0));
	SHOW("fsopen bad flag", syscall(SYS_fsopen, "tmpfs", 64));
	fs = SHOW_FD("fsopen", syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
	SHOW("fsmount too early", syscall(SYS_fsmount, fs, 0, 0));
	SHOW("set string", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0750", 0));
	SHOW("set flag", syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0));
	SHOW("set writable again", syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "rw", NULL, 0));
	SHOW("set unknown", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nosuch", "x", 0));
	SHOW("set without value", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", NULL, 0));
	SHOW("bad command", syscall(SYS_fsconfig, fs, 99, NULL, NULL, 0));
	SHOW("not a context", syscall(SYS_fsconfig, 1, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	SHOW("create", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	SHOW("create again", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	SHOW("set after create", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0750", 0));
	SHOW("fsmount bad attributes", syscall(SYS_fsmount, fs, 0, 1 << 30));
	mount = SHOW_FD("fsmount", syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID));
	SHOW("use it detached", close(openat(mount, "made", O_CREAT | O_RDWR, 0600)));
	SHOW("move_mount", syscall(SYS_move_mount, mount, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH));
	SHOW("in the tree", access("m/made", F_OK));
	struct stat st;
	MUST(stat("m", &st));
	printf("mode %o\n", st.st_mode & 07777);
	SHOW("fsmount again", syscall(SYS_fsmount, fs, 0, 0));
	close(fs);
	close(mount);
	SHOW("stays", access("m/made", F_OK));
	SHOW("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &attr, sizeof(attr)));
	SHOW("read-only", open("m/x", O_CREAT | O_RDWR, 0600));
	attr = (struct mount_attr){ .attr_clr = MOUNT_ATTR_RDONLY };
	SHOW("mount_setattr clears", syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &attr, sizeof(attr)));
	SHOW("writable", close(open("m/x", O_CREAT | O_RDWR, 0600)));
	attr = (struct mount_attr){ .attr_set = 1 << 30 };
	SHOW("mount_setattr unknown", syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &attr, sizeof(attr)));
	attr = (struct mount_attr){ .attr_set = MOUNT_ATTR_NOATIME };
	SHOW("atime without clearing", syscall(SYS_mount_setattr, AT_FDCWD, "m", 0, &attr, sizeof(attr)));
	SHOW("mount_setattr no mount", syscall(SYS_mount_setattr, AT_FDCWD, "m/x", 0, &attr, sizeof(attr)));
	tree = SHOW_FD("open_tree", syscall(SYS_open_tree, AT_FDCWD, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	SHOW("clone has the files", faccessat(tree, "made", F_OK, 0));
	SHOW("attach the clone", syscall(SYS_move_mount, tree, "", AT_FDCWD, "to", MOVE_MOUNT_F_EMPTY_PATH));
	SHOW("same files", access("to/made", F_OK));
	close(tree);
	SHOW("umount the clone", umnt("to", 0));
	tree = SHOW_FD("open_tree without clone", syscall(SYS_open_tree, AT_FDCWD, "m", 0));
	SHOW("is a path", read(tree, &st, 1));
	close(tree);
	SHOW("open_tree recursive without clone", syscall(SYS_open_tree, AT_FDCWD, "m", AT_RECURSIVE));
	fs = SHOW_FD("fspick", syscall(SYS_fspick, AT_FDCWD, "m", FSPICK_CLOEXEC));
	SHOW("pick: read-only", syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0));
	SHOW("pick: reconfigure", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
	SHOW("read-only", open("m/y", O_CREAT | O_RDWR, 0600));
	close(fs);
	SHOW("fspick no mount", syscall(SYS_fspick, AT_FDCWD, "file", 0));
	SHOW("umount", umnt("m", 0));
}

static void pivot(void)
{
	int status;

	fflush(stdout);
	if (fork() == 0) {
		MUST(unshare(CLONE_NEWNS));
		MUST(mnt("none", "to", "tmpfs", 0, NULL));
		MUST(mkdir("to/d", 0755));
		SHOW("pivot to no mount point", syscall(SYS_pivot_root, "to/d", "to/d"));
		MUST(mnt("none", "m", "tmpfs", 0, NULL));
		MUST(mkdir("m/old", 0755));
		make("m/marker");
		SHOW("put_old elsewhere", syscall(SYS_pivot_root, "m", "to"));
		MUST(chdir("m"));
		SHOW("pivot_root", syscall(SYS_pivot_root, ".", "old"));
		SHOW("new root", access("/marker", F_OK));
		SHOW("old root", access("/old/proc", F_OK));
		MUST(chdir("/"));
		SHOW("drop the old one", umnt("/old", MNT_DETACH_));
		SHOW("empty", access("/old/proc", F_OK));
		SHOW("pivot onto itself", syscall(SYS_pivot_root, ".", "."));
		fflush(stdout);
		_exit(0);
	}
	wait(&status);
	SHOW("outside nothing changed", access("m/marker", F_OK));
}

static void separate(void)
{
	int status, p[2], q[2];
	char c;

	MUST(pipe(p));
	MUST(pipe(q));
	fflush(stdout);
	if (fork() == 0) {
		MUST(unshare(CLONE_NEWNS));
		MUST(mnt("none", "m", "tmpfs", 0, NULL));
		make("m/private");
		write(p[1], "x", 1);
		read(q[0], &c, 1);
		SHOW("the other one's mount", access("to/theirs", F_OK));
		fflush(stdout);
		_exit(0);
	}
	read(p[0], &c, 1);
	SHOW("mount of another namespace", access("m/private", F_OK));
	MUST(mnt("none", "to", "tmpfs", 0, NULL));
	make("to/theirs");
	write(q[1], "x", 1);
	wait(&status);
	umnt("to", 0);
}

static int in_clone(void *unused)
{
	(void)unused;
	_exit(mnt("none", "cloned", "tmpfs", 0, NULL) == 0 && access("cloned/below", F_OK) != 0 ? 7 : 1);
}

/* clone(2) itself, as fusermount3 calls it for auto_unmount. */
static void cloned(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	int status = 0, pid;

	MUST(mkdir("cloned", 0755));
	make("cloned/below");
	pid = MUST(clone(in_clone, stack + sizeof(stack), CLONE_NEWNS, NULL));
	MUST(waitpid(pid, &status, __WALL));
	printf("child of clone(CLONE_NEWNS) has mounts of its own: %d\n", WEXITSTATUS(status));
	printf("the parent does not see them: %d\n", access("cloned/below", F_OK));
	pid = MUST(clone(in_clone, stack + sizeof(stack), SIGCHLD, NULL));
	MUST(waitpid(pid, &status, 0));
	printf("a child of clone shares them: %d %d\n", WEXITSTATUS(status), access("cloned/below", F_OK));
	MUST(umnt("cloned", 0));
	SHOW("CLONE_NEWNS with CLONE_FS", clone(in_clone, stack + sizeof(stack), CLONE_NEWNS | CLONE_FS, NULL));
}

int main(void)
{
	if (getuid()) {
		printf("not root\n");
		return 0;
	}
	/* statx and the like look at real paths: stay in the directory. */
	MUST(unshare(CLONE_NEWNS));
	MUST(mnt("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	plain();
	stacks();
	flags();
	binds();
	contexts();
	pivot();
	separate();
	cloned();
	return 0;
}

/* fcntl(2) locks, OFD locks, flock(2). */
#include "report.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static int lock(int fd, int cmd, int type, long start, long len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &fl);
}

static pid_t holder;

static void ask(const char *what, int fd, int cmd, int type, long start, long len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	int err = fcntl(fd, cmd, &fl);

	if (err)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else if (fl.l_type == F_UNLCK)
		printf("%s: free\n", what);
	else
		printf("%s: %s %ld+%ld whence %d by %s\n", what, fl.l_type == F_RDLCK ? "read" : "write", (long)fl.l_start,
		       (long)fl.l_len, fl.l_whence, fl.l_pid == holder ? "the holder" : fl.l_pid == -1 ? "a description" : "somebody");
}

/* Runs body in a child that locks, tells, and stays until killed. */
#define HOLD(body)                                                                                 \
	do {                                                                                       \
		int ready_[2];                                                                     \
		char c_;                                                                           \
		MUST(pipe(ready_));                                                                \
		fflush(stdout);                                                                    \
		holder = fork();                                                                   \
		if (holder == 0) {                                                                 \
			body;                                                                      \
			fflush(stdout);                                                            \
			write(ready_[1], "x", 1);                                                  \
			pause();                                                                   \
			_exit(0);                                                                  \
		}                                                                                  \
		read(ready_[0], &c_, 1);                                                           \
		close(ready_[0]);                                                                  \
		close(ready_[1]);                                                                  \
	} while (0)

static void release(void)
{
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
}

static void posix(void)
{
	int fd = MUST(open("l", O_CREAT | O_RDWR, 0600)), ro = MUST(open("l", O_RDONLY));
	struct flock bad = { .l_type = F_WRLCK, .l_whence = 9 };

	MUST(ftruncate(fd, 1000));
	SHOW("lock", lock(fd, F_SETLK, F_WRLCK, 10, 20));
	SHOW("own locks do not conflict", lock(fd, F_SETLK, F_RDLCK, 0, 100));
	ask("own locks are not seen", fd, F_GETLK, F_WRLCK, 0, 0);
	SHOW("unlock", lock(fd, F_SETLK, F_UNLCK, 0, 0));
	SHOW("write lock read-only", lock(ro, F_SETLK, F_WRLCK, 0, 1));
	SHOW("read lock read-only", lock(ro, F_SETLK, F_RDLCK, 0, 1));
	SHOW("bad whence", fcntl(fd, F_SETLK, &bad));
	SHOW("bad type", lock(fd, F_SETLK, 9, 0, 1));
	SHOW("bad address", fcntl(fd, F_SETLK, 8L));
	SHOW("negative start", lock(fd, F_SETLK, F_WRLCK, -1, 1));
	SHOW("negative length", lock(fd, F_SETLK, F_WRLCK, 10, -5));
	SHOW("overflow", lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 2));
	SHOW("GETLK of nothing", ({ struct flock fl = { .l_type = F_UNLCK }; fcntl(fd, F_GETLK, &fl); }));
	SHOW("pipe", ({ int p[2]; pipe(p); long r = lock(p[0], F_SETLK, F_RDLCK, 0, 1); int e = errno; close(p[0]); close(p[1]); errno = e; r; }));
	HOLD(lock(fd, F_SETLK, F_UNLCK, 0, 0); lock(fd, F_SETLK, F_WRLCK, 100, 50); lock(fd, F_SETLK, F_RDLCK, 200, 0));
	ask("whole file", fd, F_GETLK, F_WRLCK, 0, 0);
	ask("before", fd, F_GETLK, F_WRLCK, 0, 100);
	ask("touching", fd, F_GETLK, F_RDLCK, 149, 1);
	ask("just behind", fd, F_GETLK, F_RDLCK, 150, 10);
	ask("read against read", fd, F_GETLK, F_RDLCK, 250, 1);
	ask("write against read to the end", fd, F_GETLK, F_WRLCK, 5000, 1);
	SHOW("try", lock(fd, F_SETLK, F_WRLCK, 120, 1));
	SHOW("try read", lock(fd, F_SETLK, F_RDLCK, 300, 1));
	release();
	SHOW("free after death", lock(fd, F_SETLK, F_WRLCK, 120, 1));
	/* Splitting, and merging again. */
	HOLD(lock(fd, F_SETLK, F_UNLCK, 0, 0); lock(fd, F_SETLK, F_WRLCK, 0, 30); lock(fd, F_SETLK, F_UNLCK, 10, 10); lock(fd, F_SETLK, F_RDLCK, 25, 10));
	SHOW("left part", lock(fd, F_SETLK, F_WRLCK, 5, 1));
	SHOW("hole", lock(fd, F_SETLK, F_WRLCK, 10, 10));
	ask("right part", fd, F_GETLK, F_WRLCK, 20, 1);
	ask("changed part", fd, F_GETLK, F_WRLCK, 25, 1);
	release();
	/* Any close drops all. */
	HOLD(lock(fd, F_SETLK, F_WRLCK, 0, 0); close(open("l", O_RDONLY)));
	SHOW("close of another descriptor dropped it", lock(fd, F_SETLK, F_WRLCK, 0, 0));
	release();
	HOLD(int other = dup(fd); lock(fd, F_SETLK, F_UNLCK, 0, 0));
	SHOW("not inherited over fork", lock(fd, F_SETLK, F_WRLCK, 0, 0));
	release();
	close(fd);
	close(ro);
}

/* 1: the lock came; 2: EDEADLK. */
static int wait_for_lock(int fd, off_t start)
{
	return lock(fd, F_SETLKW, F_WRLCK, start, 1) == 0 ? 1 : errno == EDEADLK ? 2 : 10;
}

static void waiting(void)
{
	int fd = MUST(open("w", O_CREAT | O_RDWR, 0600)), status, go[2], mine;
	pid_t child;

	MUST(pipe(go));
	HOLD(lock(fd, F_SETLK, F_WRLCK, 0, 1); if (!fork()) { usleep(50000); kill(getppid(), SIGKILL); _exit(0); });
	SHOW("waits until the holder dies", lock(fd, F_SETLKW, F_WRLCK, 0, 1));
	waitpid(holder, NULL, 0);
	child = fork();
	if (child == 0) {
		lock(fd, F_SETLK, F_WRLCK, 10, 1);
		write(go[1], "x", 1);
		_exit(wait_for_lock(fd, 0));
	}
	read(go[0], &status, 1);
	mine = wait_for_lock(fd, 10);
	lock(fd, F_SETLK, F_UNLCK, 0, 0);
	waitpid(child, &status, 0);
	/* Whoever comes second is told, and lets go by unlocking or by its end. */
	printf("deadlock: one is told and the other gets its lock: %d\n", mine + WEXITSTATUS(status));
	close(fd);
	close(go[0]);
	close(go[1]);
}

static void descriptions(void)
{
	int a = MUST(open("o", O_CREAT | O_RDWR, 0600)), b = MUST(open("o", O_RDWR)), c = MUST(dup(a));
	struct flock fl = { .l_type = F_WRLCK, .l_pid = 1 };

	holder = 0;
	SHOW("OFD lock", lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	SHOW("other description", lock(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	SHOW("duplicate", lock(c, F_OFD_SETLK, F_RDLCK, 5, 1));
	SHOW("POSIX lock against it", lock(b, F_SETLK, F_WRLCK, 0, 1));
	ask("who", b, F_OFD_GETLK, F_WRLCK, 0, 0);
	ask("who, POSIX", b, F_GETLK, F_WRLCK, 0, 0);
	SHOW("l_pid must be 0", fcntl(b, F_OFD_SETLK, &fl));
	close(c);
	SHOW("close of a duplicate keeps it", lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	if (fork() == 0) {
		close(a);
		_exit(0);
	}
	wait(NULL);
	SHOW("child's close keeps it", lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	close(a);
	SHOW("last close drops it", lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	close(b);
}

static void whole(void)
{
	int a = MUST(open("f", O_CREAT | O_RDWR, 0600)), b = MUST(open("f", O_RDONLY)), c = MUST(dup(a)), status;

	TRY(flock(a, LOCK_EX));
	SHOW("other description", flock(b, LOCK_EX | LOCK_NB));
	SHOW("shared against exclusive", flock(b, LOCK_SH | LOCK_NB));
	SHOW("duplicate", flock(c, LOCK_EX | LOCK_NB));
	SHOW("downgrade", flock(a, LOCK_SH));
	SHOW("shared", flock(b, LOCK_SH | LOCK_NB));
	SHOW("upgrade", flock(a, LOCK_EX | LOCK_NB));
	SHOW("lost by the failed upgrade", flock(b, LOCK_EX | LOCK_NB));
	TRY(flock(b, LOCK_UN));
	TRY(flock(a, 0));
	TRY(flock(a, LOCK_SH | LOCK_EX));
	TRY(flock(99, LOCK_SH));
	SHOW("flock and POSIX do not meet", (flock(a, LOCK_EX), lock(b, F_SETLK, F_RDLCK, 0, 0)));
	SHOW("O_PATH", flock(open("f", O_PATH), LOCK_SH));
	if (fork() == 0)
		_exit(flock(a, LOCK_UN) ? 1 : 0);
	wait(&status);
	SHOW("unlocked by the child", flock(b, LOCK_EX | LOCK_NB));
	if (fork() == 0) {
		usleep(30000);
		flock(b, LOCK_UN);
		_exit(0);
	}
	SHOW("waits", flock(a, LOCK_EX));
	wait(&status);
	closefrom(3);
}

int main(void)
{
	posix();
	waiting();
	descriptions();
	whole();
	return 0;
}

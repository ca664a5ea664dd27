/* User and group ids, groups, capabilities (credentials(7), capabilities(7)). Runs as root. */
#include "report.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* The raw calls: libc's change all threads, which is not what is tested here. */
#define R(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

static int capset_raw(uint64_t eff, uint64_t perm, uint64_t inh)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { { eff, perm, inh }, { eff >> 32, perm >> 32, inh >> 32 } };

	return syscall(SYS_capset, &h, d);
}

static void capget_raw(uint64_t *eff, uint64_t *perm, uint64_t *inh)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	syscall(SYS_capget, &h, d);
	*eff = d[0].effective | (uint64_t)d[1].effective << 32;
	*perm = d[0].permitted | (uint64_t)d[1].permitted << 32;
	*inh = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
}

static void show_ids(const char *what)
{
	uid_t u[3];
	gid_t g[3];
	uid_t fsu = setfsuid(-1);
	gid_t fsg = setfsgid(-1);

	getresuid(&u[0], &u[1], &u[2]);
	getresgid(&g[0], &g[1], &g[2]);
	printf("%s: uid %d %d %d %d gid %d %d %d %d\n", what, u[0], u[1], u[2], fsu, g[0], g[1], g[2], fsg);
}

static int has(int cap, int set)
{
	uint64_t v[3];

	capget_raw(&v[0], &v[1], &v[2]);
	return v[set] >> cap & 1;
}

static void show_caps(const char *what)
{
	printf("%s: CAP_CHOWN effective %d permitted %d inheritable %d\n", what, has(CAP_CHOWN, 0),
	       has(CAP_CHOWN, 1), has(CAP_CHOWN, 2));
}

#define IN_CHILD(body)                                                                             \
	do {                                                                                       \
		fflush(stdout);                                                                    \
		pid_t pid_ = fork();                                                               \
		int status_;                                                                       \
		if (pid_ == 0) {                                                                   \
			body;                                                                      \
			fflush(stdout);                                                            \
			_exit(0);                                                                  \
		}                                                                                  \
		waitpid(pid_, &status_, 0);                                                        \
		if (status_)                                                                       \
			printf("child failed: %d\n", status_);                                     \
	} while (0)

static void as_root(void)
{
	show_ids("start");
	show_caps("start");
	SHOW("setuid -1", R(setuid, -1));
	SHOW("setgid -1", R(setgid, -1));
	IN_CHILD(SHOW("setuid", R(setuid, 1000)); show_ids("setuid"); show_caps("setuid");
		 SHOW("back", R(setuid, 0)); SHOW("own", R(setuid, 1000)));
	IN_CHILD(SHOW("seteuid", R(setresuid, -1, 1000, -1)); show_ids("seteuid"); show_caps("seteuid");
		 SHOW("back", R(setresuid, -1, 0, -1)); show_ids("back"); show_caps("back"));
	IN_CHILD(SHOW("setreuid", R(setreuid, 1000, 2000)); show_ids("setreuid");
		 SHOW("swap", R(setreuid, 2000, 1000)); show_ids("swap");
		 SHOW("foreign", R(setreuid, 3000, -1)); SHOW("foreign", R(setreuid, -1, 3000)));
	IN_CHILD(SHOW("setreuid real only", R(setreuid, 1000, -1)); show_ids("real only"));
	IN_CHILD(SHOW("setresuid", R(setresuid, 1, 2, 3)); show_ids("setresuid");
		 SHOW("permute", R(setresuid, 3, 1, 2)); show_ids("permute");
		 SHOW("foreign", R(setresuid, 4, -1, -1)); SHOW("nothing", R(setresuid, -1, -1, -1)));
	IN_CHILD(SHOW("setgid", R(setgid, 1000)); show_ids("setgid"));
	IN_CHILD(SHOW("setregid", R(setregid, 1000, 2000)); show_ids("setregid"));
	IN_CHILD(SHOW("setresgid", R(setresgid, 1, 2, 3)); show_ids("setresgid"); R(setuid, 5);
		 SHOW("foreign", R(setresgid, 9, -1, -1)); SHOW("permute", R(setresgid, 2, 3, 1));
		 SHOW("setgid to a saved one", R(setgid, 1)); show_ids("setgid"));
	IN_CHILD(SHOW("setfsuid", R(setfsuid, 1000)); show_ids("setfsuid");
		 printf("CAP_DAC_OVERRIDE %d CAP_SETUID %d\n", has(CAP_DAC_OVERRIDE, 0), has(CAP_SETUID, 0));
		 SHOW("setfsuid back", R(setfsuid, 0)); printf("CAP_DAC_OVERRIDE %d\n", has(CAP_DAC_OVERRIDE, 0)));
	IN_CHILD(R(setuid, 1000); SHOW("setfsuid foreign", R(setfsuid, 5)); show_ids("unchanged"));
}

static void groups(void)
{
	gid_t list[3] = { 30, 10, 20 }, got[4];

	IN_CHILD(SHOW("setgroups", R(setgroups, 3, list)); SHOW("count", R(getgroups, 0, NULL));
		 SHOW("getgroups", R(getgroups, 4, got)); printf("%d %d %d\n", got[0], got[1], got[2]);
		 SHOW("getgroups small", R(getgroups, 2, got)); SHOW("getgroups negative", R(getgroups, -1, got));
		 SHOW("getgroups nowhere", R(getgroups, 4, 8L)); SHOW("setgroups negative", R(setgroups, -1, list));
		 SHOW("setgroups many", R(setgroups, 65537, list)); SHOW("setgroups bad", R(setgroups, 3, 8L));
		 R(setuid, 1000); SHOW("setgroups without capability", R(setgroups, 0, NULL)));
}

static void permissions(void)
{
	gid_t group = 500;

	MUST(chmod(".", 0777));
	close(MUST(open("root600", O_CREAT | O_RDWR, 0600)));
	close(MUST(open("group640", O_CREAT | O_RDWR, 0640)));
	MUST(chown("group640", 0, 500));
	close(MUST(open("none", O_CREAT | O_RDWR, 0)));
	MUST(mkdir("closed", 0700));
	close(MUST(open("closed/in", O_CREAT | O_RDWR, 0666)));
	MUST(mkdir("sticky", 0700));
	MUST(chmod("sticky", 01777));
	close(MUST(open("sticky/root's", O_CREAT | O_RDWR, 0666)));
	IN_CHILD(R(setgroups, 1, &group); R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000);
		 SHOW_FD("root's file", open("root600", O_RDONLY)); SHOW_FD("group's file", open("group640", O_RDONLY));
		 SHOW_FD("group's file, write", open("group640", O_RDWR)); SHOW_FD("into a closed directory", open("closed/in", O_RDONLY));
		 SHOW("chdir closed", chdir("closed")); SHOW("sticky unlink", unlink("sticky/root's"));
		 SHOW("sticky rename", rename("sticky/root's", "mine")); SHOW("sticky create", open("sticky/mine", O_CREAT | O_RDWR, 0600) > 0);
		 SHOW("sticky own", unlink("sticky/mine")); SHOW("mknod device", mknod("dev", S_IFCHR | 0600, 0x103));
		 SHOW("mknod fifo", mkfifo("ff", 0600)); SHOW("chroot", chroot(".")); SHOW("mount", syscall(SYS_mount, "none", ".", "tmpfs", 0, 0));
		 SHOW("sethostname", sethostname("x", 1)); SHOW("hard link to another's", link("root600", "hl"));
		 SHOW("kill init", kill(1, SIGHUP)); SHOW("access", access("group640", R_OK)); SHOW("access", access("group640", W_OK)));
	IN_CHILD(R(setresuid, 1000, 0, -1); SHOW("access asks for the real id", access("root600", R_OK));
		 SHOW("faccessat effective", faccessat(AT_FDCWD, "root600", R_OK, AT_EACCESS)); SHOW_FD("open uses the effective", open("root600", O_RDONLY)));
	IN_CHILD(R(setfsuid, 1000); SHOW_FD("fsuid decides", open("root600", O_RDONLY));
		 int fd = SHOW_FD("and owns", open("fsuid", O_CREAT | O_RDWR, 0600)); struct stat st; fstat(fd, &st); printf("owner %d\n", st.st_uid));
	SHOW_FD("root opens mode 0", open("none", O_RDWR));
	SHOW("root may not execute it", access("none", X_OK));
	IN_CHILD(uint64_t e; uint64_t p; uint64_t i; capget_raw(&e, &p, &i); SHOW("give up effective", capset_raw(0, p, i)); SHOW_FD("root without capabilities", open("none", O_RDWR)); SHOW_FD("own file", open("root600", O_RDWR)));
	closefrom(3);
}

static void signals(void)
{
	int ready[2];
	pid_t victim;
	char c;

	MUST(pipe(ready));
	victim = fork();
	if (victim == 0) {
		R(setresuid, 2000, 2000, 2000);
		write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	MUST(read(ready[0], &c, 1));
	IN_CHILD(R(setresuid, 1000, 1000, 1000); SHOW("signal to another user", kill(victim, SIGUSR1)); SHOW("signal 0 to another user", kill(victim, 0));
		 SHOW("SIGCONT in the session", kill(victim, SIGCONT)));
	IN_CHILD(R(setresuid, 2000, 1000, 1000); SHOW("real id of the sender counts", kill(victim, 0)));
	IN_CHILD(R(setresuid, 1000, 2000, 1000); SHOW("effective id counts", kill(victim, 0)));
	IN_CHILD(R(setresuid, 1000, 1000, 2000); SHOW("saved id of the sender does not", kill(victim, 0)));
	SHOW("root may", kill(victim, SIGKILL));
	waitpid(victim, NULL, 0);
}

static void capabilities(void)
{
	struct __user_cap_header_struct h = { 0x12345, 0 };
	struct __user_cap_data_struct d[2];
	uint64_t all, eff, perm, inh;

	SHOW("capget version", R(capget, &h, NULL));
	printf("kernel version %#x\n", h.version);
	h.version = 0x12345;
	SHOW("capget bad version", R(capget, &h, d));
	h = (struct __user_cap_header_struct){ _LINUX_CAPABILITY_VERSION_3, -1 };
	SHOW("capget bad pid", R(capget, &h, d));
	h.pid = 4000000;
	SHOW("capget nobody", R(capget, &h, d));
	capget_raw(&all, &perm, &inh);
	IN_CHILD(SHOW("drop all but one", capset_raw(1ull << CAP_CHOWN, 1ull << CAP_CHOWN, 0)); show_caps("one");
		 SHOW("gain", capset_raw(1ull << CAP_KILL, 1ull << CAP_KILL, 0)); SHOW("inherit foreign", capset_raw(0, 0, 1ull << CAP_KILL));
		 SHOW("inherit own", capset_raw(1, 1, 1)); SHOW("effective beyond permitted", capset_raw(1, 0, 0));
		 SHOW("drop", capset_raw(0, 0, 0)); SHOW("chown now", chown("none", 5, 5)));
	IN_CHILD(SHOW("keep capabilities", prctl(PR_SET_KEEPCAPS, 1)); R(setresuid, 1000, 1000, 1000); show_caps("kept");
		 SHOW("raise", capset_raw(1ull << CAP_CHOWN, 1ull << CAP_CHOWN, 0)); show_caps("raised"); SHOW("chown", chown("none", 7, 7)));
	IN_CHILD(SHOW("keep 2", prctl(PR_SET_KEEPCAPS, 2)); SHOW("get keep", prctl(PR_GET_KEEPCAPS)));
	IN_CHILD(SHOW("no fixup", prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)); R(setresuid, 1000, 1000, 1000); show_caps("no fixup");
		 SHOW("get securebits", prctl(PR_GET_SECUREBITS)));
	IN_CHILD(SHOW("lock", prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED)); SHOW("locked", prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
		 SHOW("unlock", prctl(PR_SET_SECUREBITS, 0)));
	IN_CHILD(SHOW("bounding", prctl(PR_CAPBSET_READ, CAP_KILL)); SHOW("drop", prctl(PR_CAPBSET_DROP, CAP_KILL)); SHOW("bounding", prctl(PR_CAPBSET_READ, CAP_KILL));
		 SHOW("inherit dropped", capset_raw(perm, perm, 1ull << CAP_KILL)); SHOW("bad", prctl(PR_CAPBSET_READ, 77));
		 capset_raw(0, 0, 0); SHOW("drop without capability", prctl(PR_CAPBSET_DROP, CAP_CHOWN)));
	IN_CHILD(SHOW("ambient without inheritable", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0)); capset_raw(perm, perm, 1ull << CAP_CHOWN);
		 SHOW("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0)); SHOW("is set", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
		 capset_raw(perm, perm, 0); SHOW("gone with inheritable", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0));
		 SHOW("clear", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)); SHOW("bad", prctl(PR_CAP_AMBIENT, 9, 0, 0, 0)));
}

static char self[4096];

/* Who a program is after exec. */
static void over_exec(void)
{
	int fd = open(self, O_RDONLY), to = MUST(open("suid", O_CREAT | O_RDWR, 0755));
	static char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		MUST(write(to, buf, n));
	close(fd);
	close(to);
	MUST(chown("suid", 3000, 4000));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); execl("./suid", "creds", "plain exec", NULL));
	MUST(chmod("suid", 04755));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); execl("./suid", "creds", "set-uid exec", NULL));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); execl("./suid", "creds", "with no_new_privs", NULL));
	MUST(chmod("suid", 06755));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); execl("./suid", "creds", "set-uid and set-gid", NULL));
	MUST(chmod("suid", 02745));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); execl("./suid", "creds", "set-gid without execute", NULL));
	MUST(chown("suid", 0, 0));
	MUST(chmod("suid", 04755));
	IN_CHILD(R(setresgid, 1000, 1000, 1000); R(setresuid, 1000, 1000, 1000); execl("./suid", "creds", "set-uid root", NULL));
	IN_CHILD(capset_raw(0, 0, 0); execl("./suid", "creds", "root regains", NULL));
	MUST(chmod("suid", 0755));
	IN_CHILD(R(setresuid, 1000, 0, 0); execl("./suid", "creds", "effective root", NULL));
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		show_ids(argv[1]);
		show_caps(argv[1]);
		printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		return 0;
	}
	if (getuid()) {
		printf("not root\n");
		return 0;
	}
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	setgroups(0, NULL);
	as_root();
	groups();
	permissions();
	signals();
	capabilities();
	over_exec();
	return 0;
}

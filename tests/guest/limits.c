/* Resource limits, timers and sleeping, scheduling: what the host kernel does for the guest. */
#include "report.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>

static volatile int hits;

static void on_signal(int signo)
{
	hits++;
}

static long ms_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		body();
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void burn(void)
{
	struct rlimit rl = { 1, 2 };

	signal(SIGXCPU, on_signal);
	setrlimit(RLIMIT_CPU, &rl);
	while (!hits)
		;
	_exit(hits ? 5 : 6);
}

static void burn_default(void)
{
	struct rlimit rl = { 1, 1 };

	setrlimit(RLIMIT_CPU, &rl);
	for (;;)
		;
}

static void address_space(void)
{
	struct rlimit rl = { 256 << 20, 256 << 20 };

	setrlimit(RLIMIT_AS, &rl);
	SHOW("1 GiB under RLIMIT_AS", mmap(NULL, 1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
}

static void limits(void)
{
	struct rlimit rl, old;
	pid_t pid;

	printf("SIGXCPU caught: %d\n", child(burn));
	printf("SIGXCPU or SIGKILL: %d\n", child(burn_default) >= 1000);
	child(address_space);
	SHOW("getrlimit NOFILE", getrlimit(RLIMIT_NOFILE, &rl));
	rl = (struct rlimit){ 10, 5 };
	SHOW("soft above hard", setrlimit(RLIMIT_FSIZE, &rl));
	SHOW("bad pointer", syscall(SYS_getrlimit, RLIMIT_NOFILE, 8L));
	SHOW("null pointer", syscall(SYS_setrlimit, RLIMIT_NOFILE, 0L));
	rl = (struct rlimit){ 64, 128 };
	if ((pid = fork()) == 0) {
		pause();
		_exit(0);
	}
	SHOW("limit a child", prlimit(pid, RLIMIT_NOFILE, &rl, &old));
	SHOW("ask for it", prlimit(pid, RLIMIT_NOFILE, NULL, &old));
	printf("child has %ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if ((pid = fork()) == 0) {
		setrlimit(RLIMIT_NOFILE, &rl);
		execl("/bin/sh", "sh", "-c", "ulimit -n; ulimit -Hn", NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	rl = (struct rlimit){ 2000000, 2000000 };
	SHOW("beyond fs.nr_open", setrlimit(RLIMIT_NOFILE, &rl));
}

static void sleeping(void)
{
	struct timespec ts = { 0, 30000000 }, bad = { 0, 1000000000 }, at;
	long start = ms_of(CLOCK_MONOTONIC);

	SHOW("nanosleep", nanosleep(&ts, NULL));
	CHECK(ms_of(CLOCK_MONOTONIC) - start >= 30);
	SHOW("nanosleep bad", nanosleep(&bad, NULL));
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += 20000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	printf("clock_nanosleep until: %d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL));
	printf("clock_nanosleep in the past: %d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ 1, 0 }, NULL));
	SHOW("clock_gettime bad", clock_gettime(77, &at));
	CHECK(ms_of(CLOCK_REALTIME) > 1600000000000);
}

static void timers(void)
{
	struct itimerval it = { { 0, 10000 }, { 0, 10000 } }, old;
	struct itimerspec its = { { 0, 5000000 }, { 0, 5000000 } };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	timer_t timer;

	signal(SIGALRM, on_signal);
	signal(SIGUSR1, on_signal);
	signal(SIGPROF, on_signal);
	hits = 0;
	SHOW("setitimer", setitimer(ITIMER_REAL, &it, NULL));
	while (hits < 3)
		pause();
	printf("interval timer came back\n");
	it = (struct itimerval){ { 0 } };
	SHOW("disarm", setitimer(ITIMER_REAL, &it, &old));
	printf("interval was %ld\n", (long)old.it_interval.tv_usec);
	SHOW("alarm", alarm(100));
	SHOW("alarm again", alarm(0));
	SHOW("bad timer", setitimer(9, &it, NULL));
	SHOW("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &timer));
	hits = 0;
	SHOW("timer_settime", timer_settime(timer, 0, &its, NULL));
	while (hits < 3)
		pause();
	SHOW("timer_delete", timer_delete(timer));
	SHOW("timer_delete again", timer_delete(timer));
	hits = 0;
	it = (struct itimerval){ { 0 }, { 0, 20000 } };
	setitimer(ITIMER_PROF, &it, NULL);
	while (!hits)
		;
	printf("profiling timer came\n");
	alarm(TEST_PATIENCE_S);
	signal(SIGALRM, SIG_DFL);
}

static void *nothing(void *arg)
{
	return NULL;
}

static void scheduling(void)
{
	struct sched_param param = { 0 };
	struct rusage usage;
	cpu_set_t set;

	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) >= 1);
	SHOW("setaffinity", sched_setaffinity(0, sizeof(set), &set));
	CPU_ZERO(&set);
	SHOW("setaffinity to nothing", sched_setaffinity(0, sizeof(set), &set));
	SHOW("getscheduler", sched_getscheduler(0));
	SHOW("getscheduler nobody", sched_getscheduler(4000000));
	SHOW("setscheduler batch", sched_setscheduler(0, SCHED_BATCH, &param));
	SHOW("getscheduler", sched_getscheduler(0));
	SHOW("setscheduler bad", sched_setscheduler(0, 99, &param));
	SHOW("getpriority", (errno = 0, getpriority(PRIO_PROCESS, 0)));
	SHOW("be nice", setpriority(PRIO_PROCESS, 0, 19));
	SHOW("getpriority", getpriority(PRIO_PROCESS, 0));
	SHOW("getpriority nobody", getpriority(PRIO_PROCESS, 4000000));
	SHOW("getrusage", getrusage(RUSAGE_SELF, &usage));
	CHECK(usage.ru_maxrss > 0);
	SHOW("getrusage bad", getrusage(99, &usage));
	CHECK(times(NULL) != (clock_t)-1);
	CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
}

int main(void)
{
	limits();
	sleeping();
	timers();
	scheduling();
	return 0;
}

/*
 * The guests' loader, on programs of the host and with a sentry that knows one call: the plan.
 * Needs a kernel with seccomp user notifications; no privilege.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sentry/exec.h"
#include "sentry/exec_internal.h"
#include "sentry/trap.h"
#include "vfs/cred.h"

#define OUTPUT_MAX 262144

struct run {
	/* in */
	const char *program;
	char *const *argv, *const *envp;
	const char *execfn;
	const char *prefix[4];
	bool secure;
	void (*tweak)(struct plan *plan);
	/* out */
	char output[OUTPUT_MAX];
	int status;
	uint64_t failed_step;
};

static ssize_t read_host(void *arg, void *buf, size_t len, int64_t pos)
{
	return pread(*(int *)arg, buf, len, pos);
}

static void load(const char *path, int *hostfd, struct elf_image *elf)
{
	const struct elf_source source = { read_host, hostfd };

	*hostfd = open(path, O_RDONLY | O_CLOEXEC);
	if (*hostfd < 0)
		cr_skip_test("no %s here", path);
	cr_assert_eq(elf_image_read(&source, elf), 0);
}

/* The part of exec_resolve() that needs no VFS. */
static void make_state(const struct run *run, struct exec_state *state)
{
	memset(state, 0, sizeof(*state));
	state->interp_hostfd = -1;
	state->filename = strdup(run->execfn ? run->execfn : run->program);
	snprintf(state->comm, sizeof(state->comm), "comm-of-test");
	for (; run->prefix[state->nr_prefix]; state->nr_prefix++)
		state->prefix[state->nr_prefix] = strdup(run->prefix[state->nr_prefix]);
	state->argv_drop = state->nr_prefix ? 1 : 0;
	state->secure = run->secure;
	load(run->program, &state->main_hostfd, &state->main_elf);
	if (state->main_elf.interp) {
		load(state->main_elf.interp, &state->interp_hostfd, &state->interp_elf);
		state->interp = (struct file *)state; /* only asked whether it is there */
	}
}

static _Noreturn void child(const struct run *run, int loader, int socket, int out)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FB_SYSCALL_PLAN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, filter };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "l", 1 };
	struct msghdr msg = { NULL, 0, &iov, 1, &control, sizeof(control), 0 };
	int listener;

	dup2(out, 1);
	dup3(loader, trap_reserved_fd(RESERVED_LOADER), 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(int));
	if (listener < 0 || sendmsg(socket, &msg, 0) != 1)
		_exit(101);
	syscall(SYS_execveat, trap_reserved_fd(RESERVED_LOADER), "", run->argv, run->envp,
		AT_EMPTY_PATH);
	_exit(102);
}

static int take_listener(int socket)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { NULL, 0, &iov, 1, space, sizeof(space), 0 };
	int listener = -1;

	cr_assert_eq(recvmsg(socket, &msg, 0), 1, "the child has no listener");
	memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return listener;
}

static void plant(int listener, uint64_t id, int hostfd, int which)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)hostfd,
		.newfd = (uint32_t)trap_reserved_fd(which),
		.newfd_flags = O_CLOEXEC,
	};

	if (hostfd >= 0)
		cr_assert_geq(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add), 0);
}

static void answer_plan(struct run *run, int listener, const struct seccomp_notif *notif)
{
	struct cred *cred = cred_new(1234, 1235, NULL, 0);
	struct seccomp_notif_resp resp = { .id = notif->id };
	struct exec_state state;
	struct iovec ours, theirs;
	struct plan *plan;

	make_state(run, &state);
	cr_assert_eq(exec_plan_build(&state, cred, &plan), 0);
	if (run->tweak)
		run->tweak(plan);
	ours = (struct iovec){ plan, plan->size };
	theirs = (struct iovec){ (void *)notif->data.args[0], plan->size };
	cr_assert_leq(plan->size, notif->data.args[1]);
	cr_assert_eq(process_vm_writev((pid_t)notif->pid, &ours, 1, &theirs, 1, 0), plan->size);
	plant(listener, notif->id, state.main_hostfd, RESERVED_MAIN);
	plant(listener, notif->id, state.interp_hostfd, RESERVED_INTERP);
	cr_assert_eq(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp), 0);
	close(state.main_hostfd);
	close(state.interp_hostfd);
	elf_image_free(&state.main_elf);
	elf_image_free(&state.interp_elf);
	for (unsigned i = 0; i < state.nr_prefix; i++)
		free(state.prefix[i]);
	free(state.filename);
	free(plan);
	cred_put(cred);
}

static void serve(struct run *run, int listener)
{
	struct seccomp_notif notif = { 0 };
	struct seccomp_notif_resp resp = { 0 };

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notif))
		return;
	if (notif.data.args[0]) {
		answer_plan(run, listener, &notif);
		return;
	}
	run->failed_step = notif.data.args[1];
	resp.id = notif.id;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

/* Runs to the end; collects standard output and the wait status. */
static void go(struct run *run)
{
	int loader, pair[2], out[2], listener;
	size_t len = 0;
	pid_t pid;

	trap_set_fd_limit(1024);
	loader = loader_memfd();
	cr_assert_geq(loader, 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		child(run, loader, pair[1], out[1]);
	close(out[1]);
	listener = take_listener(pair[0]);
	for (ssize_t got = 1; got > 0;) {
		struct pollfd fds[] = { { listener, POLLIN, 0 }, { out[0], POLLIN, 0 } };

		poll(fds, 2, -1);
		if (fds[0].revents & POLLIN)
			serve(run, listener);
		if (fds[1].revents) {
			got = read(out[0], run->output + len, OUTPUT_MAX - 1 - len);
			len += got > 0 ? (size_t)got : 0;
		}
	}
	run->output[len] = 0;
	waitpid(pid, &run->status, 0);
	close(loader);
	close(listener);
	close(out[0]);
	close(pair[0]);
	close(pair[1]);
}

static struct run *new_run(const char *program, char *const *argv)
{
	static char *env[] = { "FOO=bar", "PATH=/bin:/usr/bin", NULL };
	struct run *run = calloc(1, sizeof(*run));

	run->program = program;
	run->argv = argv;
	run->envp = env;
	return run;
}

static void expect_output(struct run *run, const char *text)
{
	go(run);
	cr_assert_eq(run->status, 0, "status %x, step %lu", run->status, run->failed_step);
	cr_assert_str_eq(run->output, text);
	free(run);
}

TestSuite(loader, .timeout = 120);

Test(loader, runs_a_dynamic_program_with_its_arguments)
{
	expect_output(new_run("/bin/echo", (char *[]){ "echo", "one", "two three", NULL }),
		      "one two three\n");
}

Test(loader, hands_the_environment_on)
{
	expect_output(new_run("/usr/bin/env", (char *[]){ "env", NULL }),
		      "FOO=bar\nPATH=/bin:/usr/bin\n");
}

Test(loader, runs_a_static_program)
{
	expect_output(new_run("/bin/busybox", (char *[]){ "busybox", "echo", "static", NULL }),
		      "static\n");
}

Test(loader, runs_the_dynamic_linker_as_a_program)
{
	expect_output(new_run("/lib64/ld-linux-x86-64.so.2",
			      (char *[]){ "ld.so", "/bin/echo", "by hand", NULL }),
		      "by hand\n");
}

Test(loader, a_prefix_replaces_the_first_argument)
{
	struct run *run = new_run("/bin/sh", (char *[]){ "dropped", "x", "y", NULL });

	run->prefix[0] = "/bin/sh";
	run->prefix[1] = "-c";
	run->prefix[2] = "echo \"$0|$*|$#\"";
	expect_output(run, "x|y|1\n");
}

Test(loader, the_host_shows_the_arguments_the_program_got)
{
	struct run *run = new_run("/bin/sh", (char *[]){ "a long first argument", "x", NULL });

	run->prefix[0] = "sh";
	run->prefix[1] = "-c";
	run->prefix[2] = "tr '\\0' '|' </proc/$$/cmdline";
	expect_output(run, "sh|-c|tr '\\0' '|' </proc/$$/cmdline|x|");
}

Test(loader, an_empty_argument_list_becomes_a_prefix)
{
	struct run *run = new_run("/bin/echo", (char *[]){ NULL });

	run->prefix[0] = "echo";
	run->prefix[1] = "script";
	expect_output(run, "script\n");
}

static bool has_line(const char *output, const char *name, const char *value)
{
	const char *at = strstr(output, name);

	if (!at || (at != output && at[-1] != '\n'))
		return false;
	at += strlen(name);
	at += strspn(at, ": \t");
	return strncmp(at, value, strlen(value)) == 0 && at[strlen(value)] == '\n';
}

Test(loader, the_auxiliary_vector_tells_about_the_program)
{
	static char *env[] = { "LD_SHOW_AUXV=1", NULL };
	struct run *run = new_run("/bin/true", (char *[]){ "true", NULL });

	run->envp = env;
	run->execfn = "/some/where/far/longer/than/what/the/kernel/wrote/there";
	go(run);
	cr_assert_eq(run->status, 0);
	cr_assert(has_line(run->output, "AT_EXECFN", run->execfn), "%s", run->output);
	cr_assert(has_line(run->output, "AT_UID", "1234"));
	cr_assert(has_line(run->output, "AT_EGID", "1235"));
	cr_assert(has_line(run->output, "AT_SECURE", "0"));
	cr_assert(has_line(run->output, "AT_PLATFORM", "x86_64"));
	cr_assert(strstr(run->output, "AT_ENTRY:"));
	free(run);
}

Test(loader, a_secure_program_ignores_the_linker_variables)
{
	static char *env[] = { "LD_SHOW_AUXV=1", NULL };
	struct run *run = new_run("/bin/true", (char *[]){ "true", NULL });

	run->envp = env;
	run->secure = true;
	expect_output(run, "");
}

Test(loader, thousands_of_arguments_survive_the_move)
{
	enum { ARGS = 3000 };
	static char *argv[ARGS + 2], text[ARGS][12], expected[ARGS * 8];
	struct run *run = new_run("/bin/echo", argv);
	size_t len = 0;

	argv[0] = "dropped";
	for (int i = 0; i < ARGS; i++) {
		snprintf(text[i], sizeof(text[i]), "%d", i);
		argv[i + 1] = text[i];
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s%c", text[i],
					i == ARGS - 1 ? '\n' : ' ');
	}
	run->prefix[0] = "echo";
	expect_output(run, expected);
}

Test(loader, the_name_of_the_task_is_the_programs)
{
	expect_output(new_run("/bin/cat", (char *[]){ "cat", "/proc/self/comm", NULL }),
		      "comm-of-test\n");
}

Test(loader, the_heap_lies_behind_the_program)
{
	struct run *run = new_run("/bin/cat", (char *[]){ "cat", "/proc/self/maps", NULL });
	unsigned long program, heap;
	char *at;

	go(run);
	cr_assert_eq(run->status, 0);
	at = strstr(run->output, "[heap]");
	cr_assert(at, "%s", run->output);
	while (at > run->output && at[-1] != '\n')
		at--;
	program = strtoul(run->output, NULL, 16);
	heap = strtoul(at, NULL, 16);
	cr_assert_gt(heap, program);
	cr_assert_lt(heap - program, 128ul << 20);
	cr_assert_null(strstr(run->output, "rwxp"));
	free(run);
}

static void want_exec_stack(struct plan *plan)
{
	plan->flags |= PLAN_EXEC_STACK;
}

Test(loader, the_stack_is_executable_for_those_who_ask)
{
	struct run *run = new_run("/bin/cat", (char *[]){ "cat", "/proc/self/maps", NULL });
	char *at;

	run->tweak = want_exec_stack;
	go(run);
	cr_assert_eq(run->status, 0);
	at = strstr(run->output, "[stack]");
	while (at > run->output && at[-1] != '\n')
		at--;
	cr_assert_eq(strncmp(strchr(at, ' ') + 1, "rwxp", 4), 0);
	free(run);
}

static void at_a_forbidden_place(struct plan *plan)
{
	plan->main.dyn = 0;
	plan->main.lo = 0; /* below vm.mmap_min_addr; for root, where MAP_FIXED would go there */
	plan->main.span = 1ull << 62;
}

Test(loader, a_failure_is_told_and_ends_with_sigsegv)
{
	struct run *run = new_run("/bin/true", (char *[]){ "true", NULL });

	run->tweak = at_a_forbidden_place;
	go(run);
	cr_assert(WIFSIGNALED(run->status));
	cr_assert_eq(WTERMSIG(run->status), SIGSEGV);
	cr_assert_eq(run->failed_step, PLAN_STEP_RESERVE);
	free(run);
}

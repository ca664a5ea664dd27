#include "sentry/cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devfuse/conn.h"
#include "devfuse/defer.h"
#include "devfuse/params.h"
#include "devfuse/report.h"
#include "sentry/base/cleanup.h"
#include "sentry/base/log.h"
#include "sentry/call.h"
#include "sentry/cli/config.h"
#include "sentry/cli/environ.h"
#include "sentry/cli/fuse_wrap.h"
#include "sentry/cli/sandbox.h"
#include "sentry/cli/stdio.h"
#include "sentry/console.h"
#include "sentry/control.h"
#include "sentry/hostproc.h"
#include "sentry/lane/lane.h"
#include "sentry/launch.h"
#include "sentry/procinfo.h"
#include "sentry/sched/sched.h"
#include "sentry/stats.h"
#include "sentry/task.h"
#include "sentry/tracer.h"
#include "sentry/trap.h"
#include "sentry/uts.h"
#include "syscalls/table.h"
#include "vfs/cred.h"
#include "vfs/fdtable.h"
#include "vfs/fs_struct.h"
#include "vfs/strbuf.h"

extern char **environ;

/* The guest's identity: what --user says, else the one of whoever runs fusebox. */
static struct cred *make_cred(const struct run_config *config)
{
	gid_t groups[256];
	int nr = 0;

	if (config->user_given)
		return cred_new(config->uid, config->gid, NULL, 0);
	nr = getgroups(256, groups);
	return cred_new(geteuid(), getegid(), groups, nr > 0 ? (size_t)nr : 0);
}

/* The backend asked for, or the first that works here. 0 or -1 with a message. */
static int choose_backend(const struct run_config *config)
{
	const char *reason = "";
	int err = 0;

	if (config->backend != BACKEND_PTRACE) {
		err = trap_notify.probe(&reason);
		if (!err) {
			trap = &trap_notify;
			return 0;
		}
		if (config->backend == BACKEND_NOTIFY) {
			fprintf(stderr, "fusebox: --backend notify: %s\n", reason);
			return -1;
		}
		fb_log(LOG_INFO, "backend notify does not work here: %s", reason);
	}
	err = trap_ptrace.probe(&reason);
	if (err) {
		fprintf(stderr, "fusebox: --backend ptrace: %s\n", reason);
		return -1;
	}
	trap = &trap_ptrace;
	return 0;
}

static int open_trace(const struct run_config *config)
{
	int hostfd = 2;

	if (!config->trace)
		return 0;
	if (config->trace_file)
		hostfd = open(config->trace_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (hostfd < 0) {
		fprintf(stderr, "fusebox: --trace: '%s': %s\n", config->trace_file,
			strerror(errno));
		return -1;
	}
	calllog_open(hostfd);
	return 0;
}

static int exit_status(const struct run_config *config, const struct launch_result *result)
{
	if (result->exec_errno) {
		fprintf(stderr, "fusebox: cannot run '%s': %s\n", config->argv[0],
			strerror(result->exec_errno));
		return result->exec_errno == ENOENT || result->exec_errno == ENOTDIR
			       ? EXIT_NOT_FOUND
			       : EXIT_NOT_EXECUTABLE;
	}
	if (WIFSIGNALED(result->status))
		return 128 + WTERMSIG(result->status);
	return WEXITSTATUS(result->status);
}

static const struct run_config *running;

/* A line of `fusebox ps`, without the pid. */
static void show_sandbox(struct strbuf *out)
{
	strbuf_printf(out, "%-9s %-7s %5d", launch_isolation() == ISOLATION_FULL ? "full" : "nested",
		      trap->name, task_count());
	for (char **arg = running->argv; *arg; arg++) {
		strbuf_putc(out, ' ');
		strbuf_puts_escaped(out, *arg);
	}
	strbuf_putc(out, '\n');
}

static void sandbox_started(pid_t first_guest_pid)
{
	int err = control_start();

	if (err)
		fb_log(LOG_INFO, "no control socket: %s", strerror(-err));
	console_set_session(first_guest_pid);
	err = console_start();
	if (err)
		fb_log(LOG_ERROR, "no terminal: %s", strerror(-err));
}

static int run_sandbox(const struct run_config *config)
{
	struct cred *cred = make_cred(config);
	struct fdtable *files = fdtable_new();
	struct launch_result result = { 0 };
	struct launch_config launch = {
		.isolation = config->isolation,
		.require_full = config->require_full,
		.hostname = config->hostname,
		.files = files,
		.cred = cred,
		.class_of = config->max_tasks ? syscall_class_counting_births : syscall_class_of,
		.max_nr = SYSCALL_MAX - 1,
		.started = sandbox_started,
		.limits = config->limits,
		.nr_limits = config->nr_limits,
	};
	struct op_ctx ctx;
	char **envp;
	bool console;
	int err;

	if (!cred || !files) {
		fprintf(stderr, "fusebox: out of memory\n");
		return EXIT_FUSEBOX;
	}
	if (sandbox_build(config, &launch.fs))
		return EXIT_FUSEBOX;
	sandbox_ctx(launch.fs, cred, &ctx);
	err = stdio_install(&ctx, files, &console);
	if (err) {
		fprintf(stderr, "fusebox: standard input and output: %s\n", strerror(-err));
		return EXIT_FUSEBOX;
	}
	task_set_max(config->max_tasks);
	launch.argv = fuse_wrap_command(config);
	envp = environ_build(config, environ);
	launch.envp = envp;
	log_set_fatal_hook(console_restore);
	(void)control_open();
	err = launch_run(&launch, &result);
	control_close();
	fuse_wrap_free(config, launch.argv);
	free(envp);
	console_flush();
	console_restore();
	if (err) {
		fprintf(stderr, "fusebox: cannot start the sandbox: %s\n",
			result.isolation_reason ? result.isolation_reason : strerror(-err));
		return EXIT_FUSEBOX;
	}
	if (config->stats)
		stats_print(2);
	return exit_status(config, &result);
}

int cli_run(int argc, char **argv)
{
	struct run_config config;
	int err = config_parse(argc, argv, &config);

	if (err)
		return err > 0 ? 0 : EXIT_FUSEBOX;
	log_set_level(config.verbose ? LOG_INFO : LOG_WARN);
	signal(SIGPIPE, SIG_IGN);
	stdio_reserve();
	err = hostproc_init();
	if (err)
		fb_log(LOG_WARN, "no host /proc: %s", strerror(-err));
	if (choose_backend(&config) || open_trace(&config))
		return EXIT_FUSEBOX;
	fb_log(LOG_INFO, "backend: %s", trap->name);
	lane_init(config.lane);
	uts_init(config.hostname);
	err = sandbox_register();
	if (!err)
		err = procinfo_init();
	if (err) {
		fprintf(stderr, "fusebox: cannot set up: %s\n", strerror(-err));
		return EXIT_FUSEBOX;
	}
	call_set_dispatch(syscall_dispatch);
	syscalls_init();
	stats_register(devfuse_show_stats);
	running = &config;
	control_register("ps", show_sandbox);
	control_register("fuse", fuse_report);
	tracer_set_quit_hook(control_print);
	fuse_defer_set_spawn(sched_spawn);
	atomic_store(&fuse_params.client_timeout, config.fuse_timeout);
	atomic_store(&fuse_params.keep, config.fuse_keep);
	err = run_sandbox(&config);
	config_free(&config);
	return err;
}

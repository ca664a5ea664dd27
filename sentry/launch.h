/* How a sandbox starts: isolation, the first guest, its filter and its listener. */
#ifndef FB_LAUNCH_H
#define FB_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct cred;
struct fdtable;
struct fs_struct;

enum isolation { ISOLATION_AUTO, ISOLATION_FULL, ISOLATION_NESTED };

/* What the guests' filter does with a system call; column of the syscall table. */
enum syscall_class {
	CLASS_SENTRY,  /* trapped, a handler answers (the default for every number) */
	CLASS_NATIVE,  /* allowed natively, always */
	CLASS_CHECKED, /* allowed natively when arguments pass the filter's own checks, else trapped */
	CLASS_REFUSED, /* trapped; errno and one log line */
};

/* A resource limit of the first guest, soft and hard, which the host enforces; see setrlimit(2). */
struct launch_limit {
	int resource;
	rlim_t value;
};

struct launch_config {
	enum isolation isolation;
	bool require_full;
	const char *hostname;
	char *const *argv, *const *envp;
	struct fdtable *files; /* taken */
	struct fs_struct *fs;  /* taken */
	const struct cred *cred; /* taken */
	const struct launch_limit *limits;
	size_t nr_limits;
	/* Class of a system call number; CLASS_SENTRY for numbers unknown. */
	enum syscall_class (*class_of)(long nr);
	long max_nr; /* numbers 0..max_nr are asked */
	/* Called once fibers can run, before the first guest's first call is served; may be NULL. */
	void (*started)(pid_t first_guest_pid);
};

struct launch_result {
	enum isolation isolation; /* in force */
	const char *isolation_reason; /* why not full; NULL */
	int status;		  /* wait status of the command */
	int exec_errno;		  /* the first exec failed with this; 0 = it succeeded */
};

/* The isolation in force, once a child has been started. */
enum isolation launch_isolation(void);
/* Runs the sandbox to its end on the calling thread (which becomes the tracer). 0 or -errno. */
int launch_run(const struct launch_config *config, struct launch_result *ret_result);

/* The guests' seccomp program, made with libseccomp from the classes; malloc'ed sock_filter[]. */
struct sock_filter;
int filter_build(enum syscall_class (*class_of)(long nr), long max_nr, bool with_listener,
		 bool own_pid_ns, bool own_ipc_ns, struct sock_filter **ret_prog, size_t *ret_len);

#endif

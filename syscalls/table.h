/*
 * THE syscall table: one row per x86-64 system call. The seccomp filter, dispatch, --trace,
 * --list-syscalls and docs/syscalls.md all read it.
 */
#ifndef FB_SYSCALLS_TABLE_H
#define FB_SYSCALLS_TABLE_H

#include <stdint.h>

#include "sentry/launch.h" /* enum syscall_class */

struct task;
struct strbuf;

/* A handler. args are the six registers, also in task->call.args. Result, -errno, or CALL_*. */
typedef int64_t (*syscall_fn)(struct task *task, const uint64_t *args);

/* How --trace prints an argument. */
enum arg_shape {
	ARG_NONE,
	ARG_INT,
	ARG_UINT,
	ARG_LONG,
	ARG_HEX,
	ARG_PTR,
	ARG_FD,
	ARG_DIRFD,
	ARG_PATH,
	ARG_STR,
	ARG_BUF_IN,
	ARG_BUF_OUT,
	ARG_SIZE,
	ARG_OFFSET,
	ARG_OPEN_FLAGS,
	ARG_AT_FLAGS,
	ARG_MODE,
	ARG_PROT,
	ARG_MAP_FLAGS,
	ARG_SIGNAL,
	ARG_PID,
	ARG_UID,
	ARG_CMD,
	ARG_WHENCE,
	ARG_IOVEC,
	ARG_CLOCK,
	ARG_CLONE_FLAGS,
	ARG_DOMAIN,
	ARG_SOCK_TYPE,
};

enum support { SUPPORT_FULL, SUPPORT_PARTIAL, SUPPORT_REFUSED };

struct syscall_row {
	const char *name; /* NULL: no such call */
	syscall_fn fn;	  /* NULL for CLASS_NATIVE */
	enum arg_shape shapes[6];
	enum syscall_class class;
	enum support support;
	int refused_errno; /* SUPPORT_REFUSED: positive errno */
	const char *note;  /* partial: what is missing; refused: why */
};

#define SYSCALL_MAX 480
extern const struct syscall_row syscall_table[SYSCALL_MAX];

/* Gives the VFS its way to guest memory (ioctl arguments). Once, at start-up. */
void syscalls_init(void);
enum syscall_class syscall_class_of(long nr);
/* The same where clone, fork and vfork must be seen because tasks are counted. */
enum syscall_class syscall_class_counting_births(long nr);
/* The dispatcher handed to call_set_dispatch(). Unknown numbers: -ENOSYS, logged once. */
int64_t syscall_dispatch(struct task *task);
/* docs/syscalls.md */
void syscall_list(struct strbuf *out);

/* --trace: one line per call to hostfd (-1 = off). Set once at start-up. */
void calllog_open(int hostfd);

#endif

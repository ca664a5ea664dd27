/*
 * --trace: one line per call, `[pid] name(args) = result`, from the argument shapes of the table.
 * A line is put together in memory and written at once, so that lines of different tasks do not
 * mix.
 */
#include "syscalls/calllog.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sentry/base/err.h"
#include "sentry/call.h"
#include "sentry/task.h"
#include "sentry/usermem.h"
#include "syscalls/numbers.h"
#include "syscalls/table.h"
#include "vfs/strbuf.h"

#define SHOWN_BYTES 32
#define SHOWN_PATH  128

static int log_hostfd = -1; /* set once at start-up */

void calllog_open(int hostfd)
{
	log_hostfd = hostfd;
}

bool calllog_enabled(void)
{
	return log_hostfd >= 0;
}

struct flag_name {
	uint64_t value;
	const char *name;
};

#define FLAG(f)                                                                                    \
	{                                                                                          \
		f, #f                                                                              \
	}
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct flag_name open_flags[] = {
	FLAG(O_CREAT),	  FLAG(O_EXCL),
	FLAG(O_NOCTTY),	  FLAG(O_TRUNC),
	FLAG(O_APPEND),	  FLAG(O_NONBLOCK),
	FLAG(O_SYNC),	  FLAG(O_DSYNC),
	FLAG(O_DIRECT),	  {0100000, "O_LARGEFILE"},
	FLAG(O_TMPFILE),  FLAG(O_DIRECTORY),
	FLAG(O_NOFOLLOW), FLAG(O_NOATIME),
	FLAG(O_CLOEXEC),  FLAG(O_PATH),
	FLAG(O_ASYNC),
};
static const struct flag_name at_flags[] = {
	FLAG(AT_SYMLINK_NOFOLLOW),	FLAG(AT_REMOVEDIR),	  FLAG(AT_SYMLINK_FOLLOW),
	FLAG(AT_NO_AUTOMOUNT),		FLAG(AT_EMPTY_PATH),	  {0x2000, "AT_STATX_FORCE_SYNC"},
	{0x4000, "AT_STATX_DONT_SYNC"}, {0x8000, "AT_RECURSIVE"},
};
static const struct flag_name prot_flags[] = {
	FLAG(PROT_READ),
	FLAG(PROT_WRITE),
	FLAG(PROT_EXEC),
	FLAG(PROT_GROWSDOWN),
};
static const struct flag_name map_flags[] = {
	{MAP_SHARED_VALIDATE, "MAP_SHARED_VALIDATE"},
	FLAG(MAP_SHARED),
	FLAG(MAP_PRIVATE),
	FLAG(MAP_FIXED),
	FLAG(MAP_ANONYMOUS),
	FLAG(MAP_DENYWRITE),
	FLAG(MAP_NORESERVE),
	FLAG(MAP_POPULATE),
	FLAG(MAP_STACK),
	FLAG(MAP_GROWSDOWN),
	FLAG(MAP_FIXED_NOREPLACE),
};
static const struct flag_name clone_flags[] = {
	FLAG(CLONE_VM),
	FLAG(CLONE_FS),
	FLAG(CLONE_FILES),
	FLAG(CLONE_SIGHAND),
	FLAG(CLONE_PIDFD),
	FLAG(CLONE_PTRACE),
	FLAG(CLONE_VFORK),
	FLAG(CLONE_PARENT),
	FLAG(CLONE_THREAD),
	FLAG(CLONE_NEWNS),
	FLAG(CLONE_SYSVSEM),
	FLAG(CLONE_SETTLS),
	FLAG(CLONE_PARENT_SETTID),
	FLAG(CLONE_CHILD_CLEARTID),
	FLAG(CLONE_UNTRACED),
	FLAG(CLONE_CHILD_SETTID),
	FLAG(CLONE_NEWCGROUP),
	FLAG(CLONE_NEWUTS),
	FLAG(CLONE_NEWIPC),
	FLAG(CLONE_NEWUSER),
	FLAG(CLONE_NEWPID),
	FLAG(CLONE_NEWNET),
	FLAG(CLONE_IO),
};
static const struct flag_name fcntl_cmds[] = {
	FLAG(F_DUPFD),	       FLAG(F_GETFD),	   FLAG(F_SETFD),      FLAG(F_GETFL),
	FLAG(F_SETFL),	       FLAG(F_GETLK),	   FLAG(F_SETLK),      FLAG(F_SETLKW),
	FLAG(F_SETOWN),	       FLAG(F_GETOWN),	   FLAG(F_SETSIG),     FLAG(F_GETSIG),
	FLAG(F_SETOWN_EX),     FLAG(F_GETOWN_EX),  FLAG(F_OFD_GETLK),  FLAG(F_OFD_SETLK),
	FLAG(F_OFD_SETLKW),    FLAG(F_SETLEASE),   FLAG(F_GETLEASE),   FLAG(F_NOTIFY),
	FLAG(F_DUPFD_CLOEXEC), FLAG(F_SETPIPE_SZ), FLAG(F_GETPIPE_SZ), FLAG(F_ADD_SEALS),
	FLAG(F_GET_SEALS),
};
static const struct flag_name whences[] = {
	FLAG(SEEK_SET), FLAG(SEEK_CUR), FLAG(SEEK_END), FLAG(SEEK_DATA), FLAG(SEEK_HOLE),
};
static const struct flag_name clocks[] = {
	FLAG(CLOCK_REALTIME),	       FLAG(CLOCK_MONOTONIC),	  FLAG(CLOCK_PROCESS_CPUTIME_ID),
	FLAG(CLOCK_THREAD_CPUTIME_ID), FLAG(CLOCK_MONOTONIC_RAW), FLAG(CLOCK_REALTIME_COARSE),
	FLAG(CLOCK_MONOTONIC_COARSE),  FLAG(CLOCK_BOOTTIME),
};
static const struct flag_name domains[] = {
	FLAG(AF_UNSPEC), FLAG(AF_UNIX),	   FLAG(AF_INET),
	FLAG(AF_INET6),	 FLAG(AF_NETLINK), FLAG(AF_PACKET),
};
static const struct flag_name sock_types[] = {
	FLAG(SOCK_STREAM),
	FLAG(SOCK_DGRAM),
	FLAG(SOCK_RAW),
	FLAG(SOCK_SEQPACKET),
};
static const struct flag_name sock_flags[] = {FLAG(SOCK_CLOEXEC), FLAG(SOCK_NONBLOCK)};

static void put_value(struct strbuf *out, uint64_t value, const struct flag_name *names, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (names[i].value == value) {
			strbuf_puts(out, names[i].name);
			return;
		}
	}
	strbuf_printf(out, "%#llx", (unsigned long long)value);
}

/* first: already something before it, so that a '|' is due. */
static void put_flags(struct strbuf *out, uint64_t value, const struct flag_name *names, size_t nr,
		      bool first)
{
	for (size_t i = 0; i < nr; i++) {
		if (!names[i].value || (value & names[i].value) != names[i].value)
			continue;
		strbuf_printf(out, "%s%s", first ? "" : "|", names[i].name);
		value &= ~names[i].value;
		first = false;
	}
	if (value)
		strbuf_printf(out, "%s%#llx", first ? "" : "|", (unsigned long long)value);
	else if (first)
		strbuf_putc(out, '0');
}

static void put_open_flags(struct strbuf *out, unsigned flags)
{
	static const char *const modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};

	strbuf_puts(out, modes[flags & O_ACCMODE]);
	if (flags & ~(unsigned)O_ACCMODE)
		put_flags(out, flags & ~(unsigned)O_ACCMODE, open_flags, COUNT(open_flags), false);
}

static void put_quoted(struct strbuf *out, const unsigned char *data, size_t len, bool more)
{
	strbuf_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		switch (data[i]) {
		case '\n':
			strbuf_puts(out, "\\n");
			break;
		case '\t':
			strbuf_puts(out, "\\t");
			break;
		case '\r':
			strbuf_puts(out, "\\r");
			break;
		case '"':
		case '\\':
			strbuf_putc(out, '\\');
			strbuf_putc(out, (char)data[i]);
			break;
		default:
			if (isprint(data[i]))
				strbuf_putc(out, (char)data[i]);
			else if (i + 1 < len && isdigit(data[i + 1]))
				strbuf_printf(out, "\\%03o", data[i]);
			else
				strbuf_printf(out, "\\%o", data[i]);
		}
	}
	strbuf_puts(out, more ? "\"..." : "\"");
}

static void put_pointer(struct strbuf *out, gva_t gva)
{
	if (gva)
		strbuf_printf(out, "%#llx", (unsigned long long)gva);
	else
		strbuf_puts(out, "NULL");
}

static void put_string(struct strbuf *out, struct task *task, gva_t gva)
{
	unsigned char buf[SHOWN_PATH];
	size_t got = gva ? copy_from_guest_partial(task, buf, gva, sizeof(buf)) : 0;
	size_t len = got ? strnlen((const char *)buf, got) : 0;

	if (got && (len < got || got == sizeof(buf)))
		put_quoted(out, buf, len, len == got);
	else
		put_pointer(out, gva);
}

static void put_buffer(struct strbuf *out, struct task *task, gva_t gva, uint64_t len)
{
	unsigned char buf[SHOWN_BYTES];
	size_t want = len < sizeof(buf) ? (size_t)len : sizeof(buf);
	size_t got = want ? copy_from_guest_partial(task, buf, gva, want) : 0;

	if (gva && got == want)
		put_quoted(out, buf, got, len > want);
	else
		put_pointer(out, gva);
}

static void put_iovec(struct strbuf *out, struct task *task, gva_t gva, uint64_t nr)
{
	struct iovec iov[3];
	size_t i, shown = nr < COUNT(iov) ? (size_t)nr : COUNT(iov);

	if (copy_from_guest(task, iov, gva, shown * sizeof(iov[0]))) {
		put_pointer(out, gva);
		return;
	}
	strbuf_putc(out, '[');
	for (i = 0; i < shown; i++) {
		strbuf_puts(out, i ? ", {iov_base=" : "{iov_base=");
		put_buffer(out, task, (gva_t)(uintptr_t)iov[i].iov_base, iov[i].iov_len);
		strbuf_printf(out, ", iov_len=%zu}", iov[i].iov_len);
	}
	strbuf_puts(out, nr > shown ? ", ...]" : "]");
}

static void put_signal(struct strbuf *out, int signo)
{
	const char *name = sigabbrev_np(signo);

	if (name)
		strbuf_printf(out, "SIG%s", name);
	else
		strbuf_printf(out, "%d", signo);
}

static void put_clone_flags(struct strbuf *out, uint64_t flags)
{
	uint64_t rest = flags & ~(uint64_t)CSIGNAL;

	if (rest)
		put_flags(out, rest, clone_flags, COUNT(clone_flags), true);
	if (rest && (flags & CSIGNAL))
		strbuf_putc(out, '|');
	if (flags & CSIGNAL)
		put_signal(out, (int)(flags & CSIGNAL));
	else if (!rest)
		strbuf_putc(out, '0');
}

static void put_sock_type(struct strbuf *out, unsigned type)
{
	put_value(out, type & 0xf, sock_types, COUNT(sock_types));
	if (type & ~0xfu)
		put_flags(out, type & ~0xfu, sock_flags, COUNT(sock_flags), false);
}

/* Shapes that look at guest memory. `next` is the argument after it: a length or a count. */
static bool put_memory_arg(struct strbuf *out, struct task *task, enum arg_shape shape,
			   uint64_t value, uint64_t next, int64_t result)
{
	switch (shape) {
	case ARG_PATH:
	case ARG_STR:
		put_string(out, task, value);
		return true;
	case ARG_BUF_IN:
		put_buffer(out, task, value, next);
		return true;
	case ARG_BUF_OUT:
		if (result >= 0 && (uint64_t)result <= next)
			put_buffer(out, task, value, (uint64_t)result);
		else
			put_pointer(out, value);
		return true;
	case ARG_IOVEC:
		put_iovec(out, task, value, next);
		return true;
	default:
		return false;
	}
}

static bool put_named_arg(struct strbuf *out, enum arg_shape shape, uint64_t value)
{
	switch (shape) {
	case ARG_OPEN_FLAGS:
		put_open_flags(out, (unsigned)value);
		return true;
	case ARG_AT_FLAGS:
		put_flags(out, (unsigned)value, at_flags, COUNT(at_flags), true);
		return true;
	case ARG_PROT:
		if (value)
			put_flags(out, value, prot_flags, COUNT(prot_flags), true);
		else
			strbuf_puts(out, "PROT_NONE");
		return true;
	case ARG_MAP_FLAGS:
		put_flags(out, (unsigned)value, map_flags, COUNT(map_flags), true);
		return true;
	case ARG_SIGNAL:
		put_signal(out, (int)value);
		return true;
	case ARG_CMD:
		put_value(out, (unsigned)value, fcntl_cmds, COUNT(fcntl_cmds));
		return true;
	case ARG_WHENCE:
		put_value(out, (unsigned)value, whences, COUNT(whences));
		return true;
	case ARG_CLOCK:
		put_value(out, (unsigned)value, clocks, COUNT(clocks));
		return true;
	case ARG_CLONE_FLAGS:
		put_clone_flags(out, value);
		return true;
	case ARG_DOMAIN:
		put_value(out, (unsigned)value, domains, COUNT(domains));
		return true;
	case ARG_SOCK_TYPE:
		put_sock_type(out, (unsigned)value);
		return true;
	default:
		return false;
	}
}

static void put_number_arg(struct strbuf *out, enum arg_shape shape, uint64_t value)
{
	switch (shape) {
	case ARG_DIRFD:
		if ((int)value == AT_FDCWD)
			strbuf_puts(out, "AT_FDCWD");
		else
			strbuf_printf(out, "%d", (int)value);
		break;
	case ARG_INT:
	case ARG_FD:
	case ARG_PID:
	case ARG_UID:
		strbuf_printf(out, "%d", (int)value);
		break;
	case ARG_UINT:
		strbuf_printf(out, "%u", (unsigned)value);
		break;
	case ARG_LONG:
	case ARG_OFFSET:
		strbuf_printf(out, "%lld", (long long)value);
		break;
	case ARG_SIZE:
		strbuf_printf(out, "%llu", (unsigned long long)value);
		break;
	case ARG_MODE:
		strbuf_printf(out, (unsigned)value ? "0%o" : "%o", (unsigned)value);
		break;
	case ARG_HEX:
		strbuf_printf(out, "%#llx", (unsigned long long)value);
		break;
	default:
		put_pointer(out, value);
	}
}

static void put_args(struct strbuf *out, struct task *task, const struct syscall_row *row,
		     int64_t result)
{
	const uint64_t *args = task->call.args;
	int nr = 6;

	while (nr && row->shapes[nr - 1] == ARG_NONE)
		nr--;
	for (int i = 0; i < nr; i++) {
		uint64_t next = i < 5 ? args[i + 1] : 0;

		if (i)
			strbuf_puts(out, ", ");
		if (!put_memory_arg(out, task, row->shapes[i], args[i], next, result) &&
		    !put_named_arg(out, row->shapes[i], args[i]))
			put_number_arg(out, row->shapes[i], args[i]);
	}
}

static const char *restart_name(int64_t result)
{
	switch (-result) {
	case ERESTARTSYS:
		return "ERESTARTSYS";
	case ERESTARTNOINTR:
		return "ERESTARTNOINTR";
	case ERESTARTNOHAND:
		return "ERESTARTNOHAND";
	default:
		return "ERESTART_RESTARTBLOCK";
	}
}

static void put_result(struct strbuf *out, const struct syscall_row *row, int64_t result)
{
	const char *name;

	if (result == CALL_NATIVE || result == CALL_REWRITE) {
		strbuf_puts(out, "? (native)");
	} else if (result == CALL_EXEC) {
		strbuf_putc(out, '0');
	} else if (err_is_restart(result)) {
		strbuf_printf(out, "? %s (to be restarted)", restart_name(result));
	} else if (result < 0 && result >= -4095) {
		name = strerrorname_np((int)-result);
		strbuf_printf(out, "-1 %s (%s)", name ? name : "?",
			      strerrordesc_np((int)-result) ? strerrordesc_np((int)-result) : "?");
	} else if (row && row->shapes[0] == ARG_PTR && result > 0x10000) {
		strbuf_printf(out, "%#llx", (unsigned long long)result);
	} else {
		strbuf_printf(out, "%lld", (long long)result);
	}
}

void calllog_print(struct task *task, const struct syscall_row *row, int64_t result)
{
	struct strbuf line = STRBUF_INIT;

	strbuf_printf(&line, "[%d] ", task_guest_tid(task));
	if (row) {
		strbuf_printf(&line, "%s(", row->name);
		put_args(&line, task, row, result);
	} else {
		strbuf_printf(&line, "syscall_%#x(", (unsigned)task->call.nr);
	}
	strbuf_puts(&line, ") = ");
	put_result(&line, row, result);
	strbuf_putc(&line, '\n');
	if (!line.failed)
		(void)HOST(write(log_hostfd, line.buf, line.len));
	strbuf_free(&line);
}

/* --trace prints calls in strace's look. */
#include "tests/unit/syscalls/self_task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "sentry/base/err.h"
#include "syscalls/calllog.h"
#include "syscalls/numbers.h"
#include "syscalls/table.h"

/* The line of a call without "[pid] " and newline. */
static const char *line_of(int nr, const uint64_t *args, int64_t result)
{
	static char line[2048];
	struct task *task = self_task(0);
	int fd = memfd_create("log", 0);
	ssize_t n;
	char *start;

	task->call.nr = nr;
	memcpy(task->call.args, args, sizeof(task->call.args));
	calllog_open(fd);
	calllog_print(task, nr < SYSCALL_MAX && syscall_table[nr].name ? &syscall_table[nr] : NULL,
		      result);
	calllog_open(-1);
	n = pread(fd, line, sizeof(line) - 1, 0);
	close(fd);
	cr_assert_gt(n, 0);
	line[n - 1] = 0;
	start = strchr(line, ']');
	cr_assert_not_null(start);
	return start + 2;
}

Test(calllog, paths_and_flags_are_spelled_out)
{
	cr_expect_str_eq(line_of(__NR_openat,
				 ARGS((uint64_t)AT_FDCWD, GVA("/etc/passwd"), O_RDONLY | O_CLOEXEC),
				 3),
			 "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC, 0) = 3");
	cr_expect_str_eq(line_of(__NR_newfstatat, ARGS(3, GVA(""), 0x1000, AT_EMPTY_PATH), 0),
			 "newfstatat(3, \"\", 0x1000, AT_EMPTY_PATH) = 0");
}

Test(calllog, errors_have_a_name_and_words)
{
	cr_expect_str_eq(line_of(__NR_chdir, ARGS(GVA("no")), -ENOENT),
			 "chdir(\"no\") = -1 ENOENT (No such file or directory)");
}

Test(calllog, buffers_are_escaped_and_cut)
{
	static char text[100];

	cr_expect_str_eq(line_of(__NR_write, ARGS(1, GVA("a\n\"\001"), 4), 4),
			 "write(1, \"a\\n\\\"\\1\", 4) = 4");
	memset(text, 'x', sizeof(text));
	cr_expect_str_eq(line_of(__NR_write, ARGS(1, GVA(text), 100), 100),
			 "write(1, \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"..., 100) = 100");
}

/* What was read is what the result says, not what the buffer could hold. */
Test(calllog, read_shows_what_came)
{
	cr_expect_str_eq(line_of(__NR_read, ARGS(0, GVA("hello"), 5), 2), "read(0, \"he\", 5) = 2");
	cr_expect_str_eq(line_of(__NR_read, ARGS(0, 0x10, 5), -EBADF),
			 "read(0, 0x10, 5) = -1 EBADF (Bad file descriptor)");
}

Test(calllog, bad_addresses_are_shown_as_addresses)
{
	cr_expect_str_eq(line_of(__NR_chdir, ARGS(8), -EFAULT),
			 "chdir(0x8) = -1 EFAULT (Bad address)");
	cr_expect_str_eq(line_of(__NR_mkdir, ARGS(0, 0755), -EFAULT),
			 "mkdir(NULL, 0755) = -1 EFAULT (Bad address)");
}

Test(calllog, vectors_show_their_parts)
{
	struct iovec iov[2] = {{"ab", 2}, {"c", 1}};

	cr_expect_str_eq(line_of(__NR_writev, ARGS(1, GVA(iov), 2), 3),
			 "writev(1, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"c\", iov_len=1}], "
			 "2) = 3");
	cr_expect_str_eq(line_of(__NR_writev, ARGS(1, 8, 2), -EFAULT),
			 "writev(1, 0x8, 2) = -1 EFAULT (Bad address)");
}

Test(calllog, results_of_our_own_are_told)
{
	cr_expect_str_eq(line_of(__NR_kill, ARGS(1, 15), CALL_NATIVE),
			 "kill(1, SIGTERM) = ? (native)");
	cr_expect_str_eq(line_of(__NR_close, ARGS(3), -ERESTARTSYS),
			 "close(3) = ? ERESTARTSYS (to be restarted)");
	cr_expect_str_eq(line_of(__NR_mmap, ARGS(0, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, 3, 0),
				 CALL_NATIVE),
			 "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED, 3, 0) = ? (native)");
}

Test(calllog, unknown_numbers_are_shown)
{
	cr_expect_str_eq(line_of(400, ARGS(0), -ENOSYS),
			 "syscall_0x190() = -1 ENOSYS (Function not implemented)");
}

/*
 * For guest programs: one line per behaviour, the same wherever it is right. No pids, times, inode
 * or descriptor numbers; descriptors beyond 2 are closed first, so that numbers are predictable.
 */
#ifndef FB_GUEST_REPORT_H
#define FB_GUEST_REPORT_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Longer than any machine takes, and less than TEST_TIMEOUT of tests/lib.sh. */
#define TEST_PATIENCE_S 150

__attribute__((constructor)) static void report_init(void)
{
	closefrom(3);
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	alarm(TEST_PATIENCE_S); /* a hang ends */
}

/* Last result as text: the number, or the name of the error. */
static const char *result_text(long result)
{
	static char text[4][64];
	static int next;
	char *buf = text[next++ % 4];

	if (result == -1 && errno)
		snprintf(buf, 64, "%s", strerrorname_np(errno) ? strerrorname_np(errno) : "E?");
	else
		snprintf(buf, 64, "%ld", result);
	return buf;
}

/* "what: 0" or "what: ENOENT". */
#define SHOW(what, call)                                                                           \
	({                                                                                         \
		errno = 0;                                                                         \
		long result_ = (long)(call);                                                       \
		printf("%s: %s\n", what, result_text(result_));                                    \
		result_;                                                                           \
	})
#define TRY(call) SHOW(#call, call)

/* For calls that return a descriptor: "ok" or the error. */
#define SHOW_FD(what, call)                                                                        \
	({                                                                                         \
		errno = 0;                                                                         \
		int fd_ = (int)(call);                                                             \
		printf("%s: %s\n", what, fd_ < 0 ? result_text(-1) : "ok");                        \
		fd_;                                                                               \
	})
#define TRY_FD(call) SHOW_FD(#call, call)

/* A condition that must hold. */
#define CHECK(condition) printf("%s: %s\n", #condition, (condition) ? "yes" : "NO")

/* A call the test needs to go on. */
#define MUST(call)                                                                                 \
	({                                                                                         \
		long must_ = (long)(call);                                                         \
		if (must_ == -1) {                                                                 \
			printf("cannot %s: %s\n", #call, strerrorname_np(errno));                  \
			exit(1);                                                                   \
		}                                                                                  \
		must_;                                                                             \
	})

#endif
